"""`simulate`: a mapped network, run on whatever kind of chip it is mapped to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from nsim.chip.discipline import discipline_of, refuse_options, refuse_traces
from nsim.errors import InputError, SimulationError
from nsim.network.inputs import EventStream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nsim.mapping.cores.mapping import Mapping as CoreMapping
    from nsim.mapping.events.mapping import StreamMapping
    from nsim.mapping.frames.mapping import FrameMapping
    from nsim.mapping.tiles.mapping import MosaicMapping
    from nsim.network.activity import Densities
    from nsim.network.probes import Wanted
    from nsim.result.events import StreamResult
    from nsim.result.frames import FrameResult
    from nsim.result.ticks import TilesResult
    from nsim.result.timesteps import TimestepResult

Progress = Callable[[int, int], None]


@overload
def simulate(
    mapping: CoreMapping,
    inputs: str | Path | NDArray | None = None,
    *,
    activity: str | float | Densities | None = None,
    timesteps: int | None = None,
    samples: int | None = None,
    dt_s: float | None = None,
    seed: int = 0,
    engine: str = "compiled",
    threads: int | None = None,
    progress: Progress | None = None,
    drain: bool | None = None,
    warm_up: int | None = None,
    record: Wanted | None = None,
    labels: str | Path | NDArray | None = None,
    critical_path: bool | None = None,
    ranges: bool | None = None,
    trace: Mapping[str, str | PathLike[str]] | None = None,
    runtime: str | None = None,
    embedded_us: float | None = None,
    per_sample_us: float | None = None,
    sync: str | None = None,
    cluster: str | None = None,
) -> TimestepResult: ...


@overload
def simulate(
    mapping: FrameMapping,
    inputs: str | Path | NDArray | None = None,
    *,
    activity: str | float | Densities | None = None,
    samples: int | None = None,
    dt_s: float | None = None,
    labels: str | Path | NDArray | None = None,
    seed: int = 0,
    engine: str = "compiled",
    progress: Progress | None = None,
    critical_path: bool | None = None,
    ranges: bool | None = None,
    trace: Mapping[str, str | PathLike[str]] | None = None,
) -> FrameResult: ...


@overload
def simulate(
    mapping: StreamMapping,
    inputs: str | Path | NDArray | EventStream | None = None,
    *,
    dt_s: float | None = None,
    seconds: float | None = None,
    seed: int = 0,
    engine: str = "compiled",
    progress: Progress | None = None,
    critical_path: bool | None = None,
    ranges: bool | None = None,
    trace: Mapping[str, str | PathLike[str]] | None = None,
) -> StreamResult: ...


@overload
def simulate(
    mapping: MosaicMapping,
    inputs: str | Path | NDArray | None = None,
    *,
    activity: str | float | Densities | None = None,
    timesteps: int | None = None,
    samples: int | None = None,
    dt_s: float | None = None,
    seed: int = 0,
    engine: str = "compiled",
    progress: Progress | None = None,
    shared_lines: bool | None = None,
    ranges: bool | None = None,
) -> TilesResult: ...


def simulate(
    mapping: Any,
    inputs: Any = None,
    *,
    dt_s: float | None = None,
    seed: int = 0,
    engine: str = "compiled",
    progress: Progress | None = None,
    trace: Mapping[str, str | PathLike[str]] | None = None,
    **options: Any,
) -> Any:
    """Run a mapped network on whatever kind of chip it is mapped to.

    nsim/chip/discipline.py says which chips take which option; all take inputs, dt_s, seed, engine and progress.

    inputs     a file or an array of frames or events (see nsim.formats.spikes; without timesteps,
               nsim.formats.streams); the network is evaluated on it
    activity   instead of inputs, message densities by layer: a number for all, a dictionary of numbers or schedules, or
               text as on the command line. Neither: the stimulus of a network that has one, or the activity that a
               built-in network comes with; without timesteps, events that are made up
    timesteps  per sample; by default what the input holds, or 100
    samples    how many of the input's samples, or how often to draw activity; by default all, or 1 (4 frames)
    dt_s       seconds per timestep, frame or tick, to bin events; by default the network's. Without timesteps, the
               period of the slow clock
    seconds    watch the sensor so long; by default until the last event
    seed       of drawn activity, or of events that are made up
    engine     "compiled", or "simpy", the readable reference: equal to the picosecond, and slow
    threads    that the compiled engine uses; by default all this process may use. The result is the same
    progress   called with the timesteps, frames, sensor events or ticks done, and the total
    trace      files by kind of trace ({"perfetto": path}), which take every service of every message; slow and large.
               A TraceView in place of the path writes a part: a window, some layers, queues; see machine/trace/view.py
    critical_path   find out what every timestep's duration, the latency of one frame alone, or the end of a stream
               consists of (`path_ps` of the result); slows the run down a little
    drain, warm_up   silence after each input until the pipeline of layers is empty; timesteps that the means leave out
    record     states to keep, by layer: {"fc1": "v,u,s"}; see nsim/network/probes.py. The result has them in `record`
    labels     class of every sample, as a file or an array: the summary then has the accuracy, see
               nsim/result/accuracy.py
    ranges     find out what the ranges of the chip's constants do to time and energy (`ranges` of the result): some 100
               runs of a part of the activity, one to three seconds
    runtime    on the management processors, "lava" or "bare"; by default the chip's
    embedded_us, per_sample_us   of the user's own code on them, in every timestep and once per sample
    sync       "local": simulate it also without a barrier (nsim/machine/local.py), for `local_time_ps` of the summary
    cluster    of workers that simulate the timesteps: a Dask scheduler, "tcp://host:8786", "local:4" or "slurm:4"
    shared_lines   spikes wait for the lines of the chip file
    Ctrl-C returns what was simulated until then, if that is at least one timestep, frame or tick.
    raises     InputError for input that does not fit, SimulationError for an unknown engine, a deadlock, or an option
               that is for other chips
    """
    own = discipline_of(mapping.chip)
    given = refuse_options(mapping.chip, options, SimulationError, own.run_options)
    if isinstance(inputs, EventStream) and own.name != "stream":
        raise InputError("an EventStream is for chips without timesteps: give frames, or an array of events")
    if trace:
        refuse_traces(mapping.chip, trace, SimulationError)
        given["trace"] = trace
    return own.part("run")(mapping, inputs, dt_s=dt_s, seed=seed, engine=engine, progress=progress, **given)
