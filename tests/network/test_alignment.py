"""Paths of different length: with waits, every layer adds up what a framework adds up within one step."""

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim import load_chip, map_network
from nsim.errors import NetworkError
from nsim.formats.nir_graph import network_from_nir
from nsim.network.activity import evaluate
from nsim.network.alignment import longest_depths, shortest_depths
from nsim.network.inputs import Frames

F = np.float32
NEURONS, STEPS = 4, 30


def graph_of(edges, layers, seed=0, recurrent=()):
    """Layers 1 to `layers` of IF neurons, 0 is the input; a random matrix on each edge; the last layer is read."""
    rng = np.random.default_rng(seed)
    one = np.ones(NEURONS, F)
    nodes = {"0": nir.Input({"input": np.array([NEURONS])})} | {str(k + 1): nir.IF(one, one) for k in range(layers)}
    joined = []
    for source, target in [*edges, *recurrent]:
        name = f"w{source}_{target}"
        nodes[name] = nir.Linear(rng.normal(0, 0.9, (NEURONS, NEURONS)).astype(F))
        joined += [(str(source), name), (name, str(target))]
    nodes["out"] = nir.Output({"output": np.array([NEURONS])})
    return nir.NIRGraph(nodes, [*joined, (str(layers), "out")], type_check=False)


def framework(graph, edges, layers, x, recurrent=()):
    """Every layer after its sources, within one step; a loop of a layer onto itself brings the step before."""
    v = np.zeros((layers + 1, NEURONS), F)
    before, outputs = np.zeros((layers + 1, NEURONS), F), []
    for frame in x:
        sent = np.zeros((layers + 1, NEURONS), F)
        sent[0] = frame
        for k in range(1, layers + 1):
            for source, target in edges:
                if target == k:
                    v[k] += graph.nodes[f"w{source}_{target}"].weight @ sent[source]
            if (k, k) in recurrent:
                v[k] += graph.nodes[f"w{k}_{k}"].weight @ before[k]
            sent[k] = v[k] > 1
            v[k] = np.where(sent[k], 0, v[k])
        before = sent
        outputs.append(sent[layers])
    return np.array(outputs)


def here(graph, x, **options):
    network = network_from_nir(graph, name="x", options=options)
    depth = longest_depths(network.connections, network.input)[network.output]
    padded = np.concatenate([x, np.zeros((depth, NEURONS), F)])
    sample = Frames(padded, len(padded))
    return network, np.concatenate([part.outputs for part in evaluate(network, sample)])[depth:]


def frames(seed=0):
    return (np.random.default_rng(seed).random((STEPS, NEURONS)) < 0.5).astype(F)


@st.composite
def skips(draw):
    """A chain of layers, some edges that skip some of them, some layers with a loop."""
    layers = draw(st.integers(2, 6))
    every = [(a, b) for a in range(layers) for b in range(a + 2, layers + 1)]
    chosen = draw(st.lists(st.sampled_from(every), unique=True, max_size=4)) if every else []
    loops = draw(st.lists(st.integers(1, layers), unique=True, max_size=2))
    return layers, [(k, k + 1) for k in range(layers)] + chosen, [(k, k) for k in loops]


@settings(max_examples=40)
@given(skips(), st.integers(0, 1000))
def test_layers_meet_as_in_frameworks(net, seed):
    layers, edges, recurrent = net
    graph, x = graph_of(edges, layers, seed, recurrent), frames(seed)
    network, outputs = here(graph, x)
    np.testing.assert_array_equal(outputs, framework(graph, edges, layers, x, recurrent))
    assert any("align=on" in note for note in network.notes) == any(b - a > 1 for a, b in edges)


def test_without_waits_they_do_not():
    edges = [(0, 1), (1, 2), (2, 3), (0, 3), (1, 3)]
    graph, x = graph_of(edges, 3), frames()
    there = framework(graph, edges, 3, x)
    network, outputs = here(graph, x)
    assert {c.name: c.wait for c in network.connections if c.wait} == {"0 -> 3": 2, "1 -> 3": 1}
    assert "0 -> 3 2, 1 -> 3 1" in network.notes[1]
    np.testing.assert_array_equal(outputs, there)
    plain, other = here(graph, x, align="off")
    assert not any(c.wait for c in plain.connections) and (other != there).any()


def test_loops_over_several_layers_are_said():
    graph = graph_of([(0, 1), (1, 2), (2, 1), (0, 2)], 2)
    network = network_from_nir(graph, name="x")
    assert not any(c.wait for c in network.connections)
    assert "loop over several layers" in network.notes[1]
    assert longest_depths(network.connections, "0") is None
    assert shortest_depths(network.connections, "0") == {"0": 0, "1": 1, "2": 1}


def test_waits_beyond_the_longest_delay():
    layers = 65
    edges = [(k, k + 1) for k in range(layers)]
    with pytest.raises(
        NetworkError, match=r"0 -> 65 has to wait 64 timesteps .* up to 62 are possible: give align=off"
    ):
        network_from_nir(graph_of([*edges, (0, layers)], layers), name="x")
    network_from_nir(graph_of([*edges, (0, layers)], layers), name="x", options={"align": "off"})


def test_chips_without_timesteps_need_no_waits():
    network = network_from_nir(graph_of([(0, 1), (1, 2), (2, 3), (1, 3)], 3), name="x")
    assert any(c.wait for c in network.connections)
    for chip in ("loihi2", "speck"):
        assert map_network(network, load_chip(chip)).network.name == "x"
