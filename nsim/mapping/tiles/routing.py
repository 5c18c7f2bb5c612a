"""Routing of a placed network: one tree of dedicated lines per source neuron, and what they take of every port.

Connections inside a tile need no routing. Several targets in one tile take one line, which the tile fans out. The tree
of a neuron is the union of its routes: an edge that several of them use is one line. Every neuron has lines of its
own. The network is *mappable* if no port carries more lines than it has.
Source: restated after the published program of Weber, Ballet, Payvand 2024, arXiv:2412.01575.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nsim.errors import MappingError, check_fits
from nsim.mapping.tiles.connectivity import Connectivity
from nsim.mapping.tiles.fabric import NT, SIDES, Fabric
from nsim.mapping.tiles.routes import Routes, find_routes

PORTS = tuple(f"{way} {side}" for way in ("in", "out") for side in SIDES)


@dataclass(frozen=True)
class Violation:
    """A port that would need more lines than it has."""

    cell: int
    port: int  # 0..3 in by N, E, S, W; 4..7 out
    used: int
    capacity: int


@dataclass(frozen=True, eq=False)
class Links:
    """The tiles that each neuron sends to, its own left out, by source neuron.

    indptr  int64[neurons + 1]
    tile    int32[links]          ascending within a neuron
    """

    indptr: NDArray[np.int64]
    tile: NDArray[np.int32]

    @property
    def sources(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(self.indptr.size - 1), np.diff(self.indptr))


@dataclass(frozen=True, eq=False)
class Routing:
    """A network routed on a fabric.

    tile_of   int64[neurons]          the tile of every neuron
    route     int64[links]            which of `routes` each link takes
    trees     uint64[neurons, words]  packed bits: edge e is bit e % 64 of word e // 64
    edge_use  int64[cells * 4]        neurons whose tree has that edge
    crossings int64[3]                cells that all neurons' trees enter, by kind NT, R1, R0
    joins     int64[3]                pairs (line in, line out) of one neuron in one cell, by kind; an NT has none
    """

    fabric: Fabric
    tile_of: NDArray[np.int64]
    links: Links
    routes: Routes
    route: NDArray[np.int64]
    trees: NDArray[np.uint64]
    edge_use: NDArray[np.int64]
    crossings: NDArray[np.int64]
    joins: NDArray[np.int64]

    @cached_property
    def ports(self) -> NDArray[np.int64]:
        """Lines of every port: int64[cells, 8], in by N, E, S, W, then out by N, E, S, W.

        The source tile's own output is not counted: it is one line per neuron, used or not.
        """
        fabric = self.fabric
        by_cell = self.edge_use.reshape(fabric.height, fabric.width, 4)
        ports = np.zeros((fabric.height, fabric.width, 8), np.int64)
        ports[1:, :, 0] = by_cell[:-1, :, 2]
        ports[:, :-1, 1] = by_cell[:, 1:, 3]
        ports[:-1, :, 2] = by_cell[1:, :, 0]
        ports[:, 1:, 3] = by_cell[:, :-1, 1]
        ports[:, :, 4:] = by_cell
        by_port = ports.reshape(-1, 8)
        by_port[fabric.kind == NT, 4:] = 0
        return by_port

    def tree(self, neuron: int) -> list[int]:
        """The edges of one neuron's tree, ascending."""
        bits = np.unpackbits(self.trees[neuron].view(np.uint8), bitorder="little")
        return np.flatnonzero(bits).tolist()

    def users(self, edge: int) -> NDArray[np.int64]:
        """The neurons whose tree has this edge."""
        return np.flatnonzero(self.trees[:, edge >> 6] >> np.uint64(edge & 63) & np.uint64(1))

    def violations(self, capacities: NDArray[np.int64]) -> list[Violation]:
        """The ports that carry more lines than they have, `capacities` int64[cells, 8], in order of cell and port."""
        ports = self.ports
        over = np.argwhere(ports > capacities).tolist()
        return [Violation(cell, port, int(ports[cell, port]), int(capacities[cell, port])) for cell, port in over]


