"""Points per second of a sweep on one and two workers, what each point costs beside its simulation, and what it leaves.

    python benchmarks/speed/sweep.py [--repeat 3] [--quick] [--against OTHER_CHECKOUT]

Expected: 1,000 points of a small network in under a minute on two processors, whatever evaluates them; the printed
estimate within a third of what it then takes. Commands are whole commands, from the start of Python to the end. On a
machine with other work, wall times are longer than on an idle one: processor seconds (user and system, of all processes
of the command) say what was done, and the best of several runs counts. `--against` runs each command in turns with the
code of another checkout, and prints the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import machine
import psutil
from rich.console import Console
from rich.table import Table

from nsim import load_chip, load_network, map_network, simulate
from nsim.sweep.evaluate import Done, Task, code_version, evaluate
from nsim.sweep.executors import Dask, Executor, Here, Processes
from nsim.sweep.points import Point
from nsim.sweep.run import Sweep, compute, prepare, survey, write_result
from nsim.sweep.schedules import densities
from nsim.sweep.spec import load_spec
from nsim.sweep.store import Store

ROOT = Path(__file__).parents[2]
SWEEPS = ROOT / "benchmarks" / "sweeps"
LIMIT_S = 60
WHERE = {"1 worker": ("--workers", "1"), "2 workers": ("--workers", "2"), "local:2": ("--cluster", "local:2")}
POINTS = """
[[points]]
networks = ["mlp:width=64,depth=2,inputs=64"]
chips = ["loihi2"]
weight_sparsity = [0.0, 0.5]
partitions = ["default", "even:4"]
activation_sparsity = [0.6, 0.7, 0.8, 0.9, 0.95]
schedules = ["even", "random"]
seeds = SEEDS
timesteps = 10
"""
PILOTNET = '[[points]]\nnetworks = ["pilotnet"]\nchips = ["loihi2"]\nseeds = [0, 1, 2, 3, 4]\ntimesteps = 16\n'
console = Console(width=120)


@dataclass(frozen=True)
class Command:
    """A whole command: its times, and the estimate that it printed against what then passed."""

    wall_s: float
    processor_s: float
    estimated_s: float | None
    left_s: float | None


def spec_of(folder: Path, seeds: int, first: int = 0) -> Path:
    """A sweep of 40 points for each seed."""
    file = folder / f"{seeds}_{first}.toml"
    file.write_text(POINTS.replace("SEEDS", str(list(range(first, first + seeds)))), encoding="utf-8")
    return file


def command(spec: Path, out: Path, where: tuple[str, ...], code: Path = ROOT) -> Command:
    """Run `nsim sweep` with this code."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    arguments = [sys.executable, "-c", "from nsim.cli.main import main; main()", "sweep", str(spec), "--out", str(out)]
    running = subprocess.Popen(
        [*arguments, *where], stdout=subprocess.PIPE, text=True, cwd=code, env=os.environ | {"PYTHONPATH": str(code)}
    )
    assert running.stdout is not None
    estimated, told = None, begin
    for line in running.stdout:
        if found := re.search(r"about ([\d.]+) (s|minutes) ", line):
            estimated, told = float(found[1]) * (60 if found[2] == "minutes" else 1), time.perf_counter()
    if running.wait():
        raise RuntimeError(f"{arguments} ended with {running.returncode}")
    end = time.perf_counter()
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return Command(end - begin, processor_s, estimated, None if estimated is None else end - told)


def commands(folder: Path, seeds: int, repeat: int, codes: dict[str, Path]) -> dict[str, dict[str, list[Command]]]:
    """By place and code, all runs in turns."""
    spec = spec_of(folder, seeds)
    found: dict[str, dict[str, list[Command]]] = {name: {code: [] for code in codes} for name in WHERE}
    for turn in range(repeat):
        for name, where in WHERE.items():
            for code, path in codes.items():
                out = folder / f"{name}_{code}_{turn}.parquet"
                found[name][code].append(command(spec, out, where, path))
                console.print(f"[dim]{name}, {code}: {found[name][code][-1].wall_s:.1f} s")
    return found


def planned(spec: Path) -> Sweep:
    return prepare(load_spec(spec), str(spec))


