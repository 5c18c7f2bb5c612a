"""What one event does to a core, against a twin that knows nothing of runs, phases and turned-round weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsim.machine.events import addresses, build_stream_machine, coordinates
from nsim.mapping.events.kernels import count_synops, integrate, pass_on, sweep
from nsim.mapping.events.mapping import CoreLayer, map_stream
from nsim.network.layers import Connection, Layer
from nsim.network.neurons import FixedIf, Relay
from tests.generators.streams import SPECK, convolution, network_of


def one_core(kernel, source, stride=(1, 1), padding=(0, 0), **neuron):
    synapses = convolution(kernel, source, stride, padding)
    layers = [Layer("input", source, Relay(binary=True), on_chip=False)]
    layers.append(Layer("conv", synapses.target_shape, FixedIf(**neuron)))
    machine = build_stream_machine(map_stream(network_of(layers, [Connection("input", "conv", synapses)]), SPECK))
    return machine, machine.mapping.layers[0]


def event_at(machine, layer: CoreLayer, at: int, state, spikes) -> tuple[int, int, int]:
    return integrate(machine.cores, layer.core, at, state, machine.weights, machine.taps, spikes)


def naive_event(layer: CoreLayer, state: dict, channel: int, row: int, column: int):
    """out[o, y, x] = sum of kernel[o, c, i, j] where in[c, y*s - p + i, x*s - p + j] is the event. Spikes in order."""
    _, kernel_rows, kernel_columns, outputs = layer.kernel.shape
    (_, rows, columns), neuron = layer.layer.shape, layer.neuron
    synops, skipped, spikes = 0, 0, []
    for y in range(rows):
        for x in range(columns):
            i, j = row + layer.padding[0] - y * layer.stride[0], column + layer.padding[1] - x * layer.stride[1]
            if 0 <= i < kernel_rows and 0 <= j < kernel_columns:
                for o in range(outputs):
                    weight = int(layer.kernel[channel, i, j, o])
                    if weight == 0:
                        skipped += 1
                        continue
                    value = state[y, x, o] + weight
                    state[y, x, o] = max(-(2**15), min(2**15 - 1, value))
                    synops += 1
                    if state[y, x, o] >= neuron.threshold:
                        state[y, x, o] = 0 if neuron.to_zero else state[y, x, o] - neuron.threshold
                        spikes.append((y, x, o))
    return (synops, skipped), spikes


@st.composite
def layers_with_events(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    source = tuple(int(n) for n in rng.integers(1, 8, 3))
    stride, padding = (tuple(int(n) for n in rng.choice(choices, 2)) for choices in ((1, 1, 2, 4), range(4)))
    size = [int(rng.integers(1, source[a + 1] + 2 * padding[a] + 1)) for a in (0, 1)]
    largest = draw(st.sampled_from((4, 127)))
    kernel = rng.integers(-largest, largest + 1, (int(rng.integers(1, 6)), source[0], *(min(n, 6) for n in size)))
    threshold = int(rng.integers(1, draw(st.sampled_from((20, 2**15 - 1)))))
    machine, layer = one_core(
        kernel, source, stride, padding, threshold=threshold, to_zero=bool(rng.random() < 0.5), initial=0
    )
    far = draw(st.booleans())  # states near both ends saturate
    low, high = (-(2**15), 2**15) if far else (-10, 10)
    state = rng.integers(low, min(high, threshold), machine.state.size).astype(np.int16)
    return machine, layer, state, rng.integers(0, int(np.prod(source)), 12)


@given(layers_with_events())
def test_events_against_the_definition(given_layer):
    machine, layer, state, events = given_layer
    channels, rows, columns = layer.layer.shape
    twin = {place: int(state.reshape(rows, columns, channels)[place]) for place in np.ndindex(rows, columns, channels)}
    spikes = np.empty(state.size, np.int32)
    shape = machine.mapping.sensor_shape
    for event in events.tolist():
        at = addresses(np.array([event]), shape)[0]
        *synops, found = event_at(machine, layer, at, state, spikes)
        expected_synops, expected = naive_event(layer, twin, *(int(n) for n in np.unravel_index(event, shape)))
        assert tuple(synops) == expected_synops
        assert count_synops(machine.cores, machine.taps, np.array([layer.core]), np.array([at])) == [synops[0]]
        assert [np.unravel_index(n, (rows, columns, channels)) for n in spikes[:found]] == expected
    assert state.tolist() == [twin[place] for place in np.ndindex(rows, columns, channels)]


@given(layers_with_events())
def test_synops_and_skipped_zeros_are_the_fan_out_of_the_network(given_layer):
    """The counts of `Convolution.fan_out`, which knows nothing of this layout."""
    from nsim.network.synapses import Box

    machine, layer, state, events = given_layer
    synapses = machine.mapping.network.connections[0].synapses
    fan_out = synapses.fan_out(Box.whole(synapses.target_shape))
    spikes = np.empty(state.size, np.int32)
    for event, at in zip(events, addresses(events, synapses.source_shape), strict=True):
        assert sum(event_at(machine, layer, at, state, spikes)[:2]) == fan_out[event]


@pytest.mark.parametrize("to_zero", [False, True])
def test_one_spike_per_event_however_far_above_threshold(to_zero):
    """State 0, weight 100, threshold 30: one spike; what is left above threshold fires with the next event only."""
    machine, layer = one_core(np.full((1, 1, 1, 1), 100), (1, 1, 1), threshold=30, to_zero=to_zero)
    spikes = np.empty(1, np.int32)
    state = machine.state.copy()
    assert event_at(machine, layer, 0, state, spikes) == (1, 0, 1)
    assert state[0] == (0 if to_zero else 70)


@pytest.mark.parametrize("weight, start, end", [(-128, -(2**15) + 5, -(2**15)), (127, 2**15 - 10, 2**15 - 1)])
def test_the_state_saturates_at_both_ends(weight, start, end):
    machine, layer = one_core(np.full((1, 1, 1, 1), weight), (1, 1, 1), threshold=2**15 - 1, initial=0)
    state = np.array([start], np.int16)
    *_, found = event_at(machine, layer, 0, state, np.empty(1, np.int32))
    assert (int(state[0]), found) == ((end, 0) if end < 0 else (0, 1))


def test_zero_weights_are_skipped():
    """36 positions: with a zero weight nothing happens there, even to a neuron that is still above threshold."""
    machine, layer = one_core(np.zeros((4, 1, 3, 3), int), (1, 5, 5), padding=(1, 1), threshold=5)
    middle = addresses(np.array([12]), (1, 5, 5))[0]
    state = np.full(machine.state.size, 9, np.int16)
    assert event_at(machine, layer, middle, state, np.empty(100, np.int32)) == (0, 36, 0)
    assert (state == 9).all()


def test_a_sweep_adds_every_channels_bias_once():
    bias = np.repeat([5, -3], 9)
    machine, layer = one_core(np.ones((2, 1, 1, 1), int), (1, 3, 3), threshold=10, bias=bias)
    state, spikes = machine.state.copy(), np.empty(18, np.int32)
    assert sweep(machine.cores, layer.core, state, machine.biases, spikes) == 0
    assert state.reshape(3, 3, 2).tolist() == [[[5, -3]] * 3] * 3
    assert sweep(machine.cores, layer.core, state, machine.biases, spikes) == 9
    assert spikes[:9].tolist() == list(range(0, 18, 2))


def test_spikes_without_destination_are_counted_and_go_nowhere():
    """A 3 x 3 map pooled by 2: only the four places of the whole window have a copy."""
    first = convolution(np.ones((1, 1, 1, 1), int), (1, 3, 3))
    second = convolution(np.ones((1, 1, 1, 1), int), (1, 3, 3), pool=(2, 2))
    layers = [Layer("input", (1, 3, 3), Relay(binary=True), on_chip=False)]
    layers += [Layer("a", (1, 3, 3), FixedIf(1)), Layer("b", (1, 1, 1), FixedIf(1))]
    network = network_of(layers, [Connection("input", "a", first), Connection("a", "b", second)])
    machine = build_stream_machine(map_stream(network, SPECK))
    core = machine.mapping.layers[0].core
    spikes = np.arange(9, dtype=np.int32)
    kept, _ = pass_on(machine.cores, machine.ways, machine.sources, core, 0, spikes, 9)
    places = {tuple(int(part) for part in coordinates(np.int64(spike))) for spike in spikes[:kept]}
    assert places == {(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)}
