"""Partitions tile their layers within the limits, copies equal a count synapse by synapse, refusals name a cure."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nsim.chip.file import load_chip
from nsim.errors import MappingError
from nsim.formats.network import load_network
from nsim.mapping.cores.partition import Rules, Slice, even_slices
from nsim.mapping.cores.place import place
from nsim.mapping.cores.route import distance
from nsim.mapping.network import map_network
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, DiagonalState, Lif, Relay, Threshold
from nsim.network.synapses import Box, Convolution, Dense, Sparse
from tests.generators.machines import (
    Work,
    changed,
    first_neuron,
    mapped_from_text,
    mapped_networks,
    naive_copies,
    random_network,
    shipped,
    small_chip,
)

examples = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check_tiling(network: Network, partition) -> None:
    """Every neuron of every layer on the chip is in exactly one slice, and every slice has room for its box."""
    held = {layer.name: np.zeros(layer.neurons, np.int64) for layer in network.layers}
    for piece in itertools.chain.from_iterable(partition):
        layer = network.by_name[piece.layer]
        held[piece.layer][piece.box.indices(layer.shape)] += 1
        assert piece.allocated >= piece.box.neurons > 0
        assert piece.box.neurons % layer.neuron.granule == 0
    for layer in network.layers:
        assert (held[layer.name] == layer.on_chip).all(), layer.name


def check_limits(mapping) -> None:
    core = mapping.chip.core
    assert len(mapping.partition) <= mapping.chip.cores
    for slices, demand in zip(mapping.partition, mapping.demands, strict=True):
        assert demand.neurons == sum(piece.allocated for piece in slices) <= core.neurons
        assert demand.synapse_words <= core.synapse_words
        assert core.axons_in is None or demand.axons_in <= core.axons_in


@examples
@given(mapping=mapped_networks())
def test_shares_tile_every_layer_and_keep_the_limits(mapping):
    check_tiling(mapping.network, mapping.partition)
    check_limits(mapping)


@examples
@given(
    seed=st.integers(0, 2**32 - 1),
    neurons=st.sampled_from([4, 16, 64, 500]),
    words=st.sampled_from([3, 20, 100, 1000]),
    axons=st.sampled_from([None, 2, 10, 100]),
    widths=st.sampled_from([(2, 3), (4, 6), (9, 12)]),
)
def test_default_partition_meets_any_limits_or_says_which_it_cannot(seed, neurons, words, axons, widths):
    network = random_network(np.random.default_rng(seed), graded=True)
    limits = {
        "core.neurons": neurons,
        "core.synapse_words": words,
        "core.axons_in": axons,
        "partition.conv_slice_neurons": min(16, neurons),
        "formats.sparse.index_bits": widths,
        "mesh.columns": 40,
        "mesh.rows": 40,
    }
    try:
        mapping = map_network(network, changed(shipped("loihi2"), limits))
    except MappingError as error:
        found = re.search(r"layer '(\w+)' cannot be split far enough .* needs (\d+) (.*), available (\d+)", str(error))
        assert found, error
        assert int(found[2]) > int(found[4])
        return
    check_tiling(network, mapping.partition)
    check_limits(mapping)
    for slices in mapping.partition:
        assert len(slices) == 1  # by default no core holds two layers


@examples
@given(mapping=mapped_networks())
def test_a_core_sweeps_its_neurons_in_the_networks_order(mapping):
    """Also where it holds several slices of a layer, which may interleave; the host's neurons count up."""
    for slices, core in zip(mapping.partition, mapping.placement.tolist(), strict=True):
        held = [
            first_neuron(mapping.network, piece.layer) + piece.box.indices(mapping.network.by_name[piece.layer].shape)
            for piece in slices
        ]
        own = np.flatnonzero(mapping.core == core)
        assert own.tolist() == sorted(np.concatenate(held).tolist())
        assert mapping.slot[own].tolist() == list(range(own.size))
        assert mapping.allocated[core] == sum(piece.allocated for piece in slices)
    host = np.flatnonzero(mapping.core == mapping.chip.cores)
    off_chip = [layer for layer in mapping.network.layers if not layer.on_chip]
    assert host.size == sum(layer.neurons for layer in off_chip)
    assert mapping.slot[host].tolist() == list(range(host.size))
    assert mapping.allocated.sum() == sum(s.allocated for s in itertools.chain.from_iterable(mapping.partition))
    assert mapping.allocated[-1] == 0


