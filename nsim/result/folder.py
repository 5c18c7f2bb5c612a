"""Folders of results: written whole or not at all, and nothing in them is lost that nsim did not write itself.

`manifest.json` lists the files that a run wrote, each with its SHA-256. It tells which files the next run may replace,
and whether they are still as they were written.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nsim.errors import InputError, OutputError, open_regular
from nsim.result.files import Written, write_files

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 10_000_000
MARK = "made by nsim"  # in every figure and page, so that the next one may replace it
MAX_MARKED_BYTES = 100_000_000


class OutputFolder:
    """A folder for results.

    Entering checks that the folder can be made, before anything is simulated. Results are written beside it and moved
    there at the end. Files of an earlier result are replaced; all others stay where they are. A folder without a
    result, but with other files, is refused, and so is a file of somebody else's that stands in the way, unless
    `force` says otherwise.
    """

    def __init__(self, path: str | Path, force: bool = False) -> None:
        self.path, self.force = Path(path), force

    def __enter__(self) -> OutputFolder:
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"output {self.path} is a file: give a folder")
        held = self.path.is_dir() and any(self.path.iterdir())
        if held and not (self.path / MANIFEST).is_file() and not self.force:
            raise OutputError(
                f"output folder {self.path} holds other files: give an empty or a new folder, or --force to write "
                "beside them"
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.partial = Path(tempfile.mkdtemp(prefix=f".{self.path.name}-", dir=self.path.parent))
        except OSError as error:
            raise OutputError(
                f"cannot write output folder {self.path} ({error.strerror}): give another --out"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.partial, ignore_errors=True)

    def write(self, result: Written, what_if: dict[str, Any] | None = None, command: str = "") -> None:
        """Write summary.json, report.json, neurobench.json, the tables and, if there are any, outputs.npy."""
        self.publish(lambda folder: write_files(result, folder, what_if, command))

    def publish(self, fill: Callable[[Path], None]) -> None:
        """Let `fill` write files into the folder beside, and move it to its place."""
        try:
            fill(self.partial)
            write_manifest(self.partial, files_in(self.partial))
            self.partial.chmod(0o755)
            if self.path.is_dir():
                self._replace()
            else:
                self.partial.rename(self.path)
        except OSError as error:
            raise OutputError(f"cannot write results to {self.path}: {error.strerror}; nothing was written") from None

    def _replace(self) -> None:
        """Put the new files in the place of the old ones; those of others stay."""
        own = manifest_of(self.path) if (self.path / MANIFEST).is_file() else {}
        others = [name for name in files_in(self.path) if name not in own and name != MANIFEST]
        taken = [name for name in others if (self.partial / name).exists()]
        if taken and not self.force:
            raise OutputError(
                f"{self.path / taken[0]} is in the way, and nsim did not write it: move it, or --force to replace it"
            )
        before = self.partial.with_name(self.partial.name + "-old")
        self.path.rename(before)
        self.partial.rename(self.path)
        for name in others:
            if name not in taken:
                (self.path / name).parent.mkdir(parents=True, exist_ok=True)
                (before / name).rename(self.path / name)
        shutil.rmtree(before)


def files_in(folder: Path) -> list[str]:
    """Files of a folder and its folders, by their path in it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def write_manifest(folder: Path, names: Iterable[str]) -> None:
    """List files as written by nsim, beside those that are listed already."""
    known = manifest_of(folder) if (folder / MANIFEST).is_file() else {}
    known |= {name: digest(folder / name) for name in names if name != MANIFEST}
    (folder / MANIFEST).write_text(
        json.dumps({"files": dict(sorted(known.items()))}, indent=1) + "\n", encoding="utf-8"
    )


def manifest_of(folder: Path) -> dict[str, str]:
    """SHA-256 of the files that nsim wrote, by name.

    raises   InputError if there is no such list, or it is damaged
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} has no {MANIFEST}: give a folder that nsim run --out of this version wrote")
    try:
        with open_regular(path) as file:
            files = json.loads(file.read(MAX_MANIFEST_BYTES))["files"]
        if not all(isinstance(name, str) and isinstance(value, str) for name, value in files.items()):
            raise ValueError("its entries are no checksums")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is damaged ({reason}): run again with --out {folder} --force") from None
    return files


def check_files(folder: Path) -> None:
    """Refuse a result whose files are not as they were written.

    raises   InputError, naming the file
    """
    for name, written in manifest_of(folder).items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{folder} has no {name}: run again with --out {folder}")
        try:
            found = digest(path)
        except OSError as error:
            raise InputError(f"cannot read {path} ({error.strerror or error}): run again with --out {folder}") from None
        if found != written:
            raise InputError(
                f"{path} is not as nsim wrote it (its checksum is not the one in {MANIFEST}): run again with "
                f"--out {folder}"
            )


def check_replaceable(path: Path, force: bool = False) -> None:
    """Refuse to write over a figure or page that nsim did not make, unless `force` says otherwise.

    raises   OutputError
    """
    if force or not path.exists():
        return
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give the name of a file")
    try:
        with open_regular(path) as file:
            own = MARK.encode() in file.read(MAX_MARKED_BYTES)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}): give another file") from None
    if not own:
        raise OutputError(f"{path} exists, and nsim did not make it: give another name, or --force to replace it")


def digest(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
