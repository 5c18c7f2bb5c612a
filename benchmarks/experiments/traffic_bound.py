"""6. Traffic-bound: layers over more cores, voluntarily and because they must.

Do synops per core, updates per core and messages grow with the exponents of the paper's table, and does the time of a
layer that is split over ever more cores first fall and then rise?

Voluntary: equal layers, each split over C cores; and one layer split over C cores, the layer before it staying on
one.
Forced: layers x times as wide, on the smallest number of cores that holds their weights: all weights in the dense
format, and 2 % of them in the sparse format, whose layers are wider from the start.
Expected (table of the analytical model of arXiv:2511.21549, as secondary summaries give it)
  voluntary   synops per core ~ C^-1, updates per core ~ C^-1, messages ~ C
  forced      cores ~ x^2, synops per core ~ x^0, updates per core ~ x^-1, messages ~ x^3
  and wide layers drift to traffic-bound. That time falls and then rises when a layer is split follows from the terms.
  Receiving messages is work of the stage that reads the weights, and counts as memory in the states of this project; it
  grows like the messages, so the drift is also asked for with receiving on the side of the messages.
Exponents are slopes of log count over log C or x, of counts found by simulation, with 95 % confidence intervals; one is
taken as confirmed if the table's value is no more than 0.1 from the slope, or in its interval and no more than 0.3 from
it (ours). Splits that break another limit of the chip are left out: Loihi's 4,096 outgoing axons of a core end two
series early, and its 1,024 neurons of a core are full before the weights of the sparse layers are.

    python -m benchmarks.experiments.traffic_bound [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import linregress, t

from benchmarks.experiments.common import CHIPS, facts, measure, stack
from nsim.chip.file import load_chip
from nsim.chip.timesteps import BarrierChip
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.errors import MappingError
from nsim.mapping.cores.partition import Rules, smallest_split
from nsim.mapping.network import map_network
from nsim.network.layers import Network
from nsim.report.plots import COLOURS, MARKERS

MESSAGE_DENSITY = 0.25
DEPTH = 2  # layers that receive
WAYS = {
    "all": "all layers split",
    "one": "one layer split, the one before it on one core",
    "forced": "width x times, all weights",
    "forced sparse": "width x times, 2 % of weights",
}
WEIGHT_DENSITY = {"forced sparse": 0.02}  # of all others 1
SPLIT = {"synops_per_core": -1, "updates_per_core": -1, "messages": 1}  # exponents of the table, by count
WIDENED = {"cores_per_layer": 2, "synops_per_core": 0, "updates_per_core": -1, "messages": 3}
FORCED = ("forced", "forced sparse")


def layers_of(way: str, width: int, layers: int, seed: int) -> Network:
    density = WEIGHT_DENSITY.get(way, 1.0)
    return stack((width,) * layers, density, np.random.default_rng(seed), sparse=density < 1)


def cores_needed(chip: BarrierChip, way: str, width: int, seed: int) -> int | None:
    """The smallest number of cores that holds a layer fed by one of its own size."""
    network = layers_of(way, width, 2, seed)
    return smallest_split(Rules(network, chip, "dense"), network.layers[1])


def widest(chip: BarrierChip, way: str, seed: int) -> int:
    """Neurons of the largest layer that fits one core, a multiple of 8; stored weights take a byte or more each."""
    stored = chip.core.synapse_words * chip.core.word_bits / 8
    most = min(chip.core.neurons, (stored / WEIGHT_DENSITY.get(way, 1.0)) ** 0.5)
    low, high = 1, int(most) // 8 + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cores_needed(chip, way, 8 * middle, seed) == 1 else (low, middle)
    return 8 * low


def splits(chip: BarrierChip, quick: bool, seed: int) -> Iterator[tuple[str, int, int, int, dict[str, int]]]:
    """Way, C or x, cores per layer, width, and cores of every layer."""
    base = widest(chip, "all", seed)
    names = [f"layer{number}" for number in range(DEPTH + 1)]
    for cores in (1, 2, 4, 8, 16) if quick else (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 42):
        yield "all", cores, cores, base, dict.fromkeys(names, cores)
    for cores in (1, 4, 16) if quick else (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96):
        yield "one", cores, cores, base, {"layer0": 1, "layer1": cores}
    for way in FORCED:
        base = widest(chip, way, seed)
        for factor in (1, 2, 3) if quick else (1, 2, 3, 4, 5, 6):
            needed = cores_needed(chip, way, base * factor, seed)
            if needed is not None:
                yield way, factor, needed, base * factor, dict.fromkeys(names, needed)


def run(quick: bool, seed: int) -> Outcome:
    rows = []
    for name in CHIPS:
        chip = load_chip(name)
        for way, factor, cores_per_layer, width, cores in splits(chip, quick, seed):
            network = layers_of(way, width, len(cores), seed)
            try:
                mapping = map_network(network, chip, cores, weight_format="dense")
            except MappingError:
                continue
            activity = dict.fromkeys(network.by_name, MESSAGE_DENSITY) | {network.output: 0.0}
            found = measure(mapping, activity=activity, timesteps=2 if quick else 8, seed=seed)
            states = found.result.path_ps
            assert states is not None
            held = mapping.allocated[1:] if way == "one" else mapping.allocated  # not those of the core that sends
            rows.append(
                {"chip": name, "way": way, "factor": factor, "width": width, "cores_per_layer": cores_per_layer}
                | facts(found)
                | {
                    "synops_per_core": float(found.bounds.max_synops.mean()),
                    "updates_per_core": int(held.max()),
                    "traffic_share": states["traffic"] / found.result.time_ps,
                }
            )
    verdicts = [verdict for name in CHIPS for verdict in judge(name, [row for row in rows if row["chip"] == name])]
    return Outcome(rows, verdicts, lambda figure: draw(figure, rows), (16, 4.2 * len(CHIPS)))


def exponent(rows: list[dict], key: str) -> tuple[float, float]:
    """Slope of log count over log factor, and half the width of its 95 % confidence interval."""
    fit = linregress(np.log([row["factor"] for row in rows]), np.log([row[key] for row in rows]))
    return float(fit.slope), float(fit.stderr * t.ppf(0.975, len(rows) - 2)) if len(rows) > 2 else float("inf")


def judge(name: str, rows: list[dict]) -> list[Verdict]:
    verdicts = []
    for way, label in WAYS.items():
        own = [row for row in rows if row["way"] == way]
        claim = f"{name}, {label}"
        expected = WIDENED if way in FORCED else SPLIT
        fits = {key: exponent(own, key) for key in expected}
        far = [key for key, (slope, half) in fits.items() if abs(slope - expected[key]) > max(0.1, min(half, 0.3))]
        measured = ", ".join(
            f"{key.replace('_', ' ')} {slope:.2f} +- {half:.2f} (table {expected[key]:+d})"
            for key, (slope, half) in fits.items()
        )
        measured += f", from {len(own)} points"
        verdicts.append(Verdict(f"{claim}: exponents are those of the table", not far, measured))
        verdicts += drift(claim, own) if way in FORCED else [falls_then_rises(f"{claim}: time falls, then rises", own)]
    return verdicts


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


def drift(claim: str, rows: list[dict]) -> list[Verdict]:
    """Whether the widest layers are bound by traffic, or by messages if receiving counts with them."""
    first, last = rows[0], rows[-1]
    bounds = [row["traffic_bound_us"] / row["memory_bound_us"] for row in (first, last)]
    receiving = [row["receiving_us"] / row["memory_bound_us"] for row in (first, last)]
    widest_one = f"{last['factor']} times the width ({last['width']} neurons, {last['cores']} cores)"
    return [
        Verdict(
            f"{claim}: wide layers drift to traffic-bound",
            last["simulated_state"] == "traffic",
            f"{last['simulated_state']}-bound at {widest_one}; the traffic bound goes from {bounds[0]:.2f} to "
            f"{bounds[1]:.2f} of the memory bound",
        ),
        Verdict(
            f"{claim}: in wide layers messages cost more than synops, if receiving counts as a cost of messages",
            receiving[1] > 0.5 or last["simulated_state"] == "traffic",
            f"receiving goes from {receiving[0]:.0%} to {receiving[1]:.0%} of the memory bound at {widest_one}",
        ),
    ]


def draw(figure: Any, rows: list[dict]) -> None:
    grid = figure.subplots(len(CHIPS), len(WAYS), squeeze=False)
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
            for state in ("compute", "traffic", "memory"):
                axis.plot(x, [r[f"{state}_bound_us"] for r in own], ":", color=COLOURS[state], label=f"bound: {state}")
            receiving = [row["receiving_us"] for row in own]
            axis.plot(x, receiving, "--", lw=0.8, color=COLOURS["memory"], label="of it: receiving")
            label = "width factor x" if way in FORCED else "cores per layer C"
            axis.set(xscale="log", yscale="log", xlabel=label, title=f"{load_chip(name).title}: {WAYS[way]}")
            axis.title.set_fontsize(9)
            axis.xaxis.set_major_formatter("{x:.0f}")
            ticks = [1, 2, 3, 4, 5, 6] if way in FORCED else [1, 2, 4, 8, 16, 32, 64]
            axis.set_xticks([value for value in ticks if value <= max(x)])
            axis.set_xticks([], minor=True)
            axis.tick_params(axis="y", which="minor", labelleft=False)
        axes[0].set_ylabel("time per timestep (us)")
    shown = grid[0, 1].get_legend_handles_labels()  # the panel in which all states occur
    figure.legend(*shown, loc="outside lower center", ncols=8, fontsize=8)


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
