"""The figures of a report, drawn with matplotlib as vectors: files for papers, and what svg.py puts into pages.

The same run gives the same bytes. The style is that of figures.mplstyle, and is set for these figures only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import singledispatch
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import Any

from nsim.errors import InputError, OutputError, require
from nsim.mapping.tiles.fabric import NT
from nsim.report.content import (
    Bars,
    BoardMap,
    Boxes,
    Content,
    Floorline,
    Grid,
    Marks,
    Mesh,
    Points,
    Ports,
    Series,
    Trace,
    digits,
)
from nsim.report.plots import ALARM, COLOURS, FORMATS, draw_time, named, new_figure, plain, plain_log, save_figure
from nsim.report.units import tick
from nsim.result.pictures import BINS

FOLDER = "figures"  # within that of a run
STYLE = Path(__file__).with_name("figures.mplstyle")
TRIANGLES = {"right": ">", "left": "<", "up": "^", "down": "v", "": "s"}  # by where they point: squares nowhere
WIDTH = 5.2  # inches
CELL_POINTS = 33.0  # from one cell of a grid of tiles to the next
SERIES = [COLOURS[name] for name in ("memory", "compute", "traffic", "management", "bound", "barrier")]
SHADES = 32  # of a colour scale: each is a rectangle of its own
ROW_INCHES = 0.26  # of a horizontal bar
LETTERS = 15  # of a text below a figure, an inch
LETTER_INCHES = 0.07  # at most, on average
KEY_INCHES = 0.45  # of a legend, with the room beside it
ROOM = 1.06  # above the highest value
MOST_TICKS = 6  # of a horizontal axis of numbers, less one
MOST_LETTERS = 60  # of the names below upright bars; more would fall on each other


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
    with drawing():
        for name, figure in ((name, made) for each in contents for name, made in figures_of(each)):
            for each in formats:
                written.append(folder / f"{name}.{each}")
                save_figure(figure, written[-1])
    return written


def write_figure(contents: Sequence[Content], path: Path, title: str = "") -> None:
    """Write several figures as one, below each other; with a title above the words of each stand below."""
    with drawing():
        figure = _drawn(contents)
        if title:
            below = "\n".join(fill(content.text, int(figure.get_figwidth() * LETTERS)) for content in contents)
            figure.suptitle(title, fontsize=10)
            figure.supxlabel(below, fontsize=8.5)
        save_figure(figure, path)


@contextmanager
def drawing() -> Iterator[None]:
    """The style, for as long as figures are made and written."""
    require("matplotlib", "a figure", OutputError)
    from matplotlib import style  # an extra, and start-up

    with style.context(STYLE):
        yield


def figures_of(content: Content) -> Iterator[tuple[str, Any]]:
    """A figure of a content, and its name; of a mesh one for each metric."""
    if isinstance(content, Mesh):
        several = len(content.metrics) > 1
        for metric in content.metrics:
            yield f"{content.key}-{metric}" if several else content.key, mesh_figure(content, metric)
    else:
        yield content.key, _drawn([content])


def _drawn(contents: Sequence[Content]) -> Any:
    """A figure of these contents below each other."""
    heights = [_inches(content) for content in contents]
    figure = new_figure(max(WIDTH, *(_wide(content) for content in contents)), sum(heights))
    axes = figure.subplots(len(contents), 1, squeeze=False, height_ratios=heights)[:, 0]
    for content, own in zip(contents, axes, strict=True):
        _draw(content, own)
    return figure


def mesh_figure(content: Mesh, metric: str) -> Any:
    """A figure of one metric of cores and links."""
    left, right, top, bottom = content.extent
    plot = WIDTH - (1.9 if metric == "layer" else 2.1)  # without axis and scales
    figure = new_figure(WIDTH, min(4.6, max(2.6, 1.0 + plot * (bottom - top) / (right - left))))
    _draw_mesh(content, figure.subplots(), metric)
    return figure


def _inches(content: Content) -> float:
    """How high a figure is."""
    if isinstance(content, Bars) and content.horizontal:
        return 1.0 + ROW_INCHES * len(content.categories)
    if isinstance(content, Boxes) and content.rows:
        return 1.0 + ROW_INCHES * len(content.rows)
    if isinstance(content, Ports):
        return 0.8 + _wide(content) * (max(content.cells.y) + 1.2) / (max(content.cells.x) + 1.2)
    if isinstance(content, Bars) and not content.known:
        return 1.8
    return 4.8 if isinstance(content, Floorline) else 3.4


def _wide(content: Content) -> float:
    """How wide a figure must be: room for a number at each line of a grid."""
    return CELL_POINTS / 72 * (max(content.cells.x) + 1.2) if isinstance(content, Ports) else 0.0


def new_axes() -> Any:
    """Axes of a new figure, which a notebook shows."""
    from matplotlib import pyplot

    with drawing():
        return pyplot.subplots(layout="constrained")[1]


def draw(content: Content, axes: Any, metric: str = "") -> None:
    """Draw a content in the figures' style into axes that there are; metric: of a mesh."""
    with drawing():
        if isinstance(content, Mesh):
            _draw_mesh(content, axes, metric)
        else:
            _draw(content, axes)


