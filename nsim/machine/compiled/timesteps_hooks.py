"""Timesteps in the compiled event loop: the stations of a mesh, and sweeps that all start at 0.

Imports only numpy, numba and the kernels beside it. A message begins as a spike at `neurons`; `send` makes a copy of it
for every destination but the last, which the message itself goes to; its way ends at the synapses.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from nsim.machine.compiled.loop import (
    ABSORBED,
    AGAIN,
    HOLDS,
    HOOK,
    IDLE,
    QUEUE,
    UNCOUNTED,
    begins,
    new_message,
    specialised,
)


class Fabric(NamedTuple):
    """The machine as arrays. Stations are numbered kind by kind, see nsim/machine/stations.py.

    first          int64[kinds + 1]  first station of each kind, and their total
    stations       STATION[stations]   idle, see queues.py
    behind         int32[stations, 3]   router a core-to-router or mesh link leads to: column, row and number; -1 for a
                                        port between chips: the row of the message's source, the column of its target
    place          int32[cores, 2]   column and row of its router
    onward         int32[routers, 9]   station of the next mesh link, by the way to a router: 4 + 3 sign(dx) + sign(dy)
    bits           bits of a station number in a key
    columns        of routers, if there are such ports; else 0
    """

    first: np.ndarray
    stations: np.ndarray
    behind: np.ndarray
    place: np.ndarray
    onward: np.ndarray
    bits: int
    columns: int


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


class Steps(NamedTuple):
    """One timestep: firing neurons by core (CSR), the one each sweep works towards, and the copies each `send` serves.

    starts              int64[cores + 1]
    ordered             int64[spikes]
    sweep_at            int64[cores]     the silent rest of the sweep follows the last neuron
    copy_at, copy_end   int64[cores]     the copy served, and where those of the spike end
    """

    fabric: Fabric
    load: Load
    starts: np.ndarray
    ordered: np.ndarray
    sweep_at: np.ndarray
    copy_at: np.ndarray
    copy_end: np.ndarray


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
def sort_spikes(context, indptr, neurons):
    """Fill in the spikes of all spans, frames or timesteps that overlap, and how many messages every core expects.

    indptr   int64[spans + 1]   span s owns neurons[indptr[s]:indptr[s + 1]], ascending
    """
    load, starts, spikes, missing = context.load, context.starts, context.spikes, context.missing
    for span in range(indptr.size - 1):
        firing = neurons[indptr[span] : indptr[span + 1]]
        order_by_core(load, firing, starts[span], spikes[indptr[span] : indptr[span + 1]])
        starts[span] += indptr[span]
        for neuron in firing:
            for copy in range(load.indptr[neuron], load.indptr[neuron + 1]):
                missing[span, load.target[copy]] += 1


@njit(cache=True, nogil=True)
def messages_ps(load, place, most_ps):
    """Time that the messages of every neuron take if all their services follow one another: int64[neurons].

    place     int32[cores, 2]   column and row of every core's router
    most_ps   no service with its wire takes longer, but for those at synapses
    """
    found = np.zeros(load.core.size, np.int64)
    for neuron in range(found.size):
        here = place[load.core[neuron]]
        for copy in range(load.indptr[neuron], load.indptr[neuron + 1]):
            goal = place[load.target[copy]]
            stations = 4 + abs(goal[0] - here[0]) + abs(goal[1] - here[1])  # send, links to and from routers, synapses
            found[neuron] += load.synapse_ps[copy] + stations * most_ps
    return found


@njit(**HOOK)
def sweep_on(load, numbers, messages, core, at, start, stop, ordered, origin, now):
    """The next service of a sweep, as a message: up to firing neuron `at`, or the silent rest; -1 if that is nothing.

    start, stop   where the core's firing neurons are in `ordered`
    """
    if at > stop:
        return np.int64(-1)
    host = core == load.allocated.size - 1
    previous = np.int64(load.slot[ordered[at - 1]]) if at > start else -1
    if at < stop:
        neuron = np.int64(ordered[at])
        service_ps = 1 if host else max(1, (load.slot[neuron] - previous) * load.update_ps + load.spike_ps)
    else:
        neuron = -1
        service_ps = 0 if host else (load.allocated[core] - 1 - previous) * load.update_ps
    if service_ps <= 0:
        return np.int64(-1)
    message = new_message(numbers, messages, neuron, origin, -1, now)
    messages[message].service_ps = service_ps
    return np.int64(message)


@njit(**HOOK)
def send_on(context, numbers, stations, messages, station, now):
    """`send` has served a copy: the message that carries it, and the link to which that goes on."""
    fabric, load = context.fabric, context.load
    core, message = station - fabric.first[1], np.int64(stations[station].current)
    copy = context.copy_at[core]
    context.copy_at[core] = copy + 1
    if copy + 1 < context.copy_end[core]:
        spike, origin, before = messages[message].spike, messages[message].origin, messages[message].before
        message = np.int64(new_message(numbers, messages, spike, origin, before, now))
    messages[message].target, messages[message].service_ps = load.target[copy], load.synapse_ps[copy]
    return fabric.first[2] + core, message


@njit(**HOOK)
def way_on(behind, place, station, core):
    """In which way a core lies from the router behind a link: an index of `onward`, 4 if it hangs on that router."""
    here, goal = np.uint64(station), np.uint64(core)  # unsigned: no test for negative indices
    dx, dy = place[goal, 0] - behind[here, 0], place[goal, 1] - behind[here, 1]
    return 4 + 3 * (np.int64(dx > 0) - np.int64(dx < 0)) + np.int64(dy > 0) - np.int64(dy < 0)


@njit(**HOOK)
def port_on(behind, place, onward, columns, station, target, row):
    """The link to which a message goes on from a port between chips, -1 for that to its core; row: of its source.

    Routes go along rows first: until the column is that of the target, the row is that of the source.
    """
    x, y = behind[station, 0], behind[station, 1]
    x, y = place[target, 0] if x < 0 else x, row if y < 0 else y
    dx, dy = place[target, 0] - x, place[target, 1] - y
    way = 4 + 3 * (np.int64(dx > 0) - np.int64(dx < 0)) + np.int64(dy > 0) - np.int64(dy < 0)
    return np.int64(-1) if way == 4 else np.int64(onward[y * columns + x, way])


@njit(**HOOK)
def link_on(fabric, station, target, source):
    """The station to which a message from core `source` goes on from a link."""
    if station >= fabric.first[4]:
        return fabric.first[5] + station - fabric.first[4]
    if fabric.columns and fabric.behind[station, 2] < 0:
        row = fabric.place[source, 1]
        link = port_on(fabric.behind, fabric.place, fabric.onward, fabric.columns, station, target, row)
        return link if link >= 0 else fabric.first[4] + target
    way = way_on(fabric.behind, fabric.place, station, target)
    return fabric.first[4] + target if way == 4 else np.int64(fabric.onward[fabric.behind[station, 2], way])


@njit(**HOOK)
def sends_again(context, station):
    """Whether `send` has another copy of its spike to serve."""
    core = station - context.fabric.first[1]
    return context.copy_at[core] < context.copy_end[core]


@njit(**HOOK)
def take_spike(context, messages, station, message):
    """`send` takes a spike."""
    core, neuron = station - context.fabric.first[1], messages[message].spike
    context.copy_at[core], context.copy_end[core] = context.load.indptr[neuron], context.load.indptr[neuron + 1]


@njit(**HOOK)
def spike_on(context, station, neuron):
    """Where the message of a sweep goes on: to `send`, if a neuron has fired that has copies."""
    indptr = context.load.indptr
    if neuron < 0 or indptr[neuron + 1] == indptr[neuron]:
        return np.int64(ABSORBED)
    return context.fabric.first[1] + station


@njit(**HOOK)
def ended(context, numbers, stations, messages, heap, station, now):
    first = context.fabric.first
    message = np.int64(stations[station].current)
    if station < first[1]:
        return spike_on(context, station, messages[message].spike), message
    if station < first[2]:
        return send_on(context, numbers, stations, messages, station, now)
    if station < first[5]:
        source = context.load.core[messages[message].spike]
        return link_on(context.fabric, station, messages[message].target, source), message
    return np.int64(ABSORBED), message


@njit(**HOOK)
def goes_on(context, numbers, stations, messages, heap, station, now):
    first = context.fabric.first
    if station < first[1]:
        at = context.sweep_at[station] + 1
        context.sweep_at[station] = at
        start, stop = context.starts[station], context.starts[station + 1]
        message = sweep_on(context.load, numbers, messages, station, at, start, stop, context.ordered, 0, now)
        return HOLDS if message >= 0 else IDLE, message, 0
    if station < first[2] and sends_again(context, station):
        return AGAIN, np.int64(stations[station].current), 0
    return QUEUE, np.int64(-1), 0


@njit(**HOOK)
def begin(context, numbers, stations, messages, station, message, now):
    first = context.fabric.first
    if station < first[1] or station >= first[5]:
        return messages[message].service_ps
    if station < first[2]:
        take_spike(context, messages, station, message)
    return stations[station].service_ps


run_step = specialised("timesteps", ended, goes_on, begin)


@njit(cache=True, **UNCOUNTED)
def start_sweeps(context, firing, numbers, stations, messages, heap, bits):
    """All sweeps start at 0. firing: int64[spikes], neurons that fire, ascending."""
    order_by_core(context.load, firing, context.starts, context.ordered)
    for core in range(context.sweep_at.size):
        start, stop = context.starts[core], context.starts[core + 1]
        context.sweep_at[core] = start
        message = sweep_on(context.load, numbers, messages, core, start, start, stop, context.ordered, 0, 0)
        if message >= 0:
            begins(numbers, stations, heap, bits, core, message, 0, messages[message].service_ps, -1)
