"""Frames in the compiled event loop: which core may begin with a frame, and what becomes of its messages.

Imports only numpy, numba and the kernels beside it. On the mesh all goes as in `timesteps_hooks.py`. But messages end
at `receive`, which counts them for their frame; `follow` finds the cores that may begin with a frame; sweeps start when
the work on a frame is done. The loop returns whenever a frame has left.

Spikes are sorted by frame, then core, then place in the sweep.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from nsim.machine.compiled.loop import (
    ABSORBED,
    AGAIN,
    BUDGET,
    HANDLED,
    HOLDS,
    HOOK,
    IDLE,
    QUEUE,
    UNCOUNTED,
    begins,
    new_message,
    specialised,
)
from nsim.machine.compiled.timesteps_hooks import (
    Fabric,
    Load,
    link_on,
    send_on,
    sends_again,
    spike_on,
    sweep_on,
    take_spike,
)


class Flow(NamedTuple):
    """Which core waits for which; core numbers with CSR pointers by core.

    used, feeders, receivers, and their pointers   int64, see nsim.machine.frames.Dataflow
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

    copy_at, copy_end   int64[cores]      copy that `send` serves, and where its spike's copies end
    sweep_at   int64[cores]               spike that the sweep works towards
    starts     int64[frames, cores + 1]   frame f has the spikes starts[f, c]:starts[f, c + 1] at core c
    spikes     int32[spikes]              neurons that fire
    missing    int64[frames, cores]   messages that have not been received
    work_ps    int64[frames, cores]   work so far
    complete, begun, done   int64[cores]   frames whose input is complete, that were begun, that are finished
    input_ps, begin_ps, worked_ps, finished_ps  int64[frames, cores], left_ps int64[frames]   see FrameTimes
    left       int64[1]   frames that have left
    """

    fabric: Fabric
    load: Load
    flow: Flow
    copy_at: np.ndarray
    copy_end: np.ndarray
    sweep_at: np.ndarray
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
    left: np.ndarray


@njit(**HOOK)
def next_service(context, numbers, messages, core, at, now):
    """The next service of a core's sweep, as a message; or it has finished the frame, and -1."""
    frame = context.done[core]
    context.sweep_at[core] = at
    start, stop = context.starts[frame, core], context.starts[frame, core + 1]
    message = sweep_on(context.load, numbers, messages, core, at, start, stop, context.spikes, frame, now)
    if message < 0:
        context.finished_ps[frame, core] = now
        context.done[core] += 1
    return message


@njit(cache=True, **UNCOUNTED)
def start_sweep(context, numbers, stations, messages, heap, core, now):
    """The work on a core's frame is done and its sweep starts; whether that is finished at once."""
    frame = context.done[core]
    context.worked_ps[frame, core] = now
    message = next_service(context, numbers, messages, core, context.starts[frame, core], now)
    if message < 0:
        return True
    service_ps = messages[message].service_ps
    begins(numbers, stations, heap, context.fabric.bits, core, message, now, service_ps, numbers[HANDLED])
    return False


@njit(**HOOK)
def is_complete(context, core, frame):
    """Whether a core has all the messages of a frame, or, if nobody sends to it, whether the frame is let in."""
    flow = context.flow
    start, end = flow.feeders_indptr[core], flow.feeders_indptr[core + 1]
    if start == end:
        return context.left[0] > frame - flow.in_flight
    complete = context.missing[frame, core] == 0
    for k in range(start, end):
        complete &= context.done[flow.feeders[k]] > frame
    return complete


@njit(**HOOK)
def has_room(context, core, frame):
    """Whether every core that it sends to can take this frame's messages."""
    flow, room = context.flow, True
    for k in range(flow.receivers_indptr[core], flow.receivers_indptr[core + 1]):
        receiver = flow.receivers[k]
        room &= context.done[receiver] > frame - flow.buffers[receiver]
    return room


@njit(**HOOK)
def has_left(context, frame):
    """Whether all cores have finished a frame and its results have arrived."""
    gone = context.missing[frame, context.done.size - 1] == 0
    for k in range(context.flow.used.size):
        gone &= context.done[context.flow.used[k]] > frame
    return gone


@njit(**HOOK)
def frames_leave(context, numbers, now):
    """Every frame that has left by now; the loop returns then."""
    left, total = context.left[0], context.left_ps.size
    while left < total and has_left(context, left):
        context.left_ps[left] = now
        left += 1
        numbers[BUDGET] = 0
    context.left[0] = left


@njit(cache=True, **UNCOUNTED)
def follow(context, numbers, stations, messages, heap, now):
    """All that a received message or a finished frame makes possible in this instant."""
    total, host, first = context.left_ps.size, context.done.size - 1, context.fabric.first
    again = True
    while again:
        again = False
        frames_leave(context, numbers, now)
        for core in context.flow.used:
            while context.complete[core] < total and is_complete(context, core, context.complete[core]):
                context.input_ps[context.complete[core], core] = now
                context.complete[core] += 1
            frame = context.begun[core]
            if frame == context.complete[core] or context.done[core] < frame or not has_room(context, core, frame):
                continue
            context.begin_ps[frame, core] = now
            context.begun[core] += 1
            if core == host:
                again |= start_sweep(context, numbers, stations, messages, heap, core, now)
            else:
                message = new_message(numbers, messages, -1, frame, -1, now)
                service_ps, station = max(1, context.work_ps[frame, core]), first[6] + core
                bits, handled = context.fabric.bits, numbers[HANDLED]
                begins(numbers, stations, heap, bits, station, message, now, service_ps, handled)


@njit(**HOOK)
def ended(context, numbers, stations, messages, heap, station, now):
    first = context.fabric.first
    message, onward = np.int64(stations[station].current), np.int64(ABSORBED)
    if station < first[1]:
        onward = spike_on(context, station, messages[message].spike)
    elif station < first[2]:
        onward, message = send_on(context, numbers, stations, messages, station, now)
    elif station < first[5]:
        onward = link_on(context.fabric, station, messages[message].target, 0)  # no board, no ports
    elif station < first[6]:
        frame, core = messages[message].origin, station - first[5]
        context.work_ps[frame, core] += messages[message].service_ps
        context.missing[frame, core] -= 1
        if context.missing[frame, core] == 0:
            follow(context, numbers, stations, messages, heap, now)
    return onward, message


@njit(**HOOK)
def goes_on(context, numbers, stations, messages, heap, station, now):
    first = context.fabric.first
    what, message, finished = QUEUE, np.int64(-1), False
    if station < first[1]:
        stations[station].current = -1
        message = next_service(context, numbers, messages, station, context.sweep_at[station] + 1, now)
        what, finished = HOLDS if message >= 0 else IDLE, message < 0
    elif station >= first[6]:
        stations[station].current = -1
        what, finished = IDLE, start_sweep(context, numbers, stations, messages, heap, station - first[6], now)
    elif station < first[2] and sends_again(context, station):
        what, message = AGAIN, np.int64(stations[station].current)
    if finished:
        follow(context, numbers, stations, messages, heap, now)
    return what, message, 0


@njit(**HOOK)
def begin(context, numbers, stations, messages, station, message, now):
    first = context.fabric.first
    if station < first[1]:
        return messages[message].service_ps
    if station < first[2]:
        take_spike(context, messages, station, message)
    return stations[station].service_ps


advance = specialised("frames", ended, goes_on, begin)
