"""The figures of a report as Plotly descriptions (plain dicts)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from math import ceil, floor, log10
from typing import Any

from nsim.errors import counted
from nsim.report.content import (
    METRICS,
    Bars,
    BoardMap,
    Content,
    Floorline,
    Grid,
    Marks,
    Mesh,
    Points,
    Trace,
    digits,
    shown,
)
from nsim.report.plots import COLOURS, MARKERS, floorline_of, state_label

SYMBOLS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "X": "x",
    "P": "cross",
}  # matplotlib's, as Plotly's
MOST_TILE, MAP_PIXELS = 80, 290  # side of a chip's tile, and of all of them, in pixels
ROW_REM = 2.1  # height of a horizontal bar, in the page's rem
LONGEST_LEVEL = 12  # characters of the name of an upright bar, beside others
MOST_UPRIGHT = 8  # of more bars the names would fall on each other


def sections(contents: Sequence[Content]) -> list[dict[str, Any]]:
    """Sections of a page: id, title, text, height in rem, the figure, and what the mesh can be switched to."""
    return [
        {"id": each.key, "title": each.title, "text": each.text, "height": _height(each), **_drawn(each)}
        for each in contents
    ]


def _height(content: Content) -> float:
    if isinstance(content, Bars) and content.horizontal:
        return 7 + ROW_REM * len(content.categories)
    return 32 if isinstance(content, Mesh) else 24


def _figure(data: list[dict], **layout: Any) -> dict[str, Any]:
    return {"figure": {"data": data, "layout": {"showlegend": len(data) > 1} | layout}}


def _axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}, "automargin": True, **more}


@singledispatch
def _drawn(content: Content) -> dict[str, Any]:
    raise TypeError(f"no figure for {type(content).__name__}")


@_drawn.register
def _(content: Floorline) -> dict[str, Any]:
    x, slope_us, floor_us = floorline_of(content.points)
    bound = {
        "type": "scatter",
        "mode": "lines",
        "name": f"floorline: no {content.unit} is shorter",
        "x": x.tolist(),
        "y": [max(slope_us * each, floor_us) for each in x.tolist()],
        "line": {"color": COLOURS["bound"], "width": 3},
        "hoverinfo": "skip",
    }
    clouds = [_cloud(content, state) for state in dict.fromkeys(point.state for point in content.points)]
    x_axis = _axis(f"synops of the busiest core per {content.unit}", **_log_ticks(x.tolist()))
    times = [*bound["y"], *(point.time_ps / 1e6 for point in content.points)]
    y_axis = _axis(f"time per {content.unit} (us)", **_log_ticks(times))
    return _figure([bound, *clouds], xaxis=x_axis, yaxis=y_axis)


def _log_ticks(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis over these values, with whole numbers at its ticks: 1, 2, 5, or only 1 of many decades."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = log10(min(positive)), log10(max(positive))
    room = 0.04 * (high - low) + 0.02
    steps = (1, 2, 5) if high - low < 3 else (1,)
    ticks = [step * 10.0**decade for decade in range(floor(low), ceil(high) + 1) for step in steps]
    axis = {"type": "log", "range": [low - room, high + room], "tickvals": ticks}
    return axis | {"ticktext": [digits(tick) for tick in ticks]}


def _cloud(content: Floorline, state: str) -> dict[str, Any]:
    """The points of one state."""
    own = [(name, p) for name, p in zip(content.names, content.points, strict=True) if p.state == state]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": state_label(state),
        "x": [max(point.max_synops, 1.0) for _, point in own],
        "y": [point.time_ps / 1e6 for _, point in own],
        "text": [f"{name}, {state_label(state)}" for name, _ in own],
        "marker": {"color": COLOURS[state], "symbol": SYMBOLS[MARKERS[state]], "size": 9},
        "hovertemplate": "%{text}<br>%{x:,} synops in the busiest core<br>%{y:.4g} us<extra></extra>",
    }


@_drawn.register
def _(content: Mesh) -> dict[str, Any]:
    switch: dict[str, dict[str, Any]] = {
        metric: {
            "name": METRICS[metric],
            "colour": [content.cores.values[metric], content.links.values[metric]],
            "scale": [content.scale(content.cores, metric), content.scale(content.links, metric)],
            "most": [content.cores.most(metric), content.links.most(metric)],
            "hover": [_hover(content.cores, metric), _hover(content.links, metric, links=True)],
        }
        for metric in content.cores.values
    }
    first = switch["synops"]
    data = [
        _markers(first["scale"][0], content.cores, "synops", first["hover"][0], 0.46),
        _markers(first["scale"][1], content.links, "synops", first["hover"][1], 0.98),
    ]
    left, right, top, bottom = content.extent
    x_axis = _axis("router column", dtick=1, zeroline=False, range=[left, right])
    y_axis = _axis("router row", dtick=1, zeroline=False, range=[bottom, top])
    return _figure(data, xaxis=x_axis, yaxis=y_axis, showlegend=False) | {"switch": switch}


@_drawn.register
def _(content: BoardMap) -> dict[str, Any]:
    side = min(MOST_TILE, MAP_PIXELS / max(content.columns, content.rows))
    data = [
        _markers(
            content.scale(content.cores, "synops"), content.cores, "synops", _hover(content.cores, "synops"), 0.46
        ),
        _markers(
            content.scale(content.links, "synops"), content.links, "synops", _hover(content.links, "synops", True), 0.98
        ),
    ]
    data[0]["marker"]["size"], data[1]["marker"]["size"] = side, max(4, min(16, side / 4))
    x, y = content.places
    empty = {"symbol": "square-open", "size": side, "color": "#aaaaaa"}
    data.insert(0, {"type": "scatter", "mode": "markers", "x": x, "y": y, "marker": empty, "hoverinfo": "skip"})
    left, right, top, bottom = content.extent
    x_axis = _axis("chip column", dtick=max(1, content.columns // 16), zeroline=False, range=[left, right])
    y_axis = _axis("chip row", dtick=max(1, content.rows // 16), zeroline=False, range=[bottom, top])
    return _figure(data, xaxis=x_axis, yaxis=y_axis, showlegend=False)


def _hover(marks: Marks, metric: str, links: bool = False) -> list[str]:
    """What a pointer on each of them shows."""
    words = [shown(metric, value) for value in marks.values[metric]]
    if links and metric == "synops":
        words = [counted(int(value or 0), "message") for value in marks.values[metric]]
    return [f"{name}: {said}" for name, said in zip(marks.names, words, strict=True)]


def _markers(name: str, marks: Marks, metric: str, hover: list[str], top: float) -> dict[str, Any]:
    """Marks with a colour scale of their own, which hangs down from `top`."""
    bar = {"title": {"text": name, "side": "right"}, "len": 0.48, "y": top, "yanchor": "top", "thickness": 12}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": marks.x,
        "y": marks.y,
        "text": hover,
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "symbol": [f"triangle-{way}" if way else "square" for way in marks.pointing],
            "size": 13,
            "color": marks.values[metric],
            "cmin": 0,
            "cmax": marks.most(metric),
            "colorscale": "Cividis",
            "showscale": True,
            "colorbar": bar,
            "line": {"width": 1, "color": "#888888"},
        },
    }


@_drawn.register
def _(content: Grid) -> dict[str, Any]:
    heat: dict[str, Any] = {"type": "heatmap", "z": content.counts, "colorscale": "Cividis", "zmin": 0}
    heat["zmax"] = max(map(max, content.counts)) or 1
    heat["colorbar"] = {"title": {"text": content.label, "side": "right"}}
    heat["hovertemplate"] = f"tile row %{{y}}, column %{{x}}<br>%{{z:,}} {content.label}<extra></extra>"
    y_axis = _axis("row of tiles", dtick=1, autorange="reversed")
    return _figure([heat], xaxis=_axis("column of tiles", dtick=1), yaxis=y_axis)


@_drawn.register
def _(content: Trace) -> dict[str, Any]:
    line: dict[str, Any] = {"type": "scatter", "name": content.unit, "line": {"color": COLOURS["memory"]}}
    line["mode"] = "lines+markers" if len(content.numbers) < 60 else "lines"
    line |= {"x": content.numbers, "y": content.times_us}
    line["hovertemplate"] = f"{content.unit} %{{x}}<br>%{{y:.4g}} us<extra></extra>"
    ticks = {"dtick": 1} if len(content.numbers) <= 12 else {}
    return _figure(
        [line],
        xaxis=_axis(f"{content.unit} of the run", **ticks),
        yaxis=_axis(f"time per {content.unit} (us)", rangemode="tozero"),
    )


@_drawn.register
def _(content: Points) -> dict[str, Any]:
    def trace(own: Any, name: str, mode: str, colour: str, size: int) -> dict[str, Any]:
        style = {"mode": mode, "marker": {"color": colour, "size": size}, "line": {"color": colour, "shape": "hv"}}
        shown = {"text": own["names"], "hovertemplate": "%{text}<br>%{x:.4g} us, %{y:.4g} uJ<extra></extra>"}
        return {"type": "scatter", "name": name, "x": own["x"], "y": own["y"], **style, **shown}

    data = [
        trace(content.all, "points", "markers", COLOURS["barrier"], 7),
        trace(content.joined, "not beaten in both", "lines+markers", COLOURS["traffic"], 9),
    ]
    x_axis = _axis(content.x_label, **_log_ticks(content.all["x"] + content.joined["x"]))
    y_axis = _axis(content.y_label, **_log_ticks(content.all["y"] + content.joined["y"]))
    return _figure(data, xaxis=x_axis, yaxis=y_axis)


@_drawn.register
def _(content: Bars) -> dict[str, Any]:
    values = _axis(content.axis, rangemode="tozero")
    categories = _axis("", type="category", tickangle=_angle(content.categories))
    data = [trace for series in content.series if (trace := _bar(content, series))["x"]]
    if unknown := _unknown(content):
        data.append(unknown)
    if content.horizontal:
        return _figure(
            data, barmode="stack", xaxis=values, yaxis=categories | {"autorange": "reversed", "tickangle": 0}
        )
    return _figure(data, barmode="group", xaxis=categories, yaxis=values)


def _angle(names: Sequence[str]) -> int | str:
    """How the names of upright bars are turned, so that they do not fall on each other, on a phone either."""
    if len(names) > MOST_UPRIGHT:
        return -90
    return 0 if max(map(len, names), default=0) <= LONGEST_LEVEL else "auto"


def _bar(content: Bars, series: Any) -> dict[str, Any]:
    """The bars of one series that are known."""
    known = [(name, value) for name, value in zip(content.categories, series.values, strict=True) if value is not None]
    names, values = [name for name, _ in known], [value for _, value in known]
    trace: dict[str, Any] = {"type": "bar", "name": series.name, "marker": {"color": series.colour}}
    trace |= {"x": values, "y": names, "orientation": "h"} if content.horizontal else {"x": names, "y": values}
    trace["hovertext"] = [f"{name} {series.name}: {digits(value)} {content.unit}".strip() for name, value in known]
    return trace | {"hovertemplate": "%{hovertext}<extra></extra>"}


def _unknown(content: Bars) -> dict[str, Any] | None:
    """Words where a category has no known value at all, so that it is not taken for zero."""
    columns = zip(content.categories, *(series.values for series in content.series), strict=True)
    names = [name for name, *values in columns if all(value is None for value in values)]
    if not names:
        return None
    zeros, trace = [0] * len(names), {"type": "bar", "name": "not known", "marker": {"color": COLOURS["barrier"]}}
    trace |= {"x": zeros, "y": names, "orientation": "h"} if content.horizontal else {"x": names, "y": zeros}
    return trace | {"text": ["not known"] * len(names), "textposition": "outside", "hoverinfo": "skip"}
