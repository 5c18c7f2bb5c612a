"""Routing-aware training: the gradient of the network, and the law of every method."""

import subprocess
import sys

import numpy as np
import pytest

from nsim.errors import NetworkError, TrainingError
from nsim.mapping.tiles.connectivity import Connectivity
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.profile import link_profile
from nsim.training.routing.choice import make_method
from nsim.training.routing.layout import Layout
from nsim.training.routing.links import WEAKEST, Strength, Units, fresh_weights, profile_connections
from nsim.training.routing.options import METHODS, Choice

LAYOUT = Layout(Fabric(3, 3, 8), inputs=16, outputs=5)
PROFILE = ((1, 0.6), (3, 0.15))


def trained(mask, rng):
    """Weights as after some training: some strong, some weak."""
    return (rng.normal(0, 0.15, mask.shape) * mask).astype(np.float32)


@pytest.fixture
def jax():
    jax = pytest.importorskip("jax")
    pytest.importorskip("optax")
    with jax.enable_x64(True):
        yield jax


def small(jax):
    from nsim.training.routing.network import Neurons, Task

    layout = Layout(Fabric(2, 2, 4), inputs=4, outputs=3)
    rng = np.random.default_rng(3)
    weights = rng.normal(0, 0.8, layout.possible.shape) * layout.possible
    x = (rng.random((5, 12, 4)) < 0.5).astype(np.uint8)
    labels = rng.integers(0, 3, 5)
    return layout, weights, x, labels, Neurons(0.8, 1.0), Task(4, 4, 3, 10.0, 1.0)


def naive_counts(weights, layout, x, neurons):
    """The equations of the network, neuron by neuron."""
    batch, steps, inputs = x.shape
    n, tile = layout.neurons, layout.fabric.neurons
    counts = np.zeros((batch, n))
    for sample in range(batch):
        v, z = np.zeros(n), np.zeros(n)
        for t in range(steps):
            new = np.zeros(n)
            for j in range(n):
                new[j] = neurons.decay * v[j] - neurons.threshold * z[j]
                for i in range(n):
                    same_input_tile = i // tile == j // tile and i < inputs
                    both_output = i >= n - layout.outputs and j >= n - layout.outputs
                    if same_input_tile:
                        new[j] += weights[i, j] * x[sample, t, i]
                    elif not both_output:
                        new[j] += weights[i, j] * z[i]
            v = new
            z = (v > neurons.threshold).astype(float)
            counts[sample] += z
    return counts


def test_spikes_follow_the_equations(jax):
    from nsim.training.routing.network import input_current, spike_counts, spikes

    layout, weights, x, _, neurons, task = small(jax)
    expected = naive_counts(weights, layout, x, neurons)
    assert 0 < expected.sum() < expected.size * x.shape[1]
    counts = spike_counts(weights * layout.recurrent, input_current(weights, x, task), neurons)
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_array_equal(spikes(weights, layout.recurrent, x, neurons, task).sum(axis=0), expected)


def test_gradient_is_that_of_finite_differences_of_the_smoothed_network(jax):
    """In double precision, at every weight: the backward pass is the derivative of what it says it is."""
    from nsim.training.routing.network import loss_of

    layout, weights, x, labels, neurons, task = small(jax)
    smooth = neurons._replace(smooth=True)
    loss = jax.jit(lambda w: loss_of(w, layout.recurrent, x, labels, smooth, task)[0])
    gradient = np.asarray(jax.grad(loss)(weights))
    differences = np.zeros_like(weights)
    for at in np.ndindex(weights.shape):
        step = np.zeros_like(weights)
        step[at] = 1e-6
        differences[at] = (loss(weights + step) - loss(weights - step)) / 2e-6
    assert np.abs(gradient).max() > 1e-2
    np.testing.assert_allclose(gradient, differences, atol=1e-6 * np.abs(gradient).max(), rtol=1e-4)


