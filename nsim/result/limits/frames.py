"""The floorline of frames: least time of one frame alone, and of a run of many, from counts and costs alone.

Whatever the order of events,
- a core works on a frame, then sweeps, and only then takes the next one. It begins when every core that feeds it has
  finished the frame, and not before the last of its messages has come in, of which one passes each station at a time;
  no message of a core leaves before those that its sweep sends earlier, wherever these go.
  So one frame takes at least as long as the longest chain of cores from the input to the results;
- a run lasts at least as long as the busiest core is at work, frame after frame, behind the chain that leads to it and
  before the one that leads from it. A core with a single input buffer takes turns with each core that feeds it: then
  both, one after the other, stand for the busiest. Where so many frames may be in flight, every so many-th waits for
  the one before it to leave;
- a send stage, link or receiver is busy for every message that passes it, a core's own way out behind the chain that
  leads to that core, and before what must follow in one of the cores that it sends to.
Sequences that take turns on the chip add up, and programming comes on top. It never sees simulated times.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceABC
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter

import numpy as np
from numpy.typing import NDArray

from nsim.machine.frames import Dataflow, FrameMachine, dataflow
from nsim.mapping.frames.mapping import Sequence
from nsim.network import kernels
from nsim.network.activity import Activity
from nsim.result.counts import Counts
from nsim.result.limits.bounds import Bounds, Times

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
    """What the frames of one hardware sequence ask of it: what every core sends for each, and the counts of that."""

    counts: Counts
    activity: Activity
    mapping: Sequence
    machine: FrameMachine

    def at(self, mapping: Sequence, machine: FrameMachine, counts: Counts) -> FrameWork:
        """The same at other costs: what does not depend on them is not found again."""
        other = FrameWork(counts, self.activity, mapping, machine)
        vars(other).update({name: getattr(self, name) for name in ("flow", "order", "last_sends")})
        return other

    @cached_property
    def flow(self) -> Dataflow:
        return dataflow(self.mapping)

    @property
    def feeders(self) -> tuple[tuple[int, ...], ...]:
        return self.flow.feeders

    @cached_property
    def order(self) -> list[int]:
        """Cores, each behind those that feed it."""
        return list(TopologicalSorter(dict(enumerate(self.feeders))).static_order())

    @cached_property
    def times_ps(self) -> NDArray[np.int64]:
        """Work and sweep of every core on each frame: int64[frames, cores + 1, 2]."""
        used = np.zeros(self.machine.cores, bool)
        used[list(self.flow.used)] = True
        work = np.where(used, np.maximum(1, self.counts.core_synapse_ps[:] + self.mapping.frame_ps), 0)
        work[:, -1] = 0  # the host only sends
        return np.stack((work, np.where(used, self.counts.core_sweep_ps[:], 0)), axis=2)

    @cached_property
    def stage_ps(self) -> NDArray[np.int64]:
        """Time that messages keep every send stage, link and receiver busy: int64[frames, stations]."""
        counts, first = self.counts, self.machine.first
        passed = np.concatenate(
            (counts.core_messages_out[:], counts.link_messages[:], counts.core_messages_in[:]), axis=1
        )
        return passed * self.machine.service_ps[first[1] : first[6]]

    def _of(self, table: NDArray[np.int64], kind: str, core: int) -> int:
        return int(table[self.machine.number(kind, core)])

    @cached_property
    def last_sends(self) -> NDArray[np.int64]:
        """Messages that a core has sent once its last one to another core has left: int64[frames, core, to core]."""
        cores, copies = self.machine.cores, self.mapping.copies
        last = np.zeros((self.activity.timesteps, cores, cores), np.int64)
        fired = self.activity.indptr, self.activity.neurons
        kernels.find_last_sends(*fired, self.mapping.core, copies.indptr, copies.core, last)
        return last

    @cached_property
    def way_ps(self) -> dict[tuple[int, int], int]:
        """What one message takes from the send stage of a core to the end of being received, by pair of cores."""
        machine = self.machine
        pairs = np.argwhere(self.last_sends.any(axis=0))
        indptr, links = machine.links_between(pairs[:, 0], pairs[:, 1])
        passing = np.concatenate(([0], np.cumsum(machine.service_ps[links] + machine.wire_ps[links])))
        ends = [
            machine.service_ps[machine.number(kind, 0) + pairs[:, side]]
            for side, kind in enumerate(("send", "receive"))
        ]
        total = passing[indptr[1:]] - passing[indptr[:-1]] + ends[0] + ends[1]
        return {(int(source), int(target)): int(way) for (source, target), way in zip(pairs, total, strict=True)}

    @cached_property
    def out_ps(self) -> NDArray[np.int64]:
        """By core: the time between two messages on its way out, at least. int64[cores + 1]"""
        machine, cores = self.machine, np.arange(self.machine.cores)
        return np.max(
            [machine.service_ps[machine.number(kind, 0) + cores] for kind in ("send", "core_to_router")], axis=0
        )

    def arrived(self, frame: int, core: int, worked: Times) -> tuple[NDArray[np.int64], int]:
        """When the last message to a core can have come in, by state, and the feeder that decides it, or -1.

        worked   int64[cores + 1, 3]  when every core can have begun its sweep
        """
        senders = np.flatnonzero(self.last_sends[frame, :, core]).tolist()
        if not senders:
            return np.zeros(3, np.int64), -1
        total = worked.sum(axis=1).tolist()
        inside = max(self._of(self.machine.service_ps, kind, core) for kind in ("router_to_core", "receive"))
        messages = int(self.counts.core_messages_in[frame, core])
        first = min(senders, key=lambda sender: total[sender] + self.way_ps[sender, core])
        on_the_way = {first: self.way_ps[first, core] + (messages - 1) * inside}
        for sender in senders:
            behind = (int(self.last_sends[frame, sender, core]) - 1) * int(self.out_ps[sender])
            on_the_way[sender] = max(on_the_way.get(sender, 0), self.way_ps[sender, core] + behind)
        last = max(senders, key=lambda sender: total[sender] + on_the_way[sender])
        return worked[last] + [0, 0, on_the_way[last]], last

    @cached_property
    def first_chains(self) -> Chains:
        return self.chains(0)

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
        end, last = max(((done[core], core) for core in range(cores)), key=lambda pair: int(pair[0].sum()))
        results, sender = self.arrived(frame, cores - 1, worked)
        if results.sum() > end.sum():
            end, last = results, sender
        return Chains(begin, end, last, before)

    def _begin(
        self, frame: int, core: int, feeders: tuple[int, ...], worked: Times, done: Times
    ) -> tuple[NDArray[np.int64], int]:
        """When a core can begin, and the feeder that decides it: the last to finish, or the sender of a message."""
        latest = max(feeders, key=done.sum(axis=1).tolist().__getitem__)
        arrived, sender = self.arrived(frame, core, worked)
        return (arrived, sender) if arrived.sum() > done[latest].sum() else (done[latest], latest)

    def tails(self, frame: int) -> NDArray[np.int64]:
        """Work and sweeps that must follow when a core has finished a frame: int64[cores + 1, 3]."""
        tails = np.zeros((self.machine.cores, 3), np.int64)
        total = [0] * self.machine.cores
        for core in reversed(self.order):
            own = tails[core] + [*self.times_ps[frame, core], 0]
            own_ps = int(own.sum())
            for feeder in self.feeders[core]:
                if own_ps > total[feeder]:
                    tails[feeder], total[feeder] = own, own_ps
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
        found.append((part.first_chains.end, part.first_chains.longest, part.stage_ps[0]))
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
    first, tails = part.first_chains, part.tails(frames - 1)
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
    candidates += _ways_out(part, first, tails)
    candidates.append((first.end, first.longest))
    if (many := part.mapping.in_flight) < frames:
        ends = np.array([part.chains(frame).end for frame in range(frames)])
        candidates += [(ends[start::many].sum(axis=0), first.longest) for start in range(many)]
    return max(candidates, key=lambda pair: int(pair[0].sum()))


def _ways_out(part: FrameWork, first: Chains, tails: NDArray[np.int64]) -> list[tuple[Times, tuple[int, ...]]]:
    """Every core's way out, busy with all its messages, and what must follow where the last of them goes."""
    frames, cores = part.times_ps.shape[:2]
    receives = part.last_sends.max(axis=0) > 0
    follows = tails.copy()
    follows[:, :2] += part.times_ps[frames - 1]
    follows[cores - 1] = 0  # results
    found: list[tuple[Times, tuple[int, ...]]] = []
    total = follows.sum(axis=1).tolist()
    for core in np.flatnonzero(receives.any(axis=1)).tolist():
        after = follows[min(np.flatnonzero(receives[core]).tolist(), key=total.__getitem__)]
        sends = part.counts.core_messages_out[:, core].sum() * part.out_ps[core]
        begin = first.begin[core] + [part.times_ps[0, core, MEMORY], 0, sends]
        found.append((begin + after, (core,)))
    return found


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
    synops = max(int(part.counts.core_synops.at(slice(frames)).sum(axis=0).max()) for part in parts)
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
