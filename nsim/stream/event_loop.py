"""The compiled event loop for chips without timesteps: the rules of `engine_simpy.py` over arrays.

Imports only numpy, numba and the kernels beside it: `heap.py` gives the next completion, `queues.py` says who gets a
place, `kernels.py` evaluates. Messages are numbers of a pool that are used again, last first, so that few stay few and
near. The loop stops after so many completions, or when room runs out, and goes on where it stopped.

Records by station, core and message, and each array handed to a function by itself: with tuples of arrays handed on
Numba counts references to all of them at every call, which makes the loop ten times slower. What is rare may take them.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from nsim.heap import pop, push
from nsim.queues import STATION as QUEUE
from nsim.queues import TAKEN, WAITS, admit, ask, take
from nsim.stream.kernels import copy_address, integrate, next_copy, pass_on, sweep

DONE, PAUSED, NO_ROOM = 0, 1, 2
CLOCK, SENSOR = 0, 1  # the first stations

# Places of the loop's own numbers.
PENDING, UNUSED, FRESH, LIVE, NEXT_EVENT, NEXT_TICK, HANDLED, LEFT_CHIP, DROPPED, NOW = range(10)
NUMBERS = 10

STATION = np.dtype(
    [
        *QUEUE.descr,
        ("start_ps", np.int64),  # of the service under way
        ("busy_ps", np.int64),  # of all services begun; served likewise
        ("served", np.int64),
        ("cause", np.int64),  # of the service under way, kept only if recorded
    ]
)

MESSAGE = np.dtype(
    [
        ("following", np.int32),  # next in the queue, or in the list of unused messages
        ("owner", np.int32),  # station that holds it while it waits for a place
        ("ready_ps", np.int64),  # moment from which the next station can serve it
        ("address", np.int64),
        ("origin", np.int64),  # the sensor event, or minus the tick, whose consequences brought it
        ("granted_by", np.int64),  # completion that granted its place, kept only if recorded
        ("before", np.int64),  # its last completion, or that which brought it about; kept only if recorded
    ]
)

# By core: what its last service brought and what is left of it, and what is counted.
WORK = np.dtype(
    [
        ("spike_at", np.int64),  # of its list of spikes, the next to hand on, and where it ends
        ("spike_end", np.int64),
        ("spike_origin", np.int64),
        ("passed_over", np.int64),  # spikes since the decimator passed one
        ("tick_waits", np.int64),  # the tick whose sweep is to be done before the next event; 0: none
        ("events", np.int64),
        ("synops", np.int64),
        ("spikes", np.int64),
        ("sweeps", np.int64),
        ("lost_ticks", np.int64),
    ]
)


class Layout(NamedTuple):
    """First stations of the kinds (CLOCK and SENSOR come before), bits of a station in a key, and the slow clock."""

    first_send: int
    first_link: int
    output: int
    first_synapses: int
    bits: int
    tick_ps: int
    duration_ps: int


class Fixed(NamedTuple):
    """What does not change: see kernels.py for the records, the weights and the biases.

    drops  bool[cores]; t_ps, address  int64[sensor events]
    """

    cores: np.ndarray
    ways: np.ndarray
    sources: np.ndarray
    weights: np.ndarray
    biases: np.ndarray
    drops: np.ndarray
    t_ps: np.ndarray
    address: np.ndarray


class State(NamedTuple):
    """What changes while the loop runs.

    stations, messages, work   STATION[stations], MESSAGE[room], WORK[cores]
    heap         keys of pending completions
    numbers      int64[NUMBERS], see above
    neurons      int16, of all cores
    spikes       int32, room for each core's neurons where its neurons are: what its last service brought
    copy_at      int64[cores + 1]  the copy that send, or the sensor, serves
    entered_ps   int64[sensor events]
    outputs, dropped   int64[3, room]  see times.StreamTimes
    """

    stations: np.ndarray
    messages: np.ndarray
    work: np.ndarray
    heap: np.ndarray
    numbers: np.ndarray
    neurons: np.ndarray
    spikes: np.ndarray
    copy_at: np.ndarray
    entered_ps: np.ndarray
    outputs: np.ndarray
    dropped: np.ndarray


@njit(cache=True, nogil=True)
def _new_message(messages, numbers, address, origin, before):
    message = numbers[UNUSED]
    if message >= 0:
        numbers[UNUSED] = messages[message].following
    else:
        message = numbers[FRESH]
        numbers[FRESH] += 1
    numbers[LIVE] += 1
    messages[message].address = address
    messages[message].origin = origin
    messages[message].before = before
    return message


@njit(cache=True, nogil=True)
def _give_back(messages, numbers, message):
    messages[message].following = numbers[UNUSED]
    numbers[UNUSED] = message
    numbers[LIVE] -= 1


@njit(cache=True, nogil=True)
def _begin(stations, heap, numbers, bits, station, start_ps, service_ps, cause):
    """A service starts: plan its end. cause: the completion that let it start, -1 for none."""
    push(heap, numbers[PENDING], (start_ps + service_ps) << bits | station)
    numbers[PENDING] += 1
    stations[station].start_ps = start_ps
    stations[station].busy_ps += service_ps
    stations[station].served += 1
    stations[station].cause = cause


@njit(cache=True, nogil=True)
def _evaluate(cores, ways, sources, neurons, weights, spikes, work, core, address, origin):
    """The synapses of a core have taken an event: its spikes are listed; returns how long it is served."""
    own = work[core]
    room = spikes[cores[core].first_neuron :]
    synops, found = integrate(cores, core, address, neurons, weights, room)
    own.events += 1
    own.synops += synops
    own.spikes += found
    own.spike_at, own.spike_origin = 0, origin
    own.spike_end, own.passed_over = pass_on(cores, ways, sources, core, own.passed_over, room, found)
    return max(1, cores[core].event_ps + synops * cores[core].synop_ps)


@njit(cache=True, nogil=True)
def _sweep(cores, ways, sources, neurons, biases, spikes, work, core, tick):
    """The synapses of a core begin with what a tick asks for: its spikes are listed; returns how long that takes."""
    own = work[core]
    room = spikes[cores[core].first_neuron :]
    found = sweep(cores, core, neurons, biases, room)
    own.sweeps += 1
    own.spikes += found
    own.spike_at, own.spike_origin = 0, -tick
    own.spike_end, own.passed_over = pass_on(cores, ways, sources, core, own.passed_over, room, found)
    return max(1, cores[core].channels * cores[core].rows * cores[core].columns * cores[core].update_ps)


@njit(cache=True, nogil=True)
def _has_room(stations, messages, work, numbers, outputs, dropped, core):
    """Whether the next completion finds room for all messages and records that it may bring; core -1: no synapses'."""
    needed = 2 * stations.size
    if core >= 0:
        needed += work[core].spike_end - work[core].spike_at
    fits = numbers[LIVE] + needed <= messages.size
    return fits and numbers[LEFT_CHIP] < outputs.shape[1] and numbers[DROPPED] < dropped.shape[1]


