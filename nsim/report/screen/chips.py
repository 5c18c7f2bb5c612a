"""What `nsim chips` and `nsim networks` show."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.padding import Padding
from rich.text import Text

from nsim.chip.chip import Chip, ProvenanceRow
from nsim.chip.file import available_chips, load_chip
from nsim.errors import ChipError
from nsim.network.builtin import BUILTIN, options, summary
from nsim.report.answer import answered, say
from nsim.report.fit import Fit
from nsim.report.screen import Column, console, fitting, table_width

EXAMPLES = {"barrier": "mlp", "frame": "cnn", "stream": "speck-gesture", "tick": "random:p1=0.9,p3=0.1"}  # that fit


def list_chips() -> None:
    chips = {name: load_chip(name) for name in available_chips()}
    rows = [{"name": n, "title": c.title, "cores": c.cores, "synchronisation": c.discipline} for n, c in chips.items()]
    if answered(lambda: {"chips": rows}):
        return
    screen = console()
    headings = {"chip": "name", "title": "title", "cores": "cores", "synchronisation": "synchronisation"}
    columns = [
        Column(heading, [_value(row[key]) for row in rows], right=heading == "cores")
        for heading, key in headings.items()
    ]
    screen.print(fitting(columns, screen.width))


def show_chip(chip: Chip, key: str | None = None) -> None:
    """Every value with its range, basis, source and reasoning; with a key only that value, or those of that table.

    raises   ChipError for a key that the chip's file does not have
    """
    rows = chip.provenance() if key is None else _values_of(chip, key)
    named = {source for row in rows for source in _sources_of(row.source)}
    sources = {name: text for name, text in chip.sources.items() if key is None or name in named}
    if answered(lambda: _chip_facts(chip, rows, sources)):
        return
    screen = console()
    if key is None:
        screen.print(Text(f"{chip.title} ({chip.path})", style="bold"))
    for row in rows:
        value = _value(row.value)
        if row.range:
            value += f" ({_value(row.range[0])} to {_value(row.range[1])})"
        screen.print(Text.assemble((row.key, "cyan"), f"  {value}  ", (row.basis, "bold")))
        screen.print(Padding(Text(f"{row.source}: {row.note}" if row.note else row.source, style="dim"), (0, 0, 0, 4)))
    screen.print(Text("Sources", style="bold"))
    for name, text in sources.items():
        screen.print(Text(f"  {name}: {text}"))
    if key is None and chip.unknown_costs():
        screen.print(f"No energy is known for: {', '.join(chip.unknown_costs())}")


def _values_of(chip: Chip, key: str) -> list[ProvenanceRow]:
    rows = [row for row in chip.provenance() if row.key == key or row.key.startswith(f"{key.rstrip('.')}.")]
    if rows:
        return rows
    keys = [row.key for row in chip.provenance()]
    tables = sorted({each.rpartition(".")[0] for each in keys})
    near = difflib.get_close_matches(key, [*tables, *keys], 3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"its tables are {', '.join(tables)}"
    raise ChipError(f"the file of chip {chip.name} has no value {key!r}: {hint}")


def _sources_of(text: str) -> list[str]:
    return [part.split(",")[0].strip() for part in text.split(";")]


def show_template(path: Path) -> None:
    """Where a new chip file is, and what to do with it."""
    shown = str(path) if path.is_absolute() or path.parent != Path() else f"./{path}"
    again = shlex.join(["nsim", "run", EXAMPLES[load_chip(shown).discipline], "--chip", shown])
    if not answered(lambda: {"template": path, "command": again}):
        say(f"{path} is written. Edit it, then:")
        say(f"  {again}")


def show_fits(found: Sequence[Fit]) -> None:
    """Networks by chips: cores in use where it fits."""
    facts = [{"network": f.network, "chip": f.chip.name, "cores": f.cores, "why_not": f.why_not or None} for f in found]
    if answered(lambda: {"fits": facts}):
        return
    screen = console()
    networks = list(dict.fromkeys(each.network for each in found))
    chips = list(dict.fromkeys(each.chip.name for each in found))
    cells = {(each.network, each.chip.name): "-" if each.cores is None else str(each.cores) for each in found}
    without = [chip for chip in chips if all(cells[network, chip] == "-" for network in networks)]
    used = [chip for chip in chips if chip not in without]
    columns = [Column(chip, [cells[network, chip] for network in networks]) for chip in used]
    for shown in _side_by_side(Column("cores on", networks, right=False), columns, screen.width):
        screen.print(fitting(shown, screen.width))
        screen.print()
    if without:
        screen.print(f"None of them is for {', '.join(without)}.")
    screen.print("-: does not fit as it is; nsim advise NETWORK says why, and what to change.")


def _side_by_side(first: Column, columns: Sequence[Column], width: int) -> Iterator[list[Column]]:
    """As many tables with the same first column as it takes to show all of them."""
    shown = [first]
    for column in columns:
        if len(shown) > 1 and table_width([*shown, column]) > width:
            yield shown
            shown = [first]
        shown.append(column)
    yield shown


def _chip_facts(chip: Chip, rows: Sequence[ProvenanceRow], sources: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": chip.name,
        "title": chip.title,
        "file": chip.path,
        "values": [
            {"key": r.key, "value": r.value, "range": r.range, "basis": r.basis, "source": r.source, "note": r.note}
            for r in rows
        ],
        "sources": sources,
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
    screen.print(
        "Files ending in .net (lava-dl), .nir (NIR), .pt2, .onnx, .s5 and .npz, and model.py:net work too.\n"
        "--fits says on which chips they fit."
    )
