"""One way to map a network: the slices of every layer, the core of every slice, and the place of every core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from nsim.errors import counted
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.cores.partition import Partition, Rules, Slice, on_chip_layers
from nsim.mapping.cores.partition_file import grid_of
from nsim.network.layers import Layer

ROW_MAJOR = "row-major"
Slices = tuple[tuple[Slice, ...], ...]  # by layer on the chip
Cores = tuple[tuple[int, ...], ...]  # logical core of every slice


@dataclass(frozen=True)
class Candidate:
    """Logical cores are numbered in the order in which the layers, one slice after another, first come to them.

    That is the order of a partition file, so that a file is read back as the same mapping.
    placement   physical core of every logical core
    placing     the rule that it was made by
    """

    slices: Slices
    cores: Cores
    placement: tuple[int, ...]
    placing: str

    @cached_property
    def partition(self) -> Partition:
        """The slices of every logical core, in the order of the layers."""
        return partition_of(self.slices, self.cores)

    @property
    def used(self) -> int:
        """How many cores it takes."""
        return len(self.placement)

    def parts(self, layer: int) -> int:
        return len(self.slices[layer])


def numbered(cores: Sequence[Sequence[object]]) -> Cores:
    """Cores with any names, one per slice, numbered in the order in which they come."""
    numbers: dict[object, int] = {}
    return tuple(tuple(numbers.setdefault(core, len(numbers)) for core in layer) for layer in cores)


def own_cores(slices: Slices) -> Cores:
    """A core for every slice."""
    return numbered([[(layer, part) for part in range(len(held))] for layer, held in enumerate(slices)])


def partition_of(slices: Slices, cores: Cores) -> Partition:
    held: list[list[Slice]] = [[] for _ in range(1 + max(max(layer) for layer in cores))]
    for layer, numbers in zip(slices, cores, strict=True):
        for piece, core in zip(layer, numbers, strict=True):
            held[core].append(piece)
    return tuple(tuple(each) for each in held)


def by_layer(partition: Partition, rules: Rules) -> tuple[Slices, Cores]:
    """The same partition seen from its layers."""
    slices, cores = [], []
    for layer in on_chip_layers(rules.network):
        held = [(piece, core) for core, each in enumerate(partition) for piece in each if piece.layer == layer.name]
        slices.append(tuple(piece for piece, _ in held))
        cores.append([core for _, core in held])
    return tuple(slices), numbered(cores)


def of_mapping(mapping: Mapping) -> Candidate:
    """The candidate that a mapping is."""
    slices, cores = by_layer(mapping.partition, Rules(mapping.network, mapping.chip, mapping.dense_layers))
    held = {piece: core for core, each in enumerate(mapping.partition) for piece in each}
    placement = [0] * len(mapping.partition)
    for layer, numbers in zip(slices, cores, strict=True):
        for piece, number in zip(layer, numbers, strict=True):
            placement[number] = int(mapping.placement[held[piece]])
    return Candidate(
        slices, cores, tuple(placement), ROW_MAJOR if placement == list(range(len(placement))) else "as given"
    )


def difference(layers: Sequence[Layer], before: Candidate, after: Candidate) -> str:
    """What was changed, in words: "split conv4 over 3 cores, merge fc0 onto 8"."""
    said = []
    for number, layer in enumerate(layers):
        old, new = before.slices[number], after.slices[number]
        if old == new:
            continue
        was, now = grid_of(old, layer), grid_of(new, layer)
        along = f" along {' and '.join(now)}" if now and was and list(now) != list(was) else ""
        if len(new) > len(old):
            said.append(f"split {layer.name} over {counted(len(new), 'core')}{along}")
        elif len(new) < len(old):
            said.append(f"merge {layer.name} onto {counted(len(new), 'core')}{along}")
        elif sum(piece.allocated for piece in old) > sum(piece.allocated for piece in new):
            said.append(f"cut {layer.name} anew, without spare neurons{along}")
        else:
            said.append(f"move the boundaries of {layer.name}{along}")
    if _together(before) != _together(after):
        if after.used < before.used:
            said.append(f"put light slices together on {counted(after.used, 'core')} in all")
        elif len(_together(after)) < len(_together(before)):
            said.append("give slices cores of their own")
    if before.placing != after.placing or (not said and before.placement != after.placement):
        said.append(f"place {after.placing}")
    return ", ".join(said) or "nothing"


def _together(candidate: Candidate) -> set[tuple[Slice, ...]]:
    return {slices for slices in candidate.partition if len(slices) > 1}
