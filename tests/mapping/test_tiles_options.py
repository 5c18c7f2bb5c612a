"""Placement and choice of routes: what they may change, that they do no harm, and that their bookkeeping is right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.mosaic_memory import geometric, shuffled
from nsim.chip.file import load_chip
from nsim.errors import MappingError
from nsim.mapping.tiles import place
from nsim.mapping.tiles.balance import balance_routes
from nsim.mapping.tiles.congestion import (
    OVER_CAPACITY,
    POWER,
    cost_to_add,
    edge_capacities,
    edge_weights,
    put_in,
    take_out,
)
from nsim.mapping.tiles.connectivity import Connectivity, pointers
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.mapping import map_on_tiles
from nsim.mapping.tiles.profile import random_network
from nsim.mapping.tiles.routes import find_routes
from nsim.mapping.tiles.routing import PORTS, find_links, route_network
from tests.generators.mosaic_naive import kind_at, random_matrix

CHIP = load_chip("mosaic")
FABRIC = Fabric(5, 5, 32)


@st.composite
def networks(draw):
    fabric = Fabric(draw(st.integers(1, 4)), draw(st.integers(2, 4)), draw(st.integers(1, 4)))
    neurons = draw(st.integers(2, fabric.capacity))
    density = draw(st.sampled_from([0.02, 0.1, 0.5]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return fabric, Connectivity.from_matrix(random_matrix(fabric, neurons, density, rng), "random"), rng


def congestion(fabric, use, capacities=None):
    weights, limits = edge_weights(fabric), edge_capacities(fabric, capacities)
    over = np.where(weights > 0, np.maximum(0, use - limits), 0)
    return float((weights * use**POWER).sum() + OVER_CAPACITY * over.sum())


@given(networks(), st.booleans())
def test_balanced_routes_are_candidates_and_never_more_congested(network, fitting):
    fabric, connectivity, rng = network
    before = route_network(fabric, connectivity)
    limits = fabric.capacities(CHIP) if fitting else None
    after = balance_routes(before, rng, limits)
    assert after.links.tile.tolist() == before.links.tile.tolist()
    routes = find_routes(fabric.rows, fabric.columns, equals=True)
    pair = before.tile_of[before.links.sources] * fabric.tiles + before.links.tile
    assert ((routes.pair_ptr[pair] <= after.route) & (after.route < routes.pair_ptr[pair + 1])).all()
    now, then = (congestion(fabric, each.edge_use, limits) for each in (after, before))
    assert now <= then * (1 + 1e-9)


@given(networks())
def test_ports_of_balanced_routes_by_hand(network):
    fabric, connectivity, rng = network
    routing = balance_routes(route_network(fabric, connectivity), rng)
    used = set()
    for link, source in enumerate(routing.links.sources.tolist()):
        route = routing.route[link]
        edges = routing.routes.edges[routing.routes.route_ptr[route] : routing.routes.route_ptr[route + 1]].tolist()
        for edge in edges:
            cell, side = divmod(edge, 4)
            if edge != edges[0]:
                used.add((source, cell, 4 + side))
            used.add((source, cell + (-fabric.width, 1, fabric.width, -1)[side], (side + 2) % 4))
    lines = np.zeros((fabric.cells, 8), int)
    for _, cell, port in used:
        lines[cell, port] += 1
    assert (routing.ports == lines).all()


@given(st.integers(0, 99), st.integers(0, 3))
def test_congestion_changes_add_up(seed, limit):
    """cost_to_add announces what put_in adds, take_out gives it back, and all are differences of the congestion."""
    rng = np.random.default_rng(seed)
    fabric = Fabric(3, 3, 4)
    routes = find_routes(3, 3)
    capacities = np.full((fabric.cells, 8), limit)
    costs = edge_weights(fabric), edge_capacities(fabric, capacities)
    use, tree = np.zeros(4 * fabric.cells, np.int64), np.zeros(4 * fabric.cells // 64 + 1, np.uint64)
    for _ in range(5):
        pair = int(rng.choice([p for p in range(81) if p // 9 != p % 9]))
        edges = np.array(routes.of(pair)[0], np.int32)
        before, was, tree_was = congestion(fabric, use, capacities), use.copy(), tree.copy()
        announced = cost_to_add(edges, *costs, tree, use)
        added = put_in(edges, *costs, tree, use)
        assert announced == added == pytest.approx(congestion(fabric, use, capacities) - before)
        if (tree_was & tree == tree_was).all() and not tree_was.any():
            assert take_out(edges, *costs, tree, use) == pytest.approx(added)
            assert (use == was).all() and (tree == tree_was).all()
            put_in(edges, *costs, tree, use)
        if rng.random() < 0.5:
            tree[:] = 0  # the next neuron


def test_weights_of_edges_by_kind():
    """Nothing for a tile's own output, little for a row of one tile, 1 for a line between routers."""
    fabric = Fabric(2, 3, 8)
    weights = edge_weights(fabric).reshape(-1, 4)
    for cell in range(fabric.cells):
        i, j = divmod(cell, fabric.width)
        for side, (di, dj) in enumerate(((-1, 0), (0, 1), (1, 0), (0, -1))):
            beyond = i + di, j + dj
            if not (0 <= beyond[0] < fabric.height and 0 <= beyond[1] < fabric.width):
                continue
            wanted = 0 if kind_at((i, j)) == "NT" else 1 / 8 if kind_at(beyond) == "NT" else 1
            assert weights[cell, side] == wanted


