"""Why a run lasts as long as it does: the chain of services that leads to its end, and what it spends its time on.

Every service started because something ended: its message arrived, or its station became free (where both fall
together, the station). Followed back from the last service to the beginning, this chain accounts for the whole
duration, to the picosecond: time in services, and time on wires between them. In a stream it begins where the sensor
took an event at that event's time, so until then the input took its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nsim.machine.services import Log
from nsim.network.brief import Brief

# Every other kind of station is traffic, and so is a wire; waiting for the slow clock is waiting for input.
STATE_OF_KIND = {"neurons": "compute", "synapses": "memory", "sweeps": "compute", "clock": "input"}


@dataclass(frozen=True, eq=False, repr=False)
class PathTimes(Brief):
    """What the critical paths of some timesteps consist of, or that of a run.

    by_kind_ps   int64[timesteps, kinds + 1]  services by kind of station, and wires as the last
    service_ps   int64[stations]              services of every station, summed over the timesteps
    wire_ps      int64[stations]              wires behind every station, likewise
    begin_ps     when the first service of the path began: 0 but in a stream
    """

    by_kind_ps: NDArray[np.int64]
    service_ps: NDArray[np.int64]
    wire_ps: NDArray[np.int64]
    begin_ps: int = 0

    @staticmethod
    def empty(timesteps: int, first: NDArray[np.int64]) -> PathTimes:
        """No time spent yet; first: int64[kinds + 1], see nsim.machine.machine."""
        stations = int(first[-1])
        return PathTimes(np.zeros((timesteps, first.size), np.int64), *np.zeros((2, stations), np.int64))

    @staticmethod
    def joined(parts: Sequence[PathTimes]) -> PathTimes:
        """Consecutive timesteps put together."""
        return PathTimes(
            np.concatenate([part.by_kind_ps for part in parts]),
            np.sum([part.service_ps for part in parts], axis=0),
            np.sum([part.wire_ps for part in parts], axis=0),
        )

    def by_state_ps(self, kinds: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Time of every timestep by state, int64[timesteps]: memory, compute, traffic, and with a clock input.

        kinds   names of the kinds of stations, in their order
        """
        times = {state: np.zeros(len(self.by_kind_ps), np.int64) for state in ("memory", "compute", "traffic")}
        for kind, spent_ps in zip([*kinds, "wire"], self.by_kind_ps.T, strict=True):
            state = STATE_OF_KIND.get(kind, "traffic")
            times[state] = times.get(state, 0) + spent_ps
        return times


@njit(cache=True, nogil=True)
def walk_back(first, log, station, entry, by_kind_ps, service_ps, wire_ps):
    """Follow the causes of a run from this entry of its log to the beginning, and add up where the time went.

    first                int64[kinds + 1]   first station of every kind, and their total
    log                  SERVICE[services]  in order of completion
    station              int[services]      the station that each counts for
    by_kind_ps           int64[kinds + 1]   in place, wires last
    service_ps, wire_ps  int64[stations]    in place
    returns              when the first of them began: 0 in a timestep
    """
    begin_ps = 0
    while entry >= 0:
        here = station[entry]
        begin_ps, end_ps = log[entry].start_ps, log[entry].end_ps
        kind = 0
        while first[kind + 1] <= here:
            kind += 1
        by_kind_ps[kind] += end_ps - begin_ps
        service_ps[here] += end_ps - begin_ps
        before = log[entry].cause
        if before >= 0:
            waited = begin_ps - log[before].end_ps
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
        kind = 0
        while first[kind + 1] <= here:
            kind += 1
        start_ps, key = journal[entry].start_ps, journal[entry].cause
        by_kind_ps[kind] += end_ps - start_ps
        service_ps[here] += end_ps - start_ps
        if key >= 0:
            waited = start_ps - (key >> bits)
            by_kind_ps[-1] += waited
            wire_ps[key & mask] += waited


def path_of(first: NDArray[np.int64], log: Log) -> PathTimes:
    """The critical path of one recorded timestep, or run; first: int64[kinds + 1], see nsim.machine.machine."""
    path = PathTimes.empty(1, first)
    station = log["station"].astype(np.int64)
    walk_back(first, log, station, log.size - 1, path.by_kind_ps[0], path.service_ps, path.wire_ps)
    return path
