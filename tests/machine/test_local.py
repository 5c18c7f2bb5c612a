"""Timesteps without a barrier: both engines equal, and laws of when a core may begin."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.machine.compiled import local as compiled
from nsim.machine.compiled import timesteps as compiled_timesteps
from nsim.machine.local import neighbours
from nsim.machine.services import SERVICE, as_services
from nsim.machine.simpy import local as simpy
from nsim.machine.stations import build_machine
from nsim.mapping.network import map_network
from nsim.network.activity import Activity, prescribe
from nsim.network.builtin import build
from nsim.result.run import simulate
from tests.generators.commands import nsim, refused
from tests.generators.machines import Cell, hand_mapped, mapped_networks, small_chip, steps

ENGINES = {"compiled": compiled, "simpy": simpy}


def activity_of(firings) -> Activity:
    """Neurons by timestep."""
    indptr = np.concatenate(([0], np.cumsum([len(firing) for firing in firings]))).astype(np.int64)
    return Activity(indptr, np.concatenate([np.sort(firing) for firing in firings]).astype(np.int64), None)


@st.composite
def runs(draw):
    """A random machine, and some timesteps; between two cores messages may go both ways, and in circles."""
    step = draw(steps())
    rng = np.random.default_rng(draw(st.integers(0, 999), label="firing"))
    density, neurons = draw(st.sampled_from([0.1, 0.5, 1.0]), label="density"), step.mapping.core.size
    count = draw(st.integers(1, 5), label="timesteps")
    return step, activity_of([np.flatnonzero(rng.random(neurons) < density) for _ in range(count)])


@settings(max_examples=80)
@given(runs())
def test_both_engines_serve_the_same(run):
    """Every service, its times and its cause."""
    step, activity = run
    (time_ps, log), (expected_ps, expected) = (
        engine.Engine(step.mapping, step.machine).record(activity) for engine in ENGINES.values()
    )
    assert time_ps == expected_ps == compiled.Engine(step.mapping, step.machine).run(activity)
    for name in SERVICE.names:
        assert log[name].tolist() == expected[name].tolist(), name


def naive_neighbours(mapping) -> dict[int, set[int]]:
    """The cores that send to each, found copy by copy."""
    found: dict[int, set[int]] = {core: set() for core in range(mapping.chip.cores + 1)}
    for neuron, core in enumerate(mapping.core.tolist()):
        for copy in range(mapping.copies.indptr[neuron], mapping.copies.indptr[neuron + 1]):
            found[int(mapping.copies.core[copy])].add(core)
    return found


@settings(max_examples=50)
@given(runs())
def test_nobody_begins_before_the_rules_allow(run):
    """From the log alone: a core's first service of timestep t starts after all that it has to wait for."""
    step, activity = run
    mapping, machine = step.mapping, step.machine
    _, log = simpy.Engine(mapping, machine).record(activity)
    senders = naive_neighbours(mapping)
    begun, swept, served = {}, {}, {}
    for row in as_services(log):
        kind, core = machine.kind(row.station), machine.index(row.station)
        if kind == "neurons":
            begun.setdefault((core, row.origin), row.start_ps)
            swept[core, row.origin] = row.left_ps
        if kind == "synapses":
            served[core, row.origin] = row.end_ps
    for (core, number), start_ps in begun.items():
        before = number - 1
        waits = [swept.get((sender, before), 0) for sender in senders[core] | {core}]
        waits += [served.get((core, before), 0)]
        waits += [begun.get((other, before), 0) for other, own in senders.items() if core in own and other != core]
        assert start_ps >= max(waits)


@settings(max_examples=40)
@given(runs())
def test_neighbours_are_those_of_the_copies(run):
    step, _ = run
    found, expected = neighbours(step.mapping), naive_neighbours(step.mapping)
    for core in range(step.machine.cores):
        feeders = found.feeders[found.feeders_indptr[core] : found.feeders_indptr[core + 1]]
        assert feeders.tolist() == sorted(expected[core] - {core})
        receivers = found.receivers[found.receivers_indptr[core] : found.receivers_indptr[core + 1]]
        assert receivers.tolist() == [other for other, own in expected.items() if core in own and other != core]


@settings(max_examples=40)
@given(runs())
def test_no_station_is_busy_for_longer_than_the_run(run):
    """And the services are those of the timesteps with a barrier: what changes is when."""
    step, activity = run
    time_ps, log = compiled.Engine(step.mapping, step.machine).record(activity)
    busy = np.bincount(log["station"], log["end_ps"] - log["start_ps"], step.machine.stations)
    expected = sum(
        compiled_timesteps.run_timestep(step.mapping, step.machine, activity.firing(number)).busy_ps
        for number in range(activity.timesteps)
    )
    assert busy.astype(int).tolist() == expected.tolist()
    assert busy.max() <= time_ps


