"""What a run of frames tells: latency and rate, energy, what every core waits for, as numbers, tables and files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nsim.activity import Activity
from nsim.counts import Counts
from nsim.critical_path import PathTimes
from nsim.energy import Energy, crossings_by_kind, energy_of
from nsim.frame.chip import FrameChip
from nsim.frame.machine import FrameMachine, FrameTimes, dataflow
from nsim.frame.mapping import FrameMapping, Part, Sequence
from nsim.result import data_frame, link_crossings, link_rows, provenance

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class SequenceRun:
    """The frames of a run in one hardware sequence.

    alone    times of the first frame with nothing else on the chip
    path     what the critical path of that consists of; None if it was not recorded
    times    of all frames, as many of them in flight as the chip allows
    counts   by frame
    activity what every neuron sent for these frames
    """

    mapping: Sequence
    machine: FrameMachine
    alone: FrameTimes
    path: PathTimes | None
    times: FrameTimes
    counts: Counts
    activity: Activity

    @property
    def frames(self) -> int:
        return self.times.frames

    @property
    def total_ps(self) -> int:
        return int(self.times.left_ps[-1])

    @cached_property
    def work_ps(self) -> NDArray[np.int64]:
        """Time that every core worked on each frame: int64[frames, cores + 1]."""
        return self.times.worked_ps - self.times.begin_ps

    @cached_property
    def busy_ps(self) -> NDArray[np.int64]:
        """Time every station served messages, or frames, over the run: int64[stations]. Counts x service times."""
        counts, first = self.counts, self.machine.first
        busy = self.machine.service_ps.copy()
        busy[first[0] : first[1]] = counts.core_sweep_ps.sum(axis=0)
        busy[first[1] : first[2]] *= counts.core_messages_out.sum(axis=0)
        busy[first[2] : first[5]] *= counts.link_messages.sum(axis=0)
        busy[first[5] : first[6]] *= counts.core_messages_in.sum(axis=0)
        busy[first[6] :] = self.work_ps.sum(axis=0)
        return busy

    @cached_property
    def free_ps(self) -> NDArray[np.int64]:
        """When every core could take each frame, having finished the one before: int64[frames, cores + 1]."""
        before = np.roll(self.times.finished_ps, 1, axis=0)
        before[0] = 0
        return before

    @property
    def waiting_for_input_ps(self) -> NDArray[np.int64]:
        """Time that every core waited for each frame to arrive, or, if it is fed by no core, to be let in."""
        return np.maximum(0, self.times.input_ps - self.free_ps)

    @property
    def waiting_for_room_ps(self) -> NDArray[np.int64]:
        """Time that every core then waited for an input buffer of the cores it sends to."""
        return self.times.begin_ps - np.maximum(self.times.input_ps, self.free_ps)

    def station_ps(self, table: NDArray[np.int64], kind: str, core: int) -> int:
        return int(table[self.machine.number(kind, core)])

    def station_name(self, station: int) -> str:
        """A station with the layer of its core: "conv_1 (NP 2 of node (3,1)) synapses"."""
        machine = self.machine
        name, kind = machine.name(station), machine.kind(station)
        core = station - machine.number(kind, 0)
        layers = [part.layer for part in self.mapping.parts if part.core == core]
        if kind == "mesh" or not layers:
            return name
        return name.replace(f"core {core}", f"{layers[0]} ({core_name(self.mapping.chip, core)})", 1)

    def actions(self) -> dict[str, int]:
        """How often each action of the chip file occurred."""
        chip, counts = self.mapping.chip, self.counts
        on_chip = slice(0, chip.cores)
        events = int(counts.core_messages_in[:, on_chip].sum())
        return {
            "neuron_update": int(self.mapping.allocated[on_chip].sum()) * self.frames,
            "spike": int(counts.core_spikes[:, on_chip].sum()),
            "message_out": int(counts.core_messages_out[:, on_chip].sum()),
            "message_in": events,
            "frame": len(self.mapping.parts) * self.frames,
            "event": events,
            "step": self._steps(events),
            "synop": int(counts.core_synops.sum()),
            "synop_input": self.input_synops * self.frames,
        }

    def _steps(self, events: int) -> int:
        """Steps of the work on messages, from the time they took."""
        chip = self.mapping.chip
        event_ps, step_ps = chip.action_ps("event"), chip.action_ps("step")
        work_ps = int(self.counts.core_synapse_ps[:, : chip.cores].sum())
        return round((work_ps - events * event_ps) / step_ps) if step_ps else events

    @cached_property
    def input_synops(self) -> int:
        """Multiplications of the input block for one frame, whatever the image."""
        network = self.mapping.network
        inside = [part for part in self.mapping.parts if part.kind == "input"]
        return sum(int(network.incoming(part.layer)[0].synapses.fan_out(part.sums).sum()) for part in inside)


@dataclass(frozen=True, eq=False)
class FrameResult:
    """A finished run.

    planned_frames   more than were done if the run was interrupted
    runs             by hardware sequence
    outputs          [frames, outputs]   what the last layer sent; None if activity was drawn
    """

    mapping: FrameMapping
    engine: str
    seed: int
    planned_frames: int
    runs: tuple[SequenceRun, ...]
    outputs: NDArray | None

    # --- times and energy

    @property
    def chip(self) -> FrameChip:
        return self.mapping.chip

    @property
    def done_frames(self) -> int:
        return self.runs[0].frames

    @property
    def program_ps(self) -> int:
        """Time to program all sequences."""
        return sum(run.mapping.program_ps for run in self.runs)

    @property
    def program_ps_per_frame(self) -> int:
        """Time of programming within every frame: a network in one sequence is programmed once, before the run."""
        return self.program_ps if len(self.runs) > 1 else 0

    @property
    def latency_ps(self) -> int:
        """The first frame with nothing else on the chip."""
        return self.program_ps_per_frame + sum(int(run.alone.duration_ps[0]) for run in self.runs)

    @property
    def total_ps(self) -> int:
        return self.program_ps_per_frame * self.done_frames + sum(run.total_ps for run in self.runs)

    @property
    def time_per_frame_ps(self) -> float:
        """Of the whole run, the time to fill the chip included."""
        return self.total_ps / self.done_frames

    @property
    def interval_ps(self) -> float:
        """Mean time between two frames that leave; that of the whole run if there is one frame or programming."""
        if self.done_frames == 1 or len(self.runs) > 1:
            return self.time_per_frame_ps
        left_ps = self.runs[0].times.left_ps
        return float(left_ps[-1] - left_ps[0]) / (self.done_frames - 1)

    @cached_property
    def energy(self) -> Energy:
        actions: dict[str, int] = {}
        crossings: dict[str, int] = {}
        for run in self.runs:
            links = crossings_by_kind(run.machine, run.counts.link_messages.sum(axis=0))
            for sums, counts in ((actions, run.actions()), (crossings, links)):
                for name, count in counts.items():
                    sums[name] = sums.get(name, 0) + count
        return energy_of(self.chip, actions, crossings, self.total_ps)

    # --- tables

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that are written."""
        return ("cores", "layers", "links", "frames", *(("critical_path",) if self.states else ()))

    @cached_property
    def critical_path(self) -> pd.DataFrame:
        """One row per station on the critical path of the first frame alone."""
        return data_frame(self.critical_stations)

    @cached_property
    def cores(self) -> pd.DataFrame:
        """One row per used core of each sequence; times are sums over the run of all frames."""
        return data_frame(self.core_rows)

    @cached_property
    def layers(self) -> pd.DataFrame:
        """One row per layer."""
        return data_frame(self.layer_rows)

    @cached_property
    def links(self) -> pd.DataFrame:
        """One row per link that carried a message in a sequence."""
        return data_frame(self.link_rows)

    @cached_property
    def frames(self) -> pd.DataFrame:
        """One row per frame and sequence; times from the start of the sequence's run."""
        return data_frame(self.frame_rows)

    @cached_property
    def core_rows(self) -> list[Row]:
        """The table `cores` by row."""
        return [self._core_row(number, run, part) for number, run in enumerate(self.runs) for part in run.mapping.parts]

    def _core_row(self, number: int, run: SequenceRun, part: Part) -> Row:
        core, counts, chip = part.core, run.counts, self.chip
        work, sweep, receive, send = (
            run.station_ps(run.busy_ps, kind, core) for kind in ("synapses", "neurons", "receive", "send")
        )
        blocked = {kind: run.station_ps(run.times.blocked_ps, kind, core) for kind in ("neurons", "send")}
        router = chip.router_of(core)
        return {
            "sequence": number,
            "core": core,
            "name": core_name(chip, core),
            "router_x": router % chip.mesh.columns,
            "router_y": router // chip.mesh.columns,
            "layer": part.layer,
            "outputs": part.box.neurons,
            "input_buffers": int(run.mapping.input_buffers[core]),
            "input_bytes": part.input_bytes,
            "weight_bytes": part.weight_bytes,
            "events": int(counts.core_messages_in[:, core].sum()),
            "synops": run.input_synops * run.frames if part.kind == "input" else int(counts.core_synops[:, core].sum()),
            "spikes": int(counts.core_spikes[:, core].sum()),
            "messages_out": int(counts.core_messages_out[:, core].sum()),
            "work_ps": work,
            "sweep_ps": sweep,
            "sweep_blocked_ps": blocked["neurons"],
            "receive_ps": receive,
            "send_ps": send,
            "send_blocked_ps": blocked["send"],
            "waiting_for_input_ps": int(run.waiting_for_input_ps[:, core].sum()),
            "waiting_for_room_ps": int(run.waiting_for_room_ps[:, core].sum()),
            "receive_longest_queue": run.station_ps(run.times.longest_queue, "receive", core),
            "cycles_per_frame": chip.clocks((work + sweep + blocked["neurons"]) / run.frames),
            "utilisation": (work + sweep + blocked["neurons"]) / max(1, run.total_ps),
        }

    @cached_property
    def layer_rows(self) -> list[Row]:
        """The table `layers` by row."""
        return [row for number, run in enumerate(self.runs) for row in self._layers_of(number, run)]

    def _layers_of(self, number: int, run: SequenceRun) -> Iterator[Row]:
        network = run.mapping.network
        for index, layer in enumerate(network.layers):
            own = [row for row in self.core_rows if row["layer"] == layer.name and row["sequence"] == number]
            if layer.name == network.input and number > 0:
                continue  # what the sequence before has sent to the host
            slowest = max(own, key=lambda row: row["cycles_per_frame"], default=None)
            parts = [part for part in run.mapping.parts if part.layer == layer.name]
            spikes = int(run.counts.spikes[:, index].sum())
            yield {
                "sequence": number,
                "layer": layer.name,
                "shape": "x".join(map(str, layer.shape)),
                "neurons": layer.neurons,
                "cores": len(parts),
                "tiles": len({part.tile for part in parts}),
                "events": sum(row["events"] for row in own),
                "synops": sum(row["synops"] for row in own),
                "spikes": spikes,
                "message_density": spikes / (layer.neurons * run.frames),
                "messages": int(run.counts.layer_messages[:, index].sum()),
                "slowest_core": -1 if slowest is None else slowest["core"],
                "slowest_core_cycles_per_frame": 0.0 if slowest is None else slowest["cycles_per_frame"],
            }

    @cached_property
    def link_rows(self) -> list[Row]:
        """The table `links` by row."""
        rows = []
        for number, run in enumerate(self.runs):
            messages = run.counts.link_messages.sum(axis=0)
            found = link_rows(run.machine, messages, run.busy_ps, run.times, run.total_ps)
            rows += [{"sequence": number, **row} for row in found]
        return rows

    @property
    def fullest_link(self) -> tuple[str, float]:
        """The busiest link, and the share of the time that it carries messages."""
        found = []
        for run in self.runs:
            first, last = int(run.machine.first[2]), int(run.machine.first[5])
            link = first + int(np.argmax(run.busy_ps[first:last]))
            found.append((run.station_name(link), float(run.busy_ps[link] / max(1, run.total_ps))))
        return max(found, key=lambda link: link[1])

    @cached_property
    def frame_rows(self) -> list[Row]:
        """The table `frames` by row."""
        rows = []
        for number, run in enumerate(self.runs):
            counts, times = run.counts, run.times
            for frame in range(run.frames):
                rows.append(
                    {
                        "sequence": number,
                        "frame": frame,
                        "began_ps": int(times.began_ps[frame]),
                        "left_ps": int(times.left_ps[frame]),
                        "duration_ps": int(times.duration_ps[frame]),
                        "duration_cycles": self.chip.clocks(int(times.duration_ps[frame])),
                        "spikes": int(counts.spikes[frame].sum()),
                        "messages": int(counts.core_messages_in[frame].sum()),
                        "synops": int(counts.core_synops[frame].sum()) + run.input_synops,
                        "link_crossings": int(counts.link_messages[frame].sum()),
                    }
                )
        return rows

    # --- what limits it

    @cached_property
    def states(self) -> dict[str, int]:
        """Time of the critical path of the first frame alone by state: memory, compute, traffic, and programming.

        They sum to `latency_ps`. Empty if the critical path was not recorded.
        """
        totals: dict[str, int] = {}
        for run in self.runs:
            if run.path is None:
                return {}
            for state, times in run.path.by_state_ps(run.machine.kinds, 0).items():
                totals[state] = totals.get(state, 0) + int(times.sum())
        del totals["barrier"]  # frames have none
        return totals | {"programming": self.program_ps_per_frame}

    @cached_property
    def critical_stations(self) -> list[Row]:
        """The stations on the critical path of the first frame alone, those with the largest share first."""
        rows = []
        for number, run in enumerate(self.runs):
            if run.path is None:
                continue
            spent = run.path.service_ps + run.path.wire_ps
            for station in np.flatnonzero(spent).tolist():
                rows.append(
                    {
                        "sequence": number,
                        "station": run.station_name(station),
                        "kind": run.machine.kind(station),
                        "service_ps": int(run.path.service_ps[station]),
                        "wire_ps": int(run.path.wire_ps[station]),
                        "share": float(spent[station] / self.latency_ps),
                    }
                )
        return sorted(rows, key=lambda row: -row["share"])

    @cached_property
    def slowest_core(self) -> Row:
        """The core that is occupied longest with a frame, with its work and its sweep."""
        return max(self.core_rows, key=lambda row: row["cycles_per_frame"])

    @cached_property
    def tightest_pair(self) -> tuple[Row, Row, float] | None:
        """The two cores that hold each other up most, and the cycles between frames that they alone would allow.

        A core cannot begin with a frame before the next one has room: with n input buffers there, n frames take as long
        as both cores, one after the other, and the way between them, which is left out here.
        """
        if len(self.runs) > 1:
            return None
        rows = {row["core"]: row for row in self.core_rows}
        pairs = [
            (rows[core], rows[receiver], (rows[core]["cycles_per_frame"] + rows[receiver]["cycles_per_frame"]) / room)
            for core, receivers in enumerate(dataflow(self.runs[0].mapping).receivers)
            for receiver in receivers
            if core in rows and (room := rows[receiver]["input_buffers"])
        ]
        return max(pairs, key=lambda pair: pair[2], default=None)

    @property
    def bottleneck(self) -> str:
        """What limits the rate, in one sentence."""
        slowest, interval = self.slowest_core, self.chip.clocks(self.interval_ps)
        cycles, where = slowest["cycles_per_frame"], f"{slowest['layer']} ({slowest['name']})"
        if len(self.runs) > 1:
            share = self.program_ps_per_frame / self.time_per_frame_ps
            return (
                f"frames pass {len(self.runs)} sequences one by one, and programming them takes {share:.0%} of the "
                f"time; the slowest core is in {where}: {cycles:,.0f} cycles per frame"
            )
        if self.done_frames == 1:
            return f"{where} is the slowest core: {cycles:,.0f} of the {interval:,.0f} cycles of a frame"
        pair = self.tightest_pair
        if pair is not None and pair[2] > cycles:
            first, second, both = pair
            return (
                f"{first['layer']} ({first['name']}) and {second['layer']} ({second['name']}) limit the rate: they "
                f"take turns with {_buffers(second['input_buffers'])} between them, {both:,.0f} cycles per frame, "
                f"{min(1, both / interval):.0%} of the time"
            )
        return f"{where} limits the rate: {cycles:,.0f} cycles per frame, {min(1, cycles / interval):.0%} of the time"

    # --- summary

    def summary(self) -> dict[str, Any]:
        """The run in numbers; keys carry their units. The documented content of summary.json."""
        chip, frames, energy, slowest = self.chip, self.done_frames, self.energy, self.slowest_core
        static_mw = chip.power.static_mw  # 1 mW for 1 ps is 1 fJ
        static_fj = None if static_mw is None else static_mw * self.interval_ps
        dynamic_fj = energy.dynamic_fj / frames
        return {
            "network": self.mapping.network.name,
            "chip": chip.name,
            "clock_mode": chip.clock.mode,
            "clock_mhz": chip.clock.mhz,
            "mapping_mode": self.mapping.mode,
            "engine": self.engine,
            "frames": frames,
            "frames_planned": self.planned_frames,
            "latency_ps": self.latency_ps,
            "latency_cycles": chip.clocks(self.latency_ps),
            "interval_ps": self.interval_ps,
            "interval_cycles": chip.clocks(self.interval_ps),
            "frames_per_s": 1e12 / self.interval_ps,
            "total_time_ps": self.total_ps,
            "time_per_frame_ps": self.time_per_frame_ps,
            "cycles_per_frame": chip.clocks(self.time_per_frame_ps),
            "frames_in_flight": self.runs[0].mapping.in_flight,
            "sequences": [self._sequence_facts(run) for run in self.runs],
            "program_time_ps": self.program_ps,
            "program_time_per_frame_ps": self.program_ps_per_frame,
            "known_energy_per_frame_fj": dynamic_fj + (static_fj or 0.0),
            "known_dynamic_energy_per_frame_fj": dynamic_fj,
            "static_energy_per_frame_fj": static_fj,
            "energy_by_action_fj": energy.by_action_fj,
            "actions_without_known_energy": energy.unknown,
            "cores_used": len({row["core"] for row in self.core_rows}),
            "cores_available": chip.cores,
            "bottleneck": self.bottleneck,
            "slowest_layer": slowest["layer"],
            "slowest_core": slowest["core"],
            "slowest_core_cycles_per_frame": slowest["cycles_per_frame"],
            "slowest_core_utilisation": slowest["utilisation"],
            "spikes": sum(row["spikes"] for row in self.frame_rows),
            "messages": sum(row["messages"] for row in self.frame_rows),
            "synops": sum(row["synops"] for row in self.frame_rows),
            "link_crossings": link_crossings(self.link_rows),
            "critical_path_ps": self.states,
        }

    def _sequence_facts(self, run: SequenceRun) -> dict[str, Any]:
        mapping = run.mapping
        return {
            "layers": [layer.name for layer in mapping.network.layers[1:]],
            "cores": len(mapping.parts),
            "latency_ps": int(run.alone.duration_ps[0]),
            "program_bytes": mapping.program_bytes,
            "program_time_ps": mapping.program_ps,
        }

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from nsim.report.notebook import html

        return html(self)

    def provenance(self) -> dict[str, Any]:
        """What it takes to repeat the run."""
        return provenance(self.mapping.network, self.chip, self.seed)


def _buffers(number: int) -> str:
    return "a single input buffer" if number == 1 else f"{number} input buffers"


def core_name(chip: FrameChip, core: int) -> str:
    """As a person would call it: the node and place of a processor, or the input block."""
    if core == chip.input_core:
        return "the input block"
    processor = chip.processors[core]
    return f"NP {processor.slot} of node ({processor.column},{processor.row})"
