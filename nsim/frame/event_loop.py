"""The compiled event loop of frames: the rules of `engine_simpy.py` beside it, over arrays.

Imports only numpy, numba and the kernels that all loops share. It differs from the loop of timesteps where a core works
on whole frames: messages end at `receive`, which counts them for their frame; `follow` finds the cores that may begin
with a frame; sweeps start when the work on a frame is done. A run can be left after any frame and continued.

Spikes are sorted by frame, then core, then place in the sweep.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from nsim.event_loop import order_by_core, sweep_service_ps
from nsim.heap import pop, push
from nsim.queues import MESSAGE, TAKEN, WAITS, admit, ask, take

MESSAGE_OF_FRAME = np.dtype([*MESSAGE.descr, ("frame", np.int32), ("neuron", np.int32)])
NOW, PENDING, HANDLED, UNUSED, FRESH, LEFT = range(6)  # what `Run.counters` holds


class Flow(NamedTuple):
    """Which core waits for which; core numbers with CSR pointers by core.

    used, feeders, receivers, and their pointers   int64, see nsim.frame.machine.Dataflow
    buffers    int64[cores]   frames that a core can hold
    in_flight  frames under way at most
    """

    used: np.ndarray
    feeders_indptr: np.ndarray
    feeders: np.ndarray
    receivers_indptr: np.ndarray
    receivers: np.ndarray
    buffers: np.ndarray
    in_flight: int


class Frames(NamedTuple):
    """What becomes of the frames.

    starts     int64[frames, cores + 1]   frame f has the spikes starts[f, c]:starts[f, c + 1] at core c
    spikes     int32[spikes]              neurons that fire
    missing    int64[frames, cores]   messages that have not been received
    work_ps    int64[frames, cores]   work so far
    complete, begun, done   int64[cores]   frames whose input is complete, that were begun, that are finished
    input_ps, begin_ps, worked_ps, finished_ps  int64[frames, cores], left_ps int64[frames]   see FrameTimes
    """

    starts: np.ndarray
    spikes: np.ndarray
    missing: np.ndarray
    work_ps: np.ndarray
    complete: np.ndarray
    begun: np.ndarray
    done: np.ndarray
    input_ps: np.ndarray
    begin_ps: np.ndarray
    worked_ps: np.ndarray
    finished_ps: np.ndarray
    left_ps: np.ndarray


class Run(NamedTuple):
    """What goes on in the stations.

    stations   STATION[stations], underway MESSAGE_OF_FRAME[messages], heap int64   see queues.py and heap.py
    By core, int64[cores]:
    sweep_at                  spike that the sweep works towards
    send_frame, send_at       frame that is sent, and the next spike that `send` will take
    copy_at, copy_end         copy that `send` serves, and where its spike's copies end
    queued                    spikes with a place before `send`
    sweep_blocked_ps          since when the sweep waits for a place; -1 if it does not
    By station, kept only if recorded:
    start_ps, cause           int64[stations]   of the service that goes on
    counters   int64[6]   time, keys in the heap, last completion handled, list of message numbers given back, the first
                          number never used, frames that have left
    """

    stations: np.ndarray
    underway: np.ndarray
    heap: np.ndarray
    sweep_at: np.ndarray
    send_frame: np.ndarray
    send_at: np.ndarray
    copy_at: np.ndarray
    copy_end: np.ndarray
    queued: np.ndarray
    sweep_blocked_ps: np.ndarray
    start_ps: np.ndarray
    cause: np.ndarray
    counters: np.ndarray


@njit(cache=True, nogil=True)
def sort_spikes(load, indptr, neurons, frames):
    """Fill in the spikes of all frames, and how many messages every core expects.

    indptr   int64[frames + 1]   frame f owns neurons[indptr[f]:indptr[f + 1]], ascending
    """
    for frame in range(indptr.size - 1):
        firing = neurons[indptr[frame] : indptr[frame + 1]]
        order_by_core(load, firing, frames.starts[frame], frames.spikes[indptr[frame] : indptr[frame + 1]])
        frames.starts[frame] += indptr[frame]
        for neuron in firing:
            for copy in range(load.indptr[neuron], load.indptr[neuron + 1]):
                frames.missing[frame, load.target[copy]] += 1


@njit(cache=True, nogil=True)
def plan(fabric, run, station, start_ps, duration_ps, cause):
    """A service of this station begins at start_ps; its completion is pending."""
    push(run.heap, run.counters[PENDING], (start_ps + duration_ps) << fabric.bits | station)
    run.counters[PENDING] += 1
    if run.start_ps.size > 0:
        run.start_ps[station] = start_ps
        run.cause[station] = cause


@njit(cache=True, nogil=True)
def continue_sweep(fabric, load, frames, run, core):
    """Plan the next service of a core's sweep, or finish the frame; whether it is finished."""
    frame, host = frames.done[core], frames.done.size - 1
    spikes = frames.starts[frame, core], frames.starts[frame, core + 1]
    duration_ps = sweep_service_ps(load, core, host, run.sweep_at[core], spikes[0], spikes[1], frames.spikes)
    if duration_ps > 0:
        plan(fabric, run, core, run.counters[NOW], duration_ps, run.counters[HANDLED])
        return False
    finish_sweep(frames, run, core)
    return True


