"""A folder of recordings as a set of spikes: whose they are, what is refused, and that the ear hears them alike."""

import csv
import json

import numpy as np
import pytest
from scipy.io import wavfile

from nsim.errors import InputError
from nsim.formats.shd import read_shd
from nsim.training.data.cochlea import Cochlea
from nsim.training.data.hearing import Heard, Hearing, Set, write_set
from nsim.training.data.recordings import Found, Settings, as_set, find, hear, read_sound, test_rule
from nsim.training.data.spoken import load_split, load_spoken
from tests.generators.commands import nsim, refused, the_line

NAMES = "{label}_{speaker}_{take}.wav"
RATE_HZ = 8_000


@pytest.fixture(autouse=True)
def a_small_ear(monkeypatch):
    """Tables for short sounds: tenths of a second instead of seconds."""
    monkeypatch.setattr("nsim.training.data.recordings.LENGTHS_S", (0.07, 4.0))


def tone(seconds=0.06, hz=440.0, rate_hz=RATE_HZ):
    return (12_000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.int16)


def write_wavs(folder, names, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(folder / name, changes.get("rate_hz", RATE_HZ), changes.get("sound", tone(hz=300 + 40 * number)))
    return folder


@pytest.fixture
def folder(tmp_path):
    """Words 2 and 10, speakers ann and bob, takes 0 and 1."""
    return write_wavs(tmp_path / "wavs", [f"{w}_{s}_{t}.wav" for w in (2, 10) for s in ("ann", "bob") for t in (0, 1)])


def options(*more):
    return ["--names", NAMES, "--test", "takes:0", "--rate-hz", 8_000, *more]


def test_the_command_writes_shds_layout_that_training_reads(folder, tmp_path):
    out = tmp_path / "set.h5.gz"
    done = nsim("data", "recordings", folder, out, *options(), "--json")
    assert done.returncode == 0, done.stderr
    facts = the_line(done)
    assert (facts["training_samples"], facts["test_samples"], facts["skipped"]) == (4, 4, [])
    train, test = load_split(out)
    assert train.name == test.name == "recordings in wavs"
    assert train.words == ("2", "10") and train.attributes["time_step_s"] == 1e-3
    # files in the order of their names: 10_ann_0, 10_ann_1, 10_bob_0, 10_bob_1, 2_ann_0, ...
    assert train.labels.tolist() == test.labels.tolist() == [1, 1, 0, 0]
    assert train.speakers.tolist() == [0, 1, 0, 1]
    for times in train.times_s:
        assert times.size > 100
        np.testing.assert_allclose(times, np.rint(times * 1000) / 1000, atol=1e-6)


def test_a_recording_is_heard_as_the_ear_hears_it_alone(folder):
    """By the cochlea of its length, with the seed of its name; neither other files nor threads change it."""
    settings = Settings(NAMES, "takes:0", Hearing(8_000, 0.0), seed=3)
    recordings = find(folder, NAMES).recordings
    one, both = hear(recordings[:1], settings, 1)[0], hear(recordings, settings, 2)
    np.testing.assert_array_equal(one.times_s, both[0].times_s)
    np.testing.assert_array_equal(one.units, both[0].units)
    ear = Cochlea(8_000, 0.07 + 1 / 4000)
    sound = settings.hearing.resampled(read_sound(recordings[0].path)[1], RATE_HZ)
    counts = [ear.spikes(sound, seed)[0].size for seed in range(5)]
    assert min(counts) * 0.9 < one.times_s.size < max(counts) * 1.1
    other = hear(recordings[:1], Settings(NAMES, "takes:0", Hearing(8_000, 0.0), seed=4), 1)[0]
    assert other.times_s.size != one.times_s.size or (other.units != one.units).any()


def test_resampling_keeps_the_tone():
    """A tone of 440 Hz at 8 kHz is one at 48 kHz, but for the filter's edges."""
    found = Hearing(48_000).resampled(tone(0.1).astype(float), RATE_HZ)
    np.testing.assert_allclose(found[600:-600], tone(0.1, rate_hz=48_000)[600:-600], atol=0.02 * 12_000)


def test_it_is_never_called_shd(tmp_path, monkeypatch):
    """Even under the file's name, with as many samples and words: then only the attribute tells."""
    monkeypatch.setattr("nsim.training.data.spoken.SHD_SAMPLES", ({40}, {40}))
    heard = [Heard(np.zeros(1, np.float32), np.zeros(1, np.uint16))] * 40
    labels = np.arange(40) % 20
    empty = Found([], {})
    attributes = as_set(tmp_path, Settings(NAMES, "takes:0"), empty, np.zeros(0, bool), []).attributes
    names = []
    for more in (attributes, {}):
        made = Set(heard, labels, labels, labels == 0, tuple(map(str, range(20))), {}, more)
        write_set(tmp_path / "shd_train.h5", made)
        names.append(load_spoken(tmp_path / "shd_train.h5").name)
    assert names == [f"recordings in {tmp_path.name}", "SHD"]


def test_names_may_hold_folders_and_no_takes(tmp_path):
    folder = write_wavs(tmp_path / "wavs", ["yes/ann.wav", "no/ann.WAV", "no/bob.wav"])
    found = find(folder, "{label}/{speaker}.wav").recordings
    assert [(each.label, each.speaker, each.take) for each in found] == [
        ("no", "ann", -1),
        ("no", "bob", -1),
        ("yes", "ann", -1),
    ]
    assert test_rule("speakers:bob", found).tolist() == [False, True, False]
    assert {each.label for each in find(folder, "{label}.wav").recordings} == {"ann", "bob"}


def test_a_table_says_what_is_for_the_test(folder, tmp_path):
    found = find(folder, NAMES).recordings
    with (tmp_path / "split.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("file", "split"), *((each.name, "test" if each.label == "2" else "train") for each in found)]
        )
    rule = test_rule(str(tmp_path / "split.csv"), found)
    assert rule.tolist() == [each.label == "2" for each in found]


def spoil(folder):
    """One file of every kind that cannot be used, with what has to be said of it."""
    write_wavs(folder, ["1_two_0.wav"], sound=np.stack([tone(), tone()], axis=1))
    write_wavs(folder, ["1_empty_0.wav"], sound=tone()[:0])
    write_wavs(folder, ["1_nan_0.wav"], sound=np.r_[np.float32(np.nan), np.ones(900, np.float32)])
    write_wavs(folder, ["1_silent_0.wav"], sound=np.zeros(900, np.int16))
    write_wavs(folder, ["1_long_0.wav"], sound=tone(4.1))
    write_wavs(folder, ["1_slow_0.wav"], rate_hz=100, sound=tone())
    write_wavs(folder, ["nameless.wav", "1_cut_0.wav"])
    whole = (folder / "1_cut_0.wav").read_bytes()
    (folder / "1_cut_0.wav").write_bytes(whole[:-100])
    (folder / "1_head_0.wav").write_bytes(whole[:20])
    (folder / "1_text_0.wav").write_text("no sound")
    return {
        "1_two_0.wav": "has 2 channels",
        "1_empty_0.wav": "has 0 samples",
        "1_nan_0.wav": "has 1 samples that are NaN",
        "1_silent_0.wav": "is silent",
        "1_long_0.wav": "4.100 s: a word lasts 0.02 to 4.0 s",
        "1_slow_0.wav": "100 samples per second",
        "nameless.wav": "is not named as",
        "1_cut_0.wav": "cannot be read",
        "1_head_0.wav": "cannot be read",
        "1_text_0.wav": "cannot be read",
    }


def test_bad_wavs_are_named_or_refused(folder, tmp_path):
    expected = spoil(folder)
    found = find(folder, NAMES)
    assert len(found.recordings) == 8 and found.bad.keys() == expected.keys()
    for name, words in expected.items():
        assert words in found.bad[name]
    out = tmp_path / "set.h5"
    line = refused("data", "recordings", folder, out, *options())
    assert "10 of 18 WAVs cannot be used: 1_cut_0.wav cannot be read" in line and "--skip-bad" in line
    assert not out.exists()
    done = nsim("data", "recordings", folder, out, *options("--skip-bad"))
    assert done.returncode == 0 and done.stdout.count("skipped: ") == 10 and "10 WAVs skipped" in done.stdout
    skipped = the_line(nsim("data", "recordings", folder, out, *options("--skip-bad"), "--json"))["skipped"]
    assert sorted(skipped) == sorted(expected)
    assert load_split(out)[0].attributes["skipped"] == 10


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32])
def test_sounds_of_any_width_are_read(tmp_path, kind):
    scale = {np.uint8: 1 / 256, np.int32: 65536, np.float32: 1 / 32768}.get(kind, 1)
    sound = (tone().astype(float) * scale + (128 if kind is np.uint8 else 0)).astype(kind)
    rate_hz, found = read_sound(write_wavs(tmp_path, ["a.wav"], sound=sound) / "a.wav")
    assert rate_hz == RATE_HZ and abs(found.mean()) < 0.02 * np.abs(found).max()
    assert np.corrcoef(found, tone())[0, 1] > 0.999


