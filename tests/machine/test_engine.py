"""Laws of the engines: queueing theory, conservation, timelines written by hand, and the rules replayed on every log.

Every law is tested on every engine of `nsim.result.run_timesteps.ENGINES`.
"""

from __future__ import annotations

import itertools
import tomllib
from collections import defaultdict
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsim.chip.file import available_chips
from nsim.errors import SimulationError
from nsim.machine.stations import ChunkTimes, build_machine, sweeps
from nsim.network.activity import Activity
from nsim.result.run_timesteps import ENGINES
from tests.generators.machines import (
    LINKS,
    MANY,
    Cell,
    Step,
    changed,
    everyone,
    hand_mapped,
    random_step,
    shipped,
    small_chip,
    steps,
    with_places,
)

LINK_KINDS = ("core_to_router", "mesh", "router_to_core")
engines = pytest.mark.parametrize("engine", list(ENGINES))
many_examples = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def run(engine: str, step: Step):
    """One recorded timestep."""
    return ENGINES[engine].run_timestep(step.mapping, step.machine, step.firing, record=True)


def run_cells(engine: str, chip, cells, allocated=None, machine=None):
    mapping = hand_mapped(chip, cells, allocated)
    return ENGINES[engine].run_timestep(mapping, machine or build_machine(chip), everyone(mapping), record=True)


def by_station(log) -> dict[int, list]:
    served = defaultdict(list)
    for service in log:
        served[service.station].append(service)
    return served


def route_times(name: str, columns: int, source: tuple[int, int], target: tuple[int, int]) -> list[tuple[int, int]]:
    """(service, wire) of every link between two routers, both core links included, read off the chip file."""
    text = available_chips()[name].read_text(encoding="utf-8")
    content = tomllib.loads(text)
    bits, links = content["messages"]["bits"], content["links"]
    across, down = abs(source[0] - target[0]), abs(source[1] - target[1])
    kinds = ["core_to_router"] + ["east_west"] * across + ["north_south"] * down + ["router_to_core"]
    return [(round(1000 * bits / links[kind]["bandwidth_gbps"]), links[kind]["wire_ps"]) for kind in kinds]


