"""What `benchmarks.routing_aware` says of accuracies, memory and mappability: estimates with intervals of 95 %."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, rankdata, t

LEVEL = 0.95
RESAMPLES = 2_000


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; both ends are NaN where one run alone gives none."""

    value: float
    low: float
    high: float

    def shown(self, digits: int = 1, unit: str = "") -> str:
        return f"{self.value:.{digits}f}{unit} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass(frozen=True, eq=False)
class Point:
    """Networks of one setting that differ in their seed: memory in elements, accuracy in percent, each [seeds]."""

    memory: NDArray[np.float64]
    accuracy: NDArray[np.float64]


# --- one sample, two samples, shares


def mean(values: Sequence[float] | NDArray[np.float64]) -> Estimate:
    """Mean with Student's interval."""
    sample = np.asarray(values, float)
    if sample.size < 2:
        return Estimate(float(sample.mean()), float("nan"), float("nan"))
    half = t.ppf((1 + LEVEL) / 2, sample.size - 1) * sample.std(ddof=1) / np.sqrt(sample.size)
    return Estimate(float(sample.mean()), float(sample.mean() - half), float(sample.mean() + half))


def mean_difference(pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> Estimate:
    """Mean over pairs of samples of (mean of the first - mean of the second); Welch's interval.

    Variances of means add up, degrees of freedom by Welch and Satterthwaite, as for two samples.
    """
    value = float(np.mean([first.mean() - second.mean() for first, second in pairs]))
    samples = [sample for pair in pairs for sample in pair]
    if min(sample.size for sample in samples) < 2:
        return Estimate(value, float("nan"), float("nan"))
    parts = np.array([sample.var(ddof=1) / sample.size for sample in samples]) / len(pairs) ** 2
    variance = float(parts.sum())
    if variance == 0:
        return Estimate(value, value, value)
    freedom = variance**2 / sum(p**2 / (s.size - 1) for p, s in zip(parts, samples, strict=True))
    half = float(t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(variance))
    return Estimate(value, value - half, value + half)


def share(hits: int, trials: int) -> Estimate:
    """Share of hits with the exact interval of Clopper and Pearson."""
    interval = binomtest(hits, trials).proportion_ci(LEVEL, method="exact")
    return Estimate(hits / trials, float(interval.low), float(interval.high))


def rank_correlation(
    x: NDArray[np.float64], y: NDArray[np.float64], rng: np.random.Generator, shuffles: int = 9_999
) -> tuple[float, float]:
    """Spearman's rho, and the probability of one as large if y had nothing to do with x.

    The latter by shuffling y, because x has few different values; at least 1 / (shuffles + 1).
    """
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0, 1.0
    first, second = rankdata(x) - (x.size + 1) / 2, rankdata(y) - (y.size + 1) / 2
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    rho = float(first @ second / scale)
    shuffled = rng.permuted(np.tile(second, (shuffles, 1)), axis=1) @ first / scale
    return rho, float((np.count_nonzero(shuffled >= rho - 1e-12) + 1) / (shuffles + 1))


# --- accuracy against memory


class Means(NamedTuple):
    """Mean memory and accuracy of several settings, each float64[settings]."""

    memory: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def means_of(points: Sequence[Point]) -> Means:
    return Means(*(np.array([getattr(each, name).mean() for each in points]) for name in Means._fields))


def frontier(means: Means) -> Means:
    """By memory, ascending, the best accuracy of the settings with at most so much."""
    order = np.argsort(means.memory, kind="stable")
    return Means(means.memory[order], np.maximum.accumulate(means.accuracy[order]))


def gain_at_equal_memory(ours: Means, theirs: Means) -> float | None:
    """Points of accuracy above theirs, mean over our settings whose memory lies within the range of theirs.

    Their frontier is interpolated linearly over the logarithm of memory. If no setting of ours lies there, those of
    theirs that lie within our range are compared with our frontier; None if there is none either.
    """
    above = _above_frontier(ours, theirs)
    if above is not None:
        return above
    below = _above_frontier(theirs, ours)
    return None if below is None else -below


def _above_frontier(some: Means, others: Means) -> float | None:
    memory, accuracy = frontier(others)
    inside = (some.memory >= memory[0]) & (some.memory <= memory[-1])
    if not inside.any():
        return None
    return float(np.mean(some.accuracy[inside] - np.interp(np.log(some.memory[inside]), np.log(memory), accuracy)))


def factor_at_equal_accuracy(ours: Means, theirs: Means) -> float | None:
    """Their memory over ours, at the best accuracy that they reach with the memory that they need for it.

    Ours is where our frontier first reaches that accuracy, interpolated over the logarithm of memory; if our cheapest
    setting already does, its memory, so that the factor is at least so much. None if we never reach it.
    """
    their_memory, their_accuracy = frontier(theirs)
    wanted = their_accuracy[-1]
    needed = their_memory[np.argmax(their_accuracy >= wanted)]
    memory, accuracy = frontier(ours)
    if accuracy[-1] < wanted:
        return None
    first = int(np.argmax(accuracy >= wanted))
    if first == 0:
        return float(needed / memory[0])
    fraction = (wanted - accuracy[first - 1]) / (accuracy[first] - accuracy[first - 1])
    return float(needed / (memory[first - 1] * (memory[first] / memory[first - 1]) ** fraction))


Comparison = Callable[[Means, Means], float | None]


@dataclass(frozen=True)
class Compared:
    """A comparison of two methods: None where it does not exist; defined: share of the resamples where it does."""

    estimate: Estimate | None
    defined: float


def bootstrap(
    compare: Comparison, ours: Sequence[Point], theirs: Sequence[Point], rng: np.random.Generator
) -> Compared:
    """The comparison with the percentile interval over seeds, which are drawn anew within every setting.

    With few seeds such intervals are somewhat too narrow. The ends are of those resamples where the value exists.
    """
    value = compare(means_of(ours), means_of(theirs))
    drawn = zip(_resampled(ours, rng), _resampled(theirs, rng), strict=True)
    exists = np.array([each for pair in drawn if (each := compare(*pair)) is not None])
    defined = exists.size / RESAMPLES
    if value is None:
        return Compared(None, defined)
    low, high = np.quantile(exists, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if exists.size else (value, value)
    return Compared(Estimate(value, float(low), float(high)), defined)


def _resampled(points: Sequence[Point], rng: np.random.Generator) -> list[Means]:
    """The means of all settings, RESAMPLES times, of seeds drawn with replacement."""
    memory, accuracy = np.empty((2, RESAMPLES, len(points)))
    for k, point in enumerate(points):
        chosen = rng.integers(0, point.memory.size, (RESAMPLES, point.memory.size))
        memory[:, k], accuracy[:, k] = point.memory[chosen].mean(axis=1), point.accuracy[chosen].mean(axis=1)
    return [Means(*pair) for pair in zip(memory, accuracy, strict=True)]
