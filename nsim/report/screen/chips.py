"""What `nsim chips` and `nsim networks` show."""

from __future__ import annotations

from typing import Any

from rich.padding import Padding
from rich.text import Text

from nsim.chip.chip import Chip
from nsim.chip.file import available_chips, load_chip
from nsim.network.builtin import BUILTIN, options, summary
from nsim.report.answer import answered
from nsim.report.screen import Column, console, fitting


def list_chips() -> None:
    chips = {name: load_chip(name) for name in available_chips()}
    rows = [{"name": n, "title": c.title, "cores": c.cores, "synchronisation": c.discipline} for n, c in chips.items()]
    if answered(lambda: {"chips": rows}):
        return
    screen = console()
    headings = {"chip": "name", "title": "title", "cores": "cores", "synchronisation": "synchronisation"}
    columns = [Column(heading, [str(row[key]) for row in rows], right=False) for heading, key in headings.items()]
    screen.print(fitting(columns, screen.width))


def show_chip(chip: Chip) -> None:
    """Every value with its range, basis, source and reasoning."""
    if answered(lambda: _chip_facts(chip)):
        return
    screen = console()
    screen.print(Text(f"{chip.title} ({chip.path})", style="bold"))
    for row in chip.provenance():
        value = _value(row.value)
        if row.range:
            value += f" ({_value(row.range[0])} to {_value(row.range[1])})"
        screen.print(Text.assemble((row.key, "cyan"), f"  {value}  ", (row.basis, "bold")))
        screen.print(Padding(Text(f"{row.source}: {row.note}" if row.note else row.source, style="dim"), (0, 0, 0, 4)))
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
    screen = console()
    for row in rows:
        given = ", ".join(f"{key}={value}" for key, value in row["options"].items())
        screen.print(Text.assemble((row["name"], "cyan"), f"  {row['summary']}"))
        if given:
            screen.print(Padding(Text(given, style="dim"), (0, 0, 0, 4)))
    screen.print("Files ending in .net (lava-dl), .nir (NIR) and .s5 (S5) work too.")
