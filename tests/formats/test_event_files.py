"""Event files, written here by the published descriptions or by the library's own encoder: as streams and binned."""

import os
import struct
from importlib import import_module

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.errors import InputError
from nsim.formats import decode_recording, recordings
from nsim.formats.events import read_nmnist
from nsim.formats.spikes import load_input
from nsim.formats.streams import load_events

SENSOR = (2, 30, 34)  # polarities, rows, columns


def refused(*words):
    """Expect an InputError of one line that holds all the words."""
    return pytest.raises(InputError, match=r"\A" + "".join(f"(?=.*{word})" for word in words) + r".*\Z")


def random_events(count, last_us, seed=0):
    """t in microseconds and in order, x, y, p: int64[events] each."""
    rng = np.random.default_rng(seed)
    return {
        "t": np.sort(rng.integers(0, last_us, count)),
        "x": rng.integers(0, 34, count),
        "y": rng.integers(0, 30, count),
        "p": rng.integers(0, 2, count),
    }


def rows(events):
    return zip(*(events[field].tolist() for field in "txyp"), strict=True)


# One writer per format


def write_npy(path, events):
    array = np.zeros(len(events["t"]), [(field, np.int64) for field in "txyp"])
    for field in "txyp":
        array[field] = events[field]
    np.save(path, array)


def write_npz(path, events):
    np.savez(path, **events)


def write_h5(path, events):
    """The SHD layout: seconds, and units that count through the layer."""
    with h5py.File(path, "w") as file:
        for name, values in (
            ("spikes/times", events["t"] / 1e6),
            ("spikes/units", (events["p"] * 30 + events["y"]) * 34 + events["x"]),
        ):
            dataset = file.create_dataset(name, (1,), h5py.vlen_dtype(values.dtype))
            dataset[0] = values
        file["labels"] = np.zeros(1, int)


def nmnist_record(t, x, y, p):
    return (x << 32 | y << 24 | p << 23 | t).to_bytes(5, "big")


def write_bin(path, events):
    path.write_bytes(b"".join(nmnist_record(*event) for event in rows(events)))


def write_dat(path, events, header=b"% Data file containing CD events\n% Version 2\n", kind=b"\x0c\x08"):
    records = [struct.pack("<II", t & 0xFFFFFFFF, x | y << 14 | p << 28) for t, x, y, p in rows(events)]
    path.write_bytes(header + kind + b"".join(records))


def write_evt2(path, events, header=b"% evt 2.0\n% format EVT2;height=30;width=34\n% end\n"):
    words, high = [], None
    for t, x, y, p in rows(events):
        if t >> 6 != high:
            high = t >> 6
            words.append(0x8 << 28 | high & 0xFFFFFFF)
        words.append(p << 28 | (t & 0x3F) << 22 | x << 11 | y)
    path.write_bytes(header + struct.pack(f"<{len(words)}I", *words))


def write_evt3(path, events, header=b"% evt 3.0\n% format EVT3;height=30;width=34\n% end\n"):
    words, high = [], -1
    for t, x, y, p in rows(events):
        while high < t >> 12:  # every value, as a camera does, so that none of the overflows is missed
            high += 1
            words.append(0x8 << 12 | high & 0xFFF)
        words += [0x6 << 12 | t & 0xFFF, y, 0x2 << 12 | p << 11 | x]
    path.write_bytes(header + struct.pack(f"<{len(words)}H", *words))


def write_aedat(path, events, compression=("lz4", 1)):
    faery = import_module("faery")
    array = np.zeros(len(events["t"]), faery.EVENTS_DTYPE)
    for field in "txyp":
        array[field] = events[field]
    faery.events_stream_from_array(array, (34, 30)).to_file(path, compression=compression)


WRITERS = {
    "a.npy": write_npy,
    "a.npz": write_npz,
    "a.h5": write_h5,
    "a.bin": write_bin,
    "a.dat": write_dat,
    "evt2.raw": write_evt2,
    "evt3.raw": write_evt3,
    "a.aedat4": write_aedat,
}


