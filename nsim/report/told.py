"""What is known of a run, from a result or from its folder: the same head lines come of both."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nsim.chip.changes import SOURCE
from nsim.chip.chip import Chip
from nsim.chip.file import available_chips
from nsim.chip.name import written
from nsim.report.words import Basis, Numbers, Told, keys_by_basis

if TYPE_CHECKING:
    from nsim.result.run_folder import Run


def told_of(result: Any, command: str = "", what_if: Numbers | None = None) -> Told:
    """Of a result; command and what_if: as in report.json."""
    basis = basis_of(result.mapping.chip, result.provenance()["notes"])
    return replace(head_of(result), what_if=what_if, command=command, basis=basis)


def head_of(result: Any) -> Told:
    """Of a result, without what its numbers rest on: no file is looked for."""
    chip, summary = result.mapping.chip, result.summary()
    stations = getattr(result, "critical_stations", ())
    worst = _worst(summary, result.rows("cores")) if chip.discipline == "stream" else None
    return Told(chip.discipline, chip.title, summary, stations, worst, None, "", Basis((), {}, ""))


def told_of_folder(run: Run) -> Told:
    """Of a run as its files tell it."""
    facts, summary, path = run.facts, run.summary, run.tables.get("critical_path")
    stations = () if path is None else path.to_dict("records")
    worst = _worst(summary, run.tables["cores"].to_dict("records")) if run.discipline == "stream" else None
    name, constants = summary["chip"].removesuffix(", changed"), facts["constants"]
    basis = Basis(summary["reproducibility"]["notes"], keys_by_basis(constants), _lookup(name, constants))
    return Told(run.discipline, facts["title"], summary, stations, worst, facts["what_if"], facts["command"], basis)


def basis_of(chip: Chip, notes: Any, used: tuple[str, ...] = ("",)) -> Basis:
    """What numbers rest on; used: beginnings of the keys that matter."""
    fields = ("key", "value", "basis", "source")
    rows = [{name: getattr(row, name) for name in fields} for row in chip.provenance()]
    shipped = {path.resolve(): name for name, path in available_chips().items()}
    own = [row for row in rows if row["key"].startswith(used)]
    return Basis(notes, keys_by_basis(own), _lookup(shipped.get(chip.path, str(chip.path)), rows))


def _lookup(name: str, rows: Sequence[Numbers]) -> str:
    """What `nsim chips` takes for this chip; rows: of key, value and source of all its values."""
    changes = [f"--set={row['key']}={written(row['value'])}" for row in rows if row["source"] == SOURCE]
    return shlex.join([name, *changes])


def _worst(summary: Numbers, rows: Any) -> Numbers | None:
    """The core with the highest load."""
    return next((row for row in rows if row["core"] == summary["bottleneck"]["core"]), None)
