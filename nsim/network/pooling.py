"""Pooling of a layer's sums before its neurons: largest or mean value of each window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError
from nsim.network.synapses import Shape


@dataclass(frozen=True)
class Pool:
    """Windows of one channel each, one at every stride; windows that reach over the last row or column are cut off.

    kind    "max", or "average", rounded down to an integer if the sums are integers; an average is over whole channels
    shape   (channels, rows, columns) of the sums that are pooled
    Sizes as the Akida 1.0 layers have them: 9 columns with stride 2 make 5, and stride 1 keeps all columns.
    """

    kind: str
    size: tuple[int, int]
    stride: tuple[int, int]
    shape: Shape

    def __post_init__(self) -> None:
        if self.kind not in ("max", "average"):
            raise NetworkError(f"a pool is of kind {self.kind!r}: give max or average")
        if min(*self.size, *self.stride) < 1 or any(k > n for k, n in zip(self.size, self.shape[1:], strict=True)):
            raise NetworkError(
                f"a pool of size {self.size} and stride {self.stride} does not fit sums of shape {self.shape}: give "
                f"sizes from 1 to {self.shape[1:]} and strides from 1"
            )

        if self.kind == "average" and not self.is_global:
            raise NetworkError(
                f"an average pool of size {self.size} does not cover its {self.shape[1:]} rows and columns: only "
                "global average pools are modelled"
            )

    @staticmethod
    def global_average(shape: Shape) -> Pool:
        """The mean of every channel."""
        return Pool("average", shape[1:], shape[1:], shape)

    @property
    def is_global(self) -> bool:
        return self.size == self.stride == self.shape[1:]

    @property
    def pooled_shape(self) -> Shape:
        rows, columns = (-(-n // stride) for n, stride in zip(self.shape[1:], self.stride, strict=True))
        return self.shape[0], rows, columns

    def reduced(self, sums: NDArray) -> NDArray:
        """[pooled neurons] of sums [neurons before the pool]."""
        blocks = sums.reshape(self.shape)
        if self.kind == "average":
            total, area = blocks.sum(axis=(1, 2)), self.size[0] * self.size[1]
            return total // area if total.dtype.kind == "i" else total / area
        largest = None
        for row in range(self.size[0]):
            for column in range(self.size[1]):
                part = self._every_stride(blocks, row, column)
                largest = part if largest is None else np.maximum(largest, part)
        assert largest is not None
        return largest.ravel()

    def _every_stride(self, blocks: NDArray, row: int, column: int) -> NDArray:
        """The value at this place of each window; where the window is cut off, the last one inside."""
        rows, columns = (
            np.minimum(np.arange(0, n, stride) + place, n - 1)
            for n, stride, place in zip(self.shape[1:], self.stride, (row, column), strict=True)
        )
        return blocks[:, rows[:, None], columns]
