"""The compiled event loop with every completion, and a log if asked for: the rules of `engine_simpy.py` over arrays.

Imports only numpy, numba and the kernels beside it: `heap.py` gives the next completion, `queues.py` says who gets a
place. A message gets its number when `send` begins with it, and gives it back at the synapses. The queue of `send`
needs no list: it is fed by one sweep in order, so a count of spikes is enough.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from nsim.heap import empty_heap, pop, push
from nsim.queues import MESSAGE, TAKEN, WAITS, admit, ask, take


class Fabric(NamedTuple):
    """The machine as arrays. Stations are numbered kind by kind, see stations.py.

    first          int64[7]          first station of each of the six kinds, and their total
    stations       STATION[stations]   idle, see queues.py
    router_behind  int32[stations]   router a core-to-router or mesh link leads to
    router_of      int32[cores]
    hop            int32[routers, routers]   station of the next mesh link from router to router
    bits           bits of a station number in a key
    """

    first: np.ndarray
    stations: np.ndarray
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
def order_by_core(load, firing, starts, ordered):
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
def sweep_service_ps(load, core, host, spike, start, stop, ordered):
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
    send_0, link_0, out_0, synapses_0 = fabric.first[1], fabric.first[2], fabric.first[4], fabric.first[5]
    cores = send_0
    host = cores - 1
    bits = fabric.bits
    mask = (np.int64(1) << bits) - 1

    starts = np.empty(cores + 1, np.int64)
    ordered = np.empty(firing.size, np.int64)
    order_by_core(load, firing, starts, ordered)
    messages = 0
    for spike in range(firing.size):
        messages += load.indptr[firing[spike] + 1] - load.indptr[firing[spike]]

    # Messages under way; numbers are used again, so that few stay few and near.
    stations = fabric.stations.copy()
    places = stations.size
    for station in range(link_0, stations.size):
        places += min(stations[station].capacity, messages)
    most = min(messages, places)
    underway = np.empty(most, MESSAGE)
    unused, fresh = -1, 0  # list of numbers given back, and the first never used

    sweep_at = starts[:-1].copy()  # spike a sweep works towards
    behind = starts[:-1].copy()  # next spike that send will take
    copy_at = np.zeros(cores, np.int64)  # copy that send serves, and where its spike's copies end
    copy_end = np.zeros(cores, np.int64)
    queued = np.zeros(cores, np.int64)  # spikes with a place before send
    sweep_blocked = np.zeros(cores, np.bool_)
    blocked_since = np.empty(cores, np.int64)

    record = log.station.size > 0
    sender = np.empty(most if record else 0, np.int32)
    start_ps = np.empty(stations.size if record else 0, np.int64)
    cause = np.empty(stations.size if record else 0, np.int32)

    heap = empty_heap(stations.size)
    size = 0
    for core in range(cores):
        duration = sweep_service_ps(load, core, host, starts[core], starts[core], starts[core + 1], ordered)
        if duration > 0:
            push(heap, size, duration << bits | core)
            size += 1
            if record:
                start_ps[core], cause[core] = 0, -1

    now = np.int64(0)
    handled = -1
    delivered = 0
    while size > 0:
        key = heap[0]
        pop(heap, size)
        size -= 1
        now = key >> bits
        station = key & mask
        handled += 1
        if record:
            stations[station].entry = handled
            log.station[handled] = station
            log.start_ps[handled] = start_ps[station]
            log.end_ps[handled] = now
            log.left_ps[handled] = now
            log.cause[handled] = cause[station]
            if station >= send_0:
                log.neuron[handled] = sender[stations[station].current]
                log.target[handled] = underway[stations[station].current].target
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
                if stations[send].current < 0:
                    behind[core] = spike + 1
                    copy_at[core], copy_end[core] = load.indptr[ordered[spike]], load.indptr[ordered[spike] + 1]
                    begins = core
                elif queued[core] < stations[send].capacity:
                    queued[core] += 1
                    stations[send].longest_queue = max(stations[send].longest_queue, queued[core])
                else:
                    sweep_blocked[core] = True
                    blocked_since[core] = now
                    continue
            freed = core
        elif station >= synapses_0:
            delivered += 1
            message = stations[station].current
            underway[message].following = unused
            unused = message
            freed = station
        else:
            message = stations[station].current
            if station < link_0:
                onward = link_0 + station - send_0
            elif station >= out_0:
                onward = synapses_0 + station - out_0
            else:
                target = underway[message].target
                here, goal = fabric.router_behind[station], fabric.router_of[target]
                onward = out_0 + target if here == goal else fabric.hop[here, goal]
            answer = ask(stations, underway, station, message, onward, now)
            if answer == TAKEN:
                begin = underway[message].ready_ps
                duration = underway[message].service_ps if onward >= synapses_0 else stations[onward].service_ps
                push(heap, size, (begin + duration) << bits | onward)
                size += 1
                if record:
                    start_ps[onward], cause[onward] = begin, handled
            if answer != WAITS:
                freed = station
                if record:
                    underway[message].granted_by = handled

        # --- a freed station takes its next message, whose place frees a station upstream, and so on
        while freed >= 0 or begins >= 0:
            if freed >= 0:
                station = freed
                freed = -1
                if station < send_0:
                    core = station
                    sweep_at[core] += 1
                    duration = sweep_service_ps(
                        load, core, host, sweep_at[core], starts[core], starts[core + 1], ordered
                    )
                    if duration > 0:
                        push(heap, size, (now + duration) << bits | core)
                        size += 1
                        if record:
                            start_ps[core], cause[core] = now, handled
                elif station < link_0:
                    core = station - send_0
                    copy_at[core] += 1
                    if copy_at[core] == copy_end[core]:  # the spike's last copy has its place
                        if queued[core] == 0:
                            stations[station].current = -1
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
                            stations[core].blocked_ps += now - blocked_since[core]
                            if record:
                                log.left_ps[stations[core].entry] = now
                            freed = core
                    begins = core
                else:
                    message = take(stations, underway, station)
                    if message < 0:
                        continue
                    begin = max(now, underway[message].ready_ps)
                    duration = underway[message].service_ps if station >= synapses_0 else stations[station].service_ps
                    push(heap, size, (begin + duration) << bits | station)
                    size += 1
                    if record:
                        start_ps[station] = begin
                        cause[station] = underway[message].granted_by if begin > now else handled
                    waiting = admit(stations, underway, station, now)
                    if waiting >= 0:
                        freed = underway[waiting].owner
                        if record:
                            underway[waiting].granted_by = handled
                            log.left_ps[stations[freed].entry] = now
            if begins >= 0:
                send = send_0 + begins
                message = unused
                if message >= 0:
                    unused = underway[message].following
                else:
                    message = fresh
                    fresh += 1
                stations[send].current = message
                underway[message].target = load.target[copy_at[begins]]
                underway[message].service_ps = load.synapse_ps[copy_at[begins]]
                push(heap, size, (now + stations[send].service_ps) << bits | send)
                size += 1
                if record:
                    sender[message] = ordered[behind[begins] - 1]
                    start_ps[send], cause[send] = now, handled
                begins = -1
    for station in range(stations.size):
        blocked_ps[station] += stations[station].blocked_ps
        longest_queue[station] = max(longest_queue[station], stations[station].longest_queue)
    return now, messages - delivered, handled + 1
