"""The front of accuracy against cost: one network trained plainly, then on from there with each strength.

The reference (strength 0) gets as many epochs as every other point. Chosen is the cheapest point on validation data
that is at most the tolerance worse than the reference; test data are looked at once, for the points chosen and dense.
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

from nsim.chip.timesteps import BarrierChip
from nsim.errors import OutputError, TrainingError
from nsim.formats.network import load_network
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.network import map_network
from nsim.network.layers import Network
from nsim.training import checkpoint
from nsim.training.data.pictures import Data, Split
from nsim.training.sparsity.export import simulated_outputs
from nsim.training.sparsity.fitting import Exported, Masks, Recipe, exact_score, fit, measured_cost, score
from nsim.training.sparsity.kinds import FLAT, SHOWN, check_structure, made_for
from nsim.training.sparsity.networks import Parameters
from nsim.training.sparsity.options import Options
from nsim.training.sparsity.pruning import CoreRows, check_pruning
from nsim.training.sparsity.regularisers import Cost, Fanout, check_regulariser

STRENGTHS = {  # by default: half a decade (rate: one) apart, up to where networks of the built-in kinds lose accuracy
    "rate": (1.0, 10.0, 100.0, 1000.0),
    "synops": (1.0, 3.0, 10.0, 30.0),
    "max-synops": (1.0, 3.0, 10.0, 30.0),
}
SETTINGS = "settings.json"  # of a run, by which its folder is known
COST_SAMPLES = 2000  # of the validation data
Progress = Callable[[str, int, int], None]


class Settings(Options):
    """Options that can be checked."""

    def checked(self) -> Settings:
        """The same with default strengths filled in. raises TrainingError"""
        check_regulariser(self.regulariser)
        check_pruning(self.sparsity, self.structure)
        for name, least in (("epochs", 1), ("seed", 0), ("samples", 20)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise TrainingError(f"{name} is {value}: give at least {least}")
        if not 0 <= self.tolerance <= 100:
            raise TrainingError(f"tolerance is {self.tolerance}: give points of accuracy, 0 to 100")
        strengths = tuple(self.strengths) or STRENGTHS[self.regulariser]
        bad = [strength for strength in strengths if not 0 < strength < float("inf")]
        if bad:
            raise TrainingError(f"regulariser strength is {bad[0]}: give positive numbers")
        return Settings(**{**asdict(self), "strengths": strengths})


@dataclass(frozen=True)
class Point:
    """One network of a front; validation data unless said otherwise. points: accuracy or explained variance, percent"""

    strength: float
    points: float
    cost: Cost
    density: float
    file: str


@dataclass(frozen=True, eq=False)
class Front:
    """points: the reference first. test: (promised, simulated) points of reference and chosen network on test data.

    inputs   of the test data
    latency  timesteps from a frame to its output
    """

    settings: Settings
    points: tuple[Point, ...]
    chosen: Point
    test: dict[str, tuple[float, float]]
    inputs: Split
    latency: int

    @property
    def dense(self) -> Point:
        return self.points[0]


def cheapest(points: Sequence[Point], regulariser: str, tolerance: float) -> Point:
    """The cheapest point at most `tolerance` points worse than the first, which is the reference."""
    allowed = [point for point in points if point.points >= points[0].points - tolerance]
    return min(allowed, key=lambda point: point.cost.of(regulariser))


def train_front(
    settings: Settings, data: Data, chip: BarrierChip, out: Path, progress: Progress | None = None
) -> Front:
    """Train, check and write everything to a folder; what is there of the same settings is not trained again.

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
    data = data.limited(settings.samples)
    _prepare(out, settings)
    trainer = _Trainer(settings, made, data, chip, out, progress)
    points = [trainer.point(number, strength) for number, strength in enumerate((0.0, *settings.strengths))]
    chosen = cheapest(points, settings.regulariser, settings.tolerance)
    test = {name: trainer.tested(point) for name, point in (("dense", points[0]), ("chosen", chosen))}
    front = Front(settings, tuple(points), chosen, test, data.test, len(made.weight_shapes))
    _write_results(front, trainer, out)
    return front


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
        progress: Progress | None,
    ) -> None:
        self.settings, self.made, self.data, self.chip, self.out = settings, made, data, chip, out
        self.progress = progress
        plain = Recipe(epochs=settings.epochs)
        self.start = self._load("plain") or self._fit("plain", made.initial(self._rng(0)), plain, None, None, 1)
        mapping = self.mapping(self._network("plain", *self.start))
        self.fanout, self.rows = Fanout.of(mapping), CoreRows.of(mapping)

    def _rng(self, use: int) -> np.random.Generator:
        return np.random.default_rng((self.settings.seed, use))

    def mapping(self, network: Network) -> Mapping:
        return map_network(network, self.chip, self.settings.partition, weight_format=self.settings.weight_format)

    def _network(self, name: str, parameters: Parameters, masks: Masks) -> Network:
        path = self.out / f"{name}{self.made.suffix}"
        self.made.write(path, parameters, masks)
        return load_network(path)

    def _fit(
        self,
        name: str,
        start: Parameters,
        recipe: Recipe,
        fanout: Fanout | None,
        rows: CoreRows | None,
        use: int,
    ) -> tuple[Parameters, Masks]:
        report = self.progress
        tell = None if report is None else lambda done, total: report(name, done, total)
        arguments = self.data.train, self.data.classes, recipe, fanout, rows, self._rng(use)
        found = fit(self.made, start, *arguments, tell)
        self._save(name, *found)
        return found

    def point(self, number: int, strength: float) -> Point:
        settings, name = self.settings, f"point_{number}"
        found = self._load(name)
        if found is None:
            pruned = (settings.sparsity, settings.structure) if strength else (0.0, "weights")
            recipe = Recipe(settings.regulariser if strength else None, strength, *pruned, settings.epochs)
            found = self._fit(name, self.start[0], recipe, self.fanout, self.rows, 2)
        network = self._network(name, *found)
        validation = self.data.validation
        points = exact_score(self.made, *found, validation, self.data.classes)
        fanout = Fanout.of(self.mapping(network))
        cost = measured_cost(self.made, *found, validation.first(COST_SAMPLES), fanout)
        weights = [connection.synapses.weights for connection in network.connections]
        density = sum(int(np.count_nonzero(w)) for w in weights) / sum(w.size for w in weights)
        return Point(strength, points, cost, density, f"{name}{self.made.suffix}")

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

    def _save(self, name: str, parameters: Parameters, masks: Masks) -> None:
        arrays: dict[str, Any] = {}
        for number, (layer, mask) in enumerate(zip(parameters, masks, strict=True)):
            arrays |= {f"{key}{number}": value for key, value in (layer | {"mask": mask}).items()}
        checkpoint.write_arrays(self.out / f"{name}.npz", arrays)

    def _load(self, name: str) -> tuple[Parameters, Masks] | None:
        path = self.out / f"{name}.npz"
        if not path.is_file():
            return None
        with np.load(path) as file:
            layers: Parameters = [{} for _ in self.made.weight_shapes]
            for name in file.files:
                key = name.rstrip("0123456789")
                layers[int(name[len(key) :])][key] = file[name]
        masks = [layer.pop("mask") for layer in layers]
        return layers, masks


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
            table.writerow(
                ("strength", "validation_points", "events", "synops", "max_synops", "weight_density", "chosen", "file")
            )
            for point in front.points:
                row = (point.strength, point.points, *asdict(point.cost).values(), point.density)
                table.writerow((*row, point is front.chosen, point.file))
        (out / network_file(front)).write_bytes((out / front.chosen.file).read_bytes())
        np.save(out / "test_inputs.npy", front.inputs.inputs)
        _write_activity(front, trainer, out / "activity.csv")
        (out / "summary.json").write_text(json.dumps(summary(front), indent=2) + "\n", encoding="utf-8")
        draw_front(front, out / "front.png")
    except OSError as error:
        raise OutputError(
            f"cannot write results to {out} ({error.strerror}): free space, or give another --out"
        ) from None


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


def draw_front(front: Front, path: Path) -> None:
    """Points against the cost that the regulariser is there to lower; ring: chosen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4), layout="constrained")
    axis = figure.subplots()
    kind = front.settings.regulariser
    cost = [point.cost.of(kind) for point in front.points]
    axis.plot(cost, [point.points for point in front.points], "o", color="#0072B2")
    for value, point in zip(cost, front.points, strict=True):
        label = f"{point.strength:g}" if point.strength else "dense"
        axis.annotate(label, (value, point.points), (4, 5), textcoords="offset points", fontsize=8)
    axis.plot(front.chosen.cost.of(kind), front.chosen.points, "o", ms=13, mfc="none", mec="#D55E00", label="chosen")
    least = front.dense.points - front.settings.tolerance
    axis.axhline(least, color="black", ls="--", lw=1, label=f"{front.settings.tolerance:g} points below dense")
    units = {"rate": "messages", "synops": "synops", "max-synops": "synops of the busiest core, over timesteps"}
    axis.set_xlabel(f"{units[kind]} per sample")
    axis.set_ylabel("validation (%)")
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=100)
