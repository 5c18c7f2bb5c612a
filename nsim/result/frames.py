"""What a run of frames tells: latency and rate, energy, what every core waits for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nsim.chip.frames import FrameChip
from nsim.machine.frames import FrameMachine, FrameTimes, dataflow
from nsim.machine.path import PathTimes
from nsim.mapping.frames.mapping import FrameMapping, Part, Sequence
from nsim.network.activity import Activity
from nsim.network.layers import Layer
from nsim.result.accuracy import Accuracy
from nsim.result.columns import frames
from nsim.result.columns.column import Declared
from nsim.result.counts import Counts
from nsim.result.ranges import Ranges
from nsim.result.result import Limit, Result, Row
from nsim.result.stations import busy_times, crossings_by_kind, link_crossings, link_rows, path_rows


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
    def time_ps(self) -> int:
        return int(self.times.left_ps[-1])

    @cached_property
    def work_ps(self) -> NDArray[np.int64]:
        """Time that every core worked on each frame: int64[frames, cores + 1]."""
        return self.times.worked_ps - self.times.begin_ps

    @cached_property
    def busy_ps(self) -> NDArray[np.int64]:
        """Time every station served messages, or frames, over the run: int64[stations]."""
        return busy_times(self.machine, self.counts, self.work_ps.sum(axis=0))

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

    def named(self, station: int) -> tuple[str, str]:
        """A station with the layer of its core, "conv_1 (NP 2 of node (3,1)) synapses", and its kind."""
        machine = self.machine
        name, kind = machine.name(station), machine.kind(station)
        core = station - machine.number(kind, 0)
        layers = [part.layer for part in self.mapping.parts if part.core == core]
        if kind == "mesh" or not layers:
            return name, kind
        return name.replace(f"core {core}", f"{layers[0]} ({core_name(self.mapping.chip, core)})", 1), kind

    def actions(self) -> dict[str, int]:
        """How often each action of the chip file occurred."""
        chip, counts = self.mapping.chip, self.counts
        on_chip = slice(0, chip.cores)
        found = Counter(
            spike=int(counts.core_spikes[:, on_chip].sum()),
            message_out=int(counts.core_messages_out[:, on_chip].sum()),
            message_in=int(counts.core_messages_in[:, on_chip].sum()),
        )
        for part in self.mapping.parts:
            found.update({name: number * self.frames for name, number in part.each_frame(chip).items()})
            found["step"] += int(counts.core_messages_in[:, part.core].sum()) * part.steps
        return {**found, **crossings_by_kind(self.machine, counts.link_messages.sum(axis=0))}

    @cached_property
    def input_synops(self) -> int:
        """Multiplications of the input block for one frame, whatever the image."""
        network = self.mapping.network
        inside = [part for part in self.mapping.parts if part.kind == "input"]
        return sum(int(network.incoming(part.layer)[0].synapses.fan_out(part.sums).sum()) for part in inside)


@dataclass(frozen=True, eq=False, repr=False)
class FrameResult(Result):
    """A finished run.

    spans_planned   more than were done if the run was interrupted
    runs            by hardware sequence
    outputs         [frames, outputs]   what the last layer sent; None if activity was drawn
    accuracy        of the network on its input; None without labels
    """

    declared: ClassVar[Declared] = frames.DECLARED

    mapping: FrameMapping
    engine: str
    seed: int
    spans_planned: int
    runs: tuple[SequenceRun, ...]
    outputs: NDArray | None
    accuracy: Accuracy | None = None
    ranges: Ranges | None = None

    @property
    def chip(self) -> FrameChip:
        return self.mapping.chip

    @property
    def spans(self) -> int:
        return self.runs[0].frames

    @property
    def program_ps(self) -> int:
        """Time to program all sequences."""
        return sum(run.mapping.program_ps for run in self.runs)

    @property
    def program_ps_per_frame(self) -> int:
        """Time of programming within every frame: a network in one sequence is programmed once, before the run."""
        return sum(run.mapping.reload_ps for run in self.runs)

    @property
    def latency_ps(self) -> int:
        """The first frame with nothing else on the chip."""
        return self.program_ps_per_frame + sum(int(run.alone.duration_ps[0]) for run in self.runs)

    @property
    def time_ps(self) -> int:
        return self.program_ps_per_frame * self.spans + sum(run.time_ps for run in self.runs)

    @property
    def time_per_frame_ps(self) -> float:
        """Of the whole run, the time to fill the chip included."""
        return self.time_ps / self.spans

    @property
    def interval_ps(self) -> float:
        """Mean time between two frames that leave; that of the whole run if there is one frame or programming."""
        if self.spans == 1 or len(self.runs) > 1:
            return self.time_per_frame_ps
        left_ps = self.runs[0].times.left_ps
        return float(left_ps[-1] - left_ps[0]) / (self.spans - 1)

    @cached_property
    def actions(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for run in self.runs:
            found.update(run.actions())
        return dict(found)

    # Tables

    def _cores(self) -> list[Row]:
        """One row per used core of each sequence; times are sums over the run of all frames."""
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
            "router_x": router % chip.columns,
            "router_y": router // chip.columns,
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
            "utilisation": (work + sweep + blocked["neurons"]) / max(1, run.time_ps),
        }

    def _layers(self) -> list[Row]:
        return [
            self._layer_row(number, run, index, layer)
            for number, run in enumerate(self.runs)
            for index, layer in enumerate(run.mapping.network.layers)
            if number == 0 or layer.name != run.mapping.network.input  # what the sequence before has sent to the host
        ]

    def _layer_row(self, number: int, run: SequenceRun, index: int, layer: Layer) -> Row:
        own = [row for row in self.rows("cores") if row["layer"] == layer.name and row["sequence"] == number]
        slowest = max(own, key=lambda row: row["cycles_per_frame"], default=None)
        parts = [part for part in run.mapping.parts if part.layer == layer.name]
        spikes = int(run.counts.spikes[:, index].sum())
        return {
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

    def _links(self) -> list[Row]:
        """One row per link that carried a message in a sequence."""
        return [
            {"sequence": number, **row}
            for number, run in enumerate(self.runs)
            for row in link_rows(run.machine, run.counts.link_messages.sum(axis=0), run.busy_ps, run.times, run.time_ps)
        ]

    def _frames(self) -> list[Row]:
        """One row per frame and sequence; times from the start of the sequence's run."""
        return [
            self._frame_row(number, run, frame) for number, run in enumerate(self.runs) for frame in range(run.frames)
        ]

    def _frame_row(self, number: int, run: SequenceRun, frame: int) -> Row:
        counts, times = run.counts, run.times
        return {
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

    def _critical_path(self) -> list[Row]:
        """One row per station on the critical path of the first frame alone."""
        rows = [
            {"sequence": number, **row}
            for number, run in enumerate(self.runs)
            if run.path is not None
            for row in path_rows(run.path.service_ps, run.path.wire_ps, run.named, self.latency_ps)
        ]
        return sorted(rows, key=lambda row: -row["share"])

    @property
    def fullest_link(self) -> tuple[str, float]:
        """The busiest link, and the share of the time that it carries messages."""
        found = []
        for run in self.runs:
            first, last = int(run.machine.first[2]), int(run.machine.first[5])
            link = first + int(np.argmax(run.busy_ps[first:last]))
            found.append((run.named(link)[0], float(run.busy_ps[link] / max(1, run.time_ps))))
        return max(found, key=lambda link: link[1])

    # What limits the run

    @cached_property
    def path_ps(self) -> dict[str, int]:
        """Time of the critical path of the first frame alone by state: memory, compute, traffic, and programming.

        They sum to `latency_ps`. Empty if the critical path was not recorded.
        """
        totals: dict[str, int] = {}
        for run in self.runs:
            if run.path is None:
                return {}
            for state, times in run.path.by_state_ps(run.machine.kinds).items():
                totals[state] = totals.get(state, 0) + int(times.sum())
        return totals | {"programming": self.program_ps_per_frame}

    def _busiest(self) -> Limit:
        """The core with most work and sweeps, the link that carries most, or programming."""
        busy = [(f"{row['layer']} ({row['name']})", row) for row in self.rows("cores")]
        busy += [(row["link"], row) for row in self.rows("links")]
        shares = [(name, row["utilisation"] * self.runs[row["sequence"]].time_ps / self.time_ps) for name, row in busy]
        shares.append(("programming", self.program_ps_per_frame * self.spans / self.time_ps))
        name, share = max(shares, key=lambda pair: pair[1])
        return Limit(name, "busy time", share)

    @cached_property
    def slowest_core(self) -> Row:
        """The core that is occupied longest with a frame, with its work and its sweep."""
        return max(self.rows("cores"), key=lambda row: row["cycles_per_frame"])

    @cached_property
    def tightest_pair(self) -> tuple[Row, Row, float] | None:
        """The two cores that hold each other up most, and the cycles between frames that they alone would allow.

        A core cannot begin with a frame before the next one has room: with n input buffers there, n frames take as long
        as both cores, one after the other, and the way between them, which is left out here.
        """
        if len(self.runs) > 1:
            return None
        rows = {row["core"]: row for row in self.rows("cores")}
        pairs = [
            (rows[core], rows[receiver], (rows[core]["cycles_per_frame"] + rows[receiver]["cycles_per_frame"]) / room)
            for core, receivers in enumerate(dataflow(self.runs[0].mapping).receivers)
            for receiver in receivers
            if core in rows and (room := rows[receiver]["input_buffers"])
        ]
        return max(pairs, key=lambda pair: pair[2], default=None)

    @property
    def bottleneck(self) -> dict[str, Any]:
        """What limits the rate.

        sequences          that a frame passes
        kind               programming (of several sequences), pair (two cores that take turns), or core
        cores              by layer, name and number: the slowest, or the two of the pair
        cycles_per_frame   that they work
        share              of the time between frames; for programming, of the time per frame
        input_buffers      between a pair, else null
        """
        slowest, interval, pair = self.slowest_core, self.chip.clocks(self.interval_ps), self.tightest_pair
        kind, cores, cycles, buffers = "core", [slowest], slowest["cycles_per_frame"], None
        if len(self.runs) > 1:
            kind = "programming"
        elif self.spans > 1 and pair is not None and pair[2] > cycles:
            kind, cores, cycles, buffers = "pair", [pair[0], pair[1]], pair[2], pair[1]["input_buffers"]
        share = self.program_ps_per_frame / self.time_per_frame_ps if kind == "programming" else cycles / interval
        return {
            "kind": kind,
            "sequences": len(self.runs),
            "cores": [{key: core[key] for key in ("layer", "name", "core")} for core in cores],
            "cycles_per_frame": cycles,
            "share": min(1.0, share),
            "input_buffers": buffers,
        }

    # Summary

    def _own_summary(self) -> dict[str, Any]:
        chip, energy, slowest = self.chip, self.energy, self.slowest_core
        static_mw = chip.static_mw  # 1 mW for 1 ps is 1 fJ
        static_fj = None if static_mw is None else static_mw * self.interval_ps
        dynamic_fj = energy.dynamic_fj / self.spans
        return {
            **(self.accuracy.facts if self.accuracy else {}),
            "clock_mode": chip.clock.mode,
            "clock_mhz": chip.clock.mhz,
            "mapping_mode": self.mapping.mode,
            "latency_ps": self.latency_ps,
            "latency_cycles": chip.clocks(self.latency_ps),
            "interval_ps": self.interval_ps,
            "interval_cycles": chip.clocks(self.interval_ps),
            "frames_per_s": 1e12 / self.interval_ps,
            "time_per_frame_ps": self.time_per_frame_ps,
            "cycles_per_frame": chip.clocks(self.time_per_frame_ps),
            "frames_in_flight": self.runs[0].mapping.in_flight,
            "sequences": [self._sequence_facts(run) for run in self.runs],
            "program_time_ps": self.program_ps,
            "program_time_per_frame_ps": self.program_ps_per_frame,
            "known_energy_per_frame_fj": dynamic_fj + (static_fj or 0.0),
            "known_dynamic_energy_per_frame_fj": dynamic_fj,
            "static_energy_per_frame_fj": static_fj,
            "cores_used": len({row["core"] for row in self.rows("cores")}),
            "cores_available": chip.cores,
            "bottleneck": self.bottleneck,
            "slowest_layer": slowest["layer"],
            "slowest_core": slowest["core"],
            "slowest_core_cycles_per_frame": slowest["cycles_per_frame"],
            "slowest_core_utilisation": slowest["utilisation"],
            **{name: sum(row[name] for row in self.rows("frames")) for name in ("spikes", "messages", "synops")},
            "link_crossings": link_crossings(
                self.runs[0].machine, np.sum([run.counts.link_messages.sum(axis=0) for run in self.runs], axis=0)
            ),
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


def core_name(chip: FrameChip, core: int) -> str:
    """As a person would call it: the node and place of a processor, or the input block."""
    if core == chip.input_core:
        return "the input block"
    processor = chip.processors[core]
    return f"NP {processor.slot} of node ({processor.column},{processor.row})"
