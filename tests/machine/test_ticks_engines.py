"""Spikes on the tiles: both engines are one model, service by service; and the laws that it obeys."""

import heapq
from collections import Counter, deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsim.errors import ChipError, MappingError, SimulationError
from nsim.machine.compiled import ticks as engine_compiled
from nsim.machine.simpy import ticks as engine_simpy
from nsim.machine.ticks import build_lines
from nsim.mapping.tiles.branches import entries_by_kind, find_branches
from nsim.mapping.tiles.fabric import NT, Fabric
from nsim.mapping.tiles.mapping import map_on_tiles
from nsim.mapping.tiles.profile import random_network
from tests.generators.mosaic_chips import MOSAIC, chip_with, random_case, with_chip
from tests.generators.mosaic_naive import worked_example

ENGINES = (engine_simpy.Engine, engine_compiled.Engine)
SEEDS = st.integers(0, 2**32 - 1)


def assert_same(first, second):
    assert first.duration_ps == second.duration_ps
    assert first.log == second.log
    np.testing.assert_array_equal(first.waited_ps, second.waited_ps)
    np.testing.assert_array_equal(first.longest_queue, second.longest_queue)


def tree_walk(mapping, neuron):
    """{cell: routers crossed on the way} by a walk over the neuron's tree, each cell entered once, the own one at 0."""
    fabric, step = mapping.fabric, (-mapping.fabric.width, 1, mapping.fabric.width, -1)
    edges = {}
    for edge in mapping.routing.tree(neuron):
        edges.setdefault(edge // 4, []).append(edge // 4 + step[edge % 4])
    home = int(fabric.tile_cell[mapping.routing.tile_of[neuron]])
    depth, todo = {home: 0}, deque([home])
    while todo:
        cell = todo.popleft()
        for reached in edges.get(cell, []):
            if reached not in depth:
                depth[reached] = depth[cell] + (fabric.kind[reached] != NT)
                todo.append(reached)
    return depth


def test_the_cases_hold_what_they_are_for():
    """Waiting, ties, forks, routers entered twice and several lines do occur in the random cases."""
    waited = ties = forks = twice = several = 0
    for seed in range(60):
        case = random_case(seed)
        times = engine_compiled.Engine(case.lines).tick(case.firing, record=True)
        ends = [service.end_ps for service in times.log]
        branch = case.lines.branches.branch
        waited += bool(times.waited_ps.any())
        ties += len(set(ends)) < len(ends)
        forks += bool((branch["end"] - branch["first"] > 1).any())
        is_line = branch["port"] < 4 * case.mapping.fabric.cells
        twice += bool((branch["end"] == branch["first"])[is_line].any())
        several += bool((case.lines.lines[: 4 * case.mapping.fabric.cells] > 1).any())
    assert min(waited, ties, forks, several) >= 15 and twice >= 3


@given(SEEDS)
def test_what_is_sent_is_received_once(seed):
    """Over all forks: every branch of a firing neuron is served once, and each destination tile reads one row once."""
    case = random_case(seed)
    branches, routing = case.lines.branches, case.mapping.routing
    log = engine_compiled.Engine(case.lines).tick(case.firing, record=True).log
    wanted = [b for q in case.firing.tolist() for b in range(branches.indptr[q], branches.indptr[q + 1])]
    assert sorted(service.spike for service in log) == wanted
    owner = np.repeat(np.arange(branches.roots.size), np.diff(branches.indptr))
    rows = 4 * case.mapping.fabric.cells
    read = Counter()
    for service in log:
        port = int(branches.branch["port"][service.spike])
        if port >= rows:
            read[int(owner[service.spike]), port - rows] += 1
    links = routing.links
    due = {(q, int(routing.tile_of[q])) for q in case.firing.tolist()}
    for q in case.firing.tolist():
        due |= {(q, int(tile)) for tile in links.tile[links.indptr[q] : links.indptr[q + 1]]}
    assert read == Counter(due)


@given(SEEDS)
def test_lines_are_used_as_the_ports_were_counted(seed):
    """Neurons at each port: the routing's own count, but for the neurons' own lines, which take no time."""
    case = random_case(seed)
    fabric = case.mapping.fabric
    used = case.lines.branches.users()[: 4 * fabric.cells]
    np.testing.assert_array_equal(used, np.where(np.repeat(fabric.kind == NT, 4), 0, case.mapping.routing.edge_use))


@given(SEEDS)
def test_counts_equal_a_walk_over_the_trees(seed):
    case = random_case(seed)
    branches, fabric = case.lines.branches, case.mapping.fabric
    wanted = np.zeros(fabric.cells, np.int64)
    for neuron in case.firing.tolist():
        wanted[list(tree_walk(case.mapping, neuron))] += 1
    np.testing.assert_array_equal(branches.entries(case.firing), wanted)
    everybody = branches.entries(np.arange(branches.roots.size))
    assert entries_by_kind(fabric, everybody) == case.mapping.events  # what `nsim map` counts


@given(SEEDS)
def test_on_dedicated_lines_each_row_is_read_after_the_hops_to_it(seed):
    """R1 and R0 take turns on a route, from R1 to R1: hops -> (hops + 1) / 2 R1 and hops / 2 R0, then the row."""
    case = random_case(seed)
    fabric, routing = case.mapping.fabric, case.mapping.routing
    mapping = with_chip(case.mapping, chip_with(read_ps=1_000, r1_ps=30, r0_ps=7))
    lines = build_lines(mapping, shared=False)
    owner = np.repeat(np.arange(lines.branches.roots.size), np.diff(lines.branches.indptr))
    for engine in ENGINES:
        times = engine(lines).tick(case.firing, record=True)
        assert not times.waited_ps.any() and not times.longest_queue.any()
        longest = 0
        for service in times.log:
            tile = int(lines.branches.branch["port"][service.spike]) - 4 * fabric.cells
            if tile >= 0:
                hops = int(fabric.hops[routing.tile_of[owner[service.spike]], tile])
                assert service.end_ps == (hops + 1) // 2 * 30 + hops // 2 * 7 + 1_000
                longest = max(longest, service.end_ps)
        assert times.duration_ps == longest


@given(SEEDS)
def test_as_many_shared_lines_as_neurons_are_dedicated(seed):
    case = random_case(seed, lines=64)  # at most 4 x 4 tiles of 4
    dedicated = build_lines(case.mapping, shared=False)
    shared = engine_compiled.Engine(case.lines).tick(case.firing, record=True)
    assert_same(engine_compiled.Engine(dedicated).tick(case.firing, record=True), shared)


@given(SEEDS)
def test_taking_lines_in_turn_is_one_queue_for_all_of_them(seed):
    """At every port: a spike starts when it has come and any of the lines is free, in the order of coming."""
    case = random_case(seed)
    port = np.repeat(np.arange(case.lines.lines.size), case.lines.lines)
    came, by_port = {}, {}
    log = engine_compiled.Engine(case.lines).tick(case.firing, record=True).log
    asked_ps = {service.spike: log[service.before].end_ps if service.before >= 0 else 0 for service in log}
    order = {service.spike: place for place, service in enumerate(log)}
    cause = {}
    for service in log:
        first, end = (int(case.lines.branches.branch[name][service.spike]) for name in ("first", "end"))
        cause |= dict.fromkeys(range(first, end), order[service.spike])
    for service in log:
        by_port.setdefault(int(port[service.station]), []).append(service)
    for number, services in by_port.items():
        came = sorted(services, key=lambda s: (asked_ps[s.spike], cause.get(s.spike, -1), s.spike))
        free = [0] * int(case.lines.lines[number])
        for service in came:
            start = max(asked_ps[service.spike], heapq.heappop(free))
            assert service.start_ps == start
            heapq.heappush(free, start + int(case.lines.service_ps[number]))


def test_the_worked_example():
    """Neurons 0 and 5 of the published example: 9 and 6 routers, the rows of 4 + 2 tiles and of their own two."""
    fabric, connectivity, _ = worked_example()
    mapping = map_on_tiles(connectivity, chip_with(read_ps=1_000, r1_ps=30, r0_ps=7), fabric)
    branches = find_branches(mapping.routing)
    assert entries_by_kind(fabric, branches.entries(np.array([0]))) == {
        "row_read": 5,
        "r1_crossing": 6,
        "r0_crossing": 3,
    }
    assert entries_by_kind(fabric, branches.entries(np.array([5]))) == {
        "row_read": 3,
        "r1_crossing": 4,
        "r0_crossing": 2,
    }
    for engine in ENGINES:
        assert engine(build_lines(mapping, False)).tick(np.array([0, 5])).duration_ps == 4 * 30 + 3 * 7 + 1_000
    # Both leave R0(2,2) by S; over one line the second waits for the first, which comes at the same time.
    narrow = with_chip(mapping, chip_with(read_ps=1_000, r1_ps=30, r0_ps=7, lines=1))
    for engine in ENGINES:
        times = engine(build_lines(narrow, True)).tick(np.array([0, 5]))
        assert {int(p): int(times.waited_ps[p]) for p in np.flatnonzero(times.waited_ps)} == {
            4 * (2 * fabric.width + 2) + 2: 7
        }


def test_rows_one_by_one():
    """All n neurons of one tile fire: their own rows take n reads, or one if they are read together."""
    fabric = Fabric(1, 1, 8)
    network = random_network(fabric, {}, np.random.default_rng(0))
    for rows, reads in (("together", 1), ("one-by-one", 8)):
        lines = build_lines(map_on_tiles(network, chip_with(read_ps=10, rows=rows), fabric), shared=False)
        for engine in ENGINES:
            assert engine(lines).tick(np.arange(8)).duration_ps == 10 * reads


def test_silence_takes_no_time():
    case = random_case(3)
    for engine in ENGINES:
        times = engine(case.lines).tick(np.zeros(0, np.int64), record=True)
        assert times.duration_ps == 0 and times.log == []


def test_what_has_no_time():
    fabric = Fabric(2, 2, 2)
    network = random_network(fabric, {1: 1.0, 3: 1.0}, np.random.default_rng(0))
    with pytest.raises(ChipError, match=r"actions.row_read.latency_ps, .*actions.r0_crossing.latency_ps"):
        build_lines(map_on_tiles(network, MOSAIC, fabric), shared=False)
    with pytest.raises(MappingError, match=r"use the port out . of R\d\(\d,\d\), which has 0 lines"):
        build_lines(map_on_tiles(network, chip_with(lines=0), fabric), shared=True)
    near = random_network(
        fabric, {1: 1.0}, np.random.default_rng(0)
    )  # never crosses an R0, whose latency may be unknown
    assert build_lines(map_on_tiles(near, chip_with(r0_ps=None), fabric), shared=False).stations > 0


def test_a_clock_that_ends_is_an_error():
    case = random_case(3, lines=64)
    lines = build_lines(with_chip(case.mapping, chip_with(read_ps=2**62)), shared=False)
    with pytest.raises(SimulationError, match="clock of the compiled engine"):
        engine_compiled.Engine(lines).tick(np.arange(1))
