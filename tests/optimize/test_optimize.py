"""Evaluations equal full runs to the picosecond, cuts equal a search over all, moves keep limits, searches repeat."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nsim import load_chip, simulate
from nsim.chip.chip import changed
from nsim.chip.timesteps import BarrierChip
from nsim.errors import MappingError, OptimizationError, SimulationError
from nsim.formats.network import load_network
from nsim.formats.streams import load_events
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.cores.partition import AXES, Rules, slices_of_sizes
from nsim.mapping.cores.partition_file import write_partition
from nsim.mapping.network import map_network
from nsim.network.activity import Activity, layer_offsets, prescribe
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, Relay
from nsim.network.synapses import Convolution, Dense
from nsim.optimize.candidate import Candidate, by_layer, difference, of_mapping
from nsim.optimize.cuts import Cutter, share_ps
from nsim.optimize.evolve import crossed_links, evolve_order, hops_between
from nsim.optimize.objectives import OBJECTIVES
from nsim.optimize.problem import PLACINGS, Problem, chosen_timesteps, physical_limits
from nsim.optimize.search import SEARCHES, History, optimize, verify, write_result
from nsim.optimize.streams import OBJECTIVES as OBJECTIVES_OF_STREAMS
from nsim.optimize.streams import optimize_stream
from nsim.optimize.workers import Workers
from nsim.result.run_timesteps import Sent, run_activity
from nsim.result.timesteps import TimestepResult
from tests.generators.commands import nsim, refused
from tests.generators.machines import mapped_networks, shipped

examples = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SMALL = "mlp:width=60,depth=2,inputs=40"


def problem_of(mapping: Mapping, density: float = 0.5, seed: int = 0, objective: str = "time") -> Problem:
    """A mapping as the start of an optimisation, on three timesteps of drawn activity."""
    densities = {layer.name: density for layer in mapping.network.layers}
    drawn = list(prescribe(mapping.network, densities, 3, np.random.default_rng(seed)))
    rules = Rules(mapping.network, mapping.chip, mapping.dense_layers)
    return Problem(rules, chosen_timesteps(drawn, 3), objective, mapping.chip.cores, of_mapping(mapping))


def problem_on(network: str | Network, chip: str = "loihi2", **options) -> Problem:
    loaded = load_network(network) if isinstance(network, str) else network
    return problem_of(map_network(loaded, shipped(chip)), **options)


def slow_synapses() -> BarrierChip:
    """Loihi 2 with synaptic operations that take ten times as long, so that they limit small networks."""
    return changed(shipped("loihi2"), {"actions.synop_sparse.latency_ps": 8_660, "management.default.runtime": "bare"})


def full_run(problem: Problem, candidate: Candidate) -> TimestepResult:
    """The candidate mapped and simulated as every other run is."""
    rules = problem.rules
    mapping = map_network(
        rules.network, rules.chip, candidate.partition, candidate.placement, weight_format=rules.dense_layers
    )
    return run_activity(mapping, Sent([[problem.activity]], [problem.activity.timesteps], None), critical_path=True)


def check_equal(problem: Problem, candidate: Candidate) -> None:
    found, result = problem.evaluate(candidate, path=True), full_run(problem, candidate)
    assert found is not None
    assert found.time_ps == result.time_ps
    assert found.energy_fj == result.energy.known_fj
    assert found.cores == result.mapping.used_cores.size
    assert found.states == result.path_ps
    assert problem.evaluate(candidate).time_ps == found.time_ps


def searched(problem: Problem, name: str = "floorline", budget: int = 60, processes: int = 1) -> History:
    with Workers(problem, processes) as workers:
        history = History(problem, name, budget, workers)
        history.run(SEARCHES[name], np.random.default_rng(3))
        return history


@examples
@given(mapped_networks(), st.floats(0, 1), st.sampled_from(PLACINGS), st.integers(0, 9))
def test_an_evaluation_equals_a_full_mapping_and_run(mapping, density, placing, seed):
    """Any partition of any network, shared cores and spare neurons included; then light slices put together."""
    assume(all(len({s.layer for s in slices}) == len(slices) for slices in mapping.partition))
    problem = problem_of(mapping, density, seed)
    slices, cores = by_layer(mapping.partition, problem.rules)
    check_equal(problem, problem.start)
    check_equal(problem, problem.candidate(slices, cores, placing))
    load_ps = max(problem.loads(problem.start))
    for limit_ps in (load_ps, 3 * load_ps):
        packed = problem.packed(slices, limit_ps, placing)
        assert packed.used <= sum(len(held) for held in slices)
        if problem.evaluate(packed) is not None:
            check_equal(problem, packed)


def test_energy_of_links_and_messages_is_that_of_a_full_run():
    """Loihi has a cost for every action, Loihi 2 has not."""
    problem = problem_on(SMALL, "loihi")
    assert full_run(problem, problem.start).energy.unknown == []
    for placing in PLACINGS:
        cuts = tuple(problem.cutter.into(layer, "channels", 3) for layer in problem.layers)
        check_equal(problem, problem.candidate(cuts, placing=placing))


def test_what_no_out_was_given_for_is_kept_by_the_command_that_is_shown(tmp_path):
    done = nsim("optimize", SMALL, "--chip", "loihi2", "--search", "floorline", "--processes", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert nsim(*pasted(done, "keep it"), cwd=tmp_path).returncode == 0
    assert (tmp_path / "found.toml").is_file()


@pytest.mark.parametrize("search", SEARCHES)
def test_the_reachable_limit_is_between_the_ideal_one_and_what_was_found(search):
    """By timestep, with receiving and copies: more than work spread perfectly, and no more than the best run."""
    if search == "evolve":
        pytest.importorskip("pymoo")
    found = optimize(load_network(SMALL), shipped("loihi2"), search=search, evaluated=4, budget=120, processes=1)
    floor, best = found.history.floor, found.history.last.found
    assert found.limits.least_ps <= floor.time_ps <= best.time_ps / found.history.problem.activity.timesteps
    assert sum(floor.waits.values()) == pytest.approx(1) and floor.binding in floor.waits
    names = [layer.name for layer in load_network(SMALL).layers]
    assert set(floor.waits) <= {*names, *(f"copies of {name}" for name in names), "barrier and management"}


@examples
@given(mapped_networks(), st.floats(0, 1))
def test_no_candidate_beats_the_physical_limit(mapping, density):
    problem = problem_of(mapping, density)
    assume(problem.allows(problem.start))
    least_ps = physical_limits(problem).least_ps
    for candidate in (problem.start, problem.packed(problem.start.slices, 1 << 62)):
        found = problem.evaluate(candidate)
        assert found is None or found.time_ps / problem.activity.timesteps >= least_ps - 1e-6


def test_physical_limit_of_a_network_with_known_work():
    """4 inputs that always send, all to 6 neurons in the dense format: every count by hand."""
    chip = shipped("loihi2")
    network = one_layer(np.ones((6, 4), np.int64), (4, 1, 1), (6, 1, 1))
    mapping = map_network(network, chip, weight_format="dense")
    problem = replace(problem_of(mapping, density=1.0), most_cores=2)
    limits, actions = physical_limits(problem), chip.actions
    assert limits.memory_ps == (4 * actions.message_in.latency_ps + 24 * actions.synop_dense.latency_ps) / 2
    assert limits.compute_ps == 6 * actions.neuron_update.latency_ps / 2
    assert limits.host_ps == 4 * chip.host.message_ps
    assert limits.least_ps == max(limits.memory_ps, limits.host_ps) + chip.barrier_ps(1) + 1_092_800


def test_outgoing_axons_are_a_limit_of_every_candidate():
    """On Loihi each neuron takes an axon per destination core, whether it fires or not."""
    mapping = map_network(load_network("mlp:width=60,depth=2,inputs=40"), shipped("loihi"))
    tight = changed(shipped("loihi"), {"core.axons_out": 130})
    problem = problem_of(map_network(mapping.network, tight), density=0.05)
    first = tuple(problem.cutter.into(problem.layers[0], "channels", 1))
    for parts in (1, 2, 3, 4):
        second = tuple(problem.cutter.into(problem.layers[1], "channels", parts))
        candidate = problem.candidate((first, second))
        assert (problem.evaluate(candidate) is not None) == (60 * parts <= 130)
        if 60 * parts > 130:
            with pytest.raises(MappingError, match=f"needs {60 * parts} outgoing axons"):
                problem.refuse(candidate)


def one_layer(matrix, source, target, **options) -> Network:
    layers = Layer("input", source, Relay(), on_chip=False), Layer("layer", target, Activation())
    synapses = Dense(matrix, source, target)
    return Network("one layer", layers, (Connection("input", "layer", synapses, **options),), "input", "layer")


def convolution(rng: np.random.Generator, stride: int) -> Network:
    kernel = rng.integers(1, 5, (3, 2, 3, 3))
    target = 3, (8 - 3) // stride + 1, (17 - 3) // stride + 1
    synapses = Convolution(kernel, (2, 8, 17), target, (stride, stride))
    layers = Layer("input", (2, 8, 17), Relay(), on_chip=False), Layer("layer", target, Activation())
    return Network("convolution", layers, (Connection("input", "layer", synapses),), "input", "layer")


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("axis", AXES)
def test_the_profile_of_a_convolution_is_exact(stride, axis):
    """The closed form of a slice's time equals what the activity makes of that slice, for every slice there is."""
    problem = problem_on(convolution(np.random.default_rng(stride), stride))
    layer, cutter = problem.layers[0], problem.cutter
    profile = cutter.profile(layer, axis)
    arrays = profile.work_ps, profile.compute_ps, profile.ended, profile.begun, profile.messages, profile.received_ps
    extent = layer.shape[AXES.index(axis)]
    for low, high in itertools.combinations(range(extent + 1), 2):
        sizes = [size for size in (low, high - low, extent - high) if size]
        piece = slices_of_sizes(layer, sizes, axis)[1 if low else 0]
        assert share_ps(low, high, *arrays) == problem.simulator.work(piece).load_ps


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_the_least_largest_cut_equals_a_search_over_all_cuts(seed, parts):
    """Every way to cut ten neurons of very unequal weight, the number of slices being at most `parts`."""
    rng = np.random.default_rng(seed)
    matrix = (rng.random((10, 30)) < rng.random(10)[:, None] ** 3).astype(np.int64)
    problem = problem_on(one_layer(matrix, (30, 1, 1), (10, 1, 1)), seed=seed)
    layer, cutter = problem.layers[0], Cutter(problem.simulator)
    profile = cutter.profile(layer, "channels")
    arrays = profile.work_ps, profile.compute_ps, profile.ended, profile.begun, profile.messages, profile.received_ps

    def largest(ends):
        return max(share_ps(low, high, *arrays) for low, high in itertools.pairwise((0, *ends, 10)))

    every = [ends for count in range(parts) for ends in itertools.combinations(range(1, 10), count)]
    cut = cutter.into(layer, "channels", parts)
    assert cut is not None and len(cut) <= parts
    assert largest([piece.box.channels[1] for piece in cut[:-1]]) == min(map(largest, every))