@njit(cache=True, nogil=True)
def finish_sweep(frames, run, core):
    """A core has finished a frame."""
    frames.finished_ps[frames.done[core], core] = run.counters[NOW]
    frames.done[core] += 1


@njit(cache=True, nogil=True)
def start_sweep(fabric, load, frames, run, core):
    """The work on a core's frame is done and its sweep starts; whether that is finished at once."""
    frame = frames.done[core]
    frames.worked_ps[frame, core] = run.counters[NOW]
    run.sweep_at[core] = frames.starts[frame, core]
    return continue_sweep(fabric, load, frames, run, core)


@njit(cache=True, nogil=True)
def next_spike(load, frames, run, core):
    """`send` of a core takes the next spike that has copies. There is one."""
    frame, spike = run.send_frame[core], run.send_at[core]
    while True:
        if spike == frames.starts[frame, core + 1]:
            frame += 1
            spike = frames.starts[frame, core]
        elif load.indptr[frames.spikes[spike] + 1] == load.indptr[frames.spikes[spike]]:
            spike += 1
        else:
            break
    neuron = frames.spikes[spike]
    run.send_frame[core], run.send_at[core] = frame, spike + 1
    run.copy_at[core], run.copy_end[core] = load.indptr[neuron], load.indptr[neuron + 1]


@njit(cache=True, nogil=True)
def send_copy(fabric, load, frames, run, core):
    """`send` of a core begins with its spike's next copy, a new message."""
    counters = run.counters
    message = counters[UNUSED]
    if message >= 0:
        counters[UNUSED] = run.underway[message].following
    else:
        message = counters[FRESH]
        counters[FRESH] += 1
    send, copy = fabric.first[1] + core, run.copy_at[core]
    run.stations[send].current = message
    run.underway[message].target = load.target[copy]
    run.underway[message].service_ps = load.synapse_ps[copy]
    run.underway[message].frame = run.send_frame[core]
    run.underway[message].neuron = frames.spikes[run.send_at[core] - 1]
    plan(fabric, run, send, counters[NOW], run.stations[send].service_ps, counters[HANDLED])


@njit(cache=True, nogil=True)
def hand_over(fabric, load, frames, run, core):
    """A sweep hands the spike it has worked towards to `send`; whether it has a place there."""
    send = fabric.first[1] + core
    if run.stations[send].current < 0:
        next_spike(load, frames, run, core)
        send_copy(fabric, load, frames, run, core)
        return True
    if run.queued[core] < run.stations[send].capacity:
        run.queued[core] += 1
        run.stations[send].longest_queue = max(run.stations[send].longest_queue, run.queued[core])
        return True
    run.sweep_blocked_ps[core] = run.counters[NOW]
    return False


