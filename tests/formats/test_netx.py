"""lava-dl's `.net` files: the published PilotNet vector, every layer type in small files, and every refusal."""

import itertools
from pathlib import Path

import h5py
import numpy as np
import pytest

from nsim.errors import InputError, NetworkError
from nsim.formats.network import load_network
from nsim.formats.netx import read_netx
from nsim.formats.spikes import load_input
from nsim.network.activity import Evaluator, layer_offsets
from nsim.network.frames_activity import FrameEvaluator
from nsim.network.neurons import FixedLif, FixedSigmaDelta
from nsim.network.synapses import Box, Convolution, Dense
from tests.generators.netx_files import conv, dense, input_layer, loihi, sdnn, write_net

DATA = Path(__file__).parents[3] / "shared" / "data"
NETWORK = DATA / "pilotnet_sdnn_network.net"
needs_data = pytest.mark.skipif(not NETWORK.exists(), reason=f"no {NETWORK.name} in {DATA}: lava-dl's test data")


class Spy:
    """Stands beside a layer's deliveries and keeps what they are given, by timestep."""

    def __init__(self):
        self.given = {}

    def add(self, sending, values, step):
        self.given[step] = sending.copy(), values.copy()  # the arrays are used again


class Recorder(Evaluator):
    """Keeps the messages that leave each layer: {layer: [(step, neurons, values)]}."""

    def __init__(self, network):
        super().__init__(network)
        self.network = network
        self.spies = {layer.name: Spy() for layer in network.layers}
        for layer, state in zip(network.layers, self.layers, strict=True):
            if state.outgoing:
                state.outgoing.append(self.spies[layer.name])

    @property
    def sent(self):
        none = np.zeros(0, np.int64)
        senders = [layer.name for layer in self.network.layers if self.network.outgoing(layer.name)]
        steps = range(1, self.steps + 1)
        return {name: [(step, *self.spies[name].given.get(step, (none, none))) for step in steps] for name in senders}


def states_of(evaluator, network):
    return {layer.name: layer_state.state for layer, layer_state in zip(network.layers, evaluator.layers, strict=True)}


def spikes_of(network, inputs):
    """[step][layer name] -> neurons that send, run on inputs[steps, input neurons]."""
    evaluator = Evaluator(network)
    steps = []
    for external in inputs:
        firing, _ = evaluator.step(np.asarray(external))
        offsets = layer_offsets(network)
        layer_of = np.searchsorted(offsets, firing, "right") - 1
        steps.append(
            {layer.name: (firing[layer_of == k] - offsets[k]).tolist() for k, layer in enumerate(network.layers)}
        )
    return steps


def outputs_of(network, inputs):
    evaluator = Evaluator(network)
    return np.array([evaluator.step(np.asarray(external))[1] for external in inputs])


# The published vector

OUTPUT = [0, -3840, 4880, 361928, 461416, 342568, -315628, -315628, -31026]
MESSAGES = {  # steps 1 to 9
    "input": [9656, 0, 0, 0, 0, 0, 0, 0, 0],
    "conv1": [1568, 4032, 0, 0, 0, 0, 0, 0, 0],
    "conv2": [3696, 4368, 5107, 0, 0, 0, 0, 0, 0],
    "conv3": [4576, 5170, 3652, 4481, 0, 0, 0, 0, 0],
    "conv4": [2160, 2320, 1480, 1420, 1954, 0, 0, 0, 0],
    "dense6": [61, 51, 44, 55, 3, 39, 0, 0, 0],
    "dense7": [42, 50, 28, 25, 32, 13, 37, 0, 0],
    "dense8": [10, 10, 7, 6, 9, 9, 0, 3, 0],
}
SYNOPS = {
    "input": [496152, 0, 0, 0, 0, 0, 0, 0, 0],
    "conv1": [108864, 290412, 0, 0, 0, 0, 0, 0, 0],
    "conv2": [929280, 1098240, 1280192, 0, 0, 0, 0, 0, 0],
    "conv3": [1198080, 1363200, 929280, 1140672, 0, 0, 0, 0, 0],
    "conv4": [216000, 232000, 148000, 142000, 195400, 0, 0, 0, 0],
    "dense6": [3050, 2550, 2200, 2750, 150, 1950, 0, 0, 0],
    "dense7": [420, 500, 280, 250, 320, 130, 370, 0, 0],
    "dense8": [10, 10, 7, 6, 9, 9, 0, 3, 0],
}
NON_ZERO_SYNOPS = {
    "input": 451734,
    "conv1": 298856,
    "conv2": 2332044,
    "conv3": 3049084,
    "conv4": 447394,
    "dense6": 10290,
    "dense7": 2118,
    "dense8": 54,
}
ABSOLUTE_MESSAGES = {
    "input": 16343680,
    "conv1": 8229040,
    "conv2": 5767036,
    "conv3": 7077375,
    "conv4": 5286604,
    "dense6": 693442,
    "dense7": 373056,
    "dense8": 165697,
}
SIGMA = {  # sum, sum of magnitudes
    "conv1": (-159649920, 1116184960),
    "conv2": (-95957372, 310560412),
    "conv3": (-148128364, 237586168),
    "conv4": (-89015296, 128332020),
    "dense6": (-11251746, 13279310),
    "dense7": (375584, 2975964),
    "dense8": (-655494, 655494),
    "dense9": (-31026, 31026),
}
NOWHERE = {"input": (97, 0, 0), "conv1": (98, 173, 0)}  # messages without a target in steps 1, 2, 3: stride skips them


