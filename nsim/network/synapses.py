"""The synapses of one connection: dense, sparse or convolutional, and what each costs to store and read.

Every kind answers the same questions, which is all that evaluation and mapping need:
  add(...)               add the weights of firing neurons to the targets' sums
  fan_out(box, stored)   synops that one message of each source neuron causes inside a box of targets
  weights                all stored values, for validation and storage

A *box* is a block of a layer's neurons, (channels, rows, columns); layers without space have shape (n, 1, 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError
from nsim.network import kernels
from nsim.network.brief import Brief

Shape = tuple[int, int, int]


@dataclass(frozen=True, order=True)
class Box:
    """A block of neurons of one layer: half-open ranges of channels, rows (height) and columns (width)."""

    channels: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]

    @staticmethod
    def whole(shape: Shape) -> Box:
        return Box((0, shape[0]), (0, shape[1]), (0, shape[2]))

    @property
    def extent(self) -> Shape:
        (c0, c1), (r0, r1), (w0, w1) = self.channels, self.rows, self.columns
        return c1 - c0, r1 - r0, w1 - w0

    @property
    def neurons(self) -> int:
        c, h, w = self.extent
        return c * h * w

    def within(self, shape: Shape) -> Box:
        """What of the box is in a layer of this shape."""
        ends = zip((self.channels, self.rows, self.columns), shape, strict=True)
        return Box(*((min(low, extent), min(high, extent)) for (low, high), extent in ends))

    def indices(self, shape: Shape) -> NDArray[np.int64]:
        """Indices of the box's neurons in their layer, in the layer's row-major order (C, H, W)."""
        c, h, w = (np.arange(*r) for r in (self.channels, self.rows, self.columns))
        return ((c[:, None, None] * shape[1] + h[None, :, None]) * shape[2] + w).ravel()


class Synapses(Brief):
    """What the three kinds have in common. Shapes are those of the layers they join."""

    kind: str
    source_shape: Shape
    target_shape: Shape

    @property
    def sources(self) -> int:
        return int(prod(self.source_shape))

    @property
    def targets(self) -> int:
        return int(prod(self.target_shape))

    @property
    def weights(self) -> NDArray:
        """All stored weight values, in any order."""
        raise NotImplementedError

    def add(self, firing: NDArray[np.int64], values: NDArray, sums: NDArray) -> None:
        """Add value x weight of every firing source neuron to sums[targets], in place."""
        raise NotImplementedError

    def fan_out(self, box: Box, stored: bool = False) -> NDArray[np.int64]:
        """Synops that one message of each source neuron causes inside `box`: int64[sources].

        Zero weights count unless `stored` asks for the non-zero ones only.
        """
        raise NotImplementedError


@dataclass(frozen=True, eq=False, repr=False)
class Dense(Synapses):
    """All to all. matrix[targets, sources]: int or float."""

    matrix: NDArray
    source_shape: Shape
    target_shape: Shape
    kind = "dense"

    def __post_init__(self) -> None:
        if self.matrix.shape != (self.targets, self.sources):
            raise NetworkError(
                f"weights of shape {self.matrix.shape} do not join {self.sources} source neurons to {self.targets} "
                f"target neurons: expected ({self.targets}, {self.sources})"
            )

    @property
    def weights(self) -> NDArray:
        return self.matrix

    @cached_property
    def _rows(self) -> NDArray:
        """[sources, targets], whole numbers as narrow as they can be: less to read."""
        return np.ascontiguousarray(narrowed(self.matrix).T)

    def add(self, firing, values, sums):
        add = kernels.add_dense_narrow if self._rows.itemsize <= 2 else kernels.add_dense
        add(self._rows, firing, values, sums)

    def fan_out(self, box, stored=False):
        if not stored:
            return np.full(self.sources, box.neurons, np.int64)
        whole = box == Box.whole(self.target_shape)
        return np.count_nonzero(self.matrix if whole else self.matrix[box.indices(self.target_shape)], axis=0)


@dataclass(frozen=True, eq=False, repr=False)
class Sparse(Synapses):
    """Only the stored synapses, by source neuron (CSR).

    indptr        int64[sources + 1]   source s owns the synapses indptr[s]:indptr[s + 1]
    target_index  int32[synapses]      target neuron of each synapse
    values        [synapses]           weights, int or float
    """

    indptr: NDArray[np.int64]
    target_index: NDArray[np.int32]
    values: NDArray
    source_shape: Shape
    target_shape: Shape
    kind = "sparse"

    def __post_init__(self) -> None:
        fits = self.indptr.shape == (self.sources + 1,) and self.target_index.shape == self.values.shape
        if not fits or self.indptr[0] != 0 or self.indptr[-1] != self.values.size or (np.diff(self.indptr) < 0).any():
            raise NetworkError(
                f"sparse weights with {self.indptr.size - 1} rows and {self.values.size} values do not fit "
                f"{self.sources} source neurons: expected as many rows, and an indptr that ascends to the values"
            )
        if self.values.size and not 0 <= self.target_index.min() <= self.target_index.max() < self.targets:
            raise NetworkError(
                f"a sparse weight points outside the {self.targets} target neurons: give 0..{self.targets - 1}"
            )

    @staticmethod
    def from_matrix(matrix: NDArray, source_shape: Shape, target_shape: Shape) -> Sparse:
        """The non-zero entries of matrix[targets, sources]."""
        if matrix.shape != (int(np.prod(target_shape)), int(np.prod(source_shape))):
            raise NetworkError(
                f"weights of shape {matrix.shape} do not join layers of shapes {source_shape} and {target_shape}: "
                "expected (targets, sources)"
            )
        source, target = np.nonzero(matrix.T)
        indptr = np.zeros(matrix.shape[1] + 1, np.int64)
        np.cumsum(np.bincount(source, minlength=matrix.shape[1]), out=indptr[1:])
        return Sparse(indptr, target.astype(np.int32), matrix.T[source, target], source_shape, target_shape)

    @property
    def weights(self) -> NDArray:
        return self.values

    def add(self, firing, values, sums):
        kernels.add_sparse(self.indptr, self.target_index, self.values, firing, values, sums)

    @cached_property
    def _by_target(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.bool_]]:
        """The same synapses by target neuron (CSC): first synapse of each; source, and whether it is not zero."""
        order = np.argsort(self.target_index, kind="stable")
        source = np.repeat(np.arange(self.sources, dtype=np.int32), np.diff(self.indptr))[order]
        counts = np.bincount(self.target_index, minlength=self.targets)
        return np.concatenate(([0], np.cumsum(counts))), source, (self.values != 0)[order]

    def fan_out(self, box, stored=False):
        if box == Box.whole(self.target_shape):
            before = np.concatenate(([0], np.cumsum(self.values != 0)))[self.indptr] if stored else self.indptr
            return np.diff(before).astype(np.int64)
        indptr, source, nonzero = self._by_target
        inside = box.indices(self.target_shape)
        if inside.size and inside[-1] - inside[0] + 1 == inside.size:  # neurons in a row: so are their synapses
            synapses = slice(indptr[inside[0]], indptr[inside[-1] + 1])
            reached = source[synapses][nonzero[synapses]] if stored else source[synapses]
            return np.bincount(reached, minlength=self.sources)
        counts = indptr[inside + 1] - indptr[inside]
        ends = np.cumsum(counts)
        synapse = np.arange(counts.sum()) + np.repeat(indptr[inside] - (ends - counts), counts)
        reached = source[synapse][nonzero[synapse]] if stored else source[synapse]
        return np.bincount(reached, minlength=self.sources)


@dataclass(frozen=True, eq=False, repr=False)
class Convolution(Synapses):
    """A kernel shared over space: plain cross-correlation, zeros outside.

    kernel[out, in / groups, kH, kW];
    out[o, y, x] = sum over c, i, j of kernel[o, c, i, j] * in[c, y*sH - pH + i*dH, x*sW - pW + j*dW].

    pool   sum pooling of the source before the kernel, (rows, columns) of a window: `in` is then the pooled source, in
           which a message from (c, y, x) counts as one from (c, y // rows, x // columns). It gives messages another
           address and does not make them fewer. What lies beyond the last whole window reaches nothing.
    """

    kernel: NDArray
    source_shape: Shape
    target_shape: Shape
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    pool: tuple[int, int] = (1, 1)
    kind = "conv"

    def __post_init__(self) -> None:
        if self.kernel.ndim != 4 or min(self.groups, *self.stride, *self.dilation) < 1 or min(self.padding) < 0:
            raise NetworkError(
                f"a kernel of shape {self.kernel.shape} with stride {self.stride}, padding {self.padding}, dilation "
                f"{self.dilation} and {self.groups} groups is no convolution: expected 4 axes and positive numbers"
            )
        out, per_group = self.kernel.shape[:2]
        channels = self.source_shape[0]
        if channels != per_group * self.groups or out % self.groups:
            raise NetworkError(
                f"a kernel of shape {self.kernel.shape} with {self.groups} groups does not fit {channels} input "
                f"channels: expected {per_group * self.groups}"
            )
        if min(self.pool) < 1 or min(self.pooled_shape) < 1:
            raise NetworkError(
                f"pooling windows of {self.pool} do not fit a layer of {self.source_shape}: expected at least 1 row "
                f"and 1 column, and at most {self.source_shape[1]} and {self.source_shape[2]}"
            )
        expected = convolved_shape(self.pooled_shape, self.kernel, self.stride, self.padding, self.dilation)
        if expected != self.target_shape or min(expected) < 1:
            raise NetworkError(
                f"the convolution of {self.pooled_shape} with a kernel {self.kernel.shape} gives {expected}, "
                f"not the layer's {self.target_shape}"
            )

    @property
    def weights(self) -> NDArray:
        return self.kernel

    @property
    def pooled_shape(self) -> Shape:
        """The source as the kernel sees it."""
        channels, rows, columns = self.source_shape
        return channels, rows // self.pool[0], columns // self.pool[1]

    @cached_property
    def _geometry(self) -> tuple[NDArray, NDArray[np.uint64], NDArray[np.uint64], int, tuple[int, int]]:
        """What `kernels.add_convolution` needs to know: taps, runs of rows and of columns, groups, output size."""
        out, per_group, kh, kw = self.kernel.shape
        outputs, size = out // self.groups, self.target_shape[1:]
        by_group = narrowed(self.kernel).reshape(self.groups, outputs, per_group, kh, kw)
        taps = by_group.transpose(0, 2, 3, 4, 1).reshape(-1, kh, kw, outputs)
        (row_order, row_runs), (column_order, column_runs) = self._runs(0), self._runs(1)
        taps = np.ascontiguousarray(taps[:, row_order][:, :, column_order])
        row_runs *= np.array([kw * outputs, size[1] * outputs, 1], np.uint64)
        column_runs *= np.uint64(outputs)
        return taps, row_runs, column_runs, self.groups, size

    def _runs(self, axis: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """An order of the kernel's taps along an axis, and the runs of each source position in it.

        A message meets the kernel in reverse; with a stride, every stride-th tap. In the order here, the taps that it
        meets stand side by side.
        returns  int64[taps], and uint64[runs, positions, 3]: first tap in that order, first output, how many of both
        """
        stride, dilation = self.stride[axis], self.dilation[axis]
        order = np.array(sorted(range(self.kernel.shape[2 + axis]), key=lambda tap: (tap * dilation % stride, -tap)))
        outputs = self._outputs(axis)[:, order]
        outputs[outputs >= self.target_shape[1 + axis]] = -1
        runs: list[list[list[int]]] = [[] for _ in outputs]
        for position, tap in np.argwhere(outputs >= 0).tolist():
            output, found = int(outputs[position, tap]), runs[position]
            if found and (tap, output) == (found[-1][0] + found[-1][2], found[-1][1] + found[-1][2]):
                found[-1][2] += 1
            else:
                found.append([tap, output, 1])
        table = np.zeros((max(map(len, runs)), len(runs), 3), np.uint64)
        for position, found in enumerate(runs):
            table[: len(found), position] = np.reshape(found, (-1, 3))
        return order, table

    @cached_property
    def _largest_weight(self) -> float:
        return max(-float(self.kernel.min(initial=0)), float(self.kernel.max(initial=0)))

    def add(self, firing, values, sums):
        if sums.dtype.kind == "i":
            kernels.add_integer_convolution(*self._geometry, self._largest_weight, firing, values, sums)
        else:
            kernels.add_convolution(*self._geometry, firing, values, sums)

    @cached_property
    def _tap_outputs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self._outputs(0), self._outputs(1)

    def _outputs(self, axis: int) -> NDArray[np.int64]:
        """[source position, tap]: the output position to which this tap takes it, -1 where there is none.

        Positions go on beyond the layer, as far as there are source neurons.
        """
        stride, pooled = self.stride[axis], self.pooled_shape[1 + axis]
        position = np.arange(self.source_shape[1 + axis]) // self.pool[axis]
        taps = np.arange(self.kernel.shape[2 + axis])
        shifted = position[:, None] + self.padding[axis] - taps[None, :] * self.dilation[axis]
        output = shifted // stride
        inside = (shifted % stride == 0) & (output >= 0)
        return np.where(inside & (position < pooled)[:, None], output, -1)

    def reach(self, axis: int, low: int, high: int) -> NDArray[np.int64]:
        """[source position, tap]: 1 where this tap takes the position to an output position in low..high."""
        output = self._tap_outputs[axis]
        return ((output >= low) & (output < high)).astype(np.int64)

    def taps(self, box: Box) -> NDArray[np.int64]:
        """Kernel positions that one message of each source neuron visits inside `box`: int64[sources]."""
        rows = self.reach(0, *box.rows).sum(axis=1)
        columns = self.reach(1, *box.columns).sum(axis=1)
        per_channel = np.outer(rows, columns).ravel()
        return np.outer(self.channels_reached(box) > 0, per_channel).ravel()

    def kernel_rows(self, box: Box) -> int:
        """Kernel positions times input channels that reach the box: the rows of weights a core has to store."""
        return int(np.count_nonzero(self.channels_reached(box))) * self.kernel.shape[2] * self.kernel.shape[3]

    def channels_reached(self, box: Box) -> NDArray[np.int64]:
        """Output channels inside the box that each input channel connects to: int64[in channels]."""
        out, per_group = self.kernel.shape[:2]
        group = np.arange(self.source_shape[0]) // per_group
        first = group * (out // self.groups)
        low, high = box.channels
        return np.clip(np.minimum(first + out // self.groups, high) - np.maximum(first, low), 0, None)

    def fan_out(self, box, stored=False):
        rows, columns = self.reach(0, *box.rows), self.reach(1, *box.columns)
        out, per_group, kh, kw = self.kernel.shape
        if not stored:
            spatial = np.outer(rows.sum(axis=1), columns.sum(axis=1)).ravel()
            return np.outer(self.channels_reached(box), spatial).ravel()
        mask = np.zeros(out, bool)
        mask[slice(*box.channels)] = True
        nonzero = ((self.kernel != 0) & mask[:, None, None, None]).astype(np.int64)
        by_input = nonzero.reshape(self.groups, -1, per_group, kh, kw).sum(axis=1).reshape(-1, kh, kw)
        return np.einsum("cij,hi,wj->chw", by_input, rows, columns, optimize=True).ravel()


@dataclass(frozen=True, eq=False, repr=False)
class Separable(Convolution):
    """A depthwise convolution and a pointwise one behind it, nothing between them: evaluated as their composition.

    kernel     the composition, pointwise[o, c] * depthwise[c, 0, i, j]; made by `compose`
    depthwise  [in, 1, kH, kW]
    pointwise  [out, in]
    One message causes a synop at each depthwise tap that it reaches. The pointwise weights of its channel are applied
    once at every output position, a cost that the messages reaching the position share: taps / (kH * kW) each.
    """

    depthwise: NDArray = field(kw_only=True)
    pointwise: NDArray = field(kw_only=True)

    @staticmethod
    def compose(
        depthwise: NDArray,
        pointwise: NDArray,
        source_shape: Shape,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
    ) -> Separable:
        """From the two kernels; the target's shape follows."""
        if depthwise.ndim != 4 or pointwise.ndim != 2 or depthwise.shape[:2] != (pointwise.shape[1], 1):
            raise NetworkError(
                f"depthwise weights {depthwise.shape} and pointwise weights {pointwise.shape} make no separable "
                "convolution: expected (in, 1, rows, columns) and (out, in)"
            )
        kernel = _product(pointwise[:, :, None, None], depthwise[None, :, 0])
        target = convolved_shape(source_shape, kernel, stride, padding, (1, 1))
        return Separable(kernel, source_shape, target, stride, padding, depthwise=depthwise, pointwise=pointwise)

    @property
    def weights(self) -> NDArray:
        return np.concatenate((self.depthwise.ravel(), self.pointwise.ravel()))

    def fan_out(self, box, stored=False):
        channels, area = len(self.depthwise), self.depthwise[0, 0].size
        rows, columns = self.reach(0, *box.rows), self.reach(1, *box.columns)
        inside = self.pointwise[slice(*box.channels)]
        taps = np.outer(rows.sum(axis=1), columns.sum(axis=1))
        spatial = np.broadcast_to(taps, (channels, *taps.shape))
        rows_of_weights = np.full(channels, len(inside))
        if stored:
            spatial = np.einsum("cij,hi,wj->chw", (self.depthwise[:, 0] != 0).astype(np.int64), rows, columns)
            rows_of_weights = np.count_nonzero(inside, axis=0)
        pointwise = -(-(taps[None] * rows_of_weights[:, None, None]) // area)
        return (spatial * (len(inside) > 0) + pointwise).ravel()


def _product(first: NDArray, second: NDArray) -> NDArray:
    """Element by element; of small whole numbers in 16 bits, since compositions are large."""
    if first.dtype.kind == second.dtype.kind == "i" and int(np.abs(first).max()) * int(np.abs(second).max()) < 1 << 15:
        return first.astype(np.int16) * second.astype(np.int16)
    return first * second


def narrowed(weights: NDArray) -> NDArray:
    """Whole numbers in the narrowest type that holds them; others as they are."""
    if weights.dtype.kind != "i" or weights.size == 0:
        return weights
    low, high = int(weights.min()), int(weights.max())
    kinds = (np.int8, np.int16, np.int32)
    return weights.astype(next((k for k in kinds if np.iinfo(k).min <= low <= high <= np.iinfo(k).max), np.int64))


def convolved_shape(
    shape: Shape,
    kernel: NDArray,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Shape:
    """Output (C, H, W): floor((n + 2p - d(k - 1) - 1) / s) + 1 along each axis."""
    h, w = (
        (shape[1 + a] + 2 * padding[a] - dilation[a] * (kernel.shape[2 + a] - 1) - 1) // stride[a] + 1 for a in (0, 1)
    )
    return int(kernel.shape[0]), int(h), int(w)


def with_weights(synapses: Synapses, change: Callable[[NDArray], NDArray]) -> Synapses:
    """The same synapses with changed weights."""
    if isinstance(synapses, Dense):
        return replace(synapses, matrix=change(synapses.matrix))
    if isinstance(synapses, Convolution):
        return replace(synapses, kernel=change(synapses.kernel))
    assert isinstance(synapses, Sparse)
    return replace(synapses, values=change(synapses.values))
