"""What a training keeps, so that it can be taken up again: files are replaced whole or not at all.

A checkpoint is arrays in an .npz file and facts in checkpoint.json, which names it; they are replaced together.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import OutputError, TrainingError

NAME = "checkpoint.json"


def prepare(folder: Path, name: str = NAME) -> bool:
    """Make the folder of a run; returns whether it holds one, by the name of its file.

    raises   OutputError for a folder that holds anything else, or that cannot be made
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"output {folder} is a file: give a folder")
    if (folder / name).is_file():
        return True
    if folder.is_dir() and any(file for file in folder.iterdir() if not file.name.endswith(".partial")):
        raise OutputError(f"output folder {folder} holds other files: give an empty or a new folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make output folder {folder}: {error.strerror}") from None
    return False


def save(folder: Path, epoch: int, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
    """The state after an epoch. The json file is moved into place last: until then the state before is valid."""
    name = f"checkpoint-{epoch}.npz"
    try:
        write_arrays(folder / name, arrays)
        write_json(folder / NAME, {"epoch": epoch, "arrays": name, **facts})
        for old in folder.glob("checkpoint-*.npz"):
            if old.name != name:
                old.unlink()
    except OSError as error:
        raise OutputError(f"cannot write the checkpoint of epoch {epoch} to {folder}: {error.strerror}") from None


def write_arrays(path: Path, arrays: dict[str, NDArray]) -> None:
    """Whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def write_json(path: Path, facts: dict[str, Any]) -> None:
    """Whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def load(folder: Path) -> tuple[dict[str, NDArray], dict[str, Any]] | None:
    """Arrays and facts, None if there is no checkpoint; TrainingError if it is damaged."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        with np.load(folder / facts["arrays"], allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}, facts
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as fault:
        cause = " ".join(str(fault).split())[:120] or type(fault).__name__
        raise TrainingError(f"{path} or its arrays cannot be read ({cause}): train anew in another folder") from None
