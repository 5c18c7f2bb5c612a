"""10. The floorline of frames on AKD1000.

How near do the bounds of one frame alone and of a run of frames come to the simulation, and do they name its state?

Random quantised networks (one to four convolutions of random size, kernel and pooling, plain or separable, and a dense
layer) with random densities of messages, mapped in both modes.
Expected: never above the simulation, exactly; near it where work binds. Layers work on whole frames one after another,
so that one frame takes its longest chain of cores; many take the busiest core, or two that take turns with a single
input buffer, with the time to fill and empty the chip. The form is ours: what arXiv:2511.21549 shows of AKD1000 was not
found. Messages on their way into one core are in the bound, and those that their senders' sweeps send before the last
of them, wherever these go: an input block with a copy for each of many processors is slow for that reason.

    python -m benchmarks.experiments.frame_bounds [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.experiments.common import percent
from nsim.chip.file import load_chip
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.errors import MappingError
from nsim.mapping.frames.mapping import FrameMapping
from nsim.mapping.network import map_network
from nsim.network.builtin.quantized import RandomQuantized
from nsim.network.layers import Network
from nsim.report.plots import COLOURS, MARKERS
from nsim.result.limits.frames import STATES, run_bounds
from nsim.result.limits.frames_bottleneck import bottleneck_of, works_of
from nsim.result.run_frames import simulate_frames

CHIP = "akd1000"
FRAMES = 4
CLEAR = 1.1  # largest term over the second, from which a state counts


def random_network(rng: np.random.Generator) -> Network:
    """An image, one to four convolutions and a dense layer."""
    side = int(rng.choice([16, 24, 32]))
    made = RandomQuantized((int(rng.choice([1, 3])), side, side), float(rng.uniform(0.02, 0.9)), rng, 1.0)
    layers = int(rng.integers(1, 5))
    for number in range(layers):
        filters = int(rng.choice([8, 16, 32, 64]))
        pooled = bool(rng.random() < 0.4) and side >= 16 and number + 1 < layers  # none before the dense layer
        if number and not pooled and rng.random() < 0.4:
            made.separable(f"conv_{number}", filters)
        else:
            made.convolution(f"conv_{number}", filters, max_pool=pooled)
        side //= 1 + pooled
    made.classifier("classifier", 10)
    return made.network("random", int(rng.integers(2**31)))


def mappings(count: int, rng: np.random.Generator) -> Iterator[tuple[str, FrameMapping]]:
    """Random networks that fit in one sequence, in both modes in turn."""
    chip, found = load_chip(CHIP), 0
    while found < count:
        mode = ("minimal", "all-nps")[found % 2]
        try:
            mapping = map_network(random_network(rng), chip, mode=mode)
        except MappingError:  # too large a layer
            continue
        if len(mapping.sequences) == 1:
            found += 1
            yield mode, mapping


def run(quick: bool, seed: int) -> Outcome:
    rng = np.random.default_rng(seed)
    rows = []
    for number, (mode, mapping) in enumerate(mappings(6 if quick else 60, rng)):
        result = simulate_frames(mapping, samples=FRAMES, seed=seed + number, critical_path=True)
        found = bottleneck_of(result)
        rows.append(
            {
                "mode": mode,
                "layers": len(mapping.network.layers) - 1,
                "processors": mapping.processors,
                "time_us": result.latency_ps / 1e6,
                "bound_us": int(found.bounds.least_ps[0]) / 1e6,
                "run_us": result.time_ps / 1e6,
                "run_bound_us": int(run_bounds(works_of(result), result.program_ps_per_frame).least_ps[0]) / 1e6,
                "margin": found.bounds.margin,
                "predicted_state": found.predicted,
                "simulated_state": found.simulated,
            }
        )
    return Outcome(rows, judge(rows), lambda figure: draw(figure, rows), (10, 4.6))


def judge(rows: list[dict]) -> list[Verdict]:
    below = sum((row["time_us"] < row["bound_us"]) + (row["run_us"] < row["run_bound_us"]) for row in rows)
    verdicts = [Verdict("no bound is above the simulation", below == 0, f"{below} of {2 * len(rows)} are")]
    for what, time, bound in (("one frame", "time_us", "bound_us"), (f"{FRAMES} frames", "run_us", "run_bound_us")):
        over = np.array([row[time] / row[bound] - 1 for row in rows if row["simulated_state"] != "traffic"])
        near = float((over < 0.1).mean()) if over.size else 1.0
        median, most = percent(float(np.median(over))), percent(float(over.max()))
        words = f"{percent(near)} of {over.size}, median {median} over, most {most}"
        claim = f"{what}: at least 90 % of memory- and compute-bound workloads are within 10 % of the bound"
        verdicts.append(Verdict(claim, near >= 0.9, words))
    clear = [row for row in rows if row["margin"] >= CLEAR]
    agree = float(np.mean([row["predicted_state"] == row["simulated_state"] for row in clear]))
    claim = "predicted and simulated state of one frame agree on at least 90 %"
    return [*verdicts, Verdict(claim, agree >= 0.9, f"{percent(agree)} of {len(clear)} with a margin of {CLEAR}")]


def draw(figure: Any, rows: list[dict]) -> None:
    """Simulated over bound, one frame and many."""
    titles = ("one frame alone", f"{FRAMES} frames in a row")
    columns = (("bound_us", "time_us"), ("run_bound_us", "run_us"))
    for axis, title, (bound, time) in zip(figure.subplots(1, 2), titles, columns, strict=True):
        ends = [min(row[bound] for row in rows) / 1.5, max(row[time] for row in rows) * 1.5]
        axis.plot(ends, ends, color="black", lw=1.2, label="the bound itself")
        axis.fill_between(ends, ends, ends[0] / 2, color="black", alpha=0.06, lw=0)
        for state in STATES:
            own = [row for row in rows if row["simulated_state"] == state]
            if own:
                x, y = [row[bound] for row in own], [row[time] for row in own]
                axis.plot(x, y, MARKERS[state], color=COLOURS[state], ms=6, mec="white", label=f"{state}-bound")
        axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title=f"{title}, {len(rows)} random networks")
        axis.set(xlabel="bound from counts (us)", ylabel="simulated (us)")
        axis.text(0.97, 0.04, "faster than can be", transform=axis.transAxes, fontsize=8, ha="right")
        axis.legend(fontsize=8, loc="upper left")


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
