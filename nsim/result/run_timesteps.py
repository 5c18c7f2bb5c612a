"""The run: evaluate or draw which neurons send, count what that causes, and simulate how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Mapping as MappingABC
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import accumulate, pairwise, repeat
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from nsim.chip.timesteps import BarrierChip
from nsim.errors import InputError, SimulationError, available_threads, counted, held_interrupts
from nsim.formats.inputs import load_inputs
from nsim.formats.labels import Source, read_labels
from nsim.machine.compiled import local as local_compiled
from nsim.machine.compiled import timesteps as engine_compiled
from nsim.machine.simpy import local as local_simpy
from nsim.machine.simpy import timesteps as engine_simpy
from nsim.machine.stations import ChunkTimes, build_machine
from nsim.machine.trace.table import Trace, open_traces
from nsim.machine.trace.view import check_trace
from nsim.mapping.cores.mapping import Mapping
from nsim.network.activity import Activity, Densities, evaluate, parse_activity, prescribe
from nsim.network.inputs import Drained, Events, Frames, drained
from nsim.network.layers import Network
from nsim.network.neurons import Relay
from nsim.network.pipeline import depth
from nsim.network.probes import Recorder, Wanted
from nsim.result.accuracy import Accuracy, accuracy
from nsim.result.counts import Counter, Counts
from nsim.result.ranges import chosen_steps
from nsim.result.retime.timesteps import ranges_of_timesteps
from nsim.result.timesteps import TimestepResult

ENGINES = {"compiled": engine_compiled, "simpy": engine_simpy}
LOCAL_ENGINES = {"compiled": local_compiled, "simpy": local_simpy}
SYNCS = ("barrier", "local")
ON_CLUSTER = "nsim.sweep.timesteps"  # in a higher room, so by name
DEFAULT_TIMESTEPS = 100
MOST_TIMESTEPS = 10_000_000  # of a run; its tables then take some 10 GB
Progress = Callable[[int, int], None]
Write = Callable[[], None]
Part = TypeVar("Part")


def simulate_timesteps(
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
    drain: bool | None = None,
    warm_up: int | None = None,
    record: Wanted | None = None,
    labels: Source | None = None,
    critical_path: bool = False,
    ranges: bool = False,
    sync: str = "barrier",
    cluster: str | None = None,
    trace: MappingABC[str, str | PathLike[str]] | None = None,
    **managed: Any,
) -> TimestepResult:
    """The part of `simulate` that is for chips with timesteps; managed: options of `Mapping.managed`."""
    check_run(timesteps, samples, engine, dt_s, threads, seed)
    check_trace(trace, mapping.network)
    if warm_up is not None and warm_up < 0:
        raise InputError(f"warm-up is {counted(warm_up, 'timestep')}: give 0 or more")
    if sync not in SYNCS:
        raise SimulationError(f"no sync {sync!r}: choose {' or '.join(SYNCS)}")
    if cluster and (threads or trace):
        what = f"threads {threads}" if threads else f"trace {', '.join(trace or ())}"
        raise SimulationError(f"{what} is for runs in this process: leave it out, or leave out cluster {cluster}")
    mapping = mapping.managed(**managed) if managed else mapping
    dt_s = dt_s or mapping.network.dt_s
    sent = sent_messages(
        mapping.network, mapping.chip, inputs, activity, timesteps, samples, dt_s, seed, drain, warm_up, record
    )
    if labels is not None:
        sent = replace(sent, labels=_labels(labels, mapping.network, sent, samples is not None))
    mapping = replace(mapping, network=mapping.network.with_notes(sent.notes)) if sent.notes else mapping
    if not trace:
        return run_activity(mapping, sent, seed, engine, threads, progress, None, critical_path, ranges, sync, cluster)
    with closing(open_traces(trace, mapping)) as traces:
        return run_activity(mapping, sent, seed, engine, threads, progress, traces, critical_path, ranges, sync)


@dataclass(frozen=True)
class Sent:
    """What a network sends, sample by sample.

    runs      activity of every sample, in chunks of timesteps; found as it is asked for
    lengths   timesteps of every sample
    binary    whether the input held only zeros and ones; None if the activity is drawn
    filled    of every sample, the timesteps from one to before the other that means are over; None: all
    notes     on the pipeline, on what was done to a recording, and on activity that comes with the network
    recorder  of the states that are kept
    labels    class of every sample
    """

    runs: Iterable[Iterable[Activity]]
    lengths: list[int]
    binary: bool | None
    filled: list[tuple[int, int]] | None = None
    notes: tuple[str, ...] = ()
    recorder: Recorder | None = None
    labels: NDArray[np.int64] | None = None


def _labels(labels: Source, network: Network, sent: Sent, part: bool) -> NDArray[np.int64]:
    """The classes of all samples; part: whether these are the first of the input."""
    if sent.binary is None:
        raise InputError("drawn activity has no right answer: give labels with an --input")
    if network.more_outputs:
        raise InputError(
            f"labels are for one output layer, but network {network.name!r} has {len(network.outputs)}, "
            f"{', '.join(network.outputs)}: leave them out, and compare the outputs"
        )
    return read_labels(labels, len(sent.lengths), network.by_name[network.output].neurons, part)


def sent_messages(
    network: Network,
    chip: BarrierChip,
    inputs: str | Path | NDArray | None,
    activity: str | float | Densities | None,
    timesteps: int | None,
    samples: int | None,
    dt_s: float | None,
    seed: int,
    drain: bool | None = None,
    warm_up: int | None = None,
    record: Wanted | None = None,
) -> Sent:
    """Evaluate a network on its input, or draw its activity; the arguments are those of `simulate`."""
    if inputs is not None and activity is not None:
        raise InputError("both an input and an activity were given: the one is evaluated, the other drawn; choose one")
    if inputs is None and activity is None and network.stimulus is not None:
        inputs = _lasting(network.stimulus, timesteps).reshape(-1, *network.input_shape)
        drain, warm_up = bool(drain), warm_up or 0  # it comes with a length of its own
    if inputs is None:
        if drain or warm_up:
            raise InputError("drawn activity fills every layer from the first timestep: leave out drain and warm-up")
        if record:
            raise InputError("drawn activity evaluates no neuron, so there is no state to record: give an --input")
        return _drawn(network, activity, timesteps, samples, seed)
    loaded = load_inputs(inputs, network, timesteps=timesteps, samples=samples, bin_s=dt_s)
    binary = all(_is_binary(sample) for sample in loaded)
    fractions = not binary and any(_has_fractions(sample) for sample in loaded)
    _check_carried(network, chip, binary, fractions, all(isinstance(sample, Events) for sample in loaded))
    return _evaluated(network, loaded, binary, timesteps is None if drain is None else drain, warm_up, record)


def _evaluated(
    network: Network,
    loaded: list[Frames | Events | Drained],
    binary: bool,
    drain: bool,
    warm_up: int | None,
    record: Wanted | None,
) -> Sent:
    """The samples, and silence behind each until the pipeline is empty; means are over the timesteps that fill it."""
    under_way = depth(network)
    if under_way is None:  # a loop of layers: nothing tells when it is full, or empty
        under_way, drain = 0, False
    held = all(network.by_name[name].neuron.changes for name in network.inputs)
    samples = [drained(sample, under_way if drain else 0, held) for sample in loaded]
    begin = under_way if warm_up is None else warm_up
    filled = [(begin, sample.sample.timesteps) for sample in samples]
    shortest, silence = min(end for _, end in filled), min(sample.silence for sample in samples)
    notes = [network.rounding] if network.rounding else []
    notes += [note for sample in samples for note in sample.notes]
    notes += _pipeline_note(under_way, begin, shortest, silence)
    told = tuple(dict.fromkeys(notes))
    lengths = [sample.timesteps for sample in samples]
    recorder = Recorder(network, record, sum(lengths)) if record else None
    runs = (evaluate(network, sample, recorder=recorder) for sample in samples)
    return Sent(runs, lengths, binary, filled if begin < shortest else None, told, recorder)


def _pipeline_note(under_way: int, begin: int, shortest: int, silence: int) -> list[str]:
    """What a reader must know of means and outputs."""
    if not (silence or begin):
        return []
    silent = f"silence of {counted(silence, 'timestep')}"
    if not under_way:
        parts = [f"the first {counted(begin, 'timestep')} of each sample"] * (begin > 0)
        parts += [f"the {silent} behind each sample"] * (silence > 0)
        return [f"means leave out {' and '.join(parts)}"]
    after = f"{silent} empties it"
    if silence < under_way:
        after = f"its last outputs are cut{f' after {silent}' if silence else ''} (--drain)"
    if begin >= shortest:
        lasts = counted(shortest, "timestep")
        return [f"the input ({lasts}) never fills the pipeline ({begin}): means are over all; {after}"]
    takes = counted(under_way, "timestep")
    return [f"the pipeline takes {takes}: means leave out the first {begin} of each sample; {after}"]


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
    ranges: bool = False,
    sync: str = "barrier",
    cluster: str | None = None,
) -> TimestepResult:
    """Simulate what a network sends; the other arguments are those of `simulate`."""
    with closing(Simulator(mapping, engine, threads, critical_path, ranges, sync, cluster)) as simulator:
        return simulator.run(sent, seed, progress, trace)


def check_run(
    timesteps: int | None, samples: int | None, engine: str, dt_s: float | None, threads: int | None, seed: int
) -> None:
    """Refuse what cannot be run, before anything is loaded."""
    if engine not in ENGINES:
        raise SimulationError(f"no engine {engine!r}: choose from {', '.join(ENGINES)}")
    for name, value in (("timesteps", timesteps), ("samples", samples)):
        if value is not None and not 1 <= value <= MOST_TIMESTEPS:
            shown = value if abs(value) < 1 << 63 else f"a number of {counted(value.bit_length(), 'bit')}"
            raise InputError(f"{name} is {shown}: give at least 1, at most {MOST_TIMESTEPS:,}")
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
    lengths = drawn_lengths(timesteps, samples)
    notes = network.activity_notes if activity is None else ()
    return Sent((prescribe(network, densities, length, rng) for length in lengths), lengths, None, notes=notes)


def drawn_lengths(timesteps: int | None, samples: int | None) -> list[int]:
    """Timesteps of every sample of drawn activity."""
    length, count = timesteps or DEFAULT_TIMESTEPS, samples or 1
    if length * count > MOST_TIMESTEPS:
        raise InputError(
            f"{counted(count, 'sample')} of {counted(length, 'timestep')} are {length * count:,}: give at most "
            f"{MOST_TIMESTEPS:,} in all"
        )
    return [length] * count


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


def _is_binary(sample: Frames | Events | Drained) -> bool:
    """Whether a sample holds zeros and ones only."""
    sample = sample.sample if isinstance(sample, Drained) else sample
    if isinstance(sample, Frames):
        return bool(((sample.frames == 0) | (sample.frames == 1)).all())
    return all(bool(np.isin(sample.at(step), (0, 1)).all()) for step in range(sample.timesteps))


def _has_fractions(sample: Frames | Events | Drained) -> bool:
    """Whether a sample holds values that are no whole numbers."""
    sample = sample.sample if isinstance(sample, Drained) else sample
    values = sample.frames if isinstance(sample, Frames) else sample.value
    return bool(values.dtype.kind == "f" and (values != np.rint(values)).any())


def _check_carried(network: Network, chip: BarrierChip, binary: bool, fractions: bool, events: bool) -> None:
    """A chip without graded messages cannot take graded input, and integers no fractions."""
    source = network.by_name[network.input]
    if fractions and network.fixed_point and isinstance(source.neuron, Relay) and not source.neuron.binary:
        raise InputError(
            f"the input of {network.name!r} holds fractions, which a network of integers cannot take: encode it as "
            "spikes, scale it to whole numbers, or give --precision float"
        )
    if isinstance(source.neuron, Relay) and not source.neuron.binary and not binary and not chip.messages.graded:
        what = "holds values other than 0 and 1"
        cure = "encode the input as spikes, or use a chip with graded messages"
        if events:
            what = "has several events of a pixel in one timestep"
            cure = "count them once (--clip), or give a shorter --bin"
        raise InputError(
            f"the input of {network.name!r} {what}, but chip {chip.name!r} carries binary spikes only: {cure}"
        )


class Simulator:
    """A mapping to a chip with timesteps, ready to run again and again: the tables that all its runs share.

    The arguments are those of `simulate`.
    """

    def __init__(
        self,
        mapping: Mapping,
        engine: str = "compiled",
        threads: int | None = None,
        critical_path: bool = False,
        ranges: bool = False,
        sync: str = "barrier",
        cluster: str | None = None,
    ) -> None:
        self.mapping, self.name, self.ranges = mapping, engine, ranges
        self.threads = threads or available_threads()
        self.machine = build_machine(mapping.chip)
        self.counter = Counter(mapping, self.machine)
        if cluster is None:
            self.engine = ENGINES[engine].Engine(mapping, self.machine, self.threads, critical_path)
        else:
            self.engine = import_module(ON_CLUSTER).Engine(mapping, self.machine, engine, critical_path, cluster)
        self.local = LOCAL_ENGINES[engine].Engine(mapping, self.machine) if sync == "local" else None

    def close(self) -> None:
        """Let go of the engine's threads."""
        self.engine.close()

    def run(
        self, sent: Sent, seed: int = 0, progress: Progress | None = None, trace: Trace | None = None
    ) -> TimestepResult:
        """Simulate what a network sends; Ctrl-C returns what was done until then."""
        mapping, lengths = self.mapping, sent.lengths
        wanted = chosen_steps(_steady(sent)) if self.ranges else np.empty(0, np.int64)
        run = _Run(self.counter, sum(lengths), progress, wanted)
        local_ps = 0
        try:
            for number, activity in enumerate(sent.runs):
                sample: list[Activity] = []
                for chunk in activity:
                    if self.local:
                        sample.append(chunk)
                    run.add(
                        chunk,
                        _traced(self.engine, chunk, trace, number) if trace else _timed(self.engine.run(chunk)),
                    )
                local_ps += self.local.run(Activity.joined(sample)) if self.local else 0
            run.finish()
        except KeyboardInterrupt:
            self.close()
            if not run.done:
                raise
        result = TimestepResult(
            mapping=mapping,
            machine=self.machine,
            engine=self.name,
            seed=seed,
            sample_timesteps=_done_of(lengths, run.done),
            spans_planned=sum(lengths),
            counts=run.counts.whole().first(run.done),
            times=run.times.whole(),
            barrier_ps=mapping.barrier_ps,
            outputs=np.concatenate(run.outputs)[: run.done] if run.outputs else None,
            binary_input=sent.binary,
            filled=_mask(sent, run.done),
            accuracy=_accuracy(mapping.network, sent, run),
            record={key: kept[: run.done] for key, kept in sent.recorder.record.items()} if sent.recorder else {},
            local_ps=local_ps if self.local and run.done == sum(lengths) else None,
        )
        if not self.ranges or result.spans < result.spans_planned:
            return result
        return replace(result, ranges=ranges_of_timesteps(result, run.kept, self.threads))


