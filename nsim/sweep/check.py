"""What can be wrong with a sweep before anything runs: every name, every chip parameter, every combination."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from nsim.errors import MappingError, NsimError, SweepError
from nsim.frame.plan import MODES
from nsim.mapping import parse_even
from nsim.mapping.place import PLACEMENTS
from nsim.mosaic.chip import MosaicChip
from nsim.stream.options import parse_core_options
from nsim.sweep.evaluate import activity, chip_of, file_chip, file_digest, files_of, network_of
from nsim.sweep.points import Point, Points
from nsim.sweep.schedules import check_schedule
from nsim.sweep.spec import Block, Spec
from nsim.workloads import BUILTIN, options

CHECKED_POINTS = 10_000  # of larger sweeps so many, evenly spread; what is wrong with others is found as they run
# What only some chips know, of a point, by discipline, and what they work on
OWN = {
    "barrier": (
        {"partition", "placement", "weight_format", "timesteps", "samples", "activation_sparsity"},
        "timesteps",
    ),
    "frame": ({"mode", "clock_mode", "samples", "activation_sparsity", "critical_path"}, "frames"),
    "stream": ({"core_options"}, "events as they come"),
}
OWN["barrier"][0].add("critical_path")
CLOCK_MODES = ("performance", "economy", "low-power")


def check(spec: Spec, points: Points) -> list[str]:
    """Everything that is wrong, one line each; none if the sweep can run."""
    found = [f"points[{number}].{line}" for number, block in enumerate(spec.points) for line in names(block)]
    return found or combinations(points)


def names(block: Block) -> Iterator[str]:
    """What is wrong with single names, whatever they are combined with."""
    checks: dict[str, Callable] = {
        "networks": network_of,
        "chips": _chip,
        "schedules": check_schedule,
        "partitions": _partition,
        "placements": _placement,
        "weight_formats": lambda name: choose(name, ("dense", "sparse")),
        "modes": lambda name: choose(name.partition(":")[0], MODES),
        "clock_modes": lambda name: choose(name, CLOCK_MODES),
        "core_options": parse_core_options,
    }
    for axis, look in checks.items():
        for name in getattr(block, axis) or ():
            if problem := error_of(look, name):
                yield f"{axis}: {problem}"
    if block.schedules and block.activation_sparsity is None:
        yield "schedules: they spread a mean over the layers: add activation_sparsity = [...]"
    if block.inputs and block.activation_sparsity is not None:
        yield "inputs: the network is evaluated on them, activation_sparsity is drawn: choose one"


def error_of(look: Callable, *arguments: object) -> str | None:
    try:
        look(*arguments)
    except NsimError as error:
        return str(error)
    return None


def choose(name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise SweepError(f"no {name!r}: {hint}choose from {', '.join(known)}")


def _chip(name: str) -> None:
    chip = file_chip(name)
    if isinstance(chip, MosaicChip):
        raise SweepError(
            f"chip {name!r} has neuron tiles, which sweeps do not cover: choose one with timesteps, frames or streams"
        )


def _partition(name: str) -> None:
    if name.startswith("even:"):
        cores = parse_even(name.removeprefix("even:"))
        for number in cores.values() if isinstance(cores, dict) else (cores,):
            if number < 1:
                raise MappingError(f"partition {name!r} gives {number} cores: give at least 1")
    elif name.endswith(".toml"):
        file_digest(name)
    elif name != "default":
        choose(name, ("default", "even:N", "even:LAYER=N", "FILE.toml"))


def _placement(name: str) -> None:
    method, colon, seed = name.partition(":")
    if not (method == "random" and colon and seed.isdecimal()):
        choose(name, PLACEMENTS)


def combinations(points: Points) -> list[str]:
    """What is wrong with points; the same problem of several points is one line."""
    chosen = np.unique(np.linspace(0, len(points) - 1, min(len(points), CHECKED_POINTS)).round().astype(int))
    found: dict[str, list[int]] = {}
    for number in chosen.tolist():
        for problem in problems_of(points[number]):
            found.setdefault(problem, []).append(number)
    return [f"{_numbers(numbers)}: {problem}" for problem, numbers in found.items()]


def _numbers(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:3]))
    return f"point{'s' * (len(numbers) > 1)} {shown}" + (f", ... ({len(numbers)} points)" if len(numbers) > 3 else "")


def problems_of(point: Point) -> Iterator[str]:
    problem = chip_problem(point.chip, point.chip_parameters)
    if problem:
        yield problem
        return
    known, unit = OWN[file_chip(point.chip).discipline]
    for name in sorted(set().union(*(own for own, _ in OWN.values())) - known):
        if value := getattr(point, name):
            yield f"{name} = {value!r} is not for chip {point.chip!r}, which works on {unit}: leave it out"
    yield from filter(None, (network_problem(point.network, point.weight_sparsity is not None, point.dt_s),))
    yield from filter(None, (layers_problem(point.network, point.partition),))
    for path in files_of(point):
        yield from filter(None, (error_of(file_digest, path),))
    if point.schedule and not point.schedule.startswith("random"):
        yield from filter(None, (error_of(activity, point, network_of(point.network, None, point.dt_s)),))


@cache
def chip_problem(chip: str, parameters: tuple) -> str | None:
    return error_of(chip_of, chip, parameters)


@cache
def network_problem(network: str, sparse: bool, dt_s: float | None) -> str | None:
    base = network.partition(":")[0]
    if sparse and (base not in BUILTIN or "density" not in options(base)):
        return f"weight_sparsity is for built-in networks, whose weights are drawn, but {network!r} is a file"
    if sparse and "density=" in network:
        return f"network {network!r} sets density, and weight_sparsity does too: leave one out"
    return None


@cache
def layers_problem(network: str, partition: str | None) -> str | None:
    """Layers that a partition names and the network does not have."""
    if partition is None or not partition.startswith("even:") or "=" not in partition:
        return None
    layers = [layer.name for layer in network_of(network).layers if layer.on_chip]
    cores = parse_even(partition.removeprefix("even:"))
    for name in cores if isinstance(cores, dict) else ():
        if problem := error_of(choose, name, tuple(layers)):
            return f"partition {partition!r} of network {network!r}: {problem}"
    return None
