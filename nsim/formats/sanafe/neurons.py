"""What every neuron of a SANA-FE network is: its units, the parameters of its model, or the spikes that it sends.

    leaky_integrate_fire   v = bias + v * leak_decay + u, fires if v > threshold, then v = reset (documented);
                           v * leak_decay is cut to a multiple of 1/64 toward zero (as sanafe 2.2.9 does)
    truenorth              without leak and noise: v = bias + v + u, fires if v >= threshold (as sanafe 2.2.9 does)
    input                  fires where its train spikes says so, in every floor(1 / rate)-th timestep, and in others
                           with the probability poisson
A spike of timestep t reaches its targets in t + 1, as in nsim.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nsim.chip.file import show
from nsim.errors import InputError, check_fits
from nsim.formats.sanafe.architecture import Architecture, CoreKind, Unit
from nsim.formats.sanafe.network import FORWARDED, SECTIONS, Attributes, Spiking
from nsim.formats.sanafe.tree import LEFT, Node
from nsim.network.layers import MAX_DELAY

DEFAULT_TIMESTEPS = 100
LARGEST = 2**31 - 1
STEP = 64  # potentials of leaky_integrate_fire are multiples of 1 / 64 after the leak
INPUT, LIF, TRUENORTH = "input", "leaky_integrate_fire", "truenorth"
SUMS, WAITING = "accumulator", "accumulator_with_delay"
MODELS = {  # that are carried over, by kind of unit; axons have none
    **{"soma": (INPUT, LIF, TRUENORTH), "dendrite": (SUMS, WAITING), "synapse": ("current_based",)},
    **{"axon_in": (), "axon_out": ()},
}
PARAMETERS = {"threshold": 0.0, "reset": 0.0, "leak_decay": 1.0, "bias": 0.0}  # and what they are if not given
PARAMETERS_OF = {LIF: tuple(PARAMETERS), TRUENORTH: ("threshold", "reset", "bias"), INPUT: ()}
INERT = {  # attributes of a model that nsim has not, and what they are when they do nothing
    LIF: {
        **{"reset_mode": "hard", "reverse_reset_mode": "none", "reverse_threshold": None, "reverse_reset": None},
        **{"refractory_delay": "0", "noise": None, "noise_bits": "0", "force_potential": None},
    },
    TRUENORTH: {
        **{"reset_mode": "hard", "reverse_reset_mode": "none", "reverse_threshold": None, "reverse_reset": None},
        **{"leak": "0", "random_mask": "0", "leak_towards_zero": "true"},
    },
    INPUT: {},
}
TRAINS = ("spikes", "rate", "poisson")
FORCED = ("force_update", "force_update_every_timestep", "force_soma_update", "force_dendrite_update")
LOGS = ("log_spikes", "log_potential", "log_u")
KNOWN_ELSEWHERE = {*PARAMETERS, *TRAINS, *INERT[LIF], *INERT[TRUENORTH]}  # by another model than the neuron's


@dataclass(frozen=True, eq=False)
class Neurons:
    """All neurons of a network, in its order.

    kind, soma, dendrite, synapse   what they are mapped to; synapse is the unit of what arrives
    inputs, others   int64[...] which of them are inputs, and which compute
    parameters       threshold, reset, leak_decay and bias: float64[neurons], 0 for inputs
    strict           bool[neurons] fires above the threshold only, not at it
    trains           bool[timesteps, inputs]; one silent column if there are no inputs
    """

    kind: list[CoreKind]
    soma: list[Unit]
    dendrite: list[Unit]
    synapse: list[Unit]
    inputs: NDArray[np.int64]
    others: NDArray[np.int64]
    parameters: dict[str, NDArray[np.float64]]
    strict: NDArray[np.bool_]
    trains: NDArray[np.bool_]


@dataclass(eq=False)
class Differences:
    """Why spikes may differ from SANA-FE's: reasons in words, with the neurons or numbers that each concerns."""

    counted: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str, number: int = 1) -> None:
        if number:
            self.counted[reason] = self.counted.get(reason, 0) + number

    def lines(self) -> list[str]:
        return [f"{number:,} {reason}" for reason, number in self.counted.items()]


