"""`placement = "chips"`: what exchanges much stays on one chip of a board."""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.errors import MappingError
from nsim.mapping.cores.chips import crossings, place_by_chip
from nsim.mapping.network import map_network
from nsim.network.builtin import build
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Relay, Threshold
from nsim.network.synapses import Dense
from nsim.result.run import simulate
from tests.generators.machines import shipped, small_chip

pytest.importorskip("pymetis")


def blocks(rng: np.random.Generator, cores: int, groups: int, between: float) -> np.ndarray:
    """Traffic of cores in groups, shuffled: much within a group, some of it between, and some from the host."""
    group = rng.permutation(np.arange(cores) % groups)
    same = group[:, None] == group[None, :]
    traffic = np.zeros((cores + 1, cores + 1), np.int64)
    traffic[:-1, :-1] = rng.integers(1, 100, (cores, cores)) * np.where(same, 1, rng.random((cores, cores)) < between)
    traffic[-1, :-1] = rng.integers(0, 100, cores) * (rng.random() < between)
    return traffic


@settings(max_examples=30)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 2), st.integers(1, 6), st.sampled_from([0, 0.05, 0.5])
)
def test_never_more_between_chips_than_in_order(seed, columns, rows, groups, between):
    """On as few chips, every core once, and no more messages over edges of chips than with the default placement."""
    rng = np.random.default_rng(seed)
    board = small_chip(2, 2, 2, chips=(columns, rows))
    cores = int(rng.integers(1, board.cores + 1))
    traffic = blocks(rng, cores, groups, between)
    placed = place_by_chip(board, traffic)
    assert len(set(placed.tolist())) == cores
    assert set(placed.tolist()) <= set(range(board.cores))
    assert len({board.chip_of(core) for core in placed.tolist()}) == -(-cores // 8)
    exchange = traffic + traffic.T
    assert crossings(board, exchange, placed) <= crossings(board, exchange, np.arange(cores))


@pytest.mark.parametrize("chips", [(2, 1), (2, 2), (4, 2)])
def test_blocks_of_a_chip_stay_on_a_chip(chips):
    """Groups that do not speak with one another, each as large as a chip: nothing has to cross."""
    board = small_chip(4, 2, 4, chips=chips)
    traffic = blocks(np.random.default_rng(0), board.cores, board.chips, 0.0)
    exchange = traffic + traffic.T
    assert crossings(board, exchange, place_by_chip(board, traffic)) == 0
    assert crossings(board, exchange, np.arange(board.cores)) > 0


def test_crossings_are_those_of_the_run():
    """Where every neuron fires, the static count is what goes over links between chips, host included."""
    board = small_chip(2, 2, 1, chips=(2, 2))
    for placement in ("chips", "row-major"):
        mapping = map_network(build("mlp", width=24, depth=3, inputs=12), board, "even:5", placement=placement)
        result = simulate(mapping, activity=1.0, timesteps=1)
        pairs = np.zeros((board.cores + 1, board.cores + 1), np.int64)
        owner = np.repeat(mapping.core, np.diff(mapping.copies.indptr))
        np.add.at(pairs, (owner, mapping.copies.core), 1)
        assert result.summary()["chip_crossings"] == crossings(board, pairs + pairs.T, np.arange(board.cores))


def two_branches(width: int, depth: int) -> Network:
    """Two perceptrons on one input, their layers in turns: in order, every chip gets a part of both."""
    rng, shape = np.random.default_rng(0), (width, 1, 1)
    layers = [Layer("input", shape, Relay(binary=True), on_chip=False)]
    connections = []
    for level, branch in product(range(depth), "ab"):
        layers.append(Layer(f"{branch}{level}", shape, Threshold(0.5)))
        source = f"{branch}{level - 1}" if level else "input"
        weights = rng.integers(1, 4, (width, width))
        connections.append(Connection(source, layers[-1].name, Dense(weights, shape, shape), weight_bits=4))
    return Network("two branches", tuple(layers), tuple(connections), "input", layers[-1].name)


def test_branches_stay_on_chips_of_their_own():
    """240 cores take two chips: all that has to cross is the input of one branch, half of what did."""
    network, board = two_branches(120, 3), shipped("kapoho-point")
    in_order, by_chip = (
        simulate(map_network(network, board, "even:40", placement=each), activity=0.5, timesteps=2)
        for each in ("row-major", "chips")
    )
    crossed = [result.summary()["chip_crossings"] for result in (in_order, by_chip)]
    sent_in = int(by_chip.counts.core_messages_out.sum(axis=0)[-1])
    assert crossed[1] == sent_in // 2 < 0.6 * crossed[0]


def test_one_chip_needs_no_division(monkeypatch):
    traffic = blocks(np.random.default_rng(0), 16, 2, 0.5)
    monkeypatch.setitem(sys.modules, "pymetis", None)
    assert place_by_chip(small_chip(2, 2, 4), traffic).tolist() == list(range(16))
    with pytest.raises(MappingError, match=r"needs the package pymetis: pip install 'nsim-neuromorphic\[boards\]'"):
        place_by_chip(small_chip(2, 1, 4, chips=(2, 1)), traffic)
