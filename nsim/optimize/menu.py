"""What a cut of a layer costs, by timestep: the time of its busiest slice, and the copies that it asks for.

The counts are exact and need no simulation: of a convolution, rows and columns of sources that reach a box separate; of
other synapses, synops are summed up along the axis that is cut. What fits neither is counted box by box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from nsim.chip.timesteps import BarrierChip
from nsim.mapping.cores.partition import AXES, Slice
from nsim.mapping.cores.storage import index_bits, message_work, storage_format, stores_zeros, synops_per_message
from nsim.network.layers import Connection, Layer
from nsim.network.synapses import Box, Convolution, Dense
from nsim.optimize.cuts import share_of
from nsim.optimize.evaluation import Simulator
from nsim.optimize.kernels import slice_work, sums_in_boxes
from nsim.result.energy import known_cost_fj

Cut = tuple[Slice, ...]


@dataclass(frozen=True, eq=False)
class Firing:
    """The neurons of one layer that fire, numbered from 0, by timestep.

    indptr, neurons   int64[timesteps + 1] and int64[messages] (CSR)
    position          int64[3, neurons]    channel, row and column
    """

    indptr: NDArray[np.int64]
    neurons: NDArray[np.int64]
    position: NDArray[np.int64]
    shape: tuple[int, int, int]

    @staticmethod
    def of(simulator: Simulator, layer: Layer) -> Firing:
        own = simulator.ranges[layer.name]
        inside = (simulator.firing >= own.start) & (simulator.firing < own.stop)
        indptr = np.concatenate(([0], np.cumsum(inside)))[simulator.indptr]
        return Firing(indptr, simulator.firing[inside] - own.start, simulator.positions[layer.name], layer.shape)

    @property
    def count(self) -> int:
        """How many neurons fire at all."""
        return self.position.shape[1]

    @cached_property
    def step(self) -> NDArray[np.int64]:
        """Timestep of every message."""
        return np.repeat(np.arange(self.indptr.size - 1), np.diff(self.indptr))

    def by_step(self, weight: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sum over the messages of each timestep of what each neuron's are worth."""
        return np.bincount(self.step, weight[self.neurons], minlength=self.indptr.size - 1).astype(np.int64)

    def in_boxes(self, copies: NDArray[np.int64], slices: Sequence[Slice]) -> NDArray[np.int64]:
        """What the neurons of each slice send: int64[slices, timesteps]."""
        boxes = np.array([(*piece.box.channels, *piece.box.rows, *piece.box.columns) for piece in slices])
        return sums_in_boxes(self.shape, self.position, copies, self.indptr, self.neurons, boxes)


@dataclass(frozen=True, eq=False)
class Arrivals:
    """What the messages of one layer cause in the slices of a cut of another.

    busy_ps, received   int64[slices, timesteps]   time of the synapses, and messages
    reached             uint16[neurons that fire]  slices that a message reaches
    """

    busy_ps: NDArray[np.int64]
    received: NDArray[np.int64]
    reached: NDArray[np.uint16]


class Source:
    """The messages of one layer into another, through one or more connections, counted box by box."""

    def __init__(self, simulator: Simulator, layer: Layer, firing: Firing, connections: Sequence[Connection]) -> None:
        self.simulator, self.layer, self.firing, self.connections = simulator, layer, firing, connections
        self.chip, self.dense_layers = simulator.rules.chip, simulator.rules.dense_layers
        self.local = simulator.local[connections[0].source]
        self.received_ps = self.chip.actions.message_in.latency_ps

    def arrivals(self, cut: Cut) -> Arrivals:
        busy, received = [], []
        reached = np.zeros(self.firing.count, np.uint16)
        for piece in cut:
            time_ps, hit = np.zeros(self.firing.count, np.int64), np.zeros(self.firing.count, bool)
            for connection in self.connections:
                _, source, _, _, each = message_work(
                    connection, piece.laid_out, self.chip, self.dense_layers, self.local
                )
                time_ps[source] += each
                hit[source] = True
            busy.append(self.firing.by_step(np.where(hit, np.maximum(1, time_ps + self.received_ps), 0)))
            received.append(self.firing.by_step(hit.astype(np.int64)))
            reached += hit
        return Arrivals(np.array(busy), np.array(received), reached)


