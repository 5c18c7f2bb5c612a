"""Where to stop: each breakpoint looks at the stepper after every service and says why it stops, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nsim.chip.chip import nearest
from nsim.errors import InputError, counted
from nsim.formats.numpy_files import existing, read_npy
from nsim.report.stepping.stepper import Stepper
from nsim.report.stepping.words import is_called
from nsim.report.units import TIMES

WAYS = (
    "neuron LAYER, neuron LAYER:INDEX, core NUMBER sends COUNT, queue full, queue full STATION, outputs FILE.npy, "
    "time 2.5us"
)


@dataclass(frozen=True)
class Breakpoint:
    """A place to stop.

    words   as it was given
    hit     why it stops after the last service, or an empty text
    ends    whether it looks at the ends of spans only
    """

    words: str
    hit: Callable[[Stepper], str]
    ends: bool = False


def parse_break(text: str, mapping: Any) -> Breakpoint:
    """A breakpoint as it is typed.

    raises   InputError for one that there is not, with those that there are
    """
    words = text.split()
    kind = words[0] if words else ""
    if kind == "neuron" and len(words) == 2:
        return _neuron(text, words[1], mapping)
    if (found := re.fullmatch(r"core (\d+) sends (\d+)", " ".join(words))) is not None:
        return _core(text, int(found[1]), int(found[2]), mapping)
    if words[:2] == ["queue", "full"]:
        wanted = " ".join(words[2:])
        return Breakpoint(text, lambda stepper: _full(stepper, wanted))
    if kind == "outputs" and len(words) == 2:
        if mapping.chip.discipline == "frame":
            raise InputError("outputs are compared timestep by timestep: on a chip with frames nsim run --labels tells")
        return _outputs(text, Path(words[1]))
    if kind == "time" and len(words) == 2:
        return _time(text, words[1])
    raise InputError(f"no breakpoint {text!r}: there are {WAYS}")


def _neuron(text: str, name: str, mapping: Any) -> Breakpoint:
    layer, colon, index = name.partition(":")
    by_name = mapping.network.by_name
    if layer not in by_name:
        raise InputError(f"no layer {layer!r}{nearest(layer, list(by_name))}: there are {', '.join(by_name)}")
    most = by_name[layer].neurons
    if colon and not (index.isdecimal() and int(index) < most):
        raise InputError(f"neuron {index!r} of layer {layer!r}: give 0 to {most - 1}")

    def hit(stepper: Stepper) -> str:
        fired = [each for each in stepper.fired if each[0] == layer and (not colon or each[1] == int(index))]
        return f"{fired[0][0]}:{fired[0][1]} fires" if fired else ""

    return Breakpoint(text, hit)


def _core(text: str, core: int, count: int, mapping: Any) -> Breakpoint:
    if core >= mapping.chip.cores:
        raise InputError(f"core {core}: chip {mapping.chip.name!r} has 0 to {mapping.chip.cores - 1}")

    def hit(stepper: Stepper) -> str:
        number = stepper.machine.number("send", core)
        just = bool(stepper.simulation.log) and stepper.simulation.log[-1][0] == number
        sent = stepper.simulation.served[number]
        if not just or sent != count + 1:
            return ""
        return f"core {core} has sent {counted(sent, 'message')}, more than {count}"

    return Breakpoint(text, hit)


def _full(stepper: Stepper, wanted: str) -> str:
    """A station has just begun to wait for a slot there."""
    for held in stepper.held.values():
        name = stepper.name(held.target)
        if held.since_ps == stepper.now_ps and is_called(name, wanted):
            return f"the queue before {name} is full"
    return ""


def _outputs(text: str, path: Path) -> Breakpoint:
    reference = read_npy(existing(path, (".npy",)))
    if reference.ndim != 2:
        raise InputError(f"{path} has shape {reference.shape}: give [timesteps, outputs]")

    def hit(stepper: Stepper) -> str:
        number, found = stepper.span.number, stepper.span.outputs
        if found is None:
            raise InputError("outputs are known of networks that are evaluated timestep by timestep: give an --input")
        if found.shape != reference.shape[1:]:
            raise InputError(
                f"{path} has {counted(reference.shape[1], 'output')}, the network {found.size}: give its own outputs"
            )
        if number >= len(reference) or (found == reference[number]).all():
            return ""
        first = int(np.flatnonzero(found != reference[number])[0])
        return f"output {first} is {found[first]}, and {reference[number, first]} in {path}"

    return Breakpoint(text, hit, ends=True)


def _time(text: str, when: str) -> Breakpoint:
    found = re.fullmatch(r"([\d.]+(?:e\d+)?)(s|ms|us|ns|ps)", when)
    scale = dict(TIMES)
    try:
        time_ps = float(found[1]) * scale[found[2]] if found else None
    except ValueError:
        time_ps = None
    if time_ps is None:
        raise InputError(f"time {when!r}: give a number and a unit, such as 2.5us")
    passed: list[int] = []  # spans in which it has stopped

    def hit(stepper: Stepper) -> str:
        if stepper.now_ps < time_ps or stepper.span.number in passed:
            return ""
        passed.append(stepper.span.number)
        return f"it is {when} or later"

    return Breakpoint(text, hit)
