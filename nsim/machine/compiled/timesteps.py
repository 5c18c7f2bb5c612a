"""The fast engine of timesteps: machine and mapping as arrays for the event loop, timesteps in parallel threads.

Runs without a log take the short cut of `merge.py`, and while no queue between routers fills up, that of `forward.py`.
Tests compare all with the SimPy engine, service by service.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nsim.errors import SimulationError
from nsim.machine.compiled import forward
from nsim.machine.compiled import merge as merge_loop
from nsim.machine.compiled.loop import NOW, Run, bits_of
from nsim.machine.compiled.queues import idle_stations
from nsim.machine.compiled.tandem import empty_lines
from nsim.machine.compiled.timesteps_hooks import Fabric, Load, Steps, messages_ps, run_step, start_sweeps
from nsim.machine.path import ENTRY, PathTimes
from nsim.machine.services import Log
from nsim.machine.simpy import timesteps as engine_simpy
from nsim.machine.stations import ChunkTimes, MeshMachine, StepTimes
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.cores.route import link_ends, links_onward
from nsim.network.activity import Activity

BLOCK_MESSAGES = 20_000  # one call of the loop: long enough to hide the call, short enough to spread over threads
SHORTEST_PAUSE, LONGEST_PAUSE = 4, 64  # timesteps for the loop alone after a pass that failed at once: 4, 16, 64


class Block(NamedTuple):
    """Timesteps for one thread: from `begin` to before `end`, and the most messages and spikes of one of them."""

    activity: Activity
    begin: int
    end: int
    messages: int
    spikes: int


class Own(threading.local):
    """What each thread uses again: fresh memory is slow.

    journal       of the loop
    work          of the pass, and the messages and spikes for which it has room
    pause, left   timesteps for the loop alone after the last pass that failed, and those that are left of them
    """

    def __init__(self) -> None:
        self.journal = np.empty(0, ENTRY)
        self.work: forward.Work | None = None
        self.room = 0, 0
        self.pause = self.left = 0

    def work_for(self, grid: forward.Grid, messages: int, spikes: int) -> forward.Work:
        """Room for timesteps with so many messages and spikes."""
        if self.work is None or messages > self.room[0] or spikes > self.room[1]:
            self.room = max(messages, self.room[0]), max(spikes, self.room[1])
            self.work = forward.work_for(grid, *self.room)
        return self.work

    def give_way(self, steps: int) -> None:
        """A pass has failed after so many timesteps: it is the loop's turn."""
        self.pause = 1 if steps else min(LONGEST_PAUSE, SHORTEST_PAUSE * max(1, self.pause))
        self.left = self.pause


