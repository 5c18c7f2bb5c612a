"""What a run without timesteps tells, on Speck: the chip's anchors, loads, late and lost events, energy, the screen."""

import inspect
import json
import re

import numpy as np
import pandas as pd
import pytest

from nsim.activity import evaluate
from nsim.errors import InputError, SimulationError
from nsim.events import EventStream
from nsim.network import Connection, Layer
from nsim.neurons import FixedIf, Relay
from nsim.spikes import Frames
from nsim.stream import result as result_module
from nsim.stream.mapping import map_stream
from nsim.stream.run import simulate_stream
from nsim.workloads import build
from tests.streams import SPECK, chain, convolution, network_of
from tests.test_cli import nsim, refused

MIDDLE = 4 * 8 + 4  # of a map of 8 x 8


def stream(t_ps, neuron=MIDDLE, neurons=64) -> EventStream:
    t_ps = np.asarray(t_ps, np.int64)
    return EventStream(t_ps, np.broadcast_to(np.asarray(neuron, np.int64), t_ps.shape).copy(), neurons)


@pytest.fixture(scope="module")
def gesture():
    return map_stream(build("speck-gesture"), SPECK)


@pytest.fixture(scope="module")
def overloaded(gesture):
    return simulate_stream(gesture, "edges:rate=5e5,seconds=0.02,seed=1")


# --- anchors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth, latency_ps", [(1, 1_580_000), (9, 3_360_000)])
@pytest.mark.parametrize("placement", [{}, {"conv0": 5}])
def test_latency_of_one_event_richter2023(depth, latency_ps, placement):
    """1.58 us through one layer, 3.36 us through nine, 3 x 3, stride 1, padding 1: exactly, on whatever cores."""
    result = simulate_stream(map_stream(chain(depth), SPECK, placement), stream([7]))
    assert result.latency_ps.tolist() == [latency_ps]


def test_ceilings_lie_between_a_sixth_and_all_of_the_published_peak():
    """DYNAP-CNN peaks at about 200 M synops/s over six layers; the two parallel cores are faster than the others."""
    slow, fast = (1e12 / getattr(SPECK.actions, name).latency_ps for name in ("synop", "synop_parallel"))
    assert 200e6 / 6 <= slow <= 200e6
    assert slow < fast


# task, net, total mW, spikes: Yao et al. 2024, table 1; 0.42 mW at rest, 540 ms
GESTURE = [("gesture vanilla", 9.5, 1.0e6), ("gesture dynamic", 3.8, 0.4e6)]
GAIT = [("gait-day vanilla", 16.1, 2.9e6), ("gait-day dynamic", 7.3, 1.2e6)]
SYNOPS_PER_SPIKE = 32 * 3 * 3


def predicted_mw(spikes: float) -> float:
    energy_fj = spikes * SYNOPS_PER_SPIKE * SPECK.actions.synop.energy_fj
    return energy_fj / 0.540e12 + SPECK.power.static_mw


@pytest.mark.parametrize("name, total_mw, spikes", GESTURE)
def test_energy_per_synop_reproduces_the_rows_it_is_fitted_to(name, total_mw, spikes):
    assert predicted_mw(spikes) == pytest.approx(total_mw, rel=0.06), name


def test_energy_per_synop_is_the_least_squares_fit():
    energy_fj = np.array([(total_mw - SPECK.power.static_mw) * 0.540e12 for _, total_mw, _ in GESTURE])
    synops = np.array([spikes * SYNOPS_PER_SPIKE for *_, spikes in GESTURE])
    assert SPECK.actions.synop.energy_fj == round(float(energy_fj @ synops / (synops @ synops)))
    assert SPECK.actions.synop_parallel.energy_fj == SPECK.actions.synop.energy_fj


@pytest.mark.parametrize("name, total_mw, spikes", GAIT)
def test_energy_per_synop_on_rows_it_is_not_fitted_to(name, total_mw, spikes):
    """The prediction is 50 to 70 % too high, and the chip file says so: synops per spike by layer are not published."""
    error = predicted_mw(spikes) / total_mw - 1
    print(f"{name}: predicted {predicted_mw(spikes):.1f} mW, measured {total_mw} mW, error {error:+.0%}")
    assert 0.5 < error < 0.7
    assert "66 and 57 % too much" in SPECK.actions.synop.origin["energy_fj"].note


