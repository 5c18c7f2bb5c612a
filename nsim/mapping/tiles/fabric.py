"""The fabric: neuron tiles (NT) between routing tiles of two kinds, R1 and R0, on one grid of cells.

R x C neuron tiles lie on (2R + 1) x (2C + 1) cells; routing tiles also form the border. Cell (i, j) is a neuron tile if
both numbers are odd, an R0 if both are even, else an R1: it touches two neuron tiles, joins them and passes the traffic
of its line. Only an R0 turns traffic. Tiles and cells are counted row by row.
Source: Weber, Ballet, Payvand 2024, arXiv:2412.01575, and its published program.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nsim.chip.tiles import MAX_SIDE, MosaicChip
from nsim.errors import MappingError

NT, R1, R0 = 0, 1, 2
KINDS = ("NT", "R1", "R0")
SIDES = ("N", "E", "S", "W")


@dataclass(frozen=True)
class Fabric:
    """A grid of rows x columns neuron tiles of `neurons` neurons each.

    raises   MappingError for a grid without tiles, or of more than 32 x 32
    """

    rows: int
    columns: int
    neurons: int

    def __post_init__(self) -> None:
        for name, value, most in (
            ("rows", self.rows, MAX_SIDE),
            ("columns", self.columns, MAX_SIDE),
            ("neurons per tile", self.neurons, 1_024),
        ):
            if not 1 <= value <= most:
                raise MappingError(f"the grid has {value} {name}: give 1 to {most}")

    @property
    def tiles(self) -> int:
        return self.rows * self.columns

    @property
    def capacity(self) -> int:
        """Neurons that all tiles hold together."""
        return self.tiles * self.neurons

    @property
    def height(self) -> int:
        return 2 * self.rows + 1

    @property
    def width(self) -> int:
        return 2 * self.columns + 1

    @property
    def cells(self) -> int:
        return self.height * self.width

    @property
    def counts(self) -> tuple[int, int, int]:
        """Cells that are NT, R1 and R0."""
        r, c = self.rows, self.columns
        return r * c, (r + 1) * c + r * (c + 1), (r + 1) * (c + 1)

    @cached_property
    def kind(self) -> NDArray[np.int64]:
        """NT, R1 or R0 of every cell."""
        row, column = np.divmod(np.arange(self.cells), self.width)
        return np.where(row % 2 == column % 2, np.where(row % 2, NT, R0), R1)

    @cached_property
    def upright(self) -> NDArray[np.bool_]:
        """By cell: an R1 with its neuron tiles to the north and south; the others are turned by a quarter."""
        return (self.kind == R1) & (np.arange(self.cells) // self.width % 2 == 0)

    @cached_property
    def tile_cell(self) -> NDArray[np.int64]:
        """The cell of every tile."""
        row, column = np.divmod(np.arange(self.tiles), self.columns)
        return (2 * row + 1) * self.width + 2 * column + 1

    @cached_property
    def beyond(self) -> NDArray[np.int64]:
        """The cell beyond each side, int64[cells, 4] by N, E, S, W; beyond the border, where no line leads, any."""
        steps = np.array([-self.width, 1, self.width, -1])
        return np.clip(np.arange(self.cells)[:, None] + steps, 0, self.cells - 1)

    @cached_property
    def hops(self) -> NDArray[np.int64]:
        """Routing tiles crossed from tile to tile: int64[tiles, tiles].

        0 within a tile, 1 to a neighbour, 2m + 1 to a tile m >= 2 away in the same row or column (the route steps out
        to a line of routers and back), else 2(dx + dy) - 1.
        """
        row, column = np.divmod(np.arange(self.tiles), self.columns)
        dy = np.abs(row[:, None] - row[None, :])
        dx = np.abs(column[:, None] - column[None, :])
        along = 2 * (dx + dy) + np.where((dx == 0) | (dy == 0), 1, -1)
        return np.where(dx + dy <= 1, dx + dy, along)

    @cached_property
    def distances(self) -> list[int]:
        """The hop counts between different tiles that exist on this grid, ascending."""
        return [int(d) for d in np.unique(self.hops) if d]

    def capacities(self, chip: MosaicChip) -> NDArray[np.int64]:
        """Lines of every port: int64[cells, 8], in by N, E, S, W, then out by N, E, S, W."""
        ports = chip.ports
        lines = np.array([ports.neuron_tile.lines, ports.r1.lines, ports.r0.lines], np.int64)[self.kind]
        return self._quarter_turned(lines, -1)

    def in_frame(self, ports: NDArray[np.int64]) -> NDArray[np.int64]:
        """Values by cell and port, those of R1s seen as if their neuron tiles lay to the north and south."""
        return self._quarter_turned(ports, 1)

    def _quarter_turned(self, ports: NDArray[np.int64], direction: int) -> NDArray[np.int64]:
        rotated = np.roll(ports.reshape(-1, 2, 4), direction, axis=2).reshape(-1, 8)
        lying = (self.kind == R1) & ~self.upright
        return np.where(lying[:, None], rotated, ports)

    def cell_name(self, cell: int) -> str:
        """Such as R0(2,2), or NT4(3,3), the tile's number before its place."""
        row, column = divmod(int(cell), self.width)
        kind = int(self.kind[cell])
        tile = (row // 2) * self.columns + column // 2 if kind == NT else ""
        return f"{KINDS[kind]}{tile}({row},{column})"
