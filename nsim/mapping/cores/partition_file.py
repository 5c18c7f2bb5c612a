"""A partition as a file: the user's own, or what an optimisation found.

A TOML file with a table per layer, [layers.NAME], holding lists of sizes and optionally core numbers:
  columns, rows, channels (or neurons)   sizes of the slices along that axis; they sum to the layer's extent. Several
                                         lists cut the layer into boxes
  cores                                  logical core of each slice or box, in order of channels, rows, columns. Those
                                         with one number, also of different layers, go to one core. Left out: each has
                                         its own core
and, before the tables, optionally
  placement                              physical core of every logical core, in the order in which the layers of the
                                         network, one slice after another, first come to it
Layers that the file does not name are partitioned by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nsim.errors import MappingError, OutputError, read_toml
from nsim.mapping.cores.partition import (
    AXES,
    Partition,
    Rules,
    Slice,
    default_slices,
    grid_slices,
    known_layers,
    on_chip_layers,
    spatial,
)
from nsim.network.layers import Layer


def read_partition(path: Path, rules: Rules) -> Partition:
    """The slices of every logical core, in the order in which the layers first come to it."""
    tables = _read(path)["layers"]
    known_layers(rules.network, list(tables), f"partition file {path}")
    cores: dict[object, list[Slice]] = {}
    for layer in on_chip_layers(rules.network):
        if layer.name not in tables:
            slices, numbers = default_slices(rules, layer), None
        else:
            slices, numbers = _own_slices(path, layer, tables[layer.name])
        for position, piece in enumerate(slices):
            key = (layer.name, position) if numbers is None else numbers[position]
            cores.setdefault(key, []).append(piece)
    return tuple(tuple(slices) for slices in cores.values())


def read_placement(path: Path) -> list[int] | None:
    """The physical core of every logical core, if the file says so."""
    placement = _read(path).get("placement")
    if placement is None or (isinstance(placement, list) and all(type(core) is int for core in placement)):
        return placement
    raise MappingError(f"partition file {path}: placement is {placement!r}: expected a list of whole numbers")


def _read(path: Path) -> dict[str, Any]:
    content = read_toml(path, "partition file", "give a TOML file with tables [layers.NAME]", MappingError)
    if not {"layers"} <= set(content) <= {"layers", "placement"} or not isinstance(content["layers"], dict):
        raise MappingError(
            f"partition file {path} holds tables [layers.NAME] and nothing else: found {sorted(content)} (a "
            "placement may stand before them)"
        )
    return content


def _own_slices(path: Path, layer: Layer, table: object) -> tuple[list[Slice], list[int] | None]:
    where = f"partition file {path}: layers.{layer.name}"
    if not isinstance(table, dict):
        raise MappingError(f"{where} is {table!r}: expected a table such as columns = [4, 4, 3]")
    axes = [axis for axis in (*AXES, "neurons") if axis in table]
    if set(table) - {*AXES, "neurons", "cores"} or not axes or ("neurons" in table and len(axes) > 1):
        raise MappingError(
            f"{where} has {sorted(table)}: expected one or more of columns, rows, channels, or neurons, and maybe cores"
        )
    if axes[0] == "neurons" and spatial(layer):
        raise MappingError(f"{where}.neurons: a layer of shape {layer.shape} is split by columns, rows or channels")
    for key, values in table.items():
        if not (isinstance(values, list) and all(type(v) is int for v in values)):
            raise MappingError(f"{where}.{key} is {values!r}: expected a list of whole numbers")
    slices = grid_slices(layer, {"channels" if axis == "neurons" else axis: table[axis] for axis in axes})
    cores = table.get("cores")
    if cores is not None and len(cores) != len(slices):
        raise MappingError(
            f"{where}.cores has {len(cores)} numbers for {len(slices)} slices: give one core for each slice"
        )
    return slices, cores


def write_partition(
    partition: Partition, path: Path, rules: Rules, placement: Sequence[int] | None = None, comment: str = ""
) -> None:
    """Write a file that is read back as this partition.

    placement   physical core of every logical core, to be kept in the file
    comment     lines for its head
    raises      MappingError for slices that no lists along axes describe, unless they are the layer's default;
                OutputError if the file cannot be written
    """
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    if placement is not None:
        lines.append(f"placement = {[int(core) for core in placement]}")
    for layer in on_chip_layers(rules.network):
        held = [(core, piece) for core, slices in enumerate(partition) for piece in slices if piece.layer == layer.name]
        held.sort(key=lambda item: item[1].box)
        own = all(len(partition[core]) == 1 for core, _ in held)
        cuts = grid_of([piece for _, piece in held], layer)
        if cuts is None:
            if own and [piece for _, piece in held] == sorted(default_slices(rules, layer), key=lambda s: s.box):
                continue
            raise MappingError(f"slices of layer {layer.name!r} are no grid of boxes: no file describes them")
        lines += ["", f"[layers.{_key(layer.name)}]", *(f"{axis} = {sizes}" for axis, sizes in cuts.items())]
        if not own:
            lines.append(f"cores = {[core for core, _ in held]}")
    if not any(line.startswith("[") for line in lines):
        lines += ["", "[layers]"]
    try:
        path.write_text("\n".join(lines).lstrip("\n") + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"cannot write partition file {path} ({error.strerror or error}): give another file"
        ) from None


def grid_of(slices: Sequence[Slice], layer: Layer) -> dict[str, list[int]] | None:
    """Sizes by axis along which the layer is cut, if that is all there is to say about these slices, in order.

    A layer in one piece is told by its columns, one without space by its channels.
    """
    ranges = {axis: sorted({getattr(piece.box, axis) for piece in slices}) for axis in AXES}
    cut = [axis for axis in AXES if len(ranges[axis]) > 1] or ["columns" if spatial(layer) else "channels"]
    sizes = {axis: [high - low for low, high in ranges[axis]] for axis in cut}
    if any(sum(sizes[axis]) != layer.shape[AXES.index(axis)] for axis in cut):
        return None
    return sizes if grid_slices(layer, sizes) == list(slices) else None


def _key(name: str) -> str:
    """A layer's name as a TOML key."""
    plain = name.isascii() and all(letter.isalnum() or letter in "-_" for letter in name) and name
    return name if plain else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
