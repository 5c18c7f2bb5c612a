"""How sparse a network must become to be so many times faster, by the floorline alone: before it is trained.

Every layer sends with a density; what its messages cost is linear in it, and the bounds are maxima of such sums, as in
`expected_bounds`. So the floorline is convex in the densities, and falls no further once another bound takes over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsim.chip.timesteps import BarrierChip
from nsim.machine.stations import build_machine
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.cores.storage import FORMATS, storage_format, stores_zeros
from nsim.result.timesteps import TimestepResult

HALVINGS = 40  # of an interval, which leaves nothing of it
EQUAL = 1 + 1e-9


@dataclass(frozen=True, eq=False)
class Loads:
    """Expected work of a timestep, in ps, by the layer whose messages cause it.

    receiving           float64[layers, cores]     taking messages
    adding, skipped     float64[layers, cores]     adding weights: all, and those that are skipped where they are zero
    reading, packed     float64[layers, cores]     reading their words: all, and those in which no zeros are stored
    firing              float64[layers, cores]
    traffic             float64[layers, stations]  send stages and links
    sweep               float64[cores]             updates, whatever is sent
    barrier_ps, management_ps
    """

    receiving: NDArray[np.float64]
    adding: NDArray[np.float64]
    skipped: NDArray[np.float64]
    reading: NDArray[np.float64]
    packed: NDArray[np.float64]
    firing: NDArray[np.float64]
    traffic: NDArray[np.float64]
    sweep: NDArray[np.float64]
    barrier_ps: int
    management_ps: int

    def terms(self, messages: NDArray[np.float64], weights: float = 1.0) -> dict[str, float]:
        """Bounds by state, if layers send these shares of their messages and keep this share of all weights."""
        reading = messages @ (self.reading - self.packed * (1 - weights))
        adding = messages @ (self.adding - self.skipped * (1 - weights))
        memory = messages @ self.receiving + np.maximum(adding, reading)
        terms = {"memory": memory, "compute": self.sweep + messages @ self.firing, "traffic": messages @ self.traffic}
        ends = {"barrier": float(self.barrier_ps), "management": float(self.management_ps)}
        return {state: float(term.max(initial=0)) for state, term in terms.items()} | ends

    def least_ps(self, messages: NDArray[np.float64], weights: float = 1.0) -> float:
        terms = self.terms(messages, weights)
        return max(terms["memory"], terms["compute"], terms["traffic"]) + terms["barrier"] + terms["management"]

    def state(self, messages: NDArray[np.float64], weights: float = 1.0) -> str:
        terms = self.terms(messages, weights)
        return max(terms, key=terms.__getitem__)


@dataclass(frozen=True)
class Takeover:
    """What fewer messages of one layer are worth, the others as they are.

    density   of its messages
    until     density below which nothing more is gained, since another bound has taken over
    state     that bound
    speedup   gained there
    """

    layer: str
    density: float
    until: float
    state: str
    speedup: float


@dataclass(frozen=True)
class Target:
    """What it takes to be so many times faster than the floorline of now.

    now_ps    the floorline, of a timestep with these densities in the mean
    messages  share of its messages that every layer may still send; None if not even silence reaches the target
    weights   share of all weights that may stay, messages as they are; None likewise
    both      share of messages and of weights alike; None likewise
    most      times faster at best, by fewer messages, weights, and both
    state     what stops a silent network
    """

    times: float
    now_ps: float
    layers: tuple[Takeover, ...]
    messages: float | None
    weights: float | None
    both: float | None
    most: dict[str, float]
    state: str


def loads_of(mapping: Mapping, densities: dict[str, float], barrier_ps: int) -> Loads:
    """Of layers that send with these densities."""
    network, chip, copies = mapping.network, mapping.chip, mapping.copies
    machine = build_machine(chip)
    number = np.repeat(np.arange(len(network.layers)), [layer.neurons for layer in network.layers])
    rates = np.array([densities[each.name] if network.sends(each) else 0.0 for each in network.layers])
    fan_out = np.diff(copies.indptr)
    sender, source = np.repeat(number, fan_out), np.repeat(mapping.core, fan_out)

    def by_core(row: NDArray, core: NDArray, weight: NDArray) -> NDArray[np.float64]:
        found = np.zeros((len(rates), machine.cores))
        np.add.at(found, (row, core), rates[row] * weight)
        return found

    actions = chip.actions
    synop_ps = np.array([getattr(actions, f"synop_{form}").latency_ps for form in FORMATS])
    reading = by_core(sender, copies.core, copies.words.astype(np.int64) * actions.word_read.latency_ps)
    swept, update_ps = mapping.sweep()
    sweep = (swept.allocated * update_ps).astype(float)
    firing = by_core(number, mapping.core, np.full(number.size, actions.spike.latency_ps))
    sweep[-1] = firing[:, -1] = 0  # the host only sends
    return Loads(
        by_core(sender, copies.core, np.full(sender.size, actions.message_in.latency_ps)),
        by_core(sender, copies.core, copies.synops @ synop_ps),
        by_core(sender, copies.core, copies.synops @ (synop_ps * _skips(chip))),
        reading,
        reading * _packs(mapping)[:, None],
        firing,
        _traffic(mapping, rates, sender, source),
        sweep,
        barrier_ps,
        mapping.management_ps,
    )


def _skips(chip: BarrierChip) -> NDArray[np.bool_]:
    """Formats in which a zero weight is no synop."""
    return np.array([{"dense": False, "sparse": True, "conv": chip.skips_conv_zeros}[form] for form in FORMATS])


def _packs(mapping: Mapping) -> NDArray[np.bool_]:
    """Layers all of whose weights are stored without zeros, so that fewer weights are fewer words."""
    chip, form = mapping.chip, mapping.dense_layers
    return np.array(
        [
            all(
                storage_format(each, chip, form) == "sparse" and not stores_zeros(each, chip, form)
                for each in mapping.network.outgoing(layer.name)
            )
            for layer in mapping.network.layers
        ]
    )


def _traffic(mapping: Mapping, rates: NDArray, sender: NDArray, source: NDArray) -> NDArray[np.float64]:
    """Time that send stages and links are busy, by layer: [layers, stations]."""
    machine = build_machine(mapping.chip)
    found = np.zeros((len(rates), machine.stations))
    for layer, rate in enumerate(rates):
        mine = sender == layer
        pairs, messages = np.unique(source[mine] * machine.cores + mapping.copies.core[mine], return_counts=True)
        indptr, station = machine.links_between(pairs // machine.cores, pairs % machine.cores)
        found[layer] = rate * np.bincount(station, np.repeat(messages, np.diff(indptr)), minlength=machine.stations)
        sent = np.bincount(source[mine], minlength=machine.cores)
        found[layer, machine.first[1] : machine.first[2]] = rate * sent
    return found * machine.service_ps


def target_of(mapping: Mapping, densities: dict[str, float], barrier_ps: int, times: float) -> Target:
    """What sparsity makes a timestep `times` faster on this mapping, layer by layer and in all layers alike.

    densities   of messages, by layer
    times       above 1
    """
    loads, layers = loads_of(mapping, densities, barrier_ps), mapping.network.layers
    every = np.ones(len(layers))
    now_ps = loads.least_ps(every)
    ways: dict[str, Callable[[float], float]] = {
        "messages": lambda share: loads.least_ps(share * every),
        "weights": lambda share: loads.least_ps(every, share),
        "both": lambda share: loads.least_ps(share * every, share),
    }
    found = {way: _share(least, now_ps / times) for way, least in ways.items()}
    most = {way: now_ps / least(0.0) for way, least in ways.items()}
    taken = tuple(
        _takeover(loads, number, layer.name, densities[layer.name])
        for number, layer in enumerate(layers)
        if mapping.network.sends(layer) and densities[layer.name]
    )
    return Target(times, now_ps, taken, **found, most=most, state=loads.state(0 * every))


def target_of_run(result: TimestepResult, times: float) -> Target:
    """The same with the densities that a run had in the mean."""
    spikes, network = result.counts.spikes.sum(axis=0), result.mapping.network
    densities = {
        layer.name: float(spikes[number]) / (layer.neurons * result.spans)
        for number, layer in enumerate(network.layers)
    }
    return target_of(result.mapping, densities, result.barrier_ps, times)


def _takeover(loads: Loads, number: int, name: str, density: float) -> Takeover:
    def messages(share: float) -> NDArray[np.float64]:
        found = np.ones(len(loads.receiving))
        found[number] = share
        return found

    silent_ps, now_ps = loads.least_ps(messages(0)), loads.least_ps(messages(1))
    share = _share(lambda each: loads.least_ps(messages(each)), silent_ps * EQUAL)
    assert share is not None
    return Takeover(name, density, share * density, loads.state(messages(0)), now_ps / silent_ps)


def _share(least: Callable[[float], float], wanted_ps: float) -> float | None:
    """The largest share, up to 1, whose floorline is at most this; None if not even 0 is. It rises with the share."""
    if least(0.0) > wanted_ps:
        return None
    low, high = 0.0, 1.0
    if least(high) <= wanted_ps:
        return high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if least(middle) <= wanted_ps else (low, middle)
    return low
