"""A message trace on the links of a chip, by the stations and engines that also simulate networks.

Every moment at which a core has messages ready stands for a neuron: its core sweeps at one picosecond per slot, so slot
t fires at t. What is not the network on chip takes the least time a service may take, and never holds anything up:
- `neurons` hands messages on at their time, one picosecond late, since no service is shorter;
- `send` has slots for all, and takes a picosecond per packet. No link is faster, so this delays everything by one
  picosecond and nothing by more;
- `synapses` takes a packet in one picosecond, and has slots for all: no core is slow to listen.
The two picoseconds before the first link are subtracted again. Links, their queues and wires are the chip's: a full
queue holds up the link before it, and at last the core, whose messages then wait in it.

The links carry packets of the chip's message size. A message with more bits is sent as several packets, one after
another, and has arrived with its last; one with fewer bits takes a whole packet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import Chip, MeshChip
from nsim.chip.timesteps import BarrierChip
from nsim.errors import InputError, MappingError, SimulationError, check_fits
from nsim.machine.compiled.loop import NOW
from nsim.machine.compiled.timesteps import fabric_of, run_firing
from nsim.machine.compiled.timesteps_hooks import Load
from nsim.machine.services import Log
from nsim.machine.simpy import timesteps as engine_simpy
from nsim.machine.stations import MeshMachine, StepTimes, Sweeps, station_fields, sweeps_at
from nsim.machine.traffic import Traffic
from nsim.mapping.cores.copies import Copies
from nsim.mapping.cores.mapping import Mapping
from nsim.network.layers import Layer, Network
from nsim.network.neurons import Relay

UNLIMITED = 1 << 30  # slots
BEFORE_LINKS_PS = 2  # the shortest services of `neurons` and `send`
BYTES_PER_SERVICE = 116  # of the log (56), and of what is sorted and gathered from it
MOST_SERVICES = 1 << 31  # the log counts in int32


@dataclass(frozen=True, eq=False)
class Replayed:
    """What the network on chip did with a trace.

    packets        int64[messages]   that each message was sent as
    arrival_ps     int64[messages]   when the last bit of a message was at its destination core
    alone_ps       int64[messages]   what that takes on empty links with slots for all: the latency is never less
    links          int64[messages]   links passed, those between core and router included
    link_packets   int64[links]      packets that passed a link, in the order of stations
    blocked_ps, longest_queue        int64[stations]
    """

    machine: MeshMachine
    traffic: Traffic
    engine: str
    packets: NDArray[np.int64]
    arrival_ps: NDArray[np.int64]
    alone_ps: NDArray[np.int64]
    links: NDArray[np.int64]
    link_packets: NDArray[np.int64]
    blocked_ps: NDArray[np.int64]
    longest_queue: NDArray[np.int64]

    @property
    def latency_ps(self) -> NDArray[np.int64]:
        """From a message's time to its arrival: int64[messages]."""
        return self.arrival_ps - self.traffic.time_ps

    @property
    def span_ps(self) -> int:
        """From the first message to the last arrival."""
        return int(self.arrival_ps.max() - self.traffic.time_ps[0])


