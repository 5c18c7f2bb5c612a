"""The readable engine of frames, on the stations of timesteps; what is new is when a core works.

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
from typing import ClassVar

import numpy as np
import simpy

from nsim.machine.frames import FrameMachine, FrameTimes, dataflow
from nsim.machine.simpy.simulation import Message, Process, Station
from nsim.machine.simpy.timesteps import Link, MeshSimulation, Send, Sweep
from nsim.machine.stations import sweeps_at
from nsim.mapping.frames.mapping import Sequence
from nsim.network.activity import Activity


class FrameSweep(Sweep):
    """`neurons`: one sweep per frame; the host sends in its input so, without work before it."""

    run: FrameSimulation

    def work(self) -> Process:
        run, core = self.run, self.index
        for frame in range(run.frames):
            yield (run.begin if core == run.host else run.work_done)[core][frame]
            yield from self.sweep(run.plans[frame], frame)
            run.finished(core, frame)


class Receive(Station):
    """`receive`: take in one message after another."""

    run: FrameSimulation

    def work(self) -> Process:
        while True:
            copy = yield from self.take()
            yield from self.serve(copy, self.service_ps)
            self.run.arrived(copy)


class FrameSynapses(Station):
    """`synapses`: the work on one frame after another; none at the host."""

    run: FrameSimulation

    def work(self) -> Process:
        run, core = self.run, self.index
        for frame in range(run.frames if core != run.host else 0):
            yield run.begin[core][frame]
            yield from self.serve(Message(-1, frame), max(1, run.work_ps[frame][core]))
            run.worked(core, frame)


class FrameSimulation(MeshSimulation):
    """Frames that pass through the cores of one hardware sequence."""

    kinds: ClassVar = {
        "neurons": FrameSweep,
        "send": Send,
        **dict.fromkeys(("core_to_router", "mesh", "router_to_core"), Link),
        "receive": Receive,
        "synapses": FrameSynapses,
    }

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
        self.tables = FrameTimes.empty(self.frames, machine.cores)
        self.begin, self.work_done = (
            {core: [self.env.event() for _ in range(self.frames)] for core in self.flow.used} for _ in range(2)
        )
        self.leaves = [self.env.event() for _ in range(self.frames)]
        own = {machine.number(kind, core) for core in self.flow.used for kind in ("neurons", "synapses")}
        self.open(own | self.numbers(np.unique(activity.neurons)))

    def arrived(self, copy: Message) -> None:
        super().arrived(copy)
        self.received[copy.origin][copy.target] += 1
        self.work_ps[copy.origin][copy.target] += copy.service_ps
        self.follow()

    def worked(self, core: int, frame: int) -> None:
        self.tables["worked_ps"][frame, core] = self.now
        self.work_done[core][frame].succeed()

    def finished(self, core: int, frame: int) -> None:
        self.tables["finished_ps"][frame, core] = self.now
        self.done[core] += 1
        self.follow()

    def follow(self) -> None:
        """All that a received message or a finished frame makes possible, in this instant."""
        while self.frames_left < self.frames and self._has_left(self.frames_left):
            self.tables["left_ps"][self.frames_left] = self.now
            self.leaves[self.frames_left].succeed()
            self.frames_left += 1
        for core in self.flow.used:
            while self.complete[core] < self.frames and self._is_complete(core, self.complete[core]):
                self.tables["input_ps"][self.complete[core], core] = self.now
                self.complete[core] += 1
            frame = self.begun[core]
            if frame < self.complete[core] and self.done[core] == frame and self._has_room(core, frame):
                self.tables["begin_ps"][frame, core] = self.now
                self.begun[core] += 1
                if core == self.host:
                    self.tables["worked_ps"][frame, core] = self.now
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

    def __iter__(self) -> Iterator[int]:
        """Simulate; yields the number of frames that have left, whenever one has."""
        self.follow()
        for frame in range(self.frames):
            try:
                self.env.run(until=self.leaves[frame])
            except RuntimeError as error:
                if self.env.peek() < simpy.core.Infinity:
                    raise
                raise self.deadlock(self.delivered, sum(map(sum, self.expected)), "run") from error
            yield frame + 1
        self.env.run()

    def times(self) -> FrameTimes:
        """What was measured so far, of the frames that have left."""
        return FrameTimes(**self.tables, **self.measured()).first(self.frames_left)


class Engine:
    """Simulates the frames of one sequence, on one thread."""

    def __init__(self, mapping: Sequence, machine: FrameMachine) -> None:
        self.mapping, self.machine = mapping, machine

    def start(self, activity: Activity, record: bool = False) -> FrameSimulation:
        """A run over these frames; neurons are numbered as in the sequence's network."""
        return FrameSimulation(self.mapping, self.machine, activity, record)
