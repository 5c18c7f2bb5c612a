"""States of layers over the timesteps, as the probes of the vendors' tools keep them.

  v   voltage, after the reset of a spike; of sigma-delta neurons their sum, of S5 layers the state, of readouts a value
  u   current of neurons that filter what arrives
  s   what is sent: zeros and ones, or the values of graded messages
Integers are those of the chip's registers, as probes read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError
from nsim.network.layers import Layer, Network
from nsim.network.neurons import Neuron, State

Wanted = Mapping[str, str | Iterable[str]] | Iterable[str] | str
STATES = ("v", "u", "s")
MAX_BYTES = 1 << 30


class Held(Protocol):
    """A layer between two timesteps: its state, and what it sent last."""

    name: str
    neuron: Neuron
    state: State
    messages: NDArray


class Recorder:
    """Keeps states of layers; memory is taken once, for all timesteps.

    wanted     states by layer, {"fc1": "v,s"}, or texts as on the command line: "fc1:v,s"; "fc1" alone: all it has
    timesteps  of all samples
    record     [timesteps, neurons] by layer and state, as "fc1.v"
    raises     InputError for a layer or a state that there is not, and for records beyond MAX_BYTES
    """

    def __init__(self, network: Network, wanted: Wanted, timesteps: int) -> None:
        chosen = {name: _states(network, name, states) for name, states in _by_layer(network, wanted).items()}
        layers = {name: network.by_name[name] for name in chosen}
        kinds = {
            f"{name}.{state}": (layers[name].neurons, kind)
            for name, states in chosen.items()
            for state, kind in states.items()
        }
        needed = timesteps * sum(neurons * kind.itemsize for neurons, kind in kinds.values())
        if needed > MAX_BYTES:
            raise InputError(
                f"the record of {', '.join(chosen)} over {timesteps:,} timesteps takes {needed:,} bytes, of which "
                f"{MAX_BYTES:,} are kept: record fewer layers or states, or fewer --samples or --timesteps"
            )
        self.record = {key: np.zeros((timesteps, neurons), kind) for key, (neurons, kind) in kinds.items()}
        self.chosen, self.steps = {name: tuple(states) for name, states in chosen.items()}, 0

    def take(self, layers: Iterable[Held]) -> None:
        """Keep what the neurons hold after a timestep."""
        for layer in layers:
            for state in self.chosen.get(layer.name, ()):
                held = layer.messages if state == "s" else layer.state[layer.neuron.probes[state]]
                self.record[f"{layer.name}.{state}"][self.steps] = held
        self.steps += 1


def _by_layer(network: Network, wanted: Wanted) -> dict[str, str | Iterable[str] | None]:
    """States by layer; None: all that it has."""
    if isinstance(wanted, Mapping):
        return dict(wanted)
    texts = [wanted] if isinstance(wanted, str) else list(wanted)
    found: dict[str, str | Iterable[str] | None] = {}
    for text in texts:
        name, colon, states = text.rpartition(":")
        name, asked = (name, states) if colon and text not in network.by_name else (text, None)
        if name in found:
            raise InputError(f"record names layer {name!r} twice: give its states in one, as in {name}:v,s")
        found[name] = asked
    return found


def _states(network: Network, name: str, asked: str | Iterable[str] | None) -> dict[str, np.dtype]:
    """The states to keep of a layer, and how they are stored."""
    if name not in network.by_name:
        raise InputError(f"record names layer {name!r}: give one of {', '.join(network.by_name)}")
    there = _kinds(network, network.by_name[name])
    if asked is None:
        return there
    states = [state.strip() for state in (asked.split(",") if isinstance(asked, str) else asked)]
    for state in states:
        if state not in there:
            raise InputError(f"record asks layer {name!r} for {state!r}, but it has {', '.join(there)}: give these")
    return {state: there[state] for state in STATES if state in states}


def _kinds(network: Network, layer: Layer) -> dict[str, np.dtype]:
    """The states that a layer has, and how they are stored."""
    held: dict[str, NDArray] = layer.neuron.start(layer.neurons)
    kinds = {state: held[key].dtype for state, key in layer.neuron.probes.items() if key in held}
    values = np.dtype(np.int64 if network.fixed_point else np.float32)
    return kinds | {"s": values if layer.neuron.graded else np.dtype(bool)}
