"""Frames evaluated layer by layer, against plain loops over the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.errors import InputError, NetworkError
from nsim.network.activity import layer_offsets
from nsim.network.builtin import build
from nsim.network.exact_sums import exact_sums
from nsim.network.frames_activity import evaluate_frames
from nsim.network.inputs import Frames
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, QuantizedInput, QuantizedRelu, Relay
from nsim.network.pooling import Pool
from nsim.network.synapses import Box, Convolution, Dense, Separable, convolved_shape
from tests.generators.frame_networks import conv, dense, quantized_network, separable

seeds = st.integers(0, 2**32)


def convolved(values, kernel, stride, padding, dilation=(1, 1)):
    """Naive cross-correlation of [C, H, W] with [out, C, kH, kW], in Python integers."""
    _, height, width = values.shape
    shape = convolved_shape(values.shape, kernel, stride, padding, dilation)
    result = np.zeros(shape, object)
    for o, y, x in np.ndindex(shape):
        for c, i, j in np.ndindex(kernel.shape[1:]):
            row, column = y * stride[0] - padding[0] + i * dilation[0], x * stride[1] - padding[1] + j * dilation[1]
            if 0 <= row < height and 0 <= column < width:
                result[o, y, x] += int(kernel[o, c, i, j]) * int(values[c, row, column])
    return result


def pooled(values, pool):
    """Naive pooling: each window is cut off at the border."""
    channels, rows, columns = pool.pooled_shape
    result = np.zeros((channels, rows, columns), object)
    for c, y, x in np.ndindex(channels, rows, columns):
        top, left = y * pool.stride[0], x * pool.stride[1]
        window = values[c, top : top + pool.size[0], left : left + pool.size[1]]
        result[c, y, x] = window.max() if pool.kind == "max" else sum(window.ravel().tolist()) // window.size
    return result


@st.composite
def convolutions(draw):
    """A convolution with any geometry, and values for its source."""
    rng = np.random.default_rng(draw(seeds))
    kernel_size, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    padding, dilation = draw(st.integers(0, 3)), draw(st.integers(1, 2))
    source = draw(st.integers(1, 3)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    kernel = rng.integers(-7, 8, (draw(st.integers(1, 4)), source[0], kernel_size, kernel_size))
    geometry = (stride, stride), (padding, padding), (dilation, dilation)
    target = convolved_shape(source, kernel, *geometry)
    if min(target) < 1:
        return None
    return Convolution(kernel, source, target, *geometry), rng.integers(0, 16, source), geometry


@given(convolutions())
def test_sums_of_convolutions_are_those_of_the_definition(case):
    if case is None:
        return
    synapses, values, geometry = case
    expected = convolved(values, synapses.kernel, *geometry)
    assert exact_sums(synapses, 15)(values.ravel()).tolist() == expected.ravel().tolist()


@given(seeds, st.integers(1, 3), st.integers(1, 2), st.sampled_from([1, 3, 5]), st.integers(1, 9), st.integers(1, 9))
def test_sums_of_separable_convolutions_are_two_convolutions(seed, channels, stride, kernel, rows, columns):
    """And so are those of their composition, which is what chips without them would evaluate message by message."""
    rng = np.random.default_rng(seed)
    depthwise, pointwise = rng.integers(-7, 8, (channels, 1, kernel, kernel)), rng.integers(-7, 8, (4, channels))
    step, pad = (stride, stride), ((kernel - 1) // 2,) * 2
    synapses = Separable.compose(depthwise, pointwise, (channels, rows, columns), step, pad)
    values = rng.integers(0, 16, (channels, rows, columns))
    inner = np.concatenate([convolved(values[[c]], depthwise[[c]], step, pad) for c in range(channels)])
    expected = convolved(inner, pointwise[:, :, None, None], (1, 1), (0, 0))
    assert exact_sums(synapses, 15)(values.ravel()).tolist() == expected.ravel().tolist()
    total = np.zeros(synapses.targets, np.int64)
    firing = np.flatnonzero(values)
    synapses.add(firing, values.ravel()[firing], total)
    assert total.tolist() == expected.ravel().tolist()


@pytest.mark.parametrize("more", [{"groups": 2}, {"pool": (2, 2), "source_shape": (4, 10, 8)}])
def test_groups_and_sum_pooling_are_evaluated_message_by_message(more):
    """The same as in the network's other evaluation."""
    rng = np.random.default_rng(0)
    kernel = rng.integers(-7, 8, (2, 4 // more.get("groups", 1), 3, 3))
    synapses = Convolution(kernel, **({"source_shape": (4, 5, 4)} | more), target_shape=(2, 5, 4), padding=(1, 1))
    values = rng.integers(0, 16, synapses.sources)
    total = np.zeros(synapses.targets, np.int64)
    synapses.add(np.arange(synapses.sources), values, total)
    assert exact_sums(synapses, 15)(values).tolist() == total.tolist()
    assert total.any()


@pytest.mark.parametrize("weight", [7, 2**20, 2**45])
def test_sums_stay_exact_where_single_and_double_precision_would_not(weight):
    """Sums that differ by one, around 2^24 and beyond 2^53."""
    matrix = np.array([[weight] * 9 + [1, 0], [weight] * 9 + [0, 1]])
    sums = exact_sums(Dense(matrix, (11, 1, 1), (2, 1, 1)), 255)
    values = np.array([255] * 9 + [3, 2])
    assert sums(values).tolist() == [9 * 255 * weight + 3, 9 * 255 * weight + 2]


@given(seeds, st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3))
def test_max_pools_are_those_of_the_definition(seed, rows, columns, size, stride):
    size = min(size, rows, columns)
    pool = Pool("max", (size, size), (stride, stride), (2, rows, columns))
    values = np.random.default_rng(seed).integers(-100, 100, (2, rows, columns))
    if stride <= size:  # no window is empty
        assert pool.reduced(values.ravel()).tolist() == pooled(values, pool).ravel().tolist()


@given(seeds, st.integers(1, 6), st.integers(1, 6))
def test_global_averages_round_down(seed, rows, columns):
    pool = Pool.global_average((3, rows, columns))
    values = np.random.default_rng(seed).integers(-100, 100, (3, rows, columns))
    assert pool.reduced(values.ravel()).tolist() == pooled(values, pool).ravel().tolist()
    assert pool.reduced(values.ravel() / 1).tolist() == pytest.approx(values.mean(axis=(1, 2)).tolist())


@given(seeds, st.integers(7, 11), st.booleans())
@settings(max_examples=30)
def test_a_network_of_all_kinds_of_layers_against_naive_evaluation(seed, size, average):
    rng = np.random.default_rng(seed)
    specs = [conv(4, stride=2, bits=8), conv(5, pool="max2"), conv(3, kernel=1, pool="max1")]
    specs += [separable(6, pool="average" if average else None), dense(4)]
    network = quantized_network((3, size, size + 1), specs, input_bits=8, rng=rng, sums_at_end=True)
    frames = rng.integers(0, 256, (2, 3, size, size + 1))
    activities = list(evaluate_frames(network, frames))
    assert len(activities) == 2
    for frame, activity in zip(frames, activities, strict=True):
        values, firing = frame, [np.flatnonzero(frame)]
        for layer, connection in zip(network.layers[1:], network.connections, strict=True):
            synapses = connection.synapses
            if isinstance(synapses, Dense):
                sums = (synapses.matrix.astype(object) @ values.ravel()).reshape(-1, 1, 1)
            else:
                sums = convolved(values, synapses.kernel, synapses.stride, synapses.padding)
            sums = sums if layer.pool is None else pooled(sums, layer.pool)
            sends = layer.neuron.bits
            values = sums if sends is None else np.clip(sums // 8, 0, 15)
            firing.append(np.flatnonzero(values.ravel()))
        offsets = layer_offsets(network)
        expected = np.concatenate([own + first for own, first in zip(firing, offsets, strict=False)])
        assert activity.neurons.tolist() == expected.tolist()
        assert activity.indptr.tolist() == [0, expected.size]
        assert activity.outputs.tolist() == [values.ravel().tolist()]


def test_built_in_networks_send_about_what_is_assumed():
    """The steps of the built-in networks are made so that 40 % of every layer sends on random images."""
    for network in (build("cnn", seed=3), build("akidanet", width=0.25, size=160)):
        image = np.random.default_rng(1).integers(0, 256, (1, network.layers[0].neurons))
        (activity,) = evaluate_frames(network, image)
        offsets = layer_offsets(network)
        counts = np.diff(np.searchsorted(activity.neurons, offsets))
        for layer, count in list(zip(network.layers, counts, strict=True))[1:-1]:
            assert 0.2 < count / layer.neurons < 0.6, layer.name


def test_frames_that_are_held_are_evaluated_each():
    network = quantized_network((1, 5, 5), [conv(2)], input_bits=4)
    held = list(evaluate_frames(network, Frames(np.full((1, 25), 3), 3)))
    assert [a.outputs.tolist() for a in held] == [held[0].outputs.tolist()] * 3


NETWORK = quantized_network((1, 5, 5), [conv(2)], input_bits=4)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.full((1, 25), np.nan), "frame 0 holds nan, but input layer 'input' takes whole numbers from 0 to 15"),
        (np.array([[0] * 25, [16] + [0] * 24]), "frame 1 holds 16, .* from 0 to 15: scale and round"),
        (np.full((1, 25), -1), "holds -1"),
        (np.full((1, 25), 0.5), "holds 0.5"),
        (np.zeros((1, 24)), r"frames of shape \(1, 24\) and type float64 do not fit .* \(frames, 1, 5, 5\)"),
        (np.zeros(()), r"frames of shape \(\)"),
        (np.array([["a"] * 25]), "do not fit input layer"),
    ],
)
def test_frames_that_do_not_fit_are_refused(frames, words):
    with pytest.raises(InputError, match=words) as refusal:
        next(evaluate_frames(NETWORK, frames))
    assert "\n" not in str(refusal.value)


