"""Input: each shape rule, events against a double loop, SHD files, and every refusal in one line."""

import io
import math
import struct
import zipfile
from fractions import Fraction
from itertools import pairwise

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nsim.errors import InputError
from nsim.formats import numpy_files, shd
from nsim.formats.shd import read_shd
from nsim.formats.spikes import LONGEST_GAP, SOME_EVENTS, load_input
from nsim.network.inputs import Events, Frames

IMAGE = (3, 4, 5)  # C, H, W
FLAT = (7, 1, 1)


def dense(entry):
    """All timesteps of one sample, [timesteps, neurons]."""
    return np.stack([entry.at(step) for step in range(entry.timesteps)])


def numbers(*shape):
    return np.random.default_rng(0).integers(-9, 9, shape)


def tonic(t, x, y=None, p=None, order="txyp", t_type=np.int64):
    """Events as the tonic package yields them."""
    fields = {"t": t, "x": x, "y": y, "p": p}
    names = [name for name in order if fields[name] is not None]
    events = np.empty(len(t), [(name, t_type if name == "t" else np.int64) for name in names])
    for name in names:
        events[name] = fields[name]
    return events


def refused(*words, **how):
    """Expect an InputError of one line that holds all the words."""
    return pytest.raises(InputError, match=r"\A" + "".join(f"(?=.*{word})" for word in words) + r".*\Z", **how)


# Frames: shapes


@pytest.mark.parametrize("shape", [IMAGE, FLAT, (1, 4, 5), (1, 1, 1), (3, 4, 4)])
def test_one_frame_is_held(shape):
    data = numbers(*shape)
    (entry,) = load_input(data, shape, timesteps=6)
    assert (entry.timesteps, entry.neurons) == (6, data.size)
    assert (dense(entry) == data.ravel()).all()
    assert load_input(data, shape)[0].timesteps == 1


def test_frames_by_timestep():
    data = numbers(6, *IMAGE)
    (entry,) = load_input(data, IMAGE)
    assert (dense(entry) == data.reshape(6, -1)).all()


def test_arrays_of_several_samples_are_told_in_the_order_of_their_axes():
    """Frameworks write [T, B, ...]; here samples come first, and a note says how they were read."""
    (note,) = load_input(numbers(6, 2, 7), FLAT)[0].notes
    assert note == "input array is 6 samples of 2 timesteps; swap its first two axes if time is first"
    swapped = load_input(numbers(6, 2, 7).swapaxes(0, 1), FLAT)
    np.testing.assert_array_equal([dense(entry) for entry in swapped], numbers(6, 2, 7).swapaxes(0, 1))
    (note,) = load_input(numbers(6, 1, 7), FLAT)[0].notes  # a batch of one, time first
    assert note.endswith("6 samples of 1 timestep; if it is 1 sample of 6, give it as (6, ...)")
    assert load_input(numbers(1, 6, 7), FLAT)[0].notes == load_input(numbers(6, 7), FLAT)[0].notes == ()


def test_samples():
    data = numbers(2, 6, *IMAGE)
    entries = load_input(data, IMAGE)
    assert [e.timesteps for e in entries] == [6, 6]
    assert all((dense(e) == sample.reshape(6, -1)).all() for e, sample in zip(entries, data, strict=True))
    assert len(load_input(data, IMAGE, samples=1)) == 1


@pytest.mark.parametrize("leading", [(), (6,), (2, 6)])
@pytest.mark.parametrize(
    ("shape", "written"), [(FLAT, (7,)), (FLAT, (7, 1)), ((1, 4, 5), (4, 5)), ((3, 1, 5), (3, 5)), ((1, 1, 1), ())]
)
def test_axes_of_one_may_be_missing(shape, written, leading):
    data = numbers(*leading, *written)
    entries = load_input(data, shape)
    assert len(entries) == (2 if len(leading) == 2 else 1)
    assert (np.concatenate([dense(e) for e in entries]) == data.reshape(-1, math.prod(shape))).all()


@pytest.mark.parametrize("frames", [None, 1, 6])
def test_order_of_lava_dl(frames):
    """Neuron (c, h, w) of the layer is element [w, h, c, t] of the file."""
    data = numbers(5, 4, 3) if frames is None else numbers(5, 4, 3, frames)
    (entry,) = load_input(data, IMAGE)
    assert entry.timesteps == (frames or 1)
    for step in range(entry.timesteps):
        grid = entry.at(step).reshape(IMAGE)
        for c, h, w in np.ndindex(*IMAGE):
            assert grid[c, h, w] == (data[w, h, c] if frames is None else data[w, h, c, step])
    if frames == 1:
        assert load_input(data, IMAGE, timesteps=9)[0].timesteps == 9


