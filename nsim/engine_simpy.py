"""The readable engine: one SimPy process per station, no shortcuts. It says what the hardware does.

A *station* serves one message at a time from a queue with a limited number of places:
- A message asks for a place in the next queue when its service ends. Until it has one it blocks its station; places are
  granted in the order of asking, and served in the order of granting.
- A station that holds nothing takes the first message of its queue at once, even one still on the wire, and frees its
  place. It can serve it from the moment of the grant plus the wire of the link it left.
- Of services that end in the same picosecond the lowest station number goes first, with all that follows from it.
All sweeps start at 0; the timestep lasts until the last service has ended, then the barrier takes its time.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace

import numpy as np
import simpy
from numpy.typing import NDArray
from simpy.core import EventPriority

from nsim.activity import Activity
from nsim.critical_path import path_of
from nsim.errors import SimulationError
from nsim.event_loop import Log
from nsim.mapping import Mapping
from nsim.stations import ChunkTimes, Machine, Service, StepTimes, Sweeps, sweeps

Process = Generator[simpy.Event, None, None]
FIRST_PRIORITY = 2  # below SimPy's own two, so that all consequences of a completion precede the next one


@dataclass(eq=False)
class Message:
    """A spike on its way to `send` (target -1), or a copy of it on its way to a core."""

    neuron: int
    target: int = -1
    service_ps: int = 0  # at the synapses
    frame: int = -1  # on chips with frames
    route: tuple[int, ...] = ()
    passed: int = 0  # stations of the route it has asked for
    wire_ps: int = 0  # of the link it leaves
    ready_ps: int = 0
    granted_by: int = -1


class Completion(simpy.Event):
    """The end of a service; ties are broken by station number."""

    def __init__(self, env: simpy.Environment, station: int, delay: int) -> None:
        super().__init__(env)
        self._ok, self._value = True, None
        env.schedule(self, priority=EventPriority(FIRST_PRIORITY + station), delay=delay)


class Queue(simpy.Store):
    """A station's queue: a place is granted as soon as one is free, and stamps the message."""

    def __init__(self, env: simpy.Environment, places: int, station: Station) -> None:
        super().__init__(env, places)
        self.station = station

    def _do_put(self, event):
        granted = len(self.items)
        super()._do_put(event)
        if len(self.items) > granted:
            self.station.granted(event.item, len(self.items))


class Station:
    """One server with its queue: takes a message, serves it, hands it on, and only then takes the next."""

    def __init__(self, run: Simulation, number: int) -> None:
        self.run, self.number = run, number
        self.waits_for: int | None = None
        self.queue = Queue(run.env, max(1, int(run.machine.capacity[number])), self)
        self.wire_ps = int(run.machine.wire_ps[number])
        self.service_ps = int(run.machine.service_ps[number])

    def granted(self, message: Message, queued: int) -> None:
        message.ready_ps = self.run.now + message.wire_ps
        message.granted_by = self.run.handled
        if not self.queue.get_queue:  # else the station is idle and takes it at once
            self.run.longest_queue[self.number] = max(self.run.longest_queue[self.number], queued)

    def serve(self, message: Message, service_ps: int) -> Process:
        """One service; what it hands on follows in `hand_on`."""
        now = self.run.now
        start = max(now, message.ready_ps)
        cause = message.granted_by if message.ready_ps > now else self.run.handled
        yield Completion(self.run.env, self.number, start + service_ps - now)
        self.run.completed(self.number, message, start, cause)

    def hand_on(self, message: Message, target: int) -> Process:
        """Ask for a place at the next station and block until it is granted."""
        asked, entry = self.run.now, self.run.handled
        message.wire_ps = self.wire_ps
        self.waits_for = target
        yield self.run.stations[target].queue.put(message)
        self.waits_for = None
        self.run.left(self.number, asked, entry)

    # --- the four kinds

    def sweep(self, services: list[tuple[int, int]], frame: int = -1) -> Process:
        """`neurons`: update one neuron after another; those that fire hand their spike to `send`."""
        send = self.run.machine.number("send", self.number)
        for service_ps, neuron in services:
            spike = Message(neuron, frame=frame, ready_ps=self.run.now)
            yield from self.serve(spike, service_ps)
            if neuron >= 0 and self.run.has_copies(neuron):
                yield from self.hand_on(spike, send)

    def send(self, core: int) -> Process:
        """`send`: one copy after another for every destination core of a spike."""
        while True:
            spike = yield from self.take()
            for copy in self.run.copies(core, spike):
                yield from self.serve(copy, self.service_ps)
                copy.passed = 1
                yield from self.hand_on(copy, copy.route[0])

    def forward(self) -> Process:
        """A link: occupied for the bits of a message; the wire behind it is not."""
        while True:
            message = yield from self.take()
            yield from self.serve(message, self.service_ps)
            following = message.route[message.passed]
            message.passed += 1
            yield from self.hand_on(message, following)

    def synapses(self) -> Process:
        """`synapses`: fetch and add the weights of a message; here its way ends."""
        while True:
            message = yield from self.take()
            yield from self.serve(message, message.service_ps)
            self.run.arrived(message)

    def take(self) -> Generator[simpy.Event, Message, Message]:
        return (yield self.queue.get())


