"""What NIR leaves open: rules against naive steps as the frameworks publish them, presets, recognition, timesteps."""

from itertools import pairwise

import nir
import numpy as np
import pytest

from nsim.errors import NetworkError
from nsim.formats.network import load_network
from nsim.formats.nir_graph import network_from_nir
from nsim.formats.nir_rules import CHOICES, PRESETS
from nsim.network.activity import evaluate
from nsim.network.inputs import Frames

F = np.float32
SIZES, STEPS = (6, 9, 5), 60


def graph_of(neurons, biased=True, seed=0):
    """Two biased layers of these neurons, given by their size."""
    rng = np.random.default_rng(seed)
    nodes = {"input": nir.Input({"input": np.array(SIZES[:1])})}
    for k, (sources, targets) in enumerate(pairwise(SIZES)):
        weight = rng.normal(0, 0.8, (targets, sources)).astype(F)
        nodes[f"fc{k}"] = nir.Affine(weight, (0.2 * biased * rng.normal(size=targets)).astype(F))
        nodes[f"n{k}"] = neurons(targets)
    nodes["output"] = nir.Output({"output": np.array(SIZES[-1:])})
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)), type_check=False)


def run(graph, dt_s=None, **options):
    network = network_from_nir(graph, name="net", dt_s=dt_s, options=options)
    x = np.zeros((STEPS + 2, SIZES[0]), F)
    x[:STEPS] = np.random.default_rng(7).random((STEPS, SIZES[0])) < 0.4
    outputs = np.concatenate([part.outputs for part in evaluate(network, Frames(x, STEPS + 2))])
    return network, x[:STEPS], outputs[2:]


def naive(graph, x, step):
    """Layer by layer within a step, as frameworks run them; step(state, sum) gives the messages."""
    states, outputs = [{"v": F(0), "i": F(0), "fired": F(0)} for _ in range(2)], []
    for value in x:
        for k, state in enumerate(states):
            weights = graph.nodes[f"fc{k}"]
            value = step(state, weights.weight @ value + weights.bias)
        outputs.append(value)
    return np.array(outputs)


# Naive steps, as published


def snn_leaky(s, x):
    beta = F(0.8)
    s["v"] = beta * s["v"] + x - s["fired"]  # threshold 1
    s["fired"] = (s["v"] - 1 > 0).astype(F)
    return s["fired"]


def snn_at_once(s, x):
    """reset_delay=False."""
    reset = F(s["v"] - 1 > 0)
    v = F(0.8) * s["v"] + x - reset
    spikes = (v - 1 > 0).astype(F)
    s["v"] = v - (spikes - reset)
    return spikes


def snn_synaptic(s, x):
    alpha, beta = F(0.5), F(0.8)
    s["i"] = alpha * s["i"] + x
    s["v"] = beta * s["v"] + s["i"] - s["fired"]
    s["fired"] = (s["v"] - 1 > 0).astype(F)
    return s["fired"]


def counted(s, threshold):
    spikes = (s["v"] > 0) * np.trunc(s["v"] / threshold)
    s["v"] = s["v"] - spikes * threshold
    return spikes


def sinabs_lif(s, x):
    alpha = F(np.exp(-1 / 7))
    s["v"] = alpha * s["v"] + (1 - alpha) * x
    return counted(s, F(0.25))


def sinabs_iaf(s, x):
    s["v"] = s["v"] + x
    return counted(s, F(1))


def norse_lif(s, x, dt=0.001):
    jump = s["i"] + x
    v = s["v"] + F(dt * 100) * (-s["v"] + jump)
    s["i"] = jump - F(dt * 200) * jump
    spikes = (v > F(0.3)).astype(F)
    s["v"] = (1 - spikes) * v
    return spikes


def norse_box(s, x, dt=0.001):
    v = s["v"] + F(dt * 100) * (x - s["v"])
    spikes = (v > F(0.1)).astype(F)
    s["v"] = (1 - spikes) * v
    return spikes


def jelly_lif(s, x):
    v = s["v"] + (x - s["v"]) / F(2)
    spikes = (v >= 0.5).astype(F)
    s["v"] = (1 - spikes) * v
    return spikes


def jelly_if(s, x):
    v = s["v"] + x
    spikes = (v >= 1).astype(F)
    s["v"] = (1 - spikes) * v
    return spikes


def rockpool_lif(s, x):
    alpha, beta = F(np.exp(-1 / 20)), F(np.exp(-1 / 10))
    s["v"], s["i"] = alpha * s["v"], beta * (s["i"] + x)
    s["v"] = s["v"] + s["i"]
    spikes = (s["v"] >= 2) * np.floor(s["v"] / 2)
    s["v"] = s["v"] - spikes * 2
    return spikes


# What their exporters write of it


