"""Better mappings on chips without timesteps: which layers get the cores that do more at a time.

A layer takes one core, and all but a few cores are equally fast. So what can be moved is which layers are on those few;
all choices that fit are tried. Decimators and balancers change what is computed, and are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from nsim.errors import MappingError, OptimizationError
from nsim.events import EventStream
from nsim.network import Network
from nsim.stream.chip import StreamChip
from nsim.stream.mapping import StreamMapping, map_stream
from nsim.stream.quantize import quantized
from nsim.stream.run import simulate_stream

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Placed:
    """A mapping and what it takes, over all streams.

    busiest_ps   work of the busiest station: no stream can be served faster for long
    end_ps       until all is over, the streams one after another
    """

    mapping: StreamMapping
    busiest_ps: int
    end_ps: int
    energy_fj: float

    @property
    def core_options(self) -> str:
        """For `nsim run --core-options`."""
        return ",".join(f"core.{layer.name}={layer.core}" for layer in self.mapping.layers)


@dataclass(frozen=True, eq=False)
class StreamSearch:
    """What was tried: the default mapping first. interrupted: whether there was more to try."""

    tried: tuple[Placed, ...]
    interrupted: bool = False

    @property
    def default(self) -> Placed:
        return self.tried[0]

    @property
    def best(self) -> Placed:
        """With the least work of the busiest station; of equals, the one that is over first."""
        return min(self.tried, key=lambda each: (each.busiest_ps, each.end_ps))


def optimize_stream(
    network: Network,
    chip: StreamChip,
    streams: Sequence[EventStream],
    *,
    tick_s: float | None = None,
    progress: Progress | None = None,
) -> StreamSearch:
    """Try all choices of layers for the faster cores on these streams. Ctrl-C returns what was tried until then.

    raises   OptimizationError without streams, or if no core is faster; MappingError if the network does not fit
    """
    if not streams:
        raise OptimizationError("no events to try mappings on: give at least one stream")
    if not chip.parallel.cores:
        raise OptimizationError(f"all cores of chip {chip.name!r} are equally fast: there is nothing to move")
    whole = quantized(network, chip)
    mappings = list(_mappings(whole, chip))
    tried: list[Placed] = []
    try:
        for number, mapping in enumerate(mappings):
            tried.append(_placed(mapping, streams, tick_s))
            if progress:
                progress(number + 1, len(mappings))
    except KeyboardInterrupt:
        if not tried:
            raise
        return StreamSearch(tuple(tried), True)
    return StreamSearch(tuple(tried))


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


def _placed(mapping: StreamMapping, streams: Sequence[EventStream], tick_s: float | None) -> Placed:
    results = [simulate_stream(mapping, stream, tick_s=tick_s) for stream in streams]
    busy_ps = np.sum([result.times.busy_ps for result in results], axis=0)
    busy_ps[results[0].machine.number("clock")] = 0
    end_ps = sum(result.times.end_ps for result in results)
    return Placed(mapping, int(busy_ps.max()), end_ps, sum(result.energy.known_fj for result in results))
