"""From a network and a chip to a mapping: partition, place, and the tables that say what every message causes."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from nsim.activity import layer_offsets
from nsim.assignments import parse_assignments
from nsim.barrier_chip import BarrierChip
from nsim.chip import Chip
from nsim.errors import MappingError
from nsim.frame.chip import FrameChip
from nsim.mapping.partition import (
    Demand,
    Partition,
    Rules,
    check_axons_out,
    check_partition,
    default_partition,
    even_partition,
)
from nsim.mapping.partition_file import read_partition, read_placement
from nsim.mapping.place import check_placement, place
from nsim.mapping.storage import FORMATS, message_work
from nsim.mosaic.chip import refuse_tiles
from nsim.network import Network
from nsim.neurons import Relay
from nsim.stream.chip import StreamChip
from nsim.synapses import Separable

if TYPE_CHECKING:
    from nsim.frame.mapping import FrameMapping
    from nsim.stream.mapping import StreamMapping


@dataclass(frozen=True, eq=False)
class Copies:
    """The messages that each neuron sends when it fires, one copy per destination core, in order of core number.

    indptr   int64[neurons + 1]    neuron g sends copies indptr[g]:indptr[g + 1]
    core     int64[copies]         physical destination core
    synops   int64[copies, 3]      synops there, by storage format (dense, sparse, conv)
    words    int64[copies]         words of weight memory read there
    """

    indptr: NDArray[np.int64]
    core: NDArray[np.int64]
    synops: NDArray[np.int64]
    words: NDArray[np.int64]
    service_ps: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Mapping:
    """A network on a chip. Neuron indices are the network's: its layers one after another.

    partition      logical cores, each a tuple of shares
    demands        what each logical core asks of the chip's limits
    placement      int64[logical cores]   physical core
    core           int64[neurons]         physical core of each neuron; chip.cores stands for the host
    slot           int64[neurons]         position in its core's sweep
    allocated      int64[chip.cores + 1]  neurons swept per physical core
    copies         what a firing neuron sends
    """

    network: Network
    chip: BarrierChip
    dense_layers: str | None
    partition: Partition
    demands: tuple[Demand, ...]
    placement: NDArray[np.int64]
    core: NDArray[np.int64]
    slot: NDArray[np.int64]
    allocated: NDArray[np.int64]
    copies: Copies

    @cached_property
    def used_cores(self) -> NDArray[np.int64]:
        """Physical cores that hold neurons, ascending; the host is none of them."""
        return np.sort(self.placement)

    @cached_property
    def barrier_ps(self) -> int:
        """The barrier that ends each timestep, over the routers in use."""
        return self.chip.barrier_ps(len({self.chip.router_of(core) for core in self.used_cores.tolist()}))

    def layers_of(self, core: int) -> list[str]:
        """Layers of a physical core, in the order in which it sweeps them."""
        shares = self.partition[int(np.flatnonzero(self.placement == core)[0])]
        return list(dict.fromkeys(share.layer for share in shares))


@overload
def map_network(  # type: ignore[overload-overlap]
    network: Network, chip: FrameChip, *, mode: str | None = None, clock_mode: str | None = None
) -> FrameMapping: ...


@overload
def map_network(  # type: ignore[overload-overlap]
    network: Network, chip: StreamChip, *, placement: MappingABC[str, int] | None = None
) -> StreamMapping: ...


@overload
def map_network(
    network: Network,
    chip: Chip,
    partition: str | Path | int | MappingABC[str, int] | Partition = "default",
    placement: str | Sequence[int] | None = None,
    dense_layers: str | None = None,
) -> Mapping: ...


def map_network(
    network: Network,
    chip: Chip,
    partition: str | Path | int | MappingABC[str, int] | Partition = "default",
    placement: str | Sequence[int] | MappingABC[str, int] | None = None,
    dense_layers: str | None = None,
    mode: str | None = None,
    clock_mode: str | None = None,
) -> Mapping | FrameMapping | StreamMapping:
    """Put a network on a chip; `nsim.simulate` runs what comes out.

    On chips with timesteps (a Mapping):
    partition     "default" (the vendor's compiler), a number of cores per layer or a dictionary of them by layer name,
                  "even:4" or "even:conv1=8,fc0=2", the path of a partition file, or the shares of every logical core
    placement     "row-major" (None, unless the partition file holds a placement), "greedy", "random:SEED", or the
                  physical core of every logical core
    dense_layers  storage format of fully connected layers, "dense" or "sparse"; None: the chip's default

    On chips with frames (a FrameMapping), which take integers: see `nsim.quantize` for a network of real numbers:
    mode          "minimal" or "all-nps" (None)
    clock_mode    None: the chip's default

    On chips without timesteps (a StreamMapping), for which a network of real numbers is rounded; decimators and
    balancers are set by `StreamMapping.with_options`:
    placement     core by layer name, for layers that are to be on a certain one; the others are matched

    raises        MappingError if a limit of the chip is broken, or an option is for other chips
    """
    if dense_layers not in (None, "dense", "sparse"):
        raise MappingError(f"no weight format {dense_layers!r} for fully connected layers: choose dense or sparse")
    refuse_tiles(chip)
    _refuse_options(
        chip,
        {"partition": (partition, "default"), "placement": (placement or "row-major", "row-major")}
        | {"weight format": (dense_layers, None), "mode": (mode, None), "clock mode": (clock_mode, None)},
    )
    if isinstance(chip, FrameChip):
        from nsim.frame.mapping import map_frames  # it builds on this module

        return map_frames(network, chip, mode or "all-nps", clock_mode)
    if isinstance(chip, StreamChip):
        from nsim.stream.mapping import map_stream
        from nsim.stream.quantize import quantized

        if placement is not None and not isinstance(placement, MappingABC):
            raise MappingError(
                f"placement {placement!r} is not for chip {chip.name!r}, whose cores differ: give cores by layer name, "
                "such as {'conv1': 0}"
            )
        return map_stream(quantized(network, chip), chip, placement)
    assert isinstance(chip, BarrierChip)
    if isinstance(placement, MappingABC):
        raise MappingError(
            f"placement {placement} is not for chip {chip.name!r}: give row-major, greedy or random:SEED"
        )
    check_carried(network, chip)
    rules = Rules(network, chip, dense_layers)
    shares = _partition(rules, partition)
    demands = check_partition(rules, shares)
    logical, slot = _assign(network, shares)
    copies = _copies(rules, shares, logical)
    axons_out = np.bincount(np.repeat(logical, np.diff(copies.indptr)), minlength=len(shares) + 1)[:-1]
    check_axons_out(rules, shares, axons_out.tolist())
    if placement is None and isinstance(partition, str | Path) and str(partition).endswith(".toml"):
        placement = read_placement(Path(partition))
    if placement is None or isinstance(placement, str):
        location = place(chip, _traffic(copies, logical, len(shares)), placement or "row-major")
    else:
        location = check_placement(chip, placement, len(shares))
    physical = np.append(location, chip.cores)
    allocated = np.zeros(chip.cores + 1, np.int64)
    for core, held in zip(location, shares, strict=True):
        allocated[core] = sum(share.allocated for share in held)
    return Mapping(
        network,
        chip,
        dense_layers,
        shares,
        tuple(demands),
        location,
        physical[logical],
        slot,
        allocated,
        _relabelled(copies, physical),
    )


# Options of `map_network` that a chip knows, by discipline, and what it does instead of the others
OPTIONS = {
    "barrier": ({"partition", "placement", "weight format"}, "splits layers by a partition"),
    "frame": ({"mode", "clock mode"}, "splits layers by its mode"),
    "stream": ({"placement"}, "has one core for each layer"),
}


def _refuse_options(chip: Chip, given: dict[str, tuple[object, object]]) -> None:
    """Refuse options that make no sense on a chip: by name, what was given and what stands for nothing."""
    known, does = OPTIONS[chip.discipline]
    for name, (value, usual) in given.items():
        if name not in known and value != usual:
            raise MappingError(f"{name} {value!r} is not for chip {chip.name!r}, which {does}: leave it out")


def with_costs_of(mapping: Mapping, chip: BarrierChip) -> Mapping:
    """The same neurons on the same cores of a chip that differs in its costs only."""
    logical, _ = _assign(mapping.network, mapping.partition)
    copies = _copies(Rules(mapping.network, chip, mapping.dense_layers), mapping.partition, logical)
    return replace(mapping, chip=chip, copies=_relabelled(copies, np.append(mapping.placement, chip.cores)))


def check_carried(network: Network, chip: BarrierChip) -> None:
    """Refuse networks that a chip cannot carry however they are partitioned."""
    _check_messages(network, chip)
    _check_layers(network, chip)


def _check_messages(network: Network, chip: BarrierChip) -> None:
    if chip.messages.graded:
        return
    for layer in network.layers:
        if layer.neuron.graded and network.sends(layer) and not isinstance(layer.neuron, Relay):
            raise MappingError(
                f"layer {layer.name!r} sends graded messages, but chip {chip.name!r} carries binary spikes only: use a "
                "spiking version of the network, or a chip with graded messages"
            )


def _check_layers(network: Network, chip: BarrierChip) -> None:
    """Refuse what only chips that work on frames can do."""
    for layer in network.layers:
        if layer.pool is not None:
            raise MappingError(
                f"layer {layer.name!r} pools ({layer.pool.kind}), which chip {chip.name!r} cannot: use strides instead"
            )
        if any(isinstance(connection.synapses, Separable) for connection in network.incoming(layer.name)):
            raise MappingError(
                f"layer {layer.name!r} is a separable convolution, which chip {chip.name!r} has not: use two "
                "convolutions, the first with groups"
            )


def _partition(rules: Rules, given: str | Path | int | MappingABC[str, int] | Partition) -> Partition:
    if isinstance(given, tuple):
        return given
    if isinstance(given, (int, MappingABC)):
        return even_partition(rules, given)
    text = str(given)
    if text == "default":
        return default_partition(rules)
    if text.startswith("even:"):
        return even_partition(rules, parse_even(text.removeprefix("even:")))
    if text.endswith(".toml"):
        return read_partition(Path(text), rules)
    raise MappingError(f"no partition {text!r}: give default, even:N, even:LAYER=N,... or a .toml file")


def parse_even(text: str) -> int | dict[str, int]:
    """What follows "even:": cores for every layer, or by layer.

    raises   MappingError
    """
    try:
        if "=" not in text:
            return int(text)
        return {name: int(value) for name, value in parse_assignments(text).items()}
    except ValueError as error:
        raise MappingError(
            f"partition 'even:{text}': expected a number of cores, or LAYER=NUMBER with commas ({error})"
        ) from None


def _assign(network: Network, partition: Partition) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Logical core of every neuron, and its position in the sweep, which follows the network's order.

    Layers off the chip belong to the host.
    """
    offsets = dict(zip(network.by_name, layer_offsets(network).tolist(), strict=False))
    neurons = sum(layer.neurons for layer in network.layers)
    host = len(partition)
    logical, slot = np.full(neurons, host), np.zeros(neurons, np.int64)
    for core, shares in enumerate(partition):
        boxes = [offsets[share.layer] + share.box.indices(network.by_name[share.layer].shape) for share in shares]
        held = np.sort(np.concatenate(boxes))
        logical[held] = core
        slot[held] = np.arange(held.size)
    sent_in = np.flatnonzero(logical == host)
    slot[sent_in] = np.arange(sent_in.size)
    return logical, slot


def _copies(rules: Rules, partition: Partition, logical: NDArray[np.int64]) -> Copies:
    """Every (neuron, destination core) pair with synops: all connections between them share one copy."""
    network, chip = rules.network, rules.chip
    offsets = dict(zip(network.by_name, layer_offsets(network).tolist(), strict=False))
    parts = []
    for core, shares in enumerate(partition):
        for share in shares:
            for connection in network.incoming(share.layer):
                form, source, synops, words, time_ps = message_work(connection, share.box, chip, rules.dense_layers)
                columns = (source + offsets[connection.source], core, FORMATS.index(form))
                parts.append(np.broadcast_arrays(*columns, synops, words, time_ps))
    columns_ = zip(*parts, strict=True) if parts else [[np.zeros(0)]] * 6
    source_, core_, form_, synops_, words_, time_ = (np.concatenate(list(c)).astype(np.int64) for c in columns_)
    return _merged(source_, core_, form_, synops_, words_, time_, logical.size, len(partition), chip)


def _merged(source, core, form, synops, words, time_ps, neurons: int, cores: int, chip: BarrierChip) -> Copies:
    """One row per (neuron, core), sorted by both; work of several connections adds up."""
    pairs, row = np.unique(source * cores + core, return_inverse=True)
    by_format = np.zeros((pairs.size, len(FORMATS)), np.int64)
    np.add.at(by_format, (row, form), synops)
    total_words, total_ps = np.zeros(pairs.size, np.int64), np.zeros(pairs.size, np.int64)
    np.add.at(total_words, row, words)
    np.add.at(total_ps, row, time_ps)
    indptr = np.searchsorted(pairs, np.arange(neurons + 1) * cores)
    service_ps = np.maximum(1, chip.actions.message_in.latency_ps + total_ps)
    return Copies(indptr.astype(np.int64), pairs % max(cores, 1), by_format, total_words, service_ps)


def _relabelled(copies: Copies, physical: NDArray[np.int64]) -> Copies:
    """The same copies with physical core numbers, again in order of core number within each neuron."""
    core = physical[copies.core]
    owner = np.repeat(np.arange(copies.indptr.size - 1), np.diff(copies.indptr))
    order = np.lexsort((core, owner))
    return Copies(copies.indptr, core[order], copies.synops[order], copies.words[order], copies.service_ps[order])


def _traffic(copies: Copies, logical: NDArray[np.int64], cores: int) -> NDArray[np.int64]:
    """Messages between logical cores if every neuron fires once; the host is the last row and column."""
    owner = np.repeat(logical, np.diff(copies.indptr))
    traffic = np.zeros((cores + 1, cores + 1), np.int64)
    np.add.at(traffic, (owner, copies.core), 1)
    return traffic
