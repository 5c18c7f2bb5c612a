"""One training step: gradient, masked Adam, and what a method's `Rules` demand of the weights afterwards.

Connections that do not exist have weight, gradient and both moments zero; a connection that has just been drawn begins
with both moments zero, too. The count of Adam's steps is one for all, as in the published program of Weber, Ballet,
Payvand 2024, arXiv:2412.01575. Rules of Deep Rewiring: Bellec et al. 2018, arXiv:1711.05136.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

from nsim.training import require_extra

require_extra()

import jax  # noqa: E402  the line above says what to install
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # type: ignore[import-untyped]  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from nsim.training.routing.layout import Layout  # noqa: E402
from nsim.training.routing.methods import HOP_CAP, HOP_STEEPNESS, Rules  # noqa: E402
from nsim.training.routing.network import Measures, Neurons, Task, loss_of  # noqa: E402

LAST_RATE = 0.1  # of the first learning rate: published
DECAY_DELAY = 0.2  # of the decay's length, before it begins: published


class Optimiser(NamedTuple):
    """Adam with clipped gradients and a learning rate that decays from `rate` to a tenth of it.

    decay_steps  how long the decay takes, after a fifth as many steps at the full rate
    clip         largest gradient of a weight, in either direction
    """

    rate: float
    decay_steps: int
    clip: float

    def rate_at(self, count: jax.Array) -> jax.Array:
        """Learning rate after so many steps: a polynomial of power 1/2, as published.

        Not optax.polynomial_schedule: compiled, its base is rounded below 0 where the decay ends, and the root is NaN.
        """
        left = jnp.clip(self.decay_steps + jnp.round(DECAY_DELAY * self.decay_steps) - count, 0, self.decay_steps)
        return self.rate * (LAST_RATE + (1 - LAST_RATE) * jnp.sqrt(left / self.decay_steps))


class State(NamedTuple):
    """What a step changes. weights float32[neurons, neurons]; adam: both moments of that shape, and steps done."""

    weights: jax.Array
    adam: optax.ScaleByAdamState


def begin(weights: NDArray[np.float32]) -> State:
    at_start = jnp.asarray(weights)
    adam = optax.scale_by_adam().init(at_start)
    assert isinstance(adam, optax.ScaleByAdamState)
    return State(at_start, adam)


def rewired(state: State, weights: NDArray[np.float32], mask: NDArray[np.bool_], fresh: NDArray[np.bool_]) -> State:
    """The state after a rewiring: connections that are absent or have just been drawn forget their moments."""
    return State(jnp.asarray(weights), _kept(state.adam, jnp.asarray(mask & ~fresh)))


def _kept(adam: optax.ScaleByAdamState, mask: jax.Array) -> optax.ScaleByAdamState:
    return adam._replace(mu=jnp.where(mask, adam.mu, 0), nu=jnp.where(mask, adam.nu, 0))


def hop_factors(layout: Layout) -> NDArray[np.float32]:
    """exp(min(8 H, 15)) - 1 of every weight: 0 within a tile."""
    return np.expm1(np.minimum(HOP_STEEPNESS * layout.distance, HOP_CAP)).astype(np.float32)


def noisy(weights: jax.Array, share: float, key: jax.Array) -> jax.Array:
    """Weights that are not 0, with Gaussian noise of so much of the largest; the gradient goes straight through."""
    noise = share * weights.max() * jax.random.normal(key, weights.shape, weights.dtype)
    return weights + jax.lax.stop_gradient(jnp.where(weights != 0, noise, 0))


def obeyed(rules: Rules, before: jax.Array, after: jax.Array, mask: jax.Array, rate: jax.Array, key: jax.Array):
    """Weights after a step by the optimiser, from `before` to `after`, as the rules want them.

    In this order: noise, the sign, l1 by soft threshold, the weakest to 0, and the clip at a multiple of the standard
    deviation of the connections that exist.
    """
    if rules.noise:
        after = after + rate * rules.noise * jax.random.normal(key, after.shape, after.dtype)
    if rules.fixed_signs:
        after = jnp.where(after * jnp.sign(before) > 0, after, 0)
    if rules.l1:
        after = jnp.sign(after) * jnp.maximum(jnp.abs(after) - rate * rules.l1, 0)
    if rules.zero_below or rules.zero_steps:
        dead = jnp.maximum(rules.zero_below, rules.zero_steps * rate)
        after = jnp.where(jnp.abs(after) < dead, 0, after)
    if rules.clip_sigma is not None:
        most = rules.clip_sigma * jnp.std(after, where=mask & (after != 0) if rules.clip_live else mask)
        after = jnp.clip(after, -most, most)
    return jnp.where(mask, after, 0)


Step = Callable[[State, jax.Array, jax.Array, jax.Array, jax.Array], tuple[State, Measures]]


def make_step(layout: Layout, rules: Rules, optimiser: Optimiser, neurons: Neurons, task: Task) -> Step:
    """step(state, mask, x, labels, key): one minibatch, compiled; x and labels as of `loss_of`."""
    return partial(_compiled_step(layout, rules, neurons, task), optimiser)


@lru_cache(maxsize=8)  # runs of a sweep that differ in seed, epochs or learning rate share what was compiled
def _compiled_step(layout: Layout, rules: Rules, neurons: Neurons, task: Task):
    recurrent, factors = jnp.asarray(layout.recurrent), jnp.asarray(hop_factors(layout))
    adam = optax.scale_by_adam()

    def loss(weights: jax.Array, x: jax.Array, labels: jax.Array, key: jax.Array) -> tuple[jax.Array, Measures]:
        used = noisy(weights, rules.weight_noise, key) if rules.weight_noise else weights
        total, measures = loss_of(used, recurrent, x, labels, neurons, task)
        if rules.hop_weight:
            total += rules.hop_weight * (factors * weights**2).mean()
        return total, measures

    @jax.jit
    def step(optimiser: Optimiser, state: State, mask: jax.Array, x: jax.Array, labels: jax.Array, key: jax.Array):
        for_noise, for_rules = jax.random.split(key)
        gradient, measures = jax.grad(loss, has_aux=True)(state.weights, x, labels, for_noise)
        clipped = jnp.clip(jnp.where(mask, gradient, 0), -optimiser.clip, optimiser.clip)
        rate = optimiser.rate_at(state.adam.count)
        direction, moved = adam.update(clipped, state.adam)
        weights = obeyed(rules, state.weights, state.weights - rate * direction, mask, rate, for_rules)
        return State(weights, _kept(moved, mask)), measures

    return step
