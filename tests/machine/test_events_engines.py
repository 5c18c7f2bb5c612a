"""Chips without timesteps: both engines are one model, service by service, spike by spike; and the laws it obeys."""

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nsim.machine.compiled import events as engine_compiled
from nsim.machine.events import PATH_KINDS, build_stream_machine
from nsim.machine.events_times import SensorEvents, StreamTimes
from nsim.machine.simpy import events as engine_simpy
from nsim.mapping.events.mapping import map_stream
from tests.generators.streams import MANY, SPECK, Case, cases, chain, events_at, random_case, with_times

ENGINES = (engine_simpy.run_stream, engine_compiled.run_stream)
MOST_SERVICES = 15_000  # of a case, for the readable engine


def assert_same(first: StreamTimes, second: StreamTimes, except_for: tuple[str, ...] = ()) -> None:
    for field in fields(StreamTimes):
        if field.name not in except_for:
            assert np.array_equal(getattr(first, field.name), getattr(second, field.name)), field.name


def chain_machine(depth: int, **options):
    return build_stream_machine(map_stream(chain(depth, **options), SPECK))


def causes(log: list) -> list:
    """The services on the critical path, last one first, from the one that the run ends with."""
    services, number = [], len(log) - 1
    while number >= 0:
        services.append(log[number])
        number = log[number].cause
    return services


@given(cases())
def test_the_critical_path_accounts_for_the_whole_run(case):
    """Both engines find the same parts, which are those of the logged chain and sum to the picosecond."""
    compiled = engine_compiled.run_stream(case.machine, case.events, record=True, critical_path=True)
    assume(len(compiled.log) < MOST_SERVICES)
    readable = engine_simpy.run_stream(case.machine, case.events, critical_path=True)
    for times in (readable, compiled):
        assert times.path.by_kind_ps.sum() + times.path.begin_ps == times.end_ps
    for name in ("by_kind_ps", "service_ps", "wire_ps"):
        np.testing.assert_array_equal(getattr(readable.path, name), getattr(compiled.path, name))
    assert readable.path.begin_ps == compiled.path.begin_ps
    log = compiled.log
    if log and log[-1].end_ps < compiled.end_ps:  # the wire out of the chip comes last
        output = case.machine.number("output")
        log = log[: 1 + max(k for k, service in enumerate(log) if service.station == output)]
    path = causes(log)
    synapses = case.machine.number("synapses")
    swept = sum(s.end_ps - s.start_ps for s in path if s.station >= synapses and s.spike == -1)
    worked = sum(s.end_ps - s.start_ps for s in path if s.station >= synapses and s.spike >= 0)
    states = compiled.path.by_state_ps(PATH_KINDS)
    assert (states["compute"].tolist(), states["memory"].tolist()) == ([swept], [worked])
    wires = {0, *case.machine.wire_ps.tolist()}
    for later, earlier in pairwise(path):  # a service starts when its cause has ended, or a wire after it
        assert later.start_ps - earlier.end_ps in wires
    if path:
        first = path[-1]
        assert first.station == 0 or first.start_ps == case.events.t_ps[first.origin] == compiled.path.begin_ps


def test_the_cases_hold_what_they_are_for():
    """Blocking, drops, sweeps, lost ticks, ties and layers with two feeders do occur in the random cases."""
    blocked = dropped = sweeps = lost = ties = merged = 0
    for seed in range(40):
        case = random_case(seed, 3, 60, (1, 5)[seed % 2], (1, 4)[seed % 3 > 0], drops=True, ticks=seed % 2 > 0)
        times = engine_compiled.run_stream(case.machine, case.events, record=True)
        ends = [service.end_ps for service in times.log]
        blocked += np.count_nonzero(times.blocked_ps)
        dropped, sweeps, lost = (
            dropped + times.dropped_ps.size,
            sweeps + times.sweeps.sum(),
            lost + times.lost_ticks.sum(),
        )
        ties += len(ends) - len(set(ends))
        targets = [connection.target for connection in case.machine.mapping.network.connections]
        merged += len(targets) > len(set(targets))
    assert min(blocked, dropped, sweeps, lost, ties, merged) >= 10


@given(cases())
def test_what_is_sent_is_served_or_dropped(case):
    """Copies on their way into a core are evaluated there or dropped before it; all copies to the outside leave."""
    machine = case.machine
    times = engine_compiled.run_stream(machine, case.events)
    into = times.served[machine.of("link")]
    dropped = np.bincount(times.dropped_core, minlength=machine.drops.size)
    np.testing.assert_array_equal(into, times.events + dropped)
    sent = times.served[machine.number("sensor")] + times.served[machine.of("send")].sum()
    assert sent == into.sum() + times.output_ps.size
    np.testing.assert_array_equal(times.served[machine.of("synapses")], times.events + times.sweeps)