def test_a_chip_without_events_draws_its_resting_power(gesture):
    result = simulate_stream(gesture, stream([], neurons=2 * 128 * 128), seconds=0.01)
    assert result.actions["synop"] == 0
    assert result.times.end_ps == 0  # nothing happened, so no time passed and nothing was drawn
    result = simulate_stream(map_stream(chain(1), SPECK), stream([10**12 - 1_580_000]))
    assert result.times.end_ps == 10**12
    assert result.summary()["mean_power_mw"] == pytest.approx(0.42, rel=1e-6)


# --- loads, late and lost events ------------------------------------------------------------------------------


def test_load_is_demand_over_the_ceiling():
    """One event per 200 ns at a core that takes 118 ns: 59 %, and 1.69 times as many would fit."""
    result = simulate_stream(map_stream(chain(1), SPECK, {"conv0": 4}), stream([200_000 * k for k in range(1, 1001)]))
    (row,) = result.core_rows
    assert row["load"] == pytest.approx(118 / 200)
    assert row["synops_per_s_asked_for"] == pytest.approx(9 / 200e-9)
    assert row["synops_per_s_ceiling"] == pytest.approx(9 / 118e-9)
    assert result.fitting_factor == pytest.approx(200 / 118)
    assert result.summary()["late_events"] == 0


def test_the_rate_that_is_said_to_fit_does_fit(gesture):
    """Regular events at 1.2 times the rate said to fit overload the core named; at 0.8 times only the start is late."""
    neuron = np.random.default_rng(0).integers(0, 2 * 128 * 128, 20_000)

    def at(rate):
        t_ps = (np.arange(1, neuron.size + 1) * (1e12 / rate)).astype(np.int64)
        return simulate_stream(gesture, stream(t_ps, neuron, 2 * 128 * 128))

    first = at(4e5).summary()
    fits = first["fitting_input_events_per_s"]
    over_run, under_run = at(1.2 * fits), at(0.8 * fits)
    over, under = over_run.summary(), under_run.summary()
    assert over["overloaded_cores"] == [first["bottleneck"]["core"]]
    assert under["overloaded_cores"] == []
    # What is too much adds up until the input ends: 1 - 1 / 1.2 of its duration.
    assert over["longest_delay_ps"] == pytest.approx(over["input_duration_ps"] / 6, rel=0.3)
    assert over_run.late[-1] == neuron.size - 1
    # States start evenly below threshold, which brings more spikes at first than in the long run.
    assert under_run.late[-1] < neuron.size / 8


def test_events_are_late_by_what_backpressure_adds():
    """Events at once: with no backpressure the sensor would send one every 20 ns."""
    mapping = map_stream(chain(1), SPECK)
    few = simulate_stream(mapping, stream([0] * 10))
    assert not few.late.size  # they wait for each other at the port, and for nothing else
    many = simulate_stream(mapping, stream([0] * 1000))
    expected = many.times.entered_ps - 20_000 * np.arange(1000)
    np.testing.assert_array_equal(many.late_ps, expected)
    assert many.late[0] == np.flatnonzero(expected)[0]
    blocked = many.times.blocked_ps[many.machine.number("sensor")]
    assert expected[-1] <= blocked <= expected[-1] + 118_000  # the last one may wait once more, to leave


def test_numbers_of_late_events_are_those_of_the_stream():
    """Events beyond the last whole pooling window go nowhere, and count on."""
    layers = [Layer("input", (1, 5, 5), Relay(binary=True), on_chip=False), Layer("conv", (1, 2, 2), FixedIf(1))]
    synapses = convolution(np.ones((1, 1, 1, 1), int), (1, 5, 5), pool=(2, 2))
    mapping = map_stream(network_of(layers, [Connection("input", "conv", synapses)]), SPECK)
    beyond, inside = 24, 0
    result = simulate_stream(mapping, stream([0] * 600, [beyond, inside] * 300, 25))
    facts = result.summary()
    assert facts["input_events_unused"] == 300
    assert facts["first_late_event"] == 2 * result.late[0] + 1
    assert (result.outputs["origin"] % 2 == 1).all()


def test_lost_events_are_named(gesture):
    mapping = map_stream(chain(2), SPECK).with_options(balance=("conv1",))
    slow = simulate_stream(mapping, stream([0] * 5))
    assert slow.summary()["lost_events"] == 0
    balanced = gesture.with_options(balance=("conv3",))
    facts = simulate_stream(balanced, "edges:rate=5e5,seconds=0.02,seed=1").summary()
    assert facts["lost_events"] > 0
    assert facts["first_lost_event_core"] == balanced.layers[2].core
    assert facts["overloaded_cores"] == [balanced.layers[2].core]  # what was dropped counts as asked for