def test_the_layers_own_order_comes_first():
    """Where both orders fit, the data is (C, H, W)."""
    data = numbers(3, 4, 3)
    assert (load_input(data, (3, 4, 3))[0].at(0) == data.ravel()).all()


def test_timesteps_cut_frames_and_a_single_one_is_held():
    data = numbers(6, 7)
    assert (dense(load_input(data, FLAT, timesteps=4)[0]) == data[:4]).all()
    assert dense(load_input(data[:1], FLAT, timesteps=4)[0]).shape == (4, 7)
    assert [e.timesteps for e in load_input(numbers(2, 1, 7), FLAT, timesteps=4)] == [4, 4]
    longer = dense(load_input(data, FLAT, timesteps=8)[0])
    assert (longer[:6] == data).all() and not longer[6:].any()  # it ends in silence


@pytest.mark.parametrize(
    ("written", "given"),
    [
        *((integer, np.int64) for integer in ("?", "u1", ">i4", "u8")),
        *((floating, np.float32) for floating in ("f2", ">f4", "f8")),
    ],
)
def test_types_of_numbers(tmp_path, written, given):
    data = np.arange(7).astype(written)
    np.save(tmp_path / "in.npy", data)
    (entry,) = load_input(tmp_path / "in.npy", FLAT)
    assert entry.at(0).dtype == given
    assert (entry.at(0) == data.astype(given)).all()


def test_what_at_returns_is_the_callers_own():
    (entry,) = load_input(numbers(7), FLAT, timesteps=2)
    before = entry.at(1)
    entry.at(0)[:] = 99
    assert (entry.at(1) == before).all()


@pytest.mark.parametrize(
    "entry", [Frames(np.ones((2, 3)), 2), Events(np.zeros(3, int), np.zeros(0, int), np.ones(0), 3)]
)
@pytest.mark.parametrize("step", [-1, 2])
def test_a_timestep_outside_the_input_is_an_index_error(entry, step):
    with pytest.raises(IndexError, match=f"timestep {step} .* 2 timesteps"):
        entry.at(step)


def test_parts_that_do_not_fit_each_other():
    with refused(r"\(2, 3\)", "5 timesteps"):
        Frames(np.ones((2, 3)), 5)
    with refused("4 events", "3 neurons", "2 values"):
        Events(np.array([0, 4]), np.zeros(3, int), np.ones(2), 3)


# Frames: refusals


@pytest.mark.parametrize("shape", [(8,), (6, 8), (2, 6, 8), (2, 2, 2, 7), (), (7, 6, 1, 1, 1)])
def test_wrong_shape(tmp_path, shape):
    np.save(tmp_path / "in.npy", np.zeros(shape))
    with refused(r"in\.npy", str(shape).replace("(", r"\(").replace(")", r"\)"), r"\(7, 1, 1\)", r"\(timesteps, 7\)"):
        load_input(tmp_path / "in.npy", FLAT)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_no_float32(bad):
    data = np.zeros((6, 7))
    data[2, 3] = data[4, 0] = bad
    with refused("2 values", r"\(2, 3\)"):
        load_input(data, FLAT)


def test_values_that_are_no_int64():
    with refused("1 values", "18446744073709551615"):
        load_input(np.full(1, 2**64 - 1, np.uint64), (1, 1, 1))


@pytest.mark.parametrize("data", [np.zeros(7, complex), np.zeros(7, "U3"), np.zeros(7, "M8[s]"), np.zeros(7, object)])
def test_elements_that_are_no_numbers(data):
    with refused("input array", "type"):
        load_input(data, FLAT)


@pytest.mark.parametrize("shape", [(0, 7), (0, 6, 7), (6, 0, 7)])
def test_no_data(shape):
    with refused("(0 samples|of 0 timesteps)"):
        load_input(np.zeros(shape), FLAT)


