"""What reaches the input layer: dense frames or single events by timestep, and the files they are read from."""

from __future__ import annotations

import difflib
import itertools
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError
from nsim.memory import available_bytes
from nsim.synapses import Shape

SUFFIXES = (".npy", ".npz", ".h5", ".hdf5")
MAX_TIMESTEPS = 10_000_000  # of an event list; one wrong event time would otherwise fill the memory


@dataclass(frozen=True, eq=False)
class Frames:
    """A value for every input neuron in every timestep.

    frames     [timesteps, neurons], or [1, neurons]: the one frame is held for all timesteps. Bool, integer or float
    timesteps  how long the input lasts
    raises     InputError if there are neither 1 nor `timesteps` frames
    """

    frames: NDArray[Any]
    timesteps: int

    def __post_init__(self) -> None:
        if self.frames.ndim != 2 or len(self.frames) not in (1, self.timesteps):
            raise InputError(
                f"frames of shape {self.frames.shape} do not fill {self.timesteps} timesteps: "
                f"give (1, neurons) or ({self.timesteps}, neurons)"
            )

    @property
    def neurons(self) -> int:
        return self.frames.shape[1]

    def at(self, step: int) -> NDArray[Any]:
        """Input of timestep `step`, counted from 0: int64[neurons], or float32[neurons] if the frames are floats."""
        _check_step(step, self.timesteps)
        return self.frames[step if len(self.frames) > 1 else 0].astype(_dtype_of(self.frames))


@dataclass(frozen=True, eq=False)
class Events:
    """Values that reach single input neurons; what reaches one neuron in one timestep is added up.

    indptr   int64[timesteps + 1]  timestep s owns the events indptr[s]:indptr[s + 1]
    neuron   int64[events]         index within the input layer, row-major in its (C, H, W)
    value    [events]              bool, integer or float
    neurons  size of the input layer
    raises   InputError if the three arrays do not fit each other
    """

    indptr: NDArray[np.int64]
    neuron: NDArray[np.int64]
    value: NDArray[Any]
    neurons: int

    def __post_init__(self) -> None:
        if not self.indptr[-1] == len(self.neuron) == len(self.value):
            raise InputError(
                f"indptr ends at {self.indptr[-1]} events, but there are {len(self.neuron)} neurons and "
                f"{len(self.value)} values: all three must agree"
            )

    @property
    def timesteps(self) -> int:
        return len(self.indptr) - 1

    def at(self, step: int) -> NDArray[Any]:
        """Input of timestep `step`, counted from 0: int64[neurons], or float32[neurons] if the values are floats."""
        _check_step(step, self.timesteps)
        events = slice(self.indptr[step], self.indptr[step + 1])
        dense = np.zeros(self.neurons, _dtype_of(self.value))
        np.add.at(dense, self.neuron[events], self.value[events].astype(dense.dtype))
        return dense


