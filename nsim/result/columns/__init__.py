"""What every run tells: the tables and the keys of summary.json of each discipline, declared once.

CSV headers, the keys of summary.json, the columns of a sweep, what a report reads, the JSON schema and RESULTS.md are
made from these declarations. `nsim.chip.discipline` names the one of each discipline.
"""

from nsim.chip.discipline import DISCIPLINES
from nsim.result.columns.column import COMMON, Column, Columns, Declared


def all_declared() -> dict[str, Declared]:
    """By discipline."""
    return {name: own.part("columns") for name, own in DISCIPLINES.items()}


__all__ = ["COMMON", "Column", "Columns", "Declared", "all_declared"]
