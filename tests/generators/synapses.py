"""Synapses one by one."""

import itertools

import numpy as np

from nsim.network.synapses import Dense, Sparse


def triples(synapses):
    """Every synapse one by one: (source neuron, target neuron, weight)."""
    if isinstance(synapses, Dense):
        for target, source in np.ndindex(synapses.matrix.shape):
            yield source, target, synapses.matrix[target, source]
    elif isinstance(synapses, Sparse):
        for source in range(synapses.sources):
            for place in range(synapses.indptr[source], synapses.indptr[source + 1]):
                yield source, int(synapses.target_index[place]), synapses.values[place]
    else:
        yield from ((source, target, weight) for source, target, weight, _ in taps_used(synapses))


def taps_used(convolution):
    """out[o, y, x] = sum of kernel[o, c, i, j] * in[c, y*sH - pH + i*dH, x*sW - pW + j*dW], zeros outside.

    Where the source is pooled, `in` is the sum over its windows: every neuron of a window has this synapse.
    """
    out, per_group, _, _ = convolution.kernel.shape
    channels, rows, columns = convolution.source_shape
    pool_rows, pool_columns = convolution.pool
    _, height, width = convolution.target_shape
    for (o, c, i, j), weight in np.ndenumerate(convolution.kernel):
        channel = o // (out // convolution.groups) * per_group + c
        assert channel < channels
        for y, x in itertools.product(range(height), range(width)):
            row = y * convolution.stride[0] - convolution.padding[0] + i * convolution.dilation[0]
            column = x * convolution.stride[1] - convolution.padding[1] + j * convolution.dilation[1]
            if not (0 <= row < rows // pool_rows and 0 <= column < columns // pool_columns):
                continue
            for k, m in itertools.product(range(pool_rows), range(pool_columns)):
                source = (channel * rows + row * pool_rows + k) * columns + column * pool_columns + m
                yield source, (o * height + y) * width + x, weight, (channel, i, j)
