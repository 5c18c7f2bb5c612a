"""The machine of a chip with frames: its stations, which core waits for which, and what an engine measures on it.

Stations are numbered kind by kind, as on all chips with a mesh; a core has two where others have one:
  receive   takes the messages in and counts them for their frame
  synapses  works on whole frames; then the core's sweep of that frame starts
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.chip.frames import FrameChip
from nsim.errors import SimulationError
from nsim.machine.stations import MeshMachine, station_fields
from nsim.machine.times import StationTimes
from nsim.mapping.frames.mapping import Sequence
from nsim.network.brief import Brief

FRAME_KINDS = ("neurons", "send", "core_to_router", "mesh", "router_to_core", "receive", "synapses")
Table = NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FrameMachine(MeshMachine):
    """The stations of a chip with frames.

    update_ps, spike_ps   costs of a sweep: of every slot, and more for an output that is not zero
    """

    kinds = FRAME_KINDS

    update_ps: int
    spike_ps: int


def build_frame_machine(chip: FrameChip) -> FrameMachine:
    """Number the chip's stations and give each its queue, service time and wire, in the clock mode that is on."""
    inside = {"receive": (chip.buffers.message_in, max(1, chip.action_ps("message_in"))), "synapses": (0, 0)}
    return FrameMachine(**station_fields(chip, inside), update_ps=1, spike_ps=chip.action_ps("spike"))


@dataclass(frozen=True, eq=False, repr=False)
class Dataflow(Brief):
    """Which cores take part in every frame, and which of them wait for which; the host, the last, if it sends.

    used       cores, ascending
    feeders    by core, those that send to it
    receivers  by core, those that it sends to; the host, as a receiver of results, is none
    """

    used: tuple[int, ...]
    feeders: tuple[tuple[int, ...], ...]
    receivers: tuple[tuple[int, ...], ...]


def dataflow(mapping: Sequence) -> Dataflow:
    """Which core waits for which, from the static table of copies: activity does not matter.

    raises  SimulationError if cores send to each other in a circle
    """
    copies, host = mapping.copies, mapping.allocated.size - 1
    source = np.repeat(mapping.core, np.diff(copies.indptr))
    sends = np.zeros((host + 1, host + 1), bool)  # from row to column
    sends[source, copies.core] = True
    sends[:, host] = False
    used = sends.any(axis=0) | (mapping.allocated > 0) | (mapping.frame_ps > 0)
    used[mapping.core] = True
    used[host] = (source == host).any()  # what goes straight into the input block is no message
    feeders, receivers = ([tuple(np.flatnonzero(row).tolist()) for row in table] for table in (sends.T, sends))
    try:
        TopologicalSorter(dict(enumerate(feeders))).prepare()
    except CycleError as error:
        circle = " -> ".join(f"core {core}" for core in error.args[1])
        raise SimulationError(
            f"frames cannot pass {mapping.network.name!r}: {circle} send to each other in a circle; use a network "
            "without recurrent connections"
        ) from None
    return Dataflow(tuple(np.flatnonzero(used).tolist()), tuple(feeders), tuple(receivers))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FrameTimes(StationTimes):
    """What an engine measures over the frames of one run. The run starts at 0; cores that take no part have -1.

    input_ps     int64[frames, cores + 1]  a frame's messages are all there; at a source: the frame is let in
    begin_ps     int64[frames, cores + 1]  the core begins with the frame
    worked_ps    int64[frames, cores + 1]  its work is done and its sweep starts
    finished_ps  int64[frames, cores + 1]  its sweep is done
    left_ps      int64[frames]             all cores have finished the frame and its results have arrived
    """

    input_ps: Table
    begin_ps: Table
    worked_ps: Table
    finished_ps: Table
    left_ps: Table

    @staticmethod
    def empty(frames: int, cores: int) -> dict[str, Any]:
        """The tables by frame, with nothing measured yet."""
        by_core = ("input_ps", "begin_ps", "worked_ps", "finished_ps")
        return {name: np.full((frames, cores), -1) for name in by_core} | {"left_ps": np.full(frames, -1)}

    @property
    def frames(self) -> int:
        return self.left_ps.size

    @property
    def began_ps(self) -> Table:
        """When the first core began with each frame: int64[frames]. It leaves at once if no core takes part."""
        return np.where(self.begin_ps >= 0, self.begin_ps, self.left_ps[:, None]).min(axis=1)

    @property
    def duration_ps(self) -> Table:
        """From the first begin of a core on a frame until the frame has left: int64[frames]."""
        return self.left_ps - self.began_ps

    def first(self, frames: int) -> FrameTimes:
        """The times of the first frames; what is summed by station stays."""
        return replace(self, **{name: getattr(self, name)[:frames] for name in FrameTimes.empty(0, 0)})
