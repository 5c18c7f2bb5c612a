"""As many cores for every layer as its measured work asks for, counted by timestep.

Begin with the fewest cores and give the next ones, again and again, to the layer whose best cut saves most time for
each core that it adds, by the bound with soft maxima: a timestep waits for its busiest core, so a layer that binds in a
few timesteps counts there, however small its sum. More cores are not always faster: the allocations on that way with
the lowest bounds are simulated, and the best is kept.
"""

from __future__ import annotations

import numpy as np

from nsim.optimize.bound import SOFT, Bound, State
from nsim.optimize.candidate import Candidate
from nsim.optimize.history import History
from nsim.optimize.offers import bound_of
from nsim.optimize.problem import PLACINGS, Problem

SIMULATED = 12  # allocations with the lowest bounds


def search(history: History, rng: np.random.Generator) -> None:
    """A dozen evaluations; uses no chance, so `rng` is not drawn from."""
    allocate(history, bound_of(history.problem))


def allocate(history: History, bound: Bound) -> None:
    """Simulate the allocations, and the best at other places."""
    candidates = [bound.candidate(state) for state in allocations(bound)] + _light_ones_together(history.problem)
    history.evaluate(candidates)
    history.keep_best(candidates)
    place(history)


def place(history: History) -> None:
    """The best so far at other places."""
    best = history.last.candidate
    others = [history.problem.candidate(best.slices, best.cores, placing) for placing in PLACINGS]
    history.evaluate(others)
    history.keep_best(others)


def allocations(bound: Bound) -> list[State]:
    """Those on the way from the fewest cores to the most that have the lowest bounds, within the allowed cores."""
    problem = bound.problem
    found = {state: bound.of(state) for state in _way(bound)}
    allowed = [state for state, least in found.items() if least.cores <= problem.most_cores]
    return sorted(allowed, key=lambda state: problem.key(found[state]))[:SIMULATED]


def _way(bound: Bound) -> list[State]:
    """From the fewest cores on, always to the cut that saves most for each core that it adds."""
    state: State | None = bound.fewest()
    way = []
    while state is not None:
        way.append(state)
        state = _next(bound, state)
    return way


def _next(bound: Bound, state: State) -> State | None:
    best, most = None, 0.0
    for layer, cut in enumerate(state):
        time_ps, _, cores = bound.line(state, layer, SOFT[0])
        more = cores - cores[cut]
        room = (more > 0) & (cores <= bound.problem.most_cores)
        saved = np.where(room, (time_ps[cut] - time_ps) / np.maximum(more, 1), 0)
        if saved.max() > most:
            most, best = float(saved.max()), (*state[:layer], int(saved.argmax()), *state[layer + 1 :])
    return best


def _light_ones_together(problem: Problem) -> list[Candidate]:
    """If cores are what counts, or what is short: the fewest that can be."""
    if problem.objective != "cores" and problem.allows(problem.start):
        return []
    return [problem.fewest_cores()]
