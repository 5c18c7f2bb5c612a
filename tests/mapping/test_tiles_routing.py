"""The fabric and its routes: published tables, the worked example, and a naive router on random grids and networks."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsim import errors as memory
from nsim.chip.file import load_chip
from nsim.errors import MappingError, NetworkError
from nsim.mapping.tiles.connectivity import Connectivity
from nsim.mapping.tiles.fabric import KINDS, Fabric
from nsim.mapping.tiles.memory import Memory, TileSizes, programmed, tile_sizes, worst_ports
from nsim.mapping.tiles.place import anneal_placement
from nsim.mapping.tiles.profile import random_network
from nsim.mapping.tiles.routes import find_routes
from nsim.mapping.tiles.routing import PORTS, home_tiles, route_network
from tests.generators.mosaic_naive import (
    NAMES,
    OPPOSITE,
    STEP,
    kind_at,
    naive_routing,
    passed,
    published_path,
    random_matrix,
    tile_at,
    turns,
    worked_example,
)

SIDES = "NESW"


def steps_of(fabric, edges):
    return [(divmod(edge // 4, fabric.width), SIDES[edge % 4]) for edge in edges]


def with_lines(**lines):
    """The shipped chip with other numbers of lines: r0=4 gives every port of an R0 four."""
    chip = load_chip("mosaic")
    ports = chip.ports.model_copy(
        update={
            kind: getattr(chip.ports, kind).model_copy(
                update={f"{way}_{axis}": count for way in ("in", "out") for axis in ("north_south", "east_west")}
            )
            for kind, count in lines.items()
        }
    )
    return chip.model_copy(update={"ports": ports})


def test_hop_table_of_5x5():
    """Weber et al. 2024: hops from tile 0."""
    table = [[0, 1, 5, 7, 9], [1, 3, 5, 7, 9], [5, 5, 7, 9, 11], [7, 7, 9, 11, 13], [9, 9, 11, 13, 15]]
    assert Fabric(5, 5, 32).hops[0].reshape(5, 5).tolist() == table


def test_pairs_per_hop_count_of_5x5():
    counts = Counter(Fabric(5, 5, 32).hops.ravel().tolist())
    assert counts.pop(0) == 25
    assert counts == {1: 80, 3: 64, 5: 156, 7: 140, 9: 100, 11: 40, 13: 16, 15: 4}


@pytest.mark.parametrize("side, longest", [(5, 15), (8, 27)])
def test_longest_hop_counts(side, longest):
    assert Fabric(side, side, 32).hops.max() == longest


def test_cells_of_5x5():
    fabric = Fabric(5, 5, 32)
    assert fabric.counts == (25, 60, 36)
    assert np.bincount(fabric.kind).tolist() == [25, 60, 36]


@given(st.integers(1, 6), st.integers(1, 6))
def test_kinds_of_cells_follow_their_parity(rows, columns):
    fabric = Fabric(rows, columns, 1)
    for cell in range(fabric.cells):
        place = divmod(cell, fabric.width)
        assert KINDS[fabric.kind[cell]] == kind_at(place)
        assert fabric.upright[cell] == (kind_at(place) == "R1" and place[0] % 2 == 0)
    assert np.bincount(fabric.kind, minlength=3).tolist() == list(fabric.counts)
    assert [divmod(c, fabric.width) for c in fabric.tile_cell.tolist()] == [
        tile_at(columns, tile) for tile in range(fabric.tiles)
    ]


@pytest.mark.parametrize("size", [(0, 5, 32), (5, -1, 32), (33, 5, 32), (5, 5, 0), (5, 5, 5000)])
def test_grids_that_do_not_exist(size):
    with pytest.raises(MappingError, match="give 1 to"):
        Fabric(*size)


def test_capacities_of_r1_are_turned_with_it():
    """An R1 between a western and an eastern tile has its tile ports there."""
    chip = load_chip("mosaic")
    r1 = chip.ports.r1.model_copy(
        update={"in_north_south": 1, "in_east_west": 2, "out_north_south": 3, "out_east_west": 4}
    )
    chip = chip.model_copy(update={"ports": chip.ports.model_copy(update={"r1": r1})})
    fabric = Fabric(2, 2, 4)
    capacities = fabric.capacities(chip)
    upright, lying = 0 * fabric.width + 1, 1 * fabric.width + 0
    assert capacities[upright].tolist() == [1, 2, 1, 2, 3, 4, 3, 4]
    assert capacities[lying].tolist() == [2, 1, 2, 1, 4, 3, 4, 3]
    assert (fabric.in_frame(capacities)[fabric.kind == 1] == capacities[upright]).all()


@pytest.mark.parametrize("rows, columns", [(1, 1), (1, 4), (4, 1), (2, 2), (3, 5), (5, 5), (8, 8)])
def test_published_routes_of_all_pairs(rows, columns):
    """Equal to the naive walk; as many routers as the hop formula says; at most one turn, and never in an R1."""
    fabric, routes = Fabric(rows, columns, 1), find_routes(rows, columns)
    for pair in range(fabric.tiles**2):
        source, target = divmod(pair, fabric.tiles)
        if source == target:
            assert routes.of(pair) == []
            continue
        (edges,) = routes.of(pair)
        steps = steps_of(fabric, edges)
        assert steps == published_path(columns, source, target)
        assert len(passed(steps)) == fabric.hops[source, target]
        assert len(turns(steps)) <= 1
        assert_legal(steps)


def assert_legal(steps):
    """R1s pass routers' traffic straight on; nothing passes through a neuron tile."""
    for cell, into, out in passed(steps):
        assert kind_at(cell) != "NT"
        if kind_at(cell) == "R1":
            tile_sides = "NS" if cell[0] % 2 == 0 else "EW"
            between_routers = into not in tile_sides and out not in tile_sides
            assert not between_routers or out == OPPOSITE[into]


