"""What part of a recording is taken: against the same cut made by hand, and what is said about it."""

import nir
import numpy as np
import pytest

from nsim import load_chip, map_network, simulate
from nsim.errors import InputError
from nsim.formats.nir_graph import network_from_nir
from nsim.formats.spikes import load_input
from nsim.formats.streams import load_events
from nsim.formats.window import split_window
from tests.generators.commands import nsim, refused

SHAPE = (2, 8, 10)
COUNT = 300


def recording(seed=0, start_us=0, length_us=50_000):
    """t in microseconds and in order, x, y, p of events all over the sensor."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(start_us, start_us + length_us, COUNT))
    return {"t": t, "x": rng.integers(0, 10, COUNT), "y": rng.integers(0, 8, COUNT), "p": rng.integers(0, 2, COUNT)}


def saved(folder, fields, name="rec.npz", **more):
    np.savez(folder / name, **fields, **more)
    return folder / name


def histogram(fields, keep, bin_us, shape=SHAPE):
    """Counts by timestep and neuron, of the events that are kept."""
    columns = {key: values[keep] for key, values in fields.items()}
    steps = columns["t"] // bin_us
    counts = np.zeros((steps.max() + 1, *shape), int)
    np.add.at(counts, (steps, columns["p"], columns["y"], columns["x"]), 1)
    return counts.reshape(len(counts), -1)


def dense(entry):
    return np.array([entry.at(step) for step in range(entry.timesteps)])


def test_start_and_stop(tmp_path):
    fields = recording()
    path = saved(tmp_path, fields)
    keep = (fields["t"] >= 10_000) & (fields["t"] < 30_000)
    (entry,) = load_input(f"{path}:start=0.01,stop=0.03,bin=1e-3", SHAPE)
    np.testing.assert_array_equal(dense(entry), histogram({**fields, "t": fields["t"] - 10_000}, keep, 1000))
    assert f"{keep.sum()} of {COUNT} events, from 0.01 s on" in entry.notes[0]
    stream = load_events(f"{path}:start=0.01,stop=0.03", SHAPE)
    np.testing.assert_array_equal(stream.t_ps, (fields["t"][keep] - 10_000) * 10**6)
    assert stream.notes == entry.notes[:1]


def test_a_late_start_is_said_and_can_be_left_out(tmp_path):
    path = saved(tmp_path, recording(start_us=6_400_000))
    (late,) = load_input(path, SHAPE, bin_s=1e-3)
    assert late.timesteps > 6400 and any("silent timesteps: --start first" in note for note in late.notes)
    (entry,) = load_input(f"{path}:start=first", SHAPE, bin_s=1e-3)
    assert entry.timesteps <= 50 and not any("silent" in note for note in entry.notes)


def test_crop_and_downsample(tmp_path):
    fields = recording()
    path = saved(tmp_path, fields)
    keep = (fields["x"] >= 2) & (fields["x"] < 8) & (fields["y"] >= 1) & (fields["y"] < 5)
    moved = {**fields, "x": (fields["x"] - 2) // 2, "y": (fields["y"] - 1) // 2}
    (entry,) = load_input(f"{path}:crop=6x4+2+1,downsample=2", (2, 2, 3), bin_s=1e-3)
    np.testing.assert_array_equal(dense(entry), histogram(moved, keep, 1000, (2, 2, 3)))
    assert f"{keep.sum()} of {COUNT} events lie in the crop" in entry.notes[0]
    assert "2 x 2 pixels are one" in entry.notes[1]


def test_several_events_of_a_pixel(tmp_path):
    fields = recording()
    path = saved(tmp_path, fields)
    counts = histogram(fields, slice(None), 25_000)
    assert counts.max() > 1
    (entry,) = load_input(path, SHAPE, bin_s=25e-3)
    np.testing.assert_array_equal(dense(entry), counts)
    assert f"up to {counts.max()}: sent as a value (--clip" in entry.notes[0]
    (once,) = load_input(f"{path}:clip=on", SHAPE, bin_s=25e-3)
    np.testing.assert_array_equal(dense(once), counts > 0)
    assert f"{(counts > 1).sum()} times" in once.notes[0] and "counted once" in once.notes[0]


def test_binary_chips_name_the_reason_and_the_cure(tmp_path):
    path = saved(tmp_path, {"times": np.array([0.0, 1e-4]), "units": np.array([3, 3])})
    nodes = {"i": nir.Input({"input": np.array([4])}), "n": nir.IF(np.ones(4), np.ones(4))}
    graph = nir.NIRGraph(nodes | {"o": nir.Output({"output": np.array([4])})}, [("i", "n"), ("n", "o")])
    mapping = map_network(network_from_nir(graph, name="x"), load_chip("loihi"))
    with pytest.raises(InputError, match=r"several events of a pixel in one timestep, .*--clip"):
        simulate(mapping, path, dt_s=1e-3)
    notes = simulate(mapping, f"{path}:clip=on", dt_s=1e-3).mapping.network.notes
    assert any("counted once" in note for note in notes)


def test_clocks_that_go_back(tmp_path):
    fields = recording()
    wrapped = {**fields, "t": np.sort(fields["t"] + 30_000) % 65_536}
    path = saved(tmp_path, wrapped)
    for read in (lambda p: load_input(p, SHAPE, bin_s=1e-3), lambda p: load_events(p, SHAPE)):
        with pytest.raises(
            InputError, match="clock wraps at 65536, or it is unsorted: give clock=unwrap or clock=sort"
        ):
            read(path)
    stream = load_events(f"{path}:clock=unwrap", SHAPE)
    np.testing.assert_array_equal(stream.t_ps, (fields["t"] + 30_000) * 10**6)
    (entry,) = load_input(f"{path}:clock=unwrap,start=first", SHAPE, bin_s=1e-3)
    assert dense(entry).sum() == COUNT and "goes on 1 times" in entry.notes[0]


def test_narrow_clocks_do_not_overflow(tmp_path):
    path = saved(tmp_path, {"times": np.array([65_000, 100], np.uint16), "units": np.array([0, 1])})
    stream = load_events(f"{path}:clock=unwrap", (4, 1, 1))
    assert stream.t_ps.tolist() == [65_000 * 10**6, (100 + 65_536) * 10**6]


def test_unsorted_events_are_sorted_and_said(tmp_path):
    fields = recording()
    order = np.random.default_rng(1).permutation(COUNT)
    path = saved(tmp_path, {key: values[order] for key, values in fields.items()})
    (entry,) = load_input(path, SHAPE, bin_s=1e-3)
    np.testing.assert_array_equal(dense(entry), histogram(fields, slice(None), 1000))
    assert "events out of order, sorted by time" in entry.notes[0]
    stream = load_events(f"{path}:clock=sort", SHAPE)
    np.testing.assert_array_equal(stream.t_ps, fields["t"] * 10**6)


def test_floating_microseconds_need_their_unit(tmp_path):
    fields = recording()
    path = saved(tmp_path, {**fields, "t": fields["t"].astype(float)})
    with pytest.raises(InputError, match=r"whole floating times up to .*unit=us"):
        load_input(path, SHAPE, bin_s=1e-3)
    (entry,) = load_input(f"{path}:unit=us", SHAPE, bin_s=1e-3)
    np.testing.assert_array_equal(dense(entry), histogram(fields, slice(None), 1000))


# Other layouts


@pytest.mark.parametrize("order", ["txyp", "xytp", "xypt"])
def test_four_columns(tmp_path, order):
    fields = recording()
    np.save(tmp_path / "rec.npy", np.stack([fields[key] for key in order], axis=1))
    (entry,) = load_input(tmp_path / "rec.npy", SHAPE, bin_s=1e-3)
    np.testing.assert_array_equal(dense(entry), histogram(fields, slice(None), 1000))
    assert f"columns read as {', '.join(order)}" in entry.notes[0]
    np.testing.assert_array_equal(load_events(tmp_path / "rec.npy", SHAPE).t_ps, fields["t"] * 10**6)


def test_four_columns_of_frames_stay_frames():
    frames = np.arange(12).reshape(3, 4)
    (entry,) = load_input(frames, (4, 1, 1))
    np.testing.assert_array_equal(dense(entry), frames)


def test_other_names_and_labels(tmp_path):
    fields = recording()
    named = {"timestamp": fields["t"], "x": fields["x"], "y": fields["y"], "polarity": fields["p"]}
    (entry,) = load_input(saved(tmp_path, named, label=np.array(3)), SHAPE, bin_s=1e-3)
    np.testing.assert_array_equal(dense(entry), histogram(fields, slice(None), 1000))
    np.savez(tmp_path / "frames.npz", data=np.ones((5, 3)), labels=np.arange(5))
    assert load_input(tmp_path / "frames.npz", (3, 1, 1))[0].timesteps == 5


def test_text_of_v2e(tmp_path):
    fields = recording()
    rows = zip(*(fields[key].tolist() for key in "txyp"), strict=True)
    lines = ["# events of v2e", *(f"{t / 1e6:.6f} {x} {y} {p}" for t, x, y, p in rows)]
    (tmp_path / "rec.txt").write_text("\n".join(lines))
    (entry,) = load_input(tmp_path / "rec.txt", SHAPE, bin_s=1e-3)
    np.testing.assert_array_equal(dense(entry), histogram(fields, slice(None), 1000))
    bad = [("0.1 2 3\n", "3 numbers"), ("a b c d\n", "no text of events"), ("\udcff", "no text of events")]
    bad += [(f"0.1 {place} 3 1\n", "has x of type") for place in ("-inf", "1e300", "nan", "2.5")]
    for content, words in bad:
        (tmp_path / "bad.txt").write_bytes(content.encode(errors="surrogateescape"))
        with pytest.raises(InputError, match=words):
            load_input(tmp_path / "bad.txt", SHAPE, bin_s=1e-3)


# Options


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        ("start=-1", "start is '-1': give seconds from 0 up"),
        ("start=now", "start is 'now'"),
        ("stop=nan", "stop is 'nan'"),
        ("start=2,stop=1", "stop is 1 s, start 2 s"),
        ("start=9", "events from .* none from 9.0"),
        ("crop=5", "crop is '5': give WIDTHxHEIGHT"),
        ("crop=0x4", "crop is '0x4'"),
        ("downsample=1.5", "downsample is '1.5': give a whole number"),
        ("downsample=0", "downsample is '0'"),
        ("clip=yes", "clip is 'yes': give on or off"),
        ("unit=h", "unit is 'h'"),
        ("clock=atomic", "clock is 'atomic'"),
        ("colour=red", "no option 'colour': give start, stop"),
        ("start=1,start=2", "given twice"),
        ("bin=0", "bin is '0'"),
    ],
)
def test_options_that_are_none(tmp_path, tail, words):
    with pytest.raises(InputError, match=words):
        load_input(f"{saved(tmp_path, recording())}:{tail}", SHAPE, bin_s=1e-3)


def test_options_that_do_not_go_with_what_they_are_for(tmp_path):
    path = saved(tmp_path, recording())
    with pytest.raises(InputError, match="event by event: leave out bin and clip"):
        load_events(f"{path}:bin=1e-3", SHAPE)
    units = saved(tmp_path, {"times": np.arange(3), "units": np.arange(3)}, "units.npz")
    with pytest.raises(InputError, match="without x and y: crop and downsample"):
        load_input(f"{units}:crop=2x2", (4, 1, 1), bin_s=1e-3)
    np.save(tmp_path / "frames.npy", np.ones((3, 4)))
    with pytest.raises(InputError, match="holds frames: its options are for events"):
        load_input(f"{tmp_path / 'frames.npy'}:start=1", (4, 1, 1))


def test_a_colon_in_a_name_is_no_window(tmp_path):
    assert split_window("a:b.npy")[0] == "a:b.npy" and split_window("x=1/a.npy")[0] == "x=1/a.npy"


def test_events_that_are_made_up_take_a_bin():
    (entry,) = load_input("edges:rate=1e4,seconds=0.1,bin=1e-2", SHAPE)
    assert entry.timesteps <= 10


def test_on_the_command_line(tmp_path):
    times = np.sort(np.random.default_rng(2).integers(6_400_000, 6_500_000, 50))
    path = saved(tmp_path, {"times": times, "units": np.arange(50)})
    run = ("run", "mlp", "--chip", "loihi2", "--no-critical-path", "--no-drain")
    done = nsim(*run, "--input", path, "--start", "first", "--bin", "1e-2", "--clip", "--json")
    assert done.returncode == 0, done.stderr
    assert '"spans": 10,' in done.stdout
    assert "--start is for a recording" in refused(*run, "--start", "1")
    assert "crop is 'all'" in refused(*run, "--input", path, "--dt", "1e-3", "--crop", "all")
