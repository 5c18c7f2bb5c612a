"""Quantised networks that can be trained, in the arithmetic of chips with frames (nsim.network.neurons.QuantizedRelu).

Levels, weights, biases and steps are integers in the forward pass, straight-through in the backward pass. A real
weight is scale x integer with a scale that follows the weights; the step of a rectifier is trained (Esser et al. 2020,
Learned step size quantization, arXiv:1902.08153). A level is the floor of (sum + bias) / step, and zero is not sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from nsim.errors import TrainingError
from nsim.mapping.frames.mapping import FrameMapping
from nsim.network.frames_activity import FrameEvaluator
from nsim.network.layers import Network
from nsim.network.synapses import Shape
from nsim.training.data.pictures import FULL_SCALE
from nsim.training.sparsity.export import write_groups
from nsim.training.sparsity.networks import (
    EVENT_WIDTH,
    Connect,
    Convolve,
    Parameters,
    Passed,
    Stage,
    convolved_size,
    weight_shapes,
    weighted,
)
from nsim.training.sparsity.regularisers import Fanout

LARGEST_SD = 3.0  # assumed: a weight of so many standard deviations is the largest integer, larger ones are clipped
LARGEST_LEVEL_PERCENTILE = 99.9  # of the activations before training: what the largest level stands for at first
HALF = 0.5  # of a unit of integer sums: changes no floor, but keeps compiled divisions off its edges
INPUT_BITS, FIRST_WEIGHT_BITS = 8, 8  # of the input block


@dataclass(frozen=True)
class Filters(Convolve):
    """A convolution padded by half its kernel, and max pooling of 2 x 2 behind it."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    pooled: bool = False


AKIDA_CNN: tuple[Stage, ...] = (Filters(16, (2, 2)), Filters(32, pooled=True), Filters(64), Connect(10))


