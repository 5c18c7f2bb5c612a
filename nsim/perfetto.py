"""A run on a chip with timesteps as tracks of a trace: one per stage of a core and per link, messages as flows.

Processes are the timesteps, the network on chip and the cores; threads their stages and links. A slice is a service, or
the time a station was blocked after one; it is named after the layer of the neuron that fired. A message is a flow from
the sweep in which its neuron fires, over `send` and the links, to the synapses of its destination core.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsim.event_loop import Log
from nsim.mapping import Mapping
from nsim.stations import Machine
from nsim.trace_events import EventFile, Slices, Track, steps_in_order

SILENT = "silent neurons"  # name of the rest of a sweep, in which nobody fires
TIMESTEPS, NETWORK, FIRST_CORE = 1, 2, 3  # numbers of processes
STAGES = ("receive", "synapses", "neurons", "send")  # of a core, as messages pass them
LINKS = ("core_to_router", "mesh", "router_to_core")


class MeshTracks:
    """The tracks of a machine with a mesh: its stations by number, then others.

    layers   of every core that holds any
    process  of the other tracks; more: their names
    """

    def __init__(self, machine: Machine, layers: dict[int, str], process: str, more: tuple[str, ...]) -> None:
        self.machine, self.layers, self.process, self.more = machine, layers, process, more
        self.first_tid = FIRST_CORE + machine.cores  # behind all numbers of processes

    def __call__(self, number: int) -> Track:
        machine, tid = self.machine, self.first_tid + number
        if number >= machine.stations:
            place = number - machine.stations
            return Track(TIMESTEPS, tid, self.more[place], self.process, order=place)
        kind = machine.kind(number)
        core = number - machine.number(kind, 0)
        if kind in LINKS:
            return Track(NETWORK, tid, self._link(kind, number, core), "network on chip", order=number)
        name = "host" if core == machine.chip.cores else f"core {core}"
        layers = f" ({self.layers[core]})" if core in self.layers else ""
        return Track(FIRST_CORE + core, tid, kind, name + layers, STAGES.index(kind))

    def _link(self, kind: str, number: int, core: int) -> str:
        if kind == "mesh":
            return self.machine.name(number).removeprefix("link ")
        chip = self.machine.chip
        x, y = chip.router_of(core) % chip.mesh.columns, chip.router_of(core) // chip.mesh.columns
        name = "host" if core == chip.cores else f"core {core}"
        return f"{name}->({x},{y})" if kind == "core_to_router" else f"({x},{y})->{name}"


class PerfettoTrace:
    """Writes every service of a run with timesteps, one timestep behind the other; see nsim/trace_events.py.

    Arguments of a slice: neuron (as in messages.parquet), target_core, message (the number of its flow), waited_ps
    (from when it could be served to when it was), and at the synapses synops and words.
    raises  OutputError if the disk is full
    """

    def __init__(self, path: str | Path, mapping: Mapping, machine: Machine) -> None:
        self.mapping, self.machine = mapping, machine
        layers = {core: "+".join(mapping.layers_of(core)) for core in mapping.used_cores.tolist()}
        tracks = MeshTracks(machine, layers, "timesteps", ("timesteps", "barrier"))
        about = {"network": mapping.network.name, "chip": mapping.chip.name}
        self.file = EventFile(path, about, tracks)
        self.names = (*(layer.name for layer in mapping.network.layers), SILENT)
        self.offsets = np.cumsum([layer.neurons for layer in mapping.network.layers])
        copies = mapping.copies
        source = np.repeat(np.arange(mapping.core.size), np.diff(copies.indptr))
        self.copy_key = source * machine.cores + copies.core  # ascends
        self.sample, self.timestep, self.messages, self.now_ps = -1, 0, 0, 0

    def write(self, sample: int, log: Log) -> None:
        """Add the services of the sample's next timestep, and the barrier behind it."""
        self.timestep = self.timestep + 1 if sample == self.sample else 1
        self.sample = sample
        duration_ps = int(log.end_ps.max(initial=0))
        end_ps = self.now_ps + duration_ps + self.mapping.barrier_ps
        self.file.add(self._whole(self.now_ps, self.now_ps + duration_ps, end_ps))
        self.file.add(self._services(log))
        self.now_ps = end_ps

    def close(self) -> None:
        """Complete the file."""
        self.file.close()

    def _whole(self, begin_ps: int, done_ps: int, end_ps: int) -> Slices:
        """The timestep as a whole, and its barrier."""
        number = self.machine.stations
        start, end = np.array([begin_ps, done_ps]), np.array([end_ps, end_ps])
        kept = end > start  # a chip's barrier may take no time
        arguments = {"sample": np.array([self.sample, self.sample]), "timestep": np.array([self.timestep] * 2)}
        return Slices(
            np.array([number, number + 1])[kept],
            np.arange(2)[kept],
            (f"timestep {self.timestep}", "barrier"),
            start[kept],
            end[kept],
            end[kept],
            "timestep",
            {name: column[kept] for name, column in arguments.items()},
        )

    def _services(self, log: Log) -> Slices:
        station, neuron, target = (column.astype(np.int64) for column in (log.station, log.neuron, log.target))
        layer = np.where(neuron < 0, self.offsets.size, np.searchsorted(self.offsets, neuron, side="right"))
        start_ps, end_ps, left_ps = (column + self.now_ps for column in (log.start_ps, log.end_ps, log.left_ps))
        copy = np.where(target < 0, -1, np.searchsorted(self.copy_key, neuron * self.machine.cores + target))
        sent, message = np.unique(copy[copy >= 0], return_inverse=True)
        number = np.full(station.size, -1)
        number[copy >= 0] = self.messages + message
        step_slice, step_flow = self._steps(neuron, copy, number, self.messages + np.arange(sent.size), sent)
        self.messages += sent.size
        slices = Slices(
            station, layer, self.names, start_ps, end_ps, left_ps, step_slice=step_slice, step_flow=step_flow
        )
        copies = self.mapping.copies
        at_synapses = station >= self.machine.first[5]
        slices.arguments.update(
            {
                "neuron": neuron,
                "target_core": target,
                "message": number,
                "waited_ps": waited_ps(slices, self.machine.wire_ps),
                "synops": np.where(at_synapses, copies.synops.sum(axis=1)[copy], -1),
                "words": np.where(at_synapses, copies.words[copy], -1),
            }
        )
        return slices

    def _steps(self, neuron, copy, number, messages, sent) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The slices that messages pass, and the messages: those with a target, and the sweep in which it all began.

        messages, sent   numbers of the messages, and their rows in the table of copies
        """
        passed = np.flatnonzero(copy >= 0)
        fired = np.flatnonzero((copy < 0) & (neuron >= 0))
        by_neuron = np.full(self.mapping.core.size, -1)
        by_neuron[neuron[fired]] = fired
        source = by_neuron[self.copy_key[sent] // self.machine.cores]
        return np.concatenate((source, passed)), np.concatenate((messages, number[passed]))


def waited_ps(slices: Slices, wire_ps: NDArray[np.int64]) -> NDArray[np.int64]:
    """How long the message of each slice had waited for its station, -1 where it began: int64[slices].

    It can be served once it has left the slice before and passed the wire behind that slice's station.
    """
    row, flow = steps_in_order(slices)
    waited = np.full(slices.track.size, -1)
    follows = np.flatnonzero(flow[1:] == flow[:-1])
    before, here = row[follows], row[follows + 1]
    waited[here] = slices.start_ps[here] - slices.left_ps[before] - wire_ps[slices.track[before]]
    return waited
