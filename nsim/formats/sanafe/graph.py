"""From the neurons of a SANA-FE network to layers, connections between them, and the NIR graph that says both.

All input neurons make the input layer, which is on the chip and drives itself; the other neurons of a group make a
layer. A convolution between two layers stays one where `convolutions` says so. All other edges between two layers with
the same delay make a connection: a full matrix if every neuron of one meets every neuron of the other, else a sparse
one. A second edge between the same two neurons goes into another connection, since it takes a synaptic operation of its
own.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import pairwise

import nir
import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError, check_fits
from nsim.formats.nir_graph import INPUT_ON_CHIP, STIMULUS
from nsim.formats.nir_nodes import SPARSE, ZEROS
from nsim.formats.nir_rules import FROM
from nsim.formats.sanafe.network import Group, Kernel, Spiking
from nsim.formats.sanafe.neurons import Differences, Neurons
from nsim.formats.sanafe.tree import Node
from nsim.network.synapses import Shape

DT_S = 1.0  # a timestep of SANA-FE has no length of its own; time constants are in timesteps then
NO_LEAK = 2.0**100  # of a time constant, in timesteps, in layers where only some neurons leak: 1 - 2^-100 is 1
NO_ZEROS = np.zeros(0, np.int64)
BYTES_PER_WEIGHT = 24  # of a matrix: here, in the file, and once more in float64 when it is read back


@dataclass(frozen=True, eq=False)
class Matrix:
    """Weights between two layers, by name: float32[targets, sources], or of a kernel.

    kernel  of a convolution, whose weights these are, float32[filters, channels, rows, columns]
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
    kernel: Kernel | None = None

    @property
    def form(self) -> str:
        """The format that it is stored in."""
        return "conv" if self.kernel else "dense" if self.full else "sparse"


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


def convolutions(network: Spiking, layers: Layers, edges: AllEdges) -> dict[int, tuple[str, str]]:
    """Entries of the file that stay convolutions, and the layers that they join.

    Those between two layers, each of one shape, with one delay, whose cores hold whole channels, or whole rows of the
    only one: what a partition file can say.
    """
    names = {(int(held[0]), held.size): name for name, held in layers.members.items() if held.size and _runs_on(held)}
    shapes: dict[str, Shape] = {}
    found = {}
    for number, entry in enumerate(network.edges):
        if (kernel := entry.kernel) is None:
            continue
        ends = list(zip(kernel.first, (kernel.source, kernel.target), strict=True))
        keys = [(first, math.prod(shape)) for first, shape in ends]
        joined = [names[key] for key in keys if key in names]
        if len(joined) < 2 or joined[1] == layers.input or np.ptp(edges.delay[edges.entry == number]):
            continue
        known = dict(zip(joined, (kernel.source, kernel.target), strict=True))
        alike = len(known) == 2 and all(shapes.get(name, shape) == shape for name, shape in known.items())
        if alike and all(_in_whole(network, first, shape) for first, shape in ends):
            shapes |= known
            found[number] = joined[0], joined[1]
    return found


def _runs_on(members: NDArray[np.int64]) -> bool:
    return members.size == 0 or bool((np.diff(members) == 1).all())


def _in_whole(network: Spiking, first: int, shape: Shape) -> bool:
    """Whether cores hold whole channels of these neurons, or whole rows if there is one channel."""
    channels, rows, columns = shape
    places = [(place.tile, place.core) for place in network.places[first : first + math.prod(shape)]]
    whole = rows * columns if channels > 1 else columns
    return all(number % whole == 0 for number in range(1, len(places)) if places[number] != places[number - 1])


def matrices(network: Spiking, layers: Layers, edges: AllEdges) -> Iterator[Matrix]:
    """All connections; edges into inputs are none, see `tell_edges`."""
    names, layer, position = layers.place(network.neurons)
    shared = convolutions(network, layers, edges)
    for number, (source, target) in shared.items():
        mine, kernel = np.flatnonzero(edges.entry == number), network.edges[number].kernel
        assert kernel is not None
        weights = kernel.weights.astype(np.float32)
        yield Matrix(source, target, int(edges.delay[mine[0]]), weights, mine, NO_ZEROS, False, kernel)
    kept = np.flatnonzero((layer[edges.target] > 0) & ~np.isin(edges.entry, list(shared)))
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
    builder = _Builder(layers, neurons, shapes_of(found))
    biased: set[str] = set()
    for matrix in found:
        if matrix.kernel:
            builder.convolve(matrix)
            continue
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


def shapes_of(found: list[Matrix]) -> dict[str, Shape]:
    """Of the layers that convolutions join."""
    return {
        name: shape
        for matrix in found
        if matrix.kernel
        for name, shape in ((matrix.source, matrix.kernel.source), (matrix.target, matrix.kernel.target))
    }


class _Builder:
    """Nodes and edges of a graph, layer by layer."""

    def __init__(self, layers: Layers, neurons: Neurons, shapes: dict[str, Shape]) -> None:
        self.layers, self.neurons = layers, neurons
        self.input_size = max(1, layers.members[layers.input].size)
        first = shapes.get(layers.input, (self.input_size,))
        self.nodes: dict[str, nir.NIRNode] = {layers.input: nir.Input({"input": np.array(first)})}
        for name in list(layers.members)[1:]:
            members = layers.members[name]
            self.nodes[name] = self._neuron(members.reshape(shapes.get(name, members.shape)))
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
            return nir.IF(r=np.ones(members.shape), **shared)
        tau = np.where(leak > 0, DT_S / np.where(leak > 0, leak, 1.0), NO_LEAK * DT_S)
        return nir.LIF(tau=tau, r=tau / DT_S, v_leak=np.zeros(members.shape), **shared)

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
        self._join(source, name, target, delay)

    def convolve(self, matrix: Matrix) -> None:
        """A convolution between two layers."""
        assert matrix.kernel is not None
        name = _free(f"{matrix.source}->{matrix.target}", set(self.nodes))
        shape, stride, bias = matrix.kernel.source[1:], matrix.kernel.stride, np.zeros(len(matrix.weights), np.float32)
        self.nodes[name] = nir.Conv2d(shape, matrix.weights, stride, (0, 0), (1, 1), 1, bias)
        self._join(matrix.source, name, matrix.target, matrix.delay)

    def _join(self, source: str, name: str, target: str, delay: int) -> None:
        """Edges from a layer over the node of its weights to another layer."""
        chain = [source, name, target]
        if delay:
            wait = _free(f"{name} later", set(self.nodes))
            self.nodes[wait] = nir.Delay(np.full(self.layers.members[target].size, delay * DT_S))
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


def tell_edges(
    network: Spiking, neurons: Neurons, edges: AllEdges, shared: Container[int], differences: Differences
) -> None:
    """The fate of every weight. shared: entries that stay convolutions."""
    into_input = np.isin(edges.target, neurons.inputs)
    differences.add(
        "edges lead into input neurons: without effect in both, but SANA-FE counts their messages and synapses",
        int(into_input.sum()),
    )
    ends = np.searchsorted(edges.entry, np.arange(len(network.edges) + 1))
    for number, (entry, low, high) in enumerate(zip(network.edges, ends[:-1], ends[1:], strict=True)):
        weight = _weight_node(entry.node)
        if entry.size and into_input[low:high].all():
            entry.node.left("leads into an input neuron, which takes nothing in; SANA-FE counts its messages")
        elif weight is not None:
            what = "a convolution" if number in shared else "a connection"
            weight.carried(f"weights of {what}, in float32")


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
