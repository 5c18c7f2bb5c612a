"""7. The floorline of each chip, and whether it predicts the simulated state.

Does the largest bound, found from counts alone, name the state that the critical path of the simulation shows?

Left: workloads on the shipped chips, each at its synops of the busiest core and its time. Right: 300 random workloads
that are not within 10 % of a boundary between two states (largest bound at least 1.1 times the second), on variants
of the chips whose links, sends, updates or barriers are slower and whose buffers differ, so that all four states
occur: stacks of dense layers and convolutions of random sizes, depths, densities, formats, splits and placements.
For AKD1000 (one frame alone) and Speck (one stream until it is drained) 60 each on variants with dearer updates,
sweeps, messages or sensor; there programming or the input take the barrier's place.
Expected: agreement on at least 90 %, and times within 10 % of the bound where memory or compute binds (criteria ours):
where one of them takes at least 90 % of the critical path, so that the time is not spent in two states in turn;
workloads on the slope are memory-bound, on the floor compute- or barrier-bound, above both traffic-bound (our
reconstruction of the floorline of arXiv:2511.21549, whose axes and criterion were not found). What disagrees is listed
in the table with the reason.

    python -m benchmarks.experiments.floorline_states [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, zip_longest
from typing import Any

import numpy as np

from benchmarks.experiments.common import CHIPS, SPIKING, UNBOUNDED, facts, measure, percent, stack, with_places
from benchmarks.experiments.other_disciplines import workloads
from nsim.chip.chip import changed
from nsim.chip.file import load_chip
from nsim.chip.timesteps import BarrierChip
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.errors import MappingError
from nsim.mapping.cores.mapping import Mapping, Recosting
from nsim.mapping.network import map_network
from nsim.network.builtin import build
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Relay
from nsim.network.synapses import Convolution, convolved_shape
from nsim.report.plots import draw_time
from nsim.result.limits.bottleneck import Bottleneck
from nsim.result.limits.bounds import Workload
from nsim.result.limits.timesteps import STATES
from nsim.result.limits.timesteps_bottleneck import find_bottleneck
from nsim.result.run import simulate

LINKS = ("core_to_router", "router_to_core", "east_west", "north_south")
BUILT_IN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("pilotnet", {}),
    ("pilotnet", {"neuron": "lif"}),
    ("s5", {}),
    ("s5", {"density": 0.1}),
    ("ndns-sdnn", {}),
    ("mlp", {"width": 512}),
)
NEAR = 1.1  # times its bound: as near as memory- and compute-bound workloads should be
BINDS = 0.9  # share of the critical path from which a state binds alone
CLEAR = 1.1  # largest bound over the second, from which a workload counts
MEASURED = "shipped chip"
VARIED = "varied chip"
OTHERS = ("akd1000", "speck")  # chips with frames, and without timesteps
UNITS = {"akd1000": "frame", "speck": "stream"}
SHOWN = (*STATES[:3], "barrier or\ninput", "management")


@dataclass(frozen=True, eq=False)
class RandomWorkload:
    """A mapped network, the message density of each layer, and how the chip was changed."""

    mapping: Mapping
    activity: dict[str, float]
    changes: dict[str, float]


# --- random workloads


def varied(chip: BarrierChip, rng: np.random.Generator) -> tuple[BarrierChip, dict[str, float]]:
    """The chip with some costs up to so many times as high, and other buffers."""

    def slower(most: float) -> float:
        return float(most ** rng.random()) if rng.random() < 0.5 else 1.0

    times = {"links": slower(300), "updates": slower(30), "barrier": slower(100), "sends": slower(10)}
    values: dict[str, Any] = {
        "barrier.latency_ps": tuple(round(ps * times["barrier"]) for ps in chip.barrier.latency_ps),
        "actions.message_out.latency_ps": round(chip.actions.message_out.latency_ps * times["sends"]),
        "buffers.message_in": int(rng.choice([4, 16, 64, 1024])),
        "buffers.link": int(rng.choice([4, 16, 64])),
    }
    for action in ("neuron_update", "spike"):
        values[f"actions.{action}.latency_ps"] = round(getattr(chip.actions, action).latency_ps * times["updates"])
    for kind in LINKS:
        link = getattr(chip.links, kind)
        values[f"links.{kind}.bandwidth_gbps"] = link.bandwidth_gbps / times["links"]
        values[f"links.{kind}.wire_ps"] = round(link.wire_ps * times["links"] ** 0.5)
    return changed(chip, values), times


def convolutions(rng: np.random.Generator) -> Network:
    """One to three convolutions of random geometry on an input of up to 8 x 24 x 24, which is on the chip."""
    shape = tuple(int(n) for n in (rng.integers(1, 9), *rng.integers(8, 25, 2)))
    layers = [Layer("layer0", shape, Relay(binary=True))]
    connections = []
    for number in range(1, int(rng.integers(2, 5))):
        source, name = layers[-1], f"layer{number}"
        size, stride, channels = int(rng.choice([1, 3, 5])), int(rng.choice([1, 2])), int(2 ** rng.uniform(2, 5))
        kernel = rng.normal(0, 1, (channels, source.shape[0], size, size)).astype(np.float32)
        geometry = (stride, stride), (size // 2, size // 2)
        target = convolved_shape(source.shape, kernel, *geometry, (1, 1))
        layers.append(Layer(name, target, SPIKING))
        connections.append(Connection(source.name, name, Convolution(kernel, source.shape, target, *geometry)))
    return Network("conv", tuple(layers), tuple(connections), "layer0", layers[-1].name)


def random_workload(chip: BarrierChip, changes: dict[str, float], rng: np.random.Generator) -> RandomWorkload | None:
    """A random network with random activity, split and placed at random; None if the chip cannot hold it."""
    if rng.random() < 0.35:
        network = convolutions(rng)
    else:
        widths = (2 ** rng.uniform(4, 10, int(rng.integers(2, 6)))).astype(int).tolist()
        network = stack(widths, float(rng.choice([1.0, 0.5, 0.1, 0.02])), rng)
    activity = {layer.name: float(10 ** rng.uniform(-2.5, 0)) for layer in network.layers} | {network.output: 0.0}
    cores = {layer.name: int(min(rng.choice([1, 1, 2, 4, 8, 16]), max(layer.shape))) for layer in network.layers}
    placement = str(rng.choice(["row-major", "greedy", f"random:{rng.integers(1000)}"]))
    try:
        mapping = map_network(network, chip, cores, placement, weight_format=str(rng.choice(["dense", "sparse"])))
    except MappingError:
        return None
    return RandomWorkload(mapping, activity, changes)


def clear_workloads(count: int, seed: int) -> Iterator[tuple[RandomWorkload, Bottleneck]]:
    """So many random workloads that are not near a boundary between states, with what was found."""
    rng = np.random.default_rng(seed)
    done = 0
    while done < count:
        workload = random_workload(*varied(load_chip(CHIPS[done % len(CHIPS)]), rng), rng)
        if workload is None:
            continue
        found = measure(workload.mapping, activity=workload.activity, timesteps=2, seed=seed + done)
        if found.bounds.margin >= CLEAR:
            done += 1
            yield workload, found


# --- the experiment


def run(quick: bool, seed: int) -> Outcome:
    rows, points = [], {}
    for name in CHIPS:
        points[name] = []
        for label, found in shipped_workloads(name, 8 if quick else 40, quick, seed):
            rows.append(row_of(name, MEASURED, label, found, {}))
            points[name].append(found.workload(label))
    for workload, found in clear_workloads(20 if quick else 300, seed):
        chip = workload.mapping.chip.name
        row = row_of(chip, VARIED, workload.mapping.network.name, found, workload.changes)
        if not row["reason"] and is_far(row):
            row["reason"] = waiting(workload, found)
        rows.append(row)
    for name in OTHERS:
        points[name] = []
        for label, found in islice(workloads(name, False, True, seed), 8 if quick else 36):
            rows.append(row_of(name, MEASURED, label, found, {}))
            points[name].append(found.workload(label))
        clear = (each for each in workloads(name, True, False, seed + 1) if each[1].bounds.margin >= CLEAR)
        rows += [row_of(name, VARIED, label, found, {}) for label, found in islice(clear, 5 if quick else 60)]
    return Outcome(rows, judge(rows), lambda figure: draw(figure, points, rows), (22, 10))


def shipped_workloads(name: str, count: int, quick: bool, seed: int) -> Iterator[tuple[str, Bottleneck]]:
    """Built-in networks that the chip holds, and random ones; all three witnesses."""
    chip, rng = load_chip(name), np.random.default_rng(seed)
    for network, options in () if quick else BUILT_IN:
        label = ",".join([network, *(f"{key}={value}" for key, value in options.items())])
        try:
            mapping = map_network(build(network, **options), chip)
        except MappingError:
            continue
        yield label, find_bottleneck(mapping, partial(simulate, timesteps=2, seed=seed, critical_path=True))
    while count:
        workload = random_workload(chip, {}, rng)
        if workload is None:
            continue
        count -= 1
        same_run = partial(simulate, activity=workload.activity, timesteps=2, seed=seed, critical_path=True)
        yield f"{workload.mapping.network.name} {count}", find_bottleneck(workload.mapping, same_run)


def row_of(chip: str, kind: str, label: str, found: Bottleneck, changes: dict[str, float]) -> dict[str, Any]:
    return (
        {"chip": chip, "kind": kind, "workload": label}
        | facts(found)
        | {"sensitive_state": found.sensitive if found.saved else "", "margin": found.bounds.margin}
        | {
            f"path_{state}": None if ps is None else ps / found.time_ps
            for state, ps in zip_longest(STATES, found.path_ps.values())
        }
        | {f"{part}_times_slower": changes.get(part, 1.0) for part in ("links", "updates", "barrier", "sends")}
        | {"reason": "" if found.predicted == found.simulated else reason(found)}
    )


def reason(found: Bottleneck) -> str:
    """Why the critical path shows another state than the largest bound.

    A bound is the busy time of one station, while the path is a chain through many: it leaves the busiest station where
    that one had nothing to wait for, and adds up stations of a state of which none is busy for long.
    """
    bounds, time_ps = found.bounds.mean_ps, found.time_ps / found.spans
    other, expected = found.simulated, found.predicted
    path = found.path_ps[other] / found.spans
    if path > 1.05 * bounds[other]:
        return (
            f"in series: {other} on the path ({path / time_ps:.0%} of the time) is the sum of several stations, "
            f"of which the busiest takes {bounds[other] / time_ps:.0%}"
        )
    return (
        f"in turn: the path is in {expected} for {found.path_ps[expected] / found.time_ps:.0%} of the time only, "
        f"though its busiest station works for {bounds[expected] / time_ps:.0%}: the rest of it overlaps with others"
    )


def is_far(row: dict) -> bool:
    """Whether a memory- or compute-bound workload is more than a tenth over its bound."""
    return row["simulated_state"] in ("memory", "compute") and row["time_us"] > NEAR * row["bound_us"]


def distance(row: dict) -> str:
    """A workload and how far it is over its bound, with what it waits for if that was asked."""
    over = f"{row['time_us'] / row['bound_us']:.2f} times its bound"
    return f"{row['chip']} {row['workload']} {row['reason'].removeprefix('places: ') or over}"


def waiting(workload: RandomWorkload, found: Bottleneck) -> str:
    """What the same run takes if nobody has to wait for a place in a queue."""
    free = Recosting(workload.mapping).at(with_places(workload.mapping.chip, UNBOUNDED))
    result = simulate(free, activity=workload.activity, timesteps=2, seed=found.result.seed)
    assert (result.counts.core_synops[:] == found.result.counts.core_synops[:]).all()
    over = result.time_ps / found.bounds.least_ps.sum()
    return f"places: {found.over_bound:.2f} times its bound, {over:.2f} times with unbounded queues"


def judge(rows: list[dict]) -> list[Verdict]:
    varied_rows = [row for row in rows if row["kind"] == VARIED]
    agree = [row["predicted_state"] == row["simulated_state"] for row in varied_rows]
    wrong = [row for row in varied_rows if row["predicted_state"] != row["simulated_state"]]
    states = sorted({row["simulated_state"] for row in varied_rows})
    kinds = {word: sum(row["reason"].startswith(word) for row in wrong) for word in ("in series", "in turn")}
    verdicts = [
        Verdict(
            f"predicted and simulated state agree on 90 % of random workloads with a margin of {CLEAR}",
            bool(np.mean(agree) >= 0.9),
            f"{percent(np.mean(agree))} of {len(agree)}; states {', '.join(states)} occur; of {len(wrong)} others "
            f"the path adds up stations in series in {kinds['in series']}, and takes turns between states in "
            f"{kinds['in turn']}",
        ),
        Verdict(
            "no timestep is shorter than its bound",
            all(row["time_us"] >= row["bound_us"] for row in rows),
            f"time over bound {min(row['time_us'] / row['bound_us'] for row in rows):.3f} to "
            f"{max(row['time_us'] / row['bound_us'] for row in rows):.2f} on {len(rows)} workloads",
        ),
    ]
    for kind in (MEASURED, VARIED):
        verdicts.append(judge_distance(kind, [row for row in rows if row["kind"] == kind and row["margin"] >= CLEAR]))
    for name in (*CHIPS, *OTHERS):
        own = [row for row in rows if row["chip"] == name and row["kind"] == MEASURED]
        clear = [row for row in own if row["margin"] >= CLEAR]
        same = np.mean([row["predicted_state"] == row["simulated_state"] for row in clear])
        witness = np.mean([row["sensitive_state"] == row["simulated_state"] for row in clear])
        verdicts.append(
            Verdict(
                f"{name} as shipped: the state is predicted for 90 % of the workloads away from a boundary",
                bool(same >= 0.9),
                f"{percent(same)} of {len(clear)} (of {len(own)} in all); lower costs name the simulated state in "
                f"{percent(witness)}",
            )
        )
    return verdicts


def judge_distance(kind: str, rows: list[dict]) -> Verdict:
    """How near to their bound memory- and compute-bound workloads are, and what the far ones wait for."""
    local = [row for row in rows if row["simulated_state"] in ("memory", "compute")]
    bound = [row for row in local if row[f"path_{row['simulated_state']}"] >= BINDS]
    far = [distance(row) for row in bound if is_far(row)]
    near = {name: [not is_far(row) for row in local if row["chip"] == name] for name in (*CHIPS, *OTHERS)}
    largest = ", ".join(f"{name} {sum(own)} of {len(own)}" for name, own in near.items())
    return Verdict(
        f"{kind}s: workloads that memory or compute binds are within 10 % of their bound",
        not far,
        f"{len(bound) - len(far)} of {len(bound)}{'; the others: ' if far else ''}{'; '.join(far)}. Where memory or "
        f"compute is only the largest part of the critical path: {largest}",
    )


def place(state: str) -> int:
    """Row or column of a state in the matrix: the last stands for what takes the barrier's place."""
    return STATES.index(state) if state in STATES else len(STATES) - 1


