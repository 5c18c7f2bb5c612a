"""Why a timestep lasts as long as it does: the chain of services that leads to its end, and what it spends its time on.

Every service started because something ended: its message arrived, or its station became free (rule 10 of the engines:
where both fall together, the station). Followed back from the last service of a timestep to its beginning, this chain
accounts for the whole duration, to the picosecond: time in services, and time on wires between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nsim.event_loop import Log

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
    returns                          when the first of them began: 0 in a timestep
    """
    entry = services - 1
    begin_ps = 0
    while entry >= 0:
        here = station[entry]
        begin_ps = start_ps[entry]
        kind = np.searchsorted(first, here, side="right") - 1
        by_kind_ps[kind] += end_ps[entry] - start_ps[entry]
        service_ps[here] += end_ps[entry] - start_ps[entry]
        before = cause[entry]
        if before >= 0:
            waited = start_ps[entry] - end_ps[before]
            by_kind_ps[-1] += waited
            wire_ps[station[before]] += waited
        entry = before
    return begin_ps


# One service in a journal: its times, the key of the completion that let it start (-1: the beginning), and the entry of
# the station's service before it. Keys are time << bits | station, as in the event loops.
ENTRY = np.dtype([("start_ps", np.int64), ("end_ps", np.int64), ("cause", np.int64), ("before", np.int64)])


@njit(cache=True, nogil=True, inline="always")
def note(journal, newest, station, start_ps, end_ps, cause):
    """Write a service down. newest: int64[stations + 1], last entry of each station, and the number of entries."""
    count = newest[-1]
    journal[count].start_ps, journal[count].end_ps = start_ps, end_ps
    journal[count].cause, journal[count].before = cause, newest[station]
    newest[station] = count
    newest[-1] = count + 1


@njit(cache=True, nogil=True)
def walk_back_keys(first, bits, last, journal, newest, by_kind_ps, service_ps, wire_ps):
    """The same as `walk_back` with a journal, from the completion with the key `last`.

    A station's services end one after another, and keys fall on the way: each entry is passed over at most once.
    """
    mask = (np.int64(1) << bits) - 1
    key = last
    while key >= 0:
        here, end_ps = key & mask, key >> bits
        entry = newest[here]
        while journal[entry].end_ps != end_ps:
            entry = journal[entry].before
        newest[here] = entry
        kind = np.searchsorted(first, here, side="right") - 1
        start_ps, key = journal[entry].start_ps, journal[entry].cause
        by_kind_ps[kind] += end_ps - start_ps
        service_ps[here] += end_ps - start_ps
        if key >= 0:
            waited = start_ps - (key >> bits)
            by_kind_ps[-1] += waited
            wire_ps[key & mask] += waited


def path_of(first: NDArray[np.int64], log: Log) -> PathTimes:
    """The critical path of one recorded timestep, or run; first: int64[kinds + 1], see nsim.stations."""
    path = PathTimes.empty(1, first)
    entries = log.station, log.start_ps, log.end_ps, log.cause
    walk_back(first, log.station.size, *entries, path.by_kind_ps[0], path.service_ps, path.wire_ps)
    return path
