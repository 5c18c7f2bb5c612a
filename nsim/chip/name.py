"""How a chip is named: by name or path, and the values changed in it, "loihi2:actions.synop_dense.latency_ps=500"."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from nsim.errors import ChipError


def split_name(text: str) -> tuple[str, str]:
    """The name or path of a chip, and the changes behind its colon; a colon without a "=" after it is of a path."""
    name, colon, changes = text.partition(":") if "=" in text.partition(":")[2] else (text, "", "")
    if len(name) == 1 and colon:  # a drive of Windows
        more, _, changes = changes.partition(":")
        name = f"{name}:{more}"
    return name, changes


def join_name(name: str, changes: Sequence[str]) -> str:
    """The chip and its changes in one text, as `load_chip` takes it."""
    if not changes:
        return name
    return f"{name}{',' if split_name(name)[1] else ':'}{','.join(changes)}"


def parse_changes(text: str) -> dict[str, Any]:
    """KEY=VALUE,KEY=VALUE with values as in a chip file.

    raises   ChipError, one line, for what is no such text
    """
    found: dict[str, Any] = {}
    for part in _parts(text):
        key, equals, value = part.partition("=")
        key = key.strip()
        if not key or not equals or not value.strip():
            raise ChipError(f"change {part.strip()!r} of a chip: write KEY=VALUE, such as mesh.columns=4")
        if key in found:
            raise ChipError(f"{key} is set twice, to {found[key]} and {value.strip()}: set it once")
        found[key] = _value(value.strip())
    return found


def _parts(text: str) -> Iterator[str]:
    """Between commas that are not inside of brackets."""
    depth, start = 0, 0
    for place, char in enumerate(text):
        depth += (char == "[") - (char == "]")
        if char == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def _value(text: str) -> Any:
    """As TOML has it; a word without quotes is a text."""
    try:
        read = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return read["value"] if len(read) == 1 and not isinstance(read["value"], dict) else text


def written(value: Any) -> str:
    """A value as `parse_changes` reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(written, value))}]" if isinstance(value, list | tuple) else str(value)


def split_names(text: str) -> list[str]:
    """Chips with commas between, each with its changes: "loihi2:mesh.columns=4,mesh.rows=4,speck" are two.

    raises   ChipError for an empty or a repeated name
    """
    names: list[str] = []
    for part in _parts(text):
        if "=" in part and ":" not in part and names:
            names[-1] += f",{part.strip()}"
        else:
            names.append(part.strip())
    if not all(names):
        raise ChipError(f"chips {text!r}: give names with commas between, as in loihi2,speck")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ChipError(f"chip {twice} is given twice: once is enough")
    return names
