"""Frames: both engines agree on every service, and both obey the laws of a pipeline of cores."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsim.errors import SimulationError
from nsim.machine.compiled import frames as engine_compiled
from nsim.machine.frames import FrameTimes, dataflow
from nsim.machine.services import Log
from nsim.machine.simpy import frames as engine_simpy
from tests.generators.frame_machines import Case, cases, frame_machine, frames_of, sequence
from tests.generators.machines import Cell, small_chip

ENGINES = (engine_simpy, engine_compiled)
TIMES = ("input_ps", "begin_ps", "worked_ps", "finished_ps", "left_ps")


def simulated(engine, case: Case, record: bool = True) -> tuple[FrameTimes, Log]:
    run = engine.Engine(case.mapping, case.machine).start(case.activity, record)
    assert list(run) == list(range(1, case.activity.timesteps + 1))
    return (times := run.times()), times.services


def of_kind(case: Case, log: Log, kind: str) -> np.ndarray:
    """Rows of the log that are services of stations of this kind."""
    first = case.machine.number(kind, 0)
    return np.flatnonzero((log["station"] >= first) & (log["station"] < first + case.machine.cores))


def copies_sent(case: Case, frame: int) -> list[tuple[int, int]]:
    """(neuron, destination core) of every message of a frame."""
    copies, found = case.mapping.copies, []
    for neuron in case.activity.firing(frame).tolist():
        own = slice(copies.indptr[neuron], copies.indptr[neuron + 1])
        found += [(neuron, core) for core in copies.core[own].tolist()]
    return found


@pytest.mark.parametrize("engine", ENGINES)
@given(case=cases())
def test_a_run_left_early_holds_the_frames_done(engine, case):
    whole, _ = simulated(engine, case)
    run = engine.Engine(case.mapping, case.machine).start(case.activity)
    for left in run:
        part = run.times()
        assert part.frames >= left
        for name in TIMES:
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[: part.frames], err_msg=name)


@given(cases())
def test_every_message_is_received_once(case):
    """Sent = received, frame by frame, and the run is over when the last frame has left."""
    times, log = simulated(engine_compiled, case)
    for kind in ("send", "receive"):
        rows = of_kind(case, log, kind)
        for frame in range(case.activity.timesteps):
            own = rows[log["origin"][rows] == frame]
            served = sorted(zip(log["spike"][own].tolist(), log["target"][own].tolist(), strict=True))
            assert served == sorted(copies_sent(case, frame))
    assert log["end_ps"].max(initial=0) == times.left_ps[-1] == times.left_ps.max()


@given(cases())
def test_a_core_never_holds_more_frames_than_it_has_buffers(case):
    """From the first message received of a frame until the frame is finished, its buffer is taken."""
    times, log = simulated(engine_compiled, case)
    rows = of_kind(case, log, "receive")
    core, frame = log["station"][rows] - case.machine.number("receive", 0), log["origin"][rows]
    for receiver in set(core.tolist()) - {case.machine.cores - 1}:
        own = core == receiver
        for now, newest in zip(log["end_ps"][rows][own].tolist(), frame[own].tolist(), strict=True):
            held = [f for f in range(newest + 1) if times.finished_ps[f, receiver] > now]
            assert newest in held
            assert len(held) <= case.mapping.input_buffers[receiver]


@given(cases())
def test_when_a_core_begins(case):
    """A naive twin: every begin follows from the log of messages and from when other cores finished."""
    times, log = simulated(engine_simpy, case)
    flow, host = dataflow(case.mapping), case.machine.cores - 1
    rows = of_kind(case, log, "receive")
    received = np.zeros_like(times.begin_ps)
    at = log["origin"][rows], log["station"][rows] - case.machine.number("receive", 0)
    np.maximum.at(received, at, log["end_ps"][rows])
    received = np.maximum.accumulate(received, axis=0)  # frames come and leave in order, empty ones too

    def finished(core: int, frame: int) -> int:
        return int(times.finished_ps[frame, core]) if frame >= 0 else 0

    for frame in range(times.frames):
        for core in flow.used:
            if flow.feeders[core]:
                arrived = max(int(received[frame, core]), *(finished(f, frame) for f in flow.feeders[core]))
            else:
                waits_for = frame - case.mapping.in_flight
                arrived = int(times.left_ps[waits_for]) if waits_for >= 0 else 0
            room = [finished(r, frame - int(case.mapping.input_buffers[r])) for r in flow.receivers[core]]
            assert times.input_ps[frame, core] == arrived
            assert times.begin_ps[frame, core] == max(arrived, finished(core, frame - 1), *room, 0)
        last = max((finished(core, frame) for core in flow.used), default=0)
        assert times.left_ps[frame] == max(last, int(received[frame, host]))  # of this frame and those before


@given(cases())
def test_the_work_on_a_frame_is_that_of_its_messages(case):
    """One service per core and frame: its fixed part and all its messages' work, at least 1 ps."""
    times, _ = simulated(engine_compiled, case)
    copies, flow = case.mapping.copies, dataflow(case.mapping)
    for frame in range(times.frames):
        work = case.mapping.frame_ps.copy()
        for neuron in case.activity.firing(frame).tolist():
            own = slice(copies.indptr[neuron], copies.indptr[neuron + 1])
            np.add.at(work, copies.core[own], copies.service_ps[own])
        for core in flow.used:
            spent = times.worked_ps[frame, core] - times.begin_ps[frame, core]
            assert spent == (max(1, work[core]) if core != case.machine.cores - 1 else 0)


