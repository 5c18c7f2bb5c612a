"""Reading a trace back: its events as they are written, and as Perfetto takes them."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema

from nsim.machine.trace.file import DRAWN

SCHEMA = json.loads((Path(__file__).parent / "trace_event_format.schema.json").read_text(encoding="utf-8"))
Event = dict[str, Any]


@dataclass(frozen=True)
class Slice:
    """A complete event; times in picoseconds."""

    track: str
    name: str
    category: str
    start_ps: int
    end_ps: int
    arguments: dict[str, Any]


class TraceFile:
    """A trace that was read, and fits the schema: so many of its events are checked, from its beginning to its end.

    slices   in the order of the file
    flows    the slices that each flow passes, in the order of the file, by id
    spans    begin and end of what may overlap, by track and id
    counts   values of each counter and when they begin, by the track that it counts for, in the order of the file
    """

    def __init__(self, path: Path, checked: int = 60) -> None:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
        self.content = json.loads(text, parse_float=Decimal)
        whole = json.loads(text)
        every = max(1, len(whole["traceEvents"]) // checked)
        jsonschema.Draft202012Validator(SCHEMA).validate({**whole, "traceEvents": whole["traceEvents"][::every]})
        self.events: list[Event] = self.content["traceEvents"]
        names = defaultdict(dict)
        for event in self.of("M"):
            if event["name"].endswith("_name"):
                assert event["name"] not in names[event["tid"]]
                names[event["tid"]][event["name"]] = event["args"]["name"]
        named = [event for event in self.of("M") if event["name"] == "process_name"]
        processes = {event["pid"]: event["args"]["name"].removesuffix(DRAWN) for event in named}
        assert not named or named[0]["args"]["name"].endswith(DRAWN), "nobody would know what a nanosecond stands for"
        self.tracks = {
            event["tid"]: (processes[event["pid"]], names[event["tid"]]["thread_name"]) for event in self.of("M")
        }
        assert len(set(self.tracks.values())) == len(self.tracks), "two tracks of the same name"
        assert not set(self.tracks) & set(processes), "a thread with the number of a process counts as its main thread"
        self.slices = [self._slice(event) for event in self.of("X")]
        self.flows = self._flows()
        self.spans = self._spans()
        self.counts = self._counts()

    def of(self, phases: str) -> list[Event]:
        return [event for event in self.events if event["ph"] in phases]

    def on(self, event: Event) -> str:
        return "/".join(self.tracks[event["tid"]])

    def _slice(self, event: Event) -> Slice:
        start, duration = picoseconds(event["ts"]), picoseconds(event["dur"])
        return Slice(self.on(event), event["name"], event["cat"], start, start + duration, event["args"])

    def _flows(self) -> dict[int, list[Slice]]:
        """The slice of a flow's event is the one that starts with it on its track."""
        starting = {(s.track, s.start_ps): s for s in self.slices if s.category == "service"}
        flows: dict[int, list[Slice]] = defaultdict(list)
        phases: dict[int, str] = defaultdict(str)
        for event in self.of("stf"):
            flows[event["id"]].append(starting[self.on(event), picoseconds(event["ts"])])
            phases[event["id"]] += event["ph"]
            assert (event["ph"] == "f") == ("bp" in event)
        assert all(p == "s" + "t" * (len(p) - 2) + "f" for p in phases.values()), phases
        return flows

    def _spans(self) -> dict[tuple[str, int], tuple[int, int]]:
        spans: dict[tuple[str, int], tuple[int, int]] = {}
        for event in self.of("be"):
            key, time_ps = (self.on(event), event["id"]), picoseconds(event["ts"])
            spans[key] = (time_ps, -1) if event["ph"] == "b" else (spans[key][0], time_ps)
        return spans

    def _counts(self) -> dict[str, list[tuple[int, int]]]:
        """Perfetto tells counters by process and name; each has one value."""
        counts: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for event in self.of("C"):
            (value,) = event["args"].values()
            assert event["name"] == f"{self.tracks[event['tid']][1]} waiting"
            counts[self.on(event)].append((picoseconds(event["ts"]), value))
        return dict(counts)

    def time_ps(self, category: str) -> dict[str, int]:
        """Total length of the slices of a category by track."""
        total: dict[str, int] = defaultdict(int)
        for each in self.slices:
            if each.category == category:
                total[each.track] += each.end_ps - each.start_ps
        return dict(total)

    def assert_one_after_another(self) -> None:
        """No two slices of a track overlap, and each stands in the file behind the one before it."""
        free: dict[str, int] = defaultdict(int)
        for each in self.slices:
            assert each.start_ps >= free[each.track], each
            assert each.end_ps > each.start_ps, each
            free[each.track] = each.end_ps

    def as_perfetto(self) -> dict[int, list[Slice]]:
        """The slices that each flow passes, as Perfetto finds them.

        It rounds times and lengths to nanoseconds, sorts events by them (those of the same one stay in the order of the
        file), and gives each event of a flow to the slice that was last begun on its track and has not ended: after its
        source, src/trace_processor/importers/json and importers/common/flow_tracker.cc, as far as what is used here.
        """
        open_on: dict[int, tuple[int, Slice]] = {}
        flows: dict[int, list[Slice]] = defaultdict(list)
        for event in sorted(self.of("Xstf"), key=lambda event: nanoseconds(event["ts"])):
            begin, track = nanoseconds(event["ts"]), event["tid"]
            end, current = open_on.get(track, (-1, None))
            if event["ph"] == "X":
                assert end <= begin, "slices overlap in whole nanoseconds"
                assert nanoseconds(event["dur"]) > 0, "a slice vanishes"
                open_on[track] = (begin + nanoseconds(event["dur"]), self._slice(event))
            else:
                assert current is not None
                flows[event["id"]].append(current)
        return flows


def picoseconds(drawn_us: Decimal | int) -> int:
    """Exactly, of a picosecond that is drawn as a nanosecond: a fraction of one is an error."""
    time_ps = Decimal(drawn_us) * 1000
    assert time_ps == int(time_ps)
    return int(time_ps)


def nanoseconds(us: Decimal | int) -> int:
    """As Perfetto reads a number of microseconds: as a float, rounded."""
    return round(float(us) * 1000)
