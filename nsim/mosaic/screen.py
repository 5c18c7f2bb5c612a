"""What the command line shows of a run on a chip of tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from nsim.answer import answered
from nsim.mosaic.page import PLACE_NAMES
from nsim.mosaic.result import TilesResult
from nsim.screen import caveats, console, facts_grid, joules, seconds, show_page

SHOWN = 8  # violated ports, and tiles, that are listed


def show_tiles(result: TilesResult, out: Path | None) -> None:
    """The run in ten seconds: does it fit, what happens per tick, in which time, at which cost; the fullest tiles."""
    facts = result.summary()
    notes = _notes(result, facts)
    if answered(lambda: {**facts, "notes": notes}):
        return
    if not facts["mappable"]:
        console().print(Text(_not_mappable(facts), style="bold red"))
    grid = facts_grid()
    steps, neurons = facts["timesteps"], facts["neurons"]
    share = facts["spikes"] / (steps * neurons)
    grid.add_row("Spikes", f"{facts['spikes'] / steps:,.1f}", f"per tick, {share:.1%} of {neurons:,} neurons")
    grid.add_row("Rows read", f"{facts['row_reads'] / steps:,.1f}", _rows_line(facts))
    crossings = facts["r1_crossings"] + facts["r0_crossings"]
    grid.add_row("Routers", f"{crossings / steps:,.1f}", _routers_line(facts))
    grid.add_row("Time", *_time_line(facts))
    if facts["waited_ps"]:
        grid.add_row("Waiting", *_waiting_line(facts))
    grid.add_row("Energy", *_energy_line(facts))
    show_page(f"{result.mapping.title}, {steps:,} ticks", grid, _tile_table(result), notes, out)


def _not_mappable(facts: dict[str, Any]) -> str:
    violations, narrow = facts["violations"], facts["violated_ports"]
    names = "; ".join(f"{v['port']} {v['used']} of {v['lines']}" for v in violations[:SHOWN])
    more = f"; and {narrow - SHOWN} more" if narrow > SHOWN else ""
    how = (
        "spikes share the lines there are" if facts["lines"] == "shared" else "this run gives them the lines they lack"
    )
    ports = f"{narrow} port{'s' * (narrow > 1)} too narrow, by {facts['excess_lines']} lines together"
    return f"NOT MAPPABLE: {ports} ({how}). Lines needed: {names}{more}."


def _rows_line(facts: dict[str, Any]) -> str:
    steps, own = facts["timesteps"], facts["own_row_reads"]
    others = (facts["row_reads"] - own) / steps
    most = facts["most_row_reads_of_a_tile"]
    return f"per tick: {own / steps:,.1f} in the spikes' own tiles, {others:,.1f} in others; at most {most} of one tile"


def _routers_line(facts: dict[str, Any]) -> str:
    steps = facts["timesteps"]
    per_spike = facts["router_crossings_per_spike"]
    each = "" if per_spike is None else f"; {per_spike:.1f} per spike"
    return (
        f"crossed per tick: {facts['r1_crossings'] / steps:,.1f} R1 (beside tiles), "
        f"{facts['r0_crossings'] / steps:,.1f} R0 (at their corners){each}"
    )


def _time_line(facts: dict[str, Any]) -> tuple[str, str]:
    if facts["engine"] is None:
        return "unknown", "no latencies in the chip file: counts only"
    parts = f"from a tick's spikes to the last row read, in the mean (longest {seconds(facts['longest_timestep_ps'])})"
    if facts["tick_ps"] is not None:
        over = facts["timesteps_over_tick"]
        fits = "all within" if not over else f"{over} of {facts['timesteps']} longer than"
        parts += f"; {fits} the tick of {seconds(facts['tick_ps'])}"
    return seconds(facts["time_per_timestep_ps"]), parts


def _waiting_line(facts: dict[str, Any]) -> tuple[str, str]:
    return (
        seconds(facts["waited_ps"] / facts["timesteps"]),
        f"per tick, summed over spikes, at {facts['ports_waited_for']} ports; most: {facts['most_waited_port']}, "
        f"{facts['most_waited_ps'] / facts['waited_ps']:.0%}",
    )


def _energy_line(facts: dict[str, Any]) -> tuple[str, str]:
    by_action = facts["energy_by_action_fj"]
    known = {name: energy for name, energy in by_action.items() if energy is not None}
    if not known:
        return "unknown", "no energies in the chip file: counts only"
    steps = facts["timesteps"]
    parts = ", ".join(f"{joules(energy / steps)} {name}" for name, energy in known.items())
    lacks = [name for name in facts["actions_without_known_energy"] if name != "static"]
    return joules(facts["known_energy_per_timestep_fj"]), f"per tick{' at least' if lacks else ''}: {parts}"


def _tile_table(result: TilesResult) -> Table:
    """The tiles with the most rows read."""
    steps, tiles = result.steps, result.tile_columns
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column("fullest tiles" if tiles["tile"].size > SHOWN else "tile")
    for heading in ("row, column", "neurons", "spikes", "rows read", "own", "over routers", "of all reads"):
        table.add_column(heading, justify="right")
    total = max(1, int(tiles["row_reads"].sum()))
    for tile in np.argsort(-tiles["row_reads"], kind="stable")[:SHOWN].tolist():
        per_tick = (f"{tiles[name][tile] / steps:,.1f}" for name in _PER_TICK)
        place = f"{tiles['row'][tile]}, {tiles['column'][tile]}"
        share = f"{tiles['row_reads'][tile] / total:.1%}"
        table.add_row(str(tile), place, str(tiles["neurons"][tile]), *per_tick, share)
    return table


_PER_TICK = ("spikes", "row_reads", "own_row_reads", "routed_row_reads")


def _notes(result: TilesResult, facts: dict[str, Any]) -> list[str]:
    """How the run was set up, and what a reader must know about the numbers."""
    mapping = result.mapping
    place = PLACE_NAMES["index" if mapping.kept_index else mapping.place]
    reading = {"together": "all its rows at once", "one-by-one": "one row after another"}[facts["rows_read"]]
    lines = "shared, those of the chip file" if result.shared_lines else "dedicated, so that no spike waits for one"
    notes = [f"Placed: {place}; routes: {mapping.routes}; lines: {lines}; a tile reads {reading} (assumed)."]
    if result.shared_lines:
        notes.append("Queues before shared lines have no end (assumed): the chip's own would share nothing.")
    outside = [layer.name for layer in result.network.layers if layer.name != result.layer]
    if outside:
        notes.append(f"Outside the tiles, and not counted: {', '.join(outside)}.")
    if facts["missing_keys"]:
        notes.append(f"Not in the chip file: {', '.join(facts['missing_keys'])}. Give them in a copy of your own.")
    return notes + caveats(result.network, mapping.chip, {"actions_without_known_energy": []})
