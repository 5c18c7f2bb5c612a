"""What the benchmarks of both stages on AKD1000 and Speck share: training the networks of a seed, and what is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from nsim.cli.experiments import Outcome, Verdict
from nsim.network.layers import Network
from nsim.training.data.pictures import Data
from nsim.training.sparsity.fitting import Masks, Recipe, Trainable, fit, measured_cost
from nsim.training.sparsity.networks import Parameters
from nsim.training.sparsity.regularisers import Fanout

SPEEDUP, ENERGY = 3.86, 3.38  # of both stages, in the paper
TOLERANCE = 0.5  # points of validation data
COST_SAMPLES = 1000
BASELINE, STAGE_1 = "default", "stage 1"
WAYS = {"stage 1": (STAGE_1, BASELINE), "stage 2": ("dense", "optimised"), "both": (STAGE_1, "optimised")}


@dataclass(frozen=True)
class Workload:
    """epochs: of the plain training, and again of every point. sizes: samples for training, validation, test."""

    seeds: int
    epochs: int
    sizes: tuple[int, int, int]
    networks: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One network on one mapping; time and energy of a sample. points: of the chip, on test data

    mapped            how, in the words of the command line
    physical_limit_us least time, by what sets it
    """

    seed: int
    network: str
    strength: float
    mapping: str
    mapped: str
    points: float
    time_us: float
    energy_uj: float
    synops: float
    slowest: str
    physical_limit_us: float
    physical_limit: str


# --- training


@dataclass(frozen=True, eq=False)
class Trained:
    """A network and its file's content.

    points    on validation data, as the chip answers
    cost      what its regulariser is there to lower
    busiest   time that the busiest core takes for a sample under the default mapping
    """

    network: Network
    strength: float
    parameters: Parameters
    masks: Masks
    points: float
    cost: float
    busiest: float


class Trainer:
    """The networks of one seed, all trained on from the same plainly trained one.

    regularisers  by network: the regulariser, its strengths, and whether it counts time instead of synops
    """

    regularisers: Mapping[str, tuple[str, tuple[float, ...], bool]]
    made: Trainable

    def __init__(self, workload: Workload, data: Data, seed: int, kept: Path) -> None:
        self.workload, self.data, self.seed, self.kept = workload, data, seed, kept
        self.start, masks = self._fit(self.initial(), Recipe(epochs=workload.epochs), None, 1)
        self.fanouts = self.fanouts_of(self.stored("plain", self.start, masks))

    # --- what differs between chips

    def initial(self) -> Parameters:
        raise NotImplementedError

    def stored(self, name: str, parameters: Parameters, masks: Masks) -> Network:
        """As it comes back from its file."""
        raise NotImplementedError

    def fanouts_of(self, network: Network) -> dict[bool, Fanout]:
        """In synops (False) and in time (True), under the default mapping."""
        raise NotImplementedError

    def validation_points(self, network: Network, parameters: Parameters, masks: Masks) -> float:
        raise NotImplementedError

    # --- what does not

    def rng(self, use: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, use))

    def _fit(self, start: Parameters, recipe: Recipe, fanout: Fanout | None, use: int) -> tuple[Parameters, Masks]:
        return fit(self.made, start, self.data.train, self.data.classes, recipe, fanout, None, self.rng(use))

    def point(self, name: str, regulariser: str | None, strength: float, work: bool = False) -> Trained:
        recipe = Recipe(regulariser, strength, epochs=self.workload.epochs)
        found = self._fit(self.start, recipe, self.fanouts[work], 2)
        network = self.stored(name, *found)
        seen = self.data.validation.first(COST_SAMPLES)
        costs = {of: measured_cost(self.made, *found, seen, fanout) for of, fanout in self.fanouts.items()}
        points = self.validation_points(network, *found)
        return Trained(
            network, strength, *found, points, costs[work].of(regulariser or "synops"), costs[True].max_synops
        )

    def chosen(self, name: str, dense: Trained) -> Trained:
        """The cheapest that is within the tolerance; the dense one if none is."""
        regulariser, strengths, work = self.regularisers[name]
        points = [self.point(f"{name}_{strength:g}", regulariser, strength, work) for strength in strengths]
        allowed = [point for point in points if point.points >= dense.points - TOLERANCE]
        return min(allowed, key=lambda point: point.cost, default=dense)

    def measured(self, name: str, found: Trained) -> list[Run]:
        """On all mappings, on test samples."""
        raise NotImplementedError

    def runs(self) -> list[Run]:
        """Of all networks; stage 1 is the one of them with the least time of the busiest core."""
        dense = self.point("dense", None, 0.0)
        found = {"dense": dense, **{name: self.chosen(name, dense) for name in self.workload.networks}}
        by_name = {name: self.measured(name, each) for name, each in found.items()}
        best = min(found, key=lambda name: found[name].busiest)
        by_name[STAGE_1] = [replace(run, network=STAGE_1) for run in by_name[best]]
        return [run for each in by_name.values() for run in each]


