"""The readable engine for chips without timesteps. What is special here:

- An event is evaluated when the synapses of a core take it, even if it is still on the wire: the core's neurons change
  then, in the order of the queue, and the synaptic operations set how long it is served.
- Weights that are zero are skipped: no operation, no time, and their neurons are not compared.
- At the end of that service the spikes ask for slots before `send` one after another, in memory order (row, column,
  channel); the station is free when the last has its slot.
- The sensor takes an event at its time, or when it is free: what pushes back on it makes it late.
- A tick of the slow clock asks every core with biases for a sweep over its neurons. An idle core begins at once, a busy
  one before it takes its next event; a tick that finds the one before still waiting is lost.
  In a sweep every neuron takes its bias and is compared once, so it may fire, as in a synaptic operation.
- A core with a balancer drops an event that finds no slot before its synapses, instead of blocking the link.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import simpy

from nsim.errors import SimulationError
from nsim.machine.events import SWEEP, StreamMachine
from nsim.machine.events_times import BY_CORE, SensorEvents, StreamTimes, stream_times
from nsim.machine.simpy.simulation import Message, Process, Simulation, Station
from nsim.mapping.events.kernels import copy_address, integrate, next_copy, pass_on, sweep


class Source(Station):
    """The sensor or a core's send: both serve an event's copies, in the order of their connections."""

    run: Run

    def send_copies(self, source: int, event: Message) -> Process:
        ways = self.run.machine.ways
        copy, end = (int(number) for number in self.run.machine.sources[source])
        while (copy := int(next_copy(ways, copy, end, event.spike))) < end:
            sent = replace(event, spike=int(copy_address(ways, copy, event.spike)))
            yield from self.serve(sent, self.service_ps)
            yield from self.hand_on(sent, int(ways[copy]["station"]))
            copy += 1


class Sensor(Source):
    """Takes events at their times, or when it is free."""

    def work(self) -> Process:
        run, events, source = self.run, self.run.events, self.run.machine.mapping.chip.cores
        for origin, (time, address) in enumerate(zip(events.t_ps.tolist(), events.address.tolist(), strict=True)):
            run.entered_ps[origin] = max(run.now, time)
            yield from self.send_copies(source, Message(address, origin, ready_ps=time))


class Send(Source):
    """A core's spikes."""

    def work(self) -> Process:
        while True:
            yield from self.send_copies(self.index, (yield from self.take()))


class Link(Station):
    """The link into a core, which may drop events behind it."""

    run: Run

    def work(self) -> Process:
        run, core = self.run, self.index
        synapses = run.machine.number("synapses", core)
        while True:
            event = yield from self.take()
            yield from self.serve(event, self.service_ps)
            if run.machine.drops[core] and run.stations[synapses].is_full():
                run.dropped.append((run.now, core, event.origin))
            else:
                yield from self.hand_on(event, synapses)


class Output(Station):
    """The way out of the chip."""

    run: Run

    def work(self) -> Process:
        while True:
            event = yield from self.take()
            yield from self.serve(event, self.service_ps)
            self.run.outputs.append((self.run.now + self.wire_ps, event.spike, event.origin))


