"""One service after another: a simulation of the readable engine, watched from outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nsim.machine.simpy.simulation import Completion, Message
from nsim.report.stepping.span import Span


@dataclass(frozen=True)
class Serving:
    """A message in service; begins later than now while it is still on the wire."""

    message: Message
    begins_ps: int
    ends_ps: int


@dataclass(frozen=True)
class Held:
    """A message that has found no slot in the next queue, and since when."""

    message: Message
    target: int
    since_ps: int


class Stepper:
    """A span, completion by completion.

    serving, held   by number of the station
    fired           layer and index of the neurons that the last completion made fire, or the beginning of the span
    queued          stations in whose queues something has stayed since the last completion
    """

    def __init__(self, span: Span) -> None:
        self.span, self.simulation = span, span.simulation
        self.serving: dict[int, Serving] = {}
        self.held: dict[int, Held] = {}
        self.queued: set[int] = set()
        self.fired = span.first()
        for station in self.simulation.stations.values():
            self._watch(station)
        while self._pending() and not self._service_next():  # what the beginning itself causes
            self.simulation.env.step()

    @property
    def now_ps(self) -> int:
        return int(self.simulation.now)

    @property
    def services(self) -> int:
        """Services that have ended."""
        return int(self.simulation.handled) + 1

    def advance(self) -> bool:
        """Go on until a service has ended, with all that follows from it; False if there is nothing left."""
        before = self.services
        self.fired = []
        self.queued.clear()
        while self._pending():
            if self.services > before and self._service_next():
                return True
            self.simulation.env.step()
        return self.services > before

    def _pending(self) -> list[Any]:
        """Events to come; SimPy has no public way to see them."""
        queue: list[Any] = self.simulation.env._queue
        return queue

    def _service_next(self) -> bool:
        """Whether the next event is the end of a service."""
        return isinstance(self._pending()[0][-1], Completion)

    def _watch(self, station: Any) -> None:
        """Note what a station serves, holds and is given, whenever that changes; it does the same as before."""
        number, span = station.number, self.span
        serve, hand_on, granted = station.serve, station.hand_on, station.granted

        def watched_serve(message: Message, service_ps: int) -> Iterator[Any]:
            begins = max(self.now_ps, message.ready_ps)
            self.serving[number] = Serving(message, begins, begins + service_ps)
            yield from serve(message, service_ps)
            del self.serving[number]
            self.fired += span.served(number, message)

        def watched_hand_on(message: Message, target: int) -> Iterator[Any]:
            self.held[number] = Held(message, target, self.now_ps)
            self.fired += span.handed(number, message)
            yield from hand_on(message, target)
            del self.held[number]

        def watched_granted(message: Message, queued: int) -> None:
            if not station.queue.get_queue:  # else the station takes it at once
                self.queued.add(number)
            granted(message, queued)

        station.serve, station.hand_on, station.granted = watched_serve, watched_hand_on, watched_granted

    def name(self, number: int) -> str:
        """A station as a person would call it."""
        return self.span.name(number)

    def last(self) -> str:
        """The service that has just ended."""
        if not self.simulation.log:
            return "nothing has been served yet"
        number, target, spike, origin, start, end = self.simulation.log[-1][:6]
        message = Message(spike, origin, target)
        what = f"{self.span.source(number, message)}{self.span.goal(message)}"
        return f"{self.name(number)} served {what} for {end - start:,} ps"
