"""Many sounds through the cochlea, in parallel, and the file of spikes that becomes of them, in SHD's layout."""

from __future__ import annotations

import gzip
import io
import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from nsim.errors import InputError
from nsim.training.data.cochlea import CHANNELS, Cochlea

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 192_000
Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Made = TypeVar("Made")


class Heard(NamedTuple):
    """One sound as spikes: float32[spikes] seconds, and uint16[spikes] channels; by time, then by channel."""

    times_s: NDArray[np.float32]
    units: NDArray[np.uint16]


@dataclass(frozen=True)
class Hearing:
    """rate_hz: sample rate of what the ear hears. time_step_s: spike times are rounded to it; 0: kept, as float32."""

    rate_hz: int = 48_000
    time_step_s: float = 0.0

    def __post_init__(self) -> None:
        check_range("rate-hz", self.rate_hz, LOWEST_RATE_HZ, HIGHEST_RATE_HZ)
        check_range("time-step", self.time_step_s, 0, 0.1)

    def resampled(self, sound: NDArray[np.floating], rate_hz: int) -> NDArray[np.float64]:
        common = math.gcd(rate_hz, self.rate_hz)
        return resample_poly(np.asarray(sound, np.float64), self.rate_hz // common, rate_hz // common)

    def spikes(self, sound: NDArray[np.float64], ear: Cochlea, seed: int) -> Heard:
        """sound: at `rate_hz`; seed: of the fibres"""
        times, units = ear.spikes(sound, seed)
        if step := self.time_step_s:
            times = np.rint(times / step) * step
        order = np.lexsort((units, times))
        return Heard(times[order].astype(np.float32), units[order].astype(np.uint16))


def check_range(name: str, value: float, least: float, most: float) -> None:
    """Refuse the value of an option outside of its range, NaN included."""
    if not least <= value <= most:
        raise InputError(f"--{name} is {value}: give {least} to {most}")


def in_order(work: Callable[[Item], Made], items: Iterable[Item], threads: int | None = None) -> Iterator[Made]:
    """Results in the order of the items, a few of which are under way; Ctrl-C ends it after those."""
    rest, threads = iter(items), threads or os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        under_way = [pool.submit(work, item) for item in islice(rest, 2 * threads)]
        while under_way:
            yield under_way.pop(0).result()
            under_way += [pool.submit(work, item) for item in islice(rest, 1)]


@dataclass(frozen=True, eq=False)
class Set:
    """What a file holds, by sample but for words and attributes; `more` goes to /extra under the same names.

    test: whether a sample is for the test
    """

    heard: list[Heard]
    labels: NDArray[np.integer]
    speakers: NDArray[np.integer]
    test: NDArray[np.bool_]
    words: tuple[str, ...]
    more: dict[str, NDArray]
    attributes: dict[str, Any]


def write_set(path: Path, made: Set) -> None:
    """Write a set, whole or not at all; .h5, or .h5.gz, which is a quarter as large.

    raises   InputError if the name has another ending, or the file cannot be written
    """
    check_output(path)
    content = _content(made)
    if path.suffix == ".gz":
        content = gzip.compress(content, 9, mtime=0)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written ({error.strerror}): give another place") from None


def check_output(path: Path) -> None:
    """Refuse what could not be written, before anything is heard."""
    if not path.name.endswith((".h5", ".h5.gz")):
        raise InputError(f"{path} is no name for a set: let it end in .h5 or .h5.gz")
    if path.is_dir() or not path.parent.is_dir():
        wrong = "is a folder" if path.is_dir() else "is in a folder that does not exist"
        raise InputError(f"{path} {wrong}: give the name of a file in a folder that exists")


def _content(made: Set) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        times = file.create_dataset("spikes/times", (len(made.heard),), h5py.vlen_dtype(np.float32))
        units = file.create_dataset("spikes/units", (len(made.heard),), h5py.vlen_dtype(np.uint16))
        for number, sample in enumerate(made.heard):
            times[number], units[number] = sample
        file["labels"] = made.labels.astype(np.uint16)
        file["extra/speaker"] = made.speakers.astype(np.uint16)
        file["extra/split"] = made.test.astype(np.uint8)
        file["extra/keys"] = np.array([word.encode() for word in made.words])
        for name, values in made.more.items():
            file[f"extra/{name}"] = values
        given = {name: "none" if value is None else value for name, value in made.attributes.items()}
        file.attrs.update({"channels": CHANNELS, **given})
    return memory.getvalue()
