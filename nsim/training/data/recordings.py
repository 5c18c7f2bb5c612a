"""A folder of recordings as spikes: which WAVs belong, who says what in them, and which are for the test.

Words, speakers and takes are read from the files' names. Every sound is resampled and heard by the cochlea. The set has
SHD's layout, but other recordings: what is measured on it is no result on SHD.
"""

from __future__ import annotations

import csv
import difflib
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from nsim.errors import InputError, InterruptedRunError
from nsim.training.data.cochlea import Cochlea
from nsim.training.data.hearing import Heard, Hearing, Progress, Set, check_range, in_order

GENERATOR = "nsim recordings, version 1"
FIELDS = {"label": "[^/]+?", "speaker": "[^/]+?", "take": "[0-9]+"}
SHORTEST_S = 0.02
LENGTHS_S = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)  # tables of the ear: a sound is heard with the shortest that fits
LOWEST_SOUND_HZ = 4_000


@dataclass(frozen=True)
class Settings:
    """names: pattern of the files' names; test: see `test_rule`; seed: of the ear's fibres, and the file's name."""

    names: str
    test: str
    hearing: Hearing = field(default_factory=lambda: Hearing(time_step_s=1e-3))
    seed: int = 0

    def __post_init__(self) -> None:
        check_range("seed", self.seed, 0, 2**63 - 1)


@dataclass(frozen=True)
class Recording:
    """name: of the file, with folders below the given one; take: -1 if names have none."""

    path: Path
    name: str
    label: str
    speaker: str
    take: int
    seconds: float


@dataclass(frozen=True)
class Found:
    """Recordings in the order of their names, and why other WAVs of the folder cannot be used, by name."""

    recordings: list[Recording]
    bad: dict[str, str]


