"""The best points of a sweep while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pandas as pd
from rich.console import Group
from rich.text import Text

from nsim.errors import counted
from nsim.report.screen import Column, fitting
from nsim.sweep.effects import TIMES, columns_of, kinds_of
from nsim.sweep.page import PER, best_columns, ends
from nsim.sweep.run import Sweep
from nsim.sweep.store import Store
from nsim.sweep.table import row_of

EVERY_S = 0.5  # between tables


class Best:
    """What the finished points of a sweep tell so far; drawn again at most every half second.

    rows     of the points that a table can show
    first    value of each column, by kind of time
    swept    those that have had another since
    """

    def __init__(self, sweep: Sweep, store: Store) -> None:
        self.sweep, self.store = sweep, store
        self.number_of = {key: number for number, key in reversed(list(enumerate(sweep.keys)))}
        self.rows: list[dict[str, Any]] = []
        self.first: dict[tuple[str, str], Any] = {}
        self.swept: set[tuple[str, str]] = set()
        self.seen = self.failed = 0
        self.drawn: list[Text | list[Column]] = []
        self.drawn_s = -EVERY_S
        self.add(key for key in self.number_of if key in store)

    def add(self, keys: Iterable[str]) -> None:
        """Points that the store has now."""
        for key in keys:
            self._add(self.number_of[key], key)
        if time.monotonic() - self.drawn_s >= EVERY_S:
            self.drawn = self._tables()
            self.drawn_s = time.monotonic()

    def _add(self, number: int, key: str) -> None:
        found = self.store.get(key)
        row = row_of(number, key, self.sweep.points[number], found["measures"], found["error"])
        self.seen += 1
        self.failed += found["error"] is not None
        if found["error"] is None:
            self.rows.append(row)
            of = next((of for of, (column, _) in TIMES.items() if row.get(column) is not None), "")
            names = [(of, name) for name in columns_of(row)]
            self.swept |= {each for each in names if self.first.setdefault(each, row[each[1]]) != row[each[1]]}

    def table(self, width: int) -> Group:
        """The tables, on a screen of this width."""
        return Group(*(fitting(each, width) if isinstance(each, list) else each for each in self.drawn))

    def _tables(self) -> list[Text | list[Column]]:
        """A line and a table for each kind of time; rows that are in none are forgotten."""
        said = f"{counted(self.seen, 'point')} finished, {self.failed:,} failed"
        lines: list[Text | list[Column]] = []
        shown: list[int] = []
        self.rows.sort(key=lambda row: row["point"])  # equal ones are shown in this order
        for kind in kinds_of(pd.DataFrame(self.rows)) if self.rows else ():
            kind = replace(kind, swept=tuple(name for name in columns_of(kind.rows) if (kind.of, name) in self.swept))
            best = ends(kind)
            shown += best["point"].tolist()
            lines += [Text(f"the best so far, {PER[kind.of]}; {said}"), best_columns(kind, best)]
        self.rows = [row for row in self.rows if row["point"] in shown]
        return [*lines, *([Text()] if lines else ())]
