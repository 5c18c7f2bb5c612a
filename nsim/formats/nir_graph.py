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
from collections import deque
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
    agree,
    before_convolution,
    called,
    layer_shape,
    mismatch,
    neuron,
    operation,
    own_shape,
    true_or_false,
)
from nsim.formats.nir_rules import Chosen, Rules, chosen
from nsim.formats.nir_time import Timestep, leak_note, timestep
from nsim.network.alignment import aligned, longest_depths, shortest_depths
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, Relay
from nsim.network.synapses import Shape

MAX_PATHS = 1_000  # each is composed; the number of paths through joints that are linear doubles with every joint
INPUT_ON_CHIP, STIMULUS = "input_on_chip", "stimulus"  # keys of the graph's metadata


@dataclass(frozen=True, eq=False)
class Graph:
    """A NIR graph without sub-graphs, its edges checked."""

    nodes: dict[str, nir.NIRNode]
    successors: dict[str, list[str]]
    predecessors: dict[str, list[str]]
    input: str
    output: str

    def is_layer(self, name: str) -> bool:
        return name == self.input or isinstance(self.nodes[name], NEURONS)

    def ends_path(self, name: str) -> bool:
        return name == self.output or self.is_layer(name)

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
             Flatten, Delay, LIF, CubaLIF, IF, LI, CubaLI, I, Threshold and sub-graphs of them; one Input, one Output.
             Shapes (n,), (C, N) and (C, H, W) become (n, 1, 1), (C, 1, N) and (C, H, W); neurons are row-major
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
    shapes, operations = _shapes(graph, time.dt)
    paths = [
        (start, [operations[step] for step in chain], end)
        for start in graph.nodes
        if graph.is_layer(start)
        for chain, end in graph.paths(start)
    ]
    output = _output_layer(graph, paths)
    shapes.setdefault(output, shapes[graph.output])
    connections = tuple(
        _connection(shapes, start, chain, output if end == graph.output else end)
        for start, chain, end in paths
        if not (end == graph.output and output == start)
    )
    connections, lags, waits = _in_time(connections, graph.input, choice.rules)
    biases = _biases(graph, operations, output)
    layers = [
        replace(_layer(graph, layer, shapes[layer], biases.get(layer, 0.0), time, choice.rules, on_chip), lag=lag)
        for layer, lag in lags.items()
    ]
    stimulus = _stimulus(metadata.get(STIMULUS), math.prod(shapes[graph.input]))
    notes = _notes(graph, choice, time) + waits
    ends = graph.input, output
    return Network(
        name,
        tuple(layers),
        connections,
        *ends,
        time.dt_s,
        notes=notes,
        stimulus=stimulus,
        exported=True,
        missing=time.missing,
    )


def _in_time(
    connections: tuple[Connection, ...], start: str, rules: Rules
) -> tuple[tuple[Connection, ...], dict[str, int], tuple[str, ...]]:
    """Connections with their waits; the timesteps that every layer stands still, in order of the data; notes."""
    shortest, longest = shortest_depths(connections, start), longest_depths(connections, start)
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
        _only_node(nir_graph, nir.Input, "the graph", ""),
        _only_node(nir_graph, nir.Output, "the graph", ""),
    )
    if graph.predecessors[graph.input]:
        raise NetworkError(f"edges lead into {graph.called(graph.input)}: only the input itself may drive it")
    if graph.successors[graph.output]:
        raise NetworkError(f"edges lead out of {graph.called(graph.output)}: take them from the node before it")
    _check_linear_nodes(graph)
    return graph


def _inlined(nir_graph: nir.NIRGraph, prefix: str) -> tuple[dict[str, nir.NIRNode], dict[tuple[str, str], None]]:
    """All nodes by their full names, and all edges, in order."""
    nodes: dict[str, nir.NIRNode] = {}
    edges: dict[tuple[str, str], None] = {}
    entry, exit_ = {}, {}
    for key, node in nir_graph.nodes.items():
        name = f"{prefix}{key}"
        inner = {name: node}
        if isinstance(node, nir.NIRGraph):
            inner, inner_edges = _inlined(node, f"{name}.")
            edges |= inner_edges
            entry[name] = _only_node(node, nir.Input, f"sub-graph {name!r}", f"{name}.")
            exit_[name] = _only_node(node, nir.Output, f"sub-graph {name!r}", f"{name}.")
        if twice := nodes.keys() & inner.keys():
            raise NetworkError(f"two nodes are called {min(twice)!r} once sub-graphs are joined with '.': rename one")
        nodes |= inner
    for a, b in nir_graph.edges:
        source, target = f"{prefix}{a}", f"{prefix}{b}"
        pair = exit_.get(source, source), entry.get(target, target)
        for end in pair:
            if end not in nodes:
                known = ", ".join(map(repr, list(nodes)[:10]))
                raise NetworkError(f"edge {source!r} -> {target!r} names {end!r}, which is no node: there are {known}")
        if pair in edges:
            raise NetworkError(
                f"edge {source!r} -> {target!r} occurs twice, NIR allows it once: keep one, and a Scale of 2 if the "
                "framework adds both (x + x)"
            )
        edges[pair] = None
    return nodes, edges


