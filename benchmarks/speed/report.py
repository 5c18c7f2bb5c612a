"""How large a report is, and how long it takes to open in a browser: 128 cores and 10,000 timesteps.

    python benchmarks/speed/report.py        # needs chromium and chromedriver, and pip install selenium

Expected: 100 kB to 1 MB, and under 2 s until the page with all its figures is drawn. Opening is from asking for the
file to the first frame after its `load` event, by the browser's own clock, in a new headless Chromium each time, which
has nothing of it in memory; the start of the browser is not part of it. The best and the median of several are printed.
Other work on the machine makes all of these longer: the processor seconds of the page's main thread and of its process
until then are printed, too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import machine
from rich.console import Console
from rich.table import Table

RUN = ["run", "mlp:width=128,depth=2,inputs=16", "--chip", "loihi2", "--partition", "even:64", "--activity", "0.02"]
CORES, TIMESTEPS = 128, 10_000
SIZE_BYTES, OPEN_S = (100_000, 1_000_000), 2.0
# Milliseconds from the start of the navigation to the first frame that is drawn after `load`
OPENED = """
const done = arguments[arguments.length - 1];
const look = () => document.readyState === 'complete' ? tell() : setTimeout(look, 5);
const tell = () => requestAnimationFrame(() => requestAnimationFrame(() => done([performance.now(),
    performance.getEntriesByType('navigation')[0].loadEventEnd, document.querySelectorAll('.figure svg').length])));
look();
"""
console = Console(width=120)


@dataclass(frozen=True)
class Opening:
    """Seconds until a page is drawn, until its load event is over, and of the processor until then."""

    drawn_s: float
    loaded_s: float
    main_thread_s: float
    process_s: float


def nsim(*arguments: str) -> tuple[float, float]:
    """Wall and processor seconds of a command."""
    begin, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", "from nsim.cli.main import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if "--report" in arguments and arguments[0] == "run":
        assert f"{CORES} of {CORES} cores" in done.stdout, done.stdout
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begin, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def opened(page: Path) -> Opening:
    """Open the page in a new browser.

    raises   RuntimeError if the page has no figures
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or "chromium"
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.set_window_size(1100, 2400)
        driver.execute_cdp_cmd("Performance.enable", {})
        driver.get(page.as_uri())
        drawn_ms, loaded_ms, figures = driver.execute_async_script(OPENED)
        metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    finally:
        driver.quit()
    if figures < 6:
        raise RuntimeError(f"{page} shows {figures} drawings")
    used = {each["name"]: float(each["value"]) for each in metrics}
    return Opening(drawn_ms / 1e3, loaded_ms / 1e3, used["ThreadTime"], used["ProcessTime"])


def measure(repeat: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        page, run = Path(folder) / "page.html", Path(folder) / "run"
        run_s = nsim(*RUN, "--timesteps", str(TIMESTEPS), "--out", str(run), "--report", str(page))
        report_s = nsim("report", str(run), "--out", str(Path(folder) / "again.html"))
        openings = [opened(page) for _ in range(repeat)]
        size = page.stat().st_size
    return {
        "cores": CORES,
        "timesteps": TIMESTEPS,
        "bytes": size,
        "run_and_report_s": run_s,
        "report_s": report_s,
        "openings": [asdict(each) for each in openings],
        "load_while_opening": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    facts = machine.describe("selenium")
    console.print(machine.headline(facts))
    found = measure(options.repeat)
    times = {name: [each[name] for each in found["openings"]] for name in found["openings"][0]}
    table = Table("what", "measured", "required", "holds")
    in_size = SIZE_BYTES[0] <= found["bytes"] <= SIZE_BYTES[1]
    table.add_row("size", f"{found['bytes'] / 1e6:.2f} MB", "0.1 to 1 MB", "[green]yes" if in_size else "[red]no")
    for name, value in (("best", min(times["drawn_s"])), ("median", statistics.median(times["drawn_s"]))):
        holds = "[green]yes" if value < OPEN_S else "[red]no"
        table.add_row(f"opening, {name} of {options.repeat}", f"{value:.2f} s", f"{OPEN_S:.0f} s", holds)
    table.add_row("load event, best", f"{min(times['loaded_s']):.2f} s", "-", "-")
    table.add_row("processor, main thread, best", f"{min(times['main_thread_s']):.2f} s", "-", "-")
    table.add_row("processor, whole page, best", f"{min(times['process_s']):.2f} s", "-", "-")
    for name, key in (("nsim run ... --report", "run_and_report_s"), ("nsim report RUN_DIR", "report_s")):
        wall, processor = found[key]
        table.add_row(name, f"{wall:.1f} s, {processor:.1f} s of the processor", "-", "-")
    console.print(table)
    console.print(f"load average while it was opened: {found['load_while_opening']:.1f}")
    if options.json:
        options.json.write_text(json.dumps(facts | found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
