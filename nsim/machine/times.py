"""What an engine measures, station by station; a discipline adds what it measures of its spans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsim.machine.services import Log, Service, as_services
from nsim.network.brief import Brief


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Times(Brief):
    """What every engine measures, int64[stations] each.

    blocked_ps     holding a message that was served, but found no slot; summed
    longest_queue  most slots taken at once
    """

    blocked_ps: NDArray[np.int64]
    longest_queue: NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class StationTimes(Times):
    """What an engine measures that handles every completion.

    busy_ps, served   int64[stations]   time in services, and their number
    services          of the whole run, in order of completion; none if they were not recorded
    """

    busy_ps: NDArray[np.int64]
    served: NDArray[np.int64]
    services: Log

    @property
    def log(self) -> list[Service]:
        """The services, to be read one by one."""
        return as_services(self.services)
