"""Timesteps at other costs: a few that stand for all, on the compiled engine, which is equal to the readable one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nsim.chip.timesteps import BarrierChip
from nsim.machine.compiled.timesteps import Engine
from nsim.machine.stations import build_machine
from nsim.mapping.cores.mapping import Recosting
from nsim.network.activity import Activity
from nsim.result.energy import energy_of, running_fj
from nsim.result.ranges import Headline, Ranges, find_ranges, moved
from nsim.result.timesteps import TimestepResult

MESSAGES = 60_000  # in them, at most, unless one has more: a re-timed run of PilotNet then takes some 20 ms


def ranges_of_timesteps(result: TimestepResult, firing: Mapping[int, NDArray[np.int64]], threads: int) -> Ranges:
    """What ranges do to a run.

    firing   the neurons that fired, ascending, in some timesteps of it by their number
    """
    return find_ranges(result.chip, headline_of(result), *_retiming(result, firing), threads)


def headline_of(result: TimestepResult) -> Headline:
    """Mean time and known energy of a timestep."""
    steady = result.steady
    energy_fj = steady.energy.known_fj / steady.spans if steady.energy.known else None
    return Headline(steady.time_ps / steady.spans, energy_fj)


def _retiming(
    result: TimestepResult, firing: Mapping[int, NDArray[np.int64]]
) -> tuple[Callable[[BarrierChip, bool], float], Callable[[BarrierChip, float], Headline]]:
    """What `find_ranges` asks.

    The mean of all timesteps moves as that of these few does; barrier and management are the same in all of them.
    """
    mapping, steady = result.mapping, result.steady
    recosting = Recosting(mapping)
    few = _few(firing, mapping.copies.indptr)
    activity = _activity([firing[step] for step in few])
    before_ps = int(result.times.duration_ps[few].sum())
    whole_ps = int(steady.times.duration_ps.sum())
    own_ps = int(steady.management_ps.sum()) - mapping.management_ps * steady.spans  # user's code, once per sample

    def retime(chip: BarrierChip, _: bool) -> float:
        other = recosting.at(chip)
        engine = Engine(other, build_machine(chip))
        after_ps = sum(int(times.duration_ps.sum()) for times in engine.run(activity))
        return moved(whole_ps, before_ps, after_ps) + (other.barrier_ps + other.management_ps) * steady.spans + own_ps

    def read(chip: BarrierChip, time_ps: float) -> Headline:
        samples, cores, chips = len(steady.sample_timesteps), mapping.placement.size, mapping.chips_used
        more = running_fj(chip, steady.mapping.management, steady.spans, samples, cores, time_ps, chips)
        energy = energy_of(chip, steady.actions, time_ps, more, chips)
        return Headline(time_ps / steady.spans, energy.known_fj / steady.spans if energy.known else None)

    return retime, read


def _few(firing: Mapping[int, NDArray[np.int64]], indptr: NDArray[np.int64]) -> list[int]:
    """The timesteps that are few enough: spread over all of them however few there are."""
    order = [step for _, step in sorted((int(f"{place:03b}"[::-1], 2), step) for place, step in enumerate(firing))]
    sent = np.cumsum([int((indptr[firing[step] + 1] - indptr[firing[step]]).sum()) for step in order])
    return sorted(order[: max(1, int(np.searchsorted(sent, MESSAGES, side="right")))])


def _activity(firing: Sequence[NDArray[np.int64]]) -> Activity:
    indptr = np.cumsum([0, *(each.size for each in firing)]).astype(np.int64)
    return Activity(indptr, np.concatenate(firing), None)
