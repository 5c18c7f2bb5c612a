"""Stations are numbered as documented, get the chip's times, and routes and sweeps equal naive twins."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.machine.stations import KINDS, build_machine, sweeps
from nsim.mapping.cores.route import direction, distance, mesh_links, xy_route
from tests.generators.machines import LINKS, Cell, hand_mapped, mapped_networks, small_chip, steps

MESHES = [(1, 1, 1), (1, 3, 2), (4, 1, 1), (2, 2, 3), (4, 3, 2)]


@pytest.fixture(params=MESHES, ids=str)
def chip(request):
    columns, rows, per_router = request.param
    return small_chip(columns, rows, per_router, host=(columns - 1, rows // 2))


def test_numbering_is_kind_by_kind_with_the_host_last(chip):
    machine = build_machine(chip)
    columns, rows = chip.mesh.columns, chip.mesh.rows
    cores = columns * rows * chip.mesh.cores_per_router + 1
    links = 2 * (columns - 1) * rows + 2 * columns * (rows - 1)
    sizes = [cores, cores, cores, links, cores, cores]
    assert KINDS == ("neurons", "send", "core_to_router", "mesh", "router_to_core", "synapses")
    assert machine.first.tolist() == [0, *itertools.accumulate(sizes)]
    assert machine.stations == sum(sizes)
    expected = [kind for kind, size in zip(KINDS, sizes, strict=True) for _ in range(size)]
    assert [machine.kind(n) for n in range(machine.stations)] == expected
    assert [machine.number(kind, i) for kind, n in zip(KINDS, sizes, strict=True) for i in range(n)] == list(
        range(machine.stations)
    )


def test_mesh_links_are_numbered_router_by_router_east_west_south_north():
    """On 2 x 2 routers: 0 1 / 2 3. The order breaks ties, so it is part of what a run gives."""
    assert list(mesh_links(small_chip(2, 2))) == [(0, 1), (0, 2), (1, 0), (1, 3), (2, 3), (2, 0), (3, 2), (3, 1)]
    assert list(mesh_links(small_chip(3, 1))) == [(0, 1), (1, 2), (1, 0), (2, 1)]
    assert list(mesh_links(small_chip(1, 2))) == [(0, 1), (1, 0)]


def test_names_say_core_and_link_as_a_person_would():
    machine = build_machine(small_chip(3, 2, 2, host=(1, 1)))
    named = {machine.number("mesh", machine.hops.index((4, 1))): "link (1,1)->(1,0)"}
    named[machine.number("mesh", machine.hops.index((0, 1)))] = "link (0,0)->(1,0)"
    for kind in KINDS:
        if kind != "mesh":
            named[machine.number(kind, 7)] = f"core 7 {kind.replace('_', ' ')}"
            named[machine.number(kind, 12)] = f"host {kind.replace('_', ' ')}"
    assert {number: machine.name(number) for number in named} == named
    names = [machine.name(n) for n in range(machine.stations)]
    assert len(set(names)) == len(names)


def test_direction_is_that_of_the_coordinates(chip):
    """East has the larger x, south the larger y."""
    columns = chip.mesh.columns
    for a, b in mesh_links(chip):
        step = b % columns - a % columns, b // columns - a // columns
        expected = {(1, 0): "east", (-1, 0): "west", (0, 1): "south", (0, -1): "north"}[step]
        assert direction(chip, (a, b)) == expected


def test_routes_go_along_the_row_first_and_are_as_short_as_can_be(chip):
    """|dx| hops east or west, then |dy| south or north; with the two core links that is the Manhattan distance + 2."""
    machine, columns = build_machine(chip), chip.mesh.columns
    for source, target in itertools.product(range(chip.cores + 1), range(chip.cores + 1)):
        a, b = chip.router_of(source), chip.router_of(target)
        walk, x, y = [], a % columns, a // columns
        for goal in [(u, y) for u in steps_to(x, b % columns)] + [(b % columns, v) for v in steps_to(y, b // columns)]:
            walk.append((y * columns + x, goal[1] * columns + goal[0]))
            x, y = goal
        assert xy_route(chip, a, b) == walk
        assert distance(chip, a, b) == len(walk) == abs(a % columns - b % columns) + abs(a // columns - b // columns)
        first, *mesh, last, synapses = machine.route(source, target)
        assert len(mesh) + 2 == distance(chip, a, b) + 2
        assert (machine.kind(first), machine.kind(last), machine.kind(synapses)) == (
            "core_to_router",
            "router_to_core",
            "synapses",
        )
        assert first == machine.number("core_to_router", source)
        assert last == machine.number("router_to_core", target)
        assert synapses == machine.number("synapses", target)
        assert [machine.hops[n - machine.number("mesh", 0)] for n in mesh] == walk


def steps_to(start: int, goal: int) -> list[int]:
    return list(range(start + 1, goal + 1)) if goal >= start else list(range(start - 1, goal - 1, -1))


def test_cores_fill_their_routers_in_order_and_the_host_has_its_own():
    chip = small_chip(3, 2, 2, host=(2, 1))
    assert [chip.router_of(core) for core in range(13)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5]


def test_every_station_has_the_times_and_places_of_its_kind():
    links = {kind: (10 + index, 20 + index) for index, kind in enumerate(LINKS)}
    chip = small_chip(3, 2, 1, send=7, links=links, places=(2, 3, 4), host__message_ps=8)
    machine = build_machine(chip)
    for station in range(machine.stations):
        kind = machine.kind(station)
        own = machine.capacity[station], machine.service_ps[station], machine.wire_ps[station]
        if kind == "mesh":
            hop = machine.hops[station - machine.number("mesh", 0)]
            service, wire = links["east_west" if abs(hop[0] - hop[1]) == 1 else "north_south"]
            assert own == (4, service, wire)
        elif kind in ("core_to_router", "router_to_core"):
            assert own == (4, *links[kind])
        else:
            send = 8 if machine.name(station).startswith("host") else 7
            assert own == {"neurons": (0, 0, 0), "send": (3, send, 0), "synapses": (2, 0, 0)}[kind]


def test_columns_of_a_single_file_mesh_are_north_south():
    """With one column, routers that differ by 1 are above each other."""
    machine = build_machine(small_chip(1, 3, links={kind: (i + 1, 0) for i, kind in enumerate(LINKS)}))
    mesh = slice(machine.number("mesh", 0), machine.number("router_to_core", 0))
    assert machine.service_ps[mesh].tolist() == [LINKS.index("north_south") + 1] * 4


def test_services_take_at_least_one_picosecond():
    """Also where the chip file says 0, and where a link is faster than 1 ps per message."""
    chip = small_chip(2, 1, update=0, spike=0, send=0, links__east_west__bandwidth_gbps=1e9)
    machine = build_machine(chip)
    sized = [n for n in range(machine.stations) if machine.kind(n) not in ("neurons", "synapses")]
    assert machine.service_ps[sized].min() == 1
    mapping = hand_mapped(chip, [Cell(0, 0, {1: 1}), Cell(0, 3, {1: 1})], {0: 9})
    assert sweeps(mapping, np.arange(2)).service_ps.tolist() == [1, 1]  # and the silent rest, 0 ps, is left out


def naive_sweep(mapping, core: int, firing: list[int]) -> list[tuple[int, int]]:
    """Walk over the allocated neurons one by one: (service time, firing neuron or -1)."""
    chip = mapping.chip
    if core == chip.cores:  # the host: nothing to update
        own = sorted((n for n in firing if mapping.core[n] == core), key=lambda n: mapping.slot[n])
        return [(1, n) for n in own]
    held = [layer for layer in mapping.network.layers for _ in range(layer.neurons)]
    update_ps = [chip.update_ps(layer.neuron.microcode) for layer in held]
    mixed = len({chip.update_ps(layer.neuron.microcode) for layer in mapping.network.layers if layer.on_chip}) > 1
    by_slot = {int(mapping.slot[n]): n for n in np.flatnonzero(mapping.core == core).tolist()}
    services, time, swept = [], 0, 0
    for slot in range(int(mapping.allocated[core])):
        neuron = by_slot.get(slot)
        if neuron is None and mixed:
            continue  # of several models: those that nothing is on come last
        one = _only_time(mapping) if neuron is None else update_ps[neuron]
        one = max(1, one) if mixed else one
        time, swept = time + one, swept + one
        if neuron in firing:
            services.append((max(1, time + chip.actions.spike.latency_ps), neuron))
            time = 0
    if mixed:
        place = int(np.flatnonzero(mapping.placement == core)[0]) if core in mapping.placement else None
        slices = () if place is None else mapping.partition[place]
        layers = mapping.network.by_name
        total = sum(s.allocated * max(1, chip.update_ps(layers[s.layer].neuron.microcode)) for s in slices)
        time += total - swept
    return services + ([(time, -1)] if time else [])


def _only_time(mapping) -> int:
    """Time of an update where all layers on the chip take the same."""
    times = {mapping.chip.update_ps(x.neuron.microcode) for x in mapping.network.layers if x.on_chip}
    return next(iter(times))


def check_sweeps(mapping, firing) -> None:
    plan = sweeps(mapping, firing)
    for core in range(mapping.chip.cores + 1):
        own = slice(plan.indptr[core], plan.indptr[core + 1])
        got = list(zip(plan.service_ps[own].tolist(), plan.neuron[own].tolist(), strict=True))
        assert got == naive_sweep(mapping, core, firing.tolist())


@settings(max_examples=60, deadline=None)
@given(step=steps(), seed=st.integers(0, 99))
def test_sweeps_equal_a_walk_over_the_neurons(step, seed):
    """Whatever the order in which the firing neurons are given."""
    check_sweeps(step.mapping, np.random.default_rng(seed).permutation(step.firing))


@settings(max_examples=60, deadline=None)
@given(mapping=mapped_networks(), seed=st.integers(0, 99))
def test_sweeps_of_mapped_networks_equal_a_walk_over_the_neurons(mapping, seed):
    """Cores with several layers, and with more neurons allocated than used."""
    rng = np.random.default_rng(seed)
    check_sweeps(mapping, np.flatnonzero(rng.random(mapping.core.size) < rng.random()))


@given(steps())
def test_links_between_many_pairs_are_those_of_the_routes(step):
    machine = step.machine
    pairs = np.array([(a, b) for a in range(machine.cores) for b in range(machine.cores - 1)])
    indptr, links = machine.links_between(*pairs.T)
    for number, (a, b) in enumerate(pairs.tolist()):
        assert tuple(links[indptr[number] : indptr[number + 1]].tolist()) == machine.route(a, b)[:-1]