def resolve(
    network: Spiking,
    architecture: Architecture,
    timesteps: int | None,
    rng: np.random.Generator,
    differences: Differences,
) -> Neurons:
    """Find units and parameters of all neurons.

    timesteps   how long inputs last; None: their longest train, at least 100 if any goes on for ever
    rng         draws poisson inputs
    raises      NetworkError for a core, unit or model that there is not; InputError for a length that is none
    """
    everyone = network.attributes()
    kinds = [_core_kind(network, architecture, neuron) for neuron in range(network.neurons)]
    units: dict[str, list[Unit]] = {section: [] for section in SECTIONS}
    for neuron, (kind, attributes) in enumerate(zip(kinds, everyone, strict=True)):
        named = network.places[neuron].units
        for section in SECTIONS:
            asked = named.get(section) or getattr(attributes, section).get(f"{section}_hw_name")
            unit = kind.unit(section, asked)
            units[section].append(unit)
            if asked is not None:
                asked.carried(f"the {section} unit whose costs are looked at")
    _check_neurons_per_core(network, kinds)
    models = [_model(network, neuron, unit) for neuron, unit in enumerate(units["soma"])]
    inputs = np.flatnonzero([model == INPUT for model in models])
    others = np.flatnonzero([model != INPUT for model in models])
    if not others.size:
        network.root.fail("has input neurons only: there is nothing to simulate; map some to leaky_integrate_fire")
    for section in ("dendrite", "synapse"):
        _tell_models(units[section], section, differences)
    _tell_unit_attributes(units["soma"], differences)
    parameters = {name: np.zeros(network.neurons) for name in PARAMETERS}
    for neuron in others.tolist():
        for name, usual in PARAMETERS.items():
            given = everyone[neuron].soma.get(name) if name in PARAMETERS_OF[models[neuron]] else None
            parameters[name][neuron] = given.real() if given else usual
    _check_decay(network, everyone, parameters["leak_decay"])
    _tell_fates(everyone, models, differences)
    _tell_overridden(network)
    trains = _trains([everyone[neuron] for neuron in inputs], timesteps, rng, network)
    _tell_shared_inputs(network, everyone, inputs, differences)
    return Neurons(
        kind=kinds,
        soma=units["soma"],
        dendrite=units["dendrite"],
        synapse=units["synapse"],
        inputs=inputs,
        others=others,
        parameters=parameters,
        strict=np.array([model == LIF for model in models]),
        trains=trains,
    )


def _core_kind(network: Spiking, architecture: Architecture, neuron: int) -> CoreKind:
    place = network.places[neuron]
    tiles = architecture.tiles
    if place.tile >= len(tiles):
        place.node.fail(
            f"names tile {place.tile}, but architecture {show(architecture.name)} has 0 to {len(tiles) - 1}"
        )
    cores = tiles[place.tile].cores
    if place.core >= len(cores):
        place.node.fail(f"names core {place.core} of tile {place.tile}, which has 0 to {len(cores) - 1}")
    return cores[place.core]


def _check_neurons_per_core(network: Spiking, kinds: list[CoreKind]) -> None:
    held: dict[tuple[int, int], int] = {}
    for place, kind in zip(network.places, kinds, strict=True):
        core = place.tile, place.core
        held[core] = held.get(core, 0) + 1
        if held[core] > (most := kind.neurons.whole(1, LARGEST)):
            number = sum((other.tile, other.core) == core for other in network.places)
            place.node.fail(
                f"core {place.tile}.{place.core} holds {number} neurons, but max_neurons_supported is {most}: map "
                f"{number - most} of them to other cores"
            )


def _model(network: Spiking, neuron: int, unit: Unit) -> str:
    if unit.model not in MODELS["soma"]:
        plugin = ", a plugin" if "plugin" in unit.attributes else ""
        network.places[neuron].node.fail(
            f"neuron {network.called(neuron)} runs on soma unit {show(unit.names[0])} of model {show(unit.model)}"
            f"{plugin}, whose equations nsim has not: map it to a unit of {LIF}, {TRUENORTH} or {INPUT}"
        )
    return unit.model


def _tell_shared_inputs(
    network: Spiking, everyone: list[Attributes], inputs: NDArray[np.int64], differences: Differences
) -> None:
    used = set()
    for neuron in inputs.tolist():
        place = network.places[neuron]
        asked = place.units.get("soma") or everyone[neuron].soma.get("soma_hw_name")
        used.add((place.tile, place.core, asked.text if asked else ""))
    differences.add(
        "input neurons share a unit: sanafe 2.2.9 lets them overwrite each other's train, here each keeps its own",
        len(inputs) - len(used),
    )


