"""What limits one frame alone on a chip with frames, asked in three ways; and the run of many beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from nsim.bottleneck import Bottleneck
from nsim.frame.floorline import FrameBounds, FrameWork, latency_bounds, run_bounds
from nsim.frame.mapping import FrameMapping, map_frames
from nsim.frame.result import FrameResult, core_name
from nsim.sensitivity import sensitivity

Simulate = Callable[[FrameMapping], FrameResult]


@dataclass(frozen=True, eq=False)
class FrameBottleneck(Bottleneck):
    """The first frame with nothing else on the chip: one span. run: bounds of all frames behind each other."""

    result: FrameResult
    bounds: FrameBounds
    run: FrameBounds

    unit = "frame"

    @property
    def time_ps(self) -> int:
        return self.result.latency_ps

    @property
    def path_ps(self) -> dict[str, int]:
        return self.result.states

    @property
    def energy_fj(self) -> float:
        return self.result.energy.known_fj / self.result.done_frames

    @cached_property
    def synop_ps(self) -> float:
        """Of the core that does most: its work over its synops."""
        found = []
        for part in works_of(self.result):
            synops, work = part.counts.core_synops[0], part.times_ps[0, :, 0]
            core = int(synops.argmax())
            found.append((int(synops[core]), int(work[core])))
        synops, work_ps = max(found)
        return work_ps / max(1, synops)

    @property
    def cores(self) -> int:
        return self.result.mapping.processors

    @property
    def advice(self) -> str:
        return advice(self.simulated, self.bounds, self.result)

    @property
    def run_line(self) -> str:
        """The frames behind each other: bound, simulated, and the cores that set the pace."""
        frames = self.result.done_frames
        (*_, busiest) = sorted(zip(self.run.behind, self.result.runs, strict=True), key=lambda pair: len(pair[0]))
        names = [_core(self.result, self.result.runs.index(busiest[1]), core) for core in busiest[0][:2]]
        turns = " and ".join(names) + (
            " take turns (tiles of the second that are small enough for two frames would end that)"
            if len(names) == 2
            else " sets the pace"
        )
        least, time_ps = int(self.run.least_ps[0]), self.result.total_ps
        return (
            f"{frames} frames behind each other take at least {least / frames / 1e6:,.4g} us each, simulated "
            f"{time_ps / frames / 1e6:,.4g} us ({time_ps / max(1, least) - 1:.1%} over): {turns}"
        )


def works_of(result: FrameResult) -> list[FrameWork]:
    """What every sequence was asked for."""
    return [FrameWork(run.counts, run.activity, run.mapping, run.machine) for run in result.runs]


def bottleneck_of(result: FrameResult, saved: dict[str, float] | None = None) -> FrameBottleneck:
    """The witnesses of a run whose critical path was recorded."""
    parts, program_ps = works_of(result), result.program_ps_per_frame
    return FrameBottleneck(result, latency_bounds(parts, program_ps), saved or {}, run_bounds(parts, program_ps))


def find_bottleneck(mapping: FrameMapping, simulate: Simulate, alone: Simulate) -> FrameBottleneck:
    """Run a mapping, and its first frame again with each group of costs a tenth lower.

    simulate   runs a mapping on the same frames every time, and records the critical path
    alone      runs the first of these frames only
    """
    result = simulate(mapping)
    saved = sensitivity(
        mapping.chip,
        result.latency_ps,
        lambda chip: alone(map_frames(mapping.network, chip, mapping.mode)).latency_ps,
    )
    return bottleneck_of(result, saved)


def _core(result: FrameResult, sequence: int, core: int) -> str:
    layers = [part.layer for part in result.runs[sequence].mapping.parts if part.core == core]
    return f"{layers[0]} ({core_name(result.chip, core)})" if layers else "the host"


def advice(state: str, bounds: FrameBounds, result: FrameResult) -> str:
    """What to change next in this state, in a sentence; names the core or station that takes most."""
    if state == "programming":
        return (
            "most time goes into programming: make the network fit in one sequence (fewer filters, or a smaller image)"
        )
    sequence = bounds.sequence[state]
    if state == "traffic":
        run = result.runs[sequence]
        return (
            f"messages on their way: {run.station_name(int(bounds.station[0]))} carries most. Fewer filter groups or "
            "tiles in the layer behind (each takes its own copy), or sparser activations"
        )
    name = _core(result, sequence, int(bounds.cores[state][0]))
    if state == "memory":
        return (
            f"in the chain of layers, {name} works longest. More NPs for its layer, smaller tiles, fewer filters, or "
            "sparser activations before it; weights that are zero take the same time"
        )
    return (
        f"in the chain of layers, {name} sweeps longest. More NPs for its layer, smaller tiles or fewer filters, or a "
        "stride; sparsity changes nothing"
    )
