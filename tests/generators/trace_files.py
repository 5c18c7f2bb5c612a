"""Reading a trace back with Perfetto's own package: its packets as they are written, and as Perfetto takes them."""

from __future__ import annotations

import gzip
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackDescriptor, TrackEvent

from nsim.machine.trace.file import DRAWN

KINDS = {TrackEvent.TYPE_SLICE_BEGIN: "begin", TrackEvent.TYPE_SLICE_END: "end", TrackEvent.TYPE_COUNTER: "count"}


@dataclass(frozen=True)
class Slice:
    """What begins and ends on a track; times in picoseconds."""

    track: str
    name: str
    category: str
    start_ps: int
    end_ps: int
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Event:
    """A packet of a track, whose numbers of strings were looked up; `slice` is open if it is a begin."""

    kind: str
    row: int
    time_ps: int
    name: str = ""
    category: str = ""
    arguments: tuple[tuple[str, int], ...] = ()
    flows: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    value: int = 0


class TraceFile:
    """A trace that was read, of which every field is known to Perfetto and every number stands for a string.

    slices   in the order in which they begin in the file
    flows    the slices that each flow passes, by id
    spans    begin and end of what may overlap, by track and name
    counts   values of each counter and when they begin, by the track that it counts for, in the order of the file
    """

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self.packets = Trace.FromString(gzip.decompress(data) if path.suffix == ".gz" else data).packet
        assert Trace(packet=self.packets).ByteSize() == len(Trace(packet=self.packets).SerializeToString())
        self.rows: dict[int, TrackDescriptor] = {}
        self.strings: dict[str, dict[int, str]] = defaultdict(dict)
        self.events = [event for packet in self.packets for event in self._read(packet)]
        self.title = self._title()
        self.tracks = {row: self._names(row) for row in self.rows}
        self._check_tracks()
        self.slices: list[Slice] = []
        self.flows: dict[int, list[Slice]] = defaultdict(list)
        self.spans: dict[tuple[str, str], tuple[int, int]] = {}
        self.counts: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._take()

    def _read(self, packet: Any) -> list[Event]:
        """Learn rows and strings from a packet, or have its event."""
        assert packet.trusted_packet_sequence_id == 1, "a sequence of its own for every packet that has none"
        first = not self.rows and not self.strings
        assert first == bool(packet.sequence_flags & packet.SEQ_INCREMENTAL_STATE_CLEARED)
        if packet.HasField("interned_data"):
            for field, strings in packet.interned_data.ListFields():
                for each in strings:
                    assert each.iid not in (0, *self.strings[field.name])
                    self.strings[field.name][each.iid] = each.name
        elif packet.HasField("track_descriptor"):
            assert packet.track_descriptor.uuid not in self.rows
            self.rows[packet.track_descriptor.uuid] = packet.track_descriptor
        else:
            return [self._event(packet, packet.track_event)]
        return []

    def _event(self, packet: Any, event: TrackEvent) -> Event:
        kind = KINDS[event.type]
        assert event.track_uuid in self.rows, "an event before its track"
        assert self.rows[event.track_uuid].HasField("counter") == (kind == "count")
        named = bool(packet.sequence_flags & packet.SEQ_NEEDS_INCREMENTAL_STATE)
        assert named == (kind == "begin"), "names are numbers, which stand for nothing without this flag"
        if not named:
            return Event(kind, event.track_uuid, packet.timestamp, value=event.counter_value)
        (category,) = event.category_iids
        keys = self.strings["debug_annotation_names"]
        return Event(
            kind,
            event.track_uuid,
            packet.timestamp,
            self.strings["event_names"][event.name_iid],
            self.strings["event_categories"][category],
            tuple((keys[each.name_iid], each.int_value) for each in event.debug_annotations),
            tuple(event.flow_ids),
            tuple(event.terminating_flow_ids),
        )

    def _title(self) -> str:
        (root,) = (row for row in self.rows.values() if not row.HasField("parent_uuid"))
        assert root.name.endswith(DRAWN), "nobody would know what a nanosecond stands for"
        return root.name.removesuffix(DRAWN)

    def _names(self, number: int) -> tuple[str, ...]:
        """Of a row and of those that it stands below, but for the first."""
        row = self.rows[number]
        return (*self._names(row.parent_uuid), row.name) if row.HasField("parent_uuid") else ()

    def _check_tracks(self) -> None:
        parents = {row.parent_uuid or row.uuid for row in self.rows.values()}  # and the first, below which may be none
        for number, row in self.rows.items():
            assert number in parents or len(self.tracks[number]) == 2, "a group without tracks, or a track without one"
            assert (number in parents) == (row.child_ordering == TrackDescriptor.EXPLICIT)
        groups = [names for names in self.tracks.values() if len(names) == 1]
        assert len(set(groups)) == len(groups), "two groups of the same name"
        places = {(row.parent_uuid, row.sibling_order_rank): self.tracks[number] for number, row in self.rows.items()}
        assert len(set(places.values())) == len(places) == len(set(self.tracks.values())), "one place, several names"

    def on(self, event: Event) -> str:
        return "/".join(self.tracks[event.row])

    def _take(self) -> None:
        """Slices, flows and counters, as Perfetto finds them.

        It sorts all packets of a sequence by time (those of the same one stay in the order of the file), lets an end
        close what was last begun on its track, and joins the slices that begin with a flow: after its source,
        src/trace_processor/sorter, importers/common/slice_tracker.cc and flow_tracker.cc, as far as what is used here.
        What takes no time is a point there, which no service may be, though a frame that nobody works on is one.
        """
        open_on: dict[int, Event] = {}
        done: dict[int, tuple[str, Slice]] = {}
        ended: set[int] = set()
        for event in sorted(self.events, key=lambda event: event.time_ps):
            if event.kind == "begin":
                assert event.row not in open_on, "slices overlap on a track"
                open_on[event.row] = event
            elif event.kind == "end":
                begun = open_on.pop(event.row)
                assert event.time_ps > begun.time_ps or begun.category == "span", "a slice vanishes"
                done[id(begun)] = Slice(
                    self.on(begun), begun.name, begun.category, begun.time_ps, event.time_ps, dict(begun.arguments)
                )
            else:
                track, waiting = self.on(event).rsplit(" ", 1)
                assert waiting == "waiting"
                self.counts[track].append((event.time_ps, event.value))
        assert not open_on, "a slice without an end"
        for event in sorted(self.events, key=lambda event: event.time_ps):
            for flow in (*event.flows, *event.last):
                assert flow not in ended, "a flow goes on behind its end"
                self.flows[flow].append(done[id(event)])
            ended.update(event.last)
        assert ended == set(self.flows), "a flow without an end"
        assert all(len(passed) > 1 for passed in self.flows.values())
        for each in (done[id(event)] for event in self.events if event.kind == "begin"):
            if each.category == "span":
                assert (each.track, each.name) not in self.spans
                self.spans[each.track, each.name] = each.start_ps, each.end_ps
            else:
                self.slices.append(each)

    def time_ps(self, category: str) -> dict[str, int]:
        """Total length of the slices of a category by track."""
        total: dict[str, int] = defaultdict(int)
        for each in self.slices:
            if each.category == category:
                total[each.track] += each.end_ps - each.start_ps
        return dict(total)

    def assert_one_after_another(self) -> None:
        """Slices of a track stand in the file one behind the other: else an end would follow the next begin."""
        free: dict[str, int] = defaultdict(int)
        for each in self.slices:
            assert each.start_ps >= free[each.track], each
            free[each.track] = each.end_ps
