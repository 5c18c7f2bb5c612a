"""Built-in networks: their shapes against published tables, their options, and that they run."""

import inspect
from itertools import pairwise

import numpy as np
import pytest

from nsim.errors import NetworkError
from nsim.formats.network import load_network
from nsim.network import builtin as workloads
from nsim.network.activity import checked_densities, evaluate
from nsim.network.builtin import BUILTIN, build
from nsim.network.inputs import Frames
from nsim.network.layers import MAX_DELAY
from nsim.network.neurons import DiagonalState, FixedLif, FixedSigmaDelta
from nsim.network.synapses import Box, Convolution, Dense

# name, output (W, H, C), stride (W, H), padding (W, H), neurons, fan-in, dense MAC, weights
PILOTNET = (
    ("conv0", (99, 32, 24), (2, 2), (0, 0), 76_032, 27, 2_052_864, 648),
    ("conv1", (49, 15, 36), (2, 2), (0, 0), 26_460, 216, 5_715_360, 7_776),
    ("conv2", (24, 7, 48), (2, 2), (0, 0), 8_064, 324, 2_612_736, 15_552),
    ("conv3", (22, 4, 64), (1, 2), (0, 1), 5_632, 432, 2_433_024, 27_648),
    ("conv4", (20, 2, 64), (1, 1), (0, 0), 2_560, 576, 1_474_560, 36_864),
    ("fc0", (1, 1, 100), None, None, 100, 2_560, 256_000, 256_000),
    ("fc1", (1, 1, 50), None, None, 50, 100, 5_000, 5_000),
    ("fc2", (1, 1, 10), None, None, 10, 50, 500, 500),
    ("fc3", (1, 1, 1), None, None, 1, 10, 10, 10),
)
CONV3_OUTSIDE = 22 * 64 * 48 * 3 * 2  # its MACs with the row of padding above the first and below the last output row


@pytest.fixture(scope="module", params=["sdnn", "lif"])
def pilotnet(request):
    return build("pilotnet", neuron=request.param)


def test_pilotnet_lava_dl_netx_deployment_shape(pilotnet):
    """Shapes, neurons, dense MACs and weights of lava-dl's netx PilotNet SDNN and LIF: 200x66x3 input, 3x3 kernels.

    If every neuron of a layer sends once, each neuron behind it receives its fan-in, but for what is padding.
    """
    assert pilotnet.by_name["input"].shape == (3, 66, 200)
    assert pilotnet.by_name["input"].neurons == 39_600
    assert [layer.name for layer in pilotnet.layers[1:]] == [row[0] for row in PILOTNET]
    for row, layer, connection in zip(PILOTNET, pilotnet.layers[1:], pilotnet.connections, strict=True):
        name, shape, stride, padding, neurons, fan_in, macs, stored = row
        synapses = connection.synapses
        assert (layer.name, layer.shape[::-1], layer.neurons) == (name, shape, neurons)
        assert synapses.weights.size == stored
        assert neurons * fan_in == macs
        sent = int(synapses.fan_out(Box.whole(layer.shape)).sum())
        assert sent == macs - (CONV3_OUTSIDE if name == "conv3" else 0)
        if stride is None:
            assert isinstance(synapses, Dense)
        else:
            assert isinstance(synapses, Convolution)
            assert (synapses.stride[::-1], synapses.padding[::-1]) == (stride, padding)
            assert synapses.kernel.shape[2:] == (3, 3)


def test_pilotnet_neurons(pilotnet):
    """Sigma-delta takes its input from the host and holds its result; LIF has its input layer on the chip."""
    source, *_, last = pilotnet.layers
    if isinstance(source.neuron, FixedLif):
        assert source.on_chip
        assert source.neuron.is_input
        assert all(isinstance(layer.neuron, FixedLif) for layer in pilotnet.layers)
        assert [layer.neuron.reset_phase for layer in pilotnet.layers] == list(range(1, 11))
    else:
        assert not source.on_chip
        assert [layer.neuron.role for layer in pilotnet.layers] == ["input", *["hidden"] * 8, "output"]
        assert all(isinstance(layer.neuron, FixedSigmaDelta) for layer in pilotnet.layers)
        assert not pilotnet.sends(last)
    wrapping = [layer.name for layer in pilotnet.layers if layer.neuron.wraps]
    assert wrapping == ["conv0", "conv1", "conv2", "conv3", "conv4"]


