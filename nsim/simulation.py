"""The run: evaluate or draw which neurons send, count what that causes, and simulate how long it takes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsim import engine_compiled, engine_simpy
from nsim.activity import Activity, Densities, evaluate, parse_activity, prescribe
from nsim.counts import Counter, Counts
from nsim.errors import InputError, SimulationError
from nsim.mapping import Mapping
from nsim.neurons import Relay
from nsim.result import Result
from nsim.spikes import Events, Frames, load_input
from nsim.stations import ChunkTimes, build_machine

ENGINES = {"compiled": engine_compiled, "simpy": engine_simpy}
DEFAULT_TIMESTEPS = 100
Progress = Callable[[int, int], None]


def simulate(
    mapping: Mapping,
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
) -> Result:
    """Run a mapped network.

    inputs     a file or an array of frames or events (see nsim.spikes); the network is evaluated on it
    activity   instead of inputs, message densities by layer: a number for all, a dictionary of numbers or schedules, or
               text as on the command line. Neither: the activity that a built-in network comes with
    timesteps  per sample; by default what the input holds, or 100
    samples    how many of the input's samples, or how often to draw activity; by default all, or 1
    dt_s       seconds per timestep, to bin events
    engine     "compiled", or "simpy", the readable reference: equal to the picosecond, and slow
    threads    that the compiled engine uses; by default all this process may use. The result is the same
    progress   called with the timesteps done and the total
    raises     InputError for input that does not fit, SimulationError for an unknown engine or a deadlock
    """
    check_run(timesteps, samples, engine, dt_s, threads)
    if inputs is not None and activity is not None:
        raise InputError("both an input and an activity were given: the one is evaluated, the other drawn; choose one")
    binary = None
    if inputs is None:
        runs, lengths = _drawn(mapping, activity, timesteps, samples, seed)
    else:
        loaded = load_input(inputs, _input_shape(mapping), timesteps=timesteps, samples=samples, bin_s=dt_s)
        binary = all(_is_binary(sample) for sample in loaded)
        _check_carried(mapping, binary)
        runs, lengths = (evaluate(mapping.network, sample) for sample in loaded), [s.timesteps for s in loaded]
    return _run(mapping, runs, lengths, engine, threads or available_threads(), seed, progress, binary)


def check_run(timesteps: int | None, samples: int | None, engine: str, dt_s: float | None, threads: int | None) -> None:
    """Refuse what cannot be run, before anything is loaded."""
    if engine not in ENGINES:
        raise SimulationError(f"no engine {engine!r}: choose from {', '.join(ENGINES)}")
    for name, value in (("timesteps", timesteps), ("samples", samples)):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}: give at least 1")
    if dt_s is not None and not 0 < dt_s < float("inf"):
        raise InputError(f"dt is {dt_s}: give a positive number of seconds, for example 1e-3")
    available = available_threads()
    if threads is not None and not 1 <= threads <= available:
        raise SimulationError(f"threads is {threads}: this process may use 1 to {available}")


def available_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _input_shape(mapping: Mapping) -> tuple[int, int, int]:
    return mapping.network.by_name[mapping.network.input].shape


def _drawn(
    mapping: Mapping, activity: str | float | Densities | None, timesteps: int | None, samples: int | None, seed: int
) -> tuple[Iterable[Iterator[Activity]], list[int]]:
    network = mapping.network
    if isinstance(activity, str):
        densities: Densities = parse_activity(activity, network)
    elif isinstance(activity, (int, float)):
        densities = {layer.name: float(activity) for layer in network.layers}
    elif activity is not None:
        densities = activity
    elif network.activity is not None:
        densities = network.activity
    else:
        raise InputError(
            f"network {network.name!r} comes without activity: give an input file (--input) or message densities "
            "(--activity 0.1)"
        )
    rng = np.random.default_rng(seed)
    lengths = [timesteps or DEFAULT_TIMESTEPS] * (samples or 1)
    return (prescribe(network, densities, length, rng) for length in lengths), lengths


def _is_binary(sample: Frames | Events) -> bool:
    """Whether a sample holds zeros and ones only."""
    return all(bool(np.isin(sample.at(step), (0, 1)).all()) for step in range(sample.timesteps))


def _check_carried(mapping: Mapping, binary: bool) -> None:
    """A chip without graded messages cannot take graded input."""
    source = mapping.network.by_name[mapping.network.input]
    if (
        isinstance(source.neuron, Relay)
        and not source.neuron.binary
        and not binary
        and not mapping.chip.messages.graded
    ):
        raise InputError(
            f"the input of {mapping.network.name!r} holds values other than 0 and 1, but chip {mapping.chip.name!r} "
            "carries binary spikes only: encode the input as spikes, or use a chip with graded messages"
        )


def _run(
    mapping: Mapping,
    runs: Iterable[Iterator[Activity]],
    lengths: list[int],
    engine: str,
    threads: int,
    seed: int,
    progress: Progress | None,
    binary_input: bool | None,
) -> Result:
    machine = build_machine(mapping.chip)
    counter = Counter(mapping, machine)
    simulator = ENGINES[engine].Engine(mapping, machine, threads)
    counts: list[Counts] = []
    times: list[ChunkTimes] = []
    outputs: list[NDArray] = []
    done = 0
    for chunk in itertools.chain.from_iterable(runs):
        counts.append(counter.count(chunk))
        if chunk.outputs is not None:
            outputs.append(chunk.outputs)
        for part in simulator.run(chunk):
            times.append(part)
            done += part.duration_ps.size
            if progress:
                progress(done, sum(lengths))
    routers = np.unique(mapping.used_cores // mapping.chip.mesh.cores_per_router).size
    return Result(
        mapping=mapping,
        machine=machine,
        engine=engine,
        seed=seed,
        sample_timesteps=tuple(lengths),
        counts=Counts.joined(counts),
        times=ChunkTimes.joined(times),
        barrier_ps=mapping.chip.barrier_ps(routers),
        outputs=np.concatenate(outputs) if outputs else None,
        binary_input=binary_input,
    )
