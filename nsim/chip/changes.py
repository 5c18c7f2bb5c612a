"""Other values for some constants of a chip, given beside its file.

They are put into what the file says before that is checked, so the same checks hold. A changed value is `assumed`, and
loses its range unless that is given, too.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from nsim.chip.chip import Group, Table, model_of
from nsim.errors import ChipError

SOURCE, WORDS = "set", "given beside the chip's file, to see what it does"
NEAREST = 3  # keys that an error proposes


def apply_changes(data: dict[str, Any], changes: Mapping[str, Any], model: type[BaseModel], shown: str) -> None:
    """Put other values into what a chip file says.

    data      of the file, changed in place; checked by who reads it
    raises    ChipError for a key that such a chip does not have, with those that are nearest
    """
    for key, value in changes.items():
        *path, name = key.split(".")
        _check_key(path, name, model, shown)
        table = data
        for step in path:
            table = table.setdefault(step, {})
        _put(table, name, value, changes, key)
    data["name"], data["title"] = (f"{data.get(name)}, changed" for name in ("name", "title"))
    data.setdefault("sources", {})[SOURCE] = WORDS


def _put(table: dict[str, Any], name: str, value: Any, changes: Mapping[str, Any], key: str) -> None:
    before = table.get(name)
    table[name] = value
    if f"{key}_range" not in changes:
        table.pop(f"{name}_range", None)
    note = "set to be tried" if before is None else f"set to be tried; {before} in the chip's file"
    origin = {"source": SOURCE, "basis": "assumed", "note": note}
    if "source" not in table:
        table |= origin
    elif not name.endswith("_range"):
        table["origin"] = table.get("origin", {}) | {name: origin}


def _check_key(path: Sequence[str], name: str, model: type[BaseModel], shown: str) -> None:
    known = value_paths(model)
    key = ".".join([*path, name])
    if key in known:
        return
    inside = [each for each in known if each.startswith(f"{key}.") and not each.endswith("_range")]
    if inside:
        raise ChipError(f"{shown} cannot set {key!r}: it is a table: name one of its values, {_listed(inside)}")
    near = difflib.get_close_matches(key, [each for each in known if not each.endswith("_range")], NEAREST)
    hint = f", did you mean {_listed(near)}?" if near else ": nsim chips NAME shows all"
    raise ChipError(f"{shown} has no value {key!r}{hint}")


def _listed(keys: Sequence[str]) -> str:
    return " or ".join(keys[:NEAREST])


def value_paths(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Key paths of all values that a chip file of this model may have in its tables."""
    found = []
    for name, field in model.model_fields.items():
        below = model_of(field)
        if below is not None and issubclass(below, Group | Table):
            found += value_paths(below, f"{prefix}{name}.")
        elif prefix and name not in Table.model_fields:
            found.append(f"{prefix}{name}")
    return found
