"""Activity: evaluation against a twin with one arrival per synapse, and drawn activity against its densities."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.errors import InputError
from nsim.network import kernels
from nsim.network.activity import Evaluator, checked_densities, evaluate, layer_offsets, parse_activity, prescribe
from nsim.network.inputs import Events, Frames
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, FixedLif, FixedSigmaDelta, GatedLinear, Lif, Relay
from nsim.network.synapses import Convolution, Dense, Sparse
from tests.generators.synapses import triples

seeds = st.integers(0, 2**32)


def naive_steps(network, inputs):
    """Per step the neurons that send and the output; every synapse's arrival is looked up by its own time."""
    offsets = layer_offsets(network)
    states = {layer.name: layer.neuron.start(layer.neurons) for layer in network.layers}
    arrivals = {}  # (layer, step) -> {(dendrite, neuron): sum}
    dtype = np.int64 if network.fixed_point else np.float32
    for step, external in enumerate(inputs, start=1):
        firing, shown = [], None
        for layer, offset in zip(network.layers, offsets, strict=False):
            sums = np.zeros((layer.neuron.dendrites, layer.neurons), dtype)
            for place, value in arrivals.pop((layer.name, step), {}).items():
                sums[place] = value
            given = external if layer.neuron.external else None
            messages = layer.neuron.update(states[layer.name], sums, step, given)
            if layer.name == network.output:
                shown = np.array(layer.neuron.readout(states[layer.name], messages))
            leaving = [c for c in network.connections if c.source == layer.name]
            if layer.neuron.holds and not leaving:
                continue
            firing += [int(offset) + n for n in range(layer.neurons) if messages[n] != 0]
            for connection in leaving:
                sources, targets = connection.synapses.sources, connection.synapses.targets
                by_source = np.broadcast_to(connection.source_delay, (sources,))
                by_target = np.broadcast_to(connection.target_delay, (targets,))
                for source, target, weight in triples(connection.synapses):
                    if messages[source] == 0:
                        continue
                    time = step + 1 + int(by_source[source]) + int(by_target[target])
                    sums = arrivals.setdefault((connection.target, time), {})
                    place = (connection.dendrite, target)
                    sums[place] = sums.get(place, 0) + messages[source].item() * weight.item()
        yield firing, shown


def assert_same(network, inputs):
    """Exactly: the networks below hold integers, or are read after their last rounding. Returns the messages."""
    evaluator = Evaluator(network)
    messages = 0
    for external, (expected, shown) in zip(inputs, naive_steps(network, inputs), strict=True):
        firing, outputs = evaluator.step(external)
        assert firing.tolist() == expected
        assert (outputs == shown).all()
        messages += len(expected)
    return messages


def random_synapses(rng, source, target):
    kind = rng.integers(3)
    matrix = rng.integers(-3, 6, (target.neurons, source.neurons))
    if kind == 0:
        return Dense(matrix, source.shape, target.shape)
    matrix = np.where(rng.random(matrix.shape) < 0.5, matrix, 0)
    return Sparse.from_matrix(matrix, source.shape, target.shape)


def random_delay(rng, neurons_in_layer):
    kind = rng.integers(3)
    if kind == 0:
        return 0
    return int(rng.integers(0, 5)) if kind == 1 else rng.integers(0, 5, neurons_in_layer)


def random_network(rng, make_input, make_hidden):
    """A chain, with more connections that skip, go back or join layers a second time; all delays."""
    shapes = [(int(rng.integers(1, 5)), 1, 1) for _ in range(rng.integers(2, 5))]
    layers = [Layer("in", shapes[0], make_input(rng), on_chip=False)]
    layers += [Layer(f"l{k}", shape, make_hidden(rng, shape[0])) for k, shape in enumerate(shapes[1:], start=1)]
    ends = [(k, k + 1) for k in range(len(layers) - 1)]
    ends += [(int(rng.integers(len(layers))), int(rng.integers(1, len(layers)))) for _ in range(rng.integers(4))]
    connections = tuple(
        Connection(
            layers[source].name,
            layers[target].name,
            random_synapses(rng, layers[source], layers[target]),
            random_delay(rng, layers[source].neurons),
            random_delay(rng, layers[target].neurons),
        )
        for source, target in ends
    )
    return Network("random", tuple(layers), connections, "in", layers[-1].name)


