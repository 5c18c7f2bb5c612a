"""One run over many machines: blocks of timesteps on the workers of a Dask cluster, put together in their order.

What a network sends is found in this process, as ever. With a barrier no timestep depends on when another one ended:
workers simulate them in any order, and their times add up to the same whole numbers. The mapping goes to the cluster
once, as a task: a worker that is lost takes nothing along that others could not do again.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import uuid4

import numpy as np

from nsim.errors import SimulationError
from nsim.machine.stations import ChunkTimes, MeshMachine, build_machine
from nsim.mapping.cores.mapping import Mapping
from nsim.network.activity import Activity
from nsim.sweep.executors import Dask, check_workers, parse_cluster

AHEAD = 4  # blocks for each worker in a chunk of timesteps: those that are done early take more
_ready: dict[str, Any] = {}  # in a worker: the engine of the last run, by its number


class Engine:
    """Simulates activity on a cluster; what it gives is what the engine of this name gives here.

    cluster   address of a scheduler, "local:4" or "slurm:4"
    raises    SweepError if there is none
    """

    def __init__(
        self, mapping: Mapping, machine: MeshMachine, name: str, critical_path: bool = False, cluster: str = "local:2"
    ) -> None:
        check_workers(None, cluster)
        self.where, self.number, self.options = Dask(*parse_cluster(cluster)), uuid4().hex, (name, critical_path)
        self.where.start()
        packed = pickle.dumps(_what_engines_need(mapping))
        self.mapping = self.where.client.submit(pickle.loads, packed, key=f"mapping-{self.number}")

    def run(self, activity: Activity) -> Iterator[ChunkTimes]:
        """Times of consecutive timesteps, block by block; workers start at once."""
        task = self.mapping, self.number, *self.options
        submit = self.where.client.submit
        return self._results([submit(simulate_block, *task, block, pure=False) for block in self._blocks(activity)])

    def close(self) -> None:
        """Let go of what was not done."""
        self.where.close()

    def _blocks(self, activity: Activity) -> list[Activity]:
        """Timesteps with about as many spikes in each block."""
        most = min(activity.timesteps, AHEAD * self.where.workers)
        ends = np.searchsorted(activity.indptr, np.linspace(0, activity.indptr[-1], most + 1)[1:-1])
        edges = np.unique(np.concatenate(([0], ends, [activity.timesteps]))).tolist()
        return [activity.part(begin, end) for begin, end in pairwise(edges)]

    def _results(self, futures: list[Any]) -> Iterator[ChunkTimes]:
        from distributed import KilledWorker

        try:
            for future in futures:
                yield future.result()
        except KilledWorker as error:
            raise SimulationError(
                f"workers died again and again at the same timesteps ({' '.join(str(error).split())[:200]}): give them "
                "more memory, or leave out the cluster"
            ) from None
        except (asyncio.CancelledError, CancelledError, OSError):
            raise SimulationError(
                f"the Dask scheduler at {self.where.address or 'this machine'} went away: start it and its workers "
                "again, and run the same command"
            ) from None


def simulate_block(mapping: Mapping, number: str, name: str, critical_path: bool, activity: Activity) -> ChunkTimes:
    """In a worker: simulate consecutive timesteps; number: of the run, whose engine is kept."""
    from nsim.result.run_timesteps import ENGINES

    engine = _ready.get(number)
    if engine is None:
        engine = ENGINES[name].Engine(mapping, build_machine(mapping.chip), 1, critical_path)
        _ready.clear()
        _ready[number] = engine
    return ChunkTimes.joined(list(engine.run(activity)))


def _what_engines_need(mapping: Mapping) -> Mapping:
    """The mapping without weights, stimulus, and what copies cause beside their time."""
    none = np.zeros(0, np.int64)
    network = replace(mapping.network, connections=(), stimulus=None, activity=None)
    return replace(mapping, network=network, demands=(), copies=replace(mapping.copies, synops=none, words=none))
