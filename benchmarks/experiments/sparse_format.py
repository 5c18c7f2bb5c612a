"""3. Overhead of the sparse weight format.

How much slower is a layer whose weights are stored sparse, and from which weight sparsity on does the format pay?

One fully connected layer on one core; its source layer is on another core. Solid: dense format; dashed: sparse
format.
Expected
  - a sparse synop takes longer: that an overhead exists is the subject of a figure of arXiv:2511.21549 (caption only,
    secondary; no factor was found), and Loihi's fit to silicon has 4.7 ns against 3.8 ns (SANA-FE)
  - dense time does not fall with weight sparsity, since zeros are fetched too (definition of the formats, ours)
  - sparse time falls, and both cross at the sparsity 1 - dense/sparse of the synop times, where memory binds (ours)
The band is what the chip file's ranges allow: one format's synop at its lower end, the other's at its upper end.
Where the file gives no range, there is no band. That the two ranges are independent is the widest reading: the note
in the chip file bounds the *overhead* by 1.0 to 1.24, which gives a narrower one.

    python -m benchmarks.experiments.sparse_format [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.experiments.common import CHIPS, facts, measure, percent, stack
from nsim.chip.chip import changed
from nsim.chip.file import load_chip
from nsim.chip.timesteps import BarrierChip
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.mapping.network import map_network

NEURONS = 160  # whose weights fit one core even if all are stored with an index
MESSAGE_DENSITY = 0.5
OVERHEAD = (1.0, 1.24)  # of the sparse format on Loihi 2, as the notes of chips/loihi2.toml bound it


def time_us(chip: BarrierChip, sparsity: float, weight_format: str, seed: int, timesteps: int) -> dict[str, Any]:
    network = stack((NEURONS, NEURONS), 1 - sparsity, np.random.default_rng(seed))
    mapping = map_network(network, chip, weight_format=weight_format, partition=1)
    found = measure(mapping, activity=MESSAGE_DENSITY, timesteps=timesteps, seed=seed)
    return facts(found) | {"words": max(demand.synapse_words for demand in mapping.demands)}


def break_even(sparsity: list[float], dense_us: list[float], sparse_us: list[float]) -> float:
    """Where the sparse format becomes the faster one, between points on a line; 0 if it always is."""
    gain = np.array(dense_us) - np.array(sparse_us)
    if gain[0] >= 0:
        return 0.0
    after = int(np.argmax(gain >= 0))
    if gain[after] < 0:
        return 1.0
    return float(np.interp(0, gain[after - 1 : after + 1], sparsity[after - 1 : after + 1]))


def with_synops(chip: BarrierChip, dense_ps: int, sparse_ps: int) -> BarrierChip:
    return changed(chip, {"actions.synop_dense.latency_ps": dense_ps, "actions.synop_sparse.latency_ps": sparse_ps})


def variants(chip: BarrierChip) -> dict[str, BarrierChip]:
    """The chip as in its file, and at the ends of its ranges if it has any."""
    found = {"file": chip}
    dense, sparse = chip.actions.synop_dense, chip.actions.synop_sparse
    if dense.latency_ps_range and sparse.latency_ps_range:
        (dense_low, dense_high), (sparse_low, sparse_high) = dense.latency_ps_range, sparse.latency_ps_range
        found["sparse cheapest"] = with_synops(chip, dense_high, sparse_low)
        found["sparse dearest"] = with_synops(chip, dense_low, sparse_high)
        for factor in OVERHEAD:
            found[f"overhead {factor}"] = with_synops(chip, dense.latency_ps, round(factor * dense.latency_ps))
    return found


def run(quick: bool, seed: int) -> Outcome:
    sparsities = np.linspace(0, 0.99, 8 if quick else 23).round(3).tolist()
    timesteps = 4 if quick else 32
    rows, verdicts = [], []
    for name in CHIPS:
        crossing = {}
        for variant, chip in variants(load_chip(name)).items():
            table = [
                {
                    "chip": name,
                    "costs": variant,
                    "sparsity": s,
                    "format": form,
                    **time_us(chip, s, form, seed, timesteps),
                }
                for s in sparsities
                for form in ("dense", "sparse")
            ]
            dense, sparse = ([r for r in table if r["format"] == form] for form in ("dense", "sparse"))
            crossing[variant] = break_even(sparsities, [r["time_us"] for r in dense], [r["time_us"] for r in sparse])
            rows += table
            if variant == "file":
                verdicts += judge(name, chip, dense, sparse, crossing[variant])
        if len(crossing) > 1:
            verdicts.append(uncertainty(name, crossing))
    return Outcome(rows, verdicts, lambda figure: draw(figure, rows), (10, 4.4))


def judge(name: str, chip: BarrierChip, dense: list[dict], sparse: list[dict], crossing: float) -> list[Verdict]:
    dense_us, sparse_us = (np.array([row["time_us"] for row in rows]) for rows in (dense, sparse))
    ratio = chip.actions.synop_sparse.latency_ps / chip.actions.synop_dense.latency_ps
    rule = 1 - 1 / ratio
    flat = dense_us.max() / dense_us.min() - 1
    return [
        Verdict(
            f"{name}: the sparse format is slower without sparsity",
            bool(sparse_us[0] > dense_us[0]),
            f"a timestep takes {sparse_us[0] / dense_us[0]:.2f} times as long, a synop {ratio:.2f} times",
        ),
        Verdict(
            f"{name}: weight sparsity does not shorten dense runs", bool(flat < 0.01), f"they vary by {percent(flat)}"
        ),
        Verdict(
            f"{name}: the sparse format pays from a sparsity of 1 - dense/sparse on",
            bool(abs(crossing - rule) < 0.02),
            f"break-even at {crossing:.2f}, the rule says {rule:.2f}; at {sparse[-1]['sparsity']:.0%} it is "
            f"{dense_us[-1] / sparse_us[-1]:.1f} times faster and {sparse[-1]['simulated_state']}-bound",
        ),
    ]


def uncertainty(name: str, crossing: dict[str, float]) -> Verdict:
    """What the ranges of the chip file leave of the break-even point."""
    low, high = crossing["sparse cheapest"], crossing["sparse dearest"]
    narrow = [crossing[f"overhead {factor}"] for factor in OVERHEAD]
    return Verdict(
        f"{name}: the break-even sparsity is known to within 0.1",
        high - low < 0.1,
        f"the file's ranges, taken as independent, allow {low:.2f} to {high:.2f}; an overhead of {OVERHEAD[0]} to "
        f"{OVERHEAD[1]} allows {min(narrow):.2f} to {max(narrow):.2f}",
    )


def draw(figure: Any, rows: list[dict]) -> None:
    axes = figure.subplots(1, len(CHIPS), squeeze=False)[0]
    for axis, name in zip(axes, CHIPS, strict=True):
        series: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
        for row in rows:
            if row["chip"] == name:
                x, y = series.setdefault((row["costs"], row["format"]), ([], []))
                x.append(100 * row["sparsity"])
                y.append(row["time_us"])
        colours = {"dense": "#0072B2", "sparse": "#D55E00"}
        ends = {"dense": ("sparse dearest", "sparse cheapest"), "sparse": ("sparse cheapest", "sparse dearest")}
        for form, style in (("dense", "-"), ("sparse", "--")):
            x, y = series["file", form]
            axis.plot(x, y, style, color=colours[form], lw=2, label=f"{form} format")
            if (ends[form][0], form) in series:
                low, high = (series[end, form][1] for end in ends[form])
                axis.fill_between(x, low, high, color=colours[form], alpha=0.12, lw=0, label="range of the chip file")
        x, dense = series["file", "dense"]
        crossing = break_even(x, dense, series["file", "sparse"][1])
        label, height = f"break-even {crossing:.0f} %", float(np.interp(crossing, x, dense))
        if ("sparse dearest", "dense") in series:
            low, high = (
                break_even(x, series[end, "dense"][1], series[end, "sparse"][1])
                for end in ("sparse cheapest", "sparse dearest")
            )
            axis.plot([low, high], [height] * 2, "k|-", ms=12, zorder=5)
            label += f"\n(range: {low:.0f} to {high:.0f} %)"
        axis.plot([crossing], [height], "ko", zorder=5)
        axis.annotate(label, (crossing, height), (8, 8), textcoords="offset points")
        axis.set(title=load_chip(name).title, xlabel="weight sparsity (%)", xlim=(0, 100), ylim=(0, None))
        axis.legend(loc="lower left", fontsize=8)
    axes[0].set_ylabel("time per timestep (us)")


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
