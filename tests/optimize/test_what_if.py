"""What-ifs of a search: one message for all destinations, and a sample with every timestep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nsim.errors import OptimizationError
from nsim.mapping.cores.partition import Rules
from nsim.network.activity import Activity, prescribe
from nsim.optimize.candidate import of_mapping
from nsim.optimize.offers import bound_of
from nsim.optimize.problem import Problem, chosen_timesteps
from nsim.optimize.what_if import folded
from tests.generators.machines import mapped_networks

STEPS = 2


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mapped_networks(), st.integers(0, 2**32 - 1))
def test_with_multicast_every_message_is_sent_once(mapping, seed):
    """Counted message by message; and a line over one layer's cuts is one bound after another, as without."""
    rng = np.random.default_rng(seed)
    steps = chosen_timesteps(
        list(prescribe(mapping.network, {x.name: 0.5 for x in mapping.network.layers}, STEPS, rng)), STEPS
    )
    problem = Problem(
        Rules(mapping.network, mapping.chip, mapping.dense_layers),
        steps,
        "time",
        mapping.chip.cores,
        of_mapping(mapping),
    )
    plain, cast = bound_of(problem), bound_of(problem, multicast=True)
    state = tuple(int(rng.integers(len(menu.cuts))) for menu in plain.menus)
    assert cast.of(state).time_ps <= plain.of(state).time_ps
    for k, sender in enumerate(cast.senders):
        firing, (owner, slices) = (
            cast.firing[sender.name],
            cast.owner(k, max(0, state[sender.number] if sender.number >= 0 else 0)),
        )
        reaches = (
            sum(cast.menus[target].reached[sender.name][:, state[target]].astype(int) for target in sender.targets) > 0
        )
        for step in range(STEPS):
            messages = firing.neurons[firing.indptr[step] : firing.indptr[step + 1]]
            sent = [sum(reaches[n] for n in messages if owner[n] == each) for each in range(slices)]
            assert cast.terms(state)[f"copies of {sender.name}"][step] == max(sent) * sender.copy_ps
    layer = int(rng.integers(len(state)))
    assume(layer not in cast.own or layer not in cast.own[layer].targets)
    for cut, time_ps in enumerate(cast.line(state, layer)[0]):
        assert time_ps == pytest.approx(cast.of((*state[:layer], cut, *state[layer + 1 :])).time_ps, rel=1e-9)


def test_a_sample_folds_into_one_timestep():
    activity = Activity(np.array([0, 2, 3, 3, 4]), np.array([4, 7, 1, 5]), None)
    found = folded(activity, 2)
    assert [found.firing(step).tolist() for step in range(2)] == [[1, 4, 7], [5]]


@pytest.mark.parametrize(
    ("neurons", "length", "said"), [([1, 1, 2, 3], 2, "more than once"), ([1, 2, 3, 4], 3, "samples of 3 do not fill")]
)
def test_what_cannot_be_folded(neurons, length, said):
    with pytest.raises(OptimizationError, match=said):
        folded(Activity(np.array([0, 1, 2, 3, 4]), np.array(neurons), None), length)