def _steady(sent: Sent) -> NDArray[np.int64]:
    """Numbers of the timesteps that means are over, if all are simulated."""
    mask = _mask(sent, sum(sent.lengths))
    return np.arange(sum(sent.lengths)) if mask is None else np.flatnonzero(mask)


def _accuracy(network: Network, sent: Sent, run: _Run) -> Accuracy | None:
    """Of the samples that are done."""
    if sent.labels is None:
        return None
    holds = network.by_name[network.output].neuron.holds
    return accuracy(np.concatenate(run.outputs)[: run.done], sent.lengths, sent.labels, holds)


def _mask(sent: Sent, done: int) -> NDArray[np.bool_] | None:
    """The timesteps that means are over, of those that are done; None: all."""
    if sent.filled is None:
        return None
    parts = [np.arange(length) for length in sent.lengths]
    inside = [(begin <= part) & (part < end) for part, (begin, end) in zip(parts, sent.filled, strict=True)]
    mask = np.concatenate(inside)[:done]
    return mask if mask.any() else None


class Joining(Generic[Part]):
    """Parts of a run, joined as they come like the digits of a binary counter: a long run never holds many."""

    def __init__(self, joined: Callable[[Sequence[Part]], Part]) -> None:
        self.joined = joined
        self.parts: list[tuple[Part, int]] = []

    def add(self, part: Part, timesteps: int) -> None:
        self.parts.append((part, timesteps))
        while len(self.parts) > 1 and self.parts[-2][1] <= self.parts[-1][1]:
            self._join(self.parts[-2:])

    def _join(self, last: list[tuple[Part, int]]) -> None:
        parts, timesteps = zip(*last, strict=True)
        self.parts[-len(last) :] = [(self.joined(parts), sum(timesteps))]

    def whole(self) -> Part:
        while len(self.parts) > 1:
            self._join(self.parts[-2:])
        return self.parts[0][0]


