"""What goes into an engine for chips without timesteps, and what it measures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nsim.stream.machine import StreamMachine

if TYPE_CHECKING:
    from nsim.stream.critical_path import StreamPath

BY_STATION = ("busy_ps", "blocked_ps", "served", "longest_queue")
BY_CORE = ("events", "synops", "spikes", "sweeps", "lost_ticks")


@dataclass(frozen=True, eq=False)
class SensorEvents:
    """What the sensor sees, in the order of time.

    t_ps         int64[events]  never decreasing
    address      int64[events]  see machine.addresses
    duration_ps  how long the sensor was watched: at least up to the last event. The slow clock runs as long
    """

    t_ps: NDArray[np.int64]
    address: NDArray[np.int64]
    duration_ps: int


@dataclass(frozen=True)
class Service:
    """One completed service, as both engines log it.

    address          of the event served; a tick of the clock has its number as address, a sweep has -1
    origin           the sensor event, or minus the tick, that brought it about
    left_ps          when all that it brought had found its place
    cause            number of the completion that let it start; -1 for none: an event came, or the clock began
    before           number of the completion of the same event at the station before, for a spike that of the service
                     which brought it about; -1 for none: at the sensor, the clock, and in a sweep
    """

    station: int
    address: int
    origin: int
    start_ps: int
    end_ps: int
    left_ps: int
    cause: int
    before: int


@dataclass(frozen=True, eq=False)
class StreamTimes:
    """What an engine measures; int64 unless said, by station, by core, by sensor event, or listed.

    end_ps       last completion, the wire out of the chip included
    entered_ps   by sensor event: when the sensor began to serve it
    events       by core: events evaluated; synops, spikes (before the decimator), sweeps, lost_ticks alike
    output_*     events that left the chip, in the order of leaving: when, address in the output layer, origin
    dropped_*    events that a balancer dropped: when, before which core, origin
    state        int16[neurons], at the end
    services     int64[8, services], the fields of Service in order of completion; None if they were not recorded
    path         what the critical path consists of, if asked for
    """

    end_ps: int
    busy_ps: NDArray[np.int64]
    blocked_ps: NDArray[np.int64]
    served: NDArray[np.int64]
    longest_queue: NDArray[np.int64]
    entered_ps: NDArray[np.int64]
    events: NDArray[np.int64]
    synops: NDArray[np.int64]
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
    services: NDArray[np.int64] | None = None
    path: StreamPath | None = None

    @property
    def log(self) -> list[Service] | None:
        """Every service in order of completion, if recorded."""
        return None if self.services is None else [Service(*entry) for entry in self.services.T.tolist()]

    def finished(
        self, now_ps: int, outputs: NDArray[np.int64], dropped: NDArray[np.int64], services: NDArray[np.int64] | None
    ) -> StreamTimes:
        """The same with the end of the run. outputs, dropped: int64[3, n], see above."""
        return replace(
            self,
            end_ps=max(now_ps, int(outputs[0].max(initial=0))),
            output_ps=outputs[0],
            output_address=outputs[1],
            output_origin=outputs[2],
            dropped_ps=dropped[0],
            dropped_core=dropped[1],
            dropped_origin=dropped[2],
            services=services,
        )


def empty_times(machine: StreamMachine, events: SensorEvents) -> StreamTimes:
    """Nothing counted yet; the neurons in their initial state."""
    stations, cores = machine.stations, machine.mapping.chip.cores
    empty: dict[str, Any] = {name: np.zeros(stations, np.int64) for name in BY_STATION}
    empty |= {name: np.zeros(cores, np.int64) for name in BY_CORE}
    empty |= {
        f"{kind}_{name}": np.zeros(0, np.int64)
        for kind, names in (("output", ("ps", "address", "origin")), ("dropped", ("ps", "core", "origin")))
        for name in names
    }
    entered_ps = np.zeros(events.t_ps.size, np.int64)
    return StreamTimes(0, entered_ps=entered_ps, state=machine.state.copy(), **empty)
