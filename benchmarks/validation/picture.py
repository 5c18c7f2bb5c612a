"""All that was measured against the same in simulation, in one picture: the rows of `frozen/`, all chips.

    python -m benchmarks.validation.picture     # benchmarks/measured.png

Drawn are rows of which both numbers are known; bounds are in the tables. Clocks become seconds by the chip's clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from benchmarks.validation.comparison import CHIPS, FITTED, INDEPENDENT, INPUT, PARTLY, frozen
from nsim.chip.file import load_chip

PICTURE = Path(__file__).parents[1] / "measured.png"
BAND = 0.2
# Okabe and Ito 2008: distinguishable with any colour vision
COLOURS = {"loihi2": "#0072B2", "akd1000": "#E69F00", "akd1500": "#D55E00", "speck": "#009E73", "loihi": "#56B4E9"}
SHAPES = {INDEPENDENT: "o", PARTLY: "D", FITTED: "s", INPUT: "x"}
MEANINGS = {
    INDEPENDENT: "no (independent)",
    PARTLY: "one was, or a rule (partly)",
    FITTED: "fitted to it (fitted)",
    INPUT: "it is one of them (input)",
}
# Panels, and what a unit is in that of the panel; frames per second are drawn as the time of one
PANELS = {"time": "s", "energy": "J", "power": "W", "counts, rates": "1, GB/s"}
COUNTED = {"": 1.0, "M/s": 1e6, "x": 1.0, "B": 1.0, "words": 1.0, "1e4": 1e4, "1e5": 1e5, "GB/s": 1.0}
UNITS = {
    "s": ("time", 1.0), "us": ("time", 1e-6), "ns": ("time", 1e-9), "ms": ("time", 1e-3),
    "mJ": ("energy", 1e-3), "uJ": ("energy", 1e-6), "nJ": ("energy", 1e-9), "pJ": ("energy", 1e-12),
    "W": ("power", 1.0), "mW": ("power", 1e-3), "uW": ("power", 1e-6),
    **{unit: ("counts, rates", factor) for unit, factor in COUNTED.items()},
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A row in the unit of its panel."""

    chip: str
    panel: str
    measured: float
    simulated: float
    constants: str

    @property
    def error(self) -> float:
        return self.simulated / self.measured - 1


def points_of(chip: str) -> Iterator[Point]:
    clocks = getattr(load_chip(chip), "clock", None)
    for row in frozen(chip):
        if not row.comparable:
            continue
        if row.unit == "fps":
            yield Point(chip, "time", 1 / row.measured, 1 / row.simulated, row.constants)
        elif row.unit == "clk":
            second = 1 / (clocks.mhz * 1e6)
            yield Point(chip, "time", row.measured * second, row.simulated * second, row.constants)
        else:
            panel, unit = UNITS[row.unit]
            yield Point(chip, panel, row.measured * unit, row.simulated * unit, row.constants)


def draw(figure: Figure, points: list[Point]) -> None:
    grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 0.92))
    for number, (panel, unit) in enumerate(PANELS.items()):
        own = [point for point in points if point.panel == panel]
        draw_panel(figure.add_subplot(grid[divmod(number, 2)]), own, panel, unit)
    alone = near([point for point in points if point.constants == INDEPENDENT])
    title = f"Measured on chips and simulated: {near(points)} within 20 % (grey), {alone} where nothing was fitted"
    figure.suptitle(title, fontsize=11)
    draw_errors(figure.add_subplot(grid[0, 2]), points)
    draw_legend(figure.add_subplot(grid[1, 2]), points)


def draw_panel(axes: Any, points: list[Point], panel: str, unit: str) -> None:
    values = [value for point in points for value in (point.measured, point.simulated)]
    ends = np.array([min(values) / 2.5, max(values) * 2.5])
    axes.fill_between(ends, ends / (1 + BAND), ends * (1 + BAND), color="#cccccc", lw=0)
    axes.plot(ends, ends, color="black", lw=0.7)
    for point in points:
        scatter(axes, point.measured, point.simulated, point)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title=f"{panel} ({unit})", aspect="equal")
    axes.set(xlabel="measured", ylabel="simulated")


def scatter(axes: Any, x: float, y: float, point: Point) -> None:
    colour, hollow = COLOURS[point.chip], point.constants != INPUT
    faces = {"facecolors": "none", "edgecolors": colour} if hollow else {"c": colour}
    axes.scatter(x, y, s=26, marker=SHAPES[point.constants], lw=1.1, zorder=3, **faces)


def draw_errors(axes: Any, points: list[Point]) -> None:
    """How far each is off, chip under chip, those on which nothing was fitted apart from the others."""
    axes.axvspan(-100 * BAND, 100 * BAND, color="#cccccc", lw=0)
    axes.axvline(0, color="black", lw=0.7)
    rng = np.random.default_rng(0)
    for height, chip in enumerate(reversed(CHIPS)):
        for point in points:
            if point.chip == chip:
                scatter(axes, np.clip(100 * point.error, -75, 75), height + rng.uniform(-0.3, 0.3), point)
    axes.set(title="error (%)", xlim=(-80, 80), yticks=range(len(CHIPS)), ylim=(-0.6, len(CHIPS) - 0.4))
    axes.set_yticklabels([short(chip) for chip in reversed(CHIPS)])
    axes.grid(False)


def short(chip: str) -> str:
    return load_chip(chip).title.split(maxsplit=1)[1]


def draw_legend(axes: Any, points: list[Point]) -> None:
    axes.axis("off")
    chips: list[Any] = [
        Patch(color=COLOURS[chip], label=f"{short(chip)}: {near([p for p in points if p.chip == chip])}")
        for chip in CHIPS
    ]
    shapes: list[Any] = [
        Line2D([], [], marker=SHAPES[kind], ls="", mfc="none", color="black", label=f"{meaning}: {counted}")
        for kind, meaning in MEANINGS.items()
        for counted in [near([p for p in points if p.constants == kind])]
    ]
    title = "chip, and how many are within 20 %"
    axes.add_artist(axes.legend(handles=chips, title=title, loc="upper left", alignment="left", borderaxespad=0))
    title = "were constants chosen with it in sight?"
    axes.legend(handles=shapes, title=title, loc="lower left", alignment="left", borderaxespad=0)


def near(points: list[Point]) -> str:
    return f"{sum(abs(point.error) <= BAND for point in points)} of {len(points)}"


def main() -> None:
    import matplotlib.pyplot as plt

    with plt.style.context(Path(__file__).parents[2] / "nsim" / "report" / "figures.mplstyle"):
        figure = Figure(figsize=(8.6, 5.9), layout="constrained")
        draw(figure, [point for chip in CHIPS for point in points_of(chip)])
        figure.savefig(PICTURE, dpi=120, metadata={"Software": "nsim"})
    print(PICTURE)


if __name__ == "__main__":
    main()
