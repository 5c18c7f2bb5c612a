"""Where points are evaluated: in this process, in others on this machine (joblib), or on a Dask cluster.

Little is imported here at first, so that worker processes can start, and load what they need, while this one does.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nsim.errors import SweepError, available_threads, counted

if TYPE_CHECKING:
    from nsim.sweep.evaluate import Done, Task

    Chunk = list[Task]
    Results = Generator[list[Done], None, None]

SLURM = "slurm"  # in place of an address
TIMEOUT_S = 15  # to find a scheduler
SCATTERED_BYTES = 1_000_000  # files of more are sent to workers once, others with every chunk
KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL  # either ends a process at once there
AHEAD = 4  # chunks for each worker, so that none waits for the next one
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


class Executor(Protocol):
    """Evaluates chunks of points in any order; at most `ahead` of them for each worker are asked for in advance."""

    workers: int

    def start(self) -> None: ...

    def run(self, chunks: Iterator[Chunk], code: str, files: dict[str, str], ahead: int = AHEAD) -> Results: ...

    def close(self) -> None: ...


class Here:
    """One point after another in this process."""

    workers = 1

    def start(self) -> None:
        pass

    def run(self, chunks: Iterator[Chunk], code: str, files: dict[str, str], ahead: int = AHEAD) -> Results:
        from nsim.sweep.evaluate import evaluate_chunk

        for chunk in chunks:
            for task in chunk:  # one by one, so that none is lost when the user stops it
                yield evaluate_chunk([task], code, files)

    def close(self) -> None:
        pass


class Processes:
    """Worker processes of this machine: joblib's, which notice when one is killed."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.pool: Any = None

    def start(self) -> None:
        """Start the workers, which load what they need, and return at once."""
        if self.pool is not None:
            return
        from multiprocessing import resource_tracker

        from joblib.externals.loky import ProcessPoolExecutor  # type: ignore[import-untyped]
        from joblib.externals.loky.backend import resource_tracker as own  # type: ignore[import-untyped]

        for tracker in (resource_tracker, own):
            tracker.ensure_running()  # or they start, and let Ctrl-C through, while the workers do
        with without_interrupts():
            self.pool = ProcessPoolExecutor(self.workers, timeout=None, env=ONE_THREAD)
            for _ in range(self.workers):
                self.pool.submit(load)

    def run(self, chunks: Iterator[Chunk], code: str, files: dict[str, str], ahead: int = AHEAD) -> Results:
        from joblib.externals.loky import BrokenProcessPool

        from nsim.sweep.evaluate import evaluate_chunk

        def submit(chunk: Chunk) -> Future[list[Done]]:
            return self.pool.submit(evaluate_chunk, chunk, code, files)

        self.start()
        try:
            pending = set(map(submit, itertools.islice(chunks, ahead * self.workers)))
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                pending |= set(map(submit, itertools.islice(chunks, len(done))))
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            raise SweepError(
                "a worker process was killed, perhaps because memory ran out: finished points are kept; run the same "
                "command again, with fewer --workers"
            ) from None

    def close(self) -> None:
        """Kill the workers, whatever they do."""
        if self.pool is not None:
            for process in list(self.pool._processes.values()):  # kill_workers=True stumbles over work not yet sent
                with suppress(ProcessLookupError):
                    os.kill(process.pid, KILL)
            self.pool.shutdown(wait=True)


def load() -> None:
    """Load what evaluates points, in a worker."""
    import nsim.sweep.evaluate  # noqa: F401


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Ctrl-C waits until this is over. Threads and processes that start meanwhile never get it: it is for this one.

    raises   KeyboardInterrupt at the end, if it came
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))  # other threads let it through
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if came:
        raise KeyboardInterrupt


_tell: ContextVar[Callable[[str], None]] = ContextVar("tell", default=lambda line: None)


@contextmanager
def telling(tell: Callable[[str], None]) -> Iterator[None]:
    """Clusters that start meanwhile are told of, in a line: their workers, and where to watch them."""
    token = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(token)


