"""Mosaic chips with costs of one's own, and random mapped networks, for tests."""

from dataclasses import dataclass, replace

import numpy as np

from nsim.chip.chip import changed
from nsim.chip.file import load_chip
from nsim.machine.ticks import Lines, build_lines
from nsim.mapping.tiles.connectivity import Connectivity
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.mapping import MosaicMapping, map_on_tiles

MOSAIC = load_chip("mosaic")


def chip_with(read_ps=7, r1_ps=3, r0_ps=2, energies_fj=(None, None, None), lines=None, rows="together"):
    """The shipped chip with these latencies and energies of row_read, r1_crossing and r0_crossing, lines per port."""
    values = {"reading.rows": rows}
    latencies = (read_ps, r1_ps, r0_ps)
    for name, latency, energy in zip(("row_read", "r1_crossing", "r0_crossing"), latencies, energies_fj, strict=True):
        values |= {f"actions.{name}.latency_ps": latency, f"actions.{name}.energy_fj": energy}
    if lines is not None:
        for kind in ("neuron_tile", "r1", "r0"):
            for port in ("in_north_south", "in_east_west", "out_north_south", "out_east_west"):
                values[f"ports.{kind}.{port}"] = lines
    return changed(MOSAIC, values)


@dataclass(frozen=True)
class Case:
    mapping: MosaicMapping
    lines: Lines
    firing: np.ndarray


def random_case(seed, lines=None, place="index"):
    """A small random network on a small grid, shared lines (1..3 of each port unless given), a random tick."""
    rng = np.random.default_rng(seed)
    fabric = Fabric(int(rng.integers(1, 5)), int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    neurons = int(rng.integers(1, fabric.capacity + 1))
    matrix = rng.random((neurons, neurons)) < rng.choice([0.05, 0.3, 0.8])
    most = int(rng.choice([1, 2, 50]))  # mostly ties
    latencies = rng.integers(0, most + 1, 3).tolist()
    rows = str(rng.choice(["together", "one-by-one"]))
    chip = chip_with(*latencies, lines=int(rng.integers(1, 4)) if lines is None else lines, rows=rows)
    routes = str(rng.choice(["published", "balanced"]))
    mapping = map_on_tiles(Connectivity.from_matrix(matrix, "random"), chip, fabric, place, routes, seed)
    firing = np.flatnonzero(rng.random(neurons) < rng.choice([0.2, 0.7, 1.0]))
    return Case(mapping, build_lines(mapping, shared=True), firing)


def with_chip(mapping, chip):
    return replace(mapping, chip=chip)
