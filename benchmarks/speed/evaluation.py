"""How near the kernels of evaluation come to what Numba reaches at all.

    python benchmarks/speed/evaluation.py [--quick]

Expected: every kernel reaches at least half of the synops per second of a plain loop that does no more than add the
same weights, int8 into int32 for the fixed-point kernels and float32 into float32 for the others, on the same machine
in the same run. The plain loop knows nothing of messages' values, borders and strides. For dense synapses it adds rows
of 1,024 weights; for a convolution, rows as long as it has output channels; for sparse synapses it follows the indices.
Measured twice, both times through `Synapses.add`: with 4,096 messages at once, and with those of one timestep in which
10 % of the sources send. Messages come in the order of their sources, as in a run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import numpy as np
from nets import random_net
from numba import njit
from rich.console import Console
from rich.table import Table

from nsim.network.synapses import Box, Convolution, Dense, Sparse, Synapses

SHARE_REQUIRED = 0.5
SOURCES, TARGETS = 1024, 1024
console = Console(width=120)


@njit(nogil=True)
def add_rows(rows, firing, sums):
    """The plain loop: sums += row, for every row that fires."""
    for k in range(firing.size):
        row = rows[firing[k]]
        for target in range(row.size):
            sums[target] += row[target]


def rates(runs: dict[str, tuple[int, Callable[[], Any]]], repeat: int) -> dict[str, float]:
    """Synops per second of each run, given its synops: best of several rounds, in which the runs take turns.

    What else the machine does then disturbs all of them alike.
    """
    calls, best = {}, {}
    for name, (_, run) in runs.items():
        run()
        begin = time.perf_counter()
        run()
        calls[name] = max(1, int(0.01 / max(1e-7, time.perf_counter() - begin)))
    for _ in range(repeat):
        for name, (synops, run) in runs.items():
            begin = time.perf_counter()
            for _ in range(calls[name]):
                run()
            rate = synops * calls[name] / (time.perf_counter() - begin)
            best[name] = max(best.get(name, 0.0), rate)
    return best


@njit(nogil=True)
def add_at(indptr, targets, weights, firing, sums):
    """The plain loop over stored synapses: sums[target] += weight."""
    for k in range(firing.size):
        for synapse in range(indptr[firing[k]], indptr[firing[k] + 1]):
            sums[targets[synapse]] += weights[synapse]


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy that starts with a cache line: short rows are then added up to twice as fast, and not only by luck."""
    memory = np.empty(array.nbytes + 64, np.uint8)
    first = -memory.ctypes.data % 64
    copy = memory[first : first + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def plain_run(synapses: Synapses, sums: type, firing: np.ndarray) -> tuple[int, Callable[[], Any]]:
    """Synops and call of the plain loop that does the same additions."""
    total = aligned(np.zeros(synapses.targets, sums))
    if isinstance(synapses, Sparse):
        synops = int(np.diff(synapses.indptr)[firing].sum())
        arrays = synapses.indptr, synapses.target_index, synapses.values
        return synops, lambda: add_at(*arrays, firing, total)
    if isinstance(synapses, Convolution):
        out, into, height, width = synapses.kernel.shape
        rows = aligned(synapses.kernel.transpose(1, 2, 3, 0).reshape(-1, out))
        taps = np.repeat(firing % into * height * width, height * width) + np.tile(
            np.arange(height * width), firing.size
        )
        return taps.size * out, lambda: add_rows(rows, taps, total[:out])
    rows = aligned(synapses.weights.T)
    return firing.size * synapses.targets, lambda: add_rows(rows, firing, total)


def kernel_run(synapses: Synapses, dtype: type, firing: np.ndarray) -> tuple[int, Callable[[], Any]]:
    """Synops and call of `Synapses.add`, with the types that a run uses: messages and sums int64 or float32."""
    values, sums = np.ones(firing.size, dtype), np.zeros(synapses.targets, dtype)
    whole = synapses.fan_out(Box.whole(synapses.target_shape))
    return int(whole[firing].sum()), lambda: synapses.add(firing, values, sums)


def connections(rng: np.random.Generator, weights: type) -> dict[str, Synapses]:
    """The synapses of the networks against which speed is compared, and a convolution of one channel."""
    link = random_net(1).links[0]
    matrix = rng.integers(-8, 9, (TARGETS, SOURCES)).astype(weights)
    kernel = rng.integers(-8, 9, (64, 32, 3, 3)).astype(weights)
    first = rng.integers(-8, 9, (16, 1, 3, 3)).astype(weights)
    neurons = (8192, 1, 1)
    return {
        "dense, 1024 to 1024": Dense(matrix, (SOURCES, 1, 1), (TARGETS, 1, 1)),
        "sparse, 8192 to 64 each": Sparse(link.indptr, link.index, link.weights.astype(weights), neurons, neurons),
        "convolution 3x3, 32 to 64 channels": Convolution(kernel, (32, 13, 13), (64, 11, 11)),
        "convolution 3x3, 1 to 16 channels": Convolution(first, (1, 32, 32), (16, 15, 15), (2, 2)),
    }


def measure(repeat: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    rows = []
    for label, weights, sums, dtype in (
        ("int8 weights, int64 sums", np.int8, np.int32, np.int64),
        ("float32", np.float32, np.float32, np.float32),
    ):
        for name, synapses in connections(rng, weights).items():
            many = np.sort(rng.integers(0, synapses.sources, 4096))
            step = np.sort(rng.choice(synapses.sources, synapses.sources // 10, replace=False))
            runs = {
                "plain": plain_run(synapses, sums, many),
                "many": kernel_run(synapses, dtype, many),
                "step": kernel_run(synapses, dtype, step),
            }
            rows.append({"arithmetic": label, "kernel": name, **rates(runs, repeat)})
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("arithmetic", "synapses", title="G synops/s on one thread")
    for column in ("plain loop", "4,096 messages", "share", "one timestep", "share", "half or more"):
        table.add_column(column, justify="right")
    for row in rows:
        many, step, plain = row["many"], row["step"], row["plain"]
        rates = (
            f"{plain / 1e9:.2f}",
            f"{many / 1e9:.2f}",
            f"{many / plain:.2f}",
            f"{step / 1e9:.2f}",
            f"{step / plain:.2f}",
        )
        holds = "[green]yes" if many >= SHARE_REQUIRED * plain else "[red]no"
        table.add_row(row["arithmetic"], row["kernel"], *rates, holds)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", type=Path, help="where to save the figures")
    options = parser.parse_args()
    facts = machine.describe("numba", "numpy")
    console.print(machine.headline(facts))
    rows = measure(10 if options.quick else 50)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
