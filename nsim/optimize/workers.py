"""Evaluations in parallel processes. The results do not depend on how many there are."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")
_problem: Any | None = None  # of a worker process


class Workers:
    """Runs functions of (problem, item) on many items, in this process or in several others."""

    def __init__(self, problem: Any, processes: int = 1) -> None:
        self.problem, self.processes = problem, processes
        self.pool: ProcessPoolExecutor | None = None
        if processes > 1:
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(processes, context, _begin, (problem,))

    def map(self, function: Callable[[Any, Item], Found], items: Sequence[Item]) -> list[Found]:
        """Results in the order of the items."""
        if self.pool is None or len(items) < 2:
            return [function(self.problem, item) for item in items]
        chunk = -(-len(items) // (4 * self.processes))
        return list(self.pool.map(_run, [(function, item) for item in items], chunksize=chunk))

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def _begin(problem: Any) -> None:
    global _problem
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that shows what was found
    _problem = problem


def _run(task: tuple[Callable[[Any, Any], Any], Any]) -> Any:
    function, item = task
    assert _problem is not None
    return function(_problem, item)
