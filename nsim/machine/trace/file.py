"""Perfetto's own format (ui.perfetto.dev), streamed to disk: tracks, slices on them, flows between those, counters.

A trace is a protobuf message that repeats packets. Strings are written once and have a number from then on. Perfetto
sorts what happens at the same time by its place in the file. Source: perfetto.dev/docs/reference/synthetic-track-event.

Perfetto counts whole nanoseconds, and most services are shorter than one. So a picosecond is written as a nanosecond;
the track that holds all others has it in its name.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsim.errors import OutputError
from nsim.machine.trace.packet_kernels import (
    BYTES,
    MOST_PACKET,
    NAMED_BEFORE,
    ONE_SEQUENCE,
    put_counts,
    put_slices,
    room,
)

DRAWN = " (1 ps drawn as 1 ns)"
GZIP = 16 + zlib.MAX_WBITS  # for zlib: with the head and tail of a gzip file
AT_ONCE = 20_000  # slices that are written together: some megabytes
LEVEL = 4  # of compression: at twice the speed of the usual 6
BEGINS_ANEW = 1  # flag: no name stands for a string yet
EXPLICIT = 3  # order of the tracks below a track: as they say
CATEGORIES, NAMES, KEYS = 1, 2, 3  # numbers of fields: strings that have numbers
ROOT = 1  # number of the track above all others


@dataclass(frozen=True)
class Track:
    """One row of slices.

    group, group_name   of the rows that stand together; groups stand in the order of their numbers
    name                of the row
    order               of the row in its group
    """

    group: int
    name: str
    group_name: str
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


class EventFile:
    """A trace on disk, packet by packet; gzip-compressed if the name ends in .gz. It is whole once it is closed.

    title    what the trace is of: the name of the track above all others
    tracks   by number, asked for when the first slice comes to it
    raises   OutputError if the disk is full
    """

    def __init__(self, path: str | Path, title: str, tracks: Callable[[int], Track]) -> None:
        self.path, self.tracks = Path(path), tracks
        self.rows: dict[tuple[str, int], int] = {}  # tracks of the file, by what they are of
        self.strings: dict[int, dict[str, int]] = {kind: {} for kind in (CATEGORIES, NAMES, KEYS)}
        self.lanes: dict[int, list[int]] = {}  # until when each row of a track has a span
        self.packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP) if self.path.suffix == ".gz" else None
        try:
            self.file = self.path.open("wb", buffering=0)
        except OSError as error:
            raise self._failed(error) from None
        self._write(packet(descriptor(ROOT, title + DRAWN, parts=True), flags=BEGINS_ANEW))

    def add(self, slices: Slices) -> None:
        """Write slices and flows; slices of one track must come in the order of time."""
        rows = self._rows("track", slices.track)
        names = np.array([self._string(NAMES, name) for name in slices.names], np.int64)
        keys = np.array([self._string(KEYS, name) for name in slices.arguments], np.int64)
        category = self._string(CATEGORIES, slices.category)
        blocked = np.array([self._string(CATEGORIES, "blocked"), self._string(NAMES, "blocked")])
        order = np.lexsort((slices.track, slices.start_ps))
        what = np.stack((rows, names[slices.name], slices.start_ps, slices.end_ps, slices.left_ps), axis=1)
        given = np.array(list(slices.arguments.values()), np.int64).reshape(keys.size, order.size).T
        place, flow, last = steps_by_place(slices, order)
        for begin in range(0, order.size, AT_ONCE):
            part = order[begin : begin + AT_ONCE]
            steps = np.searchsorted(place, np.arange(begin, begin + part.size + 1))
            passing = slice(steps[0], steps[-1])
            out = np.empty(room(part.size, keys.size, int(steps[-1] - steps[0])), np.uint8)
            at = put_slices(
                out, what[part], keys, given[part], category, blocked, steps - steps[0], flow[passing], last[passing]
            )
            self._write(out[at:].data)

    def span(self, track: int, name: str, begin_ps: int, end_ps: int) -> None:
        """Write what may overlap with others on its track, in the order of begins: those share its name, a row each."""
        lanes = self.lanes.setdefault(track, [])
        lane = next((number for number, free in enumerate(lanes) if free <= begin_ps), len(lanes))
        lanes[lane:] = [end_ps, *lanes[lane + 1 :]]
        row = self._row(f"lane {lane}", track)
        times = [begin_ps, end_ps, end_ps]
        none = np.zeros(0, np.int64)
        out = np.empty(room(1, 0, 0), np.uint8)
        names = self._string(NAMES, name), self._string(CATEGORIES, "span")
        what = np.array([[row, names[0], *times]])
        at = put_slices(
            out, what, none, none.reshape(1, 0), names[1], none, np.zeros(2, np.int64), none, np.zeros(0, np.bool_)
        )
        self._write(out[at:].data)

    def count(self, track: NDArray[np.int64], time_ps: NDArray[np.int64], value: NDArray[np.int64]) -> None:
        """Write how many messages wait at each track from a time on; those of one track in the order of time."""
        rows = self._rows("waiting", track)
        out = np.empty(track.size * MOST_PACKET, np.uint8)
        self._write(out[put_counts(out, rows, time_ps, value) :].data)

    def close(self) -> None:
        """Complete the file."""
        try:
            if self.packer:
                self._put(self.packer.flush())
            self.file.close()
        except OSError as error:
            raise self._failed(error) from None

    def _rows(self, what: str, tracks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the file for tracks, those that are new named in it; what: the slices or those who wait."""
        numbers, inverse = np.unique(tracks, return_inverse=True)
        return np.array([self._row(what, number) for number in numbers.tolist()], np.int64)[inverse]

    def _row(self, what: str, number: int) -> int:
        row = self.rows.get((what, number))
        if row is None:
            track = self.tracks(number)
            group = self.rows.get(("group", track.group))
            if group is None:
                group = self._describe("group", track.group, track.group_name, ROOT, track.group, parts=True)
            waiting = what == "waiting"
            name = f"{track.name} waiting" if waiting else track.name
            row = self._describe(what, number, name, group, 2 * track.order + waiting, counts=waiting)
        return row

    def _describe(self, what: str, number: int, name: str, parent: int, order: int, **is_of: bool) -> int:
        row = self.rows[what, number] = ROOT + 1 + len(self.rows)
        self._write(packet(descriptor(row, name, parent=parent, order=order, **is_of)))
        return row

    def _string(self, kind: int, text: str) -> int:
        """The number that stands for a string, which is written if it is new."""
        known = self.strings[kind]
        if text not in known:
            known[text] = 1 + len(known)
            self._write(packet(part(12, part(kind, part(1, known[text]) + part(2, text))), flags=int(NAMED_BEFORE)))
        return known[text]

    def _write(self, data: bytes | memoryview) -> None:
        try:
            self._put(self.packer.compress(data) if self.packer else data)
        except OSError as error:
            raise self._failed(error) from None

    def _put(self, data: bytes | memoryview) -> None:
        """All of it: a file without a buffer takes as much as it can."""
        left = memoryview(data)
        while left:
            left = left[self.file.write(left) :]

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write trace {self.path.name}: {error.strerror or error}")


