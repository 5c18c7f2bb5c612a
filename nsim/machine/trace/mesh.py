"""A run on a chip with a mesh as tracks of a trace: one per stage of a core and per link, messages as flows.

Groups of tracks are the timesteps or frames, the network on chip and the cores, tracks their stages and links. A slice
is a service, or the time a station was blocked after one; it is named after the layer of the neuron that fired. A
message is a flow from the sweep in which its neuron fires, over `send` and the links, to where it enters its
destination core.
"""

from __future__ import annotations

from os import PathLike

import numpy as np
from numpy.typing import NDArray

from nsim.machine.services import Log, waited_ps
from nsim.machine.stations import MeshMachine
from nsim.machine.trace.file import Slices, Track
from nsim.machine.trace.view import open_file
from nsim.mapping.cores.mapping import Mapping

SILENT, FRAME = "silent neurons", "frame"  # names of the rest of a sweep, in which nobody fires, and of a frame's work
TIMESTEPS, NETWORK, FIRST_CORE = 1, 2, 3  # numbers of groups of tracks
STAGES = ("receive", "synapses", "neurons", "send")  # of a core, as messages pass them
LINKS = ("core_to_router", "mesh", "router_to_core")


class MeshTracks:
    """The tracks of a machine with a mesh: its stations by number, then others.

    layers   of every core that holds any
    group    of the other tracks; more: their names
    """

    def __init__(self, machine: MeshMachine, layers: dict[int, str], group: str, more: tuple[str, ...]) -> None:
        self.machine, self.layers, self.group, self.more = machine, layers, group, more

    def __call__(self, number: int) -> Track:
        machine = self.machine
        if number >= machine.stations:
            place = number - machine.stations
            return Track(TIMESTEPS, self.more[place], self.group, order=place)
        kind = machine.kind(number)
        core = number - machine.number(kind, 0)
        if kind in LINKS:
            return Track(NETWORK, self._link(kind, number, core), "network on chip", order=number)
        name = "host" if core == machine.chip.cores else f"core {core}"
        layers = f" ({self.layers[core]})" if core in self.layers else ""
        return Track(FIRST_CORE + core, kind, name + layers, STAGES.index(kind))

    def _link(self, kind: str, number: int, core: int) -> str:
        if kind == "mesh":
            return self.machine.name(number).removeprefix("link ")
        chip = self.machine.chip
        x, y = chip.router_of(core) % chip.columns, chip.router_of(core) // chip.columns
        name = "host" if core == chip.cores else f"core {core}"
        return f"{name}->({x},{y})" if kind == "core_to_router" else f"({x},{y})->{name}"