@pytest.mark.parametrize("p3, least_saving", [(0.05, 0.15), (0.1, 0.25), (0.29, 0.4)])
def test_balanced_routes_save_memory_on_published_profiles(p3, least_saving):
    """Total elements of the worst-tile count, mean of three networks; less would mean that the search got worse."""
    savings = []
    for seed in range(3):
        network = random_network(FABRIC, {1: 0.95, 3: p3}, np.random.default_rng(seed))
        published, balanced = (map_on_tiles(network, CHIP, FABRIC, "index", r) for r in ("published", "balanced"))
        savings.append(1 - balanced.provisioned.total / published.provisioned.total)
    assert np.mean(savings) > least_saving


def test_fitting_routes_make_a_network_mappable():
    network = random_network(FABRIC, {1: 0.2, 3: 0.1, 5: 0.02}, np.random.default_rng(0))
    published, fitting = (map_on_tiles(network, CHIP, FABRIC, "index", r) for r in ("published", "fitting"))
    assert not published.mappable and published.excess_lines > 0
    assert fitting.mappable and fitting.excess_lines == 0


def length(fabric, connectivity, tile_of):
    links = find_links(connectivity, tile_of, fabric.tiles)
    hops = fabric.hops[tile_of[links.sources], links.tile]
    return float((hops - 1 + 1 / fabric.neurons).sum())


@given(networks(), st.data())
def test_swaps_of_neurons_change_the_cost_by_what_they_say(network, data):
    fabric, connectivity, _ = network
    tile_of = np.arange(fabric.capacity) // fabric.neurons
    order = np.argsort(connectivity.targets, kind="stable")
    incoming = pointers(connectivity.targets, fabric.capacity), connectivity.sources[order]
    count = np.zeros((fabric.capacity, fabric.tiles), np.int32)
    np.add.at(count, (connectivity.sources, tile_of[connectivity.targets]), 1)
    lengths = place.route_lengths(fabric)
    for _ in range(5):
        first, second = data.draw(st.tuples(*[st.integers(0, fabric.capacity - 1)] * 2))
        if tile_of[first] == tile_of[second]:
            continue
        before = length(fabric, connectivity, tile_of[: connectivity.neurons])
        change = place._swap(first, second, *incoming, count, lengths, tile_of)
        after = length(fabric, connectivity, tile_of[: connectivity.neurons])
        assert change == pytest.approx(after - before, abs=1e-9)


