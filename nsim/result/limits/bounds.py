"""The floorline's bounds of a run, whatever it is made of: timesteps, frames, or one stream of events."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Bounds:
    """Least time of every span of a run, from counts and costs alone. A span is a timestep, a frame, or a whole stream.

    terms_ps    by state, int64[spans]: memory, compute, traffic, and what takes the barrier's place, if anything does
    least_ps    int64[spans]  no span is shorter: how the terms combine is the discipline's
    cores       by state, int64[spans]: the core with the largest part of memory and of compute
    station     int64[spans]  the send stage, link or receiver that is busy longest, as the machine numbers it
    max_synops  int64[spans]  synops of the core that does most of them: the x axis of the floorline plot
    between     on a board, of the link between chips that binds: its part of traffic and its station, int64[spans] each
    """

    terms_ps: dict[str, Times]
    least_ps: Times
    cores: dict[str, Times]
    station: Times
    max_synops: Times
    between: tuple[Times, Times] | None = field(default=None, kw_only=True)

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(self.terms_ps)

    @property
    def mean_ps(self) -> dict[str, float]:
        """Mean over the spans of each term, by state."""
        return {state: float(np.mean(term)) for state, term in self.terms_ps.items()}

    @property
    def state(self) -> str:
        """The predicted state: the largest mean term."""
        return max(self.states, key=self.mean_ps.__getitem__)

    @property
    def margin(self) -> float:
        """Largest mean term over the second largest; close to 1 near a boundary between states."""
        second, first = sorted(self.mean_ps.values())[-2:]
        return first / second if second else float("inf")

    def longest(self, state: str) -> int:
        """The span with the largest term of this state."""
        return int(np.argmax(self.terms_ps[state]))


@dataclass(frozen=True)
class Workload:
    """One point of a floorline plot: a run, and the bounds from its counts.

    max_synops           synops per timestep (frame, stream) of the core that does most
    time_ps, energy_fj   likewise, simulated; energy None if no cost is known
    synop_ps             least time of one synop in this run: the slope
    floor_ps             compute bound or what takes the barrier's place, whichever is larger
    state                simulated bottleneck state
    """

    label: str
    max_synops: float
    time_ps: float
    energy_fj: float | None
    synop_ps: float
    floor_ps: float
    state: str
