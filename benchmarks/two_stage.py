"""Both stages of the optimisation: sparsity-aware training, then partitioning. What is each worth, and both?

Networks trained here by the recipe of `nsim train sparsity-aware`. On Loihi 2, of sigma-delta neurons: a multi-layer
perceptron and two convolutional networks on Fashion-MNIST, and PilotNet in lava-dl's training shape on a drawn road
video. In floating point: S5 at half its published width on the generated spoken digits. Networks compared
  dense        trained plainly until a round gains nothing, and then as long as the others
  max-synops   stage 1: trained to lower the synops of the busiest core under the default partition
  total        the rival: trained to lower all synops together, by the same recipe
each the cheapest on validation data that loses at most 0.5 points with 90 % confidence; on PilotNet and S5, whose
validation data are too few for that, in the mean. Mappings compared
  default      as the vendor's compiler does it; pruned weights are not stored (--weight-format sparse)
  closed form  the best even partition of the dense network, in either storage format, by the validation samples
  optimised    stage 2: `nsim optimize --objective energy-delay` on four validation samples
  tiles        the same, where convolutions may be cut along several axes at once (not known of Loihi 2)
All are run on test samples that neither training nor search saw; time and energy are per sample, of all its timesteps.
Expected (Yik et al., arXiv:2511.21549): up to 3.86 times faster with 3.38 times less energy than hand-tuned
configurations of unknown networks.

Networks and results are kept in the folder nsim_two_stage of the system's folder for temporary files, and a run that
was stopped is taken up again; remove the folder to begin anew.

    python -m benchmarks.two_stage [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from nsim.chip.file import load_chip
from nsim.chip.timesteps import BarrierChip
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.formats.network import load_network
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.cores.partition import Rules
from nsim.mapping.network import map_network
from nsim.network.layers import Network
from nsim.optimize.offers import closed_forms
from nsim.optimize.problem import Problem, check_chip
from nsim.optimize.search import Optimized, mapping_of, optimize
from nsim.result.limits.timesteps_bottleneck import bottleneck_of
from nsim.result.run import simulate
from nsim.result.timesteps import TimestepResult
from nsim.training.data.pictures import Data, load_data
from nsim.training.sparsity.front import Front, Settings, train_front

SPEEDUP, ENERGY = 3.86, 3.38  # of both stages, in the paper
SEARCHED, SIMULATED = 4, 32  # samples that a search sees, and test samples to compare on
OBJECTIVE = "energy-delay"  # the claim is of both at once
STAGE_1 = "max-synops"
REGULARISERS = {STAGE_1: "max-synops", "total": "synops"}
WAYS = {
    "stage 1": (STAGE_1, "default"),
    "stage 2": ("dense", "optimised"),
    "both": (STAGE_1, "optimised"),
}
RIVALS = (
    ("dense", "closed form", "the best closed form of the dense network"),
    ("total", "optimised", "total-sparsity training and the same search"),
)


@dataclass(frozen=True)
class Workload:
    """epochs: of a round of the plain training, and of every point. sizes: samples for training, validation, test.

    networks   beside dense; the rival may be left out, since it takes as long as stage 1
    """

    label: str
    network: str
    data: str
    seeds: int
    epochs: int
    sizes: tuple[int, int, int]
    confidence: float = 0.9
    networks: tuple[str, ...] = (STAGE_1,)

    @property
    def tiles(self) -> bool:
        return self.network.startswith("cnn")


ALL_NETWORKS = (STAGE_1, "total")
WORKLOADS = (
    Workload("MLP", "mlp", "fashion-mnist", 5, 25, (30000, 10000, 10000), networks=ALL_NETWORKS),
    Workload("CNN", "cnn", "fashion-mnist", 5, 15, (6000, 5000, 5000), networks=ALL_NETWORKS),
    Workload("CNN wide", "cnn-wide", "fashion-mnist", 5, 15, (6000, 5000, 5000)),
    Workload("PilotNet SDNN", "pilotnet", "road-video", 3, 10, (320, 120, 120), 0.5),
    Workload("S5", "s5-half", "spoken-digits", 3, 15, (1560, 360, 480), 0.5),
)
QUICK = Workload("MLP", "mlp", "fashion-mnist", 2, 1, (600, 200, 100), 0.5)


@dataclass(frozen=True)
class Run:
    """One network on one mapping; time and energy per sample.

    points, lost     of the network on test data, as the simulator's kernels give them, and what it loses to dense
    dynamic_uj       without the static power
    management_us    of the time, what the management processors and the barrier take
    max_synops       of the busiest core, per timestep in the mean
    limit            state that the floorline names
    waits            what the floorline waits for longest, where a search says so
    """

    workload: str
    seed: int
    network: str
    mapping: str
    strength: float
    density: float
    points: float
    lost: float
    timesteps: int
    time_us: float
    energy_uj: float
    dynamic_uj: float
    management_us: float
    cores: int
    max_synops: float
    limit: str
    waits: str = ""


def held(inputs: NDArray, timesteps: int) -> NDArray:
    """The last frame held, until what it causes has come through all layers."""
    rest = np.repeat(inputs[:, -1:], timesteps - inputs.shape[1], axis=1)
    return np.concatenate((inputs, rest), axis=1)


@dataclass(frozen=True, eq=False)
class Measured:
    """A trained network, and the samples that it is searched with and compared on."""

    workload: Workload
    front: Front
    name: str
    network: Network
    chip: BarrierChip
    seen: NDArray
    test: NDArray

    @staticmethod
    def of(workload: Workload, front: Front, data: Data, folder: Path, name: str) -> Measured:
        point = front.dense if name == "dense" else front.chosen
        network, chip = load_network(folder / point.file), check_chip(load_chip("loihi2"))
        timesteps = data.test.inputs.shape[1] + len(network.layers) - 1
        shape = network.by_name[network.input].shape
        seen, test = (
            held(part.inputs[:number].reshape(min(number, len(part)), -1, *shape), timesteps)
            for part, number in ((data.validation, SEARCHED), (data.test, SIMULATED))
        )
        return Measured(workload, front, name, network, chip, seen, test)

    @property
    def weight_format(self) -> str | None:
        return None if self.name == "dense" else self.front.weight_format

    def runs(self) -> list[Run]:
        found = [self.run("default", map_network(self.network, self.chip, weight_format=self.weight_format))]
        for tiles in (False, True)[: 1 + (self.workload.tiles and self.name == STAGE_1)]:
            best = self.searched(tiles)
            label = "tiles" if tiles else "optimised"
            found.append(self.run(label, mapping_of(best.history.problem, best.history.last), told(best)))
        if self.name == "dense":
            found.append(self.run("closed form", self.closed_form(best.history.problem)))
        return found

    def searched(self, tiles: bool) -> Optimized:
        return optimize(
            self.network,
            self.chip,
            self.seen,
            objective=OBJECTIVE,
            dense_layers=self.weight_format,
            timesteps=self.seen.shape[1],  # no silence behind, in which every pixel would be sent once more
            evaluated=len(self.seen) * self.seen.shape[1],
            tiles=tiles,
            seed=self.front.settings.seed,
            processes=1,
        )

    def closed_form(self, searched: Problem) -> Mapping:
        """The best even partition on the samples that the search sees; dense layers as the compiler's or all stored."""
        tried = []
        for form in (None, "dense"):
            rules = Rules(self.network, self.chip, form)
            problem = Problem(rules, searched.activity, OBJECTIVE, self.chip.cores, None)
            tried += [(problem.key(found), form, each) for each, found in evaluated(problem)]
        _, form, best = min(tried, key=lambda each: each[0])
        return map_network(self.network, self.chip, best.partition, best.placement, weight_format=form)

    def run(self, label: str, mapping: Mapping, waits: str = "") -> Run:
        result, samples = simulate(mapping, self.test, timesteps=self.test.shape[1]), len(self.test)
        point = self.front.dense if self.name == "dense" else self.front.chosen
        points = {kind: pair[1] for kind, pair in self.front.test.items()}
        own = points["dense" if self.name == "dense" else "chosen"]
        return Run(
            self.workload.label,
            self.front.settings.seed,
            self.name,
            label,
            point.strength,
            point.density,
            own,
            points["dense"] - own,
            self.test.shape[1],
            result.time_ps / samples / 1e6,
            result.energy.known_fj / samples / 1e9,
            result.energy.dynamic_fj / samples / 1e9,
            ends_us(result) / samples,
            int(mapping.used_cores.size),
            float(bottleneck_of(result).bounds.max_synops.mean()),
            bottleneck_of(result).predicted,
            waits,
        )


