"""One step of routing-aware training: what the rules promise of weights, gradients and moments."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("optax")

import jax
import jax.numpy as jnp

from nsim.mapping.tiles.fabric import Fabric
from nsim.training.routing.choice import make_method
from nsim.training.routing.layout import Layout
from nsim.training.routing.methods import Rules
from nsim.training.routing.network import Neurons, Task
from nsim.training.routing.options import Choice
from nsim.training.routing.step import Optimiser, begin, hop_factors, make_step, noisy, obeyed, rewired

LAYOUT = Layout(Fabric(2, 2, 8), inputs=8, outputs=4)
KEY = jax.random.key(0)


def stepper(rules, rate=0.01, clip=1e3, decay_steps=10**6, task=None):
    task = task or Task(8, 8, 4, 1.0, 0.5)
    return make_step(LAYOUT, rules, Optimiser(rate, decay_steps, clip), Neurons(0.9, 1.0), task)


def batch(seed, size=6):
    rng = np.random.default_rng(seed)
    return (rng.random((size, 20, 8)) < 0.5).astype(np.uint8), rng.integers(0, 4, size)


def start(seed=0, share=0.5):
    rng = np.random.default_rng(seed)
    mask = (rng.random(LAYOUT.possible.shape) < share) & LAYOUT.possible
    return (rng.normal(0, 0.5, mask.shape) * mask).astype(np.float32), mask


def test_the_first_step_is_adams_own_and_absent_connections_stay_absent():
    """Without rules, Adam's first step is the learning rate against the gradient's sign, wherever it is not tiny."""
    weights, mask = start()
    step = stepper(Rules())
    state, _ = step(begin(weights), mask, *batch(1), KEY)
    moved = np.asarray(state.weights) - weights
    gradient = np.asarray(state.adam.mu) / 0.1
    clear = np.abs(gradient) > 1e-4
    assert clear.sum() > 50
    np.testing.assert_allclose(moved[clear], -0.01 * np.sign(gradient[clear]), rtol=1e-3)
    for number in range(2, 6):
        state, _ = step(state, mask, *batch(number), KEY)
    for array in (state.weights, state.adam.mu, state.adam.nu):
        assert not np.asarray(array)[~mask].any() and np.asarray(array)[mask].any()


def test_rewiring_forgets_the_moments_of_fresh_and_absent_connections_only():
    weights, mask = start()
    state, _ = stepper(Rules())(begin(weights), mask, *batch(1), KEY)
    rng = np.random.default_rng(2)
    after, fresh = (rng.random(mask.shape) < 0.5) & LAYOUT.possible, rng.random(mask.shape) < 0.2
    fresh &= after
    found = rewired(state, weights * after, after, fresh)
    stays = after & ~fresh
    for before, now in ((state.adam.mu, found.adam.mu), (state.adam.nu, found.adam.nu)):
        assert not np.asarray(now)[~stays].any()
        np.testing.assert_array_equal(np.asarray(now)[stays], np.asarray(before)[stays])
    assert int(found.adam.count) == 1


def test_deepr_never_changes_a_sign_between_rewirings():
    """A large learning rate and much noise push across zero all the time; who gets there stops at zero."""
    method = make_method(LAYOUT, Choice("deepr", connections=300, noise=0.5))
    rng = np.random.default_rng(3)
    state = begin(method.begin(rng).weights)
    mask, step, stopped = np.asarray(state.weights) != 0, stepper(method.rules, rate=0.3), 0
    for number in range(12):
        before = np.asarray(state.weights)
        state, _ = step(state, mask, *batch(number), jax.random.fold_in(KEY, number))
        after = np.asarray(state.weights)
        assert (np.sign(after) * np.sign(before) >= 0).all()
        stopped += int(((before != 0) & (after == 0)).sum())
        found = method.rewire(after, mask, 0.5, rng)
        assert found.mask.sum() == 300 and not (found.mask & ~found.fresh & (after == 0)).any()
        state, mask = rewired(state, found.weights, found.mask, found.fresh), found.mask
    assert stopped > 50


def test_l1_is_a_soft_threshold():
    rng = np.random.default_rng(4)
    after = rng.normal(0, 1, (8, 8)).astype(np.float32)
    mask = rng.random((8, 8)) < 0.7
    found = np.asarray(obeyed(Rules(l1=5.0), after, after, mask, jnp.float32(0.1), KEY))
    for at in np.ndindex(after.shape):
        size = max(abs(float(after[at])) - 0.5, 0.0)
        assert found[at] == pytest.approx(np.copysign(size, after[at]) if mask[at] else 0.0, abs=1e-6)
    assert (found[mask] == 0).any()


def test_noise_is_as_strong_as_the_rule_says_and_on_existing_connections_only():
    after, mask = np.ones((200, 200), np.float32), np.random.default_rng(5).random((200, 200)) < 0.5
    found = np.asarray(obeyed(Rules(noise=3.0), after, after, mask, jnp.float32(0.1), KEY))
    assert not found[~mask].any()
    assert (found[mask] - 1).std() == pytest.approx(0.3, rel=0.03)
    assert (found[mask] - 1).mean() == pytest.approx(0, abs=0.01)


def test_weak_weights_become_zero_and_strong_ones_are_clipped_at_the_spread_of_those_that_exist():
    rng = np.random.default_rng(6)
    mask = rng.random((40, 40)) < 0.3
    after = (rng.standard_t(2, mask.shape) * mask).astype(np.float32)
    found = np.asarray(obeyed(Rules(zero_below=0.2, clip_sigma=1.5), after, after, mask, jnp.float32(1), KEY))
    kept = np.where(np.abs(after) < 0.2, 0, after)
    most = 1.5 * kept[mask].std()
    np.testing.assert_allclose(found, np.clip(kept, -most, most), rtol=1e-5)
    assert (np.abs(kept) > most).any()


def test_what_is_smaller_than_a_step_of_adam_dies_and_the_clip_looks_at_what_lives():
    rng = np.random.default_rng(9)
    mask = rng.random((60, 60)) < 0.8
    after = (rng.standard_t(2, mask.shape) * mask).astype(np.float32)
    rules = Rules(zero_below=1e-4, zero_steps=1.5, clip_sigma=2.0, clip_live=True)
    found = np.asarray(obeyed(rules, after, after, mask, jnp.float32(0.4), KEY))
    live = np.abs(after) >= 0.6
    assert not found[~live].any() and 0.3 < live[mask].mean() < 0.9
    np.testing.assert_allclose(
        found[live], np.clip(after[live], *(2 * after[live].std() * np.array([-1, 1]))), rtol=1e-5
    )


def test_a_dead_weight_of_hop_penalty_does_not_come_back():
    """Adam's steps are about one learning rate; published, 5e-4, they bring every weight back."""
    weights, mask = start(10)
    alive = {}
    for recipe in ("default", "published"):
        choice = Choice("hop-penalty", hop_weight=0.0, recipe=recipe)
        rules = replace(make_method(LAYOUT, choice).rules, weight_noise=0.0, clip_sigma=None)
        step, state = stepper(rules), begin(weights * (np.abs(weights) > 0.3))
        dead = np.asarray(state.weights == 0) & mask
        for number in range(3):
            state, _ = step(state, mask, *batch(number), KEY)
        alive[recipe] = np.asarray(state.weights)[dead].astype(bool).mean()
    assert alive["default"] < 0.02 and alive["published"] > 0.5


