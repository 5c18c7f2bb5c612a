"""Synaptic operations and sparsities of a network, as NeuroBench (2025, Nature Communications 16:1545) defines them."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import QuantizedRelu, Relay
from nsim.network.synapses import Box

_found: WeakKeyDictionary[Network, tuple[int, float | None]] = WeakKeyDictionary()


def of_structure(network: Network) -> tuple[int, float | None]:
    """Dense synops and sparsity of the connections, found once for every network."""
    if network not in _found:
        _found[network] = dense_synops(network), connection_sparsity(network.connections)
    return _found[network]


def connection_sparsity(connections: tuple[Connection, ...]) -> float | None:
    """Zeros among the weights, those of a convolution counted once; None without weights."""
    zero = possible = 0
    for connection in connections:
        synapses = connection.synapses
        size = synapses.sources * synapses.targets if synapses.kind == "sparse" else synapses.weights.size
        zero, possible = zero + size - int(np.count_nonzero(synapses.weights)), possible + size
    return zero / possible if possible else None


def dense_synops(network: Network) -> int:
    """Synaptic operations of one timestep in which every neuron sends, zero weights included."""
    total = 0
    for connection in network.connections:
        synapses = connection.synapses
        if synapses.kind == "sparse":  # zeros are weights, too
            total += synapses.sources * synapses.targets
        else:
            total += int(synapses.fan_out(Box.whole(network.by_name[connection.target].sums_shape)).sum())
    return total


def operations(network: Network, nonzero_synops: NDArray[np.int64], binary_input: bool | None) -> dict[str, int]:
    """Effective operations: on values (macs) and on spikes (acs).

    nonzero_synops   int64[connections]  on messages that were sent, with weights that are not zero
    binary_input     whether the input held zeros and ones only; None if that is not known
    """
    total = {"macs": 0, "acs": 0}
    for connection, done in zip(network.connections, nonzero_synops.tolist(), strict=True):
        source = network.by_name[connection.source]
        graded = _graded(source) and not (connection.source in network.inputs and binary_input)
        total["macs" if graded else "acs"] += done
    return total


def activation_sparsity(network: Network, spikes: NDArray[np.int64], steps: int) -> dict[str, tuple[int, int]]:
    """By layer of neurons that sends: messages that were sent, and that could have been. spikes: int64[layers]."""
    return {
        layer.name: (sent, steps * layer.neurons)
        for layer, sent in zip(network.layers, spikes.tolist(), strict=True)
        if network.sends(layer) and not isinstance(layer.neuron, Relay)
    }


def _graded(layer: Layer) -> bool:
    """Whether a layer sends values other than zero and one."""
    return layer.neuron.graded and not (isinstance(layer.neuron, QuantizedRelu) and layer.neuron.bits == 1)
