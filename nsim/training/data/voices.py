"""Who says what: twenty words, speakers made of espeak-ng's voice variants, and the call of espeak-ng."""

from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from nsim.errors import InputError

ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GERMAN = ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")
WORDS = ENGLISH + GERMAN  # in the order of labels of the Spiking Heidelberg Digits

_VARIANTS = """
m1 f1 m3 f2 klatt Annie m5 f3 Andy linda m7 f4 Mike Alicia m2 f5 klatt2 steph m4 belinda Denis anika m6 Andrea edward
steph2 m8 aunty klatt4 steph3 john robert paul Lee max david ed Marco
"""
# English voice, and the variant that both its English and its German words get. Those that imitate robots, whispering
# and the like are left out. In the order in which speakers are taken, so that a few are as different as many
SPEAKERS = tuple(
    (("en-gb", "en-us", "en-gb-scotland", "en-gb-x-rp")[number % 4], variant)
    for number, variant in enumerate(_VARIANTS.split())
)
SPEED, PITCH = 140, 50  # words per minute and espeak-ng's 0 to 99, in the middle
SPEED_JITTER, PITCH_JITTER, LEVEL_JITTER = 0.2, 10.0, 0.3


@dataclass(frozen=True)
class Saying:
    """One sample before it is spoken. seed: of the noise and of the fibres."""

    label: int
    speaker: int
    speed: int
    pitch: int
    amplitude: int
    seed: int

    @property
    def voice(self) -> str:
        english, variant = SPEAKERS[self.speaker]
        return f"{english if self.label < len(ENGLISH) else 'de'}+{variant}"


def sayings(speakers: int, takes: int, jitter: float, rng: np.random.Generator) -> list[Saying]:
    """Every speaker says every word so many times; speed, pitch and loudness vary around those of the speaker.

    jitter  1: speed within 20 %, pitch within 10, loudness within 30 %; 0: all takes alike but for the fibres
    """
    found = []
    for speaker in range(speakers):
        own_speed, own_pitch = SPEED * (1 + 0.15 * rng.uniform(-1, 1)), PITCH + 20 * rng.uniform(-1, 1)
        for label in range(len(WORDS)):
            for _ in range(takes):
                speed, pitch, level = jitter * rng.uniform(-1, 1, 3) * (SPEED_JITTER, PITCH_JITTER, LEVEL_JITTER)
                found.append(
                    Saying(
                        label,
                        speaker,
                        round(own_speed * (1 + speed)),
                        round(min(99, max(0, own_pitch + pitch))),
                        round(100 * (1 + level)),
                        int(rng.integers(2**31)),
                    )
                )
    return found


def espeak() -> str:
    """The program's path.

    raises   InputError if it is not installed
    """
    found = shutil.which("espeak-ng")
    if found is None:
        raise InputError("espeak-ng, which speaks the words, is not on PATH: install it (Debian's package espeak-ng)")
    return found


def espeak_version() -> str:
    shown = subprocess.run([espeak(), "--version"], capture_output=True, text=True, check=False).stdout
    return " ".join(shown.split()[:4])


def spoken(saying: Saying) -> tuple[int, NDArray[np.float64]]:
    """Sample rate and sound, -1 to 1, without the pause at its end.

    raises   InputError if espeak-ng fails
    """
    manner = ["-s", str(saying.speed), "-p", str(saying.pitch), "-a", str(saying.amplitude)]
    command = [espeak(), "-v", saying.voice, *manner, "-z", "--stdout", WORDS[saying.label]]
    done = subprocess.run(command, capture_output=True, check=False)
    try:
        rate, sound = wavfile.read(io.BytesIO(_with_sizes(done.stdout)))
    except ValueError:
        said = " ".join(done.stderr.decode(errors="replace").split())[:120]
        raise InputError(
            f"espeak-ng gave no sound for {WORDS[saying.label]!r} in voice {saying.voice} ({said or done.returncode}): "
            "check its installation"
        ) from None
    if sound.size < 2 or not sound.any():
        raise InputError(
            f"espeak-ng gave silence for {WORDS[saying.label]!r} in voice {saying.voice}: check its installation"
        )
    return rate, sound / 32768


def _with_sizes(wav: bytes) -> bytes:
    """A WAV that was written to a pipe does not know its length: put it in."""
    if len(wav) < 44:
        raise ValueError("shorter than a header")
    return wav[:4] + (len(wav) - 8).to_bytes(4, "little") + wav[8:40] + (len(wav) - 44).to_bytes(4, "little") + wav[44:]
