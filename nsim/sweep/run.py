"""A sweep from file to result: check, time a few points, evaluate what is missing, write the table."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from nsim.errors import InterruptedRunError, counted
from nsim.sweep.check import check
from nsim.sweep.estimate import Layout, seconds_of, windows
from nsim.sweep.evaluate import Done, Task, code_version, key_of, kind_of, mapping_key
from nsim.sweep.executors import Executor
from nsim.sweep.points import Points
from nsim.sweep.spec import Range, Spec, problems
from nsim.sweep.store import Store, content_of, line_of
from nsim.sweep.table import row_of, schema_of, tables, write_table

CHUNK_S, MOST_IN_A_CHUNK = 0.5, 500  # work that is sent to a worker at once
CHUNKS = 16  # for each worker at least, so that all end at about the same time
Progress = Callable[[int, int], None]


@dataclass
class Sweep:
    """A checked sweep: its points, and their keys in the store."""

    points: Points
    keys: list[str]
    files: dict[str, str]
    parameters: dict[str, set[type]]  # chip parameters and the types of their values
    layout: Layout

    def missing(self, store: Store | None) -> list[int]:
        """Numbers of the points that are to be computed, each content once."""
        seen: set[str] = set()
        wanted = []
        for number, key in enumerate(self.keys):
            if key not in seen and (store is None or key not in store):
                seen.add(key)
                wanted.append(number)
        return wanted

    def tasks(self, numbers: list[int]) -> list[Task]:
        return [Task(self.keys[number], self.points[number]) for number in numbers]


@dataclass(frozen=True)
class Estimate:
    """What is left to do after some points were timed.

    seconds        until all is done and written
    seconds_each   of one point on one worker
    """

    seconds: float
    seconds_each: float


def prepare(spec: Spec, name: str) -> Sweep:
    """Check everything that can be checked without running.

    raises   SweepError with a line for everything that is wrong
    """
    points = Points(spec)
    wrong = check(spec, points)
    if wrong:
        raise problems(name, wrong)
    files: dict[str, str] = {}
    keys: list[str] = []
    kinds: dict[tuple, int] = {}
    layout = Layout(np.empty(len(points), np.int32), np.empty(len(points), np.int64))
    for number, point in enumerate(points):
        keys.append(key_of(point, files))
        layout.kind[number] = kinds.setdefault(kind_of(point), len(kinds))
        layout.mapping[number] = hash(mapping_key(point))
    parameters: dict[str, set[type]] = {}
    for block in spec.points:
        for key, values in block.chip_parameters.items():
            ends = (values.at(0), values.at(1)) if isinstance(values, Range) else values
            parameters.setdefault(key, set()).update(map(type, ends))
    return Sweep(points, keys, files, parameters, layout)


def survey(sweep: Sweep, missing: list[int], executor: Executor, store: Store | None) -> Estimate:
    """Evaluate some of the missing points, and say how long the others take.

    store    keeps what was evaluated; None: it is to be evaluated again
    raises   InterruptedRunError on Ctrl-C
    """
    number_of = {sweep.keys[number]: number for number in missing}
    timed: list[tuple[int, Done]] = []
    executor.start()
    chosen = map(sweep.tasks, windows(sweep.layout, missing, executor.workers, timed))
    with kept(sweep, store), closing(executor.run(chosen, code_version(), sweep.files, ahead=1)) as results:
        for finished in results:
            timed += [(number_of[done.key], done) for done in finished]
            if store is not None:
                store.add(finished)
    left = missing if store is None else sweep.missing(store)
    chunks = partial(chunks_of, len(left), executor.workers)
    seconds = seconds_of(sweep.layout, left, timed, executor.workers, chunks)
    each = seconds / len(left) if left else float(np.mean([done.seconds for _, done in timed]))
    return Estimate(seconds / executor.workers + len(sweep.keys) * seconds_beside(sweep, timed), each)


def seconds_beside(sweep: Sweep, timed: list[tuple[int, Done]]) -> float:
    """Seconds for what this process does for each point: send it, keep it, and write its row."""
    begin = time.perf_counter()
    sweep.tasks([number for number, _ in timed])
    kept = [content_of(line_of(done)) for _, done in timed]
    rows = (
        row_of(number, done.key, sweep.points[number], found["measures"], found["error"])
        for (number, done), found in zip(timed, filter(None, kept), strict=True)
    )
    written = sum(table.num_rows for table in tables(schema_of(sweep.parameters), rows))
    return (time.perf_counter() - begin) / written


def compute(
    sweep: Sweep,
    store: Store,
    executor: Executor,
    seconds_each: float,
    progress: Progress | None = None,
    found: Callable[[list[str]], None] | None = None,
) -> None:
    """Evaluate what the store does not have, and keep it there.

    found    called with the keys of points that are kept now
    """
    missing = sweep.missing(store)
    total, done = len(missing), 0
    executor.start()
    size = chunk_size(seconds_each, total, executor.workers)
    chunks = (sweep.tasks(missing[first : first + size]) for first in range(0, total, size))
    with closing(executor.run(chunks, code_version(), sweep.files)) as results:
        for finished in results:
            store.add(finished)
            done += len(finished)
            if found:
                found([each.key for each in finished])
            if progress:
                progress(done, total)


@contextmanager
def kept(sweep: Sweep, store: Store | None) -> Iterator[None]:
    """Turns Ctrl-C into an error that says what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        if store is None:
            raise
        done = len(sweep.keys) - len(sweep.missing(store))
        raise InterruptedRunError(
            f"interrupted with {done} of {counted(len(sweep.keys), 'point')} done, kept in {store.path}; the same "
            "command goes on from there"
        ) from None


def chunk_size(seconds_each: float, points: int, workers: int) -> int:
    """Points to send at once: enough work to make sending cheap, and some chunks for each worker."""
    by_time = round(CHUNK_S / max(seconds_each, 1e-6))
    return max(1, min(by_time, MOST_IN_A_CHUNK, -(-points // (CHUNKS * workers))))


def chunks_of(points: int, workers: int, seconds_each: float) -> int:
    return -(-points // chunk_size(seconds_each, points, workers))


def write_result(sweep: Sweep, store: Store, path: Path) -> Counter[str]:
    """Write the table; returns how many points failed, by their errors."""
    failed: Counter[str] = Counter()

    def rows() -> Iterator[dict]:
        for number, (key, point) in enumerate(zip(sweep.keys, sweep.points, strict=True)):
            found = store.get(key)
            if found["error"] is not None:
                failed[found["error"]] += 1
            yield row_of(number, key, point, found["measures"], found["error"])

    write_table(path, schema_of(sweep.parameters), rows())
    return failed
