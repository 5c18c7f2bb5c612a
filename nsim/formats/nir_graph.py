"""NIR graphs: neuron nodes become layers, and each path of linear nodes between two of them one connection.

**Time.** Every connection takes one timestep by itself, and a Delay node adds its own. Frameworks pass a value through
all layers within one step: where paths of different length meet, the short ones wait here (`align`), so that messages
have the same relative timing. A loop over several layers cannot be as fast as there.

**Rules** that NIR leaves open, such as the reset, come from `nsim.formats.nir_rules`; every run notes them.

**Metadata** that nsim understands, all optional. Of the graph: `dt`, seconds per timestep; the options of `nir_rules`;
`input_on_chip`, true if the neurons of the Input sit on cores (else the host sends its messages in); `stimulus`, zeros
and ones [timesteps, inputs] that drive the Input unless a run brings an input of its own. Of a Linear or Affine node:
`sparse`, true if its zeros are no synapses, and `zeros`, the places in the flat matrix of those that are.

Source: Pedersen et al. 2024, "Neuromorphic intermediate representation", Nature Communications 15:8122.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
from nir.serialization import hdf2dict
from numpy.typing import NDArray

from nsim.errors import NetworkError
from nsim.formats.hdf5 import checked_hdf5
from nsim.formats.linear_maps import Form, applied, compose, synapses
from nsim.formats.nir_nodes import (
    LINEAR,
    NEURONS,
    Operation,
    called,
    neuron,
    true_or_false,
)
from nsim.formats.nir_rules import Chosen, Rules, chosen, recognise
from nsim.formats.nir_shapes import shapes_and_operations
from nsim.formats.nir_time import Timestep, leak_note, timestep
from nsim.network.alignment import aligned, longest_depths, shortest_depths
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, Relay
from nsim.network.synapses import Shape

MAX_PATHS = 1_000  # each is composed; the number of paths through joints that are linear doubles with every joint
INPUT_ON_CHIP, STIMULUS = "input_on_chip", "stimulus"  # keys of the graph's metadata


@dataclass(frozen=True, eq=False)
class Graph:
    """A NIR graph without sub-graphs, its edges checked. inputs, outputs: its own ends, not those of sub-graphs."""

    nodes: dict[str, nir.NIRNode]
    successors: dict[str, list[str]]
    predecessors: dict[str, list[str]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def is_layer(self, name: str) -> bool:
        return name in self.inputs or isinstance(self.nodes[name], NEURONS)

    def ends_path(self, name: str) -> bool:
        return name in self.outputs or self.is_layer(name)

    def paths(self, start: str) -> Iterator[tuple[tuple[str, ...], str]]:
        """From a node's output to each layer or to the Output: the linear nodes on the way, and where it ends."""
        waiting: list[tuple[str, tuple[str, ...]]] = [(name, ()) for name in reversed(self.successors[start])]
        found = 0
        while waiting:
            name, chain = waiting.pop()
            if self.ends_path(name):
                found += 1
                if found > MAX_PATHS:
                    raise NetworkError(f"{self.called(start)} has more than {MAX_PATHS} paths out: merge linear nodes")
                yield chain, name
            else:
                waiting += [(after, (*chain, name)) for after in reversed(self.successors[name])]

    def called(self, name: str) -> str:
        return called(name, self.nodes[name])


def read_nir(path: str | Path, *, dt_s: float | None = None, options: Mapping[str, object] | None = None) -> Network:
    """The network of a NIR file (HDF5), named after the file.

    dt_s     seconds per timestep; default: "dt" of the graph's metadata, else what its fields or its framework tell
    options  what NIR leaves open: reset, leak, threshold, ... or from, a framework; see `nsim.formats.nir_rules`
    raises   NetworkError, one line that names the file and the node, if it cannot be read or run; see
             `network_from_nir` for what is covered and how time passes
    """
    path = Path(path)
    with checked_hdf5(path) as file, _errors_named(str(path)):
        contents = file.get("node")
        if not isinstance(contents, h5py.Group):
            raise NetworkError("not a NIR file, it has no group 'node': write it with nir.write")
        try:
            stored = hdf2dict(contents)
        except (UnicodeDecodeError, RecursionError, ValueError, TypeError) as problem:
            raise NetworkError(f"cannot be read as NIR ({_reason(problem)}): export it again") from None
    with _errors_named(str(path)):
        return _network(_graph_from_stored(stored, ""), path.stem, dt_s, options or {})


