"""What NIR leaves open, and how the frameworks that write NIR fill it in.

NIR states continuous equations and a reset value. It does not state how a step is integrated, what a spike subtracts,
whether the threshold itself fires, or when a bias starts. `Rules` holds these choices. Without other information they
are the plain ones: Euler steps, reset to v_reset, firing above the threshold, biases from the first timestep.

Presets: the default neurons of each framework, as its own source states them, and the fields that it writes.
  nir           none of them: the plain choices, also where the fields look like a framework's
  snntorch      Leaky, Synaptic 1.0: dt = 1e-4, tau = dt / (1 - beta), r = tau / dt, w_in = tau_syn / dt; after a spike
                the threshold is subtracted in the next step, behind the leak; with reset_delay=False as
                reset=subtract-at-once, or reset=value with reset_mechanism="zero"
  sinabs        LIF, IAF 3.1: tau counts timesteps, alpha = exp(-1 / tau), input times 1 - alpha; sends v // threshold
                spikes and subtracts as many thresholds
  norse         LIFBoxCell, LIFCell, IAFCell 1.1: dt = 1e-3; writes dt * tau where NIR has tau; what arrives is added
                to the current, the voltage sees it, then the current decays
  spikingjelly  LIFNode, IFNode, CUBALIFNode 2.0: dt = 1e-4, r of an IF is 1 / dt; fires at the threshold
  rockpool      LIFTorch, LIFNeuronTorch, ExpSynTorch 3.1: r = tau * exp(-dt / tau) / dt; currents decay with what
                arrives in the same step, voltages take it whole; sends and subtracts as sinabs
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.special import lambertw

from nsim.errors import NetworkError


@dataclass(frozen=True)
class Rules:
    """How NIR's neurons are run.

    reset      value: v = v_reset; subtract: v -= threshold; subtract-later: the same in the next step, behind the leak;
               subtract-at-once: of a v that a spike leaves above the threshold one more is taken off behind the next
               leak, which counts for that step's spike, and is given back without one
    leak       euler: dt / tau of the distance is lost in a step; exponential: 1 - exp(-dt / tau) of it
    gain       leak: what arrives is multiplied by r and the leak; whole: it is added as it is
    current    filter: i takes w_in * leak of what arrives; jump: w_in of it; decayed: w_in * (1 - leak) of it
    charge     of IF and I, impulse: r times what arrives is added; current: r * dt times it
    threshold  gt: fires above it; ge: at it, too
    spikes     one in a timestep; many: v // threshold, as a graded message
    bias       start: from the first timestep on; input: from the timestep in which the layer's input arrives
    floor      least v after a step; None: no bound
    align      on: short paths wait for long ones where they meet; off: a timestep per connection, whatever meets
    """

    reset: str = "value"
    leak: str = "euler"
    gain: str = "leak"
    current: str = "filter"
    charge: str = "impulse"
    threshold: str = "gt"
    spikes: str = "one"
    bias: str = "start"
    align: str = "on"
    floor: float | None = None

    @property
    def words(self) -> str:
        """What was chosen for neurons, as options."""
        floor = [] if self.floor is None else [f"floor={self.floor:g}"]
        return ", ".join([*(f"{key}={getattr(self, key)}" for key in CHOICES if key != "align"), *floor])


CHOICES: Mapping[str, tuple[str, ...]] = {
    "reset": ("value", "subtract", "subtract-later", "subtract-at-once"),
    "leak": ("euler", "exponential"),
    "gain": ("leak", "whole"),
    "current": ("filter", "jump", "decayed"),
    "charge": ("impulse", "current"),
    "threshold": ("gt", "ge"),
    "spikes": ("one", "many"),
    "bias": ("start", "input"),
    "align": ("on", "off"),
}
_COUNTING = Rules(reset="subtract", leak="exponential", threshold="ge", spikes="many", bias="input")
PRESETS: Mapping[str, Rules] = {
    "nir": Rules(),
    "snntorch": Rules(reset="subtract-later", bias="input"),
    "sinabs": _COUNTING,
    "norse": Rules(current="jump", bias="input"),
    "spikingjelly": Rules(threshold="ge", charge="current", bias="input"),
    "rockpool": replace(_COUNTING, gain="whole", current="decayed"),
}
PRESET_DT_S = {"snntorch": 1e-4, "norse": 1e-3, "spikingjelly": 1e-4, "rockpool": 1e-3}
FROM = "from"
OPTIONS = (FROM, *CHOICES, "floor")
TIMED = (nir.LIF, nir.CubaLIF, nir.LI, nir.CubaLI)  # neurons with time constants


@dataclass(frozen=True)
class Chosen:
    """Rules, the framework they follow, and why."""

    rules: Rules
    framework: str | None = None
    recognised: bool = False


def chosen(nodes: Mapping[str, nir.NIRNode], metadata: Mapping[str, Any], options: Mapping[str, object]) -> Chosen:
    """The rules of a graph: options before metadata before the preset; the preset named, or recognised by its fields.

    raises  NetworkError for an option that NIR does not have, or a value that it does not take
    """
    unknown = [key for key in options if key not in OPTIONS]
    if unknown:
        raise NetworkError(f"a NIR graph has no option {unknown[0]!r}: its options are {', '.join(OPTIONS)}")
    given = {key: metadata[key] for key in OPTIONS if key in metadata} | dict(options)
    framework = None if FROM not in given else _one_of(FROM, given.pop(FROM), tuple(PRESETS))
    recognised = None if framework else recognise(nodes)
    rules = PRESETS.get(framework or recognised or "", Rules())
    values: dict[str, Any] = {key: _value(key, value) for key, value in given.items()}
    rules = replace(rules, **values)
    if rules.spikes == "many" and rules.reset in ("subtract-later", "subtract-at-once"):
        raise NetworkError(f"spikes=many does not go with reset={rules.reset}: give reset=subtract or spikes=one")
    return Chosen(rules, framework or recognised, recognised is not None)


def _value(key: str, value: object) -> str | float | None:
    if key in CHOICES:
        return _one_of(key, value, CHOICES[key])
    try:
        floor = float(str(value))
    except ValueError:
        floor = math.nan
    if not math.isfinite(floor) or floor > 0:
        raise NetworkError(f"option floor is {str(value)[:40]!r}: give the least voltage, 0 or below")
    return floor


def _one_of(key: str, value: object, choices: tuple[str, ...]) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    if text not in choices:
        raise NetworkError(f"option {key} is {text[:40]!r}: give one of {', '.join(choices)}")
    return text


# Which framework wrote it, and with which timestep


def recognise(nodes: Mapping[str, nir.NIRNode]) -> str | None:
    """The framework whose fields these are; None if they are not telling, or tell different ones."""
    writers = {writer for name, node in nodes.items() if (writer := _writer(name, node, nodes))}
    return writers.pop() if len(writers) == 1 else None


def _writer(name: str, node: nir.NIRNode, nodes: Mapping[str, nir.NIRNode]) -> str | None:
    if isinstance(node, nir.IF):
        return "spikingjelly" if _all_near(_array(node.r) * PRESET_DT_S["spikingjelly"], 1) else None
    if not isinstance(node, nir.LIF | nir.CubaLIF):
        return None
    r, double = _array(node.r), np.asarray(node.r).dtype == np.float64
    taus = [_array(getattr(node, field)) for field in ("tau", "tau_mem", "tau_syn") if hasattr(node, field)]
    plain_input = not isinstance(node, nir.CubaLIF) or _all_near(_array(node.w_in), 1)
    shortest = min(float(tau.min(initial=np.inf)) for tau in taus)
    if _all_near(r, 1) and plain_input:
        if shortest >= 1 and isinstance(node, nir.LIF):
            return "sinabs"
        return "norse" if shortest < PRESET_DT_S["norse"] and not double else None
    if plain_input and _is_round(_rockpool_dt(taus[0], r)):
        return "rockpool"
    if _all_near(_array(_euler_dt(node)), PRESET_DT_S["snntorch"]):
        recurrent = f"{name.rpartition('.')[0]}.w_rec" in nodes
        return "snntorch" if recurrent or not double else "spikingjelly"
    return None


def told_dt(nodes: Iterable[nir.NIRNode], framework: str | None) -> float | None:
    """The timestep in seconds that the fields tell: r dt / tau = 1 and w_in dt / tau_syn = 1, by Rockpool's rule
    r dt / tau = exp(-dt / tau), and r dt = 1 of SpikingJelly's IF. None if they tell none or several, or if a single
    r tells one that is not usual: it may then be meant otherwise."""
    found: list[NDArray] = []
    factors: list[NDArray] = []
    for node in nodes:
        if isinstance(node, nir.IF) and framework == "spikingjelly":
            found.append(_ratio(np.ones(1), _array(node.r)))
        elif isinstance(node, TIMED):
            r = _array(node.r)
            if _all_near(r, 1):
                return None
            tau = _array(node.tau if hasattr(node, "tau") else node.tau_mem)
            found.append(_rockpool_dt(tau, r) if framework == "rockpool" else _euler_dt(node))
            factors += [r, *([_array(node.w_in)] if hasattr(node, "w_in") else [])]
    values = np.concatenate(found) if found else np.empty(0)
    if not values.size or not (np.isfinite(values) & (values > 0)).all() or not _all_near(values / values[0], 1):
        return None
    dt = float(f"{np.median(values):.5g}")  # float32 fields tell no more digits
    single = not factors or _all_near(np.concatenate(factors) / factors[0][0], 1)
    return None if single and not any(math.isclose(dt, usual, rel_tol=1e-3) for usual in PRESET_DT_S.values()) else dt


def _euler_dt(node: nir.NIRNode) -> NDArray:
    """Timesteps with r dt / tau = 1, and w_in dt / tau_syn = 1 where there is a current."""
    found = [_ratio(_array(node.tau if hasattr(node, "tau") else node.tau_mem), _array(node.r))]
    if hasattr(node, "w_in"):
        found.append(_ratio(_array(node.tau_syn), _array(node.w_in)))
    return np.concatenate(found)


def _ratio(a: NDArray, b: NDArray) -> NDArray:
    """Element by element; NaN for sizes that do not go together, which are refused later, by name."""
    if a.size != b.size and 1 not in (a.size, b.size):
        return np.array([np.nan])
    with np.errstate(all="ignore"):
        return a / b


def _rockpool_dt(tau: NDArray, r: NDArray) -> NDArray:
    """The dt of r = tau exp(-dt / tau) / dt: u exp(u) = 1 / r with u = dt / tau."""
    return _ratio(tau, 1 / np.real(lambertw(1 / r))) if r.all() else np.array([np.nan])


def _array(value: object) -> NDArray:
    """A field as float64[n]; empty if it holds no numbers, which is refused later, by name."""
    raw = np.asarray(value)
    return raw.astype(np.float64).ravel() if raw.dtype.kind in "fiub" else np.empty(0)


def _all_near(values: NDArray, wanted: float) -> bool:
    return bool(values.size and np.allclose(values, wanted, rtol=1e-3, atol=0))


def _is_round(dt: NDArray) -> bool:
    """Whether it is one number of one digit, such as 1e-3 or 5e-4, but for rounding."""
    if not dt.size or not np.isfinite(dt).all() or dt.min() <= 0 or np.ptp(dt) > 1e-4 * dt.max():
        return False
    digits = dt[0] / 10 ** math.floor(math.log10(dt[0]) + 1e-6)
    return abs(digits - round(digits)) < 1e-3
