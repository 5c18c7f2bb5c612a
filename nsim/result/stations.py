"""What the stations of a chip with a mesh did, as rows: links, and stations on a critical path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nsim.machine.stations import MeshMachine
from nsim.mapping.cores.route import BETWEEN, direction, link_kinds
from nsim.result.counts import Counts

Row = dict[str, Any]


class Measured(Protocol):
    """What an engine of any discipline measures at the stations: int64[stations] each."""

    @property
    def blocked_ps(self) -> NDArray[np.int64]: ...

    @property
    def longest_queue(self) -> NDArray[np.int64]: ...


def busy_times(machine: MeshMachine, counts: Counts, synapses_ps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Time every station served messages, summed over the run: int64[stations]. Counts x service times.

    synapses_ps   int64[cores + 1]  time at the last kind of station
    """
    first = machine.first
    busy = machine.service_ps.copy()
    busy[first[0] : first[1]] = counts.core_sweep_ps.sum(axis=0)
    busy[first[1] : first[2]] *= counts.core_messages_out.sum(axis=0)
    busy[first[2] : first[5]] *= counts.link_messages.sum(axis=0)
    for kind in range(5, len(machine.kinds) - 1):
        busy[first[kind] : first[kind + 1]] *= counts.core_messages_in.sum(axis=0)
    busy[first[-2] :] = synapses_ps
    return busy


def link_rows(
    machine: MeshMachine, messages: NDArray[np.int64], busy_ps: NDArray[np.int64], times: Measured, total_ps: int
) -> list[Row]:
    """A row for every link that carried a message.

    messages  int64[links], in station order
    busy_ps   int64[stations], in a run of total_ps
    """
    chip, first, between = machine.chip, int(machine.first[2]), between_chips(machine)
    rows = []
    for index in np.flatnonzero(messages).tolist():
        station, passed = first + index, int(messages[index])
        kind, way = machine.kind(station), ""
        if kind == "mesh":
            hop = machine.index(station)
            kind, way = "chip_to_chip" if between[hop] else "mesh", direction(chip, machine.hops[hop])
        rows.append(
            {
                "link": machine.name(station),
                "kind": kind,
                "direction": way,
                "messages": passed,
                "bits": passed * chip.messages.bits,
                "busy_ps": int(busy_ps[station]),
                "blocked_ps": int(times.blocked_ps[station]),
                "longest_queue": int(times.longest_queue[station]),
                "utilisation": float(busy_ps[station] / max(1, total_ps)),
            }
        )
    return rows


def between_chips(machine: MeshMachine) -> NDArray[np.bool_]:
    """Which links between routers cross the edge between two chips: bool[mesh links]. In tables they are a kind."""
    return link_kinds(machine.chip) == BETWEEN


def link_crossings(machine: MeshMachine, messages: NDArray[np.int64]) -> dict[str, int]:
    """Messages over core links, and over mesh links by direction; messages: int64[links], in station order."""
    first = machine.first - machine.first[2]
    ends = {"core_to_router": messages[: first[3]], "router_to_core": messages[first[4] : first[5]]}
    crossings = {kind: int(passed.sum()) for kind, passed in ends.items()}
    crossings |= {"east": 0, "west": 0, "south": 0, "north": 0}
    mesh = messages[first[3] : first[4]]
    for hop in np.flatnonzero(mesh).tolist():
        crossings[direction(machine.chip, machine.hops[hop])] += int(mesh[hop])
    return crossings


def crossings_by_kind(machine: MeshMachine, link_messages: NDArray[np.int64]) -> dict[str, int]:
    """Link crossings by kind of link in the chip file; link_messages: int64[links], in station order."""
    first = machine.first - machine.first[2]
    mesh = link_messages[first[3] : first[4]]
    kinds = link_kinds(machine.chip)
    return {
        "core_to_router": int(link_messages[: first[3]].sum()),
        "router_to_core": int(link_messages[first[4] : first[5]].sum()),
        **{name: int(mesh[kinds == kind].sum()) for kind, name in enumerate(machine.chip.mesh_kinds)},
    }


def path_rows(
    service_ps: NDArray[np.int64],
    wire_ps: NDArray[np.int64],
    named: Callable[[int], tuple[str, str]],
    total_ps: int,
) -> list[Row]:
    """A row for every station on a critical path of total_ps, those with the largest part first.

    service_ps, wire_ps   int64[stations]  on the path
    named                 name and kind of a station
    """
    spent = service_ps + wire_ps
    rows = []
    for station in np.argsort(-spent, kind="stable")[: np.count_nonzero(spent)].tolist():
        name, kind = named(station)
        rows.append(
            {
                "station": name,
                "kind": kind,
                "service_ps": int(service_ps[station]),
                "wire_ps": int(wire_ps[station]),
                "share": float(spent[station] / total_ps),
            }
        )
    return rows
