"""The copies of every message: which cores it goes to, and what each of them causes there.

Boards have hundreds of millions of copies: columns are in the narrowest type that holds them, and are filled in without
sorting. Slices that are alike, as those of layers that share their synapses, are looked at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nsim.chip.timesteps import BarrierChip
from nsim.mapping.cores import copy_kernels as kernels
from nsim.mapping.cores.partition import Partition
from nsim.mapping.cores.storage import FORMATS, Works
from nsim.network.brief import Brief
from nsim.network.layers import Network


@dataclass(frozen=True, eq=False, repr=False)
class Copies(Brief):
    """The messages that each neuron sends when it fires, one copy per destination core, in order of core number.

    indptr   int64[neurons + 1]    neuron g sends copies indptr[g]:indptr[g + 1]
    core     integer[copies]       physical destination core
    synops   integer[copies, 3]    synops there, by storage format (dense, sparse, conv), in a narrow type
    words    integer[copies]       words of weight memory read there; likewise
    """

    indptr: NDArray[np.int64]
    core: NDArray[Any]
    synops: NDArray[Any]
    words: NDArray[Any]
    service_ps: NDArray[np.int64]


class Part(NamedTuple):
    """What one connection brings to one core, see `copy_kernels.py`; offset: first neuron of its source layer."""

    core: int
    offset: int
    form: int
    source: NDArray[np.int32]
    synops: NDArray[Any]
    words: NDArray[Any]
    time_ps: NDArray[Any]


def parts_of(network: Network, partition: Partition, offsets: dict[str, int], works: Works) -> list[Part]:
    """The parts of every logical core, core by core; offsets: first neuron of every layer."""
    return [
        Part(core, offsets[connection.source], *works.work(connection, piece.laid_out)[:5])
        for core, slices in enumerate(partition)
        for piece in slices
        for connection in network.incoming(piece.layer)
    ]


def counted(parts: Iterable[Part], neurons: int) -> NDArray[np.int64]:
    """How many copies every neuron sends: one to each core with a synop or a stored weight of it."""
    last, counts = np.full(neurons, -1, np.int32), np.zeros(neurons, np.int64)
    for part in parts:
        kernels.number_copies(part.source, part.offset, part.core, last, counts)
    return counts


def filled(parts: list[Part], counts: NDArray[np.int64], location: NDArray[np.int64], chip: BarrierChip) -> Copies:
    """The copies in the order of physical cores, location[logical core]."""
    receive_ps = chip.actions.message_in.latency_ps
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    size, end, kind = int(indptr[-1]), indptr[:-1].copy(), _narrowest(parts)
    core, synops = np.empty(size, np.int32), np.zeros((size, len(FORMATS)), kind)
    words, service_ps = np.zeros(size, kind), np.zeros(size, np.int64)
    for part in sorted(parts, key=lambda part: location[part.core]):
        number, columns = int(location[part.core]), (part.synops, part.words, part.time_ps)
        kernels.add_copies(
            part.source, part.offset, number, part.form, *columns, indptr, end, core, synops, words, service_ps
        )
    service_ps += receive_ps
    return Copies(indptr, core, synops, words, np.maximum(1, service_ps, out=service_ps))


def _narrowest(parts: list[Part]) -> DTypeLike:
    """A type that holds the synops and words of every copy: at most the largest of every part, summed over its core."""
    largest: dict[int, int] = {}
    known: dict[int, int] = {}  # by column, which parts may share
    for part in parts:
        if id(part.synops) not in known:
            known[id(part.synops)] = max(int(part.synops.max(initial=0)), int(part.words.max(initial=0)))
        largest[part.core] = largest.get(part.core, 0) + known[id(part.synops)]
    most = max(largest.values(), default=0)
    return next(kind for kind in (np.int16, np.int32, np.int64) if most <= np.iinfo(kind).max)