@singledispatch
def _draw(content: Content, axes: Any) -> None:
    raise TypeError(f"no figure for {type(content).__name__}")


@_draw.register
def _(content: Floorline, axes: Any) -> None:
    draw_time(axes, content.points, content.unit, joined=False, names=content.names)


@_draw.register
def _(content: Grid, axes: Any) -> None:
    rows, columns = len(content.counts), len(content.counts[0])
    most = max(map(max, content.counts)) or 1
    heat = axes.pcolormesh(content.counts, vmin=0, vmax=most, cmap=_shades())  # one rectangle for each tile
    cells = [(row, column, count) for row, own in enumerate(content.counts) for column, count in enumerate(own)]
    named(heat, [f"tile row {row}, column {column}: {count:,} {content.label}" for row, column, count in cells])
    axes.set(xticks=[k + 0.5 for k in range(columns)], yticks=[k + 0.5 for k in range(rows)])
    axes.set(xticklabels=range(columns), yticklabels=range(rows), xlabel="column of tiles", ylabel="row of tiles")
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.grid(False)
    _scale(heat, axes, content.label, most)


@_draw.register
def _(content: Trace, axes: Any) -> None:
    marker = {} if len(content.numbers) < 60 else {"mfc": "none", "mec": "none"}  # only for a pointer
    (line,) = axes.plot(content.numbers, content.times_us, marker="o", ms=4, color=COLOURS["memory"], **marker)
    pairs = zip(content.numbers, content.times_us, strict=True)
    named(line, [f"{content.unit} {number}: {time_us:.4g} us" for number, time_us in pairs])
    axes.set(xlabel=f"{content.unit} of the run", ylabel=f"time per {content.unit} (us)")
    axes.set_ylim(0, max(content.times_us) * ROOM or 1)
    plain(axes.yaxis)
    axes.xaxis.get_major_locator().set_params(integer=True)
    plain(axes.xaxis)


@_draw.register
def _(content: Boxes, axes: Any) -> None:
    from matplotlib.collections import PolyCollection

    for colour, series in zip(cycle(SERIES), dict.fromkeys(content.series)):
        own = [k for k, name in enumerate(content.series) if name == series]
        corners = [
            [(x, y) for x, y in ((a, c), (b, c), (b, d), (a, d))] for a, b, c, d in (content.boxes[k] for k in own)
        ]
        edges = "white" if len(own) <= BINS else "face"  # of so many the edges would be all that is seen
        boxes = PolyCollection(corners, facecolors=colour, edgecolors=edges, linewidths=0.3, label=series)
        named(axes.add_collection(boxes), [content.names[k] for k in own])
    for style, (place, said) in zip(("-", "--"), content.lines, strict=False):
        axes.axvline(place, color="black", lw=1.2, ls=style, label=said)
    axes.autoscale_view()
    axes.set(xlabel=content.x_label, ylabel=content.y_label)
    if content.scaled:
        axes.set_xscale("log")
        plain_log(axes.xaxis)
    else:
        axes.locator_params(axis="x", nbins=MOST_TICKS)
        plain(axes.xaxis)
    if content.rows:
        axes.set_yticks(range(len(content.rows)), content.rows)
        axes.set_ylim(len(content.rows) - 0.5, -0.5)
    else:
        plain(axes.yaxis)
        axes.set_ylim(0)
    if content.lines or len(set(content.series)) > 1:
        handles = axes.lines if content.lines else None
        axes.legend(handles=handles, ncols=2 if content.lines else 4, loc="lower left", bbox_to_anchor=(0, 1))


