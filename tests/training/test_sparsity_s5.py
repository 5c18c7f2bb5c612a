"""Trained S5 networks: their equations, their slopes, and files that the simulator agrees with."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("optax")

import jax
import jax.numpy as jnp

from nsim.errors import NetworkError, TrainingError
from nsim.formats.network import load_network
from nsim.mapping.network import map_network
from nsim.network.activity import layer_offsets
from nsim.network.synapses import Dense
from nsim.result.run import simulate
from nsim.training.data import pictures
from nsim.training.data.pictures import Data, Split, load_data
from nsim.training.data.spoken import SpokenDigits
from nsim.training.sparsity import front as fronts
from nsim.training.sparsity import kinds, regularisers, state_space
from nsim.training.sparsity.export import simulated_outputs
from nsim.training.sparsity.state_space import AGREEMENT, StateSpace, stored_weight
from tests.generators.commands import nsim
from tests.generators.machines import shipped

TINY = StateSpace(inputs=6, outputs=3, d_model=5, states=4, depth=2)


def made_s5(tmp_path, seed=0, frames=7, made=TINY):
    """A network with every parameter away from its start, its file, and input."""
    rng = np.random.default_rng(seed)
    parameters = [
        {name: value + 0.1 * jnp.asarray(rng.normal(size=value.shape), jnp.float32) for name, value in layer.items()}
        for layer in made.initial(rng)
    ]
    parameters = made.constrained(parameters)
    masks = [jnp.asarray((rng.random(shape) < 0.8).astype(np.float32)) for shape in made.weight_shapes]
    inputs = rng.integers(0, 65, (4, frames, made.inputs, 1, 1)).astype(np.uint8)
    made.write(tmp_path / "made.s5", parameters, masks)
    return parameters, masks, inputs


def naive(parameters, masks, sample, depth, bits=8):
    """One sample by the equations, frame by frame with complex numbers; outputs of every frame."""

    def stored(weight, mask=1.0):
        weight = np.asarray(weight, float)
        step = 2.0 ** np.ceil(np.log2(np.abs(weight).max() / (2 ** (bits - 1) - 1)))
        return np.round(weight / step) * step * np.asarray(mask)

    states, outputs = [0j] * depth, []
    for frame in sample.reshape(len(sample), -1) / 64:
        u = np.maximum(stored(parameters[0]["weight"], masks[0]) @ frame + parameters[0]["bias"], 0)
        for block in range(depth):
            first = 1 + 3 * block
            state, mix, gate = parameters[first : first + 3]
            b, c, g = (stored(p["weight"], m) for p, m in zip((state, mix, gate), masks[first:], strict=False))
            turn = np.exp(-np.exp(np.asarray(state["log_decay"], float)) + 1j * np.asarray(state["phase"], float))
            states[block] = turn * states[block] + b[0::2] @ u + 1j * (b[1::2] @ u)
            y = c[:, 0::2] @ states[block].real + c[:, 1::2] @ states[block].imag
            y = np.maximum(y + stored(mix["feedthrough"]) * u + mix["bias"], 0)
            opened = 1 / (1 + np.exp(-(g @ y + gate["gate_bias"])))
            u = np.maximum(stored(gate["value"]) * y * opened + u, 0)
        outputs.append(stored(parameters[-1]["weight"], masks[-1]) @ u + parameters[-1]["bias"])
    return np.array(outputs)


@pytest.mark.parametrize("seed", [0, 1])
def test_training_and_simulator_compute_the_equations(tmp_path, seed):
    parameters, masks, inputs = made_s5(tmp_path, seed)
    expected = np.array([naive(parameters, masks, sample, TINY.depth) for sample in inputs])
    means = np.array([[sample[: t + 1].mean(axis=0) for t in range(len(sample))] for sample in expected])
    largest = np.abs(means).max()
    promised = TINY.exact_outputs(parameters, masks, inputs)
    assert np.abs(promised - means).max() < 1e-6 * largest
    shown = simulated_outputs(load_network(tmp_path / "made.s5"), inputs)
    assert np.abs(shown - expected).max() < AGREEMENT * np.abs(expected).max()
    fronts.check_agreement("made.s5", promised, TINY.observed(shown), AGREEMENT)
    assert np.ptp(means) > 0.1


def test_messages_and_synops_are_those_of_a_run_on_the_chip(tmp_path):
    """Layer k is k timesteps late: cut to the run's timesteps, counts agree core by core."""
    parameters, masks, inputs = made_s5(tmp_path, frames=16)
    network = load_network(tmp_path / "made.s5")
    mapping = map_network(network, shipped("loihi2"), 2)
    result = simulate(mapping, inputs, drain=False)
    passed = TINY.forward(parameters, masks, jnp.asarray(inputs))
    tables = [jnp.asarray(table) for table in regularisers.Fanout.of(mapping).by_layer]
    expected = np.asarray(regularisers.core_synops(passed, tables))[:, :16].reshape(4 * 16, -1)
    assert (result.counts.core_synops[:, mapping.used_cores] == expected).all()
    sent = [int(events[:, : 16 - layer].sum()) for layer, events in enumerate(passed.events)]
    offsets = layer_offsets(network)[: len(sent)]
    assert result.counts.spikes.sum() == sum(sent) and len(offsets) == len(sent)