def test_networks_that_are_no_row_of_quantised_layers_are_refused():
    matrix = Dense(np.ones((2, 2), np.int64), (2, 1, 1), (2, 1, 1))
    real = Layer("b", (2, 1, 1), Activation())
    quantised = Layer("b", (2, 1, 1), QuantizedRelu(4))
    for source, layer, words in (
        (Layer("a", (2, 1, 1), Relay(), on_chip=False), quantised, "input layer 'a' sends values of a Relay"),
        (
            Layer("a", (2, 1, 1), QuantizedInput(bits=4), on_chip=False),
            real,
            "layer 'b' is no quantised layer behind 'a'",
        ),
    ):
        network = Network("net", (source, layer), (Connection("a", "b", matrix),), "a", "b")
        with pytest.raises(NetworkError, match=words):
            next(evaluate_frames(network, np.zeros((1, 2))))


def test_sums_in_the_middle_of_a_network_are_refused():
    layers = (
        Layer("a", (2, 1, 1), QuantizedInput(bits=4), on_chip=False),
        Layer("b", (2, 1, 1), QuantizedRelu(None)),
        Layer("c", (2, 1, 1), QuantizedRelu(4)),
    )
    matrix = Dense(np.ones((2, 2), np.int64), (2, 1, 1), (2, 1, 1))
    network = Network("net", layers, (Connection("a", "b", matrix), Connection("b", "c", matrix)), "a", "c")
    with pytest.raises(NetworkError, match="layer 'b' sends sums, which only the last layer may: give it bits"):
        next(evaluate_frames(network, np.zeros((1, 2))))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mean", (2, 2), (2, 2), (1, 4, 4)), "kind 'mean': give max or average"),
        (("max", (0, 2), (2, 2), (1, 4, 4)), "does not fit sums of shape"),
        (("max", (2, 5), (2, 2), (1, 4, 4)), r"size \(2, 5\) and stride \(2, 2\) does not fit"),
        (("average", (2, 2), (2, 2), (1, 4, 4)), "does not cover its .* only global average"),
    ],
)
def test_wrong_pools_are_refused(arguments, words):
    with pytest.raises(NetworkError, match=words):
        Pool(*arguments)


