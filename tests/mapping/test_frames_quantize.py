"""Quantisation from real numbers: scales, rounding, thresholds; the quantised network does what the real one does."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsim.chip.file import load_chip
from nsim.errors import InputError, MappingError, NetworkError
from nsim.formats.nir_graph import network_from_nir
from nsim.mapping.frames.mapping import map_frames
from nsim.mapping.frames.quantize import RealLayer, quantize, quantized, real_network
from nsim.mapping.network import map_network
from nsim.network.exact_sums import matrix_product
from nsim.network.frames_activity import evaluate_frames
from nsim.network.layers import Connection, Network
from nsim.network.neurons import Activation, Lif, Threshold
from nsim.network.synapses import Sparse
from nsim.result.run import simulate

CHIP = load_chip("akd1000")
seeds = st.integers(0, 2**32)


def real_outputs(network, samples):
    """The real network, layer by layer, in double precision."""
    outputs = []
    for sample in samples.reshape(len(samples), -1).astype(np.float64):
        for layer, connection in zip(network.layers[1:], network.connections, strict=True):
            sums = matrix_product(connection.synapses, np.float64)(sample)
            sums = sums if layer.pool is None else layer.pool.reduced(sums)
            total = sums + layer.neuron.bias
            if isinstance(layer.neuron, Threshold):
                sample = (total > np.asarray(layer.neuron.threshold)).astype(np.float64)
            else:
                sample = np.maximum(total, 0) if layer.neuron.rectify else total
        outputs.append(sample)
    return np.array(outputs)


def scale_of(network):
    """What its last note says outputs are to be multiplied with."""
    return float(network.notes[-1].split("outputs times ")[1].split()[0])


def small_cnn(rng, bias=True):
    """Image of 3 x 12 x 12, all kinds of layers."""

    def normal(*shape):
        return rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)

    def offset(n):
        return rng.normal(0, 0.2, n) if bias else None

    return real_network(
        "small",
        (3, 12, 12),
        [
            RealLayer("a", normal(8, 3, 3, 3), offset(8)),
            RealLayer("b", normal(12, 8, 3, 3), offset(12), pool="max2"),
            RealLayer("c", (rng.normal(0, 0.33, (12, 1, 3, 3)), normal(16, 12)), offset(16), pool="average"),
            RealLayer("d", normal(5, 16), offset(5), rectify=False),
        ],
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_quantised_cnn_is_near_the_real_one_and_fits_the_chip(seed):
    """4-bit weights and activations: outputs correlate with the real ones; 8-bit ones are ten times as near."""
    rng = np.random.default_rng(seed)
    network = small_cnn(rng)
    images = rng.integers(0, 256, (40, 3, 12, 12))
    correlations, errors = {}, {}
    for bits in (2, 4, 8):
        made = quantize(network, images[:20], weight_bits=bits, activation_bits=bits, input_scale=1 / 255)
        outputs = np.concatenate([a.outputs for a in evaluate_frames(made, images[20:])]) * scale_of(made)
        expected = real_outputs(network, images[20:] / 255)
        deviations = outputs - outputs.mean(axis=0), expected - expected.mean(axis=0)
        correlations[bits] = np.corrcoef(deviations[0].ravel(), deviations[1].ravel())[0, 1]
        errors[bits] = np.abs(outputs - expected).mean() / np.abs(expected).mean()
        if bits < 8:
            mapping = map_frames(made, CHIP)
            assert mapping.processors_by_layer()["a"] == 0  # in the input block, with 8-bit weights
    assert errors[8] < errors[4] / 4 < errors[2] / 4
    assert errors[4] < 0.2
    assert correlations[8] > 0.98


@given(seeds, st.integers(2, 8))
def test_weights_are_nearest_integers_and_the_scale_is_no_worse_than_the_largest(seed, bits):
    weights = np.random.default_rng(seed).normal(0, 1, (4, 5))
    values, scale = quantized("a", weights, bits)
    largest = 2 ** (bits - 1) - 1
    assert np.abs(values).max() <= (largest + 1 if bits == 8 else largest)
    clipped = np.abs(values) >= largest
    assert (np.abs(values * scale - weights)[~clipped] <= scale / 2 * (1 + 1e-9)).all()
    plain = np.rint(weights / (np.abs(weights).max() / largest)) * np.abs(weights).max() / largest
    assert ((values * scale - weights) ** 2).sum() <= ((plain - weights) ** 2).sum() * (1 + 1e-9)


def test_integers_stay_as_they_are():
    """A network whose weights are whole multiples of one number loses nothing but in its activations."""
    weights = np.array([[7.0, -3, 1], [0, 5, -7]]) * 0.25
    values, scale = quantized("a", weights, 4)
    assert values.tolist() == [[7, -3, 1], [0, 5, -7]]
    assert scale == 0.25


def test_levels_round_to_the_nearest():
    """Real outputs 0.0, 0.1, ... of one weight: the level is the nearest multiple of the scale, ends included."""
    network = real_network("one", (1, 1, 1), [RealLayer("a", np.array([[1.0]])), RealLayer("b", np.array([[1.0]]))])
    samples = np.arange(16).reshape(16, 1)
    made = quantize(network, samples, input_bits=4, percentile=100, first_weight_bits=4)
    levels = np.concatenate([a.outputs for a in evaluate_frames(made, samples)]).ravel()
    assert levels.tolist() == list(range(16))


@pytest.mark.parametrize("threshold", [0.0, 0.31, 2.0, -1.7])
def test_thresholds_fire_for_the_same_inputs(threshold):
    """Sum + bias > threshold, strictly, exact where the weights are: also for sums that hit it."""
    graph_layer = Threshold(threshold, np.float32(0.25))
    network = real_network("one", (3, 1, 1), [RealLayer("a", np.array([[7.0, -3, 1], [0, 5, -7]]) / 4)])
    network = replace(network, layers=(network.layers[0], replace(network.layers[1], neuron=graph_layer)))
    samples = np.array(list(np.ndindex(4, 4, 4)))
    made = quantize(network, samples, input_bits=2)
    fired = np.concatenate([a.outputs for a in evaluate_frames(made, samples)])
    assert fired.tolist() == real_outputs(network, samples).tolist()
    assert map_frames(made, CHIP).processors == 1


def test_a_nir_graph_with_thresholds_runs_on_the_chip():
    """Convolution, threshold, convolution, threshold, matrix: quantised, mapped, and firing where the real one does."""
    rng = np.random.default_rng(0)

    def kernel(*shape):
        """Multiples of 1 / 8 that 4 bits hold: the largest is 7 / 8."""
        weights = rng.integers(-7, 8, shape)
        weights.ravel()[0] = 7
        return (weights / 8).astype(np.float32)

    def conv(weight, shape, stride=1):
        return nir.Conv2d(shape, weight, stride, 1, 1, 1, np.full(len(weight), 0.125, np.float32))

    nodes = {
        "input": nir.Input({"input": np.array([1, 8, 8])}),
        "c1": conv(kernel(4, 1, 3, 3), (8, 8)),
        "t1": nir.Threshold(np.full((4, 8, 8), 6.0, np.float32)),
        "c2": conv(kernel(5, 4, 3, 3), (8, 8), 2),
        "t2": nir.Threshold(np.full((5, 4, 4), 0.5, np.float32)),
        "flat": nir.Flatten({"input": np.array([5, 4, 4])}, 0),
        "fc": nir.Linear(kernel(3, 80)),
        "output": nir.Output({"output": np.array([3])}),
    }
    names = list(nodes)
    graph = nir.NIRGraph(nodes, list(pairwise(names)), type_check=False)
    network = network_from_nir(graph, name="graph")
    images = rng.integers(0, 16, (6, 1, 8, 8))
    made = quantize(network, images, input_bits=4)
    outputs = np.concatenate([a.outputs for a in evaluate_frames(made, images)])
    expected = real_outputs(network, images)
    assert np.abs(outputs * scale_of(made) - expected).max() < 1e-4
    assert outputs.any()
    assert map_frames(made, CHIP, "minimal").processors == 3


def test_bits_may_differ_by_layer():
    network = small_cnn(np.random.default_rng(1))
    images = np.random.default_rng(2).integers(0, 256, (5, 3, 12, 12))
    made = quantize(network, images, weight_bits={"b": 2}, activation_bits={"b": 1}, input_scale=1 / 255)
    assert [c.weight_bits for c in made.connections] == [8, 2, 4, 4]
    assert [layer.neuron.bits for layer in made.layers] == [8, 4, 1, 4, None]
    assert np.abs(made.connections[1].synapses.weights).max() == 1


def test_real_samples_set_the_scale_of_the_input():
    """Their largest value is the largest level."""
    network = real_network("one", (2, 1, 1), [RealLayer("a", np.array([[1.0, 2.0]]), rectify=False)])
    made = quantize(network, np.array([[0.0, 0.5], [1.0, 2.0]]), first_weight_bits=4)
    (activity,) = evaluate_frames(made, np.array([[127, 255]]))
    assert activity.outputs[0, 0] * scale_of(made) == pytest.approx(127 / 255 * 2 + 2 * 2, rel=0.1)


def test_zero_weights_are_allowed():
    network = real_network(
        "net", (2, 1, 1), [RealLayer("a", np.zeros((3, 2)), np.ones(3)), RealLayer("b", np.ones((1, 3)), rectify=False)]
    )
    made = quantize(network, np.array([[1, 2]]))
    assert not made.connections[0].synapses.weights.any()


NETWORK = real_network("net", (2, 1, 1), [RealLayer("a", np.eye(2)), RealLayer("b", np.eye(2), rectify=False)])
SAMPLES = np.array([[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.array([[np.nan, 1.0]]), "samples for quantisation hold 1 values that are NaN or infinite"),
        (np.array([[np.inf, np.nan]]), "hold 2 values"),
        (np.zeros((0, 2)), r"samples of shape \(0, 2\) and type float64 .* at least one sample"),
        (np.zeros((1, 3)), r"samples of shape \(1, 3\) .* \(samples, 2, 1, 1\)"),
        (np.zeros(2), r"samples of shape \(2,\)"),
        (np.array([["a", "b"]]), "type <U1"),
        (np.array([[-1, 2]]), "go from -1 to 2, but the input is unsigned with 8 bits"),
        (np.array([[0, 256]]), "go from 0 to 256, .* up to 255"),
        (np.zeros((2, 2)), "are all zero: give typical inputs"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples, words):
    with pytest.raises(InputError, match=words) as refusal:
        quantize(NETWORK, samples)
    assert "\n" not in str(refusal.value)


def changed(**layer):
    return replace(NETWORK, layers=(*NETWORK.layers[:1], replace(NETWORK.layers[1], **layer), NETWORK.layers[2]))


def sparse():
    synapses = Sparse.from_matrix(np.eye(2), (2, 1, 1), (2, 1, 1))
    return replace(NETWORK, connections=(Connection("input", "a", synapses), NETWORK.connections[1]))


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (changed(neuron=Lif(0.1, 1.0, 1.0)), "layer 'a' has neurons of type Lif: only rectifiers and thresholds"),
        (changed(neuron=Activation(rectify=False)), "layer 'a' has no rectifier, which only the last layer may lack"),
        (changed(neuron=Activation(bias=np.float32(-99))), "layer 'a' sends nothing for any of the 2 samples"),
        (sparse(), "layer 'a' has sparse weights, or groups"),
        (
            replace(NETWORK, connections=(*NETWORK.connections, replace(NETWORK.connections[0], target="b"))),
            r"layer 'b' takes input from \['a', 'input'\], expected \['a'\]: only one row",
        ),
    ],
)
def test_networks_that_cannot_be_quantised_are_refused(network: Network, words):
    with pytest.raises(NetworkError, match=words) as refusal:
        quantize(network, SAMPLES)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (changed(neuron=Lif(0.1, 1.0, 1.0)), "'a' has neurons of type Lif, .*: use rectifiers or thresholds"),
        (changed(neuron=Activation(rectify=False)), "'a' has no rectifier"),
        (sparse(), "layer 'a' has sparse weights"),
    ],
)
def test_quantising_is_advised_only_for_networks_that_it_takes(network: Network, words):
    """Without samples, too: what no samples can quantise is refused for that, before any are asked for."""
    with pytest.raises((MappingError, NetworkError), match=words) as refusal:
        map_network(network, load_chip("akd1000"))
    assert "nsim.quantize" not in str(refusal.value)
    with pytest.raises((InputError, NetworkError)):
        quantize(network, SAMPLES)


def test_a_network_for_which_quantising_is_advised_can_be_quantised():
    with pytest.raises(MappingError, match=r"or quantise the network \(nsim.quantize\)"):
        map_network(NETWORK, load_chip("akd1000"))
    assert map_network(quantize(NETWORK, SAMPLES, input_bits=4), load_chip("akd1000")).processors


def test_a_network_that_begins_with_a_dense_layer_is_calibrated_to_inputs_that_it_takes():
    """Only the input block takes 8 bits; outputs are those of the network quantised by hand to 4."""
    mapping = map_network(NETWORK, load_chip("akd1000"), calibrate=SAMPLES[:, None, :, None, None])
    some, by_hand = SAMPLES[:3], quantize(NETWORK, SAMPLES, input_bits=4)
    expected = np.concatenate([activity.outputs for activity in evaluate_frames(by_hand, some)])
    np.testing.assert_array_equal(simulate(mapping, some[:, None, :, None, None]).outputs, expected)


def test_a_bias_that_differs_within_a_channel_is_refused():
    network = real_network("net", (1, 2, 2), [RealLayer("a", np.ones((1, 1, 3, 3)), rectify=False)])
    uneven = replace(network.layers[1], neuron=Activation(False, np.array([0, 0, 0, 1], np.float32)))
    with pytest.raises(NetworkError, match="layer 'a' has biases or thresholds that differ within a channel"):
        quantize(replace(network, layers=(network.layers[0], uneven)), np.ones((1, 4), int))


def test_negative_one_bit_weights_are_refused():
    network = real_network("net", (2, 1, 1), [RealLayer("a", np.array([[1.0, -1.0]]))])
    with pytest.raises(NetworkError, match="layer 'a' has negative weights, but 1-bit weights are 0 and 1"):
        quantize(network, SAMPLES, weight_bits=1, first_weight_bits=1)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_wrong_scale_of_the_input_is_refused(scale):
    with pytest.raises(InputError, match=r"the scale of the input is .*: give a positive number"):
        quantize(NETWORK, SAMPLES, input_scale=scale)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (RealLayer("a", np.ones((2, 3))), r"weights of shape \(2, 3\) do not join 2"),
        (RealLayer("a", np.ones(3)), r"weights of layer 'a' have shape \(3,\)"),
        (RealLayer("a", np.ones((2, 2)), np.ones(3)), r"bias of layer 'a' has shape \(3,\): expected \(2,\)"),
        (RealLayer("a", np.ones((2, 2, 3, 3)), pool="max3"), "pool of layer 'a' is 'max3': give max2, average or None"),
    ],
)
def test_arrays_that_make_no_network_are_refused(layer, words):
    with pytest.raises(NetworkError, match=words):
        real_network("net", (2, 1, 1), [layer])
