"""Measurements of a chip beside their simulated twins: rows, verdicts, tables, and the command line of the scripts.

`frozen/CHIP.csv` holds the rows of a chip as they are. A test compares them, so that none moves unseen, and the picture
and the tables of the documents are made of them: `python -m benchmarks.validation.CHIP --csv FILE` writes them anew.
"""

from __future__ import annotations

import ast
import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from nsim.chip.file import load_chip

FROZEN = Path(__file__).with_name("frozen")
CHIPS = ("loihi2", "akd1000", "akd1500", "speck", "loihi")  # that have frozen rows
PLAIN_WIDTH = 170  # when the output is not a terminal

# How the constants behind a simulated number came about
FITTED = "fitted"  # to this very measurement
INPUT = "input"  # the measurement is itself in the chip file or in the network's activity
PARTLY = "partly"  # one of them is chosen with this measurement in sight, or the activity comes from the same log
INDEPENDENT = "independent"
MICROBENCHMARKS = "Microbenchmarks"


@dataclass(frozen=True)
class Row:
    """One measurement and its simulated twin.

    relation   how they should relate: "=" within `tolerance` (relative), "<=" or ">=" (measured is a bound), "in" (a
               pair of bounds), "" (no verdict)
    constants  FITTED, INPUT, PARTLY or INDEPENDENT; `why` says which constants
    """

    part: str
    anchor: str
    unit: str
    measured: Any
    simulated: Any
    relation: str
    tolerance: float
    constants: str
    why: str
    source: str

    @property
    def error(self) -> float | None:
        """Relative error; None where one of the two is not a number."""
        numeric = all(isinstance(v, (int, float)) for v in (self.measured, self.simulated))
        return self.simulated / self.measured - 1 if numeric and self.measured and self.relation != "in" else None

    @property
    def verdict(self) -> str:
        if not self.relation:
            return "-"
        return "within" if self._agrees() else "OUTSIDE"

    @property
    def comparable(self) -> bool:
        """Whether both numbers are known and should be the same."""
        return self.relation == "=" and self.error is not None and not self.part.startswith(MICROBENCHMARKS)

    def _agrees(self) -> bool:
        if self.relation == "<=":
            return self.simulated <= self.measured
        if self.relation == ">=":
            return self.simulated >= self.measured
        if self.relation == "in":
            return self.measured[0] <= self.simulated <= self.measured[1]
        return self.measured == self.simulated if self.error is None else abs(self.error) <= self.tolerance


def row(part, anchor, unit, measured, simulated, constants, why, source, relation="=", tolerance=0.0) -> Row:
    why = " ".join(why.split())
    return Row(part, anchor, unit, rounded(measured), rounded(simulated), relation, tolerance, constants, why, source)


def rounded(value: Any) -> Any:
    """Seven significant digits: more than any measurement has, and the same on every processor."""
    value = value.item() if isinstance(value, np.generic) else value
    return float(f"{value:.7g}") if isinstance(value, float) else value


def shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " to ".join(shown(v) for v in value)
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def show(rows: list[Row], not_comparable: Sequence[tuple[str, str, str]]) -> None:
    """The comparison, its notes, the slopes if there are any, and what cannot be compared (anchor, source, reason)."""
    screen = Console()
    screen = screen if screen.is_terminal else Console(width=PLAIN_WIDTH)
    compared = [entry for entry in rows if not entry.part.startswith(MICROBENCHMARKS)]
    reasons = {why: number for number, why in enumerate(dict.fromkeys(entry.why for entry in compared), 1)}
    screen.print(comparison(compared, "Measured on the chip and simulated", "measured", reasons))
    for why, number in reasons.items():
        screen.print(f"({number}) {why}", highlight=False)
    slopes = [entry for entry in rows if entry.part.startswith(MICROBENCHMARKS)]
    if slopes:
        screen.print(comparison(slopes, "Slope of time over work, and the constant it returns", "chip file"))
    missing = Table(title="Published, but not comparable", title_justify="left")
    for column in ("", "source", "what is missing"):
        missing.add_column(column, overflow="fold")
    for line in not_comparable:
        missing.add_row(*line)
    screen.print(missing)
    judged = [entry for entry in compared if entry.relation]
    for kind in (INDEPENDENT, PARTLY, FITTED, INPUT):
        own = [entry for entry in judged if entry.constants == kind]
        agreeing = sum(entry.verdict == "within" for entry in own)
        screen.print(f"{kind}: {agreeing} of {len(own)} comparisons are within what is expected", highlight=False)


def comparison(rows: list[Row], title: str, reference: str, reasons: dict[str, int] | None = None) -> Table:
    """One line per row under a line per part; with `reasons`, numbers that point to the notes below the table."""
    table = Table(title=title, title_justify="left")
    for column in ("", reference, "simulated", "error %", "verdict", "constants", "source"):
        table.add_column(column, justify="right" if column == "error %" else "left", overflow="fold")
    part = None
    for entry in rows:
        if entry.part != part:
            part = entry.part
            table.add_section()
            table.add_row(f"[bold]{part}")
        bound = entry.relation if entry.relation in ("<=", ">=") else ""
        table.add_row(
            f"{entry.anchor}{f' [{entry.unit}]' if entry.unit else ''}".replace("[", r"\["),
            f"{bound} {shown(entry.measured)}".strip(),
            shown(entry.simulated),
            "" if entry.error is None else f"{round(100 * entry.error, 1) + 0.0:+.1f}",
            "[red]OUTSIDE" if entry.verdict == "OUTSIDE" else entry.verdict,
            f"{entry.constants} ({reasons[entry.why]})" if reasons else entry.why,
            entry.source,
        )
    return table


def write_csv(rows: list[Row], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*(field.name for field in fields(Row)), "error", "verdict"])
        writer.writerows([*map(_plain, astuple(entry)), _plain(entry.error), entry.verdict] for entry in rows)


def _plain(value: Any) -> Any:
    return f"{value:.7g}" if isinstance(value, float) else value


def frozen(chip: str) -> list[Row]:
    """The rows of a chip as they were last written."""
    with (FROZEN / f"{chip}.csv").open(newline="", encoding="utf-8") as file:
        return [
            Row(**{field.name: _read(field.name, line[field.name]) for field in fields(Row)})
            for line in csv.DictReader(file)
        ]


def _read(field: str, text: str) -> Any:
    if field == "tolerance":
        return float(text)
    if field not in ("measured", "simulated"):
        return text
    if text.startswith("("):
        return ast.literal_eval(text)
    try:
        return float(text) if {*".e"} & {*text} else int(text)
    except ValueError:
        return text


def script(
    chip: str, all_rows: Callable[[Any, bool, str], Iterator[Row]], missing: Sequence[tuple[str, str, str]]
) -> None:
    """The command line of a script: rows as tables, and as a file. all_rows takes chip, quick and engine."""

    def main(
        quick: Annotated[bool, typer.Option("--quick", help="Without the rows that take longest.")] = False,
        csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the rows to this file, too.")] = None,
        engine: Annotated[str, typer.Option(help="compiled or simpy.")] = "compiled",
    ) -> None:
        rows = list(all_rows(load_chip(chip), quick, engine))
        show(rows, missing)
        if csv_file:
            write_csv(rows, csv_file)

    main.__doc__ = f"Compare what was measured on {load_chip(chip).title} with the simulator."
    typer.run(main)
