"""Who is connected to whom: the recurrent connectivity of one population of neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError


@dataclass(frozen=True, eq=False)
class Connectivity:
    """Directed connections between the neurons of one population, by source neuron; their weights do not matter.

    indptr   int64[neurons + 1]    neuron q reaches targets[indptr[q]:indptr[q + 1]]
    targets  int32[connections]    each at most once per source neuron
    raises   NetworkError if there is no neuron
    """

    name: str
    indptr: NDArray[np.int64]
    targets: NDArray[np.int32]

    def __post_init__(self) -> None:
        if self.neurons < 1:
            raise NetworkError(f"{self.name} has no neurons: give at least 1")

    @property
    def neurons(self) -> int:
        return self.indptr.size - 1

    @property
    def connections(self) -> int:
        return self.targets.size

    @property
    def sources(self) -> NDArray[np.int64]:
        """Source neuron of every connection."""
        return np.repeat(np.arange(self.neurons), np.diff(self.indptr))

    @staticmethod
    def from_matrix(matrix: NDArray[Any], name: str) -> Connectivity:
        """The entries of matrix[source, target] that are not 0.

        raises   NetworkError if it is not a square of finite numbers
        """
        matrix = np.asarray(matrix)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            shape = " x ".join(map(str, matrix.shape)) or "a single number"
            raise NetworkError(f"{name} is {shape}: give a square matrix, rows source and columns target neurons")
        check_weights(matrix, name)
        source, target = np.nonzero(matrix)
        return Connectivity(name, pointers(source, matrix.shape[0]), target.astype(np.int32))

    @staticmethod
    def from_pairs(source: NDArray[Any], target: NDArray[Any], neurons: int, name: str) -> Connectivity:
        """From pairs of neurons in any order; a pair that occurs twice is one connection."""
        pairs = np.unique(source.astype(np.int64) * neurons + target)
        return Connectivity(name, pointers(pairs // neurons, neurons), (pairs % neurons).astype(np.int32))


def pointers(rows: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Where each row begins in a list that is sorted by row: int64[count + 1]."""
    indptr = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=count), out=indptr[1:])
    return indptr


def check_weights(weights: NDArray[Any], name: str) -> None:
    """Refuse what is no number or not finite."""
    if weights.dtype.kind not in "biuf":
        raise NetworkError(f"{name} has elements of type {weights.dtype}: give bool, integer or real floating numbers")
    if weights.dtype.kind == "f" and not np.isfinite(weights).all():
        bad = int(np.count_nonzero(~np.isfinite(weights)))
        raise NetworkError(f"{name} has {bad} weights that are NaN or infinite: train again or mend the file")