@pytest.mark.parametrize("engine", ENGINES)
def test_one_core_takes_its_timesteps_one_after_another(engine):
    """With nobody to wait for but itself, the run is the sum of its timesteps."""
    chip = small_chip(1, 1, 1, update=3, spike=2, send=5, links=(7, 2), places=2)
    mapping = hand_mapped(chip, [Cell(0, slot, {0: 4 + slot}) for slot in range(6)])
    machine, activity = build_machine(chip), activity_of([[0, 3], [], [0, 1, 2, 3, 4, 5], [5]])
    alone = [compiled_timesteps.run_timestep(mapping, machine, activity.firing(k)).duration_ps for k in range(4)]
    assert ENGINES[engine].Engine(mapping, machine).run(activity) == sum(alone)


@pytest.mark.parametrize("engine", ENGINES)
def test_cores_that_do_not_speak_do_not_wait(engine):
    """Two cores that take turns to be slow: the longer sum, not the sum of the longer ones."""
    chip = small_chip(2, 1, 1, update=1, spike=100)
    mapping = hand_mapped(chip, [Cell(core, slot, {}) for core in (0, 1) for slot in range(10)])
    machine = build_machine(chip)
    activity = activity_of([list(range(10)), list(range(10, 20))] * 3)
    assert ENGINES[engine].Engine(mapping, machine).run(activity) == 3 * (10 + 10 * 100) + 3 * 10
    with_barrier = [compiled_timesteps.run_timestep(mapping, machine, activity.firing(k)).duration_ps for k in range(6)]
    assert sum(with_barrier) == 6 * (10 + 10 * 100)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_source_is_one_timestep_ahead_at_most(engine):
    """A fast core that sends to a slow one: it begins t when the slow one has begun t - 1."""
    chip = small_chip(2, 1, 1, update=1, places=100)
    cells = [Cell(0, 0, {1: 1}), *(Cell(1, slot, {}) for slot in range(1000))]
    mapping, machine = hand_mapped(chip, cells), build_machine(chip)
    _, log = ENGINES[engine].Engine(mapping, machine).record(activity_of([[0]] * 5))
    begins = {core: [row.start_ps for row in as_services(log) if row.station == core] for core in (0, 1)}
    assert begins[1] == [number * 1000 for number in range(5)]
    assert begins[0][:2] == [0, 1]
    assert begins[0][2:] == begins[1][1:4]


@settings(max_examples=15)
@given(mapped_networks(), st.floats(0.05, 1), st.integers(1, 3))
def test_a_run_tells_what_its_barrier_costs(mapping, density, samples):
    """Mapped networks, samples one after another: equal in both engines, and the rest of the run as without it."""
    activity = {layer.name: density for layer in mapping.network.layers}
    options = {"activity": activity, "timesteps": 4, "samples": samples, "seed": 3}
    found = [simulate(mapping, engine=engine, sync="local", **options) for engine in ENGINES]
    plain = simulate(mapping, **options)
    facts = found[0].summary()
    assert found[0].local_ps == found[1].local_ps
    assert facts["local_time_ps"] == found[0].local_ps + plain.management_ps.sum()
    assert facts["barrier_cost"] == pytest.approx(1 - facts["local_time_ps"] / plain.time_ps)
    power_mw = (mapping.chip.static_mw or 0) * mapping.chips_used
    power_mw += (mapping.chip.power.core_mw or 0) * mapping.placement.size
    saved_fj = power_mw * (plain.time_ps - facts["local_time_ps"])  # 1 mW x 1 ps = 1 fJ; nothing else is done or left
    assert facts["known_local_energy_fj"] == pytest.approx(plain.energy.known_fj - saved_fj, rel=1e-9)
    assert {key: facts[key] for key in plain.summary()} == plain.summary()
    assert found[0].local_ps >= (plain.busy_ps.max() / samples) // 1


def test_long_samples_come_in_chunks():
    """More timesteps than are evaluated at a time: as one activity."""
    mapping = map_network(build("mlp", width=24, depth=2, inputs=12), small_chip(2, 2, 1, update=10), "even:2")
    result = simulate(mapping, activity=0.3, timesteps=150, sync="local")
    densities = {layer.name: 0.3 for layer in mapping.network.layers}
    parts = list(prescribe(mapping.network, densities, 150, np.random.default_rng(0)))
    assert len(parts) > 1
    whole = activity_of([part.firing(step) for part in parts for step in range(part.timesteps)])
    assert result.local_ps == simpy.Engine(mapping, result.machine).run(whole)


def test_the_command_line(tmp_path):
    told = nsim("run", "mlp:width=64,depth=3", "--chip", "loihi2", "--partition", "even:4", "--sync", "local")
    text = " ".join(told.stdout.split())
    assert re.search(
        r"without a global barrier: the barrier costs [\d.]+ % of the time and [\d.]+ % of the energy", text
    )
    assert "handshakes are free" in text
    assert "choose barrier or local" in refused("run", "mlp", "--chip", "loihi2", "--sync", "none")
    assert "sync 'local' is not for chip 'speck'" in refused("run", "mlp", "--chip", "speck", "--sync", "local")
