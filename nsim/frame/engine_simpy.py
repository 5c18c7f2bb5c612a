"""The readable engine of frames: one process per station, on the stations of `nsim.engine_simpy`.

Messages travel from core to core as everywhere. What is new is when a core works:
- `receive` takes in every message and counts it for its frame. `synapses` works on whole frames; when it is done, the
  sweep of that frame starts in `neurons`. A core has *finished* a frame when that sweep has handed over its last spike.
- A core begins with frame f in the instant in which all of these hold: its input is complete, that is, every core that
  sends to it has finished f, and all its messages of f have been received; it has itself finished f - 1; and every core
  that it sends to has finished f - n, where n is the number of that core's input buffers.
- A core that nobody sends to, and the host, begin with f only when f - n has left, where n frames may be in flight. A
  frame has left when all cores have finished it and its results, if they are sent to the host, have arrived there.
The end of a frame and a free buffer are known at once everywhere: no message carries them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import simpy

from nsim.activity import Activity
from nsim.engine_simpy import Message, Process, Simulation, Station, log_of
from nsim.frame.machine import FrameLog, FrameMachine, FrameTimes, dataflow
from nsim.frame.mapping import Sequence
from nsim.stations import sweeps_at


class CoreStation(Station):
    """The stations of a core that know frames."""

    run: FrameSimulation

    def receive(self) -> Process:
        """`receive`: take in one message after another."""
        while True:
            message = yield from self.take()
            yield from self.serve(message, self.service_ps)
            self.run.arrived(message)

    def synapses_of_frames(self, core: int) -> Process:
        """`synapses`: the work on one frame after another."""
        for frame in range(self.run.frames):
            yield self.run.begin[core][frame]
            yield from self.serve(Message(-1, frame=frame), max(1, self.run.work_ps[frame][core]))
            self.run.worked(core, frame)

    def sweeps_of_frames(self, core: int) -> Process:
        """`neurons`: one sweep per frame; the host sends in its input so, without work before it."""
        for frame in range(self.run.frames):
            yield (self.run.begin if core == self.run.host else self.run.work_done)[core][frame]
            yield from self.sweep(self.run.services(core, frame), frame)
            self.run.finished(core, frame)


class FrameSimulation(Simulation):
    """Frames that pass through the cores of one hardware sequence."""

    def __init__(self, mapping: Sequence, machine: FrameMachine, activity: Activity, record: bool = False) -> None:
        super().__init__(mapping, machine, record)
        self.frames, self.host = activity.timesteps, machine.cores - 1
        self.flow = dataflow(mapping)
        self.buffers, self.in_flight = mapping.input_buffers.tolist(), mapping.in_flight
        firing = [activity.firing(frame) for frame in range(self.frames)]
        self.plans = [sweeps_at(mapping, neurons, machine.update_ps, machine.spike_ps) for neurons in firing]
        self.expected = [
            np.bincount(mapping.copies.core[self.rows(neurons)], minlength=machine.cores).tolist() for neurons in firing
        ]
        # By frame and core: messages received so far, and the work that they and the frame itself make.
        self.received = [[0] * machine.cores for _ in range(self.frames)]
        self.work_ps = [mapping.frame_ps.tolist() for _ in range(self.frames)]
        # By core: the number of frames whose input is complete, that it has begun with, that it has finished.
        self.complete, self.begun, self.done = ([0] * machine.cores for _ in range(3))
        self.frames_left = 0
        self.measured = FrameTimes.empty(self.frames, machine)
        self.log_frame: list[int] = []
        self._create(np.unique(activity.neurons))

    def _create(self, neurons: np.ndarray) -> None:
        """The stations with their processes, and the events that these wait for."""
        machine, env = self.machine, self.env
        self.begin, self.work_done = (
            {core: [env.event() for _ in range(self.frames)] for core in self.flow.used} for _ in range(2)
        )
        self.leaves = [env.event() for _ in range(self.frames)]
        own = {machine.number(kind, core) for core in self.flow.used for kind in ("neurons", "synapses")}
        for number in sorted(own | self.numbers(neurons)):
            kind = machine.kind(number)
            core = number - machine.number(kind, 0)
            station = self.stations[number] = CoreStation(self, number)
            if kind == "neurons":
                env.process(station.sweeps_of_frames(core))
            elif kind == "send":
                env.process(station.send(core))
            elif kind == "receive":
                env.process(station.receive())
            elif kind == "synapses" and core != self.host:
                env.process(station.synapses_of_frames(core))
            elif kind != "synapses":
                env.process(station.forward())

    def services(self, core: int, frame: int) -> list[tuple[int, int]]:
        """The services of a core's sweep: duration, and the neuron that fires at its end or -1."""
        plan = self.plans[frame]
        own = slice(int(plan.indptr[core]), int(plan.indptr[core + 1]))
        return list(zip(plan.service_ps[own].tolist(), plan.neuron[own].tolist(), strict=True))

    # --- what happens to a frame

    def completed(self, station: int, message: Message, start: int, cause: int) -> None:
        super().completed(station, message, start, cause)
        if self.record:
            self.log_frame.append(message.frame)

    def arrived(self, message: Message) -> None:
        super().arrived(message)
        self.received[message.frame][message.target] += 1
        self.work_ps[message.frame][message.target] += message.service_ps
        self._follow()

    def worked(self, core: int, frame: int) -> None:
        self.measured.worked_ps[frame, core] = self.now
        self.work_done[core][frame].succeed()

    def finished(self, core: int, frame: int) -> None:
        self.measured.finished_ps[frame, core] = self.now
        self.done[core] += 1
        self._follow()

    # --- what may happen then

    def _follow(self) -> None:
        """All that a received message or a finished frame makes possible, in this instant."""
        while self.frames_left < self.frames and self._has_left(self.frames_left):
            self.measured.left_ps[self.frames_left] = self.now
            self.leaves[self.frames_left].succeed()
            self.frames_left += 1
        for core in self.flow.used:
            while self.complete[core] < self.frames and self._is_complete(core, self.complete[core]):
                self.measured.input_ps[self.complete[core], core] = self.now
                self.complete[core] += 1
            frame = self.begun[core]
            if frame < self.complete[core] and self.done[core] == frame and self._has_room(core, frame):
                self.measured.begin_ps[frame, core] = self.now
                self.begun[core] += 1
                if core == self.host:
                    self.measured.worked_ps[frame, core] = self.now
                self.begin[core][frame].succeed()

    def _is_complete(self, core: int, frame: int) -> bool:
        if not self.flow.feeders[core]:
            return self.frames_left > frame - self.in_flight
        arrived = self.received[frame][core] == self.expected[frame][core]
        return arrived and all(self.done[feeder] > frame for feeder in self.flow.feeders[core])

    def _has_room(self, core: int, frame: int) -> bool:
        return all(self.done[receiver] > frame - self.buffers[receiver] for receiver in self.flow.receivers[core])

    def _has_left(self, frame: int) -> bool:
        results = self.received[frame][self.host] == self.expected[frame][self.host]
        return results and all(self.done[core] > frame for core in self.flow.used)

    # --- the run

    def __iter__(self) -> Iterator[int]:
        """Simulate; yields the number of frames that have left, whenever one has."""
        self._follow()
        for frame in range(self.frames):
            try:
                self.env.run(until=self.leaves[frame])
            except RuntimeError as error:
                if self.env.peek() < simpy.core.Infinity:
                    raise
                raise self.deadlock(sum(map(sum, self.expected)), "run") from error
            yield frame + 1
        self.env.run()

    def times(self) -> FrameTimes:
        """What was measured so far, of the frames that have left."""
        blocked, longest = (np.array(values, np.int64) for values in (self.blocked_ps, self.longest_queue))
        return replace(self.measured.first(self.frames_left), blocked_ps=blocked, longest_queue=longest)

    def recorded(self) -> FrameLog:
        """Every service so far."""
        return FrameLog(log_of(self.log), np.array(self.log_frame, np.int64))


class Engine:
    """Simulates the frames of one sequence, on one thread."""

    def __init__(self, mapping: Sequence, machine: FrameMachine) -> None:
        self.mapping, self.machine = mapping, machine

    def start(self, activity: Activity, record: bool = False) -> FrameSimulation:
        """A run over these frames; neurons are numbered as in the sequence's network."""
        return FrameSimulation(self.mapping, self.machine, activity, record)
