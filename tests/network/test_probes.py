"""Recorded states are those of neurons computed one by one; records are refused where there is nothing to keep."""

import numpy as np
import pytest

from nsim import load_chip, map_network, simulate
from nsim.errors import InputError
from nsim.network import probes
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, FixedLif, Lif, Relay
from nsim.network.synapses import Dense
from tests.generators.commands import nsim, refused

LOIHI2 = load_chip("loihi2")
IN, OUT = (6, 1, 1), (4, 1, 1)


def network_of(*neurons, weights):
    """A chain: the input, then a layer of 4 for each neuron model."""
    layers = [Layer("input", IN, Relay(binary=True), on_chip=False)]
    layers += [Layer(f"layer{n}", OUT, neuron) for n, neuron in enumerate(neurons)]
    connections = [
        Connection(a.name, b.name, Dense(w, a.shape, b.shape))
        for a, b, w in zip(layers, layers[1:], weights, strict=False)
    ]
    return Network("net", tuple(layers), tuple(connections), "input", layers[-1].name)


def naive_fixed_lif(frames, weights, current_decay, voltage_decay, threshold):
    """Loihi's LIF, neuron by neuron in Python's integers; a spike is heard a timestep later."""
    steps, neurons = len(frames), len(weights)
    v, u, s = (np.zeros((steps, neurons), int) for _ in range(3))
    for n in range(neurons):
        current = voltage = 0
        for t in range(steps):
            arriving = sum(int(weights[n, k]) for k in range(frames.shape[1]) if t and frames[t - 1, k])
            current = int(current * (4096 - current_decay) / 4096) + 64 * arriving
            voltage = int(voltage * (4096 - voltage_decay) / 4096) + current
            if voltage > 64 * threshold:
                s[t, n], voltage = 1, 0
            u[t, n], v[t, n] = current, voltage
    return v, u, s


def test_states_are_those_of_a_naive_lif():
    """Two samples, each from the initial state, with the silence that drains the pipeline."""
    rng = np.random.default_rng(4)
    weights, frames = rng.integers(-90, 120, (4, 6)), rng.random((2, 30, 6)) < 0.4
    network = network_of(FixedLif(900, 300, 350), weights=[weights])
    result = simulate(map_network(network, LOIHI2), frames, record={"layer0": "v,u,s"})
    samples = [np.concatenate((sample, np.zeros((1, 6), bool))) for sample in frames]
    found = [naive_fixed_lif(sample, weights, 900, 300, 350) for sample in samples]
    expected = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    assert list(result.record) == ["layer0.v", "layer0.u", "layer0.s"] and expected[2].sum() > 20
    for kept, state in zip(result.record.values(), expected, strict=True):
        assert (kept == state).all()
    assert (result.record["layer0.s"] == result.outputs).all()


def test_filtered_currents_values_and_inputs():
    """A network of real numbers: i and v of a filter of synapses, the value of a readout, the input as it was sent."""
    rng = np.random.default_rng(5)
    weights = rng.normal(0.3, 1, (4, 6)), rng.normal(0, 1, (4, 4))
    frames = rng.random((12, 6)) < 0.5
    filtered = Lif(0.25, 0.25, 0.6, current_leak=0.5, current_gain=0.5)
    network = network_of(filtered, Activation(rectify=False), weights=weights)
    result = simulate(map_network(network, LOIHI2), frames, record=["input", "layer0:u,v,s", "layer1"], drain=False)
    assert list(result.record) == ["input.s", "layer0.v", "layer0.u", "layer0.s", "layer1.v", "layer1.s"]
    i, v, before = np.zeros(4), np.zeros(4), np.zeros(4)
    for t in range(12):
        i = i + 0.5 * ((weights[0] @ frames[t - 1] if t else 0) - i)
        v = v + 0.25 * (i - v)
        value, before = weights[1] @ before, (v > 0.6).astype(float)
        v = np.where(before, 0, v)
        for key, expected in {"layer0.u": i, "layer0.v": v, "layer0.s": before, "layer1.v": value}.items():
            assert result.record[key][t] == pytest.approx(expected, abs=1e-5), (key, t)
    assert (result.record["input.s"] == frames).all()


def test_a_record_changes_no_time():
    network = network_of(FixedLif(900, 300, 350), weights=[np.full((4, 6), 60)])
    mapping, frames = map_network(network, LOIHI2), np.ones((5, 6), bool)
    assert simulate(mapping, frames, record="layer0").summary() == simulate(mapping, frames).summary()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("layer9:v", "record names layer 'layer9': give one of input, layer0"),
        ("input:v", "record asks layer 'input' for 'v', but it has s"),
        ("layer0:v,w", "record asks layer 'layer0' for 'w', but it has v, u, s"),
        ("layer0:", "record asks layer 'layer0' for '', but it has v, u, s"),
        (["layer0:v", "layer0:u"], "record names layer 'layer0' twice"),
        ({"layer0": ["z"]}, "record asks layer 'layer0' for 'z'"),
    ],
)
def test_records_of_what_there_is_not(wanted, words):
    network = network_of(FixedLif(900, 300, 350), weights=[np.full((4, 6), 60)])
    with pytest.raises(InputError, match=words):
        simulate(map_network(network, LOIHI2), np.ones((5, 6), bool), record=wanted)


def test_records_beyond_the_memory_that_they_may_take(monkeypatch):
    """(8 bytes of v + 8 of u + 1 of s) x 4 neurons x 6 timesteps."""
    monkeypatch.setattr(probes, "MAX_BYTES", 400)
    network = network_of(FixedLif(900, 300, 350), weights=[np.full((4, 6), 60)])
    with pytest.raises(InputError, match=r"over 6 timesteps takes 408 bytes, of which 400 are kept: record fewer"):
        simulate(map_network(network, LOIHI2), np.ones((5, 6), bool), record="layer0")
    assert simulate(map_network(network, LOIHI2), np.ones((5, 6), bool), record="layer0:v,u").record


def test_on_the_command_line(tmp_path):
    np.save(tmp_path / "in.npy", (np.random.default_rng(3).random((2, 4, 8)) < 0.5).astype(np.int8))
    run = ("run", "mlp:width=8,depth=2,inputs=8", "--chip", "loihi2")
    given = (*run, "--input", "in.npy", "--out", "out", "--record", "fc0:v,s", "--record", "fc1:s", "--quiet")
    nsim(*given, cwd=tmp_path)
    with np.load(tmp_path / "out" / "record.npz") as record:
        assert {key: record[key].shape for key in record} == dict.fromkeys(("fc0.v", "fc0.s", "fc1.s"), (12, 8))
        assert (record["fc1.s"] == np.load(tmp_path / "out" / "outputs.npy")).all()
    assert "drawn activity evaluates no neuron" in refused(*run, "--record", "fc0:v")
    assert "record 'x:v' is not for chip 'akd1000'" in refused("run", "cnn", "--chip", "akd1000", "--record", "x:v")