@examples
@given(mapping=mapped_networks())
def test_copies_are_the_cores_with_a_synop(mapping):
    """Destination cores, synops by format, words and service times equal a count synapse by synapse."""
    copies, chip = mapping.copies, mapping.chip
    owner = np.repeat(np.arange(mapping.core.size), np.diff(copies.indptr))
    pairs = list(zip(owner.tolist(), copies.core.tolist(), strict=True))
    expected = naive_copies(mapping)
    assert pairs == sorted(expected)
    for row, pair in enumerate(pairs):
        work: Work = expected[pair]
        assert copies.synops[row].tolist() == [work.synops[form] for form in ("dense", "sparse", "conv")]
        assert copies.words[row] == work.words
        assert copies.service_ps[row] == max(1, chip.actions.message_in.latency_ps + work.time_ps)


@examples
@given(mapping=mapped_networks(), seed=st.integers(0, 99))
def test_copies_are_in_the_order_of_cores_wherever_these_are(mapping, seed):
    """Under any placement the same work, by neuron and then by physical core."""
    placed = map_network(
        mapping.network, mapping.chip, mapping.partition, f"random:{seed}", weight_format=mapping.dense_layers
    )
    owner = np.repeat(np.arange(placed.core.size), np.diff(placed.copies.indptr))
    expected = sorted(naive_copies(placed).items())
    assert list(zip(owner.tolist(), placed.copies.core.tolist(), strict=True)) == [pair for pair, _ in expected]
    assert placed.copies.words.tolist() == [work.words for _, work in expected]
    assert placed.copies.synops.sum(axis=1).tolist() == [sum(work.synops.values()) for _, work in expected]


def test_layers_that_share_their_synapses_are_mapped_as_others():
    """Slices alike are looked at once: the same as with a copy of the weights for every layer."""
    shape, rng = (24, 1, 1), np.random.default_rng(0)
    weights = rng.integers(-9, 9, (24, 24)) * (rng.random((24, 24)) < 0.4)
    layers = tuple(Layer(f"layer{k}", shape, Lif(leak=0.1, gain=1.0, threshold=1.0)) for k in range(4))
    one = Dense(weights, shape, shape)

    def mapped(synapses):
        joined = [
            Connection(f"layer{k}", f"layer{k + 1}", synapses[k], weight_bits=bits) for k, bits in enumerate((8, 8, 4))
        ]
        network = Network("shared", layers, tuple(joined), "layer0", "layer3")
        return map_network(network, shipped("loihi2"), {"layer1": 3, "layer2": 5, "layer3": 3})

    shared, own = mapped([one] * 3), mapped([Dense(weights.copy(), shape, shape) for _ in range(3)])
    for name in ("indptr", "core", "synops", "words", "service_ps"):
        assert getattr(shared.copies, name).tolist() == getattr(own.copies, name).tolist()
    assert shared.demands == own.demands


@examples
@given(mapping=mapped_networks(), word_ps=st.integers(0, 5_000), receive_ps=st.integers(0, 3))
def test_a_copy_takes_the_longer_of_reading_and_adding(mapping, word_ps, receive_ps):
    """message_in + sum over connections of max(words x word time, synops x synop time), at least 1 ps."""
    times = {"actions.word_read.latency_ps": word_ps, "actions.message_in.latency_ps": receive_ps}
    chip = changed(mapping.chip, {**times, "actions.synop_conv.latency_ps": 0})
    again = map_network(mapping.network, chip, "even:1", weight_format=mapping.dense_layers)
    services = [max(1, receive_ps + work.time_ps) for _, work in sorted(naive_copies(again).items())]
    assert again.copies.service_ps.tolist() == services


@examples
@given(mapping=mapped_networks())
def test_splitting_moves_synops_but_makes_none(mapping):
    """Summed over destination cores, a neuron's synops are its fan-out, whatever the partition.

    But for slices that go on beyond their layer, whose synops only add to it.
    """
    whole = map_network(mapping.network, mapping.chip, "even:1", weight_format=mapping.dense_layers)
    ending = tuple(tuple(replace(piece, larger=None) for piece in held) for held in mapping.partition)
    exact = map_network(mapping.network, mapping.chip, ending, weight_format=mapping.dense_layers)

    def fan_out(m):
        owner = np.repeat(np.arange(m.core.size), np.diff(m.copies.indptr))
        return np.bincount(owner, m.copies.synops.sum(axis=1), m.core.size).tolist()

    assert fan_out(exact) == fan_out(whole)
    assert all(more >= least for more, least in zip(fan_out(mapping), fan_out(whole), strict=True))


