"""NIR graphs: neuron nodes become layers, and each path of linear nodes between two of them one connection.

NIR is written in continuous time; here the equations take one forward Euler step per timestep:
  LIF      v += dt/tau * (v_leak - v + r * sum); fires if v > v_threshold, then v = v_reset
  CubaLIF  i += dt/tau_syn * (w_in * sum - i) first, then v += dt/tau_mem * (v_leak - v + r * i)
  LI and CubaLI are the same without threshold
  IF, I    v += r * sum: what arrives in a timestep is an impulse, so dt cancels and the timestep is the unit of time
A bias is part of the sum, from the first timestep on.

**Time.** Every connection takes one timestep by itself, and a Delay node adds its own. Frameworks that pass a value
through all layers within one step have no such latency: where feed-forward paths of different length meet, messages
arrive here with other relative timing than there.

Sources: Pedersen et al. 2024, "Neuromorphic intermediate representation", Nature Communications 15:8122, and the
docstrings of the nir package; pooling and padding as in PyTorch, which NIR's definitions refer to.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TypeAlias

import h5py
import nir
import numpy as np
from nir.serialization import hdf2dict
from numpy.typing import NDArray
from scipy import sparse

from nsim.errors import NetworkError
from nsim.formats.hdf5 import available_bytes, checked_hdf5
from nsim.network import MAX_DELAY, Connection, Layer, Network
from nsim.neurons import Activation, Lif, Neuron, Relay, Threshold
from nsim.synapses import Convolution, Dense, Shape, Sparse, Synapses, convolved_shape

NEURONS = (nir.LIF, nir.CubaLIF, nir.IF, nir.LI, nir.CubaLI, nir.I, nir.Threshold)
LINEAR = (
    *(nir.Linear, nir.Affine, nir.Scale, nir.Conv1d, nir.Conv2d, nir.SumPool2d, nir.AvgPool2d),
    *(nir.Flatten, nir.Delay, nir.Input, nir.Output),  # ends of sub-graphs pass on what they get
)
NEEDS_DT = (nir.LIF, nir.CubaLIF, nir.LI, nir.CubaLI, nir.Delay)
MAX_PATHS = 10_000

# A linear map, float64: identity, one factor per neuron [n], matrix[targets, sources], kernel or csr[targets, sources]
Form: TypeAlias = "NDArray | Convolution | sparse.csr_array | None"
Operand: TypeAlias = "NDArray | sparse.csr_array"


@dataclass(frozen=True, eq=False)
class Operation:
    """A linear node, with the shapes it has in this graph.

    bias   float64[targets], or None
    delay  extra timesteps, int or int64[sources]
    """

    name: str
    source_shape: Shape
    target_shape: Shape
    form: Form = None
    bias: NDArray | None = None
    delay: NDArray | int = 0

    @property
    def is_identity(self) -> bool:
        return self.form is None and not np.any(self.delay)

    @property
    def keeps_index(self) -> bool:
        """Whether neuron k of the source reaches neuron k of the target, and no other."""
        return self.form is None or (isinstance(self.form, np.ndarray) and self.form.ndim == 1)


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
        return f"node {name!r} ({type(self.nodes[name]).__name__})"


# --- from file to network -------------------------------------------------------------------------------------


def read_nir(path: str | Path, *, dt_s: float | None = None) -> Network:
    """The network of a NIR file (HDF5), named after the file.

    dt_s     seconds per timestep; default: the scalar "dt" in the graph's metadata
    raises   NetworkError, one line that names the file and the node, if it cannot be read or run; see
             `network_from_nir` for what is covered and how time passes
    """
    path = Path(path)
    with checked_hdf5(path) as file, _errors_named(str(path)):
        contents = file.get("node")
        if not isinstance(contents, h5py.Group):
            raise NetworkError("not a NIR file: it has no group 'node'")
        try:
            stored = hdf2dict(contents)
        except (UnicodeDecodeError, RecursionError, ValueError, TypeError) as problem:
            raise NetworkError(f"cannot be read as NIR ({_reason(problem)}): export it again") from None
    with _errors_named(str(path)):
        return _network(_graph_from_stored(stored, ""), path.stem, dt_s)


def network_from_nir(graph: nir.NIRGraph, *, name: str, dt_s: float | None = None) -> Network:
    """The network of a NIR graph: Input and neuron nodes as layers, linear paths between them as connections.

    graph    any of Input, Output, Linear, Affine, Conv1d, Conv2d, SumPool2d, AvgPool2d (zero padding counts), Scale,
             Flatten, Delay, LIF, CubaLIF, IF, LI, CubaLI, I, Threshold and sub-graphs of them; one Input, one Output.
             Shapes (n,), (C, N) and (C, H, W) become (n, 1, 1), (C, 1, N) and (C, H, W); neurons are row-major
    dt_s     seconds per timestep, for time constants and delays; default: the scalar "dt" in the graph's metadata
    returns  layers in order of the data; a graph that ends in linear nodes gets a read-out layer named after the last
    raises   NetworkError, one line that names the node, if the graph holds anything else or contradicts itself

    Linear nodes in a row compose exactly: a matrix stays Dense, convolutions and pools stay one Convolution where one
    kernel can say it, anything else becomes Sparse. Biases go through the rest of their path into the target's bias.
    One timestep per connection: see the head of this module. A bias is not delayed by Delay nodes.
    """
    with _errors_named(f"NIR graph {name!r}"):
        return _network(graph, name, dt_s)


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
        raise NetworkError(f"{f'sub-graph {prefix[:-1]!r}' if prefix else 'the graph'} has no nodes or no edges")
    nodes = {}
    for name, fields in stored["nodes"].items():
        kind = fields.get("type") if isinstance(fields, dict) else None
        if kind == "NIRGraph":
            nodes[name] = _graph_from_stored(fields, f"{prefix}{name}.")
            continue
        if not isinstance(kind, str) or kind not in {known.__name__ for known in (*NEURONS, *LINEAR)}:
            raise NetworkError(_not_covered(prefix + name, str(kind)))
        try:
            with np.errstate(all="ignore"):  # nir computes shapes, such as with stride 0, before anything is checked
                nodes[name] = nir.dict2NIRNode(fields)
        except Exception as problem:  # nir checks by assertion, indexing and attribute access: anything may come
            raise NetworkError(f"node {prefix + name!r} ({kind}) is malformed: {_reason(problem)}") from None
    try:
        edges = [(_text(source), _text(target)) for source, target in stored["edges"]]
    except (TypeError, ValueError) as problem:
        raise NetworkError(f"the edges are no list of pairs of node names ({_reason(problem)})") from None
    metadata = stored.get("metadata")
    return nir.NIRGraph(nodes, edges, metadata if isinstance(metadata, dict) else {}, type_check=False)


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _not_covered(name: str, kind: str) -> str:
    covered = ", ".join(known.__name__ for known in (*NEURONS, *LINEAR))
    return f"node {name!r} has type {kind}, which has no counterpart on the chips: use {covered} or a sub-graph"


def _network(nir_graph: nir.NIRGraph, name: str, dt_s: float | None) -> Network:
    graph = _graph(nir_graph)
    dt_s = _timestep(graph, getattr(nir_graph, "metadata", None) or {}, dt_s)
    shapes, operations = _shapes(graph, dt_s)
    paths = [
        (start, [operations[step] for step in chain], end)
        for start in graph.nodes
        if graph.is_layer(start)
        for chain, end in graph.paths(start)
    ]
    output = _output_layer(graph, paths)
    ends = {graph.output: output}
    shapes[output] = shapes.get(output, shapes[graph.output])
    connections = tuple(
        _connection(shapes, start, chain, ends.get(end, end))
        for start, chain, end in paths
        if not (end == graph.output and output == start)
    )
    biases = _biases(graph, operations, shapes, ends)
    layers = [
        _layer(graph, layer, shapes[layer], biases.get(layer, 0.0), dt_s)
        for layer in _in_order_of_data(graph.input, connections)
    ]
    return Network(name, tuple(layers), connections, graph.input, output, dt_s)


def _in_order_of_data(start: str, connections: tuple[Connection, ...]) -> list[str]:
    order, waiting = {start: None}, deque([start])
    while waiting:
        source = waiting.popleft()
        for connection in connections:
            if connection.source == source and connection.target not in order:
                order[connection.target] = None
                waiting.append(connection.target)
    return list(order)


# --- the graph ------------------------------------------------------------------------------------------------


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
            raise NetworkError(f"edge {source!r} -> {target!r} occurs twice: keep one, and a Scale of 2 if it is meant")
        edges[pair] = None
    return nodes, edges


def _only_node(nir_graph: nir.NIRGraph, kind: type, where: str, prefix: str) -> str:
    found = [f"{prefix}{name}" for name, node in nir_graph.nodes.items() if isinstance(node, kind)]
    if len(found) != 1:
        listed = f": {', '.join(map(repr, found))}: merge them into one" if found else ": add one"
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
            raise NetworkError(f"{graph.called(graph.output)} repeats the input, nothing is left to simulate")
        return arriving[0][0]
    last = {next((s.name for s in reversed(chain) if not s.is_identity), graph.output) for _, chain in arriving}
    return last.pop() if len(last) == 1 else graph.output


# --- time -----------------------------------------------------------------------------------------------------


def _timestep(graph: Graph, metadata: dict, dt_s: float | None) -> float | None:
    """Seconds per timestep: the caller's, else the graph's own; None if nothing in the graph has a time."""
    where = "the timestep given"
    if dt_s is None and "dt" in metadata:
        dt_s, where = metadata["dt"], "'dt' in the graph's metadata"
    if dt_s is None:
        for name, node in graph.nodes.items():
            if isinstance(node, NEEDS_DT):
                raise NetworkError(
                    f"{graph.called(name)} has times in seconds, but the graph tells no timestep: "
                    "give --dt SECONDS (for example --dt 1e-3)"
                )
        return None
    try:
        dt = float(np.asarray(dt_s, np.float64).reshape(()))
    except (TypeError, ValueError):
        dt = math.nan
    if not (math.isfinite(dt) and dt > 0):
        raise NetworkError(f"{where} is {str(dt_s)[:40]!r}, not a positive number of seconds: give --dt SECONDS")
    return dt


def _delay_steps(name: str, node: nir.Delay, shape: Shape, dt_s: float) -> NDArray | int:
    delay_s = _parameter(name, node, "delay", shape)
    steps = np.rint(delay_s / dt_s)
    wrong = np.abs(delay_s / dt_s - steps) > 1e-6 * np.maximum(steps, 1)
    if wrong.any():
        raise NetworkError(
            f"node {name!r} (Delay) delays by {delay_s[wrong][0]:g} s, which is no whole number of timesteps of "
            f"{dt_s:g} s: choose --dt so that it divides the delay"
        )
    if steps.min() < 0 or steps.max() > MAX_DELAY:
        far = steps.min() if steps.min() < 0 else steps.max()
        raise NetworkError(
            f"node {name!r} (Delay) delays by {far:g} timesteps of {dt_s:g} s, but 0..{MAX_DELAY} are possible: "
            f"choose another --dt or shorten it"
        )
    return int(steps[0]) if (steps == steps[0]).all() else steps.astype(np.int64)


# --- shapes ---------------------------------------------------------------------------------------------------


def _layer_shape(where: str, shape) -> Shape:
    """(C, H, W) of NIR's shape: (n,) is (n, 1, 1), (C, N) is (C, 1, N); leading ones are a batch of one."""
    try:
        given = np.atleast_1d(shape).ravel()
        sizes = [int(size) for size in given]
        if any(size != exact for size, exact in zip(sizes, given, strict=True)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise NetworkError(f"{where} has no shape ({str(shape)[:40]!r}): export the graph with shapes") from None
    while len(sizes) > 3 and sizes[0] == 1:
        sizes.pop(0)
    if len(sizes) > 3 or min(sizes, default=1) < 1:
        raise NetworkError(f"{where} has shape {tuple(sizes)}: expected up to three positive sizes (C, H, W)")
    neurons, most = math.prod(sizes), min(2**31 - 1, available_bytes() // 64)
    if neurons > most:
        raise NetworkError(f"{where} has shape {tuple(sizes)}, {neurons} elements, but {most} fit: make it smaller")
    channels, rows, columns = [*sizes, 1, 1][:3] if len(sizes) == 1 else ([1, 1, 1, *sizes][-3:])
    return (channels, rows, columns) if len(sizes) != 2 else (rows, 1, columns)


def _agree(first: Shape, second: Shape) -> bool:
    """Whether two shapes hold the same neurons in the same order: alike up to sizes of 1, or one is a vector."""
    squeezed = [[size for size in shape if size > 1] for shape in (first, second)]
    return squeezed[0] == squeezed[1] or (
        min(map(len, squeezed)) <= 1 and math.prod(squeezed[0]) == math.prod(squeezed[1])
    )


def _more_spatial(first: Shape, second: Shape) -> Shape:
    return second if sum(size > 1 for size in second) > sum(size > 1 for size in first) else first


def _mismatch(name: str, node: nir.NIRNode, arriving: Shape, expected, what: str = "takes") -> NetworkError:
    expected = tuple(int(size) for size in expected)
    return NetworkError(
        f"node {name!r} ({type(node).__name__}) {what} shape {expected}, {math.prod(expected)} elements, but shape "
        f"{arriving}, {math.prod(arriving)} elements, arrives: mend the node or the edges"
    )


def _shapes(graph: Graph, dt_s: float | None) -> tuple[dict[str, Shape], dict[str, Operation]]:
    """The shape of what leaves each node, and the operation of each linear node, following the data."""
    first = graph.nodes[graph.input]
    shapes = {graph.input: _layer_shape(graph.called(graph.input), first.input_type.get("input"))}
    arrived: dict[str, Shape] = {}
    operations: dict[str, Operation] = {}
    waiting = deque([graph.input])
    while waiting:
        source = waiting.popleft()
        for name in graph.successors[source]:
            node, arriving = graph.nodes[name], shapes[source]
            if name in arrived:
                if not _agree(arrived[name], arriving):
                    raise _mismatch(name, node, arriving, arrived[name], "already takes")
                continue
            arrived[name] = arriving
            if graph.ends_path(name):
                shapes[name] = _own_shape(graph, name, arriving)
            else:
                operations[name] = _operation(name, node, arriving, dt_s)
                shapes[name] = operations[name].target_shape
            waiting.append(name)
    return shapes, operations


def _own_shape(graph: Graph, name: str, arriving: Shape) -> Shape:
    """The shape of a neuron node by its parameters, of an end by its type; one value stands for any shape."""
    node = graph.nodes[name]
    if isinstance(node, nir.Input | nir.Output):
        declared = node.input_type.get("input")
        own = arriving if declared is None else _layer_shape(graph.called(name), declared)
    else:
        own = arriving
        for field in _fields(node):
            if np.size(value := getattr(node, field)) > 1:
                own = _layer_shape(f"{field} of {graph.called(name)}", np.shape(value))
                break
    if not _agree(arriving, own):
        raise _mismatch(name, node, arriving, own, "has")
    return _more_spatial(arriving, own)


# --- parameters -----------------------------------------------------------------------------------------------


def _fields(node: nir.NIRNode) -> list[str]:
    """The parameters of a neuron node."""
    return [name for name in node.__dataclass_fields__ if name not in ("input_type", "output_type", "metadata")]


def _numbers(name: str, node: nir.NIRNode, field: str) -> NDArray:
    """A parameter as float64, finite in float32; a threshold may be infinite, it then is never reached."""
    where = f"{field} of node {name!r} ({type(node).__name__})"
    raw = np.asarray(getattr(node, field))
    if raw.dtype.kind not in "fiub" or raw.size == 0:
        raise NetworkError(f"{where} is no array of numbers (dtype {raw.dtype}, shape {raw.shape}): export it again")
    with np.errstate(invalid="ignore"):  # some kinds of NaN warn; they are refused below
        values = raw.astype(np.float64)
    fine = np.abs(values) <= np.finfo(np.float32).max
    if field in ("threshold", "v_threshold"):
        fine |= values == np.inf
    if not fine.all():
        raise NetworkError(
            f"{where} has {int((~fine).sum())} of {values.size} values that are NaN, infinite or too large for "
            f"float32: train again or mend the file"
        )
    return values


def _parameter(name: str, node: nir.NIRNode, field: str, shape: Shape) -> NDArray:
    """A parameter per neuron or for all: float64[neurons] or [1]."""
    values = _numbers(name, node, field)
    if values.size > 1:
        own = _layer_shape(f"{field} of node {name!r}", values.shape)
        if not _agree(own, shape):
            raise _mismatch(name, node, shape, values.shape, f"has {field} of")
    return values.ravel()


def _per_channel(name: str, node: nir.NIRNode, field: str, shape: Shape) -> NDArray | None:
    """A bias by output channel (or row of a matrix), spread over the neurons: float64[neurons]."""
    if getattr(node, field, None) is None:
        return None
    values = _numbers(name, node, field).ravel()
    if values.size not in (1, shape[0]):
        raise _mismatch(name, node, shape, np.shape(getattr(node, field)), f"has {field} of")
    return np.repeat(np.broadcast_to(values, shape[0]), shape[1] * shape[2])


def _whole_pair(name: str, node: nir.NIRNode, field: str, least: int) -> tuple[int, int]:
    """One or two whole numbers, for rows and columns; in one dimension the rows are single."""
    values = _numbers(name, node, field).ravel()
    if values.size > 2 or (values != np.rint(values)).any() or values.min() < least or values.max() >= 2**31:
        shown = str(getattr(node, field))[:40]
        raise NetworkError(
            f"{field} of node {name!r} ({type(node).__name__}) is {shown}: expected one or two whole numbers "
            f"from {least} up"
        )
    rows, columns = values if values.size == 2 else (values[0], values[0])
    return int(rows), int(columns)


# --- linear nodes ---------------------------------------------------------------------------------------------


def _operation(name: str, node: nir.NIRNode, arriving: Shape, dt_s: float | None) -> Operation:
    """What a linear node does with what arrives."""
    if isinstance(node, nir.Linear | nir.Affine):
        return _matrix_operation(name, node, arriving)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return _convolution_operation(name, node, arriving)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        return _pool_operation(name, node, arriving)
    if isinstance(node, nir.Scale):
        return Operation(name, arriving, arriving, _scale_factors(name, node, arriving))
    if isinstance(node, nir.Delay):
        assert dt_s is not None  # a Delay is among NEEDS_DT
        return Operation(name, arriving, arriving, delay=_delay_steps(name, node, arriving, dt_s))
    return _identity_operation(name, node, arriving)


def _identity_operation(name: str, node: nir.NIRNode, arriving: Shape) -> Operation:
    """Flatten, or an end of a sub-graph.

    Row-major flattening moves no neuron, whatever its start_dim: exporters disagree on whether that counts a batch
    dimension, which NIR's types do not have. So only the number of elements is compared, by the node that follows.
    """
    declared = node.input_type.get("input") if node.input_type else None
    if declared is not None and not _agree(expected := _layer_shape(f"node {name!r}", declared), arriving):
        raise _mismatch(name, node, arriving, expected)
    target = (math.prod(arriving), 1, 1) if isinstance(node, nir.Flatten) else arriving
    return Operation(name, arriving, target)


def _matrix_operation(name: str, node: nir.Linear | nir.Affine, arriving: Shape) -> Operation:
    weight = _numbers(name, node, "weight")
    if weight.ndim != 2:
        raise NetworkError(
            f"weight of node {name!r} ({type(node).__name__}) has shape {weight.shape}: expected (outputs, inputs)"
        )
    if weight.shape[1] != math.prod(arriving):
        raise _mismatch(name, node, arriving, weight.shape[1:])
    target = (weight.shape[0], 1, 1)
    return Operation(name, arriving, target, weight, _per_channel(name, node, "bias", target))


def _scale_factors(name: str, node: nir.Scale, arriving: Shape) -> NDArray:
    """float64[n]. One factor for all, one per element, or a shape with ones where it repeats, such as (C, 1, 1)."""
    factors = _numbers(name, node, "scale")
    if factors.size > 1:
        own = _layer_shape(f"scale of node {name!r}", factors.shape)
        if _agree(own, arriving):
            return factors.ravel()
        if factors.ndim < 2 or any(a not in (1, b) for a, b in zip(own, arriving, strict=True)):
            raise _mismatch(name, node, arriving, factors.shape)
        factors = factors.reshape(own)
    return np.broadcast_to(factors, arriving).ravel()


def _convolution_operation(name: str, node: nir.Conv1d | nir.Conv2d, arriving: Shape) -> Operation:
    kernel = _numbers(name, node, "weight")
    dimensions = 1 if isinstance(node, nir.Conv1d) else 2
    if kernel.ndim != dimensions + 2:
        raise NetworkError(
            f"weight of node {name!r} ({type(node).__name__}) has shape {kernel.shape}: expected (out, in / groups) "
            f"and {dimensions} kernel sizes"
        )
    kernel = kernel.reshape(*kernel.shape[:2], -1, kernel.shape[-1])  # Conv1d: a kernel of one row
    stride, dilation = _whole_pair(name, node, "stride", 1), _whole_pair(name, node, "dilation", 1)
    groups = _whole_pair(name, node, "groups", 1)[0]
    padding = _padding(name, node, kernel, stride, dilation)
    if dimensions == 1:
        stride, dilation, padding = (1, stride[1]), (1, dilation[1]), (0, padding[1])
    expected = (kernel.shape[1] * groups, *arriving[1:])
    if node.input_shape is not None:
        own = _layer_shape(f"input_shape of node {name!r}", (1, *np.atleast_1d(node.input_shape)))
        expected = (expected[0], *own[1:])
    if expected != arriving:
        raise _mismatch(name, node, arriving, expected)
    form = _convolution(name, node, kernel, arriving, stride, padding, dilation, groups)
    bias = _per_channel(name, node, "bias", form.target_shape)
    return Operation(name, arriving, form.target_shape, form, bias)


def _padding(name: str, node, kernel: NDArray, stride: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    """Zeros before the first row and column, as many as after the last."""
    if not isinstance(node.padding, str):
        return _whole_pair(name, node, "padding", 0)
    if node.padding == "valid":
        return 0, 0
    axes = (1,) if isinstance(node, nir.Conv1d) else (0, 1)
    reach = [dilation[axis] * (kernel.shape[2 + axis] - 1) for axis in (0, 1)]
    if any(stride[axis] != 1 for axis in axes):
        raise NetworkError(
            f"node {name!r} ({type(node).__name__}) has padding 'same' with stride {stride}: 'same' needs stride 1, "
            f"give the padding in numbers"
        )
    if any(reach[axis] % 2 for axis in axes):
        raise NetworkError(
            f"node {name!r} ({type(node).__name__}) has padding 'same' with a kernel {kernel.shape[2:]} and dilation "
            f"{dilation}, which pads one side more than the other: use an odd kernel, or padding in numbers"
        )
    return reach[0] // 2, reach[1] // 2


def _pool_operation(name: str, node: nir.SumPool2d | nir.AvgPool2d, arriving: Shape) -> Operation:
    """A pool is a depthwise convolution of equal weights. An average counts the zeros of its padding, as PyTorch's."""
    size = _whole_pair(name, node, "kernel_size", 1)
    stride, padding = _whole_pair(name, node, "stride", 1), _whole_pair(name, node, "padding", 0)
    if any(k > s + 2 * p for k, s, p in zip(size, arriving[1:], padding, strict=True)):
        raise _mismatch(name, node, arriving, size, "has a kernel of")
    _layer_shape(f"the kernel of node {name!r}", (arriving[0], *size))  # before it takes memory
    weight = 1 / math.prod(size) if isinstance(node, nir.AvgPool2d) else 1.0
    kernel = np.full((arriving[0], 1, *size), weight)
    form = _convolution(name, node, kernel, arriving, stride, padding, (1, 1), groups=arriving[0])
    return Operation(name, arriving, form.target_shape, form)


def _convolution(name, node, kernel, arriving, stride, padding, dilation, groups) -> Convolution:
    target = convolved_shape(arriving, kernel, stride, padding, dilation)
    try:
        _layer_shape("its result", target)
        return Convolution(kernel, arriving, target, stride, padding, dilation, groups)
    except NetworkError as error:
        raise NetworkError(f"node {name!r} ({type(node).__name__}): {error}") from None


# --- composition of linear maps -------------------------------------------------------------------------------


def compose(first: Form, second: Form) -> Form:
    """The map that applies `first`, then `second`: exact, and in the most compact form that can hold it.

    A matrix with anything gives a matrix; factors fold into matrices and, where uniform over space, into kernels; two
    convolutions of which one is depthwise (a pool) give one kernel where it is exact; the rest becomes csr.
    """
    if first is None or second is None:
        return second if first is None else first
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return _matrix_product(first, second)
    merged: Convolution | None = None
    if isinstance(first, Convolution) and isinstance(second, Convolution):
        merged = _merged_convolution(first, second)
    elif isinstance(first, Convolution) and isinstance(second, np.ndarray) and second.ndim == 1:
        merged = _scaled_outputs(first, second)
    elif isinstance(second, Convolution) and isinstance(first, np.ndarray) and first.ndim == 1:
        merged = _scaled_inputs(first, second)
    return _general_product(_operand(first), _operand(second)) if merged is None else merged


def _matrix_product(first: NDArray, second: NDArray) -> NDArray:
    """Of matrices or factors, in float64."""
    if first.ndim == 1:
        return second * first
    return second[:, None] * first if second.ndim == 1 else second @ first


def _general_product(first: Operand, second: Operand) -> Operand:
    if isinstance(second, np.ndarray):
        return np.asarray((first.T @ second.T).T)  # scipy has no dense @ sparse that stays dense
    product = second @ first
    return product if isinstance(product, np.ndarray) else sparse.csr_array(product)


def _operand(form: NDArray | Convolution | sparse.csr_array) -> Operand:
    """A form as a matrix."""
    if isinstance(form, Convolution):
        return convolution_matrix(form)
    if isinstance(form, np.ndarray) and form.ndim == 1:
        return sparse.csr_array(sparse.diags_array(form))
    return form


def _one_per_channel(factors: NDArray, shape: Shape) -> NDArray | None:
    by_channel = factors.reshape(shape[0], -1)
    return by_channel[:, 0] if (by_channel == by_channel[:, :1]).all() else None


def _scaled_outputs(convolution: Convolution, factors: NDArray) -> Convolution | None:
    channels = _one_per_channel(factors, convolution.target_shape)
    if channels is None:
        return None
    return replace(convolution, kernel=convolution.kernel * channels[:, None, None, None])


def _scaled_inputs(factors: NDArray, convolution: Convolution) -> Convolution | None:
    channels = _one_per_channel(factors, convolution.source_shape)
    if channels is None:
        return None
    return replace(convolution, kernel=convolution.kernel * channels[_input_channels(convolution)][:, :, None, None])


def _input_channels(convolution: Convolution) -> NDArray[np.int64]:
    """[out, in / groups]: which input channel each kernel slice takes."""
    out, per_group = convolution.kernel.shape[:2]
    group = np.arange(out) // (out // convolution.groups)
    return group[:, None] * per_group + np.arange(per_group)


def _is_depthwise(convolution: Convolution) -> bool:
    return convolution.groups == convolution.source_shape[0] == convolution.target_shape[0]


def _merged_convolution(first: Convolution, second: Convolution) -> Convolution | None:
    """One convolution that does both, or None where none is exact or neither is depthwise.

    Tap i of the first and j of the second read input y * s1 * s2 + i * d1 + j * d2 * s1 - (p1 + p2 * s1).
    """
    if not all(_merges_at_border(first, second, axis) for axis in (0, 1)):
        return None
    if _is_depthwise(first):
        by_channel = first.kernel[_input_channels(second), 0]  # [out, in / groups, kH, kW]
        taps, groups = np.einsum("ocij,ockl->ocikjl", second.kernel, by_channel), second.groups
    elif _is_depthwise(second):
        taps, groups = np.einsum("oij,ockl->ocikjl", second.kernel[:, 0], first.kernel), first.groups
    else:
        return None
    rows, columns = (
        np.add.outer(
            np.arange(second.kernel.shape[2 + axis]) * second.dilation[axis] * first.stride[axis],
            np.arange(first.kernel.shape[2 + axis]) * first.dilation[axis],
        )
        for axis in (0, 1)
    )
    size = (*taps.shape[:2], int(rows.max()) + 1, int(columns.max()) + 1)
    if math.prod(size) * 64 > available_bytes():  # far-dilated taps
        return None
    kernel = np.zeros(size)
    spread = kernel.transpose(2, 3, 0, 1)  # taps of overlapping windows fall on one place and add up
    np.add.at(spread, (rows[:, :, None, None], columns), taps.transpose(2, 3, 4, 5, 0, 1))
    stride = first.stride[0] * second.stride[0], first.stride[1] * second.stride[1]
    padding = (
        first.padding[0] + second.padding[0] * first.stride[0],
        first.padding[1] + second.padding[1] * first.stride[1],
    )
    if convolved_shape(first.source_shape, kernel, stride, padding, (1, 1)) != second.target_shape:
        return None
    return Convolution(kernel, first.source_shape, second.target_shape, stride, padding, (1, 1), groups)


def _merges_at_border(first: Convolution, second: Convolution, axis: int) -> bool:
    """Whether the zeros that the second pads with are what the first would compute beyond its last output.

    With a pool of kernel = stride and no padding: if the pooled size divides exactly.
    """
    stride, padding = first.stride[axis], first.padding[axis]
    reach = (first.kernel.shape[2 + axis] - 1) * first.dilation[axis]
    before_is_zero = reach < stride + padding
    after_is_zero = first.target_shape[1 + axis] * stride - padding >= first.source_shape[1 + axis]
    return second.padding[axis] == 0 or (before_is_zero and after_is_zero)


def convolution_matrix(convolution: Convolution) -> sparse.csr_array:
    """csr[targets, sources], float64, of a convolution. Raises NetworkError if memory cannot take it."""
    c = convolution
    out, per_group = c.kernel.shape[:2]
    channel_out, slot = np.divmod(np.arange(out * per_group), per_group)
    channel_in = _input_channels(c).ravel()
    (to_row, from_row, tap_row), (to_column, from_column, tap_column) = (_taps_inside(c, axis) for axis in (0, 1))
    entries = channel_out.size * to_row.size * to_column.size
    if entries * 64 > available_bytes():
        raise NetworkError(
            f"a convolution of {c.source_shape} to {c.target_shape} that no single kernel can express needs "
            f"{entries} separate weights, more than memory takes: put a neuron layer after it"
        )

    def flat(channel, row, column, shape):
        index = channel[:, None, None] * (shape[1] * shape[2]) + row[:, None] * shape[2] + column
        return index.ravel()

    values = c.kernel[channel_out[:, None, None], slot[:, None, None], tap_row[:, None], tap_column]
    targets = flat(channel_out, to_row, to_column, c.target_shape)
    sources = flat(channel_in, from_row, from_column, c.source_shape)
    return sparse.coo_array((values.ravel(), (targets, sources)), shape=(c.targets, c.sources)).tocsr()


def _taps_inside(c: Convolution, axis: int) -> tuple[NDArray, NDArray, NDArray]:
    """Target position, source position and tap, along one axis, wherever a tap falls on the input."""
    target, tap = np.indices((c.target_shape[1 + axis], c.kernel.shape[2 + axis])).reshape(2, -1)
    source = target * c.stride[axis] - c.padding[axis] + tap * c.dilation[axis]
    inside = (source >= 0) & (source < c.source_shape[1 + axis])
    return target[inside], source[inside], tap[inside]


# --- connections and biases -----------------------------------------------------------------------------------


def _connection(shapes: dict[str, Shape], start: str, chain: list[Operation], end: str) -> Connection:
    form: Form = None
    with _errors_named(f"path {' -> '.join(repr(n) for n in (start, *(step.name for step in chain), end))}"):
        for step in chain:
            form = compose(form, step.form)
        source_delay, target_delay = _delays(chain)
        return Connection(start, end, _synapses(form, shapes[start], shapes[end]), source_delay, target_delay)


def _synapses(form: Form, source: Shape, target: Shape) -> Synapses:
    """The composed map as synapses with float32 weights."""
    with np.errstate(over="ignore"):  # what overflows float32 the network refuses, by its connection
        if isinstance(form, np.ndarray) and form.ndim == 2:
            return Dense(np.ascontiguousarray(form, np.float32), source, target)
        if isinstance(form, Convolution):
            if (form.source_shape, form.target_shape) == (source, target):
                return replace(form, kernel=form.kernel.astype(np.float32))
            form = convolution_matrix(form)
        by_source = sparse.csc_array(_operand(np.ones(math.prod(source)) if form is None else form))
        by_source.eliminate_zeros()
        by_source.sort_indices()
        indptr, targets = by_source.indptr.astype(np.int64), by_source.indices.astype(np.int32)
        return Sparse(indptr, targets, by_source.data.astype(np.float32), source, target)


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


def _biases(graph: Graph, operations: dict[str, Operation], shapes: dict[str, Shape], ends: dict) -> dict[str, NDArray]:
    """What constant inputs add to each layer's sum, float32[neurons].

    By node and not by connection: a bias behind a junction counts once, however many paths arrive there.
    """
    totals: dict[str, NDArray] = {}
    for name, operation in operations.items():
        if operation.bias is None or not operation.bias.any():
            continue
        for chain, end in graph.paths(name):
            value = operation.bias
            for step in chain:
                value = _applied(operations[step].form, value)
            layer = ends.get(end, end)
            totals[layer] = totals.get(layer, 0.0) + value
    for name, value in totals.items():
        if not (np.abs(value) <= np.finfo(np.float32).max).all():
            raise NetworkError(f"the bias of layer {name!r} exceeds float32: scale its weights down")
    return {name: value.astype(np.float32) for name, value in totals.items()}


def _applied(form: Form, values: NDArray) -> NDArray:
    if form is None:
        return values
    if isinstance(form, Convolution):
        result = np.zeros(form.targets)
        nonzero = np.flatnonzero(values)
        form.add(nonzero, values[nonzero], result)
        return result
    return form * values if form.ndim == 1 else form @ values


# --- neurons --------------------------------------------------------------------------------------------------


def _layer(graph: Graph, name: str, shape: Shape, bias: NDArray | float, dt_s: float | None) -> Layer:
    if name == graph.input:
        return Layer(name, shape, Relay(), on_chip=False)
    node = graph.nodes[name]
    if not isinstance(node, NEURONS):
        return Layer(name, shape, Activation(rectify=False, bias=bias))
    return Layer(name, shape, _neuron(name, node, shape, bias, dt_s))


def _neuron(name: str, node: nir.NIRNode, shape: Shape, bias: NDArray | float, dt_s: float | None) -> Neuron:
    """The model of a neuron node; the equations are at the head of this module."""
    given = {field: _parameter(name, node, field, shape) for field in _fields(node)}
    if isinstance(node, nir.Threshold):
        return Threshold(_compact(given["threshold"]), bias)
    threshold = _compact(given["v_threshold"]) if "v_threshold" in given else None
    reset = _compact(given.get("v_reset", np.zeros(1)))
    if isinstance(node, nir.IF | nir.I):
        return Lif(0.0, _compact(given["r"]), threshold, reset=reset, bias=bias)
    leak = _leak(name, node, "tau" if "tau" in given else "tau_mem", given, dt_s)
    current_leak: NDArray | float | None = None
    current_gain: NDArray | float = 1.0
    if "tau_syn" in given:
        filtering = _leak(name, node, "tau_syn", given, dt_s)
        current_leak, current_gain = _compact(filtering), _compact(given["w_in"] * filtering)
    gain, rest = _compact(given["r"] * leak), _compact(given["v_leak"])
    return Lif(_compact(leak), gain, threshold, rest, reset, bias, current_leak, current_gain)


def _leak(name: str, node: nir.NIRNode, field: str, given: dict[str, NDArray], dt_s: float | None) -> NDArray:
    """dt / tau, where Euler's step is stable."""
    assert dt_s is not None  # nodes with time constants are among NEEDS_DT
    shortest = given[field].min()
    if shortest <= 0:
        raise NetworkError(
            f"{field} of node {name!r} ({type(node).__name__}) is {shortest:g} s: time constants must be positive"
        )
    if dt_s > 2 * shortest:
        raise NetworkError(
            f"{field} of node {name!r} ({type(node).__name__}) is {shortest:g} s, but the timestep is {dt_s:g} s: "
            f"Euler steps longer than twice a time constant diverge, give --dt {2 * shortest:g} or less"
        )
    return dt_s / given[field]


def _compact(values: NDArray) -> NDArray | float:
    """float32[neurons], or one number if a parameter was given once."""
    return float(values[0]) if values.size == 1 else values.astype(np.float32)
