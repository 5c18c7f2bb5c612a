"""From a network with real numbers to one that a chip with frames can hold: integers with one scale for each layer.

A real activation is scale x level, a real weight scale x integer, so a real sum is the product of both scales x an
integer sum. The rectifier's step is the output's scale in units of that; half of it is added for rounding. Scales of
weights are those with the least squared error, scales of activations follow from what sample inputs bring about.
Source: uniform quantisation with one scale per tensor, as in Krishnamoorthi 2018, arXiv:1806.08342, sections 2 and 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, NetworkError
from nsim.mapping.frames.stages import weight_range
from nsim.network.exact_sums import is_matrix_product, matrix_product
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, QuantizedInput, QuantizedRelu, Relay, Threshold
from nsim.network.pooling import Pool
from nsim.network.synapses import Convolution, Dense, Separable, Shape, Synapses, convolved_shape

FRACTION_BITS = 8  # of a step, so that its rounding moves a level by less than 1 / 256 of a sum's unit
CLIPS = np.linspace(0.4, 1.0, 25)  # shares of the largest weight that are tried as the end of the range
Bits = int | Mapping[str, int]


@dataclass(frozen=True, eq=False)
class RealLayer:
    """A layer of a network with real weights, as arrays.

    weights   kernel [out, in, rows, columns], matrix [out, in], or (depthwise [in, 1, rows, columns],
              pointwise [out, in]) of a separable convolution
    bias      [out], or None
    stride, padding   of a convolution; padding None: half the kernel
    pool      "max2" (2 x 2, stride 2), "average" (global), or None
    rectify   False for the last layer
    """

    name: str
    weights: NDArray | tuple[NDArray, NDArray]
    bias: NDArray | None = None
    stride: int = 1
    padding: int | None = None
    pool: str | None = None
    rectify: bool = True


def real_network(name: str, input_shape: Shape, layers: Sequence[RealLayer]) -> Network:
    """A network of these layers, one after another; `quantize` makes integers of it.

    raises   NetworkError if shapes do not fit
    """
    made = [Layer("input", input_shape, Relay(), on_chip=False)]
    connections = []
    for layer in layers:
        synapses = _synapses(layer, made[-1].shape)
        pool = _pool(layer, synapses.target_shape)
        shape = synapses.target_shape if pool is None else pool.pooled_shape
        bias: NDArray | float = 0.0
        if layer.bias is not None:
            if np.shape(layer.bias) != (shape[0],):
                raise NetworkError(
                    f"bias of layer {layer.name!r} has shape {np.shape(layer.bias)}: expected ({shape[0]},)"
                )
            bias = np.repeat(np.asarray(layer.bias, np.float32), shape[1] * shape[2])
        connections.append(Connection(made[-1].name, layer.name, synapses))
        made.append(Layer(layer.name, shape, Activation(layer.rectify, bias), pool=pool))
    return Network(name, tuple(made), tuple(connections), "input", made[-1].name)


def _synapses(layer: RealLayer, source: Shape) -> Synapses:
    step = (layer.stride, layer.stride)
    if isinstance(layer.weights, tuple):
        depthwise, pointwise = layer.weights
        return Separable.compose(depthwise, pointwise, source, step, _padding(layer, depthwise))
    if layer.weights.ndim == 2:
        return Dense(layer.weights, source, (len(layer.weights), 1, 1))
    if layer.weights.ndim != 4:
        raise NetworkError(
            f"weights of layer {layer.name!r} have shape {layer.weights.shape}: expected (out, in, rows, columns), "
            "(out, in), or a pair of arrays"
        )
    padding = _padding(layer, layer.weights)
    target = convolved_shape(source, layer.weights, step, padding, (1, 1))
    return Convolution(layer.weights, source, target, step, padding)


def _padding(layer: RealLayer, kernel: NDArray) -> tuple[int, int]:
    if layer.padding is not None:
        return layer.padding, layer.padding
    return (kernel.shape[-2] - 1) // 2, (kernel.shape[-1] - 1) // 2


def _pool(layer: RealLayer, shape: Shape) -> Pool | None:
    if layer.pool is None:
        return None
    if layer.pool == "max2":
        return Pool("max", (2, 2), (2, 2), shape)
    if layer.pool == "average":
        return Pool.global_average(shape)
    raise NetworkError(f"pool of layer {layer.name!r} is {layer.pool!r}: give max2, average or None")


def quantize(
    network: Network,
    samples: NDArray,
    *,
    weight_bits: Bits = 4,
    activation_bits: Bits = 4,
    input_bits: int = 8,
    first_weight_bits: int = 8,
    input_scale: float | None = None,
    percentile: float = 99.9,
) -> Network:
    """Integers for a network of real numbers: one row of layers with rectifiers or thresholds (such as from NIR).

    samples            [samples, ...] typical inputs in integers of `input_bits`, or in real numbers from 0 up
    weight_bits, activation_bits   for all layers, or by layer (others: 4)
    first_weight_bits  of the first layer, if it takes inputs of 8 bits
    input_scale        real value of one level of the input; None: 1 if samples are integers, else their largest value
                       is the largest level
    percentile         of the positive activations that the largest level stands for; beyond they saturate
    The result's outputs are integer sums; its last note says what they are to be multiplied with.
    raises   InputError for samples that are no such numbers; NetworkError for a network that cannot be quantised
    """
    check_quantisable(network)
    source = network.by_name[network.input]
    real = _checked_samples(samples, source, input_bits)
    scale = _input_scale(samples, real, input_bits, input_scale)
    if np.asarray(samples).dtype.kind in "iub":
        real = real * scale
    layers = [replace(source, neuron=QuantizedInput(bits=input_bits))]
    connections = []
    for layer in network.layers[1:]:
        (connection,) = network.incoming(layer.name)
        bits = _of(weight_bits, layer.name)
        if len(layers) == 1 and input_bits == 8:
            bits = first_weight_bits
        synapses, weight_scale = _quantized_weights(layer.name, connection.synapses, bits)
        real = _real_sums(connection.synapses, layer, real)
        neuron, scale, real = _quantized_neuron(
            layer,
            real,
            scale * weight_scale,
            _of(activation_bits, layer.name),
            percentile,
        )
        connections.append(replace(connection, synapses=synapses, weight_bits=bits))
        layers.append(replace(layer, neuron=neuron))
    note = f"quantised with {len(real)} samples: outputs times {scale:.6g} are the real ones"
    return Network(
        network.name, tuple(layers), tuple(connections), network.input, network.output, notes=(*network.notes, note)
    )


def input_levels(samples: NDArray, layer: Layer, bits: int = 8) -> NDArray[np.int64]:
    """Samples as the levels that `quantize` takes them for: integers as they are, real numbers by the largest of them.

    samples   [samples, ...]
    returns   int64[samples, neurons], 0 to 2^bits - 1
    """
    real = _checked_samples(samples, layer, bits)
    return np.rint(real / _input_scale(samples, real, bits, None)).astype(np.int64)


def _of(bits: Bits, layer: str) -> int:
    return bits if isinstance(bits, int) else bits.get(layer, 4)


def _checked_samples(samples: NDArray, layer: Layer, bits: int) -> NDArray[np.float64]:
    """[samples, neurons]"""
    array = np.asarray(samples)
    if array.ndim < 2 or len(array) == 0 or array[0].size != layer.neurons or array.dtype.kind not in "biuf":
        raise InputError(
            f"samples of shape {array.shape} and type {array.dtype} do not fit input layer {layer.name!r}: give "
            f"numbers, (samples, {', '.join(map(str, layer.shape))}), at least one sample"
        )
    real = array.reshape(len(array), -1).astype(np.float64)
    if not np.isfinite(real).all():
        bad = int(np.count_nonzero(~np.isfinite(real)))
        raise InputError(
            f"samples for quantisation hold {bad} values that are NaN or infinite: leave those samples out"
        )
    if real.min() < 0 or (array.dtype.kind != "f" and real.max() >= 1 << bits):
        raise InputError(
            f"samples for quantisation go from {real.min():g} to {real.max():g}, but the input is unsigned with {bits} "
            f"bits: shift them to start at 0, up to {(1 << bits) - 1} if they are integers"
        )
    return real


def _input_scale(samples: NDArray, real: NDArray, bits: int, given: float | None) -> float:
    if given is not None:
        if not 0 < given < math.inf:
            raise InputError(f"the scale of the input is {given}: give a positive number")
        return given
    if np.asarray(samples).dtype.kind != "f":
        return 1.0
    if real.max() == 0:
        raise InputError("samples for quantisation are all zero: give typical inputs")
    return float(real.max()) / ((1 << bits) - 1)


def check_quantisable(network: Network) -> None:
    """Raise NetworkError for a network that cannot be quantised, whatever the samples."""
    if several := network.several_ends():
        raise NetworkError(f"{several}: only one row of layers can be quantised, keep one of each")
    for before, layer in pairwise(network.layers):
        _check_layer(network, layer, before.name)


def _check_layer(network: Network, layer: Layer, source: str) -> None:
    incoming = network.incoming(layer.name)
    if [connection.source for connection in incoming] != [source]:
        raise NetworkError(
            f"layer {layer.name!r} takes input from {[c.source for c in incoming]}, expected [{source!r}]: only "
            "one row of layers can be quantised"
        )
    if not isinstance(layer.neuron, Activation | Threshold):
        raise NetworkError(
            f"layer {layer.name!r} has neurons of type {type(layer.neuron).__name__}: only rectifiers and thresholds "
            "can be quantised"
        )
    if not is_matrix_product(incoming[0].synapses):
        raise NetworkError(
            f"layer {layer.name!r} has {incoming[0].synapses.kind} weights, or groups: only dense matrices, "
            "convolutions without groups and separable ones can be quantised"
        )
    if isinstance(layer.neuron, Activation) and not layer.neuron.rectify and layer.name != network.output:
        raise NetworkError(f"layer {layer.name!r} has no rectifier, which only the last layer may lack: add one")
    _by_channel(layer, layer.neuron.bias)


def _quantized_weights(name: str, synapses: Synapses, bits: int) -> tuple[Synapses, float]:
    """The same synapses with integers, and the scale of a product of them."""
    if isinstance(synapses, Separable):
        depthwise, first = quantized(name, synapses.depthwise, bits)
        pointwise, second = quantized(name, synapses.pointwise, bits)
        separable = Separable.compose(depthwise, pointwise, synapses.source_shape, synapses.stride, synapses.padding)
        return separable, first * second
    if isinstance(synapses, Convolution):
        kernel, scale = quantized(name, synapses.kernel, bits)
        return replace(synapses, kernel=kernel), scale
    assert isinstance(synapses, Dense)
    matrix, scale = quantized(name, synapses.matrix, bits)
    return replace(synapses, matrix=matrix), scale


def quantized(name: str, weights: NDArray, bits: int) -> tuple[NDArray[np.int64], float]:
    """Integers and their scale with the least squared error of those tried."""
    low, high = weight_range(bits)
    largest = float(np.abs(weights).max(initial=0.0))
    if largest == 0:
        return np.zeros(weights.shape, np.int64), 1.0
    if bits == 1 and weights.min() < 0:
        raise NetworkError(f"layer {name!r} has negative weights, but 1-bit weights are 0 and 1: choose 2 bits or more")
    best: tuple[float, float] | None = None
    for scale in largest * CLIPS / high:
        error = float(np.square(np.clip(np.rint(weights / scale), low, high) * scale - weights).sum())
        if best is None or error < best[0]:
            best = error, float(scale)
    assert best is not None
    return np.clip(np.rint(weights / best[1]), low, high).astype(np.int64), best[1]


def _real_sums(synapses: Synapses, layer: Layer, real: NDArray) -> NDArray[np.float64]:
    """What arrives at the neurons, without bias: [samples, neurons]"""
    product = matrix_product(synapses, np.float64)
    sums = [product(sample) for sample in real]
    return np.array([total if layer.pool is None else layer.pool.reduced(total) for total in sums])


def _quantized_neuron(
    layer: Layer, sums: NDArray, sum_scale: float, bits: int, percentile: float
) -> tuple[QuantizedRelu, float, NDArray]:
    """The neuron, the real value of one level it sends, and the real activations: [samples, neurons]"""
    neuron = layer.neuron
    assert isinstance(neuron, Activation | Threshold)
    bias = _by_channel(layer, neuron.bias)
    total = sums + np.repeat(bias, sums.shape[1] // bias.size)
    if isinstance(neuron, Threshold):
        level = _by_channel(layer, neuron.threshold) - bias
        fires = sums > np.repeat(level, sums.shape[1] // level.size)
        return QuantizedRelu(1, 1, -np.floor(level / sum_scale).astype(np.int64)), 1.0, fires.astype(np.float64)
    if not neuron.rectify:
        return QuantizedRelu(None, bias=np.rint(bias / sum_scale).astype(np.int64)), sum_scale, total
    active = total[total > 0]
    if active.size == 0:
        raise NetworkError(
            f"layer {layer.name!r} sends nothing for any of the {len(sums)} samples, so it has no scale: give samples "
            "that reach it, or mend its weights"
        )
    scale = float(np.percentile(active, percentile)) / ((1 << bits) - 1)
    step = max(1, round(scale / sum_scale * (1 << FRACTION_BITS)))
    offset = np.rint(bias / sum_scale + scale / sum_scale / 2).astype(np.int64)
    return QuantizedRelu(bits, step, offset, FRACTION_BITS), scale, np.maximum(total, 0)


def _by_channel(layer: Layer, values: NDArray | float) -> NDArray[np.float64]:
    """A parameter as one number for all, or one for each channel; refused if it differs within a channel."""
    given = np.asarray(values, np.float64).ravel()
    if given.size == 1:
        return given
    spread = given.reshape(layer.shape[0], -1)
    if (spread != spread[:, :1]).any():
        raise NetworkError(
            f"layer {layer.name!r} has biases or thresholds that differ within a channel: make them one for each "
            "channel"
        )
    return spread[:, 0]
