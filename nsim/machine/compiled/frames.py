"""The fast engine of frames: the machine and the mapping as arrays for the event loop.

It follows the rules of the SimPy engine to the picosecond; tests compare every service of both.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nsim.errors import SimulationError, check_fits
from nsim.machine.compiled.frames_hooks import Flow, Frames, advance, follow
from nsim.machine.compiled.loop import Run
from nsim.machine.compiled.timesteps import fabric_of, load_at, longest_ps, longest_route
from nsim.machine.compiled.timesteps_hooks import sort_spikes
from nsim.machine.frames import Dataflow, FrameMachine, FrameTimes, dataflow
from nsim.machine.services import SERVICE
from nsim.machine.simpy import frames as engine_simpy
from nsim.mapping.frames.mapping import Sequence
from nsim.network.activity import Activity


class Engine:
    """Simulates the frames of one sequence, on one thread: frames overlap, so there is nothing to share out.

    flow   of the mapping, if it is known
    """

    def __init__(self, mapping: Sequence, machine: FrameMachine, flow: Dataflow | None = None) -> None:
        self.mapping, self.machine = mapping, machine
        self.fabric = fabric_of(machine)
        self.load = load_at(mapping, machine.update_ps, machine.spike_ps)._replace(slot=mapping.slot)  # long sweeps
        self.flow = flow_of(flow or dataflow(mapping), mapping)

    def start(self, activity: Activity, record: bool = False) -> CompiledRun:
        """A run over these frames; neurons are numbered as in the sequence's network."""
        self._check_range(activity.timesteps)
        return CompiledRun(self, activity, record)

    def _check_range(self, frames: int) -> None:
        """A key holds time and station in 63 bits: refuse runs that could outgrow it."""
        worst = longest_ps(self.machine, self.load) + int(self.mapping.frame_ps.sum())
        limit = 1 << (63 - self.fabric.bits)
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
        services = self._most_services() if record else 0
        what = f"the services of {activity.timesteps} frames, all of which are recorded,"
        check_fits(services * SERVICE.itemsize, what, "give fewer frames (--samples 1)", SimulationError)
        self.run = Run(advance, engine.machine, self.frames, services=services)

    @property
    def left(self) -> int:
        """Frames that have left."""
        return int(self.frames.left[0])

    def __iter__(self) -> Iterator[int]:
        """Simulate; yields the number of frames that have left, whenever one has."""
        follow(self.frames, *self.run.arrays[:4], 0)
        yield from range(1, self.left + 1)
        while (before := self.left) < self.activity.timesteps:
            pending = self.run.advance()
            if not pending and self.left < self.activity.timesteps:
                self._name_deadlock()
            yield from range(before + 1, self.left + 1)

    def times(self) -> FrameTimes:
        """What was measured so far, of the frames that have left."""
        by_frame = {name: getattr(self.frames, name) for name in FrameTimes.empty(0, 0)}
        return FrameTimes(**by_frame, **self.run.measured()).first(self.left)

    def _most_services(self) -> int:
        """At most as many services as the run can have."""
        machine, frames = self.engine.machine, self.activity.timesteps
        sweeps = self.activity.neurons.size + 2 * machine.cores * frames
        return int(self.frames.missing.sum()) * longest_route(machine) + sweeps

    def _name_deadlock(self) -> None:
        """The readable engine runs into the same deadlock, and names its stations."""
        for _ in engine_simpy.Engine(self.engine.mapping, self.engine.machine).start(self.activity):
            pass
        raise SimulationError(
            "the compiled engine stopped with frames left where the SimPy engine does not, a defect: use --engine simpy"
        )


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
    by_core = {
        name: np.zeros(cores, np.int64) for name in ("copy_at", "copy_end", "sweep_at", "complete", "begun", "done")
    }
    table = Frames(
        engine.fabric,
        engine.load,
        engine.flow,
        **by_core,
        starts=np.zeros((frames, cores + 1), np.int64),
        spikes=np.empty(activity.neurons.size, np.int32),
        missing=np.zeros((frames, cores), np.int64),
        work_ps=np.tile(np.asarray(engine.mapping.frame_ps, np.int64), (frames, 1)),
        **FrameTimes.empty(frames, cores),
        left=np.zeros(1, np.int64),
    )
    sort_spikes(table, activity.indptr, activity.neurons)
    return table
