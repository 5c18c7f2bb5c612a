"""Traces for Perfetto: the format's schema, and what a trace must say of a run, on random machines."""

import json
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace

from nsim.errors import OutputError, held_interrupts
from nsim.machine.compiled import timesteps as engine_compiled
from nsim.machine.simpy import timesteps as engine_simpy
from nsim.machine.trace import file as trace_events
from nsim.machine.trace.mesh import PerfettoTrace
from nsim.machine.trace.packet_kernels import put_slices, room
from nsim.machine.trace.table import open_traces, parse_trace
from nsim.mapping.network import map_network
from nsim.network.builtin import build
from nsim.result.run import simulate
from tests.generators.commands import SMALL, nsim, refused
from tests.generators.machines import mapped_networks, shipped, steps
from tests.generators.perfetto import FULL, few, station_tracks
from tests.generators.trace_files import TraceFile

STAGES = ("neurons", "send", "synapses")


def written(path, step, engine, firings):
    """A trace of these timesteps on a random machine, as this engine records them."""
    trace = PerfettoTrace(path, step.mapping, step.machine)
    for firing in firings:
        trace.write(0, engine.Engine(step.mapping, step.machine).record(firing)[1])
    trace.close()
    return path


@st.composite
def short_runs(draw):
    """A random machine, and the neurons that fire in a few timesteps."""
    step = draw(steps())
    rng = np.random.default_rng(draw(st.integers(0, 99), label="firing"))
    return step, [step.firing, *(np.flatnonzero(rng.random(step.mapping.core.size) < 0.4) for _ in range(2))]


@few
@given(short_runs())
def test_what_a_trace_says_is_what_the_engine_measured(tmp_path_factory, run):
    """Busy and blocked times by station, the total time, one flow a message on the message's own way.

    The route of every message is that of the machine, from the sweep on; it is served nowhere before it can be there.
    """
    step, firings = run
    mapping, machine = step.mapping, step.machine
    folder = tmp_path_factory.mktemp("trace")
    trace = TraceFile(written(folder / "trace.pftrace", step, engine_compiled, firings))
    measured = [engine_simpy.run_timestep(mapping, machine, firing) for firing in firings]
    names = station_tracks(machine)
    for category, values in (("service", "busy_ps"), ("blocked", "blocked_ps")):
        expected = sum(getattr(times, values) for times in measured)
        assert trace.time_ps(category) == {names[s]: expected[s] for s in np.flatnonzero(expected).tolist()}
    trace.assert_one_after_another()
    total_ps = sum(times.duration_ps + mapping.barrier_ps + mapping.management_ps for times in measured)
    assert max(s.end_ps for s in trace.slices) == total_ps
    assert trace.time_ps("timestep")["timesteps/timesteps"] == total_ps
    for name in ("barrier", "management"):
        assert [s.name for s in trace.slices if s.track == f"timesteps/{name}"] == [name] * 3

    copies, sent = mapping.copies, Counter()
    for firing in firings:
        for neuron in firing.tolist():
            rows = slice(copies.indptr[neuron], copies.indptr[neuron + 1])
            sent.update((neuron, target) for target in copies.core[rows].tolist())
    wire = dict(zip(names, machine.wire_ps.tolist(), strict=True))
    free = {(s.track, s.start_ps): s.end_ps for s in trace.slices if s.category == "blocked"}
    for number, passed in trace.flows.items():
        neuron, target = passed[1].arguments["neuron"], passed[1].arguments["target_core"]
        core = int(mapping.core[neuron])
        route = (machine.number("neurons", core), machine.number("send", core), *machine.route(core, target))
        assert [s.track for s in passed] == [names[station] for station in route]
        assert passed[0].arguments == {"neuron": neuron}
        assert [s.arguments["message"] for s in passed[1:]] == [number] * (len(passed) - 1)
        for before, after in pairwise(passed):
            left_ps = free.get((before.track, before.end_ps), before.end_ps)
            assert after.start_ps - left_ps - wire[before.track] == after.arguments["waited_ps"] >= 0
        sent.subtract([(neuron, target)])
    assert not +sent and not -sent, "a flow for every message, and none beside"


