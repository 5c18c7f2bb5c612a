"""The front of accuracy against cost: one network trained plainly, then on from there with each strength.

Plain training goes in rounds of a falling learning rate, until a round gains less than a tenth of a point. The
reference (strength 0) then gets as many epochs as every other point; the others are pruned as they are trained, and
learn from the plain network's outputs, too. Strengths are a ladder: up from the usual one while they are allowed, or
down until one is. Allowed is what loses at most the tolerance on validation data with the confidence asked for, by the
paired differences of all samples; chosen is the cheapest. Test data are looked at once, for the points chosen and
dense.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from nsim.chip.timesteps import BarrierChip
from nsim.errors import OutputError, TrainingError
from nsim.formats.network import load_network
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.network import map_network
from nsim.network.layers import Network
from nsim.report.plots import new_figure
from nsim.training import checkpoint
from nsim.training.data.pictures import Data, Split
from nsim.training.sparsity.export import simulated_outputs
from nsim.training.sparsity.fitting import (
    WATCHED,
    Exported,
    Masks,
    Recipe,
    exact_points,
    fit,
    measured_cost,
    real_score,
    runner,
    score,
)
from nsim.training.sparsity.keeping import Keeper, Tell
from nsim.training.sparsity.kinds import FLAT, SHOWN, check_structure, made_for
from nsim.training.sparsity.networks import Parameters
from nsim.training.sparsity.options import Options
from nsim.training.sparsity.pruning import CoreRows, check_pruning
from nsim.training.sparsity.recipes import climb, first_strength, recipe_of
from nsim.training.sparsity.regularisers import Cost, Fanout, check_regulariser

ROUNDS, GAIN = 4, 0.1  # of the plain training at most; points that a round must gain for there to be another
SETTINGS = "settings.json"  # of a run, by which its folder is known
COST_SAMPLES = 2000  # of the validation data
PS_PER_US = 10**6
LOWERED = {  # by a regulariser
    **{"rate": "messages", "synops": "synops"},
    "max-synops": "synops of the busiest core, over timesteps",
    "max-work": "us of the busiest core, over timesteps",
}
Progress = Callable[[str, int, int], None]


class Settings(Options):
    """Options that can be checked."""

    def checked(self) -> Settings:
        """The same. raises TrainingError"""
        check_regulariser(self.regulariser)
        check_pruning(self.sparsity or 0.0, self.structure, 1.0 if self.inputs is None else self.inputs)
        for name, least in (("epochs", 1), ("seed", 0), ("samples", 20)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise TrainingError(f"{name} is {value}: give at least {least}")
        if not 0 <= self.tolerance <= 100:
            raise TrainingError(f"tolerance is {self.tolerance}: give points of accuracy, 0 to 100")
        if not 0.5 <= self.confidence < 1:
            raise TrainingError(f"confidence is {self.confidence}: give 0.5 to below 1")
        if not 0 <= (self.distillation or 0) <= 1:
            raise TrainingError(f"distillation is {self.distillation}: give a share, 0 to 1")
        bad = [strength for strength in self.strengths if not 0 < strength < float("inf")]
        if bad:
            raise TrainingError(f"regulariser strength is {bad[0]}: give positive numbers")
        return self


@dataclass(frozen=True)
class Point:
    """One network of a front; on validation data.

    points        accuracy or explained variance, percent
    lost          points less than the reference, in the mean, and at most with the confidence asked for
    lowered       what the regulariser is there to lower, per sample: part of the cost, or microseconds
    density       share of weights that are not zero
    """

    strength: float
    points: float
    lost: float
    lost_at_most: float
    cost: Cost
    lowered: float
    density: float
    file: str


@dataclass(frozen=True, eq=False)
class Front:
    """points: the reference first. test: (promised, simulated) points of reference and chosen network on test data.

    inputs         of the test data
    latency        timesteps from a frame to its output
    weight_format  in which the networks are mapped; None: the chip's own
    """

    settings: Settings
    points: tuple[Point, ...]
    chosen: Point
    test: dict[str, tuple[float, float]]
    inputs: Split
    latency: int
    weight_format: str | None = None

    @property
    def dense(self) -> Point:
        return self.points[0]


def cheapest(points: Sequence[Point], tolerance: float) -> Point:
    """The cheapest point that is allowed; the first is the reference, and always is."""
    allowed = [point for point in points if point is points[0] or point.lost_at_most <= tolerance]
    return min(allowed, key=lambda point: point.lowered)


def lost_points(reference: NDArray, points: NDArray, confidence: float) -> tuple[float, float]:
    """What is lost in the mean, and at most with this confidence, by Student's t over paired samples.

    reference, points   float64[samples], of each sample
    """
    lost = reference - points
    mean = float(lost.mean())
    return mean, mean + float(student.ppf(confidence, len(lost) - 1) * lost.std(ddof=1) / np.sqrt(len(lost)))


def train_front(
    settings: Settings,
    data: Data,
    chip: BarrierChip,
    out: Path,
    progress: Progress | None = None,
    tell: Tell | None = None,
    begun: Path | None = None,
) -> Front:
    """Train, check and write everything to a folder; what is there of the same settings is not trained again.

    progress, tell   are told of steps, and of epochs with loss and points
    begun            folder of a front that differs in the regulariser alone: its dense networks are taken
    raises   TrainingError, OutputError, MappingError
    """
    settings = settings.checked()
    outputs = data.classes or data.train.targets.shape[-1]
    shape = data.train.inputs.shape[2:]
    flat = settings.network in FLAT
    data = _shown(_flattened(data) if flat else data, SHOWN.get(settings.network, 1))
    shape = (int(np.prod(shape)), 1, 1) if flat else shape
    made = made_for(settings.network, shape, outputs, settings.threshold, settings.weight_bits)
    check_structure(settings.network, settings.structure)
    _check_inputs(settings, made)
    data = data.limited(settings.samples)
    _prepare(out, settings)
    trainer = _Trainer(settings, made, data, chip, out, begun, progress, tell)
    points = trainer.points()
    chosen = cheapest(points, settings.tolerance)
    test = {name: trainer.tested(point) for name, point in (("dense", points[0]), ("chosen", chosen))}
    front = Front(settings, tuple(points), chosen, test, data.test, len(made.weight_shapes), trainer.weight_format)
    _write_results(front, trainer, out)
    return front


def _check_inputs(settings: Settings, made: Exported) -> None:
    if settings.inputs not in (None, 1) and len(made.weight_shapes[0]) != 2:
        raise TrainingError(
            f"network {settings.network!r} begins with a convolution, which takes every input for several neurons: "
            "leave --inputs out"
        )


def _flattened(data: Data) -> Data:
    def flat(split: Split) -> Split:
        samples, frames = split.inputs.shape[:2]
        return Split(split.inputs.reshape(samples, frames, -1, 1, 1), split.targets)

    return Data(data.name, flat(data.train), flat(data.validation), flat(data.test), data.classes)


def _shown(data: Data, timesteps: int) -> Data:
    """Single frames for as many timesteps, without a copy. raises TrainingError for more frames than one."""
    if timesteps == 1:
        return data
    if data.train.inputs.shape[1] != 1:
        raise TrainingError(
            f"data {data.name!r} have {data.train.inputs.shape[1]} frames, and this network is shown single pictures: "
            "give fashion-mnist, digits or a folder of idx files"
        )

    def shown(split: Split) -> Split:
        samples, _, *shape = split.inputs.shape
        return Split(np.broadcast_to(split.inputs, (samples, timesteps, *shape)), split.targets)

    return Data(data.name, shown(data.train), shown(data.validation), shown(data.test), data.classes)


def _prepare(out: Path, settings: Settings) -> None:
    wanted, kept = json.loads(json.dumps(asdict(settings))), out / SETTINGS
    try:
        if not checkpoint.prepare(out, SETTINGS):
            checkpoint.write_json(kept, wanted)
        elif json.loads(kept.read_text(encoding="utf-8")) != wanted:
            raise OutputError(f"output folder {out} holds a training with other settings: give another folder")
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot use output folder {out} ({cause}): give another folder") from None


class _Trainer:
    """Trains the points of one front, and keeps each in the folder as soon as it is done."""

    def __init__(
        self,
        settings: Settings,
        made: Exported,
        data: Data,
        chip: BarrierChip,
        out: Path,
        begun: Path | None,
        progress: Progress | None,
        tell: Tell | None,
    ) -> None:
        self.settings, self.made, self.data, self.chip, self.out, self.begun = settings, made, data, chip, out, begun
        self.progress, self.tell = progress, tell
        pruned = recipe_of(settings, first_strength(settings)).sparsity > 0
        # pruned weights take no time and send no messages only where they are not stored
        self.weight_format = settings.weight_format or ("sparse" if pruned else None)
        self.run = runner(made)
        self.start = self._plain()
        self.taught = self._taught()
        mapping = self.mapping(self._network("plain", *self.start))
        self.fanout, self.rows = self._fanout(mapping), CoreRows.of(mapping)
        self.reference: NDArray | None = None

    def _rng(self, *use: int) -> np.random.Generator:
        return np.random.default_rng((self.settings.seed, *use))

    def mapping(self, network: Network) -> Mapping:
        return map_network(network, self.chip, self.settings.partition, weight_format=self.weight_format)

    def _fanout(self, mapping: Mapping) -> Fanout:
        """In what the regulariser counts."""
        if self.settings.regulariser != "max-work":
            return Fanout.of(mapping)
        return Fanout.of(mapping, costs=mapping.copies.service_ps / PS_PER_US)

    def _network(self, name: str, parameters: Parameters, masks: Masks) -> Network:
        path = self.out / f"{name}{self.made.suffix}"
        self.made.write(path, parameters, masks)
        return load_network(path)

    def _exact_points(self, found: tuple[Parameters, Masks]) -> NDArray[np.float64]:
        return exact_points(self.made, *found, self.data.validation, self.data.classes)

    def _plain(self) -> tuple[Parameters, Masks]:
        """Round after round, until one gains too little; the better of the last two."""
        best: tuple[Parameters, Masks] = self.made.initial(self._rng(0)), []
        most = -np.inf
        for number in range(1, ROUNDS + 1):
            found = self._fit(f"plain_{number}", best[0], recipe_of(self.settings, 0.0), (1, number))
            points = float(self._exact_points(found).mean())
            gain = points - most
            if gain > 0:
                best, most = found, points
            if gain < GAIN:
                break
        return best

    def _taught(self) -> NDArray[np.float32]:
        """What the plain network makes of the training data; of classes after the last frame."""
        outputs = self.run(*self.start, self.data.train.inputs)
        return outputs if self.data.classes is None else outputs[:, -1:]

    def _fit(self, name: str, start: Parameters, recipe: Recipe, use: tuple[int, ...]) -> tuple[Parameters, Masks]:
        """Train from these parameters on, or load what was; a training that was stopped goes on with its next epoch."""
        if (known := self._load(name)) is not None:
            return known
        report, classes = self.progress, self.data.classes
        seen = self.data.validation.first(WATCHED)

        def points(parameters: Parameters, masks: Masks) -> float:
            return real_score(self.run(parameters, masks, seen.inputs), seen, classes)

        keeper = Keeper(self.out, name, points, self.tell)
        found = fit(
            self.made,
            start,
            self.data.train,
            classes,
            recipe,
            self.fanout if recipe.regulariser else None,
            self.rows if recipe.regulariser else None,
            self._rng(*use),
            None if report is None else lambda done, total: report(name, done, total),
            self.taught if recipe.distillation else None,
            keeper,
        )
        self._save(name, *found, keeper.curve)
        keeper.done()
        return found

    def points(self) -> list[Point]:
        """The reference, then the strengths that were asked for, or a ladder."""
        found = [self.point(0, 0.0)]

        def allowed(strength: float) -> bool:
            found.append(self.point(len(found), strength))
            return found[-1].lost_at_most <= self.settings.tolerance

        if self.settings.strengths:
            found += [self.point(number, each) for number, each in enumerate(self.settings.strengths, 1)]
        else:
            climb(first_strength(self.settings), allowed)
        return found

    def point(self, number: int, strength: float) -> Point:
        name = f"point_{number}"
        found = self._fit(name, self.start[0], recipe_of(self.settings, strength), (2,))
        network = self._network(name, *found)
        points = self._exact_points(found)
        self.reference = points if self.reference is None else self.reference
        lost = lost_points(self.reference, points, self.settings.confidence)
        mapping, seen = self.mapping(network), self.data.validation.first(COST_SAMPLES)
        cost, lowered = (measured_cost(self.made, *found, seen, f) for f in (Fanout.of(mapping), self._fanout(mapping)))
        weights = [connection.synapses.weights for connection in network.connections]
        density = sum(int(np.count_nonzero(w)) for w in weights) / sum(w.size for w in weights)
        less, file = lowered.of(self.settings.regulariser), f"{name}{self.made.suffix}"
        return Point(strength, float(points.mean()), *lost, cost, less, density, file)

    def tested(self, point: Point) -> tuple[float, float]:
        """Points on test data as the training promises them and as the simulator's kernels give them.

        raises  TrainingError if any output differs, or differs by more than rounding explains: the file would not be
                what was trained
        """
        found = self._load(Path(point.file).stem)
        assert found is not None
        test = self.data.test
        promised = self.made.exact_outputs(*found, test.inputs)
        report = self.progress
        tell = None if report is None else lambda done, total: report(f"checking {point.file}", done, total)
        simulated = self.made.observed(simulated_outputs(load_network(self.out / point.file), test.inputs, tell))
        check_agreement(point.file, promised, simulated, self.made.agreement)
        return tuple(score(each, test.targets, self.data.classes) for each in (promised, simulated))  # type: ignore[return-value]

    def _save(self, name: str, parameters: Parameters, masks: Masks, curve: NDArray) -> None:
        arrays: dict[str, Any] = {"curve": curve}
        for number, (layer, mask) in enumerate(zip(parameters, masks, strict=True)):
            arrays |= {f"{key}{number}": value for key, value in (layer | {"mask": mask}).items()}
        checkpoint.write_arrays(self.out / f"{name}.npz", arrays)

    def _load(self, name: str) -> tuple[Parameters, Masks] | None:
        path = self.out / f"{name}.npz"
        if self.begun and not path.is_file() and name.startswith(("plain_", "point_0")):
            path = self.begun / path.name
        if not path.is_file():
            return None
        with np.load(path) as file:
            layers: Parameters = [{} for _ in self.made.weight_shapes]
            for name in set(file.files) - {"curve"}:
                key = name.rstrip("0123456789")
                layers[int(name[len(key) :])][key] = file[name]
        masks = [layer.pop("mask") for layer in layers]
        return layers, masks

    def curves(self) -> dict[str, NDArray[np.float64]]:
        """Loss and points after every epoch, by training: rounds of the plain one, then points."""
        found = {}
        for path in sorted(self.out.glob("*_*.npz"), key=lambda path: (path.stem[:5] != "plain", path.stem)):
            with np.load(path) as file:
                found[path.stem] = file["curve"]
        return found


def check_agreement(file: str, promised: NDArray, simulated: NDArray, agreement: float) -> None:
    """Refuse a file whose outputs [samples, timesteps, outputs] or classes are not those that were trained."""
    far = np.abs(promised - simulated) > agreement * np.abs(promised).max()
    other = promised[:, -1].argmax(axis=1) != simulated[:, -1].argmax(axis=1)
    wrong = int((far.any(axis=(1, 2)) | other).sum())
    if wrong:
        raise TrainingError(
            f"{file} gives other outputs than were trained for {wrong} of {len(promised)} test samples: its sums "
            "leave the chip's range; use more strength, or fewer weight bits"
        )


def network_file(front: Front) -> str:
    """Name of the chosen network's copy."""
    return f"network{Path(front.chosen.file).suffix}"


