"""What a search tried, what it kept, and why; and what it needs to know of the space it moves in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nsim.errors import OptimizationError
from nsim.optimize.objectives import Floor, Taken
from nsim.optimize.workers import Workers

Progress = Callable[[int, int], None]


class Space:
    """Candidates for a mapping, of one kind for each kind of chip, and what they take."""

    objective: str

    def beginning(self) -> tuple[Any, str]:
        """The candidate that a search begins with, and what it is in words."""
        raise NotImplementedError

    def evaluate(self, candidate: Any, path: bool = False) -> Any | None:
        """What it takes; None if it breaks a limit. path: say what its critical path consists of, if known."""
        raise NotImplementedError

    def difference(self, before: Any, after: Any) -> str:
        """What was changed, in words."""
        raise NotImplementedError

    def allows(self, candidate: Any) -> bool:
        """Whether it keeps the limits that are known before it is evaluated."""
        return True

    def refuse(self, candidate: Any) -> None:
        """Raise what is wrong with a candidate that cannot be evaluated."""
        raise OptimizationError(f"cannot begin with {candidate}: it breaks a limit of the chip")

    def has_path(self, found: Any) -> bool:
        """Whether there is nothing more to know of what was found."""
        return True

    def key(self, found: Any) -> tuple[float, ...]:
        """The objective, then what decides between equals; smaller is better."""
        return found.key(self.objective)


class Search(Protocol):
    """Evaluate candidates in the history, which has its start, and keep there what is better, within its budget."""

    def __call__(self, history: History, rng: np.random.Generator) -> None: ...


@dataclass(frozen=True, eq=False)
class Move:
    """A candidate that was kept.

    words         what was changed since the one before
    evaluations   done until then
    """

    words: str
    candidate: Any
    found: Any
    evaluations: int


class History:
    """A search under way: it evaluates, counts evaluations against a budget, and keeps what helps.

    moves        what was kept, the start first
    tried        everything that was evaluated, in order
    evaluations  simulations done; what breaks a limit takes none
    interrupted  the user stopped the search
    pareto       look for the front of time, energy and cores, too
    floor        the least floorline of all that was looked at; None if the search knows none
    """

    def __init__(
        self,
        problem: Any,
        search: str,
        budget: int,
        workers: Workers | None = None,
        progress: Progress | None = None,
        pareto: bool = False,
    ) -> None:
        self.problem, self.search, self.budget, self.pareto = problem, search, budget, pareto
        self.workers, self.progress = workers or Workers(problem), progress
        self.moves: list[Move] = []
        self.tried: dict[Any, Any] = {}
        self.evaluations = 0
        self.interrupted = False
        self.floor: Floor | None = None

    def run(self, search: Search, rng: np.random.Generator) -> None:
        """Evaluate where the search starts, then search. Ctrl-C ends it and keeps what was found."""
        with self.until_stopped():
            self.begin()
            search(self, rng)

    def begin(self) -> None:
        """Evaluate where the search starts.

        raises   MappingError or OptimizationError if that breaks a limit
        """
        candidate, words = self.problem.beginning()
        found = self.evaluate([candidate])[0]
        if found is None:
            self.problem.refuse(candidate)
        self.moves.append(self._move(words, candidate, found))

    @contextmanager
    def beside(self) -> Iterator[History]:
        """Another search from the same start and on the same budget; the better of the two is kept in the end."""
        other = History(self.problem, self.search, self.left, self.workers)
        other.moves.append(self.first)
        yield other
        self.tried |= other.tried
        self.evaluations += other.evaluations
        self.keep_best([other.last.candidate], least=0)

    def evaluate(self, candidates: Sequence[Any], path: bool = False) -> list[Any | None]:
        """Simulate candidates; None for those that break a limit, and for those that the budget does not reach.

        A candidate seen before is not simulated again, unless its critical path is asked for and not known.
        """
        tried, space = self.tried, self.problem
        new = [c for c in dict.fromkeys(candidates) if c not in tried or (path and not space.has_path(tried[c]))]
        new = [c for c in new if space.allows(c)][: self.left]
        for candidate, found in zip(new, self.workers.map(with_path if path else without_path, new), strict=True):
            self.add(candidate, found)
        return [self.tried.get(candidate) for candidate in candidates]

    def add(self, candidate: Any, found: Any | None) -> None:
        """Book an evaluation; nothing was simulated if there is none."""
        if found is None:
            return
        self.evaluations += 1
        self.tried[candidate] = found
        if self.progress:
            self.progress(min(self.evaluations, self.budget), self.budget)

    def keep_best(self, candidates: Sequence[Any], least: float = 1e-4) -> bool:
        """Keep the best of some evaluated candidates, if it is better than the last one kept.

        least   share by which the objective must fall, unless it is equal and what decides between equals is better
        """
        known = [candidate for candidate in candidates if candidate in self.tried]
        if not known:
            return False
        best = min(known, key=lambda candidate: self.problem.key(self.tried[candidate]))
        new, old = self.problem.key(self.tried[best]), self.problem.key(self.last.found)
        if not new < old or (1 - least) * old[0] < new[0] < old[0]:
            return False
        words = self.problem.difference(self.last.candidate, best)
        self.moves.append(self._move(words, best, self.tried[best]))
        return True

    def _move(self, words: str, candidate: Any, found: Any) -> Move:
        if not self.problem.has_path(found):  # the same run again, to say what limits it
            found = self.problem.evaluate(candidate, path=True)
        return Move(words, candidate, found, self.evaluations)

    @contextmanager
    def until_stopped(self) -> Iterator[None]:
        """Ctrl-C ends the search and keeps what was found, once there is anything."""
        try:
            yield
        except KeyboardInterrupt:
            if not self.moves:
                raise
            self.interrupted = True

    @property
    def left(self) -> int:
        return max(0, self.budget - self.evaluations)

    @property
    def first(self) -> Move:
        return self.moves[0]

    @property
    def last(self) -> Move:
        return self.moves[-1]

    @property
    def best(self) -> Any:
        """What the best of all takes."""
        return min(self.tried.values(), key=self.problem.key)

    @property
    def front(self) -> list[tuple[Any, Taken]]:
        """What was tried and is not beaten in time, energy and cores at once, fastest first."""
        points = [(c, e, (e.time_ps, e.energy_fj, e.cores)) for c, e in self.tried.items()]
        points.sort(key=lambda point: point[2])
        front: list[tuple[Any, Taken, tuple]] = []
        for point in points:
            if not any(all(a <= b for a, b in zip(kept[2], point[2], strict=True)) for kept in front):
                front.append(point)
        return [(candidate, found) for candidate, found, _ in front]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every move that was kept; time and energy per timestep."""
        steps = self.problem.activity.timesteps
        return [
            {
                "evaluations": move.evaluations,
                "move": move.words,
                "state": move.found.state,
                "time_us": move.found.time_ps / steps / 1e6,
                "energy_uj": move.found.energy_fj / steps / 1e9,
                "cores": move.found.cores,
            }
            for move in self.moves
        ]

    def lines(self) -> list[str]:
        """Every move in words: "split conv2 over 4 cores: memory-bound 151 us -> compute-bound 98 us"."""
        told = [f"{row['state']}-bound {row['time_us']:.4g} us" for row in self.rows]
        words = [move.words for move in self.moves[1:]]
        return [f"{said}: {a} -> {b}" for said, a, b in zip(words, told, told[1:], strict=False)]


def every(history: History, rng: np.random.Generator) -> None:
    """Try all candidates that the problem lists, as far as the budget reaches; no chance is in it."""
    for candidate in history.problem.candidates():
        history.evaluate([candidate])
        history.keep_best([candidate], least=0)


def with_path(problem: Any, candidate: Any) -> Any | None:
    return problem.evaluate(candidate, path=True)


def without_path(problem: Any, candidate: Any) -> Any | None:
    return problem.evaluate(candidate)
