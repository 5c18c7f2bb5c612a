"""The figures of a report as Plotly descriptions (plain dicts), from the tables of a run."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np

from nsim.plots import COLOURS
from nsim.report.run_folder import Run

Figure = dict[str, Any]
MOST_POINTS = 2000  # of a line or a cloud; more are reduced, and the page says so
METRICS = {"synops": "synops", "busy": "busy", "blocked": "blocked", "queue": "longest queue", "energy": "energy"}
CORE_COLUMNS = {
    "barrier": {
        "busy": ("neurons_busy_ps", "send_busy_ps", "synapses_busy_ps"),
        "blocked": ("neurons_blocked_ps", "send_blocked_ps"),
        "queue": ("send_longest_queue", "synapses_longest_queue"),
    },
    "frame": {
        "busy": ("work_ps", "sweep_ps", "receive_ps", "send_ps"),
        "blocked": ("sweep_blocked_ps", "send_blocked_ps"),
        "queue": ("receive_longest_queue",),
    },
}


def digits(value: float) -> str:
    """Four significant digits, and all of those before the point: 11,870."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.4g}"


def figures(run: Run) -> list[dict[str, Any]]:
    """Sections of the page that a run of this discipline has: id, title, what it shows, and the figure."""
    makers = (_floorline, _mesh, _tiles, _load, _time, _path, _energy, _layer_energy)
    return [section for maker in makers if (section := maker(run)) is not None]


def _section(key: str, title: str, text: str, data: list[dict], **layout: Any) -> dict[str, Any]:
    return {"id": key, "title": title, "text": text, "figure": {"data": data, "layout": layout}}


def _axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}, "automargin": True, **more}


def _floorline(run: Run) -> dict[str, Any] | None:
    facts = run.facts["floorline"]
    if facts is None:
        return None
    if run.discipline == "barrier":
        table = run.tables["timesteps"]
        x, y = table["max_core_synops"].to_numpy(), table["duration_ps"].to_numpy() / 1e6
        keep, reduced = _extremes(y)
        x, y, names = x[keep], y[keep], [f"timestep {k + 1}" for k in keep.tolist()]
    else:
        x, y, names, reduced = np.array([facts["synops"]]), np.array([facts["time_ps"] / 1e6]), ["mean"], ""
    x = np.maximum(x, 1)
    span = np.geomspace(max(1.0, x.min() / 8), x.max() * 8, 60)
    line = np.maximum(span * facts["synop_ps"], facts["floor_ps"]) / 1e6
    points = {
        "type": "scatter",
        "mode": "markers",
        "name": f"simulated {facts['unit']}s",
        "x": x.tolist(),
        "y": y.tolist(),
        "text": names,
        "marker": {"color": COLOURS["traffic"], "size": 8},
        "hovertemplate": "%{text}<br>%{x:,} synops in the busiest core<br>%{y:.4g} us<extra></extra>",
    }
    bound = {
        "type": "scatter",
        "mode": "lines",
        "name": "floorline: no point lies below",
        "x": span.tolist(),
        "y": line.tolist(),
        "line": {"color": COLOURS["memory"], "width": 3},
        "hoverinfo": "skip",
    }
    text = (
        f"Slope: {facts['synop_ps'] / 1e3:.3g} ns per synop. Floor: {facts['floor_ps'] / 1e6:.3g} us. Points well "
        f"above both are held up by traffic. The floorline predicts {facts['predicted']}. {reduced}"
    )
    x_axis = _axis(f"synops of the busiest core per {facts['unit']}", type="log")
    y_axis = _axis(f"time per {facts['unit']} (us)", type="log")
    return _section("floorline", "Floorline", text, [bound, points], xaxis=x_axis, yaxis=y_axis)


