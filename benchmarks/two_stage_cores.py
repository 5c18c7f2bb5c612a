"""Does it matter that training sees the busiest core? Regularisers against each other, seed by seed, at equal accuracy.

Loihi 2: a convolutional network of sigma-delta neurons on Fashion-MNIST, its convolutions cut into four slices of
columns that stay as they are, so that the middle of the picture keeps some cores busier than others. With 35 ns for an
update of a program, as the chip file has it, the network waits for updates, whatever is sent; so it is timed with the
least of that constant's range, 4.2 ns, too, where synops count. Speck: a spiking convolutional network on the same
pictures as events, one layer a core. From the same dense network, with the same order
of samples, each is trained on with each regulariser at three strengths:
  synops       of all cores together; the rival
  max-synops   of the busiest core
  max-work     the time of the busiest core: what receiving takes, too
  alternated   Loihi 2: max-work on the partition that a search found for the dense network, and searched once more;
               against `searched`, max-work on the default partition and then the search; with 4.2 ns an update
Compared is the time of a sample (test samples) at equal loss of accuracy: between the points of a regulariser, the
logarithm of the time is interpolated linearly over the validation points lost, of those that none is both faster and
better than.
Where it cannot matter: with one core for each layer, from rest, one layer works in every timestep, so that the sum of
the maxima is the sum of all synops; and slices of a fully connected layer, or of channels, receive the same messages.
Expected (ours): what sees the busiest core is at least as good at equal accuracy.

Networks and results are kept in the folder nsim_two_stage_cores of the system's folder for temporary files, and a run
that was stopped is taken up again; remove the folder to begin anew.

    python -m benchmarks.two_stage_cores [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
from scipy.stats import t as student

from benchmarks import two_stage_common as common
from benchmarks.two_stage import SIMULATED, Measured, Workload, data_of, held, settings_of
from benchmarks.two_stage_events import EventTrainer, speck
from nsim.chip.chip import changed
from nsim.chip.file import load_chip
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.formats.network import load_network
from nsim.mapping.events.mapping import map_stream
from nsim.mapping.network import map_network
from nsim.optimize.problem import check_chip
from nsim.optimize.search import write_result
from nsim.result.run import simulate
from nsim.result.run_events import simulate_stream
from nsim.training.data.pictures import Data, load_data
from nsim.training.sparsity.front import Front, Settings, train_front

RIVAL, BUSIEST, WORK, SEARCHED, ALTERNATED = "synops", "max-synops", "max-work", "searched", "alternated"
PARTITION = "even:conv1=4,conv2=4"
STRENGTHS = (1.0, 3.0, 10.0)
EVENT_STRENGTHS = (3.0, 10.0, 30.0)
EQUAL_LOSS = 0.8  # points of validation data
CONFIDENCE = 0.95
LOIHI, FAST = "Loihi 2", "Loihi 2 with 4.2 ns an update"
CHIPS = {LOIHI: check_chip(load_chip("loihi2"))}
CHIPS[FAST] = changed(CHIPS[LOIHI], {"actions.microcode_update.latency_ps": 4200})
COMPARED = (  # chip, rival, what sees the busiest core
    *((LOIHI, RIVAL, BUSIEST), (LOIHI, RIVAL, WORK), (FAST, RIVAL, BUSIEST), (FAST, RIVAL, WORK)),
    (FAST, SEARCHED, ALTERNATED),
    *(("Speck", RIVAL, BUSIEST), ("Speck", RIVAL, WORK)),
)


@dataclass(frozen=True)
class Study:
    """alternated: seeds of that arm, which searches partitions. events: samples of Speck."""

    cnn: Workload
    alternated: int
    events: common.Workload


FULL = Study(
    Workload("CNN", "cnn", "fashion-mnist", 10, 8, (6000, 5000, 1000)), 5, common.Workload(10, 3, (4000, 1000, 100), ())
)
QUICK = Study(
    Workload("CNN", "cnn", "fashion-mnist", 2, 1, (300, 100, 40), 0.5), 2, common.Workload(2, 1, (200, 40, 10), ())
)


@dataclass(frozen=True)
class Trained:
    """One network: points lost on validation data, time of a test sample; synops of the busiest core over the mean.

    The last is of the used cores, over the whole run.
    """

    chip: str
    seed: int
    arm: str
    strength: float
    lost: float
    time_us: float
    unevenness: float


# --- Loihi 2


@dataclass(frozen=True, eq=False)
class Cnn:
    """The arms of one seed, all from the same dense network."""

    workload: Workload
    seed: int
    folder: Path
    data: Data

    @staticmethod
    def of(workload: Workload, seed: int, kept: Path) -> Cnn:
        return Cnn(workload, seed, kept / f"cnn_{seed}", data_of(workload, seed))

    def front(self, arm: str, regulariser: str, partition: str) -> Front:
        usual = settings_of(self.workload, self.seed, regulariser)
        settings: Settings = replace(usual, partition=partition, strengths=STRENGTHS)
        dense = self.folder / RIVAL
        self.folder.mkdir(exist_ok=True)
        begun = None if arm == RIVAL else dense
        return train_front(settings, self.data, CHIPS[LOIHI], self.folder / arm, begun=begun)

    def fixed(self, regulariser: str) -> list[Trained]:
        """On the partition that stays."""
        front = self.front(regulariser, regulariser, PARTITION)
        return [self.run(chip, regulariser, front, n, PARTITION) for chip in CHIPS for n in self.all(front)]

    def searched(self) -> list[Trained]:
        """Searched after training on the default partition."""
        front = self.front(SEARCHED, WORK, "default")
        return [self.run(FAST, SEARCHED, front, n, self.best(front, SEARCHED, n)) for n in self.all(front)]

    def alternated(self) -> list[Trained]:
        """Trained on the partition found for the dense network, and searched again."""
        dense = self.front(SEARCHED, WORK, "default")
        front = self.front(ALTERNATED, WORK, str(self.best(dense, SEARCHED, 0)))
        return [self.run(FAST, ALTERNATED, front, n, self.best(front, ALTERNATED, n)) for n in self.all(front)]

    @staticmethod
    def all(front: Front) -> range:
        return range(len(front.points))

    def best(self, front: Front, arm: str, number: int) -> Path:
        """The partition file that the search finds for this point."""
        path = self.folder / f"{arm}_{number}.toml"
        if not path.is_file():
            this = replace(front, chosen=front.points[number])
            measured = Measured.of(self.workload, this, self.data, self.folder / arm, "chosen")
            write_result(replace(measured, chip=CHIPS[FAST]).searched(tiles=False), path)
        return path

    def run(self, chip: str, arm: str, front: Front, number: int, partition: str | Path) -> Trained:
        point = front.points[number]
        network = load_network(self.folder / arm / point.file)
        timesteps = self.data.test.inputs.shape[1] + len(network.layers) - 1
        test = held(self.data.test.inputs[:SIMULATED], timesteps)
        mapping = map_network(network, CHIPS[chip], partition, weight_format=front.weight_format)
        result = simulate(mapping, test, timesteps=timesteps)
        synops = result.counts.core_synops.sum(axis=0)[mapping.used_cores]
        time_us = result.time_ps / len(test) / 1e6
        return Trained(chip, self.seed, arm, point.strength, point.lost, time_us, float(synops.max() / synops.mean()))


def fixed_runs(study: Study, seed: int, kept: Path) -> list[Trained]:
    cnn = Cnn.of(study.cnn, seed, kept)
    return [row for regulariser in (RIVAL, BUSIEST, WORK) for row in cnn.fixed(regulariser)]


def searched_runs(study: Study, seed: int, kept: Path) -> list[Trained]:
    cnn = Cnn.of(study.cnn, seed, kept)
    return cnn.searched() + cnn.alternated()


# --- Speck


class Spiking(EventTrainer):
    """The same question where a layer takes one core, from rest to the end of a sample's events."""

    def arms(self) -> list[Trained]:
        dense = self.point("dense", None, 0.0)
        found = []
        for arm, regulariser, work in ((RIVAL, "synops", False), (BUSIEST, BUSIEST, False), (WORK, BUSIEST, True)):
            points = [self.point(f"{arm}_{s:g}", regulariser, s, work) for s in EVENT_STRENGTHS]
            found += [self.row(arm, each, dense.points - each.points) for each in (dense, *points)]
        return found

    def row(self, arm: str, point: common.Trained, lost: float) -> Trained:
        mapping = map_stream(point.network, speck())
        results = [simulate_stream(mapping, stream) for stream in self.unseen]
        synops = np.sum([result.times.synops for result in results], axis=0)
        synops = synops[synops > 0]
        time_us = sum(result.times.end_ps for result in results) / len(results) / 1e6
        return Trained("Speck", self.seed, arm, point.strength, lost, time_us, float(synops.max() / synops.mean()))


