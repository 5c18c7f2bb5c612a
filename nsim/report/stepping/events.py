"""A stream of events that is stepped through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nsim.machine.events import coordinates
from nsim.machine.simpy import events
from nsim.machine.simpy.simulation import Message
from nsim.report.stepping.breakpoints import CORE_SENDS, Form
from nsim.report.stepping.span import Fired, Span
from nsim.report.units import seconds
from nsim.result.run_events import machine_and_events


class Stream(Span):
    """All events; synapses evaluate a spike while they serve it."""

    what = "stream"
    forms: ClassVar[tuple[Form, ...]] = (*Span.forms, CORE_SENDS)
    unqueued: ClassVar[tuple[str, ...]] = ("sensor", "clock")

    def where(self) -> str:
        return seconds(self.simulation.now)

    def name(self, station: int) -> str:
        kind = self.kind(station)
        if kind in ("send", "link", "synapses"):
            return f"core {self.simulation.machine.index(station)} {kind}"
        return kind

    def source(self, station: int, message: Message) -> str:
        return f"tick {-message.origin}" if message.origin < 0 else f"event {message.origin}"

    def goal(self, message: Message) -> str:
        return ""

    def handed(self, station: int, message: Message) -> Fired:
        if self.kind(station) != "synapses":
            return []
        layer = self.mapping.by_core[self.simulation.machine.index(station)]
        channel, row, column = (int(each[0]) for each in coordinates(np.array([message.spike])))
        shape = self.network.by_name[layer.name].shape
        return [(layer.name, (channel * shape[1] + row) * shape[2] + column)]


def spans(mapping: Any, inputs: Path | None, options: Mapping[str, Any]) -> Iterator[Span]:
    """The whole stream."""
    seed = options.get("seed") or 0
    found = machine_and_events(mapping, inputs, options.get("dt_s"), options.get("seconds"), seed)
    yield Stream(0, events.Run(*found, record=True), mapping)
