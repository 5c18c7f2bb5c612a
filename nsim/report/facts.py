"""What a report needs beyond summary.json and the tables: report.json, written beside them by every run.

version      of this file's layout
discipline   of the chip: barrier, frame, stream or tick
title        of the chip
constants    every value of the chip file: key, value, range, basis, source, note
sources      texts by key
unknown      actions and links whose energy nobody published
floorline    synop_ps, floor_ps, bounds_ps by state (means), least_ps (mean), synops and time_ps of the run's mean
             span; null where there are no times, or where it takes a critical path that was not recorded
mesh         columns, rows; null without a mesh
link_energy_fj   by kind of link, null where unknown
what_if      layer, cores, parts, time_ps, before_ps of re-simulations of another partition; null if none was tried
"""

from __future__ import annotations

from typing import Any

from nsim.chip import Chip, MeshChip
from nsim.frame.result import FrameResult
from nsim.mosaic.result import TilesResult
from nsim.result import Result
from nsim.stream.result import StreamResult

VERSION = 1


def report_facts(result: Any, what_if: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """The content of report.json; None for what is not a run, such as a mapping alone."""
    if not isinstance(result, Result | FrameResult | StreamResult | TilesResult):
        return None
    chip: Chip = result.mapping.chip
    links = getattr(chip, "links", ())
    return {
        "version": VERSION,
        "discipline": chip.discipline,
        "title": chip.title,
        "constants": [
            {
                "key": row.key,
                "value": row.value,
                "range": row.range,
                "basis": row.basis,
                "source": row.source,
                "note": row.note,
            }
            for row in chip.provenance()
        ],
        "sources": dict(chip.sources),
        "unknown": chip.unknown_costs(),
        "floorline": _floorline(result),
        "mesh": _mesh(chip),
        "link_energy_fj": {name: cost.energy_fj for name, cost in links},
        "what_if": what_if,
    }


def _floorline(result: Any) -> dict[str, Any] | None:
    """Slope, floor and bounds of a run, from its counts."""
    from nsim.bottleneck import bottleneck_of
    from nsim.frame.bottleneck import bottleneck_of as frame_bottleneck
    from nsim.stream.bottleneck import bottleneck_of as stream_bottleneck

    found: Any
    if isinstance(result, Result):
        found = bottleneck_of(result)
    elif isinstance(result, FrameResult):
        found = frame_bottleneck(result)
    elif isinstance(result, StreamResult):
        found = stream_bottleneck(result)
    else:
        return None
    means = found.bounds.mean_ps
    return {
        "unit": found.unit,
        "synop_ps": float(found.synop_ps),
        "floor_ps": max((term for state, term in means.items() if state not in ("memory", "traffic")), default=0.0),
        "bounds_ps": means,
        "predicted": found.predicted,
        "least_ps": float(found.bounds.least_ps.mean()),
        "synops": float(found.bounds.max_synops.mean()),
        "time_ps": found.time_ps / found.spans,
    }


def _mesh(chip: Chip) -> dict[str, int] | None:
    return {"columns": chip.mesh.columns, "rows": chip.mesh.rows} if isinstance(chip, MeshChip) else None
