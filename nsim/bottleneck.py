"""What limits a run, asked in three ways: the floorline predicts it, the critical path shows it, lower costs tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nsim.floorline import Bounds, advice, timestep_bounds
from nsim.mapping import Mapping
from nsim.mapping.storage import FORMATS
from nsim.plots import Workload
from nsim.result import Result
from nsim.sensitivity import sensitivity

Simulate = Callable[[Mapping], Result]


@dataclass(frozen=True, eq=False)
class Bottleneck:
    """A run and its three witnesses.

    bounds   of every timestep, from its counts
    saved    share of the time saved by a tenth lower costs, by state
    """

    result: Result
    bounds: Bounds
    saved: dict[str, float]

    @property
    def predicted(self) -> str:
        """State by the floorline: its largest bound."""
        return self.bounds.state

    @property
    def simulated(self) -> str:
        """State by the critical path: its largest share."""
        assert self.result.state is not None
        return self.result.state

    @property
    def sensitive(self) -> str:
        """State whose costs shorten the run most when they fall."""
        return max(self.saved, key=self.saved.__getitem__)

    @property
    def advice(self) -> str:
        return advice(self.simulated, self.bounds, self.result.mapping)

    @property
    def over_bound(self) -> float:
        """Simulated time over the floorline's, at least 1."""
        return float(self.result.total_ps / self.bounds.least_ps.sum())

    def workload(self, label: str) -> Workload:
        """Its point on the floorline plot."""
        steps, means = self.result.steps, self.bounds.mean_ps
        energy = self.result.energy
        actions = self.result.mapping.chip.actions
        used = [form for form in FORMATS if self.result.actions[f"synop_{form}"]]  # none in a silent run
        return Workload(
            label,
            float(self.bounds.max_synops.mean()),
            self.result.total_ps / steps,
            energy.known_fj / steps if energy.known_fj else None,
            min(getattr(actions, f"synop_{form}").latency_ps for form in used or FORMATS),
            max(means["compute"], means["barrier"]),
            self.simulated,
        )


def find_bottleneck(mapping: Mapping, simulate: Simulate) -> Bottleneck:
    """Run a mapping, and again with each group of costs a tenth lower.

    simulate   runs a mapping on the same activity every time, and records the critical path
    """
    result = simulate(mapping)
    bounds = timestep_bounds(result.counts, mapping, result.barrier_ps)
    return Bottleneck(result, bounds, sensitivity(mapping, result.total_ps, lambda other: simulate(other).total_ps))
