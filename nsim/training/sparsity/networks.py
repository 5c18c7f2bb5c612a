"""Sigma-delta networks that can be trained, and their arithmetic: Loihi's integers, rounded straight-through.

A network is a chain of layers. Layer k sends in timestep t + k what frame t makes it send, so that the layers of a
frame are evaluated one after another here and side by side in the simulator. Real numbers stand for integers:
input x 64, weights x 64, messages x 2^12, sums x 2^18, thresholds and biases x 64 (see
nsim.network.neurons.FixedSigmaDelta). Biases are never above 0, or a layer would send before its input has come. The
last layer has none: it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from nsim.errors import TrainingError
from nsim.network.synapses import Shape
from nsim.training.sparsity.export import write_groups

SCALE = 64  # of weights, inputs, thresholds and biases in the file
MESSAGE_SCALE = 1 << 12
EVENT_WIDTH = 0.25  # assumed: width of the slope that stands for the step of a neuron that starts to send
Parameters = list[dict[str, Any]]


@dataclass(frozen=True)
class Convolve:
    """A layer of `channels` maps, kernel 3x3."""

    channels: int
    stride: tuple[int, int] = (2, 2)
    padding: tuple[int, int] = (0, 0)
    kernel: int = 3


@dataclass(frozen=True)
class Connect:
    """A fully connected layer."""

    neurons: int


Stage = Convolve | Connect
PILOTNET = (
    *(Convolve(24), Convolve(36), Convolve(64, (2, 1), (1, 0)), Convolve(64, (1, 1))),
    *(Connect(100), Connect(50), Connect(10)),
)  # lava-dl's training shape; the output layer comes with the task
HIDDEN: dict[str, tuple[Stage, ...]] = {
    "mlp": (Connect(256), Connect(128)),
    "cnn": (Convolve(16), Convolve(32), Connect(64)),
    "cnn-wide": (Convolve(32), Convolve(64), Connect(256)),
    "pilotnet": PILOTNET,
}


def convolved_size(stage: Convolve, shape: Shape) -> tuple[int, int]:
    """Rows and columns behind a convolution."""
    rows, columns = (
        (extent + 2 * pad - stage.kernel) // step + 1
        for extent, pad, step in zip(shape[1:], stage.padding, stage.stride, strict=True)
    )
    return rows, columns


def weight_shapes(stages: Sequence[Stage], shapes: Sequence[Shape]) -> tuple[tuple[int, ...], ...]:
    """(out, in, kH, kW) of convolutions, (out, in) of fully connected layers. shapes: of all layers, the input first"""
    return tuple(
        (stage.neurons, int(np.prod(shape)))
        if isinstance(stage, Connect)
        else (stage.channels, shape[0], stage.kernel, stage.kernel)
        for shape, stage in zip(shapes, stages, strict=False)
    )


@dataclass(frozen=True)
class Architecture:
    """What does not change in training.

    input        shape (C, H, W) of a frame
    stages       of all layers but the input, the output layer last
    threshold    mantissa, of hidden layers: a change is sent from threshold / 64 on; 0.1 in lava-dl's PilotNet SDNN
    weight_bits  of a stored weight, sign included
    """

    input: Shape
    stages: tuple[Stage, ...]
    threshold: int = 6
    weight_bits: int = 8
    suffix: ClassVar[str] = ".net"
    agreement: ClassVar[float] = 0.0

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Of all layers, the input first."""
        shapes = [self.input]
        for stage in self.stages:
            if isinstance(stage, Connect):
                shapes.append((stage.neurons, 1, 1))
                continue
            size = convolved_size(stage, shapes[-1])
            if min(size) < 1:
                raise TrainingError(
                    f"pictures of {self.input[1]}x{self.input[2]} are too small for {len(self.stages)} layers of this "
                    "network: use mlp, or larger pictures"
                )
            shapes.append((stage.channels, size[0], size[1]))
        return tuple(shapes)

    @property
    def weight_shapes(self) -> tuple[tuple[int, ...], ...]:
        """See `weight_shapes`."""
        return weight_shapes(self.stages, self.shapes)

    def initial(self, rng: np.random.Generator) -> Parameters:
        return initial(self, rng)

    def forward(self, parameters: Parameters, masks: Sequence[jax.Array], frames: jax.Array) -> Passed:
        return forward(self, parameters, masks, frames)

    def constrained(self, parameters: Parameters) -> Parameters:
        """Parameters after a step: biases are put back to at most 0."""
        return [layer | {"bias": jnp.minimum(layer["bias"], 0)} for layer in parameters]

    def exact_outputs(self, parameters: Parameters, masks: Sequence[jax.Array], frames: NDArray) -> NDArray[np.int64]:
        return exact_outputs(self, parameters, masks, frames)

    def observed(self, outputs: NDArray) -> NDArray:
        """What the host makes of what the output layer shows after every frame: it is read as it is."""
        return outputs

    def write(self, path: Path, parameters: Parameters, masks: Sequence[jax.Array]) -> None:
        """Write the file for `nsim run`. raises OutputError"""
        write_net(path, self, stored(self, parameters, masks))


