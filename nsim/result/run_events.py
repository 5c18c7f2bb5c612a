"""A run on a chip without timesteps: sensor events in, the result out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, InterruptedRunError, SimulationError, available_threads, counted
from nsim.formats.streams import load_events
from nsim.machine.compiled import events as engine_compiled
from nsim.machine.events import StreamMachine, addresses, build_stream_machine
from nsim.machine.events_times import SensorEvents
from nsim.machine.simpy import events as engine_simpy
from nsim.machine.trace.events import StreamTrace
from nsim.machine.trace.view import check_trace
from nsim.mapping.events.kernels import copies_of
from nsim.mapping.events.mapping import StreamMapping
from nsim.mapping.events.rates import as_one, coded_streams
from nsim.network.inputs import PS_PER_SECOND, EventStream
from nsim.result.events import StreamResult
from nsim.result.retime.events import ranges_of_stream

ENGINES: dict[str, Callable] = {"compiled": engine_compiled.run_stream, "simpy": engine_simpy.run_stream}
DEFAULT_EVENTS = "edges:rate=5e4,seconds=0.1,seed={seed}"  # with which the built-in network keeps up
Progress = Callable[[int, int], None]


def simulate_stream(
    mapping: StreamMapping,
    inputs: str | Path | NDArray[Any] | EventStream | None = None,
    *,
    dt_s: float | None = None,
    seconds: float | None = None,
    seed: int = 0,
    engine: str = "compiled",
    progress: Progress | None = None,
    critical_path: bool = False,
    ranges: bool = False,
    trace: Mapping[str, str | PathLike[str]] | None = None,
) -> StreamResult:
    """Run a mapped network on an event stream.

    inputs    events, see nsim.formats.streams.load_events; by default an edge moving over the sensor, 50 000 events/s
    for 0.1 s
    dt_s      period of the slow clock, which adds biases; needed if the network has any
    seconds   watch the sensor so long; by default until the last event
    seed      of the default events
    engine    "compiled", or "simpy", the readable reference: equal to the picosecond, and slow
    progress  called with the sensor events that have entered, and their number
    critical_path  find out what the time consists of (`StreamResult.path_ps`); needs 64 bytes for every service
    ranges    find out what the ranges of the chip's constants do, see nsim/result/ranges.py
    trace     {"perfetto": file}: write every service, see nsim/machine/trace/events.py; needs 64 bytes for each
    raises    InputError for events that do not fit, SimulationError for an unknown engine, InterruptedRunError
    """
    if engine not in ENGINES:
        raise SimulationError(f"no engine {engine!r}: choose from {', '.join(ENGINES)}")
    note = None
    if inputs is None:
        inputs = DEFAULT_EVENTS.format(seed=seed)
        note = f"no input was given: the events are made up ({inputs})"
    inputs, seconds = _coded(mapping, inputs, dt_s, seconds)
    stream = _stream(mapping, inputs, seconds)
    note = note or "; ".join(stream.notes)
    machine = build_stream_machine(mapping, _tick_ps(mapping, dt_s))
    sensor = _sensor_events(machine, stream, seconds)
    check_trace(trace, mapping.network)
    tracer = StreamTrace(trace["perfetto"], machine) if trace else None
    try:
        options: dict[str, Any] = {"progress": progress} if engine == "compiled" else {}
        options |= {"record": tracer is not None, "critical_path": critical_path}
        times = ENGINES[engine](machine, sensor.events, **options)
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted before the last event was served: no results") from None
    result = StreamResult(machine, engine, seed, sensor.events, sensor.index, sensor.copies, stream, times, note)
    if tracer:
        tracer.write(result.times, result.event_number)
    return replace(result, ranges=ranges_of_stream(result, available_threads())) if ranges else result


def machine_and_events(
    mapping: StreamMapping, inputs: str | Path | None, dt_s: float | None, seconds: float | None, seed: int
) -> tuple[StreamMachine, SensorEvents]:
    """What an engine is given by a run with these arguments, for who steps through it."""
    found, seconds = _coded(mapping, inputs or DEFAULT_EVENTS.format(seed=seed), dt_s, seconds)
    stream = _stream(mapping, found, seconds)
    machine = build_stream_machine(mapping, _tick_ps(mapping, dt_s))
    return machine, _sensor_events(machine, stream, seconds).events


@dataclass(frozen=True, eq=False)
class _Sensor:
    """The events that go anywhere; which of the stream they are, and their copies: int64[events]."""

    events: SensorEvents
    index: NDArray[np.int64]
    copies: NDArray[np.int64]


def _coded(
    mapping: StreamMapping, inputs: str | Path | NDArray[Any] | EventStream, dt_s: float | None, seconds: float | None
) -> tuple[str | Path | NDArray[Any] | EventStream, float | None]:
    """Frames of a network of rates as one stream of events, and how long that lasts; other inputs as they are."""
    if mapping.rates is None or isinstance(inputs, EventStream):
        return inputs, seconds
    streams = coded_streams(mapping.rates, mapping.network, inputs, None, dt_s)
    if streams is None or dt_s is None:
        return inputs, seconds
    stream, length_s = as_one(mapping.rates, streams, dt_s)
    return stream, length_s if seconds is None else seconds


def _stream(
    mapping: StreamMapping, inputs: str | Path | NDArray[Any] | EventStream, seconds: float | None
) -> EventStream:
    if not isinstance(inputs, EventStream):
        return load_events(inputs, mapping.sensor_shape, seconds=seconds)
    neurons = mapping.network.by_name[mapping.network.input].neurons
    if inputs.neurons != neurons:
        raise InputError(
            f"the event stream has {counted(inputs.neurons, 'neuron')}, but the input layer of "
            f"{mapping.network.name!r} has {neurons}: make it for the shape {mapping.sensor_shape}"
        )
    return inputs if seconds is None else inputs.crop(0, round(seconds * PS_PER_SECOND))


def _tick_ps(mapping: StreamMapping, tick_s: float | None) -> int:
    biased = [layer.name for layer in mapping.layers if layer.bias is not None]
    if not biased:
        return 0
    if tick_s is None:
        raise InputError(
            f"layers {', '.join(biased)} have biases, which the slow clock of {mapping.chip.name!r} adds: give its "
            "period in seconds (--dt 1e-3)"
        )
    if not 0 < tick_s < np.inf or tick_s * PS_PER_SECOND >= 2**57:
        raise InputError(f"the period of the slow clock is {tick_s} s: give a positive number, such as 1e-3")
    return max(1, round(tick_s * PS_PER_SECOND))


def _sensor_events(machine: StreamMachine, stream: EventStream, seconds: float | None) -> _Sensor:
    """Events beyond the last whole pooling window go nowhere: the sensor does not send them."""
    address = addresses(stream.neuron, machine.mapping.sensor_shape)
    copies = copies_of(machine.ways, machine.sources[-1]["first"], machine.sources[-1]["end"], address)
    index = np.flatnonzero(copies)
    duration_ps = stream.duration_ps if seconds is None else round(seconds * PS_PER_SECOND)
    return _Sensor(SensorEvents(stream.t_ps[index], address[index], duration_ps), index, copies[index])
