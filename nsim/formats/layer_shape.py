"""Shapes of layers as files state them, checked before they take memory."""

from __future__ import annotations

import math

import numpy as np

from nsim.errors import NetworkError, available_bytes
from nsim.network.synapses import Shape


def layer_shape(where: str, shape) -> Shape:
    """(C, H, W) of NIR's shape: (n,) is (n, 1, 1), (C, N) is (C, 1, N); leading ones are a batch of one."""
    try:
        given = np.atleast_1d(shape).ravel()
        if given.dtype.kind not in "iuf":
            raise ValueError
        sizes = [int(size) for size in given]
        if any(size != exact for size, exact in zip(sizes, given, strict=True)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise NetworkError(f"{where} has no shape ({printed(shape)!r}): export the graph with shapes") from None
    while len(sizes) > 3 and sizes[0] == 1:
        sizes.pop(0)
    if len(sizes) > 3 or min(sizes, default=1) < 1:
        raise NetworkError(f"{where} has shape {printed(tuple(sizes))}: expected up to three positive sizes (C, H, W)")
    neurons, most = math.prod(sizes), min(2**31 - 1, available_bytes() // 64)
    if neurons > most:
        raise NetworkError(
            f"{where} has shape {printed(tuple(sizes))}, {printed(neurons)} elements, but {most} fit: make it smaller"
        )
    sizes[1:1] = [1] * (3 - len(sizes))
    channels, rows, columns = sizes
    return channels, rows, columns


def printed(value: object) -> str:
    """A value in an error: on one line, and short."""
    return " ".join(str(value).split())[:60]
