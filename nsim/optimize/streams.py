"""Better mappings on chips without timesteps: which layers get the cores that do more at a time.

A layer takes one core, and all but a few cores are equally fast. So what can be moved is which layers are on those few;
all choices that fit are tried. Decimators and balancers change what is computed, and are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from nsim.chip.events import StreamChip
from nsim.errors import MappingError, OptimizationError
from nsim.mapping.events.mapping import StreamMapping, map_stream
from nsim.mapping.events.quantize import quantized
from nsim.network.inputs import EventStream
from nsim.network.layers import Network
from nsim.optimize.history import History, Progress, Space, every
from nsim.optimize.objectives import Taken, choose
from nsim.result.run_events import simulate_stream

OBJECTIVES = ("time", "energy", "energy-delay")  # a layer takes one core, so the number of cores is fixed


@dataclass(frozen=True, eq=False)
class Placed(Taken):
    """A mapping and what it takes, over all streams.

    time_ps     work of the busiest station: no stream can be served faster for long
    energy_fj   until all is over, as far as it is known
    end_ps      until all is over, the streams one after another
    """

    time_ps: int
    mapping: StreamMapping
    end_ps: int

    @property
    def core_options(self) -> str:
        """For `nsim run --core-options`."""
        return ",".join(f"core.{layer.name}={layer.core}" for layer in self.mapping.layers)

    def key(self, objective: str) -> tuple[float, ...]:
        """The objective; of equals, the one that is over first."""
        return super().key(objective)[0], float(self.end_ps)


@dataclass(frozen=True, eq=False)
class Placings(Space):
    """The space of a network on a chip without timesteps: mappings with other layers on the faster cores."""

    mappings: tuple[StreamMapping, ...]
    streams: Sequence[EventStream]
    tick_s: float | None
    objective: str

    def beginning(self) -> tuple[StreamMapping, str]:
        return self.mappings[0], "the default mapping"

    def candidates(self) -> Sequence[StreamMapping]:
        return self.mappings[1:]

    def evaluate(self, candidate: StreamMapping, path: bool = False) -> Placed:
        results = [simulate_stream(candidate, stream, dt_s=self.tick_s) for stream in self.streams]
        busy_ps = np.sum([result.times.busy_ps for result in results], axis=0)
        busy_ps[results[0].machine.number("clock")] = 0
        end_ps = sum(result.times.end_ps for result in results)
        energy_fj = sum(result.energy.known_fj for result in results)
        return Placed(int(busy_ps.max()), energy_fj, len(candidate.layers), candidate, end_ps)

    def difference(self, before: StreamMapping, after: StreamMapping) -> str:
        return f"{', '.join(sorted(_on_faster(after))) or 'no layer'} on the faster cores"


def optimize_stream(
    network: Network,
    chip: StreamChip,
    streams: Sequence[EventStream],
    *,
    tick_s: float | None = None,
    objective: str = "time",
    pareto: bool = False,
    progress: Progress | None = None,
) -> History:
    """Try all choices of layers for the faster cores on these streams. Ctrl-C returns what was tried until then.

    raises   OptimizationError without streams, or if no core is faster; MappingError if the network does not fit
    """
    choose(objective, OBJECTIVES, "objective")
    if not streams:
        raise OptimizationError("no events to try mappings on: give at least one stream")
    if not chip.parallel.cores:
        raise OptimizationError(f"all cores of chip {chip.name!r} are equally fast: there is nothing to move")
    mappings = tuple(_mappings(quantized(network, chip), chip))
    history = History(
        Placings(mappings, streams, tick_s, objective), "every", len(mappings), progress=progress, pareto=pareto
    )
    history.run(every, np.random.default_rng(0))
    return history


def _mappings(network: Network, chip: StreamChip) -> Iterator[StreamMapping]:
    """The default one, then one for each other choice of layers on the faster cores."""
    default = map_stream(network, chip)
    known = {_on_faster(default)}
    yield default
    names = [layer.name for layer in default.layers]
    for number in range(min(len(chip.parallel.cores), len(names)), 0, -1):
        for chosen in combinations(names, number):
            mapping = _fitting(network, chip, chosen)
            if mapping is not None and _on_faster(mapping) not in known:
                known.add(_on_faster(mapping))
                yield mapping


def _on_faster(mapping: StreamMapping) -> frozenset[str]:
    return frozenset(layer.name for layer in mapping.layers if layer.core in mapping.chip.parallel.cores)


def _fitting(network: Network, chip: StreamChip, chosen: Sequence[str]) -> StreamMapping | None:
    """These layers on faster cores, in any order in which they fit; None if they do not."""
    for cores in permutations(chip.parallel.cores, len(chosen)):
        try:
            return map_stream(network, chip, dict(zip(chosen, cores, strict=True)))
        except MappingError:
            continue
    return None
