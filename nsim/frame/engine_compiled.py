"""The fast engine of frames: the machine and the mapping as arrays for the event loop beside it.

It follows the rules of `engine_simpy.py` to the picosecond; tests compare every service of both.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nsim.activity import Activity
from nsim.engine_compiled import empty_log, fabric_of, load_at
from nsim.errors import SimulationError
from nsim.event_loop import Log
from nsim.frame import engine_simpy
from nsim.frame.event_loop import (
    HANDLED,
    LEFT,
    MESSAGE_OF_FRAME,
    UNUSED,
    Flow,
    Frames,
    Run,
    advance,
    sort_spikes,
)
from nsim.frame.machine import Dataflow, FrameLog, FrameMachine, FrameTimes, dataflow
from nsim.frame.mapping import Sequence
from nsim.heap import empty_heap
from nsim.memory import check_fits

BYTES_PER_SERVICE = 44  # in a log


class Engine:
    """Simulates the frames of one sequence, on one thread: frames overlap, so there is nothing to share out."""

    def __init__(self, mapping: Sequence, machine: FrameMachine) -> None:
        self.mapping, self.machine = mapping, machine
        self.fabric = fabric_of(machine)
        self.load = load_at(mapping, machine.update_ps, machine.spike_ps)
        self.flow = flow_of(dataflow(mapping), mapping)

    def start(self, activity: Activity, record: bool = False) -> CompiledRun:
        """A run over these frames; neurons are numbered as in the sequence's network."""
        self._check_range(activity.timesteps)
        return CompiledRun(self, activity, record)

    def _check_range(self, frames: int) -> None:
        """A key holds time and station in 63 bits: refuse runs that could outgrow it."""
        load, fabric, machine = self.load, self.fabric, self.machine
        per_message = int(machine.service_ps.max() + machine.wire_ps.max()) * (_longest_route(machine) + 2)
        worst = int(load.synapse_ps.sum()) + load.target.size * per_message + int(self.mapping.frame_ps.sum())
        worst += int(load.allocated.sum()) * load.update_ps + load.core.size * (load.spike_ps + 1) + machine.cores
        limit = 1 << (63 - fabric.bits)
        if worst * frames >= limit:
            raise SimulationError(
                f"{frames} frames of {self.mapping.network.name!r} may take {worst * frames} ps, but the clock of the "
                f"compiled engine ends at {limit}: simulate at most {limit // worst} frames, or use --engine simpy"
            )


class CompiledRun:
    """A run in the compiled event loop."""

    def __init__(self, engine: Engine, activity: Activity, record: bool) -> None:
        self.engine, self.activity = engine, activity
        self.frames = _frames(engine, activity)
        self.messages = int(self.frames.missing.sum())
        self.run = _idle(engine, self.frames, self.messages, record)
        services = self._most_services() if record else 0
        what = f"the services of {activity.timesteps} frames, all of which are recorded,"
        check_fits(services * BYTES_PER_SERVICE, what, "give fewer frames (--samples 1)", SimulationError)
        self.log = FrameLog(empty_log(services), np.empty(services, np.int32))

    def __iter__(self) -> Iterator[int]:
        """Simulate; yields the number of frames that have left, whenever one has."""
        counters, total = self.run.counters, self.activity.timesteps
        while counters[LEFT] < total:
            before = int(counters[LEFT])
            engine = self.engine
            advance(engine.fabric, engine.load, engine.flow, self.frames, self.run, before + 1, self.log)
            if counters[LEFT] == before:
                self._name_deadlock()
            yield from range(before + 1, int(counters[LEFT]) + 1)

    def times(self) -> FrameTimes:
        """What was measured so far, of the frames that have left."""
        frames, stations = self.frames, self.run.stations
        measured = FrameTimes(
            frames.input_ps,
            frames.begin_ps,
            frames.worked_ps,
            frames.finished_ps,
            frames.left_ps,
            stations["blocked_ps"].astype(np.int64),
            stations["longest_queue"].astype(np.int64),
        )
        return measured.first(int(self.run.counters[LEFT]))

    def recorded(self) -> FrameLog:
        """Every service so far."""
        done = self.run.counters[HANDLED] + 1
        return FrameLog(Log(*(column[:done] for column in self.log.services)), self.log.frame[:done])

    def _most_services(self) -> int:
        """At most as many services as the run can have."""
        machine, frames = self.engine.machine, self.activity.timesteps
        sweeps = self.activity.neurons.size + 2 * machine.cores * frames
        return self.messages * (_longest_route(machine) + 2) + sweeps

    def _name_deadlock(self) -> None:
        """The readable engine runs into the same deadlock, and names its stations."""
        for _ in engine_simpy.Engine(self.engine.mapping, self.engine.machine).start(self.activity):
            pass
        raise SimulationError(
            "the compiled engine stopped with frames left where the SimPy engine does not, a defect: use --engine simpy"
        )


def _longest_route(machine: FrameMachine) -> int:
    """Links between two cores, at most."""
    return machine.chip.mesh.columns + machine.chip.mesh.rows


def flow_of(flow: Dataflow, mapping: Sequence) -> Flow:
    """Which core waits for which, as arrays."""

    def rows(cores: tuple[tuple[int, ...], ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        flat = [core for row in cores for core in row]
        return np.cumsum([0, *map(len, cores)]).astype(np.int64), np.array(flat, np.int64)

    buffers = np.asarray(mapping.input_buffers, np.int64)
    return Flow(
        np.array(flow.used, np.int64), *rows(flow.feeders), *rows(flow.receivers), buffers, int(mapping.in_flight)
    )


def _frames(engine: Engine, activity: Activity) -> Frames:
    """No frame begun yet."""
    frames, cores = activity.timesteps, engine.machine.cores
    times = FrameTimes.empty(frames, engine.machine)
    complete, begun, done = (np.zeros(cores, np.int64) for _ in range(3))
    table = Frames(
        starts=np.zeros((frames, cores + 1), np.int64),
        spikes=np.empty(activity.neurons.size, np.int32),
        missing=np.zeros((frames, cores), np.int64),
        work_ps=np.tile(np.asarray(engine.mapping.frame_ps, np.int64), (frames, 1)),
        complete=complete,
        begun=begun,
        done=done,
        input_ps=times.input_ps,
        begin_ps=times.begin_ps,
        worked_ps=times.worked_ps,
        finished_ps=times.finished_ps,
        left_ps=times.left_ps,
    )
    sort_spikes(engine.load, activity.indptr, activity.neurons, table)
    return table


def _idle(engine: Engine, frames: Frames, messages: int, record: bool) -> Run:
    """All stations idle, and room for all messages that can be under way at a time."""
    stations, cores = engine.fabric.stations.copy(), engine.machine.cores
    places = stations.size + int(np.minimum(stations["capacity"].astype(np.int64), messages).sum())
    underway = np.empty(min(messages, places), MESSAGE_OF_FRAME)
    counters = np.zeros(6, np.int64)
    counters[[HANDLED, UNUSED]] = -1
    return Run(
        stations=stations,
        underway=underway,
        heap=empty_heap(stations.size),
        sweep_at=np.zeros(cores, np.int64),
        send_frame=np.zeros(cores, np.int64),
        send_at=frames.starts[0, :-1].copy(),
        copy_at=np.zeros(cores, np.int64),
        copy_end=np.zeros(cores, np.int64),
        queued=np.zeros(cores, np.int64),
        sweep_blocked_ps=np.full(cores, -1),
        start_ps=np.zeros(stations.size if record else 0, np.int64),
        cause=np.zeros(stations.size if record else 0, np.int64),
        counters=counters,
    )
