"""A timestep as one pass over the stations instead of an event loop: exact wherever no queue between routers fills up.

Imports only numpy, numba and the kernels beside it. Routes go along a row and then along a column, and never back. So
there is an order of stations in which each comes behind all that send to it: sweeps, sends and links of the cores;
links to the east and to the west, row by row; links to the north and to the south, column by column; links to the cores
and synapses. While no message waits for a slot at a link, nothing acts against this order. Then a station sees one
stream of messages, sorted by key and merged from those of the stations before, and `tandem.py`'s maxima give its times:
  taken[k] = max(asked[k], free[k - 1])    the queue has room: a slot is granted when it is asked for
Keys are time << bits | station of the completion by which a message asks, as in `merge.py`, so that ties fall alike.
A message that finds the queue of a link full ends the pass: that timestep is for the event loop.

A message is one number beside its key: service time at its synapses, row and column of its goal, and core.
A stream is a part of a row of `Work`, in ascending order of keys, and ends with the key NEVER.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from nsim.machine.compiled.heap import NEVER
from nsim.machine.compiled.loop import UNCOUNTED
from nsim.machine.compiled.timesteps_hooks import order_by_core

CORE_BITS, PLACE_BITS, SERVICE_BITS = 18, 9, 27  # of a message's number, from the lowest on; rows and columns alike
COLUMN, ROW, SERVICE = CORE_BITS, CORE_BITS + PLACE_BITS, CORE_BITS + 2 * PLACE_BITS  # where each part begins
MOST_MESSAGES = 1 << 18  # of a timestep: streams take 160 bytes for each

# Streams, by row of `Work`; a row is used again once its stream has been read
SENT, SORTED = 0, 1  # what every core has sent; what a router's many cores have, and in the end what reaches every core
EAST, WEST, HERE = 2, 3, 4  # what enters the links of a row at each router, and what needs none
FROM_EAST, FROM_WEST = 5, 6  # what leaves the links that go east and west, at each router
ALONG, ONWARD = 7, 8  # what goes from one link of a line to the next
NORTH, SOUTH, STAYS = 2, 3, 0  # the same along columns
FROM_NORTH, FROM_SOUTH = 5, 6
ROWS = 9

PASS = {"cache": True, **UNCOUNTED}
INSIDE = {**PASS, "inline": "always"}


class Grid(NamedTuple):
    """The machine as arrays.

    first, bits     as in Fabric
    columns, rows   of routers
    home            int64[cores]        row, column and number of every core, as in a message for it
    local           int64[routers + 1]  the cores of every router (CSR)
    core            int64[cores]
    link            int64[4, routers]   station of the link to the east, west, north and south; -1: none
    capacity, service_ps, wire_ps       int64[stations]
    """

    first: np.ndarray
    bits: int
    columns: int
    rows: int
    home: np.ndarray
    local: np.ndarray
    core: np.ndarray
    link: np.ndarray
    capacity: np.ndarray
    service_ps: np.ndarray
    wire_ps: np.ndarray


class Work(NamedTuple):
    """What a timestep works on.

    key, message   int64[ROWS, room]        streams
    at             int64[ROWS, routers + 1]   where that of each router begins; unused for SENT and SORTED
    by_core        int64[2, cores + 1]      where those of each core begin, in SENT and in the end in SORTED
    taken, left    int64[room]              when a queue's last messages were taken, at one station
    starts         int64[cores + 1]         firing neurons by core
    ordered        int64[spikes]
    longest, blocked_ps   int64[stations]   as measured, until the timestep is known to be right
    """

    key: np.ndarray
    message: np.ndarray
    at: np.ndarray
    by_core: np.ndarray
    taken: np.ndarray
    left: np.ndarray
    starts: np.ndarray
    ordered: np.ndarray
    longest: np.ndarray
    blocked_ps: np.ndarray


def work_for(grid, messages, spikes):
    """Room for timesteps with so many messages and spikes."""
    cores, routers = grid.home.size, grid.local.size - 1
    room = messages + cores + routers + 2
    return Work(
        np.empty((ROWS, room), np.int64),
        np.empty((ROWS, room), np.int64),
        np.empty((ROWS, routers + 1), np.int64),
        np.empty((2, cores + 1), np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(cores + 1, np.int64),
        np.empty(spikes, np.int64),
        *np.empty((2, grid.capacity.size), np.int64),
    )


@njit(cache=True, nogil=True)
def run_steps(grid, load, indptr, firing, work, duration_ps, blocked_ps, longest_queue):
    """Simulate consecutive timesteps as `merge.run_steps`, up to the first in which a queue between routers fills up.

    work      with room for the largest of them
    returns   how many were simulated
    """
    for station in range(longest_queue.size):
        work.longest[station], work.blocked_ps[station] = longest_queue[station], blocked_ps[station]
    for step in range(indptr.size - 1):
        last = _run_step(grid, load, firing[indptr[step] : indptr[step + 1]], work)
        if last == NEVER:
            return step
        duration_ps[step] = max(last, 0) >> grid.bits
        for station in range(longest_queue.size):
            longest_queue[station], blocked_ps[station] = work.longest[station], work.blocked_ps[station]
    return indptr.size - 1


@njit(**INSIDE)
def _run_step(grid, load, firing, work):
    """Key of the last completion, -1 if there was none; NEVER if a queue has filled up."""
    order_by_core(load, firing, work.starts, work.ordered)
    last = _leave_cores(grid, load, work)
    _enter_rows(grid, work)
    for way in range(4):
        if way == 2:
            _turn(grid, work)
        if not _follow_lines(grid, work, way, EAST + way % 2, FROM_EAST + way % 2):
            return NEVER
    _gather(grid, work)
    return _enter_cores(grid, work, last)


@njit(**PASS)
def _leave_cores(grid, load, work):
    """Sweeps, sends and links to the routers, core by core, with any number of slots; key of the last sweep's end."""
    bits, cores, link_0 = grid.bits, grid.first[1], grid.first[2]
    key, message, begun, reached = work.key[SENT], work.message[SENT], work.by_core[0], work.by_core[1]
    for core in range(cores + 1):
        reached[core] = 0
    count, last = 0, np.int64(-1)
    for core in range(cores):
        begun[core] = begin = count
        send, link = cores + core, link_0 + core
        send_slots, link_slots = grid.capacity[send], grid.capacity[link]
        send_ps, link_ps = grid.service_ps[send], grid.service_ps[link]
        update_ps, spike_ps = (load.update_ps, load.spike_ps) if core < cores - 1 else (0, 0)
        slot, swept_ps, cause = np.int64(-1), np.int64(0), np.int64(-1)
        spikes, send_free, link_free = 0, np.int64(-1), np.int64(link)
        longest_send, longest_link = work.longest[send], work.longest[link]
        for spike in range(work.starts[core], work.starts[core + 1]):
            neuron = work.ordered[spike]
            swept_ps += max(1, (load.slot[neuron] - slot) * update_ps + spike_ps)
            slot = np.int64(load.slot[neuron])
            cause = swept_ps << bits | core
            if load.indptr[neuron + 1] == load.indptr[neuron]:
                continue
            granted = max(cause, work.left[spikes - send_slots]) if spikes >= send_slots else cause
            moment = work.left[spikes] = max(granted, send_free)
            while longest_send < send_slots and longest_send <= spikes and work.left[spikes - longest_send] > cause:
                longest_send += 1
            spikes += 1
            work.blocked_ps[core] += (granted >> bits) - swept_ps
            swept_ps, cause = granted >> bits, granted
            for copy in range(load.indptr[neuron], load.indptr[neuron + 1]):
                asked = ((moment >> bits) + send_ps) << bits | send
                sent = count - begin
                moment = max(asked, work.taken[sent - link_slots]) if sent >= link_slots else asked
                took = work.taken[sent] = max(moment, link_free)
                while longest_link < link_slots and longest_link <= sent and work.taken[sent - longest_link] > asked:
                    longest_link += 1
                work.blocked_ps[send] += (moment >> bits) - (asked >> bits)
                link_free = ((took >> bits) + link_ps) << bits | link
                key[count] = link_free
                message[count] = load.synapse_ps[copy] << SERVICE | grid.home[load.target[copy]]
                reached[load.target[copy] + 1] += 1
                count += 1
            send_free = moment
        work.longest[send], work.longest[link] = longest_send, longest_link
        key[count] = NEVER
        count += 1
        silent_ps = (load.allocated[core] - 1 - slot) * update_ps
        if silent_ps > 0:
            last = max(last, (swept_ps + silent_ps) << bits | core)
        elif cause >= 0:
            last = max(last, swept_ps << bits | core)
    begun[cores] = count
    return last