@_draw.register
def _(content: Ports, axes: Any) -> None:
    cells, lines = content.cells, content.lines
    sizes = [CELL_POINTS**2 * (0.3 if kind == NT else 0.08) for kind in cells.values["kind"]]
    squares = axes.scatter(cells.x, cells.y, s=sizes, marker="s", color="#dddddd", ec="#888888", lw=0.4)
    named(squares, cells.names)
    for enough, colour in ((True, COLOURS["barrier"]), (False, ALARM)):
        own = [k for k, lacking in enumerate(content.lacking) if (lacking is None) == enough]
        cloud = axes.scatter(
            [lines.x[k] for k in own],
            [lines.y[k] for k in own],
            s=CELL_POINTS,
            color=colour,
            lw=0,
            zorder=3 if enough else 4,
        )
        cloud.set_paths(_triangles(lines.pointing[k] for k in own))
        named(cloud, [lines.names[k] for k in own])
    for x, y, way, lacking in zip(lines.x, lines.y, lines.pointing, content.lacking, strict=True):
        if lacking is not None:
            dx, dy = {"right": (0, 1), "left": (0, -1), "down": (-1, 0), "up": (1, 0)}[way]
            at = {"ha": ("right", "center", "left")[dx + 1], "va": ("bottom", "center", "top")[dy + 1]}
            axes.text(x + 0.1 * dx, y + 0.1 * dy, lacking, color=ALARM, fontsize=8.5, zorder=5, **at)
    axes.set(xlim=(-0.6, max(cells.x) + 0.6), ylim=(max(cells.y) + 0.6, -0.6), aspect="equal")
    axes.axis("off")


@_draw.register
def _(content: Points, axes: Any) -> None:
    line = {"drawstyle": "steps-post", "color": COLOURS["traffic"], "label": "not beaten in both", "ms": 5}
    points = {"ls": "", "color": COLOURS["barrier"], "label": "points", "ms": 4}
    for own, style in ((content.all, points), (content.joined, line)):
        (drawn,) = axes.plot(own["x"], own["y"], marker="o", **style)
        rows = zip(own["names"], own["x"], own["y"], strict=True)
        named(drawn, [f"{name}; {x:.4g} us, {y:.4g} uJ" for name, x, y in rows])
    axes.set(xscale="log", yscale="log", xlabel=content.x_label, ylabel=content.y_label)
    plain_log(axes.xaxis)
    plain_log(axes.yaxis)
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
            axes.annotate(" not known", (x, y), rotation=turned, color="#666666", **upright)
    if content.limit:
        limit, said = content.limit
        (axes.axvline if content.horizontal else axes.axhline)(limit, color=ALARM, lw=1.2, label=said)
    if len(content.series) > 1 or content.limit:
        _legend_above(content, axes)


def _legend_above(content: Bars, axes: Any) -> None:
    """A legend above the axes, of as many columns as there is room for beside the names of horizontal bars."""
    names = [series.name for series in content.series] + ([content.limit[1]] if content.limit else [])
    beside = max(map(len, content.categories)) * LETTER_INCHES if content.horizontal else 0.5
    columns = (WIDTH - beside) / (max(map(len, names)) * LETTER_INCHES + KEY_INCHES)
    axes.legend(ncols=max(1, int(columns)), loc="lower left", bbox_to_anchor=(0, 1))


def _stacked(content: Bars, axes: Any) -> None:
    places = range(len(content.categories))
    left = [0.0] * len(content.categories)
    for series in content.series:
        values = [value or 0.0 for value in series.values]
        style = {"color": series.colour, "edgecolor": "white", "lw": 0.5, "label": series.name}
        _name_bars(content, series, axes.barh(places, values, left=left, **style), places)
        left = [before + value for before, value in zip(left, values, strict=True)]
    axes.set_yticks(places, content.categories)
    axes.set(xlabel=content.axis)
    plain(axes.xaxis)
    axes.grid(False, axis="y")
    axes.invert_yaxis()
    if not any(content.categories):
        axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, max(left, default=0) * ROOM or 1)
    axes.locator_params(axis="x", nbins=MOST_TICKS)


def _side_by_side(content: Bars, axes: Any) -> None:
    count = len(content.categories)
    width = 0.8 / len(content.series)
    for number, series in enumerate(content.series):
        shift = (number - (len(content.series) - 1) / 2) * width
        known = [place for place, value in enumerate(series.values) if value is not None]
        heights = [series.values[place] for place in known]
        if known:
            at = [place + shift for place in known]
            _name_bars(content, series, axes.bar(at, heights, width, color=series.colour, label=series.name), known)
    level = max(map(len, content.categories), default=0) * count <= MOST_LETTERS
    axes.set_xticks(range(count), content.categories, rotation=0 if level else 90)
    plain(axes.yaxis)
    axes.set(ylabel=content.axis, xlim=(-0.6, count - 0.4))
    most = max((value for series in content.series for value in series.values if value is not None), default=0)
    axes.set_ylim(0, most * ROOM or 1)
    if not content.known:
        axes.set_yticks([])
    axes.grid(False, axis="x")


def _name_bars(content: Bars, series: Series, bars: Any, places: Sequence[int]) -> None:
    for bar, place in zip(bars, places, strict=True):
        name = " ".join(filter(None, (content.categories[place].replace("\n", ", "), series.name)))
        named(bar, [f"{name}: {digits(series.values[place] or 0.0)} {content.unit}".rstrip()])


