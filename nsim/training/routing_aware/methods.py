"""The methods of training, with one interface: how connections begin, change after an epoch or step, and what holds.

dense          all connections, always
l1             no routing awareness: l1 by soft thresholding, and the weakest connections go until the count is met
hop-penalty    weights are penalised the more hops they cross: published baseline of the Mosaic
deepr          Deep Rewiring: signs fixed, noise, l1; who would change sign becomes dormant, another one is drawn
deepr-global   weak connections go after every epoch, others are drawn anywhere: one sparsity
deepr-profile  the same per hop distance, so that the profile is met exactly after every epoch
memory-aware   links come back as far as the routed network's real memory allows; the profile is learned (ours)
Sources: Weber, Ballet, Payvand 2024, arXiv:2412.01575 (algorithms 1 and 2); Bellec et al. 2018, arXiv:1711.05136.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import TrainingError
from nsim.training.routing_aware.layout import Layout
from nsim.training.routing_aware.links import WEAKEST, Units, fresh_weights, profile_connections

HOP_STEEPNESS, HOP_CAP = 8.0, 15.0  # the penalty is exp(min(8 H, 15)) - 1: published


@dataclass(frozen=True)
class Rules:
    """What a method does within a training step.

    l1           soft threshold after every step, in learning rates
    noise        standard deviation of what is added to active weights in every step, in learning rates
    fixed_signs  a weight that would change its sign becomes 0
    hop_weight   of the penalty mean((min(exp(8 H), e^15) - 1) * w^2)
    weight_noise Gaussian, of so much of the largest weight, on weights that are not 0; gradient straight through
    zero_below   weights below it become 0 after every step (published: from step 10 on); clip_sigma: clipped at so many
                 standard deviations
    every_step   `rewire` is called after every step, not every epoch
    """

    l1: float = 0.0
    noise: float = 0.0
    fixed_signs: bool = False
    hop_weight: float = 0.0
    weight_noise: float = 0.0
    zero_below: float = 0.0
    clip_sigma: float | None = None
    every_step: bool = False


@dataclass(frozen=True)
class Rewired:
    """Weights and mask after a rewiring; `fresh` are connections drawn just now, even if they existed before."""

    weights: NDArray[np.float32]
    mask: NDArray[np.bool_]
    fresh: NDArray[np.bool_]


@dataclass(frozen=True)
class Method:
    """Dense: everything exists, and stays. The base of the others."""

    layout: Layout
    rules: Rules = field(default_factory=Rules)

    def begin(self, rng: np.random.Generator) -> Rewired:
        """Gaussian weights of variance 1 / fan-in: dense networks begin where single inputs are weak (assumed)."""
        mask = self.layout.possible
        weights = rng.standard_normal(mask.shape) / np.sqrt(self.layout.neurons) * mask
        return Rewired(weights.astype(np.float32), mask.copy(), np.zeros_like(mask))

    def rewire(
        self, weights: NDArray[np.float32], mask: NDArray[np.bool_], progress: float, rng: np.random.Generator
    ) -> Rewired:
        """After an epoch; progress is the share of all epochs that are done."""
        return Rewired(weights, mask, np.zeros_like(mask))

    def violated(self, mask: NDArray[np.bool_], progress: float) -> str | None:
        """What of the constraint does not hold, None if all does."""
        return None


@dataclass(frozen=True)
class Weakest(Method):
    """The weakest connections go for good, evenly over the first half of the epochs, until `connections` are left."""

    connections: int = 0

    def _allowed(self, progress: float) -> int:
        every = int(self.layout.possible.sum())
        return every - round((every - self.connections) * min(1.0, 2 * progress))

    def rewire(self, weights, mask, progress, rng):
        left = self._allowed(progress)
        if mask.sum() > left:
            strength = np.where(mask, np.abs(weights), -1.0).ravel()
            kept = np.zeros(mask.size, bool)
            kept[np.argsort(-strength, kind="stable")[:left]] = True
            mask = kept.reshape(mask.shape)
        return Rewired(weights * mask, mask, np.zeros_like(mask))

    def violated(self, mask, progress):
        count, most = int(mask.sum()), self._allowed(progress)
        return f"there are {count:,} connections, {most:,} are allowed" if count > most else None


@dataclass(frozen=True)
class DeepRewiring(Method):
    """Algorithm 1, or with fixed signs the original: a constant count, drawn anywhere."""

    connections: int = 0

    def begin(self, rng):
        mask = self._drawn(np.zeros_like(self.layout.possible), rng)
        weights = np.zeros(mask.shape, np.float32)
        weights[mask] = fresh_weights(int(mask.sum()), rng)
        return Rewired(weights, mask, mask.copy())

    def _drawn(self, mask, rng):
        absent = np.flatnonzero(~mask.ravel() & self.layout.possible.ravel())
        added = np.zeros(mask.size, bool)
        added[rng.choice(absent, self.connections - int(mask.sum()), replace=False)] = True
        return added.reshape(mask.shape)

    def rewire(self, weights, mask, progress, rng):
        stays = mask & ((weights != 0) if self.rules.fixed_signs else (np.abs(weights) >= WEAKEST))
        added = self._drawn(stays, rng)
        weights = weights * stays
        if self.rules.fixed_signs:  # theta = 1e-12 and a sign of its own, drawn here when the connection wakes
            weights[added] = np.where(rng.random(int(added.sum())) < 0.5, -1e-12, 1e-12)
        else:
            weights[added] = fresh_weights(int(added.sum()), rng)
        return Rewired(weights, stays | added, added)

    def violated(self, mask, progress):
        count = int(mask.sum())
        return None if count == self.connections else f"there are {count:,} connections, not {self.connections:,}"


@dataclass(frozen=True)
class ProfileRewiring(Method):
    """Algorithm 2: units are pruned where weak, and drawn anew at the same source tile and distance."""

    units: Units | None = None

    @property
    def _units(self) -> Units:
        assert self.units is not None
        return self.units

    def begin(self, rng):
        units = self._units.fill(np.zeros_like(self._units.group, bool), rng)
        mask = self._units.connections(units)
        weights = np.zeros(mask.shape, np.float32)
        weights[mask] = fresh_weights(int(mask.sum()), rng)
        return Rewired(weights, mask, mask.copy())

    def rewire(self, weights, mask, progress, rng):
        before = self._units.units(mask)
        stays = before & ~self._units.weak(before, weights)
        added = self._units.fill(stays, rng)
        after = self._units.connections(stays | added)
        fresh = self._units.connections(added) & (self.layout.distance > 0)
        weights = weights * after
        weights[fresh] = fresh_weights(int(fresh.sum()), rng)
        return Rewired(weights, after, fresh)

    def violated(self, mask, progress):
        return self._units.unmet(mask)


NAMES = ("dense", "l1", "hop-penalty", "deepr", "deepr-global", "deepr-profile", "memory-aware")


def check_name(name: str) -> None:
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise TrainingError(f"no method {name!r}: {hint}there are {', '.join(NAMES)}")


@dataclass(frozen=True)
class Choice:
    """What a user chooses of a method; None: its default (published where it was published)."""

    name: str
    profile: tuple[tuple[int, float], ...] = ()
    connections: int | None = None
    granularity: str = "tile"
    l1: float | None = None
    noise: float | None = None
    hop_weight: float = 0.1
    memory: int | None = None  # budget of provisioned elements, for memory-aware


def make_method(layout: Layout, choice: Choice) -> Method:
    """The method of this choice.

    raises   TrainingError for an unknown name, or without a profile or count where the method needs one
    """
    check_name(choice.name)
    given: dict[str, Any] = {k: v for k, v in (("l1", choice.l1), ("noise", choice.noise)) if v is not None}
    if choice.name == "deepr-profile":
        if not choice.profile:
            raise TrainingError("deepr-profile trains under a profile, and none is given: add --profile p1=0.95,p3=0.1")
        units = Units(layout, choice.granularity, choice.profile)
        return ProfileRewiring(layout, Rules(**given), units)
    if choice.name == "memory-aware":
        from nsim.training.routing_aware.memory_aware import MemoryAware  # it builds on this module

        if choice.memory is None:
            raise TrainingError("memory-aware trains under a budget, and none is given: add --memory ELEMENTS")
        return MemoryAware(layout, Rules(**given), Units(layout, "tile", ()), choice.memory)
    if choice.name == "dense":
        return Method(layout, Rules(**given))
    if choice.name == "hop-penalty":
        published: dict[str, Any] = {
            "hop_weight": choice.hop_weight,
            "weight_noise": 0.05,
            "zero_below": 5e-4,
            "clip_sigma": 2.5,
        }
        return Method(layout, Rules(**published | given))
    connections = _count(layout, choice)
    if choice.name == "l1":
        return Weakest(layout, Rules(**{"l1": 0.05} | given), connections)  # in learning rates: assumed
    if choice.name == "deepr":
        original: dict[str, Any] = {"l1": 1e-5, "noise": 1e-5, "fixed_signs": True, "every_step": True}
        return DeepRewiring(layout, Rules(**original | given), connections)
    return DeepRewiring(layout, Rules(**given), connections)


def _count(layout: Layout, choice: Choice) -> int:
    """Connections to keep, given as such or as many as the profile has."""
    every = int(layout.possible.sum())
    if choice.connections is None:
        if not choice.profile:
            raise TrainingError(
                f"{choice.name} needs a count: give --connections up to {every:,}, or --profile for as many as it has"
            )
        return profile_connections(layout, dict(choice.profile))
    if not 1 <= choice.connections <= every:
        raise TrainingError(f"{choice.connections:,} connections do not fit: give --connections 1 to {every:,}")
    return choice.connections
