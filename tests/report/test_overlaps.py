"""Figures: no text covers another, and no legend or number covers a point or a line."""

import csv
import importlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from nsim.report import plots
from nsim.report.plots import draw_floorline, draw_time, number_points
from nsim.result.limits.bounds import Workload

EXPERIMENTS = Path(__file__).parents[2] / "benchmarks" / "experiments"
DRAWN = {"compute_bound": (11, 4.6), "traffic_bound": (16, 8.4)}


def boxes_of_texts(figure):
    """The texts of a figure that are seen, each with its box; those of a legend are covered by their legend."""
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    inside = {text for legend in legends for text in legend.findobj(Text)}
    axis_of = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    ticks = {text for axis in axis_of for text in axis.get_ticklabels(which="both")}
    ticks -= {tick.label1 for axis in axis_of for tick in axis._update_ticks()}  # those that are drawn
    hidden = inside | ticks
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text() and text not in hidden]
    return [(each, each.get_window_extent()) for each in [*texts, *legends]]


def overlapping(figure):
    """Pairs of texts that cover each other by more than a pixel, and points of lines under a text or legend."""
    figure.draw_without_rendering()
    boxes, found = boxes_of_texts(figure), []
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        if width > 1 and height > 1:
            found.append((one, other))
    for axes in figure.axes:
        for line in axes.lines:
            if line.get_transform() != axes.transData:
                continue
            at = axes.transData.transform(np.column_stack([line.get_xdata(), line.get_ydata()]))
            shown = at[[axes.get_window_extent().contains(*place) for place in at]]
            found += [(text, tuple(place)) for text, box in boxes for place in shown if box.contains(*place)]
    return found


def workload(label, synops, time_ps, state="memory", energy=1e9):
    return Workload(label, synops, time_ps, energy, 700.0, 1e6, state)


SEARCH = [
    workload("the partition to begin with", 180_000, 150e6, energy=104e9),
    workload("split conv1 over 27 cores, split conv2 over 7 cores", 90_000, 68e6, energy=75e9),
    workload("merge input onto 6 cores, merge conv0 onto 15 cores, " + "split conv3 over 49 cores, " * 2, 46_000, 36e6),
    workload("split input over 8 cores along columns", 35_000, 29e6, "compute", 61e9),
    workload("split conv0 over 26 cores", 45_000, 35e6, energy=64e9),
    workload("place greedily", 45_100, 35.2e6, energy=64.1e9),
]


@pytest.mark.parametrize("points", [SEARCH, SEARCH[:1], SEARCH[:2]])
@pytest.mark.parametrize("unit", ["timestep", "frame", "stream"])
def test_nothing_overlaps_on_a_floorline_plot(points, unit, tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, _: kept.append(figure))
    draw_floorline(points, tmp_path / "plot.png", "pilotnet on Intel Loihi 2: floorline", 200.0, unit)
    assert overlapping(kept[0]) == []
    if len(points) > 1:
        said = [text.get_text() for text in kept[0].axes[0].texts]
        assert sorted(int(number) for text in said for number in text.split(", ")) == list(range(1, len(points) + 1))


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_every_number_stands_once_beside_its_point(cells):
    """Points on a grid of tenths of the axes: labels cover nothing, equal points share one."""
    figure = Figure(figsize=(6, 5))
    axes = figure.subplots()
    axes.set(xlim=(-0.7, 9.7), ylim=(-0.7, 9.7))
    axes.plot(*zip(*cells, strict=True), "o", ms=8)
    number_points(axes, [(float(x), float(y)) for x, y in cells])
    assert sorted(int(k) for text in axes.texts for k in text.get_text().split(", ")) == list(range(1, len(cells) + 1))
    assert len(axes.texts) == len(set(cells))
    for text in axes.texts:
        first = int(text.get_text().split(", ")[0])
        assert text.xy == cells[first - 1]
        assert all(cells[int(k) - 1] == text.xy for k in text.get_text().split(", "))


def test_a_floorline_without_room_says_it_below():
    """Points high above the line and far to the right, as on a chip that works on frames."""
    rng = np.random.default_rng(0)
    points = [workload("", int(10 ** rng.uniform(2, 7)), 10 ** rng.uniform(9, 10)) for _ in range(40)]
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    draw_time(figure.subplots(), points, "frame")
    assert overlapping(figure) == []


def number(text):
    """A cell of a table as it was written."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"True": True, "False": False}.get(text, text)


@pytest.mark.parametrize("name", DRAWN)
def test_no_legend_covers_the_lines_of_an_experiment(name, monkeypatch):
    """Drawn again from the table that is kept beside the figure."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    with (EXPERIMENTS / f"{name}.csv").open(newline="") as file:
        rows = [{key: number(value) for key, value in row.items()} for row in csv.DictReader(file)]
    figure = Figure(figsize=DRAWN[name], layout="constrained")
    importlib.import_module(name).draw(figure, rows)
    assert overlapping(figure) == []
