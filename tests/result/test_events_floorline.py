"""The floorline of streams: never above the simulation, near it where one thing limits, and exact by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given

from nsim.machine.compiled.events import run_stream
from nsim.machine.events import PATH_KINDS, SWEEP, build_stream_machine
from nsim.machine.events_times import SensorEvents
from nsim.mapping.events.kernels import count_synops
from nsim.mapping.events.mapping import map_stream
from nsim.result.limits.events import counts_of, stream_bounds
from tests.generators.streams import SPECK, cases, chain, events_at, random_case


def bounds_of(machine, events, times, costs=None):
    return stream_bounds(costs or machine, counts_of(times), events)


def states_of(times) -> dict[str, int]:
    """The critical path by state; what the input takes before it begins counts, too."""
    states = {state: int(spent.sum()) for state, spent in times.path.by_state_ps(PATH_KINDS).items()}
    return states | {"input": states["input"] + times.path.begin_ps}


@given(cases())
@example(random_case(547, 2, 2, 100, 4, True, True))  # sweeps make spikes before the sensor has seen anything
def test_no_stream_is_drained_before_its_bound(case):
    times = run_stream(case.machine, case.events, critical_path=True)
    least_ps = bounds_of(case.machine, case.events, times).least_ps[0]
    assert bounds_of(case.machine, case.events, replace(times, path=None)).least_ps[0] <= least_ps <= times.end_ps


@given(cases())
def test_services_of_cores_are_what_the_engine_counts(case):
    times = run_stream(case.machine, case.events, critical_path=True)
    log, synapses, cores = times.services, case.machine.number("synapses"), case.machine.cores
    log = log[log["station"] >= synapses]
    served, swept = log["station"] - synapses, log["spike"] == SWEEP
    synops = count_synops(cores, case.machine.taps, served[~swept], log["spike"][~swept])
    for core in range(cores.size):
        own = served == core
        assert (own & swept).sum() == times.sweeps[core]
        assert (own & ~swept).sum() == times.events[core]
        assert synops[own[~swept]].sum() == times.synops[core]
    ticks = case.events.duration_ps // case.machine.tick_ps if case.machine.tick_ps else 0
    assert set(log["origin"].tolist()) <= set(range(-ticks, case.events.t_ps.size))


def test_after_a_pause_all_that_comes_then_is_still_to_be_done():
    """Two bursts far apart: the second takes as long as the first, whatever the pause."""
    machine = build_stream_machine(map_stream(chain(1, threshold=30_000), SPECK))
    events = events_at(machine.mapping, [0] * 300 + [10**9] * 300)
    times = run_stream(machine, events, critical_path=True)
    alone_ps = run_stream(machine, events_at(machine.mapping, [0] * 300)).end_ps
    assert bounds_of(machine, events, replace(times, path=None)).least_ps[0] < 10**9 + alone_ps // 2
    assert 10**9 + 0.99 * alone_ps < bounds_of(machine, events, times).least_ps[0] <= times.end_ps == 10**9 + alone_ps


def with_cost(machine, name, factor):
    cores = machine.cores.copy()
    cores[name] = np.rint(cores[name] * factor)
    return replace(machine, cores=cores)


@pytest.mark.parametrize(
    ("gap_ps", "ticks", "state"),
    [(10_000, 0, "memory"), (10**9, 0, "input"), (10**8, 100_000, "compute")],
)
def test_each_state_is_predicted_and_near(gap_ps, ticks, state):
    """One core: events far too fast, events it keeps up with, and a slow clock that is too fast."""
    machine = build_stream_machine(map_stream(chain(1, bias=1 if ticks else 0, threshold=30_000), SPECK), ticks)
    events = events_at(machine.mapping, [gap_ps * k for k in range(500 if not ticks else 10)])
    times = run_stream(machine, events, critical_path=True)
    bounds = bounds_of(machine, events, times)
    path = states_of(times)
    assert bounds.state == max(path, key=path.get) == state
    assert 1 <= times.end_ps / bounds.least_ps[0] < 1.01


def test_traffic_where_the_sensor_is_slow():
    machine = build_stream_machine(map_stream(chain(1, threshold=30_000), SPECK))
    service = machine.service_ps.copy()
    service[machine.number("sensor")] = 10**6
    machine = replace(machine, service_ps=service)
    events = events_at(machine.mapping, [0] * 100)
    times = run_stream(machine, events, critical_path=True)
    bounds, path = bounds_of(machine, events, times), states_of(times)
    assert bounds.state == max(path, key=path.get) == "traffic"
    assert machine.kind(int(bounds.station[0])) == "sensor"
    assert times.end_ps / bounds.least_ps[0] < 1.01


def test_one_event_by_hand():
    """The input's bound: the event's time, then sensor, wire and link; the synapses' adds what the core takes."""
    machine = build_stream_machine(map_stream(chain(1, threshold=30_000), SPECK))
    times = run_stream(machine, events := events_at(machine.mapping, [7_000]))
    core = machine.mapping.layers[0].core
    work = int(machine.cores["event_ps"][core] + machine.cores["synop_ps"][core])
    bounds = bounds_of(machine, events, times)
    assert bounds.terms_ps["memory"][0] == work
    assert bounds.terms_ps["input"][0] == 7_000 + 20_000 + 62_500 + 20_000
    assert bounds.least_ps[0] == times.end_ps - 62_500 == 7_000 + 20_000 + 62_500 + 20_000 + work


def test_a_wrong_cost_is_caught():
    """A fifth more per synaptic operation on the analytical side puts the bound above the simulation."""
    machine = build_stream_machine(map_stream(chain(1, threshold=30_000), SPECK))
    events = events_at(machine.mapping, [0] * 500)
    times = run_stream(machine, events)
    assert bounds_of(machine, events, times).least_ps[0] <= times.end_ps
    assert bounds_of(machine, events, times, with_cost(machine, "synop_ps", 1.2)).least_ps[0] > times.end_ps


def test_nothing_takes_no_time():
    machine = build_stream_machine(map_stream(chain(1), SPECK))
    events = SensorEvents(np.zeros(0, np.int64), np.zeros(0, np.int64), 0)
    bounds = bounds_of(machine, events, run_stream(machine, events))
    assert bounds.least_ps.tolist() == [0]
    assert bounds.margin == float("inf")
