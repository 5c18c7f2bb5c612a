"""One service after another: a simulation of the readable engine, watched from outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nsim.machine.events import coordinates
from nsim.machine.simpy.simulation import Completion, Message
from nsim.network.activity import layer_offsets
from nsim.report.stepping.spans import Span


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
    fired           layer and index of the neurons that the last completion made fire
    """

    def __init__(self, span: Span) -> None:
        self.span, self.mapping, self.simulation = span, span.mapping, span.simulation
        self.machine: Any = span.simulation.machine
        self.serving: dict[int, Serving] = {}
        self.held: dict[int, Held] = {}
        self.fired: list[tuple[str, int]] = []
        self.offsets = layer_offsets(self.mapping.network)
        for station in self.simulation.stations.values():
            self._watch(station)

    @property
    def now_ps(self) -> int:
        return self.simulation.now

    @property
    def services(self) -> int:
        """Services that have ended."""
        return self.simulation.handled + 1

    def advance(self) -> bool:
        """Go on until a service has ended, with all that follows from it; False if there is nothing left."""
        env, before = self.simulation.env, self.services
        self.fired = []
        while env._queue:  # SimPy has no public way to see what comes next
            if self.services > before and isinstance(env._queue[0][-1], Completion):
                return True
            env.step()
        return self.services > before

    def _watch(self, station: Any) -> None:
        """Note what a station serves and holds, whenever that changes; it does the same as before."""
        number, serve, hand_on = station.number, station.serve, station.hand_on

        def watched_serve(message: Message, service_ps: int) -> Iterator[Any]:
            begins = max(self.now_ps, message.ready_ps)
            self.serving[number] = Serving(message, begins, begins + service_ps)
            yield from serve(message, service_ps)
            del self.serving[number]
            if self.span.what != "stream" and self.machine.kind(number) == "neurons" and message.spike >= 0:
                self.fired.append(self.neuron(message.spike))

        def watched_hand_on(message: Message, target: int) -> Iterator[Any]:
            self.held[number] = Held(message, target, self.now_ps)
            if self.span.what == "stream" and self.machine.kind(number) == "synapses":
                self.fired.append(self._address(message.spike, self.machine.index(number)))
            yield from hand_on(message, target)
            del self.held[number]

        station.serve, station.hand_on = watched_serve, watched_hand_on

    def name(self, number: int) -> str:
        """A station as a person would call it."""
        kind = self.machine.kind(number)
        if self.span.what == "stream" and kind in ("send", "link", "synapses"):
            return f"core {self.machine.index(number)} {kind}"
        return str(kind if self.span.what == "stream" else self.machine.name(number))

    def neuron(self, index: int) -> tuple[str, int]:
        """Layer and index in it, of an index in the network."""
        layer = int(np.searchsorted(self.offsets, index, side="right")) - 1
        return self.mapping.network.layers[layer].name, index - int(self.offsets[layer])

    def _address(self, address: int, core: int) -> tuple[str, int]:
        layer = self.mapping.by_core[core]
        channel, row, column = (int(each[0]) for each in coordinates(np.array([address])))
        shape = self.mapping.network.by_name[layer.name].shape
        return layer.name, (channel * shape[1] + row) * shape[2] + column

    def source(self, number: int, message: Message) -> str:
        """What a message is of, as a person would call it."""
        if self.span.what != "stream":
            of = f"frame {message.origin}" if self.span.what == "frames" else ""
            if of and self.machine.kind(number) == "synapses":
                return of
            of = f" of {of}" if of else ""
            if message.spike < 0:
                return f"the silent rest of the sweep{of}"
            layer, index = self.neuron(message.spike)
            return f"{layer}:{index}{of}"
        if message.origin < 0:
            return f"tick {-message.origin}"
        return f"event {message.origin}"

    def last(self) -> str:
        """The service that has just ended."""
        if not self.simulation.log:
            return "nothing has been served yet"
        number, target, spike, origin, start, end = self.simulation.log[-1][:6]
        what = self.source(number, Message(spike, origin, target))
        to = f" to core {target}" if target >= 0 and self.span.what != "stream" else ""
        return f"{self.name(number)} served {what}{to} for {end - start:,} ps"
