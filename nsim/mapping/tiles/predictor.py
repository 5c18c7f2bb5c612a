"""The proxy: tile sizes and memory from the profile alone, with error bars, for the published routes.

Every edge of the fabric carries a number of lines whose mean and variance follow from the profile: of the n neurons of
a source tile, the share 1 - prod(1 - p_d) over the destinations routed through that edge. Sizes are maxima over such
numbers. If those were independent and normal, mean and spread of the maximum would be known. They are not quite: edges
share neurons. So two numbers per size are fitted, factors on the mean and on the spread, and one on the spread of the
total memory.

The fit: `python -m benchmarks.mosaic_memory --fit`, over 600 networks drawn with seed 2024, one each on grids of 3 to 8
rows and columns, 16, 32 or 64 neurons per tile, p1 in [0.3, 1], p3 in [0, 0.3], and in half of them p5 in [0, 0.1] and
p7 in [0, 0.05]. Error bars are one standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import ndtr

from nsim.mapping.tiles.fabric import NT, R0, R1, Fabric
from nsim.mapping.tiles.profile import Profile, check_profile
from nsim.mapping.tiles.routes import find_routes

SIZES = ("nt_lines", "r1_side", "r0_side")
SIDE_RANGE, NEURONS_RANGE = (3.0, 8.0), (16.0, 64.0)
PROFILE_RANGE = {1: (0.3, 1.0), 3: (0.0, 0.3), 5: (0.0, 0.1), 7: (0.0, 0.05)}


@dataclass(frozen=True)
class Calibration:
    """What is fitted: factors on mean and standard deviation by size; `spread` also of the total."""

    scale: dict[str, float]
    spread: dict[str, float]


CALIBRATION = Calibration(
    scale={"nt_lines": 0.999, "r1_side": 1.0, "r0_side": 1.009},
    spread={"nt_lines": 0.959, "r1_side": 1.086, "r0_side": 1.165, "total": 0.916},
)


@dataclass(frozen=True)
class Estimate:
    """A size with one standard deviation."""

    value: float
    std: float


@dataclass(frozen=True)
class Prediction:
    """Sizes of the worst tiles and memory elements of the chip; `outside` says what the fit does not cover."""

    nt_lines: Estimate
    r1_side: Estimate
    r0_side: Estimate
    total: Estimate
    outside: tuple[str, ...]


def predict(fabric: Fabric, profile: Profile, calibration: Calibration = CALIBRATION) -> Prediction:
    """Sizes and memory of networks of a profile (links by hop distance), neuron q in tile q // n.

    raises   NetworkError for a profile that does not exist on this grid
    """
    check_profile(fabric, profile)
    sizes = {}
    for name, size in independent_sizes(fabric, profile).items():
        scale = calibration.scale[name] if size.std else 1.0  # nothing is random: nothing to correct
        sizes[name] = Estimate(scale * size.value, calibration.spread[name] * size.std)
    total = _total(fabric, sizes, calibration.spread["total"])
    return Prediction(**sizes, total=total, outside=_outside(fabric, profile))


def independent_sizes(fabric: Fabric, profile: Profile) -> dict[str, Estimate]:
    """Mean and standard deviation of each size if edges were independent."""
    mean, variance = _lines(fabric, profile)
    source = np.repeat(fabric.kind, 4)
    target = fabric.kind[fabric.beyond].ravel()
    side = np.tile(np.arange(4), fabric.cells)

    def fullest(edges: NDArray[np.bool_]) -> Estimate:
        return _maximum(mean[edges], variance[edges])

    by_side = [fullest((target == NT) & (side == k)) for k in range(4)]
    into_r1, out_of_r1 = fullest((source == R0) & (target == R1)), fullest((source == R1) & (target == R0))
    into_nt = fullest((source == R1) & (target == NT))
    r1 = _larger(
        Estimate(2 * (fabric.neurons + into_r1.value), 2 * into_r1.std),
        Estimate(2 * (into_nt.value + out_of_r1.value), 2 * float(np.hypot(into_nt.std, out_of_r1.std))),
    )
    r0 = _larger(into_r1, out_of_r1)
    nt = Estimate(sum(x.value for x in by_side), float(np.sqrt(sum(x.std**2 for x in by_side))))
    return {"nt_lines": nt, "r1_side": r1, "r0_side": Estimate(4 * r0.value, 4 * r0.std)}


def _lines(fabric: Fabric, profile: Profile) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of the lines of every edge."""
    routes = find_routes(fabric.rows, fabric.columns)
    shares = np.zeros(int(fabric.hops.max()) + 1)
    for distance, share in profile.items():
        shares[distance] = share
    return _expected_lines(fabric.neurons, 4 * fabric.cells, fabric.hops, shares, *routes.arrays)


