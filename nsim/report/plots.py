"""Figures, drawn with matplotlib: the floorline plot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from nsim.errors import OutputError, counted, require
from nsim.report.units import tick
from nsim.result.folder import MARK, check_replaceable
from nsim.result.limits.bounds import Workload

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito 2008: distinguishable with any colour vision
NOT_RECORDED = "not recorded"  # in place of a state
COLOURS = {"memory": "#0072B2", "compute": "#E69F00", "traffic": "#D55E00", NOT_RECORDED: "#CC79A7"}
COLOURS |= dict.fromkeys(("barrier", "input", "programming"), "#999999") | {"management": "#56B4E9", "bound": "#009E73"}
ALARM = "#D00000"  # a limit, and what is beyond it
WIDE = 100  # times: from here on a logarithmic axis names powers of ten only
NUMBERED = 12  # of more points neither labels nor order can be read
MARKER_POINTS = 8  # width of a point
LABEL_POINTS = 38  # height of ticks and label of a horizontal axis
LEGEND_LETTERS = 52  # of a line of a legend
WAYS = ((1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0))  # from a point to its label
MARKERS = {"memory": "o", "compute": "s", "traffic": "^", NOT_RECORDED: "X"}
MARKERS |= dict.fromkeys(("barrier", "input", "programming"), "D") | {"management": "P"}

# By what a point stands for: what the floor is, and what lies above slope and floor
FLOORS = {
    "timestep": "neuron updates, barrier or management",
    "frame": "neuron updates along the layers, or programming",
    "stream": "duration of the input, or sweeps",
}
ABOVE = {
    "timestep": "message traffic",
    "frame": "other layers, or traffic",
    "stream": "message traffic",
}

FORMATS = (".png", ".pdf", ".svg")
METADATA: dict[str, dict[str, Any]] = {  # without a date, so that the same figure is the same bytes
    ".png": {"Software": MARK},
    ".pdf": {"Creator": MARK, "CreationDate": None},
    ".svg": {"Creator": MARK, "Date": None},
}


def state_label(state: str) -> str:
    """What a point of this state is called."""
    return f"{state}-bound" if state != NOT_RECORDED else "critical path not recorded"


def check_figure(path: Path, force: bool = False) -> None:
    """Refuse a figure that cannot be written, or would replace somebody else's, before anything is simulated."""
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"figure {path} has no format that can be drawn: end its name in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise OutputError(f"figure {path} is to go to a folder that does not exist: make {path.parent} first")
    check_replaceable(path, force)
    require("matplotlib", f"figure {path}", OutputError)


def named(artist: Any, titles: Sequence[str], role: str = "") -> None:
    """Say what a pointer on each mark of an artist shows, where a page holds the figure; role: what scripts find."""
    artist.titles, artist.role = list(titles), role


def plain(axis: Any) -> None:
    """An axis with numbers in full: 20,000."""
    axis.set_major_formatter(lambda value, _: tick(value))


def plain_log(axis: Any) -> None:
    """A logarithmic axis with numbers in full: 1, 2 and 5 of each decade, or 1 alone of many."""
    from matplotlib.ticker import LogLocator, NullFormatter  # start-up: as for all of matplotlib

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < WIDE * low else (1.0,)))
    plain(axis)
    axis.set_minor_formatter(NullFormatter())


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """An empty figure of so many inches; options: as matplotlib has them.

    raises   OutputError if matplotlib is missing
    """
    require("matplotlib", "a figure", OutputError)
    from matplotlib.figure import Figure  # an extra, and start-up

    return Figure(figsize=(width, height), **options)


