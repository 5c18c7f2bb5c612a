"""What happens, however long it takes: spikes, messages, synops, words read and link crossings, by timestep."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from nsim import kernels
from nsim.activity import Activity
from nsim.mapping import Mapping
from nsim.mapping.storage import FORMATS, storage_format, synops_per_message
from nsim.stations import Machine
from nsim.synapses import Box

Table = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts by timestep, all int64. Cores include the host as the last one; connections and layers as in the network.

    spikes              [timesteps, layers]       neurons that send, or fire without a destination
    layer_messages      [timesteps, layers]       copies sent by the layer
    connection_synops   [timesteps, connections]  weights fetched; booked to the timestep of sending
    nonzero_synops      [timesteps, connections]  those among them whose weight is not zero
    core_spikes, core_messages_out, core_messages_in, core_synops, core_words
                        [timesteps, cores + 1]
    core_sweep_ps, core_synapse_ps   time the sweep and the synapses of every core are busy: counts x costs
    format_synops       [timesteps, cores + 1, formats]
    link_messages       [timesteps, links]        core-to-router, mesh and router-to-core links, in station order
    """

    spikes: Table
    layer_messages: Table
    connection_synops: Table
    nonzero_synops: Table
    core_spikes: Table
    core_messages_out: Table
    core_messages_in: Table
    core_synops: Table
    core_words: Table
    core_sweep_ps: Table
    core_synapse_ps: Table
    format_synops: Table
    link_messages: Table

    @staticmethod
    def joined(parts: list[Counts]) -> Counts:
        """Consecutive timesteps put together."""
        return Counts(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Counts)))

    def first(self, timesteps: int) -> Counts:
        """The first timesteps only."""
        return Counts(*(getattr(self, f.name)[:timesteps] for f in fields(Counts)))


class Counter:
    """Counts activity on one mapping; the tables it needs are made once."""

    def __init__(self, mapping: Mapping, machine: Machine) -> None:
        self.mapping = mapping
        network, copies = mapping.network, mapping.copies
        self.cores = machine.cores
        self.layer = np.repeat(np.arange(len(network.layers)), [layer.neurons for layer in network.layers])
        pair, pairs = self._pairs()
        columns = copies.core, pair, copies.synops, copies.words, copies.service_ps
        largest = max(column.max(initial=0) for column in columns)
        kind = np.int32 if largest <= np.iinfo(np.int32).max else np.int64  # half the memory to read
        self.copies = np.column_stack([column.astype(kind) for column in columns])
        self.crossings = self._crossings(pairs, machine)
        self.links = int(machine.first[5] - machine.first[2])
        self.outgoing = self._outgoing()

    def _outgoing(self) -> tuple[Table, Table, Table, Table]:
        """Connections by source layer (CSR), and what one message of each source neuron causes in them.

        returns  indptr int64[layers + 1], connection int64[connections], row int64[connections] of the first source
                 neuron, and the table int64[rows, 2] of synops and of those with a weight that is not zero
        """
        network = self.mapping.network
        numbers, tables = [], []
        indptr = [0]
        for layer in network.layers:
            for number, connection in enumerate(network.connections):
                if connection.source == layer.name:
                    form = storage_format(connection, self.mapping.chip, self.mapping.dense_layers)
                    whole = Box.whole(network.by_name[connection.target].shape)
                    stored = connection.synapses.fan_out(whole, stored=True)
                    tables.append(np.column_stack((synops_per_message(connection, whole, form), stored)))
                    numbers.append(number)
            indptr.append(len(numbers))
        rows = np.concatenate(([0], np.cumsum([len(table) for table in tables])))[:-1]
        table = np.concatenate([np.zeros((0, 2), np.int64), *tables])
        return np.array(indptr), np.array(numbers, np.int64), rows.astype(np.int64), table

    def _pairs(self) -> tuple[NDArray[np.int32], Table]:
        """Number of the pair of cores that every copy goes between, and source and destination core of every pair."""
        owner, copies = self.mapping.core, self.mapping.copies
        pair, pairs = np.empty(copies.core.size, np.int32), np.empty((copies.core.size, 2), np.int64)
        order = np.argsort(owner, kind="stable")
        count = kernels.number_pairs(order, owner, copies.indptr, copies.core, pair, pairs)
        return pair, pairs[:count]

    def _crossings(self, pairs: Table, machine: Machine) -> tuple[Table, Table]:
        """Links that a copy passes between two cores, by pair (CSR); numbered from the first link on."""
        indptr, station = machine.links_between(pairs[:, 0], pairs[:, 1])
        return indptr, station - int(machine.first[2])

    def count(self, activity: Activity) -> Counts:
        """Counts of these timesteps."""
        steps, network, copies = activity.timesteps, self.mapping.network, self.mapping.copies
        by_core = np.zeros((steps, self.cores, kernels.WORK), np.int64)
        by_pair = np.zeros((steps, self.crossings[0].size - 1), np.int64)
        fired = activity.indptr, activity.neurons
        kernels.count_copies(*fired, copies.indptr, self.copies, by_core, by_pair)
        link_messages = np.zeros((steps, self.links), np.int64)
        kernels.count_crossings(by_pair, *self.crossings, link_messages)
        by_layer = np.zeros((2, steps, len(network.layers)), np.int64)
        core_spikes = np.zeros((steps, self.cores), np.int64)
        synops = np.zeros((2, steps, len(network.connections)), np.int64)
        places = self.layer, self.mapping.core, copies.indptr
        kernels.count_spikes(*fired, *places, *self.outgoing, by_layer, core_spikes, synops)
        formats = len(FORMATS)
        format_synops = by_core[:, :, :formats]
        return Counts(
            spikes=by_layer[0],
            layer_messages=by_layer[1],
            connection_synops=synops[0],
            nonzero_synops=synops[1],
            core_spikes=core_spikes,
            core_messages_out=link_messages[:, : self.cores],  # each core has one link to its router, and one from it
            core_messages_in=link_messages[:, -self.cores :],
            core_synops=format_synops.sum(axis=2),
            core_words=by_core[:, :, formats],
            core_sweep_ps=self._sweep_ps(core_spikes),
            core_synapse_ps=by_core[:, :, formats + 1],
            format_synops=format_synops,
            link_messages=link_messages,
        )

    def _sweep_ps(self, core_spikes: Table) -> Table:
        """Every allocated neuron is updated and every spike costs its firing; a service takes at least 1 ps."""
        actions = self.mapping.chip.actions
        update_ps, spike_ps = actions.neuron_update.latency_ps, actions.spike.latency_ps
        sweep = self.mapping.allocated * update_ps + core_spikes * max(spike_ps, int(update_ps == 0))
        sweep[:, -1] = core_spikes[:, -1]  # the host only sends
        return sweep
