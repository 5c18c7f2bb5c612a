"""Parts of a trace for Perfetto: what is written is what the whole trace has there, and queues add up to waiting."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim import load_chip, load_network, map_network, simulate
from nsim.errors import InputError
from nsim.machine.trace.view import TraceView, parse_window, queues
from tests.generators.commands import SMALL, nsim, refused
from tests.generators.trace_files import TraceFile

EVENTS = "edges:rate=1e6,seconds=0.0004,seed=5"
RUNS = {
    "timesteps": (("mlp:width=24,depth=3,inputs=16", "loihi2"), {"timesteps": 3, "activity": 0.5}),
    "frames": (("cnn", "akd1000"), {"samples": 2, "activity": 0.002}),
    "stream": (("speck-gesture", "speck"), {"inputs": EVENTS}),
}
LAYERS = {"timesteps": ("fc0",), "frames": ("conv_1", "classifier"), "stream": ("conv1",)}


@pytest.fixture(scope="module", params=RUNS)
def run(request, tmp_path_factory):
    """A function that traces a run into a file, as a view wants it; and the whole trace."""
    (network, chip), options = RUNS[request.param]
    mapping = map_network(load_network(network), load_chip(chip))
    folder = tmp_path_factory.mktemp("trace")

    def traced(**view):
        path = folder / "part.pftrace"
        result = simulate(mapping, **options, trace={"perfetto": TraceView(path, **view) if view else path})
        return TraceFile(path), result

    whole, result = traced()
    return request.param, traced, whole, result


def services(trace):
    """Each service of a trace, and when its track was free again."""
    free = {(s.track, s.start_ps): s.end_ps for s in trace.slices if s.category == "blocked"}
    return [(s, free.get((s.track, s.end_ps), s.end_ps)) for s in trace.slices if s.category == "service"]


def steps_of(trace, kept):
    """Flows, of which each has at least two of the slices that are kept."""
    kept = {(s.track, s.start_ps) for s in kept}
    own = {number: [s for s in passed if (s.track, s.start_ps) in kept] for number, passed in trace.flows.items()}
    return {number: passed for number, passed in own.items() if len(passed) > 1}


def test_a_window_has_what_overlaps_it(run):
    _, traced, whole, _ = run
    end = max(s.end_ps for s in whole.slices)
    begin, stop = end // 3, end // 2
    part, _ = traced(window_ps=(begin, stop))
    kept = [s for s, free in services(whole) if s.start_ps < stop and free > begin]
    assert 0 < len(kept) < len(services(whole))
    assert [s for s, _ in services(part)] == kept
    assert part.flows == steps_of(whole, kept)
    part.assert_one_after_another()
    assert part.spans == {key: (a, b) for key, (a, b) in whole.spans.items() if a < stop and b > begin}


def test_layers_have_all_of_their_messages_and_nothing_else(run):
    name, traced, whole, _ = run
    layers = LAYERS[name]
    part, _ = traced(layers=layers)
    kept = [s for s, _ in services(whole) if s.name in layers]
    assert kept and [s for s, _ in services(part)] == kept
    assert part.flows == steps_of(whole, kept) and set(part.flows) <= set(whole.flows)
    assert [s for s in part.slices if s.category == "timestep"] == [s for s in whole.slices if s.category == "timestep"]
    assert part.spans == whole.spans


def test_the_whole_window_is_the_whole_trace(run):
    _, traced, whole, _ = run
    part, _ = traced(window_ps=(0, max(s.end_ps for s in whole.slices) + 1))
    assert part.slices == whole.slices and part.flows == whole.flows and part.counts == {}


def test_queues_add_up_to_what_was_waited(run):
    """Number waiting, integrated over the run, is the sum of all waiting (Little's law); every queue ends empty."""
    _, traced, whole, _ = run
    part, _ = traced(queues=True)
    assert part.slices == whole.slices and part.flows == whole.flows
    waited = defaultdict(int)
    for each, _ in services(whole):
        waited[each.track] += max(0, each.arguments.get("waited_ps", 0))
    waited = {track: time_ps for track, time_ps in waited.items() if time_ps}
    assert waited
    areas = {}
    for track, counts in part.counts.items():
        assert [time for time, _ in counts] == sorted(time for time, _ in counts) and counts[-1][1] == 0
        steps = pairwise(counts)
        areas[track] = sum(value * (later - time) for (time, value), (later, _) in steps)
        assert all(value >= 0 for _, value in counts)
    assert areas == waited


def test_a_window_begins_with_those_who_wait(run):
    """Counts within a window are those of the whole run, and begin with the count at its beginning."""
    _, traced, _, _ = run
    whole, _ = traced(queues=True)
    track = max(whole.counts, key=lambda name: len(whole.counts[name]))
    times = [time for time, _ in whole.counts[track]]
    begin, stop = (times[len(times) // 3] + times[len(times) // 3 + 1]) // 2, times[-1]
    part, _ = traced(queues=True, window_ps=(begin, stop))
    for name, counts in whole.counts.items():
        before = [value for time, value in counts if time <= begin][-1:]
        expected = [(begin, value) for value in before] + [c for c in counts if begin < c[0] < stop]
        last = max((time for time, _ in counts), default=0)
        if last > begin:
            assert part.counts.get(name, []) == expected, name


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(-1, 9)), max_size=20))
def test_queues_against_a_naive_twin(services):
    """The count at every moment is of those that had come and were not yet served."""
    columns = np.array(services, np.int64).reshape(-1, 3).T
    columns[1] += 10
    track, time_ps, count = queues(*columns)
    for number in range(3):
        own = [(start, waited) for t, start, waited in columns.T.tolist() if t == number and waited > 0]
        shown = dict(zip(time_ps[track == number].tolist(), count[track == number].tolist(), strict=True))
        value = 0
        for now in range(50):
            value = shown.get(now, value)
            assert value == sum(start - waited <= now < start for start, waited in own)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("0:100us", (0, 10**8)),
        ("2.5us:3us", (2_500_000, 3_000_000)),
        ("1:2ns", (1_000, 2_000)),
        ("900ns:1us", (900_000, 10**6)),
    ],
)
def test_windows(text, window):
    assert parse_window(text) == window