@pytest.fixture
def written(tmp_path):
    """Write events to the file of a name, and return its path; skip the test if that cannot be read here."""

    def write(name, events, **how):
        if name.endswith(recordings.SUFFIXES):
            pytest.importorskip("faery")
        WRITERS[name](tmp_path / name, events, **how)
        return tmp_path / name

    return write


# What was written is read


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_round_trips(written, name):
    """As a stream in picoseconds, and binned, from files that hold the same events."""
    events = random_events(300, 8_000_000)
    path = written(name, events)
    stream = load_events(path, SENSOR)
    start = events["t"][0] if name.endswith("aedat4") else 0  # those times may count from 1970
    assert (stream.t_ps == (events["t"] - start) * 10**6).all()
    assert (stream.neuron == (events["p"] * 30 + events["y"]) * 34 + events["x"]).all()
    assert stream.neurons == 2 * 30 * 34
    (binned,) = load_input(path, SENSOR, bin_s=0.1)
    assert (np.repeat(np.arange(binned.timesteps), np.diff(binned.indptr)) == (events["t"] - start) // 100_000).all()
    assert (binned.neuron == stream.neuron).all()


@pytest.mark.parametrize("name", ["evt2.raw", "evt3.raw", "a.dat"])
def test_times_that_overflow_in_the_file(written, name):
    """24 bits of microseconds in EVT 3, 32 in DAT: the clock starts again, the times go on."""
    last_us = {"evt2.raw": 1 << 33, "evt3.raw": 1 << 26, "a.dat": 3 << 32}[name]
    events = random_events(200, last_us)
    assert (load_events(written(name, events), SENSOR).t_ps == events["t"] * 10**6).all()


def test_vectors_of_evt3(tmp_path):
    """Words for 12 and for 8 pixels in a row, from a base; other kinds of words are passed over."""
    pytest.importorskip("faery")
    words = [0x8000, 0x6000 | 77, 0x0000 | 5, 0x3000 | 1 << 11 | 9, 0x4000 | 0b100000000001, 0x5000 | 0b10000010]
    words += [0xE000, 0x7000, 0xA001]
    path = tmp_path / "in.raw"
    path.write_bytes(b"% evt 3.0\n% geometry 34x30\n" + struct.pack(f"<{len(words)}H", *words))
    stream = load_events(path, SENSOR)
    assert stream.neuron.tolist() == [(30 + 5) * 34 + x for x in (9, 20, 22, 28)]
    assert set(stream.t_ps.tolist()) == {77 * 10**6}


@pytest.mark.parametrize("compression", [None, ("zstd", 3)])
def test_compressions_of_aedat(written, compression):
    events = random_events(50, 1000)
    stream = load_events(written("a.aedat4", events, compression=compression), SENSOR)
    assert (stream.t_ps == (events["t"] - events["t"][0]) * 10**6).all()


def test_aedat_times_of_today(written):
    """Microseconds since 1970 would not fit picoseconds: they count from the first event."""
    events = random_events(50, 1000)
    events["t"] += 1_700_000_000_000_000
    assert (load_events(written("a.aedat4", events), SENSOR).t_ps == (events["t"] - events["t"][0]) * 10**6).all()


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, (1 << 23) - 1),
            st.integers(0, 255),
            st.integers(0, 255) | st.just(240),
            st.integers(0, 1),
        ),
        max_size=20,
    )
)
def test_nmnist_event_by_event(tmp_path_factory, events):
    """Against a loop over the records that keeps its own clock."""
    path = tmp_path_factory.mktemp("bin") / "in.bin"
    path.write_bytes(b"".join(nmnist_record(*event) for event in events))
    expected, lacking = [], 0
    for t, x, y, p in events:
        if y == 240:
            lacking += 8192
        else:
            expected.append((t + lacking, x, y, p))
    assert list(rows(read_nmnist(path))) == expected


@pytest.mark.parametrize("name", ["a.bin", "a.dat", "a.aedat4"])
def test_a_layer_of_one_channel_takes_both_polarities(written, name):
    events = random_events(20, 1000)
    assert (load_events(written(name, events), (1, 30, 34)).neuron == events["y"] * 34 + events["x"]).all()