def evaluated(problem: Problem) -> list[tuple[Any, Any]]:
    """Closed forms that keep all limits, and what they take."""
    found = [(form, problem.evaluate(form)) for form in closed_forms(problem)]
    return [(form, taken) for form, taken in found if taken is not None]


def ends_us(result: TimestepResult) -> float:
    return (float(result.management_ps.sum()) + result.barrier_ps * result.spans) / 1e6


def told(best: Optimized) -> str:
    """The three longest waits of the least floorline."""
    floor = best.history.floor
    waits = sorted(floor.waits.items(), key=lambda wait: -wait[1])[:3] if floor else []
    return "; ".join(f"{name} {100 * part:.0f} %" for name, part in waits)


def compared(workload: Workload, seed: int, kept: Path) -> list[Run]:
    """All networks of a seed on all mappings; each is kept in a folder, and read from there if it is."""
    files = {name: kept / f"{workload.network}_{seed}_{name}.json" for name in ("dense", *workload.networks)}
    if not all(file.is_file() for file in files.values()):
        measure(workload, seed, kept, files)
    return [Run(**row) for file in files.values() for row in json.loads(file.read_text(encoding="utf-8"))]


def measure(workload: Workload, seed: int, kept: Path, files: dict[str, Path]) -> None:
    """Train what is not there, and run what was not run."""
    data = data_of(workload, seed)
    begun: Path | None = None
    for name in workload.networks:
        regulariser = REGULARISERS[name]
        out = kept / f"{workload.network}_{seed}_{name}"
        front = train_front(settings_of(workload, seed, regulariser), data, load_chip("loihi2"), out, begun=begun)
        for each in ("dense", name):
            if not files[each].is_file():
                runs = Measured.of(workload, front, data, out, each).runs()
                files[each].write_text(json.dumps([asdict(run) for run in runs]), encoding="utf-8")
        begun = out