@pytest.mark.parametrize(
    ("asked", "word"),
    [({"timesteps": 0}, "timesteps is 0"), ({"timesteps": -3}, "-3"), ({"samples": 0}, "samples is 0")]
    + [({"bin_s": s}, "seconds") for s in (0.0, -1.0, math.nan, math.inf)]
    + [({"samples": 3}, "2 samples.*3 asked")],
)
def test_impossible_requests(asked, word):
    with refused(word):
        load_input(numbers(2, 6, 7), FLAT, **asked)


# Events


@st.composite
def binned_events(draw):
    timesteps, neurons, count = draw(st.integers(1, 9)), draw(st.integers(1, 6)), draw(st.integers(0, 30))
    step = np.sort(draw(hnp.arrays(np.int64, count, elements=st.integers(0, timesteps - 1))))
    neuron = draw(hnp.arrays(np.int64, count, elements=st.integers(0, neurons - 1)))
    value = draw(
        hnp.arrays(np.int8, count)
        | hnp.arrays(np.float32, count, elements=st.integers(-(2**10), 2**10).map(float))
        | hnp.arrays(np.bool_, count)
    )
    return timesteps, neurons, step, neuron, value


@settings(deadline=None)
@given(binned_events())
def test_events_add_up(case):
    timesteps, neurons, step, neuron, value = case
    expected = np.zeros((timesteps, neurons))
    for i in range(len(step)):
        expected[step[i], neuron[i]] += value[i]
    entry = Events(np.searchsorted(step, np.arange(timesteps + 1)), neuron, value, neurons)
    assert (dense(entry) == expected).all()
    assert entry.at(0).dtype == (np.float32 if value.dtype == np.float32 else np.int64)


@settings(deadline=None)
@given(
    events=st.lists(
        st.tuples(st.integers(0, 50_000), st.integers(0, 4), st.integers(0, 3), st.integers(-1, 1)), max_size=40
    ),
    bin_s=st.sampled_from(["0.001", "0.0001", "0.0025", "0.0000003", "0.7"]),
    timesteps=st.none() | st.integers(1, 60),
    channels=st.sampled_from([1, 2]),
    order=st.permutations("txyp"),
)
def test_events_of_a_camera(events, bin_s, timesteps, channels, order):
    """Unsorted events against a histogram counted one by one, in exact arithmetic."""
    shape = channels, 4, 5
    expected = {}
    for t, x, y, p in events:
        step = int(Fraction(t, 10**6) / Fraction(bin_s))
        if timesteps is None or step < timesteps:
            key = step, max(p, 0) if channels == 2 else 0, y, x
            expected[key] = expected.get(key, 0) + 1
    columns = np.array(events, np.int64).reshape(-1, 4).T
    data = tonic(*columns, order="".join(order))
    steps = sorted([0, *(int(Fraction(t, 10**6) / Fraction(bin_s)) for t, *_ in events)])
    gap = max((after - before for before, after in pairwise(steps)), default=0)
    if timesteps is None and len(events) >= SOME_EVENTS and gap >= max(LONGEST_GAP, (steps[-1] + 1) // 2):
        with pytest.raises(InputError, match="has no event from"):
            load_input(data, shape, bin_s=float(bin_s))
        return
    (entry,) = load_input(data, shape, bin_s=float(bin_s), timesteps=timesteps)
    last = max((key[0] for key in expected), default=0)
    assert entry.timesteps == (timesteps or last + 1)
    assert len(entry.neuron) == sum(expected.values())
    for step in {key[0] for key in expected}:
        grid = entry.at(step).reshape(shape)
        counted = {(step, *map(int, place)): int(grid[tuple(place)]) for place in np.argwhere(grid)}
        assert counted == {key: n for key, n in expected.items() if key[0] == step}


@settings(deadline=None)
@given(step=st.integers(0, 100_000), bin_s=st.sampled_from([0.1, 0.001, 1e-6, 0.3, 1 / 3]))
def test_a_time_on_the_edge_belongs_to_the_timestep_it_starts(step, bin_s):
    """As seconds in double precision, which may lie a rounding error before the edge."""
    for t in (step * bin_s, math.nextafter(step * bin_s, 0)):
        (entry,) = load_input(tonic([t], [0], t_type=np.float64), FLAT, bin_s=bin_s)
        assert entry.timesteps == step + 1


@pytest.mark.parametrize(
    ("shape", "polarity", "neuron"),
    [(FLAT, None, 4), (FLAT, 1, 4), ((1, 1, 7), None, 4), ((2, 1, 7), 1, 11), ((2, 1, 7), -1, 4), ((1, 7, 1), 1, 4)],
)
def test_events_without_y(shape, polarity, neuron):
    """x counts along the only axis, as in tonic's SHD; with channels and columns, p is the channel."""
    (entry,) = load_input(tonic([0], [4], None, None if polarity is None else [polarity]), shape, bin_s=1e-3)
    assert entry.neuron.tolist() == [neuron]


def test_a_bool_polarity():
    events = np.array([(0, 1, 2, True)], [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])
    assert load_input(events, (2, 4, 5), bin_s=1)[0].neuron.tolist() == [20 + 5]


def test_no_events_are_one_silent_timestep():
    (entry,) = load_input(tonic([], []), FLAT, bin_s=1e-3)
    assert (entry.timesteps, entry.at(0).tolist()) == (1, [0] * 7)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (tonic([0, 1], [0, 5], [0, 0], [0, 0]), ("x = 5", "event 1", r"0\.\.4")),
        (tonic([0, 1], [0, -1], [0, 0], [0, 0]), ("x = -1", "event 1")),
        (tonic([0, 1], [0, 0], [4, 9], [0, 0]), ("y = 4", "event 0", r"0\.\.3")),
        (tonic([0, 1], [0, 0], [0, 0], [0, 2]), ("p = 2", "event 1", r"0\.\.1")),
        (tonic([0, 1], [0, 0], [0, 0], [0, -2]), ("p = -2",)),
        (tonic([0, -7], [0, 0], [0, 0], [0, 0]), ("1 event times", "event 1", "-7")),
        (tonic([0, np.nan], [0, 0], [0, 0], [0, 0], t_type=float), ("event 1", "nan")),
        (tonic([0, np.inf], [0, 0], [0, 0], [0, 0], t_type=float), ("event 1", "inf")),
        (tonic([0, 1], [0, 0], [0, 0], [0, 0], t_type=complex), ("complex",)),
        (tonic([0, 10**18], [0, 0], [0, 0], [0, 0]), ("timesteps", "10,000,000")),
        (tonic([0, 1e300], [0, 0], [0, 0], [0, 0], t_type=float), ("timesteps", "10,000,000")),
        (tonic([0], [0], None, [0]), ("without y", "4 rows")),
        (tonic([0], [0], [0]), ("without p", "2 channels")),
        (tonic([0], [0], [0], [0])[["t", "y"]], (r"'t', 'y'",)),
        (tonic([0, 1], [0, 0], [0, 0], [0, 0]).reshape(2, 1), (r"\(2, 1\)",)),
        (np.zeros(1, [("t", int), ("x", float)]), ("without y",)),
        (np.zeros(1, [("t", int), ("x", float), ("y", int), ("p", int)]), ("x of type float64",)),
    ],
)
def test_impossible_events(events, words):
    with refused(*words):
        load_input(events, (2, 4, 5), bin_s=1e-3)


