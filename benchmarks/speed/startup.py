"""How long a command takes before it does anything: `nsim --help`, and a second `nsim run mlp` of ten timesteps.

    python benchmarks/speed/startup.py

Expected: `nsim --help` under 0.5 s, the second `nsim run mlp` under 2 s of wall time in all. The first one compiles;
a cache of its own in a temporary folder shows how long that takes. Also printed: the slowest imports of both.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

import machine
from rich.console import Console
from rich.table import Table

HELP, RUN = ["--help"], ["run", "mlp", "--chip", "loihi2", "--timesteps", "10"]
HELP_S, RUN_S = 0.5, 2.0
console = Console(width=120)


def command(arguments: list[str], *python: str) -> list[str]:
    return [sys.executable, *python, "-c", "from nsim.cli.main import main; main()", *arguments]


def wall_s(arguments: list[str], environment: dict[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command(arguments), env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def slowest_imports(arguments: list[str], environment: dict[str, str], count: int) -> list[tuple[str, float, float]]:
    """Modules with the longest own time: name, own ms, ms with all that they import."""
    done = subprocess.run(
        command(arguments, "-X", "importtime"), env=environment, capture_output=True, text=True, check=True
    )
    rows = []
    for line in done.stderr.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and parts[0].strip().isdigit():
            rows.append((parts[2], int(parts[0]) / 1e3, int(parts[1]) / 1e3))
    own = sorted(rows, key=lambda row: -row[1])[:count]
    packages = [row for row in rows if "." not in row[0].strip() and not row[0].startswith("    " * 4)]
    whole = sorted(packages, key=lambda row: -row[2])[:count]
    return [(name.strip(), alone, total) for name, alone, total in {row[0]: row for row in (*whole, *own)}.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    console.print(machine.headline(machine.describe("numba", "numpy", "pandas")))
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        first = wall_s(RUN, environment)
        second = min(wall_s(RUN, environment) for _ in range(options.repeat))
        helped = min(wall_s(HELP, environment) for _ in range(options.repeat))
        table = Table("command", "wall s", "required", "holds")
        for text, seconds, limit in (("nsim --help", helped, HELP_S), ("nsim " + " ".join(RUN), second, RUN_S)):
            table.add_row(text, f"{seconds:.2f}", f"{limit:.1f}", "[green]yes" if seconds < limit else "[red]no")
        table.add_row("the same, first time", f"{first:.1f}", "-", "-")
        console.print(table)
        for arguments in (HELP, RUN):
            imports = Table("import", "own ms", "with all it imports", title="nsim " + " ".join(arguments))
            for name, alone, total in slowest_imports(arguments, environment, 8):
                imports.add_row(name, f"{alone:.0f}", f"{total:.0f}")
            console.print(imports)


if __name__ == "__main__":
    main()
