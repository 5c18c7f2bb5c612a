"""A set of spoken digits as spikes, written in the layout of the Spiking Heidelberg Digits.

It stands in for them where they cannot be had, and is easier: what is measured on it is no result on those.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from nsim.errors import InputError
from nsim.training.data.cochlea import Cochlea
from nsim.training.data.hearing import Heard, Hearing, Progress, Set, check_range, in_order, write_set
from nsim.training.data.voices import SPEAKERS, WORDS, Saying, espeak_version, sayings, spoken

GENERATOR = "nsim synthetic spoken digits, version 1"
SECONDS = 1.4  # room for the slowest words; longer ones are refused


@dataclass(frozen=True)
class Settings:
    """What a set consists of.

    speakers       in all, up to 38, each of whom says all 20 words; the last `test_speakers` of them only in the test
    takes          of every word by every speaker
    jitter         how much speed, pitch and loudness vary: 0 to 1
    noise_db       white noise of so many dB relative to the word, before the ear; None: none
    hearing        SHD's rate is 48 kHz; lower ones give more spikes
    seed           of everything
    """

    speakers: int = 12
    test_speakers: int = 2
    takes: int = 1
    jitter: float = 1.0
    noise_db: float | None = None
    hearing: Hearing = field(default_factory=Hearing)
    seed: int = 0

    def __post_init__(self) -> None:
        check_range("speakers", self.speakers, 2, len(SPEAKERS))
        check_range("test-speakers", self.test_speakers, 1, self.speakers - 1)
        check_range("takes", self.takes, 1, 1000)
        check_range("jitter", self.jitter, 0, 1)
        check_range("seed", self.seed, 0, 2**63 - 1)
        if self.noise_db is not None and not -120 <= self.noise_db <= 40:
            raise InputError(f"--noise-db is {self.noise_db}: give -120 to 40, relative to the word")


@dataclass(frozen=True, eq=False)
class Sample:
    saying: Saying
    heard: Heard


def generate(settings: Settings, threads: int | None = None, progress: Progress | None = None) -> list[Sample]:
    """All samples, in the order of speakers, words and takes; the same whatever the number of threads.

    raises   InputError if espeak-ng is missing or fails
    """
    espeak_version()
    ear = Cochlea(settings.hearing.rate_hz, SECONDS)
    _ = ear.table  # made once, before the threads ask for it
    wanted = sayings(settings.speakers, settings.takes, settings.jitter, np.random.default_rng(settings.seed))
    found = []
    for sample in in_order(lambda saying: convert(saying, settings, ear), wanted, threads):
        found.append(sample)
        if progress:
            progress(len(found), len(wanted))
    return found


def convert(saying: Saying, settings: Settings, ear: Cochlea) -> Sample:
    """Speak, resample, add noise, hear."""
    rate, sound = spoken(saying)
    heard = settings.hearing.resampled(sound, rate)
    if heard.size > SECONDS * settings.hearing.rate_hz:
        raise InputError(
            f"{WORDS[saying.label]!r} by voice {saying.voice} lasts {heard.size / settings.hearing.rate_hz:.2f} s, but "
            f"samples have {SECONDS} s: give less --jitter"
        )
    if settings.noise_db is not None:
        level = np.sqrt(np.mean(heard**2)) * 10 ** (settings.noise_db / 20)
        heard = heard + level * np.random.default_rng(saying.seed).standard_normal(heard.size)
    return Sample(saying, settings.hearing.spikes(heard, ear, saying.seed))


def write(path: Path, settings: Settings, samples: list[Sample]) -> None:
    """Write a set, as `write_set`."""
    said = [sample.saying for sample in samples]
    speakers = np.array([saying.speaker for saying in said])
    more = {
        name: np.array([getattr(saying, name) for saying in said], np.int64)
        for name in ("speed", "pitch", "amplitude", "seed")
    }
    voices = np.array(["+".join(SPEAKERS[k]).encode() for k in range(settings.speakers)])
    given = asdict(settings)
    given |= given.pop("hearing")
    made = Set(
        heard=[sample.heard for sample in samples],
        labels=np.array([saying.label for saying in said]),
        speakers=speakers,
        test=speakers >= settings.speakers - settings.test_speakers,
        words=WORDS,
        more={**more, "voices": voices},
        attributes={"generator": GENERATOR, "espeak": espeak_version(), **given},
    )
    write_set(path, made)
