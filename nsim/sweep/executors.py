"""Where points are evaluated: in this process, in others on this machine (joblib), or on a Dask cluster."""

from __future__ import annotations

import itertools
import re
import signal
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from typing import Any, Protocol

from nsim.errors import SweepError
from nsim.simulation import available_threads
from nsim.sweep.evaluate import Done, Task, evaluate_chunk

Chunk = list[Task]
Results = Generator[list[Done], None, None]
TIMEOUT_S = 15  # to find a scheduler
WAITING_CHUNKS = 4  # for each worker of a cluster, so that none waits for the next one


class Executor(Protocol):
    """Evaluates chunks of points in any order."""

    workers: int

    def run(self, chunks: Iterator[Chunk], code: str, files: dict[str, str]) -> Results: ...

    def close(self) -> None: ...


class Here:
    """One point after another in this process."""

    workers = 1

    def run(self, chunks: Iterator[Chunk], code: str, files: dict[str, str]) -> Results:
        for chunk in chunks:
            for task in chunk:  # one by one, so that none is lost when the user stops it
                yield evaluate_chunk([task], code, files)

    def close(self) -> None:
        pass


class Joblib:
    """Worker processes of this machine."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, chunks: Iterator[Chunk], code: str, files: dict[str, str]) -> Results:
        from joblib import Parallel, delayed  # type: ignore[import-untyped]
        from joblib.externals.loky.process_executor import TerminatedWorkerError  # type: ignore[import-untyped]

        parallel = Parallel(n_jobs=self.workers, batch_size=1, return_as="generator_unordered", max_nbytes=None)
        try:
            yield from parallel(delayed(_undisturbed)(chunk, code, files) for chunk in chunks)
        except TerminatedWorkerError:
            raise SweepError(
                "a worker process was killed, perhaps because memory ran out: finished points are kept; run the same "
                "command again, with fewer --workers"
            ) from None

    def close(self) -> None:
        from joblib.externals.loky import get_reusable_executor  # type: ignore[import-untyped]

        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _undisturbed(chunk: Chunk, code: str, files: dict[str, str]) -> list[Done]:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that keeps the results
    return evaluate_chunk(chunk, code, files)


class Dask:
    """A Dask cluster, or one of some processes on this machine.

    Chunks of a worker that is lost are evaluated by another one. Every chunk's result is taken once.
    """

    def __init__(self, address: str | None, processes: int) -> None:
        from distributed import Client, LocalCluster

        self.cluster = None
        if address is None:
            self.cluster = LocalCluster(
                n_workers=processes, threads_per_worker=1, processes=True, dashboard_address=None
            )
        try:
            self.client = Client(self.cluster or address, timeout=TIMEOUT_S)
        except (OSError, TimeoutError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise SweepError(
                f"no Dask scheduler answers at {address} ({reason}): start one with dask scheduler, and workers with "
                f"dask worker {address}"
            ) from None
        self.workers = len(self.client.scheduler_info(n_workers=-1)["workers"])
        if not self.workers:
            self.close()
            raise SweepError(f"the cluster at {address} has no workers: start some with dask worker {address}")

    def run(self, chunks: Iterator[Chunk], code: str, files: dict[str, str]) -> Results:
        from distributed import KilledWorker, as_completed

        def submit(chunk: Chunk) -> Any:
            return self.client.submit(evaluate_chunk, chunk, code, files, pure=False)

        first = list(itertools.islice(chunks, WAITING_CHUNKS * self.workers))
        completed = as_completed([submit(chunk) for chunk in first])
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

    def close(self) -> None:
        """Let go of what was not done; the workers of somebody's cluster stay."""
        self.client.close(timeout=5)
        if self.cluster is not None:
            self.cluster.close(timeout=10)


def parse_cluster(text: str) -> tuple[str | None, int]:
    """Address of a scheduler, or None and a number of processes on this machine.

    raises   SweepError
    """
    local = re.fullmatch(r"local:(\d{1,4})", text)
    if local and int(local[1]):
        return None, int(local[1])
    if re.fullmatch(r"(tcp|tls|ucx)://[^\s/]+:\d{1,5}", text):
        return text, 0
    raise SweepError(f"no cluster {text!r}: give the address of a Dask scheduler, as tcp://host:8786, or local:4")


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
            raise SweepError("--cluster needs Dask: pip install 'nsim[cluster]'")
    if workers is not None and not 1 <= workers <= available:
        raise SweepError(f"workers is {workers}: this process may use 1 to {available}")
    processes = workers or available
    if cluster is None and processes > 1 and find_spec("joblib") is None:
        raise SweepError(f"{processes} processes need joblib: pip install 'nsim[sweep]', or give --workers 1")
    return processes


def executor(workers: int, cluster: str | None) -> Executor:
    if cluster is not None:
        return Dask(*parse_cluster(cluster))
    return Here() if workers == 1 else Joblib(workers)