@njit(**PASS)
def _enter_rows(grid, work):
    """What the cores of every router have sent, in one order: to the east, to the west, or along this column."""
    begun = work.by_core[0]
    east, west, here = np.uint64(0), np.uint64(0), np.uint64(0)
    for router in range(grid.local.size - 1):
        work.at[EAST, router], work.at[WEST, router], work.at[HERE, router] = east, west, here
        column = np.int64(router % grid.columns)
        key, message = work.key[SENT], work.message[SENT]
        never = np.uint64(begun[1] - 1)
        i, j, k, m = never, never, never, never  # the streams of up to four cores
        sending, count = 0, 0
        for core in grid.core[grid.local[router] : grid.local[router + 1]]:
            size = begun[core + 1] - begun[core] - 1
            if size > 0:
                i, j, k, m = np.uint64(begun[core]), i, j, k
                sending, count = sending + 1, count + size
        if sending > 4:
            _sort_all(grid, work, router)
            key, message = work.key[SORTED], work.message[SORTED]
            key[count] = NEVER
            i, j, k, m = np.uint64(0), np.uint64(count), np.uint64(count), np.uint64(count)
        for _ in range(count):
            a, b, c, d = key[i], key[j], key[k], key[m]
            first = min(min(a, b), min(c, d))
            left, right = message[i] if a < b else message[j], message[k] if c < d else message[m]
            what = left if min(a, b) < min(c, d) else right
            i, j = i + np.uint64(a == first), j + np.uint64(b == first)
            k, m = k + np.uint64(c == first), m + np.uint64(d == first)
            goal = what >> COLUMN & ((1 << PLACE_BITS) - 1)
            _put(work, EAST, east, first, what)
            _put(work, WEST, west, first, what)
            _put(work, HERE, here, first, what)
            east += np.uint64(goal > column)
            west += np.uint64(goal < column)
            here += np.uint64(goal == column)
        east, west, here = _end(work, EAST, east), _end(work, WEST, west), _end(work, HERE, here)
    routers = grid.local.size - 1
    work.at[EAST, routers], work.at[WEST, routers], work.at[HERE, routers] = east, west, here


