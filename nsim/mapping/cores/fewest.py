"""A partition on as few cores as possible, for networks that the vendor's rule spreads over more than the chip has."""

from __future__ import annotations

from itertools import product

from nsim.errors import MappingError
from nsim.mapping.cores.partition import (
    AXES,
    Demand,
    Partition,
    Rules,
    Slice,
    even_slices,
    grid_slices,
    on_chip_layers,
    spatial,
)
from nsim.network.layers import Layer


def fewest_cores(rules: Rules, default: Partition) -> Partition:
    """Every layer in the fewest even slices that fit, and slices that leave room together on a core.

    raises   MappingError, naming the resource that binds, if that is more than the chip has
    """
    slices = [piece for layer in on_chip_layers(rules.network) for piece in _fewest(rules, layer, default)]
    packed = _together(rules, slices) if len(slices) > rules.chip.cores else tuple((piece,) for piece in slices)
    if len(packed) > rules.chip.cores:
        raise MappingError(_binding(rules, [rules.demand(piece) for piece in slices], len(packed)))
    return packed


def _fewest(rules: Rules, layer: Layer, default: Partition) -> list[Slice]:
    """The fewest slices of a layer that fit, cut in space by powers of two; the default if none is fewer."""
    own = [piece for held in default for piece in held if piece.layer == layer.name]
    best = own
    channels, rows, columns = layer.shape
    places = product(_powers(rows), _powers(columns)) if spatial(layer) else [(1, 1)]
    for down, across in places:
        most = (len(best) - 1) // (down * across)
        parts = _least_parts(rules, layer, down, across, min(most, channels // layer.neuron.granule))
        if parts:
            best = _grid(layer, parts, down, across)
    return best


def _least_parts(rules: Rules, layer: Layer, down: int, across: int, most: int) -> int | None:
    """The smallest number of channel slices up to `most` that fit, found by halving; None if `most` do not."""
    if most < 1 or not rules.fits(_grid(layer, most, down, across)):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if rules.fits(_grid(layer, middle, down, across)) else (middle, high)
    return high


def _grid(layer: Layer, parts: int, down: int, across: int) -> list[Slice]:
    slices = {}
    for axis, count in zip(AXES, (parts, down, across), strict=True):
        if count > 1:
            place = AXES.index(axis)
            ends = [getattr(piece.box, axis) for piece in even_slices(layer, count, axis)]
            slices[axis] = [end - begin for begin, end in ends]
            assert sum(slices[axis]) == layer.shape[place]
    return grid_slices(layer, slices)


def _powers(extent: int) -> list[int]:
    return [1 << power for power in range(extent.bit_length())]


def _together(rules: Rules, slices: list[Slice]) -> Partition:
    """First fit, the fullest first: several slices on a core as long as all of its limits hold."""
    demands = {piece: rules.demand(piece) for piece in slices}
    cores: list[tuple[Demand, list[Slice]]] = []
    for piece in sorted(slices, key=lambda each: -demands[each].overload(rules.chip)):
        for place, (held, own) in enumerate(cores):
            if (held + demands[piece]).overload(rules.chip) <= 1:
                cores[place] = (held + demands[piece], [*own, piece])
                break
        else:
            cores.append((demands[piece], [piece]))
    order = {piece: number for number, piece in enumerate(slices)}
    held_by_core = [tuple(sorted(own, key=order.__getitem__)) for _, own in cores]
    return tuple(sorted(held_by_core, key=lambda own: order[own[0]]))


def _binding(rules: Rules, demands: list[Demand], cores: int) -> str:
    """What the network asks of the chip in all, by the resource that is asked for most."""
    chip = rules.chip
    needed: dict[str, int] = {}
    available: dict[str, int] = {}
    for demand in demands:
        for resource, wanted, offered in demand.against(chip):
            if resource != "target indices of sparse weights":
                needed[resource] = needed.get(resource, 0) + wanted
                available[resource] = offered * chip.cores
    worst = max(needed, key=lambda resource: needed[resource] / available[resource])
    return (
        f"network {rules.network.name!r} needs {cores} cores, but chip {chip.name!r} has {chip.cores}: its "
        f"{needed[worst]:,} {worst} are {needed[worst] / available[worst]:.0%} of the chip's {available[worst]:,}; use "
        f"a smaller network, or a board of {chip.chips_for(cores)} chips"
    )
