"""The machine model: every station of a chip, numbered, with its queue and wire, and what a timestep brings to it.

Stations are numbered kind by kind; the number breaks ties between services that end in the same picosecond, so the
numbering is part of the semantics, and both engines take it from here:
  neurons of every core, send of every core, link from every core to its router, mesh links, link from router to core,
  synapses of every core. The host counts as one more core, the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import MeshChip
from nsim.machine.machine import Machine, by_kind
from nsim.machine.path import PathTimes
from nsim.machine.times import StationTimes, Times
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.cores.route import (
    Hop,
    link_ends,
    link_kinds,
    link_numbers,
    links_onward,
    mesh_links,
    port_links,
    way_to,
    xy_route,
)
from nsim.network.brief import Brief

KINDS = ("neurons", "send", "core_to_router", "mesh", "router_to_core", "synapses")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MeshMachine(Machine):
    """The stations of a chip with a mesh.

    The first five kinds are the same on all of these chips; the sixth is where a message enters its destination core.
    Service times are 0 at `neurons` and where messages differ; a sweep has no slots.
    """

    kinds: ClassVar[tuple[str, ...]] = KINDS

    chip: MeshChip
    hops: tuple[Hop, ...]
    _routes: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict, repr=False)

    @property
    def cores(self) -> int:
        return self.chip.cores + 1

    @cached_property
    def ports(self) -> NDArray[np.int64]:
        """The link between routers that stands for each; another one where several share a port between chips."""
        return port_links(self.chip)

    @cached_property
    def core_routers(self) -> NDArray[np.int64]:
        """The router of every core, the host's last."""
        return self.chip.core_routers

    def name(self, station: int) -> str:
        """A station as a person would call it: "core 14 synapses", "link (3,1)->(3,2)"."""
        kind, index = self.kind(station), self.index(station)
        if kind == "mesh":
            return self._link_name(index)
        owner = "host" if index == self.chip.cores else f"core {index}"
        return f"{owner} {kind.replace('_', ' ')}"

    def _link_name(self, index: int) -> str:
        """ "link (3,1)->(3,2)", or of a port between chips "port (7,0..3)->(8,0..3)" with the rows that share it."""
        columns = self.chip.columns
        sharing = self.hops[index], self.hops[int(np.flatnonzero(self.ports == index)[-1])]
        (x, y), (u, v), (x_1, y_1), (u_1, v_1) = ((r % columns, r // columns) for hop in sharing for r in hop)
        if sharing[0] == sharing[1]:
            return f"link ({x},{y})->({u},{v})"
        if x == x_1:
            return f"port ({x},{y}..{y_1})->({u},{v}..{v_1})"
        return f"port ({x}..{x_1},{y})->({u}..{u_1},{v})"

    def route(self, source: int, target: int) -> tuple[int, ...]:
        """Stations a copy passes after `send`, from core to core: links, then the one it enters the target by."""
        key = (source, target)
        if key not in self._routes:
            ends = self.chip.router_of(source), self.chip.router_of(target)
            numbers, mesh_0 = link_numbers(self.chip.columns, self.chip.rows), self.number("mesh")
            middle = (mesh_0 + int(self.ports[numbers[hop]]) for hop in xy_route(self.chip, *ends))
            last = self.number("router_to_core", target), int(self.first[5]) + target
            self._routes[key] = (self.number("core_to_router", source), *middle, *last)
        return self._routes[key]

    def links_between(self, source: NDArray[np.int64], target: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
        """The links of many routes at once: CSR by pair of cores, indptr and stations, in the order of passing."""
        chip = self.chip
        link, behind = links_onward(chip, self.number("mesh")), link_ends(chip.columns, chip.rows)[1]
        router = self.core_routers
        here, goal = router[source], router[target]
        passed: list[NDArray[Any]]
        passed, pair = [self.number("core_to_router", 0) + source], [np.arange(source.size)]
        moving = np.flatnonzero(here != goal)
        while moving.size:
            taken = link[here[moving], way_to(here[moving], goal[moving], chip.columns)]
            passed.append(self.number("mesh") + self.ports[taken - self.number("mesh")])
            pair.append(moving)
            here[moving] = behind[taken - self.number("mesh")]
            moving = moving[here[moving] != goal[moving]]
        passed.append(self.number("router_to_core", 0) + target)
        pair.append(np.arange(source.size))
        order = np.argsort(np.concatenate(pair), kind="stable")
        lengths = np.bincount(np.concatenate(pair), minlength=source.size)
        return np.concatenate(([0], np.cumsum(lengths))), np.concatenate(passed)[order]


def build_machine(chip: MeshChip) -> MeshMachine:
    """Number the chip's stations and give each its queue, service time and wire."""
    return MeshMachine(**station_fields(chip, {"synapses": (chip.buffers.message_in, 0)}))


def station_fields(chip: MeshChip, inside: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """The fields of a machine: the stations that all chips with a mesh share, then those inside a destination core.

    inside   slots and service time of each of the latter kinds, in the order of numbering
    """
    hops, cores, buffers = mesh_links(chip), chip.cores + 1, chip.buffers
    counts = [cores, cores, cores, len(hops), cores] + [cores] * len(inside)
    first = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    mesh = link_kinds(chip)
    send = [max(1, chip.send_ps)] * chip.cores + [max(1, chip.host_message_ps)]

    def links(value: Callable[[str], int]) -> tuple[int | NDArray[np.int64], ...]:
        of_mesh = np.array([value(kind) for kind in chip.mesh_kinds], np.int64)[mesh]
        return value("core_to_router"), of_mesh, value("router_to_core")

    slots, service_ps = zip(*inside.values(), strict=True)
    return {
        "chip": chip,
        "first": first,
        "capacity": by_kind(counts, 0, buffers.message_out, *links(lambda _: buffers.link), *slots),
        "service_ps": by_kind(counts, 0, send, *links(chip.link_service_ps), *service_ps),
        "wire_ps": by_kind(counts, 0, 0, *links(chip.link_wire_ps), *[0] * len(inside)),
        "hops": hops,
    }


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class StepTimes(StationTimes):
    """What one timestep took, without the barrier."""

    duration_ps: int


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ChunkTimes(Times):
    """What an engine measures over some timesteps; busy times follow from counts and mapping alone.

    duration_ps    int64[timesteps]   without the barrier
    path           what the critical paths consist of; None if they were not recorded
    """

    duration_ps: NDArray[np.int64]
    path: PathTimes | None = None

    @staticmethod
    def empty(timesteps: int, machine: MeshMachine, path: bool = False) -> ChunkTimes:
        duration_ps, blocked_ps, longest_queue = (
            np.zeros(n, np.int64) for n in (timesteps, machine.stations, machine.stations)
        )
        parts = PathTimes.empty(timesteps, machine.first) if path else None
        return ChunkTimes(duration_ps=duration_ps, blocked_ps=blocked_ps, longest_queue=longest_queue, path=parts)

    @staticmethod
    def of(step: StepTimes) -> ChunkTimes:
        """One timestep."""
        duration_ps = np.array([step.duration_ps])
        return ChunkTimes(duration_ps=duration_ps, blocked_ps=step.blocked_ps, longest_queue=step.longest_queue)

    @staticmethod
    def joined(parts: Sequence[ChunkTimes]) -> ChunkTimes:
        """Consecutive timesteps put together."""
        return ChunkTimes(
            duration_ps=np.concatenate([part.duration_ps for part in parts]),
            blocked_ps=np.sum([part.blocked_ps for part in parts], axis=0),
            longest_queue=np.max([part.longest_queue for part in parts], axis=0),
            path=PathTimes.joined([part.path for part in parts if part.path]) if parts[0].path else None,
        )


@dataclass(frozen=True, eq=False, repr=False)
class Sweeps(Brief):
    """The services of every core's `neurons` station in one timestep, or for one frame.

    indptr      int64[cores + 1]    core c owns services indptr[c]:indptr[c + 1], in order
    service_ps  int64[services]     updates up to and including a firing neuron, and its firing
    neuron      int64[services]     the neuron that fires at the end; -1 for the silent rest of the sweep
    """

    indptr: NDArray[np.int64]
    service_ps: NDArray[np.int64]
    neuron: NDArray[np.int64]


def sweeps(mapping: Mapping, firing: NDArray[np.int64]) -> Sweeps:
    """What the firing neurons (network indices, any order) make of one timestep's sweeps."""
    swept, update_ps = mapping.sweep()
    return sweeps_at(swept, firing, update_ps, mapping.chip.actions.spike.latency_ps)


def sweeps_at(mapping: Mapping, firing: NDArray[np.int64], update_ps: int, spike_ps: int) -> Sweeps:
    """The sweeps that firing neurons (network indices, any order) cause at these costs.

    update_ps  time to update one neuron
    spike_ps   more for one that fires
    The host has nothing to update: its messages are ready at once, one picosecond apart.
    """
    chip, cores = mapping.chip, mapping.chip.cores + 1
    ordered = firing[np.lexsort((mapping.slot[firing], mapping.core[firing]))]
    core, slot = mapping.core[ordered], mapping.slot[ordered]
    starts = np.searchsorted(core, np.arange(cores + 1))
    previous = np.where(np.isin(np.arange(core.size), starts[:-1]), -1, np.roll(slot, 1))
    on_chip = core < chip.cores
    service = np.where(on_chip, (slot - previous) * update_ps + spike_ps, 0)
    last = np.full(cores, -1)
    occupied = starts[1:] > starts[:-1]
    last[occupied] = slot[starts[1:][occupied] - 1]
    rest = (mapping.allocated - 1 - last) * update_ps
    rest[-1] = 0
    with_rest = np.flatnonzero(rest > 0)
    core = np.concatenate((core, with_rest))
    order = np.argsort(core, kind="stable")
    return Sweeps(
        np.searchsorted(core[order], np.arange(cores + 1)).astype(np.int64),
        np.maximum(1, np.concatenate((service, rest[with_rest])))[order],
        np.concatenate((ordered, np.full(with_rest.size, -1)))[order],
    )