def full(n, *values, dtype=F):
    return [np.full(n, value, dtype) for value in values]


def snn_leaky_node(n):
    return nir.LIF(*full(n, 1e-4 / 0.2, 5, 0, 1, 0))


def snn_synaptic_node(n):
    return nir.CubaLIF(*full(n, 1e-4 / 0.5, 1e-4 / 0.2, 5, 0, 1, 0, 2))


def sinabs_lif_node(n):
    return nir.LIF(*full(n, 7, 1, 0, 0.25))


def iaf_node(n):
    return nir.IF(*full(n, 1, 1))


def norse_lif_node(n):
    return nir.CubaLIF(*full(n, 0.001 / 200, 0.001 / 100, 1, 0, 0.3))


def norse_box_node(n):
    return nir.LIF(*full(n, 0.001 / 100, 1, 0, 0.1))


def jelly_lif_node(n):
    return nir.LIF(*full(n, 2e-4, 1, 0, 0.5, 0, dtype=np.float64))


def jelly_if_node(n):
    return nir.IF(*full(n, 1e4, 1, 0, dtype=np.float64))


def rockpool_node(n):
    r = 0.02 * np.exp(-1e-3 / 0.02) / 1e-3
    return nir.CubaLIF(*full(n, 0.01, 0.02, r, 0, 2))


CASES = [
    ("snntorch", snn_leaky, snn_leaky_node, True, 1e-4),
    ("snntorch", snn_synaptic, snn_synaptic_node, True, 1e-4),
    ("sinabs", sinabs_lif, sinabs_lif_node, True, None),
    ("sinabs", sinabs_iaf, iaf_node, False, None),
    ("norse", norse_lif, norse_lif_node, True, 1e-3),
    ("norse", norse_box, norse_box_node, True, 1e-3),
    ("spikingjelly", jelly_lif, jelly_lif_node, False, 1e-4),
    ("spikingjelly", jelly_if, jelly_if_node, True, 1e-4),
    ("rockpool", rockpool_lif, rockpool_node, True, 1e-3),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("framework", "step", "node", "told", "dt_s"), CASES)
def test_presets_step_as_their_frameworks(framework, step, node, told, dt_s, seed):
    """Biased layers, spike for spike: by the preset, and without it where the fields tell who wrote them."""
    graph = graph_of(node, seed=seed)
    network, x, here = run(graph, **{"from": framework})
    there = naive(graph, x, step)
    assert 10 < np.count_nonzero(there) < there.size
    np.testing.assert_array_equal(here, there)
    assert network.dt_s == dt_s
    assert f"rules of {framework};" in network.notes[0] and PRESETS[framework].words in network.notes[0]
    alone, _, same = run(graph, **({} if told else {"from": framework}))
    np.testing.assert_array_equal(same, there)
    assert ("recognised by its fields" in alone.notes[0]) == told


def test_snntorch_without_its_delay_of_the_reset():
    graph = graph_of(snn_leaky_node, seed=4)
    for name in ("fc0", "fc1"):
        graph.nodes[name].weight *= 3  # to several thresholds in a step
    _, x, here = run(graph, **{"from": "snntorch", "reset": "subtract-at-once"})
    there = naive(graph, x, snn_at_once)
    np.testing.assert_array_equal(here, there)
    assert all((run(graph, reset=rule)[2] != there).any() for rule in ("subtract", "subtract-later", "value"))


def test_plain_rules_are_said():
    network, _, _ = run(graph_of(lambda n: nir.LIF(*full(n, 0.01, 2, 0, 0.5))), dt_s=1e-3)
    (note,) = network.notes
    assert "plain rules, no framework recognised; dt 0.001 s as given; reset=value, leak=euler" in note
    assert [layer.lag for layer in network.layers] == [0, 0, 0]


def test_metadata_may_choose_and_options_go_before_it():
    graph = graph_of(iaf_node)
    graph.metadata = {"reset": "subtract", "from": "norse"}
    assert "norse" in run(graph)[0].notes[0] and "reset=subtract," in run(graph)[0].notes[0]
    assert "reset=value" in run(graph, reset="value")[0].notes[0]


def test_charge_of_integrators_as_current_or_impulse():
    """r = 10 at dt = 0.1: as an impulse ten times the weight of 1/8, as a current once."""
    node = nir.IF(*full(1, 10, 1))
    graph = nir.NIRGraph(
        {"i": nir.Input({"input": np.array([1])}), "w": nir.Linear(np.full((1, 1), 0.125, F)), "n": node,
         "o": nir.Output({"output": np.array([1])})},
        [("i", "w"), ("w", "n"), ("n", "o")], type_check=False,
    )  # fmt: skip
    spikes = {}
    for charge in CHOICES["charge"]:
        network = network_from_nir(graph, name="x", dt_s=0.1, options={"charge": charge, "threshold": "ge"})
        spikes[charge] = np.concatenate([part.outputs for part in evaluate(network, Frames(np.ones((41, 1)), 41))])
    assert spikes["impulse"].sum() == 40 and spikes["current"].sum() == 5


