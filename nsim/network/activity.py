"""Which neuron sends in which timestep: evaluated from weights and input, or drawn from prescribed densities.

On chips with a barrier this does not depend on time, so it is found before anything is simulated. Activity comes in
chunks of timesteps, so that long runs need little memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, read_toml
from nsim.network import draw_kernels, kernels
from nsim.network.assignments import parse_assignments
from nsim.network.brief import Brief
from nsim.network.inputs import Drained, Events, Frames
from nsim.network.layers import Connection, Layer, Network
from nsim.network.probes import Recorder

CHUNK_TIMESTEPS = 64
Densities = Mapping[str, float | list[float]]


@dataclass(frozen=True, eq=False, repr=False)
class Activity(Brief):
    """The neurons that send in each of some consecutive timesteps.

    indptr   int64[timesteps + 1]   step s owns neurons[indptr[s]:indptr[s + 1]]
    neurons  int64[messages]        index in the network (layers one after another), ascending within a step
    outputs  [timesteps, outputs]   what the output layers sent or hold, side by side; None if prescribed
    """

    indptr: NDArray[np.int64]
    neurons: NDArray[np.int64]
    outputs: NDArray | None

    @property
    def timesteps(self) -> int:
        return self.indptr.size - 1

    @staticmethod
    def joined(parts: Sequence[Activity]) -> Activity:
        """Consecutive timesteps put together, without their outputs."""
        before = np.cumsum([0, *(part.neurons.size for part in parts)])
        indptr = [part.indptr[:-1] + begin for part, begin in zip(parts, before, strict=False)]
        return Activity(np.concatenate([*indptr, before[-1:]]), np.concatenate([part.neurons for part in parts]), None)

    def part(self, begin: int, end: int) -> Activity:
        """Timesteps from one to before another, without their outputs."""
        indptr = self.indptr[begin : end + 1]
        return Activity(indptr - indptr[0], self.neurons[indptr[0] : indptr[-1]], None)

    def first(self, timesteps: int) -> Activity:
        """The first timesteps only."""
        outputs = None if self.outputs is None else self.outputs[:timesteps]
        return Activity(self.indptr[: timesteps + 1], self.neurons[: self.indptr[timesteps]], outputs)

    def firing(self, step: int) -> NDArray[np.int64]:
        return self.neurons[self.indptr[step] : self.indptr[step + 1]]


def layer_offsets(network: Network) -> NDArray[np.int64]:
    """First neuron index of every layer in the network, and the total: int64[layers + 1]."""
    return np.concatenate(([0], np.cumsum([layer.neurons for layer in network.layers])))


def evaluate(
    network: Network,
    sample: Frames | Events | Drained,
    chunk: int = CHUNK_TIMESTEPS,
    recorder: Recorder | None = None,
) -> Iterator[Activity]:
    """Run the network on one sample from its initial state; yields activity, `chunk` timesteps at a time."""
    evaluator = Evaluator(network, recorder)
    for first in range(0, sample.timesteps, chunk):
        steps = range(first, min(first + chunk, sample.timesteps))
        firing, outputs = zip(*(evaluator.step(sample.at(step)) for step in steps), strict=True)
        yield _pack(firing, np.stack(outputs))


def _pack(firing: tuple[NDArray[np.int64], ...] | list[NDArray[np.int64]], outputs: NDArray | None) -> Activity:
    indptr = np.concatenate(([0], np.cumsum([len(f) for f in firing]))).astype(np.int64)
    return Activity(indptr, np.concatenate(firing), outputs)


class Evaluator:
    """The state of a network between timesteps: neurons, and sums still on their way to them."""

    def __init__(self, network: Network, recorder: Recorder | None = None) -> None:
        network.check_complete()
        self.steps, self.recorder = 0, recorder
        self.dtype = np.int64 if network.fixed_point else np.float32
        sums = {layer.name: self._arriving(network, layer) for layer in network.layers}
        offsets = layer_offsets(network).tolist()
        self.firing = np.empty(offsets[-1], np.int64)
        self.layers = [
            _LayerState(network, layer, offset, sums) for layer, offset in zip(network.layers, offsets, strict=False)
        ]
        by_name = {state.name: state for state in self.layers}
        self.outputs = [by_name[name] for name in network.outputs]

    def _arriving(self, network: Network, layer: Layer) -> NDArray:
        """Sums for every timestep that a message may be ahead of the present one: [slots, dendrites, neurons]."""
        longest = max((c.longest_delay for c in network.incoming(layer.name)), default=0)
        return np.zeros((2 + longest, layer.neuron.dendrites, layer.neurons), self.dtype)

    def step(self, external: NDArray) -> tuple[NDArray[np.int64], NDArray]:
        """One timestep with this input, [input neurons]: the neurons that send, and the output layers' values."""
        self.steps += 1
        count = 0
        for state in self.layers:
            count += state.step(self.steps, external, self.firing[count:])
        if self.recorder:
            self.recorder.take(self.layers)
        return self.firing[:count].copy(), np.concatenate([state.shown for state in self.outputs])


