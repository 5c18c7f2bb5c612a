"""The compiled event loop without a log: completions only where streams of messages meet.

Imports only numpy, numba and the kernels beside it. The rules are those of `event_loop.py`, and what it measures is
equal. But one sweep alone feeds a `send`, one `send` the link from its core to the router, and nothing blocks synapses:
the times of sweeps and sends follow from when that link takes copies, and those of the link from the router to the core
and of the synapses from when messages ask for them, in closed form (`tandem.py`). So a message takes one completion for
the link from its core and for each link of the mesh; one that has to wait for a place at the end takes one more.
"""

import numpy as np
from numba import njit

from nsim.event_loop import order_by_core
from nsim.heap import empty_heap, pop, push
from nsim.queues import MESSAGE, TAKEN, WAITS, admit, ask, take
from nsim.tandem import clear, enter

# What a core sends in one timestep, as far as its link to the router has taken it.
SOURCE = np.dtype(
    [
        ("spike", np.int64),  # next firing neuron of the sweep, and where the core's end
        ("end", np.int64),
        ("copy", np.int64),  # next copy, and where those of its spike end
        ("copy_end", np.int64),
        ("slot", np.int64),  # last neuron swept, -1 at first
        ("swept_ps", np.int64),  # moment from which the sweep goes on
        ("update_ps", np.int64),  # costs of the sweep; the host has none
        ("spike_ps", np.int64),
    ]
)


@njit(cache=True, nogil=True, inline="always")
def _next_spike(sources, lines, taken, slots, indptr, ordered, core, bits):
    """Sweep up to the next neuron that fires and has copies: when `send` takes its spike, or -1 if there is none."""
    source = sources[core]
    begin = np.int64(-1)
    while begin < 0 and source.spike < source.end:
        neuron = ordered[source.spike]
        source.spike += 1
        source.swept_ps += max(1, (slots[neuron] - source.slot) * source.update_ps + source.spike_ps)
        source.slot = slots[neuron]
        if indptr[neuron + 1] > indptr[neuron]:
            source.copy, source.copy_end = indptr[neuron], indptr[neuron + 1]
            send = sources.size + core
            granted, begin = enter(lines, taken, send, source.swept_ps << bits | core)
            lines[send].blocked_ps += (granted >> bits) - source.swept_ps
            source.swept_ps = granted >> bits
    return begin


@njit(cache=True, nogil=True, inline="always")
def _next_copy(sources, lines, taken, slots, indptr, ordered, core, send_ps, now, bits):
    """The link from a core is free now: when it takes its next copy, source.copy - 1 from then on, or -1."""
    source = sources[core]
    send = sources.size + core
    begin = lines[send].free
    if source.copy == source.copy_end:
        begin = _next_spike(sources, lines, taken, slots, indptr, ordered, core, bits)
    took = np.int64(-1)
    if begin >= 0:
        source.copy += 1
        link = send + sources.size
        sent_ps = (begin >> bits) + send_ps
        lines[link].free = now
        granted, took = enter(lines, taken, link, sent_ps << bits | send)
        lines[link].blocked_ps += (granted >> bits) - sent_ps
        lines[send].free = granted
    return took


@njit(cache=True, nogil=True, inline="always")
def _deliver(lines, taken, out, synapses, now, wire_ps, out_ps, out_wire_ps, synapse_ps, bits):
    """A message asks for a place at the last link of its way, which it leaves by a wire: when it has its place.

    The link and the synapses behind it, whose service takes synapse_ps, are done with it here.
    """
    granted, took = enter(lines, taken, out, now)
    served_ps = max(took >> bits, (granted >> bits) + wire_ps) + out_ps
    left, took = enter(lines, taken, synapses, served_ps << bits | out)
    lines[synapses].blocked_ps += (left >> bits) - served_ps
    lines[out].free = left
    added_ps = max(took >> bits, (left >> bits) + out_wire_ps) + synapse_ps
    lines[synapses].free = added_ps << bits | synapses
    return granted


