"""Figures, drawn with matplotlib: the floorline plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nsim.errors import OutputError
from nsim.result.folder import MARK, check_replaceable
from nsim.result.limits.bounds import Workload

# Okabe and Ito 2008: distinguishable with any colour vision
NOT_RECORDED = "not recorded"  # in place of a state
COLOURS = {"memory": "#0072B2", "compute": "#E69F00", "traffic": "#D55E00", NOT_RECORDED: "#CC79A7"}
COLOURS |= dict.fromkeys(("barrier", "input", "programming"), "#999999") | {"management": "#56B4E9", "bound": "#009E73"}
NUMBERED = 12  # of more points neither labels nor order can be read
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


def draw_floorline(
    points: Sequence[Workload], path: str | Path, title: str, static_mw: float | None = None, unit: str = "timestep"
) -> None:
    """Write the floorline plot: max synops per core against time, and against energy where it is known.

    Slope and floor are the lowest of all points, so that no point can lie below them. Points are joined in their order,
    the trajectory of an optimisation, and numbered; their labels stand below.
    static_mw   draws the energy of static power alone at the floorline's time
    unit        what a point stands for: a timestep, a frame or a stream
    """
    from matplotlib.figure import Figure

    with_energy = all(point.energy_fj is not None for point in points)
    figure = Figure(figsize=(11 if with_energy else 6.4, 5.2), layout="constrained")
    axes = figure.subplots(1, 2 if with_energy else 1, squeeze=False)[0]
    figure.suptitle(title)
    draw_time(axes[0], points, unit)
    if with_energy:
        _draw_energy(axes[1], points, static_mw, unit)
    if 1 < len(points) <= NUMBERED:
        figure.supxlabel("\n".join(f"{number}  {point.label}" for number, point in enumerate(points, 1)), fontsize=8)
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


def draw_time(axes: Any, points: Sequence[Workload], unit: str = "timestep", joined: bool = True) -> None:
    """The floorline of these workloads, and they themselves, into existing axes.

    joined   number them and join them in their order, if they are few
    """
    x, slope_us, floor_us = floorline_of(points)
    line = np.maximum(slope_us * x, floor_us)
    times = [point.time_ps / 1e6 for point in points]
    low, high = min(line[0], *times) / 6, max(line[-1], *times) * 2
    axes.plot(x, line, color="black", lw=1.8)
    axes.fill_between(x, line, low, color="black", alpha=0.06, lw=0)
    _draw_points(axes, points, times, joined)
    own = [(max(p.max_synops, 1.0), max(p.synop_ps * p.max_synops, p.floor_ps) / 1e6) for p in points]
    higher = [(synops, bound_us) for synops, bound_us in own if bound_us > 1.1 * max(slope_us * synops, floor_us)]
    if higher:
        label = "slope or floor of one point alone"
        axes.plot(*zip(*higher, strict=True), "_", color="black", ms=9, label=label, zorder=2)
    note = {"textcoords": "offset points", "fontsize": 8}
    if floor_us:
        axes.annotate(f"floor: {FLOORS[unit]}", (x[0], floor_us), (4, -12), **note)
    right = x[-1] / 1.6
    label = f"slope: {slope_us * 1e3:.2g} ns per synop"
    axes.annotate(label, (right, slope_us * right), (-8, 0), ha="right", va="center", **note)
    above = f"above both{', and above its own' if higher else ''}: {ABOVE[unit]}"
    axes.text(0.03, 0.96, above, transform=axes.transAxes, fontsize=8, va="top")
    axes.text(0.03, 0.04, f"shorter than any {unit} can be", transform=axes.transAxes, fontsize=8)
    axes.set(xscale="log", yscale="log", xlim=(x[0], x[-1]), ylim=(low, high))
    axes.set(xlabel=f"synops of the busiest core per {unit}", ylabel=f"time per {unit} (us)")
    axes.legend(loc="lower right", fontsize=8)


def _draw_energy(axes: Any, points: Sequence[Workload], static_mw: float | None, unit: str) -> None:
    x, slope_us, floor_us = floorline_of(points)
    if static_mw:
        static_uj = np.maximum(slope_us * x, floor_us) * static_mw * 1e-3
        axes.plot(x, static_uj, color="black", lw=1, ls="--", label="static power alone, at the floorline")
    _draw_points(axes, points, [(point.energy_fj or 0.0) / 1e9 for point in points])
    axes.set(xscale="log", yscale="log", xlim=(x[0], x[-1]))
    axes.set(xlabel=f"synops of the busiest core per {unit}", ylabel=f"energy per {unit} (uJ)")
    axes.legend(loc="lower right", fontsize=8)


def _draw_points(axes: Any, points: Sequence[Workload], values: Sequence[float], joined: bool = True) -> None:
    """The workloads by simulated state, joined in order."""
    synops = [max(point.max_synops, 1.0) for point in points]
    if joined and 1 < len(points) <= NUMBERED:
        axes.plot(synops, values, color="grey", lw=0.8, ls=":", zorder=2)
        alike: dict[tuple[float, float], list[int]] = {}  # points that fall on each other share a label
        for number, place in enumerate(zip(synops, values, strict=True), 1):
            near = next((other for other in alike if np.allclose(other, place, rtol=0.02)), place)
            alike.setdefault(near, []).append(number)
        for place, numbers in alike.items():
            label = ", ".join(map(str, numbers))
            axes.annotate(label, place, (6, 5), textcoords="offset points", fontsize=9)
    for state in dict.fromkeys(point.state for point in points):
        own = [number for number, point in enumerate(points) if point.state == state]
        style = {"ls": "", "marker": MARKERS[state], "color": COLOURS[state], "ms": 8, "mec": "white", "zorder": 3}
        label = f"simulated: {state_label(state)}"
        axes.plot([synops[k] for k in own], [values[k] for k in own], label=label, **style)
