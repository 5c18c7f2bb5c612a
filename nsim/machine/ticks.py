"""The lines of the ports as stations: who serves a spike, for how long, and how many at once.

A *line* out of a router serves a spike for the time of crossing that router; a *row* of a neuron tile serves it for the
time of reading the row. A neuron's own lines, out of its tile, take no time. Each is one server with a first-come-
first-served queue without end; what waits there blocks nobody (rule 8 of forks: all branches are asked at once).

dedicated  a port has a line for every neuron whose tree uses it: nothing waits
shared     a port has the lines of the chip file, and so has the port it leads into, whichever are fewer

Spikes take the lines of a port in turn, in the order in which they come. Since all services of a port take equally
long, this is the same as one queue for all of its lines. A tile's rows are all read together, or one by one, as the
chip file says.

Stations are numbered by port, then by line: lines out of routers by cell and side (N, E, S, W), then rows by tile. Of
services that end in the same picosecond the lowest station number goes first, with all that follows from it. The spikes
of a tick all begin at 0, in order of neuron number, and every tick finds the fabric empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nsim.errors import ChipError, MappingError
from nsim.machine.machine import Machine
from nsim.machine.times import StationTimes
from nsim.mapping.tiles.branches import Branches, find_branches
from nsim.mapping.tiles.fabric import R0, R1, SIDES
from nsim.mapping.tiles.mapping import MosaicMapping
from nsim.network.brief import Brief

NO_END = np.iinfo(np.int32).max  # slots of a queue


class LineMachine(Machine):
    """The lines of all ports."""

    kinds = ("line",)


@dataclass(frozen=True, eq=False, repr=False)
class Lines(Brief):
    """The lines of all ports, int64[ports] each; ports as in `Branches`.

    lines       of the port, at most as many as neurons use it
    service_ps  at each of them, at least 1
    first       its first station
    """

    branches: Branches
    lines: NDArray[np.int64]
    service_ps: NDArray[np.int64]
    first: NDArray[np.int64]

    @property
    def stations(self) -> int:
        return int(self.lines.sum())

    @cached_property
    def port(self) -> NDArray[np.int64]:
        """The port of each line: int64[stations]."""
        return np.repeat(np.arange(self.lines.size), self.lines)

    def most_of_port(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """The most of what the lines of each port have, 0 where it has none: int64[ports] of int64[stations]."""
        most = np.zeros(self.lines.size, np.int64)
        np.maximum.at(most, self.port, values)
        return most

    @cached_property
    def machine(self) -> LineMachine:
        """The lines as stations."""
        stations = self.stations
        return LineMachine(
            first=np.array([0, stations]),
            capacity=np.full(stations, NO_END),
            service_ps=np.repeat(self.service_ps, self.lines),
            wire_ps=np.zeros(stations, np.int64),
        )


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TickTimes(StationTimes):
    """What an engine measures in one tick; waited_ps: int64[ports], summed over spikes."""

    duration_ps: int
    waited_ps: NDArray[np.int64]


def missing_latencies(mapping: MosaicMapping) -> list[str]:
    """Keys of the chip file without which no time can be told: of the actions that this network may cause."""
    return [
        f"actions.{name}.latency_ps"
        for name, action in mapping.chip.actions
        if mapping.events[name] and action.latency_ps is None
    ]


def build_lines(mapping: MosaicMapping, shared: bool, branches: Branches | None = None) -> Lines:
    """Number the lines of a mapped network.

    raises   ChipError if a latency is not known, MappingError if a shared port that is used has no line
    """
    missing = missing_latencies(mapping)
    if missing:
        raise ChipError(
            f"chip {mapping.chip.name!r} has no {', '.join(missing)}, without which there is no time: give values of "
            "your own by --set KEY=PICOSECONDS; nsim run without --shared-lines needs none"
        )
    branches = branches or find_branches(mapping.routing)
    fabric, edges = mapping.fabric, 4 * mapping.fabric.cells
    lines = branches.users()
    if shared:
        lines[:edges] = np.minimum(lines[:edges], _shared_lines(mapping, lines[:edges]))
    if mapping.chip.reading.rows == "one-by-one":
        lines[edges:] = np.minimum(lines[edges:], 1)
    latency = {name: action.latency_ps or 0 for name, action in mapping.chip.actions}
    crossing = np.array([0, latency["r1_crossing"], latency["r0_crossing"]])
    assert (R1, R0) == (1, 2)
    service = np.concatenate((np.repeat(crossing[fabric.kind], 4), np.full(fabric.tiles, latency["row_read"])))
    first = np.cumsum(lines) - lines
    return Lines(branches, lines, np.maximum(1, service).astype(np.int64), first)


def _shared_lines(mapping: MosaicMapping, users: NDArray[np.int64]) -> NDArray[np.int64]:
    """Lines of each port out of a cell, and of the port it leads into: the fewer. int64[4 * cells]."""
    fabric = mapping.fabric
    leaving = mapping.capacities[:, 4:]
    entering = np.stack([mapping.capacities[fabric.beyond[:, side], (side + 2) % 4] for side in range(4)], axis=1)
    shared = np.minimum(leaving, entering).ravel()
    closed = np.flatnonzero((shared == 0) & (users > 0))
    if closed.size:
        cell, side = divmod(int(closed[0]), 4)
        raise MappingError(
            f"{mapping.title}: {users[closed[0]]} neurons use the port out {SIDES[side]} of {fabric.cell_name(cell)}, "
            "which has 0 lines or leads into 0: give it at least 1 in the chip file, or leave out --shared-lines"
        )
    return shared