def data_of(workload: Workload, seed: int) -> Data:
    loaded = load_data(workload.data, np.random.default_rng(seed))
    parts = zip(("train", "validation", "test"), workload.sizes, strict=True)
    return Data(loaded.name, *(getattr(loaded, part).first(size) for part, size in parts), loaded.classes)


def settings_of(workload: Workload, seed: int, regulariser: str) -> Settings:
    return Settings(
        workload.data,
        workload.network,
        regulariser,
        confidence=workload.confidence,
        epochs=workload.epochs,
        seed=seed,
    )


def find(runs: Sequence[Run], network: str, mapping: str) -> list[Run]:
    """By seed."""
    return [each for each in runs if (each.network, each.mapping) == (network, mapping)]


def ratios(runs: Sequence[Run], network: str, mapping: str, of: str = "time_us") -> list[float]:
    """Dense and default over this, by seed."""
    before, after = find(runs, "dense", "default"), find(runs, network, mapping)
    return [getattr(b, of) / getattr(a, of) for b, a in zip(before, after, strict=True)]


def ratio(runs: Sequence[Run], network: str, mapping: str, of: str = "time_us") -> float:
    """The same, mean over seeds."""
    return float(np.mean(ratios(runs, network, mapping, of)))


def run(quick: bool, seed: int) -> Outcome:
    if quick:
        with TemporaryDirectory() as folder:
            return outcome(loihi2_runs([QUICK], seed, Path(folder)))
    kept = Path(gettempdir()) / "nsim_two_stage"
    kept.mkdir(exist_ok=True)
    return outcome(loihi2_runs(WORKLOADS, seed, kept))


