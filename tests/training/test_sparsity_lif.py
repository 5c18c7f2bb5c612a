"""Trained networks of Loihi's LIF neurons: the integers of the kernel, slopes, and a front on real digits."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("optax")

import jax
import jax.numpy as jnp

from nsim.errors import InputError, TrainingError
from nsim.formats.network import load_network
from nsim.mapping.network import map_network
from nsim.network import kernels
from nsim.result.run import simulate
from nsim.training.data.pictures import Data, Split, load_data
from nsim.training.sparsity import regularisers
from nsim.training.sparsity.export import simulated_outputs
from nsim.training.sparsity.fitting import measured_cost
from nsim.training.sparsity.front import Settings, check_agreement, train_front
from nsim.training.sparsity.lif import Spiking, charged
from tests.generators.commands import nsim
from tests.generators.machines import shipped

TINY = Spiking(inputs=12, outputs=4, hidden=(9, 7), threshold=64)


def made_lif(tmp_path, seed=0, timesteps=20, made=TINY):
    rng = np.random.default_rng(seed)
    parameters = made.initial(rng)
    masks = [jnp.asarray((rng.random(shape) < 0.9).astype(np.float32)) for shape in made.weight_shapes]
    pictures = rng.integers(0, 65, (6, 1, made.inputs, 1, 1)).astype(np.uint8)
    made.write(tmp_path / "made.net", parameters, masks)
    return parameters, masks, np.repeat(pictures, timesteps, axis=1)


def test_the_kernels_give_exactly_what_the_training_computes(tmp_path):
    parameters, masks, inputs = made_lif(tmp_path)
    promised = TINY.exact_outputs(parameters, masks, inputs)
    simulated = TINY.observed(simulated_outputs(load_network(tmp_path / "made.net"), inputs))
    assert (promised == simulated).all()
    check_agreement("made.net", promised, simulated, TINY.agreement)
    assert np.unique(promised[:, -1]).size > 3


def test_a_layer_is_the_kernel_of_the_simulator():
    """Currents and voltages of both signs, rounded toward zero, and a threshold that must be exceeded."""
    made = Spiking(3, 3, threshold=100, current_decay=1000, voltage_decay=300)
    sums = np.random.default_rng(0).integers(-60, 90, (40, 3))
    sums[:2] = [[100, 101, 99], [0, 0, 0]]
    u, v, spikes = np.zeros(3, np.int64), np.zeros(3, np.int64), np.empty((40, 3), np.int64)
    for step, arriving in enumerate(sums):
        kernels.update_fixed_lif(u, v, arriving, np.zeros(3, np.int64), 3096, 3796, 100 << 6, spikes[step])
    with jax.enable_x64(True):
        found = np.asarray(made.fired(jnp.asarray(sums[None] / 64)))[0]
    assert (np.round(found) == spikes).all()
    assert spikes[0].tolist() == [0, 1, 0] and 5 < spikes.sum() < 100


def test_pixels_spike_as_often_as_they_are_bright():
    pixels = np.arange(65)
    v, expected = np.zeros(65, np.int64), np.empty((70, 65), np.int64)
    for step in range(70):
        none = np.zeros(65, np.int64)
        kernels.update_fixed_lif(none, v, none.copy(), pixels, 0, 4096, 63 << 6, expected[step])
    assert (np.asarray(charged(jnp.asarray(np.tile(pixels, (1, 70, 1)))))[0] == expected).all()
    assert expected[:, 64].all() and not expected[:, 0].any()


def test_spikes_and_synops_are_those_of_a_run_on_the_chip(tmp_path):
    """All spikes but those of the output layer, which go nowhere."""
    parameters, masks, inputs = made_lif(tmp_path)
    network = load_network(tmp_path / "made.net")
    mapping = map_network(network, shipped("loihi2"), 2)
    result = simulate(mapping, inputs, drain=False)
    passed = TINY.forward(parameters, masks, jnp.asarray(inputs))
    tables = [jnp.asarray(table) for table in regularisers.Fanout.of(mapping).by_layer]
    expected = np.asarray(regularisers.core_synops(passed, tables))[:, :20].reshape(6 * 20, -1)
    assert (result.counts.core_synops[:, mapping.used_cores] == expected).all()
    cost = measured_cost(TINY, parameters, masks, Split(inputs, np.zeros(6)), regularisers.Fanout.of(mapping))
    assert cost.events == pytest.approx(sum(float(events.sum()) for events in passed.events) / 6)


def test_the_slope_of_spikes_is_the_sigmoid_of_the_voltage():
    """In the first timestep, the surrogate is a smooth function: its finite differences are the slope."""
    with jax.enable_x64(True):
        sums = jnp.asarray(np.linspace(-1, 3, 9).reshape(1, 1, 9))
        slope = jax.grad(lambda s: TINY.fired(s).sum())(sums)[0, 0]
        smooth = 1 / (1 + np.exp(-(np.asarray(sums[0, 0]) - 1) / 0.25))
    assert np.asarray(slope) == pytest.approx(smooth * (1 - smooth) / 0.25)


def test_scikit_learns_digits_are_in_three_parts():
    pytest.importorskip("sklearn")
    data = load_data("digits", np.random.default_rng(0))
    assert [len(split) for split in (data.train, data.validation, data.test)] == [1199, 299, 299]
    assert data.train.inputs.shape[1:] == (1, 1, 8, 8) and data.classes == 10
    assert data.train.inputs.max() == 64 and data.train.inputs.min() == 0
    counts = sum(np.bincount(split.targets, minlength=10) for split in (data.train, data.validation, data.test))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # of its description


def test_missing_scikit_learn_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match=r"scikit-learn, which is missing: pip install 'nsim-neuromorphic\[train\]'"):
        load_data("digits", np.random.default_rng(0))


@pytest.mark.slow
@pytest.mark.parametrize(("network", "least"), [("lif", 75), ("mlp", 80)])
def test_a_front_on_digits(tmp_path, network, least):
    pytest.importorskip("sklearn")
    out = tmp_path / "out"
    options = ("--network", network, "--strengths", "1", "--epochs", 6, "--out", out)
    done = nsim("train", "sparsity-aware", "digits", *options)
    assert done.returncode == 0, done.stderr
    facts = json.loads((out / "summary.json").read_text())
    assert facts["dense"]["promised_points"] == facts["dense"]["simulated_points"] > least
    assert facts["chosen"]["promised_points"] == facts["chosen"]["simulated_points"]


def test_a_lif_network_is_for_pictures(tmp_path):
    video = Split(np.zeros((20, 8, 1, 3, 3), np.uint8), np.zeros(20, np.int64))
    with pytest.raises(TrainingError, match="'made up' have 8 frames"):
        train_front(Settings("made up", "lif"), Data("made up", video, video, video, 2), shipped("loihi2"), tmp_path)
