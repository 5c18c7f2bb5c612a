"""What a run of timesteps tells."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nsim.machine.stations import ChunkTimes, MeshMachine
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.cores.storage import FORMATS, storage_format
from nsim.network.layers import Layer
from nsim.result.accuracy import Accuracy
from nsim.result.columns import timesteps
from nsim.result.columns.column import Declared
from nsim.result.columns.timesteps import STAGES
from nsim.result.counts import Counts
from nsim.result.energy import Energy, energy_of, known_cost_fj, known_fj, running_fj
from nsim.result.operations import activation_sparsity, of_structure, operations
from nsim.result.ranges import Ranges
from nsim.result.result import Limit, Result, Row
from nsim.result.stations import between_chips, busy_times, crossings_by_kind, link_crossings, link_rows, path_rows

CORE_COUNTS = ("spikes", "messages_out", "messages_in", "synops", "words")
CORE_ACTIONS = {"spikes": "spike", "messages_out": "message_out", "messages_in": "message_in", "words": "word_read"}


@dataclass(frozen=True, eq=False, repr=False)
class TimestepResult(Result):
    """A finished run.

    sample_timesteps     timesteps of each sample
    spans_planned        more than were done if the run was interrupted
    counts               by timestep
    times                what the engine measured
    barrier_ps           time of the barrier that ends each timestep
    outputs              [timesteps, outputs]  what the output layer sent or holds; None if activity was drawn
    binary_input         whether the input held only zeros and ones; None if activity was drawn
    filled               bool[timesteps]  those that means are over: the pipeline is full; None: all
    accuracy             of the network on its input; None without labels
    record               [timesteps, neurons]  states that were asked for, by layer and state, as "fc1.v"
    local_ps             time of all timesteps without a barrier, management not in it; None: not simulated
    """

    declared: ClassVar[Declared] = timesteps.DECLARED

    mapping: Mapping
    machine: MeshMachine
    engine: str
    seed: int
    sample_timesteps: tuple[int, ...]
    spans_planned: int
    counts: Counts
    times: ChunkTimes
    barrier_ps: int
    outputs: NDArray | None
    binary_input: bool | None
    filled: NDArray[np.bool_] | None = None
    accuracy: Accuracy | None = None
    record: MappingABC[str, NDArray] = field(default_factory=dict)
    ranges: Ranges | None = None
    local_ps: int | None = None

    @cached_property
    def step_ps(self) -> NDArray[np.int64]:
        """Duration of every timestep, barrier and management included: int64[timesteps]."""
        return self.times.duration_ps + self.barrier_ps + self.management_ps

    @cached_property
    def management_ps(self) -> NDArray[np.int64]:
        """What the management processors add to every timestep: int64[timesteps]."""
        added = np.full(self.spans, self.mapping.management_ps)
        begins = np.cumsum([0, *self.sample_timesteps[:-1]])
        added[begins[: self.spans]] += self.mapping.management.sample_ps
        return added

    @property
    def spans(self) -> int:
        return self.times.duration_ps.size

    @cached_property
    def time_ps(self) -> int:
        return int(self.step_ps.sum())

    @cached_property
    def busy_ps(self) -> NDArray[np.int64]:
        """Time every station served messages, summed over the run: int64[stations]."""
        return busy_times(self.machine, self.counts, self.counts.core_synapse_ps.sum(axis=0))

    @cached_property
    def crossings(self) -> NDArray[np.int64]:
        """Messages over every link, summed over the run: int64[links], in station order."""
        return self.counts.link_messages.sum(axis=0)

    @cached_property
    def updates(self) -> NDArray[np.int64]:
        """Neuron updates per timestep of every core, the host last: int64[cores + 1]. Allocated neurons all count."""
        return self.mapping.allocated

    @cached_property
    def actions(self) -> dict[str, int]:
        counts, on_chip = self.counts, slice(0, self.mapping.chip.cores)
        actions = {
            **{name: int(each.sum()) * self.spans for name, each in self.mapping.core_updates.items()},
            "spike": int(counts.core_spikes.sum(axis=0)[on_chip].sum()),
            "message_out": int(counts.core_messages_out.sum(axis=0)[on_chip].sum()),
            "message_in": int(counts.core_messages_in.sum()),
            **{f"synop_{form}": 0 for form in FORMATS},
            "word_read": int(counts.core_words.sum()),
        }
        for _, form, done in self._connection_synops:
            actions[f"synop_{form}"] += done
        return actions | crossings_by_kind(self.machine, self.crossings)

    @cached_property
    def _connection_synops(self) -> list[tuple[str, str, int]]:
        """Target layer, storage format and synops of every connection."""
        mapping, done = self.mapping, self.counts.connection_synops.sum(axis=0).tolist()
        return [
            (connection.target, storage_format(connection, mapping.chip, mapping.dense_layers), synops)
            for connection, synops in zip(mapping.network.connections, done, strict=True)
        ]

    @cached_property
    def energy(self) -> Energy:
        return self._energy_in(self.time_ps)

    def _energy_in(self, time_ps: int) -> Energy:
        """Energy of what was done, in so long a time."""
        mapping, samples = self.mapping, len(self.sample_timesteps)
        cores = mapping.placement.size
        chips = mapping.chips_used
        more = running_fj(mapping.chip, mapping.management, self.spans, samples, cores, time_ps, chips)
        return energy_of(mapping.chip, self.actions, time_ps, more, chips)

    @cached_property
    def steady(self) -> TimestepResult:
        """The timesteps that means are over, as a run of their own."""
        if self.filled is None or self.filled.all():
            return self
        mapping = replace(self.mapping, management=replace(self.mapping.management, sample_ps=0))
        times = replace(self.times, duration_ps=self.times.duration_ps[self.filled], path=None)
        steps = times.duration_ps.size
        shown = replace(
            self, mapping=mapping, outputs=None, filled=None, record={}, sample_timesteps=(steps,), spans_planned=steps
        )
        return replace(shown, counts=self.counts.at(self.filled), times=times)

    # What limits the run

    @cached_property
    def step_path_ps(self) -> dict[str, NDArray[np.int64]]:
        """Critical path of every timestep by state, int64[timesteps] each, which sum to `step_ps`; empty likewise."""
        path = self.times.path
        if path is None:
            return {}
        barrier_ps = np.full(self.spans, self.barrier_ps)
        return path.by_state_ps(self.machine.kinds) | {"barrier": barrier_ps, "management": self.management_ps}

    @cached_property
    def path_ps(self) -> dict[str, int]:
        return {state: int(times.sum()) for state, times in self.step_path_ps.items()}

    def _busiest(self) -> Limit:
        """The station that serves longest, or what ends every timestep, if that takes longer."""
        station = int(self.busy_ps.argmax())
        spent = {
            self._named(station)[0]: int(self.busy_ps[station]),
            "barrier": self.barrier_ps * self.spans,
            "management": int(self.management_ps.sum()),
        }
        name = max(spent, key=spent.__getitem__)
        return Limit(name, "busy time", spent[name] / max(1, self.time_ps))

    def _critical_path(self) -> list[Row]:
        path = self.times.path
        assert path is not None
        return path_rows(path.service_ps, path.wire_ps, self._named, self.time_ps)

    def _named(self, station: int) -> tuple[str, str]:
        """A station with the layers of its core, "core 14 (conv2) synapses", and its kind."""
        machine = self.machine
        name, kind = machine.name(station), machine.kind(station)
        core = station - machine.number(kind, 0)
        if kind == "mesh":
            return name, "chip_to_chip" if between_chips(machine)[core] else kind
        if core not in self.mapping.placement:
            return name, kind
        layers = "+".join(self.mapping.layers_of(core))
        return name.replace(f"core {core} ", f"core {core} ({layers}) ", 1), kind

    # Tables

    def _cores(self) -> dict[str, Any]:
        """One row per used core; times are sums over the run."""
        counts, machine, cores = self.counts, self.machine, self.mapping.used_cores
        table = self.mapping.core_columns | {"neuron_updates": self.updates[cores] * self.spans}
        table |= {name: getattr(counts, f"core_{name}").sum(axis=0)[cores] for name in CORE_COUNTS}
        for kind, busy_ps in zip(STAGES, self._stage_busy_ps, strict=True):
            stations = cores + machine.number(kind, 0)
            table[f"{kind}_busy_ps"] = busy_ps
            table[f"{kind}_blocked_ps"] = self.times.blocked_ps[stations]
            table[f"{kind}_longest_queue"] = self.times.longest_queue[stations]
        table["busiest_stage"] = np.array(list(STAGES.values()))[self._stage_busy_ps.argmax(axis=0)]
        table["utilisation"] = self._utilisation
        table["known_dynamic_energy_fj"] = self._core_energy_fj(table)
        return table

    @cached_property
    def _stage_busy_ps(self) -> NDArray[np.int64]:
        """Time that every stage of every used core is busy: int64[stages, used cores]."""
        cores = self.mapping.used_cores
        return self.busy_ps[np.stack([cores + self.machine.number(kind, 0) for kind in STAGES])]

    @cached_property
    def _utilisation(self) -> NDArray[np.float64]:
        """Share of the time that the busiest stage of every used core is busy."""
        return self._stage_busy_ps.max(axis=0) / max(1, self.time_ps)

    def _core_energy_fj(self, table: dict[str, Any]) -> NDArray:
        """Energy with a known cost that is spent in each core: what a core does, not the links it uses."""
        chip = self.mapping.chip
        energy = np.zeros(table["core"].size)
        for action, updated in self.mapping.core_updates.items():
            energy += updated[table["core"]] * self.spans * known_cost_fj(chip, action)
        for name, action in CORE_ACTIONS.items():
            energy = energy + table[name] * known_cost_fj(chip, action)
        costs = np.array([known_cost_fj(chip, f"synop_{form}") for form in FORMATS])
        return energy + self.counts.format_synops.sum(axis=0)[table["core"]] @ costs

    def _layers(self) -> list[Row]:
        return [self._layer_row(number, layer) for number, layer in enumerate(self.mapping.network.layers)]

    def _layer_row(self, number: int, layer: Layer) -> Row:
        chip, partition = self.mapping.chip, self.mapping.partition
        own = [piece for core in partition for piece in core if piece.layer == layer.name]
        spikes = int(self.counts.spikes[:, number].sum())
        messages = int(self.counts.layer_messages[:, number].sum())
        updates = sum(piece.allocated for piece in own) * self.spans
        update = chip.update_action(layer.neuron.microcode)
        on_chip = ((update, updates), ("spike", spikes), ("message_out", messages))
        synops = [(f"synop_{form}", done) for target, form, done in self._connection_synops if target == layer.name]
        return {
            "layer": layer.name,
            "shape": "x".join(map(str, layer.shape)),
            "neurons": layer.neurons,
            "cores": sum(any(piece.layer == layer.name for piece in held) for held in partition),
            "neuron_updates": updates,
            "spikes": spikes,
            "message_density": int(self.steady.counts.spikes[:, number].sum()) / (layer.neurons * self.steady.spans),
            "messages": messages,
            "synops": sum(done for _, done in synops),
            "known_dynamic_energy_fj": known_fj(chip, synops) + layer.on_chip * known_fj(chip, on_chip),
        }

    def _links(self) -> list[Row]:
        return link_rows(self.machine, self.crossings, self.busy_ps, self.times, self.time_ps)

    def _timesteps(self) -> dict[str, Any]:
        counts = self.counts
        return {
            "sample": np.repeat(np.arange(len(self.sample_timesteps)), self.sample_timesteps),
            "timestep": np.concatenate([np.arange(1, n + 1) for n in self.sample_timesteps]),
            "duration_ps": self.step_ps,
            "barrier_ps": np.full(self.spans, self.barrier_ps),
            "management_ps": self.management_ps,
            "spikes": counts.spikes.sum(axis=1),
            "messages": counts.core_messages_in.sum(axis=1),
            "synops": counts.core_synops.sum(axis=1),
            "words": counts.core_words.sum(axis=1),
            "link_crossings": counts.link_messages.sum(axis=1),
            "max_core_synops": counts.core_synops.max(axis=1),
            "max_core_messages_in": counts.core_messages_in.max(axis=1),
            "max_link_messages": counts.link_messages.max(axis=1),
            **{f"critical_path_{state}_ps": times for state, times in self.step_path_ps.items()},
        }

    # Summary

    def _between_chips(self) -> dict[str, Any]:
        """On a board: the chips in use and what goes from chip to chip."""
        chip = self.mapping.chip
        if chip.chips == 1:
            return {}
        crossings = self.actions["chip_to_chip"]
        facts: dict[str, Any] = {"chips_used": self.mapping.chips_used, "chips_available": chip.chips}
        facts |= {"chip_crossings": crossings, "chip_crossing_bits": crossings * chip.messages.bits}
        if crossings:
            links = self.machine.number("mesh") + np.flatnonzero(between_chips(self.machine))
            busiest = int(links[self.busy_ps[links].argmax()])
            facts |= {"busiest_chip_link": self.machine.name(busiest)}
            facts |= {"busiest_chip_link_utilisation": float(self.busy_ps[busiest] / self.time_ps)}
        if self.times.path is not None:
            spent = (self.times.path.service_ps + self.times.path.wire_ps)[self.machine.of("mesh")]
            facts["critical_path_between_chips_ps"] = int(spent[between_chips(self.machine)].sum())
        return facts

    def _without_barrier(self) -> dict[str, Any]:
        """What the run takes if cores wait for their neighbours alone, if that was simulated."""
        if self.local_ps is None:
            return {}
        local_time_ps = self.local_ps + int(self.management_ps.sum())
        energy_fj = self._energy_in(local_time_ps).known_fj
        return {
            "local_time_ps": local_time_ps,
            "barrier_cost": 1 - local_time_ps / self.time_ps,
            "known_local_energy_fj": energy_fj,
        }

    def neurobench(self) -> dict[str, float | None]:
        """Synaptic operations and sparsities as NeuroBench defines them, per timestep; see nsim/result/neurobench.py.

        A sparsity is None where there is nothing to count: no layer of neurons that sends, or no weights.
        """
        if self.steady is not self:
            return self.steady.neurobench()
        network, steps = self.mapping.network, self.spans
        done = operations(network, self.counts.nonzero_synops.sum(axis=0), self.binary_input)
        by_layer = activation_sparsity(network, self.counts.spikes.sum(axis=0), steps)
        sent, possible = (sum(column) for column in zip(*by_layer.values(), strict=True)) if by_layer else (0, 0)
        dense, sparsity = of_structure(network)
        return {
            "effective_macs": done["macs"] / steps,
            "effective_acs": done["acs"] / steps,
            "dense_synops": float(dense),
            "activation_sparsity": 1 - sent / possible if possible else None,
            "connection_sparsity": sparsity,
        }

    def _own_summary(self) -> dict[str, Any]:
        steady, samples = self.steady, len(self.sample_timesteps)
        counts, energy = self.counts, self.energy
        return {
            "samples": samples,
            **(self.accuracy.facts if self.accuracy else {}),
            "steady_timesteps": steady.spans,
            "time_per_timestep_ps": steady.time_ps / steady.spans,
            "time_per_sample_ps": self.time_ps / samples,
            "longest_timestep_ps": int(self.step_ps.max()),
            "barrier_ps": self.barrier_ps,
            **self._without_barrier(),
            "runtime": self.mapping.runtime,
            "management_per_timestep_ps": int(steady.management_ps.sum()) / steady.spans,
            "known_energy_per_timestep_fj": steady.energy.known_fj / steady.spans,
            "known_energy_per_sample_fj": energy.known_fj / samples,
            "known_dynamic_energy_per_timestep_fj": steady.energy.dynamic_fj / steady.spans,
            "cores_used": self.mapping.used_cores.size,
            "cores_available": self.mapping.chip.cores,
            **self._between_chips(),
            "mean_core_utilisation": float(self._utilisation.mean()),
            "mean_memory_utilisation": float(np.mean(self.mapping.core_columns["memory_utilisation"])),
            **self._busiest_core(),
            "neuron_updates_per_timestep": int(self.updates.sum()),
            "spikes": int(counts.spikes.sum()),
            "messages": int(counts.core_messages_in.sum()),
            "synops": int(counts.core_synops.sum()),
            "words_read": int(counts.core_words.sum()),
            "link_crossings": link_crossings(self.machine, self.crossings),
            "neurobench_per_timestep": self.neurobench(),
        }

    def _busiest_core(self) -> dict[str, Any]:
        """The core with the busiest stage, as the table of cores has it."""
        cores = self.mapping.used_cores
        first = int(self._utilisation.argmax())
        synops = self.counts.core_synops.sum(axis=0)[cores]
        mean = synops.mean()
        return {
            "busiest_core": int(cores[first]),
            "busiest_core_layers": self.mapping.core_columns["layers"][first],
            "busiest_core_stage": list(STAGES.values())[int(self._stage_busy_ps[:, first].argmax())],
            "busiest_core_utilisation": float(self._utilisation[first]),
            "busiest_core_synops_over_mean": float(synops[first] / mean) if mean else 0.0,
        }
