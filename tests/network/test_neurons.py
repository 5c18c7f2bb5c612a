"""Neuron models: integers against pure-Python twins written from the published rules, floats against float64."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.errors import NetworkError
from nsim.network import neurons
from nsim.network.neurons import (
    Activation,
    DiagonalState,
    FixedIf,
    FixedLif,
    FixedSigmaDelta,
    GatedLinear,
    Lif,
    QuantizedInput,
    QuantizedRelu,
    Relay,
    RuledFixedLif,
    SigmaDelta,
    Threshold,
)

seeds = st.integers(0, 2**32)
RESETS = ("value", "subtract", "subtract-later", "subtract-at-once")


def run(neuron, sums, external=None):
    """Messages of every timestep, for sums[steps, dendrites, neurons] and external[steps, neurons]; and the state."""
    state = neuron.start(sums.shape[2])
    messages = [
        neuron.update(state, arriving.copy(), step, None if external is None else external[step - 1])
        for step, arriving in enumerate(sums, start=1)
    ]
    return np.array(messages), state


def wrapped_to_24_bits(value):
    return (value + 2**23) % 2**24 - 2**23


# Loihi's LIF, bit by bit


def decayed(value, decay, rounding=math.trunc):
    """sign(value) * ((|value| * (4096 - decay)) >> 12), which is an exact quotient rounded toward zero."""
    if rounding is math.trunc:
        return (1 if value >= 0 else -1) * ((abs(value) * (4096 - decay)) >> 12)
    return (value * (4096 - decay)) >> 12


def naive_lif(lif, sums, biases, *, strict=True, rounding=math.trunc, keeps_current=True):
    """One neuron, the rules in their order; sums and biases by step. Returns spikes and the last (u, v)."""
    u = v = 0
    spikes = []
    for step, (arriving, bias) in enumerate(zip(sums, biases, strict=True), start=1):
        if lif.reset_interval and step % lif.reset_interval == lif.reset_phase % lif.reset_interval:
            u = v = 0
        if lif.wraps:
            arriving = wrapped_to_24_bits(arriving)
        u = decayed(u, lif.current_decay, rounding) + arriving * 2**6
        if u > 2**23:
            u -= 2**24
        elif u <= -(2**23):
            u += 2**24
        v = decayed(v, lif.voltage_decay, rounding) + u + bias * 2**6
        v = max(-(2**23 - 1), min(2**23 - 1, v))
        level = lif.threshold * 2**6
        spikes.append(int(v > level if strict else v >= level))
        if spikes[-1]:
            v = 0
            u = u if keeps_current else 0
    return spikes, (u, v)


@st.composite
def lifs(draw):
    decay = st.one_of(st.sampled_from((0, 1, 4095, 4096)), st.integers(0, 4096))
    return FixedLif(
        current_decay=draw(decay),
        voltage_decay=draw(decay),
        threshold=draw(st.one_of(st.integers(0, 40), st.integers(0, 2**17))),
        reset_interval=draw(st.one_of(st.none(), st.integers(1, 7))),
        reset_phase=draw(st.integers(0, 12)),
        wraps=draw(st.booleans()),
    )


@settings(max_examples=100, deadline=None)
@given(lif=lifs(), seed=seeds, exponent=st.integers(2, 26))
def test_fixed_lif_agrees_with_loihi_rules(lif, seed, exponent):
    """Any decays, biases, sums from a few units to far beyond 24 bits (wrap and clip), resets."""
    rng = np.random.default_rng(seed)
    sums = rng.integers(-(2**exponent), 2**exponent, (30, 1, 4))
    biases = rng.integers(-(2**12), 2**12, 4)
    lif = FixedLif(**{**lif.__dict__, "bias": biases})
    messages, state = run(lif, sums)
    for n, bias in enumerate(biases.tolist()):
        spikes, (u, v) = naive_lif(lif, sums[:, 0, n].tolist(), [bias] * 30)
        assert (messages[:, n].tolist(), state["u"][n], state["v"][n]) == (spikes, u, v)


@settings(max_examples=30, deadline=None)
@given(lif=lifs(), seed=seeds)
def test_fixed_lif_input_layer_takes_its_bias_from_outside(lif, seed):
    """Step by step, in place of the parameter."""
    rng = np.random.default_rng(seed)
    biases = rng.integers(-(2**12), 2**12, (20, 3))
    lif = FixedLif(**{**lif.__dict__, "is_input": True, "bias": 999})
    messages, _ = run(lif, np.zeros((20, 1, 3), np.int64), biases)
    for n in range(3):
        assert messages[:, n].tolist() == naive_lif(lif, [0] * 20, biases[:, n].tolist())[0]
    assert lif.external


@pytest.mark.parametrize(
    "miss", [{"strict": False}, {"rounding": math.floor}, {"keeps_current": False}], ids=lambda m: next(iter(m))
)
def test_fixed_lif_is_told_apart_from_near_misses(miss):
    """Each near miss gives other spikes on this input, so the agreement with the twin means something."""
    lif = FixedLif(current_decay=1500, voltage_decay=700, threshold=7)
    sums = np.random.default_rng(1).integers(-4, 6, (200, 1, 20))
    messages, _ = run(lif, sums)
    columns = [sums[:, 0, n].tolist() for n in range(20)]
    right = [naive_lif(lif, column, [0] * 200)[0] for column in columns]
    wrong = [naive_lif(lif, column, [0] * 200, **miss)[0] for column in columns]
    assert messages.T.tolist() == right != wrong


def naive_ruled_lif(lif, sums):
    """One neuron by the rules of Lif, in Python's integers; spikes, u and v."""
    u = v = 0
    spikes, level = [], lif.threshold * 64
    fires = (lambda v: v >= level) if lif.at_threshold else (lambda v: v > level)
    later, at_once = lif.reset_by == "subtract-later", lif.reset_by == "subtract-at-once"
    for arriving in sums:
        u = decayed(u, lif.current_decay) + (arriving + lif.current_bias) * 64
        u = u - 2**24 if u > 2**23 else u + 2**24 if u <= -(2**23) else u
        owed = int((later or at_once) and fires(v))
        v = decayed(v, lif.voltage_decay) + u + lif.bias * 64 - owed * level
        v = max(-(2**23 - 1), min(2**23 - 1, v))
        sent = int(fires(v))
        if lif.many and sent:
            sent = v // level
        if at_once:
            v -= (sent - owed) * level
        elif sent and not later:
            v = v - sent * level if lif.reset_by == "subtract" else lif.reset * 64
        if lif.floor is not None:
            v = max(v, lif.floor * 64)
        spikes.append(sent)
    return spikes, u, v