def test_what_ticks_cause_has_no_event():
    """Sweeps make all 64 neurons fire at every fourth tick, more than the balancer before conv1 has places for."""
    mapping = map_stream(chain(2, bias=3), SPECK).with_options(balance=("conv1",))
    result = simulate_stream(mapping, stream([10**8]), tick_s=2e-6)
    assert result.times.dropped_origin.min() < -1
    of_ticks = result.times.dropped_origin < 0
    assert (result.events[result.events["what"] == "lost"]["event"][of_ticks] == -1).all()
    assert (result.outputs["origin"][result.times.output_origin < 0] == -1).all()


def test_the_decimator_takes_load_off_the_next_core(gesture, overloaded):
    decimated = gesture.with_options(decimate={"conv2": 4})
    facts = simulate_stream(decimated, "edges:rate=5e5,seconds=0.02,seed=1").summary()
    assert overloaded.summary()["overloaded_cores"] == [gesture.layers[2].core]
    assert facts["overloaded_cores"] == []


def test_biases_need_a_slow_clock():
    mapping = map_stream(chain(1, bias=1), SPECK)
    with pytest.raises(InputError, match=r"conv0 have biases, .*--dt 1e-3"):
        simulate_stream(mapping, stream([10**9]))
    result = simulate_stream(mapping, stream([10**9]), tick_s=1e-5)
    assert result.times.sweeps.sum() == 100
    assert result.actions["leak_update"] == 100 * 64
    load = result.load_of(result.mapping.layers[0].core, "synapses")
    assert load.fixed == pytest.approx(100 * 64 * 12_000 / 10**9)


def test_sweeps_alone_can_be_too_much():
    result = simulate_stream(map_stream(chain(1, bias=1), SPECK), stream([10**8]), tick_s=5e-7)
    assert result.fitting_factor == 0
    assert result.summary()["lost_ticks"] > 0


@pytest.mark.parametrize("tick_s", [0, -1, float("nan"), 1e9])
def test_wrong_slow_clocks(tick_s):
    with pytest.raises(InputError, match="slow clock is"):
        simulate_stream(map_stream(chain(1, bias=1), SPECK), stream([1]), tick_s=tick_s)


def test_wrong_engines_and_streams():
    mapping = map_stream(chain(1), SPECK)
    with pytest.raises(SimulationError, match="no engine 'fast'"):
        simulate_stream(mapping, stream([1]), engine="fast")
    with pytest.raises(InputError, match="64"):
        simulate_stream(mapping, stream([1], neurons=65))
    with pytest.raises(InputError, match="the clock of the compiled engine takes"):
        simulate_stream(mapping, stream([2**60]))


# --- the whole ------------------------------------------------------------------------------------------------


def test_both_engines_give_the_same_files(gesture):
    runs = [simulate_stream(gesture, "edges:rate=3e5,seconds=0.002", engine=name) for name in ("compiled", "simpy")]
    for table in runs[0].tables:
        assert getattr(runs[0], table).to_csv() == getattr(runs[1], table).to_csv()
    summaries = [{k: v for k, v in run.summary().items() if k != "engine"} for run in runs]
    assert summaries[0] == summaries[1]
    np.testing.assert_array_equal(runs[0].outputs, runs[1].outputs)


def test_keys_of_the_summary_are_documented(overloaded):
    text = inspect.getdoc(result_module)
    for key in [*overloaded.summary(), "reproducibility"]:
        assert re.search(rf"\b{key}\b", text), key