@given(cases(merges=False), st.integers(0, 2**32 - 1))
def test_spikes_of_a_chain_do_not_depend_on_times_or_places(case, seed):
    """Without second feeders, drops and ticks cores serve in the order of the layer before, whatever the times."""
    rng = np.random.default_rng(seed)
    runs = []
    for places in (1, 3, MANY):
        changed = with_times(case.machine, rng, 50, places, drops=False, tick_ps=0)
        machine = replace(changed, cores=case.machine.cores, drops=np.zeros_like(changed.drops))
        runs.append(engine_compiled.run_stream(machine, case.events))
    for run in runs[1:]:
        for name in ("events", "synops", "zeros_skipped", "spikes", "state", "output_address", "output_origin"):
            np.testing.assert_array_equal(getattr(run, name), getattr(runs[0], name), err_msg=name)


@pytest.mark.parametrize("run", ENGINES)
@pytest.mark.parametrize("depth", [1, 2, 9])
def test_an_event_alone_takes_the_sum_of_its_parts(run, depth):
    """Sensor, then for every layer link, synapses and send, then out; wires where there are any."""
    machine = chain_machine(depth)
    rng = np.random.default_rng(depth)
    machine = with_times(machine, rng, 1_000, 1, drops=False, tick_ps=0)
    machine = replace(machine, cores=_undecimated(machine))
    times = run(machine, events_at(machine.mapping, [12_345]))
    cores = machine.cores
    used = [layer.core for layer in machine.mapping.layers]
    ways = ["sensor", "output"]
    expected = sum(int(machine.service_ps[n] + machine.wire_ps[n]) for n in map(machine.number, ways))
    for core in used:
        expected += sum(int(machine.service_ps[machine.number(kind, core)]) for kind in ("link", "send"))
        expected += int(machine.wire_ps[machine.number("link", core)])
        expected += max(1, int(cores["event_ps"][core] + cores["synop_ps"][core]))
    assert times.output_ps.tolist() == [12_345 + expected]


def _undecimated(machine):
    cores = machine.cores.copy()
    cores["decimation"] = 1
    return cores


@pytest.mark.parametrize("run", ENGINES)
def test_a_saturated_core_serves_at_its_ceiling(run):
    """Events far faster than one core takes them: it is never idle, and backpressure makes the sensor wait."""
    machine = chain_machine(3)
    slow = machine.mapping.layers[1].core
    cores = machine.cores.copy()
    cores["synop_ps"][slow] *= 10
    machine = replace(machine, cores=cores)
    count = 400
    times = run(machine, events_at(machine.mapping, [10_000 * k for k in range(count)]), record=True)
    station = machine.number("synapses", slow)
    services = [service for service in times.log if service.station == station]
    each = int(cores["event_ps"][slow] + cores["synop_ps"][slow])
    assert [s.end_ps - services[0].end_ps for s in services] == [k * each for k in range(count)]
    assert times.blocked_ps[machine.number("sensor")] > 0
    assert times.entered_ps[-1] > 10_000 * (count - 1)
    # Behind it, the sensor enters one event per service of the slow core.
    assert np.diff(times.entered_ps[-100:]).tolist() == [each] * 99


@pytest.mark.parametrize("run", ENGINES)
@pytest.mark.parametrize("places", [1, 5])
def test_a_balancer_drops_what_finds_no_place(run, places):
    """n events at once: the first is served, as many as there are places wait, the others are dropped."""
    mapping = map_stream(chain(1), SPECK).with_options(balance=("conv0",))
    machine = build_stream_machine(mapping)
    core = mapping.layers[0].core
    capacity, cores = machine.capacity.copy(), machine.cores.copy()
    capacity[machine.number("synapses", core)] = places
    cores["event_ps"][core] = 10**9
    machine = replace(machine, capacity=capacity, cores=cores)
    times = run(machine, events_at(mapping, [0] * 20))
    assert times.events[core] == 1 + places
    assert times.dropped_origin.tolist() == list(range(1 + places, 20))
    assert times.entered_ps.tolist() == [20_000 * k for k in range(20)]  # the sensor never waits


@pytest.mark.parametrize("run", ENGINES)
@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_decimator_passes_one_of_so_many(run, every):
    mapping = map_stream(chain(1), SPECK).with_options(decimate={"conv0": every})
    times = run(build_stream_machine(mapping), events_at(mapping, [10**7 * k for k in range(23)]))
    assert times.spikes.sum() == 23
    assert times.output_origin.tolist() == list(range(every - 1, 23, every))


