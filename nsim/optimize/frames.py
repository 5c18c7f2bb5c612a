"""Better mappings on chips with frames: every limit of a processor that changes the cut, tried on recorded frames.

The vendor's mapper lets three limits be moved, the same for all layers: most columns and rows of a tile, and most
filters of a processor. Smaller tiles receive fewer messages; fewer filters do less for each. The cuts that differ are
few, and some frames are simulated in milliseconds, so all are tried; of a larger network, those into halves, quarters
and so on. A fully connected layer takes one processor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.chip.frames import FrameChip
from nsim.errors import MappingError, OptimizationError, counted
from nsim.formats.spikes import load_frames
from nsim.mapping.frames.mapping import FrameMapping, map_frames
from nsim.mapping.frames.plan import MODES, Plan, Planner, modes_of
from nsim.mapping.frames.stages import Stage, stages
from nsim.network.activity import Activity, Densities, prescribe
from nsim.network.frames_activity import evaluate_frames
from nsim.network.layers import Network
from nsim.optimize.history import History, Progress, Space, every
from nsim.optimize.objectives import Taken, choose
from nsim.result.run_frames import joined, simulate_activity
from nsim.result.run_timesteps import chosen_densities

OBJECTIVES = ("time", "latency", "energy", "energy-delay", "cores")
DEFAULT_FRAMES = 8
BUDGET = 200


@dataclass(frozen=True, eq=False)
class Tried(Taken):
    """A mapping and what it takes. time_ps: between frames; energy_fj: of a frame at that rate, where it is known."""

    mapping: FrameMapping
    latency_ps: int
    bottleneck: Mapping[str, Any]

    def key(self, objective: str) -> tuple[float, ...]:
        if objective == "latency":
            return float(self.latency_ps), self.time_ps, float(self.cores)
        return super().key(objective)


@dataclass(frozen=True, eq=False)
class Modes(Space):
    """The space of a network on a chip with frames: mapping modes with their limits, tried on the same frames.

    whole   what is sent in all of the frames
    cuts    modes with limits that lead to different cuts, the largest limits first
    """

    network: Network
    chip: FrameChip
    whole: Activity
    objective: str
    cuts: tuple[str, ...]

    def beginning(self) -> tuple[str, str]:
        return MODES[0], f"the vendor's mode {MODES[0]}"

    def candidates(self) -> Iterator[str]:
        yield from (*modes_of(self.chip)[1:], *self.cuts)

    def evaluate(self, candidate: str, path: bool = False) -> Tried:
        mapping = map_frames(self.network, self.chip, candidate)
        result = simulate_activity(mapping, self.whole)
        energy_fj = result.summary()["known_energy_per_frame_fj"]
        limit = result.bottleneck
        return Tried(result.interval_ps, energy_fj, mapping.processors, mapping, result.latency_ps, limit)

    def difference(self, before: str, after: str) -> str:
        return f"mode {after}"


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
    pareto: bool = False,
    progress: Progress | None = None,
) -> History:
    """Try all limits of a processor on a few frames, which are evaluated once; candidates are mapping modes.

    network   quantised
    frames    to try every mapping on: the first of the inputs, or drawn; 8 by default
    budget    mappings to try at most, beside the vendor's modes
    Other arguments are those of `simulate_frames`. Ctrl-C returns what was tried until then.
    raises    OptimizationError, MappingError if the network does not fit, InputError
    """
    choose(objective, OBJECTIVES, "objective")
    steps = stages(network, chip)
    if budget < 1:
        raise OptimizationError(f"budget is {counted(budget, 'mapping')}: give at least 1")
    wanted = list(islice(_plans(chip, steps), budget + 1))
    if len(wanted) > budget:
        wanted = list(islice(_plans(chip, steps, halved=True), budget))
    if inputs is not None:
        given = load_frames(inputs, network.by_name[network.input].shape, None, dt_s)
        whole = joined(evaluate_frames(network, given[: min(frames or DEFAULT_FRAMES, len(given))]))
    else:
        densities = chosen_densities(network, activity)
        if activity is None:
            network = network.with_notes(network.activity_notes)
        whole = joined(prescribe(network, densities, frames or DEFAULT_FRAMES, np.random.default_rng(seed)))
    space = Modes(network, chip, whole, objective, tuple(wanted))
    history = History(space, "every", len(modes_of(chip)) + len(wanted), progress=progress, pareto=pareto)
    history.run(every, np.random.default_rng(seed))
    return history


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
    shapes = [(stage.connection.synapses.source_shape, stage.whole_windows) for stage in cut]
    most = chip.processor_limits
    planner = Planner(chip, steps)
    known = {_cut(plan) for plan in (planner.minimal, planner.all_processors())}
    filters = _sizes([(stage.filters, 1) for stage in cut], most["filters"], halved)
    for columns in _sizes([(shape[2], whole) for shape, whole in shapes], most["columns"], halved):
        for rows in _sizes([(shape[1], whole) for shape, whole in shapes], most["rows"], halved):
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


def _sizes(lengths: list[tuple[int, int]], most: int, halved: bool) -> list[int]:
    """Sizes of equal parts of the lengths, each a whole multiple of the number beside it, the largest first."""
    found = {
        -(-length // (parts * multiple)) * multiple
        for length, multiple in lengths
        for parts in range(1, length + 1)
        if not halved or parts.bit_count() == 1
    }
    return sorted({min(size, most) for size in found}, reverse=True)


def _cut(plan: Plan) -> tuple:
    """What tells plans apart."""
    return tuple((stage.stage.name, stage.tiles, stage.groups) for each in plan.sequences for stage in each)