class Dask:
    """A Dask cluster, or one of some processes on this machine, or of jobs of SLURM.

    Chunks of a worker that is lost are evaluated by another one. Every chunk's result is taken once.

    address     of a scheduler, or SLURM; None: on this machine
    processes   of a cluster that is started for this
    """

    workers = 0  # until it is started

    def __init__(self, address: str | None, processes: int) -> None:
        self.address, self.processes = address, processes
        self.cluster: Any = None
        self.client: Any = None

    def start(self) -> None:
        """Start a cluster, or find the one that there is, and count its workers.

        raises   SweepError if there is none
        """
        if self.client is not None:
            return
        from multiprocessing import resource_tracker

        from distributed import Client, LocalCluster

        from nsim.sweep.slurm import slurm_cluster

        silence("distributed", "asyncio", "tornado")  # what is wrong is said here, in one line
        resource_tracker.ensure_running()  # or it starts, and lets Ctrl-C through, while the workers do
        try:
            with without_interrupts():
                if self.address is None:
                    quiet: dict[str, Any] = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
                    self.cluster = LocalCluster(n_workers=self.processes, threads_per_worker=1, processes=True, **quiet)
                elif self.address == SLURM:
                    own = {"scheduler_options": {"dashboard_address": ":0"}, "silence_logs": logging.CRITICAL}
                    self.cluster = slurm_cluster(self.processes, ONE_THREAD, **own)
                self.client = Client(self.cluster or self.address, timeout=TIMEOUT_S)
        except (OSError, TimeoutError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise SweepError(
                f"no Dask scheduler answers at {self.address} ({reason}): start one with dask scheduler, and workers "
                f"with dask worker {self.address}"
            ) from None
        if self.address == SLURM:
            _tell.get()(f"waiting for the first of {counted(self.processes, 'worker')} from SLURM's queue")
            self.client.wait_for_workers(1)
        self.workers = len(self.client.scheduler_info(n_workers=-1)["workers"])
        if not self.workers:
            raise SweepError(
                f"the cluster at {self.address} has no workers: start some with dask worker {self.address}"
            )
        self.workers = max(self.workers, self.processes)  # others of SLURM may still be in the queue
        dashboard = self.client.dashboard_link
        where = f"Dask dashboard: {dashboard}" if dashboard else f"{self.address or 'Dask'}, without a dashboard"
        _tell.get()(f"{counted(self.workers, 'worker')} · {where}")

    def run(self, chunks: Iterator[Chunk], code: str, files: dict[str, str], ahead: int = AHEAD) -> Results:
        from distributed import KilledWorker, as_completed

        from nsim.sweep.evaluate import evaluate_chunk

        self.start()
        elsewhere = bool(files) and self.address is not None  # its workers may have none of these files
        contents = None
        if elsewhere:  # in a list: values of a dictionary get its keys, and the next call's would replace these
            (contents,) = self.client.scatter([{path: Path(path).read_bytes() for path in files}], hash=False)

        def submit(chunk: Chunk) -> Any:
            return self.client.submit(evaluate_chunk, chunk, code, files, contents, pure=False)

        completed = as_completed([submit(chunk) for chunk in itertools.islice(chunks, ahead * self.workers)])
        try:
            for future in completed:
                yield future.result()
                for chunk in itertools.islice(chunks, 1):
                    completed.add(submit(chunk))
        except KilledWorker as error:
            raise SweepError(
                f"workers died again and again at the same points ({' '.join(str(error).split())[:200]}): finished "
                "points are kept; give the workers more memory and run the same command again"
            ) from None
        except (asyncio.CancelledError, CancelledError, OSError):  # what is lost with a scheduler is cancelled
            raise SweepError(
                f"the Dask scheduler at {self.address or self.cluster.scheduler_address} went away: finished points "
                "are kept; start it and its workers again, and run the same command"
            ) from None

    def close(self) -> None:
        """Let go of what was not done; the workers of somebody's cluster stay."""
        with suppress(TimeoutError, OSError):  # there may be nobody left
            if self.client is not None:
                self.client.close(timeout=5)
            if self.cluster is not None:
                self.cluster.close(timeout=10)


def silence(*packages: str) -> None:
    """Only what is critical is logged by these packages from now on."""
    for name in (*packages, *logging.root.manager.loggerDict):
        if name.partition(".")[0] in packages:
            logging.getLogger(name).setLevel(logging.CRITICAL)


def parse_cluster(text: str) -> tuple[str | None, int]:
    """Address of a scheduler and 0; or None, or SLURM, and a number of processes on this machine, or jobs.

    raises   SweepError
    """
    own = re.fullmatch(r"(local|slurm):(\d{1,4})", text)
    if own and int(own[2]):
        return {"local": None, "slurm": SLURM}[own[1]], int(own[2])
    if re.fullmatch(r"(tcp|tls|ucx)://[^\s/]+:\d{1,5}", text):
        return text, 0
    raise SweepError(
        f"no cluster {text!r}: give the address of a Dask scheduler, as tcp://host:8786, local:4 or slurm:4"
    )


def check_workers(workers: int | None, cluster: str | None) -> int:
    """Refuse what cannot be, before anything is loaded; returns the number of processes on this machine.

    raises   SweepError for numbers that make no sense, and for a package that is not installed
    """
    available = available_threads()
    if cluster is not None:
        parse_cluster(cluster)
        if workers is not None:
            raise SweepError(f"--workers {workers} and --cluster {cluster} exclude each other: give one of them")
        if find_spec("distributed") is None:
            raise SweepError("--cluster needs Dask: pip install 'nsim-neuromorphic[cluster]'")
        if cluster.startswith("slurm:") and find_spec("dask_jobqueue") is None:
            raise SweepError("--cluster slurm:N needs dask-jobqueue: pip install 'nsim-neuromorphic[slurm]'")
    if workers is not None and not 1 <= workers <= available:
        raise SweepError(f"workers is {workers}: this process may use 1 to {available}")
    processes = workers or available
    if cluster is None and processes > 1 and find_spec("joblib") is None:
        raise SweepError(
            f"{counted(processes, 'process')} need joblib: pip install 'nsim-neuromorphic[sweep]', or give --workers 1"
        )
    return processes


def executor(workers: int, cluster: str | None) -> Executor:
    if cluster is not None:
        return Dask(*parse_cluster(cluster))
    return Here() if workers == 1 else Processes(workers)