class _Run:
    """What a run has gathered. Threads simulate one chunk while the next is evaluated and counted.

    wanted, kept   numbers of timesteps, ascending, and the neurons that fired in each
    """

    def __init__(self, counter: Counter, timesteps: int, progress: Progress | None, wanted: NDArray[np.int64]) -> None:
        self.counter, self.timesteps, self.progress, self.wanted = counter, timesteps, progress, wanted
        self.kept: dict[int, NDArray[np.int64]] = {}
        self.begun = 0
        self.counts, self.times = Joining(Counts.joined), Joining(ChunkTimes.joined)
        self.outputs: list[NDArray] = []
        self.pending: Iterator[tuple[ChunkTimes, Write | None]] = iter(())
        self.done = 0

    def add(self, chunk: Activity, times: Iterator[tuple[ChunkTimes, Write | None]]) -> None:
        self.counts.add(self.counter.count(chunk), chunk.timesteps)
        inside = (self.wanted >= self.begun) & (self.wanted < self.begun + chunk.timesteps)
        self.kept |= {step: chunk.firing(step - self.begun).copy() for step in self.wanted[inside].tolist()}
        self.begun += chunk.timesteps
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
                self.times.add(part, part.duration_ps.size)
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
    ends = [min(end, done) for end in accumulate(lengths, initial=0)]
    return tuple(end - begin for begin, end in pairwise(ends) if end > begin)
