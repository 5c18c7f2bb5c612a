"""The critical path accounts for every picosecond of a timestep, and both engines agree on it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given

from nsim.machine.compiled import timesteps as engine_compiled
from nsim.machine.simpy import timesteps as engine_simpy
from nsim.machine.stations import KINDS, build_machine
from nsim.mapping.network import map_network
from nsim.network.activity import Activity
from nsim.network.builtin import build
from nsim.result.run import simulate
from nsim.result.run_timesteps import ENGINES
from tests.generators.machines import Cell, Step, everyone, hand_mapped, mapped_networks, shipped, small_chip, steps

engines = pytest.mark.parametrize("engine", list(ENGINES))


def path_of(engine: str, step: Step, threads: int = 1, timesteps: int = 1):
    """Times of so many equal timesteps, with their critical paths."""
    indptr = np.arange(timesteps + 1) * step.firing.size
    activity = Activity(indptr, np.tile(step.firing, timesteps), None)
    simulator = ENGINES[engine].Engine(step.mapping, step.machine, threads, critical_path=True)
    parts = list(simulator.run(activity))
    simulator.close()
    return parts[0].joined(parts)


def chain(log) -> list:
    """The services on the critical path, last one first, by following the causes by hand."""
    services = []
    number = len(log) - 1
    while number >= 0:
        services.append(log[number])
        number = log[number].cause
    return services


@given(steps())
def test_parts_sum_to_the_duration(step):
    for engine in ENGINES:
        times = path_of(engine, step)
        assert times.path.by_kind_ps.sum() == times.duration_ps.sum(), engine
        assert times.path.service_ps.sum() + times.path.wire_ps.sum() == times.duration_ps.sum(), engine


@given(steps())
def test_both_engines_and_the_log_give_the_same_path(step):
    """The naive twin: add up what the logged chain says, service by service."""
    log = engine_simpy.run_timestep(step.mapping, step.machine, step.firing, record=True).log
    service, wire = np.zeros((2, step.machine.stations), np.int64)
    path = chain(log)
    for later in path:
        service[later.station] += later.end_ps - later.start_ps
    for later, earlier in pairwise(path):
        wire[earlier.station] += later.start_ps - earlier.end_ps
    for engine in ENGINES:
        measured = path_of(engine, step).path
        np.testing.assert_array_equal(measured.service_ps, service, err_msg=engine)
        np.testing.assert_array_equal(measured.wire_ps, wire, err_msg=engine)


@given(steps())
def test_recording_changes_no_time_and_threads_change_no_path(step):
    plain = engine_compiled.run_timestep(step.mapping, step.machine, step.firing)
    one, two = (path_of("compiled", step, threads, timesteps=3) for threads in (1, 2))
    assert one.duration_ps.tolist() == [plain.duration_ps] * 3
    np.testing.assert_array_equal(one.path.by_kind_ps, two.path.by_kind_ps)
    np.testing.assert_array_equal(one.path.service_ps, two.path.service_ps)


@given(mapped_networks())
def test_networks_on_real_chips(mapping):
    machine = build_machine(mapping.chip)
    firing = np.flatnonzero(np.random.default_rng(0).random(mapping.core.size) < 0.3)
    paths = [path_of(engine, Step(mapping, machine, firing)).path for engine in ENGINES]
    np.testing.assert_array_equal(paths[0].by_kind_ps, paths[1].by_kind_ps)


@engines
def test_one_message_passes_every_stage_once(engine):
    """Two routers, one neuron: update, send, three links with their wires, synapses; nothing waits."""
    chip = small_chip(2, 1, update=10, spike=5, send=7, links=(20, 3))
    step = Step(mapping := hand_mapped(chip, [Cell(0, 0, {1: 100})]), build_machine(chip), everyone(mapping))
    (parts,) = path_of(engine, step).path.by_kind_ps.tolist()
    assert dict(zip([*KINDS, "wire"], parts, strict=True)) == {
        "neurons": 15,
        "send": 7,
        "core_to_router": 20,
        "mesh": 20,
        "router_to_core": 20,
        "synapses": 100,
        "wire": 9,
    }


@engines
def test_a_saturated_core_is_memory_bound(engine):
    """Three spikes a picosecond apart meet synapses of 1000 ps: the path is the first message's way, then synapses."""
    chip = small_chip(1, 1, 2, update=1, places=4)
    cells = [Cell(0, slot, {1: 1_000}) for slot in range(3)]
    step = Step(mapping := hand_mapped(chip, cells), build_machine(chip), everyone(mapping))
    times = path_of(engine, step)
    spent = dict(zip([*KINDS, "wire"], times.path.by_kind_ps[0].tolist(), strict=True))
    assert spent["synapses"] == 3_000
    assert times.duration_ps[0] == 3_000 + spent["neurons"] + spent["send"] + spent["core_to_router"] + 1
    states = times.path.by_state_ps(KINDS)
    assert {state: int(value[0]) for state, value in states.items()} == {
        "memory": 3_000,
        "compute": 1,
        "traffic": 3,
    }


def test_a_silent_timestep_is_the_longest_sweep():
    chip = small_chip(1, 1, 2, update=10)
    mapping = hand_mapped(chip, [Cell(0, 0, {}), Cell(1, 0, {})], allocated={0: 3, 1: 8})
    step = Step(mapping, build_machine(chip), np.zeros(0, np.int64))
    assert path_of("compiled", step).path.by_kind_ps.tolist() == [[80, 0, 0, 0, 0, 0, 0]]


def test_results_name_states_and_stations():
    mapping = map_network(build("mlp"), shipped("loihi2"), partition=4)
    result = simulate(mapping, timesteps=5, critical_path=True)
    assert sum(result.step_path_ps.values()).tolist() == result.step_ps.tolist()
    spent = sum(row["service_ps"] + row["wire_ps"] for row in result.critical_stations)
    assert spent + 5 * result.barrier_ps + result.management_ps.sum() == result.time_ps
    parts = [row["share"] for row in result.critical_stations]
    assert parts == sorted(parts, reverse=True)
    assert "(fc" in result.critical_stations[0]["station"]
    assert result.summary()["limit"] == result.limit().name == "memory"
    assert simulate(mapping, timesteps=1).path_ps == {}
