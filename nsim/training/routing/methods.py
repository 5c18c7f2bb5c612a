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

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from nsim.training.routing.layout import Layout
from nsim.training.routing.links import Strength, Units, fresh_weights

HOP_STEEPNESS, HOP_CAP = 8.0, 15.0  # the penalty is exp(min(8 H, 15)) - 1: published


@dataclass(frozen=True)
class Rules:
    """What a method does within a training step.

    l1           soft threshold after every step, in learning rates
    l1_total     the same over all steps, in equal parts
    noise        standard deviation of what is added to active weights in every step, in learning rates
    fixed_signs  a weight that would change its sign becomes 0
    hop_weight   of the penalty mean((min(exp(8 H), e^15) - 1) * w^2)
    weight_noise Gaussian, of so much of the largest weight, on weights that are not 0; gradient straight through
    zero_below   weights below it become 0 after every step (published: from step 10 on)
    zero_steps   likewise, in learning rates. Adam's step is about one: what is 0 comes back if that is larger
    clip_sigma   clipped at so many standard deviations; clip_live: of the weights that are not 0 only
    every_step   `rewire` is called after every step, not every epoch
    """

    l1: float = 0.0
    l1_total: float = 0.0
    noise: float = 0.0
    fixed_signs: bool = False
    hop_weight: float = 0.0
    weight_noise: float = 0.0
    zero_below: float = 0.0
    zero_steps: float = 0.0
    clip_sigma: float | None = None
    clip_live: bool = False
    every_step: bool = False

    def over(self, steps: int) -> Rules:
        """The same for a training of so many steps."""
        return replace(self, l1=self.l1 + self.l1_total / steps, l1_total=0.0)


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
    strength: Strength = field(default_factory=Strength)

    def begin(self, rng: np.random.Generator) -> Rewired:
        """Gaussian weights."""
        mask = self.layout.possible
        weights = rng.standard_normal(mask.shape) * self.strength.rms(mask) * mask
        return Rewired(weights.astype(np.float32), mask.copy(), np.zeros_like(mask))

    def rewire(
        self, weights: NDArray[np.float32], mask: NDArray[np.bool_], progress: float, rng: np.random.Generator
    ) -> Rewired:
        """After an epoch; progress is the share of all epochs that are done."""
        return Rewired(weights, mask, np.zeros_like(mask))

    def violated(self, mask: NDArray[np.bool_], progress: float) -> str | None:
        """What of the constraint does not hold, None if all does."""
        return None

    def _begun(self, mask: NDArray[np.bool_], rng: np.random.Generator) -> Rewired:
        """These connections with fresh weights."""
        weights = np.zeros(mask.shape, np.float32)
        weights[mask] = fresh_weights(int(mask.sum()), self.strength.weakest(mask), rng)
        return Rewired(weights, mask, mask.copy())


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
        return self._begun(mask, rng)

    def _drawn(self, mask, rng):
        absent = np.flatnonzero(~mask.ravel() & self.layout.possible.ravel())
        added = np.zeros(mask.size, bool)
        added[rng.choice(absent, self.connections - int(mask.sum()), replace=False)] = True
        return added.reshape(mask.shape)

    def rewire(self, weights, mask, progress, rng):
        stays = mask & ((weights != 0) if self.rules.fixed_signs else (np.abs(weights) >= self.strength.weakest(mask)))
        added = self._drawn(stays, rng)
        weights = weights * stays
        if self.rules.fixed_signs:  # theta = 1e-12 and a sign of its own, drawn here when the connection wakes
            weights[added] = np.where(rng.random(int(added.sum())) < 0.5, -1e-12, 1e-12)
        else:
            weights[added] = fresh_weights(int(added.sum()), self.strength.weakest(mask), rng)
        return Rewired(weights, stays | added, added)

    def violated(self, mask, progress):
        count = int(mask.sum())
        return None if count == self.connections else f"there are {count:,} connections, not {self.connections:,}"


@dataclass(frozen=True, kw_only=True)
class UnitRewiring(Method):
    """Units are pruned where weak after every epoch, and `_added` says which come back."""

    units: Units

    def begin(self, rng):
        nothing = np.zeros_like(self.units.group, bool)
        return self._begun(self.units.connections(self._added(nothing, nothing, rng)), rng)

    def rewire(self, weights, mask, progress, rng):
        weakest, before = self.strength.weakest(mask), self.units.units(mask)
        stays = before & ~self.units.weak(before, weights, weakest)
        added = self._added(before, stays, rng)
        after = self.units.connections(stays | added)
        fresh = self.units.connections(added) & (self.layout.distance > 0)
        weights = weights * after
        weights[fresh] = fresh_weights(int(fresh.sum()), weakest, rng)
        return Rewired(weights, after, fresh)

    def _added(
        self, before: NDArray[np.bool_], stays: NDArray[np.bool_], rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ProfileRewiring(UnitRewiring):
    """Algorithm 2: units are drawn anew at the same source tile and distance."""

    def _added(self, before, stays, rng):
        return self.units.fill(stays, rng)

    def violated(self, mask, progress):
        return self.units.unmet(mask)
