"""The readable engine for chips of tiles: one SimPy process per line of a port. See lines.py for the rules.

A line serves one spike at a time, in the order in which they came. At the end of the service the spike comes to all
branches that this one leads to, at once, ordered by side; then the line takes the next of its queue.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import simpy
from numpy.typing import NDArray

from nsim.engine_simpy import Completion
from nsim.mosaic.lines import Lines, Service, TickTimes

Process = Generator[simpy.Event, None, None]


class Tick:
    """One tick: its lines, and what is measured."""

    def __init__(self, lines: Lines, firing: NDArray[np.int64], record: bool) -> None:
        self.lines, self.env = lines, simpy.Environment()
        self.branch: list[tuple[int, int, int]] = lines.branches.branch.tolist()
        self.came = dict.fromkeys(range(lines.lines.size), 0)  # spikes that have come to each port
        self.waited_ps, self.longest_queue = np.zeros((2, lines.lines.size), np.int64)
        self.log: list[Service] | None = [] if record else None
        self.queues: dict[int, simpy.Store] = {}
        branches = lines.branches
        own = [np.arange(branches.indptr[q], branches.indptr[q + 1]) for q in firing.tolist()]
        ports = np.bincount(branches.branch["port"][np.concatenate(own)]) if own else np.zeros(0, np.int64)
        for port, spikes in enumerate(ports.tolist()):
            for line in range(min(spikes, int(lines.lines[port]))):
                self._open(port, int(lines.first[port]) + line)
        self.env.process(self.spikes(firing))

    def _open(self, port: int, station: int) -> None:
        self.queues[station] = simpy.Store(self.env)
        self.env.process(self.line(port, station, self.queues[station]))

    @property
    def now(self) -> int:
        return int(self.env.now)

    def spikes(self, firing: NDArray[np.int64]) -> Process:
        """All spikes begin at 0."""
        for neuron in firing.tolist():
            yield from self.come(range(int(self.lines.branches.indptr[neuron]), int(self.lines.branches.roots[neuron])))

    def come(self, branches: range) -> Process:
        """A spike comes to these branches."""
        for branch in branches:
            port = self.branch[branch][0]
            line = self.came[port] % int(self.lines.lines[port])
            self.came[port] += 1
            queue = self.queues[int(self.lines.first[port]) + line]
            if not queue.get_queue:  # else the line is idle and takes it at once
                self.longest_queue[port] = max(self.longest_queue[port], len(queue.items) + 1)
            yield queue.put((branch, self.now))

    def line(self, port: int, station: int, queue: simpy.Store) -> Generator[simpy.Event, tuple[int, int] | None, None]:
        service_ps = int(self.lines.service_ps[port])
        while True:
            taken = yield queue.get()
            assert taken is not None  # a branch, and when it came
            branch, asked = taken
            start = self.now
            yield Completion(self.env, station, service_ps)
            self.waited_ps[port] += start - asked
            if self.log is not None:
                self.log.append(Service(station, branch, asked, start, self.now))
            yield from self.come(range(*self.branch[branch][1:]))

    def run(self) -> TickTimes:
        self.env.run()
        return TickTimes(self.now, self.waited_ps, self.longest_queue, self.log)


class Engine:
    """Simulates one tick after another."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    def tick(self, firing: NDArray[np.int64], record: bool = False) -> TickTimes:
        """Simulate a tick in which these neurons fire, ascending; record: keep every service."""
        return Tick(self.lines, firing, record).run()
