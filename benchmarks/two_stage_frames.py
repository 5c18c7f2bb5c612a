"""Both stages of the optimisation on AKD1000: sparsity-aware training, then the limits of a processor.

A quantised convolutional network on Fashion-MNIST, three seeds: input block of 16 filters, convolutions of 32 and 64,
fully connected to 10; 4-bit weights and activations. The simulator's integer kernels evaluate it. Networks compared
  dense        trained plainly, with as many epochs as the others
  max-work     trained to lower the clocks of the busiest processor under the default mapping
  max-synops   the same for its synops: a message costs 24 clocks here beside its synops, so the two differ
  total        trained to lower all synops together
  rate         trained to lower the mean values sent (the event-rate loss of lava-dl)
  stage 1      of all these the one with the fewest clocks of the busiest processor
each the cheapest on validation data, by what it was trained to lower, that loses at most 0.5 points there. Mappings
  minimal      the vendor's mapper with as few processors as fit
  default      the vendor's default, all-nps: as many processors as are useful. The baseline here
  optimised    stage 2: the best of all limits of columns, rows and filters of a processor that the vendor's mapper
               takes, for the time between frames; chosen on validation samples
That is all that can be moved: limits hold for all layers alike, and a fully connected layer takes one processor.
Time is the time between two frames of a row (its inverse is the rate); the latency of one alone is told beside it.
Energy is per frame at that rate, most of it the floor of the board (907 mW); what is above it is told, too.
Expected (Yik et al., arXiv:2511.21549): on three chips up to 3.86 times faster with 3.38 times less energy.

Networks and results are kept in the folder nsim_two_stage of the system's folder for temporary files, and a run that
was stopped is taken up again; remove the folder to begin anew.

    python -m benchmarks.two_stage_frames [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
from scipy.stats import ttest_rel

from nsim.chip_file import load_chip
from nsim.errors import TrainingError
from nsim.formats import load_network
from nsim.frame.chip import FrameChip
from nsim.frame.mapping import FrameMapping, map_frames
from nsim.frame.result import FrameResult
from nsim.frame.run import simulate_frames
from nsim.network import Network
from nsim.optimize.frames import optimize_frames
from nsim.reproduce import Outcome, Verdict, script
from nsim.training.pictures import Data, load_data
from nsim.training.sparsity.fitting import Masks, Recipe, fit, measured_cost
from nsim.training.sparsity.networks import Parameters
from nsim.training.sparsity.quantized import (
    QuantizedArchitecture,
    exact_outputs,
    fanout_of,
    initial,
    simulated_outputs,
    stored,
    write_quantized,
)
from nsim.training.sparsity.regularisers import Fanout

SPEEDUP, ENERGY = 3.86, 3.38  # of both stages, in the paper
TOLERANCE = 0.5  # points of validation data
SEARCHED, SIMULATED, COST_SAMPLES = 8, 64, 1000
STRENGTHS = (2.0, 5.0)
REGULARISERS = {  # by network: the regulariser, its strengths, and whether it counts clocks of work instead of synops
    "max-work": ("max-synops", STRENGTHS, True),
    "max-synops": ("max-synops", STRENGTHS, False),
    "total": ("synops", STRENGTHS, False),
    "rate": ("rate", (0.5, 1.0), False),
}
BASELINE, STAGE_1, DEFAULT_MODE = "default", "stage 1", "all-nps"
WAYS = {"stage 1": (STAGE_1, BASELINE), "stage 2": ("dense", "optimised"), "both": (STAGE_1, "optimised")}
RIVALS = (
    ("total", BASELINE, "total-sparsity training and the default mapping"),
    ("total", "optimised", "total-sparsity training and the same search"),
    ("max-work", "optimised", "training for the work of the busiest processor and the same search"),
)


@dataclass(frozen=True)
class Workload:
    """epochs: of the plain training, and again of every point. sizes: samples for training, validation, test."""

    seeds: int = 3
    epochs: int = 3
    sizes: tuple[int, int, int] = (6000, 3000, 2000)
    networks: tuple[str, ...] = tuple(REGULARISERS)


QUICK = Workload(2, 1, (600, 200, 100), ("max-work", "total"))


@dataclass(frozen=True)
class Run:
    """One network on one mapping; time, latency and energy of a frame. points: on test data, by the integer kernels."""

    seed: int
    network: str
    strength: float
    mapping: str
    mode: str
    points: float
    time_us: float
    latency_us: float
    energy_uj: float
    dynamic_energy_uj: float
    processors: int
    messages: float
    synops: float
    slowest: str
    physical_limit_us: float
    physical_limit: str


def akd1000() -> FrameChip:
    chip = load_chip("akd1000")
    assert isinstance(chip, FrameChip)
    return chip


# --- stage 1


@dataclass(frozen=True, eq=False)
class Trained:
    """points: on validation data. cost: what the regulariser is there to lower. busiest: clocks of that processor."""

    strength: float
    parameters: Parameters
    masks: Masks
    points: float
    cost: float
    busiest: float


class Trainer:
    """The networks of one seed, all trained on from the same plainly trained one."""

    def __init__(self, workload: Workload, data: Data, seed: int, kept: Path) -> None:
        self.workload, self.data, self.seed, self.kept = workload, data, seed, kept
        self.made = QuantizedArchitecture(data.train.inputs.shape[2:])
        start = initial(self.made, data.train.inputs[:256], self._rng(0))
        self.start, masks = self._fit(start, Recipe(epochs=workload.epochs), None, 1)
        mapping = map_frames(self.network("plain", self.start, masks), akd1000(), DEFAULT_MODE)
        self.fanouts = {work: fanout_of(mapping, work) for work in (False, True)}

    def _rng(self, use: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, use))

    def _fit(self, start: Parameters, recipe: Recipe, fanout: Fanout | None, use: int) -> tuple[Parameters, Masks]:
        return fit(self.made, start, self.data.train, self.data.classes, recipe, fanout, None, self._rng(use))

    def network(self, name: str, parameters: Parameters, masks: Masks) -> Network:
        path = self.kept / f"akd1000_{self.seed}_{name}.net"
        write_quantized(path, self.made, stored(self.made, parameters, masks))
        return load_network(path)

    def point(self, regulariser: str | None, strength: float, work: bool = False) -> Trained:
        recipe = Recipe(regulariser, strength, epochs=self.workload.epochs)
        found = self._fit(self.start, recipe, self.fanouts[work], 2)
        seen = self.data.validation.first(COST_SAMPLES)
        costs = {work: measured_cost(self.made, *found, seen, fanout) for work, fanout in self.fanouts.items()}
        points = self._points(exact_outputs(self.made, stored(self.made, *found), self.data.validation.inputs))
        return Trained(strength, *found, points, costs[work].of(regulariser or "synops"), costs[True].max_synops)

    def chosen(self, name: str, dense: Trained) -> Trained:
        """The cheapest that is within the tolerance; the dense one if none is."""
        regulariser, strengths, work = REGULARISERS[name]
        points = [self.point(regulariser, strength, work) for strength in strengths]
        allowed = [point for point in points if point.points >= dense.points - TOLERANCE]
        return min(allowed, key=lambda point: point.cost, default=dense)

    def _points(self, outputs: np.ndarray) -> float:
        return float(100 * (outputs.argmax(axis=1) == self.data.validation.targets).mean())

    def tested(self, name: str, found: Trained) -> tuple[Network, float]:
        """The file's network and its points on test data. raises TrainingError if any output is not as trained"""
        network, test = self.network(name, found.parameters, found.masks), self.data.test
        promised = exact_outputs(self.made, stored(self.made, found.parameters, found.masks), test.inputs)
        simulated = simulated_outputs(network, test.inputs)
        wrong = int((promised != simulated).any(axis=1).sum())
        if wrong:
            raise TrainingError(f"{name} gives other outputs than were trained for {wrong} of {len(test)} test samples")
        return network, float(100 * (simulated.argmax(axis=1) == test.targets).mean())


