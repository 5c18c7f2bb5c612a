"""A sweep from file to result: check, time a few points, evaluate what is missing, write the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nsim.errors import InterruptedRunError
from nsim.sweep.check import check
from nsim.sweep.evaluate import Done, Task, code_version, evaluate, key_of
from nsim.sweep.executors import Executor
from nsim.sweep.points import Points
from nsim.sweep.spec import Range, Spec, problems
from nsim.sweep.store import Store
from nsim.sweep.table import row_of, schema_of, write_table

TIMED_POINTS, TIMED_S = 5, 20.0  # the estimate: so many points, and none begun after so long
CHUNK_S, MOST_IN_A_CHUNK = 0.5, 500  # work that is sent to a worker at once
Progress = Callable[[int, int], None]


@dataclass
class Sweep:
    """A checked sweep: its points, and their keys in the store."""

    points: Points
    keys: list[str]
    files: dict[str, str]
    parameters: dict[str, set[type]]  # chip parameters and the types of their values
    estimated: list[Done] = field(default_factory=list)

    def missing(self, store: Store | None) -> list[int]:
        """Numbers of the points that are to be computed, each content once."""
        seen: set[str] = set()
        wanted = []
        for number, key in enumerate(self.keys):
            if key not in seen and (store is None or key not in store):
                seen.add(key)
                wanted.append(number)
        return wanted

    def task(self, number: int) -> Task:
        return Task(self.keys[number], self.points[number])

    def time_some(self, missing: list[int]) -> float:
        """Seconds for each of these points, from some of them, which are evaluated; the first one only warms up."""
        begin, seconds = time.perf_counter(), []
        chosen = np.unique(np.linspace(0, len(missing) - 1, min(TIMED_POINTS, len(missing))).round().astype(int))
        for place in chosen.tolist():
            done = evaluate(self.task(missing[place]))
            self.estimated.append(done)
            seconds.append(done.seconds)
            if time.perf_counter() - begin > TIMED_S:
                break
        return float(np.mean(seconds[1:] or seconds))


def prepare(spec: Spec, name: str) -> Sweep:
    """Check everything that can be checked without running.

    raises   SweepError with a line for everything that is wrong
    """
    points = Points(spec)
    wrong = check(spec, points)
    if wrong:
        raise problems(name, wrong)
    files: dict[str, str] = {}
    keys = [key_of(point, files) for point in points]
    parameters: dict[str, set[type]] = {}
    for block in spec.points:
        for key, values in block.chip_parameters.items():
            ends = (values.at(0), values.at(1)) if isinstance(values, Range) else values
            parameters.setdefault(key, set()).update(map(type, ends))
    return Sweep(points, keys, files, parameters)


def compute(
    sweep: Sweep, store: Store, executor: Executor, seconds_each: float, progress: Progress | None = None
) -> None:
    """Evaluate what the store does not have, and keep it there.

    raises   InterruptedRunError on Ctrl-C; what was finished until then is kept
    """
    store.add(sweep.estimated)
    missing = sweep.missing(store)
    total, done = len(missing), 0
    size = chunk_size(seconds_each, total, executor.workers)
    chunks = cut(sweep, missing, size)
    try:
        with closing(executor.run(chunks, code_version(), sweep.files)) as results:
            for finished in results:
                store.add(finished)
                done += len(finished)
                if progress:
                    progress(done, total)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted with {len(sweep.keys) - len(sweep.missing(store))} of {len(sweep.keys)} points done: they "
            f"are kept in {store.path}; the same command goes on from there"
        ) from None


def cut(sweep: Sweep, numbers: list[int], size: int) -> Iterator[list[Task]]:
    """Tasks in parts of this size, made as they are asked for."""
    for first in range(0, len(numbers), size):
        yield [sweep.task(number) for number in numbers[first : first + size]]


def chunk_size(seconds_each: float, points: int, workers: int) -> int:
    """Points to send at once: enough work to make sending cheap, and at least four chunks for each worker."""
    by_time = round(CHUNK_S / max(seconds_each, 1e-6))
    return max(1, min(by_time, MOST_IN_A_CHUNK, -(-points // (4 * workers))))


def write_result(sweep: Sweep, store: Store, path: Path) -> int:
    """Write the table; returns how many points failed."""
    failed = 0

    def rows() -> Iterator[dict]:
        nonlocal failed
        for number, (key, point) in enumerate(zip(sweep.keys, sweep.points, strict=True)):
            found = store.get(key)
            failed += found["error"] is not None
            yield row_of(number, key, point, found["measures"], found["error"])

    write_table(path, schema_of(sweep.parameters), rows())
    return failed