@njit(cache=True, nogil=True)
def _note(records, numbers, counter, time_ps, second, origin):
    """Add a record to outputs or dropped."""
    at = numbers[counter]
    records[0, at], records[1, at], records[2, at] = time_ps, second, origin
    numbers[counter] += 1


@njit(cache=True, nogil=True)
def _log_service(log, stations, numbers, station, address, origin, before, now):
    at = numbers[HANDLED]
    log[0, at], log[1, at], log[2, at] = station, address, origin
    log[3, at], log[4, at], log[5, at] = stations[station].start_ps, now, now
    log[6, at], log[7, at] = stations[station].cause, before
    stations[station].entry = at
    numbers[HANDLED] += 1


@njit(cache=True, nogil=True)
def _next_event(stations, messages, numbers, t_ps, event_address, entered_ps, now):
    """The sensor takes its next event, at its time or now; -1 if there is none."""
    event = numbers[NEXT_EVENT]
    if event == t_ps.size:
        return -1
    numbers[NEXT_EVENT] += 1
    message = _new_message(messages, numbers, event_address[event], event, -1)
    messages[message].ready_ps = t_ps[event]
    messages[message].granted_by = -1
    entered_ps[event] = max(now, t_ps[event])
    stations[SENSOR].current = message
    return message


@njit(cache=True, nogil=True)
def _begin_sweep(layout, fixed, stations, messages, work, heap, numbers, neurons, spikes, core, tick, now):
    """The synapses of a core begin with the sweep that a tick asked for."""
    station = layout.first_synapses + core
    stations[station].current = _new_message(messages, numbers, -1, -tick, -1)
    cores, ways, sources, biases = fixed.cores, fixed.ways, fixed.sources, fixed.biases
    service_ps = _sweep(cores, ways, sources, neurons, biases, spikes, work, core, tick)
    _begin(stations, heap, numbers, layout.bits, station, now, service_ps, numbers[HANDLED] - 1)


