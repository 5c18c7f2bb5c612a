"""Text of the form name=value,name=value: options of networks, partitions and activity on the command line."""

from __future__ import annotations


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
