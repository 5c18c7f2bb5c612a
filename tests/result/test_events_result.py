"""What a run without timesteps tells, on Speck: the chip's anchors, loads, late and lost events, energy, the screen."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from nsim.errors import InputError, SimulationError
from nsim.mapping.events.mapping import map_stream
from nsim.network.activity import evaluate
from nsim.network.builtin import build
from nsim.network.inputs import EventStream, Frames
from nsim.network.layers import Connection, Layer
from nsim.network.neurons import FixedIf, Relay
from nsim.result.run_events import simulate_stream
from tests.generators.commands import nsim, refused
from tests.generators.streams import SPECK, chain, convolution, network_of

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


@pytest.mark.parametrize("depth, latency_ps", [(1, 1_580_000), (9, 3_360_000)])
@pytest.mark.parametrize("placement", [{}, {"conv0": 5}])
def test_latency_of_one_event_richter2023(depth, latency_ps, placement):
    """1.58 us through one layer, 3.36 us through nine, 3 x 3, stride 1, padding 1: exactly, on whatever cores."""
    result = simulate_stream(map_stream(chain(depth), SPECK, placement), stream([7]))
    assert result.latency_ps.tolist() == [latency_ps]


def test_ceilings_are_the_published_ones_and_reach_the_predecessors_peak():
    """100 M synops/s on core 0 and 30 M on the others; DYNAP-CNN peaks at about 200 M over six layers."""
    assert SPECK.parallel.cores == (0,)
    actions = SPECK.actions.synop_parallel, SPECK.actions.synop
    assert [1e12 / action.latency_ps for action in actions] == pytest.approx([100e6, 30e6], rel=1e-4)
    fast, slow = (1e12 / action.latency_ps_range[1] for action in actions)
    assert fast + 5 * slow == pytest.approx(200e6, rel=0.01)


def test_events_take_what_was_published():
    """120 ns to 7 us for an event in a layer, by kernel: one weight, and 256 in the range of a core."""
    for event, synop in (("event", "synop"), ("event_parallel", "synop_parallel")):
        assert getattr(SPECK.actions, event).latency_ps + getattr(SPECK.actions, synop).latency_ps == 120_000
    fast, slow = SPECK.actions.synop.latency_ps_range
    assert 120e3 + 255 * fast == pytest.approx(7e6, rel=0.01)
    assert SPECK.actions.event.latency_ps + 256 * slow > 7e6


# task, net, total mW, million spikes: Yao et al. 2024, table 1; 0.42 mW at rest, 540 ms
VANILLA = {"gesture": (9.5, 1.0), "gait-day": (16.1, 2.9)}
DYNAMIC = {"gesture": (3.8, 0.4), "gait-day": (7.3, 1.2)}
ACTIVE_SYNOPS = 220 * 0.54  # million in 540 ms that five cores can do, one of them core 0


def per_spike_fj(task: str) -> float:
    """With as many synops to a spike as the vanilla network's cores can do."""
    return SPECK.actions.event.energy_fj + ACTIVE_SYNOPS / VANILLA[task][1] * SPECK.actions.synop.energy_fj


@pytest.mark.parametrize("task", VANILLA)
def test_energies_are_fitted_to_the_vanilla_networks_at_their_ceilings(task):
    total_mw, spikes = VANILLA[task]
    assert per_spike_fj(task) * spikes * 1e6 / 0.54e12 + 0.42 == pytest.approx(total_mw, rel=1e-4)
    for one, other in (("event", "event_parallel"), ("synop", "synop_parallel")):
        assert getattr(SPECK.actions, one).energy_fj == getattr(SPECK.actions, other).energy_fj


@pytest.mark.parametrize("task", DYNAMIC)
def test_energies_on_rows_they_are_not_fitted_to(task):
    """The dynamic networks, with the synops per spike of the vanilla one of the same task."""
    total_mw, spikes = DYNAMIC[task]
    assert per_spike_fj(task) * spikes * 1e6 / 0.54e12 + 0.42 == pytest.approx(total_mw, rel=0.07)


