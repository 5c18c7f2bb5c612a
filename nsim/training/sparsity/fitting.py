"""One training: minimise loss + strength x regulariser, weights rounded in the loop, small ones pruned.

The strength rises from nothing over the first half of the steps, so that what is pruned early is not what was silenced
early. A teacher's outputs, at a temperature of 2, may stand for a share of the classes: Hinton et al. 2015,
arXiv:1503.02531.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from numpy.typing import NDArray

from nsim.errors import TrainingError
from nsim.training.data.pictures import Split
from nsim.training.sparsity.networks import Parameters, Passed
from nsim.training.sparsity.pruning import (
    UPDATES_PER_EPOCH,
    CoreRows,
    core_masks,
    inputs_kept,
    magnitude_masks,
    scheduled,
)
from nsim.training.sparsity.regularisers import Cost, Fanout, batch_cost, penalty

LEARNING_RATE = 1e-3
BATCH = 128
VIDEO_BATCH = 16  # samples of several frames
MESSAGE_SCALE_BITS = 18  # what the last layer holds is real x 2^18
TEMPERATURE = 2.0  # of a teacher's classes
RAMP = 0.5  # share of the steps after which the strength is whole
WATCHED = 2000  # validation samples that are looked at after every epoch
EVALUATED = 250  # samples at a time, where nothing is learned
Masks = list[jax.Array]
State = tuple[Parameters, Any, Masks]  # of a training: parameters, optimiser, masks


class Trainable(Protocol):
    """What `fit` asks of a network. Its step is compiled once for equal ones."""

    def __hash__(self) -> int: ...

    @property
    def weight_shapes(self) -> tuple[tuple[int, ...], ...]: ...

    def forward(self, parameters: Parameters, masks: Sequence[jax.Array], frames: jax.Array) -> Passed: ...

    def constrained(self, parameters: Parameters) -> Parameters: ...


class Exported(Trainable, Protocol):
    """What a front asks beyond that: a file, and outputs that the simulator has to give of it.

    suffix         of the file
    agreement      how far the simulator's outputs may be from `exact_outputs`, in units of the largest; 0: to the bit
    exact_outputs  what the host has after every frame, [samples, timesteps, outputs]; classes are those of the last
    observed       the same from what the output layer shows
    """

    suffix: ClassVar[str]
    agreement: ClassVar[float]

    def initial(self, rng: np.random.Generator) -> Parameters: ...

    def exact_outputs(self, parameters: Parameters, masks: Sequence[jax.Array], frames: NDArray) -> NDArray: ...

    def observed(self, outputs: NDArray) -> NDArray: ...

    def write(self, path: Path, parameters: Parameters, masks: Sequence[jax.Array]) -> None: ...


@dataclass(frozen=True)
class Recipe:
    """regulariser None: none.

    sparsity       share of weights pruned in the end
    inputs         share of the input's messages that the first layer, fully connected, still takes in the end
    distillation   share of a teacher's outputs in what is learned
    """

    regulariser: str | None = None
    strength: float = 0.0
    sparsity: float = 0.0
    structure: str = "weights"
    epochs: int = 5
    inputs: float = 1.0
    distillation: float = 0.0


@dataclass(frozen=True)
class Epoch:
    """One point of a learning curve: mean loss of the epoch, and points on the first validation samples after it."""

    number: int
    of: int
    loss: float
    points: float


class Watch(Protocol):
    """What looks on while a network is trained, and keeps what is needed to take it up again."""

    def taken_up(self, state: State, rng: np.random.Generator) -> tuple[int, State]:
        """Epochs done, and the state after them; sets the generator. The state given is that before the first."""
        ...

    def after(self, epoch: int, of: int, loss: float, state: State, rng: np.random.Generator) -> None: ...


def ones(made: Trainable) -> Masks:
    return [jnp.ones(shape, jnp.float32) for shape in made.weight_shapes]


def fit(
    made: Trainable,
    start: Parameters,
    data: Split,
    classes: int | None,
    recipe: Recipe,
    fanout: Fanout | None,
    rows: CoreRows | None,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
    taught: NDArray | None = None,
    watch: Watch | None = None,
) -> tuple[Parameters, Masks]:
    """Train from these parameters on; returns what was found, and which weights are kept.

    fanout, rows  of the mapping; needed by the regularisers that count synops, and by pruning by core
    taught        a teacher's outputs [samples, timesteps, outputs] for the training data, if any are distilled
    raises        TrainingError if the loss is not a number any more
    """
    if recipe.distillation and taught is None:
        raise TrainingError(f"distillation is {recipe.distillation}, but there is no teacher: give its outputs, or 0")
    batch = min(len(data), BATCH if data.inputs.shape[1] == 1 else VIDEO_BATCH)
    per_epoch = len(data) // batch
    steps = per_epoch * recipe.epochs
    regulariser = recipe.regulariser if recipe.strength else None
    optimiser, update = _compiled(made, classes, regulariser, recipe.distillation, steps)
    tables, references = _tables(fanout)
    parameters, state, masks = start, optimiser.init(start), ones(made)
    first = 0
    if watch:
        first, (parameters, state, masks) = watch.taken_up((parameters, state, masks), rng)
    every = max(1, per_epoch // UPDATES_PER_EPOCH)
    for epoch in range(first, recipe.epochs):
        order, losses = rng.permutation(len(data)), []
        for step in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            if _prunes(recipe) and (step % every == 0 or step == steps - 1):
                masks = pruned(parameters, recipe, step / steps, rows, data)
            chosen = order[step % per_epoch * batch :][:batch]
            teacher = None if taught is None else taught[chosen]
            examples = data.inputs[chosen], data.targets[chosen], teacher
            strength = recipe.strength * min(1.0, step / steps / RAMP)
            parameters, state, loss = update(parameters, state, masks, *examples, tables, references, strength)
            losses.append(loss)
            if step % 20 == 0 or step == steps - 1:
                _check_loss(float(loss), step, recipe)
                if progress:
                    progress(step + 1, steps)
        if watch:
            loss = float(np.mean(np.array(losses)))
            watch.after(epoch + 1, recipe.epochs, loss, (parameters, state, masks), rng)
    return parameters, masks


@lru_cache(maxsize=4)
def _compiled(
    made: Trainable, classes: int | None, regulariser: str | None, distillation: float, steps: int
) -> tuple[optax.GradientTransformation, Any]:
    """The optimiser and its step for all trainings that differ in strength alone: compiling takes seconds."""
    optimiser = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))
    return optimiser, jax.jit(partial(_update, made, optimiser, classes, regulariser, distillation))


def _check_loss(loss: float, step: int, recipe: Recipe) -> None:
    if not np.isfinite(loss):
        raise TrainingError(f"the loss is {loss} after {step} steps of {recipe}: use a smaller regulariser strength")


def _prunes(recipe: Recipe) -> bool:
    return recipe.sparsity > 0 or recipe.inputs < 1


def pruned(parameters: Parameters, recipe: Recipe, done: float, rows: CoreRows | None, data: Split) -> Masks:
    """Masks for a share `done` of all steps: of weights, or of the rows of every core; and of inputs no longer taken.

    data   tells which inputs say least
    """
    weights = [np.asarray(layer["weight"]) for layer in parameters]
    density = 1 - scheduled(recipe.sparsity, done)
    if recipe.inputs < 1:
        kept = inputs_kept(weights[0], data.inputs, 1 - scheduled(1 - recipe.inputs, done))
        weights[0] = weights[0] * kept
    if recipe.structure == "weights":
        masks = magnitude_masks(weights, density)
    elif rows is None:
        raise TrainingError("pruning by core needs a mapping: give a chip and a partition")
    else:
        masks = core_masks(weights, rows, density)
    if recipe.inputs < 1:
        masks[0] = masks[0] * kept
    return [jnp.asarray(mask) for mask in masks]


def _tables(fanout: Fanout | None) -> tuple[list[jax.Array], jax.Array]:
    if fanout is None:
        return [], jnp.ones(2)
    return [jnp.asarray(t) for t in fanout.by_layer], jnp.array([fanout.total_synops, fanout.most_synops])


def _update(
    made: Trainable,
    optimiser: optax.GradientTransformation,
    classes: int | None,
    regulariser: str | None,
    distillation: float,
    parameters: Parameters,
    state: Any,
    masks: Masks,
    frames: jax.Array,
    targets: jax.Array,
    taught: jax.Array | None,
    tables: Sequence[jax.Array],
    references: jax.Array,
    strength: float,
) -> tuple[Parameters, Any, jax.Array]:
    """One step."""

    def objective(parameters: Parameters) -> jax.Array:
        passed = made.forward(parameters, masks, frames)
        loss = task_loss(passed.outputs, targets, classes)
        if distillation:
            assert taught is not None
            loss = (1 - distillation) * loss + distillation * distilled(passed.outputs, taught, classes)
        if regulariser:
            loss = loss + strength * penalty(regulariser, passed, tables, references)
        return loss

    loss, slopes = jax.value_and_grad(objective)(parameters)
    changes, state = optimiser.update(slopes, state, parameters)
    moved: Any = optax.apply_updates(parameters, changes)
    return made.constrained(moved), state, loss


def task_loss(outputs: jax.Array, targets: jax.Array, classes: int | None) -> jax.Array:
    """Cross entropy of the classes after the last frame, or mean square error of all frames."""
    if classes is None:
        return ((outputs - targets) ** 2).mean()
    return optax.softmax_cross_entropy_with_integer_labels(outputs[:, -1], targets).mean()


def distilled(outputs: jax.Array, taught: jax.Array, classes: int | None) -> jax.Array:
    """Distance to a teacher's outputs; of classes the cross entropy at TEMPERATURE, times its square."""
    if classes is None:
        return ((outputs - taught) ** 2).mean()
    soft = jax.nn.softmax(taught[:, -1] / TEMPERATURE)
    return -(soft * jax.nn.log_softmax(outputs[:, -1] / TEMPERATURE)).sum(axis=-1).mean() * TEMPERATURE**2


