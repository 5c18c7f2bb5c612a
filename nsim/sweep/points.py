"""The points of a sweep: which runs its file asks for, in their order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from nsim.errors import SweepError, counted
from nsim.sweep.spec import AXES, MAX_POINTS, Block, Range, Spec, size_of

Value = bool | int | float | str
# What the axes of a block are called at one point; those of options stand in AXES
NAMES = {"networks": "network", "chips": "chip", "inputs": "input", "schedules": "schedule", "seeds": "seed"}
SAME = (
    "timesteps",
    "drain",
    "warm_up",
    "samples",
    "seconds",
    "embedded_us",
    "per_sample_us",
    "shared_lines",
    "critical_path",
    "ranges",
)  # options with one value in a block
PARAMETER = "chip_parameters."


@dataclass(frozen=True)
class Point:
    """One run; None: not given, as in `nsim run`. options: those of `map_network` and `simulate` that are given."""

    network: str
    chip: str
    chip_parameters: tuple[tuple[str, Value], ...] = ()
    weight_sparsity: float | None = None
    activation_sparsity: float | None = None
    schedule: str | None = None
    input: str | None = None
    seed: int = 0
    dt_s: float | None = None
    options: tuple[tuple[str, Value], ...] = ()

    def option(self, name: str) -> Value | None:
        """An option of nsim/chip/discipline.py; None: left out."""
        return dict(self.options).get(name)


class Points(Sequence[Point]):
    """All points of a sweep in the order of its file, made when asked for: a million of them need no memory."""

    def __init__(self, spec: Spec) -> None:
        self.blocks = [BlockPoints(block) for block in spec.points]
        self.first = [0, *itertools.accumulate(len(block) for block in self.blocks)]
        if len(self) > MAX_POINTS:
            raise SweepError(
                f"the sweep has {counted(len(self), 'point')}, and one may have {MAX_POINTS:,}: give fewer values, or "
                'a Latin hypercube (kind = "latin-hypercube", count = 1000)'
            )
        for block in self.blocks:
            block.draw()

    def __len__(self) -> int:
        return self.first[-1]

    @overload
    def __getitem__(self, number: int) -> Point: ...

    @overload
    def __getitem__(self, number: slice) -> list[Point]: ...

    def __getitem__(self, number: int | slice) -> Point | list[Point]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(number)
        which = int(np.searchsorted(self.first, number, "right")) - 1
        return self.blocks[which].point(number - self.first[which])


class BlockPoints:
    """The points of one block."""

    def __init__(self, block: Block) -> None:
        self.block, self.axes = block, block.axes()
        self.places: NDArray[np.float64] | None = None
        self.values: list[list] = []
        if block.kind == "latin-hypercube":
            self.size = block.count or 0
            return
        sizes = [size_of(values) for _, values in self.axes]
        self.size = prod(sizes) if block.kind == "grid" else max(sizes)

    def __len__(self) -> int:
        return self.size

    def draw(self) -> None:
        """Make what the points are read from."""
        if self.block.kind == "latin-hypercube":
            from scipy.stats import qmc  # half the start-up of every worker, and only a Latin hypercube needs it

            rng = np.random.default_rng(self.block.draw)
            self.places = qmc.LatinHypercube(len(self.axes), seed=rng).random(self.size)
        else:
            self.values = [each.values() if isinstance(each, Range) else each for _, each in self.axes]

    def point(self, number: int) -> Point:
        return made(self.block, dict(zip((name for name, _ in self.axes), self._chosen(number), strict=True)))

    def _chosen(self, number: int) -> list[Any]:
        """The value of every axis."""
        if self.places is not None:
            pairs = zip(self.axes, self.places[number].tolist(), strict=True)
            return [v.at(place) if isinstance(v, Range) else v[int(place * len(v))] for (_, v), place in pairs]
        if self.block.kind == "list":
            return [values[number if len(values) > 1 else 0] for values in self.values]
        chosen = []
        for values in reversed(self.values):
            number, index = divmod(number, len(values))
            chosen.append(values[index])
        return chosen[::-1]


def made(block: Block, values: dict[str, Any]) -> Point:
    """The point with these values by axis."""
    parameters = tuple((key.removeprefix(PARAMETER), v) for key, v in values.items() if key.startswith(PARAMETER))
    own = {NAMES.get(key, key): v for key, v in values.items() if not key.startswith(PARAMETER) and key not in AXES}
    options = {AXES[key]: value for key, value in values.items() if key in AXES}
    options |= {name: getattr(block, name) for name in SAME if getattr(block, name) is not None}
    return Point(**own, dt_s=block.dt_s, chip_parameters=parameters, options=tuple(options.items()))
