"""Tiles, filter groups, weight memory and sequences, against what the vendor's virtual device and tables say.

Tile columns are the device's x, rows its y.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsim.chip.file import load_chip
from nsim.errors import MappingError
from nsim.mapping.frames.mapping import map_frames
from nsim.mapping.frames.plan import Planner
from nsim.mapping.frames.stages import stages
from nsim.mapping.frames.tiles import tiles
from nsim.mapping.frames.weights import convolution_bytes, fully_connected_bytes, separable_bytes
from nsim.network.builtin import build
from tests.generators.frame_networks import conv, dense, quantized_network, separable

CHIP = load_chip("akd1000")


def widths(shape, kernel=3, bits=4, multiple=1):
    """(columns, rows) of the tiles of an input (C, H, W)."""
    found = tiles(CHIP, shape, kernel, bits, multiple)
    return [(tile.columns[1] - tile.columns[0], tile.rows[1] - tile.rows[0]) for tile in found]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((64, 56, 56), [19, 19, 18]),
        ((32, 112, 112), [19, 19, 19, 19, 19, 17]),
        ((16, 112, 112), [28, 28, 28, 28]),
        ((64, 64, 64), [16, 16, 16, 16]),
    ],
)
def test_tiles_of_4_bit_3x3_layers_virtual_device(shape, expected):
    assert widths(shape) == [(columns, shape[1]) for columns in expected]


@pytest.mark.parametrize(
    ("kernel", "rows", "parts"),
    [
        *((1, rows, 2 if rows <= 48 else 3) for rows in (46, 48, 49)),
        *((3, rows, 2 if rows <= 44 else 3) for rows in (33, 43, 44, 45, 46)),
        *((5, rows, 2 if rows <= 44 else 3) for rows in (20, 44, 45, 47)),
        *((7, rows, 2 if rows <= 42 else 3) for rows in (40, 42, 43, 44)),
    ],
)
def test_halo_of_64_channels_on_56_columns_virtual_device(kernel, rows, parts):
    """How many rows fit before a third tile is needed: halo on one side, columns in pairs."""
    assert widths((64, rows, 56), kernel) == [(28, rows)] * 2 if parts == 2 else [(19, rows), (19, rows), (18, rows)]


@pytest.mark.parametrize(
    ("shape", "multiple", "expected"),
    [
        ((64, 42, 31), 1, [(31, 42)]),  # an odd column is stored as a pair
        ((64, 43, 31), 1, [(16, 43), (15, 43)]),
        ((64, 56, 56), 2, [(20, 56), (20, 56), (16, 56)]),  # windows of max pooling are not cut
        ((64, 20, 33), 2, [(18, 20), (15, 20)]),
        ((160, 64, 16), 1, [(16, 32), (16, 32)]),  # along the rows where that takes fewer
        ((164, 64, 16), 1, [(6, 64), (6, 64), (4, 64)]),
        ((172, 64, 16), 1, [(16, 22), (16, 22), (16, 20)]),
        ((400, 40, 40), 1, [(8, 20)] * 10),
        ((2, 256, 16), 1, [(16, 256)]),
        ((2, 257, 16), 1, [(16, 129), (16, 128)]),
        ((8, 300, 16), 1, [(16, 150)] * 2),
        ((2, 600, 16), 1, [(16, 200)] * 3),
        ((16, 300, 100), 1, [(25, 150)] * 8),
        ((2, 16, 257), 1, [(29, 16)] * 8 + [(25, 16)]),
    ],
)
def test_other_tiles_virtual_device(shape, multiple, expected):
    assert widths(shape, multiple=multiple) == expected


@given(st.integers(1, 200), st.integers(1, 300), st.integers(1, 300), st.sampled_from([1, 3, 5, 7]))
def test_tiles_cover_the_input_once_and_fit(channels, rows, columns, kernel):
    found = tiles(CHIP, (channels, rows, columns), kernel, 4)
    if found is None:
        assert channels * rows * columns / 2 > 43_008 * 78 * 0.2
        return
    covered = np.zeros((rows, columns), int)
    for tile in found:
        covered[slice(*tile.rows), slice(*tile.columns)] += 1
        assert tile.columns[1] - tile.columns[0] <= 32
        assert tile.rows[1] - tile.rows[0] <= 256
        assert tile.input_bytes <= 43_008
    assert (covered == 1).all()


@pytest.mark.parametrize(
    ("channels", "bits", "buffers"),
    [
        (42, 4, [2]),
        (43, 4, [1]),
        (84, 4, [1]),
        (85, 4, [1, 1]),
        (84, 2, [2]),
        (85, 2, [1]),
        (168, 1, [2]),
        (169, 1, [1]),
    ],
)
def test_single_and_double_buffer_at_32x32_virtual_device(channels, bits, buffers):
    network = quantized_network((channels, 32, 32), [conv(8)], input_bits=bits)
    (sequence,) = map_frames(network, CHIP, "minimal").sequences
    assert [int(sequence.input_buffers[part.core]) for part in sequence.parts] == buffers


BYTES_PER_CHANNEL = {  # weight bits and kernel: filters of a processor -> bytes, as measured on the virtual device
    (4, 3): {1: 100, 16: 100, 21: 200, 32: 200, 42: 300, 64: 300, 74: 400, 80: 400, 96: 500, 128: 600, 144: 700},
    (4, 1): {64: 100},
    (4, 5): {8: 100, 32: 400},
    (4, 7): {16: 600},
    (2, 3): {16: 50, 52: 150, 64: 200, 128: 350},
    (1, 3): {16: 50, 128: 200},
}


@pytest.mark.parametrize("bits_kernel", BYTES_PER_CHANNEL)
def test_granules_of_convolutions_virtual_device(bits_kernel):
    bits, kernel = bits_kernel
    for filters, expected in BYTES_PER_CHANNEL[bits_kernel].items():
        assert convolution_bytes(CHIP, 7, filters, kernel, bits) == 7 * expected


def test_footprints_of_3x3_layers_virtual_device():
    """64 -> 128: 38,400 bytes; 64 -> 144: exactly all 44,800; three filters of 64 channels still 6,400."""
    assert [convolution_bytes(CHIP, 64, filters, 3, 4) for filters in (128, 144, 3)] == [38_400, 44_800, 6_400]


@pytest.mark.parametrize("filters", range(1, 505, 7))
def test_granules_of_4_bit_3x3_follow_the_formula_found_for_them(filters):
    """16 x ceil(9 x F8 x 4 / 48 / 16) words of 50 bits, with F8 filters in whole eights."""
    words = 16 * -(-9 * -(-filters // 8) * 8 * 4 // (48 * 16))
    assert convolution_bytes(CHIP, 1, filters, 3, 4) * 8 == words * 50


@pytest.mark.parametrize(
    ("channels", "filters", "kernel", "bits", "expected"),
    [
        (64, 64, 3, 4, 2_800),
        (128, 64, 3, 4, 5_600),
        (1024, 64, 3, 4, 44_800),
        (16, 17, 3, 4, 400),  # filters that fill no block of eight take a word of their own
        (16, 24, 3, 4, 300),
        (16, 16, 5, 4, 500),
        (16, 48, 7, 4, 1_100),
        (16, 64, 3, 2, 350),
        (100, 16, 3, 4, 1_900),
        (17, 16, 3, 4, 363),
        (17, 16, 3, 2, 207),
        (1, 16, 3, 2, 57),
        (449, 64, 3, 4, 19_688),
        (2000, 64, 3, 2, 43_750),
        (3, 8, 5, 4, 119),
        (13, 8, 7, 4, 682),
        (18, 8, 7, 2, 463),
    ],
)
def test_weights_of_separable_layers_virtual_device(channels, filters, kernel, bits, expected):
    assert separable_bytes(CHIP, channels, filters, kernel, bits) == expected


@pytest.mark.parametrize(
    ("inputs", "units", "bits", "expected"),
    [
        (16, 10, 1, 200),
        (16, 10, 4, 400),
        (100, 10, 4, 1_120),
        (512, 1000, 4, 400_000),
        (512, 1000, 2, 144_000),
        (512, 1000, 1, 80_000),
        (8192, 10, 4, 61_600),
        (3500, 10, 4, 26_560),
        (7000, 8, 4, 42_176),
        (193, 1, 2, 72),
        (193, 1, 1, 44),
    ],
)
def test_weights_of_fully_connected_layers_virtual_device(inputs, units, bits, expected):
    assert fully_connected_bytes(CHIP, inputs, units, bits) == expected


@pytest.mark.parametrize(("inputs", "external"), [(7136, False), (7137, True)])
def test_a_fully_connected_layer_keeps_its_weights_inside_if_they_fit_virtual_device(inputs, external):
    network = quantized_network((inputs, 1, 1), [dense(8)])
    (part,) = map_frames(network, CHIP, "minimal").sequences[0].parts
    kinds = CHIP.processors[part.core].kinds
    assert part.external == external
    assert ("fnp2" if external else "fnp3") in kinds


@pytest.mark.parametrize(
    ("bits", "kernel", "most", "filters"), [(4, 3, 448, 16), (2, 3, 896, 16), (1, 3, 896, 40), (4, 1, 448, 192)]
)
def test_input_channels_virtual_device(bits, kernel, most, filters):
    """448 at 4-bit weights, 896 at 1- and 2-bit; one more is refused with the numbers."""

    def network(channels):
        return quantized_network((channels, 2, 2), [conv(filters, kernel, bits=bits)])

    assert map_frames(network(most), CHIP, "minimal").processors == 1
    with pytest.raises(
        MappingError, match=rf"'l0' needs \d+ bytes .* {most + 1} input .* at most {most} input channels"
    ):
        map_frames(network(most + 1), CHIP, "minimal")


def test_5x5_reaches_448_channels_by_halving_the_filters_virtual_device():
    assert map_frames(quantized_network((448, 2, 2), [conv(16, 5)]), CHIP, "minimal").processors == 2


def test_7x7_with_447_channels_is_refused_virtual_device():
    with pytest.raises(MappingError, match="at most 149 input channels"):
        map_frames(quantized_network((447, 2, 2), [conv(16, 7)]), CHIP, "minimal")


@pytest.fixture(scope="module")
def akidanet():
    """AkidaNet-0.5-224 in AllNps mode."""
    return map_frames(build("akidanet"), CHIP, "all-nps")


def test_akidanet_05_224_user_guide(akidanet):
    """BrainChip's user guide, AllNps: processors of each layer, 68 in all with one for the classifier."""
    mapping = akidanet
    counts = list(mapping.processors_by_layer().values())
    assert counts == [0, 4, 6, 3, 6, 4, 8, 4, 4, 4, 4, 4, 8, 8, 1]
    assert mapping.processors == 68
    assert len(mapping.sequences) == 1
    assert mapping.filter_limit == 64