@pytest.mark.slow
def test_gradient_is_that_of_automatic_differentiation_with_surrogate_spikes(jax):
    import jax.numpy as jnp

    from nsim.training.routing.network import input_current, loss_of, surrogate

    layout, weights, x, labels, neurons, task = small(jax)

    @jax.custom_jvp
    def spike(u):
        return (u > 0).astype(u.dtype)

    spike.defjvp(lambda p, t: (spike(p[0]), surrogate(p[0]) * t[0]))

    def loss(w):
        current = input_current(w, x, task)
        v = z = jnp.zeros((x.shape[0], layout.neurons))
        total = 0.0
        for t in range(x.shape[1]):
            outside = jnp.pad(current[t], ((0, 0), (0, layout.neurons - x.shape[2])))
            v = neurons.decay * v + outside + z @ (w * layout.recurrent) - neurons.threshold * z
            z = spike(v - neurons.threshold)
            total = total + z
        entropy = -jax.nn.log_softmax(total[:, -3:])[jnp.arange(len(labels)), labels].mean()
        return entropy + task.rate_weight * (task.rate_target - 10 * total.mean() / x.shape[1]) ** 2

    expected = jax.grad(loss)(weights)
    found = jax.grad(lambda w: loss_of(w, layout.recurrent, x, labels, neurons, task)[0])(weights)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_without_the_extra_the_error_names_it_and_the_rest_imports():
    code = (
        "import sys; sys.modules['jax'] = None; sys.modules['optax'] = None\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in ('jax', 'optax') else real(name, *a)\n"
        "import nsim.training.routing.methods\n"
        "try:\n    import nsim.training.routing.network\n"
        "except Exception as error:\n    print(type(error).__name__, error)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("TrainingError") and "nsim-neuromorphic[train]" in shown and shown.count("\n") == 1


@pytest.mark.parametrize("granularity", ["tile", "neuron"])
@pytest.mark.parametrize("seed", range(3))
def test_profile_is_its_target_per_source_tile_after_every_rewiring(granularity, seed):
    method = make_method(LAYOUT, Choice("deepr-profile", PROFILE, granularity=granularity))
    rng = np.random.default_rng(seed)
    state = method.begin(rng)
    n, hops = 8, LAYOUT.fabric.hops
    for epoch in range(4):
        mask = state.mask
        unit = mask if granularity == "neuron" else LAYOUT.by_tile(mask).any(axis=2)
        for tile in range(LAYOUT.fabric.tiles):
            rows = unit[LAYOUT.tile_of == tile]
            for distance in LAYOUT.fabric.distances:
                there = hops[tile] == distance
                columns = there if granularity == "tile" else np.repeat(there, n)
                per_tile = n if granularity == "tile" else n * n
                wanted = round(dict(PROFILE).get(distance, 0.0) * per_tile * int(there.sum()))
                assert rows[:, columns].sum() == wanted
        assert method.violated(mask, epoch / 4) is None
        own = LAYOUT.possible & (LAYOUT.distance == 0)
        assert mask[own].all() and not (mask & ~LAYOUT.possible).any()
        assert not state.weights[~mask].any()
        state = method.rewire(trained(mask, rng), mask, (epoch + 1) / 4, rng)
        assert state.fresh.any() and (np.abs(state.weights[state.fresh]) >= WEAKEST - 1e-6).all()


@pytest.mark.parametrize("granularity", ["tile", "neuron"])
def test_links_into_output_tiles_stay(granularity):
    method = make_method(LAYOUT, Choice("deepr-profile", PROFILE, granularity=granularity))
    rng = np.random.default_rng(1)
    begun = method.begin(rng)
    after = method.rewire(begun.weights * np.float32(1e-3), begun.mask, 0.5, rng)
    into = np.isin(LAYOUT.tile_of, np.flatnonzero(LAYOUT.into_output)) & begun.mask & (LAYOUT.distance > 0)
    assert into.any() and after.mask[into].all()
    np.testing.assert_array_equal(after.weights[into], (begun.weights * np.float32(1e-3))[into])
    elsewhere = begun.mask & ~into & (LAYOUT.distance > 0)
    assert not (after.mask & ~after.fresh)[elsewhere].any()


def test_a_strong_network_is_not_rewired():
    method = make_method(LAYOUT, Choice("deepr-profile", PROFILE))
    begun = method.begin(np.random.default_rng(2))
    after = method.rewire(begun.weights, begun.mask, 0.5, np.random.default_rng(3))
    np.testing.assert_array_equal(after.weights, begun.weights)


def test_the_mapper_finds_the_profile_of_the_published_size():
    """5x5 tiles of 32: p3 = 0.10 is realised as 0.098 by the published program, for it rounds per source tile."""
    layout = Layout(Fabric(5, 5, 32), inputs=128, outputs=20)
    method = make_method(layout, Choice("deepr-profile", ((1, 0.95), (3, 0.10))))
    mask = method.begin(np.random.default_rng(0)).mask
    found = link_profile(layout.fabric, Connectivity.from_matrix(mask, "mask"), layout.tile_of)
    assert found[3] == pytest.approx(0.098, abs=5e-4) and found[5] == 0
    assert found == pytest.approx(layout.profile_of(mask, links=True))


@pytest.mark.parametrize("name", ["deepr", "deepr-global"])
def test_count_is_constant(name):
    method = make_method(LAYOUT, Choice(name, connections=700))
    rng = np.random.default_rng(4)
    state = method.begin(rng)
    for epoch in range(5):
        assert state.mask.sum() == 700 and not (state.mask & ~LAYOUT.possible).any()
        assert method.violated(state.mask, epoch / 5) is None
        weights = trained(state.mask, rng)
        weights[rng.random(weights.shape) < 0.3] = 0
        before, state = state, method.rewire(weights, state.mask, (epoch + 1) / 5, rng)
        kept = before.mask & state.mask & ~state.fresh
        np.testing.assert_array_equal(state.weights[kept], weights[kept])
        gone = weights == 0 if name == "deepr" else np.abs(weights) < WEAKEST
        assert not (kept & gone).any()
    assert state.fresh.any()


def test_l1_ends_with_its_count_of_the_strongest():
    method = make_method(LAYOUT, Choice("l1", connections=500))
    rng = np.random.default_rng(5)
    mask = method.begin(rng).mask
    counts = [int(mask.sum())]
    for progress in (0.25, 0.5, 0.75, 1.0):
        weights = trained(mask, rng)
        state = method.rewire(weights, mask, progress, rng)
        gone = mask & ~state.mask
        if gone.any():
            assert np.abs(weights[gone]).max() <= np.abs(weights[state.mask]).min()
        mask = state.mask
        counts.append(int(mask.sum()))
        assert method.violated(mask, progress) is None
    assert counts[2:] == [500, 500, 500] and counts[0] > counts[1] > 500
    assert method.violated(LAYOUT.possible, 1.0) is not None


def test_equal_count_is_that_of_the_profile():
    profile = make_method(LAYOUT, Choice("deepr-profile", PROFILE)).begin(np.random.default_rng(0)).mask
    same = make_method(LAYOUT, Choice("deepr-global", PROFILE)).begin(np.random.default_rng(0)).mask
    # output neurons lack some weights, so which links are drawn matters a little
    assert int(same.sum()) == profile_connections(LAYOUT, dict(PROFILE))
    assert abs(int(same.sum()) - int(profile.sum())) <= 0.02 * profile.sum()


def test_fresh_weights_are_the_published_ones():
    """Published for w_thr 0.1, alpha 2: mean |w| 0.26, std 0.29, none below 0.1."""
    weights = fresh_weights(200_000, WEAKEST, np.random.default_rng(6))
    assert np.abs(weights).min() >= 0.1
    assert np.abs(weights).mean() == pytest.approx(0.26, abs=0.005)
    assert weights.std() == pytest.approx(0.29, abs=0.005)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "memory-aware"])
