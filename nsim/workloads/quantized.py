"""Quantised networks with seeded random weights, layer by layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nsim.network import Connection, Layer, Network
from nsim.neurons import QuantizedInput, QuantizedRelu
from nsim.pool import Pool
from nsim.synapses import Convolution, Dense, Separable, Shape, Synapses, convolved_shape
from nsim.workloads.weights import random_integers

INPUT_BITS = 8
LEVELS_PER_DEVIATION = 5  # a step is a fifth of the sums' standard deviation: 42 % of normal sums are above one step


class RandomQuantized:
    """A network in the making: an image with 8-bit values, then layers with 4-bit weights and activations.

    Steps of the rectifiers follow from the weights, so that activations use their whole range.
    """

    def __init__(self, image: Shape, rng: np.random.Generator, density: float, bits: int = 4) -> None:
        self.rng, self.density, self.bits = rng, density, bits
        self.layers = [Layer("input", image, QuantizedInput(bits=INPUT_BITS), on_chip=False)]
        self.connections: list[Connection] = []
        self.mean_square = ((1 << INPUT_BITS) - 1) ** 2 / 3  # of pixels that are spread evenly

    @property
    def shape(self) -> Shape:
        return self.layers[-1].shape

    def random(self, shape: tuple[int, ...], bits: int | None = None) -> NDArray[np.int64]:
        return random_integers(self.rng, shape, bits or self.bits, self.density)

    def convolution(self, name: str, filters: int, stride: int = 1, max_pool: bool = False) -> None:
        """3 x 3, with 8-bit weights if it is the first; `max_pool` is 2 x 2."""
        bits = INPUT_BITS if len(self.layers) == 1 else self.bits
        kernel = self.random((filters, self.shape[0], 3, 3), bits)
        target = convolved_shape(self.shape, kernel, (stride, stride), (1, 1), (1, 1))
        synapses = Convolution(kernel, self.shape, target, (stride, stride), (1, 1))
        self._add(name, synapses, bits, Pool("max", (2, 2), (2, 2), target) if max_pool else None)

    def separable(self, name: str, filters: int, stride: int = 1, average: bool = False) -> None:
        """3 x 3 depthwise and pointwise, maybe with global average pooling."""
        depthwise, pointwise = self.random((self.shape[0], 1, 3, 3)), self.random((filters, self.shape[0]))
        synapses = Separable.compose(depthwise, pointwise, self.shape, (stride, stride), (1, 1))
        self._add(name, synapses, self.bits, Pool.global_average(synapses.target_shape) if average else None)

    def classifier(self, name: str, classes: int) -> None:
        """Fully connected; sends its sums."""
        matrix = self.random((classes, int(np.prod(self.shape))))
        self._add(name, Dense(matrix, self.shape, (classes, 1, 1)), self.bits, None, sums=True)

    def _add(self, name: str, synapses: Synapses, bits: int, pool: Pool | None, sums: bool = False) -> None:
        shape = synapses.target_shape if pool is None else pool.pooled_shape
        neuron = QuantizedRelu(None) if sums else QuantizedRelu(self.bits, self._step(synapses))
        self.connections.append(Connection(self.layers[-1].name, name, synapses, weight_bits=bits))
        self.layers.append(Layer(name, shape, neuron, pool=pool))
        self.mean_square = LEVELS_PER_DEVIATION**2 / 2  # of the positive half of a normal distribution

    def _step(self, synapses: Synapses) -> int:
        """For sums of independent weights with mean 0."""
        weights = synapses.kernel if isinstance(synapses, Convolution) else synapses.weights
        deviation = np.sqrt(np.square(weights, dtype=np.float64).sum() / len(weights) * self.mean_square)
        return max(1, round(float(deviation) / LEVELS_PER_DEVIATION))

    def network(self, name: str, activity: float, seed: int) -> Network:
        """With the same assumed activity in all layers; every pixel and every sum of the last layer is sent."""
        first, last = self.layers[0].name, self.layers[-1].name
        densities: dict[str, float | list[float]] = {layer.name: activity for layer in self.layers}
        return Network(
            name,
            tuple(self.layers),
            tuple(self.connections),
            first,
            last,
            activity=densities | {first: 1.0, last: 1.0},
            notes=(
                f"weights are random (seed {seed}): outputs mean nothing",
                f"activity is assumed: every layer sends with density {activity}",
            ),
        )
