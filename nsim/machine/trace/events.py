"""A run on a chip without timesteps as tracks of a trace for Perfetto, written once the run has ended.

Groups of tracks are the ends of the chip (sensor, slow clock, output) and the cores, a track per station. Every copy of
an event is a message: a flow from the service that brought it about (the sensor's, or that of the synapses whose neuron
fired, and of `send`) over the link into its core to the synapses there. A slice is named after the layer of the neuron
that fired, or the sensor.
"""

from __future__ import annotations

from os import PathLike

import numpy as np
from numpy.typing import NDArray

from nsim.machine.events import StreamMachine, coordinates
from nsim.machine.events_times import StreamTimes
from nsim.machine.services import Log, waited_ps
from nsim.machine.trace.file import Slices, Track
from nsim.machine.trace.view import open_file
from nsim.mapping.events.mapping import StreamMapping

ENDS, FIRST_CORE = 1, 2  # numbers of groups of tracks
OUTSIDE = {"sensor": "sensor", "clock": "slow clock", "output": "output"}
INSIDE = ("link", "synapses", "send")


class StreamTracks:
    """The tracks of a machine, by the number of the station."""

    def __init__(self, machine: StreamMachine) -> None:
        self.machine, self.by_core = machine, machine.mapping.by_core

    def __call__(self, number: int) -> Track:
        kind, core = self.machine.kind(number), self.machine.index(number)
        if kind in OUTSIDE:
            return Track(ENDS, OUTSIDE[kind], "ends of the chip", list(OUTSIDE).index(kind))
        name = f"core {core} ({self.by_core[core].name})" if core in self.by_core else f"core {core}"
        return Track(FIRST_CORE + core, kind, name, INSIDE.index(kind))


class StreamTrace:
    """Writes every service of a run without timesteps; see nsim/machine/trace/file.py.

    Arguments of a slice: event (the number of the sensor event behind it, not for what the slow clock caused), message
    (the number of its flow), channel, row and column of its address, and on links and at synapses waited_ps (from when
    it could be served to when it was).
    raises  OutputError if the disk is full
    """

    def __init__(self, file: str | PathLike[str], machine: StreamMachine) -> None:
        self.machine = machine
        mapping: StreamMapping = machine.mapping
        self.file = open_file(file, mapping.network, mapping.chip.name, StreamTracks(machine))
        self.names = (*(mapping.by_core[c].name if c in mapping.by_core else "" for c in range(machine.drops.size)),)
        self.names += ("sensor", "tick", "sweep")

    def write(self, times: StreamTimes, event_number: NDArray[np.int64]) -> None:
        """Add the services of a run that recorded them, and complete the file.

        event_number   int64[sensor events], their numbers in the whole input
        """
        services = times.services
        station, before = services["station"].astype(np.int64), services["before"].astype(np.int64)
        address, origin = services["spike"], services["origin"]
        message, step_slice, step_flow = self._flows(station, before)
        channel, row, column = (np.where(address < 0, -1, part) for part in coordinates(np.maximum(address, 0)))
        ticks = station == self.machine.number("clock")
        arguments = {
            "tick": np.where(ticks, address, -1),
            "event": np.append(event_number, -1)[np.maximum(origin, -1)],
            "message": message,
            **{
                name: np.where(ticks, -1, part)
                for name, part in (("channel", channel), ("row", row), ("column", column))
            },
            "waited_ps": self._waited_ps(services),
        }
        name = self._name(station, address, before)
        when = services["start_ps"], services["end_ps"], services["left_ps"]
        self.file.add(
            Slices(station, name, self.names, *when, arguments=arguments, step_slice=step_slice, step_flow=step_flow)
        )
        self.file.close()

    def _is(self, station: NDArray[np.int64], *kinds: str) -> NDArray[np.bool_]:
        """Whether stations are of one of these kinds."""
        return np.logical_or.reduce(
            [(station >= self.machine.of(kind).start) & (station < self.machine.of(kind).stop) for kind in kinds]
        )

    def _flows(
        self, station: NDArray[np.int64], before: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The message of every service (-1: none), and all steps of messages: the slice, and the message.

        Every service of the sensor or of `send` begins a message, which has the number of that service among them.
        """
        begins = self._is(station, "sensor", "send")
        message = np.where(begins, np.cumsum(begins) - 1, -1)
        for kinds in (("link", "output"), ("synapses",)):  # the service before is numbered by then
            here = np.flatnonzero(self._is(station, *kinds) & (before >= 0))
            message[here] = message[before[here]]
        born = np.flatnonzero(begins & (before >= 0))  # begun by the service that brought the spike about
        passed = np.flatnonzero(message >= 0)
        return message, np.concatenate((before[born], passed)), np.concatenate((message[born], message[passed]))

    def _name(
        self, station: NDArray[np.int64], address: NDArray[np.int64], before: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Who sent what is served: the layer on a core, the sensor or the clock; or a sweep."""
        sensor, tick, sweep = (len(self.names) - back for back in (3, 2, 1))
        name = np.full(station.size, sweep)
        name[self._is(station, "sensor")], name[self._is(station, "clock")] = sensor, tick
        sent = self._is(station, "send")
        name[sent] = station[sent] - self.machine.number("send")
        for kinds in (("link", "output"), ("synapses",)):
            here = np.flatnonzero(self._is(station, *kinds) & (address >= 0))
            name[here] = name[before[here]]
        return name

    def _waited_ps(self, services: Log) -> NDArray[np.int64]:
        """From when an event could be served to when it was, -1 where the log does not tell.

        When one of several spikes of a service has left for `send` is not logged.
        """
        passing = self._is(services["station"], "link", "output", "synapses")
        return np.where(passing, waited_ps(services, self.machine.wire_ps), -1)
