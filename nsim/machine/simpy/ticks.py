"""The readable engine for chips of tiles: one process per line of a port. See nsim/machine/ticks.py for the rules.

At the end of a service the spike comes to all branches that this one leads to, at once, ordered by side; then the line
takes the next of its queue, which never ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nsim.machine.simpy.simulation import Message, Process, Simulation, Station
from nsim.machine.ticks import Lines, TickTimes


class Line(Station):
    """A line out of a router, or one to the rows of a tile: one spike at a time, in the order in which they came."""

    run: Tick

    def work(self) -> Process:
        run, port = self.run, self.run.port[self.number]
        while True:
            spike = yield from self.take()
            run.waited_ps[port] += run.now - spike.ready_ps
            yield from self.serve(spike, self.service_ps)
            for branch in range(*run.branch[spike.spike][1:]):
                yield from self.hand_on(Message(branch, before=self.entry), run.line_of(branch))


class Tick(Simulation):
    """One tick: its lines, and what is measured."""

    kinds: ClassVar = {"line": Line}

    def __init__(self, lines: Lines, firing: NDArray[np.int64], record: bool) -> None:
        super().__init__(lines.machine, record)
        self.lines, self.port = lines, lines.port.tolist()
        self.branch: list[tuple[int, int, int]] = lines.branches.branch.tolist()
        self.came = [0] * lines.lines.size  # spikes that have come to each port
        self.waited_ps = np.zeros(lines.lines.size, np.int64)
        self.open(self._used(firing))
        self.env.process(self._spikes(firing))

    def _used(self, firing: NDArray[np.int64]) -> Iterator[int]:
        """The lines that these neurons' spikes take."""
        branches = self.lines.branches
        own = [branches.branch["port"][branches.indptr[q] : branches.indptr[q + 1]] for q in firing.tolist()]
        spikes = np.bincount(np.concatenate(own)) if own else np.zeros(0, np.int64)
        for port, used in enumerate(np.minimum(spikes, self.lines.lines[: spikes.size]).tolist()):
            yield from range(int(self.lines.first[port]), int(self.lines.first[port]) + used)

    def line_of(self, branch: int) -> int:
        """The line that a spike takes which comes to this branch now: those of a port in turn."""
        port = self.branch[branch][0]
        line = self.came[port] % int(self.lines.lines[port])
        self.came[port] += 1
        return int(self.lines.first[port]) + line

    def _spikes(self, firing: NDArray[np.int64]) -> Process:
        """All spikes begin at 0."""
        for neuron in firing.tolist():
            for branch in range(int(self.lines.branches.indptr[neuron]), int(self.lines.branches.roots[neuron])):
                yield self.stations[self.line_of(branch)].queue.put(Message(branch))


class Engine:
    """Simulates one tick after another."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    def tick(self, firing: NDArray[np.int64], record: bool = False) -> TickTimes:
        """Simulate a tick in which these neurons fire, ascending; record: keep every service."""
        tick = Tick(self.lines, firing, record)
        tick.env.run()
        return TickTimes(duration_ps=tick.now, waited_ps=tick.waited_ps, **tick.measured())
