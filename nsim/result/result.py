"""One result for every discipline: tables, a summary, what limits the run, energy, files, figures, its card."""

from __future__ import annotations

import json
import platform
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import Chip
from nsim.errors import InputError, version_of
from nsim.network.layers import Network
from nsim.result.columns.column import Columns, Declared
from nsim.result.energy import Energy, energy_of
from nsim.result.ranges import Ranges, ranges_summary

if TYPE_CHECKING:
    import pandas as pd

    from nsim import Plot

# The columns of a table that name its rows end in one of these
KEYS = {"core", "layer", "link", "station", "timestep", "frame", "event", "tile", "kind", "port", "draw"}
Row = dict[str, Any]
Columnar = Mapping[str, Any]  # a table by column: arrays or lists


@dataclass(frozen=True)
class Limit:
    """What limits a run: a state or a station, and its part, 0..1, of what tells so. None where that is not known.

    by   critical path; busy time, where the path was not recorded; or waiting
    """

    name: str | None = None
    by: str | None = None
    share: float | None = None

    def __str__(self) -> str:
        return "unknown" if self.name is None else f"{self.name}, {self.share or 0:.0%} of the {self.by}"


class Tabular(ABC):
    """What can be written as declared tables. A subclass makes the table `name` in its method `_name`."""

    declared: ClassVar[Declared]
    record: Mapping[str, NDArray] = MappingProxyType({})  # states that were kept; on chips with timesteps

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that there are."""
        return tuple(name for name in self.declared.tables if name not in self.declared.optional or self._has(name))

    def _has(self, name: str) -> bool:
        """Whether there is a table that is optional."""
        return False

    def table(self, name: str, indexed: bool = False) -> pd.DataFrame:
        """A table with its declared columns.

        indexed   by what its rows are of: the layer, the core, sample and timestep, ...
        raises    InputError for a table that there is not, or whose rows have no name
        """
        self._known(name)
        columns = self.declared.tables[name]
        frame = data_frame(columns, self.columns(name))
        return frame.set_index(list(index_of(name, columns))) if indexed else frame

    def __repr__(self) -> str:
        return f"{type(self).__name__} with tables {', '.join(self.tables)}"

    def columns(self, name: str) -> Columnar:
        """The same by column, without pandas."""
        content = self._content(name)
        if not isinstance(content, list):
            return content
        names = content[0] if content else [column.name for column in self.declared.tables[name] if not column.absent]
        return {each: [row[each] for row in content] for each in names}

    def rows(self, name: str) -> list[Row]:
        """The same by row."""
        content = self._content(name)
        if isinstance(content, list):
            return content
        columns = [np.asarray(values).tolist() for values in content.values()]
        return [dict(zip(content, row, strict=True)) for row in zip(*columns, strict=True)]

    def _content(self, name: str) -> Columnar | list[Row]:
        """A table as it was found; rows are found once, arrays, which may be long, are not kept."""
        self._known(name)
        if name in self._found:
            return self._found[name]
        content = getattr(self, f"_{name}")()
        if isinstance(content, list):
            self._found[name] = content
        return content

    def _known(self, name: str) -> None:
        if name not in self.tables:
            raise InputError(f"no table {name!r} here: choose from {', '.join(self.tables)}")

    @cached_property
    def _found(self) -> dict[str, list[Row]]:
        return {}


class Finished(Tabular):
    """A run that is over, in memory or read from its folder.

    Two of them are equal if what they tell is: summaries with their provenance, tables, outputs and records.
    """

    if TYPE_CHECKING:  # fields or properties of the subclasses

        @property
        def outputs(self) -> NDArray | None: ...

    @property
    @abstractmethod
    def time_ps(self) -> int | None:
        """Of the whole run; None if it could not be told."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """The run in numbers; keys carry their units. The content of summary.json but for its provenance."""

    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """What it takes to repeat the run."""

    @abstractmethod
    def limit(self) -> Limit:
        """What limits the run."""

    @property
    def time_s(self) -> float | None:
        """Of the whole run, in seconds; None if it could not be told."""
        return None if self.time_ps is None else self.time_ps / 1e12

    @property
    def energy_j(self) -> float | None:
        """Of the whole run, in joules, of all actions with a known cost; None if no cost is known."""
        energy_fj = self.summary()["energy_fj"]
        return None if energy_fj is None else energy_fj / 1e15

    def to_dict(self) -> dict[str, Any]:
        """Summary and provenance as plain values: what summary.json holds."""
        return json.loads(json.dumps({**self.summary(), "reproducibility": self.provenance()}))

    def save(self, folder: str | Path, force: bool = False) -> Path:
        """Write the folder that `nsim run --out` writes, for `nsim report` and `load_result`; returns its path.

        force    write beside other files, and replace them
        raises   OutputError if it cannot be written, or holds other files
        """
        return self._shown.save(Path(folder), force)

    def to_html(self, path: str | Path, force: bool = False) -> Path:
        """Write the page that `nsim report` writes: one file that needs no other; returns its path.

        force    replace a file that nsim did not make
        raises   OutputError if it cannot be written
        """
        return self._shown.write_page(Path(path), force)

    @property
    def plot(self) -> Plot:
        """Figures, with matplotlib: `result.plot.floorline()`, `result.plot.mesh()`."""
        return self._shown.plot

    @property
    def _shown(self) -> Any:
        """Words, figures and page: their room lies above this one, so they come through the front door."""
        from nsim import shown

        return shown(self)

    def __repr__(self) -> str:
        return self._shown.text

    def _repr_html_(self) -> str:
        """What a notebook shows; no file is read or written."""
        return self._shown.card

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Finished):
            return NotImplemented
        return (
            self.to_dict() == other.to_dict()
            and self.tables == other.tables
            and all(self.table(name).equals(other.table(name)) for name in self.tables)
            and _same_arrays({"outputs": self.outputs, **self.record}, {"outputs": other.outputs, **other.record})
        )

    def __hash__(self) -> int:
        return hash((self.declared.span, self.time_ps))


def _same_arrays(one: Mapping[str, NDArray | None], other: Mapping[str, NDArray | None]) -> bool:
    """Whether names, types and values are the same."""
    return one.keys() == other.keys() and all(
        a is b or (a is not None and b is not None and a.dtype == b.dtype and np.array_equal(a, b))
        for a, b in ((one[name], other[name]) for name in one)
    )


class Result(Finished):
    """A run that was simulated here. What it tells is declared in nsim/result/columns.

    ranges   what the ranges of the chip's constants do to it; None: not sought
    """

    ranges: Ranges | None = None

    if TYPE_CHECKING:  # fields or properties of the subclasses

        @property
        def mapping(self) -> Any: ...

        @property
        def engine(self) -> str | None: ...

        @property
        def seed(self) -> int: ...

        @property
        def spans_planned(self) -> int: ...

    @property
    @abstractmethod
    def spans(self) -> int:
        """Timesteps, frames, streams or ticks that were simulated."""

    @property
    @abstractmethod
    def actions(self) -> dict[str, int]:
        """How often each action of the chip file occurred, its links included."""

    @property
    @abstractmethod
    def path_ps(self) -> dict[str, int]:
        """Critical path by state; empty if it was not recorded."""

    @abstractmethod
    def _busiest(self) -> Limit:
        """What limits the run where the critical path was not recorded."""

    @abstractmethod
    def _own_summary(self) -> dict[str, Any]:
        """Keys of the summary that only this discipline has."""

    @property
    def chip(self) -> Chip:
        return self.mapping.chip

    @property
    def network_name(self) -> str:
        return self.mapping.network.name

    # Energy, and what limits the run

    @property
    def powered_ps(self) -> int | None:
        """Time in which static power is drawn; None if it is not known."""
        return self.time_ps

    @cached_property
    def energy(self) -> Energy:
        return energy_of(self.chip, self.actions, self.powered_ps)

    def limit(self) -> Limit:
        """The state with the largest part of the critical path; else what is busy or waited for longest."""
        if not self.path_ps:
            return self._busiest()
        state = max(self.path_ps, key=self.path_ps.__getitem__)
        return Limit(state, "critical path", self.path_ps[state] / max(1, sum(self.path_ps.values())))

    @property
    def critical_stations(self) -> list[Row]:
        """Rows of the table `critical_path`, the largest first; empty if it was not recorded."""
        return self.rows("critical_path") if "critical_path" in self.tables else []

    def _has(self, name: str) -> bool:
        return self.ranges is not None if name == "ranges" else bool(self.path_ps)

    def _ranges(self) -> Columnar:
        """One row per draw of constants from their ranges."""
        assert self.ranges is not None
        time_ps, energy_fj = self.ranges.drawn.T
        return {"draw": np.arange(time_ps.size), "time_ps": time_ps, "energy_fj": energy_fj}

    # Summary

    def summary(self) -> dict[str, Any]:
        energy, limit = self.energy, self.limit()
        known = bool(energy.known)
        facts = {
            "network": self.network_name,
            "chip": self.chip.name,
            "engine": self.engine,
            "span": self.declared.span,
            "spans": self.spans,
            "spans_planned": self.spans_planned,
            "time_ps": self.time_ps,
            "energy_fj": energy.known_fj if known else None,
            "dynamic_energy_fj": energy.dynamic_fj if known else None,
            **ranges_summary(self.ranges),
            "energy_by_action_fj": energy.by_action_fj,
            "actions_without_known_energy": energy.unknown,
            "limit": limit.name,
            "limit_by": limit.by,
            "limit_share": limit.share,
            "critical_path_ps": self.path_ps,
            **self._own_summary(),
        }
        keys = [key for key in self.declared.summary if key.name != "reproducibility"]
        return {key.name: facts[key.name] for key in keys if not key.absent or key.name in facts}

    def provenance(self) -> dict[str, Any]:
        facts = provenance(self.mapping.network, self.chip, self.seed)
        return {**facts, "notes": facts["notes"] + self._unknown_ranges}

    @property
    def _unknown_ranges(self) -> list[str]:
        """Why it is not known what ranges do, if so."""
        return [self.ranges.unknown] if self.ranges and self.ranges.unknown else []


def provenance(network: Network | None, chip: Chip, seed: int) -> dict[str, Any]:
    """What it takes to repeat a run; without a network there are no notes."""
    packages = ("nsim", "simpy", "numpy", "numba", "pandas")
    return {
        "seed": seed,
        "chip_sha256": chip.sha256,
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in packages},
        "notes": list(network.notes) if network else [],
        "constants": {row.key: row.basis for row in chip.provenance()},
    }


def index_of(name: str, columns: Columns) -> tuple[str, ...]:
    """The columns that name a row: the first ones, to what it is of.

    raises   InputError if rows of the table have no name
    """
    names = [column.name for column in columns]
    last = next((place for place, each in enumerate(names) if each in KEYS), None)
    if last is None:
        raise InputError(f"rows of table {name!r} have no name ({', '.join(names[:3])}, ...): leave indexed out")
    return tuple(names[: last + 1])


def data_frame(columns: Columns, content: Columnar) -> pd.DataFrame:
    """A pandas table with its declared columns and types; imported here, since a run on the screen needs none."""
    import pandas as pd

    left = dict(content)
    found = [column for column in columns if not column.absent or column.name in left]
    del content  # so that each column goes as soon as it is copied: a long table is in memory once
    return pd.DataFrame({column.name: _typed(left.pop(column.name), column.dtype) for column in found}, copy=False)


def _typed(values: Any, dtype: str) -> NDArray:
    """Values of a declared type; what would lose by it is refused."""
    if dtype == "float64":
        return np.array(values, np.float64)  # None becomes not a number
    array = np.asarray(values)
    return array.astype(object if dtype == "string" else dtype, casting="same_kind" if array.size else "unsafe")
