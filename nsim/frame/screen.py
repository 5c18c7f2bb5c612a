"""What the command line shows of a run of frames."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from nsim.answer import answered
from nsim.frame.result import FrameResult
from nsim.screen import caveats, facts_grid, joules, path_words, scaled, seconds, show_page


def show_frames(result: FrameResult, out: Path | None) -> None:
    """The run in ten seconds: latency, rate, energy, what limits the rate, and a line per layer."""
    facts = result.summary()
    notes = caveats(result.mapping.network, result.chip, facts)
    if answered(lambda: {**facts, "notes": notes}):
        return
    grid = facts_grid()
    grid.add_row("Latency", seconds(facts["latency_ps"]), f"one frame alone: {cycles(facts['latency_cycles'])}")
    rate = facts["frames_per_s"]
    grid.add_row("Rate", f"{rate:,.0f} frames/s" if rate >= 100 else f"{rate:.3g} frames/s", _rate_line(facts))
    grid.add_row("Energy", *_energy_line(facts))
    grid.add_row("Limit", "", facts["bottleneck"])
    if facts["critical_path_ps"]:
        grid.add_row("Path", *_path_line(result))
    grid.add_row("Traffic", f"{facts['messages'] / facts['frames']:,.0f}", _traffic_line(result))
    grid.add_row("Program", seconds(facts["program_time_ps"]), _program_line(facts))
    show_page(_title(result, facts), grid, _layer_table(result), notes, out)


def cycles(number: float) -> str:
    """A number of cycles with three significant digits."""
    return scaled(number, (("G cycles", 1e9), ("M cycles", 1e6), ("k cycles", 1e3), ("cycles", 1.0)))


def _title(result: FrameResult, facts: dict) -> str:
    chip = result.chip
    inside = {row["core"] for row in result.core_rows}
    block = " and the input block" if chip.input_core in inside else ""
    processors = len(inside - {chip.input_core})
    return (
        f"{facts['network']} on {chip.title}: {processors} of {len(chip.processors)} NPs{block}, mapped "
        f"{facts['mapping_mode']}, {facts['clock_mhz']:g} MHz"
    )


def _rate_line(facts: dict) -> str:
    every = f"one every {seconds(facts['interval_ps'])} ({cycles(facts['interval_cycles'])})"
    if len(facts["sequences"]) > 1:
        return f"{every}, one at a time"
    if facts["frames"] == 1:
        return f"{every}; simulate more than one to see them overlap"
    return f"{every}, up to {facts['frames_in_flight']} in flight; {facts['frames']} simulated"


def _energy_line(facts: dict) -> tuple[str, str]:
    static, dynamic = facts["static_energy_per_frame_fj"], facts["known_dynamic_energy_per_frame_fj"]
    floor = "floor unknown" if static is None else f"{joules(static)} floor at this rate"
    return joules(facts["known_energy_per_frame_fj"]), f"per frame: {joules(dynamic)} dynamic, {floor}"


def _path_line(result: FrameResult) -> tuple[str, str]:
    """What the latency consists of, and the station with most of it."""
    words = path_words(result.states, result.critical_stations)
    return max(result.states, key=lambda state: result.states[state]), f"of one frame alone: {words}"


def _traffic_line(result: FrameResult) -> str:
    if not result.link_rows:
        return "messages per frame"
    name, share = result.fullest_link
    return f"messages per frame; fullest: {name}, {share:.0%} of the time"


def _program_line(facts: dict) -> str:
    parts = facts["sequences"]
    size = f"{sum(part['program_bytes'] for part in parts):,} bytes"
    if len(parts) == 1:
        return f"once, before the first frame: {size}"
    times = ", ".join(f"{seconds(p['program_time_ps'])} + {seconds(p['latency_ps'])}" for p in parts)
    return f"in every frame: {size} for {len(parts)} sequences (programming + run: {times})"


def _layer_table(result: FrameResult) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column("layer")
    for heading in ("NPs", "tiles", "events", "synops", "sends", "slowest NP", "cycles", "busy"):
        table.add_column(heading, justify="right")
    interval = result.chip.clocks(result.interval_ps)
    for row in result.layer_rows:
        if not row["cores"]:
            continue
        slowest = next(
            c for c in result.core_rows if (c["core"], c["sequence"]) == (row["slowest_core"], row["sequence"])
        )
        block = slowest["core"] == result.chip.input_core
        table.add_row(
            row["layer"],
            "input block" if block else str(row["cores"]),
            str(row["tiles"]),
            f"{row['events'] / result.done_frames:,.0f}",
            f"{row['synops'] / result.done_frames:,.0f}",
            f"{row['message_density']:.1%}",
            "" if block else slowest["name"].removeprefix("NP "),
            f"{row['slowest_core_cycles_per_frame']:,.0f}",
            f"{min(1.0, row['slowest_core_cycles_per_frame'] / interval):.0%}",
        )
    return table
