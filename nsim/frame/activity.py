"""Which neurons send for each frame, evaluated from weights and images: all layers at once, without timesteps.

Sums are exact integers. They are found by matrix products in floating point, which are exact as long as no sum of
absolute products reaches 2^24 (float32) or 2^53 (float64); where that cannot be told, message by message in integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nsim import kernels
from nsim.activity import Activity, layer_offsets
from nsim.errors import InputError, NetworkError
from nsim.network import Connection, Layer, Network
from nsim.neurons import QuantizedInput, QuantizedRelu
from nsim.spikes import Frames
from nsim.synapses import Convolution, Dense, Separable, Synapses

EXACT = ((np.float32, 1 << 24), (np.float64, 1 << 53))
Sums = Callable[[NDArray], NDArray]  # of one frame's values [sources] to the sums [targets]


def evaluate_frames(network: Network, frames: Frames | NDArray) -> Iterator[Activity]:
    """The activity of each frame, one by one; a neuron that holds zero sends nothing.

    frames   [frames, ...] with the input layer's neurons in the other axes, whole numbers that fit its bits
    raises   InputError for frames that do not fit; NetworkError for a network that is not one row of quantised layers
    """
    evaluator = FrameEvaluator(network)
    for frame in _checked_frames(network, frames):
        yield evaluator.evaluate(frame)


class FrameEvaluator:
    """A quantised network, ready to be evaluated frame by frame."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.offsets = layer_offsets(network).tolist()
        self.layers = []
        most, source = _largest_input(network.by_name[network.input]), network.input
        for layer in network.layers[1:]:
            connection = _only_connection(network, layer, source)
            assert isinstance(layer.neuron, QuantizedRelu)
            self.layers.append((layer, exact_sums(connection.synapses, most), layer.neuron.start(layer.neurons)))
            most, source = (1 << (layer.neuron.bits or 0)) - 1, layer.name

    def evaluate(self, frame: NDArray) -> Activity:
        """One frame: int64[input neurons]."""
        values = frame
        firing = [np.flatnonzero(values)]
        for (layer, sums_of, state), offset in zip(self.layers, self.offsets[1:], strict=False):
            sums = sums_of(values)
            if layer.pool is not None:
                sums = layer.pool.reduced(sums)
            values = layer.neuron.update(state, sums[None], 1, None)
            firing.append(kernels.nonzero(values)[0] + offset)
        neurons = np.concatenate(firing)
        return Activity(np.array([0, neurons.size]), neurons, values[None])


def _largest_input(layer: Layer) -> int:
    if isinstance(layer.neuron, QuantizedInput):
        return (1 << layer.neuron.bits) - 1
    if getattr(layer.neuron, "binary", False):
        return 1
    raise NetworkError(
        f"input layer {layer.name!r} sends values of a {type(layer.neuron).__name__} without a width in bits: "
        "quantise the network"
    )


def _only_connection(network: Network, layer: Layer, source: str) -> Connection:
    incoming = network.incoming(layer.name)
    if [connection.source for connection in incoming] != [source] or not isinstance(layer.neuron, QuantizedRelu):
        raise NetworkError(
            f"layer {layer.name!r} is no quantised layer behind {source!r}: frames are evaluated for one row of "
            "quantised layers"
        )
    return incoming[0]


def _checked_frames(network: Network, frames: Frames | NDArray) -> Iterator[NDArray[np.int64]]:
    layer = network.by_name[network.input]
    array = np.asarray(frames.frames if isinstance(frames, Frames) else frames)
    if array.ndim < 2 or array.size != len(array) * layer.neurons or array.dtype.kind not in "biuf":
        raise InputError(
            f"frames of shape {array.shape} and type {array.dtype} do not fit input layer {layer.name!r} of network "
            f"{network.name!r}: give numbers, (frames, {', '.join(map(str, layer.shape))})"
        )
    rows = array.reshape(len(array), layer.neurons)
    count = frames.timesteps if isinstance(frames, Frames) else len(rows)
    most = _largest_input(layer)
    with np.errstate(invalid="ignore"):
        bad = ~((rows >= 0) & (rows <= most) & (rows == np.floor(rows)))
    if bad.any():
        raise InputError(
            f"frame {int(np.flatnonzero(bad.any(axis=1))[0])} holds {rows[bad][0]}, but input layer {layer.name!r} "
            f"takes whole numbers from 0 to {most}: scale and round the input"
        )
    return (rows[frame if len(rows) > 1 else 0].astype(np.int64) for frame in range(count))


