"""What the command line shows: the summary of a run, a chip with its sources, lists, progress."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from nsim.answer import answered, quiet
from nsim.bottleneck import Bottleneck
from nsim.chip import Chip
from nsim.chip_file import available_chips, load_chip
from nsim.network import Network
from nsim.result import Result
from nsim.simulation import Progress as Report
from nsim.workloads import BUILTIN, options, summary

PLAIN_WIDTH = 110  # when the output is not a terminal
ALONE = {"frame": " with nothing else on the chip", "stream": ", until all is drained"}


def console() -> Console:
    screen = Console()
    return screen if screen.is_terminal else Console(width=PLAIN_WIDTH)


def seconds(time_ps: float) -> str:
    """A time with three significant digits in a unit that suits it."""
    return scaled(time_ps, (("s", 1e12), ("ms", 1e9), ("us", 1e6), ("ns", 1e3), ("ps", 1.0)))


def joules(energy_fj: float) -> str:
    return scaled(energy_fj, (("J", 1e15), ("mJ", 1e12), ("uJ", 1e9), ("nJ", 1e6), ("pJ", 1e3), ("fJ", 1.0)))


def scaled(value: float, units: tuple[tuple[str, float], ...]) -> str:
    """Three significant digits in the first unit that is not too large; units from the largest on."""
    unit, scale = next(((u, s) for u, s in units if value >= s), units[-1])
    number = value / scale
    return f"{number:.{max(0, 2 - (number >= 10) - (number >= 100))}f} {unit}"


def pace(per_second: float | None) -> str:
    """How many in a second, a minute or an hour, whichever is the first with at least one; not known: nothing."""
    if not per_second:
        return ""
    units = (("s", 1), ("min", 60), ("h", 3600))
    unit, length = next(((unit, length) for unit, length in units if per_second * length >= 1), units[-1])
    number = per_second * length
    return f"{number:,.0f}/{unit}" if number >= 100 else f"{number:.3g}/{unit}"


@contextmanager
def progress(unit: str = "timesteps", doing: str = "simulating") -> Iterator[Report]:
    """A progress bar with rate and remaining time on standard error; yields the function to report to.

    It appears on terminals only, and not if the user wants quiet. What is printed meanwhile comes above it.
    """
    columns = (
        TextColumn(doing),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[left]}"),
    )
    error = Console(stderr=True)
    shown = error.is_terminal and not quiet()
    above = sys.stdout.isatty()  # else it is a file or a pipe, and gets what is printed as ever
    with Progress(*columns, console=error, transient=True, redirect_stdout=above, disable=not shown) as bar:
        task = bar.add_task("", total=None, rate="", left="")

        def report(done: int, total: int) -> None:
            rate = pace(bar.tasks[0].speed)
            bar.update(task, completed=done, total=total, rate=rate, left="left" if rate else "")

        yield report


def show_result(result: Result, out: Path | None) -> None:
    """The run in ten seconds: time, energy, the busiest core, use of cores and memory, and a line per layer."""
    chip, facts = result.mapping.chip, result.summary()
    notes = caveats(result.mapping.network, chip, facts)
    if answered(lambda: {**facts, "notes": notes}):
        return
    per_sample = f"{facts['timesteps'] // facts['samples']} timesteps"
    title = f"{facts['network']} on {chip.title}: {facts['cores_used']} of {facts['cores_available']} cores"
    grid = facts_grid()
    grid.add_row(
        "Time",
        seconds(facts["time_per_timestep_ps"]),
        f"per timestep (longest {seconds(facts['longest_timestep_ps'])}), "
        f"{seconds(facts['time_per_sample_ps'])} per sample of {per_sample}",
    )
    grid.add_row("Energy", *_energy_line(facts))
    grid.add_row(
        "Busiest",
        f"core {facts['busiest_core']}",
        f"({facts['busiest_core_layers']}) does {facts['busiest_core_stage']} for "
        f"{facts['busiest_core_utilisation']:.0%} of the time, {facts['busiest_core_synops_over_mean']:.1f} times the "
        "mean core's synops",
    )
    grid.add_row(
        "Use",
        f"{facts['mean_core_utilisation']:.0%}",
        f"of the time in the mean core, {facts['mean_memory_utilisation']:.0%} of its weight memory",
    )
    if result.states is not None:
        grid.add_row("Limit", f"{result.state}", _limit_line(result))
    grid.add_row("Traffic", f"{facts['messages'] / facts['timesteps']:,.0f}", _traffic_line(result))
    show_page(title, grid, _layer_table(result), notes, out)


def show_page(title: str, grid: Table, table: Table, notes: list[str], out: Path | None) -> None:
    """A result: its title and facts, a table, what a reader must know, and where its files are."""
    screen = console()
    screen.print(Text(title, style="bold"))
    screen.print(grid)
    screen.print()
    screen.print(table)
    for line in notes:
        screen.print(Text(line, style="dim"))
    if out:
        screen.print(f"Results are in {out}")


def facts_grid() -> Table:
    """Rows of a name, a number and what it says."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan")
    grid.add_column(style="bold", justify="right")
    grid.add_column()
    return grid


