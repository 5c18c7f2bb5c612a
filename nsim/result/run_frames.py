"""A run of frames: evaluate or draw what every layer sends, count what that causes, and simulate how long it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, SimulationError, available_threads
from nsim.formats.labels import Source, read_labels
from nsim.machine.compiled import frames as engine_compiled
from nsim.machine.frames import FrameTimes, build_frame_machine
from nsim.machine.path import PathTimes, path_of
from nsim.machine.simpy import frames as engine_simpy
from nsim.machine.trace.frames import open_frame_trace
from nsim.machine.trace.view import check_trace
from nsim.mapping.frames.calibrate import frames_for
from nsim.mapping.frames.mapping import FrameMapping, Sequence
from nsim.network.activity import Activity, Densities, prescribe
from nsim.network.frames_activity import evaluate_frames
from nsim.result.accuracy import accuracy
from nsim.result.counts import Counter
from nsim.result.frames import FrameResult, SequenceRun
from nsim.result.retime.frames import ranges_of_frames
from nsim.result.run_timesteps import Progress, check_run, chosen_densities

ENGINES = {"compiled": engine_compiled, "simpy": engine_simpy}
DEFAULT_FRAMES = 4  # the first to fill the chip, the others to show the rate


def simulate_frames(
    mapping: FrameMapping,
    inputs: str | Path | NDArray | None = None,
    *,
    activity: str | float | Densities | None = None,
    samples: int | None = None,
    dt_s: float | None = None,
    labels: Source | None = None,
    seed: int = 0,
    engine: str = "compiled",
    progress: Progress | None = None,
    critical_path: bool = False,
    ranges: bool = False,
    trace: Mapping[str, str | PathLike[str]] | None = None,
) -> FrameResult:
    """Run a network that is mapped on a chip with frames: one frame alone, and all of them one behind the other.

    inputs    a file or an array of frames or events (see nsim.formats.spikes); the network is evaluated on it. Every
              timestep of every sample is a frame
    activity  instead of inputs, message densities by layer, as for `nsim.result.run.simulate`
    samples   take the first so many frames, or draw so many; by default all, or 4
    dt_s      seconds per frame, to bin events
    labels    class of every frame, for the accuracy (see nsim.formats.labels)
    engine    "compiled", or "simpy", the readable reference: equal to the picosecond, and slow
    progress  called with the frames done and the total
    critical_path   find out what the time of the first frame alone consists of; needs some 50 bytes for every service
    ranges    find out what the ranges of the chip's constants do, see nsim/result/ranges.py
    trace     {"perfetto": file}: write every service, see nsim/machine/trace/frames.py; needs some 50 bytes for each
    Ctrl-C returns the frames that have left the chip until then, if there is one.
    raises    InputError for input that does not fit, SimulationError for an unknown engine
    """
    check_run(None, samples, engine, dt_s, None, seed)
    if not isinstance(mapping, FrameMapping):
        raise SimulationError(
            f"this is one hardware sequence of {mapping.network.name!r} on chip {mapping.chip.name!r}: give the whole "
            "FrameMapping"
        )
    if inputs is not None and activity is not None:
        raise InputError("both an input and an activity were given: the one is evaluated, the other drawn; choose one")
    found = None
    if inputs is None:
        if labels is not None:
            raise InputError("drawn activity has no right answer: give labels with an --input")
        if activity is None:
            mapping = replace(mapping, network=mapping.network.with_notes(mapping.network.activity_notes))
    frames = None if inputs is None else frames_for(mapping, inputs, samples, dt_s or mapping.network.dt_s)
    if frames is not None and labels is not None:
        classes = mapping.network.by_name[mapping.network.output].neurons
        found = read_labels(labels, len(frames), classes, samples is not None)
    whole = sent_frames(mapping, frames, activity, samples, seed)
    options: dict[str, Any] = {"seed": seed, "engine": engine, "progress": progress}
    check_trace(trace, mapping.network)
    file = trace["perfetto"] if trace else None
    result = simulate_activity(mapping, whole, **options, path=critical_path, trace=file)
    if found is not None and result.outputs is not None:
        result = replace(result, accuracy=accuracy(result.outputs, [1] * whole.timesteps, found, holds=True))
    if not ranges or result.spans < result.spans_planned:
        return result
    return replace(result, ranges=ranges_of_frames(result, available_threads()))


def sent_frames(
    mapping: FrameMapping,
    frames: NDArray | None,
    activity: str | float | Densities | None,
    samples: int | None,
    seed: int,
) -> Activity:
    """What a network sends in every frame: on frames that came in, or drawn; the rest as of `simulate_frames`."""
    if frames is None:
        densities = chosen_densities(mapping.network, activity)
        return joined(prescribe(mapping.network, densities, samples or DEFAULT_FRAMES, np.random.default_rng(seed)))
    return joined(evaluate_frames(mapping.network, frames))


def simulate_activity(
    mapping: FrameMapping,
    whole: Activity,
    *,
    seed: int = 0,
    engine: str = "compiled",
    progress: Progress | None = None,
    path: bool = False,
    trace: str | PathLike[str] | None = None,
) -> FrameResult:
    """The same for frames that have been evaluated, such as on another mapping. path: find the critical one"""
    tracer = open_frame_trace(trace, mapping) if trace else None
    parts = [_Part(mapping, sequence, whole, engine, path, tracer is not None) for sequence in mapping.sequences]
    done = _simulate(parts, whole.timesteps, progress)
    if tracer:
        (part,) = parts
        tracer.write(part.run.times().first(done))
    return FrameResult(
        mapping=mapping,
        engine=engine,
        seed=seed,
        spans_planned=whole.timesteps,
        runs=tuple(part.result(done) for part in parts),
        outputs=None if whole.outputs is None else whole.outputs[:done],
    )


def joined(chunks: Iterator[Activity]) -> Activity:
    """Consecutive frames put together."""
    parts = list(chunks)
    counts = np.concatenate([np.diff(part.indptr) for part in parts])
    outputs = [part.outputs for part in parts if part.outputs is not None]
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Activity(indptr, np.concatenate([p.neurons for p in parts]), np.concatenate(outputs) if outputs else None)


class _Part:
    """The run of one hardware sequence."""

    def __init__(
        self, mapping: FrameMapping, sequence: Sequence, whole: Activity, engine: str, path: bool, record: bool
    ) -> None:
        self.sequence = sequence
        self.machine = build_frame_machine(mapping.chip)
        self.activity = sequence.activity(whole)
        self.simulator = ENGINES[engine].Engine(sequence, self.machine)
        serial = self.activity.timesteps == 1 or sequence.in_flight == 1
        self.alone = None if serial and not path else self._first_frame(path)
        self.run = self.simulator.start(self.activity, record)
        self.steps = iter(self.run)

    def _first_frame(self, path: bool) -> tuple[FrameTimes, PathTimes | None]:
        """The first frame with nothing else on the chip."""
        run = self.simulator.start(self.activity.first(1), record=path)
        for _ in run:
            pass
        times = run.times()
        return times, path_of(self.machine.first, times.services) if path else None

    def result(self, frames: int) -> SequenceRun:
        """What the first frames tell."""
        costs = self.machine.update_ps, self.machine.spike_ps
        counts = Counter(self.sequence, self.machine, costs).count(self.activity).first(frames)
        times = self.run.times().first(frames)
        alone, path = self.alone or (times.first(1), None)
        return SequenceRun(self.sequence, self.machine, alone, path, times, counts, self.activity.first(frames))


def _simulate(parts: list[_Part], frames: int, progress: Progress | None) -> int:
    """Simulate frame by frame in all sequences; returns how many frames are done."""
    done = 0
    try:
        for _ in range(frames):
            for part in parts:
                next(part.steps)
            done += 1
            if progress:
                progress(done, frames)
        for part in parts:
            if next(part.steps, None) is not None:
                raise SimulationError("a run did not end with its last frame: this is a defect")
    except KeyboardInterrupt:
        if not done:
            raise
    return done
