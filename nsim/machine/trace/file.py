"""Chrome's Trace Event Format, streamed to disk: tracks, slices on them, and flows from slice to slice.

Perfetto (ui.perfetto.dev) and chrome://tracing open it. Source: "Trace Event Format", the Chromium project,
docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: the JSON object format with complete (X), flow
(s, t, f), asynchronous (b, e) and metadata (M) events.

Perfetto counts whole nanoseconds, and rounds start and length of a slice apart: what is shorter than one would vanish,
and neighbours would overlap. So a picosecond is written as a nanosecond; the first group of tracks has it in its name.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import OutputError

PS_PER_DRAWN_US = 10**3
DRAWN = " (1 ps drawn as 1 ns)"
GZIP = 16 + zlib.MAX_WBITS  # for zlib: with the head and tail of a gzip file
AT_ONCE = 20_000  # slices that are written together: some megabytes of text
MESSAGE = '"cat":"message","name":"message"'
LEVEL = 4  # of compression: a tenth of the text at twice the speed of the usual 6


@dataclass(frozen=True)
class Track:
    """One row of slices.

    pid, tid   of its process, and its own; both from 1, no number is used twice, not even as pid and tid (a thread
               with its process' number would count as the main thread)
    name       of the row
    process    name of the group of rows
    order      of the row in its group
    """

    pid: int
    tid: int
    name: str
    process: str
    order: int = 0


@dataclass(frozen=True, eq=False)
class Slices:
    """What happened on tracks. Each of n slices is a service, and the time after it in which its track was blocked.

    track      int64[n]
    name       int64[n]   a place in `names`
    start_ps, end_ps, left_ps   int64[n]  from the beginning of the run; left_ps is later where it was blocked
    category   of the services
    arguments  int64[n] by name; -1 stands for nothing
    step_slice, step_flow   int64[steps]  a flow passes these slices, in the order of their start
    """

    track: NDArray[np.int64]
    name: NDArray[np.int64]
    names: tuple[str, ...]
    start_ps: NDArray[np.int64]
    end_ps: NDArray[np.int64]
    left_ps: NDArray[np.int64]
    category: str = "service"
    arguments: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    step_slice: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    step_flow: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


def drawn_us(time_ps: int) -> str:
    """A time as it is written: microseconds with three places, a nanosecond for each picosecond."""
    return f"{time_ps // PS_PER_DRAWN_US}.{time_ps % PS_PER_DRAWN_US:03d}"


class EventFile:
    """A trace on disk, event by event; gzip-compressed if the name ends in .gz. It is whole once it is closed.

    about    what the trace is of, for its head
    tracks   by number, asked for when the first slice comes to it
    raises   OutputError if the disk is full
    """

    def __init__(self, path: str | Path, about: dict[str, Any], tracks: Callable[[int], Track]) -> None:
        self.path, self.tracks = Path(path), tracks
        self.known: dict[int, Track] = {}
        self.processes: set[int] = set()
        self.packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP) if self.path.suffix == ".gz" else None
        self.separator = ""
        head = json.dumps({"displayTimeUnit": "ns", "otherData": about}, ensure_ascii=False)
        try:
            self.file = self.path.open("wb", buffering=0)
        except OSError as error:
            raise self._failed(error) from None
        self._write(head[:-1] + ', "traceEvents": [\n')

    def add(self, slices: Slices) -> None:
        """Write slices and flows; slices of one track must come in the order of time."""
        self._events(self._heads(slices.track))
        for lines in slice_lines(slices, self.known):
            self._events(lines)

    def span(self, track: int, name: str, begin_ps: int, end_ps: int, number: int) -> None:
        """Write something that may overlap with others on its track; `number` tells it from the others."""
        lines = self._heads(np.array([track]))
        row = self.known[track]
        for phase, time_ps in (("b", begin_ps), ("e", end_ps)):
            lines.append(
                f'{{"ph":"{phase}","cat":{_text(row.name)},"name":{_text(name)},"id":{number},"pid":{row.pid},'
                f'"tid":{row.tid},"ts":{drawn_us(time_ps)}}}'
            )
        self._events(lines)

    def close(self) -> None:
        """Complete the file."""
        self._write("\n]}\n")
        try:
            if self.packer:
                self._put(self.packer.flush())
            self.file.close()
        except OSError as error:
            raise self._failed(error) from None

    def _heads(self, tracks: NDArray[np.int64]) -> list[str]:
        """Name the tracks that are new."""
        lines = []
        for number in np.unique(tracks).tolist():
            if number in self.known:
                continue
            track = self.known[number] = self.tracks(number)
            if track.pid not in self.processes:
                self.processes.add(track.pid)
                scale = "" if self.processes - {track.pid} else DRAWN
                lines.append(_metadata(track, "process_name", "name", track.process + scale))
                lines.append(_metadata(track, "process_sort_index", "sort_index", track.pid))
            lines.append(_metadata(track, "thread_name", "name", track.name))
            lines.append(_metadata(track, "thread_sort_index", "sort_index", track.order))
        return lines

    def _events(self, lines: Iterable[str]) -> None:
        text = ",\n".join(lines)
        if text:
            self._write(self.separator + text)
            self.separator = ",\n"

    def _write(self, text: str) -> None:
        data = text.encode("utf-8")
        try:
            self._put(self.packer.compress(data) if self.packer else data)
        except OSError as error:
            raise self._failed(error) from None

    def _put(self, data: bytes) -> None:
        """All of it: a file without a buffer takes as much as it can."""
        left = memoryview(data)
        while left:
            left = left[self.file.write(left) :]

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write trace {self.path.name}: {error.strerror or error}")


def slice_lines(slices: Slices, tracks: dict[int, Track]) -> Iterator[list[str]]:
    """Events in the order of time, some at a time. A flow's event stands behind its slice, at the slice's start.

    In the same nanosecond readers go by the order in the file: a service, its flows, then the time it was blocked.
    """
    order = np.lexsort((slices.track, slices.start_ps))
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    row, flow = steps_in_order(slices)
    phase = _phases(flow)
    by_rank = np.lexsort((flow, rank[row]))
    by_rank = by_rank[phase[by_rank] != ""]
    ranks, flow, phase = rank[row[by_rank]], flow[by_rank], phase[by_rank]
    for begin in range(0, order.size, AT_ONCE):
        rows = order[begin : begin + AT_ONCE]
        steps = slice(*np.searchsorted(ranks, (begin, begin + rows.size)).tolist())
        flows: dict[int, list[tuple[int, str]]] = {}
        for place, number, letter in zip(
            (ranks[steps] - begin).tolist(), flow[steps].tolist(), phase[steps].tolist(), strict=True
        ):
            flows.setdefault(place, []).append((number, letter))
        yield _lines(slices, rows, flows, tracks)


def _lines(
    slices: Slices, rows: NDArray[np.int64], flows: dict[int, list[tuple[int, str]]], tracks: dict[int, Track]
) -> list[str]:
    """Events of these slices; flows that pass them, and how, by place in `rows`."""
    places = {number: f'"pid":{track.pid},"tid":{track.tid}' for number, track in tracks.items()}
    heads = [f'{{"ph":"X","cat":"{slices.category}","name":{_text(name)},' for name in slices.names]
    keys = [f'"{name}":' for name in slices.arguments]
    given = np.array([column[rows] for column in slices.arguments.values()], np.int64).reshape(len(keys), rows.size)
    columns = (slices.track, slices.name, slices.start_ps, slices.end_ps, slices.left_ps)
    lines = []
    for index, (track, name, start, end, left, *values) in enumerate(
        zip(*(column[rows].tolist() for column in columns), *given.tolist(), strict=True)
    ):
        place, begin = places[track], drawn_us(start)
        arguments = ",".join([key + str(value) for key, value in zip(keys, values, strict=True) if value >= 0])
        lines.append(f'{heads[name]}{place},"ts":{begin},"dur":{drawn_us(end - start)},"args":{{{arguments}}}}}')
        for number, phase in flows.get(index, ()):
            bound = ',"bp":"e"' if phase == "f" else ""
            lines.append(f'{{"ph":"{phase}",{MESSAGE},"id":{number},{place},"ts":{begin}{bound}}}')
        if left > end:
            times = f'"ts":{drawn_us(end)},"dur":{drawn_us(left - end)}'
            lines.append(f'{{"ph":"X","cat":"blocked","name":"blocked",{place},{times},"args":{{}}}}')
    return lines


def steps_in_order(slices: Slices) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Slices and flows of the steps, flow after flow, each in the order of time."""
    order = np.lexsort((slices.start_ps[slices.step_slice], slices.step_flow))
    return slices.step_slice[order], slices.step_flow[order]


def _phases(flow: NDArray[np.int64]) -> NDArray[np.str_]:
    """How each step of flows, flow after flow, is written: begin, step, end; nothing if it is the only one."""
    first = np.append(True, flow[1:] != flow[:-1])[: flow.size]
    last = np.append(flow[1:] != flow[:-1], True)[: flow.size]
    return np.where(first & last, "", np.where(first, "s", np.where(last, "f", "t")))


def _metadata(track: Track, name: str, key: str, value: str | int) -> str:
    content = json.dumps(value, ensure_ascii=False)
    return f'{{"ph":"M","name":"{name}","pid":{track.pid},"tid":{track.tid},"args":{{"{key}":{content}}}}}'


def _text(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
