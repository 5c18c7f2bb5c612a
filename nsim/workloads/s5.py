"""The sparse S5 state-space network for audio denoising, as prepared for Loihi 2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nsim.network import Connection, Layer, Network
from nsim.neurons import Activation, DiagonalState, GatedLinear, Relay
from nsim.synapses import Dense, Shape, Sparse
from nsim.workloads.weights import check_options, random_floats

BINS = 257


def s5(d_model: int = 192, states: int = 128, depth: int = 3, density: float = 1.0, seed: int = 0) -> Network:
    """S5 audio denoiser: encoder, `depth` S5 layers with gated linear units and residual paths, decoder.

    d_model  width between the layers
    states   complex states per layer (256 real ones with conjugate symmetry leave 128)
    density  share of the weights of all dense matrices that are not zero
    Each layer: input matrix B, diagonal complex state, output matrix C plus feed-through D, rectifier, gate, residual.
    Comes with an assumed activity: states always send, rectified layers with density 0.5.
    Sources: IntelLabs/SparseRNNs, recipes/ndns.json; Pierro et al., arXiv:2502.01330.
    """
    check_options("s5", density, seed, d_model=d_model, states=states, depth=depth)
    rng = np.random.default_rng(seed)
    model: Shape = (d_model, 1, 1)
    layers = [
        Layer("input", (BINS, 1, 1), Relay(), on_chip=False),
        Layer("encoder", model, Activation(rectify=True)),
    ]
    connections = [_dense(rng, layers[0], layers[1], density)]
    for number in range(depth):
        _add_block(rng, layers, connections, number, states, density)
    decoder = Layer("decoder", (BINS, 1, 1), Activation(rectify=False))
    connections.append(_dense(rng, layers[-1], decoder, density))
    layers.append(decoder)
    activity = {layer.name: 1.0 if layer.name.startswith(("state", "input")) else 0.5 for layer in layers}
    return Network(
        "s5",
        tuple(layers),
        tuple(connections),
        "input",
        "decoder",
        activity=dict(activity),
        notes=(
            f"weights are random (seed {seed})",
            "default activity is assumed: input and states always send, rectified layers with density 0.5",
        ),
    )


def _add_block(
    rng: np.random.Generator,
    layers: list[Layer],
    connections: list[Connection],
    number: int,
    states: int,
    density: float,
) -> None:
    """One S5 layer. A message takes one timestep per connection, so shorter paths are delayed to meet the others."""
    source = layers[-1]
    state = Layer(f"state{number}", (2 * states, 1, 1), DiagonalState(_eigenvalues(rng, states)))
    mix = Layer(f"mix{number}", source.shape, Activation(rectify=True))
    gated = Layer(f"gate{number}", source.shape, GatedLinear())
    connections += [
        _dense(rng, source, state, density),
        _dense(rng, state, mix, density),
        _diagonal(rng.normal(0, 1, source.neurons), source, mix, delay=1),
        _diagonal(np.ones(mix.neurons), mix, gated, dendrite=0),
        _dense(rng, mix, gated, density, dendrite=1),
        _diagonal(np.ones(source.neurons), source, gated, dendrite=2, delay=2),
    ]
    layers += [state, mix, gated]


def _eigenvalues(rng: np.random.Generator, states: int) -> NDArray[np.complex128]:
    """Stable and oscillating: magnitudes close below 1, all phases."""
    return rng.uniform(0.9, 0.999, states) * np.exp(1j * rng.uniform(0, np.pi, states))


def _dense(rng: np.random.Generator, source: Layer, target: Layer, density: float, dendrite: int = 0) -> Connection:
    matrix = random_floats(rng, (target.neurons, source.neurons), density)
    return Connection(source.name, target.name, Dense(matrix, source.shape, target.shape), dendrite=dendrite)


def _diagonal(weights: NDArray, source: Layer, target: Layer, dendrite: int = 0, delay: int = 0) -> Connection:
    neurons = np.arange(source.neurons)
    synapses = Sparse(
        np.append(neurons, source.neurons).astype(np.int64),
        neurons.astype(np.int32),
        weights.astype(np.float32),
        source.shape,
        target.shape,
    )
    return Connection(source.name, target.name, synapses, source_delay=delay, dendrite=dendrite)
