"""Spiking networks on events that can be trained, with the integers of chips without timesteps
(nsim.network.neurons.FixedIf).

Such a chip takes events one by one, and a neuron sends at most one spike for each. Training puts events together in
bins instead: in each a neuron adds what arrives and sends as many spikes as its threshold fits into its state, which
keeps the rest (the multi-spike neuron of sinabs). So weights and thresholds are those of the chip, and what it sends is
near to what was trained, not equal to it: a spike that comes early is not taken back by what follows in its bin.
Source of the neuron: sinabs, IAF with MultiSpike and MembraneSubtract; gradients are straight-through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from nsim.errors import TrainingError
from nsim.machine.events import build_stream_machine
from nsim.mapping.events.mapping import StreamMapping
from nsim.network.inputs import EventStream
from nsim.network.synapses import Box, Shape
from nsim.training.data.pictures import FULL_SCALE
from nsim.training.sparsity.export import write_groups
from nsim.training.sparsity.networks import (
    Connect,
    Convolve,
    Parameters,
    Passed,
    Stage,
    convolved_size,
    rounded,
    weight_shapes,
    weighted,
)
from nsim.training.sparsity.regularisers import Fanout

WEIGHT_BITS = 8
LARGEST_WEIGHT, LARGEST_THRESHOLD, LOWEST_STATE = 127, 2**15 - 1, -(2**15)
HALF = 0.5  # of a unit of integer states: changes no floor, but keeps compiled divisions off its edges
THRESHOLD = 0.25  # real; assumed: with it, weights are as large as an optimiser's usual steps expect
SPIKES_AT_START = 2.0  # of the neurons that spike most: a tenth of those that spike at all, before training


@dataclass(frozen=True)
class Sense(Convolve):
    """A convolution padded by half its kernel, behind sum pooling in windows of pool x pool."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    pool: int = 1


SPECK_CNN: tuple[Stage, ...] = (Sense(8, (2, 2)), Sense(16, pool=2), Sense(32), Connect(10))


@dataclass(frozen=True)
class SpikingArchitecture:
    """What does not change in training.

    input    shape (C, H, W) of the sensor
    bins     that the events of a sample are put into
    stages   of all layers but the input; the spikes of the last are counted
    """

    input: Shape
    bins: int = 4
    stages: tuple[Stage, ...] = SPECK_CNN

    def __post_init__(self) -> None:
        if self.bins < 1:
            raise TrainingError(f"events are put into {self.bins} bins: give at least 1")
        if min(min(shape) for shape in self.shapes) < 1:
            raise TrainingError(f"a sensor of {self.input[1]}x{self.input[2]} is too small for these layers")

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Of all layers, the input first."""
        shapes = [self.input]
        for stage in self.stages:
            if isinstance(stage, Connect):
                shapes.append((stage.neurons, 1, 1))
                continue
            pool = stage.pool if isinstance(stage, Sense) else 1
            pooled = shapes[-1][0], shapes[-1][1] // pool, shapes[-1][2] // pool
            shapes.append((stage.channels, *convolved_size(stage, pooled)))
        return tuple(shapes)

    @property
    def weight_shapes(self) -> tuple[tuple[int, ...], ...]:
        return weight_shapes(self.stages, self.shapes)

    def forward(self, parameters: Parameters, masks: Sequence[jax.Array], frames: jax.Array) -> Passed:
        """Run events [samples, 1, bins x C, H, W], counts, through the network as it will be stored; see `forward`."""
        return forward(self, parameters, masks, frames)

    def constrained(self, parameters: Parameters) -> Parameters:
        """Parameters after a step: all real weights can be stored."""
        return parameters


def rate_coded(pixels: NDArray[np.uint8], rate: float, bins: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Pictures as events: each pixel sends Poisson distributed numbers, `rate` on average at full brightness.

    pixels    uint8[samples, 1, C, H, W], 0..64
    returns   uint8[samples, 1, bins x C, H, W], events of each pixel in each bin
    """
    if not 0 < rate < np.inf:
        raise TrainingError(f"pixels send {rate} events: give a positive number")
    samples, _, channels, rows, columns = pixels.shape
    mean = pixels.astype(np.float64) * (rate / FULL_SCALE / bins)
    events = rng.poisson(np.broadcast_to(mean, (samples, bins, channels, rows, columns)))
    return np.minimum(events, 255).astype(np.uint8).reshape(samples, 1, bins * channels, rows, columns)


def streams(made: SpikingArchitecture, events: NDArray[np.uint8], rng: np.random.Generator) -> Iterator[EventStream]:
    """Samples as streams: bin after bin, in random order within one, all at time 0: as fast as the chip takes them."""
    neurons = int(np.prod(made.input))
    for sample in events.reshape(len(events), made.bins, neurons):
        order = [rng.permutation(np.repeat(np.arange(neurons), counts)) for counts in sample]
        joined = np.concatenate(order).astype(np.int64)
        yield EventStream(np.zeros(joined.size, np.int64), joined, neurons)