def test_a_late_event_may_be_cut():
    (entry,) = load_input(tonic([10**18, 5], [0, 1]), FLAT, bin_s=1e-3, timesteps=3)
    assert entry.neuron.tolist() == [1]


def test_events_need_the_duration_of_a_timestep():
    with refused("--dt SECONDS"):
        load_input(tonic([0], [0]), FLAT, timesteps=5)
    with refused("10,000,001"):
        load_input(tonic([0], [0]), FLAT, timesteps=10_000_001, bin_s=1)
    with refused("inf"):
        load_input(tonic([1], [0]), FLAT, bin_s=5e-324)
    with refused("1 samples", "2 asked"):
        load_input(tonic([0], [0]), FLAT, samples=2, bin_s=1)


# .npz


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_one_array_in_an_archive(tmp_path, save):
    data = numbers(6, 7)
    save(tmp_path / "in.npz", data)
    assert (dense(load_input(tmp_path / "in.npz", FLAT)[0]) == data).all()
    save(tmp_path / "in.npz", events=tonic([0, 1500], [1, 2]))
    assert load_input(str(tmp_path / "in.npz"), FLAT, bin_s=1e-3)[0].indptr.tolist() == [0, 1, 2]


@pytest.mark.parametrize("names", [("t", "x"), ("times", "units")])
def test_event_lists_in_an_archive(tmp_path, names):
    """Integers are microseconds, floats seconds; other arrays are ignored."""
    for times in (np.array([2500, 0, 2000]), np.array([0.0025, 0, 0.002])):
        np.savez(
            tmp_path / "in.npz", **{names[0]: times, names[1]: np.array([1, 2, 1], np.uint16), "label": np.array(3)}
        )
        (entry,) = load_input(tmp_path / "in.npz", FLAT, bin_s=1e-3)
        assert dense(entry).tolist() == [[0, 0, 1, 0, 0, 0, 0], [0] * 7, [0, 2, 0, 0, 0, 0, 0]]