def load_input(
    source: str | Path | NDArray[Any],
    shape: Shape,
    *,
    timesteps: int | None = None,
    samples: int | None = None,
    bin_s: float | None = None,
) -> list[Frames | Events]:
    """Read the input of a network, one entry per sample.

    source     an array, or the path of a .npy, .npz, .h5 or .hdf5 file
    shape      (C, H, W) of the input layer; a layer without space has (n, 1, 1)
    timesteps  how long to run. Longer data is cut, a single frame is held, events end in silence, and frames that are
               too few are refused. By default as many as the data has; for events, up to the last of the sample
    samples    take the first so many; by default all
    bin_s      seconds per timestep; events need it, frames ignore it
    raises     InputError if the file cannot be read or does not fit the layer

    Arrays of numbers are, in this order: one frame of `shape`; (T, *shape); (N, T, *shape); or the order of lava-dl's
    files, (W, H, C) or (W, H, C, T). Axes of `shape` of length 1 may be missing, except in the last.
    Events are a structured array with the fields t, x, y, p of the `tonic` package, or an .npz with arrays t, x, y, p
    or times, units. Integer times are microseconds, floating ones seconds. The polarity p is the channel (-1 counts
    as 0) unless the layer has only one. Without y, x counts along the only axis of the layer that is longer than 1,
    or along its columns; units are neuron indices. Every event has the value 1.
    HDF5 files have the layout of the Spiking Heidelberg Digits, see `nsim.formats.shd`.
    """
    _check_request(timesteps, samples, bin_s)
    if isinstance(source, np.ndarray):
        return _from_array(source, "input array", shape, timesteps, samples, bin_s)
    path = _existing(Path(source))
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _from_array(_read_npy(path), str(path), shape, timesteps, samples, bin_s)
    if suffix == ".npz":
        arrays = _read_npz(path)
        if len(arrays) == 1:
            return _from_array(next(iter(arrays.values())), str(path), shape, timesteps, samples, bin_s)
        _check_samples(samples, 1, str(path))
        return [_events(arrays, str(path), shape, timesteps, _needed(bin_s, str(path)))]
    bin_s = _needed(bin_s, str(path))
    from nsim.formats.shd import read_shd  # h5py takes its time to import

    spoken, _ = read_shd(path, samples)
    return [
        _events({"times": times, "units": units}, f"{path}, sample {sample}", shape, timesteps, bin_s)
        for sample, (times, units) in enumerate(spoken)
    ]


# What was asked for


def _check_request(timesteps: int | None, samples: int | None, bin_s: float | None) -> None:
    for name, asked in (("timesteps", timesteps), ("samples", samples)):
        if asked is not None and asked < 1:
            raise InputError(f"{name} is {asked}: give at least 1")
    if bin_s is not None and not 0 < bin_s < math.inf:
        raise InputError(f"the duration of a timestep is {bin_s} s: give a positive number of seconds")


def _check_samples(asked: int | None, have: int, name: str) -> None:
    if asked is not None and asked > have:
        raise InputError(f"{name} has {have} samples, fewer than the {asked} asked for: give at most {have}")


def _check_step(step: int, timesteps: int) -> None:
    if not 0 <= step < timesteps:
        raise IndexError(f"timestep {step} is outside the input's {timesteps} timesteps")


def _needed(bin_s: float | None, name: str) -> float:
    if bin_s is None:
        raise InputError(f"{name} holds events, but nothing says how long a timestep is: give --dt SECONDS")
    return bin_s


def _dtype_of(values: NDArray[Any]) -> type[np.int64 | np.float32]:
    return np.float32 if values.dtype.kind == "f" else np.int64


# Frames


def _from_array(
    data: NDArray[Any],
    name: str,
    shape: Shape,
    timesteps: int | None,
    samples: int | None,
    bin_s: float | None,
) -> list[Frames | Events]:
    """Samples of an array of numbers, or the one sample of a structured array of events."""
    if data.dtype.names is not None:
        _check_samples(samples, 1, name)
        fields = {field: data[field] for field in data.dtype.names}
        return [_events(fields, name, shape, timesteps, _needed(bin_s, name))]
    _check_values(data, name)
    by_sample = _by_sample(data, name, shape)
    count, length = by_sample.shape[:2]
    if count == 0 or length == 0:
        raise InputError(f"{name} has shape {data.shape}, that is {count} samples of {length} timesteps: give data")
    _check_samples(samples, count, name)
    steps = length if timesteps is None else timesteps
    if steps > length > 1:
        raise InputError(f"{name} has {length} timesteps, fewer than the {steps} asked for: give at most {length}")
    return [Frames(sample[:steps], steps) for sample in by_sample[:samples]]


