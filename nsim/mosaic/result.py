"""What a run on a chip of tiles tells: rows read and routers crossed; times and energy as far as costs are known.

Keys of summary.json, units at their ends:
  network, chip, rows, columns, neurons_per_tile, neurons, place, routes, rows_read
  mappable, violated_ports, excess_lines   whether every port has the lines that dedicated lines take, as in `nsim map`
  violations               the ports that have not, the narrowest first: port, used, lines
  lines                    "dedicated": one for every neuron at every port of its tree, or "shared": those of the file
  timesteps, timesteps_planned, samples    ticks simulated and asked for
  spikes                   of the neurons on the tiles
  row_reads, own_row_reads, r1_crossings, r0_crossings   totals; own: by a spike in its own tile, part of row_reads
  row_reads_per_spike, router_crossings_per_spike        null without spikes
  most_row_reads_of_a_tile in one tick
  engine                   null if no time could be told, and with it all times
  missing_keys             of the chip file, that times and energy need
  time_per_timestep_ps, longest_timestep_ps, total_time_ps   from the spikes of a tick to the last row that they read
  waited_ps                spikes waited for lines and rows, summed over all
  ports_waited_for, most_waited_port, most_waited_ps     how many; the one with the longest sum
  tick_ps                  period of the tick, null if not given; timesteps_over_tick: ticks that take longer than that
  known_energy_fj, known_energy_per_timestep_fj, known_dynamic_energy_per_timestep_fj
  energy_by_action_fj, actions_without_known_energy      null where the cost of an action is not known; static power is
                           counted over the ticks of real time, and unknown without their period
  reproducibility          seed, versions, hash of the chip file, notes, basis of every constant
Tables: tiles.csv, routers.csv, timesteps.csv and, with times, ports.csv (lines and rows in use). outputs.npy, if the
network was evaluated: [timesteps, outputs].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nsim.energy import Energy, energy_of, known_cost_fj
from nsim.mosaic.branches import Branches, entries_by_kind
from nsim.mosaic.fabric import KINDS, NT, SIDES
from nsim.mosaic.lines import Lines, missing_latencies
from nsim.mosaic.mapping import MosaicMapping
from nsim.mosaic.routing import PORTS
from nsim.network import Network
from nsim.result import data_frame, provenance

if TYPE_CHECKING:
    import pandas as pd

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


@dataclass(frozen=True, eq=False)
class TilePortTimes:
    """What was measured: int64[timesteps] of each tick, int64[ports] over the run."""

    duration_ps: NDArray[np.int64]
    waited_ps: NDArray[np.int64]
    port_waited_ps: NDArray[np.int64]
    longest_queue: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TilesResult:
    """A finished run.

    network, layer     the whole network, and its layer that is on the tiles
    lines, times       None if a latency is not known: then there are counts only; engine likewise
    dt_s               seconds per tick, if given
    sample_timesteps   ticks of each sample; planned_timesteps: more than were done if the run was interrupted
    outputs            [timesteps, outputs] of an evaluated network
    """

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
    planned_timesteps: int
    counts: TickCounts
    times: TilePortTimes | None
    outputs: NDArray | None

    @property
    def steps(self) -> int:
        return self.counts.tick_spikes.size

    @property
    def tables(self) -> tuple[str, ...]:
        return ("tiles", "routers", "timesteps", *(("ports",) if self.times else ()))

    # --- counts and energy

    @cached_property
    def actions(self) -> dict[str, int]:
        """How often each action of the chip file occurred."""
        return entries_by_kind(self.mapping.fabric, self.counts.entries)

    @property
    def tick_ps(self) -> int | None:
        return None if self.dt_s is None else round(self.dt_s * PS_PER_SECOND)

    @cached_property
    def energy(self) -> Energy:
        ticks_ps = 0 if self.tick_ps is None else self.tick_ps * self.steps
        known = energy_of(self.mapping.chip, self.actions, {}, ticks_ps)
        return known if self.tick_ps is not None else Energy({**known.by_action_fj, "static": None})

    @cached_property
    def missing_keys(self) -> list[str]:
        """Keys that the chip file would need for the times and the dynamic energy of this run."""
        energies = [f"actions.{name}.energy_fj" for name in self.energy.unknown if name != "static"]
        return missing_latencies(self.mapping) + energies

    # --- tables

    @cached_property
    def tiles(self) -> pd.DataFrame:
        """One row per tile, over the run."""
        return data_frame(self.tile_columns)

    @cached_property
    def tile_columns(self) -> dict[str, Any]:
        """The table `tiles` by column."""
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

    @cached_property
    def routers(self) -> pd.DataFrame:
        """One row per routing tile, over the run; row and column of its cell."""
        fabric = self.mapping.fabric
        cell = np.flatnonzero(fabric.kind != NT)
        cost = np.array([known_cost_fj(self.mapping.chip, f"{kind.lower()}_crossing") for kind in KINDS[1:]])
        return data_frame(
            {
                "row": cell // fabric.width,
                "column": cell % fabric.width,
                "kind": np.array(KINDS)[fabric.kind[cell]],
                "crossings": self.counts.entries[cell],
                "known_dynamic_energy_fj": self.counts.entries[cell] * cost[fabric.kind[cell] - 1],
            }
        )

    @cached_property
    def timesteps(self) -> pd.DataFrame:
        """One row per tick."""
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
        return data_frame(table)

    @cached_property
    def ports(self) -> pd.DataFrame:
        """One row per port out of a router, and per tile for its rows, that a neuron uses; over the run."""
        assert self.lines is not None and self.times is not None
        used = np.flatnonzero(self.lines.lines)
        return data_frame(
            {
                "port": [self.port_name(port) for port in used.tolist()],
                "neurons": self.branches.users()[used],
                "lines": self.lines.lines[used],
                "service_ps": self.lines.service_ps[used],
                "waited_ps": self.times.port_waited_ps[used],
                "longest_queue_of_a_line": self.times.longest_queue[used],
            }
        )

    def port_name(self, port: int) -> str:
        """Such as "R0(2,2) out S", or "NT4(3,3) rows"."""
        fabric = self.mapping.fabric
        if port < 4 * fabric.cells:
            return f"{fabric.cell_name(port // 4)} out {SIDES[port % 4]}"
        return f"{fabric.cell_name(int(fabric.tile_cell[port - 4 * fabric.cells]))} rows"

    # --- summary

    def summary(self) -> dict[str, Any]:
        """The run in numbers; keys carry their units. See the top of this module."""
        mapping, fabric = self.mapping, self.mapping.fabric
        return {
            "network": mapping.connectivity.name,
            "chip": mapping.chip.name,
            "rows": fabric.rows,
            "columns": fabric.columns,
            "neurons_per_tile": fabric.neurons,
            "neurons": mapping.connectivity.neurons,
            "place": mapping.place,
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
            "timesteps": self.steps,
            "timesteps_planned": self.planned_timesteps,
            "samples": len(self.sample_timesteps),
            **self._counts_summary(),
            "engine": self.engine,
            "missing_keys": self.missing_keys,
            **self._times_summary(),
            "known_energy_fj": self.energy.known_fj,
            "known_energy_per_timestep_fj": self.energy.known_fj / self.steps,
            "known_dynamic_energy_per_timestep_fj": self.energy.dynamic_fj / self.steps,
            "energy_by_action_fj": self.energy.by_action_fj,
            "actions_without_known_energy": self.energy.unknown,
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
        names = ["time_per_timestep_ps", "longest_timestep_ps", "total_time_ps", "waited_ps"]
        names += ["ports_waited_for", "most_waited_port", "most_waited_ps", "timesteps_over_tick"]
        values: tuple[Any, ...] = (None,) * len(names)
        if times:
            most = int(times.port_waited_ps.argmax())
            waited = int(times.port_waited_ps[most])
            values = (
                float(times.duration_ps.mean()),
                int(times.duration_ps.max()),
                int(times.duration_ps.sum()),
                int(times.waited_ps.sum()),
                int(np.count_nonzero(times.port_waited_ps)),
                self.port_name(most) if waited else None,
                waited,
                None if tick is None else int(np.count_nonzero(times.duration_ps > tick)),
            )
        return {**dict(zip(names, values, strict=True)), "tick_ps": tick}

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from nsim.report.notebook import html

        return html(self)

    def provenance(self) -> dict[str, Any]:
        """What it takes to repeat the run."""
        return provenance(self.network, self.mapping.chip, self.seed)