def test_units_count_through_the_whole_layer(tmp_path):
    np.savez(tmp_path / "in.npz", times=np.zeros(1), units=np.array([59]))
    assert load_input(tmp_path / "in.npz", IMAGE, bin_s=1)[0].neuron.tolist() == [59]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros(3), "others": np.zeros(3)}, (r"\['images', 'others'\]",)),
        ({}, ("0 arrays",)),
        ({"t": np.zeros(3), "x": np.zeros(4, int)}, (r"'t': \(3,\)", r"'x': \(4,\)")),
        ({"t": np.zeros(3), "x": np.array([None] * 3)}, ("array 'x'", "pickled")),
        ({"images": np.zeros(3, "U2")}, ("type <U2",)),
    ],
)
def test_archives_that_hold_no_input(tmp_path, arrays, words):
    np.savez(tmp_path / "in.npz", **arrays)
    with refused(r"in\.npz", *words):
        load_input(tmp_path / "in.npz", FLAT, bin_s=1e-3)


def test_damaged_archives(tmp_path):
    """Cut anywhere or with any byte changed, an archive gives the same data or one line."""
    path = tmp_path / "in.npz"
    np.savez_compressed(path, numbers(6, 7))
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:cut])
        with refused("write it again"):
            load_input(path, FLAT)
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        try:
            assert (dense(load_input(path, FLAT)[0]) == numbers(6, 7)).all()
        except InputError as fault:
            assert "\n" not in str(fault)


def test_an_archive_that_declares_too_much(tmp_path):
    """The header of the array is believed neither alone nor together with the archive's directory."""
    huge = header((10**15,))
    with zipfile.ZipFile(tmp_path / "in.npz", "w") as archive:
        archive.writestr("frames.npy", huge + bytes(64))
    with refused("8000000000000000 bytes", "holds 64"):
        load_input(tmp_path / "in.npz", FLAT)
    data = (tmp_path / "in.npz").read_bytes().replace(struct.pack("<I", len(huge) + 64), struct.pack("<I", 2**32 - 2))
    (tmp_path / "in.npz").write_bytes(data)
    with refused("in.npz", "write it again"):  # from Python 3.12 on already for its directory
        load_input(tmp_path / "in.npz", FLAT)


# .npy and paths


def header(shape, descr="<f8"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_versions_of_npy(tmp_path, version, order):
    data = np.asarray(numbers(6, 7), order=order)
    with (tmp_path / "IN.NPY").open("wb") as stream:
        np.lib.format.write_array(stream, data, version)
    assert (dense(load_input(tmp_path / "IN.NPY", FLAT)[0]) == data).all()


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "exploded").touch, ()

    np.save(tmp_path / "in.npy", np.array([Bomb()]), allow_pickle=True)
    np.savez(tmp_path / "in.npz", np.array([Bomb()]), allow_pickle=True)
    for name in ("in.npy", "in.npz"):
        with refused("pickled"):
            load_input(tmp_path / name, (1, 1, 1))
    assert not (tmp_path / "exploded").exists()


def test_a_truncated_file(tmp_path):
    np.save(tmp_path / "in.npy", numbers(6, 7))
    whole = (tmp_path / "in.npy").read_bytes()
    for cut in range(len(whole)):
        (tmp_path / "in.npy").write_bytes(whole[:cut])
        with refused(r"in\.npy", "write it"):
            load_input(tmp_path / "in.npy", FLAT)


@settings(deadline=None)
@given(data=st.data())
def test_a_damaged_header_is_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("npy") / "in.npy"
    whole = bytearray(header((7,)) + bytes(56))
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), min_size=1, max_size=4)):
        whole[at] = byte
    path.write_bytes(whole)
    try:
        load_input(path, FLAT)
    except InputError as fault:
        assert "\n" not in str(fault)


