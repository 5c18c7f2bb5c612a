"""Streams of events in the compiled event loop: sensor, slow clock, synapses that evaluate, balancers and outputs.

Imports only numpy, numba and the kernels beside it. The synapses of a core evaluate an event when they take it
(`kernels.py`), list the spikes, and hand them on one by one when its service has ended. A sweep of the slow clock is a
message without address, which the synapses take before the next event.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from nsim.machine.compiled.loop import (
    ABSORBED,
    AGAIN,
    HANDLED,
    HANDS,
    HOLDS,
    HOOK,
    IDLE,
    QUEUE,
    UNCOUNTED,
    begins,
    new_message,
    specialised,
)
from nsim.mapping.events.kernels import copy_address, integrate, next_copy, pass_on, sweep

CLOCK, SENSOR = 0, 1  # the first stations
SWEEP = -1  # instead of an address
NEXT_EVENT, LEFT_CHIP, DROPPED = range(3)  # what `Stream.counts` holds

# By core: what its last service caused and what is left of it, and what is counted.
WORK = np.dtype(
    [
        ("spike_at", np.int64),  # of its list of spikes, the next to hand on, and where it ends
        ("spike_end", np.int64),
        ("spike_origin", np.int64),
        ("passed_over", np.int64),  # spikes since the decimator passed one
        ("tick_waits", np.int64),  # the tick whose sweep is to be done before the next event; 0: none
        ("events", np.int64),
        ("synops", np.int64),
        ("zeros_skipped", np.int64),
        ("spikes", np.int64),
        ("sweeps", np.int64),
        ("lost_ticks", np.int64),
    ]
)


class Stream(NamedTuple):
    """What does not change, then what does. See kernels.py for the records, the weights, the taps and the biases.

    first_send, first_link, output, first_synapses   first stations of the kinds; CLOCK and SENSOR come before
    bits                                             of a station in a key
    tick_ps, duration_ps                             the slow clock, off at 0
    drops        bool[cores]
    t_ps, address   int64[sensor events]
    work         WORK[cores]
    neurons      int16, of all cores
    spikes       int32, room for each core's neurons where its neurons are: what its last service caused
    copy_at      int64[cores + 1]  the copy that send, or the sensor, serves
    entered_ps   int64[sensor events]
    outputs, dropped   int64[3, room]  see StreamTimes
    counts       int64[3], see above
    """

    first_send: int
    first_link: int
    output: int
    first_synapses: int
    bits: int
    tick_ps: int
    duration_ps: int
    cores: np.ndarray
    ways: np.ndarray
    sources: np.ndarray
    weights: np.ndarray
    taps: np.ndarray
    biases: np.ndarray
    drops: np.ndarray
    t_ps: np.ndarray
    address: np.ndarray
    work: np.ndarray
    neurons: np.ndarray
    spikes: np.ndarray
    copy_at: np.ndarray
    entered_ps: np.ndarray
    outputs: np.ndarray
    dropped: np.ndarray
    counts: np.ndarray


@njit(**HOOK)
def source_of(context, station):
    """A core's number at its send; the sensor is the source behind all cores."""
    return station - context.first_send if station > SENSOR else context.copy_at.size - 1


@njit(**HOOK)
def note(context, records, counter, time_ps, second, origin):
    """Add a record to outputs or dropped."""
    at = context.counts[counter]
    records[0, at], records[1, at], records[2, at] = time_ps, second, origin
    context.counts[counter] += 1


@njit(**HOOK)
def evaluate(context, core, address, origin):
    """The synapses of a core take an event, or begin to sweep: its spikes are listed; returns how long it is served."""
    own = context.work[core]
    cores = context.cores
    room = context.spikes[cores[core].first_neuron :]
    if address == SWEEP:
        found = sweep(cores, core, context.neurons, context.biases, room)
        own.sweeps += 1
        service_ps = cores[core].channels * cores[core].rows * cores[core].columns * cores[core].update_ps
    else:
        arrays = context.neurons, context.weights, context.taps, room
        synops, skipped, found = integrate(cores, core, address, *arrays)
        own.events += 1
        own.synops += synops
        own.zeros_skipped += skipped
        service_ps = cores[core].event_ps + synops * cores[core].synop_ps
    own.spikes += found
    own.spike_at, own.spike_origin = 0, origin
    own.spike_end, own.passed_over = pass_on(cores, context.ways, context.sources, core, own.passed_over, room, found)
    return max(1, service_ps)


@njit(cache=True, **UNCOUNTED)
def tick(context, numbers, stations, messages, heap, number, now):
    """The slow clock ticks: idle cores with biases begin to sweep, busy ones are asked to."""
    for core in range(context.work.size):
        if context.cores[core].biased:
            station = context.first_synapses + core
            if stations[station].current < 0:
                message = new_message(numbers, messages, SWEEP, -number, -1, now)
                service_ps = evaluate(context, core, SWEEP, -number)
                begins(numbers, stations, heap, context.bits, station, message, now, service_ps, numbers[HANDLED])
            elif context.work[core].tick_waits:
                context.work[core].lost_ticks += 1
            else:
                context.work[core].tick_waits = number


