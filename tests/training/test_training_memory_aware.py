"""Training under a memory budget: never above it by the whole mapper, nothing wasted, and links where they pay."""

import numpy as np
import pytest

from nsim.chip.file import load_chip
from nsim.errors import TrainingError
from nsim.mapping.tiles.connectivity import Connectivity
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.mapping import map_on_tiles
from nsim.training.routing.choice import make_method
from nsim.training.routing.layout import Layout
from nsim.training.routing.memory_aware import memory_of
from nsim.training.routing.options import Choice

FABRIC = Fabric(3, 3, 8)
LAYOUT = Layout(FABRIC, 16, 4)
FLOOR = memory_of(FABRIC, np.zeros_like(LAYOUT.possible_links))


def method(budget):
    return make_method(LAYOUT, Choice("memory-aware", memory=budget))


def mapped_total(mask):
    """Provisioned elements by the mapper that `nsim map` calls, from the connections themselves."""
    connectivity = Connectivity.from_matrix(mask, "mask")
    return map_on_tiles(connectivity, load_chip("mosaic"), FABRIC, "index", "published", 0).provisioned.total


@pytest.mark.parametrize("factor", [1.1, 1.5, 2.5])
def test_memory_stays_within_the_budget_after_every_rewiring(factor):
    rng, budget = np.random.default_rng(0), round(FLOOR * factor)
    training = method(budget)
    state = training.begin(rng)
    for epoch in range(4):
        assert mapped_total(state.mask) <= budget
        assert training.violated(state.mask, 0.0) is None
        weights = np.where(state.mask, rng.normal(0, 0.12, state.mask.shape), 0).astype(np.float32)
        state = training.rewire(weights, state.mask, epoch / 4, rng)
        assert not np.any(state.weights[~state.mask])


def test_the_count_is_the_mappers():
    links = LAYOUT.possible_links & (np.random.default_rng(1).random(LAYOUT.possible_links.shape) < 0.2)
    assert memory_of(FABRIC, links) == mapped_total(LAYOUT.connections_of(links))


def test_more_memory_holds_more_links():
    counts = [int(method(round(FLOOR * f)).begin(np.random.default_rng(2)).mask.sum()) for f in (1.05, 1.5, 2, 4)]
    assert counts == sorted(counts) and counts[-1] > counts[0]


def test_without_a_limit_everything_is_there():
    state = method(10**9).begin(np.random.default_rng(3))
    assert state.mask.sum() == LAYOUT.possible.sum()


def test_links_return_where_they_were_useful():
    """All links of one distance are strong, all others weak: of those that return, more have that distance."""
    hops = FABRIC.hops[LAYOUT.tile_of]
    links = LAYOUT.possible_links & (np.random.default_rng(4).random(LAYOUT.possible_links.shape) < 0.3)
    mask, training = LAYOUT.connections_of(links), method(round(1.2 * memory_of(FABRIC, links)))
    shares = {}
    for strong in (3, 5):
        kept = np.repeat(hops == strong, FABRIC.neurons, axis=1) | (LAYOUT.distance == 0)
        weights = np.where(kept, 0.5, 0.01).astype(np.float32) * mask
        after = training.rewire(weights, mask, 0.0, np.random.default_rng(5))
        returned = LAYOUT.by_tile(after.fresh).any(axis=2)
        shares[strong] = np.count_nonzero(returned & (hops == 5)) / np.count_nonzero(returned)
    assert shares[5] > 1.5 * shares[3]


def test_a_budget_below_the_floor_is_refused():
    with pytest.raises(TrainingError, match=f"{FLOOR - 1:,} elements is too small.*takes {FLOOR:,}"):
        method(FLOOR - 1)


def test_no_budget_is_refused():
    with pytest.raises(TrainingError, match="add --memory"):
        make_method(LAYOUT, Choice("memory-aware"))