@examples
@given(mapped_networks(), st.floats(0.05, 1))
def test_cuts_tile_their_layer_and_fit_the_chip(mapping, piece):
    problem = problem_of(mapping)
    loads = problem.loads(problem.start)
    for layer, load_ps in zip(problem.layers, loads, strict=True):
        cut = problem.cutter.under(layer, int(piece * load_ps))
        if cut is None:
            continue
        held = np.concatenate([each.box.indices(layer.shape) for each in cut])
        assert np.array_equal(np.sort(held), np.arange(layer.neurons))
        for each in cut:
            assert each.box.neurons == each.allocated and each.box.neurons % layer.neuron.granule == 0
            assert problem.rules.demand(each).overload(problem.rules.chip) <= 1


@examples
@given(mapped_networks(), st.integers(0, 9))
def test_a_written_partition_is_read_back_as_the_same_mapping(tmp_path_factory, mapping, seed):
    rules = Rules(mapping.network, mapping.chip, mapping.dense_layers)
    slices, cores = by_layer(mapping.partition, rules)
    candidate = problem_of(mapping).candidate(slices, cores)
    placement = np.random.default_rng(seed).permutation(mapping.chip.cores)[: candidate.used].tolist()
    path = tmp_path_factory.mktemp("partition") / "found.toml"
    try:
        write_partition(candidate.partition, path, rules, placement, "made\nby a test")
    except MappingError:  # default slices with spare neurons on shared cores
        assume(False)
    again = map_network(mapping.network, mapping.chip, path, weight_format=mapping.dense_layers)
    assert [sorted(held, key=lambda s: (s.layer, s.box)) for held in again.partition] == [
        sorted(held, key=lambda s: (s.layer, s.box)) for held in candidate.partition
    ]
    assert again.placement.tolist() == placement