def _draw_mesh(content: Mesh, axes: Any, metric: str) -> None:
    """Cores and links, each with a scale of its own; what is not known is grey."""
    if isinstance(content, BoardMap):
        points = _points(content, content.cores)
        axes.scatter(*content.places, s=points, marker="s", facecolors="none", edgecolors="#AAAAAA", linewidths=0.4)
    if metric == "layer":
        _draw_layers(content, axes)
    else:
        for role, marks in (("cores", content.cores), ("links", content.links)):
            drawn = _draw_marks(content, marks, axes, marks.values[metric], marks.most(metric), role)
            if any(value is not None for value in marks.values[metric]):
                _scale(drawn, axes, content.scale(marks, metric), marks.most(metric), role)
    if content.busiest is not None:
        x, y = content.cores.x[content.busiest], content.cores.y[content.busiest]
        axes.plot(x, y, "o", ms=11, mfc="none", mec=ALARM, mew=1.4, zorder=4)
        axes.set_title(f"ring: busiest, {content.cores.names[content.busiest]}", loc="left")
    of = "chip" if isinstance(content, BoardMap) else "router"
    axes.set(xlabel=f"{of} column", ylabel=f"{of} row")
    axes.set_aspect("equal")
    left, right, top, bottom = content.extent
    axes.set(xlim=(left, right), ylim=(bottom, top))
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def _draw_layers(content: Mesh, axes: Any) -> None:
    """Cores in the colour of their layer, links in grey."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    layers = list(dict.fromkeys(content.layers))
    count = max(2, len(layers))
    colours = ListedColormap(
        [colormaps["viridis"](0.25 + 0.75 * k / (count - 1)) for k in range(count)]
    )  # none is black
    numbers = [layers.index(layer) + 0.5 for layer in content.layers]
    _draw_marks(content, content.links, axes, [None] * len(content.links.x), 1.0)
    cores = _draw_marks(content, content.cores, axes, numbers, len(layers), colours=colours)
    bar = _scale(cores, axes, "", len(layers))
    bar.set_ticks([k + 0.5 for k in range(len(layers))], labels=layers)
    bar.ax.invert_yaxis()


def _points(content: Mesh, marks: Marks) -> float:
    """Area of a mark: chips of a board are tiles."""
    if not isinstance(content, BoardMap) or marks is content.links:
        return 26
    return min(1_000, (190 / max(content.columns, content.rows)) ** 2)


def _draw_marks(
    content: Mesh,
    marks: Marks,
    axes: Any,
    values: Sequence[float | None],
    most: float,
    role: str = "",
    colours: Any = None,
) -> Any:
    """Marks in the colours of their values, grey where there is none."""
    known = [float("nan") if value is None else value for value in values]
    style = {"c": known, "vmin": 0, "vmax": most, "cmap": colours or _shades(), "plotnonfinite": True}
    cloud = axes.scatter(marks.x, marks.y, s=_points(content, marks), ec="#888888", lw=0.4, zorder=3, **style)
    cloud.set_paths(_triangles(marks.pointing))
    named(cloud, content.titles(marks), role)
    return cloud


def _triangles(ways: Iterable[str]) -> list[Any]:
    """Shapes of marks by where they point."""
    from matplotlib.markers import MarkerStyle

    shapes = [MarkerStyle(TRIANGLES[way]) for way in ways]
    return [shape.get_path().transformed(shape.get_transform()) for shape in shapes]


def _shades() -> Any:
    """The colour map of scales; grey is what is not known."""
    from matplotlib import colormaps

    return colormaps["cividis"].resampled(SHADES).with_extremes(bad=COLOURS["barrier"])


def shades() -> list[str]:
    """Its colours from the least on, and grey."""
    from matplotlib.colors import to_hex

    return [*(to_hex(_shades()(number)) for number in range(SHADES)), COLOURS["barrier"]]


def _scale(drawn: Any, axes: Any, label: str, most: float, role: str = "") -> Any:
    """A colour scale as vectors, from 0: matplotlib would make pixels of so many steps."""
    bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.8, ticks=[0, most / 2, most])
    bar.set_ticklabels(scale_ticks(most))
    bar.set_label(label)
    named(bar.ax, [], f"{role}-scale" if role else "")
    bar.solids.set_rasterized(False)
    bar.solids.set_edgecolor("face")
    bar.outline.set_visible(False)
    return bar


def scale_ticks(most: float) -> list[str]:
    """What stands at the ticks of a colour scale, from below."""
    return [tick(float(f"{part * most:.3g}")) for part in (0, 0.5, 1)]
