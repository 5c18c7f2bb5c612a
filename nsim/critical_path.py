"""Why a timestep lasts as long as it does: the chain of services that leads to its end, and what it spends its time on.

Every service started because something ended: its message arrived, or its station became free (rule 10 of the engines:
where both fall together, the station). Followed back from the last service of a timestep to its beginning, this chain
accounts for the whole duration, to the picosecond: time in services, and time on wires between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

STATE_OF_KIND = {"neurons": "compute", "synapses": "memory"}  # every other kind of station is traffic, and so is a wire


@dataclass(frozen=True, eq=False)
class PathTimes:
    """What the critical paths of some timesteps consist of.

    by_kind_ps   int64[timesteps, kinds + 1]  services by kind of station, and wires as the last
    service_ps   int64[stations]              services of every station, summed over the timesteps
    wire_ps      int64[stations]              wires behind every station, likewise
    """

    by_kind_ps: NDArray[np.int64]
    service_ps: NDArray[np.int64]
    wire_ps: NDArray[np.int64]

    @staticmethod
    def empty(timesteps: int, first: NDArray[np.int64]) -> PathTimes:
        """No time spent yet; first: int64[kinds + 1], see nsim.stations."""
        stations = int(first[-1])
        return PathTimes(
            np.zeros((timesteps, first.size), np.int64), np.zeros(stations, np.int64), np.zeros(stations, np.int64)
        )

    @staticmethod
    def joined(parts: Sequence[PathTimes]) -> PathTimes:
        """Consecutive timesteps put together."""
        return PathTimes(
            np.concatenate([part.by_kind_ps for part in parts]),
            np.sum([part.service_ps for part in parts], axis=0),
            np.sum([part.wire_ps for part in parts], axis=0),
        )

    def by_state_ps(self, kinds: Sequence[str], barrier_ps: int) -> dict[str, NDArray[np.int64]]:
        """Time of every timestep by state: memory, compute, traffic and barrier, each int64[timesteps].

        kinds   names of the kinds of stations, in their order
        """
        times = {state: np.zeros(len(self.by_kind_ps), np.int64) for state in ("memory", "compute", "traffic")}
        for column, kind in enumerate([*kinds, "wire"]):
            times[STATE_OF_KIND.get(kind, "traffic")] += self.by_kind_ps[:, column]
        return times | {"barrier": np.full(len(self.by_kind_ps), barrier_ps, np.int64)}


@njit(cache=True, nogil=True)
def walk_back(first, services, station, start_ps, end_ps, cause, by_kind_ps, service_ps, wire_ps):
    """Follow the causes of one timestep from its last service to its beginning, and add up where the time went.

    first                            int64[kinds + 1]  first station of every kind, and their total
    services                         how many there are, in order of completion
    station, start_ps, end_ps, cause [services or more]  as the engines log them
    by_kind_ps                       int64[kinds + 1]    in place, wires last
    service_ps, wire_ps              int64[stations]     in place
    """
    entry = services - 1
    while entry >= 0:
        here = station[entry]
        kind = np.searchsorted(first, here, side="right") - 1
        by_kind_ps[kind] += end_ps[entry] - start_ps[entry]
        service_ps[here] += end_ps[entry] - start_ps[entry]
        before = cause[entry]
        if before >= 0:
            waited = start_ps[entry] - end_ps[before]
            by_kind_ps[-1] += waited
            wire_ps[station[before]] += waited
        entry = before