@njit(cache=True, nogil=True)
def _expected_lines(n, edge_count, hops, shares, pair_ptr, route_ptr, edges):
    """Mean and variance by edge. Drawing without replacement: only the links that do not go through an edge vary it."""
    tiles = hops.shape[0]
    mean, variance = np.zeros(edge_count), np.zeros(edge_count)
    for source in range(tiles):
        idle = np.ones(edge_count)
        rate, free = np.zeros(edge_count), np.zeros(edge_count)
        for distance in range(1, shares.size):
            if shares[distance] == 0:
                continue
            there = 0
            through = np.zeros(edge_count)
            for target in range(tiles):
                if hops[source, target] == distance:
                    there += 1
                    route = pair_ptr[source * tiles + target]
                    for edge in edges[route_ptr[route] : route_ptr[route + 1]]:
                        through[edge] += 1
                        idle[edge] *= 1 - shares[distance]
            for edge in range(edge_count):
                rate[edge] += through[edge] * shares[distance]
                free[edge] += through[edge] * shares[distance] * (1 - through[edge] / max(there, 1))
        for edge in range(edge_count):
            if rate[edge] > 0:
                mean[edge] += n * (1 - idle[edge])
                variance[edge] += n * idle[edge] * (1 - idle[edge]) * free[edge] / rate[edge]
    return mean, variance


def _maximum(mean: NDArray[np.float64], variance: NDArray[np.float64]) -> Estimate:
    """The largest of independent whole numbers, taken as rounded normal ones."""
    if not mean.any():
        return Estimate(0.0, 0.0)
    std = np.sqrt(variance) + 1e-9
    low, high = int(max(0, (mean - 8 * std).max())), int(np.ceil((mean + 8 * std).max())) + 1
    levels = np.arange(low, high + 1)
    below = np.prod(ndtr((levels[:, None] + 0.5 - mean) / std), axis=1)  # P(maximum <= level)
    probability = np.diff(below, prepend=0.0)
    expected = float((levels * probability).sum())
    spread = max(0.0, float((levels**2 * probability).sum()) - expected**2)
    rounding = 1 / 12 if variance.any() else 0.0
    return Estimate(expected, float(np.sqrt(spread + rounding)))


def _larger(first: Estimate, second: Estimate) -> Estimate:
    """The larger of two independent normal numbers: Clark 1961, Operations Research 9:145."""
    both = float(np.hypot(first.std, second.std))
    if both == 0:
        return max(first, second, key=lambda estimate: estimate.value)
    gap = (first.value - second.value) / both
    share, density = float(ndtr(gap)), float(np.exp(-gap * gap / 2) / np.sqrt(2 * np.pi))
    mean = first.value * share + second.value * (1 - share) + both * density
    square = (first.value**2 + first.std**2) * share + (second.value**2 + second.std**2) * (1 - share)
    square += (first.value + second.value) * both * density
    return Estimate(mean, float(np.sqrt(max(0.0, square - mean**2))))


def _total(fabric: Fabric, sizes: dict[str, Estimate], spread: float) -> Estimate:
    """Memory from the sizes; R1 and R0 grow together, for the same lines cross both."""
    nts, r1s, r0s = fabric.counts
    n = fabric.neurons
    nt, r1, r0 = (sizes[name] for name in SIZES)
    value = nts * n * (nt.value + n) + r1s * (r1.value**2 + r1.std**2) + r0s * (r0.value**2 + r0.std**2)
    routers = 2 * r1s * r1.value * r1.std + 2 * r0s * r0.value * r0.std
    return Estimate(value, spread * float(np.hypot(nts * n * nt.std, routers)))


def _outside(fabric: Fabric, profile: Profile) -> tuple[str, ...]:
    """What lies outside the ranges of the fit."""
    checks = [
        ("rows", float(fabric.rows), SIDE_RANGE),
        ("columns", float(fabric.columns), SIDE_RANGE),
        ("neurons per tile", float(fabric.neurons), NEURONS_RANGE),
    ]
    checks += [(f"p{d}", profile.get(d, 0.0), PROFILE_RANGE.get(d, (0.0, 0.0))) for d in fabric.distances]
    return tuple(
        f"{name} {value:.3g} (fitted {low:g} to {high:g})"
        for name, value, (low, high) in checks
        if not low <= value <= high
    )
