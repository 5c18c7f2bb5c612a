"""A network is a pipeline of its layers: outputs are complete, and means are over the timesteps in which it is full."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim import load_chip, load_network, map_network, simulate
from nsim.errors import InputError
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import FixedIf, FixedSigmaDelta, Relay
from nsim.network.pipeline import depth
from nsim.network.synapses import Dense
from tests.generators.commands import nsim, refused

LOIHI2 = load_chip("loihi2")


def chain(layers, width=5, delay=0, skip=False):
    """Every neuron repeats what the one before it sent a timestep ago."""
    names = ["input", *(f"layer{n}" for n in range(layers))]
    made = [Layer(names[0], (width, 1, 1), Relay(binary=True), on_chip=False)]
    made += [Layer(name, (width, 1, 1), FixedIf(1, to_zero=True)) for name in names[1:]]
    shape = (width, 1, 1)
    pairs = list(itertools.pairwise(names)) + ([(names[0], names[-1])] if skip else [])
    synapses = Dense(np.eye(width, dtype=np.int64), shape, shape)
    connections = tuple(Connection(a, b, synapses, source_delay=delay) for a, b in pairs)
    return Network("chain", tuple(made), connections, "input", names[-1])


@settings(max_examples=25)
@given(layers=st.integers(1, 9), timesteps=st.integers(1, 6), samples=st.integers(1, 3), delay=st.integers(0, 2))
def test_outputs_are_complete_and_messages_conserved(layers, timesteps, samples, delay):
    """What goes into a chain comes out of it, so many timesteps later, in every sample."""
    frames = np.random.default_rng(layers).random((samples, timesteps, 5)) < 0.5
    network = chain(layers, delay=delay)
    result = simulate(map_network(network, LOIHI2), frames)
    under_way = layers * (1 + delay)
    assert depth(network) == under_way and result.spans == samples * (timesteps + under_way)
    outputs = result.outputs.reshape(samples, timesteps + under_way, 5)
    assert (outputs[:, under_way:] == frames).all() and not outputs[:, :under_way].any()
    facts = result.summary()
    assert facts["messages"] == layers * frames.sum()
    full = max(0, timesteps - under_way) * samples
    assert facts["steady_timesteps"] == (full or result.spans)


def test_means_of_a_full_pipeline_are_those_of_drawn_activity():
    """All neurons send in every timestep once it is full: as many messages, as much time and energy a timestep."""
    frames = np.ones((40, 5), bool)
    network = chain(8)
    mapping = map_network(network, LOIHI2)
    filled = simulate(mapping, frames).summary()
    drawn = simulate(mapping, activity=1.0, timesteps=20).summary()
    assert filled["steady_timesteps"] == 32
    for key in ("time_per_timestep_ps", "known_dynamic_energy_per_timestep_fj", "management_per_timestep_ps"):
        assert filled[key] == pytest.approx(drawn[key], rel=1e-9)


def test_behind_inputs_that_send_changes_the_last_value_stays():
    """A still image of five pixels is five messages, sent once: silence behind it sends no darkness."""
    names, shape = ("input", "hidden", "output"), (5, 1, 1)
    layers = [Layer(name, shape, FixedSigmaDelta(name), on_chip=name != "input") for name in names]
    pairs = itertools.pairwise(names)
    connections = tuple(Connection(a, b, Dense(np.eye(5, dtype=np.int64), shape, shape)) for a, b in pairs)
    network = Network("still", tuple(layers), connections, "input", "output")
    result = simulate(map_network(network, LOIHI2), np.full((3, 5), 7))
    assert result.spans == 3 + 2
    assert result.counts.spikes[:, 0].tolist() == [5, 0, 0, 0, 0]
    assert (result.outputs[-1] == 7).all()


def test_an_input_shorter_than_the_pipeline_says_so():
    result = simulate(map_network(chain(8), LOIHI2), np.ones((4, 5), bool))
    assert result.summary()["steady_timesteps"] == result.spans == 12
    (note,) = [note for note in result.provenance()["notes"] if "pipeline" in note]
    assert (
        note
        == "the input (4 timesteps) never fills the pipeline (8): means are over all; silence of 8 timesteps empties it"
    )


@pytest.mark.parametrize(("network", "chip"), [("mlp:width=8,depth=2,inputs=8", "loihi2"), ("cnn", "akd1000")])
def test_default_activity_is_told_of_runs_that_draw_it(network, chip):
    mapping = map_network(load_network(network), load_chip(chip))
    assert notes_of(simulate(mapping, samples=1)).count("default activity is assumed") == 1
    assert "default activity" not in notes_of(simulate(mapping, activity=0.01, samples=1))
    frames = np.ones((1, *mapping.network.layers[0].shape), np.uint8)
    assert "default activity" not in notes_of(simulate(mapping, frames))


def notes_of(result):
    return " ".join(result.provenance()["notes"])


def test_a_number_of_timesteps_is_kept_to_and_what_is_cut_is_said():
    mapping, frames = map_network(chain(3), LOIHI2), np.ones((4, 5), bool)
    result = simulate(mapping, frames, timesteps=12)
    assert result.spans == 12 and result.outputs[3:7].all() and not result.outputs[7:].any()
    assert "silence of 8 timesteps empties it" in notes_of(result)
    assert "its last outputs are cut (--drain)" in notes_of(simulate(mapping, frames, timesteps=4))
    assert "are cut after silence of 2 timesteps (--drain)" in notes_of(simulate(mapping, frames, timesteps=6))
    assert simulate(mapping, frames, drain=False).spans == 4


@pytest.mark.parametrize(("timesteps", "spans"), [(12, 12), (5, 7), (4, 7), (3, 6)])
def test_draining_lasts_until_the_pipeline_is_empty_and_no_longer(timesteps, spans):
    mapping = map_network(chain(3), LOIHI2)
    assert simulate(mapping, np.ones((4, 5), bool), timesteps=timesteps, drain=True).spans == spans


def test_silence_behind_the_frames_is_in_no_mean():
    """A run that goes on for long after its frames tells the same of a timestep as one that ends with them."""
    mapping, frames = map_network(chain(3), LOIHI2), np.ones((9, 5), bool)
    ends, goes_on = simulate(mapping, frames).summary(), simulate(mapping, frames, timesteps=90).summary()
    assert ends["steady_timesteps"] == goes_on["steady_timesteps"] == 6
    for key in ("time_per_timestep_ps", "known_dynamic_energy_per_timestep_fj"):
        assert ends[key] == goes_on[key]


def test_silence_behind_the_frames_of_a_loop_is_in_no_mean():
    loop = chain(3)
    back = Connection("layer2", "layer0", Dense(np.zeros((5, 5), np.int64), (5, 1, 1), (5, 1, 1)))
    looped = Network("loop", loop.layers, (*loop.connections, back), "input", "layer2")
    result = simulate(map_network(looped, LOIHI2), np.ones((4, 5), bool), timesteps=12)
    assert result.summary()["steady_timesteps"] == 4 and result.spans == 12
    assert "means leave out the silence of 8 timesteps behind each sample" in notes_of(result)


def test_a_warm_up_of_ones_own():
    result = simulate(map_network(chain(3), LOIHI2), np.ones((10, 5), bool), warm_up=6)
    assert result.summary()["steady_timesteps"] == 4
    whole = simulate(map_network(chain(3), LOIHI2), np.ones((10, 5), bool), warm_up=0)
    assert whole.summary()["steady_timesteps"] == 10


def test_the_longest_path_counts_and_loops_of_several_layers_have_none():
    assert depth(chain(4, skip=True)) == 4
    loop = chain(3)
    back = Connection("layer2", "layer0", loop.connections[0].synapses)
    assert depth(Network("loop", loop.layers, (*loop.connections, back), "input", "layer2")) is None


def test_wrong_options(tmp_path):
    with pytest.raises(InputError, match="warm-up is -1 timesteps"):
        simulate(map_network(chain(2), LOIHI2), np.ones((3, 5), bool), warm_up=-1)
    assert "drawn activity fills every layer" in refused("run", "mlp", "--chip", "loihi2", "--drain")
    assert "drain is not for chip 'speck'" in refused("run", "speck-gesture", "--chip", "speck", "--drain")
    np.save(tmp_path / "frames.npy", np.ones((4, 8), np.float32))
    run = ("run", "mlp:width=8,depth=2,inputs=8", "--chip", "loihi2", "--input", "frames.npy")
    assert "pipeline" in nsim(*run, cwd=tmp_path).stdout