def _write_results(front: Front, trainer: _Trainer, out: Path) -> None:
    try:
        with (out / "front.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            cost = ("events", "synops", "max_synops")
            points = ("validation_points", "lost_points", "lost_points_at_most")
            table.writerow(("strength", *points, *cost, "lowered", "weight_density", "chosen", "file"))
            for point in front.points:
                lost = (point.points, point.lost, point.lost_at_most)
                row = (point.strength, *lost, *asdict(point.cost).values(), point.lowered, point.density)
                table.writerow((*row, point is front.chosen, point.file))
        (out / network_file(front)).write_bytes((out / front.chosen.file).read_bytes())
        np.save(out / "test_inputs.npy", front.inputs.inputs)
        _write_activity(front, trainer, out / "activity.csv")
        (out / "summary.json").write_text(json.dumps(summary(front), indent=2) + "\n", encoding="utf-8")
        curves = trainer.curves()
        _write_curves(curves, out / "curves.csv")
        draw_front(front, curves, out / "front.png")
    except OSError as error:
        raise OutputError(
            f"cannot write results to {out} ({error.strerror}): free space, or give another --out"
        ) from None


def _write_curves(curves: dict[str, NDArray[np.float64]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("training", "epoch", "loss", "validation_points"))
        for name, curve in curves.items():
            table.writerows((name, epoch, *row) for epoch, row in enumerate(curve.tolist(), 1))


def _write_activity(front: Front, trainer: _Trainer, path: Path) -> None:
    """Messages per test sample of every layer that sends, of the dense and the chosen network."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("network", "layer", "neurons", "messages_per_sample"))
        for name, point in (("dense", front.dense), ("chosen", front.chosen)):
            found = trainer._load(Path(point.file).stem)
            assert found is not None
            layers = load_network(path.parent / point.file).layers
            totals = np.zeros(len(layers) - 1)
            for first in range(0, len(front.inputs), 250):
                passed = trainer.made.forward(*found, jnp.asarray(front.inputs.inputs[first : first + 250]))
                totals += [float(jnp.round(sent).sum()) for sent in passed.events]
            for layer, total in zip(layers, totals, strict=False):
                table.writerow((name, layer.name, layer.neurons, total / len(front.inputs)))


def summary(front: Front) -> dict[str, Any]:
    frames = front.inputs.inputs.shape[1]
    names = ("promised_points", "simulated_points")
    return {
        "settings": asdict(front.settings),
        "unit": "percent of classes right, or of variance explained",
        "dense": asdict(front.dense) | dict(zip(names, front.test["dense"], strict=True)),
        "chosen": asdict(front.chosen) | dict(zip(names, front.test["chosen"], strict=True)),
        "test_samples": len(front.inputs),
        "timesteps_per_sample": frames + front.latency,
    }


def draw_front(front: Front, curves: dict[str, NDArray[np.float64]], path: Path) -> None:
    """Points against the cost that the regulariser is there to lower, and learning curves."""
    figure = new_figure(11, 4, layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_points(left, front)
    labels = {Path(point.file).stem: _label(point) for point in front.points}
    for name, curve in curves.items():
        label = labels.get(name, name.replace("_", ", round "))
        right.plot(range(1, len(curve) + 1), curve[:, 1], "-" if name in labels else ":", label=label)
    right.set_xlabel("epoch")
    right.set_ylabel(f"first {WATCHED} of validation (%)")
    right.legend(fontsize=8)
    figure.savefig(path, dpi=100)


def _label(point: Point) -> str:
    return f"strength {point.strength:g}" if point.strength else "dense"


def _draw_points(axis: Any, front: Front) -> None:
    """Bars reach down to what may be lost with the confidence asked for; ring: chosen."""
    confidence = 100 * front.settings.confidence
    cost = [point.lowered for point in front.points]
    bars = [point.lost_at_most - point.lost for point in front.points]
    points = [point.points for point in front.points]
    axis.errorbar(cost, points, (bars, [0] * len(bars)), fmt="o", color="#0072B2", capsize=3)
    for value, point in zip(cost, front.points, strict=True):
        axis.annotate(_label(point), (value, point.points), (4, 5), textcoords="offset points", fontsize=8)
    axis.plot(front.chosen.lowered, front.chosen.points, "o", ms=13, mfc="none", mec="#D55E00", label="chosen")
    least = front.dense.points - front.settings.tolerance
    axis.axhline(least, color="black", ls="--", lw=1, label=f"{front.settings.tolerance:g} points below dense")
    axis.set_xlabel(f"{LOWERED[front.settings.regulariser]} per sample")
    axis.set_ylabel(f"validation (%), down to {confidence:g} % confidence")
    axis.legend(fontsize=8)
