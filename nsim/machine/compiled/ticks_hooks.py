"""A tick on a chip of tiles in the compiled event loop: a spike comes to all branches of a fork at once.

Imports only numpy, numba and the kernels beside it. Lines have queues without end, so nothing blocks: at the end of a
service the line hands a message to each branch, one after another, and then takes the next of its queue.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from nsim.machine.compiled.loop import ABSORBED, HANDS, HOOK, QUEUE, UNCOUNTED, begins, new_message, specialised
from nsim.machine.compiled.queues import TAKEN, ask


class Tick(NamedTuple):
    """The trees and the lines; see branches.py and lines.py. Then what a tick changes.

    port       int64[stations]   the port of each station
    branch_at, branch_end   int64[stations]   branches to which a line still hands the spike it has served
    came       int64[ports]      spikes that have come to each port in this tick
    waited_ps  int64[ports]
    """

    indptr: np.ndarray
    roots: np.ndarray
    branch: np.ndarray
    lines: np.ndarray
    first: np.ndarray
    port: np.ndarray
    branch_at: np.ndarray
    branch_end: np.ndarray
    came: np.ndarray
    waited_ps: np.ndarray


@njit(**HOOK)
def line_of(context, branch):
    """The line that a spike takes which comes to this branch now: those of a port in turn."""
    port = context.branch[branch].port
    came = context.came[port]
    context.came[port] = came + 1
    return context.first[port] + came % context.lines[port]


@njit(**HOOK)
def ended(context, numbers, stations, messages, heap, station, now):
    message = np.int64(stations[station].current)
    branch = context.branch[messages[message].spike]
    context.branch_at[station], context.branch_end[station] = branch.first, branch.end
    return np.int64(ABSORBED), message


@njit(**HOOK)
def goes_on(context, numbers, stations, messages, heap, station, now):
    branch = context.branch_at[station]
    if branch == context.branch_end[station]:
        return QUEUE, np.int64(-1), np.int64(-1)
    context.branch_at[station] = branch + 1
    message = np.int64(new_message(numbers, messages, branch, 0, stations[station].entry, now))
    return HANDS, message, np.int64(line_of(context, branch))


@njit(**HOOK)
def begin(context, numbers, stations, messages, station, message, now):
    context.waited_ps[context.port[station]] += now - messages[message].ready_ps
    return stations[station].service_ps


run_tick = specialised("ticks", ended, goes_on, begin)


@njit(cache=True, **UNCOUNTED)
def start(context, firing, numbers, stations, messages, heap, bits):
    """At 0, before the first completion: the spikes of these neurons come to the first branches of their trees."""
    for neuron in firing:
        for branch in range(context.indptr[neuron], context.roots[neuron]):
            message, station = new_message(numbers, messages, branch, 0, -1, 0), line_of(context, branch)
            if ask(stations, messages, station, message, station, 0) == TAKEN:
                service_ps = begin(context, numbers, stations, messages, station, message, 0)
                begins(numbers, stations, heap, bits, station, message, 0, service_ps, -1)
