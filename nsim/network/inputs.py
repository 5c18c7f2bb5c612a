"""What reaches the input layer: dense frames, events by timestep, or single events at their own times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError
from nsim.network.brief import Brief

PS_PER_SECOND = 10**12
MAX_PS = np.iinfo(np.int64).max  # 106 days


@dataclass(frozen=True, eq=False, repr=False)
class Frames(Brief):
    """A value for every input neuron in every timestep.

    frames     [timesteps, neurons], or [1, neurons]: the one frame is held for all timesteps. Bool, integer or float
    timesteps  how long the input lasts
    notes      how the array was read
    raises     InputError if there are neither 1 nor `timesteps` frames
    """

    frames: NDArray[Any]
    timesteps: int
    notes: tuple[str, ...] = ()

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


@dataclass(frozen=True, eq=False, repr=False)
class Events(Brief):
    """Values that reach single input neurons; what reaches one neuron in one timestep is added up.

    indptr   int64[timesteps + 1]  timestep s owns the events indptr[s]:indptr[s + 1]
    neuron   int64[events]         index within the input layer, row-major in its (C, H, W)
    value    [events]              bool, integer or float
    neurons  size of the input layer
    notes    what was done to a recording
    raises   InputError if the three arrays do not fit each other
    """

    indptr: NDArray[np.int64]
    neuron: NDArray[np.int64]
    value: NDArray[Any]
    neurons: int
    notes: tuple[str, ...] = ()

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


@dataclass(frozen=True, eq=False, repr=False)
class Drained(Brief):
    """A sample, and silence after it.

    silence   timesteps of it
    held      whether the last values stay, so that inputs which send changes are silent; otherwise there is none
    """

    sample: Frames | Events
    silence: int
    held: bool = False

    @property
    def timesteps(self) -> int:
        return self.sample.timesteps + self.silence

    @property
    def neurons(self) -> int:
        return self.sample.neurons

    @property
    def notes(self) -> tuple[str, ...]:
        return self.sample.notes

    def at(self, step: int) -> NDArray[Any]:
        """Input of timestep `step`, as the sample gives it."""
        _check_step(step, self.timesteps)
        last = self.sample.timesteps - 1
        return self.sample.at(min(step, last)) if step <= last or self.held else np.zeros_like(self.sample.at(last))


def drained(sample: Frames | Events | Drained, silence: int, held: bool = False) -> Drained:
    """A sample with so many timesteps of silence after it; more, if it has them already."""
    if isinstance(sample, Drained):
        return Drained(sample.sample, max(silence, sample.silence), held)
    return Drained(sample, silence, held)


def _check_step(step: int, timesteps: int) -> None:
    if not 0 <= step < timesteps:
        raise IndexError(f"timestep {step} is outside the input's {timesteps} timesteps")


def _dtype_of(values: NDArray[Any]) -> type[np.int64 | np.float32]:
    return np.float32 if values.dtype.kind == "f" else np.int64


@dataclass(frozen=True, eq=False, repr=False)
class EventStream(Brief):
    """Events in order of time; those of one time in the order in which they come.

    t_ps     int64[events]  picoseconds since the start, not decreasing
    neuron   int64[events]  index within the input layer, row-major in its (C, H, W)
    neurons  size of the input layer
    notes    what was done to a recording
    raises   InputError if the arrays do not fit each other, a time is negative or too early, or a neuron is outside
    """

    t_ps: NDArray[np.int64]
    neuron: NDArray[np.int64]
    neurons: int
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, values in (("t_ps", self.t_ps), ("neuron", self.neuron)):
            if values.dtype != np.int64 or values.ndim != 1:
                raise InputError(f"{name} is {values.dtype} of shape {values.shape}: give int64[events]")
        if len(self.t_ps) != len(self.neuron):
            raise InputError(
                f"there are {len(self.t_ps)} times, but {len(self.neuron)} neurons: give one of each an event"
            )
        check_ascending(self.t_ps, "event stream", "ps")
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
        return EventStream(self.t_ps[kept] - start_ps, self.neuron[kept], self.neurons, self.notes)


def spread(values: Sequence[NDArray[Any]] | NDArray[Any], dt_s: float, notes: tuple[str, ...]) -> EventStream:
    """Numbers of spikes [timesteps, neurons] as events: those of a timestep in the order of neurons, evenly over it."""
    step_ps = round(dt_s * PS_PER_SECOND)
    neurons = [np.repeat(np.arange(own.size), own.astype(np.int64)) for own in values]
    times = [step * step_ps + np.arange(own.size) * step_ps // max(1, own.size) for step, own in enumerate(neurons)]
    t_ps, neuron = (np.concatenate(parts).astype(np.int64) for parts in (times, neurons))
    return EventStream(t_ps, neuron, values[0].size, notes)


def joined(samples: Sequence[EventStream], lengths_ps: Sequence[int]) -> EventStream:
    """All streams as one, each after the time of those before."""
    starts = np.concatenate(([0], np.cumsum(lengths_ps)))[:-1]
    times = np.concatenate([sample.t_ps + start for sample, start in zip(samples, starts, strict=True)])
    neuron = np.concatenate([sample.neuron for sample in samples])
    return EventStream(times.astype(np.int64), neuron, samples[0].neurons, samples[0].notes)


def check_ascending(times: NDArray[Any], name: str, unit: str) -> None:
    """Refuse times that go back, with the first place."""
    back = times[1:] < times[:-1]
    if back.any():
        first = int(back.argmax()) + 1
        raise InputError(
            f"{name} has event {first} at {times[first]} {unit} after event {first - 1} at {times[first - 1]} {unit}: "
            "sort the events by time, as numpy.argsort(t, kind='stable') does"
        )
