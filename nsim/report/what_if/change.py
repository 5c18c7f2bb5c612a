"""A change of a mapping that is worth a try, and the best of several by simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """A mapping to try, and how a user asks for it; option and value as in a what-if."""

    mapping: Any
    layer: str
    words: str
    option: str | None
    value: str | None


def best(
    changes: Iterable[Change], simulate: Callable[[Any], Any], measure: str, before: float, of: Callable[[Any], float]
) -> dict[str, Any] | None:
    """The what-if of the change with the smallest measure, the first of equals; None without changes."""
    tried = [(of(simulate(change.mapping)), change) for change in changes]
    if not tried:
        return None
    after, best = min(tried, key=lambda pair: pair[0])
    told = {"option": best.option, "value": best.value, "layer": best.layer, "words": best.words}
    return {**told, "measure": measure, "before": before, "after": after}
