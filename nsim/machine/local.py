"""Timesteps without a barrier: which cores wait for which, the same rules in both engines.

All stations work as in timesteps that a barrier ends; what is new is when the sweep of a core's next timestep begins. A
core has *finished* a timestep when its sweep has handed over its last spike. It begins timestep t in the instant in
which all of these hold:
- it has itself finished t - 1, and its synapses have served all messages of t - 1 for it;
- every core that sends to it, by the network's synapses, has finished t - 1, so that no more of them can come;
- every core that it sends to has begun t - 1: nobody is ahead of those that it sends to by more than one timestep.
The host counts as a core that nobody sends to. Who has finished or begun is known at once at all neighbours: no message
carries it, and it takes no time. The core that is behind most can always begin, so these rules never lock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsim.mapping.cores.mapping import Mapping


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Cores that take part; who sends to each, and to whom it sends (CSR by core).

    used                                 int64[used], ascending, the host last if it sends
    feeders_indptr, receivers_indptr     int64[cores + 2], the host being one core more
    feeders, receivers                   int64, ascending for each; a core is not its own
    """

    used: NDArray[np.int64]
    feeders_indptr: NDArray[np.int64]
    feeders: NDArray[np.int64]
    receivers_indptr: NDArray[np.int64]
    receivers: NDArray[np.int64]


def neighbours(mapping: Mapping) -> Neighbours:
    """Who waits for whom, from the table of copies: activity does not matter."""
    copies, cores = mapping.copies, mapping.allocated.size
    source = np.repeat(mapping.core, np.diff(copies.indptr))
    pairs = np.unique(source * cores + copies.core)
    here, there = pairs // cores, pairs % cores
    here, there = here[here != there], there[here != there]
    by_target = np.argsort(there, kind="stable")
    edges = np.arange(cores + 1)
    return Neighbours(
        np.unique(np.concatenate((np.flatnonzero(mapping.allocated), mapping.core, copies.core))).astype(np.int64),
        np.searchsorted(there[by_target], edges).astype(np.int64),
        here[by_target].astype(np.int64),
        np.searchsorted(here, edges).astype(np.int64),
        there.astype(np.int64),
    )
