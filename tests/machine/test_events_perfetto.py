"""Traces of streams for Perfetto: what they must say of a run, on random machines."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given

from nsim.errors import OutputError
from nsim.machine.compiled import events as engine_compiled
from nsim.machine.simpy import events as engine_simpy
from nsim.machine.trace.events import StreamTrace
from nsim.network.inputs import EventStream
from nsim.result.events import StreamResult
from tests.generators.commands import nsim
from tests.generators.perfetto import FULL, few
from tests.generators.streams import cases, random_case
from tests.generators.trace_files import TraceFile

MOST_SERVICES = 3_000  # of a case that is written


def result_of(case, engine):
    """A run of this engine that recorded its services."""
    times = engine.run_stream(case.machine, case.events, record=True)
    events = np.arange(case.events.t_ps.size)
    stream = EventStream(case.events.t_ps, np.zeros_like(case.events.t_ps), 1)
    return StreamResult(case.machine, "", 0, case.events, events, np.ones_like(events), stream, times)


def station_tracks(machine):
    """The name of every station's track, written down a second time."""
    by_core, cores = machine.mapping.by_core, range(machine.drops.size)
    owners = [f"core {core} ({by_core[core].name})" if core in by_core else f"core {core}" for core in cores]
    ends = [f"ends of the chip/{name}" for name in ("slow clock", "sensor", "output")]
    own = {kind: [f"{owner}/{kind}" for owner in owners] for kind in ("send", "link", "synapses")}
    return [*ends[:2], *own["send"], *own["link"], ends[2], *own["synapses"]]


@few
@given(cases())
def test_what_a_trace_says_is_what_the_engine_measured(tmp_path_factory, case):
    """Busy and blocked times by station; a flow for every copy of an event that reached a core or the way out."""
    result = result_of(case, engine_compiled)
    times, names, machine = result.times, station_tracks(case.machine), case.machine
    assume(times.services.size < MOST_SERVICES)
    path = tmp_path_factory.mktemp("trace") / "trace.pftrace"
    StreamTrace(path, machine).write(result.times, result.event_number)
    trace = TraceFile(path)
    for category, values in (("service", times.busy_ps), ("blocked", times.blocked_ps)):
        assert trace.time_ps(category) == {names[s]: values[s] for s in np.flatnonzero(values).tolist()}
    trace.assert_one_after_another()
    wire = dict(zip(names, machine.wire_ps.tolist(), strict=True))
    ends = [s.end_ps + wire[s.track] * (s.track == names[machine.number("output")]) for s in trace.slices]
    assert max(ends, default=0) == times.end_ps

    kinds, arrived = Counter(), Counter()
    for passed in trace.flows.values():
        stages = [s.track.split("/")[1] for s in passed]
        kinds[stages[-1]] += 1
        arrived[passed[-1].track] += 1
        assert len({s.arguments.get("event") for s in passed}) == 1, "all the doing of one sensor event"
        assert all(before.end_ps <= after.start_ps for before, after in pairwise(passed))
        assert "/".join(stages) in ("sensor/link/synapses", "synapses/send/link/synapses", "synapses/send/output") or (
            machine.drops.any() and "/".join(stages) in ("sensor/link", "synapses/send/link")
        )
    assert kinds["output"] == times.output_ps.size
    assert kinds["link"] == times.dropped_ps.size
    for core, events in enumerate(times.events.tolist()):
        assert arrived[names[machine.number("synapses", core)]] == events


@few
@given(cases())
def test_an_event_is_served_once_it_is_there(tmp_path_factory, case):
    """Waits are what is left between two services of an event, the wire and the time it was blocked taken away."""
    result, names = result_of(case, engine_compiled), station_tracks(case.machine)
    assume(result.times.services.size < MOST_SERVICES)
    path = tmp_path_factory.mktemp("trace") / "trace.pftrace"
    StreamTrace(path, case.machine).write(result.times, result.event_number)
    trace = TraceFile(path)
    blocked = {(s.track, s.start_ps): s.end_ps for s in trace.slices if s.category == "blocked"}
    wire = dict(zip(names, case.machine.wire_ps.tolist(), strict=True))
    for passed in trace.flows.values():
        for before, after in pairwise(passed):
            if after.track.endswith("/send"):
                assert "waited_ps" not in after.arguments
                continue
            left_ps = blocked.get((before.track, before.end_ps), before.end_ps)
            assert after.arguments["waited_ps"] == after.start_ps - left_ps - wire[before.track] >= 0


@few
@given(cases())
def test_both_engines_write_the_same_bytes(tmp_path_factory, case):
    results = [result_of(case, engine_compiled)]
    assume(results[0].times.services.size < MOST_SERVICES)
    results.append(result_of(case, engine_simpy))
    folder = tmp_path_factory.mktemp("trace")
    for number, result in enumerate(results):
        StreamTrace(folder / f"{number}.pftrace.gz", case.machine).write(result.times, result.event_number)
    assert len({path.read_bytes() for path in folder.iterdir()}) == 1


def test_the_command_writes_what_the_tables_say(tmp_path):
    out = tmp_path / "out"
    arguments = ("--chip", "speck", "--input", "edges:rate=1e4,seconds=0.002", "--trace", "perfetto", "--out", out)
    done = nsim("run", "speck-gesture", *arguments)
    assert done.returncode == 0, done.stderr
    trace, cores = TraceFile(out / "trace.pftrace.gz"), pd.read_csv(out / "cores.csv")
    summary = json.loads((out / "summary.json").read_text())
    busy, blocked = trace.time_ps("service"), trace.time_ps("blocked")
    for row in cores.to_dict("records"):
        for stage in ("link", "synapses", "send"):
            track = f"core {row['core']} ({row['layer']})/{stage}"
            assert (busy.get(track, 0), blocked.get(track, 0)) == (row[f"{stage}_busy_ps"], row[f"{stage}_blocked_ps"])
    assert sum(s.track.endswith("/synapses") for s in trace.slices if s.category == "service") == summary["events"]
    assert trace.title == "speck-gesture on speck"


@FULL
def test_a_full_disk_is_said(tmp_path):
    (tmp_path / "trace.pftrace").symlink_to("/dev/full")
    machine = random_case(0, 2, 5, 2, 1, drops=False, ticks=False).machine
    with pytest.raises(OutputError, match=r"cannot write trace trace\.pftrace: No space left"):
        StreamTrace(tmp_path / "trace.pftrace", machine)