@pytest.mark.parametrize("text", ["", "5us", "0:5", "a:5us", "-1:5us", "5us:", "0:5us:6us", "0:5h", "1e3:2us"])
def test_windows_that_cannot_be_read(text):
    with pytest.raises(InputError, match="give BEGIN:END with a unit, as in 0:100us"):
        parse_window(text)


@pytest.mark.parametrize("text", ["5us:5us", "6us:5000ns", "0:0us"])
def test_windows_that_end_too_early(text):
    with pytest.raises(InputError, match="give a later end"):
        parse_window(text)


def test_the_command_line_writes_a_part(tmp_path):
    options = ("--activity", "0.5", "--trace", "perfetto")
    done = nsim(*SMALL, *options, "--out", tmp_path / "whole")
    view = ("--trace-window", "5:20ns", "--trace-layers", "input", "--trace-queues")
    part = nsim(*SMALL, *options, *view, "--out", tmp_path / "part")
    assert done.returncode == part.returncode == 0, part.stderr
    whole, some = (TraceFile(tmp_path / name / "trace.pftrace.gz") for name in ("whole", "part"))
    kept = [s for s, free in services(whole) if s.name == "input" and s.start_ps < 20_000 and free > 5_000]
    assert kept and [s for s, _ in services(some)] == kept
    assert (tmp_path / "part" / "summary.json").read_bytes() == (tmp_path / "whole" / "summary.json").read_bytes()


def test_views_that_cannot_be(tmp_path):
    out = ("--out", tmp_path / "out")
    assert "--trace-queues is of a trace for Perfetto: add --trace perfetto" in refused(*SMALL, "--trace-queues")
    said = refused(*SMALL, *out, "--trace", "messages", "--trace-window", "0:1us")
    assert "--trace-window is of a trace for Perfetto" in said
    said = refused(*SMALL, *out, "--trace", "perfetto", "--trace-layers", "fc9")
    assert "no layer 'fc9' to trace" in said and "give some of input, fc0, fc1" in said
    assert "BEGIN:END" in refused(*SMALL, *out, "--trace", "perfetto", "--trace-window", "5")
    assert not (tmp_path / "out").exists()
