"""Closed form: as many cores for every layer as its measured work asks for, cut so that the shares' work is even.

For a number of cores, the smallest largest share follows by bisection: a limit on the time of a share gives the fewest
shares of every layer, and their total falls as the limit rises. More cores are not always faster, since every share
receives its own copies, so a ladder of core numbers is simulated, and the best kept.
"""

from __future__ import annotations

import numpy as np

from nsim.mapping.partition import Share
from nsim.optimize.candidate import Candidate
from nsim.optimize.cuts import NO_LIMIT_PS
from nsim.optimize.history import History, Progress
from nsim.optimize.problem import PLACINGS, Problem
from nsim.optimize.workers import Workers

LADDER = (1.0, 0.85, 0.7, 0.6, 0.5, 0.42, 0.35, 0.3, 0.25, 0.2, 0.16, 0.125, 0.1)  # of the allowed cores


def search(
    problem: Problem,
    rng: np.random.Generator,
    budget: int,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> History:
    """A dozen evaluations; uses no chance, so `rng` is not drawn from."""
    history = History(problem, "balanced", budget, workers or Workers(problem), progress)
    with history.until_stopped():
        history.begin()
        cuts = [balanced_shares(problem, max(1, int(share * problem.most_cores))) for share in LADDER]
        candidates = [problem.candidate(shares) for shares in dict.fromkeys(cut for cut in cuts if cut)]
        candidates += _light_ones_together(problem)
        history.evaluate(candidates)
        history.keep_best(candidates)
        best = history.last.candidate
        others = [problem.candidate(best.shares, best.cores, placing) for placing in PLACINGS]
        history.evaluate(others)
        history.keep_best(others)
    return history


def balanced_shares(problem: Problem, cores: int) -> tuple[tuple[Share, ...], ...] | None:
    """Shares of all layers on so many cores in all, their largest as small as can be; None if they need more."""
    low, high = 0, 2 * sum(problem.loads(problem.candidate(tuple(_wholes(problem))))) + 1
    if _shares_under(problem, high, cores) is None:
        return None
    while high - low > max(1, high // 1000):
        middle = (low + high) // 2
        low, high = (middle, high) if _shares_under(problem, middle, cores) is None else (low, middle)
    return _shares_under(problem, high, cores)


def _wholes(problem: Problem) -> list[tuple[Share, ...]]:
    """The fewest shares of every layer; the one that it has where no cut along one axis fits."""
    cuts = [problem.cutter.under(layer, NO_LIMIT_PS) for layer in problem.layers]
    return [cut or held for cut, held in zip(cuts, problem.start.shares, strict=True)]


def _shares_under(problem: Problem, limit_ps: int, cores: int) -> tuple[tuple[Share, ...], ...] | None:
    shares, used = [], 0
    for layer in problem.layers:
        cut = problem.cutter.under(layer, limit_ps)
        used += len(cut) if cut else 0
        if cut is None or used > cores:
            return None
        shares.append(cut)
    return tuple(shares)


def _light_ones_together(problem: Problem) -> list[Candidate]:
    """If cores are what counts, or what is short: the fewest that can be."""
    if problem.objective != "cores" and problem.allows(problem.start):
        return []
    return [problem.fewest_cores()]
