"""Networks of real numbers in a chip's integers: rounding, equality where it is exact, and what has no integers."""

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim import load_chip, load_network, map_network, simulate
from nsim.errors import InputError, MappingError
from nsim.mapping.cores.precision import for_chip
from nsim.network.activity import evaluate
from nsim.network.inputs import Frames
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, FixedLif, GatedLinear, Lif, Relay, Threshold
from nsim.network.synapses import Convolution, Dense, Sparse
from tests.generators.commands import nsim, refused

LOIHI2 = load_chip("loihi2")
REAL = LOIHI2.model_copy(update={"arithmetic": None})
IN, HIDDEN, OUT = (8, 1, 1), (6, 1, 1), (4, 1, 1)
RULES = [
    {"reset_by": reset, "at_threshold": at, "many": many}
    for reset in ("value", "subtract", "subtract-later", "subtract-at-once")
    for at in (False, True)
    for many in (False, True)
    if not (many and reset.startswith("subtract-"))
]


def network_of(*neurons, weights, graded=False):
    layers = [Layer("input", IN, Relay(binary=not graded), on_chip=False)]
    layers += [
        Layer(f"l{n}", shape, neuron) for n, (neuron, shape) in enumerate(zip(neurons, (HIDDEN, OUT), strict=False))
    ]
    connections = [
        Connection(a.name, b.name, Dense(w.astype(np.float32), a.shape, b.shape))
        for a, b, w in zip(layers, layers[1:], weights, strict=False)
    ]
    return Network("net", tuple(layers), tuple(connections), "input", layers[-1].name, exported=True)


def outputs_of(network, frames):
    return np.concatenate([part.outputs for part in evaluate(network, Frames(frames, len(frames)))])


def weights_of(rng, largest=127):
    return rng.integers(-40, largest, (6, 8)) / 64, rng.integers(-50, 100, (4, 6)) / 32


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), rules=st.sampled_from(RULES), gain=st.sampled_from([1.0, 0.5, 4.0]))
def test_multiples_of_a_power_of_two_lose_nothing(seed, rules, gain):
    """Perfect integrators with dyadic weights, thresholds, biases and resets: spike for spike what floats give."""
    rng = np.random.default_rng(seed)
    neurons = [
        Lif(
            0.0,
            gain,
            rng.integers(20, 90, n) / 64 * gain,
            reset=-0.125 * gain,
            bias=rng.integers(-3, 9, n) / 64,
            **rules,
        )
        for n in (6, 4)
    ]
    first, second = weights_of(rng)
    real = network_of(*neurons, weights=(first / 4, second / 16) if rules["many"] else (first, second))
    fixed = for_chip(real, LOIHI2)
    assert fixed.fixed_point and "rounded by up to weights 0 %, thresholds 0 %, decays 0" in fixed.rounding
    frames = (rng.random((40, 8)) < 0.4).astype(np.int8)
    np.testing.assert_array_equal(outputs_of(fixed, frames), outputs_of(real, frames))


def test_thresholds_and_readouts_without_rounding():
    rng = np.random.default_rng(3)
    real = network_of(Threshold(0.75, bias=-0.25), Activation(rectify=False, bias=0.5), weights=weights_of(rng))
    fixed, frames = for_chip(real, LOIHI2), (rng.random((20, 8)) < 0.5).astype(np.int8)
    unit = float(fixed.rounding.partition("holds units of ")[2])
    assert (outputs_of(fixed, frames) * unit == outputs_of(real, frames)).all() and np.any(outputs_of(fixed, frames))


def naive_integers(network, frames):
    """A chain of FixedLif layers in Python's integers, timestep by timestep."""
    states = [[[0, 0] for _ in range(layer.neurons)] for layer in network.layers[1:]]
    sent, outputs = [[0] * 8, *([0] * layer.neurons for layer in network.layers[1:])], []
    for frame in frames:
        arriving = [
            [sum(int(w) * s for w, s in zip(row, source, strict=True)) for row in connection.synapses.matrix]
            for connection, source in zip(network.connections, sent, strict=False)
        ]
        sent[0] = [int(x) for x in frame]
        for k, layer in enumerate(network.layers[1:]):
            lif = layer.neuron
            for n, state in enumerate(states[k]):
                u = int(state[0] * (4096 - lif.current_decay) / 4096) + 64 * arriving[k][n]
                v = (
                    int(state[1] * (4096 - lif.voltage_decay) / 4096)
                    + u
                    + 64 * np.broadcast_to(lif.bias, layer.neurons)[n]
                )
                sent[k + 1][n] = int(v > 64 * lif.threshold)
                states[k][n] = [u, 0 if sent[k + 1][n] else int(v)]
        outputs.append(list(sent[-1]))
    return np.array(outputs)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), currents=st.booleans())
