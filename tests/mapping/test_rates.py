"""Rates of spikes for activations: they approach them as 1 / timesteps, and what no rate can stand for is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nsim import load_chip, map_network, simulate
from nsim.errors import InputError, MappingError, NetworkError
from nsim.formats.row import Row
from nsim.mapping.events.mapping import Rates
from nsim.mapping.events.rates import as_rates, coded_streams
from nsim.network.layers import Connection, Pool
from nsim.network.neurons import Activation
from nsim.network.synapses import Dense

DT_S = 1e-3


def perceptron(rng):
    """Two dense layers with biases; outputs of both signs."""
    row = Row((6, 1, 1))
    row.matrix("a", rng.normal(size=(20, 6)), rng.normal(size=20) / 5)
    row.rectify("r")
    row.matrix("b", rng.normal(size=(4, 20)), rng.normal(size=4) / 5)
    return row.network("perceptron")


def activations(network, frames):
    """Of hidden layer and output, by matrix products: the twin of the chip."""
    hidden, last = (connection.synapses.matrix for connection in network.connections)
    first = np.maximum(frames @ hidden.T + network.layers[1].neuron.bias, 0)
    return first, first @ last.T + network.layers[2].neuron.bias


def counts(mapping, frames):
    """Output events of every frame, each on a chip that begins anew: [frames, outputs]"""
    found = np.zeros((len(frames), mapping.network.layers[-1].neurons), np.int64)
    streams = coded_streams(mapping.rates, mapping.network, frames[:, None], None, DT_S)
    for number, stream in enumerate(streams):
        outputs = simulate(mapping, stream, dt_s=DT_S, seconds=mapping.rates.steps * DT_S).outputs
        np.add.at(found[number], outputs["channel"].astype(np.int64), 1)
    return found


def rates_of(mapping, frames):
    """What rates the rectifiers of the chip's whole numbers stand for, by matrix products: [frames, outputs]"""
    rate = frames / mapping.rates.scale
    for connection, layer in zip(mapping.network.connections, mapping.network.layers[1:], strict=True):
        sums = rate @ connection.synapses.matrix.T + layer.neuron.bias
        rate = np.maximum(sums / layer.neuron.threshold, 0)
    return rate


def test_the_error_of_a_rate_falls_like_one_over_timesteps():
    """On the chip no output is off by more than 4 spikes, however many timesteps a frame has."""
    rng = np.random.default_rng(2)
    network, frames = perceptron(rng), rng.random((12, 6))
    worst = {}
    for steps in (25, 100, 400):
        mapping = map_network(network, load_chip("speck"), calibrate=frames[:, None], rate_steps=steps)
        expected = rates_of(mapping, frames)
        worst[steps] = np.abs(counts(mapping, frames) / steps - expected).max()
        assert worst[steps] * steps < 4.0
    assert worst[400] < worst[25] / 6
    assert (expected == 0).any() and (expected > 0.5).any()


def test_eight_bits_move_the_rates_by_some_per_cent():
    """Of the layer's scale, against the real activations: what no number of timesteps mends."""
    rng = np.random.default_rng(2)
    network, frames = perceptron(rng), rng.random((12, 6))
    mapping = map_network(network, load_chip("speck"), calibrate=frames[:, None])
    real = np.maximum(activations(network, frames)[1], 0)
    assert np.abs(rates_of(mapping, frames) - real / np.percentile(real[real > 0], 99.9)).max() < 0.03


def trained(rng):
    """Random features and a least-squares read-out of four classes; 300 other samples, and what they are."""
    centres = rng.random((8, 10)) * 6
    classes = rng.integers(0, 8, 900)
    samples = np.clip(centres[classes] + rng.normal(size=(900, 10)), 0, None)
    labels = classes % 4  # two clusters each: no plane tells them apart
    hidden = rng.normal(size=(60, 10)) / 4
    features = np.maximum(samples @ hidden.T - 0.3, 0)
    wanted = np.eye(4)[labels]
    known = np.c_[features, np.ones(900)][:600]
    last = np.linalg.solve(known.T @ known + 20 * np.eye(61), known.T @ wanted[:600])  # small weights, for 8 bits
    row = Row((10, 1, 1))
    row.matrix("a", hidden, np.full(60, -0.3))
    row.rectify("r")
    row.matrix("b", last[:-1].T, last[-1])
    return row.network("trained"), samples[600:], labels[600:]


