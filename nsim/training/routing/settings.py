"""Options that make sense, and what they say of fabric, method and generators; imports neither JAX nor optax."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np

from nsim.errors import NetworkError, TrainingError
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.mapping import parse_grid
from nsim.mapping.tiles.profile import parse_profile
from nsim.training.routing.choice import make_method
from nsim.training.routing.layout import Layout
from nsim.training.routing.links import Strength
from nsim.training.routing.methods import Method
from nsim.training.routing.options import DECAYS, RECIPES, Options

STEP_MS = 1.0  # a time bin counts as so much in the neurons' decay, however long it is: published


class Purpose(IntEnum):
    """Generators are seeded by [seed, purpose, epoch], so that none has a state to save."""

    VALIDATION = 0
    SHIFTS = 1
    BEGIN = 2
    SHUFFLE = 3
    REWIRE = 4
    NOISE = 5


@dataclass(frozen=True)
class Settings(Options):
    """raises  TrainingError for values that make no sense"""

    def __post_init__(self) -> None:
        for names, least in (("epochs", "batch"), 1), (("patience", "seed"), 0):
            for name in names:
                if (count := getattr(self, name)) < least:
                    raise TrainingError(f"{name} is {count}: give {least} or more")
        if self.choice.name == "l1" and self.epochs < 2:
            raise TrainingError("l1 prunes over the first half of the epochs, and there is 1: give --epochs 2 or more")
        for name in ("learning_rate", "clip", "tau_ms", "threshold", "weight_gain"):
            if not _real(value := getattr(self, name)) or value == 0:
                raise TrainingError(f"{name} is {value}: give a positive number")
        for owner, name in ((self, "rate_weight"), (self, "rate_target"), *((self.choice, n) for n in _OF_METHODS)):
            if not _real(value := getattr(owner, name)):
                raise TrainingError(f"--{name.replace('_', '-')} is {value}: give 0 or more")
        for value, name, known in (self.decay, "decay", DECAYS), (self.choice.recipe, "recipe", RECIPES):
            if value not in known:
                raise TrainingError(f"no {name} {value!r}: choose from {', '.join(known)}")
        _ = self.fabric

    def rng(self, purpose: Purpose, epoch: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose, epoch])

    @cached_property
    def fabric(self) -> Fabric:
        return Fabric(*parse_grid(self.grid), self.neurons_per_tile)

    def layout(self, outputs: int) -> Layout:
        return Layout(self.fabric, self.inputs, outputs)

    def method(self, layout: Layout) -> Method:
        return make_method(layout, self.choice, Strength(self.weight_gain, self.threshold))

    @property
    def leak(self) -> float:
        """What a neuron keeps of v in a step."""
        return math.exp(-STEP_MS / self.tau_ms)

    def as_json(self) -> dict[str, Any]:
        facts = asdict(self)
        facts["choice"]["profile"] = {f"p{distance}": share for distance, share in self.choice.profile}
        return facts


_OF_METHODS = ("l1", "noise", "hop_weight")


def _real(value: float | None) -> bool:
    """A number from 0 on, or none at all."""
    return value is None or (math.isfinite(value) and value >= 0)


def profile_of(text: str) -> tuple[tuple[int, float], ...]:
    """A profile such as "p1=0.95,p3=0.1", by distance."""
    try:
        return tuple(sorted(parse_profile(text).items()))
    except NetworkError:
        raise TrainingError(
            f"the profile is {text!r}: give the share of links at each hop distance, as in p1=0.95,p3=0.1"
        ) from None
