"""Which cost limits a run: repeat it with each group of costs a tenth lower, and see which shortens it most.

An independent witness of the bottleneck state, beside the critical path and the floorline.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, TypeVar

from nsim.chip.chip import Chip, changed
from nsim.chip.discipline import discipline_of

LOWER = 0.9
RATES = ("bandwidth_gbps", "bits_per_clock")  # these rise where times fall
AnyChip = TypeVar("AnyChip", bound=Chip)


def cheaper(chip: AnyChip, state: str, factor: float = LOWER) -> AnyChip:
    """The chip with the times that make this state multiplied by `factor`; whole numbers stay whole."""

    def scaled(key: str, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(scaled(key, each) for each in value)
        if key.endswith(RATES):
            return ceil(value / factor) if isinstance(value, int) else value / factor
        return round(value * factor) if isinstance(value, int) else value * factor

    def value_of(key: str) -> Any:  # of a table that the file may leave out: None
        table: Any = chip
        for name in key.split("."):
            table = getattr(table, name, None)
        return table

    known = {key: value_of(key) for key in discipline_of(chip).costs[state]}
    result: AnyChip = changed(chip, {key: scaled(key, value) for key, value in known.items() if value is not None})
    return result


def sensitivity(
    chip: AnyChip, now_ps: int, time_ps: Callable[[AnyChip], int], factor: float = LOWER
) -> dict[str, float]:
    """Share of the run's time that is saved when the costs behind each state fall to `factor`, 0..1.

    now_ps    time of the run as it is
    time_ps   simulates the same on a chip that differs in these costs and returns the time; called once per state
    """
    return {state: saved(now_ps, time_ps(cheaper(chip, state, factor))) for state in discipline_of(chip).costs}


def saved(before_ps: int, after_ps: int) -> float:
    """Share of a time that is saved; 0 where costs that are rounded to whole units make it longer."""
    return max(0, before_ps - after_ps) / before_ps if before_ps else 0.0
