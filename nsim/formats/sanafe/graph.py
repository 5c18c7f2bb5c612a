"""From the neurons of a SANA-FE network to layers, connections between them, and the NIR graph that says both.

All input neurons make the input layer, which is on the chip and drives itself; the other neurons of a group make a
layer. All edges between two layers with the same delay make a connection: a full matrix if every neuron of one meets
every neuron of the other, else a sparse one. A second edge between the same two neurons goes into another connection,
since it takes a synaptic operation of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import nir
import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError, check_fits
from nsim.formats.nir_graph import INPUT_ON_CHIP, STIMULUS
from nsim.formats.nir_nodes import SPARSE, ZEROS
from nsim.formats.nir_rules import FROM
from nsim.formats.sanafe.network import Group, Spiking
from nsim.formats.sanafe.neurons import Differences, Neurons
from nsim.formats.sanafe.tree import Node

DT_S = 1.0  # a timestep of SANA-FE has no length of its own; time constants are in timesteps then
NO_LEAK = 2.0**100  # of a time constant, in timesteps, in layers where only some neurons leak: 1 - 2^-100 is 1
NO_ZEROS = np.zeros(0, np.int64)
BYTES_PER_WEIGHT = 24  # of a matrix: here, in the file, and once more in float64 when it is read back


@dataclass(frozen=True, eq=False)
class Matrix:
    """Weights between two layers, by name: float32[targets, sources].

    edges   int64[edges] numbers of the edges in it, in the order of the file
    zeros   int64[...] places in the flat weights of edges whose weight is 0
    full    every weight is an edge, zeros too
    """

    source: str
    target: str
    delay: int
    weights: NDArray[np.float32]
    edges: NDArray[np.int64]
    zeros: NDArray[np.int64]
    full: bool


@dataclass(frozen=True, eq=False)
class Layers:
    """The layers of a network. members: int64[neurons of it] by name, the input layer first; it may have none."""

    input: str
    members: dict[str, NDArray[np.int64]]
    output: str

    def place(self, neurons: int) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
        """Names; then layer and position within it of every neuron."""
        names = list(self.members)
        layer, position = np.zeros(neurons, np.int64), np.zeros(neurons, np.int64)
        for number, name in enumerate(names):
            layer[self.members[name]] = number
            position[self.members[name]] = np.arange(self.members[name].size)
        return names, layer, position


@dataclass(frozen=True, eq=False)
class AllEdges:
    """Every edge of a network, one after another; entry: the entry of the file it comes from."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]
    delay: NDArray[np.int64]
    entry: NDArray[np.int64]


def all_edges(network: Spiking, delays: list[NDArray[np.int64]]) -> AllEdges:
    if not network.edges:
        empty = np.zeros(0, np.int64)
        return AllEdges(empty, empty, np.zeros(0), empty, empty)
    columns = [(e.source, e.target, e.weight, d) for e, d in zip(network.edges, delays, strict=True)]
    source, target, weight, delay = (np.concatenate(list(column)) for column in zip(*columns, strict=True))
    entry = np.repeat(np.arange(len(network.edges)), [edges.size for edges in network.edges])
    return AllEdges(source, target, weight, delay, entry)


def layers_of(network: Spiking, neurons: Neurons) -> Layers:
    """Names are those of the groups; the input layer is "input" unless one group holds all inputs and nothing else."""
    is_input = np.zeros(network.neurons, np.bool_)
    is_input[neurons.inputs] = True
    members: dict[str, NDArray[np.int64]] = {}
    taken = {_plain(group.name) for group in network.groups}
    pure = [group.name for group in network.groups if is_input[group.first : group.first + group.size].any()]
    alone = len(pure) == 1 and not any(
        group.name == pure[0] and not _all_inputs(group, is_input) for group in network.groups
    )
    first = _plain(pure[0]) if alone else _free("input", taken)
    members[first] = neurons.inputs
    for group in network.groups:
        held = np.arange(group.first, group.first + group.size)
        if (held := held[~is_input[held]]).size:
            name = _plain(group.name)
            members[_free(name, set(members)) if name in members else name] = held
    return Layers(first, members, list(members)[-1])


