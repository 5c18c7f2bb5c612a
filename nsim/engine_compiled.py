"""The fast engine: the machine and the mapping as arrays for `event_loop.py`, timesteps in parallel threads.

It follows the rules of `engine_simpy.py` to the picosecond; tests compare every service of both.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nsim import engine_simpy, merge_loop
from nsim.activity import Activity
from nsim.critical_path import ENTRY, PathTimes
from nsim.errors import SimulationError
from nsim.event_loop import Fabric, Load, Log, run_step
from nsim.mapping import Mapping
from nsim.mapping.route import next_hops
from nsim.queues import idle_stations
from nsim.stations import ChunkTimes, Machine, Service, StepTimes
from nsim.tandem import empty_lines

BLOCK_MESSAGES = 20_000  # one call of the loop: long enough to hide the call, short enough to spread over threads


class Engine:
    """Simulates activity on one mapping. The result does not depend on the number of threads.

    critical_path   find that of every timestep
    """

    def __init__(self, mapping: Mapping, machine: Machine, threads: int = 1, critical_path: bool = False) -> None:
        self.mapping, self.machine, self.critical_path = mapping, machine, critical_path
        self.journals = threading.local()  # one per thread, used again: fresh memory is slow
        self.fabric, self.lines, self.load = fabric_of(machine), lines_of(machine, mapping), load_of(mapping)
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._check_range()

    def run(self, activity: Activity) -> Iterator[ChunkTimes]:
        """Times of consecutive timesteps, block by block. Threads start at once, one thread when it is asked for."""
        blocks = self._blocks(activity)
        return self.pool.map(self._run_block, blocks) if self.pool else map(self._run_block, blocks)

    def close(self) -> None:
        """Drop what has not begun."""
        if self.pool:
            self.pool.shutdown(cancel_futures=True)

    def record(self, firing: NDArray[np.int64]) -> tuple[ChunkTimes, Log]:
        """Simulate one timestep and keep every service, in order of completion."""
        log = empty_log(self._services(firing))
        times = ChunkTimes.empty(1, self.machine)
        times.duration_ps[0], missing, written = run_step(
            self.fabric, self.load, np.sort(firing), times.blocked_ps, times.longest_queue, log
        )
        if missing:
            self._name_deadlock(firing)
        return times, Log(*(column[:written] for column in log))

    def _run_block(self, block: tuple[Activity, int, int]) -> ChunkTimes:
        activity, begin, end = block
        times = ChunkTimes.empty(end - begin, self.machine, self.critical_path)
        indptr = activity.indptr[begin : end + 1]
        steps = self.fabric, self.lines, self.load, indptr, activity.neurons
        measured = times.duration_ps, times.blocked_ps, times.longest_queue
        path = times.path or PathTimes.empty(0, self.machine.first)
        paths = path.by_kind_ps, path.service_ps, path.wire_ps
        stuck = merge_loop.run_steps(*steps, *measured, self._journal_for(activity, begin, end), paths)
        if stuck >= 0:
            self._name_deadlock(activity.firing(begin + stuck))
        return times

    def _journal_for(self, activity: Activity, begin: int, end: int) -> NDArray[np.void]:
        """This thread's journal, with room for each of these timesteps; without room if nothing is to be noted."""
        if not self.critical_path:
            return np.empty(0, ENTRY)
        needed = max(self._services(activity.firing(step)) for step in range(begin, end))
        journal = getattr(self.journals, "journal", None)
        if journal is None or journal.size < needed:
            journal = self.journals.journal = np.empty(needed, ENTRY)
        return journal

    def _blocks(self, activity: Activity) -> list[tuple[Activity, int, int]]:
        """Runs of timesteps with about as many messages each."""
        copies = np.diff(self.load.indptr)
        sent = np.concatenate(([0], np.cumsum(copies[activity.neurons])))[activity.indptr]
        ends = np.searchsorted(sent, np.arange(BLOCK_MESSAGES, int(sent[-1]) + BLOCK_MESSAGES, BLOCK_MESSAGES))
        edges = np.unique(np.concatenate(([0], np.minimum(ends, activity.timesteps), [activity.timesteps])))
        return [(activity, begin, end) for begin, end in pairwise(edges.tolist())]

    def _services(self, firing: NDArray[np.int64]) -> int:
        """At most as many services as one timestep can have."""
        copies = self.mapping.copies
        sent = copies.indptr[firing + 1] - copies.indptr[firing]
        hops = self.machine.chip.mesh.columns + self.machine.chip.mesh.rows + 2
        return int(sent.sum()) * (hops + 2) + firing.size + self.machine.cores

    def _name_deadlock(self, firing: NDArray[np.int64]) -> None:
        """The readable engine runs into the same deadlock, and names its stations."""
        engine_simpy.run_timestep(self.mapping, self.machine, firing)
        raise SimulationError(
            "the compiled engine stopped with messages left, the SimPy engine does not, a defect: use --engine simpy"
        )

    def _check_range(self) -> None:
        """A key holds time and station in 63 bits: refuse machines whose timestep could outgrow it."""
        load, bits = self.load, self.fabric.bits
        hops = self.machine.chip.mesh.columns + self.machine.chip.mesh.rows + 2
        per_message = int(self.machine.service_ps.max() + self.machine.wire_ps.max()) * hops
        worst = int(load.synapse_ps.sum()) + load.target.size * per_message
        worst += int(load.allocated.sum()) * load.update_ps + load.core.size * (load.spike_ps + 1)
        if worst >= 1 << (63 - bits):
            raise SimulationError(
                f"a timestep of {self.mapping.network.name!r} may take {worst} ps, but the clock of the compiled "
                f"engine ends at {1 << (63 - bits)}: use --engine simpy"
            )


