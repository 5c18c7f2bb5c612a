"""Memory, profiles, the proxy and what decides: published totals and tables, and counts by other means."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.mosaic_memory import compare_table, draw_samples, fit, score
from nsim.chip.file import load_chip
from nsim.errors import NetworkError
from nsim.mapping.tiles.connectivity import Connectivity
from nsim.mapping.tiles.explain import explain
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.mapping import map_on_tiles
from nsim.mapping.tiles.memory import TileSizes, provisioned, tile_sizes, worst_ports
from nsim.mapping.tiles.predictor import CALIBRATION, SIZES, predict
from nsim.mapping.tiles.profile import check_profile, connection_profile, link_profile, parse_profile, random_network
from nsim.mapping.tiles.routing import PORTS, route_network
from tests.generators.mosaic_naive import naive_routing, worked_example

FABRIC = Fabric(5, 5, 32)


def mapped(profile, seed=0, fabric=FABRIC, **options):
    network = random_network(fabric, profile, np.random.default_rng(seed))
    return map_on_tiles(network, load_chip("mosaic"), fabric, **options)


def test_published_totals():
    """Weber et al. 2024, figure of accuracy against memory: (1, 0), the two guide lines, and the floor."""
    assert mapped({1: 1.0}).sizes == TileSizes(nt_lines=128, r1_side=64, r0_side=0)
    assert mapped({1: 1.0}).provisioned.total == 373_760
    assert provisioned(FABRIC, TileSizes(160, 128, 64)).total == 1_284_096
    assert provisioned(FABRIC, TileSizes(140, 96, 64)).total == 838_016
    assert mapped({}).provisioned.total == 271_360


@pytest.mark.parametrize("p1", [0.02, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("size", [(5, 5, 32), (2, 7, 8)])
def test_neighbours_alone_need_no_r0(p1, size):
    """R1s then carry the two tiles' own neurons and nothing else."""
    fabric = Fabric(*size)
    sizes = mapped({1: p1}, fabric=fabric).sizes
    assert (sizes.r1_side, sizes.r0_side) == (2 * fabric.neurons, 0)


def test_published_profile_memory_table():
    """Weber et al. 2024, 1,200 stored results: every mean within two standard errors, theirs of 10 and ours of 30."""
    rows = compare_table(networks=30, seed=0)
    assert len(rows) == 20
    assert {row.quantity for row in rows} == {"nt_lines", "r0_side", "r1_side", "total"}
    assert [(row.p1, row.p3, row.quantity, row.errors) for row in rows if row.errors > 2] == []
    assert all(row.standard_error < 0.05 * max(row.published, 1) for row in rows if row.published)


@pytest.mark.parametrize(
    "p1, p3, total",
    [(0.5, 0.0, 336_960), (0.5, 0.1, 577_000), (0.5, 0.2, 1_023_000), (0.5, 0.3, 1_581_000), (1.0, 0.3, 2_110_000)],
)
def test_memory_of_the_accuracy_table(p1, p3, total):
    """Runs of the published program, three networks each; within three standard deviations of such a mean."""
    found = [mapped({1: p1, 3: p3}, seed).provisioned.total for seed in range(20)]
    assert total == pytest.approx(np.mean(found), abs=3 * np.std(found) * np.sqrt(1 / 3 + 1 / 20) + 1)


@given(st.integers(2, 4), st.integers(2, 4), st.integers(1, 4), st.sampled_from([0.02, 0.2, 0.8]), st.integers(0, 999))
def test_sizes_by_hand(rows, columns, n, density, seed):
    """From the naive router's ports: maxima by side, R1s seen with their tiles to the north and south."""
    fabric = Fabric(rows, columns, n)
    matrix = np.random.default_rng(seed).random((fabric.capacity, fabric.capacity)) < density
    ports = naive_routing(fabric, matrix)[0]

    def widest(kind, *names):
        return max((used for (cell, name), used in ports.items() if kind(*cell) and name in names), default=0)

    def nt(i, j):
        return i % 2 and j % 2

    def r0(i, j):
        return i % 2 == 0 and j % 2 == 0

    def upright(i, j):
        return i % 2 == 0 and j % 2

    def lying(i, j):
        return i % 2 and j % 2 == 0

    def r1(way):
        to_tiles = max(widest(upright, f"{way} N", f"{way} S"), widest(lying, f"{way} E", f"{way} W"))
        to_routers = max(widest(upright, f"{way} E", f"{way} W"), widest(lying, f"{way} N", f"{way} S"))
        return to_tiles, to_routers

    lines = sum(widest(nt, f"in {side}") for side in "NESW")
    r1_side = max(2 * n + 2 * r1("in")[1], 2 * sum(r1("out")))
    wanted = TileSizes(lines, r1_side, 4 * widest(r0, *PORTS))
    routing = route_network(fabric, Connectivity.from_matrix(matrix, "net"))
    assert tile_sizes(worst_ports(routing)) == wanted
    nts, r1s, r0s = rows * columns, (rows + 1) * columns + rows * (columns + 1), (rows + 1) * (columns + 1)
    total = nts * (lines * n + n * n) + r1s * wanted.r1_side**2 + r0s * wanted.r0_side**2
    assert provisioned(fabric, wanted).total == total


