"""Seeded random weights of a given density, and the checks that all builders share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError


def check_options(name: str, density: float, seed: int, **sizes: int) -> None:
    """Weight density in (0, 1], no negative seed, sizes of at least 1."""
    if not 0 < density <= 1:
        raise NetworkError(f"option density of network {name!r} is {density}: give a weight density above 0, up to 1")
    if seed < 0:
        raise NetworkError(f"option seed of network {name!r} is {seed}: give at least 0")
    for key, value in sizes.items():
        if value < 1:
            raise NetworkError(f"option {key} of network {name!r} is {value}: give at least 1")


def random_integers(rng: np.random.Generator, shape: tuple[int, ...], bits: int, density: float) -> NDArray[np.int64]:
    """Signed integers of `bits` bits without zero, of which 1 - density are then set to zero."""
    magnitude = rng.integers(1, 1 << (bits - 1), shape) if bits > 1 else np.ones(shape, np.int64)
    return np.where(rng.random(shape) < density, magnitude * rng.choice((-1, 1), shape), 0)


def random_floats(rng: np.random.Generator, shape: tuple[int, int], density: float) -> NDArray[np.float32]:
    """Normal weights [targets, sources] that keep the variance of their input, of which 1 - density are zero."""
    scale = 1 / np.sqrt(max(1.0, shape[1] * density))
    return np.where(rng.random(shape) < density, rng.normal(0, scale, shape), 0).astype(np.float32)
