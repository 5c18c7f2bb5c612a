"""Spoken digits in SHD layout: what is loaded is what was written, divided and binned as published."""

import gzip
import hashlib
import itertools
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsim.errors import InputError
from nsim.training.data.spoken import (
    SHD_ARCHIVES_MD5,
    SpokenDigits,
    binned,
    held_out,
    load_split,
    load_spoken,
    validation_split,
)

WORDS = ("zero", "fünf")
SPIKES = [([0.5, 0.25, 0.0], [699, 0, 6]), ([], []), ([1.25], [5]), ([0.125, 0.125], [3, 2])]


def write(path, spikes=SPIKES, labels=(0, 1, 1, 0), speakers=(0, 1, 2, 2), split=None, attributes=None, **dtypes):
    times_type, units_type, label_type = (
        np.dtype(dtypes.get(f"{name}_type", default))
        for name, default in (("times", "f2"), ("units", "u2"), ("labels", "u1"))
    )
    with h5py.File(path, "w") as file:
        for name, element, column in (("times", times_type, 0), ("units", units_type, 1)):
            dataset = file.create_dataset(f"spikes/{name}", (len(spikes),), h5py.vlen_dtype(element))
            for sample, columns in enumerate(spikes):
                dataset[sample] = np.array(columns[column], element)
        file["labels"] = np.array(labels, label_type)
        file["extra/speaker"] = np.array(speakers, label_type)
        file["extra/keys"] = list(WORDS)
        if split is not None:
            file["extra/split"] = np.array(split, np.uint8)
        file.attrs.update(attributes or {})
    return path


def digits(spikes, speakers=None, labels=None):
    count = len(spikes)
    return SpokenDigits(
        "made up",
        [np.array(times, np.float32) for times, _ in spikes],
        [np.array(units, np.int32) for _, units in spikes],
        np.arange(count) if labels is None else labels,
        np.zeros(count, np.int64) if speakers is None else np.array(speakers),
        tuple(map(str, range(max(count, 1)))),
        {},
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    times=st.sampled_from(["f2", "f4", "f8"]),
    units=st.sampled_from(["i2", "i4", "i8", "u2", "u4", "u8"]),
    labels=st.sampled_from(["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]),
    packed=st.booleans(),
)
def test_any_width_is_read_and_sorted(tmp_path, times, units, labels, packed):
    """All values are exact in half precision, so every width must give the same."""
    path = write(tmp_path / "digits.h5", times_type=times, units_type=units, labels_type=labels)
    if packed:
        path.with_suffix(".h5.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path = path.with_suffix(".h5.gz")
    loaded = load_spoken(path)
    assert [t.tolist() for t in loaded.times_s] == [[0.0, 0.25, 0.5], [], [1.25], [0.125, 0.125]]
    assert [u.tolist() for u in loaded.units] == [[6, 0, 699], [], [5], [3, 2]]
    assert loaded.labels.tolist() == [0, 1, 1, 0]
    assert loaded.speakers.tolist() == [0, 1, 2, 2]
    assert loaded.words == WORDS
    assert {t.dtype for t in loaded.times_s} == {np.dtype("f4")}
    assert {u.dtype for u in loaded.units} == {np.dtype("i4")}


def test_names_say_where_data_are_from(tmp_path):
    """Neither the file's name alone nor the attribute of a generator makes a set SHD; the published numbers do."""
    count = 2088
    genuine = {"spikes": [([], [])] * count, "labels": [0] * count, "speakers": [0] * count}
    assert load_spoken(write(tmp_path / "shd_test.h5")).name == "shd_test.h5"
    assert load_spoken(write(tmp_path / "shd_test.h5", **genuine)).name == "shd_test.h5"  # but 2 words only
    marked = load_spoken(write(tmp_path / "shd_test.h5", attributes={"generator": "1"}))
    assert marked.name == "synthetic spoken digits"
    with h5py.File(write(tmp_path / "shd_test.h5", **genuine), "a") as file:
        del file["extra/keys"]
        file["extra/keys"] = list(map(str, range(20)))
    assert load_spoken(tmp_path / "shd_test.h5").name == "SHD"


def test_split_of_one_file_of_a_folder_and_of_a_pair(tmp_path):
    one = load_split(write(tmp_path / "digits.h5", split=(0, 1, 0, 1)))
    assert [half.speakers.tolist() for half in one] == [[0, 2], [1, 2]]
    write(tmp_path / "shd_train.h5", speakers=(1, 1, 1, 1))
    plain = write(tmp_path / "plain.h5", speakers=(7, 7, 7, 7))
    (tmp_path / "shd_test.h5.gz").write_bytes(gzip.compress(plain.read_bytes()))
    for path in (tmp_path, tmp_path / "shd_train.h5", (tmp_path / "shd_train.h5", plain)):
        assert [half.speakers[0] for half in load_split(path)] == [1, 7]


def test_missing_shd_says_where_it_is_and_what_its_archive_is(tmp_path):
    with pytest.raises(InputError, match=r"shd_train\.h5\.zip.*zenkelab.*" + SHD_ARCHIVES_MD5["shd_train.h5.zip"]):
        load_split(tmp_path)


def test_md5_is_that_of_the_list_beside_the_file_or_unknown(tmp_path):
    path = write(tmp_path / "shd_test.h5")
    assert load_spoken(path).attributes["md5"] == "not known here"
    right = hashlib.md5(path.read_bytes()).hexdigest()
    (tmp_path / "md5sums.txt").write_text(f"{'0' * 32}  other.h5\n{right}  shd_test.h5\n")
    assert load_spoken(path).attributes["md5"].startswith(right)
    (tmp_path / "md5sums.txt").write_text(f"{'0' * 32}  shd_test.h5\n")
    with pytest.raises(InputError, match=f"{right}.*{'0' * 32}"):
        load_spoken(path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"spikes": [([np.nan], [1]), *SPIKES[1:]]}, "sample 0.*NaN"),
        ({"spikes": [*SPIKES[:3], ([-0.5], [1])]}, r"sample 3.*-0\.5"),
        ({"spikes": [([0.5], [700]), *SPIKES[1:]]}, "unit 700.*700 channels"),
        ({"spikes": [([0.5], [-1]), *SPIKES[1:]], "units_type": "i2"}, "unit -1"),
        ({"spikes": [([0.5], [1, 2]), *SPIKES[1:]]}, "1 times, but 2 units"),
        ({"labels": (0, 2, 1, 0)}, "sample 1 has label 2.*2 words"),
        ({"labels": (0, -1, 1, 0), "labels_type": "i1"}, "label -1"),
        ({"labels": (0, 1, 1)}, "4 times, 4 units and 3 labels"),
        ({"speakers": (0, 1)}, "extra/speaker"),
        ({"split": (0, 1, 2, 1)}, "2 in extra/split"),
    ],
)
def test_impossible_contents_are_refused(tmp_path, changes, complaint):
    path = write(tmp_path / "bad.h5", **changes)
    with pytest.raises(InputError, match=complaint):
        load_spoken(path)


