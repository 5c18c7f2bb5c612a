"""What a network is trained with, and the samples it is trained on; imports neither JAX nor optax.

Published means: a default of the program of Dalgaty et al., Nature Communications 15:142 (2024), or of Weber, Ballet,
Payvand 2024, arXiv:2412.01575; the values that the latter trained with are not known. The others are assumed.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError, TrainingError
from nsim.mosaic.fabric import Fabric
from nsim.mosaic.profile import parse_profile
from nsim.training.routing_aware.layout import Layout
from nsim.training.routing_aware.methods import Choice, Method, make_method
from nsim.training.spoken import SpokenDigits, binned, load_split, validation_split

STEP_MS = 1.0  # a time bin counts as so much in the neurons' decay, however long it is: published
DECAYS = ("steps", "epochs")
SHARES = ("rate_weight", "rate_target")


class Purpose(IntEnum):
    """Generators are seeded by [seed, purpose, epoch], so that none has a state to save."""

    VALIDATION = 0
    SHIFTS = 1
    BEGIN = 2
    SHUFFLE = 3
    REWIRE = 4
    NOISE = 5


@dataclass(frozen=True)
class Settings:
    """A run is taken up again only with the same settings.

    data                as `nsim.training.spoken.load_split` takes it
    choice              the method and its options
    rows, columns, neurons_per_tile, inputs   of the fabric: published
    epochs, batch       assumed (published: 500 and 1,024, of a larger network)
    learning_rate       of Adam: published
    decay               the learning rate decays over as many "steps" as there are epochs, as published; or over the
                        "epochs" themselves
    clip                largest gradient of a weight: published
    tau_ms, threshold   of the neurons: published
    rate_weight, rate_target   of the regulariser weight * (target - 10 * rate)^2, rate in spikes per neuron and step.
                        Assumed: 1 and 0.5, which is 0.05 spikes; the published 10 and 5 would force 0.5
    bins, window_s      of a sample: published
    shifts              of the sub-sampled channels, see `nsim.training.spoken.binned`: published is "all"
    validation_speakers held out of the training samples, None: one in five (assumed)
    raises              TrainingError for values that make no sense
    """

    data: str
    choice: Choice
    rows: int = 5
    columns: int = 5
    neurons_per_tile: int = 32
    inputs: int = 128
    epochs: int = 30
    batch: int = 128
    learning_rate: float = 5e-3
    decay: str = "steps"
    clip: float = 1e3
    tau_ms: float = 45.0
    threshold: float = 1.0
    rate_weight: float = 1.0
    rate_target: float = 0.5
    bins: int = 100
    window_s: float = 1.4
    shifts: str = "all"
    validation_speakers: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if (count := getattr(self, name)) < 1:
                raise TrainingError(f"{name} is {count}: give at least 1")
        if self.seed < 0:
            raise TrainingError(f"seed is {self.seed}: give 0 or more")
        if self.choice.name == "l1" and self.epochs < 2:
            raise TrainingError("l1 prunes over the first half of the epochs, and there is 1: give --epochs 2 or more")
        for name in ("learning_rate", "clip", "tau_ms", "threshold", *SHARES):
            value = getattr(self, name)
            if not (math.isfinite(value) and (value > 0 or (value == 0 and name in SHARES))):
                raise TrainingError(f"{name} is {value}: give a positive number")
        if self.decay not in DECAYS:
            raise TrainingError(f"no decay {self.decay!r}: choose from {', '.join(DECAYS)}")

    def rng(self, purpose: Purpose, epoch: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose, epoch])

    @property
    def fabric(self) -> Fabric:
        return Fabric(self.rows, self.columns, self.neurons_per_tile)

    def layout(self, outputs: int) -> Layout:
        return Layout(self.fabric, self.inputs, outputs)

    def method(self, layout: Layout) -> Method:
        return make_method(layout, self.choice)

    @property
    def leak(self) -> float:
        """What a neuron keeps of v in a step."""
        return math.exp(-STEP_MS / self.tau_ms)

    def as_json(self) -> dict[str, Any]:
        facts = asdict(self)
        facts["choice"]["profile"] = {f"p{distance}": share for distance, share in self.choice.profile}
        return facts


def profile_of(text: str) -> tuple[tuple[int, float], ...]:
    """A profile such as "p1=0.95,p3=0.1", by distance."""
    try:
        return tuple(sorted(parse_profile(text).items()))
    except NetworkError:
        raise TrainingError(
            f"the profile is {text!r}: give the share of links at each hop distance, as in p1=0.95,p3=0.1"
        ) from None


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
    """Samples to train on, held-out training speakers for validation, and those of the test.

    raises   InputError, as `load_split`, `validation_split` and `binned`
    """
    train, test = load_split(settings.data)
    train, held_out = validation_split(train, settings.rng(Purpose.VALIDATION), settings.validation_speakers)
    parts = [_part(settings, number, digits) for number, digits in enumerate((train, held_out, test))]
    return Samples(train.name, train.words, parts[0], parts[1], parts[2], clips=len(test))


def _part(settings: Settings, number: int, digits: SpokenDigits) -> Part:
    rng = settings.rng(Purpose.SHIFTS, number)
    bins, window_s, inputs = settings.bins, settings.window_s, settings.inputs
    return Part(*binned(digits, bins=bins, window_s=window_s, inputs=inputs, shifts=settings.shifts, rng=rng))
