"""Training under a budget of real memory: the mapper, not a profile, says what a link costs.

After every epoch weak links are pruned as under a profile. Then links come back as long as the network, routed, takes
no more elements than the budget. What to add is tried: so many random absent links at every hop distance, each trial
routed by the mapper. The distance wins whose links have been useful (the share of them that survived this pruning) for
the least memory; so the profile is learned. The hardware is homogeneous: many links cost nothing and a few cost much,
which a profile and a predictor of memory cannot see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsim.errors import TrainingError
from nsim.mapping.tiles.connectivity import Connectivity
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.memory import provisioned, tile_sizes, worst_ports
from nsim.mapping.tiles.routing import route_network
from nsim.training.routing.methods import UnitRewiring

FIRST_SHARE = 16  # a trial begins with this part of all possible links, and is halved whenever none fits


def memory_of(fabric: Fabric, links: NDArray[np.bool_]) -> int:
    """Provisioned elements of the fabric when these links are routed: bool[neurons, tiles]."""
    source, tile = np.nonzero(links)
    one_each = Connectivity.from_pairs(source, tile * fabric.neurons, fabric.capacity, "the network in training")
    return provisioned(fabric, tile_sizes(worst_ports(route_network(fabric, one_each)))).total


@dataclass(frozen=True, kw_only=True)
class MemoryAware(UnitRewiring):
    """units: links of neurons to tiles, without a profile; budget: provisioned elements of the whole fabric.

    raises   TrainingError if the budget is less than the fabric takes without any link
    """

    budget: int

    def __post_init__(self) -> None:
        least = memory_of(self.layout.fabric, np.zeros_like(self.layout.possible_links))
        if self.budget < least:
            raise TrainingError(
                f"a budget of {self.budget:,} elements is too small: without any link between tiles the fabric takes "
                f"{least:,}; give --memory of more than that"
            )

    def _added(
        self, before: NDArray[np.bool_], stays: NDArray[np.bool_], rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        return self._grown(stays, self._useful(before, stays) if before.any() else {}, rng) & ~stays

    def violated(self, mask: NDArray[np.bool_], progress: float) -> str | None:
        taken = memory_of(self.layout.fabric, self.units.units(mask))
        return f"the network takes {taken:,} elements, its budget is {self.budget:,}" if taken > self.budget else None

    def _useful(self, before: NDArray[np.bool_], stays: NDArray[np.bool_]) -> dict[int, float]:
        """By distance, the share of links that survived, as if two more had been there and one of them survived."""
        hops = self.layout.fabric.hops[self.layout.tile_of]
        return {
            d: (np.count_nonzero(stays & (hops == d)) + 1) / (np.count_nonzero(before & (hops == d)) + 2)
            for d in self.layout.fabric.distances
        }

    def _grown(self, links: NDArray[np.bool_], useful: dict[int, float], rng: np.random.Generator) -> NDArray[np.bool_]:
        """With more links, as many as the budget allows. useful: by distance; 1 for all where it is empty."""
        layout = self.layout
        hops = np.where(layout.possible_links, layout.fabric.hops[layout.tile_of], 0)
        taken = memory_of(layout.fabric, links)
        size = max(1, int(layout.possible_links.sum()) // FIRST_SHARE)
        while size:
            best: tuple[float, NDArray[np.bool_], int] | None = None
            for distance in layout.fabric.distances:
                absent = np.flatnonzero((hops == distance) & ~links)
                if not absent.size:
                    continue
                chosen = rng.choice(absent, min(size, absent.size), replace=False)
                trial = links.copy()
                trial.flat[chosen] = True
                needs = memory_of(layout.fabric, trial)
                if needs > self.budget:
                    continue
                cost = max(needs - taken, chosen.size * layout.fabric.neurons)  # at least the devices of its rows
                gain = useful.get(distance, 1.0) * chosen.size / cost
                if best is None or gain > best[0]:
                    best = gain, trial, needs
            if best is None:
                size //= 2
            else:
                _, links, taken = best
        return links
