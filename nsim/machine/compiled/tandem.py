"""Queues with a server that nothing unknown blocks, in closed form: no event tells when a message has its slot.

Imports only numpy and numba. A *line* is a queue with its server. Moments are keys, time << bits | station number of
the completion that is handled, so that their order is that of the event loop, ties included. Where messages ask in a
known order, and it is known when the server is free again, the rules of `queues.py` are two maxima:
  granted[k] = max(asked[k], taken[k - slots])   a slot is free once the message that many before was taken
  taken[k] = max(granted[k], free[k - 1])         the server takes the next message when it holds none
Once k has asked, n messages or more have slots if taken[k - n] > asked[k].
"""

import numpy as np
from numba import njit

LINE = np.dtype(
    [
        ("ring", np.int64),  # first index in `taken` of the line's ring: the moments its last messages were taken
        ("slots", np.int64),  # length of the ring: the capacity, or all messages there can be if they are fewer
        ("at", np.int64),  # slot in the ring of the next message
        ("entered", np.int64),  # messages so far in this timestep
        ("free", np.int64),  # moment from which the server can take the next message; -1 before the first
        ("longest_queue", np.int64),
        ("blocked_ps", np.int64),  # time for which the one station that feeds it waited for slots, summed
    ],
    align=True,
)


def empty_lines(capacity, messages):
    """Lines with so many slots, for no more than so many messages in a timestep; both int64[lines]."""
    lines = np.zeros(capacity.size, LINE)
    lines["slots"] = np.minimum(capacity, messages)
    lines["free"] = -1
    lines["ring"] = np.cumsum(lines["slots"]) - lines["slots"]
    return lines


@njit(cache=True, nogil=True)
def clear(lines):
    """No messages yet; what was measured stays."""
    for k in range(lines.size):
        if lines[k].entered > 0:
            lines[k].at, lines[k].entered, lines[k].free = 0, 0, -1


@njit(cache=True, nogil=True)
def enter(lines, taken, number, asked):
    """The next message asks for a slot in a line: the moments of its grant and of its taking."""
    line = lines[number]
    ring, at, slots, entered = line.ring, line.at, line.slots, line.entered
    granted = max(asked, taken[ring + at]) if entered >= slots else asked
    longest = line.longest_queue
    if longest == 0 and line.free > asked:
        longest = 1
    while 0 < longest < slots and longest <= entered:
        before = at - longest
        if taken[ring + before + (slots if before < 0 else 0)] < asked:
            break
        longest += 1
    line.longest_queue = longest
    took = max(granted, line.free)
    taken[ring + at] = took
    line.at = at + 1 if at + 1 < slots else 0
    line.entered = entered + 1
    return granted, took
