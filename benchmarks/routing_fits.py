"""Whether trained networks fit a fabric: the shipped chip's, and one sized for their profile before any training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import changed
from nsim.chip.file import load_chip
from nsim.chip.tiles import MosaicChip
from nsim.mapping.tiles.connectivity import Connectivity
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.mapping import map_on_tiles, mosaic
from nsim.mapping.tiles.memory import provisioned, tile_sizes, worst_ports
from nsim.mapping.tiles.profile import parse_profile, random_network
from nsim.mapping.tiles.routing import Routing, route_network
from nsim.training.routing.sweep import Run

PROBABILITY = 0.95  # with which a random network of a profile shall fit the fabric that is sized for it
NETWORKS = 1_000  # random ones that it is sized by
KINDS = ("neuron_tile", "r1", "r0")
PORTS = ("in_north_south", "in_east_west", "out_north_south", "out_east_west")
ROUTES = ("published", "fitting")


@dataclass(frozen=True)
class Fits:
    """None where there is no profile to size a fabric for."""

    fits_shipped: bool
    fits_shipped_by_fitting_routes: bool
    fits_sized: bool | None
    fits_sized_by_fitting_routes: bool | None


def widest(routing: Routing) -> NDArray[np.int64]:
    """Most lines by kind of tile and as the chip file counts ports, opposite sides alike: int64[3, 4]."""
    by_side = worst_ports(routing).reshape(3, 2, 2, 2)  # kind; in, out; N or S, E or W in this order: N, E, S, W
    return by_side.max(axis=2).reshape(3, 4)


def drawn(fabric: Fabric, profile: str, networks: int, seed: int) -> list[Routing]:
    """Random networks of a profile, routed as published."""
    rng = np.random.default_rng(seed)
    return [route_network(fabric, random_network(fabric, parse_profile(profile), rng)) for _ in range(networks)]


@lru_cache(maxsize=64)
def sized_for(fabric: Fabric, profile: str) -> MosaicChip:
    """The shipped chip with ports just wide enough for random networks of this profile, with PROBABILITY.

    All ports are as wide as the same quantile of what they need: the least one with which so many networks fit whole.
    """
    needed = np.array([widest(routing) for routing in drawn(fabric, profile, NETWORKS, seed=0)])
    lines = needed.max(axis=0)
    for quantile in np.linspace(PROBABILITY, 1, 101):
        narrow = np.quantile(needed, quantile, axis=0, method="higher")
        if (needed <= narrow).all(axis=(1, 2)).mean() >= PROBABILITY:
            lines = narrow
            break
    return with_lines(lines)


def with_lines(lines: NDArray[np.int64]) -> MosaicChip:
    """The shipped chip with ports of these lines, int64[3, 4]."""
    values = {f"ports.{kind}.{port}": int(lines[i, k]) for i, kind in enumerate(KINDS) for k, port in enumerate(PORTS)}
    return mosaic(changed(load_chip("mosaic"), values))


def fits(fabric: Fabric, network: Connectivity, chip: MosaicChip, routes: str) -> bool:
    return map_on_tiles(network, chip, fabric, routes=routes).mappable


def fits_of(run: Run) -> Fits:
    """Of a trained network; the fabric sized for a profile is that of the run, whatever its method."""
    fabric = run.settings.fabric
    with np.load(run.folder / "weights.npz") as stored:
        network = Connectivity.from_matrix(stored["weights"], run.folder.name)
    chips = [mosaic(load_chip("mosaic"))] + ([sized_for(fabric, run.profile)] if run.profile else [])
    found = [fits(fabric, network, chip, routes) for chip in chips for routes in ROUTES]
    return Fits(found[0], found[1], *(found[2:] or (None, None)))


@lru_cache(maxsize=8)
def budget_of(fabric: Fabric, profile: str) -> int:
    """Provisioned elements that random networks of this profile take, mean of 100, in whole thousands."""
    taken = [provisioned(fabric, tile_sizes(worst_ports(each))).total for each in drawn(fabric, profile, 100, seed=1)]
    return 1_000 * round(float(np.mean(taken)) / 1_000)
