"""What arrives at the neurons of a layer if all messages of a frame are known at once, by matrix products.

Floating-point products of integers are exact as long as no sum of absolute products reaches 2^24 (float32) or 2^53
(float64); where that cannot be told, the sums are found message by message in integers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nsim.network.synapses import Convolution, Dense, Separable, Synapses

EXACT = ((np.float32, 1 << 24), (np.float64, 1 << 53))
Sums = Callable[[NDArray], NDArray]  # of one frame's values [sources] to the sums [targets]


def exact_sums(synapses: Synapses, most: int) -> Sums:
    """A function that gives the sums int64[targets] of values int64[sources], each from 0 to `most`."""
    exact = next((kind for kind, limit in EXACT if most * _largest_row(synapses) < limit), None)
    if exact is None or synapses.weights.dtype.kind != "i" or not is_matrix_product(synapses):
        return _by_message(synapses)
    sums = matrix_product(synapses, exact)
    return lambda values: sums(values).astype(np.int64)


def is_matrix_product(synapses: Synapses) -> bool:
    """Whether `matrix_product` can do it."""
    if isinstance(synapses, Convolution):
        return synapses.groups == 1 and synapses.pool == (1, 1)
    return isinstance(synapses, Dense)


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
        firing = np.flatnonzero(values)
        total = np.zeros(synapses.targets, np.int64)
        synapses.add(firing, values[firing], total)
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