@njit(cache=True, nogil=True)
def _tick(layout, fixed, stations, messages, work, heap, numbers, neurons, spikes, now):
    """The slow clock ticks: idle cores with biases begin to sweep, busy ones are asked to."""
    tick = numbers[NEXT_TICK]
    for core in range(work.size):
        if fixed.cores[core].biased:
            if stations[layout.first_synapses + core].current < 0:
                _begin_sweep(layout, fixed, stations, messages, work, heap, numbers, neurons, spikes, core, tick, now)
            elif work[core].tick_waits:
                work[core].lost_ticks += 1
            else:
                work[core].tick_waits = tick
    numbers[NEXT_TICK] += 1
    if numbers[NEXT_TICK] * layout.tick_ps <= layout.duration_ps:
        _begin(stations, heap, numbers, layout.bits, CLOCK, now, layout.tick_ps, numbers[HANDLED] - 1)


@njit(cache=True, nogil=True)
def start(layout, fixed, state):
    """Before the first completion: the clock and the sensor begin."""
    stations, messages, heap, numbers = state.stations, state.messages, state.heap, state.numbers
    numbers[NEXT_TICK] = 1
    if 0 < layout.tick_ps <= layout.duration_ps:
        _begin(stations, heap, numbers, layout.bits, CLOCK, 0, layout.tick_ps, -1)
    message = _next_event(stations, messages, numbers, fixed.t_ps, fixed.address, state.entered_ps, 0)
    if message >= 0:
        ways, end = fixed.sources[-1].first, fixed.sources[-1].end
        state.copy_at[-1] = next_copy(fixed.ways, ways, end, messages[message].address)
        service_ps = stations[SENSOR].service_ps
        _begin(stations, heap, numbers, layout.bits, SENSOR, messages[message].ready_ps, service_ps, -1)


