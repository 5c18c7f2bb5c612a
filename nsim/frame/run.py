"""A run of frames: evaluate or draw what every layer sends, count what that causes, and simulate how long it takes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.activity import Activity, Densities, prescribe
from nsim.counts import Counter
from nsim.critical_path import PathTimes, path_of
from nsim.errors import InputError, SimulationError
from nsim.frame import engine_compiled, engine_simpy
from nsim.frame.activity import evaluate_frames
from nsim.frame.machine import FrameTimes, build_frame_machine
from nsim.frame.mapping import FrameMapping, Sequence
from nsim.frame.quantize import input_levels, quantize
from nsim.frame.result import FrameResult, SequenceRun
from nsim.frame.trace import open_frame_trace
from nsim.network import Network
from nsim.neurons import Activation, Threshold
from nsim.simulation import Progress, check_run, chosen_densities
from nsim.spikes import load_input

ENGINES = {"compiled": engine_compiled, "simpy": engine_simpy}
DEFAULT_FRAMES = 4  # the first to fill the chip, the others to show the rate


def simulate_frames(
    mapping: FrameMapping,
    inputs: str | Path | NDArray | None = None,
    *,
    activity: str | float | Densities | None = None,
    frames: int | None = None,
    dt_s: float | None = None,
    seed: int = 0,
    engine: str = "compiled",
    progress: Progress | None = None,
    critical_path: bool = False,
    trace: str | Path | None = None,
) -> FrameResult:
    """Run a network that is mapped on a chip with frames: one frame alone, and all of them one behind the other.

    inputs    a file or an array of frames or events (see nsim.spikes); the network is evaluated on it. Every timestep
              of every sample is a frame
    activity  instead of inputs, message densities by layer, as for `nsim.simulation.simulate`
    frames    take the first so many, or draw so many; by default all, or 4
    dt_s      seconds per frame, to bin events
    engine    "compiled", or "simpy", the readable reference: equal to the picosecond, and slow
    progress  called with the frames done and the total
    critical_path   find out what the time of the first frame alone consists of; needs some 50 bytes for every service
    trace     write every service to this file, see nsim/frame/trace.py; needs some 50 bytes for each until then
    Ctrl-C returns the frames that have left the chip until then, if there is one.
    raises    InputError for input that does not fit, SimulationError for an unknown engine
    """
    check_run(None, frames, engine, dt_s, None, seed)
    if inputs is not None and activity is not None:
        raise InputError("both an input and an activity were given: the one is evaluated, the other drawn; choose one")
    if inputs is None:
        densities = chosen_densities(mapping.network, activity)
        chunks = prescribe(mapping.network, densities, frames or DEFAULT_FRAMES, np.random.default_rng(seed))
    else:
        chunks = evaluate_frames(mapping.network, read_frames(inputs, mapping.network, frames, dt_s))
    options: dict[str, Any] = {"seed": seed, "engine": engine, "progress": progress}
    return simulate_activity(mapping, joined(chunks), **options, path=critical_path, trace=trace)


def simulate_activity(
    mapping: FrameMapping,
    whole: Activity,
    *,
    seed: int = 0,
    engine: str = "compiled",
    progress: Progress | None = None,
    path: bool = False,
    trace: str | Path | None = None,
) -> FrameResult:
    """The same for frames that have been evaluated, such as on another mapping. path: find the critical one"""
    tracer = open_frame_trace(trace, mapping) if trace else None
    parts = [_Part(mapping, sequence, whole, engine, path, tracer is not None) for sequence in mapping.sequences]
    done = _simulate(parts, whole.timesteps, progress)
    if tracer:
        (part,) = parts
        tracer.write(part.run.recorded(), part.run.times().first(done))
    return FrameResult(
        mapping=mapping,
        engine=engine,
        seed=seed,
        planned_frames=whole.timesteps,
        runs=tuple(part.result(done) for part in parts),
        outputs=None if whole.outputs is None else whole.outputs[:done],
    )


def read_frames(inputs: str | Path | NDArray, network: Network, frames: int | None, dt_s: float | None) -> NDArray:
    """The first frames of an input, one row each: [frames, input neurons]."""
    shape = network.by_name[network.input].shape
    samples = load_input(inputs, shape, bin_s=dt_s)
    available = sum(sample.timesteps for sample in samples)
    if frames is not None and frames > available:
        raise InputError(f"{frames} frames were asked for, but the input holds {available}: give --samples {available}")
    rows = (sample.at(step) for sample in samples for step in range(sample.timesteps))
    return np.stack(list(islice(rows, frames)))


def calibrated(
    network: Network, inputs: str | Path | NDArray | None, frames: int | None, dt_s: float | None
) -> tuple[Network, str | Path | NDArray | None]:
    """Integers for a network of real numbers, calibrated on its input, and that input in levels; others as they are.

    raises   InputError if there is no input to calibrate on; see `nsim.frame.quantize.quantize`
    """
    neurons = [layer.neuron for layer in network.layers if layer.name != network.input]
    if not all(isinstance(neuron, Activation | Threshold) for neuron in neurons):
        return network, inputs  # integers already, or neurons that the mapping refuses
    if inputs is None:
        raise InputError(
            f"network {network.name!r} has real weights, and chips with frames compute with integers: give samples to "
            "calibrate on (--input)"
        )
    samples = read_frames(inputs, network, frames, dt_s)
    whole, levels = quantize(network, samples), input_levels(samples, network.by_name[network.input])
    return whole, levels.reshape(len(levels), 1, *network.by_name[network.input].shape)


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
        return run.times(), path_of(self.machine.first, run.recorded().services) if path else None

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
