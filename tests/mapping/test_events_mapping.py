"""Layers on cores: memory as the chip counts it, matching, merging, and what is refused in one line."""

import numpy as np
import pytest

from nsim.chip.file import load_chip
from nsim.errors import ChipError, MappingError, NetworkError
from nsim.mapping.events.mapping import map_stream
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import FixedIf, FixedLif, Lif, Relay
from nsim.network.synapses import Dense, Sparse
from tests.generators.streams import SPECK, chain, convolution, network_of


def net(*layers, source=(1, 8, 8)):
    """A chain of layers given as (shape of the kernel, keywords of `convolution`), with random weights."""
    rng = np.random.default_rng(0)
    built = [Layer("input", source, Relay(binary=True), on_chip=False)]
    connections = []
    for number, (kernel, options) in enumerate(layers):
        synapses = convolution(rng.integers(-99, 99, kernel), built[-1].shape, **options)
        built.append(Layer(f"layer{number}", synapses.target_shape, FixedIf(10)))
        connections.append(Connection(built[-2].name, built[-1].name, synapses))
    return network_of(built, connections)


def refusal(network: Network, **options) -> str:
    with pytest.raises(MappingError) as refused:
        map_stream(network, SPECK, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    "kernel, source, options, entries",
    [
        ((32, 2, 3, 3), (2, 32, 32), {"padding": (1, 1)}, (2 * 2 ** (4 + 5), 32 * 2**10, 0)),
        ((33, 5, 5, 5), (5, 9, 9), {"padding": (2, 2)}, (5 * 2 ** (5 + 6), 33 * 2**8, 0)),
        ((11, 32, 1, 1), (32, 1, 1), {}, (32 * 2**4, 11, 0)),
        ((1, 1, 2, 2), (1, 64, 64), {"stride": (2, 2)}, (4, 2**10, 0)),
    ],
)
def test_memory_is_rounded_up_to_powers_of_two(kernel, source, options, entries):
    """c 2^(ceil log2 k^2 + ceil log2 f) kernel entries and f 2^(ceil log2 fx + ceil log2 fy) neuron entries."""
    layer = map_stream(net((kernel, options), source=source), SPECK).layers[0]
    assert tuple(layer.entries.values()) == entries


def test_every_layer_has_a_core_of_its_own_that_holds_it():
    mapping = map_stream(chain(9), SPECK)
    assert sorted(layer.core for layer in mapping.layers) == list(range(9))
    assert all(SPECK.holds(layer.core, layer.entries) for layer in mapping.layers)


def test_large_kernels_and_many_neurons_go_where_they_fit():
    """64 Ki kernel entries fit cores 5 and 6 only, 64 Ki neurons cores 0 to 2: the matching finds both."""
    big_map = ((16, 1, 1, 1), {})
    big_kernel = ((64, 16, 8, 8), {"stride": (8, 8)})
    mapping = map_stream(net(big_map, big_kernel, source=(1, 64, 64)), SPECK)
    assert mapping.layers[0].entries["neuron"] == 65_536
    assert mapping.layers[1].entries["kernel"] == 65_536
    assert mapping.layers[0].core in (0, 1, 2)
    assert mapping.layers[1].core in (5, 6)


def test_placement_is_kept_and_the_rest_matched():
    mapping = map_stream(chain(9), SPECK, placement={"conv0": 8, "conv8": 0})
    assert (mapping.layers[0].core, mapping.layers[8].core) == (8, 0)
    assert sorted(layer.core for layer in mapping.layers) == list(range(9))