@pytest.mark.parametrize(("layer", "ratio"), [("conv1", 0.336), ("conv3", 0.868), ("conv4", 0.314)])
def test_lava_dl_pilotnet_log_last_slices(layer, ratio):
    """Synops of a layer's last slice over those of a full one, read off the log's plot; here every input sends."""
    mapping = map_network(load_network("pilotnet:neuron=lif"), load_chip("loihi2"))
    synops = mapping.copies.synops.sum(axis=1)
    cores = [core for core, held in enumerate(mapping.partition) if held[0].layer == layer]
    first, *_, last = [int(synops[mapping.copies.core == mapping.placement[core]].sum()) for core in cores]
    assert last / first == pytest.approx(ratio, abs=0.01)


@examples
@given(mapping=mapped_networks())
def test_placement_gives_every_logical_core_a_place_of_its_own(mapping):
    placed = mapping.placement.tolist()
    assert len(set(placed)) == len(placed) == len(mapping.partition)
    assert all(0 <= core < mapping.chip.cores for core in placed)
    assert mapping.used_cores.tolist() == sorted(placed)
    for core in placed:
        held = {piece.layer for piece in mapping.partition[placed.index(core)]}
        assert mapping.layers_of(core) == [layer.name for layer in mapping.network.layers if layer.name in held]


def chain(widths, kind="dense", neuron=None) -> Network:
    """An input from the host and fully connected layers of these widths."""
    layers = [Layer("input", (widths[0], 1, 1), Relay(binary=True), on_chip=False)]
    connections = []
    for number, width in enumerate(widths[1:]):
        layers.append(Layer(f"fc{number}", (width, 1, 1), neuron or Threshold(0.5)))
        matrix = np.ones((width, widths[number]), np.int64)
        ends = layers[-2].shape, layers[-1].shape
        synapses = Dense(matrix, *ends) if kind == "dense" else Sparse.from_matrix(matrix, *ends)
        connections.append(Connection(layers[-2].name, layers[-1].name, synapses))
    return Network("chain", tuple(layers), tuple(connections), "input", layers[-1].name)


def image(shape=(2, 5, 6), out=4) -> Network:
    """An input from the host and one convolution of 3 x 3."""
    kernel = np.ones((out, shape[0], 3, 3), np.int64)
    conv = Convolution(kernel, shape, (out, shape[1] - 2, shape[2] - 2))
    layers = Layer("input", shape, Relay(binary=True), on_chip=False), Layer("conv", conv.target_shape, Threshold(0.5))
    return Network("image", layers, (Connection("input", "conv", conv),), "input", "conv")


def extents(mapping, layer: str) -> list[tuple[int, int, int]]:
    return [piece.box.extent for core in mapping.partition for piece in core if piece.layer == layer]


def test_default_partition_of_pilotnet_tiles_and_fits():
    for neuron in ("lif", "sdnn"):
        mapping = map_network(load_network("pilotnet", neuron=neuron), shipped("loihi2"))
        check_tiling(mapping.network, mapping.partition)
        check_limits(mapping)


@pytest.mark.parametrize("neurons, parts", [(1, 1), (10, 3), (10, 10), (17, 4)])
def test_even_shares_differ_by_at_most_one_and_the_larger_come_first(neurons, parts):
    sizes = [c for c, _, _ in extents(map_network(chain([3, neurons]), shipped("loihi2"), f"even:{parts}"), "fc0")]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == neurons
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == parts


def test_even_partition_means_the_same_in_every_notation():
    network, chip = chain([3, 8, 6]), shipped("loihi2")
    for same in (2, "even:2", {"fc0": 2, "fc1": 2}, "even:fc0=2,fc1=2", "even: fc1 = 2 , fc0 = 2"):
        mapping = map_network(network, chip, same)
        assert extents(mapping, "fc0") == [(4, 1, 1)] * 2
        assert extents(mapping, "fc1") == [(3, 1, 1)] * 2
    assert extents(map_network(network, chip, {"fc1": 3}), "fc0") == [(8, 1, 1)]  # not named: the default


