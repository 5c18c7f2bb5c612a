"""SANA-FE's network files: groups of neurons, edges between them, and which core every neuron is mapped to.

Fields as in SANA-FE's documentation (snn/README.md, the pages on models) and in the example files of its package. Where
the two leave something open, sanafe 2.2.9 was asked by running it:
- attributes of a neuron override its group's, later ones earlier ones; a section soma, dendrite or synapse counts for
  that unit only
- weights of dense hyperedges go source by source; those of conv2d, and delays, by kernel row, column, input channel and
  filter, over neurons numbered by channel, row and column, without padding
- a unit is the mapping's, else the one named by soma_hw_name, ..., else the first of the core; the synapse unit is that
  of the target neuron
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from nsim.chip.file import nearest, show
from nsim.errors import NetworkError, check_fits
from nsim.formats.sanafe.tree import Node, read_tree
from nsim.network.synapses import Shape

SECTIONS = ("soma", "dendrite", "synapse")
MAX_NEURONS = 4_000_000
SPAN = re.compile(r"(\d{1,9})(?:\.\.(\d{1,9}))?")
ADDRESS = re.compile(r"(.+?)\.(\d{1,9})(?:\.\.(\d{1,9}))?")
CORE = re.compile(r"(\d{1,9})\.(\d{1,9})")
BYTES_PER_EDGE = 100  # of arrays, and of what is made from them
CONVOLUTION = {  # sizes of a conv2d hyperedge; the second names are those of SANA-FE's older example
    "input_height": ("input_height",),
    "input_width": ("input_width",),
    "input_channels": ("input_channels",),
    "filters": ("kernel_count", "filters"),
    "kernel_height": ("kernel_height", "filter_height"),
    "kernel_width": ("kernel_width", "filter_width"),
    "stride_height": ("stride_height",),
    "stride_width": ("stride_width",),
}
OF_EDGES = {"weight": "weight", "w": "weight", "delay": "delay", "d": "delay"}
FORWARDED = "SANA-FE forwards it to the hardware models, whose documentation does not know it: it has no effect here"


@dataclass(eq=False)
class Attributes:
    """What neurons are told, by the unit that hears it: the last word on every name."""

    soma: dict[str, Node]
    dendrite: dict[str, Node]
    synapse: dict[str, Node]

    def updated(self, node: Node | None) -> Attributes:
        """These, overridden by what a node says."""
        new = Attributes(dict(self.soma), dict(self.dendrite), dict(self.synapse))
        for key, value in node.entries("attributes, such as threshold: 1") if node else ():
            if key in SECTIONS and not isinstance(value.value, str):
                getattr(new, key).update(value.entries("attributes"))
            else:
                for section in SECTIONS:
                    getattr(new, section)[key] = value
        return new


@dataclass(frozen=True, eq=False)
class Group:
    """Neurons first, first + 1, ... of the network; attributes by neuron, one object for all of one entry."""

    name: str
    node: Node
    first: int
    attributes: list[Attributes]

    @property
    def size(self) -> int:
        return len(self.attributes)


@dataclass(frozen=True, eq=False)
class Place:
    """Where a neuron is mapped: tile, core within it, and units by name if the mapping names any."""

    node: Node
    tile: int
    core: int
    units: dict[str, Node]


@dataclass(frozen=True, eq=False)
class Kernel:
    """A convolution without padding between two groups. weights: float64[filters, channels, rows, columns].

    source, target   (channels, rows, columns) of the groups
    first            neurons of the network that these begin with
    """

    weights: NDArray[np.float64]
    stride: tuple[int, int]
    source: Shape
    target: Shape
    first: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges of one entry of the file, as int64[edges] neurons of the network and float64[edges] weights.

    kernel   what they are made from, if the entry is a convolution
    """

    node: Node
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]
    delay: NDArray[np.int64]
    delay_nodes: tuple[Node, ...]
    kernel: Kernel | None = None

    @property
    def size(self) -> int:
        return self.source.size


@dataclass(frozen=True, eq=False)
class Spiking:
    """A whole file. places: of every neuron of the network, in order of the groups."""

    root: Node
    name: str
    groups: tuple[Group, ...]
    edges: tuple[Edges, ...]
    places: tuple[Place, ...]

    @property
    def neurons(self) -> int:
        return len(self.places)

    def attributes(self) -> list[Attributes]:
        return [one for group in self.groups for one in group.attributes]

    def called(self, neuron: int) -> str:
        group = next(group for group in reversed(self.groups) if neuron >= group.first)
        return f"{group.name}.{neuron - group.first}"