def test_pilotnet_weights_fit_their_bits(pilotnet):
    for connection in pilotnet.connections:
        assert np.abs(connection.synapses.weights).max() < 1 << (connection.weight_bits - 1)


def test_ndns_sdnn_timcheck2023_shape():
    """257-512-512-257 dense with 525,312 weights, axonal delays, threshold 0.1."""
    network = build("ndns-sdnn")
    assert [layer.neurons for layer in network.layers] == [257, 512, 512, 257]
    assert sum(connection.synapses.weights.size for connection in network.connections) == 525_312
    assert all(layer.neuron.threshold == 0.1 for layer in network.layers)
    delays = [np.max(connection.source_delay) for connection in network.connections]
    assert delays[0] == 0
    assert 0 < min(delays[1:]) <= max(delays) <= MAX_DELAY


def test_s5_shape_of_ndns_recipe():
    """Three layers of width 192 with 128 complex states each, between 257 bins."""
    network = build("s5")
    shapes = {layer.name: layer.neurons for layer in network.layers}
    blocks = {f"{part}{k}": size for k in range(3) for part, size in (("state", 256), ("mix", 192), ("gate", 192))}
    assert shapes == {"input": 257, "encoder": 192, **blocks, "decoder": 257}
    states = [layer.neuron for layer in network.layers if isinstance(layer.neuron, DiagonalState)]
    assert [len(state.eigenvalues) for state in states] == [128] * 3
    assert all((np.abs(state.eigenvalues) < 1).all() for state in states)
    dense = {c.name: c.synapses.weights.size for c in network.connections if isinstance(c.synapses, Dense)}
    assert sum(dense.values()) == 2 * 257 * 192 + 3 * (192 * 256 + 256 * 192 + 192 * 192)


def test_s5_paths_of_a_block_meet_in_the_same_step():
    """Steps from the block's input, its delays included, to each layer of the block are one number per layer."""
    network = build("s5", d_model=4, states=2)
    arrival = {"input": {0}}
    for connection in network.connections:  # listed in order of the data
        for start in arrival[connection.source]:
            arrival.setdefault(connection.target, set()).add(start + 1 + connection.source_delay)
    assert all(len(steps) == 1 for steps in arrival.values())


def test_mlp_shape():
    network = build("mlp", width=12, depth=4, inputs=7)
    assert [layer.neurons for layer in network.layers] == [7, 12, 12, 12, 12]
    assert [connection.synapses.weights.shape for connection in network.connections] == [(12, 7), *[(12, 12)] * 3]


STEPPED = {"mlp": {"width": 64}, "s5": {"d_model": 32, "states": 16}, "pilotnet": {}, "ndns-sdnn": {}}


def test_akidanet_shapes_user_guide():
    """Rows = columns and channels of each layer's output for width 0.5 and size 224; the fan-in of its weights."""
    network = build("akidanet")
    shapes = [(112, 16), (112, 32), (56, 64), (56, 64)]
    shapes += [(28, 128)] * 2 + [(14, 256)] * 6 + [(7, 512)] * 2
    assert [layer.sums_shape for layer in network.layers[1:-1]] == [(c, n, n) for n, c in shapes]
    assert network.by_name["separable_13"].shape == (512, 1, 1)
    assert network.by_name["classifier"].shape == (1000, 1, 1)
    assert [c.weight_bits for c in network.connections] == [8] + [4] * 14
    parameters = sum(connection.synapses.weights.size for connection in network.connections)
    separable = sum(9 * a + a * b for (_, a), (_, b) in pairwise(shapes[3:]))
    assert parameters == 9 * (3 * 16 + 16 * 32 + 32 * 64 + 64 * 64) + separable + 512 * 1000
    # 866 k parameters with two classes, arXiv:2406.11319; that has biases too
    assert parameters - 512 * 998 == pytest.approx(866_000, rel=0.01)


