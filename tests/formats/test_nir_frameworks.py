"""NIR graphs of five frameworks, by their own exporters: with their presets, the same spikes at every step.

snnTorch is in the extra `oracle`. The others are compared where they are installed; naive twins of their published
equations stand in for them in test_nir_rules.py.
"""

import numpy as np
import pytest

from nsim.formats.nir_graph import network_from_nir, read_nir
from nsim.formats.spikes import load_input
from nsim.network.activity import evaluate

torch = pytest.importorskip("torch", reason="the frameworks run on torch")
pytest.importorskip("nirtorch", reason="the frameworks export by nirtorch")
STEPS, INPUTS, HIDDEN, OUTPUTS = 60, 10, 14, 6
IMAGE, CHANNELS = (2, 8, 8), 3


def spikes_of(graph, x, **options):
    """What the last layer sends from its first input on: a layer takes a timestep."""
    network = network_from_nir(graph, name="net", options=options)
    depth = max(layer.lag for layer in network.layers)
    padded = np.concatenate([x, np.zeros((depth, *x.shape[1:]), x.dtype)])
    (sample,) = load_input(padded[None], network.by_name[network.input].shape)
    return network, np.concatenate([part.outputs for part in evaluate(network, sample)])[depth:]


def frames(shape, seed=0):
    return (np.random.default_rng(seed).random((STEPS, *shape)) < 0.3).astype(np.float32)


def linear(sources, targets, bias, gain=2.5):
    layer = torch.nn.Linear(sources, targets, bias=bias)
    layer.weight.data *= gain
    return layer


def conv(bias=True):
    layer = torch.nn.Conv2d(IMAGE[0], CHANNELS, 3, padding=1, bias=bias)
    layer.weight.data *= 2
    return layer


def check(network, here, there, framework):
    there = np.asarray(there).reshape(here.shape)
    assert 10 < np.count_nonzero(there) < there.size
    np.testing.assert_array_equal(here, there)
    assert f"rules of {framework}" in network.notes[0]


# snnTorch


def snn_layer(shape, last=False, kind="Leaky", **options):
    snn = pytest.importorskip("snntorch", reason="in the extra oracle")
    rng = np.random.default_rng(len(kind))
    decay = {"beta": torch.tensor(rng.uniform(0.3, 0.97, shape), dtype=torch.float32)}
    if "Synaptic" in kind:
        decay["alpha"] = torch.full(shape, 0.6)
    if kind.startswith("R"):
        decay["linear_features"] = shape[0]
    return getattr(snn, kind)(**decay, threshold=torch.ones(shape), init_hidden=True, output=last, **options)


def snn_net(kind, bias):
    if kind == "conv":
        pooled = CHANNELS * IMAGE[1] * IMAGE[2] // 4
        layers = [conv(), snn_layer((CHANNELS, *IMAGE[1:])), torch.nn.AvgPool2d(2), torch.nn.Flatten(1)]
        return torch.nn.Sequential(*layers, linear(pooled, OUTPUTS, bias, 4), snn_layer((OUTPUTS,), True)), IMAGE
    first = snn_layer((HIDDEN,), kind=kind)
    layers = [linear(INPUTS, HIDDEN, bias, 4), first, linear(HIDDEN, OUTPUTS, bias), snn_layer((OUTPUTS,), True)]
    return torch.nn.Sequential(*layers), (INPUTS,)


@pytest.mark.oracle("nirtorch", "snntorch", "torch")
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", ["Leaky", "Synaptic", "RLeaky", "RSynaptic", "conv"])
def test_snntorch(kind, bias):
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(1)
    net, shape = snn_net(kind, bias)
    x = frames(shape)
    sample = torch.tensor(x[0])[None] if kind == "conv" else torch.tensor(x[0])
    graph = export_to_nir(net, sample, **({"ignore_dims": [0]} if kind == "conv" else {}))
    for module in net:
        if hasattr(module, "mem"):
            module.reset_mem()
    with torch.no_grad():
        there = [net(torch.tensor(step)[None])[0].numpy().ravel() for step in x]
    network, here = spikes_of(graph, x)
    check(network, here, there, "snntorch")
    assert network.dt_s == 1e-4


