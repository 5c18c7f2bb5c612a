"""4. Activity sparsity: one mean, spread in different ways.

At one and the same network-wide mean of message density, does the time still depend on how activity is spread over
layers and over cores, and which count predicts it: the total of synops, or the synops of the busiest core?

Over the layers: a stack of equal layers whose densities are even, front-loaded, back-loaded or random. Over the
cores: a convolution cut into slices, with events spread evenly, piled up at one end, or randomly over the columns of
the image (as happens in PilotNet on video, where conv2's cores differ by 2.1 times: derived from lava-dl's
pilotnet_sdnn log).
Expected: total synops predict nothing, the maximum over cores does. That schedules at equal sparsity give different
times is the TL;DR of arXiv:2511.21549 and the caption of its figure 5, that the maximum per core predicts them is
from notes on it (both secondary); schedules and values were not found, these are ours.
"High" is taken as a correlation of at least 0.9, "not" as one below 0.5 (ours).

    python -m benchmarks.experiments.activity_schedules [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

from benchmarks.experiments.common import CHIPS, facts, measure, percent, stack
from nsim.chip.file import load_chip
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.network import map_network
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Lif, Relay
from nsim.network.synapses import Convolution
from nsim.sweep.schedules import NAMED, random_shape, shape_of

MEAN_DENSITY = 0.1
LAYERS, WIDTH = 8, 256
SLICES, COLUMNS = 16, 4  # of the convolution, and columns of each slice
CHANNELS, ROWS = 8, 16
COLOURS = {"even": "#009E73", "front-loaded": "#D55E00", "back-loaded": "#CC79A7", "random": "#0072B2"}


def schedules(parts: int, random: int, rng: np.random.Generator) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Densities of some parts with the same mean: the named ones, then random ones from nearly even to very uneven."""
    for name in NAMED:
        shape = shape_of(name, parts)
        yield name, shape / shape.mean() * MEAN_DENSITY
    drawn = 0
    while drawn < random:
        shape = random_shape(parts, rng) * MEAN_DENSITY
        if shape.max() <= 1:
            drawn += 1
            yield "random", shape


def over_layers(mapping: Mapping, densities: NDArray[np.float64], timesteps: int, seed: int) -> dict[str, Any]:
    """A run of the stack. The last layer has no targets and is silent."""
    names = list(mapping.network.by_name)
    activity = dict(zip(names, [*densities.tolist(), 0.0], strict=True))
    return facts(measure(mapping, activity=activity, timesteps=timesteps, seed=seed))


def over_cores(mapping: Mapping, densities: NDArray[np.float64], timesteps: int, seed: int) -> dict[str, Any]:
    """A run of the convolution on random events. The outermost columns are silent: they would cause fewer synops."""
    columns = np.repeat(densities, COLUMNS)
    columns[[0, -1]] = 0
    columns *= MEAN_DENSITY / columns.mean()
    shape = (timesteps, CHANNELS, ROWS, columns.size)
    frames = np.random.default_rng(seed).random(shape) < np.minimum(columns, 1)
    return facts(measure(mapping, inputs=frames.astype(np.float32), seed=seed))


def convolution(rng: np.random.Generator) -> Network:
    """Events on the chip, and a 3 x 3 convolution of neurons that never fire."""
    source = Layer("events", (CHANNELS, ROWS, SLICES * COLUMNS), Relay(binary=True))
    target = Layer("conv", (2 * CHANNELS, *source.shape[1:]), Lif(leak=0.1, gain=1.0, threshold=1e9))
    kernel = rng.normal(0, 1, (target.shape[0], CHANNELS, 3, 3)).astype(np.float32)
    synapses = Convolution(kernel, source.shape, target.shape, padding=(1, 1))
    return Network("conv", (source, target), (Connection("events", "conv", synapses),), "events", "conv")