@njit(**INSIDE)
def _put(work, row, place, key, message):
    """Write a message at the end of a stream; it is in it once the end moves on."""
    work.key[row, place], work.message[row, place] = key, message


@njit(**INSIDE)
def _end(work, row, place):
    """Close a stream: where the next begins."""
    work.key[row, place] = NEVER
    return place + np.uint64(1)


@njit(**PASS)
def _sort_all(grid, work, router):
    """The streams of all cores of a router in one, SORTED: added one by one, from behind."""
    key, message, begun = work.key[SENT], work.message[SENT], work.by_core[0]
    into, what = work.key[SORTED], work.message[SORTED]
    count = 0
    for core in grid.core[grid.local[router] : grid.local[router + 1]]:
        own, there = begun[core + 1] - 2, count - 1
        count += begun[core + 1] - begun[core] - 1
        for place in range(count - 1, -1, -1):
            if own < begun[core]:
                break
            if there >= 0 and into[there] > key[own]:
                into[place], what[place] = into[there], what[there]
                there -= 1
            else:
                into[place], what[place] = key[own], message[own]
                own -= 1


@njit(**PASS)
def _follow_lines(grid, work, way, entering, leaving):
    """All mesh links that go one way, line by line from its beginning; whether no queue was full.

    way                 0: east, 1: west, 2: north, 3: south
    entering, leaving   streams of every router: what takes this way from there, and what leaves the line there
    """
    length, lines = (grid.columns, grid.rows) if way < 2 else (grid.rows, grid.columns)
    step = 1 if way < 2 else grid.columns
    forward = way == 0 or way == 3
    left = 0
    for line in range(lines):
        router = line * grid.columns if way < 2 else line
        place = 0
        if not forward:
            router, place = router + step * (length - 1), length - 1
        work.at[leaving, router] = left  # nothing arrives at the first
        left = np.int64(_end(work, leaving, np.uint64(left)))
        row, onward, along = ALONG, ONWARD, 0
        work.key[row, 0] = NEVER
        for _ in range(length - 1):
            count = along + work.at[entering, router + 1] - work.at[entering, router] - 1
            station = grid.link[way, router]
            begin = work.at[entering, router]
            router, place = (router + step, place + 1) if forward else (router - step, place - 1)
            work.at[leaving, router] = left
            if count > 0:
                streams = row, entering, onward, leaving
                along, left = _serve_link(grid, work, streams, begin, left, count, station, way, place)
                if along < 0:
                    return False
                row, onward = onward, row
            left = np.int64(_end(work, leaving, np.uint64(left)))
    return True