def steps_by_place(
    slices: Slices, order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Steps of flows: the place in `order` of the slice (ascending), the flow, and whether it is the flow's last.

    A flow of a single step shows nothing, and is left out.
    """
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    by_flow = np.lexsort((slices.start_ps[slices.step_slice], slices.step_flow))
    flow, place = slices.step_flow[by_flow], place[slices.step_slice[by_flow]]
    last = np.append(flow[1:] != flow[:-1], True)[: flow.size]
    first = np.append(True, flow[1:] != flow[:-1])[: flow.size]
    shown = np.flatnonzero(~(first & last))
    shown = shown[np.lexsort((flow[shown], place[shown]))]
    return place[shown], flow[shown], last[shown]


def part(field: int, value: int | str | bytes) -> bytes:
    """A field of a protobuf message: an integer, a string, or a message."""
    if isinstance(value, int):
        return varint(field << 3) + varint(value)
    data = value.encode("utf-8") if isinstance(value, str) else value
    return varint(field << 3 | BYTES) + varint(len(data)) + data


def varint(number: int) -> bytes:
    """A number of at least 0, seven bits a byte, the lowest first; all bytes but the last have the highest bit set."""
    out = bytearray()
    while number >> 7:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def packet(content: bytes, flags: int = 0) -> bytes:
    """A packet of the trace's one sequence."""
    return part(1, content + part(10, int(ONE_SEQUENCE)) + (part(13, flags) if flags else b""))


def descriptor(
    row: int, name: str, *, parent: int = 0, order: int = 0, parts: bool = False, counts: bool = False
) -> bytes:
    """What is to know of a track, as a field of a packet; parts: others stand below it; counts: of messages."""
    content = part(1, row) + part(2, name)
    if parent:
        content += part(5, parent) + part(12, order)
    if parts:
        content += part(11, EXPLICIT)
    if counts:
        content += part(8, part(6, "messages"))
    return part(60, content)
