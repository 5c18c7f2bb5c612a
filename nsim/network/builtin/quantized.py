"""Quantised networks with seeded random weights, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nsim.network.builtin.weights import random_integers
from nsim.network.exact_sums import exact_sums
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import QuantizedInput, QuantizedRelu
from nsim.network.pooling import Pool
from nsim.network.synapses import Convolution, Dense, Separable, Shape, Synapses, convolved_shape

INPUT_BITS = 8
SAMPLE = 64  # most rows and columns of the random image that the steps of the rectifiers are taken from
Kind = TypeVar("Kind", Convolution, Separable, Dense)


class RandomQuantized:
    """A network in the making: an image with 8-bit values, then layers with few-bit weights and activations.

    Each layer's step is such that on a random image the given share of its neurons sends.

    activity   assumed share of all layers, or measured shares by layer; those that are missing send everything
    """

    def __init__(
        self,
        image: Shape,
        activity: float | Mapping[str, float],
        rng: np.random.Generator,
        density: float,
        bits: int = 4,
        first_bits: int = INPUT_BITS,
        sends_bits: int | None = None,
    ) -> None:
        """bits: of weights; first_bits: of the first layer's; sends_bits: of activations, by default as of weights."""
        self.rng, self.activity, self.density = rng, activity, density
        self.bits, self.first_bits, self.sends_bits = bits, first_bits, sends_bits or bits
        self.layers = [Layer("input", image, QuantizedInput(bits=INPUT_BITS), on_chip=False)]
        self.connections: list[Connection] = []
        self.sample = rng.integers(0, 1 << INPUT_BITS, (image[0], min(image[1], SAMPLE), min(image[2], SAMPLE)))

    @property
    def shape(self) -> Shape:
        return self.layers[-1].shape

    def _random(self, shape: tuple[int, ...], bits: int) -> NDArray[np.int64]:
        return random_integers(self.rng, shape, bits, self.density)

    def convolution(
        self,
        name: str,
        filters: int,
        stride: int = 1,
        max_pool: bool = False,
        average: bool = False,
        kernel: int = 3,
        padding: int | None = None,
    ) -> None:
        """`max_pool` is 2 x 2, `average` global; the padding is by default half the kernel."""
        bits = self.first_bits if len(self.layers) == 1 else self.bits
        weights = self._random((filters, self.shape[0], kernel, kernel), bits)
        edge = ((kernel - 1) // 2 if padding is None else padding,) * 2

        def synapses(source: Shape) -> Convolution:
            target = convolved_shape(source, weights, (stride, stride), edge, (1, 1))
            return Convolution(weights, source, target, (stride, stride), edge)

        pool_for = (lambda shape: Pool("max", (2, 2), (2, 2), shape)) if max_pool else None
        self._add_spatial(name, synapses, bits, Pool.global_average if average else pool_for)

    def separable(
        self, name: str, filters: int, stride: int = 1, average: bool = False, sends_bits: int | None = None
    ) -> None:
        """3 x 3 depthwise and pointwise, maybe with global average pooling; sends_bits: other activations."""
        synapses = self._separable(filters, stride)
        pool_for = Pool.global_average if average else None
        self._add_spatial(name, synapses, self.bits, pool_for, sends_bits)

    def detection(self, name: str, filters: int) -> None:
        """A separable layer at the end that sends its sums."""
        self._add(name, self._separable(filters, 1)(self.shape), self.bits, None, QuantizedRelu(None))

    def _separable(self, filters: int, stride: int) -> Callable[[Shape], Separable]:
        depthwise = self._random((self.shape[0], 1, 3, 3), self.bits)
        pointwise = self._random((filters, self.shape[0]), self.bits)
        return lambda source: Separable.compose(depthwise, pointwise, source, (stride, stride), (1, 1))

    def fully_connected(self, name: str, units: int) -> None:
        """Its step is found on the sample, too."""
        self._add_spatial(name, self._dense(units), self.bits, None)

    def _dense(self, units: int) -> Callable[[Shape], Dense]:
        matrix = self._random((units, int(np.prod(self.shape))), self.bits)
        return lambda source: Dense(matrix, source, (units, 1, 1))

    def classifier(self, name: str, classes: int) -> None:
        """Fully connected; sends its sums."""
        self._add(name, self._dense(classes)(self.shape), self.bits, None, QuantizedRelu(None))

    def _add_spatial(
        self,
        name: str,
        synapses_for: Callable[[Shape], Kind],
        bits: int,
        pool_for: Callable[[Shape], Pool] | None,
        sends_bits: int | None = None,
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
        neuron = QuantizedRelu(
            sends_bits or self.sends_bits, max(1, round(float(np.quantile(sums, 1 - self._share(name)))))
        )
        sent = neuron.update(neuron.start(sums.size), sums[None], 1, None)
        self.sample = sent.reshape(shape)
        synapses = synapses_for(self.shape)
        self._add(name, synapses, bits, None if pool_for is None else pool_for(synapses.target_shape), neuron)

    def _share(self, name: str) -> float:
        return self.activity.get(name, 1.0) if isinstance(self.activity, Mapping) else self.activity

    def _add(self, name: str, synapses: Synapses, bits: int, pool: Pool | None, neuron: QuantizedRelu) -> None:
        shape = synapses.target_shape if pool is None else pool.pooled_shape
        self.connections.append(Connection(self.layers[-1].name, name, synapses, weight_bits=bits))
        self.layers.append(Layer(name, shape, neuron, pool=pool))

    def network(self, name: str, seed: int, source: str = "") -> Network:
        """With the layers' activity, measured or assumed; every pixel and every sum of the last layer is sent.

        source   of measured activity
        """
        first, last = self.layers[0].name, self.layers[-1].name
        densities: dict[str, float | list[float]] = {layer.name: self._share(layer.name) for layer in self.layers}
        assumed = f"default activity is assumed: every layer sends with density {self.activity}"
        return Network(
            name,
            tuple(self.layers),
            tuple(self.connections),
            first,
            last,
            activity=densities | {first: 1.0, last: 1.0},
            notes=(f"weights are random (seed {seed}): outputs mean nothing",),
            activity_notes=(f"default activity: {source}" if source else assumed,),
        )