@pytest.mark.parametrize(
    ("placement", "says"),
    [
        ("[0, 0]", r"names core 0 2 times"),
        ("[0]", r"names 1 physical cores for 2 logical ones"),
        ("[0, 128]", r"names core 128, but chip 'loihi2' has cores 0 to 127"),
        ('["a", "b"]', r"placement is \['a', 'b'\]: expected a list of whole numbers"),
    ],
)
def test_placements_that_make_no_sense(placement, says, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(f"placement = {placement}\n[layers.fc0]\nneurons = [60]\n[layers.fc1]\nneurons = [60]\n")
    with pytest.raises(MappingError, match=says):
        map_network(load_network(SMALL), shipped("loihi2"), path)


def test_a_placement_that_is_asked_for_goes_before_the_files(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text("placement = [5, 3]\n[layers.fc0]\nneurons = [60]\n[layers.fc1]\nneurons = [60]\n")
    network, chip = load_network(SMALL), shipped("loihi2")
    assert map_network(network, chip, path).placement.tolist() == [5, 3]
    assert map_network(network, chip, path, "row-major").placement.tolist() == [0, 1]
    assert map_network(network, chip, path, [7, 6]).placement.tolist() == [7, 6]


def test_names_that_toml_must_quote(tmp_path):
    network = one_layer(np.ones((6, 4), np.int64), (4, 1, 1), (6, 1, 1))
    odd = 'a "b".c\\'
    layers = network.layers[0], replace(network.layers[1], name=odd)
    renamed = Network("odd", layers, (replace(network.connections[0], target=odd),), "input", odd)
    problem = problem_on(renamed)
    cut = problem.cutter.into(problem.layers[0], "channels", 3)
    write_partition(tuple((piece,) for piece in cut), tmp_path / "p.toml", problem.rules)
    assert len(map_network(renamed, shipped("loihi2"), tmp_path / "p.toml").partition) == 3


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_search_improves_its_objective_within_limits_and_budget(name, objective):
    if name == "evolve":
        pytest.importorskip("pymoo")
    problem = replace(problem_on(SMALL, objective=objective), most_cores=7)
    if objective == "cores":  # begin with more than the two that it needs
        layers = problem.layers
        cuts = tuple(problem.cutter.into(layer, "channels", 3) for layer in layers)
        problem = replace(problem, first=problem.candidate(cuts))
    history = searched(problem, name, 30)
    keys = [problem.key(move.found) for move in history.moves]
    assert keys == sorted(keys, reverse=True) and len(keys) > 1
    assert 1 < history.evaluations <= 30
    for move in history.moves:
        assert problem.allows(move.candidate) and move.candidate.used <= 7
        check_equal(problem, move.candidate)
    if objective == "cores":
        assert history.last.found.cores == 1  # both layers fit one core


def test_cores_are_taken_from_layers_with_time_to_spare():
    """All of the cores are in use from the start, most of them for a layer that has next to nothing to do."""
    rng = np.random.default_rng(0)
    heavy, light = Layer("heavy", (40, 1, 1), Activation()), Layer("light", (40, 1, 1), Activation())
    source = Layer("input", (200, 1, 1), Relay(), on_chip=False)
    few = (rng.random((40, 40)) < 0.05).astype(np.int64)
    connections = (
        Connection("input", "heavy", Dense(np.ones((40, 200), np.int64), source.shape, heavy.shape)),
        Connection("heavy", "light", Dense(few, heavy.shape, light.shape)),
    )
    network = Network("unequal", (source, heavy, light), connections, "input", "light")
    mapping = map_network(network, slow_synapses(), {"heavy": 1, "light": 5})
    problem = replace(problem_of(mapping, density=0.9), most_cores=6)
    history = searched(problem)
    assert len(history.last.candidate.slices[0]) >= 4
    assert history.last.found.time_ps < 0.6 * history.first.found.time_ps


def test_floorline_finds_the_best_of_all_two_core_cuts():
    """One layer whose last neurons have nearly all weights: every cut over two cores, simulated."""
    rng = np.random.default_rng(1)
    matrix = (rng.random((24, 60)) < np.linspace(0, 1, 24)[:, None] ** 2).astype(np.int64)
    problem = replace(problem_of(map_network(one_layer(matrix, (60, 1, 1), (24, 1, 1)), slow_synapses())), most_cores=2)
    layer = problem.layers[0]
    cuts = [(tuple(slices_of_sizes(layer, [k, 24 - k], "channels")),) for k in range(1, 24)]
    best = min(problem.evaluate(problem.candidate(cut)).time_ps for cut in cuts)
    for name in ("floorline", "balanced", "bound"):
        assert searched(problem, name).last.found.time_ps <= 1.02 * best
    even = problem.evaluate(problem.candidate(cuts[11])).time_ps
    assert best < 0.95 * even


def from_rest(problem: Problem, rounds: int = 2) -> Problem:
    """The same on activity that passes through the layers one after another, as that of a sample does."""
    offsets = layer_offsets(problem.rules.network)
    steps = [np.arange(*offsets[k : k + 2]) for k in range(len(offsets) - 2)] * rounds
    indptr = np.concatenate(([0], np.cumsum([step.size for step in steps]))).astype(np.int64)
    return replace(problem, activity=Activity(indptr, np.concatenate(steps), None))


def chain(sizes: Sequence[int], rng: np.random.Generator) -> Network:
    """Fully connected layers one after another, the first of them the input."""
    names = [f"layer{number}" for number in range(len(sizes))]
    layers = [Layer(names[0], (sizes[0], 1, 1), Relay(), on_chip=False)]
    layers += [Layer(name, (size, 1, 1), Activation()) for name, size in zip(names[1:], sizes[1:], strict=True)]
    matrices = [rng.integers(1, 8, pair[::-1]) for pair in itertools.pairwise(sizes)]
    joined = zip(itertools.pairwise(layers), matrices, strict=True)
    connections = [Connection(a.name, b.name, Dense(matrix, a.shape, b.shape)) for (a, b), matrix in joined]
    return Network("chain", tuple(layers), tuple(connections), names[0], names[-1])


@pytest.mark.parametrize("name", ["floorline", "balanced", "bound"])
def test_a_layer_that_works_while_the_others_rest_is_cut_too(name):
    """Its load is a third of the largest, which receiving keeps from falling: against the best of all even cuts."""
    problem = from_rest(problem_on(chain([300, 10, 110], np.random.default_rng(2))))
    loads = problem.loads(problem.start)
    assert loads[1] < 0.35 * loads[0]
    cuts = [[problem.cutter.into(layer, "channels", n) for n in range(1, 11)] for layer in problem.layers]
    best = min(problem.evaluate(problem.candidate(pair)).time_ps for pair in itertools.product(*cuts))
    found = searched(problem, name, budget=200).last
    assert found.candidate.parts(1) > 1
    assert found.found.time_ps <= (1.05 if name == "balanced" else 1.02) * best


def test_traffic_of_the_host_is_thinned():
    """Inputs that always send into a layer with little to do: the search ends at the best number of receivers."""
    network = one_layer(np.eye(60, dtype=np.int64)[:48], (60, 1, 1), (48, 1, 1))
    mapping = map_network(network, shipped("loihi2"), "even:12", weight_format="dense")
    problem = problem_of(mapping, density=1.0)
    history, layer = searched(problem), problem.layers[0]
    cuts = [problem.candidate((problem.cutter.into(layer, "channels", parts),)) for parts in range(1, 13)]
    assert history.first.found.state == "traffic"
    assert history.last.found.time_ps == min(problem.evaluate(cut).time_ps for cut in cuts)
    assert "merge layer onto" in history.lines()[0] and "traffic-bound" in history.lines()[0]


def test_same_seed_same_result_whatever_the_number_of_processes():
    pytest.importorskip("pymoo")
    problem = problem_on(SMALL)
    one, two = (searched(problem, "evolve", 120, processes) for processes in (1, 2))
    assert one.rows == two.rows and len(one.rows) > 1
    assert [(c, e.time_ps) for c, e in one.tried.items()] == [(c, e.time_ps) for c, e in two.tried.items()]


def test_the_front_holds_what_is_not_beaten():
    pytest.importorskip("pymoo")
    found = optimize(load_network(SMALL), shipped("loihi2"), search="evolve", pareto=True, budget=150, processes=1)
    points = [(e.time_ps, e.energy_fj, e.cores) for e in found.history.tried.values()]

    def beaten(point):
        return any(other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points)

    front = {(e.time_ps, e.energy_fj, e.cores) for _, e in found.history.front}
    assert front == {point for point in points if not beaten(point)} and len(front) > 2


def interrupt(monkeypatch, rounds: int) -> None:
    """Ctrl-C after so many rounds of evaluations."""
    done, usual = itertools.count(), Workers.map

    def interrupted(self, function, items):
        if next(done) == rounds:
            raise KeyboardInterrupt
        return usual(self, function, items)

    monkeypatch.setattr(Workers, "map", interrupted)


def test_ctrl_c_keeps_the_best_until_then(monkeypatch):
    interrupt(monkeypatch, 2)
    history = searched(problem_on(SMALL))
    assert history.interrupted and len(history.moves) == 2
    assert history.last.found.time_ps < history.first.found.time_ps


def test_ctrl_c_writes_the_best_and_says_so(monkeypatch, tmp_path):
    interrupt(monkeypatch, 2)
    done = nsim("optimize", SMALL, "--chip", "loihi2", "--processes", "1", "--out", "best.toml", cwd=tmp_path)
    assert done.returncode == 130 and "times faster" in done.stdout
    assert "of at most 600 evaluations: this is the best until then" in done.stderr
    assert nsim("run", SMALL, "--chip", "loihi2", "--partition", "best.toml", cwd=tmp_path).returncode == 0


def test_a_search_begins_where_the_file_before_ended(tmp_path):
    first = optimize(load_network(SMALL), shipped("loihi2"), processes=1)
    write_result(first, tmp_path / "found.toml")
    again = optimize(load_network(SMALL), shipped("loihi2"), processes=1, partition=tmp_path / "found.toml")
    assert again.history.first.found.time_ps == first.history.last.found.time_ps


def test_ctrl_c_before_anything_is_evaluated_is_passed_on(monkeypatch):
    interrupt(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt):
        searched(problem_on(SMALL))


def test_a_wrong_evaluation_does_not_pass_for_a_result():
    problem = problem_on(SMALL)
    history = searched(problem)
    verify(history, problem.activity)
    history.moves[-1] = replace(history.last, found=replace(history.last.found, time_ps=history.last.found.time_ps - 1))
    with pytest.raises(SimulationError, match="a full run"):
        verify(history, problem.activity)


def test_moves_are_told_by_what_they_change():
    problem = problem_on(SMALL)
    first, second = problem.layers

    def cut(*parts):
        slices = [problem.cutter.into(x, "channels", n) for x, n in zip(problem.layers, parts, strict=True)]
        return problem.candidate(tuple(slices))

    assert difference(problem.layers, cut(1, 2), cut(3, 2)) == f"split {first.name} over 3 cores"
    assert difference(problem.layers, cut(3, 2), cut(3, 1)) == f"merge {second.name} onto 1 core"
    moved = tuple(slices_of_sizes(first, [10, 50], "channels"))
    assert difference(problem.layers, cut(2, 2), problem.recut(cut(2, 2), {0: moved})) == "move the boundaries of fc0"
    packed = problem.packed(cut(1, 1).slices, 1 << 62)
    assert difference(problem.layers, cut(1, 1), packed) == "put light slices together on 1 core in all"
    assert difference(problem.layers, packed, cut(1, 1)) == "give slices cores of their own"
    near = problem.candidate(cut(1, 1).slices, placing="near the host")
    assert difference(problem.layers, cut(1, 1), near) == "place near the host"


@pytest.mark.parametrize("seed", range(4))
def test_placement_by_evolution_crosses_fewer_links(seed):
    problem, rng = problem_on(SMALL), np.random.default_rng(seed)
    places = np.array(problem.near_host[:30])
    traffic = rng.integers(0, 50, (31, 31)) * (rng.random((31, 31)) < 0.1)
    hops = hops_between(problem, places)
    order = evolve_order(traffic + traffic.T, hops, rng, 200, 4)
    assert sorted(order.tolist()) == list(range(30))

    def crossed(order):
        at = [*order, 30]
        return sum(int(traffic[a, b] * hops[at[a], at[b]]) for a in range(31) for b in range(31) if a != b)

    assert crossed(order) == crossed_links(traffic + traffic.T, hops, np.append(order, 30))
    assert crossed(order) < 0.95 * crossed(range(30))


def test_the_command_writes_a_partition_that_run_takes(tmp_path):
    """Also under a name that the screen could take for its own marks."""
    done = nsim(
        *("optimize", SMALL, "--chip", "loihi2", "--out", "found[bold].toml", "--plot", "way.png", "--processes", "1"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    for words in ("times faster", "agrees exactly", "no partition can beat it", "Reachable"):
        assert words in " ".join(done.stdout.split())
    assert (tmp_path / "way.png").stat().st_size > 10_000
    head = (tmp_path / "found[bold].toml").read_text()
    assert "# split fc0 over" in head and "-bound" in head
    ran = nsim(*pasted(done, "run it"), cwd=tmp_path)
    time = next(line.split()[1:3] for line in done.stdout.splitlines() if line.startswith("Time"))
    assert ["time", *time] == next(line.split()[:3] for line in ran.stdout.splitlines() if line.startswith("  time"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--search", "florline"], "no search 'florline': did you mean floorline? choose from bound, floorline"),
        (["--objective", "enrgy"], "no objective 'enrgy': did you mean energy? choose from time, energy,"),
        (["--cores", "129"], "cores is 129: chip 'loihi2' has 1 to 128"),
        (["--cores", "0"], "cores is 0: chip 'loihi2' has 1 to 128"),
        (["--budget", "0"], "budget is 0 evaluations: give at least 1"),
        (["--evaluated", "0"], "simulate 0 timesteps: give at least 1"),
        (["--processes", "0"], "processes is 0: give 1 to"),
        (["--pareto", "--search", "balanced"], "search 'balanced' follows one objective: use bound or evolve"),
        (["--out", "found.txt"], "partition file found.txt: end its name in .toml"),
        (["--out", "none/found.toml"], "folder that does not exist: make none first"),
        (["--plot", "way.doc"], "figure way.doc has no format that can be drawn"),
        (["--partition", "evn:3"], "no partition 'evn:3'"),
        (["--activity", "2"], "message density of layer"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, says, tmp_path):
    assert says in refused("optimize", SMALL, "--chip", "loihi2", *options, cwd=tmp_path)


@pytest.mark.slow
def test_full_cores_and_rests_put_together_take_fewest():
    """S5's weights fill 14 cores if every word of every core is used; halves of its layers would take 22."""
    network = load_network("s5")
    found = optimize(network, shipped("loihi2"), objective="cores", processes=1).history
    words = sum(demand.synapse_words for demand in map_network(network, shipped("loihi2")).demands)
    assert found.first.found.cores == 22 and words / shipped("loihi2").core.synapse_words > 13.6
    assert 14 <= found.last.found.cores <= 16


def test_two_shares_of_a_layer_on_one_core_are_refused(tmp_path):
    (tmp_path / "own.toml").write_text("[layers.fc0]\nneurons = [30, 30]\ncores = [0, 0]\n")
    said = refused("optimize", SMALL, "--chip", "loihi2", "--partition", "own.toml", cwd=tmp_path)
    assert "core 0 holds two slices of layer 'fc0'" in said


def test_a_network_that_no_partition_fits(tmp_path):
    said = refused("optimize", "pilotnet:neuron=lif", "--chip", "loihi", cwd=tmp_path)
    assert "cores of chip 'loihi'" in said and "use a smaller network" in said


def test_fewer_cores_than_the_network_needs(tmp_path):
    said = refused("optimize", "ndns-sdnn", "--chip", "loihi2", "--cores", "2", cwd=tmp_path)
    assert "needs" in said and "but 2 are allowed, of 128: allow more (--cores)" in said


@pytest.mark.parametrize(
    ("chip", "option"),
    [
        ("akd1000", ("--partition", "even:2")),
        ("akd1000", ("--search", "evolve")),
        ("akd1000", ("--evaluated", "4")),
        ("speck", ("--cores", "3")),
        ("speck", ("--evaluated", "4")),
        ("speck", ("--samples", "2")),
        ("speck", ("--budget", "9")),
    ],
)
def test_chips_on_which_all_mappings_are_tried_take_no_options_of_a_search(chip, option):
    said = refused("optimize", SMALL, "--chip", chip, *option)
    assert f"{' '.join(option)} is not for chip {chip!r}, on which all mappings are tried: leave it out" in said


def test_mosaic_has_no_partition_to_optimise():
    assert "has no partition that can be optimised" in refused("optimize", SMALL, "--chip", "mosaic")


def test_the_best_limits_on_a_chip_with_frames_are_those_that_a_run_takes(tmp_path):
    done = nsim("optimize", "cnn", "--chip", "akd1000", "--samples", "2", "--budget", "6", "--pareto", cwd=tmp_path)
    assert done.returncode == 0 and "not beaten in time, energy and cores" in done.stdout, done.stderr
    command = pasted(done, "best")
    ran = nsim(*command, "--out", "found", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert json.loads((tmp_path / "found" / "summary.json").read_text())["mapping_mode"] == command[-1]


def test_the_best_cores_on_a_chip_without_timesteps_are_those_that_a_run_takes(tmp_path):
    events = ("--input", "edges:rate=1e5,seconds=0.002")
    done = nsim("optimize", "speck-gesture", "--chip", "speck", *events, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "conv1 (default)" in done.stdout
    ran = nsim(*pasted(done, "best"), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr


def pasted(done, before: str) -> list[str]:
    """The command that the last line of a screen gives, without the program's name."""
    line = done.stdout.splitlines()[-1].strip()
    assert re.match(rf"{before} +nsim ", line), line
    return shlex.split(line.removeprefix(before))[1:]


@pytest.mark.parametrize("objective", OBJECTIVES_OF_STREAMS)
def test_streams_have_objectives_too(objective):
    network = load_network("speck-gesture")
    stream = load_events(Path("edges:rate=1e5,seconds=0.002"), network.by_name[network.input].shape)
    found = optimize_stream(network, shipped("speck"), [stream], objective=objective)
    taken = [
        {"time": each.time_ps, "energy": each.energy_fj, "energy-delay": each.time_ps * each.energy_fj}[objective]
        for each in found.tried.values()
    ]
    assert found.best.key(objective)[0] == min(taken)
    assert len(found.front) >= 1 and found.best.time_ps >= found.front[0][1].time_ps


def test_streams_have_no_cores_to_save():
    said = refused("optimize", "speck-gesture", "--chip", "speck", "--objective", "cores")
    assert "no objective 'cores': choose from time, energy, energy-delay" in said


def test_without_pymoo_evolve_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pymoo.algorithms.soo.nonconvex.ga", None)
    with pytest.raises(OptimizationError, match=r"pip install 'nsim-neuromorphic\[optimize\]'"):
        searched(problem_on(SMALL), "evolve", 10)


def test_an_unwritable_file_is_refused_when_it_is_written(tmp_path):
    found = optimize(load_network(SMALL), shipped("loihi2"), budget=5, processes=1)
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(Exception, match="cannot write partition file"):
        write_result(found, Path(tmp_path / "folder.toml"))


def test_layers_that_share_cores_are_a_beginning():
    """A core a layer would be four cores of a chip that has two: slices are put together."""
    small = changed(shipped("loihi2"), {"mesh.columns": 2, "mesh.rows": 1, "mesh.cores_per_router": 1})
    network = load_network("mlp:width=60,depth=4,inputs=40")
    assert len(map_network(network, small).partition) <= 2
    found = optimize(network, small, processes=1)
    assert found.after.mapping.used_cores.size <= 2


def test_a_trained_network_is_searched_in_the_integers_that_run(tmp_path):
    """A NIR graph is rounded for Loihi 2: the time that the search promises is that of a run of its partition."""
    rng = np.random.default_rng(3)
    nodes = {
        "input": nir.Input({"input": np.array([12])}),
        "fc": nir.Linear(rng.normal(0, 0.4, (40, 12)).astype(np.float32)),
        "lif": nir.LIF(*(np.full(40, x, np.float32) for x in (0.02, 1, 0, 0.3, 0))),
        "output": nir.Output({"output": np.array([40])}),
    }
    nir.write(tmp_path / "net.nir", nir.NIRGraph(nodes, list(pairwise(nodes)), {"dt": 1e-3}, type_check=False))
    network, chip, frames = load_network(tmp_path / "net.nir"), load_chip("loihi2"), rng.random((20, 12)) < 0.4
    found = optimize(network, chip, frames, search="floorline", budget=4, evaluated=20, processes=1)
    best = found.after.mapping
    again = simulate(map_network(network, chip, best.partition, best.placement), frames)
    assert best.network.fixed_point and found.after.time_ps == again.time_ps
