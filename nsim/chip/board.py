"""Boards: several chips with timesteps whose meshes go on over the edges of the chips.

A board is one larger mesh: a grid of chips of one file, each with that file's mesh. Links that cross the edge between
two chips are a kind of their own, `chip_to_chip`. Cores are numbered chip by chip, chips row by row: who fills cores
in order fills a chip before the next one. Source: Davies et al., IEEE Micro 38(1), 2018: the mesh extends over the four
edges of a chip. How many ports an edge has was not found: every row and column of routers is taken to have one, unless
the file gives `ports`. Then neighbouring rows (columns) share one: row r of n belongs to port r * ports // n, and its
messages over that edge pass this port, which is one link.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from nsim.chip.chip import RANGE, Count, Link, Links, Picoseconds, PicosecondsRange, Side, Table, Text, wrong
from nsim.chip.timesteps import BarrierChip

LARGEST_SIDE = 1024  # routers of a board in one direction, as for a chip
OWN = {
    "source": "own",
    "basis": "assumed",
    "note": "given in the board's file without a source",
}


class BoardLinks(Links):
    """The links on the chips, and between them."""

    chip_to_chip: Link = Field(
        description="between neighbouring routers of two chips; as on a shipped board with chip = its name"
    )


class Board(Table):
    """Chips in a rectangle."""

    columns: Side = Field(description="chips from west to east")
    rows: Side = Field(description="chips from north to south")
    cores_per_chip: Count | None = Field(
        default=None, description="cores of each chip that may be used, the first ones; all if left out"
    )
    ports: Count | None = Field(
        default=None,
        description="links over each edge of a chip, each way, shared by neighbouring rows or columns; one for each "
        "if left out",
    )


class BoardBarrier(Table):
    """What the barrier takes longer over several chips: hop_ps for each of the 2 (sqrt(n) - 1) edges over n chips."""

    hop_ps: Picoseconds = Field(description="picoseconds more for each edge between chips on the longest way")
    hop_ps_range: PicosecondsRange | None = Field(default=None, description=RANGE)


class BoardChip(BarrierChip):
    """Several chips, as one larger mesh. `mesh`, `power` and `management` are those of each chip."""

    chip: Text = Field(description="the chip, or another board to take all from that is not given here")
    links: BoardLinks = Field(description="the network on and between chips")
    board: Board = Field(description="the grid of chips")
    board_barrier: BoardBarrier = Field(
        description="end of a timestep over several chips; as on a shipped board with chip = its name"
    )

    @property
    def columns(self) -> int:
        return self.mesh.columns * self.board.columns

    @property
    def rows(self) -> int:
        return self.mesh.rows * self.board.rows

    @property
    def chips(self) -> int:
        return self.board.columns * self.board.rows

    @property
    def cores_per_chip(self) -> int:
        return self.board.cores_per_chip or self.mesh.columns * self.mesh.rows * self.mesh.cores_per_router

    @property
    def cores(self) -> int:
        return self.chips * self.cores_per_chip

    def core_router(self, core: int) -> int:
        chip, own = divmod(core, self.cores_per_chip)
        y, x = divmod(own // self.mesh.cores_per_router, self.mesh.columns)
        row, column = divmod(chip, self.board.columns)
        return (row * self.mesh.rows + y) * self.columns + column * self.mesh.columns + x

    @property
    def core_routers(self) -> NDArray[np.int64]:
        chips = np.arange(self.chips)
        corner = chips // self.board.columns * self.mesh.rows * self.columns
        corner = corner + chips % self.board.columns * self.mesh.columns
        own = np.array([self.core_router(core) for core in range(self.cores_per_chip)])
        return np.append((corner[:, None] + own).ravel(), self.router_of(self.cores))

    @property
    def mesh_kinds(self) -> tuple[str, ...]:
        return *super().mesh_kinds, "chip_to_chip"

    @property
    def ports(self) -> int | None:
        return self.board.ports

    def barrier_ps(self, routers_used: int, chips_used: int = 1) -> int:
        """The barrier of a chip, and the longest way over a square of as many chips."""
        return super().barrier_ps(routers_used) + round(self.board_barrier.hop_ps * 2 * (sqrt(chips_used) - 1))

    @model_validator(mode="after")
    def _is_small_enough(self) -> BoardChip:
        for name in ("columns", "rows"):
            routers = getattr(self, name)
            if routers > LARGEST_SIDE:
                most = LARGEST_SIDE // getattr(self.mesh, name)
                problem = f"makes {routers} {name} of routers, more than {LARGEST_SIDE}: give at most {most}"
                raise wrong(f"board.{name}", getattr(self.board, name), problem)
        have = self.mesh.columns * self.mesh.rows * self.mesh.cores_per_router
        if self.cores_per_chip > have:
            problem = f"but the chip has {have} cores: give at most {have}"
            raise wrong("board.cores_per_chip", self.cores_per_chip, problem)
        longest = max(self.mesh.columns, self.mesh.rows)
        if self.ports is not None and self.ports > longest:
            problem = f"but the longest edge of the chip has {longest} rows or columns: give at most {longest}"
            raise wrong("board.ports", self.ports, problem)
        return self


def merged(chip: dict[str, Any], board: dict[str, Any]) -> dict[str, Any]:
    """What a board's file says, and else what the file of its chip does: a table with numbers is taken whole."""
    below_ = {key: value for key, value in chip.items() if key != "name"}
    data = below_ | {"title": board.get("name")} | board
    for name, table in board.items():
        below = chip.get(name)
        if isinstance(table, dict) and isinstance(below, dict) and (name == "sources" or is_group(table)):
            data[name] = below | table
    given = board.get("board")
    if isinstance(given, dict) and "source" not in given and isinstance(data.get("sources"), dict):
        data["board"] = OWN | given
        data["sources"] = data["sources"] | {"own": "the board's own file"}
    return data


def is_group(table: dict[str, Any]) -> bool:
    """Whether a table only holds other tables."""
    return all(isinstance(value, dict) for value in table.values())