@pytest.mark.parametrize(("gain", "threshold"), [(1.0, 1.0), (0.5, 3.0)])
def test_first_weights_are_as_large_as_threshold_and_fan_in_say(name, gain, threshold):
    """Root mean square of gain * threshold / sqrt(connections per neuron), for every method."""
    method = make_method(LAYOUT, Choice(name, PROFILE), Strength(gain, threshold))
    begun = method.begin(np.random.default_rng(7))
    per_neuron = begun.mask.sum() / LAYOUT.neurons
    size = np.sqrt((begun.weights[begun.mask].astype(float) ** 2).mean())
    assert size == pytest.approx(gain * threshold / np.sqrt(per_neuron), rel=0.05)


def test_weights_below_the_root_mean_square_over_2_86_are_weak_and_fresh_ones_begin_there():
    method = make_method(LAYOUT, Choice("deepr-global", connections=700), Strength(2.0, 1.5))
    begun = method.begin(np.random.default_rng(8))
    weakest = 2.0 * 1.5 / np.sqrt(700 / LAYOUT.neurons) / 2.862
    rng = np.random.default_rng(9)
    weights = (rng.normal(0, 1.5 * weakest, begun.mask.shape) * begun.mask).astype(np.float32)
    after = method.rewire(weights, begun.mask, 0.5, rng)
    np.testing.assert_array_equal(after.mask & ~after.fresh, begun.mask & (np.abs(weights) >= np.float32(weakest)))
    assert np.abs(after.weights[after.fresh]).min() == pytest.approx(weakest, rel=0.05)


