"""One training: minimise loss + strength x regulariser, weights rounded in the loop, small ones pruned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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
from nsim.training.sparsity.pruning import UPDATES_PER_EPOCH, CoreRows, core_masks, magnitude_masks, scheduled
from nsim.training.sparsity.regularisers import Cost, Fanout, batch_cost, penalty

LEARNING_RATE = 1e-3
BATCH = 128
VIDEO_BATCH = 16  # samples of several frames
MESSAGE_SCALE_BITS = 18  # what the last layer holds is real x 2^18
Masks = list[jax.Array]


class Trainable(Protocol):
    """What `fit` asks of a network."""

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
    """regulariser None: none. sparsity: share of weights pruned in the end."""

    regulariser: str | None = None
    strength: float = 0.0
    sparsity: float = 0.0
    structure: str = "weights"
    epochs: int = 5


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
) -> tuple[Parameters, Masks]:
    """Train from these parameters on; returns what was found, and which weights are kept.

    fanout, rows  of the mapping; needed by the regularisers that count synops, and by pruning by core
    raises        TrainingError if the loss is not a number any more
    """
    batch = min(len(data), BATCH if data.inputs.shape[1] == 1 else VIDEO_BATCH)
    per_epoch = len(data) // batch
    steps = per_epoch * recipe.epochs
    optimiser = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))
    # a fresh function for every training, since the regulariser is part of what is compiled
    update = jax.jit(partial(_update, made, optimiser, classes, recipe))
    tables, references = _tables(fanout)
    parameters, state, masks = start, optimiser.init(start), ones(made)
    every = max(1, per_epoch // UPDATES_PER_EPOCH)
    for step in range(steps):
        if step % per_epoch == 0:
            order = rng.permutation(len(data))
        if recipe.sparsity and (step % every == 0 or step == steps - 1):
            masks = pruned(parameters, recipe, scheduled(recipe.sparsity, step, steps), rows)
        chosen = order[step % per_epoch * batch :][:batch]
        examples = data.inputs[chosen], data.targets[chosen]
        parameters, state, loss = update(parameters, state, masks, *examples, tables, references)
        if step % 20 == 0 or step == steps - 1:
            if not np.isfinite(float(loss)):
                raise TrainingError(
                    f"the loss is {float(loss)} after {step} steps of {recipe}: use a smaller regulariser strength"
                )
            if progress:
                progress(step + 1, steps)
    return parameters, masks


def pruned(parameters: Parameters, recipe: Recipe, sparsity: float, rows: CoreRows | None) -> Masks:
    """Masks that leave 1 - sparsity of the weights, or of the rows of every core."""
    weights = [np.asarray(layer["weight"]) for layer in parameters]
    if recipe.structure == "weights":
        return [jnp.asarray(mask) for mask in magnitude_masks(weights, 1 - sparsity)]
    if rows is None:
        raise TrainingError("pruning by core needs a mapping: give a chip and a partition")
    return [jnp.asarray(mask) for mask in core_masks(weights, rows, 1 - sparsity)]


def _tables(fanout: Fanout | None) -> tuple[list[jax.Array], jax.Array]:
    if fanout is None:
        return [], jnp.ones(2)
    return [jnp.asarray(t) for t in fanout.by_layer], jnp.array([fanout.total_synops, fanout.most_synops])


def _update(
    made: Trainable,
    optimiser: optax.GradientTransformation,
    classes: int | None,
    recipe: Recipe,
    parameters: Parameters,
    state: Any,
    masks: Masks,
    frames: jax.Array,
    targets: jax.Array,
    tables: Sequence[jax.Array],
    references: jax.Array,
) -> tuple[Parameters, Any, jax.Array]:
    """One step."""

    def objective(parameters: Parameters) -> jax.Array:
        passed = made.forward(parameters, masks, frames)
        loss = task_loss(passed.outputs, targets, classes)
        if recipe.regulariser and recipe.strength:
            loss = loss + recipe.strength * penalty(recipe.regulariser, passed, tables, references)
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


def score(outputs: NDArray, targets: NDArray, classes: int | None) -> float:
    """Points in percent: classes that are right, or explained variance (100 x (1 - mean square error / variance)).

    outputs   [samples, timesteps, outputs]; of a task of numbers as the last layer holds them, x 2^18
    """
    if classes is not None:
        return float(100 * (outputs[:, -1].argmax(axis=1) == targets).mean())
    error = ((outputs / (1 << MESSAGE_SCALE_BITS) - targets) ** 2).mean()
    return float(100 * (1 - error / targets.var()))


def exact_score(made: Exported, parameters: Parameters, masks: Masks, data: Split, classes: int | None) -> float:
    """Points of the network as it will be stored."""
    return score(made.exact_outputs(parameters, masks, data.inputs), data.targets, classes)


def measured_cost(made: Trainable, parameters: Parameters, masks: Masks, data: Split, fanout: Fanout) -> Cost:
    """Means over samples."""
    tables = [jnp.asarray(table) for table in fanout.by_layer]
    count = jax.jit(lambda frames: batch_cost(made.forward(parameters, masks, frames), tables))
    parts = [np.asarray(count(data.inputs[first : first + BATCH])) for first in range(0, len(data), BATCH)]
    return Cost(*np.concatenate(parts).astype(float).mean(axis=0).tolist())
