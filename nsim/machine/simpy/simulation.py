"""The readable engine of all disciplines: one SimPy process per station, no shortcuts. It says what the hardware does.

A *station* serves one message at a time from a queue with a limited number of slots:
- A message asks for a slot in the next queue when its service ends. Until it has one it blocks its station; slots are
  granted in the order of asking, and messages are served in the order of granting.
- A station that holds nothing takes the first message of its queue at once, even one still on the wire, and frees its
  slot. It can serve it from the moment of the grant plus the wire of the station it left.
- Of services that end in the same picosecond the lowest station number goes first, with all that follows from it.
- Cause of a service: if its message can be served only after the station took it, the completion that granted its slot;
  otherwise, ties too, the completion that was being handled when the station took it.

A discipline gives a machine (`nsim.machine.machine.Machine`) and a `Simulation` whose `kinds` name a class of station
for each kind. A class of station overrides `work`, the life of a station, which it writes with `take`, `serve` and
`hand_on`; messages have the fields that the log has (`nsim.machine.services.Service`). `open` starts stations, SimPy's
`env.run` simulates, and `measured` tells what they did. `tests/generators/toy.py` is a whole discipline in this way.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import simpy
from simpy.core import EventPriority

from nsim.errors import SimulationError
from nsim.machine.machine import Machine
from nsim.machine.services import as_log

Process = Generator[simpy.Event, Any, None]
FIRST_PRIORITY = 2  # below SimPy's own two, so that all consequences of a completion precede the next one
MEASURED = ("busy_ps", "blocked_ps", "served", "longest_queue")


@dataclass(eq=False)
class Message:
    """What a station serves; the first four as in a log. service_ps: where it differs from message to message."""

    spike: int
    origin: int = 0
    target: int = -1
    before: int = -1
    service_ps: int = 0
    wire_ps: int = 0  # of the station it leaves
    ready_ps: int = 0
    granted_by: int = -1  # completion during which it got its slot


class Completion(simpy.Event):
    """The end of a service; ties are broken by station number."""

    def __init__(self, env: simpy.Environment, station: int, delay: int) -> None:
        super().__init__(env)
        self._ok, self._value = True, None
        env.schedule(self, priority=EventPriority(FIRST_PRIORITY + station), delay=delay)


class Queue(simpy.Store):
    """A station's queue: a slot is granted as soon as one is free, and stamps the message."""

    def __init__(self, env: simpy.Environment, slots: int, station: Station) -> None:
        super().__init__(env, slots)
        self.station = station

    def _do_put(self, event):
        granted = len(self.items)
        super()._do_put(event)
        if len(self.items) > granted:
            self.station.granted(event.item, len(self.items))


class Station:
    """One server with its queue: takes a message, serves it, hands it on, and only then takes the next.

    index      within its kind
    entry      number of its last completion
    waits_for  the station that it is blocked by
    """

    run: Any

    def __init__(self, run: Simulation, number: int) -> None:
        machine = run.machine
        self.run, self.number, self.index = run, number, machine.index(number)
        self.queue = Queue(run.env, max(1, int(machine.capacity[number])), self)
        self.service_ps, self.wire_ps = int(machine.service_ps[number]), int(machine.wire_ps[number])
        self.entry = -1
        self.waits_for: int | None = None

    def work(self) -> Process:
        """The life of the station."""
        raise NotImplementedError

    def granted(self, message: Message, queued: int) -> None:
        message.ready_ps = self.run.now + message.wire_ps
        message.granted_by = self.run.handled
        if not self.queue.get_queue:  # else the station is idle and takes it at once
            longest = self.run.longest_queue
            longest[self.number] = max(longest[self.number], queued)

    def take(self) -> Generator[simpy.Event, Any, Any]:
        """The next message of the queue, as soon as there is one."""
        return (yield self.queue.get())

    def serve(self, message: Message, service_ps: int) -> Process:
        """One service; what it hands on follows in `hand_on`."""
        now = self.run.now
        start = max(now, message.ready_ps)
        cause = message.granted_by if start > now else self.run.handled
        yield Completion(self.run.env, self.number, start + service_ps - now)
        self.entry = self.run.completed(self.number, message, start, cause)

    def hand_on(self, message: Message, target: int) -> Process:
        """Ask for a slot at another station and block until it is granted."""
        asked = self.run.now
        message.wire_ps = self.wire_ps
        self.waits_for = target
        yield self.run.stations[target].queue.put(message)
        self.waits_for = None
        self.run.left(self.number, asked, self.entry)


class Simulation:
    """A run: the environment, its stations, and what they measure.

    kinds     class of the stations of each kind
    handled   number of the completion whose consequences are being handled
    """

    kinds: ClassVar[Mapping[str, type[Station]]]

    def __init__(self, machine: Machine, record: bool = False) -> None:
        self.machine: Any = machine
        self.record, self.env = record, simpy.Environment()
        self.stations: dict[int, Any] = {}
        self.log: list[list[int]] = []
        self.handled = -1
        self.busy_ps, self.blocked_ps, self.served, self.longest_queue = ([0] * machine.stations for _ in MEASURED)

    @property
    def now(self) -> int:
        return int(self.env.now)

    def open(self, numbers: Iterable[int]) -> None:
        """Create these stations and start their processes."""
        for number in sorted(numbers):
            self.stations[number] = self.kinds[self.machine.kind(number)](self, number)
        for station in self.stations.values():
            self.env.process(station.work())

    def completed(self, station: int, message: Message, start: int, cause: int) -> int:
        """A service has ended; its number."""
        now = self.now
        self.handled += 1
        self.busy_ps[station] += now - start
        self.served[station] += 1
        if self.record:
            row = [station, message.target, message.spike, message.origin, start, now, now, cause, message.before]
            self.log.append(row)
        message.before = self.handled
        return self.handled

    def left(self, station: int, asked: int, entry: int) -> None:
        """What a station asked for at this time has found its slot."""
        self.blocked_ps[station] += self.now - asked
        if self.record:
            self.log[entry][6] = self.now

    def measured(self) -> dict[str, Any]:
        """What stations measured, and the log so far, as `nsim.machine.times.StationTimes` names them."""
        by_station = {name: np.array(getattr(self, name), np.int64) for name in MEASURED}
        return by_station | {"services": as_log(self.log)}

    def deadlock(self, done: int, expected: int, what: str) -> SimulationError:
        """The error of a run that stopped with messages left; it names the cycle of stations."""
        blocked = next((s for s in self.stations.values() if s.waits_for is not None), None)
        if blocked is None:
            return SimulationError(f"the {what} ended after {done} of {expected} messages, with nothing blocked")
        chain: list[int] = []
        number: int | None = blocked.number
        while number is not None and number not in chain:
            chain.append(number)
            number = self.stations[number].waits_for
        cycle = chain[chain.index(number) :] if number is not None else chain
        names = " -> ".join(self.machine.name(n) for n in [*cycle, cycle[0]])
        return SimulationError(
            f"deadlock after {done} of {expected} messages: {names}; use routes without such a cycle"
        )