@njit(**INSIDE)
def _serve_link(grid, work, streams, begin, left, count, station, way, place):
    """One mesh link serves what comes along the line and what enters here, in one order.

    streams   rows of: what comes along, what enters, what goes on, what leaves the line at the next router
    begin, left   where what enters begins, and where what leaves does
    count     of all messages
    place     of the next router in its line
    returns   how many go on, and the end of what leaves; -1 if the queue was full
    """
    bits, service_ps, capacity, wire_ps = grid.bits, grid.service_ps[station], grid.capacity[station], grid.wire_ps
    key_a, key_b, key_c, key_d = work.key[streams[0]], work.key[streams[1]], work.key[streams[2]], work.key[streams[3]]
    what_a, what_b = work.message[streams[0]], work.message[streams[1]]
    what_c, what_d = work.message[streams[2]], work.message[streams[3]]
    taken, longest = work.taken, work.longest[station]
    mask = (np.int64(1) << bits) - 1
    goal = COLUMN if way < 2 else ROW
    free, ends_ps = np.int64(-1), np.int64(0)
    i, j, c, d = np.uint64(0), np.uint64(begin), np.uint64(0), np.uint64(left)
    for k in range(count):
        a, b = key_a[i], key_b[j]
        enters = b < a
        asked = min(a, b)
        what = what_b[j] if enters else what_a[i]
        i, j = i + np.uint64(not enters), j + np.uint64(enters)
        taken[k] = max(asked, free)
        while longest <= k and taken[k - longest] > asked:
            longest += 1
            if longest > capacity:
                return np.int64(-1), np.int64(d)
        ends_ps = max((asked >> bits) + wire_ps[np.uint64(asked & mask)], ends_ps) + service_ps
        free = ends_ps << bits | station
        key_c[c], what_c[c] = free, what
        key_d[d], what_d[d] = free, what
        leaves = (what >> goal & ((1 << PLACE_BITS) - 1)) == place
        d += np.uint64(leaves)
        c += np.uint64(not leaves)
    work.longest[station] = longest
    key_c[c] = NEVER
    return np.int64(c), np.int64(d)


@njit(**INSIDE)
def _first_of(work, rows, i, j, k):
    """The first message of three streams, with their next places behind it."""
    a, b, c = work.key[rows[0], i], work.key[rows[1], j], work.key[rows[2], k]
    first = min(min(a, b), c)
    what = work.message[rows[0], i] if a < b else work.message[rows[1], j]
    what = what if min(a, b) < c else work.message[rows[2], k]
    return first, what, i + np.uint64(a == first), j + np.uint64(b == first), k + np.uint64(c == first)


