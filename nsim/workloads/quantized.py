"""Quantised networks with seeded random weights, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nsim.frame.sums import exact_sums
from nsim.network import Connection, Layer, Network
from nsim.neurons import QuantizedInput, QuantizedRelu
from nsim.pool import Pool
from nsim.synapses import Convolution, Dense, Separable, Shape, Synapses, convolved_shape
from nsim.workloads.weights import random_integers

INPUT_BITS = 8
SAMPLE = 64  # most rows and columns of the random image that the steps of the rectifiers are taken from
Kind = TypeVar("Kind", Convolution, Separable)


class RandomQuantized:
    """A network in the making: an image with 8-bit values, then layers with 4-bit weights and activations.

    Each layer's step is such that on a random image the assumed share of its neurons sends.
    """

    def __init__(self, image: Shape, activity: float, rng: np.random.Generator, density: float, bits: int = 4) -> None:
        self.rng, self.activity, self.density, self.bits = rng, activity, density, bits
        self.layers = [Layer("input", image, QuantizedInput(bits=INPUT_BITS), on_chip=False)]
        self.connections: list[Connection] = []
        self.sample = rng.integers(0, 1 << INPUT_BITS, (image[0], min(image[1], SAMPLE), min(image[2], SAMPLE)))

    @property
    def shape(self) -> Shape:
        return self.layers[-1].shape

    def _random(self, shape: tuple[int, ...], bits: int) -> NDArray[np.int64]:
        return random_integers(self.rng, shape, bits, self.density)

    def convolution(self, name: str, filters: int, stride: int = 1, max_pool: bool = False) -> None:
        """3 x 3, with 8-bit weights if it is the first; `max_pool` is 2 x 2."""
        bits = INPUT_BITS if len(self.layers) == 1 else self.bits
        kernel = self._random((filters, self.shape[0], 3, 3), bits)

        def synapses(source: Shape) -> Convolution:
            target = convolved_shape(source, kernel, (stride, stride), (1, 1), (1, 1))
            return Convolution(kernel, source, target, (stride, stride), (1, 1))

        self._add_spatial(
            name, synapses, bits, (lambda shape: Pool("max", (2, 2), (2, 2), shape)) if max_pool else None
        )

    def separable(self, name: str, filters: int, stride: int = 1, average: bool = False) -> None:
        """3 x 3 depthwise and pointwise, maybe with global average pooling."""
        depthwise = self._random((self.shape[0], 1, 3, 3), self.bits)
        pointwise = self._random((filters, self.shape[0]), self.bits)

        def synapses(source: Shape) -> Separable:
            return Separable.compose(depthwise, pointwise, source, (stride, stride), (1, 1))

        self._add_spatial(name, synapses, self.bits, Pool.global_average if average else None)

    def classifier(self, name: str, classes: int) -> None:
        """Fully connected; sends its sums."""
        matrix = self._random((classes, int(np.prod(self.shape))), self.bits)
        self._add(name, Dense(matrix, self.shape, (classes, 1, 1)), self.bits, None, QuantizedRelu(None))

    def _add_spatial(
        self,
        name: str,
        synapses_for: Callable[[Shape], Kind],
        bits: int,
        pool_for: Callable[[Shape], Pool] | None,
    ) -> None:
        """A layer whose step is found on the sample, which may be smaller than the image."""
        channels, rows, columns = self.sample.shape
        small = synapses_for((channels, rows, columns))
        most = int(self.sample.max())
        sums = exact_sums(small, most)(self.sample.ravel())
        shape = small.target_shape
        if pool_for is not None:
            pool = pool_for(shape)
            sums, shape = pool.reduced(sums), pool.pooled_shape
        neuron = QuantizedRelu(self.bits, max(1, round(float(np.quantile(sums, 1 - self.activity)))))
        sent = neuron.update(neuron.start(sums.size), sums[None], 1, None)
        self.sample = sent.reshape(shape)
        synapses = synapses_for(self.shape)
        self._add(name, synapses, bits, None if pool_for is None else pool_for(synapses.target_shape), neuron)

    def _add(self, name: str, synapses: Synapses, bits: int, pool: Pool | None, neuron: QuantizedRelu) -> None:
        shape = synapses.target_shape if pool is None else pool.pooled_shape
        self.connections.append(Connection(self.layers[-1].name, name, synapses, weight_bits=bits))
        self.layers.append(Layer(name, shape, neuron, pool=pool))

    def network(self, name: str, seed: int) -> Network:
        """With the same assumed activity in all layers; every pixel and every sum of the last layer is sent."""
        first, last = self.layers[0].name, self.layers[-1].name
        densities: dict[str, float | list[float]] = {layer.name: self.activity for layer in self.layers}
        return Network(
            name,
            tuple(self.layers),
            tuple(self.connections),
            first,
            last,
            activity=densities | {first: 1.0, last: 1.0},
            notes=(
                f"weights are random (seed {seed}): outputs mean nothing",
                f"default activity is assumed: every layer sends with density {self.activity}",
            ),
        )