@pytest.mark.parametrize(
    ("names", "test", "complaint"),
    [
        ("{word}.wav", "takes:0", "{word} in it: give {label}"),
        ("{label}_{label}.wav", "takes:0", "{label} in it"),
        ("{take}.wav", "takes:0", "no {label}"),
        ("x{label}.wav", "takes:0", "none of 8 WAVs"),
        ("{label}.wav", "takes:0", "the names have no {take}"),
        (NAMES, "takes:", "'' is no range"),
        (NAMES, "takes:1-x", "'1-x' is no range"),
        (NAMES, "takes:7", "none of the 8 recordings are for the test"),
        (NAMES, "takes:0-1", "all of the 8 recordings"),
        (NAMES, "speakers:bo", "did you mean bob? there are ann, bob"),
        (NAMES, "nothing.csv", "give takes:0-4, speakers:NAME, or a CSV file"),
    ],
)
def test_names_and_rules_that_do_not_fit(folder, tmp_path, names, test, complaint):
    out = tmp_path / "set.h5"
    line = refused("data", "recordings", folder, out, "--names", names, "--test", test, cwd=tmp_path)
    assert complaint in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("file,split\n2_ann_0.wav,test\n", "does not name 7 of 8 WAVs, as 10_ann_0.wav"),
        ("file,split\n2_ann_0.wav,maybe\n", "2_ann_0.wav has split 'maybe'"),
        ("name,part\n2_ann_0.wav,test\n", "give the columns file and split"),
    ],
)
def test_tables_that_do_not_fit(folder, tmp_path, text, complaint):
    table = tmp_path / "split.csv"
    table.write_text(text)
    assert complaint in refused("data", "recordings", folder, tmp_path / "set.h5", "--names", NAMES, "--test", table)


