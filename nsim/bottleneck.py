"""What limits a run, asked in three ways: the floorline predicts it, the critical path shows it, lower costs tell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nsim.bounds import Bounds
from nsim.floorline import advice, timestep_bounds
from nsim.mapping import Mapping, with_costs_of
from nsim.mapping.storage import FORMATS
from nsim.plots import Workload
from nsim.result import Result
from nsim.sensitivity import sensitivity

Simulate = Callable[[Mapping], Result]


@dataclass(frozen=True, eq=False)
class Bottleneck(ABC):
    """A run and its three witnesses; a subclass for what a run is made of on each kind of chip.

    bounds   of every span (timestep, frame or stream), from its counts
    saved    share of the time saved by a tenth lower costs, by state; empty if that was not asked for
    """

    result: Any
    bounds: Bounds
    saved: dict[str, float]

    unit = "timestep"  # what a span is

    @property
    @abstractmethod
    def time_ps(self) -> int:
        """Simulated time of all spans."""

    @property
    @abstractmethod
    def path_ps(self) -> dict[str, int]:
        """What that consists of along the critical path, by state."""

    @property
    @abstractmethod
    def energy_fj(self) -> float:
        """Of a span; 0 if no cost is known."""

    @property
    @abstractmethod
    def synop_ps(self) -> float:
        """Least time of one synop: the slope of the plot."""

    @property
    @abstractmethod
    def cores(self) -> int:
        """Cores in use."""

    @property
    @abstractmethod
    def advice(self) -> str:
        """What to change next, in a sentence."""

    @property
    def run_line(self) -> str:
        """What else there is to say of the run; nothing, usually."""
        return ""

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
    def over_bound(self) -> float:
        """Simulated time over the floorline's, at least 1."""
        least = int(self.bounds.least_ps.sum())
        return self.time_ps / least if least else 1.0

    def summary(self) -> dict[str, Any]:
        """The three witnesses in numbers: times of a span in the mean, those of all spans, and shares of these."""
        return {
            "spans": self.spans,
            "cores": self.cores,
            "bounds_ps": self.bounds.mean_ps,
            "floorline_ps": float(self.bounds.least_ps.mean()),
            "simulated_ps": self.time_ps / self.spans,
            "total_time_ps": self.time_ps,
            "over_floorline": self.over_bound,
            "known_energy_fj": self.energy_fj or None,
            "state_by_floorline": self.predicted,
            "margin": self.bounds.margin,
            "state_by_critical_path": self.simulated,
            "critical_path_ps": self.path_ps,
            "critical_stations": self.result.critical_stations,
            "state_by_sensitivity": self.sensitive if self.saved else None,
            "time_saved_by_tenth_lower_costs": self.saved,
            "advice": self.advice,
        }

    def workload(self, label: str) -> Workload:
        """Its point on the floorline plot."""
        means = self.bounds.mean_ps
        return Workload(
            label,
            float(self.bounds.max_synops.mean()),
            self.time_ps / self.spans,
            self.energy_fj or None,
            self.synop_ps,
            max(term for state, term in means.items() if state not in ("memory", "traffic")),
            self.simulated,
        )


class TimestepBottleneck(Bottleneck):
    """A run of timesteps."""

    result: Result

    @property
    def time_ps(self) -> int:
        return self.result.total_ps

    @property
    def path_ps(self) -> dict[str, int]:
        assert self.result.states is not None
        return {state: int(times.sum()) for state, times in self.result.states.items()}

    @property
    def energy_fj(self) -> float:
        return self.result.energy.known_fj / self.spans

    @property
    def synop_ps(self) -> float:
        actions = self.result.mapping.chip.actions
        used = [form for form in FORMATS if self.result.actions[f"synop_{form}"]]  # none in a silent run
        return min(getattr(actions, f"synop_{form}").latency_ps for form in used or FORMATS)

    @property
    def cores(self) -> int:
        return self.result.mapping.placement.size

    @property
    def advice(self) -> str:
        return advice(self.simulated, self.bounds, self.result.mapping)


def bottleneck_of(result: Result, saved: dict[str, float] | None = None) -> TimestepBottleneck:
    """The witnesses of a run of timesteps whose critical path was recorded."""
    return TimestepBottleneck(result, timestep_bounds(result.counts, result.mapping, result.barrier_ps), saved or {})


def find_bottleneck(mapping: Mapping, simulate: Simulate) -> TimestepBottleneck:
    """Run a mapping, and again with each group of costs a tenth lower.

    simulate   runs a mapping on the same activity every time, and records the critical path
    """
    result = simulate(mapping)
    saved = sensitivity(mapping.chip, result.total_ps, lambda chip: simulate(with_costs_of(mapping, chip)).total_ps)
    return bottleneck_of(result, saved)
