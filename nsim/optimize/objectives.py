"""What a candidate takes, on every kind of chip, and which of two is better."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from nsim.errors import OptimizationError

OBJECTIVES = ("time", "energy", "energy-delay", "cores")


@dataclass(frozen=True)
class Taken:
    """Time, energy (as far as it is known) and cores: of a run, or bounds that no run is below."""

    time_ps: float
    energy_fj: float
    cores: int

    def key(self, objective: str) -> tuple[float, ...]:
        """The objective, then what decides between equals; smaller is better."""
        time, energy, cores = float(self.time_ps), self.energy_fj, float(self.cores)
        return {
            "time": (time, energy, cores),
            "energy": (energy, time, cores),
            "energy-delay": (energy * time, time, cores),
            "cores": (cores, time, energy),
        }[objective]


@dataclass(frozen=True)
class Floor:
    """The least floorline of all mappings that were looked at: what one would take if no message waited for another.

    time_ps   of a timestep, in the mean, barrier and management included
    waits     share of it by what a timestep waits for: the busiest slice of a layer, copies of its messages, its end
    bounds    how many were compared
    """

    time_ps: float
    waits: dict[str, float]
    bounds: int

    @property
    def binding(self) -> str:
        return max(self.waits, key=self.waits.__getitem__)


def choose(name: str, names: Sequence[str], what: str) -> str:
    """One of the names.

    raises   OptimizationError for another one, with the nearest
    """
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise OptimizationError(f"no {what} {name!r}: {hint}choose from {', '.join(names)}")
