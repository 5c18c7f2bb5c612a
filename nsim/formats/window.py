"""What part of a recording is taken, and how: options behind the name of a file, rec.raw:start=6.4,stop=6.5,clip=on."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError
from nsim.network.assignments import parse_assignments

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # ticks a second
_CROP = re.compile(r"([0-9]{1,6})x([0-9]{1,6})(?:\+([0-9]{1,6})\+([0-9]{1,6}))?")
_WHOLE_FLOATS = 10_000.0  # s; whole floating times that reach so far are hardly seconds, if there are some
_SOME = 10
_WRAPS = tuple(2**bits for bits in (15, 16, 23, 24, 31, 32))


@dataclass(frozen=True)
class Window:
    """How the events of a file are taken.

    start       first moment in seconds, which becomes 0; "first": the first event's
    stop        s; what comes then or later is left out
    crop        WIDTHxHEIGHT+X+Y in pixels: what lies outside is left out, and X, Y become 0, 0
    downsample  columns and rows are divided by it
    clip        on: several events of a pixel in one timestep count as one
    bin         s per timestep
    unit        of the times: s, ms, us or ns; default: us for integers, s for floats
    clock       sort: events go in order of their times; unwrap: a clock that jumps back goes on
    """

    start: float | str = 0.0
    stop: float = math.inf
    crop: tuple[int, int, int, int] | None = None
    downsample: int = 1
    clip: bool = False
    bin: float | None = None
    unit: str | None = None
    clock: str | None = None

    @property
    def plain(self) -> bool:
        return self == WHOLE


WHOLE = Window()
KEYS = tuple(WHOLE.__dataclass_fields__)


def split_window(source: str) -> tuple[str, Window]:
    """The name of a file and the window behind its last colon; raises InputError for options that are none."""
    base, colon, tail = source.rpartition(":")
    if not colon or "=" not in tail or "." not in base:
        return source, WHOLE
    try:
        given = parse_assignments(tail)
    except ValueError as fault:
        raise InputError(f"options of {base}: {fault}, as in {base}:start=0.1,stop=0.2") from None
    return base, window_of(base, given)


def split_binning(source: str) -> tuple[str, Window]:
    """Events that are made up, such as edges:rate=1e5,bin=1e-3, without bin and clip; and these as a window."""
    base, _, tail = source.partition(":")
    items = [item for item in tail.split(",") if item]
    own = [item for item in items if item.partition("=")[0].strip() in ("bin", "clip")]
    rest = ",".join(item for item in items if item not in own)
    return f"{base}:{rest}" if rest else base, window_of(base, dict(parse_assignments(",".join(own)) if own else {}))


def window_of(base: str, given: Mapping[str, str]) -> Window:
    """A window by its options as text."""
    unknown = [key for key in given if key not in KEYS]
    if unknown:
        raise InputError(f"{base} has no option {unknown[0]!r}: give {', '.join(KEYS)}")
    window = replace(WHOLE, **{key: _value(key, text) for key, text in given.items()})
    if isinstance(window.start, float) and window.stop <= window.start:
        raise InputError(f"stop is {window.stop:g} s, start {window.start:g} s: give a later stop")
    return window


def _value(key: str, text: str) -> Any:
    words = {"clip": ("on", "off"), "unit": tuple(UNITS), "clock": ("sort", "unwrap")}
    if key in words:
        if text not in words[key]:
            raise InputError(f"{key} is {text[:40]!r}: give {' or '.join(words[key])}")
        return text == "on" if key == "clip" else text
    if key == "crop":
        return _cropped(text)
    if key == "start" and text == "first":
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    whole = key == "downsample"
    if not math.isfinite(number) or number < 0 or (number == 0 and key != "start") or (whole and number % 1):
        raise InputError(f"{key} is {text[:40]!r}: give {'a whole number from 1' if whole else 'seconds from 0'} up")
    return int(number) if whole else number


def _cropped(text: str) -> tuple[int, int, int, int]:
    match = _CROP.fullmatch(text)
    sizes = tuple(int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
    if not sizes[0] or not sizes[1]:
        raise InputError(f"crop is {text[:40]!r}: give WIDTHxHEIGHT+X+Y in pixels, as in 64x64+10+20")
    width, height, x, y = sizes
    return width, height, x, y


# Times


def ticks_of(times: NDArray[Any], window: Window, name: str) -> int:
    """Ticks per second of event times: integers are microseconds, floats seconds, unless the window has a unit."""
    if window.unit:
        return UNITS[window.unit]
    if times.dtype.kind != "f":
        return 10**6
    if times.size >= _SOME and times.max() >= _WHOLE_FLOATS and (times == np.rint(times)).all():
        raise InputError(
            f"{name} has whole floating times up to {times.max():g}, which would be seconds: give integers, or "
            "their unit, as in FILE:unit=us"
        )
    return 1


def in_order(
    times: NDArray[Any], window: Window, name: str
) -> tuple[NDArray[Any], NDArray[np.int64] | None, list[str]]:
    """Times on one clock; the order of the events if it is not their own; and what was done.

    raises  InputError for a clock that seems to wrap, unless the window says what it does
    """
    back = np.flatnonzero(times[1:] < times[:-1])
    if not back.size:
        return times, None, []
    if window.clock == "unwrap":
        period = 1 << math.ceil(math.log2(float(times.max()) + 1))
        kind = np.float64 if times.dtype.kind == "f" else np.int64  # narrow types would overflow
        rounds = np.concatenate([[0], np.cumsum(times[1:] < times[:-1])]).astype(kind)
        return times.astype(kind) + period * rounds, None, [f"clock of {name} goes on {back.size} times"]
    wraps = [w for w in _WRAPS if times[back[0]] >= 0.9 * w and times.max() < w and times[back[0] + 1] <= 0.1 * w]
    runs = times.size >= 2 * _SOME and back.size * _SOME <= times.size  # long ones in order
    if times.dtype.kind != "f" and wraps and runs and window.clock is None:
        raise InputError(
            f"{name} has event {back[0] + 1} at {times[back[0] + 1]} after event {back[0]} at {times[back[0]]}: its "
            f"clock wraps at {wraps[0]}, or it is unsorted: give clock=unwrap or clock=sort, as in FILE:clock=unwrap"
        )
    return times, np.argsort(times, kind="stable"), [f"{name}: {back.size} events out of order, sorted by time"]


def kept_times(
    times: NDArray[Any], ticks: int, window: Window, name: str
) -> tuple[NDArray[Any], NDArray[np.bool_], list[str]]:
    """Times from the window's start, in ticks; which events lie in it; and what was left out."""
    first = times.min() if times.size else times.dtype.type(0)
    start = first if window.start == "first" else _ticks(float(window.start), ticks, times.dtype)
    inside = times >= start
    if window.stop < math.inf:
        inside &= times < _ticks(window.stop, ticks, times.dtype)
    if window.start == 0.0 and window.stop == math.inf:
        return times, inside, []
    if times.size and not inside.any():
        raise InputError(
            f"{name} has events from {float(first) / ticks:g} to {float(times.max()) / ticks:g} s, none from "
            f"{window.start} to {window.stop:g} s: give another start and stop"
        )
    count = int(np.count_nonzero(inside))
    return times - start, inside, [f"{name}: {count} of {times.size} events, from {float(start) / ticks:g} s on"]


def _ticks(seconds: float, ticks: int, kind: np.dtype) -> Any:
    return (
        kind.type(seconds * ticks) if kind.kind == "f" else kind.type(min(round(seconds * ticks), np.iinfo(kind).max))
    )


# Places


def kept_places(
    x: NDArray[Any], y: NDArray[Any], window: Window, name: str
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], list[str]]:
    """Columns and rows after crop and downsample; which events lie in the crop; and what was left out."""
    inside, notes = np.ones(x.size, bool), []
    if window.crop:
        width, height, left, top = window.crop
        x, y = x.astype(np.int64) - left, y.astype(np.int64) - top
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        notes.append(f"{name}: {np.count_nonzero(inside)} of {x.size} events lie in the crop")
    if window.downsample > 1:
        x, y = x // window.downsample, y // window.downsample
        notes.append(f"{name}: {window.downsample} x {window.downsample} pixels are one")
    return x, y, inside, notes
