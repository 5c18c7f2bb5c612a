"""A plain multi-layer perceptron of spiking neurons."""

from __future__ import annotations

import numpy as np

from nsim.network.builtin.weights import check_options, random_floats
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Lif, Relay
from nsim.network.synapses import Dense


def mlp(width: int = 256, depth: int = 3, inputs: int = 256, density: float = 1.0, seed: int = 0) -> Network:
    """Multi-layer perceptron: `depth` fully connected LIF layers of `width` neurons.

    inputs   input channels, sent in by the host
    density  share of weights that are not zero
    Comes with an assumed activity of 10 % in every layer.
    """
    check_options("mlp", density, seed, width=width, depth=depth, inputs=inputs)
    rng = np.random.default_rng(seed)
    layers = [Layer("input", (inputs, 1, 1), Relay(binary=True), on_chip=False)]
    connections = []
    for number in range(depth):
        source = layers[-1]
        layers.append(Layer(f"fc{number}", (width, 1, 1), Lif(leak=0.1, gain=1.0, threshold=0.5)))
        matrix = random_floats(rng, (width, source.neurons), density)
        connections.append(Connection(source.name, layers[-1].name, Dense(matrix, source.shape, layers[-1].shape)))
    return Network(
        "mlp",
        tuple(layers),
        tuple(connections),
        "input",
        layers[-1].name,
        activity={layer.name: 0.1 for layer in layers},
        notes=(f"weights are random (seed {seed})",),
        activity_notes=("default activity is assumed: every layer sends with density 0.1",),
    )
