"""Numbers with units in what a person reads, as values in SI units."""

import re

PREFIXES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
QUANTITY = re.compile(
    r"(?<![\w.])(?P<number>\d[\d,]*(?:\.\d+)?) (?:(?P<part>%)(?! within)|(?P<ratio>x)(?=[ ;)]|$)"
    r"|(?P<prefix>[fpnumkMG]?)(?P<unit>s|J|W|cycles|events/s|synops/s|frames/s)(?![\w/])|(?P<kilo>[kMG])\b)"
)


def quantities(text):
    """(value, unit) of every number with a unit in a text, in order; units are s, J, W, %, x, cycles, ..., or none.

    A per cent is a part of 1; "83 M of" and "k cycles" are counts.
    """
    found = []
    joined = re.sub(r"([kMG]) (cycles|events/s|synops/s)", r"\1\2", " ".join(text.split()))
    for match in QUANTITY.finditer(joined):
        number = float(match["number"].replace(",", ""))
        if match["part"]:
            found.append((number / 100, "%"))
        elif match["ratio"]:
            found.append((number, "x"))
        elif match["kilo"]:
            found.append((number * PREFIXES[match["kilo"]], ""))
        else:
            found.append((number * PREFIXES[match["prefix"]], match["unit"]))
    return found


def head_lines(screen):
    """What each head line of a screen says, by its name: the lines below the title, up to the first empty one."""
    lines, name = {}, None
    for line in screen.splitlines()[1:]:
        if not line.strip():
            break
        if match := re.match(r"  (\w+) +(\S.*)", line):
            name = match[1]
            lines[name] = match[2].strip()
        elif name:
            lines[name] += " " + line.strip()
    return lines
