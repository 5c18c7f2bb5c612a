"""The S5 state-space network as prepared for Loihi 2: from its matrices, and an audio denoiser with random ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError
from nsim.network.builtin.weights import check_options, random_floats
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, DiagonalState, GatedLinear, Relay
from nsim.network.synapses import Dense, Sparse

BINS = 257
Vector = NDArray | float


@dataclass(frozen=True, eq=False)
class S5Block:
    """One S5 layer with its gated linear unit, for input u of H channels; all sums are of one frame.

    state  x = eigenvalues * x + input_weight u, complex
    mix    y = max(0, output_weight x + feedthrough * u + mix_bias)
    gate   max(0, value * y * sigmoid(gate_weight y + gate_bias) + u)

    eigenvalues    complex[P]
    input_weight   [2 P, H]   rows of real and imaginary parts alternate, as columns of output_weight do
    output_weight  [H, 2 P]
    gate_weight    [H, H]
    feedthrough, value   [H]
    mix_bias, gate_bias  [H] or one number; mix_bias <= 0, or the layer sends before anything has come
    """

    eigenvalues: NDArray
    input_weight: NDArray
    output_weight: NDArray
    feedthrough: NDArray
    gate_weight: NDArray
    value: NDArray
    mix_bias: Vector = 0.0
    gate_bias: Vector = 0.0


def s5_network(
    name: str,
    encoder: tuple[NDArray, Vector],
    blocks: Sequence[S5Block],
    decoder: tuple[NDArray, Vector],
    weight_bits: int = 8,
) -> Network:
    """A network from its matrices: a rectified encoder, blocks, a decoder that is read.

    encoder, decoder   weights [H, inputs] and [outputs, H], and biases
    raises             NetworkError if eigenvalues are not within the unit circle, or matrices do not fit
    A message takes one timestep per connection, so shorter paths are delayed to meet the others.
    """
    layers = [
        Layer("input", (encoder[0].shape[1], 1, 1), Relay(), on_chip=False),
        Layer("encoder", (encoder[0].shape[0], 1, 1), Activation(rectify=True, bias=encoder[1])),
    ]
    connections = [_dense(encoder[0], layers[0], layers[1], weight_bits)]
    for number, block in enumerate(blocks):
        _add_block(layers, connections, number, block, weight_bits)
    layers.append(Layer("decoder", (decoder[0].shape[0], 1, 1), Activation(rectify=False, bias=decoder[1])))
    connections.append(_dense(decoder[0], layers[-2], layers[-1], weight_bits))
    return Network(name, tuple(layers), tuple(connections), "input", "decoder")


def _add_block(
    layers: list[Layer], connections: list[Connection], number: int, block: S5Block, weight_bits: int
) -> None:
    largest = float(np.abs(block.eigenvalues).max(initial=0))
    if not largest < 1:
        raise NetworkError(
            f"an eigenvalue of block {number} has magnitude {largest:.6g}: its state grows, give below 1"
        )
    source = layers[-1]
    state = Layer(f"state{number}", (2 * block.eigenvalues.size, 1, 1), DiagonalState(block.eigenvalues))
    mix = Layer(f"mix{number}", source.shape, Activation(rectify=True, bias=block.mix_bias))
    gated = Layer(f"gate{number}", source.shape, GatedLinear(bias=block.gate_bias))
    residual = np.ones(source.neurons)
    connections += [
        _dense(block.input_weight, source, state, weight_bits),
        _dense(block.output_weight, state, mix, weight_bits),
        _diagonal(block.feedthrough, source, mix, weight_bits, delay=1),
        _diagonal(block.value, mix, gated, weight_bits, dendrite=0),
        _dense(block.gate_weight, mix, gated, weight_bits, dendrite=1),
        _diagonal(residual, source, gated, weight_bits, dendrite=2, delay=2),
    ]
    layers += [state, mix, gated]


def _dense(matrix: NDArray, source: Layer, target: Layer, weight_bits: int, dendrite: int = 0) -> Connection:
    synapses = Dense(matrix.astype(np.float32), source.shape, target.shape)
    return Connection(source.name, target.name, synapses, dendrite=dendrite, weight_bits=weight_bits)


def _diagonal(
    weights: NDArray, source: Layer, target: Layer, weight_bits: int, dendrite: int = 0, delay: int = 0
) -> Connection:
    neurons = np.arange(source.neurons)
    synapses = Sparse(
        np.append(neurons, source.neurons).astype(np.int64),
        neurons.astype(np.int32),
        weights.astype(np.float32),
        source.shape,
        target.shape,
    )
    ends = source.name, target.name
    return Connection(*ends, synapses, source_delay=delay, dendrite=dendrite, weight_bits=weight_bits)


def s5(d_model: int = 192, states: int = 128, depth: int = 3, density: float = 1.0, seed: int = 0) -> Network:
    """S5 audio denoiser: encoder, `depth` S5 layers with gated linear units and residual paths, decoder.

    d_model  width between the layers
    states   complex states per layer (256 real ones with conjugate symmetry leave 128)
    density  share of the weights of all dense matrices that are not zero
    Comes with an assumed activity: states always send, rectified layers with density 0.5.
    Sources: IntelLabs/SparseRNNs, recipes/ndns.json; Pierro et al., arXiv:2502.01330.
    """
    check_options("s5", density, seed, d_model=d_model, states=states, depth=depth)
    rng = np.random.default_rng(seed)
    encoder = random_floats(rng, (d_model, BINS), density)
    blocks = [_random_block(rng, d_model, states, density) for _ in range(depth)]
    decoder = random_floats(rng, (BINS, d_model), density)
    network = s5_network("s5", (encoder, 0.0), blocks, (decoder, 0.0))
    activity = {layer.name: 1.0 if layer.name.startswith(("state", "input")) else 0.5 for layer in network.layers}
    assumed = "default activity is assumed: input and states always send, rectified layers with density 0.5"
    notes = (f"weights are random (seed {seed})",)
    return replace(network, activity=dict(activity), notes=notes, activity_notes=(assumed,))


def _random_block(rng: np.random.Generator, d_model: int, states: int, density: float) -> S5Block:
    """Stable and oscillating: magnitudes close below 1, all phases."""
    return S5Block(
        eigenvalues=rng.uniform(0.9, 0.999, states) * np.exp(1j * rng.uniform(0, np.pi, states)),
        input_weight=random_floats(rng, (2 * states, d_model), density),
        output_weight=random_floats(rng, (d_model, 2 * states), density),
        feedthrough=rng.normal(0, 1, d_model),
        gate_weight=random_floats(rng, (d_model, d_model), density),
        value=np.ones(d_model),
    )
