"""Spiking networks for chips without timesteps: trained integers, their file, and what the chip makes of it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("optax")

import jax.numpy as jnp

from nsim.errors import NetworkError, OptimizationError, TrainingError
from nsim.formats.netx import read_netx
from nsim.mapping.events.options import CoreOptions
from nsim.mapping.network import map_network
from nsim.network.inputs import EventStream
from nsim.optimize.streams import optimize_stream
from nsim.result.run_events import simulate_stream
from nsim.training.data.pictures import Split
from nsim.training.sparsity import spiking
from nsim.training.sparsity.fitting import measured_cost, ones
from nsim.training.sparsity.networks import Connect
from nsim.training.sparsity.spiking import Sense, SpikingArchitecture
from tests.generators.machines import shipped
from tests.generators.netx_files import conv, dense, input_layer, write_net

TINY = SpikingArchitecture((1, 8, 8), 3, (Sense(3, (2, 2)), Sense(4, pool=2), Connect(3)))


def made_net(folder, made=TINY, seed=0, samples=4, rate=2.0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 65, (samples, 1, *made.input)).astype(np.uint8)
    events = spiking.rate_coded(pixels, rate, made.bins, rng)
    parameters = spiking.initial(made, events, rng)
    spiking.write_spiking(folder / "made.net", made, spiking.stored(parameters, ones(made)))
    return read_netx(folder / "made.net"), parameters, events


def test_the_file_holds_the_trained_integers(tmp_path):
    network, parameters, _ = made_net(tmp_path)
    for layer, connection, kept in zip(
        network.layers[1:], network.connections, spiking.stored(parameters, ones(TINY)), strict=True
    ):
        assert (connection.synapses.weights == kept.weight).all()
        assert layer.neuron.threshold == kept.threshold
        assert np.abs(kept.weight).max() == 127
    assert [layer.shape for layer in network.layers] == list(TINY.shapes)


def test_with_one_event_in_a_bin_one_layer_does_in_training_what_the_chip_does(tmp_path):
    """Then no spike comes before others of its bin; a weight is at most the threshold here, so none comes twice."""
    events, rng = 60, np.random.default_rng(1)
    made = SpikingArchitecture((1, 4, 4), events, (Connect(5),))
    weight = jnp.asarray(rng.uniform(-0.2, spiking.THRESHOLD, (5, 16)), jnp.float32)
    parameters = [{"weight": weight}]
    spiking.write_spiking(tmp_path / "one.net", made, spiking.stored(parameters, ones(made)))
    order = rng.integers(0, 16, events)
    frames = np.zeros((1, 1, events, 4, 4), np.uint8)
    frames.reshape(events, 16)[np.arange(events), order] = 1
    (stream,) = spiking.streams(made, frames, rng)
    assert (stream.neuron == order).all()
    result = simulate_stream(map_network(read_netx(tmp_path / "one.net"), shipped("speck")), stream)
    counts = np.bincount(result.outputs["channel"], minlength=5)
    promised = np.asarray(made.forward(parameters, ones(made), jnp.asarray(frames)).outputs).ravel()
    assert counts.tolist() == promised.tolist()
    assert counts.sum() > 10


def event_by_event(layers, made, stream):
    """Spikes of the last layer: each layer takes all events of the one before in order, a loop over every synapse."""
    events = [divmod(int(neuron), made.input[1] * made.input[2]) for neuron in stream.neuron]
    events = [(channel, *divmod(place, made.input[2])) for channel, place in events]
    for stage, shape, layer in zip(made.stages, made.shapes[1:], layers, strict=True):
        state, sent = np.zeros(shape, np.int64), []
        for channel, row, column in events:
            reached = np.zeros(shape, bool)
            if isinstance(stage, Connect):
                source = np.ravel_multi_index((channel, row, column), made.shapes[made.stages.index(stage)])
                state[:, 0, 0] += layer.weight[:, source]
                reached[:, 0, 0] = layer.weight[:, source] != 0
            else:
                for y in range(shape[1]):
                    for x in range(shape[2]):
                        i = row // stage.pool - (y * stage.stride[0] - stage.padding[0])
                        j = column // stage.pool - (x * stage.stride[1] - stage.padding[1])
                        if 0 <= i < stage.kernel and 0 <= j < stage.kernel:
                            state[:, y, x] += layer.weight[:, channel, i, j]
                            reached[:, y, x] = layer.weight[:, channel, i, j] != 0
            fired = (state >= layer.threshold) & reached
            state[fired] -= layer.threshold
            sent += [(c, y, x) for y, x, c in np.argwhere(fired.transpose(1, 2, 0)).tolist()]
        events = sent
    return np.bincount([channel for channel, _, _ in events], minlength=made.stages[-1].neurons)


def test_the_chip_takes_the_events_of_every_layer_in_order(tmp_path):
    network, parameters, events = made_net(tmp_path, rate=1.0)
    mapping = map_network(network, shipped("speck"))
    layers = spiking.stored(parameters, ones(TINY))
    for stream in spiking.streams(TINY, events, np.random.default_rng(3)):
        result = simulate_stream(mapping, stream)
        counts = np.bincount(result.outputs["channel"], minlength=3)
        assert counts.tolist() == event_by_event(layers, TINY, stream).tolist()
        assert result.times.spikes.sum() > 10


def test_costs_are_those_of_a_run_on_the_chip(tmp_path):
    """Of the first layer, whose events are the sensor's: the others get what the chip, not the training, sends."""
    network, parameters, events = made_net(tmp_path)
    mapping = map_network(network, shipped("speck"))
    core, results = mapping.layers[0].core, []
    for stream in spiking.streams(TINY, events, np.random.default_rng(0)):
        results.append(simulate_stream(mapping, stream))
    sensor = events.reshape(len(events), TINY.bins, -1).sum(axis=1)
    synops, work = (spiking.fanout_of(mapping, work).by_layer[0][:, core] for work in (False, True))
    assert (sensor @ synops).sum() == sum(result.times.synops[core] for result in results)
    busy_ps = sum(result.times.busy_ps[result.machine.number("synapses", core)] for result in results)
    assert (sensor @ work).sum() == pytest.approx(busy_ps, rel=1e-6)
    cost = measured_cost(TINY, parameters, ones(TINY), Split(events, np.zeros(len(events))), spiking.fanout_of(mapping))
    assert cost.synops >= (sensor @ synops).sum() / len(events)
    assert cost.max_synops <= cost.synops


