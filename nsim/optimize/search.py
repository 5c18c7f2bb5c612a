"""Better partitions: moves, searches that make them, and a history of what was kept and why.

`optimize` records what a network sends, lets a search try candidates on it, and verifies the best one by a full mapping
and simulation. A search is a function `search(history, rng)`, which evaluates and keeps in the history:
  bound       greedy first, then the floorline of all combinations of cuts, and the best of these simulated
  floorline   greedy: read what limits, split or merge it, keep what helps
  balanced    closed form: cores and slices by measured work
  evolve      nested evolution: partitions outside, placements inside
Chips with timesteps: for the others, see frames.py and streams.py.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import Chip
from nsim.chip.timesteps import BarrierChip
from nsim.errors import MappingError, OptimizationError, OutputError, SimulationError, available_threads, counted
from nsim.mapping.cores.mapping import Mapping, check_carried
from nsim.mapping.cores.partition import Rules
from nsim.mapping.cores.partition_file import write_partition
from nsim.mapping.cores.precision import for_chip
from nsim.mapping.network import map_network
from nsim.network.activity import Activity, Densities
from nsim.network.layers import Network
from nsim.optimize import balanced, descent, evolve, floorline
from nsim.optimize.candidate import Candidate, of_mapping
from nsim.optimize.history import History, Move, Progress, Search
from nsim.optimize.objectives import OBJECTIVES, choose
from nsim.optimize.offers import bound_of
from nsim.optimize.problem import Limits, Problem, check_chip, chosen_timesteps, physical_limits
from nsim.optimize.workers import Workers
from nsim.result.run_timesteps import Sent, run_activity, sent_messages
from nsim.result.timesteps import TimestepResult

SEARCHES: dict[str, Search] = {
    "bound": descent.search,
    "floorline": floorline.search,
    "balanced": balanced.search,
    "evolve": evolve.search,
}  # for chips with timesteps; on others, `every` tries all mappings: see frames.py and streams.py
BUDGETS = {"bound": 600, "floorline": 200, "balanced": 200, "evolve": 2000}  # evaluations, unless told otherwise
RECORDED = 32  # timesteps of drawn activity, unless told otherwise
EVALUATED = {"bound": 256, "floorline": 2, "balanced": 256, "evolve": 2}  # of these, at most, in every evaluation


@dataclass(frozen=True, eq=False)
class Optimized:
    """What a search found, and what it is worth.

    limits          what no partition can beat, on the evaluated timesteps
    before, after   full runs over everything recorded, of the partition to begin with and of the one found
    """

    history: History
    limits: Limits
    before: TimestepResult
    after: TimestepResult

    @property
    def speedup(self) -> float:
        return self.before.time_ps / self.after.time_ps

    @property
    def energy_ratio(self) -> float | None:
        """Energy before over energy after, of what is known; None if nothing is."""
        after = self.after.energy.known_fj
        return self.before.energy.known_fj / after if after else None

    def summary(self) -> dict[str, Any]:
        """What was gained and what no partition can beat, in numbers; times and energies are per timestep.

        "Before" and after are full runs; the limits, moves and the front are of the evaluated timesteps.
        """
        history, limits, best = self.history, self.limits, self.history.last.found
        floor = history.floor
        problem, steps = history.problem, history.problem.activity.timesteps
        return {
            "network": problem.rules.network.name,
            "chip": problem.rules.chip.name,
            "search": history.search,
            "objective": problem.objective,
            "evaluations": history.evaluations,
            "budget": history.budget,
            "interrupted": history.interrupted,
            "timesteps": self.after.spans,
            "evaluated_timesteps": steps,
            "time_per_timestep_ps": self.after.time_ps / self.after.spans,
            "time_per_timestep_before_ps": self.before.time_ps / self.before.spans,
            "speedup": self.speedup,
            "known_energy_per_timestep_fj": self.after.energy.known_fj / self.after.spans,
            "known_energy_per_timestep_before_fj": self.before.energy.known_fj / self.before.spans,
            "energy_ratio": self.energy_ratio,
            "cores": best.cores,
            "cores_before": history.first.found.cores,
            "most_cores": problem.most_cores,
            "limit": best.state,
            "limit_share": best.states[best.state] / best.time_ps,
            "least_time_ps": limits.least_ps,
            "least_time_set_by": limits.binding,
            "over_least_time": best.time_ps / steps / limits.least_ps,
            "limits": asdict(limits),
            "reachable_time_ps": floor.time_ps if floor else None,
            "reachable_time_set_by": floor.binding if floor else None,
            "reachable_time_shares": floor.waits if floor else {},
            "over_reachable_time": best.time_ps / steps / floor.time_ps if floor else None,
            "bounds": floor.bounds if floor else 0,
            "moves": history.rows,
            "front": [
                {"time_ps": e.time_ps / steps, "energy_fj": e.energy_fj / steps or None, "cores": e.cores}
                for _, e in history.front
            ],
        }


def optimize(
    network: Network,
    chip: Chip,
    inputs: str | Path | NDArray | None = None,
    *,
    search: str = "bound",
    objective: str = "time",
    cores: int | None = None,
    budget: int | None = None,
    pareto: bool = False,
    partition: str | Path = "default",
    dense_layers: str | None = None,
    activity: str | float | Densities | None = None,
    timesteps: int | None = None,
    samples: int | None = None,
    evaluated: int | None = None,
    tiles: bool | None = None,
    dt_s: float | None = None,
    seed: int = 0,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Optimized:
    """Search for a better mapping of a network.

    search      one of SEARCHES
    objective   one of OBJECTIVES
    cores       that the mapping may take at most; by default all of the chip
    budget      evaluations at most, see BUDGETS
    pareto      look for the front of time, energy and cores, too, see `History.front`; by `bound` and `evolve`
    partition   where the search begins, as for `map_network`
    evaluated   timesteps that every evaluation simulates, evenly spread over those recorded; by default see EVALUATED
    tiles       whether `bound` may cut layers in space along several axes at once; by default as the chip's file says
    processes   by default as many as this process may use processors. The result is the same
    Other arguments are those of `simulate`. Ctrl-C returns the best until then.
    raises      OptimizationError, MappingError if not even the fewest cores fit, InputError
    """
    chip = check_chip(chip)
    check_search(chip, search, objective, cores, budget, processes, pareto)
    network = for_chip(network, chip)
    check_carried(network, chip)
    drawn = RECORDED if inputs is None else None
    sent = sent_messages(network, chip, inputs, activity, timesteps or drawn, samples, dt_s, seed)
    if inputs is None and activity is None:
        network = network.with_notes(network.activity_notes)
    recorded = [list(run) for run in sent.runs]
    sent = Sent(recorded, sent.lengths, sent.binary)
    most = EVALUATED[search] if evaluated is None else evaluated
    steps = chosen_timesteps([chunk for run in recorded for chunk in run], most)
    rules = Rules(network, chip, dense_layers)
    boxes = chip.partition.tiles if tiles is None else tiles
    problem = Problem(rules, steps, objective, cores or chip.cores, _first(rules, partition), boxes)
    with Workers(problem, processes or available_threads()) as workers:
        history = History(problem, search, budget or BUDGETS[search], workers, progress, pareto)
        history.run(SEARCHES[search], np.random.default_rng(seed))
        with history.until_stopped():
            if history.floor is None and not history.interrupted:
                bound = bound_of(problem)
                history.floor = descent.descended(history, bound, np.random.default_rng(seed), 0).floor()
    verify(history, steps)
    before, after = (run_activity(mapping_of(problem, move), sent, seed) for move in (history.first, history.last))
    return Optimized(history, physical_limits(problem), before, after)


def check_search(
    chip: BarrierChip,
    search: str,
    objective: str,
    cores: int | None,
    budget: int | None,
    processes: int | None,
    pareto: bool,
) -> None:
    """Refuse what cannot be searched, before anything is evaluated."""
    choose(search, tuple(SEARCHES), "search")
    choose(objective, OBJECTIVES, "objective")
    if objective.startswith("energy") and not _knows_energy(chip):
        raise OptimizationError(f"no energy is known of chip {chip.name!r}: choose the objective time or cores")
    if cores is not None and not 1 <= cores <= chip.cores:
        raise OptimizationError(f"cores is {cores}: chip {chip.name!r} has 1 to {chip.cores}")
    if budget is not None and budget < 1:
        raise OptimizationError(f"budget is {counted(budget, 'evaluation')}: give at least 1")
    if processes is not None and not 1 <= processes <= available_threads():
        raise OptimizationError(f"processes is {processes}: give 1 to {available_threads()}")
    if pareto and search not in ("bound", "evolve"):
        raise OptimizationError(f"search {search!r} follows one objective: use bound or evolve for a front")


def _knows_energy(chip: BarrierChip) -> bool:
    return any(cost.energy_fj for _, cost in chip.costs()) or bool(chip.static_mw)


def _first(rules: Rules, partition: str | Path) -> Candidate | None:
    """What to begin with; None if it is the default partition, and that does not fit."""
    try:
        return of_mapping(map_network(rules.network, rules.chip, partition, weight_format=rules.dense_layers))
    except MappingError:
        if partition != "default":
            raise
        return None


def mapping_of(problem: Problem, move: Move) -> Mapping:
    """The full mapping of what a search kept."""
    rules, candidate = problem.rules, move.candidate
    return map_network(
        rules.network, rules.chip, candidate.partition, candidate.placement, weight_format=rules.dense_layers
    )


def verify(history: History, steps: Activity) -> TimestepResult:
    """Run the best once more, mapped in full and by the engine of every other run: it must agree exactly.

    raises   SimulationError if it does not
    """
    best = history.last
    result = run_activity(mapping_of(history.problem, best), Sent([[steps]], [steps.timesteps], None))
    found = result.time_ps, result.energy.known_fj
    if found != (best.found.time_ps, best.found.energy_fj):
        raise SimulationError(
            f"the search found {best.found.time_ps} ps and {best.found.energy_fj} fJ, a full run {found[0]} ps and "
            f"{found[1]} fJ: the evaluation of candidates is wrong"
        )
    return result


def write_result(optimized: Optimized, path: Path) -> None:
    """The partition file of the best, placement included, with what was done to get there at its head."""
    problem, best = optimized.history.problem, optimized.history.last
    comment = "\n".join(
        [
            f"{problem.rules.network.name} on {problem.rules.chip.title}",
            f"found by the search {optimized.history.search} for {problem.objective}",
            *optimized.history.lines(),
        ]
    )
    write_partition(best.candidate.partition, path, problem.rules, best.candidate.placement, comment)


def check_partition_output(path: Path) -> None:
    """Refuse a partition file that cannot be written, before anything is evaluated."""
    if path.suffix != ".toml":
        raise OutputError(f"partition file {path}: end its name in .toml")
    if not path.parent.is_dir():
        raise OutputError(f"partition file {path} is to go to a folder that does not exist: make {path.parent} first")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise OutputError(f"cannot write partition file {path}: give another place")
