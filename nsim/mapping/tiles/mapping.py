"""A recurrent network on the Mosaic chip: whether it fits, which ports are too narrow, and how much memory it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import Chip
from nsim.chip.tiles import MosaicChip
from nsim.errors import MappingError
from nsim.mapping.tiles.balance import balance_routes
from nsim.mapping.tiles.connectivity import Connectivity
from nsim.mapping.tiles.fabric import NT, R0, R1, Fabric
from nsim.mapping.tiles.memory import Memory, TileSizes, programmed, provisioned, tile_sizes, worst_ports
from nsim.mapping.tiles.place import anneal_placement
from nsim.mapping.tiles.predictor import Prediction, predict
from nsim.mapping.tiles.profile import Profile, connection_profile, link_profile
from nsim.mapping.tiles.read import ForTiles, TileNetwork, for_tiles
from nsim.mapping.tiles.routing import Routing, Violation, home_tiles, route_network
from nsim.network.brief import Brief

PLACEMENTS = ("index", "annealed")
ROUTES = ("published", "balanced", "fitting")


@dataclass(frozen=True, eq=False, repr=False)
class MosaicMapping(Brief):
    """A routed network. `kept_index`: annealing was asked for, but found nothing better than tile q // n."""

    chip: MosaicChip
    fabric: Fabric
    network: TileNetwork
    routing: Routing
    place: str
    routes: str
    seed: int
    kept_index: bool

    @property
    def connectivity(self) -> Connectivity:
        return self.network.connectivity

    @property
    def title(self) -> str:
        fabric = self.fabric
        size = f"{fabric.rows}x{fabric.columns} tiles of {fabric.neurons}"
        return f"{self.connectivity.name} on {self.chip.title}, {size}"

    @cached_property
    def capacities(self) -> NDArray[np.int64]:
        return self.fabric.capacities(self.chip)

    @cached_property
    def violations(self) -> list[Violation]:
        return self.routing.violations(self.capacities)

    @property
    def mappable(self) -> bool:
        return not self.violations

    @property
    def excess_lines(self) -> int:
        """Lines beyond the capacity of their port, over all ports."""
        return sum(each.used - each.capacity for each in self.violations)

    @cached_property
    def sizes(self) -> TileSizes:
        return tile_sizes(worst_ports(self.routing))

    @cached_property
    def provisioned(self) -> Memory:
        return provisioned(self.fabric, self.sizes)

    @cached_property
    def programmed(self) -> Memory:
        return programmed(self.routing, self.connectivity)

    @cached_property
    def link_profile(self) -> Profile:
        return link_profile(self.fabric, self.connectivity, self.routing.tile_of)

    @cached_property
    def connection_profile(self) -> Profile:
        return connection_profile(self.fabric, self.connectivity, self.routing.tile_of)

    @cached_property
    def prediction(self) -> Prediction:
        """What the proxy says of networks of this profile with published routes."""
        return predict(self.fabric, self.link_profile)

    @cached_property
    def events(self) -> dict[str, int]:
        """What happens if every neuron fires once: rows read, the own tile's included, and routers crossed by kind."""
        crossed = self.routing.crossings
        rows = int(crossed[NT]) + self.connectivity.neurons
        return {"row_read": rows, "r1_crossing": int(crossed[R1]), "r0_crossing": int(crossed[R0])}

    @property
    def energy_fj(self) -> float | None:
        """Energy of these events, None if the chip file does not say what all of them cost."""
        costs = {name: action.energy_fj for name, action in self.chip.actions}
        if any(costs[name] is None for name, count in self.events.items() if count):
            return None
        return sum(count * (costs[name] or 0) for name, count in self.events.items())

    @property
    def longest_route_hops(self) -> int:
        links = self.routing.links
        return int(self.fabric.hops[self.routing.tile_of[links.sources], links.tile].max(initial=0))

    @property
    def longest_route_ps(self) -> int | None:
        """From a spike to its row at the far end of the longest route, None if a latency is unknown."""
        hops = self.longest_route_hops
        passed = {
            "row_read": 1,
            "r1_crossing": (hops + 1) // 2,
            "r0_crossing": hops // 2,
        }  # a route begins and ends in R1
        costs = {name: action.latency_ps for name, action in self.chip.actions}
        if any(costs[name] is None for name, count in passed.items() if count):
            return None
        return sum(count * (costs[name] or 0) for name, count in passed.items())


