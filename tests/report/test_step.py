"""`nsim step`: stepped through, a run is the run of both engines, and it stops where it is told to."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nsim import load_chip, load_network, map_network, simulate
from nsim.errors import InputError
from nsim.machine.compiled import frames as frames_compiled
from nsim.machine.compiled import ticks as ticks_compiled
from nsim.machine.frames import build_frame_machine
from nsim.machine.stations import build_machine
from nsim.machine.ticks import build_lines
from nsim.report.stepping.page import moments
from nsim.report.stepping.session import ENDED, SPAN_ENDED, Session
from nsim.report.stepping.span import spans_of
from nsim.report.stepping.words import chain, states
from nsim.result.run_frames import sent_frames
from nsim.result.run_ticks import own_firing, sent_ticks
from nsim.result.run_timesteps import ENGINES, sent_messages
from tests.generators.commands import nsim, refused, the_line
from tests.generators.mosaic_chips import chip_with
from tests.generators.pages import Page

MLP = "mlp:width=16,depth=2,inputs=16"
STEPS = {"timesteps": 3, "activity": "0.5"}


@pytest.fixture(scope="module")
def mapping():
    """On a chip with queues of one slot, so that stations wait for each other."""
    changes = {"buffers.message_in": 1, "buffers.message_out": 1, "buffers.link": 1}
    return map_network(load_network(MLP), load_chip("loihi2", changes), partition="even:2")


@pytest.fixture
def session(mapping):
    return Session(mapping, spans_of(mapping, None, STEPS))


def logs(mapping):
    """Services of every timestep by the compiled engine, in order of completion."""
    sent = sent_messages(mapping.network, mapping.chip, None, "0.5", 3, None, None, 0)
    engine = ENGINES["compiled"].Engine(mapping, build_machine(mapping.chip), 1, True)
    activity = [chunk for run in sent.runs for chunk in run]
    return [engine.record(chunk.firing(step))[1] for chunk in activity for step in range(chunk.timesteps)]


def test_stepping_serves_what_the_compiled_engine_does(mapping, session):
    for log in logs(mapping):
        found = session.now
        rows = []
        while found.advance():
            rows.append(found.simulation.log[-1][:6])
        assert [row[0] for row in rows] == log["station"].tolist() and [row[5] for row in rows] == log[
            "end_ps"
        ].tolist()
        session._begin()


def test_the_ends_of_timesteps_are_those_of_a_run(mapping, session):
    durations = simulate(mapping, timesteps=3, activity="0.5").table("timesteps")["duration_ps"]
    ends = []
    while not session.ended:
        session.finish_span()
        ends.append(session.last_span_ps)
    assert [end + mapping.barrier_ps + mapping.management_ps for end in ends] == durations.tolist()


def test_it_stops_when_a_neuron_fires_and_nowhere_else(mapping, session):
    """By the activity, which knows no times."""
    sent = sent_messages(mapping.network, mapping.chip, None, "0.5", 3, None, None, 0)
    chunks = [chunk for run in sent.runs for chunk in run]
    firing = [chunk.firing(step) for chunk in chunks for step in range(chunk.timesteps)]
    first = 16  # neurons of the input layer
    expected = [step for step, neurons in enumerate(firing) if first + 3 in neurons]
    session.add("neuron fc0:3")
    stopped = []
    while session.go() != ENDED:
        stopped.append(session.now.span.number)
        assert session.now.fired == [("fc0", 3)]
    assert stopped == expected


def test_full_queues_are_told_with_what_waits_for_them(session):
    session.add("queue full")
    reason = session.go()
    assert reason.startswith("the queue before ")
    station = reason.removeprefix("the queue before ").removesuffix(" is full")
    blocked = [state for state in states(session.now) if state.does == "blocked" and station in state.why]
    assert blocked and "full (1 of 1)" in blocked[0].why
    told = chain(session.now, blocked[0].station)
    assert told[0].startswith(f"{blocked[0].station} blocked") and told[1].startswith(station)


def test_a_queue_that_holds_more_than_it_may():
    changes = {"buffers.message_in": 2, "buffers.message_out": 2, "buffers.link": 2}
    mapping = map_network(load_network(MLP), load_chip("loihi2", changes), partition="even:2")
    session = Session(mapping, spans_of(mapping, None, STEPS))
    session.add("queue over 1")
    station = re.fullmatch(r"the queue before (.+) holds 2, more than 1", session.go())[1]
    assert [(state.queued, state.slots) for state in states(session.now, station)] == [(2, 2)]


def test_a_core_that_sends_more_than_it_may(mapping, session):
    session.add("core 0 sends 4")
    assert session.go() == "core 0 has sent 5 messages, more than 4"
    assert session.now.simulation.served[session.now.simulation.machine.number("send", 0)] == 5


def test_outputs_are_compared_with_a_reference(tmp_path):
    """The last reference value is wrong, and that timestep is named."""
    np.save(tmp_path / "in.npy", np.ones((3, 16), np.int8))
    command = ("step", MLP, "--chip", "loihi2", "--input", "in.npy", "--timesteps", 3, "--commands", "c.txt", "--json")
    network = load_network(MLP)
    outputs = simulate(map_network(network, load_chip("loihi2")), tmp_path / "in.npy", timesteps=3).outputs
    for name, change in (("same", 0), ("other", 1)):
        reference = outputs.copy()
        reference[2, 1] += change
        np.save(tmp_path / f"{name}.npy", reference)
        (tmp_path / "c.txt").write_text(f"break outputs {name}.npy\ncontinue\n")
        said = the_line(nsim(*command, cwd=tmp_path))["commands"][-1]["said"]
        value = reference[2, 1]
        assert said == [
            f"timestep 2: output 1 is {outputs[2, 1]}, and {value} in {name}.npy" if change else "the run has ended"
        ]


def test_an_overloaded_speck_shows_the_queue_that_is_full():
    mapping = map_network(load_network("speck-gesture"), load_chip("speck"))
    spans = spans_of(mapping, "edges:rate=3e6,seconds=0.0004", {})
    session = Session(mapping, spans)
    session.add("queue full core 2 synapses")
    assert "synapses" in session.go()
    assert any(state.does == "blocked" and "synapses" in state.why for state in states(session.now))


FRAMES = {"samples": 3, "activity": "0.0004"}  # some 6,000 services


@pytest.fixture(scope="module")
def in_frames():
    """A mapping on a chip with frames, and what the compiled engine measures on it."""
    mapping = map_network(load_network("cnn"), load_chip("akd1000"))
    (sequence,) = mapping.sequences
    whole = sent_frames(mapping, None, FRAMES["activity"], FRAMES["samples"], 0)
    run = frames_compiled.Engine(sequence, build_frame_machine(mapping.chip)).start(sequence.activity(whole), True)
    assert list(run)[-1] == 3
    return mapping, run.times(), whole


def test_frames_are_stepped_through_as_the_compiled_engine_serves_them(in_frames):
    mapping, times, _ = in_frames
    session = Session(mapping, spans_of(mapping, None, FRAMES))
    stepper = session.now
    while stepper.advance():
        continue
    for place, name in ((0, "station"), (2, "spike"), (3, "origin"), (4, "start_ps"), (5, "end_ps")):
        assert [row[place] for row in stepper.simulation.log] == times.services[name].tolist()


def test_next_is_the_next_frame_that_leaves(in_frames):
    """And a neuron fires as often as the activity says."""
    mapping, times, whole = in_frames
    session = Session(mapping, spans_of(mapping, None, FRAMES))
    for frame, left_ps in enumerate(times.left_ps.tolist()):
        assert session.finish_span().startswith(f"frame {frame} has left the chip")
        assert session.now.now_ps == left_ps
        assert session.where.startswith(f"{frame + 1} of 3 frames done")
    assert session.go() == ENDED
    layer, index = session.now.span.neuron(int(whole.firing(1)[-1]))
    again = Session(mapping, spans_of(mapping, None, FRAMES))
    again.add(f"neuron {layer}:{index}")
    stops = []
    while again.go() != ENDED:
        stops.append(again.now.fired)
    number = int(whole.firing(1)[-1])
    assert len(stops) == sum(number in whole.firing(frame) for frame in range(3)) >= 1


def test_why_a_core_waits_with_its_frame(in_frames):
    """What is told of cores at some moments is what the compiled engine's tables say of then."""
    mapping, times, _ = in_frames
    session = Session(mapping, spans_of(mapping, None, FRAMES))
    told = set()
    while not session.ended:
        session.step(97)
        stepper, now, last_told = session.now, session.now.now_ps, None
        for core in stepper.simulation.flow.used[:-1]:
            number = stepper.simulation.machine.number("synapses", core)
            if number in stepper.serving:
                continue
            why, other = stepper.span.idle(number)
            if found := re.fullmatch(r"core (\d+) has (\d+) buffers? and has not finished frame (\d+)", why):
                full, buffers, frame = map(int, found.groups())
                assert times.finished_ps[frame, full] >= now and times.begin_ps[frame + buffers, core] >= now
                assert times.input_ps[frame + buffers, core] <= now
            elif found := re.fullmatch(r"messages of frame (\d+): \d+ of \d+ have come, core (\d+) .* it", why):
                frame, late = map(int, found.groups())
                assert times.finished_ps[frame, late] >= now and times.input_ps[frame, core] >= now
            elif found := re.fullmatch(r"its sweep of frame (\d+) has not ended", why):
                assert times.worked_ps[int(found[1]), core] <= now <= times.finished_ps[int(found[1]), core]
            else:
                found = re.fullmatch(r"(has begun with all frames|messages of frame (\d+): \d+ of \d+ have come)", why)
                assert found, why
                last = found[2] is None
                assert times.begin_ps[2, core] <= now if last else times.input_ps[int(found[2]), core] >= now
            told.add(why.split()[0])
            last_told = stepper.name(number), other
        if last_told:
            links = chain(stepper, last_told[0])
            assert (last_told[1] is not None or len(links) == 1) and "circle" not in links[-1]
    assert told == {"has", "its", "core", "messages"}


