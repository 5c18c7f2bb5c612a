"""The figures of a run, and those of several compared: what they show, from tables and facts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from nsim.errors import counted
from nsim.machine.path import STATE_OF_KIND
from nsim.mapping.tiles.fabric import Fabric
from nsim.report.content import (
    Bars,
    BoardMap,
    Boxes,
    Content,
    Floorline,
    Grid,
    Marks,
    Mesh,
    Ports,
    Series,
    Trace,
    digits,
)
from nsim.report.plots import ABOVE, COLOURS, FLOORS, NOT_RECORDED
from nsim.report.units import plural, seconds
from nsim.result.limits.bounds import Workload
from nsim.result.run_folder import Run

MOST_POINTS = 1000  # of a line or a cloud; more are reduced, and the text says so
MOST_MARKS = 2_000  # of the cores and links of a board
LANE = 0.11  # from the middle between two cells to the triangle of each direction
FITS = "No port is too narrow."
MOST_STATIONS = 10  # of a critical path
STAGES = {"link": "link into it", "synapses": "synaptic operations", "send": "sending"}  # of a core on a stream chip
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


def contents(run: Run) -> list[Content]:
    """What there is to draw of a run of this discipline, in the order of the page."""
    first = (_floorline, _load, _latencies, _queue, _board, _mesh, _ports, _tiles, _pipeline)
    makers = (*first, _time, _path, _stations, _energy, _layer_energy)
    return [content for maker in makers if (content := maker(run)) is not None]


def extremes(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Places of the smallest and the largest value of every interval, and what was left out, in words."""
    if values.size <= MOST_POINTS:
        return np.arange(values.size), ""
    edges = np.linspace(0, values.size, MOST_POINTS // 2 + 1).astype(int)
    spans = [(low, values[low:high]) for low, high in pairwise(edges.tolist())]
    parts = [(low + int(part.argmin()), low + int(part.argmax())) for low, part in spans]
    keep = np.unique(np.array(parts))
    return keep, (
        f"Reduced: the shortest and the longest of {counted(values.size, 'point')} in each of {edges.size - 1:,} "
        "intervals are drawn, so no peak is lost."
    )


def _floorline(run: Run) -> Floorline | None:
    facts = run.facts["floorline"]
    if facts is None:
        return None
    unit, reduced = facts["unit"], ""
    if run.discipline == "barrier":
        table = run.tables["timesteps"]
        synops, times_ps = table["max_core_synops"].to_numpy(), table["duration_ps"].to_numpy()
        keep, reduced = extremes(times_ps)
        all_states = _timestep_states(run)
        states = [all_states[k] for k in keep.tolist()]
        places = list(zip(synops[keep].tolist(), times_ps[keep].tolist(), states, strict=True))
        names = [f"timestep {k + 1}" for k in keep.tolist()]
    else:
        places, names = [(facts["synops"], facts["time_ps"], state_of(run))], [f"the {unit}"]
    if not any(time_ps for _, time_ps, _ in places):
        return None  # nothing has happened
    label = f"simulated {unit}"
    points = [
        Workload(label, synop, time_ps, None, facts["synop_ps"], facts["floor_ps"], state)
        for synop, time_ps, state in places
    ]
    alone = {"frame": "The point is the first frame with nothing else on the chip.", "stream": "The point is the run."}
    parts = [
        f"The line is the least time that a {unit} can take, from counts and costs alone.",
        f"Slope: {facts['synop_ps'] / 1e3:.3g} ns per synop.",
        f"Floor ({FLOORS[unit]}): {digits(facts['floor_ps'] / 1e6)} us." if facts["floor_ps"] else "",
        f"What lies well above both is held up by {ABOVE[unit]}.",
        f"The floorline predicts that {facts['predicted']} limits the time.",
        alone.get(unit, ""),
        reduced,
    ]
    return Floorline(
        "floorline", "Why: the floorline", " ".join(filter(None, parts)), unit, tuple(points), tuple(names)
    )


def _timestep_states(run: Run) -> list[str]:
    """By timestep, the state with the largest share of its critical path."""
    table = run.tables["timesteps"]
    found = {name: match[1] for name in table if (match := re.fullmatch(r"critical_path_(.+)_ps", name))}
    if not found:
        return [NOT_RECORDED] * len(table)
    return [found[name] for name in table[list(found)].idxmax(axis=1)]


def state_of(run: Run) -> str:
    """The state with the largest share of the run's critical path."""
    return run.summary["limit"] if run.summary["critical_path_ps"] else NOT_RECORDED


def _core_values(run: Run) -> dict[str, list[float | None]]:
    cores = run.tables["cores"]
    columns = CORE_COLUMNS[run.discipline]
    values: dict[str, list[float | None]] = {"synops": cores["synops"].tolist()}
    values["busy"] = (cores[list(columns["busy"])].max(axis=1) / 1e6).tolist()
    values["blocked"] = (cores[list(columns["blocked"])].sum(axis=1) / 1e6).tolist()
    values["queue"] = cores[list(columns["queue"])].max(axis=1).tolist()
    if "known_dynamic_energy_fj" in cores and knows_energy(run):
        values["energy"] = (cores["known_dynamic_energy_fj"] / 1e6).tolist()
    return values


def _link_values(run: Run, links: Any) -> dict[str, list[float | None]]:
    kinds = [
        kind if kind == "chip_to_chip" else "east_west" if way in ("east", "west") else "north_south"
        for kind, way in zip(links["kind"], links["direction"], strict=True)
    ]
    costs = [run.facts["link_energy_fj"].get(kind) for kind in kinds]
    pairs = zip(costs, links["messages"].tolist(), strict=True)
    return {
        "synops": links["messages"].tolist(),
        "busy": (links["busy_ps"] / 1e6).tolist(),
        "blocked": (links["blocked_ps"] / 1e6).tolist(),
        "queue": links["longest_queue"].tolist(),
        "energy": [None if cost is None else cost * count / 1e6 for cost, count in pairs],
    }


def _mesh(run: Run) -> Mesh | None:
    if run.facts["mesh"] is None or run.discipline not in CORE_COLUMNS or too_many(run):
        return None
    links = run.tables["links"]
    links = links[links["kind"].isin(("mesh", "chip_to_chip"))]
    ways = [_ends(name) for name in links["link"]]
    of_cores, of_links = _core_values(run), _link_values(run, links)
    arrows = Marks(
        [a + 0.5 * (c - a) + 0.08 * (d - b) for a, b, c, d in ways],
        [b + 0.5 * (d - b) + 0.08 * (c - a) for a, b, c, d in ways],
        links["link"].tolist(),
        [_pointing(way) for way in ways],
        {metric: of_links[metric] for metric in of_cores},
    )
    text = (
        "Squares are used cores at their router, triangles are links between routers, pointing the way of their "
        "messages. Times are sums over the run; busy is that of a core's busiest stage. With synops, links show "
        "messages; energy without a known cost is grey. The ring is around the busiest core."
    )
    if run.discipline == "frame":
        text += " A router is called a node, and a core an NP (neural processor); the input block sends the image."
    cores = run.tables["cores"]
    layers = cores["layers" if "layers" in cores else "layer"].tolist()
    busiest = int(np.argmax(np.array(of_cores["busy"]))) if layers else None
    return Mesh("mesh", "Cores and links", text, _squares(run, of_cores, layers), arrows, layers, busiest)


def too_many(run: Run) -> bool:
    """Whether the cores and links of a board would make a page too large."""
    on_board = run.facts["mesh"] is not None and "chip_columns" in run.facts["mesh"]
    return on_board and len(run.tables["cores"]) + len(run.tables["links"]) > MOST_MARKS


def _board(run: Run) -> BoardMap | None:
    """The chips of a board in use, and what goes from chip to chip: summed over links side by side."""
    mesh = run.facts["mesh"]
    if mesh is None or "chip_columns" not in mesh:
        return None
    wide, high = mesh["chip_columns"], mesh["chip_rows"]
    cores = run.tables["cores"].assign(x=lambda t: t["router_x"] // wide, y=lambda t: t["router_y"] // high)
    of_chip = cores.groupby("chip").agg(
        x=("x", "first"),
        y=("y", "first"),
        cores=("core", "size"),
        synops=("synops", "sum"),
        used=("utilisation", "max"),
    )
    chips = Marks(
        of_chip["x"].tolist(),
        of_chip["y"].tolist(),
        [
            f"chip {chip}, {counted(row.cores, 'core')}, the busiest works {100 * row.used:.3g} %"
            for chip, row in zip(of_chip.index, of_chip.itertuples(), strict=True)
        ],
        [""] * len(of_chip),
        {"synops": of_chip["synops"].tolist()},
    )
    columns, rows = mesh["columns"] // wide, mesh["rows"] // high
    text = (
        "Tiles are chips, grey ones without cores in use. Triangles are what goes between two chips, pointing the way "
        "of their messages, in the colour of the messages over all links side by side; the pointer names the busiest."
    )
    if too_many(run):
        text += " Cores and links are too many to be drawn one by one: cores.csv and links.csv hold them."
    between = _crossings(run, wide, high, columns)
    return BoardMap("board", "Chips and what goes between them", text, chips, between, [], None, columns, rows)


def _crossings(run: Run, wide: int, high: int, columns: int) -> Marks:
    """Messages from chip to chip; wide, high: routers of a chip, columns: of chips."""
    links = run.tables["links"]
    links = links[links["kind"] == "chip_to_chip"]
    ends = [[int(each) // side for each, side in zip(_ends(n), (wide, high) * 2, strict=True)] for n in links["link"]]
    found = links.assign(way=[tuple(each) for each in ends]).groupby("way")
    ways = list(found.groups)
    names = []
    for (a, b, c, d), (_, own) in zip(ways, found, strict=True):
        busiest = own.loc[own["utilisation"].idxmax()]
        names.append(
            f"chip {b * columns + a} to {d * columns + c}, {busiest['link']} works {100 * busiest['utilisation']:.3g} %"
        )
    return Marks(
        [a + 0.5 * (c - a) + 0.1 * (d - b) for a, b, c, d in ways],
        [b + 0.5 * (d - b) + 0.1 * (c - a) for a, b, c, d in ways],
        names,
        [_pointing(list(way)) for way in ways],
        {"synops": found["messages"].sum().tolist()},
    )


def _squares(run: Run, values: dict[str, list[float | None]], layers: list[str]) -> Marks:
    """Cores, side by side where a router has several."""
    cores = run.tables["cores"]
    rank = cores.groupby(["router_x", "router_y"]).cumcount()
    side = int(np.ceil(np.sqrt(rank.max() + 1)))
    step = 0.5 / max(1, side)
    x = cores["router_x"] + (rank % side - (side - 1) / 2) * step
    y = cores["router_y"] + (rank // side - (side - 1) / 2) * step
    names = [f"core {core} ({layer})" for core, layer in zip(cores["core"], layers, strict=True)]
    return Marks(x.tolist(), y.tolist(), names, [""] * len(names), values)


def _ends(link: str) -> list[float]:
    """Columns and rows that a link is between: "link (7,0)->(8,0)", or the middle of "port (7,0..3)->(8,0..3)"."""
    ranges = [list(map(int, part.split(".."))) for part in re.findall(r"[\d.]+", link)]
    return [sum(each) / len(each) for each in ranges]


def _pointing(way: list[float]) -> str:
    a, b, c, d = way
    return {(1, 0): "right", (-1, 0): "left", (0, 1): "down", (0, -1): "up"}.get((int(c - a), int(d - b)), "right")


def _tiles(run: Run) -> Grid | None:
    if "tiles" not in run.tables:
        return None
    counts = run.tables["tiles"].pivot(index="row", columns="column", values="row_reads").to_numpy().tolist()
    text = (
        "A spike reads a row of weights in every neuron tile that it reaches, its own included. Shown are the rows "
        "read in each tile, over the run."
    )
    return Grid("tiles", "Tiles", text, counts, "rows read")


def _ports(run: Run) -> Ports | None:
    lines = run.facts["pictures"].get("lines")
    return lines and ports_of(lines, run.summary["rows"], run.summary["columns"])


def ports_of(found: Mapping[str, list[int]], rows: int, columns: int) -> Ports:
    """The lines between the cells of a grid of tiles, as nsim/result/pictures.py has them."""
    fabric = Fabric(rows, columns, 1)
    row, column = np.divmod(np.arange(fabric.cells), fabric.width)
    names = [fabric.cell_name(cell) for cell in range(fabric.cells)]
    cells = Marks(column.tolist(), row.tolist(), names, [""] * fabric.cells, {"kind": fabric.kind.tolist()})
    table = list(zip(*(found[name] for name in ("cell", "side", "used", "lines")), strict=True))
    over = [each for each in table if each[2] > each[3]]
    drawn = table if len(table) <= MOST_MARKS else over
    said = [
        f"{names[cell]} to {names[int(fabric.beyond[cell, side])]}: {used} of {counted(has, 'line')} used"
        + (f", {used - has} lacking" if used > has else "")
        for cell, side, used, has in drawn
    ]
    steps = [((0, -1), (1, 0), (0, 1), (-1, 0))[side] for _, side, *_ in drawn]
    x = [cell % fabric.width + 0.5 * dx - LANE * dy for (cell, *_), (dx, dy) in zip(drawn, steps, strict=True)]
    y = [cell // fabric.width + 0.5 * dy + LANE * dx for (cell, *_), (dx, dy) in zip(drawn, steps, strict=True)]
    ways = [("up", "right", "down", "left")[side] for _, side, *_ in drawn]
    lacking = [used - has if used > has else None for *_, used, has in drawn]
    text = (
        "Large squares are neuron tiles, small ones routers, triangles the lines between them, pointing the way of "
        "spikes: grey where there are enough, red with the number of lines that are lacking. "
    )
    text += f"Too narrow: {counted(len(over), 'way')} of {len(table):,}, at one end or both." if over else FITS
    return Ports("ports", "Lines between tiles", text, cells, Marks(x, y, said, ways, {}), lacking)


def _pipeline(run: Run) -> Boxes | None:
    rows = run.facts["pictures"].get("pipeline")
    if not rows:
        return None
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    frames = 1 + max(row["frame"] for row in rows)
    boxes, names = [], []
    for row in rows:
        begin, end = row["began_ps"] / 1e6, row["ended_ps"] / 1e6
        low = layers.index(row["layer"]) + (0.0 if frames == 1 else 0.4 * (row["frame"] % 2)) - 0.4
        boxes.append((begin, end, low, low + (0.8 if frames == 1 else 0.4)))
        who = f"{row['layer']}, frame {row['frame'] + 1}"
        names.append(f"{who}: {digits(end - begin)} us, from {digits(begin)} to {digits(end)} us")
    series = [f"frame {row['frame'] + 1}" for row in rows]
    which = (
        f"The first {frames} of {counted(run.summary['spans'], 'frame')}"
        if frames < run.summary["spans"]
        else "All frames"
    )
    if frames == 1:
        which = "The first frame"
    text = (
        f"{which} on the way through the layers: a bar lasts from the begin of a layer's first core with a frame to "
        "the end of its last. "
    )
    if frames > 1:
        text += "Frames above each other are on the chip together; the layer whose bars leave no gap sets the pace."
    return Boxes("pipeline", "Pipeline of frames", text, boxes, names, series, "time (us)", "", layers)


def _latencies(run: Run) -> Boxes | None:
    found = run.facts["pictures"].get("latencies")
    if not found:
        return None
    edges = [edge / 1e6 for edge in found["edges_ps"]]
    rows = [(low, high, count) for (low, high), count in zip(pairwise(edges), found["events"], strict=True) if count]
    names = [f"{digits(low)} to {digits(high)} us: {counted(count, 'event')}" for low, high, count in rows]
    median, last = (run.summary[f"latency_{name}_ps"] for name in ("median", "p99"))
    lines = [(median / 1e6, f"median, {seconds(median)}"), (last / 1e6, f"99 of 100 are faster, {seconds(last)}")]
    text = f"Time from a sensor event to each of the {counted(sum(found['events']), 'output event')} that it caused."
    boxes = [(low, high, 0.0, float(count)) for low, high, count in rows]
    labels = "latency (us)", "output events"
    return Boxes(
        "latencies", "Latency of outputs", text, boxes, names, ["events"] * len(rows), *labels, lines=lines, scaled=True
    )


def _queue(run: Run) -> Boxes | None:
    found = run.facts["pictures"].get("queue")
    if not found or not any(found["waiting"]):
        return None
    edges = [edge / 1e6 for edge in found["edges_ps"]]
    rows = [(a, b, count) for (a, b), count in zip(pairwise(edges), found["waiting"], strict=True) if count]
    names = [f"{digits(a)} to {digits(b)} us: {counted(count, 'event')} waiting at most" for a, b, count in rows]
    end = run.summary["input_duration_ps"]
    text = (
        f"Sensor events that have happened and that the chip has not taken yet, {max(found['waiting']):,} at most. A "
        "queue that grows until the input ends is overload; one that empties in between is a burst."
    )
    boxes = [(a, b, 0.0, float(count)) for a, b, count in rows]
    series, lines = ["events"] * len(rows), [(end / 1e6, f"end of the input, {seconds(end)}")]
    return Boxes("queue", "Queue at the sensor", text, boxes, names, series, "time (us)", "events waiting", lines=lines)


def _load(run: Run) -> Bars | None:
    if run.discipline != "stream":
        return None
    cores = run.tables["cores"]
    names = [f"{layer}\ncore {core}" for layer, core in zip(cores["layer"], cores["core"], strict=True)]
    colours = (COLOURS["traffic"], COLOURS["memory"], COLOURS["compute"])
    series = [
        Series(name, (100 * cores[f"{stage}_load"]).tolist(), colour)
        for (stage, name), colour in zip(STAGES.items(), colours, strict=True)
    ]
    text = (
        "Time that a part of a core needs for all that is sent to it, over the duration of the input. Above 100 % it "
        "is too slow, and delay grows until the input ends."
    )
    if not any(run.facts["pictures"].get("queue", {}).get("waiting", ())):
        text += " No event waited at the sensor."
    limit = 100, "100 %: all that it can do"
    return Bars("load", "Load of every core", text, names, series, "load", "%", limit=limit)


def _time(run: Run) -> Trace | None:
    name = {"barrier": "timesteps", "frame": "frames", "tick": "timesteps"}.get(run.discipline)
    if name is None or "duration_ps" not in run.tables[name]:
        return None
    unit = run.summary["span"]
    values = run.tables[name]["duration_ps"].to_numpy() / 1e6
    keep, reduced = extremes(values)
    text = (
        f"Mean {digits(values.mean())} us, shortest {digits(values.min())} us, longest {digits(values.max())} us, of "
        f"{values.size:,}. {reduced}"
    )
    return Trace("time", f"Time per {unit}", text.strip(), unit, (keep + 1).tolist(), values[keep].tolist())


def _path(run: Run) -> Bars | None:
    totals = run.summary.get("critical_path_ps")
    if not totals:
        return None
    whole = max(1, sum(totals.values()))
    series = [Series(state, [100 * time / whole], COLOURS[state]) for state, time in totals.items() if time]
    of = "first frame, with nothing else on the chip," if run.discipline == "frame" else "run"
    parts = [f"{100 * time / whole:.1f} % {state} ({digits(time / 1e6)} us)" for state, time in totals.items() if time]
    text = (
        f"The {of} takes {digits(whole / 1e6)} us. Followed back from its last service, each of which began because "
        f"another one ended, this time is spent on: {', '.join(parts)}"
    )
    return Bars("path", "Critical path by state", f"{text}.", [""], series, "share of the time", "%", horizontal=True)


def _stations(run: Run) -> Bars | None:
    table = run.tables.get("critical_path")
    if table is None or table.empty:
        return None
    rows = table.head(MOST_STATIONS).to_dict("records")
    times: dict[str, list[float]] = {state: [0.0] * len(rows) for state in run.summary["critical_path_ps"]}
    for place, row in enumerate(rows):
        times[STATE_OF_KIND.get(row["kind"], "traffic")][place] += row["service_ps"] / 1e6
        times["traffic"][place] += row["wire_ps"] / 1e6
    series = [Series(state, list(values), COLOURS[state]) for state, values in times.items() if any(values)]
    share = 100 * table["share"].head(len(rows)).sum()
    most = f"The largest {len(rows)} of {plural(len(table), 'station')} on it"
    which = most if len(rows) < len(table) else f"The {plural(len(rows), 'station')} on it"
    text = (
        f"{which}: {share:.3g} % of the time in all. The wire behind a station counts as traffic; time without a "
        "station (barrier, input, programming) is not shown."
    )
    names = [_numbered(row) for row in rows]
    return Bars(
        "stations", "Critical path by station", text, names, series, "time on the critical path", "us", horizontal=True
    )


def _numbered(row: Mapping[str, Any]) -> str:
    """A station, with its sequence if it is of a later one: names are unique only within one."""
    return f"{row['station']}, sequence {row['sequence'] + 1}" if row.get("sequence") else row["station"]


def knows_energy(run: Run) -> bool:
    """Whether any action has a known cost; if none has, a sum of 0 means nothing."""
    return any(energy is not None for name, energy in run.summary["energy_by_action_fj"].items() if name != "static")


def _energy(run: Run) -> Bars:
    by_action = run.summary["energy_by_action_fj"]
    known = [energy for energy in by_action.values() if energy is not None]
    unknown = [name for name, energy in by_action.items() if energy is None]
    text = f"Sum over the run of the known terms: {digits(sum(known) / 1e9)} uJ."
    if not known:
        text = f"Not known of any action (this is not zero): {', '.join(unknown)}."
    elif unknown:
        text += f" Not known, and not in the sum (this is not zero): {', '.join(unknown)}."
    names = [name for name, energy in by_action.items() if energy is not None] + unknown
    values = [energy / 1e9 for energy in known] + [None] * len(unknown)
    return Bars(
        "energy", "Energy by action", text, names, [Series("energy", values, COLOURS["memory"])], "energy", "uJ"
    )


def _layer_energy(run: Run) -> Bars | None:
    layers = run.tables.get("layers")
    if layers is None or "known_dynamic_energy_fj" not in layers or not knows_energy(run):
        return None
    values = (layers["known_dynamic_energy_fj"] / 1e9).tolist()
    text = "Dynamic energy of the known terms that a layer's cores spend on it; static power and links are left out."
    series = [Series("energy", values, COLOURS["compute"])]
    return Bars("layer-energy", "Energy by layer", text, layers["layer"].tolist(), series, "energy", "uJ")


def compared(runs: Sequence[Run], names: Sequence[str]) -> list[Content]:
    """Time and energy of a span of each run, a bar each."""
    unit = runs[0].summary["span"]
    return [_compared_times(runs, list(names), unit), _compared_energies(runs, list(names), unit)]


def span_ps(run: Run) -> float | None:
    """Time of a span: what the critical path of a run adds up to."""
    if run.discipline == "frame":
        return run.summary["latency_ps"]
    time_ps = run.summary["time_ps"]
    return None if time_ps is None else time_ps / run.summary["spans"]


def _compared_times(runs: Sequence[Run], names: list[str], unit: str) -> Bars:
    by_state: dict[str, list[float | None]] = {}
    for place, run in enumerate(runs):
        total_ps, path_ps = span_ps(run), run.summary.get("critical_path_ps") or {NOT_RECORDED: 1}
        whole = max(1, sum(path_ps.values()))
        for state, time_ps in path_ps.items():
            values = by_state.setdefault(state, [0.0] * len(runs))
            values[place] = None if total_ps is None else total_ps * time_ps / whole / 1e6
    series = [Series(state, values, COLOURS[state]) for state, values in by_state.items()]
    of = {"frame": "the first frame alone", "stream": "the whole run"}.get(unit, f"a {unit}, on average")
    text = f"Time of {of}, by what its critical path is spent on."
    if NOT_RECORDED in by_state:
        text += " Where no critical path was recorded, the bar is whole."
    return Bars("time", f"Time per {unit}", text, names, series, f"time per {unit}", "us", horizontal=True)


def _compared_energies(runs: Sequence[Run], names: list[str], unit: str) -> Bars:
    dynamic, static = [], []
    missing: dict[str, list[str]] = {}  # runs by what is not known of them
    for name, run in zip(names, runs, strict=True):
        energies, spans = run.summary["energy_by_action_fj"], run.summary["spans"]
        known = [energy for action, energy in energies.items() if action != "static" and energy is not None]
        dynamic.append(sum(known) / spans / 1e9 if known else None)
        static.append(None if energies.get("static") is None else energies["static"] / spans / 1e9)
        if unknown := [action for action, energy in energies.items() if energy is None]:
            missing.setdefault(", ".join(unknown), []).append(name)
    text = (
        f"Energy of the known terms, the run's divided by its {unit}s." if unit != "stream" else "Of the known terms."
    )
    if missing:
        lists = [f"{actions} ({'; '.join(own)})" for actions, own in missing.items()]
        text += f" Not known, and not in the bars (this is not zero): {'; '.join(lists)}."
    series = [Series("dynamic", dynamic, COLOURS["memory"]), Series("static", static, COLOURS["compute"])]
    return Bars("energy", f"Energy per {unit}", text, names, series, f"energy per {unit}", "uJ", horizontal=True)


def known_fj(run: Run) -> float | None:
    """Energy of a span, of the known terms; None if there are none."""
    known = [energy for energy in run.summary["energy_by_action_fj"].values() if energy is not None]
    return sum(known) / run.summary["spans"] if known else None
