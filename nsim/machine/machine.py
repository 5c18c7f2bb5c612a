"""A machine: the stations of a chip, numbered, with their queues, service times and wires.

Stations are numbered kind by kind. Of services that end in the same picosecond the lowest station number goes first, so
the numbering is part of the semantics, and both engines take it from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nsim.network.brief import Brief


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Machine(Brief):
    """The stations of a chip; a discipline adds what else it needs.

    kinds       of stations, in the order of numbering
    first       int64[kinds + 1]   number of the first station of every kind, and the total
    capacity    int64[stations]    slots in the queue, at least 1; none where nothing queues
    service_ps  int64[stations]    of every message; 0 where it varies. Services take at least 1 ps
    wire_ps     int64[stations]    time from leaving a station to where the message can be served next
    """

    kinds: ClassVar[tuple[str, ...]]

    first: NDArray[np.int64]
    capacity: NDArray[np.int64]
    service_ps: NDArray[np.int64]
    wire_ps: NDArray[np.int64]

    @property
    def stations(self) -> int:
        return int(self.first[-1])

    def number(self, kind: str, index: int = 0) -> int:
        """The station of this kind with this index."""
        return int(self.first[self.kinds.index(kind)]) + index

    def of(self, kind: str) -> slice:
        """All stations of a kind."""
        index = self.kinds.index(kind)
        return slice(int(self.first[index]), int(self.first[index + 1]))

    def kind(self, station: int) -> str:
        return self.kinds[int(np.searchsorted(self.first, station, side="right")) - 1]

    def index(self, station: int) -> int:
        """A station's index within its kind: its core, if cores have one each."""
        return station - self.number(self.kind(station))

    def name(self, station: int) -> str:
        """A station as a person would call it."""
        return f"{self.kind(station)} {self.index(station)}"


def by_kind(counts: Sequence[int], *values: int | Sequence[int] | NDArray) -> NDArray[np.int64]:
    """A value for every station: of each kind so many stations, and one value for all of them, or one each."""
    columns = [np.broadcast_to(value, count) for value, count in zip(values, counts, strict=True)]
    return np.concatenate(columns).astype(np.int64)
