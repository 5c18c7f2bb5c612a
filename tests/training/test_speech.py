"""Spoken digits made offline: the ear against published places, a naive twin and the original converter; the files."""

import gzip
import shutil
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from nsim.cli.main import app
from nsim.errors import InputError
from nsim.formats.shd import read_shd
from nsim.training.data.cochlea import (
    FIBRES,
    PLACES,
    Cochlea,
    _binomial,
    _hear_one,
    _start,
    _uniform,
    prepared,
    transfer,
)
from nsim.training.data.generate import GENERATOR, Settings, generate, write
from nsim.training.data.hearing import Hearing
from nsim.training.data.spoken import READY_SET, SYNTHETIC, load_split
from nsim.training.data.voices import SPEAKERS, WORDS, Saying, sayings, spoken
from tests.generators.commands import nsim, the_line

speaks = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
RATE_HZ = 16_000


def vowel(seconds=0.15, pitch_hz=120):
    """Pulses at a pitch, with two resonances: something like "a"."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    since = t % (1 / pitch_hz)
    return np.exp(-60 * since) * (np.sin(2 * np.pi * 700 * since) + 0.6 * np.sin(2 * np.pi * 1200 * since))


@pytest.mark.parametrize(
    ("unit", "hz"), [(0, 22_500), (100, 10_600), (200, 5_000), (300, 2_400), (400, 1_100), (500, 525), (600, 245)]
)
def test_resonance_by_channel_cramer2020(unit, hz):
    """Frequencies of the places, as derived from the published constants, at sqrt(stiffness / mass)."""
    place = np.array([PLACES * unit / 699])
    omega = 2 * np.pi * np.geomspace(30, 30_000, 2_000)
    loudest = omega[np.abs(transfer(omega, place)[0]).argmax()] / (2 * np.pi)
    assert 0.6 * hz < loudest < 1.05 * hz  # with damping the membrane answers most a little below


def test_high_tones_are_heard_at_low_channels():
    ear, t = Cochlea(RATE_HZ, 0.1), np.arange(RATE_HZ // 10) / RATE_HZ
    middle = []
    for hz in (300, 800, 2_000, 5_000):
        units = ear.spikes(np.sin(2 * np.pi * hz * t), 1)[1]
        busy = np.bincount(units // 10, minlength=70)
        middle.append(int(busy.argmax()))
    assert middle == sorted(middle, reverse=True) and len(set(middle)) == 4


@pytest.mark.parametrize(("trials", "p"), [(40, 0.001), (40, 0.03), (17, 0.5), (40, 0.97), (1, 0.2)])
def test_inversion_draws_binomial_numbers(trials, p):
    draws = (np.arange(20_000) + 0.5) / 20_000
    found = np.bincount([_binomial(trials, p, draw) for draw in draws], minlength=trials + 1)
    np.testing.assert_allclose(found / 20_000, stats.binom.pmf(np.arange(trials + 1), trials, p), atol=1e-4)


def test_no_trial_and_certain_trials():
    assert _binomial(0, 0.5, 0.3) == _binomial(40, 0.0, 0.3) == _binomial(40, -1.0, 0.3) == 0
    assert _binomial(40, 1.0, 0.3) == _binomial(40, 1.5, 0.3) == 40


def test_splitmix64_reference_values():
    """First numbers from seed 1234567, as published with the algorithm's reference code."""
    state = np.uint64(1234567)
    for expected in (6457827717110365317, 3203168211198807973, 9817491932198370423):
        draw, state = _uniform(np.uint64(state))  # numba hands out a plain integer
        assert draw == (expected >> 11) * 2.0**-53


def test_states_of_neighbours_are_unlike():
    states = {int(_start(seed, channel)) for seed in range(100) for channel in range(700)}
    assert len(states) == 70_000