@pytest.mark.parametrize("run", ENGINES)
def test_the_slow_clock_adds_biases_and_makes_neurons_fire(run):
    """Every tick adds 3 to all 64 neurons of both layers; with threshold 10 they fire at ticks 4, 7, 10, 14, ..."""
    mapping = map_stream(chain(1, bias=3), SPECK)
    machine = build_stream_machine(mapping, tick_ps=10**7)
    times = run(machine, SensorEvents(np.zeros(0, np.int64), np.zeros(0, np.int64), 10**8))
    core = mapping.layers[0].core
    assert times.sweeps[core] == 10
    assert times.spikes[core] == 3 * 64
    assert times.state.tolist() == [0] * 64  # 30 - 3 x 10
    assert set(times.output_origin.tolist()) == {-4, -7, -10}
    first = 4 * 10**7 + 64 * int(machine.cores["update_ps"][core]) + int(machine.service_ps[machine.number("send", 0)])
    assert times.output_ps[0] == first + machine.service_ps[machine.number("output")] + 1_255_000


@pytest.mark.parametrize("run", ENGINES)
def test_a_tick_waits_for_the_event_under_way_and_no_second_one_waits(run):
    """One event served for 10^6 ps, ticks every 300 000 ps: the first waits and is swept after it, two are lost."""
    mapping = map_stream(chain(1, bias=1), SPECK)
    machine = build_stream_machine(mapping, tick_ps=300_000)
    core = mapping.layers[0].core
    cores, wire, service = machine.cores.copy(), np.zeros_like(machine.wire_ps), machine.service_ps.copy()
    cores["event_ps"][core], cores["synop_ps"][core], cores["update_ps"][core] = 10**6, 0, 1
    machine = replace(machine, cores=cores, wire_ps=wire, service_ps=service)
    events = replace(events_at(mapping, [0]), duration_ps=1_300_000)
    times = run(machine, events, record=True)
    begun = [(s.start_ps, s.end_ps) for s in times.log if s.station == machine.number("synapses", core)]
    # taken at 40 000 (sensor, link); ticks at 300 000 (waits), 600 000 and 900 000 (lost), 1 200 000
    assert begun == [(40_000, 1_040_000), (1_040_000, 1_040_064), (1_200_000, 1_200_064)]
    assert times.lost_ticks[core] == 2


@pytest.mark.parametrize("run", ENGINES)
def test_no_events_give_nothing(run):
    machine = chain_machine(2)
    times = run(machine, SensorEvents(np.zeros(0, np.int64), np.zeros(0, np.int64), 0), record=True)
    assert times.log == []
    assert times.end_ps == 0


def test_messages_and_records_grow():
    """Far more messages under way, outputs and drops than there is room for at first."""
    mapping = map_stream(chain(1, weight=10, bias=10), SPECK)
    machine = build_stream_machine(mapping, tick_ps=10**6)
    cores = machine.cores.copy()
    cores["update_ps"] = 12_000
    machine = replace(machine, capacity=np.full(machine.stations, MANY), cores=cores)
    events = SensorEvents(np.zeros(0, np.int64), np.zeros(0, np.int64), 300 * 10**6)
    times = engine_compiled.run_stream(machine, events)
    assert times.output_ps.size == 300 * 64
    assert times.longest_queue[machine.number("send")] > 4096


def test_waiting_time_is_that_of_the_queue_with_constant_service():
    """Poisson events at a core loaded to 70 %: the mean wait is that of M/D/1, rho / (2 (1 - rho)) services."""
    rng = np.random.default_rng(1)
    machine = chain_machine(1)
    machine = replace(machine, capacity=np.full(machine.stations, MANY))
    core = machine.mapping.layers[0].core
    cores = machine.cores.copy()
    each = 10**7
    cores["event_ps"][core], cores["synop_ps"][core] = each, 0
    machine = replace(machine, cores=cores)
    count, load = 200_000, 0.7
    t_ps = np.cumsum(rng.exponential(each / load, count)).astype(np.int64)
    times = engine_compiled.run_stream(machine, events_at(machine.mapping, t_ps.tolist()))
    alone = engine_compiled.run_stream(machine, events_at(machine.mapping, [0]))
    waits = times.output_ps - t_ps - alone.output_ps[0]
    assert waits.mean() / each == pytest.approx(load / (2 * (1 - load)), rel=0.03)


def test_random_cases_are_reproducible():
    first, second = (random_case(7, 3, 40, 5, 2, True, True) for _ in range(2))
    assert isinstance(first, Case)
    assert_same(*(engine_compiled.run_stream(case.machine, case.events, record=True) for case in (first, second)))