def _check_values(data: NDArray[Any], name: str) -> None:
    """Refuse what is no real number, or would not be one as int64 or float32."""
    if data.dtype.kind not in "biuf":
        raise InputError(f"{name} has elements of type {data.dtype}: give bool, integer or real floating numbers")
    if data.dtype.kind == "f":
        bad = ~np.isfinite(data)
        if data.dtype.itemsize > 4:
            bad |= np.abs(data) > np.finfo(np.float32).max
    elif data.dtype.kind == "u" and data.dtype.itemsize == 8:
        bad = data > np.iinfo(np.int64).max
    else:
        return
    if bad.any():
        first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
        raise InputError(
            f"{name} has {np.count_nonzero(bad)} values that are NaN, infinite or too large, the first at index "
            f"{first} ({data[first]}): replace them by finite numbers"
        )


def _by_sample(data: NDArray[Any], name: str, shape: Shape) -> NDArray[Any]:
    """The data as [samples, timesteps, neurons], by the first of the documented shape rules that fits."""
    neurons = math.prod(shape)
    forms = {sum(kept, ()) for kept in itertools.product(*(((1,), ()) if n == 1 else ((n,),) for n in shape))}
    for leading in range(min(data.ndim, 2) + 1):
        if data.shape[leading:] in forms:
            return data.reshape(*(1, 1, *data.shape[:leading])[-2:], neurons)
    whc = shape[::-1]
    if data.shape == whc or (data.ndim == 4 and data.shape[:3] == whc):
        length = data.shape[3] if data.ndim == 4 else 1
        return data.reshape(*whc, length).transpose(3, 2, 1, 0).reshape(1, length, neurons)
    plain = ", ".join(str(n) for n in (shape[:1] if shape[1:] == (1, 1) else shape))
    raise InputError(
        f"{name} has shape {data.shape}, which does not fit the input layer of shape {shape}: give "
        f"({plain}), (timesteps, {plain}), (samples, timesteps, {plain}), {whc} or {(*whc, 'timesteps')}"
    )


# Events


def _events(fields: Mapping[str, NDArray[Any]], name: str, shape: Shape, timesteps: int | None, bin_s: float) -> Events:
    """One sample from equally long arrays t, x, y, p or times, units; the others are ignored."""
    clock = next((times for times, place in (("t", "x"), ("times", "units")) if {times, place} <= set(fields)), None)
    if clock is None:
        raise InputError(f"{name} has the arrays {list(fields)}: give t, x, y, p, or t, x, or times, units of events")
    kinds = ("t", "x", "y", "p") if clock == "t" else ("times", "units")
    fields = {kind: fields[kind] for kind in kinds if kind in fields}
    shapes = {kind: values.shape for kind, values in fields.items()}
    if any(values.ndim != 1 for values in fields.values()) or len(set(shapes.values())) > 1:
        raise InputError(f"{name} has event arrays of shapes {shapes}: give one value per event in each")
    neuron = _neuron_of(fields, name, shape)
    step = _timestep_of(fields[clock], name, bin_s)
    needed = step.max(initial=0) + 1 if timesteps is None else timesteps
    if needed > MAX_TIMESTEPS:
        raise InputError(
            f"{name} would fill {needed:,.12g} timesteps of {bin_s} s, more than {MAX_TIMESTEPS:,}: "
            "check the unit of its times, give fewer timesteps, or a longer --dt"
        )
    timesteps = int(needed)
    kept = step < timesteps
    return _in_order(step[kept].astype(np.int64), neuron[kept], timesteps, math.prod(shape))


def _in_order(step: NDArray[np.int64], neuron: NDArray[np.int64], timesteps: int, neurons: int) -> Events:
    if (np.diff(step) < 0).any():
        neuron = neuron[np.argsort(step, kind="stable")]
    indptr = np.zeros(timesteps + 1, np.int64)
    np.cumsum(np.bincount(step, minlength=timesteps), out=indptr[1:])
    return Events(indptr, neuron, np.ones(len(neuron), np.int64), neurons)