@pytest.fixture(scope="module")
def pilotnet():
    """lava-dl's network after 9 steps of its frame, with what was sent and what was read."""
    network = read_netx(NETWORK)
    frame = np.load(DATA / "pilotnet_sdnn_input.npy")[..., 0].transpose(2, 1, 0).ravel()  # (W, H, C) to (C, H, W)
    recorder = Recorder(network)
    outputs = [recorder.step(frame)[1].item() for _ in range(9)]
    return recorder, outputs


@needs_data
def test_pilotnet_sdnn_lava_dl_netx_vector(pilotnet):
    """Output of every step, exactly: zero error against lava-dl's own file and against the listed numbers."""
    _, outputs = pilotnet
    assert outputs == OUTPUT == np.load(DATA / "pilotnet_sdnn_output.npy").ravel().tolist()


@needs_data
def test_pilotnet_sdnn_messages_of_each_layer_and_step(pilotnet):
    recorder, _ = pilotnet
    found = {name: [len(neurons) for _, neurons, _ in sent] for name, sent in recorder.sent.items() if sent}
    assert found == MESSAGES
    assert sum(map(sum, found.values())) == 56174
    for name, expected in ABSOLUTE_MESSAGES.items():
        assert sum(np.abs(values).sum() for _, _, values in recorder.sent[name]) == expected


@needs_data
def test_pilotnet_sdnn_synops_of_each_layer_and_step(pilotnet):
    """Zero weights count, padding does not; positions that the stride skips have messages with no synops."""
    recorder, _ = pilotnet
    total, non_zero = 0, 0
    for connection in recorder.network.connections:
        whole = Box.whole(connection.synapses.target_shape)
        fan_out, stored = connection.synapses.fan_out(whole), connection.synapses.fan_out(whole, stored=True)
        sent = [neurons for _, neurons, _ in recorder.sent[connection.source]]
        assert [fan_out[neurons].sum() for neurons in sent] == SYNOPS[connection.source]
        assert sum(stored[neurons].sum() for neurons in sent) == NON_ZERO_SYNOPS[connection.source]
        nowhere = tuple(np.count_nonzero(fan_out[neurons] == 0) for neurons in sent[:3])
        assert nowhere == NOWHERE.get(connection.source, (0, 0, 0))
        total, non_zero = total + sum(SYNOPS[connection.source]), non_zero + NON_ZERO_SYNOPS[connection.source]
    assert (total, non_zero) == (9782746, 6591574)


@needs_data
def test_pilotnet_sdnn_sigma_after_nine_steps(pilotnet):
    recorder, _ = pilotnet
    for name, expected in SIGMA.items():
        sigma = states_of(recorder, recorder.network)[name]["sigma"]
        assert (sigma.sum(), np.abs(sigma).sum()) == expected


@needs_data
def test_pilotnet_sdnn_frame_followed_by_zeros():
    """The same 9 outputs, but the input layer sends again in step 2, to take its frame back."""
    network = read_netx(NETWORK)
    frame = np.load(DATA / "pilotnet_sdnn_input.npy")[..., 0].transpose(2, 1, 0).ravel()
    recorder = Recorder(network)
    outputs = [recorder.step(frame * (step == 0))[1].item() for step in range(9)]
    assert outputs == OUTPUT
    assert [len(neurons) for _, neurons, _ in recorder.sent["input"]] == [9656, 9656, *[0] * 7]


@needs_data
def test_pilotnet_sdnn_shapes():
    network = read_netx(NETWORK)
    assert [(layer.name, layer.shape) for layer in network.layers] == [
        ("input", (3, 33, 100)),
        ("conv1", (24, 16, 49)),
        ("conv2", (36, 7, 24)),
        ("conv3", (64, 4, 22)),
        ("conv4", (64, 2, 20)),
        *((f"dense{k}", (n, 1, 1)) for k, n in ((6, 100), (7, 50), (8, 10), (9, 1))),
    ]
    assert (network.name, network.input, network.output) == (NETWORK.stem, "input", "dense9")
    assert [layer.on_chip for layer in network.layers] == [False] + [True] * 8


# Small files


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).integers(-9, 10, shape)


def test_convolution_flatten_and_dense(tmp_path):
    """Geometry is (H, W), the kernel as in the file; flatten is row-major over (C, H, W)."""
    kernel, matrix = numbers(4, 1, 3, 2), numbers(5, 4 * 3 * 6)
    layers = [
        input_layer(2, 6, 8),
        conv(
            kernel,
            (4, 3, 6),
            sdnn(3),
            stride=np.array([2, 1]),
            padding=np.array([1, 0]),
            dilation=np.array([1, 2]),
            groups=2,
            bias=np.array([1, 2, 3, 4.0]),
        ),
        {"type": "flatten", "shape": np.array([72, 1, 1])},
        dense(matrix, sdnn(sigma_output=True)),
    ]
    network = read_netx(write_net(tmp_path / "small.net", layers))
    assert [layer.name for layer in network.layers] == ["input", "conv1", "dense3"]
    assert [layer.shape for layer in network.layers] == [(2, 6, 8), (4, 3, 6), (5, 1, 1)]
    first, second = (connection.synapses for connection in network.connections)
    assert isinstance(first, Convolution)
    assert (first.stride, first.padding, first.dilation, first.groups) == ((2, 1), (1, 0), (1, 2), 2)
    assert (first.kernel == kernel).all()
    assert isinstance(second, Dense)
    assert (second.matrix == matrix).all()
    hidden, output = (layer.neuron for layer in network.layers[1:])
    assert (hidden.role, hidden.threshold, hidden.wraps) == ("hidden", 3, True)
    assert (hidden.bias == np.repeat([1, 2, 3, 4], 18)).all()
    assert (output.role, output.wraps) == ("output", False)
    assert network.output == "dense3"