def test_accuracy_of_a_trained_network_is_kept():
    """Within 3 points of that in real numbers at 200 timesteps, and lost at 2."""
    network, samples, labels = trained(np.random.default_rng(4))
    samples, labels = samples[:100], labels[:100]
    exact = (activations(network, samples)[1].argmax(axis=1) == labels).mean()
    assert exact > 0.9
    right = {}
    for steps in (2, 200):
        mapping = map_network(network, load_chip("speck"), calibrate=samples[:, None], rate_steps=steps)
        right[steps] = (counts(mapping, samples).argmax(axis=1) == labels).mean()
    assert abs(right[200] - exact) <= 0.03
    assert right[2] < exact - 0.1


def test_a_frame_is_sent_as_evenly_as_it_can_be():
    """Every value by round(steps x value / scale) events; the gaps of one neuron differ by a timestep at most."""
    rng = np.random.default_rng(0)
    frame = rng.random(9) * 5
    stream = Rates(50, 5.0).stream(frame, DT_S)
    np.testing.assert_array_equal(stream.counts(), np.floor(50 * frame / 5 + 0.5))
    for neuron in range(9):
        gaps = np.diff(stream.t_ps[stream.neuron == neuron] // 10**9)
        assert gaps.size == 0 or np.ptp(gaps) <= 1


def test_a_run_of_frames_is_one_stream():
    """All frames one after another, each of its timesteps; the slow clock ticks in all of them."""
    rng = np.random.default_rng(1)
    frames = rng.random((3, 1, 6))
    mapping = map_network(perceptron(rng), load_chip("speck"), calibrate=frames, rate_steps=20)
    result = simulate(mapping, frames, dt_s=DT_S)
    sent = sum(int(Rates(20, float(frames.max())).stream(frame[0], DT_S).counts().sum()) for frame in frames)
    assert len(result.stream) == sent and result.sensor.duration_ps == 3 * 20 * 10**9
    with pytest.raises(InputError, match="give the length of one"):
        simulate(mapping, frames)


def changed_layer(network, number, **values):
    layers = list(network.layers)
    layers[number] = replace(layers[number], **values)
    return replace(network, layers=tuple(layers))


def never_above_zero(network):
    return changed_layer(network, 1, neuron=Activation(bias=-100.0))


def linear_between(network):
    return changed_layer(network, 1, neuron=Activation(rectify=False))


def pooled(network):
    return changed_layer(network, 1, pool=Pool("max", (1, 1), (1, 1), network.layers[1].shape))


def looped(network):
    shape = network.layers[1].shape
    again = Connection("a", "a", Dense(np.eye(20, dtype=np.float32), shape, shape))
    return replace(network, connections=(*network.connections, again))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (never_above_zero, "sends nothing"),
        (linear_between, "has no rectifier, which only the last layer may lack"),
        (pooled, "pools largest values"),
        (looped, "is for one row of layers"),
    ],
)
def test_what_no_rate_can_stand_for(made, says):
    network = perceptron(np.random.default_rng(0))
    as_rates(network, np.ones((2, 1, 6)), None, None)
    with pytest.raises(NetworkError, match=says):
        as_rates(made(network), np.ones((2, 1, 6)), None, None)


@pytest.mark.parametrize(
    ("samples", "steps", "error", "says"),
    [
        (None, None, MappingError, "give samples that scale them"),
        (-np.ones((2, 1, 6)), None, InputError, "shift them to start at 0"),
        (np.zeros((2, 1, 6)), None, InputError, "go from 0 to 0"),
        (np.ones((2, 1, 6)), 0, MappingError, "give 1 to 100,000"),
    ],
)
def test_bad_samples_and_steps(samples, steps, error, says):
    network = perceptron(np.random.default_rng(0))
    with pytest.raises(error, match=says):
        map_network(network, load_chip("speck"), calibrate=samples, rate_steps=steps)