@pytest.mark.parametrize("name", ["spikes/times", "spikes/units", "labels", "extra/speaker", "extra/keys"])
def test_every_dataset_is_needed(tmp_path, name):
    with h5py.File(write(tmp_path / "bad.h5"), "a") as file:
        del file[name]
    with pytest.raises(InputError, match=f"no dataset '{name}'"):
        load_spoken(tmp_path / "bad.h5")


def test_damaged_files_are_one_line_with_their_own_name(tmp_path):
    whole = write(tmp_path / "whole.h5").read_bytes()
    packed = gzip.compress(whole)
    files = {"cut.h5": whole[:-100], "text.h5": b"hello" * 9, "cut.h5.gz": packed[:-20], "plain.h5.gz": whole}
    files["text.h5.gz"] = gzip.compress(b"hello" * 9)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name) as error:
            load_spoken(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="no such file"):
        load_spoken(tmp_path / "nothing.h5")


def test_one_file_without_a_split_or_with_half_of_one_is_no_set(tmp_path):
    for split, complaint in ((None, "no extra/split"), ((0, 0, 0, 0), "all of one split")):
        with pytest.raises(InputError, match=complaint):
            load_split(write(tmp_path / "digits.h5", split=split))


def four_speakers():
    """60 samples of speakers 0 to 3 in turn."""
    count = 60
    empty = [np.zeros(0, np.float32)] * count, [np.zeros(0, np.int32)] * count
    return SpokenDigits("made up", *empty, np.arange(count), np.arange(count) % 4, ("a",), {})


@pytest.mark.parametrize(
    ("test_speaker", "how", "held", "whole"),
    [(4, "", 15, True), (2, "", 6, False), (2, "speakers:2", 30, True), (4, "clips:0.5", 30, False)],
)
def test_validation_is_held_out_as_the_test_is(test_speaker, how, held, whole):
    """Speakers if the test has an unheard one, else clips of all speakers; nothing is lost and nothing is in both."""
    samples = four_speakers()
    train, validation = held_out(samples, samples.take(samples.speakers == 2), np.random.default_rng(0), how or "")
    if test_speaker == 4:
        other = replace(samples, speakers=samples.speakers + 1)
        train, validation = held_out(samples, other, np.random.default_rng(0), how)
    assert len(validation) == held and sorted([*train.labels, *validation.labels]) == list(range(60))
    assert (not set(train.speakers) & set(validation.speakers)) == whole


