"""Quantised networks for the tests of chips with frames, made layer by layer with the smallest fitting weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import QuantizedInput, QuantizedRelu
from nsim.network.pooling import Pool
from nsim.network.synapses import Convolution, Dense, Separable, Shape, Synapses, convolved_shape

Spec = dict[str, object]


def conv(filters: int, kernel: int = 3, stride: int = 1, bits: int = 4, pool: str | None = None) -> Spec:
    return {"kind": "conv", "filters": filters, "kernel": kernel, "stride": stride, "bits": bits, "pool": pool}


def separable(filters: int, kernel: int = 3, stride: int = 1, bits: int = 4, pool: str | None = None) -> Spec:
    return {"kind": "separable", "filters": filters, "kernel": kernel, "stride": stride, "bits": bits, "pool": pool}


def dense(units: int, bits: int = 4) -> Spec:
    return {"kind": "dense", "filters": units, "bits": bits}


def pool_of(name: str | None, shape: Shape) -> Pool | None:
    """ "max2", "max1" (2 x 2 with stride 2 or 1), "average", or None."""
    if name is None:
        return None
    if name == "average":
        return Pool.global_average(shape)
    stride = int(name.removeprefix("max"))
    return Pool("max", (2, 2), (stride, stride), shape)


def quantized_network(
    shape: Shape,
    specs: Sequence[Spec],
    input_bits: int = 4,
    activation_bits: int = 4,
    rng: np.random.Generator | None = None,
    sums_at_end: bool = False,
) -> Network:
    """Layers named l0, l1, ... behind an input (C, H, W); weights are 1, or drawn from their whole range."""
    layers = [Layer("input", shape, QuantizedInput(bits=input_bits), on_chip=False)]
    connections = []
    for number, spec in enumerate(specs):
        synapses = _synapses(spec, layers[-1].shape, rng)
        pool = pool_of(spec.get("pool"), synapses.target_shape)
        out = synapses.target_shape if pool is None else pool.pooled_shape
        last = number == len(specs) - 1
        neuron = QuantizedRelu(None) if last and sums_at_end else QuantizedRelu(activation_bits, 8)
        connections.append(Connection(layers[-1].name, f"l{number}", synapses, weight_bits=spec["bits"]))
        layers.append(Layer(f"l{number}", out, neuron, pool=pool))
    return Network("net", tuple(layers), tuple(connections), "input", layers[-1].name)


def _weights(rng: np.random.Generator | None, shape: tuple[int, ...], bits: int) -> np.ndarray:
    if rng is None:
        return np.ones(shape, np.int64)
    largest = max(1, (1 << (bits - 1)) - 1)
    return rng.integers(0 if bits == 1 else -largest, largest + 1, shape)


def _synapses(spec: Spec, source: Shape, rng: np.random.Generator | None) -> Synapses:
    filters, bits = spec["filters"], spec["bits"]
    if spec["kind"] == "dense":
        matrix = _weights(rng, (filters, int(np.prod(source))), bits)
        return Dense(matrix, source, (filters, 1, 1))
    k, step = spec["kernel"], (spec["stride"],) * 2
    pad = ((k - 1) // 2,) * 2
    if spec["kind"] == "separable":
        depthwise, pointwise = _weights(rng, (source[0], 1, k, k), bits), _weights(rng, (filters, source[0]), bits)
        return Separable.compose(depthwise, pointwise, source, step, pad)
    kernel = _weights(rng, (filters, source[0], k, k), bits)
    return Convolution(kernel, source, convolved_shape(source, kernel, step, pad, (1, 1)), step, pad)
