"""The floorline of a stream: the least time until all that its events bring about is done, from counts and costs alone.

Whatever the order of events, this lasts at least as long as
  memory    the synapses of the busiest core: receiving its events, and reading and adding weights
  compute   the sweeps that the slow clock asks of a core, in the same station: they add to its events
Where it is known which event or tick brought each service of a core about, and in which order the core served them, it
also lasts until a core has served them if none begins before what brought it about has come: after a pause of the
input, what comes then is still to be done.
  traffic   the busiest sensor, send stage, link or output: the copies that pass it
  input     the last event of the sensor, or the last tick: nothing is over before it has come
It never sees simulated times: counts and the sensor's events go in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsim.machine.events import SWEEP, StreamMachine
from nsim.machine.events_times import SensorEvents, StreamTimes
from nsim.machine.services import Log
from nsim.mapping.events.kernels import copies_of, count_synops, last_ends
from nsim.result.limits.bounds import Bounds

STATES = ("memory", "compute", "traffic", "input")


@dataclass(frozen=True, eq=False)
class StreamCounts:
    """What a run is asked for, however long it takes: int64.

    events, synops, sweeps   by core
    served                   by station: copies that pass it
    services                 one by one, where a run recorded them
    """

    events: NDArray[np.int64]
    synops: NDArray[np.int64]
    sweeps: NDArray[np.int64]
    served: NDArray[np.int64]
    services: Log | None = None


def counts_of(times: StreamTimes) -> StreamCounts:
    """The counts among what an engine measures."""
    services = None if times.path is None else times.services
    return StreamCounts(times.events, times.synops, times.sweeps, times.served, services)


def stream_bounds(machine: StreamMachine, counts: StreamCounts, sensor: SensorEvents) -> Bounds:
    """Bounds of one run, as one span."""
    cores = machine.cores
    memory = np.maximum(counts.events, counts.events * cores["event_ps"] + counts.synops * cores["synop_ps"])
    compute = counts.sweeps * np.maximum(1, machine.neurons * cores["update_ps"])
    ways = slice(machine.number("sensor"), machine.number("synapses"))
    traffic = (counts.served * machine.service_ps)[ways]
    first_ps, arrival_ps = _first_event_ps(machine, sensor) if not counts.sweeps.any() else (0, 0)  # sweeps may spike
    busy = memory + compute + np.where(memory > 0, arrival_ps, 0)
    passed = traffic + np.where(traffic > 0, first_ps, 0)
    input_ps = _input_ps(machine, sensor)
    core = int(busy.argmax())
    terms = int(memory[core]), int(compute[core]), int(traffic.max(initial=0)), input_ps
    least = max(int(busy[core]), int(passed.max(initial=0)), input_ps)
    if counts.services is not None:
        least = max(least, int(_last_ends_ps(machine, counts.services, sensor).max()))
    return Bounds(
        {state: np.array([term]) for state, term in zip(STATES, terms, strict=True)},
        np.array([least]),
        {"memory": np.array([int(memory.argmax())]), "compute": np.array([int(compute.argmax())])},
        np.array([int(traffic.argmax()) + machine.number("sensor")]),
        np.array([int(counts.synops.max())]),
    )


def _last_ends_ps(machine: StreamMachine, services: Log, sensor: SensorEvents) -> NDArray[np.int64]:
    """When every core can have served all, if what the services come from had no way but sensor and link behind it."""
    services = services[services["station"] >= machine.number("synapses")]
    core, swept = services["station"] - machine.number("synapses"), services["spike"] == SWEEP
    origin = services["origin"]
    cores = machine.cores[core]
    synops = count_synops(machine.cores, machine.taps, core, np.where(swept, 0, services["spike"]))
    service_ps = np.where(
        swept, machine.neurons[core] * cores["update_ps"], cores["event_ps"] + synops * cores["synop_ps"]
    )
    by_tick = origin < 0
    way_ps = int(machine.service_ps[machine.number("sensor")]) + _way_in_ps(machine)
    begin_ps = -origin * machine.tick_ps
    begin_ps[~by_tick] = sensor.t_ps[origin[~by_tick]] + way_ps
    return last_ends(core, begin_ps, np.maximum(1, service_ps), machine.cores.size)


def _way_in_ps(machine: StreamMachine) -> int:
    """From the end of an event's service at the sensor until it has passed a link, at least."""
    sources = machine.sources[-1]
    links = machine.ways["station"][sources["first"] : sources["end"]]
    return int(machine.wire_ps[machine.number("sensor")] + machine.service_ps[links].min())


def _first_event_ps(machine: StreamMachine, sensor: SensorEvents) -> tuple[int, int]:
    """The sensor's first event, and when it has passed sensor and link: before, no core has anything to do."""
    if not sensor.t_ps.size:
        return 0, 0
    first_ps = int(sensor.t_ps[0])
    return first_ps, first_ps + int(machine.service_ps[machine.number("sensor")]) + _way_in_ps(machine)


def _input_ps(machine: StreamMachine, sensor: SensorEvents) -> int:
    """The last event with all its copies past sensor and link, or the last tick of the slow clock."""
    last_tick = sensor.duration_ps // machine.tick_ps * machine.tick_ps if machine.tick_ps else 0
    if not sensor.t_ps.size:
        return last_tick
    source = machine.sources[-1]
    copies = int(copies_of(machine.ways, source["first"], source["end"], sensor.address[-1:])[0])
    served_ps = int(sensor.t_ps[-1] + copies * machine.service_ps[machine.number("sensor")])
    return max(last_tick, served_ps + _way_in_ps(machine))