# What does not fit


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"a.h5"}))
def test_events_outside_the_layer(written, name):
    events = random_events(9, 1000) | {"x": np.array([0, 0, 0, 20, 0, 0, 0, 33, 0])}
    path = written(name, events)
    for read in (load_events, load_input)[: 1 if name in ("evt2.raw", "evt3.raw", "a.aedat4") else 2]:
        with refused(name, "x = 20 in event 3", r"0\.\.19"):
            read(path, (2, 30, 20), **({"bin_s": 1e-3} if read is load_input else {}))


def test_events_outside_the_sensor_of_the_header(written):
    events = random_events(9, 1000) | {"y": np.full(9, 31)}
    with refused("evt2.raw", "y=31", "height=30"):
        load_events(written("evt2.raw", events), (2, 64, 64))


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.bin", "a.dat"])
def test_events_out_of_order(written, name):
    events = random_events(5, 1000) | {"t": np.array([3, 7, 7, 6, 5])}
    with refused(name, "event 3 at 6 us", "event 2 at 7 us", "sort"):
        load_events(written(name, events), SENSOR)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_negative_times(written, name):
    with refused(name, "event 0", "-5"):
        load_events(written(name, random_events(3, 9) | {"t": np.array([-5, -2, 8])}), SENSOR)


@pytest.mark.parametrize(("name", "value"), [("a.npy", 2), ("a.npy", -2), ("a.npz", 7), ("a.dat", 3)])
@pytest.mark.parametrize("channels", [1, 2])
def test_polarities_that_are_none(written, name, value, channels):
    events = random_events(3, 9) | {"p": np.array([0, 1, value])}
    with refused(name, f"p = {value}", "event 2"):
        load_events(written(name, events), (channels, 30, 34))


@pytest.mark.parametrize("name", WRITERS)
def test_empty_files(tmp_path, name):
    (tmp_path / name).touch()
    with refused(name, "is empty"):
        load_events(tmp_path / name, SENSOR)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_without_events_is_silence(written, name):
    if name == "a.aedat4":
        pytest.skip("the encoder writes no file without events")
    nothing = {field: np.zeros(0, np.int64) for field in "txyp"}
    if name == "a.bin":
        with refused("is empty"):
            load_events(written(name, nothing), SENSOR)
    else:
        assert len(load_events(written(name, nothing), SENSOR)) == 0


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"a.bin"}))
def test_files_of_another_kind(tmp_path, name):
    (tmp_path / name).write_bytes(b"neither fish nor fowl")
    with refused(name):
        load_events(tmp_path / name, SENSOR)


@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        ("a.npy", range(1, 200, 7)),
        ("a.npz", range(1, 400, 7)),
        ("a.h5", range(1, 2000, 97)),
        ("a.bin", (1, 4, 11, 199)),
        ("a.dat", (1, 9, 33, 40, 45, 46, 48, 51, 62)),  # the header has 45 bytes, and 2 for the type
        ("evt2.raw", (1, 2, 12, 30, 48, 50, 60)),  # the header has 49
        ("evt3.raw", (1, 2, 12, 30, 48, 50, 60)),
        ("a.aedat4", (1, 13, 300, 800)),  # the header has 710
    ],
)
def test_truncated_files(written, name, cuts):
    """Cut within a header or a record, every format is refused."""
    path = written(name, random_events(40, 1000))
    whole = path.read_bytes()
    for cut in cuts:
        path.write_bytes(whole[:cut])
        with refused(name):
            load_events(path, SENSOR)


def test_recordings_cut_between_records_are_read_as_far(written):
    """RAW and DAT do not say how many events they hold."""
    events = random_events(40, 1000)
    path = written("a.dat", events)
    path.write_bytes(path.read_bytes()[:-16])
    assert (load_events(path, SENSOR).t_ps == events["t"][:-2] * 10**6).all()


