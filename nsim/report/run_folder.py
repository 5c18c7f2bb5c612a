"""Reading a folder of results: what `nsim run --out` wrote, checked before anything is made of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsim.chip.discipline import DISCIPLINES
from nsim.errors import MAX_TEXT_BYTES, InputError, open_regular
from nsim.result.columns.column import Columns, Declared
from nsim.result.facts import VERSION
from nsim.result.folder import check_files, files_in, write_manifest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run as its files tell it: summary.json, report.json, and the tables by name."""

    name: str
    summary: dict[str, Any]
    facts: dict[str, Any]
    tables: dict[str, pd.DataFrame]

    @property
    def discipline(self) -> str:
        return self.facts["discipline"]


def read_run(folder: str | Path) -> Run:
    """Read a run.

    raises   InputError if the folder is not a run, or a file of it is missing, damaged or of another version
    """
    import pandas as pd

    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give one that nsim run --out wrote")
    check_files(folder)
    summary, facts = _json(folder / "summary.json"), _json(folder / "report.json")
    if facts.get("version") != VERSION or facts.get("discipline") not in DISCIPLINES:
        raise InputError(
            f"{folder / 'report.json'} has version {facts.get('version')!r} and discipline "
            f"{facts.get('discipline')!r}, this program reads version {VERSION}: run again with --out {folder}"
        )
    declared: Declared = DISCIPLINES[facts["discipline"]].part("columns")
    _check_names(folder / "summary.json", declared.summary, summary, folder)
    tables = {}
    for name, columns in declared.tables.items():
        path = folder / f"{name}.csv"
        if not path.is_file():
            if name in declared.optional:
                continue
            raise InputError(f"{folder} has no {name}.csv: run again with --out {folder}")
        try:
            tables[name] = pd.read_csv(path, keep_default_na=False, na_values=[""])
        except (ValueError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path} is damaged ({reason}): run again with --out {folder}") from None
        _check_names(path, columns, tables[name], folder)
    return Run(folder.name, summary, facts, tables)


def _check_names(path: Path, columns: Columns, found: Container[str], folder: Path) -> None:
    """Refuse a file without all its declared columns or keys."""
    missing = [column.name for column in columns if not column.absent and column.name not in found]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}: run again with --out {folder}")


def run_of(result: Any, what_if: dict[str, Any] | None = None, command: str = "") -> Run:
    """A result as its files would tell it: the same page comes of both."""
    from nsim.result.files import write_files

    with tempfile.TemporaryDirectory() as folder:
        write_files(result, Path(folder), what_if, command)
        write_manifest(Path(folder), files_in(Path(folder)))
        return read_run(folder)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path.parent} has no {path.name}: give a folder that nsim run --out of this version wrote")
    try:
        with open_regular(path) as file:
            content = json.loads(file.read(MAX_TEXT_BYTES))
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}): run again with --out {path.parent}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged (no table at its top): run again with --out {path.parent}")
    return content
