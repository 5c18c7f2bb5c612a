"""5. Compute-bound: the floor of neuron updates.

At high weight sparsity, does the time follow the neurons of the busiest core, and does more sparsity then do nothing?

One layer on one core, fed by a layer of 64 neurons on another: neurons per core against weight sparsity.
Expected: act-compute per core is O(N) and falls with neither weight nor activity sparsity, so that the time has a
floor of one update per neuron (table of the analytical model of arXiv:2511.21549, as secondary summaries give it; the
floor itself is our reading), to which barrier and management are added. Where the floor binds by more than 10 %, time
should be within 10 % of it, and weight sparsity should change it by less than 2 % (criteria ours). Points whose weights
do not fit a core are left out.

    python -m benchmarks.experiments.compute_bound [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.experiments.common import CHIPS, facts, measure, percent, stack
from nsim.chip.file import load_chip
from nsim.chip.timesteps import BarrierChip
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.errors import MappingError
from nsim.mapping.network import map_network
from nsim.report.plots import COLOURS, MARKERS

SOURCES = 64
MESSAGE_DENSITY = 0.5
WEIGHT_DENSITIES = (1.0, 0.3, 0.1, 0.03, 0.01)
BINDS = 1.1  # a term larger than the others by this factor is away from the boundary between states


def sizes(chip: BarrierChip, quick: bool) -> list[int]:
    """Neurons per core, from 32 to all that the chip has."""
    return np.geomspace(32, chip.core.neurons, 6 if quick else 13).round().astype(int).tolist()


def run(quick: bool, seed: int) -> Outcome:
    rows = []
    for name in CHIPS:
        chip = load_chip(name)
        for neurons in sizes(chip, quick):
            for density in WEIGHT_DENSITIES:
                network = stack((SOURCES, neurons), density, np.random.default_rng(seed))
                try:
                    mapping = map_network(network, chip, partition=1, weight_format="sparse")
                except MappingError:
                    continue
                found = measure(
                    mapping,
                    activity={"layer0": MESSAGE_DENSITY, "layer1": 0.0},
                    timesteps=2 if quick else 8,
                    seed=seed,
                )
                row = {"chip": name, "neurons_per_core": neurons, "weight_density": density}
                rows.append(row | facts(found) | {"margin": found.bounds.margin})
    verdicts = [verdict for name in CHIPS for verdict in judge(name, [row for row in rows if row["chip"] == name])]
    return Outcome(rows, verdicts, lambda figure: draw(figure, rows), (11, 4.6))


def judge(name: str, rows: list[dict]) -> list[Verdict]:
    compute = [row for row in rows if row["predicted_state"] == "compute" and row["margin"] >= BINDS]
    others = [row for row in rows if row["predicted_state"] == "memory" and row["margin"] >= BINDS]
    over = np.array([row["time_us"] / floor_us(row) for row in compute])
    states = {row["simulated_state"] for row in compute}
    return [
        Verdict(
            f"{name}: time lies on the floor where it binds",
            bool(over.max() < 1.1 and states == {"compute"}),
            f"{len(compute)} points, {over.min():.3f} to {over.max():.3f} times the floor, simulated state "
            f"{' and '.join(sorted(states))}",
        ),
        sparsity_verdict(f"{name}: weight sparsity does nothing on the floor", compute, True),
        sparsity_verdict(f"{name}: weight sparsity shortens memory-bound timesteps", others, False),
    ]


def floor_us(row: dict) -> float:
    """The busiest sweep, and what ends every timestep."""
    return row["compute_bound_us"] + row["barrier_bound_us"] + row["management_bound_us"]


def sparsity_verdict(claim: str, rows: list[dict], nothing: bool) -> Verdict:
    """Largest change of time between two weight densities at the same number of neurons, both in the same state."""
    changes = []
    for neurons in {row["neurons_per_core"] for row in rows}:
        times = [row["time_us"] for row in rows if row["neurons_per_core"] == neurons]
        if len(times) > 1:
            changes.append(max(times) / min(times) - 1)
    if not changes:
        return Verdict(claim, False, "no number of neurons has two points in this state")
    holds = max(changes) < 0.02 if nothing else min(changes) > 0.02
    return Verdict(
        claim, holds, f"between weight densities time changes by {percent(min(changes))} to {percent(max(changes))}"
    )


def draw(figure: Any, rows: list[dict]) -> None:
    axes = figure.subplots(1, len(CHIPS), squeeze=False)[0]
    styles = dict(zip(WEIGHT_DENSITIES, ("-", "--", "-.", ":", (0, (1, 3))), strict=True))
    for axis, name in zip(axes, CHIPS, strict=True):
        own = [row for row in rows if row["chip"] == name]
        for density in WEIGHT_DENSITIES:
            line = [row for row in own if row["weight_density"] == density]
            x, y = [row["neurons_per_core"] for row in line], [row["time_us"] for row in line]
            axis.plot(x, y, ls=styles[density], color="grey", lw=1, label=f"{1 - density:.0%} of weights are zero")
        for state in dict.fromkeys(row["simulated_state"] for row in own):
            points = [(row["neurons_per_core"], row["time_us"]) for row in own if row["simulated_state"] == state]
            axis.plot(*zip(*points, strict=True), MARKERS[state], color=COLOURS[state], label=f"{state}-bound")
        floor = {row["neurons_per_core"]: floor_us(row) for row in own}
        axis.plot(
            *zip(*floor.items(), strict=True), "k", lw=4, alpha=0.25, label="floor: busiest sweep, barrier, management"
        )
        axis.set(xscale="log", yscale="log", xlabel="neurons on the core", title=load_chip(name).title)
    axes[0].set_ylabel("time per timestep (us)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