@settings(max_examples=100, deadline=None)
@given(seed=seeds, exponent=st.integers(2, 19), reset_by=st.sampled_from(RESETS), data=st.data())
def test_ruled_fixed_lif_agrees_with_its_rules(seed, exponent, reset_by, data):
    """By neuron: decays, thresholds, biases and resets; sums up to far beyond what the registers hold."""
    rng = np.random.default_rng(seed)
    parameters = {
        name: rng.integers(low, high, 4)
        for name, low, high in (
            ("current_decay", 0, 4097),
            ("voltage_decay", 0, 4097),
            ("threshold", 1, 2**exponent),
            ("bias", -9, 20),
            ("current_bias", -9, 20),
            ("reset", -40, 1),
        )
    }
    many = reset_by in ("value", "subtract") and data.draw(st.booleans())
    rules = {"reset_by": reset_by, "at_threshold": data.draw(st.booleans()), "many": many}
    rules["floor"] = data.draw(st.one_of(st.none(), st.integers(-60, 0)))
    sums = rng.integers(-(2**exponent), 2 ** (exponent + 1), (40, 1, 4))
    messages, state = run(RuledFixedLif(**parameters, **rules), sums)
    for n in range(4):
        own = {name: int(values[n]) for name, values in parameters.items()}
        expected = naive_ruled_lif(RuledFixedLif(**own, **rules), sums[:, 0, n].tolist())
        assert (messages[:, n].tolist(), state["u"][n], state["v"][n]) == expected


def test_ruled_fixed_lif_with_plain_rules_is_the_fixed_lif():
    sums = np.random.default_rng(2).integers(-300, 500, (60, 1, 5))
    plain, ruled = FixedLif(1000, 200, 700, bias=3), RuledFixedLif(1000, 200, 700, bias=3)
    assert (run(plain, sums)[0] == run(ruled, sums)[0]).all() and not ruled.microcode
    assert all(replace(ruled, **rule).microcode for rule in ({"reset_by": "subtract"}, {"reset": -1}, {"many": True}))


