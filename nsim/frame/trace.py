"""A run of frames as tracks of a trace for Perfetto, written once the run has ended: frames overlap."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nsim.errors import SimulationError
from nsim.event_loop import Log
from nsim.frame.machine import FrameLog, FrameMachine, FrameTimes, build_frame_machine
from nsim.frame.mapping import FrameMapping, Sequence
from nsim.perfetto import MeshServices, MeshTracks
from nsim.trace_events import EventFile


def open_frame_trace(path: str | Path, mapping: FrameMapping) -> FrameTrace:
    """The trace of a run on this mapping.

    raises   SimulationError if the network takes several hardware sequences, OutputError if there is no room for it
    """
    if len(mapping.sequences) > 1:
        raise SimulationError(
            f"a trace has one clock, but {mapping.network.name!r} takes {len(mapping.sequences)} hardware sequences on "
            f"chip {mapping.chip.name!r}, each with its own: trace a network that fits in one"
        )
    return FrameTrace(path, mapping.sequences[0], build_frame_machine(mapping.chip))


class FrameTrace:
    """Writes every service of a run of frames, and the frames themselves as spans; see nsim/trace_events.py.

    raises  OutputError if the disk is full
    """

    def __init__(self, path: str | Path, sequence: Sequence, machine: FrameMachine) -> None:
        self.sequence, self.machine = sequence, machine
        tracks = MeshTracks(machine, {part.core: part.layer for part in sequence.parts}, "frames", ("frames",))
        self.file = EventFile(path, {"network": sequence.network.name, "chip": sequence.chip.name}, tracks)

    def write(self, log: FrameLog, times: FrameTimes) -> None:
        """Add the frames that have left the chip and their services, and complete the file."""
        for number, (began_ps, left_ps) in enumerate(zip(times.began_ps.tolist(), times.left_ps.tolist(), strict=True)):
            self.file.span(self.machine.stations, f"frame {number}", began_ps, left_ps, number)
        done = np.flatnonzero(log.frame < times.frames)
        services = Log(*(column[done] for column in log.services))
        frame = log.frame[done].astype(np.int64)
        self.file.add(MeshServices(self.sequence, self.machine).slices(services, frame=frame))
        self.file.close()
