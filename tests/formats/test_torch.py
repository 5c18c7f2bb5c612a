"""Modules of PyTorch as networks: plain ones compute the same, spiking ones spike the same at every step.

snnTorch is in the extra `oracle`; sinabs, Norse and SpikingJelly are compared where they are installed.
"""

import copy

import numpy as np
import pytest

from nsim import from_torch, load_chip, load_network, map_network, quantize
from nsim.errors import NetworkError
from nsim.formats.spikes import load_input
from nsim.network.activity import evaluate
from tests.generators.rows import outputs_of

torch = pytest.importorskip("torch", reason="in the extra oracle")
nn = torch.nn
STEPS, INPUTS, HIDDEN, OUTPUTS, IMAGE = 60, 10, 14, 6, (2, 8, 8)
ORACLES = pytest.mark.oracle("torch")
SPIKING = pytest.mark.oracle("nirtorch", "snntorch", "torch")


class Functional(nn.Module):
    """Operations in forward, as many write them."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second, self.last = nn.Conv2d(4, 6, 3, stride=2, bias=False), nn.Linear(6, 5)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.norm(self.first(x * 0.3))), 2)
        x = nn.functional.dropout(self.second(x).relu(), 0.5, self.training)
        return self.last(x.view(x.size(0), -1))


def modules():
    yield nn.Sequential(nn.Flatten(), nn.Linear(128, 20), nn.ReLU(), nn.Dropout(), nn.Linear(20, 5)), IMAGE
    yield nn.Sequential(nn.Linear(6, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 5), nn.ReLU()), (6,)
    yield nn.Sequential(nn.Conv1d(2, 4, 3, padding="same"), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5)), (2, 8)
    average = [nn.Conv2d(4, 6, 3, padding="same"), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    start = [nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.AvgPool2d(2)]
    yield nn.Sequential(*start, *average, nn.Flatten(), nn.Linear(6, 5)), IMAGE
    end = [nn.Conv2d(4, 6, 3, dilation=1), nn.Flatten(), nn.ReLU(), nn.Linear(24, 5)]
    yield nn.Sequential(nn.Conv2d(2, 4, (2, 3), padding="same"), nn.MaxPool2d(2), nn.ReLU(), *end), IMAGE
    yield nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                        nn.Linear(64, 5)), IMAGE  # fmt: skip


@ORACLES
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("number", range(6))
def test_plain_modules_compute_the_same(number, tmp_path):
    """On random input, after normalisations have seen some; the module itself stays in training mode."""
    torch.manual_seed(number)
    module, shape = list(modules())[number]
    module(torch.randn(16, *shape))
    x = np.random.default_rng(number).normal(size=(3, *shape)).astype(np.float32)
    network = from_torch(module, x)
    assert module.training and network.name == "Sequential"
    with torch.no_grad():
        expected = copy.deepcopy(module).eval()(torch.tensor(x)).numpy()
    np.testing.assert_allclose([outputs_of(network, image) for image in x], expected, rtol=1e-4, atol=1e-6)


@ORACLES
def test_a_module_by_its_file_and_by_its_export(tmp_path):
    """`nsim run net.pt2` and model.py:net are the module, too."""
    torch.manual_seed(1)
    module = Functional()
    module(torch.randn(16, *IMAGE))
    module.eval()
    sample = torch.randn(2, *IMAGE)
    torch.export.save(torch.export.export(module, (sample,)), tmp_path / "net.pt2")
    (tmp_path / "model.py").write_text(
        "import torch\nnet = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Softmax(1))\n"
        "sample = torch.ones(1, 3)\nother = [1]\nweights = net.state_dict()\n"
    )
    with torch.no_grad():
        expected = module(sample).numpy()
    found = [outputs_of(load_network(tmp_path / "net.pt2"), image) for image in sample.numpy()]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    network = load_network(f"{tmp_path}/model.py:net", dt_s=1e-3)  # as --dt, which other chips need
    assert network.name == "net" and "left to the host" in network.notes[0]
    for variable, words in (("weights", "OrderedDict is no torch.nn.Module"), ("net:sample=other", "shape")):
        with pytest.raises(NetworkError, match=words):
            load_network(f"{tmp_path}/model.py:{variable}")


@ORACLES
def test_a_plain_module_in_the_integers_of_a_chip_with_frames():
    """In 8 bits within 5 % of the module."""
    torch.manual_seed(2)
    module = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1),
                           nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 10))  # fmt: skip
    x = np.random.default_rng(3).random((24, 1, 8, 8)).astype(np.float32)
    network = from_torch(module, x)
    with torch.no_grad():
        expected = module(torch.tensor(x)).numpy()
    integers = quantize(network, x, weight_bits=8, activation_bits=8)
    levels = np.rint(x / x.max() * 255).astype(np.int64)
    found = np.array([outputs_of_integers(integers, image) for image in levels])
    scale = float(integers.notes[-1].split("outputs times ")[1].split()[0])
    assert np.abs(found * scale - expected).max() < 0.05 * np.abs(expected).max()
    mapping = map_network(network, load_chip("akd1000"), calibrate=x, mode="minimal")
    assert [stage.name for stage in mapping.network.layers] == ["input", "0", "3", "6"]


def outputs_of_integers(network, image):
    values = image.ravel().astype(np.int64)
    for connection, layer in zip(network.connections, network.layers[1:], strict=True):
        sums = np.zeros(connection.synapses.targets, np.int64)
        firing = np.flatnonzero(values)
        connection.synapses.add(firing, values[firing], sums)
        sums = sums if layer.pool is None else layer.pool.reduced(sums)
        values = layer.neuron.update(layer.neuron.start(layer.neurons), sums[None], 1, None)
    return values


@ORACLES
def test_what_is_no_module_or_no_sample():
    linear = nn.Linear(3, 2)
    for module, sample, options, words in (
        (linear.state_dict(), np.ones((1, 3)), {}, "OrderedDict is no torch.nn.Module"),
        (linear, np.ones(3), {}, r"shape \(3,\): give one with its batch"),
        (linear, [["a"]], {}, "no array of numbers"),
        (linear, np.ones((1, 4)), {}, "torch.export cannot trace it"),
        (linear, np.ones((1, 3)), {"framework": "brian"}, "framework is 'brian'"),
        (linear, np.ones((1, 3)), {"reset": "value"}, "no option 'reset'"),
        (nn.Sequential(linear, nn.Sigmoid()), np.ones((1, 3)), {}, "'sigmoid' is torch.ops.aten.sigmoid.default"),
        (nn.Bilinear(3, 3, 2), np.ones((1, 3)), {}, "cannot trace it"),
    ):
        with pytest.raises(NetworkError, match=words) as caught:
            from_torch(module, sample, **options)
        assert "\n" not in str(caught.value)


# Spiking modules


def linear(sources, targets, gain=4.0):
    layer = nn.Linear(sources, targets)
    layer.weight.data *= gain
    return layer


def conv(gain=3.0, make=nn.Conv2d):
    layer = make(IMAGE[0], 3, 3, padding=1, bias=False)
    layer.weight.data *= gain
    return layer


def check(module, shape, step, **options):
    """Against the module step by step; step(x) gives its spikes."""
    x = (np.random.default_rng(0).random((STEPS, *shape)) < 0.3).astype(np.float32)
    network = from_torch(module, x[:1], **options)
    with torch.no_grad():
        there = np.array([step(torch.tensor(value)[None]).numpy().ravel() for value in x])
    depth = max(layer.lag for layer in network.layers)
    padded = np.concatenate([x, np.zeros((depth, *shape), x.dtype)])
    (sample,) = load_input(padded[None], network.by_name[network.input].shape)
    here = np.concatenate([part.outputs for part in evaluate(network, sample)])[depth:]
    assert 5 < np.count_nonzero(there) < there.size
    np.testing.assert_array_equal(here, there)


def snn_module(kind):
    snn = pytest.importorskip("snntorch")
    how = {"at once": {"reset_delay": False}, "zero": {"reset_mechanism": "zero"}}.get(kind, {})

    def leaky(**more):
        return snn.Leaky(beta=0.8, init_hidden=True, **how, **more)

    if kind == "conv":
        ends = [nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(), linear(48, OUTPUTS), leaky(output=True)]
        return nn.Sequential(conv(), nn.BatchNorm2d(3), leaky(), *ends), IMAGE
    hidden = {
        "synaptic": lambda: snn.Synaptic(alpha=0.6, beta=0.8, init_hidden=True),
        "recurrent": lambda: snn.RLeaky(beta=0.8, linear_features=HIDDEN, init_hidden=True),
    }.get(kind, leaky)
    return nn.Sequential(linear(INPUTS, HIDDEN, 8), hidden(), linear(HIDDEN, OUTPUTS), leaky(output=True)), (INPUTS,)


@SPIKING
@pytest.mark.parametrize("kind", ["default", "at once", "zero", "synaptic", "recurrent", "conv"])
def test_snntorch_with_single_numbers(kind):
    """beta and threshold as one number, which its own exporter does not take; resets as the modules tell."""
    torch.manual_seed(0)
    module, shape = snn_module(kind)
    module.eval()
    module(torch.zeros(1, *shape))  # it has run before, and holds gradients

    def step(x):
        return module(x)[0]

    for part in module:
        if hasattr(part, "reset_mem"):
            part.reset_mem()
    check(module, shape, step)


@SPIKING
def test_spiking_modules_that_cannot_be_exported():
    snn = pytest.importorskip("snntorch")

    def leaky(**more):
        return snn.Leaky(beta=0.8, init_hidden=True, **more)

    for layers, words in (
        ([nn.Linear(4, 4), leaky(), nn.Sigmoid(), nn.Linear(4, 2), leaky(output=True)], "has no NIR for Sigmoid"),
        ([nn.Linear(4, 4), leaky(reset_mechanism="none")], "reset_mechanism 'none' has no rule"),
        ([nn.Linear(4, 4), leaky(inhibition=True)], "inhibition"),
        ([nn.Unflatten(1, (1, 2, 2)), nn.AvgPool2d(2, padding=1), leaky()], "'1' is an average pool with padding"),
        ([nn.Linear(4, 4), leaky(reset_mechanism="zero"), nn.Linear(4, 2), leaky()], "different rules of reset"),
    ):
        with pytest.raises(NetworkError, match=words):
            from_torch(nn.Sequential(*layers), np.ones((1, 4)))


@pytest.mark.parametrize("kind", ["IAF", "LIF", "whole", "reset", "floor", "conv"])
def test_sinabs(kind):
    sl = pytest.importorskip("sinabs.layers", reason="not in the extra oracle")
    import sinabs.activation as sa

    def neurons():
        if kind == "LIF":
            return sl.LIFSqueeze(tau_mem=10.0, spike_threshold=0.05, batch_size=1)
        if kind == "whole":
            return sl.LIFSqueeze(tau_mem=10.0, spike_threshold=1.5, norm_input=False, batch_size=1)
        how = {"reset": {"reset_fn": sa.MembraneReset(), "spike_fn": sa.SingleSpike}, "floor": {"min_v_mem": -0.5}}
        return sl.IAFSqueeze(batch_size=1, **how.get(kind, {}))

    torch.manual_seed(2)
    layers = [linear(INPUTS, HIDDEN), neurons(), linear(HIDDEN, OUTPUTS), neurons()]
    if kind == "conv":
        layers = [conv(), neurons(), sl.SumPool2d(2), nn.Flatten(), linear(48, OUTPUTS), neurons()]
    module = nn.Sequential(*layers)
    check(module, IMAGE if kind == "conv" else (INPUTS,), module)


@pytest.mark.parametrize("kind", ["LIFBoxCell", "LIFCell", "IAFCell"])
def test_norse(kind):
    norse = pytest.importorskip("norse.torch", reason="not in the extra oracle")
    torch.manual_seed(3)
    cell = getattr(norse, kind)
    module = norse.SequentialState(linear(INPUTS, HIDDEN, 20), cell(), linear(HIDDEN, OUTPUTS, 20), cell())
    states = [None]

    def step(x):
        out, states[0] = module(x, states[0])
        return out

    check(module, (INPUTS,), step)


@pytest.mark.parametrize("kind", ["LIFNode", "IFNode", "conv"])
def test_spikingjelly(kind):
    pytest.importorskip("spikingjelly", reason="not in the extra oracle")
    from spikingjelly.activation_based import layer, neuron

    torch.manual_seed(4)
    neurons = neuron.IFNode if kind == "conv" else getattr(neuron, kind)
    layers = [linear(INPUTS, HIDDEN, 6), neurons(), linear(HIDDEN, OUTPUTS, 6), neurons()]
    if kind == "conv":
        layers = [conv(3, layer.Conv2d), neurons(), layer.AvgPool2d(2), layer.Flatten(), linear(48, OUTPUTS), neurons()]
    module = nn.Sequential(*layers)
    check(module, IMAGE if kind == "conv" else (INPUTS,), module)
