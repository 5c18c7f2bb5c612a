"""Which weights are kept: the smallest go, by a schedule, spread over the layers by Erdos-Renyi kernels (ERK).

Sources: ERK, Evci et al. 2020, arXiv:1911.11134; cubic schedule, Zhu and Gupta 2017, arXiv:1710.01878; begin at 5 % and
end at 90 % of the steps, two updates per epoch: IntelLabs/SparseRNNs recipes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsim.errors import TrainingError
from nsim.mapping.cores.mapping import Mapping
from nsim.training.sparsity.options import STRUCTURES

BEGIN, END = 0.05, 0.9
UPDATES_PER_EPOCH = 2
INPUT_SAMPLES = 5000


def check_pruning(sparsity: float, structure: str, inputs: float = 1.0) -> None:
    if not 0 <= sparsity < 1:
        raise TrainingError(f"weight sparsity is {sparsity}: give a share of weights to prune, from 0 to below 1")
    if not 0 < inputs <= 1:
        raise TrainingError(f"inputs is {inputs}: give the share of the input's messages to keep, above 0 and up to 1")
    if structure not in STRUCTURES:
        raise TrainingError(f"no structure {structure!r} of pruning: choose from {', '.join(STRUCTURES)}")


def scheduled(sparsity: float, done: float) -> float:
    """Sparsity after a share of the steps: final (1 - (1 - progress)^3), 0 until 5 % and exactly final from 90 % on."""
    progress = min(1.0, max(0.0, (done - BEGIN) / (END - BEGIN)))
    return sparsity if done >= END else sparsity * (1 - (1 - progress) ** 3)


def inputs_kept(weight: NDArray, inputs: NDArray[np.uint8], share: float) -> NDArray[np.float32]:
    """1 for the inputs that say most for a message, together at most this share of all messages of the input.

    weight    [neurons, inputs] of a fully connected first layer
    inputs    uint8[samples, timesteps, ...]; a few thousand samples are looked at
    What an input says is the variance that it brings to the sums: (norm of its weights x its deviation)^2.
    """
    seen = inputs[:INPUT_SAMPLES].reshape(-1, weight.shape[1])
    rate = (seen != 0).mean(axis=0)
    worth = (np.linalg.norm(weight, axis=0) * seen.std(axis=0)) ** 2 / np.maximum(rate, 1e-3)
    order = np.argsort(-worth, kind="stable")
    kept = np.zeros(len(worth), np.float32)
    kept[order[np.cumsum(rate[order]) <= share * rate.sum() + 1e-9]] = 1
    return kept


def erk_densities(shapes: Sequence[tuple[int, ...]], density: float) -> list[float]:
    """Density of every layer: in proportion to sum(shape) / prod(shape), at most 1, so that the whole has `density`.

    shapes   (out, in, ...) of weights
    """
    sizes = np.array([np.prod(shape) for shape in shapes], float)
    raw = np.array([sum(shape) / np.prod(shape) for shape in shapes])
    full = np.zeros(len(sizes), bool)
    budget = density * sizes.sum()
    while True:
        free = (raw * sizes)[~full].sum()
        scale = (budget - sizes[full].sum()) / free if free else 0.0
        over = ~full & (scale * raw > 1)
        if not over.any():
            return np.where(full, 1.0, scale * raw).tolist()
        full |= over


def magnitude_masks(weights: Sequence[NDArray], density: float) -> list[NDArray[np.float32]]:
    """1 for the largest weights of every layer, as many as ERK leaves it."""
    densities = erk_densities([weight.shape for weight in weights], density)
    return [_largest(np.abs(weight), share) for weight, share in zip(weights, densities, strict=True)]


def _largest(magnitude: NDArray, density: float) -> NDArray[np.float32]:
    kept = max(1, round(density * magnitude.size))
    mask = np.zeros(magnitude.size, np.float32)
    mask[np.argsort(-magnitude, axis=None, kind="stable")[:kept]] = 1
    return mask.reshape(magnitude.shape)


@dataclass(frozen=True, eq=False)
class CoreRows:
    """Rows of weights (neurons, or channels of a convolution) by the first core that holds a part of them, by layer."""

    core: tuple[NDArray[np.int64], ...]

    @staticmethod
    def of(mapping: Mapping) -> CoreRows:
        rows = []
        network = mapping.network
        first = 0
        for layer in network.layers:
            if layer.on_chip:
                held = mapping.core[first : first + layer.neurons].reshape(layer.shape[0], -1)
                rows.append(held.min(axis=1))
            first += layer.neurons
        return CoreRows(tuple(rows))


def core_masks(weights: Sequence[NDArray], rows: CoreRows, density: float) -> list[NDArray[np.float32]]:
    """Whole neurons or channels go, and every core loses the same share of its own: the weakest by norm of weights.

    At least one stays on every core, and the output layer stays whole. What is left of a neuron never sends.
    """
    masks = []
    for weight, core in zip(weights[:-1], rows.core[:-1], strict=True):
        norm = np.sqrt((weight.reshape(len(weight), -1) ** 2).sum(axis=1))
        kept = np.zeros(len(weight), np.float32)
        for number in np.unique(core):
            own = np.flatnonzero(core == number)
            most = max(1, round(density * own.size))
            kept[own[np.argsort(-norm[own], kind="stable")[:most]]] = 1
        masks.append(np.broadcast_to(kept.reshape(-1, *[1] * (weight.ndim - 1)), weight.shape).copy())
    return [*masks, np.ones(weights[-1].shape, np.float32)]