def test_folders_without_recordings(tmp_path):
    out = tmp_path / "set.h5"
    assert "no folder" in refused("data", "recordings", tmp_path / "none", out, *options())
    (tmp_path / "empty").mkdir()
    assert "holds no .wav file" in refused("data", "recordings", tmp_path / "empty", out, *options())


def test_the_same_take_twice_is_refused(folder, tmp_path):
    write_wavs(folder, ["more/2_ann_1.wav"])
    line = refused("data", "recordings", folder, tmp_path / "set.h5", *options())
    assert "2_ann_1.wav and more/2_ann_1.wav have the same label, speaker and take" in line


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    nothing = np.zeros(0, int)
    with pytest.raises(InputError, match="No space left"):
        write_set(tmp_path / "set.h5", Set([], nothing, nothing, nothing > 0, (), {}, {}))
    assert not list(tmp_path.iterdir())


def test_ctrl_c_says_that_nothing_is_written(folder, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("nsim.training.data.recordings._heard", interrupted)
    done = nsim("data", "recordings", folder, tmp_path / "set.h5", *options())
    assert done.returncode == 130 and "interrupted after 0 of 8 recordings: nothing is written" in done.stderr
    assert not (tmp_path / "set.h5").exists()


def test_spikes_of_one_millisecond_are_sorted_by_channel_and_compress(folder, tmp_path):
    found = hear(find(folder, NAMES).recordings[:1], Settings(NAMES, "takes:0", Hearing(8_000, 1e-3)), 1)[0]
    order = np.lexsort((found.units, found.times_s))
    np.testing.assert_array_equal(order, np.arange(order.size))
    nsim("data", "recordings", folder, tmp_path / "set.h5", *options())
    spikes, labels = read_shd(tmp_path / "set.h5")
    assert len(spikes) == 8 and json.dumps(labels.tolist()) == "[1, 1, 1, 1, 0, 0, 0, 0]"
