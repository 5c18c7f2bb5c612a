"""Synapses: sums and synop counts against the list of single synapses, written from the defining formulas."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nsim.errors import NetworkError
from nsim.network.synapses import Box, Convolution, Dense, Sparse, convolved_shape
from tests.generators.synapses import triples

shapes = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))


def inside(box, target, shape):
    c, h, w = np.unravel_index(target, shape)
    return all(low <= k < high for k, (low, high) in zip((c, h, w), (box.channels, box.rows, box.columns), strict=True))


def weights(draw, shape, dtype):
    """Random weights, a third of them zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.integers(-9, 10, shape) if dtype == np.int64 else rng.normal(size=shape).astype(np.float32)
    return np.where(rng.random(shape) < 1 / 3, 0, values).astype(dtype)


@st.composite
def convolutions(draw, dtype=np.int64):
    pairs = {
        name: draw(st.tuples(st.integers(*span), st.integers(*span)))
        for name, span in {"size": (1, 3), "stride": (1, 3), "padding": (0, 3), "dilation": (1, 2)}.items()
    }
    pool = draw(st.one_of(st.just((1, 1)), st.tuples(st.integers(1, 3), st.integers(1, 3))))
    groups = draw(st.integers(1, 3))
    in_per_group, out_per_group = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    source = groups * in_per_group, draw(st.integers(pool[0], 7)), draw(st.integers(pool[1], 7))
    pooled = source[0], source[1] // pool[0], source[2] // pool[1]
    size = pairs.pop("size")
    kernel = weights(draw, (groups * out_per_group, in_per_group, *size), dtype)
    target = convolved_shape(pooled, kernel, **pairs)
    assume(min(target) > 0)
    return Convolution(kernel, source, target, **pairs, groups=groups, pool=pool)


@st.composite
def matrices(draw, kind=Dense, dtype=np.int64):
    source, target = draw(shapes), draw(shapes)
    matrix = weights(draw, (int(np.prod(target)), int(np.prod(source))), dtype)
    return kind(matrix, source, target) if kind is Dense else Sparse.from_matrix(matrix, source, target)


@st.composite
def hand_made_sparse(draw, dtype=np.int64):
    """With stored zeros, and targets that one source reaches twice."""
    source, target = draw(shapes), draw(shapes)
    counts = draw(st.lists(st.integers(0, 5), min_size=int(np.prod(source)), max_size=int(np.prod(source))))
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    values = weights(draw, (int(indptr[-1]),), dtype)
    targets = np.random.default_rng(values.size).integers(0, np.prod(target), values.size).astype(np.int32)
    return Sparse(indptr, targets, values, source, target)


def all_kinds(dtype=np.int64):
    return st.one_of(
        matrices(Dense, dtype),
        matrices(Sparse, dtype),
        hand_made_sparse(dtype),
        convolutions(dtype),
        convolutions(dtype),
    )


@st.composite
def with_box(draw, strategy):
    """Synapses and a box of their targets, empty ones and the whole layer among them."""
    synapses = draw(strategy)
    ranges = [sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in synapses.target_shape]
    return synapses, Box(*map(tuple, ranges))


@st.composite
def with_tiles(draw, strategy):
    """Synapses and boxes that tile their targets."""
    synapses = draw(strategy)
    cuts = [sorted({0, n, *draw(st.lists(st.integers(0, n), max_size=2))}) for n in synapses.target_shape]
    tiles = [Box(*ranges) for ranges in itertools.product(*map(itertools.pairwise, cuts))]
    return synapses, tiles


# Adding weights


@settings(max_examples=160, deadline=None)
@given(data=st.data(), synapses=all_kinds())
def test_integer_sums_are_those_of_single_synapses(data, synapses):
    """Exactly, added to what was there before; and neurons that do not fire add nothing.

    Spikes, small values, and values whose sums need more than 32 bits.
    """
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    firing = np.flatnonzero(rng.random(synapses.sources) < rng.random())
    values = rng.integers(
        *data.draw(st.sampled_from([(1, 2), (0, 3), (-5, 6), (2**27, 2**28), (0, 2**34)])), firing.size
    )
    before = rng.integers(-(2**40), 2**40, synapses.targets)
    sums, expected, sent = before.copy(), before.copy(), dict(zip(firing, values, strict=True))
    synapses.add(firing, values, sums)
    for source, target, weight in triples(synapses):
        expected[target] += weight * sent.get(source, 0)
    assert (sums == expected).all()


@pytest.mark.parametrize("weight", [-128, 127])
@pytest.mark.parametrize("bits", range(18, 40))
def test_convolutions_sum_as_far_as_their_messages_go(weight, bits):
    """The worst case: every message adds the largest weight to one and the same sum, below, at and beyond 32 bits."""
    convolution = Convolution(np.full((1, 1, 1, 1), weight), (1, 1, 8), (1, 1, 1), pool=(1, 8))
    sums = np.array([5])
    convolution.add(np.arange(8), np.full(8, 2**bits), sums)
    assert sums.tolist() == [5 + 8 * 2**bits * weight]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), synapses=all_kinds(np.float32))