AKIDANET = {  # width, size: processors of convolutions | separable layers; virtual device of akida 2.19.3
    (0.25, 160): ("3 3 2 | 2 1 1 1 1 1 1 1 1 1", "3 6 4 | 6 3 5 5 5 5 5 5 10 10"),
    (0.25, 224): ("4 4 2 | 2 1 1 1 1 1 1 1 1 1", "4 8 4 | 6 3 5 5 5 5 5 5 10 10"),
    (0.5, 160): ("3 3 2 | 2 1 1 1 1 1 1 1 2 4", "3 6 4 | 6 3 5 5 5 5 5 5 10 10"),
    (0.5, 224): ("4 6 3 | 3 2 2 1 1 1 1 1 2 4", "4 6 3 | 6 4 8 4 4 4 4 4 8 8"),
    (1.0, 160): ("3 6 6 | 3 2 4 4 4 4 4 4 7 16", "3 6 6 | 6 4 8 4 4 4 4 4 8 16"),
    (1.0, 224): ("6 12 12 | 6 3 6 8 8 8 8 8 14 16", "6 12 12 | 12 6 12 8 8 8 8 8 16 16"),
}
ZOO = {(0.25, 160): 20, (0.5, 160): 24, (1.0, 160): 68, (0.25, 224): 22, (0.5, 224): 32, (1.0, 224): 116}


