"""9. Backpressure: buffers of the chip against unbounded ones.

The same messages with the chip's buffers and with buffers that are never full: how much time does waiting for a place
cost, and where does it change the state that limits a timestep?

Networks from one that is split over few cores to a whole chip of recurrent neurons, and senders that all meet in one
core, each with the same activity and mapping; the chip file is copied with other numbers of places. After them the
random workloads of experiment 7, whose chips have slower links, sends, updates or barriers.
Expected: nothing was published. From the rules of the simulator (blocking after service, ours): what is bound by one
busy station does not change, and where messages wait behind others that cannot move, time grows and its share of
traffic too. Monotonic it need not be: one place more can make a timestep longer.
"Changes the time" is taken as more than 5 % (ours).

    python -m benchmarks.experiments.backpressure [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.experiments.common import CHIPS, UNBOUNDED, facts, measure, percent, stack, with_places
from benchmarks.experiments.floorline_states import clear_workloads
from benchmarks.experiments.max_affine_bound import qubo
from nsim.chip.file import load_chip
from nsim.chip.timesteps import BarrierChip
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.errors import MappingError
from nsim.mapping.cores.mapping import Recosting
from nsim.mapping.network import map_network
from nsim.network.builtin import build
from nsim.network.layers import Network
from nsim.result.limits.bottleneck import Bottleneck

PLACES = (1, 4, 16, 64, 256, 1024, UNBOUNDED)
CHANGE = 0.05
VARIED = "varied chips"
COLOURS = (*(f"C{number}" for number in range(10)), "black", "navy", "lime", "magenta")  # one for each workload
MARKERS = "osv^D"


def workloads(quick: bool, seed: int) -> Iterator[tuple[str, Network, Any, float | None]]:
    """Label, network, partition, and message density (None: the activity that the network comes with)."""

    def rng() -> np.random.Generator:
        return np.random.default_rng(seed)

    yield "two layers, 1 core each", stack((256, 256), 0.5, rng()), 1, 0.2
    yield "two layers, 8 to 8 cores", stack((512, 512), 0.5, rng()), 8, 0.2
    yield "32 cores send to 1", stack((1024, 128), 0.1, rng()), {"layer0": 32, "layer1": 1}, 0.2
    yield "1 core sends to 16", stack((256, 1024), 0.1, rng()), {"layer0": 1, "layer1": 16}, 0.2
    yield "QUBO, 64 cores", qubo(2048, 32, rng()), 64, 0.2
    if quick:
        return
    yield "40 to 40 to 40 cores", stack((1600,) * 3, 0.25, rng()), 40, 0.1
    yield "12 to 12 to 12 cores", stack((352,) * 3, 1.0, rng()), 12, 0.25
    yield "QUBO, 16 cores", qubo(1024, 32, rng()), 16, 0.2
    yield "QUBO, 128 cores", qubo(4096, 32, rng()), 128, 0.2
    yield "QUBO, 128 cores, all change", qubo(4096, 32, rng()), 128, 1.0
    yield "PilotNet LIF", build("pilotnet", neuron="lif"), "default", None
    yield "PilotNet SDNN", build("pilotnet"), "default", None
    yield "S5", build("s5"), "default", None
    yield "N-DNS SDNN", build("ndns-sdnn"), 8, None


def buffers_of(chip: BarrierChip, quick: bool) -> dict[str, BarrierChip]:
    """The chip as in its file, with unbounded buffers, and with a number of places in every queue."""
    kinds = {"file": chip}
    for places in (1, 16, UNBOUNDED) if quick else PLACES:
        kinds["unbounded" if places == UNBOUNDED else str(places)] = with_places(chip, places)
    return kinds


def run(quick: bool, seed: int) -> Outcome:
    rows = []
    for name in CHIPS:
        for label, network, partition, density in workloads(quick, seed):
            for buffers, chip in buffers_of(load_chip(name), quick).items():
                try:
                    mapping = map_network(network, chip, partition)
                except MappingError:
                    break  # the chip cannot hold it, whatever its buffers
                found = measure(mapping, activity=density, timesteps=2 if quick else 4, seed=seed)
                rows.append(row_of(name, label, buffers, found))
    rows += random_rows(8 if quick else 150, seed)
    verdicts = [verdict for name in CHIPS for verdict in judge(name, [row for row in rows if row["chip"] == name])]
    random = [row for row in rows if row["chip"] == VARIED]
    verdicts += [judge_times(VARIED, "16", random), judge_states(VARIED, random)]
    return Outcome(rows, verdicts, lambda figure: draw(figure, rows), (13, 5))


def random_rows(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Random workloads with one place in every queue, with 16, and with unbounded ones."""
    for number, (workload, _) in enumerate(clear_workloads(count, seed)):
        mapping = workload.mapping
        for buffers, places in (("1", 1), ("16", 16), ("unbounded", UNBOUNDED)):
            other = Recosting(mapping).at(with_places(mapping.chip, places))
            found = measure(other, activity=workload.activity, timesteps=2, seed=seed + number)
            yield row_of(VARIED, f"random {mapping.network.name} {number}", buffers, found)