@pytest.mark.parametrize("how", ["takes:2", "clips:0", "clips:1", "clips:x", "speakers:x", "clips:nan", "clips:0.001"])
def test_other_ways_to_hold_out_are_refused(how):
    with pytest.raises(InputError, match="give speakers:N, or clips:SHARE"):
        held_out(four_speakers(), four_speakers(), np.random.default_rng(0), how)


@given(speakers=st.lists(st.integers(0, 12), min_size=2, max_size=40), seed=st.integers(0, 9))
def test_validation_takes_whole_speakers_and_loses_nothing(speakers, seed):
    samples = digits([([], [])] * len(speakers), speakers)
    known = set(speakers)
    if len(known) < 2:
        with pytest.raises(InputError, match="1 training speakers"):
            validation_split(samples, np.random.default_rng(seed))
        return
    train, validation = validation_split(samples, np.random.default_rng(seed))
    held_out = set(validation.speakers.tolist())
    assert not held_out & set(train.speakers.tolist())
    assert len(held_out) == max(1, len(known) // 5)
    assert sorted([*train.labels, *validation.labels]) == list(range(len(speakers)))


def naive(samples, bins, window_s, inputs, phase_of):
    """np.digitize and the published stride, one spike at a time."""
    stride = -(-700 // inputs)
    rows = []
    for sample, (times, units) in enumerate(zip(samples.times_s, samples.units, strict=True)):
        for phase in phase_of(sample, stride):
            image = np.zeros((bins, inputs), np.uint8)
            for time, unit in zip(times, units, strict=True):
                when = np.digitize(time, np.linspace(0, window_s, bins))
                if when < bins and unit % stride == phase:
                    image[when, unit // stride] = 1
            rows.append(image)
    return np.array(rows)


@settings(deadline=None)
@given(
    spikes=st.lists(
        st.lists(st.tuples(st.floats(0, 2, width=32), st.integers(0, 699)), max_size=30), min_size=1, max_size=3
    ),
    bins=st.integers(2, 30),
    inputs=st.sampled_from([1, 100, 128, 350, 700, 900]),
    window_s=st.sampled_from([0.5, 1.4]),
)
def test_binning_is_the_published_one(spikes, bins, inputs, window_s):
    samples = digits([([t for t, _ in s], [u for _, u in s]) for s in spikes])
    x, labels = binned(samples, bins=bins, window_s=window_s, inputs=inputs)
    stride = -(-700 // inputs)
    assert np.array_equal(x, naive(samples, bins, window_s, inputs, lambda _, stride: range(stride)))
    assert labels.tolist() == list(itertools.chain(*([k] * stride for k in range(len(spikes)))))
    first, labels = binned(samples, bins=bins, window_s=window_s, inputs=inputs, shifts="first")
    assert np.array_equal(first, x[::stride])
    assert labels.tolist() == list(range(len(spikes)))


def test_random_shifts_take_each_phase_and_repeat_by_seed():
    samples = digits([([0.1] * 700, range(700))] * 60)
    every, _ = binned(samples)
    one, _ = binned(samples, shifts="random", rng=np.random.default_rng(3))
    again, _ = binned(samples, shifts="random", rng=np.random.default_rng(3))
    phases = np.random.default_rng(3).integers(0, 6, 60)
    assert np.array_equal(one, again)
    assert np.array_equal(one, every.reshape(60, 6, 100, 128)[np.arange(60), phases])
    assert set(phases) == set(range(6))


def test_shape_is_that_of_the_published_loader():
    """140 samples became (840, 100, 128): 117 inputs are used by the first four phases, 116 by the other two."""
    x, _ = binned(digits([([0.7] * 700, range(700))] * 140))
    assert x.shape == (840, 100, 128)
    assert x.dtype == np.uint8
    assert x[:6].sum(axis=(1, 2)).tolist() == [117, 117, 117, 117, 116, 116]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"bins": 1}, "1 bins"),
        ({"window_s": 0.0}, r"0\.0 s"),
        ({"window_s": float("nan")}, "nan s"),
        ({"inputs": 0}, "0 inputs"),
        ({"shifts": "some"}, "'some'"),
        ({"shifts": "random"}, "give rng"),
        ({"bins": 10**12}, "memory"),
    ],
)
def test_binning_that_makes_no_sense_is_refused(options, complaint):
    with pytest.raises(InputError, match=complaint):
        binned(digits(SPIKES), **options)