def test_fixed_lif_does_not_spike_at_the_threshold():
    messages, state = run(FixedLif(4096, 4096, threshold=10), np.array([10, 11]).reshape(1, 1, 2))
    assert messages.tolist() == [[0, 1]]
    assert state["v"].tolist() == [10 << 6, 0]


def test_fixed_lif_wraps_its_current_and_clips_its_voltage():
    """2^17 << 6 is the largest current, 2^23; one more unit of 64 wraps; the voltage stops at 2^23 - 1."""
    sums = np.array([2**17, 2**17 + 1, -(2**17), -(2**17) + 1]).reshape(1, 1, 4)
    _, state = run(FixedLif(0, 0, threshold=2**18), sums)
    assert state["u"].tolist() == [2**23, -(2**23) + 64, 2**23, -(2**23) + 64]
    assert state["v"].tolist() == [2**23 - 1, -(2**23) + 64, 2**23 - 1, -(2**23) + 64]


def test_only_the_sums_of_a_convolution_wrap_to_24_bits():
    sums = np.array([2**23, -(2**23) - 1, 2**24 + 5, 2**23 - 1]).reshape(1, 1, 4)
    assert wrapped_to_24_bits(2**23) == -(2**23)
    for wraps, expected in ((True, [-(2**23), 2**23 - 1, 5, 2**23 - 1]), (False, sums.ravel().tolist())):
        _, state = run(FixedSigmaDelta("output", wraps=wraps), sums)
        assert state["sigma"].tolist() == expected


@pytest.mark.parametrize("interval", [1, 4, 16])
@pytest.mark.parametrize("phase", [0, 3, 21])
def test_fixed_lif_reset_keeps_the_sum_that_arrives_with_it(interval, phase):
    """A perfect integrator holds what came since the last step t with t mod interval = phase mod interval."""
    arriving = np.arange(1, 41)
    lif = FixedLif(4096, 0, threshold=2**17, reset_interval=interval, reset_phase=phase)
    state = lif.start(1)
    for step in range(1, 41):
        lif.update(state, arriving[step - 1 : step].reshape(1, 1).copy(), step, None)
        resets = [t for t in range(1, step + 1) if (t - phase) % interval == 0]
        since = resets[-1] if resets else 1
        assert state["v"][0] == arriving[since - 1 : step].sum() << 6


# Sigma-delta in Loihi's integers


def naive_sigma_delta(
    neuron,
    arriving,
    bias=0,
    *,
    reaches=lambda size, threshold: size >= threshold,
    shift=lambda change: math.floor(change / 64),
    residue_of=lambda change, sent, message: change - sent,
    advance=lambda activation, previous, message: activation,
    rectify=lambda value: max(0, value),
):
    """One neuron; `arriving` is the input of an input layer, else the sum, by step. Returns messages and sigma."""
    sigma = previous = residue = 0
    messages = []
    for value in arriving:
        if neuron.role == "input":
            activation = value * 2**12
        else:
            sigma += wrapped_to_24_bits(value) if neuron.wraps else value
            if neuron.role == "output":
                messages.append(0)
                continue
            activation = rectify(sigma + bias * 2**12)
        change = activation - previous + residue
        sent = change if reaches(abs(change), neuron.threshold * 2**12) else 0
        message = shift(sent)
        residue = residue_of(change, sent, message)
        previous = advance(activation, previous, message)
        messages.append(int(message != 0) if neuron.binary else message)
    return messages, sigma