def test_a_floor_holds_the_voltage():
    node = nir.IF(*full(1, 1, 1))
    nodes = {"i": nir.Input({"input": np.array([1])}), "n": node, "o": nir.Output({"output": np.array([1])})}
    graph = nir.NIRGraph(nodes, [("i", "n"), ("n", "o")], type_check=False)
    x = np.array([[-5], [1], [1], [1], [0]], F)
    spikes = {}
    for floor in ({}, {"floor": "-1"}):
        network = network_from_nir(graph, name="x", options={"threshold": "ge", **floor})
        spikes[len(floor)] = np.concatenate([p.outputs for p in evaluate(network, Frames(x, 5))]).ravel().tolist()
    assert spikes == {0: [0, 0, 0, 0, 0], 1: [0, 0, 0, 1, 1]}


def test_a_bias_may_wait_for_the_input():
    """Biases that count two steps more in the second layer, or begin when the first input arrives."""
    graph = graph_of(iaf_node, biased=False)
    for k in range(2):
        graph.nodes[f"fc{k}"].bias[:] = 0.6
    assert [layer.lag for layer in run(graph, bias="input")[0].layers] == [0, 1, 2]
    assert (run(graph, bias="input")[2] != run(graph, bias="start")[2]).any()


def test_a_timestep_that_contradicts_the_fields_is_said():
    network, _, _ = run(graph_of(snn_leaky_node), dt_s=2e-4)
    assert "dt 0.0002 s as given (its fields tell 0.0001 s: another network)" in network.notes[0]


def test_one_time_constant_tells_a_usual_timestep_only():
    """r = 2 and tau = 10 ms would be dt = 5 ms by one layer; two layers that agree on it tell it."""

    def node(n):
        return nir.LIF(*full(n, 0.01, 2, 0, 0.5))

    assert network_from_nir(graph_of(node), name="x").missing
    graph = graph_of(node)
    graph.nodes["n1"] = nir.LIF(*full(SIZES[2], 0.02, 4, 0, 0.5))
    assert network_from_nir(graph, name="x").dt_s == 0.005


def test_a_neuron_that_forgets_all_in_a_step_by_its_own_file():
    """beta = 0 of snnTorch: tau is dt. Given from outside, such a timestep is refused."""
    graph = graph_of(lambda n: nir.LIF(*full(n, 1e-4, 1, 0, 1, 0)))
    graph.nodes["n1"] = snn_leaky_node(SIZES[2])
    graph.metadata = {"dt": 1e-4}
    assert np.max(network_from_nir(graph, name="x").by_name["n0"].neuron.leak) == 1
    with pytest.raises(NetworkError, match=r"an Euler step would lose 1 of the distance"):
        network_from_nir(graph, name="x", dt_s=float(np.float32(1e-4)))


def test_plain_rules_can_be_asked_for():
    """Also of a graph whose fields look like a framework's."""
    network, _, _ = run(graph_of(snn_leaky_node), **{"from": "nir"})
    assert "rules of nir;" in network.notes[0] and "reset=value" in network.notes[0]


def test_coarse_steps_that_the_file_itself_tells_are_no_warning():
    assert len(run(graph_of(snn_synaptic_node))[0].notes) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reset": "softly"}, "option reset is 'softly': give one of value, subtract, subtract-later"),
        ({"from": "brian"}, "option from is 'brian': give one of nir, snntorch"),
        ({"colour": "red"}, "no option 'colour': its options are from, reset"),
        ({"floor": "1"}, "option floor is '1'"),
        ({"floor": "nan"}, "option floor is 'nan'"),
        ({"spikes": "many", "reset": "subtract-later"}, "spikes=many does not go with reset=subtract-later"),
    ],
)
def test_options_that_are_none(options, words):
    with pytest.raises(NetworkError, match=words):
        run(graph_of(iaf_node), **options)


def test_many_spikes_need_a_threshold_above_zero():
    with pytest.raises(NetworkError, match=r"v_threshold of node 'n0' \(IF\) is 0: spikes=many"):
        run(graph_of(lambda n: nir.IF(*full(n, 1, 0))), spikes="many")


def test_options_in_the_name_of_a_file(tmp_path):
    nir.write(tmp_path / "net.nir", graph_of(iaf_node))
    network = load_network(f"{tmp_path}/net.nir:from=sinabs,spikes=one")
    assert "rules of sinabs" in network.notes[0] and "spikes=one" in network.notes[0]
    assert load_network(tmp_path / "net.nir", reset="subtract").by_name["n0"].neuron.reset_by == "subtract"
