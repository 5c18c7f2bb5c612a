"""Neuron models: what a neuron does with the sum of a timestep, and what it sends.

Every model is a frozen dataclass of parameters with three methods:
  start(neurons)                          its state before the first timestep
  update(state, sums, step, external)     one timestep; returns the messages, [neurons], where 0 means silent
  readout(state, messages)                what an output layer shows: what it sent, or what it holds
`sums` is [dendrites, neurons]; `external` is what the input brings to an input layer, [neurons], else None.
Steps count 1, 2, ... Models named Fixed... are bit-accurate integers (int64), the others float32.
Sources: docstrings; the integer rules follow lava and lava-dl (BSD-3), the equations of NIR (nir package).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError
from nsim.network import kernels

State = dict[str, NDArray]


def _full(value, neurons: int, dtype) -> NDArray:
    """A parameter given per layer or per neuron, as [neurons]."""
    # A copy: a kernel is compiled anew for each mixture of arrays that may and may not be written
    return np.broadcast_to(np.asarray(value, dtype).ravel(), (neurons,)).copy()


class Neuron:
    """What all models have in common. Class attributes are facts about a model, not parameters."""

    fixed_point: ClassVar[bool] = False  # integers, bit-accurate
    graded: ClassVar[bool] = True  # messages carry a value; False: binary spikes
    dendrites: ClassVar[int] = 1  # separate sums per neuron
    granule: ClassVar[int] = 1  # neurons that share state and must stay on one core
    holds: ClassVar[bool] = False  # as an output layer it is read, and sends nothing
    external: ClassVar[bool] = False  # takes input from outside
    changes: ClassVar[bool] = False  # sends how its value changes: it is silent while its input stays
    microcode: ClassVar[bool] = False  # needs a program of its own where the leaky integrator is a fixed one
    probes: ClassVar[Mapping[str, str]] = {
        "v": "v",
        "u": "u",
    }  # keys of its state, as nsim/network/probes.py calls them

    def start(self, neurons: int) -> State:
        return {}

    def update(self, state: State, sums: NDArray, step: int, external: NDArray | None) -> NDArray:
        raise NotImplementedError

    def readout(self, state: State, messages: NDArray) -> NDArray:
        return messages


@dataclass(frozen=True, eq=False)
class Relay(Neuron):
    """An input that sends what it is given, whenever that is not zero. binary: any non-zero value is a spike."""

    binary: bool = False
    external: ClassVar[bool] = True

    @property
    def graded(self) -> bool:  # type: ignore[override]
        return not self.binary

    def update(self, state, sums, step, external):
        return (external != 0).astype(sums.dtype) if self.binary else external.astype(sums.dtype)


@dataclass(frozen=True, eq=False)
class FixedLif(Neuron):
    """Loihi's LIF with current u and voltage v, 24-bit registers.

    current_decay, voltage_decay   0..4096: 0 keeps all, 4096 forgets all
    threshold                      17-bit mantissa; fires if v > threshold << 6
    bias                           13-bit mantissa, per layer or per neuron; the input layer gets its own from outside
    reset_interval, reset_phase    if set, u = v = 0 before every step t with t mod interval = phase mod interval
    wraps                          the sum of a convolution wraps to 24 bits, that of a dense layer does not
    Source: lava's LIF process and lava-dl's netx (BSD-3), after Davies et al. 2018.
    """

    current_decay: int
    voltage_decay: int
    threshold: int
    bias: NDArray | int = 0
    reset_interval: int | None = None
    reset_phase: int = 0
    wraps: bool = False
    is_input: bool = False
    fixed_point: ClassVar[bool] = True
    graded: ClassVar[bool] = False

    @property
    def external(self) -> bool:  # type: ignore[override]
        return self.is_input

    def start(self, neurons):
        return {
            "u": np.zeros(neurons, np.int64),
            "v": np.zeros(neurons, np.int64),
            "bias": _full(self.bias, neurons, np.int64),
        }

    def update(self, state, sums, step, external):
        if self.reset_interval and step % self.reset_interval == self.reset_phase % self.reset_interval:
            state["u"][:] = 0
            state["v"][:] = 0
        arriving = sums[0]
        if self.wraps:
            kernels.wrap_24_bits(arriving)
        bias = external.astype(np.int64) if self.is_input else state["bias"]
        messages = np.empty(arriving.size, np.int64)
        keep = 4096 - self.current_decay, 4096 - self.voltage_decay
        kernels.update_fixed_lif(state["u"], state["v"], arriving, bias, *keep, self.threshold << 6, messages)
        return messages


@dataclass(frozen=True, eq=False)
class RuledFixedLif(Neuron):
    """FixedLif with parameters by layer or by neuron, and with the rules of Lif, which need a program of their own.

    threshold, reset, floor   mantissas, << 6; threshold None: never fires, and holds v for reading
    current_bias              added to the sum, before the current; bias: to the voltage
    """

    current_decay: NDArray | int
    voltage_decay: NDArray | int
    threshold: NDArray | int | None
    bias: NDArray | int = 0
    current_bias: NDArray | int = 0
    reset: NDArray | int = 0
    reset_by: str = "value"
    at_threshold: bool = False
    many: bool = False
    floor: int | None = None
    wraps: bool = False
    fixed_point: ClassVar[bool] = True

    @property
    def microcode(self) -> bool:  # type: ignore[override]
        plain = (self.reset_by, self.at_threshold, self.many, self.floor) == ("value", False, False, None)
        return not plain or bool(np.any(self.reset)) or bool(np.any(self.current_bias))

    @property
    def graded(self) -> bool:  # type: ignore[override]
        return self.threshold is None or self.many

    @property
    def holds(self) -> bool:  # type: ignore[override]
        return self.threshold is None

    def start(self, neurons):
        threshold = 1 << 18 if self.threshold is None else self.threshold
        shifted = {"threshold": threshold, "reset": self.reset}
        return {
            **{name: np.zeros(neurons, np.int64) for name in ("u", "v")},
            **{name: _full(getattr(self, name), neurons, np.int64) for name in ("bias", "current_bias")},
            "current_keep": 4096 - _full(self.current_decay, neurons, np.int64),
            "voltage_keep": 4096 - _full(self.voltage_decay, neurons, np.int64),
            **{name: _full(value, neurons, np.int64) << 6 for name, value in shifted.items()},
        }

    def update(self, state, sums, step, external):
        s, arriving = state, sums[0]
        if self.wraps:
            kernels.wrap_24_bits(arriving)
        arriving = arriving + s["current_bias"]
        messages = np.empty(arriving.size, np.int64)
        parameters = s["bias"], s["current_keep"], s["voltage_keep"], s["threshold"], s["reset"]
        at_once = self.reset_by == "subtract-at-once"
        later = at_once or self.reset_by == "subtract-later"
        rules = self.reset_by != "value", later, at_once, self.at_threshold, self.many
        floor = -(1 << 24) if self.floor is None else self.floor << 6
        kernels.update_ruled_fixed_lif(s["u"], s["v"], arriving, *parameters, rules, floor, messages)
        return messages

    def readout(self, state, messages):
        return state["v"] if self.threshold is None else messages


@dataclass(frozen=True, eq=False)
class FixedSigmaDelta(Neuron):
    """Loihi's sigma-delta neuron: state = real value x 2^18, message = real value x 2^12.

    role       "input" encodes what it is given; "hidden" sums, rectifies and encodes; "output" only sums and is read
    threshold  sends a change d if |d| >= threshold << 12
    bias       per layer or per neuron, << 12
    binary     messages count as 1 whatever their value (messageBits 0 in a lava-dl file)
    Source: lava's SigmaDelta process and lava-dl's netx (BSD-3).
    """

    microcode: ClassVar[bool] = True
    changes: ClassVar[bool] = True
    probes: ClassVar[Mapping[str, str]] = {"v": "sigma"}

    role: str
    threshold: int = 0
    bias: NDArray | int = 0
    wraps: bool = False
    binary: bool = False
    fixed_point: ClassVar[bool] = True

    @property
    def graded(self) -> bool:  # type: ignore[override]
        return not self.binary

    @property
    def external(self) -> bool:  # type: ignore[override]
        return self.role == "input"

    @property
    def holds(self) -> bool:  # type: ignore[override]
        return self.role == "output"

    def start(self, neurons):
        names = ("sigma", "previous", "residue")
        return {n: np.zeros(neurons, np.int64) for n in names} | {"bias": _full(self.bias, neurons, np.int64) << 12}

    def update(self, state, sums, step, external):
        arriving = sums[0]
        if self.wraps:
            kernels.wrap_24_bits(arriving)
        messages = np.zeros(arriving.size, np.int64)
        if self.role == "input":
            activation = external.astype(np.int64) << 12
        else:
            state["sigma"] += arriving
            if self.role == "output":
                return messages
            activation = np.maximum(state["sigma"] + state["bias"], 0)
        kernels.encode_fixed_delta(activation, state["previous"], state["residue"], self.threshold << 12, messages)
        return (messages != 0).astype(np.int64) if self.binary else messages

    def readout(self, state, messages):
        return state["sigma"] if self.role == "output" else messages


@dataclass(frozen=True, eq=False)
class QuantizedInput(Relay):
    """An input of unsigned integers of `bits` bits, such as the pixels of an image."""

    bits: int = 8


@dataclass(frozen=True, eq=False)
class QuantizedRelu(Neuron):
    """Integer rectifier of a quantised network: clip(floor((sum + bias) * 2^fraction_bits / step), 0, 2^bits - 1).

    bits           of what is sent; None: no rectifier, sum + bias is sent as it is, whenever that is not zero
    step           how much of the sum makes one level, in units of 2^-fraction_bits; per layer, channel or neuron, >= 1
    bias           added to the sum; per layer, channel or neuron
    No state: every frame starts anew. Source of the form (unsigned levels of equal width, zero is not sent): BrainChip,
    Akida 1.0 layers. Values of an array per channel belong to the channels of the layer, in order.
    """

    bits: int | None
    step: NDArray | int = 1
    bias: NDArray | int = 0
    fraction_bits: int = 0
    fixed_point: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("step", "bias"):
            values = np.asarray(getattr(self, name))
            if values.dtype.kind not in "iu" or (name == "step" and (values < 1).any()):
                least = " from 1 up" if name == "step" else ""
                raise NetworkError(f"{name} of a quantised layer is {str(values)[:60]}: give whole numbers{least}")
        if not (self.bits is None or 1 <= self.bits <= 16) or not 0 <= self.fraction_bits <= 16:
            raise NetworkError(
                f"a quantised layer has {self.bits} bits and {self.fraction_bits} fraction bits: give 1..16 and 0..16"
            )

    def start(self, neurons):
        return {"step": _by_neuron(self.step, neurons), "bias": _by_neuron(self.bias, neurons)}

    def update(self, state, sums, step, external):
        total = sums[0] + state["bias"]
        if self.bits is None:
            return total
        return np.clip((total << self.fraction_bits) // state["step"], 0, (1 << self.bits) - 1)


def _by_neuron(value: NDArray | int, neurons: int) -> NDArray[np.int64]:
    """A parameter given per layer, channel or neuron, as int64[neurons]."""
    values = np.asarray(value, np.int64).ravel()
    if values.size > neurons or neurons % values.size:
        raise NetworkError(
            f"a parameter has {values.size} values, which do not spread over {neurons} neurons: give 1 or a divisor"
        )
    return np.repeat(values, neurons // values.size)


@dataclass(frozen=True, eq=False)
class FixedIf(Neuron):
    """Integrate-and-fire neuron without decay, 16-bit state that saturates at both ends.

    threshold  1..32767, per layer; fires if v >= threshold, once, however far above
    bias       added in every timestep, per layer or per neuron; on chips without timesteps, on every slow-clock tick
    to_zero    a spike resets v to zero; otherwise it subtracts the threshold
    initial    v at the start, per layer or per neuron
    On chips without timesteps the sum is a single event's, and is compared event by event.
    Source: neuron of the DYNAP-CNN core as sinabs describes it (16-bit state with floor -2^15).
    """

    threshold: int
    bias: NDArray | int = 0
    to_zero: bool = False
    initial: NDArray | int = 0
    fixed_point: ClassVar[bool] = True
    graded: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not np.ndim(self.threshold) == 0 or not 1 <= self.threshold <= 2**15 - 1:
            raise NetworkError(f"the threshold of a 16-bit neuron is {self.threshold}: give one number, 1 to 32767")
        for name in ("bias", "initial"):
            values = np.asarray(getattr(self, name))
            if values.min() < -(2**15) or values.max() > 2**15 - 1:
                raise NetworkError(f"{name} of a 16-bit neuron is {values.min()}..{values.max()}: give -32768 to 32767")

    def start(self, neurons):
        return {
            "v": _full(self.initial, neurons, np.int64).copy(),
            "bias": _full(self.bias, neurons, np.int64),
        }

    def update(self, state, sums, step, external):
        v = state["v"]
        np.clip(v + sums[0] + state["bias"], -(2**15), 2**15 - 1, out=v)
        messages = (v >= self.threshold).astype(np.int64)
        v -= messages * (v if self.to_zero else self.threshold)
        return messages


@dataclass(frozen=True, eq=False)
class Lif(Neuron):
    """Leaky or perfect integrate-and-fire neuron, one forward Euler step per timestep.

    v += leak * (rest - v) + gain * (sum + bias); fires if v > threshold, then v = reset. Other rules:
    reset_by       "subtract": v -= threshold; "subtract-later": the same in the next step, behind the leak;
                   "subtract-at-once": in both, so that a threshold is taken off once for every spike
    at_threshold   fires if v >= threshold
    many           sends floor(v / threshold) as a value, and subtracts as many thresholds
    floor          least v after a step
    Parameters are per layer or per neuron. With NIR's LIF: leak = dt / tau, gain = r * dt / tau; with its IF, a
    perfect integrator: leak = 0, gain = r.
    threshold None: never fires, and holds v for reading (LI); followed by synapses it sends v in every step.
    Source: equations of the NIR primitives LIF, IF and LI.
    """

    leak: NDArray | float
    gain: NDArray | float
    threshold: NDArray | float | None
    rest: NDArray | float = 0.0
    reset: NDArray | float = 0.0
    bias: NDArray | float = 0.0
    # of current-based neurons: i += current_gain * sum - current_leak * i; the sum below is then i
    current_leak: NDArray | float | None = None
    current_gain: NDArray | float = 1.0
    reset_by: str = "value"
    at_threshold: bool = False
    many: bool = False
    floor: float | None = None
    probes: ClassVar[Mapping[str, str]] = {"v": "v", "u": "i"}

    @property
    def microcode(self) -> bool:  # type: ignore[override]
        """With a current of its own it is no longer the fixed model."""
        return self.current_leak is not None

    @property
    def graded(self) -> bool:  # type: ignore[override]
        return self.threshold is None or self.many

    @property
    def plain(self) -> bool:
        """Whether spikes reset v to a value and have none themselves, the threshold does not fire, v has no bound."""
        return (self.reset_by, self.at_threshold, self.many, self.floor) == ("value", False, False, None)

    @property
    def holds(self) -> bool:  # type: ignore[override]
        return self.threshold is None

    def start(self, neurons):
        threshold = np.inf if self.threshold is None else self.threshold
        names = ("leak", "gain", "rest", "reset", "bias", "current_gain")
        state = {name: _full(getattr(self, name), neurons, np.float32) for name in names}
        state["threshold"] = _full(threshold, neurons, np.float32)
        if self.current_leak is not None:
            state["current_leak"] = _full(self.current_leak, neurons, np.float32)
            state["i"] = np.zeros(neurons, np.float32)
        state["v"] = np.zeros(neurons, np.float32)
        return state

    def update(self, state, sums, step, external):
        s, current = state, sums[0] + state["bias"]
        if "i" in s:
            kernels.filter_current(s["i"], current, s["current_leak"], s["current_gain"])
            current = s["i"]
        messages = np.empty(current.size, np.float32)
        parameters = current, s["leak"], s["gain"], s["rest"], s["threshold"], s["reset"]
        if self.plain:
            kernels.update_lif(s["v"], *parameters, messages)
        else:
            floor = np.float32(-np.inf if self.floor is None else self.floor)
            at_once = self.reset_by == "subtract-at-once"
            subtracts, later = self.reset_by != "value", at_once or self.reset_by == "subtract-later"
            kernels.update_ruled_lif(
                s["v"], *parameters, subtracts, later, at_once, self.at_threshold, self.many, floor, messages
            )
        return s["v"].copy() if self.threshold is None else messages

    def readout(self, state, messages):
        return state["v"] if self.threshold is None else messages


@dataclass(frozen=True, eq=False)
class Threshold(Neuron):
    """Fires if sum + bias > threshold, or >= with at_threshold; no state. Source: NIR's Threshold."""

    threshold: NDArray | float
    bias: NDArray | float = 0.0
    at_threshold: bool = False
    graded: ClassVar[bool] = False

    def update(self, state, sums, step, external):
        level = np.asarray(self.threshold, np.float32).ravel() - np.asarray(self.bias, np.float32).ravel()
        return ((sums[0] >= level) if self.at_threshold else (sums[0] > level)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Activation(Neuron):
    """Sends sum + bias, rectified or as it is, whenever that is not zero; no state. As an output layer it is read."""

    rectify: bool = True
    bias: NDArray | float = 0.0
    holds: ClassVar[bool] = True
    probes: ClassVar[Mapping[str, str]] = {"v": "value"}

    def start(self, neurons):
        return {"value": np.zeros(neurons, np.float32), "bias": _full(self.bias, neurons, np.float32)}

    def update(self, state, sums, step, external):
        value = sums[0] + state["bias"]
        state["value"] = np.maximum(value, 0) if self.rectify else value
        return state["value"].copy()

    def readout(self, state, messages):
        return state["value"]


@dataclass(frozen=True, eq=False)
class SigmaDelta(Neuron):
    """Sigma-delta neuron in floating point; roles as in FixedSigmaDelta, of which "output" is read with its bias added.

    Source: lava-dl's training counterpart.
    """

    microcode: ClassVar[bool] = True
    changes: ClassVar[bool] = True
    probes: ClassVar[Mapping[str, str]] = {"v": "sigma"}

    role: str
    threshold: float = 0.0
    bias: NDArray | float = 0.0

    @property
    def external(self) -> bool:  # type: ignore[override]
        return self.role == "input"

    @property
    def holds(self) -> bool:  # type: ignore[override]
        return self.role == "output"

    def start(self, neurons):
        names = ("sigma", "previous", "residue")
        return {n: np.zeros(neurons, np.float32) for n in names} | {"bias": _full(self.bias, neurons, np.float32)}

    def update(self, state, sums, step, external):
        messages = np.zeros(sums.shape[1], np.float32)
        if self.role == "input":
            activation = external.astype(np.float32)
        else:
            state["sigma"] += sums[0]
            if self.role == "output":
                return messages
            activation = np.maximum(state["sigma"] + state["bias"], np.float32(0))
        kernels.encode_delta(activation, state["previous"], state["residue"], np.float32(self.threshold), messages)
        return messages

    def readout(self, state, messages):
        return state["sigma"] + state["bias"] if self.role == "output" else messages


@dataclass(frozen=True, eq=False)
class DiagonalState(Neuron):
    """The state of an S5 layer: complex numbers x = lambda * x + input, real and imaginary parts as neuron pairs.

    eigenvalues  complex[neurons / 2], |lambda| < 1
    Each pair sends both parts in every step in which they are not zero.
    Source: S5, Smith et al., ICLR 2023, in discrete time; the deployment shape of Pierro et al., arXiv:2502.01330.
    """

    microcode: ClassVar[bool] = True
    probes: ClassVar[Mapping[str, str]] = {"v": "state"}

    eigenvalues: NDArray
    granule: ClassVar[int] = 2

    def start(self, neurons):
        if 2 * self.eigenvalues.size != neurons:
            raise NetworkError(
                f"{self.eigenvalues.size} eigenvalues do not fit {neurons} neurons: two neurons for each"
            )
        return {
            "state": np.zeros(neurons, np.float32),
            "real": np.ascontiguousarray(self.eigenvalues.real, np.float32),
            "imaginary": np.ascontiguousarray(self.eigenvalues.imag, np.float32),
        }

    def update(self, state, sums, step, external):
        kernels.update_diagonal_state(state["state"], sums[0], state["real"], state["imaginary"])
        return state["state"].copy()


@dataclass(frozen=True, eq=False)
class GatedLinear(Neuron):
    """Half gated linear unit with residual path: max(0, value * sigmoid(gate + bias) + residual); no state.

    dendrites  0: value, 1: gate, 2: residual
    Source: "half1" activation of the S5 layers in IntelLabs/SparseRNNs, with the rectifier of its sparse variant.
    """

    microcode: ClassVar[bool] = True

    bias: NDArray | float = 0.0
    dendrites: ClassVar[int] = 3

    def update(self, state, sums, step, external):
        messages = np.empty(sums.shape[1], np.float32)
        gates = sums[1] + _full(self.bias, sums.shape[1], np.float32)
        kernels.gate(sums[0], gates, sums[2], messages)
        return messages
