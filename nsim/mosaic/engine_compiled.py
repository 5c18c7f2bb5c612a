"""The fast engine for chips of tiles: the lines as arrays for `tick_loop.py`.

It follows the rules of `engine_simpy.py` to the picosecond; tests compare every service of both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nsim.errors import MappingError, SimulationError
from nsim.heap import empty_heap
from nsim.memory import check_fits
from nsim.mosaic.lines import Lines, Service, TickTimes
from nsim.mosaic.tick_loop import TOO_LATE, Layout, State, run_tick
from nsim.queues import MESSAGE, STATION, idle_stations

NO_END = np.iinfo(np.int32).max  # places of a queue


class Engine:
    """Simulates one tick after another."""

    def __init__(self, lines: Lines) -> None:
        branches, stations = lines.branches, lines.stations
        needed = stations * (STATION.itemsize + 16) + branches.branch.size * MESSAGE.itemsize
        if needed > 1 << 20:
            check_fits(needed, "the lines of all ports", "take a smaller network or grid", MappingError)
        self.lines = lines
        port = np.repeat(np.arange(lines.lines.size), lines.lines)
        bits = max(1, (stations - 1).bit_length())
        trees = branches.indptr, branches.roots, branches.branch
        self.layout = Layout(*trees, lines.lines, lines.service_ps, lines.first, port, bits)
        nothing = np.zeros(stations, np.int64)
        self.state = State(
            idle_stations(np.full(stations, NO_END), nothing, nothing),
            np.empty(branches.branch.size, MESSAGE),
            empty_heap(stations),
            *np.zeros((2, lines.lines.size), np.int64),
        )

    def tick(self, firing: NDArray[np.int64], record: bool = False) -> TickTimes:
        """Simulate a tick in which these neurons fire, ascending; record: keep every service.

        raises   SimulationError if it would take longer than the clock can tell
        """
        state, branches = self.state, self.lines.branches
        state.waited_ps[:] = 0
        state.stations["longest_queue"] = 0
        services = int((branches.indptr[firing + 1] - branches.indptr[firing]).sum())
        log = np.empty((5, services if record else 0), np.int64)
        duration = run_tick(self.layout, state, firing, log)
        if duration == TOO_LATE:
            raise SimulationError(
                f"a tick takes more than {1 << (63 - self.layout.bits)} ps, where the clock of the compiled engine "
                "ends: use --engine simpy, or smaller latencies"
            )
        longest = np.zeros(self.lines.lines.size, np.int64)
        np.maximum.at(longest, self.layout.port, state.stations["longest_queue"])
        done = [Service(*entry) for entry in log.T.tolist()] if record else None
        return TickTimes(int(duration), state.waited_ps.copy(), longest, done)
