"""The training loop: epochs of minibatches, rewiring between them, validation, and a checkpoint after each.

Connections are rewired before every epoch but the first, so that what is validated after an epoch has been trained and
meets its constraint. The epoch is chosen on samples held out of the training; the test is never looked at here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from nsim.errors import InterruptedRunError, TrainingError
from nsim.training import checkpoint
from nsim.training.routing.layout import Layout
from nsim.training.routing.methods import Method
from nsim.training.routing.network import Neurons, Task, input_current, spike_counts
from nsim.training.routing.samples import Part, Samples
from nsim.training.routing.settings import Purpose, Settings
from nsim.training.routing.step import Optimiser, State, begin, make_step, rewired

VALIDATION_BATCH = 256
Epoch = dict[str, float]
Report = Callable[[Epoch], None]


@dataclass(frozen=True, eq=False)
class Trained:
    """weights and mask [neurons, neurons] of the chosen epoch (counted from 1); history: one row per epoch."""

    settings: Settings
    layout: Layout
    weights: NDArray[np.float32]
    mask: NDArray[np.bool_]
    epoch: int
    history: list[Epoch]


def neurons_of(settings: Settings) -> Neurons:
    return Neurons(settings.leak, settings.threshold)


def task_of(settings: Settings, outputs: int) -> Task:
    return Task(settings.neurons_per_tile, settings.inputs, outputs, settings.rate_weight, settings.rate_target)


class Score(NamedTuple):
    """Of samples in any number: mean cross-entropy, share of right answers, mean spikes per neuron and step."""

    entropy: float
    accuracy: float
    rate: float


@lru_cache(maxsize=8)
def _scores(layout: Layout, neurons: Neurons, task: Task):
    """Compiled: cross-entropy, whether right, and rate of each sample."""
    recurrent = jnp.asarray(layout.recurrent)

    @jax.jit
    def each(weights: jax.Array, x: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        counts = spike_counts(weights * recurrent, input_current(weights, x, task), neurons)
        shown = counts[:, -layout.outputs :]
        entropy = -jnp.take_along_axis(jax.nn.log_softmax(shown), labels[:, None], axis=1)[:, 0]
        return entropy, shown.argmax(axis=1) == labels, counts.mean(axis=1) / x.shape[1]

    return each


class Evaluator:
    """Scores a network of these settings, without noise or regularisers."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        self._each = _scores(layout, neurons_of(settings), task_of(settings, layout.outputs))

    def __call__(self, weights: NDArray[np.float32] | jax.Array, part: Part) -> Score:
        found = []
        for first in range(0, len(part), VALIDATION_BATCH):
            x, labels = part.x[first : first + VALIDATION_BATCH], part.labels[first : first + VALIDATION_BATCH]
            missing = VALIDATION_BATCH - len(labels)  # one size, so that it is compiled once
            x, labels = np.pad(x, ((0, missing), (0, 0), (0, 0))), np.pad(labels, (0, missing))
            values = self._each(jnp.asarray(weights), jnp.asarray(x), jnp.asarray(labels))
            found.append(np.array(values, np.float64)[:, : VALIDATION_BATCH - missing])
        return Score(*np.concatenate(found, axis=1).mean(axis=1).tolist())


def train(
    settings: Settings, samples: Samples, out: Path, resume: bool = False, report: Report | None = None
) -> Trained:
    """Train a network, or go on with the run in `out`; ends with the same bytes either way.

    report   called after every epoch with its row of the history
    raises   TrainingError if the run in `out` has other settings or samples, or if weights are not finite any more;
             InterruptedRunError after Ctrl-C. The last checkpoint is kept in both cases
    """
    run = _Run(settings, samples, out)
    if checkpoint.prepare(out) and not resume:
        raise TrainingError(f"{out} holds a run: go on with it by --resume, or give a new folder")
    run.take_up()
    while run.goes_on:
        try:
            row = run.epoch()
        except KeyboardInterrupt:
            kept = f"{out} holds epoch {run.done}" if run.done else "nothing was kept yet"
            raise InterruptedRunError(
                f"interrupted in epoch {run.done + 1} of {settings.epochs}: {kept}; go on with the same command and "
                "--resume"
            ) from None
        if report:
            report(row)
    return Trained(settings, run.layout, run.best["weights"], run.best["mask"], run.best_epoch, run.history)


