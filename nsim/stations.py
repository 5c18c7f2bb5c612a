"""The machine model: every station of a chip, numbered, with its queue and wire, and what a timestep brings to it.

Stations are numbered kind by kind; the number breaks ties between services that end in the same picosecond, so the
numbering is part of the semantics, and both engines take it from here:
  neurons of every core, send of every core, link from every core to its router, mesh links, link from router to core,
  synapses of every core. The host counts as one more core, the last.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nsim.chip import MeshChip
from nsim.critical_path import PathTimes
from nsim.mapping import Mapping
from nsim.mapping.route import Hop, direction, mesh_links, next_hops, xy_route

KINDS = ("neurons", "send", "core_to_router", "mesh", "router_to_core", "synapses")


@dataclass(frozen=True, eq=False)
class Machine:
    """The stations of a chip.

    first       int64[kinds + 1]   number of the first station of every kind, and the total
    capacity    int64[stations]    places in the queue; a sweep has none
    service_ps  int64[stations]    time a message occupies a link, or one copy the send stage; 0 where it varies
    wire_ps     int64[stations]    time from leaving a link to where it can be served next
    """

    chip: MeshChip
    first: NDArray[np.int64]
    capacity: NDArray[np.int64]
    service_ps: NDArray[np.int64]
    wire_ps: NDArray[np.int64]
    hops: tuple[Hop, ...]
    _link: dict[Hop, int] = field(repr=False)
    _routes: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict, repr=False)

    @property
    def cores(self) -> int:
        return self.chip.cores + 1

    @property
    def stations(self) -> int:
        return int(self.first[-1])

    def number(self, kind: str, index: int) -> int:
        return int(self.first[KINDS.index(kind)]) + index

    def kind(self, station: int) -> str:
        return KINDS[int(np.searchsorted(self.first, station, side="right")) - 1]

    def name(self, station: int) -> str:
        """A station as a person would call it: "core 14 synapses", "link (3,1)->(3,2)"."""
        kind = self.kind(station)
        index = station - int(self.first[KINDS.index(kind)])
        if kind == "mesh":
            columns = self.chip.mesh.columns
            (x, y), (u, v) = ((r % columns, r // columns) for r in self.hops[index])
            return f"link ({x},{y})->({u},{v})"
        owner = "host" if index == self.chip.cores else f"core {index}"
        return f"{owner} {kind.replace('_', ' ')}"

    def route(self, source: int, target: int) -> tuple[int, ...]:
        """Stations a copy passes after `send`, from core to core: links, then the synapses of the target."""
        key = (source, target)
        if key not in self._routes:
            ends = self.chip.router_of(source), self.chip.router_of(target)
            middle = (self._link[hop] for hop in xy_route(self.chip, *ends))
            last = self.number("router_to_core", target), self.number("synapses", target)
            self._routes[key] = (self.number("core_to_router", source), *middle, *last)
        return self._routes[key]

    def links_between(self, source: NDArray[np.int64], target: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
        """The links of many routes at once: CSR by pair of cores, indptr and stations, in the order of passing."""
        chip = self.chip
        following = next_hops(chip)
        link = np.zeros((chip.routers, chip.routers), np.int64)
        for hop, number in self._link.items():
            link[hop] = number
        router = np.array([chip.router_of(core) for core in range(self.cores)])
        here, goal = router[source], router[target]
        passed, pair = [self.number("core_to_router", 0) + source], [np.arange(source.size)]
        moving = np.flatnonzero(here != goal)
        while moving.size:
            there = following[here[moving], goal[moving]]
            passed.append(link[here[moving], there])
            pair.append(moving)
            here[moving] = there
            moving = moving[there != goal[moving]]
        passed.append(self.number("router_to_core", 0) + target)
        pair.append(np.arange(source.size))
        order = np.argsort(np.concatenate(pair), kind="stable")
        lengths = np.bincount(np.concatenate(pair), minlength=source.size)
        return np.concatenate(([0], np.cumsum(lengths))), np.concatenate(passed)[order]


def build_machine(chip: MeshChip) -> Machine:
    """Number the chip's stations and give each its queue, service time and wire."""
    hops = mesh_links(chip)
    cores = chip.cores + 1
    counts = [cores, cores, cores, len(hops), cores, cores]
    first = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    mesh = ["east_west" if direction(chip, hop) in ("east", "west") else "north_south" for hop in hops]

    def by_station(neurons: int, send: list[int], inner: int, mesh: list[int], outer: int, synapses: int):
        columns = [[neurons] * cores, send, [inner] * cores, mesh, [outer] * cores, [synapses] * cores]
        return np.concatenate([np.asarray(column, np.int64) for column in columns])

    buffers = chip.buffers
    capacity = by_station(
        0, [buffers.message_out] * cores, buffers.link, [buffers.link] * len(hops), buffers.link, buffers.message_in
    )
    service = by_station(
        0,
        [max(1, chip.send_ps)] * chip.cores + [max(1, chip.host_message_ps)],
        chip.link_service_ps("core_to_router"),
        [chip.link_service_ps(kind) for kind in mesh],
        chip.link_service_ps("router_to_core"),
        0,
    )
    wire = by_station(
        0,
        [0] * cores,
        chip.link_wire_ps("core_to_router"),
        [chip.link_wire_ps(kind) for kind in mesh],
        chip.link_wire_ps("router_to_core"),
        0,
    )
    numbers = {hop: int(first[KINDS.index("mesh")]) + index for index, hop in enumerate(hops)}
    return Machine(chip, first, capacity, service, wire, tuple(hops), numbers)


