"""The end of a sweep: its best points and what moved time and energy, on the screen and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from nsim.errors import InputError, counted
from nsim.report.content import Bars, Content, Points, Series
from nsim.report.page import fill, write_page
from nsim.report.plots import COLOURS
from nsim.report.screen import Column, console, fitting, show_files
from nsim.report.units import joules, percent, seconds, times
from nsim.sweep.effects import Effect, Kind, facts, kinds_of, levels_of, read_sweep, written

if TYPE_CHECKING:
    import pandas as pd

BEST = 5  # points on the screen
ON_THE_PAGE = 30
DRAWN = 2_000  # points of a figure
SHOWN_ERRORS = 10
WORDS = {"time_ps": "time", "energy_fj": "energy"}
UNITS = {"time_ps": seconds, "energy_fj": joules}
PER = {"timestep": "per timestep or tick", "frame": "for one frame alone", "stream": "from event to output, median"}
SERIES = ("memory", "compute", "traffic", "management", "bound", "barrier")  # colours of schedules, in this order


def show_best(path: Path) -> None:
    """The best points of a sweep, and what moved time and energy."""
    screen = console()
    for kind in kinds_of(read_sweep(path)):
        if len(kind.rows) < 2:
            continue
        screen.print()
        screen.print(Text(f"{_heading(kind)}, {PER[kind.of]}"))
        screen.print(fitting(best_columns(kind, ends(kind)), screen.width))
        effects = kind.effects()
        if effects:
            screen.print()
            screen.print(fitting(_effect_columns(effects), screen.width))
    show_files(screen, {"page": f"nsim report {path}"})


def ends(kind: Kind) -> pd.DataFrame:
    """The fastest points, and that of the least energy."""
    import pandas as pd

    fast = kind.best("time_ps", BEST)
    least = kind.best("energy_fj", 1)
    return pd.concat([fast, least[~least["point"].isin(fast["point"])]])


def _heading(kind: Kind) -> str:
    """What the rows are that are shown."""
    least, fast = kind.best("energy_fj", 1)["point"], kind.best("time_ps", BEST)["point"]
    more = "" if set(least) <= set(fast) else " and that of the least energy"
    return f"the fastest of {counted(len(kind.rows), 'point')}{more}"


def best_columns(kind: Kind, rows: pd.DataFrame) -> list[Column]:
    swept = [Column(name, [written(value) for value in rows[name]], 5, right=False) for name in kind.swept]
    return [
        Column("point", [str(number) for number in rows["point"]]),
        *swept,
        Column("time", [_shown(value, seconds) for value in rows["time_ps"]], 1),
        Column("energy", [_shown(value, joules) for value in rows["energy_fj"]], 2),
    ]


def _shown(value: float, unit: Any) -> str:
    return unit(value) if value > 0 else "unknown"


def _effect_columns(effects: Sequence[Effect]) -> list[Column]:
    ends = [(effect.levels[0], effect.levels[-1], UNITS[effect.target]) for effect in effects]
    return [
        Column("what moved", [f"{WORDS[each.target]}: {each.column}" for each in effects], right=False),
        Column("by", [times(each.times) for each in effects]),
        Column("variance", [percent(each.explained) for each in effects], 3),
        Column("least at", [f"{low.value} ({unit(low.mean)})" for low, _, unit in ends], 1, False),
        Column("most at", [f"{high.value} ({unit(high.mean)})" for _, high, unit in ends], 2, False),
    ]


# The page


def write_sweep_page(table: pd.DataFrame, path: Path, name: str) -> None:
    """Write the page of a sweep: fronts, effects, schedules, the best points and what failed.

    raises   InputError if no point was done
    """
    kinds = kinds_of(table)
    if not kinds:
        raise InputError(f"{name} has no point that was done, of {len(table):,}: nothing can be drawn")
    failed = table[table["status"] != "done"]
    errors = failed["error"].value_counts().head(SHOWN_ERRORS).items() if len(failed) else ()
    text = fill(
        "sweep.html.j2",
        [content for kind in kinds for content in _contents(kind)],
        heading=f"{counted(len(table), 'point')} of {name}",
        verdict=" ".join(_verdict(kind) for kind in kinds),
        kinds=[_tables(kind) for kind in kinds],
        errors=[(f"{count:,} x", str(error)) for error, count in errors],
    )
    write_page(text, path)


def sweep_facts(table: pd.DataFrame) -> list[dict[str, Any]]:
    return facts(kinds_of(table), BEST)


def _verdict(kind: Kind) -> str:
    fastest = kind.best("time_ps", 1)
    if not len(fastest):
        return f"No time is known {PER[kind.of]}."
    said = f"Fastest: point {fastest['point'].iloc[0]}, {seconds(fastest['time_ps'].iloc[0])} {PER[kind.of]}"
    moved = kind.effects()
    if not moved:
        return f"{said}."
    first = moved[0]
    return f"{said}; {first.column} moves {WORDS[first.target]} most, {times(first.times)}."


def _tables(kind: Kind) -> dict[str, Any]:
    front = kind.front() if kind.knows_energy else kind.best("time_ps", ON_THE_PAGE)
    heads = ["point", *kind.swept, "time", "energy"]
    rows = [
        [
            *((_sorting(row[name]), written(row[name])) for name in ("point", *kind.swept)),
            (row["time_ps"], _shown(row["time_ps"], seconds)),
            (row["energy_fj"], _shown(row["energy_fj"], joules)),
        ]
        for row in front.head(ON_THE_PAGE).to_dict("records")
    ]
    effects = kind.effects()
    sizes = [
        [
            (WORDS[each.target], WORDS[each.target]),
            (each.column, each.column),
            (each.times, times(each.times)),
            (each.explained, percent(each.explained)),
        ]
        for each in effects
    ]
    means = [
        [
            (WORDS[each.target], WORDS[each.target]),
            (each.column, each.column),
            (level.value, level.value),
            (level.mean, UNITS[each.target](level.mean)),
            (level.points, f"{level.points:,}"),
        ]
        for each in effects
        for level in each.levels
    ]
    return {
        "id": kind.of,
        "per": PER[kind.of],
        "points": {"columns": heads, "rows": rows},
        "beaten": "not beaten in time and energy at once" if kind.knows_energy else "the fastest",
        "more": max(0, len(front) - ON_THE_PAGE),
        "sizes": {"columns": ["of", "column", "worst over best", "of the variance"], "rows": sizes},
        "means": {"columns": ["of", "column", "value", "mean", "points"], "rows": means},
    }


def _sorting(value: Any) -> Any:
    return "" if value is None or value != value else value


def _contents(kind: Kind) -> list[Content]:
    made = (_front(kind), _effects(kind), _schedules(kind))
    return [content for content in made if content is not None]


def _front(kind: Kind) -> Content | None:
    """Time and energy of all points, and the front."""
    if not kind.knows_energy:
        return None
    known, front = kind.rows[(kind.rows["time_ps"] > 0) & (kind.rows["energy_fj"] > 0)], kind.front()
    drawn = known.iloc[:: -(-len(known) // DRAWN)]
    text = f"Points of the sweep by time {PER[kind.of]} and energy; the line joins those that no other beats in both."
    if len(drawn) < len(known):
        text += f" Drawn are {len(drawn):,} of {counted(len(known), 'point')}, and all of the line."

    def columns(rows: pd.DataFrame) -> dict[str, Any]:
        return {
            "x": (rows["time_ps"] / 1e6).tolist(),
            "y": (rows["energy_fj"] / 1e9).tolist(),
            "names": [_name(kind, row) for row in rows.to_dict("records")],
        }

    key, labels = f"front-{kind.of}", ("time (us)", "energy (uJ)")
    return Points(key, f"Time and energy, {PER[kind.of]}", text, columns(drawn), columns(front), *labels)


def _name(kind: Kind, row: dict[str, Any]) -> str:
    values = [f"{name} {written(row[name])}" for name in kind.swept if written(row[name])]
    return f"point {row['point']}: {', '.join(values)}"


def _effects(kind: Kind) -> Content | None:
    """The largest mean over the least, by column: what is less is better."""
    effects = kind.effects()
    if not effects:
        return None
    names = list(dict.fromkeys(effect.column for effect in effects))
    by = {(effect.target, effect.column): effect.times for effect in effects}
    series = [
        Series(WORDS[target], [by.get((target, name), 1.0) for name in names], COLOURS[colour])
        for target, colour in (("time_ps", "memory"), ("energy_fj", "compute"))
        if any(effect.target == target for effect in effects)
    ]
    text = (
        "Main effects: for every column that was swept, the geometric mean of its worst value over that of its best, "
        "whatever the other columns are. 1 is no effect; columns that were swept together share theirs."
    )
    return Bars(
        f"effects-{kind.of}",
        f"What moved time and energy, {PER[kind.of]}",
        text,
        names,
        series,
        "worst over best mean",
        "",
    )


def _schedules(kind: Kind) -> Content | None:
    """Time by schedule, for every level of activation sparsity."""
    if "schedule" not in kind.swept:
        return None
    import numpy as np

    known = kind.rows[kind.rows["time_ps"] > 0]
    levels = levels_of(known["activation_sparsity"])
    schedules = [written(value).partition(":")[0] for value in known["schedule"]]
    logs = np.log(known["time_ps"].to_numpy() / 1e6)
    categories, names = list(dict.fromkeys(levels)), list(dict.fromkeys(schedules))
    means: dict[tuple[str, str], list[float]] = {}
    for level, schedule, log in zip(levels, schedules, logs.tolist(), strict=True):
        means.setdefault((schedule, level), []).append(log)
    series = [
        Series(name, [_mean(means.get((name, level))) for level in categories], COLOURS[SERIES[k % len(SERIES)]])
        for k, name in enumerate(names)
    ]
    text = (
        "The same mean activity, spread over the layers by different schedules; groups are levels of activation "
        "sparsity, bars geometric means over all other columns."
    )
    title = f"Schedules of activity, time {PER[kind.of]}"
    return Bars(f"schedules-{kind.of}", title, text, categories, series, f"time {PER[kind.of]}", "us")


def _mean(logs: list[float] | None) -> float | None:
    from math import exp

    return None if not logs else exp(sum(logs) / len(logs))
