"""From a clone to the first report, as somebody new to it would go: how long each step takes.

    python benchmarks/speed/first_report.py [--index-cache]

Expected: under three minutes on two processors. Every step is a command, which is printed, run in an empty folder
with a new virtual environment and nothing compiled. The clone is of this repository on the disk, so its download is not
in it; packages are downloaded anew. Wall seconds, and processor seconds beside them, as other work on the machine makes
the former longer.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
STEPS = (
    "git clone --quiet {root} nsim",
    "{python} -m venv nsim/.venv",
    "nsim/.venv/bin/pip install --quiet {cache} ./nsim[report,hdf5]",
    "nsim/.venv/bin/nsim run pilotnet --chip loihi2 --timesteps 100 --report first.html",
)
LIMIT_S = 180
console = Console(width=120)


def timed(command: str, folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Wall and processor seconds."""
    begin, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command.split(), cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begin, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index-cache", action="store_true", help="let pip use what it downloaded before")
    options = parser.parse_args()
    console.print(machine.headline(machine.describe()))
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    total_s = total_processor_s = 0.0
    table = Table("command", "wall s", "processor s")
    with tempfile.TemporaryDirectory() as name:
        for step in STEPS:
            cache = "" if options.index_cache else "--no-cache-dir"
            wall_s, processor_s = timed(
                step.format(root=ROOT, python=sys.executable, cache=cache), Path(name), environment
            )
            total_s, total_processor_s = total_s + wall_s, total_processor_s + processor_s
            shown = step.format(root="URL", python="python3", cache=cache)
            table.add_row(shown, f"{wall_s:.1f}", f"{processor_s:.1f}")
        size = (Path(name) / "first.html").stat().st_size
    holds = "[green]yes" if total_s < LIMIT_S else "[red]no"
    table.add_row(f"together; under {LIMIT_S} s: {holds}", f"{total_s:.1f}", f"{total_processor_s:.1f}")
    console.print(table)
    console.print(f"first.html has {size / 1e6:.1f} MB; load average after it: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
