"""The run: evaluate or draw which neurons send, count what that causes, and simulate how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from nsim import engine_compiled, engine_simpy
from nsim.activity import Activity, Densities, evaluate, parse_activity, prescribe
from nsim.barrier_chip import BarrierChip
from nsim.chip import Chip
from nsim.counts import Counter, Counts
from nsim.errors import InputError, SimulationError
from nsim.events import EventStream
from nsim.interrupts import held_interrupts
from nsim.mapping import Mapping
from nsim.network import Network
from nsim.neurons import Relay
from nsim.processors import available_threads
from nsim.result import Result
from nsim.spikes import Events, Frames, load_input
from nsim.stations import ChunkTimes, build_machine
from nsim.trace import Trace

if TYPE_CHECKING:
    from nsim.frame.mapping import FrameMapping
    from nsim.frame.result import FrameResult
    from nsim.stream.mapping import StreamMapping
    from nsim.stream.result import StreamResult

ENGINES = {"compiled": engine_compiled, "simpy": engine_simpy}
DEFAULT_TIMESTEPS = 100
Progress = Callable[[int, int], None]
Write = Callable[[], None]


@overload
def simulate(
    mapping: Mapping,
    inputs: str | Path | NDArray | None = None,
    *,
    activity: str | float | Densities | None = None,
    timesteps: int | None = None,
    samples: int | None = None,
    dt_s: float | None = None,
    seed: int = 0,
    engine: str = "compiled",
    threads: int | None = None,
    progress: Progress | None = None,
    trace: Trace | None = None,
    critical_path: bool = False,
) -> Result: ...


@overload
def simulate(
    mapping: FrameMapping,
    inputs: str | Path | NDArray | None = None,
    *,
    activity: str | float | Densities | None = None,
    samples: int | None = None,
    dt_s: float | None = None,
    seed: int = 0,
    engine: str = "compiled",
    progress: Progress | None = None,
    critical_path: bool = False,
) -> FrameResult: ...


@overload
def simulate(
    mapping: StreamMapping,
    inputs: str | Path | NDArray | EventStream | None = None,
    *,
    dt_s: float | None = None,
    seconds: float | None = None,
    seed: int = 0,
    engine: str = "compiled",
    progress: Progress | None = None,
) -> StreamResult: ...


def simulate(
    mapping: Mapping | FrameMapping | StreamMapping,
    inputs: str | Path | NDArray | EventStream | None = None,
    *,
    activity: str | float | Densities | None = None,
    timesteps: int | None = None,
    samples: int | None = None,
    dt_s: float | None = None,
    seconds: float | None = None,
    seed: int = 0,
    engine: str = "compiled",
    threads: int | None = None,
    progress: Progress | None = None,
    trace: Trace | None = None,
    critical_path: bool = False,
) -> Result | FrameResult | StreamResult:
    """Run a mapped network on whatever kind of chip it is mapped to.

    A mapping to a chip with timesteps takes all options but `seconds`, and gives a Result. One to a chip with frames
    takes activity, samples, dt_s and critical_path, and gives a FrameResult: every sample is a frame. One to a chip
    without timesteps takes dt_s and seconds, and gives a StreamResult. All take seed, engine and progress.

    inputs     a file or an array of frames or events (see nsim.spikes; without timesteps, nsim.events); the network is
               evaluated on it
    activity   instead of inputs, message densities by layer: a number for all, a dictionary of numbers or schedules, or
               text as on the command line. Neither: the stimulus of a network that has one, or the activity that a
               built-in network comes with; without timesteps, events that are made up
    timesteps  per sample; by default what the input holds, or 100
    samples    how many of the input's samples, or how often to draw activity; by default all, or 1 (4 frames)
    dt_s       seconds per timestep or frame, to bin events; without timesteps, the period of the slow clock
    seconds    watch the sensor so long; by default until the last event
    seed       of drawn activity, or of events that are made up
    engine     "compiled", or "simpy", the readable reference: equal to the picosecond, and slow
    threads    that the compiled engine uses; by default all this process may use. The result is the same
    progress   called with the timesteps, frames or sensor events done, and the total
    trace      takes every service of every message (nsim.trace.open_traces); slows the run down and fills the disk
    critical_path   find out what every timestep's duration, or the latency of one frame alone, consists of (`states` of
               the result); slows the run down a little
    Ctrl-C returns what was simulated until then, if that is at least one timestep or frame.
    raises     InputError for input that does not fit, SimulationError for an unknown engine, a deadlock, or an option
               that is for other chips
    """
    _refuse_options(
        mapping.chip,
        {"activity": activity, "timesteps": timesteps, "samples": samples, "seconds": seconds, "threads": threads}
        | {"trace": trace, "critical_path": critical_path or None},
    )
    if isinstance(inputs, EventStream) and mapping.chip.discipline != "stream":
        raise InputError("an EventStream is for chips without timesteps: give frames, or an array of events")
    shared: dict[str, Any] = {"inputs": inputs, "seed": seed, "engine": engine, "progress": progress}
    drawn: dict[str, Any] = {"activity": activity, "dt_s": dt_s, "critical_path": critical_path}
    if isinstance(mapping, Mapping):
        length: dict[str, Any] = {"timesteps": timesteps, "samples": samples}
        return simulate_timesteps(mapping, **shared, **drawn, **length, threads=threads, trace=trace)
    from nsim.frame.run import simulate_frames  # they build on this module
    from nsim.stream.mapping import StreamMapping
    from nsim.stream.run import simulate_stream

    if isinstance(mapping, StreamMapping):
        return simulate_stream(mapping, **shared, tick_s=dt_s, seconds=seconds)
    return simulate_frames(mapping, **shared, **drawn, frames=samples)


# Options of `simulate` that only some chips know, by discipline, and what these chips work on
OPTIONS = {
    "barrier": ({"activity", "timesteps", "samples", "threads", "trace", "critical_path"}, "timesteps"),
    "frame": ({"activity", "samples", "critical_path"}, "frames"),
    "stream": ({"seconds"}, "events as they come"),
}


def _refuse_options(chip: Chip, given: dict[str, object]) -> None:
    known, unit = OPTIONS[chip.discipline]
    for name, value in given.items():
        if value is not None and name not in known:
            raise SimulationError(
                f"{name} {value!r} is not for chip {chip.name!r}, which works on {unit}: leave it out"
            )


def simulate_timesteps(
    mapping: Mapping,
    inputs: str | Path | NDArray | None,
    *,
    activity: str | float | Densities | None,
    timesteps: int | None,
    samples: int | None,
    dt_s: float | None,
    seed: int,
    engine: str,
    threads: int | None,
    progress: Progress | None,
    trace: Trace | None,
    critical_path: bool,
) -> Result:
    """The part of `simulate` that is for chips with timesteps."""
    check_run(timesteps, samples, engine, dt_s, threads, seed)
    if mapping.chip.discipline != "barrier":
        raise SimulationError(
            f"this is one hardware sequence of {mapping.network.name!r} on chip {mapping.chip.name!r}: give the whole "
            "FrameMapping"
        )
    sent = sent_messages(mapping.network, mapping.chip, inputs, activity, timesteps, samples, dt_s, seed)
    return run_activity(mapping, sent, seed, engine, threads, progress, trace, critical_path)


@dataclass(frozen=True)
class Sent:
    """What a network sends, sample by sample.

    runs      activity of every sample, in chunks of timesteps; found as it is asked for
    lengths   timesteps of every sample
    binary    whether the input held only zeros and ones; None if the activity is drawn
    """

    runs: Iterable[Iterable[Activity]]
    lengths: list[int]
    binary: bool | None


def sent_messages(
    network: Network,
    chip: BarrierChip,
    inputs: str | Path | NDArray | None,
    activity: str | float | Densities | None,
    timesteps: int | None,
    samples: int | None,
    dt_s: float | None,
    seed: int,
) -> Sent:
    """Evaluate a network on its input, or draw its activity; the arguments are those of `simulate`."""
    if inputs is not None and activity is not None:
        raise InputError("both an input and an activity were given: the one is evaluated, the other drawn; choose one")
    shape = network.by_name[network.input].shape
    if inputs is None and activity is None and network.stimulus is not None:
        inputs = _lasting(network.stimulus, timesteps).reshape(-1, *shape)
    if inputs is None:
        return _drawn(network, activity, timesteps, samples, seed)
    loaded = load_input(inputs, shape, timesteps=timesteps, samples=samples, bin_s=dt_s)
    binary = all(_is_binary(sample) for sample in loaded)
    _check_carried(network, chip, binary)
    return Sent((evaluate(network, sample) for sample in loaded), [s.timesteps for s in loaded], binary)


def _lasting(stimulus: NDArray[np.bool_], timesteps: int | None) -> NDArray[np.bool_]:
    """A network's own stimulus for so many timesteps: it ends in silence."""
    silence = max(0, (timesteps or 0) - len(stimulus))
    return np.pad(stimulus, ((0, silence), (0, 0)))


