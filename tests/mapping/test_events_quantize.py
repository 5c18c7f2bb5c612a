"""NIR graphs and floating-point networks in whole numbers."""

from itertools import pairwise

import nir
import numpy as np
import pytest

from nsim.errors import MappingError
from nsim.formats.nir_graph import network_from_nir
from nsim.mapping.events.mapping import map_stream
from nsim.mapping.events.quantize import quantized
from nsim.network.activity import evaluate
from nsim.network.inputs import EventStream, Frames
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import FixedIf, Lif, Relay
from nsim.network.synapses import Dense
from nsim.result.run_events import simulate_stream
from tests.generators.commands import nsim
from tests.generators.streams import SPECK


def dense(weights, neuron) -> Network:
    weights = np.asarray(weights, np.float32)
    layers = (
        Layer("input", (weights.shape[1], 1, 1), Relay(), on_chip=False),
        Layer("fc", (weights.shape[0], 1, 1), neuron),
    )
    synapses = Dense(weights, layers[0].shape, layers[1].shape)
    return Network("dense", layers, (Connection("input", "fc", synapses),), "input", "fc")


def perfect(threshold, **more) -> Lif:
    return Lif(0.0, more.pop("gain", 1.0), threshold, **more)


def test_whole_numbers_stay_and_the_threshold_is_passed():
    """v > 10 is v >= 11."""
    network = quantized(dense([[3, -127]], perfect(10.0)), SPECK)
    assert network.connections[0].synapses.matrix.tolist() == [[3, -127]]
    assert (network.layers[1].neuron.threshold, network.layers[1].neuron.to_zero) == (11, True)


@pytest.mark.parametrize("largest, threshold, factor", [(0.5, 1.0, 254), (1.0, 300.0, 32_766 / 300), (2.0, 0.0, 63.5)])
def test_one_factor_for_weights_and_threshold(largest, threshold, factor):
    """The largest weight becomes 127, unless the threshold would leave 16 bits."""
    weights = np.array([[largest, -largest / 2, 0.1]])
    network = quantized(dense(weights, perfect(threshold)), SPECK)
    np.testing.assert_array_equal(network.connections[0].synapses.matrix, np.rint(np.float32(weights) * factor))
    assert network.layers[1].neuron.threshold == int(threshold * factor) + 1


def test_the_gain_is_part_of_the_weights():
    network = quantized(dense([[1.0, 2.0]], perfect(5.0, gain=3.0)), SPECK)
    assert network.connections[0].synapses.matrix.tolist() == [[3, 6]]
    assert network.layers[1].neuron.threshold == 6


def test_a_coarse_rounding_is_noted():
    network = quantized(dense([[100.0, 0.4, 0.4, 0.4]] * 2, perfect(1.0)), SPECK)
    assert not network.notes  # small against the largest weight
    network = quantized(dense([[0.5] * 500 + [127.0]], perfect(10.5)), SPECK)
    assert any("rounded to 8 bits" in note for note in network.notes)


@pytest.mark.parametrize(
    "neuron, words",
    [
        (Lif(0.1, 1.0, 1.0), "leaky"),
        (Lif(0.0, 1.0, 1.0, current_leak=0.1), "leaky"),
        (Lif(0.0, 1.0, None), "without threshold"),
        (Lif(0.0, 1.0, 1.0, reset=0.5), "resets to 0.5"),
        (Lif(0.0, 1.0, np.array([1.0, 2.0])), "threshold per neuron (1 to 2)"),
        (Lif(0.0, np.array([1.0, 2.0]), 1.0), "gain per neuron"),
        (Lif(0.0, 1.0, -1.0), "threshold -1"),
        (Lif(0.0, 1.0, np.inf), "threshold inf"),
    ],
)
def test_what_the_chip_has_no_neurons_for(neuron, words):
    with pytest.raises(MappingError) as refused:
        quantized(dense([[1.0], [1.0]], neuron), SPECK)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_networks_of_whole_numbers_pass_as_they_are():
    layers = Layer("input", (1, 1, 1), Relay(), on_chip=False), Layer("fc", (1, 1, 1), FixedIf(1))
    synapses = Dense(np.array([[1000]]), (1, 1, 1), (1, 1, 1))
    network = Network("x", layers, (Connection("input", "fc", synapses),), "input", "fc")
    assert quantized(network, SPECK) is network  # the mapping then refuses the weight