@dataclass(eq=False)
class Simulation:
    """A run of the event loop: the environment, its stations, and what is counted."""

    mapping: Mapping
    machine: Machine
    record: bool
    env: simpy.Environment = field(default_factory=simpy.Environment)
    stations: dict[int, Station] = field(default_factory=dict)
    log: list[list[int]] = field(default_factory=list)
    handled: int = -1  # number of the completion whose consequences are being handled
    delivered: int = 0

    def __post_init__(self) -> None:
        empty = [[0] * self.machine.stations for _ in range(4)]
        self.busy_ps, self.blocked_ps, self.served, self.longest_queue = empty

    @property
    def now(self) -> int:
        return int(self.env.now)

    def completed(self, station: int, message: Message, start: int, cause: int) -> None:
        now = self.now
        self.handled += 1
        self.busy_ps[station] += now - start
        self.served[station] += 1
        if self.record:
            self.log.append([station, message.neuron, message.target, start, now, now, cause])

    def left(self, station: int, asked: int, entry: int) -> None:
        self.blocked_ps[station] += self.now - asked
        if self.record:
            self.log[entry][5] = self.now

    def arrived(self, message: Message) -> None:
        """A message has reached the end of its way."""
        self.delivered += 1

    def has_copies(self, neuron: int) -> bool:
        indptr = self.mapping.copies.indptr
        return bool(indptr[neuron + 1] > indptr[neuron])

    def copies(self, core: int, spike: Message) -> list[Message]:
        """The spike's copies in order of destination core; each can be sent from when the spike could."""
        table = self.mapping.copies
        rows = slice(int(table.indptr[spike.neuron]), int(table.indptr[spike.neuron + 1]))
        return [
            replace(spike, target=target, service_ps=service_ps, route=self.machine.route(core, target))
            for target, service_ps in zip(table.core[rows].tolist(), table.service_ps[rows].tolist(), strict=True)
        ]

    def rows(self, firing: NDArray[np.int64]) -> NDArray[np.int64]:
        """The copies that these neurons send, as rows of the table of copies."""
        indptr = self.mapping.copies.indptr
        counts = indptr[firing + 1] - indptr[firing]
        return np.repeat(indptr[firing], counts) + _ramp(counts)

    def numbers(self, firing: NDArray[np.int64]) -> set[int]:
        """Every station that a message of these neurons passes, the sweeps excepted."""
        copies, machine = self.mapping.copies, self.machine
        counts = copies.indptr[firing + 1] - copies.indptr[firing]
        source = np.repeat(self.mapping.core[firing], counts)
        needed: set[int] = set()
        for core, target in np.unique(np.stack((source, copies.core[self.rows(firing)])), axis=1).T.tolist():
            needed |= {machine.number("send", core), *machine.route(core, target)}
        return needed

    def deadlock(self, expected: int, what: str) -> SimulationError:
        """The error of a run that stopped with messages left; it names the cycle of stations."""
        blocked = next((s for s in self.stations.values() if s.waits_for is not None), None)
        if blocked is None:
            return SimulationError(
                f"the {what} ended after {self.delivered} of {expected} messages, with nothing blocked"
            )
        chain: list[int] = []
        number: int | None = blocked.number
        while number is not None and number not in chain:
            chain.append(number)
            number = self.stations[number].waits_for
        cycle = chain[chain.index(number) :] if number is not None else chain
        names = " -> ".join(self.machine.name(n) for n in [*cycle, cycle[0]])
        return SimulationError(
            f"deadlock after {self.delivered} of {expected} messages: {names}; use routes without such a cycle"
        )