TILES = {"timesteps": 4, "activity": "0.7", "shared_lines": True}
GRID = ("--grid", "2x3", "--neurons-per-tile", 5)
LATENCIES = ("row_read.latency_ps=70", "r1_crossing.latency_ps=3", "r0_crossing.latency_ps=2")
SET = [word for each in LATENCIES for word in ("--set", f"actions.{each}")]


@pytest.fixture(scope="module")
def on_tiles():
    """A mapping with two lines a port, and the neurons that fire in every tick."""
    mapping = map_network("random:p1=0.8,p3=0.4", chip_with(70, 3, 2, lines=2), grid="2x3", neurons_per_tile=5)
    runs, _ = sent_ticks(mapping.network, None, TILES["activity"], TILES["timesteps"], None, None, 0)
    chunks = [chunk for run in runs for chunk in run]
    return mapping, [own_firing(mapping.network, chunk, tick) for chunk in chunks for tick in range(chunk.timesteps)]


def on_session(mapping):
    return Session(mapping, spans_of(mapping, None, TILES))


def test_ticks_are_stepped_through_as_the_compiled_engine_serves_them(on_tiles):
    mapping, firing = on_tiles
    session = on_session(mapping)
    engine = ticks_compiled.Engine(build_lines(mapping, shared=True))
    for tick, neurons in enumerate(firing):
        times = engine.tick(neurons, record=True)
        stepper = session.now
        assert session.finish_span().startswith("the run has" if tick == 3 else "the tick has ended, after ")
        assert session.last_span_ps == times.duration_ps
        for place, name in ((0, "station"), (2, "spike"), (4, "start_ps"), (5, "end_ps")):
            assert [row[place] for row in stepper.simulation.log] == times.services[name].tolist()


