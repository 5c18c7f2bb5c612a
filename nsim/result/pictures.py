"""What the figures of a report show beyond the tables: the pipeline of frames, delays and queues, lines of ports."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nsim.mapping.tiles.fabric import NT

if TYPE_CHECKING:
    from nsim.mapping.tiles.mapping import MosaicMapping
    from nsim.result.events import StreamResult
    from nsim.result.frames import FrameResult, SequenceRun
    from nsim.result.result import Row

FRAMES = 6  # of a pipeline
BINS = 40  # of a histogram
INTERVALS = 400  # of a queue over time
PROGRAMMING = "programming"


def pipeline_of(result: FrameResult) -> list[Row]:
    """From when to when the cores of a layer are at work on each of the first frames: layer, frame, began_ps, ended_ps.

    Of several sequences, which take turns on the chip, the first frame, with the programming between them.
    """
    if len(result.runs) == 1:
        run = result.runs[0]
        return [row for frame in range(min(FRAMES, run.frames)) for row in _at_work(run, frame, 0)]
    rows, now = [], 0
    for run in result.runs:
        begin, now = now, now + run.mapping.reload_ps
        rows.append({"layer": PROGRAMMING, "frame": 0, "began_ps": begin, "ended_ps": now})
        rows += _at_work(run, 0, now)
        now += int(run.times.left_ps[0])
    return rows


def _at_work(run: SequenceRun, frame: int, now_ps: int) -> list[Row]:
    """By layer, from the begin of its first core to the end of its last; now_ps: when the sequence begins."""
    cores: dict[str, list[int]] = {}
    for part in run.mapping.parts:
        cores.setdefault(part.layer, []).append(part.core)
    times = run.times
    return [
        {
            "layer": layer,
            "frame": frame,
            "began_ps": now_ps + int(times.begin_ps[frame, own].min()),
            "ended_ps": now_ps + int(times.finished_ps[frame, own].max()),
        }
        for layer, own in cores.items()
    ]


def latencies_of(result: StreamResult) -> dict[str, list[int]] | None:
    """Output events by the time since the sensor event that caused them: edges_ps, a ratio apart, and events between.

    None without such an event.
    """
    found = result.latency_ps
    if not found.size:
        return None
    low, high = int(found.min()), int(found.max())
    edges = np.unique(np.geomspace(max(1, low), max(1, high) + 1, BINS + 1).round().astype(np.int64))
    edges[0], edges[-1] = low, high + 1
    counts, _ = np.histogram(found, edges)
    return {"edges_ps": edges.tolist(), "events": counts.tolist()}


def queue_of(result: StreamResult) -> dict[str, list[int]]:
    """Events that wait at the sensor, since the chip does not take them: edges_ps, and the most in each interval."""
    came, entered = result.sensor.t_ps, result.times.entered_ps
    edges = np.linspace(0, max(1, result.time_ps), INTERVALS + 1).astype(np.int64)
    at = np.unique(np.concatenate((edges, came, entered)))
    waiting = np.searchsorted(came, at, side="right") - np.searchsorted(np.sort(entered), at, side="right")
    most = np.maximum.reduceat(waiting, np.searchsorted(at, edges[:-1]))
    return {"edges_ps": edges.tolist(), "waiting": most.tolist()}


def lines_of(mapping: MosaicMapping) -> dict[str, list[int]]:
    """Lines from cell to cell: cell and side (N, E, S, W) that they leave by, lines in use, and lines that there are.

    Of the port out of a cell and that into the next one the narrower counts; a tile's own output has all its neurons.
    """
    fabric, lines = mapping.fabric, mapping.capacities
    use = mapping.routing.edge_use.reshape(-1, 4)
    cell, side = np.nonzero(use)
    out = np.where(fabric.kind[cell] == NT, fabric.neurons, lines[cell, 4 + side])
    has = np.minimum(out, lines[fabric.beyond[cell, side], (side + 2) % 4])
    found = {"cell": cell, "side": side, "used": use[cell, side], "lines": has}
    return {name: values.tolist() for name, values in found.items()}


PICTURES: dict[str, dict[str, Callable[[Any], Any]]] = {  # by what the runs of a discipline are made of
    "frame": {"pipeline": pipeline_of},
    "stream": {"latencies": latencies_of, "queue": queue_of},
    "tick": {"lines": lambda result: lines_of(result.mapping)},
}


def pictures_of(result: Any) -> dict[str, Any]:
    """By name, of a run of any discipline."""
    return {name: found(result) for name, found in PICTURES.get(result.declared.span, {}).items()}
