"""What changed between runs: constants, partition, time, energy, layers; as a table, a page or a figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsim.errors import InputError, OutputError
from nsim.report.figures import compared, known_fj, span_ps
from nsim.report.plots import FORMATS
from nsim.report.table_file import SUFFIXES as TABLES
from nsim.report.table_file import check_table, write_table
from nsim.report.units import plural
from nsim.result.folder import check_replaceable
from nsim.result.run_folder import Run

if TYPE_CHECKING:
    import pandas as pd

OUT = (*TABLES, ".html", *FORMATS)
RANGED = {"time": "ps", "energy": "fj"}  # headlines that have ranges, and their units
SAME = ("reproducibility", "energy_by_action_fj", "neurobench_per_timestep", "violations", "sequences")


def compare(runs: Sequence[Run]) -> pd.DataFrame:
    """What differs, a row each: what (summary, chip value, layer), key, a column per run, and last over first.

    The ratio is empty where it makes no sense. Runs get numbers in front if folders have the same name.
    raises   InputError for fewer than two runs, or runs on chips that measure different things
    """
    import pandas as pd

    if len(runs) < 2:
        raise InputError(f"{len(runs)} run to compare: give at least 2 folders")
    kinds = {run.discipline for run in runs}
    if len(kinds) > 1:
        raise InputError(
            f"runs of different disciplines ({', '.join(sorted(kinds))}) have no numbers to compare: give runs of one"
        )
    names = _names(runs)
    found = [_values(run) for run in runs]
    rows = []
    for key in dict.fromkeys(key for values in found for key in values):
        own = [values.get(key) for values in found]
        if any(value != own[0] for value in own):
            what, name = key
            rows.append({"what": what, "key": name, **dict(zip(names, own, strict=True)), "ratio": _ratio(own)})
    return pd.DataFrame(rows, columns=["what", "key", *names, "ratio"])


def facts(found: pd.DataFrame, runs: Sequence[Run]) -> dict[str, Any]:
    """The same for scripts: runs by name, a row for all that differs, with a value for each run, and what is open."""
    names = list(found.columns[2:-1])
    rows = found.astype(object).to_dict("records")
    return {
        "runs": names,
        "differences": [
            {"what": row["what"], "key": row["key"], "values": {n: row[n] for n in names}, "ratio": row["ratio"]}
            for row in rows
        ],
        "undecided": undecided(runs),
    }


def check_comparison(path: Path, force: bool = False) -> None:
    """Refuse a comparison that cannot be written."""
    if path.suffix.lower() not in OUT:
        raise OutputError(f"comparison {path} has no format that can be written: end its name in {', '.join(OUT)}")
    if path.suffix.lower() in TABLES:
        check_table(path, force)
        return
    if not path.parent.is_dir():
        raise OutputError(f"comparison {path} is to go to a folder that does not exist: make {path.parent} first")
    check_replaceable(path, force)


def write_comparison(runs: Sequence[Run], table: pd.DataFrame, path: Path) -> None:
    """Write what `compare` found: the table, a page of it with a figure, or the figure alone, by the name's ending."""
    suffix = path.suffix.lower()
    drawn = compared(runs, _names(runs))
    if suffix in TABLES:
        write_table(table, path)
    elif suffix == ".html":
        from nsim.report.page import cells, fill, write_page

        verdict = " ".join(_changes(runs))
        networks, chips = _all_of(run.summary["network"] for run in runs), _all_of(run.facts["title"] for run in runs)
        heading = f"{plural(len(runs), 'run')}: {networks} on {chips}"
        write_page(fill("compare.html.j2", drawn, heading=heading, verdict=verdict, changes=cells(table)), path)
    else:
        from nsim.report.vector import write_figure

        write_figure(drawn, path)


def _names(runs: Sequence[Run]) -> list[str]:
    return [f"{number}: {run.name}" for number, run in enumerate(runs, 1)]


def _short_names(runs: Sequence[Run]) -> list[str]:
    """Without numbers, if the names are different."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else _names(runs)


def _all_of(names: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(names))


def undecided(runs: Sequence[Run]) -> list[str]:
    """Where the ranges of constants leave open which of the first and the last run takes more, in sentences."""
    (first, *_, last), (name, *_, other) = runs, _short_names(runs)
    said = []
    for what, unit in RANGED.items():
        ratios = _ratios(first, last, f"{what}_{unit}")
        if ratios is not None and ratios[0] < 1 < ratios[1]:
            low, high = ratios
            found = f"{other} takes {low:.3g} to {high:.3g}x the {what} of {name}"
            said.append(f"Undecided: within the ranges of constants, {found}.")
    return said


def _ratios(first: Run, last: Run, key: str) -> tuple[float, float] | None:
    """The least and the greatest ratio of the last to the first; None if ranges were not sought, or not known.

    On one chip file the runs are compared draw by draw, since they have the same constants; else by their ranges.
    """
    low, high = (key.replace("_", f"_{end}_") for end in ("low", "high"))
    if any(run.summary[each] is None or not run.summary[low] for run in (first, last) for each in (low, high)):
        return None
    if len({run.summary["reproducibility"]["chip_sha256"] for run in (first, last)}) == 1:
        drawn = last.tables["ranges"][key] / first.tables["ranges"][key]
        return float(drawn.min()), float(drawn.max())
    return last.summary[low] / first.summary[high], last.summary[high] / first.summary[low]


def _changes(runs: Sequence[Run]) -> list[str]:
    """How the last run compares with the first, in sentences."""
    (first, *_, last), (name, *_, other) = runs, _short_names(runs)
    said = []
    for what, value in (("time", span_ps), ("known energy", known_fj)):
        before, after = value(first), value(last)
        if not before or after is None:
            said.append(f"How {what} compares is not known.")
        elif before == after:
            said.append(f"{other} takes the same {what} as {name}.")
        else:
            said.append(f"{other} takes {after / before:.3g}x the {what} of {name}.")
    return said + undecided(runs)


def _values(run: Run) -> dict[tuple[str, str], Any]:
    """Everything that can differ, by what it is and its key."""
    values: dict[tuple[str, str], Any] = {}
    for key, value in run.summary.items():
        if key not in SAME and not isinstance(value, dict | list):
            values["summary", key] = value
    for action, energy in run.summary["energy_by_action_fj"].items():
        values["energy_fj", action] = energy
    values |= {("chip", row["key"]): row["value"] for row in run.facts["constants"]}
    for row in run.tables["layers"].to_dict("records") if "layers" in run.tables else ():
        values |= {(f"layer {row['layer']}", key): value for key, value in row.items() if key != "layer"}
    return values


def _ratio(values: Sequence[Any]) -> float | None:
    """The last over the first, of numbers."""
    first, last = values[0], values[-1]
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in (first, last)) or not first:
        return None
    return last / first
