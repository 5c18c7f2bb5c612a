"""Both engines are one model, in every discipline: each service to the picosecond, and all that follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nsim.errors import available_threads
from nsim.machine.compiled import events as compiled_events
from nsim.machine.compiled import forward
from nsim.machine.compiled import frames as compiled_frames
from nsim.machine.compiled import ticks as compiled_ticks
from nsim.machine.compiled import timesteps as compiled_timesteps
from nsim.machine.compiled.loop import specialised
from nsim.machine.path import path_of
from nsim.machine.simpy import events as simpy_events
from nsim.machine.simpy import frames as simpy_frames
from nsim.machine.simpy import ticks as simpy_ticks
from nsim.machine.simpy import timesteps as simpy_timesteps
from nsim.machine.stations import ChunkTimes, build_machine
from nsim.machine.times import StationTimes
from nsim.mapping.network import map_network
from nsim.network.activity import Activity, prescribe
from nsim.network.builtin import build
from nsim.result.counts import Counter
from nsim.result.run import simulate
from nsim.result.run_timesteps import ENGINES
from tests.generators import frame_machines, mosaic_chips, streams, toy
from tests.generators.machines import MANY, Step, mapped_networks, random_step, shipped, steps, with_places

MOST_SERVICES = 15_000  # of a case, for the readable engine


@dataclass(frozen=True)
class Discipline:
    """cases: random ones; compiled, simpy: simulate one, and keep every service or not; machine: of a case."""

    cases: st.SearchStrategy[Any]
    compiled: Callable[[Any, bool], StationTimes]
    simpy: Callable[[Any, bool], StationTimes]
    machine: Callable[[Any], Any]


def timesteps(engine):
    return lambda case, record: engine.run_timestep(case.mapping, case.machine, case.firing, record)


def frames(engine):
    def run(case, record):
        run = engine.Engine(case.mapping, case.machine).start(case.activity, record)
        assert list(run) == list(range(1, case.activity.timesteps + 1))
        return run.times()

    return run


def events(engine):
    return lambda case, record: engine.run_stream(case.machine, case.events, record)


def ticks(engine):
    return lambda case, record: engine.Engine(case.lines).tick(case.firing, record)


@st.composite
def networks(draw: st.DrawFn) -> Step:
    """Mapped networks with the times of the shipped chips; a third of the neurons fire."""
    mapping = draw(mapped_networks())
    firing = np.flatnonzero(np.random.default_rng(0).random(mapping.core.size) < 0.3)
    places = draw(st.sampled_from([1, 16, MANY]))
    return Step(mapping, with_places(build_machine(mapping.chip), places), firing)


def machine_of(case):
    return case.machine


STEPS = timesteps(compiled_timesteps), timesteps(simpy_timesteps), machine_of
FRAMES = frames(compiled_frames), frames(simpy_frames), machine_of
EVENTS = events(compiled_events), events(simpy_events), machine_of
TICKS = ticks(compiled_ticks), ticks(simpy_ticks), lambda case: case.lines.machine
DISCIPLINES = {
    "timesteps": Discipline(steps(most_neurons=60), *STEPS),
    "networks": Discipline(networks(), *STEPS),
    "frames": Discipline(frame_machines.cases(), *FRAMES),
    "events": Discipline(streams.cases(), *EVENTS),
    "ticks": Discipline(st.integers(0, 2**32 - 1).map(mosaic_chips.random_case), *TICKS),
    "toy": Discipline(toy.machines(), toy.run_compiled, toy.run_simpy, lambda machine: machine),
}
LARGE = list(product(("timesteps", "hotspot", "frames"), ((1, 1), (1, 50), (2, 3), (16, 1), (MANY, 3))))
fewer = settings(max_examples=settings().max_examples // 4)
each = pytest.mark.parametrize("discipline", DISCIPLINES.values(), ids=list(DISCIPLINES))


def assert_same(first: StationTimes, second: StationTimes, but: str = "") -> None:
    """Every field of the times; of the log every column of every service, in order of completion."""
    for field in fields(first):
        if field.name not in (but, "path"):
            one, two = getattr(first, field.name), getattr(second, field.name)
            np.testing.assert_array_equal(one, two, err_msg=field.name)


def drawn(data: st.DataObject, discipline: Discipline) -> tuple[Any, StationTimes]:
    """A case and its run in the compiled engine, short enough for the readable one."""
    case = data.draw(discipline.cases)
    times = discipline.compiled(case, True)
    assume(times.services.size < MOST_SERVICES)
    return case, times


@each
@given(data=st.data())
def test_both_engines_agree_on_every_service(discipline, data):
    case, compiled = drawn(data, discipline)
    assert_same(discipline.simpy(case, True), compiled)


@pytest.mark.parametrize(("kind", "size"), LARGE)
def test_large_meshes(kind, size):
    """Ties, long routes and queues that fill: 8 x 4 routers with four cores each; frames: 5 x 5, as on the AKD1000."""
    places, longest_ps = size
    rng = np.random.default_rng(places)
    if kind == "frames":
        options = {"longest_ps": longest_ps, "places": places, "layers": 12, "neurons": 20, "frames": 5}
        discipline, case = DISCIPLINES["frames"], frame_machines.random_case(rng, 5, 5, 4, **options)
    else:
        hotspot = 0.3 if kind == "hotspot" else 0.0
        options = {"longest_ps": longest_ps, "places": places, "neurons": 600, "hotspot": hotspot}
        discipline, case = DISCIPLINES["timesteps"], random_step(rng, 8, 4, 4, **options)
    assert_same(discipline.simpy(case, True), discipline.compiled(case, True))


@each
@fewer
@given(data=st.data())
def test_recording_changes_nothing(discipline, data):
    case, recorded = drawn(data, discipline)
    for run in (discipline.compiled, discipline.simpy):
        plain = run(case, False)
        assert plain.services.size == 0
        assert_same(plain, recorded, but="services")


@each
@fewer
@given(data=st.data())
def test_what_is_measured_is_summed_over_the_log(discipline, data):
    """And the laws of every log: in order of (end, station), one service at a time, causes and messages go back."""
    case, times = drawn(data, discipline)
    log, machine = times.services, discipline.machine(case)
    busy, blocked, served = np.zeros((3, machine.stations), np.int64)
    np.add.at(busy, log["station"], log["end_ps"] - log["start_ps"])
    np.add.at(blocked, log["station"], log["left_ps"] - log["end_ps"])
    np.add.at(served, log["station"], 1)
    np.testing.assert_array_equal(times.busy_ps, busy)
    np.testing.assert_array_equal(times.blocked_ps, blocked)
    np.testing.assert_array_equal(times.served, served)
    assert all((a.end_ps, a.station) < (b.end_ps, b.station) for a, b in pairwise(times.log))
    left = np.zeros(machine.stations, np.int64)
    for row, service in enumerate(times.log):
        assert left[service.station] <= service.start_ps < service.end_ps <= service.left_ps
        left[service.station] = service.left_ps
        assert max(service.cause, service.before) < row
        assert service.before < 0 or log["end_ps"][service.before] <= service.start_ps
        if service.cause >= 0:  # at the end of the cause, or a wire after it
            gap_ps = service.start_ps - log["end_ps"][service.cause]
            assert gap_ps in (0, machine.wire_ps[log["station"][service.before]] if service.before >= 0 else 0)


@pytest.mark.parametrize("name", [name for name in DISCIPLINES if name != "events"])
@fewer
@given(data=st.data())
def test_causes_lead_back_to_the_beginning(name, data):
    """Services and wires along the chain of causes sum to the duration. Streams end on a wire: see test_events."""
    case, times = drawn(data, DISCIPLINES[name])
    path = path_of(DISCIPLINES[name].machine(case).first, times.services)
    assert path.by_kind_ps.sum() == times.services["end_ps"].max(initial=0)
    assert path.service_ps.sum() + path.wire_ps.sum() == path.by_kind_ps.sum()


def test_the_loop_of_a_discipline_is_found_on_disk():
    """A second process compiles nothing: the same hooks have the same name in Numba's cache, others have another."""
    machine = machines_of_toys()
    toy.run_compiled(machine, True)
    again = specialised("toy", toy.ended, toy.goes_on, toy.begin)
    toy.run_compiled(machine, True, again)
    assert again.stats.cache_hits and not again.stats.cache_misses
    other = specialised("toy", toy.ended, toy.goes_on, toy.next_of)
    assert other.py_func.__qualname__ != again.py_func.__qualname__


