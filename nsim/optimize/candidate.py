"""One way to map a network: the shares of every layer, the core of every share, and the place of every core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from nsim.mapping import Mapping
from nsim.mapping.partition import Partition, Rules, Share, on_chip_layers
from nsim.mapping.partition_file import sizes_of
from nsim.network import Layer

ROW_MAJOR = "row-major"
Shares = tuple[tuple[Share, ...], ...]  # by layer on the chip
Cores = tuple[tuple[int, ...], ...]  # logical core of every share


@dataclass(frozen=True)
class Candidate:
    """Logical cores are numbered in the order in which the layers, one share after another, first come to them.

    That is the order of a partition file, so that a file is read back as the same mapping.
    placement   physical core of every logical core
    placing     the rule that it was made by
    """

    shares: Shares
    cores: Cores
    placement: tuple[int, ...]
    placing: str

    @cached_property
    def partition(self) -> Partition:
        """The shares of every logical core, in the order of the layers."""
        return partition_of(self.shares, self.cores)

    @property
    def used(self) -> int:
        """How many cores it takes."""
        return len(self.placement)

    def parts(self, layer: int) -> int:
        return len(self.shares[layer])


def numbered(cores: Sequence[Sequence[object]]) -> Cores:
    """Cores with any names, one per share, numbered in the order in which they come."""
    numbers: dict[object, int] = {}
    return tuple(tuple(numbers.setdefault(core, len(numbers)) for core in layer) for layer in cores)


def own_cores(shares: Shares) -> Cores:
    """A core for every share."""
    return numbered([[(layer, part) for part in range(len(held))] for layer, held in enumerate(shares)])


def partition_of(shares: Shares, cores: Cores) -> Partition:
    held: list[list[Share]] = [[] for _ in range(1 + max(max(layer) for layer in cores))]
    for layer, numbers in zip(shares, cores, strict=True):
        for share, core in zip(layer, numbers, strict=True):
            held[core].append(share)
    return tuple(tuple(each) for each in held)


def by_layer(partition: Partition, rules: Rules) -> tuple[Shares, Cores]:
    """The same partition seen from its layers."""
    shares, cores = [], []
    for layer in on_chip_layers(rules.network):
        held = [(share, core) for core, each in enumerate(partition) for share in each if share.layer == layer.name]
        shares.append(tuple(share for share, _ in held))
        cores.append([core for _, core in held])
    return tuple(shares), numbered(cores)


def of_mapping(mapping: Mapping) -> Candidate:
    """The candidate that a mapping is."""
    shares, cores = by_layer(mapping.partition, Rules(mapping.network, mapping.chip, mapping.dense_layers))
    held = {share: core for core, each in enumerate(mapping.partition) for share in each}
    placement = [0] * len(mapping.partition)
    for layer, numbers in zip(shares, cores, strict=True):
        for share, number in zip(layer, numbers, strict=True):
            placement[number] = int(mapping.placement[held[share]])
    return Candidate(
        shares, cores, tuple(placement), ROW_MAJOR if placement == list(range(len(placement))) else "as given"
    )


def difference(layers: Sequence[Layer], before: Candidate, after: Candidate) -> str:
    """What was changed, in words: "split conv4 over 3 cores, merge fc0 onto 8"."""
    said = []
    for number, layer in enumerate(layers):
        old, new = before.shares[number], after.shares[number]
        if old == new:
            continue
        was, now = sizes_of(old, layer), sizes_of(new, layer)
        along = f" along {now[0]}" if now and was and now[0] != was[0] else ""
        if len(new) > len(old):
            said.append(f"split {layer.name} over {len(new)} cores{along}")
        elif len(new) < len(old):
            said.append(f"merge {layer.name} onto {_cores(len(new))}{along}")
        elif sum(share.allocated for share in old) > sum(share.allocated for share in new):
            said.append(f"cut {layer.name} anew, without spare neurons{along}")
        else:
            said.append(f"move the boundaries of {layer.name}{along}")
    if _together(before) != _together(after):
        if after.used < before.used:
            said.append(f"put light shares together on {_cores(after.used)} in all")
        elif len(_together(after)) < len(_together(before)):
            said.append("give shares cores of their own")
    if before.placing != after.placing or (not said and before.placement != after.placement):
        said.append(f"place {after.placing}")
    return ", ".join(said) or "nothing"


def _cores(number: int) -> str:
    return f"{number} core" if number == 1 else f"{number} cores"


def _together(candidate: Candidate) -> set[tuple[Share, ...]]:
    return {shares for shares in candidate.partition if len(shares) > 1}
