"""NeuroBench's metrics: its own package, on networks that run there and here; and the file a run leaves.

The comparisons need the extra `oracle`.
"""

import json
from itertools import pairwise

import numpy as np
import pytest

from nsim.formats.network import load_network
from nsim.mapping.network import map_network
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, Relay
from nsim.network.synapses import Convolution, Dense, convolved_shape
from nsim.result.neurobench import NEVER_KNOWN, export
from nsim.result.run import simulate
from tests.generators.commands import SMALL, nsim
from tests.generators.machines import shipped

DT_S = 1e-4  # what snnTorch's export takes a timestep to be
STEPS, SILENT, INPUTS = 30, 2, 12
PRINTED = ("ActivationSparsity", "SynapticOperations", "ConnectionSparsity")

WHOLE = {"drain": False, "warm_up": 0}  # as frameworks count: every timestep of the input, and no other


def of_neurobench(model, x):
    """What a benchmark of NeuroBench prints of a model on these inputs, [samples, timesteps, ...] or [samples, ...]."""
    import torch
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import ConnectionSparsity, Footprint, ParameterCount
    from neurobench.metrics.workload import ActivationSparsity, ActivationSparsityByLayer, SynapticOperations

    samples = torch.utils.data.TensorDataset(torch.as_tensor(x), torch.zeros(len(x)))
    loader = torch.utils.data.DataLoader(samples, batch_size=len(x))
    metrics = [
        [Footprint, ConnectionSparsity, ParameterCount],
        [ActivationSparsity, ActivationSparsityByLayer, SynapticOperations],
    ]
    return Benchmark(model, loader, [], [], metrics).run(quiet=True)


def leaky_network():
    """Two layers of leaky neurons, a third of the weights zero."""
    import snntorch as snn
    import torch

    torch.manual_seed(0)
    layers, sizes = [], (INPUTS, 20, 5)
    for source, target in pairwise(sizes):
        layers.append(torch.nn.Linear(source, target, bias=False))
        layers[-1].weight.data *= 3 * (torch.rand(target, source) < 0.67)
        options = {"init_hidden": True, "reset_mechanism": "zero", "reset_delay": False}
        leak, threshold = torch.full((target,), 0.9), torch.ones(target)
        layers.append(snn.Leaky(beta=leak, threshold=threshold, output=target == sizes[-1], **options))
    return torch.nn.Sequential(*layers)


@pytest.mark.oracle("neurobench", "nirtorch", "snntorch", "torch")
@pytest.mark.parametrize("binary", [True, False])
def test_a_spiking_network_has_the_numbers_of_neurobench(tmp_path, binary):
    """The last timesteps of every sample are silent, so that all that is sent is heard. Graded input makes MACs."""
    import nir
    import torch
    from neurobench.models import SNNTorchModel
    from snntorch.export_nir import export_to_nir

    network = leaky_network()
    rng = np.random.default_rng(0)
    x = (rng.random((3, STEPS, INPUTS)) < 0.4).astype(np.float32)
    x *= 1 if binary else rng.random(x.shape, np.float32)
    x[:, -SILENT:] = 0
    nir.write(tmp_path / "net.nir", export_to_nir(network, torch.as_tensor(x[0, 0])))
    theirs = of_neurobench(SNNTorchModel(network), x)
    loaded = load_network(tmp_path / "net.nir", dt_s=DT_S, reset="value")  # the file does not tell the reset
    ours = export(simulate(map_network(loaded, shipped("loihi2"), precision="float"), x, **WHOLE))
    for name in PRINTED:
        assert ours[name] == pytest.approx(theirs[name]), name
    assert list(ours["ActivationSparsityByLayer"].values()) == list(theirs["ActivationSparsityByLayer"].values())
    assert 0 < ours["SynapticOperations"]["Effective_ACs"] < ours["SynapticOperations"]["Dense"]
    assert (ours["SynapticOperations"]["Effective_MACs"] > 0) != binary
    assert theirs["ParameterCount"] == sum(c.synapses.sources * c.synapses.targets for c in loaded.connections)
    assert set(theirs) <= set(ours) | set(ours["nsim"]["absent"])