def network_from_nir(
    graph: nir.NIRGraph, *, name: str, dt_s: float | None = None, options: Mapping[str, object] | None = None
) -> Network:
    """The network of a NIR graph: Input and neuron nodes as layers, linear paths between them as connections.

    graph    any of Input, Output, Linear, Affine, Conv1d, Conv2d, SumPool2d, AvgPool2d (zero padding counts), Scale,
             Flatten, Delay, LIF, CubaLIF, IF, LI, CubaLI, I, Threshold and sub-graphs of them. Several Inputs are
             several input layers, several Outputs several output layers, side by side in the order of the nodes; of
             sub-graphs one each. Shapes (n,), (C, N) and (C, H, W) become (n, 1, 1), (C, 1, N) and (C, H, W); neurons
             are row-major
    dt_s     seconds per timestep, for time constants and delays; default: "dt" of the graph's metadata, else what its
             fields or its framework tell
    options  as for `read_nir`
    returns  layers in order of the data; a graph that ends in linear nodes gets a read-out layer named after the last
    raises   NetworkError, one line that names the node, if the graph holds anything else or contradicts itself

    Linear nodes in a row compose exactly: a matrix stays Dense, convolutions and pools stay one Convolution where one
    kernel can say it, anything else becomes Sparse. Biases go through the rest of their path into the target's bias.
    One timestep per connection: see the head of this module. A bias is not delayed by Delay nodes.
    """
    with _errors_named(f"NIR graph {name!r}"):
        return _network(graph, name, dt_s, options or {})


@contextmanager
def _errors_named(thing: str) -> Iterator[None]:
    try:
        yield
    except NetworkError as error:
        raise NetworkError(f"{thing}: {error}") from None
    except RecursionError:
        raise NetworkError(f"{thing}: its sub-graphs are nested too deeply: flatten them") from None
    except MemoryError:
        raise NetworkError(f"{thing}: its weights do not fit into memory: split the network") from None


def _reason(problem: BaseException) -> str:
    if isinstance(problem, KeyError):
        return f"{problem} is missing"
    return " ".join(str(problem).split())[:200] or type(problem).__name__


def _graph_from_stored(stored: dict, prefix: str) -> nir.NIRGraph:
    """A graph from what the file holds, node by node: so that an error names the node, and without nir's type check.

    nir infers wrong types for kernels that are not square and for groups; shapes are checked here instead.
    """
    if not isinstance(stored.get("nodes"), dict) or "edges" not in stored:
        raise NetworkError(
            f"{f'sub-graph {prefix[:-1]!r}' if prefix else 'the graph'} has no nodes or no edges: export it again"
        )
    nodes = {}
    for name, fields in _with_slashes(stored["nodes"]):
        kind = fields.get("type") if isinstance(fields, dict) else None
        kind = kind if isinstance(kind, str) else f"{type(kind).__name__}, no text,"
        if kind == "NIRGraph":
            nodes[name] = _graph_from_stored(fields, f"{prefix}{name}.")
            continue
        if kind not in {known.__name__ for known in (*NEURONS, *LINEAR)}:
            raise NetworkError(_not_covered(prefix + name, kind))
        try:
            with np.errstate(all="ignore"):  # nir computes shapes, such as with stride 0, before anything is checked
                nodes[name] = nir.dict2NIRNode(fields)
        except Exception as problem:  # nir checks by assertion, indexing and attribute access: anything may come
            raise NetworkError(
                f"node {prefix + name!r} ({kind}) is malformed ({_reason(problem)}): export it again"
            ) from None
    try:
        edges = [(_text(source), _text(target)) for source, target in stored["edges"]]
    except (TypeError, ValueError, UnicodeDecodeError) as problem:
        raise NetworkError(
            f"the edges are no list of pairs of node names ({_reason(problem)}): export it again"
        ) from None
    metadata = stored.get("metadata")
    return nir.NIRGraph(nodes, edges, metadata if isinstance(metadata, dict) else {}, type_check=False)