@pytest.mark.oracle("nirtorch", "snntorch", "torch")
@pytest.mark.parametrize(("mechanism", "rule"), [("subtract", "subtract-at-once"), ("zero", "value")])
@pytest.mark.parametrize("kind", ["Leaky", "Synaptic"])
def test_snntorch_that_resets_at_once(kind, mechanism, rule):
    """reset_delay=False, which its file does not tell; inputs drive some neurons to several thresholds in a step."""
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(3)
    how = {"reset_mechanism": mechanism, "reset_delay": False}
    layers = [linear(INPUTS, HIDDEN, True, 8), snn_layer((HIDDEN,), kind=kind, **how), linear(HIDDEN, OUTPUTS, True)]
    net = torch.nn.Sequential(*layers, snn_layer((OUTPUTS,), True, **how))
    x = frames((INPUTS,))
    graph = export_to_nir(net, torch.tensor(x[0]))
    net[1].reset_mem(), net[3].reset_mem()
    with torch.no_grad():
        there = [net(torch.tensor(step)[None])[0].numpy().ravel() for step in x]
    network, here = spikes_of(graph, x, reset=rule)
    check(network, here, there, "snntorch")
    assert any((spikes_of(graph, x, reset=other)[1] != here).any() for other in ("subtract", "subtract-later"))


@pytest.mark.oracle("nirtorch", "snntorch", "torch")
def test_snntorch_that_resets_to_zero():
    """Which its file does not tell: an option says so."""
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(6)
    zero = {"reset_mechanism": "zero"}
    layers = [linear(INPUTS, HIDDEN, True, 4), snn_layer((HIDDEN,), **zero), linear(HIDDEN, OUTPUTS, True)]
    net = torch.nn.Sequential(*layers, snn_layer((OUTPUTS,), True, **zero))
    x = frames((INPUTS,))
    graph = export_to_nir(net, torch.tensor(x[0]))
    net[1].reset_mem(), net[3].reset_mem()
    with torch.no_grad():
        there = [net(torch.tensor(step)[None])[0].numpy().ravel() for step in x]
    network, here = spikes_of(graph, x, reset="value")
    check(network, here, there, "snntorch")
    assert (spikes_of(graph, x)[1] != here).any()


# sinabs


@pytest.mark.parametrize("kind", ["LIF", "IAF", "conv"])
def test_sinabs(kind):
    sl = pytest.importorskip("sinabs.layers", reason="not in the extra oracle")
    from sinabs.nir import to_nir

    torch.manual_seed(2)

    def neurons(n):
        if kind == "LIF":
            return sl.LIFSqueeze(tau_mem=torch.linspace(5, 40, n), spike_threshold=torch.full((n,), 0.03), batch_size=1)
        return sl.IAFSqueeze(batch_size=1)

    if kind == "conv":
        pooled = CHANNELS * IMAGE[1] * IMAGE[2] // 4
        ends = [torch.nn.Flatten(1), linear(pooled, OUTPUTS, True, 3)]
        net, shape = torch.nn.Sequential(conv(), neurons(0), sl.SumPool2d(2), *ends, neurons(0)), IMAGE
    else:
        layers = [linear(INPUTS, HIDDEN, True), neurons(HIDDEN), linear(HIDDEN, OUTPUTS, True), neurons(OUTPUTS)]
        net, shape = torch.nn.Sequential(*layers), (INPUTS,)
    x = frames(shape)
    net(torch.tensor(x))
    graph = to_nir(net, torch.tensor(x))
    for module in net:
        if hasattr(module, "reset_states"):
            module.reset_states()
    with torch.no_grad():
        there = net(torch.tensor(x)).numpy()
    network, here = spikes_of(graph, x, **{"from": "sinabs"})
    check(network, here, there, "sinabs")
    assert here.max() > 1  # several spikes in a timestep


# norse


