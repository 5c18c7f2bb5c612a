"""One small convolutional network on every chip that can hold it: the same outputs where the arithmetic is the same."""

from dataclasses import replace

import numpy as np
import pytest

from nsim import map_network, quantize, simulate
from nsim.network.inputs import EventStream
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import FixedIf, QuantizedInput, QuantizedRelu, Relay, Threshold
from nsim.network.synapses import Convolution, Dense, Shape, convolved_shape
from tests.generators.machines import shipped


def convolution(rng, source: Shape, filters: int, low: int, high: int, pool=(1, 1)) -> Convolution:
    """A 3x3 convolution with half a kernel of padding, weights low..high."""
    kernel = rng.integers(low, high + 1, (filters, source[0], 3, 3))
    pooled = source[0], source[1] // pool[0], source[2] // pool[1]
    target = convolved_shape(pooled, kernel, (1, 1), (1, 1), (1, 1))
    return Convolution(kernel, source, target, padding=(1, 1), pool=pool)


THRESHOLD = 5


@pytest.fixture(scope="module")
def integrators() -> Network:
    """Weights of 0 up to the threshold, which a spike subtracts: a neuron fires floor(sum / threshold) times, whatever
    the order in which its sum arrives, if a surplus may fire later."""
    rng = np.random.default_rng(1)
    layers = [Layer("input", (2, 8, 8), Relay(binary=True), on_chip=False)]
    connections = []
    for name, filters, pool in (("conv1", 4, (1, 1)), ("conv2", 3, (2, 2))):
        synapses = convolution(rng, layers[-1].shape, filters, 0, THRESHOLD, pool)
        connections.append(Connection(layers[-1].name, name, synapses))
        layers.append(Layer(name, synapses.target_shape, FixedIf(THRESHOLD)))
    matrix = rng.integers(0, THRESHOLD + 1, (5, layers[-1].neurons))
    connections.append(Connection("conv2", "out", Dense(matrix, layers[-1].shape, (5, 1, 1))))
    layers.append(Layer("out", (5, 1, 1), FixedIf(THRESHOLD)))
    return Network("integrators", tuple(layers), tuple(connections), "input", "out")


@pytest.fixture(scope="module")
def events() -> np.ndarray:
    """Input neurons of 12 events, in order."""
    return np.random.default_rng(2).integers(0, 128, 12)


@pytest.fixture(scope="module")
def spikes(integrators, events) -> np.ndarray:
    """Spikes of the output neurons, by division alone: [5]."""
    counts = np.bincount(events, minlength=128)
    for connection in integrators.connections:
        sums = np.zeros(connection.synapses.targets, np.int64)
        firing = np.flatnonzero(counts)
        connection.synapses.add(firing, counts[firing], sums)
        counts = sums // THRESHOLD
    assert counts.sum() > 20
    return counts


@pytest.mark.parametrize("chip", ["loihi2", "loihi"])
@pytest.mark.parametrize("engine", ["compiled", "simpy"])
def test_integrators_in_timesteps(integrators, events, spikes, chip, engine):
    """One event in each timestep, then silence until every surplus has fired."""
    frames = np.zeros((len(events) + spikes.max() + 30, 2, 8, 8), np.int64)
    frames.reshape(len(frames), -1)[np.arange(len(events)), events] = 1
    result = simulate(map_network(integrators, shipped(chip)), frames, engine=engine, critical_path=True)
    assert result.outputs.sum(axis=0).tolist() == spikes.tolist()
    assert not result.outputs[-1].any()
    assert (result.step_ps > 0).all()


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
@pytest.mark.parametrize("interval_ps", [10_000_000, 10])
def test_integrators_event_by_event(integrators, events, spikes, engine, interval_ps):
    """Events far apart or all at once: on Speck their spikes are the same."""
    stream = EventStream(np.arange(len(events)) * interval_ps, events.astype(np.int64), 128)
    result = simulate(map_network(integrators, shipped("speck")), stream, engine=engine)
    assert np.bincount(result.outputs["channel"], minlength=5).tolist() == spikes.tolist()
    assert (np.diff(result.outputs["t_ps"]) >= 0).all() and result.outputs["t_ps"][0] > 0


@pytest.fixture(scope="module")
def rectifiers() -> Network:
    """4-bit weights and activations, an image of 8 bits, no pooling, which chips with timesteps do not have."""
    rng = np.random.default_rng(3)
    layers = [Layer("input", (3, 8, 8), QuantizedInput(bits=8), on_chip=False)]
    connections = []
    for name, filters, step in (("conv1", 8, 600), ("conv2", 8, 60)):
        synapses = convolution(rng, layers[-1].shape, filters, -7, 7)
        connections.append(Connection(layers[-1].name, name, synapses, weight_bits=4))
        bias = rng.integers(-step, step, filters).repeat(64)
        layers.append(Layer(name, synapses.target_shape, QuantizedRelu(4, step, bias)))
    matrix = rng.integers(-7, 8, (6, layers[-1].neurons))
    connections.append(Connection("conv2", "out", Dense(matrix, layers[-1].shape, (6, 1, 1)), weight_bits=4))
    layers.append(Layer("out", (6, 1, 1), QuantizedRelu(None)))
    return Network("rectifiers", tuple(layers), tuple(connections), "input", "out")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (3, 3, 8, 8))


