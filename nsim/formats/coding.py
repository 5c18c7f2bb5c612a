"""Rectifiers as neurons that send less: changes of their value (sigma-delta), or spikes at a rate (rate coding)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError
from nsim.network.layers import Network
from nsim.network.neurons import Activation, Lif, Relay, SigmaDelta
from nsim.network.synapses import Convolution, Dense, Sparse, Synapses

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


def rate_coded(network: Network, samples: NDArray, percentile: float = PERCENTILE) -> Network:
    """Integrate-and-fire neurons that spike as often as a rectifier is large; its scale is one spike each timestep.

    samples   [samples, ...] typical inputs, in the unit in which the input sends
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
    scale, layers, connections = 1.0, [network.layers[0]], []
    for connection, layer in zip(network.connections, network.layers[1:], strict=True):
        assert isinstance(layer.neuron, Activation)
        connections.append(replace(connection, synapses=_scaled(connection.synapses, scale)))
        real = _sums(connection.synapses, real) + np.asarray(layer.neuron.bias, np.float64)
        real = np.maximum(real, 0) if layer.neuron.rectify else real
        active = real[real > 0]
        if layer.neuron.rectify and not active.size:
            raise NetworkError(f"layer {layer.name!r} sends nothing for any of the {len(real)} samples: give others")
        threshold = float(np.percentile(active, percentile)) if layer.neuron.rectify else None
        neuron = Lif(0.0, 1.0, threshold, bias=layer.neuron.bias, reset_by="subtract", at_threshold=True)
        layers.append(replace(layer, neuron=neuron))
        scale = threshold or 1.0
    note = f"rate coded with {len(real)} samples: outputs grow by the network's in each timestep"
    notes = (*network.notes, note)
    return replace(network, layers=tuple(layers), connections=tuple(connections), notes=notes)


def _check(network: Network, what: str) -> None:
    pooled = [layer.name for layer in network.layers if layer.pool is not None]
    if pooled:
        raise NetworkError(f"layer {pooled[0]!r} pools largest values, which {what} cannot: use an average pool")
    others = [x for x in network.layers[1:] if not isinstance(x.neuron, Activation)]
    if others or not isinstance(network.layers[0].neuron, Relay):
        raise NetworkError(f"{what} is for networks of rectifiers: leave it out")


def _sums(synapses: Synapses, values: NDArray) -> NDArray[np.float64]:
    """[samples, targets] of [samples, sources]"""
    sums = np.zeros((len(values), synapses.targets))
    for row, value in zip(sums, values, strict=True):
        firing = np.flatnonzero(value)
        synapses.add(firing, value[firing], row)
    return sums


def _scaled(synapses: Synapses, factor: float) -> Synapses:
    def scaled(weights: NDArray) -> NDArray[np.float32]:
        return (weights * factor).astype(np.float32)

    if isinstance(synapses, Dense):
        return replace(synapses, matrix=scaled(synapses.matrix))
    if isinstance(synapses, Convolution):
        return replace(synapses, kernel=scaled(synapses.kernel))
    assert isinstance(synapses, Sparse)
    return replace(synapses, values=scaled(synapses.values))
