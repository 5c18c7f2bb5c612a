"""The floorline model: the least time a timestep can take, from counts and costs alone, never from simulated times.

Whatever the order of events, a timestep lasts at least as long as
  memory    the synapses of the busiest core: receiving its messages, and reading or adding their weights
  compute   the sweep of the busiest core: updating its neurons and firing
  traffic   the busiest send stage or link: the messages that pass it
and then the barrier takes its time. The largest of the four names the state that the model predicts.

After Yik et al. 2025, arXiv:2511.21549: maxima over cores, not totals, set the time. The paper's equation and numbers
were not available; the form agrees with the max-affine lower bound of Timcheck et al. 2026, arXiv:2601.10035, for
Loihi 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nsim.barrier_chip import BarrierChip
from nsim.bounds import Bounds, Times
from nsim.counts import Counts
from nsim.mapping import Mapping
from nsim.mapping.storage import FORMATS, storage_format
from nsim.stations import build_machine

STATES = ("memory", "compute", "traffic", "barrier")


def _with_barrier(memory: Times, compute: Times, traffic: Times, barrier_ps: int, synops: Times, first: int) -> Bounds:
    """The largest of three, then the barrier. Tables int64[timesteps, cores or stations, numbered from `first`]."""
    terms = [part.max(axis=1) for part in (memory, compute, traffic)]
    barrier = np.full(len(memory), barrier_ps, np.int64)
    return Bounds(
        dict(zip(STATES, (*terms, barrier), strict=True)),
        np.max(terms, axis=0) + barrier,
        {"memory": memory.argmax(axis=1), "compute": compute.argmax(axis=1)},
        traffic.argmax(axis=1) + first,
        synops.max(axis=1),
    )


def timestep_bounds(counts: Counts, mapping: Mapping, barrier_ps: int, chip: BarrierChip | None = None) -> Bounds:
    """Bounds of every timestep of a run, from its counts.

    barrier_ps   time of the barrier on the routers in use
    chip         costs to use instead of those of the mapping's chip
    """
    chip = chip or mapping.chip
    actions = chip.actions
    synop_ps = np.array([getattr(actions, f"synop_{form}").latency_ps for form in FORMATS])
    weights_ps = np.maximum(counts.core_words * actions.word_read.latency_ps, counts.format_synops @ synop_ps)
    memory = counts.core_messages_in * actions.message_in.latency_ps + weights_ps
    compute = mapping.allocated * actions.neuron_update.latency_ps + counts.core_spikes * actions.spike.latency_ps
    compute[:, -1] = 0  # the host only sends
    machine = build_machine(chip)
    passed = np.concatenate((counts.core_messages_out, counts.link_messages), axis=1)
    traffic = passed * machine.service_ps[machine.first[1] : machine.first[5]]
    return _with_barrier(memory, compute, traffic, barrier_ps, counts.core_synops, int(machine.first[1]))


def expected_bounds(mapping: Mapping, densities: dict[str, float], barrier_ps: int) -> Bounds:
    """Bounds of one timestep in which every layer sends with its message density: before anything is evaluated.

    densities   by layer, in 0..1
    returns     bounds of the *expected* counts, as one timestep, rounded to picoseconds. A maximum of means is at most
                the mean of maxima: in the long run the mean of `timestep_bounds` is not below it
    """
    network, chip = mapping.network, mapping.chip
    machine = build_machine(chip)
    rate = np.repeat(
        [densities[layer.name] if network.sends(layer) else 0.0 for layer in network.layers],
        [layer.neurons for layer in network.layers],
    )
    copies = mapping.copies
    copy_rate = np.repeat(rate, np.diff(copies.indptr))
    source = np.repeat(mapping.core, np.diff(copies.indptr))
    cores = machine.cores

    def by_core(core: NDArray, weight: NDArray) -> NDArray:
        return np.bincount(core, weight, minlength=cores)

    actions = chip.actions
    synop_ps = [getattr(actions, f"synop_{form}").latency_ps for form in FORMATS]
    adding = by_core(copies.core, copy_rate * (copies.synops @ np.array(synop_ps)))
    reading = by_core(copies.core, copy_rate * copies.words) * actions.word_read.latency_ps
    memory = by_core(copies.core, copy_rate) * actions.message_in.latency_ps + np.maximum(adding, reading)
    compute = (
        mapping.allocated * actions.neuron_update.latency_ps + by_core(mapping.core, rate) * actions.spike.latency_ps
    )
    compute[-1] = 0
    pairs, pair = np.unique(source * cores + copies.core, return_inverse=True)
    indptr, station = machine.links_between(pairs // cores, pairs % cores)
    messages = np.bincount(pair, copy_rate, minlength=pairs.size)
    passed = np.bincount(station, np.repeat(messages, np.diff(indptr)), minlength=machine.stations)
    passed[machine.first[1] : machine.first[2]] = by_core(source, copy_rate)
    traffic = (passed * machine.service_ps)[machine.first[1] : machine.first[5]]
    synops = by_core(copies.core, copy_rate * copies.synops.sum(axis=1))

    def one(part: NDArray) -> Times:
        return np.rint(part)[None].astype(np.int64)

    return _with_barrier(one(memory), one(compute), one(traffic), barrier_ps, one(synops), int(machine.first[1]))


# --- from layer sizes alone ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerSize:
    """A fully connected layer before it is built: all that the table of orders below needs.

    weight_density   share of its incoming weights that are not zero
    message_density  share of its neurons that send in a timestep
    cores            over which it is split evenly
    """

    neurons: int
    weight_density: float
    message_density: float
    cores: int


@dataclass(frozen=True)
class LayerWork:
    """Expected work of one layer per timestep: synops and updates of one of its cores, copies it receives in all."""

    synops_per_core: float
    updates_per_core: float
    messages: float


def layer_work(layers: Sequence[LayerSize]) -> list[LayerWork]:
    """Work of every layer but the first, which is the input.

    One copy of a message for every core of the next layer:
    synops per core = m w N_source N / C, updates per core = N / C, messages = m N_source C.
    Source: the orders m w N^2 / C, N / C and m N C given in summaries of arXiv:2511.21549.
    """
    return [
        LayerWork(
            source.message_density * layer.weight_density * source.neurons * layer.neurons / layer.cores,
            layer.neurons / layer.cores,
            source.message_density * source.neurons * layer.cores,
        )
        for source, layer in pairwise(layers)
    ]


def layer_bounds(layers: Sequence[LayerSize], chip: BarrierChip, weight_format: str = "dense") -> dict[str, float]:
    """Bounds in ps of one timestep of a stack of fully connected layers, one layer after another on cores of their own.

    weight_format   "dense": zero weights are fetched too; "sparse": only the others
    Memory words and wires are left out, and of the links only the one into the busiest core: simpler than
    `expected_bounds`, which knows the mapping.
    """
    actions = chip.actions
    synop_ps = getattr(actions, f"synop_{weight_format}").latency_ps
    work = layer_work(layers)
    memory = compute = traffic = 0.0
    for (source, layer), each in zip(pairwise(layers), work, strict=True):
        arriving = each.messages / layer.cores
        synops = each.synops_per_core / (layer.weight_density if weight_format == "dense" else 1)
        memory = max(memory, arriving * actions.message_in.latency_ps + synops * synop_ps)
        firing = layer.message_density * each.updates_per_core
        compute = max(
            compute, each.updates_per_core * actions.neuron_update.latency_ps + firing * actions.spike.latency_ps
        )
        sent = each.messages / source.cores
        traffic = max(traffic, sent * max(1, chip.send_ps), sent * chip.link_service_ps("core_to_router"))
        traffic = max(traffic, arriving * chip.link_service_ps("router_to_core"))
    return {"memory": memory, "compute": compute, "traffic": traffic}


# --- what to change -----------------------------------------------------------------------------------------


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
        name = build_machine(mapping.chip).name(int(bounds.station[step]))
        return (
            f"above slope and floor: {name} carries most. Use fewer destination cores (merge those of the next layer), "
            "another placement, or sparser activations"
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
