"""What reaches the input layer: dense frames or single events by timestep, and the files they are read from."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError
from nsim.formats import events as event_files
from nsim.formats.events import (
    EventList,
    check_samples,
    event_columns,
    event_fields,
    event_list,
    read_event_file,
)
from nsim.formats.made_events import EVENT_NAMES, is_event_name, named_events
from nsim.formats.numpy_files import ARRAY_SUFFIXES, existing, read_arrays
from nsim.formats.window import WHOLE, Window, split_binning, split_window
from nsim.network.inputs import Drained, Events, Frames
from nsim.network.synapses import Shape

SUFFIXES = (*ARRAY_SUFFIXES, *event_files.SUFFIXES)
SOME_EVENTS = 10  # fewer are no recording
LONGEST_GAP = 100_000  # timesteps; more than that, and than half of a recording, is damage
LONG_SILENCE = 100  # timesteps before the first event that are worth a note
MAX_TIMESTEPS = 10_000_000  # of an event list; one wrong event time would otherwise fill the memory


def load_input(
    source: str | Path | NDArray[Any],
    shape: Shape,
    *,
    timesteps: int | None = None,
    samples: int | None = None,
    bin_s: float | None = None,
) -> list[Frames | Events | Drained]:
    """Read the input of a network, one entry per sample.

    source     an array; the path of a .npy, .npz, .h5, .hdf5, .bin, .txt, .aedat4, .raw or .dat file, of events with
               a window behind a colon, as in rec.raw:start=6.4,clip=on (see `nsim.formats.window`); or a built-in
               stream of events with its options, as in edges:rate=1e5,seconds=0.1 (see `nsim.formats.made_events`)
    shape      (C, H, W) of the input layer; a layer without space has (n, 1, 1)
    timesteps  how long to run. Longer data is cut, a single frame is held, several frames and events end in silence.
               By default as many as the data has; for events, up to the last of the sample
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
        return _from_array(source, "input array", shape, timesteps, samples, bin_s, WHOLE)
    window = WHOLE
    if is_event_name(str(source)):
        check_samples(samples, 1, str(source))
        made, window = split_binning(str(source))
        bin_s = bin_s if window.bin is None else window.bin
        stream = named_events(made, shape)
        lists = [EventList(str(source), stream.t_ps, 10**12, stream.neuron)]
    else:
        base, window = split_window(str(source))
        bin_s = bin_s if window.bin is None else window.bin
        path = existing(Path(base), SUFFIXES, EVENT_NAMES)
        if path.suffix.lower() in ARRAY_SUFFIXES:
            return _from_array(read_arrays(path), str(path), shape, timesteps, samples, bin_s, window)
        _needed(bin_s, str(path))
        lists = read_event_file(path, shape, samples, window)
    bin_s = _needed(bin_s, str(source))
    return [_binned(events, math.prod(shape), timesteps, bin_s, window) for events in lists]


# What was asked for


def load_frames(
    source: str | Path | NDArray[Any], shape: Shape, frames: int | None = None, bin_s: float | None = None
) -> NDArray[Any]:
    """The first frames of an input, every timestep of every sample: [frames, input neurons]."""
    samples = load_input(source, shape, bin_s=bin_s)
    available = sum(sample.timesteps for sample in samples)
    if frames is not None and frames > available:
        raise InputError(f"{frames} frames were asked for, but the input holds {available}: give --samples {available}")
    rows = (sample.at(step) for sample in samples for step in range(sample.timesteps))
    return np.stack(list(itertools.islice(rows, frames)))


def _check_request(timesteps: int | None, samples: int | None, bin_s: float | None) -> None:
    for name, asked in (("timesteps", timesteps), ("samples", samples)):
        if asked is not None and asked < 1:
            raise InputError(f"{name} is {asked}: give at least 1")
    if bin_s is not None and not 0 < bin_s < math.inf:
        raise InputError(f"the duration of a timestep is {bin_s} s: give a positive number of seconds")


def _needed(bin_s: float | None, name: str) -> float:
    if bin_s is None:
        raise InputError(
            f"{name} holds events, but nothing says how long a timestep is: give --bin SECONDS or --dt SECONDS"
        )
    return bin_s


# Frames


def _from_array(
    data: NDArray[Any] | dict[str, NDArray[Any]],
    name: str,
    shape: Shape,
    timesteps: int | None,
    samples: int | None,
    bin_s: float | None,
    window: Window,
) -> list[Frames | Events | Drained]:
    """Samples of an array of numbers, or the one sample of a structured array of events or of the arrays of a list."""
    fields, notes = event_fields(data), tuple[str, ...]()
    if fields is None:
        assert isinstance(data, np.ndarray)
        _check_values(data, name)
        if not _fits(data, shape) and (found := event_columns(data, name)):
            fields, notes = found
    if fields is not None:
        check_samples(samples, 1, name)
        events = event_list(fields, name, shape, window, notes)
        return [_binned(events, math.prod(shape), timesteps, _needed(bin_s, name), window)]
    assert isinstance(data, np.ndarray)
    if not window.plain:
        raise InputError(f"{name} holds frames: its options are for events, leave them out")
    by_sample = _by_sample(data, name, shape)
    count, length = by_sample.shape[:2]
    if count == 0 or length == 0:
        raise InputError(f"{name} has shape {data.shape}, that is {count} samples of {length} timesteps: give data")
    check_samples(samples, count, name)
    steps = length if timesteps is None else timesteps
    notes = _order_note(name, count, length)
    if steps > length > 1:
        return [Drained(Frames(sample, length, notes), steps - length) for sample in by_sample[:samples]]
    return [Frames(sample, steps, notes) for sample in by_sample[:samples, :steps]]


