"""Networks of real numbers in the integers of chips that have no others.

Weights get 8 bits and an exponent for each connection, decays 12 bits, thresholds 17, biases 13 and an exponent, all in
a unit of each layer: a power of two, so that multiples of it stay exact. The unit is as fine as the exponents allow (0
to 7), and so coarse that neither threshold nor the largest sum leaves the 24 bits of current and voltage.
Source of the ranges: lava's fixed-point LIF process (BSD-3); Davies et al. 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from nsim.chip.timesteps import BarrierChip
from nsim.errors import MappingError
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, FixedLif, Lif, Neuron, Relay, RuledFixedLif, Threshold
from nsim.network.synapses import Convolution, Dense, Sparse, Synapses

LARGEST = (1 << 17) - 1  # mantissa of a threshold; with 6 bits below it, 23 bits of voltage
BIAS_BITS = 12  # beside the sign
FINEST_EXPONENT = 7
CHOICES = ("fixed", "float")


class _NoIntegers(Exception):
    """What has no integer counterpart."""


@dataclass
class _Errors:
    """The largest errors of rounding: of weights and thresholds as parts of the largest of their layer."""

    weight: float = 0.0
    threshold: float = 0.0
    decay: float = 0.0
    units: list[str] = field(default_factory=list)

    @property
    def words(self) -> str:
        parts = f"weights {self.weight:.2g} %, thresholds {self.threshold:.2g} %, decays {self.decay:.2g}"
        read = f"; {', '.join(self.units)}" if self.units else ""
        return f"fixed point (8-bit weights, 12-bit decays): rounded by up to {parts} (--precision float: not){read}"


def for_chip(network: Network, chip: BarrierChip, precision: str | None = None) -> Network:
    """The network as the chip computes it.

    precision   "fixed", "float", or None: fixed where the chip has nothing else, a framework trained the network, and
                its neurons have integer models
    raises      MappingError if there are none, and fixed was asked for
    """
    if precision not in (None, *CHOICES):
        raise MappingError(f"no precision {precision!r}: choose fixed or float")
    if network.fixed_point:
        if precision == "float":
            raise MappingError(f"network {network.name!r} is of integers: leave out precision float")
        return network
    integers = network.exported and chip.arithmetic is not None and chip.arithmetic.integers
    if network.missing or (precision or ("fixed" if integers else "float")) == "float":
        return network
    try:
        return _fixed(network)
    except _NoIntegers as reason:
        if precision is None:
            return replace(network, rounding=f"computed in real numbers: {reason}")
        raise MappingError(f"network {network.name!r} has no integers: {reason}; give --precision float") from None


def _fixed(network: Network) -> Network:
    errors, layers = _Errors(), []
    connections: dict[int, Connection] = {}
    for layer in network.layers:
        incoming = network.incoming(layer.name)
        neuron, found = _rounded(network, layer, incoming, errors)
        layers.append(replace(layer, neuron=neuron))
        connections |= {id(old): new for old, new in zip(incoming, found, strict=True)}
    made = tuple(connections[id(connection)] for connection in network.connections)
    return replace(network, layers=tuple(layers), connections=made, rounding=errors.words)


@dataclass(frozen=True)
class _Equation:
    """A layer in units of its gain: u = (1 - current_leak) u + sum + current_bias; v = (1 - leak) v + u + bias.

    Values by neuron or one for all; threshold None: never fires.
    """

    leak: NDArray
    threshold: NDArray | None
    bias: NDArray
    current_leak: NDArray | None
    current_bias: NDArray
    reset: NDArray
    floor: float | None
    gain: NDArray


def _equation(network: Network, layer: Layer) -> _Equation:
    neuron, none = layer.neuron, np.zeros(1)
    one = np.ones(1)
    if isinstance(neuron, Threshold):
        return _Equation(one, _array(neuron.threshold), _array(neuron.bias), None, none, none, None, one)
    if isinstance(neuron, Activation) and not neuron.rectify and not network.sends(layer):
        return _Equation(one, None, _array(neuron.bias), None, none, none, None, one)
    if not isinstance(neuron, Lif) or (neuron.threshold is None and network.sends(layer)):
        what = "a membrane that sends its voltage" if isinstance(neuron, Lif) else type(neuron).__name__
        raise _NoIntegers(f"layer {layer.name!r} is {what}, of which there is no integer model")
    currents = neuron.current_leak is not None
    gain = _array(neuron.gain) * (_array(neuron.current_gain) if currents else one)
    threshold = None if neuron.threshold is None else _array(neuron.threshold)
    if gain.min() <= 0 or (threshold is not None and threshold.min() <= 0):
        raise _NoIntegers(f"layer {layer.name!r} has a gain or a threshold of 0 or less")
    drive, bias = _array(neuron.leak) * _array(neuron.rest) / gain, _array(neuron.bias)
    return _Equation(
        leak=_array(neuron.leak),
        threshold=None if threshold is None else threshold / gain,
        bias=drive if currents else drive + bias,
        current_leak=_array(neuron.current_leak) if neuron.current_leak is not None else None,
        current_bias=bias if currents else none,
        reset=_array(neuron.reset) / gain,
        floor=None if neuron.floor is None else float(neuron.floor / gain.max()),
        gain=gain,
    )


def _array(value: NDArray | float) -> NDArray[np.float64]:
    return np.atleast_1d(np.asarray(value, np.float64))


def _rounded(
    network: Network, layer: Layer, incoming: list[Connection], errors: _Errors
) -> tuple[Neuron, list[Connection]]:
    """The neurons of a layer and what leads to it, in integers."""
    if isinstance(layer.neuron, Relay):
        return layer.neuron, incoming
    real = _equation(network, layer)
    graded = any(network.by_name[connection.source].neuron.graded for connection in incoming)
    unit = _unit(real, incoming, graded)
    found = [_rounded_connection(connection, unit, errors) for connection in incoming]
    wraps = any(isinstance(connection.synapses, Convolution) for connection in incoming)
    if layer.neuron.holds and real.gain.min() == real.gain.max():
        errors.units.append(f"{layer.name} holds units of {real.gain.max() * unit / 64:.15g}")
    return _integer_neuron(layer.neuron, real, unit, wraps, errors), found


def _integer_neuron(neuron: Neuron, real: _Equation, unit: float, wraps: bool, errors: _Errors) -> Neuron:
    leaks = [_decay(real.leak, errors), np.full(1, 4096)]
    if real.current_leak is not None:
        leaks[1] = _decay(real.current_leak, errors)
    threshold = None if real.threshold is None else _threshold(real.threshold, unit, errors)
    rules = {name: getattr(neuron, name) for name in ("reset_by", "at_threshold", "many") if hasattr(neuron, name)}
    made = RuledFixedLif(
        current_decay=_compact(leaks[1]),
        voltage_decay=_compact(leaks[0]),
        threshold=None if threshold is None else _compact(threshold),
        bias=_compact(_bias(real.bias, unit)),
        current_bias=_compact(_bias(real.current_bias, unit)),
        reset=_compact(np.rint(real.reset / unit).astype(np.int64)),
        floor=None if real.floor is None else round(real.floor / unit),
        wraps=wraps,
        **rules,
    )
    values = made.current_decay, made.voltage_decay, made.threshold
    if made.microcode or not all(isinstance(value, int) for value in values):
        return made
    return FixedLif(*values, bias=made.bias, wraps=wraps)  # type: ignore[arg-type]


def _unit(real: _Equation, incoming: list[Connection], graded: bool) -> float:
    """What 1 is worth: so fine that the exponents of weights reach it, so coarse that thresholds and sums fit.

    Sums of graded messages have no largest: there it is no finer than 8 bits of the lowest threshold ask for.
    """
    largest_sum = sum(_largest_sum(connection.synapses) for connection in incoming)
    summed = largest_sum + float(np.abs(real.current_bias).max())
    if real.current_leak is not None:
        summed /= float(real.current_leak.min()) or 1.0
    reached = np.zeros(0) if real.threshold is None else real.threshold[np.isfinite(real.threshold)]
    coarsest = _power((summed + float(reached.max(initial=0)) + float(np.abs(real.bias).max())) / LARGEST)
    step = max((_step(connection.synapses.weights) for connection in incoming), default=0.0)
    wanted = _power(float(reached.min()) / 256) if graded and reached.size else step if graded else 0.0
    return max(coarsest, min(step, max(step / 2**FINEST_EXPONENT, wanted)))


def _power(value: float) -> float:
    """The power of two that is at least so much; the least there is for 0."""
    return 2.0 ** math.ceil(math.log2(value)) if value > 0 else 2.0**-60


def _step(weights: NDArray) -> float:
    """The step of 8-bit weights, a power of two; 0 if all are 0."""
    largest = max(float(weights.max(initial=0)) / 127, -float(weights.min(initial=0)) / 128)
    return _power(largest) if largest else 0.0


def _largest_sum(synapses: Synapses) -> float:
    """No sum of a spike from every source is larger."""
    sizes = np.abs(synapses.weights.astype(np.float64))
    if isinstance(synapses, Dense):
        return float(sizes.sum(axis=1).max(initial=0))
    if isinstance(synapses, Sparse):
        return float(np.bincount(synapses.target_index, sizes, synapses.targets).max(initial=0))
    return float(sizes.sum(axis=(1, 2, 3)).max(initial=0))


def _rounded_connection(connection: Connection, unit: float, errors: _Errors) -> Connection:
    real = connection.synapses
    step = max(unit, _step(real.weights))
    shift = round(math.log2(step / unit))
    whole = np.rint(real.weights.astype(np.float64) / step).astype(np.int64)
    largest = float(np.abs(real.weights).max(initial=0))
    if largest:
        error = float(np.abs(whole * step - real.weights).max())
        errors.weight = max(errors.weight, 100 * error / largest)
    weights = whole << shift
    if isinstance(real, Dense):
        return replace(connection, synapses=replace(real, matrix=weights))
    if isinstance(real, Sparse):
        return replace(connection, synapses=replace(real, values=weights))
    assert isinstance(real, Convolution)  # the others are of chips with frames
    return replace(connection, synapses=replace(real, kernel=weights))


def _decay(leak: NDArray, errors: _Errors) -> NDArray[np.int64]:
    whole = np.clip(np.rint(leak * 4096), 0, 4096)
    errors.decay = max(errors.decay, float(np.abs(whole / 4096 - leak).max()))
    return whole.astype(np.int64)


def _threshold(threshold: NDArray, unit: float, errors: _Errors) -> NDArray[np.int64]:
    """17 bits; one that is never reached is 2^17."""
    finite = np.isfinite(threshold)
    whole = np.where(finite, np.rint(np.where(finite, threshold, 0) / unit), 1 << 17)
    if finite.any():
        relative = np.abs(whole * unit / threshold - 1)[finite]
        errors.threshold = max(errors.threshold, 100 * float(relative.max()))
    return whole.astype(np.int64)


def _bias(bias: NDArray, unit: float) -> NDArray[np.int64]:
    """A mantissa of 12 bits beside its sign, and an exponent."""
    exponent = np.maximum(0, np.frexp(np.abs(bias) / unit)[1] - BIAS_BITS)
    return np.rint(bias / unit / 2.0**exponent).astype(np.int64) << exponent


def _compact(values: NDArray[np.int64]) -> NDArray[np.int64] | int:
    """One number if all are the same."""
    return int(values[0]) if (values == values[0]).all() else values
