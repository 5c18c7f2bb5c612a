"""The floorline of frames: least time of one frame alone, and of a run of many, from counts and costs alone.

Whatever the order of events,
- a core works on a frame, then sweeps, and only then takes the next one. It begins when every core that feeds it has
  finished the frame, and not before the last of its messages has come in, of which one passes each station at a time.
  So one frame takes at least as long as the longest chain of cores from the input to the results;
- a run lasts at least as long as the busiest core is at work, frame after frame, behind the chain that leads to it and
  before the one that leads from it. A core with a single input buffer takes turns with each core that feeds it: then
  both, one after the other, stand for the busiest. Where so many frames may be in flight, every so many-th waits for
  the one before it to leave;
- a send stage, link or receiver is busy for every message that passes it.
Sequences that take turns on the chip add up, and programming comes on top. It never sees simulated times.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceABC
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter

import numpy as np
from numpy.typing import NDArray

from nsim.bounds import Bounds, Times
from nsim.counts import Counts
from nsim.frame.machine import FrameMachine, dataflow
from nsim.frame.mapping import Sequence

STATES = ("memory", "compute", "traffic", "programming")
MEMORY, COMPUTE, TRAFFIC = range(3)


@dataclass(frozen=True, eq=False)
class FrameBounds(Bounds):
    """Bounds of one frame alone, or of a run: one span.

    sequence  by state: the hardware sequence with the largest term, which `cores` and `station` belong to
    behind    by sequence, the cores that the bound stands on: a chain from first to last, or the busiest one or two
    """

    sequence: dict[str, int]
    behind: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class FrameWork:
    """What the frames of one hardware sequence ask of it. Counts are by frame."""

    counts: Counts
    mapping: Sequence
    machine: FrameMachine

    @cached_property
    def feeders(self) -> tuple[tuple[int, ...], ...]:
        return dataflow(self.mapping).feeders

    @cached_property
    def order(self) -> list[int]:
        """Cores, each behind those that feed it."""
        return list(TopologicalSorter(dict(enumerate(self.feeders))).static_order())

    @cached_property
    def times_ps(self) -> NDArray[np.int64]:
        """Work and sweep of every core on each frame: int64[frames, cores + 1, 2]."""
        used = np.zeros(self.machine.cores, bool)
        used[list(dataflow(self.mapping).used)] = True
        work = np.where(used, np.maximum(1, self.counts.core_synapse_ps + self.mapping.frame_ps), 0)
        work[:, -1] = 0  # the host only sends
        return np.stack((work, np.where(used, self.counts.core_sweep_ps, 0)), axis=2)

    @cached_property
    def stage_ps(self) -> NDArray[np.int64]:
        """Time that messages keep every send stage, link and receiver busy: int64[frames, stations]."""
        counts, first = self.counts, self.machine.first
        passed = np.concatenate((counts.core_messages_out, counts.link_messages, counts.core_messages_in), axis=1)
        return passed * self.machine.service_ps[first[1] : first[6]]

    def _of(self, table: NDArray[np.int64], kind: str, core: int) -> int:
        return int(table[self.machine.number(kind, core)])

    def arrival_ps(self, frame: int, core: int, feeders: tuple[int, ...]) -> int:
        """From the moment the first feeder may send, until the last message can have come in."""
        messages = int(self.counts.core_messages_in[frame, core])
        if not messages or not feeders:
            return 0
        service, wire = self.machine.service_ps, self.machine.wire_ps
        ways = [[self._of(service, kind, f) for kind in ("send", "core_to_router")] for f in feeders]
        inside = [self._of(service, kind, core) for kind in ("router_to_core", "receive")]
        first = min(sum(way) + self._of(wire, "core_to_router", f) for way, f in zip(ways, feeders, strict=True))
        first += sum(inside) + self._of(wire, "router_to_core", core)
        of_one_feeder = -(-messages // len(feeders)) - 1  # one of them sends as many or more, behind the first
        return first + max((messages - 1) * max(inside), of_one_feeder * min(max(way) for way in ways))

    def chains(self, frame: int) -> Chains:
        """What must lie before every core's begin, in this frame alone."""
        cores = self.machine.cores
        begin, worked, done = (np.zeros((cores, 3), np.int64) for _ in range(3))
        before = np.full(cores, -1)
        for core in self.order:
            if feeders := self.feeders[core]:
                begin[core], before[core] = self._begin(frame, core, feeders, worked, done)
            worked[core] = begin[core] + [self.times_ps[frame, core, MEMORY], 0, 0]
            done[core] = worked[core] + [0, self.times_ps[frame, core, COMPUTE], 0]
        results = self._senders_of_results
        end, last = max(((done[core], core) for core in range(cores)), key=lambda pair: int(pair[0].sum()))
        if results:
            first = min(results, key=lambda core: int(worked[core].sum()))
            arrived = worked[first] + [0, 0, self.arrival_ps(frame, cores - 1, results)]
            if arrived.sum() > end.sum():
                end, last = arrived, first
        return Chains(begin, end, last, before)

    def _begin(
        self, frame: int, core: int, feeders: tuple[int, ...], worked: Times, done: Times
    ) -> tuple[NDArray[np.int64], int]:
        """When a core can begin, and the feeder that decides it: the last to finish, or messages from the first on."""
        latest = max(feeders, key=lambda feeder: int(done[feeder].sum()))
        first = min(feeders, key=lambda feeder: int(worked[feeder].sum()))
        arrived = worked[first] + [0, 0, self.arrival_ps(frame, core, feeders)]
        return (arrived, first) if arrived.sum() > done[latest].sum() else (done[latest], latest)

    @cached_property
    def _senders_of_results(self) -> tuple[int, ...]:
        copies, host = self.mapping.copies, self.machine.cores - 1
        source = np.repeat(self.mapping.core, np.diff(copies.indptr))
        return tuple(np.unique(source[copies.core == host]).tolist())

    def tails(self, frame: int) -> NDArray[np.int64]:
        """Work and sweeps that must follow when a core has finished a frame: int64[cores + 1, 3]."""
        tails = np.zeros((self.machine.cores, 3), np.int64)
        for core in reversed(self.order):
            own = tails[core] + [*self.times_ps[frame, core], 0]
            for feeder in self.feeders[core]:
                if own.sum() > tails[feeder].sum():
                    tails[feeder] = own
        return tails


