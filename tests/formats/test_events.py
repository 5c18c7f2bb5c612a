"""Event streams: their checks, cropping, and the built-in edges against their own laws."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.errors import InputError
from nsim.formats.made_events import moving_edges, named_events
from nsim.formats.spikes import load_input
from nsim.formats.streams import load_events
from nsim.network.inputs import EventStream


def refused(*words):
    """Expect an InputError of one line that holds all the words."""
    return pytest.raises(InputError, match=r"\A" + "".join(f"(?=.*{word})" for word in words) + r".*\Z")


def stream(t_ps, neuron, neurons=9):
    return EventStream(np.array(t_ps, np.int64), np.array(neuron, np.int64), neurons)


def camera(t, x, y, p, t_type=np.int64):
    array = np.zeros(len(t), [("t", t_type), ("x", int), ("y", int), ("p", int)])
    for name, values in (("t", t), ("x", x), ("y", y), ("p", p)):
        array[name] = values
    return array


# Streams


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: stream([0, 5, 4], [0, 0, 0]), ("event 2 at 4 ps", "event 1 at 5 ps", "sort")),
        (lambda: stream([-3, 5], [0, 0]), ("event 0 at -3 ps",)),
        (lambda: stream([0, 5], [0, 9]), ("event 1", "neuron 9", r"0\.\.8")),
        (lambda: stream([0, 5], [-1, 0]), ("event 0", "neuron -1")),
        (lambda: stream([0, 5], [0]), ("2 times", "1 neurons")),
        (lambda: stream([[0, 5]], [0]), (r"\(1, 2\)",)),
        (lambda: EventStream(np.zeros(1), np.zeros(1, np.int64), 1), ("t_ps is float64",)),
        (lambda: stream([0], [0]).crop(3, 3), ("3..3",)),
        (lambda: stream([0], [0]).crop(-1, 3), ("-1..3",)),
    ],
)
def test_impossible_streams(make, words):
    with refused(*words):
        make()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 8)), max_size=30).map(sorted),
    st.integers(0, 20),
    st.integers(1, 20),
)
def test_counts_and_crop(events, start, length):
    """Against loops over the events."""
    t, neuron = [event[0] for event in events], [event[1] for event in events]
    whole = stream(t, neuron)
    assert (len(whole), whole.duration_ps) == (len(events), max(t, default=0))
    assert whole.counts().tolist() == [neuron.count(n) for n in range(9)]
    part = whole.crop(start, start + length)
    expected = [(time - start, n) for time, n in events if start <= time < start + length]
    assert list(zip(part.t_ps.tolist(), part.neuron.tolist(), strict=True)) == expected


# Arrays


def test_integer_times_are_microseconds_and_floating_ones_seconds():
    for t, kind in (([1, 2500], np.int64), ([1e-6, 2.5e-3], np.float64)):
        read = load_events(camera(t, [1, 2], [0, 3], [-1, 1], kind), (2, 4, 5))
        assert read.t_ps.tolist() == [10**6, 2_500_000_000]
        assert read.neuron.tolist() == [1, 20 + 15 + 2]


def test_times_of_one_instant_keep_their_order():
    read = load_events(camera([7] * 4, [3, 1, 2, 0], [0] * 4, [0] * 4), (1, 1, 5))
    assert read.neuron.tolist() == [3, 1, 2, 0]


@pytest.mark.parametrize(
    ("t", "kind", "words"),
    [
        ([5, 9, 8], np.int64, ("event 2 at 8 us", "event 1 at 9 us", "sort")),
        ([0.5, 0.9, 0.8], float, ("event 2 at 0.8 s", "event 1 at 0.9 s")),
        ([5, 9, 8], np.uint64, ("event 2 at 8 us",)),
        ([-5, 9, 10], np.int64, ("negative", "event 0", "-5")),
        ([0, 1, np.nan], float, ("event 2", "nan")),
        ([0, 1, 1_700_000_000_000_000], np.int64, (r"1\.7e\+09 s", "86,400 s", ":start=first")),
        ([0, 1, 2**64 - 1], np.uint64, ("86,400 s",)),
        ([0, 1, 1e300], float, ("1e\\+300 s", "86,400 s")),
        ([0.0, 5e5, 1e6], float, (r"1e\+06 s", ":unit=us")),  # microseconds, as floats
    ],
)
def test_times_that_no_stream_holds(t, kind, words):
    with refused(*words):
        load_events(camera(np.array(t, kind), [0, 0, 0], [0, 0, 0], [0, 0, 0], kind), (2, 4, 5))


def test_the_last_time_that_fits():
    last = 86_400 * 10**6
    assert load_events(camera([last], [0], [0], [0]), (2, 4, 5)).duration_ps == last * 10**6


@pytest.mark.parametrize(
    ("source", "how", "words"),
    [
        (np.zeros((2, 4, 5)), {}, ("frames", "t, x, y, p")),
        (camera([0], [0], [0], [0]), {"sample": 1}, ("1 samples", "2")),
        (camera([0], [0], [0], [0]), {"sample": -1}, ("sample is -1",)),
        (camera([0], [0], [0], [0]), {"seconds": 0.0}, (r"0\.0 s",)),
        (camera([0], [0], [0], [0]), {"seconds": math.nan}, ("nan s",)),
        ("edges", {"sample": 1}, ("edges", "1 samples")),
        ("edgs", {}, ("does not exist", "did you mean edges")),
        ("events.csv", {}, ("does not exist",)),
    ],
)
def test_requests_that_are_refused(source, how, words):
    with refused(*words):
        load_events(source, (2, 4, 5), **how)


def test_later_events_are_left_out():
    read = load_events(camera([0, 999, 1000], [0] * 3, [0] * 3, [0] * 3), (2, 4, 5), seconds=1e-3)
    assert read.t_ps.tolist() == [0, 999_000_000]


# Edges


@pytest.mark.parametrize("mean", [0.5, 40.0, 5000.0])
def test_edges_are_a_poisson_process(mean):
    """Number: mean and variance are equal, each estimated from 400 streams to about five standard errors.

    Given their number, times are uniform: their mean is duration / 2.
    """
    rng = np.random.default_rng(7)
    streams = [moving_edges(mean / 0.01, 0.01, (2, 6, 8), rng) for _ in range(400)]
    counts = np.array([len(one) for one in streams])
    assert abs(counts.mean() - mean) < 5 * math.sqrt(mean / 400)
    assert abs(counts.var() - mean) < 5 * math.sqrt((2 * mean**2 + mean) / 400)
    times = np.concatenate([one.t_ps for one in streams])
    assert times.dtype == np.int64 and times.min() >= 0 and times.max() < 10**10
    assert abs(times.mean() - 0.5e10) < 5 * 1e10 / math.sqrt(12 * len(times))
    assert all((np.diff(one.t_ps) >= 0).all() for one in streams)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    direction=st.floats(-400, 400) | st.sampled_from([0.0, 45.0, 90.0, 180.0, 270.0]),
    speed=st.sampled_from([0.0, 30.0, 2000.0, 1e5]),
    jitter=st.sampled_from([0.0, 1e-3]),
)
def test_every_event_lies_on_the_edge(rows, columns, direction, speed, jitter):
    """Its pixel is crossed by the edge at some time between t - jitter and t, on the way that its polarity says.

    The way of the edge is worked out event by event: the distance that it has gone, folded at the borders.
    """
    edges = moving_edges(
        2e4,
        0.01,
        (2, rows, columns),
        np.random.default_rng(1),
        speed_px_per_s=speed,
        direction_deg=direction,
        jitter_s=jitter,
        noise=0.0,
    )
    cos, sin = math.cos(math.radians(direction)), math.sin(math.radians(direction))
    corners = [x * cos + y * sin for x in (-0.5, columns - 0.5) for y in (-0.5, rows - 0.5)]
    start, span = min(corners), max(corners) - min(corners)
    half_pixel = (abs(cos) + abs(sin)) / 2 + 1e-6
    for t_ps, neuron in zip(edges.t_ps.tolist(), edges.neuron.tolist(), strict=True):
        light, pixel = divmod(neuron, rows * columns)
        y, x = divmod(pixel, columns)
        latest = t_ps / 1e12 * speed
        possible = False
        first_leg = math.floor((latest - jitter * speed - half_pixel) / span)
        for leg in range(first_leg, math.floor(latest / span) + 1):
            there = leg % 2 == 0
            gone = x * cos + y * sin - start if there else span - (x * cos + y * sin - start)
            way = leg * span + gone
            possible |= there == bool(light) and latest - jitter * speed - half_pixel <= way <= latest + half_pixel
        assert possible, (t_ps, x, y, light)


def test_edges_cross_all_of_the_sensor():
    """In one pass at an angle every pixel is reached, in the order of the direction and with one polarity."""
    edges = moving_edges(
        1e6, 0.02, (2, 8, 8), np.random.default_rng(2), speed_px_per_s=500, direction_deg=0, jitter_s=0, noise=0
    )
    counts = edges.counts().reshape(2, 8, 8)
    first, later = edges.crop(0, 16 * 10**9), edges.crop(16 * 10**9, 20 * 10**9)
    assert (counts[1] > 0).all()
    assert first.neuron.min() >= 64 and later.neuron.max() < 64  # 8 pixels at 500 a second: 16 ms there, then back
    assert (np.diff(first.neuron % 8) >= 0).all() and (np.diff(later.neuron % 8) <= 0).all()
    # all places on the edge are equally likely: 8 rows, 20,000 events
    by_row = counts.sum(axis=(0, 2))
    assert (np.abs(by_row - len(edges) / 8) < 5 * math.sqrt(len(edges) / 8)).all()


def test_noise_lies_anywhere():
    """With nothing but noise all neurons are equally likely; with none the edge at rest stays in one column."""
    rng = np.random.default_rng(3)
    noise = moving_edges(1e6, 0.02, (2, 5, 5), rng, noise=1.0).counts()
    assert (np.abs(noise - noise.mean()) < 5 * math.sqrt(noise.mean())).all()
    still = moving_edges(1e5, 0.02, (2, 5, 5), rng, noise=0.25, speed_px_per_s=0.0).counts().reshape(2, 5, 5)
    strays = still.sum() - still[1, :, 0].sum()
    share = 0.25 * 45 / 50  # of the noise, some falls on the edge, with its polarity
    assert abs(strays - share * still.sum()) < 5 * math.sqrt(share * (1 - share) * still.sum())


def test_a_layer_of_one_channel_takes_edges():
    both = moving_edges(1e5, 0.02, (2, 5, 6), np.random.default_rng(4))
    one = moving_edges(1e5, 0.02, (1, 5, 6), np.random.default_rng(4))
    assert (one.neuron == both.neuron % 30).all() and (one.t_ps == both.t_ps).all()


def test_edges_by_name():
    """The same options give the same stream, whoever reads it; the seed matters."""
    text = "edges:rate=2e5, seconds=0.05,seed=3,direction=30"
    shape = (2, 16, 16)
    read = load_events(Path(text), shape)  # as the command line hands it on
    again = moving_edges(2e5, 0.05, shape, np.random.default_rng(3), direction_deg=30.0)
    assert (read.t_ps == again.t_ps).all() and (read.neuron == again.neuron).all()
    assert not np.array_equal(read.t_ps, named_events("edges:rate=2e5,seconds=0.05,seed=4", shape).t_ps)
    (binned,) = load_input(text, shape, bin_s=1e-3, timesteps=60)
    assert (binned.timesteps, len(binned.neuron)) == (60, len(read))
    assert (np.repeat(np.arange(60), np.diff(binned.indptr)) == read.t_ps // 10**9).all()
    with refused("--dt"):
        load_input(text, shape)
    with refused("1 samples", "2 asked"):
        load_input(text, shape, bin_s=1e-3, samples=2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("edgs:rate=1e5", ("no built-in events 'edgs'", "did you mean 'edges'")),
        ("cats:rate=1e5", ("'cats'", "give edges or a file")),
        ("edges:rat=1e5", ("no option 'rat'", "did you mean 'rate'")),
        ("edges:rate", ("'rate' is not of the form name=value",)),
        ("edges:rate=1,rate=2", ("'rate' is given twice",)),
        ("edges:rate=many", ("option rate", "'many'", "float")),
        ("edges:seed=1.5", ("option seed", "'1.5'", "int")),
        ("edges:seed=-1", ("seed", "-1", "0 or more")),
        ("edges:rate=-1", ("rate", "-1", "0 or more")),
        ("edges:rate=nan", ("rate", "nan")),
        ("edges:rate=1e15", ("1e[+]15 events/s", "free", "lower rate")),
        ("edges:seconds=0", ("0.0 s",)),
        ("edges:seconds=1e-13", ("1e-13 s",)),
        ("edges:seconds=1e9,rate=0", ("1000000000.0 s", r"9\.22337e\+06")),
        ("edges:seconds=inf", ("inf s",)),
        ("edges:speed=inf", ("speed", "inf")),
        ("edges:jitter=-1e-3", ("jitter", "-0.001")),
        ("edges:direction=nan", ("direction", "nan", "degrees")),
        ("edges:noise=1.5", ("noise", "1.5", "0 to 1")),
    ],
)
@pytest.mark.parametrize("read", [load_events, lambda text, shape: load_input(text, shape, bin_s=1e-3)])
def test_edges_that_are_refused(text, words, read):
    with refused(*words):
        read(text, (2, 8, 8))


def test_edges_need_a_layer_of_polarities():
    with refused(r"\(3, 8, 8\)", "3 channels"):
        load_events("edges", (3, 8, 8))
