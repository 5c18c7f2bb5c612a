"""What is added to the loss so that a network does less: its law, and what it counts.

rate         sum over layers of relu(mean |message| - target)^2, the event-rate loss of lava-dl, target 0.01
synops       events x fan-out, over the synops if every neuron sent
max-synops   of the core that does most in a timestep, summed over timesteps, over the same if every neuron sent
max-work     the same in time: what receiving the messages takes, too
The last three count whole events; their slope is that of `networks.forward`. The maximum over the cores of a given
mapping is smooth.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from nsim.errors import TrainingError
from nsim.mapping.cores.mapping import Mapping
from nsim.network.activity import layer_offsets
from nsim.training.sparsity.networks import Passed
from nsim.training.sparsity.options import REGULARISERS

TARGET_RATE = 0.01  # lava-dl, PilotNet SDNN and YOLO-KP
ORDER = 16  # assumed, of the smooth maximum: of n cores it is at most n^(1/16) times too large, 1.33 times of 100


def check_regulariser(name: str) -> str:
    if name in REGULARISERS:
        return name
    near = difflib.get_close_matches(name, REGULARISERS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    raise TrainingError(f"no regulariser {name!r}: {hint}choose from {', '.join(REGULARISERS)}")


def excess_rate(messages: Sequence[jax.Array], target: float = TARGET_RATE) -> jax.Array:
    """Sum over layers of relu(mean |message| - target)^2."""
    return sum((jax.nn.relu(jnp.abs(m).mean() - target) ** 2 for m in messages), start=jnp.zeros(()))


def smooth_maximum(values: jax.Array, order: float = ORDER) -> jax.Array:
    """Norm of this order over the last axis, of values from 0 on: between max and max x n^(1 / order).

    A norm, because it looks at the busiest core just as sharply where all do little: the logarithm of a sum of
    exponentials becomes the mean over all cores, the sparser the network is.
    """
    most = jax.lax.stop_gradient(values.max(axis=-1))
    scale = jnp.where(most > 0, most, 1.0)
    powers = ((values / scale[..., None]) ** order).sum(axis=-1)
    return jnp.where(most > 0, scale * jnp.where(most > 0, powers, 1.0) ** (1 / order), 0.0)


@dataclass(frozen=True, eq=False)
class Fanout:
    """Synops, or time, that one message of each neuron causes on each core that is used, by sending layer.

    by_layer   float32[neurons, cores] each
    """

    by_layer: tuple[NDArray[np.float32], ...]

    @staticmethod
    def of(mapping: Mapping, cores: NDArray[np.int64] | None = None, costs: NDArray | None = None) -> Fanout:
        """Of the used cores, ascending; costs of each copy of a message instead of its synops."""
        network, copies = mapping.network, mapping.copies
        used = mapping.used_cores if cores is None else cores
        costs = copies.synops.sum(axis=1) if costs is None else costs
        offsets = layer_offsets(network)
        tables = []
        for layer, first in zip(network.layers[:-1], offsets, strict=False):
            table = np.zeros((layer.neurons, used.size), np.float32)
            begin, end = copies.indptr[first], copies.indptr[first + layer.neurons]
            owner = np.repeat(np.arange(layer.neurons), np.diff(copies.indptr[first : first + layer.neurons + 1]))
            np.add.at(table, (owner, np.searchsorted(used, copies.core[begin:end])), costs[begin:end])
            tables.append(table)
        return Fanout(tuple(tables))

    @property
    def total_synops(self) -> float:
        """If every neuron sent once."""
        return float(sum(table.sum() for table in self.by_layer))

    @property
    def most_synops(self) -> float:
        """Of the busiest core of every layer, summed: a frame's timesteps, if every neuron sent once."""
        return float(sum(table.sum(axis=0).max() for table in self.by_layer))


def core_synops(passed: Passed, tables: Sequence[jax.Array]) -> jax.Array:
    """Synops of every core in every timestep, [samples, timesteps + layers - 1, cores]; layer k is k timesteps late.

    [samples, frames, cores] if layers work at the same time.
    """
    events = passed.events
    if passed.pipelined:
        return sum((sent @ table for sent, table in zip(events[1:], tables[1:], strict=True)), events[0] @ tables[0])
    late = len(events) - 1
    parts = [
        jnp.pad(sent @ table, ((0, 0), (layer, late - layer), (0, 0)))
        for layer, (sent, table) in enumerate(zip(events, tables, strict=True))
    ]
    return sum(parts[1:], start=parts[0])


def penalty(name: str, passed: Passed, tables: Sequence[jax.Array], references: jax.Array) -> jax.Array:
    """The regulariser of a batch, means over samples and frames.

    tables       of a Fanout
    references   [2]: its total_synops and most_synops
    """
    if name == "rate":
        return excess_rate(passed.messages[1:])
    frames = passed.events[0].shape[1]
    work = core_synops(passed, tables)
    if name == "synops":
        return work.sum(axis=(1, 2)).mean() / (frames * references[0])
    return smooth_maximum(work / references[1]).sum(axis=1).mean() / frames


@dataclass(frozen=True)
class Cost:
    """What a network does for a sample, means over samples.

    events      messages of all layers, the input's among them
    synops      of all cores
    max_synops  of the busiest core of every timestep, summed over timesteps
    Of a Fanout in time the last two are times.
    """

    events: float
    synops: float
    max_synops: float

    def of(self, regulariser: str) -> float:
        """What this regulariser is there to lower; max-work needs a Fanout in time."""
        return {"rate": self.events, "synops": self.synops}.get(regulariser, self.max_synops)


def batch_cost(passed: Passed, tables: Sequence[jax.Array]) -> jax.Array:
    """Events, synops and max synops of every sample, [samples, 3]."""
    work = core_synops(passed, tables)
    events = sum((sent.sum(axis=(1, 2)) for sent in passed.events[1:]), start=passed.events[0].sum(axis=(1, 2)))
    return jnp.stack((events, work.sum(axis=(1, 2)), work.max(axis=2).sum(axis=1)), axis=1)
