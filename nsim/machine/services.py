"""A logged service: one row for every service that ends, the same on all chips and in both engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Service(NamedTuple):
    """One completed service. A log holds them in order of completion, which is that of (end_ps, station).

    station   that served
    target    destination core of a copy on a chip with a mesh; -1 elsewhere, and in a sweep
    spike     what was served: the neuron that fired, the address of an event, the number of a tick of the slow clock,
              or the branch of a spike's tree; -1: the silent rest of a sweep, a sweep of the slow clock, a frame's work
    origin    what it belongs to: the frame, the sensor event, or minus the tick that caused it; 0 in a timestep
    start_ps, end_ps
    left_ps   when all that it handed on had found its slot; later than end_ps if the station was blocked
    cause     row of the completion that let it start; -1: the beginning, or an input that came from outside
    before    row of the same message's service at the station before, for a new spike or copy that of the service that
              caused it; -1: none
    """

    station: int
    target: int
    spike: int
    origin: int
    start_ps: int
    end_ps: int
    left_ps: int
    cause: int
    before: int


SERVICE = np.dtype(
    [(name, np.int32 if name in ("station", "target", "cause", "before") else np.int64) for name in Service._fields]
)
Log = NDArray[np.void]  # SERVICE[services]


def as_services(log: Log) -> list[Service]:
    """The rows of a log, to be read one by one."""
    return [Service(*row) for row in log.tolist()]


def as_log(services: Sequence[Sequence[int]]) -> Log:
    """Services as an array."""
    return np.array([tuple(service) for service in services], SERVICE)


def only(log: Log, kept: NDArray[np.bool_]) -> Log:
    """Some services; the numbers of others in them are those of the rows that are left, -1 where there is none."""
    number = np.where(kept, np.cumsum(kept) - 1, -1)
    found = log[kept]
    for name in ("cause", "before"):
        known = found[name] >= 0
        found[name][known] = number[found[name][known]]
    return found


def waited_ps(log: Log, wire_ps: NDArray[np.int64]) -> NDArray[np.int64]:
    """How long the message of each service had waited for its station, -1 where its way began: int64[services].

    It can be served once it has left the station before and passed the wire behind that. wire_ps: int64[stations]
    """
    waited = np.full(log.size, -1)
    here = np.flatnonzero(log["before"] >= 0)
    previous = log[log["before"][here]]
    waited[here] = log["start_ps"][here] - previous["left_ps"] - wire_ps[previous["station"]]
    return waited