def _energy_line(facts: dict) -> tuple[str, str]:
    if facts["known_energy_per_timestep_fj"] == 0:
        return "unknown", "no cost of this chip is known"
    dynamic = facts["known_dynamic_energy_per_timestep_fj"]
    static = facts["known_energy_per_timestep_fj"] - dynamic
    parts = (
        f"{joules(dynamic)} dynamic and {joules(static)} static"
        if static
        else f"{joules(dynamic)} dynamic, static unknown"
    )
    return joules(facts["known_energy_per_timestep_fj"]), f"per timestep: {parts}"


def _limit_line(result: Result) -> str:
    """What the critical path consists of, and the station with most of it."""
    assert result.states is not None
    spent = {state: float(times.sum()) for state, times in result.states.items()}
    return "of the critical path: " + path_words(spent, result.critical_stations)


def path_words(spent_ps: Mapping[str, float], stations: list[dict[str, Any]]) -> str:
    """Shares of a critical path by state, largest first, and the station with most of it."""
    total = sum(spent_ps.values()) or 1
    ordered = sorted(spent_ps.items(), key=lambda item: -item[1])
    parts = ", ".join(f"{time / total:.0%} {state}" for state, time in ordered if time / total >= 0.005)
    return parts + (f"; most: {stations[0]['station']}, {stations[0]['share']:.0%}" if stations else "")


def _traffic_line(result: Result) -> str:
    if not result.link_rows:
        return "messages per timestep"
    heaviest = max(result.link_rows, key=lambda link: link["utilisation"])
    blocked = max(link["blocked_ps"] for link in result.link_rows)
    waiting = f", longest backpressure {seconds(blocked / result.steps)} per timestep" if blocked else ""
    return f"messages per timestep; fullest: {heaviest['link']}, {heaviest['utilisation']:.0%} of the time{waiting}"


def _layer_table(result: Result) -> Table:
    steps = result.steps
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column("layer")
    for heading in ("cores", "neurons", "firing", "messages", "synops", "busiest core", "used"):
        table.add_column(heading, justify="right")
    cores = result.core_columns
    for layer in result.layer_rows:
        own = [row for row, names in enumerate(cores["layers"]) if layer["layer"] in names.split("+")]
        busiest = max(own, key=lambda row: cores["utilisation"][row], default=None)
        table.add_row(
            layer["layer"],
            str(layer["cores"]) if layer["cores"] else "host",
            f"{layer['neurons']:,}",
            f"{layer['message_density']:.1%}",
            f"{layer['messages'] / steps:,.0f}",
            f"{layer['synops'] / steps:,.0f}",
            "" if busiest is None else str(cores["core"][busiest]),
            "" if busiest is None else f"{cores['utilisation'][busiest]:.0%}",
        )
    return table


def caveats(network: Network, chip: Chip, facts: dict) -> list[str]:
    """What a reader must know about the numbers above."""
    lines = [f"Note: {note}." for note in network.notes]
    if facts["actions_without_known_energy"]:
        lines.append(
            f"No cost is known for, so the energy leaves out: {', '.join(facts['actions_without_known_energy'])}."
        )
    return lines + sources(chip)


def sources(chip: Chip, used: tuple[str, ...] = ("",)) -> list[str]:
    """Which numbers of a chip nobody published, and where to look all of them up.

    used   beginnings of the keys that matter
    """
    lines = []
    numbers = [row for row in chip.provenance() if row.key.startswith(used) and not isinstance(row.value, bool | str)]
    for basis in ("assumed", "fitted"):
        if keys := [row.key for row in numbers if row.basis == basis]:
            lines.append(f"{basis.capitalize()}: {', '.join(keys)}.")
    shipped = chip.path in (path.resolve() for path in available_chips().values())
    lines.append(f"Every value with its source: nsim chips {chip.name if shipped else chip.path}")
    return lines