def right(answers: NDArray, targets: NDArray) -> float:
    """Percent of samples whose largest answer is their class; of equal ones the first counts."""
    return float(100 * (answers.argmax(axis=1) == targets).mean())


def all_runs(
    workload: Workload, seed: int, file: str, kind: type[Run], runs: Callable[[Workload, int, Path], Sequence[Run]]
) -> list[Any]:
    """Of all seeds; kept in a folder, and read from there if they are. A workload of one epoch is not kept."""
    if workload.epochs == 1:
        with TemporaryDirectory() as folder:
            return [run for one in range(seed, seed + workload.seeds) for run in runs(workload, one, Path(folder))]
    kept = Path(gettempdir()) / "nsim_two_stage"
    kept.mkdir(exist_ok=True)
    found: list[Run] = []
    for one in range(seed, seed + workload.seeds):
        path = kept / f"{file}_{one}.json"
        if not path.is_file():
            rows = [asdict(run) for run in runs(workload, one, kept)]
            path.write_text(json.dumps(rows), encoding="utf-8")
        found += [kind(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    return found


# --- what it tells


def find(runs: Sequence[Any], network: str, mapping: str) -> list[Any]:
    """By seed."""
    return [each for each in runs if (each.network, each.mapping) == (network, mapping)]


def ratio(runs: Sequence[Run], network: str, mapping: str, of: str = "time_us") -> float:
    """Dense on the default mapping over this, mean over seeds."""
    before, after = find(runs, "dense", BASELINE), find(runs, network, mapping)
    return float(np.mean([getattr(b, of) / getattr(a, of) for b, a in zip(before, after, strict=True)]))


def mean(runs: Sequence[Run], network: str, mapping: str, of: str) -> float:
    return float(np.mean([getattr(each, of) for each in find(runs, network, mapping)]))


def outcome(
    runs: Sequence[Run],
    networks: Sequence[str],
    measures: Mapping[str, str],
    said: str,
    rivals: Sequence[tuple[str, str, str]],
    chip: str,
) -> Outcome:
    """Verdicts, table and figure. measures: fields of a run and the words for their ratios. said: about both stages."""
    compared = [against(runs, *rival) for rival in rivals if rival[0] in networks]
    verdicts = [worth(runs, networks, measures, said), held(runs), *compared, headline(runs)]
    return Outcome(
        [asdict(each) | gains(each, runs) for each in runs],
        verdicts,
        lambda figure: draw(figure, runs, ("dense", *networks, STAGE_1), chip),
        (10, 4.4),
    )


def gains(each: Run, runs: Sequence[Run]) -> dict[str, float]:
    base = next(b for b in find(runs, "dense", BASELINE) if b.seed == each.seed)
    return {"speedup": base.time_us / each.time_us, "energy_ratio": base.energy_uj / each.energy_uj}


def worth(runs: Sequence[Run], networks: Sequence[str], measures: Mapping[str, str], said: str) -> Verdict:
    told = "; ".join(
        f"{way} " + ", ".join(f"{ratio(runs, *pair, of):.2f} {words}" for of, words in measures.items())
        for way, pair in WAYS.items()
    )
    points = {name: mean(runs, name, BASELINE, "points") for name in ("dense", *networks, STAGE_1)}
    return Verdict(
        "both stages together are faster than each alone",
        ratio(runs, *WAYS["both"]) > max(ratio(runs, *WAYS["stage 1"]), ratio(runs, *WAYS["stage 2"])),
        f"{told} than dense by default. Test: {', '.join(f'{name} {value:.2f} %' for name, value in points.items())}. "
        f"{said}",
    )


def held(runs: Sequence[Run]) -> Verdict:
    """The choice is made on validation data; this looks at test data."""
    pairs = zip(find(runs, "dense", BASELINE), find(runs, STAGE_1, BASELINE), strict=True)
    lost = [dense.points - sparse.points for dense, sparse in pairs]
    return Verdict(
        f"stage 1 loses at most {TOLERANCE} points on test data, too",
        max(lost) <= TOLERANCE,
        f"{np.mean(lost):.2f} points in the mean, {max(lost):.2f} in the worst seed",
    )


def against(runs: Sequence[Run], network: str, mapping: str, named: str) -> Verdict:
    """Both stages against another network and mapping, seed by seed."""
    rival, both = ([run.time_us for run in find(runs, *way)] for way in ((network, mapping), WAYS["both"]))
    times = np.array(rival) / np.array(both)
    if len(times) == 1:
        return Verdict(
            f"both stages beat {named}", bool(times[0] > 1), f"{times[0]:.2f} times faster, one seed: no test"
        )
    test = ttest_rel(np.log(rival), np.log(both), alternative="greater")
    return Verdict(
        f"both stages beat {named}, p < 0.05 over {len(rival)} seeds",
        bool(test.pvalue < 0.05),
        f"{times.mean():.2f} times faster ({times.min():.2f} to {times.max():.2f}), paired t-test of the logarithms "
        f"p = {test.pvalue:.2g}",
    )


def headline(runs: Sequence[Run]) -> Verdict:
    time, energy = (ratio(runs, *WAYS["both"], of) for of in ("time_us", "energy_uj"))
    limits = [run.physical_limit_us for run in find(runs, *WAYS["both"])]
    most = np.mean([base.time_us / limit for base, limit in zip(find(runs, "dense", BASELINE), limits, strict=True)])
    return Verdict(
        f"it is {SPEEDUP} times faster with {ENERGY} times less energy than dense by default",
        time >= SPEEDUP and energy >= ENERGY,
        f"{time:.2f} times faster with {energy:.2f} times less energy; at the physical limit of the sparse network it "
        f"would be {most:.2f} times faster",
    )


def draw(figure: Any, runs: Sequence[Run], networks: Sequence[str], chip: str) -> None:
    """Bars of means over seeds, a point for each seed."""
    ways = [(name, mapping) for mapping in (BASELINE, "optimised") for name in networks]
    fields = (("time_us", "time of a sample (us)"), ("energy_uj", "energy of a sample (uJ)"))
    for axis, (of, unit) in zip(figure.subplots(1, 2), fields, strict=True):
        colours = ["#0072b2" if mapping == "optimised" else "#999999" for _, mapping in ways]
        axis.barh(range(len(ways)), [mean(runs, *way, of) for way in ways], color=colours)
        for place, way in enumerate(ways):
            values = [getattr(each, of) for each in find(runs, *way)]
            axis.plot(values, [place] * len(values), "k.", ms=4)
        axis.set_yticks(range(len(ways)), [f"{network}, {mapping}" for network, mapping in ways], fontsize=8)
        axis.invert_yaxis()
        axis.set_xlabel(unit)
        if of == "time_us":
            limit = mean(runs, *WAYS["both"], "physical_limit_us")
            axis.axvline(limit, color="black", ls="--", lw=1)
            axis.set_title(f"{chip}; - - physical limit of {STAGE_1}: {limit:.0f} us", fontsize=9)