def machines_of_toys() -> toy.ToyMachine:
    """One source, one relay."""
    ones, onward = np.ones(2, np.int64), np.array([[1, 1], [-1, -1]])
    return toy.ToyMachine(
        first=np.arange(3), capacity=ones, service_ps=ones, wire_ps=ones, after_ps=ones[None], onward=onward
    )


@given(steps(), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_many_timesteps_with_and_without_a_log(step, timesteps, seed):
    """The loop that skips completions measures what the one that handles them all does, one timestep after another."""
    fires = np.random.default_rng(seed).random((timesteps, step.mapping.core.size)) < 0.6
    firing, indptr = np.nonzero(fires)[1], np.concatenate(([0], np.cumsum(fires.sum(axis=1))))
    engines = [compiled_timesteps.Engine(step.mapping, step.machine, critical_path=path) for path in (False, True)]
    plain = ChunkTimes.joined([engines[0].record(firing[a:b])[0] for a, b in pairwise(indptr)])
    for engine in engines:
        merging = ChunkTimes.joined(list(engine.run(Activity(indptr, firing, None))))
        for name in ("duration_ps", "blocked_ps", "longest_queue"):
            np.testing.assert_array_equal(getattr(plain, name), getattr(merging, name), err_msg=name)


@settings(max_examples=60)
@given(steps(), st.sampled_from([1, 2, 4, MANY]))
def test_a_pass_gives_up_only_where_a_queue_between_routers_is_full(step, slots):
    """With room everywhere it never does; and what it gives are the loop's times."""
    links = slice(*step.machine.first[[3, 5]])
    capacity = step.machine.capacity.copy()
    capacity[links] = slots
    engine = compiled_timesteps.Engine(step.mapping, replace(step.machine, capacity=capacity))
    assume(engine.grid is not None)  # rows that share a port are the loop's
    expected, _ = engine.record(step.firing)
    times, indptr = ChunkTimes.empty(1, step.machine), np.array([0, step.firing.size])
    work = engine.own.work_for(engine.grid, engine.load.target.size, step.firing.size)
    measured = times.duration_ps, times.blocked_ps, times.longest_queue
    if forward.run_steps(engine.grid, engine.load, indptr, np.sort(step.firing), work, *measured):
        for name in ("duration_ps", "blocked_ps", "longest_queue"):
            np.testing.assert_array_equal(getattr(expected, name), getattr(times, name), err_msg=name)
    else:
        assert (expected.longest_queue[links] == slots).any()
        assert not (times.blocked_ps.any() or times.longest_queue.any())


@pytest.mark.parametrize("places", [1, 2, 16, MANY])
@pytest.mark.parametrize("hotspot", [0.0, 0.3])
def test_a_large_mesh_without_a_log(places, hotspot):
    """As test_a_large_mesh; a run without a log against the readable engine."""
    step = random_step(
        np.random.default_rng(places), 8, 4, 4, longest_ps=50, places=places, neurons=600, hotspot=hotspot
    )
    reference = simpy_timesteps.run_timestep(step.mapping, step.machine, step.firing)
    activity = Activity(np.array([0, step.firing.size]), step.firing, None)
    (times,) = compiled_timesteps.Engine(step.mapping, step.machine).run(activity)
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
        measured = simpy_timesteps.run_timestep(mapping, machine, activity.firing(step))
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
    mapping = map_network(build(network), shipped("loihi2"), partition=8)
    runs = [simulate(mapping, timesteps=3, engine=engine, threads=1) for engine in ENGINES]
    runs.append(simulate(mapping, timesteps=3, threads=available_threads()))
    for table in ("cores", "layers", "links", "timesteps"):
        texts = {run.table(table).to_csv() for run in runs}
        assert len(texts) == 1, table
    assert len({str({k: v for k, v in run.summary().items() if k != "engine"}) for run in runs}) == 1