def show_floorline(found: Mapping[str, Bottleneck], plot: Path, choice: str = "partition") -> None:
    """By mapping: bounds, what was simulated, three opinions of the state, and what to change.

    choice   what the mappings differ in
    """
    one = next(iter(found.values()))
    network, chip = one.result.mapping.network, one.result.mapping.chip
    notes = caveats(network, chip, one.result.summary())
    points = {name: each.summary() for name, each in found.items()}
    facts = {"network": network.name, "chip": chip.name, "unit": one.unit, "choice": choice}
    if answered(lambda: {**facts, "points": points, "notes": notes, "plot": plot}):
        return
    screen = console()
    screen.print(Text(f"{network.name} on {chip.title}, per {one.unit}{ALONE.get(one.unit, '')}", style="bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column(choice)
    for heading in ("cores", *one.bounds.states, "floorline", "simulated", "over"):
        table.add_column(heading, justify="right")
    for name, point in points.items():
        bounds = [seconds(time) for time in point["bounds_ps"].values()]
        times = seconds(point["floorline_ps"]), seconds(point["simulated_ps"])
        table.add_row(name, str(point["cores"]), *bounds, *times, f"{point['over_floorline'] - 1:.1%}")
    screen.print(table)
    screen.print()
    states = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    for heading in (choice, "state by floorline", "by critical path", "by sensitivity"):
        states.add_column(heading)
    for name, point in points.items():
        predicted = f"{point['state_by_floorline']} (x{point['margin']:.1f} the next)"
        simulated, sensitive = point["state_by_critical_path"], point["state_by_sensitivity"]
        share = point["critical_path_ps"][simulated] / max(1, point["total_time_ps"])
        lowered = "input" if sensitive == "input" else "costs"
        saving = f"{sensitive} ({lowered} -10%: time -{point['time_saved_by_tenth_lower_costs'][sensitive]:.1%})"
        states.add_row(name, predicted, f"{simulated} ({share:.0%})", saving)
    screen.print(states)
    for name, each in found.items():
        screen.print()
        screen.print(Text(f"{name}: {each.advice}."))
        chain = [f"{s['station']} {s['share']:.0%}" for s in each.result.critical_stations[:4] if s["share"] >= 0.005]
        screen.print(Text(f"Critical path: {', '.join(chain) or each.simulated}."))
        if line := each.run_line:
            screen.print(Text(f"{line}."))
    screen.print()
    for line in notes:
        screen.print(Text(line, style="dim"))
    screen.print(f"The floorline plot is in {plot}")


def list_chips() -> None:
    chips = {name: load_chip(name) for name in available_chips()}
    rows = [{"name": n, "title": c.title, "cores": c.cores, "synchronisation": c.discipline} for n, c in chips.items()]
    if answered(lambda: {"chips": rows}):
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    for heading in ("chip", "", "cores", "synchronisation"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*map(str, row.values()))
    console().print(table)


def show_chip(chip: Chip) -> None:
    """Every value with its range, basis, source and reasoning."""
    if answered(lambda: _chip_facts(chip)):
        return
    screen = console()
    screen.print(Text(f"{chip.title} ({chip.path})", style="bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column("value", overflow="fold")
    table.add_column("", justify="right")
    table.add_column("basis")
    table.add_column("source and reasoning", ratio=1)
    for row in chip.provenance():
        value = _value(row.value)
        if row.range:
            value += f"\n{_value(row.range[0])} .. {_value(row.range[1])}"
        why = f"{row.source}: {row.note}" if row.note else row.source
        table.add_row(row.key, value, row.basis, Text(why))
    screen.print(table)
    screen.print(Text("Sources", style="bold"))
    for key, source in chip.sources.items():
        screen.print(Text(f"  {key}: {source}"))
    if chip.unknown_costs():
        screen.print(f"No energy is known for: {', '.join(chip.unknown_costs())}")


def _chip_facts(chip: Chip) -> dict[str, Any]:
    return {
        "name": chip.name,
        "title": chip.title,
        "file": chip.path,
        "values": [
            {"key": r.key, "value": r.value, "range": r.range, "basis": r.basis, "source": r.source, "note": r.note}
            for r in chip.provenance()
        ],
        "sources": chip.sources,
        "actions_without_known_energy": chip.unknown_costs(),
    }


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return " ".join(_value(item) for item in value)
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def list_networks() -> None:
    rows: list[dict[str, Any]] = [
        {"name": name, "summary": summary(name), "options": options(name)} for name in BUILTIN
    ]
    if answered(lambda: {"networks": rows}):
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    for heading in ("network", "", "options and defaults"):
        table.add_column(heading)
    for row in rows:
        given = ", ".join(f"{key}={value}" for key, value in row["options"].items())
        table.add_row(row["name"], row["summary"], given)
    screen = console()
    screen.print(table)
    screen.print("Files ending in .net (lava-dl), .nir (NIR) and .s5 (S5) work too.")
