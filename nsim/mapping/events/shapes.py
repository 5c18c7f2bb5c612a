"""Connections as a core with one kernel and pooled input sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nsim.errors import MappingError
from nsim.network.layers import Connection
from nsim.network.synapses import Convolution, Dense


def as_convolution(connection: Connection, pools: Sequence[int]) -> Convolution:
    """The connection as a convolution; a fully connected one has a kernel as large as its input.

    A kernel that repeats every weight in windows is the kernel of the pooled input: network files say it that way.
    pools    windows to look for
    raises   MappingError for synapses that are neither
    """
    synapses = connection.synapses
    if isinstance(synapses, Dense):
        channels, rows, columns = synapses.source_shape
        targets, _, _ = synapses.target_shape
        if synapses.target_shape != (targets, 1, 1):
            raise MappingError(
                f"connection {connection.name} is fully connected to a layer of shape {synapses.target_shape}, which "
                "one kernel cannot do: give the layer the shape (neurons, 1, 1)"
            )
        kernel = synapses.matrix.reshape(targets, channels, rows, columns)
        synapses = Convolution(kernel, synapses.source_shape, synapses.target_shape)
    if not isinstance(synapses, Convolution):
        raise MappingError(
            f"connection {connection.name} is {synapses.kind}, but a core computes one convolution: use convolutions, "
            "sum pooling before them, and fully connected layers"
        )
    if synapses.pool != (1, 1):
        return synapses
    for pool in sorted(pools, reverse=True):
        if pool > 1 and (pooled := _pooled(synapses, pool)) is not None:
            return pooled
    return synapses


def _pooled(convolution: Convolution, pool: int) -> Convolution | None:
    """The same map as pooling by `pool` x `pool` followed by a smaller kernel, or None if it is not that."""
    full = convolution.kernel.shape[2:] == convolution.source_shape[1:] and convolution.padding == (0, 0)
    if convolution.dilation != (1, 1) or min(convolution.source_shape[1:]) < pool:
        return None
    if full:  # one output position: the stride does not matter
        convolution = replace(convolution, stride=(pool, pool))
    geometry = (*convolution.kernel.shape[2:], *convolution.stride, *convolution.padding)
    if not full and any(size % pool for size in (*geometry, *convolution.source_shape[1:])):
        return None
    kernel = _window_weights(convolution.kernel, pool)
    if kernel is None:
        return None
    stride, padding = ((pair[0] // pool, pair[1] // pool) for pair in (convolution.stride, convolution.padding))
    return replace(convolution, kernel=kernel, stride=stride, padding=padding, pool=(pool, pool))


def _window_weights(kernel: NDArray, pool: int) -> NDArray | None:
    """One weight per window if all weights of a window are equal and those beyond the last whole window are zero."""
    out, channels, rows, columns = kernel.shape
    whole_rows, whole_columns = rows // pool, columns // pool
    if kernel[:, :, whole_rows * pool :].any() or kernel[:, :, :, whole_columns * pool :].any():
        return None
    inner = kernel[:, :, : whole_rows * pool, : whole_columns * pool]
    windows = inner.reshape(out, channels, whole_rows, pool, whole_columns, pool)
    first = windows[:, :, :, :1, :, :1]
    return np.ascontiguousarray(first[:, :, :, 0, :, 0]) if (windows == first).all() else None
