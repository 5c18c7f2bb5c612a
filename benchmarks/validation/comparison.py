"""Measurements of a chip beside their simulated twins: rows, verdicts, tables. The scripts beside it fill them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

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

    def _agrees(self) -> bool:
        if self.relation == "<=":
            return self.simulated <= self.measured
        if self.relation == ">=":
            return self.simulated >= self.measured
        if self.relation == "in":
            return self.measured[0] <= self.simulated <= self.measured[1]
        return self.measured == self.simulated if self.error is None else abs(self.error) <= self.tolerance


def row(part, anchor, unit, measured, simulated, constants, why, source, relation="=", tolerance=0.0) -> Row:
    simulated = simulated.item() if isinstance(simulated, np.generic) else simulated
    return Row(part, anchor, unit, measured, simulated, relation, tolerance, constants, why, source)


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
        writer = csv.writer(file)
        writer.writerow([*(field.name for field in fields(Row)), "error", "verdict"])
        writer.writerows([*astuple(entry), entry.error, entry.verdict] for entry in rows)
