"""Profiles: the share of the possible connections at each hop distance that exist, and random networks of a profile."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError, check_fits
from nsim.mapping.tiles.connectivity import Connectivity
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.routing import find_links
from nsim.network.assignments import parse_assignments

Profile = dict[int, float]


def link_profile(fabric: Fabric, connectivity: Connectivity, tile_of: NDArray[np.int64]) -> Profile:
    """p_d by hop distance: links (neuron to tile, a row of devices) that exist, of those possible between used tiles.

    This is the unit of the published program: a row is there if any of its devices is.
    """
    links = find_links(connectivity, tile_of, fabric.tiles)
    present = np.bincount(fabric.hops[tile_of[links.sources], links.tile], minlength=fabric.hops.max() + 1)
    held = np.bincount(tile_of, minlength=fabric.tiles)
    return _shares(fabric, present, held, held > 0)


def connection_profile(fabric: Fabric, connectivity: Connectivity, tile_of: NDArray[np.int64]) -> Profile:
    """p_d by hop distance from 0: connections (neuron to neuron) that exist, of those possible."""
    distance = fabric.hops[tile_of[connectivity.sources], tile_of[connectivity.targets]]
    present = np.bincount(distance, minlength=fabric.hops.max() + 1)
    held = np.bincount(tile_of, minlength=fabric.tiles)
    return _shares(fabric, present, held, held, within=True)


def _shares(
    fabric: Fabric, present: NDArray, held: NDArray, reached: NDArray, within: bool = False
) -> dict[int, float]:
    possible = np.bincount(fabric.hops.ravel(), np.outer(held, reached).ravel())
    distances = ([0] if within else []) + fabric.distances
    return {d: float(present[d] / possible[d]) for d in distances if possible[d]}


def parse_profile(text: str) -> Profile:
    """The profile of a text such as "p1=0.95,p3=0.1".

    raises   NetworkError for anything else
    """
    try:
        given = parse_assignments(text)
    except ValueError as error:
        raise NetworkError(f"random network: {error}, as in random:p1=0.95,p3=0.1") from None
    profile = {}
    for name, value in given.items():
        if not re.fullmatch(r"p\d{1,4}", name):
            raise NetworkError(
                f"a random network has no option {name!r}: give p and a hop distance, as in p1=0.95,p3=0.1"
            )
        try:
            profile[int(name[1:])] = float(value)
        except ValueError:
            raise NetworkError(f"option {name} of the random network is {value!r}: expected a number") from None
    if len(profile) < len(given):
        raise NetworkError(f"random network: a hop distance is given twice in {text!r}: give it once")
    return profile


def check_profile(fabric: Fabric, profile: Profile) -> None:
    """Refuse shares outside [0, 1] and hop distances that no two tiles of the grid have."""
    for distance, share in profile.items():
        if distance == 0:
            raise NetworkError("p0 is no option, within a tile every neuron is connected to every other: leave it out")
        if distance not in fabric.distances:
            raise NetworkError(
                f"no two tiles of a grid of {fabric.rows}x{fabric.columns} are {distance} hops apart (p{distance}): "
                f"there are {', '.join(map(str, fabric.distances)) or 'no distances, with one tile'}"
            )
        if not 0 <= share <= 1:  # NaN too
            raise NetworkError(f"p{distance} is {share}: give a share of the possible connections, 0 to 1")


def random_network(fabric: Fabric, profile: Profile, rng: np.random.Generator) -> Connectivity:
    """A network of this profile on all neurons of the fabric; distances that are not given have no connections.

    As the published program draws it: tiles are all to all within themselves. From each tile, of its possible links to
    the tiles at distance d round(p_d * n * tiles there) are drawn without replacement; a link reaches all n neurons of
    its tile. Rounding per source tile makes p_3 = 0.10 on 5x5 tiles of 32 a 0.098.
    raises   NetworkError for a profile that does not exist
    """
    check_profile(fabric, profile)
    n = fabric.neurons
    possible = np.bincount(fabric.hops.ravel())
    links = fabric.capacity + round(n * sum(share * int(possible[d]) for d, share in profile.items()))
    needed = fabric.capacity * fabric.tiles + 24 * n * links  # targets as int32, and twice as int64 on the way
    check_fits(needed, "the connections of the random network", "take fewer tiles or a sparser profile", NetworkError)
    linked = np.zeros((fabric.tiles, n, fabric.tiles), bool)
    for source in range(fabric.tiles):
        linked[source, :, source] = True
        for distance, share in profile.items():
            there = np.flatnonzero(fabric.hops[source] == distance)
            drawn = rng.choice(n * there.size, round(share * n * there.size), replace=False)
            linked[source, drawn // max(there.size, 1), there[drawn % max(there.size, 1)]] = True
    rows = linked.reshape(-1, fabric.tiles)
    targets = (np.nonzero(rows)[1][:, None] * n + np.arange(n)).astype(np.int32).ravel()
    indptr = np.concatenate(([0], np.cumsum(rows.sum(axis=1) * n)))
    shown = ",".join(f"p{d}={share:g}" for d, share in sorted(profile.items()))
    return Connectivity(f"random:{shown}", indptr, targets)
