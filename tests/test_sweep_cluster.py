"""A sweep on a real Dask scheduler with two worker processes, one of which is killed on the way."""

import os
import signal

import pandas as pd
import pytest

from nsim.errors import SweepError
from nsim.sweep.executors import Dask
from nsim.sweep.run import compute, prepare, write_result
from nsim.sweep.spec import load_spec
from nsim.sweep.store import Store
from tests.test_sweep import written

POINTS = """
[[points]]
networks = ["mlp:width=64,depth=2,inputs=64"]
chips = ["loihi2"]
seeds = SEEDS
timesteps = 20
"""


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
            assert write_result(planned, store, tmp_path / "out.parquet") == 0
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