@dataclass(frozen=True)
class QuantizedArchitecture:
    """What does not change in training.

    input            shape (C, H, W) of a frame
    stages           of all layers but the input, the output layer last, which is read and has no rectifier
    weight_bits      of all layers but the first
    activation_bits  of hidden layers
    """

    input: Shape
    stages: tuple[Stage, ...] = AKIDA_CNN
    weight_bits: int = 4
    activation_bits: int = 4
    unpooled: tuple[Shape, ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.weight_bits not in (2, 4) or self.activation_bits not in (1, 2, 4):
            raise TrainingError(
                f"weights of {self.weight_bits} and activations of {self.activation_bits} bits: give 2 or 4, and 1, 2 "
                "or 4"
            )
        if not isinstance(self.stages[-1], Connect):
            raise TrainingError("a quantised network ends in a convolution: let a fully connected layer end it")
        shape, shapes = self.input, []
        for stage in self.stages:
            shapes.append(_sums_shape(stage, shape))
            shape = _pooled_shape(stage, shapes[-1])
        object.__setattr__(self, "unpooled", tuple(shapes))

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Of all layers, the input first."""
        pairs = zip(self.stages, self.unpooled, strict=True)
        return self.input, *(_pooled_shape(stage, shape) for stage, shape in pairs)

    @property
    def weight_shapes(self) -> tuple[tuple[int, ...], ...]:
        return weight_shapes(self.stages, self.shapes)

    @property
    def bits(self) -> tuple[int, ...]:
        """Of the weights, by layer."""
        return FIRST_WEIGHT_BITS, *[self.weight_bits] * (len(self.stages) - 1)

    @property
    def most(self) -> int:
        """The largest level."""
        return (1 << self.activation_bits) - 1

    def forward(self, parameters: Parameters, masks: Sequence[jax.Array], frames: jax.Array) -> Passed:
        """Run frames [samples, timesteps, C, H, W], 0..64, through the network as it will be stored; see `forward`."""
        return forward(self, parameters, masks, frames)

    def constrained(self, parameters: Parameters) -> Parameters:
        """Parameters after a step: all real numbers can be stored."""
        return parameters


def _sums_shape(stage: Stage, shape: Shape) -> Shape:
    if isinstance(stage, Connect):
        return stage.neurons, 1, 1
    size = convolved_size(stage, shape)
    if isinstance(stage, Filters) and stage.pooled and any(n % 2 for n in size):
        raise TrainingError(f"max pooling of {size[0]}x{size[1]} sums cuts a window off: give pictures of even size")
    return stage.channels, size[0], size[1]


def _pooled_shape(stage: Stage, shape: Shape) -> Shape:
    if isinstance(stage, Filters) and stage.pooled:
        return shape[0], shape[1] // 2, shape[2] // 2
    return shape


def _rounded(value: jax.Array) -> jax.Array:
    return value + jax.lax.stop_gradient(jnp.round(value) - value)


def stored_weight(weight: jax.Array, bits: int) -> tuple[jax.Array, jax.Array]:
    """Integers, symmetric around 0, and the real value of one."""
    largest = (1 << (bits - 1)) - 1
    scale = jax.lax.stop_gradient(LARGEST_SD * jnp.sqrt((weight**2).mean()) / largest)
    return _rounded(jnp.clip(weight / scale, -largest, largest)), scale


def stored_step(layer: dict[str, Any], unit: jax.Array) -> jax.Array:
    """Of a rectifier, in units of its sums: at least 1."""
    return _rounded(jnp.maximum(jnp.exp(layer["log_step"]) / unit, 1))


def stored_bias(layer: dict[str, Any], unit: jax.Array) -> jax.Array:
    return _rounded(layer["bias"] / unit)


def _sums(stage: Stage, weight: jax.Array, value: jax.Array) -> jax.Array:
    """[samples, channels, rows, columns], pooled."""
    sums = weighted(stage, weight, value[:, None])
    if isinstance(stage, Filters) and stage.pooled:
        window = (1, 1, 2, 2)
        return jax.lax.reduce_window(sums, -jnp.inf, jax.lax.max, window, window, "VALID")
    return sums if sums.ndim == 4 else sums[:, :, None, None]


def forward(
    made: QuantizedArchitecture, parameters: Parameters, masks: Sequence[jax.Array], frames: jax.Array
) -> Passed:
    """Run samples of one frame through the network.

    frames   [samples, 1, C, H, W], 0..64
    Its integers are exact in float32 as long as no sum reaches 2^23.
    """
    if frames.shape[1] != 1:
        raise TrainingError(f"samples have {frames.shape[1]} frames: chips with frames keep no state, give one")
    dtype = parameters[0]["weight"].dtype
    value, scale = frames[:, 0].astype(dtype), jnp.asarray(1 / FULL_SCALE, dtype)
    flat = (len(value), 1, -1)
    events, messages = [(value != 0).astype(dtype).reshape(flat)], [(value * scale).reshape(flat)]
    for stage, layer, mask, bits in zip(made.stages, parameters, masks, made.bits, strict=True):
        weight, weight_scale = stored_weight(layer["weight"], bits)
        unit = scale * weight_scale
        total = _sums(stage, weight * mask, value) + stored_bias(layer, unit)[:, None, None]
        if stage is made.stages[-1]:
            return Passed((total * unit).reshape(flat), events, messages, pipelined=True)
        step = stored_step(layer, unit)
        level = (total + HALF) / step
        kept = jnp.clip(level, 0, made.most)
        value = kept + jax.lax.stop_gradient(jnp.clip(jnp.floor(level), 0, made.most) - kept)
        scale = unit * step
        slope = jax.nn.sigmoid((level - 1) / EVENT_WIDTH)
        sent = (value > 0).astype(dtype) + slope - jax.lax.stop_gradient(slope)
        events.append(sent.reshape(flat))
        messages.append((value * scale).reshape(flat))
    raise AssertionError("a network ends in a layer that is read")


def initial(made: QuantizedArchitecture, samples: NDArray[np.uint8], rng: np.random.Generator) -> Parameters:
    """Weights that keep the variance of rectified input; steps so that the largest levels are rarely reached.

    samples   uint8[samples, 1, C, H, W]
    """
    parameters: Parameters = []
    for shape in made.weight_shapes:
        fan_in = int(np.prod(shape[1:]))
        weight = rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
        layer = {"weight": jnp.asarray(weight), "bias": jnp.zeros(shape[0], jnp.float32)}
        parameters.append(layer | {"log_step": jnp.zeros((), jnp.float32)})
    value = jnp.asarray(samples[:, 0], jnp.float32) / FULL_SCALE
    for stage, layer in zip(made.stages[:-1], parameters, strict=False):
        value = jnp.maximum(_sums(stage, layer["weight"], value), 0)
        active = np.asarray(value)[np.asarray(value) > 0]
        largest = np.percentile(active, LARGEST_LEVEL_PERCENTILE) if active.size else 1.0
        layer["log_step"] = jnp.asarray(np.log(largest / made.most), jnp.float32)
    return parameters


@dataclass(frozen=True, eq=False)
class StoredLayer:
    """A layer as integers: weight int64[out, in, ...] of so many bits, bias int64[out], step (0: not rectified)."""

    weight: NDArray[np.int64]
    bits: int
    bias: NDArray[np.int64]
    step: int


def stored(made: QuantizedArchitecture, parameters: Parameters, masks: Sequence[jax.Array]) -> list[StoredLayer]:
    """The integers that `forward` computes with."""
    scale, layers = jnp.asarray(1 / FULL_SCALE, jnp.float32), []
    for stage, layer, mask, bits in zip(made.stages, parameters, masks, made.bits, strict=True):
        weight, weight_scale = stored_weight(jnp.asarray(layer["weight"]), bits)
        unit = scale * weight_scale
        step = stored_step(layer, unit)
        integers = [np.asarray(x).round().astype(np.int64) for x in (weight * mask, stored_bias(layer, unit))]
        layers.append(StoredLayer(integers[0], bits, integers[1], 0 if stage is made.stages[-1] else int(step)))
        scale = unit * step
    return layers


def exact_outputs(
    made: QuantizedArchitecture, layers: Sequence[StoredLayer], frames: NDArray[np.uint8], batch: int = 250
) -> NDArray[np.int64]:
    """What the output layer sends for every frame, int64[samples, outputs], in double precision, which is exact."""

    def run(frames: jax.Array) -> jax.Array:
        value = frames[:, 0].astype(jnp.float64)
        for stage, layer in zip(made.stages, layers, strict=True):
            total = _sums(stage, jnp.asarray(layer.weight, jnp.float64), value) + layer.bias[:, None, None]
            value = jnp.clip(jnp.floor((total + HALF) / layer.step), 0, made.most) if layer.step else total
        return value.reshape(len(value), -1)

    with jax.enable_x64(True):
        compiled = jax.jit(run)
        parts = [np.asarray(compiled(frames[first : first + batch])) for first in range(0, len(frames), batch)]
    return np.round(np.concatenate(parts)).astype(np.int64)


def write_quantized(path: Path, made: QuantizedArchitecture, layers: Sequence[StoredLayer]) -> None:
    """Write a `.net` file in lava-dl's layout with neurons of type QUANTIZED, which lava-dl does not know.

    No format that is already read could say it: NIR has neither integers nor rectifiers nor max pooling.
    raises   OutputError
    """
    groups: list[dict[str, Any]] = [
        {"type": "input", "shape": np.array(made.input), "neuron": {"type": "QUANTIZED", "bits": INPUT_BITS}}
    ]
    for stage, shape, layer in zip(made.stages, made.shapes[1:], layers, strict=True):
        neuron = {"type": "QUANTIZED", "bits": made.activation_bits if layer.step else 0, "step": max(1, layer.step)}
        fields = {"weight": layer.weight, "weight_bits": layer.bits, "bias": layer.bias, "neuron": neuron}
        if isinstance(stage, Convolve):
            geometry = {"stride": np.array(stage.stride), "padding": np.array(stage.padding)}
            pool = {"max_pool": 2} if isinstance(stage, Filters) and stage.pooled else {}
            groups.append({"type": "conv", "shape": np.array(shape), **geometry, **pool, **fields})
        else:
            groups.append({"type": "dense", "shape": np.array([stage.neurons]), **fields})
    write_groups(path, groups)


def fanout_of(mapping: FrameMapping, work: bool = False) -> Fanout:
    """Synops, or clocks of work, that one message of each neuron causes on each processor.

    Clocks of work are what the time follows: a message costs some whatever its synops. The input block is left out.

    raises   TrainingError if the layers are not all on the chip at once
    """
    if len(mapping.sequences) > 1:
        raise TrainingError(
            f"the network takes {len(mapping.sequences)} hardware sequences on {mapping.chip.name}: its processors "
            "are not busy at the same time, use a smaller network"
        )
    sequence = mapping.sequences[0]
    costs = sequence.copies.service_ps / mapping.chip.ps(1) if work else None
    return Fanout.of(sequence, np.unique([part.core for part in sequence.parts]), costs)


def simulated_outputs(network: Network, frames: NDArray[np.uint8]) -> NDArray[np.int64]:
    """What the simulator's kernels make of frames: int64[samples, outputs]."""
    evaluator, found = FrameEvaluator(network), []
    for frame in frames.reshape(len(frames), -1).astype(np.int64):
        outputs = evaluator.evaluate(frame).outputs
        assert outputs is not None  # activity that is evaluated has them
        found.append(outputs[0])
    return np.array(found)
