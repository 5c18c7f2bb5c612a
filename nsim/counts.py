"""What happens, however long it takes: spikes, messages, synops, words read and link crossings, by timestep."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nsim.activity import Activity, layer_offsets
from nsim.mapping import Mapping
from nsim.mapping.storage import storage_format, synops_per_message
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
    format_synops: Table
    link_messages: Table

    @staticmethod
    def joined(parts: list[Counts]) -> Counts:
        """Consecutive timesteps put together."""
        return Counts(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Counts)))


class Counter:
    """Counts activity on one mapping; the tables it needs are made once."""

    def __init__(self, mapping: Mapping, machine: Machine) -> None:
        self.mapping = mapping
        network, copies = mapping.network, mapping.copies
        self.cores = machine.cores
        self.offsets = layer_offsets(network)
        self.layer = np.repeat(np.arange(len(network.layers)), [layer.neurons for layer in network.layers])
        self.fan_out = [self._fan_out(connection) for connection in network.connections]
        owner = np.repeat(mapping.core, np.diff(copies.indptr))
        pairs, self.pair = np.unique(owner * self.cores + copies.core, return_inverse=True)
        self.crossings = self._crossings(pairs, machine)

    def _fan_out(self, connection) -> tuple[int, Table, Table]:
        """First source neuron, synops per message and the non-zero ones, over the whole target layer."""
        form = storage_format(connection, self.mapping.chip, self.mapping.dense_layers)
        network = self.mapping.network
        whole = Box.whole(network.by_name[connection.target].shape)
        first = int(self.offsets[list(network.by_name).index(connection.source)])
        stored = connection.synapses.fan_out(whole, stored=True)
        return first, synops_per_message(connection, whole, form), stored

    def _crossings(self, pairs: Table, machine: Machine) -> sparse.csr_array:
        """[pairs of cores, links]: 1 where a copy between the two cores passes the link."""
        first, last = int(machine.first[2]), int(machine.first[5])
        rows, columns = [], []
        for row, pair in enumerate(pairs.tolist()):
            links = machine.route(pair // self.cores, pair % self.cores)[:-1]
            rows += [row] * len(links)
            columns += [link - first for link in links]
        ones = np.ones(len(rows), np.int64)
        return sparse.csr_array((ones, (rows, columns)), shape=(pairs.size, last - first))

    def count(self, activity: Activity) -> Counts:
        """Counts of these timesteps."""
        steps, neurons, copies = activity.timesteps, activity.neurons, self.mapping.copies
        step = np.repeat(np.arange(steps), np.diff(activity.indptr))
        sent = copies.indptr[neurons + 1] - copies.indptr[neurons]
        ends = np.cumsum(sent)
        row = np.arange(ends[-1] if ends.size else 0) + np.repeat(copies.indptr[neurons] - (ends - sent), sent)
        copy_step = np.repeat(step, sent)

        def table(step: Table, column: Table, width: int, weights: Table | None = None) -> Table:
            """Sums by timestep and column; exact, since they stay below 2^53."""
            flat = np.bincount(step * width + column, weights, steps * width)
            return flat.astype(np.int64).reshape(steps, width)

        layers, cores = len(self.mapping.network.layers), self.cores
        pairs = table(copy_step, self.pair[row], self.crossings.shape[0])
        by_format = [table(copy_step, copies.core[row], cores, column[row]) for column in copies.synops.T]
        return Counts(
            spikes=table(step, self.layer[neurons], layers),
            layer_messages=table(step, self.layer[neurons], layers, sent),
            connection_synops=self._by_connection(step, neurons, steps, 0),
            nonzero_synops=self._by_connection(step, neurons, steps, 1),
            core_spikes=table(step, self.mapping.core[neurons], cores),
            core_messages_out=table(step, self.mapping.core[neurons], cores, sent),
            core_messages_in=table(copy_step, copies.core[row], cores),
            core_synops=np.sum(by_format, axis=0),
            format_synops=np.stack(by_format, axis=2),
            core_words=table(copy_step, copies.core[row], cores, copies.words[row]),
            link_messages=np.asarray(self.crossings.T.dot(pairs.T).T, np.int64),
        )

    def _by_connection(self, step: Table, neurons: Table, steps: int, which: int) -> Table:
        result = np.zeros((steps, len(self.fan_out)), np.int64)
        for number, (first, *tables) in enumerate(self.fan_out):
            per_message = tables[which]
            own = (neurons >= first) & (neurons < first + per_message.size)
            result[:, number] = np.bincount(step[own], per_message[neurons[own] - first], steps)
        return result