CURES = {  # of several ends
    nir.Input: "join them in one Input that has all their elements",
    nir.Output: "keep the one of the layer that is the result",
}


def _only_node(nir_graph: nir.NIRGraph, kind: type, where: str, prefix: str) -> str:
    found = [f"{prefix}{name}" for name, node in nir_graph.nodes.items() if isinstance(node, kind)]
    if len(found) != 1:
        listed = f": {', '.join(map(repr, found))}: {CURES[kind]}" if found else ": add one"
        raise NetworkError(f"{where} has {len(found)} {kind.__name__} nodes where one is expected{listed}")
    return found[0]


def _check_linear_nodes(graph: Graph) -> None:
    linear = {name for name in graph.nodes if not graph.ends_path(name)}
    try:
        TopologicalSorter({name: set(graph.predecessors[name]) & linear for name in linear}).prepare()
    except CycleError as error:
        cycle = " -> ".join(map(repr, error.args[1]))
        raise NetworkError(f"the cycle {cycle} holds no neuron, its sum would never end: put one in") from None
    reached, waiting = {graph.input}, [graph.input]
    while waiting:
        new = set(graph.successors[waiting.pop()]) - reached
        reached |= new
        waiting += new
    for name in graph.nodes:
        if name not in reached:
            raise NetworkError(f"{graph.called(name)} is not reached from {graph.input!r}: connect or remove it")
        if name in linear and not graph.successors[name]:
            raise NetworkError(f"{graph.called(name)} leads nowhere: connect it to {graph.output!r} or remove it")


def _output_layer(graph: Graph, paths: list) -> str:
    """The layer that is read: the one joined to the Output directly, else a new one named after the last node."""
    arriving = [(start, chain) for start, chain, end in paths if end == graph.output]
    if len(arriving) == 1 and all(step.is_identity for step in arriving[0][1]):
        if arriving[0][0] == graph.input:
            raise NetworkError(
                f"{graph.called(graph.output)} repeats the input, nothing is left to simulate: put neurons between them"
            )
        return arriving[0][0]
    last = {next((s.name for s in reversed(chain) if not s.is_identity), graph.output) for _, chain in arriving}
    return last.pop() if len(last) == 1 else graph.output


def _shapes(graph: Graph, dt: float | None) -> tuple[dict[str, Shape], dict[str, Operation]]:
    """The shape of what leaves each node, and the operation of each linear node, following the data."""
    first = graph.nodes[graph.input]
    shapes = {graph.input: layer_shape(graph.called(graph.input), first.input_type.get("input"))}
    arrived: dict[str, Shape] = {}
    operations: dict[str, Operation] = {}
    waiting = deque([graph.input])
    while waiting:
        source = waiting.popleft()
        for name in graph.successors[source]:
            node, arriving = graph.nodes[name], shapes[source]
            if name in arrived:
                if not agree(arrived[name], arriving):
                    raise mismatch(name, node, arriving, arrived[name], "already takes")
                continue
            arrived[name] = arriving
            if graph.ends_path(name):
                shapes[name] = own_shape(name, node, arriving)
            else:
                flat = graph.nodes[source]
                if isinstance(flat, nir.Flatten) and isinstance(node, nir.Conv1d | nir.Conv2d):
                    arriving = before_convolution(name, node, source, flat, arrived[source])
                operations[name] = operation(name, node, arriving, dt)
                shapes[name] = operations[name].target_shape
            waiting.append(name)
    return shapes, operations


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


def _biases(graph: Graph, operations: dict[str, Operation], output: str) -> dict[str, NDArray]:
    """What constant inputs add to each layer's sum, float32[neurons].

    By node and not by connection: a bias behind a junction counts once, however many paths arrive there.
    """
    totals: dict[str, NDArray] = {}
    for name, biased in operations.items():
        if biased.bias is None or not biased.bias.any():
            continue
        for chain, end in graph.paths(name):
            value = biased.bias
            for step in chain:
                value = applied(operations[step].form, value)
            layer = output if end == graph.output else end
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
    if name == graph.input:
        return Layer(name, shape, Relay(), on_chip=input_on_chip)
    node = graph.nodes[name]
    if not isinstance(node, NEURONS):
        return Layer(name, shape, Activation(rectify=False, bias=bias))
    return Layer(name, shape, neuron(name, node, shape, bias, time.dt, rules, time.own))
