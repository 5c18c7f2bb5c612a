"""The fast engine for chips of tiles: the lines as arrays for the event loop.

It follows the rules of the SimPy engine to the picosecond; tests compare every service of both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nsim.errors import MappingError, SimulationError, check_fits
from nsim.machine.compiled.loop import MESSAGE, NOW, STATION, Run
from nsim.machine.compiled.ticks_hooks import Tick, run_tick, start
from nsim.machine.ticks import Lines, TickTimes


class Engine:
    """Simulates one tick after another."""

    def __init__(self, lines: Lines) -> None:
        branches, stations = lines.branches, lines.stations
        needed = stations * (STATION.itemsize + 32) + branches.branch.size * MESSAGE.itemsize
        if needed > 1 << 20:
            check_fits(needed, "the lines of all ports", "take a smaller network or grid", MappingError)
        self.lines = lines
        trees = branches.indptr, branches.roots, branches.branch
        by_station, by_port = np.zeros((2, stations), np.int64), np.zeros((2, lines.lines.size), np.int64)
        self.context = Tick(*trees, lines.lines, lines.first, lines.port, *by_station, *by_port)
        at_once = int((branches.roots - branches.indptr[:-1]).sum())
        forks = int((branches.branch["end"] - branches.branch["first"]).max(initial=0))
        self.run = Run(run_tick, lines.machine, self.context, most_new=max(at_once, forks))
        each_ps = lines.service_ps[branches.branch["port"]]
        self.spike_ps = np.diff(np.concatenate(([0], np.cumsum(each_ps)))[branches.indptr])

    def tick(self, firing: NDArray[np.int64], record: bool = False) -> TickTimes:
        """Simulate a tick in which these neurons fire, ascending; record: keep every service.

        raises   SimulationError if it would take longer than the clock can tell
        """
        run, branches = self.run, self.lines.branches
        latest_ps, limit = sum(self.spike_ps[firing].tolist()), 1 << (63 - run.bits)
        if latest_ps >= limit:
            raise SimulationError(
                f"a tick may take {latest_ps} ps, but the clock of the compiled engine ends at {limit}: use "
                "--engine simpy, or smaller latencies"
            )
        self.context.came[:] = self.context.waited_ps[:] = 0
        run.clear(int((branches.indptr[firing + 1] - branches.indptr[firing]).sum()) if record else 0)
        start(self.context, firing, *run.arrays)
        while run.advance():
            pass
        return TickTimes(duration_ps=int(run.numbers[NOW]), waited_ps=self.context.waited_ps.copy(), **run.measured())
