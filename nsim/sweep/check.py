"""What can be wrong with a sweep before anything runs: every name, every chip parameter, every combination."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from functools import cache, partial

import numpy as np

from nsim.chip.discipline import discipline_of
from nsim.chip.frames import CLOCK_MODES
from nsim.errors import MappingError, NsimError, SweepError, counted
from nsim.mapping.cores.mapping import parse_even
from nsim.mapping.cores.place import PLACEMENTS
from nsim.mapping.cores.precision import CHOICES as PRECISIONS
from nsim.mapping.events.options import parse_core_options
from nsim.mapping.frames.plan import MODES
from nsim.mapping.tiles.mapping import PLACEMENTS as PLACES
from nsim.mapping.tiles.mapping import ROUTES, parse_grid
from nsim.network.builtin import BUILTIN, options
from nsim.sweep.evaluate import activity, chip_of, file_chip, file_digest, files_of, network_of
from nsim.sweep.points import Point, Points, Value
from nsim.sweep.schedules import check_schedule
from nsim.sweep.spec import Block, Spec

CHECKED_POINTS = 10_000  # of larger sweeps so many, evenly spread; what is wrong with others is found as they run


def check(spec: Spec, points: Points) -> list[str]:
    """Everything that is wrong, one line each; none if the sweep can run."""
    found = [f"points[{number}].{line}" for number, block in enumerate(spec.points) for line in names(block)]
    return found or combinations(points)


def names(block: Block) -> Iterator[str]:
    """What is wrong with single names, whatever they are combined with."""
    checks: dict[str, Callable] = {
        "chips": file_chip,
        "networks": partial(_network, block),
        "schedules": check_schedule,
        "partitions": _partition,
        "placements": _placement,
        "weight_formats": lambda name: choose(name, ("dense", "sparse")),
        "precisions": lambda name: choose(name, PRECISIONS),
        "modes": lambda name: choose(name.partition(":")[0], MODES),
        "clock_modes": lambda name: choose(name, CLOCK_MODES),
        "core_options": parse_core_options,
        "grids": parse_grid,
        "places": lambda name: choose(name, PLACES),
        "routes": lambda name: choose(name, ROUTES),
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


def _network(block: Block, name: str) -> None:
    """Load it as every chip of the block takes it; what is wrong with a chip is said elsewhere."""
    for chip in block.chips:
        if error_of(file_chip, chip) is None:
            network_of(name, None, block.dt_s, file_chip(chip).discipline)


def _partition(name: str) -> None:
    if name.startswith("even:"):
        cores = parse_even(name.removeprefix("even:"))
        for number in cores.values() if isinstance(cores, dict) else (cores,):
            if number < 1:
                raise MappingError(f"partition {name!r} gives {counted(number, 'core')}: give at least 1")
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
    shown, all_of_them = ", ".join(map(str, numbers[:3])), counted(len(numbers), "point")
    return f"point{'s' * (len(numbers) > 1)} {shown}" + (f", ... ({all_of_them})" if len(numbers) > 3 else "")


def problems_of(point: Point) -> Iterator[str]:
    problem = chip_problem(point.chip, point.chip_parameters)
    if problem:
        yield problem
        return
    own = discipline_of(file_chip(point.chip))
    given = dict(point.options)
    if point.activation_sparsity is not None and "activity" not in own.run_options:
        given["activation_sparsity"] = point.activation_sparsity
    for name, value in sorted(given.items()):
        if name not in own.options:
            yield f"{name} = {value!r} is not for chip {point.chip!r}, which works on {own.works_on}: leave it out"
    yield from filter(None, (network_problem(point.network, point.weight_sparsity is not None),))
    yield from filter(None, (layers_problem(point.network, point.option("partition"), point.dt_s),))
    for path in files_of(point):
        yield from filter(None, (error_of(file_digest, path),))
    if point.schedule and not point.schedule.startswith("random"):
        yield from filter(None, (error_of(activity, point, network_of(point.network, None, point.dt_s)),))


@cache
def chip_problem(chip: str, parameters: tuple) -> str | None:
    return error_of(chip_of, chip, parameters)


@cache
def network_problem(network: str, sparse: bool) -> str | None:
    base = network.partition(":")[0]
    if sparse and (base not in BUILTIN or "density" not in options(base)):
        return f"weight_sparsity is for built-in networks, whose weights are drawn, but {network!r} is a file"
    if sparse and "density=" in network:
        return f"network {network!r} sets density, and weight_sparsity does too: leave one out"
    return None


@cache
def layers_problem(network: str, partition: Value | None, dt_s: float | None) -> str | None:
    """Layers that a partition names and the network does not have."""
    if not isinstance(partition, str) or not partition.startswith("even:") or "=" not in partition:
        return None
    layers = [layer.name for layer in network_of(network, None, dt_s).layers if layer.on_chip]
    cores = parse_even(partition.removeprefix("even:"))
    for name in cores if isinstance(cores, dict) else ():
        if problem := error_of(choose, name, tuple(layers)):
            return f"partition {partition!r} of network {network!r}: {problem}"
    return None
