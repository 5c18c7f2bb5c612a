"""Congestion, which the choice of routes brings down, and how it changes with one route of a neuron's tree.

Tiles are as large as the worst one of their kind, so what counts is the fullest port. A smooth stand-in for it is the
sum over edges of weight * lines ** POWER; beyond the capacity of an edge, every line costs OVER_CAPACITY on top.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nsim.mapping.tiles.fabric import NT, Fabric

POWER = 6.0
OVER_CAPACITY = 1e12  # more than any sum of weight * lines ** POWER that a change can save: 100 edges of 40 lines
UNLIMITED = 1 << 40


def edge_weights(fabric: Fabric) -> NDArray[np.float64]:
    """By edge: 1 between routers, 1 / n into a tile of n neurons, 0 for a tile's own output, which is no line.

    A line into a neuron tile is one row of n devices in each; one between routers widens two squares of hundreds.
    """
    kind = fabric.kind
    weights = np.where(kind[fabric.beyond] == NT, 1 / fabric.neurons, 1.0)
    weights[kind == NT] = 0.0
    return weights.ravel()


def edge_capacities(fabric: Fabric, ports: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Lines of every edge, the fewer of the two ports that it joins; `ports` int64[cells, 8], None: no limit."""
    if ports is None:
        return np.full(4 * fabric.cells, UNLIMITED)
    entered = np.stack([ports[fabric.beyond[:, side], (side + 2) % 4] for side in range(4)], axis=1)
    leaving = np.where((fabric.kind == NT)[:, None], UNLIMITED, ports[:, 4:])
    return np.minimum(entered, leaving).ravel()


@njit(cache=True, nogil=True)
def cost_of_line(lines, weight, capacity):
    """Congestion that one more line adds to an edge with so many."""
    over = OVER_CAPACITY if weight > 0 and lines >= capacity else 0.0
    return weight * ((lines + 1.0) ** POWER - float(lines) ** POWER) + over


@njit(cache=True, nogil=True)
def cost_to_add(edges, weights, capacities, tree, use):
    """Congestion that a route would add to a neuron's tree."""
    added = 0.0
    for edge in edges:
        if not tree[edge >> 6] >> np.uint64(edge & 63) & np.uint64(1):
            added += cost_of_line(use[edge], weights[edge], capacities[edge])
    return added


@njit(cache=True, nogil=True)
def put_in(edges, weights, capacities, tree, use):
    """Add a route's edges to a neuron's tree; returns the congestion added."""
    added = 0.0
    for edge in edges:
        bit = np.uint64(1) << np.uint64(edge & 63)
        if not tree[edge >> 6] & bit:
            tree[edge >> 6] |= bit
            added += cost_of_line(use[edge], weights[edge], capacities[edge])
            use[edge] += 1
    return added


@njit(cache=True, nogil=True)
def take_out(edges, weights, capacities, tree, use):
    """Remove a route's edges from a neuron's tree, those it shares too; returns the congestion removed."""
    removed = 0.0
    for edge in edges:
        bit = np.uint64(1) << np.uint64(edge & 63)
        if tree[edge >> 6] & bit:
            tree[edge >> 6] ^= bit
            use[edge] -= 1
            removed += cost_of_line(use[edge], weights[edge], capacities[edge])
    return removed
