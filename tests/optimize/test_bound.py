"""The bound is never above a run, equals a naive count, and what it leads to is never worse than what else there is."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import nsim as nsim_package
from nsim.chip.chip import changed
from nsim.chip.file import load_chip
from nsim.errors import ChipError
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.cores.partition import AXES, Rules
from nsim.mapping.network import map_network
from nsim.network.activity import prescribe
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, Relay
from nsim.network.synapses import Convolution
from nsim.optimize.balanced import allocations
from nsim.optimize.bound import SOFT, Bound
from nsim.optimize.candidate import of_mapping
from nsim.optimize.descent import Descent
from nsim.optimize.history import History
from nsim.optimize.objectives import OBJECTIVES
from nsim.optimize.offers import bound_of, closed_forms, offered
from nsim.optimize.problem import Problem, chosen_timesteps
from nsim.optimize.search import SEARCHES, optimize, write_result
from nsim.result.limits.timesteps import timestep_bounds
from nsim.result.run import simulate
from nsim.result.run_timesteps import Sent, run_activity
from tests.generators.machines import mapped_networks

examples = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**32 - 1)
STEPS = 3


def problem_of(mapping: Mapping, seed: int, objective: str = "time") -> Problem:
    """A mapping as the start of an optimisation with boxes, on drawn activity; each layer has its own density."""
    rng = np.random.default_rng(seed)
    densities = {layer.name: float(rng.random()) for layer in mapping.network.layers}
    drawn = list(prescribe(mapping.network, densities, STEPS, rng))
    rules = Rules(mapping.network, mapping.chip, mapping.dense_layers)
    steps = chosen_timesteps(drawn, STEPS)
    return Problem(rules, steps, objective, mapping.chip.cores, of_mapping(mapping), tiles=True)


def random_state(bound: Bound, rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(rng.integers(len(menu.cuts))) for menu in bound.menus)


def allowed_state(problem: Problem, bound: Bound, rng: np.random.Generator) -> tuple[int, ...]:
    states = (random_state(bound, rng) for _ in range(100))
    found = next((state for state in states if problem.allows(bound.candidate(state))), None)
    assume(found is not None)
    return found


@examples
@given(mapped_networks(), seeds)
def test_no_bound_is_above_a_run_or_its_energy(mapping, seed):
    problem = problem_of(mapping, seed)
    bound, rng = bound_of(problem), np.random.default_rng(seed)
    for _ in range(5):
        state = allowed_state(problem, bound, rng)
        found, least = problem.evaluate(bound.candidate(state)), bound.of(state)
        assume(found is not None)
        assert least.time_ps <= found.time_ps
        assert least.energy_fj <= found.energy_fj * (1 + 1e-12)
        assert least.cores == found.cores


@examples
@given(mapped_networks(), seeds)
def test_the_bound_is_the_floorline_but_for_mesh_links(mapping, seed):
    """The floorline of a full mapping, with silent mesh links; it takes sums of words or synops."""
    problem = problem_of(mapping, seed)
    bound = bound_of(problem)
    state = allowed_state(problem, bound, np.random.default_rng(seed))
    candidate, rules = bound.candidate(state), problem.rules
    full = map_network(
        rules.network, rules.chip, candidate.partition, candidate.placement, weight_format=rules.dense_layers
    )
    result = run_activity(full, Sent([[problem.activity]], [STEPS], None))
    first, links = result.machine.first, result.counts.link_messages
    links.values[:, (links.kept >= first[3] - first[2]) & (links.kept < first[4] - first[2])] = 0
    floorline = timestep_bounds(result.counts, full, result.barrier_ps)
    assert int(floorline.least_ps.sum()) <= bound.of(state).time_ps <= result.time_ps


@examples
@given(mapped_networks(), seeds, st.sampled_from([0, *SOFT]))
def test_a_line_is_one_bound_after_another(mapping, seed, power):
    """Soft maxima are not below hard ones, and not above the number of terms to the power of one over theirs."""
    problem = problem_of(mapping, seed)
    bound, rng = bound_of(problem), np.random.default_rng(seed)
    state = random_state(bound, rng)
    layers = [layer for layer in range(len(state)) if layer not in bound.own or layer not in bound.own[layer].targets]
    assume(layers)
    layer = int(rng.choice(layers))
    lines = zip(*bound.line(state, layer, power), strict=True)
    for cut, (time_ps, energy_fj, cores) in enumerate(lines):
        other = (*state[:layer], cut, *state[layer + 1 :])
        one = bound.of(other)
        assert cores == one.cores
        end_ps = bound.ends_ps[one.cores]
        terms = len(bound.terms(other)) ** (1 / power) if power else 1
        assert one.time_ps * (1 - 1e-9) <= time_ps <= (one.time_ps - end_ps) * terms * (1 + 1e-9) + end_ps
        if not power:
            assert energy_fj == pytest.approx(one.energy_fj, rel=1e-12)


@settings(parent=examples, max_examples=12)
@given(mapped_networks(), seeds, st.sampled_from(OBJECTIVES))
def test_nothing_that_it_sees_is_better_than_what_it_keeps(mapping, seed, objective):
    """Not the greedy search, nor any closed form, nor the balanced partition, nor where it began."""
    problem = problem_of(mapping, seed, objective)
    assume(problem.evaluate(problem.start) is not None)
    kept = {}
    for name in ("bound", "floorline", "balanced"):
        history = History(problem, name, 2000)
        history.run(SEARCHES[name], np.random.default_rng(seed))
        kept[name] = problem.key(history.last.found)[0]
    forms = [problem.evaluate(form) for form in closed_forms(problem)]
    others = [problem.key(found)[0] for found in forms if found is not None]
    assert kept["bound"] <= min([*others, kept["floorline"], kept["balanced"]])


@settings(parent=examples, max_examples=12, suppress_health_check=list(HealthCheck))  # many networks do not fit
@given(mapped_networks(), seeds)
def test_descent_finds_what_trying_all_finds(mapping, seed):
    """Every combination of a few cuts of each layer: the least bound of all, and within 2 % the fastest run."""
    problem = problem_of(mapping, seed)
    rng = np.random.default_rng(seed)
    full = bound_of(problem)
    few = [
        [menu.cuts[k] for k in rng.choice(len(menu.cuts), min(6, len(menu.cuts)), replace=False)] for menu in full.menus
    ]
    assume(problem.evaluate(problem.start) is not None)
    bound = Bound(problem, few)
    every = [
        s for s in itertools.product(*(range(len(cuts)) for cuts in few)) if bound.of(s).cores <= problem.most_cores
    ]
    assume(every)
    history = History(problem, "bound", 2000)
    history.begin()
    descent = Descent(history, bound, rng)
    descent.search([])
    best = descent.allowed()[0]
    assert bound.of(best).time_ps <= min(bound.of(state).time_ps for state in every) * (1 + 1e-9)
    runs = [run.time_ps for state in every if (run := problem.evaluate(bound.candidate(state))) is not None]
    assume(runs)
    descent.simulate()
    descent.polish()
    assert history.last.found.time_ps <= 1.02 * min(runs)


def image() -> Network:
    """One convolution over an image from the host: much work for few cuts along one axis."""
    synapses = Convolution(np.ones((64, 2, 3, 3), np.int64), (2, 14, 14), (64, 12, 12))
    layers = Layer("input", (2, 14, 14), Relay(), on_chip=False), Layer("conv", (64, 12, 12), Activation())
    return Network("image", layers, (Connection("input", "conv", synapses),), "input", "conv")


@pytest.mark.parametrize(
    ("rule", "asked", "tiles"), [(False, None, 0), (True, None, 1), (False, True, 1), (True, False, 0)]
)
def test_boxes_over_several_axes_are_on_offer_only_where_they_may_be(rule, asked, tiles):
    """By the chip's file, which says no for Loihi 2, unless asked for."""
    assert not load_chip("loihi2").partition.tiles
    chip = changed(load_chip("loihi2"), {"partition.tiles": rule})
    problem = optimize(image(), chip, tiles=asked, activity=0.5, budget=1, timesteps=2, processes=1).history.problem
    axes = [sum(len({getattr(share.box, a) for share in cut}) > 1 for a in AXES) for cut in offered(problem, 0, [])]
    assert max(axes) == (3 if tiles else 1)


