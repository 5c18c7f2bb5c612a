"""Networks of rectifiers from .pt2, .onnx and Python files, and what is no such file: none of it needs PyTorch.

Archives are written here as torch.export writes them; numbers are compared with equations in NumPy, and those of ONNX
with the package's own reference evaluator.
"""

import zipfile

import numpy as np
import pytest

from nsim import load_chip, load_network, map_network, simulate
from nsim.errors import NetworkError
from nsim.formats.coding import coded, rate_coded
from nsim.formats.network import PICKLES
from nsim.formats.pt2 import read_pt2
from nsim.formats.row import Row
from nsim.network.activity import evaluate
from nsim.network.inputs import Frames
from tests.generators.rows import archive, node, outputs_of, tensor

F = np.float32
RNG = np.random.default_rng(0)


# Archives of torch.export


def small(path, **changes):
    """Convolution, normalisation, rectifier, largest values, dense layer."""
    weights = {
        "c.weight": RNG.normal(size=(3, 2, 3, 3)).astype(F), "c.bias": RNG.normal(size=3).astype(F),
        "n.mean": RNG.normal(size=3).astype(F), "n.var": RNG.random(3).astype(F) + 0.5,
        "fc.weight": RNG.normal(size=(12, 4)).astype(F).T, "fc.bias": RNG.normal(size=4).astype(F),
    }  # fmt: skip
    p = {name: tensor(f"p_{name.replace('.', '_')}") for name in weights}
    nodes = [
        node("conv2d.default", "conv", input=tensor("x"), weight=p["c.weight"], bias=p["c.bias"]),
        node(
            "batch_norm.default", "bn", input=tensor("conv"), weight={"as_none": True}, bias={"as_none": True},
            running_mean=p["n.mean"], running_var=p["n.var"], training={"as_bool": False}, eps={"as_float": 0.1},
        ),
        node("relu.default", "relu", self=tensor("bn")),
        node("max_pool2d.default", "pool", self=tensor("relu"), kernel_size={"as_ints": [2, 2]}),
        node("view.default", "flat", self=tensor("pool"), size={"as_ints": [1, -1]}),
        node("dropout.default", "drop", input=tensor("flat"), p={"as_float": 0.5}, train={"as_bool": False}),
        node("linear.default", "out", input=tensor("drop"), weight=p["fc.weight"], bias=p["fc.bias"]),
    ]  # fmt: skip
    sizes = {"x": (1, 2, 6, 6), "conv": (1, 3, 4, 4), "bn": (1, 3, 4, 4), "relu": (1, 3, 4, 4), "pool": (1, 3, 2, 2)}
    sizes |= {"flat": (1, 12), "drop": (1, 12), "out": (1, 4)}
    return archive(path, nodes, sizes, weights, **changes), weights, nodes, sizes


def by_hand(weights, image):
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(1, 2))
    sums = np.einsum("cyxij,ocij->oyx", windows, weights["c.weight"]) + weights["c.bias"][:, None, None]
    normal = (sums - weights["n.mean"][:, None, None]) / np.sqrt(weights["n.var"] + 0.1)[:, None, None]
    pooled = np.maximum(normal, 0).reshape(3, 2, 2, 2, 2).max(axis=(2, 4))
    return weights["fc.weight"] @ pooled.ravel() + weights["fc.bias"]


def test_an_archive_of_torch_export(tmp_path):
    """Also weights that lie transposed in it."""
    path, weights, _, _ = small(tmp_path / "net.pt2")
    network = load_network(path)
    assert [(layer.name, layer.shape) for layer in network.layers] == [
        ("input", (2, 6, 6)), ("c", (3, 2, 2)), ("fc", (4, 1, 1))]  # fmt: skip
    assert [c.synapses.kind for c in network.connections] == ["conv", "dense"] and network.name == "net"
    image = RNG.normal(size=(2, 6, 6))
    np.testing.assert_allclose(outputs_of(network, image), by_hand(weights, image), rtol=1e-4, atol=1e-5)