@pytest.mark.parametrize("shape", [(10**15,), (10**15, 10**15), (-1, 7), (2**63,)])
def test_a_header_that_declares_too_much(tmp_path, shape):
    (tmp_path / "in.npy").write_bytes(header(shape) + bytes(56))
    with refused("declares", "holds 56"):
        load_input(tmp_path / "in.npy", FLAT)


def test_data_beyond_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(numpy_files, "available_bytes", lambda: 100)
    np.save(tmp_path / "in.npy", numbers(6, 7))
    with refused("takes 336 bytes", "100 bytes of memory"):
        load_input(tmp_path / "in.npy", FLAT)


def test_paths_that_hold_no_input(tmp_path):
    np.save(tmp_path / "input.npy", numbers(7))
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npy").write_text("0 1 2")
    (tmp_path / "text.npz").write_text("0 1 2")
    (tmp_path / "table.csv").write_text("0,1,2")
    for name, word in (
        ("inputs.npy", "did you mean input.npy"),
        ("missing/input.npy", "does not exist"),
        ("x" * 300 + ".npy", "(cannot be read|does not exist)"),  # the latter from Python 3.14 on
        (".", "folder"),
        ("empty.npy", "is empty"),
        ("text.npy", "is no .npy array"),
        ("text.npz", "cannot be read"),
        ("table.csv", r"'\.csv'.*\.npy, \.npz, \.h5, \.hdf5"),
    ):
        with refused(word):
            load_input(tmp_path / name, FLAT)


# SHD


def write_shd(path, samples, times_type="f2", units_type="i2", labels=None, leave_out=(), libver=None):
    """A file as the Spiking Heidelberg Digits come, from [(times, units), ...]."""
    with h5py.File(path, "w", libver=libver) as file:
        for name, kind, column in (("spikes/times", times_type, 0), ("spikes/units", units_type, 1)):
            if name not in leave_out:
                dataset = file.create_dataset(name, (len(samples),), h5py.vlen_dtype(np.dtype(kind)))
                for i, sample in enumerate(samples):
                    dataset[i] = np.asarray(sample[column], kind)
        if "labels" not in leave_out:
            file["labels"] = np.arange(len(samples), dtype="u1") if labels is None else labels
    return path


SPOKEN = [([0.5, 0.25, 0.75], [3, 1, 6]), ([], []), ([0.25, 0.25], [2, 2])]


@pytest.mark.parametrize("times_type", ["f2", "f4", "f8"])
@pytest.mark.parametrize("units_type", ["i2", "u1", "u2", "i8", "u8"])
def test_shd_of_any_width(tmp_path, times_type, units_type):
    path = write_shd(tmp_path / "in.h5", SPOKEN, times_type, units_type)
    spoken, labels = read_shd(path)
    assert [(t.tolist(), u.tolist()) for t, u in spoken] == [
        ([0.25, 0.5, 0.75], [1, 3, 6]),
        ([], []),
        ([0.25, 0.25], [2, 2]),
    ]
    assert {t.dtype for t, _ in spoken} == {np.dtype(float)} and {u.dtype for _, u in spoken} == {np.dtype(int)}
    assert labels.tolist() == [0, 1, 2]
    entries = load_input(path, FLAT, bin_s=0.25)
    assert [e.timesteps for e in entries] == [4, 1, 2]
    assert [list(map(tuple, np.argwhere(dense(e)))) for e in entries] == [[(1, 1), (2, 3), (3, 6)], [], [(1, 2)]]
    assert entries[2].at(1)[2] == 2


@settings(deadline=None)
@given(st.lists(st.floats(0, 1.5, width=16), max_size=30), st.sampled_from(["0.001", "0.014", "0.1"]))
def test_half_precision_times_are_binned_exactly(tmp_path_factory, times, bin_s):
    path = write_shd(tmp_path_factory.mktemp("shd") / "in.hdf5", [(times, np.arange(len(times)))])
    (entry,) = load_input(path, (30, 1, 1), bin_s=float(bin_s), timesteps=2000)
    step = np.repeat(np.arange(2000), np.diff(entry.indptr))
    assert dict(zip(entry.neuron.tolist(), step.tolist(), strict=True)) == {
        unit: int(Fraction(time) / Fraction(bin_s)) for unit, time in enumerate(times)
    }


def test_samples_beyond_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(shd, "available_bytes", lambda: 70)
    path = write_shd(tmp_path / "in.h5", SPOKEN)
    assert len(read_shd(path, 2)[0]) == 2
    with refused("free memory", "at most 2"):
        read_shd(path)


