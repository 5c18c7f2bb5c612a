"""A sweep on a real Dask scheduler with two worker processes, one of which is killed on the way."""

import json
import os
import signal
import socket
import time

import numpy as np
import pandas as pd
import pytest
from distributed import Client

from nsim.chip.file import load_chip
from nsim.errors import SweepError
from nsim.sweep.executors import Dask
from nsim.sweep.run import compute, prepare, write_result
from nsim.sweep.spec import load_spec
from nsim.sweep.store import Store
from tests.generators.commands import nsim, without_notes
from tests.generators.sweeps import POINTS, lines_in, locally, sweeping, wait_for, written


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_doubles_nothing(tmp_path):
    file = written(tmp_path, POINTS.replace("SEEDS", str(list(range(400)))))
    planned = prepare(load_spec(file), str(file))
    where = Dask(None, 2)
    where.start()
    killed = []

    def kill_one(done: int, total: int) -> None:
        if done >= total // 2 and not killed:
            killed.append(next(iter(where.client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    try:
        assert where.workers == 2
        with Store(tmp_path / "store") as store:
            compute(planned, store, where, 0.02, kill_one)
            assert not write_result(planned, store, tmp_path / "out.parquet")
    finally:
        where.close()
    lines = (tmp_path / "store").read_bytes().splitlines()[1:]
    assert killed and len(lines) == len(set(lines)) == 400
    assert pd.read_parquet(tmp_path / "out.parquet")["seed"].tolist() == list(range(400))


@pytest.mark.slow
def test_without_a_scheduler_it_says_so(monkeypatch):
    monkeypatch.setattr("nsim.sweep.executors.TIMEOUT_S", 1)
    with pytest.raises(SweepError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        Dask("tcp://127.0.0.1:9", 0).start()


@pytest.mark.slow
def test_a_worker_of_somebody_elses_cluster_is_killed_halfway(tmp_path, cluster):
    address, _, workers = cluster
    points, store = 1_000, tmp_path / "out.parquet.store"
    running = sweeping(tmp_path, points, "--cluster", address)
    wait_for(lambda: lines_in(store) > points // 2, running)
    workers[0].kill()
    done_by_then = lines_in(store)
    out, error = running.communicate(timeout=120)
    assert running.returncode == 0, error
    assert f"on 2 workers of {address}" in out and "1,000 points done, 0 failed" in out
    assert points // 2 < done_by_then < points and not without_notes(error)
    keys = [json.loads(line[9:])["key"] for line in store.read_bytes().splitlines()[1:]]
    assert len(keys) == len(set(keys)) == points
    assert pd.read_parquet(tmp_path / "out.parquet")["seed"].tolist() == list(range(points))
    assert (tmp_path / "out.parquet").read_bytes() == locally(tmp_path, points)
    assert workers[1].poll() is None  # it is not ours to stop


@pytest.mark.slow
def test_workers_in_another_folder_get_the_files(tmp_path, cluster):
    """A chip file and an input by relative paths, which workers that were started elsewhere cannot see."""
    address, _, _ = cluster
    (tmp_path / "mine.toml").write_bytes(load_chip("loihi2").path.read_bytes())
    np.save(tmp_path / "frames.npy", np.ones((3, 8), np.float32))
    text = """
    [[points]]
    networks = ["mlp:width=8,depth=2,inputs=8"]
    chips = ["./mine.toml"]
    inputs = ["frames.npy"]
    partitions = ["even:1", "even:2"]
    """
    written(tmp_path, text)
    done = nsim("sweep", "spec.toml", "--out", "out.parquet", "--cluster", address, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 points done, 0 failed" in done.stdout


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_one_line_and_finished_points_are_kept(tmp_path, cluster):
    address, scheduler, _ = cluster
    points, store = 1_000, tmp_path / "out.parquet.store"
    running = sweeping(tmp_path, points, "--cluster", address)
    wait_for(lambda: lines_in(store) > points // 4, running)
    scheduler.kill()
    out, error = running.communicate(timeout=120)
    assert running.returncode == 2, out + error
    assert f"the Dask scheduler at {address} went away" in error and without_notes(error).count("\n") == 1
    kept = lines_in(store) - 1
    assert points // 4 <= kept < points and not (tmp_path / "out.parquet").exists()
    done = nsim("sweep", tmp_path / "spec.toml", "--out", tmp_path / "out.parquet", "--workers", 1)
    assert f"{kept} finished before" in done.stdout
    assert (tmp_path / "out.parquet").read_bytes() == locally(tmp_path, points)


@pytest.mark.slow
def test_a_cluster_without_workers_and_a_wrong_address_are_one_line(tmp_path, cluster):
    address, _, workers = cluster
    for worker in workers:
        worker.kill()
        worker.wait()
    with Client(address) as client:
        while client.scheduler_info(n_workers=-1)["workers"]:
            time.sleep(0.1)
    with socket.socket() as nobody:  # a port that is taken, and never answers
        nobody.bind(("127.0.0.1", 0))
        silent = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        for where, words in (
            (address, "has no workers: start some"),
            (silent, f"no Dask scheduler answers at {silent}"),
        ):
            running = sweeping(tmp_path, 10, "--cluster", where)
            _, error = running.communicate(timeout=120)
            assert running.returncode == 2 and words in error and error.count("\n") == 1, error