@njit(cache=True, nogil=True)
def run_step(fabric, load, firing, stations, lines, taken, sources, starts, ordered, underway, heap):
    """Simulate one timestep; returns its duration and the number of messages that did not arrive (0 unless deadlocked).

    firing   int64[spikes]   neurons that fire, ascending
    stations, lines          idle; what was measured is added
    taken ... heap           room to work in, see run_steps
    """
    first, bits = fabric.first, fabric.bits
    send_0, link_0, mesh_0, out_0, synapses_0 = first[1], first[2], first[3], first[4], first[5]
    cores = send_0
    mask = (np.int64(1) << bits) - 1
    onward_of, router_behind = fabric.onward, fabric.router_behind
    slots, indptr, target, synapse_ps = load.slot, load.indptr, load.target, load.synapse_ps

    order_by_core(load, firing, starts, ordered)
    clear(lines)
    size = 0
    for core in range(cores):
        source = sources[core]
        source.spike, source.end, source.slot, source.swept_ps = starts[core], starts[core + 1], -1, 0
        stations[link_0 + core].current = -1
        if source.spike < source.end:
            push(heap, size, link_0 + core)
            size += 1
    underway_now = 0
    unused, fresh = -1, 0  # list of numbers given back, and the first never used
    now = np.int64(0)
    while size > 0:
        key = heap[0]
        pop(heap, size)
        size -= 1
        now = key >> bits
        station = key & mask

        # --- what the end of this service brings: `freed` is a station that has handed on its message
        if station >= out_0:  # the last link took a message: a place for the first that waits
            out = station - cores if station >= synapses_0 else station
            message = stations[out].head
            stations[out].head = underway[message].following
            freed = underway[message].owner
            underway[message].following = unused
            unused = message
            underway_now -= 1
        else:
            freed = station
            message = stations[station].current
            if message >= 0:
                onward = onward_of[router_behind[station], underway[message].target]
                if onward >= out_0:
                    granted = _deliver(
                        lines,
                        taken,
                        onward,
                        onward + cores,
                        key,
                        stations[station].wire_ps,
                        stations[onward].service_ps,
                        stations[onward].wire_ps,
                        underway[message].service_ps,
                        bits,
                    )
                    if granted > key:
                        stations[station].blocked_ps += (granted >> bits) - now
                        underway[message].owner = station
                        underway[message].following = -1
                        if stations[onward].head < 0:
                            stations[onward].head = message
                        else:
                            underway[stations[onward].tail].following = message
                        stations[onward].tail = message
                        push(heap, size, granted)
                        size += 1
                        continue
                    underway[message].following = unused
                    unused = message
                    underway_now -= 1
                else:
                    answer = ask(stations, underway, station, message, onward, now)
                    if answer == WAITS:
                        continue
                    if answer == TAKEN:
                        ends = underway[message].ready_ps + stations[onward].service_ps
                        push(heap, size, ends << bits | onward)
                        size += 1
        while freed >= mesh_0:
            message = take(stations, underway, freed)
            if message < 0:
                break
            ends = max(now, underway[message].ready_ps) + stations[freed].service_ps
            push(heap, size, ends << bits | freed)
            size += 1
            waiting = admit(stations, underway, freed, now)
            freed = underway[waiting].owner if waiting >= 0 else -1
        if link_0 <= freed < mesh_0:
            core = freed - link_0
            took = _next_copy(
                sources, lines, taken, slots, indptr, ordered, core, stations[send_0 + core].service_ps, key, bits
            )
            if took >= 0:
                message = unused
                if message >= 0:
                    unused = underway[message].following
                else:
                    message = fresh
                    fresh += 1
                underway_now += 1
                stations[freed].current = message
                copy = sources[core].copy - 1
                underway[message].target = target[copy]
                underway[message].service_ps = synapse_ps[copy]
                push(heap, size, ((took >> bits) + stations[freed].service_ps) << bits | freed)
                size += 1
            else:
                stations[freed].current = -1
    for core in range(cores):
        source = sources[core]
        silent_ps = (load.allocated[core] - 1 - source.slot) * source.update_ps
        now = max(now, source.swept_ps + silent_ps, lines[synapses_0 + core].free >> bits)
    return now, underway_now


@njit(cache=True, nogil=True)
def run_steps(fabric, load, indptr, firing, duration_ps, blocked_ps, longest_queue):
    """Simulate consecutive timesteps, step s with firing[indptr[s]:indptr[s + 1]]; the first that deadlocked, or -1."""
    stations = fabric.stations.copy()
    lines = fabric.lines.copy()
    cores = fabric.first[1]
    mesh_0, out_0 = fabric.first[3], fabric.first[4]
    taken = np.empty(lines[lines.size - 1].ring + lines[lines.size - 1].places, np.int64)
    sources = np.zeros(cores, SOURCE)
    for core in range(cores - 1):
        sources[core].update_ps, sources[core].spike_ps = load.update_ps, load.spike_ps
    starts = np.empty(cores + 1, np.int64)
    most, spikes = 0, 0
    for step in range(indptr.size - 1):
        spikes = max(spikes, indptr[step + 1] - indptr[step])
        messages = 0
        for k in range(indptr[step], indptr[step + 1]):
            messages += load.indptr[firing[k] + 1] - load.indptr[firing[k]]
        most = max(most, messages)
    ordered = np.empty(spikes, np.int64)
    # Messages under way; numbers are used again, so that few stay few and near.
    places = cores
    for station in range(mesh_0, out_0):
        places += 1 + min(stations[station].capacity, most)
    underway = np.empty(min(most, places), MESSAGE)
    heap = empty_heap(stations.size)
    stuck = -1
    for step in range(indptr.size - 1):
        duration_ps[step], missing = run_step(
            fabric,
            load,
            firing[indptr[step] : indptr[step + 1]],
            stations,
            lines,
            taken,
            sources,
            starts,
            ordered,
            underway,
            heap,
        )
        if missing:
            stuck = step
            break
    for station in range(stations.size):
        blocked_ps[station] += stations[station].blocked_ps
        longest = max(stations[station].longest_queue, lines[station].longest_queue)
        longest_queue[station] = max(longest_queue[station], longest)
    for core in range(cores):
        blocked_ps[core] += lines[cores + core].blocked_ps
        blocked_ps[cores + core] += lines[2 * cores + core].blocked_ps
        blocked_ps[out_0 + core] += lines[out_0 + cores + core].blocked_ps
    return stuck