def test_only_the_first_samples_are_read(tmp_path):
    path = write_shd(tmp_path / "in.h5", SPOKEN)
    spoken, labels = read_shd(path, 2)
    assert (len(spoken), labels.tolist()) == (2, [0, 1])
    assert len(load_input(path, FLAT, samples=1, bin_s=0.1)) == 1
    with refused("3 samples", "4 are asked"):
        load_input(path, FLAT, samples=4, bin_s=0.1)


@pytest.mark.parametrize("name", ["spikes/times", "spikes/units", "labels"])
def test_shd_datasets_are_missed_by_name(tmp_path, name):
    with refused(r"in\.h5", f"no dataset '{name}'"):
        read_shd(write_shd(tmp_path / "in.h5", SPOKEN, leave_out=[name]))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"samples": [([0.1], [1]), ([0.1, 0.2], [1])]}, ("sample 1", "2 times", "1 units")),
        ({"samples": SPOKEN, "labels": [1, 2]}, ("3 times", "2 labels")),
        ({"samples": SPOKEN, "labels": [0.5, 1, 2]}, ("labels", "float64")),
        ({"samples": SPOKEN, "times_type": "i8"}, ("spikes/times", "floating-point seconds")),
        ({"samples": SPOKEN, "units_type": "f4"}, ("spikes/units", "integers")),
        ({"samples": SPOKEN, "times_type": ">f2"}, ("spikes/times", "byte order")),
        ({"samples": SPOKEN, "units_type": ">i2"}, ("spikes/units", "byte order")),
        ({"samples": [([0.1], [7])]}, ("sample 0", "unit = 7", r"0\.\.6")),
        ({"samples": [([0.1], [-1])]}, ("unit = -1",)),
        ({"samples": [([-0.5], [1])]}, ("sample 0", "-0.5")),
        ({"samples": [([np.nan], [1])]}, ("sample 0", "nan")),
        ({"samples": []}, ("0 samples",)),
    ],
)
def test_shd_that_does_not_fit(tmp_path, how, words):
    with refused(r"in\.h5", *words):
        load_input(write_shd(tmp_path / "in.h5", **how), FLAT, bin_s=1e-3)


def test_shd_needs_the_duration_of_a_timestep(tmp_path):
    with refused("--dt SECONDS"):
        load_input(write_shd(tmp_path / "in.h5", SPOKEN), FLAT)


def test_times_that_are_not_one_array_per_sample(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["spikes/times"] = np.zeros((3, 4), "f4")
        file["spikes/units"] = np.zeros((3, 4), "i4")
        file["labels"] = np.zeros(3, int)
    with refused("spikes/times", r"\(3, 4\)"):
        read_shd(tmp_path / "in.h5")


def test_a_file_that_is_no_hdf5(tmp_path):
    (tmp_path / "in.h5").write_text("no HDF5")
    with refused(r"in\.h5"):
        load_input(tmp_path / "in.h5", FLAT, bin_s=1e-3)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x19\x00\x00\x00\x10", b"\x19\x0f\x00\x00\x10"),
        (b"\x11\x20\x0f\x00\x02", b"\x11\x20\xff\x00\x02"),
        (b"times", b"\xfftext"),
    ],
)
def test_a_damaged_shd_file(tmp_path, old, new):
    """In particular a ragged type that is neither sequence nor string, on which the HDF5 library crashes."""
    whole = write_shd(tmp_path / "whole.h5", SPOKEN).read_bytes()
    assert old in whole
    (tmp_path / "in.h5").write_bytes(whole.replace(old, new))
    with refused(r"in\.h5"):
        load_input(tmp_path / "in.h5", FLAT, bin_s=0.1)


@pytest.mark.parametrize("libver", ["earliest", "v110", "latest"])
def test_shd_of_any_hdf5_version(tmp_path, libver):
    path = write_shd(tmp_path / "in.h5", SPOKEN, libver=libver)
    assert [u.tolist() for _, u in read_shd(path)[0]] == [[1, 3, 6], [], [2, 2]]


def test_a_truncated_shd_file(tmp_path):
    whole = write_shd(tmp_path / "whole.h5", SPOKEN).read_bytes()
    for cut in range(1, len(whole), len(whole) // 40):
        (tmp_path / "in.h5").write_bytes(whole[:cut])
        with refused(r"in\.h5"):
            read_shd(tmp_path / "in.h5")