def test_programmed_devices_are_few_of_the_provisioned():
    """(1, 0) leaves 107,520 connections, as many as the published allotment, and one join for each of 2,560 links."""
    programmed = mapped({1: 1.0}).programmed
    assert programmed.nt_inputs + programmed.nt_recurrent == 107_520
    assert (programmed.r1, programmed.r0) == (80 * 32, 0)


def test_profiles_are_rounded_per_source_tile():
    """p3 = 0.10 is realised as 0.098 on 5x5: 4 tiles have 1 tile at 3 hops, 12 have 2, 9 have 4."""
    network = random_network(FABRIC, {1: 0.95, 3: 0.1}, np.random.default_rng(0))
    found = link_profile(FABRIC, network, np.arange(800) // 32)
    assert found[3] == (4 * round(3.2) + 12 * round(6.4) + 9 * round(12.8)) / (32 * 64)
    assert found[3] == pytest.approx(0.098, abs=5e-4)
    assert all(found[d] == 0 for d in (5, 7, 9, 11, 13, 15))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.data())
def test_random_networks_have_exactly_the_links_asked_for(rows, columns, n, data):
    """For every source tile and distance round(p n M); blocks are full; a link reaches a whole tile."""
    fabric = Fabric(rows, columns, n)
    profile = {d: data.draw(st.floats(0, 1)) for d in fabric.distances}
    network = random_network(fabric, profile, np.random.default_rng(data.draw(st.integers(0, 99))))
    matrix = np.zeros((fabric.capacity, fabric.capacity), bool)
    matrix[network.sources, network.targets] = True
    assert matrix.sum() == network.connections
    blocks = matrix.reshape(fabric.tiles, n, fabric.tiles, n)
    assert (blocks.all(axis=3) == blocks.any(axis=3)).all()
    links = blocks.any(axis=3).sum(axis=1)
    for source in range(fabric.tiles):
        assert links[source, source] == n
        for d, share in profile.items():
            there = fabric.hops[source] == d
            assert links[source, there].sum() == round(share * n * there.sum())


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.floats(0, 1), st.integers(0, 99), st.data())
def test_profiles_by_hand(rows, columns, n, density, seed, data):
    """Links and connections counted pair by pair, also where the last tile is not full."""
    fabric = Fabric(rows, columns, n)
    neurons = data.draw(st.integers(1, fabric.capacity))
    matrix = np.random.default_rng(seed).random((neurons, neurons)) < density
    network = Connectivity.from_matrix(matrix, "net")
    tile_of = np.arange(neurons) // n
    used = sorted(set(tile_of.tolist()))
    connections, possible, links, rows_possible = {}, {}, {}, {}
    for source in range(neurons):
        for target in range(neurons):
            d = int(fabric.hops[tile_of[source], tile_of[target]])
            possible[d] = possible.get(d, 0) + 1
            connections[d] = connections.get(d, 0) + int(matrix[source, target])
        for tile in set(used) - {int(tile_of[source])}:
            d = int(fabric.hops[tile_of[source], tile])
            rows_possible[d] = rows_possible.get(d, 0) + 1
            links[d] = links.get(d, 0) + bool(matrix[source, tile_of == tile].any())
    assert connection_profile(fabric, network, tile_of) == {d: connections[d] / possible[d] for d in sorted(possible)}
    assert link_profile(fabric, network, tile_of) == {d: links[d] / rows_possible[d] for d in sorted(rows_possible)}


@pytest.mark.parametrize(
    "text, problem",
    [
        ("p1", "not of the form"),
        ("", "not of the form"),
        ("p1=0.5,p1=0.6", "given twice"),
        ("p1=0.5,p01=0.6", "given twice"),
        ("q1=0.5", "no option 'q1'"),
        ("p=0.5", "no option 'p'"),
        ("p-1=0.5", "no option"),
        ("p1=half", "'half'"),
    ],
)
def test_texts_that_are_no_profile(text, problem):
    with pytest.raises(NetworkError, match=problem):
        parse_profile(text)