class Step(Simulation):
    """One timestep."""

    def sweeps(self, firing: NDArray[np.int64]) -> Sweeps:
        """The services of `neurons` that firing neurons cause."""
        return sweeps(self.mapping, firing)

    def run(self, firing: NDArray[np.int64]) -> StepTimes:
        plan = self.sweeps(firing)
        needed = set(range(self.machine.cores)) | self.numbers(firing)
        self.stations = {number: Station(self, number) for number in sorted(needed)}
        self._start(plan.indptr.tolist(), plan.service_ps.tolist(), plan.neuron.tolist())
        self.env.run()
        expected = self.rows(firing).size
        if self.delivered != expected:
            raise self.deadlock(expected, "timestep")
        sums = (self.busy_ps, self.blocked_ps, self.served, self.longest_queue)
        busy, blocked, served, longest = (np.array(values, np.int64) for values in sums)
        log = [Service(*entry) for entry in self.log] if self.record else None
        return StepTimes(self.now, busy, blocked, served, longest, log)

    def _start(self, indptr: list[int], service_ps: list[int], neuron: list[int]) -> None:
        for number, station in self.stations.items():
            kind = self.machine.kind(number)
            if kind == "neurons":
                own = slice(indptr[number], indptr[number + 1])
                self.env.process(station.sweep(list(zip(service_ps[own], neuron[own], strict=True))))
            elif kind == "send":
                self.env.process(station.send(number - self.machine.number("send", 0)))
            elif kind == "synapses":
                self.env.process(station.synapses())
            else:
                self.env.process(station.forward())


def _ramp(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... for every count, one after another."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if ends.size else 0) - np.repeat(ends - counts, counts)


def log_of(services: Sequence[Sequence[int]]) -> Log:
    """Services, each with the seven values of one, as columns."""
    return Log(*np.array(services, np.int64).reshape(-1, len(Log._fields)).T)


def run_timestep(mapping: Mapping, machine: Machine, firing: NDArray[np.int64], record: bool = False) -> StepTimes:
    """Simulate one timestep in which these neurons (network indices) fire; record: keep every service."""
    return Step(mapping, machine, record).run(firing)


class Engine:
    """Simulates activity timestep by timestep, on one thread. critical_path: find that of every timestep."""

    def __init__(self, mapping: Mapping, machine: Machine, threads: int = 1, critical_path: bool = False) -> None:
        self.mapping, self.machine, self.critical_path = mapping, machine, critical_path

    def run(self, activity: Activity) -> Iterator[ChunkTimes]:
        """Times of consecutive timesteps, as they are done."""
        for number in range(activity.timesteps):
            times, log = self.record(activity.firing(number))
            yield replace(times, path=path_of(self.machine.first, log)) if self.critical_path else times

    def close(self) -> None:
        """Nothing runs ahead."""

    def record(self, firing: NDArray[np.int64]) -> tuple[ChunkTimes, Log]:
        """Simulate one timestep and keep every service, in order of completion."""
        step = run_timestep(self.mapping, self.machine, firing, record=True)
        log = log_of([astuple(service) for service in step.log or ()])
        return ChunkTimes(np.array([step.duration_ps]), step.blocked_ps, step.longest_queue), log
