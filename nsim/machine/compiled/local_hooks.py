"""Timesteps without a barrier in the compiled event loop; nsim/machine/local.py has the rules.

Imports only numpy, numba and the kernels beside it. On the mesh all goes as in `timesteps_hooks.py`; a message's origin
is the number of its timestep. Whenever a core has finished a timestep, begun one, or has all messages of one, `follow`
looks at it and its neighbours.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from nsim.machine.compiled.loop import (
    ABSORBED,
    AGAIN,
    HANDLED,
    HOLDS,
    HOOK,
    IDLE,
    QUEUE,
    UNCOUNTED,
    begins,
    specialised,
)
from nsim.machine.compiled.timesteps_hooks import (
    Fabric,
    Load,
    begin,
    link_on,
    send_on,
    sends_again,
    spike_on,
    sweep_on,
)


class Local(NamedTuple):
    """Timesteps that overlap.

    feeders, receivers   int64, with pointers by core: see nsim.machine.local.Neighbours
    copy_at, copy_end   int64[cores]     copy that `send` serves, and where its spike's copies end
    sweep_at   int64[cores]              spike that the sweep works towards
    starts     int64[steps, cores + 1]   step s has the spikes starts[s, c]:starts[s, c + 1] at core c
    spikes     int32[spikes]             neurons that fire
    missing    int32[steps, cores]       messages that synapses have not served
    begun, done   int64[cores]           timesteps that were begun, that are finished
    stack, waits  int64[cores], bool[cores]   cores that `follow` has to look at, and whether each is among them
    """

    fabric: Fabric
    load: Load
    feeders_indptr: np.ndarray
    feeders: np.ndarray
    receivers_indptr: np.ndarray
    receivers: np.ndarray
    copy_at: np.ndarray
    copy_end: np.ndarray
    sweep_at: np.ndarray
    starts: np.ndarray
    spikes: np.ndarray
    missing: np.ndarray
    begun: np.ndarray
    done: np.ndarray
    stack: np.ndarray
    waits: np.ndarray


@njit(**HOOK)
def look_at(context, size, core):
    """Put a core on the stack, once; how many are on it."""
    if not context.waits[core]:
        context.waits[core] = True
        context.stack[size] = core
        size += 1
    return size


@njit(**HOOK)
def may_begin(context, core, step):
    """Whether a core that has finished the timestep before may begin this one."""
    if step == 0:
        return True
    able = context.missing[step - 1, core] == 0
    for k in range(context.feeders_indptr[core], context.feeders_indptr[core + 1]):
        able &= context.done[context.feeders[k]] >= step
    for k in range(context.receivers_indptr[core], context.receivers_indptr[core + 1]):
        able &= context.begun[context.receivers[k]] >= step
    return able


@njit(**HOOK)
def next_service(context, numbers, messages, core, at, now):
    """The next service of a core's sweep, as a message; or it has finished the timestep, and -1."""
    step = context.done[core]
    context.sweep_at[core] = at
    start, stop = context.starts[step, core], context.starts[step, core + 1]
    message = sweep_on(context.load, numbers, messages, core, at, start, stop, context.spikes, step, now)
    if message < 0:
        context.done[core] += 1
    return message


@njit(**HOOK)
def look_at_all(context, size, indptr, cores, core):
    """Put a core's neighbours on the stack."""
    for k in range(indptr[core], indptr[core + 1]):
        size = look_at(context, size, cores[k])
    return size


@njit(cache=True, **UNCOUNTED)
def follow(context, numbers, stations, messages, heap, size, now):
    """Begin every timestep that can begin in this instant, as far as the cores on the stack may tell."""
    steps = context.missing.shape[0]
    while size > 0:
        size -= 1
        core = context.stack[size]
        context.waits[core] = False
        step = context.begun[core]
        if step == steps or context.done[core] < step or not may_begin(context, core, step):
            continue
        context.begun[core] += 1
        size = look_at_all(context, size, context.feeders_indptr, context.feeders, core)
        message = next_service(context, numbers, messages, core, context.starts[step, core], now)
        if message < 0:
            size = look_at(context, size, core)
            size = look_at_all(context, size, context.receivers_indptr, context.receivers, core)
            continue
        service_ps, bits = messages[message].service_ps, context.fabric.bits
        begins(numbers, stations, heap, bits, core, message, now, service_ps, numbers[HANDLED])


@njit(**HOOK)
def ended(context, numbers, stations, messages, heap, station, now):
    first = context.fabric.first
    message, onward = np.int64(stations[station].current), np.int64(ABSORBED)
    if station < first[1]:
        onward = spike_on(context, station, messages[message].spike)
    elif station < first[2]:
        onward, message = send_on(context, numbers, stations, messages, station, now)
    elif station < first[5]:
        source = context.load.core[messages[message].spike]
        onward = link_on(context.fabric, station, messages[message].target, source)
    else:
        step, core = messages[message].origin, station - first[5]
        context.missing[step, core] -= 1
        if context.missing[step, core] == 0:
            follow(context, numbers, stations, messages, heap, look_at(context, 0, core), now)
    return onward, message


@njit(**HOOK)
def goes_on(context, numbers, stations, messages, heap, station, now):
    first = context.fabric.first
    what, message = QUEUE, np.int64(-1)
    if station < first[1]:
        stations[station].current = -1
        message = next_service(context, numbers, messages, station, context.sweep_at[station] + 1, now)
        what = HOLDS if message >= 0 else IDLE
        if message < 0:
            size = look_at(context, 0, station)
            size = look_at_all(context, size, context.receivers_indptr, context.receivers, station)
            follow(context, numbers, stations, messages, heap, size, now)
    elif station < first[2] and sends_again(context, station):
        what, message = AGAIN, np.int64(stations[station].current)
    return what, message, 0


advance = specialised("local", ended, goes_on, begin)