def test_events_are_as_many_as_the_pixels_say():
    pixels = np.full((200, 1, 1, 4, 4), 32, np.uint8)
    events = spiking.rate_coded(pixels, 3.0, 5, np.random.default_rng(0))
    assert events.shape == (200, 1, 5, 4, 4)
    assert abs(events.sum() / 3200 - 1.5) < 4 * np.sqrt(1.5 / 3200)
    assert spiking.rate_coded(np.zeros_like(pixels), 3.0, 5, np.random.default_rng(0)).sum() == 0


def test_the_busiest_layer_gets_a_faster_core(tmp_path):
    made = SpikingArchitecture((1, 8, 8), 3, (Sense(2), Sense(2), Sense(32), Connect(3)))  # by default, two are before
    network, _, events = made_net(tmp_path, made)
    chip = shipped("speck")
    given = list(spiking.streams(made, events, np.random.default_rng(0)))
    found = optimize_stream(network, chip, given)
    assert len(
        {frozenset(x.name for x in each.layers if x.core in chip.parallel.cores) for each in found.tried}
    ) == len(found.tried)
    assert found.best.time_ps == min(each.time_ps for each in found.tried.values()) < found.first.found.time_ps
    placed = {layer.name: layer.core for layer in found.best.mapping.layers}
    again = [
        simulate_stream(map_network(network, chip, core_options=CoreOptions(core=placed)), stream) for stream in given
    ]
    assert sum(result.times.end_ps for result in again) == found.best.end_ps
    assert placed["conv3"] in chip.parallel.cores


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="0 bins"):
        SpikingArchitecture((1, 8, 8), 0)
    with pytest.raises(TrainingError, match="sensor of 1x1 is too small"):
        SpikingArchitecture((1, 1, 1), 2, (Sense(2, pool=2, padding=(0, 0)), Connect(2)))
    with pytest.raises(TrainingError, match="pixels send nan events"):
        spiking.rate_coded(np.zeros((1, 1, 1, 2, 2), np.uint8), float("nan"), 2, np.random.default_rng(0))
    network, _, _ = made_net(tmp_path)
    with pytest.raises(OptimizationError, match="no events to try"):
        optimize_stream(network, shipped("speck"), [])


def spiking_layers(threshold=10, pool=1):
    neuron = {"type": "IF"} | ({} if threshold is None else {"threshold": threshold})
    return [
        input_layer(1, 4, 4, neuron={"type": "IF"}),
        conv(np.ones((1, 1, 3, 3)), (1, 4, 4), neuron, padding=1, sum_pool=pool),
        dense(np.ones((2, 16)), neuron),
    ]


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        (spiking_layers(None), "no field 'threshold'"),
        (spiking_layers(0), "threshold of a 16-bit neuron is 0"),
        (spiking_layers([1, 2]), "threshold has 2 values"),
        (spiking_layers(pool=2), r"gives \(1, 2, 2\)"),
        (spiking_layers(pool=0), "sum_pool"),
    ],
)
def test_spiking_layers_that_are_wrong_are_refused(tmp_path, layers, told):
    with pytest.raises(NetworkError, match=told):
        read_netx(write_net(tmp_path / "wrong.net", layers))


def test_an_event_outside_of_the_sensor_is_none():
    stream = next(spiking.streams(TINY, np.zeros((1, 1, 3, 8, 8), np.uint8), np.random.default_rng(0)))
    assert isinstance(stream, EventStream)
    assert len(stream) == 0