def warm(folder: Path, seeds: int, repeat: int) -> dict[str, Any]:
    """Points per second of workers that have started and loaded everything, and what a worker holds in memory."""
    rates: dict[str, Any] = {}
    makers: dict[str, Any] = {"1 worker": Here, "2 workers": lambda: Processes(2), "local:2": lambda: Dask(None, 2)}
    for name, make in makers.items():
        with closing(make()) as where:
            times = [warm_s(folder, seeds, turn, where, name) for turn in range(repeat)]
            rates[name] = max(times)
            rates.setdefault("memory_mb", memory_of(where)) if isinstance(where, Processes) else None
    return rates


def warm_s(folder: Path, seeds: int, turn: int, where: Executor, name: str) -> float:
    """Points per second of those that were left after the survey."""
    sweep = planned(spec_of(folder, seeds, 1_000 * (turn + 1)))
    with Store(folder / f"{name}_{turn}.store") as store:
        estimate = survey(sweep, sweep.missing(store), where, store)
        left = len(sweep.missing(store))
        begin = time.perf_counter()
        compute(sweep, store, where, estimate.seconds_each)
        return left / (time.perf_counter() - begin)


def memory_of(where: Processes) -> dict[str, float]:
    """Of the largest worker, and of this process."""
    workers = [psutil.Process(process.pid).memory_full_info() for process in where.pool._processes.values()]
    return {
        "worker_rss": max(each.rss for each in workers) / 1e6,
        "worker_own": max(each.uss for each in workers) / 1e6,
    }


def per_point(folder: Path, seeds: int, repeat: int) -> dict[str, float]:
    """Processor milliseconds of a point in this process: bare, as a sweep evaluates it, and with all of the sweep."""
    sweep = planned(spec_of(folder, seeds))
    numbers = list(range(len(sweep.points)))
    bare(sweep.points[0])
    found: dict[str, list[float]] = {"bare": [], "evaluated": [], "sweep": []}
    for turn in range(repeat):
        with Store(folder / f"per_point_{turn}.store") as store, closing(Here()) as where:
            for name, work in (
                ("bare", lambda: [bare(sweep.points[number]) for number in numbers]),
                ("evaluated", lambda: [evaluate(task) for task in sweep.tasks(numbers)]),
                ("sweep", lambda store=store, where=where: compute(sweep, store, where, 0.002)),
            ):
                begin = time.process_time()
                work()
                found[name].append((time.process_time() - begin) / len(numbers) * 1e3)
    return {name: min(times) for name, times in found.items()}


def estimated_by_processor(spec: Path, store: Path) -> dict[str, float]:
    """The estimate for one worker against what it then takes, both by this process's clock: no other work is in it."""
    wall = time.perf_counter
    time.perf_counter = time.process_time
    try:
        sweep = planned(spec)
        with Store(store) as kept, closing(Here()) as where:
            estimate = survey(sweep, sweep.missing(kept), where, kept)
            begin = time.process_time()
            compute(sweep, kept, where, estimate.seconds_each)
            write_result(sweep, kept, store.with_suffix(".parquet"))
            left_s = time.process_time() - begin
    finally:
        time.perf_counter = wall
    return {"estimated_s": estimate.seconds, "left_s": left_s, "ratio": estimate.seconds / left_s}


def bare(point: Point) -> dict[str, Any]:
    """The point without the sweep: network and chip, mapping, activity, simulation, summary."""
    network = load_network(point.network, density=1 - point.weight_sparsity)
    mapping = map_network(network, load_chip(point.chip), point.option("partition"))
    activity = densities(network, point.schedule, 1 - point.activation_sparsity, point.seed)
    return simulate(
        mapping, activity=activity, timesteps=point.option("timesteps"), seed=point.seed, threads=1
    ).summary()


def resumed(folder: Path, points: int) -> dict[str, float]:
    """The driver alone: a sweep whose points are all in the store, with the measures of one of them."""
    spec = spec_of(folder, points // 40, 10_000)
    sweep = planned(spec)
    one = evaluate(sweep.tasks([0])[0])
    out = folder / "resumed.parquet"
    with Store(folder / "resumed.parquet.store") as store:
        for first in range(0, points, 1_000):
            store.add([Done(key, one.measures, None, False, one.seconds) for key in sweep.keys[first : first + 1_000]])
    script = (
        "import atexit, resource, sys; from nsim.cli.main import main; sys.argv = sys.argv[1:]; "
        "atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)); main()"
    )
    arguments = [sys.executable, "-c", script, "nsim", "sweep", str(spec), "--out", str(out), "--workers", "1"]
    begin, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        arguments, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "points": len(sweep.keys),
        "wall_s": time.perf_counter() - begin,
        "processor_s": now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime,
        "peak_mb": int(done.stdout.split()[-1]) / 1e3,
        "store_bytes_per_point": (folder / "resumed.parquet.store").stat().st_size / len(sweep.keys),
    }


