"""Samples of a training: binned spikes of words, for training, validation and test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsim.training.data.spoken import SpokenDigits, binned, held_out, load_split
from nsim.training.routing.settings import Purpose, Settings


@dataclass(frozen=True, eq=False)
class Part:
    """Samples of one purpose: x uint8[samples, bins, inputs], labels int64[samples]."""

    x: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Samples:
    """name: where they are from, as `SpokenDigits.name`; clips: of the test, each of which may be several samples."""

    name: str
    words: tuple[str, ...]
    train: Part
    validation: Part
    test: Part
    clips: int

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all samples."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            digest.update(np.packbits(part.x).tobytes())
            digest.update(part.labels.tobytes())
        return digest.hexdigest()


def load_samples(settings: Settings) -> Samples:
    """Samples to train on, those that choose the epoch, and those of the test.

    raises   InputError, as `load_split`, `held_out` and `binned`
    """
    train, test = load_split(settings.data)
    train, chosen = held_out(train, test, settings.rng(Purpose.VALIDATION), settings.validation)
    parts = [_part(settings, number, digits) for number, digits in enumerate((train, chosen, test))]
    return Samples(train.name, train.words, parts[0], parts[1], parts[2], clips=len(test))


def _part(settings: Settings, number: int, digits: SpokenDigits) -> Part:
    rng = settings.rng(Purpose.SHIFTS, number)
    bins, window_s, inputs = settings.bins, settings.window_s, settings.inputs
    return Part(*binned(digits, bins=bins, window_s=window_s, inputs=inputs, shifts=settings.shifts, rng=rng))
