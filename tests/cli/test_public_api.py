"""The calls that work for every chip: each option reaches the chips that have it, the others refuse it by name."""

import re
from pathlib import Path

import numpy as np
import pytest

import nsim
from nsim import load_chip, load_network, map_network, quantize, simulate
from nsim.errors import InputError, MappingError, SimulationError
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.events.mapping import StreamMapping
from nsim.mapping.frames.mapping import FrameMapping
from nsim.network.inputs import EventStream
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, Lif, Relay
from nsim.network.synapses import Dense
from nsim.result.events import StreamResult
from nsim.result.frames import FrameResult
from nsim.result.run_events import simulate_stream
from nsim.result.run_frames import simulate_frames
from nsim.result.timesteps import TimestepResult
from tests.generators.frame_networks import conv, dense, quantized_network
from tests.generators.streams import SPECK, chain

CHIPS = {"loihi2": "mlp:width=16,depth=2", "akd1000": "cnn", "speck": "speck-gesture"}
EVENTS = "edges:rate=1e5,seconds=0.002,seed=5"


@pytest.fixture(scope="module")
def mappings() -> dict[str, Mapping | FrameMapping | StreamMapping]:
    return {chip: map_network(load_network(network), load_chip(chip)) for chip, network in CHIPS.items()}


def test_every_chip_has_its_mapping_and_its_result(mappings):
    kinds = {
        "loihi2": (Mapping, TimestepResult),
        "akd1000": (FrameMapping, FrameResult),
        "speck": (StreamMapping, StreamResult),
    }
    options = {"loihi2": {"timesteps": 2}, "akd1000": {"samples": 2}, "speck": {"seconds": 0.001}}
    for chip, (mapping, result) in kinds.items():
        assert isinstance(mappings[chip], mapping)
        found = simulate(mappings[chip], **options[chip])
        assert isinstance(found, result) and isinstance(found, nsim.Result)
        assert found.summary()["chip"] == chip


def test_options_reach_frames():
    network = quantized_network((2, 6, 6), [conv(4), dense(3)], rng=np.random.default_rng(1), sums_at_end=True)
    mapping = map_network(network, load_chip("akd1000"), mode="minimal")
    images = np.random.default_rng(0).integers(0, 16, (3, 1, 2, 6, 6))
    found = simulate(mapping, images, samples=2, critical_path=True, engine="simpy")
    same = simulate_frames(mapping, images, samples=2, critical_path=True)
    assert found.engine == "simpy" and found.spans == 2
    assert found.path_ps == same.path_ps and sum(found.path_ps.values()) == found.latency_ps > 0
    drawn = [simulate(mapping, activity=0.3, samples=1, seed=seed).latency_ps for seed in (3, 4)]
    assert drawn == [simulate_frames(mapping, activity=0.3, samples=1, seed=seed).latency_ps for seed in (3, 4)]
    assert drawn[0] != drawn[1]


def test_options_reach_streams(mappings):
    found = simulate(mappings["speck"], EVENTS, seconds=0.001, engine="simpy")
    same = simulate_stream(mappings["speck"], EVENTS, seconds=0.001)
    assert found.engine == "simpy"
    np.testing.assert_array_equal(found.outputs, same.outputs)
    made_up = simulate(mappings["speck"], seed=3, seconds=0.001)
    assert "seed=3" in made_up.note


def test_a_stream_tells_its_critical_path(mappings):
    found = simulate(mappings["speck"], EVENTS, critical_path=True)
    assert found.path_ps == simulate_stream(mappings["speck"], EVENTS, critical_path=True).path_ps
    assert sum(found.path_ps.values()) == found.times.end_ps
    assert simulate(mappings["speck"], EVENTS).path_ps == {}


def test_the_slow_clock_is_dt():
    mapping = map_network(chain(1, bias=1), SPECK)
    stream = EventStream(np.array([10**9]), np.array([36]), 64)
    assert simulate(mapping, stream, dt_s=1e-5).times.sweeps.sum() == 100
    with pytest.raises(InputError, match="have biases"):
        simulate(mapping, stream)


@pytest.mark.parametrize(
    ("chip", "options"),
    [
        ("loihi2", {"seconds": 0.1}),
        ("akd1000", {"timesteps": 5}),
        ("akd1000", {"threads": 1}),
        ("akd1000", {"seconds": 0.1}),
        ("akd1000", {"trace": {"messages": Path("x")}}),
        ("speck", {"activity": 0.1}),
        ("speck", {"timesteps": 5}),
        ("speck", {"samples": 5}),
        ("speck", {"threads": 1}),
        ("speck", {"trace": {"messages": Path("x")}}),
    ],
)
def test_a_run_refuses_options_of_other_chips(mappings, chip, options):
    ((name, value),) = options.items()
    shown = repr(next(iter(value)) if name == "trace" else value)
    with pytest.raises(SimulationError, match=f"^{name} {shown} is not for chip {chip!r}, which works on .*: leave"):
        simulate(mappings[chip], **options)