def _order_note(name: str, count: int, length: int) -> tuple[str, ...]:
    """A note on several samples in one array: frameworks have time first, [T, B, ...]."""
    if count < 2:
        return ()
    if length == 1:
        return (f"{name} is {count} samples of 1 timestep; if it is 1 sample of {count}, give it as ({count}, ...)",)
    return (f"{name} is {count} samples of {length} timesteps; swap its first two axes if time is first",)


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


def _leading_axes(data: NDArray[Any], shape: Shape) -> int | None:
    """How many axes come before those of the layer, if the others are its own, without some of length 1."""
    forms = {sum(kept, ()) for kept in itertools.product(*(((1,), ()) if n == 1 else ((n,),) for n in shape))}
    return next((k for k in range(min(data.ndim, 2) + 1) if data.shape[k:] in forms), None)


def _fits(data: NDArray[Any], shape: Shape) -> bool:
    """Whether an array holds frames of this shape."""
    return _leading_axes(data, shape) is not None or data.shape[:3] == shape[::-1]


def samples_of(data: NDArray[Any], name: str, shape: Shape) -> NDArray[Any]:
    """Numbers for a layer of this shape, by sample: [samples, timesteps, neurons]. InputError if they do not fit."""
    _check_values(data, name)
    found = _by_sample(data, name, shape)
    if 0 in found.shape[:2]:
        raise InputError(f"{name} has shape {data.shape}, which holds nothing: give data")
    return found


def _by_sample(data: NDArray[Any], name: str, shape: Shape) -> NDArray[Any]:
    """The data as [samples, timesteps, neurons], by the first of the documented shape rules that fits."""
    neurons = math.prod(shape)
    leading = _leading_axes(data, shape)
    if leading is not None:
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


def _binned(events: EventList, neurons: int, timesteps: int | None, bin_s: float, window: Window) -> Events:
    """Events by timestep, in their own order within it; those after the last timestep are cut."""
    step = _timestep_of(events, bin_s)
    needed = step.max(initial=0) + 1 if timesteps is None else timesteps
    if needed > MAX_TIMESTEPS:
        raise InputError(
            f"{events.name} would fill {needed:,.12g} timesteps of {bin_s} s, more than {MAX_TIMESTEPS:,}: "
            "check the unit of its times, give fewer timesteps, or a longer --bin"
        )
    timesteps = int(needed)
    _check_gap(events.name, step[step < timesteps], timesteps, bin_s)
    kept = step < timesteps
    binned = _in_order(step[kept].astype(np.int64), events.neuron[kept], timesteps, neurons)
    binned, several = _one_each(binned, window.clip)
    notes = (*events.notes, *_silence(events.name, step, timesteps, bin_s), *several)
    return replace(binned, notes=notes)


def _check_gap(name: str, step: NDArray[np.float64], timesteps: int, bin_s: float) -> None:
    """Refuse a recording that is mostly one gap: a bit flipped in a clock makes days of it."""
    if step.size < SOME_EVENTS:
        return
    ordered = np.sort(np.append(step, 0.0))
    gaps = np.diff(ordered)
    widest = int(gaps.argmax())
    if gaps[widest] < max(LONGEST_GAP, timesteps // 2):
        return
    before, after = ordered[widest] * bin_s, ordered[widest + 1] * bin_s
    raise InputError(
        f"{name} has no event from {before:.6g} to {after:.6g} s, {int(gaps[widest]):,} timesteps of {bin_s} s: check "
        f"its clock, or give --start or --stop {after:.6g}, or a longer --bin"
    )


def _silence(name: str, step: NDArray[np.float64], timesteps: int, bin_s: float) -> list[str]:
    """A note on a long silence before the first event, which dilutes every mean."""
    first = int(step.min(initial=timesteps))
    if first < max(LONG_SILENCE, timesteps // 10) or first >= timesteps:
        return []
    return [f"{name}: its first event is at {first * bin_s:.6g} s, after {first:,} silent timesteps: --start first"]


def _one_each(events: Events, clip: bool) -> tuple[Events, list[str]]:
    """Events with several of a neuron in one timestep counted once, if clip; and a note on them."""
    step = np.repeat(np.arange(events.timesteps), np.diff(events.indptr))
    _, first, counts = np.unique(step * events.neurons + events.neuron, return_index=True, return_counts=True)
    several = int(np.count_nonzero(counts > 1))
    if not several:
        return events, []
    found = f"{several} times several events of a neuron in one timestep, up to {counts.max()}"
    if not clip:
        return events, [f"input: {found}: sent as a value (--clip counts them once)"]
    first.sort()
    indptr = np.searchsorted(step[first], np.arange(events.timesteps + 1))
    once = Events(indptr.astype(np.int64), events.neuron[first], events.value[first], events.neurons)
    return once, [f"input: {found}: counted once"]


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
