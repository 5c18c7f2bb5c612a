"""6. Traffic-bound: layers over more cores, voluntarily and because they must.

Do synops per core, updates per core and messages grow with the exponents of the paper's table, and does the time of a
layer that is split over ever more cores first fall and then rise?

Voluntary: equal layers, each split over C cores; and one layer split over C cores, the layer before it staying on
one.
Forced: layers x times as wide, on the smallest number of cores that holds their weights (dense format).
Expected (table of the analytical model of arXiv:2511.21549, as secondary summaries give it)
  voluntary   synops per core ~ C^-1, updates per core ~ C^-1, messages ~ C
  forced      cores ~ x^2, synops per core ~ x^0, updates per core ~ x^-1, messages ~ x^3
  and wide layers drift to traffic-bound. That time falls and then rises when a layer is split follows from the terms.
Exponents are slopes of log count over log C or x, of counts found by simulation, with 95 % confidence intervals; one is
taken as confirmed if the table's value is no more than 0.1 from the slope, or in its interval and no more than 0.3 from
it (ours). Splits that break a limit of the chip, such as the outgoing axons of a core of Loihi, are left out.

    python -m benchmarks.experiments.traffic_bound [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import linregress, t

from benchmarks.experiments.common import CHIPS, facts, measure, stack
from nsim.barrier_chip import BarrierChip
from nsim.chip_file import load_chip
from nsim.errors import MappingError
from nsim.mapping import Mapping, map_network
from nsim.mapping.partition import Rules, smallest_split
from nsim.plots import COLOURS, MARKERS
from nsim.reproduce import Outcome, Verdict, script

MESSAGE_DENSITY = 0.25
DEPTH = 2  # layers that receive
WAYS = {"all": "all layers split", "one": "one layer split, the one before it on one core", "forced": "width x times"}
EXPECTED = {  # exponents of the table, by way and count
    "all": {"synops_per_core": -1, "updates_per_core": -1, "messages": 1},
    "one": {"synops_per_core": -1, "updates_per_core": -1, "messages": 1},
    "forced": {"cores_per_layer": 2, "synops_per_core": 0, "updates_per_core": -1, "messages": 3},
}


def widest(chip: BarrierChip) -> int:
    """Neurons of the largest layer, fed by one of its own size, that fits one core: a multiple of 8."""
    for neurons in range(8, chip.core.neurons, 8):
        network = stack((neurons + 8,) * 2, 1.0, np.random.default_rng(0))
        if smallest_split(Rules(network, chip, "dense"), network.layers[1]) != 1:
            return neurons
    return chip.core.neurons


def split(widths: int, layers: dict[str, int], chip: BarrierChip, seed: int) -> Mapping:
    network = stack((widths,) * len(layers), 1.0, np.random.default_rng(seed))
    return map_network(network, chip, layers, dense_layers="dense")


def mappings(chip: BarrierChip, quick: bool, seed: int) -> Iterator[tuple[str, int, int, Mapping]]:
    """Way, C or x, cores per layer, mapping; those that do not fit the chip are left out."""
    base = widest(chip)
    names = [f"layer{number}" for number in range(DEPTH + 1)]
    for cores in (1, 2, 4, 8, 16) if quick else (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 42):
        yield from _fitting("all", cores, cores, base, dict.fromkeys(names, cores), chip, seed)
    for cores in (1, 4, 16) if quick else (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96):
        yield from _fitting("one", cores, cores, base, {"layer0": 1, "layer1": cores}, chip, seed)
    for factor in (1, 2, 3) if quick else (1, 2, 3, 4, 5, 6):
        network = stack((base * factor,) * 2, 1.0, np.random.default_rng(seed))
        cores = smallest_split(Rules(network, chip, "dense"), network.layers[1])
        if cores is not None:
            yield from _fitting("forced", factor, cores, base * factor, dict.fromkeys(names, cores), chip, seed)


def _fitting(way, value, cores, width, layers, chip, seed) -> Iterator[tuple[str, int, int, Mapping]]:
    try:
        yield way, value, cores, split(width, layers, chip, seed)
    except MappingError:
        return


def run(quick: bool, seed: int) -> Outcome:
    rows = []
    for name in CHIPS:
        for way, value, cores, mapping in mappings(load_chip(name), quick, seed):
            last = mapping.network.output
            activity = dict.fromkeys(mapping.network.by_name, MESSAGE_DENSITY) | {last: 0.0}
            found = measure(mapping, activity=activity, timesteps=2 if quick else 8, seed=seed)
            states = found.result.states
            assert states is not None
            rows.append(
                {"chip": name, "way": way, "factor": value, "cores_per_layer": cores}
                | facts(found)
                | {
                    "synops_per_core": float(found.bounds.max_synops.mean()),
                    "updates_per_core": int(mapping.allocated.max() if way != "one" else mapping.allocated[1:].max()),
                    "traffic_share": float(states["traffic"].sum() / found.result.total_ps),
                }
            )
    verdicts = [verdict for name in CHIPS for verdict in judge(name, [row for row in rows if row["chip"] == name])]
    return Outcome(rows, verdicts, lambda figure: draw(figure, rows), (13, 4.2 * len(CHIPS)))


def exponent(rows: list[dict], key: str) -> tuple[float, float]:
    """Slope of log count over log factor, and half the width of its 95 % confidence interval."""
    fit = linregress(np.log([row["factor"] for row in rows]), np.log([row[key] for row in rows]))
    return float(fit.slope), float(fit.stderr * t.ppf(0.975, len(rows) - 2)) if len(rows) > 2 else float("inf")


def judge(name: str, rows: list[dict]) -> list[Verdict]:
    verdicts = []
    for way, expected in EXPECTED.items():
        own = [row for row in rows if row["way"] == way]
        fits = {key: exponent(own, key) for key in expected}
        far = [key for key, (slope, half) in fits.items() if abs(slope - expected[key]) > max(0.1, min(half, 0.3))]
        measured = ", ".join(
            f"{key.replace('_', ' ')} {slope:.2f} +- {half:.2f} (table {expected[key]:+d})"
            for key, (slope, half) in fits.items()
        )
        verdicts.append(Verdict(f"{name}, {WAYS[way]}: exponents are those of the table", not far, measured))
        if way != "forced":
            verdicts.append(falls_then_rises(f"{name}, {WAYS[way]}: time falls, then rises", own))
    return [*verdicts, drift(name, [row for row in rows if row["way"] == "forced"])]


def falls_then_rises(claim: str, rows: list[dict]) -> Verdict:
    """An interior minimum, and at least 5 % more at the end; the end is the most cores that the chip's limits allow."""
    times = np.array([row["time_us"] for row in rows])
    best = int(times.argmin())
    holds = 0 < best < len(rows) - 1 and times[-1] > 1.05 * times[best]
    return Verdict(
        claim,
        bool(holds),
        f"{times[0]:.2f} us on {rows[0]['factor']} core, {times[best]:.2f} us on {rows[best]['factor']}, "
        f"{times[-1]:.2f} us on {rows[-1]['factor']}, the largest split ("
        f"{rows[0]['simulated_state']}, {rows[best]['simulated_state']}, "
        f"{rows[-1]['simulated_state']}-bound)",
    )


