"""Floating-point networks in the whole numbers of a chip: 8-bit weights, 16-bit states."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from nsim.chip.events import StreamChip
from nsim.errors import MappingError
from nsim.network.layers import Layer, Network
from nsim.network.neurons import FixedIf, Lif
from nsim.network.synapses import with_weights

ERROR_NOTED = 0.02  # a rounding error of the weights above it is worth a note


def quantized(network: Network, chip: StreamChip) -> Network:
    """The network with integer weights, thresholds and biases; one that has them already stays as it is.

    A layer's weights, threshold and biases are multiplied by one factor: the largest that keeps weights and threshold
    in range, or 1 if all are whole numbers in range already. The rule "v > threshold" becomes "v >= threshold" of the
    next whole number. Events come one by one, so that several spikes of a timestep have no counterpart.
    raises   MappingError for neurons the chip does not have: leaky ones, thresholds per neuron, resets other than zero
    """
    if several := network.several_ends():
        raise MappingError(f"{several}, but {chip.name!r} has one sensor and reads one layer: keep one of each")
    if all(layer.neuron.fixed_point for layer in network.layers if layer.name != network.input):
        return network
    weights = 2 ** (chip.limits.weight_bits - 1) - 1
    states = 2 ** (chip.limits.state_bits - 1) - 1
    factors: dict[str, float] = {}
    layers, notes = [], list(network.notes)
    for layer in network.layers:
        if layer.name == network.input:
            layers.append(layer)
            continue
        neuron = _plain(layer, chip)
        arrays = [c.synapses.weights * _one(layer, "gain", chip) for c in network.incoming(layer.name)]
        threshold = _one(layer, "threshold", chip)
        if not 0 <= threshold < np.inf:
            raise MappingError(f"layer {layer.name!r} has threshold {threshold}, but {chip.name!r} needs one above 0")
        factor = _factor(arrays, threshold, weights, states - 1)
        factors[layer.name] = factor * _one(layer, "gain", chip)
        error = max((_rounding_error(array * factor) for array in arrays), default=0.0)
        if error > ERROR_NOTED:
            bits = chip.limits.weight_bits
            notes.append(f"weights of {layer.name} are rounded to {bits} bits, off by {error:.0%} (rms)")
        bias = np.rint(np.asarray(neuron.bias, np.float64) * factors[layer.name]).astype(np.int64)
        level = ceil(threshold * factor) if neuron.at_threshold else floor(threshold * factor) + 1
        layers.append(replace(layer, neuron=FixedIf(level, bias=bias, to_zero=neuron.reset_by == "value")))
    connections = tuple(
        replace(c, synapses=with_weights(c.synapses, partial(_rounded, factors[c.target]))) for c in network.connections
    )
    return replace(network, layers=tuple(layers), connections=connections, notes=tuple(notes))


def _plain(layer: Layer, chip: StreamChip) -> Lif:
    """The layer's neurons, if they integrate and fire and do nothing else."""
    neuron = layer.neuron
    if not isinstance(neuron, Lif) or neuron.threshold is None:
        raise MappingError(
            f"layer {layer.name!r} has neurons of type {type(neuron).__name__}"
            f"{' without threshold' if isinstance(neuron, Lif) else ''}, but {chip.name!r} has integrate-and-fire "
            "neurons only: end the layer with IF"
        )
    if np.any(neuron.leak) or neuron.current_leak is not None:
        raise MappingError(f"layer {layer.name!r} has leaky neurons, but {chip.name!r} has none that decay: use IF")
    if neuron.floor is not None:
        raise MappingError(f"layer {layer.name!r} has floor={neuron.floor:g}, but {chip.name!r} has no such bound here")
    if neuron.reset_by == "value" and np.any(neuron.reset):
        raise MappingError(f"layer {layer.name!r} resets to {np.max(neuron.reset)}, but {chip.name!r} to zero: use 0")
    return neuron


def _one(layer: Layer, name: str, chip: StreamChip) -> float:
    """A parameter that must be the same for all neurons of a layer."""
    values = np.unique(np.asarray(getattr(layer.neuron, name), np.float64))
    if values.size > 1:
        raise MappingError(
            f"layer {layer.name!r} has a {name} per neuron ({values[0]:g} to {values[-1]:g}), but {chip.name!r} has "
            f"one per layer: make them equal"
        )
    return float(values[0])


def _factor(arrays: list[NDArray], threshold: float, weights: int, states: int) -> float:
    largest = max((float(np.abs(array).max(initial=0)) for array in arrays), default=0.0)
    whole = all((array == np.rint(array)).all() for array in arrays) and threshold == round(threshold)
    if whole and largest <= weights and threshold <= states:
        return 1.0
    limits = [weights / largest] if largest > 0 else []
    limits += [states / threshold] if threshold > 0 else []
    return min(limits, default=1.0)


def _rounding_error(scaled: NDArray) -> float:
    """Root mean square of the rounding over that of the weights."""
    size = float(np.sqrt(np.mean(np.square(scaled, dtype=np.float64)))) if scaled.size else 0.0
    return float(np.sqrt(np.mean(np.square(np.rint(scaled) - scaled, dtype=np.float64)))) / size if size else 0.0


def _rounded(factor: float, weights: NDArray) -> NDArray[np.int64]:
    return np.rint(np.asarray(weights, np.float64) * factor).astype(np.int64)
