"""Streams at other costs: simulated again, whole, since on these chips the order of events changes what is sent.

A long stream is cut: its first events stand for all, and what is found of them is scaled.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nsim.chip.events import StreamChip
from nsim.machine.compiled.events import run_stream
from nsim.machine.events import build_stream_machine
from nsim.machine.events_times import SensorEvents
from nsim.result.events import StreamResult
from nsim.result.ranges import Headline, Ranges, find_ranges, moved

SERVICES = 200_000  # of a re-timed run: some 15 ms


def ranges_of_stream(result: StreamResult, threads: int) -> Ranges:
    """What ranges do to a run: to the median latency, and to the energy of the whole run, counts and all."""
    mapping, tick_ps = result.mapping, result.machine.tick_ps
    events = _first_events(result)
    whole = headline_of(result)

    def retime(chip: StreamChip, _: bool) -> StreamResult:
        machine = build_stream_machine(replace(mapping, chip=chip), tick_ps)
        times = run_stream(machine, events)
        return replace(result, machine=machine, sensor=events, times=times, copies=result.copies[: events.t_ps.size])

    def read(chip: StreamChip, other: StreamResult) -> Headline:
        found = headline_of(replace(other, machine=replace(other.machine, mapping=replace(mapping, chip=chip))))
        return Headline(*(_moved(*each) for each in zip(whole, piece, found, strict=True)))

    piece = whole if events is result.sensor else headline_of(retime(mapping.chip, False))
    return find_ranges(mapping.chip, whole, retime, read, threads)


def headline_of(result: StreamResult) -> Headline:
    """Median latency of the events that left, and known energy of the run."""
    latency_ps = float(np.median(result.latency_ps)) if result.latency_ps.size else None
    return Headline(latency_ps, result.energy.known_fj if result.energy.known else None)


def _first_events(result: StreamResult) -> SensorEvents:
    """The events that can be served again and again; all of them if they are few."""
    sensor, served = result.sensor, int(result.times.served.sum())
    if served <= SERVICES:
        return sensor
    first = max(1, sensor.t_ps.size * SERVICES // served)
    return SensorEvents(sensor.t_ps[:first], sensor.address[:first], int(sensor.t_ps[first - 1]))


def _moved(whole: float | None, before: float | None, after: float | None) -> float | None:
    """None where no event left."""
    return None if whole is None or before is None or after is None else moved(whole, before, after)
