"""The floorline of frames: least time of one frame alone, and of a run of many, from counts and costs alone.

Whatever the order of events,
- a core works on a frame, then sweeps, and only then takes the next one; it begins when the cores that feed it have
  finished the frame. So one frame takes at least as long as the longest chain of cores from the input to the results,
  and a run at least as long as the busiest core is at work, frame after frame, with the longest chain before it for the
  first frame and behind it for the last;
- a core with a single input buffer takes turns with each core that feeds it: a run lasts as long as both, one after the
  other;
- a send stage, link or receiver is busy for every message that passes it.
It never sees simulated times.
"""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import TopologicalSorter

import numpy as np
from numpy.typing import NDArray

from nsim.counts import Counts
from nsim.frame.machine import FrameMachine, dataflow
from nsim.frame.mapping import Sequence

STATES = ("memory", "compute", "traffic")


@dataclass(frozen=True, eq=False)
class FrameBounds:
    """Bounds of the frames in one hardware sequence.

    chain_ps     of the first frame alone, by state: work and sweeps along the longest chain of cores, its busiest stage
    chain        the cores of that chain, first to last
    run_ps       of the run of all frames, by state: work and sweeps of what keeps it busy longest, its busiest stage
    fill_ps      of that run: the chain before them for the first frame, and behind them for the last
    cores        the core behind that, or two that take turns
    max_synops   per frame, of the core that does most of them, and what its work takes per synop
    """

    frames: int
    chain_ps: dict[str, int]
    chain: tuple[int, ...]
    run_ps: dict[str, int]
    fill_ps: int
    cores: tuple[int, ...]
    max_synops: float
    synop_ps: float

    @property
    def latency_ps(self) -> int:
        """No frame alone takes less."""
        return max(self.chain_ps["memory"] + self.chain_ps["compute"], self.chain_ps["traffic"])

    @property
    def least_run_ps(self) -> int:
        """No run of these frames takes less."""
        return max(self.run_ps["memory"] + self.run_ps["compute"] + self.fill_ps, self.run_ps["traffic"])

    @property
    def state(self) -> str:
        """Predicted state of one frame alone: its largest term."""
        return max(STATES, key=self.chain_ps.__getitem__)


def frame_bounds(counts: Counts, mapping: Sequence, machine: FrameMachine) -> FrameBounds:
    """Bounds of a run, from its counts by frame."""
    flow = dataflow(mapping)
    used = np.zeros(machine.cores, bool)
    used[list(flow.used)] = True
    used[-1] = False  # the host works on nothing
    work = np.where(used, np.maximum(1, counts.core_synapse_ps + mapping.frame_ps), 0)
    sweep = np.where(used, counts.core_sweep_ps, 0)
    passed = np.concatenate((counts.core_messages_out, counts.link_messages, counts.core_messages_in), axis=1)
    stages = passed * machine.service_ps[machine.first[1] : machine.first[6]]
    times = work + sweep
    chain = _chain_to_the_end(*_longest(flow.feeders, times[0]))
    single = np.flatnonzero(used & (mapping.input_buffers == 1)).tolist()
    turns = [(core,) for core in flow.used] + [(feeder, core) for core in single for feeder in flow.feeders[core]]
    before = _longest(flow.feeders, times[0])[0] - times[0]
    behind = _longest(flow.receivers, times[-1])[0] - times[-1]
    fill = {cores: int(before[cores[0]] + behind[cores[-1]]) for cores in turns}
    cores = max(turns, key=lambda cores: times[:, list(cores)].sum() + fill[cores])
    synops = counts.core_synops.sum(axis=0)
    most = int(synops.argmax())
    return FrameBounds(
        len(work),
        _by_state(work[:1], sweep[:1], stages[:1], chain),
        chain,
        _by_state(work, sweep, stages, cores),
        fill[cores],
        cores,
        float(synops[most] / len(work)),
        float(work[:, most].sum() / max(1, synops[most])),
    )


def _by_state(work: NDArray, sweep: NDArray, stages: NDArray, cores: tuple[int, ...]) -> dict[str, int]:
    own = list(cores)
    return {
        "memory": int(work[:, own].sum()),
        "compute": int(sweep[:, own].sum()),
        "traffic": int(stages.sum(axis=0).max()),
    }


def _longest(
    feeders: tuple[tuple[int, ...], ...], times_ps: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of every core: the longest sum of times along cores that wait for each other, up to it; the core before it."""
    total, before = np.zeros(len(feeders), np.int64), np.full(len(feeders), -1)
    for core in TopologicalSorter(dict(enumerate(feeders))).static_order():
        if feeders[core]:
            before[core] = max(feeders[core], key=total.__getitem__)
            total[core] = total[before[core]]
        total[core] += times_ps[core]
    return total, before


def _chain_to_the_end(total: NDArray[np.int64], before: NDArray[np.int64]) -> tuple[int, ...]:
    """The cores of the longest of these sums."""
    chain = [int(total.argmax())]
    while before[chain[0]] >= 0:
        chain.insert(0, int(before[chain[0]]))
    return tuple(chain)