def run(quick: bool, seed: int) -> Outcome:
    random, timesteps = (20, 4) if quick else (200, 16)
    rows = []
    for name in CHIPS:
        rng = np.random.default_rng(seed)
        chip = load_chip(name)
        layered = map_network(stack([WIDTH] * (LAYERS + 1), 1.0, rng), chip)
        sliced = map_network(convolution(rng), chip, partition=SLICES)
        for spread, mapping, parts, go in (
            ("layers", layered, LAYERS, over_layers),
            ("cores", sliced, SLICES, over_cores),
        ):
            for number, (schedule, densities) in enumerate(schedules(parts, random, rng)):
                facts_ = go(mapping, densities, timesteps, seed + number)
                unevenness = float(densities.max() / densities.mean())
                rows.append({"chip": name, "over": spread, "schedule": schedule, "unevenness": unevenness} | facts_)
    return Outcome(rows, judge(rows), lambda figure: draw(figure, rows), (10, 4.2 * len(CHIPS)))


def judge(rows: list[dict]) -> list[Verdict]:
    verdicts = []
    for name in CHIPS:
        for spread in ("layers", "cores"):
            own = [row for row in rows if row["chip"] == name and row["over"] == spread]
            time_us, total, most = (
                np.array([row[key] for row in own]) for key in ("time_us", "total_synops", "max_core_synops")
            )
            pearson = pearsonr(time_us, total).statistic, pearsonr(time_us, most).statistic
            spearman = spearmanr(time_us, total).statistic, spearmanr(time_us, most).statistic
            holds = min(pearson[1], spearman[1]) >= 0.9 and max(abs(pearson[0]), abs(spearman[0])) < 0.5
            memory = sum(row["simulated_state"] == "memory" for row in own)
            times, spreads = time_us.max() / time_us.min(), percent(total.std() / total.mean())
            measured = (
                f"{len(own)} schedules ({memory} of them memory-bound), time varies {times:.1f} times while total "
                f"synops vary by {spreads} (standard deviation); with the maximum per core Pearson {pearson[1]:.3f}, "
                f"Spearman {spearman[1]:.3f}; with the total {pearson[0]:.2f}, {spearman[0]:.2f}"
            )
            claim = f"{name}, spread over {spread}: time follows the busiest core's synops, not their total"
            verdicts.append(Verdict(claim, bool(holds), measured))
    return verdicts


def draw(figure: Any, rows: list[dict]) -> None:
    grid = figure.subplots(len(CHIPS), 2, squeeze=False, sharey="row")
    for axes, name in zip(grid, CHIPS, strict=True):
        for axis, key in zip(axes, ("total_synops", "max_core_synops"), strict=True):
            for spread, marker in (("layers", "o"), ("cores", "x")):
                own = [row for row in rows if row["chip"] == name and row["over"] == spread]
                scale = np.mean([row[key] for row in own]) if key == "total_synops" else 1e3
                for schedule in ("random", *NAMED):
                    chosen = [row for row in own if row["schedule"] == schedule]
                    size = {"s": 18, "alpha": 0.6} if schedule == "random" else {"s": 90, "zorder": 3}
                    axis.scatter(
                        [row[key] / scale for row in chosen],
                        [row["time_us"] for row in chosen],
                        marker=marker,
                        color=COLOURS[schedule],
                        label=f"{schedule}, over {spread}",
                        lw=1.5 if marker == "x" else 0,
                        **size,
                    )
        axes[0].set(xlabel="total synops (over their mean)", ylabel="time per timestep (us)", xlim=(0, 2))
        axes[1].set(xlabel="synops of the busiest core (thousands)", xlim=(0, None))
        axes[0].set(title=f"{load_chip(name).title}: {correlations(rows, name, 'total_synops')}", ylim=(0, None))
        axes[1].set(title=correlations(rows, name, "max_core_synops"))
    grid[0, 0].legend(fontsize=8, loc="upper left")


def correlations(rows: list[dict], name: str, key: str) -> str:
    """Pearson's r of time with a count, over layers and over cores."""
    found = []
    for spread in ("layers", "cores"):
        own = [row for row in rows if row["chip"] == name and row["over"] == spread]
        found.append(pearsonr([row["time_us"] for row in own], [row[key] for row in own]).statistic)
    return f"r = {found[0]:.2f} over layers, {found[1]:.2f} over cores"


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
