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
def run_tick(layout, state, firing, log):
    """Let these neurons fire; the time of the last completion, 0 if there is none, or TOO_LATE.

    log    int64[5, room] for every service (see lines.Service), or int64[5, 0]
    """
    indptr, roots, branches, lines, service_ps, first, port_of, bits = layout
    stations, messages, heap, came, waited_ps = state
    mask, latest = (np.int64(1) << bits) - 1, np.int64(1) << (63 - bits)
    came[:] = 0
    fired = pending = handled = now = 0
    while fired < firing.size or pending > 0:
        if fired < firing.size:  # at 0, before the first completion: a spike comes to the first branches of its tree
            station, branch, end = -1, indptr[firing[fired]], roots[firing[fired]]
            fired += 1
        else:
            station, now = heap[0] & mask, heap[0] >> bits
            pop(heap, pending)
            pending -= 1
            served = stations[station].current
            branch, end = branches[served].first, branches[served].end
            if log.shape[1] > 0:
                log[0, handled], log[1, handled], log[2, handled] = station, served, messages[served].ready_ps
                log[3, handled], log[4, handled] = now - service_ps[port_of[station]], now
            handled += 1
        while True:  # the spike comes to each branch; then the station takes the next of its queue
            if branch < end:
                port = branches[branch].port
                begins = first[port] + came[port] % lines[port]
                came[port] += 1
                taken = ask(stations, messages, begins, branch, begins, now) == TAKEN
            else:
                begins = station
                taken = station >= 0 and take(stations, messages, station) >= 0
            if taken:
                port = port_of[begins]
                done = now + service_ps[port]
                if done >= latest:
                    return TOO_LATE
                waited_ps[port] += now - messages[stations[begins].current].ready_ps
                push(heap, pending, done << bits | begins)
                pending += 1
            if branch == end:
                break
            branch += 1
    return now
