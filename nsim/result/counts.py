"""What happens, however long it takes: spikes, messages, synops, words read and link crossings, by timestep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.machine.stations import MeshMachine
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.cores.partition import Slice
from nsim.mapping.cores.storage import FORMATS, box_reached, storage_format, synops_per_message
from nsim.network import kernels
from nsim.network.activity import Activity
from nsim.network.brief import Brief
from nsim.network.layers import Connection
from nsim.network.synapses import Box

Table = NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Wide(Brief):
    """A table int64[timesteps, width, ...] that keeps only the columns of what is in use: most cores of a chip idle.

    It reads as the whole table: `table[timesteps, columns]`, sums and maxima have all columns.

    kept    int64[columns]                  numbers of the columns that are kept, increasing
    values  int64[timesteps, columns, ...]
    """

    width: int
    kept: Table
    values: Table

    def at(self, timesteps: slice | NDArray[np.bool_]) -> Wide:
        """Some timesteps only."""
        return replace(self, values=self.values[timesteps])

    def sum(self, axis: int | None = None) -> Any:
        return self._totals if axis == 0 else self.values.sum(axis=axis)

    @cached_property
    def _totals(self) -> Table:
        return self._whole(self.values.sum(axis=0)[None])[0]

    def mean(self, axis: int) -> NDArray[np.float64]:
        return self.sum(axis) / (len(self.values), self.width)[axis]

    def max(self, axis: int | None = None) -> Any:
        """The largest count, which is 0 or more: columns that are not kept do not matter."""
        largest = self.values.max(axis=axis, initial=0)
        return self._whole(largest[None])[0] if axis == 0 else largest

    def _whole(self, values: Table) -> Table:
        whole = np.zeros((len(values), self.width, *values.shape[2:]), np.int64)
        whole[:, self.kept] = values
        return whole

    def __getitem__(self, index: Any) -> Any:
        rows, *columns = index if isinstance(index, tuple) else (index,)
        one = isinstance(rows, (int, np.integer))
        whole = self._whole(self.values[rows : rows + 1 or None] if one else self.values[rows])
        return whole[(0 if one else slice(None), *columns)]


@dataclass(frozen=True, eq=False, repr=False)
class Counts(Brief):
    """Counts by timestep, all int64. Cores include the host as the last one; connections and layers as in the network.

    spikes              [timesteps, layers]       neurons that send, or fire without a destination
    layer_messages      [timesteps, layers]       copies sent by the layer
    connection_synops   [timesteps, connections]  weights fetched; booked to the timestep of sending
    nonzero_synops      [timesteps, connections]  those among them whose weight is not zero
    core_spikes, core_words
                        [timesteps, cores + 1]
    core_sweep_ps, core_synapse_ps   time the sweep and the synapses of every core are busy: counts x costs
    format_synops       [timesteps, cores + 1, formats]
    link_messages       [timesteps, links]        core-to-router, mesh and router-to-core links, in station order
    """

    spikes: Table
    layer_messages: Table
    connection_synops: Table
    nonzero_synops: Table
    core_spikes: Wide
    core_words: Wide
    core_sweep_ps: Wide
    core_synapse_ps: Wide
    format_synops: Wide
    link_messages: Wide

    @cached_property
    def core_messages_out(self) -> Wide:
        """[timesteps, cores + 1]: each core has one link to its router."""
        return self._by_core(self.link_messages.values[:, : self.core_spikes.kept.size])

    @cached_property
    def core_messages_in(self) -> Wide:
        """[timesteps, cores + 1]: each core has one link from its router."""
        return self._by_core(self.link_messages.values[:, -self.core_spikes.kept.size :])

    @cached_property
    def core_synops(self) -> Wide:
        """[timesteps, cores + 1]"""
        return self._by_core(self.format_synops.values.sum(axis=2))

    def _by_core(self, values: Table) -> Wide:
        return Wide(self.core_spikes.width, self.core_spikes.kept, values)

    @staticmethod
    def joined(parts: Sequence[Counts]) -> Counts:
        """Consecutive timesteps of one mapping put together."""
        return Counts(*(_joined([getattr(part, field.name) for part in parts]) for field in fields(Counts)))

    def first(self, timesteps: int) -> Counts:
        """The first timesteps only."""
        return self if timesteps == len(self.spikes) else self.at(slice(timesteps))

    def at(self, timesteps: slice | NDArray[np.bool_]) -> Counts:
        """Some timesteps only."""
        tables: list[Any] = [getattr(self, field.name) for field in fields(Counts)]
        parts: list[Any] = [part.at(timesteps) if isinstance(part, Wide) else part[timesteps] for part in tables]
        return Counts(*parts)


def _joined(tables: list[Any]) -> Any:
    if isinstance(tables[0], Wide):
        return replace(tables[0], values=np.concatenate([table.values for table in tables]))
    return np.concatenate(tables)


def _columns(width: int, *numbers: Table) -> tuple[Table, Table]:
    """The columns of a table that any of these numbers are of, ascending, and the place of each of all among them."""
    there = np.zeros(width, np.bool_)
    for part in numbers:
        there[part] = True
    return np.flatnonzero(there), np.cumsum(there) - 1


class Counter:
    """Counts activity on one mapping; the tables it needs are made once.

    sweep_costs   time to update one neuron, and more for one that fires; by default those of a chip with timesteps
    """

    def __init__(self, mapping: Mapping, machine: MeshMachine, sweep_costs: tuple[int, int] | None = None) -> None:
        self.mapping = mapping
        if sweep_costs is None:
            swept, update_ps = mapping.sweep()
            self.allocated, self.sweep_costs = swept.allocated, (update_ps, mapping.chip.actions.spike.latency_ps)
        else:
            self.allocated, self.sweep_costs = mapping.allocated, sweep_costs
        network, copies = mapping.network, mapping.copies
        self.cores, first = machine.cores, machine.first
        self.used, column = _columns(self.cores, mapping.core, copies.core, np.array([self.cores - 1]))
        self.core = column[mapping.core]
        self.layer = np.repeat(np.arange(len(network.layers)), [layer.neurons for layer in network.layers])
        pair, pairs = self._pairs()
        self.copies = copies.core, column.astype(np.int32), pair, copies.synops, copies.words, copies.service_ps
        self.links = int(first[5] - first[2])
        indptr, link = self._crossings(pairs, machine)
        ends = self.used, self.links - self.cores + self.used
        self.used_links, column = _columns(self.links, *ends, link)
        self.crossings = indptr, column[link]
        self.outgoing = self._outgoing()

    def _outgoing(self) -> tuple[Table, Table, Table, Table]:
        """Connections by source layer (CSR), and what one message of each source neuron causes in them.

        returns  indptr int64[layers + 1], connection int64[connections], row int64[connections] of the first source
                 neuron, and the table int64[rows, 2] of synops and of those with a weight that is not zero
        """
        network = self.mapping.network
        position = {id(connection): number for number, connection in enumerate(network.connections)}
        larger = [piece for held in self.mapping.partition for piece in held if piece.larger]
        beyond = {piece.layer for piece in larger}
        first: dict[tuple[int, str], int] = {}  # rows of connections that share synapses and reach nothing more
        numbers, rows, tables = [], [], []
        indptr, row = [0], 0
        for layer in network.layers:
            for connection in network.outgoing(layer.name):
                form = storage_format(connection, self.mapping.chip, self.mapping.dense_layers)
                key = id(connection.synapses), connection.target if connection.target in beyond else form
                if key not in first:
                    tables.append(self._caused(connection, form, larger))
                    first[key], row = row, row + len(tables[-1])
                numbers.append(position[id(connection)])
                rows.append(first[key])
            indptr.append(len(numbers))
        table = np.concatenate([np.zeros((0, 2), np.int64), *tables])
        return np.array(indptr), np.array(numbers, np.int64), np.array(rows, np.int64), table

    def _caused(self, connection: Connection, form: str, larger: list[Slice]) -> Table:
        """Synops of a message of each source neuron, and those with a weight that is not zero: int64[sources, 2].

        larger   slices that are laid out beyond their layers: convolutions do synops there too
        """
        network, chip = self.mapping.network, self.mapping.chip
        whole = Box.whole(network.by_name[connection.target].shape)
        done = synops_per_message(connection, whole, form, chip)
        for piece in larger:
            if piece.layer == connection.target:
                reached = box_reached(connection, piece.laid_out)
                done = done + synops_per_message(connection, reached, form, chip)
                done = done - synops_per_message(connection, piece.box, form, chip)
        return np.column_stack((done, connection.synapses.fan_out(whole, stored=True)))

    def _pairs(self) -> tuple[NDArray[np.int32], Table]:
        """Number of the pair of cores that every copy goes between, and source and destination core of every pair."""
        owner, copies = self.mapping.core, self.mapping.copies
        pair, pairs = np.empty(copies.core.size, np.int32), np.empty((copies.core.size, 2), np.int64)
        order = np.argsort(owner, kind="stable")
        count = kernels.number_pairs(order, owner, copies.indptr, copies.core, np.full(self.cores, -1), pair, pairs)
        return pair, pairs[:count]

    def _crossings(self, pairs: Table, machine: MeshMachine) -> tuple[Table, Table]:
        """Links that a copy passes between two cores, by pair (CSR); numbered from the first link on."""
        indptr, station = machine.links_between(pairs[:, 0], pairs[:, 1])
        return indptr, station - int(machine.first[2])

    def count(self, activity: Activity) -> Counts:
        """Counts of these timesteps."""
        steps, network, copies = activity.timesteps, self.mapping.network, self.mapping.copies
        used = self.used.size
        by_core = np.zeros((steps, used, kernels.WORK), np.int64)
        by_pair = np.zeros((steps, self.crossings[0].size - 1), np.int64)
        fired = activity.indptr, activity.neurons
        kernels.count_copies(*fired, copies.indptr, *self.copies, by_core, by_pair)
        by_link = np.zeros((steps, self.used_links.size), np.int64)
        kernels.count_crossings(by_pair, *self.crossings, by_link)
        by_layer = np.zeros((2, steps, len(network.layers)), np.int64)
        core_spikes = np.zeros((steps, used), np.int64)
        synops = np.zeros((2, steps, len(network.connections)), np.int64)
        places = self.layer, self.core, copies.indptr
        kernels.count_spikes(*fired, *places, *self.outgoing, by_layer, core_spikes, synops)
        formats = len(FORMATS)
        return Counts(
            spikes=by_layer[0],
            layer_messages=by_layer[1],
            connection_synops=synops[0],
            nonzero_synops=synops[1],
            core_spikes=self._by_core(core_spikes),
            core_words=self._by_core(by_core[:, :, formats]),
            core_sweep_ps=self._by_core(self._sweep_ps(core_spikes)),
            core_synapse_ps=self._by_core(by_core[:, :, formats + 1]),
            format_synops=self._by_core(by_core[:, :, :formats]),
            link_messages=Wide(self.links, self.used_links, by_link),
        )

    def _by_core(self, values: Table) -> Wide:
        return Wide(self.cores, self.used, values)

    def _sweep_ps(self, core_spikes: Table) -> Table:
        """Every allocated neuron is updated and every spike costs its firing; a service takes at least 1 ps."""
        update_ps, spike_ps = self.sweep_costs
        sweep = self.allocated[self.used] * update_ps + core_spikes * max(spike_ps, int(update_ps == 0))
        sweep[:, -1] = core_spikes[:, -1]  # the host only sends
        return sweep
