"""The tables of the README that are measured: chips against silicon, and speed against SANA-FE.

    python -m benchmarks.readme           # validates all chips anew (1 minute), and rewrites both tables
    python -m benchmarks.readme --check   # exit code 1 if the README says something else

The speed comes from the last `python -m benchmarks.speed.against_sanafe`, which takes 10 minutes of a quiet machine and
keeps its figures in `speed/against_sanafe.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.validation import akd1000, loihi2, speck
from benchmarks.validation.comparison import INDEPENDENT, MICROBENCHMARKS, PARTLY, Row, shown
from nsim.chip_file import load_chip

ROOT = Path(__file__).parents[1]
SPEED = ROOT / "benchmarks" / "speed" / "against_sanafe.json"
# Per chip and part (its beginning), the times and energies that were published: what a user asks for
SHOWN = {
    "loihi2": {
        "PilotNet LIF": ("mean timestep", "total power", "energy per inference"),
        "Hala Point peak rates, per core": ("energy of a synop: 2,600 W / 380 T/s",),
    },
    "akd1000": {
        "AkidaNet-0.5-224, time": ("one image", "ten images, pipelined"),
        "Programming": ("FC 16 to 10, 1 bit: programming",),
    },
    "speck": {
        "Latency": ("one event through 1 layer", "one event through 9 layers"),
        "Power, from published spike counts": (
            "Gesture, vanilla",
            "Gesture, dynamic",
            "Gait-day, vanilla",
            "Gait-day, dynamic",
        ),
    },
}


def rows_of(chip: str) -> list[Row]:
    target = load_chip(chip)
    if chip == "loihi2":
        return list(loihi2.all_rows(64, False, None))
    rows = {"akd1000": akd1000.all_rows, "speck": speck.all_rows}[chip]
    return list(rows(target, False, "compiled"))  # type: ignore[arg-type]


def accuracy_table() -> str:
    """Whole runs, and how many of all comparisons agree, by how much of the answer the model was given."""
    lines = ["| chip | published | measured | simulated | error | constants |", "|---|---|---|---|---|---|"]
    tallies = []
    for chip, parts in SHOWN.items():
        title, rows = load_chip(chip).title, rows_of(chip)
        for part, anchors in parts.items():
            for anchor in anchors:
                (row,) = (row for row in rows if row.part.startswith(part) and row.anchor == anchor)
                assert row.error is not None
                cells = f"{part.split(',')[0]}: {row.anchor}", f"{shown(row.measured)} {row.unit}", shown(row.simulated)
                lines.append(f"| {title} | {' | '.join(cells)} {row.unit} | {row.error:+.0%} | {row.constants} |")
        judged = [row for row in rows if row.relation and not row.part.startswith(MICROBENCHMARKS)]
        counts = []
        for kind in (INDEPENDENT, PARTLY):
            own = [row for row in judged if row.constants == kind]
            counts.append(f"{sum(row.verdict == 'within' for row in own)} of {len(own)} {kind}")
        tallies.append(f"{title}: {' and '.join(counts)}")
    return "\n".join([*lines, "", f"Comparisons within what is expected: {'; '.join(tallies)}."])


def speed_table() -> str:
    found = json.loads(SPEED.read_text(encoding="utf-8"))
    lines = ["| network | one thread each | two threads each | loading | memory |", "|---|---|---|---|---|"]
    for name, result in found["results"].items():
        one, two = result["threads"]["1"]["ratios"], result["threads"]["2"]["ratios"]
        figures = one["speed"], two["speed"], one["load"], one["memory"]
        lines.append(f"| `{name}` | {' | '.join(f'{figure:.1f}' for figure in figures)} |")
    facts = found["machine"]
    about = (
        f"Times better than SANA-FE {facts['versions']['sanafe']} (`detailed`) with the same networks, mapping, costs, "
        f"spikes and synops, on {facts['processor']}, {facts['cores']} cores."
    )
    return "\n".join([*lines, "", about])


def replaced(text: str, name: str, table: str) -> str:
    """The page with what stands between the marks of this name exchanged."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, rest = text.split(begin)
    return before + begin + table + "\n" + end + rest.split(end)[1]


def main(
    check: Annotated[bool, typer.Option("--check", help="Only say whether the README is up to date.")] = False,
) -> None:
    """Rewrite the measured tables of the README."""
    page = ROOT / "README.md"
    now = page.read_text(encoding="utf-8")
    new = replaced(now, "accuracy", accuracy_table())
    if SPEED.exists():
        new = replaced(new, "speed", speed_table())
    if check:
        sys.exit("README.md is not up to date: python -m benchmarks.readme" if new != now else 0)
    page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