def sample_points(outputs: NDArray, targets: NDArray, classes: int | None) -> NDArray[np.float64]:
    """Of every sample, so that the mean is the score: percent.

    outputs   [samples, timesteps, outputs]; of a task of numbers as the last layer holds them, x 2^18
    """
    if classes is not None:
        return 100.0 * (outputs[:, -1].argmax(axis=1) == targets)
    errors = (outputs / (1 << MESSAGE_SCALE_BITS) - targets) ** 2
    return 100 * (1 - errors.reshape(len(errors), -1).mean(axis=1) / targets.var())


def score(outputs: NDArray, targets: NDArray, classes: int | None) -> float:
    """Points in percent: classes that are right, or explained variance (100 x (1 - mean square error / variance))."""
    return float(sample_points(outputs, targets, classes).mean())


def runner(made: Trainable) -> Callable[[Parameters, Masks, NDArray], NDArray[np.float32]]:
    """A function that runs samples in single precision: [samples, timesteps, outputs], real units. Compiled once."""
    run = jax.jit(lambda parameters, masks, frames: made.forward(parameters, masks, frames).outputs)

    def outputs(parameters: Parameters, masks: Masks, inputs: NDArray) -> NDArray[np.float32]:
        parts = (inputs[first : first + EVALUATED] for first in range(0, len(inputs), EVALUATED))
        return np.concatenate([np.asarray(run(parameters, masks, part)) for part in parts])

    return outputs


