"""The event loop of a tick on a chip of tiles. Imports only numpy, numba and the kernels beside it.

The message of a branch has the branch's number: a neuron fires at most once in a tick, so each is under way once.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from nsim.heap import pop, push
from nsim.queues import TAKEN, ask, take

TOO_LATE = -1  # instead of a duration: a service would end after what a key can hold


class Layout(NamedTuple):
    """The trees and the lines; see branches.py and lines.py.

    port  int64[stations]  the port of each station; bits: of a station in a key
    """

    indptr: np.ndarray
    roots: np.ndarray
    branch: np.ndarray
    lines: np.ndarray
    service_ps: np.ndarray
    first: np.ndarray
    port: np.ndarray
    bits: int


class State(NamedTuple):
    """Work space, used again by the next tick.

    stations, messages   STATION[stations], MESSAGE[branches] of queues.py
    heap                 keys of pending completions
    came                 int64[ports]   spikes that have come to each port in this tick
    waited_ps            int64[ports]
    """

    stations: np.ndarray
    messages: np.ndarray
    heap: np.ndarray
    came: np.ndarray
    waited_ps: np.ndarray


@njit(cache=True, nogil=True)
def _come(layout, state, branch, now, pending):
    """A spike comes to a branch: it is served at once or waits. Returns the completions pending, or TOO_LATE."""
    port = layout.branch[branch].port
    station = layout.first[port] + state.came[port] % layout.lines[port]
    state.came[port] += 1
    if ask(state.stations, state.messages, station, branch, station, now) == TAKEN:
        return _begin(layout, state, station, now, pending)
    return pending


@njit(cache=True, nogil=True)
def _begin(layout, state, station, now, pending):
    """The service of the branch that a line holds begins."""
    port = layout.port[station]
    end = now + layout.service_ps[port]
    if end >= np.int64(1) << (63 - layout.bits):
        return TOO_LATE
    state.waited_ps[port] += now - state.messages[state.stations[station].current].ready_ps
    push(state.heap, pending, end << layout.bits | station)
    return pending + 1


@njit(cache=True, nogil=True)
def run_tick(layout, state, firing, log):
    """Let these neurons fire; the time of the last completion, 0 if there is none, or TOO_LATE.

    log    int64[5, room] for every service (see lines.Service), or int64[5, 0]
    """
    stations, messages = state.stations, state.messages
    mask = (np.int64(1) << layout.bits) - 1
    state.came[:] = 0
    pending = handled = now = 0
    for neuron in firing:
        for branch in range(layout.indptr[neuron], layout.roots[neuron]):
            pending = _come(layout, state, branch, 0, pending)
            if pending < 0:
                return TOO_LATE
    while pending > 0:
        station, now = state.heap[0] & mask, state.heap[0] >> layout.bits
        pop(state.heap, pending)
        pending -= 1
        served = stations[station].current
        if log.shape[1] > 0:
            log[0, handled], log[1, handled], log[2, handled] = station, served, messages[served].ready_ps
            log[3, handled], log[4, handled] = now - layout.service_ps[layout.port[station]], now
        handled += 1
        for branch in range(layout.branch[served].first, layout.branch[served].end):
            pending = _come(layout, state, branch, now, pending)
            if pending < 0:
                return TOO_LATE
        if take(stations, messages, station) >= 0:
            pending = _begin(layout, state, station, now, pending)
            if pending < 0:
                return TOO_LATE
    return now