@pytest.mark.parametrize("value", [2, np.array(2), np.array([2]), np.array([2, 2])], ids=repr)
def test_geometry_is_a_number_or_a_pair(tmp_path, value):
    layers = [input_layer(1, 7, 7), conv(numbers(1, 1, 3, 3), (1, 3, 3), stride=value)]
    (connection,) = read_netx(write_net(tmp_path / "a.net", layers)).connections
    assert connection.synapses.stride == (2, 2)


def test_geometry_may_be_absent(tmp_path):
    layers = [input_layer(1, 7, 7), conv(numbers(1, 1, 3, 3), (1, 5, 5))]
    for name in ("stride", "padding", "dilation", "groups"):
        del layers[1][name]
    (connection,) = read_netx(write_net(tmp_path / "a.net", layers)).connections
    convolution = connection.synapses
    assert (convolution.stride, convolution.padding, convolution.groups) == ((1, 1), (0, 0), 1)


def test_trailing_kernel_axis(tmp_path):
    kernel = numbers(2, 3, 3, 3)
    layers = [input_layer(3, 5, 5), conv(kernel[..., None], (2, 3, 3))]
    (connection,) = read_netx(write_net(tmp_path / "a.net", layers)).connections
    assert (connection.synapses.kernel == kernel).all()


def test_flattened_dense_weights(tmp_path):
    matrix = numbers(3, 4)
    flat = dense(matrix) | {"weight": matrix.ravel().astype(np.float32), "shape": np.array([3, 1, 1])}
    (connection,) = read_netx(write_net(tmp_path / "a.net", [input_layer(4), flat])).connections
    assert (connection.synapses.matrix == matrix).all()


@pytest.mark.parametrize("form", [str, lambda kind: np.bytes_(kind), lambda kind: np.array([kind], "S10")])
def test_layer_type_is_an_array_or_a_scalar(tmp_path, form):
    layers = [input_layer(4), dense(numbers(3, 4))]
    for layer in layers:
        layer["type"] = form(layer["type"])
    path = tmp_path / "a.net"
    with h5py.File(write_net(path, layers), "a") as file:  # str goes through h5py as a variable-length scalar
        if form is str:
            for number, layer in enumerate(layers):
                del file[f"layer/{number}/type"]
                file[f"layer/{number}/type"] = layer["type"]
    assert [layer.name for layer in read_netx(path).layers] == ["input", "dense1"]


def test_layers_are_numbered_not_spelled(tmp_path):
    """Layer 10 comes after layer 2, though HDF5 lists it before."""
    layers = [input_layer(2), *(dense(numbers(n, n - 1)) for n in range(3, 14))]
    network = read_netx(write_net(tmp_path / "a.net", layers))
    assert [layer.neurons for layer in network.layers] == list(range(2, 14))
    assert [layer.name for layer in network.layers[-2:]] == ["dense10", "dense11"]


def test_floats_are_truncated(tmp_path):
    layers = [input_layer(2), dense([[1.9, -1.9]], bias=np.array([2.9], np.float32))]
    network = read_netx(write_net(tmp_path / "a.net", layers))
    assert network.connections[0].synapses.matrix.tolist() == [[1, -1]]
    assert network.layers[1].neuron.bias.tolist() == [2]


def test_dense_weights_of_mixed_sign_are_clipped(tmp_path):
    """What lava-dl's weight optimiser leaves of them; one-sided ones keep their size."""
    for given, kept in (([-300, -256, 254, 255], [-256, -256, 254, 254]), ([0, 1, 255, 300], [0, 1, 255, 300])):
        network = read_netx(write_net(tmp_path / "a.net", [input_layer(4), dense([given])]))
        assert network.connections[0].synapses.matrix.tolist() == [kept]


def test_all_negative_dense_weights_carry_a_note(tmp_path):
    network = read_netx(write_net(tmp_path / "a.net", [input_layer(2), dense([[-128, -3]])]))
    assert network.connections[0].synapses.matrix.tolist() == [[-128, -3]]
    assert "-128" in network.notes[0]
    assert not read_netx(write_net(tmp_path / "b.net", [input_layer(2), dense([[-127, -3]])])).notes


@pytest.mark.parametrize(
    ("weights", "bits"),
    [([0, 0], 1), ([1, 1], 1), ([3, 1], 2), ([-4, 4], 2), ([-8, 6], 4), ([127, -128], 9), ([64, 128], 2), ([-3, 0], 2)],
)
def test_weight_bits_leave_out_common_powers_of_two(tmp_path, weights, bits):
    """Magnitude bits after the common shift, and one for the sign if both occur."""
    network = read_netx(write_net(tmp_path / "a.net", [input_layer(2), dense([weights])]))
    assert network.connections[0].weight_bits == bits