def _extremes(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Places of the smallest and the largest value of every interval, and what was left out, in words."""
    if values.size <= MOST_POINTS:
        return np.arange(values.size), ""
    edges = np.linspace(0, values.size, MOST_POINTS // 2 + 1).astype(int)
    spans = [(low, values[low:high]) for low, high in pairwise(edges.tolist())]
    parts = [(low + int(part.argmin()), low + int(part.argmax())) for low, part in spans]
    keep = np.unique(np.array(parts))
    return keep, (
        f"Reduced: of {values.size:,} points the shortest and the longest of each of {edges.size - 1:,} intervals are "
        "drawn, so no peak is lost."
    )


def _core_values(run: Run) -> dict[str, list[float | None]]:
    cores = run.tables["cores"]
    columns = CORE_COLUMNS[run.discipline]
    values: dict[str, list[float | None]] = {"synops": cores["synops"].tolist()}
    values["busy"] = (cores[list(columns["busy"])].max(axis=1) / 1e6).tolist()
    values["blocked"] = (cores[list(columns["blocked"])].sum(axis=1) / 1e6).tolist()
    values["queue"] = cores[list(columns["queue"])].max(axis=1).tolist()
    if "known_dynamic_energy_fj" in cores:
        values["energy"] = (cores["known_dynamic_energy_fj"] / 1e6).tolist()
    return values


def _link_values(run: Run, links: Any) -> dict[str, list[float | None]]:
    kinds = ["east_west" if way in ("east", "west") else "north_south" for way in links["direction"]]
    costs = [run.facts["link_energy_fj"].get(kind) for kind in kinds]
    pairs = zip(costs, links["messages"].tolist(), strict=True)
    return {
        "synops": links["messages"].tolist(),
        "busy": (links["busy_ps"] / 1e6).tolist(),
        "blocked": (links["blocked_ps"] / 1e6).tolist(),
        "queue": links["longest_queue"].tolist(),
        "energy": [None if cost is None else cost * count / 1e6 for cost, count in pairs],
    }


UNITS = {"synops": "", "busy": " us", "blocked": " us", "queue": " messages", "energy": " nJ"}


def _mesh(run: Run) -> dict[str, Any] | None:
    if run.facts["mesh"] is None or run.discipline not in CORE_COLUMNS:
        return None
    cores, links = run.tables["cores"], run.tables["links"]
    links = links[links["kind"] == "mesh"]
    of_cores, of_links = _core_values(run), _link_values(run, links)
    rank = cores.groupby(["router_x", "router_y"]).cumcount()
    side = int(np.ceil(np.sqrt(rank.max() + 1)))
    step = 0.5 / max(1, side)
    x = cores["router_x"] + (rank % side - (side - 1) / 2) * step
    y = cores["router_y"] + (rank // side - (side - 1) / 2) * step
    names = cores["layers" if "layers" in cores else "layer"]
    labels = [f"core {core} ({name})" for core, name in zip(cores["core"], names, strict=True)]
    ways = [list(map(int, re.findall(r"\d+", name))) for name in links["link"]]
    hovers = {
        key: [
            [f"{label}: {_shown(key, value)}" for label, value in zip(labels, of_cores[key], strict=True)],
            [
                f"{name}: {_shown(key, value) if key != 'synops' else f'{value:,} messages'}"
                for name, value in zip(links["link"], of_links[key], strict=True)
            ],
        ]
        for key in of_cores
    }
    data = [
        _markers("cores", x.tolist(), y.tolist(), of_cores["synops"], hovers["synops"][0], "square", 0.46),
        _markers(
            "links",
            [a + 0.5 * (c - a) + 0.08 * (d - b) for a, b, c, d in ways],
            [b + 0.5 * (d - b) + 0.08 * (c - a) for a, b, c, d in ways],
            of_links["synops"],
            hovers["synops"][1],
            ["triangle-" + _pointing(way) for way in ways],
            0.98,
        ),
    ]
    section = _section(
        "mesh",
        "Cores and links",
        "Squares are used cores at their router, triangles are links between routers, pointing the way of their "
        "messages. Times are sums over the run. With synops, links show messages; energy without a known cost is grey.",
        data,
        xaxis=_axis("router column", dtick=1, zeroline=False),
        yaxis=_axis("router row", dtick=1, autorange="reversed", zeroline=False),
        showlegend=False,
    )
    section["switch"] = {
        key: {"name": METRICS[key], "colour": [of_cores[key], of_links[key]], "hover": hovers[key]} for key in of_cores
    }
    return section


def _pointing(way: list[int]) -> str:
    a, b, c, d = way
    return {(1, 0): "right", (-1, 0): "left", (0, 1): "down", (0, -1): "up"}.get((c - a, d - b), "right")


def _shown(key: str, value: float | None) -> str:
    return "cost not known" if value is None else f"{digits(value)}{UNITS[key]} {METRICS[key]}"


def _markers(name: str, x: list, y: list, colour: list, hover: list, symbol: Any, bar: float) -> dict[str, Any]:
    scale: dict[str, Any] = {
        "title": {"text": name, "side": "right"},
        "len": 0.48,
        "y": bar,
        "yanchor": "top",
        "thickness": 12,
    }
    marker: dict[str, Any] = {"symbol": symbol, "size": 13, "color": colour, "colorscale": "Cividis", "showscale": True}
    marker |= {"colorbar": scale, "line": {"width": 1, "color": "#888888"}}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": x,
        "y": y,
        "text": hover,
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
    }


def _tiles(run: Run) -> dict[str, Any] | None:
    if run.discipline != "tick":
        return None
    grid = run.tables["tiles"].pivot(index="row", columns="column", values="row_reads")
    heat: dict[str, Any] = {"type": "heatmap", "z": grid.to_numpy().tolist(), "colorscale": "Cividis"}
    heat["hovertemplate"] = "tile row %{y}, column %{x}<br>%{z:,} rows read<extra></extra>"
    text = "Rows of weights that spikes read in every neuron tile, over the run."
    y_axis = _axis("row of tiles", dtick=1, autorange="reversed")
    return _section("tiles", "Tiles", text, [heat], xaxis=_axis("column of tiles", dtick=1), yaxis=y_axis)


def _load(run: Run) -> dict[str, Any] | None:
    if run.discipline != "stream":
        return None
    cores = run.tables["cores"]
    names = [f"{layer} (core {core})" for layer, core in zip(cores["layer"], cores["core"], strict=True)]
    data = [
        _bar(stage, names, cores[f"{stage}_load"].tolist(), colour)
        for stage, colour in zip(("link", "synapses", "send"), ("#D55E00", "#0072B2", "#E69F00"), strict=True)
    ]
    text = (
        "Time that a station needs for all that is sent to it, over the duration of the input. Above 1 it is too slow."
    )
    return _section(
        "load", "Load of every core", text, data, barmode="group", yaxis=_axis("load"), xaxis=_axis("", type="category")
    )


def _bar(name: str, x: list, y: list, colour: str) -> dict[str, Any]:
    return {"type": "bar", "name": name, "x": x, "y": y, "marker": {"color": colour}}


def _time(run: Run) -> dict[str, Any] | None:
    name = {"barrier": "timesteps", "frame": "frames", "tick": "timesteps"}.get(run.discipline)
    if name is None or "duration_ps" not in run.tables[name]:
        return None
    unit = {"barrier": "timestep", "frame": "frame", "tick": "tick"}[run.discipline]
    values = run.tables[name]["duration_ps"].to_numpy() / 1e6
    keep, reduced = _extremes(values)
    line: dict[str, Any] = {"type": "scatter", "mode": "lines+markers" if keep.size < 60 else "lines", "name": unit}
    line |= {"x": (keep + 1).tolist(), "y": values[keep].tolist(), "line": {"color": COLOURS["memory"]}}
    line["hovertemplate"] = f"{unit} %{{x}}<br>%{{y:.4g}} us<extra></extra>"
    text = (
        f"Mean {digits(values.mean())} us, shortest {digits(values.min())} us, longest {digits(values.max())} us, of "
        f"{values.size:,}. {reduced}"
    )
    axes = {"xaxis": _axis(f"{unit} of the run"), "yaxis": _axis("us", rangemode="tozero")}
    return _section("time", f"Time per {unit}", text, [line], **axes)


def _path(run: Run) -> dict[str, Any] | None:
    totals = run.summary.get("critical_path_ps")
    if not totals:
        return None
    whole = max(1, sum(totals.values()))
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": state,
            "y": [""],
            "x": [100 * time / whole],
            "marker": {"color": COLOURS[state]},
            "hovertemplate": f"{state}: %{{x:.1f}} %, {digits(time / 1e6)} us<extra></extra>",
        }
        for state, time in totals.items()
    ]
    text = "What the time consists of, followed back from the last service: " + ", ".join(
        f"{100 * time / whole:.1f} % {state}" for state, time in totals.items()
    )
    return _section("path", "Critical path", f"{text}.", data, barmode="stack", xaxis=_axis("% of the time"))


def _energy(run: Run) -> dict[str, Any]:
    by_action = run.summary["energy_by_action_fj"]
    known = {name: energy for name, energy in by_action.items() if energy is not None}
    unknown = [name for name, energy in by_action.items() if energy is None]
    data = []
    if known:
        data.append(_bar("energy", list(known), [energy / 1e9 for energy in known.values()], COLOURS["memory"]))
    text = f"Sum over the run of the known terms: {digits(sum(known.values()) / 1e9)} uJ."
    if unknown:
        text += f" Not known, and not in the sum (this is not zero): {', '.join(unknown)}."
        data.append(_bar("cost not known", unknown, [0] * len(unknown), COLOURS["barrier"]))
        data[-1] |= {"text": ["not known"] * len(unknown), "textposition": "outside"}
    axes = {"xaxis": _axis("", type="category"), "yaxis": _axis("uJ", rangemode="tozero")}
    return _section("energy", "Energy by action", text, data, **axes)


def _layer_energy(run: Run) -> dict[str, Any] | None:
    layers = run.tables.get("layers")
    if layers is None or "known_dynamic_energy_fj" not in layers:
        return None
    values = (layers["known_dynamic_energy_fj"] / 1e9).tolist()
    text = "Dynamic energy of the known terms that a layer's cores spend on it; static power and links are left out."
    axes = {"xaxis": _axis("", type="category"), "yaxis": _axis("uJ", rangemode="tozero")}
    bars = [_bar("energy", layers["layer"].tolist(), values, COLOURS["compute"])]
    return _section("layer-energy", "Energy by layer", text, bars, **axes)