def test_every_published_energy_of_a_spike_is_one_that_a_layer_can_have():
    """2.9 to 7.6 nJ: between no synops and the 288 of 32 filters of 3 x 3, and so at the ends of the ranges."""
    event, synop = SPECK.actions.event, SPECK.actions.synop
    assert event.energy_fj < 2.92e6 < 7.6e6 < event.energy_fj + 288 * synop.energy_fj
    assert event.energy_fj_range[1] + 288 * synop.energy_fj_range[0] == pytest.approx(7.6e6, rel=0.01)
    assert event.energy_fj_range[0] + ACTIVE_SYNOPS / 2.9 * synop.energy_fj_range[1] == pytest.approx(2.92e6, rel=0.01)


def test_a_chip_without_events_draws_its_resting_power(gesture):
    result = simulate_stream(gesture, stream([], neurons=2 * 128 * 128), seconds=0.01)
    assert result.actions["synop"] == 0
    assert result.times.end_ps == 0  # nothing happened, so no time passed and nothing was drawn
    result = simulate_stream(map_stream(chain(1), SPECK), stream([10**12 - 1_580_000]))
    assert result.times.end_ps == 10**12
    assert result.summary()["mean_power_mw"] == pytest.approx(0.42, rel=1e-5)


def test_load_is_demand_over_the_ceiling():
    """One event per 200 ns at a core that takes 120 ns: 60 %, and 1.67 times as many would fit."""
    result = simulate_stream(map_stream(chain(1), SPECK, {"conv0": 4}), stream([200_000 * k for k in range(1, 1001)]))
    (row,) = result.rows("cores")
    assert row["load"] == pytest.approx(120 / 200)
    assert row["synops_per_s_asked_for"] == pytest.approx(1 / 200e-9)
    assert row["synops_per_s_ceiling"] == pytest.approx(1 / 120e-9)
    assert result.fitting_factor == pytest.approx(200 / 120)
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
    facts = simulate_stream(balanced, "edges:rate=2e5,seconds=0.02,seed=1").summary()
    assert facts["lost_events"] > 0
    assert facts["first_lost_event_core"] == balanced.layers[2].core
    assert facts["overloaded_cores"] == [balanced.layers[2].core]  # what was dropped counts as asked for


def test_what_ticks_cause_has_no_event():
    """Sweeps make all 64 neurons fire at every fourth tick, more than the balancer before conv1 has places for."""
    mapping = map_stream(chain(2, bias=3), SPECK).with_options(balance=("conv1",))
    result = simulate_stream(mapping, stream([10**8]), dt_s=2e-6)
    assert result.times.dropped_origin.min() < -1
    of_ticks = result.times.dropped_origin < 0
    assert (result.table("events")[result.table("events")["what"] == "lost"]["event"][of_ticks] == -1).all()
    assert (result.outputs["origin"][result.times.output_origin < 0] == -1).all()


def test_the_decimator_takes_load_off_the_next_core(gesture):
    decimated = gesture.with_options(decimate={"conv2": 4})
    before, after = (
        simulate_stream(mapping, "edges:rate=2e5,seconds=0.02,seed=1").summary() for mapping in (gesture, decimated)
    )
    assert before["overloaded_cores"] == [gesture.layers[2].core]
    assert after["overloaded_cores"] == []


def test_weights_that_are_zero_take_load_off_their_core():
    """Half of them: half the synops per event, and the others are counted beside them."""
    full, thin = (
        simulate_stream(map_stream(build("speck-gesture", density=density), SPECK), "edges:rate=5e4,seconds=0.02")
        for density in (1.0, 0.5)
    )
    (before, *_), (after, *_) = full.rows("layers"), thin.rows("layers")
    assert before["zeros_skipped"] == 0
    assert after["synops"] + after["zeros_skipped"] == before["synops"]
    assert after["synops"] == pytest.approx(before["synops"] / 2, rel=0.05)
    loads = [result.load_of(result.mapping.layers[0].core, "synapses").total for result in (full, thin)]
    event_ps = SPECK.actions.event_parallel.latency_ps * before["events_served"]
    assert loads[1] == pytest.approx((loads[0] + event_ps / full.duration_ps) / 2, rel=0.05)