def test_even_partition_cuts_columns_then_rows_then_channels():
    """The convolution gives 7 x 3 x 4: up to 4 cores share its columns, 5 to 7 its channels."""
    network = image(out=7)
    by_columns = map_network(network, shipped("loihi2"), {"conv": 3})
    assert extents(by_columns, "conv") == [(7, 3, 2), (7, 3, 1), (7, 3, 1)]
    by_channels = map_network(network, shipped("loihi2"), {"conv": 5})
    assert extents(by_channels, "conv") == [(2, 3, 4)] * 2 + [(1, 3, 4)] * 3


def test_one_number_for_all_layers_gives_small_layers_fewer_cores():
    """As many as can be cut along one axis, in space or not."""
    mapping = map_network(chain([3, 12, 2]), shipped("loihi2"), 5)
    assert (len(extents(mapping, "fc0")), len(extents(mapping, "fc1"))) == (5, 2)
    assert len(extents(map_network(image(out=4), shipped("loihi2"), 10), "conv")) == 4


def test_pairs_of_neurons_stay_together():
    """A diagonal state is two neurons: slices hold whole pairs."""
    network = chain([3, 10], neuron=DiagonalState(np.full(5, 0.5j)))
    mapping = map_network(network, shipped("loihi2"), 3)
    assert extents(mapping, "fc0") == [(4, 1, 1), (4, 1, 1), (2, 1, 1)]
    with pytest.raises(MappingError, match=r"layer 'fc0'.*multiples of 2 neurons"):
        mapped_from_text(network, shipped("loihi2"), "[layers.fc0]\nneurons = [5, 5]\n")


def test_file_puts_shares_of_several_layers_on_one_core():
    """A message to two layers of one core is one copy, and its work there adds up."""
    network, chip = chain([2, 4, 6, 3]), shipped("loihi2")
    both = Connection("input", "fc1", Dense(np.ones((6, 2), np.int64), (2, 1, 1), (6, 1, 1)))
    network = Network("chain", network.layers, (*network.connections, both), "input", "fc2")
    text = "[layers.fc0]\nchannels = [1, 3]\ncores = [7, 9]\n[layers.fc1]\nneurons = [4, 2]\ncores = [9, 7]\n"
    mapping = mapped_from_text(network, chip, text)
    held = [[(piece.layer, piece.box.channels) for piece in core] for core in mapping.partition]
    assert held == [[("fc0", (0, 1)), ("fc1", (4, 6))], [("fc0", (1, 4)), ("fc1", (0, 4))], [("fc2", (0, 3))]]
    assert mapping.copies.core[:4].tolist() == [0, 1, 0, 1]  # both input neurons, to both cores
    assert mapping.copies.synops.sum(axis=1)[:2].tolist() == [1 + 2, 3 + 4]
    assert mapping.layers_of(1) == ["fc0", "fc1"]
    assert mapping.slot.tolist() == [0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 1, 2, 0, 1, 2]


def test_file_cuts_along_the_axis_it_names():
    network, chip = image(out=4), shipped("loihi2")
    assert extents(mapped_from_text(network, chip, "[layers.conv]\nrows = [1, 2]\n"), "conv") == [(4, 1, 4), (4, 2, 4)]
    assert extents(mapped_from_text(network, chip, "[layers.conv]\ncolumns = [3, 1]\n"), "conv") == [
        (4, 3, 3),
        (4, 3, 1),
    ]


def test_two_shares_of_a_layer_on_one_core_are_one_destination():
    split = mapped_from_text(chain([2, 6]), shipped("loihi2"), "[layers.fc0]\nneurons = [4, 2]\ncores = [0, 0]\n")
    assert split.copies.core.tolist() == [0, 0]
    assert split.copies.synops.sum(axis=1).tolist() == [6, 6]
    assert split.slot.tolist() == [0, 1, 0, 1, 2, 3, 4, 5]
    assert split.layers_of(0) == ["fc0"]
    text = "[layers.conv]\ncolumns = [1, 3]\ncores = [5, 5]\n"
    interleaved = mapped_from_text(image((1, 3, 6), out=1), shipped("loihi2"), text)
    assert interleaved.slot[18:].tolist() == [0, 1, 2, 3]