def test_leaky_neurons_follow_loihi_s_integers(seed, currents):
    """Real weights: of 8 bits and at most half a step off; decays of 12 bits; then integers alone."""
    rng = np.random.default_rng(seed)
    leak, filtered = rng.uniform(0.02, 0.6, 2)
    more = {"current_leak": filtered, "current_gain": filtered} if currents else {"bias": 0.01}
    weights = rng.normal(0.1, 0.5, (6, 8)), rng.normal(0.1, 2.0, (4, 6))
    real = network_of(Lif(leak, leak, 0.2, **more), Lif(leak, 1.0, 0.3), weights=weights)
    fixed = for_chip(real, LOIHI2, "fixed")
    neuron = fixed.by_name["l0"].neuron
    assert isinstance(neuron, FixedLif) and neuron.voltage_decay == round(leak * 4096)
    assert neuron.current_decay == (round(filtered * 4096) if currents else 4096)
    for connection, own in zip(fixed.connections, weights, strict=True):
        matrix = connection.synapses.matrix
        ratio = np.abs(own).max() / np.abs(matrix).max()  # near to the unit
        unit = 2.0 ** np.round(np.log2(ratio))
        step = 2.0 ** np.ceil(np.log2(max(own.max() / 127, -own.min() / 128)))
        assert np.abs(matrix * unit - own).max() <= step / 2 * (1 + 1e-6)
        assert np.unique(matrix).size <= 256 and not np.any(matrix % max(1, round(step / unit)))
    frames = (rng.random((40, 8)) < 0.4).astype(np.int8)
    np.testing.assert_array_equal(outputs_of(fixed, frames), naive_integers(fixed, frames))
    spikes = outputs_of(fixed, frames).sum(), outputs_of(real, frames).sum()
    assert abs(spikes[0] - spikes[1]) <= 0.25 * max(spikes) + 3


def test_no_sum_leaves_the_registers():
    """Weights a million times the threshold, all of them at once, through a slow current: it does not wrap."""
    weights = np.full((6, 8), 1e6), np.full((4, 6), 1.0)
    slow = Lif(0.5, 1.0, 1.0, current_leak=0.01, current_gain=0.01)
    fixed = for_chip(network_of(slow, Lif(0.5, 1.0, 1.0), weights=weights), LOIHI2)
    mapping = map_network(fixed, LOIHI2)
    record = simulate(mapping, np.ones((600, 8), np.int8), record="l0").record
    assert record["l0.u"].min() >= 0 and 2**21 < record["l0.u"].max() <= 2**23
    assert record["l0.s"][2:].all()


def test_the_largest_error_is_told():
    """0.3 of 1 in steps of 1/64: 0.3 is 19.2 steps, which is 0.3125 % of the largest off."""
    weights = np.ones((6, 8)), np.ones((4, 6))
    weights[0][0, 0] = 0.3
    real = network_of(Lif(0.1, 1.0, 1.0), Lif(0.25, 1.0, 1.0), weights=weights)
    note = for_chip(real, LOIHI2).rounding
    assert "weights 0.31 %, thresholds 0 %" in note and f"decays {410 / 4096 - 0.1:.2g} " in note


def test_sparse_weights_convolutions_and_biases():
    """A convolution, whose sums wrap; a bias of more than 13 bits; a synapse that rounds to 0."""
    rng = np.random.default_rng(8)
    image, maps = (1, 5, 5), (2, 3, 3)
    kernel = rng.normal(0, 1, (2, 1, 3, 3)).astype(np.float32)
    kernel[0, 0, 0, 0] = 1e-6
    pairs = np.arange(18, dtype=np.int32).reshape(-1) % 4
    values = np.full(18, 0.5, np.float32)
    layers = (
        Layer("input", image, Relay(binary=True), on_chip=False),
        Layer("conv", maps, Lif(0.0, 1.0, 1.0, bias=7.3)),
        Layer("fc", OUT, Lif(0.0, 1.0, 1.0)),
    )
    connections = (
        Connection("input", "conv", Convolution(kernel, image, maps)),
        Connection("conv", "fc", Sparse(np.arange(19), pairs, values, maps, OUT)),
    )
    real = Network("net", layers, connections, "input", "fc", exported=True)
    fixed = for_chip(real, LOIHI2)
    first, second = fixed.connections
    assert first.synapses.kernel[0, 0, 0, 0] == 0 and second.synapses.values.size == 18
    assert fixed.by_name["conv"].neuron.wraps and not fixed.by_name["fc"].neuron.wraps
    unit = np.abs(kernel).max() / np.abs(first.synapses.kernel).max()
    bias = fixed.by_name["conv"].neuron.bias
    assert bias * 2.0 ** np.round(np.log2(unit)) == pytest.approx(7.3, rel=2**-12)
    ours, theirs = (map_network(net, LOIHI2, precision=p) for net, p in ((fixed, None), (real, "float")))
    for made in ("demands", "partition"):
        assert [str(x) for x in getattr(ours, made)] == [str(x) for x in getattr(theirs, made)]


