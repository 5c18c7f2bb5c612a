"""Frames at other costs: simulated where that is cheap, else by their floorline, scaled to the simulation.

A frame of AkidaNet has 10 million services: 64 of them would take a minute. Its floorline takes some 20 ms, and moves
as the simulation does: on ten chips drawn from the ranges of AKD1000 the latency within 2 %, 3 % where all constants
are at the dear end; the interval within 2 %. At the two ends, which bound the range, the frame alone is simulated even
then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from nsim.chip.frames import FrameChip
from nsim.machine.compiled.frames import Engine
from nsim.machine.frames import Dataflow, FrameMachine, FrameTimes, build_frame_machine, dataflow
from nsim.mapping.frames.mapping import FrameMapping, FrameRecosting, Sequence, message_ps
from nsim.network.activity import Activity
from nsim.result.counts import Counts
from nsim.result.energy import energy_of
from nsim.result.frames import FrameResult, SequenceRun
from nsim.result.limits.frames import FrameWork, latency_bounds, run_bounds
from nsim.result.ranges import Headline, Ranges, find_ranges

SERVICES = 20_000_000  # that all re-timed runs together may have, or a frame alone at the ends: 1 s of one core
RUNS = 100  # of a chip with some 20 ranges


class Paces(NamedTuple):
    """One frame alone, and from frame to frame."""

    latency_ps: float
    interval_ps: float


def ranges_of_frames(result: FrameResult, threads: int) -> Ranges:
    """What ranges do to a run."""
    every, alone = (sum(int(times.served.sum()) for times in part) for part in _times_of(result))
    flows = [dataflow(run.mapping) for run in result.runs]
    recosting = FrameRecosting(result.mapping)
    by_floorline = None if RUNS * (every + alone) <= SERVICES else _by_floorline(result, recosting)

    def retime(chip: FrameChip, at_end: bool) -> Paces:
        if by_floorline is None:
            other = _simulated(result, recosting.at(chip), flows, alone=False)
            return Paces(other.latency_ps, other.interval_ps)
        found = by_floorline(chip)
        if not at_end or alone > SERVICES:
            return found
        return found._replace(latency_ps=_simulated(result, recosting.at(chip), flows, alone=True).latency_ps)

    def read(chip: FrameChip, paces: Paces) -> Headline:
        return _headline(result, chip, paces)

    own = Paces(result.latency_ps, result.interval_ps)
    return find_ranges(result.chip, read(result.chip, own), retime, read, threads)


def _times_of(result: FrameResult) -> tuple[list[FrameTimes], list[FrameTimes]]:
    """Of all frames, and of the first one alone, by sequence."""
    return [run.times for run in result.runs], [run.alone for run in result.runs]


def _headline(result: FrameResult, chip: FrameChip, paces: Paces) -> Headline:
    """Latency of one frame, and its dynamic energy with static power for the time between frames."""
    energy = energy_of(chip, result.actions, None)
    if not energy.known and chip.static_mw is None:
        return Headline(paces.latency_ps, None)
    return Headline(paces.latency_ps, energy.known_fj / result.spans + (chip.static_mw or 0) * paces.interval_ps)


def _simulated(result: FrameResult, mapping: FrameMapping, flows: list[Dataflow], alone: bool) -> FrameResult:
    """The run at other costs; alone: its first frame only."""
    costs = zip(result.runs, mapping.sequences, flows, strict=True)
    runs = tuple(_run(run, sequence, flow, alone) for run, sequence, flow in costs)
    return replace(result, mapping=mapping, runs=runs, ranges=None)


def _run(run: SequenceRun, sequence: Sequence, flow: Dataflow, alone: bool) -> SequenceRun:
    machine = build_frame_machine(sequence.chip)
    engine = Engine(sequence, machine, flow)
    first = _times(engine, run.activity.first(1))
    times = first if alone or run.activity.timesteps == 1 else _times(engine, run.activity)
    return replace(run, mapping=sequence, machine=machine, alone=first, path=None, times=times)


def _times(engine: Engine, activity: Activity) -> FrameTimes:
    run = engine.start(activity)
    for _ in run:
        pass
    return run.times()


def _by_floorline(result: FrameResult, recosting: FrameRecosting) -> Callable[[FrameChip], Paces]:
    """By how much the bounds of one frame, and of the run, move."""
    works = [FrameWork(run.counts, run.activity, run.mapping, run.machine) for run in result.runs]
    latency_ps, run_ps = _bounds(works, result.mapping)

    def found(chip: FrameChip) -> Paces:
        mapping, machine = recosting.at(chip, neurons=False), build_frame_machine(chip)
        costs = zip(works, mapping.sequences, strict=True)
        moved = [work.at(each, machine, _counts(work.counts, each, machine)) for work, each in costs]
        moved_latency_ps, moved_run_ps = _bounds(moved, mapping)
        latency = result.latency_ps * (moved_latency_ps / latency_ps)
        return Paces(latency, result.interval_ps * (moved_run_ps / run_ps))

    return found


def _bounds(works: list[FrameWork], mapping: FrameMapping) -> tuple[int, int]:
    """Bounds of one frame alone, and of all frames one behind the other."""
    program_ps = sum(each.reload_ps for each in mapping.sequences)
    return tuple(max(1, int(bounds(works, program_ps).least_ps[0])) for bounds in (latency_bounds, run_bounds))  # type: ignore[return-value]


def _counts(counts: Counts, sequence: Sequence, machine: FrameMachine) -> Counts:
    """The same counts, and what they take at the costs of this sequence's chip."""
    spikes, kept = counts.core_spikes.values, counts.core_spikes.kept
    sweep_ps = sequence.allocated[kept] * machine.update_ps + spikes * machine.spike_ps
    host = kept == sequence.chip.cores
    sweep_ps[:, host] = spikes[:, host]
    synapse_ps = counts.core_messages_in.values * message_ps(sequence.chip, sequence.parts)[kept]
    return replace(
        counts,
        core_sweep_ps=replace(counts.core_spikes, values=sweep_ps),
        core_synapse_ps=replace(counts.core_spikes, values=synapse_ps),
    )