def run_activity(
    mapping: Mapping,
    sent: Sent,
    seed: int = 0,
    engine: str = "compiled",
    threads: int | None = None,
    progress: Progress | None = None,
    trace: Trace | None = None,
    critical_path: bool = False,
) -> Result:
    """Simulate what a network sends; the other arguments are those of `simulate`."""
    with closing(Simulator(mapping, engine, threads, critical_path)) as simulator:
        return simulator.run(sent, seed, progress, trace)


def check_run(
    timesteps: int | None, samples: int | None, engine: str, dt_s: float | None, threads: int | None, seed: int
) -> None:
    """Refuse what cannot be run, before anything is loaded."""
    if engine not in ENGINES:
        raise SimulationError(f"no engine {engine!r}: choose from {', '.join(ENGINES)}")
    for name, value in (("timesteps", timesteps), ("samples", samples)):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}: give at least 1")
    if dt_s is not None and not 0 < dt_s < float("inf"):
        raise InputError(f"dt is {dt_s}: give a positive number of seconds, for example 1e-3")
    if seed < 0:
        raise InputError(f"seed is {seed}: give 0 or more")
    available = available_threads()
    if threads is not None and not 1 <= threads <= available:
        raise SimulationError(f"threads is {threads}: this process may use 1 to {available}")