def find(folder: Path, names: str) -> Found:
    """All WAVs of a folder and those below it.

    raises   InputError if there is none, none that can be used, or two of the same label, speaker and take
    """
    pattern = _pattern(names)
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: give the folder of the WAVs")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".wav" and path.is_file())
    if not paths:
        raise InputError(f"folder {folder} holds no .wav file: give the folder of the WAVs")
    recordings, bad = [], {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            recordings.append(_recording(path, name, pattern, names))
        except InputError as error:
            bad[name] = str(error)
    if not recordings:
        raise InputError(f"{_all_of(paths)} of {folder} can be used: {_first(bad)}")
    _check_distinct(recordings)
    return Found(recordings, bad)


def _all_of(paths: Sequence[Path]) -> str:
    return f"none of {len(paths):,} WAVs" if len(paths) > 1 else "not the only WAV"


def _first(bad: dict[str, str]) -> str:
    return next(f"{name} {cause}" for name, cause in bad.items())


def refuse_bad(found: Found) -> None:
    """raises  InputError that names the first WAV that cannot be used, and counts all"""
    if found.bad:
        total = len(found.bad) + len(found.recordings)
        raise InputError(
            f"{len(found.bad):,} of {total:,} WAVs cannot be used: {_first(found.bad)}; repair them, or leave them out "
            "by --skip-bad"
        )


def _pattern(names: str) -> re.Pattern[str]:
    """A regular expression of the names; folders are looked at only if they are part of the names."""
    parts = re.split(r"{(\w*)}", names)
    given = Counter(parts[1::2])
    wrong = [name for name, count in given.items() if name not in FIELDS or count > 1]
    if wrong or not given["label"]:
        what = f"{{{wrong[0]}}} in it" if wrong else "no {label} in it"
        raise InputError(f"--names {names!r} has {what}: give {{label}}, {{speaker}} and {{take}}, each once at most")
    texts = [f"(?P<{part}>{FIELDS[part]})" if odd % 2 else re.escape(part) for odd, part in enumerate(parts)]
    return re.compile(("" if "/" in names else "(?:.*/)?") + "".join(texts), re.IGNORECASE)


def _recording(path: Path, name: str, pattern: re.Pattern[str], names: str) -> Recording:
    if (match := pattern.fullmatch(name)) is None:
        raise InputError(f"is not named as {names!r}")
    rate_hz, sound = read_sound(path)
    parts = match.groupdict()
    take = int(parts.get("take", -1))
    return Recording(path, name, parts["label"], parts.get("speaker", ""), take, sound.size / rate_hz)


def _check_distinct(recordings: Sequence[Recording]) -> None:
    seen: dict[tuple[str, str, int], str] = {}
    for each in recordings:
        first = seen.setdefault((each.label, each.speaker, each.take), each.name)
        if each.take >= 0 and first != each.name:
            raise InputError(f"{first} and {each.name} have the same label, speaker and take: rename one of them")


def read_sound(path: Path) -> tuple[int, NDArray[np.float64]]:
    """Sample rate in Hz, and the sound, in units of the file.

    raises   InputError, without the file's name, if it is cut short, damaged, not mono, silent, or of a length or rate
             that nobody speaks at
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", wavfile.WavFileWarning)
            warnings.filterwarnings("ignore", message="Chunk .*not understood")
            rate_hz, sound = wavfile.read(path)
    except (OSError, ValueError, EOFError, wavfile.WavFileWarning, ZeroDivisionError, MemoryError) as fault:
        raise InputError(f"cannot be read ({' '.join(str(fault).split())[:100] or type(fault).__name__})") from None
    except Exception as fault:  # struct.error and whatever else a damaged header makes scipy raise
        raise InputError(f"cannot be read ({type(fault).__name__})") from None
    return rate_hz, _checked(rate_hz, sound)


def _checked(rate_hz: int, sound: NDArray) -> NDArray[np.float64]:
    if sound.ndim != 1:
        raise InputError(f"has {sound.shape[1]} channels, not 1: mix it to mono")
    if rate_hz < LOWEST_SOUND_HZ:
        raise InputError(f"has {rate_hz} samples per second, at least {LOWEST_SOUND_HZ} are needed")
    if not SHORTEST_S <= sound.size / rate_hz <= LENGTHS_S[-1]:
        raise InputError(
            f"has {sound.size} samples, {sound.size / rate_hz:.3f} s: a word lasts {SHORTEST_S} to {LENGTHS_S[-1]} s"
        )
    real = sound.astype(np.float64) - (128 if sound.dtype == np.uint8 else 0)
    if wrong := int(np.count_nonzero(~np.isfinite(real))):
        raise InputError(f"has {wrong} samples that are NaN or infinite")
    if not real.any():
        raise InputError("is silent")
    return real


def test_rule(text: str, recordings: Sequence[Recording]) -> NDArray[np.bool_]:
    """Which recordings are for the test: takes:0-4,7; speakers:NAME,NAME; or a CSV file with columns file and split.

    raises   InputError if a rule cannot be read or does not fit the names, or if all or none are for the test
    """
    kind, _, rest = text.partition(":")
    rules: dict[str, Callable[[str, Sequence[Recording]], list[bool]]] = {"takes": _by_take, "speakers": _by_speaker}
    test = np.array(rules[kind](rest, recordings) if kind in rules else _by_table(Path(text), recordings))
    if not 0 < np.count_nonzero(test) < len(test):
        count = "all" if test.any() else "none"
        raise InputError(f"--test {text}: {count} of the {len(test):,} recordings are for the test, some have to be")
    return test


test_rule.__test__ = False  # type: ignore[attr-defined]  # its name looks like a test's to pytest


def _by_take(text: str, recordings: Sequence[Recording]) -> list[bool]:
    if recordings[0].take < 0:
        raise InputError("--test takes: the names have no {take}: give speakers:NAME or a CSV file")
    takes: set[int] = set()
    for part in text.split(","):
        if (match := re.fullmatch(r"(\d+)(?:-(\d+))?", part)) is None:
            raise InputError(f"--test takes:{text}: {part!r} is no range of takes: give takes:0-4 or takes:0,2,5-9")
        takes |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return [each.take in takes for each in recordings]


def _by_speaker(text: str, recordings: Sequence[Recording]) -> list[bool]:
    known, wanted = {each.speaker for each in recordings}, text.split(",")
    for name in wanted:
        if name not in known or not name:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise InputError(f"--test speakers:{text}: no speaker {name!r}: {hint}there are {_some(sorted(known))}")
    return [each.speaker in wanted for each in recordings]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _by_table(path: Path, recordings: Sequence[Recording]) -> list[bool]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeError, csv.Error) as fault:
        raise InputError(
            f"--test {path} is no CSV file that can be read ({getattr(fault, 'strerror', None) or fault}): give "
            "takes:0-4, speakers:NAME, or a CSV file with the columns file and split"
        ) from None
    split = {row.get("file"): row.get("split") for row in rows}
    for name, value in split.items():
        if name is None or value not in ("train", "test"):
            raise InputError(f"{path}: {name} has split {value!r}: give the columns file and split, train or test")
    missing = [each.name for each in recordings if each.name not in split]
    if missing:
        raise InputError(f"{path} does not name {len(missing)} of {len(recordings)} WAVs, as {missing[0]}: add them")
    return [split[each.name] == "test" for each in recordings]


def hear(
    recordings: Sequence[Recording], settings: Settings, threads: int | None = None, progress: Progress | None = None
) -> list[Heard]:
    """The spikes of every recording; the same whatever the number of threads, and whatever other recordings there are.

    raises   InterruptedRunError after Ctrl-C
    """
    heard: dict[int, Heard] = {}
    longest = [next(length for length in LENGTHS_S if each.seconds <= length) for each in recordings]
    try:
        for seconds in sorted(set(longest)):
            ear = Cochlea(settings.hearing.rate_hz, seconds + 1 / LOWEST_SOUND_HZ)
            _ = ear.table  # made once, before the threads ask for it
            some = [number for number, length in enumerate(longest) if length == seconds]
            work = partial(_heard, settings, ear)
            made = in_order(work, (recordings[number] for number in some), threads)
            for number, spikes in zip(some, made, strict=True):
                heard[number] = spikes
                if progress:
                    progress(len(heard), len(recordings))
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted after {len(heard):,} of {len(recordings):,} recordings: nothing is written"
        ) from None
    return [heard[number] for number in range(len(recordings))]


def _heard(settings: Settings, ear: Cochlea, recording: Recording) -> Heard:
    rate_hz, sound = read_sound(recording.path)
    seed = np.random.SeedSequence([settings.seed, zlib.crc32(recording.name.encode())]).generate_state(1)[0]
    return settings.hearing.spikes(settings.hearing.resampled(sound, rate_hz), ear, int(seed))


def as_set(folder: Path, settings: Settings, found: Found, test: NDArray[np.bool_], heard: list[Heard]) -> Set:
    """Words and speakers are numbered in the order of their names, 2 before 10."""
    recordings = found.recordings
    words, speakers = (_numbered([getattr(each, key) for each in recordings]) for key in ("label", "speaker"))
    given = asdict(settings)
    given |= given.pop("hearing")
    return Set(
        heard=heard,
        labels=np.array([words[each.label] for each in recordings]),
        speakers=np.array([speakers[each.speaker] for each in recordings]),
        test=test,
        words=tuple(words),
        more={
            "take": np.array([each.take for each in recordings], np.int64),
            "files": np.array([each.name.encode() for each in recordings]),
            "speakers": np.array([name.encode() for name in speakers]),
        },
        attributes={"generator": GENERATOR, "folder": folder.resolve().name, "skipped": len(found.bad), **given},
    )


def _numbered(names: Sequence[str]) -> dict[str, int]:
    def key(name: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]

    return {name: number for number, name in enumerate(sorted(set(names), key=key))}