def all_shortest(rows, columns, source, target):
    """All paths with the fewest routers, by depth-first search over every move that the hardware allows."""
    start, end = tile_at(columns, source), tile_at(columns, target)
    found, limit = [], 2 * (rows + columns) + 2

    def onwards(cell, came_by, steps):
        nonlocal limit
        if cell == end:
            if len(steps) < limit:
                found.clear()
                limit = len(steps)
            found.append(list(steps))
            return
        far = abs(cell[0] - end[0]) + abs(cell[1] - end[1])
        if (kind_at(cell) == "NT" and steps) or len(steps) + far > limit:
            return
        for side in SIDES:
            beyond = cell[0] + STEP[side][0], cell[1] + STEP[side][1]
            if not (0 <= beyond[0] <= 2 * rows and 0 <= beyond[1] <= 2 * columns) or side == came_by:
                continue
            if kind_at(cell) == "R1" and kind_at(beyond) == "R0" and came_by in SIDES:
                before = cell[0] + STEP[came_by][0], cell[1] + STEP[came_by][1]
                if kind_at(before) == "R0" and side != OPPOSITE[came_by]:
                    continue
            onwards(beyond, OPPOSITE[side], [*steps, (cell, side)])

    onwards(start, "-", [])
    return found


@pytest.mark.parametrize("rows, columns", [(1, 3), (3, 1), (2, 3), (3, 3), (2, 4)])
def test_equal_routes_are_all_shortest_paths_with_at_most_one_turn(rows, columns):
    """No legal path crosses fewer routers than the hop formula says, and the candidates are complete."""
    fabric, routes = Fabric(rows, columns, 1), find_routes(rows, columns, equals=True)
    for pair in range(fabric.tiles**2):
        source, target = divmod(pair, fabric.tiles)
        if source == target:
            continue
        shortest = all_shortest(rows, columns, source, target)
        assert len(shortest[0]) - 1 == fabric.hops[source, target]
        wanted = sorted(steps for steps in shortest if len(turns(steps)) <= 1)
        candidates = [steps_of(fabric, edges) for edges in routes.of(pair)]
        assert sorted(candidates) == wanted
        assert candidates[0] == published_path(columns, source, target)


