"""NIR graphs become networks that compute the same: against dense matrices and against NIR's equations, both naive."""

from itertools import pairwise, product
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim import load_chip, map_network, simulate
from nsim.errors import InputError, MappingError, NetworkError
from nsim.formats.inputs import load_inputs
from nsim.formats.nir_graph import network_from_nir, read_nir
from nsim.network.neurons import Activation, Lif, Relay, Threshold
from nsim.network.synapses import Box

DATA = Path(__file__).parents[3] / "shared" / "data"
F = np.float32


def chain_graph(shape, *nodes, metadata=None):
    """Input, then the nodes in a row, then the Output, whose shape is found by the nodes' own dense matrices."""
    out = shape
    for node in nodes:
        out = shape_after(node, out)
    named = {f"{type(n).__name__.lower()}{i}": n for i, n in enumerate(nodes)}
    return graph_of({"input": Input(shape), **named, "output": Output(out)}, metadata=metadata)


def graph_of(nodes, edges=None, metadata=None):
    names = list(nodes)
    edges = list(pairwise(names)) if edges is None else edges
    return nir.NIRGraph(nodes, edges, metadata or {}, type_check=False)


def Input(shape):
    return nir.Input({"input": np.array(shape)})


def Output(shape):
    return nir.Output({"output": np.array(shape)})


def lif(n, tau=0.01, r=1.0, leak=0.0, threshold=1.0, reset=0.0):
    shape = n if isinstance(n, tuple) else (n,)
    return nir.LIF(*(np.full(shape, x, F) for x in (tau, r, leak, threshold, reset)))


def cuba(n, tau_syn=0.005, tau_mem=0.01, threshold=1.0, w_in=1.0):
    values = (np.full(n, x, F) for x in (tau_syn, tau_mem, 1.0, 0.0, threshold, 0.0, w_in))
    return nir.CubaLIF(*values)


def integrate(n, threshold=1.0):
    shape = n if isinstance(n, tuple) else (n,)
    return nir.IF(np.ones(shape, F), np.full(shape, threshold, F))


def conv(rng, out, per_group, size, stride=1, padding=0, dilation=1, groups=1):
    bias = rng.normal(size=out).astype(F)
    return nir.Conv2d(None, rng.normal(size=(out, per_group, *size)).astype(F), stride, padding, dilation, groups, bias)


def linear(rng, targets, sources):
    return nir.Linear(rng.normal(size=(targets, sources)).astype(F))


def affine(rng, targets, sources):
    return nir.Affine(rng.normal(size=(targets, sources)).astype(F), rng.normal(size=targets).astype(F))


def pool(kind, size, stride=None, padding=(0, 0)):
    return kind(np.array(size), np.array(stride or size), np.array(padding))


def pair(value):
    return tuple(int(x) for x in np.broadcast_to(np.ravel(value), 2))


def window(node, shape):
    """Kernel (out, in / groups, kH, kW) and how it moves, of a convolution or a pool."""
    if isinstance(node, nir.Conv2d):
        kernel, dilation, groups = np.asarray(node.weight, float), pair(node.dilation), int(node.groups)
    else:
        size = pair(node.kernel_size)
        weight = 1 / np.prod(size) if isinstance(node, nir.AvgPool2d) else 1.0
        kernel, dilation, groups = np.full((shape[0], 1, *size), weight), (1, 1), shape[0]
    return kernel, pair(node.stride), pair(node.padding), dilation, groups


def shape_after(node, shape):
    if isinstance(node, nir.Linear | nir.Affine):
        return node.weight.shape[:1]
    if isinstance(node, nir.Flatten):
        return (int(np.prod(shape)),)
    if isinstance(node, nir.Conv2d | nir.SumPool2d | nir.AvgPool2d):
        kernel, stride, padding, dilation, _ = window(node, shape)
        spatial = [(shape[1 + a] + 2 * padding[a] - dilation[a] * (kernel.shape[2 + a] - 1) - 1) // stride[a] + 1
                   for a in (0, 1)]  # fmt: skip
        return (kernel.shape[0], *spatial)
    return tuple(shape)