def draw_floorline(
    points: Sequence[Workload], path: str | Path, title: str, static_mw: float | None = None, unit: str = "timestep"
) -> None:
    """Write the floorline plot: max synops per core against time, and against energy where it is known.

    Slope and floor are the lowest of all points, so that no point can lie below them. Points are joined in their order,
    the trajectory of an optimisation, and numbered; their labels stand below.
    static_mw   draws the energy of static power alone at the floorline's time
    unit        what a point stands for: a timestep, a frame or a stream
    """
    with_energy = all(point.energy_fj is not None for point in points)
    figure = new_figure(11 if with_energy else 6.4, 6.2, layout="constrained")
    axes = figure.subplots(1, 2 if with_energy else 1, squeeze=False)[0]
    figure.suptitle(title)
    draw_time(axes[0], points, unit)
    if with_energy:
        _draw_energy(axes[1], points, static_mw, unit)
    if 1 < len(points) <= NUMBERED:
        lines = [fill(f"{number}  {point.label}", 150) for number, point in enumerate(points, 1)]
        figure.supxlabel("\n".join(lines), fontsize=8, ha="left", x=0.02)
        figure.draw_without_rendering()  # from here on axes have their place
        synops = [max(point.max_synops, 1.0) for point in points]
        values = [point.time_ps / 1e6 for point in points], [(point.energy_fj or 0.0) / 1e9 for point in points]
        for own, heights in zip(axes, values, strict=False):
            number_points(own, list(zip(synops, heights, strict=True)))
    save_figure(figure, path)


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a figure whole or not at all; OutputError if it cannot be written."""
    try:
        figure.savefig(path, dpi=150, metadata=METADATA.get(Path(path).suffix.lower()))
    except OSError as error:
        if Path(path).is_file():
            Path(path).unlink()
        raise OutputError(f"cannot write figure {path} ({error.strerror or error}): give another file") from None


def floorline_of(points: Sequence[Workload]) -> tuple[np.ndarray, float, float]:
    """x over the plot's width, slope in us per synop, floor in us."""
    synops = [max(point.max_synops, 1.0) for point in points]
    wide = np.geomspace(min(synops) / 8, max(synops) * 8, 200)
    x = np.array([float(f"{value:.6g}") for value in wide])  # the last digits depend on the processor
    return x, min(point.synop_ps for point in points) / 1e6, min(point.floor_ps for point in points) / 1e6


def draw_time(
    axes: Any,
    points: Sequence[Workload],
    unit: str = "timestep",
    joined: bool = True,
    names: Sequence[str] = (),
) -> None:
    """The floorline of these workloads, and they themselves, into existing axes; what is what stands below them.

    joined   number them and join them in their order, if they are few
    names    of the points, for a pointer on a page
    """
    x, slope_us, floor_us = floorline_of(points)
    line = np.maximum(slope_us * x, floor_us)
    times = [point.time_ps / 1e6 for point in points]
    low, high = min(line[0], *times) / 6, max(line[-1], *times) * 2
    own = [(max(p.max_synops, 1.0), max(p.synop_ps * p.max_synops, p.floor_ps) / 1e6) for p in points]
    higher = [(synops, bound_us) for synops, bound_us in own if bound_us > 1.1 * max(slope_us * synops, floor_us)]
    floor = f"; floor: {FLOORS[unit]}" if floor_us else ""
    above = f"; above both{', and above its own' if higher else ''}: {ABOVE[unit]}"
    said = f"floorline: no {unit} is shorter. Slope: {slope_us * 1e3:.2g} ns per synop{floor}{above}"
    axes.plot(x, line, color="black", lw=1.8, label=fill(said, LEGEND_LETTERS))
    axes.fill_between(x, line, low, color="black", alpha=0.06, lw=0)
    if higher:
        label = "slope or floor of one point alone"
        axes.plot(*zip(*higher, strict=True), "_", color="black", ms=9, label=label, zorder=2)
    axes.set(xscale="log", yscale="log", xlim=(x[0], x[-1]), ylim=(low, high))
    axes.set(xlabel=f"synops of the busiest core per {unit}", ylabel=f"time per {unit} (us)")
    plain_log(axes.xaxis)
    plain_log(axes.yaxis)
    _draw_points(axes, points, times, joined, names)
    legend_below(axes)


def legend_below(axes: Any, columns: int = 1) -> None:
    """A legend below the axes and their label, where nothing is drawn."""
    from matplotlib.transforms import ScaledTranslation

    below = axes.transAxes + ScaledTranslation(0, -LABEL_POINTS / 72, axes.figure.dpi_scale_trans)
    place = {"loc": "upper left", "bbox_to_anchor": (0, 0), "bbox_transform": below, "borderaxespad": 0}
    axes.legend(fontsize=8.5, frameon=False, ncols=columns, **place)