def real_score(outputs: NDArray, data: Split, classes: int | None) -> float:
    """Points of outputs in real units, as a `runner` gives them."""
    return score(outputs * (1 if classes is not None else 1 << MESSAGE_SCALE_BITS), data.targets, classes)


def exact_points(
    made: Exported, parameters: Parameters, masks: Masks, data: Split, classes: int | None
) -> NDArray[np.float64]:
    """Points of every sample, of the network as it will be stored."""
    return sample_points(made.exact_outputs(parameters, masks, data.inputs), data.targets, classes)


def measured_cost(made: Trainable, parameters: Parameters, masks: Masks, data: Split, fanout: Fanout) -> Cost:
    """Means over samples."""
    tables, count = [jnp.asarray(table) for table in fanout.by_layer], _counter(made)
    frames = (data.inputs[first : first + BATCH] for first in range(0, len(data), BATCH))
    parts = [np.asarray(count(parameters, masks, each, tables)) for each in frames]
    return Cost(*np.concatenate(parts).astype(float).mean(axis=0).tolist())


@lru_cache(maxsize=4)
def _counter(made: Trainable) -> Callable[..., jax.Array]:
    return jax.jit(
        lambda parameters, masks, frames, tables: batch_cost(made.forward(parameters, masks, frames), tables)
    )