@pytest.mark.parametrize(
    "profile, problem",
    [
        ({2: 0.1}, r"2 hops apart \(p2\): there are 1, 3, 5, 7, 9, 11, 13, 15"),
        ({4: 0.0}, r"4 hops apart"),
        ({17: 0.1}, r"17 hops apart"),
        ({0: 1.0}, "p0 is no option"),
        ({1: -0.01}, r"p1 is -0.01: give a share of the possible connections, 0 to 1"),
        ({3: 1.01}, r"p3 is 1.01"),
        ({3: float("nan")}, r"p3 is nan"),
        ({3: float("inf")}, r"p3 is inf"),
    ],
)
def test_profiles_that_do_not_exist(profile, problem):
    with pytest.raises(NetworkError, match=problem):
        check_profile(FABRIC, profile)
    with pytest.raises(NetworkError, match=problem):
        predict(FABRIC, profile)
    with pytest.raises(NetworkError, match=problem):
        random_network(FABRIC, profile, np.random.default_rng(0))


def test_the_proxy_holds_within_its_error_bars():
    """On networks that it was not fitted on: 68 % within one standard deviation and 95 % within two, give or take."""
    samples = draw_samples(100, seed=11)
    for name in (*SIZES, "total"):
        scores = np.array([score(sample, CALIBRATION, name) for sample in samples])
        assert 0.55 < (np.abs(scores) < 1).mean() < 0.85, name
        assert (np.abs(scores) < 2).mean() > 0.9, name
        assert abs(scores.mean()) < 0.3, name


def test_the_shipped_constants_are_those_of_the_fit():
    """Fitted anew to fewer and other networks, the constants come out alike."""
    again = fit(draw_samples(100, seed=5))
    for name in SIZES:
        assert again.scale[name] == pytest.approx(CALIBRATION.scale[name], abs=0.02)
    for name in (*SIZES, "total"):
        assert again.spread[name] == pytest.approx(CALIBRATION.spread[name], rel=0.25)


def test_the_proxy_has_no_error_bar_where_nothing_is_random():
    prediction = predict(FABRIC, {1: 1.0})
    sizes = prediction.nt_lines, prediction.r1_side, prediction.r0_side, prediction.total
    assert [size.value for size in sizes] == pytest.approx([128, 64, 0, 373_760])
    assert [size.std for size in sizes] == [0, 0, 0, 0]
    assert predict(FABRIC, {}).total.value == 271_360


@pytest.mark.parametrize(
    "fabric, profile, outside",
    [
        (FABRIC, {1: 0.9, 3: 0.1}, []),
        (FABRIC, {1: 0.9, 3: 0.5}, ["p3 0.5 (fitted 0 to 0.3)"]),
        (FABRIC, {1: 0.1, 9: 0.1}, ["p1 0.1 (fitted 0.3 to 1)", "p9 0.1 (fitted 0 to 0)"]),
        (Fabric(9, 2, 128), {1: 0.9}, ["rows 9 (", "columns 2 (", "neurons per tile 128 ("]),
    ],
)
def test_extrapolation_is_marked(fabric, profile, outside):
    found = predict(fabric, profile).outside
    assert len(found) == len(outside)
    assert all(text.startswith(wanted) for text, wanted in zip(found, outside, strict=True))


def test_worked_example_is_decided_by_its_corner():
    fabric, network, _ = worked_example()
    found = {each.group: each for each in explain(map_on_tiles(network, load_chip("mosaic"), fabric))}
    corner = found["R0, any port"]
    assert (fabric.cell_name(corner.cell), PORTS[corner.port], corner.lines) == ("R0(2,2)", "out S", 2)
    assert corner.users == [(0, 1), (1, 1)]
    assert corner.saved == 16 * 16 * (2**2 - 1**2)  # 16 R0s on 3x3 tiles
    assert found["R1, from routers"].lines == 2
    assert found["R1, from routers"].saved == 24 * (12**2 - 10**2)  # 24 R1s
    assert "NT, in by S" not in found


@given(st.integers(0, 50), st.sampled_from([0.0, 0.1, 0.4]), st.sampled_from([0.0, 0.05]))
def test_deciders_carry_what_the_sizes_are_made_of(seed, p3, p5):
    fabric = Fabric(3, 4, 6)
    mapping = mapped({1: 0.8, 3: p3, 5: p5}, seed, fabric)
    found = {each.group: each for each in explain(mapping)}
    lines = {group: each.lines for group, each in found.items()}
    sizes = mapping.sizes
    assert sum(count for group, count in lines.items() if group.startswith("NT")) == sizes.nt_lines
    assert 4 * lines.get("R0, any port", 0) == sizes.r0_side
    arriving = fabric.neurons + lines.get("R1, from routers", 0)
    assert 2 * max(arriving, lines["R1, to its tiles"] + lines.get("R1, to routers", 0)) == sizes.r1_side
    for each in found.values():
        assert mapping.routing.ports[each.cell, each.port] == each.lines == sum(count for _, count in each.users)
        assert each.saved >= 0