@pytest.mark.parametrize(
    ("name", "options", "published", "beside"),
    [  # beside the weights: 4 numbers for each normalised filter, and biases
        ("vww", {}, 226_906, 4 * 1_496 + 2),
        ("plantvillage", {}, 1_156_054, 4 * (2_992 + 512) + 512 + 38),
        ("yolov2", {"classes": 20}, 3_665_965, 4 * (2_992 + 3 * 1_024) + 125),
        ("ds-cnn-kws", {"classes": 12}, 22_668, 5 * 5 * 64 + 12),
    ],
)
def test_parameters_brainchip_developer_hub(name, options, published, beside):
    weights = sum(connection.synapses.weights.size for connection in build(name, **options).connections)
    assert weights + beside == published


@pytest.mark.parametrize(
    ("name", "sums", "weight_bits", "sends"),
    [
        (
            "ds-cnn-kws",
            [(64, 5, 25)] * 5 + [(33, 1, 1)],
            [8, 4, 4, 4, 4, 4],
            [4, 4, 4, 4, 1, None],
        ),
        (
            "vgg-utk",
            [(32, 30, 30), (32, 30, 30), (64, 15, 15), (64, 15, 15), (84, 8, 8), (64, 1, 1), (1, 1, 1)],
            [8, *[2] * 6],
            [2] * 6 + [None],
        ),
        (
            "gxnor-mnist",
            [(32, 28, 28), (64, 7, 7), (128, 7, 7), (512, 1, 1), (10, 1, 1)],
            [2] * 5,
            [1] * 4 + [None],
        ),
    ],
)
def test_small_akida_networks_akida_models(name, sums, weight_bits, sends):
    """Outputs before pooling, widths of weights and activations. Source: akida-models 1.14, their Akida 1 variants."""
    network = build(name)
    assert [layer.sums_shape for layer in network.layers[1:]] == sums
    assert [connection.weight_bits for connection in network.connections] == weight_bits
    assert [layer.neuron.bits for layer in network.layers[1:]] == sends


def test_yolov2_ends_with_boxes_of_7_x_7_places():
    network = build("yolov2", classes=2, boxes=3)
    assert network.layers[-1].shape == (3 * (4 + 1 + 2), 7, 7)
    assert network.by_name["separable_13"].shape == (512, 7, 7)


def test_cnn_shapes():
    network = build("cnn")
    assert [layer.shape for layer in network.layers] == [
        *((3, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8), (128, 8, 8), (10, 1, 1))
    ]


# with those that work on whole frames, or on events
SMALL = STEPPED | {"cnn": {}, "akidanet": {"width": 0.25, "size": 160}, "speck-gesture": {}}
SMALL |= {name: {} for name in ("vww", "plantvillage", "yolov2", "ds-cnn-kws", "vgg-utk", "gxnor-mnist")}


@pytest.mark.parametrize("name", BUILTIN)
def test_builds_with_sound_activity_and_notes(name):
    network = load_network(name)
    assert network.name == name
    checked_densities(network, network.activity)
    assert any("random" in note for note in network.notes)
    assert workloads.summary(name).endswith((".", "delays"))
    assert set(workloads.options(name)) == set(inspect.signature(BUILTIN[name]).parameters)


@pytest.mark.parametrize(("name", "more"), [*STEPPED.items(), ("pilotnet", {"neuron": "lif"})])
def test_runs_on_random_input(name, more):
    """Three steps with messages in each, and finite outputs. The input is as large as the thresholds need."""
    network = build(name, **more)
    frames = np.random.default_rng(0).integers(0, 2048, (3, network.layers[0].neurons))
    (activity,) = evaluate(network, Frames(frames if network.fixed_point else frames / 2048, 3))
    assert activity.outputs.shape == (3, network.by_name[network.output].neurons)
    assert np.isfinite(activity.outputs).all()
    assert activity.timesteps == 3
    assert (np.diff(activity.indptr) > 0).all()