def test_boxes_are_faster_where_one_axis_is_short_and_their_file_is_read_back(tmp_path):
    """Twelve slices along an axis are the most there are, and their borders send more copies than boxes do."""
    found = {
        tiles: optimize(image(), load_chip("loihi2"), tiles=tiles, activity=0.5, processes=1) for tiles in (False, True)
    }
    assert found[True].after.time_ps < 0.9 * found[False].after.time_ps
    write_result(found[True], tmp_path / "tiles.toml")
    again = map_network(image(), load_chip("loihi2"), tmp_path / "tiles.toml")
    assert simulate(again, activity=0.5, timesteps=32).time_ps == found[True].after.time_ps


@pytest.mark.parametrize("value", ['"yes"', "1", "[]"])
def test_the_chips_rule_is_true_or_false(value, tmp_path):
    text = (Path(nsim_package.__file__).parents[1] / "chips" / "loihi2.toml").read_text(encoding="utf-8")
    (tmp_path / "own.toml").write_text(text.replace("tiles = false", f"tiles = {value}"), encoding="utf-8")
    with pytest.raises(ChipError, match=r"partition\.tiles"):
        load_chip(str(tmp_path / "own.toml"))


@examples
@given(mapped_networks(), seeds)
def test_cores_are_given_out_within_the_allowed(mapping, seed):
    """The fewest that there are, if no more are allowed; else none beyond the limit, and no allocation twice."""
    problem = problem_of(mapping, seed)
    bound = bound_of(problem)
    fewest = bound.of(bound.fewest()).cores
    assume(fewest <= problem.most_cores)
    found = allocations(bound)
    assert 0 < len(found) == len(set(found)) and all(bound.of(state).cores <= problem.most_cores for state in found)
    limited = bound_of(replace(problem, most_cores=fewest))
    assert {limited.of(state).cores for state in allocations(limited)} == {fewest}


@examples
@given(mapped_networks(), seeds)
def test_cuts_added_later_cost_what_they_cost_from_the_start(mapping, seed):
    """All cuts at once, or first some of them and then those of a candidate, of which some menus have none to add."""
    problem, rng = problem_of(mapping, seed), np.random.default_rng(seed)
    full = bound_of(problem)
    state = random_state(full, rng)
    fewer = [
        [cut for cut in menu.cuts if cut != menu.cuts[k] or (rng.random() < 0.5 and len(menu.cuts) > 1)]
        or [menu.cuts[k]]
        for menu, k in zip(full.menus, state, strict=True)
    ]
    candidate = full.candidate(state)
    later = Bound(problem, fewer).with_cuts_of(candidate)
    assert later.of(later.state_of(candidate)) == full.of(state)
    layer = int(rng.integers(len(state)))
    mine, theirs = later.line(later.state_of(candidate), layer), full.line(state, layer)
    order = [full.menus[layer].number[cut] for cut in later.menus[layer].cuts]
    for left, right in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(left, right[order])
