"""Hardware sequences: who holds what, what every message causes, against counting; and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.chip.file import available_chips, load_chip
from nsim.errors import ChipError, MappingError
from nsim.machine.stations import build_machine
from nsim.mapping.frames.mapping import map_frames
from nsim.mapping.network import map_network
from nsim.network.activity import layer_offsets, prescribe
from nsim.network.builtin import build
from nsim.network.frames_activity import evaluate_frames
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, QuantizedInput, QuantizedRelu, Relay
from nsim.network.pooling import Pool
from nsim.network.synapses import Convolution, Dense, Sparse
from tests.generators.frame_networks import conv, dense, quantized_network, separable

CHIP = load_chip("akd1000")
seeds = st.integers(0, 2**32)


def changed_chip(folder, **values):
    """The chip with other values of these keys, their ranges left out."""
    text = available_chips()["akd1000"].read_text(encoding="utf-8")
    for key, value in values.items():
        text, found = re.subn(rf"^{key} = [\d_]+$", f"{key} = {value}", text, count=1, flags=re.M)
        assert found == 1
    file = folder / "small.toml"
    file.write_text(text, encoding="utf-8")
    return load_chip(file)


@pytest.fixture(scope="module")
def narrow_chip(tmp_path_factory):
    """Tiles of at most 5 x 4, few filters per processor: small networks are cut in every way."""
    return changed_chip(tmp_path_factory.mktemp("chip"), tile_columns=5, tile_rows=4, weight_bytes=1_600)


@st.composite
def networks(draw):
    """Small networks with layers of all kinds that the narrow chip cuts, with random geometry."""
    specs = []
    for _ in range(draw(st.integers(1, 3))):
        make = draw(st.sampled_from([conv, separable]))
        kernel, stride = draw(st.sampled_from([(3, 1), (3, 2), (5, 1)]))
        pool = draw(st.sampled_from([None, None, "max2"]))
        specs.append(make(draw(st.integers(1, 9)), kernel, stride, pool=pool))
    specs[-1]["pool"] = None  # no max pooling before a fully connected layer
    specs.append(dense(3))
    shape = draw(st.integers(1, 3)), draw(st.integers(8, 13)), draw(st.integers(8, 13))
    return shape, specs


def network_of(case):
    try:
        return quantized_network(*case)
    except Exception:  # a pool or stride has made a layer too small for the next pool
        return None


@given(networks(), st.sampled_from(["minimal", "all-nps"]))
@settings(max_examples=60)
def test_every_neuron_is_on_one_core_and_every_message_reaches_who_needs_it(narrow_chip, case, mode):
    """Parts cover their layer once; a neuron has a copy for a core if and only if one of its sums depends on it."""
    network = network_of(case)
    if network is None:
        return
    mapping = map_frames(network, narrow_chip, mode)
    for sequence in mapping.sequences:
        own, copies, host = sequence.network, sequence.copies, narrow_chip.cores
        offsets = dict(zip(own.by_name, layer_offsets(own).tolist(), strict=False))
        assert len({part.core for part in sequence.parts}) == len(sequence.parts)
        assert sorted(sequence.placement) == sequence.used_cores.tolist()
        neurons = np.arange(sequence.core.size)
        owner = np.repeat(neurons, np.diff(copies.indptr))
        pairs = set(zip(owner.tolist(), copies.core.tolist(), strict=True))
        assert len(pairs) == owner.size
        assert (np.diff(owner * (host + 1) + copies.core) > 0).all()  # by neuron, then by core
        for layer in own.layers[1:]:
            source = offsets[own.incoming(layer.name)[0].source]
            held = np.zeros(layer.shape, int)
            for part in (p for p in sequence.parts if p.layer == layer.name):
                box = tuple(slice(*ends) for ends in (part.box.channels, part.box.rows, part.box.columns))
                held[box] += 1
                assert (sequence.core[offsets[layer.name] + part.box.indices(layer.shape)] == part.core).all()
                needed = {source + k for k in needed_sources(own, layer, part)}
                assert {n for n, core in pairs if core == part.core} == needed
            assert (held == 1).all()
        last = own.by_name[own.output]
        results = {(offsets[last.name] + k, host) for k in range(last.neurons)}
        assert {pair for pair in pairs if pair[1] == host} == results


def needed_sources(network, layer, part):
    """Source neurons that a part's sums depend on, by walking through every sum and every kernel position."""
    synapses = network.incoming(layer.name)[0].synapses
    if isinstance(synapses, Dense):
        return set(range(synapses.sources))
    channels, rows, columns = synapses.source_shape
    found = set()
    for y in range(*part.sums.rows):
        for x in range(*part.sums.columns):
            for i, j in np.ndindex(synapses.kernel.shape[2:]):
                row, column = (y, x)[0] * synapses.stride[0] - synapses.padding[0] + i, 0
                column = x * synapses.stride[1] - synapses.padding[1] + j
                if 0 <= row < rows and 0 <= column < columns:
                    found |= {(c * rows + row) * columns + column for c in range(channels)}
    return found if part.sums.extent[0] else set()