@engines
@pytest.mark.parametrize("name", ["loihi", "loihi2"])
def test_lone_message_takes_the_sum_of_its_stages(engine, name):
    """Between any two cores: sweep + firing + send + service and wire of every link + synapses, and nothing else."""
    columns, rows, per_router, host = 3, 3, 2, (2, 1)
    chip = changed(
        shipped(name),
        {"mesh.columns": columns, "mesh.rows": rows, "mesh.cores_per_router": per_router, "host.router": host},
    )
    machine = build_machine(chip)
    actions = tomllib.loads(available_chips()[name].read_text(encoding="utf-8"))["actions"]
    update, spike, send = (actions[key]["latency_ps"] for key in ("neuron_update", "spike", "message_out"))
    position = [(router % columns, router // columns) for router in range(columns * rows) for _ in range(per_router)]
    for source, target in itertools.product(range(chip.cores), repeat=2):
        mapping = hand_mapped(chip, [Cell(source, 5, {target: 777})], {source: 6})
        times = ENGINES[engine].run_timestep(mapping, machine, everyone(mapping))
        links = route_times(name, columns, position[source], position[target])
        assert times.duration_ps == 6 * update + spike + send + sum(s + w for s, w in links) + 777


@engines
def test_lone_message_from_the_host_leaves_at_its_router(engine):
    """The host sweeps nothing: its message is ready after 1 ps and takes host.message_ps to send."""
    chip = small_chip(3, 2, links=(5, 7), host=(2, 1), host__message_ps=40)
    for target in range(chip.cores):
        hops = abs(target % 3 - 2) + abs(target // 3 - 1)
        times = run_cells(engine, chip, [Cell(chip.cores, 0, {target: 9})])
        assert times.duration_ps == 1 + 40 + (hops + 2) * (5 + 7) + 9


@engines
@pytest.mark.parametrize("places", [1, 4, MANY])
@pytest.mark.parametrize("bottleneck", ["send", "core_to_router", "mesh", "router_to_core", "synapses"])
def test_saturated_station_serves_back_to_back(engine, bottleneck, places):
    """The slowest stage passes exactly one message per service time, and the run ends a fixed tail after its last."""
    slow, fast, messages = 100, 10, 30
    kinds = {kind: (fast, 3) for kind in LINKS}
    if bottleneck not in ("send", "synapses"):
        kinds["east_west" if bottleneck == "mesh" else bottleneck] = (slow, 3)
    chip = small_chip(2, 1, send=slow if bottleneck == "send" else fast, links=kinds, places=places)
    synapse_ps = slow if bottleneck == "synapses" else fast
    machine = build_machine(chip)
    times = run_cells(engine, chip, [Cell(0, slot, {1: synapse_ps}) for slot in range(messages)], machine=machine)
    stations = [machine.number("send", 0), *machine.route(0, 1)]
    kinds_on_the_way = ["send", *LINK_KINDS, "synapses"]
    place = kinds_on_the_way.index(bottleneck)
    services = by_station(times.log)[stations[place]]
    first = 1 + place * fast + 3 * max(0, place - 1)  # one update, then the fast stages; wires lie behind links
    assert [s.start_ps for s in services] == [first + slow * k for k in range(messages)]
    assert [s.end_ps for s in services] == [first + slow * (k + 1) for k in range(messages)]
    tail = sum(fast for _ in stations[place + 1 :]) + 3 * (bottleneck in LINK_KINDS) * (4 - place)
    tail += 3 * 3 * (bottleneck == "send")
    assert times.duration_ps == first + slow * messages + tail
    assert times.busy_ps[stations[place]] == slow * messages


SERVICE_PS = 1_000
LOADS = {0.3: ("mesh", 25_000), 0.6: ("synapses", 100_000), 0.9: ("synapses", 1_000_000)}  # a standard error of 1 %


def pollaczek_khinchine_ps(load: float) -> float:
    """Mean wait in an M/D/1 queue."""
    return SERVICE_PS * load / (2 * (1 - load))


def lindley_ps(gaps):
    """Waits of messages that arrive with these gaps: max(0, the wait before + service - gap), the first one 0."""
    work = np.concatenate(([0], np.cumsum(SERVICE_PS - gaps[1:])))
    return work - np.minimum.accumulate(work)


def exponential_gaps(load: float, messages: int, rng: np.random.Generator):
    """All quantiles of the exponential distribution in random order: the load is exact, which halves the variance."""
    quantiles = -np.log1p(-(np.arange(messages) + 0.5) / messages)
    return np.maximum(1, np.rint(rng.permutation(quantiles) * SERVICE_PS / load)).astype(np.int64)


def measured_waits_ps(engine: str, bottleneck: str, gaps):
    """What messages wait at the one slow station of an otherwise fast way, into which a sweep fires with these gaps."""
    at_synapses = bottleneck == "synapses"
    links = dict.fromkeys(LINKS, (1, 0)) | ({} if at_synapses else {"east_west": (SERVICE_PS, 0)})
    chip = small_chip(2, 1, links=links, places=MANY)
    machine = build_machine(chip)
    cells = [Cell(0, slot, {1: SERVICE_PS if at_synapses else 1}) for slot in (np.cumsum(gaps) - 1).tolist()]
    log = by_station(run_cells(engine, chip, cells, machine=machine).log)
    route = machine.route(0, 1)
    place = LINK_KINDS.index("mesh") if bottleneck == "mesh" else len(route) - 1
    arrived = np.array([s.end_ps for s in log[route[place - 1]]])
    np.testing.assert_array_equal(np.diff(arrived), gaps[1:])
    return np.array([s.start_ps for s in log[route[place]]]) - arrived


@engines
@pytest.mark.parametrize("bottleneck", ["mesh", "synapses"])
@pytest.mark.parametrize("load", LOADS)
def test_every_wait_is_lindleys(engine, load, bottleneck):
    """Poisson arrivals at a station of constant service time, message by message."""
    gaps = exponential_gaps(load, 1_500, np.random.default_rng(6))
    np.testing.assert_array_equal(measured_waits_ps(engine, bottleneck, gaps), lindley_ps(gaps))


@pytest.mark.parametrize("load", LOADS)
def test_lindleys_waits_are_pollaczek_and_khinchines_on_average(load):
    """With the test above, this is the M/D/1 law for engines too slow for the millions of messages that it takes."""
    waits = lindley_ps(exponential_gaps(load, 5_000_000, np.random.default_rng(7)))
    assert waits.mean() == pytest.approx(pollaczek_khinchine_ps(load), rel=0.03)


def slow_loads(engine: str) -> set[float]:
    """Loads that take a minute of SimPy, and at 0.9 millions of records of any engine."""
    return {0.6} if engine == "simpy" else {0.9}


@pytest.mark.parametrize(
    ("engine", "load"),
    [
        pytest.param(engine, load, marks=[pytest.mark.slow] if load in slow_loads(engine) else [])
        for engine in ENGINES
        for load in LOADS
        if (engine, load) != ("simpy", 0.9)  # a quarter of an hour; its waits are those of the compiled engine above
    ],
)
def test_poisson_arrivals_wait_as_pollaczek_and_khinchine_say(engine, load):
    """M/D/1: the mean wait is load * service / (2 * (1 - load)).

    Timesteps of 50,000 messages start empty, which lowers the mean wait by 0.1 % at load 0.9 and less below.
    """
    bottleneck, messages = LOADS[load]
    rng = np.random.default_rng(5)
    sizes = [min(50_000, messages - start) for start in range(0, messages, 50_000)]
    waits = [measured_waits_ps(engine, bottleneck, exponential_gaps(load, size, rng)) for size in sizes]
    assert np.concatenate(waits).mean() == pytest.approx(pollaczek_khinchine_ps(load), rel=0.03)


def timeline(machine, log) -> dict[str, list[tuple[int, int, int]]]:
    """(start, end, left) of every service, by station name."""
    return {
        machine.name(station): [(s.start_ps, s.end_ps, s.left_ps) for s in services]
        for station, services in by_station(log).items()
    }


@engines
def test_two_cores_share_a_slow_third_one(engine):
    """Blocking after service with one place everywhere.

    Spikes a of core 0 and b of core 1, three each, meet at the link into core 2 (3 ps), whose synapses take 20 ps.
    8: a0 and b0 leave their first links together; a0, from the lower station, goes first. The link into core 2 takes it
       at once, though it can serve it from 12 only, so b0 finds the place in the queue free.
    11: a1, then b1 end on their first links and are blocked.
    15: a0 leaves; b0 is taken, its place goes to a1: can be served from 15 + 4, not from 11 + 4.
    18: a2 asks, after b1. b0 ends and enters the place at the synapses. The link takes a1, which is on the wire until
       19, but its place is free already: b1's, since 18.
    From 40 the synapses are never idle: every end there moves the whole chain up by one.
    """
    links = {"core_to_router": (3, 4), "router_to_core": (3, 5), "east_west": (1, 0), "north_south": (1, 0)}
    chip = small_chip(cores_per_router=3, update=2, spike=1, send=2, links=links, places=1)
    machine = build_machine(chip)
    times = run_cells(engine, chip, [Cell(core, slot, {2: 20}) for core in (0, 1) for slot in range(3)])
    sweep = [(0, 3, 3), (3, 6, 6), (6, 9, 9)]
    send = [(3, 5, 5), (6, 8, 8), (9, 11, 11)]
    assert timeline(machine, times.log) == {
        "core 0 neurons": sweep,
        "core 1 neurons": sweep,
        "core 0 send": send,
        "core 1 send": send,
        "core 0 core to router": [(5, 8, 8), (8, 11, 15), (15, 18, 40)],
        "core 1 core to router": [(5, 8, 8), (8, 11, 18), (18, 21, 60)],
        # a0, b0, a1, b1, a2, b2
        "core 2 router to core": [(12, 15, 15), (15, 18, 18), (19, 22, 40), (40, 43, 60), (60, 63, 80), (80, 83, 100)],
        "core 2 synapses": [(20 * k, 20 * (k + 1), 20 * (k + 1)) for k in range(1, 7)],
    }
    into_core = by_station(times.log)[machine.number("router_to_core", 2)]
    assert [s.spike for s in into_core] == [0, 3, 1, 4, 2, 5]
    assert times.duration_ps == 140
    assert times.blocked_ps[machine.number("core_to_router", 0)] == 4 + 22
    assert times.blocked_ps[machine.number("router_to_core", 2)] == 18 + 17 * 3
    assert times.longest_queue[machine.number("router_to_core", 2)] == 1
    assert times.longest_queue[machine.number("send", 0)] == 0  # every spike was taken at once


@engines
def test_send_serves_copies_and_the_sweep_stands_still(engine):
    """One place per spike, not per copy; the sweep waits for it; a spike without destination costs its firing only.

    Core 0 sweeps 7 neurons of 2 ps, 1 ps more for those that fire. `send` takes 10 ps per copy.
    3: spike p is taken, 13 and 23: its copies for cores 1 and 2. 6: the second neuron fires for nobody.
    9: spike q gets the only place. 12: spike r waits for it until `send` takes q at 23. 26: s waits until 33.
    33: the last two neurons, silent, are one service of 4 ps.
    """
    chip = small_chip(cores_per_router=3, update=2, spike=1, send=10, links=(1, 0), places=1)
    machine = build_machine(chip)
    cells = [Cell(0, 0, {1: 1, 2: 1}), Cell(0, 1, {}), Cell(0, 2, {1: 1}), Cell(0, 3, {2: 1}), Cell(0, 4, {2: 1})]
    times = run_cells(engine, chip, cells, {0: 7})
    assert timeline(machine, times.log) == {
        "core 0 neurons": [(0, 3, 3), (3, 6, 6), (6, 9, 9), (9, 12, 23), (23, 26, 33), (33, 37, 37)],
        "core 0 send": [(3, 13, 13), (13, 23, 23), (23, 33, 33), (33, 43, 43), (43, 53, 53)],
        "core 0 core to router": [(t, t + 1, t + 1) for t in (13, 23, 33, 43, 53)],
        "core 1 router to core": [(t, t + 1, t + 1) for t in (14, 34)],
        "core 2 router to core": [(t, t + 1, t + 1) for t in (24, 44, 54)],
        "core 1 synapses": [(t, t + 1, t + 1) for t in (15, 35)],
        "core 2 synapses": [(t, t + 1, t + 1) for t in (25, 45, 55)],
    }
    sweep = by_station(times.log)[machine.number("neurons", 0)]
    assert [(s.spike, s.target) for s in sweep] == [(0, -1), (1, -1), (2, -1), (3, -1), (4, -1), (-1, -1)]
    assert [(s.spike, s.target) for s in by_station(times.log)[machine.number("send", 0)]] == [
        (0, 1), (0, 2), (2, 1), (3, 2), (4, 2),
    ]  # fmt: skip
    assert times.duration_ps == 56
    assert times.blocked_ps[machine.number("neurons", 0)] == 11 + 7
    assert times.longest_queue[machine.number("send", 0)] == 1


@engines
def test_a_shorter_wire_does_not_overtake(engine):
    """Places are granted in the order of asking and served in the order of granting.

    X crosses a wire of 100 ps and is granted its place at 4; Y, from the core's own router, at 7, and could be served
    at once, but waits for X until 105.
    """
    chip = small_chip(2, 1, links=dict.fromkeys(LINKS, (1, 0)) | {"east_west": (1, 100)}, places=1)
    machine = build_machine(chip)
    times = run_cells(engine, chip, [Cell(0, 0, {1: 1}), Cell(1, 4, {1: 1})])
    into_core = by_station(times.log)[machine.number("router_to_core", 1)]
    assert [(s.spike, s.start_ps, s.end_ps) for s in into_core] == [(0, 104, 105), (1, 105, 106)]
    assert times.duration_ps == 107
    numbers = {(machine.name(s.station), s.spike): index for index, s in enumerate(times.log)}
    assert into_core[0].cause == numbers["link (0,0)->(1,0)", 0]  # the grant, and then its wire
    assert into_core[1].cause == numbers["core 1 router to core", 0]  # the station became free


@engines
def test_a_silent_timestep_lasts_as_long_as_the_longest_sweep(engine):
    chip = small_chip(2, 1, update=7, spike=100)
    mapping = hand_mapped(chip, [Cell(0, 0, {1: 1})], {0: 5, 1: 3})
    times = ENGINES[engine].run_timestep(mapping, build_machine(chip), np.zeros(0, np.int64), record=True)
    assert times.duration_ps == 35
    assert [(s.station, s.start_ps, s.end_ps, s.spike) for s in times.log] == [(1, 0, 21, -1), (0, 0, 35, -1)]


@engines
def test_nothing_to_do_takes_no_time(engine):
    chip = small_chip(2, 1)
    mapping = hand_mapped(chip, [Cell(chip.cores, 0, {1: 1})])
    times = ENGINES[engine].run_timestep(mapping, build_machine(chip), np.zeros(0, np.int64), record=True)
    assert (times.duration_ps, times.log, int(times.served.sum())) == (0, [], 0)


class Replay:
    """What the rules say about the times of a log, given only the order in which its services ended.

    A *moment* is the number of the completion during which something happens (-1: at the start), so moments are
    ordered and each has its time. Job j of a station (a message, or at `send` a spike) asks for a place when it was
    served before, is granted it when job j - places has been taken, and is taken when job j - 1 has left.
    """

    def __init__(self, step: Step, log) -> None:
        mapping, machine, copies = step.mapping, step.machine, step.mapping.copies
        self.machine, self.log = machine, log
        plan = sweeps(mapping, step.firing)
        ways = {  # by (spike, destination): the stations after send, and the time at the last
            (neuron, int(copies.core[row])): (
                machine.route(int(mapping.core[neuron]), int(copies.core[row])),
                int(copies.service_ps[row]),
            )
            for neuron in range(mapping.core.size)
            for row in range(copies.indptr[neuron], copies.indptr[neuron + 1])
        }
        self.destinations = {n: [t for m, t in ways if m == n] for n in range(mapping.core.size)}
        self.queue = defaultdict(list)  # by station: completions that asked for a place there, in order
        self.job, self.following, self.service = [], [], []  # by completion
        self.completions = defaultdict(list)  # by station and job
        self.wire = []
        passed = defaultdict(int)  # services by station so far; jobs there are numbered in order
        sent = defaultdict(int)  # copies of a spike so far
        for number, entry in enumerate(log):
            kind, here = machine.kind(entry.station), entry.station
            job = passed[here]
            onward = None
            if kind == "neurons":
                row = int(plan.indptr[here]) + job
                assert entry.spike == plan.neuron[row]
                service = int(plan.service_ps[row])
                if self.destinations.get(entry.spike):
                    onward = machine.number("send", here)
                passed[here] += 1
            elif kind == "send":
                assert entry.target == self.destinations[entry.spike][sent[entry.spike]]
                sent[entry.spike] += 1
                service, onward = int(machine.service_ps[here]), ways[entry.spike, entry.target][0][0]
                passed[here] += sent[entry.spike] == len(self.destinations[entry.spike])
            else:
                route, synapse_ps = ways[entry.spike, entry.target]
                place = route.index(here)
                service = synapse_ps if kind == "synapses" else int(machine.service_ps[here])
                onward = None if kind == "synapses" else route[place + 1]
                passed[here] += 1
            self.job.append(job)
            self.completions[here, job].append(number)
            self.service.append(service)
            self.following.append(None if onward is None else (onward, len(self.queue[onward])))
            self.wire.append(int(machine.wire_ps[here]))
            if onward is not None:
                self.queue[onward].append(number)
        assert dict(sent) == {n: len(self.destinations[n]) for n in step.firing.tolist() if self.destinations[n]}
        self.grant, self.take, self.left = cache(self._grant), cache(self._take), cache(self._left)

    def time(self, moment: int) -> int:
        return self.log[moment].end_ps if moment >= 0 else 0

    def _grant(self, station: int, job: int) -> int:
        asked, places = self.queue[station][job], int(self.machine.capacity[station])
        return max(asked, self.take(station, job - places)) if job >= places else asked

    def _take(self, station: int, job: int) -> int:
        free = self.left(self.completions[station, job - 1][-1]) if job else -1
        return free if self.machine.kind(station) == "neurons" else max(self.grant(station, job), free)

    def _left(self, number: int) -> int:
        return number if self.following[number] is None else self.grant(*self.following[number])

    def expected(self, number: int) -> tuple[int, int, int, int]:
        """start, end, left and cause of a completion."""
        station, job = self.log[number].station, self.job[number]
        completions = self.completions[station, job]
        moment, ready, granted = self.take(station, job), 0, -1
        if number != completions[0]:  # a further copy of a spike
            moment = self.left(completions[completions.index(number) - 1])
        if self.machine.kind(station) != "neurons":
            granted = self.grant(station, job)
            ready = self.time(granted) + self.wire[self.queue[station][job]]
        start = max(self.time(moment), ready)
        cause = granted if ready > self.time(moment) else moment
        return start, start + self.service[number], self.time(self.left(number)), cause

    def longest_queue(self, station: int) -> int:
        """Most jobs that had a place at the grant of one that was not taken at once."""
        jobs = range(len(self.queue[station]))
        granted = [self.grant(station, job) for job in jobs]
        taken = [self.take(station, job) for job in jobs]
        waiting = [
            1 + sum(taken[before] > granted[job] for before in range(job)) for job in jobs if taken[job] > granted[job]
        ]
        return max(waiting, default=0)


@engines
@many_examples
@given(step=steps())
def test_the_rules_replayed_give_the_same_times(engine, step):
    """Start, end, leaving time and cause of every service, and the longest queues, follow from the rules."""
    times = run(engine, step)
    replay = Replay(step, times.log)
    for number, s in enumerate(times.log):
        assert (s.start_ps, s.end_ps, s.left_ps, s.cause) == replay.expected(number), (number, s)
    longest = [replay.longest_queue(station) for station in range(step.machine.stations)]
    assert times.longest_queue.tolist() == longest


@engines
@many_examples
@given(step=steps())
def test_what_is_sent_is_received_and_every_second_is_booked(engine, step):
    """Conservation, station by station: messages in = out = served, busy and blocked time = sums over the log."""
    mapping, machine = step.mapping, step.machine
    times = run(engine, step)
    served, busy, blocked = (np.zeros(machine.stations, np.int64) for _ in range(3))
    copies = mapping.copies
    for neuron in step.firing.tolist():
        source = int(mapping.core[neuron])
        for row in range(copies.indptr[neuron], copies.indptr[neuron + 1]):
            target = int(copies.core[row])
            route = machine.route(source, target)
            for station in (machine.number("send", source), *route):
                served[station] += 1
                busy[station] += machine.service_ps[station]
            busy[route[-1]] += copies.service_ps[row]
    plan = sweeps(mapping, step.firing)
    served[: machine.cores] = np.diff(plan.indptr)
    busy[: machine.cores] = [plan.service_ps[a:b].sum() for a, b in itertools.pairwise(plan.indptr)]
    for s in times.log:
        blocked[s.station] += s.left_ps - s.end_ps
    assert times.served.tolist() == served.tolist()
    assert times.busy_ps.tolist() == busy.tolist()
    assert times.blocked_ps.tolist() == blocked.tolist()
    assert times.duration_ps == max((s.end_ps for s in times.log), default=0)


@engines
@many_examples
@given(step=steps(places=st.just(1)), places=st.sampled_from([2, 5, MANY]))
def test_one_place_everywhere_suffices_and_more_change_no_count(engine, step, places):
    """No claim on the time: with more places a run may even take longer."""
    narrow, wide = run(engine, step), run(engine, replace(step, machine=with_places(step.machine, places)))
    assert narrow.served.tolist() == wide.served.tolist()
    assert narrow.busy_ps.tolist() == wide.busy_ps.tolist()
    assert narrow.longest_queue.max() <= 1
    assert wide.longest_queue.max() <= places
    if places == MANY:
        assert wide.blocked_ps.sum() == 0


@engines
def test_heavy_uniform_traffic_at_one_place_finishes(engine):
    """A larger machine, all neurons firing, one place everywhere: dimension-order routes cannot deadlock."""
    step = random_step(np.random.default_rng(1), 6, 5, 2, longest_ps=3, places=1, neurons=600)
    step = replace(step, firing=everyone(step.mapping))
    times = run(engine, step)
    synapses = slice(step.machine.number("synapses", 0), None)
    assert times.served[synapses].sum() == step.mapping.copies.core.size > 1_000
    assert times.blocked_ps.sum() > 0


@engines
@settings(many_examples, max_examples=30)
@given(step=steps(), seed=st.integers(0, 2**32 - 1), threads=st.integers(1, 2))
def test_timesteps_do_not_know_of_each_other(engine, step, seed, threads):
    """A run over some timesteps, on any number of threads, gives what each of them gives alone."""
    rng = np.random.default_rng(seed)
    firing = [np.flatnonzero(rng.random(step.mapping.core.size) < rng.random()) for _ in range(5)]
    indptr = np.concatenate(([0], np.cumsum([len(f) for f in firing]))).astype(np.int64)
    activity = Activity(indptr, np.concatenate(firing), None)
    alone = [run(engine, replace(step, firing=f)) for f in firing]
    together = ChunkTimes.joined(list(ENGINES[engine].Engine(step.mapping, step.machine, threads).run(activity)))
    assert together.duration_ps.tolist() == [times.duration_ps for times in alone]
    assert together.blocked_ps.tolist() == np.sum([times.blocked_ps for times in alone], axis=0).tolist()
    assert together.longest_queue.tolist() == np.max([times.longest_queue for times in alone], axis=0).tolist()


@engines
@pytest.mark.parametrize("places", [1, 2])
def test_deadlock_names_the_cycle(engine, places, monkeypatch):
    """Routes clockwise round four routers, each two hops long, fill each other's queues; XY routes would not."""
    chip = small_chip(2, 2, places=places)
    following = {0: 1, 1: 3, 3: 2, 2: 0}  # router r = 2 y + x, clockwise

    def clockwise(chip, source: int, target: int) -> list[tuple[int, int]]:
        hops = []
        while source != target:
            hops.append((source, following[source]))
            source = following[source]
        return hops

    cells = [Cell(core, slot, {3 - core: 1}) for core in range(4) for slot in range(20)]
    mapping = hand_mapped(chip, cells)
    finished = ENGINES[engine].run_timestep(mapping, build_machine(chip), everyone(mapping))
    assert finished.served[build_machine(chip).number("synapses", 0) :].sum() == 80
    monkeypatch.setattr("nsim.machine.stations.xy_route", clockwise)
    monkeypatch.setattr(
        "nsim.machine.compiled.timesteps.links_onward",
        lambda chip, first: np.array(
            [[first + build_machine(chip).hops.index((a, following[a]))] * 9 for a in range(4)], np.int32
        ),
    )
    with pytest.raises(SimulationError) as caught:
        ENGINES[engine].run_timestep(mapping, build_machine(chip), everyone(mapping))
    message = str(caught.value)
    assert message.startswith("deadlock after ")
    assert " of 80 messages: " in message
    cycle = message.split(": ", 1)[1].split(";")[0].split(" -> ")
    around = ["link (0,0)->(1,0)", "link (1,0)->(1,1)", "link (1,1)->(0,1)", "link (0,1)->(0,0)"]
    assert cycle[0] == cycle[-1]
    assert sorted(cycle[:-1]) == sorted(around)
    start = around.index(cycle[0])
    assert cycle[:-1] == around[start:] + around[:start]


def test_a_timestep_that_could_outgrow_the_clock_is_refused_by_what_fires():
    """Six bits of 63 are the station's: 2**57 ps are left. Two links of 2**53 ps each, and the sum of all services and
    wires of a message counts the longest for each of its 4 stations: at most 2**55 ps, so three may fire, and four not.
    """
    chip = small_chip(2, 1, cores_per_router=4, links=(1 << 53, 0), places=4)
    mapping = hand_mapped(chip, [Cell(0, slot, {1: 1}) for slot in range(4)])
    machine = build_machine(chip)
    assert 1 << 5 < machine.stations <= 1 << 6
    three = [ENGINES[engine].run_timestep(mapping, machine, np.arange(3)).duration_ps for engine in ENGINES]
    assert three[0] == three[1] > 4 << 53
    engine = ENGINES["compiled"].Engine(mapping, machine)
    for run_four in (
        lambda: list(engine.run(Activity(np.array([0, 4]), np.arange(4), None))),
        lambda: engine.step(np.arange(4), False),
    ):
        with pytest.raises(
            SimulationError, match=r"may take 1441\d+ ps, but the clock of the compiled engine ends at 1441151"
        ):
            run_four()
