"""A run that is stepped through: its spans one after another, and the breakpoints that hold in all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nsim.errors import counted
from nsim.report.stepping.breakpoints import Breakpoint, parse_break
from nsim.report.stepping.spans import Span
from nsim.report.stepping.stepper import Stepper
from nsim.report.units import seconds

ENDED, SPAN_ENDED = "the run has ended", "the timestep has ended"


class Session:
    """Where a run is, and how it goes on; every way to go on returns why it stopped.

    last_span_ps   how long the services of the last span took that has ended
    """

    def __init__(self, mapping: Any, spans: Iterator[Span]) -> None:
        self.mapping, self.spans = mapping, spans
        self.breakpoints: list[Breakpoint] = []
        self.stepper: Stepper | None = None
        self.last_span_ps = 0
        self.ended = not self._begin()

    def _begin(self) -> bool:
        span = next(self.spans, None)
        if span is not None:
            self.stepper = Stepper(span)
        return span is not None

    @property
    def now(self) -> Stepper:
        assert self.stepper is not None  # a run has a span
        return self.stepper

    @property
    def where(self) -> str:
        """Span and time."""
        span, time = self.now.span, seconds(self.now.now_ps)
        if span.what == "frames":
            simulation: Any = span.simulation
            return f"{simulation.frames_left} of {counted(simulation.frames, 'frame')} done, {time}"
        return f"{span.what} {span.number}, {time}" if span.what == "timestep" else time

    def add(self, text: str) -> Breakpoint:
        """A new breakpoint; raises InputError for one that there is not."""
        self.breakpoints.append(parse_break(text, self.mapping))
        return self.breakpoints[-1]

    def step(self, services: int = 1) -> str:
        """So many services, over the ends of timesteps if need be."""
        for _ in range(services):
            reason = self._advance()
            if reason and reason != SPAN_ENDED:
                return reason
        return self.now.last()

    def finish_span(self) -> str:
        """To the end of this timestep, or of the stream; or until a frame has left the chip."""
        if self.now.span.what == "frames":
            return self._finish_frame()
        while not (reason := self._advance()):
            continue
        return f"{reason}, after {seconds(self.last_span_ps)}" if reason == SPAN_ENDED else reason

    def _finish_frame(self) -> str:
        simulation: Any = self.now.simulation
        left = simulation.frames_left
        while not (reason := self._advance()):
            if simulation.frames_left > left:
                return f"frame {left} has left the chip, at {seconds(simulation.now)}"
        return reason

    def go(self) -> str:
        """Until a breakpoint, or the end of the run."""
        while True:
            reason = self._advance()
            if reason and reason != SPAN_ENDED:
                return reason

    def _advance(self) -> str:
        """One service; why it stops, if it does. At the end of a span the next one begins."""
        if self.ended:
            return ENDED
        if self.now.advance():
            return next((reason for each in self.breakpoints if not each.ends and (reason := each.hit(self.now))), "")
        self.last_span_ps = self.now.now_ps
        reason = next((reason for each in self.breakpoints if each.ends and (reason := each.hit(self.now))), "")
        number = self.now.span.number
        self.ended = not self._begin()
        if reason:
            return f"timestep {number}: {reason}"
        return ENDED if self.ended else SPAN_ENDED
