"""What a run without timesteps tells: what the cores are asked for, what they can do, who waits, what is lost.

The **load** of a station is the time it needs for all that is sent to it, over the time in which that is sent: the
duration of the input. Above 1 it cannot keep up, whatever the queues: delay grows until the input ends, and
backpressure reaches the sensor. What a balancer has dropped counts as asked for, at the mean cost of what was served,
and so do lost ticks of the slow clock.

Outputs are the events that left the chip: t_ps, channel, row, column, and the number `origin` of the sensor event (-1:
a tick of the slow clock).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nsim.machine.events import PATH_KINDS, StreamMachine, coordinates
from nsim.machine.events_times import SensorEvents, StreamTimes
from nsim.mapping.events.mapping import CoreLayer, StreamMapping
from nsim.network.inputs import EventStream
from nsim.result.columns import events
from nsim.result.columns.column import Declared
from nsim.result.columns.events import STAGES
from nsim.result.energy import known_fj
from nsim.result.ranges import Ranges
from nsim.result.result import Limit, Result, Row
from nsim.result.stations import path_rows

PS_PER_SECOND = 10**12
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


@dataclass(frozen=True, eq=False, repr=False)
class StreamResult(Result):
    """A finished run.

    sensor        its events that go anywhere
    event_number  which of the stream they are; copies: to how many cores they go: int64[events] both
    stream        the whole stream
    note          on the input, if it needs one
    """

    declared: ClassVar[Declared] = events.DECLARED
    spans: ClassVar[int] = 1
    spans_planned: ClassVar[int] = 1

    machine: StreamMachine
    engine: str
    seed: int
    sensor: SensorEvents
    event_number: NDArray[np.int64]
    copies: NDArray[np.int64]
    stream: EventStream
    times: StreamTimes
    note: str | None = None
    ranges: Ranges | None = None

    @property
    def mapping(self) -> StreamMapping:
        return self.machine.mapping

    @property
    def streamed(self) -> int:
        """Events of the stream."""
        return len(self.stream)

    @property
    def time_ps(self) -> int:
        """From 0 to the end of all that followed from the input."""
        return self.times.end_ps

    # Loads

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

    # What came too late, or not at all

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
        """By output event that a sensor event caused."""
        times = self.times
        caused = times.output_origin >= 0
        return times.output_ps[caused] - self.sensor.t_ps[times.output_origin[caused]]

    @property
    def drain_ps(self) -> int:
        last = int(self.sensor.t_ps[-1]) if self.sensor.t_ps.size else 0
        return max(0, self.times.end_ps - last)

    # What limits the run

    @property
    def path_ps(self) -> dict[str, int]:
        """The time of the run by state along its critical path: they sum to time_ps. Empty if it was not asked for."""
        path = self.times.path
        if path is None:
            return {}
        totals = {state: int(times.sum()) for state, times in path.by_state_ps(PATH_KINDS).items()}
        return totals | {"input": totals["input"] + path.begin_ps}

    def _busiest(self) -> Limit:
        """The station with the highest load, and how long it was busy."""
        station = self.bottleneck.station
        share = float(self.times.busy_ps[station] / self.time_ps) if self.time_ps else 0.0
        return Limit(self.path_station_name(station), "busy time", share)

    def _critical_path(self) -> list[Row]:
        path = self.times.path
        assert path is not None
        return path_rows(path.service_ps, path.wire_ps, self._named, self.time_ps)

    def _named(self, station: int) -> tuple[str, str]:
        return self.path_station_name(station), self._path_kind(station)[0]

    def path_station_name(self, station: int) -> str:
        """A station with its layer: "conv1 (core 0) synapses"; those beyond the last are sweeps."""
        kind, index = self._path_kind(station)
        if kind not in (*STAGES, "sweeps"):
            return kind
        layer = self.mapping.by_core.get(index)
        return f"{layer.name} (core {index}) {kind}" if layer else f"core {index} {kind}"

    def _path_kind(self, station: int) -> tuple[str, int]:
        """Kind and index of a station on the critical path."""
        machine = self.machine
        if station >= machine.stations:
            return "sweeps", station - machine.stations
        return machine.kind(station), machine.index(station)

    @cached_property
    def actions(self) -> dict[str, int]:
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

    # Tables

    def _cores(self) -> list[Row]:
        """One row for each used core, in the order of the data."""
        return [self._core_row(layer) for layer in self.mapping.layers]

    def _core_row(self, layer: CoreLayer) -> Row:
        times, core, chip = self.times, layer.core, self.mapping.chip
        synapses = self.machine.number("synapses", core)
        on_events_ps = int(times.busy_ps[synapses] - times.sweeps[core] * self.sweep_ps[core])
        row: Row = {"core": core, "layer": layer.name}
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
            "zeros_skipped": int(times.zeros_skipped[core]),
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

    def _layers(self) -> list[Row]:
        return [self._layer_row(layer) for layer in self.mapping.layers]

    def _layer_row(self, layer: CoreLayer) -> Row:
        """The energy is that of its core's actions with a known cost."""
        chip, times, core = self.mapping.chip, self.times, layer.core
        served, synops, spikes = (int(each[core]) for each in (times.events, times.synops, times.spikes))
        messages = int(times.served[self.machine.number("send", core)])
        counts = (
            (chip.event_action(core), served),
            (chip.synop_action(core), synops),
            ("leak_update", int(times.sweeps[core] * self.machine.neurons[core])),
            ("message_out", messages),
        )
        return {
            "layer": layer.name,
            "core": core,
            "shape": "x".join(map(str, layer.layer.shape)),
            "neurons": layer.layer.neurons,
            "events_served": served,
            "synops": synops,
            "zeros_skipped": int(times.zeros_skipped[core]),
            "synops_per_event": synops / served if served else 0.0,
            "spikes": spikes,
            "spikes_per_event": spikes / served if served else 0.0,
            "messages": messages,
            "known_dynamic_energy_fj": known_fj(chip, counts),
        }

    def _events(self) -> dict[str, Any]:
        """Late sensor events, then those of which a balancer dropped something, in order; one row each."""
        times, late = self.times, self.late
        number = np.maximum(-1, np.concatenate((late, times.dropped_origin)))  # -1 for what a tick caused
        address, t_ps, event = (
            np.concatenate((of_events, [-1]))[number]
            for of_events in (self.sensor.address, self.sensor.t_ps, self.event_number)
        )
        channel, row, column = (np.where(number >= 0, part, -1) for part in coordinates(address))
        return {
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

    # Summary

    def _own_summary(self) -> dict[str, Any]:
        times = self.times
        return {
            "input_events": self.streamed,
            "input_duration_ps": self.duration_ps,
            "input_events_per_s": self.per_second(self.streamed),
            "input_events_unused": self.streamed - self.sensor.t_ps.size,
            "output_events": times.output_ps.size,
            **self._latencies(),
            "drain_ps": self.drain_ps,
            **self._limits(),
            **self._too_late(),
            "lost_ticks": int(times.lost_ticks.sum()),
            **{name: int(getattr(times, name).sum()) for name in ("events", "synops", "zeros_skipped", "spikes")},
            "mean_power_mw": self.energy.known_fj / times.end_ps if times.end_ps else None,
            "cores_used": len(self.mapping.layers),
            "cores_available": self.mapping.chip.cores,
        }

    def _latencies(self) -> dict[str, float | None]:
        names = ("latency_min_ps", "latency_median_ps", "latency_p99_ps", "latency_max_ps")
        if not self.latency_ps.size:
            return dict.fromkeys(names)
        return dict(zip(names, map(float, np.percentile(self.latency_ps, (0, 50, 99, 100))), strict=True))

    def _limits(self) -> dict[str, Any]:
        station = self.bottleneck.station
        kind, index = self.machine.kind(station), self.machine.index(station)
        at_core = kind in STAGES and index in self.mapping.by_core
        rate, factor = self.per_second(self.streamed), self.fitting_factor
        return {
            "bottleneck": {
                "station": kind,
                "core": index if at_core else None,
                "layer": self.mapping.by_core[index].name if at_core else None,
                "load": self.bottleneck.total,
                "faster_core": self.mapping.faster_core(index) if at_core else None,
            },
            "overloaded_cores": [row["core"] for row in self.rows("cores") if row["load"] > 1],
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

    def provenance(self) -> dict[str, Any]:
        """What it takes to repeat the run."""
        facts = super().provenance()
        return {**facts, "notes": facts["notes"] + ([self.note] if self.note else [])}