@dataclass(frozen=True, eq=False)
class Chains:
    """Longest chains of one frame by state: before every core's begin, int64[cores + 1, 3], and to the end, int64[3].

    last    core that the longest ends with; before  int[cores + 1]  the core before each, or -1
    """

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    last: int
    before: NDArray[np.int64]

    @property
    def longest(self) -> tuple[int, ...]:
        chain = [self.last]
        while self.before[chain[0]] >= 0:
            chain.insert(0, int(self.before[chain[0]]))
        return tuple(chain)


def latency_bounds(parts: SequenceABC[FrameWork], program_ps: int = 0) -> FrameBounds:
    """Bounds of the first frame with nothing else on the chip.

    program_ps   of programming within every frame
    """
    found = []
    for part in parts:
        chains = part.chains(0)
        found.append((chains.end, chains.longest, part.stage_ps[0]))
    return _joined(parts, found, program_ps, 1)


def run_bounds(parts: SequenceABC[FrameWork], program_ps: int = 0) -> FrameBounds:
    """Bounds of the run of all frames, as many of them in flight as the chip allows.

    program_ps   of programming within every frame
    """
    frames = len(parts[0].times_ps)
    found = [(*_least_run(part), part.stage_ps.sum(axis=0)) for part in parts]
    return _joined(parts, found, program_ps * frames, frames)


def _least_run(part: FrameWork) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Times by state of what makes a run of many frames longest, and the cores behind it."""
    frames, cores = part.times_ps.shape[:2]
    first, tails = part.chains(0), part.tails(frames - 1)
    busy = np.concatenate((part.times_ps.sum(axis=0), np.zeros((cores, 1), np.int64)), axis=1)
    candidates: list[tuple[Times, tuple[int, ...]]]
    candidates = [(first.begin[core] + busy[core] + tails[core], (core,)) for core in range(cores - 1)]
    for core in range(cores - 1):
        if part.mapping.input_buffers[core] == 1:
            candidates += [
                (first.begin[feeder] + busy[feeder] + busy[core] + tails[core], (feeder, core))
                for feeder in part.feeders[core]
                if feeder != cores - 1
            ]
    candidates.append((first.end, first.longest))
    if (many := part.mapping.in_flight) < frames:
        ends = np.array([part.chains(frame).end for frame in range(frames)])
        candidates += [(ends[start::many].sum(axis=0), first.longest) for start in range(many)]
    return max(candidates, key=lambda pair: int(pair[0].sum()))


def _joined(
    parts: SequenceABC[FrameWork],
    found: list[tuple[NDArray[np.int64], tuple[int, ...], NDArray[np.int64]]],
    program_ps: int,
    frames: int,
) -> FrameBounds:
    """Sequences one after another. found, for each: times by state, the cores behind them, and of every stage."""
    times = np.array([_or_stage(by_state, stages) for by_state, _, stages in found])
    sequence = {state: int(times[:, column].argmax()) for column, state in enumerate(STATES[:3])}
    cores = {}
    for column, state in enumerate(STATES[:2]):
        number = sequence[state]
        behind = list(found[number][1])
        spent = parts[number].times_ps[:frames, :, column].sum(axis=0)[behind]
        cores[state] = np.array([behind[int(spent.argmax())]])
    number = sequence["traffic"]
    station = int(found[number][2].argmax() + parts[number].machine.first[1])
    synops = max(int(part.counts.core_synops[:frames].sum(axis=0).max()) for part in parts)
    return FrameBounds(
        dict(zip(STATES, np.append(times.sum(axis=0), program_ps)[:, None], strict=True)),
        np.array([int(times.sum()) + program_ps]),
        cores,
        np.array([station]),
        np.array([synops]),
        sequence,
        tuple(behind for _, behind, _ in found),
    )


def _or_stage(by_state: NDArray[np.int64], stages: NDArray[np.int64]) -> NDArray[np.int64]:
    """The chain by state, or the busiest stage alone if that takes longer."""
    return by_state if by_state.sum() >= stages.max() else np.array([0, 0, stages.max()], np.int64)
