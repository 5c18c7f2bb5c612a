"""Built-in event streams: what an event camera sees, made up from a few numbers, for studies without a recording."""

from __future__ import annotations

import difflib
import math

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, available_bytes
from nsim.network.assignments import parse_assignments, typed
from nsim.network.inputs import MAX_PS, PS_PER_SECOND, EventStream
from nsim.network.synapses import Shape

EDGES = {"rate": 1e5, "seconds": 0.1, "seed": 0, "speed": 1000.0, "direction": 0.0, "jitter": 1e-4, "noise": 0.05}
EVENT_NAMES = ("edges",)
BYTES_PER_EVENT = 128  # while a stream is made: about 16 arrays of 8 bytes


def is_event_name(text: str) -> bool:
    """Whether the text is meant as a built-in stream: its name, or any word followed by options."""
    base, _, tail = text.partition(":")
    return base in EVENT_NAMES or ("=" in tail and base.isalpha() and len(base) > 1)  # one letter is a drive


def named_events(text: str, shape: Shape) -> EventStream:
    """The stream that a text such as edges:rate=1e5,seconds=0.1,seed=3 describes; see `moving_edges`.

    Options of edges: rate in events a second, seconds, seed, speed in pixels a second, direction in degrees, jitter in
    seconds, noise as a share. Their defaults are choices, not measurements.
    raises  InputError
    """
    base, colon, tail = text.partition(":")
    if base not in EVENT_NAMES:
        near = difflib.get_close_matches(base, EVENT_NAMES, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"no built-in events {base!r}: {hint}give {', '.join(EVENT_NAMES)} or a file")
    try:
        given = parse_assignments(tail) if colon else {}
    except ValueError as fault:
        raise InputError(f"options of events {base!r}: {fault}, as in edges:rate=1e5,seconds=0.1") from None
    chosen = EDGES | typed(given, EDGES, f"events {base!r}", InputError)
    if chosen["seed"] < 0:
        raise InputError(f"seed of events {base!r} is {chosen['seed']}: give 0 or more")
    return moving_edges(
        chosen["rate"],
        chosen["seconds"],
        shape,
        np.random.default_rng(int(chosen["seed"])),
        speed_px_per_s=chosen["speed"],
        direction_deg=chosen["direction"],
        jitter_s=chosen["jitter"],
        noise=chosen["noise"],
    )


def moving_edges(
    rate_per_s: float,
    duration_s: float,
    shape: Shape,
    rng: np.random.Generator,
    *,
    speed_px_per_s: float = EDGES["speed"],
    direction_deg: float = EDGES["direction"],
    jitter_s: float = EDGES["jitter"],
    noise: float = EDGES["noise"],
) -> EventStream:
    """Events of a straight edge between light and dark that moves over the sensor, to and fro.

    rate_per_s     mean of all events: their times are a Poisson process, so their number is Poisson distributed with
                   mean rate_per_s * duration_s
    shape          (C, H, W) of the input layer, C = 1 or 2
    speed_px_per_s of the edge, along the direction; it starts at the border, and turns at the opposite one
    direction_deg  of the first motion: 0 towards larger x, 90 towards larger y. The edge lies across it
    jitter_s       a pixel reports up to so late, uniformly: the event lies where the edge was then
    noise          share of the events that lie anywhere, with any polarity
    returns        times below duration_s, in order; light spreads on the way there (p = 1), darkness on the way back
                   (p = 0); p is the channel if there are two
    raises         InputError

    On the edge all places are equally likely. How many events a pixel gives while the edge passes follows from the rate
    and the speed: the stream sets the load of a chip, it is no model of a sensor's contrast.
    """
    _check_edges(rate_per_s, duration_s, shape, speed_px_per_s, direction_deg, jitter_s, noise)
    channels, rows, columns = shape
    duration_ps = round(duration_s * PS_PER_SECOND)
    events = int(rng.poisson(rate_per_s * duration_s))
    t_ps = np.sort(rng.integers(0, duration_ps, events))
    shown_s = t_ps / PS_PER_SECOND - rng.uniform(0, jitter_s, events)
    x, y, light = _on_edge(shown_s * speed_px_per_s, math.radians(direction_deg), rows, columns, rng)
    stray = rng.random(events) < noise
    strays = int(np.count_nonzero(stray))
    x[stray], y[stray] = rng.integers(0, columns, strays), rng.integers(0, rows, strays)
    light[stray] = rng.integers(0, 2, strays)
    channel = light if channels == 2 else 0
    return EventStream(t_ps, (channel * rows + y) * columns + x, math.prod(shape))


def _on_edge(
    travelled_px: NDArray[np.float64], direction: float, rows: int, columns: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Column and row of a random pixel on the edge, and 1 on its way there, 0 on its way back; each int64[events].

    A point of the sensor is s * along + v * across, with unit vectors: the edge has one s and every v. Pixel (x, y)
    reaches from x - 1/2 to x + 1/2, and so in y.
    """
    cos, sin = math.cos(direction), math.sin(direction)
    ends = [x * cos + y * sin for x in (-0.5, columns - 0.5) for y in (-0.5, rows - 0.5)]
    span = max(ends) - min(ends)
    phase = np.mod(travelled_px, 2 * span)
    there = phase < span
    s = min(ends) + np.where(there, phase, 2 * span - phase)
    low, high = np.full(len(s), -np.inf), np.full(len(s), np.inf)
    for along, across, size in ((cos, -sin, columns), (sin, cos, rows)):
        if abs(across) > 1e-9:  # otherwise all of the edge is inside, or none
            borders = (-0.5 - s * along) / across, (size - 0.5 - s * along) / across
            low, high = np.maximum(low, np.minimum(*borders)), np.minimum(high, np.maximum(*borders))
    v = low + rng.random(len(s)) * (high - low)
    x = np.clip(np.floor(s * cos - v * sin + 0.5), 0, columns - 1).astype(np.int64)
    y = np.clip(np.floor(s * sin + v * cos + 0.5), 0, rows - 1).astype(np.int64)
    return x, y, there.astype(np.int64)


def _check_edges(
    rate_per_s: float,
    duration_s: float,
    shape: Shape,
    speed_px_per_s: float,
    direction_deg: float,
    jitter_s: float,
    noise: float,
) -> None:
    if not 1 <= shape[0] <= 2:
        raise InputError(
            f"edges have two polarities, but the input layer of shape {shape} has {shape[0]} channels: "
            "choose a network with 1 or 2"
        )
    if not 0 < duration_s < math.inf or not 1 <= round(duration_s * PS_PER_SECOND) <= MAX_PS:
        raise InputError(f"edges last {duration_s} s: give 1e-12 to {MAX_PS / PS_PER_SECOND:.6g} seconds")
    for name, value in (("rate", rate_per_s), ("speed", speed_px_per_s), ("jitter", jitter_s)):
        if not 0 <= value < math.inf:
            raise InputError(f"{name} of edges is {value}: give 0 or more")
    if not math.isfinite(direction_deg):
        raise InputError(f"direction of edges is {direction_deg}: give degrees")
    if not 0 <= noise <= 1:
        raise InputError(f"noise of edges is {noise}: give the share of events that are noise, 0 to 1")
    expected, free = rate_per_s * duration_s, available_bytes()
    if expected * BYTES_PER_EVENT > free:
        raise InputError(
            f"edges of {rate_per_s:g} events/s for {duration_s:g} s take {expected * BYTES_PER_EVENT:.3g} bytes, but "
            f"{free:.3g} are free: give fewer seconds or a lower rate"
        )
