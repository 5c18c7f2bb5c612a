"""The readable engine of timesteps without a barrier: the stations of timesteps; `nsim.machine.local` has the rules."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nsim.machine.local import neighbours
from nsim.machine.services import Log
from nsim.machine.simpy.simulation import Message, Process
from nsim.machine.simpy.timesteps import MeshSimulation, Step, Sweep
from nsim.machine.stations import MeshMachine, StepTimes, sweeps
from nsim.mapping.cores.mapping import Mapping
from nsim.network.activity import Activity


class LocalSweep(Sweep):
    """`neurons`: one sweep after another, each when the neighbours allow it."""

    run: LocalRun

    def work(self) -> Process:
        run = self.run
        for step in range(run.steps):
            yield run.begin[self.index][step]
            yield from self.sweep(run.plans[step], step)
            run.finished(self.index)


class LocalRun(MeshSimulation):
    """All timesteps of a sample.

    missing   by timestep and core, messages that the core's synapses have not served
    begun, done   by core, timesteps that it has begun and finished
    """

    kinds: ClassVar = {**Step.kinds, "neurons": LocalSweep}

    def __init__(self, mapping: Mapping, machine: MeshMachine, activity: Activity, record: bool = False) -> None:
        super().__init__(mapping, machine, record)
        self.steps, flow = activity.timesteps, neighbours(mapping)
        firing = [activity.firing(step) for step in range(self.steps)]
        self.plans = [sweeps(mapping, neurons) for neurons in firing]
        self.missing = [
            np.bincount(mapping.copies.core[self.rows(neurons)], minlength=machine.cores).tolist() for neurons in firing
        ]
        self.expected = sum(map(sum, self.missing))
        self.used = flow.used.tolist()
        self.feeders, self.receivers = (
            {core: cores[indptr[core] : indptr[core + 1]].tolist() for core in self.used}
            for indptr, cores in ((flow.feeders_indptr, flow.feeders), (flow.receivers_indptr, flow.receivers))
        )
        self.begun, self.done = [0] * machine.cores, [0] * machine.cores
        self.begin = {core: [self.env.event() for _ in range(self.steps)] for core in self.used}
        self.open(set(self.used) | self.numbers(np.unique(activity.neurons)))

    def arrived(self, copy: Message) -> None:
        super().arrived(copy)
        self.missing[copy.origin][copy.target] -= 1
        self._follow()

    def finished(self, core: int) -> None:
        """The sweep of a core's timestep is over."""
        self.done[core] += 1
        self._follow()

    def _follow(self) -> None:
        """Every timestep that can begin in this instant."""
        able = True
        while able:
            able = False
            for core in self.used:
                step = self.begun[core]
                if step < self.steps and self.done[core] == step and self._may_begin(core, step):
                    able = True
                    self.begun[core] += 1
                    self.begin[core][step].succeed()

    def _may_begin(self, core: int, step: int) -> bool:
        return step == 0 or (
            self.missing[step - 1][core] == 0
            and all(self.done[feeder] >= step for feeder in self.feeders[core])
            and all(self.begun[receiver] >= step for receiver in self.receivers[core])
        )

    def run(self) -> StepTimes:
        """Simulate it; the duration is that of all timesteps."""
        self._follow()
        self.env.run()
        if self.delivered != self.expected or any(self.done[core] < self.steps for core in self.used):
            raise self.deadlock(self.delivered, self.expected, "run without a barrier")
        return StepTimes(duration_ps=self.now, **self.measured())


class Engine:
    """Simulates samples without a barrier, on one thread."""

    def __init__(self, mapping: Mapping, machine: MeshMachine) -> None:
        self.mapping, self.machine = mapping, machine

    def run(self, activity: Activity) -> int:
        """How long all timesteps of a sample take, in ps; management, as the barrier, is not in it."""
        return LocalRun(self.mapping, self.machine, activity).run().duration_ps

    def record(self, activity: Activity) -> tuple[int, Log]:
        """The same with every service, in order of completion; its origin is the number of its timestep."""
        times = LocalRun(self.mapping, self.machine, activity, record=True).run()
        return times.duration_ps, times.services