@settings(max_examples=120, deadline=None)
@given(
    role=st.sampled_from(("input", "hidden", "output")),
    threshold=st.one_of(st.just(0), st.integers(0, 40)),
    wraps=st.booleans(),
    binary=st.booleans(),
    exponent=st.integers(3, 26),
    seed=seeds,
)
def test_fixed_sigma_delta_agrees_with_loihi_rules(role, threshold, wraps, binary, exponent, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(-(2**exponent), 2**exponent, (25, 4))
    biases = rng.integers(-64, 65, 4)
    neuron = FixedSigmaDelta(role, threshold, 0 if role == "input" else biases, wraps, binary)
    sums = np.zeros((25, 1, 4), np.int64) if role == "input" else values[:, None]
    messages, state = run(neuron, sums, values if role == "input" else None)
    for n, bias in enumerate(biases.tolist()):
        expected, sigma = naive_sigma_delta(neuron, values[:, n].tolist(), bias)
        assert (messages[:, n].tolist(), state["sigma"][n]) == (expected, sigma)
        assert neuron.readout(state, messages[-1])[n] == (sigma if role == "output" else expected[-1])


NEAR_MISSES = {
    "no residue": {"residue_of": lambda change, sent, message: 0},
    "low bits kept in the residue": {"residue_of": lambda change, sent, message: change - message * 64},
    "no residue, previous advanced by the message": {
        "residue_of": lambda change, sent, message: 0,
        "advance": lambda activation, previous, message: previous + message * 64,
    },
    "message rounded toward zero": {"shift": lambda change: math.trunc(change / 64)},
    "message rounded to nearest": {"shift": lambda change: math.floor(change / 64 + 0.5)},
    "equality does not send": {"reaches": lambda size, threshold: size > threshold},
    "not rectified": {"rectify": lambda value: value},
}


@pytest.mark.parametrize("miss", NEAR_MISSES)
def test_fixed_sigma_delta_is_told_apart_from_near_misses(miss):
    """Sums are multiples of 32, so that changes meet the threshold of 1 << 12 exactly now and then."""
    neuron = FixedSigmaDelta("hidden", threshold=1)
    sums = np.random.default_rng(2).integers(-64, 70, (300, 1, 20)) * 32
    messages, _ = run(neuron, sums)
    columns = [sums[:, 0, n].tolist() for n in range(20)]
    right = [naive_sigma_delta(neuron, column)[0] for column in columns]
    wrong = [naive_sigma_delta(neuron, column, **NEAR_MISSES[miss])[0] for column in columns]
    assert messages.T.tolist() == right != wrong


@pytest.mark.parametrize(
    ("change", "message"), [(0, 0), (1, 0), (63, 0), (64, 1), (127, 1), (-1, -1), (-64, -1), (-65, -2), (6400, 100)]
)
def test_fixed_sigma_delta_messages_are_floored(change, message):
    """0 < change < 64 is sent as 0, which is no message; a negative change loses its low bits downwards."""
    start = 10_000 * 64
    sums = np.array([start, change]).reshape(2, 1, 1)
    messages, state = run(FixedSigmaDelta("hidden"), sums)
    assert messages.ravel().tolist() == [10_000, message]
    assert state["residue"][0] == 0  # the bits that the shift drops are gone


@pytest.mark.parametrize(("size", "sends"), [(4095, False), (4096, True), (4097, True)])
def test_fixed_sigma_delta_sends_at_its_threshold(size, sends):
    messages, state = run(FixedSigmaDelta("hidden", threshold=1), np.full((1, 1, 1), size))
    assert messages[0, 0] == (64 if sends else 0)
    assert state["residue"][0] == (0 if sends else size)


def test_fixed_sigma_delta_withheld_changes_add_up():
    """Ten changes of 1000 with a threshold of 4096: all that was withheld goes out together."""
    messages, _ = run(FixedSigmaDelta("hidden", threshold=1), np.full((10, 1, 1), 1000))
    assert np.flatnonzero(messages.ravel()).tolist() == [4, 9]
    assert messages.ravel()[4] == 5000 >> 6


# Floating point, against float64


def lif_parameters(rng, neurons_in_layer):
    """Each parameter for the layer or by neuron."""

    def either(low, high):
        return float(rng.uniform(low, high)) if rng.random() < 0.5 else rng.uniform(low, high, neurons_in_layer)

    return {
        "leak": either(0, 1),
        "gain": either(0.1, 1),
        "threshold": either(0.2, 1),
        "rest": either(-0.2, 0.2),
        "reset": either(-0.5, 0.1),
        "bias": either(-0.1, 0.1),
    }


@settings(max_examples=20, deadline=None)
@given(seed=seeds, filtered=st.booleans(), fires=st.booleans())
def test_lif_takes_one_euler_step_per_timestep(seed, filtered, fires):
    """Each step against float64 from the same state, so that errors do not add up; near the threshold both may be."""
    rng = np.random.default_rng(seed)
    p = lif_parameters(rng, 8)
    if not fires:
        p["threshold"] = None
    more = {"current_leak": rng.uniform(0, 1, 8), "current_gain": rng.uniform(0, 2, 8)} if filtered else {}
    lif = Lif(**p, **more)
    state = lif.start(8)
    for step in range(1, 30):
        sums = rng.normal(0.2, 1, (1, 8)).astype(np.float32)
        before = state["v"].astype(np.float64)
        current = sums[0].astype(np.float64) + p["bias"]
        if filtered:
            i = state["i"].astype(np.float64)
            current = i + more["current_gain"] * current - more["current_leak"] * i
        v = before + p["leak"] * (p["rest"] - before) + p["gain"] * current
        messages = lif.update(state, sums, step, None)
        if filtered:
            assert np.allclose(state["i"], current, atol=1e-5)
        if not fires:
            assert np.allclose(state["v"], v, atol=1e-5)
            assert (messages == state["v"]).all()
            assert (lif.readout(state, messages) == state["v"]).all()
            continue
        clear = np.abs(v - p["threshold"]) > 1e-5
        spikes = v > p["threshold"]
        assert (messages == spikes)[clear].all()
        assert np.allclose(state["v"], np.where(spikes, p["reset"], v), atol=1e-5) or not clear.all()
    assert lif.graded == lif.holds == (not fires)


def test_lif_does_not_fire_at_its_threshold():
    messages, _ = run(Lif(leak=0, gain=1, threshold=1), np.array([[[1.0, 1.0000001]]], np.float32))
    assert messages.tolist() == [[0, 1]]


def test_perfect_integrator_fires_at_its_rate():
    """Without leak, current 1/4 and threshold 7/8 fire every fourth step."""
    messages, _ = run(Lif(leak=0, gain=1, threshold=0.875), np.full((16, 1, 1), 0.25, np.float32))
    assert np.flatnonzero(messages.ravel()).tolist() == [3, 7, 11, 15]


def test_leaky_membrane_follows_the_exponential():
    """v after t steps of constant current is (1 - (1 - leak)^t) * gain * current / leak: the closed form."""
    lif = Lif(leak=0.1, gain=0.1, threshold=None)
    messages, _ = run(lif, np.full((50, 1, 1), 3, np.float32))
    assert np.allclose(messages.ravel(), 3 * (1 - 0.9 ** np.arange(1, 51)), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, role=st.sampled_from(("input", "hidden", "output")), threshold=st.sampled_from((0.0, 0.1, 1.0)))
def test_sigma_delta_agrees_with_float64(seed, role, threshold):
    """From multiples of 1/32, which float32 adds exactly: then messages are equal, not only close."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-32, 33, (40, 5)) / 32
    bias = 0.0 if role == "input" else rng.integers(-32, 33, 5) / 32
    neuron = SigmaDelta(role, threshold, bias)
    sums = np.zeros((40, 1, 5)) if role == "input" else values[:, None]
    messages, state = run(neuron, sums.astype(np.float32), values if role == "input" else None)
    sigma, previous, residue = np.zeros((3, 5))
    for value, sent in zip(values, messages, strict=True):
        sigma += value
        activation = value if role == "input" else np.maximum(sigma + bias, 0)
        change = activation - previous + residue
        expected = np.where(np.abs(change) >= threshold, change, 0)
        residue, previous = change - expected, activation
        assert (sent == (0 if role == "output" else expected)).all()
    if role == "output":
        assert (neuron.readout(state, messages[-1]) == sigma + bias).all()
    assert neuron.holds == (role == "output")


@settings(max_examples=40, deadline=None)
@given(seed=seeds, threshold=st.floats(0, 2), role=st.sampled_from(("input", "hidden")))
def test_sigma_delta_messages_sum_to_the_activation(seed, threshold, role):
    """Exactly with threshold 0, else never further away than the threshold; both up to float32 rounding."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (60, 6)).astype(np.float32)
    sums = np.zeros((60, 1, 6), np.float32) if role == "input" else values[:, None]
    for level in (0.0, threshold):
        messages, _ = run(SigmaDelta(role, level, bias=0.25), sums, values)
        held = values if role == "input" else np.maximum(np.cumsum(values.astype(np.float64), axis=0) + 0.25, 0)
        received = np.cumsum(messages.astype(np.float64), axis=0)
        assert np.abs(received - held).max() <= level + 1e-4
        assert ((messages == 0) | (np.abs(messages) >= np.float32(level))).all()


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_threshold_fires_above_its_level(seed):
    rng = np.random.default_rng(seed)
    sums, level, bias = rng.integers(-8, 8, (10, 1, 6)) / 8, rng.integers(-8, 8, 6) / 8, rng.integers(-8, 8, 6) / 8
    messages, _ = run(Threshold(level, bias), sums.astype(np.float32))
    assert (messages == (sums[:, 0] + bias > level)).all()
    assert not Threshold(0.5).graded


@settings(max_examples=30, deadline=None)
@given(seed=seeds, rectify=st.booleans())
def test_activation_sends_its_sum(seed, rectify):
    rng = np.random.default_rng(seed)
    sums, bias = rng.normal(size=(10, 1, 6)).astype(np.float32), rng.normal(size=6)
    neuron = Activation(rectify, bias)
    messages, state = run(neuron, sums)
    expected = sums[:, 0].astype(np.float64) + bias
    expected = np.maximum(expected, 0) if rectify else expected
    assert np.allclose(messages, expected, atol=1e-6)
    assert (neuron.readout(state, messages[-1]) == messages[-1]).all()
    assert messages.dtype == np.float32


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_diagonal_state_is_a_complex_recursion(seed):
    """x = lambda * x + input in complex128; real and imaginary parts alternate."""
    rng = np.random.default_rng(seed)
    eigenvalues = rng.uniform(0, 0.99, 4) * np.exp(1j * rng.uniform(0, 2 * np.pi, 4))
    sums = rng.normal(size=(40, 1, 8)).astype(np.float32)
    messages, _ = run(DiagonalState(eigenvalues), sums)
    x = np.zeros(4, complex)
    for arriving, sent in zip(sums[:, 0], messages, strict=True):
        x = eigenvalues * x + (arriving[0::2] + 1j * arriving[1::2])
        assert np.allclose(sent[0::2] + 1j * sent[1::2], x, atol=1e-4)


def test_diagonal_state_needs_two_neurons_per_eigenvalue():
    with pytest.raises(NetworkError, match="4 eigenvalues do not fit 6 neurons"):
        DiagonalState(np.full(4, 0.5j)).start(6)


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_gated_linear_is_a_rectified_gate_with_residual(seed):
    """max(0, value * sigmoid(gate + bias) + residual); extreme gates are 0 or 1, not NaN."""
    rng = np.random.default_rng(seed)
    sums, bias = rng.normal(size=(10, 3, 6)).astype(np.float32), rng.normal(size=6)
    sums[0, 1, :2] = -1000, 1000
    messages, _ = run(GatedLinear(bias), sums)
    value, gate, residual = sums.astype(np.float64).transpose(1, 0, 2)
    with np.errstate(over="ignore"):
        expected = np.maximum(0, value / (1 + np.exp(-(gate + bias))) + residual)
    assert np.allclose(messages, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_relay_sends_its_input(dtype):
    external = np.array([[0, 3, -2, 1]])
    sums = np.zeros((1, 1, 4), dtype)
    graded, _ = run(Relay(), sums, external)
    binary, _ = run(Relay(binary=True), sums, external)
    assert (graded.dtype, graded.tolist()) == (dtype, external.tolist())
    assert (binary.dtype, binary.tolist()) == (dtype, [[0, 1, 1, 1]])


@pytest.mark.parametrize(
    "neuron",
    [
        FixedLif(100, 100, 10, bias=3),
        RuledFixedLif(100, 100, 10, bias=3),
        FixedSigmaDelta("hidden", 1, bias=3),
        Lif(0.1, 1.0, 0.5, current_leak=0.2),
        SigmaDelta("hidden", 0.1),
        Activation(),
        DiagonalState(np.array([0.5 + 0.1j, 0.3])),
    ],
    ids=lambda neuron: type(neuron).__name__,
)
def test_states_of_two_runs_are_apart(neuron):
    """A second run repeats the first: no state lives in the parameters or in arrays handed out."""
    dtype = np.int64 if neuron.fixed_point else np.float32
    sums = np.random.default_rng(3).integers(-20, 40, (12, 1, 4)).astype(dtype)
    (first, _), (second, _) = run(neuron, sums), run(neuron, sums)
    assert first.any()
    assert (first == second).all()


@given(seeds, st.integers(1, 16), st.integers(0, 8))
def test_quantised_rectifier_against_exact_fractions(seed, bits, fraction_bits):
    """The level is the largest whole number of steps in sum + bias, between 0 and the most that the bits hold."""
    rng = np.random.default_rng(seed)
    step, bias = rng.integers(1, 1000, 3), rng.integers(-500, 500, 3)
    sums = rng.integers(-(10**5), 10**5, (1, 1, 6))
    messages, _ = run(QuantizedRelu(bits, step, bias, fraction_bits), sums)
    for neuron, message in enumerate(messages[0]):
        level = Fraction(int(sums[0, 0, neuron] + bias[neuron // 2])) / Fraction(
            int(step[neuron // 2]), 2**fraction_bits
        )
        assert message == min(max(math.floor(level), 0), 2**bits - 1)


def test_quantised_layer_without_bits_sends_its_sums():
    messages, _ = run(QuantizedRelu(None, bias=np.array([2, -3])), np.array([[[5, -5, 3, 0]]]))
    assert messages.tolist() == [[7, -3, 0, -3]]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"bits": 4, "step": 0}, "step of a quantised layer is 0: give whole numbers from 1 up"),
        ({"bits": 4, "step": np.array([1.5])}, "step of a quantised layer is .*1.5"),
        ({"bits": 4, "bias": np.nan}, "bias of a quantised layer is nan: give whole numbers"),
        ({"bits": 0}, "0 bits and 0 fraction bits: give 1..16 and 0..16"),
        ({"bits": 17}, "17 bits"),
        ({"bits": 4, "fraction_bits": -1}, "-1 fraction bits"),
    ],
)
def test_wrong_parameters_of_a_quantised_rectifier_are_refused(parameters, words):
    with pytest.raises(NetworkError, match=words):
        QuantizedRelu(**parameters)


def test_parameters_that_do_not_spread_over_the_neurons_are_refused():
    with pytest.raises(NetworkError, match="4 values, which do not spread over 6 neurons"):
        QuantizedRelu(4, np.array([1, 2, 3, 4])).start(6)


def test_quantised_input_sends_its_values():
    messages, _ = run(QuantizedInput(bits=8), np.zeros((1, 1, 3), np.int64), np.array([[0, 7, 255]]))
    assert messages.tolist() == [[0, 7, 255]]


def test_every_model_is_covered_here():
    models = {
        name for name, kind in vars(neurons).items() if isinstance(kind, type) and issubclass(kind, neurons.Neuron)
    }
    assert models - {"Neuron"} <= set(globals())


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 2**15 - 1),
    st.booleans(),
)
def test_fixed_if_against_its_definition(seed, threshold, to_zero):
    """v = clip(v + sum + bias) to 16 bits; one spike if v >= threshold, which is then subtracted, or v is zero."""
    rng = np.random.default_rng(seed)
    bias, initial = rng.integers(-50, 50, 6), rng.integers(-(2**15), 2**15, 6)
    neuron = FixedIf(threshold, bias=bias, to_zero=to_zero, initial=initial)
    state = neuron.start(6)
    twin = initial.tolist()
    for step in range(1, 9):
        sums = rng.integers(-(2**15), 2**16, (1, 6))
        sent = neuron.update(state, sums, step, None)
        for k in range(6):
            twin[k] = max(-(2**15), min(2**15 - 1, twin[k] + int(sums[0, k]) + int(bias[k])))
            assert sent[k] == (twin[k] >= threshold)
            twin[k] = (0 if to_zero else twin[k] - threshold) if sent[k] else twin[k]
        assert state["v"].tolist() == twin
    assert initial.tolist() == np.asarray(neuron.initial).tolist()  # starting changes no parameter
