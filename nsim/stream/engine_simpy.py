"""The readable engine for chips without timesteps: one SimPy process per station.

Places, granting, wires and ties are those of `nsim/engine_simpy.py`. What is special here:
- An event is evaluated when the synapses of a core take it, even if it is still on the wire: the core's neurons change
  then, in the order of the queue, and the synaptic operations set how long it is served.
- At the end of that service the spikes ask for places before `send` one after another, in memory order (row, column,
  channel); the station is free when the last has its place.
- The sensor takes an event at its time, or when it is free: what pushes back on it makes it late.
- A tick of the slow clock asks every core with biases for a sweep over its neurons. An idle core begins at once, a busy
  one before it takes its next event; a tick that finds the one before still waiting is lost.
  In a sweep every neuron takes its bias and is compared once, so it may fire, as in a synaptic operation.
- A core with a balancer drops an event that finds no place before its synapses, instead of blocking the link.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import simpy

from nsim.engine_simpy import Completion, Queue
from nsim.errors import SimulationError
from nsim.stream.critical_path import SWEEP, path_of
from nsim.stream.kernels import copy_address, integrate, next_copy, pass_on, sweep
from nsim.stream.machine import StreamMachine
from nsim.stream.times import SensorEvents, StreamTimes, empty_times

Process = Generator[simpy.Event, None, None]


@dataclass(eq=False)
class Message:
    """An event on its way. origin: the sensor event, or minus the tick, whose consequences brought it."""

    address: int
    origin: int
    wire_ps: int = 0  # of the station it leaves
    ready_ps: int = 0
    granted_by: int = -1  # completion during which it got its place
    before: int = -1  # its last completion, for a new spike that of the service which brought it about


class Station:
    """One server with its queue: takes a message, serves it, hands it on, and only then takes the next."""

    def __init__(self, run: Run, number: int) -> None:
        self.run, self.number = run, number
        self.queue = Queue(run.env, int(run.machine.capacity[number]), self)  # type: ignore[arg-type]
        self.service_ps = int(run.machine.service_ps[number])
        self.wire_ps = int(run.machine.wire_ps[number])
        self.entry = -1  # number of its last completion

    def granted(self, message: Message, queued: int) -> None:
        message.ready_ps = self.run.now + message.wire_ps
        message.granted_by = self.run.handled
        if not self.queue.get_queue:  # else the station is idle and takes it at once
            longest = self.run.times.longest_queue
            longest[self.number] = max(longest[self.number], queued)

    def take(self) -> Generator[simpy.Event, Message, Message]:
        return (yield self.queue.get())

    def serve(self, message: Message, service_ps: int) -> Process:
        now = self.run.now
        start = max(now, message.ready_ps)
        cause = message.granted_by if start > now else self.run.handled
        yield Completion(self.run.env, self.number, start + service_ps - now)
        self.entry = self.run.completed(self.number, message, start, cause)

    def hand_on(self, message: Message, target: int) -> Process:
        """Ask for a place at another station and block until it is granted."""
        asked, entry = self.run.now, self.entry
        message.wire_ps = self.wire_ps
        yield self.run.stations[target].queue.put(message)
        self.run.left(self.number, asked, entry)

    def copies(self, source: int, message: Message) -> list[tuple[int, Message]]:
        """Where the copies of an event go, and the copies, in the order of the source's connections."""
        ways, found = self.run.machine.ways, []
        copy, end = (int(number) for number in self.run.machine.sources[source])
        while (copy := int(next_copy(ways, copy, end, message.address))) < end:
            address = int(copy_address(ways, copy, message.address))
            found.append((int(ways[copy]["station"]), replace(message, address=address, wire_ps=0)))
            copy += 1
        return found

    # --- the kinds

    def sensor(self) -> Process:
        events, source = self.run.events, self.run.machine.mapping.chip.cores
        for origin, (time, address) in enumerate(zip(events.t_ps.tolist(), events.address.tolist(), strict=True)):
            self.run.times.entered_ps[origin] = max(self.run.now, time)
            for target, copy in self.copies(source, Message(address, origin, 0, time)):
                yield from self.serve(copy, self.service_ps)
                yield from self.hand_on(copy, target)

    def send(self, core: int) -> Process:
        while True:
            spike = yield from self.take()
            for target, copy in self.copies(core, spike):
                yield from self.serve(copy, self.service_ps)
                yield from self.hand_on(copy, target)

    def link(self, core: int) -> Process:
        synapses = self.run.stations[self.run.machine.number("synapses", core)]
        drops = bool(self.run.machine.drops[core])
        while True:
            event = yield from self.take()
            yield from self.serve(event, self.service_ps)
            if drops and synapses.is_full():
                self.run.drop(core, event)
            else:
                yield from self.hand_on(event, synapses.number)

    def is_full(self) -> bool:
        return not self.queue.get_queue and len(self.queue.items) >= self.queue.capacity

    def output(self) -> Process:
        while True:
            event = yield from self.take()
            yield from self.serve(event, self.service_ps)
            self.run.outputs.append((self.run.now + self.wire_ps, event.address, event.origin))

    def clock(self) -> Process:
        run, period = self.run, self.run.machine.tick_ps
        biased = [s for s in run.stations.values() if isinstance(s, Synapses) and run.machine.cores["biased"][s.core]]
        for tick in range(1, run.events.duration_ps // period + 1 if period else 0):
            yield from self.serve(Message(tick, -tick), tick * period - run.now)
            for synapses in biased:
                synapses.tick(tick)


class Synapses(Station):
    """The synapses of a core: evaluate and serve events, and sweep when the slow clock asks for it."""

    def __init__(self, run: Run, number: int, core: int) -> None:
        super().__init__(run, number)
        self.core = core
        self.passed_over = 0  # spikes since the decimator passed one
        self.tick_waits = 0  # the tick whose sweep is to be done before the next event; 0: none
        self.woken: simpy.Event | None = None  # while idle: what a tick triggers, with its number

    def tick(self, tick: int) -> None:
        if self.woken is not None:
            self.woken.succeed(tick)
            self.woken = None
        elif self.tick_waits:
            self.run.times.lost_ticks[self.core] += 1
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
        return Message(SWEEP, -tick, 0, self.run.now)

    def work(self) -> Process:
        run, machine, core = self.run, self.run.machine, self.core
        cores, times = machine.cores, run.times
        while True:
            event = yield from self.next_work()
            if event.address == SWEEP:
                found = sweep(cores, core, times.state, machine.biases, run.spikes)
                service_ps = int(machine.neurons[core] * cores["update_ps"][core])
                times.sweeps[core] += 1
            else:
                synops, found = integrate(cores, core, event.address, times.state, machine.weights, run.spikes)
                service_ps = int(cores["event_ps"][core] + synops * cores["synop_ps"][core])
                times.synops[core] += synops
                times.events[core] += 1
            times.spikes[core] += found
            kept, self.passed_over = pass_on(
                cores, machine.ways, machine.sources, core, self.passed_over, run.spikes, found
            )
            spikes = run.spikes[:kept].tolist()
            yield from self.serve(event, max(1, service_ps))
            for address in spikes:
                spike = Message(address, event.origin, before=event.before)
                yield from self.hand_on(spike, machine.number("send", core))


@dataclass(eq=False)
class Run:
    """One run: the environment, its stations, and what is counted."""

    machine: StreamMachine
    events: SensorEvents
    record: bool = False
    critical_path: bool = False
    env: simpy.Environment = field(default_factory=simpy.Environment)
    stations: dict[int, Station] = field(default_factory=dict)
    log: list[list[int]] = field(default_factory=list)
    outputs: list[tuple[int, int, int]] = field(default_factory=list)
    dropped: list[tuple[int, int, int]] = field(default_factory=list)
    handled: int = -1

    def __post_init__(self) -> None:
        self.times = empty_times(self.machine, self.events)
        self.spikes = np.empty(self.machine.most_spikes, np.int32)

    @property
    def now(self) -> int:
        return int(self.env.now)

    def completed(self, station: int, message: Message, start: int, cause: int) -> int:
        now, times = self.now, self.times
        self.handled += 1
        times.busy_ps[station] += now - start
        times.served[station] += 1
        if self.record or self.critical_path:
            self.log.append([station, message.address, message.origin, start, now, now, cause, message.before])
        message.before = self.handled
        return self.handled

    def left(self, station: int, asked: int, entry: int) -> None:
        self.times.blocked_ps[station] += self.now - asked
        if self.record or self.critical_path:
            self.log[entry][5] = self.now

    def drop(self, core: int, event: Message) -> None:
        self.dropped.append((self.now, core, event.origin))

    def run(self) -> StreamTimes:
        self._create_stations()
        self.env.run()
        self._check_finished()
        outputs, dropped = (np.array(rows, np.int64).reshape(-1, 3).T for rows in (self.outputs, self.dropped))
        entries = np.array(self.log, np.int64).reshape(-1, 8).T
        done = self.times.finished(self.now, outputs, dropped, entries if self.record else None)
        return replace(done, path=path_of(self.machine, entries, done.end_ps)) if self.critical_path else done

    def _create_stations(self) -> None:
        machine = self.machine
        for number in range(machine.stations):
            kind, index = machine.kind(number)
            self.stations[number] = Synapses(self, number, index) if kind == "synapses" else Station(self, number)
        for number, station in self.stations.items():
            kind, index = machine.kind(number)
            if isinstance(station, Synapses):
                self.env.process(station.work())
            elif kind in ("send", "link"):
                self.env.process(getattr(station, kind)(index))
            else:
                self.env.process(getattr(station, kind)())

    def _check_finished(self) -> None:
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
    return Run(machine, events, record, critical_path).run()
