"""Frames that are stepped through, and why a core waits with one: its input, its own sweep, or a core without a free
buffer for what it would send.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from nsim.errors import counted
from nsim.machine.frames import build_frame_machine
from nsim.machine.simpy import frames
from nsim.machine.simpy.simulation import Message
from nsim.mapping.frames.calibrate import frames_for
from nsim.report.stepping.breakpoints import Form, refused
from nsim.report.stepping.span import Span
from nsim.report.stepping.timesteps import MeshSpan
from nsim.report.units import seconds
from nsim.result.run_frames import sent_frames

NO_OUTPUTS = refused("outputs are compared timestep by timestep: on a chip with frames nsim run --labels tells")


class Frames(MeshSpan):
    """All frames, in one hardware sequence."""

    what = "frames"
    forms: ClassVar[tuple[Form, ...]] = (*MeshSpan.forms, Form("", "outputs .+", NO_OUTPUTS))
    unqueued: ClassVar[tuple[str, ...]] = ("neurons", "synapses")

    def where(self) -> str:
        simulation = self.simulation
        done = f"{simulation.frames_left} of {counted(simulation.frames, 'frame')} done"
        return f"{done}, {seconds(simulation.now)}"

    def source(self, station: int, message: Message) -> str:
        frame = f"frame {message.origin}"
        return frame if self.kind(station) == "synapses" else f"{super().source(station, message)} of {frame}"

    def parts(self) -> int:
        return int(self.simulation.frames_left)

    def part(self, number: int) -> str:
        return f"frame {number} has left the chip, at {seconds(self.simulation.now)}"

    def idle(self, station: int) -> tuple[str, int | None]:
        simulation = self.simulation
        kind, core = self.kind(station), simulation.machine.index(station)
        if kind == "neurons" and core != simulation.host:
            at_work = simulation.machine.number("synapses", core)
            frame = simulation.done[core]
            if frame == simulation.frames:
                return "has swept all frames", None
            return f"the work on frame {frame} has not ended", at_work
        if kind in ("neurons", "synapses"):
            why, other = _core_waits(simulation, core)
            return why, None if other is None else self._at(other)
        return "nothing to serve", None

    def _at(self, core: int) -> int:
        """Where a core works, or would: its sweep, or its synapses."""
        simulation = self.simulation
        frame = simulation.done[core]
        sweeps = frame < simulation.begun[core] and simulation.work_done[core][frame].triggered
        return int(simulation.machine.number("neurons" if sweeps or core == simulation.host else "synapses", core))


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


def spans(mapping: Any, inputs: Path | None, options: Mapping[str, Any]) -> Iterator[Span]:
    """One hardware sequence after another, each with all frames."""
    samples, dt_s = options.get("samples"), options.get("dt_s") or mapping.network.dt_s
    given = None if inputs is None else frames_for(mapping, inputs, samples, dt_s)
    whole = sent_frames(mapping, given, options.get("activity"), samples, options.get("seed") or 0)
    for number, sequence in enumerate(mapping.sequences):
        machine = build_frame_machine(mapping.chip)
        simulation = frames.FrameSimulation(sequence, machine, sequence.activity(whole), record=True)
        simulation.follow()
        yield Frames(number, simulation, sequence)
