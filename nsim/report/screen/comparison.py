"""What `nsim compare` shows: what differs between runs, in units that a person reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nsim.report.screen import Column, console, fitting
from nsim.report.units import amount, joules, percent, seconds, three_digits, times, watts

if TYPE_CHECKING:
    import pandas as pd

UNITS: dict[str, Callable[[Any], str]] = {
    "_ps": seconds,
    "_fj": joules,
    "_mw": watts,
    "_s": lambda s: seconds(s * 1e12),
}
PARTS = ("utilisation", "_share", "density", "accuracy")  # ends of what is a part of 1


def show_comparison(found: pd.DataFrame, sentences: Sequence[str]) -> None:
    """A line for all that differs; runs between the first column, which is never dropped, and the ratio."""
    screen = console()
    if not len(found):
        screen.print("Nothing differs.")
    else:
        rows = found.astype(object).to_dict("records")
        names = list(found.columns[2:-1])
        screen.print(
            fitting(
                [
                    Column("what differs", [_key(row) for row in rows], right=False),
                    *(Column(name, [_shown(row, row[name]) for row in rows]) for name in names),
                    Column("ratio", ["" if _missing(row["ratio"]) else times(row["ratio"]) for row in rows], 1),
                ],
                screen.width,
            )
        )
    for sentence in sentences:
        screen.print(sentence)


def _key(row: dict[str, Any]) -> str:
    key = str(row["key"])
    return key if row["what"] == "summary" else f"{row['what'].removesuffix('_fj')}: {key}"


def _missing(value: Any) -> bool:
    return value is None or value != value


def _shown(row: dict[str, Any], value: Any) -> str:
    if _missing(value):
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    key = "_fj" if row["what"] == "energy_fj" else str(row["key"])
    if (unit := next((unit for end, unit in UNITS.items() if key.endswith(end)), None)) is not None:
        return unit(value)
    if key.endswith(PARTS):
        return percent(value)
    return amount(int(value)) if value == int(value) else three_digits(value)
