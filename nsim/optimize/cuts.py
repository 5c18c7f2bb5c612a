"""Where to cut a layer, so that the measured work of its slices and not their number of neurons is even.

Along one axis the work of a slice is nearly closed: the synops of a message add up over the positions, every position
costs its neurons' updates, and a message is received once by a slice if it reaches any position of it. So the smallest
largest slice follows from prefix sums. The simulation, not this estimate, decides what is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nsim.mapping.cores.partition import AXES, Slice, even_slices, slices_of_sizes, spatial
from nsim.network.layers import Layer
from nsim.network.synapses import Box
from nsim.optimize.evaluation import Simulator

NO_LIMIT_PS = 1 << 62


@dataclass(frozen=True, eq=False)
class Profile:
    """Work along one axis of a layer, by granule of positions, over all evaluated timesteps.

    work_ps, compute_ps   int64[granules + 1]  synapses and sweep before each position
    ended, begun          int64[granules + 1]  messages that reach no position from there on, and none before there
    messages              that reach the layer at all
    longest               granules that one core has neurons for
    """

    work_ps: NDArray[np.int64]
    compute_ps: NDArray[np.int64]
    ended: NDArray[np.int64]
    begun: NDArray[np.int64]
    messages: int
    received_ps: int
    longest: int

    @property
    def granules(self) -> int:
        return self.work_ps.size - 1


class Cutter:
    """Cuts the layers of one problem; profiles are made once."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.profiles: dict[tuple[str, str], Profile] = {}
        self.cuts: dict[tuple, tuple[Slice, ...] | None] = {}

    def axes(self, layer: Layer) -> tuple[str, ...]:
        """Those along which the layer can be cut, the most usual first."""
        if not spatial(layer):
            return ("channels",)
        return tuple(axis for axis in reversed(AXES) if layer.shape[AXES.index(axis)] >= layer.neuron.granule)

    def granules(self, layer: Layer, axis: str) -> int:
        return layer.shape[AXES.index(axis)] // layer.neuron.granule

    def under(self, layer: Layer, limit_ps: int) -> tuple[Slice, ...] | None:
        """The fewest slices none of which takes longer, along the axis that needs fewest; None if there is no such cut.

        Of equal numbers the one that receives fewer messages, and of these the one whose largest slice is smaller.
        """
        key = (layer.name, limit_ps)
        if key not in self.cuts:
            found = [cut for axis in self.axes(layer) if (cut := self._under(layer, axis, limit_ps)) is not None]
            self.cuts[key] = min(found, key=self._merit) if found else None
        return self.cuts[key]

    def _merit(self, slices: tuple[Slice, ...]) -> tuple[int, int, int]:
        works = [self.simulator.work(piece) for piece in slices]
        return len(slices), sum(work.source.size for work in works), max(work.load_ps for work in works)

    def _under(self, layer: Layer, axis: str, limit_ps: int) -> tuple[Slice, ...] | None:
        profile = self.profile(layer, axis)
        parts = int(fill(limit_ps, *_arrays(profile), np.empty(profile.granules, np.int64)))  # type: ignore[call-arg]
        return None if parts < 0 else self.into(layer, axis, parts)

    def into(self, layer: Layer, axis: str, parts: int, even: bool = False) -> tuple[Slice, ...] | None:
        """Slices along an axis, as even in work (or in neurons) as can be; more of them if so few do not fit the chip.

        None if no number of slices fits.
        """
        key = (layer.name, axis, parts, even)
        if key not in self.cuts:
            numbers = range(parts, self.granules(layer, axis) + 1)
            cuts = (cut for number in numbers if (cut := self._cut(layer, axis, number, even)) is not None)
            self.cuts[key] = next((cut for cut in cuts if self.fits(cut)), None)
        return self.cuts[key]

    def filled(self, layer: Layer) -> tuple[Slice, ...] | None:
        """Slices as large as a core can hold, and a rest: what takes fewest cores once rests are put together.

        Along the axis that needs fewest slices; of equal numbers the smallest rest. None if no axis will do.
        """
        key = (layer.name, "filled")
        if key not in self.cuts:
            found = [cut for axis in self.axes(layer) if (cut := self._filled(layer, axis)) is not None]
            self.cuts[key] = min(found, key=lambda cut: (len(cut), cut[-1].box.neurons)) if found else None
        return self.cuts[key]

    def _filled(self, layer: Layer, axis: str) -> tuple[Slice, ...] | None:
        granules, low = self.granules(layer, axis), 0
        slices = []
        while low < granules:
            fitting, too_many = low, granules + 1
            while too_many - fitting > 1:
                middle = (fitting + too_many) // 2
                fits = self.simulator.fits(share_of(layer, axis, low, middle))
                fitting, too_many = (middle, too_many) if fits else (fitting, middle)
            if fitting == low:
                return None
            slices.append(share_of(layer, axis, low, fitting))
            low = fitting
        return tuple(slices)

    def fits(self, slices: tuple[Slice, ...]) -> bool:
        return all(self.simulator.fits(piece) for piece in slices)

    def _cut(self, layer: Layer, axis: str, parts: int, even: bool) -> tuple[Slice, ...] | None:
        if even:
            return tuple(even_slices(layer, parts, axis))
        profile = self.profile(layer, axis)
        sizes = np.empty(profile.granules, np.int64)
        used = int(least_largest(parts, *_arrays(profile), sizes))  # type: ignore[call-arg]
        if used < 0:
            return None
        return tuple(slices_of_sizes(layer, (sizes[:used] * layer.neuron.granule).tolist(), axis))

    def profile(self, layer: Layer, axis: str) -> Profile:
        key = (layer.name, axis)
        if key not in self.profiles:
            self.profiles[key] = self._profile(layer, axis)
        return self.profiles[key]

    def _profile(self, layer: Layer, axis: str) -> Profile:
        simulator, chip = self.simulator, self.simulator.rules.chip
        granules = self.granules(layer, axis)
        fired = simulator.times_fired
        first, last = np.full(fired.size, granules), np.full(fired.size, -1)
        work_ps, compute_ps = np.zeros(granules + 1, np.int64), np.zeros(granules + 1, np.int64)
        for number in range(granules):
            work = simulator.measure(share_of(layer, axis, number, number + 1))
            reached = work.source
            first[reached] = np.minimum(first[reached], number)
            last[reached] = number
            received = simulator.messages_from(reached)
            work_ps[number + 1] = work.memory_ps - received * chip.actions.message_in.latency_ps
            compute_ps[number + 1] = work.compute_ps
        reach = last >= 0
        ended = np.bincount(last[reach] + 1, fired[reach], minlength=granules + 1)
        begun = np.bincount(first[reach], fired[reach], minlength=granules + 1)
        return Profile(
            np.cumsum(work_ps),
            np.cumsum(compute_ps),
            np.cumsum(ended).astype(np.int64),
            np.cumsum(begun[::-1])[::-1].astype(np.int64),
            int(fired[reach].sum()),
            chip.actions.message_in.latency_ps,
            max(1, chip.core.neurons * granules // layer.neurons),
        )


def share_of(layer: Layer, axis: str, low: int, high: int) -> Slice:
    """The slice with these granules of positions along an axis."""
    ranges = [(0, n) for n in layer.shape]
    ranges[AXES.index(axis)] = (low * layer.neuron.granule, high * layer.neuron.granule)
    box = Box(*ranges)
    return Slice(layer.name, box)


def whole(layer: Layer) -> Slice:
    """All of a layer in one slice."""
    return Slice(layer.name, Box.whole(layer.shape))


def _arrays(profile: Profile) -> tuple:
    arrays = profile.work_ps, profile.compute_ps, profile.ended, profile.begun
    return *arrays, profile.messages, profile.received_ps, profile.longest


@njit(cache=True, nogil=True)
def share_ps(low, high, work_ps, compute_ps, ended, begun, messages, received_ps):
    """Time of the slice that holds granules low..high: its synapses or its sweep, whichever takes longer."""
    received = messages - ended[low] - begun[high]
    return max(work_ps[high] - work_ps[low] + received * received_ps, compute_ps[high] - compute_ps[low])


@njit(cache=True, nogil=True)
def fill(limit_ps, work_ps, compute_ps, ended, begun, messages, received_ps, longest, sizes):
    """Fill one slice after another up to the limit; how many there are, or -1 if one granule alone is too much.

    sizes   int64[granules], granules of each slice, set
    """
    granules = work_ps.size - 1
    low, parts = 0, 0
    while low < granules:
        high = low
        while high < min(granules, low + longest):
            if share_ps(low, high + 1, work_ps, compute_ps, ended, begun, messages, received_ps) > limit_ps:
                break
            high += 1
        if high == low:
            return -1
        sizes[parts] = high - low
        parts += 1
        low = high
    return parts


@njit(cache=True, nogil=True)
def least_largest(parts, work_ps, compute_ps, ended, begun, messages, received_ps, longest, sizes):
    """The cut into at most so many slices whose largest is smallest; how many there are, or -1 if they cannot fit."""
    low, high = np.int64(-1), np.int64(1 << 62)  # too little, enough
    same = work_ps, compute_ps, ended, begun, messages, received_ps, longest, sizes
    used = fill(high, *same)
    if used < 0 or used > parts:
        return -1
    high = share_ps(0, work_ps.size - 1, work_ps, compute_ps, ended, begun, messages, received_ps)
    while high - low > 1:
        middle = (low + high) // 2
        used = fill(middle, *same)
        if used < 0 or used > parts:
            low = middle
        else:
            high = middle
    return fill(high, *same)
