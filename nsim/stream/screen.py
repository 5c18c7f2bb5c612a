"""What the command line shows of a run without timesteps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from nsim.answer import answered
from nsim.screen import caveats, console, joules, path_words, scaled, seconds
from nsim.stream.bottleneck import cures
from nsim.stream.result import STAGES, StreamResult

WIDTH_OF_FULL = 10  # characters of a bar for a load of 1
WORK = {
    "synapses": "synaptic operations",
    "send": "sending spikes",
    "link": "its input link",
    "sensor": "the sensor's port",
    "output": "the way out of the chip",
}


def show_stream(result: StreamResult, out: Path | None) -> None:
    """The run in ten seconds: does every core keep up, if not which and from when on, what would fit; then the rest."""
    screen, chip, facts = console(), result.mapping.chip, result.summary()
    notes = [f"Note: {result.note}."] if result.note else []
    notes += caveats(result.mapping.network, chip, facts)
    if answered(lambda: {**facts, "notes": notes}):
        return
    title = f"{facts['network']} on {chip.title}: {facts['cores_used']} of {facts['cores_available']} cores"
    screen.print(Text(title, style="bold"))
    for line, style in verdict(result, facts):
        screen.print(Text(line, style=style))
    screen.print()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan")
    grid.add_column(style="bold", justify="right")
    grid.add_column()
    for row in (_events_row(facts), _latency_row(facts), _drain_row(facts), _power_row(facts), *_path_rows(result)):
        grid.add_row(*row)
    screen.print(grid)
    screen.print()
    screen.print(_layer_table(result))
    for line in notes:
        screen.print(Text(line, style="dim"))
    if out:
        screen.print(f"Results are in {out}")


def number(value: float | None) -> str:
    """Three significant digits: 83.1 M."""
    return "" if value is None else scaled(value, (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0))).strip()


# --- the verdict ----------------------------------------------------------------------------------------------


def verdict(result: StreamResult, facts: dict[str, Any]) -> list[tuple[str, str]]:
    """The first lines, each with its style: which core does not keep up, what that does to events, what would fit."""
    if not facts["input_events"]:
        return [("NO EVENTS came in.", "yellow")]
    if not facts["input_duration_ps"]:
        return [("All events came at one time: there is no rate, and no load.", "yellow")]
    load = facts["bottleneck"]["load"]
    style = "bold red" if load > 1 else "bold yellow" if facts["late_events"] or facts["lost_events"] else "bold green"
    return [
        (_load_line(result, facts), style),
        (_consequence_line(facts), "red" if load > 1 else "yellow" if style == "bold yellow" else ""),
        (_fitting_line(facts), ""),
        *([(cure, "")] if (cure := _cure_line(result, facts)) else []),
    ]


def _load_line(result: StreamResult, facts: dict[str, Any]) -> str:
    worst = facts["bottleneck"]
    load, station = worst["load"], WORK[worst["station"]]
    name = f"core {worst['core']} ({worst['layer']})" if worst["core"] is not None else station
    rates = _rates(result, worst)
    if load > 1:
        others = [str(core) for core in facts["overloaded_cores"] if core != worst["core"]]
        more = f"; cores over their ceilings too: {', '.join(others)}" if others else ""
        return f"OVERLOADED: {name} is asked for {load:.2f} times what it can do{rates}{more}."
    word = "DROPS EVENTS" if facts["lost_events"] else "KEEPS UP"
    return f"{word}: the busiest, {name}, is at {load:.0%} of what it can do{rates}."


def _rates(result: StreamResult, worst: dict[str, Any]) -> str:
    """What the worst core is busy with, in numbers if these are synaptic operations."""
    if worst["core"] is None:
        return ""
    if worst["station"] != "synapses":
        return f", by {WORK[worst['station']]}"
    row = next(row for row in result.core_rows if row["core"] == worst["core"])
    asked, ceiling = row["synops_per_s_asked_for"], row["synops_per_s_ceiling"]
    sweeps = "sweeps of the slow clock" if row["sweeps"] else ""
    if not asked or not ceiling:
        return f": {sweeps}" if sweeps else ""
    return f": {number(asked)} of {number(ceiling)} synops/s{' and ' * bool(sweeps)}{sweeps}"


def _consequence_line(facts: dict[str, Any]) -> str:
    parts = []
    if facts["late_events"]:
        parts.append(
            f"{facts['late_events']:,} of {facts['input_events']:,} events are late, the first is event "
            f"{facts['first_late_event']:,} at {seconds(facts['first_late_event_ps'])}, by up to "
            f"{seconds(facts['longest_delay_ps'])}; backpressure holds the sensor {facts['sensor_blocked_share']:.0%} "
            "of the time."
        )
    if facts["lost_events"]:
        first = facts["first_lost_event"]
        cause = f", the first caused by event {first:,}" if first is not None else ""
        parts.append(
            f"Balancers dropped {facts['lost_events']:,} events{cause}, before core {facts['first_lost_event_core']}."
        )
    if facts["lost_ticks"]:
        parts.append(f"{facts['lost_ticks']:,} ticks of the slow clock found a sweep still waiting, and were lost.")
    if not parts:
        parts.append("No event was late or lost.")
    elif facts["bottleneck"]["load"] <= 1 and facts["late_events"]:
        parts.append("The mean rate fits: it is bursts that wait.")
    return " ".join(parts)


def _fitting_line(facts: dict[str, Any]) -> str:
    factor = facts["fitting_input_factor"]
    if factor is None:
        return "Nothing happened that would limit the rate."
    rate, now = facts["fitting_input_events_per_s"], facts["input_events_per_s"]
    came = f"{number(now)} events/s that came in"
    if factor == 0:
        return "No event rate would fit: the sweeps of the slow clock alone are too much."
    return f"What fits of such events: {number(rate)} events/s, {factor:.3g} times the {came}."


def _cure_line(result: StreamResult, facts: dict[str, Any]) -> str | None:
    """What helps an overloaded core, and whether its layer would fit on a faster one."""
    worst = facts["bottleneck"]
    if worst["load"] <= 1 or worst["core"] is None:
        return None
    return f"What helps: {cures(result.mapping, worst['core'])}."


# --- the rest -------------------------------------------------------------------------------------------------


def _events_row(facts: dict[str, Any]) -> tuple[str, str, str]:
    unused = facts["input_events_unused"]
    outside = f", {unused:,} of them beyond the last whole pooling window" if unused else ""
    return (
        "Events",
        f"{facts['input_events']:,}",
        f"in {seconds(facts['input_duration_ps'])}{outside}; {facts['events']:,} served by cores, "
        f"{facts['output_events']:,} left the chip",
    )


def _latency_row(facts: dict[str, Any]) -> tuple[str, str, str]:
    if facts["latency_median_ps"] is None:
        return "Latency", "none", "no sensor event brought about an output event"
    least, late, most = (seconds(facts[f"latency_{name}_ps"]) for name in ("min", "p99", "max"))
    return (
        "Latency",
        seconds(facts["latency_median_ps"]),
        f"median from a sensor event to the output event it brought about ({least} at least, 99 % within {late}, "
        f"{most} at most)",
    )


def _drain_row(facts: dict[str, Any]) -> tuple[str, str, str]:
    return "Drained", seconds(facts["drain_ps"]), "after the last sensor event"


def _power_row(facts: dict[str, Any]) -> tuple[str, str, str]:
    if facts["mean_power_mw"] is None:
        return "Power", "none", "no time passed"
    dynamic = facts["known_dynamic_energy_fj"]
    resting = facts["known_energy_fj"] - dynamic
    per_synop = f" ({joules(dynamic / facts['synops'])} per synop)" if facts["synops"] else ""
    return (
        "Power",
        f"{facts['mean_power_mw']:.2f} mW",
        f"in the mean: {joules(dynamic)} for {facts['synops']:,} synops{per_synop} and {joules(resting)} at rest",
    )


def _path_rows(result: StreamResult) -> list[tuple[str, str, str]]:
    """What the time of the run consists of, if that was recorded and time passed."""
    states = result.states
    if not states or not any(states.values()):
        return []
    limit = max(states, key=lambda state: states[state])
    return [("Limit", limit, f"of the critical path: {path_words(states, result.critical_stations)}")]


def _layer_table(result: StreamResult) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column("layer")
    table.add_column("core", justify="right")
    table.add_column("load", no_wrap=True)
    for heading in ("events/s", "synops/s", "ceiling", "spikes/event", "queue", "blocked", "lost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, layer in zip(result.core_rows, result.layer_rows, strict=True):
        blocked = sum(row[f"{stage}_blocked_ps"] for stage in STAGES)
        table.add_row(
            layer["layer"],
            str(row["core"]),
            bar(row["load"]),
            number(result.per_second(row["events_sent_to_it"])),
            number(row["synops_per_s_asked_for"]),
            number(row["synops_per_s_ceiling"]),
            f"{layer['spikes_per_event']:.2f}",
            str(max(row[f"{stage}_longest_queue"] for stage in STAGES)),
            seconds(blocked) if blocked else "",
            f"{row['events_lost']:,}" if row["events_lost"] else "",
        )
    return table


def bar(load: float) -> Text:
    """A load as a bar, full at 1; what is above 1 is red."""
    filled = min(WIDTH_OF_FULL, round(load * WIDTH_OF_FULL))
    shown = Text("#" * filled + "." * (WIDTH_OF_FULL - filled), style="red" if load > 1 else "")
    return shown.append(f" {load:.0%}", style="bold red" if load > 1 else "")