# --- exact sums -----------------------------------------------------------------------------------------------


def exact_sums(synapses: Synapses, most: int) -> Sums:
    """A function that gives the sums int64[targets] of values int64[sources], each from 0 to `most`."""
    exact = next((kind for kind, limit in EXACT if most * _largest_row(synapses) < limit), None)
    if exact is None or synapses.weights.dtype.kind != "i" or not is_matrix_product(synapses):
        return _by_message(synapses)
    sums = matrix_product(synapses, exact)
    return lambda values: sums(values).astype(np.int64)


def is_matrix_product(synapses: Synapses) -> bool:
    """Whether `matrix_product` can do it."""
    return isinstance(synapses, Dense) or (isinstance(synapses, Convolution) and synapses.groups == 1)


def matrix_product(synapses: Synapses, kind: type) -> Sums:
    """A function that gives the sums, in this floating-point type, by matrix products."""
    if isinstance(synapses, Dense):
        matrix: NDArray = synapses.matrix.astype(kind)
        return lambda values: matrix @ values.astype(kind)
    assert isinstance(synapses, Convolution)
    return _separable(synapses, kind) if isinstance(synapses, Separable) else _convolution(synapses, kind)


def _largest_row(synapses: Synapses) -> int:
    """Largest sum of absolute weights into one target, or more."""
    if isinstance(synapses, Separable):
        inner = np.abs(synapses.depthwise).sum(axis=(1, 2, 3))
        return int((np.abs(synapses.pointwise) @ inner).max())
    weights = synapses.weights
    if isinstance(synapses, Dense | Convolution):
        return int(np.abs(weights.reshape(len(weights), -1)).sum(axis=1).max())
    return 0


def _by_message(synapses: Synapses) -> Sums:
    def sums(values: NDArray) -> NDArray:
        firing, sent = kernels.nonzero(values)
        total = np.zeros(synapses.targets, np.int64)
        synapses.add(firing, sent, total)
        return total

    return sums


def _padded(synapses: Convolution, values: NDArray, kind: type) -> NDArray:
    """Values [channels, rows, columns] with zeros around; as far below and right as the last window reaches."""
    channels, rows, columns = synapses.source_shape
    reach = [
        (size - 1) * stride + (taps - 1) * dilation + 1
        for size, stride, taps, dilation in zip(
            synapses.target_shape[1:], synapses.stride, synapses.kernel.shape[2:], synapses.dilation, strict=True
        )
    ]
    above, left = synapses.padding
    image = np.zeros((channels, max(reach[0], rows + above), max(reach[1], columns + left)), kind)
    image[:, above : above + rows, left : left + columns] = values.reshape(synapses.source_shape)
    return image[:, : reach[0], : reach[1]]


def _convolution(synapses: Convolution, kind: type) -> Sums:
    """One product of the kernel with all windows side by side."""
    matrix: NDArray = synapses.kernel.reshape(len(synapses.kernel), -1).astype(kind)
    reach = [(taps - 1) * d + 1 for taps, d in zip(synapses.kernel.shape[2:], synapses.dilation, strict=True)]

    def sums(values: NDArray) -> NDArray:
        windows = sliding_window_view(_padded(synapses, values, kind), reach, axis=(1, 2))
        windows = windows[:, :: synapses.stride[0], :: synapses.stride[1], :: synapses.dilation[0]]
        windows = windows[..., :: synapses.dilation[1]].transpose(0, 3, 4, 1, 2)
        return (matrix @ windows.reshape(matrix.shape[1], -1)).ravel()

    return sums


def _separable(synapses: Separable, kind: type) -> Sums:
    depthwise: NDArray = synapses.depthwise[:, 0].astype(kind)
    pointwise: NDArray = synapses.pointwise.astype(kind)
    (row_step, column_step), (_, rows, columns) = synapses.stride, synapses.target_shape

    def sums(values: NDArray) -> NDArray:
        image = _padded(synapses, values, kind)
        inner: NDArray = np.zeros((len(image), rows, columns), kind)
        for row in range(depthwise.shape[1]):
            for column in range(depthwise.shape[2]):
                shifted = image[
                    :, row : row + rows * row_step : row_step, column : column + columns * column_step : column_step
                ]
                inner += depthwise[:, row, column][:, None, None] * shifted
        return (pointwise @ inner.reshape(len(inner), -1)).ravel()

    return sums
