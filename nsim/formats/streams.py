"""Event streams: single input events at their own times, as asynchronous chips take them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError
from nsim.formats.events import (
    SUFFIXES,
    EventList,
    check_samples,
    event_columns,
    event_fields,
    event_list,
    read_event_file,
)
from nsim.formats.made_events import EVENT_NAMES, is_event_name, named_events
from nsim.formats.numpy_files import ARRAY_SUFFIXES, existing, read_arrays
from nsim.formats.window import UNITS, WHOLE, Window, split_window
from nsim.network.inputs import MAX_PS, PS_PER_SECOND, EventStream, check_ascending
from nsim.network.synapses import Shape

LONGEST_S = 86_400  # of a recording; times in a wrong unit would keep an engine busy for ever, or leave its clock


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
             Behind a colon a file takes start, stop, crop, downsample, unit and clock, see `nsim.formats.window`
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
    if isinstance(source, np.ndarray):
        return _from_arrays(source, "input array", shape, sample, WHOLE)
    if is_event_name(str(source)):
        check_samples(sample + 1, 1, str(source))
        return named_events(str(source), shape)
    base, window = split_window(str(source))
    if window.bin is not None or window.clip:
        raise InputError(f"{base} is served event by event: leave out bin and clip, which are for timesteps")
    path = existing(Path(base), (*ARRAY_SUFFIXES, *SUFFIXES), EVENT_NAMES)
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return _from_arrays(read_arrays(path), str(path), shape, sample, window)
    return stream_of(read_event_file(path, shape, sample + 1, window)[sample], math.prod(shape))


def _from_arrays(
    data: NDArray[Any] | dict[str, NDArray[Any]], name: str, shape: Shape, sample: int, window: Window
) -> EventStream:
    check_samples(sample + 1, 1, name)
    fields, notes = event_fields(data), tuple[str, ...]()
    if fields is None and isinstance(data, np.ndarray) and (found := event_columns(data, name)):
        fields, notes = found
    if fields is None:
        raise InputError(f"{name} holds frames, but events are needed: give the fields t, x, y, p, one each an event")
    return stream_of(event_list(fields, name, shape, window, notes), math.prod(shape))


def stream_of(events: EventList, neurons: int) -> EventStream:
    """A list of events as a stream, if it is in order of time and lasts a day at most."""
    tick_ps = PS_PER_SECOND // events.ticks_per_second
    units = {ticks: unit for unit, ticks in UNITS.items()}
    check_ascending(events.times, events.name, units.get(events.ticks_per_second, "ticks"))
    last = events.times[-1] if len(events.times) else 0
    if (last_s := float(last) / events.ticks_per_second) > LONGEST_S:
        unit = "us" if events.ticks_per_second == 1 else "ns"
        raise InputError(
            f"{events.name} has its last event at {last_s:.6g} s, and at most {LONGEST_S:,} s are served event by "
            f"event: give the unit of its times (:unit={unit}), count from the first event (:start=first), or cut it "
            "(:stop=SECONDS)"
        )
    if events.times.dtype.kind == "f":
        t_ps = np.rint(events.times.astype(np.float64) * tick_ps).astype(np.int64)
    else:
        t_ps = events.times.astype(np.int64) * tick_ps
    return EventStream(t_ps, events.neuron, neurons, events.notes)