# --- stage 2


def measured(trainer: Trainer, name: str, found: Trained) -> list[Run]:
    """A network on minimal, default and optimised mappings."""
    network, points = trainer.tested(name, found)
    chip, data = akd1000(), trainer.data
    frames = data.test.inputs[:SIMULATED]
    best = optimize_frames(network, chip, data.validation.inputs[:SEARCHED])

    def run(label: str, mapping: FrameMapping) -> Run:
        result = simulate_frames(mapping, frames)
        told, slowest = result.summary(), result.slowest_core["layer"]
        limit, by = physical_limit_us(result)
        return Run(
            trainer.seed,
            name,
            found.strength,
            label,
            mapping.mode,
            points,
            result.interval_ps / 1e6,
            result.latency_ps / 1e6,
            told["known_energy_per_frame_fj"] / 1e9,
            told["known_dynamic_energy_per_frame_fj"] / 1e9,
            mapping.processors,
            told["messages"] / len(frames),
            told["synops"] / len(frames),
            slowest,
            limit,
            by,
        )

    modes = {"minimal": "minimal", BASELINE: DEFAULT_MODE, "optimised": best.best.mapping.mode}
    runs = [run(label, map_frames(network, chip, mode)) for label, mode in modes.items()]
    limit, by = runs[0].physical_limit_us, runs[0].physical_limit  # as few processors as fit do the least work
    return [replace(each, physical_limit_us=limit, physical_limit=by) for each in runs]