def _with_slashes(stored: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and fields of stored nodes: HDF5 takes a slash in a name for a group in a group."""
    for name, fields in stored.items():
        if isinstance(fields, dict) and fields and "type" not in fields and all(map(_is_node, fields.values())):
            yield from ((f"{name}/{inner}", of_inner) for inner, of_inner in _with_slashes(fields))
        else:
            yield name, fields


def _is_node(fields: object) -> bool:
    return isinstance(fields, dict) and bool(fields) and ("type" in fields or all(map(_is_node, fields.values())))


def _text(name: object) -> str:
    if not isinstance(name, str | bytes):
        raise TypeError(f"a {type(name).__name__} is no name")
    return name.decode() if isinstance(name, bytes) else name


def _not_covered(name: str, kind: str) -> str:
    covered = ", ".join(known.__name__ for known in (*NEURONS, *LINEAR))
    return f"node {name!r} has type {kind}, which has no counterpart on the chips: use {covered} or a sub-graph"


def _network(nir_graph: nir.NIRGraph, name: str, dt_s: float | None, options: Mapping[str, object]) -> Network:
    graph = _graph(nir_graph)
    metadata = getattr(nir_graph, "metadata", None) or {}
    choice = chosen(graph.nodes, metadata, options)
    time = timestep(graph.nodes, choice, metadata, dt_s)
    on_chip = true_or_false(metadata.get(INPUT_ON_CHIP, False), f"{INPUT_ON_CHIP!r} in the graph's metadata")
    shapes, operations = shapes_and_operations(graph, time.dt)
    read = _output_layers(graph, operations)
    for output, layer in read.items():
        shapes.setdefault(layer, shapes[output])
    connections = tuple(_connections(graph, operations, shapes, read))
    connections, lags, waits = _in_time(connections, graph.inputs, choice.rules)
    biases = _biases(graph, operations, read)
    layers = [
        replace(_layer(graph, layer, shapes[layer], biases.get(layer, 0.0), time, choice.rules, on_chip), lag=lag)
        for layer, lag in lags.items()
    ]
    outputs = tuple(read.values())
    network = Network(
        name,
        tuple(layers),
        connections,
        graph.inputs[0],
        outputs[0],
        time.dt_s,
        notes=_notes(graph, choice, time) + waits,
        stimulus=_stimulus(metadata.get(STIMULUS), sum(math.prod(shapes[each]) for each in graph.inputs)),
        exported=True,
        missing=time.missing,
        more_inputs=graph.inputs[1:],
        more_outputs=outputs[1:],
    )
    return network.with_notes(_ends_notes(network, read))


def _ends_notes(network: Network, read: Mapping[str, str]) -> tuple[str, ...]:
    """Which part of the input and of the outputs is whose, if there are several."""
    parts = {
        "inputs": {name: network.by_name[name].neurons for name in network.more_inputs and network.inputs},
        "outputs": {name: network.by_name[layer].neurons for name, layer in read.items() if network.more_outputs},
    }
    return tuple(
        f"NIR: {what} side by side, in neurons: {', '.join(f'{name} {count}' for name, count in sizes.items())}"
        for what, sizes in parts.items()
        if sizes
    )


def _connections(
    graph: Graph, operations: dict[str, Operation], shapes: dict[str, Shape], read: Mapping[str, str]
) -> Iterator[Connection]:
    """One for each path between layers."""
    for start in filter(graph.is_layer, graph.nodes):
        for chain, end in graph.paths(start):
            if layer := _fed(graph, end, read):
                yield _connection(shapes, start, [operations[step] for step in chain], layer)


def _fed(graph: Graph, end: str, read: Mapping[str, str]) -> str | None:
    """The layer that a path feeds. None where an Output reads a layer that is there, or that another one made."""
    layer = read.get(end)
    if layer is None:
        return end
    made_by = next(output for output, own in read.items() if own == layer)
    is_there = layer in graph.nodes and graph.is_layer(layer)
    return None if is_there or made_by != end else layer


def _in_time(
    connections: tuple[Connection, ...], starts: tuple[str, ...], rules: Rules
) -> tuple[tuple[Connection, ...], dict[str, int], tuple[str, ...]]:
    """Connections with their waits; the timesteps that every layer stands still, in order of the data; notes."""
    shortest, longest = shortest_depths(connections, starts), longest_depths(connections, starts)
    notes: tuple[str, ...] = ()
    if longest is None:
        notes = ("NIR: a loop over several layers takes a timestep per connection, where frameworks take one in all",)
    elif rules.align == "on":
        connections = aligned(connections, longest)
        waits = [f"{c.name} {c.wait}" for c in connections if c.wait]
        more = f" and {len(waits) - 5} more" if len(waits) > 5 else ""
        if waits:
            notes = (f"NIR: short paths wait for long ones (align=on), in timesteps: {', '.join(waits[:5])}{more}",)
    depths = longest or shortest
    return connections, {name: depths[name] if rules.bias == "input" else 0 for name in shortest}, notes


def _notes(graph: Graph, choice: Chosen, time: Timestep) -> tuple[str, ...]:
    """What was assumed about the neurons, and a warning about coarse steps."""
    if not any(isinstance(node, NEURONS) for node in graph.nodes.values()):
        return ()
    source = f"rules of {choice.framework}" if choice.framework else "plain rules, no framework recognised"
    recognised = ", recognised by its fields" if choice.recognised else ""
    notes = [f"NIR: {source}{recognised}; {time.words}; {choice.rules.words}"]
    if time.dt and not time.told and choice.rules.leak == "euler" and (coarse := leak_note(time.dt, graph.nodes)):
        notes.append(coarse)
    return tuple(notes)


def _graph(nir_graph: nir.NIRGraph) -> Graph:
    """Nodes and edges without sub-graphs; refuses what is ambiguous, unreachable or circular, by name."""
    nodes, edges = _inlined(nir_graph, "")
    for name, node in nodes.items():
        if not isinstance(node, (*NEURONS, *LINEAR)):
            raise NetworkError(_not_covered(name, type(node).__name__))
    successors: dict[str, list[str]] = {name: [] for name in nodes}
    predecessors: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        successors[source].append(target)
        predecessors[target].append(source)
    graph = Graph(
        nodes,
        successors,
        predecessors,
        _ends(nir_graph, nir.Input),
        _ends(nir_graph, nir.Output),
    )
    for name in graph.inputs:
        if graph.predecessors[name]:
            raise NetworkError(f"edges lead into {graph.called(name)}: only the input itself may drive it")
    for name in graph.outputs:
        if graph.successors[name]:
            raise NetworkError(f"edges lead out of {graph.called(name)}: take them from the node before it")
    _check_linear_nodes(graph)
    return graph


def _inlined(nir_graph: nir.NIRGraph, prefix: str) -> tuple[dict[str, nir.NIRNode], dict[tuple[str, str], None]]:
    """All nodes by their full names, and all edges, in order."""
    nodes: dict[str, nir.NIRNode] = {}
    edges: dict[tuple[str, str], None] = {}
    for key, node in nir_graph.nodes.items():
        name = f"{prefix}{key}"
        inner = {name: node}
        if isinstance(node, nir.NIRGraph):
            inner, inner_edges = _inlined(node, f"{name}.")
            edges |= inner_edges
        if twice := nodes.keys() & inner.keys():
            raise NetworkError(f"two nodes are called {min(twice)!r} once sub-graphs are joined with '.': rename one")
        nodes |= inner
    for a, b in nir_graph.edges:
        source, target = f"{prefix}{a}", f"{prefix}{b}"
        pair = _end_of(nir_graph, a, nir.Output, prefix), _end_of(nir_graph, b, nir.Input, prefix)
        for end in pair:
            if end not in nodes:
                known = ", ".join(map(repr, list(nodes)[:10]))
                raise NetworkError(f"edge {source!r} -> {target!r} names {end!r}, which is no node: there are {known}")
        if pair in edges:
            raise NetworkError(
                f"edge {source!r} -> {target!r} occurs twice, NIR allows it once: keep one, and a Scale of 2 if "
                f"{_framework_of(nir_graph)} adds both (x + x)"
            )
        edges[pair] = None
    return nodes, edges


def _ends(nir_graph: nir.NIRGraph, kind: type) -> tuple[str, ...]:
    found = tuple(name for name, node in nir_graph.nodes.items() if isinstance(node, kind))
    if not found:
        raise NetworkError(f"the graph has 0 {kind.__name__} nodes: add one")
    return found


def _framework_of(nir_graph: nir.NIRGraph) -> str:
    """Who wrote it, as far as its fields tell, which may still hold anything."""
    try:
        return recognise(nir_graph.nodes) or "the framework that wrote it"
    except (TypeError, ValueError, AttributeError):
        return "the framework that wrote it"


def _end_of(nir_graph: nir.NIRGraph, key: str, kind: type, prefix: str) -> str:
    """Where an edge ends that names this node: of a sub-graph at its only Input or Output, or at the one it names."""
    node, name = nir_graph.nodes.get(key), f"{prefix}{key}"
    if not isinstance(node, nir.NIRGraph):
        return name
    found = [f"{name}.{inner}" for inner, each in node.nodes.items() if isinstance(each, kind)]
    if not found:
        raise NetworkError(f"sub-graph {name!r} has 0 {kind.__name__} nodes: add one")
    if len(found) > 1:
        raise NetworkError(
            f"an edge names sub-graph {name!r}, which has {len(found)} {kind.__name__} nodes: let it name one, "
            f"{' or '.join(map(repr, found[:3]))}"
        )
    return found[0]


def _check_linear_nodes(graph: Graph) -> None:
    linear = {name for name in graph.nodes if not graph.ends_path(name)}
    try:
        TopologicalSorter({name: set(graph.predecessors[name]) & linear for name in linear}).prepare()
    except CycleError as error:
        cycle = " -> ".join(map(repr, error.args[1]))
        raise NetworkError(f"the cycle {cycle} holds no neuron, its sum would never end: put one in") from None
    reached, waiting = set(graph.inputs), list(graph.inputs)
    while waiting:
        new = set(graph.successors[waiting.pop()]) - reached
        reached |= new
        waiting += new
    for name in graph.nodes:
        if name not in reached:
            raise NetworkError(f"{graph.called(name)} is not reached from {graph.inputs[0]!r}: connect or remove it")
        if name in linear.union(graph.inputs) and not graph.successors[name]:
            raise NetworkError(f"{graph.called(name)} leads nowhere: connect it to {graph.outputs[0]!r} or remove it")


def _output_layers(graph: Graph, operations: dict[str, Operation]) -> dict[str, str]:
    """The layer that each Output reads: the one joined to it directly, else a new one named after the last node."""
    arriving: dict[str, list[tuple[str, tuple[str, ...]]]] = {name: [] for name in graph.outputs}
    for start in filter(graph.is_layer, graph.nodes):
        for chain, end in graph.paths(start):
            if end in arriving:
                arriving[end].append((start, tuple(step for step in chain if not operations[step].is_identity)))
    read: dict[str, str] = {}
    made: dict[str, list] = {}
    for output, paths in arriving.items():
        last = {chain[-1] if chain else output for _, chain in paths}
        if len(paths) == 1 and not paths[0][1]:
            read[output] = paths[0][0]
            if read[output] in graph.inputs:
                raise NetworkError(
                    f"{graph.called(output)} repeats the input, nothing is left to simulate: put neurons between them"
                )
            continue
        name = last.pop() if len(last) == 1 else output
        read[output] = name if made.setdefault(name, paths) == paths else output
    return read


def _connection(shapes: dict[str, Shape], start: str, chain: list[Operation], end: str) -> Connection:
    form: Form = None
    with _errors_named(f"path {' -> '.join(repr(n) for n in (start, *(step.name for step in chain), end))}"):
        for step in chain:
            form = compose(form, step.form)
        source_delay, target_delay = _delays(chain)
        return Connection(start, end, synapses(form, shapes[start], shapes[end]), source_delay, target_delay)


def _delays(chain: list[Operation]) -> tuple[NDArray | int, NDArray | int]:
    """Extra timesteps by source and by target neuron. Delays that differ by neuron must be next to one of them."""
    by_source: NDArray | int = 0
    by_target: NDArray | int = 0
    for place, step in enumerate(chain):
        if isinstance(step.delay, int) or all(before.keeps_index for before in chain[:place]):
            by_source = by_source + step.delay
        elif all(after.keeps_index for after in chain[place + 1 :]):
            by_target = by_target + step.delay
        else:
            raise NetworkError(
                f"node {step.name!r} (Delay) has delays that differ by element ({step.delay.min()} to "
                f"{step.delay.max()} timesteps) between weights: move it next to a neuron, or make them equal"
            )
    return by_source, by_target


def _biases(graph: Graph, operations: dict[str, Operation], read: Mapping[str, str]) -> dict[str, NDArray]:
    """What constant inputs add to each layer's sum, float32[neurons].

    By node and not by connection: a bias behind a junction counts once, however many paths arrive there.
    """
    totals: dict[str, NDArray] = {}
    for name, biased in operations.items():
        if biased.bias is None or not biased.bias.any():
            continue
        for chain, end in graph.paths(name):
            layer = _fed(graph, end, read)
            if layer is None:
                continue
            value = biased.bias
            for step in chain:
                value = applied(operations[step].form, value)
            totals[layer] = totals.get(layer, 0.0) + value
    for name, value in totals.items():
        if not (np.abs(value) <= np.finfo(np.float32).max).all():
            raise NetworkError(f"the bias of layer {name!r} exceeds float32: scale its weights down")
    return {name: value.astype(np.float32) for name, value in totals.items()}


def _stimulus(stored: object, inputs: int) -> NDArray[np.bool_] | None:
    if stored is None:
        return None
    values = np.asarray(stored)
    if values.ndim != 2 or values.shape[1] != inputs or not len(values) or values.dtype.kind not in "biu":
        raise NetworkError(
            f"{STIMULUS!r} in the graph's metadata has shape {values.shape} and type {values.dtype}: expected zeros "
            f"and ones, (timesteps, {inputs})"
        )
    return values != 0


def _layer(
    graph: Graph,
    name: str,
    shape: Shape,
    bias: NDArray | float,
    time: Timestep,
    rules: Rules,
    input_on_chip: bool,
) -> Layer:
    if name in graph.inputs:
        return Layer(name, shape, Relay(), on_chip=input_on_chip)
    node = graph.nodes[name]
    if not isinstance(node, NEURONS):
        return Layer(name, shape, Activation(rectify=False, bias=bias))
    return Layer(name, shape, neuron(name, node, shape, bias, time.dt, rules, time.own))