class Engine:
    """Simulates activity on one mapping. The result does not depend on the number of threads.

    critical_path   find that of every timestep
    """

    def __init__(self, mapping: Mapping, machine: MeshMachine, threads: int = 1, critical_path: bool = False) -> None:
        self.mapping, self.machine, self.critical_path = mapping, machine, critical_path
        self.own = Own()
        self.fabric, self.lines, self.load = fabric_of(machine), lines_of(machine, mapping), load_of(mapping)
        self.grid = None if critical_path else grid_of(machine, self.fabric, self.load)
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self.copies = np.diff(self.load.indptr)  # that each neuron sends
        self.limit_ps = 1 << (63 - self.fabric.bits)
        self.neuron_ps = None if longest_ps(machine, self.load) < self.limit_ps else self._by_neuron()

    def run(self, activity: Activity) -> Iterator[ChunkTimes]:
        """Times of consecutive timesteps, block by block. Threads start at once, one thread when it is asked for."""
        self._check_range(activity.indptr, activity.neurons)
        blocks = self._blocks(activity)
        return self.pool.map(self._run_block, blocks) if self.pool else map(self._run_block, blocks)

    def close(self) -> None:
        """Drop what has not begun."""
        if self.pool:
            self.pool.shutdown(cancel_futures=True)

    def record(self, firing: NDArray[np.int64]) -> tuple[ChunkTimes, Log]:
        """Simulate one timestep and keep every service, in order of completion."""
        step = self.step(firing, record=True)
        return ChunkTimes.of(step), step.services

    def step(self, firing: NDArray[np.int64], record: bool) -> StepTimes:
        """The same, with all that stations measure; record: keep every service."""
        self._check_range(np.array([0, firing.size]), firing)
        services = self._services(firing) if record else 0
        run = run_firing(self.machine, self.fabric, self.load, np.sort(firing), services)
        sent = int((self.load.indptr[firing + 1] - self.load.indptr[firing]).sum())
        if run.stations["served"][self.machine.first[5] :].sum() < sent:
            self._name_deadlock(firing)
        return StepTimes(duration_ps=int(run.numbers[NOW]), **run.measured())

    def _run_block(self, block: Block) -> ChunkTimes:
        """Simulate some timesteps: by passes, and by the loop where one fails and for a while from there on."""
        activity, begin, end, messages, spikes = block
        own, times = self.own, ChunkTimes.empty(end - begin, self.machine, self.critical_path)
        work = None
        if self.grid is not None and messages <= forward.MOST_MESSAGES:
            work = own.work_for(self.grid, messages, spikes)
        step = begin
        while step < end:
            if work is not None and not own.left:
                done = self._pass(activity, step, end, times, begin, work)
                step += done
                if step == end:
                    break
                own.give_way(done)
            stop = end if work is None else min(end, step + own.left)
            self._loop(activity, step, stop, times, begin)
            own.left -= min(own.left, stop - step)
            step = stop
        return times

    def _pass(self, activity: Activity, step: int, end: int, times: ChunkTimes, begin: int, work: forward.Work) -> int:
        """Timesteps from `step` on in one pass each, up to the first that fails: how many. Times begin at `begin`."""
        assert self.grid is not None
        indptr, duration_ps = activity.indptr[step : end + 1], times.duration_ps[step - begin :]
        measured = duration_ps, times.blocked_ps, times.longest_queue
        return forward.run_steps(self.grid, self.load, indptr, activity.neurons, work, *measured)

    def _loop(self, activity: Activity, step: int, end: int, times: ChunkTimes, begin: int) -> None:
        """Timesteps from `step` on in the event loop."""
        steps = self.fabric, self.lines, self.load, activity.indptr[step : end + 1], activity.neurons
        measured = times.duration_ps[step - begin :], times.blocked_ps, times.longest_queue
        path = times.path or PathTimes.empty(0, self.machine.first)
        paths = path.by_kind_ps[step - begin :], path.service_ps, path.wire_ps
        stuck = merge_loop.run_steps(*steps, *measured, self._journal_for(activity, step, end), paths)
        if stuck >= 0:
            self._name_deadlock(activity.firing(step + stuck))

    def _journal_for(self, activity: Activity, begin: int, end: int) -> NDArray[np.void]:
        """This thread's journal, with room for each of these timesteps; without room if nothing is to be noted."""
        if not self.critical_path:
            return np.empty(0, ENTRY)
        needed = max(self._services(activity.firing(step)) for step in range(begin, end))
        if self.own.journal.size < needed:
            self.own.journal = np.empty(needed, ENTRY)
        return self.own.journal

    def _blocks(self, activity: Activity) -> list[Block]:
        """Runs of timesteps with about as many messages each."""
        sent = np.concatenate(([0], np.cumsum(self.copies[activity.neurons])))[activity.indptr]
        edges = np.unique((0, activity.timesteps))
        if sent[-1] > BLOCK_MESSAGES:
            ends = np.searchsorted(sent, np.arange(BLOCK_MESSAGES, int(sent[-1]) + BLOCK_MESSAGES, BLOCK_MESSAGES))
            edges = np.unique(np.concatenate((edges, np.minimum(ends, activity.timesteps))))
        most = [np.maximum.reduceat(np.diff(part), edges[:-1]).tolist() for part in (sent, activity.indptr)]
        begins, ends = edges[:-1].tolist(), edges[1:].tolist()
        return [Block(activity, *block) for block in zip(begins, ends, *most, strict=True)]

    def _services(self, firing: NDArray[np.int64]) -> int:
        """At most as many services as one timestep can have."""
        copies = self.mapping.copies
        sent = copies.indptr[firing + 1] - copies.indptr[firing]
        return int(sent.sum()) * (longest_route(self.machine) + 2) + firing.size + self.machine.cores

    def _name_deadlock(self, firing: NDArray[np.int64]) -> None:
        """The readable engine runs into the same deadlock, and names its stations."""
        engine_simpy.run_timestep(self.mapping, self.machine, firing)
        raise SimulationError(
            "the compiled engine stopped with messages left, the SimPy engine does not, a defect: use --engine simpy"
        )

    def _by_neuron(self) -> NDArray[np.int64]:
        """What every neuron's messages can add to a timestep at most, by the ways that they go."""
        return messages_ps(self.load, self.fabric.place, most_per_station(self.machine))

    def _check_range(self, indptr: NDArray[np.int64], neurons: NDArray[np.int64]) -> None:
        """A key holds time and station in 63 bits: refuse timesteps that could outgrow it, by the neurons that fire."""
        if self.neuron_ps is None:
            return
        sums = np.concatenate(([0], np.cumsum(self.neuron_ps[neurons])))[indptr]
        worst, limit = int(np.diff(sums).max(initial=0)) + sweeps_ps(self.machine, self.load), self.limit_ps
        if worst >= limit:
            raise SimulationError(
                f"a timestep of {self.mapping.network.name!r} may take {worst} ps, but the clock of the compiled "
                f"engine ends at {limit}: use --engine simpy"
            )


def longest_route(machine: MeshMachine) -> int:
    """Links and synapses between two cores, at most."""
    return machine.chip.columns + machine.chip.rows + 2


def longest_ps(machine: MeshMachine, load: Load) -> int:
    """No timestep takes longer than this: all services and wires one after another."""
    per_message = most_per_station(machine) * longest_route(machine)
    return int(load.synapse_ps.sum()) + load.target.size * per_message + sweeps_ps(machine, load)


def most_per_station(machine: MeshMachine) -> int:
    """No service with its wire takes longer, but for those at neurons and synapses."""
    return int(machine.service_ps.max() + machine.wire_ps.max())