def speck_runs(study: Study, seed: int, kept: Path) -> list[Trained]:
    return Spiking(study.events, load_data("fashion-mnist", np.random.default_rng(seed)), seed, kept).arms()


# --- comparison


def rows_of(study: Study, first: int, kept: Path) -> list[Trained]:
    """Of all seeds; kept in the folder, and read from there if they are."""
    found: list[Trained] = []
    parts = (("fixed", fixed_runs, study.cnn.seeds), ("searched", searched_runs, study.alternated))
    for name, runs, seeds in (*parts, ("speck", speck_runs, study.events.seeds)):
        for seed in range(first, first + seeds):
            file = kept / f"{name}_{seed}.json"
            if not file.is_file():
                rows = [asdict(each) for each in runs(study, seed, kept)]
                file.write_text(json.dumps(rows), encoding="utf-8")
            found += [Trained(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
    return found


def at_equal_loss(points: Sequence[Trained]) -> float:
    """Time of one seed and arm at EQUAL_LOSS: interpolated, and beyond the last point held.

    Between points that none is both faster and better than: losses have noise, and no user takes the others.
    """
    front: list[Trained] = []
    for each in sorted(points, key=lambda each: (each.lost, each.time_us)):
        if not front or each.time_us < front[-1].time_us:
            front.append(each)
    return float(np.exp(np.interp(EQUAL_LOSS, [e.lost for e in front], np.log([e.time_us for e in front]))))


def points_of(found: Sequence[Trained], chip: str, arm: str) -> dict[int, list[Trained]]:
    """By seed."""
    own = [each for each in found if (each.chip, each.arm) == (chip, arm)]
    return {seed: [each for each in own if each.seed == seed] for seed in sorted({each.seed for each in own})}


def gains(found: Sequence[Trained], chip: str, rival: str, arm: str) -> list[float]:
    """The rival's time over the arm's, by seed: above 1 where it helps to see the cores."""
    others, own = (points_of(found, chip, name) for name in (rival, arm))
    return [at_equal_loss(others[seed]) / at_equal_loss(own[seed]) for seed in own]


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean of paired ratios and its two-sided interval, by Student's t of the logarithms."""
    logs = np.log(ratios)
    half = student.ppf((1 + CONFIDENCE) / 2, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    low, mean, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
    return float(mean), float(low), float(high)


def run(quick: bool, seed: int) -> Outcome:
    if quick:
        with TemporaryDirectory() as folder:
            return outcome(rows_of(QUICK, seed, Path(folder)))
    kept = Path(gettempdir()) / "nsim_two_stage_cores"
    kept.mkdir(exist_ok=True)
    return outcome(rows_of(FULL, seed, kept))


def outcome(found: list[Trained]) -> Outcome:
    verdicts = [verdict(found, *each) for each in COMPARED if len(points_of(found, each[0], each[2])) > 1]
    return Outcome([asdict(each) for each in found], verdicts, lambda figure: draw(figure, found), (10, 8))


def verdict(found: Sequence[Trained], chip: str, rival: str, arm: str) -> Verdict:
    ratios = gains(found, chip, rival, arm)
    mean, low, high = interval(ratios)
    uneven = np.mean([points[0].unevenness for points in points_of(found, chip, rival).values()])
    reached = min(max(each.lost for each in points) for points in points_of(found, chip, arm).values())
    return Verdict(
        f"{chip}: {arm} is faster than {rival} at {EQUAL_LOSS} points lost",
        low > 1,
        f"{mean:.3f} times, {100 * CONFIDENCE:.0f} % interval {low:.3f} to {high:.3f} over {len(ratios)} seeds "
        f"({', '.join(f'{each:.3f}' for each in ratios)}); dense, the busiest core does {uneven:.2f} times the mean of "
        f"the used cores; least of the largest losses {reached:.2f} points",
    )


COLOURS = {RIVAL: "#e69f00", BUSIEST: "#0072b2", WORK: "#009e73", SEARCHED: "#e69f00", ALTERNATED: "#cc79a7"}


def draw(figure: Any, found: Sequence[Trained]) -> None:
    """Time against loss, a line for each seed and arm, from one strength to the next."""
    fixed = (RIVAL, BUSIEST, WORK)
    groups = (
        (LOIHI, fixed),
        (FAST, fixed),
        (FAST, (SEARCHED, ALTERNATED)),
        ("Speck", fixed),
    )
    for axis, (chip, arms) in zip(figure.subplots(2, 2).flat, groups, strict=True):
        for arm in arms:
            for number, points in enumerate(points_of(found, chip, arm).values()):
                own = sorted(points, key=lambda each: each.strength)
                label = None if number else arm
                axis.plot(
                    [e.lost for e in own], [e.time_us for e in own], "o-", color=COLOURS[arm], ms=3, lw=1, label=label
                )
        axis.axvline(EQUAL_LOSS, color="black", ls=":", lw=1, label="compared here")
        axis.set_title(f"{chip}, {'a fixed mapping' if arms[0] == RIVAL else 'searched mappings'}", fontsize=9)
        axis.set_xlabel("points of validation data lost")
        axis.set_ylabel("time of a sample (us)")
        axis.legend(fontsize=8)


if __name__ == "__main__":
    for each in script(run, __file__, __doc__):
        print(each)
