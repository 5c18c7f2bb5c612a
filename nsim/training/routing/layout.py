"""Where input and output of the recurrent network lie on the tiles, and which of its weights can exist.

One matrix weights[source, target] holds everything. The diagonal blocks of the first tiles are input weights: input i
reaches the neurons of tile i // n, and those tiles have no recurrence of their own. The last neurons are the output and
have no recurrence among themselves. Source: published program of Weber, Ballet, Payvand 2024, arXiv:2412.01575.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nsim.errors import TrainingError
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.profile import Profile


@dataclass(frozen=True)
class Layout:
    """A recurrent network that fills a fabric.

    raises   TrainingError if input tiles and output neurons do not find room, or the input fills no whole tiles
    """

    fabric: Fabric
    inputs: int
    outputs: int

    def __post_init__(self) -> None:
        n, fabric = self.fabric.neurons, self.fabric
        if self.inputs < 1 or self.inputs % n:
            raise TrainingError(
                f"{self.inputs} inputs do not fill tiles of {n} neurons: give --inputs a multiple of {n}"
            )
        needed = self.inputs // n + self.output_tiles
        if needed > fabric.tiles:
            raise TrainingError(
                f"{self.inputs} inputs and {self.outputs} outputs take {self.inputs // n} and {self.output_tiles} "
                f"tiles of {n} neurons, but a grid of {fabric.rows}x{fabric.columns} has {fabric.tiles}: give a larger "
                "--grid, more --neurons-per-tile or fewer --inputs"
            )

    @property
    def neurons(self) -> int:
        return self.fabric.capacity

    @property
    def input_tiles(self) -> int:
        return self.inputs // self.fabric.neurons

    @property
    def output_tiles(self) -> int:
        return -(-self.outputs // self.fabric.neurons)

    @cached_property
    def tile_of(self) -> NDArray[np.int64]:
        return np.arange(self.neurons) // self.fabric.neurons

    @cached_property
    def distance(self) -> NDArray[np.int64]:
        """Hops from source to target neuron: int64[neurons, neurons]."""
        return self.fabric.hops[np.ix_(self.tile_of, self.tile_of)]

    @cached_property
    def is_input_weight(self) -> NDArray[np.bool_]:
        first = np.arange(self.neurons) < self.inputs
        return (self.distance == 0) & first[:, None]

    @cached_property
    def possible(self) -> NDArray[np.bool_]:
        """Weights that can exist: all but those among the outputs. bool[neurons, neurons]."""
        possible = np.ones((self.neurons, self.neurons), bool)
        possible[-self.outputs :, -self.outputs :] = False
        return possible

    @cached_property
    def recurrent(self) -> NDArray[np.bool_]:
        """Possible weights that are no input weights."""
        return self.possible & ~self.is_input_weight

    @cached_property
    def possible_links(self) -> NDArray[np.bool_]:
        """Neuron to other tile, if at least one of its weights is possible: bool[neurons, tiles]."""
        other = self.tile_of[:, None] != np.arange(self.fabric.tiles)
        return self.by_tile(self.possible).any(axis=2) & other

    @cached_property
    def into_output(self) -> NDArray[np.bool_]:
        """bool[tiles]: those that hold output neurons."""
        return np.arange(self.fabric.tiles) >= self.fabric.tiles - self.output_tiles

    def by_tile(self, matrix: NDArray) -> NDArray:
        """matrix[source, target] seen as [source, target tile, neuron in the tile]."""
        return matrix.reshape(self.neurons, self.fabric.tiles, self.fabric.neurons)

    def connections_of(self, links: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """All possible weights of these links, and those within tiles: bool[neurons, neurons]."""
        return (np.repeat(links, self.fabric.neurons, axis=1) | (self.distance == 0)) & self.possible

    def profile_of(self, mask: NDArray[np.bool_], links: bool) -> Profile:
        """p_d of what exists, of the links (neuron to tile) or of the connections, by hop distance."""
        present: NDArray = mask & (self.distance > 0)
        distance: NDArray = self.distance
        if links:
            present = np.any(self.by_tile(present), axis=2)
            distance = self.fabric.hops[self.tile_of]
        there, all_of_them = (np.bincount(x.ravel(), minlength=1) for x in (distance[present], distance))
        there = np.pad(there, (0, all_of_them.size - there.size))
        return {d: float(there[d] / all_of_them[d]) for d in self.fabric.distances}
