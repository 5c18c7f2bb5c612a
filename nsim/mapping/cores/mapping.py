"""From a network and a chip to a mapping: partition, place, and the tables that say what every message causes."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.chip.timesteps import BarrierChip, Management
from nsim.errors import MappingError
from nsim.mapping.cores.copies import Copies, counted, filled, parts_of
from nsim.mapping.cores.fewest import fewest_cores
from nsim.mapping.cores.partition import (
    Demand,
    Partition,
    Rules,
    check_axons_out,
    check_partition,
    default_partition,
    even_partition,
)
from nsim.mapping.cores.partition_file import read_partition, read_placement
from nsim.mapping.cores.place import BY_TRAFFIC, check_placement, place, place_unseen
from nsim.mapping.cores.precision import for_chip
from nsim.mapping.cores.storage import FORMATS, Works, message_counts, work_ps
from nsim.network.activity import layer_offsets
from nsim.network.assignments import parse_assignments
from nsim.network.brief import Brief
from nsim.network.layers import Network
from nsim.network.neurons import Relay
from nsim.network.synapses import Separable

PLAIN = Management()  # the chip's runtime, and no code of the user's


@dataclass(frozen=True, eq=False, repr=False)
class Mapping(Brief):
    """A network on a chip. Neuron indices are the network's: its layers one after another.

    partition      logical cores, each a tuple of slices
    demands        what each logical core asks of the chip's limits
    placement      int64[logical cores]   physical core
    core           int64[neurons]         physical core of each neuron; chip.cores stands for the host
    slot           int64[neurons]         position in its core's sweep
    allocated      int64[chip.cores + 1]  neurons swept per physical core
    copies         what a firing neuron sends
    management     the runtime, and the user's code on the management processors
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
    management: Management = field(default=PLAIN, kw_only=True)

    @cached_property
    def used_cores(self) -> NDArray[np.int64]:
        """Physical cores that hold neurons, ascending; the host is none of them."""
        return np.sort(self.placement)

    @cached_property
    def barrier_ps(self) -> int:
        """The barrier that ends each timestep, over the routers in use."""
        routers = len({self.chip.router_of(core) for core in self.used_cores.tolist()})
        return self.chip.barrier_ps(routers, self.chips_used)

    @cached_property
    def chips_used(self) -> int:
        """Chips that hold neurons, at least 1: they draw static power, and are managed."""
        return max(1, np.unique(self.used_cores // self.chip.cores_per_chip).size)

    def managed(self, runtime: str | None = None, embedded_us: float = 0.0, per_sample_us: float = 0.0) -> Mapping:
        """The same under another runtime, or with the user's own code on the management processors.

        raises   InputError
        """
        return replace(self, management=Management.of(self.chip, runtime, embedded_us, per_sample_us))

    @property
    def runtime(self) -> str | None:
        """Name of the runtime; None if the chip's file says nothing of one."""
        known = self.chip.management
        return None if known is None else self.management.runtime or known.default.runtime

    @property
    def management_ps(self) -> int:
        """What the management processors add to every timestep."""
        return self.chip.management_ps(self.management)

    def sweep(self) -> tuple[Mapping, int]:
        """A mapping whose sweeps are in a unit, and that unit in ps.

        If all models take the same time it is this mapping and that time; else `slot` is where a neuron's update ends,
        less 1, and `allocated` where the sweep does, in ps.
        """
        by_layer = {layer.name: self.chip.update_ps(layer.neuron.microcode) for layer in self.network.layers}
        times = {by_layer[layer.name] for layer in self.network.layers if layer.on_chip}
        if len(times) < 2:
            return self, next(iter(times), self.chip.update_ps(microcode=False))
        by_layer = {name: max(1, time_ps) for name, time_ps in by_layer.items()}
        order = np.lexsort((self.slot, self.core))
        each = np.repeat(list(by_layer.values()), [layer.neurons for layer in self.network.layers])[order]
        ends = np.cumsum(each)
        core = self.core[order]
        begins = (ends - each)[np.searchsorted(core, core)]
        slot = self.slot.copy()
        on_chip = core < self.chip.cores
        slot[order[on_chip]] = (ends - begins - 1)[on_chip]
        allocated = np.zeros_like(self.allocated)
        for number, held in zip(self.placement, self.partition, strict=True):
            allocated[number] = sum(piece.allocated * by_layer[piece.layer] for piece in held)
        return replace(self, slot=slot, allocated=allocated), 1

    @cached_property
    def core_updates(self) -> dict[str, NDArray[np.int64]]:
        """Neurons that every core updates in a timestep, by the action that does it: int64[cores] each."""
        found = {"neuron_update": np.zeros(self.chip.cores, np.int64)}
        for core, held in zip(self.placement.tolist(), self.partition, strict=True):
            for piece in held:
                action = self.chip.update_action(self.network.by_name[piece.layer].neuron.microcode)
                if action not in found:
                    found[action] = np.zeros(self.chip.cores, np.int64)
                found[action][core] += piece.allocated
        return found

    @cached_property
    def core_columns(self) -> dict[str, Any]:
        """What every used core holds, as columns of the table of cores: the same whatever it is asked to do."""
        chip, cores = self.chip, self.used_cores
        demand = dict(zip(self.placement.tolist(), self.demands, strict=True))
        demands = [demand[core] for core in cores.tolist()]
        at = np.array([chip.router_of(core) for core in cores.tolist()], np.int64)
        return {
            "core": cores,
            **({"chip": cores // chip.cores_per_chip} if chip.chips > 1 else {}),
            "router_x": at % chip.columns,
            "router_y": at // chip.columns,
            "layers": ["+".join(self.layers_of(core)) for core in cores.tolist()],
            "neurons": np.bincount(self.core, minlength=chip.cores + 1)[cores],
            "allocated_neurons": self.allocated[cores],
            "synapse_words": [each.synapse_words for each in demands],
            "axons_in": [each.axons_in for each in demands],
            "memory_utilisation": [each.synapse_words / chip.core.synapse_words for each in demands],
        }

    def layers_of(self, core: int) -> list[str]:
        """Layers of a physical core, in the order in which it sweeps them."""
        return list(dict.fromkeys(piece.layer for piece in self.partition[self._logical[core]]))

    @cached_property
    def _logical(self) -> dict[int, int]:
        """The logical core on every used physical one."""
        return {core: number for number, core in enumerate(self.placement.tolist())}


def map_cores(
    network: Network,
    chip: BarrierChip,
    partition: str | Path | int | MappingABC[str, int] | Partition = "default",
    placement: str | Sequence[int] | None = None,
    weight_format: str | None = None,
    precision: str | None = None,
) -> Mapping:
    """The part of `nsim.map_network` that is for chips with timesteps.

    raises   MappingError if a limit of the chip is broken
    """
    if weight_format not in (None, "dense", "sparse"):
        raise MappingError(f"no weight format {weight_format!r} for fully connected layers: choose dense or sparse")
    if isinstance(placement, MappingABC):
        raise MappingError(
            f"placement {placement} is not for chip {chip.name!r}: give row-major, greedy, random:SEED or chips"
        )
    check_carried(network, chip)
    network = for_chip(network, chip, precision)
    rules = Rules(network, chip, weight_format)
    slices = _partition(rules, partition)
    works = Works(chip, weight_format)
    demands = check_partition(rules, slices, works)
    logical, slot = _assign(network, slices)
    offsets = dict(zip(network.by_name, layer_offsets(network).tolist(), strict=False))
    parts = parts_of(network, slices, offsets, works)
    counts = counted(parts, logical.size)
    axons_out = np.bincount(logical, counts, minlength=len(slices) + 1)[:-1].astype(np.int64)
    check_axons_out(rules, slices, axons_out.tolist())
    if placement is None and isinstance(partition, str | Path) and str(partition).endswith(".toml"):
        placement = read_placement(Path(partition))
    if isinstance(placement, str) and placement in BY_TRAFFIC:
        copies = filled(parts, counts, np.arange(len(slices)), chip)
        location = place(chip, _traffic(copies, logical, len(slices)), placement)
    elif placement is None or isinstance(placement, str):
        location = place_unseen(chip, len(slices), placement or "row-major")
    else:
        location = check_placement(chip, placement, len(slices))
    physical = np.append(location, chip.cores)
    allocated = np.zeros(chip.cores + 1, np.int64)
    for core, held in zip(location, slices, strict=True):
        allocated[core] = sum(piece.allocated for piece in held)
    return Mapping(
        network,
        chip,
        weight_format,
        slices,
        tuple(demands),
        location,
        physical[logical],
        slot,
        allocated,
        filled(parts, counts, location, chip),
    )


class Recosting:
    """A mapping at other costs, again and again: what every message causes is found once.

    copy     int64[rows]  the copy that a connection's work belongs to: one with several connections has several rows
    counts   of `work_ps`, int64[rows] each
    """

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        network, chip, copies = mapping.network, mapping.chip, mapping.copies
        offsets = dict(zip(network.by_name, layer_offsets(network).tolist(), strict=False))
        cores = chip.cores + 1
        owner = np.repeat(np.arange(mapping.core.size), np.diff(copies.indptr))
        keys = owner * cores + copies.core  # ascending
        found: list[tuple[NDArray[np.int64], ...]] = []
        for core, shares in zip(mapping.placement.tolist(), mapping.partition, strict=True):
            for share in shares:
                for connection in network.incoming(share.layer):
                    form, source, *counts = message_counts(connection, share.laid_out, chip, mapping.dense_layers)
                    key = (source + offsets[connection.source]) * cores + core
                    found.append((key, np.full(source.size, FORMATS.index(form)), *counts))
        columns = zip(*found, strict=True) if found else [[np.zeros(0)]] * 5
        key, *self.counts = [np.concatenate(column).astype(np.int64) for column in columns]
        self.copy = np.searchsorted(keys, key)

    def at(self, chip: BarrierChip) -> Mapping:
        """The same neurons on the same cores of a chip that differs in its costs only."""
        total_ps = np.zeros(self.mapping.copies.core.size, np.int64)
        np.add.at(total_ps, self.copy, work_ps(chip, *self.counts))
        service_ps = np.maximum(1, chip.actions.message_in.latency_ps + total_ps)
        return replace(self.mapping, chip=chip, copies=replace(self.mapping.copies, service_ps=service_ps))


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
        found = default_partition(rules)
        return found if len(found) <= rules.chip.cores else fewest_cores(rules, found)
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
    for core, slices in enumerate(partition):
        boxes = [offsets[piece.layer] + piece.box.indices(network.by_name[piece.layer].shape) for piece in slices]
        held = np.sort(np.concatenate(boxes))
        logical[held] = core
        slot[held] = np.arange(held.size)
    sent_in = np.flatnonzero(logical == host)
    slot[sent_in] = np.arange(sent_in.size)
    return logical, slot


def _traffic(copies: Copies, logical: NDArray[np.int64], cores: int) -> NDArray[np.int64]:
    """Messages between logical cores if every neuron fires once; the host is the last row and column."""
    owner = np.repeat(logical, np.diff(copies.indptr))
    traffic = np.zeros((cores + 1, cores + 1), np.int64)
    np.add.at(traffic, (owner, copies.core), 1)
    return traffic
