"""Processor time of `simulate`, end to end on one thread, and which part of it is the event loop.

    python benchmarks/speed/around.py --against OTHER_CHECKOUT [--quick] [--only NAME,...] [--json FILE]

Expected against commit 28e7bb6: small MLP, N-DNS and S5 three times as fast, PilotNet and the four networks of
`nets.py` 1.3 times; 2,500 points of a sweep over a small network in a second of one processor. Two processes, one with
the code of this checkout and one with that of the other, take turns, run by run; each has run everything once before.
Both get the same load: the costs of the other checkout's chip file, and partitions and densities as stated here. Times
are of the processor, so that other work on the machine disturbs them less, and the best of several runs counts. Parts:
  activity   which neurons send: drawn or evaluated
  counts     what that causes
  times      when it happens: the engine
  tables     of the machine and the mapping, made once in a run
and the rest makes the result.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BUILT_IN = {
    "mlp:width=64,depth=2,inputs=64": 4_000,
    "mlp": 2_000,
    "ndns-sdnn": 1_000,
    "s5": 500,
    "pilotnet": 100,
    "pilotnet:neuron=lif": 50,
}
# default partition and activity of PilotNet at commit 28e7bb6, which are others now; the rest have the default ones
CORES = {"conv0": 25, "conv1": 13, "conv2": 3, "conv3": 3, "conv4": 2, "fc0": 12, "fc1": 1, "fc2": 1, "fc3": 1}
PARTITION = {"pilotnet": CORES, "pilotnet:neuron=lif": {"input": 13} | CORES}
SILENT = dict.fromkeys(("input", "conv4", "fc0", "fc1", "fc2", "fc3"), 0.0)
ACTIVITY = {"pilotnet:neuron=lif": {"conv0": 0.283, "conv1": 0.173, "conv2": 0.075, "conv3": 0.045} | SILENT}
ACTIVE = ("all_to_all_10", "all_to_all_50", "random", "dvs")
POINTS = "sweep points"
PARTS = ("activity", "counts", "times", "tables")
# where the parts are: in this code, and in that before the modules were moved
MODULES = {
    "run": ("nsim.result.run_timesteps", "nsim.simulation"),
    "counts": ("nsim.result.counts", "nsim.counts"),
    "engine": ("nsim.machine.compiled.timesteps", "nsim.engine_compiled"),
}

# --- one process, with one code -----------------------------------------------------------------------------


class Clock:
    """Processor time by part; what runs inside a part counts for the inner one."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(PARTS, 0.0)
        self.running: list[str] = []
        self.since = 0.0

    def switch(self, part: str | None) -> None:
        """Enter a part, or leave the last one."""
        now = time.process_time()
        if self.running:
            self.spent[self.running[-1]] += now - self.since
        self.since = now
        if part is None:
            self.running.pop()
        else:
            self.running.append(part)

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            self.switch(part)
            try:
                return function(*args, **options)
            finally:
                self.switch(None)

        return run

    def timed_chunks(self, part: str, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def run(*args: Any, **options: Any) -> Iterator[Any]:
            chunks = function(*args, **options)
            following = self.timed(part, lambda: next(chunks, None))
            while (chunk := following()) is not None:
                yield chunk

        return run


def found(names: tuple[str, ...]) -> Any:
    """The first of these modules that this code has."""
    for name in names:
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    raise SystemExit(f"this code has none of {', '.join(names)}")


def watched() -> Clock:
    """A clock that all parts of `simulate` are put under."""
    clock, modules = Clock(), {what: found(names) for what, names in MODULES.items()}
    for name in ("prescribe", "evaluate"):
        setattr(modules["run"], name, clock.timed_chunks("activity", getattr(modules["run"], name)))
    counter, engine = modules["counts"].Counter, modules["engine"].Engine
    counter.count = clock.timed("counts", counter.count)
    engine._run_block = clock.timed("times", engine._run_block)
    for made in (counter, engine):
        made.__init__ = clock.timed("tables", made.__init__)
    return clock


def runner(name: str, quick: bool, chip: Path, folder: Path) -> Callable[[], tuple[int, Any]]:
    """What runs a case once, and says over how many timesteps or points."""
    if name == POINTS:
        return points_runner(25 if not quick else 3, folder)
    from nsim import load_chip, load_network, map_network, simulate

    if name in BUILT_IN:
        steps = BUILT_IN[name] // (5 if quick else 1)
        partition, frames = PARTITION.get(name, "default"), None
        mapping = map_network(load_network(name), load_chip(str(chip)), partition=partition)
    else:
        nets = import_module("nets")
        net = nets.build(name, quick)
        mapping, frames, steps = nets.to_nsim(net, nets.write_chip(folder)), net.frames, net.timesteps

    def run() -> tuple[int, Any]:
        result = simulate(mapping, frames, activity=ACTIVITY.get(name), timesteps=steps, threads=1)
        return steps, (result.energy, int(result.counts.core_messages_in.sum()))

    return run


def points_runner(seeds: int, folder: Path) -> Callable[[], tuple[int, Any]]:
    """Points as one worker of a sweep evaluates them; other ones in every run, of the same network."""
    sweep, evaluate = import_module("sweep"), import_module("nsim.sweep.evaluate").evaluate
    turn = iter(range(1_000_000))

    def run() -> tuple[int, Any]:
        tasks = tasks_of(next(turn))
        begin = time.process_time()
        done = [evaluate(task) for task in tasks]
        return len(done), time.process_time() - begin

    def tasks_of(number: int) -> Any:
        planned = sweep.planned(sweep.spec_of(folder, seeds, 1_000 * number))
        return planned.tasks(list(range(len(planned.points))))

    return run


def work(options: argparse.Namespace) -> None:
    """Answer each name on standard input with a line: processor seconds, their parts, timesteps, messages."""
    sys.path.insert(0, str(options.code / "benchmarks" / "speed"))
    runs: dict[str, Callable[[], tuple[int, Any]]] = {}
    clock = watched()
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            name = line.strip()
            if name not in runs:
                runs[name] = runner(name, options.quick, options.chip, Path(folder))
                runs[name]()
            clock.spent = dict.fromkeys(PARTS, 0.0)
            begin = time.process_time()
            count, told = runs[name]()
            taken_s = told if name == POINTS else time.process_time() - begin
            answer = {"seconds": taken_s, "parts": clock.spent, "count": count}
            print(json.dumps(answer | ({} if name == POINTS else {"messages": told[1]})), flush=True)


# --- two of them in turns -----------------------------------------------------------------------------------


def started(code: Path, chip: Path, quick: bool) -> subprocess.Popen[str]:
    arguments = [sys.executable, __file__, "--work", "--code", str(code), "--chip", str(chip), *["--quick"] * quick]
    environment = os.environ | {"PYTHONPATH": str(code)}
    return subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=code, env=environment
    )