class _Run:
    """A run between two epochs."""

    def __init__(self, settings: Settings, samples: Samples, out: Path) -> None:
        self.settings, self.samples, self.out = settings, samples, out
        self.layout = settings.layout(len(samples.words))
        self.method: Method = settings.method(self.layout)
        self.batch = min(settings.batch, len(samples.train))
        self.batches = len(samples.train) // self.batch  # an incomplete last one is left out: published
        steps = settings.epochs * self.batches
        decay_steps = steps if settings.decay == "epochs" else settings.epochs
        optimiser = Optimiser(settings.learning_rate, decay_steps, settings.clip)
        neurons, task = neurons_of(settings), task_of(settings, self.layout.outputs)
        self.step = make_step(self.layout, self.method.rules.over(steps), optimiser, neurons, task)
        self.evaluate = Evaluator(settings, self.layout)
        self.identity = {"settings": settings.as_json(), "samples": samples.fingerprint}
        self.done, self.best_epoch = 0, 0
        self.history: list[Epoch] = []
        self.best: dict[str, NDArray] = {}
        start = self.method.begin(settings.rng(Purpose.BEGIN))
        self.state, self.mask = begin(start.weights), start.mask

    @property
    def goes_on(self) -> bool:
        """Whether there are epochs left, and one of the last ones was better than all before it."""
        settings = self.settings
        waited = settings.patience and self.best_epoch and self.done - self.best_epoch >= settings.patience
        return self.done < settings.epochs and not waited

    def epoch(self) -> Epoch:
        """Rewire, train, validate and save; nothing of the run changes if it is interrupted."""
        settings, epoch = self.settings, self.done
        state, mask = self.state, self.mask
        rng = settings.rng(Purpose.REWIRE, epoch)
        if epoch and not self.method.rules.every_step:
            state, mask = self._rewired(state, mask, epoch / settings.epochs, rng)
        state, mask, trained = self._trained(state, mask, rng)
        weights = np.asarray(state.weights)
        self._check_finite(weights, trained)
        row = self._row(weights, mask, trained)
        history, best_epoch, best = [*self.history, row], self.best_epoch, self.best
        if self.method.violated(mask, 1.0) is None and self._is_better(row):
            best_epoch, best = epoch + 1, {"weights": weights, "mask": mask}
        self._save(state, mask, history, best_epoch, best)
        self.state, self.mask, self.history = state, mask, history
        self.best_epoch, self.best, self.done = best_epoch, best, epoch + 1
        return row

    def _rewired(self, state: State, mask: NDArray[np.bool_], progress: float, rng: np.random.Generator):
        found = self.method.rewire(np.asarray(state.weights), mask, progress, rng)
        if broken := self.method.violated(found.mask, progress):
            raise TrainingError(f"{self.settings.choice.name} broke its own constraint in rewiring: {broken}")
        return rewired(state, found.weights, found.mask, found.fresh), found.mask

    def _trained(self, state: State, mask: NDArray[np.bool_], rng: np.random.Generator):
        settings, train = self.settings, self.samples.train
        order = settings.rng(Purpose.SHUFFLE, self.done).permutation(len(train))
        key = jax.random.key(int(settings.rng(Purpose.NOISE, self.done).integers(2**31)))
        measures = []
        for number in range(self.batches):
            chosen = order[number * self.batch : (number + 1) * self.batch]
            x, labels = jnp.asarray(train.x[chosen]), jnp.asarray(train.labels[chosen])
            state, found = self.step(state, jnp.asarray(mask), x, labels, jax.random.fold_in(key, number))
            measures.append(found)
            if self.method.rules.every_step:
                progress = (self.done + (number + 1) / self.batches) / settings.epochs
                state, mask = self._rewired(state, mask, progress, rng)
        return state, mask, Score(*np.array(measures, np.float64).mean(axis=0).tolist())

    def _check_finite(self, weights: NDArray[np.float32], trained: Score) -> None:
        """NaN weights leave the loss finite, for nobody spikes any more; so both are looked at."""
        wrong = int(np.count_nonzero(~np.isfinite(weights)))
        if wrong or not np.isfinite(trained.entropy):
            kept = f"{self.out} keeps epoch {self.done}" if self.done else "nothing was kept"
            raise TrainingError(
                f"after epoch {self.done + 1} the loss is {trained.entropy:g} and {wrong:,} weights are not finite: "
                f"train with a --learning-rate below {self.settings.learning_rate:g} ({kept})"
            )

    def _row(self, weights: NDArray[np.float32], mask: NDArray[np.bool_], trained: Score) -> Epoch:
        validated = self.evaluate(weights, self.samples.validation)
        profile = self.layout.profile_of(mask, links=True)
        return {
            "epoch": self.done + 1,
            "loss": trained.entropy,
            "accuracy": trained.accuracy,
            "spikes_per_neuron_and_step": trained.rate,
            "validation_entropy": validated.entropy,
            "validation_accuracy": validated.accuracy,
            "connections": int(np.count_nonzero(weights)),
            **{f"p{distance}": share for distance, share in profile.items()},
        }

    def _is_better(self, row: Epoch) -> bool:
        if not self.best_epoch:
            return True
        best = self.history[self.best_epoch - 1]
        here, there = ((r["validation_accuracy"], -r["validation_entropy"]) for r in (row, best))
        return here > there

    def _save(self, state: State, mask: NDArray, history: list[Epoch], best_epoch: int, best: dict) -> None:
        arrays = {
            "weights": np.asarray(state.weights),
            "mask": mask,
            "first_moments": np.asarray(state.adam.mu),
            "second_moments": np.asarray(state.adam.nu),
            "steps": np.asarray(state.adam.count),
            **{f"best_{name}": array for name, array in best.items()},
        }
        checkpoint.save(
            self.out, self.done + 1, arrays, {"best_epoch": best_epoch, "history": history, **self.identity}
        )

    def take_up(self) -> None:
        """The state of the checkpoint, if there is one."""
        if (found := checkpoint.load(self.out)) is None:
            return
        arrays, facts = found
        self._check_same(facts)
        adam = self.state.adam._replace(
            count=jnp.asarray(arrays["steps"]),
            mu=jnp.asarray(arrays["first_moments"]),
            nu=jnp.asarray(arrays["second_moments"]),
        )
        self.state, self.mask = State(jnp.asarray(arrays["weights"]), adam), arrays["mask"]
        self.done, self.best_epoch, self.history = facts["epoch"], facts["best_epoch"], facts["history"]
        self.best = {name: arrays[f"best_{name}"] for name in ("weights", "mask") if f"best_{name}" in arrays}

    def _check_same(self, facts: dict[str, Any]) -> None:
        if facts.get("samples") != self.identity["samples"]:
            raise TrainingError(f"{self.out} was trained on other samples: give the same data, or a new folder")
        here, there = (_flat(json.loads(json.dumps(s))) for s in (self.identity["settings"], facts["settings"]))
        for name in sorted(here.keys() | there.keys()):
            if here.get(name) != there.get(name) and name != "data":
                raise TrainingError(
                    f"{self.out} was begun with {name} {there.get(name)}, not {here.get(name)}: give the same options, "
                    "or a new folder"
                )


def _flat(facts: dict[str, Any]) -> dict[str, Any]:
    return {**{k: v for k, v in facts.items() if k != "choice"}, **facts.get("choice", {})}
