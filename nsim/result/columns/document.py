"""The document of results, RESULTS.md, made from the declarations: `python -m nsim.result.columns.document`."""

import sys
from collections.abc import Iterable

from nsim.chip.discipline import DISCIPLINES
from nsim.result.columns import COMMON, Column, Declared, all_declared

HEAD = """# Results

What `nsim run --out DIR` writes: `summary.json`, a CSV file for each table, `outputs.npy` of an evaluated network, and
`record.npz` of states that were asked for (`Result.record`).
`Result.summary()` and `Result.table(name)` give the same in Python, `nsim schema summary` the keys as a JSON schema.
Made by `python -m nsim.result.columns.document`; a test compares.

Names end in their unit: `_ps` picoseconds, `_fj` femtojoules, `_mw` milliwatts, `_mhz`, `_cycles`, `_per_s`. A share or
a ratio has unit 1; what has none is a count, a number or a text. Energies are sums of the terms with a known cost:
`actions_without_known_energy` lists what is in no sum. *null*: a value may be missing.
"""


def document() -> str:
    """The whole text, in Markdown."""
    parts = [HEAD, "## Keys of every summary.json", _table(COMMON)]
    for name, declared in all_declared().items():
        title = DISCIPLINES[name].chips
        parts += [f'## {title[0].upper()}{title[1:]} (`discipline = "{name}"`)', *_sections(declared)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _sections(declared: Declared) -> Iterable[str]:
    yield f"A span is a {declared.span}. Its own keys of `summary.json`:"
    yield _table(column for column in declared.summary if column not in COMMON)
    for name, columns in declared.tables.items():
        yield f"### {name}.csv" + (" (some runs)" if name in declared.optional else "")
        yield _table(columns)


def _table(columns: Iterable[Column]) -> str:
    rows = ["| name | unit | type | meaning |", "|---|---|---|---|"]
    for column in columns:
        kind = column.dtype + (", null" if column.null else "") + (", some runs" if column.absent else "")
        rows.append(f"| `{column.name}` | {column.unit} | {kind} | {column.meaning} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.stdout.write(document())