def fixed_lif(rng, size):
    return FixedLif(
        int(rng.integers(0, 4097)), int(rng.integers(0, 4097)), int(rng.integers(1, 20)), bias=rng.integers(-2, 5, size)
    )


def fixed_sigma_delta(rng, size):
    return FixedSigmaDelta("hidden", int(rng.integers(0, 3)), rng.integers(-2, 3, size), binary=bool(rng.integers(2)))


# Evaluation


@settings(max_examples=40, deadline=None)
@given(seed=seeds, dtype=st.sampled_from([np.int64, np.float32]))
def test_messages_taken_are_those_that_are_not_zero(seed, dtype):
    rng = np.random.default_rng(seed)
    size, offset = int(rng.integers(0, 200)), int(rng.integers(0, 1000))
    messages = (rng.integers(-5, 6, size) * (rng.random(size) < rng.random())).astype(dtype)
    sending, values, firing = np.full(size, -1), np.full(size, -1, dtype), np.full(size, -1)
    count = kernels.take_messages(messages, offset, sending, values, firing)
    expected = [n for n in range(size) if messages[n] != 0]
    assert sending[:count].tolist() == expected
    assert values[:count].tolist() == [messages[n] for n in expected]
    assert firing[:count].tolist() == [n + offset for n in expected]
    assert (firing[count:] == -1).all()


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_evaluator_agrees_with_single_synapses_fixed_lif(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng, lambda rng: Relay(binary=True), fixed_lif)
    assert_same(network, rng.integers(0, 2, (25, network.layers[0].neurons)))


