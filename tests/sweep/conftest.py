"""A Dask cluster of processes of its own, as a fixture."""

import os
import socket
import subprocess
import sys

import pytest


def started(*arguments) -> subprocess.Popen:
    """A Dask process of its own session, which sees no Ctrl-C of ours, and has this code."""
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", *arguments]
    if arguments[0].startswith("tcp"):
        command = [sys.executable, "-m", "distributed.cli.dask_worker", *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env=environment, start_new_session=True, **quiet)


@pytest.fixture
def cluster(tmp_path):
    """Address, scheduler and two workers without anything that would start them again."""
    from distributed import Client

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = f"tcp://127.0.0.1:{port}"
    scheduler = started("--host", "127.0.0.1", "--port", port, "--no-dashboard")
    alone = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path / "dask"))
    workers = [started(address, *alone) for _ in range(2)]
    try:
        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, scheduler, workers
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()