class _LayerState:
    """One layer between timesteps, and the way of its messages into the sums of other layers."""

    def __init__(self, network: Network, layer: Layer, offset: int, sums: dict[str, NDArray]) -> None:
        self.name, self.neuron, self.offset, self.lag = layer.name, layer.neuron, offset, layer.lag
        self.external = network.input_slices.get(layer.name) if layer.neuron.external else None
        self.sends, self.is_output = network.sends(layer), layer.name in network.outputs
        self.state = layer.neuron.start(layer.neurons)
        self.slots = list(sums[layer.name])
        self.outgoing = [_Delivery(c, sums[c.target]) for c in network.outgoing(layer.name)]
        self.sending = np.empty(layer.neurons, np.int64)
        self.values = np.empty(layer.neurons, sums[layer.name].dtype)
        self.messages = self.shown = np.zeros(0)

    def step(self, step: int, external: NDArray, firing: NDArray[np.int64]) -> int:
        """Update with the sums of this timestep and send; writes the neurons that send to firing, returns how many."""
        sums = self.slots[step % len(self.slots)]
        if step > self.lag:
            messages = self.neuron.update(self.state, sums, step, external[self.external] if self.external else None)
        else:
            messages = np.zeros(sums.shape[1], sums.dtype)
        self.messages = messages
        sums.fill(0)
        if self.is_output:
            self.shown = np.array(self.neuron.readout(self.state, messages))
        if not self.sends:
            return 0
        count = kernels.take_messages(messages, self.offset, self.sending, self.values, firing)
        if count:
            sending, values = self.sending[:count], self.values[:count]
            for delivery in self.outgoing:
                delivery.add(sending, values, step)
        return count


class _Delivery:
    """A connection's way into the sums of its target: [slots, dendrites, neurons]."""

    def __init__(self, connection: Connection, sums: NDArray) -> None:
        self.synapses, self.sums = connection.synapses, sums[:, connection.dendrite]
        self.slots = list(self.sums)
        self.source_delay, self.target_delay = connection.source_delay + connection.wait, connection.target_delay
        self.uniform = np.ndim(self.source_delay) == 0 and np.ndim(self.target_delay) == 0
        self.steps = 1 + int(self.source_delay) + int(self.target_delay) if self.uniform else 0

    def add(self, sending: NDArray[np.int64], values: NDArray, step: int) -> None:
        """Add the messages' weights to the sums of the timestep in which they arrive."""
        if self.uniform:
            self.synapses.add(sending, values, self.slots[(step + self.steps) % len(self.slots)])
            return
        delays = np.broadcast_to(self.source_delay, (self.synapses.sources,))[sending]
        for delay in np.unique(delays):
            sums = np.zeros(self.sums.shape[1], self.sums.dtype)
            self.synapses.add(sending[delays == delay], values[delays == delay], sums)
            slot = (step + 1 + delay + self.target_delay) % len(self.sums)
            self.sums[slot, np.arange(sums.size)] += sums


