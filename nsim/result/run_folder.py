"""Reading a folder of results: what `nsim run --out` wrote, checked before anything is made of it."""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsim.chip.discipline import DISCIPLINES
from nsim.errors import MAX_TEXT_BYTES, InputError, open_regular
from nsim.result.columns.column import Column, Columns, Declared
from nsim.result.facts import VERSION, report_facts
from nsim.result.folder import check_files
from nsim.result.result import data_frame

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
            texts = _texts(path, columns)
            _check_names(path, columns, texts, folder)
            tables[name] = _typed(texts, columns)
        except (ValueError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path} is damaged ({reason}): run again with --out {folder}") from None
    return Run(folder.name, summary, facts, tables)


def _texts(path: Path | StringIO, columns: Columns) -> pd.DataFrame:
    """A CSV file: floats and texts as they stand there, integers and truth values read."""
    import pandas as pd

    as_text = {column.name: str for column in columns if column.dtype in ("string", "float64")}
    return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=as_text)


def _typed(texts: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """A table with its declared types: every float to its last bit, and no text taken for a number."""
    kinds = {column.name: column for column in columns if column.name in texts}
    return data_frame(columns, {name: _values(texts[name], column) for name, column in kinds.items()})


def _values(texts: pd.Series, column: Column) -> Any:
    """Values of a column; nothing between two commas is none, or an empty text where there is always one."""
    if column.dtype == "float64":
        return [float(text) for text in texts]
    if column.dtype != "string":
        return texts
    return [text if isinstance(text, str) else None if column.null else "" for text in texts]


def _check_names(path: Path, columns: Columns, found: Container[str], folder: Path) -> None:
    """Refuse a file without all its declared columns or keys."""
    missing = [column.name for column in columns if not column.absent and column.name not in found]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}: run again with --out {folder}")


def run_of(result: Any, what_if: dict[str, Any] | None = None, command: str = "") -> Run:
    """A result as its files would tell it: the same page comes of both."""
    summary = {**result.summary(), "reproducibility": result.provenance()}
    facts = report_facts(result, what_if, command)
    own = result.declared.tables
    texts = {name: StringIO(result.table(name).to_csv(index=False)) for name in result.tables}
    tables = {name: _typed(_texts(text, own[name]), own[name]) for name, text in texts.items()}
    return Run("", json.loads(json.dumps(summary)), json.loads(json.dumps(facts)), tables)


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