def read_network(path: Path) -> Spiking:
    """Read and check a network file.

    raises   NetworkError, one line with file, line and field
    """
    root = read_tree(path, NetworkError)
    top = root.need("network", "groups and edges")
    groups: dict[str, Group] = {}
    first = 0
    for node in top.need("groups", "the neurons").items("a list of groups"):
        group = _group(node, first)
        if group.name in groups:
            node.fail(f"a second group {show(group.name)}: give each its own name")
        first += group.size
        if first > MAX_NEURONS:
            node.fail(f"makes {first:,} neurons, but at most {MAX_NEURONS:,} can be carried over: split the network")
        groups[group.name] = group
    if not first:
        top.fail("has no neurons: add groups")
    edges = [
        _edges(key, node, groups)
        for entry in top.need("edges", "[] if there are none").items("a list of edges")
        for key, node in entry.table("an edge such as a.0 -> b.1: {weight: 1}").items()
    ]
    name = top.get("name")
    places = _places(root.need("mappings", "the core of every neuron"), groups, first)
    return Spiking(root, name.named if name else path.stem, tuple(groups.values()), tuple(edges), places)


def _group(node: Node, first: int) -> Group:
    name = node.need("name", "of the group").named
    shared = Attributes({}, {}, {}).updated(node.get("attributes"))
    by_number: dict[int, Attributes] = {}
    for entry in node.need("neurons", "such as - 0..9: [threshold: 1]").items("a list of neurons"):
        if isinstance(entry.value, str):
            _add_neurons(by_number, entry, entry.text, shared)
            entry.carried("neurons of a layer")
            continue
        for key, attributes in entry.table("neurons such as 0..9: [threshold: 1]").items():
            _add_neurons(by_number, attributes, key, shared.updated(attributes))
            if attributes.value in ("", [], {}):
                attributes.carried("neurons of a layer")
    missing = next((number for number in range(len(by_number)) if number not in by_number), None)
    if missing is not None:
        node.fail(f"has neurons up to {max(by_number)}, but no {missing}: number them 0, 1, 2, ... without gaps")
    return Group(name, node, first, [by_number[number] for number in range(len(by_number))])


def _add_neurons(by_number: dict[int, Attributes], node: Node, key: str, attributes: Attributes) -> None:
    span = SPAN.fullmatch(key.strip())
    if span is None:
        node.fail(f"neurons {show(key)}: expected a number, or a range such as 0..9")
    low, high = int(span[1]), int(span[2] or span[1])
    if not low <= high < MAX_NEURONS:
        node.fail(f"neurons {show(key)}: expected a rising range below {MAX_NEURONS:,}")
    for number in range(low, high + 1):
        if number in by_number:
            node.fail(f"neuron {number} is defined a second time: keep one")
        by_number[number] = attributes


def _edges(key: str, node: Node, groups: dict[str, Group]) -> Edges:
    ends = [end.strip() for end in key.split("->")]
    if len(ends) != 2:
        node.fail(f"edge {show(key)}: expected SOURCE -> TARGET, such as a.0 -> b.1")
    (source, low), (target, high) = (_end(end, node, groups) for end in ends)
    if (low is None) != (high is None):
        node.fail("joins a neuron to a group: give two neurons (a.0 -> b.1) or two groups (a -> b, with a type)")
    attributes = _sorted_attributes(node)
    if low is None or high is None:
        return _hyperedge(node, source, target, attributes)
    one = np.array([source.first + low]), np.array([target.first + high])
    weight = _attribute(node, attributes, "weight")
    delay = attributes.get("delay")
    steps = np.array([delay.whole(0, 2**31)] if delay else [0])
    return Edges(node, *one, np.array([weight.real()]), steps, (delay,) if delay else ())


def _end(text: str, node: Node, groups: dict[str, Group]) -> tuple[Group, int | None]:
    """Group and neuron that one end of an edge names; a group's name alone stands for all of it."""
    if text in groups:
        return groups[text], None
    match = ADDRESS.fullmatch(text)
    if match is None or match[1] not in groups:
        _no_group(node, match[1] if match else text, groups)
    group, number = groups[match[1]], int(match[2])
    if match[3]:
        node.fail(f"{show(text)} is a range: give one edge for each neuron, or a hyperedge between groups")
    if number >= group.size:
        node.fail(f"names neuron {show(text)}, but group {show(group.name)} has neurons 0 to {group.size - 1}")
    return group, number


