"""Where to stop: each breakpoint looks at the stepper after every service and says why it stops, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nsim.chip.chip import nearest
from nsim.errors import InputError, counted
from nsim.formats.numpy_files import existing, read_npy
from nsim.report.units import TIMES

Span: TypeAlias = Any  # of nsim.report.stepping.span and .stepper, which import this module
Stepper: TypeAlias = Any
Hit = Callable[[Stepper], str]  # why it stops after the last service, or an empty text


@dataclass(frozen=True)
class Form:
    """A kind of breakpoint.

    words    as it is typed
    pattern  of that
    make     the breakpoint of a span, from what stands in the groups of the pattern
    ends     whether it looks at the ends of spans only
    """

    words: str
    pattern: str
    make: Callable[..., Hit]
    ends: bool = False


@dataclass(frozen=True)
class Breakpoint:
    """A place to stop, as it was typed. ends: it looks at the ends of spans only."""

    words: str
    hit: Hit
    ends: bool


def parse_break(text: str, span: Span) -> Breakpoint:
    """A breakpoint as it is typed.

    raises   InputError for one that there is not, with those that there are
    """
    for form in span.forms:
        if (found := re.fullmatch(form.pattern, " ".join(text.split()))) is not None:
            return Breakpoint(text, form.make(span, *found.groups()), form.ends)
    raise InputError(f"no breakpoint {text!r}: there are {', '.join(form.words for form in span.forms if form.words)}")


def is_called(name: str, wanted: str) -> bool:
    return f"{name} ".startswith(f"{wanted} ") or not wanted


def _neuron(span: Span, layer: str, index: str | None) -> Hit:
    by_name = span.network.by_name
    if layer not in by_name:
        raise InputError(f"no layer {layer!r}{nearest(layer, list(by_name))}: there are {', '.join(by_name)}")
    most = by_name[layer].neurons
    if index is not None and not (index.isdecimal() and int(index) < most):
        raise InputError(f"neuron {index!r} of layer {layer!r}: give 0 to {most - 1}")

    def hit(stepper: Stepper) -> str:
        fired = [each for each in stepper.fired if each[0] == layer and (index is None or each[1] == int(index))]
        return f"{fired[0][0]}:{fired[0][1]} fires" if fired else ""

    return hit


def _core(span: Span, core: str, limit: str) -> Hit:
    chip = span.mapping.chip
    if int(core) >= chip.cores:
        raise InputError(f"core {core}: chip {chip.name!r} has 0 to {chip.cores - 1}")
    return served(
        {span.simulation.machine.number("send", int(core))}, int(limit), f"core {int(core)} has sent", "message"
    )


def served(stations: Collection[int], limit: int, what: str, noun: str) -> Hit:
    """These stations have just served more than that together."""

    def hit(stepper: Stepper) -> str:
        simulation = stepper.simulation
        just = bool(simulation.log) and simulation.log[-1][0] in stations
        if not just or (found := sum(simulation.served[station] for station in stations)) != limit + 1:
            return ""
        return f"{what} {counted(found, noun)}, more than {limit}"

    return hit


def _full(span: Span, wanted: str | None) -> Hit:
    """A station has just begun to wait for a slot there."""

    def hit(stepper: Stepper) -> str:
        for held in stepper.held.values():
            name = stepper.name(held.target)
            if held.since_ps == stepper.now_ps and is_called(name, wanted or ""):
                return f"the queue before {name} is full"
        return ""

    return hit


def _over(span: Span, limit: str, wanted: str | None) -> Hit:
    """A queue has just come to hold one more than that."""

    def hit(stepper: Stepper) -> str:
        for number in sorted(stepper.queued):
            held, name = len(stepper.simulation.stations[number].queue.items), stepper.name(number)
            if held == int(limit) + 1 and is_called(name, wanted or ""):
                return f"the queue before {name} holds {held}, more than {int(limit)}"
        return ""

    return hit


def _outputs(span: Span, name: str) -> Hit:
    path = Path(name)
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

    return hit


def _time(span: Span, when: str) -> Hit:
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

    return hit


def refused(why: str) -> Callable[..., Hit]:
    """What makes a breakpoint that there is not on this chip."""

    def make(*_: object) -> Hit:
        raise InputError(why)

    return make


NEURON = Form("neuron LAYER, neuron LAYER:INDEX", r"neuron ([^: ]+)(?::(.*))?", _neuron)
CORE_SENDS = Form("core NUMBER sends COUNT", r"core (\d+) sends (\d+)", _core)
QUEUE_FULL = Form("queue full, queue full STATION", r"queue full(?: (.+))?", _full)
QUEUE_OVER = Form("queue over COUNT, queue over COUNT STATION", r"queue over (\d+)(?: (.+))?", _over)
OUTPUTS = Form("outputs FILE.npy", r"outputs (.+)", _outputs, ends=True)
TIME = Form("time 2.5us", r"time (\S+)", _time)