def refused(path, *words):
    with pytest.raises(NetworkError) as caught:
        load_network(path)
    line = str(caught.value)
    assert "\n" not in line and path.name in line
    for word in words:
        assert word in line, line


def test_archives_that_are_damaged(tmp_path):
    """Cut anywhere, not a zip, without a graph, with a graph of anything, or with tensors that are pickled."""
    path, weights, nodes, sizes = small(tmp_path / "net.pt2")
    data, cut = path.read_bytes(), tmp_path / "cut.pt2"
    for size in np.linspace(0, len(data) - 1, 20).astype(int):
        cut.write_bytes(data[:size])
        refused(cut)
    refused(tmp_path / "none.pt2", "cannot be read")
    refused(small(cut, use_pickle=True)[0], "'c.weight'", "pickled")
    refused(archive(cut, nodes, sizes, weights, returns=["out", "relu"]), "returns 2 results")
    refused(archive(cut, nodes, sizes, {**weights, "fc.bias": weights["fc.bias"][:3]}), "'fc'", "(3,)")
    refused(archive(cut, nodes, {**sizes, "x": (6,)}, weights), "(6,)", "with a sample of a batch")
    del sizes["drop"]
    refused(archive(cut, nodes, sizes, weights), "KeyError: 'drop'")
    for content in ("[]", "{}", "7", '{"graph_module": {"graph": 3, "signature": []}}', "[" * 100_000):
        with zipfile.ZipFile(cut, "w") as file:
            file.writestr("net/models/model.json", content)
        refused(cut, "export it again")


@pytest.mark.parametrize(
    ("target", "arguments", "words"),
    [
        ("sigmoid.default", {}, "'odd' is torch.ops.aten.sigmoid.default, which no layer here can be"),
        ("add.Tensor", {"other": tensor("conv")}, "takes ['bn', 'conv'], where 'bn' came last: only one row"),
        ("dropout.default", {"train": {"as_bool": True}}, "training mode: call .eval()"),
        ("max_pool2d.default", {"kernel_size": {"as_ints": [2, 2]}, "padding": {"as_ints": [1, 1]}}, "padding"),
        ("avg_pool2d.default", {"kernel_size": {"as_ints": [2, 2]}, "ceil_mode": {"as_bool": True}}, "ceil_mode"),
        ("avg_pool2d.default", {"kernel_size": {"as_ints": [2, -2]}}, "expected one or two whole numbers"),
        ("mean.dim", {"dim": {"as_ints": [1]}}, "other axes than rows and columns"),
        ("view.default", {}, "only flattening all but the batch"),
    ],
)
def test_operations_that_are_no_layer(tmp_path, target, arguments, words):
    _, weights, nodes, sizes = small(tmp_path / "net.pt2")
    odd = node(target, "odd", self=tensor("bn"), **arguments)
    sizes = dict(list(sizes.items())[:3]) | {"odd": (1, 9, 4, 4)}
    refused(archive(tmp_path / "net.pt2", [*nodes[:2], odd], sizes, weights), words)


# Rows of operations