def refusal(network, chip, partition="default", **options) -> str:
    with pytest.raises(MappingError) as caught:
        map_network(network, chip, partition, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def refused_text(text: str, network=None) -> str:
    with pytest.raises(MappingError) as caught:
        mapped_from_text(network or chain([3, 8, 6]), shipped("loihi2"), text)
    return str(caught.value)


LIMITS = [
    ({"core.neurons": 7}, "neurons"),
    ({"core.synapse_words": 50}, "synapse words"),
    ({"formats.sparse.index_bits": (2, 3)}, "target indices of sparse weights"),
]


@pytest.mark.parametrize(("limits", "resource"), LIMITS, ids=[resource for _, resource in LIMITS])
def test_layer_over_a_limit_is_refused_with_the_smallest_split_that_fits(limits, resource):
    """The number of cores it names does fit, one fewer does not, and the default partition finds a way by itself."""
    network, chip = chain([9, 60], "sparse"), changed(shipped("loihi2"), limits)
    message = refusal(network, chip, {"fc0": 1})
    found = re.fullmatch(
        rf"layer 'fc0' needs (\d+) {resource} on core 0, but chip 'loihi2' has (\d+) per core: "
        r"split the layer over at least (\d+) cores",
        message,
    )
    assert found, message
    needed, available, parts = map(int, found.groups())
    assert needed > available
    check_limits(map_network(network, chip, {"fc0": parts}))
    assert resource in refusal(network, chip, {"fc0": parts - 1})
    check_limits(map_network(network, chip))
    rules = Rules(network, chip)
    assert not any(rules.fits(even_slices(network.layers[1], fewer, "channels")) for fewer in range(1, parts))


def test_layer_that_no_split_saves_says_so():
    chip = changed(shipped("loihi2"), {"core.axons_in": 5})
    assert refusal(chain([9, 60]), chip, {"fc0": 1}).endswith(
        "needs 9 incoming axons on core 0, but chip 'loihi2' has 5 per core: no even split of the layer fits"
    )
    assert refusal(chain([9, 60]), chip) == (
        "layer 'fc0' cannot be split far enough for chip 'loihi2': a core with 1 of its neurons still needs 9 incoming "
        "axons, available 5"
    )


def test_shared_core_over_a_limit_names_its_layers():
    chip = changed(shipped("loihi2"), {"core.neurons": 10})
    text = "[layers.fc0]\nneurons = [8]\ncores = [0]\n[layers.fc1]\nneurons = [6]\ncores = [0]\n"
    with pytest.raises(MappingError, match=r"needs 14 neurons.* 10 per core: give the layers 'fc0', 'fc1' cores of"):
        mapped_from_text(chain([3, 8, 6]), chip, text)


def test_more_cores_than_the_chip_has_are_refused():
    message = refusal(chain([3, 8, 6]), small_chip(2, 2, 1), 3)
    assert message.startswith("network 'chain' needs 6 cores, but chip 'loihi2' has 4: ")


def test_outgoing_axons_are_counted_per_destination_core():
    """Loihi: one axon per neuron and destination core. 8 neurons to 6 cores need 48 of them."""
    network = chain([3, 8, 6])
    chip = changed(shipped("loihi"), {"core.axons_out": 47})
    message = refusal(network, chip, {"fc0": 1, "fc1": 6})
    assert (
        "layer 'fc0' needs 48 outgoing axons on core 0, but chip 'loihi' has 47 per core: split it over at least 2"
        in message
    )
    map_network(network, chip, {"fc0": 2, "fc1": 6})
    map_network(network, changed(chip, {"core.axons_out": 48}), {"fc0": 1, "fc1": 6})


def test_incoming_axons_of_loihi_are_limited():
    chip = changed(shipped("loihi"), {"core.axons_in": 8})
    assert "needs 9 incoming axons on core 0, but chip 'loihi' has 8" in refusal(chain([9, 4]), chip, 1)


def test_graded_messages_need_a_chip_that_carries_them():
    """A layer that is only read sends nothing, and an input's messages are checked when its values are known."""
    assert "layer 'fc0' sends graded messages, but chip 'loihi' carries binary spikes only" in refusal(
        chain([3, 8, 6], neuron=Activation()), shipped("loihi")
    )
    map_network(chain([3, 8, 6], neuron=Activation()), shipped("loihi2"))
    map_network(chain([3, 8], neuron=Lif(0.1, 1.0, threshold=None)), shipped("loihi"))


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        ("thirds", "no partition 'thirds': give default, even:N, even:LAYER=N,... or a .toml file"),
        ("even:x", "partition 'even:x': expected a number of cores"),
        ("even:fc0=two", "partition 'even:fc0=two': expected a number of cores, or LAYER=NUMBER"),
        ("even:fc9=2", "partition names layer 'fc9', which is not on the chip: layers are fc0, fc1"),
        ("even:input=2", "partition names layer 'input', which is not on the chip"),
        ("even:0", "partition gives layer 'fc0' 0 cores: give at least 1"),
        ("even:fc1=-3", "partition gives layer 'fc1' -3 cores: give at least 1"),
        ("even:fc0=9", "layer 'fc0' of shape (8, 1, 1) cannot be split evenly over 9 cores: at most 8"),
        ("missing.toml", "cannot read partition file missing.toml ("),
    ],
)
def test_partitions_that_make_no_sense_are_refused(partition, message):
    assert message in refusal(chain([3, 8, 6]), shipped("loihi2"), partition)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[layers.fc0]\nneurons = [4, 3]\n", "channels [4, 3] sum to 7, but the layer has 8"),
        ("[layers.fc0]\nneurons = [9, -1]\n", "give positive slices that sum to it"),
        ("[layers.fc0]\nneurons = []\n", "channels [] sum to 0, but the layer has 8"),
        ("[layers.fc0]\nneurons = 8\n", "layers.fc0.neurons is 8: expected a list of whole numbers"),
        ("[layers.fc0]\nneurons = [8.0]\n", "layers.fc0.neurons is [8.0]: expected a list of whole numbers"),
        ("[layers.fc0]\nneurons = [8]\ncores = [true]\n", "layers.fc0.cores is [True]: expected a list of whole"),
        ("[layers.fc0]\nneurons = [8]\ncores = [0, 1]\n", "layers.fc0.cores has 2 numbers for 1 slices"),
        (
            "[layers.fc0]\nneurons = [8]\nchannels = [8]\n",
            "expected one or more of columns, rows, channels, or neurons",
        ),
        ("[layers.fc0]\nchannels = [4, 4]\nrows = [2]\n", "rows [2] sum to 2, but the layer has 1"),
        ("[layers.fc0]\ncores = [0]\n", "expected one or more of columns, rows, channels, or neurons"),
        ("[layers.fc0]\nneuron = [8]\n", "layers.fc0 has ['neuron']: expected one or more of"),
        ("[layers]\nfc0 = 3\n", "layers.fc0 is 3: expected a table such as columns = [4, 4, 3]"),
        ("[layers.fc2]\nneurons = [8]\n", "names layer 'fc2', which is not on the chip: layers are fc0, fc1"),
        ("[layers.input]\nneurons = [3]\n", "names layer 'input', which is not on the chip"),
        ("[cores]\n", "holds tables [layers.NAME] and nothing else: found ['cores']"),
        ("layers = [\n", "cannot read partition file"),
    ],
)
def test_partition_files_that_make_no_sense_are_refused(text, message):
    assert message in refused_text(text)


