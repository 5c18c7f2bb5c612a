"""Hala Point's own benchmark at scale: how fast it is simulated, and what the model says beside Intel's peak.

    python benchmarks/speed/hala_point.py             # 72 of the 1,152 chips
    python benchmarks/speed/hala_point.py --chips 1152

Intel 2024: 14,784 layers of 2,048 neurons, 8-bit weights, one in ten not zero, sigma-delta, 10 % active; 140,544
cores, up to 2,600 W, up to 380 T synops/s. Expected: 3 M message copies a second on two threads; for the whole system
set up in under 3 minutes, in under 12 GB. How near it comes: 122 s and 10.8 GB, but 0.12 M copies a second of one
thread, 1.2 M with 8 chips. Here runs the part of it that a share of the chips would hold: layers, cores, peak and power
by the number of chips. What that is:

- One matrix of weights, random, stands for those of all layers: no weight is evaluated, activity is drawn (10 %).
- The layers are a chain, on 9 or 10 cores each, along the rows of chips to and fro, so that neighbours are near; Intel
  does not say how they are connected or placed.
- A core has 128 KB for synapses, the most in Intel's brief, not the 96,000 B of the compiler's log as in
  chips/loihi2.toml: with these no layer fits on its share of the cores.
- Rates are those of all of `simulate`, without its first timestep unless that is the only one; energy and time are
  those of chips/hala-point.toml.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from itertools import pairwise
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from nsim import load_chip, map_network, simulate
from nsim.chip.board import BoardChip
from nsim.mapping.cores.mapping import Mapping
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import FixedSigmaDelta
from nsim.network.synapses import Sparse

CHIPS, CORES, LAYERS, NEURONS = 1_152, 140_544, 14_784, 2_048
WEIGHTS, ACTIVE = 0.1, 0.1  # shares that are not zero, and that send
PEAK_SYNOPS, PEAK_W = 380e12, 2_600.0
SYNAPSE_WORDS = 128 * 1024 // 8


def board(chips: int) -> BoardChip:
    """Hala Point with so many of its chips, near to a square."""
    rows = max(rows for rows in range(1, isqrt(chips) + 1) if chips % rows == 0)
    values = {"board.columns": chips // rows, "board.rows": rows, "core.synapse_words": SYNAPSE_WORDS}
    found = load_chip("hala-point", values)
    assert isinstance(found, BoardChip)
    return found


def network(layers: int, rng: np.random.Generator) -> Network:
    """A chain of sigma-delta layers that share one matrix."""
    shape = (NEURONS, 1, 1)
    matrix = rng.integers(-128, 128, (NEURONS, NEURONS)) * (rng.random((NEURONS, NEURONS)) < WEIGHTS)
    synapses = Sparse.from_matrix(matrix, shape, shape)
    names = [f"layer{number}" for number in range(layers)]
    made = [Layer(name, shape, FixedSigmaDelta("hidden" if number else "input")) for number, name in enumerate(names)]
    connections = [Connection(here, there, synapses) for here, there in pairwise(names)]
    activity = dict.fromkeys(names, ACTIVE)
    return Network("hala point", tuple(made), tuple(connections), names[0], names[-1], activity=activity)


def cores_by_layer(names: list[str], cores: int) -> dict[str, int]:
    """All cores, in equal parts that differ by one at most."""
    ends = [cores * number // len(names) for number in range(len(names) + 1)]
    return {name: end - begin for name, (begin, end) in zip(names, pairwise(ends), strict=True)}


def to_and_fro(target: BoardChip) -> list[int]:
    """All cores, chip by chip, the chips of every second row from east to west."""
    chips = np.arange(target.chips).reshape(target.board.rows, target.board.columns)
    chips[1::2] = chips[1::2, ::-1]
    return (chips.reshape(-1, 1) * target.cores_per_chip + np.arange(target.cores_per_chip)).ravel().tolist()


def mapped(target: BoardChip) -> Mapping:
    """The layers that so many chips would hold, on all of their cores."""
    net = network(LAYERS * target.chips // CHIPS, np.random.default_rng(0))
    cores = cores_by_layer([layer.name for layer in net.layers], target.cores)
    return map_network(net, target, cores, to_and_fro(target))


def measure(chips: int, timesteps: int, threads: int) -> dict[str, Any]:
    """Map and run it; times in seconds."""
    simulate(mapped(board(1)), timesteps=2, threads=threads).summary()  # compiles
    begun = time.perf_counter()
    mapping = mapped(board(chips))
    set_up = time.perf_counter()
    used = time.process_time()
    result = simulate(mapping, timesteps=1, threads=threads)
    first_s, spans = time.perf_counter() - set_up, 1 + timesteps
    seconds, begun_s = first_s, used
    if timesteps:
        once, begun_s = time.perf_counter(), time.process_time()
        result = simulate(mapping, timesteps=spans, threads=threads)
        seconds = (time.perf_counter() - once - first_s) / timesteps
    processor_s = time.process_time() - begun_s
    facts = result.summary()
    time_s = facts["time_ps"] / spans / 1e12
    return {
        "chips": chips,
        "cores": facts["cores_used"],
        "layers": len(mapping.network.layers),
        "setup_s": set_up - begun,
        "first_timestep_s": first_s,
        "seconds_per_timestep": seconds,
        "processor_s_per_timestep": processor_s / spans,
        "copies_per_timestep": facts["messages"] / spans,
        "copies_per_second": facts["messages"] / spans / seconds,
        "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "time_per_timestep_us": time_s * 1e6,
        "synops_per_second": facts["synops"] / spans / time_s,
        "peak_synops_per_second": PEAK_SYNOPS * chips / CHIPS,
        "power_w": facts["energy_fj"] / 1e15 / spans / time_s,
        "peak_w": PEAK_W * chips / CHIPS,
        "limit": facts["limit"],
        "barrier_us": facts["barrier_ps"] / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chips", type=int, default=72)
    parser.add_argument("--timesteps", type=int, default=4, help="beyond the first")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = measure(options.chips, options.timesteps, options.threads)
    for name, value in found.items():
        print(f"{name:26} {value:,.4g}" if isinstance(value, float) else f"{name:26} {value}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
