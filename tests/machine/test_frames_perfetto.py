"""Traces of frames for Perfetto: what they must say of a run, on random machines."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from nsim.chip.file import load_chip
from nsim.errors import SimulationError
from nsim.machine.compiled import frames as engine_compiled
from nsim.machine.simpy import frames as engine_simpy
from nsim.machine.trace.frames import FrameTrace, open_frame_trace
from nsim.mapping.network import map_network
from nsim.network.builtin import build
from nsim.result.run_frames import simulate_frames
from tests.generators.commands import nsim
from tests.generators.frame_machines import cases
from tests.generators.perfetto import few, station_tracks
from tests.generators.trace_files import TraceFile


def tracks_of(machine):
    """The name of every station's track: those of a chip with timesteps, with receive before the synapses."""
    *names, _ = station_tracks(machine), None
    owners = [*(f"core {core}" for core in range(machine.chip.cores)), "host"]
    own = names[0][: -machine.cores]
    return own + [f"{owner}/{kind}" for kind in ("receive", "synapses") for owner in owners]


def written(path, case, engine):
    """A trace of these frames, as this engine records them; and their times."""
    run = engine.Engine(case.mapping, case.machine).start(case.activity, record=True)
    for _ in run:
        pass
    trace = FrameTrace(path, case.mapping, case.machine)
    trace.write(run.times())
    return run.times()


@few
@given(cases())
def test_what_a_trace_says_is_what_the_engine_measured(tmp_path_factory, case):
    """One flow a message on its own way, busy and blocked times by station, and every frame as a span."""
    path = tmp_path_factory.mktemp("trace") / "trace.pftrace"
    times = written(path, case, engine_compiled)
    reference = engine_simpy.Engine(case.mapping, case.machine).start(case.activity)
    list(reference)
    trace, names = TraceFile(path), tracks_of(case.machine)
    for category, values in (("service", reference.busy_ps), ("blocked", reference.blocked_ps)):
        assert trace.time_ps(category) == {names[s]: values[s] for s in np.flatnonzero(values).tolist()}
    trace.assert_one_after_another()
    spans = [trace.spans["frames/frames", f"frame {frame}"] for frame in range(case.activity.timesteps)]
    assert spans == list(zip(times.began_ps.tolist(), times.left_ps.tolist(), strict=True))
    assert max([s.end_ps for s in trace.slices], default=0) <= times.left_ps[-1]

    copies, sent = case.mapping.copies, Counter()
    for frame in range(case.activity.timesteps):
        for neuron in case.activity.firing(frame).tolist():
            rows = slice(copies.indptr[neuron], copies.indptr[neuron + 1])
            sent.update((frame, neuron, target) for target in copies.core[rows].tolist())
    for passed in trace.flows.values():
        frame, neuron, target = (passed[1].arguments[name] for name in ("frame", "neuron", "target_core"))
        machine, core = case.machine, int(case.mapping.core[neuron])
        route = (machine.number("neurons", core), machine.number("send", core), *machine.route(core, target))
        assert [s.track for s in passed] == [names[station] for station in route]
        assert {s.arguments["frame"] for s in passed} == {frame}
        assert all(before.end_ps <= after.start_ps for before, after in pairwise(passed))
        sent.subtract([(frame, neuron, target)])
    assert not +sent and not -sent, "a flow for every message, and none beside"


@settings(few, max_examples=10)
@given(cases())
def test_both_engines_write_the_same_bytes(tmp_path_factory, case):
    folder = tmp_path_factory.mktemp("trace")
    for engine in (engine_compiled, engine_simpy):
        written(folder / f"{engine.__name__}.pftrace.gz", case, engine)
    assert len({path.read_bytes() for path in folder.iterdir()}) == 1


def test_the_command_writes_what_the_tables_say(tmp_path):
    out = tmp_path / "out"
    arguments = ("--chip", "akd1000", "--samples", 2, "--activity", 0.002, "--trace", "perfetto", "--out", out)
    done = nsim("run", "cnn", *arguments)
    assert done.returncode == 0, done.stderr
    trace, cores = TraceFile(out / "trace.pftrace.gz"), pd.read_csv(out / "cores.csv")
    busy = {track.split(" (")[0] + track[track.index("/") :]: ps for track, ps in trace.time_ps("service").items()}
    for column, stage in (("work", "synapses"), ("sweep", "neurons"), ("receive", "receive"), ("send", "send")):
        for core, time_ps in zip(cores["core"], cores[f"{column}_ps"], strict=True):
            assert busy.get(f"core {core}/{stage}", 0) == time_ps
    assert len(trace.flows) == pd.read_csv(out / "frames.csv")["messages"].sum()
    assert max(s.end_ps for s in trace.slices) == pd.read_csv(out / "frames.csv")["left_ps"].max()
    names = {names[-1] for names in trace.tracks.values() if names}
    assert "frames" in names and any(name.startswith("(") for name in names)


def test_several_hardware_sequences_are_refused(tmp_path):
    """Each has a clock of its own, and stations on other cores."""
    mapping = map_network(build("cnn"), load_chip("akd1000"))
    twice = replace(mapping, sequences=mapping.sequences * 2)
    with pytest.raises(SimulationError, match="one clock, but 'cnn' takes 2 hardware sequences on chip 'akd1000'"):
        open_frame_trace(tmp_path / "trace.pftrace.gz", twice)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_keeps_the_finished_frames(tmp_path):
    """The file holds the services of the frames that have left, and of no others."""

    def interrupt(done, _):
        if done == 2:
            raise KeyboardInterrupt

    mapping, path = map_network(build("cnn"), load_chip("akd1000")), tmp_path / "trace.pftrace.gz"
    result = simulate_frames(mapping, activity=0.002, samples=5, progress=interrupt, trace={"perfetto": path})
    trace = TraceFile(path)
    assert result.spans == 2
    assert set(trace.spans) == {("frames/frames", "frame 0"), ("frames/frames", "frame 1")}
    assert {s.arguments["frame"] for s in trace.slices if s.category == "service"} == {0, 1}
    assert max(s.end_ps for s in trace.slices if s.category == "service") == result.time_ps