@settings(max_examples=50, deadline=None)
@given(seed=seeds)
def test_evaluator_agrees_with_single_synapses_fixed_sigma_delta(seed):
    """Recurrent sigma-delta layers grow fast; few steps and no wrap keep the twin's Python integers within int64."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, lambda rng: FixedSigmaDelta("input", 1), fixed_sigma_delta)
    assert_same(network, rng.integers(-9, 10, (10, network.layers[0].neurons)))


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_evaluator_agrees_with_single_synapses_float_spikes(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng, lambda rng: Relay(), lambda rng, size: Lif(0.25, 0.5, rng.integers(0, 8, size)))
    assert_same(network, rng.integers(-3, 4, (25, network.layers[0].neurons)).astype(np.float32))


def joined(*layers_and_weights, output):
    layers, connections = [], []
    for item in layers_and_weights:
        (layers if isinstance(item, Layer) else connections).append(item)
    return Network("joined", tuple(layers), tuple(connections), layers[0].name, output)


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_evaluator_keeps_dendrites_apart(seed):
    """Value, gate and residual reach a gated layer with delays of their own."""
    rng = np.random.default_rng(seed)
    source, relay = Layer("in", (3, 1, 1), Relay(), on_chip=False), Layer("relay", (2, 1, 1), Activation())
    gated = Layer("gated", (4, 1, 1), GatedLinear(bias=0.5))

    def connect(start, dendrite):
        synapses = random_synapses(rng, start, gated)
        delays = random_delay(rng, start.neurons), random_delay(rng, gated.neurons)
        return Connection(start.name, "gated", synapses, *delays, dendrite=dendrite)

    feed = Connection("in", "relay", random_synapses(rng, source, relay))
    paths = connect(source, 0), connect(source, 1), connect(relay, 1), connect(source, 2), connect(relay, 2)
    network = joined(source, relay, gated, feed, *paths, output="gated")
    assert_same(network, rng.integers(-2, 3, (15, 3)).astype(np.float32))


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_evaluator_agrees_with_single_synapses_convolution(seed):
    rng = np.random.default_rng(seed)
    source = Layer("in", (2, 5, 4), FixedSigmaDelta("input"), on_chip=False)
    hidden = Layer("conv", (3, 3, 3), FixedSigmaDelta("hidden", 1, wraps=True))
    output = Layer("out", (2, 1, 1), FixedSigmaDelta("output"))
    convolution = Convolution(rng.integers(-3, 4, (3, 2, 3, 2)), source.shape, hidden.shape, (2, 2), (1, 1))
    first = Connection("in", "conv", convolution, random_delay(rng, 40), random_delay(rng, 27))
    second = Connection("conv", "out", random_synapses(rng, hidden, output), random_delay(rng, 27))
    network = joined(source, hidden, output, first, second, output="out")
    assert assert_same(network, rng.integers(-9, 10, (8, 40))) > 0


def chain(*delays, target=0):
    """Layers of one neuron that pass a value on, with a delay between each two."""
    layers = [Layer("in", (1, 1, 1), Relay(), on_chip=False)]
    layers += [Layer(f"l{k}", (1, 1, 1), Activation()) for k in range(1, len(delays) + 1)]
    one = Dense(np.ones((1, 1), np.float32), (1, 1, 1), (1, 1, 1))
    connections = [
        Connection(a.name, b.name, one, delay, target) for a, b, delay in zip(layers, layers[1:], delays, strict=False)
    ]
    return Network("chain", tuple(layers), tuple(connections), "in", layers[-1].name)


@pytest.mark.parametrize(("delays", "target"), [((0,), 0), ((0, 0, 0), 0), ((3, 0, 7), 0), ((62,), 0), ((60,), 2)])
def test_an_impulse_takes_one_step_per_connection_and_its_delays(delays, target):
    evaluator = Evaluator(chain(*delays, target=target))
    shown = [evaluator.step(np.array([float(step == 0)]))[1].item() for step in range(80)]
    assert np.flatnonzero(shown).tolist() == [len(delays) + sum(delays) + target * len(delays)]


@settings(max_examples=20, deadline=None)
@given(seed=seeds, chunk=st.integers(1, 30), timesteps=st.integers(1, 25))
def test_chunks_change_nothing(seed, chunk, timesteps):
    rng = np.random.default_rng(seed)
    network = random_network(rng, lambda rng: Relay(binary=True), fixed_lif)
    frames = Frames(rng.integers(0, 2, (timesteps, network.layers[0].neurons)), timesteps)
    (whole,) = evaluate(network, frames)
    pieces = list(evaluate(network, frames, chunk))
    assert [piece.timesteps for piece in pieces[:-1]] == [chunk] * (len(pieces) - 1)
    assert sum(piece.timesteps for piece in pieces) == whole.timesteps == timesteps
    firing = [piece.firing(step) for piece in pieces for step in range(piece.timesteps)]
    for step, neurons in enumerate(firing):
        assert neurons.dtype == whole.neurons.dtype == np.int64
        assert (neurons == whole.firing(step)).all()
        assert (np.diff(neurons) > 0).all()
    assert (np.concatenate([piece.outputs for piece in pieces]) == whole.outputs).all()


def test_evaluation_starts_anew_for_every_sample():
    rng = np.random.default_rng(5)
    network = random_network(rng, lambda rng: Relay(binary=True), fixed_lif)
    frames = Frames(rng.integers(0, 2, (30, network.layers[0].neurons)), 30)
    (first,), (second,) = evaluate(network, frames), evaluate(network, frames)
    assert first.neurons.tobytes() == second.neurons.tobytes()
    assert first.outputs.tobytes() == second.outputs.tobytes()


def test_events_and_frames_of_the_same_input_agree():
    rng = np.random.default_rng(6)
    network = random_network(rng, lambda rng: Relay(), lambda rng, size: Lif(0.25, 0.5, 1.0))
    dense = rng.integers(0, 2, (12, network.layers[0].neurons))
    step, neuron = np.nonzero(dense)
    indptr = np.concatenate(([0], np.cumsum(np.bincount(step, minlength=12))))
    events = Events(indptr, neuron, np.ones(neuron.size, np.int64), dense.shape[1])
    (from_events,), (from_frames,) = evaluate(network, events), evaluate(network, Frames(dense, 12))
    assert (from_events.neurons == from_frames.neurons).all()
    assert (from_events.outputs == from_frames.outputs).all()


def test_layers_that_hold_a_result_send_nothing_but_are_read():
    network = chain(0, 0)
    (activity,) = evaluate(network, Frames(np.ones((1, 1)), 5))
    assert set(activity.neurons.tolist()) == {0, 1}
    assert activity.outputs.ravel().tolist() == [0, 0, 1, 1, 1]


# Drawn activity


def plain(sizes=(1000, 300, 50), last=None):
    """Spiking layers one after another; the last may be of another kind."""
    layers = [Layer("in", (sizes[0], 1, 1), Relay(binary=True), on_chip=False)]
    layers += [Layer(f"l{k}", (n, 1, 1), Lif(0.1, 1.0, 0.5)) for k, n in enumerate(sizes[1:], start=1)]
    if last is not None:
        layers[-1] = Layer(layers[-1].name, layers[-1].shape, last)
    connections = tuple(
        Connection(a.name, b.name, Sparse.from_matrix(np.zeros((b.neurons, a.neurons)), a.shape, b.shape))
        for a, b in itertools.pairwise(layers)
    )
    return Network("plain", tuple(layers), connections, "in", layers[-1].name)


def counts(network, chunks):
    """Messages by step and layer: int64[steps, layers]."""
    offsets = layer_offsets(network)
    steps = [piece.firing(step) for piece in chunks for step in range(piece.timesteps)]
    return np.array([np.histogram(neurons, offsets)[0] for neurons in steps])


def drawn(network, densities, timesteps, seed=0, **more):
    return list(prescribe(network, densities, timesteps, np.random.default_rng(seed), **more))


@pytest.mark.parametrize("density", [0.01, 0.1, 0.5, 0.93])
def test_drawn_densities_lie_within_binomial_bounds(density):
    """Over 200 steps the count of each layer stays within 5 standard deviations, and so does its spread per neuron."""
    network = plain()
    pieces = drawn(network, {"in": density, "l1": density / 2, "l2": 1 - density}, 200)
    found = counts(network, pieces).sum(axis=0)
    for layer, p, count in zip(network.layers, (density, density / 2, 1 - density), found, strict=True):
        trials = 200 * layer.neurons
        assert abs(count - trials * p) < 5 * math.sqrt(trials * p * (1 - p))
    per_neuron = np.bincount(np.concatenate([piece.neurons for piece in pieces]), minlength=1350)[:1000]
    assert np.abs(per_neuron - 200 * density).max() < 6 * math.sqrt(200 * density * (1 - density)) + 1


def test_drawn_steps_vary_as_a_binomial_does():
    """Variance of the count per step is n p (1 - p): neither a fixed count nor layers that fire as one."""
    network = plain((400, 1, 1))
    found = counts(network, drawn(network, {"in": 0.3, "l1": 0, "l2": 0}, 2000))[:, 0]
    assert found.var() == pytest.approx(400 * 0.3 * 0.7, rel=0.2)


def test_densities_0_and_1_are_exact():
    network = plain()
    found = counts(network, drawn(network, {"in": 1, "l1": 0.0, "l2": 1.0}, 20))
    assert (found == [1000, 0, 50]).all()


def test_schedule_repeats():
    network = plain()
    found = counts(network, drawn(network, {"in": [1, 0, 0], "l1": [0, 1], "l2": [1.0]}, 8, chunk=3))
    assert found[:, 0].tolist() == [1000, 0, 0, 1000, 0, 0, 1000, 0]
    assert found[:, 1].tolist() == [0, 300] * 4
    assert (found[:, 2] == 50).all()


@settings(max_examples=20, deadline=None)
@given(seed=seeds, chunk=st.integers(1, 40), densities=st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_same_seed_same_activity_whatever_the_chunks(seed, chunk, densities):
    network = plain((40, 30, 20))
    by_layer = dict(zip(("in", "l1", "l2"), densities, strict=True))
    (whole,) = drawn(network, by_layer, 33, seed)
    pieces = drawn(network, by_layer, 33, seed, chunk=chunk)
    assert whole.neurons.tobytes() == np.concatenate([piece.neurons for piece in pieces]).tobytes()
    assert np.diff(whole.indptr).tolist() == [n for piece in pieces for n in np.diff(piece.indptr)]
    for step in range(33):
        assert (np.diff(whole.firing(step)) > 0).all()
    assert whole.outputs is None


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    sizes=st.lists(st.sampled_from([1, 2, 7, 64, 300, 10_000, 10_001, 15_000]), min_size=1, max_size=3),
    steps=st.lists(st.sampled_from([0, 1e-3, 0.04, 0.06, 0.3, 0.5, 1]) | st.floats(0, 1), min_size=1, max_size=3),
)
def test_drawn_activity_is_what_numpy_draws(seed, sizes, steps):
    """Numbers and stream: binomial, then choice, which shuffles for a large part of more than 10,000, else does not."""
    neurons = [Relay(), Lif(0.1, 1.0, 1.0), Lif(0.1, 1.0, 1.0)]
    layers = tuple(Layer(f"l{k}", (size, 1, 1), neurons[k]) for k, size in enumerate(sizes))
    network, offsets = Network("apart", layers, (), "l0", "l0"), np.cumsum([0, *sizes])
    ours, numpys = (np.random.default_rng(seed) for _ in range(2))
    (found,) = prescribe(network, dict.fromkeys(network.by_name, steps), 4, ours)
    for step in range(4):
        density = steps[step % len(steps)]
        expected = [
            offset + np.sort(numpys.choice(size, numpys.binomial(size, density), replace=False, shuffle=False))
            for size, offset in zip(sizes, offsets, strict=False)
        ]
        assert found.firing(step).tolist() == np.concatenate(expected).tolist()
    assert ours.bit_generator.state == numpys.bit_generator.state


def test_other_seeds_draw_other_activity():
    network = plain()
    first, second = (drawn(network, dict.fromkeys(network.by_name, 0.5), 5, seed)[0] for seed in (1, 2))
    assert first.neurons.tobytes() != second.neurons.tobytes()


@pytest.mark.parametrize(
    "last", [Lif(0.1, 1.0, None), Activation(), FixedSigmaDelta("output")], ids=["Lif", "Activation", "FixedSigmaDelta"]
)
def test_layers_that_only_hold_a_result_are_never_drawn(last):
    """Whatever density they are given, none is needed; followed by a connection a layer does send."""
    network = plain((5, 4), last)
    for densities in ({"in": 1}, {"in": 1, "l1": 1}):
        assert (counts(network, drawn(network, densities, 4)) == [5, 0]).all()
    middle = Layer("l1", (4, 1, 1), Activation())
    ahead = plain((5, 4, 3))
    network = Network("n", (ahead.layers[0], middle, ahead.layers[2]), ahead.connections, "in", "l2")
    assert (counts(network, drawn(network, dict.fromkeys(network.by_name, 1), 4)) == [5, 4, 3]).all()


@pytest.mark.parametrize(
    ("densities", "words"),
    [
        ({"in": 0.1, "l1": 0.1}, "no message density for l2"),
        ({}, "no message density for in, l1, l2"),
        ({"in": 0.1, "l1": 0.1, "l2": 0.1, "l3": 0.1}, "'l3'.*its layers are in, l1, l2"),
        ({"in": 1.5, "l1": 0, "l2": 0}, "layer 'in' is 1.5"),
        ({"in": -0.1, "l1": 0, "l2": 0}, "layer 'in' is -0.1"),
        ({"in": math.nan, "l1": 0, "l2": 0}, "layer 'in' is nan"),
        ({"in": [0.1, 2], "l1": 0, "l2": 0}, "layer 'in' is 2"),
        ({"in": [], "l1": 0, "l2": 0}, "layer 'in' is empty"),
        ({"in": True, "l1": 0, "l2": 0}, "layer 'in' is True"),
        ({"in": "much", "l1": 0, "l2": 0}, "layer 'in' is much"),
        ({"in": [[0.1]], "l1": 0, "l2": 0}, "layer 'in' is"),
        ({"in": {"x": 1}, "l1": 0, "l2": 0}, "layer 'in' is"),
    ],
)
def test_bad_densities_are_refused(densities, words):
    with pytest.raises(InputError, match=words):
        checked_densities(plain(), densities)
    with pytest.raises(InputError, match=words):
        drawn(plain(), densities, 1)


# As given on the command line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1", {"in": 0.1, "l1": 0.1, "l2": 0.1}),
        ("1", {"in": 1, "l1": 1, "l2": 1}),
        ("in=0.1,l1=0.25,l2=0", {"in": 0.1, "l1": 0.25, "l2": 0}),
        ("in = 1e-3 , l1=.5, l2=1.", {"in": 0.001, "l1": 0.5, "l2": 1}),
    ],
)
def test_activity_as_text(text, expected):
    assert parse_activity(text, plain()) == expected


def test_activity_as_file(tmp_path):
    path = tmp_path / "activity.toml"
    path.write_text('[density]\nin = 0.1\nl1 = [0.1, 0.5]\n"l2" = 1\n')
    densities = parse_activity(str(path), plain())
    assert densities == {"in": 0.1, "l1": [0.1, 0.5], "l2": 1}
    assert checked_densities(plain(), densities) == {"in": [0.1], "l1": [0.1, 0.5], "l2": [1.0]}


@pytest.mark.parametrize(
    "text", ["", "much", "0,1", "in=", "in=much", "in=0.1,l1", "in=0.1;l1=0.2", "=", "in=0.1,,l1=0.2", "in==0.1"]
)
def test_bad_activity_text_is_refused(text):
    with pytest.raises(InputError, match="is none of: a number"):
        parse_activity(text, plain())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1.5", "layer 'in' is 1.5"),
        ("nan", "layer 'in' is nan"),
        ("in=0.1", "no message density for l1, l2"),
        ("in=0.1,l1=2,l2=0", "layer 'l1' is 2"),
        ("in=0.1,l1=0.1,l2=0.1,conv=0.1", "names layer 'conv'"),
        ("=0.1", "'=0.1' is not of the form"),
    ],
)
def test_activity_text_that_does_not_fit_the_network_is_refused(text, words):
    with pytest.raises(InputError, match=words):
        drawn(plain(), parse_activity(text, plain()), 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"in = 0.1\n", r"needs one table \[density\]"),
        (b"density = 0.1\n", r"needs one table \[density\]"),
        (b"", r"needs one table \[density\]"),
        (b"[density]\nin = 0.1\n[more]\n", "nothing else"),
        (b"[density\nin = 0.1\n", "cannot read activity file"),
        (b"[density]\nin = 0.1\nin = 0.2\n", "cannot read activity file"),
        (b"\xff\xfe", "cannot read activity file"),
        (None, "cannot read activity file"),
    ],
)
def test_bad_activity_files_are_refused(tmp_path, content, words):
    path = tmp_path / "activity.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as refusal:
        parse_activity(str(path), plain())
    assert path.name in str(refusal.value)
    assert "\n" not in str(refusal.value)