def test_chips_with_integers_alone_round_and_others_do_not():
    real = network_of(Lif(0.1, 1.0, 1.0), weights=weights_of(np.random.default_rng(0)))
    assert map_network(real, LOIHI2).network.fixed_point and map_network(real, load_chip("loihi")).network.fixed_point
    assert map_network(real, LOIHI2, precision="float").network is real
    made_up = load_network("mlp:width=8,depth=1")
    assert map_network(made_up, LOIHI2).network is made_up
    assert map_network(made_up, LOIHI2, precision="fixed").network.fixed_point
    assert map_network(real, REAL).network is real and map_network(real, REAL, precision="fixed").network.fixed_point


def test_what_has_no_integers():
    gated = network_of(GatedLinear(), weights=weights_of(np.random.default_rng(0)))
    assert "computed in real numbers: layer 'l0' is GatedLinear" in for_chip(gated, LOIHI2).rounding
    voltages = network_of(Lif(0.1, 1.0, None), Lif(0.1, 1.0, 1.0), weights=weights_of(np.random.default_rng(0)))
    negative = network_of(Lif(0.1, 1.0, -1.0), weights=weights_of(np.random.default_rng(0)))
    for network, words in (
        (gated, "layer 'l0' is GatedLinear, of which there is no integer model; give --precision float"),
        (voltages, "layer 'l0' is a membrane that sends its voltage"),
        (negative, "layer 'l0' has a gain or a threshold of 0 or less"),
    ):
        with pytest.raises(MappingError, match=words):
            map_network(network, LOIHI2, precision="fixed")


def test_wrong_precisions_and_inputs():
    real = network_of(Lif(0.1, 1.0, 1.0), weights=weights_of(np.random.default_rng(0)), graded=True)
    with pytest.raises(MappingError, match="no precision 'half': choose fixed or float"):
        map_network(real, LOIHI2, precision="half")
    with pytest.raises(MappingError, match="is of integers: leave out precision float"):
        map_network(load_network("pilotnet"), LOIHI2, precision="float")
    frames = np.full((3, 8), 0.5, np.float32)
    with pytest.raises(InputError, match="holds fractions, which a network of integers cannot take"):
        simulate(map_network(real, LOIHI2), frames)
    simulate(map_network(real, LOIHI2, precision="float"), frames)
    simulate(map_network(real, LOIHI2), frames * 4)


def test_on_the_command_line(tmp_path):
    weight = np.random.default_rng(2).normal(0, 1, (4, 8)).astype(np.float32)
    lif = nir.LIF(np.full(4, 0.01), np.ones(4), np.zeros(4), np.full(4, 0.05))
    nodes = {
        "in": nir.Input({"input": np.array([8])}),
        "fc": nir.Linear(weight),
        "lif": lif,
        "out": nir.Output({"output": np.array([4])}),
    }
    nir.write(
        tmp_path / "net.nir", nir.NIRGraph(nodes, [("in", "fc"), ("fc", "lif"), ("lif", "out")], type_check=False)
    )
    np.save(tmp_path / "in.npy", (np.random.default_rng(3).random((9, 8)) < 0.4).astype(np.int8))
    run = ("run", "net.nir", "--chip", "loihi2", "--input", "in.npy", "--dt", "1e-3")
    assert "fixed point (8-bit weights, 12-bit decays)" in " ".join(nsim(*run, cwd=tmp_path).stdout.split())
    assert "fixed point" not in nsim(*run, "--precision", "float", cwd=tmp_path).stdout
    assert "no precision 'double'" in refused(*run, "--precision", "double", cwd=tmp_path)
    assert "precision 'fixed' is not for chip 'akd1000'" in refused(
        "run", "cnn", "--chip", "akd1000", "--precision", "fixed"
    )
