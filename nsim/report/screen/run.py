"""What `nsim run` shows on every kind of chip: head lines, a table of layers or tiles, and what to be careful about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from nsim.report import words
from nsim.report.answer import answered, verbose
from nsim.report.screen import GAP, NAMES, Column, console, fitting, show_basis, show_files, show_lines
from nsim.report.told import told_of
from nsim.report.units import amount, cycles, percent, rate, seconds
from nsim.report.words import Line

TILES_SHOWN = 8
FULL = 10  # characters of a bar for a load of 1
STAGES = ("link", "synapses", "send")  # of a core on a chip that works on a stream


def show_run(result: Any, out: Path | None, command: str, what_if: dict[str, Any] | None = None) -> None:
    """The run in ten seconds; names of constants and traffic with -v.

    out       folder of its results
    command   line that made it
    what_if   as in report.json, of a partition that was simulated beside it
    """
    told = told_of(result, command, what_if)
    if answered(lambda: {**told.summary, "notes": told.basis.all(told.summary)}):
        return
    screen = console()
    screen.print(Text.assemble((f"{told.summary['network']} on {told.title}", "bold"), f"   {told.size}"))
    room = screen.width - NAMES - GAP
    lines = [*told.lines, *_details(result)] if verbose() else words.brief(told.lines, told.summary, room)
    show_lines(screen, lines)
    screen.print()
    screen.print(fitting(TABLES[told.discipline](result), screen.width))
    show_basis(screen, told.basis, told.summary)
    show_files(screen, {"results": out})


def _layers(result: Any) -> list[Column]:
    """Layers of a run of timesteps."""
    steps, rows, cores = result.spans, result.rows("layers"), result.columns("cores")
    own = [[place for place, names in enumerate(cores["layers"]) if row["layer"] in names.split("+")] for row in rows]
    busiest = [max(places, key=lambda place: cores["utilisation"][place], default=None) for places in own]
    return [
        Column("layer", [row["layer"] for row in rows], right=False),
        Column("cores", [str(row["cores"] or "host") for row in rows], 2),
        Column("neurons", [amount(row["neurons"]) for row in rows], 7),
        Column("firing", [percent(row["message_density"]) for row in rows], 5),
        Column("messages", [amount(row["messages"] / steps) for row in rows], 4),
        Column("synops", [amount(row["synops"] / steps) for row in rows], 3),
        Column("busiest core", ["" if place is None else str(cores["core"][place]) for place in busiest], 6),
        Column("works", ["" if place is None else percent(cores["utilisation"][place]) for place in busiest], 1),
    ]


def _frame_layers(result: Any) -> list[Column]:
    """Layers of a run of frames, by their slowest core."""
    frames, block = result.spans, result.chip.input_core
    rows = [row for row in result.rows("layers") if row["cores"]]
    names = {(core["core"], core["sequence"]): core["name"].removeprefix("NP ") for core in result.rows("cores")}
    interval = result.chip.clocks(result.interval_ps)
    own = [row["slowest_core_cycles_per_frame"] for row in rows]
    inside = [row["slowest_core"] == block for row in rows]
    return [
        Column("layer", [row["layer"] for row in rows], right=False),
        Column("NPs", ["input" if at else str(row["cores"]) for at, row in zip(inside, rows, strict=True)], 2),
        Column("tiles", [str(row["tiles"]) for row in rows], 8),
        Column("events", [amount(row["events"] / frames) for row in rows], 6),
        Column("synops", [amount(row["synops"] / frames) for row in rows], 3),
        Column("sends", [percent(row["message_density"]) for row in rows], 5),
        Column(
            "slowest NP",
            ["" if at else names[row["slowest_core"], row["sequence"]] for at, row in zip(inside, rows, strict=True)],
            7,
        ),
        Column("cycles", [cycles(number).removesuffix("cycles").strip() for number in own], 4),
        Column("works", [percent(min(1.0, number / interval)) for number in own], 1),
    ]


def _stream_layers(result: Any) -> list[Column]:
    """Layers of a run on a stream, by core."""
    cores, layers = result.rows("cores"), result.rows("layers")
    blocked = [sum(row[f"{stage}_blocked_ps"] for stage in STAGES) for row in cores]
    queues = [max(row[f"{stage}_longest_queue"] for stage in STAGES) for row in cores]
    sent = [result.per_second(row["events_sent_to_it"]) for row in cores]
    return [
        Column("layer", [row["layer"] for row in layers], right=False),
        Column("core", [str(row["core"]) for row in cores], 2),
        Column("load", [bar(row["load"]) for row in cores], 1, right=False),
        Column("events/s", ["" if each is None else rate(each) for each in sent], 4),
        Column("synops/s", [_rate(row["synops_per_s_asked_for"]) for row in cores], 3),
        Column("capacity", [_rate(row["synops_per_s_ceiling"]) for row in cores], 6),
        Column("spikes/event", [f"{row['spikes_per_event']:.3g}" for row in layers], 9),
        Column("queue", [str(queue) for queue in queues], 5),
        Column("blocked", [seconds(time_ps) if time_ps else "" for time_ps in blocked], 8),
        Column("lost", [amount(row["events_lost"]) if row["events_lost"] else "" for row in cores], 7),
    ]


def _rate(per_second: float | None) -> str:
    return "" if per_second is None else rate(per_second)


def bar(load: float) -> Text:
    """A load as a bar, full at 1; what is above 1 is red."""
    filled = min(FULL, round(load * FULL))
    shown = Text("#" * filled + "." * (FULL - filled), style="red" if load > 1 else "")
    return shown.append(f" {percent(load)}", style="bold red" if load > 1 else "")


def _tiles(result: Any) -> list[Column]:
    """The tiles with the most rows read."""
    steps, tiles = result.spans, result.columns("tiles")
    first = np.argsort(-tiles["row_reads"], kind="stable")[:TILES_SHOWN].tolist()
    total = max(1, int(tiles["row_reads"].sum()))

    def per_tick(name: str) -> list[str]:
        return [amount(float(tiles[name][tile]) / steps) for tile in first]

    return [
        Column("fullest tiles" if tiles["tile"].size > TILES_SHOWN else "tile", list(map(str, first)), right=False),
        Column("row, column", [f"{tiles['row'][tile]}, {tiles['column'][tile]}" for tile in first], 5),
        Column("neurons", [amount(int(tiles["neurons"][tile])) for tile in first], 4),
        Column("spikes", per_tick("spikes"), 2),
        Column("rows read", per_tick("row_reads"), 1),
        Column("own", per_tick("own_row_reads"), 6),
        Column("over routers", per_tick("routed_row_reads"), 7),
        Column("of all reads", [percent(float(tiles["row_reads"][tile] / total)) for tile in first], 3),
    ]


TABLES = {"barrier": _layers, "frame": _frame_layers, "stream": _stream_layers, "tick": _tiles}


def _details(result: Any) -> list[Line]:
    """What is said with -v only: use of cores, links and programming."""
    discipline = result.mapping.chip.discipline
    facts = result.summary()
    if discipline == "barrier":
        messages = facts["messages"] / facts["spans"]
        return [words.use_line(facts), words.traffic_line(messages, "timestep", _fullest(result))]
    if discipline == "frame":
        fullest = result.fullest_link if result.rows("links") else None
        return [words.traffic_line(facts["messages"] / facts["spans"], "frame", fullest), words.program_line(facts)]
    if discipline == "stream":
        return [words.events_line(facts)]
    return [words.rows_line(facts)]


def _fullest(result: Any) -> tuple[str, float] | None:
    """The link that works longest, and its part of the time."""
    link = max(result.rows("links"), key=lambda row: row["utilisation"], default=None)
    return None if link is None else (link["link"], link["utilisation"])
