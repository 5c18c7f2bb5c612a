"""Better mappings on chips with frames: every limit of a processor that changes the cut, tried on recorded frames.

The vendor's mapper lets three limits be moved, the same for all layers: most columns and rows of a tile, and most
filters of a processor. Smaller tiles receive fewer messages; fewer filters do less for each. The cuts that differ are
few, and some frames are simulated in milliseconds, so all are tried; of a larger network, those into halves, quarters
and so on. A fully connected layer takes one processor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsim.activity import Activity, Densities, prescribe
from nsim.errors import MappingError, OptimizationError
from nsim.frame.activity import evaluate_frames
from nsim.frame.chip import FrameChip
from nsim.frame.mapping import FrameMapping, map_frames
from nsim.frame.plan import MODES, Plan, Planner
from nsim.frame.run import joined, read_frames, simulate_activity
from nsim.frame.stages import Stage, stages
from nsim.network import Network
from nsim.optimize.problem import choose
from nsim.simulation import chosen_densities

OBJECTIVES = ("time", "latency", "energy", "energy-delay", "cores")
DEFAULT_FRAMES = 8
BUDGET = 200
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Tried:
    """A mapping and what it takes. time_ps: between frames; energy_fj: of a frame at that rate, where it is known."""

    mapping: FrameMapping
    time_ps: float
    latency_ps: int
    energy_fj: float
    bottleneck: str

    def key(self, objective: str) -> tuple[float, ...]:
        """The objective, then what decides between equals; smaller is better."""
        time, energy, cores = self.time_ps, self.energy_fj, float(self.mapping.processors)
        return {
            "time": (time, energy, cores),
            "latency": (float(self.latency_ps), time, cores),
            "energy": (energy, time, cores),
            "energy-delay": (energy * time, time, cores),
            "cores": (cores, time, energy),
        }[objective]


@dataclass(frozen=True, eq=False)
class FrameSearch:
    """What was tried: the vendor's modes first, then the limits, the largest first.

    interrupted   whether there was more to try
    """

    objective: str
    tried: tuple[Tried, ...]
    interrupted: bool = False

    @property
    def best(self) -> Tried:
        return min(self.tried, key=lambda each: each.key(self.objective))

    def of_mode(self, mode: str) -> Tried:
        return next(each for each in self.tried if each.mapping.mode == mode)


def optimize_frames(
    network: Network,
    chip: FrameChip,
    inputs: str | Path | NDArray | None = None,
    *,
    activity: str | float | Densities | None = None,
    frames: int | None = None,
    dt_s: float | None = None,
    objective: str = "time",
    budget: int = BUDGET,
    seed: int = 0,
    progress: Progress | None = None,
) -> FrameSearch:
    """Try all limits of a processor on a few frames, which are evaluated once.

    network   quantised
    frames    to try every mapping on: the first of the inputs, or drawn; 8 by default
    budget    mappings to try at most, beside the vendor's modes
    Other arguments are those of `simulate_frames`. Ctrl-C returns what was tried until then.
    raises    OptimizationError, MappingError if the network does not fit, InputError
    """
    choose(objective, OBJECTIVES, "objective")
    steps = stages(network, chip)
    if budget < 1:
        raise OptimizationError(f"budget is {budget} mappings: give at least 1")
    wanted = list(islice(_plans(chip, steps), budget + 1))
    if len(wanted) > budget:
        wanted = list(islice(_plans(chip, steps, halved=True), budget))
    if inputs is not None:
        given = read_frames(inputs, network, None, dt_s)
        whole = joined(evaluate_frames(network, given[: min(frames or DEFAULT_FRAMES, len(given))]))
    else:
        densities = chosen_densities(network, activity)
        whole = joined(prescribe(network, densities, frames or DEFAULT_FRAMES, np.random.default_rng(seed)))
    tried: list[Tried] = []
    try:
        for number, mode in enumerate((*MODES, *wanted)):
            tried.append(_tried(map_frames(network, chip, mode), whole))
            if progress:
                progress(number + 1, len(MODES) + len(wanted))
    except KeyboardInterrupt:
        if not tried:
            raise
        return FrameSearch(objective, tuple(tried), True)
    return FrameSearch(objective, tuple(tried))


def _plans(chip: FrameChip, steps: list[Stage], halved: bool = False) -> Iterator[str]:
    """Modes with limits that lead to different cuts, all on the chip in as few sequences as the network needs.

    halved   only cuts into 1, 2, 4, ... parts
    raises   OptimizationError if no layer is cut at all
    """
    cut = [stage for stage in steps if stage.kind not in ("input", "fully_connected")]
    if not cut:
        raise OptimizationError(
            f"no layer of the network is cut over processors of chip {chip.name!r}, so there is nothing to move: only "
            "convolutions behind the input block are"
        )
    shapes = [stage.connection.synapses.source_shape for stage in cut]
    most = chip.processor_limits
    planner = Planner(chip, steps)
    known = {_cut(plan) for plan in (planner.minimal, planner.all_processors())}
    filters = _sizes([stage.filters for stage in cut], most["filters"], halved)
    for columns in _sizes([shape[2] for shape in shapes], most["columns"], halved):
        for rows in _sizes([shape[1] for shape in shapes], most["rows"], halved):
            try:
                tiled = Planner(chip.with_processor_limits({"columns": columns, "rows": rows}), steps)
            except MappingError:  # more tiles than processors
                continue
            for limit in filters:
                try:
                    plan = tiled.plan(limit)
                except MappingError:  # more filter groups than processors
                    break
                if len(plan.sequences) <= len(planner.minimal.sequences) and _cut(plan) not in known:
                    known.add(_cut(plan))
                    yield f"minimal:columns={columns},rows={rows},filters={limit}"


def _sizes(lengths: list[int], most: int, halved: bool) -> list[int]:
    """Sizes of equal parts of the lengths, the largest first."""
    found = {
        -(-length // parts)
        for length in lengths
        for parts in range(1, length + 1)
        if not halved or parts.bit_count() == 1
    }
    return sorted({min(size, most) for size in found}, reverse=True)


def _cut(plan: Plan) -> tuple:
    """What tells plans apart."""
    return tuple((stage.stage.name, stage.tiles, stage.groups) for each in plan.sequences for stage in each)


def _tried(mapping: FrameMapping, whole: Activity) -> Tried:
    result = simulate_activity(mapping, whole)
    told = result.summary()
    return Tried(mapping, result.interval_ps, result.latency_ps, told["known_energy_per_frame_fj"], result.bottleneck)