def test_input_of_sigma_delta_networks_is_the_host(tmp_path):
    """It encodes the input; an input of LIF neurons is a layer of the chip, driven by its bias."""
    network = read_netx(write_net(tmp_path / "a.net", [input_layer(2, neuron=sdnn(5)), dense([[1, 2]])]))
    assert not network.layers[0].on_chip
    assert isinstance(network.layers[0].neuron, FixedSigmaDelta)
    assert (network.layers[0].neuron.role, network.layers[0].neuron.threshold) == ("input", 5)
    network = read_netx(write_net(tmp_path / "b.net", [input_layer(2, neuron=loihi()), dense([[1, 2]], loihi())]))
    assert network.layers[0].on_chip
    assert isinstance(network.layers[0].neuron, FixedLif)
    assert network.layers[0].neuron.is_input
    assert not network.layers[1].neuron.is_input


@pytest.mark.parametrize("model", ["LOIHI", "CUBA"])
def test_lif_parameters(tmp_path, model):
    neuron = loihi(1024, 99, 80, type=model, refDelay=1, wgtExp=0)
    layers = [input_layer(2, neuron=neuron), dense([[1, 2]], neuron, bias=np.array([7.0]))]
    lif = read_netx(write_net(tmp_path / "a.net", layers)).layers[1].neuron
    assert (lif.current_decay, lif.voltage_decay, lif.threshold, lif.bias.tolist()) == (1024, 99, 80, [7])
    assert (lif.reset_interval, lif.wraps, lif.graded) == (None, False, False)


def test_dense_layer_without_neuron_is_lif(tmp_path):
    layer = dense([[1, 2]])
    del layer["neuron"]
    lif = read_netx(write_net(tmp_path / "a.net", [input_layer(2, neuron=loihi()), layer])).layers[1].neuron
    assert isinstance(lif, FixedLif)
    assert (lif.current_decay, lif.voltage_decay, lif.threshold) == (0, 4096, 2**17)


def test_input_scaling_of_the_file_is_not_applied(tmp_path):
    """lava-dl's loader leaves it to whoever prepares the data, which comes with it applied."""
    layers = [input_layer(2, neuron=loihi()) | {"weight": 32, "bias": 5}, dense([[1, 2]], loihi())]
    network = read_netx(write_net(tmp_path / "a.net", layers))
    assert np.all(network.layers[0].neuron.bias == 0)


def test_binary_sigma_delta_messages(tmp_path):
    """messageBits 0: any message counts as 1, whatever its value."""
    layers = [input_layer(2, neuron=sdnn(messageBits=0)), dense([[3, 5]], sdnn(sigma_output=True))]
    network = read_netx(write_net(tmp_path / "a.net", layers))
    assert not network.layers[0].neuron.graded
    assert outputs_of(network, [[7, -7], [7, -7], [9, -7]]).ravel().tolist() == [0, 8, 8]
    layers[0]["neuron"] = sdnn(messageBits=16)
    network = read_netx(write_net(tmp_path / "a.net", layers))
    assert network.layers[0].neuron.graded
    assert outputs_of(network, [[7, -7], [7, -7]]).ravel().tolist() == [0, (3 * 7 - 5 * 7) * 64]


def test_recurrent_dense_layer_hears_itself_a_step_later(tmp_path):
    """An impulse on neuron 0 goes round a ring of three, one step per neuron."""
    forget = loihi(4096, 4096, 0)
    ring = np.roll(np.eye(3), 1, axis=0)
    layers = [
        input_layer(1, neuron=forget),
        dense([[1], [0], [0]], forget) | {"type": "dense_rec", "weight_rec": ring.astype(np.float32)},
    ]
    network = read_netx(write_net(tmp_path / "a.net", layers))
    assert [c.name for c in network.connections] == ["input -> dense_rec1", "dense_rec1 -> dense_rec1"]
    sent = [step["dense_rec1"] for step in spikes_of(network, [[1]] + [[0]] * 7)]
    assert sent == [[], [0], [1], [2], [0], [1], [2], [0]]


@pytest.mark.parametrize(
    ("delay", "arrivals"),
    [
        (0, {0: 2, 1: 2}),
        (3, {0: 5, 1: 5}),
        (np.array([2.0]), {0: 4, 1: 4}),
        (np.array([0, 4]), {0: 2, 1: 6}),
        (100, {0: 64, 1: 64}),
        (np.array([61, 999]), {0: 63, 1: 64}),
    ],
    ids=str,
)
def test_delay_of_all_or_by_target(tmp_path, delay, arrivals):
    """Sent in step t, a message arrives in step t + 1 + d, with d clipped to 62."""
    forget = loihi(4096, 4096, 0)
    layers = [input_layer(3, neuron=forget), dense(np.ones((2, 3)), forget, delay=delay)]
    network = read_netx(write_net(tmp_path / "a.net", layers))
    sent = [step["dense1"] for step in spikes_of(network, [[1, 0, 0]] + [[0, 0, 0]] * 66)]
    assert {neuron: step for step, neurons in enumerate(sent, start=1) for neuron in neurons} == arrivals
    assert sum(map(len, sent)) == 2