def test_what_does_not_fit_into_memory(monkeypatch):
    fabric, network, _ = worked_example()
    route_network(fabric, network)
    monkeypatch.setattr(memory, "available_bytes", lambda: 100)
    with pytest.raises(MappingError, match="7x7 tiles take"):
        find_routes(7, 7, True)
    with pytest.raises(MappingError, match="the trees of all neurons take 1,152 bytes, but 100 bytes"):
        route_network(fabric, network)
    with pytest.raises(MappingError, match="--place index"):
        anneal_placement(fabric, network, np.random.default_rng(0))
    with pytest.raises(NetworkError, match="connections of the random network take"):
        random_network(fabric, {1: 0.5}, np.random.default_rng(0))


def ports_by_name(routing):
    lines = routing.ports
    return {
        (divmod(cell, routing.fabric.width), PORTS[port]): int(lines[cell, port])
        for cell, port in np.argwhere(lines).tolist()
    }


@st.composite
def networks(draw):
    fabric = Fabric(draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 4)))
    neurons = draw(st.integers(1, fabric.capacity))
    density = draw(st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return fabric, random_matrix(fabric, neurons, density, rng)


@given(networks())
def test_port_usage_equals_the_naive_router(network):
    fabric, matrix = network
    routing = route_network(fabric, Connectivity.from_matrix(matrix, "random"))
    ports, joins, crossings = naive_routing(fabric, matrix)
    assert PORTS == NAMES
    assert ports_by_name(routing) == ports
    assert dict(zip(KINDS, routing.joins.tolist(), strict=True)) == joins
    assert dict(zip(KINDS, routing.crossings.tolist(), strict=True)) == crossings


@given(networks())
def test_trees_are_unions_of_routes(network):
    """Never more edges than the routes have together, never fewer than the longest, and used as often as counted."""
    fabric, matrix = network
    routing = route_network(fabric, Connectivity.from_matrix(matrix, "random"))
    lengths = fabric.hops[routing.tile_of[routing.links.sources], routing.links.tile] + 1
    edges = Counter()
    for neuron in range(len(matrix)):
        own = lengths[routing.links.indptr[neuron] : routing.links.indptr[neuron + 1]]
        tree = routing.tree(neuron)
        assert own.max(initial=0) <= len(tree) <= own.sum()
        edges.update(tree)
    assert {e: int(c) for e, c in enumerate(routing.edge_use) if c} == edges
    for edge in list(edges)[:5]:
        assert routing.users(edge).tolist() == [n for n in range(len(matrix)) if edge in routing.tree(n)]


@given(networks(), st.integers(0, 5), st.integers(0, 5), st.integers(0, 3))
def test_mappability_is_monotone_in_capacity(network, r0, r1, more):
    """More lines never add a violated port; violations are exactly the ports above capacity, by the naive count."""
    fabric, matrix = network
    routing = route_network(fabric, Connectivity.from_matrix(matrix, "random"))
    tight = routing.violations(fabric.capacities(with_lines(neuron_tile=3, r1=r1, r0=r0)))
    wide = routing.violations(fabric.capacities(with_lines(neuron_tile=3, r1=r1 + more, r0=r0 + more)))
    assert {(v.cell, v.port) for v in wide} <= {(v.cell, v.port) for v in tight}
    limit = {"NT": 3, "R1": r1, "R0": r0}
    over = {port for port, used in naive_routing(fabric, matrix)[0].items() if used > limit[kind_at(port[0])]}
    assert {(divmod(v.cell, fabric.width), PORTS[v.port]) for v in tight} == over


def test_connections_inside_a_tile_take_no_lines():
    matrix = np.kron(np.eye(4), np.ones((3, 3)))
    routing = route_network(Fabric(2, 2, 3), Connectivity.from_matrix(matrix, "blocks"))
    assert not routing.ports.any()
    assert routing.links.tile.size == 0


def test_worked_example_paths_and_trees():
    fabric, network, _ = worked_example()
    routing = route_network(fabric, network)
    by_kind = [Counter(), Counter()]
    for neuron, counter in ((0, by_kind[0]), (5, by_kind[1])):
        cells = {cell for (cell, _) in steps_of(fabric, routing.tree(neuron))}
        ends = {tile_at(3, int(t)) for t in routing.links.tile[slice(*routing.links.indptr[neuron : neuron + 2])]}
        own = tile_at(3, int(routing.tile_of[neuron]))
        counter.update(kind_at(cell) for cell in (cells | ends) - {own})
    assert by_kind == [{"R1": 6, "R0": 3, "NT": 4}, {"R1": 4, "R0": 2, "NT": 2}]
    hops = [fabric.hops[0, tile] for tile in (1, 4, 5, 8)]
    assert hops == [1, 3, 5, 7]
    assert sum(hops) == 16
    paths = find_routes(3, 3)
    (to_8,) = paths.of(8)
    cells = [(1, 1), (2, 1), (2, 2), (2, 3), (2, 4), (3, 4), (4, 4), (5, 4)]
    assert steps_of(fabric, to_8) == list(zip(cells, "SEEESSSE", strict=True))
    (down,) = paths.of(1 * 9 + 7)
    cells = [(1, 3), (1, 2), (2, 2), (3, 2), (4, 2), (5, 2)]
    assert steps_of(fabric, down) == list(zip(cells, "WSSSSE", strict=True))


def test_worked_example_ports_sizes_and_verdicts():
    fabric, network, _ = worked_example()
    routing = route_network(fabric, network)
    corner = 2 * fabric.width + 2
    assert routing.ports[corner].tolist() == [1, 0, 0, 1, 0, 1, 2, 0]
    assert worst_ports(routing)[0, :4].tolist() == [1, 0, 0, 1]
    assert tile_sizes(worst_ports(routing)) == TileSizes(nt_lines=2, r1_side=12, r0_side=8)
    assert (12**2, 8**2) == (144, 16 * 2**2)
    assert routing.violations(fabric.capacities(with_lines(r0=4))) == []
    (violation,) = routing.violations(fabric.capacities(with_lines(r0=1)))
    assert (fabric.cell_name(violation.cell), PORTS[violation.port]) == ("R0(2,2)", "out S")
    assert (violation.used, violation.capacity) == (2, 1)
    assert programmed(routing, network) == Memory(nt_inputs=7, nt_recurrent=0, r1=11, r0=6)


def test_more_neurons_than_the_tiles_hold():
    with pytest.raises(MappingError, match="37 neurons, but 3x3 tiles of 4 hold 36: give --grid at least 10 tiles"):
        home_tiles(Fabric(3, 3, 4), 37, "net")


def test_matrices_that_are_no_connectivity():
    for matrix, problem in (
        (np.ones((3, 4)), "3 x 4: give a square"),
        (np.ones(3), "is 3: give a square"),
        (np.ones((2, 2, 2)), "2 x 2 x 2"),
        (np.array(1.0), "a single number"),
        (np.array([[np.nan, 1], [0, 1]]), "1 weights that are NaN"),
        (np.array([[np.inf, 1], [0, np.inf]]), "2 weights"),
        (np.ones((2, 2), complex), "complex128"),
        (np.full((2, 2), "x"), "elements of type"),
        (np.zeros((0, 0)), "no neurons"),
    ):
        with pytest.raises(NetworkError, match=problem):
            Connectivity.from_matrix(matrix, "net")