class Clock(Station):
    """The slow clock: a service ends at every tick."""

    run: Run

    def work(self) -> Process:
        run, period = self.run, self.run.machine.tick_ps
        biased = [s for s in run.stations.values() if isinstance(s, Synapses) and run.machine.cores["biased"][s.index]]
        for tick in range(1, run.events.duration_ps // period + 1 if period else 0):
            yield from self.serve(Message(tick, -tick), tick * period - run.now)
            for synapses in biased:
                synapses.tick(tick)


class Synapses(Station):
    """The synapses of a core: evaluate and serve events, and sweep when the slow clock asks for it."""

    run: Run

    def __init__(self, run: Run, number: int) -> None:
        super().__init__(run, number)
        self.passed_over = 0  # spikes since the decimator passed one
        self.tick_waits = 0  # the tick whose sweep is to be done before the next event; 0: none
        self.woken: simpy.Event | None = None  # while idle: what a tick triggers, with its number

    def is_full(self) -> bool:
        return not self.queue.get_queue and len(self.queue.items) >= self.queue.capacity

    def tick(self, tick: int) -> None:
        if self.woken is not None:
            self.woken.succeed(tick)
            self.woken = None
        elif self.tick_waits:
            self.run.counts["lost_ticks"][self.index] += 1
        else:
            self.tick_waits = tick

    def next_work(self) -> Generator[simpy.Event, Any, Message]:
        """The next event, or a sweep, which goes first."""
        tick, self.tick_waits = self.tick_waits, 0
        if tick:
            return self.sweep_of(tick)
        get = self.queue.get()
        if get.triggered:
            return (yield get)
        woken = self.woken = self.run.env.event()
        found = yield get | woken
        self.woken = None
        if get.triggered:
            return (yield get)
        get.cancel()
        return self.sweep_of(found[woken])

    def sweep_of(self, tick: int) -> Message:
        return Message(SWEEP, -tick, ready_ps=self.run.now)

    def evaluate(self, event: Message) -> tuple[int, list[int]]:
        """How long an event or a sweep is served, and the spikes that it causes."""
        run, machine, core = self.run, self.run.machine, self.index
        cores, counts = machine.cores, run.counts
        if event.spike == SWEEP:
            found = sweep(cores, core, run.state, machine.biases, run.spikes)
            service_ps = int(machine.neurons[core] * cores["update_ps"][core])
            counts["sweeps"][core] += 1
        else:
            arrays = run.state, machine.weights, machine.taps, run.spikes
            synops, skipped, found = integrate(cores, core, event.spike, *arrays)
            service_ps = int(cores["event_ps"][core] + synops * cores["synop_ps"][core])
            counts["synops"][core] += synops
            counts["zeros_skipped"][core] += skipped
            counts["events"][core] += 1
        counts["spikes"][core] += found
        ways = machine.ways, machine.sources
        kept, self.passed_over = pass_on(cores, *ways, core, self.passed_over, run.spikes, found)
        return max(1, service_ps), run.spikes[:kept].tolist()

    def work(self) -> Process:
        send = self.run.machine.number("send", self.index)
        while True:
            event = yield from self.next_work()
            service_ps, spikes = self.evaluate(event)
            yield from self.serve(event, service_ps)
            for address in spikes:
                yield from self.hand_on(Message(address, event.origin, before=event.before), send)


class Run(Simulation):
    """One run, and what is counted in it."""

    kinds: ClassVar = {
        "clock": Clock,
        "sensor": Sensor,
        "send": Send,
        "link": Link,
        "output": Output,
        "synapses": Synapses,
    }
    machine: StreamMachine

    def __init__(self, machine: StreamMachine, events: SensorEvents, record: bool) -> None:
        super().__init__(machine, record)
        self.events, self.state = events, machine.state.copy()
        self.counts = {name: np.zeros(machine.drops.size, np.int64) for name in BY_CORE}
        self.entered_ps = np.zeros(events.t_ps.size, np.int64)
        self.outputs: list[tuple[int, int, int]] = []
        self.dropped: list[tuple[int, int, int]] = []
        self.spikes = np.empty(machine.most_spikes, np.int32)
        self.open(range(machine.stations))

    def check_finished(self) -> None:
        left = sum(len(station.queue.items) + len(station.queue.put_queue) for station in self.stations.values())
        if left:
            raise SimulationError(f"the run ended with {left} events waiting for each other: this is a defect")


def run_stream(
    machine: StreamMachine, events: SensorEvents, record: bool = False, critical_path: bool = False
) -> StreamTimes:
    """Simulate the consequences of these sensor events.

    record         keep every service
    critical_path  find out what the time consists of
    """
    run = Run(machine, events, record or critical_path)
    run.env.run()
    run.check_finished()
    outputs, dropped = (np.array(rows, np.int64).reshape(-1, 3).T for rows in (run.outputs, run.dropped))
    measured = run.measured() | run.counts | {"entered_ps": run.entered_ps, "state": run.state}
    return stream_times(machine, run.now, outputs, dropped, measured, critical_path)