def test_float_sums_are_those_of_single_synapses(data, synapses):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    firing = np.flatnonzero(rng.random(synapses.sources) < rng.random())
    values = rng.normal(size=firing.size).astype(np.float32)
    sums, expected = np.zeros(synapses.targets, np.float32), np.zeros(synapses.targets)
    sent = dict(zip(firing, values.astype(np.float64), strict=True))
    synapses.add(firing, values, sums)
    for source, target, weight in triples(synapses):
        expected[target] += float(weight) * sent.get(source, 0)
    assert np.allclose(sums, expected, rtol=1e-5, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(dense=matrices())
def test_sparse_holds_the_non_zero_weights_of_a_matrix(dense):
    sparse = Sparse.from_matrix(dense.matrix, dense.source_shape, dense.target_shape)
    assert sorted(triples(sparse)) == sorted(t for t in triples(dense) if t[2] != 0)


def test_kernel_is_not_flipped():
    """An impulse meets the kernel in reverse: with out[y] = sum of k[i] * in[y + i], input 2 gives k[2], k[1], k[0]."""
    kernel = np.array([1, 2, 3]).reshape(1, 1, 1, 3)
    convolution = Convolution(kernel, (1, 1, 5), (1, 1, 3))
    sums = np.zeros(3, np.int64)
    convolution.add(np.array([2]), np.array([1]), sums)
    assert sums.tolist() == [3, 2, 1]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), convolution=convolutions())
