"""Reading a folder of results: what `nsim run --out` wrote, checked before anything is made of it."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsim.errors import InputError
from nsim.report.facts import VERSION

if TYPE_CHECKING:
    import pandas as pd

TABLES = {
    "barrier": ("cores", "layers", "links", "timesteps"),
    "frame": ("cores", "layers", "links", "frames"),
    "stream": ("cores", "layers"),
    "tick": ("tiles", "routers", "timesteps"),
}
NEEDED = ("network", "chip", "energy_by_action_fj", "reproducibility")


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
    summary, facts = _json(folder / "summary.json"), _json(folder / "report.json")
    missing = [key for key in NEEDED if key not in summary]
    if missing:
        raise InputError(f"{folder / 'summary.json'} lacks {', '.join(missing)}: run again with --out {folder}")
    if facts.get("version") != VERSION or facts.get("discipline") not in TABLES:
        raise InputError(
            f"{folder / 'report.json'} has version {facts.get('version')!r} and discipline "
            f"{facts.get('discipline')!r}, this program reads version {VERSION}: run again with --out {folder}"
        )
    tables = {}
    for name in (*TABLES[facts["discipline"]], "critical_path"):
        path = folder / f"{name}.csv"
        if not path.is_file():
            if name == "critical_path":
                continue
            raise InputError(f"{folder} has no {name}.csv: run again with --out {folder}")
        try:
            tables[name] = pd.read_csv(path, keep_default_na=False, na_values=[""])
        except (ValueError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path} is damaged ({reason}): run again with --out {folder}") from None
    return Run(folder.name, summary, facts, tables)


def run_of(result: Any, what_if: dict[str, Any] | None = None) -> Run:
    """A result as its files would tell it: the same page comes of both."""
    from nsim.result import write_files

    with tempfile.TemporaryDirectory() as folder:
        write_files(result, Path(folder), what_if)
        return read_run(folder)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path.parent} has no {path.name}: give a folder that nsim run --out of this version wrote")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is damaged ({error}): run again with --out {path.parent}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged (no table at its top): run again with --out {path.parent}")
    return content
