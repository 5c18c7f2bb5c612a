"""Routes on the mesh: dimension order, first along the row (X), then along the column (Y).

Routers are numbered row by row, router = y * columns + x. With dimension order no cycle of links can wait for itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nsim.chip import MeshChip

Hop = tuple[int, int]  # from router, to router


def mesh_links(chip: MeshChip) -> list[Hop]:
    """All directed links between neighbouring routers: those to the east, west, south and north of every router."""
    columns, rows = chip.mesh.columns, chip.mesh.rows
    links = []
    for router in range(chip.routers):
        x, y = router % columns, router // columns
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            if 0 <= x + dx < columns and 0 <= y + dy < rows:
                links.append((router, (y + dy) * columns + x + dx))
    return links


def xy_route(chip: MeshChip, source: int, target: int) -> list[Hop]:
    """The links from router `source` to router `target`: X first, then Y."""
    columns = chip.mesh.columns
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


def next_hops(chip: MeshChip) -> NDArray[np.int32]:
    """The neighbour that follows on the way from router to router: int32[routers, routers], -1 where they are one."""
    columns = chip.mesh.columns
    router = np.arange(chip.routers)
    x, y = router % columns, router // columns
    dx, dy = np.sign(x[None, :] - x[:, None]), np.sign(y[None, :] - y[:, None])
    following = router[:, None] + np.where(dx != 0, dx, columns * dy)
    np.fill_diagonal(following, -1)
    return following.astype(np.int32)


def distance(chip: MeshChip, source: int, target: int) -> int:
    """Hops between two routers."""
    columns = chip.mesh.columns
    return abs(source % columns - target % columns) + abs(source // columns - target // columns)


def direction(chip: MeshChip, hop: Hop) -> str:
    """east, west, south or north; rows are numbered from north to south."""
    step = hop[1] - hop[0]
    if abs(step) == chip.mesh.columns and hop[0] % chip.mesh.columns == hop[1] % chip.mesh.columns:
        return "south" if step > 0 else "north"
    return "east" if step > 0 else "west"
