"""Which physical core holds which logical core."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nsim.chip.timesteps import BarrierChip
from nsim.errors import MappingError
from nsim.mapping.cores.chips import nearest_places, place_by_chip

PLACEMENTS = ("row-major", "greedy", "random", "chips")
BY_TRAFFIC = ("greedy", "chips")  # those that look at the messages between cores


def place(chip: BarrierChip, traffic: NDArray[np.int64], method: str) -> NDArray[np.int64]:
    """Physical core of every logical core.

    traffic  int64[cores + 1, cores + 1]  messages from logical core to logical core if every neuron fires once;
                                          the last row is what the host sends in
    method   one of `place_unseen`; "greedy" takes the cores that exchange most with those already placed,
             each to the free place with the fewest message hops; "chips" keeps on one chip of a board what exchanges
             most, and fills each in order
    """
    if method == "greedy":
        return _greedy(chip, traffic)
    if method == "chips":
        return place_by_chip(chip, traffic)
    return place_unseen(chip, len(traffic) - 1, method)


def place_unseen(chip: BarrierChip, cores: int, method: str) -> NDArray[np.int64]:
    """Physical core of so many logical cores, whatever the traffic between them.

    method   "row-major" fills cores in order; "random" or "random:SEED" any places, what a good placement is measured
             against
    """
    if method == "row-major":
        return np.arange(cores)
    name, colon, seed = method.partition(":")
    if name == "random" and (seed.isdecimal() if colon else True):
        return np.random.default_rng(int(seed or 0)).permutation(chip.cores)[:cores]
    raise MappingError(f"no placement {method!r}: choose from {', '.join(PLACEMENTS)}")


def check_placement(chip: BarrierChip, placement: Sequence[int], cores: int) -> NDArray[np.int64]:
    """Physical cores that somebody chose, as an array.

    cores    how many logical cores there are
    raises   MappingError unless each has one of the chip, and no two the same
    """
    location = np.array(placement, np.int64)
    if location.size != cores:
        raise MappingError(f"the placement names {location.size} physical cores for {cores} logical ones: name each")
    for core in location.tolist():
        if not 0 <= core < chip.cores:
            raise MappingError(
                f"the placement names core {core}, but chip {chip.name!r} has cores 0 to {chip.cores - 1}"
            )
    numbers, times = np.unique(location, return_counts=True)
    if (times > 1).any():
        raise MappingError(
            f"the placement names core {numbers[times.argmax()]} {times.max()} times: give each at most once"
        )
    return location


def _greedy(chip: BarrierChip, traffic: NDArray[np.int64]) -> NDArray[np.int64]:
    routers = chip.core_routers
    return nearest_places(traffic + traffic.T, routers % chip.columns, routers // chip.columns)