@pytest.mark.parametrize(
    "network, words",
    [
        (net(((1, 1, 17, 17), {"padding": (7, 7)}), source=(1, 32, 32)), ["17", "at most 16", "pool"]),
        (net(((1, 1, 1, 1), {"padding": (8, 8)})), ["padding 8", "at most 7"]),
        (net(((1, 1, 1, 1), {}), source=(1, 65, 65)), ["a map of 65", "at most 64"]),
        (net(((1, 1, 2, 2), {"stride": (3, 3)})), ["stride 3", "1, 2, 4, 8"]),
        (net(((1, 1, 1, 1), {"pool": (3, 3)})), ["pooling 3", "1, 2, 4"]),
        (net(((1025, 1, 1, 1), {}), source=(1, 1, 1)), ["1025 output channels", "at most 1024"]),
        (net(((1, 1025, 1, 1), {}), source=(1025, 1, 1)), ["1025 input channels", "at most 1024"]),
        (net(((1, 1, 1, 1), {"pool": (4, 4)}), source=(1, 256, 256)), ["sensor", "256 x 256", "at most 128"]),
        (net(((32, 1, 1, 1), {}), source=(1, 64, 64)), ["'layer0'", "131,072 neuron entries", "65,536", "pool"]),
        (net(((128, 64, 3, 3), {}), source=(64, 8, 8)), ["'layer0'", "131,072 kernel entries", "65,536"]),
        (
            net(((16, 512, 3, 3), {"padding": (1, 1)}), source=(512, 64, 64)),
            ["'layer0'", "131,072 kernel"],
        ),
        (net(((1, 1, 1, 1), {}), *[((1, 1, 1, 1), {})] * 9), ["10 layers", "9 cores"]),
        (
            net(*[((16, 1, 1, 1), {})], *[((16, 16, 1, 1), {})] * 3, source=(1, 64, 64)),
            ["4 layers compete for 3 cores"],
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_both_numbers(network, words):
    message = refusal(network)
    assert all(word in message for word in words), message


def test_kernel_and_neurons_that_fit_no_core_together():
    """32 Ki of both fit cores 3 and 4; 64 Ki of either fit some cores, but no core has both."""
    fits = map_stream(net(((32, 64, 3, 3), {"padding": (1, 1)}), source=(64, 32, 32)), SPECK)
    assert fits.layers[0].core in (3, 4)
    message = refusal(net(((64, 64, 3, 3), {"padding": (1, 1)}), source=(64, 32, 32)))
    assert "at once" in message and "65,536 kernel, 65,536 neuron" in message


def weights(value, **options):
    layers = [Layer("input", (1, 1, 1), Relay(binary=True), on_chip=False), Layer("fc", (1, 1, 1), FixedIf(1))]
    return network_of(layers, [Connection("input", "fc", Dense(np.array([[value]]), (1, 1, 1), (1, 1, 1)), **options)])


@pytest.mark.parametrize("value", [128, -129])
def test_a_weight_beyond_8_bits(value):
    message = refusal(weights(value))
    assert str(value) in message and "8 bits, -128 to 127" in message


@pytest.mark.parametrize("value", [127, -128])
def test_the_largest_weights_fit(value):
    assert map_stream(weights(value), SPECK).layers[0].kernel.item() == value


def test_float_weights_are_refused():
    assert "whole numbers" in refusal(weights(0.5))


def test_delays_are_refused():
    assert "delays" in refusal(weights(1, source_delay=1))


@pytest.mark.parametrize("neuron", [FixedLif(0, 0, 10), Lif(0.0, 1.0, 1.0)])
def test_other_neurons_are_refused(neuron):
    network = weights(1)
    layers = network.layers[0], Layer("fc", (1, 1, 1), neuron)
    message = refusal(Network("x", layers, network.connections, "input", "fc"))
    assert type(neuron).__name__ in message and "integrate-and-fire" in message


@pytest.mark.parametrize("threshold", [0, -5, 2**15, np.array([3, 4])])
def test_thresholds_are_one_positive_16_bit_number(threshold):
    with pytest.raises(NetworkError, match="give one number, 1 to 32767"):
        FixedIf(threshold)


@pytest.mark.parametrize("name", ["bias", "initial"])
def test_biases_and_states_have_16_bits(name):
    with pytest.raises(NetworkError, match=f"{name} of a 16-bit neuron"):
        FixedIf(1, **{name: 2**15})


def fan(targets: int, weights=None) -> Network:
    """A residual: layer a feeds `targets` layers, all of which feed the last."""
    shape = (2, 4, 4)
    kernel = np.ones((2, 2, 1, 1), int)
    layers = [Layer("input", shape, Relay(binary=True), on_chip=False)]
    layers += [Layer(name, shape, FixedIf(1)) for name in ("a", *(f"b{n}" for n in range(targets)), "sum")]
    same = convolution(kernel, shape)
    connections = [Connection("input", "a", same)]
    for n in range(targets):
        connections.append(Connection("a", f"b{n}", same))
        last = convolution(kernel if weights is None else weights(n), shape)
        connections.append(Connection(f"b{n}", "sum", last))
    return network_of(layers, connections)


def test_a_residual_with_three_destinations_is_refused():
    message = refusal(fan(3))
    assert "'a'" in message and "3 layers (b0, b1, b2)" in message and "2 destinations" in message


def test_the_sensor_has_two_destinations_too():
    network = fan(2)
    first = network.connections[0]
    more = [Connection("input", name, first.synapses) for name in ("b0", "b1")]
    assert "the sensor sends to 3 layers" in refusal(network_of(list(network.layers), [*network.connections, *more]))


def test_equal_weights_share_a_kernel_and_others_get_channels_of_their_own():
    mapping = map_stream(fan(2), SPECK)
    assert mapping.layers[-1].kernel.shape == (2, 1, 1, 2)
    assert [layer.destinations[0].channel_shift for layer in mapping.layers[1:3]] == [0, 0]
    mapping = map_stream(fan(2, lambda n: np.full((2, 2, 1, 1), n + 1)), SPECK)
    assert mapping.layers[-1].kernel[:, 0, 0].tolist() == [[1, 1], [1, 1], [2, 2], [2, 2]]
    assert [layer.destinations[0].channel_shift for layer in mapping.layers[1:3]] == [0, 2]


def test_feeders_of_other_geometry_are_refused():
    network = fan(2)
    other = convolution(np.ones((2, 2, 3, 3), int), (2, 4, 4), padding=(1, 1))
    connections = [*network.connections[:-1], Connection("b1", "sum", other)]
    message = refusal(network_of(list(network.layers), connections))
    assert "one kernel" in message and "(3, 3)" in message


def test_recurrence_is_refused():
    network = chain(2)
    back = Connection("conv1", "conv0", network.connections[1].synapses)
    assert "'conv0', 'conv1' feed each other in a circle" in refusal(
        network_of(list(network.layers), [*network.connections, back])
    )


def test_layers_come_in_order_of_the_data_however_they_are_listed():
    network = chain(3)
    first, *others = network.layers
    shuffled = Network("x", (first, *others[::-1]), network.connections, "input", "conv2")
    assert [layer.name for layer in map_stream(shuffled, SPECK).layers] == ["conv0", "conv1", "conv2"]


def test_sparse_synapses_are_refused():
    layers = [Layer("input", (1, 2, 2), Relay(binary=True), on_chip=False), Layer("fc", (1, 2, 2), FixedIf(1))]
    synapses = Sparse.from_matrix(np.diag([1, 2, 3, 4]), (1, 2, 2), (1, 2, 2))
    assert "is sparse" in refusal(network_of(layers, [Connection("input", "fc", synapses)]))


def test_a_fully_connected_layer_is_a_kernel_as_large_as_its_input():
    rng = np.random.default_rng(0)
    matrix = rng.integers(-128, 128, (5, 3 * 4 * 6))
    layers = [Layer("input", (3, 4, 6), Relay(binary=True), on_chip=False), Layer("fc", (5, 1, 1), FixedIf(1))]
    mapping = map_stream(network_of(layers, [Connection("input", "fc", Dense(matrix, (3, 4, 6), (5, 1, 1)))]), SPECK)
    kernel = mapping.layers[0].kernel
    assert kernel.shape == (3, 4, 6, 5)
    np.testing.assert_array_equal(kernel.transpose(3, 0, 1, 2).reshape(5, -1), matrix)


@pytest.mark.parametrize("pool", [2, 4])
def test_pooling_hidden_in_weights_is_found(pool):
    """Weights that repeat in windows are those of the pooled input: less memory, the same sums."""
    rng = np.random.default_rng(0)
    small = rng.integers(-128, 128, (5, 3, 8 // pool, 8 // pool))
    matrix = small.repeat(pool, axis=2).repeat(pool, axis=3).reshape(5, -1)
    layers = [Layer("input", (3, 8, 8), Relay(binary=True), on_chip=False), Layer("fc", (5, 1, 1), FixedIf(1))]
    mapping = map_stream(network_of(layers, [Connection("input", "fc", Dense(matrix, (3, 8, 8), (5, 1, 1)))]), SPECK)
    assert mapping.sensor[0].pool == (pool, pool)
    np.testing.assert_array_equal(mapping.layers[0].kernel.transpose(3, 0, 1, 2), small)


def test_groups_are_stored_with_zeros_between_them():
    kernel = np.arange(1, 5).reshape(4, 1, 1, 1)
    from nsim.network.synapses import Convolution

    synapses = Convolution(kernel, (2, 3, 3), (4, 3, 3), groups=2)
    layers = [Layer("input", (2, 3, 3), Relay(binary=True), on_chip=False), Layer("conv", (4, 3, 3), FixedIf(1))]
    mapping = map_stream(network_of(layers, [Connection("input", "conv", synapses)]), SPECK)
    assert mapping.layers[0].kernel[:, 0, 0].tolist() == [[1, 2, 0, 0], [0, 0, 3, 4]]


def test_biases_within_a_channel_must_be_equal():
    network = chain(1, bias=np.arange(64))
    assert "differ within a channel" in refusal(network)
    assert map_stream(chain(1, bias=7), SPECK).layers[0].entries["bias"] == 1


@pytest.mark.parametrize(
    "placement, words",
    [
        ({"conv9": 0}, "'conv9', but the layers are conv0"),
        ({"conv0": 9}, "core 9, but the cores are 0 to 8"),
        ({"conv0": 1, "conv1": 1}, "2 layers compete for 1 cores"),
    ],
)
def test_wrong_placements(placement, words):
    assert words in refusal(chain(2), placement=placement)


def test_a_placement_on_a_small_core():
    assert "too small: it fits on 0, 1, 2" in refusal(
        net(((16, 1, 1, 1), {}), source=(1, 64, 64)), placement={"layer0": 8}
    )


@pytest.mark.parametrize("options", [{"decimate": {"conv7": 2}}, {"balance": ("conv7",)}])
def test_options_of_unknown_layers(options):
    with pytest.raises(MappingError, match="no layer 'conv7'"):
        map_stream(chain(1), SPECK).with_options(**options)


@pytest.mark.parametrize("every", [0, 513])
def test_the_decimator_has_a_range(every):
    with pytest.raises(MappingError, match=f"one of {every}: give 1"):
        map_stream(chain(1), SPECK).with_options(decimate={"conv0": every})


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("strides = [1, 2, 4, 8]", "strides = [1, 4, 2]", "limits.strides"),
        ("cores = [0]", "cores = [0, 9]", "parallel.cores"),
        ("bias_entries = [1_024, ", "bias_entries = [", "memories.bias_entries"),
        ("places = 16", "places = 65", "balancer.places_range"),
        ("state_bits = 16", "state_bits = 8", "limits.state_bits"),
    ],
)
def test_a_wrong_chip_file_is_refused(tmp_path, old, new, words):
    text = SPECK.path.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ChipError, match=words) as refused:
        load_chip(tmp_path / "mine.toml")
    assert "\n" not in str(refused.value)