def dense(node, shape):
    """matrix[targets, sources] and bias[targets] of a linear node, tap by tap."""
    n, out = int(np.prod(shape)), shape_after(node, shape)
    if isinstance(node, nir.Linear | nir.Affine):
        return np.asarray(node.weight, float), np.asarray(getattr(node, "bias", np.zeros(out)), float)
    if isinstance(node, nir.Scale):
        return np.diag(np.broadcast_to(np.asarray(node.scale, float), shape).ravel()), np.zeros(n)
    if isinstance(node, nir.Flatten | nir.Delay):
        return np.eye(n), np.zeros(n)
    kernel, stride, padding, dilation, groups = window(node, shape)
    matrix = np.zeros((*out, *shape))
    for o, y, x in product(*map(range, out)):
        for c, i, j in product(*map(range, kernel.shape[1:])):
            row = y * stride[0] - padding[0] + i * dilation[0]
            column = x * stride[1] - padding[1] + j * dilation[1]
            if 0 <= row < shape[1] and 0 <= column < shape[2]:
                matrix[o, y, x, o // (out[0] // groups) * kernel.shape[1] + c, row, column] += kernel[o, c, i, j]
    bias = np.repeat(getattr(node, "bias", np.zeros(out[0])), out[1] * out[2])
    return matrix.reshape(int(np.prod(out)), n), np.asarray(bias, float)


def composed(shape, nodes):
    matrix, bias = np.eye(int(np.prod(shape))), np.zeros(int(np.prod(shape)))
    for node in nodes:
        step, offset = dense(node, shape)
        matrix, bias = step @ matrix, step @ bias + offset
        shape = shape_after(node, shape)
    return matrix, bias


def matrix_of(synapses):
    """[targets, sources], by sending one message from each source."""
    matrix = np.zeros((synapses.targets, synapses.sources), F)
    for source in range(synapses.sources):
        sums = np.zeros(synapses.targets, F)
        synapses.add(np.array([source]), np.ones(1, F), sums)
        matrix[:, source] = sums
    return matrix


def check_composition(shape, *nodes, kind=None):
    network = network_from_nir(chain_graph(shape, *nodes), name="test")
    (connection,) = network.connections
    matrix, bias = composed(shape, nodes)
    np.testing.assert_allclose(matrix_of(connection.synapses), matrix, rtol=1e-4, atol=1e-5)
    held = network.layers[-1].neuron.bias
    np.testing.assert_allclose(np.broadcast_to(held, bias.shape), bias, rtol=1e-4, atol=1e-4)
    assert connection.synapses.weights.dtype == F
    assert kind is None or connection.synapses.kind == kind
    return network


sizes = st.integers(1, 3)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def linear_chains(draw):
    """A random shape and one to four linear nodes that fit behind each other."""
    rng = np.random.default_rng(draw(seeds))
    start = shape = (draw(sizes), draw(st.integers(1, 8)), draw(st.integers(1, 8)))
    nodes = []
    for _ in range(draw(st.integers(1, 4))):
        kinds = ["linear", "affine", "scale"] + (["conv", "sum", "average", "flatten"] if len(shape) == 3 else [])
        node = draw_node(draw, rng, draw(st.sampled_from(kinds)), shape)
        if node is not None and min(after := shape_after(node, shape)) >= 1 and np.prod(after) < 400:
            nodes.append(node)
            shape = after
    return start, nodes


def draw_node(draw, rng, kind, shape):
    if kind in ("linear", "affine"):
        make = linear if kind == "linear" else affine
        return make(rng, draw(st.integers(1, 5)), int(np.prod(shape)))
    if kind == "scale":
        channel = (shape[0],) + (1,) * (len(shape) - 1)
        return nir.Scale(rng.normal(size=draw(st.sampled_from([(1,), channel, shape]))).astype(F))
    if kind == "flatten":
        return nir.Flatten({"input": np.array(shape)}, start_dim=draw(st.sampled_from([0, 1])))
    size, stride, padding = ((draw(sizes), draw(sizes)) for _ in range(3))
    if kind == "conv":
        groups = draw(st.sampled_from([g for g in (1, shape[0]) if shape[0] % g == 0]))
        padding = tuple(draw(st.integers(0, 2)) for _ in range(2))
        dilation = draw(sizes), draw(sizes)
        return conv(rng, groups * draw(sizes), shape[0] // groups, size, stride, padding, dilation, groups)
    padding = tuple(draw(st.integers(0, k // 2)) for k in size)
    if any(k > n + 2 * p for k, n, p in zip(size, shape[1:], padding, strict=True)):
        return None
    stride = draw(st.sampled_from([stride, size]))
    return pool(nir.SumPool2d if kind == "sum" else nir.AvgPool2d, size, stride, padding)


@given(linear_chains())
@settings(max_examples=300, deadline=None)
def test_linear_nodes_in_a_row_compose_to_the_product_of_their_matrices(chain):
    shape, nodes = chain
    if any(not isinstance(node, nir.Flatten) for node in nodes):
        check_composition(shape, *nodes)


@given(linear_chains())
@settings(max_examples=30, deadline=None)
def test_the_same_through_a_file(tmp_path_factory, chain):
    shape, nodes = chain
    if all(isinstance(node, nir.Flatten) for node in nodes):
        return
    graph = chain_graph(shape, *nodes)
    for node, before in zip(nodes, shapes_along(shape, nodes), strict=True):
        if isinstance(node, nir.Conv2d):
            node.input_shape = before[1:]  # the file format cannot leave it out
    path = tmp_path_factory.mktemp("nir") / "chain.nir"
    nir.write(path, graph)
    network = read_nir(path)
    assert network.name == "chain"
    np.testing.assert_allclose(
        matrix_of(network.connections[0].synapses), composed(shape, nodes)[0], rtol=1e-4, atol=1e-5
    )


def shapes_along(shape, nodes):
    """What arrives at each node."""
    for node in nodes:
        yield shape
        shape = shape_after(node, shape)


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", [nir.SumPool2d, nir.AvgPool2d])
def test_pool_then_convolution_is_one_kernel_if_the_size_divides(kind, padding, dilation, stride):
    rng = np.random.default_rng(1)
    nodes = pool(kind, (2, 3)), conv(rng, 3, 2, (3, 2), stride, padding, dilation)
    check_composition((2, 14, 15), *nodes, kind="conv")


def test_pool_then_padded_convolution_is_sparse_if_rows_are_left_over():
    """The pool drops the last row, where a single kernel would read it."""
    rng = np.random.default_rng(1)
    nodes = pool(nir.SumPool2d, (2, 2)), conv(rng, 3, 2, (3, 3), padding=1)
    check_composition((2, 7, 8), *nodes, kind="sparse")


def test_kinds_of_single_and_folded_nodes():
    rng = np.random.default_rng(2)
    channel, full = (nir.Scale(rng.normal(size=s).astype(F)) for s in ((2, 1, 1), (2, 6, 6)))
    uniform = nir.Scale(np.array([3.0], F))
    c = conv(rng, 2, 2, (3, 3), padding=1)
    check_composition((4,), linear(rng, 3, 4), kind="dense")
    check_composition((4,), affine(rng, 3, 4), kind="dense")
    check_composition((4,), affine(rng, 3, 4), affine(rng, 5, 3), uniform, kind="dense")
    check_composition((2, 6, 6), c, kind="conv")
    check_composition((2, 6, 6), channel, c, channel, uniform, kind="conv")
    check_composition((2, 6, 6), full, c, kind="sparse")
    check_composition((2, 6, 6), c, full, kind="sparse")
    check_composition((2, 6, 6), c, conv(rng, 2, 2, (3, 3)), kind="sparse")
    check_composition((2, 6, 6), c, pool(nir.AvgPool2d, (2, 2)), kind="conv")
    check_composition((2, 6, 6), full, kind="sparse")
    check_composition((2, 6, 6), c, nir.Flatten({"input": np.array([2, 6, 6])}), affine(rng, 3, 72), kind="dense")
    grouped = check_composition((2, 6, 6), pool(nir.AvgPool2d, (3, 3), (2, 2), (1, 1)), kind="conv")
    assert grouped.connections[0].synapses.groups == 2


@pytest.mark.parametrize(("padding", "pad"), [("same", 2), ("valid", 0), (1, 1)])
def test_conv1d_is_a_convolution_of_one_row(padding, pad):
    rng = np.random.default_rng(3)
    weight, bias = rng.normal(size=(4, 2, 3)).astype(F), rng.normal(size=4).astype(F)
    stride = 1 if padding == "same" else 2
    node = nir.Conv1d(11, weight, stride, padding, 2, 1, bias)
    length = (11 + 2 * pad - 2 * 2 - 1) // stride + 1
    network = network_from_nir(graph_of({"in": Input((2, 11)), "c": node, "out": Output((4, length))}), name="x")
    flat = nir.Conv2d(None, weight[:, :, None], (1, stride), (0, pad), (1, 2), 1, bias)
    expected, _ = dense(flat, (2, 1, 11))
    assert network.by_name["in"].shape == (2, 1, 11) and network.by_name["c"].shape == (4, 1, length)
    assert network.connections[0].synapses.kind == "conv"
    np.testing.assert_allclose(matrix_of(network.connections[0].synapses), expected, rtol=1e-5, atol=1e-6)


def test_same_padding_in_2d_with_a_kernel_that_is_not_square():
    rng = np.random.default_rng(4)
    same = conv(rng, 2, 1, (3, 5), padding="same")
    explicit = nir.Conv2d(None, same.weight, 1, (1, 2), 1, 1, same.bias)
    network = network_from_nir(graph_of({"i": Input((1, 6, 7)), "c": same, "o": Output((2, 6, 7))}), name="x")
    np.testing.assert_allclose(matrix_of(network.connections[0].synapses), dense(explicit, (1, 6, 7))[0], rtol=1e-5)


def test_layers_joined_directly_have_identity_synapses():
    network = network_from_nir(graph_of({"i": Input((3,)), "a": integrate(3), "o": Output((3,))}), name="x")
    np.testing.assert_array_equal(matrix_of(network.connections[0].synapses), np.eye(3))
    assert network.connections[0].synapses.kind == "sparse"


def nsim_run(network, inputs):
    """What every layer sends in every timestep: {layer: [steps, neurons]}; a connection takes 1 + delay timesteps."""
    state = {layer.name: layer.neuron.start(layer.neurons) for layer in network.layers}
    sent = {layer.name: np.zeros((len(inputs), layer.neurons), F) for layer in network.layers}
    matrices = [matrix_of(connection.synapses) for connection in network.connections]
    for step, external in enumerate(inputs):
        for layer in network.layers:
            sums = np.zeros((layer.neuron.dendrites, layer.neurons), F)
            for connection, matrix in zip(network.connections, matrices, strict=True):
                if connection.target == layer.name:
                    delay = np.add.outer(
                        np.broadcast_to(connection.target_delay, matrix.shape[0]),
                        np.broadcast_to(connection.source_delay, matrix.shape[1]),
                    )
                    when = step - 1 - delay
                    earlier = sent[connection.source][np.maximum(when, 0), np.arange(matrix.shape[1])]
                    sums[connection.dendrite] += np.where(when >= 0, matrix * earlier, 0).sum(axis=1)
            given_now = np.ravel(external) if layer.name == network.input else None
            sent[layer.name][step] = layer.neuron.update(state[layer.name], sums, step + 1, given_now)
    return sent


def nir_run(graph, dt, inputs, shapes):
    """The same by NIR: the outputs of all neuron nodes, from what all sent one timestep before (no Delay nodes)."""
    neurons = {k: n for k, n in graph.nodes.items() if isinstance(n, NEURONS)}
    v = {k: np.zeros(np.shape(n.r)).ravel() for k, n in neurons.items()}
    i = {k: np.zeros_like(x) for k, x in v.items()}
    before = {k: np.zeros_like(x) for k, x in v.items()} | {"input": np.zeros(np.size(inputs[0]))}
    sent, margin = {k: [] for k in neurons}, np.inf

    def value(name):
        if name in before:
            return before[name]
        matrix, bias = dense(graph.nodes[name], shapes[name])
        return matrix @ arriving(name) + bias

    def arriving(name):
        return sum(value(a) for a, b in graph.edges if b == name)

    for external in inputs:
        now = {"input": np.ravel(external)}
        for name, node in neurons.items():
            now[name], near = euler_step(node, v, i, name, arriving(name), dt)
            margin = min(margin, near)
            sent[name].append(now[name])
        before = now
    return {k: np.array(x) for k, x in sent.items()}, margin


NEURONS = (nir.LIF, nir.CubaLIF, nir.IF, nir.LI, nir.CubaLI, nir.I)


def euler_step(node, v, i, name, total, dt):
    """One step of NIR's equations, written as tau * dv/dt = ...; returns messages and distance to the threshold."""
    p = {f: np.ravel(np.asarray(getattr(node, f), float)) for f in node.__dataclass_fields__ if hasattr(node, f)
         and f not in ("metadata", "input_type", "output_type")}  # fmt: skip
    if "tau_syn" in p:
        i[name] = i[name] + dt * (-i[name] + p["w_in"] * total) / p["tau_syn"]
        total = i[name]
    if isinstance(node, nir.IF | nir.I):
        v[name] = v[name] + p["r"] * total
    else:
        tau = p["tau"] if "tau" in p else p["tau_mem"]
        v[name] = v[name] + dt * (p["v_leak"] - v[name] + p["r"] * total) / tau
    if "v_threshold" not in p:
        return v[name], np.inf
    near = np.abs(v[name] - p["v_threshold"]).min()
    fires = v[name] > p["v_threshold"]
    v[name] = np.where(fires, p["v_reset"], v[name])
    return fires.astype(float), near


def random_neuron(rng, kind, n):
    between = lambda low, high: rng.uniform(low, high, n).astype(F)  # noqa: E731
    tau, r, leak, reset = between(2e-3, 2e-2), between(1, 3), between(-0.1, 0.1), between(-0.2, 0)
    threshold, tau_syn, w_in = between(0.2, 0.5), between(2e-3, 1e-2), between(1, 2)
    return {
        "LIF": lambda: nir.LIF(tau, r, leak, threshold, reset),
        "IF": lambda: nir.IF(r, threshold, reset),
        "I": lambda: nir.I(r),
        "LI": lambda: nir.LI(tau, r, leak),
        "CubaLIF": lambda: nir.CubaLIF(tau_syn, tau, r, leak, threshold, reset, w_in),
        "CubaLI": lambda: nir.CubaLI(tau_syn, tau, r, leak, w_in),
    }[kind]()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF", "IF"])
@pytest.mark.parametrize("last", ["LIF", "LI", "CubaLI", "I"])
def test_recurrent_networks_follow_the_equations(kind, last, seed):
    rng = np.random.default_rng([seed, len(kind), len(last)])
    hidden = random_neuron(rng, kind, 8)
    nodes = {"input": Input((5,)), "fc": affine(rng, 8, 5), "hidden": hidden, "rec": affine(rng, 8, 8),
             "fc2": linear(rng, 3, 8), "last": random_neuron(rng, last, 3), "output": Output((3,))}  # fmt: skip
    edges = [("input", "fc"), ("fc", "hidden"), ("hidden", "rec"), ("rec", "hidden"), ("hidden", "fc2"),
             ("fc2", "last"), ("last", "output")]  # fmt: skip
    graph = graph_of(nodes, edges)
    inputs = (rng.random((30, 5)) < 0.4).astype(F)
    shapes = {"fc": (5,), "rec": (8,), "fc2": (8,)}
    expected, margin = nir_run(graph, 1e-3, inputs, shapes)
    assert margin > 1e-6, "a voltage too near the threshold to compare float32 with float64: choose another seed"
    sent = nsim_run(network_from_nir(graph, name="x", dt_s=1e-3), inputs)
    assert expected["hidden"].any()
    for name in ("hidden", "last"):
        np.testing.assert_allclose(sent[name], expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_convolutional_network_follows_the_equations(seed):
    rng = np.random.default_rng(seed)
    first, second = random_neuron(rng, "LIF", (3, 6, 6)), random_neuron(rng, "CubaLIF", (2, 3, 3))
    nodes = {
        "input": Input((2, 6, 6)), "c1": conv(rng, 3, 2, (3, 3), padding=1), "l1": first,
        "pool": pool(nir.AvgPool2d, (2, 2)), "c2": conv(rng, 2, 3, (3, 3), padding=1), "l2": second,
        "flat": nir.Flatten({"input": np.array([2, 3, 3])}, 0), "fc": affine(rng, 4, 18), "output": Output((4,)),
    }  # fmt: skip
    graph = graph_of(nodes)
    shapes = {"c1": (2, 6, 6), "pool": (3, 6, 6), "c2": (3, 3, 3), "flat": (2, 3, 3), "fc": (18,)}
    inputs = (rng.random((20, 2, 6, 6)) < 0.3).astype(F)
    expected, margin = nir_run(graph, 1e-3, inputs, shapes)
    assert margin > 1e-6
    network = network_from_nir(graph, name="x", dt_s=1e-3)
    assert [(c.name, c.synapses.kind) for c in network.connections] == [
        ("input -> l1", "conv"), ("l1 -> l2", "conv"), ("l2 -> fc", "dense")]  # fmt: skip
    sent = nsim_run(network, inputs)
    np.testing.assert_array_equal(sent["l1"], expected["l1"])
    np.testing.assert_array_equal(sent["l2"], expected["l2"])
    assert expected["l2"].any()
    weights, bias = dense(nodes["fc"], (18,))
    np.testing.assert_allclose(sent["fc"][1:], expected["l2"][:-1] @ weights.T + bias, rtol=1e-4, atol=1e-5)


def test_threshold_fires_strictly_above():
    nodes = {"i": Input((3,)), "t": nir.Threshold(np.array([1.0, 1.0, 1.0], F)), "o": Output((3,))}
    network = network_from_nir(graph_of(nodes), name="x")
    assert isinstance(network.by_name["t"].neuron, Threshold)
    sent = nsim_run(network, np.array([[0.9, 1.0, 1.1], [0, 0, 0]], F))
    np.testing.assert_array_equal(sent["t"][1], [0, 0, 1])


def test_a_bias_behind_a_junction_counts_once_and_paths_stay_apart():
    """y = W (a + b) + bias, although two paths lead through W."""
    rng = np.random.default_rng(5)
    fc = affine(rng, 2, 3)
    nodes = {"i": Input((3,)), "a": integrate(3), "b": integrate(3), "fc": fc, "t": integrate(2), "o": Output((2,))}
    edges = [("i", "a"), ("i", "b"), ("a", "fc"), ("b", "fc"), ("fc", "t"), ("t", "o")]
    network = network_from_nir(graph_of(nodes, edges), name="x")
    assert sorted(c.name for c in network.incoming("t")) == ["a -> t", "b -> t"]
    np.testing.assert_allclose(network.by_name["t"].neuron.bias, fc.bias)


def test_biases_of_all_paths_add_up_also_recurrent_ones():
    rng = np.random.default_rng(6)
    fc, rec, scale = affine(rng, 4, 3), affine(rng, 4, 4), nir.Scale(np.array([1, 2, 3, 4], F))
    nodes = {"i": Input((3,)), "fc": fc, "l": integrate(4), "rec": rec, "s": scale, "o": Output((4,))}
    edges = [("i", "fc"), ("fc", "l"), ("l", "rec"), ("rec", "s"), ("s", "l"), ("l", "o")]
    network = network_from_nir(graph_of(nodes, edges), name="x")
    np.testing.assert_allclose(network.by_name["l"].neuron.bias, fc.bias + scale.scale * rec.bias, rtol=1e-6)
    assert network.output == "l" and [c.name for c in network.connections] == ["i -> l", "l -> l"]


def test_two_paths_between_two_layers_are_two_connections():
    rng = np.random.default_rng(7)
    nodes = {"i": Input((3,)), "a": linear(rng, 3, 3), "l": integrate(3), "o": Output((3,))}
    network = network_from_nir(
        graph_of(nodes, [("i", "a"), ("a", "l"), ("i", "l"), ("l", "o")]), name="x"
    )  # a residual path
    assert sorted(c.synapses.kind for c in network.connections) == ["dense", "sparse"]
    total = sum(matrix_of(c.synapses) for c in network.connections)
    np.testing.assert_allclose(total, nodes["a"].weight + np.eye(3), rtol=1e-6)


def test_linear_end_becomes_a_read_out_layer():
    rng = np.random.default_rng(8)
    nodes = {"i": Input((3,)), "l": integrate(3), "head": affine(rng, 2, 3), "o": Output((2,))}
    network = network_from_nir(graph_of(nodes), name="x")
    head = network.by_name["head"].neuron
    assert network.output == "head" and isinstance(head, Activation) and not head.rectify
    np.testing.assert_allclose(head.bias, nodes["head"].bias)


def test_several_ends_sum_in_a_read_out_layer_named_after_the_output():
    nodes = {"i": Input((3,)), "a": integrate(3), "b": integrate(3), "o": Output((3,))}
    network = network_from_nir(graph_of(nodes, [("i", "a"), ("a", "b"), ("a", "o"), ("b", "o")]), name="x")
    assert network.output == "o" and {c.source for c in network.incoming("o")} == {"a", "b"}


def sub_graph(rng):
    nodes = {"in": Input((3,)), "fc": affine(rng, 3, 3), "lif": lif(3), "rec": linear(rng, 3, 3), "out": Output((3,))}
    return graph_of(nodes, [("in", "fc"), ("fc", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "out")])


def test_sub_graphs_are_inlined(tmp_path):
    rng = np.random.default_rng(9)
    nested = graph_of({"x": Input((3,)), "deep": sub_graph(rng), "y": Output((3,))})
    graph = graph_of({"i": Input((3,)), "one": sub_graph(rng), "two": nested, "o": Output((3,))})
    nir.write(tmp_path / "sub.nir", graph)
    for network in (network_from_nir(graph, name="x", dt_s=1e-3), read_nir(tmp_path / "sub.nir", dt_s=1e-3)):
        assert [layer.name for layer in network.layers] == ["i", "one.lif", "two.deep.lif"]
        assert network.output == "two.deep.lif"
        names = ["i -> one.lif", "one.lif -> one.lif", "one.lif -> two.deep.lif", "two.deep.lif -> two.deep.lif"]
        assert sorted(c.name for c in network.connections) == sorted(names)


def test_layers_come_in_the_order_of_the_data():
    names = ["i", "z", "y", "x", "o"]
    nodes = {n: integrate(2) for n in sorted(names)} | {"i": Input((2,)), "o": Output((2,))}
    network = network_from_nir(graph_of(nodes, list(pairwise(names))), name="x")
    assert [layer.name for layer in network.layers] == names[:-1]
    assert isinstance(network.layers[0].neuron, Relay) and not network.layers[0].on_chip


def test_shapes_channels_first_and_parameters_row_major():
    thresholds = np.arange(1.0, 25.0).reshape(2, 3, 4)
    nodes = {"i": Input((1, 2, 3, 4)), "n": nir.IF(np.ones((2, 3, 4)), thresholds), "o": Output((24,))}
    network = network_from_nir(graph_of(nodes), name="x")
    assert network.by_name["i"].shape == network.by_name["n"].shape == (2, 3, 4)
    np.testing.assert_array_equal(network.by_name["n"].neuron.threshold, thresholds.ravel())


def test_one_parameter_for_all_neurons():
    one = [np.array(x) for x in (0.01, 1.0, 0.0, 1.0, 0.0)]
    network = network_from_nir(graph_of({"i": Input((4,)), "n": nir.LIF(*one), "o": Output((4,))}), name="x", dt_s=1e-3)
    assert network.by_name["n"].shape == (4, 1, 1)
    assert network.by_name["n"].neuron.leak == pytest.approx(0.1)


@pytest.mark.parametrize("start_dim", [0, 1])
def test_flatten_moves_nothing_whatever_its_start_dim(start_dim):
    rng = np.random.default_rng(10)
    flat, fc = nir.Flatten({"input": np.array([2, 3, 4])}, start_dim), linear(rng, 2, 24)
    network = network_from_nir(graph_of({"i": Input((2, 3, 4)), "f": flat, "fc": fc, "o": Output((2,))}), name="x")
    np.testing.assert_array_equal(matrix_of(network.connections[0].synapses), fc.weight)


@pytest.mark.parametrize(("start_dim", "end_dim"), [(0, 1), (1, 2), (0, -1), (1, -1), (2, 3)])
def test_a_part_is_flattened_before_a_dense_layer_as_in_numpy(start_dim, end_dim):
    """Row-major, so a matrix takes the same neurons whatever is flattened."""
    rng = np.random.default_rng(18)
    image = rng.normal(size=(2, 3, 4)).astype(F)
    flat, fc = nir.Flatten({"input": np.array([2, 3, 4])}, 0), linear(rng, 5, 24)
    flat.start_dim, flat.end_dim = start_dim, end_dim
    network = network_from_nir(graph_of({"i": Input((2, 3, 4)), "f": flat, "fc": fc, "o": Output((5,))}), name="x")
    np.testing.assert_allclose(
        matrix_of(network.connections[0].synapses) @ image.ravel(), fc.weight @ image.reshape(-1), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("dims", "batch", "flat"),  # (2, 3, 4) with and without a dimension of the batch, as PyTorch counts
    [((0, 1), 0, (6, 4)), ((1, 2), 0, (2, 12)), ((1, 2), 1, (6, 4)), ((2, 3), 1, (2, 12)), ((1, -1), 0, (2, 12))],
)
def test_conv1d_after_a_partial_flatten_takes_the_reading_with_its_channels(dims, batch, flat):
    rng = np.random.default_rng(19)
    image = rng.normal(size=(2, 3, 4)).astype(F)
    end = dims[1] if dims[1] >= 0 else 3
    seen = np.lib.stride_tricks.sliding_window_view(flatten(image[None] if batch else image, dims[0], end), 3, axis=-1)
    seen = seen[0] if batch else seen
    assert seen.shape == (flat[0], flat[1] - 2, 3)
    node = nir.Conv1d(None, rng.normal(size=(5, flat[0], 3)).astype(F), 1, 0, 1, 1, np.zeros(5, F))
    expected = np.einsum("cxk,ock->ox", seen, node.weight)
    partial = nir.Flatten({"input": np.array([2, 3, 4])}, 0)
    partial.start_dim, partial.end_dim = dims
    nodes = {"i": Input((2, 3, 4)), "f": partial, "c": node, "o": Output(expected.shape)}
    network = network_from_nir(graph_of(nodes), name="x")
    np.testing.assert_allclose(
        matrix_of(network.connections[0].synapses) @ image.ravel(), expected.ravel(), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("between", ["scale", "neurons", "flatten and scale"])
@pytest.mark.parametrize(("dims", "channels"), [((1, 2), 2), ((1, 2), 6)])
def test_a_partial_flatten_is_read_by_the_convolution_behind_other_nodes(between, dims, channels):
    """Nodes that pass values on in their order keep both readings of (2, 3, 4): (2, 12) and (6, 4)."""
    rng = np.random.default_rng(24)
    partial = nir.Flatten({"input": np.array([2, 3, 4])}, 0)
    partial.start_dim, partial.end_dim = dims
    length = 24 // channels
    node = nir.Conv1d(None, rng.normal(size=(5, channels, 3)).astype(F), 1, 0, 1, 1, np.zeros(5, F))
    passing = {
        "scale": {"s": nir.Scale(np.full(1, 2, F))},
        "neurons": {"s": nir.Threshold(np.full(1, 0.5, F))},
        "flatten and scale": {"s": nir.Scale(np.full((2, 3, 4), 2, F).reshape(24)), "f2": nir.Delay(np.zeros(1, F))},
    }[between]
    nodes = {"i": Input((2, 3, 4)), "f": partial, **passing, "c": node, "o": Output((5, length - 2))}
    (*_, connection) = network_from_nir(graph_of(nodes), name="x", dt_s=1e-3).connections
    image = rng.normal(size=(channels, length)).astype(F)
    seen = np.lib.stride_tricks.sliding_window_view(image, 3, axis=-1)
    expected = np.einsum("cxk,ock->ox", seen, node.weight) * (1 if between == "neurons" else 2)
    np.testing.assert_allclose(matrix_of(connection.synapses) @ image.ravel(), expected.ravel(), rtol=1e-4, atol=1e-5)


def test_a_pool_behind_a_partial_flatten_takes_the_reading_that_it_fits():
    """Windows of 2 columns fit (2, 12) and (6, 4), those of 6 only the first."""
    partial = nir.Flatten({"input": np.array([2, 3, 4])}, 0)
    partial.start_dim, partial.end_dim = 1, 2
    nodes = {"i": Input((2, 3, 4)), "f": partial, "p": pool(nir.SumPool2d, (1, 2)), "n": integrate(12)}
    refusal(graph_of(nodes | {"o": Output((12,))}), "'p'", "'f'", "start_dim 1", "(2, 12) or (6, 4)")
    nodes["p"] = pool(nir.SumPool2d, (1, 6))
    network = network_from_nir(graph_of(nodes | {"n": integrate(4), "o": Output((4,))}), name="x")
    np.testing.assert_array_equal(matrix_of(network.connections[0].synapses), np.repeat(np.eye(4), 6, axis=1))


def flatten(values, first, last):
    return values.reshape(*values.shape[:first], -1, *values.shape[last + 1 :])


def test_a_partial_flatten_that_fits_no_reading_is_told_with_its_dimensions():
    rng = np.random.default_rng(20)
    flat = nir.Flatten({"input": np.array([2, 3, 4])}, 1, 2)
    node = nir.Conv1d(None, rng.normal(size=(5, 7, 3)).astype(F), 1, 0, 1, 1, np.zeros(5, F))
    nodes = {"i": Input((2, 3, 4)), "f": flat, "c": node, "o": Output((5, 10))}
    refusal(graph_of(nodes), "'c'", "7 channels", "'f'", "start_dim 1", "end_dim 2", "(2, 12) or (6, 4)", "give the")
    flat.start_dim, flat.end_dim = 5, 6
    refusal(graph_of(nodes), "'f'", "start_dim 5", "end_dim 6", "(2, 3, 4)", "give dimensions")
    flat.start_dim = np.array([0.5])
    refusal(graph_of(nodes), "start_dim of node 'f'", "0.5", "whole number")


def test_time_constants_become_leak_and_gain():
    graph = graph_of({"i": Input((2,)), "n": cuba(2, 0.005, 0.02, w_in=3.0), "o": Output((2,))})
    network = network_from_nir(graph, name="x", dt_s=1e-3)
    neuron = network.by_name["n"].neuron
    assert isinstance(neuron, Lif) and network.dt_s == 1e-3
    np.testing.assert_allclose(neuron.leak, 0.05, rtol=1e-6)
    np.testing.assert_allclose(neuron.gain, 0.05, rtol=1e-6)
    np.testing.assert_allclose(neuron.current_leak, 0.2, rtol=1e-6)
    np.testing.assert_allclose(neuron.current_gain, 0.6, rtol=1e-6)


def test_the_timestep_may_come_with_the_graph(tmp_path):
    graph = chain_graph((3,), lif(3), metadata={"dt": 2e-3})
    nir.write(tmp_path / "x.nir", graph)
    assert read_nir(tmp_path / "x.nir").dt_s == 2e-3
    assert read_nir(tmp_path / "x.nir", dt_s=1e-3).dt_s == 1e-3, "what the caller says goes first"


def test_without_times_no_timestep_is_needed():
    assert network_from_nir(chain_graph((3,), integrate(3)), name="x").dt_s is None


def delayed(*nodes, shape=(3,)):
    return network_from_nir(chain_graph(shape, *nodes), name="x", dt_s=1e-3)


def test_delays_sit_with_source_or_target_or_add_up():
    rng = np.random.default_rng(11)
    w, each = linear(rng, 3, 3), nir.Delay(np.array([1e-3, 2e-3, 0.0], F))
    one = nir.Delay(np.array(2e-3))
    (c,) = delayed(one, w, one).connections
    assert (c.source_delay, c.target_delay) == (4, 0)
    (c,) = delayed(each, w).connections
    np.testing.assert_array_equal(c.source_delay, [1, 2, 0])
    (c,) = delayed(w, one, each).connections
    assert c.source_delay == 2
    np.testing.assert_array_equal(c.target_delay, [1, 2, 0])
    (c,) = delayed(each, w, each).connections
    np.testing.assert_array_equal(c.source_delay, c.target_delay)
    sent = nsim_run(delayed(each, w), np.eye(4, 3, dtype=F))
    np.testing.assert_allclose(sent["linear1"][2], w.weight[:, 0], rtol=1e-6)


def refusal(graph, *words, dt_s=1e-3):
    with pytest.raises(NetworkError) as caught:
        network_from_nir(graph, name="broken", dt_s=dt_s)
    line = str(caught.value)
    assert "\n" not in line and "broken" in line
    for word in words:
        assert str(word) in line, line
    return line


def with_nan(node, field):
    values = np.array(getattr(node, field), F)
    values.flat[0] = np.nan
    setattr(node, field, values)
    return node


RNG = np.random.default_rng(12)
NAN_NODES = [
    *((lif(3), field) for field in ("tau", "r", "v_leak", "v_threshold", "v_reset")),
    *((cuba(3), field) for field in ("tau_syn", "tau_mem", "w_in")),
    *((affine(RNG, 3, 3), field) for field in ("weight", "bias")),
    (nir.Scale(np.ones(3, F)), "scale"),
    (nir.Delay(np.ones(3, F)), "delay"),
    (nir.Threshold(np.ones(3, F)), "threshold"),
]


@pytest.mark.parametrize(("node", "field"), NAN_NODES, ids=lambda x: x if isinstance(x, str) else type(x).__name__)
def test_nan_is_refused_by_node(node, field):
    bad = with_nan(node, field)
    refusal(chain_graph((3,), bad), f"{type(bad).__name__.lower()}0", field, "NaN")


def test_other_node_types_are_refused_by_name(tmp_path):
    graph = graph_of({"i": Input((3,)), "odd": nir.ir.graph.Identity({"output": np.array([3])}), "o": Output((3,))})
    refusal(graph, "'odd'", "Identity")
    path = tmp_path / "x.nir"
    nir.write(path, chain_graph((3,), integrate(3)))
    with h5py.File(path, "r+") as file:
        del file["node/nodes/if0/type"]
        file["node/nodes/if0/type"] = "Izhikevich"
    with pytest.raises(NetworkError, match=r"x\.nir: node 'if0' has type Izhikevich"):
        read_nir(path)


def test_edges_that_name_no_node_or_occur_twice():
    nodes = {"i": Input((3,)), "n": integrate(3), "o": Output((3,))}
    refusal(graph_of(nodes, [("i", "n"), ("n", "nobody"), ("n", "o")]), "'nobody'", "no node")
    refusal(graph_of(nodes, [("i", "n"), ("i", "n"), ("n", "o")]), "'i' -> 'n'", "twice", "Scale of 2", "x + x")
    sinabs = nodes | {"n": nir.LIF(np.full(3, 20.0, F), np.ones(3, F), np.zeros(3, F), np.ones(3, F))}
    refusal(graph_of(sinabs, [("i", "n"), ("i", "n"), ("n", "o")]), "if sinabs adds both")
    broken = nir.LIF(np.full(3, 20.0, F), np.ones(3, F), np.zeros(3, F), np.ones(3, F))
    broken.r = "one"
    refusal(graph_of(nodes | {"n": broken}, [("i", "n"), ("i", "n"), ("n", "o")]), "the framework that wrote it")


def test_inputs_and_outputs_are_there():
    refusal(graph_of({"i": Input((3,)), "n": integrate(3)}), "0 Output")
    refusal(graph_of({"i": Input((3,)), "o": Output((3,))}), "nothing is left")
    nodes = {"i": Input((3,)), "i2": Input((3,)), "n": integrate(3), "o": Output((3,))}
    refusal(graph_of(nodes, [("i", "n"), ("n", "o")]), "'i2'", "leads nowhere")


def two_ended():
    """A vector and an image into one layer; its spikes, and a dense layer of them, are read."""
    rng = np.random.default_rng(22)
    nodes = {
        "a": Input((3,)), "b": Input((1, 4, 4)), "wa": affine(rng, 18, 3), "cb": conv(rng, 2, 1, (2, 2)),
        "h": integrate((2, 3, 3), 2.0), "fc": affine(rng, 4, 18), "spikes": Output((2, 3, 3)), "sums": Output((4,)),
    }  # fmt: skip
    edges = [("a", "wa"), ("wa", "h"), ("b", "cb"), ("cb", "h"), ("h", "spikes"), ("h", "fc"), ("fc", "sums")]
    a, b = (rng.random((12, 3)) < 0.5).astype(F), (rng.random((12, 1, 4, 4)) < 0.3).astype(F)
    return graph_of(nodes, edges), a, b


def test_several_inputs_and_outputs(tmp_path):
    """Side by side or by name, against the equations; messages of each input are counted by its own layer."""
    graph, a, b = two_ended()
    network = network_from_nir(graph, name="x")
    assert (network.inputs, network.outputs) == (("a", "b"), ("h", "fc"))
    assert [c.synapses.kind for c in network.connections] == ["dense", "conv", "dense"]
    kernel, offset = dense(graph.nodes["cb"], (1, 4, 4))
    mapping = map_network(network, load_chip("loihi2"), precision="float")
    np.savez(tmp_path / "x.npz", a=a, b=b)
    joined = np.concatenate([a, b.reshape(12, 16)], axis=1)
    for inputs in (tmp_path / "x.npz", {"a": a, "b": b}, joined):
        result = simulate(mapping, inputs, threads=1)
        outputs = {name: result.outputs[:, where] for name, where in network.output_slices.items()}
        assert outputs["h"].shape == (14, 18) and outputs["fc"].shape == (14, 4)
        assert result.counts.spikes[:12, :2].tolist() == np.stack([a.sum(1), b.reshape(12, -1).sum(1)], 1).tolist()
        check_two_ended(graph, outputs, kernel, a, b, graph.nodes["wa"].bias + offset)


def check_two_ended(graph, outputs, kernel, a, b, bias):
    """A message takes a timestep; the bias counts from the first timestep on."""
    v, sent = np.zeros(18), []
    for step in range(14):
        before = step - 1
        arriving = graph.nodes["wa"].weight @ a[before] + kernel @ b[before].ravel() if 0 <= before < 12 else 0
        v += arriving + bias
        sent.append(v > 2)
        v[sent[-1]] = 0
    np.testing.assert_array_equal(outputs["h"], sent)
    fc = graph.nodes["fc"]
    np.testing.assert_allclose(outputs["fc"][1:], np.array(sent)[:-1] @ fc.weight.T + fc.bias, rtol=1e-4, atol=1e-5)
    assert np.any(sent)


def test_inputs_by_name_that_do_not_fit(tmp_path):
    graph, a, b = two_ended()
    network = network_from_nir(graph, name="x")
    for inputs, words in (
        ({"a": a}, "no array 'b'"),
        ({"a": a, "b": b[:5]}, "'b' has 1 samples of 5 timesteps, but another has 1 of 12"),
        ({"a": a[:, :2], "b": b}, "input 'a' has shape"),
        ({"a": a, "b": b.reshape(12, 16)[:, :0]}, "input 'b' has shape"),
    ):
        with pytest.raises(InputError, match=words):
            load_inputs(inputs, network)
    np.savez(tmp_path / "x.npz", a=a, c=b)
    with pytest.raises(InputError, match=r"x\.npz has no array 'b' among \['a', 'c'\]"):
        load_inputs(tmp_path / "x.npz", network)


@pytest.mark.parametrize("chip", ["akd1000", "speck"])
def test_chips_that_take_one_input_say_so(chip):
    with pytest.raises((MappingError, NetworkError), match="inputs a, b and outputs h, fc"):
        map_network(network_from_nir(two_ended()[0], name="x"), load_chip(chip))


def test_labels_are_for_one_output_layer():
    graph, a, b = two_ended()
    mapping = map_network(network_from_nir(graph, name="x"), load_chip("loihi2"), precision="float")
    with pytest.raises(InputError, match="has 2, h, fc"):
        simulate(mapping, {"a": a, "b": b}, labels=np.zeros(1, int))


def test_outputs_may_share_a_layer():
    """Two Outputs of one linear node are one read-out layer, two of one neuron layer are that layer twice."""
    rng = np.random.default_rng(23)
    nodes = {"i": Input((3,)), "n": integrate(3), "fc": affine(rng, 2, 3)}
    nodes |= {name: Output((2,)) for name in ("p", "q")} | {"r": Output((3,))}
    edges = [("i", "n"), ("n", "fc"), ("fc", "p"), ("fc", "q"), ("n", "r")]
    network = network_from_nir(graph_of(nodes, edges), name="x")
    assert network.outputs == ("fc", "fc", "n")
    assert [c.name for c in network.connections] == ["i -> n", "n -> fc"]
    np.testing.assert_allclose(network.by_name["fc"].neuron.bias, nodes["fc"].bias)


def test_cycles_without_neuron_stray_nodes_and_dead_ends():
    rng = np.random.default_rng(13)
    nodes = {"i": Input((3,)), "a": linear(rng, 3, 3), "b": linear(rng, 3, 3), "n": integrate(3), "o": Output((3,))}
    line = refusal(graph_of(nodes, [("i", "a"), ("a", "b"), ("b", "a"), ("b", "n"), ("n", "o")]), "no neuron")
    assert "'a' -> 'b' -> 'a'" in line or "'b' -> 'a' -> 'b'" in line
    refusal(graph_of(nodes, [("i", "n"), ("n", "o"), ("a", "b"), ("b", "n")]), "'a'", "not reached")
    refusal(graph_of(nodes, [("i", "n"), ("n", "o"), ("n", "a"), ("n", "b"), ("b", "n")]), "'a'", "leads nowhere")
    refusal(graph_of(nodes, [("i", "a"), ("a", "i"), ("a", "b"), ("b", "n"), ("n", "o")]), "lead into", "'i'")


def test_shapes_that_do_not_meet_are_told_both():
    rng = np.random.default_rng(14)
    refusal(chain_graph((3,), linear(rng, 2, 4)), "'linear0'", "(4,)", "(3, 1, 1)")
    refusal(graph_of({"i": Input((3,)), "n": integrate(5), "o": Output((5,))}), "'n'", "(5, 1, 1)", "(3, 1, 1)")
    refusal(graph_of({"i": Input((2, 3, 4)), "n": integrate((4, 3, 2)), "o": Output((24,))}), "'n'", "(4, 3, 2)")
    refusal(graph_of({"i": Input((3,)), "n": integrate(3), "o": Output((4,))}), "'o'", "(4, 1, 1)", "(3, 1, 1)")
    bad = conv(rng, 2, 2, (3, 3))
    refusal(graph_of({"i": Input((3, 8, 8)), "c": bad, "o": Output((2, 6, 6))}), "'c'", "(2, 8, 8)", "(3, 8, 8)")
    refusal(graph_of({"i": Input((2, 2, 2)), "c": bad, "o": Output((2, 1, 1))}), "'c'", "(2, 0, 0)")
    flat = nir.Flatten({"input": np.array([2, 3, 4])})
    nodes = {"i": Input((2, 3, 4)), "f": flat, "fc": linear(rng, 2, 12), "o": Output((2,))}
    refusal(graph_of(nodes), "'fc'", "(12,)", "(24, 1, 1)")
    refusal(chain_graph((2, 3, 4), nir.Scale(np.ones(4, F))), "'scale0'", "(4,)", "(2, 3, 4)")
    refusal(graph_of({"i": Input((5, 2, 3, 4)), "n": integrate(3), "o": Output((3,))}), "'i'", "(5, 2, 3, 4)")
    refusal(graph_of({"i": Input((2**20, 2**20)), "n": integrate(3), "o": Output((3,))}), "'i'", 2**40)


def test_same_padding_that_is_lopsided_or_strided():
    rng = np.random.default_rng(15)
    for size, stride, dilation, word in (((2, 3), 1, 3, "odd kernel"), ((3, 3), 2, 1, "stride 1")):
        node = conv(rng, 1, 1, size, stride, "same", dilation)
        refusal(graph_of({"i": Input((1, 6, 6)), "c": node, "o": Output((1, 6, 6))}), "'c'", "'same'", word)


@pytest.mark.parametrize("size", [(2, 2), (4, 3), (1, 6)])
def test_same_padding_of_even_kernels_is_longer_at_the_end(size):
    """As PyTorch pads: of an odd number of zeros the larger half comes after the last row and column."""
    rng = np.random.default_rng(16)
    node = conv(rng, 2, 1, size, 1, "same")
    network = network_from_nir(graph_of({"i": Input((1, 6, 7)), "c": node, "o": Output((2, 6, 7))}), name="x")
    image = rng.normal(size=(6, 7)).astype(F)
    before = [(k - 1) // 2 for k in size]
    padded = np.pad(image, [(b, k - 1 - b) for b, k in zip(before, size, strict=True)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)
    expected = np.einsum("yxij,oij->oyx", windows, node.weight[:, 0])
    np.testing.assert_allclose(matrix_of(network.connections[0].synapses) @ image.ravel(), expected.ravel(), atol=1e-5)


def test_weights_the_wrong_way_round_are_told_so():
    node = nir.Linear(np.ones((3, 5), F))
    refusal(graph_of({"i": Input((3,)), "w": node, "o": Output((5,))}), "'w'", "(3, 5), inputs first", "transpose it")


def test_names_with_slashes(tmp_path):
    """HDF5 takes them for groups; in the network they are what they were."""
    rng = np.random.default_rng(17)
    nodes = {"input": Input((3,)), "net/fc/1": affine(rng, 4, 3), "net/lif": integrate(4), "output": Output((4,))}
    nir.write(tmp_path / "net.nir", graph_of(nodes))
    network = read_nir(tmp_path / "net.nir")
    assert [layer.name for layer in network.layers] == ["input", "net/lif"]
    np.testing.assert_array_equal(network.connections[0].synapses.matrix, nodes["net/fc/1"].weight)


def test_a_missing_or_impossible_timestep():
    graph = chain_graph((3,), lif(3, tau=0.01))
    network = network_from_nir(graph, name="x")  # its structure is known: a chip can say what it has no room for
    with pytest.raises(NetworkError, match=r"'lif0' \(LIF\) .* by --dt SECONDS, or its framework"):
        map_network(network, load_chip("loihi2"))
    with pytest.raises(MappingError, match="'akd1000'"):
        map_network(network, load_chip("akd1000"))
    large = chain_graph((40_000,), linear(np.random.default_rng(21), 1, 40_000), lif(1))
    with pytest.raises(MappingError, match="needs 40000 synapse words, available"):  # whatever the timestep
        map_network(network_from_nir(large, name="x"), load_chip("loihi2"))
    refusal(chain_graph((3,), nir.Delay(np.array(1e-3)), integrate(3)), "'delay0'", "--dt", dt_s=None)
    for dt in (0.0, -1e-3, float("nan"), float("inf")):
        refusal(graph, "positive", dt_s=dt)
    for dt, loses in ((0.03, "3"), (0.01, "1")):
        refusal(graph, "'lif0'", "0.01 s", f"{dt} s", f"lose {loses} of", dt_s=dt)
    (_, coarse) = network_from_nir(graph, name="x", dt_s=0.0051).notes
    assert "0.51" in coarse and "--dt" in coarse
    assert len(network_from_nir(graph, name="x", dt_s=0.0049).notes) == 1
    refusal(chain_graph((3,), lif(3), metadata={"dt": "fast"}), "metadata", "fast", dt_s=None)
    refusal(chain_graph((3,), lif(3, tau=0.0)), "'lif0'", "tau", "positive")


def test_delays_that_cannot_be():
    rng = np.random.default_rng(16)
    refusal(chain_graph((3,), nir.Delay(np.array(2.5e-3)), linear(rng, 3, 3)), "'delay0'", "0.0025", "0.001")
    refusal(chain_graph((3,), nir.Delay(np.array(63e-3)), linear(rng, 3, 3)), "'delay0'", "63", "62")
    refusal(chain_graph((3,), nir.Delay(np.array(-1e-3)), linear(rng, 3, 3)), "'delay0'", "-1")
    forty = nir.Delay(np.array(40e-3))
    refusal(chain_graph((3,), forty, linear(rng, 3, 3), forty), "80", "62")
    each = nir.Delay(np.array([1e-3, 2e-3, 0.0], F))
    refusal(chain_graph((3,), linear(rng, 3, 3), each, linear(rng, 3, 3)), "'delay1'", "between weights")


def test_names_that_clash_once_sub_graphs_are_inlined():
    nodes = {"i": Input((3,)), "s": sub_graph(RNG), "s.lif": integrate(3), "o": Output((3,))}
    refusal(graph_of(nodes), "'s.lif'", "rename")
    two = graph_of({"a": Input((3,)), "b": Input((3,)), "o": Output((3,))}, [("a", "o"), ("b", "o")])
    refusal(graph_of({"i": Input((3,)), "s": two, "o": Output((3,))}), "sub-graph 's'", "'s.a' or 's.b'")


def test_an_edge_may_name_the_end_of_a_sub_graph_with_several():
    """Halves that a sub-graph passes on by ends of their own, one of them through weights."""
    rng = np.random.default_rng(5)
    weights = nir.Linear((rng.integers(-8, 9, (3, 3)) / 4).astype(F))
    ends = {"a": Input((3,)), "b": Input((3,)), "w": weights, "c": Output((3,)), "d": Output((3,))}
    sub = graph_of(ends, [("a", "w"), ("w", "c"), ("b", "d")])
    whole = {"i": Input((3,)), "s": sub, "n": integrate(3), "o": Output((3,))}
    named = graph_of(whole, [("i", "s.a"), ("i", "s.b"), ("s.c", "n"), ("s.d", "n"), ("n", "o")])
    flat = {"i": Input((3,)), "w": weights, "n": integrate(3), "o": Output((3,))}
    alike = graph_of(flat, [("i", "w"), ("w", "n"), ("i", "n"), ("n", "o")])
    frames = rng.random((20, 3)) < 0.5
    ours, theirs = (
        simulate(map_network(network_from_nir(graph, name="x", dt_s=1e-3), load_chip("loihi2")), frames).outputs
        for graph in (named, alike)
    )
    assert theirs.any() and np.array_equal(ours, theirs)
    refusal(graph_of(whole, [("i", "s.a"), ("i", "s.b"), ("s", "n"), ("n", "o")]), "'s.c' or 's.d'")


def test_too_many_paths_are_refused_before_they_are_walked():
    nodes = {"i": Input((1,)), "x0": nir.Scale(np.ones(1))}
    edges = [("i", "x0")]
    for k in range(40):
        nodes |= {f"{side}{k + 1}": nir.Scale(np.ones(1)) for side in "xab"}
        edges += [(f"x{k}", f"{s}{k + 1}") for s in "ab"] + [(f"{s}{k + 1}", f"x{k + 1}") for s in "ab"]
    refusal(graph_of(nodes | {"o": Output((1,))}, [*edges, ("x40", "o")]), "'i'", "1000 paths")


@pytest.fixture
def good_file(tmp_path):
    rng = np.random.default_rng(17)
    path = tmp_path / "good.nir"
    nir.write(path, chain_graph((3,), affine(rng, 4, 3), cuba(4), linear(rng, 2, 4), metadata={"dt": 1e-3}))
    return path


def file_refusal(path, *words):
    with pytest.raises(NetworkError) as caught:
        read_nir(path, dt_s=1e-3)
    line = str(caught.value)
    assert "\n" not in line and path.name in line
    for word in words:
        assert word in line, line


def test_cut_or_foreign_files(good_file, tmp_path):
    data = good_file.read_bytes()
    cut = tmp_path / "cut.nir"
    for size in np.linspace(0, len(data) - 1, 60).astype(int):
        cut.write_bytes(data[:size])
        file_refusal(cut)
    file_refusal(tmp_path / "none.nir", "no such file")
    with h5py.File(cut, "w") as file:
        file["layer/0/weight"] = np.ones(3)
    file_refusal(cut, "no group 'node'")


DAMAGE = {
    "weight gone": (lambda node: node["nodes/affine0"].__delitem__("weight"), "'affine0'"),
    "type gone": (lambda node: node["nodes/affine0"].__delitem__("type"), "'affine0'"),
    "nodes gone": (lambda node: node.__delitem__("nodes"), "no nodes"),
    "edges gone": (lambda node: node.__delitem__("edges"), "edges"),
    "edges are numbers": (lambda node: (node.__delitem__("edges"), node.__setitem__("edges", [1, 2])), "edges"),
    "weight is text": (
        lambda node: (node.__delitem__("nodes/affine0/weight"), node.__setitem__("nodes/affine0/weight", "heavy")),
        "'affine0'",
    ),
    "weight is a group": (
        lambda node: (node.__delitem__("nodes/affine0/weight"), node.create_group("nodes/affine0/weight")),
        "'affine0'",
    ),
    "extra field": (lambda node: node.__setitem__("nodes/affine0/zeal", 1), "'affine0'"),
    "one parameter longer": (
        lambda node: (node.__delitem__("nodes/cubalif1/tau_mem"), node.__setitem__("nodes/cubalif1/tau_mem", [1, 2.0])),
        "'cubalif1'",
    ),
    "node is a number": (
        lambda node: (node.__delitem__("nodes/affine0"), node.__setitem__("nodes/affine0", 3)),
        "'affine0'",
    ),
    "shape is text": (
        lambda node: (node.__delitem__("nodes/input/shape"), node.__setitem__("nodes/input/shape", "wide")),
        "'input'",
    ),
    "shape is negative": (
        lambda node: (node.__delitem__("nodes/input/shape"), node.__setitem__("nodes/input/shape", [-3])),
        "'input'",
    ),
    "weights are complex": (
        lambda node: (
            node.__delitem__("nodes/affine0/weight"),
            node.__setitem__("nodes/affine0/weight", np.ones((4, 3), complex)),
        ),
        "'affine0'",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_malformed_files_are_one_line_that_names_the_node(good_file, damage):
    change, word = DAMAGE[damage]
    with h5py.File(good_file, "r+") as file:
        change(file["node"])
    file_refusal(good_file, word)


def test_a_declared_giant_is_refused_before_memory_is_taken(good_file):
    with h5py.File(good_file, "r+") as file:
        del file["node/nodes/affine0/weight"]
        file.create_dataset("node/nodes/affine0/weight", (10**6, 10**6), "f4", chunks=(10, 10))
    file_refusal(good_file, "weight", str(4 * 10**12))


def shared(name):
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not in the folder for extra tests, ../shared/data")
    return DATA / name


def test_norse_lif():
    network = read_nir(shared("lif_norse.nir"), dt_s=1e-4)
    assert [(layer.name, layer.shape) for layer in network.layers] == [("input", (1, 1, 1)), ("1", (1, 1, 1))]
    np.testing.assert_allclose(network.by_name["1"].neuron.leak, 1e-4 / 2.5e-3, rtol=1e-6)
    assert network.output == "1"


def test_norse_braille():
    """Pedersen et al. 2024: 12 inputs, 38 recurrent CubaLIF, 7 output CubaLIF."""
    network = read_nir(shared("norse_braille.nir"), dt_s=1e-4)
    assert [(layer.name, layer.neurons) for layer in network.layers] == [
        ("input", 12), ("lif1.lif", 38), ("lif2", 7)]  # fmt: skip
    assert {c.name for c in network.connections} == {
        "input -> lif1.lif", "lif1.lif -> lif1.lif", "lif1.lif -> lif2"}  # fmt: skip
    assert network.output == "lif2" and all(c.synapses.kind == "dense" for c in network.connections)
    with h5py.File(DATA / "norse_braille.nir") as file:
        nodes = file["node/nodes"]
        bias = nodes["fc1/bias"][()] + nodes["lif1.w_rec/bias"][()]
    np.testing.assert_allclose(network.by_name["lif1.lif"].neuron.bias, bias, rtol=1e-6)


def with_stimulus(stimulus, on_chip=True):
    weights = np.array([[1.0, 0.0], [0.0, 0.0], [2.0, 3.0]])
    nodes = nir.Linear(weights, metadata={"sparse": True}), integrate(3, threshold=0.5)
    return chain_graph((2,), *nodes, metadata={"stimulus": stimulus, "input_on_chip": on_chip}), weights


def test_a_matrix_whose_zeros_are_no_synapses(tmp_path):
    """By the metadata of its node: sparse synapses, here and through a file; without it a matrix is dense."""
    graph, weights = with_stimulus(np.ones((1, 2), np.uint8))
    nir.write(tmp_path / "graph.nir", graph)
    for network in (network_from_nir(graph, name="made"), read_nir(tmp_path / "graph.nir")):
        synapses = network.connections[0].synapses
        assert synapses.kind == "sparse"
        np.testing.assert_array_equal(matrix_of(synapses), weights)
        assert synapses.fan_out(Box.whole((3, 1, 1))).tolist() == [2, 1]


def test_a_graph_may_bring_its_stimulus_and_keep_its_inputs_on_the_chip(tmp_path):
    """It drives the input until it ends, then there is silence; an input or activity of the run goes before it."""
    stimulus = np.array([[1, 0], [0, 0], [1, 1]], np.uint8)
    graph, _ = with_stimulus(stimulus)
    nir.write(tmp_path / "graph.nir", graph)
    network = read_nir(tmp_path / "graph.nir")
    assert network.layers[0].on_chip
    np.testing.assert_array_equal(network.stimulus, stimulus.astype(bool))
    mapping = map_network(network, load_chip("loihi"))

    def sent(*arguments, **options):
        return simulate(mapping, *arguments, threads=1, drain=False, **options).counts.spikes[:, 0].tolist()

    assert sent() == [1, 0, 2]
    assert sent(timesteps=5) == [1, 0, 2, 0, 0]
    assert sent(timesteps=2) == [1, 0]
    assert sent(np.ones((2, 2))) == [2, 2]
    assert sent(activity=1.0, timesteps=4) == [2, 2, 2, 2]
    assert not network_from_nir(with_stimulus(stimulus, on_chip=False)[0], name="made").layers[0].on_chip


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("stimulus", np.zeros((4, 3), np.uint8), "(4, 3)"),
        ("stimulus", np.zeros((0, 2), np.uint8), "(0, 2)"),
        ("stimulus", np.zeros(2, np.uint8), "(2,)"),
        ("stimulus", np.full((1, 2), 0.5), "float64"),
        ("stimulus", "spikes", "<U6"),
        ("input_on_chip", "perhaps", "true or false"),
        ("input_on_chip", [1, 0], "true or false"),
    ],
)
def test_metadata_that_says_nothing_is_refused(key, value, words):
    graph, _ = with_stimulus(np.ones((1, 2), np.uint8))
    graph.metadata[key] = value
    refusal(graph, key, words)