def _draw_energy(axes: Any, points: Sequence[Workload], static_mw: float | None, unit: str) -> None:
    x, slope_us, floor_us = floorline_of(points)
    if static_mw:
        static_uj = np.maximum(slope_us * x, floor_us) * static_mw * 1e-3
        axes.plot(x, static_uj, color="black", lw=1, ls="--", label="static power alone, at the floorline")
    axes.set(xscale="log", yscale="log", xlim=(x[0], x[-1]))
    axes.set(xlabel=f"synops of the busiest core per {unit}", ylabel=f"energy per {unit} (uJ)")
    _draw_points(axes, points, [(point.energy_fj or 0.0) / 1e9 for point in points])
    legend_below(axes)


def _draw_points(
    axes: Any, points: Sequence[Workload], values: Sequence[float], joined: bool = True, names: Sequence[str] = ()
) -> None:
    """The workloads by simulated state, joined in order."""
    synops = [max(point.max_synops, 1.0) for point in points]
    if joined and 1 < len(points) <= NUMBERED:
        axes.plot(synops, values, color="grey", lw=0.8, ls=":", zorder=2)
    for state in dict.fromkeys(point.state for point in points):
        own = [number for number, point in enumerate(points) if point.state == state]
        style = {"ls": "", "marker": MARKERS[state], "color": COLOURS[state], "ms": MARKER_POINTS, "mec": "white"}
        label = f"simulated: {state_label(state)}"
        (cloud,) = axes.plot([synops[k] for k in own], [values[k] for k in own], label=label, zorder=3, **style)
        if names:
            said = [
                f"{counted(round(points[k].max_synops), 'synop')} in the busiest core, {values[k]:.4g} us" for k in own
            ]
            named(cloud, [f"{names[k]}, {state_label(state)}: {s}" for k, s in zip(own, said, strict=True)])


def number_points(axes: Any, places: Sequence[tuple[float, float]]) -> None:
    """Numbers beside points, from 1 on, where they cover no point, no line and no other number.

    Points that fall on each other share a label. To be called when the axes have their place and limits.
    """
    pixels = axes.figure.dpi / 72
    at = axes.transData.transform(np.asarray(places, np.float64))
    alike: dict[int, list[int]] = {}  # numbers by the first point of those that fall on each other
    for number, place in enumerate(at):
        near = next((k for k in alike if np.hypot(*(at[k] - place)) < MARKER_POINTS * pixels), number)
        alike.setdefault(near, []).append(number + 1)
    half = MARKER_POINTS * pixels / 2
    taken: list[Any] = [np.array([x - half, y - half, x + half, y + half]) for x, y in at]
    taken += [np.array([x - 1, y - 1, x + 1, y + 1]) for line in axes.lines for x, y in _along(axes, line)]
    frame = axes.get_window_extent().extents
    for first, numbers in alike.items():
        style = {"textcoords": "offset points", "fontsize": 9, "ha": "center", "va": "center"}
        text = axes.annotate(", ".join(map(str, numbers)), places[first], (0, 0), **style)
        size = text.get_window_extent()
        boxes = [_box(at[first], way, size.width, size.height, pixels) for way in WAYS]
        covered = [sum(_overlap(box, other) for other in taken) + _outside(box, frame) for box in boxes]
        best = boxes[int(np.argmin(covered))]
        x0, y0, x1, y1 = best
        text.set_position((((x0 + x1) / 2 - at[first][0]) / pixels, ((y0 + y1) / 2 - at[first][1]) / pixels))
        taken.append(best)


def _along(axes: Any, line: Any) -> Any:
    """Places on a line every few pixels, in pixels; none of lines that are markers only."""
    if line.get_linestyle() in ("None", "", " "):
        return ()
    corners = axes.transData.transform(np.column_stack([line.get_xdata(), line.get_ydata()]))
    return np.concatenate([np.linspace(a, b, 12) for a, b in pairwise(corners)])


def _box(at: Any, way: tuple[int, int], width: float, height: float, pixels: float) -> Any:
    """Where a label stands that lies this way of a point: left, low, right and high in pixels."""
    away = (MARKER_POINTS / 2 + 2) * pixels
    x = at[0] + way[0] * (away + width / 2)
    y = at[1] + way[1] * (away + height / 2)
    return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def _overlap(one: Any, other: Any) -> float:
    """Common area of two boxes."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    return float(sides.prod()) if (sides > 0).all() else 0.0


def _outside(box: Any, frame: Any) -> float:
    """Area of a box outside a frame."""
    return float((box[2:] - box[:2]).prod()) - _overlap(box, frame)