@pytest.mark.parametrize("kind", ["LIFBox", "LIF", "IAF", "conv"])
def test_norse(kind):
    norse = pytest.importorskip("norse.torch", reason="not in the extra oracle")
    from norse.torch.utils.export_nir import to_nir

    torch.manual_seed(3)

    def neurons(*shape):
        half = {"v_th": torch.full(shape, 0.2)}
        leak = {"v_leak": torch.zeros(shape), "tau_mem_inv": torch.full(shape, 100.0)}
        if kind == "IAF":
            return norse.IAFCell(norse.IAFParameters(**half))
        if kind == "LIF":
            return norse.LIFCell(norse.LIFParameters(**half, **leak, tau_syn_inv=torch.full(shape, 200.0)))
        return norse.LIFBoxCell(norse.LIFBoxParameters(**half, **leak))

    if kind == "conv":
        net, shape = norse.SequentialState(conv(), neurons(CHANNELS, *IMAGE[1:])), IMAGE
    else:
        ends = [linear(HIDDEN, OUTPUTS, True, 5), neurons(OUTPUTS)]
        net, shape = norse.SequentialState(linear(INPUTS, HIDDEN, True, 5), neurons(HIDDEN), *ends), (INPUTS,)
    x, state, there = frames(shape), None, []
    graph = to_nir(net, torch.tensor(x[:1]))
    with torch.no_grad():
        for step in x:
            out, state = net(torch.tensor(step)[None], state)
            there.append(out.numpy().ravel())
    network, here = spikes_of(graph, x, **({"from": "norse"} if kind == "IAF" else {}))
    check(network, here, there, "norse")


# SpikingJelly


@pytest.mark.parametrize("kind", ["LIF", "raw LIF", "IF", "CUBALIF", "conv"])
def test_spikingjelly(kind):
    pytest.importorskip("spikingjelly", reason="not in the extra oracle")
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    torch.manual_seed(4)

    def neurons():
        if kind == "CUBALIF":
            return neuron.CUBALIFNode()
        return neuron.IFNode() if kind in ("IF", "conv") else neuron.LIFNode(tau=3.0, decay_input=kind == "LIF")

    def dense(sources, targets):
        made = layer.Linear(sources, targets)
        made.weight.data *= 6
        return made

    if kind == "conv":
        ends = [layer.AvgPool2d(2), layer.Flatten(), dense(CHANNELS * 16, OUTPUTS), neurons()]
        net, shape = torch.nn.Sequential(layer.Conv2d(IMAGE[0], CHANNELS, 3, padding=1), neurons(), *ends), IMAGE
    else:
        net, shape = torch.nn.Sequential(dense(INPUTS, HIDDEN), neurons(), dense(HIDDEN, OUTPUTS), neurons()), (INPUTS,)
    x = frames(shape)
    graph = export_to_nir(net, torch.tensor(x[:1]))
    functional.reset_net(net)
    with torch.no_grad():
        there = [net(torch.tensor(step)[None]).numpy().ravel() for step in x]
    network, here = spikes_of(graph, x, **({"from": "spikingjelly"} if kind == "LIF" else {}))
    check(network, here, there, "spikingjelly")


# Rockpool


@pytest.mark.parametrize("kind", ["LIFTorch", "LIFNeuronTorch"])
def test_rockpool(kind, tmp_path):
    pytest.importorskip("rockpool", reason="not in the extra oracle")
    import nir
    from rockpool.nn.combinators import Sequential
    from rockpool.nn.modules import torch as modules
    from rockpool.nn.modules.torch.nir import to_nir

    torch.manual_seed(5)

    def neurons(n):
        # its exporter gives one r to all: the time constants of a layer are equal
        return getattr(modules, kind)(n, tau_mem=torch.full((n,), 0.02), threshold=torch.full((n,), 1.5), dt=1e-3)

    def dense(sources, targets):
        return modules.LinearTorch((sources, targets), has_bias=True)

    net = Sequential(dense(INPUTS, HIDDEN), neurons(HIDDEN), dense(HIDDEN, OUTPUTS), neurons(OUTPUTS))
    x = frames((INPUTS,))
    nir.write(tmp_path / "net.nir", to_nir(net))
    net = net.reset_state()
    with torch.no_grad():
        there = net(torch.tensor(x)[None])[0].numpy()
    network, here = spikes_of(nir.read(tmp_path / "net.nir", type_check=False), x)
    check(network, here, there, "rockpool")
    assert network.dt_s == 1e-3
    assert read_nir(tmp_path / "net.nir").notes == network.notes
