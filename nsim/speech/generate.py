"""A set of spoken digits as spikes, written in the layout of the Spiking Heidelberg Digits.

It stands in for them where they cannot be had, and is easier: what is measured on it is no result on those.
"""

from __future__ import annotations

import gzip
import io
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from nsim.errors import InputError
from nsim.speech.cochlea import CHANNELS, Cochlea
from nsim.speech.voices import SPEAKERS, WORDS, Saying, espeak_version, sayings, spoken

GENERATOR = "nsim synthetic spoken digits, version 1"
SECONDS = 1.4  # room for the slowest words; longer ones are refused
HIGHEST_RATE_HZ = 192_000
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Settings:
    """What a set consists of.

    speakers       in all, up to 38, each of whom says all 20 words; the last `test_speakers` of them only in the test
    takes          of every word by every speaker
    jitter         how much speed, pitch and loudness vary: 0 to 1
    noise_db       white noise of so many dB relative to the word, before the ear; None: none
    rate_hz        of the sound that the ear hears. SHD's is 48 kHz; fewer give more spikes
    time_step_s    times are rounded to multiples of it; 0: kept, as float32
    seed           of everything
    """

    speakers: int = 12
    test_speakers: int = 2
    takes: int = 1
    jitter: float = 1.0
    noise_db: float | None = None
    rate_hz: int = 48_000
    time_step_s: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("speakers", self.speakers, 2, len(SPEAKERS)),
            ("test-speakers", self.test_speakers, 1, self.speakers - 1),
            ("takes", self.takes, 1, 1000),
            ("jitter", self.jitter, 0, 1),
            ("rate-hz", self.rate_hz, 8_000, HIGHEST_RATE_HZ),
            ("time-step", self.time_step_s, 0, 0.1),
            ("seed", self.seed, 0, 2**63 - 1),
        ):
            if not least <= value <= most:  # false for NaN, too
                raise InputError(f"--{name} is {value}: give {least} to {most}")
        if self.noise_db is not None and not -120 <= self.noise_db <= 40:
            raise InputError(f"--noise-db is {self.noise_db}: give -120 to 40, relative to the word")

    @property
    def samples(self) -> int:
        return self.speakers * len(WORDS) * self.takes


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample as spikes: float32[spikes] seconds, ascending, and uint16[spikes] channels."""

    saying: Saying
    times_s: NDArray[np.float32]
    units: NDArray[np.uint16]


def generate(settings: Settings, threads: int | None = None, progress: Progress | None = None) -> list[Sample]:
    """All samples, in the order of speakers, words and takes; the same whatever the number of threads.

    raises   InputError if espeak-ng is missing or fails
    """
    espeak_version()
    ear = Cochlea(settings.rate_hz, SECONDS)
    _ = ear.table  # made once, before the threads ask for it
    wanted = sayings(settings.speakers, settings.takes, settings.jitter, np.random.default_rng(settings.seed))
    found = []
    for sample in _in_order(lambda saying: convert(saying, settings, ear), wanted, threads or os.cpu_count() or 1):
        found.append(sample)
        if progress:
            progress(len(found), len(wanted))
    return found


def _in_order(work: Callable[[Saying], Sample], items: list[Saying], threads: int) -> Iterator[Sample]:
    """Results in the order of the items, a few of which are under way; Ctrl-C ends it after those."""
    rest = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        under_way = [pool.submit(work, item) for item in islice(rest, 2 * threads)]
        while under_way:
            yield under_way.pop(0).result()
            under_way += [pool.submit(work, item) for item in islice(rest, 1)]


def convert(saying: Saying, settings: Settings, ear: Cochlea) -> Sample:
    """Speak, resample, add noise, hear."""
    rate, sound = spoken(saying)
    common = math.gcd(rate, settings.rate_hz)
    heard = resample_poly(sound, settings.rate_hz // common, rate // common)
    if heard.size > SECONDS * settings.rate_hz:
        raise InputError(
            f"{WORDS[saying.label]!r} by voice {saying.voice} lasts {heard.size / settings.rate_hz:.2f} s, but samples "
            f"have {SECONDS} s: give less --jitter"
        )
    if settings.noise_db is not None:
        level = np.sqrt(np.mean(heard**2)) * 10 ** (settings.noise_db / 20)
        heard = heard + level * np.random.default_rng(saying.seed).standard_normal(heard.size)
    times, units = ear.spikes(heard, saying.seed)
    if step := settings.time_step_s:
        times = np.rint(times / step) * step
    return Sample(saying, times.astype(np.float32), units.astype(np.uint16))


def write(path: Path, settings: Settings, samples: list[Sample]) -> None:
    """Write a set, whole or not at all; .h5, or .h5.gz, which is a quarter as large.

    raises   InputError if the name has another ending, or the file cannot be written
    """
    check_output(path)
    content = _content(settings, samples)
    if path.suffix == ".gz":
        content = gzip.compress(content, 9, mtime=0)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written ({error.strerror}): give another place") from None


def check_output(path: Path) -> None:
    """Refuse what could not be written, before anything is spoken."""
    if not path.name.endswith((".h5", ".h5.gz")):
        raise InputError(f"{path} is no name for a set: let it end in .h5 or .h5.gz")
    if path.is_dir() or not path.parent.is_dir():
        wrong = "is a folder" if path.is_dir() else "is in a folder that does not exist"
        raise InputError(f"{path} {wrong}: give the name of a file in a folder that exists")


def _content(settings: Settings, samples: list[Sample]) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        times = file.create_dataset("spikes/times", (len(samples),), h5py.vlen_dtype(np.float32))
        units = file.create_dataset("spikes/units", (len(samples),), h5py.vlen_dtype(np.uint16))
        for number, sample in enumerate(samples):
            times[number], units[number] = sample.times_s, sample.units
        said = [sample.saying for sample in samples]
        speakers = np.array([saying.speaker for saying in said], np.uint16)
        file["labels"] = np.array([saying.label for saying in said], np.uint16)
        file["extra/speaker"] = speakers
        file["extra/split"] = (speakers >= settings.speakers - settings.test_speakers).astype(np.uint8)
        file["extra/keys"] = np.array([word.encode() for word in WORDS])
        for name in ("speed", "pitch", "amplitude", "seed"):
            file[f"extra/{name}"] = np.array([getattr(saying, name) for saying in said], np.int64)
        file["extra/voices"] = np.array(["+".join(SPEAKERS[k]).encode() for k in range(settings.speakers)])
        given = {name: "none" if value is None else value for name, value in asdict(settings).items()}
        file.attrs.update({"generator": GENERATOR, "espeak": espeak_version(), "channels": CHANNELS, **given})
    return memory.getvalue()
