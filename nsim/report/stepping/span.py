"""A simulation that is stepped through, and what its discipline says of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import Chip
from nsim.chip.discipline import discipline_of
from nsim.errors import InputError
from nsim.machine.simpy.simulation import Message
from nsim.network.activity import Activity, layer_offsets
from nsim.report.stepping.breakpoints import NEURON, QUEUE_FULL, QUEUE_OVER, TIME, Form
from nsim.report.units import seconds

Fired = list[tuple[str, int]]  # layer and index of neurons


@dataclass(frozen=True, eq=False)
class Span(ABC):
    """A simulation, ready to begin. A discipline overrides what differs.

    number     of the timestep or tick, or of the hardware sequence that frames pass; 0 of a stream
    mapping    whose neurons and cores it has
    outputs    of the network in this timestep; None if activity is drawn, or comes event by event
    what       it is called
    forms      breakpoints that there are
    unqueued   kinds of stations that take from no queue
    """

    number: int
    simulation: Any
    mapping: Any
    outputs: NDArray | None = None
    what: ClassVar[str]
    forms: ClassVar[tuple[Form, ...]] = (NEURON, QUEUE_FULL, QUEUE_OVER, TIME)
    unqueued: ClassVar[tuple[str, ...]] = ()

    @property
    def network(self) -> Any:
        return self.mapping.network

    @cached_property
    def _offsets(self) -> NDArray[np.int64]:
        return layer_offsets(self.network)

    def neuron(self, index: int) -> tuple[str, int]:
        """Layer and index in it, of an index in the network."""
        layer = int(np.searchsorted(self._offsets, index, side="right")) - 1
        return self.network.layers[layer].name, index - int(self._offsets[layer])

    def kind(self, station: int) -> str:
        return str(self.simulation.machine.kind(station))

    def name(self, station: int) -> str:
        """A station as a person would call it."""
        return str(self.simulation.machine.name(station))

    def where(self) -> str:
        """Where a run is in it."""
        return f"{self.what} {self.number}, {seconds(self.simulation.now)}"

    @abstractmethod
    def source(self, station: int, message: Message) -> str:
        """What a message is of, as a person would call it."""

    def goal(self, message: Message) -> str:
        """Where a message goes, if that is known."""
        return f" to core {message.target}" if message.target >= 0 else ""

    def first(self) -> Fired:
        """Neurons that fire as it begins."""
        return []

    def served(self, station: int, message: Message) -> Fired:
        """Neurons that fire as this service ends."""
        return []

    def handed(self, station: int, message: Message) -> Fired:
        """Neurons that fire as a station hands this on."""
        return []

    def idle(self, station: int) -> tuple[str, int | None]:
        """Why a station serves nothing, and the station that this depends on; None: not on one."""
        return "nothing to serve", None

    def parts(self) -> int:
        """How many of its parts are over, after each of which `next` stops."""
        return 0

    def part(self, number: int) -> str:
        """What is told when this part is over."""
        return f"part {number} of the {self.what} is over"


def spans_of(mapping: Any, inputs: Path | None, options: Mapping[str, Any]) -> Iterator[Span]:
    """The spans of a run with these options of `nsim run`, one after another.

    raises   InputError for chips whose runs cannot be stepped through, and as `simulate` does
    """
    check_stepped(mapping.chip)
    found: Iterator[Span] = discipline_of(mapping.chip).part("spans")(mapping, inputs, options)
    return found


def asked(options: Mapping[str, Any]) -> tuple[Any, ...]:
    """Activity, timesteps, samples, dt_s and seed of a run, in the order in which what sends takes them."""
    return *map(options.get, ("activity", "timesteps", "samples", "dt_s")), options.get("seed") or 0


def steps_of(runs: Iterable[Iterable[Activity]]) -> Iterator[tuple[int, Activity, int, NDArray | None]]:
    """The steps of all samples: number, the chunk that a step is in, its place there, and what the network puts out."""
    number = 0
    for chunk in chain.from_iterable(runs):
        for place in range(chunk.timesteps):
            yield number, chunk, place, None if chunk.outputs is None else chunk.outputs[place]
            number += 1


def check_stepped(chip: Chip) -> None:
    """Refuse chips whose runs cannot be stepped through."""
    own = discipline_of(chip)
    if own.spans is None:
        raise InputError(
            f"chip {chip.name!r} works on {own.works_on}, which cannot be stepped through: give another chip"
        )
