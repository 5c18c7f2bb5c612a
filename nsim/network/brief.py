"""A line for what holds arrays: what a notebook shows of a network or of counts, instead of all their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

LONGEST = 40  # characters of a text; longer ones are cut


class Brief:
    """A dataclass whose `repr` names types, shapes and lengths, but for fields that are as by default.

    The dataclass has `repr=False`, or it makes its own.
    """

    def __repr__(self) -> str:
        values = [(each, getattr(self, each.name)) for each in fields(self) if each.repr]  # type: ignore[arg-type]
        own = [f"{each.name}={shortly(value)}" for each, value in values if value is not each.default]
        return f"{type(self).__name__}({', '.join(own)})"


def shortly(value: Any) -> str:
    """A value in a few words: int64[3, 5], 12 Layers, 'name'."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        kind = "records" if value.dtype.names else value.dtype
        return f"{kind}{list(value.shape)}" if value.shape else repr(value.item())
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST else f"{value[: LONGEST - 3]}...")
    if isinstance(value, Mapping):
        return f"{{{len(value)} by {type(next(iter(value))).__name__}}}" if value else "{}"
    if isinstance(value, tuple | list | set | frozenset):
        return _several(value)
    if is_dataclass(value):
        name = getattr(value, "name", "")
        return f"{type(value).__name__}({shortly(name) if isinstance(name, str) and name else '...'})"
    return repr(value) if isinstance(value, int | float | None) else type(value).__name__


def _several(values: Any) -> str:
    """A short tuple of numbers as it is; else how many there are, and of what."""
    if len(values) <= 4 and all(isinstance(each, int | float | str) for each in values):
        return repr(values)
    kinds = {type(each).__name__ for each in values}
    return f"({len(values)} {kinds.pop() if len(kinds) == 1 else 'values'})"
