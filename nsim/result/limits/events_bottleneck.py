"""What limits a stream of events on a chip without timesteps, asked in three ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from nsim.chip.events import StreamChip
from nsim.mapping.events.mapping import StreamMapping
from nsim.result.events import StreamResult
from nsim.result.limits.bottleneck import Bottleneck
from nsim.result.limits.bounds import Bounds
from nsim.result.limits.events import counts_of, stream_bounds
from nsim.result.limits.sensitivity import LOWER, saved, sensitivity


def bottleneck_of(result: StreamResult, saved: dict[str, float] | None = None) -> Bottleneck:
    """The witnesses of a whole stream until it is drained: one span."""
    bounds = stream_bounds(result.machine, counts_of(result.times), result.sensor)
    return Bottleneck(
        unit="stream",
        result=result,
        bounds=bounds,
        saved=saved or {},
        time_ps=result.times.end_ps,
        path_ps=result.path_ps,
        energy_fj=result.energy.known_fj,
        synop_ps=_synop_ps(result),
        cores=len(result.mapping.layers),
        advise=partial(advice, bounds=bounds, result=result),
    )


def _synop_ps(result: StreamResult) -> float:
    """Of the core that does most: what its events take, over its synops."""
    cores, times = result.machine.cores, result.times
    core = int(times.synops.argmax())
    on_events = times.events[core] * cores["event_ps"][core] + times.synops[core] * cores["synop_ps"][core]
    return float(on_events / max(1, times.synops[core]))


def find_bottleneck(mapping: StreamMapping, run: Callable[..., StreamResult]) -> Bottleneck:
    """Run a mapping, and again with each group of costs a tenth lower, and with a stream that is a tenth faster.

    run   runs a mapping on the same events every time, or on others (inputs), and records the critical path
    """
    result = run(mapping)
    now_ps, stream = result.times.end_ps, result.stream

    def on(chip: StreamChip) -> int:
        return run(replace(mapping, chip=chip), inputs=stream).times.end_ps

    faster = replace(stream, t_ps=np.rint(stream.t_ps * LOWER).astype(np.int64))
    shares = sensitivity(mapping.chip, now_ps, on)
    shares["input"] = saved(now_ps, run(mapping, inputs=faster).times.end_ps)
    return bottleneck_of(result, shares)


def advice(state: str, bounds: Bounds, result: StreamResult) -> str:
    """What to change next in this state, in a sentence; names the core or station that binds."""
    mapping = result.mapping
    if state == "input":
        factor = result.fitting_factor
        room = f": events could come {factor:.3g} times as fast" if factor else ""
        return f"on the floor: the chip keeps up with its input{room}. A faster chip or a sparser network gains nothing"
    if state == "traffic":
        station = int(bounds.station[0])
        kind, index = result.machine.kind(station), result.machine.index(station)
        at = f" of core {index}" if kind in ("send", "link") else ""
        return (
            f"above slope and floor: {kind}{at} carries most. Fewer spikes (a decimator, higher thresholds, pooling of "
            "the sensor), or fewer destinations"
        )
    core = int(bounds.cores[state][0])
    name = mapping.by_core[core].name if core in mapping.by_core else "unused"
    if state == "memory":
        return (
            f"on the slope: core {core} ({name}) does most. Fewer channels, a smaller kernel or more zero weights in "
            "its layer, or pooling before it"
        )
    return f"on the floor: core {core} ({name}) sweeps for the slow clock. A slower clock (--dt), or no biases"
