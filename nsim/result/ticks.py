"""What a run on tiles tells: rows read and routers crossed; times and energy as far as costs are known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nsim.machine.ticks import Lines, missing_latencies
from nsim.mapping.tiles.branches import Branches, entries_by_kind
from nsim.mapping.tiles.fabric import KINDS, NT, SIDES
from nsim.mapping.tiles.mapping import MosaicMapping
from nsim.mapping.tiles.routing import PORTS
from nsim.network.brief import Brief
from nsim.network.layers import Network
from nsim.result.columns import ticks
from nsim.result.columns.column import Declared
from nsim.result.energy import known_cost_fj
from nsim.result.ranges import Ranges
from nsim.result.result import Limit, Result, provenance

PS_PER_SECOND = 10**12


@dataclass(frozen=True, eq=False)
class TickCounts:
    """What was counted, int64 all.

    spikes   [neurons]   fired by each neuron, over the run
    entries  [cells]     spikes that entered each router or read a row of each tile, over the run
    the rest [timesteps] by tick; most_reads: rows read in the tile with most of them
    """

    spikes: NDArray[np.int64]
    entries: NDArray[np.int64]
    tick_spikes: NDArray[np.int64]
    row_reads: NDArray[np.int64]
    r1_crossings: NDArray[np.int64]
    r0_crossings: NDArray[np.int64]
    most_reads: NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class TilePortTimes(Brief):
    """What was measured: int64[timesteps] of each tick, int64[ports] over the run."""

    duration_ps: NDArray[np.int64]
    waited_ps: NDArray[np.int64]
    port_waited_ps: NDArray[np.int64]
    longest_queue: NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class TilesResult(Result):
    """A finished run.

    network, layer     the whole network, and its layer that is on the tiles
    lines, times       None if a latency is not known: then there are counts only; engine likewise
    dt_s               seconds per tick, if given
    sample_timesteps   ticks of each sample; spans_planned: more than were done if the run was interrupted
    outputs            [timesteps, outputs] of an evaluated network
    """

    declared: ClassVar[Declared] = ticks.DECLARED

    mapping: MosaicMapping
    network: Network
    layer: str
    branches: Branches
    lines: Lines | None
    shared_lines: bool
    engine: str | None
    seed: int
    dt_s: float | None
    sample_timesteps: tuple[int, ...]
    spans_planned: int
    counts: TickCounts
    times: TilePortTimes | None
    outputs: NDArray | None
    ranges: Ranges | None = None

    @property
    def network_name(self) -> str:
        return self.mapping.connectivity.name

    @property
    def spans(self) -> int:
        return self.counts.tick_spikes.size

    @property
    def time_ps(self) -> int | None:
        """Ticks one after another, each from its spikes to the last row that they read."""
        return None if self.times is None else int(self.times.duration_ps.sum())

    @cached_property
    def actions(self) -> dict[str, int]:
        return entries_by_kind(self.mapping.fabric, self.counts.entries)

    @property
    def path_ps(self) -> dict[str, int]:
        return {}

    def _has(self, name: str) -> bool:
        return self.times is not None if name == "ports" else super()._has(name)

    def _busiest(self) -> Limit:
        """The port that spikes wait for longest; if none waits, the routes take all the time."""
        if self.times is None:
            return Limit()
        waited = self.times.port_waited_ps
        if not waited.any():
            return Limit("routes", "busy time", 1.0)
        most = int(waited.argmax())
        return Limit(self.port_name(most), "waiting", float(waited[most] / waited.sum()))

    @property
    def tick_ps(self) -> int | None:
        return None if self.dt_s is None else round(self.dt_s * PS_PER_SECOND)

    @property
    def powered_ps(self) -> int | None:
        return None if self.tick_ps is None else self.tick_ps * self.spans

    @cached_property
    def missing_keys(self) -> list[str]:
        """Keys that the chip file would need for the times and the dynamic energy of this run."""
        energies = [f"actions.{name}.energy_fj" for name in self.energy.unknown if name != "static"]
        return missing_latencies(self.mapping) + energies

    # Tables

    def _tiles(self) -> dict[str, Any]:
        fabric, tile_of = self.mapping.fabric, self.mapping.routing.tile_of
        number = np.arange(fabric.tiles)
        spikes = np.bincount(tile_of, self.counts.spikes, minlength=fabric.tiles).astype(np.int64)
        reads = self.counts.entries[fabric.tile_cell]
        return {
            "tile": number,
            "row": number // fabric.columns,
            "column": number % fabric.columns,
            "neurons": np.bincount(tile_of, minlength=fabric.tiles),
            "spikes": spikes,
            "row_reads": reads,
            "own_row_reads": spikes,  # every spike reads its row in its own tile
            "routed_row_reads": reads - spikes,
            "known_dynamic_energy_fj": reads * known_cost_fj(self.mapping.chip, "row_read"),
        }

    def _routers(self) -> dict[str, Any]:
        """One row per routing tile, over the run; row and column of its cell."""
        fabric = self.mapping.fabric
        cell = np.flatnonzero(fabric.kind != NT)
        cost = np.array([known_cost_fj(self.mapping.chip, f"{kind.lower()}_crossing") for kind in KINDS[1:]])
        return {
            "row": cell // fabric.width,
            "column": cell % fabric.width,
            "kind": np.array(KINDS)[fabric.kind[cell]],
            "crossings": self.counts.entries[cell],
            "known_dynamic_energy_fj": self.counts.entries[cell] * cost[fabric.kind[cell] - 1],
        }

    def _timesteps(self) -> dict[str, Any]:
        counts, times = self.counts, self.times
        table: dict[str, Any] = {
            "sample": np.repeat(np.arange(len(self.sample_timesteps)), self.sample_timesteps),
            "timestep": np.concatenate([np.arange(1, n + 1) for n in self.sample_timesteps]),
            "spikes": counts.tick_spikes,
            "row_reads": counts.row_reads,
            "r1_crossings": counts.r1_crossings,
            "r0_crossings": counts.r0_crossings,
            "most_row_reads_of_a_tile": counts.most_reads,
        }
        if times:
            table |= {"duration_ps": times.duration_ps, "waited_ps": times.waited_ps}
        return table

    def _ports(self) -> dict[str, Any]:
        """One row per port out of a router, and per tile for its rows, that a neuron uses; over the run."""
        assert self.lines is not None and self.times is not None
        used = np.flatnonzero(self.lines.lines)
        return {
            "port": [self.port_name(port) for port in used.tolist()],
            "neurons": self.branches.users()[used],
            "lines": self.lines.lines[used],
            "service_ps": self.lines.service_ps[used],
            "waited_ps": self.times.port_waited_ps[used],
            "longest_queue_of_a_line": self.times.longest_queue[used],
        }

    def port_name(self, port: int) -> str:
        """Such as "R0(2,2) out S", or "NT4(3,3) rows"."""
        fabric = self.mapping.fabric
        if port < 4 * fabric.cells:
            return f"{fabric.cell_name(port // 4)} out {SIDES[port % 4]}"
        return f"{fabric.cell_name(int(fabric.tile_cell[port - 4 * fabric.cells]))} rows"

    # Summary

    def _own_summary(self) -> dict[str, Any]:
        mapping, fabric = self.mapping, self.mapping.fabric
        return {
            "rows": fabric.rows,
            "columns": fabric.columns,
            "neurons_per_tile": fabric.neurons,
            "neurons": mapping.connectivity.neurons,
            "place": mapping.place,
            "kept_index": mapping.kept_index,
            "routes": mapping.routes,
            "rows_read": mapping.chip.reading.rows,
            "mappable": mapping.mappable,
            "violated_ports": len(mapping.violations),
            "excess_lines": mapping.excess_lines,
            "violations": [
                {"port": f"{fabric.cell_name(each.cell)} {PORTS[each.port]}", "used": each.used, "lines": each.capacity}
                for each in sorted(mapping.violations, key=lambda each: each.capacity - each.used)
            ],
            "lines": "shared" if self.shared_lines else "dedicated",
            "samples": len(self.sample_timesteps),
            **self._counts_summary(),
            "missing_keys": self.missing_keys,
            **self._times_summary(),
            "known_energy_per_timestep_fj": self.energy.known_fj / self.spans,
            "known_dynamic_energy_per_timestep_fj": self.energy.dynamic_fj / self.spans,
        }

    def _counts_summary(self) -> dict[str, Any]:
        spikes, actions = int(self.counts.spikes.sum()), self.actions
        crossings = actions["r1_crossing"] + actions["r0_crossing"]
        return {
            "spikes": spikes,
            "row_reads": actions["row_read"],
            "own_row_reads": spikes,
            "r1_crossings": actions["r1_crossing"],
            "r0_crossings": actions["r0_crossing"],
            "row_reads_per_spike": actions["row_read"] / spikes if spikes else None,
            "router_crossings_per_spike": crossings / spikes if spikes else None,
            "most_row_reads_of_a_tile": int(self.counts.most_reads.max()),
        }

    def _times_summary(self) -> dict[str, Any]:
        times, tick = self.times, self.tick_ps
        names = ["time_per_timestep_ps", "longest_timestep_ps", "waited_ps"]
        names += ["ports_waited_for", "most_waited_port", "most_waited_ps", "timesteps_over_tick"]
        values: tuple[Any, ...] = (None,) * len(names)
        if times:
            most = int(times.port_waited_ps.argmax())
            waited = int(times.port_waited_ps[most])
            values = (
                float(times.duration_ps.mean()),
                int(times.duration_ps.max()),
                int(times.waited_ps.sum()),
                int(np.count_nonzero(times.port_waited_ps)),
                self.port_name(most) if waited else None,
                waited,
                None if tick is None else int(np.count_nonzero(times.duration_ps > tick)),
            )
        return {**dict(zip(names, values, strict=True)), "tick_ps": tick}

    def provenance(self) -> dict[str, Any]:
        """What it takes to repeat the run, and what it assumes."""
        facts = provenance(self.network, self.mapping.chip, self.seed)
        together = self.mapping.chip.reading.rows == "together"
        notes = [f"a tile reads {'all its rows at once' if together else 'one row after another'} (assumed)"]
        if self.shared_lines:
            notes.append("queues before shared lines have no end (assumed)")
        if outside := [layer.name for layer in self.network.layers if layer.name != self.layer]:
            notes.append(f"outside the tiles, and not counted: {', '.join(outside)}")
        return {**facts, "notes": [*facts["notes"], *notes, *self._unknown_ranges]}