def test_rows_that_no_layers_can_be():
    conv = RNG.normal(size=(2, 1, 3, 3))
    for operations, words in (
        (lambda row: row.maximum("p", (2, 2), (2, 2), (4, 4)), "'p' pools the input"),
        (lambda row: (row.convolution("c", conv, None), row.maximum("p", (2, 2), (2, 2), (3, 3)),
                      row.convolution("d", np.ones((2, 2, 1, 1)), None)), "'d' follows the pool behind 'c' without"),
        (lambda row: (row.convolution("c", conv, None), row.maximum("p", (4, 4), (4, 4), (1, 1))), "makes (1, 1)"),
        (lambda row: row.matrix("m", np.ones((2, 8)), None), "flatten it before"),
        (lambda row: row.convolution("c", conv, np.ones(3)), "bias of 'c' has shape (3,)"),
        (lambda row: row.convolution("c", conv, None, stride=(0, 1)), "'c'"),
        (lambda row: row.scale("s", np.ones(5), 0.0), "do not spread over (1, 8, 8)"),
        (lambda row: row.network("x"), "nothing is left"),
        (lambda row: row.convolution("c", conv, np.array([np.nan, 1])), "the bias of 'c' has NaN or infinity in 1"),
        (lambda row: row.convolution("c", conv * [1, np.nan, 1], None), "weights of 'c' have NaN or infinity in 6"),
        (lambda row: row.scale("s", np.inf, 0.0), "the constants of 's' make NaN or infinity in 64 of 64 values"),
        (lambda row: (row.convolution("c", conv, None), row.maximum("p", (2, 2), (2, 2), (3, 3)),
                      row.normalise("n", np.array([1.0, np.nan]), np.zeros(2))), "the factors of 'n' have NaN"),
        (lambda row: row.normalise("n", np.ones(1), np.array([np.inf])), "the offsets of 'n' have NaN"),
        (lambda row: (row.convolution("c", conv * 1e300, np.full(2, 1e300)), row.scale("s", 1e300, 0.0),
                      row.rectify("r")), "what is added to the sums of 'c' has NaN or infinity in 72 of 72"),
        (lambda row: (row.convolution("c", conv, None), row.maximum("p", (2, 2), (2, 2), (3, 3)),
                      row.normalise("n", np.array([1.0, -1.0]), np.zeros(2))), "'n' turns signs"),
    ):  # fmt: skip
        with pytest.raises(NetworkError) as caught, np.errstate(over="ignore"):
            operations(Row((1, 8, 8)))
        assert words in str(caught.value), str(caught.value)


# ONNX


def onnx_model(nodes, constants, shape, result):
    onnx = pytest.importorskip("onnx", reason="in the extra onnx")
    value = onnx.helper.make_tensor_value_info
    made = [
        onnx.helper.make_node(kind, inputs, [output], name=f"node_{output}", **more)
        for kind, inputs, output, more in nodes
    ]
    weights = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    ends = [value("x", 1, (1, *shape))], [value(nodes[-1][2], 1, result)]
    graph = onnx.helper.make_graph(made, "net", *ends, weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])


def onnx_nets():
    def r(*shape):
        return RNG.normal(size=shape).astype(F)

    flat = ("Flatten", ["p"], "f", {})
    yield "conv", (2, 8, 8), [
        ("Mul", ["mean", "x"], "m", {}), ("Div", ["m", "scale"], "d", {}),
        ("Conv", ["d", "c.weight", "c.bias"], "c", {"pads": [1, 0, 0, 1], "strides": [2, 2]}),
        ("BatchNormalization", ["c", "g", "b", "mu", "var"], "n", {"epsilon": 0.01}), ("Relu", ["n"], "r", {}),
        ("MaxPool", ["r"], "p", {"kernel_shape": [2, 2], "strides": [2, 2]}), flat,
        ("Dropout", ["f"], "o", {}), ("Gemm", ["o", "w", "wb"], "y", {"transB": 1, "alpha": 2.0, "beta": 0.5}),
        ("Softmax", ["y"], "z", {}),
    ], {"mean": np.float32(0.5), "scale": r(2, 1, 1), "c.weight": r(4, 2, 2, 2), "c.bias": r(4), "g": r(4), "b": r(4),
        "mu": r(4), "var": abs(r(4)) + 1, "w": r(5, 16), "wb": r(1, 5)}  # fmt: skip
    yield "same", (2, 7, 7), [
        ("Conv", ["x", "c.weight"], "c", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}), ("Relu", ["c"], "r", {}),
        ("AveragePool", ["r"], "a", {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1],
                                     "count_include_pad": 1}),
        ("GlobalAveragePool", ["a"], "p", {}), ("Reshape", ["p", "to"], "f", {}),
        ("MatMul", ["f", "w"], "m", {}), ("Add", ["wb", "m"], "y", {}),
    ], {"c.weight": r(4, 2, 4, 4), "to": np.array([1, -1]), "w": r(4, 3), "wb": r(3)}  # fmt: skip


