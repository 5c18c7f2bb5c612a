"""A run on a chip of tiles: find which neurons fire, count what that causes, and simulate how long each tick takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, available_threads
from nsim.formats.inputs import load_inputs
from nsim.machine.compiled import ticks as engine_compiled
from nsim.machine.simpy import ticks as engine_simpy
from nsim.machine.ticks import Lines, build_lines, missing_latencies
from nsim.mapping.tiles.branches import Branches, entries_by_kind, find_branches
from nsim.mapping.tiles.fabric import NT
from nsim.mapping.tiles.mapping import MosaicMapping
from nsim.mapping.tiles.read import TileNetwork
from nsim.network.activity import Activity, Densities, evaluate, layer_offsets, prescribe
from nsim.result.ranges import chosen_steps
from nsim.result.retime.ticks import ranges_of_ticks
from nsim.result.run_timesteps import check_run, chosen_densities, drawn_lengths
from nsim.result.ticks import TickCounts, TilePortTimes, TilesResult

ENGINES: dict[str, Callable[[Lines], engine_compiled.Engine | engine_simpy.Engine]] = {
    "compiled": engine_compiled.Engine,
    "simpy": engine_simpy.Engine,
}
Progress = Callable[[int, int], None]


def simulate_tiles(
    mapping: MosaicMapping,
    inputs: str | Path | NDArray | None = None,
    *,
    activity: str | float | Densities | None = None,
    timesteps: int | None = None,
    samples: int | None = None,
    dt_s: float | None = None,
    seed: int = 0,
    shared_lines: bool = False,
    ranges: bool = False,
    engine: str = "compiled",
    progress: Progress | None = None,
) -> TilesResult:
    """Run a network that is mapped on neuron tiles.

    inputs     a file or an array of frames or events (see nsim.formats.spikes), on which a network with weights is
    evaluated
    activity   instead of inputs, message densities by layer, as for `nsim.result.run.simulate`
    timesteps  per sample; by default what the input holds, or 100
    samples    how many of the input's samples, or how often to draw activity; by default all, or 1
    dt_s       seconds per tick of real time; needed to bin events, and for static power
    shared_lines   the lines of a port are shared by the neurons that use it, and spikes wait for them
    ranges     find out what the ranges of the chip's constants do, see nsim/result/ranges.py
    engine     "compiled", or "simpy", the readable reference: equal to the picosecond, and slow. None is run if a
               latency is not known: then there are counts, but no times
    progress   called with the ticks done and the total
    Ctrl-C returns what was simulated until then, if that is at least one tick.
    raises     InputError for input that does not fit; ChipError for shared lines without latencies, MappingError if
               one of them has no line
    """
    check_run(timesteps, samples, engine, dt_s, None, seed)
    network, dt_s = mapping.network, dt_s or mapping.network.whole.dt_s
    branches = find_branches(mapping.routing)
    timed = shared_lines or not missing_latencies(mapping)
    lines = build_lines(mapping, shared_lines, branches) if timed else None
    runs, lengths = sent_ticks(network, inputs, activity, timesteps, samples, dt_s, seed)
    drawn = network.whole.activity_notes if inputs is None and activity is None else ()
    wanted = chosen_steps(np.arange(sum(lengths))) if ranges else ()
    run = _Run(network, branches, ENGINES[engine](lines) if lines else None, sum(lengths), progress, wanted)
    try:
        for chunks in runs:
            for chunk in chunks:
                run.add(chunk)
    except KeyboardInterrupt:
        if not run.done:
            raise
    result = TilesResult(
        mapping=mapping,
        network=network.whole.with_notes(drawn),
        layer=network.layer,
        branches=branches,
        lines=lines,
        shared_lines=shared_lines,
        engine=engine if lines else None,
        seed=seed,
        dt_s=dt_s,
        sample_timesteps=tuple(n for n in np.diff(np.minimum(np.cumsum(lengths), run.done), prepend=0).tolist() if n),
        spans_planned=sum(lengths),
        counts=run.counts(),
        times=run.times(),
        outputs=np.concatenate(run.outputs)[: run.done] if run.outputs else None,
    )
    if not ranges or result.spans < result.spans_planned:
        return result
    return replace(result, ranges=ranges_of_ticks(result, run.kept, available_threads()))


def sent_ticks(
    network: TileNetwork,
    inputs: str | Path | NDArray | None,
    activity: str | float | Densities | None,
    timesteps: int | None,
    samples: int | None,
    dt_s: float | None,
    seed: int,
) -> tuple[Iterator[Iterator[Activity]], list[int]]:
    """What all layers send, sample by sample, and the ticks of every sample; arguments as of `simulate_tiles`."""
    if inputs is not None and activity is not None:
        raise InputError("both an input and an activity were given: the one is evaluated, the other drawn; choose one")
    if inputs is None:
        densities = chosen_densities(network.whole, activity)
        rng = np.random.default_rng([seed, 1])  # another stream than the one that drew a random network
        lengths = drawn_lengths(timesteps, samples)
        return (prescribe(network.whole, densities, length, rng) for length in lengths), lengths
    if not network.has_neurons:
        raise InputError(
            f"{network.connectivity.name} says who is connected to whom, but has no neuron model to evaluate an input "
            "on: give --activity 0.1, or a .nir graph"
        )
    dt_s = dt_s or network.whole.dt_s
    loaded = load_inputs(inputs, network.whole, timesteps=timesteps, samples=samples, bin_s=dt_s)
    return (evaluate(network.whole, sample) for sample in loaded), [sample.timesteps for sample in loaded]


def own_firing(network: TileNetwork, chunk: Activity, step: int) -> NDArray[np.int64]:
    """The neurons on the tiles that fire in a tick of a chunk, ascending."""
    offsets = layer_offsets(network.whole)
    number = [layer.name for layer in network.whole.layers].index(network.layer)
    firing = chunk.firing(step)
    own: NDArray[np.int64] = firing[slice(*np.searchsorted(firing, offsets[number : number + 2]))] - offsets[number]
    return own


class _Run:
    """What a run has gathered, tick by tick. wanted, kept: numbers of ticks, and the neurons that fired in each."""

    def __init__(
        self,
        network: TileNetwork,
        branches: Branches,
        engine: engine_compiled.Engine | engine_simpy.Engine | None,
        planned: int,
        progress: Progress | None,
        wanted: Iterable[int],
    ) -> None:
        self.wanted, self.kept = frozenset(wanted), dict[int, NDArray[np.int64]]()
        self.branches, self.engine, self.planned, self.progress = branches, engine, planned, progress
        self.network, self.done = network, 0
        self.spikes = np.zeros(branches.roots.size, np.int64)
        self.entries = np.zeros(branches.fabric.cells, np.int64)
        self.by_tick: list[tuple[int, ...]] = []
        self.duration_ps: list[int] = []
        self.waited_ps: list[int] = []
        self.port_waited_ps = np.zeros(branches.ports, np.int64)
        self.longest_queue = np.zeros(engine.lines.stations if engine else 0, np.int64)
        self.outputs: list[NDArray] = []

    def add(self, chunk: Activity) -> None:
        if chunk.outputs is not None:
            self.outputs.append(chunk.outputs)
        for step in range(chunk.timesteps):
            firing = own_firing(self.network, chunk, step)
            self._tick(firing)
            if self.done in self.wanted:
                self.kept[self.done] = firing
            self.done += 1
            if self.progress:
                self.progress(self.done, self.planned)

    def _tick(self, firing: NDArray[np.int64]) -> None:
        """Count, and time, a tick in which these neurons of the tiles fire; noted when it has been simulated."""
        times = self.engine.tick(firing) if self.engine else None
        entries = self.branches.entries(firing)
        counted = entries_by_kind(self.branches.fabric, entries)
        fullest = int(entries[self.branches.fabric.kind == NT].max(initial=0))
        if times:
            self.duration_ps.append(times.duration_ps)
            self.waited_ps.append(int(times.waited_ps.sum()))
            self.port_waited_ps += times.waited_ps
            np.maximum(self.longest_queue, times.longest_queue, out=self.longest_queue)
        self.entries += entries
        self.spikes[firing] += 1
        self.by_tick.append((firing.size, *counted.values(), fullest))

    def counts(self) -> TickCounts:
        columns = np.array(self.by_tick, np.int64).reshape(-1, 5)[: self.done].T
        return TickCounts(self.spikes, self.entries, *columns)

    def times(self) -> TilePortTimes | None:
        if self.engine is None:
            return None
        duration, waited = (np.array(each, np.int64)[: self.done] for each in (self.duration_ps, self.waited_ps))
        longest = self.engine.lines.most_of_port(self.longest_queue)
        return TilePortTimes(duration, waited, self.port_waited_ps, longest)
