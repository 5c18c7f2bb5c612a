"""Event streams: single input events at their own times, as asynchronous chips take them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError
from nsim.formats.events import SUFFIXES, EventList, check_samples, event_fields, event_list, read_event_file
from nsim.formats.numpy_files import ARRAY_SUFFIXES, existing, read_arrays
from nsim.synapses import Shape

PS_PER_SECOND = 10**12
MAX_PS = np.iinfo(np.int64).max  # 106 days


@dataclass(frozen=True, eq=False)
class EventStream:
    """Events in order of time; those of one time in the order in which they come.

    t_ps     int64[events]  picoseconds since the start, not decreasing
    neuron   int64[events]  index within the input layer, row-major in its (C, H, W)
    neurons  size of the input layer
    raises   InputError if the arrays do not fit each other, a time is negative or too early, or a neuron is outside
    """

    t_ps: NDArray[np.int64]
    neuron: NDArray[np.int64]
    neurons: int

    def __post_init__(self) -> None:
        for name, values in (("t_ps", self.t_ps), ("neuron", self.neuron)):
            if values.dtype != np.int64 or values.ndim != 1:
                raise InputError(f"{name} is {values.dtype} of shape {values.shape}: give int64[events]")
        if len(self.t_ps) != len(self.neuron):
            raise InputError(
                f"there are {len(self.t_ps)} times, but {len(self.neuron)} neurons: give one of each an event"
            )
        _check_ascending(self.t_ps, "event stream", "ps")
        if len(self) and self.t_ps[0] < 0:
            raise InputError(f"event stream has event 0 at {self.t_ps[0]} ps: shift the times to start at 0")
        outside = (self.neuron < 0) | (self.neuron >= self.neurons)
        if outside.any():
            first = int(outside.argmax())
            raise InputError(
                f"event {first} of the stream is at neuron {self.neuron[first]}, but the input layer has "
                f"0..{self.neurons - 1}: give the network's own sensor size"
            )

    def __len__(self) -> int:
        return len(self.t_ps)

    @property
    def duration_ps(self) -> int:
        """From 0 to the last event; 0 without events."""
        return int(self.t_ps[-1]) if len(self) else 0

    def counts(self) -> NDArray[np.int64]:
        """Events by neuron, int64[neurons]."""
        return np.bincount(self.neuron, minlength=self.neurons).astype(np.int64)

    def crop(self, start_ps: int, stop_ps: int) -> EventStream:
        """The events in start_ps <= t < stop_ps, their times counted from start_ps.

        raises  InputError unless 0 <= start_ps < stop_ps
        """
        if not 0 <= start_ps < stop_ps:
            raise InputError(f"cannot crop events to {start_ps}..{stop_ps} ps: give 0 <= start < stop")
        kept = slice(*np.searchsorted(self.t_ps, (start_ps, stop_ps)))
        return EventStream(self.t_ps[kept] - start_ps, self.neuron[kept], self.neurons)


def load_events(
    source: str | Path | NDArray[Any],
    shape: Shape,
    *,
    sample: int = 0,
    seconds: float | None = None,
) -> EventStream:
    """Read the events of one sample.

    source   a structured array with the fields t, x, y, p; the path of such an array as .npy or .npz, of an .npz with
             the arrays t, x, y, p or times, units, or of an .h5, .hdf5, .bin, .aedat4, .raw or .dat file (see
             `nsim.formats.events`); or a built-in stream, edges:rate=1e5,seconds=0.1,seed=3
    shape    (C, H, W) of the input layer
    sample   which one of a file with several, counted from 0
    seconds  leave out what comes at this time or later
    raises   InputError if the source cannot be read, does not fit the layer or is not in order of time

    Integer times are microseconds, floating ones seconds, rounded to picoseconds. The samples of an SHD file come
    sorted by time, since their stamps are too coarse to keep an order.
    """
    if sample < 0:
        raise InputError(f"sample is {sample}: give 0 or more")
    if seconds is not None and not 0 < seconds < math.inf:
        raise InputError(f"the events of {seconds} s were asked for: give a positive number of seconds")
    stream = _load(source, shape, sample)
    return stream if seconds is None else stream.crop(0, min(max(round(seconds * PS_PER_SECOND), 1), MAX_PS))


def _load(source: str | Path | NDArray[Any], shape: Shape, sample: int) -> EventStream:
    from nsim.workloads.event_streams import EVENT_NAMES, is_event_name, named_events  # they make streams of this kind

    if isinstance(source, np.ndarray):
        return _from_arrays(source, "input array", shape, sample)
    if is_event_name(str(source)):
        check_samples(sample + 1, 1, str(source))
        return named_events(str(source), shape)
    path = existing(Path(source), (*ARRAY_SUFFIXES, *SUFFIXES), EVENT_NAMES)
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return _from_arrays(read_arrays(path), str(path), shape, sample)
    return stream_of(read_event_file(path, shape, sample + 1)[sample], math.prod(shape))


def _from_arrays(data: NDArray[Any] | dict[str, NDArray[Any]], name: str, shape: Shape, sample: int) -> EventStream:
    check_samples(sample + 1, 1, name)
    fields = event_fields(data)
    if fields is None:
        raise InputError(f"{name} holds frames, but events are needed: give the fields t, x, y, p, one each an event")
    return stream_of(event_list(fields, name, shape), math.prod(shape))


def stream_of(events: EventList, neurons: int) -> EventStream:
    """A list of events as a stream, if it is in order of time and no time is too late for picoseconds."""
    tick_ps = PS_PER_SECOND // events.ticks_per_second
    _check_ascending(events.times, events.name, {1: "s", 10**6: "us"}.get(events.ticks_per_second, "ticks"))
    last = events.times[-1] if len(events.times) else 0
    if float(last) * tick_ps >= MAX_PS:
        raise InputError(
            f"{events.name} has its last event at {float(last) / events.ticks_per_second:.6g} s, but times in "
            f"picoseconds end at {MAX_PS / PS_PER_SECOND:.6g} s: check the unit, or count from the first event"
        )
    if events.times.dtype.kind == "f":
        t_ps = np.rint(events.times.astype(np.float64) * tick_ps).astype(np.int64)
    else:
        t_ps = events.times.astype(np.int64) * tick_ps
    return EventStream(t_ps, events.neuron, neurons)


def _check_ascending(times: NDArray[Any], name: str, unit: str) -> None:
    """Refuse times that go back, with the first place."""
    back = times[1:] < times[:-1]
    if back.any():
        first = int(back.argmax()) + 1
        raise InputError(
            f"{name} has event {first} at {times[first]} {unit} after event {first - 1} at {times[first - 1]} {unit}: "
            "sort the events by time, as numpy.argsort(t, kind='stable') does"
        )