def drift(name: str, rows: list[dict]) -> Verdict:
    """Whether the widest layers are bound by traffic."""

    def ratio(row: dict) -> float:
        return row["traffic_bound_us"] / row["memory_bound_us"]

    first, last = rows[0], rows[-1]
    return Verdict(
        f"{name}: layers that outgrow a core drift to traffic-bound",
        last["simulated_state"] == "traffic",
        f"traffic's share of the time goes from {first['traffic_share']:.0%} to {last['traffic_share']:.0%} at "
        f"{last['factor']} times the width ({last['cores']} cores), its bound from {ratio(first):.2f} to "
        f"{ratio(last):.2f} of the memory bound; state {last['simulated_state']}, where receiving messages is "
        f"{last['receiving_us'] / last['memory_bound_us']:.0%} of the memory bound",
    )


def draw(figure: Any, rows: list[dict]) -> None:
    grid = figure.subplots(len(CHIPS), 3, squeeze=False)
    for axes, name in zip(grid, CHIPS, strict=True):
        for axis, way in zip(axes, WAYS, strict=True):
            own = [row for row in rows if row["chip"] == name and row["way"] == way]
            x = [row["factor"] for row in own]
            axis.plot(x, [row["time_us"] for row in own], color="black", lw=1, zorder=1)
            for state in dict.fromkeys(row["simulated_state"] for row in own):
                points = [(row["factor"], row["time_us"]) for row in own if row["simulated_state"] == state]
                axis.plot(
                    *zip(*points, strict=True), MARKERS[state], color=COLOURS[state], label=f"{state}-bound", ms=8
                )
            for state in ("memory", "compute", "traffic"):
                axis.plot(x, [r[f"{state}_bound_us"] for r in own], ":", color=COLOURS[state], label=f"bound: {state}")
            label = "width factor x" if way == "forced" else "cores per layer C"
            axis.set(xscale="log", yscale="log", xlabel=label, title=f"{load_chip(name).title}: {WAYS[way]}")
            axis.title.set_fontsize(9)
            axis.xaxis.set_major_formatter("{x:.0f}")
            ticks = [1, 2, 3, 4, 5, 6] if way == "forced" else [1, 2, 4, 8, 16, 32, 64]
            axis.set_xticks([value for value in ticks if value <= max(x)])
            axis.set_xticks([], minor=True)
        axes[0].set_ylabel("time per timestep (us)")
    for axis in grid[0]:
        axis.legend(fontsize=7)


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