@given(networks())
@settings(max_examples=40)
def test_pooled_neurons_are_where_their_sums_are(narrow_chip, case):
    """Each part's sums are the windows of its neurons, and parts' sums do not overlap."""
    network = network_of(case)
    if network is None:
        return
    for sequence in map_frames(network, narrow_chip, "minimal").sequences:
        for layer in sequence.network.layers[1:]:
            held = np.zeros(layer.sums_shape, int)
            for part in (p for p in sequence.parts if p.layer == layer.name):
                held[tuple(slice(*e) for e in (part.sums.channels, part.sums.rows, part.sums.columns))] += 1
                if layer.pool is not None:
                    for neurons, sums, size in zip(
                        (part.box.rows, part.box.columns),
                        (part.sums.rows, part.sums.columns),
                        layer.sums_shape[1:],
                        strict=True,
                    ):
                        assert sums == (min(2 * neurons[0], size), min(2 * neurons[1], size))
            assert (held == 1).all()


@given(networks())
@settings(max_examples=40)
def test_sweeps_finish_neurons_in_order_and_last_as_long_as_their_outputs_take(narrow_chip, case):
    network = network_of(case)
    if network is None:
        return
    for sequence in map_frames(network, narrow_chip, "minimal").sequences:
        for part in sequence.parts:
            held = np.flatnonzero(sequence.core == part.core)
            slots = sequence.slot[held]
            assert (np.diff(slots) > 0).all()
            each_ps = CHIP.ps(part.sums.neurons * CHIP.actions.neuron_update.clocks)
            assert slots[-1] + 1 == sequence.allocated[part.core] == max(held.size, each_ps)