def test_a_layer_of_integrators_sends_the_same_on_chips_with_and_without_timesteps():
    """One event per timestep: a spike of the barrier's network in step k is one that event k brings about."""
    rng = np.random.default_rng(3)
    for to_zero in (False, True):
        synapses = convolution(rng.integers(-40, 90, (3, 2, 3, 3)), (2, 6, 6), (2, 2), (1, 1))
        neuron = FixedIf(100, to_zero=to_zero, initial=rng.integers(0, 100, synapses.targets))
        layers = [Layer("input", (2, 6, 6), Relay(binary=True), on_chip=False)]
        layers.append(Layer("conv", synapses.target_shape, neuron))
        network = network_of(layers, [Connection("input", "conv", synapses)])
        neurons = rng.integers(0, 72, 300)
        frames = np.zeros((301, 72))
        frames[np.arange(300), neurons] = 1
        sent_by_step = np.concatenate([part.outputs for part in evaluate(network, Frames(frames, 301))])
        t_ps = 10**7 * np.arange(1, 301)
        outputs = simulate_stream(map_stream(network, SPECK), stream(t_ps, neurons, 72)).outputs
        _, rows, columns = synapses.target_shape
        sent = np.zeros((300, synapses.targets), bool)
        sent[outputs["origin"], (outputs["channel"] * rows + outputs["row"]) * columns + outputs["column"]] = True
        assert sent.sum() > 100
        np.testing.assert_array_equal(sent_by_step[1:] != 0, sent)


def test_run_on_the_command_line(tmp_path):
    done = nsim(
        "run", "speck-gesture", "--chip", "speck", "--input", "edges:rate=5e5,seconds=0.02", "--out", tmp_path / "o"
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].startswith("OVERLOADED: core 2 (conv3) is asked for")
    assert "events are late, the first is event" in lines[2]
    assert "What fits of such events:" in done.stdout
    facts = json.loads((tmp_path / "o" / "summary.json").read_text())
    assert facts["reproducibility"]["constants"]["actions.synop.latency_ps"] == "fitted"
    events = pd.read_csv(tmp_path / "o" / "events.csv")
    assert (events["what"] == "late").sum() == facts["late_events"] == len(events)
    assert events["event"][0] == facts["first_late_event"]
    assert list(pd.read_csv(tmp_path / "o" / "cores.csv")["layer"]) == ["conv1", "conv2", "conv3", "fc", "out"]
    assert np.load(tmp_path / "o" / "outputs.npy").size == facts["output_events"]


def test_a_run_that_keeps_up_says_so():
    done = nsim("run", "speck-gesture", "--chip", "speck", "--input", "edges:rate=1e5,seconds=0.02")
    assert done.stdout.splitlines()[1].startswith("KEEPS UP: the busiest, core 2 (conv3), is at")
    assert "No event was late or lost." in done.stdout
    quiet = nsim("run", "speck-gesture", "--chip", "speck", "--input", "edges:rate=1e-3,seconds=0.001")
    assert quiet.stdout.splitlines()[1] == "NO EVENTS came in."


RUN = ("run", "speck-gesture", "--chip", "speck")


@pytest.mark.parametrize(
    "options, words",
    [
        (("--timesteps", "5"), "--timesteps 5 is not for chip 'speck'"),
        (("--partition", "even:2"), "--partition even:2 is not for chip 'speck'"),
        (("--activity", "0.1"), "--activity 0.1 is not for"),
        (("--core-options", "decimate.conv9=2"), "no layer 'conv9'"),
        (("--core-options", "decimat.conv1=2"), 'did you mean "decimate"'),
        (("--core-options", "decimate.conv1=x"), "give a whole number"),
        (("--core-options", "balance=yes"), "give on or off"),
        (("--core-options", "balance.conv9=on"), "no layer 'conv9'"),
        (("--core-options", "decimate"), "not of the form name=value"),
        (("--core-options", "core.conv1=7"), "too small: it fits on 0, 1, 2"),
        (("--input", "edges:rat=3"), "rate"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, words):
    assert words in refused(*RUN, *options)


def test_the_floorline_of_a_stream_has_no_partitions():
    options = ("--chip", "speck", "--partition", "even:2")
    assert "works on events" in refused("floorline", "speck-gesture", *options)


def test_core_options_are_for_chips_without_timesteps():
    assert "works on timesteps" in refused("run", "mlp", "--chip", "loihi2", "--core-options", "balance=on")


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"t": [5, 3]}, "sort"),
        ({"t": [-5, 3]}, "-5"),
        ({"x": [0, 128]}, "128"),
        ({"y": [0, -1]}, "-1"),
    ],
)
def test_wrong_events_are_refused_in_one_line(tmp_path, fields, words):
    """Unsorted or negative times, coordinates outside the sensor."""
    events = np.zeros(2, [("t", "i8"), ("x", "i4"), ("y", "i4"), ("p", "i4")])
    for name, values in fields.items():
        events[name] = values
    np.save(tmp_path / "events.npy", events)
    assert words in refused(*RUN, "--input", tmp_path / "events.npy")
