"""Text of the form name=value,name=value: options of networks, partitions and activity on the command line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from nsim.errors import NsimError


def parse_assignments(text: str) -> dict[str, str]:
    """The values by name, blanks removed.

    raises   ValueError, naming the item, for one without "=" or name, and for a name given twice
    """
    values: dict[str, str] = {}
    for item in text.split(","):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not name or not equals:
            raise ValueError(f"{item.strip()!r} is not of the form name=value")
        if name in values:
            raise ValueError(f"{name!r} is given twice")
        values[name] = value
    return values


def typed(given: Mapping[str, object], defaults: Mapping[str, Any], of: str, error: type[NsimError]) -> dict[str, Any]:
    """Options in the types of their defaults; values may be text, as they come from the command line.

    of      what has these options, for the error: "network 'mlp'"
    raises  `error` for an option that is not among the defaults, or a value that is not of its type
    """
    arguments = {}
    for key, value in given.items():
        if key not in defaults:
            near = difflib.get_close_matches(key, defaults, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise error(f"{of} has no option {key!r}: {hint}its options are {', '.join(defaults)}")
        kind = type(defaults[key])
        try:
            arguments[key] = kind(value)
            if not isinstance(value, str) and arguments[key] != value:  # 1.5 for an integer
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise error(f"option {key} of {of} is {value!r}: expected {kind.__name__}") from None
    return arguments