@njit(cache=True, nogil=True)
def run_on(layout, fixed, state, log, completions):
    """Handle so many completions more: PAUSED, or DONE if none is left, or NO_ROOM if arrays must grow first.

    log    int64[8, room] for every service of the run (see times.Service), or int64[8, 0]
    """
    cores, ways, sources, weights, _, drops, t_ps, event_address = fixed
    stations, messages, work, heap, numbers, neurons, spikes, copy_at, entered_ps, outputs, dropped = state
    first_send, first_link, first_synapses = layout.first_send, layout.first_link, layout.first_synapses
    bits, output = layout.bits, layout.output
    mask = (np.int64(1) << bits) - 1
    record = log.shape[1] > 0
    sensor = copy_at.size - 1
    for _ in range(completions):
        if numbers[PENDING] == 0:
            return DONE
        station, now = heap[0] & mask, heap[0] >> bits
        if not _has_room(stations, messages, work, numbers, outputs, dropped, station - first_synapses):
            return NO_ROOM
        pop(heap, numbers[PENDING])
        numbers[PENDING] -= 1
        numbers[NOW] = now
        if station == CLOCK:
            if record:
                _log_service(log, stations, numbers, station, numbers[NEXT_TICK], -numbers[NEXT_TICK], -1, now)
            _tick(layout, fixed, stations, messages, work, heap, numbers, neurons, spikes, now)
            continue

        # --- what the end of this service brings
        message = stations[station].current
        freed = -1  # a station that has handed something on
        taken = -1  # a station that has taken `message`
        onward = -1  # the station that `message` asks for a place
        if SENSOR <= station < first_link:  # a copy is served; the last one is the event itself
            source = station - first_send if station > SENSOR else sensor
            way, event, origin = copy_at[source], messages[message].address, messages[message].origin
            onward, address = ways[way].station, copy_address(ways, way, event)
            copy_at[source] = next_copy(ways, way + 1, sources[source].end, event)
            if copy_at[source] < sources[source].end:
                message = _new_message(messages, numbers, address, origin, messages[message].before)
            messages[message].address = address
        elif station < output:
            core = station - first_link
            onward = first_synapses + core
            full = stations[onward].current >= 0 and stations[onward].granted >= stations[onward].capacity
            if full and drops[core]:
                _note(dropped, numbers, DROPPED, now, core, messages[message].origin)
                onward = -1
        elif station == output:
            left_ps = now + stations[station].wire_ps
            _note(outputs, numbers, LEFT_CHIP, left_ps, messages[message].address, messages[message].origin)
        if record:
            address, origin, before = messages[message].address, messages[message].origin, messages[message].before
            _log_service(log, stations, numbers, station, address, origin, before, now)
            messages[message].before = numbers[HANDLED] - 1
        if onward < 0:  # its way ends here
            _give_back(messages, numbers, message)
            freed = station
        else:
            answer = ask(stations, messages, station, message, onward, now)
            messages[message].granted_by = numbers[HANDLED] - 1
            if answer == TAKEN:
                taken = onward
            if answer != WAITS:
                freed = station

        # --- a freed station does what is next, which may free a station upstream, and so on
        while taken >= 0 or freed >= 0:
            if taken < 0:
                station, freed = freed, -1
                if record:
                    log[5, stations[station].entry] = now
                if station >= first_synapses:
                    core = station - first_synapses
                    if work[core].spike_at < work[core].spike_end:
                        address = spikes[cores[core].first_neuron + work[core].spike_at]
                        work[core].spike_at += 1
                        brought = stations[station].entry if record else -1
                        message = _new_message(messages, numbers, address, work[core].spike_origin, brought)
                        answer = ask(stations, messages, station, message, first_send + core, now)
                        messages[message].granted_by = numbers[HANDLED] - 1
                        if answer != WAITS:
                            freed = station  # for its next spike
                        if answer != TAKEN:
                            continue
                        taken = first_send + core
                    elif work[core].tick_waits:
                        tick, work[core].tick_waits = work[core].tick_waits, 0
                        _begin_sweep(
                            layout, fixed, stations, messages, work, heap, numbers, neurons, spikes, core, tick, now
                        )
                        continue
                elif station < first_link:
                    source = station - first_send if station > SENSOR else sensor
                    if copy_at[source] < sources[source].end:
                        service = stations[station].service_ps
                        _begin(stations, heap, numbers, bits, station, now, service, numbers[HANDLED] - 1)
                        continue
                    if station == SENSOR:
                        message = _next_event(stations, messages, numbers, t_ps, event_address, entered_ps, now)
                        if message < 0:
                            continue
                        taken = SENSOR
                if taken < 0:
                    message = take(stations, messages, station)
                    if message < 0:
                        continue
                    taken = station
                    waiting = admit(stations, messages, station, now)
                    if waiting >= 0:
                        freed = messages[waiting].owner
                        messages[waiting].granted_by = numbers[HANDLED] - 1
            start = max(now, messages[message].ready_ps)
            address = messages[message].address
            service = stations[taken].service_ps
            if taken >= first_synapses:
                core, origin = taken - first_synapses, messages[message].origin
                service = _evaluate(cores, ways, sources, neurons, weights, spikes, work, core, address, origin)
            elif taken < first_link:
                source = taken - first_send if taken > SENSOR else sensor
                copy_at[source] = next_copy(ways, sources[source].first, sources[source].end, address)
            cause = messages[message].granted_by if start > now else numbers[HANDLED] - 1
            _begin(stations, heap, numbers, bits, taken, start, service, cause)
            taken = -1
    return DONE if numbers[PENDING] == 0 else PAUSED
