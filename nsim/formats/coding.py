"""Rectifiers as neurons that send less: changes of their value (sigma-delta), or spikes at a rate (rate coding)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError
from nsim.network.layers import Network
from nsim.network.neurons import Activation, Lif, Relay, SigmaDelta
from nsim.network.synapses import Synapses, with_weights

CODES = ("rectifier", "sigma-delta", "rate")
OPTIONS = ("neurons", "threshold", "percentile")
PERCENTILE = 99.9  # of the positive activations: Rueckauer et al. 2017


def coded(network: Network, options: Mapping[str, Any], samples: NDArray | None = None) -> Network:
    """A network of rectifiers with the neurons that were asked for.

    options   neurons: rectifier (as it is), sigma-delta or rate; threshold of sigma-delta, the least change that is
              sent; percentile of rate, of the activations that are to be one spike in every timestep
    samples   [samples, ...] typical inputs, for rate
    raises    NetworkError for other options, or a network that they do not go with
    """
    if unknown := [key for key in options if key not in OPTIONS]:
        raise NetworkError(f"such a network has no option {unknown[0]!r}: its options are {', '.join(OPTIONS)}")
    code = str(options.get("neurons", CODES[0]))
    if code not in CODES:
        raise NetworkError(f"option neurons is {code[:40]!r}: give one of {', '.join(CODES)}")
    wanted = {"sigma-delta": "threshold", "rate": "percentile"}.get(code)
    for key in ("threshold", "percentile"):
        if key in options and key != wanted:
            raise NetworkError(f"option {key} does not go with neurons={code}: leave it out")
    if code == "sigma-delta":
        return sigma_delta(network, _number("threshold", options.get("threshold", 0.0), 0.0, np.inf))
    if code == "rate":
        if samples is None:
            raise NetworkError("rate coding needs typical inputs for its thresholds: give nsim.from_torch a sample")
        return rate_coded(network, samples, _number("percentile", options.get("percentile", PERCENTILE), 0.0, 100.0))
    return network


def _number(key: str, value: object, low: float, high: float) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = np.nan
    if not low <= number <= high or not np.isfinite(number):
        raise NetworkError(f"option {key} is {str(value)[:40]!r}: give a number from {low:g} to {high:g}")
    return number


def sigma_delta(network: Network, threshold: float) -> Network:
    """The same function of an input that is held, in messages that say by how much a value changed.

    threshold   a change is sent if it is as large, in units of the activation
    """
    _check(network, "sigma-delta")
    last = network.layers[-1]
    assert isinstance(last.neuron, Activation)
    if last.neuron.rectify:
        raise NetworkError(f"layer {last.name!r} ends with a rectifier: sigma-delta needs a linear last layer")
    layers = [replace(network.layers[0], neuron=SigmaDelta("input", threshold))]
    for layer in network.layers[1:]:
        assert isinstance(layer.neuron, Activation)
        role, least = ("output", 0.0) if layer is last else ("hidden", threshold)
        layers.append(replace(layer, neuron=SigmaDelta(role, least, layer.neuron.bias)))
    note = f"sigma-delta neurons, threshold {threshold:g}"
    return replace(network, layers=tuple(layers), notes=(*network.notes, note))


def rate_coded(
    network: Network,
    samples: NDArray,
    percentile: float = PERCENTILE,
    unit: float = 1.0,
    last_fires: bool = False,
) -> Network:
    """Integrate-and-fire neurons that spike as often as a rectifier is large; its scale is one spike each timestep.

    samples     [samples, ...] typical inputs
    unit        value of the input for which one message stands
    last_fires  a last layer without rectifier fires, too, where it is above 0
    A neuron subtracts its threshold, the scale of its layer: a percentile of the positive activations of samples. A
    layer without rectifier that comes last integrates, and is read: it grows by the network's value in each timestep.
    Source: data-based normalisation with reset by subtraction, Rueckauer et al. 2017, Front. Neurosci. 11:682.
    """
    _check(network, "rate coding")
    real = np.asarray(samples, np.float64).reshape(len(samples), -1)
    if real.shape[1] != network.layers[0].neurons or not np.isfinite(real).all():
        raise NetworkError(
            f"samples of shape {np.shape(samples)} do not fit {network.layers[0].neurons} inputs: give finite numbers"
        )
    scale, layers, connections = unit, [network.layers[0]], []
    for layer in network.layers[1:]:
        assert isinstance(layer.neuron, Activation)
        if not layer.neuron.rectify and layer is not network.layers[-1]:
            raise NetworkError(f"layer {layer.name!r} has no rectifier, which only the last layer may lack: add one")
        (connection,) = network.incoming(layer.name)
        synapses = with_weights(connection.synapses, partial(_times, scale))
        connections.append(replace(connection, synapses=synapses))
        real = _sums(connection.synapses, real) + np.asarray(layer.neuron.bias, np.float64)
        real = np.maximum(real, 0) if layer.neuron.rectify else real
        active, fires = real[real > 0], layer.neuron.rectify or last_fires
        if fires and not active.size:
            raise NetworkError(f"layer {layer.name!r} sends nothing for any of the {len(real)} samples: give others")
        threshold = float(np.percentile(active, percentile)) if fires else None
        neuron = Lif(0.0, 1.0, threshold, bias=layer.neuron.bias, reset_by="subtract", at_threshold=True)
        layers.append(replace(layer, neuron=neuron))
        scale = threshold or 1.0
    outputs = "outputs are counts of spikes" if last_fires else "outputs grow by the network's in each timestep"
    note = f"rate coded with {len(real)} samples: {outputs}"
    notes = (*network.notes, note)
    return replace(network, layers=tuple(layers), connections=tuple(connections), notes=notes)


def _times(factor: float, weights: NDArray) -> NDArray[np.float32]:
    return (weights * factor).astype(np.float32)


def _check(network: Network, what: str) -> None:
    pooled = [layer.name for layer in network.layers if layer.pool is not None]
    if pooled:
        raise NetworkError(f"layer {pooled[0]!r} pools largest values, which {what} cannot: use an average pool")
    others = [x for x in network.layers[1:] if not isinstance(x.neuron, Activation)]
    for before, layer in pairwise(network.layers):
        sources = [connection.source for connection in network.incoming(layer.name)]
        if sources != [before.name]:
            raise NetworkError(f"layer {layer.name!r} takes input from {sources}: {what} is for one row of layers")
    if others or not isinstance(network.layers[0].neuron, Relay):
        raise NetworkError(f"{what} is for networks of rectifiers: leave it out")


def _sums(synapses: Synapses, values: NDArray) -> NDArray[np.float64]:
    """[samples, targets] of [samples, sources]"""
    sums = np.zeros((len(values), synapses.targets))
    for row, value in zip(sums, values, strict=True):
        firing = np.flatnonzero(value)
        synapses.add(firing, value[firing], row)
    return sums