@pytest.mark.parametrize("name", BUILTIN)
def test_same_seed_same_weights(name):
    first, second, other = (build(name, seed=seed, **SMALL[name]) for seed in (7, "7", 8))
    for a, b, c in zip(first.connections, second.connections, other.connections, strict=True):
        assert a.synapses.weights.tobytes() == b.synapses.weights.tobytes()
        assert np.array_equal(a.source_delay, b.source_delay)
        fixed = a.synapses.kind == "sparse" and (a.synapses.weights == 1).all()  # s5's residual paths
        assert fixed or a.synapses.weights.tobytes() != c.synapses.weights.tobytes()


@pytest.mark.parametrize("name", BUILTIN)
@pytest.mark.parametrize("density", [1.0, 0.25])
def test_density_is_the_share_of_non_zero_weights(name, density):
    network = build(name, density=density, **SMALL[name])
    matrices = [c.synapses.weights for c in network.connections if c.synapses.kind != "sparse"]
    size = sum(weights.size for weights in matrices)
    share = sum(np.count_nonzero(weights) for weights in matrices) / size
    assert abs(share - density) < 5 * np.sqrt(density * (1 - density) / size) + 1e-12


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mlp:widht=3", "no option 'widht': did you mean 'width'. its options are width, depth, inputs, density, seed"),
        ("pilotnet:neurn=lif", "did you mean 'neuron'"),
        ("s5:zzz=1", "no option 'zzz': its options are d_model"),
        ("mlp:width=wide", "option width of network 'mlp' is 'wide': expected int"),
        ("mlp:width=1.5", "'1.5': expected int"),
        ("mlp:density=half", "'half': expected float"),
        ("mlp:width=0", "option width of network 'mlp' is 0: give at least 1"),
        ("mlp:depth=-1", "option depth .* -1"),
        ("mlp:inputs=0", "option inputs .* 0"),
        ("s5:d_model=0", "option d_model .* 0"),
        ("s5:states=0", "option states .* 0"),
        ("s5:depth=0", "option depth .* 0"),
        ("pilotnet:neuron=alif", "'alif': give sdnn or lif"),
        ("akidanet:width=0.3", r"option width of network 'akidanet' is 0.3: choose from \(0.25, 0.5, 1.0\)"),
        ("akidanet:size=100", r"option size of network 'akidanet' is 100: choose from \(96, 128, 160, 192, 224\)"),
        ("yolov2:classes=0", "option classes .* 0: give at least 1"),
        ("yolov2:boxes=-1", "option boxes .* -1"),
        ("ds-cnn-kws:classes=0", "option classes .* 0"),
        *((f"{name}:density={density}", "option density") for name in BUILTIN for density in ("0", "2", "-1", "nan")),
        *((f"{name}:seed=-1", "option seed of network .* is -1: give at least 0") for name in BUILTIN),
    ],
)
def test_wrong_options_are_refused(name, words):
    with pytest.raises(NetworkError, match=words) as refusal:
        load_network(name)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("mlp", {"width": 1.5}),
        ("mlp", {"width": None}),
        ("mlp", {"width": [3]}),
        ("mlp", {"width": float("inf")}),
        ("mlp", {"density": None}),
        ("mlp", {"density": float("nan")}),
        ("pilotnet", {"neuron": 3}),
        ("pilotnet", {"seed": 0.5}),
    ],
)
def test_options_of_wrong_type_are_refused(name, given):
    with pytest.raises(NetworkError, match=f"option {next(iter(given))} of network '{name}'"):
        build(name, **given)


def test_options_may_be_text_numbers_or_numpy_scalars():
    for width, density in (("8", "0.5"), (8, 0.5), (np.int64(8), np.float32(0.5))):
        network = load_network("mlp:depth=2", width=width, density=density)
        assert [layer.neurons for layer in network.layers[1:]] == [8, 8]
    assert load_network("mlp", density=1).name == "mlp"
