"""The fast engine of timesteps without a barrier; tests compare every service with the SimPy engine's."""

from __future__ import annotations

import numpy as np

from nsim.errors import SimulationError, check_fits
from nsim.machine.compiled.local_hooks import Local, advance, follow
from nsim.machine.compiled.loop import NOW, Run
from nsim.machine.compiled.timesteps import fabric_of, load_of, longest_ps, longest_route
from nsim.machine.compiled.timesteps_hooks import sort_spikes
from nsim.machine.local import neighbours
from nsim.machine.services import SERVICE, Log
from nsim.machine.simpy import local as engine_simpy
from nsim.machine.stations import MeshMachine
from nsim.mapping.cores.mapping import Mapping
from nsim.network.activity import Activity

BYTES = 12  # for each timestep of each core, beside the network's activity


class Engine:
    """Simulates samples without a barrier, on one thread: timesteps overlap, so there is nothing to share out."""

    def __init__(self, mapping: Mapping, machine: MeshMachine) -> None:
        self.mapping, self.machine = mapping, machine
        self.fabric, self.load, self.flow = fabric_of(machine), load_of(mapping), neighbours(mapping)

    def run(self, activity: Activity) -> int:
        """How long all timesteps of a sample take, in ps; management, as the barrier, is not in it."""
        return int(self._done(activity, 0).numbers[NOW])

    def record(self, activity: Activity) -> tuple[int, Log]:
        """The same with every service, in order of completion; its origin is the number of its timestep."""
        copies = np.diff(self.load.indptr)[activity.neurons].sum()
        services = int(copies) * (longest_route(self.machine) + 2) + activity.neurons.size
        services += self.machine.cores * activity.timesteps
        check_fits(services * SERVICE.itemsize, "the services of a sample", "give fewer timesteps", SimulationError)
        run = self._done(activity, services)
        return int(run.numbers[NOW]), run.services

    def _done(self, activity: Activity, services: int) -> Run:
        """The run at its end; services: room in the log."""
        steps, context = activity.timesteps, self._context(activity)
        worst, limit = longest_ps(self.machine, self.load), 1 << (63 - self.fabric.bits)
        if worst * steps >= limit:
            raise SimulationError(
                f"{steps} timesteps of {self.mapping.network.name!r} may take {worst * steps} ps, but the clock of the "
                f"compiled engine ends at {limit}: give at most {limit // worst} timesteps, or use --engine simpy"
            )
        run = Run(advance, self.machine, context, services=services, most_new=self.machine.cores)
        used = self.flow.used
        context.stack[: used.size], context.waits[used] = used[::-1], True
        follow(context, *run.arrays[:4], used.size, 0)
        while run.advance():
            pass
        if context.missing.any() or (context.done[used] < steps).any():
            engine_simpy.Engine(self.mapping, self.machine).run(activity)  # which names the stations
            raise SimulationError(
                "the compiled engine stopped with timesteps left where the SimPy engine does not, a defect: use "
                "--engine simpy"
            )
        return run

    def _context(self, activity: Activity) -> Local:
        """Nothing begun yet."""
        steps, cores, flow = activity.timesteps, self.machine.cores, self.flow
        what = f"{steps:,} timesteps of {cores:,} cores without a barrier"
        check_fits(steps * (cores + 1) * BYTES, what, "give fewer timesteps", SimulationError)
        by_core = ("copy_at", "copy_end", "sweep_at", "begun", "done", "stack")
        context = Local(
            fabric=self.fabric,
            load=self.load,
            feeders_indptr=flow.feeders_indptr,
            feeders=flow.feeders,
            receivers_indptr=flow.receivers_indptr,
            receivers=flow.receivers,
            **{name: np.zeros(cores, np.int64) for name in by_core},
            starts=np.zeros((steps, cores + 1), np.int64),
            spikes=np.empty(activity.neurons.size, np.int32),
            missing=np.zeros((steps, cores), np.int32),
            waits=np.zeros(cores, np.bool_),
        )
        sort_spikes(context, activity.indptr, activity.neurons)
        return context