def test_a_file_cuts_a_layer_along_several_axes():
    """Boxes in order of channels, rows, columns, each with its own core; every neuron in exactly one."""
    mapping = mapped_from_text(image(), shipped("loihi2"), "[layers.conv]\nchannels = [1, 3]\ncolumns = [3, 1]\n")
    boxes = [piece.box for slices in mapping.partition for piece in slices]
    assert boxes == [
        Box((0, 1), (0, 3), (0, 3)),
        Box((0, 1), (0, 3), (3, 4)),
        Box((1, 4), (0, 3), (0, 3)),
        Box((1, 4), (0, 3), (3, 4)),
    ]
    assert mapping.allocated.sum() == 4 * 3 * 4
    shared = "[layers.conv]\nchannels = [1, 3]\ncolumns = [3, 1]\ncores = [0, 0, 1, 0]\n"
    held = mapped_from_text(image(), shipped("loihi2"), shared).partition
    assert [[piece.box for piece in slices] for slices in held] == [[boxes[0], boxes[1], boxes[3]], [boxes[2]]]


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([Box((0, 4), (0, 3), (0, 3))], "36 of the 48 neurons of layer 'conv' are on a core, and 0 on more than one"),
        (
            [Box.whole((4, 3, 4)), Box((0, 1), (0, 1), (0, 1))],
            "48 of the 48 neurons of layer 'conv' are on a core, and 1",
        ),
        ([Box((0, 4), (0, 3), (0, 5))], "is not in layer 'conv' of shape (4, 3, 4): give boxes within it"),
        ([], "0 of the 48 neurons of layer 'conv' are on a core"),
    ],
)
def test_boxes_that_do_not_tile_their_layer_are_refused(boxes, message):
    partition = tuple((Slice("conv", box),) for box in boxes)
    assert message in refusal(image(), shipped("loihi2"), partition)