def test_pooling_is_a_sum_over_windows_before_the_kernel(data, convolution):
    """The same sums as those of a plain convolution of the explicitly pooled input."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    channels, rows, columns = convolution.pooled_shape
    height, width = convolution.pool
    messages = rng.integers(-5, 6, convolution.source_shape) * (rng.random(convolution.source_shape) < rng.random())
    whole = messages[:, : rows * height, : columns * width]
    pooled = whole.reshape(channels, rows, height, columns, width).sum(axis=(2, 4))
    plain = replace(convolution, source_shape=convolution.pooled_shape, pool=(1, 1))
    sums = np.zeros((2, convolution.targets), np.int64)
    for synapses, sent, total in ((convolution, messages, sums[0]), (plain, pooled, sums[1])):
        firing = np.flatnonzero(sent)
        synapses.add(firing, sent.ravel()[firing], total)
    assert (sums[0] == sums[1]).all()


def test_what_lies_beyond_the_last_window_reaches_nothing():
    """Windows of 2 in a row of 5: neurons 0 to 3 reach one output each, neuron 4 none."""
    convolution = Convolution(np.ones((1, 1, 1, 1), np.int64), (1, 1, 5), (1, 1, 2), pool=(1, 2))
    sums = np.zeros(2, np.int64)
    convolution.add(np.arange(5), np.array([1, 10, 100, 1000, 10_000]), sums)
    assert sums.tolist() == [11, 1100]
    whole = Box.whole(convolution.target_shape)
    assert convolution.fan_out(whole).tolist() == convolution.taps(whole).tolist() == [1, 1, 1, 1, 0]


# Counting synops


@settings(max_examples=120, deadline=None)
@given(case=with_box(all_kinds()))
def test_fan_out_counts_the_synapses_inside_the_box(case):
    synapses, box = case
    every, non_zero = np.zeros(synapses.sources, np.int64), np.zeros(synapses.sources, np.int64)
    for source, target, weight in triples(synapses):
        if inside(box, target, synapses.target_shape):
            every[source] += 1
            non_zero[source] += weight != 0
    assert (synapses.fan_out(box) == every).all()
    assert (synapses.fan_out(box, stored=True) == non_zero).all()
    assert synapses.fan_out(box).dtype == synapses.fan_out(box, stored=True).dtype == np.int64


@settings(max_examples=60, deadline=None)
@given(case=with_tiles(all_kinds()), stored=st.booleans())
def test_fan_outs_of_tiles_sum_to_the_whole(case, stored):
    synapses, tiles = case
    whole = synapses.fan_out(Box.whole(synapses.target_shape), stored)
    assert (sum(synapses.fan_out(tile, stored) for tile in tiles) == whole).all()


@settings(max_examples=80, deadline=None)
@given(case=with_box(convolutions()))
def test_taps_counts_kernel_positions_per_message(case):
    """The output channels at one position share a visit: distinct (y, x) inside the box per source."""
    convolution, box = case
    visits = {}
    for source, target, _ in triples(convolution):
        if inside(box, target, convolution.target_shape):
            _, y, x = np.unravel_index(target, convolution.target_shape)
            visits.setdefault(source, set()).add((y, x))
    assert convolution.taps(box).tolist() == [len(visits.get(s, ())) for s in range(convolution.sources)]


@settings(max_examples=80, deadline=None)
@given(case=with_box(convolutions()))
def test_kernel_rows_counts_rows_of_weights_of_the_box(case):
    """One row for each (input channel, kernel row, kernel column) with a weight to a channel of the box."""
    convolution, box = case
    out, per_group, _, _ = convolution.kernel.shape
    rows = set()
    for o, c, i, j in np.ndindex(convolution.kernel.shape):
        if box.channels[0] <= o < box.channels[1]:
            rows.add((o // (out // convolution.groups) * per_group + c, i, j))
    assert convolution.kernel_rows(box) == len(rows)


@settings(max_examples=40, deadline=None)
@given(case=with_tiles(convolutions()))
def test_taps_of_spatial_tiles_sum_to_the_whole(case):
    convolution, tiles = case
    channels = convolution.target_shape[0]
    spatial = {Box((0, channels), tile.rows, tile.columns) for tile in tiles}
    total = sum(convolution.taps(tile) for tile in spatial)
    assert (total == convolution.taps(Box.whole(convolution.target_shape))).all()


@given(shape=shapes, data=st.data())
def test_box_indices_are_those_of_a_row_major_array(shape, data):
    ranges = [tuple(sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))) for n in shape]
    box = Box(*ranges)
    block = np.arange(np.prod(shape)).reshape(shape)[tuple(slice(*r) for r in ranges)]
    assert box.extent == block.shape
    assert box.neurons == block.size
    assert (box.indices(shape) == block.ravel()).all()


# Shapes that do not fit


FLAT = (4, 1, 1)
KERNEL = np.ones((2, 3, 3, 3), np.int64)
INDPTR, TARGETS = np.array([0, 1, 1, 1, 2]), np.array([0, 3], np.int32)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Dense(np.ones((4, 5)), FLAT, FLAT), "shape .4, 5.*4 source neurons"),
        (lambda: Dense(np.ones(16), FLAT, FLAT), "shape .16"),
        (lambda: Sparse.from_matrix(np.ones((4, 5)), FLAT, FLAT), "shape .4, 5"),
        (lambda: Sparse(INDPTR[:-1], TARGETS, np.ones(2), FLAT, FLAT), "3 rows and 2 values"),
        (lambda: Sparse(INDPTR, TARGETS, np.ones(3), FLAT, FLAT), "4 rows and 3 values"),
        (lambda: Sparse(INDPTR, TARGETS[:1], np.ones(2), FLAT, FLAT), "4 rows and 2 values"),
        (lambda: Sparse(INDPTR[::-1], TARGETS, np.ones(0), FLAT, FLAT), "4 rows"),
        (lambda: Sparse(np.array([0, 2, 1, 1, 2]), TARGETS, np.ones(2), FLAT, FLAT), "4 rows"),
        (lambda: Sparse(INDPTR, TARGETS + 1, np.ones(2), FLAT, FLAT), "outside the 4 target"),
        (lambda: Sparse(INDPTR, TARGETS - 1, np.ones(2), FLAT, FLAT), "outside the 4 target"),
        (lambda: Convolution(KERNEL, (2, 5, 5), (2, 3, 3)), "2 input channels: expected 3"),
        (lambda: Convolution(KERNEL, (9, 5, 5), (2, 3, 3), groups=3), "does not fit 9 input"),
        (lambda: Convolution(KERNEL, (3, 5, 5), (2, 3, 4)), r"gives \(2, 3, 3\), not the layer's \(2, 3, 4\)"),
        (lambda: Convolution(KERNEL, (3, 5, 5), (3, 3, 3)), r"gives \(2, 3, 3\)"),
        (lambda: Convolution(KERNEL, (3, 2, 5), (2, 0, 3)), r"gives \(2, 0, 3\)"),
        (lambda: Convolution(KERNEL[0], (3, 5, 5), (2, 3, 3)), "expected 4 axes"),
        (lambda: Convolution(KERNEL, (3, 5, 5), (2, 3, 3), stride=(0, 1)), "stride .0, 1"),
        (lambda: Convolution(KERNEL, (3, 5, 5), (2, 3, 3), padding=(0, -1)), "padding .0, -1"),
        (lambda: Convolution(KERNEL, (3, 5, 5), (2, 3, 3), groups=0), "0 groups"),
        (lambda: Convolution(KERNEL, (3, 6, 6), (2, 1, 1), pool=(2, 0)), r"windows of \(2, 0\).*at least 1 row"),
        (lambda: Convolution(KERNEL, (3, 6, 6), (2, 1, 1), pool=(-2, 2)), r"windows of \(-2, 2\).*at least 1 row"),
        (lambda: Convolution(KERNEL, (3, 6, 5), (2, 2, 2), padding=(2, 2), pool=(2, 6)), "at most 6 and 5"),
        (lambda: Convolution(KERNEL, (3, 6, 6), (2, 4, 4), pool=(2, 2)), r"of \(3, 3, 3\).*gives \(2, 1, 1\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(make, words):
    with pytest.raises(NetworkError, match=words):
        make()
