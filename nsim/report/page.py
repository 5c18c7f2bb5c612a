"""The page: one self-contained HTML file of a run. The same run gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsim.chip.discipline import DISCIPLINES
from nsim.errors import OutputError, require
from nsim.report.answer import finite
from nsim.report.content import Content
from nsim.report.figures import contents, knows_energy
from nsim.report.svg import sections
from nsim.report.told import told_of_folder
from nsim.report.units import amount, cycles, joules, seconds, three_digits
from nsim.result.columns.column import Column, Columns, Declared
from nsim.result.folder import check_replaceable
from nsim.result.result import KEYS
from nsim.result.run_folder import Run

if TYPE_CHECKING:
    import pandas as pd

KNOWN = "known_"  # begins the names of sums over what is known
SAID = {"ps": seconds, "fJ": joules, "cycles": cycles, "1": three_digits}  # by unit
NAMES = KEYS | {"sequence", "slowest_core", "row", "column", "chip", "x", "y"}  # numbers that name something
TEMPLATES = Path(__file__).parent


def render(run: Run) -> str:
    """The HTML of a run."""
    name = "layers" if "layers" in run.tables else "tiles"
    declared: Declared = DISCIPLINES[run.discipline].part("columns")
    return fill(
        "page.html.j2",
        contents(run),
        heading=f"{run.summary['network']} on {run.facts['title']}",
        told=told_of_folder(run),
        run=run,
        layers=with_bars(declared.tables[name], run.tables[name], knows_energy(run)),
        headlines=headlines(run),
        constants=by_influence(run),
        summary=script(run.summary),
    )


def fill(template: str, drawn: Sequence[Content], **values: Any) -> str:
    """A page with these figures, from a template that extends base.html.j2; values: what else it needs."""
    require("jinja2", "a page", OutputError)
    import jinja2  # an extra

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    found = sections(drawn)
    switches = [script(each["switch"]) for each in found if "switch" in each]
    return environment.get_template(template).render(sections=found, switches=switches, **values)


def cells(table: pd.DataFrame) -> dict[str, list]:
    """A table as a template shows it: columns, and rows of values and their texts."""
    return {
        "columns": list(table.columns),
        "rows": [[_table_cell(value) for value in row] for row in table.to_numpy(object)],
    }


def with_bars(declared: Columns, table: pd.DataFrame, energy: bool) -> dict[str, list]:
    """The same of a declared table, in units that a person reads, with the part of the column's largest as a bar.

    energy   whether any cost is known: without, a known energy of 0 is shown as what it is
    """
    columns = [column for column in declared if column.name in table]
    shown = [_amounts(column, table[column.name].tolist(), energy) for column in columns]
    return {"columns": [_heading(column) for column in columns], "rows": list(zip(*shown, strict=True))}


def _amounts(column: Column, values: list[Any], energy: bool) -> list[tuple[Any, ...]]:
    """Of each row the value, for sorting, its text, and the bar in per cent; what only names something has no bar."""
    if not energy and column.name.startswith(KNOWN):
        return [("", "not known")] * len(values)
    if column.dtype == "string" or column.name in NAMES:
        return [_table_cell(value) for value in values]
    largest = max((value for value in values if not isnan(value)), default=0)
    said = SAID.get(column.unit, amount)
    return [
        ("", "") if isnan(value) else (value, said(value), round(100 * value / largest) if largest else 0)
        for value in values
    ]


def _heading(column: Column) -> str:
    """The name of a column whose values have their units beside them."""
    ending = f"_{column.unit.lower()}"
    return column.name.removesuffix(ending).replace(ending + "_", "_").replace("_", " ")


def by_influence(run: Run) -> list[tuple[str, list[dict[str, Any]]]]:
    """Constants of the chip file: those that move time and energy most, with what each does, then all others."""
    moved: dict[str, list[str]] = {}
    for each in run.summary["range_constants"]:
        said = SAID["ps" if each["of"] == "time" else "fJ"]
        moved.setdefault(each["key"], []).append(f"{each['of']} {said(each['low'])} to {said(each['high'])}")
    rows = [{**row, "moves": "; ".join(moved.get(row["key"], ()))} for row in run.facts["constants"]]
    most, others = [row for row in rows if row["moves"]], [row for row in rows if not row["moves"]]
    most.sort(key=lambda row: list(moved).index(row["key"]))
    return [("What moves the run most", most), ("All others", others)] if most else [("All", others)]


def script(content: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(finite(content), sort_keys=True, allow_nan=False).replace("<", "\\u003c")


def _table_cell(value: Any) -> tuple[Any, Any]:
    """The value, for sorting, and what is shown: empty where the table has nothing."""
    if value is None:
        return "", ""
    if isinstance(value, float):
        return ("", "") if isnan(value) else (value, _number(value))
    return value, value


def headlines(run: Run) -> list[tuple[str, str]]:
    """The numbers of the summary that are single values, by their documented key."""
    hidden = [key for key in run.summary if key.startswith(KNOWN) and not run.summary[key]]
    values = {key: None if key in hidden and not knows_energy(run) else value for key, value in run.summary.items()}
    return [(key, _cell(value)) for key, value in values.items() if not isinstance(value, dict | list)]


def _number(value: float) -> str:
    """Six significant digits, without powers of ten as far as that can be read."""
    return f"{value:,.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:,.6g}"


def _cell(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, float):
        return _number(value)
    return f"{value:,}" if type(value) is int else str(value)


def check_report(path: Path, force: bool = False) -> None:
    """Refuse a report that cannot be written, or would replace somebody else's file, before anything is simulated."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"report {path} is a web page: end its name in .html")
    if not path.parent.is_dir():
        raise OutputError(f"report {path} is to go to a folder that does not exist: make {path.parent} first")
    check_replaceable(path, force)
    for package in ("jinja2", "matplotlib"):
        require(package, f"report {path}", OutputError)


def write_report(run: Run, path: Path) -> None:
    """Write the page of a run."""
    write_page(render(run), path)


def write_page(text: str, path: Path) -> None:
    """Write a page; OutputError if it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write report {path} ({error.strerror}): give another file") from None
