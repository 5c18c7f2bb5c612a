"""What a run without timesteps tells: what the cores are asked for, what they can do, who waits, what is lost.

The **load** of a station is the time it needs for all that is sent to it, over the time in which that is sent: the
duration of the input. Above 1 it cannot keep up, whatever the queues: delay grows until the input ends, and
backpressure reaches the sensor. What a balancer has dropped counts as asked for, at the mean cost of what was served,
and so do lost ticks of the slow clock.

Keys of summary.json, units at their ends:
  network, chip, engine
  input_events, input_duration_ps, input_events_per_s   of the stream
  input_events_unused      of these, beyond the last whole pooling window: they go nowhere
  output_events            that left the chip
  latency_min_ps, latency_median_ps, latency_p99_ps, latency_max_ps   of output events, from the sensor event that
                           brought them about to leaving the chip; null if there are none
  drain_ps                 from the last input event to the end of all that followed from it
  end_ps                   from 0 to then
  bottleneck               the station with the highest load, its core, layer and load: station, core, layer, load
  overloaded_cores         numbers of the cores of which a station has a load above 1
  fitting_input_factor, fitting_input_events_per_s   by how much the same mix of events could be faster (or, below 1,
                           must be slower) for the bottleneck to just keep up; null without any load
  late_events, first_late_event, first_late_event_ps, longest_delay_ps   sensor events that entered later than they
                           would have, had nothing pushed back; number in the stream and time of the first
  sensor_blocked_ps, sensor_blocked_share   backpressure at the sensor, and its share of the time until its last event
                           has entered
  lost_events, first_lost_event, first_lost_event_core   events that balancers dropped; number in the stream of the
                           sensor event that brought the first of them about (null if a tick did), and before which core
  lost_ticks               slow-clock ticks that found the sweep before still waiting, summed over cores
  events, synops, spikes   served by, done by and made by all cores
  critical_path_ps         time of the run by state along its critical path; empty if it was not recorded
  known_energy_fj, known_dynamic_energy_fj, mean_power_mw   of the terms with a known cost, over end_ps
  energy_by_action_fj, actions_without_known_energy         null where the cost of an action is not known
  cores_used, cores_available
  reproducibility          seed, versions, hash of the chip file, notes, basis of every constant
Tables: cores.csv, layers.csv; events.csv with the late and the lost; critical_path.csv, if it was recorded.
outputs.npy: the events that left the chip, with the fields t_ps, channel, row, column, and the number `origin` of the
sensor event (-1: a tick of the slow clock).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nsim.energy import Energy, energy_of, known_cost_fj
from nsim.result import data_frame, provenance
from nsim.stream.machine import StreamMachine, coordinates
from nsim.stream.mapping import CoreLayer, StreamMapping
from nsim.stream.times import SensorEvents, StreamTimes

if TYPE_CHECKING:
    import pandas as pd

PS_PER_SECOND = 10**12
STAGES = ("link", "synapses", "send")  # of a core, in the order in which an event passes them
OUTPUT = np.dtype([("t_ps", "i8"), ("channel", "i4"), ("row", "i4"), ("column", "i4"), ("origin", "i8")])


@dataclass(frozen=True)
class Load:
    """What one station is asked for, as a share of the input's duration.

    events  that grows with the events; fixed: that does not (sweeps of the slow clock)
    """

    station: int
    events: float
    fixed: float

    @property
    def total(self) -> float:
        return self.events + self.fixed

    @property
    def factor(self) -> float:
        """By how much the events could be faster."""
        return max(0.0, 1 - self.fixed) / self.events if self.events else np.inf


@dataclass(frozen=True, eq=False)
class StreamResult:
    """A finished run.

    sensor        its events that go anywhere
    event_number  which of the stream they are; copies: to how many cores they go: int64[events] both
    streamed      all events of the stream
    note          on the input, if it needs one
    """

    machine: StreamMachine
    engine: str
    seed: int
    sensor: SensorEvents
    event_number: NDArray[np.int64]
    copies: NDArray[np.int64]
    streamed: int
    times: StreamTimes
    note: str | None = None

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that are written."""
        return ("cores", "layers", "events", *(("critical_path",) if self.states else ()))

    @property
    def mapping(self) -> StreamMapping:
        return self.machine.mapping

    # --- loads

    @property
    def duration_ps(self) -> int:
        return self.sensor.duration_ps

    @cached_property
    def lost_by_core(self) -> NDArray[np.int64]:
        return np.bincount(self.times.dropped_core, minlength=self.machine.drops.size)

    @cached_property
    def offered(self) -> NDArray[np.float64]:
        """By core: events sent to it over events served."""
        served = self.times.events
        return (served + self.lost_by_core) / np.maximum(served, 1)

    @cached_property
    def sweep_ps(self) -> NDArray[np.int64]:
        """By core: the time of one sweep."""
        return np.maximum(1, self.machine.neurons * self.machine.cores["update_ps"])

    @cached_property
    def loads(self) -> list[Load]:
        """Of all stations but the clock. Without a duration there is no rate, and no load."""
        machine, duration = self.machine, self.duration_ps
        fixed, scaling = np.zeros(machine.stations), self.times.busy_ps.astype(np.float64)
        synapses = machine.of("synapses")
        scaling[synapses] = (scaling[synapses] - self.times.sweeps * self.sweep_ps) * self.offered
        fixed[synapses] = (self.times.sweeps + self.times.lost_ticks) * self.sweep_ps
        if duration == 0:
            fixed[:], scaling[:], duration = 0, 0, 1
        pairs = zip((scaling / duration).tolist(), (fixed / duration).tolist(), strict=True)
        return [Load(station, events, sweeps) for station, (events, sweeps) in enumerate(pairs)]

    @cached_property
    def bottleneck(self) -> Load:
        return max(self.loads[1:], key=lambda load: load.total)

    @property
    def fitting_factor(self) -> float | None:
        factor = min(load.factor for load in self.loads[1:])
        return factor if np.isfinite(factor) else None

    def load_of(self, core: int, stage: str) -> Load:
        return self.loads[self.machine.number(stage, core)]

    # --- what came too late, or not at all

    @cached_property
    def late_ps(self) -> NDArray[np.int64]:
        """By sensor event: how much later it entered than if nothing had pushed back."""
        service = self.copies * self.machine.service_ps[self.machine.number("sensor")]
        before = np.cumsum(service) - service
        free = np.maximum.accumulate(self.sensor.t_ps - before) + before
        return self.times.entered_ps - free

    @property
    def late(self) -> NDArray[np.int64]:
        """Places of the late events among the sensor's."""
        return np.flatnonzero(self.late_ps)

    @cached_property
    def latency_ps(self) -> NDArray[np.int64]:
        """By output event that a sensor event brought about."""
        times = self.times
        caused = times.output_origin >= 0
        return times.output_ps[caused] - self.sensor.t_ps[times.output_origin[caused]]

    @property
    def drain_ps(self) -> int:
        last = int(self.sensor.t_ps[-1]) if self.sensor.t_ps.size else 0
        return max(0, self.times.end_ps - last)

    # --- what limits it

    @property
    def states(self) -> dict[str, int] | None:
        """The time of the run by state along its critical path: they sum to end_ps. None if it was not asked for."""
        return None if self.times.path is None else self.times.path.by_state_ps

    @cached_property
    def critical_stations(self) -> list[dict[str, Any]]:
        """The stations on the critical path, those with the largest share first."""
        path = self.times.path
        if path is None:
            return []
        spent = path.times.service_ps + path.times.wire_ps
        rows = [
            {
                "station": self.path_station_name(station),
                "kind": self._path_kind(station)[0],
                "service_ps": int(path.times.service_ps[station]),
                "wire_ps": int(path.times.wire_ps[station]),
                "share": float(spent[station] / self.times.end_ps),
            }
            for station in np.flatnonzero(spent).tolist()
        ]
        return sorted(rows, key=lambda row: -row["share"])

    def path_station_name(self, station: int) -> str:
        """A station with its layer: "conv1 (core 0) synapses"; those beyond the last are sweeps."""
        kind, index = self._path_kind(station)
        if kind not in (*STAGES, "sweeps"):
            return kind
        layer = self.mapping.by_core.get(index)
        return f"{layer.name} (core {index}) {kind}" if layer else f"core {index} {kind}"

    def _path_kind(self, station: int) -> tuple[str, int]:
        """Kind and index of a station on the critical path."""
        sweep = station >= self.machine.stations
        return ("sweeps", station - self.machine.stations) if sweep else self.machine.kind(station)

    @cached_property
    def critical_path(self) -> pd.DataFrame:
        """One row per station on the critical path."""
        return data_frame(self.critical_stations)

    # --- energy

    @cached_property
    def actions(self) -> dict[str, int]:
        """How often each action of the chip file occurred, its links included."""
        chip, times, machine = self.mapping.chip, self.times, self.machine
        counts: dict[str, int] = {}
        for core in self.mapping.by_core:
            for name, done in ((chip.event_action(core), times.events), (chip.synop_action(core), times.synops)):
                counts[name] = counts.get(name, 0) + int(done[core])
        counts["leak_update"] = int((times.sweeps * machine.neurons).sum())
        counts["message_out"] = int(times.served[machine.of("send")].sum())
        for link, kind in (("sensor", "sensor"), ("core", "link"), ("output", "output")):
            counts[link] = int(times.served[machine.of(kind)].sum())
        return counts

    @cached_property
    def energy(self) -> Energy:
        return energy_of(self.mapping.chip, self.actions, {}, self.times.end_ps)

    # --- tables

    @cached_property
    def core_rows(self) -> list[dict[str, Any]]:
        """The table `cores` by row: one for each used core, in the order of the data."""
        return [self._core_row(layer) for layer in self.mapping.layers]

    def _core_row(self, layer: CoreLayer) -> dict[str, Any]:
        times, core, chip = self.times, layer.core, self.mapping.chip
        synapses = self.machine.number("synapses", core)
        on_events_ps = int(times.busy_ps[synapses] - times.sweeps[core] * self.sweep_ps[core])
        row: dict[str, Any] = {"core": core, "layer": layer.name}
        for name, needed in layer.entries.items():
            row[f"{name}_entries"], row[f"{name}_entries_available"] = (
                needed,
                getattr(chip.memories, f"{name}_entries")[core],
            )
        row |= {
            "events_sent_to_it": int(times.events[core] + self.lost_by_core[core]),
            "events_served": int(times.events[core]),
            "events_lost": int(self.lost_by_core[core]),
            "synops": int(times.synops[core]),
            "spikes": int(times.spikes[core]),
            "sweeps": int(times.sweeps[core]),
            "lost_ticks": int(times.lost_ticks[core]),
            "load": max(self.load_of(core, stage).total for stage in STAGES),
            "synops_per_s_asked_for": self.per_second(times.synops[core] * self.offered[core]),
            "synops_per_s_ceiling": int(times.synops[core]) * PS_PER_SECOND / on_events_ps if on_events_ps else None,
            "fitting_input_factor": min(self.load_of(core, stage).factor for stage in STAGES),
        }
        for stage in STAGES:
            station = self.machine.number(stage, core)
            row[f"{stage}_load"] = self.loads[station].total
            row[f"{stage}_busy_ps"] = int(times.busy_ps[station])
            row[f"{stage}_blocked_ps"] = int(times.blocked_ps[station])
            row[f"{stage}_longest_queue"] = int(times.longest_queue[station])
        return row

    def per_second(self, count: float) -> float | None:
        """A count of the run as a rate over the duration of the input, if that has one."""
        return float(count) * PS_PER_SECOND / self.duration_ps if self.duration_ps else None

    @cached_property
    def layer_rows(self) -> list[dict[str, Any]]:
        """The table `layers` by row. The energy is that of its core's actions with a known cost."""
        chip, times = self.mapping.chip, self.times
        rows = []
        for layer in self.mapping.layers:
            core = layer.core
            served, spikes = int(times.events[core]), int(times.spikes[core])
            counts = (
                (served, chip.event_action(core)),
                (int(times.synops[core]), chip.synop_action(core)),
                (int(times.sweeps[core] * self.machine.neurons[core]), "leak_update"),
                (int(times.served[self.machine.number("send", core)]), "message_out"),
            )
            rows.append(
                {
                    "layer": layer.name,
                    "core": core,
                    "shape": "x".join(map(str, layer.layer.shape)),
                    "neurons": layer.layer.neurons,
                    "events_served": served,
                    "synops": int(times.synops[core]),
                    "synops_per_event": int(times.synops[core]) / served if served else 0.0,
                    "spikes": spikes,
                    "spikes_per_event": spikes / served if served else 0.0,
                    "messages": counts[-1][0],
                    "known_dynamic_energy_fj": sum(count * known_cost_fj(chip, action) for count, action in counts),
                }
            )
        return rows

    @cached_property
    def cores(self) -> pd.DataFrame:
        return data_frame(self.core_rows)

    @cached_property
    def layers(self) -> pd.DataFrame:
        return data_frame(self.layer_rows)

    @cached_property
    def events(self) -> pd.DataFrame:
        """Late sensor events, then those of which a balancer dropped something, in order; one row each."""
        times, late = self.times, self.late
        number = np.maximum(-1, np.concatenate((late, times.dropped_origin)))  # -1 for what a tick caused
        address, t_ps, event = (
            np.concatenate((of_events, [-1]))[number]
            for of_events in (self.sensor.address, self.sensor.t_ps, self.event_number)
        )
        channel, row, column = (np.where(number >= 0, part, -1) for part in coordinates(address))
        return data_frame(
            {
                "what": ["late"] * late.size + ["lost"] * times.dropped_ps.size,
                "event": event,
                "t_ps": t_ps,
                "channel": channel,
                "row": row,
                "column": column,
                "late_ps": np.concatenate((self.late_ps[late], np.zeros(times.dropped_ps.size, np.int64))),
                "lost_ps": np.concatenate((np.full(late.size, -1), times.dropped_ps)),
                "lost_before_core": np.concatenate((np.full(late.size, -1), times.dropped_core)),
            }
        )

    @property
    def outputs(self) -> NDArray:
        """The events that left the chip, in the order of leaving; fields as in the head of this module."""
        times = self.times
        outputs = np.empty(times.output_ps.size, OUTPUT)
        outputs["t_ps"] = times.output_ps
        outputs["channel"], outputs["row"], outputs["column"] = coordinates(times.output_address)
        caused = times.output_origin >= 0
        outputs["origin"] = -1
        outputs["origin"][caused] = self.event_number[times.output_origin[caused]]
        return outputs

    # --- summary

    def summary(self) -> dict[str, Any]:
        """The run in numbers; keys carry their units. The content of summary.json, see the head of this module."""
        times, energy = self.times, self.energy
        return {
            "network": self.mapping.network.name,
            "chip": self.mapping.chip.name,
            "engine": self.engine,
            "input_events": self.streamed,
            "input_duration_ps": self.duration_ps,
            "input_events_per_s": self.per_second(self.streamed),
            "input_events_unused": self.streamed - self.sensor.t_ps.size,
            "output_events": times.output_ps.size,
            **self._latencies(),
            "drain_ps": self.drain_ps,
            "end_ps": times.end_ps,
            **self._limits(),
            **self._too_late(),
            "lost_ticks": int(times.lost_ticks.sum()),
            **{name: int(getattr(times, name).sum()) for name in ("events", "synops", "spikes")},
            "known_energy_fj": energy.known_fj,
            "known_dynamic_energy_fj": energy.dynamic_fj,
            "mean_power_mw": energy.known_fj / times.end_ps if times.end_ps else None,
            "energy_by_action_fj": energy.by_action_fj,
            "actions_without_known_energy": energy.unknown,
            "critical_path_ps": self.states or {},
            "cores_used": len(self.mapping.layers),
            "cores_available": self.mapping.chip.cores,
        }

    def _latencies(self) -> dict[str, float | None]:
        names = ("latency_min_ps", "latency_median_ps", "latency_p99_ps", "latency_max_ps")
        if not self.latency_ps.size:
            return dict.fromkeys(names)
        return dict(zip(names, map(float, np.percentile(self.latency_ps, (0, 50, 99, 100))), strict=True))

    def _limits(self) -> dict[str, Any]:
        kind, index = self.machine.kind(self.bottleneck.station)
        at_core = kind in STAGES and index in self.mapping.by_core
        rate, factor = self.per_second(self.streamed), self.fitting_factor
        return {
            "bottleneck": {
                "station": kind,
                "core": index if at_core else None,
                "layer": self.mapping.by_core[index].name if at_core else None,
                "load": self.bottleneck.total,
            },
            "overloaded_cores": [row["core"] for row in self.core_rows if row["load"] > 1],
            "fitting_input_factor": factor,
            "fitting_input_events_per_s": None if factor is None or rate is None else factor * rate,
        }

    def _too_late(self) -> dict[str, Any]:
        times, late = self.times, self.late
        blocked = int(times.blocked_ps[self.machine.number("sensor")])
        watched_ps = max(self.duration_ps, int(times.entered_ps.max(initial=0)))
        lost = times.dropped_origin
        first_lost = int(self.event_number[lost[0]]) if lost.size and lost[0] >= 0 else None
        return {
            "late_events": int(late.size),
            "first_late_event": int(self.event_number[late[0]]) if late.size else None,
            "first_late_event_ps": int(self.sensor.t_ps[late[0]]) if late.size else None,
            "longest_delay_ps": int(self.late_ps.max(initial=0)),
            "sensor_blocked_ps": blocked,
            "sensor_blocked_share": blocked / watched_ps if watched_ps else None,
            "lost_events": int(lost.size),
            "first_lost_event": first_lost,
            "first_lost_event_core": int(times.dropped_core[0]) if lost.size else None,
        }

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from nsim.report.notebook import html

        return html(self)

    def provenance(self) -> dict[str, Any]:
        """What it takes to repeat the run."""
        facts = provenance(self.mapping.network, self.mapping.chip, self.seed)
        return {**facts, "notes": facts["notes"] + ([self.note] if self.note else [])}