def _drawn(
    network: Network, activity: str | float | Densities | None, timesteps: int | None, samples: int | None, seed: int
) -> Sent:
    rng = np.random.default_rng(seed)
    densities = chosen_densities(network, activity)
    lengths = [timesteps or DEFAULT_TIMESTEPS] * (samples or 1)
    return Sent((prescribe(network, densities, length, rng) for length in lengths), lengths, None)


def chosen_densities(network: Network, activity: str | float | Densities | None) -> Densities:
    """Message densities by layer, as the user gave them; None: those that a built-in network comes with."""
    if isinstance(activity, str):
        return parse_activity(activity, network)
    if isinstance(activity, (int, float)):
        return {layer.name: float(activity) for layer in network.layers}
    if activity is not None:
        return activity
    if network.activity is not None:
        return network.activity
    raise InputError(
        f"network {network.name!r} comes without activity: give an input file (--input) or message densities "
        "(--activity 0.1)"
    )


def _is_binary(sample: Frames | Events) -> bool:
    """Whether a sample holds zeros and ones only."""
    if isinstance(sample, Frames):
        return bool(((sample.frames == 0) | (sample.frames == 1)).all())
    return all(bool(np.isin(sample.at(step), (0, 1)).all()) for step in range(sample.timesteps))


def _check_carried(network: Network, chip: BarrierChip, binary: bool) -> None:
    """A chip without graded messages cannot take graded input."""
    source = network.by_name[network.input]
    if isinstance(source.neuron, Relay) and not source.neuron.binary and not binary and not chip.messages.graded:
        raise InputError(
            f"the input of {network.name!r} holds values other than 0 and 1, but chip {chip.name!r} "
            "carries binary spikes only: encode the input as spikes, or use a chip with graded messages"
        )