def scheduler_rate(tasks: int = 2_000) -> float:
    """Chunks without points that Dask's scheduler hands out and takes back in a second."""
    code = code_version()
    with closing(Dask(None, 2)) as where:
        for count in (20, tasks):
            begin = time.perf_counter()
            assert sum(1 for _ in where.run(iter([[]] * count), code, {})) == count
        return tasks / (time.perf_counter() - begin)


def pilotnet(folder: Path) -> dict[str, float]:
    """Processor seconds of PilotNet's first point, which maps, and of the next ones, which share the mapping."""
    file = folder / "pilotnet.toml"
    file.write_text(PILOTNET, encoding="utf-8")
    tasks = planned(file).tasks(list(range(5)))
    used: list[float] = []
    for task in tasks:
        begin = time.process_time()
        assert evaluate(Task(task.key, task.point)).error is None
        used.append(time.process_time() - begin)
    return {"first_s": used[0], "next_s": min(used[1:]), "rss_mb": psutil.Process().memory_info().rss / 1e6}


def left_behind(folder: Path, seeds: int) -> dict[str, float]:
    """Bytes of a row of the table and of a line of the store, and how long all of it takes again."""
    spec, out = spec_of(folder, seeds), folder / "left.parquet"
    command(spec, out, WHERE["1 worker"])
    again = command(spec, out, WHERE["2 workers"])
    return {
        "parquet_bytes_per_row": out.stat().st_size / (40 * seeds),
        "store_bytes_per_point": (folder / "left.parquet.store").stat().st_size / (40 * seeds),
        "resume_wall_s": again.wall_s,
        "resume_processor_s": again.processor_s,
    }


def show_commands(found: dict[str, dict[str, list[Command]]], points: int) -> None:
    table = Table(title=f"{points:,} points of a small network, whole commands, best of each")
    for heading in (
        "",
        "code",
        "wall s",
        "points/s",
        f"under {LIMIT_S} s",
        "processor s",
        "estimate / real, all runs",
    ):
        table.add_column(heading)
    for name, by_code in found.items():
        for code, runs in by_code.items():
            wall = min(run.wall_s for run in runs)
            ratios = [f"{run.estimated_s / run.left_s:.2f}" for run in runs if run.estimated_s and run.left_s]
            holds = "[green]yes" if wall < LIMIT_S else "[red]no"
            used = f"{min(run.processor_s for run in runs):.1f}"
            table.add_row(name, code, f"{wall:.1f}", f"{points / wall:.0f}", holds, used, " ".join(ratios))
        if len(by_code) == 2:
            here, other = by_code.values()
            for what in ("wall_s", "processor_s"):
                gain = min(getattr(run, what) for run in other) / min(getattr(run, what) for run in here)
                console.print(f"{name}: the other code takes {gain:.2f} times the {what}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the points")
    parser.add_argument("--against", type=Path, help="another checkout of this repository, to run in turns")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    facts = machine.describe("numba", "joblib", "distributed", "pyarrow")
    console.print(machine.headline(facts))
    codes = {"this": ROOT} | ({"other": options.against} if options.against else {})
    seeds = 3 if options.quick else 25
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = commands(folder, seeds, options.repeat, codes)
        show_commands(runs, 40 * seeds)
        others: dict[str, Any] = {"warm_points_per_s": warm(folder, seeds, options.repeat)}
        others["processor_ms_per_point"] = per_point(folder, min(seeds, 10), options.repeat)
        others["estimate_by_processor"] = {
            file.stem: estimated_by_processor(file, folder / f"{file.stem}.store")
            for file in (spec_of(folder, seeds), SWEEPS / "mlp_on_loihi2.toml", SWEEPS / "disciplines.toml")
        }
        others["left_behind"] = left_behind(folder, seeds)
        others["resumed"] = resumed(folder, 4_000 if options.quick else 100_000)
        others["dask_chunks_per_s"] = scheduler_rate(200 if options.quick else 2_000)
        others["pilotnet"] = pilotnet(folder)
    console.print_json(data=others)
    console.print(f"load average after it: {os.getloadavg()[0]:.1f}")
    if options.json:
        every = {name: {code: [asdict(run) for run in runs[name][code]] for code in codes} for name in runs}
        options.json.write_text(json.dumps(facts | {"commands": every} | others, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