def _timestep_of(times: NDArray[Any], name: str, bin_s: float) -> NDArray[np.float64]:
    """Whole timesteps since 0, as floats because a wrong time may exceed any integer.

    A time nearer to the start of a timestep than its own rounding error lies in it: 0.3 s / 0.1 s is 3.
    """
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
    with np.errstate(over="ignore"):
        exact = times.astype(np.float64) / (bin_s if times.dtype.kind == "f" else bin_s * 1e6)
    nearest = np.rint(exact)
    with np.errstate(invalid="ignore"):  # a tiny bin_s may have made it infinite
        return np.where(np.abs(exact - nearest) <= 1e-12 * nearest, nearest, np.floor(exact))


def _neuron_of(fields: Mapping[str, NDArray[Any]], name: str, shape: Shape) -> NDArray[np.int64]:
    """Neuron index of every event, int64[events], from unit, or from x, y and polarity."""
    channels, rows, columns = shape
    if "units" in fields:
        return _inside(fields["units"], "unit", math.prod(shape), name)
    if "y" not in fields and max(shape) == math.prod(shape):
        return _inside(fields["x"], "x", max(shape), name)
    if "y" not in fields and rows > 1:
        raise InputError(f"{name} has events without y, but the input layer has {rows} rows (shape {shape}): add y")
    if "p" not in fields and channels > 1:
        raise InputError(f"{name} has events without p, but the input layer has {channels} channels: add p")
    index = _inside(fields["x"], "x", columns, name)
    if "y" in fields:
        index = index + columns * _inside(fields["y"], "y", rows, name)
    if channels > 1:
        polarity = fields["p"]
        if polarity.dtype.kind == "i":
            polarity = np.where(polarity == -1, 0, polarity)
        index = index + columns * rows * _inside(polarity, "p", channels, name)
    return index


def _inside(values: NDArray[Any], axis: str, size: int, name: str) -> NDArray[np.int64]:
    if values.dtype.kind not in "biu":
        raise InputError(f"{name} has {axis} of type {values.dtype}: give integers")
    index = values.astype(np.int64)
    bad = (index < 0) | (index >= size)
    if bad.any():
        first = int(bad.argmax())
        raise InputError(
            f"{name} has {axis} = {values[first]} in event {first}, but the input layer takes 0..{size - 1} there: "
            "give the network's own sensor size, or remove these events"
        )
    return index


# Files: what a header declares is compared with what is there before any memory is taken


def _existing(path: Path) -> Path:
    """The path again, if it is a file of a known kind that is not empty."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder: give one of the files in it")
        if not path.exists():
            raise InputError(f"{path} does not exist: {_nearest(path)}")
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"{path} has the unknown suffix {path.suffix!r}: give one of {', '.join(SUFFIXES)}")
        if not path.is_file():
            raise InputError(f"{path} is no regular file: copy its data into one")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty: write it again")
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {fault.strerror}: check path and permissions") from fault
    return path


def _nearest(path: Path) -> str:
    """A cure for a path that does not exist."""
    folder = path.parent
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, 1)
    return f"did you mean {near[0]}?" if near else "check the path"


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        with path.open("rb") as stream:
            return _read_array(stream, path.stat().st_size, str(path))
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {fault.strerror}: check its permissions") from fault


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The one array of an archive, or the arrays of an event list; {name: array}."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = list(members)
            if len(members) != 1:
                wanted = [name for name in ("t", "x", "y", "p", "times", "units") if name in members]
                if not ({"t", "x"} <= set(wanted) or {"times", "units"} <= set(wanted)):
                    raise InputError(
                        f"{path} holds {len(members)} arrays, {sorted(members)[:10]}: give a single array, or events "
                        "as t, x, y, p or times, units"
                    )
            arrays = {}
            for name in wanted:
                with archive.open(members[name]) as stream:
                    arrays[name] = _read_array(stream, members[name].file_size, f"{path}, array {name!r}")
            return arrays
    except InputError:
        raise
    except Exception as fault:  # zipfile and its decompressors raise a dozen kinds on a damaged archive
        raise InputError(f"{path} cannot be read as .npz archive: {_one_line(fault)}: write it again") from fault


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
