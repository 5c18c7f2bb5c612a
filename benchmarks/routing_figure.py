"""The figure of `benchmarks.routing_aware`: accuracy by profile, accuracy against memory, and what fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.routing_statistics import frontier, mean, means_of
from benchmarks.routing_verdicts import COUNTS, PUBLISHED, Row, fitting, measured_profiles, points_of

COLOURS = {
    **{"deepr-profile": "#0072b2", "memory-aware": "#009e73", "l1": "#d55e00", "hop-penalty": "#e69f00"},
    **{"deepr": "#56b4e9", "deepr-global": "#cc79a7", "dense": "#555555", "links anywhere": "#000000"},
}


def draw(figure: Any, rows: Sequence[Row]) -> None:
    (profiles, provisioned), (fits, programmed) = figure.subplots(2, 2)
    draw_profiles(profiles, rows)
    for axis, count in zip((provisioned, programmed), COUNTS, strict=True):
        draw_memory(axis, rows, count)
    provisioned.legend(fontsize=8)
    draw_fits(fits, rows)


def draw_profiles(axis: Any, rows: Sequence[Row]) -> None:
    """Every network a dot; the published curves, of SHD, dashed."""
    found = measured_profiles(rows)
    for p1, colour, shift in ((0.5, "#e69f00", -0.003), (1.0, "#0072b2", 0.003)):
        mine = {p3: values for (each, p3), values in found.items() if each == p1}
        at = np.array(list(mine)) + shift
        estimates = [mean(values) for values in mine.values()]
        ends = [[e.value - e.low for e in estimates], [e.high - e.value for e in estimates]]
        values = [e.value for e in estimates]
        axis.errorbar(at, values, np.nan_to_num(ends), fmt="o-", color=colour, capsize=3, label=f"p1 = {p1}, here")
        for place, each in zip(at, mine.values(), strict=True):
            axis.plot([place] * each.size, each, ".", color=colour, ms=3, alpha=0.7)
        published = [PUBLISHED[p1, p3] for p3 in mine]
        axis.plot(list(mine), published, "s--", color=colour, alpha=0.4, ms=4, label=f"p1 = {p1}, published, on SHD")
    axis.set(xlabel="links present at 3 hops, p3", ylabel="test accuracy (%)", ylim=(0, 100))
    axis.set_title(f"Accuracy by profile ({rows[0].data}), mean and its 95 % interval", fontsize=10)
    axis.legend(fontsize=8)


def draw_memory(axis: Any, rows: Sequence[Row], count: str) -> None:
    """Networks small, means large; the line is the best mean with at most so much memory, which comparisons take."""
    for method, colour in COLOURS.items():
        points = sorted(points_of(rows, method, count), key=lambda point: point.memory.mean())
        if not points:
            continue
        means = means_of(points)
        axis.plot(*means, "o" if len(points) > 1 else "D", color=colour, ms=5, label=method)
        axis.plot(*frontier(means), "-", color=colour, lw=1)
        for point in points:
            axis.plot(point.memory, point.accuracy, ".", color=colour, ms=3, alpha=0.6)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e3:,g} k"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set(xlabel=f"memory elements, {count}", ylabel="test accuracy (%)")
    axis.set_title(f"Accuracy against memory, {count}", fontsize=10)


def draw_fits(axis: Any, rows: Sequence[Row]) -> None:
    """Shares that fit, by method and fabric, with the exact interval."""
    groups = {
        "shipped chip,\npublished routes": "fits_shipped",
        "shipped chip,\nfitting routes": "fits_shipped_by_fitting_routes",
        "sized for the profile,\npublished routes": "fits_sized",
        "sized for the profile,\nfitting routes": "fits_sized_by_fitting_routes",
    }
    for shift, method in ((-0.2, "deepr-profile"), (0.2, "l1")):
        some = [row for row in rows if row.method == method and row.p1 is not None]
        for place, column in enumerate(groups.values()):
            found = fitting(some, column)
            if found is None:
                continue
            value, ends = 100 * found.value, [[100 * (found.value - found.low)], [100 * (found.high - found.value)]]
            label = f"{method}, {len(some)} networks" if place == 0 else None
            axis.bar(place + shift, value, 0.36, color=COLOURS[method], label=label)
            axis.errorbar(place + shift, value, ends, color="black", capsize=3, lw=1)
    axis.set_xticks(range(len(groups)), list(groups), fontsize=8)
    axis.set(ylabel="networks that fit (%)", ylim=(0, 105))
    axis.set_title("Trained networks that can be routed", fontsize=10)
    axis.legend(fontsize=8)
