"""What a figure of a report shows, as plain data: the kinds of figures that there are.

figures.py finds it in the tables of runs; vector.py draws it, for papers and, by way of svg.py, for pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nsim.result.limits.bounds import Workload

METRICS = {name: name for name in ("layer", "synops", "busy", "blocked", "energy")} | {"queue": "longest queue"}
UNITS = {"synops": "", "busy": "us", "blocked": "us", "queue": "messages", "energy": "nJ"}


@dataclass(frozen=True)
class Content:
    """One figure: a name for files and anchors, a title, and what it shows, in words."""

    key: str
    title: str
    text: str


@dataclass(frozen=True)
class Floorline(Content):
    """Spans of a run on the floorline plot; names says which they are, for each point."""

    unit: str
    points: tuple[Workload, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Marks:
    """Things on a mesh: places, names, and values by metric (None: not known).

    pointing   right, left, up or down; empty for what points nowhere
    """

    x: list[float]
    y: list[float]
    names: list[str]
    pointing: list[str]
    values: Mapping[str, list[float | None]]

    def most(self, metric: str) -> float:
        """Upper end of the colour scale, which begins at 0."""
        return max((value for value in self.values[metric] if value is not None), default=0) or 1


@dataclass(frozen=True)
class Mesh(Content):
    """layers: by core, in the order of the network's; busiest: number of the mark that is at work longest."""

    cores: Marks
    links: Marks
    layers: list[str]
    busiest: int | None

    @property
    def metrics(self) -> list[str]:
        """What its colours can show, the usual first: where every layer lies, and which core to relieve."""
        return [*(["layer"] if self.layers else []), *self.cores.values]

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Half a router beyond what there is: left, right, top and bottom."""
        x, y = self.cores.x + self.links.x, self.cores.y + self.links.y
        return round(min(x)) - 0.5, round(max(x)) + 0.5, round(min(y)) - 0.5, round(max(y)) + 0.5

    def scale(self, marks: Marks, metric: str) -> str:
        """What stands at the colour scale of cores or links."""
        what, word = "links" if marks is self.links else "cores", self._word(marks, metric)
        return f"{what}: {word} ({UNITS[metric]})" if UNITS[metric] else f"{what}: {word}"

    def _word(self, marks: Marks, metric: str) -> str:
        return "messages" if marks is self.links and metric == "synops" else METRICS[metric]

    def titles(self, marks: Marks) -> list[str]:
        """All that is known of each mark: "core 3 (conv1): synops 1,200, busy 8.1 us"."""
        words = [
            [_told(self._word(marks, metric), value, UNITS[metric]) for value in values]
            for metric, values in marks.values.items()
        ]
        return [f"{name}: {', '.join(own)}" for name, *own in zip(marks.names, *words, strict=True)]


@dataclass(frozen=True)
class BoardMap(Mesh):
    """Chips, each a tile of a board of so many columns and rows, and what goes between them; `cores` are the chips."""

    columns: int
    rows: int

    @property
    def places(self) -> tuple[list[int], list[int]]:
        """Columns and rows of all chips."""
        chips = range(self.columns * self.rows)
        return [chip % self.columns for chip in chips], [chip // self.columns for chip in chips]

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The whole board, whatever is in use."""
        return -0.5, self.columns - 0.5, -0.5, self.rows - 0.5

    def scale(self, marks: Marks, metric: str) -> str:
        return super().scale(marks, metric).replace("cores:", "chips:").replace("links:", "between chips:")


@dataclass(frozen=True)
class Grid(Content):
    """Counts by row and column of tiles."""

    counts: list[list[int]]
    label: str


@dataclass(frozen=True)
class Trace(Content):
    """Time of each span of a run: numbers from 1, and microseconds."""

    unit: str
    numbers: list[int]
    times_us: list[float]


@dataclass(frozen=True)
class Boxes(Content):
    """Rectangles: left, right, low and high of each, what a pointer shows, and which of the series it is of.

    rows     names of the places 0, 1, ... of the vertical axis, from above; empty where that is one of numbers
    lines    upright lines: where, and what they are
    scaled   whether the horizontal axis is logarithmic
    """

    boxes: list[tuple[float, float, float, float]]
    names: list[str]
    series: list[str]
    x_label: str
    y_label: str
    rows: Sequence[str] = ()
    lines: Sequence[tuple[float, str]] = ()
    scaled: bool = False


@dataclass(frozen=True)
class Ports(Content):
    """Cells of a grid of tiles, and lines from cell to cell: `lacking` by mark, None where there are enough."""

    cells: Marks
    lines: Marks
    lacking: list[int | None]


@dataclass(frozen=True)
class Points(Content):
    """Points in a plane, both axes logarithmic, and those of them that a line joins: x, y and names of each."""

    all: Mapping[str, list[Any]]
    joined: Mapping[str, list[Any]]
    x_label: str
    y_label: str


@dataclass(frozen=True)
class Series:
    """Bars of one name and colour, one for each category; None where a value is not known."""

    name: str
    values: list[float | None]
    colour: str


@dataclass(frozen=True)
class Bars(Content):
    """label, unit: of the axis of values; limit: a line there, and what it is.

    Horizontal bars are stacked, others stand side by side.
    """

    categories: list[str]
    series: list[Series]
    label: str
    unit: str
    horizontal: bool = False
    limit: tuple[float, str] | None = None

    @property
    def known(self) -> bool:
        """Whether any value is."""
        return any(value is not None for series in self.series for value in series.values)

    @property
    def axis(self) -> str:
        """What stands at the axis of values."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


def digits(value: float) -> str:
    """Four significant digits, and all of those before the point: 11,870."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.4g}"


def _told(word: str, value: float | None, unit: str) -> str:
    return f"{word} {'not known' if value is None else digits(value)} {'' if value is None else unit}".rstrip()
