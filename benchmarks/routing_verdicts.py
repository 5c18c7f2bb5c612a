"""What the runs of `benchmarks.routing_aware` say of the published claims; nothing here knows what should come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.routing_statistics import (
    Estimate,
    Point,
    bootstrap,
    factor_at_equal_accuracy,
    gain_at_equal_memory,
    mean,
    mean_difference,
    rank_correlation,
    share,
)
from nsim.cli.experiments import Verdict

# Of figure 3a: test accuracy on SHD in percent by (p1, p3); p of larger distances is 0
PUBLISHED = {
    **{(0.5, 0.0): 61.4, (0.5, 0.1): 66.3, (0.5, 0.2): 70.8, (0.5, 0.3): 72.7},
    **{(1.0, 0.0): 68.0, (1.0, 0.1): 71.1, (1.0, 0.2): 71.9, (1.0, 0.3): 73.9},
}
PROFILES = tuple(PUBLISHED)
WIDEST_BAND = 3.2  # points either side of the published curves, in the widest place; what kind of band is not known
CHECKED = ("p1=0.5,p3=0.1", "p1=1.0,p3=0.3")  # profiles whose count of connections l1 is given, too
COUNTS = ("provisioned", "programmed")
RIVALS = ("l1", "hop-penalty")


@dataclass(frozen=True)
class Row:
    """One trained network. p1, p3: of its profile, or of the profile whose count of connections it was given.

    links_moved      links of the chosen epoch that were not there at the beginning; None where none are drawn
    fits_*           routed by the published rule or by fitting routes on the shipped chip's ports, or on those that
                     are sized for the profile; None without a profile
    """

    method: str
    setting: str
    p1: float | None
    p3: float | None
    seed: int
    data: str
    test_accuracy_percent: float
    validation_accuracy_percent: float
    epoch: int
    provisioned_elements: int
    programmed_elements: int
    connections: int
    links: int
    links_moved: int | None
    fits_shipped: bool
    fits_shipped_by_fitting_routes: bool
    fits_sized: bool | None
    fits_sized_by_fitting_routes: bool | None

    def elements(self, count: str) -> int:
        return int(getattr(self, f"{count}_elements"))


def of_profile(rows: Sequence[Row], method: str, p1: float, p3: float) -> list[Row]:
    return [row for row in rows if (row.method, row.p1, row.p3) == (method, p1, p3)]


def accuracies(rows: Sequence[Row]) -> np.ndarray:
    return np.array([row.test_accuracy_percent for row in rows])


def points_of(rows: Sequence[Row], method: str, count: str) -> list[Point]:
    """One point per setting of this method."""
    settings = dict.fromkeys(row.setting for row in rows if row.method == method)
    return [
        Point(np.array([row.elements(count) for row in same], float), accuracies(same))
        for same in ([row for row in rows if row.setting == setting] for setting in settings)
    ]


def measured_profiles(rows: Sequence[Row]) -> dict[tuple[float, float], np.ndarray]:
    """Accuracies of deepr-profile by profile, those that were trained."""
    found = {pair: accuracies(of_profile(rows, "deepr-profile", *pair)) for pair in PROFILES}
    return {pair: values for pair, values in found.items() if values.size}


def verdicts_of(rows: Sequence[Row], rng: np.random.Generator, probability: float) -> list[Verdict]:
    """probability: with which a random network fits the fabric that is sized for its profile."""
    found = measured_profiles(rows)
    verdicts = [more_links(found, p1, rng) for p1 in sorted({p1 for p1, _ in found})]
    verdicts += [small_spread(found), difference_of_p1(found), rewiring(rows)]
    for count in COUNTS:
        for ours, theirs in (*(("deepr-profile", rival) for rival in RIVALS), ("memory-aware", "deepr-profile")):
            pair = points_of(rows, ours, count), points_of(rows, theirs, count)
            if all(pair):
                verdicts += [at_equal_memory(ours, theirs, count, *pair, rng)]
                verdicts += [at_equal_accuracy(ours, theirs, count, *pair, rng)] if theirs in RIVALS else []
    return [*verdicts, *mappability(rows, probability)]


# --- figure 3a


def more_links(found: dict[tuple[float, float], np.ndarray], p1: float, rng: np.random.Generator) -> Verdict:
    mine = {p3: values for (each, p3), values in found.items() if each == p1}
    x = np.concatenate([np.full(values.size, p3) for p3, values in mine.items()])
    rho, probability = rank_correlation(x, np.concatenate(list(mine.values())), rng)
    told = ", ".join(f"{values.mean():.1f}" for values in mine.values())
    published = ", ".join(f"{PUBLISHED[p1, p3]:.1f}" for p3 in mine)
    return Verdict(
        f"p1 = {p1}: the more links at 3 hops, the more accuracy (rank correlation above 0 with p < 0.05)",
        rho > 0 and probability < 0.05,
        f"rho = {rho:.2f}, p = {probability:.2g} over {x.size} networks; means {told} % for p3 = "
        f"{', '.join(f'{p3:g}' for p3 in mine)} (published, on SHD: {published} %)",
    )


def small_spread(found: dict[tuple[float, float], np.ndarray]) -> Verdict:
    """One run per profile has no spread."""
    spread = {pair: float(values.std(ddof=1)) for pair, values in found.items() if values.size > 1}
    worst = max(spread, key=spread.__getitem__, default=None)
    return Verdict(
        f"accuracy spreads little within a profile: a standard deviation of at most {WIDEST_BAND} points, the widest "
        "published band",
        worst is not None and spread[worst] <= WIDEST_BAND,
        f"{min(spread.values()):.1f} to {max(spread.values()):.1f} points, most at p1 = {worst[0]}, p3 = {worst[1]}; "
        f"in {sum(each <= WIDEST_BAND for each in spread.values())} of {len(spread)} profiles no more than that"
        if worst
        else "one network per profile says nothing",
    )


def difference_of_p1(found: dict[tuple[float, float], np.ndarray]) -> Verdict:
    shares = [p3 for p1, p3 in found if p1 == 0.5 and (1.0, p3) in found]
    each = {p3: mean_difference([(found[1.0, p3], found[0.5, p3])]) for p3 in shares}
    all_of_them = mean_difference([(found[1.0, p3], found[0.5, p3]) for p3 in shares])
    published = ", ".join(f"{PUBLISHED[1.0, p3] - PUBLISHED[0.5, p3]:.1f}" for p3 in shares)
    return Verdict(
        "all links at 1 hop instead of half of them give more accuracy, over all p3",
        all_of_them.low > 0,
        f"{all_of_them.shown()} points; for p3 = {', '.join(f'{p3:g}' for p3 in shares)}: "
        f"{', '.join(one.shown() for one in each.values())} (published, on SHD: {published})",
    )


def rewiring(rows: Sequence[Row]) -> Verdict:
    """Whether the method does anything but train under the profile that was drawn first."""
    mine = [row for row in rows if row.method == "deepr-profile"]
    moved = np.array([100 * (row.links_moved or 0) / row.links if row.links else 0.0 for row in mine])
    return Verdict(
        "rewiring under a profile replaces at least one link in a hundred",
        float(moved.mean()) >= 1,
        f"{moved.mean():.2f} % of the links in the mean, most {moved.max():.2f} %, none in "
        f"{np.count_nonzero(moved == 0)} of {len(mine)} networks",
    )


# --- figure 3b


def _ranges(points: Sequence[Point]) -> str:
    means = [point.memory.mean() for point in points]
    if len(means) == 1:
        return f"{means[0] / 1e3:,.0f} k"
    return f"{min(means) / 1e3:,.0f} k to {max(means) / 1e3:,.0f} k"


def at_equal_memory(
    ours: str, theirs: str, count: str, mine: list[Point], others: list[Point], rng: np.random.Generator
) -> Verdict:
    """Where even the smallest of theirs is larger than all of ours, its accuracy is told, but proves nothing."""
    published = " (published: +5 points)" if theirs in RIVALS else ""
    claim = f"{ours} is more accurate than {theirs} at equal memory, {count}{published}"
    ranges = f"{ours} takes {_ranges(mine)} elements, {theirs} {_ranges(others)}"
    compared = bootstrap(gain_at_equal_memory, mine, others, rng)
    if compared.estimate is not None:
        often = "" if compared.defined > 0.999 else f", defined in {compared.defined:.0%} of the resamples"
        told = f"{compared.estimate.shown()} points{often}; {ranges}"
        return Verdict(claim, compared.estimate.low > 0, told)
    smallest = min(others, key=lambda point: point.memory.mean())
    if smallest.memory.mean() < max(point.memory.mean() for point in mine):
        return Verdict(claim, False, f"not to be checked, the ranges do not overlap: {ranges}")
    gain = mean_difference([(point.accuracy, smallest.accuracy) for point in mine])
    told = f"not to be checked, no {theirs} network is so small: {ranges}"
    return Verdict(claim, False, f"{told}; the smallest of these is {gain.shown()} points less accurate")


def at_equal_accuracy(
    ours: str, theirs: str, count: str, mine: list[Point], others: list[Point], rng: np.random.Generator
) -> Verdict:
    best = max(point.accuracy.mean() for point in others)
    mine_best = max(point.accuracy.mean() for point in mine)
    compared = bootstrap(factor_at_equal_accuracy, mine, others, rng)
    claim = (
        f"{ours} reaches the best accuracy of {theirs} with less memory, {count} (published: 10 times less, of which "
        "2.7 to 3.5 follow from the published, provisioned count)"
    )
    told = f"best of {theirs} {best:.1f} %, of {ours} {mine_best:.1f} %"
    if compared.estimate is None:
        return Verdict(claim, False, f"{told}: it is reached in {compared.defined:.0%} of the resamples")
    often = "" if compared.defined > 0.999 else f", defined in {compared.defined:.0%} of the resamples"
    holds = compared.estimate.low > 1 and compared.defined > 0.95
    return Verdict(claim, holds, f"{compared.estimate.shown(1, ' times')} less{often}; {told}")


# --- mappability


def fitting(rows: Sequence[Row], column: str) -> Estimate | None:
    told = [getattr(row, column) for row in rows if getattr(row, column) is not None]
    return share(sum(told), len(told)) if told else None


def percent(found: Estimate) -> str:
    return f"{100 * found.value:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f} %)"


def mappability(rows: Sequence[Row], probability: float) -> list[Verdict]:
    """Of all profiles together; l1 on the fabric that is sized for the profile whose connections it has."""
    under = [row for row in rows if row.method == "deepr-profile"]
    like = [row for row in rows if row.method == "l1" and row.p1 is not None]
    told: dict[str, Any] = {}
    for name, some in (("deepr-profile", under), ("l1", like)):
        columns = ("fits_sized", "fits_sized_by_fitting_routes", "fits_shipped", "fits_shipped_by_fitting_routes")
        told[name] = [fitting(some, column) for column in columns]
    sized, l1_sized = told["deepr-profile"][0], told["l1"][0]
    return [
        Verdict(
            f"trained networks of a profile fit the fabric that is sized for it as often as random ones, "
            f"{probability:.0%}",
            sized.high >= probability,
            f"{_fit_line(told['deepr-profile'])}, of {len(under)} networks",
        ),
        Verdict(
            "l1 networks of as many connections fit less often",
            l1_sized.high < sized.low,
            f"{_fit_line(told['l1'])}, of {len(like)} networks",
        ),
    ]


def _fit_line(found: Sequence[Estimate]) -> str:
    sized, sized_fitting, shipped, shipped_fitting = map(percent, found)
    return (
        f"{sized} by published routes, {sized_fitting} by fitting ones; on the shipped chip {shipped} and "
        f"{shipped_fitting}"
    )


# --- tables


def tables(rows: Sequence[Row]) -> str:
    """Means over seeds as Markdown: by profile beside the published, and of all settings with their memory."""
    lines = ["| p1 | p3 | accuracy, mean and interval | std over seeds | published, on SHD |", "|---|---|---|---|---|"]
    for (p1, p3), values in measured_profiles(rows).items():
        spread = f"{values.std(ddof=1):.1f}" if values.size > 1 else "-"
        lines.append(f"| {p1} | {p3} | {mean(values).shown()} % | {spread} | {PUBLISHED[p1, p3]} % |")
    lines += ["", "| setting | networks | accuracy, mean and interval | connections | provisioned | programmed |"]
    lines.append("|---|---|---|---|---|---|")
    for setting in dict.fromkeys(row.setting for row in rows):
        same = [row for row in rows if row.setting == setting]
        sizes = [
            f"{np.mean([getattr(row, name) for row in same]) / 1e3:,.1f} k"
            for name in ("connections", *(f"{count}_elements" for count in COUNTS))
        ]
        accuracy = mean(accuracies(same))
        told = f"{accuracy.shown()} %" if len(same) > 1 else f"{accuracy.value:.1f} %"
        lines.append(f"| {setting} | {len(same)} | {told} | {' | '.join(sizes)} |")
    return "\n".join(lines)
