"""Which neurons share a core: the vendor's default or an even split, and the limits that any partition must keep.

A partition is a list of logical cores, each holding one or more slices; a slice is a block of one layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, product
from math import ceil

import numpy as np

from nsim.chip.timesteps import BarrierChip
from nsim.errors import MappingError
from nsim.mapping.cores import storage
from nsim.network.layers import Layer, Network
from nsim.network.synapses import Box


@dataclass(frozen=True)
class Slice:
    """The part of a layer that one core holds.

    larger   what the compiler lays out if that is more than the box, which then ends where the layer does. All of it is
             swept every timestep and gets the synops of a convolution, as if the layer went on
    """

    layer: str
    box: Box
    larger: Box | None = None

    @property
    def laid_out(self) -> Box:
        return self.larger or self.box

    @property
    def allocated(self) -> int:
        """Neurons that are swept every timestep."""
        return self.laid_out.neurons


Partition = tuple[tuple[Slice, ...], ...]
AXES = ("channels", "rows", "columns")


@dataclass(frozen=True)
class Demand:
    """What one slice asks of its core, and what the chip offers: (resource, needed, available) where both are known.

    sparse_targets  neurons of the largest slice that sparse weights point into
    """

    neurons: int
    synapse_words: int
    axons_in: int
    sparse_targets: int = 0

    def against(self, chip: BarrierChip) -> Iterator[tuple[str, int, int]]:
        yield "neurons", self.neurons, chip.core.neurons
        yield "synapse words", self.synapse_words, chip.core.synapse_words
        if chip.core.axons_in is not None:
            yield "incoming axons", self.axons_in, chip.core.axons_in
        yield "target indices of sparse weights", self.sparse_targets, storage.sparse_targets(chip)

    def overload(self, chip: BarrierChip) -> float:
        """The largest ratio of needed to available; at most 1 if the slice fits."""
        return max(needed / available for _, needed, available in self.against(chip))

    def __add__(self, other: Demand) -> Demand:
        return Demand(
            self.neurons + other.neurons,
            self.synapse_words + other.synapse_words,
            self.axons_in + other.axons_in,
            max(self.sparse_targets, other.sparse_targets),
        )


@dataclass(frozen=True)
class Rules:
    """What a partition is made from and checked against. dense_layers: storage format of fully connected layers."""

    network: Network
    chip: BarrierChip
    dense_layers: str | None = None

    def demand(self, piece: Slice, works: storage.Works | None = None) -> Demand:
        """What a slice asks of its core; works: what is known of slices already, which is added to."""
        words = axons = targets = 0
        works = works or storage.Works(self.chip, self.dense_layers)
        for connection in self.network.incoming(piece.layer):
            form = storage.storage_format(connection, self.chip, self.dense_layers)
            stored, entries = works.stored(connection, piece.box)
            words, axons = words + stored, axons + entries
            targets = max(targets, piece.box.neurons if form == "sparse" else 0)
        return Demand(piece.allocated, words, axons, targets)

    def fits(self, slices: list[Slice]) -> bool:
        return all(self.demand(piece).overload(self.chip) <= 1 for piece in slices)


def on_chip_layers(network: Network) -> list[Layer]:
    return [layer for layer in network.layers if layer.on_chip]


def default_partition(rules: Rules) -> Partition:
    """As the vendor's compiler: one core per layer, split further while a limit is violated; no core holds two layers.

    Layers in space are cut along their width into slices of a power of two (then rows, then channels); others by the
    ratio of need to limit, then halved. Source: lava-dl PilotNet logs and the OzU study, loihi2.md 9.1, floorline.md 8.
    """
    slices = [piece for layer in on_chip_layers(rules.network) for piece in default_slices(rules, layer)]
    return tuple((piece,) for piece in slices)


def default_slices(rules: Rules, layer: Layer) -> list[Slice]:
    return _sliced(rules, layer) if spatial(layer) else _split_by_ratio(rules, layer)


def spatial(layer: Layer) -> bool:
    return layer.shape[1] * layer.shape[2] > 1


def _sliced(rules: Rules, layer: Layer) -> list[Slice]:
    """Halve the slice until it fits: channels while the weights do not, then the width, the rows, the channels.

    Weights of a convolution are stored once per core whatever its width, so only fewer channels save memory.
    """
    channels, rows, columns = layer.shape
    size = [channels, rows, 1 << (columns - 1).bit_length()]
    limit = min(rules.chip.partition.conv_slice_neurons, rules.chip.core.neurons)
    while size[0] > 1 and rules.demand(_slices(layer, size)[0]).synapse_words > rules.chip.core.synapse_words:
        size[0] = (size[0] + 1) // 2
    while True:
        slices = _slices(layer, size)
        if size[0] * size[1] * size[2] <= limit and rules.fits(slices):
            return slices
        memory_bound = size[0] * size[1] * size[2] <= limit and rules.demand(slices[0]).neurons <= limit
        axis = next((a for a in ((0, 2, 1) if memory_bound else (2, 1, 0)) if size[a] > 1), None)
        if axis is None:
            raise _too_large(rules, layer, slices)
        size[axis] = (size[axis] + 1) // 2


def _slices(layer: Layer, size: list[int]) -> list[Slice]:
    """Boxes of this size over the layer; the last ones may be partly filled but are laid out in full.

    Source: lava-dl's PilotNet log. Last slices are swept like full ones; their synops over a full slice's, 0.336, 0.868
    and 0.314 for conv1, conv3 and conv4, are those of a kernel that goes on: 0.333, 0.875 and 0.313 by geometry.
    """
    steps = [min(step, extent) for extent, step in zip(layer.shape, size, strict=True)]
    starts = product(*(range(0, extent, step) for extent, step in zip(layer.shape, steps, strict=True)))
    larger = [Box(*((low, low + step) for low, step in zip(each, steps, strict=True))) for each in starts]
    boxes = [box.within(layer.shape) for box in larger]
    return [Slice(layer.name, box, whole if whole != box else None) for box, whole in zip(boxes, larger, strict=True)]


def _split_by_ratio(rules: Rules, layer: Layer) -> list[Slice]:
    units = layer.neurons // layer.neuron.granule
    parts = 1
    while True:
        slices = even_slices(layer, parts, "channels")
        overload = max(rules.demand(piece).overload(rules.chip) for piece in slices)
        if overload <= 1:
            return slices
        if parts == units:
            raise _too_large(rules, layer, slices)
        parts = min(units, ceil(overload) if parts == 1 else 2 * parts)


def _too_large(rules: Rules, layer: Layer, slices: list[Slice]) -> MappingError:
    piece = max(slices, key=lambda piece: rules.demand(piece).overload(rules.chip))
    resource, needed, available = max(rules.demand(piece).against(rules.chip), key=lambda item: item[1] / item[2])
    return MappingError(
        f"layer {layer.name!r} cannot be split far enough for chip {rules.chip.name!r}: a core with "
        f"{piece.box.neurons} of its neurons still needs {needed} {resource}, available {available}"
    )


def even_partition(rules: Rules, cores: int | Mapping[str, int]) -> Partition:
    """The given number of cores for every layer, or by layer; layers not named get as many as the default gives."""
    layers = on_chip_layers(rules.network)
    known_layers(rules.network, [] if isinstance(cores, int) else list(cores), "partition")
    slices: list[Slice] = []
    for layer in layers:
        parts = cores if isinstance(cores, int) else cores.get(layer.name)
        if parts is None:
            slices += default_slices(rules, layer)
            continue
        if parts < 1:
            raise MappingError(f"partition gives layer {layer.name!r} {parts} cores: give at least 1")
        parts = min(parts, max(layer.shape) // layer.neuron.granule) if isinstance(cores, int) else parts
        slices += even_slices(layer, parts, _even_axis(layer, parts))
    return tuple((piece,) for piece in slices)


def _even_axis(layer: Layer, parts: int) -> str:
    """The axis with room for this many slices: columns, then rows, then channels of layers in space."""
    for axis in reversed(AXES):
        if parts <= layer.shape[AXES.index(axis)] // layer.neuron.granule:
            return axis if spatial(layer) else "channels"
    most = max(layer.shape) // layer.neuron.granule
    raise MappingError(
        f"layer {layer.name!r} of shape {layer.shape} cannot be split evenly over {parts} cores: at most {most}"
    )


def even_slices(layer: Layer, parts: int, axis: str) -> list[Slice]:
    """`parts` slices along one axis that differ by at most one granule, the larger ones first."""
    granule = layer.neuron.granule
    units = layer.shape[AXES.index(axis)] // granule
    sizes = [granule * (units // parts + (part < units % parts)) for part in range(parts)]
    return slices_of_sizes(layer, sizes, axis)


def slices_of_sizes(layer: Layer, sizes: Sequence[int], axis: str) -> list[Slice]:
    """Slices of these extents along one axis; they must tile it."""
    return grid_slices(layer, {axis: sizes})


def grid_slices(layer: Layer, cuts: Mapping[str, Sequence[int]]) -> list[Slice]:
    """The boxes between cuts along one or more axes, in order of channels, then rows, then columns.

    cuts     extents of the slices by axis; they must tile it, in whole granules
    raises   MappingError
    """
    ranges = []
    for axis, extent in zip(AXES, layer.shape, strict=True):
        sizes = cuts.get(axis, [extent])
        _check_sizes(layer, axis, extent, sizes)
        ranges.append(list(pairwise(accumulate(sizes, initial=0))))
    boxes = (Box(*box) for box in product(*ranges))
    return [Slice(layer.name, box) for box in boxes]


def _check_sizes(layer: Layer, axis: str, extent: int, sizes: Sequence[int]) -> None:
    if min(sizes, default=0) < 1 or sum(sizes) != extent:
        raise MappingError(
            f"partition of layer {layer.name!r}: {axis} {sizes} sum to {sum(sizes)}, but the layer has {extent}: give "
            "positive slices that sum to it"
        )
    if len(sizes) > 1 and any(size % layer.neuron.granule for size in sizes):
        raise MappingError(
            f"partition of layer {layer.name!r}: {axis} {sizes} are not all multiples of "
            f"{layer.neuron.granule} neurons: give such"
        )


def known_layers(network: Network, names: list[str], where: str) -> None:
    layers = {layer.name: None for layer in on_chip_layers(network)}
    for name in names:
        if name not in layers:
            raise MappingError(
                f"{where} names layer {name!r}, which is not on the chip: layers are {', '.join(layers)}"
            )


def check_partition(rules: Rules, partition: Partition, works: storage.Works | None = None) -> list[Demand]:
    """Refuse slices that do not tile their layers, and what breaks a limit of the chip; returns each core's demand.

    works    as for `Rules.demand`

    raises   MappingError with layer, core, resource, needed, available and the smallest split that would fit
    """
    chip = rules.chip
    _check_tiling(rules, partition)
    if len(partition) > chip.cores:
        raise MappingError(
            f"network {rules.network.name!r} needs {len(partition)} cores, but chip {chip.name!r} has {chip.cores}: "
            "use fewer cores per layer (--partition), a smaller network, or a board of "
            f"{chip.chips_for(len(partition))} chips"
        )
    demands = []
    for core, slices in enumerate(partition):
        demand = Demand(0, 0, 0)
        for piece in slices:
            demand += rules.demand(piece, works)
        for resource, needed, available in demand.against(chip):
            if needed > available:
                raise MappingError(_over(rules, core, slices, resource, needed, available))
        demands.append(demand)
    return demands


def _check_tiling(rules: Rules, partition: Partition) -> None:
    """Every neuron on the chip lies in exactly one box."""
    layers = {layer.name: layer for layer in on_chip_layers(rules.network)}
    held = {name: np.zeros(layer.shape, np.int16) for name, layer in layers.items()}
    known_layers(rules.network, [piece.layer for slices in partition for piece in slices], "partition")
    for slices in partition:
        for piece in slices:
            inside = tuple(slice(*ends) for ends in (piece.box.channels, piece.box.rows, piece.box.columns))
            held[piece.layer][inside] += 1
            if held[piece.layer][inside].size != piece.box.neurons or piece.box.neurons < 1:
                shape = layers[piece.layer].shape
                raise MappingError(
                    f"{piece.box} is not in layer {piece.layer!r} of shape {shape}: give boxes within it"
                )
    for name, times in held.items():
        if (times != 1).any():
            raise MappingError(
                f"{np.count_nonzero(times)} of the {times.size} neurons of layer {name!r} are on a core, and "
                f"{np.count_nonzero(times > 1)} on more than one: give boxes that tile the layer"
            )


def _over(rules: Rules, core: int, slices: tuple[Slice, ...], resource: str, needed: int, available: int) -> str:
    layer = rules.network.by_name[slices[0].layer]
    if len(slices) > 1:
        names = ", ".join(repr(piece.layer) for piece in slices)
        cure = f"give the layers {names} cores of their own"
    else:
        parts = smallest_split(rules, layer)
        cure = f"split the layer over at least {parts} cores" if parts else "no even split of the layer fits"
    return (
        f"layer {layer.name!r} needs {needed} {resource} on core {core}, but chip {rules.chip.name!r} has "
        f"{available} per core: {cure}"
    )


def smallest_split(rules: Rules, layer: Layer) -> int | None:
    """The smallest number of even slices that fit, or None if none does."""
    most = max(layer.shape) // layer.neuron.granule
    splits = (parts for parts in range(1, most + 1) if rules.fits(even_slices(layer, parts, _even_axis(layer, parts))))
    return next(splits, None)


def check_axons_out(rules: Rules, partition: Partition, used: Sequence[int]) -> None:
    """Refuse more outgoing axons on a core than the chip has, where that is known.

    used   by logical core: one axon per neuron and destination core
    """
    limit = rules.chip.core.axons_out
    if limit is None or max(used, default=0) <= limit:
        return
    core = next(core for core, axons in enumerate(used) if axons > limit)
    raise MappingError(
        f"layer {partition[core][0].layer!r} needs {used[core]} outgoing axons on core {core}, but chip "
        f"{rules.chip.name!r} has {limit} per core: split it over at least {ceil(used[core] / limit)} cores, or its "
        "targets over fewer"
    )