def _all_inputs(group: Group, is_input: NDArray[np.bool_]) -> bool:
    return bool(is_input[group.first : group.first + group.size].all())


def _plain(name: str) -> str:
    """A group's name as HDF5 and nsim's files take it."""
    return name.replace("/", "_").replace(".", "_").replace("->", "_")


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def matrices(layers: Layers, edges: AllEdges, neurons: int) -> Iterator[Matrix]:
    """All connections; edges into inputs are none, see `tell_edges`."""
    names, layer, position = layers.place(neurons)
    kept = np.flatnonzero(layer[edges.target] > 0)
    key = (layer[edges.source] * len(names) + layer[edges.target]) * 64 + edges.delay
    again = _occurrence(edges.source[kept], edges.target[kept], edges.delay[kept])
    for which, number in sorted(set(zip(key[kept].tolist(), again.tolist(), strict=True))):
        mine = kept[(key[kept] == which) & (again == number)]
        pair, delay = divmod(which, 64)
        source, target = names[pair // len(names)], names[pair % len(names)]
        sources, targets = layers.members[source].size, layers.members[target].size
        size = BYTES_PER_WEIGHT * sources * targets
        check_fits(size, f"weights of {source!r} -> {target!r}", "split the groups", NetworkError)
        weights = np.zeros((targets, sources), np.float32)
        place = position[edges.target[mine]] * sources + position[edges.source[mine]]
        weights.ravel()[place] = edges.weight[mine]
        zeros = place[weights.ravel()[place] == 0]
        yield Matrix(source, target, delay, weights, mine, zeros, mine.size == weights.size)


def _occurrence(*keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often the same keys stood before: int64[n]."""
    count = keys[0].size
    if not count:
        return np.zeros(0, np.int64)
    order = np.lexsort(keys)  # stable: edges of the same keys keep their order
    new = np.ones(count, np.bool_)
    new[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    start = np.maximum.accumulate(np.where(new, np.arange(count), 0))
    occurrence = np.empty(count, np.int64)
    occurrence[order] = np.arange(count) - start
    return occurrence


def nir_graph(layers: Layers, found: list[Matrix], neurons: Neurons) -> nir.NIRGraph:
    """A graph that `nsim.formats.nir_graph` reads as these layers and connections, with the spikes of its inputs."""
    builder = _Builder(layers, neurons)
    biased: set[str] = set()
    for matrix in found:
        bias = builder.bias(matrix.target) if matrix.target not in biased else None
        biased.add(matrix.target)
        zeros = None if matrix.full else matrix.zeros
        builder.connect(matrix.source, matrix.target, matrix.weights, bias, zeros, matrix.delay)
    for name in list(layers.members)[1:]:
        if (name not in biased and builder.bias(name) is not None) or name not in builder.reached():
            silent = np.zeros((layers.members[name].size, builder.input_size), np.float32)
            builder.connect(layers.input, name, silent, builder.bias(name) if name not in biased else None, NO_ZEROS, 0)
    builder.finish()
    metadata = {"dt": DT_S, STIMULUS: neurons.trains.astype(np.uint8), INPUT_ON_CHIP: bool(neurons.inputs.size)}
    metadata |= {FROM: "nir", "align": "off"}  # SANA-FE's own steps: every connection takes one
    return nir.NIRGraph(builder.nodes, builder.edges, metadata=metadata, type_check=False)


class _Builder:
    """Nodes and edges of a graph, layer by layer."""

    def __init__(self, layers: Layers, neurons: Neurons) -> None:
        self.layers, self.neurons = layers, neurons
        self.input_size = max(1, layers.members[layers.input].size)
        self.nodes: dict[str, nir.NIRNode] = {layers.input: nir.Input({"input": np.array([self.input_size])})}
        for name in list(layers.members)[1:]:
            self.nodes[name] = self._neuron(layers.members[name])
        self.edges: list[tuple[str, str]] = []
        self.after: dict[str, list[str]] = {name: [] for name in layers.members}

    def _of(self, name: str, members: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.neurons.parameters[name][members]

    def _neuron(self, members: NDArray[np.int64]) -> nir.NIRNode:
        threshold = self._of("threshold", members).astype(np.float32)
        # nsim fires above the threshold: one float32 below is as good as at it
        at = np.where(self.neurons.strict[members], threshold, np.nextafter(threshold, np.float32(-np.inf)))
        shared = {"v_threshold": at.astype(np.float64), "v_reset": self._of("reset", members)}
        leak = 1.0 - self._of("leak_decay", members)
        if not leak.any():
            return nir.IF(r=np.ones(members.size), **shared)
        tau = np.where(leak > 0, DT_S / np.where(leak > 0, leak, 1.0), NO_LEAK * DT_S)
        return nir.LIF(tau=tau, r=tau / DT_S, v_leak=np.zeros(members.size), **shared)

    def bias(self, name: str) -> NDArray[np.float64] | None:
        values = self._of("bias", self.layers.members[name])
        return values if values.any() else None

    def connect(
        self,
        source: str,
        target: str,
        weights: NDArray,
        bias: NDArray | None,
        zeros: NDArray[np.int64] | None,
        delay: int,
    ) -> None:
        """Weights between two layers; zeros: places of those zeros that are synapses, None: all are."""
        name = _free(f"{source}->{target}", set(self.nodes))
        metadata: dict[str, object] = {} if zeros is None else {SPARSE: True}
        if zeros is not None and zeros.size:
            metadata[ZEROS] = zeros
        self.nodes[name] = (
            nir.Linear(weights, metadata=metadata) if bias is None else nir.Affine(weights, bias, metadata=metadata)
        )
        chain = [source, name, target]
        if delay:
            wait = _free(f"{name} later", set(self.nodes))
            self.nodes[wait] = nir.Delay(np.full(len(weights), delay * DT_S))
            chain.insert(2, wait)
        self.edges += list(pairwise(chain))
        self.after[source].append(target)

    def reached(self) -> set[str]:
        """Layers that something leads to from the input."""
        found, waiting = {self.layers.input}, deque([self.layers.input])
        while waiting:
            new = set(self.after[waiting.popleft()]) - found
            found |= new
            waiting += sorted(new)
        return found

    def finish(self) -> None:
        name = _free("output", set(self.nodes))
        size = self.layers.members[self.layers.output].size
        self.nodes[name] = nir.Output({"output": np.array([size])})
        self.edges.append((self.layers.output, name))


def tell_edges(network: Spiking, neurons: Neurons, edges: AllEdges, differences: Differences) -> None:
    """The fate of every weight."""
    into_input = np.isin(edges.target, neurons.inputs)
    differences.add(
        "edges lead into input neurons: without effect in both, but SANA-FE counts their messages and synapses",
        int(into_input.sum()),
    )
    ends = np.searchsorted(edges.entry, np.arange(len(network.edges) + 1))
    for entry, low, high in zip(network.edges, ends[:-1], ends[1:], strict=True):
        weight = _weight_node(entry.node)
        if entry.size and into_input[low:high].all():
            entry.node.left("leads into an input neuron, which takes nothing in; SANA-FE counts its messages")
        elif weight is not None:
            weight.carried("weights of a connection, in float32")


def _weight_node(node: Node) -> Node | None:
    """The weights of an entry."""
    for key, value in node.entries("attributes"):
        if key in ("weight", "w"):
            return value
        if key == "synapse" and not isinstance(value.value, str):
            for inner, found in value.entries("attributes"):
                if inner in ("weight", "w"):
                    return found
    return None
