"""A part of a trace for Perfetto: a window of time, the messages of some layers, and queues as counters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import nearest
from nsim.errors import InputError
from nsim.machine.trace.file import EventFile, Slices, Track
from nsim.network.layers import Network

PS = {"ps": 1, "ns": 10**3, "us": 10**6, "ms": 10**9, "s": 10**12}
TIME = re.compile(r"(\d+(?:\.\d+)?)(ps|ns|us|ms|s)?")
ALWAYS = 2**63 - 1  # ps
SENSOR = "sensor"  # names what the input layer sends on a chip that works on events


@dataclass(frozen=True)
class TraceView(PathLike[str]):
    """The file of a trace for Perfetto and what is written to it, in the place of its path.

    window_ps   begin and end, from the beginning of the run: services that overlap it are written, whole
    layers      whose messages are written, from the firing neuron to their destinations; none: those of all
    queues      also a counter for every station: how many messages wait before it, those of all layers
    """

    path: Path
    window_ps: tuple[int, int] = (0, ALWAYS)
    layers: tuple[str, ...] = ()
    queues: bool = False

    def __fspath__(self) -> str:
        return fspath(self.path)

    def check(self, network: Network) -> None:
        """Refuse layers that the network does not have, before anything is simulated.

        raises   InputError
        """
        for name in self.layers:
            if name not in network.by_name:
                known = ", ".join(network.by_name)
                raise InputError(f"no layer {name!r} to trace{nearest(name, network.by_name)}: give some of {known}")


def parse_window(text: str) -> tuple[int, int]:
    """Picoseconds of a window, as in 0:100us or 2.5us:3us; a number without a unit has that of the end.

    raises   InputError
    """
    begin, colon, end = text.partition(":")
    first, last = TIME.fullmatch(begin.strip()), TIME.fullmatch(end.strip())
    if not (colon and first and last and last[2]):
        raise InputError(f"--trace-window is {text!r}: give BEGIN:END with a unit, as in 0:100us")
    times = [round(float(each[1]) * PS[each[2] or last[2]]) for each in (first, last)]
    if not times[0] < times[1] <= ALWAYS:
        raise InputError(f"--trace-window {text} ends at {times[1]} ps, and begins at {times[0]} ps: give a later end")
    return times[0], times[1]


def check_trace(files: Mapping[str, str | PathLike[str]] | None, network: Network) -> None:
    """Refuse views of a trace that ask for layers that there are not.

    raises   InputError
    """
    for file in (files or {}).values():
        if isinstance(file, TraceView):
            file.check(network)


def open_file(file: str | PathLike[str], network: Network, chip: str, tracks: Callable[[int], Track]) -> EventFile:
    """A trace on disk that takes everything; of a view it writes what that shows.

    raises   OutputError if there is no room for it
    """
    title = f"{network.name} on {chip}"
    if isinstance(file, TraceView):
        return PartFile(file, title, tracks, network)
    return EventFile(fspath(file), title, tracks)


class PartFile(EventFile):
    """A trace on disk that takes everything, and writes what its view shows."""

    def __init__(self, view: TraceView, title: str, tracks: Callable[[int], Track], network: Network) -> None:
        super().__init__(view.path, title, tracks)
        self.view = view
        self.layers = {*view.layers, *((SENSOR,) if network.input in view.layers else ())}

    def add(self, slices: Slices) -> None:
        """Write the slices that are shown, the flows between them, and how many messages wait."""
        begin, end = self.view.window_ps
        shown = (slices.start_ps < end) & (slices.left_ps > begin)
        if self.layers and slices.category == "service":
            own = np.array([name in self.layers for name in slices.names])
            shown &= own[slices.name]
        super().add(some(slices, shown))
        if self.view.queues and "waited_ps" in slices.arguments:
            track, time_ps, waiting = queues(slices.track, slices.start_ps, slices.arguments["waited_ps"])
            shown = in_window(track, time_ps, begin, end)
            self.count(track[shown], np.maximum(time_ps[shown], begin), waiting[shown])

    def span(self, track: int, name: str, begin_ps: int, end_ps: int) -> None:
        """Write what overlaps the window."""
        if begin_ps < self.view.window_ps[1] and end_ps > self.view.window_ps[0]:
            super().span(track, name, begin_ps, end_ps)


def some(slices: Slices, shown: NDArray[np.bool_]) -> Slices:
    """Some of the slices, and the steps of flows that pass them."""
    number = np.cumsum(shown) - 1
    steps = shown[slices.step_slice]
    own = {name: getattr(slices, name)[shown] for name in ("track", "name", "start_ps", "end_ps", "left_ps")}
    return replace(
        slices,
        **own,
        arguments={name: column[shown] for name, column in slices.arguments.items()},
        step_slice=number[slices.step_slice[steps]],
        step_flow=slices.step_flow[steps],
    )


def queues(
    track: NDArray[np.int64], start_ps: NDArray[np.int64], waited_ps: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """How many wait before each track, whenever that changes: tracks (ascending), times (likewise on each) and counts.

    waited_ps   before the service; 0 or -1 for what did not wait, or is not known to have
    """
    late = waited_ps > 0
    tracks, starts = track[late], start_ps[late]
    own = np.concatenate((tracks, tracks))
    times = np.concatenate((starts - waited_ps[late], starts))
    change = np.repeat(np.array([1, -1]), tracks.size)
    order = np.lexsort((times, own))
    own, times, count = own[order], times[order], np.cumsum(change[order])  # every track ends with 0
    last = np.append((own[1:] != own[:-1]) | (times[1:] != times[:-1]), True)[: own.size]
    own, times, count = own[last], times[last], count[last]
    changes = np.append(True, (count[1:] != count[:-1]) | (own[1:] != own[:-1]))[: own.size]
    return own[changes], times[changes], count[changes]


def in_window(track: NDArray[np.int64], time_ps: NDArray[np.int64], begin_ps: int, end_ps: int) -> NDArray[np.bool_]:
    """Which counts a window shows: those within it, and the last before it on each track, which lasts into it."""
    later = np.append(np.where(track[1:] == track[:-1], time_ps[1:], ALWAYS), ALWAYS)[: track.size]
    return (time_ps < end_ps) & (later > begin_ps)


def parse_view(path: Path, window: str | None, layers: str | None, queues: bool) -> Path | TraceView:
    """The file of a trace as options of the command line want it.

    raises   InputError
    """
    if window is None and layers is None and not queues:
        return path
    names: Sequence[str] = () if layers is None else [name.strip() for name in layers.split(",")]
    return TraceView(path, parse_window(window) if window else (0, ALWAYS), tuple(names), queues)