@few
@given(short_runs())
def test_both_engines_write_the_same_bytes(tmp_path_factory, run):
    folder = tmp_path_factory.mktemp("trace")
    paths = [
        written(folder / f"{engine.__name__}.pftrace.gz", run[0], engine, run[1])
        for engine in (engine_compiled, engine_simpy)
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_long_traces_are_written_piece_by_piece(tmp_path, monkeypatch):
    """Where the pieces end makes no difference: flows go on from one to the next."""
    for at_once in (10**6, 3):
        monkeypatch.setattr(trace_events, "AT_ONCE", at_once)
        simulate(small(), activity=0.5, timesteps=2, trace={"perfetto": tmp_path / f"{at_once}.pftrace"})
    pieces, whole = (tmp_path / f"{at_once}.pftrace" for at_once in (3, 10**6))
    assert pieces.read_bytes() == whole.read_bytes()
    assert any(len(passed) > 3 for passed in TraceFile(pieces).flows.values())


@few
@given(short_runs())
def test_perfetto_loses_no_slice_and_none_overlap(tmp_path_factory, run):
    """A slice for every service in the log, timestep behind timestep, and one for every time a station was blocked.

    That none vanishes, overlaps or stays open is checked whenever a trace is read.
    """
    step, firings = run
    path = written(tmp_path_factory.mktemp("trace") / "trace.pftrace", step, engine_compiled, firings)
    names, logged, now_ps = station_tracks(step.machine), [], 0
    engine = engine_compiled.Engine(step.mapping, step.machine)
    for firing in firings:
        times, log = engine.record(firing)
        for station, start, end, left in log[["station", "start_ps", "end_ps", "left_ps"]].tolist():
            logged.append((names[station], now_ps + start, now_ps + end))
            logged.extend([(names[station], now_ps + end, now_ps + left)] if left > end else [])
        now_ps += int(times.duration_ps.sum()) + step.mapping.barrier_ps + step.mapping.management_ps
    read = [(s.track, s.start_ps, s.end_ps) for s in TraceFile(path).slices if s.category != "timestep"]
    assert sorted(read) == sorted(logged)


NUMBERS = st.integers(0, 2**63 - 1)


@settings(max_examples=100)
@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=4), st.integers(0, 3))
def test_numbers_of_any_length_are_read_back(rows, passing):
    """By Perfetto's own package; a packet never takes more than there is room for."""
    columns = np.array(rows, np.int64)
    names = np.append(columns[:, :2], columns[:, 2:3], axis=1)
    slices = np.concatenate((names, columns[:, 3:], columns[:, 3:]), axis=1)
    flows = np.repeat(columns[:, 0], passing)
    begin, last = passing * np.arange(len(rows) + 1), flows % 2 == 0
    out = np.full(room(len(rows), 2, flows.size), 255, np.uint8)
    at = put_slices(out, slices, np.array([2**40, 3]), columns[:, 1:3].copy(), 7, begin[:2], begin, flows, last)
    packets = Trace.FromString(out[at:].tobytes()).packet
    assert len(packets) == 2 * len(rows)
    for (track, name, start, end), first, second in zip(rows, packets[::2], packets[1::2], strict=True):
        event = first.track_event
        assert (event.track_uuid, event.name_iid, first.timestamp) == (track, name, start)
        assert (second.track_event.track_uuid, second.timestamp) == (track, end)
        assert [(each.name_iid, each.int_value) for each in event.debug_annotations] == [(2**40, name), (3, start)]
        assert [*event.flow_ids, *event.terminating_flow_ids] == [track] * passing
        assert bool(event.terminating_flow_ids) == (passing > 0 and track % 2 == 0)


@settings(max_examples=10)
@given(mapped_networks(), st.integers(0, 99))
def test_synops_and_words_of_messages_are_those_of_the_tables(tmp_path_factory, mapping, seed):
    path = tmp_path_factory.mktemp("trace") / "trace.pftrace"
    result = simulate(mapping, activity=0.05, timesteps=2, samples=2, seed=seed, trace={"perfetto": path})
    read = TraceFile(path)
    for name in ("synops", "words"):
        done = Counter()
        for each in read.slices:
            if name in each.arguments:
                done[int(each.track.split("/")[0].split()[1])] += each.arguments[name]
        expected = dict(zip(result.table("cores")["core"], result.table("cores")[name], strict=True))
        assert {core: done[core] for core in expected} == expected
        assert set(done) <= set(expected)
    spans = [s.arguments for s in read.slices if s.track == "timesteps/timesteps"]
    assert spans == [{"sample": sample, "timestep": step} for sample in (0, 1) for step in (1, 2)]
    assert max(s.end_ps for s in read.slices) == result.time_ps


