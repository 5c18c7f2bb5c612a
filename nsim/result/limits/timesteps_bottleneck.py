"""What limits a run of timesteps, asked in three ways."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from nsim.machine.stations import build_machine
from nsim.mapping.cores.mapping import Mapping, Recosting
from nsim.mapping.cores.storage import FORMATS, storage_format
from nsim.result.limits.bottleneck import Bottleneck
from nsim.result.limits.bounds import Bounds
from nsim.result.limits.sensitivity import sensitivity
from nsim.result.limits.timesteps import timestep_bounds
from nsim.result.stations import between_chips
from nsim.result.timesteps import TimestepResult

Simulate = Callable[[Mapping], TimestepResult]


def bottleneck_of(result: TimestepResult, saved: dict[str, float] | None = None) -> Bottleneck:
    """The witnesses of a run."""
    bounds = timestep_bounds(result.counts, result.mapping, result.barrier_ps, management_ps=result.management_ps)
    actions = result.mapping.chip.actions
    used = [form for form in FORMATS if result.actions[f"synop_{form}"]]  # none in a silent run
    return Bottleneck(
        unit="timestep",
        result=result,
        bounds=bounds,
        saved=saved or {},
        time_ps=result.time_ps,
        path_ps=result.path_ps,
        energy_fj=result.energy.known_fj / result.spans,
        synop_ps=min(getattr(actions, f"synop_{form}").latency_ps for form in used or FORMATS),
        cores=result.mapping.placement.size,
        advise=partial(advice, bounds=bounds, mapping=result.mapping),
        run_line=_between_line(bounds, result),
    )


def _between_line(bounds: Bounds, result: TimestepResult) -> str:
    """On a board, what the links between chips take at least, and which of them binds."""
    if bounds.between is None:
        return ""
    least_ps, station = bounds.between
    if not least_ps.any():
        return "Between chips: no messages"
    link = result.machine.name(int(station[np.argmax(least_ps)]))
    return f"Between chips: at least {least_ps.mean() / 1e6:.3g} us of a timestep; {link} binds"


def find_bottleneck(mapping: Mapping, simulate: Simulate) -> Bottleneck:
    """Run a mapping, and again with each group of costs a tenth lower.

    simulate   runs a mapping on the same activity every time, and records the critical path
    """
    result = simulate(mapping)
    saved = sensitivity(mapping.chip, result.time_ps, lambda chip: simulate(Recosting(mapping).at(chip)).time_ps)
    return bottleneck_of(result, saved)


def advice(state: str, bounds: Bounds, mapping: Mapping) -> str:
    """What to change next in this state, in a sentence; names the core or link that binds."""
    step = bounds.longest(state)
    if state == "memory":
        core = int(bounds.cores["memory"][step])
        return (
            f"on the slope: core {core} ({'+'.join(mapping.layers_of(core))}) does most synops. Split its layer over "
            f"more cores, send it fewer messages{_if_weights_may_go(mapping, core)}"
        )
    if state == "compute":
        core = int(bounds.cores["compute"][step])
        return (
            f"on the floor: core {core} ({'+'.join(mapping.layers_of(core))}) sweeps most neurons. Split its layer "
            "over more cores; sparsity changes nothing"
        )
    if state == "traffic":
        machine, station = build_machine(mapping.chip), int(bounds.station[step])
        name = machine.name(station)
        if machine.kind(station) == "mesh" and between_chips(machine)[machine.index(station)]:
            return (
                f"above slope and floor: {name}, from chip to chip, carries most. Keep layers that exchange messages "
                "on one chip (--placement chips), use fewer destination cores on others, or sparser activations"
            )
        return (
            f"above slope and floor: {name} carries most. Use fewer destination cores (merge those of the next layer), "
            "another placement, or sparser activations"
        )
    if state == "management":
        return (
            "on the floor of the management processors: no mapping shortens it. Do more work in a timestep, use fewer "
            "timesteps, or a leaner runtime"
        )
    return "on the floor of the barrier: no core or link is busy for as long. Use fewer routers"


def _if_weights_may_go(mapping: Mapping, core: int) -> str:
    """Sparser weights help only where zeros are not fetched."""
    layers = mapping.layers_of(core)
    forms = {
        storage_format(connection, mapping.chip, mapping.dense_layers)
        for connection in mapping.network.connections
        if connection.target in layers
    }
    if "sparse" in forms:
        return ", or prune its weights"
    return ", or prune its weights and store them sparse" if "dense" in forms else ""