def test_layers_in_space_are_not_cut_by_neurons():
    assert "a layer of shape (4, 3, 4) is split by columns, rows or channels" in refused_text(
        "[layers.conv]\nneurons = [48]\n", image()
    )


def test_unknown_format_and_placement_are_refused():
    network, chip = chain([3, 8]), shipped("loihi2")
    assert "choose dense or sparse" in refusal(network, chip, weight_format="conv")
    for unknown in ("spiral", "random:", "random:x", "random:-1", "randomly"):
        assert f"no placement '{unknown}': choose from row-major, greedy, random" in refusal(
            network, chip, placement=unknown
        )


def total_hops(mapping) -> int:
    """Router to router, if every neuron fires once."""
    chip, copies = mapping.chip, mapping.copies
    owner = np.repeat(mapping.core, np.diff(copies.indptr)).tolist()
    ends = zip(owner, copies.core.tolist(), strict=True)
    return sum(distance(chip, chip.router_of(a), chip.router_of(b)) for a, b in ends)


@pytest.mark.parametrize("host", [(0, 0), (2, 1), (3, 3)])
@pytest.mark.parametrize("depth", [3, 9, 14])
def test_greedy_placement_of_a_chain_saves_hops(host, depth):
    """Row by row, a chain has to jump back to the start of every row, and starts at the far end from the host."""
    network, chip = chain([4] * (depth + 1)), small_chip(4, 4, 1, host=host)
    greedy, again = (map_network(network, chip, placement="greedy") for _ in range(2))
    assert greedy.placement.tolist() == again.placement.tolist()
    assert sorted(greedy.placement.tolist()) == sorted(set(greedy.placement.tolist()))
    assert total_hops(greedy) <= total_hops(map_network(network, chip))


def test_random_placement_is_repeated_by_its_seed():
    chip = small_chip(5, 2, 2)
    network = chain([4] * 8)
    placed = {
        seed: map_network(network, chip, placement=f"random{seed}").placement.tolist()
        for seed in ("", ":0", ":1", ":2")
    }
    assert placed[""] == placed[":0"]
    assert placed[":0"] != placed[":1"] != placed[":2"] != placed[":0"]
    for cores in placed.values():
        assert len(set(cores)) == len(cores)
        assert set(cores) <= set(range(chip.cores))


def test_greedy_placement_begins_at_the_host():
    """A chain of single cores on a row of routers, with the host in the middle: the first layer hangs on its router."""
    mapping = map_network(chain([4, 4, 4, 4]), small_chip(5, 1, 1, host=(2, 0)), placement="greedy")
    assert mapping.placement.tolist() == [2, 1, 0]


@examples
@given(seed=st.integers(0, 2**32 - 1), cores=st.integers(1, 12), method=st.sampled_from(["row-major", "greedy"]))
def test_any_traffic_is_placed_without_collisions(seed, cores, method):
    rng = np.random.default_rng(seed)
    traffic = rng.integers(0, 100, (cores + 1, cores + 1)) * (rng.random((cores + 1, cores + 1)) < rng.random())
    chip = small_chip(3, 2, 2, host=(1, 1))
    assume(cores <= chip.cores)
    placed = place(chip, traffic, method)
    assert len(set(placed.tolist())) == cores
    assert placed.min() >= 0
    assert placed.max() < chip.cores


@examples
@given(mapping=mapped_networks(), share=st.floats(0, 1))
def test_zeros_take_the_share_of_a_synop_that_the_chip_says(mapping, share):
    """Counts stay; times are those of the naive twin, and none falls as the share rises."""
    if mapping.chip.zeros is None:
        return
    chip = changed(mapping.chip, {"zeros.time_share": share})
    again = map_network(mapping.network, chip, "even:1", weight_format=mapping.dense_layers)
    free = map_network(mapping.network, mapping.chip, "even:1", weight_format=mapping.dense_layers)
    work = [each for _, each in sorted(naive_copies(again).items())]
    receive_ps = chip.actions.message_in.latency_ps
    assert again.copies.service_ps.tolist() == [max(1, receive_ps + each.time_ps) for each in work]
    assert (again.copies.synops == free.copies.synops).all()
    assert (again.copies.service_ps >= free.copies.service_ps).all()