def test_a_neuron_of_a_tile_fires_as_its_tick_begins(on_tiles):
    mapping, firing = on_tiles
    session = on_session(mapping)
    session.add("neuron neurons:7")
    stops = []
    while session.go() != ENDED:
        stops.append((session.now.span.number, session.now.now_ps))
    assert stops == [(tick, 0) for tick, neurons in enumerate(firing) if 7 in neurons] and 0 < len(stops) < 4


def test_a_tile_that_sends_more_than_it_may(on_tiles):
    """Tile 2 holds neurons 10 to 14."""
    mapping, firing = on_tiles
    session = on_session(mapping)
    session.add("tile 2 sends 3")
    stops = []
    while (reason := session.go()) != ENDED:
        stops.append((session.now.span.number, int(re.fullmatch(r"tile 2 sends (\d) spikes, more than 3", reason)[1])))
    sent = [int(((neurons >= 10) & (neurons < 15)).sum()) for neurons in firing]
    assert stops == [(tick, count) for tick, count in enumerate(sent) if count > 3] and stops


def test_a_port_that_passes_more_than_it_may_and_its_queue(on_tiles):
    """A port passes as many spikes as firing neurons have it in their trees; what is shown there adds up to them."""
    mapping, firing = on_tiles
    branches, fabric = build_lines(mapping, shared=True).branches, mapping.fabric
    owner = np.repeat(np.arange(branches.roots.size), np.diff(branches.indptr))
    used = branches.branch["port"][np.isin(owner, firing[0])]
    busiest = int(np.bincount(used[used < 4 * fabric.cells]).argmax())
    passed = int((used == busiest).sum())
    port = f"{fabric.cell_name(busiest // 4)} {'NESW'[busiest % 4]}"
    for limit in (passed - 1, passed):
        session = on_session(mapping)
        session.add(f"port {port} passes {limit}")
        reason = session.go()
        assert (session.now.span.number == 0) == (limit < passed) or reason == ENDED
    session = on_session(mapping)
    session.add(f"queue over 0 {port}")
    told = re.fullmatch(rf"the queue before ({re.escape(port)} \d) holds 1, more than 0", session.go())
    state = next(each for each in states(session.now, port) if each.station == told[1])
    assert (state.does, state.queued, state.slots) == ("serves", 1, None) and state.message.startswith("neurons:")