def _tell_models(units: list[Unit], section: str, differences: Differences) -> None:
    for unit in units:
        if unit.model == WAITING:
            differences.add(
                "neurons have an accumulator_with_delay, which adds up after the delay here, as documented; "
                "sanafe 2.2.9 delivers no spike to it at all"
            )
        elif unit.model not in MODELS[section]:
            differences.add(f"neurons have a {section} of model {show(unit.model)}; here its inputs are added up")


def _tell_unit_attributes(units: list[Unit], differences: Differences) -> None:
    """Attributes of neuron models that the architecture gives to a unit, such as its noise."""
    for unit in units:
        for name, node in unit.attributes.items():
            if name in KNOWN_ELSEWHERE:
                node.left("attributes of neurons are taken from the network's file only")
                differences.add(f"neurons on a unit with {name} in the architecture, which they do not get here")


def _check_decay(network: Spiking, everyone: list[Attributes], decay: NDArray[np.float64]) -> None:
    wrong = np.flatnonzero((decay < 0) | (decay > 1))
    if wrong.size:
        node = everyone[wrong[0]].soma["leak_decay"]
        node.fail(f"is {show(node.text)}: a potential that grows by itself cannot be carried over, give 0 to 1")


def _tell_fates(everyone: list[Attributes], models: list[str], differences: Differences) -> None:
    """The fate of every attribute, seen from each neuron that has it: carried over once is carried over."""
    for attributes, model in zip(everyone, models, strict=True):
        for name, node in attributes.soma.items():
            _tell(name, node, model, differences)
    for attributes in {id(one): one for one in everyone}.values():
        for section in ("dendrite", "synapse"):
            for node in getattr(attributes, section).values():
                if node.fate is None:
                    node.left(f"{section} units of the models carried over take no such attribute from a neuron")


def _tell(name: str, node: Node, model: str, differences: Differences) -> None:
    inert = INERT[model]
    if name in inert and not _does_nothing(node, inert[name]):
        differences.add(f"neurons with {name}, which nsim's neurons have not: {_instead(name)}")
    if node.fate is not None and node.fate.verdict != LEFT:
        return
    if name in PARAMETERS_OF[model]:
        if name == "leak_decay" and 0 < node.real() < 1:
            node.approximated("leak of a layer; the potential is not cut to multiples of 1/64")
        else:
            node.carried({"leak_decay": "leak of a layer"}.get(name, f"{name} of a layer"))
    elif model == INPUT and name in TRAINS:
        if name == "poisson":
            node.approximated("spikes drawn with the same probability, not the same ones")
        else:
            node.carried("spikes that the network brings along")
    elif name in inert:
        if _does_nothing(node, inert[name]):
            node.carried("what nsim's neurons do anyway")
        else:
            node.left(f"nsim's neurons have no {name}: {_instead(name)}; spikes will differ")
    elif name in FORCED:
        node.carried("nsim updates every neuron in every timestep anyway")
    elif name in LOGS:
        node.left("traces are options of a run: outputs.npy of --out, --trace messages")
    elif name in KNOWN_ELSEWHERE:
        node.left(f"the soma model {model} of these neurons does not take it")
    elif node.fate is None:
        node.left(FORWARDED)


def _does_nothing(node: Node, inert: str | None) -> bool:
    """Whether an attribute has the value that leaves the model as nsim has it; None: no value does."""
    if inert is None or not isinstance(node.value, str):
        return False
    word = node.text.strip().lower()
    return word == inert or (inert == "0" and node.real() == 0)


def _instead(name: str) -> str:
    if name.startswith("reset"):
        return "the potential is set to reset"
    return "left out"


def _tell_overridden(network: Spiking) -> None:
    for group in network.groups:
        for node in _attribute_nodes(group.node):
            if node.fate is None:
                node.left("overridden by what comes later, for every neuron")


def _attribute_nodes(group: Node) -> Iterator[Node]:
    """All values of attributes of a group and of its neurons."""
    waiting = [node for key in ("attributes", "neurons") if (node := group.get(key)) is not None]
    while waiting:
        node = waiting.pop()
        inner = node.children()
        waiting += inner
        if not inner and node.value not in ([], {}):
            yield node