@njit(cache=True, nogil=True)
def is_complete(flow, frames, run, core, frame):
    """Whether a core has all the messages of a frame, or, if nobody sends to it, whether the frame is let in."""
    begin, end = flow.feeders_indptr[core], flow.feeders_indptr[core + 1]
    if begin == end:
        return run.counters[LEFT] > frame - flow.in_flight
    return frames.missing[frame, core] == 0 and (frames.done[flow.feeders[begin:end]] > frame).all()


@njit(cache=True, nogil=True)
def has_room(flow, frames, core, frame):
    """Whether every core that it sends to can take this frame's messages."""
    receivers = flow.receivers[flow.receivers_indptr[core] : flow.receivers_indptr[core + 1]]
    return (frames.done[receivers] > frame - flow.buffers[receivers]).all()


@njit(cache=True, nogil=True)
def has_left(flow, frames, frame):
    """Whether all cores have finished a frame and its results have arrived."""
    return frames.missing[frame, frames.done.size - 1] == 0 and (frames.done[flow.used] > frame).all()


@njit(cache=True, nogil=True)
def follow(fabric, load, flow, frames, run):
    """All that a received message or a finished frame makes possible in this instant."""
    now, handled, total = run.counters[NOW], run.counters[HANDLED], frames.left_ps.size
    host = frames.done.size - 1
    again = True
    while again:
        again = False
        while run.counters[LEFT] < total and has_left(flow, frames, run.counters[LEFT]):
            frames.left_ps[run.counters[LEFT]] = now
            run.counters[LEFT] += 1
        for core in flow.used:
            while frames.complete[core] < total and is_complete(flow, frames, run, core, frames.complete[core]):
                frames.input_ps[frames.complete[core], core] = now
                frames.complete[core] += 1
            frame = frames.begun[core]
            if frame == frames.complete[core] or frames.done[core] < frame or not has_room(flow, frames, core, frame):
                continue
            frames.begin_ps[frame, core] = now
            frames.begun[core] += 1
            if core != host:
                plan(fabric, run, fabric.first[6] + core, now, max(1, frames.work_ps[frame, core]), handled)
            elif start_sweep(fabric, load, frames, run, core):
                again = True


@njit(cache=True, nogil=True)
def log_service(fabric, frames, run, log, station):
    """Record the service that has just ended."""
    handled, services = run.counters[HANDLED], log.services
    run.stations[station].entry = handled
    services.station[handled] = station
    services.start_ps[handled], services.cause[handled] = run.start_ps[station], run.cause[station]
    services.end_ps[handled] = services.left_ps[handled] = run.counters[NOW]
    services.neuron[handled] = services.target[handled] = -1
    if station < fabric.first[1]:
        log.frame[handled] = frames.done[station]
        if run.sweep_at[station] < frames.starts[frames.done[station], station + 1]:
            services.neuron[handled] = frames.spikes[run.sweep_at[station]]
    elif station >= fabric.first[6]:
        log.frame[handled] = frames.done[station - fabric.first[6]]
    else:
        message = run.stations[station].current
        log.frame[handled] = run.underway[message].frame
        services.neuron[handled] = run.underway[message].neuron
        services.target[handled] = run.underway[message].target


@njit(cache=True, nogil=True)
def onward_from(fabric, station, target):
    """The station to which a message goes on from `send` or a link."""
    if station < fabric.first[2]:
        return fabric.first[2] + station - fabric.first[1]
    if station >= fabric.first[4]:
        return fabric.first[5] + station - fabric.first[4]
    here, goal = fabric.router_behind[station], fabric.router_of[target]
    return fabric.first[4] + target if here == goal else fabric.hop[here, goal]


