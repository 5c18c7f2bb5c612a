"""The ranges of a chip's constants: which there are, and the same chip at other places in them.

A range is [lowest, highest] plausible value, and nothing is known of what lies between. So draws are uniform: a
logarithm would need a lowest value above 0, which many ranges of the shipped files have not, and a peak at the file's
value would say more than the sources do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from nsim.chip.chip import Chip, Group, Table, changed

MAPPED = ("partition",)  # tables that decide where neurons are: another value makes another mapping, not another time
ENERGIES = ("_fj", "_mw", "_mw_per_mhz")  # ends of the keys that no time depends on
RATES = ("bandwidth_gbps", "bits_per_clock")  # these rise where times fall
PLACES = ("places", "message_in", "message_out", "link")  # and so do these, of queues
AnyChip = TypeVar("AnyChip", bound=Chip)


@dataclass(frozen=True)
class Ranged:
    """A constant that has a range.

    key          as in "actions.spike.latency_ps"
    value        in the file
    low, high    of the range; tuples as the value is
    whole        the value is a whole number, or some
    """

    key: str
    value: Any
    low: Any
    high: Any
    whole: bool

    @property
    def timing(self) -> bool:
        """Whether times may depend on it."""
        return not self.key.endswith(ENERGIES)

    @property
    def falls(self) -> bool:
        """Whether the chip is faster the higher it is."""
        name = self.key.rpartition(".")[2]
        return name in RATES or name in PLACES

    def at(self, place: float) -> Any:
        """Its value at a place in the range: 0 the lowest, 1 the highest."""
        if isinstance(self.value, tuple):
            return tuple(self._between(*ends, place) for ends in zip(self.low, self.high, strict=True))
        return self._between(self.low, self.high, place)

    def _between(self, low: float, high: float, place: float) -> float:
        value = low + place * (high - low) if place < 1 else high
        return round(value) if self.whole else value


def ranges_of(chip: Chip) -> list[Ranged]:
    """The constants of a chip with a range that a run can feel, in the order of their tables."""
    return [found for found in _ranges(chip, "") if not found.key.startswith(MAPPED)]


def _ranges(model: BaseModel, prefix: str) -> Iterator[Ranged]:
    for name, value in model:
        if isinstance(value, Group | Table):
            yield from _ranges(value, f"{prefix}{name}.")
        limits = getattr(model, f"{name}_range", None)
        if limits is None or value is None:
            continue
        yield Ranged(
            f"{prefix}{name}", value, limits[0], limits[1], _has_int(type(model).model_fields[name].annotation)
        )


def _has_int(annotation: Any) -> bool:
    """Whether a field is of whole numbers, or of lists of them, or may be left out."""
    return annotation is int or any(_has_int(part) for part in get_args(annotation))


def drawn_chip(chip: AnyChip, values: dict[str, Any]) -> AnyChip:
    """The chip with other values of constants, by key path."""
    result: AnyChip = changed(chip, values) if values else chip
    return result


def latin_hypercube(dimensions: int, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points of the unit cube: along every axis one in each of `draws` equal parts. [draws, dimensions]

    As `scipy.stats.qmc.LatinHypercube` does, whose import takes longer than many a run.
    """
    parts = rng.permuted(np.tile(np.arange(draws), (dimensions, 1)), axis=1).T
    return (parts + rng.random((draws, dimensions))) / draws


def corner(ranges: Sequence[Ranged], dear: bool) -> dict[str, Any]:
    """All constants at the end where the chip is slow and takes much energy, or at the other one."""
    return {each.key: each.at(float(each.falls != dear)) for each in ranges}