def prescribe(
    network: Network,
    densities: Densities,
    timesteps: int,
    rng: np.random.Generator,
    chunk: int = CHUNK_TIMESTEPS,
) -> Iterator[Activity]:
    """Draw which neurons send: each neuron of a layer sends with its layer's density, independently.

    densities  by layer: a number in 0..1, or a schedule of numbers, repeated when the run is longer
    """
    draws = _Draws(network, checked_densities(network, densities), rng)
    for first in range(0, timesteps, chunk):
        yield draws.take(np.arange(first, min(first + chunk, timesteps)))


class _Draws:
    """Bernoulli samples of all layers that send, each as if by `binomial` and `choice` of the generator."""

    def __init__(self, network: Network, schedules: Mapping[str, list[float]], rng: np.random.Generator) -> None:
        offsets = layer_offsets(network)
        sending = [number for number, layer in enumerate(network.layers) if network.sends(layer)]
        self.rng, self.offsets, self.sizes = rng, offsets[sending], np.diff(offsets)[sending]
        self.schedules = [np.array(schedules[network.layers[number].name], np.float64) for number in sending]
        self.marks, self.order = np.zeros(offsets[-1], np.uint8), np.empty(self.sizes.max(initial=0), np.int64)
        self.firing = np.empty(offsets[-1], np.int64)  # room for a chunk, used again

    def take(self, steps: NDArray[np.int64]) -> Activity:
        """What is sent in these timesteps, the next ones."""
        densities = np.zeros((steps.size, self.sizes.size))
        for column, schedule in enumerate(self.schedules):
            densities[:, column] = schedule[steps % schedule.size]
        indptr, done = np.zeros(steps.size + 1, np.int64), 0
        while done < steps.size:
            part = self.rng, self.sizes, self.offsets, densities[done:], self.marks, self.order, indptr[done:]
            done += draw_kernels.draw_timesteps(*part, self.firing)
            if done < steps.size:
                self.firing = np.concatenate((self.firing, np.empty_like(self.firing)))
        return Activity(indptr, self.firing[: indptr[-1]].copy(), None)


def checked_densities(network: Network, densities: Densities) -> dict[str, list[float]]:
    """Every sending layer's schedule; refuses unknown layers, missing ones and values outside 0..1."""
    sending = [layer.name for layer in network.layers if network.sends(layer)]
    unknown = [name for name in densities if name not in network.by_name]
    if unknown:
        raise InputError(
            f"activity names layer {unknown[0]!r}, which network {network.name!r} does not have: its layers are "
            f"{', '.join(network.by_name)}"
        )
    missing = [name for name in sending if name not in densities]
    if missing:
        raise InputError(
            f"activity gives no message density for {', '.join(missing)} of network {network.name!r}: name every layer"
        )
    schedules = {}
    for name in sending:
        value = densities[name]
        schedule = list(value) if isinstance(value, (list, tuple)) else [value]
        bad = [d for d in schedule if isinstance(d, bool) or not isinstance(d, (int, float)) or not 0 <= d <= 1]
        if bad or not schedule:
            raise InputError(f"message density of layer {name!r} is {bad[0] if bad else 'empty'}: give numbers in 0..1")
        schedules[name] = [float(d) for d in schedule]
    return schedules


def parse_activity(text: str, network: Network) -> dict[str, float | list[float]]:
    """Densities as given on the command line: a number, "layer=number,..." or a TOML file with a table [density]."""
    if text.endswith(".toml"):
        return _read_densities(Path(text))
    try:
        if "=" not in text:
            return {layer.name: float(text) for layer in network.layers}
        return {name: float(value) for name, value in parse_assignments(text).items()}
    except ValueError as error:
        raise InputError(
            f"activity {text!r} is none of: a number in 0..1, layer=number pairs with commas, a .toml file ({error})"
        ) from None


def _read_densities(path: Path) -> dict[str, float | list[float]]:
    content = read_toml(path, "activity file", "give a TOML file with a table [density]", InputError)
    table = content.get("density")
    if set(content) != {"density"} or not isinstance(table, dict):
        raise InputError(
            f"activity file {path} needs one table [density] with layer = number or list, and nothing else"
        )
    return table
