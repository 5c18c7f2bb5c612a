"""What limits one frame alone on a chip with frames, asked in three ways; and the run of many beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from nsim.chip.frames import FrameChip
from nsim.errors import counted
from nsim.mapping.frames.mapping import FrameMapping, map_frames
from nsim.result.frames import FrameResult, core_name
from nsim.result.limits.bottleneck import Bottleneck
from nsim.result.limits.frames import FrameBounds, FrameWork, latency_bounds, run_bounds
from nsim.result.limits.sensitivity import sensitivity


def works_of(result: FrameResult) -> list[FrameWork]:
    """What every sequence was asked for."""
    return [FrameWork(run.counts, run.activity, run.mapping, run.machine) for run in result.runs]


def bottleneck_of(result: FrameResult, saved: dict[str, float] | None = None) -> Bottleneck:
    """The witnesses of the first frame with nothing else on the chip: one span."""
    parts, program_ps = works_of(result), result.program_ps_per_frame
    bounds = latency_bounds(parts, program_ps)
    return Bottleneck(
        unit="frame",
        result=result,
        bounds=bounds,
        saved=saved or {},
        time_ps=result.latency_ps,
        path_ps=result.path_ps,
        energy_fj=result.energy.known_fj / result.spans,
        synop_ps=_synop_ps(parts),
        cores=result.mapping.processors,
        advise=partial(advice, bounds=bounds, result=result),
        run_line=_run_line(result, run_bounds(parts, program_ps)),
    )


def _synop_ps(parts: list[FrameWork]) -> float:
    """Of the core that does most: its work over its synops."""
    found = []
    for part in parts:
        synops, work = part.counts.core_synops[0], part.times_ps[0, :, 0]
        core = int(synops.argmax())
        found.append((int(synops[core]), int(work[core])))
    synops, work_ps = max(found)
    return work_ps / max(1, synops)


def _run_line(result: FrameResult, run: FrameBounds) -> str:
    """The frames behind each other: bound, simulated, and the cores that set the pace."""
    frames = result.spans
    sequence, cores = max(enumerate(run.behind), key=lambda pair: (len(pair[1]), pair[0]))
    names = [_core(result, sequence, core) for core in cores[:2]]
    turns = " and ".join(names) + (
        " take turns (tiles of the second that are small enough for two frames would end that)"
        if len(names) == 2
        else " sets the pace"
    )
    least, time_ps = int(run.least_ps[0]), result.time_ps
    return (
        f"{counted(frames, 'frame')} behind each other: at least {least / frames / 1e6:,.4g} us each, simulated "
        f"{time_ps / frames / 1e6:,.4g} us ({time_ps / max(1, least) - 1:.1%} over): {turns}"
    )


def find_bottleneck(mapping: FrameMapping, run: Callable[..., FrameResult]) -> Bottleneck:
    """Run a mapping, and its first frame again with each group of costs a tenth lower.

    run   runs a mapping on the same frames every time, or only so many of them (samples), and records the critical path
    """
    result = run(mapping)

    def alone(chip: FrameChip) -> int:
        cheaper = replace(map_frames(mapping.network, chip, mapping.mode), real=mapping.real)
        return run(cheaper, samples=1).latency_ps

    return bottleneck_of(result, sensitivity(mapping.chip, result.latency_ps, alone))


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
            f"messages on their way: {run.named(int(bounds.station[0]))[0]} carries most. Fewer filter groups or "
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
