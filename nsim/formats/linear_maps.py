"""Linear maps between layers: composed exactly, applied to values, and turned into synapses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nsim.errors import NetworkError, available_bytes
from nsim.network.synapses import Convolution, Dense, Shape, Sparse, Synapses, convolved_shape

# A linear map, float64: identity, one factor per neuron [n], matrix[targets, sources], kernel or csr[targets, sources]
Form: TypeAlias = "NDArray | Convolution | sparse.csr_array | None"
Operand: TypeAlias = "NDArray | sparse.csr_array"


def compose(first: Form, second: Form) -> Form:
    """The map that applies `first`, then `second`: exact, and in the most compact form that can hold it.

    A matrix with anything gives a matrix; factors fold into matrices and, where uniform over space, into kernels; two
    convolutions of which one is depthwise (a pool) give one kernel where it is exact; the rest becomes csr.
    """
    if first is None or second is None:
        return second if first is None else first
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return _matrix_product(first, second)
    merged: Convolution | None = None
    if isinstance(first, Convolution) and isinstance(second, Convolution):
        merged = _merged_convolution(first, second)
    elif isinstance(first, Convolution) and isinstance(second, np.ndarray) and second.ndim == 1:
        merged = _scaled_outputs(first, second)
    elif isinstance(second, Convolution) and isinstance(first, np.ndarray) and first.ndim == 1:
        merged = _scaled_inputs(first, second)
    return _general_product(_operand(first), _operand(second)) if merged is None else merged


def applied(form: Form, values: NDArray) -> NDArray:
    """What a map makes of one value per source: float64[targets]."""
    if form is None:
        return values
    if isinstance(form, Convolution):
        result = np.zeros(form.targets)
        nonzero = np.flatnonzero(values)
        form.add(nonzero, values[nonzero], result)
        return result
    return form * values if form.ndim == 1 else form @ values


def synapses(form: Form, source: Shape, target: Shape) -> Synapses:
    """The composed map as synapses with float32 weights."""
    with np.errstate(over="ignore"):  # what overflows float32 the network refuses, by its connection
        if isinstance(form, np.ndarray) and form.ndim == 2:
            return Dense(np.ascontiguousarray(form, np.float32), source, target)
        if isinstance(form, Convolution) and (form.source_shape, form.target_shape) == (source, target):
            return replace(form, kernel=form.kernel.astype(np.float32))
        by_source = sparse.csc_array(_operand(np.ones(math.prod(source)) if form is None else form))
        if not isinstance(form, sparse.csr_array):  # whose zeros are synapses
            by_source.eliminate_zeros()
        by_source.sort_indices()
        indptr, targets = by_source.indptr.astype(np.int64), by_source.indices.astype(np.int32)
        return Sparse(indptr, targets, by_source.data.astype(np.float32), source, target)


def _matrix_product(first: NDArray, second: NDArray) -> NDArray:
    """Of matrices or factors, in float64."""
    if first.ndim == 1:
        return second * first
    return second[:, None] * first if second.ndim == 1 else second @ first


def _general_product(first: Operand, second: Operand) -> Operand:
    if isinstance(second, np.ndarray):
        return np.asarray((first.T @ second.T).T)  # scipy has no dense @ sparse that stays dense
    product = second @ first
    if isinstance(product, np.ndarray):
        return product
    found = sparse.csr_array(product)
    found.eliminate_zeros()
    return found


def _operand(form: NDArray | Convolution | sparse.csr_array) -> Operand:
    """A form as a matrix."""
    if isinstance(form, Convolution):
        return convolution_matrix(form)
    if isinstance(form, np.ndarray) and form.ndim == 1:
        return sparse.csr_array(sparse.diags_array(form))
    return form


def _one_per_channel(factors: NDArray, shape: Shape) -> NDArray | None:
    by_channel = factors.reshape(shape[0], -1)
    return by_channel[:, 0] if (by_channel == by_channel[:, :1]).all() else None


def _scaled_outputs(convolution: Convolution, factors: NDArray) -> Convolution | None:
    channels = _one_per_channel(factors, convolution.target_shape)
    if channels is None:
        return None
    return replace(convolution, kernel=convolution.kernel * channels[:, None, None, None])


def _scaled_inputs(factors: NDArray, convolution: Convolution) -> Convolution | None:
    channels = _one_per_channel(factors, convolution.source_shape)
    if channels is None:
        return None
    return replace(convolution, kernel=convolution.kernel * channels[_input_channels(convolution)][:, :, None, None])


def _input_channels(convolution: Convolution) -> NDArray[np.int64]:
    """[out, in / groups]: which input channel each kernel slice takes."""
    out, per_group = convolution.kernel.shape[:2]
    group = np.arange(out) // (out // convolution.groups)
    return group[:, None] * per_group + np.arange(per_group)


def _is_depthwise(convolution: Convolution) -> bool:
    return convolution.groups == convolution.source_shape[0] == convolution.target_shape[0]


def _merged_convolution(first: Convolution, second: Convolution) -> Convolution | None:
    """One convolution that does both, or None where none is exact or neither is depthwise.

    Tap i of the first and j of the second read input y * s1 * s2 + i * d1 + j * d2 * s1 - (p1 + p2 * s1).
    """
    if not all(_merges_at_border(first, second, axis) for axis in (0, 1)):
        return None
    if _is_depthwise(first):
        by_channel = first.kernel[_input_channels(second), 0]  # [out, in / groups, kH, kW]
        taps, groups = np.einsum("ocij,ockl->ocikjl", second.kernel, by_channel), second.groups
    elif _is_depthwise(second):
        taps, groups = np.einsum("oij,ockl->ocikjl", second.kernel[:, 0], first.kernel), first.groups
    else:
        return None
    rows, columns = (
        np.add.outer(
            np.arange(second.kernel.shape[2 + axis]) * second.dilation[axis] * first.stride[axis],
            np.arange(first.kernel.shape[2 + axis]) * first.dilation[axis],
        )
        for axis in (0, 1)
    )
    size = (*taps.shape[:2], int(rows.max()) + 1, int(columns.max()) + 1)
    if math.prod(size) * 64 > available_bytes():  # far-dilated taps
        return None
    kernel = np.zeros(size)
    spread = kernel.transpose(2, 3, 0, 1)  # taps of overlapping windows fall on one place and add up
    np.add.at(spread, (rows[:, :, None, None], columns), taps.transpose(2, 3, 4, 5, 0, 1))
    stride = first.stride[0] * second.stride[0], first.stride[1] * second.stride[1]
    padding = (
        first.padding[0] + second.padding[0] * first.stride[0],
        first.padding[1] + second.padding[1] * first.stride[1],
    )
    if convolved_shape(first.source_shape, kernel, stride, padding, (1, 1)) != second.target_shape:
        return None
    return Convolution(kernel, first.source_shape, second.target_shape, stride, padding, (1, 1), groups)


def _merges_at_border(first: Convolution, second: Convolution, axis: int) -> bool:
    """Whether the zeros that the second pads with are what the first would compute beyond its last output.

    With a pool of kernel = stride and no padding: if the pooled size divides exactly.
    """
    stride, padding = first.stride[axis], first.padding[axis]
    reach = (first.kernel.shape[2 + axis] - 1) * first.dilation[axis]
    before_is_zero = reach < stride + padding
    after_is_zero = first.target_shape[1 + axis] * stride - padding >= first.source_shape[1 + axis]
    return second.padding[axis] == 0 or (before_is_zero and after_is_zero)


def convolution_matrix(convolution: Convolution) -> sparse.csr_array:
    """csr[targets, sources], float64, of a convolution. Raises NetworkError if memory cannot take it."""
    c = convolution
    out, per_group = c.kernel.shape[:2]
    channel_out, slot = np.divmod(np.arange(out * per_group), per_group)
    channel_in = _input_channels(c).ravel()
    (to_row, from_row, tap_row), (to_column, from_column, tap_column) = (_taps_inside(c, axis) for axis in (0, 1))
    entries = channel_out.size * to_row.size * to_column.size
    if entries * 64 > available_bytes():
        raise NetworkError(
            f"a convolution of {c.source_shape} to {c.target_shape} that no single kernel can express needs "
            f"{entries} separate weights, more than memory takes: put a neuron layer after it"
        )

    def flat(channel, row, column, shape):
        index = channel[:, None, None] * (shape[1] * shape[2]) + row[:, None] * shape[2] + column
        return index.ravel()

    values = c.kernel[channel_out[:, None, None], slot[:, None, None], tap_row[:, None], tap_column]
    targets = flat(channel_out, to_row, to_column, c.target_shape)
    sources = flat(channel_in, from_row, from_column, c.source_shape)
    return sparse.coo_array((values.ravel(), (targets, sources)), shape=(c.targets, c.sources)).tocsr()


def _taps_inside(c: Convolution, axis: int) -> tuple[NDArray, NDArray, NDArray]:
    """Target position, source position and tap, along one axis, wherever a tap falls on the input."""
    target, tap = np.indices((c.target_shape[1 + axis], c.kernel.shape[2 + axis])).reshape(2, -1)
    source = target * c.stride[axis] - c.padding[axis] + tap * c.dilation[axis]
    inside = (source >= 0) & (source < c.source_shape[1 + axis])
    return target[inside], source[inside], tap[inside]