class TableSource(Source):
    """Connections stored source by source: along one axis, synops of a slice are a difference of sums."""

    def __init__(self, *given) -> None:
        super().__init__(*given)
        self.tables: dict[str, NDArray[np.int32]] = {}
        self.forms = [storage_format(connection, self.chip, self.dense_layers) for connection in self.connections]

    def arrivals(self, cut: Cut) -> Arrivals:
        axes = [axis for axis in AXES if len({getattr(piece.box, axis) for piece in cut}) > 1]
        if len(axes) > 1:
            return super().arrivals(cut)
        axis = axes[0] if axes else "channels"
        granule, formats, actions = self.layer.neuron.granule, self.chip.formats, self.chip.actions
        low, high = np.array([getattr(piece.box, axis) for piece in cut]).T // granule
        bits = [
            [c.weight_bits + (index_bits(self.chip, piece.box.neurons) if form == "sparse" else 0) for piece in cut]
            for c, form in zip(self.connections, self.forms, strict=True)
        ]
        found = slice_work(
            self._table(axis),
            low,
            high,
            np.array(bits),
            np.array([getattr(formats, form).header_bits for form in self.forms]),
            self.chip.core.word_bits,
            actions.word_read.latency_ps,
            np.array([getattr(actions, f"synop_{form}").latency_ps for form in self.forms]),
            self.received_ps,
            self.firing.indptr,
            self.firing.neurons,
        )
        return Arrivals(*found)

    def _table(self, axis: str) -> NDArray[np.int32]:
        """Synops of one message before each granule: int32[connections, sources that fire, granules + 1]."""
        if axis not in self.tables:
            granules = self.layer.shape[AXES.index(axis)] // self.layer.neuron.granule
            synops = np.zeros((len(self.connections), self.firing.count, granules + 1), np.int32)
            for granule in range(granules):
                box = share_of(self.layer, axis, granule, granule + 1).box
                for number, (connection, form) in enumerate(zip(self.connections, self.forms, strict=True)):
                    synops[number, :, granule + 1] = synops_per_message(connection, box, form, self.chip)[self.local]
            self.tables[axis] = np.cumsum(synops, axis=2, dtype=np.int32)
        return self.tables[axis]


