"""What the ranges of a chip's constants do to the headline of a run: its time and its energy per span.

The same activity is timed again on chips that differ in their constants:
- all of them at the cheap end of their ranges, and all at the dear end;
- each alone at either end, the others as in the file;
- DRAWS draws of a Latin hypercube, uniform in every range (nsim/chip/ranges.py says why).
**The range** of a headline is from the least to the greatest of all these. The two ends bound it wherever a slower
station never makes a run shorter; draws, and constants alone, catch what queues do beyond that. So it says how far off
the headline may be, and not how likely that is: for this there are the draws, in the table `ranges`.
**What matters most** are the constants that move the headline furthest alone, in picoseconds or femtojoules. A rank
correlation over the draws would say less, and with 64 of them ranks constants without any effect by chance.

Draws depend on the chip's ranges only, not on the seed of the run: two runs on one chip are drawn alike, and can be
compared draw by draw. Constants that decide where neurons are (`partition`) keep the value of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import Chip
from nsim.chip.ranges import Ranged, corner, drawn_chip, latin_hypercube, ranges_of
from nsim.errors import SimulationError

DRAWS = 64
NAMED = 3  # constants that are said to matter most
ROUNDING = 1e-12  # of sums of energies: less than this moves nothing
STEPS = 8  # timesteps or ticks of a run that are timed again, at most
Timed = TypeVar("Timed")


class Headline(NamedTuple):
    """What a run says first, per span; None where it is not known."""

    time_ps: float | None
    energy_fj: float | None


@dataclass(frozen=True)
class Effect:
    """How far one constant alone moves a headline: from low to high, as the constant goes through its range."""

    key: str
    low: float
    high: float


@dataclass(frozen=True)
class Interval:
    """The least and the greatest value of a headline, and the constants that move it furthest."""

    low: float
    high: float
    effects: tuple[Effect, ...]


@dataclass(frozen=True, eq=False)
class Ranges:
    """What ranges do to a run.

    constants  number of those with a range
    drawn      float64[draws, 2]  time and energy of every draw; nan where it is not known
    unknown    why nothing is known, if so
    """

    constants: int
    time_ps: Interval | None
    energy_fj: Interval | None
    drawn: NDArray[np.float64]
    unknown: str | None = None


def find_ranges(
    chip: Chip,
    headline: Headline,
    retime: Callable[[Any, bool], Timed],
    read: Callable[[Any, Timed], Headline],
    threads: int = 1,
) -> Ranges:
    """Time a run again and again.

    headline   of the run as it is
    retime     times it on a chip; called once for all chips with the same times. True: at the ends of all ranges
    read       the headline of what was timed, on a chip with these energies
    """
    ranges = ranges_of(chip)
    ends = [corner(ranges, dear) for dear in (False, True)] if ranges else []
    alone = [{each.key: each.at(place)} for each in ranges for place in (0.0, 1.0)]
    cube = latin_hypercube(len(ranges), DRAWS, np.random.default_rng(0))
    draws = [{each.key: each.at(place) for each, place in zip(ranges, row, strict=True)} for row in cube.tolist()]
    try:
        rows = _headlines(chip, [*ends, *alone, *draws], ranges, len(ends), retime, read, threads)
    except (
        SimulationError,
        KeyboardInterrupt,
    ) as error:  # a deadlock with fewer slots, a time beyond the engine's clock
        why = str(error) or "interrupted"
        return Ranges(len(ranges), None, None, np.full((DRAWS, 2), np.nan), f"ranges of constants are not known: {why}")
    every = np.array([headline, *rows], np.float64)
    singles = every[1 + len(ends) : 1 + len(ends) + len(alone)].reshape(-1, 2, 2)
    time_ps, energy_fj = (_interval(every[:, column], ranges, singles[:, :, column]) for column in (0, 1))
    return Ranges(len(ranges), time_ps, energy_fj, every[-DRAWS:] if ranges else np.tile(every, (DRAWS, 1)))


def _headlines(
    chip: Chip,
    rows: Sequence[dict[str, Any]],
    ranges: Sequence[Ranged],
    ends: int,
    retime: Callable[[Any, bool], Timed],
    read: Callable[[Any, Timed], Headline],
    threads: int,
) -> list[Headline]:
    """The headline with each row of values; of rows with the same times only the first is timed."""
    timing = {each.key: each.value for each in ranges if each.timing}
    keys = [tuple(row.get(key, value) for key, value in timing.items()) for row in rows]
    first = {key: number for number, key in reversed(list(enumerate(keys)))}
    chips = [drawn_chip(chip, row) for row in rows]
    numbers = sorted(first.values())
    pool = ThreadPoolExecutor(threads)  # loops that Numba compiled run at the same time
    try:
        each_time = (pool.map if threads > 1 else map)(lambda number: retime(chips[number], number < ends), numbers)
        timed = dict(zip(numbers, each_time, strict=True))
    finally:
        pool.shutdown(cancel_futures=True)
    return [read(each, timed[first[key]]) for each, key in zip(chips, keys, strict=True)]


def _interval(values: NDArray[np.float64], ranges: Sequence[Ranged], alone: NDArray[np.float64]) -> Interval | None:
    """Of the headline and all others behind it; alone: [constants, 2], with each at either end."""
    known = values[~np.isnan(values)]
    if np.isnan(values[0]):
        return None
    with_own = np.column_stack((alone, np.full(len(ranges), values[0])))
    spans = np.column_stack((np.fmin.reduce(with_own, axis=1), np.fmax.reduce(with_own, axis=1)))
    spreads = spans[:, 1] - spans[:, 0]
    first = [
        number for number in np.argsort(-spreads, kind="stable").tolist() if spreads[number] > ROUNDING * values[0]
    ][:NAMED]
    effects = tuple(Effect(ranges[number].key, *spans[number].tolist()) for number in first)
    return Interval(float(known.min()), float(known.max()), effects)


def chosen_steps(steady: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of the timesteps that means are over stand for all: one drawn from each of STEPS equal parts.

    Evenly spaced ones could all fall on the same timestep of their samples.
    """
    parts = np.array_split(steady, min(STEPS, steady.size))
    rng = np.random.default_rng(0)
    return np.array([part[rng.integers(part.size)] for part in parts], np.int64)


def moved(whole: float, before: float, after: float) -> float:
    """The whole, if what was `before` in a part of it is `after` now; exact if the part is the whole."""
    if before == whole:
        return after
    return whole * (after / before) if before else whole


def ranges_summary(ranges: Ranges | None) -> dict[str, Any]:
    """The keys of a summary."""
    time_ps, energy_fj = (ranges.time_ps, ranges.energy_fj) if ranges else (None, None)
    facts: dict[str, Any] = {"range_constants": []}
    for name, unit, interval in (("time", "ps", time_ps), ("energy", "fj", energy_fj)):
        facts[f"{name}_low_{unit}"] = interval.low if interval else None
        facts[f"{name}_high_{unit}"] = interval.high if interval else None
        facts["range_constants"] += [
            {"of": name, **asdict(effect)} for effect in (interval.effects if interval else ())
        ]
    return facts
