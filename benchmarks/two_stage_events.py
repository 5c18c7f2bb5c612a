"""Both stages of the optimisation on Speck: sparsity-aware training, then which layers get the faster cores.

A spiking convolutional network of integrate-and-fire neurons, 8-bit weights, on Fashion-MNIST as events, three seeds:
each pixel sends Poisson distributed numbers of events, two on average at full brightness; convolutions of 8, 16 and 32
channels, fully connected to 10, whose spikes are counted. Trained in bins of events, run event by event, so that the
chip's answers are not quite those of training: accuracy is the chip's, and that of training is told beside it. Networks
  dense        trained plainly, with as many epochs as the others
  max-work     trained to lower the time of the busiest core under the default mapping
  total        trained to lower all synops together
  rate         trained to lower the mean number of spikes (the event-rate loss of lava-dl)
  stage 1      of all these the one with the least time of the busiest core
each the cheapest on validation data, by what it was trained to lower, that loses at most 0.5 points there. Mappings
  default      as `nsim run` does it: layers and cores are matched by memory, speed is not looked at
  optimised    stage 2: the best choice of layers for cores 0 and 1, which do two synops at a time (their number is
               assumed in chips/speck.toml); all choices are tried, on validation samples
That is all that can be moved: a layer takes one core. Time is that of a sample whose events come as fast as the chip
takes them, until all that they bring about is over.
Expected (Yik et al., arXiv:2511.21549): on three chips up to 3.86 times faster with 3.38 times less energy.

Networks and results are kept in the folder nsim_two_stage of the system's folder for temporary files, and a run that
was stopped is taken up again; remove the folder to begin anew.

    python -m benchmarks.two_stage_events [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.two_stage_frames import (
    BASELINE,
    COST_SAMPLES,
    ENERGY,
    SPEEDUP,
    STAGE_1,
    TOLERANCE,
    accuracies,
    against,
    find,
    gains,
    is_best,
    ratio,
    told,
)
from nsim.chip_file import load_chip
from nsim.errors import SimulationError
from nsim.events import EventStream
from nsim.formats import load_network
from nsim.network import Network
from nsim.optimize.streams import optimize_stream
from nsim.reproduce import Outcome, Verdict, script
from nsim.stream.chip import StreamChip
from nsim.stream.mapping import StreamMapping, map_stream
from nsim.stream.result import StreamResult
from nsim.stream.run import simulate_stream
from nsim.training.pictures import Data, Split, load_data
from nsim.training.sparsity.fitting import Masks, Recipe, fit, measured_cost
from nsim.training.sparsity.networks import Parameters
from nsim.training.sparsity.regularisers import Fanout
from nsim.training.sparsity.spiking import (
    SpikingArchitecture,
    fanout_of,
    initial,
    rate_coded,
    stored,
    streams,
    write_spiking,
)

EVENTS_PER_PIXEL = 2.0  # at full brightness
SEARCHED, SIMULATED = 8, 100
REGULARISERS = {  # by network: the regulariser, its strengths, and whether it counts time instead of synops
    "max-work": ("max-synops", (3.0, 10.0), True),
    "total": ("synops", (3.0, 10.0), False),
    "rate": ("rate", (0.1, 1.0), False),
}
RIVALS = (
    ("total", BASELINE, "total-sparsity training and the default mapping"),
    ("total", "optimised", "total-sparsity training and the same search"),
)


@dataclass(frozen=True)
class Workload:
    """epochs: of the plain training, and again of every point. sizes: samples for training, validation, test."""

    seeds: int = 3
    epochs: int = 3
    sizes: tuple[int, int, int] = (5000, 1000, 1000)
    networks: tuple[str, ...] = tuple(REGULARISERS)


QUICK = Workload(2, 1, (300, 60, 60), ("max-work", "total"))


@dataclass(frozen=True)
class Run:
    """One network on one mapping; time and energy of a sample.

    points          of the chip on test data; trained_points: what training makes of the same events
    events_per_s    of the sensor, that the busiest station keeps up with
    """

    seed: int
    network: str
    strength: float
    mapping: str
    core_options: str
    points: float
    trained_points: float
    time_us: float
    energy_uj: float
    events_per_s: float
    spikes: float
    synops: float
    busiest: str
    physical_limit_us: float


def speck() -> StreamChip:
    chip = load_chip("speck")
    assert isinstance(chip, StreamChip)
    return chip


# --- stage 1


@dataclass(frozen=True, eq=False)
class Trained:
    """points: of the chip on validation data. cost: what the regulariser is there to lower. busiest: of that core."""

    network: Network
    strength: float
    parameters: Parameters
    masks: Masks
    points: float
    cost: float
    busiest: float


class Trainer:
    """The networks of one seed, all trained on from the same plainly trained one."""

    def __init__(self, workload: Workload, loaded: Data, seed: int, kept: Path) -> None:
        self.workload, self.seed, self.kept = workload, seed, kept
        self.made = SpikingArchitecture(loaded.train.inputs.shape[2:])
        parts = [
            self._as_events(getattr(loaded, part).first(size), 10 + number)
            for number, (part, size) in enumerate(zip(("train", "validation", "test"), workload.sizes, strict=True))
        ]
        self.data = Data(loaded.name, parts[0], parts[1], parts[2], loaded.classes)
        self.seen, self.unseen = (
            list(streams(self.made, split.inputs, self._rng(20 + number)))
            for number, split in enumerate((self.data.validation, self.data.test))
        )
        start = initial(self.made, self.data.train.inputs[:256], self._rng(0))
        self.start, masks = self._fit(start, Recipe(epochs=workload.epochs), None, 1)
        mapping = map_stream(self.network("plain", self.start, masks), speck())
        self.fanouts = {work: fanout_of(mapping, work) for work in (False, True)}

    def _rng(self, use: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, use))

    def _as_events(self, split: Split, use: int) -> Split:
        return Split(rate_coded(split.inputs, EVENTS_PER_PIXEL, self.made.bins, self._rng(use)), split.targets)

    def _fit(self, start: Parameters, recipe: Recipe, fanout: Fanout | None, use: int) -> tuple[Parameters, Masks]:
        return fit(self.made, start, self.data.train, self.data.classes, recipe, fanout, None, self._rng(use))

    def network(self, name: str, parameters: Parameters, masks: Masks) -> Network:
        path = self.kept / f"speck_{self.seed}_{name}.net"
        write_spiking(path, self.made, stored(parameters, masks))
        return load_network(path)

    def point(self, name: str, regulariser: str | None, strength: float, work: bool = False) -> Trained:
        recipe = Recipe(regulariser, strength, epochs=self.workload.epochs)
        found = self._fit(self.start, recipe, self.fanouts[work], 2)
        network = self.network(name, *found)
        split = self.data.validation
        costs = {
            work: measured_cost(self.made, *found, split.first(COST_SAMPLES), fanout)
            for work, fanout in self.fanouts.items()
        }
        points = right(answers(map_stream(network, speck()), self.seen), split.targets)
        return Trained(
            network, strength, *found, points, costs[work].of(regulariser or "synops"), costs[True].max_synops
        )

    def chosen(self, name: str, dense: Trained) -> Trained:
        """The cheapest that is within the tolerance; the dense one if none is."""
        regulariser, strengths, work = REGULARISERS[name]
        points = [self.point(f"{name}_{strength:g}", regulariser, strength, work) for strength in strengths]
        allowed = [point for point in points if point.points >= dense.points - TOLERANCE]
        return min(allowed, key=lambda point: point.cost, default=dense)

    def trained_points(self, found: Trained) -> float:
        """On test data, by the arithmetic of training."""
        inputs = self.data.test.inputs
        parts = [
            np.asarray(self.made.forward(found.parameters, found.masks, inputs[first : first + 250]).outputs)
            for first in range(0, len(inputs), 250)
        ]
        return right(np.concatenate(parts)[:, 0], self.data.test.targets)


def answers(mapping: StreamMapping, events: Sequence[EventStream]) -> NDArray[np.int64]:
    """Spikes of every class by sample, each from rest."""
    return np.array([spikes_of(simulate_stream(mapping, stream)) for stream in events])


def spikes_of(result: StreamResult) -> NDArray[np.int64]:
    return np.bincount(result.outputs["channel"], minlength=result.mapping.layers[-1].layer.neurons)


def right(counts: NDArray, targets: NDArray) -> float:
    """Percent of samples with most spikes for their class; of equal ones the first counts."""
    return float(100 * (counts.argmax(axis=1) == targets).mean())


# --- stage 2


def measured(trainer: Trainer, name: str, found: Trained) -> list[Run]:
    """A network on default and optimised mappings, on test samples."""
    chip, network = speck(), found.network
    default = map_stream(network, chip)
    expected = answers(default, trainer.unseen)
    points, trained = right(expected, trainer.data.test.targets), trainer.trained_points(found)
    best = optimize_stream(network, chip, trainer.seen[:SEARCHED]).best

    def run(label: str, mapping: StreamMapping) -> Run:
        results = [simulate_stream(mapping, stream) for stream in trainer.unseen[:SIMULATED]]
        if any((spikes_of(result) != counts).any() for result, counts in zip(results, expected, strict=False)):
            raise SimulationError(f"{name} answers otherwise on another mapping: the order of events has changed")
        samples = len(results)
        busy_ps = np.sum([result.times.busy_ps for result in results], axis=0)
        busy_ps[results[0].machine.number("clock")] = 0
        return Run(
            trainer.seed,
            name,
            found.strength,
            label,
            ",".join(f"core.{layer.name}={layer.core}" for layer in mapping.layers),
            points,
            trained,
            sum(result.times.end_ps for result in results) / samples / 1e6,
            sum(result.energy.known_fj for result in results) / samples / 1e9,
            sum(result.streamed for result in results) / float(busy_ps.max()) * 1e12,
            sum(int(result.times.spikes.sum()) for result in results) / samples,
            sum(int(result.times.synops.sum()) for result in results) / samples,
            results[0].path_station_name(int(busy_ps.argmax())),
            physical_limit_us(results),
        )

    return [run(BASELINE, default), run("optimised", best.mapping)]


def physical_limit_us(results: Sequence[StreamResult]) -> float:
    """All work of a sample spread perfectly over all cores, the faster ones at their own speed."""
    chip = results[0].mapping.chip
    actions = chip.actions
    events, synops = (sum(int(getattr(r.times, name).sum()) for r in results) for name in ("events", "synops"))
    ordinary_ps = events * actions.event.latency_ps + synops * actions.synop.latency_ps
    faster_ps = events * actions.event_parallel.latency_ps + synops * actions.synop_parallel.latency_ps
    faster = len(chip.parallel.cores)
    rate = (chip.cores - faster) / ordinary_ps + faster / faster_ps
    return 1 / rate / len(results) / 1e6


def compared(workload: Workload, seed: int, kept: Path) -> list[Run]:
    """All networks of a seed on all mappings; kept in a folder, and read from there if they are."""
    file = kept / f"speck_{seed}.json"
    if file.is_file():
        return [Run(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
    trainer = Trainer(workload, load_data("fashion-mnist", np.random.default_rng(seed)), seed, kept)
    dense = trainer.point("dense", None, 0.0)
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
    return Outcome(rows, verdicts, lambda figure: draw(figure, runs, workload.networks), (10, 4))


def worth(runs: Sequence[Run], networks: Sequence[str]) -> Verdict:
    both = find(runs, STAGE_1, "optimised")
    trained = float(np.mean([each.trained_points for each in find(runs, "dense", BASELINE)]))
    words = {"time_us": "times faster", "energy_uj": "less energy"}
    return Verdict(
        "both stages together are faster than each alone",
        is_best(runs),
        f"{told(runs, words)} than dense by default. {accuracies(runs, networks)}; dense in training {trained:.2f} %. "
        f"Both take {np.mean([e.time_us for e in both]):.0f} us per sample, {both[0].busiest} the busiest, and serve "
        f"{np.mean([e.events_per_s for e in both]):,.0f} events/s; all work spread perfectly over all cores takes "
        f"{np.mean([e.physical_limit_us for e in both]):.0f} us, but a layer takes one core",
    )


def headline(runs: Sequence[Run]) -> Verdict:
    time, energy = (ratio(runs, STAGE_1, "optimised", of) for of in ("time_us", "energy_uj"))
    return Verdict(
        f"it is {SPEEDUP} times faster with {ENERGY} times less energy than dense by default",
        time >= SPEEDUP and energy >= ENERGY,
        f"{time:.2f} times faster with {energy:.2f} times less energy",
    )


def draw(figure: Any, runs: Sequence[Run], networks: Sequence[str]) -> None:
    names = ("dense", *networks, STAGE_1)
    ways = [(name, mapping) for mapping in (BASELINE, "optimised") for name in names]
    fields = (("time_us", "time of a sample (us)"), ("energy_uj", "energy of a sample (uJ)"))
    for axis, (of, unit) in zip(figure.subplots(1, 2), fields, strict=True):
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
            axis.set_title(f"Speck; - - work of {STAGE_1} spread over all cores: {limit:.0f} us", fontsize=9)


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
