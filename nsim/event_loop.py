"""The compiled event loop: the rules of `engine_simpy.py` over arrays, one timestep after another.

Imports only numpy, numba and other kernels. Per station: `current` is the message it holds (-1: none), and one linked
list holds its queue: first the messages that have a place (`granted` counts them), from `first_waiting` on those that
still ask, each held by the station named in `owner`. A station has at most one completion pending; a 4-ary heap of keys
time << bits | station gives the next one.

A message gets its number when `send` begins with it, and gives it back at the synapses. The queue of `send` needs no
list: it is fed by one sweep in order, so a count of spikes is enough.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from nsim.critical_path import walk_back

NEVER = np.int64(2**63 - 1)
HEAP_PADDING = 8


class Fabric(NamedTuple):
    """The machine as arrays. Stations are numbered kind by kind, see stations.py.

    first          int64[7]          first station of each of the six kinds, and their total
    capacity       int64[stations]
    service_ps     int64[stations]   0 for neurons and synapses
    wire_ps        int64[stations]
    router_behind  int32[stations]   router a core-to-router or mesh link leads to
    router_of      int32[cores]
    hop            int32[routers, routers]   station of the next mesh link from router to router
    bits           bits of a station number in a key
    """

    first: np.ndarray
    capacity: np.ndarray
    service_ps: np.ndarray
    wire_ps: np.ndarray
    router_behind: np.ndarray
    router_of: np.ndarray
    hop: np.ndarray
    bits: int


class Load(NamedTuple):
    """The mapping as arrays: where neurons are, and the copies they send (CSR by neuron).

    core, slot       int32[neurons]     slots ascend with the neuron index within a core
    indptr           int64[neurons + 1]
    target           int32[copies]      destination core
    synapse_ps       int64[copies]      service at its synapses
    allocated        int64[cores]       neurons swept, the host last
    update_ps, spike_ps                 costs of the sweep; the host has none
    """

    core: np.ndarray
    slot: np.ndarray
    indptr: np.ndarray
    target: np.ndarray
    synapse_ps: np.ndarray
    allocated: np.ndarray
    update_ps: int
    spike_ps: int


class Log(NamedTuple):
    """Every service of one timestep, in order of completion; empty arrays switch it off. See engine_simpy.Service."""

    station: np.ndarray
    neuron: np.ndarray
    target: np.ndarray
    start_ps: np.ndarray
    end_ps: np.ndarray
    left_ps: np.ndarray
    cause: np.ndarray


@njit(cache=True, nogil=True)
def _push(heap, size, key):
    """Add a key to the heap of `size` keys."""
    hole = size
    while hole > 0:
        parent = (hole - 1) >> 2
        if heap[parent] <= key:
            break
        heap[hole] = heap[parent]
        hole = parent
    heap[hole] = key


@njit(cache=True, nogil=True)
def _pop(heap, size):
    """Remove the smallest key. The hole walks to a leaf without comparing, then the last key rises from there."""
    last = heap[size - 1]
    heap[size - 1] = NEVER
    end = size - 1
    hole = 0
    child = 1
    while child < end:
        a, b, c, d = heap[child], heap[child + 1], heap[child + 2], heap[child + 3]
        left_key, right_key = min(a, b), min(c, d)
        left, right = np.int64(b < a), np.int64(d < c) + 2
        child += left ^ ((left ^ right) & -np.int64(right_key < left_key))
        heap[hole] = min(left_key, right_key)
        hole = child
        child = 4 * hole + 1
    while hole > 0:
        parent = (hole - 1) >> 2
        if heap[parent] <= last:
            break
        heap[hole] = heap[parent]
        hole = parent
    heap[hole] = last if end > 0 else NEVER


@njit(cache=True, nogil=True)
def _order_by_core(load, firing, starts, ordered):
    """Sort firing neurons by core, stable, so that slots ascend: counting sort. starts: int64[cores + 1]."""
    starts[:] = 0
    for k in range(firing.size):
        starts[load.core[firing[k]] + 1] += 1
    for core in range(starts.size - 1):
        starts[core + 1] += starts[core]
    for k in range(firing.size):
        core = load.core[firing[k]]
        ordered[starts[core]] = firing[k]
        starts[core] += 1
    for core in range(starts.size - 1, 0, -1):
        starts[core] = starts[core - 1]
    starts[0] = 0


@njit(cache=True, nogil=True)
def _sweep_ps(load, core, host, spike, start, stop, ordered):
    """Service of a sweep up to firing neuron `spike` (start..stop are the core's), or of the silent rest."""
    if core == host:
        return 1 if spike < stop else 0
    previous = load.slot[ordered[spike - 1]] if spike > start else -1
    if spike < stop:
        return max(1, (load.slot[ordered[spike]] - previous) * load.update_ps + load.spike_ps)
    return (load.allocated[core] - 1 - previous) * load.update_ps


@njit(cache=True, nogil=True)
def run_step(fabric, load, firing, blocked_ps, longest_queue, log):
    """Simulate one timestep; returns its duration, the messages that did not arrive (0 unless deadlocked), services.

    firing         int64[spikes]    neurons that fire, ascending
    blocked_ps, longest_queue  int64[stations]   added to, and raised
    log            arrays for every service, or empty ones
    """
    first, capacity, service_ps, wire_ps = fabric.first, fabric.capacity, fabric.service_ps, fabric.wire_ps
    send_0, link_0, out_0, synapses_0, stations = first[1], first[2], first[4], first[5], first[6]
    cores = send_0
    host = cores - 1
    bits = fabric.bits
    mask = (np.int64(1) << bits) - 1

    starts = np.empty(cores + 1, np.int64)
    ordered = np.empty(firing.size, np.int64)
    _order_by_core(load, firing, starts, ordered)
    messages = 0
    for spike in range(firing.size):
        messages += load.indptr[firing[spike] + 1] - load.indptr[firing[spike]]

    # Messages under way; numbers are used again, so that few stay few and near.
    places = stations
    for station in range(link_0, stations):
        places += min(capacity[station], messages)
    most = min(messages, places)
    target = np.empty(most, np.int32)
    synapse_ps = np.empty(most, np.int64)
    ready_ps = np.empty(most, np.int64)
    following = np.empty(most, np.int32)
    owner = np.empty(most, np.int32)
    unused, fresh = -1, 0  # list of numbers given back, and the first never used

    current = np.full(stations, -1, np.int32)
    head = np.empty(stations, np.int32)
    tail = np.empty(stations, np.int32)
    granted = np.zeros(stations, np.int32)
    first_waiting = np.full(stations, -1, np.int32)
    blocked_since = np.empty(stations, np.int64)

    sweep_at = starts[:-1].copy()  # spike a sweep works towards
    behind = starts[:-1].copy()  # next spike that send will take
    copy_at = np.zeros(cores, np.int64)  # copy that send serves, and where its spike's copies end
    copy_end = np.zeros(cores, np.int64)
    queued = np.zeros(cores, np.int64)  # spikes with a place before send
    sweep_blocked = np.zeros(cores, np.bool_)

    record = log.station.size > 0
    sender = np.empty(most if record else 0, np.int32)
    granted_by = np.empty(most if record else 0, np.int32)
    start_ps = np.empty(stations if record else 0, np.int64)
    cause = np.empty(stations if record else 0, np.int32)
    entry = np.empty(stations if record else 0, np.int32)

    heap = np.full(stations + HEAP_PADDING, NEVER, np.int64)
    size = 0
    for core in range(cores):
        duration = _sweep_ps(load, core, host, starts[core], starts[core], starts[core + 1], ordered)
        if duration > 0:
            _push(heap, size, duration << bits | core)
            size += 1
            if record:
                start_ps[core], cause[core] = 0, -1

    now = np.int64(0)
    handled = -1
    delivered = 0
    while size > 0:
        key = heap[0]
        _pop(heap, size)
        size -= 1
        now = key >> bits
        station = key & mask
        handled += 1
        if record:
            entry[station] = handled
            log.station[handled] = station
            log.start_ps[handled] = start_ps[station]
            log.end_ps[handled] = now
            log.left_ps[handled] = now
            log.cause[handled] = cause[station]
            if station >= send_0:
                log.neuron[handled] = sender[current[station]]
                log.target[handled] = target[current[station]]
            elif sweep_at[station] < starts[station + 1]:
                log.neuron[handled] = ordered[sweep_at[station]]

        # --- what the end of this service brings: `freed` is a station that has handed on its message
        freed = -1
        begins = -1  # core whose send begins with its next copy
        if station < send_0:
            core = station
            spike = sweep_at[core]
            if spike == starts[core + 1]:
                continue  # the silent rest of the sweep
            if load.indptr[ordered[spike] + 1] > load.indptr[ordered[spike]]:
                send = send_0 + core
                if current[send] < 0:
                    behind[core] = spike + 1
                    copy_at[core], copy_end[core] = load.indptr[ordered[spike]], load.indptr[ordered[spike] + 1]
                    begins = core
                elif queued[core] < capacity[send]:
                    queued[core] += 1
                    longest_queue[send] = max(longest_queue[send], queued[core])
                else:
                    sweep_blocked[core] = True
                    blocked_since[core] = now
                    continue
            freed = core
        elif station >= synapses_0:
            delivered += 1
            following[current[station]] = unused
            unused = current[station]
            freed = station
        else:
            message = current[station]
            if station < link_0:
                onward = link_0 + station - send_0
            elif station >= out_0:
                onward = synapses_0 + station - out_0
            else:
                goal = fabric.router_of[target[message]]
                here = fabric.router_behind[station]
                onward = out_0 + target[message] if here == goal else fabric.hop[here, goal]
            if current[onward] < 0:  # idle: it takes the message at once
                current[onward] = message
                begin = now + wire_ps[station]
                duration = synapse_ps[message] if onward >= synapses_0 else service_ps[onward]
                _push(heap, size, (begin + duration) << bits | onward)
                size += 1
                if record:
                    start_ps[onward], cause[onward] = begin, handled
                freed = station
            else:
                if granted[onward] == 0:
                    head[onward] = message
                else:
                    following[tail[onward]] = message
                tail[onward] = message
                following[message] = -1
                if granted[onward] < capacity[onward]:
                    granted[onward] += 1
                    longest_queue[onward] = max(longest_queue[onward], granted[onward])
                    ready_ps[message] = now + wire_ps[station]
                    if record:
                        granted_by[message] = handled
                    freed = station
                else:
                    if first_waiting[onward] < 0:
                        first_waiting[onward] = message
                    owner[message] = station
                    blocked_since[station] = now

        # --- a freed station takes its next message, whose place frees a station upstream, and so on
        while freed >= 0 or begins >= 0:
            if freed >= 0:
                station = freed
                freed = -1
                if station < send_0:
                    core = station
                    sweep_at[core] += 1
                    duration = _sweep_ps(load, core, host, sweep_at[core], starts[core], starts[core + 1], ordered)
                    if duration > 0:
                        _push(heap, size, (now + duration) << bits | core)
                        size += 1
                        if record:
                            start_ps[core], cause[core] = now, handled
                elif station < link_0:
                    core = station - send_0
                    copy_at[core] += 1
                    if copy_at[core] == copy_end[core]:  # the spike's last copy has its place
                        if queued[core] == 0:
                            current[station] = -1
                            continue
                        queued[core] -= 1
                        spike = behind[core]
                        while load.indptr[ordered[spike] + 1] == load.indptr[ordered[spike]]:
                            spike += 1
                        behind[core] = spike + 1
                        copy_at[core], copy_end[core] = load.indptr[ordered[spike]], load.indptr[ordered[spike] + 1]
                        if sweep_blocked[core]:
                            sweep_blocked[core] = False
                            queued[core] += 1
                            blocked_ps[core] += now - blocked_since[core]
                            if record:
                                log.left_ps[entry[core]] = now
                            freed = core
                    begins = core
                elif granted[station] == 0:
                    current[station] = -1
                else:
                    message = head[station]
                    head[station] = following[message]
                    granted[station] -= 1
                    current[station] = message
                    begin = max(now, ready_ps[message])
                    duration = synapse_ps[message] if station >= synapses_0 else service_ps[station]
                    _push(heap, size, (begin + duration) << bits | station)
                    size += 1
                    if record:
                        start_ps[station] = begin
                        cause[station] = granted_by[message] if begin > now else handled
                    waiting = first_waiting[station]
                    if waiting >= 0:
                        freed = owner[waiting]
                        granted[station] += 1
                        first_waiting[station] = following[waiting]
                        ready_ps[waiting] = now + wire_ps[freed]
                        blocked_ps[freed] += now - blocked_since[freed]
                        if record:
                            granted_by[waiting] = handled
                            log.left_ps[entry[freed]] = now
            if begins >= 0:
                send = send_0 + begins
                message = unused
                if message >= 0:
                    unused = following[message]
                else:
                    message = fresh
                    fresh += 1
                current[send] = message
                target[message] = load.target[copy_at[begins]]
                synapse_ps[message] = load.synapse_ps[copy_at[begins]]
                _push(heap, size, (now + service_ps[send]) << bits | send)
                size += 1
                if record:
                    sender[message] = ordered[behind[begins] - 1]
                    start_ps[send], cause[send] = now, handled
                begins = -1
    return now, messages - delivered, handled + 1


@njit(cache=True, nogil=True)
def run_steps(fabric, load, indptr, firing, duration_ps, blocked_ps, longest_queue, log, path):
    """Simulate consecutive timesteps, step s with firing[indptr[s]:indptr[s + 1]]; the first that deadlocked, or -1.

    log, path   room for every service of a timestep, and what the critical paths consist of; empty arrays: not recorded
    """
    for step in range(indptr.size - 1):
        duration_ps[step], missing, services = run_step(
            fabric, load, firing[indptr[step] : indptr[step + 1]], blocked_ps, longest_queue, log
        )
        if missing:
            return step
        if log.station.size > 0:
            entries = log.station, log.start_ps, log.end_ps, log.cause
            walk_back(fabric.first, services, *entries, path[0][step], path[1], path[2])
    return -1
