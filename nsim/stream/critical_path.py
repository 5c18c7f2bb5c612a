"""Why a stream is drained when it is: the chain of services that leads to the end, and what it spends its time on.

The chain of `nsim.critical_path`, with what is special here: it begins where the sensor took an event at that event's
time, so until then the input took its time; a sweep at the synapses is compute; waiting for the slow clock is input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsim.critical_path import PathTimes, walk_back
from nsim.stream.machine import KINDS, StreamMachine

SWEEP = -1  # address of a sweep in a log, at the synapses
PATH_KINDS = (*KINDS, "sweeps")
STATE_OF_KIND = {"clock": "input", "synapses": "memory", "sweeps": "compute"}  # all others, and wires, are traffic


@dataclass(frozen=True, eq=False)
class CoreServices:
    """What the cores' synapses served, each core's in its order, without times: int64[services].

    core
    address  of the event, or SWEEP
    origin   the sensor event, or minus the tick, that brought it about
    """

    core: NDArray[np.int64]
    address: NDArray[np.int64]
    origin: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class StreamPath:
    """What the critical path of a run consists of, and what it was found among.

    services   at the cores
    times      by kind (PATH_KINDS, then wires) and by station; sweeps count as stations of their own, the last, by core
    input_ps   until the event that the path begins with came
    """

    services: CoreServices
    times: PathTimes
    input_ps: int

    @property
    def by_state_ps(self) -> dict[str, int]:
        """Memory, compute, traffic and input; they sum to the end of the run."""
        states = {"memory": 0, "compute": 0, "traffic": 0, "input": self.input_ps}
        for kind, time_ps in zip((*PATH_KINDS, "wire"), self.times.by_kind_ps[0].tolist(), strict=True):
            states[STATE_OF_KIND.get(kind, "traffic")] += time_ps
        return states


def path_of(machine: StreamMachine, log: NDArray[np.int64], end_ps: int) -> StreamPath:
    """The critical path of a recorded run.

    log     int64[8, services]  the fields of times.Service
    end_ps  of the run: its last completion, or later, when the last event has passed the wire out of the chip
    """
    first = np.append(machine.first, machine.stations + machine.drops.size)
    path = PathTimes.empty(1, first)
    station, address, origin, start_ps, done_ps, _, cause, _ = log
    synapses = machine.number("synapses")
    own = station >= synapses
    services = CoreServices(station[own] - synapses, address[own], origin[own])
    if not station.size:
        return StreamPath(services, path, end_ps)
    last = station.size - 1
    if end_ps > done_ps[last]:
        output = machine.number("output")
        last = int(np.flatnonzero(station == output)[-1])
        path.wire_ps[output] = path.by_kind_ps[0, -1] = end_ps - done_ps[last]
    is_sweep = own & (address == SWEEP)
    number = np.where(is_sweep, station - synapses + machine.stations, station)
    entries = number, start_ps, done_ps, cause
    begin_ps = walk_back(first, last + 1, *entries, path.by_kind_ps[0], path.service_ps, path.wire_ps)
    return StreamPath(services, path, int(begin_ps))
