"""Quantised networks for chips with frames: trained integers, their file, and what the chip counts for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("jax")
pytest.importorskip("optax")

import jax.numpy as jnp

from nsim.errors import TrainingError
from nsim.formats.netx import read_netx
from nsim.mapping.network import map_network
from nsim.result.run import simulate
from nsim.training.data.pictures import Split
from nsim.training.sparsity import quantized
from nsim.training.sparsity.fitting import Recipe, fit, measured_cost, ones
from nsim.training.sparsity.networks import Connect
from nsim.training.sparsity.quantized import Filters, QuantizedArchitecture
from tests.generators.machines import shipped

STAGES = (Filters(4, (2, 2)), Filters(8, pooled=True), Filters(8), Connect(3))
TINY = QuantizedArchitecture((1, 12, 12), STAGES)


def made_net(folder, made=TINY, seed=0, samples=4):
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 65, (samples, 1, *made.input)).astype(np.uint8)
    parameters = [
        layer
        | {"bias": jnp.asarray(rng.normal(0, 0.1, layer["bias"].shape), jnp.float32)}
        | {"log_step": layer["log_step"] - 1}
        for layer in quantized.initial(made, inputs, rng)
    ]
    quantized.write_quantized(folder / "made.net", made, quantized.stored(made, parameters, ones(made)))
    return read_netx(folder / "made.net"), parameters, inputs


@pytest.mark.parametrize(("weights", "activations"), [(4, 4), (2, 4), (4, 2), (4, 1)])
def test_the_kernels_give_exactly_what_the_training_computes(tmp_path, weights, activations):
    made = QuantizedArchitecture(TINY.input, STAGES, weights, activations)
    network, parameters, inputs = made_net(tmp_path, made)
    promised = quantized.exact_outputs(made, quantized.stored(made, parameters, ones(made)), inputs)
    assert (quantized.simulated_outputs(network, inputs) == promised).all()
    assert np.unique(promised).size > 3
    passed = made.forward(parameters, ones(made), jnp.asarray(inputs))
    real = np.asarray(passed.outputs)[:, 0]
    sums = promised - promised.mean()
    assert np.corrcoef(real.ravel(), sums.ravel())[0, 1] > 1 - 1e-6  # the same but for the scale of a sum
    assert [connection.weight_bits for connection in network.connections] == [8, weights, weights, weights]


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 30))
def test_the_levels_of_every_layer_are_those_of_the_kernels(tmp_path_factory, seed, step):
    """Whatever the steps: where a compiled division is a little off, no level changes."""
    network, parameters, inputs = made_net(tmp_path_factory.mktemp("net"), seed=seed)
    parameters = [layer | {"log_step": layer["log_step"] + np.log(step)} for layer in parameters]
    layers = quantized.stored(TINY, parameters, ones(TINY))
    path = tmp_path_factory.mktemp("net") / "stepped.net"
    quantized.write_quantized(path, TINY, layers)
    network = read_netx(path)
    passed = TINY.forward(parameters, ones(TINY), jnp.asarray(inputs))
    result = simulate(map_network(network, shipped("akd1000")), inputs)
    sent = [float(np.asarray(events).round().sum()) for events in passed.events]
    assert sent[1:] == result.table("layers")["spikes"].tolist()[1:-1]


@pytest.mark.parametrize("mode", ["minimal", "all-nps", "minimal:columns=2,filters=3"])
def test_costs_are_those_of_a_run_on_the_chip(tmp_path, mode):
    network, parameters, inputs = made_net(tmp_path)
    mapping = map_network(network, shipped("akd1000"), mode=mode)
    result = simulate(mapping, inputs)
    frames = Split(inputs, np.zeros(len(inputs)))
    counted, timed = (
        measured_cost(TINY, parameters, ones(TINY), frames, quantized.fanout_of(mapping, work))
        for work in (False, True)
    )
    cores = result.table("cores")
    cores = cores[cores["layer"] != "conv1"]  # the input block does all its work, whatever the image
    assert counted.synops == cores["synops"].sum() / len(inputs)
    assert counted.max_synops == result.runs[0].counts.core_synops.max(axis=1).mean()
    own = result.runs[0].mapping.frame_ps[cores["core"]].sum() * len(inputs)
    clocks = result.chip.clocks(cores["work_ps"].sum() - own)
    assert timed.synops == pytest.approx(clocks / len(inputs), rel=2e-4)  # a clock of 300 MHz is no whole number of ps


@pytest.mark.slow
def test_training_lowers_the_work_of_the_busiest_processor(tmp_path):
    network, parameters, inputs = made_net(tmp_path, samples=64)
    data = Split(inputs, np.arange(64) % 3)
    work = quantized.fanout_of(map_network(network, shipped("akd1000")), work=True)

    def cost(strength):
        recipe = Recipe("max-synops", strength, epochs=100)
        found = fit(TINY, parameters, data, 3, recipe, work, None, np.random.default_rng(0))
        return measured_cost(TINY, *found, data, work).max_synops

    assert cost(30.0) < 0.9 * cost(0.0)


def test_what_the_chip_cannot_hold_is_refused():
    with pytest.raises(TrainingError, match="weights of 3 and activations of 4 bits"):
        QuantizedArchitecture((1, 8, 8), STAGES, 3)
    with pytest.raises(TrainingError, match="7x7 sums cuts a window off"):
        QuantizedArchitecture((1, 7, 7), (Filters(4, pooled=True), Connect(2)))
    with pytest.raises(TrainingError, match="ends in a convolution"):
        QuantizedArchitecture((1, 8, 8), (Filters(4),))


def test_samples_of_several_frames_are_refused(tmp_path):
    _, parameters, inputs = made_net(tmp_path)
    with pytest.raises(TrainingError, match="have 2 frames"):
        TINY.forward(parameters, ones(TINY), jnp.asarray(np.repeat(inputs, 2, axis=1)))


@pytest.mark.slow
def test_a_network_that_is_not_on_the_chip_at_once_has_no_busiest_processor(tmp_path):
    made = QuantizedArchitecture((1, 6, 6), (Filters(4, (2, 2)), *[Filters(448)] * 4, Connect(2)))
    network, _, _ = made_net(tmp_path, made, samples=2)
    mapping = map_network(network, shipped("akd1000"), mode="minimal")
    assert len(mapping.sequences) > 1
    with pytest.raises(TrainingError, match="hardware sequences on akd1000"):
        quantized.fanout_of(mapping)