def _no_group(node: Node, name: str, groups: dict[str, Group]) -> NoReturn:
    known = ", ".join(list(groups)[:10])
    node.fail(f"names group {show(name)}, which there is not{nearest(name, groups)}: the groups are {known}")


def _sorted_attributes(node: Node) -> dict[str, Node]:
    """Attributes of an edge by what they mean; everything else keeps its name and is told to have no effect."""
    flat: list[tuple[str, Node]] = []
    for key, value in node.entries("attributes, such as weight: 1"):
        if key in SECTIONS and not isinstance(value.value, str):
            flat += value.entries("attributes")
        else:
            flat.append((key, value))
    found: dict[str, Node] = {}
    for key, value in flat:
        meaning = OF_EDGES.get(key, key)
        if meaning in found:
            value.fail(f"a second {meaning} of one edge: keep one")
        if key.endswith("_hw_name"):
            value.left("sanafe 2.2.9 takes the units of the target neuron and overlooks this one")
        elif key not in OF_EDGES:
            value.left(FORWARDED)
        found[meaning] = value
    return found


def _attribute(node: Node, attributes: dict[str, Node], name: str) -> Node:
    if name not in attributes:
        node.fail(f"has no {name}: add {name}: ...")
    return attributes[name]


def _hyperedge(node: Node, source: Group, target: Group, attributes: dict[str, Node]) -> Edges:
    """All edges of a hyperedge between two groups."""
    kind = _attribute(node, attributes, "type")
    kind.carried("which neurons the hyperedge joins")
    tap: NDArray[np.int64] | slice = slice(None)  # of a convolution: the weight of every edge
    taps, kernel = 0, None
    if kind.text == "dense":
        check_fits(
            source.size * target.size * BYTES_PER_EDGE,
            f"the {source.size * target.size:,} edges of {node.path}",
            "split the groups",
            NetworkError,
        )
        pairs = np.indices((source.size, target.size)).reshape(2, -1)
        weight = np.array(_attribute(node, attributes, "weight").reals(pairs.shape[1]))
    elif kind.text == "sparse":
        pairs = _pairs(_attribute(node, attributes, "source_target_pairs"), source, target)
        weight = np.array(_attribute(node, attributes, "weight").reals(pairs.shape[1]))
    elif kind.text == "conv2d":
        pairs, tap, kernel = _convolution(node, source, target, attributes)
        taps = kernel.weights.size
        weight = np.array(_attribute(node, attributes, "weight").reals(taps))
        filters, channels, rows, columns = kernel.weights.shape
        kernel = replace(kernel, weights=weight.reshape(rows, columns, channels, filters).transpose(3, 2, 0, 1))
        weight = weight[tap]
    else:
        kind.fail(f"is {show(kind.text)}: expected dense, sparse or conv2d")
    delay = attributes.get("delay")
    delays = np.zeros(pairs.shape[1], np.int64)
    if delay is not None:
        values = np.array(delay.reals(taps if kind.text == "conv2d" else pairs.shape[1]))
        if (values != np.floor(values)).any() or (values < 0).any() or (values >= 2**31).any():
            delay.fail("holds delays that are no whole numbers of timesteps from 0 up: correct them")
        delays = values.astype(np.int64)[tap]
    ends = source.first + pairs[0], target.first + pairs[1]
    return Edges(node, *ends, weight, delays, (delay,) if delay else (), kernel)


def _pairs(node: Node, source: Group, target: Group) -> NDArray[np.int64]:
    """int64[2, edges] from a list of [source, target]."""
    node.carried("which neurons the hyperedge joins")
    rows = [[item.whole(0, MAX_NEURONS) for item in pair.items("[source, target]")] for pair in node.items("pairs")]
    if any(len(row) != 2 for row in rows):
        node.fail("holds an entry that is no pair: give [[source, target], ...]")
    pairs = np.array(rows, np.int64).reshape(-1, 2).T
    for end, group in ((0, source), (1, target)):
        if pairs.size and pairs[end].max() >= group.size:
            node.fail(f"names neuron {pairs[end].max()}, but group {show(group.name)} has 0 to {group.size - 1}")
    return pairs