def initial(made: Architecture, rng: np.random.Generator) -> Parameters:
    """Weights that keep the variance of rectified input; biases at 0. Both in real units."""
    parameters: Parameters = []
    for shape in made.weight_shapes:
        fan_in = int(np.prod(shape[1:]))
        weight = rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
        parameters.append({"weight": jnp.asarray(weight), "bias": jnp.zeros(shape[0], jnp.float32)})
    return parameters


def rounded(value: jax.Array, step: float | jax.Array, most: float | None = None) -> jax.Array:
    """To the nearest multiple of `step` up to +-most; the gradient passes as if it were not, but not beyond `most`."""
    kept = value if most is None else jnp.clip(value, -most, most)
    return kept + jax.lax.stop_gradient(jnp.round(kept / step) * step - kept)


def weight_step(weight_bits: int) -> float:
    """In real units: weights use the range of 8 bits in the file whatever their width."""
    return (1 << (8 - weight_bits)) / SCALE


def stored_weight(weight: jax.Array, weight_bits: int) -> jax.Array:
    step = weight_step(weight_bits)
    return rounded(weight, step, step * ((1 << (weight_bits - 1)) - 1))


def stored_bias(bias: jax.Array) -> jax.Array:
    return rounded(jnp.minimum(bias, 0), 1 / SCALE)


@dataclass(frozen=True)
class Passed:
    """What a pass over samples sends.

    outputs   [samples, timesteps, outputs], real units
    events    of every layer but the last, [samples, timesteps, neurons]: 1 where a message is sent; with a slope
    messages  likewise, their values
    pipelined whether all layers work at the same time, on frames one behind the other
    """

    outputs: jax.Array
    events: list[jax.Array]
    messages: list[jax.Array]
    pipelined: bool = False


Forward = Callable[[Parameters, Sequence[jax.Array], Any], Passed]


def forward(made: Architecture, parameters: Parameters, masks: Sequence[jax.Array], frames: jax.Array) -> Passed:
    """Run samples through the network as it will be stored.

    masks    1 where a weight is kept, by layer
    frames   [samples, timesteps, C, H, W], 0..64
    """
    dtype = parameters[0]["weight"].dtype
    pixels = frames.astype(dtype) / SCALE
    value = jnp.concatenate((pixels[:, :1], jnp.diff(pixels, axis=1)), axis=1)
    samples, timesteps = frames.shape[:2]
    flat = (samples, timesteps, -1)
    events, messages = [(value != 0).astype(dtype).reshape(flat)], [value.reshape(flat)]
    for stage, shape, layer, mask in zip(made.stages, made.shapes[1:], parameters, masks, strict=True):
        weight = stored_weight(layer["weight"], made.weight_bits) * mask
        sums = weighted(stage, weight, value).reshape(samples, timesteps, *shape)
        sigma = jnp.cumsum(sums, axis=1)
        if stage is made.stages[-1]:
            return Passed(sigma.reshape(flat), events, messages)
        bias = stored_bias(layer["bias"])[:, None, None]
        value, sent = _delta_encoded(jnp.maximum(sigma + bias, 0), made.threshold / SCALE)
        events.append(sent.reshape(flat))
        messages.append(value.reshape(flat))
    raise AssertionError("a network ends in a layer that is read")


def weighted(stage: Stage, weight: jax.Array, value: jax.Array) -> jax.Array:
    """[samples x timesteps, ...] of weighted sums."""
    joined = value.reshape(-1, *value.shape[2:])
    if isinstance(stage, Connect):
        return joined.reshape(len(joined), -1) @ weight.T
    padding = [(pad, pad) for pad in stage.padding]
    return jax.lax.conv_general_dilated(joined, weight, stage.stride, padding)


