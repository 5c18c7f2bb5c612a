"""Events by file or array: where in the input layer they are, and when.

Every reader ends in the same checks, whether the events are then binned into timesteps (`nsim.formats.spikes`) or
served one by one (`nsim.formats.streams`). Files: NumPy's, the HDF5 layout of the Spiking Heidelberg Digits, the
binary of N-MNIST, text of v2e, and the recordings of event cameras.

N-MNIST (.bin, also N-Caltech101): 5 bytes an event, no header: x, y, then a bit of polarity and 23 of time in
microseconds, the most significant byte first. An event at y = 240 is none: it says that the clock overflowed, and that
all later times lack another 8192 us. Source: Orchard et al., Frontiers in Neuroscience 9:437, 2015; the data set's page
at garrickorchard.com/datasets/n-mnist, and for the overflow its authors' reader, gorchard/event-Python.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, require
from nsim.formats import recordings
from nsim.formats.window import WHOLE, Window, in_order, kept_places, kept_times, ticks_of
from nsim.network.synapses import Shape

SUFFIXES = (".h5", ".hdf5", ".bin", ".txt", *recordings.SUFFIXES)
ALIASES = {"timestamp": "t", "timestamps": "t", "ts": "t", "polarity": "p", "polarities": "p", "pol": "p"}
NMNIST_BYTES = 5
NMNIST_OVERFLOW_Y = 240
NMNIST_OVERFLOW_US = 1 << 13


@dataclass(frozen=True, eq=False)
class EventList:
    """One sample, as its file holds it: inside the layer and at possible times, in any order.

    name              of the file and sample, for errors
    times             [events], integer or floating
    ticks_per_second  unit of the times: 10**6 for microseconds
    neuron            int64[events]  index within the input layer, row-major in its (C, H, W)
    notes             what was done to the events
    """

    name: str
    times: NDArray[Any]
    ticks_per_second: int
    neuron: NDArray[np.int64]
    notes: tuple[str, ...] = ()


def read_event_file(path: Path, shape: Shape, samples: int | None = None, window: Window = WHOLE) -> list[EventList]:
    """The samples of a file that can hold nothing but events; the first `samples` of them, what the window takes.

    raises  InputError if the file cannot be read, has fewer samples, or does not fit the layer
    """
    suffix = path.suffix.lower()
    if suffix in (".h5", ".hdf5"):
        require("h5py", str(path), InputError)
        from nsim.formats.shd import read_shd  # h5py is an extra

        spoken, _ = read_shd(path, samples)
        return [
            event_list({"times": times, "units": units}, f"{path}, sample {sample}", shape, window)
            for sample, (times, units) in enumerate(spoken)
        ]
    check_samples(samples, 1, str(path))
    readers = {".bin": read_nmnist, ".txt": read_text}
    fields = readers.get(suffix, recordings.read_recording)(path)
    return [event_list(fields, str(path), shape, window)]


def check_samples(asked: int | None, have: int, name: str) -> None:
    if asked is not None and asked > have:
        raise InputError(f"{name} has {have} samples, fewer than the {asked} asked for: give at most {have}")


def read_nmnist(path: Path) -> dict[str, NDArray[np.int64]]:
    """The events of one N-MNIST file: t in microseconds, x, y and p, each int64[events].

    raises  InputError if the file cannot be read or is cut short
    """
    try:
        held = np.fromfile(path, np.uint8)
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {fault.strerror}: check its permissions") from fault
    if len(held) % NMNIST_BYTES:
        raise InputError(
            f"{path} has {len(held)} bytes, not a multiple of the {NMNIST_BYTES} of an N-MNIST event: it is cut short "
            "or of another kind; fetch it again"
        )
    x, y, high, middle, low = held.reshape(-1, NMNIST_BYTES).T.astype(np.int64)
    overflow = y == NMNIST_OVERFLOW_Y
    t = ((high & 0x7F) << 16 | middle << 8 | low) + NMNIST_OVERFLOW_US * np.cumsum(overflow)
    return {name: values[~overflow] for name, values in (("t", t), ("x", x), ("y", y), ("p", high >> 7))}


def read_text(path: Path) -> dict[str, NDArray[Any]]:
    """The events of a text as v2e writes it: a line each of t in seconds, x, y and p; lines with # are comments.

    raises  InputError if the file cannot be read or a line is none
    """
    try:
        with path.open(encoding="utf-8") as stream:
            rows = np.loadtxt(stream, comments="#", ndmin=2)
    except (OSError, ValueError) as fault:  # what NumPy raises for words, and UnicodeDecodeError
        cause = " ".join(str(fault).split())[:120]
        raise InputError(f"{path} is no text of events ({cause}): give t in seconds, x, y, p in every line") from fault
    if rows.size and rows.shape[1] != 4:
        raise InputError(f"{path} has {rows.shape[1]} numbers in a line: give four, t in seconds, x, y and p")
    return dict(zip("txyp", columns(rows.reshape(-1, 4)), strict=True))


def columns(rows: NDArray[Any]) -> list[NDArray[Any]]:
    """Columns of an array of numbers; whole ones as integers, but the first, of times."""
    first, *others = rows.T
    whole = [bool((column == np.rint(column)).all()) and np.abs(column).max(initial=0) < 2**53 for column in others]
    return [first, *(column.astype(np.int64) if kept else column for column, kept in zip(others, whole, strict=True))]


def event_columns(data: NDArray[Any], name: str) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]] | None:
    """The fields of an array (events, 4), and a note on which columns they are; None for another array.

    The column that does not decrease and reaches furthest holds the times; x, y and p follow in this order.
    """
    if data.ndim != 2 or data.shape[1] != 4 or len(data) < 2 or data.dtype.kind not in "iuf":
        return None
    rising = [k for k in (0, 2, 3) if (data[1:, k] >= data[:-1, k]).all() and data[-1, k] > data[0, k]]
    if len(rising) != 1 or not np.isfinite(data).all():
        return None
    order = [rising[0], *(k for k in range(4) if k != rising[0])]
    words = dict(zip(order, "txyp", strict=True))
    note = f"{name}: columns read as {', '.join(words[k] for k in range(4))}"
    return dict(zip("txyp", columns(data[:, order]), strict=True)), (note,)


def event_fields(data: NDArray[Any] | dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]] | None:
    """The arrays by name of a structured array or of an archive with several; None for an array of numbers."""
    if not isinstance(data, dict):
        if data.dtype.names is None:
            return None
        data = {name: data[name] for name in data.dtype.names}
    return {ALIASES.get(name, name): values for name, values in data.items()}


def event_list(
    fields: Mapping[str, NDArray[Any]], name: str, shape: Shape, window: Window = WHOLE, notes: tuple[str, ...] = ()
) -> EventList:
    """One sample from equally long arrays t, x, y, p or times, units; the others are ignored.

    Integer times are microseconds, floating ones seconds, unless the window says otherwise. The polarity p is the
    channel (-1 counts as 0) unless the layer has only one. Without y, x counts along the only axis of the layer that is
    longer than 1, or along its columns; units are neuron indices.
    raises  InputError
    """
    clock = next((times for times, place in (("t", "x"), ("times", "units")) if {times, place} <= set(fields)), None)
    if clock is None:
        raise InputError(f"{name} has the arrays {list(fields)}: give t, x, y, p, or t, x, or times, units of events")
    kinds = ("t", "x", "y", "p") if clock == "t" else ("times", "units")
    fields = {kind: fields[kind] for kind in kinds if kind in fields}
    shapes = {kind: values.shape for kind, values in fields.items()}
    if any(values.ndim != 1 for values in fields.values()) or len(set(shapes.values())) > 1:
        raise InputError(f"{name} has event arrays of shapes {shapes}: give one value per event in each")
    _check_times(fields[clock], name)
    taken, ticks, done = _taken(fields, clock, name, window)
    return EventList(name, taken[clock], ticks, _neuron_of(taken, name, shape), (*notes, *done))


def _taken(
    fields: Mapping[str, NDArray[Any]], clock: str, name: str, window: Window
) -> tuple[dict[str, NDArray[Any]], int, list[str]]:
    """Fields of the events that a window takes, ticks per second, and what was done to them."""
    ticks = ticks_of(fields[clock], window, name)
    times, order, notes = in_order(fields[clock], window, name)
    times, inside, cut = kept_times(times, ticks, window, name)
    taken = {**fields, clock: times}
    if window.crop or window.downsample > 1:
        if not {"x", "y"} <= set(fields):
            raise InputError(f"{name} has events without x and y: crop and downsample are for events of pixels")
        _whole(fields, ("x", "y"), name)
        taken["x"], taken["y"], within, more = kept_places(fields["x"], fields["y"], window, name)
        inside, cut = inside & within, [*cut, *more]
    if window.clock == "sort" and order is not None:
        taken, inside = {key: values[order] for key, values in taken.items()}, inside[order]
    return {key: values[inside] for key, values in taken.items()}, ticks, [*notes, *cut]


def _whole(fields: Mapping[str, NDArray[Any]], names: tuple[str, ...], name: str) -> None:
    for axis in names:
        if fields[axis].dtype.kind not in "biu":
            raise InputError(f"{name} has {axis} of type {fields[axis].dtype}: give integers")


def _check_times(times: NDArray[Any], name: str) -> None:
    if times.dtype.kind not in "iuf":
        raise InputError(
            f"{name} has event times of type {times.dtype}: give integer microseconds or seconds as floats"
        )
    bad = ~np.isfinite(times) | (times < 0)
    if bad.any():
        first = int(bad.argmax())
        raise InputError(
            f"{name} has {np.count_nonzero(bad)} event times that are negative, NaN or infinite, the first at event "
            f"{first} ({times[first]}): remove these events or shift the times to start at 0"
        )


def _neuron_of(fields: Mapping[str, NDArray[Any]], name: str, shape: Shape) -> NDArray[np.int64]:
    """Neuron index of every event, int64[events], from unit, or from x, y and polarity."""
    channels, rows, columns = shape
    if "units" in fields:
        return _inside(fields["units"], "unit", math.prod(shape), name)
    polarity = _polarity(fields["p"], channels, name) if "p" in fields else None
    if "y" not in fields and max(shape) == math.prod(shape):
        return _inside(fields["x"], "x", max(shape), name)
    if "y" not in fields and rows > 1:
        raise InputError(f"{name} has events without y, but the input layer has {rows} rows (shape {shape}): add y")
    index = _inside(fields["x"], "x", columns, name)
    if "y" in fields:
        index = index + columns * _inside(fields["y"], "y", rows, name)
    if channels > 1:
        if polarity is None:
            raise InputError(f"{name} has events without p, but the input layer has {channels} channels: add p")
        index = index + columns * rows * polarity
    return index


def _polarity(values: NDArray[Any], channels: int, name: str) -> NDArray[np.int64]:
    """Channel of every event; a layer of one channel takes both polarities."""
    if values.dtype.kind == "i":
        values = np.where(values == -1, 0, values)
    return _inside(values, "p", max(channels, 2), name)


def _inside(values: NDArray[Any], axis: str, size: int, name: str) -> NDArray[np.int64]:
    _whole({axis: values}, (axis,), name)
    index = values.astype(np.int64)
    bad = (index < 0) | (index >= size)
    if bad.any():
        first = int(bad.argmax())
        raise InputError(
            f"{name} has {axis} = {values[first]} in event {first}, but the input layer takes 0..{size - 1} there: "
            "give the network's own sensor size, or remove these events"
        )
    return index
