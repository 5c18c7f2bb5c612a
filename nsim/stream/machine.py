"""The stations of a chip without timesteps, numbered, and the arrays that both engines compute with.

Stations are numbered kind by kind; the number breaks ties between services that end in the same picosecond:
  clock     the slow clock: a service ends at every tick
  sensor    takes events at their times, or when it is free, and serves their copies
  send      of every core: a spike's copies, in the order of its connections, the way out of the chip last
  link      into every core
  output    out of the chip
  synapses  of every core: an event is evaluated when the station takes it, which sets how long it is served
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsim.stream.kernels import COORDINATE_BITS, CORE, SOURCE, WAY
from nsim.stream.mapping import CoreLayer, StreamMapping
from nsim.synapses import Shape

KINDS = ("clock", "sensor", "send", "link", "output", "synapses")
NOWHERE = 2**31 - 1  # rows and columns of a map without end


@dataclass(frozen=True, eq=False)
class StreamMachine:
    """A mapping as stations and arrays; nothing in it changes during a run.

    first       int64[kinds + 1]  first station of every kind, and their number
    capacity    int64[stations]   places in the queue, at least 1
    service_ps  int64[stations]   of an event or a copy; 0 where it varies
    wire_ps     int64[stations]   from leaving a station to where it can be served next
    drops       bool[cores]       a core's balancer drops events that find no place
    cores, ways, sources   records, see kernels.py
    state       int16[neurons]    at the start; weights and biases int16, see kernels.py
    tick_ps     period of the slow clock, 0: it is off
    """

    mapping: StreamMapping
    first: NDArray[np.int64]
    capacity: NDArray[np.int64]
    service_ps: NDArray[np.int64]
    wire_ps: NDArray[np.int64]
    drops: NDArray[np.bool_]
    cores: NDArray[np.void]
    ways: NDArray[np.void]
    sources: NDArray[np.void]
    state: NDArray[np.int16]
    weights: NDArray[np.int16]
    biases: NDArray[np.int16]
    tick_ps: int

    @property
    def stations(self) -> int:
        return int(self.first[-1])

    def number(self, kind: str, index: int = 0) -> int:
        return int(self.first[KINDS.index(kind)]) + index

    def kind(self, station: int) -> tuple[str, int]:
        """Kind and index within it."""
        kind = int(np.searchsorted(self.first, station, side="right")) - 1
        return KINDS[kind], station - int(self.first[kind])

    def of(self, kind: str) -> slice:
        """The stations of a kind."""
        index = KINDS.index(kind)
        return slice(int(self.first[index]), int(self.first[index + 1]))

    @property
    def neurons(self) -> NDArray[np.int64]:
        """Neurons of every core: int64[cores]."""
        return self.cores["channels"] * self.cores["rows"] * self.cores["columns"]

    @property
    def most_spikes(self) -> int:
        """Spikes that one service can bring at most: every neuron of a core once."""
        return int(self.neurons.max(initial=1))


def build_stream_machine(mapping: StreamMapping, tick_ps: int = 0) -> StreamMachine:
    """Number the stations and lay the cores out in flat arrays."""
    chip, cores = mapping.chip, mapping.chip.cores
    counts = [1, 1, cores, cores, 1, cores]
    first = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    by_core = mapping.by_core
    drops = np.array([core in by_core and by_core[core].balanced for core in range(cores)])
    buffers, links = chip.buffers, chip.links
    before_synapses = np.where(drops, chip.balancer.places, buffers.message_in)

    def by_station(clock, sensor, send, link, output, synapses):
        return np.concatenate(
            [
                np.broadcast_to(value, count)
                for value, count in zip((clock, sensor, send, link, output, synapses), counts, strict=True)
            ]
        ).astype(np.int64)

    core_arrays, state, weights, biases = _cores(mapping)
    return StreamMachine(
        mapping,
        first,
        by_station(1, 1, buffers.message_out, buffers.link, buffers.link, before_synapses),
        by_station(
            0,
            chip.link_service_ps("sensor"),
            max(1, chip.actions.message_out.latency_ps),
            chip.link_service_ps("core"),
            chip.link_service_ps("output"),
            0,
        ),
        by_station(0, links.sensor.wire_ps, 0, links.core.wire_ps, links.output.wire_ps, 0),
        drops,
        core_arrays,
        *_ways(mapping, int(first[3]), int(first[4])),
        state,
        weights,
        biases,
        tick_ps,
    )


def addresses(neuron: NDArray[np.int64], shape: Shape) -> NDArray[np.int64]:
    """Addresses of neurons given by their index in a layer's (channels, rows, columns)."""
    channel, row, column = np.unravel_index(neuron, shape)
    return ((channel.astype(np.int64) << COORDINATE_BITS | row) << COORDINATE_BITS) | column