class ConvolutionSource(Source):
    """A convolution: taps of a message in a box are those along its row times those along its column."""

    def __init__(self, *given) -> None:
        super().__init__(*given)
        self.connection = self.connections[0]
        assert isinstance(self.connection.synapses, Convolution)
        self.synapses = self.connection.synapses
        per_group = self.synapses.kernel.shape[1]
        self.group = self.firing.position[0] // per_group
        self.groups = self.firing.shape[0] // per_group
        self.by_columns: dict[tuple, tuple[NDArray, NDArray]] = {}

    @cached_property
    def fired(self) -> NDArray[np.float64]:
        """Messages by place: [timesteps, groups, rows, columns]. Floats, for fast products; all stay exact."""
        shape = (self.firing.indptr.size - 1, self.groups, *self.firing.shape[1:])
        n = self.firing.neurons
        place = (self.firing.step, self.group[n], self.firing.position[1, n], self.firing.position[2, n])
        return np.bincount(np.ravel_multi_index(place, shape), minlength=int(np.prod(shape))).reshape(shape) * 1.0

    def arrivals(self, cut: Cut) -> Arrivals:
        channels, rows, columns = (tuple(sorted({getattr(piece.box, axis) for piece in cut})) for axis in AXES)
        if [Box(*box) for box in product(channels, rows, columns)] != [piece.box for piece in cut]:
            return super().arrivals(cut)
        row_taps = np.array([self.synapses.reach(0, *each).sum(axis=1) for each in rows], float)
        column_taps = np.array([self.synapses.reach(1, *each).sum(axis=1) for each in columns], float)
        synops = np.array([self._synops(each) for each in channels])
        time_ps = np.array([self._tap_ps(each) for each in channels])[:, None] * 1.0
        time_ps = np.maximum(time_ps, synops * self.chip.actions.synop_conv.latency_ps) * (synops > 0)
        shape = len(cut), self.firing.indptr.size - 1
        taps, hits = self._through_columns(columns, column_taps)
        busy = np.einsum("qg,rh,tghk->qrkt", time_ps, row_taps, taps, optimize=True).reshape(shape)
        hit = np.array(synops > 0, float), np.array(row_taps > 0, float)
        received = np.einsum("qg,rh,tghk->qrkt", *hit, hits, optimize=True).reshape(shape)
        counts = [(each > 0).sum(axis=0) for each in (synops, row_taps, column_taps)]
        channel, row, column = self.group, *self.firing.position[1:]
        reached = counts[0][channel] * counts[1][row] * counts[2][column]
        return Arrivals(
            np.rint(busy + received * self.received_ps).astype(np.int64),
            np.rint(received).astype(np.int64),
            reached.astype(np.uint16),
        )

    def _through_columns(self, columns: tuple, taps: NDArray) -> tuple[NDArray, NDArray]:
        """Taps, and messages, that come to each range of columns: [timesteps, groups, source rows, ranges]."""
        if columns not in self.by_columns:
            self.by_columns[columns] = self.fired @ taps.T, self.fired @ (taps.T > 0).astype(float)
        return self.by_columns[columns]

    def _synops(self, channels: tuple[int, int]) -> NDArray[np.int64]:
        """Synops of one tap of a message of each group, in a box with these channels."""
        box = Box(channels, *((0, n) for n in self.layer.shape[1:]))
        return self.synapses.channels_reached(box)[:: self.synapses.kernel.shape[1]]

    def _tap_ps(self, channels: tuple[int, int]) -> int:
        """Time to read the weights of one tap there."""
        words = -(-(channels[1] - channels[0]) * self.connection.weight_bits // self.chip.core.word_bits)
        return words * self.chip.actions.word_read.latency_ps


def has_stored_zeros(connection: Connection, chip: BarrierChip, dense_layers: str | None) -> bool:
    """Whether weights are stored that are no synops, so that words and synops have to be counted apart."""
    synapses = connection.synapses
    if isinstance(synapses, Convolution):
        return chip.skips_conv_zeros and bool((synapses.kernel == 0).any())
    return (
        isinstance(synapses, Dense)
        and stores_zeros(connection, chip, dense_layers)
        and bool((synapses.matrix == 0).any())
    )


def source_of(simulator: Simulator, layer: Layer, firing: Firing, connections: Sequence[Connection]) -> Source:
    """The quickest way to count these connections of one layer into another."""
    kinds = {connection.synapses.kind for connection in connections}
    if any(
        has_stored_zeros(connection, simulator.rules.chip, simulator.rules.dense_layers) for connection in connections
    ):
        return Source(simulator, layer, firing, connections)
    if "conv" not in kinds:
        return TableSource(simulator, layer, firing, connections)
    return (ConvolutionSource if len(connections) == 1 else Source)(simulator, layer, firing, connections)


@dataclass(frozen=True, eq=False)
class Menu:
    """Cuts of one layer, each on cores of its own, and what they cost.

    cores      int64[cuts]
    busy_ps    float64[cuts, timesteps]   the busiest slice: the longest of its synapses, sweep and link
    energy_fj  float64[cuts]              updates and messages received, over all timesteps, as far as it is known
    reached    by source layer: uint16[neurons that fire, cuts], slices that a message reaches
    first      int64[cuts]                first slice of each cut, of all in a row
    """

    cuts: tuple[Cut, ...]
    cores: NDArray[np.int64]
    busy_ps: NDArray[np.float64]
    energy_fj: NDArray[np.float64]
    reached: dict[str, NDArray[np.uint16]]
    first: NDArray[np.int64]

    def __add__(self, other: Menu) -> Menu:
        """These cuts, then those of another menu of the same layer."""
        return Menu(
            self.cuts + other.cuts,
            np.concatenate((self.cores, other.cores)),
            np.concatenate((self.busy_ps, other.busy_ps)),
            np.concatenate((self.energy_fj, other.energy_fj)),
            {name: np.concatenate((mine, other.reached[name]), axis=1) for name, mine in self.reached.items()},
            np.concatenate((self.first, other.first + int(self.cores.sum()))),
        )

    @cached_property
    def number(self) -> dict[Cut, int]:
        return {cut: number for number, cut in enumerate(self.cuts)}

    @cached_property
    def slices(self) -> list[Slice]:
        return [piece for cut in self.cuts for piece in cut]


def menu_of(simulator: Simulator, layer: Layer, cuts: Sequence[Cut], firing: dict[str, Firing]) -> Menu:
    """The menu of a layer.

    cuts   all of them fit the chip
    """
    chip, network = simulator.rules.chip, simulator.rules.network
    into: dict[str, list[Connection]] = {}
    for connection in network.incoming(layer.name):
        into.setdefault(connection.source, []).append(connection)
    sources = {name: source_of(simulator, layer, firing[name], joined) for name, joined in into.items()}
    every = [piece for cut in cuts for piece in cut]
    cores = np.array([len(cut) for cut in cuts])
    first = np.concatenate(([0], np.cumsum(cores)[:-1]))
    own = firing[layer.name]
    spikes = own.in_boxes(np.ones(own.count, np.int64), every)
    allocated = np.array([piece.allocated for piece in every])[:, None]
    memory, received, sent = (np.zeros_like(spikes) for _ in range(3))
    reached = {name: np.zeros((source.firing.count, len(cuts)), np.uint16) for name, source in sources.items()}
    for number, cut in enumerate(cuts):
        held = slice(first[number], first[number] + len(cut))
        for name, source in sources.items():
            arrivals = source.arrivals(cut)
            memory[held] += arrivals.busy_ps
            received[held] += arrivals.received
            sent[held] += arrivals.received * network.by_name[name].on_chip
            reached[name][:, number] = arrivals.reached
    microcode = layer.neuron.microcode
    compute = allocated * chip.update_ps(microcode) + spikes * chip.actions.spike.latency_ps
    busy = np.maximum(np.maximum(memory, compute), received * chip.link_service_ps("router_to_core"))
    actions = {chip.update_action(microcode): allocated * simulator.steps, "message_in": received, "message_out": sent}
    actions |= dict.fromkeys(("core_to_router", "router_to_core"), received)
    by_slice = sum(number.sum(axis=1) * known_cost_fj(chip, name) for name, number in actions.items())
    energy = np.add.reduceat(by_slice, first)
    return Menu(tuple(cuts), cores, np.maximum.reduceat(busy, first, axis=0) * 1.0, energy, reached, first)
