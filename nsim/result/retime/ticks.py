"""Ticks at other costs: a few that stand for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nsim.chip.tiles import MosaicChip
from nsim.machine.compiled.ticks import Engine
from nsim.machine.ticks import build_lines
from nsim.result.energy import energy_of
from nsim.result.ranges import Headline, Ranges, find_ranges, moved
from nsim.result.ticks import TilesResult


def ranges_of_ticks(result: TilesResult, firing: Mapping[int, NDArray[np.int64]], threads: int) -> Ranges:
    """What ranges do to a run; firing: the neurons that fired, ascending, in some ticks of it by their number."""
    mapping, times = result.mapping, result.times
    whole_ps = None if times is None else int(times.duration_ps.sum())
    before_ps = 0 if times is None else int(times.duration_ps[list(firing)].sum())

    def retime(chip: MosaicChip, _: bool) -> float | None:
        if whole_ps is None:
            return None
        engine = Engine(build_lines(replace(mapping, chip=chip), result.shared_lines, result.branches))
        return moved(whole_ps, before_ps, sum(engine.tick(each).duration_ps for each in firing.values()))

    def read(chip: MosaicChip, time_ps: float | None) -> Headline:
        energy = energy_of(chip, result.actions, result.powered_ps)
        mean_ps = None if time_ps is None else time_ps / result.spans
        return Headline(mean_ps, energy.known_fj / result.spans if energy.known else None)

    return find_ranges(mapping.chip, read(mapping.chip, whole_ps), retime, read, threads)