def physical_limit_us(result: FrameResult) -> tuple[float, str]:
    """Least time between frames: all work spread perfectly over all processors, or what the chip does not spread."""
    chip = result.chip
    rows = {row["layer"]: 0.0 for row in result.core_rows}
    for row in result.core_rows:
        rows[row["layer"]] += (row["work_ps"] + row["sweep_ps"]) / result.done_frames / 1e6
    kinds = {part.layer: part.kind for run in result.runs for part in run.mapping.parts}
    spread = sum(time for layer, time in rows.items() if kinds[layer] != "input") / len(chip.processors)
    terms = {"all work over all processors": spread}
    terms |= {f"{layer}, on one processor": rows[layer] for layer in rows if kinds[layer] == "fully_connected"}
    terms["the input block"] = sum(rows[layer] for layer in rows if kinds[layer] == "input")
    by = max(terms, key=terms.__getitem__)
    return terms[by], by


def compared(workload: Workload, seed: int, kept: Path) -> list[Run]:
    """All networks of a seed on all mappings; kept in a folder, and read from there if they are."""
    file = kept / f"akd1000_{seed}.json"
    if file.is_file():
        return [Run(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
    loaded = load_data("fashion-mnist", np.random.default_rng(seed))
    parts = zip(("train", "validation", "test"), workload.sizes, strict=True)
    data = Data(loaded.name, *(getattr(loaded, part).first(size) for part, size in parts), loaded.classes)
    trainer = Trainer(workload, data, seed, kept)
    dense = trainer.point(None, 0.0)
    found = {"dense": dense, **{name: trainer.chosen(name, dense) for name in workload.networks}}
    best = min(found, key=lambda name: found[name].busiest)
    by_name = {name: measured(trainer, name, each) for name, each in found.items()}
    by_name[STAGE_1] = [replace(run, network=STAGE_1) for run in by_name[best]]
    runs = [run for each in by_name.values() for run in each]
    file.write_text(json.dumps([asdict(run) for run in runs]), encoding="utf-8")
    return runs


# --- what it tells


def run(quick: bool, seed: int) -> Outcome:
    if quick:
        with TemporaryDirectory() as folder:
            return outcome(QUICK, seed, Path(folder))
    kept = Path(gettempdir()) / "nsim_two_stage"
    kept.mkdir(exist_ok=True)
    return outcome(Workload(), seed, kept)


def outcome(workload: Workload, seed: int, kept: Path) -> Outcome:
    runs = [each for one in range(seed, seed + workload.seeds) for each in compared(workload, one, kept)]
    rivals = [rival for rival in RIVALS if rival[0] in workload.networks]
    verdicts = [worth(runs, workload.networks), *(against(runs, *rival) for rival in rivals), headline(runs)]
    rows = [asdict(each) | gains(each, runs) for each in runs]
    return Outcome(rows, verdicts, lambda figure: draw(figure, runs, workload.networks), (10, 4.4))


def find(runs: Sequence[Any], network: str, mapping: str) -> list[Any]:
    """By seed."""
    return [each for each in runs if (each.network, each.mapping) == (network, mapping)]


def gains(each: Any, runs: Sequence[Any]) -> dict[str, float]:
    base = next(b for b in find(runs, "dense", BASELINE) if b.seed == each.seed)
    return {"speedup": base.time_us / each.time_us, "energy_ratio": base.energy_uj / each.energy_uj}


def ratio(runs: Sequence[Any], network: str, mapping: str, of: str = "time_us") -> float:
    """Dense on the default mapping over this, mean over seeds."""
    before, after = find(runs, "dense", BASELINE), find(runs, network, mapping)
    return float(np.mean([getattr(b, of) / getattr(a, of) for b, a in zip(before, after, strict=True)]))


def worth(runs: Sequence[Run], networks: Sequence[str]) -> Verdict:
    both = find(runs, STAGE_1, "optimised")
    limit = float(np.mean([each.physical_limit_us for each in both]))
    measures = {"time_us": "times faster", "latency_us": "in latency", "energy_uj": "less energy"}
    return Verdict(
        "both stages together are faster than each alone",
        is_best(runs),
        f"{told(runs, measures | {'dynamic_energy_uj': 'less above the floor'})} than dense by default; the vendor's "
        f"mode minimal {ratio(runs, 'dense', 'minimal'):.2f} times. {accuracies(runs, networks)}. Both take "
        f"{np.mean([e.time_us for e in both]):.1f} us between frames; no mapping can be below {limit:.1f} us, set by "
        f"{both[0].physical_limit}",
    )


def is_best(runs: Sequence[Any]) -> bool:
    """Whether both stages are faster than each alone."""
    return ratio(runs, *WAYS["both"]) > max(ratio(runs, *WAYS["stage 1"]), ratio(runs, *WAYS["stage 2"]))


def told(runs: Sequence[Any], measures: dict[str, str]) -> str:
    """What each stage and both are worth, in words: ratios by field of a run."""
    return "; ".join(
        f"{way} " + ", ".join(f"{ratio(runs, *pair, of):.2f} {words}" for of, words in measures.items())
        for way, pair in WAYS.items()
    )


def accuracies(runs: Sequence[Any], networks: Sequence[str]) -> str:
    points = {name: np.mean([e.points for e in find(runs, name, BASELINE)]) for name in ("dense", *networks, STAGE_1)}
    return f"Test: {', '.join(f'{name} {value:.2f} %' for name, value in points.items())}"


def against(runs: Sequence[Any], network: str, mapping: str, named: str) -> Verdict:
    """Both stages against another network and mapping, seed by seed."""
    rival, both = find(runs, network, mapping), find(runs, STAGE_1, "optimised")
    times = [r.time_us / b.time_us for r, b in zip(rival, both, strict=True)]
    test = ttest_rel(np.log([r.time_us for r in rival]), np.log([b.time_us for b in both]), alternative="greater")
    return Verdict(
        f"both stages beat {named}, p < 0.05 over {len(rival)} seeds",
        bool(test.pvalue < 0.05),
        f"{np.mean(times):.2f} times faster ({min(times):.2f} to {max(times):.2f}), paired t-test of the logarithms "
        f"p = {test.pvalue:.2g}",
    )


def headline(runs: Sequence[Run]) -> Verdict:
    time, energy = (ratio(runs, STAGE_1, "optimised", of) for of in ("time_us", "energy_uj"))
    both = find(runs, STAGE_1, "optimised")
    base = find(runs, "dense", BASELINE)
    most = float(np.mean([b.time_us / e.physical_limit_us for b, e in zip(base, both, strict=True)]))
    return Verdict(
        f"it is {SPEEDUP} times faster with {ENERGY} times less energy than dense by default",
        time >= SPEEDUP and energy >= ENERGY,
        f"{time:.2f} times faster with {energy:.2f} times less energy; at the physical limit of the sparse network it "
        f"would be {most:.2f} times faster",
    )


def draw(figure: Any, runs: Sequence[Run], networks: Sequence[str]) -> None:
    ways = [("dense", "minimal"), ("dense", BASELINE), *((name, BASELINE) for name in (*networks, STAGE_1))]
    ways += [("dense", "optimised"), *((name, "optimised") for name in (*networks, STAGE_1))]
    for axis, of, unit in zip(
        figure.subplots(1, 2), ("time_us", "energy_uj"), ("time between frames (us)", "energy of a frame (uJ)"),
        strict=True,
    ):  # fmt: skip
        values = [[getattr(each, of) for each in find(runs, *way)] for way in ways]
        colours = ["#0072b2" if mapping == "optimised" else "#999999" for _, mapping in ways]
        axis.barh(range(len(ways)), [np.mean(each) for each in values], color=colours)
        for place, each in enumerate(values):
            axis.plot(each, [place] * len(each), "k.", ms=4)
        axis.set_yticks(range(len(ways)), [f"{network}, {mapping}" for network, mapping in ways], fontsize=8)
        axis.invert_yaxis()
        axis.set_xlabel(unit)
        if of == "time_us":
            limit = float(np.mean([each.physical_limit_us for each in find(runs, STAGE_1, "optimised")]))
            axis.axvline(limit, color="black", ls="--", lw=1)
            axis.set_title(f"AKD1000; - - physical limit of {STAGE_1}: {limit:.0f} us", fontsize=9)


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