def loihi2_runs(workloads: Sequence[Workload], seed: int, kept: Path) -> dict[str, list[Run]]:
    return {
        workload.label: [each for one in range(seed, seed + workload.seeds) for each in compared(workload, one, kept)]
        for workload in workloads
    }


def outcome(every: dict[str, list[Run]]) -> Outcome:
    rows = [row(each, runs) for runs in every.values() for each in runs]
    verdicts = [headline(every)]
    for label, runs in every.items():
        verdicts += [worth(label, runs), held_half_point(label, runs)]
        verdicts += [against(label, runs, *rival) for rival in RIVALS if find(runs, *rival[:2])]
    return Outcome(rows, verdicts, lambda figure: draw(figure, every), (12, 4.8))


def row(each: Run, runs: Sequence[Run]) -> dict[str, Any]:
    base = next(b for b in find(runs, "dense", "default") if b.seed == each.seed)
    gains = {"speedup": base.time_us / each.time_us, "energy_ratio": base.energy_uj / each.energy_uj}
    return {**asdict(each), **gains, "dynamic_ratio": base.dynamic_uj / each.dynamic_uj}


def headline(every: dict[str, list[Run]]) -> Verdict:
    """Both at once, and the half point kept on test data in the mean."""
    gains = {
        label: (ratio(runs, *WAYS["both"]), ratio(runs, *WAYS["both"], "energy_uj")) for label, runs in every.items()
    }
    reached = [label for label, (time, energy) in gains.items() if time >= SPEEDUP and energy >= ENERGY]
    told_gains = "; ".join(f"{label} {time:.2f} and {energy:.2f}" for label, (time, energy) in gains.items())
    return Verdict(
        f"three workloads are {SPEEDUP} times faster with {ENERGY} times less energy than dense by default",
        len(reached) >= 3,
        f"of {len(every)}, {len(reached)} ({', '.join(reached) or 'none'}): {told_gains}",
    )


def worth(label: str, runs: Sequence[Run]) -> Verdict:
    gains = {way: ratio(runs, *pair) for way, pair in WAYS.items()}
    parts = [
        f"{way} {gains[way]:.2f} in time, {ratio(runs, *pair, 'energy_uj'):.2f} in energy "
        f"({ratio(runs, *pair, 'dynamic_uj'):.2f} of the dynamic)"
        for way, pair in WAYS.items()
    ]
    both = find(runs, *WAYS["both"])
    share = np.mean([each.management_us / each.time_us for each in both])
    return Verdict(
        f"{label}: both stages together are faster than each alone",
        gains["both"] > max(gains["stage 1"], gains["stage 2"]),
        f"{', '.join(parts)}. Both take {np.mean([each.time_us for each in both]):.1f} us per sample, of which "
        f"{100 * share:.0f} % are management and barrier; then it waits for {both[0].waits}",
    )


def held_half_point(label: str, runs: Sequence[Run]) -> Verdict:
    """The choice is made on validation data; this looks at test data."""
    lost = [each.lost for each in find(runs, *WAYS["stage 1"])]
    dense = np.mean([each.points for each in find(runs, "dense", "default")])
    return Verdict(
        f"{label}: stage 1 loses at most half a point on test data",
        max(lost) <= 0.5,
        f"{np.mean(lost):.2f} points of {dense:.2f} in the mean, {max(lost):.2f} in the worst of {len(lost)} seeds",
    )


def against(label: str, runs: Sequence[Run], network: str, mapping: str, named: str) -> Verdict:
    """Both stages against another network and mapping, seed by seed."""
    rival, both = find(runs, network, mapping), find(runs, *WAYS["both"])
    gains = np.array([r.time_us / b.time_us for r, b in zip(rival, both, strict=True)])
    energy = np.mean([r.energy_uj / b.energy_uj for r, b in zip(rival, both, strict=True)])
    said = f"{gains.mean():.2f} times faster ({gains.min():.2f} to {gains.max():.2f}), {energy:.2f} times less energy"
    if len(gains) == 1:
        return Verdict(f"{label}: both stages beat {named}", bool(gains[0] > 1), f"{said}; one seed: no test")
    test = ttest_rel(np.log([r.time_us for r in rival]), np.log([b.time_us for b in both]), alternative="greater")
    return Verdict(
        f"{label}: both stages beat {named}, p < 0.05 over {len(rival)} seeds",
        bool(test.pvalue < 0.05),
        f"{said}, paired t-test of the logarithms p = {test.pvalue:.2g}",
    )