@pytest.fixture(scope="module")
def planners():
    """Planners of all sizes of AkidaNet: how many processors, without the tables of messages."""
    made = {key: build("akidanet", width=key[0], size=key[1]) for key in AKIDANET}
    return {key: Planner(CHIP, stages(network, CHIP)) for key, network in made.items()}


@pytest.mark.parametrize("key", AKIDANET)
def test_akidanet_processors_of_each_layer_virtual_device(planners, key):
    plans = planners[key].minimal, planners[key].all_processors()
    for plan, expected in zip(plans, AKIDANET[key], strict=True):
        counts = [plan.processors for sequence in plan.sequences for plan in sequence]
        assert counts == [0, *(int(n) for n in expected.replace("|", "").split()), 1]


@pytest.mark.parametrize("key", ZOO)
def test_akidanet_zoo_column_nps(planners, key):
    """BrainChip's model zoo, column NPs (Minimal, AKD1000): without the input block."""
    counts = [plan.processors for sequence in planners[key].minimal.sequences for plan in sequence]
    assert sum(counts) == ZOO[key]


def test_akidanet_1_sequences_virtual_device(planners):
    """At 224 two sequences, 117 with the input block (Minimal); at 160 one, 69 (Minimal) and 79 (AllNps)."""
    large, small = planners[1.0, 224], planners[1.0, 160]

    def layers(plan):
        return [len(sequence) for sequence in plan.sequences]

    def count(plan):
        return 1 + sum(p.processors for sequence in plan.sequences for p in sequence)

    assert layers(large.minimal) == [11, 4]
    assert layers(large.all_processors()) == [9, 6]
    assert count(large.minimal) == 117
    assert layers(small.minimal) == layers(small.all_processors()) == [15]
    assert (count(small.minimal), count(small.all_processors())) == (69, 79)


