"""A run as its folder tells it: numbers, tables and files of a result, without what it was computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.chip.discipline import DISCIPLINES
from nsim.result.columns.column import Declared
from nsim.result.folder import manifest_of
from nsim.result.result import Columnar, Finished, Limit
from nsim.result.run_folder import Run, read_run


@dataclass(frozen=True, eq=False, repr=False)
class SavedResult(Finished):
    """A result read from its folder: it equals the one that was saved.

    run       summary, facts for the report, and tables
    outputs   what the output layer sent or holds; None if there were none
    record    states that were kept, by name
    """

    folder: Path
    run: Run
    outputs: NDArray | None
    record: Mapping[str, NDArray] = field(default_factory=dict)

    @property
    def declared(self) -> Declared:  # type: ignore[override]  # here of the run, not of the class
        return DISCIPLINES[self.run.discipline].part("columns")

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(self.run.tables)

    def _content(self, name: str) -> Columnar:
        self._known(name)
        return {column: values.to_numpy() for column, values in self.run.tables[name].items()}

    @property
    def time_ps(self) -> int | None:
        return self.run.summary["time_ps"]

    def summary(self) -> dict[str, Any]:
        return {key: value for key, value in self.run.summary.items() if key != "reproducibility"}

    def provenance(self) -> dict[str, Any]:
        return self.run.summary["reproducibility"]

    def limit(self) -> Limit:
        facts = self.run.summary
        return Limit(facts["limit"], facts["limit_by"], facts["limit_share"])


def load_result(folder: str | Path) -> SavedResult:
    """Read what `result.save` or `nsim run --out` wrote: `load_result(folder) == result`.

    raises   InputError if the folder is not a run, or a file of it is missing, damaged or of another version
    """
    run, path = read_run(folder), Path(folder)
    own = manifest_of(path)  # another's file of that name is none of the result
    outputs = np.load(path / "outputs.npy") if "outputs.npy" in own else None
    record: dict[str, NDArray] = {}
    if "record.npz" in own:
        with np.load(path / "record.npz") as arrays:
            record = dict(arrays)
    return SavedResult(path, run, outputs, record)