def draw(figure: Any, points: dict[str, list[Workload]], rows: list[dict]) -> None:
    grid = figure.add_gridspec(2, 2 * len(points))
    places = [figure.add_subplot(grid[0, 2 * column : 2 * column + 2]) for column in range(len(points))]
    half = len(points)
    for axis, (name, own) in zip(places, points.items(), strict=True):
        draw_time(axis, own, UNITS.get(name, "timestep"))
        axis.set_title(f"{load_chip(name).title}: {len(own)} workloads")
    for number, kind in enumerate((MEASURED, VARIED)):
        axis = figure.add_subplot(grid[1, number * half : (number + 1) * half])
        chosen = [row for row in rows if row["kind"] == kind and row["margin"] >= CLEAR]
        matrix = np.zeros((len(STATES), len(STATES)), int)
        for row in chosen:
            matrix[place(row["predicted_state"]), place(row["simulated_state"])] += 1
        axis.imshow(matrix, cmap="Blues", vmax=matrix.max() * 1.4)
        for (predicted, simulated), count in np.ndenumerate(matrix):
            axis.text(simulated, predicted, str(count) if count else "-", ha="center", va="center", fontsize=12)
        axis.set_xticks(range(len(STATES)), SHOWN, rotation=30, ha="right")
        axis.set_yticks(range(len(STATES)), SHOWN)
        share = np.trace(matrix) / max(1, matrix.sum())
        axis.set(xlabel="simulated state", ylabel="predicted state")
        axis.set_title(f"{matrix.sum()} workloads, {kind}s, margin over {CLEAR}: {share:.1%} agree")


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
