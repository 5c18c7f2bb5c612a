"""Files that numpy.save and numpy.savez write, and paths that hold none.

What a header declares is compared with what is there before any memory is taken. Nothing is ever unpickled.
"""

from __future__ import annotations

import difflib
import math
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, available_bytes, check_no_pointer

ARRAY_SUFFIXES = (".npy", ".npz")
EVENT_ARRAYS = ("t", "x", "y", "p", "times", "units", "timestamp", "timestamps", "ts", "polarity", "polarities", "pol")
NEARLY_EMPTY_BYTES, DENSE_RATIO = 1 << 28, 100  # an array this large is not packed better than so many times
LABELS = ("label", "labels", "target", "targets")  # arrays that may lie beside an input


def existing(path: Path, suffixes: Iterable[str], names: Iterable[str] = ()) -> Path:
    """The path again, if it is a file of a known kind that is not empty.

    suffixes  of the known kinds
    names     that may be given instead of a path, to suggest for one that does not exist
    raises    InputError
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder: give one of the files in it")
        if not path.exists():
            raise InputError(f"{path} does not exist: {_nearest(path, names)}")
        if path.suffix.lower() not in suffixes:
            raise InputError(f"{path} has the unknown suffix {path.suffix!r}: give one of {', '.join(suffixes)}")
        if not path.is_file():
            raise InputError(f"{path} is no regular file: copy its data into one")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty: write it again")
        check_no_pointer(path, InputError)
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {fault.strerror}: check path and permissions") from fault
    return path


def _nearest(path: Path, names: Iterable[str]) -> str:
    """A cure for a path that does not exist."""
    folder = path.parent
    there = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, [*names, *there], 1)
    return f"did you mean {near[0]}?" if near else "check the path"


def read_arrays(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """The array of a .npy file or of an archive with one; the arrays of an event list by name.

    raises  InputError
    """
    if path.suffix.lower() == ".npy":
        return read_npy(path)
    arrays = read_npz(path, partial(_array_or_events, path))
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a .npy file; InputError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return _read_array(stream, path.stat().st_size, str(path))
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {fault.strerror}: check its permissions") from fault


def read_npz(path: Path, choose: Callable[[list[str]], list[str]]) -> dict[str, NDArray[Any]]:
    """Arrays of an archive by name: those that `choose` picks from all names. InputError if they cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            arrays = {}
            for name in choose(list(members)):
                _check_ratio(members[name], f"{path}, array {name!r}")
                with archive.open(members[name]) as stream:
                    arrays[name] = _read_array(stream, members[name].file_size, f"{path}, array {name!r}")
            return arrays
    except InputError:
        raise
    except Exception as fault:  # zipfile and its decompressors raise a dozen kinds on a damaged archive
        raise InputError(f"{path} cannot be read as .npz archive: {_one_line(fault)}: write it again") from fault


def _check_ratio(member: zipfile.ZipInfo, name: str) -> None:
    """Refuse a large array that is packed into next to nothing."""
    if member.file_size > max(NEARLY_EMPTY_BYTES, DENSE_RATIO * member.compress_size):
        raise InputError(
            f"{name} unpacks {member.compress_size:,} to {member.file_size:,} bytes: it is nearly empty, give "
            "events or a part of it"
        )


def _array_or_events(path: Path, names: list[str]) -> list[str]:
    """The one array of an archive beside its labels, or the arrays of an event list."""
    inputs = [name for name in names if name not in LABELS] or names
    if len(inputs) == 1:
        return inputs
    wanted = [name for name in EVENT_ARRAYS if name in names]
    if not ({"x"} < set(wanted) or {"times", "units"} <= set(wanted)):
        raise InputError(
            f"{path} holds {len(names)} arrays, {sorted(names)[:10]}: give a single array, or events "
            "as t, x, y, p or times, units"
        )
    return wanted


def _read_array(stream: IO[bytes], size_bytes: int, name: str) -> NDArray[Any]:
    """One array in .npy format, of size_bytes with its header. Never unpickles."""
    try:
        version = np.lib.format.read_magic(stream)
        first = version == (1, 0)
        read_header = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
    except OSError:
        raise
    except Exception as fault:  # the header is a Python literal; its parser raises whatever a bad one trips over
        raise InputError(f"{name} is no .npy array: {_one_line(fault)}: write it with numpy.save") from fault
    if dtype.hasobject:
        raise InputError(f"{name} holds pickled Python objects ({dtype}), which are never loaded: save plain numbers")
    declared, have, free = math.prod(shape) * dtype.itemsize, size_bytes - stream.tell(), available_bytes()
    if declared > have or min(shape, default=0) < 0:
        raise InputError(f"{name} declares {shape} {dtype}, {declared} bytes, but holds {have}: write it again")
    if declared > free:
        raise InputError(f"{name} takes {declared} bytes, but {free} bytes of memory are free: give a part of the data")
    stream.seek(0)
    try:
        return np.lib.format.read_array(stream, allow_pickle=False)
    except (ValueError, EOFError) as fault:
        raise InputError(f"{name} cannot be read: {_one_line(fault)}: write it again") from fault


def _one_line(fault: Exception) -> str:
    return " ".join(str(fault).split())[:120] or type(fault).__name__
