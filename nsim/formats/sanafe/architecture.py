"""SANA-FE's architecture files: tiles on a mesh, the cores of each, and the units of each core's pipeline.

Fields as in SANA-FE's documentation (arch/README.md, the pages on models) and in the example files of its package;
which of them have to be there was tried out with sanafe 2.2.9. Every time and energy is checked, used or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from nsim.chip.file import show
from nsim.errors import ChipError
from nsim.formats.sanafe.tree import Node, read_tree

MAX_SIDE = 1024
MAX_INSTANCES = MAX_SIDE * MAX_SIDE
RANGE = re.compile(r"(.+)\[(\d{1,9})\.\.(\d{1,9})\]")
HOPS = [f"{quantity}_{way}_hop" for quantity in ("energy", "latency") for way in ("north", "east", "south", "west")]
COSTS = {  # by kind of unit: what one of its actions costs
    "axon_in": ("energy_message_in", "latency_message_in"),
    "synapse": ("energy_process_spike", "latency_process_spike"),
    "dendrite": ("energy_update", "latency_update"),
    "soma": (
        *("energy_access_neuron", "latency_access_neuron", "energy_update_neuron", "latency_update_neuron"),
        *("energy_spike_out", "latency_spike_out"),
    ),
    "axon_out": ("energy_message_out", "latency_message_out"),
}
MOST = {"latency": (Decimal(1), "s"), "energy": (Decimal(1), "J")}  # what nsim's chip files take


@dataclass(frozen=True, eq=False)
class Unit:
    """One entry of a core's pipeline; names are those of its instances, such as input[0], input[1]."""

    names: tuple[str, ...]
    model: str
    node: Node
    attributes: dict[str, Node]


@dataclass(frozen=True, eq=False)
class CoreKind:
    """Cores that one entry describes.

    dendrite_per_spike   the dendrite works at every synaptic spike, not once per neuron and timestep
    """

    node: Node
    neurons: Node
    position: Node
    dendrite_per_spike: bool
    units: dict[str, list[Unit]]

    def unit(self, section: str, name: Node | None) -> Unit:
        """The unit of this name; without one the first, as in SANA-FE."""
        if name is None:
            return self.units[section][0]
        for unit in self.units[section]:
            if name.named in unit.names:
                return unit
        known = ", ".join(name for unit in self.units[section] for name in unit.names[:2])
        return name.fail(f"names {section} unit {show(name.text)}, which the core does not have: it has {known[:200]}")


@dataclass(frozen=True, eq=False)
class TileKind:
    """Tiles that one entry describes, and the kind of each of their cores."""

    node: Node
    attributes: dict[str, Node]
    cores: tuple[CoreKind, ...]


@dataclass(frozen=True, eq=False)
class Architecture:
    """A whole file. tiles: the kind of every tile, by its number."""

    root: Node
    name: str
    width: int
    height: int
    attributes: dict[str, Node]
    tiles: tuple[TileKind, ...] = field(repr=False)

    @property
    def cores_per_tile(self) -> int:
        return max(len(tile.cores) for tile in self.tiles)

    def position(self, tile: int) -> tuple[int, int]:
        """Column and row of a tile: they are numbered column by column, as sanafe's message trace shows."""
        return tile // self.height, tile % self.height


def read_architecture(path: Path) -> Architecture:
    """Read and check an architecture file.

    raises   ChipError, one line with file, line and field
    """
    root = read_tree(path, ChipError)
    top = root.need("architecture", "the whole description")
    attributes = dict(top.need("attributes", "width, height, link_buffer_size").entries("attributes"))
    for key in ("width", "height", "link_buffer_size"):
        if key not in attributes:
            top.fail(f"attributes lack {key!r}: add {key}: ...")
    width, height = (attributes[key].whole(1, MAX_SIDE) for key in ("width", "height"))
    tiles: list[TileKind] = []
    for node in _entries(top, "tile"):
        kind, number = _tile(node)
        tiles += [kind] * number
        if len(tiles) > width * height:
            node.fail(f"makes {len(tiles)} tiles, but the mesh of {width} x {height} has {width * height}: widen it")
    name = top.get("name")
    return Architecture(root, name.named if name else path.stem, width, height, attributes, tuple(tiles))


def _entries(node: Node, key: str) -> list[Node]:
    found = node.need(key, "one entry at least").items(f"a list of {key} entries")
    if not found:
        node.fail(f"{key!r} is empty: add an entry")
    return found


def _instances(node: Node) -> tuple[str, ...]:
    """Names of all instances: "core[0..3]" stands for four."""
    name = node.need("name", "of the unit").named
    match = RANGE.fullmatch(name)
    if match is None:
        return (name,)
    base, low, high = match[1], int(match[2]), int(match[3])
    if not 0 <= high - low < MAX_INSTANCES:
        node.fail(f"name {show(name)} stands for {high - low + 1} instances: give 1 to {MAX_INSTANCES:,}")
    return tuple(f"{base}[{number}]" for number in range(low, high + 1))


def _tile(node: Node) -> tuple[TileKind, int]:
    attributes = dict(node.need("attributes", ", ".join(HOPS)).entries("attributes"))
    for key in HOPS:
        _cost(node, attributes, key)
    cores: list[CoreKind] = []
    for entry in _entries(node, "core"):
        kind, number = _core(entry)
        if len(cores) + number > MAX_SIDE:
            entry.fail(f"makes {len(cores) + number} cores in one tile: at most {MAX_SIDE} can be carried over")
        cores += [kind] * number
    return TileKind(node, attributes, tuple(cores)), len(_instances(node))


def _core(node: Node) -> tuple[CoreKind, int]:
    attributes = dict(node.need("attributes", "buffer_position, max_neurons_supported").entries("attributes"))
    for key in ("buffer_position", "max_neurons_supported"):
        if key not in attributes:
            node.fail(f"attributes lack {key!r}: add {key}: ...")
    position, neurons = attributes["buffer_position"], attributes["max_neurons_supported"]
    neurons.whole(1, 2**31 - 1)
    if position.text not in ("dendrite", "soma", "axon_out"):
        position.fail(f"is {show(position.text)}: expected dendrite, soma or axon_out")
    units = {section: [_unit(entry, section) for entry in _entries(node, section)] for section in COSTS}
    return CoreKind(node, neurons, position, position.text != "dendrite", units), len(_instances(node))


def _unit(node: Node, section: str) -> Unit:
    attributes = dict(node.need("attributes", ", ".join(COSTS[section])).entries("attributes"))
    for key in COSTS[section]:
        _cost(node, attributes, key)
    model = attributes.get("model")
    return Unit(_instances(node), model.named if model else "", node, attributes)


def _cost(owner: Node, attributes: dict[str, Node], key: str) -> None:
    """Check that a time or an energy is there, and one that a chip file can hold."""
    if key not in attributes:
        owner.fail(f"attributes lack {key!r}: add {key}: ... (0.0 if it costs nothing)")
    most, unit = MOST[key.split("_")[0]]
    if not 0 <= attributes[key].decimal() <= most:
        attributes[key].fail(f"is {show(attributes[key].text)} {unit}: expected 0 to {most} {unit}")
