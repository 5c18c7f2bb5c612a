"""What a search tried, what it kept, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from nsim.errors import MappingError
from nsim.optimize.candidate import Candidate, difference
from nsim.optimize.evaluation import Evaluation
from nsim.optimize.problem import Problem
from nsim.optimize.workers import Workers

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Move:
    """A candidate that was kept.

    words         what was changed since the one before
    evaluations   done until then
    """

    words: str
    candidate: Candidate
    found: Evaluation
    evaluations: int


class History:
    """A search under way: it evaluates, counts evaluations against a budget, and keeps what helps.

    moves        what was kept, the start first
    tried        everything that was evaluated, in order
    evaluations  simulations done; what breaks a limit takes none
    interrupted  the user stopped the search
    """

    def __init__(self, problem: Problem, search: str, budget: int, workers: Workers, progress: Progress | None) -> None:
        self.problem, self.search, self.budget = problem, search, budget
        self.workers, self.progress = workers, progress
        self.moves: list[Move] = []
        self.tried: dict[Candidate, Evaluation] = {}
        self.evaluations = 0
        self.interrupted = False

    # --- during the search

    def begin(self) -> None:
        """Evaluate where the search starts; on the fewest cores that can be if it takes more than are allowed.

        raises   MappingError if that breaks a limit, too
        """
        candidate, words = self.problem.start, "the partition to begin with"
        if candidate.used > self.problem.most_cores:
            candidate, words = self.problem.fewest_cores(), "as few cores as can be"
        found = self.evaluate([candidate])[0]
        if found is None:
            self.problem.check(candidate)
            raise MappingError(f"no partition of {self.problem.rules.network.name!r} to begin with keeps all limits")
        self.moves.append(self._move(words, candidate, found))

    def evaluate(self, candidates: Sequence[Candidate], path: bool = False) -> list[Evaluation | None]:
        """Simulate candidates; None for those that break a limit, and for those that the budget does not reach.

        A candidate seen before is not simulated again, unless its critical path is asked for and not known.
        """
        new = [c for c in dict.fromkeys(candidates) if c not in self.tried or (path and self.tried[c].path is None)]
        new = [c for c in new if self.problem.allows(c)][: self.left]
        for candidate, found in zip(new, self.workers.map(with_path if path else without_path, new), strict=True):
            self.add(candidate, found)
        return [self.tried.get(candidate) for candidate in candidates]

    def add(self, candidate: Candidate, found: Evaluation | None) -> None:
        """Book an evaluation; nothing was simulated if there is none."""
        if found is None:
            return
        self.evaluations += 1
        self.tried[candidate] = found
        if self.progress:
            self.progress(min(self.evaluations, self.budget), self.budget)

    def keep_best(self, candidates: Sequence[Candidate], least: float = 1e-4) -> bool:
        """Keep the best of some evaluated candidates, if it is better than the last one kept.

        least   share by which the objective must fall, unless it is equal and what decides between equals is better
        """
        known = [candidate for candidate in candidates if candidate in self.tried]
        if not known:
            return False
        best = min(known, key=lambda candidate: self.problem.key(self.tried[candidate]))
        new, old = self.problem.key(self.tried[best]), self.problem.key(self.last.found)
        if not (new[0] <= (1 - least) * old[0] or (new[0] == old[0] and new < old)):
            return False
        self.moves.append(
            self._move(difference(self.problem.layers, self.last.candidate, best), best, self.tried[best])
        )
        return True

    def _move(self, words: str, candidate: Candidate, found: Evaluation) -> Move:
        if found.path is None:  # the same run again, to say what limits it
            path = self.problem.evaluate(candidate, path=True)
            assert path is not None
            found = replace(found, path=path.path)
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

    # --- afterwards

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
    def front(self) -> list[tuple[Candidate, Evaluation]]:
        """What was tried and is not beaten in time, energy and cores at once, fastest first."""
        points = [(c, e, (e.time_ps, e.energy_fj, e.cores)) for c, e in self.tried.items()]
        points.sort(key=lambda point: point[2])
        front: list[tuple[Candidate, Evaluation, tuple]] = []
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


def with_path(problem: Problem, candidate: Candidate) -> Evaluation | None:
    return problem.evaluate(candidate, path=True)


def without_path(problem: Problem, candidate: Candidate) -> Evaluation | None:
    return problem.evaluate(candidate)