def test_delay_by_source(tmp_path):
    """A vector that does not fit the layer's own neurons is taken by source."""
    forget = loihi(4096, 4096, 0)
    layers = [input_layer(3, neuron=forget), dense(np.ones((2, 3)), forget, delay=np.array([0, 5, 70]))]
    network = read_netx(write_net(tmp_path / "a.net", layers))
    for source, step in ((0, 2), (1, 7), (2, 64)):
        frames = np.zeros((66, 3), int)
        frames[0, source] = 1
        sent = [at["dense1"] for at in spikes_of(network, frames)]
        assert [k for k, neurons in enumerate(sent, start=1) if neurons] == [step]


def test_delay_by_target_comes_before_by_source(tmp_path):
    layers = [input_layer(2), dense(np.ones((2, 2)), delay=np.array([1, 2]))]
    (connection,) = read_netx(write_net(tmp_path / "a.net", layers)).connections
    assert (connection.source_delay, connection.target_delay.tolist()) == (0, [1, 2])


def test_delay_of_a_convolution_is_ignored(tmp_path):
    layers = [input_layer(1, 3, 3), conv(numbers(1, 1, 3, 3), (1, 1, 1), delay=9)]
    (connection,) = read_netx(write_net(tmp_path / "a.net", layers)).connections
    assert (connection.source_delay, connection.target_delay) == (0, 0)


@pytest.mark.parametrize(("interval", "offset"), [(4, 0), (5, 3), (1, 0), (6, -2)])
def test_periodic_reset_moves_on_one_step_per_layer(tmp_path, interval, offset):
    """Layer k, flatten not counted, is reset before every step t with t mod R = (offset + k + 1) mod R."""
    keep = loihi(4096, 0, 2**17)
    layers = [
        input_layer(1, 1, 1, neuron=keep),
        {"type": "flatten"},
        dense([[0]], keep, bias=np.array([1])),
        dense([[0]], keep, bias=np.array([1])),
    ]
    path = write_net(tmp_path / "a.net", layers)
    network = read_netx(path, reset_interval=interval, reset_offset=offset)
    evaluator = Evaluator(network)
    for step in range(1, 20):
        evaluator.step(np.array([1]))
        for k, layer in enumerate(network.layers):
            resets = [t for t in range(1, step + 1) if t % interval == (offset + k + 1) % interval]
            since = resets[-1] if resets else 1
            assert states_of(evaluator, network)[layer.name]["v"][0] == (step - since + 1) * 64
    by_name = load_network(f"{path}:reset_interval={interval},reset_offset={offset}")
    assert [layer.neuron.reset_phase for layer in by_name.layers] == [offset + 1, offset + 2, offset + 3]


def test_no_reset_without_an_interval(tmp_path):
    path = write_net(tmp_path / "a.net", [input_layer(1, neuron=loihi(4096, 0, 2**17)), dense([[0]], loihi())])
    network = read_netx(path)
    evaluator = Evaluator(network)
    for step in range(1, 40):
        evaluator.step(np.array([1]))
        assert states_of(evaluator, network)["input"]["v"][0] == step * 64


# Refusals


def changed(number, **fields):
    """A sound file of input, conv, flatten and dense with some fields of one layer replaced; None removes one."""
    layers = [
        input_layer(2, 4, 4),
        conv(np.ones((3, 2, 3, 3)), (3, 2, 2), bias=np.zeros(3)),
        {"type": "flatten", "shape": np.array([12, 1, 1])},
        dense(np.ones((5, 12)), bias=np.zeros(5)),
    ]
    layers[number] |= fields
    layers[number] = {name: value for name, value in layers[number].items() if value is not None}
    return layers


@pytest.mark.parametrize("kind", ["average", "pool", "convT", "unpool", "concat"])
def test_layers_that_lava_dl_refuses(tmp_path, kind):
    path = write_net(tmp_path / "a.net", changed(2, type=kind))
    with pytest.raises(NetworkError, match=f"layer 2 is of type '{kind}'"):
        read_netx(path)