def row_of(chip: str, label: str, buffers: str, found: Bottleneck) -> dict[str, Any]:
    states = found.result.path_ps
    assert states is not None
    share = {f"path_{state}": times / found.result.time_ps for state, times in states.items()}
    return {"chip": chip, "workload": label, "buffers": buffers} | facts(found) | share


def judge(name: str, rows: list[dict]) -> list[Verdict]:
    return [
        same_counts(name, rows),
        *(judge_times(name, kind, rows) for kind in ("file", "16")),
        judge_states(name, rows),
    ]


def judge_times(name: str, kind: str, rows: list[dict]) -> Verdict:
    """Times with these buffers against those with unbounded ones."""
    real, free = ({row["workload"]: row for row in rows if row["buffers"] == each} for each in (kind, "unbounded"))
    slower = {label: row["time_us"] / free[label]["time_us"] - 1 for label, row in real.items()}
    worst = sorted(slower, key=slower.__getitem__)[::-1]
    late = [f"{label} (+{percent(slower[label])})" for label in worst if slower[label] > CHANGE]
    what = "the chip file's buffers" if kind == "file" else f"{kind} places in every queue"
    return Verdict(
        f"{name}, {what}: waiting for places costs less than {percent(CHANGE)} of the time",
        not late,
        f"more than that in {len(late)} of {len(slower)} workloads{': ' if late else ''}{', '.join(late[:5])}; "
        f"the largest change is {percent(slower[worst[0]])}, the smallest {percent(slower[worst[-1]])}",
    )


def judge_states(name: str, rows: list[dict]) -> Verdict:
    """States with bounded buffers of any kind against those with unbounded ones."""
    free = {row["workload"]: row["simulated_state"] for row in rows if row["buffers"] == "unbounded"}
    bounded = [row for row in rows if row["buffers"] != "unbounded"]
    other = [
        f"{row['workload']} from {free[row['workload']]} to {row['simulated_state']} with {row['buffers']}"
        for row in bounded
        if row["simulated_state"] != free[row["workload"]]
    ]
    kinds = ", ".join(dict.fromkeys(row["buffers"] for row in bounded)).replace("file", "as in the chip file")
    return Verdict(
        f"{name}: waiting for places changes no state",
        not other,
        f"{len(other)} of {len(bounded)} runs (places: {kinds}){': ' if other else ''}{'; '.join(other[:5])}",
    )


def same_counts(name: str, rows: list[dict]) -> Verdict:
    """Counts and bounds know nothing of buffers: the comparison is of the same traffic."""
    counts = {(row["workload"], row["messages"], row["total_synops"], row["bound_us"]) for row in rows}
    workloads = {row["workload"] for row in rows}
    return Verdict(
        f"{name}: buffers change neither counts nor bounds",
        len(counts) == len(workloads),
        f"{len(counts)} sets of counts and bounds for {len(workloads)} workloads and {len(rows)} runs",
    )


def draw(figure: Any, rows: list[dict]) -> None:
    axes = figure.subplots(1, len(CHIPS), squeeze=False)[0]
    labels = list(dict.fromkeys(row["workload"] for row in rows if row["chip"] != VARIED))
    for axis, name in zip(axes, CHIPS, strict=True):
        own = [row for row in rows if row["chip"] == name]
        for label in dict.fromkeys(row["workload"] for row in own):
            number = labels.index(label)
            times = {row["buffers"]: row["time_us"] for row in own if row["workload"] == label}
            kinds = [kind for kind in times if kind != "file"]
            x = np.arange(len(kinds))
            style = {"color": COLOURS[number], "marker": MARKERS[number % len(MARKERS)], "ms": 5}
            axis.plot(x, [times[kind] / times["unbounded"] for kind in kinds], lw=1.2, label=label, **style)
            axis.plot(len(kinds) + 0.3, times["file"] / times["unbounded"], **style)
        axis.set_xticks([*x, len(kinds) + 0.3], [*kinds, "as in the\nchip file"])
        axis.set(xlabel="places in every queue", yscale="log", title=load_chip(name).title)
        axis.yaxis.set_major_formatter("{x:.1f}")
        axis.yaxis.set_minor_formatter("{x:.1f}")
        axis.legend(fontsize=7, loc="upper right")
    axes[0].set_ylabel("time over time with unbounded queues")


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
