"""Workers as jobs of SLURM, by dask-jobqueue, whose scheduler is this process.

Partition, account, time and memory of the jobs are those of dask-jobqueue's own file, ~/.config/dask/jobqueue.yaml;
what it leaves open is as below: a job is one process of one thread.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any

from nsim.errors import SweepError

USUAL = {"cores": 1, "processes": 1, "memory": "4GB"}


def slurm_cluster(workers: int, exports: Mapping[str, str], **options: Any) -> Any:
    """A cluster that has asked SLURM for so many workers, which come as the queue lets them.

    exports   variables of the workers' environment
    options   of SLURMCluster
    raises    SweepError if SLURM would not take the jobs
    """
    if which("sbatch") is None:
        raise SweepError(
            f"no command sbatch here, which slurm:{workers} submits its workers with: run this where jobs are "
            "submitted, or give the address of a Dask scheduler, as tcp://host:8786"
        )
    from dask.config import get  # start-up

    made = _dask_jobqueue().SLURMCluster
    usual: dict[str, Any] = {
        name: value for name, value in USUAL.items() if get(f"jobqueue.slurm.{name}", None) is None
    }
    prologue = [*(get("jobqueue.slurm.job-script-prologue", None) or ()), *_exported(exports)]
    cluster = made(**usual, job_script_prologue=prologue, **options)
    try:
        _check_taken(cluster.job_script(), workers)
    except SweepError:
        cluster.close(timeout=10)
        raise
    cluster.scale(workers)
    return cluster


def _dask_jobqueue() -> Any:
    """The package, whose import sets what Ctrl-C does to the end of the process: here it keeps what is done."""
    before = signal.getsignal(signal.SIGINT)
    try:
        return import_module("dask_jobqueue")
    finally:
        signal.signal(signal.SIGINT, before)


def _exported(exports: Mapping[str, str]) -> list[str]:
    return [f"export {name}={value}" for name, value in exports.items()]


def _check_taken(script: str, workers: int) -> None:
    """Ask SLURM whether it would take such a job: dask-jobqueue only logs it when it does not."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "worker.sh")
        path.write_text(script, encoding="utf-8")
        done = subprocess.run(["sbatch", "--test-only", path], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"sbatch ended with {done.returncode}"
        raise SweepError(
            f"SLURM does not take the jobs of slurm:{workers} ({reason[:200]}): say what it wants in "
            "~/.config/dask/jobqueue.yaml, see jobqueue.dask.org"
        )