def _trains(
    attributes: list[Attributes], timesteps: int | None, rng: np.random.Generator, network: Spiking
) -> NDArray[np.bool_]:
    """bool[timesteps, inputs]: when every input neuron fires; one silent input if there are none."""
    if timesteps is not None and timesteps < 1:
        raise InputError(f"timesteps is {timesteps}: give at least 1")
    spikes = [_spikes(one.soma.get("spikes")) for one in attributes]
    for_ever = any("rate" in one.soma or "poisson" in one.soma for one in attributes)
    longest = max((len(train) for train in spikes), default=0)
    length = timesteps or (max(longest, DEFAULT_TIMESTEPS) if for_ever or not longest else longest)
    check_fits(length * max(1, len(spikes)) * 10, "trains of the inputs", "give fewer --timesteps", InputError)
    trains = np.zeros((length, max(1, len(spikes))), np.bool_)
    for column, (one, train) in enumerate(zip(attributes, spikes, strict=True)):
        used = train[:length]
        trains[: len(used), column] = used
        if "rate" in one.soma and (rate := _probability(one.soma["rate"])):
            period = int(1 / rate)
            trains[period - 1 :: period, column] = True
        if "poisson" in one.soma:
            trains[:, column] |= rng.random(length) < _probability(one.soma["poisson"])
    return trains


def _spikes(node: Node | None) -> list[bool]:
    if node is None or node.value == "":
        return []
    return [item.flag() for item in node.items("0s and 1s")]


def _probability(node: Node) -> float:
    if not 0 <= node.real() <= 1:
        node.fail(f"is {show(node.text)}: expected 0 to 1 spikes per timestep")
    return node.real()


def tell_buffers(neurons: Neurons, target: NDArray[np.int64], differences: Differences) -> None:
    """Name what sanafe 2.2.9 does with spikes behind buffers that are not before the soma."""
    arriving = np.bincount(target, minlength=len(neurons.kind))
    position = np.array([kind.position.text for kind in neurons.kind])
    differences.add(
        "neurons with several edges behind a buffer_position dendrite: sanafe 2.2.9 keeps only the last weight of a "
        "timestep, here all are added up, as documented",
        int(np.count_nonzero((arriving > 1) & (position == "dendrite"))),
    )
    differences.add(
        "neurons with a buffer_position axon_out, where sanafe 2.2.9 lets none fire; here they do",
        int(np.count_nonzero(position == "axon_out")),
    )


def tell_inexact(
    neurons: Neurons, target: NDArray[np.int64], weight: NDArray[np.float64], differences: Differences
) -> None:
    """Name what makes the arithmetic of the two simulators differ: cut potentials, and float32."""
    decay = neurons.parameters["leak_decay"]
    others = neurons.others
    keeps = neurons.strict & (decay == 1)
    differences.add(
        "neurons with a leak_decay between 0 and 1: SANA-FE cuts the potential to a multiple of 1/64 toward zero in "
        "every timestep, nsim does not",
        int(np.count_nonzero(neurons.strict[others] & (decay[others] > 0) & (decay[others] < 1))),
    )
    values = {"weights": weight[keeps[target]], "biases": neurons.parameters["bias"][keeps]}
    values["resets"] = neurons.parameters["reset"][keeps]
    for name, numbers in values.items():
        differences.add(
            f"{name} that are no multiples of 1/64, to which SANA-FE cuts the potential in every timestep",
            int(np.count_nonzero(numbers * STEP != np.rint(numbers * STEP))),
        )
    exact = [weight, *(neurons.parameters[name][others] for name in PARAMETERS)]
    rounded = sum(int(np.count_nonzero(numbers.astype(np.float32) != numbers)) for numbers in exact)
    differences.add("weights and parameters that float32, in which nsim computes, rounds", rounded)


def kept_delays(network: Spiking, neurons: Neurons) -> list[NDArray[np.int64]]:
    """Extra timesteps of every edge: 0 where the target's dendrite does not delay. By entry of network.edges."""
    waits = np.array([unit.model == WAITING for unit in neurons.dendrite])
    kept = []
    for edges in network.edges:
        delay = np.where(waits[edges.target], edges.delay, 0)
        if delay.size and delay.max() > MAX_DELAY:
            edges.node.fail(f"is delayed by {delay.max()} timesteps, but at most {MAX_DELAY} are possible: shorten it")
        for node in edges.delay_nodes:
            if delay.any():
                node.approximated("extra timesteps of a connection, as documented; could not be compared")
            elif edges.delay.any():
                node.left("the dendrite of the target ignores it, in SANA-FE too")
            else:
                node.carried("no extra timestep")
        kept.append(delay)
    return kept
