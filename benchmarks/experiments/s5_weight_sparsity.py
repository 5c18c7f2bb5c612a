"""2. S5 on Loihi 2 against weight sparsity.

How does the time of an S5 network on Loihi 2 fall with weight sparsity, in the dense and in the sparse format, and
where does another state take over?

The built-in S5 denoiser (shape of IntelLabs/SparseRNNs, random weights, assumed activity), three ways: dense and
sparse format on the same cores, which are those that the dense network needs in either format, and the sparse format
on the cores that the vendor's default partition gives it, fewer and fewer as the weights take less memory.
Expected: a figure of arXiv:2511.21549 shows S5 on Loihi 2 against weight sparsity (caption, secondary; no value was
found, nor whether it is this S5). From the table of its analytical model (secondary): sparse time falls until updates
or traffic bind, dense time does not fall. That fewer cores undo the gain follows from its second row (ours). Loihi
carries no graded messages, so S5 runs on Loihi 2 only.

    python -m benchmarks.experiments.s5_weight_sparsity [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.experiments.common import facts, measure, percent
from nsim.chip.file import load_chip
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.network import map_network
from nsim.network.builtin import build
from nsim.network.layers import Network
from nsim.report.plots import MARKERS

CHIPS = ("loihi2",)
SPARSITIES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
WAYS = {
    "dense": "dense format",
    "sparse": "sparse format, same cores",
    "default": "sparse format, default partition",
}


def same_cores(network: Network, chip: Any) -> dict[str, int]:
    """Cores per layer that hold the dense network in either format."""
    needed: dict[str, int] = {}
    for form in ("dense", "sparse"):
        for slices in map_network(network, chip, weight_format=form).partition:
            needed.setdefault(f"{form} {slices[0].layer}", 0)
            needed[f"{form} {slices[0].layer}"] += 1
    return {
        layer.name: max(needed[f"dense {layer.name}"], needed[f"sparse {layer.name}"])
        for layer in network.layers
        if layer.on_chip
    }


def mapped(network: Network, chip: Any, way: str, cores: dict[str, int]) -> Mapping:
    if way == "default":
        return map_network(network, chip, weight_format="sparse")
    return map_network(network, chip, cores, weight_format=way)


def run(quick: bool, seed: int) -> Outcome:
    rows = []
    for name in CHIPS:
        chip = load_chip(name)
        cores = same_cores(build("s5", seed=seed), chip)
        for sparsity in SPARSITIES[::4] if quick else SPARSITIES:
            network = build("s5", density=1 - sparsity, seed=seed)
            for way in WAYS:
                found = measure(mapped(network, chip, way, cores), timesteps=1 if quick else 8, seed=seed)
                rows.append({"chip": name, "sparsity": sparsity, "way": way} | facts(found))
    verdicts = [verdict for name in CHIPS for verdict in judge(name, [row for row in rows if row["chip"] == name])]
    return Outcome(rows, verdicts, lambda figure: draw(figure, rows), (10, 4.6))


def judge(name: str, rows: list[dict]) -> list[Verdict]:
    lines = {way: [row for row in rows if row["way"] == way] for way in WAYS}
    times = {way: np.array([row["time_us"] for row in line]) for way, line in lines.items()}
    flat = times["dense"].max() / times["dense"].min() - 1
    sparse, default = lines["sparse"], lines["default"]
    turns = [row for row in sparse if row["simulated_state"] != sparse[0]["simulated_state"]]
    late = f"{turns[0]['simulated_state']}-bound from {turns[0]['sparsity']:.0%} on" if turns else "no other state does"
    receiving = sparse[-1]["receiving_us"] / sparse[-1]["memory_bound_us"]
    rises = float(np.max(np.diff(times["default"]) / times["default"][:-1], initial=0.0))
    return [
        Verdict(
            f"{name}: dense time does not fall with weight sparsity", bool(flat < 0.01), f"it varies by {percent(flat)}"
        ),
        Verdict(
            f"{name}: on the same cores sparse time falls with weight sparsity",
            bool((np.diff(times["sparse"]) <= 0).all()),
            f"from {times['sparse'][0]:.2f} us ({sparse[0]['simulated_state']}-bound) to {times['sparse'][-1]:.2f} us "
            f"at {sparse[-1]['sparsity']:.0%}, {times['sparse'][0] / times['sparse'][-1]:.1f} times less",
        ),
        Verdict(
            f"{name}: another state takes over at high weight sparsity",
            bool(turns),
            f"{late}; at {sparse[-1]['sparsity']:.0%} receiving messages, which no sparsity of weights saves, is "
            f"{receiving:.0%} of the memory bound",
        ),
        Verdict(
            f"{name}: on the default partition the gain is the same",
            bool(times["default"][-1] < 1.1 * times["sparse"][-1] and rises < 0.02),
            f"{default[0]['cores']} cores become {default[-1]['cores']}, {times['default'][0]:.2f} us become "
            f"{times['default'][-1]:.2f} us; from one sparsity to the next time rises by up to {percent(rises)}",
        ),
    ]


def draw(figure: Any, rows: list[dict]) -> None:
    axes, cores_axes = figure.subplots(1, 2)
    styles = {"dense": ("-", "#0072B2"), "sparse": ("--", "#D55E00"), "default": (":", "#009E73")}
    for way, label in WAYS.items():
        line = [row for row in rows if row["way"] == way]
        x, (style, colour) = [100 * row["sparsity"] for row in line], styles[way]
        axes.plot(x, [row["time_us"] for row in line], style, color=colour, lw=2, label=label)
        cores_axes.step(x, [row["cores"] for row in line], style, color=colour, lw=2, where="post", label=label)
    for state in dict.fromkeys(row["simulated_state"] for row in rows):
        points = [(100 * row["sparsity"], row["time_us"]) for row in rows if row["simulated_state"] == state]
        axes.plot(*zip(*points, strict=True), MARKERS[state], color="black", ms=4, label=f"{state}-bound")
    axes.set(xlabel="weight sparsity (%)", ylabel="time per timestep (us)", ylim=(0, None), title="S5 on Intel Loihi 2")
    axes.legend(fontsize=8)
    cores_axes.set(xlabel="weight sparsity (%)", ylabel="cores in use", ylim=(0, None), title="cores that it takes")
    cores_axes.yaxis.get_major_locator().set_params(integer=True)
    cores_axes.legend(fontsize=8, loc="lower left")


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
