"""What the management processors add to a timestep: as measured, in both engines, in every state, and bad input."""

import numpy as np
import pytest

import nsim
from nsim.chip.chip import changed
from nsim.errors import ChipError, InputError, SimulationError
from nsim.network.builtin import build
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Lif
from nsim.network.synapses import Dense
from nsim.result.limits.timesteps_bottleneck import bottleneck_of
from tests.generators.commands import refused

OWN = {"runtime": "lava", "embedded_us": 2.5, "per_sample_us": 40.0}


def small():
    return nsim.map_network(build("mlp", width=24, depth=2, inputs=16), nsim.load_chip("loihi2"))


def two_neurons() -> Network:
    """As measured: a LIF neuron, one dense connection, a LIF neuron, each of them on a core."""
    layers = tuple(Layer(name, (1, 1, 1), Lif(leak=1.0, gain=1.0, threshold=0.5)) for name in ("first", "second"))
    connection = Connection("first", "second", Dense(np.full((1, 1), 64), (1, 1, 1), (1, 1, 1)))
    return Network("two neurons", layers, (connection,), "first", "second")


@pytest.mark.parametrize(("runtime", "least_us", "most_us"), [(None, 1.155, 1.175), ("bare", 0.067, 0.200)])
def test_two_neurons_take_what_was_measured(runtime, least_us, most_us):
    """1.1637 us per timestep and 23 +- 17 mW under Lava (NECOTIS); the bare mesh stays below 200 ns (Intel)."""
    result = nsim.simulate(
        nsim.map_network(two_neurons(), nsim.load_chip("loihi2")), activity=0.025, timesteps=200, runtime=runtime
    )
    assert least_us < result.time_ps / result.spans / 1e6 < most_us
    if runtime is None:
        assert 6 < result.energy.dynamic_fj / result.time_ps < 40


def test_engines_agree_and_states_sum_to_every_timestep():
    runs = [
        nsim.simulate(small(), timesteps=3, samples=2, engine=engine, critical_path=True, **OWN)
        for engine in ("compiled", "simpy")
    ]
    assert runs[0].summary() == runs[1].summary() | {"engine": "compiled"}
    for result in runs:
        assert sum(result.step_path_ps.values()).tolist() == result.step_ps.tolist()
        assert result.table("timesteps")["management_ps"].tolist() == result.step_path_ps["management"].tolist()


def test_user_code_runs_in_every_timestep_and_once_per_sample():
    alone, own = (nsim.simulate(small(), timesteps=3, samples=2, **options) for options in ({}, OWN))
    assert ((own.step_ps - alone.step_ps) / 1e6).tolist() == [42.5, 2.5, 2.5] * 2
    assert own.energy.unknown == [*alone.energy.unknown, "embedded_code"]
    assert own.energy.by_action_fj["management"] == alone.energy.by_action_fj["management"]


def test_the_floorline_knows_the_term_and_stays_below():
    result = nsim.simulate(small(), timesteps=4, samples=2, critical_path=True, **OWN)
    bounds = bottleneck_of(result).bounds
    assert (bounds.least_ps <= result.step_ps).all()
    assert bounds.terms_ps["management"].tolist() == result.management_ps.tolist()
    assert (bounds.state, result.limit().name) == ("management", "management")


def test_the_chip_file_says_which_runtime_is_the_default():
    chip = nsim.load_chip("loihi2")
    bare = nsim.map_network(small().network, changed(chip, {"management.default.runtime": "bare"}))
    assert nsim.simulate(bare, timesteps=2).time_ps == nsim.simulate(small(), timesteps=2, runtime="bare").time_ps
    assert nsim.simulate(bare, timesteps=2).summary()["runtime"] == "bare"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"runtime": "lavaa"}, 'did you mean "lava"'),
        ({"embedded_us": -1.0}, "embedded time is -1.0 us"),
        ({"embedded_us": float("nan")}, "embedded time is nan us"),
        ({"per_sample_us": float("inf")}, "per-sample time is inf us"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        nsim.simulate(small(), timesteps=1, **options)


def test_chips_without_the_table_have_no_runtime():
    loihi = nsim.map_network(small().network, nsim.load_chip("loihi"))
    with pytest.raises(InputError, match=r"no table \[management\]"):
        nsim.simulate(loihi, timesteps=1, runtime="lava")
    assert nsim.simulate(loihi, activity=0.0, timesteps=1, embedded_us=9.0).management_ps.tolist() == [9_000_000]
    frames = nsim.map_network(build("cnn"), nsim.load_chip("akd1000"))
    with pytest.raises(SimulationError, match="runtime 'bare' is not for chip 'akd1000'"):
        nsim.simulate(frames, samples=1, runtime="bare")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--runtime", "lavaa"), 'did you mean "lava"'),
        (("--embedded-us", "-1"), "embedded time is -1.0 us"),
        (("--per-sample-us", "nan"), "per-sample time is nan us"),
        (("--embedded-us", "much"), "'--embedded-us'"),
    ],
)
def test_the_command_line_refuses_the_same(option, words):
    assert words in refused("run", "mlp", "--chip", "loihi2", *option)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('runtime = "lava"', 'runtime = "kernel"', "management.default.runtime"),
        ("[management.bare]", "[management.idle]", "management.idle"),
        ("latency_ps = 1_092_800", "latency_ps = 1.5", "management.lava.latency_ps"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, old, new, words):
    path = tmp_path / "mine.toml"
    text = nsim.load_chip("loihi2").path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ChipError, match=words):
        nsim.load_chip(str(path))
