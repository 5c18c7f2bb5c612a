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

from nsim.machine.machine import Machine, by_kind
from nsim.mapping.events.kernels import COORDINATE_BITS, CORE, SOURCE, WAY
from nsim.mapping.events.mapping import CoreLayer, StreamMapping
from nsim.network.synapses import Shape

KINDS = ("clock", "sensor", "send", "link", "output", "synapses")
PATH_KINDS = (*KINDS, "sweeps")  # of the stations that a critical path counts
SWEEP = -1  # in a log at the synapses, instead of an address
NOWHERE = 2**31 - 1  # rows and columns of a map without end


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class StreamMachine(Machine):
    """A mapping as stations and arrays; nothing in it changes during a run.

    drops       bool[cores]       a core's balancer drops events that find no slot
    cores, ways, sources   records, see kernels.py
    state       int16[neurons]    at the start; weights, taps and biases, see kernels.py
    tick_ps     period of the slow clock, 0: it is off
    """

    kinds = KINDS

    mapping: StreamMapping
    drops: NDArray[np.bool_]
    cores: NDArray[np.void]
    ways: NDArray[np.void]
    sources: NDArray[np.void]
    state: NDArray[np.int16]
    weights: NDArray[np.int16]
    taps: NDArray[np.int32]
    biases: NDArray[np.int16]
    tick_ps: int

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

    core_arrays, flat = _cores(mapping)
    ways, sources = _ways(mapping, int(first[3]), int(first[4]))
    service_ps = by_kind(
        counts,
        0,
        chip.link_service_ps("sensor"),
        max(1, chip.actions.message_out.latency_ps),
        chip.link_service_ps("core"),
        chip.link_service_ps("output"),
        0,
    )
    return StreamMachine(
        first=first,
        capacity=by_kind(counts, 1, 1, buffers.message_out, buffers.link, buffers.link, before_synapses),
        service_ps=service_ps,
        wire_ps=by_kind(counts, 0, links.sensor.wire_ps, 0, links.core.wire_ps, links.output.wire_ps, 0),
        mapping=mapping,
        drops=drops,
        cores=core_arrays,
        ways=ways,
        sources=sources,
        tick_ps=tick_ps,
        **flat,
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


def _cores(mapping: StreamMapping) -> tuple[NDArray[np.void], dict[str, NDArray]]:
    """The cores' arrays, and their state, weights, taps and biases one after another."""
    chip = mapping.chip
    table = np.zeros(chip.cores, CORE)
    flat: dict[str, list[NDArray]] = {"state": [], "weights": [], "taps": [], "biases": []}
    ends = dict.fromkeys(("first_neuron", "first_weight", "first_tap", "first_bias"), 0)
    actions = dict(chip.actions)
    for layer in mapping.layers:
        channels, rows, columns = layer.layer.shape
        initial = np.broadcast_to(np.asarray(layer.neuron.initial).ravel(), (layer.layer.neurons,))
        weights = turned_round(layer)
        flat["state"].append(initial.reshape(channels, rows, columns).transpose(1, 2, 0))
        flat["weights"].append(weights)
        flat["taps"].append(np.count_nonzero(weights, axis=-1))
        flat["biases"].append(np.zeros(channels) if layer.bias is None else layer.bias)
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
        for name, parts in zip(ends, flat.values(), strict=True):
            ends[name] += parts[-1].size
    types = {"taps": np.int32}
    joined = {name: np.concatenate([part.ravel() for part in parts]) for name, parts in flat.items()}
    return table, {name: part.astype(types.get(name, np.int16)) for name, part in joined.items()}


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