def test_slopes_are_those_of_finite_differences(tmp_path):
    """Of parameters that are not rounded: theirs are true slopes."""
    shallow = StateSpace(inputs=6, outputs=3, d_model=5, states=4, depth=1)
    parameters, masks, inputs = made_s5(tmp_path, frames=4, made=shallow)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), parameters)

        @jax.jit
        def loss(parameters):
            return (shallow.forward(parameters, masks, inputs).outputs ** 2).mean()

        slopes = jax.jit(jax.grad(loss))(wide)
        for layer, name in [(1, "log_decay"), (1, "phase"), (2, "bias"), (3, "gate_bias"), (0, "bias")]:
            place, found = int(jnp.abs(slopes[layer][name]).argmax()), []
            for nudge in (1e-6, -1e-6):
                changed = [dict(each) for each in wide]
                changed[layer][name] = wide[layer][name].at[place].add(nudge)
                found.append(float(loss(changed)))
            difference = (found[0] - found[1]) / 2e-6
            assert float(slopes[layer][name][place]) == pytest.approx(difference, rel=1e-4, abs=1e-8)
            assert abs(difference) > 1e-7


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_stored_weights_are_few_multiples_of_a_power_of_two(bits):
    weight = jnp.asarray(np.random.default_rng(0).normal(0, 0.3, (40, 50)), jnp.float32)
    found = np.asarray(stored_weight(weight, bits))
    step = np.abs(found[found != 0]).min()
    assert np.log2(step) == np.round(np.log2(step)) and (found / step == np.round(found / step)).all()
    assert np.abs(found / step).max() <= 2 ** (bits - 1) - 1
    assert np.abs(found - weight).max() <= step / 2
    assert (np.asarray(jax.grad(lambda w: (stored_weight(w, bits) * 3).sum())(weight)) == 3).all()


def test_the_file_holds_masks_bits_and_the_factor_of_the_input(tmp_path):
    parameters, masks, _ = made_s5(tmp_path)
    network = load_network(tmp_path / "made.s5")
    dense = [c for c in network.connections if isinstance(c.synapses, Dense)]
    assert {connection.weight_bits for connection in network.connections} == {8}
    for connection, layer, mask in zip(dense, parameters, masks, strict=True):
        scale = 64 if connection.source == "input" else 1
        expected = np.asarray(stored_weight(layer["weight"], 8) * mask) / scale
        assert (connection.synapses.matrix == expected).all()


def damaged(tmp_path, **changed):
    made_s5(tmp_path)
    with np.load(tmp_path / "made.s5") as file:
        arrays = {name: file[name] for name in file.files} | changed
    with (tmp_path / "bad.s5").open("wb") as out:
        np.savez(out, **{name: array for name, array in arrays.items() if array is not None})
    return tmp_path / "bad.s5"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("encoder_weight", None, "it is no S5 network"),
        ("block1_gate_weight", None, "no array 'block1_gate_weight', but 2 blocks"),
        ("block0_eigenvalues", np.array([1.5, 0, 0, 0]), "eigenvalue of block 0 has magnitude 1.5"),
        ("block0_eigenvalues", np.zeros(3, complex), r"\(8, 5\): expected \(6, 5\)"),
        ("block0_mix_bias", np.full(5, np.nan), "5 values that are NaN"),
        ("block0_value", np.ones(4), r"shape \(4,\): expected \(5,\)"),
        ("decoder_weight", np.ones((3, 9)), r"shape \(3, 9\): expected \(3, 5\)"),
        ("encoder_weight", np.ones(5), "expected two axes"),
        ("gate_bias", np.array(["a"]), None),
        ("decoder_bias", np.array(["a", "b", "c"]), "expected numbers"),
        ("weight_bits", np.array(0), "expected 1 to 64"),
        ("weight_bits", np.array(8.0), "expected numbers"),
    ],
)
def test_damaged_files(tmp_path, name, value, said):
    path = damaged(tmp_path, **{name: value})
    if said is None:  # an array that is not known is left alone
        assert load_network(path).layers
        return
    with pytest.raises(NetworkError, match=said):
        load_network(path)


