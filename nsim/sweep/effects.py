"""What a sweep's table tells: the best points, those that nothing beats, and what moved time and energy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError
from nsim.sweep.table import OPTIONS, POINT

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".parquet", ".csv")
NEEDED = ("point", "network", "chip", "status")
LEVELS = 8  # values of a column of numbers; of more, each level is a quarter of the points
MISSING = "as by default"
TOLD = 1.01  # times, from which on an effect is told


@dataclass(frozen=True)
class Level:
    """Points with one value, or a range of values, of a column: geometric mean of the target, and how many."""

    value: str
    mean: float
    points: int


@dataclass(frozen=True)
class Effect:
    """Main effect of a swept column: means of a target by its value, whatever the others are.

    levels      from the least mean to the largest
    times       the largest mean over the least
    explained   part of the variance of the target's logarithm that lies between the levels, 0..1
    """

    column: str
    target: str
    levels: tuple[Level, ...]
    times: float
    explained: float


@dataclass(frozen=True)
class Kind:
    """The points of a sweep whose time is of one kind: per timestep (or tick), frame, or event stream.

    of       what time and energy are of
    rows     the points that were done: `time_ps` and `energy_fj` are their headlines, NaN where not known
    swept    the columns that vary among them
    """

    of: str
    rows: pd.DataFrame
    swept: tuple[str, ...]

    @property
    def knows_energy(self) -> bool:
        return bool((self.rows["energy_fj"] > 0).any())

    def best(self, target: str, most: int) -> pd.DataFrame:
        """The points with the least time_ps or energy_fj; equal ones in the order of the sweep."""
        known = self.rows[self.rows[target] > 0]
        return known.sort_values(target, kind="stable").head(most)

    def front(self) -> pd.DataFrame:
        """Points that no other beats in time and energy at once, from the fastest on."""
        known = self.rows[(self.rows["time_ps"] > 0) & (self.rows["energy_fj"] > 0)]
        ordered = known.sort_values(["time_ps", "energy_fj"], kind="stable")
        before = np.minimum.accumulate(np.r_[np.inf, ordered["energy_fj"].to_numpy()])[:-1]
        return ordered[ordered["energy_fj"].to_numpy() < before]

    def effects(self) -> list[Effect]:
        """Of every swept column on time, then on energy if it is known, the largest first."""
        targets = ("time_ps", "energy_fj") if self.knows_energy else ("time_ps",)
        found = [effect for target in targets for effect in self._effects(target)]
        return [effect for effect in found if effect.times >= TOLD]

    def _effects(self, target: str) -> list[Effect]:
        known = self.rows[self.rows[target] > 0]
        if not len(known):
            return []
        logs = np.log(known[target].to_numpy(np.float64))
        found = [effect_of(name, target, levels_of(known[name]), logs) for name in self.swept]
        return sorted(found, key=lambda effect: -effect.times)


def effect_of(column: str, target: str, levels: Sequence[str], logs: NDArray[np.float64]) -> Effect:
    """levels: that of each point; logs: natural logarithms of its target."""
    names, own = np.unique(np.asarray(levels, str), return_inverse=True)
    points = np.bincount(own)
    means = np.bincount(own, logs) / points
    whole = float(logs.var())
    between = float(points @ (means - logs.mean()) ** 2 / logs.size)
    order = np.argsort(means, kind="stable")
    found = tuple(Level(str(names[k]), float(np.exp(means[k])), int(points[k])) for k in order)
    return Effect(column, target, found, found[-1].mean / found[0].mean, between / whole if whole else 0.0)


def levels_of(values: pd.Series) -> list[str]:
    """The value of each point in words; of many numbers, the quarter of the points in which it lies."""
    import pandas as pd

    known = values.dropna()
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values) and known.nunique() > LEVELS:
        quarters = pd.qcut(known, 4, duplicates="drop")
        edges = known.groupby(quarters, observed=True).agg(["min", "max"])
        names = {each: f"{row['min']:.4g} to {row['max']:.4g}" for each, row in edges.iterrows()}
        inside = quarters.map(names).astype(object)
        return [MISSING if name != name else str(name) for name in inside.reindex(values.index)]
    return [written(value) for value in values]


def written(value: Any) -> str:
    """A value of a swept column, as a sweep's file has it."""
    if value is None or value != value:
        return MISSING
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


TIMES: dict[str, tuple[str, Callable[[Any], Any]]] = {  # by kind: column of the time, and the energy of a row
    "frame": (
        "latency_ps",
        lambda rows: rows["known_dynamic_energy_per_frame_fj"] + rows["static_energy_per_frame_fj"].fillna(0),
    ),
    "stream": ("latency_median_ps", lambda rows: rows["energy_fj"]),
    "timestep": ("time_per_timestep_ps", lambda rows: rows["known_energy_per_timestep_fj"]),
}


def kinds_of(table: pd.DataFrame) -> list[Kind]:
    """The points that were done, by what their time is of; none if none was done."""
    done, found = table[table["status"] == "done"], []
    for of, (column, energy) in TIMES.items():
        if column not in done or not len(rows := done[done[column].notna()]):
            continue
        names = columns_of(rows)
        rows = rows.assign(time_ps=rows[column].astype(float), energy_fj=energy(rows).astype(float))
        found.append(Kind(of, rows, tuple(name for name in names if rows[name].nunique(dropna=False) > 1)))
    return found


def columns_of(row: Iterable[str]) -> list[str]:
    """Of the names of a row those that say which point it is."""
    given = list(row)
    return [name for name in (*POINT, *OPTIONS) if name in given] + [name for name in given if name.startswith("chip.")]


def read_sweep(path: Path) -> pd.DataFrame:
    """A sweep's table.

    raises   InputError if there is none, or it is not one of a sweep
    """
    import pandas as pd

    if not path.is_file():
        raise InputError(f"{path} does not exist: give a table that nsim sweep wrote")
    try:
        table = pd.read_csv(path, low_memory=False) if path.suffix == ".csv" else pd.read_parquet(path)
    except ImportError:
        raise InputError(f"{path} is Parquet, which needs pyarrow: pip install 'nsim-neuromorphic[sweep]'") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is damaged ({str(error).splitlines()[0]}): run nsim sweep again") from None
    missing = [name for name in NEEDED if name not in table]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}: give a table that nsim sweep wrote")
    return table


def facts(kinds: Sequence[Kind], most: int) -> list[dict[str, Any]]:
    """The same for scripts: by kind of time the best points by time, the front, and the effects."""
    return [
        {
            "of": kind.of,
            "fastest": _records(kind, kind.best("time_ps", most)),
            "front": _records(kind, kind.front().head(most)),
            "effects": [asdict(effect) for effect in kind.effects()],
        }
        for kind in kinds
    ]


def _records(kind: Kind, rows: pd.DataFrame) -> list[dict[str, Any]]:
    return rows[["point", *kind.swept, "time_ps", "energy_fj"]].astype(object).to_dict("records")
