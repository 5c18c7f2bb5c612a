"""What documents say of measurements, written from them: chips against silicon, and speed against SANA-FE.

    python -m benchmarks.readme           # rewrites tables, picture, and outputs of the README's commands (1 minute)
    python -m benchmarks.readme --tables  # without the commands: no simulation
    python -m benchmarks.readme --check   # exit code 1 if a page says something else

The rows are those of `validation/frozen/`, which `python -m benchmarks.validation.CHIP --csv FILE` writes. The speed
comes from the last `python -m benchmarks.speed.against_sanafe`, which takes 10 minutes of a quiet machine and keeps its
figures in `speed/against_sanafe.json`.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from benchmarks.validation.comparison import CHIPS, FITTED, INDEPENDENT, INPUT, PARTLY, Row, frozen, shown
from nsim.chip.file import load_chip

ROOT = Path(__file__).parents[1]
SPEED = ROOT / "benchmarks" / "speed" / "against_sanafe.json"
BAND = 0.2
COMMANDS = (
    "nsim run pilotnet --chip loihi2",
    "nsim floorline mlp --chip loihi2",
    "nsim chips",
)
# Per chip and part (its beginning), the times and energies that were published: what a user asks for
SHOWN = {
    "loihi2": {
        "PilotNet LIF, the trained network": (
            "mean timestep",
            "dynamic energy per timestep",
            "total power",
            "energy per inference",
        ),
        "Smallest networks": ("timestep of two neurons",),
    },
    "akd1000": {
        "AkidaNet-0.5-224, time": ("one image", "ten images, pipelined"),
    },
    "akd1500": {
        **{f"plantvillage, {mode}": ("clocks",) for mode in ("minimal", "all-nps", "hw-pr")},
        "yolov2, minimal": ("clocks", "dynamic energy"),
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


def near(rows: list[Row]) -> str:
    """How many of them are within 20 %."""
    return f"{sum(abs(row.error or 0) <= BAND for row in rows)} of {len(rows)}" if rows else "-"


def chips_table() -> str:
    """By chip: how many measurements the simulator meets within 20 %, by how much of the answer it was given."""
    kinds = (INDEPENDENT, PARTLY, FITTED, INPUT)
    lines = [f"| chip | within 20 % | median error | {' | '.join(kinds)} | bounds kept |", f"|{'---|' * 8}"]
    for chip in CHIPS:
        rows = [row for row in frozen(chip) if row.comparable]
        by_kind = [near([row for row in rows if row.constants == kind]) for kind in kinds]
        typical = median(abs(row.error or 0) for row in rows)
        bounds = [row.verdict == "within" for row in frozen(chip) if row.relation in ("<=", ">=", "in")]
        kept = f"{sum(bounds)} of {len(bounds)}" if bounds else "-"
        lines.append(f"| {load_chip(chip).title} | {near(rows)} | {typical:.1%} | {' | '.join(by_kind)} | {kept} |")
    return "\n".join(lines)


def accuracy_table() -> str:
    """Whole runs."""
    lines = ["| chip | published | measured | simulated | error | constants |", "|---|---|---|---|---|---|"]
    for chip, parts in SHOWN.items():
        title, rows = load_chip(chip).title, frozen(chip)
        for part, anchors in parts.items():
            for anchor in anchors:
                row = next(row for row in rows if row.part.startswith(part) and row.anchor == anchor)
                name = f"{part.removesuffix(', time')}: {row.anchor}"
                values = f"{shown(row.measured)} {row.unit} | {shown(row.simulated)} {row.unit}"
                lines.append(f"| {title} | {name} | {values} | {row.error:+.0%} | {row.constants} |")
    return "\n".join(lines)


def all_rows() -> str:
    """Every row of every chip, why its simulated number is what it is, and what cannot be compared."""
    return "\n".join(line for chip in CHIPS for line in chip_rows(chip))


def chip_rows(chip: str) -> Iterator[str]:
    rows = frozen(chip)
    whys = {why: number for number, why in enumerate(dict.fromkeys(row.why for row in rows), 1)}
    yield f"## {load_chip(chip).title}\n"
    for part in dict.fromkeys(row.part for row in rows):
        yield f"### {part}\n"
        yield "| | measured | simulated | error | verdict | constants | source |"
        yield "|---|---|---|---|---|---|---|"
        for row in rows:
            if row.part == part:
                yield row_line(row, whys[row.why])
        yield ""
    yield "Constants:\n"
    yield from (f"{number}. {why}" for why, number in whys.items())
    yield "\nPublished, but not comparable:\n"
    module = importlib.import_module(f"benchmarks.validation.{chip}")
    yield "| | source | what is missing |"
    yield "|---|---|---|"
    yield from (f"| {' | '.join(entry)} |" for entry in module.NOT_COMPARABLE)
    yield ""


def row_line(row: Row, why: int) -> str:
    bound = {"<=": "at most ", ">=": "at least "}.get(row.relation, "")
    error = "" if row.error is None else f"{100 * row.error + 0.0:+.1f} %"
    values = f"{bound}{shown(row.measured)} {row.unit}".rstrip(), f"{shown(row.simulated)} {row.unit}".rstrip()
    return f"| {row.anchor} | {' | '.join(values)} | {error} | {row.verdict} | {row.constants} ({why}) | {row.source} |"


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


def outputs() -> str:
    """The README's commands and what each prints, at 100 columns."""
    session = "\n\n".join(f"$ {command}\n{output_of(command)}" for command in COMMANDS)
    return f"```\n{session}\n```"


def output_of(command: str) -> str:
    program = [sys.executable, "-c", "from nsim.cli.main import main; main()", *command.split()[1:]]
    environment = os.environ | {"COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    with TemporaryDirectory() as folder:
        done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())


# Page: what stands between its marks of these names
PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"commands": outputs},
    "docs/trust.md": {"chips": chips_table, "accuracy": accuracy_table},
    "docs/speed.md": {"speed": speed_table},
    "benchmarks/README.md": {"chips": chips_table},
    "benchmarks/validation/README.md": {"rows": all_rows},
}


def replaced(text: str, name: str, table: str) -> str:
    """The page with what stands between the marks of this name exchanged."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, rest = text.split(begin)
    return before + begin + table + "\n" + end + rest.split(end)[1]


def pages(commands: bool) -> Iterator[tuple[Path, str, str]]:
    """Every page with generated parts: its path, what it says now, and what it should say.

    commands   runs those of the README, too
    """
    for name, parts in PAGES.items():
        path = ROOT / name
        now = new = path.read_text(encoding="utf-8")
        for mark, table in parts.items():
            if commands or table is not outputs:
                new = replaced(new, mark, table())
        yield path, now, new


def main(
    check: Annotated[bool, typer.Option("--check", help="Only say whether the pages are up to date.")] = False,
    tables: Annotated[bool, typer.Option("--tables", help="Without the README's commands.")] = False,
) -> None:
    """Rewrite the measured tables of the documents."""
    if check:
        stale = [path.relative_to(ROOT).as_posix() for path, now, new in pages(not tables) if now != new]
        sys.exit(f"not up to date: {', '.join(stale)}: python -m benchmarks.readme" if stale else 0)
    from benchmarks.validation import picture

    for path, _, new in pages(not tables):
        path.write_text(new, encoding="utf-8")
    picture.main()


if __name__ == "__main__":
    typer.run(main)
