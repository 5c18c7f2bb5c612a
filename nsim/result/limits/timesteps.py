"""The floorline model: the least time a timestep can take, from counts and costs alone, never from simulated times.

Whatever the order of events, a timestep lasts at least as long as
  memory    the synapses of the busiest core: receiving its messages, and reading or adding their weights
  compute   the sweep of the busiest core: updating its neurons and firing
  traffic   the busiest send stage or link: the messages that pass it; for a link between two chips of a board, also the
            way of the first message to it, and of the last one from it
and then the barrier and the management processors take their time. The largest of the five names the state that the
model predicts.

After Yik et al. 2025, arXiv:2511.21549: maxima over cores, not totals, set the time. The paper's equation and numbers
were not available; the form agrees with the max-affine lower bound of Timcheck et al. 2026, arXiv:2601.10035, for
Loihi 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nsim.chip.timesteps import BarrierChip
from nsim.machine.stations import MeshMachine, build_machine
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.cores.storage import FORMATS
from nsim.result.counts import Counts
from nsim.result.limits.bounds import Bounds, Times
from nsim.result.stations import between_chips

STATES = ("memory", "compute", "traffic", "barrier", "management")


def _with_end(
    memory: Times,
    compute: Times,
    traffic: Times,
    end_ps: tuple[ArrayLike, ArrayLike],
    synops: Times,
    cores: NDArray[np.int64],
    stations: NDArray[np.int64],
    between: tuple[Times, Times] | None,
) -> Bounds:
    """The largest of three, then barrier and management.

    memory, compute, synops   int64[timesteps, columns] of these cores
    traffic                   int64[timesteps, columns] of these stations
    between                   as of `between_bounds`
    """
    terms = [part.max(axis=1) for part in (memory, compute, traffic)]
    station = stations[traffic.argmax(axis=1)]
    if between is not None:
        station = np.where(between[0] > terms[2], between[1], station)
        terms[2] = np.maximum(terms[2], between[0])
    barrier, management = (np.broadcast_to(np.asarray(part, np.int64), len(memory)) for part in end_ps)
    return Bounds(
        dict(zip(STATES, (*terms, barrier, management), strict=True)),
        np.max(terms, axis=0) + barrier + management,
        {"memory": cores[memory.argmax(axis=1)], "compute": cores[compute.argmax(axis=1)]},
        station,
        synops.max(axis=1),
        between=between,
    )


def between_bounds(
    machine: MeshMachine, stations: NDArray[np.int64], messages: NDArray, ends: bool = True
) -> tuple[Times, Times] | None:
    """Least time of each timestep by the links between chips, and the link that binds; None if there are no such links.

    messages   [timesteps, columns]  messages that pass these stations
    ends       whether to count the ways to and from a link: of expected messages, nobody knows whether there is one
    A link serves its messages one after another. Before, the first of them was sent and crossed the link from its core;
    after, the last one crosses the wire and the link to its core, and is received.
    """
    links = machine.number("mesh") + np.flatnonzero(between_chips(machine))
    if not links.size:
        return None
    columns = np.flatnonzero(np.isin(stations, links))
    if not columns.size:  # nothing crosses an edge
        return np.zeros(len(messages), np.int64), np.full(len(messages), links[0])
    link, passed = stations[columns], messages[:, columns]
    service_ps, wire_ps = machine.service_ps, machine.wire_ps
    out, into = machine.number("core_to_router"), machine.number("router_to_core")
    received_ps = max(1, machine.chip.cost("message_in").latency_ps)  # type: ignore[attr-defined]
    ends_ps = int(service_ps[machine.of("send")].min() + service_ps[out] + wire_ps[out])
    ends_ps += int(service_ps[into] + wire_ps[into]) + received_ps
    least = np.rint(passed * service_ps[link]).astype(np.int64)
    if ends:
        least += np.where(passed > 0, ends_ps + wire_ps[link], 0)
    return least.max(axis=1), link[least.argmax(axis=1)]


def timestep_bounds(
    counts: Counts,
    mapping: Mapping,
    barrier_ps: int,
    chip: BarrierChip | None = None,
    management_ps: Times | int | None = None,
) -> Bounds:
    """Bounds of every timestep of a run, from its counts.

    barrier_ps      time of the barrier on the routers in use
    chip            costs to use instead of those of the mapping's chip
    management_ps   time of the management processors, by timestep; by default what they add to each
    """
    chip = chip or mapping.chip
    actions = chip.actions
    synop_ps = np.array([getattr(actions, f"synop_{form}").latency_ps for form in FORMATS])
    cores, links = counts.core_synops.kept, counts.link_messages.kept
    weights_ps = np.maximum(
        counts.core_words.values * actions.word_read.latency_ps, counts.format_synops.values @ synop_ps
    )
    memory = counts.core_messages_in.values * actions.message_in.latency_ps + weights_ps
    swept, update_ps = replace(mapping, chip=chip).sweep()
    compute = swept.allocated[cores] * update_ps + counts.core_spikes.values * actions.spike.latency_ps
    compute[:, -1] = 0  # the host only sends
    machine = build_machine(chip)
    stations = np.concatenate((machine.first[1] + cores, machine.first[2] + links))
    passed = np.concatenate((counts.core_messages_out.values, counts.link_messages.values), axis=1)
    end_ps = barrier_ps, chip.management_ps(mapping.management) if management_ps is None else management_ps
    traffic = passed * machine.service_ps[stations]
    between = between_bounds(machine, stations, passed)
    return _with_end(memory, compute, traffic, end_ps, counts.core_synops.values, cores, stations, between)


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
    swept, update_ps = mapping.sweep()
    compute = swept.allocated * update_ps + by_core(mapping.core, rate) * actions.spike.latency_ps
    compute[-1] = 0
    pairs, pair = np.unique(source * cores + copies.core, return_inverse=True)
    indptr, station = machine.links_between(pairs // cores, pairs % cores)
    messages = np.bincount(pair, copy_rate, minlength=pairs.size)
    passed = np.bincount(station, np.repeat(messages, np.diff(indptr)), minlength=machine.stations)
    passed[machine.first[1] : machine.first[2]] = by_core(source, copy_rate)
    stations = np.arange(machine.first[1], machine.first[5])
    traffic = (passed * machine.service_ps)[stations]
    synops = by_core(copies.core, copy_rate * copies.synops.sum(axis=1))

    def one(part: NDArray) -> Times:
        return np.rint(part)[None].astype(np.int64)

    end_ps = barrier_ps, mapping.management_ps
    between = between_bounds(machine, stations, passed[None, stations], ends=False)
    return _with_end(one(memory), one(compute), one(traffic), end_ps, one(synops), np.arange(cores), stations, between)


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
