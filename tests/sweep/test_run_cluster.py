"""One run over the workers of a Dask cluster: the same bytes as in this process, a killed worker included."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.errors import SimulationError, SweepError
from nsim.mapping.network import map_network
from nsim.network.builtin import build
from nsim.result.files import write_files
from nsim.result.run import simulate
from nsim.sweep import timesteps
from tests.generators.commands import refused
from tests.generators.machines import mapped_networks, shipped, small_chip


class Copied:
    """What was computed elsewhere: a copy, as it comes from another process."""

    def __init__(self, value) -> None:
        self.value = value

    def result(self):
        return pickle.loads(pickle.dumps(self.value))


class InThisProcess:
    """A cluster of two workers that are this process; nothing is kept but by pickling."""

    workers = 2

    def __init__(self, address, processes) -> None:
        self.client, self.address = self, address

    def start(self) -> None:
        pass

    close = start

    def submit(self, function, *arguments, key=None, pure=True):
        return Copied(function(*(each.result() if isinstance(each, Copied) else each for each in arguments)))


def bytes_of(result, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    write_files(result, folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=15)
@given(mapped_networks(), st.integers(1, 90), st.integers(1, 2), st.booleans())
def test_blocks_put_together_are_the_run(tmp_path_factory, mapping, steps, samples, critical_path):
    """Every file, whatever the blocks, with and without the critical path, in both engines."""
    options = {"activity": {layer.name: 0.2 for layer in mapping.network.layers}, "samples": samples, "seed": 2}
    options |= {"critical_path": critical_path, "timesteps": steps}
    folder = tmp_path_factory.mktemp("runs")
    for engine in ("compiled", "simpy") if steps < 5 else ("compiled",):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(timesteps, "Dask", InThisProcess)
            spread = simulate(mapping, engine=engine, cluster="local:2", **options)
        alone = simulate(mapping, engine=engine, **options)
        assert bytes_of(spread, folder / f"{engine}-2") == bytes_of(alone, folder / engine)


def test_networks_that_are_evaluated(tmp_path, monkeypatch):
    """Weights stay here; outputs are those of the evaluation."""
    monkeypatch.setattr(timesteps, "Dask", InThisProcess)
    mapping = map_network(build("mlp", width=24, depth=2, inputs=12), small_chip(2, 2, 2), "even:2")
    frames = np.random.default_rng(0).random((3, 70, 12, 1, 1)) < 0.3
    spread, alone = (simulate(mapping, frames, cluster=where) for where in ("local:2", None))
    assert spread.outputs.tolist() == alone.outputs.tolist()
    assert bytes_of(spread, tmp_path / "a") == bytes_of(alone, tmp_path / "b")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--cluster", "nowhere"), "no cluster 'nowhere': give the address of a Dask scheduler"),
        (("--cluster", "local:2", "--threads", "1"), "threads 1 is for runs in this process"),
        (("--cluster", "local:2", "--trace", "messages", "--out", "out"), "trace messages is for runs in this process"),
    ],
)
def test_what_does_not_go_together_is_one_line(tmp_path, options, problem):
    assert problem in refused("run", "mlp", "--chip", "loihi2", *options, cwd=tmp_path)


def test_without_dask_it_says_so(monkeypatch):
    monkeypatch.setattr("nsim.sweep.executors.find_spec", lambda name: None)
    mapping = map_network(build("mlp", width=8), shipped("loihi2"))
    with pytest.raises(SweepError, match="--cluster needs Dask"):
        simulate(mapping, activity=0.1, timesteps=2, cluster="local:2")


def pilotnet():
    return map_network(build("pilotnet"), shipped("loihi2"))


@pytest.mark.slow
def test_a_cluster_on_this_machine_gives_the_same_bytes(tmp_path):
    spread, alone = (simulate(pilotnet(), timesteps=100, critical_path=True, cluster=c) for c in ("local:2", None))
    assert bytes_of(spread, tmp_path / "a") == bytes_of(alone, tmp_path / "b")


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(tmp_path, cluster):
    """It is killed on the way and never comes back; the other one does its part."""
    address, _, workers = cluster
    seen = []

    def kill_one(done: int, total: int) -> None:
        seen.append(done)
        if done > total // 3 and workers[0].poll() is None:
            workers[0].kill()
            workers[0].wait()

    spread = simulate(pilotnet(), timesteps=400, seed=1, cluster=address, progress=kill_one)
    assert workers[0].poll() is not None and workers[1].poll() is None
    assert seen == sorted(seen) and seen[-1] == 400
    alone = simulate(pilotnet(), timesteps=400, seed=1)
    assert bytes_of(spread, tmp_path / "a") == bytes_of(alone, tmp_path / "b")


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_one_line(cluster):
    address, scheduler, _ = cluster

    def kill_it(done: int, total: int) -> None:
        scheduler.kill()
        scheduler.wait()

    with pytest.raises(SimulationError, match=f"the Dask scheduler at {address} went away"):
        simulate(pilotnet(), timesteps=400, cluster=address, progress=kill_it)
