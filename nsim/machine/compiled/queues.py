"""Stations and their queues in a compiled event loop: who asks for a slot, who gets it, and who waits.

Imports only numpy and numba. A queue is one linked list of messages: first those that have a slot (`granted` counts
them), from `first_waiting` on those that still ask, in the order of asking. The rules, as in `engine_simpy.py`:
- The message that a station holds takes no slot. A station that holds nothing takes the next message at once.
- A message that asks has a slot at once if one is free. Otherwise it waits, and blocks the station that holds it.
- Places that become free go to the waiting messages in the order of asking; messages are served in the order of grants.
- A message can be served from its grant plus the wire of the station it left.

After a message's service an event loop lets it `ask` for the next slot. A station that is free then does `take`, and
`admit`s the first message waiting for the slot so freed, whose station is thereby free, and so on upstream.
"""

import numpy as np
from numba import njit

TAKEN, GRANTED, WAITS = 0, 1, 2  # what a message gets that asks

# One record per station, so that all that is known of it lies in one line of the cache. -1: none.
STATION = np.dtype(
    [
        ("current", np.int32),  # message it holds: served, blocked, or on the wire towards its service
        ("head", np.int32),  # first and last message of its queue; undefined while nothing is granted
        ("tail", np.int32),
        ("granted", np.int32),  # slots taken
        ("first_waiting", np.int32),  # first message that has no slot yet
        ("capacity", np.int32),  # slots, at least 1
        ("longest_queue", np.int32),  # slots ever taken at once
        ("entry", np.int32),  # of its last service in the log, kept only if recorded
        ("service_ps", np.int64),  # 0 where it varies
        ("wire_ps", np.int64),  # from leaving the station to where the message can be served next
        ("blocked_since_ps", np.int64),
        ("blocked_ps", np.int64),  # time spent holding messages that were served, summed
    ]
)

# One record per message under way.
MESSAGE = np.dtype(
    [
        ("following", np.int32),  # next in the queue; the loop's own while in no queue
        ("owner", np.int32),  # station that holds it while it waits for a slot
        ("target", np.int32),  # destination core
        ("granted_by", np.int32),  # completion that granted its slot, kept only if recorded
        ("ready_ps", np.int64),  # moment from which the next station can serve it
        ("service_ps", np.int64),  # at the synapses
    ]
)


def idle_stations(capacity, service_ps, wire_ps):
    """All stations idle, nothing measured yet. Arguments are int64[stations]; more slots than int32 holds are many."""
    stations = np.zeros(capacity.size, STATION)
    stations["capacity"] = np.minimum(capacity, np.iinfo(np.int32).max)
    stations["service_ps"], stations["wire_ps"] = service_ps, wire_ps
    for name in ("current", "head", "tail", "first_waiting"):
        stations[name] = -1
    return stations


@njit(cache=True, nogil=True)
def ask(stations, messages, station, message, onward, now):
    """The message that `station` has served asks for a slot at `onward`: TAKEN, GRANTED, or WAITS (then it blocks).

    TAKEN: `onward` was idle and holds it from now on; its service can begin after the wire, and is the loop's to plan.
    """
    if stations[onward].current < 0:
        stations[onward].current = message
        messages[message].ready_ps = now + stations[station].wire_ps
        return TAKEN
    slots = stations[onward].granted
    if slots == 0:
        stations[onward].head = message
    else:
        messages[stations[onward].tail].following = message
    stations[onward].tail = message
    messages[message].following = -1
    if slots < stations[onward].capacity:
        stations[onward].granted = slots + 1
        stations[onward].longest_queue = max(stations[onward].longest_queue, slots + 1)
        messages[message].ready_ps = now + stations[station].wire_ps
        return GRANTED
    if stations[onward].first_waiting < 0:
        stations[onward].first_waiting = message
    messages[message].owner = station
    stations[station].blocked_since_ps = now
    return WAITS


@njit(cache=True, nogil=True)
def take(stations, messages, station):
    """A free station takes the first message of its queue, which frees a slot; idle, and -1, if there is none."""
    if stations[station].granted == 0:
        stations[station].current = -1
        return -1
    message = stations[station].head
    stations[station].head = messages[message].following
    stations[station].granted -= 1
    stations[station].current = message
    return message


@njit(cache=True, nogil=True)
def admit(stations, messages, station, now):
    """Give the slot just freed to the first message that waits for it, and return that message; -1 if none waits.

    The station that held it is free then: it is blocked no longer.
    """
    message = stations[station].first_waiting
    if message >= 0:
        stations[station].granted += 1
        stations[station].first_waiting = messages[message].following
        owner = messages[message].owner
        messages[message].ready_ps = now + stations[owner].wire_ps
        stations[owner].blocked_ps += now - stations[owner].blocked_since_ps
    return message