def mosaic(chip: Chip) -> MosaicChip:
    """The chip again, if it has neuron tiles to map on; else MappingError."""
    if not isinstance(chip, MosaicChip):
        raise MappingError(
            f"chip {chip.name!r} has no neuron tiles to map on: give --chip mosaic, or simulate with nsim run"
        )
    return chip


def fabric_of(chip: MosaicChip, grid: tuple[int, int] | None = None, neurons_per_tile: int | None = None) -> Fabric:
    """The chip's fabric, or another size of it; MappingError for a size that is none."""
    rows, columns = grid or (chip.grid.rows, chip.grid.columns)
    return Fabric(rows, columns, chip.grid.neurons_per_tile if neurons_per_tile is None else neurons_per_tile)


def parse_grid(text: str) -> tuple[int, int]:
    """Rows and columns of a text such as "5x5"."""
    rows, times, columns = text.lower().partition("x")
    if not (times and rows.strip().isdecimal() and columns.strip().isdecimal() and len(text) < 12):
        raise MappingError(f"grid is {text!r}: give rows x columns of neuron tiles, as in 5x5")
    return int(rows), int(columns)


def check_options(place: str, routes: str, seed: int) -> None:
    if place not in PLACEMENTS:
        raise MappingError(f"no placement {place!r}: choose from {', '.join(PLACEMENTS)}")
    if routes not in ROUTES:
        raise MappingError(f"no routes {routes!r}: choose from {', '.join(ROUTES)}")
    if seed < 0:
        raise MappingError(f"seed is {seed}: give 0 or more")


def map_tiles(
    network: ForTiles,
    chip: MosaicChip,
    grid: str | tuple[int, int] | None = None,
    neurons_per_tile: int | None = None,
    place: str = "index",
    routes: str = "published",
    seed: int = 0,
) -> MosaicMapping:
    """The part of `nsim.map_network` that is for chips of tiles.

    raises   MappingError for an unknown option or more neurons than the tiles hold, NetworkError
    """
    check_options(place, routes, seed)
    fabric = fabric_of(chip, parse_grid(grid) if isinstance(grid, str) else grid, neurons_per_tile)
    return map_on_tiles(for_tiles(network, fabric, np.random.default_rng(seed)), chip, fabric, place, routes, seed)


def map_on_tiles(
    network: TileNetwork | Connectivity,
    chip: MosaicChip,
    fabric: Fabric,
    place: str = "index",
    routes: str = "published",
    seed: int = 0,
) -> MosaicMapping:
    """Place and route a network.

    place    "index": neuron q in tile q // n, as published; "annealed": searched, and kept if it is better
    routes   "published": one-turn routes, x first; "balanced": among equal ones, for least memory; "fitting": among
             equal ones, for as few lines as possible beyond what the ports have; neither is worse than "published"
    raises   MappingError for an unknown option or more neurons than the tiles hold
    """
    check_options(place, routes, seed)
    network = TileNetwork.bare(network) if isinstance(network, Connectivity) else network
    connectivity = network.connectivity
    home = home_tiles(fabric, connectivity.neurons, connectivity.name)

    def mapped(tile_of: NDArray[np.int64], kept_index: bool) -> MosaicMapping:
        published = route_network(fabric, connectivity, tile_of)
        found = [MosaicMapping(chip, fabric, network, published, place, routes, seed, kept_index)]
        if routes != "published":
            limit = fabric.capacities(chip) if routes == "fitting" else None
            balanced = balance_routes(published, np.random.default_rng(seed), limit)
            found.append(replace(found[0], routing=balanced))
        return min(found, key=_cost)

    index = mapped(home, place == "annealed")
    if place == "index":
        return index
    annealed = mapped(anneal_placement(fabric, connectivity, np.random.default_rng(seed)), False)
    return annealed if _cost(annealed) < _cost(index) else index


def _cost(mapping: MosaicMapping) -> tuple[int, int]:
    """What "better" means: with fitting routes, lines beyond capacity first; else memory alone."""
    return mapping.excess_lines if mapping.routes == "fitting" else 0, mapping.provisioned.total
