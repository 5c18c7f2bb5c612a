"""Why a core waits with a frame: its input, its own sweep, or a core that has no free buffer for what it would send."""

from __future__ import annotations

from typing import Any

from nsim.errors import counted
from nsim.report.stepping.stepper import Stepper


def waits(stepper: Stepper, number: int) -> tuple[str, int | None]:
    """Why a station of a chip with frames serves nothing, and the station that this depends on; None: not on one."""
    machine: Any = stepper.machine
    simulation: Any = stepper.simulation
    kind, core = machine.kind(number), machine.index(number)
    if kind == "neurons" and core != simulation.host:
        at_work = machine.number("synapses", core)
        frame = simulation.done[core]
        if frame == simulation.frames:
            return "has swept all frames", None
        return f"the work on frame {frame} has not ended", at_work
    if kind in ("neurons", "synapses"):
        why, other = _core_waits(simulation, core)
        return why, None if other is None else _station_of(stepper, other)
    return "nothing to serve", None


def _core_waits(simulation: Any, core: int) -> tuple[str, int | None]:
    """Why a core does not begin with its next frame, and the core that this depends on."""
    frame = simulation.begun[core]
    if frame == simulation.frames:
        return "has begun with all frames", None
    feeders = simulation.flow.feeders[core]
    if simulation.complete[core] <= frame and not feeders:
        first = frame - simulation.in_flight
        return f"frame {frame} is let in once frame {first} has left: {simulation.in_flight} are in flight", None
    if simulation.complete[core] <= frame:
        came = f"{simulation.received[frame][core]:,} of {simulation.expected[frame][core]:,} have come"
        late = next((each for each in feeders if simulation.done[each] <= frame), None)
        return f"messages of frame {frame}: {came}{'' if late is None else f', core {late} has not finished it'}", late
    if simulation.done[core] < frame:
        return f"its sweep of frame {frame - 1} has not ended", core
    buffers = simulation.buffers
    full = next(each for each in simulation.flow.receivers[core] if simulation.done[each] <= frame - buffers[each])
    return (
        f"core {full} has {counted(buffers[full], 'buffer')} and has not finished frame {frame - buffers[full]}",
        full,
    )


def _station_of(stepper: Stepper, core: int) -> int:
    """Where a core works, or would: its sweep, or its synapses."""
    sweep, work = (stepper.machine.number(kind, core) for kind in ("neurons", "synapses"))
    simulation: Any = stepper.simulation
    busy = sweep in stepper.serving or sweep in stepper.held or core == simulation.host
    return int(sweep if busy else work)
