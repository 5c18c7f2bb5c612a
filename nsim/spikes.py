"""What reaches the input layer: dense frames or single events by timestep, and the files they are read from."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError
from nsim.formats import events as event_files
from nsim.formats.events import EventList, check_samples, event_fields, event_list, read_event_file
from nsim.formats.numpy_files import ARRAY_SUFFIXES, existing, read_arrays
from nsim.synapses import Shape
from nsim.workloads.event_streams import EVENT_NAMES, is_event_name, named_events

SUFFIXES = (*ARRAY_SUFFIXES, *event_files.SUFFIXES)
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

    source     an array; the path of a .npy, .npz, .h5, .hdf5, .bin, .aedat4, .raw or .dat file; or a built-in stream of
               events with its options, as in edges:rate=1e5,seconds=0.1 (see `nsim.workloads.event_streams`)
    shape      (C, H, W) of the input layer; a layer without space has (n, 1, 1)
    timesteps  how long to run. Longer data is cut, a single frame is held, events end in silence, and frames that are
               too few are refused. By default as many as the data has; for events, up to the last of the sample
    samples    take the first so many; by default all
    bin_s      seconds per timestep; events need it, frames ignore it
    raises     InputError if the file cannot be read or does not fit the layer

    Arrays of numbers are, in this order: one frame of `shape`; (T, *shape); (N, T, *shape); or the order of lava-dl's
    files, (W, H, C) or (W, H, C, T). Axes of `shape` of length 1 may be missing, except in the last.
    Events are a structured array with the fields t, x, y, p of the `tonic` package, or an .npz with arrays t, x, y, p
    or times, units; see `nsim.formats.events.event_list` for their meaning. Every event has the value 1.
    HDF5 files have the layout of the Spiking Heidelberg Digits, see `nsim.formats.shd`; .bin files that of N-MNIST,
    see `nsim.formats.events`; the others are recordings of cameras, see `nsim.formats.recordings`.
    """
    _check_request(timesteps, samples, bin_s)
    if isinstance(source, np.ndarray):
        return _from_array(source, "input array", shape, timesteps, samples, bin_s)
    if is_event_name(str(source)):
        check_samples(samples, 1, str(source))
        stream = named_events(str(source), shape)
        lists = [EventList(str(source), stream.t_ps, 10**12, stream.neuron)]
    else:
        path = existing(Path(source), SUFFIXES, EVENT_NAMES)
        if path.suffix.lower() in ARRAY_SUFFIXES:
            return _from_array(read_arrays(path), str(path), shape, timesteps, samples, bin_s)
        _needed(bin_s, str(path))
        lists = read_event_file(path, shape, samples)
    bin_s = _needed(bin_s, str(source))
    return [_binned(events, math.prod(shape), timesteps, bin_s) for events in lists]


# What was asked for


def _check_request(timesteps: int | None, samples: int | None, bin_s: float | None) -> None:
    for name, asked in (("timesteps", timesteps), ("samples", samples)):
        if asked is not None and asked < 1:
            raise InputError(f"{name} is {asked}: give at least 1")
    if bin_s is not None and not 0 < bin_s < math.inf:
        raise InputError(f"the duration of a timestep is {bin_s} s: give a positive number of seconds")


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
    data: NDArray[Any] | dict[str, NDArray[Any]],
    name: str,
    shape: Shape,
    timesteps: int | None,
    samples: int | None,
    bin_s: float | None,
) -> list[Frames | Events]:
    """Samples of an array of numbers, or the one sample of a structured array of events or of the arrays of a list."""
    fields = event_fields(data)
    if fields is not None:
        check_samples(samples, 1, name)
        return [_binned(event_list(fields, name, shape), math.prod(shape), timesteps, _needed(bin_s, name))]
    assert isinstance(data, np.ndarray)
    _check_values(data, name)
    by_sample = _by_sample(data, name, shape)
    count, length = by_sample.shape[:2]
    if count == 0 or length == 0:
        raise InputError(f"{name} has shape {data.shape}, that is {count} samples of {length} timesteps: give data")
    check_samples(samples, count, name)
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


def _binned(events: EventList, neurons: int, timesteps: int | None, bin_s: float) -> Events:
    """Events by timestep, in their own order within it; those after the last timestep are cut."""
    step = _timestep_of(events, bin_s)
    needed = step.max(initial=0) + 1 if timesteps is None else timesteps
    if needed > MAX_TIMESTEPS:
        raise InputError(
            f"{events.name} would fill {needed:,.12g} timesteps of {bin_s} s, more than {MAX_TIMESTEPS:,}: "
            "check the unit of its times, give fewer timesteps, or a longer --dt"
        )
    timesteps = int(needed)
    kept = step < timesteps
    return _in_order(step[kept].astype(np.int64), events.neuron[kept], timesteps, neurons)


def _in_order(step: NDArray[np.int64], neuron: NDArray[np.int64], timesteps: int, neurons: int) -> Events:
    if (np.diff(step) < 0).any():
        neuron = neuron[np.argsort(step, kind="stable")]
    indptr = np.zeros(timesteps + 1, np.int64)
    np.cumsum(np.bincount(step, minlength=timesteps), out=indptr[1:])
    return Events(indptr, neuron, np.ones(len(neuron), np.int64), neurons)


def _timestep_of(events: EventList, bin_s: float) -> NDArray[np.float64]:
    """Whole timesteps since 0, as floats because a wrong time may exceed any integer.

    A time nearer to the start of a timestep than its own rounding error lies in it: 0.3 s / 0.1 s is 3.
    """
    with np.errstate(over="ignore"):
        exact = events.times.astype(np.float64) / (bin_s * events.ticks_per_second)
    nearest = np.rint(exact)
    with np.errstate(invalid="ignore"):  # a tiny bin_s may have made it infinite
        return np.where(np.abs(exact - nearest) <= 1e-12 * nearest, nearest, np.floor(exact))
