"""What goes into an engine for chips without timesteps, and what it measures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.machine.events import SWEEP, StreamMachine
from nsim.machine.path import PathTimes, walk_back
from nsim.machine.services import Log
from nsim.machine.times import StationTimes
from nsim.network.brief import Brief

BY_CORE = ("events", "synops", "zeros_skipped", "spikes", "sweeps", "lost_ticks")


@dataclass(frozen=True, eq=False, repr=False)
class SensorEvents(Brief):
    """What the sensor sees, in the order of time.

    t_ps         int64[events]  never decreasing
    address      int64[events]  see machine.addresses
    duration_ps  how long the sensor was watched: at least up to the last event. The slow clock runs as long
    """

    t_ps: NDArray[np.int64]
    address: NDArray[np.int64]
    duration_ps: int


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class StreamTimes(StationTimes):
    """What an engine measures; int64 unless said, by core, by sensor event, or listed.

    end_ps       last completion, the wire out of the chip included
    entered_ps   by sensor event: when the sensor began to serve it
    events       by core: events evaluated; synops, zeros_skipped (weights of no synop), spikes (before the decimator),
                 sweeps, lost_ticks alike
    output_*     events that left the chip, in the order of leaving: when, address in the output layer, origin
    dropped_*    events that a balancer dropped: when, before which core, origin
    state        int16[neurons], at the end
    path         what the critical path consists of, if asked for, and then services are kept, too; sweeps count as
                 stations of their own, the last, by core
    """

    end_ps: int
    entered_ps: NDArray[np.int64]
    events: NDArray[np.int64]
    synops: NDArray[np.int64]
    zeros_skipped: NDArray[np.int64]
    spikes: NDArray[np.int64]
    sweeps: NDArray[np.int64]
    lost_ticks: NDArray[np.int64]
    state: NDArray[np.int16]
    output_ps: NDArray[np.int64]
    output_address: NDArray[np.int64]
    output_origin: NDArray[np.int64]
    dropped_ps: NDArray[np.int64]
    dropped_core: NDArray[np.int64]
    dropped_origin: NDArray[np.int64]
    path: PathTimes | None = None


def stream_times(
    machine: StreamMachine,
    now_ps: int,
    outputs: NDArray[np.int64],
    dropped: NDArray[np.int64],
    measured: dict[str, Any],
    critical_path: bool,
) -> StreamTimes:
    """What was measured in a run that has ended.

    outputs, dropped   int64[3, n], see above
    measured           the other fields
    critical_path      find it, from the services
    """
    end_ps = max(now_ps, int(outputs[0].max(initial=0)))
    listed = dict(zip(("output_ps", "output_address", "output_origin"), outputs, strict=True))
    listed |= zip(("dropped_ps", "dropped_core", "dropped_origin"), dropped, strict=True)
    path = _path_of(machine, measured["services"], end_ps) if critical_path else None
    return StreamTimes(**measured, **listed, end_ps=end_ps, path=path)


def _path_of(machine: StreamMachine, log: Log, end_ps: int) -> PathTimes:
    """The critical path of a recorded run. It ends with the last completion, or an event on the wire of the output."""
    first = np.append(machine.first, machine.stations + machine.drops.size)
    path, last = PathTimes.empty(1, first), log.size - 1
    if last < 0:
        return replace(path, begin_ps=end_ps)
    if end_ps > log["end_ps"][last]:
        output = machine.number("output")
        last = int(np.flatnonzero(log["station"] == output)[-1])
        path.wire_ps[output] = path.by_kind_ps[0, -1] = end_ps - log["end_ps"][last]
    sweeps = (log["station"] >= machine.number("synapses")) & (log["spike"] == SWEEP)
    station = log["station"] + np.where(sweeps, machine.stations - machine.number("synapses"), 0)
    begin_ps = walk_back(first, log, station, last, path.by_kind_ps[0], path.service_ps, path.wire_ps)
    return replace(path, begin_ps=int(begin_ps))