def test_a_layer_whose_pool_makes_another_shape_is_refused():
    layers = (
        Layer("a", (1, 4, 4), QuantizedInput(bits=4), on_chip=False),
        Layer("b", (1, 4, 4), QuantizedRelu(4), pool=Pool("max", (2, 2), (2, 2), (1, 4, 4))),
    )
    with pytest.raises(NetworkError, match=r"layer 'b' has shape \(1, 4, 4\), but its pool makes \(1, 2, 2\)"):
        Network("net", layers, (), "a", "b")


def test_a_connection_that_does_not_fill_a_pool_is_refused():
    layers = (
        Layer("a", (1, 2, 2), QuantizedInput(bits=4), on_chip=False),
        Layer("b", (1, 2, 2), QuantizedRelu(4), pool=Pool("max", (2, 2), (2, 2), (1, 4, 4))),
    )
    synapses = Dense(np.ones((4, 4), np.int64), (1, 2, 2), (1, 2, 2))
    with pytest.raises(NetworkError, match="joins 4 to 4 neurons, but the layers have 4 and 16 sums before its pool"):
        Network("net", layers, (Connection("a", "b", synapses),), "a", "b")


def test_kernels_that_make_no_separable_convolution_are_refused():
    with pytest.raises(NetworkError, match=r"depthwise weights \(2, 1, 3, 3\) and pointwise weights \(4, 3\)"):
        Separable.compose(np.ones((2, 1, 3, 3), np.int64), np.ones((4, 3), np.int64), (2, 4, 4))


@given(seeds, st.integers(1, 2), st.integers(3, 7))
def test_synops_of_a_separable_convolution_against_counting(seed, stride, size):
    """A tap for every depthwise product; pointwise weights shared by the taps that reach a position, rounded up."""
    rng = np.random.default_rng(seed)
    depthwise, pointwise = rng.integers(-1, 2, (2, 1, 3, 3)), rng.integers(-1, 2, (5, 2))
    synapses = Separable.compose(depthwise, pointwise, (2, size, size), (stride, stride), (1, 1))
    _, rows, columns = synapses.target_shape
    box = Box((1, 4), (0, (rows + 1) // 2), (0, columns))
    for stored in (False, True):
        found = synapses.fan_out(box, stored).reshape(2, size, size)
        for c, y, x in np.ndindex(2, size, size):
            taps = nonzero = 0
            for row, column, i, j in np.ndindex(*box.extent[1:], 3, 3):
                if (row * stride - 1 + i, column * stride - 1 + j) == (y, x):
                    taps += 1
                    nonzero += depthwise[c, 0, i, j] != 0
            weights = np.count_nonzero(pointwise[1:4, c]) if stored else 3
            assert found[c, y, x] == (nonzero if stored else taps) + -(-taps * weights // 9)
