"""Which connections exist: drawn by a profile, pruned, and drawn anew until the profile is met again.

The unit is the link of a neuron to a tile, a row of n devices, as in the published program; or the single connection,
as the text has it. Either is one boolean matrix, units[source neuron, target tile or neuron]. The target is a count by
source tile and distance, round(p_d * possible there), so that rounding is per source tile. Connections within a tile
always exist. Source: published program of Weber, Ballet, Payvand 2024, arXiv:2412.01575.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nsim.errors import TrainingError
from nsim.mapping.tiles.profile import Profile, check_profile
from nsim.training.routing.layout import Layout
from nsim.training.routing.options import GRANULARITIES

WEAKEST = 0.1  # a weight below it does not count when links are pruned, and none begins below it: published
SPREAD = 2.0  # of fresh weights, in units of the weakest: published
RMS = math.sqrt(1 + 2 * SPREAD * math.sqrt(2 / math.pi) + SPREAD**2)  # 2.86, of fresh weights in units of the weakest
STRONG_SHARE = 20 / 32  # a link stays with so many of its n weights at WEAKEST or above: published for n = 32


def fresh_weights(size: int, weakest: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """SPREAD * weakest * N(0, 1), pushed away from zero by the weakest: every |w| is at least that."""
    drawn = SPREAD * weakest * rng.standard_normal(size)
    return (drawn + np.copysign(weakest, drawn)).astype(np.float32)


@dataclass(frozen=True)
class Strength:
    """How strong weights begin: a root mean square of gain * threshold / sqrt(connections per neuron).

    gain   None: as published, no fresh weight below 0.1, and Gaussian ones of variance 1 / neurons, whatever the rest
    """

    gain: float | None = None
    threshold: float = 1.0

    def rms(self, mask: NDArray[np.bool_]) -> float:
        """Of Gaussian first weights, with these connections [neurons, neurons]."""
        if self.gain is None:
            return 1 / math.sqrt(len(mask))
        return self.gain * self.threshold / math.sqrt(max(1.0, mask.sum() / len(mask)))

    def weakest(self, mask: NDArray[np.bool_]) -> float:
        """The size below which a weight counts as weak, and with which `fresh_weights` have the root mean square."""
        return WEAKEST if self.gain is None else self.rms(mask) / RMS


@dataclass(frozen=True)
class Units:
    """Links or connections of a layout as units that are drawn and pruned; `profile` gives their target counts."""

    layout: Layout
    granularity: str
    profile: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        if self.granularity not in GRANULARITIES:
            raise TrainingError(f"no granularity {self.granularity!r}: choose from {', '.join(GRANULARITIES)}")
        check_profile(self.layout.fabric, dict(self.profile))

    @cached_property
    def group(self) -> NDArray[np.int64]:
        """Source tile and distance of every unit as one number, -1 where none is possible (or it always exists)."""
        layout, hops = self.layout, self.layout.fabric.hops
        distance = layout.distance if self.granularity == "neuron" else hops[layout.tile_of]
        possible = layout.possible if self.granularity == "neuron" else layout.possible_links
        group = layout.tile_of[:, None] * (hops.max() + 1) + distance
        return np.where(possible & (distance > 0), group, -1)

    @cached_property
    def targets(self) -> dict[int, int]:
        """How many units of each group shall exist."""
        layout, n = self.layout, self.layout.fabric.neurons
        hops, per_tile = layout.fabric.hops, n * n if self.granularity == "neuron" else n
        wanted = {}
        for tile in range(layout.fabric.tiles):
            for distance, share in self.profile:
                group = tile * (int(hops.max()) + 1) + distance
                there = int(np.count_nonzero(hops[tile] == distance))
                if there:
                    most = int(np.count_nonzero(self.group == group))
                    wanted[group] = min(round(share * per_tile * there), most)
        return wanted

    def fill(self, units: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
        """The units to add, at random in every group, until all targets are met."""
        added = np.zeros_like(units)
        flat_group, flat_units, flat_added = self.group.ravel(), units.ravel(), added.ravel()
        for group, wanted in self.targets.items():
            places = np.flatnonzero(flat_group == group)
            absent = places[~flat_units[places]]
            deficit = wanted - (places.size - absent.size)
            if deficit > 0:
                flat_added[rng.choice(absent, deficit, replace=False)] = True
        return added

    def weak(self, units: NDArray[np.bool_], weights: NDArray[np.float32], weakest: float) -> NDArray[np.bool_]:
        """The units to prune: too few of their weights are strong. Those into output tiles are protected."""
        layout, strong = self.layout, np.abs(weights) >= weakest
        if self.granularity == "neuron":
            return units & ~strong & ~layout.into_output[layout.tile_of]
        possible = layout.by_tile(layout.possible)
        enough = round(STRONG_SHARE * layout.fabric.neurons)
        return (
            units
            & (layout.by_tile(strong & layout.possible).sum(axis=2) < np.minimum(enough, possible.sum(axis=2)))
            & ~layout.into_output
        )

    def connections(self, units: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """All connections that exist with these units, those within tiles included: bool[neurons, neurons]."""
        if self.granularity == "tile":
            return self.layout.connections_of(units)
        return (units | (self.layout.distance == 0)) & self.layout.possible

    def units(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The units that have connections."""
        found = mask if self.granularity == "neuron" else self.layout.by_tile(mask).any(axis=2)
        return found & (self.group >= 0)

    def unmet(self, mask: NDArray[np.bool_]) -> str | None:
        """What of the target does not hold: source tile, distance and both counts."""
        present = self.units(mask)
        width = int(self.layout.fabric.hops.max()) + 1
        counts = np.bincount(self.group[present], minlength=width * self.layout.fabric.tiles)
        for group, count in enumerate(counts.tolist()):
            if count != (wanted := self.targets.get(group, 0)):
                return f"tile {group // width} has {count} units at distance {group % width}, its profile says {wanted}"
        return None


def profile_connections(layout: Layout, profile: Profile) -> int:
    """Connections that a network of this profile has, links being neuron to tile."""
    units = Units(layout, "tile", tuple(sorted(profile.items())))
    drawn = units.fill(np.zeros_like(layout.possible_links), np.random.default_rng(0))
    return int(units.connections(drawn).sum())
