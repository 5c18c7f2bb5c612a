"""Both engines are one model: every service of every message, to the picosecond, and all that follows from it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsim import engine_compiled, engine_simpy
from nsim.activity import Activity, prescribe
from nsim.counts import Counter
from nsim.mapping import map_network
from nsim.processors import available_threads
from nsim.simulation import ENGINES, simulate
from nsim.stations import ChunkTimes, build_machine
from nsim.workloads import build
from tests.machines import MANY, Step, mapped_networks, random_step, shipped, steps, with_places

ARRAYS = ("busy_ps", "blocked_ps", "served", "longest_queue")


def assert_equal(step: Step) -> None:
    """The logs are lists of services in order of completion: station, neuron, target, start, end, leaving and cause."""
    reference = engine_simpy.run_timestep(step.mapping, step.machine, step.firing, record=True)
    compiled = engine_compiled.run_timestep(step.mapping, step.machine, step.firing, record=True)
    assert compiled.log == reference.log
    assert compiled.duration_ps == reference.duration_ps
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(compiled, name), getattr(reference, name), err_msg=name)


@given(steps())
def test_random_machines(step):
    assert_equal(step)


@given(mapped_networks())
def test_random_networks_on_real_chips(mapping):
    """Mapped networks with the times of the shipped chips; a third of the neurons fire."""
    machine = build_machine(mapping.chip)
    firing = np.flatnonzero(np.random.default_rng(0).random(mapping.core.size) < 0.3)
    for places in (1, 16, MANY):
        assert_equal(Step(mapping, with_places(machine, places), firing))


@pytest.mark.parametrize("places", [1, 2, 16, MANY])
@pytest.mark.parametrize("hotspot", [0.0, 0.3])
def test_a_large_mesh(places, hotspot):
    """Ties, long routes and queues that fill: 8 x 4 routers with four cores each."""
    rng = np.random.default_rng(places)
    assert_equal(random_step(rng, 8, 4, 4, longest_ps=3, places=places, neurons=600, hotspot=hotspot))


@given(steps())
def test_recording_changes_nothing(step):
    """The run without a log measures the same, whatever the number of threads, and twice the same."""
    recorded = engine_compiled.run_timestep(step.mapping, step.machine, step.firing, record=True)
    activity = Activity(np.array([0, step.firing.size, 2 * step.firing.size]), np.tile(step.firing, 2), None)
    for threads in (1, 2):
        (*_, last) = parts = list(engine_compiled.Engine(step.mapping, step.machine, threads).run(activity))
        durations = np.concatenate([part.duration_ps for part in parts])
        np.testing.assert_array_equal(durations, [recorded.duration_ps] * 2)
        np.testing.assert_array_equal(sum(part.blocked_ps for part in parts), 2 * recorded.blocked_ps)
        np.testing.assert_array_equal(last.longest_queue, recorded.longest_queue)


@given(steps(), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_many_timesteps_with_and_without_a_log(step, timesteps, seed):
    """The loop that skips completions measures what the one that handles them all does, one timestep after another."""
    fires = np.random.default_rng(seed).random((timesteps, step.mapping.core.size)) < 0.6
    firing, indptr = np.nonzero(fires)[1], np.concatenate(([0], np.cumsum(fires.sum(axis=1))))
    engines = [engine_compiled.Engine(step.mapping, step.machine, critical_path=path) for path in (False, True)]
    plain = ChunkTimes.joined([engines[0].record(firing[a:b])[0] for a, b in pairwise(indptr)])
    for engine in engines:
        merging = ChunkTimes.joined(list(engine.run(Activity(indptr, firing, None))))
        for name in ("duration_ps", "blocked_ps", "longest_queue"):
            np.testing.assert_array_equal(getattr(plain, name), getattr(merging, name), err_msg=name)


@pytest.mark.parametrize("places", [1, 2, 16, MANY])
@pytest.mark.parametrize("hotspot", [0.0, 0.3])
def test_a_large_mesh_without_a_log(places, hotspot):
    """As test_a_large_mesh; a run without a log against the readable engine."""
    step = random_step(
        np.random.default_rng(places), 8, 4, 4, longest_ps=50, places=places, neurons=600, hotspot=hotspot
    )
    reference = engine_simpy.run_timestep(step.mapping, step.machine, step.firing)
    activity = Activity(np.array([0, step.firing.size]), step.firing, None)
    (times,) = engine_compiled.Engine(step.mapping, step.machine).run(activity)
    assert times.duration_ps.tolist() == [reference.duration_ps]
    np.testing.assert_array_equal(times.blocked_ps, reference.blocked_ps)
    np.testing.assert_array_equal(times.longest_queue, reference.longest_queue)


@given(mapped_networks())
def test_busy_time_is_counts_times_costs(mapping):
    """What results report as busy comes from counts; the readable engine measures the same while it runs."""
    machine = build_machine(mapping.chip)
    activity = next(
        prescribe(mapping.network, {x.name: 0.3 for x in mapping.network.layers}, 2, np.random.default_rng(1))
    )
    counts = Counter(mapping, machine).count(activity)
    for step in range(2):
        measured = engine_simpy.run_timestep(mapping, machine, activity.firing(step))
        links = slice(int(machine.first[2]), int(machine.first[5]))
        np.testing.assert_array_equal(measured.busy_ps[: machine.cores], counts.core_sweep_ps[step])
        np.testing.assert_array_equal(measured.busy_ps[machine.first[5] :], counts.core_synapse_ps[step])
        np.testing.assert_array_equal(measured.served[links], counts.link_messages[step])
        np.testing.assert_array_equal(measured.busy_ps[links], counts.link_messages[step] * machine.service_ps[links])
        sent = slice(int(machine.first[1]), int(machine.first[2]))
        np.testing.assert_array_equal(measured.served[sent], counts.core_messages_out[step])


@pytest.mark.parametrize("network", ["mlp", "ndns-sdnn"])
def test_whole_runs_are_equal(network):
    """Same tables, same bytes, from either engine and any number of threads."""
    mapping = map_network(build(network), shipped("loihi2"), partition=6)
    runs = [simulate(mapping, timesteps=3, engine=engine, threads=1) for engine in ENGINES]
    runs.append(simulate(mapping, timesteps=3, threads=available_threads()))
    for table in ("cores", "layers", "links", "timesteps"):
        texts = {getattr(run, table).to_csv() for run in runs}
        assert len(texts) == 1, table
    assert len({str({k: v for k, v in run.summary().items() if k != "engine"}) for run in runs}) == 1