@dataclass(frozen=True)
class Service:
    """One completed service, as both engines log it. cause: number of the completion that let it start, -1 at time 0.

    neuron, target   the spike served, and the copy's destination core (-1 in a sweep)
    """

    station: int
    neuron: int
    target: int
    start_ps: int
    end_ps: int
    left_ps: int
    cause: int


@dataclass(frozen=True, eq=False)
class StepTimes:
    """What one timestep took, without the barrier. Arrays are int64[stations]."""

    duration_ps: int
    busy_ps: NDArray[np.int64]
    blocked_ps: NDArray[np.int64]
    served: NDArray[np.int64]
    longest_queue: NDArray[np.int64]
    log: list[Service] | None = None


@dataclass(frozen=True, eq=False)
class ChunkTimes:
    """What an engine measures over some timesteps; busy times follow from counts and mapping alone.

    duration_ps    int64[timesteps]   without the barrier
    blocked_ps     int64[stations]    waiting with a served message, summed
    longest_queue  int64[stations]    places taken at most
    path           what the critical paths consist of; None if they were not recorded
    """

    duration_ps: NDArray[np.int64]
    blocked_ps: NDArray[np.int64]
    longest_queue: NDArray[np.int64]
    path: PathTimes | None = None

    @staticmethod
    def empty(timesteps: int, machine: Machine, path: bool = False) -> ChunkTimes:
        duration_ps, blocked_ps, longest_queue = (
            np.zeros(n, np.int64) for n in (timesteps, machine.stations, machine.stations)
        )
        return ChunkTimes(
            duration_ps, blocked_ps, longest_queue, PathTimes.empty(timesteps, machine.first) if path else None
        )

    @staticmethod
    def joined(parts: list[ChunkTimes]) -> ChunkTimes:
        """Consecutive timesteps put together."""
        return ChunkTimes(
            np.concatenate([part.duration_ps for part in parts]),
            np.sum([part.blocked_ps for part in parts], axis=0),
            np.max([part.longest_queue for part in parts], axis=0),
            PathTimes.joined([part.path for part in parts if part.path]) if parts[0].path else None,
        )


@dataclass(frozen=True, eq=False)
class Sweeps:
    """The services of every core's `neurons` station in one timestep.

    indptr      int64[cores + 1]    core c owns services indptr[c]:indptr[c + 1], in order
    service_ps  int64[services]     updates up to and including a firing neuron, and its firing
    neuron      int64[services]     the neuron that fires at the end; -1 for the silent rest of the sweep
    """

    indptr: NDArray[np.int64]
    service_ps: NDArray[np.int64]
    neuron: NDArray[np.int64]


def sweeps(mapping: Mapping, firing: NDArray[np.int64]) -> Sweeps:
    """What the firing neurons (network indices, any order) make of one timestep's sweeps.

    The host has nothing to update: its messages are ready at once, one picosecond apart.
    """
    chip, cores = mapping.chip, mapping.chip.cores + 1
    update_ps, spike_ps = chip.actions.neuron_update.latency_ps, chip.actions.spike.latency_ps
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
