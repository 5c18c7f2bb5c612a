"""A partition as a file: the user's own, or what an optimisation found.

A TOML file with a table per layer, [layers.NAME], holding one list of shares and optionally core numbers:
  columns, rows, channels (or neurons)   sizes of the shares along that axis; they sum to the layer's extent
  cores                                  logical core of each share; shares with one number, also of different layers,
                                         go to one core. Left out: every share has a core of its own
and, before the tables, optionally
  placement                              physical core of every logical core, in the order in which the layers of the
                                         network, one share after another, first come to it
Layers that the file does not name are partitioned by default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nsim.errors import MappingError, OutputError
from nsim.mapping.partition import (
    AXES,
    Partition,
    Rules,
    Share,
    default_shares,
    known_layers,
    on_chip_layers,
    shares_of_sizes,
    spatial,
)
from nsim.network import Layer


def read_partition(path: Path, rules: Rules) -> Partition:
    """The shares of every logical core, in the order in which the layers first come to it."""
    tables = _read(path)["layers"]
    known_layers(rules.network, list(tables), f"partition file {path}")
    cores: dict[object, list[Share]] = {}
    for layer in on_chip_layers(rules.network):
        if layer.name not in tables:
            shares, numbers = default_shares(rules, layer), None
        else:
            shares, numbers = _own_shares(path, layer, tables[layer.name])
        for position, share in enumerate(shares):
            key = (layer.name, position) if numbers is None else numbers[position]
            cores.setdefault(key, []).append(share)
    return tuple(tuple(shares) for shares in cores.values())


def read_placement(path: Path) -> list[int] | None:
    """The physical core of every logical core, if the file says so."""
    placement = _read(path).get("placement")
    if placement is None or (isinstance(placement, list) and all(type(core) is int for core in placement)):
        return placement
    raise MappingError(f"partition file {path}: placement is {placement!r}: expected a list of whole numbers")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingError(
            f"cannot read partition file {path} ({error}): give a TOML file with tables [layers.NAME]"
        ) from None
    if not {"layers"} <= set(content) <= {"layers", "placement"} or not isinstance(content["layers"], dict):
        raise MappingError(
            f"partition file {path} holds tables [layers.NAME] and nothing else: found {sorted(content)} (a "
            "placement may stand before them)"
        )
    return content


def _own_shares(path: Path, layer: Layer, table: object) -> tuple[list[Share], list[int] | None]:
    where = f"partition file {path}: layers.{layer.name}"
    if not isinstance(table, dict):
        raise MappingError(f"{where} is {table!r}: expected a table such as columns = [4, 4, 3]")
    unknown = set(table) - {*AXES, "neurons", "cores"}
    axes = [axis for axis in (*AXES, "neurons") if axis in table]
    if unknown or len(axes) != 1:
        raise MappingError(
            f"{where} has {sorted(table)}: expected one of columns, rows, channels, neurons, and maybe cores"
        )
    if axes[0] == "neurons" and spatial(layer):
        raise MappingError(f"{where}.neurons: a layer of shape {layer.shape} is split by columns, rows or channels")
    sizes, cores = table[axes[0]], table.get("cores")
    for key, values in ((axes[0], sizes), ("cores", cores)):
        whole = isinstance(values, list) and all(type(v) is int for v in values)
        if values is not None and not whole:
            raise MappingError(f"{where}.{key} is {values!r}: expected a list of whole numbers")
    if cores is not None and len(cores) != len(sizes):
        raise MappingError(
            f"{where}.cores has {len(cores)} numbers for {len(sizes)} shares: give one core for each share"
        )
    return shares_of_sizes(layer, sizes, "channels" if axes[0] == "neurons" else axes[0]), cores


def write_partition(
    partition: Partition, path: Path, rules: Rules, placement: Sequence[int] | None = None, comment: str = ""
) -> None:
    """Write a file that is read back as this partition.

    placement   physical core of every logical core, to be kept in the file
    comment     lines for its head
    raises      MappingError for shares that no list along one axis describes, unless they are the layer's default;
                OutputError if the file cannot be written
    """
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    if placement is not None:
        lines.append(f"placement = {[int(core) for core in placement]}")
    for layer in on_chip_layers(rules.network):
        held = [(core, share) for core, shares in enumerate(partition) for share in shares if share.layer == layer.name]
        held.sort(key=lambda item: item[1].box)
        own = all(len(partition[core]) == 1 for core, _ in held)
        table = sizes_of([share for _, share in held], layer)
        if table is None:
            if own and [share for _, share in held] == sorted(default_shares(rules, layer), key=lambda s: s.box):
                continue
            raise MappingError(f"shares of layer {layer.name!r} lie along more than one axis: no file describes them")
        lines += ["", f"[layers.{_key(layer.name)}]", f"{table[0]} = {table[1]}"]
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


def sizes_of(shares: Sequence[Share], layer: Layer) -> tuple[str, list[int]] | None:
    """Axis and sizes along it, if that is all there is to say about these shares of a layer, in order."""
    for axis in ("channels",) if not spatial(layer) else reversed(AXES):
        sizes = [share.box.extent[AXES.index(axis)] for share in shares]
        if sum(sizes) == layer.shape[AXES.index(axis)] and shares_of_sizes(layer, sizes, axis) == list(shares):
            return axis, sizes
    return None


def _key(name: str) -> str:
    """A layer's name as a TOML key."""
    plain = name.isascii() and all(letter.isalnum() or letter in "-_" for letter in name) and name
    return name if plain else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
