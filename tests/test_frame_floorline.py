"""The floorline of frames: never above the simulation, near it where one thing limits, and exact by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.chip_file import load_chip
from nsim.frame.bottleneck import ACTIONS, cheaper
from nsim.frame.floorline import frame_bounds
from nsim.frame.run import simulate_frames
from nsim.mapping import map_network
from nsim.workloads import build
from tests.frame_networks import conv, dense, quantized_network, separable
from tests.test_cli import nsim, refused

CHIP = load_chip("akd1000")


def bounds_of(result):
    (run,) = result.runs
    return frame_bounds(run.counts, run.mapping, run.machine)


def check(result):
    bounds = bounds_of(result)
    assert bounds.latency_ps <= result.latency_ps
    assert bounds.least_run_ps <= result.total_ps
    return bounds


@given(
    st.lists(st.sampled_from([conv(8), conv(20, 5), conv(16, pool="max2"), separable(12)]), min_size=1, max_size=3),
    st.sampled_from(["minimal", "all-nps"]),
    st.floats(0, 1),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=25, deadline=None)
def test_no_frame_and_no_run_is_below_its_bound(layers, mode, density, frames, seed):
    network = quantized_network((3, 12, 12), [*layers, dense(5)])
    mapping = map_network(network, CHIP, mode=mode)
    densities = dict.fromkeys(network.by_name, density)
    check(simulate_frames(mapping, activity=densities, frames=frames, seed=seed))


def test_akidanet_is_near_its_bounds():
    """Ten frames, conv_2 and conv_3 taking turns: the bound of the run misses little more than filling the chip."""
    result = simulate_frames(map_network(build("akidanet", width=0.25, size=160), CHIP), frames=6, critical_path=False)
    bounds = check(result)
    assert result.latency_ps < 1.1 * bounds.latency_ps
    assert result.total_ps < 1.1 * bounds.least_run_ps
    assert bounds.state == "memory"
    parts = {part.core: part.layer for part in result.runs[0].mapping.parts}
    assert [parts[core] for core in bounds.chain][:4] == ["conv_0", "conv_1", "conv_2", "conv_3"]


def test_one_fully_connected_layer_by_hand():
    """Host to one core: the chain is that core, its work the begin of a frame and sixteen messages."""
    network = quantized_network((16, 1, 1), [dense(10, bits=1)], input_bits=1, activation_bits=1)
    mapping = map_network(network, CHIP, mode="minimal")
    result = simulate_frames(mapping, np.ones((2, 1, 16, 1, 1), np.int64))
    bounds = check(result)
    (sequence,) = mapping.sequences
    (part,) = sequence.parts
    work = int(sequence.copies.service_ps[:16].sum() + sequence.frame_ps[part.core])
    assert bounds.chain[-1] == part.core
    assert bounds.chain_ps["memory"] == work
    assert bounds.run_ps["memory"] == 2 * work
    assert bounds.chain_ps["compute"] == 10 * CHIP.action_ps("neuron_update") + 10 * CHIP.action_ps("spike")


def test_a_wrong_cost_is_caught():
    """Every message a fifth dearer on the analytical side: the bound of the latency rises above the simulation."""
    mapping = map_network(build("cnn"), CHIP, mode="minimal")
    result = simulate_frames(mapping, frames=1)
    (run,) = result.runs
    dear = run.counts.__class__(**{**vars(run.counts), "core_synapse_ps": run.counts.core_synapse_ps * 6 // 5})
    assert frame_bounds(run.counts, run.mapping, run.machine).latency_ps <= result.latency_ps
    assert frame_bounds(dear, run.mapping, run.machine).latency_ps > result.latency_ps


@pytest.mark.parametrize("mode", ["minimal", "all-nps"])
def test_state_of_one_frame_agrees_with_its_critical_path(mode):
    result = simulate_frames(map_network(build("cnn"), CHIP, mode=mode), frames=1, critical_path=True)
    states = {state: time for state, time in result.states.items() if state != "programming"}
    assert max(states, key=states.get) == bounds_of(result).state


def test_nsim_floorline_says_what_limits_frames_and_draws_it(tmp_path):
    figure = tmp_path / "plot.svg"
    options = ("--chip", "akd1000", "--samples", 2, "--mode", "minimal", "--mode", "all-nps")
    done = nsim("floorline", "cnn", *options, "--plot", figure)
    assert done.returncode == 0, done.stderr
    for words in (
        "one alone",
        "2 in a row",
        "by floorline",
        "by critical path",
        "by sensitivity",
        "the rate is set by",
    ):
        assert words in done.stdout
    assert "per frame" in figure.read_text()


def test_what_a_floorline_of_frames_is_not_for():
    assert "takes 2 sequences" in refused("floorline", "akidanet:width=1.0", "--chip", "akd1000", "--mode", "minimal")
    assert "--partition ['even:2'] is not for" in refused(
        "floorline", "cnn", "--chip", "akd1000", "--partition", "even:2"
    )


@pytest.mark.parametrize("state", ["memory", "compute", "traffic"])
def test_only_the_costs_of_one_state_fall(state):
    lower = cheaper(CHIP, state, 0.5)
    fallen = {name for name, action in CHIP.actions if getattr(lower.actions, name).clocks < action.clocks}
    assert fallen == {name for name in ACTIONS[state] if getattr(CHIP.actions, name).clocks}
