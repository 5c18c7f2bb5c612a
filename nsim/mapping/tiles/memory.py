"""Memory elements (devices of the crossbars) that a routed network takes, under two counts.

provisioned  the hardware is homogeneous: every tile is as large as the worst one of its kind
programmed   the devices that conduct: connections, and lines that routers join

Source: the count of the published program of Weber, Ballet, Payvand 2024, arXiv:2412.01575; its total over the chip,
M = NTs * (input block + n * n) + R1s * r1_side^2 + R0s * r0_side^2, follows from the published results.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsim.mapping.tiles.connectivity import Connectivity
from nsim.mapping.tiles.fabric import NT, R0, R1, Fabric
from nsim.mapping.tiles.routing import Routing


@dataclass(frozen=True)
class TileSizes:
    """The worst tile of each kind.

    nt_lines  lines that enter a neuron tile: the maxima over all tiles by N, E, S, W, added up
    r1_side   rows and columns of an R1: its input or output lines on all four sides, whichever are more
    r0_side   rows and columns of an R0: four times its widest port
    """

    nt_lines: int
    r1_side: int
    r0_side: int


@dataclass(frozen=True)
class Memory:
    """Memory elements of a whole chip by what they are."""

    nt_inputs: int
    nt_recurrent: int
    r1: int
    r0: int

    @property
    def total(self) -> int:
        return self.nt_inputs + self.nt_recurrent + self.r1 + self.r0


def worst_ports(routing: Routing) -> NDArray[np.int64]:
    """Most lines of each port over the cells of each kind, int64[3, 8]; R1s as if their tiles lay north and south.

    Every R1 takes in all n neurons of each tile beside it, whether they use it or not.
    """
    fabric = routing.fabric
    ports = fabric.in_frame(routing.ports)
    worst = np.array([ports[fabric.kind == kind].max(axis=0) for kind in (NT, R1, R0)])
    worst[R1, [0, 2]] = fabric.neurons
    return worst


def tile_sizes(worst: NDArray[np.int64]) -> TileSizes:
    """Sizes from the worst ports of each kind, int64[3, 8]."""
    n, e, s, w = worst[R1, :4].tolist()
    out_n, out_e, out_s, out_w = worst[R1, 4:].tolist()
    r1_side = max(2 * max(n, s) + 2 * max(e, w), 2 * max(out_n, out_s) + 2 * max(out_e, out_w))
    return TileSizes(int(worst[NT, :4].sum()), r1_side, 4 * int(worst[R0].max()))


def provisioned(fabric: Fabric, sizes: TileSizes) -> Memory:
    """Elements of homogeneous hardware of these sizes."""
    nts, r1s, r0s = fabric.counts
    n = fabric.neurons
    return Memory(nts * sizes.nt_lines * n, nts * n * n, r1s * sizes.r1_side**2, r0s * sizes.r0_side**2)


def programmed(routing: Routing, connectivity: Connectivity) -> Memory:
    """Elements that conduct: one per connection, and one per pair of lines that a router joins."""
    tile_of = routing.tile_of
    inside = int(np.count_nonzero(tile_of[connectivity.sources] == tile_of[connectivity.targets]))
    _, r1, r0 = routing.joins.tolist()
    return Memory(connectivity.connections - inside, inside, r1, r0)
