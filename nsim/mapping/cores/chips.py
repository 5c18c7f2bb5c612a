"""Which chip of a board holds which logical core: groups that exchange much stay on one chip.

METIS (Karypis and Kumar 1998), by pymetis, divides the traffic graph: multilevel, into any number of parts,
repeatable by a seed, in a wheel of 0.3 MB. The Kernighan-Lin of networkx only bisects,
and in Python; scipy has no partitioner.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nsim.chip.timesteps import BarrierChip
from nsim.errors import MappingError

HEAVIEST = 1 << 20  # of METIS's edges, which are 32-bit numbers and are summed


def place_by_chip(chip: BarrierChip, traffic: NDArray[np.int64]) -> NDArray[np.int64]:
    """Physical core of every logical core, on as few chips as hold them.

    traffic  int64[cores + 1, cores + 1]  messages from logical core to logical core, the host last
    raises   MappingError without pymetis
    It is that of row-major where nothing crosses less, and in order on each chip. (Column by column, the messages
    of a layer leave by all rows, but hold up the rest of the chip: 44.5, not 29.1 us for a perceptron on two chips.)
    """
    cores, room = len(traffic) - 1, chip.cores_per_chip
    in_order = np.arange(cores)
    chips = -(-cores // room)
    if chips < 2:
        return in_order
    exchange = traffic + traffic.T
    group = _groups(exchange[:cores, :cores], chips, room)
    on_chip = _chips_of_groups(chip, exchange, group, chips)[group]
    order = np.argsort(on_chip, kind="stable")
    placed = np.empty(cores, np.int64)
    placed[order] = on_chip[order] * room + in_order - np.searchsorted(on_chip[order], on_chip[order])
    return min(in_order, placed, key=lambda location: crossings(chip, exchange, location))


def crossings(chip: BarrierChip, exchange: NDArray[np.int64], location: NDArray[np.int64]) -> int:
    """Edges between chips that all messages cross; exchange: both ways, symmetric, the host last."""
    x, y = _chip_places(chip, np.append(location, chip.cores))
    return int((exchange * (np.abs(x[:, None] - x) + np.abs(y[:, None] - y))).sum()) // 2


def _chip_places(chip: BarrierChip, cores: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and rows of the chips that cores are on; of the host, of that which it is attached to."""
    router = chip.core_routers[cores]
    return router % chip.columns // chip.mesh.columns, router // chip.columns // chip.mesh.rows


def _groups(exchange: NDArray[np.int64], chips: int, room: int) -> NDArray[np.int64]:
    """A group for every core, at most `room` in each, with little exchange between them."""
    try:
        import pymetis
    except ImportError:
        raise MappingError(
            "placement chips needs the package pymetis: pip install 'nsim-neuromorphic[boards]'"
        ) from None
    cores = len(exchange)
    between = exchange.copy()
    np.fill_diagonal(between, 0)
    source, target = np.nonzero(between)
    weight = np.maximum(1, between[source, target] * HEAVIEST // max(HEAVIEST, int(between.max())))
    starts = np.searchsorted(source, np.arange(cores + 1))
    spare = max(1, 1000 * (chips * room - cores) // cores)  # per mille that a group may have more than the mean
    options = pymetis.Options(ufactor=spare, seed=0)
    graph = pymetis.CSRAdjacency(starts, target)
    _, found = pymetis.part_graph(chips, graph, eweights=weight, options=options)
    return _within(np.array(found, np.int64), between, chips, room)


def _within(group: NDArray[np.int64], exchange: NDArray[np.int64], chips: int, room: int) -> NDArray[np.int64]:
    """The same with no group above `room`: the core that loses least moves on to a group with room."""
    held = np.bincount(group, minlength=chips)
    while (held > room).any():
        full = int(held.argmax())
        own = np.flatnonzero(group == full)
        with_group = np.stack([exchange[own][:, group == other].sum(axis=1) for other in range(chips)], axis=1)
        gain = np.where(held < room, with_group - with_group[:, [full]], np.iinfo(np.int64).min)
        core, to = np.unravel_index(int(gain.argmax()), gain.shape)
        group[own[core]] = to
        held += (np.arange(chips) == to).astype(int) - (np.arange(chips) == full)
    return group


def _chips_of_groups(
    chip: BarrierChip, exchange: NDArray[np.int64], group: NDArray[np.int64], chips: int
) -> NDArray[np.int64]:
    """A chip for each group: the group that exchanges most with those placed goes where messages cross fewest edges."""
    label = np.append(group, chips)  # the host last
    between = np.zeros((chips + 1, chips + 1), np.int64)
    np.add.at(between, (label[:, None], label[None, :]), exchange)
    every = np.arange(chip.chips) * chip.cores_per_chip
    x, y = _chip_places(chip, np.append(every, chip.cores))
    return nearest_places(between, x, y)


def nearest_places(exchange: NDArray[np.int64], x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.int64]:
    """A place for each of some things that exchange messages, one after another, each where they cross fewest hops.

    exchange  int64[things + 1, things + 1]  both ways, symmetric; the last one is the host
    x, y      int64[places + 1]  columns and rows, the host's last
    Starts from the host, whose place is fixed; ties go to the lower number, so the result is unique.
    """
    things = len(exchange) - 1
    cost = exchange[:things, things][:, None] * (np.abs(x[:-1] - x[-1]) + np.abs(y[:-1] - y[-1]))[None, :]
    attraction = exchange[:things, things].copy()
    placed = np.full(things, -1)
    free = np.ones(x.size - 1, bool)
    for _ in range(things):
        waiting = placed < 0
        thing = int(np.flatnonzero(waiting)[np.argmax(attraction[waiting])])
        place = int(np.flatnonzero(free)[np.argmin(cost[thing][free])])
        placed[thing] = place
        free[place] = False
        attraction += exchange[:things, thing]
        hops = np.abs(x[:-1] - x[place]) + np.abs(y[:-1] - y[place])
        cost += exchange[:things, thing][:, None] * hops[None, :]
    return placed
