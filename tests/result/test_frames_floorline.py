"""The floorline of frames: never above the simulation, near it where one thing limits, and exact by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.chip.file import load_chip
from nsim.machine.compiled import frames as engine_compiled
from nsim.mapping.network import map_network
from nsim.network.builtin import build
from nsim.result.counts import Counter
from nsim.result.limits.frames import FrameWork, latency_bounds, run_bounds
from nsim.result.run_frames import simulate_frames
from tests.generators.frame_machines import cases
from tests.generators.frame_networks import conv, dense, quantized_network, separable

CHIP = load_chip("akd1000")


def parts_of(result):
    return [FrameWork(run.counts, run.activity, run.mapping, run.machine) for run in result.runs]


def check(result):
    """Bounds of one frame alone and of the run, held against what was simulated."""
    parts, program_ps = parts_of(result), result.program_ps_per_frame
    latency, run = latency_bounds(parts, program_ps), run_bounds(parts, program_ps)
    assert latency.least_ps[0] <= result.latency_ps
    assert run.least_ps[0] <= result.time_ps
    return latency, run


@given(cases())
def test_no_run_on_a_random_machine_is_below_its_bound(case):
    """Cores that skip layers, results or none, single and double buffers, few frames in flight."""
    costs = case.machine.update_ps, case.machine.spike_ps
    counts = Counter(case.mapping, case.machine, costs).count(case.activity)
    part = FrameWork(counts, case.activity, case.mapping, case.machine)
    alone = case.activity.first(1)
    for activity, bounds in ((alone, latency_bounds([part])), (case.activity, run_bounds([part]))):
        run = engine_compiled.Engine(case.mapping, case.machine).start(activity)
        list(run)
        assert bounds.least_ps[0] <= run.times().left_ps[-1]


@given(
    st.lists(st.sampled_from([conv(8), conv(20, 5), conv(16, pool="max2"), separable(12)]), min_size=1, max_size=3),
    st.sampled_from(["minimal", "all-nps"]),
    st.floats(0, 1),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=25, deadline=None)
def test_no_frame_and_no_run_is_below_its_bound(layers, mode, density, frames, seed):
    last = {**layers[-1], "pool": None}  # no max pooling before a fully connected layer
    network = quantized_network((3, 12, 12), [*layers[:-1], last, dense(5)])
    mapping = map_network(network, CHIP, mode=mode)
    densities = dict.fromkeys(network.by_name, density)
    check(simulate_frames(mapping, activity=densities, samples=frames, seed=seed))


def test_akidanet_is_near_its_bounds():
    """Ten frames, conv_2 and conv_3 taking turns: the bound of the run misses little more than filling the chip."""
    result = simulate_frames(map_network(build("akidanet", width=0.25, size=160), CHIP), samples=6, critical_path=False)
    latency, run = check(result)
    assert result.latency_ps < 1.1 * latency.least_ps[0]
    assert result.time_ps < 1.15 * run.least_ps[0]
    assert latency.state == run.state == "memory"
    parts = {part.core: part.layer for part in result.runs[0].mapping.parts}
    assert [parts[core] for core in latency.behind[0]][:4] == ["conv_0", "conv_1", "conv_2", "conv_3"]


def test_one_fully_connected_layer_by_hand():
    """Host to one core: the chain is that core, its work the begin of a frame and sixteen messages."""
    network = quantized_network((16, 1, 1), [dense(10, bits=1)], input_bits=1, activation_bits=1)
    mapping = map_network(network, CHIP, mode="minimal")
    result = simulate_frames(mapping, np.ones((2, 1, 16, 1, 1), np.int64))
    latency, run = check(result)
    (sequence,) = mapping.sequences
    (part,) = sequence.parts
    work = int(sequence.copies.service_ps[:16].sum() + sequence.frame_ps[part.core])
    assert latency.behind[0][-1] == part.core
    assert latency.terms_ps["memory"].tolist() == [work]
    assert run.terms_ps["memory"].tolist() == [2 * work]


def test_a_wrong_cost_is_caught():
    """Every message a fifth dearer on the analytical side: the bound of the latency rises above the simulation."""
    mapping = map_network(build("cnn"), CHIP, mode="minimal")
    result = simulate_frames(mapping, samples=1)
    (run,) = result.runs
    spent = run.counts.core_synapse_ps
    dear = replace(run.counts, core_synapse_ps=replace(spent, values=spent.values * 6 // 5))
    least = [
        latency_bounds([FrameWork(c, run.activity, run.mapping, run.machine)]).least_ps[0] for c in (run.counts, dear)
    ]
    assert least[0] <= result.latency_ps < least[1]


@pytest.mark.parametrize("mode", ["minimal", "all-nps"])
def test_state_of_one_frame_agrees_with_its_critical_path(mode):
    result = simulate_frames(map_network(build("cnn"), CHIP, mode=mode), samples=1, critical_path=True)
    states = {state: time for state, time in result.path_ps.items() if state != "programming"}
    assert max(states, key=states.get) == latency_bounds(parts_of(result)).state


def test_sequences_add_up_and_programming_comes_on_top():
    (part,) = parts_of(simulate_frames(map_network(build("cnn"), CHIP, mode="minimal"), samples=2))
    for bounds, times in ((latency_bounds, 1), (run_bounds, 2)):
        once, twice = bounds([part]), bounds([part, part], 7)
        assert twice.least_ps[0] == 2 * once.least_ps[0] + 7 * times
        assert twice.terms_ps["programming"][0] == 7 * times
        assert twice.terms_ps["memory"][0] == 2 * once.terms_ps["memory"][0]
