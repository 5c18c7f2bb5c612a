"""A discipline of its own, in both engines: sources send messages over relays, which repeat some of them.

All that a discipline must give is here, and nothing of it is special: a machine, three hooks, two classes of stations.
A message of an odd number leaves every relay twice, as two messages. Each goes on to one of two later relays, by its
number, or ends. Source k sends its messages one after another, each after its own time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from hypothesis import strategies as st
from numba import njit

from nsim.machine.compiled.loop import (
    ABSORBED,
    AGAIN,
    HOLDS,
    HOOK,
    IDLE,
    QUEUE,
    Run,
    begins,
    new_message,
    specialised,
)
from nsim.machine.machine import Machine
from nsim.machine.simpy.simulation import Message, Process, Simulation, Station
from nsim.machine.times import StationTimes


@dataclass(frozen=True, eq=False, kw_only=True)
class ToyMachine(Machine):
    """after_ps: int64[sources, messages]; onward: int64[stations, 2], -1 where a message ends."""

    kinds = ("source", "relay")

    after_ps: np.ndarray
    onward: np.ndarray


class Toy(NamedTuple):
    """sent: int64[sources], messages so far; left: int64[stations], how often a relay still hands its message on."""

    sources: int
    after_ps: np.ndarray
    onward: np.ndarray
    sent: np.ndarray
    left: np.ndarray


@njit(**HOOK)
def next_of(context, numbers, messages, source, now):
    """The source's next message, -1 if it has sent all."""
    number = context.sent[source]
    if number == context.after_ps.shape[1]:
        return np.int64(-1)
    context.sent[source] = number + 1
    return np.int64(new_message(numbers, messages, number, source, -1, now))


@njit(**HOOK)
def ended(context, numbers, stations, messages, heap, station, now):
    message = np.int64(stations[station].current)
    spike, origin, before = messages[message].spike, messages[message].origin, messages[message].before
    if station >= context.sources:
        context.left[station] -= 1
        if context.left[station] > 0:
            message = np.int64(new_message(numbers, messages, spike, origin, before, now))
    return context.onward[station, spike & 1], message


@njit(**HOOK)
def goes_on(context, numbers, stations, messages, heap, station, now):
    if station < context.sources:
        message = next_of(context, numbers, messages, station, now)
        return HOLDS if message >= 0 else IDLE, message, ABSORBED
    if context.left[station] > 0:
        return AGAIN, np.int64(stations[station].current), ABSORBED
    return QUEUE, np.int64(-1), ABSORBED


@njit(**HOOK)
def begin(context, numbers, stations, messages, station, message, now):
    if station < context.sources:
        return context.after_ps[station, messages[message].spike]
    context.left[station] = 1 + (messages[message].spike & 1)
    return stations[station].service_ps


toy_loop = specialised("toy", ended, goes_on, begin)


@njit(cache=True)
def start(context, numbers, stations, messages, heap, bits):
    for source in range(context.sources):
        message = next_of(context, numbers, messages, source, 0)
        if message >= 0:
            service_ps = begin(context, numbers, stations, messages, source, message, 0)
            begins(numbers, stations, heap, bits, source, message, 0, service_ps, -1)


def run_compiled(machine: ToyMachine, record: bool, loop=toy_loop) -> StationTimes:
    sources = len(machine.after_ps)
    counts = np.zeros(sources, np.int64), np.zeros(machine.stations, np.int64)
    context = Toy(sources, machine.after_ps, machine.onward, *counts)
    run = Run(loop, machine, context, services=1 if record else 0)  # the log grows
    start(context, *run.arrays)
    while run.advance():
        pass
    return StationTimes(**run.measured())


class Source(Station):
    def work(self) -> Process:
        for number, after_ps in enumerate(self.run.machine.after_ps[self.index].tolist()):
            message = Message(number, self.index, ready_ps=self.run.now)
            yield from self.serve(message, after_ps)
            if (onward := int(self.run.machine.onward[self.number, number & 1])) >= 0:
                yield from self.hand_on(message, onward)


class Relay(Station):
    def work(self) -> Process:
        while True:
            taken = yield from self.take()
            onward = int(self.run.machine.onward[self.number, taken.spike & 1])
            for _ in range(1 + (taken.spike & 1)):
                copy = Message(**vars(taken))
                yield from self.serve(copy, self.service_ps)
                if onward >= 0:
                    yield from self.hand_on(copy, onward)


class ToySimulation(Simulation):
    kinds: ClassVar = {"source": Source, "relay": Relay}


def run_simpy(machine: ToyMachine, record: bool) -> StationTimes:
    simulation = ToySimulation(machine, record)
    simulation.open(range(machine.stations))
    simulation.env.run()
    return StationTimes(**simulation.measured())


@st.composite
def machines(draw: st.DrawFn) -> ToyMachine:
    """1 to 4 sources, 1 to 6 relays; few slots and picoseconds, so that they block and tie."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sources, relays = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    stations = sources + relays
    later = [rng.integers(max(n + 1, sources), stations + 1, 2) for n in range(stations)]
    return ToyMachine(
        first=np.array([0, sources, stations]),
        capacity=rng.integers(1, 3, stations),
        service_ps=rng.integers(1, 4, stations),
        wire_ps=rng.integers(0, 3, stations),
        after_ps=rng.integers(1, 4, (sources, draw(st.integers(0, 6)))),
        onward=np.where(np.array(later) < stations, later, -1),
    )
