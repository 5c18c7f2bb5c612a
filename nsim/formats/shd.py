"""Spike trains in the HDF5 layout of the Spiking Heidelberg Digits.

/spikes/times  one array of any length per sample: firing times in seconds, floats of any width (half in the data set)
/spikes/units  one array per sample, as long: the channel of each firing, any integer type; SHD has 700
/labels        one class per sample

Source: Cramer et al., "The Heidelberg Spiking Data Sets", IEEE TNNLS 2020, arXiv:1910.07407, and its files' README.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, available_bytes
from nsim.formats.hdf5 import checked_hdf5

T = TypeVar("T")
Spikes = tuple[NDArray[np.float64], NDArray[np.int64]]


def read_shd(path: str | Path, samples: int | None = None) -> tuple[list[Spikes], NDArray[np.int64]]:
    """Read the first `samples` samples (all by default) of a file in SHD layout.

    returns  per sample times in seconds, float64[spikes], in ascending order, and units, int64[spikes];
             and the labels, int64[samples]
    raises   InputError if a dataset is missing or of the wrong type, if lengths differ, or if there are fewer samples

    Half precision has a step of about 1 ms at 1 s, so the order of near spikes means nothing.
    h5py 3.16 hands out arrays of foreign byte order unswapped but marked as native: they are refused.
    """
    return _guarded(path, lambda file: _read(file, path, samples))


def read_shd_labels(path: str | Path) -> NDArray[np.int64]:
    """The labels of all samples of a file in SHD layout: int64[samples].

    raises   InputError if there are none
    """
    return _guarded(
        path, lambda file: _dataset(file, "labels", path, "iu", "integers", ragged=False)[:].astype(np.int64)
    )


def _guarded(path: str | Path, read: Callable[[h5py.File], T]) -> T:
    try:
        with checked_hdf5(path, error=InputError) as file:
            return read(file)
    except (KeyError, ValueError, TypeError) as fault:  # what h5py raises on damaged types and names
        cause = " ".join(str(fault).split())[:120]
        raise InputError(f"{path}: damaged HDF5 file ({cause}): fetch or write it again") from fault


def _read(file: h5py.File, path: str | Path, samples: int | None) -> tuple[list[Spikes], NDArray[np.int64]]:
    times = _dataset(file, "spikes/times", path, "f", "floating-point seconds")
    units = _dataset(file, "spikes/units", path, "iu", "integers")
    labels = _dataset(file, "labels", path, "iu", "integers", ragged=False)
    counts = len(times), len(units), len(labels)
    if len(set(counts)) > 1:
        raise InputError(f"{path} has {counts[0]} times, {counts[1]} units and {counts[2]} labels: one per sample each")
    wanted = counts[0] if samples is None else samples
    if not 1 <= wanted <= counts[0]:
        raise InputError(f"{path} has {counts[0]} samples, but {wanted} are asked for: give 1 to {counts[0]}")
    free = available_bytes()
    spikes = []
    for sample in range(wanted):  # one by one: many samples may point at the same stored array
        spikes.append(_sorted(times[sample], units[sample], f"{path}, sample {sample}"))
        free -= sum(array.nbytes for array in spikes[-1])
        if free < 0:
            raise InputError(f"{path} takes more than the free memory at sample {sample}: read at most {sample}")
    return spikes, labels[:wanted].astype(np.int64)


def _dataset(
    file: h5py.File, name: str, path: str | Path, kinds: str, expected: str, ragged: bool = True
) -> h5py.Dataset:
    """A dataset with one entry per sample, numbers of one of the NumPy `kinds`, in arrays of any length if ragged."""
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{path} has no dataset {name!r}: an SHD file holds spikes/times, spikes/units and labels")
    element = h5py.check_vlen_dtype(dataset.dtype) if ragged else dataset.dtype
    if dataset.ndim != 1 or np.dtype(element or "V").kind not in kinds:
        what = f"one array of {expected}" if ragged else expected
        raise InputError(f"{path} has {name} of shape {dataset.shape}, {dataset.dtype}: give {what} per sample")
    if ragged and dataset.id.get_type().encode()[3] & 0x0F:  # 0: sequence, 1: string; HDF5 crashes on the other values
        raise InputError(f"{path}: type of {name} is damaged: fetch or write it again")
    if not np.dtype(element).isnative:
        raise InputError(
            f"{path} has {name} in foreign byte order ({element}), which h5py misreads: write it as native"
        )
    return dataset


def _sorted(times: NDArray[Any], units: NDArray[Any], name: str) -> Spikes:
    if times.shape != units.shape:
        raise InputError(f"{name} has {len(times)} times, but {len(units)} units: write one unit per time")
    order = np.argsort(times, kind="stable")
    return times[order].astype(np.float64), units[order].astype(np.int64)
