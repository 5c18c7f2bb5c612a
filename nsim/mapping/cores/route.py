"""Routes on the mesh: dimension order, first along the row (X), then along the column (Y).

Routers are numbered row by row, router = y * columns + x. With dimension order no cycle of links can wait for itself.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import MeshChip

Hop = tuple[int, int]  # from router, to router


BETWEEN = 2  # a board's third kind of links, see `link_kinds`: from chip to chip
KEPT = 8  # meshes whose links are kept: chips that differ in their costs only have the same


def mesh_links(chip: MeshChip) -> tuple[Hop, ...]:
    """All directed links between neighbouring routers: those to the east, west, south and north of every router."""
    return _grid_links(chip.columns, chip.rows)


@lru_cache(KEPT)
def _grid_links(columns: int, rows: int) -> tuple[Hop, ...]:
    links = []
    for router in range(columns * rows):
        x, y = router % columns, router // columns
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            if 0 <= x + dx < columns and 0 <= y + dy < rows:
                links.append((router, (y + dy) * columns + x + dx))
    return tuple(links)


@lru_cache(KEPT)
def link_ends(columns: int, rows: int) -> NDArray[np.int64]:
    """Routers that the links of a mesh begin and end at: int64[2, links]."""
    return np.array(_grid_links(columns, rows), np.int64).reshape(-1, 2).T


@lru_cache(KEPT)
def link_numbers(columns: int, rows: int) -> dict[Hop, int]:
    """The number of every link of a mesh."""
    return {hop: number for number, hop in enumerate(_grid_links(columns, rows))}


def link_kinds(chip: MeshChip) -> NDArray[np.int64]:
    """The kind of every link between routers, as an index of the chip's `mesh_kinds`."""
    return _link_kinds(chip.columns, chip.rows, chip.mesh.columns, chip.mesh.rows)


@lru_cache(KEPT)
def _link_kinds(columns: int, rows: int, chip_columns: int, chip_rows: int) -> NDArray[np.int64]:
    x, y = link_ends(columns, rows) % columns, link_ends(columns, rows) // columns
    crosses = (np.diff(x // chip_columns, axis=0) != 0) | (np.diff(y // chip_rows, axis=0) != 0)
    return np.where(crosses, BETWEEN, np.diff(y, axis=0) != 0)[0].astype(np.int64)


def port_links(chip: MeshChip) -> NDArray[np.int64]:
    """The link that stands for each, int64[links]: itself, or the first of those that share its port between chips.

    Row r of the n rows of an edge (or column r of n) belongs to port r * ports // n, the same both ways. Routes stay as
    they are, and a port is passed where its links would be: with dimension order, still no cycle can wait for itself.
    """
    return _port_links(chip.columns, chip.rows, chip.mesh.columns, chip.mesh.rows, chip.ports or 0)


@lru_cache(KEPT)
def _port_links(columns: int, rows: int, chip_columns: int, chip_rows: int, ports: int) -> NDArray[np.int64]:
    here, there = link_ends(columns, rows)
    own = np.arange(here.size)
    shared = own[(_link_kinds(columns, rows, chip_columns, chip_rows) == BETWEEN) & (ports > 0)]
    if not shared.size:
        return own
    x, y, step = here[shared] % columns, here[shared] // columns, (there - here)[shared]
    across = np.abs(there % columns - here % columns)[shared] == 1  # over an edge to the east or west
    along, place = np.where(across, x, y), np.where(across, y, x)
    length = np.where(across, chip_rows, chip_columns)
    port = place % length * np.minimum(ports, length) // length
    keys = np.stack((step, across, along, place // length, port))
    _, first, member = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    own[shared] = shared[first[member.ravel()]]
    return own


def xy_route(chip: MeshChip, source: int, target: int) -> list[Hop]:
    """The links from router `source` to router `target`: X first, then Y."""
    columns = chip.columns
    x, y = source % columns, source // columns
    goal_x, goal_y = target % columns, target // columns
    hops = []
    while (x, y) != (goal_x, goal_y):
        here = y * columns + x
        if x != goal_x:
            x += 1 if goal_x > x else -1
        else:
            y += 1 if goal_y > y else -1
        hops.append((here, y * columns + x))
    return hops


WAYS = 9  # in which a router may lie from another one: 4 + 3 sign(dx) + sign(dy); 4 is where it is


def way_to(here: NDArray[np.int64], goal: NDArray[np.int64], columns: int) -> NDArray[np.int64]:
    """In which of WAYS routers lie from others."""
    return 4 + 3 * np.sign(goal % columns - here % columns) + np.sign(goal // columns - here // columns)


def links_onward(chip: MeshChip, first: int) -> NDArray[np.int32]:
    """The link by which a message leaves a router, by the way to its goal: int32[routers, WAYS], -1 for none.

    first   number of the first link. X first, then Y, as `xy_route`: small, however many routers a board has.
    """
    here, there = link_ends(chip.columns, chip.rows)
    way = way_to(here, there, chip.columns)
    link = np.full((chip.routers, WAYS), -1, np.int32)
    link[here, way] = first + np.arange(here.size)
    for row in (1, 7):  # to the west and to the east, whatever the row
        link[:, [row - 1, row + 1]] = link[:, [row]]
    return link


def distance(chip: MeshChip, source: int, target: int) -> int:
    """Hops between two routers."""
    columns = chip.columns
    return abs(source % columns - target % columns) + abs(source // columns - target // columns)


def direction(chip: MeshChip, hop: Hop) -> str:
    """east, west, south or north; rows are numbered from north to south."""
    step = hop[1] - hop[0]
    if abs(step) == chip.columns and hop[0] % chip.columns == hop[1] % chip.columns:
        return "south" if step > 0 else "north"
    return "east" if step > 0 else "west"
