"""Routes from tile to tile: the published one-turn route of every ordered pair, and its equals.

A route leaves the source tile by one side (`leave`), follows the line of routers beside it, turns at most once, in an
R0, and enters the destination tile by one side (`enter`): the two sides fix it. It is a list of *edges*; edge
4 * cell + side leaves that cell by that side.

The published rule takes one pair of sides, see `published_sides`. Others may cross as many routers with at most one
turn: they are the candidates from which `nsim.mapping.tiles.balance` chooses.
Source: the published program of Weber, Ballet, Payvand 2024, arXiv:2412.01575; the candidates are this project's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nsim.errors import MappingError, check_fits

N, E, S, W = 0, 1, 2, 3
STEP_ROW = np.array([-1, 0, 1, 0])
STEP_COLUMN = np.array([0, 1, 0, -1])


@dataclass(frozen=True, eq=False)
class Routes:
    """The routes of all ordered pairs of tiles of one grid, pair = source * tiles + destination.

    pair_ptr   int64[pairs + 1]    the routes of a pair are pair_ptr[pair]:pair_ptr[pair + 1], the published one first
    route_ptr  int64[routes + 1]   the edges of a route are route_ptr[route]:route_ptr[route + 1]
    edges      int32[...]          from the source tile's own to the one into the destination
    """

    pair_ptr: NDArray[np.int64]
    route_ptr: NDArray[np.int64]
    edges: NDArray[np.int32]

    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
        return self.pair_ptr, self.route_ptr, self.edges

    def of(self, pair: int) -> list[list[int]]:
        """The routes of one pair, each a list of edges."""
        found = range(self.pair_ptr[pair], self.pair_ptr[pair + 1])
        return [self.edges[self.route_ptr[r] : self.route_ptr[r + 1]].tolist() for r in found]


@lru_cache(maxsize=4)
def find_routes(rows: int, columns: int, equals: bool = False) -> Routes:
    """The routes of a grid of rows x columns tiles; `equals` adds those that are as long. Kept for the next call.

    raises   MappingError if they do not fit into memory
    """
    pair_ptr, route_ptr = _count_routes(rows, columns, equals)
    what = f"the routes of a grid of {rows}x{columns} tiles"
    check_fits(4 * int(route_ptr[-1]), what, "take a smaller grid", MappingError)
    edges = np.empty(route_ptr[-1], np.int32)
    _write_routes(rows, columns, equals, pair_ptr, route_ptr, edges)
    return Routes(pair_ptr, route_ptr, edges)


@njit(cache=True, nogil=True)
def published_sides(dy, dx):
    """Sides (leave, enter) of the published route over dy rows and dx columns, south and east counted positive.

    To a neighbour straight on; else within the column leave west and enter from the west; else leave south if the
    destination lies further south, north if not, and enter from the side that faces the source (within the row too).
    """
    if abs(dy) + abs(dx) == 1:
        leave = S if dy == 1 else N if dy == -1 else E if dx == 1 else W
        return leave, (leave + 2) % 4
    if dx == 0:
        return W, W
    return S if dy > 0 else N, W if dx > 0 else E


@njit(cache=True, nogil=True)
def hops_over(dy, dx):
    """Routers crossed over dy rows and dx columns, not both 0."""
    dy, dx = abs(dy), abs(dx)
    if dy + dx == 1:
        return 1
    return 2 * (dy + dx) + (1 if dy == 0 or dx == 0 else -1)


@njit(cache=True, nogil=True)
def is_route(dy, dx, leave, enter):
    """Whether these two sides make a route with at most one turn, in an R0, that crosses no router too many."""
    first_row, first_column = STEP_ROW[leave], STEP_COLUMN[leave]  # the R1 beside the source, seen from the source
    last_row, last_column = 2 * dy + STEP_ROW[enter], 2 * dx + STEP_COLUMN[enter]
    on_one_line = leave % 2 == enter % 2
    if on_one_line and (first_row != last_row if leave % 2 == 0 else first_column != last_column):
        return False  # two lines of routers side by side: it would take two turns
    return abs(last_row - first_row) + abs(last_column - first_column) + 1 == hops_over(dy, dx)


@njit(cache=True, nogil=True)
def _count_routes(rows, columns, equals):
    tiles = rows * columns
    pair_ptr = np.zeros(tiles * tiles + 1, np.int64)
    routes = 0
    for pair in range(tiles * tiles):
        routes += _routes_of(pair, tiles, columns, equals)[0]
        pair_ptr[pair + 1] = routes
    route_ptr = np.zeros(routes + 1, np.int64)
    for pair in range(tiles * tiles):
        length = _routes_of(pair, tiles, columns, equals)[1]
        for route in range(pair_ptr[pair], pair_ptr[pair + 1]):
            route_ptr[route + 1] = route_ptr[route] + length
    return pair_ptr, route_ptr


@njit(cache=True, nogil=True)
def _routes_of(pair, tiles, columns, equals):
    """How many routes a pair has, and how many edges each of them."""
    source, target = pair // tiles, pair % tiles
    dy, dx = target // columns - source // columns, target % columns - source % columns
    if source == target:
        return 0, 0
    count = 1
    if equals:
        count = 0
        for leave in range(4):
            for enter in range(4):
                count += is_route(dy, dx, leave, enter)
    return count, hops_over(dy, dx) + 1


@njit(cache=True, nogil=True)
def _write_routes(rows, columns, equals, pair_ptr, route_ptr, edges):
    tiles = rows * columns
    for pair in range(tiles * tiles):
        source, target = pair // tiles, pair % tiles
        if source == target:
            continue
        dy, dx = target // columns - source // columns, target % columns - source % columns
        first = published_sides(dy, dx)
        route = pair_ptr[pair]
        _walk(source, target, columns, first[0], first[1], edges[route_ptr[route] : route_ptr[route + 1]])
        if not equals:
            continue
        for leave in range(4):
            for enter in range(4):
                if (leave, enter) != first and is_route(dy, dx, leave, enter):
                    route += 1
                    _walk(source, target, columns, leave, enter, edges[route_ptr[route] : route_ptr[route + 1]])


@njit(cache=True, nogil=True)
def _walk(source, target, columns, leave, enter, edges):
    """Write the edges of the route: along the line beside the source first, then across to the destination."""
    width = 2 * columns + 1
    row, column = 2 * (source // columns) + 1, 2 * (source % columns) + 1
    last_row = 2 * (target // columns) + 1 + STEP_ROW[enter]
    last_column = 2 * (target % columns) + 1 + STEP_COLUMN[enter]
    edges[0] = 4 * (row * width + column) + leave
    row, column = row + STEP_ROW[leave], column + STEP_COLUMN[leave]
    at = 1
    for leg in range(2):
        along_row = (leave % 2 == 0) == (leg == 0)
        while column != last_column if along_row else row != last_row:
            side = (E if last_column > column else W) if along_row else (S if last_row > row else N)
            edges[at] = 4 * (row * width + column) + side
            row, column = row + STEP_ROW[side], column + STEP_COLUMN[side]
            at += 1
    edges[at] = 4 * (row * width + column) + (enter + 2) % 4
