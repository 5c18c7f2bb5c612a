"""What the command line shows of a run of frames."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from nsim.frame.bottleneck import FrameBottleneck
from nsim.frame.floorline import STATES
from nsim.frame.result import FrameResult
from nsim.screen import caveats, console, facts_grid, joules, scaled, seconds, show_page


def show_frames(result: FrameResult, out: Path | None) -> None:
    """The run in ten seconds: latency, rate, energy, what limits the rate, and a line per layer."""
    facts = result.summary()
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
    notes = caveats(result.mapping.network, result.chip, facts)
    show_page(_title(result, facts), grid, _layer_table(result), notes, out)


def show_floorline(found: dict[str, FrameBottleneck], plot: Path) -> None:
    """By mode: bounds of one frame and of many, what was simulated, three opinions of the state, and what to change."""
    screen = console()
    first = next(iter(found.values())).result
    screen.print(Text(f"{first.mapping.network.name} on {first.chip.title}, per frame", style="bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column("mode")
    for heading in ("NPs", "", "memory", "compute", "traffic", "filling", "floorline", "simulated", "over"):
        table.add_column(heading, justify="right")
    for name, each in found.items():
        result, bounds = each.result, each.bounds
        frames = bounds.frames
        alone = [seconds(bounds.chain_ps[state]) for state in STATES]
        many = [seconds(bounds.run_ps[state] / frames) for state in STATES]
        over = result.latency_ps / bounds.latency_ps - 1, result.total_ps / bounds.least_run_ps - 1
        times = seconds(bounds.latency_ps), seconds(result.latency_ps), f"{over[0]:.1%}"
        table.add_row(name, str(result.mapping.processors), "one alone", *alone, "", *times)
        times = seconds(bounds.least_run_ps / frames), seconds(result.time_per_frame_ps), f"{over[1]:.1%}"
        table.add_row("", "", f"{frames} in a row", *many, seconds(bounds.fill_ps / frames), *times)
    screen.print(table)
    screen.print()
    states = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    for heading in ("mode", "one alone: by floorline", "by critical path", "by sensitivity"):
        states.add_column(heading)
    for name, each in found.items():
        share = each.result.states[each.simulated] / each.result.latency_ps
        sensitive = f"{each.sensitive} (costs -10%: time -{each.saved[each.sensitive]:.1%})"
        states.add_row(name, each.bounds.state, f"{each.simulated} ({share:.0%})", sensitive)
    screen.print(states)
    for name, each in found.items():
        screen.print()
        screen.print(Text(f"{name}: {each.advice}."))
        screen.print(Text(f"Longest chain: {' > '.join(each.named(each.bounds.chain))}."))
    screen.print()
    for line in caveats(first.mapping.network, first.chip, first.summary()):
        screen.print(Text(line, style="dim"))
    screen.print(f"The floorline plot is in {plot}")


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
    shares = {state: time / result.latency_ps for state, time in result.states.items()}
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    parts = ", ".join(f"{share:.0%} {state}" for state, share in ordered if share >= 0.005)
    first = result.critical_stations[0]
    return ordered[0][0], f"of one frame alone: {parts}; most: {first['station']}, {first['share']:.0%}"


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
