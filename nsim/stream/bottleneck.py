"""What limits a stream of events on a chip without timesteps, asked in three ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np

from nsim.bottleneck import Bottleneck
from nsim.bounds import Bounds
from nsim.events import EventStream
from nsim.sensitivity import LOWER, sensitivity
from nsim.stream.floorline import counts_of, stream_bounds
from nsim.stream.mapping import StreamMapping
from nsim.stream.result import StreamResult

Simulate = Callable[[StreamMapping, EventStream], StreamResult]


class StreamBottleneck(Bottleneck):
    """A whole stream until it is drained: one span."""

    result: StreamResult
    unit = "stream"

    @property
    def time_ps(self) -> int:
        return self.result.times.end_ps

    @property
    def path_ps(self) -> dict[str, int]:
        assert self.result.states is not None
        return self.result.states

    @property
    def energy_fj(self) -> float:
        return self.result.energy.known_fj

    @cached_property
    def synop_ps(self) -> float:
        """Of the core that does most: what its events take, over its synops."""
        cores, times = self.result.machine.cores, self.result.times
        core = int(times.synops.argmax())
        on_events = times.events[core] * cores["event_ps"][core] + times.synops[core] * cores["synop_ps"][core]
        return float(on_events / max(1, times.synops[core]))

    @property
    def cores(self) -> int:
        return len(self.result.mapping.layers)

    @property
    def advice(self) -> str:
        return advice(self.simulated, self.bounds, self.result)


def bottleneck_of(result: StreamResult, saved: dict[str, float] | None = None) -> StreamBottleneck:
    """The witnesses of a run whose critical path was recorded."""
    bounds = stream_bounds(result.machine, counts_of(result.times), result.sensor)
    return StreamBottleneck(result, bounds, saved or {})


def find_bottleneck(mapping: StreamMapping, stream: EventStream, simulate: Simulate) -> StreamBottleneck:
    """Run a mapping, and again with each group of costs a tenth lower, and with a stream that is a tenth faster.

    simulate   runs a mapping on a stream and records the critical path
    """
    result = simulate(mapping, stream)
    now_ps = result.times.end_ps

    def on(chip) -> int:
        return simulate(replace(mapping, chip=chip), stream).times.end_ps

    faster = replace(stream, t_ps=np.rint(stream.t_ps * LOWER).astype(np.int64))
    saved = sensitivity(mapping.chip, now_ps, on)
    saved["input"] = 1 - simulate(mapping, faster).times.end_ps / now_ps if now_ps else 0.0
    return bottleneck_of(result, saved)


def cures(mapping: StreamMapping, core: int) -> str:
    """What helps a core that its events keep busy, and whether its layer would fit on a faster one."""
    layer, chip = mapping.by_core[core], mapping.chip
    found = f"fewer channels or a smaller kernel in {layer.name}, pooling or a decimator before it"
    fast = [other for other in chip.parallel.cores if other != core and chip.holds(other, layer.entries)]
    if core not in chip.parallel.cores and fast:
        found += f"; a faster core (--core-options core.{layer.name}={fast[0]})"
    return found


def advice(state: str, bounds: Bounds, result: StreamResult) -> str:
    """What to change next in this state, in a sentence; names the core or station that binds."""
    mapping = result.mapping
    if state == "input":
        factor = result.fitting_factor
        room = f": events could come {factor:.3g} times as fast" if factor else ""
        return f"on the floor: the chip keeps up with its input{room}. A faster chip or a sparser network gains nothing"
    if state == "traffic":
        kind, index = result.machine.kind(int(bounds.station[0]))
        at = f" of core {index}" if kind in ("send", "link") else ""
        return (
            f"above slope and floor: {kind}{at} carries most. Fewer spikes (a decimator, higher thresholds, pooling of "
            "the sensor), or fewer destinations"
        )
    core = int(bounds.cores[state][0])
    name = mapping.by_core[core].name if core in mapping.by_core else "unused"
    if state == "memory":
        return f"on the slope: core {core} ({name}) does most. What helps: {cures(mapping, core)}"
    return f"on the floor: core {core} ({name}) sweeps for the slow clock. A slower clock (--dt), or no biases"
