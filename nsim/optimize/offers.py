"""The cuts that are on offer: of one layer along one axis or several, and of all layers by closed forms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

import numpy as np

from nsim.errors import MappingError
from nsim.mapping.cores.partition import AXES, even_partition, grid_slices, spatial
from nsim.network.layers import Layer
from nsim.optimize.bound import Bound
from nsim.optimize.candidate import Candidate, by_layer
from nsim.optimize.menu import Cut
from nsim.optimize.problem import Problem

PARTS = (*range(1, 49), 52, 56, 60, 64, 72, 80, 96, 112, 128)  # slices along one axis
TILES = {"channels": (1, 2, 4, 8), "rows": (1, 2, 3, 4, 5, 6, 8, 12), "columns": (1, 2, 3, 4, 5, 6, 8, 12, 16, 24)}
EVEN = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 26, 32, 40, 56, 64)  # slices of all layers alike
TIMES = (2, 3, 4, 6, 8)  # slices of every layer, those that it begins with being 1


def offered(problem: Problem, number: int, forms: Iterable[Candidate]) -> list[Cut]:
    """The cuts of a layer that fit the chip: those of these candidates, and its own."""
    layer = problem.layers[number]
    cuts = [form.slices[number] for form in forms]
    cuts += _along_one_axis(problem, layer)
    if problem.tiles and spatial(layer):
        cuts += _along_several(problem, layer)
    return [cut for cut in dict.fromkeys(cuts) if problem.cutter.fits(cut)]


def _along_one_axis(problem: Problem, layer: Layer) -> Iterator[Cut]:
    cutter = problem.cutter
    for axis in cutter.axes(layer):
        most = min(problem.most_cores, cutter.granules(layer, axis))
        for parts in (parts for parts in PARTS if parts <= most):
            for even in (False, True):
                cut = cutter.into(layer, axis, parts, even)
                if cut is not None and len(cut) <= problem.most_cores:
                    yield cut


def _along_several(problem: Problem, layer: Layer) -> Iterator[Cut]:
    """Even boxes over two or three axes."""
    granules = {axis: problem.cutter.granules(layer, axis) for axis in AXES}
    numbers = [[n for n in (*TILES[axis], granules[axis]) if n <= granules[axis]] for axis in AXES]
    for parts in dict.fromkeys(product(*numbers)):
        if np.prod(parts) <= problem.most_cores and sum(n > 1 for n in parts) > 1:
            sizes = {axis: _even(granules[axis], n, layer.neuron.granule) for axis, n in zip(AXES, parts, strict=True)}
            yield tuple(grid_slices(layer, sizes))


def _even(granules: int, parts: int, granule: int) -> list[int]:
    return [granule * (granules // parts + (part < granules % parts)) for part in range(parts)]


def bound_of(problem: Problem, multicast: bool = False) -> Bound:
    """Bounds with all cuts on offer, those of the start and of closed forms among them."""
    forms = [problem.start, *closed_forms(problem)]
    cuts = [offered(problem, number, forms) for number in range(len(problem.layers))]
    return Bound(problem, cuts, multicast=multicast)


def closed_forms(problem: Problem) -> list[Candidate]:
    """Even cuts: of all layers alike, and of each in proportion to what it begins with."""
    found = []
    given = {layer.name: len(cut) for layer, cut in zip(problem.layers, problem.start.slices, strict=True)}
    room = {layer.name: max(layer.shape) // layer.neuron.granule for layer in problem.layers}
    ways: list[int | dict[str, int]] = [*EVEN]
    ways += [{name: min(times * n, room[name]) for name, n in given.items()} for times in TIMES]
    for cores in ways:
        form = _even_form(problem, cores)
        if form is not None and problem.allows(form):
            found.append(form)
    return found


def _even_form(problem: Problem, cores: int | dict[str, int]) -> Candidate | None:
    try:
        return problem.candidate(by_layer(even_partition(problem.rules, cores), problem.rules)[0])
    except MappingError:  # no room for so many slices of some layer
        return None
