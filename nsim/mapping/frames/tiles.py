"""How a layer that convolves is cut into tiles, one for each processor or group of processors.

As measured on the virtual device of akida 2.19.3: as few tiles as fit, all of one size but for the last ones, cut along
the columns where that needs no more tiles than cutting along the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nsim.chip.frames import FrameChip
from nsim.network.synapses import Shape


@dataclass(frozen=True)
class Tile:
    """A block of a layer's input, and the memory for it. Half-open ranges, without the halo.

    input_bytes   memory of the tile with its halo
    """

    columns: tuple[int, int]
    rows: tuple[int, int]
    input_bytes: int

    def positions(self, shape: Shape, halo: int) -> int:
        """Places of the block and of its halo, which ends at the border of the image."""
        wide = min(self.columns[1] + halo, shape[2]) - max(self.columns[0] - halo, 0)
        return wide * (min(self.rows[1] + halo, shape[1]) - max(self.rows[0] - halo, 0))


def grids(parts: int) -> Iterator[tuple[int, int]]:
    """(columns, rows) of grids with so many tiles, the one with most columns first."""
    for rows in range(1, parts + 1):
        if parts % rows == 0:
            yield parts // rows, rows


def cut(length: int, parts: int, multiple: int = 1) -> list[tuple[int, int]]:
    """Half-open ranges of equal size, which is a multiple, but for the last; maybe fewer than asked for."""
    size = -(-length // parts)
    size += -size % multiple
    return [(first, min(first + size, length)) for first in range(0, length, size)]


def tile_bytes(shape: Shape, columns: tuple[int, int], rows: tuple[int, int], halo: int, bits: int) -> int:
    """Memory for a block with its halo, which ends at the border of the image; columns are stored in pairs."""
    wide = min(columns[1] + halo, shape[2]) - max(columns[0] - halo, 0)
    high = min(rows[1] + halo, shape[1]) - max(rows[0] - halo, 0)
    return -(-(wide + wide % 2) * high * shape[0] * bits // 8)


def tiles(
    chip: FrameChip, shape: Shape, kernel: int, bits: int, multiple: int = 1, most: int | None = None
) -> list[Tile] | None:
    """The tiles of an input of this shape; None if no cut with at most `most` tiles fits (default: all processors).

    bits      of an activation
    multiple  size of a cut tile along each axis: windows of a pool are not cut
    """
    halo = (kernel - 1) // 2
    for parts in range(1, (most or len(chip.processors)) + 1):
        for across, down in grids(parts):
            columns, rows = cut(shape[2], across, multiple), cut(shape[1], down, multiple)
            if (len(columns), len(rows)) != (across, down):
                continue
            found = [Tile(c, r, tile_bytes(shape, c, r, halo, bits)) for c in columns for r in rows]
            if all(_fits(chip, tile) for tile in found):
                return found
    return None


def _fits(chip: FrameChip, tile: Tile) -> bool:
    wide, high = tile.columns[1] - tile.columns[0], tile.rows[1] - tile.rows[0]
    limits = chip.convolution
    return wide <= limits.tile_columns and high <= limits.tile_rows and tile.input_bytes <= chip.processor.input_bytes
