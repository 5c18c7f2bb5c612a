"""The figures of a report for papers: the content of the page, drawn with matplotlib as vectors.

The same run gives the same bytes. The style is that of figures.mplstyle, and is set for these figures only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import singledispatch
from pathlib import Path
from typing import Any

from nsim.errors import InputError, OutputError, require
from nsim.report.content import Bars, BoardMap, Content, Floorline, Grid, Marks, Mesh, Points, Trace
from nsim.report.plots import COLOURS, FORMATS, draw_time, new_figure, save_figure

FOLDER = "figures"  # within that of a run
STYLE = Path(__file__).with_name("figures.mplstyle")
TRIANGLES = {"right": ">", "left": "<", "up": "^", "down": "v", "": "s"}  # by where they point: squares nowhere
WIDTH = 5.2  # inches
ROW_INCHES = 0.26  # of a horizontal bar
ROOM = 1.06  # above the highest value
MOST_LEVEL = 6  # of more upright bars the names would fall on each other


def parse_formats(text: str) -> tuple[str, ...]:
    """The formats in "pdf,svg", without those given twice.

    raises   InputError for one that cannot be drawn
    """
    known = [suffix[1:] for suffix in FORMATS]
    given = list(dict.fromkeys(name.strip().lower() for name in text.split(",")))
    wrong = [name for name in given if name not in known]
    if wrong:
        raise InputError(f"--figures {text}: {wrong[0]!r} is not a format that can be drawn: {', '.join(known)}")
    require("matplotlib", f"--figures {text}", InputError)
    return tuple(given)


def write_figures(contents: Sequence[Content], folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write every figure in every format into a folder, which is made; the mesh once for each metric.

    returns   the files, in the order of the page
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder of figures {folder} ({error.strerror}): give another --out"
        ) from None
    written = []
    with _style():
        for name, figure in _figures(contents):
            for each in formats:
                written.append(folder / f"{name}.{each}")
                save_figure(figure, written[-1])
    return written


def write_figure(contents: Sequence[Content], path: Path) -> None:
    """Write several figures as one, below each other."""
    with _style():
        save_figure(_drawn(contents), path)


@contextmanager
def _style() -> Iterator[None]:
    """The style, for as long as figures are made and written."""
    require("matplotlib", "a figure", OutputError)
    from matplotlib import style  # an extra, and start-up

    with style.context(STYLE):
        yield


def _figures(contents: Sequence[Content]) -> Iterator[tuple[str, Any]]:
    """A figure for each content, and its name; for a mesh one for each metric."""
    for content in contents:
        if isinstance(content, Mesh) and not isinstance(content, BoardMap):
            for metric in content.cores.values:
                yield f"{content.key}-{metric}", _mesh(content, metric)
        elif isinstance(content, BoardMap):
            yield content.key, _mesh(content, "synops")
        else:
            yield content.key, _drawn([content])


def _drawn(contents: Sequence[Content]) -> Any:
    """A figure of these contents below each other."""
    heights = [_inches(content) for content in contents]
    figure = new_figure(WIDTH, sum(heights))
    axes = figure.subplots(len(contents), 1, squeeze=False, height_ratios=heights)[:, 0]
    for content, own in zip(contents, axes, strict=True):
        _draw(content, own)
    return figure


def _mesh(content: Mesh, metric: str) -> Any:
    """A figure of one metric of cores and links."""
    figure = new_figure(WIDTH, 4.6)
    _draw_mesh(content, figure.subplots(), metric)
    return figure


def _inches(content: Content) -> float:
    """How high a figure is."""
    if isinstance(content, Bars) and content.horizontal:
        return 1.0 + ROW_INCHES * len(content.categories)
    return 4.8 if isinstance(content, Floorline) else 3.4


def new_axes() -> Any:
    """Axes of a new figure, which a notebook shows."""
    from matplotlib import pyplot

    with _style():
        return pyplot.subplots(layout="constrained")[1]


def draw(content: Content, axes: Any, metric: str = "") -> None:
    """Draw a content in the figures' style into axes that there are; metric: of a mesh."""
    with _style():
        if isinstance(content, Mesh):
            _draw_mesh(content, axes, metric)
        else:
            _draw(content, axes)


@singledispatch
def _draw(content: Content, axes: Any) -> None:
    raise TypeError(f"no figure for {type(content).__name__}")


@_draw.register
def _(content: Floorline, axes: Any) -> None:
    draw_time(axes, content.points, content.unit, joined=False)


@_draw.register
def _(content: Grid, axes: Any) -> None:
    rows, columns = len(content.counts), len(content.counts[0])
    heat = axes.pcolormesh(
        content.counts, vmin=0, vmax=max(map(max, content.counts)) or 1
    )  # one rectangle for each tile
    axes.set(xticks=[k + 0.5 for k in range(columns)], yticks=[k + 0.5 for k in range(rows)])
    axes.set(xticklabels=range(columns), yticklabels=range(rows), xlabel="column of tiles", ylabel="row of tiles")
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.grid(False)
    _scale(heat, axes, content.label)


