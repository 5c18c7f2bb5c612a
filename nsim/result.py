"""What a run tells: times, counts, energy and utilisation, as numbers, tables and files."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nsim.chip import Chip
from nsim.counts import Counts
from nsim.energy import Energy, crossings_by_kind, energy_of, known_cost_fj
from nsim.errors import OutputError
from nsim.mapping import Mapping
from nsim.mapping.route import direction
from nsim.mapping.storage import FORMATS, storage_format
from nsim.network import Network
from nsim.neurobench import activation_sparsity, connection_sparsity, dense_synops, operations
from nsim.stations import ChunkTimes, Machine

if TYPE_CHECKING:
    import pandas as pd

STAGES = {"neurons": "neuron updates", "send": "sending messages", "synapses": "synaptic operations"}


@dataclass(frozen=True, eq=False)
class Result:
    """A finished run.

    sample_timesteps     timesteps of each sample
    planned_timesteps    more than were done if the run was interrupted
    counts               by timestep
    times                what the engine measured
    barrier_ps           time of the barrier that ends each timestep
    outputs              [timesteps, outputs]  what the output layer sent or holds; None if activity was drawn
    binary_input         whether the input held only zeros and ones; None if activity was drawn
    """

    mapping: Mapping
    machine: Machine
    engine: str
    seed: int
    sample_timesteps: tuple[int, ...]
    planned_timesteps: int
    counts: Counts
    times: ChunkTimes
    barrier_ps: int
    outputs: NDArray | None
    binary_input: bool | None

    # --- times and energy

    @property
    def step_ps(self) -> NDArray[np.int64]:
        """Duration of every timestep, its barrier included: int64[timesteps]."""
        return self.times.duration_ps + self.barrier_ps

    @property
    def steps(self) -> int:
        """Timesteps of the run, over all samples."""
        return self.times.duration_ps.size

    @cached_property
    def busy_ps(self) -> NDArray[np.int64]:
        """Time every station served messages, summed over the run: int64[stations]. Counts x service times."""
        counts, machine = self.counts, self.machine
        first = machine.first
        busy = machine.service_ps.copy()
        busy[first[0] : first[1]] = counts.core_sweep_ps.sum(axis=0)
        busy[first[1] : first[2]] *= counts.core_messages_out.sum(axis=0)
        busy[first[2] : first[5]] *= counts.link_messages.sum(axis=0)
        busy[first[5] :] = counts.core_synapse_ps.sum(axis=0)
        return busy

    @property
    def total_ps(self) -> int:
        return int(self.step_ps.sum())

    @cached_property
    def updates(self) -> NDArray[np.int64]:
        """Neuron updates per timestep of every core, the host last: int64[cores + 1]. Allocated neurons all count."""
        return self.mapping.allocated

    @cached_property
    def actions(self) -> dict[str, int]:
        """How often each action of the chip file occurred."""
        counts, cores = self.counts, self.mapping.chip.cores
        network = self.mapping.network
        actions = {
            "neuron_update": int(self.updates.sum()) * self.steps,
            "spike": int(counts.core_spikes[:, :cores].sum()),
            "message_out": int(counts.core_messages_out[:, :cores].sum()),
            "message_in": int(counts.core_messages_in.sum()),
            **{f"synop_{form}": 0 for form in FORMATS},
            "word_read": int(counts.core_words.sum()),
        }
        for number, connection in enumerate(network.connections):
            form = storage_format(connection, self.mapping.chip, self.mapping.dense_layers)
            actions[f"synop_{form}"] += int(counts.connection_synops[:, number].sum())
        return actions

    @cached_property
    def energy(self) -> Energy:
        crossings = crossings_by_kind(self.machine, self.counts.link_messages.sum(axis=0))
        return energy_of(self.mapping.chip, self.actions, crossings, self.total_ps)

    # --- what limits the run

    @cached_property
    def states(self) -> dict[str, NDArray[np.int64]] | None:
        """Time of every timestep's critical path by state (memory, compute, traffic, barrier), int64[timesteps] each.

        They sum to `step_ps`. None if the critical path was not recorded.
        """
        path = self.times.path
        return None if path is None else path.by_state_ps(self.machine.kinds, self.barrier_ps)

    @property
    def state(self) -> str | None:
        """The simulated bottleneck state: the one with the largest share of the critical path."""
        if self.states is None:
            return None
        totals = {state: int(times.sum()) for state, times in self.states.items()}
        return max(totals, key=totals.__getitem__)

    @cached_property
    def critical_stations(self) -> list[dict[str, Any]]:
        """The stations on the critical path, those with the largest share of the run's time first."""
        path = self.times.path
        if path is None:
            return []
        spent = path.service_ps + path.wire_ps
        order = np.argsort(-spent, kind="stable")
        return [
            {
                "station": self._named(station),
                "kind": self.machine.kind(station),
                "service_ps": int(path.service_ps[station]),
                "wire_ps": int(path.wire_ps[station]),
                "share": float(spent[station] / self.total_ps),
            }
            for station in order[: np.count_nonzero(spent)].tolist()
        ]

    def _named(self, station: int) -> str:
        """A station with the layers of its core: "core 14 (conv2) synapses"."""
        machine = self.machine
        name, kind = machine.name(station), machine.kind(station)
        core = station - machine.number(kind, 0)
        if kind == "mesh" or core == machine.chip.cores:
            return name
        layers = "+".join(self.mapping.layers_of(core))
        return name.replace(f"core {core} ", f"core {core} ({layers}) ", 1)

    # --- tables

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that are written."""
        return ("cores", "layers", "links", "timesteps", *(("critical_path",) if self.times.path is not None else ()))

    @cached_property
    def critical_path(self) -> pd.DataFrame:
        """One row per station on the critical paths."""
        return data_frame(self.critical_stations)

    @cached_property
    def cores(self) -> pd.DataFrame:
        """One row per used core; times are sums over the run."""
        return data_frame(self.core_columns)

    @cached_property
    def layers(self) -> pd.DataFrame:
        """One row per layer. synops are those done on messages that arrive at the layer, messages those it sends.

        The energy is that of updates, firing, sending and synops; receiving and reading are booked to cores only.
        """
        return data_frame(self.layer_rows)

    @cached_property
    def links(self) -> pd.DataFrame:
        """One row per link that carried a message."""
        return data_frame(self.link_rows)

    @cached_property
    def core_columns(self) -> dict[str, Any]:
        """The table `cores` by column."""
        mapping, counts, machine = self.mapping, self.counts, self.machine
        chip, cores = mapping.chip, mapping.used_cores
        demand = dict(zip(mapping.placement.tolist(), mapping.demands, strict=True))
        demands = [demand[core] for core in cores.tolist()]
        routers = np.array([chip.router_of(core) for core in cores.tolist()], np.int64)
        table: dict[str, Any] = {
            "core": cores,
            "router_x": routers % chip.mesh.columns,
            "router_y": routers // chip.mesh.columns,
            "layers": ["+".join(mapping.layers_of(core)) for core in cores.tolist()],
            "neurons": np.bincount(mapping.core, minlength=machine.cores)[cores],
            "allocated_neurons": self.updates[cores],
            "synapse_words": [d.synapse_words for d in demands],
            "axons_in": [d.axons_in for d in demands],
            "memory_utilisation": [d.synapse_words / chip.core.synapse_words for d in demands],
            "neuron_updates": self.updates[cores] * self.steps,
        }
        for name in ("spikes", "messages_out", "messages_in", "synops", "words"):
            table[name] = getattr(counts, f"core_{name}").sum(axis=0)[cores]
        for kind in STAGES:
            stations = cores + machine.number(kind, 0)
            table[f"{kind}_busy_ps"] = self.busy_ps[stations]
            table[f"{kind}_blocked_ps"] = self.times.blocked_ps[stations]
            table[f"{kind}_longest_queue"] = self.times.longest_queue[stations]
        busy = np.stack([table[f"{kind}_busy_ps"] for kind in STAGES])
        table["busiest_stage"] = np.array(list(STAGES.values()))[busy.argmax(axis=0)]
        table["utilisation"] = busy.max(axis=0) / max(1, self.total_ps)
        table["known_dynamic_energy_fj"] = self._core_energy_fj(table)
        return table

    def _core_energy_fj(self, table: dict[str, Any]) -> NDArray:
        """Energy with a known cost that is spent in each core: what a core does, not the links it uses."""
        chip, cores = self.mapping.chip, table["core"]
        energy = table["neuron_updates"] * known_cost_fj(chip, "neuron_update")
        for name, action in (
            ("spikes", "spike"),
            ("messages_out", "message_out"),
            ("messages_in", "message_in"),
            ("words", "word_read"),
        ):
            energy = energy + table[name] * known_cost_fj(chip, action)
        costs = np.array([known_cost_fj(chip, f"synop_{form}") for form in FORMATS])
        return energy + self.counts.format_synops.sum(axis=0)[cores] @ costs

    @cached_property
    def layer_rows(self) -> list[dict[str, Any]]:
        """The table `layers` by row."""
        network, counts, chip = self.mapping.network, self.counts, self.mapping.chip
        steps = self.steps
        shares = [share for core in self.mapping.partition for share in core]
        synops, energy = self._layer_synops()
        rows = []
        for number, layer in enumerate(network.layers):
            own = [share for share in shares if share.layer == layer.name]
            spikes, messages = int(counts.spikes[:, number].sum()), int(counts.layer_messages[:, number].sum())
            updates = sum(share.allocated for share in own) * steps
            on_chip = (updates, "neuron_update"), (spikes, "spike"), (messages, "message_out")
            rows.append(
                {
                    "layer": layer.name,
                    "shape": "x".join(map(str, layer.shape)),
                    "neurons": layer.neurons,
                    "cores": sum(any(s.layer == layer.name for s in held) for held in self.mapping.partition),
                    "neuron_updates": updates,
                    "spikes": spikes,
                    "message_density": spikes / (layer.neurons * steps),
                    "messages": messages,
                    "synops": synops[layer.name],
                    "known_dynamic_energy_fj": energy[layer.name]
                    + layer.on_chip * sum(count * known_cost_fj(chip, action) for count, action in on_chip),
                }
            )
        return rows

    def _layer_synops(self) -> tuple[dict[str, int], dict[str, float]]:
        """Synops done for each layer, and their known energy."""
        network = self.mapping.network
        synops, energy = dict.fromkeys(network.by_name, 0), dict.fromkeys(network.by_name, 0.0)
        for number, connection in enumerate(network.connections):
            done = int(self.counts.connection_synops[:, number].sum())
            form = storage_format(connection, self.mapping.chip, self.mapping.dense_layers)
            synops[connection.target] += done
            energy[connection.target] += done * known_cost_fj(self.mapping.chip, f"synop_{form}")
        return synops, energy

    @cached_property
    def link_rows(self) -> list[dict[str, Any]]:
        """The table `links` by row."""
        messages = self.counts.link_messages.sum(axis=0)
        return link_rows(self.machine, messages, self.busy_ps, self.times, self.total_ps)

    @cached_property
    def timesteps(self) -> pd.DataFrame:
        """One row per timestep."""
        counts = self.counts
        return data_frame(
            {
                "sample": np.repeat(np.arange(len(self.sample_timesteps)), self.sample_timesteps),
                "timestep": np.concatenate([np.arange(1, n + 1) for n in self.sample_timesteps]),
                "duration_ps": self.step_ps,
                "barrier_ps": self.barrier_ps,
                "spikes": counts.spikes.sum(axis=1),
                "messages": counts.core_messages_in.sum(axis=1),
                "synops": counts.core_synops.sum(axis=1),
                "words": counts.core_words.sum(axis=1),
                "link_crossings": counts.link_messages.sum(axis=1),
                "max_core_synops": counts.core_synops.max(axis=1),
                "max_core_messages_in": counts.core_messages_in.max(axis=1),
                "max_link_messages": counts.link_messages.max(axis=1, initial=0),
                **{f"critical_path_{state}_ps": times for state, times in (self.states or {}).items()},
            }
        )

    # --- summary

    def neurobench(self) -> dict[str, float | None]:
        """Synaptic operations and sparsities as NeuroBench defines them, per timestep; see nsim/neurobench.py.

        A sparsity is None where there is nothing to count: no layer of neurons that sends, or no weights.
        """
        network, steps = self.mapping.network, self.steps
        done = operations(network, self.counts.nonzero_synops.sum(axis=0), self.binary_input)
        by_layer = activation_sparsity(network, self.counts.spikes.sum(axis=0), steps)
        sent, possible = (sum(column) for column in zip(*by_layer.values(), strict=True)) if by_layer else (0, 0)
        return {
            "effective_macs": done["macs"] / steps,
            "effective_acs": done["acs"] / steps,
            "dense_synops": float(dense_synops(network)),
            "activation_sparsity": 1 - sent / possible if possible else None,
            "connection_sparsity": connection_sparsity(network.connections),
        }

    def summary(self) -> dict[str, Any]:
        """The run in numbers; keys carry their units. The documented content of summary.json."""
        steps, samples = self.steps, len(self.sample_timesteps)
        chip, counts, cores = self.mapping.chip, self.counts, self.core_columns
        first = int(np.argmax(cores["utilisation"]))
        busiest = {name: column[first] for name, column in cores.items()}
        energy = self.energy
        return {
            "network": self.mapping.network.name,
            "chip": chip.name,
            "engine": self.engine,
            "timesteps": steps,
            "timesteps_planned": self.planned_timesteps,
            "samples": samples,
            "total_time_ps": self.total_ps,
            "time_per_timestep_ps": self.total_ps / steps,
            "time_per_sample_ps": self.total_ps / samples,
            "longest_timestep_ps": int(self.step_ps.max()),
            "barrier_ps": self.barrier_ps,
            "known_energy_per_timestep_fj": energy.known_fj / steps,
            "known_energy_per_sample_fj": energy.known_fj / samples,
            "known_dynamic_energy_per_timestep_fj": energy.dynamic_fj / steps,
            "energy_by_action_fj": energy.by_action_fj,
            "actions_without_known_energy": energy.unknown,
            "cores_used": len(cores["core"]),
            "cores_available": chip.cores,
            "mean_core_utilisation": float(np.mean(cores["utilisation"])),
            "mean_memory_utilisation": float(np.mean(cores["memory_utilisation"])),
            "busiest_core": int(busiest["core"]),
            "busiest_core_layers": busiest["layers"],
            "busiest_core_stage": str(busiest["busiest_stage"]),
            "busiest_core_utilisation": float(busiest["utilisation"]),
            "busiest_core_synops_over_mean": float(
                busiest["synops"] / cores["synops"].mean() if cores["synops"].sum() else 0.0
            ),
            "neuron_updates_per_timestep": int(self.updates.sum()),
            "spikes": int(counts.spikes.sum()),
            "messages": int(counts.core_messages_in.sum()),
            "synops": int(counts.core_synops.sum()),
            "words_read": int(counts.core_words.sum()),
            "link_crossings": self.link_crossings,
            "neurobench_per_timestep": self.neurobench(),
            "state": self.state,
            "critical_path_ps": {state: int(times.sum()) for state, times in (self.states or {}).items()},
        }

    @cached_property
    def link_crossings(self) -> dict[str, int]:
        """Messages over core links, and over mesh links by direction."""
        return link_crossings(self.link_rows)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from nsim.report.notebook import html

        return html(self)

    def provenance(self) -> dict[str, Any]:
        """What it takes to repeat the run."""
        return provenance(self.mapping.network, self.mapping.chip, self.seed)


class Measured(Protocol):
    """What an engine of any discipline measures at the stations: int64[stations] each."""

    @property
    def blocked_ps(self) -> NDArray[np.int64]: ...

    @property
    def longest_queue(self) -> NDArray[np.int64]: ...


def link_rows(
    machine: Machine, messages: NDArray[np.int64], busy_ps: NDArray[np.int64], times: Measured, total_ps: int
) -> list[dict[str, Any]]:
    """A row for every link that carried a message.

    messages  int64[links], in station order
    busy_ps   int64[stations], in a run of total_ps
    """
    chip, first = machine.chip, int(machine.first[2])
    rows = []
    for index in np.flatnonzero(messages).tolist():
        station = first + index
        kind = machine.kind(station)
        hop = station - machine.number(kind, 0)
        rows.append(
            {
                "link": machine.name(station),
                "kind": kind,
                "direction": direction(chip, machine.hops[hop]) if kind == "mesh" else "",
                "messages": int(messages[index]),
                "bits": int(messages[index]) * chip.messages.bits,
                "busy_ps": int(busy_ps[station]),
                "blocked_ps": int(times.blocked_ps[station]),
                "longest_queue": int(times.longest_queue[station]),
                "utilisation": float(busy_ps[station] / max(1, total_ps)),
            }
        )
    return rows


def link_crossings(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Messages over core links, and over mesh links by direction, from the rows of links."""
    crossings = {"core_to_router": 0, "router_to_core": 0, "east": 0, "west": 0, "south": 0, "north": 0}
    for link in rows:
        crossings[link["direction"] or link["kind"]] += link["messages"]
    return crossings