def _delta_encoded(activation: jax.Array, threshold: float) -> tuple[jax.Array, jax.Array]:
    """Changes that reach the threshold, rounded down to 2^-12 as sent, and where there are any. Time is axis 1.

    The value of an event is exact; its slope is that of a sigmoid of |change| - threshold, EVENT_WIDTH wide.
    """
    sent_so_far = jnp.zeros_like(activation[:, 0])
    messages, events = [], []
    for step in range(activation.shape[1]):
        change = activation[:, step] - sent_so_far
        send = jnp.where(jnp.abs(change) >= threshold, change, 0)
        sent_so_far = sent_so_far + send
        message = send + jax.lax.stop_gradient(jnp.floor(send * MESSAGE_SCALE) / MESSAGE_SCALE - send)
        slope = jax.nn.sigmoid((jnp.abs(change) - threshold) / EVENT_WIDTH)
        messages.append(message)
        events.append((message != 0).astype(slope.dtype) + slope - jax.lax.stop_gradient(slope))
    return jnp.stack(messages, axis=1), jnp.stack(events, axis=1)


@dataclass(frozen=True, eq=False)
class Stored:
    """A layer as integers, for the file: weight int64[out, in, ...], bias int64[out]."""

    weight: NDArray[np.int64]
    bias: NDArray[np.int64]


def stored(made: Architecture, parameters: Parameters, masks: Sequence[jax.Array]) -> list[Stored]:
    """The integers that `forward` computes with."""
    layers = []
    for layer, mask in zip(parameters, masks, strict=True):
        weight = stored_weight(layer["weight"], made.weight_bits) * mask
        integers = [np.asarray(jnp.round(x * SCALE)).astype(np.int64) for x in (weight, stored_bias(layer["bias"]))]
        layers.append(Stored(*integers))
    return layers


def exact_outputs(
    made: Architecture, parameters: Parameters, masks: Sequence[jax.Array], frames: NDArray, batch: int = 250
) -> NDArray[np.int64]:
    """What the last layer holds after every frame, int64[samples, timesteps, outputs], x 2^18.

    In double precision, which holds these integers exactly. Sums of a convolution that 24 bits do not hold would wrap
    on the chip and do not here: the check over the test set tells.
    """
    found = in_double_precision(made.forward, parameters, masks, frames, batch)
    return np.round(found * (SCALE * MESSAGE_SCALE)).astype(np.int64)


def in_double_precision(
    forward: Forward, parameters: Parameters, masks: Sequence[jax.Array], frames: NDArray, batch: int
) -> NDArray[np.float64]:
    """Outputs of `forward` for samples, so many at a time, with parameters, masks and all sums in float64."""
    run = _outputs(forward)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), (parameters, list(masks)))
        return np.concatenate([np.asarray(run(*wide, frames[k : k + batch])) for k in range(0, len(frames), batch)])


@lru_cache(maxsize=4)
def _outputs(forward: Forward) -> Callable[..., jax.Array]:
    """Compiled once for all parameters of a network: that takes longer than to run it."""
    return jax.jit(lambda parameters, masks, frames: forward(parameters, masks, frames).outputs)


def write_net(path: Path, made: Architecture, layers: Sequence[Stored]) -> None:
    """Write the integers of a network; `nsim.formats.netx` reads them back.

    raises  OutputError
    """
    groups: list[dict[str, Any]] = [
        {"type": "input", "shape": np.array(made.input), "neuron": _neuron(0, output=False)}
    ]
    for stage, shape, layer in zip(made.stages, made.shapes[1:], layers, strict=True):
        output = stage is made.stages[-1]
        fields = {"weight": layer.weight.astype(np.float32), "neuron": _neuron(made.threshold, output)}
        if not output:
            fields["bias"] = layer.bias.astype(np.float32)
        if isinstance(stage, Convolve):
            geometry = {"stride": np.array(stage.stride), "padding": np.array(stage.padding), "groups": 1}
            groups.append(
                {"type": "conv", "shape": np.array(shape), "dilation": np.array((1, 1)), **fields, **geometry}
            )
            continue
        if groups[-1]["type"] != "dense" and len(groups[-1]["shape"]) == 3:
            groups.append({"type": "flatten", "shape": np.array([layer.weight.shape[1]])})
        groups.append({"type": "dense", "shape": np.array([stage.neurons]), **fields})
    write_groups(path, groups)


def _neuron(threshold: int, output: bool) -> dict[str, Any]:
    return {"type": "SDNN", "vThMant": threshold, "sigma_output": output}
