"""Search by the bound: the floorline of every combination of cuts, and the simulation of those it finds best.

Each layer has a menu of cuts: along every axis, even in neurons or in work, the cuts of all closed forms and of the
greedy search, and boxes over several axes where the chip allows them. From several starts one layer after another takes
the best cut of its whole menu, the others as they are, until none changes; first by soft maxima, which reward relief of
any layer, then by hard ones. Kicks (other cuts for a third of the layers, at random) lead out of local optima.
Then the best states are simulated, and from the winner the neighbours by bound. A bound is never above the run, so a
candidate whose bound is not below the best run so far cannot win, and takes no simulation: what is kept is never worse
than any closed form in the menus, nor than what the greedy search and the balanced partition come to, which go first.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from nsim.optimize import floorline
from nsim.optimize.balanced import allocate, allocations, place
from nsim.optimize.bound import SOFT, Bound, State
from nsim.optimize.history import History
from nsim.optimize.objectives import Floor, Taken
from nsim.optimize.offers import bound_of, closed_forms

PRICES = (1e-7, 1e-3, 4e-3)  # share of the objective that a core is worth
FRONT_PRICES = (1e-7, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)  # the same for a front
STARTS = 3  # of the closed forms, those with the lowest bounds
KICKS = 12
SIMULATED = 24  # states with the lowest bounds
ROUNDS, NEIGHBOURS = 6, 30  # of simulations around the best


def search(history: History, rng: np.random.Generator) -> None:
    """Greedy first and the balanced partition, then the bound."""
    floorline.search(history, rng)
    bound = bound_of(history.problem)
    with history.beside() as other:
        allocate(other, bound)
    descent = descended(history, bound, rng, KICKS)
    descent.simulate()
    descent.polish()
    history.floor = descent.floor()
    place(history)


def descended(history: History, bound: Bound, rng: np.random.Generator, kicks: int) -> Descent:
    """The states that descents from closed forms, and from what was kept last, come to."""
    forms = [*closed_forms(history.problem), history.problem.start, history.last.candidate]
    descent = Descent(history, bound.with_cuts_of(history.last.candidate), rng)
    descent.search([state for form in forms if (state := descent.bound.state_of(form)) is not None], kicks)
    return descent


class Descent:
    """States that were looked at, with their bounds, and the way from them to what is kept."""

    def __init__(self, history: History, bound: Bound, rng: np.random.Generator) -> None:
        self.history, self.bound, self.rng = history, bound, rng
        self.problem = history.problem
        self.found: dict[State, Taken] = {}
        self.forms: list[State] = []

    def merit(self, time_ps, energy_fj, cores, price: float = 0.0):
        """The objective with a price for cores, and more for those that there are not; of numbers or arrays."""
        kinds = {"time": time_ps, "energy": energy_fj, "energy-delay": time_ps * energy_fj}
        key = kinds.get(self.problem.objective, cores + 1e-9 * time_ps / self.bound.steps)
        return key * (1 + price * cores + 0.05 * np.maximum(0, cores - self.problem.most_cores))

    def key(self, state: State) -> tuple[float, ...]:
        return self.problem.key(self.look(state))

    def look(self, state: State) -> Taken:
        if state not in self.found:
            self.found[state] = self.bound.of(state)
        return self.found[state]

    def allowed(self) -> list[State]:
        """States within the limit of cores, the best first."""
        fitting = [state for state, bounds in self.found.items() if bounds.cores <= self.problem.most_cores]
        return sorted(fitting, key=self.key)

    def search(self, forms: Iterable[State], kicks: int = KICKS) -> None:
        """Descend from the best closed forms and from the fewest cores, then from kicks of the best state."""
        self.forms = sorted({*forms, *allocations(self.bound)}, key=self.key)
        fewest = self.bound.fewest()
        for start in dict.fromkeys((*self.forms[:STARTS], fewest)):
            for price in FRONT_PRICES if self.history.pareto else PRICES:
                self.descend(start, price)
            self.down(start, 0, PRICES[0])
        for kick in range(kicks):
            best = self.allowed()
            self.descend(self._kicked(best[0] if best else fewest), PRICES[kick % 2])

    def _kicked(self, state: State) -> State:
        other = list(state)
        layers = len(state)
        for layer in self.rng.choice(layers, max(1, layers // 3), replace=False):
            other[layer] = int(self.rng.integers(len(self.bound.menus[layer].cuts)))
        return tuple(other)

    def descend(self, state: State, price: float) -> None:
        for power in (*SOFT, 0):
            state = self.down(state, power, price)

    def down(self, state: State, power: int, price: float) -> State:
        """Let one layer after another take its best cut until none changes; at most as many rounds as layers."""
        self.look(state)
        for _ in range(2 + len(state)):
            before = state
            for layer in range(len(state)):
                merits = self.merit(*self.bound.line(state, layer, power), price)
                best = int(merits.argmin())
                if merits[best] < merits[state[layer]] * (1 - 1e-9):
                    state = (*state[:layer], best, *state[layer + 1 :])
            if state == before:
                break
        self.look(state)
        return state

    def floor(self) -> Floor | None:
        return self.bound.floor(self.allowed())

    def simulate(self) -> None:
        """Run the best states, and for a front those that no other beats in time, energy and cores at once."""
        best = self.allowed()
        if self.history.pareto:
            self.try_states(self._front(best), every=True)
        self.try_states(best[:SIMULATED])
        self.try_states([state for state in self.forms if self.found[state].cores <= self.problem.most_cores])

    def _front(self, states: list[State]) -> list[State]:
        points = {s: (self.found[s].time_ps, self.found[s].energy_fj, self.found[s].cores) for s in states}
        front: list[State] = []
        for state in sorted(states, key=points.__getitem__):
            if not any(all(a <= b for a, b in zip(points[k], points[state], strict=True)) for k in front):
                front.append(state)
        return front

    def try_states(self, states: Iterable[State], every: bool = False) -> bool:
        """Simulate the states whose bounds are below the best run; whether one of them was kept."""
        limit = self.problem.key(self.history.last.found)
        candidates = [self.bound.candidate(state) for state in states if every or self.key(state) < limit]
        self.history.evaluate(candidates)
        return self.history.keep_best(candidates, least=0)

    def polish(self) -> None:
        """Simulate what differs from the best in one layer, the lowest bounds first, until nothing is better."""
        for _ in range(ROUNDS):
            now = self.bound.state_of(self.history.last.candidate)
            if now is None or not self.history.left or not self.try_states(self._neighbours(now)):
                break

    def _neighbours(self, now: State) -> list[State]:
        near = []
        for layer in range(len(now)):
            merits = self.merit(*self.bound.line(now, layer))
            near += [(float(merits[k]), layer, int(k)) for k in np.argsort(merits)[:NEIGHBOURS] if k != now[layer]]
        states = [(*now[:layer], cut, *now[layer + 1 :]) for _, layer, cut in sorted(near)]
        return [s for s in states if self.look(s).cores <= self.problem.most_cores][:NEIGHBOURS]