def asked(worker: subprocess.Popen[str], name: str) -> dict[str, Any]:
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(name + "\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def measured(codes: dict[str, Path], names: list[str], repeat: int, quick: bool) -> dict[str, dict[str, Any]]:
    """The best run of every case by code."""
    chip = next(iter(codes.values())) / "chips" / "loihi2.toml"
    workers = {code: started(path, chip, quick) for code, path in codes.items()}
    best: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name in names:
        for _ in range(repeat):
            for code, worker in workers.items():
                run = asked(worker, name)
                if code not in best[name] or run["seconds"] < best[name][code]["seconds"]:
                    best[name][code] = run
        if len({run.get("messages") for run in best[name].values()}) > 1:
            raise SystemExit(f"{name} sends other numbers of messages in the two codes: they cannot be compared")
    for worker in workers.values():
        worker.communicate()
    return best


def shown(best: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="processor time of simulate, one thread; parts in % of it")
    for heading in ("", "code", "us a timestep", "times", *PARTS, "rest"):
        table.add_column(heading, justify="left" if heading in ("", "code") else "right")
    for name, by_code in best.items():
        each = {code: run["seconds"] / run["count"] for code, run in by_code.items()}
        for code, run in by_code.items():
            shares = [run["parts"][part] / run["seconds"] for part in PARTS]
            cells = [f"{100 * share:.0f}" for share in (*shares, 1 - sum(shares))]
            if name == POINTS:
                cells = [f"{1 / each[code]:,.0f} points/s", *[""] * len(PARTS)]
            gain = f"{each['other'] / each[code]:.2f}" if "other" in each else ""
            table.add_row(name, code, f"{1e6 * each[code]:,.1f}", gain, *cells)
    Console(width=130).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout of this repository, to run in turns")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--only", help="names of cases with commas between them")
    parser.add_argument("--quick", action="store_true", help="a fifth of the timesteps")
    parser.add_argument("--json", type=Path, help="where to save the figures")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--code", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--chip", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options)
        return
    import machine

    facts = machine.describe("numba", "numpy")
    print(machine.headline(facts))
    names = [*BUILT_IN, *ACTIVE, POINTS]
    if options.only:
        names = [name for name in names if any(name.startswith(wanted) for wanted in options.only.split(","))]
    codes = {"other": options.against.resolve()} if options.against else {}
    best = measured(codes | {"this": ROOT}, names, options.repeat, options.quick)
    shown(best)
    print(f"load average after it: {os.getloadavg()[0]:.1f}")
    if options.json:
        options.json.write_text(json.dumps(facts | {"best": best}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
