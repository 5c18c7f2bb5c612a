"""A run that is stepped through: its spans one after another, and the breakpoints that hold in all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nsim.report.stepping.breakpoints import Breakpoint, parse_break
from nsim.report.stepping.span import Span
from nsim.report.stepping.stepper import Stepper
from nsim.report.units import seconds

ENDED, SPAN_ENDED = "the run has ended", "the span has ended"


class Session:
    """Where a run is, and how it goes on; every way to go on returns why it stopped.

    last_span_ps   how long the services of the last span took that has ended
    fresh          the span has begun, and no breakpoint has looked at it
    """

    def __init__(self, mapping: Any, spans: Iterator[Span]) -> None:
        self.mapping, self.spans, self.fresh = mapping, spans, True
        self.breakpoints: list[Breakpoint] = []
        self.stepper: Stepper | None = None
        self.last_span_ps = 0
        self.ended = not self._begin()

    def _begin(self) -> bool:
        span = next(self.spans, None)
        if span is not None:
            self.stepper, self.fresh = Stepper(span), True
        return span is not None

    @property
    def now(self) -> Stepper:
        assert self.stepper is not None  # a run has a span
        return self.stepper

    @property
    def where(self) -> str:
        """Span and time."""
        return self.now.span.where()

    def add(self, text: str) -> Breakpoint:
        """A new breakpoint; raises InputError for one that there is not."""
        self.breakpoints.append(parse_break(text, self.now.span))
        return self.breakpoints[-1]

    def step(self, services: int = 1) -> str:
        """So many services, over the ends of timesteps if need be."""
        for _ in range(services):
            reason = self.advance()
            if reason and reason != SPAN_ENDED:
                return reason
        return self.now.last()

    def finish_span(self) -> str:
        """To the end of this timestep, or of the stream; or until a frame has left the chip."""
        span, parts = self.now.span, self.now.span.parts()
        while not (reason := self.advance()):
            if span.parts() > parts:
                return span.part(parts)
        return f"the {span.what} has ended, after {seconds(self.last_span_ps)}" if reason == SPAN_ENDED else reason

    def go(self) -> str:
        """Until a breakpoint, or the end of the run."""
        while True:
            reason = self.advance()
            if reason and reason != SPAN_ENDED:
                return reason

    def advance(self) -> str:
        """One service; why it stops, if it does. At the end of a span the next one begins."""
        if self.ended:
            return ENDED
        if self.fresh:
            self.fresh = False
            if reason := self._hit(ends=False):
                return reason
        if self.now.advance():
            return self._hit(ends=False)
        self.last_span_ps = self.now.now_ps
        span, reason = self.now.span, self._hit(ends=True)
        self.ended = not self._begin()
        if reason:
            return f"{span.what} {span.number}: {reason}"
        return ENDED if self.ended else SPAN_ENDED

    def _hit(self, ends: bool) -> str:
        """Why breakpoints of this kind stop."""
        return "; ".join(reason for each in self.breakpoints if each.ends == ends and (reason := each.hit(self.now)))