def run_timestep(mapping: Mapping, machine: Machine, firing: NDArray[np.int64], record: bool = False) -> StepTimes:
    """Simulate one timestep in which these neurons (network indices) fire; record: keep every service."""
    times, log = Engine(mapping, machine).record(firing)
    busy_ps, served = np.zeros((2, machine.stations), np.int64)
    np.add.at(busy_ps, log.station, log.end_ps - log.start_ps)
    np.add.at(served, log.station, 1)
    duration_ps = int(times.duration_ps[0])
    services = [Service(*entry) for entry in zip(*(column.tolist() for column in log), strict=True)] if record else None
    return StepTimes(duration_ps, busy_ps, times.blocked_ps, served, times.longest_queue, services)


def empty_log(services: int) -> Log:
    """Room for this many services; stations are -1 where nothing was written."""
    station, neuron, target, cause = (np.full(services, -1, np.int32) for _ in range(4))
    start_ps, end_ps, left_ps = (np.empty(services, np.int64) for _ in range(3))
    return Log(station, neuron, target, start_ps, end_ps, left_ps, cause)


def fabric_of(machine: Machine) -> Fabric:
    """The machine as arrays."""
    chip = machine.chip
    router_of = np.array([chip.router_of(core) for core in range(machine.cores)], np.int32)
    mesh_0, out_0 = int(machine.first[3]), int(machine.first[4])
    router_behind = np.full(machine.stations, -1, np.int32)
    router_behind[machine.first[2] : mesh_0] = router_of
    router_behind[mesh_0:out_0] = [hop[1] for hop in machine.hops]
    link = np.full((chip.routers, chip.routers), -1, np.int32)
    for index, (source, target) in enumerate(machine.hops):
        link[source, target] = mesh_0 + index
    following = next_hops(chip)
    hop = np.where(following >= 0, link[np.arange(chip.routers)[:, None], following], -1).astype(np.int32)
    bits = max(1, (machine.stations - 1).bit_length())
    stations = idle_stations(machine.capacity, machine.service_ps, machine.wire_ps)
    return Fabric(machine.first, stations, router_behind, router_of, hop, bits)


def lines_of(machine: Machine, mapping: Mapping) -> NDArray[np.void]:
    """The queues of `merge_loop.py` in closed form: those before send, links from and to cores, and synapses."""
    return lines_for(machine, mapping.core, mapping.copies.indptr, mapping.copies.core)


def lines_for(machine: Machine, core: NDArray, indptr: NDArray, target: NDArray) -> NDArray[np.void]:
    """The same for neurons on these cores with copies to these (CSR): no others may fire."""
    cores = machine.cores
    mesh_0, out_0 = int(machine.first[3]), int(machine.first[4])
    coming = np.zeros(machine.stations, np.int64)  # messages that may come to a station in one timestep
    coming[cores : 2 * cores] = np.bincount(core, minlength=cores)
    coming[2 * cores : mesh_0] = np.bincount(core, np.diff(indptr), minlength=cores)
    coming[out_0:] = np.tile(np.bincount(target, minlength=cores), 2)
    return empty_lines(machine.capacity, coming)


def load_of(mapping: Mapping) -> Load:
    """The mapping as arrays, at the costs of a timestep's sweep."""
    actions = mapping.chip.actions
    return load_at(mapping, actions.neuron_update.latency_ps, actions.spike.latency_ps)


def load_at(mapping: Mapping, update_ps: int, spike_ps: int) -> Load:
    """The mapping as arrays, with these costs of a sweep."""
    order = np.lexsort((np.arange(mapping.core.size), mapping.core))
    ascending = np.diff(mapping.slot[order]) > 0
    if not (ascending | (np.diff(mapping.core[order]) > 0)).all() or mapping.slot.max(initial=0) >= 1 << 31:
        raise SimulationError(
            "the compiled engine needs slots below 2^31 that ascend with the neuron index in every core"
        )
    copies = mapping.copies
    return Load(
        mapping.core.astype(np.int32),
        mapping.slot.astype(np.int32),
        copies.indptr,
        copies.core.astype(np.int32),
        copies.service_ps,
        mapping.allocated,
        update_ps,
        spike_ps,
    )
