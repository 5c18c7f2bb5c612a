"""The floorline's bounds: below every simulated timestep, near those bound by one thing, wrong when a cost is wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from nsim.chip.discipline import BARRIER
from nsim.machine.stations import build_machine
from nsim.mapping.cores.mapping import Recosting
from nsim.mapping.network import map_network
from nsim.network.activity import prescribe
from nsim.network.builtin import build
from nsim.report.plots import draw_time
from nsim.result.counts import Counter
from nsim.result.limits.bounds import Workload
from nsim.result.limits.sensitivity import cheaper, sensitivity
from nsim.result.limits.targets import target_of
from nsim.result.limits.timesteps import LayerSize, expected_bounds, layer_bounds, layer_work, timestep_bounds
from nsim.result.limits.timesteps_bottleneck import find_bottleneck
from nsim.result.run import simulate
from tests.generators.machines import changed, mapped_networks, shipped


def roomy(name: str):
    """A chip whose cores hold any weights: these tests are about time."""
    return changed(shipped(name), {"core.synapse_words": 10**8})


def run(chip, activity: float, partition: int = 4, **options):
    mapping = map_network(build("mlp", **options), chip, partition, weight_format="sparse")
    return simulate(mapping, activity=activity, timesteps=3, critical_path=True)


def bounds_of(result, chip=None):
    return timestep_bounds(result.counts, result.mapping, result.barrier_ps, chip)


@given(mapped_networks(), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_no_timestep_is_below_its_bound(mapping, density, seed):
    densities = {layer.name: density for layer in mapping.network.layers}
    result = simulate(mapping, activity=densities, timesteps=2, seed=seed)
    assert (result.step_ps >= bounds_of(result).least_ps).all()


@given(mapped_networks())
def test_bounds_are_the_busiest_stages(mapping):
    """Their terms are what Counter books as busy time, but for messages whose words and synops take turns to limit."""
    network, machine = mapping.network, build_machine(mapping.chip)
    rng = np.random.default_rng(0)
    counts = Counter(mapping, machine).count(next(prescribe(network, {x.name: 0.5 for x in network.layers}, 2, rng)))
    bounds = timestep_bounds(counts, mapping, 7)
    assert (bounds.terms_ps["memory"] <= counts.core_synapse_ps.max(axis=1)).all()
    assert (bounds.terms_ps["compute"] <= counts.core_sweep_ps.max(axis=1)).all()
    assert (bounds.terms_ps["barrier"] == 7).all()


MEMORY = (0.3, {"width": 512})  # message density and network
COMPUTE = (0.001, {"width": 2048, "depth": 2, "density": 0.02})


@pytest.mark.parametrize(("workload", "state"), [(MEMORY, "memory"), (COMPUTE, "compute")])
@pytest.mark.parametrize("chip", ["loihi2", "loihi"])
def test_within_a_tenth_of_the_bound(workload, state, chip):
    activity, options = workload
    result = run(roomy(chip), activity, **options)
    bounds = bounds_of(result)
    assert bounds.state == result.limit().name == state
    assert 1 <= result.time_ps / bounds.least_ps.sum() < 1.1


@pytest.mark.parametrize(
    ("workload", "action"), [(MEMORY, "synop_sparse"), (COMPUTE, "neuron_update")], ids=["memory", "compute"]
)
def test_a_wrong_cost_is_caught(workload, action):
    """A fifth more on the analytical side puts the bound above the simulation, which is impossible."""
    chip = roomy("loihi2")
    activity, options = workload
    result = run(chip, activity, **options)
    key, cost = f"actions.{action}.latency_ps", getattr(chip.actions, action).latency_ps
    assert (bounds_of(result).least_ps <= result.step_ps).all()
    assert (bounds_of(result, changed(chip, {key: round(1.2 * cost)})).least_ps > result.step_ps).all()


@pytest.mark.parametrize("partition", [1, 3, 8])
def test_expected_bounds_are_exact_where_nothing_is_random(partition):
    """With every neuron sending, what is expected is what happens."""
    mapping = map_network(build("mlp", width=96), shipped("loihi2"), partition=partition)
    densities = {layer.name: 1.0 for layer in mapping.network.layers}
    result = simulate(mapping, activity=densities, timesteps=1)
    expected, counted = expected_bounds(mapping, densities, result.barrier_ps), bounds_of(result)
    assert expected.mean_ps == counted.mean_ps
    assert expected.max_synops.tolist() == counted.max_synops.tolist()
    assert expected.state == counted.state


def test_expected_bounds_are_means():
    mapping = map_network(build("mlp", width=256), shipped("loihi2"), partition=4)
    result = simulate(mapping, activity=0.2, timesteps=400)
    densities = dict.fromkeys(mapping.network.by_name, 0.2)
    expected = expected_bounds(mapping, densities, result.barrier_ps).mean_ps
    counted = bounds_of(result).mean_ps
    for state in ("memory", "compute", "traffic"):  # the mean of a maximum over cores, against the maximum of means
        assert 0.98 * expected[state] <= counted[state] <= 1.15 * expected[state], state


@pytest.mark.parametrize("cores", [(1, 1), (2, 3), (6, 4)])
def test_layer_work_is_what_mapped_layers_do(cores):
    """Sizes that divide evenly, every neuron sending: the table of orders and the counts of a mapped network agree."""
    partition = {"fc0": cores[0], "fc1": cores[1]}
    mapping = map_network(build("mlp", width=240, depth=2), roomy("loihi2"), partition)
    counts = simulate(mapping, activity=1.0, timesteps=1).counts
    sizes = [LayerSize(256, 1.0, 1.0, 1), *(LayerSize(240, 1.0, 1.0, c) for c in cores)]
    first = 0
    for number, (work, layer_cores) in enumerate(zip(layer_work(sizes), cores, strict=True)):
        own = mapping.placement[first : first + layer_cores]
        first += layer_cores
        assert counts.core_synops[0, own].tolist() == [work.synops_per_core] * layer_cores
        assert mapping.allocated[own].tolist() == [work.updates_per_core] * layer_cores
        assert counts.layer_messages[0, number] == work.messages


def test_orders_of_the_table():
    """floorline: width x N on x^2 cores: synops per core stay, updates per core fall as 1 / x, messages grow as x^3."""

    def forced(x: int):
        return layer_work([LayerSize(100 * x, 0.5, 0.2, x * x)] * 2)[0]

    for x in (2, 4, 10):
        assert forced(x).synops_per_core == pytest.approx(forced(1).synops_per_core)
        assert forced(x).updates_per_core == pytest.approx(forced(1).updates_per_core / x)
        assert forced(x).messages == pytest.approx(forced(1).messages * x**3)


@pytest.mark.parametrize("weight_format", ["dense", "sparse"])
def test_bounds_from_layer_sizes_are_those_of_the_mapping(weight_format):
    """For layers on cores of their own the short form differs only in what it leaves out: words and inner links."""
    network = build("mlp", width=240, depth=2, inputs=240, density=1.0)
    mapping = map_network(network, shipped("loihi2"), {"fc0": 4, "fc1": 4}, weight_format=weight_format)
    densities = dict.fromkeys(network.by_name, 0.5)
    sizes = [LayerSize(240, 1.0, 0.5, 4)] * 3
    short = layer_bounds(sizes, mapping.chip, weight_format)
    long = expected_bounds(mapping, densities, 0).mean_ps
    assert short["memory"] == pytest.approx(long["memory"], rel=1e-6)
    assert short["compute"] == pytest.approx(long["compute"], rel=1e-6)
    assert short["traffic"] <= long["traffic"]


@pytest.mark.parametrize("state", list(BARRIER.costs))
def test_only_the_costs_of_one_state_fall(state):
    chip = shipped("loihi")
    lower = cheaper(chip, state, 0.5)
    changed_costs = {
        name
        for name, action in chip.actions
        if action and action.latency_ps and getattr(lower.actions, name).latency_ps != action.latency_ps
    }
    names = [key.split(".")[1] for key in BARRIER.costs[state] if key.startswith("actions.")]
    assert changed_costs == {name for name in names if (action := getattr(chip.actions, name)) and action.latency_ps}
    assert (lower.links != chip.links) == (lower.host != chip.host) == (state == "traffic")
    assert (lower.barrier != chip.barrier) == (state == "barrier")
    managed = shipped("loihi2")
    assert (cheaper(managed, state).management != managed.management) == (state == "management")


def test_costs_change_nothing_else():
    mapping = map_network(build("mlp"), shipped("loihi2"), partition=3, placement="greedy")
    same = Recosting(mapping).at(mapping.chip)
    for name in ("indptr", "core", "synops", "words", "service_ps"):
        np.testing.assert_array_equal(getattr(same.copies, name), getattr(mapping.copies, name))
    half = Recosting(mapping).at(cheaper(mapping.chip, "memory", 0.5))
    assert half.copies.service_ps.sum() < 0.6 * mapping.copies.service_ps.sum()
    np.testing.assert_array_equal(half.core, mapping.core)


@pytest.mark.parametrize(
    ("workload", "state"), [(MEMORY, "memory"), (COMPUTE, "compute"), ((0.0, {"width": 8, "depth": 1}), "barrier")]
)
def test_three_witnesses_agree(workload, state):
    activity, options = workload
    mapping = map_network(build("mlp", **options), roomy("loihi2"), partition=4)
    found = find_bottleneck(
        mapping, lambda each: simulate(each, activity=activity, timesteps=3, seed=1, critical_path=True, runtime="bare")
    )
    assert (found.predicted, found.simulated, found.sensitive) == (state,) * 3
    assert 0.05 < found.saved[state] < 0.11
    assert found.over_bound >= 1


def test_traffic_shows_where_one_link_carries_all():
    """A chip with links a thousand times slower: all three say traffic."""
    chip = shipped("loihi2")
    slow = chip.model_copy(
        update={
            "links": chip.links.model_copy(
                update={
                    name: link.model_copy(update={"bandwidth_gbps": link.bandwidth_gbps / 1_000})
                    for name, link in chip.links
                }
            )
        }
    )
    mapping = map_network(build("mlp"), slow, partition=4)
    found = find_bottleneck(mapping, lambda each: simulate(each, timesteps=3, critical_path=True))
    assert (found.predicted, found.simulated, found.sensitive) == ("traffic",) * 3
    assert "link" in found.advice or "router" in found.advice


def test_no_time_is_saved_twice():
    """All costs a tenth lower save a tenth, so the four parts cannot save more than that, ties apart."""
    mapping = map_network(build("ndns-sdnn"), shipped("loihi2"), partition=8)

    def time_ps(chip):
        return simulate(Recosting(mapping).at(chip), timesteps=2).time_ps

    saved = sensitivity(mapping.chip, time_ps(mapping.chip), time_ps)
    assert sum(saved.values()) == pytest.approx(0.1, abs=0.02)


def test_costs_that_are_rounded_save_nothing_rather_than_less():
    """A service of one picosecond cannot fall, and what falls beside it can make a run longer: that is no saving."""
    chip, times_ps = shipped("loihi2"), iter((900, 1_000, 1_001, 1_200, 1_000))
    saved = sensitivity(chip, 1_000, lambda lower: next(times_ps))
    assert list(saved.values()) == [0.1, 0, 0, 0, 0]
    assert set(sensitivity(chip, 0, lambda lower: 0).values()) == {0}


def test_a_silent_run_has_a_point_on_the_plot():
    """Without synops there is no slope of its own: the cheapest synop of the chip stands for it."""
    chip = shipped("loihi2")
    mapping = map_network(build("mlp"), chip, partition=4)
    found = find_bottleneck(mapping, lambda each: simulate(each, activity=0.0, timesteps=1, critical_path=True))
    point = found.workload("silent")
    assert point.max_synops == 0
    assert point.synop_ps == min(
        a.latency_ps for a in (chip.actions.synop_dense, chip.actions.synop_sparse, chip.actions.synop_conv)
    )


def test_a_floor_above_the_common_one_is_marked():
    """Slope and floor drawn are the lowest of all points; what binds a single one higher up has a dash of its own."""
    low = Workload("low", 100, 2e6, None, 1_000, 1e6, "compute")
    high = Workload("high", 100, 6e6, None, 1_000, 5e6, "compute")
    for points, marks in (([low, low], []), ([low, high], [(100, 5.0)])):
        axes = Figure().subplots()
        draw_time(axes, points)
        dashes = [line for line in axes.lines if line.get_marker() == "_"]
        assert [xy for line in dashes for xy in zip(line.get_xdata(), line.get_ydata(), strict=True)] == marks


@given(mapped_networks(), st.integers(0, 2**32 - 1), st.floats(1.1, 5))
def test_a_target_is_reached_by_what_it_says_and_by_no_more(mapping, seed, times):
    """Bounds of the expected counts, with all densities at the share: at the target, and above it with a bit more."""
    rng = np.random.default_rng(seed)
    densities = {layer.name: float(rng.uniform(0.1, 1)) for layer in mapping.network.layers}

    def least_ps(share: float) -> int:
        scaled = {name: share * density for name, density in densities.items()}
        return int(expected_bounds(mapping, scaled, 50).least_ps[0])

    target = target_of(mapping, densities, 50, times)
    assert target.now_ps == pytest.approx(least_ps(1.0), abs=2)
    assert target.most["messages"] == pytest.approx(target.now_ps / least_ps(0.0), rel=1e-3)
    if target.messages is None:
        assert least_ps(0.0) * times > target.now_ps - 2 * times
    else:
        wanted_ps = target.now_ps / times
        assert least_ps(target.messages) <= wanted_ps + 2
        assert target.messages == 1 or least_ps(min(1.0, 1.05 * target.messages + 1e-3)) >= wanted_ps - 2


def test_below_a_takeover_nothing_more_is_gained():
    mapping = map_network(build("mlp", width=256), shipped("loihi2"), partition=2)
    densities = dict.fromkeys(mapping.network.by_name, 0.5)
    for row in target_of(mapping, densities, 0, 2).layers:
        times_ps = [
            expected_bounds(mapping, densities | {row.layer: density}, 0).least_ps[0]
            for density in (row.until, row.until / 2, 0.0)
        ]
        assert max(times_ps) - min(times_ps) <= 2


def test_weights_help_only_where_zeros_are_not_stored():
    found = {
        form: target_of(
            map_network(build("mlp", width=256), shipped("loihi2"), 2, weight_format=form),
            dict.fromkeys(build("mlp", width=256).by_name, 0.5),
            0,
            2,
        ).most["weights"]
        for form in ("sparse", "dense")
    }
    assert found["sparse"] > found["dense"] == 1