def provenance(network: Network | None, chip: Chip, seed: int) -> dict[str, Any]:
    """What it takes to repeat a run; without a network there are no notes."""
    packages = ("nsim", "simpy", "numpy", "numba", "pandas")
    return {
        "seed": seed,
        "chip_sha256": chip.sha256,
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
        "notes": list(network.notes) if network else [],
        "constants": {row.key: row.basis for row in chip.provenance()},
    }


def data_frame(content: dict[str, Any] | list[dict[str, Any]]) -> pd.DataFrame:
    """A pandas table; imported here, since a run on the screen needs none."""
    import pandas as pd

    return pd.DataFrame(content)


class Written(Protocol):
    """A result that can be written: its tables are pandas tables, by name."""

    @property
    def tables(self) -> tuple[str, ...]: ...

    @property
    def outputs(self) -> NDArray | None: ...

    def summary(self) -> dict[str, Any]: ...

    def provenance(self) -> dict[str, Any]: ...


class OutputFolder:
    """A folder for results that is either written whole or not at all.

    Entering checks that the folder can be made, before anything is simulated. Results are written beside it and moved
    there at the end. An earlier result in the folder, which its file `mark` tells, is replaced; a folder that holds
    anything else is refused.
    """

    def __init__(self, path: str | Path, mark: str = "summary.json") -> None:
        self.path, self.mark = Path(path), mark

    def __enter__(self) -> OutputFolder:
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"output {self.path} is a file: give a folder")
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / self.mark).is_file():
            raise OutputError(f"output folder {self.path} holds other files: give an empty or a new folder")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.partial = Path(tempfile.mkdtemp(prefix=f".{self.path.name}-", dir=self.path.parent))
        except OSError as error:
            raise OutputError(
                f"cannot write output folder {self.path} ({error.strerror}): give another --out"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.partial, ignore_errors=True)

    def write(self, result: Written, what_if: dict[str, Any] | None = None) -> None:
        """Write summary.json, report.json, neurobench.json, the tables and, if there are any, outputs.npy."""
        self.publish(lambda folder: write_files(result, folder, what_if))

    def publish(self, fill: Callable[[Path], None]) -> None:
        """Let `fill` write files into the folder beside, and move it to its place."""
        try:
            fill(self.partial)
            self.partial.chmod(0o755)
            if self.path.is_dir():
                replaced = self.partial.with_name(self.partial.name + "-old")
                self.path.rename(replaced)
                self.partial.rename(self.path)
                shutil.rmtree(replaced)
            else:
                self.partial.rename(self.path)
        except OSError as error:
            raise OutputError(f"cannot write results to {self.path}: {error.strerror}; nothing was written") from None


def write_files(result: Written, folder: Path, what_if: dict[str, Any] | None = None) -> None:
    """Write a result's files into an existing folder; nsim/report/facts.py says what report.json and `what_if` are."""
    from nsim.neurobench import FILE, export
    from nsim.report.facts import report_facts

    content = {**result.summary(), "reproducibility": result.provenance()}
    (folder / "summary.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if (facts := report_facts(result, what_if)) is not None:
        (folder / "report.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    if (metrics := export(result)) is not None:
        (folder / FILE).write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    for name in result.tables:
        getattr(result, name).to_csv(folder / f"{name}.csv", index=False)
    if result.outputs is not None:
        np.save(folder / "outputs.npy", result.outputs)
