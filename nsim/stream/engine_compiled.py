"""The fast engine for chips without timesteps: the machine as arrays for `event_loop.py`, which grow when needed.

It follows the rules of `engine_simpy.py` to the picosecond; tests compare every service of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError
from nsim.heap import empty_heap
from nsim.queues import idle_stations
from nsim.stream import event_loop
from nsim.stream.critical_path import path_of
from nsim.stream.event_loop import DROPPED, HANDLED, LEFT_CHIP, NEXT_EVENT, NOW, UNUSED
from nsim.stream.machine import StreamMachine
from nsim.stream.times import BY_CORE, BY_STATION, SensorEvents, StreamTimes, empty_times

AT_ONCE = 2_000_000  # completions in one call of the loop: some tenths of a second, after which Ctrl-C is heard
FIRST_MESSAGES, FIRST_RECORDS = 1 << 12, 1 << 12
Progress = Callable[[int, int], None]


def run_stream(
    machine: StreamMachine,
    events: SensorEvents,
    record: bool = False,
    critical_path: bool = False,
    progress: Progress | None = None,
) -> StreamTimes:
    """Simulate the consequences of these sensor events.

    record         keep every service
    critical_path  find out what the time consists of; needs 64 bytes for every service
    progress       called with the sensor events that have entered and their number
    """
    times = empty_times(machine, events)
    layout, fixed, state = _layout(machine, events), _fixed(machine, events), _state(machine, times)
    logs = record or critical_path
    log = np.empty((8, FIRST_RECORDS if logs else 0), np.int64)
    numbers = state.numbers
    event_loop.start(layout, fixed, state)
    status = event_loop.PAUSED
    while status != event_loop.DONE:
        if logs and log.shape[1] == numbers[HANDLED]:
            log = _wider(log)
        at_once = log.shape[1] - int(numbers[HANDLED]) if logs else AT_ONCE
        status = event_loop.run_on(layout, fixed, state, log, at_once)
        if status == event_loop.NO_ROOM:
            state = _grown(state)
        if progress:
            progress(int(numbers[NEXT_EVENT]), events.t_ps.size)
    _take_over(times, state)
    log = log[:, : numbers[HANDLED]]
    outputs, dropped = state.outputs[:, : numbers[LEFT_CHIP]], state.dropped[:, : numbers[DROPPED]]
    done = times.finished(int(numbers[NOW]), outputs, dropped, log if record else None)
    return replace(done, path=path_of(machine, log, done.end_ps)) if critical_path else done


def _layout(machine: StreamMachine, events: SensorEvents) -> event_loop.Layout:
    bits = max(1, (machine.stations - 1).bit_length())
    latest = 1 << (62 - bits)  # half of what a key can hold is left for what comes after the last event
    if events.duration_ps >= latest:
        raise InputError(
            f"the events last {events.duration_ps} ps, but the clock of the compiled engine takes {latest}: cut them"
        )
    send, link, output, synapses = (machine.number(kind) for kind in ("send", "link", "output", "synapses"))
    return event_loop.Layout(send, link, output, synapses, bits, machine.tick_ps, events.duration_ps)


def _fixed(machine: StreamMachine, events: SensorEvents) -> event_loop.Fixed:
    return event_loop.Fixed(
        machine.cores,
        machine.ways,
        machine.sources,
        machine.weights,
        machine.biases,
        machine.drops,
        np.ascontiguousarray(events.t_ps, np.int64),
        np.ascontiguousarray(events.address, np.int64),
    )


def _state(machine: StreamMachine, times: StreamTimes) -> event_loop.State:
    stations = np.zeros(machine.stations, event_loop.STATION)
    idle = idle_stations(machine.capacity, machine.service_ps, machine.wire_ps)
    for name in idle.dtype.names:
        stations[name] = idle[name]
    numbers = np.zeros(event_loop.NUMBERS, np.int64)
    numbers[UNUSED] = -1
    return event_loop.State(
        stations,
        np.empty(FIRST_MESSAGES, event_loop.MESSAGE),
        np.zeros(machine.drops.size, event_loop.WORK),
        empty_heap(machine.stations),
        numbers,
        times.state,
        np.empty(times.state.size, np.int32),
        np.zeros(machine.drops.size + 1, np.int64),
        times.entered_ps,
        np.empty((3, FIRST_RECORDS), np.int64),
        np.empty((3, FIRST_RECORDS), np.int64),
    )


def _grown(state: event_loop.State) -> event_loop.State:
    """The same with more room for outputs, drops or messages, whichever ran out."""
    for name, used in (("outputs", LEFT_CHIP), ("dropped", DROPPED)):
        if state.numbers[used] == getattr(state, name).shape[1]:
            return state._replace(**{name: _wider(getattr(state, name))})
    return state._replace(messages=_wider(state.messages))


def _take_over(times: StreamTimes, state: event_loop.State) -> None:
    """What the loop has counted; the rest it has written in place."""
    for names, records in ((BY_STATION, state.stations), (BY_CORE, state.work)):
        for name in names:
            getattr(times, name)[:] = records[name]


def _wider(array: NDArray) -> NDArray:
    """Twice as much room along the last axis; what there is keeps its place."""
    return np.concatenate((array, np.empty_like(array)), axis=-1)