@njit(**HOOK)
def copy_on(context, numbers, stations, messages, station, now):
    """Sensor or send has served a copy, the last of which is the event itself: where it goes on, and its message."""
    source, message = source_of(context, station), np.int64(stations[station].current)
    way, event, origin = context.copy_at[source], messages[message].spike, messages[message].origin
    address = copy_address(context.ways, way, event)
    context.copy_at[source] = next_copy(context.ways, way + 1, context.sources[source].end, event)
    if context.copy_at[source] < context.sources[source].end:
        message = np.int64(new_message(numbers, messages, address, origin, messages[message].before, now))
    messages[message].spike = address
    return np.int64(context.ways[way].station), message


@njit(**HOOK)
def ended(context, numbers, stations, messages, heap, station, now):
    message = np.int64(stations[station].current)
    onward = np.int64(ABSORBED)
    if SENSOR <= station < context.first_link:
        onward, message = copy_on(context, numbers, stations, messages, station, now)
    elif context.first_link <= station < context.output:
        core = station - context.first_link
        onward = np.int64(context.first_synapses + core)
        full = stations[onward].current >= 0 and stations[onward].granted >= stations[onward].capacity
        if full and context.drops[core]:
            note(context, context.dropped, DROPPED, now, core, messages[message].origin)
            onward = np.int64(ABSORBED)
    elif station == context.output:
        left_ps = now + stations[station].wire_ps
        note(context, context.outputs, LEFT_CHIP, left_ps, messages[message].spike, messages[message].origin)
    elif station == CLOCK:
        tick(context, numbers, stations, messages, heap, messages[message].spike, now)
    return onward, message


@njit(**HOOK)
def next_spike(context, numbers, stations, messages, station, now):
    """The next spike of the event, or sweep, that the synapses have served; else the sweep that waits, if any."""
    core, message = station - context.first_synapses, np.int64(-1)
    own = context.work[core]
    at = own.spike_at
    if at < own.spike_end:
        own.spike_at = at + 1
        address = np.int64(context.spikes[context.cores[core].first_neuron + at])
        message = np.int64(new_message(numbers, messages, address, own.spike_origin, stations[station].entry, now))
        return np.int64(HANDS), message, np.int64(context.first_send + core)
    if own.tick_waits:
        message = np.int64(new_message(numbers, messages, SWEEP, -own.tick_waits, -1, now))
        own.tick_waits = 0
        return np.int64(HOLDS), message, np.int64(0)
    return np.int64(QUEUE), message, np.int64(0)


@njit(**HOOK)
def next_event(context, numbers, stations, messages, now):
    """The sensor takes its next event, at its time or now; -1 if there is none."""
    event = context.counts[NEXT_EVENT]
    if event == context.t_ps.size:
        stations[SENSOR].current = -1
        return np.int64(-1)
    context.counts[NEXT_EVENT] += 1
    context.entered_ps[event] = max(now, context.t_ps[event])
    return np.int64(new_message(numbers, messages, context.address[event], event, -1, context.t_ps[event]))


@njit(**HOOK)
def next_tick(context, numbers, stations, messages, number, now):
    """The slow clock begins with its tick of this number, as long as the sensor is watched; -1 if it does not."""
    if context.tick_ps == 0 or number * context.tick_ps > context.duration_ps:
        stations[CLOCK].current = -1
        return np.int64(-1)
    return np.int64(new_message(numbers, messages, number, -number, -1, now))


@njit(**HOOK)
def goes_on(context, numbers, stations, messages, heap, station, now):
    what, message, onward = np.int64(QUEUE), np.int64(-1), np.int64(0)
    if station >= context.first_synapses:
        what, message, onward = next_spike(context, numbers, stations, messages, station, now)
    elif SENSOR <= station < context.first_link:
        source = source_of(context, station)
        if context.copy_at[source] < context.sources[source].end:
            what, message = np.int64(AGAIN), np.int64(stations[station].current)
        elif station == SENSOR:
            message = next_event(context, numbers, stations, messages, now)
            what = np.int64(HOLDS if message >= 0 else IDLE)
    elif station == CLOCK:
        message = next_tick(context, numbers, stations, messages, now // context.tick_ps + 1, now)
        what = np.int64(HOLDS if message >= 0 else IDLE)
    return what, message, onward


@njit(**HOOK)
def begin(context, numbers, stations, messages, station, message, now):
    if station >= context.first_synapses:
        core = station - context.first_synapses
        return evaluate(context, core, messages[message].spike, messages[message].origin)
    if station == CLOCK:
        return context.tick_ps
    if station < context.first_link:
        source, address = source_of(context, station), messages[message].spike
        own = context.sources[source]
        context.copy_at[source] = next_copy(context.ways, own.first, own.end, address)
    return stations[station].service_ps


run_on = specialised("events", ended, goes_on, begin)


@njit(cache=True, **UNCOUNTED)
def start(context, numbers, stations, messages, heap, bits):
    """Before the first completion: the clock and the sensor begin."""
    message = next_tick(context, numbers, stations, messages, 1, 0)
    if message >= 0:
        begins(numbers, stations, heap, bits, CLOCK, message, 0, context.tick_ps, -1)
    message = next_event(context, numbers, stations, messages, 0)
    if message >= 0:
        service_ps = begin(context, numbers, stations, messages, SENSOR, message, 0)
        begins(numbers, stations, heap, bits, SENSOR, message, messages[message].ready_ps, service_ps, -1)
