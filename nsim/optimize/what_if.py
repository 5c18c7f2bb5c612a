"""What the best mapping would take if a chip did what it is not known to do: bounds, and no promise of any run.

multicast            a neuron sends one message, whatever the cores that it reaches; each still receives it
samples in flight    a sample is let in with every timestep, so that all layers work at once, each on another one
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nsim.errors import OptimizationError, counted
from nsim.network.activity import Activity
from nsim.optimize.descent import descended
from nsim.optimize.history import History
from nsim.optimize.objectives import Floor
from nsim.optimize.offers import bound_of

KICKS = 4  # from the best, since there is no simulation to correct what a descent misses


def multicast_floor(history: History, rng: np.random.Generator) -> Floor | None:
    """The least floorline with one message for all destinations; never above that of the same cuts with copies."""
    return descended(history, bound_of(history.problem, multicast=True), rng, KICKS).floor()


def in_flight_floor(history: History, sample_timesteps: int, rng: np.random.Generator) -> Floor | None:
    """The least floorline of a timestep in which a sample comes in and another goes out.

    sample_timesteps   of every sample in the evaluated activity
    raises             OptimizationError if neurons send more than once for a sample: samples would mix
    """
    problem = replace(history.problem, activity=folded(history.problem.activity, sample_timesteps))
    other = History(problem, history.search, history.budget)
    other.begin()
    return descended(other, bound_of(problem), rng, KICKS).floor()


def folded(activity: Activity, sample_timesteps: int) -> Activity:
    """One timestep for each sample, with all that fires in it."""
    if activity.timesteps % sample_timesteps:
        raise OptimizationError(
            f"samples of {sample_timesteps} do not fill {counted(activity.timesteps, 'timestep')}: evaluate all of them"
        )
    samples = [
        np.concatenate([activity.firing(step) for step in range(first, first + sample_timesteps)])
        for first in range(0, activity.timesteps, sample_timesteps)
    ]
    twice = [number for number, each in enumerate(samples) if np.unique(each).size < each.size]
    if twice:
        raise OptimizationError(
            f"neurons send more than once for sample {twice[0]}: a network that holds state between timesteps has one "
            "sample in flight"
        )
    indptr = np.concatenate(([0], np.cumsum([each.size for each in samples]))).astype(np.int64)
    return Activity(indptr, np.concatenate([np.sort(each) for each in samples]), None)