def home_tiles(fabric: Fabric, neurons: int, name: str) -> NDArray[np.int64]:
    """Neuron q in tile q // n, as the published program has it: there is no placement.

    raises   MappingError if there are more neurons than the tiles hold
    """
    if neurons > fabric.capacity:
        tiles = -(-neurons // fabric.neurons)
        raise MappingError(
            f"{name} has {neurons:,} neurons, but {fabric.rows}x{fabric.columns} tiles of {fabric.neurons} hold "
            f"{fabric.capacity:,}: give --grid at least {tiles} tiles, or more --neurons-per-tile"
        )
    return np.arange(neurons) // fabric.neurons


def find_links(connectivity: Connectivity, tile_of: NDArray[np.int64], tiles: int) -> Links:
    """The tiles each neuron has to reach."""
    indptr, tile = _find_links(connectivity.indptr, connectivity.targets, tile_of, tiles)
    return Links(indptr, tile)


def route_network(fabric: Fabric, connectivity: Connectivity, tile_of: NDArray[np.int64] | None = None) -> Routing:
    """Route every neuron's links by the published rule.

    tile_of   int64[neurons]   where the neurons are; by default neuron q in tile q // n
    raises    MappingError if there are more neurons than the tiles hold
    """
    home = home_tiles(fabric, connectivity.neurons, connectivity.name)
    tile_of = home if tile_of is None else tile_of
    links = find_links(connectivity, tile_of, fabric.tiles)
    return route_links(fabric, tile_of, links)


def route_links(
    fabric: Fabric,
    tile_of: NDArray[np.int64],
    links: Links,
    routes: Routes | None = None,
    route: NDArray[np.int64] | None = None,
) -> Routing:
    """Grow the trees of links whose route is given, by default the published one."""
    routes = routes or find_routes(fabric.rows, fabric.columns)
    if route is None:
        route = routes.pair_ptr[tile_of[links.sources] * fabric.tiles + links.tile]
    words = -(-4 * fabric.cells // 64)
    check_fits(8 * tile_of.size * words, "the trees of all neurons", "take a smaller grid", MappingError)
    trees = np.zeros((tile_of.size, words), np.uint64)
    grown = _grow_trees(links.indptr, route, routes.route_ptr, routes.edges, fabric.kind, fabric.width, trees)
    return Routing(fabric, tile_of, links, routes, route, trees, *grown)


@njit(cache=True, nogil=True)
def _find_links(indptr, targets, tile_of, tiles):
    neurons = indptr.size - 1
    seen = np.full(tiles, -1, np.int64)
    found = np.empty(min(targets.size, neurons * tiles), np.int32)
    pointers = np.zeros(neurons + 1, np.int64)
    count = 0
    for neuron in range(neurons):
        seen[tile_of[neuron]] = neuron
        for synapse in range(indptr[neuron], indptr[neuron + 1]):
            tile = tile_of[targets[synapse]]
            if seen[tile] != neuron:
                seen[tile] = neuron
                found[count] = tile
                count += 1
        found[pointers[neuron] : count].sort()
        pointers[neuron + 1] = count
    return pointers, found[:count].copy()


@njit(cache=True, nogil=True)
def _grow_trees(indptr, route, route_ptr, edges, kind, width, trees):
    """Set the bits of every neuron's edges; returns lines by edge, cells crossed by kind, and joined lines by kind.

    A join is one (line in, line out) of a neuron in a router: a device that conducts. A router that a neuron enters
    from two sides joins both lines to the same line out, so joins and edges are counted apart.
    """
    edge_use = np.zeros(kind.size * 4, np.int64)
    crossings, joins = np.zeros(3, np.int64), np.zeros(3, np.int64)
    cell_seen, join_seen = np.full(kind.size, -1, np.int64), np.full(kind.size * 16, -1, np.int64)
    step = (-width, 1, width, -1)
    one = np.uint64(1)
    for neuron in range(indptr.size - 1):
        for link in range(indptr[neuron], indptr[neuron + 1]):
            side_in = 0
            for at in range(route_ptr[route[link]], route_ptr[route[link] + 1]):
                edge = edges[at]
                cell, side = edge >> 2, edge & 3
                if at > route_ptr[route[link]]:
                    join = cell * 16 + side_in * 4 + side
                    if join_seen[join] != neuron:
                        join_seen[join] = neuron
                        joins[kind[cell]] += 1
                side_in = (side + 2) & 3
                bit = one << np.uint64(edge & 63)
                if trees[neuron, edge >> 6] & bit:
                    continue
                trees[neuron, edge >> 6] |= bit
                edge_use[edge] += 1
                reached = cell + step[side]
                if cell_seen[reached] != neuron:
                    cell_seen[reached] = neuron
                    crossings[kind[reached]] += 1
    return edge_use, crossings, joins
