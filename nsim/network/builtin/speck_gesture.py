"""The five-layer network that was measured on Speck with gestures and gaits, with random weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError
from nsim.network.builtin.weights import check_options
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import FixedIf, Relay
from nsim.network.synapses import Convolution, Dense, Shape, Synapses, convolved_shape

# Input-32C3S1-32C3S2-32C3S1-AP4-32FC-Out: Yao et al. 2024, Nature Communications 15:4464, table 1. Not stated there,
# and chosen so that it fits the chip: a sensor of 128 x 128 pooled by 4, padding 1, and 11 outputs, one for each
# gesture of the DVS128 Gesture dataset.
SENSOR: Shape = (2, 128, 128)
CONVOLUTIONS = (("conv1", (1, 1), (4, 4)), ("conv2", (2, 2), (1, 1)), ("conv3", (1, 1), (1, 1)))  # stride, pool
CHANNELS = 32
OUTPUTS = 11
POOL_BEFORE_FC = 4

ASSUMED_ACTIVITY = 0.01
MEAN, SPREAD = 8, 24  # of a random 8-bit weight: some channels follow their input, others do not


def speck_gesture(gain: float = 1.0, density: float = 1.0, seed: int = 0) -> Network:
    """Gesture network measured on Speck: 128x128x2 events, 3 convolutions of 32 channels, 2 dense layers.

    gain     about how many spikes one event brings about in each convolution; a third of that in the dense layers
    density  share of weights that are not zero
    On chips with timesteps it comes with an assumed activity of 1 % in every layer.
    """
    check_options("speck-gesture", density, seed)
    if not 0 < gain <= 100:
        raise NetworkError(f"option gain of network 'speck-gesture' is {gain}: give a number above 0, up to 100")
    rng = np.random.default_rng(seed)
    layers = [Layer("input", SENSOR, Relay(binary=True), on_chip=False)]
    connections: list[Connection] = []

    def add(name: str, synapses: Synapses, synops: int, spikes: float) -> None:
        """A layer whose neurons start anywhere below threshold, as in the middle of a run."""
        threshold = max(1, min(2**15 - 1, round(synops * density * MEAN / spikes)))
        neuron = FixedIf(threshold, initial=rng.integers(0, threshold, synapses.targets))
        connections.append(Connection(layers[-1].name, name, synapses))
        layers.append(Layer(name, synapses.target_shape, neuron))

    for name, stride, pool in CONVOLUTIONS:
        source = layers[-1].shape
        kernel = _weights(rng, (CHANNELS, source[0], 3, 3), density)
        pooled = source[0], source[1] // pool[0], source[2] // pool[1]
        target = convolved_shape(pooled, kernel, stride, (1, 1), (1, 1))
        synapses = Convolution(kernel, source, target, stride, (1, 1), pool=pool)
        add(name, synapses, CHANNELS * 9 // (stride[0] * stride[1]), gain)
    source = layers[-1].shape
    pool = (POOL_BEFORE_FC, POOL_BEFORE_FC)
    kernel = _weights(rng, (CHANNELS, CHANNELS, source[1] // pool[0], source[2] // pool[1]), density)
    add("fc", Convolution(kernel, source, (CHANNELS, 1, 1), pool=pool), CHANNELS, gain / 3)
    matrix = _weights(rng, (OUTPUTS, CHANNELS), density)
    add("out", Dense(matrix, layers[-1].shape, (OUTPUTS, 1, 1)), OUTPUTS, gain / 3)
    return Network(
        "speck-gesture",
        tuple(layers),
        tuple(connections),
        "input",
        "out",
        activity={layer.name: ASSUMED_ACTIVITY for layer in layers},
        notes=(
            f"weights and initial states are random (seed {seed}), spikes per event set by gain: outputs mean nothing",
        ),
        activity_notes=(f"default activity is assumed: every layer sends with density {ASSUMED_ACTIVITY}",),
    )


def _weights(rng: np.random.Generator, shape: tuple[int, ...], density: float) -> NDArray[np.int64]:
    """8-bit weights of which 1 - density are zero."""
    values = np.clip(np.rint(rng.normal(MEAN, SPREAD, shape)), -128, 127).astype(np.int64)
    return np.where(rng.random(shape) < density, np.where(values == 0, 1, values), 0)