def coordinates(address: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Channel, row and column of addresses."""
    mask = (1 << COORDINATE_BITS) - 1
    return address >> 2 * COORDINATE_BITS, (address >> COORDINATE_BITS) & mask, address & mask


def _ways(mapping: StreamMapping, link_0: int, output: int) -> tuple[NDArray[np.void], NDArray[np.void]]:
    copies: list[list[tuple[int, ...]]] = [[] for _ in range(mapping.chip.cores + 1)]
    sources = [(layer.core, layer.destinations) for layer in mapping.layers]
    for source, destinations in (*sources, (mapping.chip.cores, mapping.sensor)):
        copies[source] += [(link_0 + d.core, *d.pool, d.rows, d.columns, d.channel_shift) for d in destinations]
    for layer in mapping.layers:
        if layer.is_output:
            copies[layer.core].append((output, 1, 1, NOWHERE, NOWHERE, 0))
    ends = np.cumsum([len(own) for own in copies])
    owned = np.zeros(len(copies), SOURCE)
    owned["first"], owned["end"] = np.concatenate(([0], ends[:-1])), ends
    return np.array([copy for own in copies for copy in own], WAY), owned


def _cores(mapping: StreamMapping) -> tuple[NDArray[np.void], NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]:
    """The cores' arrays, and their state, weights and biases one after another."""
    chip = mapping.chip
    table = np.zeros(chip.cores, CORE)
    state: list[NDArray] = []
    weights: list[NDArray] = []
    biases: list[NDArray] = []
    ends = dict.fromkeys(("first_neuron", "first_weight", "first_bias"), 0)
    actions = dict(chip.actions)
    for layer in mapping.layers:
        channels, rows, columns = layer.layer.shape
        initial = np.broadcast_to(np.asarray(layer.neuron.initial).ravel(), (layer.layer.neurons,))
        state.append(initial.reshape(channels, rows, columns).transpose(1, 2, 0).ravel())
        weights.append(turned_round(layer))
        biases.append(np.zeros(channels) if layer.bias is None else layer.bias)
        values = {
            **dict(zip(("channels", "rows", "columns"), layer.layer.shape, strict=True)),
            **dict(zip(("kernel_rows", "kernel_columns"), layer.kernel.shape[1:3], strict=True)),
            **dict(zip(("stride_rows", "stride_columns"), layer.stride, strict=True)),
            **dict(zip(("padding_rows", "padding_columns"), layer.padding, strict=True)),
            **ends,
            "threshold": layer.neuron.threshold,
            "to_zero": layer.neuron.to_zero,
            "biased": layer.bias is not None,
            "decimation": layer.decimation,
            "event_ps": actions[chip.event_action(layer.core)].latency_ps,
            "synop_ps": actions[chip.synop_action(layer.core)].latency_ps,
            "update_ps": chip.actions.leak_update.latency_ps,
        }
        for name, value in values.items():
            table[name][layer.core] = value
        for name, part in zip(ends, (state, weights, biases), strict=True):
            ends[name] += part[-1].size
    flat = [np.concatenate([one.ravel() for one in part]).astype(np.int16) for part in (state, weights, biases)]
    return table, flat[0], flat[1], flat[2]


def turned_round(layer: CoreLayer) -> NDArray[np.int16]:
    """A core's weights [input channel, row phase, column phase, row, column, channel] as kernels.py reads them."""
    inputs, kernel_rows, kernel_columns, channels = layer.kernel.shape
    (step_rows, step_columns) = layer.stride
    rows, columns = -(-kernel_rows // step_rows), -(-kernel_columns // step_columns)
    turned = np.zeros((inputs, step_rows, step_columns, rows, columns, channels), np.int16)
    for row in range(min(step_rows, kernel_rows)):
        for column in range(min(step_columns, kernel_columns)):
            part = layer.kernel[:, row::step_rows, column::step_columns][:, ::-1, ::-1]
            turned[:, row, column, : part.shape[1], : part.shape[2]] = part
    return turned
