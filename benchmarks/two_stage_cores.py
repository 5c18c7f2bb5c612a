"""Does it matter that training sees the busiest core? The synops of the busiest core against all synops, seed by seed.

The convolutional network of `two_stage`, its convolutions cut into four slices of columns that stay as they are, so
that the middle of the picture keeps some cores busier than others. From the same dense network, with the same order
of samples, it is trained on with each regulariser at two strengths. Compared is the time of a sample (32 test samples)
at equal loss of accuracy: between the points of a regulariser, the logarithm of the time is interpolated linearly over
the validation points lost.
Where it cannot matter: with one core for each layer, from rest, one layer works in every timestep, so that the sum of
the maxima is the sum of all synops; and slices of a fully connected layer, or of channels, receive the same messages.
Expected (ours): the busiest core's synops are at least as good at equal accuracy.

Takes the dense networks that `python -m benchmarks.two_stage` keeps, or trains them.

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

from benchmarks.two_stage import QUICK, SIMULATED, STAGE_1, WORKLOADS, Workload, data_of, held, settings_of
from nsim.chip.file import load_chip
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.formats.network import load_network
from nsim.mapping.network import map_network
from nsim.result.run import simulate
from nsim.training.data.pictures import Data
from nsim.training.sparsity.front import Front, train_front

CNN = next(workload for workload in WORKLOADS if workload.network == "cnn")
PARTITION = "even:conv1=4,conv2=4"
STRENGTHS = (1.0, 4.0)
REGULARISERS = ("max-synops", "synops")
EQUAL_LOSS = 0.8  # points of validation data
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Trained:
    """One network on the fixed partition: points lost on validation data, time of a test sample, synops there."""

    seed: int
    regulariser: str
    strength: float
    lost: float
    time_us: float
    synops: float
    max_synops: float


def trained(workload: Workload, seed: int, kept: Path) -> list[Trained]:
    file = kept / f"{workload.network}_{seed}_cores.json"
    if file.is_file():
        return [Trained(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
    data = data_of(workload, seed)
    begun = kept / f"{workload.network}_{seed}_{STAGE_1}"
    found: list[Trained] = []
    for regulariser in REGULARISERS:
        usual = settings_of(workload, seed, regulariser)
        settings = replace(usual, partition=PARTITION, strengths=STRENGTHS)
        out = kept / f"{workload.network}_{seed}_cores_{regulariser}"
        front = train_front(settings, data, load_chip("loihi2"), out, begun=begun)
        found += measured(front, data, out)
        begun = begun if begun.is_dir() else out
    file.write_text(json.dumps([asdict(each) for each in found]), encoding="utf-8")
    return found


def measured(front: Front, data: Data, folder: Path) -> list[Trained]:
    found = []
    for point in front.points:
        network = load_network(folder / point.file)
        timesteps = data.test.inputs.shape[1] + len(network.layers) - 1
        test = held(data.test.inputs[:SIMULATED], timesteps)
        result = simulate(map_network(network, load_chip("loihi2"), PARTITION), test, timesteps=timesteps)
        time_us = result.time_ps / len(test) / 1e6
        settings, cost = front.settings, point.cost
        row = (point.strength, point.lost, time_us, cost.synops, cost.max_synops)
        found.append(Trained(settings.seed, settings.regulariser, *row))
    return found


def at_equal_loss(points: Sequence[Trained], of: str = "time_us") -> float:
    """Of one seed and regulariser, at EQUAL_LOSS: interpolated, and beyond the last point held."""
    ordered = sorted(points, key=lambda each: each.lost)
    return float(
        np.exp(np.interp(EQUAL_LOSS, [each.lost for each in ordered], np.log([getattr(e, of) for e in ordered])))
    )


def gains(found: Sequence[Trained], of: str = "time_us") -> list[float]:
    """All synops over the busiest core's, by seed: above 1 where it helps to see the cores."""
    seeds = sorted({each.seed for each in found})
    kept = {(s, r): [e for e in found if (e.seed, e.regulariser) == (s, r)] for s in seeds for r in REGULARISERS}
    return [at_equal_loss(kept[seed, "synops"], of) / at_equal_loss(kept[seed, "max-synops"], of) for seed in seeds]


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean of paired ratios and its two-sided interval, by Student's t of the logarithms."""
    logs = np.log(ratios)
    half = student.ppf((1 + CONFIDENCE) / 2, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    low, mean, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
    return float(mean), float(low), float(high)


def run(quick: bool, seed: int) -> Outcome:
    if quick:
        small = replace(QUICK, network="cnn")
        with TemporaryDirectory() as folder:
            return outcome([row for one in (seed, seed + 1) for row in trained(small, one, Path(folder))])
    kept = Path(gettempdir()) / "nsim_two_stage"
    kept.mkdir(exist_ok=True)
    return outcome([row for one in range(seed, seed + CNN.seeds) for row in trained(CNN, one, kept)])


def outcome(found: list[Trained]) -> Outcome:
    ratios = gains(found)
    mean, low, high = interval(ratios)
    of_synops, low_synops, high_synops = interval(gains(found, "max_synops"))
    verdict = Verdict(
        f"training for the busiest core is faster than for all synops, at {EQUAL_LOSS} points lost",
        low > 1,
        f"{mean:.3f} times in time, {100 * CONFIDENCE:.0f} % interval {low:.3f} to {high:.3f} over {len(ratios)} seeds "
        f"({', '.join(f'{each:.3f}' for each in ratios)}); {of_synops:.3f} times in synops of the busiest core "
        f"({low_synops:.3f} to {high_synops:.3f})",
    )
    return Outcome([asdict(each) for each in found], [verdict], lambda figure: draw(figure, found), (6, 4))


def draw(figure: Any, found: Sequence[Trained]) -> None:
    axis = figure.subplots()
    for regulariser, colour in zip(REGULARISERS, ("#0072b2", "#e69f00"), strict=True):
        for seed in sorted({each.seed for each in found}):
            points = [each for each in found if (each.seed, each.regulariser) == (seed, regulariser)]
            label = regulariser if seed == found[0].seed else None
            axis.plot([e.lost for e in points], [e.time_us for e in points], "o-", color=colour, ms=4, label=label)
    axis.axvline(EQUAL_LOSS, color="black", ls=":", lw=1, label="compared here")
    axis.set_xlabel("points of validation data lost")
    axis.set_ylabel("time of a sample (us)")
    axis.legend(fontsize=8)


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
