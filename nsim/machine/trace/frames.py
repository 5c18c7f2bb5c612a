"""A run of frames as tracks of a trace for Perfetto, written once the run has ended: frames overlap."""

from __future__ import annotations

from os import PathLike

from nsim.errors import SimulationError
from nsim.machine.frames import FrameMachine, FrameTimes, build_frame_machine
from nsim.machine.services import only
from nsim.machine.trace.mesh import MeshServices, MeshTracks
from nsim.machine.trace.view import open_file
from nsim.mapping.frames.mapping import FrameMapping, Sequence


def open_frame_trace(file: str | PathLike[str], mapping: FrameMapping) -> FrameTrace:
    """The trace of a run on this mapping.

    raises   SimulationError if the network takes several hardware sequences, OutputError if there is no room for it
    """
    if len(mapping.sequences) > 1:
        raise SimulationError(
            f"a trace has one clock, but {mapping.network.name!r} takes {len(mapping.sequences)} hardware sequences on "
            f"chip {mapping.chip.name!r}, each with its own: trace a network that fits in one"
        )
    return FrameTrace(file, mapping.sequences[0], build_frame_machine(mapping.chip))


class FrameTrace:
    """Writes every service of a run of frames, and the frames themselves as spans; see nsim/machine/trace/file.py.

    raises  OutputError if the disk is full
    """

    def __init__(self, file: str | PathLike[str], sequence: Sequence, machine: FrameMachine) -> None:
        self.sequence, self.machine = sequence, machine
        tracks = MeshTracks(machine, {part.core: part.layer for part in sequence.parts}, "frames", ("frames",))
        self.file = open_file(file, sequence.network, sequence.chip.name, tracks)

    def write(self, times: FrameTimes) -> None:
        """Add the frames that have left the chip and their services, and complete the file."""
        for number, (began_ps, left_ps) in enumerate(zip(times.began_ps.tolist(), times.left_ps.tolist(), strict=True)):
            self.file.span(self.machine.stations, f"frame {number}", began_ps, left_ps)
        done = only(times.services, times.services["origin"] < times.frames)
        self.file.add(MeshServices(self.sequence, self.machine).slices(done, frame=done["origin"]))
        self.file.close()