MOBILENET = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *(((512, 1),) * 5), (1024, 2), (1024, 1))
MOBILENET_ZOO = {(0.25, 160): 20, (0.5, 160): 24, (1.0, 160): 65, (0.25, 224): 22, (0.5, 224): 32, (1.0, 224): 110}


@pytest.mark.parametrize("key", MOBILENET_ZOO)
def test_mobilenet_v1_zoo_column_nps(key):
    """BrainChip's model zoo; MobileNetV1 as published by Howard et al. 2017, table 1, its first layer in the block."""
    width, size = key
    specs = [conv(int(32 * width), stride=2, bits=8)]
    specs += [separable(int(filters * width), stride=stride) for filters, stride in MOBILENET]
    specs[-1]["pool"] = "average"
    network = quantized_network((3, size, size), [*specs, dense(1000)], input_bits=8)
    plan = Planner(CHIP, stages(network, CHIP)).minimal
    assert sum(p.processors for sequence in plan.sequences for p in sequence) == MOBILENET_ZOO[key]


@pytest.mark.parametrize(
    ("mode", "counts", "program_bytes"),
    [("minimal", [0, 1, 1, 1, 1], 131_524), ("all-nps", [0, 11, 22, 43, 1], 547_260)],
)
def test_small_cnn_virtual_device(mode, counts, program_bytes):
    """32x32x3 -> conv16 (input block) -> conv32/pool -> conv64/pool -> conv128 -> FC10 with 61,600 external bytes."""
    mapping = map_frames(build("cnn"), CHIP, mode)
    (sequence,) = mapping.sequences
    assert list(mapping.processors_by_layer().values()) == counts
    assert sequence.parts[-1].weight_bytes == 61_600
    assert sequence.parts[-1].external
    assert sequence.program_bytes == pytest.approx(program_bytes, rel=0.02)