@_draw.register
def _(content: Trace, axes: Any) -> None:
    marker = "o" if len(content.numbers) < 60 else ""
    axes.plot(content.numbers, content.times_us, marker=marker, ms=4, color=COLOURS["memory"])
    axes.set(xlabel=f"{content.unit} of the run", ylabel=f"time per {content.unit} (us)")
    axes.set_ylim(0, max(content.times_us) * ROOM or 1)
    axes.xaxis.get_major_locator().set_params(integer=True)


@_draw.register
def _(content: Points, axes: Any) -> None:
    axes.plot(content.all["x"], content.all["y"], "o", ms=4, color=COLOURS["barrier"], label="points")
    line = {"drawstyle": "steps-post", "color": COLOURS["traffic"], "label": "not beaten in both"}
    axes.plot(content.joined["x"], content.joined["y"], "o-", ms=5, **line)
    axes.set(xscale="log", yscale="log", xlabel=content.x_label, ylabel=content.y_label)
    axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1))


@_draw.register
def _(content: Bars, axes: Any) -> None:
    places = range(len(content.categories))
    bars = _stacked if content.horizontal else _side_by_side
    bars(content, axes)
    for place in places:
        if all(series.values[place] is None for series in content.series):
            x, y, turned = (0, place, 0) if content.horizontal else (place, 0, 90)
            upright = {"ha": "left", "va": "center"} if content.horizontal else {"ha": "center", "va": "bottom"}
            axes.annotate(" not known", (x, y), rotation=turned, fontsize=7, color="#666666", **upright)
    if len(content.series) > 1:
        axes.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1))


def _stacked(content: Bars, axes: Any) -> None:
    places = range(len(content.categories))
    left = [0.0] * len(content.categories)
    for series in content.series:
        values = [value or 0.0 for value in series.values]
        axes.barh(places, values, left=left, color=series.colour, edgecolor="white", lw=0.5, label=series.name)
        left = [before + value for before, value in zip(left, values, strict=True)]
    axes.set_yticks(places, content.categories)
    axes.set(xlabel=content.axis)
    axes.grid(False, axis="y")
    axes.invert_yaxis()
    if not any(content.categories):
        axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, max(left, default=0) * ROOM or 1)


def _side_by_side(content: Bars, axes: Any) -> None:
    count = len(content.categories)
    width = 0.8 / len(content.series)
    for number, series in enumerate(content.series):
        shift = (number - (len(content.series) - 1) / 2) * width
        known = [(place + shift, value) for place, value in enumerate(series.values) if value is not None]
        if known:
            axes.bar(*zip(*known, strict=True), width, color=series.colour, label=series.name)
    axes.set_xticks(range(count), content.categories, rotation=0 if count <= MOST_LEVEL else 90)
    axes.set(ylabel=content.axis, xlim=(-0.6, count - 0.4))
    most = max((value for series in content.series for value in series.values if value is not None), default=0)
    axes.set_ylim(0, most * ROOM or 1)
    axes.grid(False, axis="x")


def _draw_mesh(content: Mesh, axes: Any, metric: str) -> None:
    """Cores and links, each with a scale of its own; what is not known is grey."""
    if isinstance(content, BoardMap):
        points = _points(content, content.cores)
        axes.scatter(*content.places, s=points, marker="s", facecolors="none", edgecolors="#AAAAAA", linewidths=0.4)
    for marks in (content.cores, content.links):
        drawn = _draw_marks(marks, axes, metric, _points(content, marks))
        if drawn:
            _scale(drawn, axes, content.scale(marks, metric))
    of = "chip" if isinstance(content, BoardMap) else "router"
    axes.set(xlabel=f"{of} column", ylabel=f"{of} row")
    axes.set_aspect("equal")
    left, right, top, bottom = content.extent
    axes.set(xlim=(left, right), ylim=(bottom, top))
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def _points(content: Mesh, marks: Marks) -> float:
    """Area of a mark: chips of a board are tiles."""
    if not isinstance(content, BoardMap) or marks is content.links:
        return 26
    return min(1_000, (190 / max(content.columns, content.rows)) ** 2)


def _draw_marks(marks: Marks, axes: Any, metric: str, points: float) -> Any:
    """Marks in the colours of their values; returns one of them for the scale, None if nothing is known."""
    from matplotlib.colors import Normalize

    norm, drawn = Normalize(0, marks.most(metric)), None
    rows = list(zip(marks.x, marks.y, marks.pointing, marks.values[metric], strict=True))
    for way, marker in TRIANGLES.items():
        own = [row for row in rows if row[2] == way]
        for row_set, grey in (([r for r in own if r[3] is None], True), ([r for r in own if r[3] is not None], False)):
            if not row_set:
                continue
            x, y, _, colour = zip(*row_set, strict=True)
            style = {"color": COLOURS["barrier"]} if grey else {"c": colour, "norm": norm, "edgecolors": "#888888"}
            cloud = axes.scatter(x, y, s=points, marker=marker, linewidths=0.4, zorder=3, **style)
            drawn = drawn if grey else cloud
    return drawn


def _scale(drawn: Any, axes: Any, label: str) -> None:
    """A colour scale as vectors: matplotlib would make pixels of so many steps."""
    bar = axes.figure.colorbar(drawn, ax=axes, label=label, shrink=0.8)
    bar.solids.set_rasterized(False)
    bar.solids.set_edgecolor("face")
    bar.outline.set_visible(False)