@njit(cache=True, nogil=True)
def advance(fabric, load, flow, frames, run, until, log):
    """Simulate until so many frames have left, or nothing is pending; returns how many have left.

    log   FrameLog of arrays with room for every service, or of empty ones
    """
    send_0, link_0, receive_0, synapses_0 = fabric.first[1], fabric.first[2], fabric.first[5], fabric.first[6]
    mask = (np.int64(1) << fabric.bits) - 1
    counters, stations, underway = run.counters, run.stations, run.underway
    record = log.frame.size > 0
    if counters[HANDLED] < 0 and counters[PENDING] == 0:
        follow(fabric, load, flow, frames, run)
    while counters[PENDING] > 0 and counters[LEFT] < until:
        key = run.heap[0]
        pop(run.heap, counters[PENDING])
        counters[PENDING] -= 1
        now, station = key >> fabric.bits, key & mask
        counters[NOW] = now
        counters[HANDLED] += 1
        handled = counters[HANDLED]
        if record:
            log_service(fabric, frames, run, log, station)

        # --- what the end of this service brings: `freed` is a station that has handed on its message
        freed = -1
        changed = False  # whether a frame may begin or leave
        if station < send_0:
            core = station
            spike = run.sweep_at[core]
            if spike == frames.starts[frames.done[core], core + 1]:  # the silent rest of the sweep
                finish_sweep(frames, run, core)
                changed = True
            elif load.indptr[frames.spikes[spike] + 1] == load.indptr[frames.spikes[spike]] or hand_over(
                fabric, load, frames, run, core
            ):
                freed = core
        elif station >= synapses_0:
            changed = start_sweep(fabric, load, frames, run, station - synapses_0)
        elif station >= receive_0:
            message, core = stations[station].current, station - receive_0
            frame = underway[message].frame
            frames.work_ps[frame, core] += underway[message].service_ps
            frames.missing[frame, core] -= 1
            changed = frames.missing[frame, core] == 0
            underway[message].following = counters[UNUSED]
            counters[UNUSED] = message
            freed = station
        else:
            message = stations[station].current
            onward = onward_from(fabric, station, underway[message].target)
            answer = ask(stations, underway, station, message, onward, now)
            if answer == TAKEN:
                plan(fabric, run, onward, underway[message].ready_ps, stations[onward].service_ps, handled)
            if answer != WAITS:
                freed = station
                if record:
                    underway[message].granted_by = handled

        # --- a freed station takes its next message, whose place frees a station upstream, and so on
        while freed >= 0:
            station = freed
            freed = -1
            if station < send_0:
                run.sweep_at[station] += 1
                changed |= continue_sweep(fabric, load, frames, run, station)
            elif station < link_0:
                core = station - send_0
                run.copy_at[core] += 1
                if run.copy_at[core] == run.copy_end[core]:  # the spike's last copy has its place
                    if run.queued[core] == 0:
                        stations[station].current = -1
                        continue
                    run.queued[core] -= 1
                    next_spike(load, frames, run, core)
                    if run.sweep_blocked_ps[core] >= 0:
                        stations[core].blocked_ps += now - run.sweep_blocked_ps[core]
                        run.sweep_blocked_ps[core] = -1
                        run.queued[core] += 1
                        if record:
                            log.services.left_ps[stations[core].entry] = now
                        freed = core
                send_copy(fabric, load, frames, run, core)
            else:
                message = take(stations, underway, station)
                if message < 0:
                    continue
                begin = max(now, underway[message].ready_ps)
                cause = underway[message].granted_by if begin > now else handled
                plan(fabric, run, station, begin, stations[station].service_ps, cause)
                waiting = admit(stations, underway, station, now)
                if waiting >= 0:
                    freed = underway[waiting].owner
                    if record:
                        underway[waiting].granted_by = handled
                        log.services.left_ps[stations[freed].entry] = now
        if changed:
            follow(fabric, load, flow, frames, run)
    return counters[LEFT]