def test_tiles_at_the_prompt(tmp_path):
    (tmp_path / "c.txt").write_text("continue\nwhere\n")
    command = ("step", "random:p1=0.9", "--chip", "mosaic", *GRID, "--activity", 0.5, "--timesteps", 2)
    said = the_line(nsim(*command, *SET, "--commands", "c.txt", "--json", cwd=tmp_path))["commands"]
    assert said[0]["said"] == ["the run has ended"] and said[1]["said"][0].startswith("tick 1, ")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("queue full", "have no end"),
        ("core 3 sends 2", "there are neuron LAYER"),
        ("tile 6 sends 2", "has 0 to 5"),
        ("port R0(9,9) E passes 2", "no tile 'R0(9,9)'"),
        ("port R0(0,0) N passes 2", "has no line"),
        ("port R0(0,0) X passes 2", "there are neuron LAYER"),
    ],
)
def test_bad_breakpoints_of_tiles(on_tiles, line, says):
    with pytest.raises(InputError, match=re.escape(says)):
        on_session(on_tiles[0]).add(line)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("jump", "no command 'jump'"),
        ("step 0", "at least 1"),
        ("step many", "give a number"),
        ("break", "there are neuron LAYER"),
        ("break neuron fc9", "did you mean"),
        ("break neuron fc0:99", "give 0 to 15"),
        ("break core 999 sends 1", "0 to 127"),
        ("break time soon", "2.5us"),
        ("break time 1.2.3us", "2.5us"),
        ("break outputs no.npy", "no.npy does not exist"),
        ("delete 1", "there is no breakpoint"),
        ("break queue over many", "there are neuron LAYER"),
        ("show core 999", "no station 'core 999'"),
        ("why core", "no station 'core'"),
    ],
)
def test_bad_commands_end_a_script_with_their_line(line, says, tmp_path):
    (tmp_path / "c.txt").write_text(f"# comment\nwhere\n{line}\n")
    done = nsim("step", MLP, "--chip", "loihi2", "--timesteps", 1, "--commands", "c.txt", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and says in done.stderr
    assert done.stderr.startswith("error: line 3 of the commands")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("mlp", "--chip", "loihi2", "--commands", "no.txt"), "cannot read commands no.txt"),
        (("random:p1=0.9", "--chip", "mosaic", "--commands", "-"), "give values of your own by --set"),
        (("mlp", "--chip", "loihi2", "--core-options", "x", "--commands", "-"), "is not for chip"),
    ],
)
def test_what_cannot_be_stepped_is_refused(words, says, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin.read", lambda: "", raising=False)
    assert says in refused("step", *words, cwd=tmp_path)


def test_outputs_of_frames_are_not_compared_step_by_step(tmp_path):
    (tmp_path / "c.txt").write_text("break outputs same.npy\n")
    done = nsim("step", "cnn", "--chip", "akd1000", "--samples", 1, "--commands", tmp_path / "c.txt")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "outputs are compared timestep by timestep" in done.stderr


def test_a_page_tells_what_stepping_tells(mapping):
    """Changes put together are the states of another session, service by service, over the end of a timestep."""
    other = Session(mapping, spans_of(mapping, None, STEPS))
    recorded = Session(mapping, spans_of(mapping, None, STEPS))
    other.add("queue full")
    recorded.add("queue full")
    found, held, reason, stops = moments(recorded, 10_000), {}, "", 0
    assert recorded.ended and {each["where"].split(",")[0] for each in found} == {f"timestep {k}" for k in range(3)}
    for each in found:
        held |= each["changed"]
        assert [held[key] for key in sorted(held) if held[key]] == [state._asdict() for state in states(other.now)]
        assert (each["now_ps"], each["said"]) == (other.now.now_ps, other.now.last())
        assert each["stop"] == ("" if reason == SPAN_ENDED else reason)
        stops += "full" in each["stop"]
        reason = other.advance()
    assert stops > 3


def test_the_command_writes_a_page_of_the_next_services(tmp_path):
    words = ("step", MLP, "--chip", "loihi2", "--timesteps", 2, "--activity", 0.5, "--commands", "steps.txt")
    (tmp_path / "steps.txt").write_text("step 5\npage steps.html 30\nwhere\n")
    done = nsim(*words, cwd=tmp_path)
    assert done.returncode == 0 and "steps.html: 30 services" in done.stdout
    page = Page((tmp_path / "steps.html").read_text())
    assert not page.loads and len(page.json["moments"]) == 31
    first = page.json["moments"][0]
    assert first["now_ps"] <= page.json["moments"][-1]["now_ps"] and first["changed"]
    (tmp_path / "mine.html").write_text("mine")
    for line, says in (
        ("page", "give a .html file"),
        ("page steps.html 0", "1 to 5,000"),
        ("page steps.html 5001", "1 to 5,000"),
        ("page steps.txt", "end its name in .html"),
        ("page no/steps.html", "does not exist"),
        ("page mine.html", "mine.html"),
    ):
        (tmp_path / "steps.txt").write_text(line)
        done = nsim(*words, cwd=tmp_path)
        assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1
    assert (tmp_path / "mine.html").read_text() == "mine"