@pytest.mark.parametrize("number", range(2))
def test_onnx_as_its_reference_evaluator(tmp_path, number):
    _, shape, nodes, constants = list(onnx_nets())[number]
    model = onnx_model(nodes, constants, shape, None)
    from onnx.reference import ReferenceEvaluator

    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    network = load_network(tmp_path / "net.onnx")
    image = RNG.normal(size=(1, *shape)).astype(F)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": image})
    found = outputs_of(network, image[0])
    if nodes[-1][0] == "Softmax":
        found = np.exp(found) / np.exp(found).sum()
        assert "left to the host" in network.notes[0]
    np.testing.assert_allclose(found, expected.ravel(), rtol=1e-4, atol=1e-5)


def test_onnx_files_that_are_none(tmp_path):
    onnx = pytest.importorskip("onnx", reason="in the extra onnx")
    path, w = tmp_path / "net.onnx", RNG.normal(size=(3, 4)).astype(F)

    def saved(nodes, constants, shape=(4,), result=(1, 3)):
        path.write_bytes(onnx_model(nodes, constants, shape, result).SerializeToString())
        return path

    refused(tmp_path / "none.onnx", "cannot be read")
    path.write_bytes(b"\x08garbage")
    refused(path, "net.onnx")
    gemm = ("Gemm", ["x", "w"], "y", {"transB": 1})
    refused(saved([gemm, ("Sigmoid", ["y"], "z", {})], {"w": w}), "'node_z' is Sigmoid")
    refused(saved([gemm, ("Add", ["y", "x"], "z", {})], {"w": w}), "only one row")
    refused(saved([gemm], {"w": w[:, :3]}), "flatten it before")
    refused(saved([("Gemm", ["x", "w"], "y", {"transB": 1, "transA": 1})], {"w": w}), "batch first")
    refused(saved([gemm], {"w": w}, shape=()), "batch first")
    broken = np.where(np.arange(12).reshape(3, 4) == 5, np.nan, w).astype(F)
    refused(saved([gemm], {"w": broken}), "the weights of 'node_y' have NaN or infinity in 1 of 12 values")
    with_bias = ("Gemm", ["x", "w", "b"], "y", {"transB": 1})
    refused(saved([with_bias], {"w": broken, "b": w[:, 0]}), "the weights of 'node_y' have NaN")
    refused(saved([with_bias], {"w": w, "b": broken[:, 1]}), "the bias of 'node_y' has NaN or infinity in 1 of 3")
    padded = ("Conv", ["x", "k"], "y", {"pads": [-1, 0, 0, 0]})
    refused(saved([padded], {"k": np.ones((1, 4, 1, 1), F)}, (4, 3, 3)), "pads")
    model = onnx_model([gemm], {"w": w}, (4,), (1, 3))
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "/etc/passwd")
    path.write_bytes(model.SerializeToString())
    refused(path, "in other files")


def test_onnx_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    (tmp_path / "net.onnx").write_bytes(b"x")
    refused(tmp_path / "net.onnx", "pip install 'nsim-neuromorphic[onnx]'")


# Python files and pickles


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("net = 3", "net", "has no variable 'sample'"),
        ("net = 3", "other", "has no variable 'other'"),
        ("net = 3", None, "name the variable that holds the network"),
        ("import no_such_package", "net", "in line 1 (ModuleNotFoundError"),
        ("x = 1\nraise SystemExit(3)", "net", "in line 2 (SystemExit: 3)"),
        ("def", "net", "in line 1 (SyntaxError"),
        ("1.5(3)", "net", "in line 1 (TypeError"),
        (None, "net", "cannot be read"),
    ],
)
def test_python_files_that_hold_no_network(tmp_path, text, name, words):
    path = tmp_path / "model.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(NetworkError) as caught:
        load_network(f"{path}:{name}" if name else path)
    assert words in str(caught.value) and "\n" not in str(caught.value) and "model.py" in str(caught.value)