def sweeps_ps(machine: MeshMachine, load: Load) -> int:
    """No timestep's sweeps take longer in all."""
    return int(load.allocated.sum()) * load.update_ps + load.core.size * (load.spike_ps + 1) + machine.cores


def run_timestep(mapping: Mapping, machine: MeshMachine, firing: NDArray[np.int64], record: bool = False) -> StepTimes:
    """Simulate one timestep in which these neurons (network indices) fire; record: keep every service."""
    return Engine(mapping, machine).step(firing, record)


def run_firing(machine: MeshMachine, fabric: Fabric, load: Load, firing: NDArray[np.int64], services: int) -> Run:
    """Simulate one timestep with every completion; the run at its end, whatever is left then.

    firing    int64[spikes]   neurons that fire, ascending
    services  room for so many in the log, or 0
    """
    cores = machine.cores
    by_core = (np.zeros(cores, np.int64) for _ in range(3))
    context = Steps(fabric, load, np.zeros(cores + 1, np.int64), np.empty(firing.size, np.int64), *by_core)
    run = Run(run_step, machine, context, services=services)
    start_sweeps(context, firing, *run.arrays)
    while run.advance():
        pass
    return run


def fabric_of(machine: MeshMachine) -> Fabric:
    """The machine as arrays."""
    chip = machine.chip
    mesh_0, out_0 = int(machine.first[3]), int(machine.first[4])
    router = np.full(machine.stations, -1, np.int64)
    router[machine.first[2] : mesh_0] = machine.core_routers
    router[mesh_0:out_0] = link_ends(chip.columns, chip.rows)[1]
    behind = np.column_stack((router % chip.columns, router // chip.columns, router)).astype(np.int32)
    place = behind[machine.first[2] : mesh_0, :2].copy()
    onward = links_onward(chip, mesh_0)
    sharing = np.flatnonzero(np.bincount(machine.ports, minlength=1) > 1)
    if sharing.size:  # behind a port the message says in which row, or column, it is
        steps = np.diff(np.array(machine.hops)[sharing], axis=1)[:, 0]
        across = np.isin(steps, (1, -1))
        behind[mesh_0 + sharing[across], 1] = behind[mesh_0 + sharing[~across], 0] = -1
        behind[mesh_0 + sharing, 2] = -1
        known = onward >= 0
        onward[known] = mesh_0 + machine.ports[onward[known] - mesh_0]
    columns = chip.columns if sharing.size else 0
    stations = idle_stations(machine.capacity, machine.service_ps, machine.wire_ps)
    return Fabric(machine.first, stations, behind, place, onward, bits_of(machine.stations), columns)


def grid_of(machine: MeshMachine, fabric: Fabric, load: Load) -> forward.Grid | None:
    """The machine as the pass takes it; None if its messages do not fit one number, or ports join rows or columns."""
    chip = machine.chip
    columns, rows, router = chip.columns, chip.rows, machine.core_routers
    most = max(columns, rows) - 1 >> forward.PLACE_BITS, machine.cores - 1 >> forward.CORE_BITS
    if fabric.columns or any(most) or int(load.synapse_ps.max(initial=0)) >> forward.SERVICE_BITS:
        return None
    core = np.arange(machine.cores)
    order = np.argsort(router, kind="stable")
    return forward.Grid(
        machine.first,
        fabric.bits,
        columns,
        rows,
        (router // columns) << forward.ROW | (router % columns) << forward.COLUMN | core,
        np.searchsorted(router[order], np.arange(chip.routers + 1)).astype(np.int64),
        order,
        np.ascontiguousarray(fabric.onward[:, [7, 1, 3, 5]].T, np.int64),  # by sign(dx) and sign(dy), see Fabric
        machine.capacity,
        machine.service_ps,
        machine.wire_ps,
    )


def lines_of(machine: MeshMachine, mapping: Mapping) -> NDArray[np.void]:
    """The queues of `merge_loop.py` in closed form: those before send, links from and to cores, and synapses."""
    return lines_for(machine, mapping.core, mapping.copies.indptr, mapping.copies.core)


def lines_for(machine: MeshMachine, core: NDArray, indptr: NDArray, target: NDArray) -> NDArray[np.void]:
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
    swept, update_ps = mapping.sweep()
    return load_at(swept, update_ps, mapping.chip.actions.spike.latency_ps)


def load_at(mapping: Mapping, update_ps: int, spike_ps: int) -> Load:
    """The mapping as arrays, with these costs of a sweep."""
    order = np.lexsort((np.arange(mapping.core.size), mapping.core))
    ascending = np.diff(mapping.slot[order]) > 0
    if not (ascending | (np.diff(mapping.core[order]) > 0)).all():
        raise SimulationError("the compiled engine needs slots that ascend with the neuron index in every core")
    copies = mapping.copies
    return Load(
        mapping.core.astype(np.int32),
        mapping.slot.astype(np.int32),
        copies.indptr,
        copies.core.astype(np.int32, copy=False),
        copies.service_ps,
        mapping.allocated,
        update_ps,
        spike_ps,
    )