def test_biases_need_a_slow_clock():
    mapping = map_stream(chain(1, bias=1), SPECK)
    with pytest.raises(InputError, match=r"conv0 have biases, .*--dt 1e-3"):
        simulate_stream(mapping, stream([10**9]))
    result = simulate_stream(mapping, stream([10**9]), dt_s=1e-5)
    assert result.times.sweeps.sum() == 100
    assert result.actions["leak_update"] == 100 * 64
    load = result.load_of(result.mapping.layers[0].core, "synapses")
    assert load.fixed == pytest.approx(100 * 64 * 33_333 / 10**9)


def test_sweeps_alone_can_be_too_much():
    result = simulate_stream(map_stream(chain(1, bias=1), SPECK), stream([10**8]), dt_s=5e-7)
    assert result.fitting_factor == 0
    assert result.summary()["lost_ticks"] > 0


@pytest.mark.parametrize("tick_s", [0, -1, float("nan"), 1e9])
def test_wrong_slow_clocks(tick_s):
    with pytest.raises(InputError, match="slow clock is"):
        simulate_stream(map_stream(chain(1, bias=1), SPECK), stream([1]), dt_s=tick_s)


def test_wrong_engines_and_streams():
    mapping = map_stream(chain(1), SPECK)
    with pytest.raises(SimulationError, match="no engine 'fast'"):
        simulate_stream(mapping, stream([1]), engine="fast")
    with pytest.raises(InputError, match="64"):
        simulate_stream(mapping, stream([1], neurons=65))
    with pytest.raises(InputError, match="the clock of the compiled engine takes"):
        simulate_stream(mapping, stream([2**60]))


def test_both_engines_give_the_same_files(gesture):
    runs = [simulate_stream(gesture, "edges:rate=3e5,seconds=0.002", engine=name) for name in ("compiled", "simpy")]
    for table in runs[0].tables:
        assert runs[0].table(table).equals(runs[1].table(table))
    summaries = [{k: v for k, v in run.summary().items() if k != "engine"} for run in runs]
    assert summaries[0] == summaries[1]
    np.testing.assert_array_equal(runs[0].outputs, runs[1].outputs)


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
    said = " ".join(done.stdout.split())
    for words in ("limit overloaded: core 2 (conv3) needs", "late", "fits", "try load", "nsim run", "--core-options"):
        assert words in said
    facts = json.loads((tmp_path / "o" / "summary.json").read_text())
    assert facts["reproducibility"]["constants"]["actions.synop.energy_fj"] == "fitted"
    events = pd.read_csv(tmp_path / "o" / "events.csv")
    assert (events["what"] == "late").sum() == facts["late_events"] == len(events)
    assert events["event"][0] == facts["first_late_event"]
    assert list(pd.read_csv(tmp_path / "o" / "cores.csv")["layer"]) == ["conv1", "conv2", "conv3", "fc", "out"]
    assert np.load(tmp_path / "o" / "outputs.npy").size == facts["output_events"]


def test_the_built_in_network_keeps_up_with_the_default_events(gesture):
    facts = simulate_stream(gesture).summary()
    assert facts["bottleneck"]["load"] < 1
    assert facts["late_events"] == 0
    assert facts["latency_median_ps"] < 0.1e9


def test_a_run_that_keeps_up_says_so():
    done = nsim("run", "speck-gesture", "--chip", "speck", "--input", "edges:rate=5e4,seconds=0.02")
    assert "limit keeps up: core 2 (conv3) needs" in " ".join(done.stdout.split())
    assert not re.search(r"^  (late|lost|try)", done.stdout, re.M)
    quiet = nsim("run", "speck-gesture", "--chip", "speck", "--input", "edges:rate=1e-3,seconds=0.001")
    assert "limit no events came in" in " ".join(quiet.stdout.split())


RUN = ("run", "speck-gesture", "--chip", "speck")


@pytest.mark.parametrize(
    "options, words",
    [
        (("--timesteps", "5"), "timesteps 5 is not for chip 'speck'"),
        (("--partition", "even:2"), "partition 'even:2' is not for chip 'speck'"),
        (("--activity", "0.1"), "activity '0.1' is not for"),
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
