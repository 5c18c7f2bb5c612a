"""What a report needs beyond summary.json and the tables: report.json, written beside them by every run.

version      of this file's layout
discipline   of the chip: barrier, frame, stream or tick
title        of the chip
constants    every value of the chip file: key, value, range, basis, source, note
sources      texts by key
unknown      actions and links whose energy nobody published
floorline    synop_ps, floor_ps, bounds_ps by state (means), least_ps (mean), synops and time_ps of the run's mean
             span; null where there are no times, or where it takes a critical path that was not recorded
mesh         columns, rows of routers; on a board also chip_columns, chip_rows, those of each chip; null without a mesh
link_energy_fj   by kind of link, null where unknown
command      line that made the run; empty if it was made in Python
pictures     what figures show beyond the tables, by name, see nsim/result/pictures.py
what_if      another mapping that was simulated, see nsim/report/what_if/; null if none was
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from nsim.chip.board import BoardChip
from nsim.chip.chip import Chip, MeshChip
from nsim.result.limits import events_bottleneck, frames_bottleneck, timesteps_bottleneck
from nsim.result.limits.bottleneck import Bottleneck
from nsim.result.pictures import pictures_of
from nsim.result.result import Result

VERSION = 3
BOTTLENECKS: dict[str, Callable[[Any], Bottleneck]] = {
    "barrier": timesteps_bottleneck.bottleneck_of,
    "frame": frames_bottleneck.bottleneck_of,
    "stream": events_bottleneck.bottleneck_of,
}


def report_facts(result: Any, what_if: dict[str, Any] | None = None, command: str = "") -> dict[str, Any] | None:
    """The content of report.json; None for what is not a run, such as a mapping alone."""
    if not isinstance(result, Result):
        return None
    chip: Chip = result.mapping.chip
    bottleneck_of = BOTTLENECKS.get(chip.discipline)
    links = getattr(chip, "links", ())
    return {
        "version": VERSION,
        "discipline": chip.discipline,
        "title": chip.title,
        "constants": [asdict(row) for row in chip.provenance()],
        "sources": dict(chip.sources),
        "unknown": chip.unknown_costs(),
        "floorline": bottleneck_of(result).facts() if bottleneck_of else None,
        "mesh": _mesh(chip),
        "link_energy_fj": {name: cost.energy_fj for name, cost in links},
        "pictures": pictures_of(result),
        "command": command,
        "what_if": what_if,
    }


def _mesh(chip: Chip) -> dict[str, int] | None:
    if not isinstance(chip, MeshChip):
        return None
    of_chip = {"chip_columns": chip.mesh.columns, "chip_rows": chip.mesh.rows} if isinstance(chip, BoardChip) else {}
    return {"columns": chip.columns, "rows": chip.rows} | of_chip