@pytest.mark.parametrize("spec", [conv(20), conv(9, 3, 2), conv(9, 5), conv(4, 1), separable(20), separable(9, 3, 2)])
def test_synops_and_clocks_of_messages_against_counting(spec):
    """Synops are the weights that a message meets; its work is all positions of the kernel for every filter, whatever
    the stride and wherever it lies, and the same in a separable layer."""
    network = quantized_network((2, 7, 6), [spec], input_bits=4)
    (sequence,) = map_frames(network, CHIP, "minimal").sequences
    synapses = network.connections[0].synapses
    filters, area = spec["filters"], spec["kernel"] ** 2
    copies = sequence.copies
    for neuron in range(2 * 7 * 6):
        (row,) = range(copies.indptr[neuron], copies.indptr[neuron + 1])
        y, x = neuron % 42 // 6, neuron % 6
        taps = 0
        for oy, ox, i, j in np.ndindex(*synapses.target_shape[1:], spec["kernel"], spec["kernel"]):
            pad = synapses.padding[0]
            taps += (oy * spec["stride"] - pad + i, ox * spec["stride"] - pad + j) == (y, x)
        synops = taps * filters if spec["kind"] == "conv" else taps + -(-taps * filters // area)
        assert copies.synops[row].tolist() == [0, 0, synops]
        clocks = area * filters * CHIP.actions.step.clocks
        assert copies.service_ps[row] == pytest.approx(clocks * 1e6 / 300, abs=1)


@pytest.mark.parametrize("spec", [conv(20), separable(9, 5)])
def test_work_of_a_frame_without_messages_against_counting(spec):
    """The begin, every filter, every value of the tile with its halo, and every value for every filter."""
    chip = load_chip("akd1500")
    (sequence,) = map_frames(quantized_network((16, 40, 70), [spec]), chip, "minimal").sequences
    parts = sorted(sequence.parts, key=lambda part: part.tile.columns)
    assert len(parts) > 2
    halo, columns = (spec["kernel"] - 1) // 2, 70
    for part in parts:
        first, last = part.tile.columns
        values = sum(0 <= x < columns for x in range(first - halo, last + halo)) * 40 * 16
        a, filters = chip.actions, spec["filters"]
        clocks = (
            a.frame.clocks + filters * a.filter.clocks + values * (a.value.clocks + filters * a.value_filter.clocks)
        )
        assert sequence.frame_ps[part.core] == pytest.approx(clocks * 1e6 / 400, abs=1)


def test_fully_connected_layers_go_past_every_input():
    """A message adds nothing; weights that do not fit inside are fetched in every frame."""
    for units, external in ((20, False), (2_000, True)):
        (sequence,) = map_frames(quantized_network((64, 1, 1), [dense(units)]), CHIP, "minimal").sequences
        (part,) = sequence.parts
        assert sequence.copies.synops[:64].tolist() == [[units, 0, 0]] * 64
        assert (sequence.copies.service_ps[:64] == 1).all()
        actions = CHIP.actions
        clocks = actions.frame.clocks + 64 * actions.fully_connected_value.clocks
        clocks += external * units * (16 + 2 * 24) * actions.external_byte.clocks
        assert part.external == external
        assert sequence.frame_ps[part.core] == pytest.approx(clocks * 1e6 / 300, abs=1)


def test_zero_weights_save_nothing():
    """The same work with 1 % of the weights."""
    for mode in ("minimal", "all-nps"):
        full, pruned = (map_frames(build("cnn", density=d), CHIP, mode).sequences[0] for d in (1.0, 0.01))
        for name in ("indptr", "core", "synops", "service_ps"):
            assert np.array_equal(getattr(full.copies, name), getattr(pruned.copies, name))


def work_ps(sequence, activity):
    """By core, what the messages of one frame add."""
    copies = sequence.copies
    rows = [np.arange(copies.indptr[n], copies.indptr[n + 1]) for n in activity.neurons]
    rows = np.concatenate([np.zeros(0, np.int64), *rows]).astype(np.int64)
    to_cores = rows[copies.core[rows] < CHIP.cores]
    return np.bincount(copies.core[to_cores], copies.service_ps[to_cores], CHIP.cores + 1)


def test_zero_activations_cost_nothing():
    """A black image causes no work beyond what the input block and the begin of a frame always take."""
    network = quantized_network((3, 16, 16), [conv(8, bits=8), conv(8), dense(4)], input_bits=8)
    (sequence,) = map_frames(network, CHIP, "minimal").sequences
    frames = np.zeros((1, 3, 16, 16), np.int64)
    (black,) = evaluate_frames(network, frames)
    assert work_ps(sequence, sequence.activity(black)).sum() == 0
    frames[:, :, :4, :4] = 255
    (corner,) = evaluate_frames(network, frames)
    (white,) = evaluate_frames(network, np.full_like(frames, 255))
    some, all_ = (work_ps(sequence, sequence.activity(a)).sum() for a in (corner, white))
    assert 0 < some < all_ / 4


@pytest.mark.parametrize(("filters", "block"), [(8, 16), (16, 16), (17, 32)])
def test_the_input_block_goes_through_all_outputs_of_every_frame(filters, block):
    """Two clocks for each, in whole blocks of 16 filters; it gets no messages, and its image is not sent."""
    network = quantized_network((3, 16, 16), [conv(filters, stride=2, bits=8), conv(8)], input_bits=8)
    (sequence,) = map_frames(network, CHIP, "minimal").sequences
    assert sequence.frame_ps[CHIP.input_core] == CHIP.action_ps("frame")
    assert sequence.allocated[CHIP.input_core] == CHIP.ps(8 * 8 * block * 2)
    assert CHIP.input_core not in sequence.copies.core
    assert sequence.copies.indptr[3 * 16 * 16] == 0
    assert {part.kind for part in sequence.parts} == {"input", "convolution"}
    (whole,) = evaluate_frames(network, np.full((1, 768), 9))
    assert sequence.activity(whole).neurons.min() >= 768


@pytest.mark.parametrize(("mode", "ratio"), [("economy", 3), ("low-power", 60)])
def test_all_times_follow_the_clock(mode, ratio):
    network = build("cnn")
    fast, slow = (map_frames(network, CHIP, "minimal", clock).sequences[0] for clock in ("performance", mode))
    for a, b in (
        (fast.copies.service_ps, slow.copies.service_ps),
        (fast.frame_ps, slow.frame_ps),
        (np.array([fast.program_ps]), np.array([slow.program_ps])),
    ):
        assert b[a > 1] == pytest.approx(a[a > 1] * ratio, rel=1e-3)


def test_processors_are_taken_in_the_order_of_the_virtual_device():
    """AkidaNet-0.5-224, AllNps: first those that can only be CNP1, then along the columns; the classifier in (4, 1)."""
    (sequence,) = map_frames(build("akidanet"), CHIP, "all-nps").sequences

    def nodes(layer):
        return [CHIP.processors[p.core][:3] for p in sequence.parts if p.layer == layer]

    assert nodes("conv_1") == [(3, 1, 2), (3, 1, 3), (1, 3, 1), (1, 3, 2)]
    assert nodes("conv_3") == [(1, 5, 3), (2, 3, 1), (2, 3, 2)]
    assert nodes("separable_4") == [(2, 3, 3), (2, 4, 1), (2, 4, 2), (2, 4, 3), (2, 5, 1), (2, 5, 2)]
    assert nodes("separable_12")[5:] == [(1, 3, 0), (1, 4, 0), (1, 5, 0)]
    assert nodes("classifier") == [(4, 1, 0)]
    groups = [(p.tile.columns, p.box.channels) for p in sequence.parts if p.layer == "separable_4"]
    assert groups == [((x, y), c) for x, y in ((0, 19), (19, 38), (38, 56)) for c in ((0, 64), (64, 128))]


def test_sequences_are_parts_of_the_network_and_of_its_activity(tmp_path):
    """Two layers fill the chip with 36 tiles each: the second sequence is sent what the first has made."""
    network = quantized_network((16, 24, 24), [conv(4), conv(5), conv(6)], rng=np.random.default_rng(2))
    chip = changed_chip(tmp_path, tile_columns=4, tile_rows=4)
    mapping = map_frames(network, chip, "minimal")
    assert [sorted({p.layer for p in s.parts}) for s in mapping.sequences] == [["l0", "l1"], ["l2"]]
    assert [s.in_flight for s in mapping.sequences] == [1] * len(mapping.sequences)
    (whole,) = prescribe(network, {"input": 0.3, "l0": 0.2, "l1": 0.4, "l2": 0.5}, 3, np.random.default_rng(0))
    offsets = dict(zip(network.by_name, layer_offsets(network).tolist(), strict=False))
    for sequence in mapping.sequences:
        own = sequence.activity(whole)
        assert own.timesteps == 3
        names = [layer.name for layer in sequence.network.layers]
        first, last = offsets[names[0]], offsets[names[-1]] + network.by_name[names[-1]].neurons
        for frame in range(3):
            firing = whole.firing(frame)
            expected = firing[(firing >= first) & (firing < last)] - first
            assert own.firing(frame).tolist() == expected.tolist()
        assert not sequence.network.layers[0].on_chip
        assert sequence.network.by_name[names[0]].neurons == network.by_name[names[0]].neurons


def test_between_passes_only_processors_that_both_use_are_written_again():
    """PlantVillage on AKD1500: its last layer takes the processor of separable_11, as on the virtual device."""
    chip = load_chip("akd1500")
    first, second = map_frames(build("plantvillage"), chip, "minimal").sequences
    (part,) = second.parts
    (shared,) = (p for p in first.parts if p.core == part.core)
    assert (part.layer, shared.layer) == ("predictions", "separable_11")
    assert chip.processors[part.core][:3] == (1, 3, 0)
    program = chip.program
    for sequence, own in ((first, shared), (second, part)):
        size = round(program.bytes + program.part_bytes(own.kind, own.filters, own.weight_bytes))
        clocks = size * program.clocks_per_byte + (own.kind == "separable") * program.clocks_per_processor
        assert sequence.reload_ps == chip.ps(clocks) < sequence.program_ps or own is part
    whole = map_frames(build("akidanet", width=1.0), CHIP, "minimal").sequences
    assert [s.reload_ps for s in whole] == [s.program_ps for s in whole]  # AKD1000 writes all of it
    assert [s.reload_ps for s in map_frames(build("cnn"), chip, "minimal").sequences] == [0]


def test_in_flight_is_16_in_a_single_pass():
    assert [s.in_flight for s in map_frames(build("cnn"), CHIP, "minimal").sequences] == [16]


def test_stations_and_routes_are_those_of_any_mesh():
    """From the input block (node (3, 1)) to a processor and from there to the host, along the row first."""
    (sequence,) = map_frames(build("cnn"), CHIP, "minimal").sequences
    machine = build_machine(CHIP)
    core = next(p.core for p in sequence.parts if p.layer == "conv_3")
    column, row, _ = CHIP.processors[core][:3]
    route = [machine.name(station) for station in machine.route(CHIP.input_core, core)]
    assert route[0] == f"core {CHIP.input_core} core to router"
    assert len(route) == abs(column - 3) + abs(row - 1) + 3


def test_a_network_is_mapped_to_the_chip_it_is_given():
    """`map_network` takes chips of both kinds, and refuses the options of the other."""
    network = build("cnn")
    assert map_network(network, CHIP, mode="minimal").mode == "minimal"
    assert map_network(network, CHIP).mode == "all-nps"
    assert map_network(network, CHIP, clock_mode="economy").chip.clock.mode == "economy"
    for options, words in (
        ({"partition": "even:2"}, "partition 'even:2' is not for chip 'akd1000'"),
        ({"placement": "greedy"}, "placement 'greedy' is not for chip 'akd1000'"),
        ({"weight_format": "sparse"}, "weight format 'sparse' is not for chip 'akd1000'"),
        ({"mode": "most"}, "no mode 'most' to map to chip 'akd1000': choose from minimal, all-nps"),
    ):
        with pytest.raises(MappingError, match=words):
            map_network(network, CHIP, **options)
    with pytest.raises(ChipError, match="no clock mode 'fast'"):
        map_network(network, CHIP, clock_mode="fast")
    loihi2 = load_chip("loihi2")
    for options, words in (
        ({"mode": "minimal"}, "mode 'minimal'"),
        ({"clock_mode": "economy"}, "clock mode 'economy'"),
    ):
        with pytest.raises(MappingError, match=f"{words} is not for chip 'loihi2', which works on timesteps: leave"):
            map_network(build("mlp"), loihi2, **options)
    with pytest.raises(MappingError, match=r"layer 'conv_1' pools \(max\), which chip 'loihi2' cannot"):
        map_network(network, loihi2)
    with pytest.raises(MappingError, match="layer 'l0' is a separable convolution, which chip 'loihi2' has not"):
        map_network(quantized_network((2, 5, 5), [separable(2)]), loihi2)


def with_synapses(synapses, source_bits=4, bits=4, neuron=None, delay=0, pool=None):
    """A network with one layer and these synapses."""
    shape = synapses.target_shape if pool is None else pool.pooled_shape
    layers = (
        Layer("input", synapses.source_shape, QuantizedInput(bits=source_bits), on_chip=False),
        Layer("l0", shape, neuron or QuantizedRelu(4), pool=pool),
    )
    connection = Connection("input", "l0", synapses, source_delay=delay, weight_bits=bits)
    return Network("net", layers, (connection,), "input", "l0")


def convolution(
    source=(2, 8, 8), out=2, size=(3, 3), stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=1, value=1
):
    kernel = np.full((out, source[0] // groups, *size), value)
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    rows, columns = ((n + 2 * p - r) // s + 1 for n, p, r, s in zip(source[1:], padding, reach, stride, strict=True))
    return Convolution(kernel, source, (out, rows, columns), stride, padding, dilation, groups)


ONE_FC = Dense(np.ones((2, 3), np.int64), (3, 1, 1), (2, 1, 1))
AVERAGE = Pool.global_average((2, 33, 33))
REFUSED = [
    (
        with_synapses(convolution(), bits=8),
        "'l0' has weight bits 8, but a convolution of chip .* takes 1, 2 or 4: quantise",
    ),
    (with_synapses(convolution(value=8)), "'l0' has weights from 8 to 8, but 4-bit weights .* go from -7 to 7"),
    (with_synapses(convolution(value=-1), bits=1), "weights from -1 to -1, but 1-bit weights .* go from 0 to 1"),
    (with_synapses(convolution(value=0.5)), "'l0' has weights of type float64, .* takes integers of 4 bits"),
    (with_synapses(convolution(size=(4, 4))), "'l0' has kernel size 4, .* takes 1, 3, 5 or 7: pad the kernel"),
    (with_synapses(convolution(size=(3, 1), padding=(1, 0))), "'l0' has kernel 3 x 1, .* takes square ones"),
    (with_synapses(convolution(stride=(3, 3))), "'l0' has stride 3, .* takes 1 or 2"),
    (
        with_synapses(convolution(size=(5, 5), stride=(2, 2), padding=(2, 2))),
        "'l0' has kernel size 5 with stride 2, .* takes 3 then: pool behind it instead",
    ),
    (with_synapses(convolution(dilation=(2, 2))), "'l0' has dilation 2, .* takes 1: fill the kernel"),
    (
        with_synapses(replace(convolution((2, 8, 8)), source_shape=(2, 16, 16), pool=(2, 2))),
        "'l0' has sum pooling in windows of 2, .* takes 1: widen the kernel",
    ),
    (with_synapses(convolution(groups=2)), "'l0' has groups in the number of 2, .* takes 1"),
    (with_synapses(convolution(padding=(0, 0))), "'l0' has padding 0, .* takes 1: pad by half the kernel"),
    (with_synapses(convolution(), source_bits=3), "'l0' has input bits 3, .* takes 1, 2 or 4"),
    (with_synapses(convolution(), neuron=QuantizedRelu(3)), "'l0' has activation bits 3, .* takes 1, 2 or 4"),
    (with_synapses(convolution(), delay=1), "connection input -> l0 has delays, which chip 'akd1000' has not"),
    (with_synapses(ONE_FC, bits=8), "'l0' has weight bits 8, but a fully connected layer"),
    (with_synapses(ONE_FC, source_bits=8), "'l0' has input bits 8, but a fully connected .* let an input convolution"),
    (
        with_synapses(convolution((3, 8, 300)), source_bits=8, bits=8),
        "image width of 300, but an input .* takes 5 to 256",
    ),
    (with_synapses(convolution((3, 4, 9)), source_bits=8, bits=8), "image height of 4, .* takes 5 or more"),
    (with_synapses(convolution((2, 8, 8)), source_bits=8, bits=8), "image channels 2, .* takes 1 or 3"),
    (with_synapses(convolution((3, 8, 8), 193), source_bits=8, bits=8), "filters 193, .* takes up to 192"),
    (with_synapses(convolution((3, 8, 8), size=(1, 1)), source_bits=8), "kernel size 1, .* takes 3, 5 or 7"),
    (
        with_synapses(convolution((3, 8, 8)), source_bits=6, bits=8),
        "'l0' has input bits 6, but an input layer .* takes 8",
    ),
    (with_synapses(convolution((2, 33, 33)), pool=AVERAGE), "global average pooling .* columns 33, .* takes up to 32"),
    (
        with_synapses(convolution((200, 32, 32)), pool=Pool.global_average((2, 32, 32))),
        "'l0' needs 102400 bytes of input memory for 32 columns, but .* has 43008 .* its pool cannot be cut",
    ),
    (
        with_synapses(convolution(), pool=Pool("max", (2, 2), (2, 2), (2, 8, 8))),
        "'l0' ends the network with max pooling",
    ),
    (with_synapses(convolution(), pool=Pool("max", (3, 3), (2, 2), (2, 8, 8))), "a max pool of size 3, .* takes 2"),
    (
        with_synapses(convolution(), pool=Pool("max", (2, 2), (3, 3), (2, 8, 8))),
        "a max pool of stride 3, .* takes 1 or 2",
    ),
    (with_synapses(convolution(), neuron=Activation()), "'l0' has neurons of type Activation, .* quantised rectifiers"),
    (
        with_synapses(Sparse.from_matrix(np.eye(3, dtype=int), (3, 1, 1), (3, 1, 1))),
        "'l0' has sparse weights, .* store them as a dense matrix",
    ),
    (quantized_network((448, 256, 200), [conv(1)]), "needs 11468800 bytes of input memory, .* 43008 .* into 78 tiles"),
    (
        quantized_network((64, 64, 400), [conv(504)]),
        r"'l0' needs \d+ processors \(\d+ tiles, \d+ filter groups\), .* has 78",
    ),
]


@pytest.mark.parametrize(("network", "words"), REFUSED, ids=[words[:40] for _, words in REFUSED])
def test_what_does_not_fit_is_refused_in_one_line(network, words):
    for mode in ("minimal", "all-nps"):
        with pytest.raises(MappingError, match=words) as refusal:
            map_frames(network, CHIP, mode)
        assert "\n" not in str(refusal.value)


def test_57334_inputs_are_accepted_and_57335_refused():
    for inputs in (57_334, 57_335):
        network = with_synapses(Dense(np.ones((1, inputs), np.int8), (inputs, 1, 1), (1, 1, 1)))
        if inputs == 57_334:
            assert map_frames(network, CHIP, "minimal").processors == 1
        else:
            with pytest.raises(MappingError, match=r"'l0' has inputs 57335, .* takes up to 57334: pool before it"):
                map_frames(network, CHIP, "minimal")


def test_networks_that_are_no_row_of_layers_are_refused():
    network = quantized_network((3, 1, 1), [dense(3), dense(3)])
    loop = Connection("l1", "l0", Dense(np.ones((3, 3), np.int64), (3, 1, 1), (3, 1, 1)), weight_bits=4)
    skip = replace(loop, source="input", target="l1")
    for more, words in (
        (loop, r"layer 'l0' takes input from \['input', 'l1'\], .* expects \['input'\]: remove recurrent"),
        (skip, r"layer 'l1' takes input from \['l0', 'input'\], .* expects \['l0'\]"),
    ):
        with pytest.raises(MappingError, match=words):
            map_frames(replace(network, connections=(*network.connections, more)), CHIP)
    with pytest.raises(MappingError, match="ends with layer 'l1', but"):
        map_frames(replace(network, output="l0"), CHIP)
    with pytest.raises(MappingError, match=r"lists its input 'input' behind 'l0': .* list it first"):
        map_frames(replace(network, layers=(network.layers[1], network.layers[0], network.layers[2])), CHIP)
    alone = Network("net", network.layers[:1], (), "input", "input")
    with pytest.raises(MappingError, match="no layer but its input"):
        map_frames(alone, CHIP)


def test_real_numbers_have_to_be_quantised_first():
    real = Layer("input", (3, 1, 1), Relay(), on_chip=False)
    network = quantized_network((3, 1, 1), [dense(3)])
    with pytest.raises(MappingError, match=r"'input' sends values of a Relay without a width.*: give it a width"):
        map_frames(replace(network, layers=(real, *network.layers[1:])), CHIP)
    binary = replace(real, neuron=Relay(binary=True))
    assert map_frames(replace(network, layers=(binary, *network.layers[1:])), CHIP).processors == 1


def test_sums_in_the_middle_of_a_network_are_refused():
    network = quantized_network((3, 1, 1), [dense(3), dense(3)])
    sums = replace(network.layers[1], neuron=QuantizedRelu(None))
    with pytest.raises(MappingError, match="'l0' sends values of a QuantizedRelu without a width in bits"):
        map_frames(replace(network, layers=(network.layers[0], sums, network.layers[2])), CHIP)
