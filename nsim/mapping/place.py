"""Which physical core holds which logical core."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nsim.chip import MeshChip
from nsim.errors import MappingError

PLACEMENTS = ("row-major", "greedy", "random")


def place(chip: MeshChip, traffic: NDArray[np.int64], method: str) -> NDArray[np.int64]:
    """Physical core of every logical core.

    traffic  int64[cores + 1, cores + 1]  messages from logical core to logical core if every neuron fires once;
                                          the last row is what the host sends in
    method   "row-major" fills cores in order; "greedy" takes the cores that exchange most with those already placed,
             each to the free place with the fewest message hops; "random" or "random:SEED" any places, what a good
             placement is measured against
    """
    cores = len(traffic) - 1
    if method == "row-major":
        return np.arange(cores)
    if method == "greedy":
        return _greedy(chip, traffic)
    name, colon, seed = method.partition(":")
    if name == "random" and (seed.isdecimal() if colon else True):
        return np.random.default_rng(int(seed or 0)).permutation(chip.cores)[:cores]
    raise MappingError(f"no placement {method!r}: choose from {', '.join(PLACEMENTS)}")


def _greedy(chip: MeshChip, traffic: NDArray[np.int64]) -> NDArray[np.int64]:
    """Starts from the host, whose place is fixed; ties go to the lower number, so the result is unique."""
    cores = len(traffic) - 1
    exchange = traffic + traffic.T
    routers = np.array([chip.router_of(core) for core in range(chip.cores + 1)])
    x, y = routers % chip.mesh.columns, routers // chip.mesh.columns
    hops = np.abs(x[:-1, None] - x[None, :-1]) + np.abs(y[:-1, None] - y[None, :-1])
    cost = exchange[:cores, cores][:, None] * (np.abs(x[:-1] - x[-1]) + np.abs(y[:-1] - y[-1]))[None, :]
    attraction = exchange[:cores, cores].copy()
    placed = np.full(cores, -1)
    free = np.ones(chip.cores, bool)
    for _ in range(cores):
        waiting = placed < 0
        core = int(np.flatnonzero(waiting)[np.argmax(attraction[waiting])])
        location = int(np.flatnonzero(free)[np.argmin(cost[core][free])])
        placed[core] = location
        free[location] = False
        attraction += exchange[:cores, core]
        cost += exchange[:cores, core][:, None] * hops[location][None, :]
    return placed
