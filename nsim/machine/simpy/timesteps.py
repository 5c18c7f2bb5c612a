"""The readable engine of timesteps: the stations of a chip with a mesh, each the way of one kind.

All sweeps start at 0; the timestep lasts until the last service has ended, then the barrier takes its time. A sweep
hands a spike to `send` at the end of that neuron's update and firing: one slot per spike, not per copy. `send` serves
its copies one after another, in order of destination core, and takes the next spike when the last copy has its slot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nsim.machine.path import path_of
from nsim.machine.services import Log
from nsim.machine.simpy.simulation import Message, Process, Simulation, Station
from nsim.machine.stations import ChunkTimes, MeshMachine, StepTimes, Sweeps, sweeps
from nsim.mapping.cores.mapping import Mapping
from nsim.network.activity import Activity


@dataclass(eq=False)
class Copy(Message):
    """A copy of a spike on its way to a core; service_ps: at the synapses. passed: stations of the route asked for."""

    route: tuple[int, ...] = ()
    passed: int = 0


class Sweep(Station):
    """`neurons`: update one neuron after another; those that fire hand their spike to `send`."""

    run: MeshSimulation

    def work(self) -> Process:
        yield from self.sweep(self.run.plan, 0)

    def sweep(self, plan: Sweeps, origin: int) -> Process:
        """The core's part of this plan."""
        own, send = (
            slice(*plan.indptr[self.index : self.index + 2].tolist()),
            self.run.machine.number("send", self.index),
        )
        for service_ps, neuron in zip(plan.service_ps[own].tolist(), plan.neuron[own].tolist(), strict=True):
            spike = Message(neuron, origin, ready_ps=self.run.now)
            yield from self.serve(spike, service_ps)
            if neuron >= 0 and self.run.has_copies(neuron):
                yield from self.hand_on(spike, send)


class Send(Station):
    """`send`: one copy after another for every destination core of a spike."""

    run: MeshSimulation

    def work(self) -> Process:
        while True:
            spike = yield from self.take()
            for copy in self.run.copies(self.index, spike):
                yield from self.serve(copy, self.service_ps)
                yield from self.hand_on(copy, copy.route[0])


class Link(Station):
    """A link: occupied for the bits of a message; the wire behind it is not."""

    def work(self) -> Process:
        while True:
            copy = yield from self.take()
            yield from self.serve(copy, self.service_ps)
            copy.passed += 1
            yield from self.hand_on(copy, copy.route[copy.passed])


class Synapses(Station):
    """`synapses`: fetch and add the weights of a message; here its way ends."""

    run: MeshSimulation

    def work(self) -> Process:
        while True:
            copy = yield from self.take()
            yield from self.serve(copy, copy.service_ps)
            self.run.arrived(copy)


class MeshSimulation(Simulation):
    """What timesteps and frames share: spikes that become copies on their way over a mesh."""

    machine: MeshMachine
    plan: Sweeps

    def __init__(self, mapping: Mapping, machine: MeshMachine, record: bool) -> None:
        super().__init__(machine, record)
        self.mapping, self.delivered = mapping, 0

    def arrived(self, copy: Message) -> None:
        """A message has reached the end of its way."""
        self.delivered += 1

    def has_copies(self, neuron: int) -> bool:
        indptr = self.mapping.copies.indptr
        return bool(indptr[neuron + 1] > indptr[neuron])

    def copies(self, core: int, spike: Message) -> list[Copy]:
        """The spike's copies in order of destination core; each can be sent from when the spike could."""
        table = self.mapping.copies
        rows = slice(int(table.indptr[spike.spike]), int(table.indptr[spike.spike + 1]))
        same = {field.name: getattr(spike, field.name) for field in fields(Message)}
        return [
            Copy(**same | {"target": target, "service_ps": service_ps}, route=self.machine.route(core, target))
            for target, service_ps in zip(table.core[rows].tolist(), table.service_ps[rows].tolist(), strict=True)
        ]

    def rows(self, firing: NDArray[np.int64]) -> NDArray[np.int64]:
        """The copies that these neurons send, as rows of the table of copies."""
        indptr = self.mapping.copies.indptr
        counts = indptr[firing + 1] - indptr[firing]
        ends = np.cumsum(counts)
        return np.repeat(indptr[firing] + counts - ends, counts) + np.arange(ends[-1] if ends.size else 0)

    def numbers(self, firing: NDArray[np.int64]) -> set[int]:
        """Every station that a message of these neurons passes, the sweeps excepted."""
        copies, machine = self.mapping.copies, self.machine
        counts = copies.indptr[firing + 1] - copies.indptr[firing]
        source = np.repeat(self.mapping.core[firing], counts)
        needed: set[int] = set()
        for core, target in np.unique(np.stack((source, copies.core[self.rows(firing)])), axis=1).T.tolist():
            needed |= {machine.number("send", core), *machine.route(core, target)}
        return needed


class Step(MeshSimulation):
    """One timestep."""

    kinds: ClassVar = {
        "neurons": Sweep,
        "send": Send,
        **dict.fromkeys(("core_to_router", "mesh", "router_to_core"), Link),
        "synapses": Synapses,
    }

    def sweeps(self, firing: NDArray[np.int64]) -> Sweeps:
        """The services of `neurons` that firing neurons cause."""
        return sweeps(self.mapping, firing)

    def run(self, firing: NDArray[np.int64]) -> StepTimes:
        """Simulate it; these neurons (network indices) fire."""
        self.plan = self.sweeps(firing)
        self.open(set(range(self.machine.cores)) | self.numbers(firing))
        self.env.run()
        expected = self.rows(firing).size
        if self.delivered != expected:
            raise self.deadlock(self.delivered, expected, "timestep")
        return StepTimes(duration_ps=self.now, **self.measured())


def run_timestep(mapping: Mapping, machine: MeshMachine, firing: NDArray[np.int64], record: bool = False) -> StepTimes:
    """Simulate one timestep in which these neurons (network indices) fire; record: keep every service."""
    return Step(mapping, machine, record).run(firing)


class Engine:
    """Simulates activity timestep by timestep, on one thread. critical_path: find that of every timestep."""

    def __init__(self, mapping: Mapping, machine: MeshMachine, threads: int = 1, critical_path: bool = False) -> None:
        self.mapping, self.machine, self.critical_path = mapping, machine, critical_path

    def run(self, activity: Activity) -> Iterator[ChunkTimes]:
        """Times of consecutive timesteps, as they are done."""
        for number in range(activity.timesteps):
            times, log = self.record(activity.firing(number))
            yield replace(times, path=path_of(self.machine.first, log)) if self.critical_path else times

    def close(self) -> None:
        """Nothing runs ahead."""

    def record(self, firing: NDArray[np.int64]) -> tuple[ChunkTimes, Log]:
        """Simulate one timestep and keep every service, in order of completion."""
        step = run_timestep(self.mapping, self.machine, firing, record=True)
        return ChunkTimes.of(step), step.services