class MeshServices:
    """Turns services, as the engines log them, into slices and flows; numbers the messages of a run.

    Arguments of a slice: neuron (as in messages.parquet), target_core, message (the number of its flow), waited_ps
    (from when it could be served to when it was), and where a message enters its core synops and words.
    """

    def __init__(self, mapping: Mapping, machine: MeshMachine) -> None:
        self.mapping, self.machine = mapping, machine
        layers = mapping.network.layers
        self.names = (*(layer.name for layer in layers), SILENT, FRAME)
        self.offsets = np.cumsum([layer.neurons for layer in layers])
        source = np.repeat(np.arange(mapping.core.size), np.diff(mapping.copies.indptr))
        self.copy_key = source * machine.cores + mapping.copies.core  # ascends
        self.messages = 0

    def slices(self, log: Log, begin_ps: int = 0, frame: NDArray[np.int64] | None = None) -> Slices:
        """The services of a log whose times count from begin_ps on; frame: int64[services], where frames overlap."""
        station, neuron, target = (log[name].astype(np.int64) for name in ("station", "spike", "target"))
        number, step_slice, step_flow = self._flows(neuron, target, np.zeros_like(neuron) if frame is None else frame)
        slices = Slices(
            station,
            self._name(station, neuron),
            self.names,
            log["start_ps"] + begin_ps,
            log["end_ps"] + begin_ps,
            log["left_ps"] + begin_ps,
            arguments={} if frame is None else {"frame": frame},
            step_slice=step_slice,
            step_flow=step_flow,
        )
        waited = waited_ps(log, self.machine.wire_ps)
        slices.arguments.update({"neuron": neuron, "target_core": target, "message": number, "waited_ps": waited})
        slices.arguments.update(self._work(station, neuron, target))
        return slices

    def _name(self, station: NDArray[np.int64], neuron: NDArray[np.int64]) -> NDArray[np.int64]:
        """The layer of the neuron that fired; or the silent rest of a sweep, or the work on a frame."""
        rest = self.offsets.size + (station >= self.machine.first[5])
        return np.where(neuron < 0, rest, np.searchsorted(self.offsets, neuron, side="right"))

    def _flows(
        self, neuron: NDArray[np.int64], target: NDArray[np.int64], frame: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The message of every service (-1: none), and all steps of messages: the slice, and the message.

        A copy is known by its frame, neuron and destination: a neuron fires once in a frame, or a timestep. It begins
        with the service of the sweep in which that neuron fired.
        """
        spike = frame * self.mapping.core.size + neuron
        passed, fired = np.flatnonzero(target >= 0), np.flatnonzero((target < 0) & (neuron >= 0))
        key = spike[passed] * self.machine.cores + target[passed]
        sent, message = np.unique(key, return_inverse=True)
        fired = fired[np.argsort(spike[fired])]
        source = fired[np.searchsorted(spike[fired], sent // self.machine.cores)]
        number = np.full(neuron.size, -1)
        number[passed] = self.messages + message
        steps = np.concatenate((source, passed))
        flows = np.concatenate((self.messages + np.arange(sent.size), number[passed]))
        self.messages += sent.size
        return number, steps, flows

    def _work(
        self, station: NDArray[np.int64], neuron: NDArray[np.int64], target: NDArray[np.int64]
    ) -> dict[str, NDArray[np.int64]]:
        """Synops and words of the messages that enter their core, -1 elsewhere."""
        copies, first = self.mapping.copies, self.machine.first
        enters = np.flatnonzero((station >= first[5]) & (station < first[6]) & (target >= 0))
        copy = np.searchsorted(self.copy_key, neuron[enters] * self.machine.cores + target[enters])
        columns = {"synops": copies.synops.sum(axis=1), "words": copies.words}
        work = {name: np.full(station.size, -1) for name in columns}
        for name, column in columns.items():
            work[name][enters] = column[copy]
        return work


class PerfettoTrace:
    """Writes every service of a run with timesteps, one timestep behind the other; see nsim/machine/trace/file.py.

    raises  OutputError if the disk is full
    """

    def __init__(self, file: str | PathLike[str], mapping: Mapping, machine: MeshMachine) -> None:
        self.barrier_ps, self.management_ps = mapping.barrier_ps, mapping.management_ps
        self.sample_ps, self.stations = mapping.management.sample_ps, machine.stations
        self.services = MeshServices(mapping, machine)
        layers = {core: "+".join(mapping.layers_of(core)) for core in mapping.used_cores.tolist()}
        tracks = MeshTracks(machine, layers, "timesteps", ("timesteps", "barrier", "management"))
        self.file = open_file(file, mapping.network, mapping.chip.name, tracks)
        self.sample, self.timestep, self.now_ps = -1, 0, 0

    def write(self, sample: int, log: Log) -> None:
        """Add the services of the sample's next timestep, and what comes behind it: the barrier, the management."""
        self.timestep = self.timestep + 1 if sample == self.sample else 1
        self.sample = sample
        done_ps = self.now_ps + int(log["end_ps"].max(initial=0))
        met_ps = done_ps + self.barrier_ps
        end_ps = met_ps + self.management_ps + (self.sample_ps if self.timestep == 1 else 0)
        self.file.add(self._whole(self.now_ps, done_ps, met_ps, end_ps))
        self.file.add(self.services.slices(log, self.now_ps))
        self.now_ps = end_ps

    def close(self) -> None:
        """Complete the file."""
        self.file.close()

    def _whole(self, begin_ps: int, done_ps: int, met_ps: int, end_ps: int) -> Slices:
        """The timestep as a whole, its barrier, and its management."""
        start, end = np.array([begin_ps, done_ps, met_ps]), np.array([end_ps, met_ps, end_ps])
        kept = np.flatnonzero(start < end)  # a chip's barrier may take no time
        names = (f"timestep {self.timestep}", "barrier", "management")
        arguments = {"sample": np.full(kept.size, self.sample), "timestep": np.full(kept.size, self.timestep)}
        return Slices(self.stations + kept, kept, names, start[kept], end[kept], end[kept], "timestep", arguments)
