"""Networks from snnTorch, through NIR: the same spikes as in the framework they come from. Needs the extra `bench`."""

import numpy as np
import pytest

from nsim.activity import evaluate
from nsim.formats import load_network
from nsim.spikes import load_input

DT_S = 1e-4  # what snnTorch's export takes a timestep to be
STEPS, INPUTS = 80, 12


def exported(path, decays, bias=False):
    """Fully connected layers of 20 and 5 leaky neurons, written as NIR: input, and spikes of the last layer."""
    torch, snn = pytest.importorskip("torch"), pytest.importorskip("snntorch")
    pytest.importorskip("nirtorch")
    import nir
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(0)
    layers, sizes = [], (INPUTS, 20, 5)
    for source, target, decay in zip(sizes, sizes[1:], decays, strict=False):
        layers.append(torch.nn.Linear(source, target, bias=bias))
        layers[-1].weight.data *= 3  # so that some neurons fire and others do not
        options = {"init_hidden": True, "reset_mechanism": "zero", "reset_delay": False}
        leak, threshold = torch.full((target,), decay), torch.ones(target)
        layers.append(snn.Leaky(beta=leak, threshold=threshold, output=target == sizes[-1], **options))
    network = torch.nn.Sequential(*layers)
    x = (torch.rand(STEPS, INPUTS) < 0.4).float()
    nir.write(path, export_to_nir(network, x[0]))
    with torch.no_grad():
        spikes = [network(step[None])[0].numpy().ravel() for step in x]
    return x.numpy(), np.array(spikes)


def run_here(path, x):
    """What the last layer sends, two timesteps later: a layer takes one each."""
    network = load_network(path, dt_s=DT_S)
    (sample,) = load_input(np.pad(x, ((0, 2), (0, 0)))[None], network.by_name[network.input].shape)
    return np.concatenate([part.outputs for part in evaluate(network, sample)])[2:]


@pytest.mark.parametrize("decays", [(0.9, 0.8), (0.5, 0.95), (0.99, 0.3)])
def test_spikes_are_those_of_snntorch(decays, tmp_path):
    path = tmp_path / "net.nir"
    x, spikes = exported(path, decays)
    assert 10 < spikes.sum() < spikes.size
    np.testing.assert_array_equal(run_here(path, x), spikes)


def test_biases_begin_before_the_input_is_there(tmp_path):
    """Here a layer takes a timestep, and its bias adds up from the first one on: two more in the second layer."""
    path = tmp_path / "net.nir"
    x, spikes = exported(path, (0.9, 0.8), bias=True)
    assert 0 < np.count_nonzero(run_here(path, x) != spikes) < 10