def test_hop_penalty_pulls_by_its_formula():
    """What the penalty adds to the gradient: 2 lambda (min(exp(8 H), e^15) - 1) w / N^2, nothing within a tile."""
    weights, _ = start(7)
    mask = LAYOUT.possible
    without, with_it = (
        np.asarray(stepper(Rules(hop_weight=strength), clip=1e9)(begin(weights), mask, *batch(1), KEY)[0].adam.mu) / 0.1
        for strength in (0.0, 0.1)
    )
    hops = np.array([[0, 1, 1, 3], [1, 0, 3, 1], [1, 3, 0, 1], [3, 1, 1, 0]])  # 2 x 2 tiles: neighbours and diagonal
    factor = np.repeat(np.repeat(np.minimum(np.exp(8.0 * hops), np.exp(15.0)) - 1, 8, 0), 8, 1)
    expected = 2 * 0.1 * factor * weights / weights.size
    found = with_it - without
    np.testing.assert_allclose(found[mask], expected[mask], rtol=1e-4, atol=1e-3)
    assert np.abs(expected).max() > 100 and not hop_factors(LAYOUT)[LAYOUT.distance == 0].any()


def test_gradients_are_clipped_by_value():
    weights, mask = start()
    free, clipped = (np.asarray(stepper(Rules(), clip=c)(begin(weights), mask, *batch(1), KEY)[0].adam.mu) / 0.1
                     for c in (1e3, 1e-3))  # fmt: skip
    assert np.abs(free).max() > 1e-2
    np.testing.assert_allclose(clipped, np.clip(free, -1e-3, 1e-3), rtol=1e-4, atol=1e-9)


def test_weight_noise_spares_zeros_and_lets_the_gradient_through():
    weights = np.random.default_rng(8).normal(0, 0.3, (100, 100)).astype(np.float32)
    weights[::2] = 0
    found = np.asarray(noisy(jnp.asarray(weights), 0.05, KEY))
    assert not found[::2].any()
    assert (found - weights)[1::2].std() == pytest.approx(0.05 * weights.max(), rel=0.05)
    gradient = jax.grad(lambda w: (noisy(w, 0.05, KEY) * weights).sum())(jnp.asarray(weights))
    np.testing.assert_array_equal(gradient, weights)


def test_the_learning_rate_decays_as_published():
    """Constant for a fifth of the steps; then lr/10 + 0.9 lr * sqrt(1 - share of the decay that is done)."""
    rate = jax.jit(lambda count, steps: Optimiser(5e-3, steps, 1.0).rate_at(count), static_argnums=1)
    for steps in (1, 3, 12, 100):  # compiled, 12 of 12 is where a root of a rounded difference was NaN
        for count in range(2 * steps):
            done = min(max(count - round(0.2 * steps), 0) / steps, 1)
            expected = 5e-4 + 4.5e-3 * (1 - done) ** 0.5
            assert float(rate(jnp.asarray(count), steps)) == pytest.approx(expected, rel=1e-5)