def heard_naively(velocity, rate_hz, rng):
    """Spikes of one channel with forty fibres that each draw for themselves, written from the published equations."""
    y, g, lost, reuptake, process, a, b, scale = 5.05, 2000.0, 2500.0, 6580.0, 66.3, 5.0, 300.0, 50000.0
    dt, k = 1 / rate_hz, g * a / (a + b)
    c = y * k / (lost * k + y * (lost + reuptake))
    q, w = c * (lost + reuptake) / k, c * reuptake / process
    last = np.full(FIBRES, -(10**9))
    v = current = rest = 0.0
    spikes = 0
    for step, at in enumerate(velocity):
        k = g * dt * (at + a) / (at + a + b) if at + a > 0 else 0.0
        replenished = y * dt * (1 - q) if q < 1 else 0.0
        eject, gone, back, again = k * q, (lost + reuptake) * dt * c, reuptake * dt * c, process * dt * w
        q, c, w = max(q + replenished - eject + again, 0), max(c + eject - gone, 0), max(w + back - again, 0)
        fires = (rng.random(FIBRES) < c * scale * dt) & (step - last >= 1e-3 * rate_hz)
        last[fires] = step
        if step and rest <= 0:
            if v < 1:
                v *= np.exp(-dt / 1e-3)
            else:
                rest, v, spikes = 1e-3 * rate_hz, 0.0, spikes + 1
        current = current * np.exp(-dt / 5e-4) * (step > 0) + fires.sum()
        if rest <= 0:
            v = min(v + current * 13e3 / FIBRES * dt, 1.0)
        rest -= 1
    return spikes


@pytest.mark.parametrize("loudness", [0.0, 30.0, 300.0])
def test_one_draw_for_all_fibres_is_as_good_as_one_each(loudness):
    """Counts of a compiled channel and of its naive twin, within four standard errors of each other."""
    rate_hz, repeats = 8_000, 60
    velocity = (loudness * np.sin(2 * np.pi * 200 * np.arange(1_600) / rate_hz)).astype(np.float32)
    at = np.zeros(2_000, np.int32)
    ours = [_hear_one(velocity, rate_hz, np.uint64(_start(seed, 3)), at) for seed in range(repeats)]
    rng = np.random.default_rng(0)
    naive = [heard_naively(velocity.astype(float), rate_hz, rng) for _ in range(repeats)]
    error = np.sqrt((np.var(ours, ddof=1) + np.var(naive, ddof=1)) / repeats)
    assert abs(np.mean(ours) - np.mean(naive)) <= 4 * error + 1e-9
    assert loudness == 0.0 or np.mean(ours) > 5


def test_a_sound_is_scaled_and_faded():
    sound = prepared(np.random.default_rng(0).normal(0, 7, 5_000))
    assert sound[0] == sound[-1] == 0
    assert np.sqrt(np.mean((sound / np.maximum(np.hanning(5_000), 1e-12))[1:-1] ** 2)) == pytest.approx(0.3, rel=1e-3)


