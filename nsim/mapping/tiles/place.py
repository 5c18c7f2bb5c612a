"""Placement of neurons on tiles by simulated annealing (Kirkpatrick, Gelatt, Vecchi 1983) on the length of the routes.

The published program has no placement: neuron q sits in tile q // n. Here whole tiles swap places, then neurons swap
tiles, then whole tiles swap once more. The cost is what the routes of all links take, sharing left aside: one for every
line between two routers, 1 / n for the row in the destination tile. A link to a neighbouring tile takes no line between
routers.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nsim.errors import MappingError, check_fits
from nsim.mapping.tiles.connectivity import Connectivity, pointers
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.routing import find_links, home_tiles

NEURON_MOVES = 2_000  # swaps tried per neuron
TILE_MOVES = 20_000  # swaps tried per tile
MOST_MOVES = 4_000_000  # on large grids fewer for each, or it would take many minutes
START = 1.0  # first temperature, in mean changes of the cost by a swap
END = 1e-2  # last temperature, in first ones


def route_lengths(fabric: Fabric) -> NDArray[np.float64]:
    """Cost of a link from tile to tile, float64[tiles, tiles]: lines between routers, and a row of the destination."""
    return np.where(fabric.hops > 0, fabric.hops - 1 + 1 / fabric.neurons, 0.0)


def anneal_placement(fabric: Fabric, connectivity: Connectivity, rng: np.random.Generator) -> NDArray[np.int64]:
    """The tile of every neuron, int64[neurons]: the shortest placement met, starting from q // n.

    raises   MappingError if there are more neurons than the tiles hold
    """
    home_tiles(fabric, connectivity.neurons, connectivity.name)
    slots, tiles = fabric.capacity, fabric.tiles
    check_fits(4 * slots * tiles, "the counts of targets by tile", "take a smaller grid or --place index", MappingError)
    incoming = np.argsort(connectivity.targets, kind="stable")
    in_ptr, in_source = pointers(connectivity.targets, slots), connectivity.sources[incoming]
    lengths = route_lengths(fabric)
    tile_of = np.arange(slots) // fabric.neurons  # neurons that do not exist hold the free places
    if tiles == 1:
        return tile_of[: connectivity.neurons]
    tile_of = _swap_tiles(fabric, connectivity, tile_of, lengths, rng)
    count = np.zeros((slots, tiles), np.int32)
    np.add.at(count, (connectivity.sources, tile_of[connectivity.targets]), 1)
    moves = min(NEURON_MOVES * slots, MOST_MOVES)
    _anneal_neurons(moves, in_ptr, in_source, count, lengths, tile_of, START, END, rng)
    tile_of = _swap_tiles(fabric, connectivity, tile_of, lengths, rng)
    return tile_of[: connectivity.neurons]


def _swap_tiles(
    fabric: Fabric, connectivity: Connectivity, tile_of: NDArray, lengths: NDArray, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The same groups of neurons on other tiles."""
    links = find_links(connectivity, tile_of, fabric.tiles)
    flow = np.zeros((fabric.tiles, fabric.tiles))
    np.add.at(flow, (tile_of[links.sources], links.tile), 1)
    where = np.arange(fabric.tiles)
    moves = min(TILE_MOVES * fabric.tiles, MOST_MOVES)
    _anneal_tiles(moves, flow, lengths, where, START, END, rng)
    return where[tile_of]


@njit(cache=True, nogil=True)
def _anneal_tiles(moves, flow, lengths, where, start, end, rng):
    """Permute `where`, the place of every group, to the least sum of flow * length that is met."""
    tiles = where.size
    typical = 0.0
    for _ in range(100):
        first, second = _two_of(tiles, rng)
        typical += abs(_tile_change(first, second, flow, lengths, where)) / 100
    now = least = 0.0  # against where it began
    best = where.copy()
    for move in range(moves):
        heat = start * typical * end ** (move / moves)
        first, second = _two_of(tiles, rng)
        change = _tile_change(first, second, flow, lengths, where)
        if change <= 0 or rng.random() < np.exp(-change / max(heat, 1e-300)):
            where[first], where[second] = where[second], where[first]
            now += change
            if now < least - 1e-6:
                least = now
                best[:] = where
    where[:] = best


@njit(cache=True, nogil=True)
def _tile_change(first, second, flow, lengths, where):
    """Change of the cost if two groups swap places."""
    here, there = where[first], where[second]
    change = (flow[first, second] - flow[second, first]) * (lengths[there, here] - lengths[here, there])
    for group in range(where.size):
        if group not in (first, second):
            place = where[group]
            change += (flow[first, group] - flow[second, group]) * (lengths[there, place] - lengths[here, place])
            change += (flow[group, first] - flow[group, second]) * (lengths[place, there] - lengths[place, here])
    return change


@njit(cache=True, nogil=True)
def _anneal_neurons(moves, in_ptr, in_source, count, lengths, tile_of, start, end, rng):
    """Swap neurons; tile_of becomes the state of least cost that is met. count: targets by neuron and tile."""
    typical = 0.0
    for _ in range(100):
        first, second = _of_two_tiles(tile_of, rng)
        typical += abs(_swap(first, second, in_ptr, in_source, count, lengths, tile_of)) / 100
        _swap(first, second, in_ptr, in_source, count, lengths, tile_of)
    now = least = 0.0  # against where it began
    best = tile_of.copy()
    for move in range(moves):
        heat = start * typical * end ** (move / moves)
        first, second = _of_two_tiles(tile_of, rng)
        change = _swap(first, second, in_ptr, in_source, count, lengths, tile_of)
        if change > 0 and rng.random() >= np.exp(-change / max(heat, 1e-300)):
            _swap(first, second, in_ptr, in_source, count, lengths, tile_of)
            continue
        now += change
        if now < least - 1e-6 and move > moves // 2:  # copying at every step of the first descent would be slow
            least = now
            best[:] = tile_of
    tile_of[:] = best


@njit(cache=True, nogil=True)
def _two_of(count, rng):
    first, second = rng.integers(0, count), rng.integers(0, count - 1)
    return first, second + (second >= first)


@njit(cache=True, nogil=True)
def _of_two_tiles(tile_of, rng):
    """Two neurons of different tiles."""
    first, second = rng.integers(0, tile_of.size), rng.integers(0, tile_of.size)
    while tile_of[first] == tile_of[second]:
        second = rng.integers(0, tile_of.size)
    return first, second


@njit(cache=True, nogil=True)
def _swap(first, second, in_ptr, in_source, count, lengths, tile_of):
    """Let two neurons swap tiles; returns the change of the cost. The same swap again undoes it."""
    here, there = tile_of[first], tile_of[second]
    change = _move(first, there, in_ptr, in_source, count, lengths, tile_of)
    return change + _move(second, here, in_ptr, in_source, count, lengths, tile_of)


@njit(cache=True, nogil=True)
def _move(neuron, there, in_ptr, in_source, count, lengths, tile_of):
    """Move one neuron; the change of the lengths of its own links and of those that reach it."""
    here = tile_of[neuron]
    change = 0.0
    for tile in range(lengths.shape[0]):
        if count[neuron, tile]:
            change += lengths[there, tile] - lengths[here, tile]
    tile_of[neuron] = there
    for at in range(in_ptr[neuron], in_ptr[neuron + 1]):
        source = in_source[at]
        home = tile_of[source]
        count[source, here] -= 1
        if count[source, here] == 0:
            change -= lengths[home, here]
        if count[source, there] == 0:
            change += lengths[home, there]
        count[source, there] += 1
    return change