class Simulator:
    """A mapping to a chip with timesteps, ready to run again and again: the tables that all its runs share.

    The arguments are those of `simulate`.
    """

    def __init__(
        self, mapping: Mapping, engine: str = "compiled", threads: int | None = None, critical_path: bool = False
    ) -> None:
        self.mapping, self.name = mapping, engine
        self.machine = build_machine(mapping.chip)
        self.counter = Counter(mapping, self.machine)
        self.engine = ENGINES[engine].Engine(mapping, self.machine, threads or available_threads(), critical_path)

    def close(self) -> None:
        """Let go of the engine's threads."""
        self.engine.close()

    def run(self, sent: Sent, seed: int = 0, progress: Progress | None = None, trace: Trace | None = None) -> Result:
        """Simulate what a network sends; Ctrl-C returns what was done until then."""
        mapping, lengths = self.mapping, sent.lengths
        run = _Run(self.counter, sum(lengths), progress)
        try:
            for number, activity in enumerate(sent.runs):
                for chunk in activity:
                    run.add(
                        chunk,
                        _traced(self.engine, chunk, trace, number) if trace else _timed(self.engine.run(chunk)),
                    )
            run.finish()
        except KeyboardInterrupt:
            self.close()
            if not run.done:
                raise
        return Result(
            mapping=mapping,
            machine=self.machine,
            engine=self.name,
            seed=seed,
            sample_timesteps=_done_of(lengths, run.done),
            planned_timesteps=sum(lengths),
            counts=Counts.joined(run.counts).first(run.done),
            times=ChunkTimes.joined(run.times),
            barrier_ps=mapping.barrier_ps,
            outputs=np.concatenate(run.outputs)[: run.done] if run.outputs else None,
            binary_input=sent.binary,
        )


class _Run:
    """What a run has gathered. Threads simulate one chunk while the next is evaluated and counted."""

    def __init__(self, counter: Counter, timesteps: int, progress: Progress | None) -> None:
        self.counter, self.timesteps, self.progress = counter, timesteps, progress
        self.counts: list[Counts] = []
        self.times: list[ChunkTimes] = []
        self.outputs: list[NDArray] = []
        self.pending: Iterator[tuple[ChunkTimes, Write | None]] = iter(())
        self.done = 0

    def add(self, chunk: Activity, times: Iterator[tuple[ChunkTimes, Write | None]]) -> None:
        self.counts.append(self.counter.count(chunk))
        if chunk.outputs is not None:
            self.outputs.append(chunk.outputs)
        self.finish()
        self.pending = times

    def finish(self) -> None:
        """Wait for the chunk that is being simulated."""
        for part, write in self.pending:
            with held_interrupts():  # a timestep is written and counted, or neither
                if write:
                    write()
                self.times.append(part)
                self.done += part.duration_ps.size
            if self.progress:
                self.progress(self.done, self.timesteps)


def _timed(times: Iterator[ChunkTimes]) -> Iterator[tuple[ChunkTimes, None]]:
    """Times without anything to write."""
    return zip(times, repeat(None), strict=False)


def _traced(simulator, chunk: Activity, trace: Trace, sample: int) -> Iterator[tuple[ChunkTimes, Write]]:
    """Simulate timestep by timestep; each with what writes every service of it."""
    for step in range(chunk.timesteps):
        times, log = simulator.record(chunk.firing(step))
        yield times, partial(trace.write, sample, log)


def _done_of(lengths: list[int], done: int) -> tuple[int, ...]:
    """Timesteps done of every sample that was begun."""
    ends = np.minimum(np.cumsum(lengths), done)
    return tuple(int(n) for n in np.diff(ends, prepend=0) if n)
