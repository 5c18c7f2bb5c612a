"""The way of a spike over its neuron's tree: which line leads on to which, and where rows are read.

A spike leaves its tile by the neuron's own lines, enters the routers beside it, is handed on by all lines of the tree
that leave a router, and ends in the rows of the destination tiles; it also reads the neuron's row in its own tile. A
router passes a spike once: where lines of one neuron enter it from several sides, the one over the fewest routers
counts (of equal ones the first by the sides on its way, in the order N, E, S, W), and the others end there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nsim.errors import MappingError, check_fits
from nsim.mapping.tiles.fabric import NT, R0, R1, Fabric
from nsim.mapping.tiles.routing import Routing

# One record per branch: the spike of one neuron on a line out of a router, or at a row of a tile.
BRANCH = np.dtype(
    [
        ("port", np.int32),  # edge 4 * cell + side, or 4 * cells + tile for a row
        ("first", np.int32),  # the branches that it leads to are first:end, ordered by side
        ("end", np.int32),
    ]
)


@dataclass(frozen=True, eq=False)
class Branches:
    """The branches of all neurons.

    indptr   int64[neurons + 1]   neuron q owns branch[indptr[q]:indptr[q + 1]], its own row first
    roots    int64[neurons]       where the branches end with which a spike begins: they are indptr[q]:roots[q]
    branch   BRANCH[branches]
    entered_ptr, entered   int64[neurons + 1], int32[...]   the cells that a spike enters, each once: routers, and tiles
                                                            whose row it reads, its own included
    """

    fabric: Fabric
    indptr: NDArray[np.int64]
    roots: NDArray[np.int64]
    branch: NDArray[np.void]
    entered_ptr: NDArray[np.int64]
    entered: NDArray[np.int32]

    @property
    def ports(self) -> int:
        """Ports are numbered below this: those out of cells, then the rows of each tile."""
        return 4 * self.fabric.cells + self.fabric.tiles

    def users(self) -> NDArray[np.int64]:
        """Neurons that use each port: int64[ports]."""
        return np.bincount(self.branch["port"], minlength=self.ports)

    def entries(self, firing: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often each cell is entered if these neurons fire once each, int64[cells]."""
        counts = np.zeros(self.fabric.cells, np.int64)
        _count_entries(self.entered_ptr, self.entered, firing, counts)
        return counts


def find_branches(routing: Routing) -> Branches:
    """Turn the trees of a routed network into branches.

    raises   MappingError if they do not fit into memory
    """
    fabric = routing.fabric
    neurons = routing.tile_of.size
    most = int(routing.edge_use.sum()) + int(routing.links.tile.size) + neurons
    if 64 * most > 1 << 20:
        check_fits(64 * most, "the branches of all trees", "take a smaller network or grid", MappingError)
    branch, entered = np.zeros(most, BRANCH), np.empty(most, np.int32)
    indptr, roots, entered_ptr = (
        np.zeros(neurons + 1, np.int64),
        np.zeros(neurons, np.int64),
        np.zeros(neurons + 1, int),
    )
    tile_at = np.full(fabric.cells, -1, np.int64)
    tile_at[fabric.tile_cell] = np.arange(fabric.tiles)
    home = fabric.tile_cell[routing.tile_of]
    _grow_branches(routing.trees, home, tile_at, fabric.beyond, indptr, roots, branch, entered_ptr, entered)
    return Branches(fabric, indptr, roots, branch[: indptr[-1]], entered_ptr, entered[: entered_ptr[-1]])


@njit(cache=True, nogil=True)
def _grow_branches(trees, home, tile_at, beyond, indptr, roots, branch, entered_ptr, entered):
    """Breadth first over every neuron's tree, so that each router is entered over the fewest others."""
    cells = tile_at.size
    seen = np.full(cells, -1, np.int64)
    count = cells_entered = 0
    for neuron in range(home.size):
        cell = home[neuron]
        seen[cell] = neuron
        branch[count].port = 4 * cells + tile_at[cell]
        count += 1
        entered[cells_entered] = cell
        cells_entered += 1
        for side in range(4):  # the neuron's own lines into the routers beside its tile
            if _has(trees, neuron, 4 * cell + side):
                first = beyond[cell, side]
                seen[first] = neuron
                entered[cells_entered] = first
                cells_entered += 1
                count = _leave(trees, neuron, first, branch, count)
        roots[neuron] = count
        at = indptr[neuron]
        while at < count:
            port = branch[at].port
            branch[at].first = count
            reached = beyond[port >> 2, port & 3] if port < 4 * cells else -1
            if reached >= 0 and seen[reached] != neuron:
                seen[reached] = neuron
                entered[cells_entered] = reached
                cells_entered += 1
                if tile_at[reached] >= 0:
                    branch[count].port = 4 * cells + tile_at[reached]
                    count += 1
                else:
                    count = _leave(trees, neuron, reached, branch, count)
            branch[at].end = count
            at += 1
        indptr[neuron + 1] = count
        entered_ptr[neuron + 1] = cells_entered


@njit(cache=True, nogil=True)
def _leave(trees, neuron, cell, branch, count):
    """Add a branch for each line of the neuron's tree that leaves a router; returns how many branches there are."""
    for side in range(4):
        if _has(trees, neuron, 4 * cell + side):
            branch[count].port = 4 * cell + side
            count += 1
    return count


@njit(cache=True, nogil=True)
def _has(trees, neuron, edge):
    return trees[neuron, edge >> 6] >> np.uint64(edge & 63) & np.uint64(1)


@njit(cache=True, nogil=True)
def _count_entries(entered_ptr, entered, firing, counts):
    for neuron in firing:
        for at in range(entered_ptr[neuron], entered_ptr[neuron + 1]):
            counts[entered[at]] += 1


def entries_by_kind(fabric: Fabric, entries: NDArray[np.int64]) -> dict[str, int]:
    """Entries into cells by the action of the chip file that each is."""
    by_kind = np.bincount(fabric.kind, entries, minlength=3).astype(np.int64)
    return {"row_read": int(by_kind[NT]), "r1_crossing": int(by_kind[R1]), "r0_crossing": int(by_kind[R0])}