def test_hop_penalty_pulls_at_a_weight_as_hard_in_every_size():
    """The penalty is a mean over N^2: lambda / N^2 is what one weight feels, as in 2,048 neurons, as published."""
    pulls = {}
    for layout in (LAYOUT, Layout(Fabric(8, 8, 32), 128, 20)):
        for recipe in ("default", "published"):
            rules = make_method(layout, Choice("hop-penalty", recipe=recipe)).rules
            pulls[layout.neurons, recipe] = rules.hop_weight / layout.neurons**2
    assert pulls[72, "default"] == pytest.approx(pulls[2048, "default"]) == pytest.approx(0.1 / 2048**2)
    assert pulls[2048, "published"] == pulls[2048, "default"] and pulls[72, "published"] > 800 * pulls[72, "default"]


def test_l1_shrinks_by_as_much_whatever_the_steps():
    rules = make_method(LAYOUT, Choice("l1", connections=500, l1=6.0)).rules
    assert [steps * rules.over(steps).l1 for steps in (1, 240, 1000)] == pytest.approx([6.0] * 3)
    published = make_method(LAYOUT, Choice("l1", connections=500, recipe="published")).rules
    assert published.over(240).l1 == published.over(1000).l1 == 0.05


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice("depr-profile", PROFILE), "did you mean deepr-profile"),
        (Choice("deepr-profile"), "none is given"),
        (Choice("deepr-profile", PROFILE, granularity="row"), "no granularity 'row'"),
        (Choice("l1"), "needs a count"),
        (Choice("deepr", connections=10**6), "1,000,000 connections do not fit"),
    ],
)
def test_bad_choices(choice, message):
    with pytest.raises(TrainingError, match=message):
        make_method(LAYOUT, choice)


@pytest.mark.parametrize("profile", [((1, 1.2),), ((1, float("nan")),), ((2, 0.5),), ((0, 0.5),)])
def test_bad_profiles(profile):
    with pytest.raises(NetworkError, match=f"p{profile[0][0]}"):
        Units(LAYOUT, "tile", profile)


@pytest.mark.parametrize(("inputs", "outputs"), [(64, 20), (12, 5), (0, 5)])
def test_layouts_that_do_not_fit(inputs, outputs):
    with pytest.raises(TrainingError, match="inputs"):
        Layout(Fabric(3, 3, 8), inputs, outputs)