@pytest.mark.oracle("lauscher")
@pytest.mark.slow
def test_as_many_spikes_as_the_original_converter(tmp_path):
    """lauscher 1.0.1 on a short vowel: total and counts by groups of channels. Its fibres have no seed."""
    from scipy.io import wavfile

    wavfile.write(tmp_path / "vowel.wav", RATE_HZ, (20_000 * vowel() / np.abs(vowel()).max()).astype(np.int16))
    command = [sys.executable, "-m", "lauscher", tmp_path / "vowel.wav", tmp_path / "out.npz", "--num_channels", "700"]
    subprocess.run([*map(str, command), "-j", "2"], check=True, capture_output=True, env={"MPLBACKEND": "Agg"})
    theirs = np.load(tmp_path / "out.npz")["arr_0"][1].astype(int)
    ear = Cochlea(RATE_HZ, 0.2)
    ours = [ear.spikes(vowel(), seed)[1] for seed in range(30)]
    total = [units.size for units in ours]
    assert abs(theirs.size - np.mean(total)) < 5 * np.std(total)
    groups = np.array([np.bincount(units // 50, minlength=14) for units in ours])
    away = (np.bincount(theirs // 50, minlength=14) - groups.mean(axis=0)) / np.maximum(groups.std(axis=0), 1)
    assert np.sqrt(np.mean(away**2)) < 2.5


def test_every_speaker_says_every_word():
    said = sayings(3, 2, 1.0, np.random.default_rng(0))
    assert sorted((s.speaker, s.label) for s in said) == sorted(
        (k, w) for k in range(3) for w in range(20) for _ in "ab"
    )
    assert len({s.seed for s in said}) == len(said)
    assert all(s.voice.startswith("de+") == (s.label >= 10) for s in said)


def test_no_speaker_twice():
    assert len(set(SPEAKERS)) == len(SPEAKERS) == 38 and len(WORDS) == 20


def test_a_missing_program_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="Debian's package espeak-ng"):
        generate(Settings(speakers=2, test_speakers=1))


@speaks
def test_an_unknown_voice_is_refused(monkeypatch):
    monkeypatch.setattr("nsim.training.data.voices.SPEAKERS", (("xx-nobody", "m1"),))
    with pytest.raises(InputError, match="no sound for 'zero' in voice xx-nobody"):
        spoken(Saying(0, 0, 140, 50, 100, 1))


@speaks
@pytest.mark.parametrize("label", [0, 15])
def test_words_last_as_long_as_in_the_recordings(label):
    """0.32 to 1.17 s are the durations of the recorded digits."""
    for speed in (110, 170):
        rate, sound = spoken(Saying(label, 0, speed, 50, 100, 1))
        assert 0.2 < sound.size / rate < 1.17


@pytest.fixture
def few(monkeypatch):
    """Two speakers, three words and a coarse ear: seconds instead of minutes."""
    monkeypatch.setattr("nsim.training.data.voices.WORDS", WORDS[:3])
    monkeypatch.setattr("nsim.training.data.generate.SECONDS", 0.9)
    return Settings(speakers=2, test_speakers=1, hearing=Hearing(8_000, 1e-3), noise_db=-30.0, seed=4)


@pytest.mark.slow
@speaks
def test_the_same_bytes_whatever_the_threads(few, tmp_path):
    for threads in (1, 2):
        write(tmp_path / f"{threads}.h5.gz", few, generate(few, threads))
    assert (tmp_path / "1.h5.gz").read_bytes() == (tmp_path / "2.h5.gz").read_bytes()
    train, test = load_split(tmp_path / "1.h5.gz")
    assert (len(train), len(test)) == (3, 3) and train.name == SYNTHETIC
    assert set(train.speakers) == {0} and set(test.speakers) == {1}
    assert train.attributes["noise_db"] == -30 and train.attributes["generator"] == GENERATOR
    (tmp_path / "plain.h5").write_bytes(gzip.decompress((tmp_path / "1.h5.gz").read_bytes()))
    spikes, labels = read_shd(tmp_path / "plain.h5")
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    for times, units in spikes:
        assert 500 < times.size < 100_000 and units.min() >= 0 and units.max() < 700
        np.testing.assert_allclose(times, np.rint(times * 1000) / 1000, atol=1e-6)


@pytest.mark.slow
@speaks
def test_another_seed_is_another_set(few, tmp_path):
    first = generate(few)
    second = generate(Settings(**{**vars(few), "seed": 5}))
    assert [s.heard.units.size for s in first] != [s.heard.units.size for s in second]


def test_the_ready_set_says_how_it_was_made():
    assert READY_SET.stat().st_size < 6_000_000
    train, test = load_split("spoken-digits")
    assert (len(train), len(test)) == (320, 80) and train.name == SYNTHETIC
    assert not set(train.speakers) & set(test.speakers)
    assert all(np.bincount(digits.labels, minlength=20).min() > 0 for digits in (train, test))
    made = train.attributes
    assert (made["speakers"], made["takes"], made["seed"], made["time_step_s"]) == (20, 1, 0, 1e-3)
    mean = np.mean([units.size for units in train.units])
    assert 3_000 < mean < 9_000  # the one recording that could be converted has 7,169


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"speakers": 1}, "--speakers is 1: give 2 to 38"),
        ({"speakers": 39}, "--speakers is 39"),
        ({"test_speakers": 12}, "--test-speakers is 12: give 1 to 11"),
        ({"takes": 0}, "--takes is 0"),
        ({"jitter": float("nan")}, "--jitter is nan"),
        ({"hearing": {"rate_hz": 100}}, "--rate-hz is 100"),
        ({"hearing": {"time_step_s": -1.0}}, "--time-step is -1"),
        ({"noise_db": float("inf")}, "--noise-db is inf"),
        ({"seed": -1}, "--seed is -1"),
    ],
)
def test_settings_that_make_no_sense(given, says):
    with pytest.raises(InputError, match=says):
        Settings(**{**given, "hearing": Hearing(**given.get("hearing", {}))})


@pytest.mark.slow
@speaks
def test_the_command_answers_scripts(tmp_path):
    words = ["data", "spoken-digits", tmp_path / "set.h5", "--speakers", 2, "--test-speakers", 1, "--threads", 1]
    found = the_line(nsim(*words, "--json"))
    assert (found["training_samples"], found["test_samples"]) == (20, 20) and found["mean_spikes_per_sample"] > 1_000
    quiet = nsim(*words, "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


@pytest.mark.parametrize(("name", "says"), [("set.npz", "let it end in .h5"), ("none/set.h5", "does not exist")])
def test_names_of_files_are_checked_first(name, says, tmp_path):
    with pytest.raises(InputError, match=says):
        app(["data", "spoken-digits", str(tmp_path / name)], standalone_mode=False)