@given(cases())
def test_one_frame_in_flight_is_serial(case):
    """Every frame then takes what it takes alone, and the next one begins when it has left."""
    serial = Case(_with(case, in_flight=1), case.machine, case.activity)
    times, _ = simulated(engine_compiled, serial)
    alone = []
    for frame in range(times.frames):
        single = Case(case.mapping, case.machine, frames_of([case.activity.firing(frame)]))
        alone.append(int(simulated(engine_compiled, single)[0].left_ps[0]))
    np.testing.assert_array_equal(times.left_ps, np.cumsum(alone))
    np.testing.assert_array_equal(times.duration_ps, alone)


def _with(case: Case, **values):
    return type(case.mapping)(**{**vars(case.mapping), **values})


UPDATE_PS, SPIKE_PS, SEND_PS, LINK_PS, WIRE_PS, RECEIVE_PS = 3, 5, 7, 11, 13, 17


def chain(
    work_ps: list[int], *, frames: int, buffers: int = 2, in_flight: int = 16, outputs: int = 4, firing: int = 3
) -> Case:
    """Cores in a row, each one hop from the next; each sends one message per frame, after `firing` silent outputs."""
    cores = len(work_ps)
    chip = small_chip(cores, 1, send=SEND_PS, links=(LINK_PS, WIRE_PS), places=4)
    cells = [Cell(core, firing, {core + 1: 1} if core + 1 < cores else {}) for core in range(cores)]
    fixed = {core: time - (core > 0) for core, time in enumerate(work_ps)}  # a message makes 1 ps of the work
    mapping = sequence(
        chip,
        cells,
        buffers=buffers,
        in_flight=in_flight,
        frame_ps=fixed,
        allocated=dict.fromkeys(range(cores), outputs),
    )
    return Case(mapping, frame_machine(chip, RECEIVE_PS, UPDATE_PS, SPIKE_PS), frames_of([range(cores)] * frames))


TRANSPORT_PS = SEND_PS + 3 * (LINK_PS + WIRE_PS) + RECEIVE_PS  # core to router, one hop, router to core


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("work_ps", [[100], [100, 30], [20, 1, 300, 40]])
@pytest.mark.parametrize(("outputs", "firing"), [(4, 3), (100, 3)])
def test_one_frame_alone_takes_the_sum_of_its_parts(engine, work_ps, outputs, firing):
    """Work and sweep of every core, and the way of the last message, unless the rest of the sweep takes longer."""
    times, _ = simulated(engine, chain(work_ps, frames=1, outputs=outputs, firing=firing))
    up_to_spike, rest = (firing + 1) * UPDATE_PS + SPIKE_PS, (outputs - firing - 1) * UPDATE_PS
    between = up_to_spike + max(TRANSPORT_PS, rest)
    assert times.duration_ps.tolist() == [sum(work_ps) + (len(work_ps) - 1) * between + up_to_spike + rest]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("buffers", [1, 2])
@pytest.mark.parametrize(
    "work_ps", [[300], [500, 20, 30], [20, 500, 30], [20, 30, 500], [200, 200, 200], [30, 500, 480], [400, 30, 390]]
)
def test_the_rate_of_a_chain_is_that_of_its_slowest_core_or_pair(engine, buffers, work_ps):
    """Steady state: the slowest core's work and sweep, or a cycle of neighbours over the buffers between them.

    A core begins frame f + buffers when the next one has finished f, which began when f had arrived there.
    """
    times, _ = simulated(engine, chain(work_ps, frames=16, buffers=buffers), record=False)
    own = [work + 4 * UPDATE_PS + SPIKE_PS for work in work_ps]
    pairs = [(a + TRANSPORT_PS + b) / buffers for a, b in pairwise(own)]
    assert (times.left_ps[-1] - times.left_ps[-3]) / 2 == max(*own, *pairs, 0)