@given(networks(), st.data())
def test_swaps_of_tiles_change_the_cost_by_what_they_say(network, data):
    fabric, connectivity, rng = network
    tile_of = (np.arange(fabric.capacity) // fabric.neurons)[: connectivity.neurons]
    links = find_links(connectivity, tile_of, fabric.tiles)
    flow = np.zeros((fabric.tiles, fabric.tiles))
    np.add.at(flow, (tile_of[links.sources], links.tile), 1)
    where = rng.permutation(fabric.tiles)
    first, second = data.draw(st.permutations(range(fabric.tiles)))[:2]
    change = place._tile_change(first, second, flow, place.route_lengths(fabric), where)
    before = length(fabric, connectivity, where[tile_of])
    where[first], where[second] = where[second], where[first]
    assert change == pytest.approx(length(fabric, connectivity, where[tile_of]) - before, abs=1e-9)


@settings(max_examples=25)
@given(networks())
def test_annealed_placements_are_placements(network):
    """No tile holds more than it can, the cost is never higher than before, and the seed repeats it."""
    fabric, connectivity, _ = network
    tile_of = place.anneal_placement(fabric, connectivity, np.random.default_rng(3))
    assert tile_of.size == connectivity.neurons
    held = np.bincount(tile_of, minlength=fabric.tiles)
    assert held.size == fabric.tiles and held.max() <= fabric.neurons
    home = np.arange(connectivity.neurons) // fabric.neurons
    assert length(fabric, connectivity, tile_of) <= length(fabric, connectivity, home) + 1e-6
    assert (tile_of == place.anneal_placement(fabric, connectivity, np.random.default_rng(3))).all()


def test_one_tile_needs_no_placement():
    network = Connectivity.from_matrix(np.ones((3, 3)), "all")
    assert place.anneal_placement(Fabric(1, 1, 4), network, np.random.default_rng(0)).tolist() == [0, 0, 0]


def test_shuffled_tiles_are_found_again():
    """The order of the tiles is all that was lost; the placement found costs what the first one did."""
    fabric = Fabric(4, 4, 8)
    network = random_network(fabric, {1: 0.9, 3: 0.1}, np.random.default_rng(0))
    mixed = shuffled(network, np.random.default_rng(1), 8)
    home = np.arange(128) // 8
    found = place.anneal_placement(fabric, mixed, np.random.default_rng(0))
    assert length(fabric, mixed, home) > 3 * length(fabric, network, home)
    assert length(fabric, mixed, found) <= length(fabric, network, home) * 1.02


def test_annealing_makes_a_network_without_order_mappable():
    network = geometric(np.random.default_rng(0), 0.06, 0.6)
    index, annealed = (map_on_tiles(network, CHIP, FABRIC, p, "balanced") for p in ("index", "annealed"))
    assert not index.mappable and annealed.mappable
    assert annealed.provisioned.total < index.provisioned.total / 10
    assert not annealed.kept_index


def test_a_placement_that_is_no_better_is_not_taken():
    """Published profiles are in the best order already."""
    fabric = Fabric(3, 3, 8)
    network = random_network(fabric, {1: 1.0}, np.random.default_rng(0))
    mapping = map_on_tiles(network, CHIP, fabric, "annealed")
    assert mapping.kept_index
    assert (mapping.routing.tile_of == np.arange(72) // 8).all()


@pytest.mark.parametrize(
    "options, problem",
    [
        ({"place": "random"}, "no placement 'random': choose from index, annealed"),
        ({"routes": "shortest"}, "no routes 'shortest': choose from published, balanced, fitting"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_options_that_do_not_exist(options, problem):
    network = Connectivity.from_matrix(np.ones((3, 3)), "all")
    with pytest.raises(MappingError, match=problem):
        map_on_tiles(network, CHIP, FABRIC, **options)


def test_names_of_ports():
    assert PORTS == ("in N", "in E", "in S", "in W", "out N", "out E", "out S", "out W")