def replay(traffic: Traffic, chip: Chip, engine: str = "compiled") -> Replayed:
    """Send a message trace over the links of a chip, on either engine, with equal results.

    raises   InputError for an empty trace, cores that the chip does not have, or more than memory holds;
             MappingError for a chip without a mesh; SimulationError for an unknown engine
    """
    mesh = mesh_chip(chip)
    if not len(traffic):
        raise InputError("a message trace without messages: give at least one")
    traffic.check_cores(mesh.cores, mesh.name)
    if engine not in ENGINES:
        raise SimulationError(f"no engine {engine!r}: choose from {', '.join(ENGINES)}")
    machine = links_alone(mesh)
    routes = Routes(machine, traffic)
    packets = -(-traffic.bits // mesh.messages.bits)
    services = int(np.dot(packets.astype(np.float64), routes.links + 2)) + len(traffic) + machine.cores
    cure = "split the trace, or give larger messages in fewer bits"
    check_fits(services * BYTES_PER_SERVICE, f"{services:,} services of this trace", cure, InputError)
    if services >= MOST_SERVICES:
        raise InputError(f"this trace has {services:,} services, but {MOST_SERVICES - 1:,} is the most: {cure}")
    mapping = _as_mapping(traffic, packets, mesh)
    _check_range(machine, mapping, routes)
    times = ENGINES[engine](mapping, machine, services)
    log = times.services
    return Replayed(
        machine,
        traffic,
        engine,
        packets,
        _arrivals(traffic, packets, mapping.core[log["spike"]], machine, log),
        routes.alone_ps(packets),
        routes.links,
        np.bincount(log["station"], minlength=machine.stations)[machine.first[2] : machine.first[5]],
        times.blocked_ps,
        times.longest_queue,
    )


def mesh_chip(chip: Chip) -> MeshChip:
    """The chip, if its cores hang on a mesh."""
    if not isinstance(chip, MeshChip):
        raise MappingError(
            f"chip {chip.name!r} has no mesh of routers between cores: choose a chip with one, such as loihi2"
        )
    return chip


def links_alone(chip: MeshChip) -> MeshMachine:
    """The chip's stations, with cores that never hold the network up."""
    machine = MeshMachine(**station_fields(chip, {"synapses": (UNLIMITED, 0)}))
    capacity, service_ps = machine.capacity.copy(), machine.service_ps.copy()
    send = slice(machine.first[1], machine.first[2])
    capacity[send], service_ps[send] = UNLIMITED, 1
    return replace(machine, capacity=capacity, service_ps=service_ps)


class Routes:
    """The ways of a trace's messages, found once for every pair of cores.

    links   int64[messages]   links passed
    """

    def __init__(self, machine: MeshMachine, traffic: Traffic) -> None:
        pairs, self.pair = np.unique(traffic.source * machine.cores + traffic.destination, return_inverse=True)
        indptr, stations = machine.links_between(pairs // machine.cores, pairs % machine.cores)
        self.links = np.diff(indptr)[self.pair]
        service_ps = machine.service_ps[stations]
        self.way_ps = np.add.reduceat(service_ps + machine.wire_ps[stations], indptr[:-1])
        self.slowest_ps = np.maximum.reduceat(service_ps, indptr[:-1])

    def alone_ps(self, packets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Time of so many packets on empty links: the way of one, and the slowest link for each of the others."""
        return self.way_ps[self.pair] + (packets - 1) * self.slowest_ps[self.pair]


def _as_mapping(traffic: Traffic, packets: NDArray[np.int64], chip: MeshChip) -> Mapping:
    """A neuron for every core and time, in order of core and time, and a copy for every packet."""
    order = np.lexsort((traffic.time_ps, traffic.source))  # stable: messages of one moment keep their order
    core, slot = traffic.source[order], traffic.time_ps[order] - traffic.time_ps[0]
    fresh = np.append(True, (np.diff(core) != 0) | (np.diff(slot) != 0))
    first_packet = np.concatenate(([0], np.cumsum(packets[order])))
    indptr = np.append(first_packet[:-1][fresh], first_packet[-1])
    target = np.repeat(traffic.destination[order], packets[order])
    core, slot = core[fresh], slot[fresh]
    allocated = np.zeros(chip.cores + 1, np.int64)
    np.maximum.at(allocated, core, slot + 1)
    copies = Copies(indptr, target, np.zeros((target.size, 3), np.int64), target, np.ones_like(target))
    layer = Layer("traffic", (core.size, 1, 1), Relay())
    network = Network("message trace", (layer,), (), "traffic", "traffic")
    held = cast(BarrierChip, chip)  # of which nothing is asked but cores and links
    return Mapping(network, held, None, (), (), np.zeros(0, np.int64), core, slot, allocated, copies)


def _check_range(machine: MeshMachine, mapping: Mapping, routes: Routes) -> None:
    """A key of the event loop holds time and station in 63 bits."""
    bits = (machine.stations - 1).bit_length()
    worst = int(mapping.allocated.max()) + mapping.copies.core.size * int(routes.way_ps.max() + 2)
    if worst >= 1 << (63 - bits):
        raise InputError(f"this trace may take {worst} ps, but the clock ends at {1 << (63 - bits)}: split the trace")


def _arrivals(
    traffic: Traffic, packets: NDArray[np.int64], source: NDArray[np.int64], machine: MeshMachine, log: Log
) -> NDArray[np.int64]:
    """Arrival of every message's last packet. All packets of two cores take one way, so none overtakes another.

    source   int64[services]   core that sent what was served
    """
    ends = np.flatnonzero(log["station"] >= machine.first[5])
    by_pair = np.lexsort((log["start_ps"][ends], log["target"][ends], source[ends]))
    sent = np.lexsort((np.arange(len(traffic)), traffic.destination, traffic.source))
    last = np.cumsum(packets[sent]) - 1
    arrival_ps = np.empty(len(traffic), np.int64)
    arrival_ps[sent] = log["start_ps"][ends][by_pair][last]
    return arrival_ps - BEFORE_LINKS_PS + traffic.time_ps[0]


def _compiled(mapping: Mapping, machine: MeshMachine, services: int) -> StepTimes:
    firing = np.arange(mapping.core.size)
    run = run_firing(machine, fabric_of(machine), _load(mapping), firing, services)
    missing = mapping.copies.core.size - int(run.stations["served"][machine.first[5] :].sum())
    if missing:
        raise SimulationError(f"{missing} of {mapping.copies.core.size} packets did not arrive: this is a defect")
    return StepTimes(duration_ps=int(run.numbers[NOW]), **run.measured())


def _load(mapping: Mapping) -> Load:
    """The mapping as arrays; unlike a network's, slots go beyond int32 where a trace is longer than 2 ms."""
    copies = mapping.copies
    core, target = mapping.core.astype(np.int32), copies.core.astype(np.int32)
    slot = mapping.slot if mapping.slot.max() >= 1 << 31 else mapping.slot.astype(np.int32)
    return Load(core, slot, copies.indptr, target, copies.service_ps, mapping.allocated, 1, 0)


class Trace(engine_simpy.Step):
    """A message trace in the readable engine."""

    def sweeps(self, firing: NDArray[np.int64]) -> Sweeps:
        return sweeps_at(self.mapping, firing, 1, 0)


def _simpy(mapping: Mapping, machine: MeshMachine, services: int) -> StepTimes:
    return Trace(mapping, machine, record=True).run(np.arange(mapping.core.size))


ENGINES = {"compiled": _compiled, "simpy": _simpy}
