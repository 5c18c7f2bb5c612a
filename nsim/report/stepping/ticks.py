"""Ticks that are stepped through: what the lines of every port of every tile hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import nearest
from nsim.errors import InputError, counted
from nsim.machine.simpy import ticks
from nsim.machine.simpy.simulation import Message
from nsim.machine.ticks import build_lines
from nsim.mapping.tiles.fabric import SIDES
from nsim.report.stepping.breakpoints import NEURON, OUTPUTS, QUEUE_OVER, TIME, Form, Hit, refused, served
from nsim.report.stepping.span import Fired, Span, asked, steps_of
from nsim.report.stepping.stepper import Stepper
from nsim.result.run_ticks import own_firing, sent_ticks


def _tile(span: Tick, tile: str, limit: str) -> Hit:
    """More neurons of a tile fire in this tick."""
    mapping = span.mapping
    if int(tile) >= mapping.fabric.tiles:
        raise InputError(f"tile {tile}: {mapping.title} has 0 to {mapping.fabric.tiles - 1}")

    def hit(stepper: Stepper) -> str:
        now: Any = stepper.span
        sent = int((mapping.routing.tile_of[now.firing] == int(tile)).sum())
        if stepper.services or sent <= int(limit):
            return ""
        return f"tile {int(tile)} sends {counted(sent, 'spike')}, more than {int(limit)}"

    return hit


def _port(span: Tick, cell: str, side: str, limit: str) -> Hit:
    """More spikes have passed a port out of a router, or the rows of a tile."""
    fabric, lines = span.mapping.fabric, span.simulation.lines
    cells = {fabric.cell_name(number): number for number in range(fabric.cells)}
    if cell not in cells:
        raise InputError(f"no tile {cell!r}{nearest(cell, list(cells))}: show lists those that hold something")
    rows = 4 * fabric.cells + np.flatnonzero(fabric.tile_cell == cells[cell])
    ports = rows if side == "row" else np.array([4 * cells[cell] + SIDES.index(side)])
    numbers = {int(lines.first[port]) + line for port in ports for line in range(int(lines.lines[port]))}
    if not numbers:
        raise InputError(f"port {cell} {side} has no line that a neuron uses: give another, such as show lists")
    return served(numbers, int(limit), f"port {cell} {side} has passed", "spike")


NONE_FULL = refused("queues of tiles have no end, so none is full: give queue over COUNT")
TILE_SENDS = Form("tile NUMBER sends COUNT", r"tile (\d+) sends (\d+)", _tile)
PORT_PASSES = Form("port R0(2,2) E passes COUNT", r"port (\S+) ([NESW]|row) passes (\d+)", _port)


@dataclass(frozen=True, eq=False)
class Tick(Span):
    """One tick: all its spikes begin at 0. firing: neurons of the tiles that fire in it."""

    firing: NDArray[np.int64] | None = None
    what: ClassVar[str] = "tick"
    forms: ClassVar[tuple[Form, ...]] = (
        Form("", "queue full.*", NONE_FULL),
        NEURON,
        QUEUE_OVER,
        TIME,
        TILE_SENDS,
        PORT_PASSES,
        OUTPUTS,
    )

    @property
    def network(self) -> Any:
        return self.mapping.network.whole

    def port(self, station: int) -> str:
        """Such as R0(2,2) E, or NT4(3,3) row: its lines are stations."""
        fabric, port = self.mapping.fabric, self.simulation.port[station]
        edges = 4 * fabric.cells
        if port >= edges:
            return f"{fabric.cell_name(fabric.tile_cell[port - edges])} row"
        return f"{fabric.cell_name(port // 4)} {SIDES[port % 4]}"

    def name(self, station: int) -> str:
        return f"{self.port(station)} {station - int(self.simulation.lines.first[self.simulation.port[station]])}"

    def source(self, station: int, message: Message) -> str:
        owner = int(np.searchsorted(self.simulation.lines.branches.indptr, message.spike, side="right")) - 1
        return f"{self.mapping.network.layer}:{owner}"

    def first(self) -> Fired:
        assert self.firing is not None
        return [(self.mapping.network.layer, neuron) for neuron in self.firing.tolist()]


def spans(mapping: Any, inputs: Path | None, options: Mapping[str, Any]) -> Iterator[Span]:
    """One tick after another.

    raises   ChipError if a latency is not known
    """
    lines = build_lines(mapping, bool(options.get("shared_lines")))
    runs, _ = sent_ticks(mapping.network, inputs, *asked(options))
    for number, chunk, place, outputs in steps_of(runs):
        firing = own_firing(mapping.network, chunk, place)
        yield Tick(number, ticks.Tick(lines, firing, record=True), mapping, outputs, firing)