def test_the_command_writes_what_the_tables_say(tmp_path):
    """Both engines the same file; services last as long as the tables say; both traces at once."""
    for engine in ("compiled", "simpy"):
        options = ("--samples", 2, "--trace", "messages,perfetto", "--engine", engine)
        assert nsim(*SMALL, *options, "--out", tmp_path / engine).returncode == 0
    path = tmp_path / "compiled" / "trace.pftrace.gz"
    assert path.read_bytes() == (tmp_path / "simpy" / "trace.pftrace.gz").read_bytes()
    trace, summary = TraceFile(path), json.loads((path.parent / "summary.json").read_text())
    assert trace.title == "mlp on loihi2"
    assert max(s.end_ps for s in trace.slices) == summary["time_ps"]
    assert len(trace.flows) == summary["messages"]
    busy, blocked = (
        {track.split("/")[0].split(" (")[0] + track[track.index("/") :]: ps for track, ps in trace.time_ps(c).items()}
        for c in ("service", "blocked")
    )
    for row in pd.read_csv(path.parent / "cores.csv").to_dict("records"):
        for stage in STAGES:
            assert busy.get(f"core {row['core']}/{stage}", 0) == row[f"{stage}_busy_ps"]
            assert blocked.get(f"core {row['core']}/{stage}", 0) == row[f"{stage}_blocked_ps"]
    links = pd.read_csv(path.parent / "links.csv")
    assert sum(ps for track, ps in busy.items() if "->" in track) == links["busy_ps"].sum()
    assert len(pd.read_parquet(path.parent / "messages.parquet")) == sum(s.category == "service" for s in trace.slices)


def test_traces_that_do_not_exist_are_refused(tmp_path):
    assert refused(*SMALL, "--trace", "messages,systrace", "--out", tmp_path / "out").endswith(
        "no trace 'systrace': there is messages and perfetto"
    )
    assert "asked for twice" in refused(*SMALL, "--trace", "perfetto,perfetto", "--out", tmp_path / "out")
    assert "add --out" in refused(*SMALL, "--trace", "perfetto")
    assert not list(tmp_path.iterdir())
    assert parse_trace(None, None) == ()


@pytest.mark.parametrize(
    ("network", "chip", "trace"),
    [("random:p1=0.9", "mosaic", "perfetto"), ("random:p1=0.9", "mosaic", "messages"), ("cnn", "speck", "messages")],
)
def test_traces_that_a_chip_does_not_have_are_refused(tmp_path, network, chip, trace):
    line = refused("run", network, "--chip", chip, "--trace", trace, "--out", tmp_path / "out")
    assert f"trace {trace!r} is not for chip {chip!r}" in line
    assert not list(tmp_path.iterdir())


@FULL
@pytest.mark.parametrize("name", ["trace.pftrace", "trace.pftrace.gz"])
def test_a_full_disk_is_said(tmp_path, name):
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(OutputError, match=f"cannot write trace {name}: No space left"):
        simulate(small(), timesteps=2, trace={"perfetto": tmp_path / name})


def test_a_trace_that_cannot_be_opened_is_said(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write trace trace\.pftrace\.gz: No such file"):
        open_traces({"perfetto": tmp_path / "missing" / "trace.pftrace.gz"}, small())


def small():
    return map_network(build("mlp", width=8, depth=2, inputs=8), shipped("loihi2"))


@pytest.mark.parametrize("when", ["between timesteps", "while one is written"])
def test_ctrl_c_keeps_the_finished_timesteps(tmp_path, monkeypatch, when):
    """The file is whole, and holds as many timesteps as the result."""
    path, calls = tmp_path / "trace.pftrace.gz", []

    def interrupt(done, _):
        if done == 3 and when == "between timesteps":
            signal.raise_signal(signal.SIGINT)

    real = trace_events.EventFile._put

    def put(file, data):
        real(file, data[: len(data) // 2])
        calls.append(data)
        if len(calls) == 8 and when == "while one is written":
            signal.raise_signal(signal.SIGINT)
        real(file, data[len(data) // 2 :])

    monkeypatch.setattr(trace_events.EventFile, "_put", put)
    result = simulate(small(), timesteps=50, trace={"perfetto": path}, progress=interrupt)
    read = TraceFile(path)
    assert 0 < result.spans < 50
    assert len([s for s in read.slices if s.track == "timesteps/timesteps"]) == result.spans
    assert max(s.end_ps for s in read.slices) == result.time_ps
    assert len(read.flows) == result.summary()["messages"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupts_are_held_back_until_the_block_has_ended():
    done = []
    with pytest.raises(KeyboardInterrupt), held_interrupts():
        signal.raise_signal(signal.SIGINT)
        done.append("after it")
    assert done == ["after it"]
    with held_interrupts():
        done.append("without one")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupts_that_are_switched_off_stay_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_interrupts():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_in_another_thread_is_traced_like_any_other(tmp_path):
    """Only the main thread can hold Ctrl-C back, and only it hears it."""
    path = tmp_path / "trace.pftrace"
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(simulate, small(), timesteps=2, trace={"perfetto": path}).result()
    assert max(s.end_ps for s in TraceFile(path).slices) == result.time_ps
