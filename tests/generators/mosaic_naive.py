"""The published router once more, cell by cell and in words, to compare with; and its worked example."""

import itertools

import numpy as np

from nsim.mapping.tiles.connectivity import Connectivity
from nsim.mapping.tiles.fabric import Fabric

STEP = {"N": (-1, 0), "E": (0, 1), "S": (1, 0), "W": (0, -1)}
OPPOSITE = {"N": "S", "S": "N", "E": "W", "W": "E"}
NAMES = ("in N", "in E", "in S", "in W", "out N", "out E", "out S", "out W")


def tile_at(columns, tile):
    return 2 * (tile // columns) + 1, 2 * (tile % columns) + 1


def kind_at(cell):
    return {2: "NT", 0: "R0", 1: "R1"}[cell[0] % 2 + cell[1] % 2]


def published_path(columns, source, target):
    """Steps [(cell, side by which it is left), ...] by the rules as they are told."""
    (i, j), (ti, tj) = tile_at(columns, source), tile_at(columns, target)
    steps = []

    def go(side):
        nonlocal i, j
        steps.append(((i, j), side))
        i, j = i + STEP[side][0], j + STEP[side][1]

    if abs(ti - i) + abs(tj - j) == 2:  # neighbours: straight through the router between them
        side = "S" if ti > i else "N" if ti < i else "E" if tj > j else "W"
        go(side)
        go(side)
    elif tj == j:  # same column: out to the west, along, and back in to the east
        go("W")
        while i != ti:
            go("S" if ti > i else "N")
        go("E")
    else:
        go("S" if ti > i else "N")
        east = tj > j
        while j != (tj - 1 if east else tj + 1):
            go("E" if east else "W")
        while i != ti:
            go("S" if ti > i else "N")
        go("E" if east else "W")
    assert (i, j) == (ti, tj)
    return steps


def passed(steps):
    """The routers of a path: (cell, side entered by, side left by)."""
    return [(cell, OPPOSITE[before], side) for (_, before), (cell, side) in itertools.pairwise(steps)]


def turns(steps):
    return [cell for cell, into, out in passed(steps) if kind_at(cell) == "R0" and out != OPPOSITE[into]]


def naive_routing(fabric, matrix):
    """Ports {(cell, name): neurons}, joins and crossings {kind: number}, all by sets per neuron."""
    ports, joins = {}, {"NT": 0, "R1": 0, "R0": 0}
    crossings = dict(joins)
    n = fabric.neurons
    for neuron in range(len(matrix)):
        own = neuron // n
        tiles = {int(target) // n for target in np.flatnonzero(matrix[neuron])} - {own}
        used, joined, entered = set(), set(), set()
        for tile in tiles:
            steps = published_path(fabric.columns, own, tile)
            joined |= set(passed(steps))
            for place, (cell, side) in enumerate(steps):
                if place:
                    used.add((cell, f"out {side}"))
                beyond = (cell[0] + STEP[side][0], cell[1] + STEP[side][1])
                used.add((beyond, f"in {OPPOSITE[side]}"))
                entered.add(beyond)
        for port in used:
            ports[port] = ports.get(port, 0) + 1
        for cell, _, _ in joined:
            joins[kind_at(cell)] += 1
        for cell in entered:
            crossings[kind_at(cell)] += 1
    return ports, joins, crossings


def random_matrix(fabric, neurons, density, rng):
    return rng.random((neurons, neurons)) < density


def worked_example():
    """3x3 tiles of 4: neuron 0 reaches tiles 1, 4, 8 and tile 5 twice; neuron 5 reaches tiles 4 and 7."""
    fabric = Fabric(3, 3, 4)
    matrix = np.zeros((36, 36), bool)
    matrix[0, [4, 16, 32, 20, 21]] = True
    matrix[5, [17, 28]] = True
    return fabric, Connectivity.from_matrix(matrix, "worked example"), matrix