@pytest.mark.oracle("neurobench", "torch")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_has_the_numbers_of_neurobench(stride, padding, groups):
    """One layer, one timestep: operations at the border are those of the positions inside."""
    import torch
    from neurobench.models import TorchModel

    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(4, 2 // groups, 3, 3)).astype(np.float32) * (rng.random((4, 2 // groups, 3, 3)) < 0.5)
    x = rng.normal(size=(3, 2, 7, 6)).astype(np.float32) * (rng.random((3, 2, 7, 6)) < 0.6)
    layer = torch.nn.Conv2d(2, 4, 3, stride, padding, groups=groups, bias=False)
    layer.weight.data = torch.as_tensor(kernel)
    theirs = of_neurobench(TorchModel(torch.nn.Sequential(layer)), x)
    shape, more = (2, 7, 6), ((stride, stride), (padding, padding), (1, 1))
    synapses = Convolution(kernel, shape, convolved_shape(shape, kernel, *more), *more, groups)
    layers = (Layer("input", shape, Relay()), Layer("conv", synapses.target_shape, Activation()))
    network = Network("conv", layers, (Connection("input", "conv", synapses),), "input", "conv")
    ours = export(simulate(map_network(network, shipped("loihi2")), x[:, None], **WHOLE))
    for name in ("ConnectionSparsity", "SynapticOperations"):
        assert ours[name] == pytest.approx(theirs[name]), name
    assert "no layer of neurons sends" in ours["nsim"]["absent"]["ActivationSparsity"]
    assert "ActivationSparsity" not in ours
    assert theirs["Footprint"] == 4 * kernel.size, "which a network here does not know: no data types"


def test_samples_of_many_timesteps_are_added_up():
    """By hand: 2 samples of 3 timesteps; 2 of 6 weights are zero, and inputs 0 and 1 send 4 and 3 times."""
    matrix = np.array([[1, 0, 2], [0, 3, 4]])
    layers = (Layer("input", (3, 1, 1), Relay(binary=True)), Layer("out", (2, 1, 1), Activation()))
    network = Network("net", layers, (Connection("input", "out", Dense(matrix, (3, 1, 1), (2, 1, 1))),), "input", "out")
    x = np.array([[[1, 1, 0], [1, 0, 0], [0, 0, 0]], [[1, 1, 0], [1, 1, 0], [0, 0, 0]]], np.float32)
    found = export(simulate(map_network(network, shipped("loihi2")), x, **WHOLE))
    assert found["ConnectionSparsity"] == round(2 / 6, 4)
    assert found["SynapticOperations"] == {
        "Effective_MACs": 0,
        "Effective_ACs": (4 * 1 + 3 * 1) / 2,
        "Dense": 3 * 6,
    }


def test_a_run_leaves_the_file(tmp_path):
    assert nsim(*SMALL, "--samples", 3, "--out", tmp_path / "out").returncode == 0
    found = json.loads((tmp_path / "out" / "neurobench.json").read_text())
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(found) == {*PRINTED, "ActivationSparsityByLayer", "nsim"}
    assert set(found["nsim"]["absent"]) == set(NEVER_KNOWN)
    assert (found["nsim"]["samples"], found["nsim"]["timesteps"]) == (3, 6)
    own = summary["neurobench_per_timestep"]
    assert found["SynapticOperations"]["Effective_ACs"] == pytest.approx(2 * own["effective_acs"])
    assert found["ActivationSparsity"] == pytest.approx(own["activation_sparsity"])


def test_frames_have_what_is_counted(tmp_path):
    """The input block does not look for zeros, so the effective operations are not known."""
    out = tmp_path / "out"
    done = nsim("run", "cnn", "--chip", "akd1000", "--samples", 2, "--activity", 0.01, "--out", out)
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "neurobench.json").read_text())
    assert "SynapticOperations" not in found
    assert "input block" in found["nsim"]["absent"]["SynapticOperations"]
    assert found["ActivationSparsity"] == pytest.approx(0.99, abs=1e-3)
    assert 0 <= found["ConnectionSparsity"] < 1


def test_streams_have_no_timesteps(tmp_path):
    out = tmp_path / "out"
    arguments = ("--chip", "speck", "--input", "edges:rate=1e4,seconds=0.01", "--out", out)
    done = nsim("run", "speck-gesture", *arguments)
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "neurobench.json").read_text())
    assert set(found) == {"ConnectionSparsity", "nsim"}
    assert "timesteps" in found["nsim"]["absent"]["SynapticOperations"]