def test_python_files_that_hold_a_graph_or_a_network(tmp_path, monkeypatch):
    (tmp_path / "weights.py").write_text("gain = 2.0\n")
    (tmp_path / "model.py").write_text(
        "import nir, numpy as np\nfrom nsim import load_network\nfrom weights import gain\n"
        "fc = nir.Linear(np.full((3, 2), gain))\n"
        "graph = nir.NIRGraph.from_list(fc, nir.IF(np.ones(3), np.ones(3)))\nnetwork = load_network('mlp')\n"
    )
    network = load_network(f"{tmp_path}/model.py:graph:reset=subtract")
    assert network.name == "graph" and network.layers[-1].neuron.reset_by == "subtract"
    assert (network.connections[0].synapses.weights == 2).all()
    assert load_network(f"{tmp_path}/model.py:network").name == "mlp"
    with pytest.raises(NetworkError, match="takes no options"):
        load_network(f"{tmp_path}/model.py:network:width=3")


@pytest.mark.parametrize("suffix", PICKLES)
def test_pickles_are_never_loaded(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    refused(path, "is a pickle", "torch.export.save", "model.py:net")


# Neurons


def held(network, image, steps):
    frames = Frames(np.asarray(image, F).reshape(1, -1), steps)
    return np.concatenate([part.outputs for part in evaluate(network, frames)])


def two_layers():
    """Dense layers with biases on five inputs."""
    row = Row((5, 1, 1))
    row.matrix("a", RNG.normal(size=(30, 5)), RNG.normal(size=30) * 0.1)
    row.rectify("r")
    row.matrix("b", RNG.normal(size=(4, 30)) * 0.3, RNG.normal(size=4) * 0.1)
    return row.network("two")


def test_sigma_delta_ends_at_the_rectifiers_value():
    network, image = two_layers(), RNG.random(5)
    exact = outputs_of(network, image)
    np.testing.assert_allclose(held(network, image, 4)[-1], exact, rtol=1e-5)
    delta = coded(network, {"neurons": "sigma-delta"})
    np.testing.assert_allclose(held(delta, image, 4)[-1], exact, rtol=1e-4, atol=1e-6)
    coarse = coded(network, {"neurons": "sigma-delta", "threshold": "0.1"})
    assert 0 < np.abs(held(coarse, image, 4)[-1] - exact).max() < 1


def test_rates_are_the_rectifiers_values():
    """What the read-out gains in a timestep is the output, but for less than a spike of each neuron."""
    network, images = two_layers(), RNG.random((20, 5))
    spiking = rate_coded(network, images, 100.0)
    steps = 400
    grown = held(spiking, images[0], steps)[-1] / (steps - 2)
    np.testing.assert_allclose(grown, outputs_of(network, images[0]), atol=0.05)
    assert simulate(map_network(spiking, load_chip("loihi2"), precision="float"), np.ones((5, 5), F)).spans == 7


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"neurons": "fast"}, "option neurons is 'fast': give one of rectifier, sigma-delta, rate"),
        ({"colour": 1}, "no option 'colour'"),
        ({"threshold": 1}, "threshold does not go with neurons=rectifier"),
        ({"neurons": "sigma-delta", "threshold": "-1"}, "option threshold is '-1'"),
        ({"neurons": "sigma-delta", "threshold": "nan"}, "option threshold is 'nan'"),
        ({"neurons": "rate"}, "needs typical inputs"),
    ],
)
def test_options_that_are_none(options, words):
    with pytest.raises(NetworkError, match=words):
        coded(two_layers(), options)


def test_largest_values_are_no_spikes(tmp_path):
    path, *_ = small(tmp_path / "net.pt2")
    with pytest.raises(NetworkError, match="layer 'c' pools largest values, which sigma-delta cannot"):
        load_network(f"{path}:neurons=sigma-delta")
    with pytest.raises(NetworkError, match="sends nothing for any of the 2 samples"):
        rate_coded(two_layers_of_zeros(), np.zeros((2, 5)))


def two_layers_of_zeros():
    row = Row((5, 1, 1))
    row.matrix("a", np.zeros((3, 5)), None)
    row.rectify("r")
    return row.network("zeros")


def test_an_archive_that_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path, *_ = small(tmp_path / "net.pt2")
    monkeypatch.setattr("nsim.formats.pt2.MAX_GRAPH_BYTES", 100)
    with pytest.raises(NetworkError, match="more than 100 that fit"):
        read_pt2(path)
