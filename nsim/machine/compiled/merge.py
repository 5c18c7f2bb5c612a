"""The compiled event loop without a log: completions only where streams of messages meet.

Imports only numpy, numba and the kernels beside it. The rules are those of `loop.py`, and what it measures is equal.
But one sweep alone feeds a `send`, one `send` the link from its core to the router, and nothing blocks synapses: the
times of sweeps and sends follow from when that link takes copies, and those of the link from the router to the core and
of the synapses from when messages ask for them, in closed form (`tandem.py`). So a message takes one completion for the
link from its core and for each link of the mesh; one that has to wait for a slot at the end takes one more.

For the critical path every service is noted in a journal, with the key of the completion that let it start: a key is
the end of a service and its station, so it names the service. An empty journal switches that off.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from nsim.machine.compiled.heap import empty_heap, pop, push
from nsim.machine.compiled.loop import UNCOUNTED
from nsim.machine.compiled.queues import MESSAGE, TAKEN, WAITS, admit, ask, take
from nsim.machine.compiled.tandem import clear, enter
from nsim.machine.compiled.timesteps_hooks import order_by_core, port_on, way_on
from nsim.machine.path import note, walk_back_keys

# What a core sends in one timestep, as far as its link to the router has taken it.
SOURCE = np.dtype(
    [
        ("spike", np.int64),  # next firing neuron of the sweep, and where the core's end
        ("end", np.int64),
        ("copy", np.int64),  # next copy, and where those of its spike end
        ("copy_end", np.int64),
        ("slot", np.int64),  # last neuron swept, -1 at first
        ("cause", np.int64),  # key of the completion from which the sweep goes on, -1 at first
        ("swept_ps", np.int64),  # moment from which the sweep goes on
        ("update_ps", np.int64),  # costs of the sweep; the host has none
        ("spike_ps", np.int64),
    ]
)


class Room(NamedTuple):
    """What a timestep works on, allocated once for many.

    stations  STATION[stations]   used for links from cores and of the mesh; idle between timesteps
    lines     LINE[stations]      used before send, links from and to cores, and synapses
    taken     int64               rings of the lines
    sources   SOURCE[cores]
    starts    int64[cores + 1]    firing neurons by core
    ordered   int64[spikes]
    underway  MESSAGE[messages]   all unused between timesteps
    row       int32[messages]     of the router of each one's source; empty if no ports join rows
    granted   int64[messages]     key of the completion that granted each its slot; empty if nothing is noted
    heap      int64
    journal   ENTRY[services]     see critical_path.py; empty if nothing is noted
    newest    int64[stations + 1] last entry of each station, -1: none; and how many there are in all
    """

    stations: np.ndarray
    lines: np.ndarray
    taken: np.ndarray
    sources: np.ndarray
    starts: np.ndarray
    ordered: np.ndarray
    underway: np.ndarray
    row: np.ndarray
    granted: np.ndarray
    heap: np.ndarray
    journal: np.ndarray
    newest: np.ndarray


@njit(cache=True, nogil=True)
def run_steps(fabric, empty, load, indptr, firing, duration_ps, blocked_ps, longest_queue, journal, path):
    """Simulate consecutive timesteps, step s with firing[indptr[s]:indptr[s + 1]]; the first that deadlocked, or -1.

    empty                      LINE[stations]     see tandem.py
    firing                     int64[spikes]      neurons that fire, ascending within a timestep
    duration_ps                int64[timesteps]   set
    blocked_ps, longest_queue  int64[stations]    added to, and raised
    journal, path              room for the services of a timestep, and what the critical paths consist of (by kind,
                               services, wires: see critical_path.py); an empty journal: not recorded
    """
    room = _room(fabric, empty, load, indptr, firing, journal)
    stuck = -1
    for step in range(indptr.size - 1):
        last, missing = _run_step(fabric, load, firing[indptr[step] : indptr[step + 1]], room)
        duration_ps[step] = max(last, 0) >> fabric.bits
        if missing:
            stuck = step
            break
        if journal.size > 0:
            walk_back_keys(fabric.first, fabric.bits, last, journal, room.newest, path[0][step], path[1], path[2])
    stations, lines = room.stations, room.lines
    for number in range(stations.size):
        blocked_ps[number] += stations[number].blocked_ps
        longest = max(stations[number].longest_queue, lines[number].longest_queue)
        longest_queue[number] = max(longest_queue[number], longest)
    cores, out_0, synapses_0 = fabric.first[1], fabric.first[4], fabric.first[5]
    for core in range(cores):
        blocked_ps[core] += lines[cores + core].blocked_ps
        blocked_ps[cores + core] += lines[2 * cores + core].blocked_ps
        blocked_ps[out_0 + core] += lines[synapses_0 + core].blocked_ps
    return stuck


@njit(cache=True, nogil=True)
def _room(fabric, empty, load, indptr, firing, journal):
    """Room for the largest of these timesteps."""
    stations, lines = fabric.stations.copy(), empty.copy()
    cores, mesh_0, out_0 = fabric.first[1], fabric.first[3], fabric.first[4]
    sources = np.zeros(cores, SOURCE)
    for core in range(cores - 1):
        sources[core].update_ps, sources[core].spike_ps = load.update_ps, load.spike_ps
    most, spikes = 0, 0
    for step in range(indptr.size - 1):
        messages = 0
        for k in range(indptr[step], indptr[step + 1]):
            messages += load.indptr[firing[k] + 1] - load.indptr[firing[k]]
        most, spikes = max(most, messages), max(spikes, indptr[step + 1] - indptr[step])
    slots = cores + out_0 - mesh_0
    for link in range(mesh_0, out_0):
        slots += min(stations[link].capacity, most)
    underway = np.empty(min(most, slots), MESSAGE)
    row = np.empty(underway.size if fabric.columns else 0, np.int32)
    granted = np.empty(underway.size if journal.size > 0 else 0, np.int64)
    newest = np.empty(stations.size + 1, np.int64)
    taken = np.empty(lines[lines.size - 1].ring + lines[lines.size - 1].slots, np.int64)
    starts, ordered = np.empty(cores + 1, np.int64), np.empty(spikes, np.int64)
    heap = empty_heap(stations.size)
    return Room(stations, lines, taken, sources, starts, ordered, underway, row, granted, heap, journal, newest)


@njit(cache=True, **UNCOUNTED)
def _run_step(fabric, load, firing, room):
    """Simulate one timestep: key of its last completion and the number of messages that did not arrive.

    The key is -1 if there was no completion; none is missing unless there is a deadlock.
    """
    first, bits = fabric.first, fabric.bits
    behind, place, links_onward = fabric.behind, fabric.place, fabric.onward
    cores, link_0, mesh_0, out_0, synapses_0 = first[1], first[2], first[3], first[4], first[5]
    mask = (np.int64(1) << bits) - 1
    slots, indptr, target, synapse_ps = load.slot, load.indptr, load.target, load.synapse_ps
    stations, lines, taken, sources = room.stations, room.lines, room.taken, room.sources
    ordered, underway, heap = room.ordered, room.underway, room.heap
    granted_at, journal, newest = room.granted, room.journal, room.newest
    noting, joined, row = journal.size > 0, fabric.columns > 0, room.row
    if noting:
        newest[:-1] = -1
        newest[-1] = 0
    order_by_core(load, firing, room.starts, ordered)
    clear(lines)
    size = np.int64(0)  # a plain 0 is a type of its own, and all that is called with it is compiled twice
    for core in range(cores):
        source = sources[core]
        source.spike, source.end, source.slot, source.swept_ps = room.starts[core], room.starts[core + 1], -1, 0
        source.cause = -1
        if source.spike < source.end:
            push(heap, size, link_0 + core)  # at 0 it looks for its first copy
            size += 1

    missing = 0
    unused, fresh = -1, 0  # list of message numbers given back, so that few are used again and again; first never used
    last = np.int64(-1)
    while size > 0:
        key = heap[0]
        pop(heap, size)
        size -= 1
        now = key >> bits
        station = key & mask

        # What this completion brings: `freed` is a station that has handed on its message
        if station >= out_0:  # a last link took a message: its slot is for the first that waits
            out = station - cores if station >= synapses_0 else station
            message = stations[out].head
            stations[out].head = underway[message].following
            freed = underway[message].owner
            underway[message].following = unused
            unused = message
            missing -= 1
        else:
            freed = station
            message = stations[station].current
            if message >= 0:
                core = underway[message].target
                if joined and behind[np.uint64(station), 2] < 0:
                    onward = port_on(behind, place, links_onward, fabric.columns, station, core, row[message])
                    arrives = onward < 0
                else:
                    way = way_on(behind, place, station, core)
                    onward = np.int64(links_onward[np.uint64(behind[np.uint64(station), 2]), np.uint64(way)])
                    arrives = way == 4
                if arrives:
                    out = out_0 + core
                    granted = _deliver(
                        stations, lines, taken, underway, message, station, out, cores, key, bits, journal, newest
                    )
                    if granted > key:
                        _wait(stations, underway, message, station, out)
                        stations[station].blocked_ps += (granted >> bits) - now
                        push(heap, size, granted)
                        size += 1
                        continue
                    underway[message].following = unused
                    unused = message
                    missing -= 1
                else:
                    answer = ask(stations, underway, station, message, onward, now)
                    if answer == WAITS:
                        continue
                    if answer == TAKEN:
                        ends_ps = underway[message].ready_ps + stations[onward].service_ps
                        push(heap, size, ends_ps << bits | onward)
                        size += 1
                        if noting:
                            note(journal, newest, onward, underway[message].ready_ps, ends_ps, key)
                    elif noting:
                        granted_at[message] = key

        # A freed station takes its next message, whose slot frees a station upstream, and so on to a core
        freed, size = _take(stations, underway, granted_at, heap, size, freed, mesh_0, key, bits, journal, newest)
        if link_0 <= freed < mesh_0:
            core = freed - link_0
            took = _next_copy(stations, sources, lines, taken, slots, indptr, ordered, core, key, bits, journal, newest)
            if took >= 0:
                if unused >= 0:
                    message = unused
                    unused = underway[message].following
                else:
                    message = fresh
                    fresh += 1
                missing += 1
                stations[freed].current = message
                copy = sources[core].copy - 1
                underway[message].target, underway[message].service_ps = target[copy], synapse_ps[copy]
                if joined:
                    row[message] = place[core, 1]
                ends_ps = (took >> bits) + stations[freed].service_ps
                push(heap, size, ends_ps << bits | freed)
                size += 1
                if noting:
                    note(journal, newest, freed, took >> bits, ends_ps, took)
            else:
                stations[freed].current = -1

    for core in range(cores):
        source = sources[core]
        silent_ps = (load.allocated[core] - 1 - source.slot) * source.update_ps
        if silent_ps > 0:
            ends_ps = source.swept_ps + silent_ps
            last = max(last, ends_ps << bits | core)
            if noting:
                note(journal, newest, core, source.swept_ps, ends_ps, source.cause)
        elif source.cause >= 0:
            last = max(last, source.swept_ps << bits | core)
        last = max(last, lines[synapses_0 + core].free)
    return last, missing


@njit(cache=True, **UNCOUNTED, inline="always")
def _take(stations, underway, granted_at, heap, size, freed, mesh_0, key, bits, journal, newest):
    """Links take their next messages: the link from a core that is free at the end, or none; the size of the heap."""
    now = key >> bits
    while freed >= mesh_0:
        message = take(stations, underway, freed)
        if message < 0:
            break
        ready_ps = underway[message].ready_ps
        ends_ps = max(now, ready_ps) + stations[freed].service_ps
        push(heap, size, ends_ps << bits | freed)
        size += 1
        waiting = admit(stations, underway, freed, now)
        if journal.size > 0:
            note(journal, newest, freed, max(now, ready_ps), ends_ps, granted_at[message] if ready_ps > now else key)
            if waiting >= 0:
                granted_at[waiting] = key
        freed = underway[waiting].owner if waiting >= 0 else -1
    return freed, size


@njit(cache=True, **UNCOUNTED, inline="always")
def _next_spike(sources, lines, taken, slots, indptr, ordered, core, bits, journal, newest):
    """Sweep up to the next neuron that fires and has copies: when `send` takes its spike, or -1 if there is none."""
    source = sources[core]
    begin = np.int64(-1)
    while begin < 0 and source.spike < source.end:
        neuron = ordered[source.spike]
        source.spike += 1
        begun_ps = source.swept_ps
        source.swept_ps = begun_ps + max(1, (slots[neuron] - source.slot) * source.update_ps + source.spike_ps)
        source.slot = slots[neuron]
        if journal.size > 0:
            note(journal, newest, core, begun_ps, source.swept_ps, source.cause)
        source.cause = source.swept_ps << bits | core
        if indptr[neuron + 1] > indptr[neuron]:
            source.copy, source.copy_end = indptr[neuron], indptr[neuron + 1]
            send = sources.size + core
            granted, begin = enter(lines, taken, send, source.cause)
            lines[send].blocked_ps += (granted >> bits) - source.swept_ps
            source.swept_ps = granted >> bits
            source.cause = granted
    return begin


@njit(cache=True, **UNCOUNTED, inline="always")
def _next_copy(stations, sources, lines, taken, slots, indptr, ordered, core, now, bits, journal, newest):
    """The link from a core is free now: when it takes its next copy, source.copy - 1 from then on, or -1."""
    source = sources[core]
    send, link = sources.size + core, 2 * sources.size + core
    begin = lines[send].free
    if source.copy == source.copy_end:
        begin = _next_spike(sources, lines, taken, slots, indptr, ordered, core, bits, journal, newest)
    took = np.int64(-1)
    if begin >= 0:
        source.copy += 1
        sent_ps = (begin >> bits) + stations[send].service_ps
        if journal.size > 0:
            note(journal, newest, send, begin >> bits, sent_ps, begin)
        lines[link].free = now
        granted, took = enter(lines, taken, link, sent_ps << bits | send)
        lines[link].blocked_ps += (granted >> bits) - sent_ps
        lines[send].free = granted
    return took


@njit(cache=True, **UNCOUNTED, inline="always")
def _deliver(stations, lines, taken, underway, message, station, out, cores, now, bits, journal, newest):
    """A message asks for a slot at the last link of its way: when it has it. Link and synapses are done with it."""
    granted, took = enter(lines, taken, out, now)
    arrived_ps = max(took >> bits, (granted >> bits) + stations[station].wire_ps)
    served_ps = arrived_ps + stations[out].service_ps
    if journal.size > 0:
        note(journal, newest, out, arrived_ps, served_ps, granted if arrived_ps > took >> bits else took)
    synapses = out + cores
    left, took = enter(lines, taken, synapses, served_ps << bits | out)
    lines[synapses].blocked_ps += (left >> bits) - served_ps
    lines[out].free = left
    arrived_ps = max(took >> bits, (left >> bits) + stations[out].wire_ps)
    done_ps = arrived_ps + underway[message].service_ps
    if journal.size > 0:
        note(journal, newest, synapses, arrived_ps, done_ps, left if arrived_ps > took >> bits else took)
    lines[synapses].free = done_ps << bits | synapses
    return granted


@njit(cache=True, **UNCOUNTED, inline="always")
def _wait(stations, underway, message, station, out):
    """A message blocks its station until the last link has a slot for it; behind those that asked before."""
    underway[message].owner = station
    underway[message].following = -1
    if stations[out].head < 0:
        stations[out].head = message
    else:
        underway[stations[out].tail].following = message
    stations[out].tail = message
