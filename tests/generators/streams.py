"""Random networks, machines and sensor events of chips without timesteps, for tests."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from nsim.chip.events import StreamChip
from nsim.chip.file import load_chip
from nsim.machine.events import StreamMachine, addresses, build_stream_machine
from nsim.machine.events_times import SensorEvents
from nsim.mapping.events.mapping import StreamMapping, map_stream
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import FixedIf, Relay
from nsim.network.synapses import Convolution, Shape, convolved_shape

MANY = 1 << 30  # places in a queue that never fills
SPECK = load_chip("speck")
assert isinstance(SPECK, StreamChip)


@dataclass(frozen=True, eq=False)
class Case:
    machine: StreamMachine
    events: SensorEvents


def convolution(
    kernel: np.ndarray,
    source: Shape,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    pool: tuple[int, int] = (1, 1),
) -> Convolution:
    """A convolution whose target shape follows from the rest."""
    pooled = source[0], source[1] // pool[0], source[2] // pool[1]
    target = convolved_shape(pooled, kernel, stride, padding, (1, 1))
    return Convolution(kernel, source, target, stride, padding, pool=pool)


def network_of(layers: list[Layer], connections: list[Connection], name: str = "random") -> Network:
    return Network(name, tuple(layers), tuple(connections), layers[0].name, layers[-1].name)


def chain(depth: int, shape: Shape = (1, 8, 8), weight: int = 10, threshold: int = 10, **neuron) -> Network:
    """Layers that repeat every event at its place: a kernel of 3 x 3, stride 1, padding 1, zero but for its middle."""
    kernel = np.zeros((shape[0], shape[0], 3, 3), np.int64)
    kernel[np.arange(shape[0]), np.arange(shape[0]), 1, 1] = weight
    layers = [Layer("input", shape, Relay(binary=True), on_chip=False)]
    connections = []
    for number in range(depth):
        layers.append(Layer(f"conv{number}", shape, FixedIf(threshold, **neuron)))
        synapses = Convolution(kernel, shape, shape, (1, 1), (1, 1))
        connections.append(Connection(layers[-2].name, layers[-1].name, synapses))
    return network_of(layers, connections, "chain")


def events_at(mapping: StreamMapping, t_ps: list[int], neuron: list[int] | None = None) -> SensorEvents:
    """Events of these neurons (or all of the middle one) at these times."""
    shape = mapping.sensor_shape
    middle = np.ravel_multi_index((0, shape[1] // 2, shape[2] // 2), shape)
    neurons = np.full(len(t_ps), middle) if neuron is None else np.array(neuron)
    return SensorEvents(np.array(t_ps, np.int64), addresses(neurons, shape), max(t_ps, default=0))


def random_network(rng: np.random.Generator, depth: int, biases: bool, merges: bool = True) -> Network:
    """Small convolutional layers with strides, padding and pooling; some feed two, and if `merges` are fed by two."""
    layers = [Layer("input", (int(rng.integers(1, 3)), *_sizes(rng, 4, 9)), Relay(binary=True), on_chip=False)]
    connections: list[Connection] = []
    free = {"input": 2}
    while len(layers) <= depth:
        name = f"layer{len(layers)}"
        source = _with_free_destination(rng, layers, free)
        kernel_size = tuple(int(n) for n in rng.integers(1, 4, 2))
        channels = int(rng.integers(1, 4))
        kernel = rng.integers(-6, 10, (channels, source.shape[0], *kernel_size))
        stride, padding, pool = (tuple(int(n) for n in rng.choice(c, 2)) for c in ((1, 1, 2), (0, 1), (1, 1, 2)))
        pooled = source.shape[1] // pool[0], source.shape[2] // pool[1]
        if any(pooled[a] + 2 * padding[a] < kernel_size[a] or pooled[a] < 1 for a in (0, 1)):
            continue
        synapses = convolution(kernel, source.shape, stride, padding, pool)
        bias = np.repeat(rng.integers(-2, 4, channels), synapses.targets // channels) if biases else 0
        threshold = int(rng.integers(4, 40))
        start = rng.integers(0, threshold, synapses.targets)
        neuron = FixedIf(threshold, bias=bias, to_zero=bool(rng.random() < 0.5), initial=start)
        layers.append(Layer(name, synapses.target_shape, neuron))
        connections.append(Connection(source.name, name, synapses))
        free[source.name] -= 1
        free[name] = 2
        if merges:
            _second_feeder(rng, layers, connections, free)
    return network_of(layers, connections)


def _sizes(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    rows, columns = rng.integers(low, high, 2)
    return int(rows), int(columns)


def _with_free_destination(rng: np.random.Generator, layers: list[Layer], free: dict[str, int]) -> Layer:
    """Mostly the last layer, so that nets are deep."""
    candidates = [layer for layer in layers if free[layer.name] > 0]
    return candidates[-1] if rng.random() < 0.6 else candidates[int(rng.integers(len(candidates)))]


def _second_feeder(rng: np.random.Generator, layers: list[Layer], connections: list[Connection], free: dict) -> None:
    """Feed the last layer from another one too, if one has a map of the same size; with equal or with other weights."""
    first = connections[-1].synapses
    for layer in layers[:-1]:
        if free[layer.name] > 0 and layer.shape[1:] == first.source_shape[1:] and rng.random() < 0.7:
            same = layer.shape == first.source_shape and rng.random() < 0.5
            shape = (first.kernel.shape[0], layer.shape[0], *first.kernel.shape[2:])
            kernel = first.kernel if same else rng.integers(-6, 10, shape)
            synapses = convolution(kernel, layer.shape, first.stride, first.padding, first.pool)
            connections.append(Connection(layer.name, layers[-1].name, synapses))
            free[layer.name] -= 1
            return


def random_events(rng: np.random.Generator, shape: Shape, count: int, longest_gap_ps: int) -> SensorEvents:
    """Events at random places; many at the same time."""
    gaps = np.where(rng.random(count) < 0.4, 0, rng.integers(0, longest_gap_ps + 1, count))
    t_ps = np.cumsum(gaps).astype(np.int64)
    neuron = rng.integers(0, int(np.prod(shape)), count)
    duration = int(t_ps.max(initial=0) + rng.integers(0, longest_gap_ps + 1))
    return SensorEvents(t_ps, addresses(neuron, shape), duration)


def with_times(
    machine: StreamMachine, rng: np.random.Generator, longest_ps: int, places: int, drops: bool, tick_ps: int
) -> StreamMachine:
    """The same stations with times of 1..longest_ps and 1..places places in each queue."""
    stations, cores = machine.stations, machine.drops.size
    ways = slice(machine.number("sensor"), machine.number("synapses"))
    service = np.zeros(stations, np.int64)
    service[ways] = rng.integers(1, longest_ps + 1, ways.stop - ways.start)
    wire = rng.integers(0, longest_ps + 1, stations)
    wire[machine.of("send")] = wire[machine.of("synapses")] = wire[machine.number("clock")] = 0
    costs = machine.cores.copy()
    costs["event_ps"] = rng.integers(0, longest_ps + 1, cores)
    costs["synop_ps"], costs["update_ps"] = rng.integers(0, 3, (2, cores))
    costs["decimation"] = rng.choice((1, 1, 1, 2, 3), cores)
    return replace(
        machine,
        capacity=rng.integers(1, places + 1, stations) if places < MANY else np.full(stations, MANY),
        service_ps=service,
        wire_ps=wire,
        drops=rng.random(cores) < 0.4 if drops else machine.drops,
        cores=costs,
        tick_ps=tick_ps,
    )


def random_case(
    seed: int, depth: int, count: int, longest_ps: int, places: int, drops: bool, ticks: bool, merges: bool = True
) -> Case:
    rng = np.random.default_rng(seed)
    mapping = map_stream(random_network(rng, depth, ticks, merges), SPECK)
    events = random_events(rng, mapping.sensor_shape, count, 4 * longest_ps)
    tick_ps = max(1, events.duration_ps // int(rng.integers(1, 40))) if ticks else 0
    machine = with_times(build_stream_machine(mapping), rng, longest_ps, places, drops, tick_ps)
    reaches = first_copy_exists(machine, events)
    return Case(machine, SensorEvents(events.t_ps[reaches], events.address[reaches], events.duration_ps))


def first_copy_exists(machine: StreamMachine, events: SensorEvents) -> np.ndarray:
    """Which events lie in a whole pooling window of some destination."""
    row, column = (events.address >> 8) & 255, events.address & 255
    found = np.zeros(events.address.size, bool)
    first, end = machine.sources[-1]
    for way in machine.ways[first:end]:
        found |= (row // way["pool_rows"] < way["rows"]) & (column // way["pool_columns"] < way["columns"])
    return found


@st.composite
def cases(draw, merges: bool = True) -> Case:
    return random_case(
        draw(st.integers(0, 2**32 - 1)),
        draw(st.integers(1, 4)),
        draw(st.integers(0, 60)),
        draw(st.sampled_from((1, 2, 5, 100))),
        draw(st.sampled_from((1, 2, 4, MANY))),
        draw(st.booleans()),
        draw(st.booleans()),
        merges,
    )