@pytest.mark.parametrize("in_flight", [1, 2, 3])
def test_frames_in_flight_limit_the_rate(in_flight):
    """So many frames leave in the time that one takes, as long as no core is the limit."""
    case = chain([50] * 8, frames=20, in_flight=in_flight)
    times, _ = simulated(engine_compiled, case)
    alone = simulated(engine_compiled, chain([50] * 8, frames=1))[0].duration_ps[0]
    assert times.left_ps[-1] - times.left_ps[-1 - in_flight] == alone
    assert all(times.left_ps[f] - times.began_ps[f] == alone for f in range(20))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_empty_frame_passes_without_messages(engine):
    """Cores still spend their fixed work and sweep all outputs; the end of the frame itself needs no message."""
    case = chain([100, 40, 10], frames=1)
    times, _ = simulated(engine, Case(case.mapping, case.machine, frames_of([[]])))
    assert times.left_ps.tolist() == [(100 + 39 + 9) + 3 * 4 * UPDATE_PS]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_host_sends_a_frame_in_as_room_allows(engine):
    """Input of the host needs no work; its messages leave one by one, and the next frame waits for a buffer."""
    chip = small_chip(1, 1, send=SEND_PS, links=(LINK_PS, WIRE_PS), places=4)
    host = chip.cores
    mapping = sequence(chip, [Cell(host, 0, {0: 100}), Cell(host, 1, {0: 100})], buffers=1, allocated={0: 2})
    case = Case(mapping, frame_machine(chip, RECEIVE_PS, UPDATE_PS, SPIKE_PS), frames_of([[0, 1], [0, 1]]))
    times, _ = simulated(engine, case)
    # The first spike takes 1 ps, then its copy is sent, then the second's; links and receive take turns behind it.
    arrived = 1 + SEND_PS + 2 * (LINK_PS + WIRE_PS) + RECEIVE_PS + max(SEND_PS, LINK_PS, RECEIVE_PS)
    period = arrived + 200 + 2 * UPDATE_PS
    assert times.input_ps[:, 0].tolist() == [arrived, period + arrived]
    assert times.begin_ps[:, host].tolist() == [0, period]
    assert times.left_ps.tolist() == [period, 2 * period]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_frame_has_left_when_its_results_have_arrived(engine):
    """Results sent to the host take their way after the last core has finished."""
    chip = small_chip(1, 1, send=SEND_PS, links=(LINK_PS, WIRE_PS), places=4)
    mapping = sequence(chip, [Cell(0, 0, {chip.cores: 1})], frame_ps={0: 100}, in_flight=1)
    case = Case(mapping, frame_machine(chip, RECEIVE_PS, UPDATE_PS, SPIKE_PS), frames_of([[0], [0]]))
    times, _ = simulated(engine, case)
    alone = 100 + UPDATE_PS + SPIKE_PS + SEND_PS + 2 * (LINK_PS + WIRE_PS) + RECEIVE_PS
    assert times.left_ps.tolist() == [alone, 2 * alone]


@given(st.integers(1, 4), st.integers(1, 3))
def test_a_single_buffer_is_never_faster(frames, layers):
    """On a chain without contention: with one buffer neighbours take turns, with two they overlap."""
    single, double = (
        simulated(engine_compiled, chain([100] * layers, frames=frames, buffers=b))[0].left_ps[-1] for b in (1, 2)
    )
    assert single >= double
    assert (single > double) == (frames > 1 and layers > 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_cores_in_a_circle_are_refused(engine):
    chip = small_chip(2, 1)
    mapping = sequence(chip, [Cell(0, 0, {1: 1}), Cell(1, 0, {0: 1})])
    with pytest.raises(SimulationError, match=r"core \d -> core \d -> core \d send to each other in a circle.*without"):
        engine.Engine(mapping, frame_machine(chip)).start(frames_of([[0]]))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_stops_with_frames_left_says_so(engine):
    """If no frame may be in flight, none ever begins."""
    case = chain([10, 10], frames=2, in_flight=0)
    with pytest.raises(SimulationError, match="ended after 0 of 2 messages, with nothing blocked"):
        list(engine.Engine(case.mapping, case.machine).start(case.activity))


def test_a_run_that_outgrows_the_clock_is_refused():
    """The key of the compiled engine has no room for the time of so many frames; the error says how many fit."""
    case = chain([10**17, 10**17], frames=20)
    with pytest.raises(
        SimulationError, match=r"20 frames of 'by hand' may take .* simulate at most \d+ frames, or use"
    ):
        engine_compiled.Engine(case.mapping, case.machine).start(case.activity)