def test_program_of_akidanet_05_224_user_guide(akidanet):
    """1,361,244 bytes and 998,079 clocks: bytes by a fit to other networks, clocks by one to this."""
    (sequence,) = akidanet.sequences
    assert sequence.program_bytes == pytest.approx(1_361_244, rel=0.1)
    assert CHIP.clocks(sequence.program_ps) == pytest.approx(998_079, rel=0.1)


def test_dense_multiplications_of_the_busiest_processors_akidanet_05_224(planners):
    """Derived from the listed counts: conv_3 38.5 M, conv_1 14.5 M, conv_2 9.6 M, separable <= 3.5 M; 93.0 M in all."""
    plan = planners[0.5, 224].all_processors()
    macs = {}
    for stage_plan in plan.sequences[0]:
        stage, sums = stage_plan.stage, stage_plan.stage.layer.sums
        if stage.kind == "separable":
            positions = sums // stage.filters
            total = positions * stage.channels * (9 + stage.filters)
        else:
            total = sums * stage.channels * (9 if stage.kind != "fully_connected" else 1)
        macs[stage.name] = total / max(1, stage_plan.processors) / 1e6
    assert macs["conv_3"] == pytest.approx(38.5, abs=0.05)
    assert macs["conv_1"] == pytest.approx(14.5, abs=0.05)
    assert macs["conv_2"] == pytest.approx(9.6, abs=0.05)
    assert max(value for name, value in macs.items() if name.startswith("separable")) < 3.5
    assert sum(macs.values()) == pytest.approx(93.0, abs=0.1)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.99])
def test_zero_weights_change_nothing_virtual_device(share):
    """Neither processors nor memory: 0 to 99 % zeros."""
    dense_one, pruned = build("cnn"), build("cnn", density=1 - share)
    for mode in ("minimal", "all-nps"):
        first, second = (map_frames(network, CHIP, mode).sequences[0] for network in (dense_one, pruned))
        assert first.parts == second.parts
        assert first.program_bytes == second.program_bytes


def test_fully_connected_layers_take_turns_when_external_ones_are_too_many_virtual_device():
    """Four processors take external weights: the fifth such layer is in a second sequence."""
    network = quantized_network((512, 1, 1), [dense(1000)] * 5)
    assert [len(s.parts) for s in map_frames(network, CHIP, "minimal").sequences] == [4, 1]


def test_the_nineteenth_fully_connected_layer_goes_to_external_memory_virtual_device():
    parts = map_frames(quantized_network((512, 1, 1), [dense(100)] * 19), CHIP, "minimal").sequences[0].parts
    assert [part.external for part in parts] == [False] * 18 + [True]


def test_six_wide_layers_take_a_sequence_each_virtual_device():
    """200 filters of 200 channels on 64 x 64: 2, then 70 processors for each layer."""
    network = quantized_network((16, 64, 64), [conv(200)] * 6)
    plan = Planner(CHIP, stages(network, CHIP)).minimal
    counts = [[stage_plan.processors for stage_plan in sequence] for sequence in plan.sequences]
    assert counts == [[2, 70], [70], [70], [70], [70]]


@given(st.lists(st.integers(1, 120), min_size=1, max_size=4), st.integers(8, 40))
def test_the_limit_found_is_the_smallest_that_needs_no_more_sequences(filters, size):
    """Against trying every limit."""
    network = quantized_network((8, size, size), [conv(f) for f in filters])
    planner = Planner(CHIP, stages(network, CHIP))
    fewest = len(planner.minimal.sequences)
    found = planner.all_processors()

    def sequences(limit):
        try:
            return len(planner.plan(limit).sequences)
        except MappingError:
            return 1_000

    smallest = next(limit for limit in range(1, max(filters) + 1) if sequences(limit) <= fewest)
    assert found.filter_limit == smallest
    assert all(plan.filters <= smallest for sequence in found.sequences for plan in sequence)
