"""The Mosaic chip as its file describes it: the grid of neuron tiles and the lines of each kind of tile."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nsim.chip.chip import RANGE, Amount, AmountRange, Chip, Group, Picoseconds, PicosecondsRange, Table

MAX_SIDE = 32  # tiles; the routes of all pairs of a 32 x 32 grid take some 400 MB
MAX_LINES = 4_096

Tiles = Annotated[int, Field(strict=True, ge=1, le=MAX_SIDE)]
Lines = Annotated[int, Field(strict=True, ge=0, le=MAX_LINES)]


class Grid(Table):
    """The neuron tiles; routing tiles lie between them and around them."""

    rows: Tiles = Field(description="neuron tiles from north to south")
    columns: Tiles = Field(description="neuron tiles from west to east")
    neurons_per_tile: Annotated[int, Field(strict=True, ge=1, le=1_024)] = Field(description="neurons of one tile")


class TilePorts(Table):
    """Lines of each port of one kind of tile; opposite sides have equally many."""

    in_north_south: Lines = Field(description="lines that enter by the northern, and as many by the southern side")
    in_east_west: Lines = Field(description="lines that enter by the eastern, and as many by the western side")
    out_north_south: Lines = Field(description="lines that leave by the northern, and as many by the southern side")
    out_east_west: Lines = Field(description="lines that leave by the eastern, and as many by the western side")

    @property
    def lines(self) -> tuple[int, ...]:
        """Of the eight ports: in by N, E, S, W, then out by N, E, S, W."""
        return (self.in_north_south, self.in_east_west) * 2 + (self.out_north_south, self.out_east_west) * 2


class Ports(Group):
    """The three kinds of tile."""

    neuron_tile: TilePorts = Field(description="ports of a neuron tile")
    r1: TilePorts = Field(
        description="ports of a routing tile between two neuron tiles, taken as north and south of it"
    )
    r0: TilePorts = Field(description="ports of a routing tile at the corners of neuron tiles")


class Reading(Table):
    """How a neuron tile reads the rows of the spikes that reach it."""

    rows: Literal["together", "one-by-one"] = Field(
        description="whether a tile reads its rows at the same time or one after another"
    )


class TileAction(Table):
    """The cost of one event in a tile; None is unknown, which is not 0."""

    latency_ps: Picoseconds | None = Field(default=None, description="time of one, in ps; leave out if unknown")
    latency_ps_range: PicosecondsRange | None = Field(default=None, description=RANGE)
    energy_fj: Amount | None = Field(default=None, description="energy of one, in femtojoules; leave out if unknown")
    energy_fj_range: AmountRange | None = Field(default=None, description=RANGE)


def unknown_action() -> TileAction:
    return TileAction.model_construct(source="", basis="assumed")


class Actions(Group):
    """What a spike causes."""

    row_read: TileAction = Field(default_factory=unknown_action, description="a spike reads its row in a neuron tile")
    r1_crossing: TileAction = Field(default_factory=unknown_action, description="a spike crosses an R1")
    r0_crossing: TileAction = Field(default_factory=unknown_action, description="a spike crosses an R0")


class MosaicChip(Chip):
    """Neuron tiles between routing tiles. A timestep is a tick of real time."""

    discipline: Literal["tick"] = Field(description="what ends a timestep")
    grid: Grid = Field(description="the neuron tiles")
    reading: Reading = Field(description="how rows are read")
    ports: Ports = Field(description="lines of the tiles' ports")
    actions: Actions = Field(default_factory=Actions, description="cost of each action")

    @property
    def cores(self) -> int:
        return self.grid.rows * self.grid.columns

    def unknown_latencies(self) -> list[str]:
        return [name for name, action in self.actions if action.latency_ps is None]
