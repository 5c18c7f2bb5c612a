"""Which tile and port decide how large the tiles are, who uses it, and what one line less there would save."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nsim.mapping.tiles.fabric import NT, R0, R1, SIDES
from nsim.mapping.tiles.mapping import MosaicMapping
from nsim.mapping.tiles.memory import provisioned


@dataclass(frozen=True)
class Decider:
    """A port that no other of its group exceeds.

    group    what it is the fullest of, such as "R0, any port"
    cell     the first such cell, in order of cells
    port     0..3 in by N, E, S, W; 4..7 out
    lines    that it carries
    as_full  other ports of the group that carry as many
    users    (tile, neurons of it) with lines there, most first
    saved    memory elements fewer if every port of the group had one line less
    """

    group: str
    cell: int
    port: int
    lines: int
    as_full: int
    users: list[tuple[int, int]]
    saved: int


def explain(mapping: MosaicMapping) -> list[Decider]:
    """The deciding port of each group of ports; groups without lines are left out."""
    found = []
    for group, mask, saved in _groups(mapping):
        lines = np.where(mask, mapping.routing.ports, 0)
        fullest = int(lines.max())
        if fullest:
            cell, port = divmod(int(lines.argmax()), 8)
            as_full = int(np.count_nonzero(lines == fullest)) - 1
            found.append(Decider(group, cell, port, fullest, as_full, _users(mapping, cell, port), saved))
    return found


def _groups(mapping: MosaicMapping) -> Iterator[tuple[str, NDArray[np.bool_], int]]:
    """Name, ports of the group bool[cells, 8], and what one line less in all of them saves."""
    fabric, sizes = mapping.fabric, mapping.sizes
    kind = fabric.kind[:, None]
    port = np.arange(8)
    now = mapping.provisioned.total

    def saving(**smaller: int) -> int:
        return now - provisioned(fabric, replace(sizes, **smaller)).total

    for side in range(4):
        saved = saving(nt_lines=sizes.nt_lines - 1)
        yield f"NT, in by {SIDES[side]}", (kind == NT) & (port == side), saved
    faces_tile = (port % 2 == 0) == fabric.upright[:, None]
    from_routers, to_routers = ((kind == R1) & ~faces_tile & part for part in (port < 4, port >= 4))
    to_tiles = (kind == R1) & faces_tile & (port >= 4)
    ports = mapping.routing.ports
    arriving = fabric.neurons + int(np.where(from_routers, ports, 0).max())
    leaving = int(np.where(to_tiles, ports, 0).max()) + int(np.where(to_routers, ports, 0).max())
    side_now = 2 * max(arriving, leaving)
    assert side_now == sizes.r1_side
    yield "R1, from routers", from_routers, saving(r1_side=2 * max(arriving - 1, leaving))
    yield "R1, to routers", to_routers, saving(r1_side=2 * max(arriving, leaving - 1))
    yield "R1, to its tiles", to_tiles, saving(r1_side=2 * max(arriving, leaving - 1))
    yield "R0, any port", np.broadcast_to(kind == R0, ports.shape), saving(r0_side=max(0, sizes.r0_side - 4))


def _users(mapping: MosaicMapping, cell: int, port: int) -> list[tuple[int, int]]:
    side = port % 4
    edge = 4 * int(mapping.fabric.beyond[cell, side]) + (side + 2) % 4 if port < 4 else 4 * cell + side
    tiles = Counter(mapping.routing.tile_of[mapping.routing.users(edge)].tolist())
    return sorted(tiles.items(), key=lambda item: (-item[1], item[0]))