@pytest.fixture(scope="module")
def levels(rectifiers, images) -> np.ndarray:
    """Outputs by the formula of the rectifier, on matrices: [images, 6]."""
    found = []
    for image in images:
        values = image.ravel()
        for layer, connection in zip(rectifiers.layers[1:], rectifiers.connections, strict=True):
            sums = np.zeros(layer.neurons, np.int64)
            connection.synapses.add(np.arange(values.size), values.astype(np.int64), sums)
            neuron = layer.neuron
            values = sums if neuron.bits is None else np.clip((sums + neuron.bias) // neuron.step, 0, 15)
        found.append(values)
    assert np.ptp(found) > 0
    return np.array(found)


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
@pytest.mark.parametrize("mode", ["minimal", "all-nps"])
def test_rectifiers_frame_by_frame(rectifiers, images, levels, engine, mode):
    mapping = map_network(rectifiers, shipped("akd1000"), mode=mode)
    result = simulate(mapping, images[:, None], engine=engine)
    np.testing.assert_array_equal(result.outputs, levels)
    assert result.summary()["latency_ps"] > 0


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
def test_rectifiers_in_timesteps(rectifiers, images, levels, engine):
    """Every connection takes a timestep, so an image that is held shows at the output three timesteps later."""
    mapping = map_network(rectifiers, shipped("loihi2"))
    for image, expected in zip(images, levels, strict=True):
        result = simulate(mapping, image, timesteps=5, engine=engine)
        np.testing.assert_array_equal(result.outputs[3:], [expected] * 2)
        assert (result.step_ps > 0).all()


@pytest.fixture(scope="module")
def thresholds() -> Network:
    """Real numbers that are whole and use all levels of 4 bits, so that quantisation is exact; binary activations."""
    rng = np.random.default_rng(5)
    layers = [Layer("input", (1, 8, 8), Relay(binary=True), on_chip=False)]
    connections = []
    for name, filters in (("conv1", 6), ("conv2", 5)):
        synapses = convolution(rng, layers[-1].shape, filters, -7, 7)
        synapses.kernel.flat[:2] = -7, 7
        connections.append(Connection(layers[-1].name, name, replace(synapses, kernel=synapses.kernel.astype(float))))
        level = np.repeat(rng.integers(-4, 8, filters) + 0.5, 64)
        layers.append(Layer(name, synapses.target_shape, Threshold(level)))
    matrix = rng.integers(-7, 8, (20, layers[-1].neurons)).astype(float)
    matrix.flat[:2] = -7, 7
    connections.append(Connection("conv2", "out", Dense(matrix, layers[-1].shape, (20, 1, 1))))
    layers.append(Layer("out", (20, 1, 1), Threshold(np.full(20, 0.5))))
    return Network("thresholds", tuple(layers), tuple(connections), "input", "out")


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    return np.random.default_rng(6).integers(0, 2, (4, 1, 8, 8))


@pytest.fixture(scope="module")
def fired(thresholds, masks) -> np.ndarray:
    """Which outputs fire, by comparison of matrix products: [masks, 20]."""
    found = []
    for mask in masks:
        values = mask.ravel().astype(float)
        for layer, connection in zip(thresholds.layers[1:], thresholds.connections, strict=True):
            sums = np.zeros(layer.neurons)
            connection.synapses.add(np.arange(values.size), values, sums)
            values = (sums > layer.neuron.threshold).astype(float)
        found.append(values)
    assert 0.2 < np.mean(found) < 0.8 and len(np.unique(found, axis=0)) == len(masks)
    return np.array(found)


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
def test_thresholds_frame_by_frame(thresholds, masks, fired, engine):
    whole = quantize(thresholds, masks, input_bits=1)
    result = simulate(map_network(whole, shipped("akd1000")), masks[:, None], engine=engine)
    np.testing.assert_array_equal(result.outputs, fired)
    assert (result.table("frames")["duration_ps"] > 0).all()


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
@pytest.mark.parametrize("chip", ["loihi2", "loihi"])
def test_thresholds_in_timesteps(thresholds, masks, fired, chip, engine):
    """An image in each timestep: its outputs come three timesteps later."""
    frames = np.concatenate([masks, np.zeros((3, 1, 8, 8), masks.dtype)])
    result = simulate(map_network(thresholds, shipped(chip)), frames, engine=engine, drain=False)
    np.testing.assert_array_equal(result.outputs[3:], fired)
    assert (result.step_ps > 0).all()
