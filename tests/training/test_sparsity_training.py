"""Sparsity-aware training: laws of regularisers and pruning, and networks that keep what training promises."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

pytest.importorskip("jax")
pytest.importorskip("optax")

import jax
import jax.numpy as jnp

from nsim.errors import InputError, TrainingError
from nsim.formats.netx import read_netx
from nsim.mapping.network import map_network
from nsim.result.run import simulate
from nsim.training.data.pictures import Split, draw_road, load_data, read_idx, write_idx
from nsim.training.sparsity import front as fronts
from nsim.training.sparsity import kinds, networks, pruning, recipes, regularisers
from nsim.training.sparsity.export import simulated_outputs
from nsim.training.sparsity.fitting import Recipe, fit, measured_cost
from nsim.training.sparsity.keeping import Keeper
from nsim.training.sparsity.networks import Architecture, Connect, Convolve, write_net
from tests.generators.commands import nsim, refused, the_line
from tests.generators.machines import shipped

TINY = Architecture((1, 9, 9), (Convolve(4), Connect(12), Connect(3)))


def made_net(tmp_path, made, seed=0, samples=5, frames=1):
    rng = np.random.default_rng(seed)
    parameters = networks.initial(made, rng)
    parameters = [layer | {"bias": -0.05 * jnp.asarray(rng.random(layer["bias"].shape))} for layer in parameters]
    inputs = rng.integers(0, 65, (samples, frames, *made.input)).astype(np.uint8)
    masks = [jnp.asarray((rng.random(shape) < 0.8).astype(np.float32)) for shape in made.weight_shapes]
    write_net(tmp_path / "made.net", made, networks.stored(made, parameters, masks))
    return read_netx(tmp_path / "made.net"), parameters, masks, inputs


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("frames", [1, 4])
def test_the_kernels_give_exactly_what_the_training_computes(tmp_path, bits, frames):
    made = Architecture(TINY.input, TINY.stages, weight_bits=bits)
    network, parameters, masks, inputs = made_net(tmp_path, made, frames=frames)
    promised = networks.exact_outputs(made, parameters, masks, inputs)
    assert (simulated_outputs(network, inputs) == promised).all()
    assert np.unique(promised).size > 3
    assert max(connection.weight_bits for connection in network.connections) <= bits


def test_events_and_synops_are_those_of_a_run_on_the_chip(tmp_path):
    network, parameters, masks, inputs = made_net(tmp_path, TINY, frames=3)
    mapping = map_network(network, shipped("loihi2"), 2)
    timesteps = 3 + len(TINY.stages)
    held = np.concatenate((inputs, np.repeat(inputs[:, -1:], timesteps - 3, axis=1)), axis=1)
    result = simulate(mapping, held, drain=False)
    fanout = regularisers.Fanout.of(mapping)
    cost = measured_cost(TINY, parameters, masks, Split(inputs, np.zeros(5)), fanout)
    assert cost.events == result.counts.spikes.sum() / 5
    assert cost.synops == result.counts.core_synops.sum() / 5
    assert cost.max_synops == result.counts.core_synops.max(axis=1).sum() / 5
    timed = regularisers.Fanout.of(mapping, costs=mapping.copies.service_ps)
    work = measured_cost(TINY, parameters, masks, Split(inputs, np.zeros(5)), timed).of("max-work")
    assert work == pytest.approx(result.counts.core_synapse_ps.max(axis=1).sum() / 5)


def test_biases_above_zero_are_stored_as_zero():
    assert networks.stored_bias(jnp.array([0.5, -0.5])).tolist() == [0.0, -0.5]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e4, width=32), min_size=1, max_size=9), st.floats(1, 32))
def test_a_smooth_maximum_is_between_the_maximum_and_the_root_of_n_times_it(values, order):
    found = float(regularisers.smooth_maximum(jnp.array(values), order))
    assert max(values) * (1 - 1e-5) <= found <= max(values) * len(values) ** (1 / order) * (1 + 1e-5)


def test_the_excess_rate_is_the_square_above_the_target():
    messages = [jnp.array([[0.5, -0.5]]), jnp.array([[0.002, 0.0]])]
    assert float(regularisers.excess_rate(messages, 0.1)) == pytest.approx(0.4**2)


@pytest.mark.parametrize("name", regularisers.REGULARISERS)
def test_slopes_of_regularisers_are_those_of_finite_differences(name):
    """As functions of what layers send: these laws are smooth there."""
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        sent = [jnp.asarray(rng.random((3, 2, n))) for n in (4, 5)]
        tables = [jnp.asarray(rng.integers(0, 9, (n, 3)), float) for n in (4, 5)]

        def law(second):
            passed = networks.Passed(jnp.zeros(1), [sent[0], second], [sent[0], second])
            return regularisers.penalty(name, passed, tables, jnp.array([90.0, 40.0]))

        slope = jax.grad(law)(sent[1])
        for place in [(0, 0, 0), (2, 1, 4), (1, 0, 2)]:
            step = jnp.zeros_like(sent[1]).at[place].set(1e-6)
            difference = (law(sent[1] + step) - law(sent[1] - step)) / 2e-6
            assert float(slope[place]) == pytest.approx(float(difference), rel=1e-4, abs=1e-9)


def test_more_strength_means_fewer_synops():
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 65, (256, 1, 20, 1, 1)).astype(np.uint8)
    data = Split(inputs, (inputs[:, 0, :10].sum((1, 2, 3)) > inputs[:, 0, 10:].sum((1, 2, 3))).astype(np.int64))
    made = Architecture((20, 1, 1), (Connect(30), Connect(30), Connect(2)))
    fanout = regularisers.Fanout(tuple(np.ones((n, 2), np.float32) for n in (20, 30, 30)))
    synops = []
    for strength in (0.0, 30.0):
        recipe = Recipe("max-synops", strength, epochs=20)
        start = networks.initial(made, np.random.default_rng(1))
        found = fit(made, start, data, 2, recipe, fanout, None, np.random.default_rng(2))
        synops.append(measured_cost(made, *found, data, fanout).max_synops)
    assert synops[1] < synops[0]


@pytest.mark.parametrize("density", [0.05, 0.3, 0.9, 1.0])
def test_erk_densities_sum_to_the_budget(density):
    shapes = [(16, 1, 3, 3), (32, 16, 3, 3), (64, 1152), (10, 64)]
    found = pruning.erk_densities(shapes, density)
    sizes = [np.prod(shape) for shape in shapes]
    assert np.dot(found, sizes) == pytest.approx(density * sum(sizes))
    assert all(0 < each <= 1 for each in found)


def test_the_schedule_rises_from_nothing_to_exactly_the_end():
    found = [pruning.scheduled(0.8, step / 100) for step in range(101)]
    assert found[:6] == [0.0] * 6
    assert found[90:] == [0.8] * 11
    assert found == sorted(found)


def test_the_largest_weights_stay():
    masks = pruning.magnitude_masks([np.arange(1.0, 13).reshape(3, 4), np.ones((2, 3))], 0.5)
    dropped = np.flatnonzero(masks[0].ravel() == 0)
    assert (dropped == np.arange(dropped.size)).all() and dropped.size


def test_every_core_loses_the_same_share_of_its_neurons():
    rows = pruning.CoreRows((np.repeat([3, 5], 6), np.array([1, 1])))
    weights = [np.random.default_rng(0).normal(size=(12, 4)), np.ones((2, 12))]
    masks = pruning.core_masks(weights, rows, 0.5)
    kept = masks[0].max(axis=1)
    assert kept[:6].sum() == kept[6:].sum() == 3
    assert masks[1].all()


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Four classes of noisy bars as idx files, one gzipped."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("digits")
    for part, samples in (("train", 360), ("t10k", 60)):
        labels = rng.integers(0, 4, samples).astype(np.uint8)
        images = rng.integers(0, 60, (samples, 9, 9))
        images[np.arange(samples), 2 * labels] += 150
        write_idx(folder / f"{part}-images-idx3-ubyte", images.astype(np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
    plain = folder / "t10k-images-idx3-ubyte"
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return folder


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    options = ("--network", "mlp", "--strengths", "10,100", "--epochs", 8, "--out", out)
    done = nsim("train", "sparsity-aware", digits, *options)
    assert done.returncode == 0, done.stderr
    return out, options


@pytest.mark.slow
def test_a_run_promises_what_the_simulator_gives(trained):
    out, _ = trained
    facts = json.loads((out / "summary.json").read_text())
    for name in ("dense", "chosen"):
        assert facts[name]["promised_points"] == facts[name]["simulated_points"]
    assert facts["chosen"]["points"] >= facts["dense"]["points"] - 0.5
    assert facts["dense"]["simulated_points"] > 50
    assert {"front.csv", "front.png", "network.net", "activity.csv"} <= {path.name for path in out.iterdir()}


@pytest.mark.slow
def test_the_network_runs_and_an_unchanged_run_trains_nothing_again(trained, digits, monkeypatch):
    out, options = trained
    ran = nsim("run", out / "network.net", "--chip", "loihi2", "--input", out / "test_inputs.npy", "--timesteps", 4)
    assert ran.returncode == 0, ran.stderr
    monkeypatch.setattr(fronts, "fit", None)
    again = nsim("train", "sparsity-aware", digits, *options, "--json")
    assert again.returncode == 0, again.stderr
    assert {"dense", "chosen", "front", "out"} <= set(the_line(again))
    quiet = nsim("train", "sparsity-aware", digits, *options, "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_the_cheapest_point_within_the_tolerance_is_chosen():
    """By what may be lost, not by the mean."""

    def point(lost_at_most, synops):
        return fronts.Point(1.0, 90.0, 0.1, lost_at_most, regularisers.Cost(0, synops, 0), synops, 1.0, "")

    found = [point(0.0, 100.0), point(0.4, 50.0), point(0.6, 10.0)]
    assert fronts.cheapest(found, 0.5) is found[1]
    assert fronts.cheapest(found, 1.0) is found[2]


@pytest.mark.slow
def test_another_training_does_not_overwrite_a_folder(trained, digits):
    out, _ = trained
    assert "other settings" in refused("train", "sparsity-aware", digits, "--out", out)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--network", "cnnn", "did you mean cnn?"),
        ("--regulariser", "synop", "did you mean synops?"),
        ("--weight-bits", 9, "2 to 8"),
        ("--strengths", "1,x", "numbers with commas"),
        ("--strengths", "nan", "positive"),
        ("--sparsity", 1.0, "below 1"),
        ("--structure", "rows", "weights, cores"),
        ("--tolerance", "nan", "0 to 100"),
        ("--epochs", 0, "at least 1"),
        ("--confidence", 1.0, "0.5 to below 1"),
        ("--distillation", 1.5, "0 to 1"),
        ("--inputs", 0, "above 0 and up to 1"),
        ("--inputs", 0.5, "begins with a convolution"),
        ("--chip", "akd1000", "loihi2"),
    ],
)
def test_options_that_make_no_sense(digits, tmp_path, option, value, said):
    assert said in refused("train", "sparsity-aware", digits, "--out", tmp_path / "new", option, value)


def test_folders_that_cannot_be_used(digits, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot make" in refused(
        "train", "sparsity-aware", digits, "--network", "mlp", "--out", tmp_path / "file" / "x"
    )
    assert "other files" in refused("train", "sparsity-aware", digits, "--network", "mlp", "--out", tmp_path)


def test_a_missing_extra_is_named(digits, tmp_path, monkeypatch):
    monkeypatch.setattr("nsim.training.find_spec", lambda package: None)
    assert "pip install 'nsim-neuromorphic[train]'" in refused(
        "train", "sparsity-aware", digits, "--out", tmp_path / "new"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x01\0\x08\x01\0\0\0\0", "two zero bytes"),
        (b"\0\0\x0d\x01\0\0\0\0", "expected unsigned bytes"),
        (b"\0\0\x08\x03\0\0", "within its header"),
        (b"\0\0\x08\x01\0\0\0\x05abc", "cut short"),
        (b"", "two zero bytes"),
    ],
)
def test_damaged_idx_files(tmp_path, content, said):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_idx(tmp_path / "file")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"x" * 1000)[:20])
    with pytest.raises(InputError, match="fetch it again"):
        read_idx(tmp_path / "cut.gz")


def test_data_that_are_not_there(tmp_path):
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="did you mean fashion-mnist"):
        load_data("fashon-mnist", rng)
    with pytest.raises(InputError, match="no file train-images"):
        load_data(tmp_path, rng)


def test_a_loss_that_is_not_a_number_stops_the_training():
    made = Architecture((4, 1, 1), (Connect(3), Connect(2)))
    data = Split(np.ones((8, 1, 4, 1, 1), np.uint8), np.zeros(8, np.int64))
    start = [layer | {"weight": layer["weight"] * np.nan} for layer in networks.initial(made, np.random.default_rng(0))]
    with pytest.raises(TrainingError, match="loss is nan"):
        fit(made, start, data, 2, Recipe(epochs=1), None, None, np.random.default_rng(0))


class Stopped(Exception):
    pass


def small_training(folder, stop_after=0, epochs=4):
    """Twelve samples of two classes, with all that a recipe has; stopped after an epoch if one is given."""
    made = Architecture((6, 1, 1), (Connect(5), Connect(2)))
    rng = np.random.default_rng(0)
    data = Split(rng.integers(0, 65, (12, 1, 6, 1, 1)).astype(np.uint8), rng.integers(0, 2, 12))
    fanout = regularisers.Fanout(tuple(np.ones((n, 2), np.float32) for n in (6, 5)))
    taught = rng.normal(size=(12, 1, 2)).astype(np.float32)

    def tell(_, epoch):
        if epoch.number == stop_after:
            raise Stopped

    recipe = Recipe("max-synops", 1.0, sparsity=0.5, epochs=epochs, inputs=0.7, distillation=0.5)
    keeper = Keeper(folder, "it", lambda *_: 50.0, tell)
    start = networks.initial(made, np.random.default_rng(1))
    order = np.random.default_rng(2)
    return keeper, fit(made, start, data, 2, recipe, fanout, None, order, taught=taught, watch=keeper)


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    whole, found = small_training(tmp_path)
    whole.done()
    with pytest.raises(Stopped):
        small_training(tmp_path, stop_after=2)
    again, resumed = small_training(tmp_path)
    for left, right in zip(jax.tree.leaves(found), jax.tree.leaves(resumed), strict=True):
        np.testing.assert_array_equal(left, right)
    assert again.curve.tolist() == whole.curve.tolist() and again.curve.shape == (4, 2)


def test_a_damaged_state_is_named(tmp_path):
    (tmp_path / "it.epoch.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(TrainingError, match="remove it"):
        small_training(tmp_path)


def test_distillation_needs_a_teacher():
    with pytest.raises(TrainingError, match="no teacher"):
        fit(TINY, [], Split(np.ones((1, 1)), np.ones(1)), 2, Recipe(distillation=0.5), None, None, None)


@given(st.integers(3, 60), st.integers(0, 2**32 - 1), st.floats(0.5, 0.99))
def test_what_may_be_lost_is_the_one_sided_interval_of_paired_samples(samples, seed, confidence):
    rng = np.random.default_rng(seed)
    dense, sparse = 100.0 * (rng.random((2, samples)) < [[0.9], [0.6]])
    mean, most = fronts.lost_points(dense, sparse, confidence)
    assert mean == pytest.approx(dense.mean() - sparse.mean())
    if (dense - sparse).std():
        peer = ttest_rel(dense, sparse, alternative="less").confidence_interval(confidence)
        assert most == pytest.approx(peer.high)


@given(st.floats(0.01, 100))
def test_a_ladder_ends_at_the_largest_rung_that_is_allowed(most):
    tried = []
    recipes.climb(1.0, lambda strength: tried.append(strength) or strength <= most)
    rungs = [*sorted(recipes.DOWN), 1.0, *recipes.UP]
    allowed = [strength for strength in tried if strength <= most]
    assert max(allowed, default=None) == max((rung for rung in rungs if rung <= most), default=None)


def test_pruning_goes_along_with_strengths_below_the_usual_one():
    options = fronts.Settings("digits", "mlp")
    first = recipes.first_strength(options)
    found = [recipes.recipe_of(options, factor * first) for factor in (0.0, 0.25, 0.5, 1.0, 2.0)]
    kept = [1 - each.sparsity for each in found]
    assert kept[:1] == [1.0] and kept[3] == kept[4] == pytest.approx(1 - recipes.USUAL["mlp"].sparsity)
    assert kept[2] == pytest.approx(kept[1] ** 2) == pytest.approx(kept[3] ** 0.5)
    assert recipes.recipe_of(fronts.Settings("digits", "mlp", sparsity=0.1), first / 4).sparsity == 0.1


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1))
def test_inputs_that_say_least_for_a_message_go_first(seed, share):
    rng = np.random.default_rng(seed)
    inputs = (rng.integers(1, 65, (40, 1, 9, 1, 1)) * (rng.random((40, 1, 9, 1, 1)) < 0.6)).astype(np.uint8)
    inputs[:, 0, 4] = 30  # always the same
    kept = pruning.inputs_kept(np.ones((3, 9)), inputs, share)
    sent = (inputs != 0).sum(axis=(0, 1, 3, 4))
    assert (kept * sent).sum() <= share * sent.sum() + 1e-6
    assert not kept[4] or kept.all()


def test_a_road_that_bends_to_the_right_is_a_mirrored_road_to_the_left():
    plain = np.zeros((64, 64))
    right, left = (draw_road(curvature, 0.0, 0.0, 1.0, plain) for curvature in (0.02, -0.02))
    assert (right == left[:, :, ::-1]).all()
    assert (right != left).any()


def test_a_network_too_deep_for_its_pictures_is_refused():
    with pytest.raises(TrainingError, match="too small"):
        kinds.made_for("pilotnet", (1, 9, 9), 1, 6, 8)
