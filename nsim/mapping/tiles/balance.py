"""A choice among equal one-turn routes, link by link, so that lines spread over the ports.

Rip-up and reroute, after the negotiated congestion of McMurchie and Ebeling 1995 (PathFinder): again and again each
neuron's tree is taken out and grown anew, each link by the route that adds least to the congestion.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nsim.mapping.tiles.congestion import cost_to_add, edge_capacities, edge_weights, put_in, take_out
from nsim.mapping.tiles.routes import find_routes
from nsim.mapping.tiles.routing import Routing, route_links

MAX_PASSES = 50


def balance_routes(routing: Routing, rng: np.random.Generator, capacities: NDArray[np.int64] | None = None) -> Routing:
    """The same links on other routes of the same length and at most one turn, never more congested than before.

    rng         draws the order in which neurons are rerouted
    capacities  int64[cells, 8]: first of all, as few lines as possible beyond these; None: least memory
    """
    fabric, links = routing.fabric, routing.links
    routes = find_routes(fabric.rows, fabric.columns, equals=True)
    pair = routing.tile_of[links.sources] * fabric.tiles + links.tile
    route = routes.pair_ptr[pair]
    grown = route_links(fabric, routing.tile_of, links, routes, route)
    trees, use = grown.trees.copy(), grown.edge_use.copy()
    costs = edge_weights(fabric), edge_capacities(fabric, capacities)
    for _ in range(MAX_PASSES):
        order = rng.permutation(routing.tile_of.size)
        if not _reroute(order, links.indptr, pair, *routes.arrays, *costs, route, trees, use):
            break
    return route_links(fabric, routing.tile_of, links, routes, route)


@njit(cache=True, nogil=True)
def _reroute(order, indptr, pair, pair_ptr, route_ptr, edges, weights, capacities, route, trees, use):
    """One pass over the neurons in this order; route, trees and use change in place. Neurons with new routes."""
    changed = 0
    kept = np.empty(np.max(np.diff(indptr)), np.int64)
    for neuron in order:
        first, last = indptr[neuron], indptr[neuron + 1]
        tree = trees[neuron]
        before = after = 0.0
        for link in range(first, last):
            kept[link - first] = route[link]
            before += take_out(_edges(route[link], route_ptr, edges), weights, capacities, tree, use)
        for link in range(first, last):
            least = np.inf
            for candidate in range(pair_ptr[pair[link]], pair_ptr[pair[link] + 1]):
                added = cost_to_add(_edges(candidate, route_ptr, edges), weights, capacities, tree, use)
                if added < least:
                    route[link], least = candidate, added
            after += put_in(_edges(route[link], route_ptr, edges), weights, capacities, tree, use)
        if after < before * (1 - 1e-9):
            changed += 1
            continue
        for link in range(first, last):
            take_out(_edges(route[link], route_ptr, edges), weights, capacities, tree, use)
        for link in range(first, last):
            route[link] = kept[link - first]
            put_in(_edges(route[link], route_ptr, edges), weights, capacities, tree, use)
    return changed


@njit(cache=True, nogil=True)
def _edges(route, route_ptr, edges):
    return edges[route_ptr[route] : route_ptr[route + 1]]
