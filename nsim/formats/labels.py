"""The class of every sample: .npy, .csv or .txt with a number each, or labels beside the samples in .npz or SHD .h5."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import MAX_TEXT_BYTES, InputError, open_regular, require
from nsim.formats.numpy_files import LABELS, existing, read_npy, read_npz

Source = str | Path | NDArray[Any]
TEXT, HDF5 = (".csv", ".txt"), (".h5", ".hdf5")
SUFFIXES = (".npy", ".npz", *TEXT, *HDF5)


def read_labels(source: Source, samples: int, classes: int, part: bool) -> NDArray[np.int64]:
    """The classes of the samples of a run, int64[samples].

    samples   of the run
    classes   that there are, 0 to classes - 1: one an output
    part      whether the run takes the first samples only: then there may be more labels
    raises    InputError if the file cannot be read, or has another number of labels or other classes
    """
    name = "labels" if isinstance(source, np.ndarray) else str(source)
    values = source if isinstance(source, np.ndarray) else _read(Path(source))
    if values.ndim > 1 and values.size == len(values):
        values = values.ravel()
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise InputError(f"{name} holds {values.dtype} of shape {values.shape}: give one whole number a sample")
    if len(values) < samples or (len(values) > samples and not part):
        raise InputError(f"{name} has {len(values)} labels, but the run has {samples} samples: give one each")
    values = values[:samples]
    if values.size and not 0 <= values.min() <= values.max() < classes:
        wrong = values.min() if values.min() < 0 else values.max()
        raise InputError(f"{name} has class {wrong}, but the output layer has 0 to {classes - 1}: number them from 0")
    return values.astype(np.int64)


def _read(path: Path) -> NDArray[Any]:
    existing(path, SUFFIXES)
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return read_npy(path)
    if suffix in HDF5:
        require("h5py", str(path), InputError)
        from nsim.formats.shd import read_shd_labels  # h5py is an extra

        return read_shd_labels(path)
    if suffix in TEXT:
        return _numbers(path)
    return next(iter(read_npz(path, partial(_labels_among, path)).values()))


def _labels_among(path: Path, names: list[str]) -> list[str]:
    found = names if len(names) == 1 else [name for name in names if name in LABELS]
    if len(found) != 1:
        raise InputError(f"{path} has {len(found)} arrays of labels among {sorted(names)[:10]}: call one 'labels'")
    return found


def _numbers(path: Path) -> NDArray[np.int64]:
    """One whole number a line; a first line may name the column."""
    with open_regular(path) as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise InputError(f"{path} has more than {MAX_TEXT_BYTES:,} bytes: give labels alone, as .npy")
    lines = [line.strip() for line in content.decode(errors="replace").splitlines()]
    begin = 1 if lines and not lines[0].lstrip("-").isdecimal() else 0
    found = []
    for number, line in enumerate(lines[begin:], begin + 1):
        try:
            found.append(np.int64(int(line[:20])) if line else None)
        except (ValueError, OverflowError):
            raise InputError(f"{path}, line {number} is {line[:40]!r}: give one whole number a line") from None
    return np.array([label for label in found if label is not None], np.int64)
