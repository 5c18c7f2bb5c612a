"""How long a sweep takes: from some of its points, evaluated where all of them will be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsim.sweep.evaluate import Done

WINDOW = 3  # points side by side at least, as only the first one costs a mapping if the others share it
WINDOW_S = 0.2  # points are added until a window takes this long: a short one shows nothing of what else a machine does
WINDOWS = 4  # of every kind of points and for each worker; those that load code and networks are not counted
SHARE = 4  # at most one in so many points of a kind
TIMED_S = 20.0  # no window is begun later


@dataclass(frozen=True)
class Layout:
    """What the time of points depends on, by number.

    kind      int32[points]  points of one kind are about equally fast
    mapping   int64[points]  digest of what their mapping depends on
    """

    kind: NDArray[np.int32]
    mapping: NDArray[np.int64]

    def by_kind(self, numbers: list[int]) -> list[NDArray[np.int64]]:
        """These points in groups of one kind, in their order."""
        chosen = np.array(numbers, np.int64)
        return [chosen[self.kind[chosen] == kind] for kind in np.unique(self.kind[chosen])]


def windows(layout: Layout, missing: list[int], workers: int, timed: list[tuple[int, Done]]) -> Iterator[list[int]]:
    """Points to time: of every kind one for each worker, then windows evenly spread; none after `TIMED_S`.

    timed    what was evaluated until a window is asked for, which says how many points it has
    """
    begin = time.perf_counter()
    places = [spread(numbers, workers) for numbers in layout.by_kind(missing)]
    for turn in range(WINDOWS):
        for kind in places:
            for place in kind[turn * workers : (turn + 1) * workers]:
                if time.perf_counter() - begin > TIMED_S:
                    return
                longest = 1 if turn == 0 else max(WINDOW, place.size // SHARE)
                yield place[: min(longest, length(timed))].tolist()


def length(timed: list[tuple[int, Done]]) -> int:
    """Points that take about `WINDOW_S`."""
    usual = [done.seconds for _, done in timed if not done.first]
    return max(WINDOW, round(WINDOW_S / max(float(np.mean(usual)), 1e-6))) if usual else WINDOW


def spread(numbers: NDArray[np.int64], workers: int) -> list[NDArray[np.int64]]:
    """The points in equal parts, a window of each, in an order that is spread evenly however early it ends."""
    count = max(1, min(WINDOWS * workers, numbers.size // (WINDOW * SHARE)))
    parts = np.array_split(numbers, count)
    return [parts[place] for place in sorted(range(count), key=lambda place: int(f"{place:032b}"[::-1], 2))]


def seconds_of(
    layout: Layout, numbers: list[int], timed: list[tuple[int, Done]], workers: int, chunks: Callable[[float], int]
) -> float:
    """Seconds that these points take on one worker, if `workers` of them share the sweep.

    timed    points that were evaluated, with their numbers
    chunks   number of parts that the points are cut into, from the mean of their seconds
    """
    if not numbers:
        return 0.0
    found: dict[int, tuple[float, float]] = {}
    for kind in {int(layout.kind[number]) for number, _ in timed}:
        found[kind] = costs([done for number, done in timed if layout.kind[number] == kind])
    usual = tuple(np.mean(list(found.values()), axis=0))
    mean = float(np.mean([done.seconds for _, done in timed if not done.first] or [max(usual)]))
    total = 0.0
    for own in layout.by_kind(numbers):
        shared_s, remapped_s = found.get(int(layout.kind[own[0]]), usual)
        runs = 1 + int(np.count_nonzero(np.diff(layout.mapping[own]))) + chunks(mean) * own.size // len(numbers)
        wanted = np.unique(layout.mapping[own])
        made = sum(done.remapped for number, done in timed if layout.mapping[number] in wanted)
        remapped = min(own.size, runs, max(0, workers * wanted.size - made))
        total += remapped * remapped_s + (own.size - remapped) * shared_s
    return total


def costs(timed: list[Done]) -> tuple[float, float]:
    """Mean seconds of a point that shares an earlier mapping, and of one that does not, from points of one kind."""
    usual = [done for done in timed if not done.first] or timed
    shared = [done.seconds for done in usual if not done.remapped]
    remapped = [done.seconds for done in usual if done.remapped]
    return float(np.mean(shared or remapped)), float(np.mean(remapped or shared))