def stored_weight(weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """8-bit integers, and the threshold in their units; the largest weight has the largest integer."""
    scale = jnp.maximum(jnp.abs(weight).max() / LARGEST_WEIGHT, THRESHOLD / LARGEST_THRESHOLD)
    scale = jax.lax.stop_gradient(scale)
    return rounded(weight / scale, 1.0), jnp.maximum(jnp.round(THRESHOLD / scale), 1)


def forward(made: SpikingArchitecture, parameters: Parameters, masks: Sequence[jax.Array], frames: jax.Array) -> Passed:
    """Run samples through the network; its outputs are the numbers of spikes of the last layer.

    frames   [samples, 1, bins x C, H, W]
    Integers of a forward pass are exact in float32 as long as no state reaches 2^23.
    """
    samples = len(frames)
    dtype = parameters[0]["weight"].dtype
    value = frames.astype(dtype).reshape(samples, made.bins, *made.input)
    flat = (samples, 1, -1)
    events = [value.sum(axis=1).reshape(flat)]
    for stage, shape, layer, mask in zip(made.stages, made.shapes[1:], parameters, masks, strict=True):
        weight, threshold = stored_weight(layer["weight"])
        sums = _sums(stage, weight * mask, value).reshape(samples, made.bins, *shape)
        value = _spikes(sums, threshold, rectified=stage is not made.stages[-1])
        events.append(value.sum(axis=1).reshape(flat))
    return Passed(events[-1], events[:-1], events[:-1], pipelined=True)


def _sums(stage: Stage, weight: jax.Array, value: jax.Array) -> jax.Array:
    """[samples x bins, ...] of weighted sums, pooled before."""
    if isinstance(stage, Sense) and stage.pool > 1:
        window = (1, 1, 1, stage.pool, stage.pool)
        value = jax.lax.reduce_window(value, 0.0, jax.lax.add, window, window, "VALID")
    return weighted(stage, weight, value)


def _spikes(sums: jax.Array, threshold: jax.Array, rectified: bool) -> jax.Array:
    """Numbers of spikes by bin; time is axis 1. Their slope is 1 / threshold, where the state is positive if rectified.

    The last layer's slope is everywhere, so that a class that never spikes can learn to.
    """
    state, spikes = jnp.zeros_like(sums[:, 0]), []
    for step in range(sums.shape[1]):
        state = jnp.maximum(state + sums[:, step], LOWEST_STATE)
        smooth = (jnp.maximum(state, 0) if rectified else state) / threshold
        whole = jnp.floor((jnp.maximum(state, 0) + HALF) / threshold)
        spikes.append(smooth + jax.lax.stop_gradient(whole - smooth))
        state = state - spikes[-1] * threshold
    return jnp.stack(spikes, axis=1)


def initial(made: SpikingArchitecture, events: NDArray[np.uint8], rng: np.random.Generator) -> Parameters:
    """Weights with which every layer spikes about as often; events as for `rate_coded`."""
    parameters: Parameters = []
    value = jnp.asarray(events, jnp.float32).reshape(len(events), made.bins, *made.input).sum(axis=1, keepdims=True)
    for stage, shape in zip(made.stages, made.weight_shapes, strict=True):
        weight = jnp.asarray(rng.normal(0, 1, shape), jnp.float32)
        total = np.asarray(_sums(stage, weight, value))
        most = float(np.percentile(total[total > 0], 90)) if (total > 0).any() else 1.0
        parameters.append({"weight": weight * (THRESHOLD * SPIKES_AT_START / most)})
        spikes = jnp.floor(jnp.maximum(total * (SPIKES_AT_START / most), 0))
        value = spikes.reshape(len(events), 1, *made.shapes[len(parameters)])
    return parameters


@dataclass(frozen=True, eq=False)
class StoredLayer:
    """A layer as integers: weight int64[out, in, ...], and its threshold."""

    weight: NDArray[np.int64]
    threshold: int


def stored(parameters: Parameters, masks: Sequence[jax.Array]) -> list[StoredLayer]:
    """The integers that `forward` computes with."""
    layers = []
    for layer, mask in zip(parameters, masks, strict=True):
        weight, threshold = stored_weight(jnp.asarray(layer["weight"]))
        layers.append(StoredLayer(np.asarray(weight * mask).round().astype(np.int64), int(threshold)))
    return layers


def write_spiking(path: Path, made: SpikingArchitecture, layers: Sequence[StoredLayer]) -> None:
    """Write a `.net` file in lava-dl's layout with neurons of type IF, which lava-dl does not know.

    NIR's IF neurons are real numbers, and they reset to zero.
    raises   OutputError
    """
    groups: list[dict[str, Any]] = [{"type": "input", "shape": np.array(made.input), "neuron": {"type": "IF"}}]
    for stage, shape, layer in zip(made.stages, made.shapes[1:], layers, strict=True):
        fields = {"weight": layer.weight, "weight_bits": WEIGHT_BITS}
        fields["neuron"] = {"type": "IF", "threshold": layer.threshold}
        if isinstance(stage, Convolve):
            geometry = {"stride": np.array(stage.stride), "padding": np.array(stage.padding)}
            pool = {"sum_pool": stage.pool} if isinstance(stage, Sense) else {}
            groups.append({"type": "conv", "shape": np.array(shape), **geometry, **pool, **fields})
        else:
            groups.append({"type": "dense", "shape": np.array([stage.neurons]), **fields})
    write_groups(path, groups)


def fanout_of(mapping: StreamMapping, work: bool = False) -> Fanout:
    """Synops, or picoseconds of work, that one spike of each neuron causes on each core that is used.

    Zero weights are skipped; the event takes its time nevertheless.
    """
    cores = np.array(sorted(mapping.by_core))
    costs = build_stream_machine(mapping).cores
    tables = []
    for layer in mapping.network.layers:
        table = np.zeros((layer.neurons, cores.size), np.float32)
        for connection in mapping.network.outgoing(layer.name):
            core = next(each.core for each in mapping.layers if each.name == connection.target)
            whole = Box.whole(connection.synapses.target_shape)
            synops = connection.synapses.fan_out(whole, stored=True)
            sent = connection.synapses.fan_out(whole) > 0
            time_ps = np.where(sent, costs["event_ps"][core] + synops * costs["synop_ps"][core], 0)
            table[:, np.searchsorted(cores, core)] += time_ps if work else synops
        tables.append(table)
    return Fanout(tuple(tables[:-1]))