def test_files_that_are_no_archives_and_options(tmp_path):
    (tmp_path / "text.s5").write_text("hello")
    with pytest.raises(NetworkError, match="cannot be read as"):
        load_network(tmp_path / "text.s5")
    made_s5(tmp_path)
    with pytest.raises(NetworkError, match="takes no options"):
        load_network(f"{tmp_path}/made.s5:reset_interval=3")


def test_outputs_that_do_not_agree_are_refused():
    promised = np.array([[[1.0, 2.0]], [[1.0, 1.00001]]])
    other_class = promised - [[[0, 0]], [[0, 2e-5]]]
    fronts.check_agreement("a.s5", promised, promised + 1e-6, 1e-4)
    with pytest.raises(TrainingError, match="1 of 2 test samples"):
        fronts.check_agreement("a.s5", promised, other_class, 1e-4)
    with pytest.raises(TrainingError, match="2 of 2 test samples"):
        fronts.check_agreement("a.s5", promised, promised + 1, 1e-4)
    with pytest.raises(TrainingError, match="1 of 2 test samples"):
        fronts.check_agreement("a.net", promised, promised + np.array([[[0.0, 0.0]], [[0.0, 1e-9]]]), 0.0)


def test_whole_neurons_are_not_pruned():
    with pytest.raises(TrainingError, match="structure weights"):
        kinds.check_structure("s5", "cores")


def test_spoken_digits_as_frames_and_as_pictures_that_fill(monkeypatch):
    """Speakers of training, validation and test are different ones; a picture's frame t shows bins 0 to t."""
    monkeypatch.setattr(pictures, "load_split", lambda _: spoken_words())
    frames, shown = (load_data(name, np.random.default_rng(0)) for name in ("spoken-digits", "spoken-pictures"))
    assert frames.train.inputs.shape == (3 * 4 * 6, 32, 1, 128, 1) and frames.classes == 4
    assert len(frames.validation) == len(frames.test) == 4 * 6
    assert np.unique(frames.train.inputs).tolist() == [0, 64]
    picture = shown.train.inputs
    assert picture.shape == (3 * 4 * 6, 16, 1, 128, 16)
    assert picture[:, -1].any(axis=(1, 2, 3)).all()
    for t in range(16):
        assert (picture[:, t, ..., : t + 1] == picture[:, -1, ..., : t + 1]).all()
        assert not picture[:, t, ..., t + 1 :].any()


def spoken_words():
    """Two halves in the form of `load_split`: four words of four and of one speaker, random spikes."""
    rng = np.random.default_rng(0)

    def half(speakers):
        pairs = [(speaker, word) for speaker in speakers for word in range(4)]
        times = [np.sort(rng.random(300)).astype(np.float32) for _ in pairs]
        units = [rng.integers(0, 700, 300).astype(np.int32) for _ in pairs]
        who, what = (np.array(column) for column in zip(*pairs, strict=True))
        return SpokenDigits("made up", times, units, what, who, ("a", "b", "c", "d"), {})

    return half(range(4)), half([4])


@pytest.mark.slow
def test_a_front_of_s5_networks(tmp_path, monkeypatch):
    """Which of three channels was louder, early in the sample: to be remembered until its end."""
    monkeypatch.setitem(state_space.SHAPES, "s5-half", {"d_model": 8, "states": 4, "depth": 1})
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 480)
    inputs = rng.integers(0, 10, (480, 10, 1, 6, 1))
    inputs[np.arange(480), 1, 0, labels, 0] = 64
    splits = [Split(inputs[part].astype(np.uint8), labels[part]) for part in np.split(np.arange(480), [320, 400])]
    settings = fronts.Settings("made up", "s5-half", strengths=(1.0,), epochs=12, sparsity=0.5, tolerance=100)
    out = tmp_path / "out"
    front = fronts.train_front(settings, Data("made up", *splits, 3), shipped("loihi2"), out)
    assert front.test["dense"][0] == front.test["dense"][1] > 60
    assert front.points[1].density < 0.7 * front.points[0].density
    assert json.loads((out / "summary.json").read_text())["timesteps_per_sample"] == 10 + 5
    ran = nsim("run", out / "network.s5", "--chip", "loihi2", "--input", out / "test_inputs.npy", "--samples", 2)
    assert ran.returncode == 0, ran.stderr