NAN, INFINITE = np.full((5, 12), np.nan), np.full((5, 12), -np.inf)
REFUSED = {
    "unknown type": (changed(2, type="softmax"), "layer 2 is of unknown type 'softmax'"),
    "type of two": (changed(2, type=np.array(["conv", "conv"], "S10")), "layer 2 is of unknown type"),
    "type not text": (changed(2, type=np.bytes_(b"\xff\xfe")), "layer 2 is of unknown type"),
    "no type": (changed(3, type=None), "layer 3 has no field 'type'"),
    "no shape": (changed(1, shape=None), "layer 1 has no field 'shape'"),
    "no conv weight": (changed(1, weight=None), "no field 'weight'"),
    "no dense weight": (changed(3, weight=None), "no field 'weight'"),
    "no recurrent weight": (changed(3, type="dense_rec"), "no field 'weight_rec'"),
    "no neuron": (changed(1, neuron=None), "layer 1 has neurons of type 'missing'"),
    "no threshold": (changed(3, neuron={"type": "SDNN"}), "layer 3 has no field 'vThMant'"),
    "no decay": (changed(3, neuron={"type": "LOIHI", "vThMant": 1}), "layer 3 has no field 'iDecay'"),
    "decay out of range": (changed(3, neuron=loihi(4097)), r"layer 3 has decays \(4097, 128\)"),
    "threshold of two": (changed(3, neuron=sdnn(np.array([1, 2]))), "vThMant has 2 values: expected one"),
    "threshold of none": (changed(3, neuron=sdnn(np.zeros(0))), "vThMant has 0 values: expected one"),
    "threshold as text": (changed(3, neuron=sdnn("high")), "vThMant holds <U4, not numbers"),
    "neuron as dataset": (changed(3, neuron=7), "layer 3 has a dataset 'neuron'"),
    "RF": (changed(3, neuron=sdnn(type="RF")), "layer 3 has neurons of type 'RF'"),
    "RF_PHASE": (changed(3, neuron=sdnn(type="RF_PHASE")), "layer 3 has neurons of type 'RF_PHASE'"),
    "shape of two": (changed(1, shape=np.array([3, 2])), r"layer 1 has shape \[3, 2\]"),
    "shape with zero": (changed(1, shape=np.array([3, 0, 2])), r"layer 1 has shape \[3, 0, 2\]"),
    "shape of floats": (changed(1, shape=np.array([3.0, 2, 2])), "layer 1 has shape"),
    "shape not the convolution's": (changed(1, shape=np.array([3, 2, 3])), r"gives \(3, 2, 2\)"),
    "kernel for other channels": (changed(1, weight=np.ones((3, 1, 3, 3))), "2 input channels: expected 1"),
    "kernel of three axes": (changed(1, weight=np.ones((3, 3, 3))), "kernel of shape .3, 3, 3"),
    "kernel with a long last axis": (changed(1, weight=np.ones((3, 2, 3, 3, 2))), "kernel of shape"),
    "matrix too large": (changed(3, weight=np.ones((5, 13))), "joins 12 to 5 neurons: expected 60"),
    "recurrent not square": (
        changed(3, type="dense_rec", weight_rec=np.ones((5, 4))),
        "joins 5 to 5 neurons: expected 25",
    ),
    "biases": (changed(1, bias=np.zeros(4)), "layer 1 has 4 biases for 3 channels"),
    "bias NaN": (changed(3, bias=np.full(5, np.nan)), "layer 3 bias has 5 values that are NaN"),
    "weight NaN": (changed(3, weight=NAN), "layer 'dense3' weight has 60 values that are NaN or infinite"),
    "weight infinite": (changed(3, weight=INFINITE), "weight has 60 values that are NaN or infinite"),
    "weight huge": (changed(3, weight=np.full((5, 12), 1e30)), "beyond Loihi's 24 bits"),
    "weight least integer": (changed(3, weight=np.full((5, 12), -(2**63))), "beyond Loihi's 24 bits"),
    "weight as text": (changed(3, weight="none"), "weight holds"),
    "stride negative": (changed(1, stride=np.array([1, -1])), r"stride \[1, -1\]"),
    "stride zero": (changed(1, stride=0), r"stride \[0\]"),
    "stride of three": (changed(1, stride=np.array([1, 1, 1])), r"stride \[1, 1, 1\]"),
    "padding negative": (changed(1, padding=np.array([0, -1])), r"padding \[0, -1\]"),
    "dilation zero": (changed(1, dilation=np.array([0, 1])), r"dilation \[0, 1\]"),
    "groups zero": (changed(1, groups=0), "0 groups"),
    "groups of two": (changed(1, groups=np.array([1, 1])), "groups has 2 values"),
    "groups NaN": (changed(1, groups=np.nan), "groups has 1 values that are NaN"),
    "delays": (changed(3, delay=np.zeros(7)), r"has 7 delays: expected 1, 5 \(its neurons\) or 12"),
    "delay negative": (changed(3, delay=-1), "delay of -1"),
    "two inputs": (changed(1, type="input"), "layer 1 is 'input'"),
    "input not first": (changed(0)[1:], "layer 0 is 'conv'"),
    "flatten first": (changed(0)[2:], "layer 0 is 'flatten'"),
    "input only": (changed(0)[:1], "holds 1 layers of neurons"),
    "no layers": ([], "holds 0 layers of neurons"),
    "convolution behind flatten": ([*changed(0)[:3], changed(0)[1]], "'conv3' is a convolution behind a flatten"),
    "gap": (dict(zip("013", changed(0), strict=False)), "3 layers and one is named layer/3"),
    "numbered from one": (dict(zip("1234", changed(0), strict=True)), "4 layers and one is named layer/4"),
    "named": (dict(zip(("0", "1", "2", "last"), changed(0), strict=True)), "layer/last"),
    "leading zero": (dict(zip(("0", "1", "2", "03"), changed(0), strict=True)), "layer/03"),
    "superscript": (dict(zip(("0", "1", "²", "3"), changed(0), strict=True)), "layer/²"),
    "layer as dataset": (dict(zip("0123", [*changed(0)[:3], 5], strict=True)), "layer/3 is a dataset"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(tmp_path, case):
    """In one line that names the file, or the layers of a connection."""
    layers, words = REFUSED[case]
    path = write_net(tmp_path / "a.net", layers)
    with pytest.raises(NetworkError, match=words) as refusal:
        read_netx(path)
    assert "\n" not in str(refusal.value)


def test_sound_file_of_the_refusals_is_read(tmp_path):
    assert len(read_netx(write_net(tmp_path / "a.net", changed(0))).layers) == 3


def test_not_a_net_file(tmp_path):
    text, empty, other, flat = (tmp_path / f"{name}.net" for name in ("text", "empty", "other", "flat"))
    text.write_text("layer: input\n" * 100)
    empty.write_bytes(b"")
    with h5py.File(other, "w") as file:
        file["weights"] = 1
    with h5py.File(flat, "w") as file:
        file["layer"] = np.zeros(3)
    for path in (text, empty):
        with pytest.raises(NetworkError, match=f"{path.name}.*not an HDF5 file"):
            read_netx(path)
    for path in (other, flat):
        with pytest.raises(NetworkError, match="no group 'layer'"):
            read_netx(path)
    with pytest.raises(NetworkError, match="no such file"):
        read_netx(tmp_path / "missing.net")
    with pytest.raises(NetworkError, match="directory"):
        read_netx(tmp_path)


def test_files_cut_short_are_refused(tmp_path):
    path = write_net(tmp_path / "whole.net", changed(0))
    content = path.read_bytes()
    cut = tmp_path / "cut.net"
    for size in [*range(0, len(content), max(1, len(content) // 40)), len(content) - 1]:
        cut.write_bytes(content[:size])
        with pytest.raises(NetworkError, match="cut"):
            read_netx(cut)


def test_damaged_files_are_read_or_refused(tmp_path):
    """Bytes overwritten at random: never anything but a network or a NetworkError."""
    content = write_net(tmp_path / "whole.net", changed(0)).read_bytes()
    rng = np.random.default_rng(0)
    damaged = tmp_path / "damaged.net"
    for _ in range(60):
        data = bytearray(content)
        for place in rng.integers(0, len(data), rng.integers(1, 6)):
            data[place] = rng.integers(0, 256)
        damaged.write_bytes(data)
        try:
            read_netx(damaged)
        except NetworkError as refusal:
            assert "\n" not in str(refusal)


@pytest.mark.parametrize("interval", [0, -4])
def test_reset_interval_must_be_positive(tmp_path, interval):
    path = write_net(tmp_path / "a.net", changed(0))
    with pytest.raises(NetworkError, match=f"reset_interval is {interval}"):
        read_netx(path, reset_interval=interval)


# By name


def test_load_network_reads_net_files(tmp_path):
    path = write_net(tmp_path / "small.net", changed(0))
    assert load_network(path).name == load_network(str(path)).name == "small"
    assert load_network(path, reset_interval=8).name == "small"


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (":width=3", "no option 'width': its options are reset_interval, reset_offset, num_layers, skip_layers"),
        (":reset_interval=often", "reset_interval .* 'often'"),
        (":reset_interval=", "reset_interval .* ''"),
        (":reset_interval=4,oops", "'oops' is not of the form name=value"),
    ],
)
def test_wrong_options_are_refused(tmp_path, tail, words):
    path = write_net(tmp_path / "a.net", changed(0))
    with pytest.raises(NetworkError, match=words):
        load_network(f"{path}{tail}")


@pytest.mark.parametrize(
    ("name", "words"), [("pilotnt", "did you mean 'pilotnet'"), ("model.xyz", r"a file ending in \.net, \.nir, \.s5")]
)
def test_unknown_networks_are_refused(name, words):
    with pytest.raises(NetworkError, match=words):
        load_network(name)


def test_lif_network_against_a_hand_calculation(tmp_path):
    """Bias 20 and threshold 50 fire the input every third step; a weight of 30 then needs two of its spikes."""
    keep = loihi(4096, 0, 50)
    network = read_netx(write_net(tmp_path / "a.net", [input_layer(1, neuron=keep), dense([[30]], keep)]))
    steps = spikes_of(network, itertools.repeat([20], 13))
    assert [t for t, step in enumerate(steps, start=1) if step["input"]] == [3, 6, 9, 12]
    assert [t for t, step in enumerate(steps, start=1) if step["dense1"]] == [7, 13]


def quantized(bits=4, **more):
    return {"type": "QUANTIZED", "bits": bits} | more


def quantized_layers(hidden=None, last=None, **fields):
    kernel = np.arange(9).reshape(1, 1, 3, 3) - 4
    return [
        input_layer(1, 4, 4, neuron=quantized(8)),
        conv(kernel, (1, 2, 2), hidden or quantized(4, step=3), padding=1, weight_bits=4, max_pool=2, bias=[5])
        | fields,
        dense(np.ones((2, 4)), last or quantized(0), weight_bits=2),
    ]


def test_quantized_layers_are_rectifiers_of_the_largest_sums(tmp_path):
    network = read_netx(write_net(tmp_path / "quantized.net", quantized_layers()))
    picture = np.arange(16).reshape(4, 4)
    padded = np.pad(picture, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    sums = (windows * (np.arange(9).reshape(3, 3) - 4)).sum(axis=(2, 3))
    largest = sums.reshape(2, 2, 2, 2).max(axis=(1, 3)).ravel()
    levels = np.clip((largest + 5) // 3, 0, 15)
    assert FrameEvaluator(network).evaluate(picture.ravel()).outputs.tolist() == [[levels.sum()] * 2]
    assert [connection.weight_bits for connection in network.connections] == [4, 2]


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        (quantized_layers({"type": "QUANTIZED"}), "no field 'bits'"),
        (quantized_layers(quantized(17)), "17 bits"),
        (quantized_layers(quantized(4, step=0)), "step of a quantised layer is 0"),
        (quantized_layers(sdnn()), "only convolutions with QUANTIZED"),
        (quantized_layers(max_pool=0), "max_pool 0"),
        (quantized_layers(max_pool=3), r"gives \(1, 4, 4\), not the layer's \(1, 6, 6\)"),
        (quantized_layers(weight_bits=[4, 4]), "weight_bits has 2 values"),
        (quantized_layers(last=quantized(0, step=[1, 2])), "step has 2 values"),
    ],
)
def test_quantized_layers_that_are_wrong_are_refused(tmp_path, layers, told):
    with pytest.raises(NetworkError, match=told):
        read_netx(write_net(tmp_path / "wrong.net", layers))


# Parts of files, and files without an input


def test_a_file_that_begins_with_a_dense_layer(tmp_path):
    """It computes what it does behind an input layer that passes spikes on."""
    rng = np.random.default_rng(0)
    weights = [rng.integers(-100, 100, (6, 4)), rng.integers(-100, 100, (3, 6))]
    layers = [dense(matrix, loihi(4096, 500, 1)) for matrix in weights]
    network = read_netx(write_net(tmp_path / "a.net", layers))
    assert [(layer.name, layer.neurons, layer.on_chip) for layer in network.layers] == [
        ("input", 4, False), ("dense0", 6, True), ("dense1", 3, True)]  # fmt: skip
    assert "host sends 4 inputs to layer 0" in network.notes[0]
    inputs = (rng.random((20, 4)) < 0.5).astype(int)
    padded = np.concatenate([inputs, np.zeros((2, 4), int)])
    spikes, v = inputs, [np.zeros(6, int), np.zeros(3, int)]
    expected = []
    for frame in spikes:  # layer by layer: in the file's integers, two timesteps ahead
        for k, matrix in enumerate(weights):
            v[k] = np.sign(v[k]) * (np.abs(v[k]) * (4096 - 500) >> 12) + (np.clip(matrix, -256, 254) @ frame << 6)
            frame = (v[k] > 64).astype(int)
            v[k] = v[k] * (1 - frame)
        expected.append(frame)
    np.testing.assert_array_equal(outputs_of(network, padded)[2:], expected)
    assert np.any(expected)


def test_a_network_of_the_tutorial():
    path = Path(__file__).parents[3] / "shared" / "data" / "oxford_network.net"
    if not path.exists():
        pytest.skip("oxford_network.net is not in the folder for extra tests, ../shared/data")
    network = read_netx(path)
    assert [layer.neurons for layer in network.layers] == [200, 256, 200]
    rng = np.random.default_rng(0)
    assert outputs_of(network, rng.random((50, 200)) < 0.1).any()


def test_an_input_without_neurons_passes_on_what_it_is_given(tmp_path):
    layers = [{"type": "input", "shape": np.array([2, 1, 1])}, dense([[1, 2]], sdnn(sigma_output=np.bool_(True)))]
    network = read_netx(write_net(tmp_path / "a.net", layers))
    assert not network.layers[0].on_chip and outputs_of(network, [[3, 4], [0, 0]])[1][0] == 3 * 1 + 4 * 2


def test_parts_of_a_file(tmp_path):
    path = write_net(tmp_path / "a.net", changed(3))
    first = load_network(f"{path}:num_layers=2")
    assert [layer.name for layer in first.layers] == ["input", "conv1"] and first.output == "conv1"
    rest = load_network(f"{path}:skip_layers=2")
    assert [(layer.name, layer.shape) for layer in rest.layers] == [("input", (3, 2, 2)), ("dense3", (5, 1, 1))]
    assert "layers 0 to 1 are skipped" in rest.notes[0]
    np.testing.assert_array_equal(rest.connections[0].synapses.matrix, np.ones((5, 12)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("skip_layers=4", "has 4 layers, of which 4 are to be skipped and 4 to be read"),
        ("skip_layers=-1", "of which -1 are to be skipped"),
        ("num_layers=9", "and 9 to be read"),
        ("num_layers=0", "and 0 to be read"),
        ("num_layers=some", "num_layers of .* is 'some': expected a whole number"),
        ("skip_layers=3", "layer 2 is a flatten layer, which has no neurons: skip one less"),
    ],
)
def test_parts_that_are_none(tmp_path, options, words):
    path = write_net(tmp_path / "a.net", changed(3))
    with pytest.raises(NetworkError, match=words):
        load_network(f"{path}:{options}")


def test_an_average_at_the_end_is_left_to_the_host(tmp_path):
    path = write_net(tmp_path / "a.net", [*changed(3), {"type": "average", "shape": np.array([1])}])
    network = read_netx(path)
    assert network.output == "dense3" and "layer 4 (average) is left to the host" in network.notes[-1]


def test_resonators_are_refused_by_name(tmp_path):
    for kind in ("RF", "RF_PHASE", "RF_IZ"):
        path = write_net(tmp_path / "a.net", changed(3, neuron=sdnn(type=kind)))
        with pytest.raises(NetworkError, match=f"type '{kind}', resonate-and-fire, which no chip here has"):
            read_netx(path)


def test_pointers_of_git_lfs_are_called_so(tmp_path):
    for name in ("a.net", "a.nir", "a.npy"):
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    for name in ("a.net", "a.nir"):
        with pytest.raises(NetworkError, match=r"is a Git LFS pointer, .*: fetch that by git lfs pull"):
            load_network(tmp_path / name)
    with pytest.raises(InputError, match="is a Git LFS pointer"):
        load_input(tmp_path / "a.npy", (1, 1, 1))
