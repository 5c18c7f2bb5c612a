"""The sigma-delta baseline of Intel's neuromorphic deep noise suppression challenge."""

from __future__ import annotations

import numpy as np

from nsim.network.builtin.weights import check_options, random_floats
from nsim.network.layers import MAX_DELAY, Connection, Layer, Network
from nsim.network.neurons import SigmaDelta
from nsim.network.synapses import Dense

SIZES = (257, 512, 512, 257)  # STFT bins, two hidden layers, a mask for every bin
THRESHOLD = 0.1


def ndns_sdnn(density: float = 1.0, seed: int = 0) -> Network:
    """N-DNS noise suppression, sigma-delta baseline: 257-512-512-257 dense with axonal delays.

    density  share of weights that are not zero; the challenge's variants have 0.5 and 0.25
    Comes with an assumed activity of 10 %. Source: Timcheck et al. 2023, NCE 3:034005.
    """
    check_options("ndns-sdnn", density, seed)
    rng = np.random.default_rng(seed)
    layers = [Layer("input", (SIZES[0], 1, 1), SigmaDelta("input", THRESHOLD), on_chip=False)]
    connections = []
    for name, neurons in zip(("hidden0", "hidden1", "mask"), SIZES[1:], strict=True):
        source = layers[-1]
        role = "output" if name == "mask" else "hidden"
        layers.append(Layer(name, (neurons, 1, 1), SigmaDelta(role, THRESHOLD)))
        synapses = Dense(random_floats(rng, (neurons, source.neurons), density), source.shape, layers[-1].shape)
        delay = rng.integers(0, MAX_DELAY + 1, source.neurons) if source.on_chip else 0
        connections.append(Connection(source.name, name, synapses, source_delay=delay))
    return Network(
        "ndns-sdnn",
        tuple(layers),
        tuple(connections),
        "input",
        "mask",
        activity={layer.name: 0.1 for layer in layers},
        notes=(
            f"weights and delays are random (seed {seed}); delays reach {MAX_DELAY} timesteps, not the published 64",
        ),
        activity_notes=("default activity is assumed: every layer sends with density 0.1",),
    )