def test_a_truncated_record_gives_its_numbers(written):
    path = written("a.bin", random_events(3, 9))
    path.write_bytes(path.read_bytes()[:-1])
    with refused("14 bytes", "the 5 of"):
        load_events(path, SENSOR)
    path = written("a.dat", random_events(3, 9))
    path.write_bytes(path.read_bytes()[:-3])
    with refused("21 bytes of events are 2 records of 8 bytes and 5 more"):
        load_events(path, SENSOR)


@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("evt2.raw", {"header": b"% format EVT21;height=30;width=34\n% end\n"}, ("EVT21", "EVT 3")),
        ("evt2.raw", {"header": b"% evt 2.1\n% end\n"}, ("2.1", "EVT 3")),
        ("evt3.raw", {"header": b"% date today\n% end\n"}, ("None", "EVT 3")),
        ("evt3.raw", {"header": b""}, ("starts with", "Prophesee")),
        ("a.dat", {"header": b"% Version 9\n"}, ("version '9'", "version 2")),
        ("a.dat", {"header": b"% Width 34\n"}, ("version None", "version 2")),
        ("a.dat", {"kind": b"\x0e\x08"}, ("type 14",)),
        ("a.dat", {"kind": b"\x0c\x10"}, ("with 16 bytes",)),
    ],
)
def test_headers_of_recordings_that_are_not_read(written, name, how, words):
    with refused(name, *words):
        load_events(written(name, random_events(4, 9), **how), SENSOR)


def test_a_recording_that_declares_more_than_it_holds(written):
    """The length of an AEDAT header, which comes after the 14 bytes that name the format."""
    path = written("a.aedat4", random_events(4, 9))
    whole = path.read_bytes()
    path.write_bytes(whole[:14] + struct.pack("<I", 0x7FFFFFFF) + whole[18:])
    with refused("a.aedat4", "fetch it again"):
        load_events(path, SENSOR)


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"t": 1}]), allow_pickle=True)
    with refused("pickled"):
        load_events(tmp_path / "a.npy", SENSOR)


def test_damaged_recordings_are_one_line_or_events(written):
    """Any byte of the header of AEDAT 4 changed: some of these make the decoder panic, or abort its process."""
    path = written("a.aedat4", random_events(40, 1000))
    whole = path.read_bytes()
    lines = 0
    for at in (14, 18, 42, 60, 95):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            load_events(path, SENSOR)
        except InputError as fault:
            assert "a.aedat4" in str(fault) and "\n" not in str(fault)
            lines += 1
    assert lines >= 3


# The decoder's process


def test_a_recording_larger_than_the_memory(written, monkeypatch):
    path = written("a.dat", random_events(0, 1))
    with path.open("ab") as file:
        file.write(bytes(8 * 3_000_000))
    monkeypatch.setattr(recordings, "available_bytes", lambda: 1 << 25)
    with refused("a.dat", "33554432 bytes of memory"):
        load_events(path, SENSOR)


def test_a_missing_package_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(recordings, "find_spec", lambda name: None)
    write_dat(tmp_path / "a.dat", random_events(4, 9))
    with refused("a.dat", r"pip install 'nsim-neuromorphic\[events\]'"):
        load_events(tmp_path / "a.dat", SENSOR)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import time; time.sleep(60)", ("no end of it in 1 s",)),
        ("import os; os.abort()", ("damaged", "memory", "ended with code")),
        ("import sys; sys.stderr.write('x overflow'); sys.exit(3)", ("cannot be decoded: x overflow",)),
        ("import sys; sys.exit(101)", ("code 101",)),
        ("import sys; sys.stderr.write('no such symbol'); sys.exit(5)", ("cannot be imported .no such symbol",)),
    ],
)
def test_what_happens_to_the_decoder_is_one_line(written, tmp_path, monkeypatch, program, words):
    (tmp_path / "decoder.py").write_text(program)
    monkeypatch.setattr(decode_recording, "__file__", os.fspath(tmp_path / "decoder.py"))
    monkeypatch.setattr(recordings, "START_SECONDS", 1.0)
    with refused("a.dat", *words):
        load_events(written("a.dat", random_events(4, 9)), SENSOR)