def _convolution(
    node: Node, source: Group, target: Group, attributes: dict[str, Node]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Kernel]:
    """A convolution without padding: int64[2, edges] neurons within their groups, the tap of each edge, and its sizes.

    Weights and delays lie in the order of the taps: by kernel row, column, channel and filter.
    """
    size: dict[str, int] = {}
    for meaning, names in CONVOLUTION.items():
        found = [attributes[name] for name in names if name in attributes]
        if not found:
            node.fail(f"has no {names[0]}: add {names[0]}: ...")
        found[0].carried("which neurons the hyperedge joins")
        size[meaning] = found[0].whole(1, MAX_NEURONS)
    rows, columns, channels = size["input_height"], size["input_width"], size["input_channels"]
    high, wide, filters = size["kernel_height"], size["kernel_width"], size["filters"]
    if high > rows or wide > columns:
        node.fail(f"a kernel of {high} x {wide} does not fit an input of {rows} x {columns}: make it smaller")
    if channels * rows * columns != source.size:
        node.fail(f"an input of {channels} x {rows} x {columns} is not the {source.size} neurons of the source group")
    down, right = (rows - high) // size["stride_height"] + 1, (columns - wide) // size["stride_width"] + 1
    if filters * down * right != target.size:
        node.fail(f"an output of {filters} x {down} x {right} is not the {target.size} neurons of the target group")
    edges = high * wide * channels * filters * down * right
    check_fits(edges * BYTES_PER_EDGE, f"the {edges:,} edges of {node.path}", "split the groups", NetworkError)
    ky, kx, channel, out, y, x = np.indices((high, wide, channels, filters, down, right)).reshape(6, -1)
    from_y, from_x = y * size["stride_height"] + ky, x * size["stride_width"] + kx
    pairs = np.stack([(channel * rows + from_y) * columns + from_x, (out * down + y) * right + x])
    stride = size["stride_height"], size["stride_width"]
    shapes = (channels, rows, columns), (filters, down, right)
    kernel = Kernel(np.zeros((filters, channels, high, wide)), stride, *shapes, (source.first, target.first))
    return pairs, ((ky * wide + kx) * channels + channel) * filters + out, kernel


def _places(node: Node, groups: dict[str, Group], neurons: int) -> tuple[Place, ...]:
    places: list[Place | None] = [None] * neurons
    for entry in node.items("a list of mappings"):
        for key, target in entry.table("a mapping such as a.0..9: {core: 0.0}").items():
            group, low, high = _mapped_range(key.strip(), target, groups)
            place = _place(target)
            for neuron in range(group.first + low, group.first + high):
                if places[neuron] is not None:
                    target.fail(f"maps {group.name}.{neuron - group.first} a second time: keep one mapping")
                places[neuron] = place
    for group in groups.values():
        unmapped = [k for k in range(group.size) if places[group.first + k] is None]
        if unmapped:
            more = f" and {len(unmapped) - 1} more neurons are" if len(unmapped) > 1 else " is"
            node.fail(f"{group.name}.{unmapped[0]}{more} mapped to no core: add - {group.name}: {{core: TILE.CORE}}")
    return tuple(place for place in places if place is not None)


def _mapped_range(text: str, node: Node, groups: dict[str, Group]) -> tuple[Group, int, int]:
    if text in groups:
        return groups[text], 0, groups[text].size
    match = ADDRESS.fullmatch(text)
    if match is None or match[1] not in groups:
        _no_group(node, match[1] if match else text, groups)
    group, low, high = groups[match[1]], int(match[2]), int(match[3] or match[2])
    if not low <= high < group.size:
        node.fail(f"names {show(text)}, but group {show(group.name)} has neurons 0 to {group.size - 1}")
    return group, low, high + 1


def _place(node: Node) -> Place:
    found = dict(node.entries("core: TILE.CORE"))
    if "core" not in found:
        node.fail("has no core: add core: TILE.CORE, such as core: 0.0")
    core = CORE.fullmatch(found["core"].text.strip())
    if core is None:
        found["core"].fail(f"is {show(found['core'].text)}: expected TILE.CORE, such as 0.0")
    return Place(found["core"], int(core[1]), int(core[2]), {key: found[key] for key in SECTIONS if key in found})