STEPS = {
    ("dense", "default"): "dense, default",
    (STAGE_1, "default"): "stage 1",
    ("dense", "optimised"): "stage 2",
    (STAGE_1, "optimised"): "both stages",
}
COLOURS = ("#999999", "#56b4e9", "#009e73", "#0072b2")


def draw(figure: Any, every: dict[str, list[Run]]) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    label = next(iter(every))
    walk(left, label, every[label])
    bars(right, every)


def walk(axis: Any, label: str, runs: Sequence[Run]) -> None:
    """One seed of a workload over the floorline: synops of the busiest core against time, both per timestep."""
    synop_us = check_chip(load_chip("loihi2")).actions.synop_sparse.latency_ps / 1e6
    points = {way: find(runs, *way)[0] for way in STEPS}
    first = points["dense", "default"]
    synops = np.geomspace(10, 2 * max(each.max_synops for each in points.values()), 200)
    end_us = first.management_us / first.timesteps
    axis.plot(synops, synops * synop_us + end_us, "k-", lw=1, label="floorline of sparse synops")
    axis.axhline(end_us, color="black", ls=":", lw=1, label="management and barrier")
    places = {way: (each.max_synops, each.time_us / each.timesteps) for way, each in points.items()}
    ways = list(STEPS)
    for start, end in ((0, 1), (1, 3), (0, 2), (2, 3)):
        style = {"arrowstyle": "->", "color": "#666666", "shrinkA": 6, "shrinkB": 6}
        axis.annotate("", places[ways[end]], places[ways[start]], arrowprops=style)
    for (way, each), colour in zip(points.items(), COLOURS, strict=True):
        axis.plot(*places[way], "o", color=colour, ms=9)
        text = f"{STEPS[way]}\n{each.time_us:.1f} us, {each.energy_uj:.1f} uJ"
        place, side = ((9, -12), "left") if way == WAYS["stage 1"] else ((-9, 2), "right")
        clear = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        axis.annotate(text, places[way], place, textcoords="offset points", fontsize=8, ha=side, bbox=clear)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:g}")
    axis.set_xlabel("synops of the busiest core, per timestep")
    axis.set_ylabel("time of a timestep (us)")
    axis.set_title(f"{label}: from dense to both stages; time and energy of a sample", fontsize=9)
    axis.legend(fontsize=8, loc="lower right")


def bars(axis: Any, every: dict[str, list[Run]]) -> None:
    """Gains over dense by default; a point for each seed."""
    width = 0.8 / 6
    for place, (way, pair) in enumerate(WAYS.items()):
        for kind, (of, shade) in enumerate((("time_us", 1.0), ("energy_uj", 0.5))):
            at = np.arange(len(every)) + (2 * place + kind - 2.5) * width
            values = [ratios(runs, *pair, of) for runs in every.values()]
            said = f"{way}, {'time' if of == 'time_us' else 'energy'}"
            axis.bar(at, [np.mean(each) for each in values], width, color=COLOURS[place + 1], alpha=shade, label=said)
            for x, each in zip(at, values, strict=True):
                axis.plot([x] * len(each), each, "k.", ms=3)
    axis.axhline(SPEEDUP, color="black", ls="--", lw=1, label=f"published: {SPEEDUP} in time")
    axis.axhline(ENERGY, color="black", ls=":", lw=1, label=f"published: {ENERGY} in energy")
    axis.set_xticks(range(len(every)), list(every), fontsize=8)
    axis.set_ylabel("times better than dense by default")
    axis.set_ylim(0, 1.45 * axis.get_ylim()[1])
    axis.legend(fontsize=7, ncols=2, loc="upper left")


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