@njit(**PASS)
def _turn(grid, work):
    """At every router what leaves the row or starts in this column, in one order: to the north, the south, or here."""
    north, south, stays = np.uint64(0), np.uint64(0), np.uint64(0)
    rows = FROM_EAST, FROM_WEST, HERE
    for router in range(grid.local.size - 1):
        i, j = np.uint64(work.at[FROM_EAST, router]), np.uint64(work.at[FROM_WEST, router])
        k = np.uint64(work.at[HERE, router])
        work.at[NORTH, router], work.at[SOUTH, router], work.at[STAYS, router] = north, south, stays
        here = np.int64(router // grid.columns)
        first, what, i, j, k = _first_of(work, rows, i, j, k)
        while first != NEVER:
            goal = what >> ROW & ((1 << PLACE_BITS) - 1)
            _put(work, NORTH, north, first, what)
            _put(work, SOUTH, south, first, what)
            _put(work, STAYS, stays, first, what)
            north += np.uint64(goal < here)
            south += np.uint64(goal > here)
            stays += np.uint64(goal == here)
            first, what, i, j, k = _first_of(work, rows, i, j, k)
        north, south, stays = _end(work, NORTH, north), _end(work, SOUTH, south), _end(work, STAYS, stays)
    routers = grid.local.size - 1
    work.at[NORTH, routers], work.at[SOUTH, routers], work.at[STAYS, routers] = north, south, stays


@njit(**PASS)
def _gather(grid, work):
    """At every router what leaves the column or is there already, in one order, into a stream for every core."""
    reached, next_of = work.by_core[1], work.by_core[0]
    for core in range(reached.size - 1):
        reached[core + 1] += reached[core]
        next_of[core] = reached[core]
    rows = FROM_NORTH, FROM_SOUTH, STAYS
    for router in range(grid.local.size - 1):
        i, j = np.uint64(work.at[FROM_NORTH, router]), np.uint64(work.at[FROM_SOUTH, router])
        k = np.uint64(work.at[STAYS, router])
        first, what, i, j, k = _first_of(work, rows, i, j, k)
        while first != NEVER:
            core = what & ((1 << CORE_BITS) - 1)
            _put(work, SORTED, np.uint64(next_of[core]), first, what)
            next_of[core] += 1
            first, what, i, j, k = _first_of(work, rows, i, j, k)


@njit(**PASS)
def _enter_cores(grid, work, last):
    """Links from the routers and synapses, core by core: key of the last completion, NEVER if such a link was full."""
    bits, out_0, synapses_0 = grid.bits, grid.first[4], grid.first[5]
    key, message, reached = work.key[SORTED], work.message[SORTED], work.by_core[1]
    taken, left = work.taken, work.left
    mask = (np.int64(1) << bits) - 1
    for core in range(reached.size - 1):
        begin, out, synapses = reached[core], out_0 + core, synapses_0 + core
        if reached[core + 1] == begin:
            continue
        capacity, slots = grid.capacity[out], grid.capacity[synapses]
        service_ps, wire_ps = grid.service_ps[out], grid.wire_ps[out]
        longest_out, longest_synapses = work.longest[out], work.longest[synapses]
        free, done, done_ps = np.int64(-1), np.int64(-1), np.int64(0)
        for k in range(reached[core + 1] - begin):
            asked = key[begin + k]
            took = taken[k] = max(asked, free)
            while longest_out <= k and taken[k - longest_out] > asked:
                longest_out += 1
                if longest_out > capacity:
                    return NEVER
            arrived_ps = max(took >> bits, (asked >> bits) + grid.wire_ps[np.uint64(asked & mask)])
            served = (arrived_ps + service_ps) << bits | out
            free = max(served, left[k - slots]) if k >= slots else served
            left[k] = max(free, done)
            while longest_synapses < slots and longest_synapses <= k and left[k - longest_synapses] > served:
                longest_synapses += 1
            work.blocked_ps[out] += (free >> bits) - (served >> bits)
            done_ps = max(done_ps, (free >> bits) + wire_ps) + (message[begin + k] >> SERVICE)
            done = done_ps << bits | synapses
        work.longest[out], work.longest[synapses] = longest_out, longest_synapses
        last = max(last, done)
    return last
