"""How nsim's time grows with messages, with cores in one mesh, and with timesteps; draws growth.png.

    python benchmarks/speed/growth.py [--quick]

Expected: near linear in messages and timesteps (exponent about 1 beside the fixed cost of a run); with cores,
at equal traffic, no more than the links that messages cross, whose mean number grows with the side of the mesh.

The network is random: every neuron has 8 messages to 8 cores, each with one synapse. Activity is drawn. Time is that of
`simulate` on one thread, mapping apart; best of three. The chip is chips/loihi.toml in other sizes, without its limits
on axons, in a temporary file.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

from nsim import load_chip, map_network, simulate
from nsim.mapping.cores.mapping import Mapping
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import FixedLif
from nsim.network.synapses import Sparse

HERE = Path(__file__).parent
FAN = 8
console = Console(width=120)


@dataclass(frozen=True)
class Point:
    """One run: what was varied, and what came out."""

    value: int
    messages: int
    crossings: int
    map_s: float
    run_s: float


def chip_file(folder: Path, columns: int, rows: int) -> Path:
    text = load_chip("loihi").path.read_text(encoding="utf-8")
    for key, new in (
        ("columns", f"columns = {columns}"),
        ("rows", f"rows = {rows}"),
        ("axons_in", ""),
        ("axons_out", ""),
    ):
        text, found = re.subn(rf"(?m)^{key} = .*$", new, text, count=1)
        assert found == 1, f"chips/loihi.toml states {key} in another way"
    path = folder / f"loihi_{columns}x{rows}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def random_network(cores: int, per_core: int, seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    neurons = cores * per_core
    first = rng.integers(0, cores, neurons)
    stride = rng.integers(0, max(1, cores // FAN), neurons)  # 8 different cores each, in strides around the chip
    core = (first[:, None] + np.arange(FAN)[None, :] * (cores // FAN) + stride[:, None]) % cores
    index = np.sort(core * per_core + rng.integers(0, per_core, core.shape), axis=1).astype(np.int32)
    shape = (neurons, 1, 1)
    indptr = np.arange(neurons + 1, dtype=np.int64) * FAN
    synapses = Sparse(indptr, index.ravel(), np.ones(index.size, np.int8), shape, shape)
    layer = Layer("neurons", shape, FixedLif(4096, 0, 100, is_input=True))
    return Network("random", (layer,), (Connection("neurons", "neurons", synapses),), "neurons", "neurons")


def mapped(folder: Path, columns: int, rows: int, per_core: int) -> tuple[Mapping, float]:
    chip = load_chip(chip_file(folder, columns, rows))
    network = random_network(chip.cores, per_core)
    begin = time.perf_counter()
    mapping = map_network(network, chip, partition={"neurons": chip.cores})
    return mapping, time.perf_counter() - begin


def run(mapping: Mapping, map_s: float, value: int, density: float, timesteps: int) -> Point:
    times: list[float] = []
    while len(times) < 3 and sum(times) < 15:
        begin = time.perf_counter()
        result = simulate(mapping, activity=density, timesteps=timesteps, threads=1)
        times.append(time.perf_counter() - begin)
    counts = result.counts
    crossings = sum(result.link_crossings.values())
    return Point(value, int(counts.core_messages_in.sum()), crossings, map_s, min(times))


def by_messages(folder: Path, quick: bool) -> list[Point]:
    """128 cores of 1,024 neurons, 10 timesteps; the share that fires grows."""
    mapping, map_s = mapped(folder, 8, 4, 1024)
    everything, timesteps = 128 * 1024 * FAN, 10
    points = []
    for messages in np.logspace(3, 6 if quick else 7, 7 if quick else 9).astype(int).tolist():
        points.append(run(mapping, map_s, messages, messages / timesteps / everything, timesteps))
        tell("messages", points[-1])
    return points


def by_cores(folder: Path, quick: bool) -> list[Point]:
    """16,384 neurons over 16 to 4,096 cores in one mesh, all firing in each of 4 timesteps."""
    points = []
    for side in (2, 4, 8, 16) if quick else (2, 4, 8, 16, 32):
        cores = 4 * side * side
        mapping, map_s = mapped(folder, side, side, 16_384 // cores)
        points.append(run(mapping, map_s, cores, 1.0, 4))
        tell("cores", points[-1])
    return points


def by_timesteps(folder: Path, quick: bool) -> list[Point]:
    """128 cores of 64 neurons, about 1,000 messages a timestep."""
    mapping, map_s = mapped(folder, 8, 4, 64)
    points = []
    for timesteps in (10, 100, 1_000) if quick else (10, 30, 100, 300, 1_000, 3_000, 10_000):
        points.append(run(mapping, map_s, timesteps, 1_000 / (128 * 64 * FAN), timesteps))
        tell("timesteps", points[-1])
    return points


def tell(what: str, point: Point) -> None:
    console.print(f"[dim]{point.value:,} {what}: {point.run_s:.3f} s, mapping {point.map_s:.2f} s")


def fit(points: list[Point]) -> tuple[float, float]:
    """Fixed seconds and exponent p of time = fixed + slope * value^p, by least squares of the relative error."""
    x = np.array([point.value for point in points], float)
    y = np.array([point.run_s for point in points])
    tries = []
    for p in np.arange(0.3, 2.0, 0.01):
        (fixed, _), error = nnls(np.column_stack((1 / y, x**p / x.max() ** p / y)), np.ones(y.size))
        tries.append((float(error), float(fixed), float(p)))
    _, fixed, p = min(tries)
    return fixed, p


def show(series: dict[str, list[Point]]) -> None:
    for what, points in series.items():
        table = Table(title=f"Time against {what}")
        for column in (what, "messages", "links crossed", "map s", "run s", "messages/s", "crossings/s"):
            table.add_column(column, justify="right")
        for p in points:
            table.add_row(
                f"{p.value:,}",
                f"{p.messages:,}",
                f"{p.crossings:,}",
                f"{p.map_s:.2f}",
                f"{p.run_s:.3f}",
                f"{p.messages / p.run_s:,.0f}",
                f"{p.crossings / p.run_s:,.0f}",
            )
        console.print(table)
        fixed, p = fit(points)
        console.print(f"fitted: {fixed:.2f} s + slope * {what}^{p:.2f}\n")


def draw(series: dict[str, list[Point]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    titles = {
        "messages": "messages in 10 timesteps\n128 cores, 131,072 neurons",
        "cores": "cores in one mesh\n131,072 messages in each of 4 timesteps",
        "timesteps": "timesteps\n128 cores, about 1,000 messages each",
    }
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), sharey=True, layout="constrained")
    for axis, (what, points) in zip(axes, series.items(), strict=True):
        x, y = [p.value for p in points], [p.run_s for p in points]
        axis.loglog(x, y, "o-", label="simulate")
        if what == "cores":
            axis.loglog(x, [p.map_s for p in points], "s--", color="tab:gray", label="map_network, once")
            hops = points[0].run_s / points[0].crossings
            axis.loglog(x, [hops * p.crossings for p in points], ":", color="tab:red", label="as links crossed")
        else:
            axis.loglog(x, [y[-1] / x[-1] * value for value in x], ":", color="tab:red", label="linear")
        axis.set_xlabel(titles[what])
        axis.set_title("{:.2f} s + slope * n^{:.2f}".format(*fit(points)))
        axis.grid(True, which="major", alpha=0.4)
        axis.legend(frameon=False)
    axes[0].set_ylabel("seconds, one thread")
    axes[0].set_ylim(bottom=5e-3)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller points")
    parser.add_argument("--png", type=Path, default=HERE / "growth.png", help="where to draw")
    parser.add_argument("--json", type=Path, help="where to save the figures")
    options = parser.parse_args()
    facts = machine.describe("numba", "numpy")
    console.print(machine.headline(facts))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        series = {
            "messages": by_messages(folder, options.quick),
            "cores": by_cores(folder, options.quick),
            "timesteps": by_timesteps(folder, options.quick),
        }
    show(series)
    draw(series, options.png)
    console.print(f"drawn: {options.png}")
    if options.json:
        saved: dict[str, Any] = {what: [vars(p) for p in points] for what, points in series.items()}
        text = json.dumps({"machine": facts, "series": saved}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
