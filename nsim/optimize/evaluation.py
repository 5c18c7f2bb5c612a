"""One evaluation: the exact time and energy of a candidate on recorded activity, in milliseconds.

It is the simulation of `nsim.simulate` on the neurons that fire and no others, with what a slice causes kept for the
next candidate that holds the same slice. The event loop, its rules and its costs are those of every other run.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nsim.chip.timesteps import Management
from nsim.errors import SimulationError
from nsim.machine.compiled import merge as merge_loop
from nsim.machine.compiled.timesteps import fabric_of, lines_for
from nsim.machine.compiled.timesteps_hooks import Load
from nsim.machine.path import ENTRY, PathTimes
from nsim.machine.stations import KINDS, build_machine
from nsim.mapping.cores.partition import Demand, Rules, Slice
from nsim.mapping.cores.storage import FORMATS, message_work
from nsim.network.activity import Activity, layer_offsets
from nsim.optimize.candidate import Candidate
from nsim.optimize.objectives import Taken
from nsim.result.energy import energy_of, running_fj


@dataclass(frozen=True, eq=False)
class Evaluation(Taken):
    """What a candidate takes, summed over the evaluated timesteps, barriers included.

    path   what the critical paths consist of; None if not asked for
    """

    time_ps: int
    barrier_ps: int
    management_ps: int
    path: PathTimes | None

    @property
    def states(self) -> dict[str, int]:
        """Time on the critical path by state; it sums to `time_ps`."""
        assert self.path is not None
        times = {state: int(each.sum()) for state, each in self.path.by_state_ps(KINDS).items()}
        behind = {"barrier": self.barrier_ps, "management": self.management_ps}
        return times | {state: each * len(self.path.by_kind_ps) for state, each in behind.items()}

    @property
    def state(self) -> str:
        return max(self.states, key=self.states.__getitem__)


@dataclass(frozen=True, eq=False)
class Work:
    """What the activity makes of one slice. Neurons are numbered among those that fire.

    source, time_ps      int64[copies]    neurons whose messages cause work there, and for how long each
    neurons, place       int64[fired]     the slice's own that fire, and their places in its sweep
    synops, words        over all evaluated timesteps; synops by format
    memory_ps, compute_ps   time of its synapses and of its sweep, over all evaluated timesteps
    update_ps, updates      time of an update, and updates of a timestep by action
    """

    source: NDArray[np.int64]
    time_ps: NDArray[np.int64]
    neurons: NDArray[np.int64]
    place: NDArray[np.int64]
    synops: NDArray[np.int64]
    words: int
    memory_ps: int
    compute_ps: int
    update_ps: int
    updates: dict[str, int]

    @property
    def load_ps(self) -> int:
        """Sweep and synapses work side by side: the longer of the two."""
        return max(self.memory_ps, self.compute_ps)


class Copies:
    """The copies of messages that a candidate makes, by neuron that fires (CSR): target cores and time at synapses.

    core, slot   int64[fired]   physical core of each neuron, and where its update in the sweep ends, less 1, in ps
    allocated    int64[cores]   the whole sweep, in ps
    updates      neurons updated in a timestep, by action; used: cores
    """

    def __init__(self, simulator: Simulator, candidate: Candidate) -> None:
        works, cores = [], []
        fired = simulator.fired.size
        self.core, self.slot = np.full(fired, simulator.rules.chip.cores), np.zeros(fired, np.int64)
        self.allocated = np.zeros(simulator.machine.cores, np.int64)
        for logical in np.argsort(candidate.placement).tolist():
            core, swept_ps = candidate.placement[logical], 0
            for piece in candidate.partition[logical]:
                work = simulator.work(piece)
                self.core[work.neurons] = core
                self.slot[work.neurons] = swept_ps + (work.place + 1) * work.update_ps - 1
                swept_ps += piece.box.neurons * work.update_ps
                self.allocated[core] += piece.allocated * work.update_ps
                works.append(work)
                cores.append(core)
        self.synops = np.sum([work.synops for work in works], axis=0)
        self.words = sum(work.words for work in works)
        self.used, self.updates = len(set(cores)), Counter[str]()
        for work in works:
            self.updates.update(work.updates)
        lengths = np.array([work.source.size for work in works])
        source, time_ps = (np.concatenate([getattr(work, name) for work in works]) for name in ("source", "time_ps"))
        received_ps = simulator.rules.chip.actions.message_in.latency_ps
        self.indptr, self.target, service_ps = _merged(np.array(cores), lengths, source, time_ps, fired, received_ps)
        self.service_ps = np.maximum(1, service_ps)

    def moved(self, before: Candidate, after: Candidate) -> Copies:
        """Those of a candidate that differs in its placement only."""
        place = np.arange(self.allocated.size)
        place[list(before.placement)] = after.placement
        same = copy.copy(self)
        same.core, same.allocated = place[self.core], np.zeros_like(self.allocated)
        same.allocated[list(after.placement)] = self.allocated[list(before.placement)]
        same.target, same.service_ps = place[self.target].astype(np.int32), self.service_ps.copy()
        _ordered(same.indptr, same.target, same.service_ps)
        return same


class Simulator:
    """Evaluates candidates on some timesteps of activity."""

    def __init__(self, rules: Rules, activity: Activity) -> None:
        self.rules, chip = rules, rules.chip
        self.machine = build_machine(chip)
        self.fabric = fabric_of(self.machine)
        every = chip.core.axons_out is not None  # then silent neurons count, too
        offsets = layer_offsets(rules.network)
        self.fired = np.arange(offsets[-1]) if every else np.unique(activity.neurons)
        self.indptr, self.steps = activity.indptr, activity.timesteps
        self.firing = np.searchsorted(self.fired, activity.neurons)
        self.times_fired = np.bincount(self.firing, minlength=self.fired.size)
        ends = np.searchsorted(self.fired, offsets)
        self.ranges = {layer.name: slice(*ends[k : k + 2]) for k, layer in enumerate(rules.network.layers)}
        self.offsets = dict(zip(rules.network.by_name, offsets.tolist(), strict=False))
        routers = chip.core_routers
        self.router_of, self.columns = routers, chip.columns
        self.works: dict[Slice, Work] = {}
        self.demands: dict[Slice, Demand] = {}
        self.fitting: dict[Slice, bool] = {}
        self.journal = np.empty(0, ENTRY)

    @cached_property
    def spikes(self) -> int:
        """Neurons on the chip that fire, over all evaluated timesteps."""
        layers = [layer for layer in self.rules.network.layers if layer.on_chip]
        return sum(int(self.times_fired[self.ranges[layer.name]].sum()) for layer in layers)

    @cached_property
    def local(self) -> dict[str, NDArray[np.int64]]:
        """By layer: indices in it of its neurons that fire."""
        return {layer: self.fired[own] - self.offsets[layer] for layer, own in self.ranges.items()}

    @cached_property
    def positions(self) -> dict[str, NDArray[np.int64]]:
        """By layer: channel, row and column of its neurons that fire, int64[3, fired]."""
        shapes = {layer.name: layer.shape for layer in self.rules.network.layers}
        return {layer: np.array(np.unravel_index(local, shapes[layer])) for layer, local in self.local.items()}

    def demand(self, piece: Slice) -> Demand:
        if piece not in self.demands:
            self.demands[piece] = self.rules.demand(piece)
        return self.demands[piece]

    def fits(self, piece: Slice) -> bool:
        """Whether a core can hold the slice alone."""
        if piece not in self.fitting:
            self.fitting[piece] = self.demand(piece).overload(self.rules.chip) <= 1
        return self.fitting[piece]

    def work(self, piece: Slice) -> Work:
        if piece not in self.works:
            self.works[piece] = self.measure(piece)
        return self.works[piece]

    def measure(self, piece: Slice) -> Work:
        """The work of a slice that will not be asked for again."""
        actions, network = self.rules.chip.actions, self.rules.network
        sources, times, synops, words = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], np.zeros(len(FORMATS)), 0
        for connection in network.incoming(piece.layer):
            among = self.local[connection.source]
            form, source, done, read, time_ps = message_work(
                connection, piece.laid_out, self.rules.chip, self.rules.dense_layers, among
            )
            number = self.ranges[connection.source].start + source
            sources.append(number)
            times.append(time_ps)
            synops[FORMATS.index(form)] += self.times_fired[number] @ done
            words += int(self.times_fired[number] @ read)
        source, time_ps = np.concatenate(sources), np.concatenate(times)
        neurons, place = self._held(piece)
        received = self.messages_from(source)
        spikes = int(self.times_fired[neurons].sum())
        action = self.rules.chip.update_action(network.by_name[piece.layer].neuron.microcode)
        update_ps = getattr(actions, action).latency_ps
        return Work(
            source,
            time_ps,
            neurons,
            place,
            synops.astype(np.int64),
            words,
            int(self.times_fired[source] @ time_ps) + received * actions.message_in.latency_ps,
            self.steps * piece.allocated * update_ps + spikes * actions.spike.latency_ps,
            max(1, update_ps),
            {action: piece.allocated},
        )

    def messages_from(self, source: NDArray[np.int64]) -> int:
        """Messages of these neurons, each counted once, over all evaluated timesteps."""
        sends = np.zeros(self.fired.size, bool)
        sends[source] = True
        return int(self.times_fired[sends].sum())

    def _held(self, piece: Slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The slice's neurons that fire, and their places in its sweep, which goes through its box row by row."""
        position = self.positions[piece.layer]
        low, high = np.array([piece.box.channels, piece.box.rows, piece.box.columns]).T
        inside = ((position >= low[:, None]) & (position < high[:, None])).all(axis=0)
        place = np.ravel_multi_index(tuple(position[:, inside] - low[:, None]), piece.box.extent)
        return self.ranges[piece.layer].start + np.flatnonzero(inside), place

    def axons_out(self, copies: Copies) -> int:
        """The most outgoing axons of any core: one per neuron and destination core."""
        used = np.bincount(copies.core, np.diff(copies.indptr), minlength=self.machine.cores)
        return int(used[:-1].max())

    def evaluate(self, candidate: Candidate, copies: Copies | None = None, path: bool = False) -> Evaluation:
        """Time, known energy and cores; the candidate must keep the limits of the chip."""
        copies = copies or Copies(self, candidate)
        duration_ps, paths = self._simulated(copies, path)
        routers = np.unique(self.router_of[list(candidate.placement)]).size
        chips = self.chips_of(candidate)
        barrier_ps = self.rules.chip.barrier_ps(routers, chips)
        management_ps = self.rules.chip.management_ps(Management())
        time_ps = int(duration_ps.sum()) + (barrier_ps + management_ps) * self.steps
        energy_fj = self._energy_fj(copies, time_ps, chips)
        return Evaluation(time_ps, energy_fj, candidate.used, barrier_ps, management_ps, paths)

    def _simulated(self, copies: Copies, path: bool) -> tuple[NDArray[np.int64], PathTimes | None]:
        chip, stations = self.rules.chip, self.machine.stations
        load = Load(
            copies.core.astype(np.int32),
            copies.slot.astype(np.int32),
            copies.indptr,
            copies.target,
            copies.service_ps,
            copies.allocated,
            1,
            chip.actions.spike.latency_ps,
        )
        duration_ps, blocked_ps, queue = (
            np.zeros(self.steps, np.int64),
            np.zeros(stations, np.int64),
            np.zeros(stations),
        )
        lines = lines_for(self.machine, copies.core, copies.indptr, copies.target)
        paths = PathTimes.empty(self.steps if path else 0, self.machine.first)
        stuck = merge_loop.run_steps(
            *(self.fabric, lines, load, self.indptr, self.firing, duration_ps, blocked_ps, queue.astype(np.int64)),
            self._journal_for(copies) if path else np.empty(0, ENTRY),
            (paths.by_kind_ps, paths.service_ps, paths.wire_ps),
        )
        if stuck >= 0:
            raise SimulationError(
                f"network {self.rules.network.name!r} ran into a deadlock while it was optimised: begin with "
                "another --partition"
            )
        return duration_ps, paths if path else None

    def _journal_for(self, copies: Copies) -> NDArray[np.void]:
        """Room for the services of the longest timestep, used again."""
        sent = np.diff(copies.indptr)[self.firing]
        most = max(int(sent[a:b].sum()) for a, b in zip(self.indptr, self.indptr[1:], strict=False))
        services = most * (self.rules.chip.columns + self.rules.chip.rows + 4)
        services += int(np.diff(self.indptr).max()) + self.machine.cores
        if self.journal.size < services:
            self.journal = np.empty(services, ENTRY)
        return self.journal

    def chips_of(self, candidate: Candidate) -> int:
        """How many chips a candidate is on."""
        return len({self.rules.chip.chip_of(core) for core in candidate.placement})

    def _energy_fj(self, copies: Copies, time_ps: int, chips: int) -> float:
        """Counts times costs, as `nsim.result.timesteps` counts them."""
        chip, routers = self.rules.chip, self.router_of
        x, y = routers % self.columns, routers // self.columns
        sending = copies.core, self.times_fired, copies.indptr, copies.target
        received, sent, columns, rows = _messages(*sending, x, y, chip.cores)
        between = {}
        if chip.chips > 1:
            _, _, *crossed = _messages(*sending, x // chip.mesh.columns, y // chip.mesh.rows, chip.cores)
            columns, rows, between = columns - crossed[0], rows - crossed[1], {"chip_to_chip": sum(crossed)}
        actions = {
            **{action: count * self.steps for action, count in copies.updates.items()},
            "spike": self.spikes,
            "message_out": sent,
            "message_in": received,
            **{f"synop_{form}": int(copies.synops[k]) for k, form in enumerate(FORMATS)},
            "word_read": copies.words,
        }
        ends = {"core_to_router": received, "router_to_core": received}
        counts = {**actions, **ends, "east_west": columns, "north_south": rows, **between}
        more = running_fj(chip, Management(), self.steps, 1, copies.used, time_ps, chips)
        return energy_of(chip, counts, time_ps, more, chips).known_fj

    def traffic(self, candidate: Candidate, copies: Copies) -> NDArray[np.int64]:
        """Messages between logical cores, over all evaluated timesteps; the host is the last row and column."""
        cores = candidate.used
        logical = np.full(self.machine.cores, cores)
        logical[list(candidate.placement)] = np.arange(cores)
        owner = np.repeat(logical[copies.core], np.diff(copies.indptr))
        sent = np.repeat(self.times_fired, np.diff(copies.indptr))
        pair = owner * (cores + 1) + logical[copies.target]
        traffic = np.bincount(pair, sent, minlength=(cores + 1) ** 2)
        return traffic.reshape(cores + 1, cores + 1).astype(np.int64)


@njit(cache=True, nogil=True)
def _merged(cores, lengths, source, time_ps, neurons, received_ps):
    """One copy per neuron and core, ordered by both: slices on one core have one copy, whose work adds up.

    cores, lengths    int64[slices]   physical core of each slice, ascending, and how many sources it has
    source, time_ps   int64           of one slice after another
    returns           indptr int64[neurons + 1], target int32[copies], service_ps int64[copies]
    """
    last = np.full(neurons, -1, np.int64)
    indptr = np.zeros(neurons + 1, np.int64)
    k = 0
    for piece in range(cores.size):
        for _ in range(lengths[piece]):
            if last[source[k]] != cores[piece]:
                last[source[k]] = cores[piece]
                indptr[source[k] + 1] += 1
            k += 1
    for neuron in range(neurons):
        indptr[neuron + 1] += indptr[neuron]
    ends = indptr[:-1].copy()
    target, service_ps = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.int64)
    last[:] = -1
    k = 0
    for piece in range(cores.size):
        for _ in range(lengths[piece]):
            neuron = source[k]
            if last[neuron] != cores[piece]:
                last[neuron] = cores[piece]
                target[ends[neuron]], service_ps[ends[neuron]] = cores[piece], received_ps
                ends[neuron] += 1
            service_ps[ends[neuron] - 1] += time_ps[k]
            k += 1
    return indptr, target, service_ps


@njit(cache=True, nogil=True)
def _ordered(indptr, target, service_ps):
    """Put each neuron's copies in order of their target, in place: they are few, so by insertion."""
    for neuron in range(indptr.size - 1):
        for k in range(indptr[neuron] + 1, indptr[neuron + 1]):
            core, time_ps = target[k], service_ps[k]
            at = k
            while at > indptr[neuron] and target[at - 1] > core:
                target[at], service_ps[at] = target[at - 1], service_ps[at - 1]
                at -= 1
            target[at], service_ps[at] = core, time_ps


@njit(cache=True, nogil=True)
def _messages(core, times_fired, indptr, target, x, y, host):
    """Messages received, those among them that cores sent, and the links between routers that they cross."""
    received, sent, columns, rows = 0, 0, 0, 0
    for neuron in range(core.size):
        here, times = core[neuron], times_fired[neuron]
        for number in range(indptr[neuron], indptr[neuron + 1]):
            there = target[number]
            columns += times * abs(x[here] - x[there])
            rows += times * abs(y[here] - y[there])
        copies = times * (indptr[neuron + 1] - indptr[neuron])
        received += copies
        if here != host:
            sent += copies
    return received, sent, columns, rows