@pytest.mark.parametrize(
    ("chip", "options", "words"),
    [
        ("loihi2", {"mode": "minimal"}, "mode 'minimal' is not for chip 'loihi2', which works on timesteps"),
        ("loihi2", {"clock_mode": "economy"}, "clock mode 'economy' is not for chip 'loihi2'"),
        ("loihi2", {"placement": {"fc0": 1}}, "placement {'fc0': 1} is not for chip 'loihi2': give row-major"),
        ("akd1000", {"partition": 4}, "partition 4 is not for chip 'akd1000', which works on frames"),
        ("akd1000", {"placement": {"conv_1": 0}}, "placement {'conv_1': 0} is not for chip 'akd1000'"),
        ("speck", {"partition": {"fc": 2}}, "partition {'fc': 2} is not for chip 'speck', which works on events"),
        ("speck", {"weight_format": "sparse"}, "weight format 'sparse' is not for chip 'speck'"),
        ("speck", {"mode": "all-nps"}, "mode 'all-nps' is not for chip 'speck'"),
        ("speck", {"clock_mode": "economy"}, "clock mode 'economy' is not for chip 'speck'"),
        (
            "speck",
            {"placement": "greedy"},
            "placement 'greedy' is not for chip 'speck'",
        ),
        ("speck", {"core_options": "core.conv9=0"}, "placement names 'conv9'"),
        ("mosaic", {"partition": "even:2"}, "partition 'even:2' is not for chip 'mosaic', which works on ticks"),
    ],
)
def test_a_mapping_refuses_options_of_other_chips(chip, options, words):
    with pytest.raises(MappingError, match=re.escape(words)):
        map_network(load_network(CHIPS.get(chip, "cnn")), load_chip(chip), **options)


def test_layers_can_be_put_on_cores_of_speck():
    mapping = map_network(load_network("speck-gesture"), load_chip("speck"), core_options="core.conv1=2")
    assert mapping.layers[0].name == "conv1" and mapping.layers[0].core == 2


def test_event_streams_are_for_chips_without_timesteps(mappings):
    stream = EventStream(np.zeros(1, np.int64), np.zeros(1, np.int64), 3 * 32 * 32)
    for chip in ("loihi2", "akd1000"):
        with pytest.raises(InputError, match="an EventStream is for chips without timesteps"):
            simulate(mappings[chip], stream)


def fully_connected(first, neuron) -> Network:
    """4 inputs to 2 neurons with weights of 0.25, 0.5, ..."""
    matrix = 0.25 * np.arange(1, 9).reshape(2, 4)
    layers = Layer("input", (4, 1, 1), first, on_chip=False), Layer("fc", (2, 1, 1), neuron)
    connection = Connection("input", "fc", Dense(matrix, (4, 1, 1), (2, 1, 1)))
    return Network("real", layers, (connection,), "input", "fc")


def test_real_numbers_on_speck_are_rounded():
    neuron = Lif(leak=0.0, gain=1.0, threshold=1.0)
    mapping = map_network(fully_connected(Relay(binary=True), neuron), load_chip("speck"))
    assert mapping.layers[0].kernel.max() == 127  # 2.0, the largest weight
    assert mapping.layers[0].neuron.threshold == 64  # the first whole number above 1.0 x 127 / 2


def test_real_numbers_on_akd1000_are_quantised_by_the_user():
    network = fully_connected(Relay(), Activation(rectify=True))
    with pytest.raises(MappingError, match=r"quantise the network \(nsim.quantize\)"):
        map_network(network, load_chip("akd1000"))
    samples = np.random.default_rng(0).integers(0, 16, (8, 4, 1, 1))
    whole = quantize(network, samples, input_bits=4)
    result = simulate(map_network(whole, load_chip("akd1000")), samples[:, None])
    scale = float(re.search(r"outputs times (\S+) are", whole.notes[-1])[1])
    exact = samples.reshape(8, 4) @ network.connections[0].synapses.matrix.T
    np.testing.assert_allclose(result.outputs * scale, exact, atol=0.1 * exact.max())


def test_names_are_those_that_are_documented():
    assert all(getattr(nsim, name) is not None for name in nsim.__all__)
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        nsim.simulat  # noqa: B018