def graph(rng, side=8):
    """Conv2d, IF, SumPool2d, Conv2d, IF, SumPool2d, Flatten, Affine, IF; whole numbers."""

    def whole(*shape):
        return rng.integers(-20, 60, shape).astype(np.float32)

    def integrators(*shape):
        return nir.IF(r=np.ones(shape), v_threshold=np.full(shape, 70.0))

    nodes = {
        "input": nir.Input({"input": np.array([2, side, side])}),
        "conv1": nir.Conv2d((side, side), whole(3, 2, 3, 3), 1, 1, 1, 1, np.zeros(3)),
        "if1": integrators(3, side, side),
        "pool1": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "conv2": nir.Conv2d((side // 2, side // 2), whole(4, 3, 3, 3), 1, 1, 1, 1, np.zeros(4)),
        "if2": integrators(4, side // 2, side // 2),
        "pool2": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([4, side // 4, side // 4])}, 0, -1),
        "fc": nir.Affine(whole(5, side * side // 4), np.zeros(5)),
        "if3": integrators(5),
        "output": nir.Output({"output": np.array([5])}),
    }
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)), type_check=False)


def test_a_convolutional_nir_graph_fits_with_its_pools():
    network = network_from_nir(graph(np.random.default_rng(0)), name="net")
    mapping = map_stream(quantized(network, SPECK), SPECK)
    assert [layer.name for layer in mapping.layers] == ["if1", "if2", "if3"]
    assert [d.pool for layer in mapping.layers for d in layer.destinations] == [(2, 2), (2, 2)]
    assert [layer.kernel.shape for layer in mapping.layers] == [(2, 3, 3, 3), (3, 3, 3, 4), (4, 2, 2, 5)]
    assert mapping.layers[0].neuron.threshold == 71


def test_its_first_layer_spikes_as_in_the_floating_point_network():
    """One event per timestep; later layers differ, for a timestep adds up what events bring one after another."""
    rng = np.random.default_rng(1)
    network = network_from_nir(graph(rng), name="net")
    neurons = rng.integers(0, 128, 400)
    frames = np.zeros((401, 128), np.float32)
    frames[np.arange(400), neurons] = 1
    fired = np.concatenate([part.neurons for part in evaluate(network, Frames(frames, 401))])
    expected = np.count_nonzero((fired >= 128) & (fired < 128 + 192))  # network indices of if1
    stream = EventStream(10**8 * np.arange(1, 401), neurons, 128)
    result = simulate_stream(map_stream(quantized(network, SPECK), SPECK), stream)
    assert result.times.spikes[result.mapping.layers[0].core] == expected > 100
    assert result.outputs.size > 0


def test_a_nir_file_on_the_command_line(tmp_path):
    nir.write(tmp_path / "net.nir", graph(np.random.default_rng(2)))
    done = nsim("run", tmp_path / "net.nir", "--chip", "speck", "--input", "edges:rate=1e5,seconds=0.01")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("net on SynSense Speck 2e/2f") and "3 of 9 cores" in done.stdout
    assert "if3" in done.stdout


def test_a_bias_becomes_one_per_tick():
    network = quantized(dense([[0.5]], perfect(1.0, bias=0.25)), SPECK)
    neuron = network.layers[1].neuron
    assert (neuron.threshold, neuron.bias.tolist()) == (255, 64)  # 0.25 x 254 = 63.5
