"""What limits a run, asked in three ways: the floorline predicts it, the critical path shows it, lower costs tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nsim.network.brief import Brief
from nsim.result.limits.bounds import Bounds, Workload


@dataclass(frozen=True, eq=False, repr=False)
class Bottleneck(Brief):
    """A run and its three witnesses.

    unit       what a span is: timestep, frame or stream
    bounds     of every span, from its counts
    saved      share of the time saved by a tenth lower costs, by state; empty if that was not asked for
    time_ps    simulated time of all spans
    path_ps    what that consists of along the critical path, by state; empty if it was not recorded
    energy_fj  of a span; 0 if no cost is known
    synop_ps   least time of one synop: the slope of the plot
    cores      in use
    advise     says what to change next in a state, in a sentence
    run_line   what else there is to say of the run
    """

    unit: str
    result: Any
    bounds: Bounds
    saved: dict[str, float]
    time_ps: int
    path_ps: dict[str, int]
    energy_fj: float
    synop_ps: float
    cores: int
    advise: Callable[[str], str]
    run_line: str = ""

    @property
    def spans(self) -> int:
        return self.bounds.least_ps.size

    @property
    def predicted(self) -> str:
        """State by the floorline: its largest bound."""
        return self.bounds.state

    @property
    def simulated(self) -> str:
        """State by the critical path: its largest share."""
        return max(self.path_ps, key=self.path_ps.__getitem__)

    @property
    def sensitive(self) -> str:
        """State whose costs shorten the run most when they fall."""
        return max(self.saved, key=self.saved.__getitem__)

    @property
    def advice(self) -> str:
        """What to change next, in a sentence."""
        return self.advise(self.simulated)

    @property
    def over_bound(self) -> float:
        """Simulated time over the floorline's, at least 1."""
        least = int(self.bounds.least_ps.sum())
        return self.time_ps / least if least else 1.0

    @property
    def floor_ps(self) -> float:
        """The floor of the plot: the largest bound that does not grow with synops or messages."""
        return max(term for state, term in self.bounds.mean_ps.items() if state not in ("memory", "traffic"))

    def summary(self) -> dict[str, Any]:
        """The three witnesses in numbers: times of a span in the mean, those of all spans, and shares of these."""
        return {
            "spans": self.spans,
            "cores": self.cores,
            "bounds_ps": self.bounds.mean_ps,
            **({} if self.bounds.between is None else {"bound_between_chips_ps": float(self.bounds.between[0].mean())}),
            "floorline_ps": float(self.bounds.least_ps.mean()),
            "simulated_ps": self.time_ps / self.spans,
            "time_ps": self.time_ps,
            "over_floorline": self.over_bound,
            "energy_per_span_fj": self.energy_fj or None,
            "state_by_floorline": self.predicted,
            "margin": self.bounds.margin,
            "state_by_critical_path": self.simulated,
            "critical_path_ps": self.path_ps,
            "critical_stations": self.result.critical_stations,
            "state_by_sensitivity": self.sensitive if self.saved else None,
            "time_saved_by_tenth_lower_costs": self.saved,
            "advice": self.advice,
        }

    def facts(self) -> dict[str, Any]:
        """The mean span on the floorline, for a report; its critical path need not be recorded."""
        return {
            "unit": self.unit,
            "synop_ps": float(self.synop_ps),
            "floor_ps": self.floor_ps,
            "bounds_ps": self.bounds.mean_ps,
            "predicted": self.predicted,
            "least_ps": float(self.bounds.least_ps.mean()),
            "synops": float(self.bounds.max_synops.mean()),
            "time_ps": self.time_ps / self.spans,
        }

    def workload(self, label: str) -> Workload:
        """Its point on the floorline plot."""
        return Workload(
            label,
            float(self.bounds.max_synops.mean()),
            self.time_ps / self.spans,
            self.energy_fj or None,
            self.synop_ps,
            self.floor_ps,
            self.simulated,
        )
