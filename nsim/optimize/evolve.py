"""Nested evolution: partitions outside, placements inside, as in Pierro et al., arXiv:2602.04717.

Outside, pymoo evolves a genome of whole numbers: for every layer how many cores, along which axis, whether slices are
even in work or in neurons, and whether they go to the cores of the layer before. Inside, a (1 + lambda) evolution
strategy reorders the logical cores over the places nearest to the host, so that messages cross few links; this costs no
simulation. Every genome then takes one.
pymoo (Blank and Deb 2020, IEEE Access 8) because one library has both searches that are needed, for one objective
(a genetic algorithm) and for the front of several (NSGA-II), with integer genomes, and gives generations out to be
evaluated elsewhere (ask and tell), so that processes do not change the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nsim.errors import OptimizationError
from nsim.mapping.cores.partition import Slice
from nsim.optimize.candidate import Candidate, numbered, own_cores
from nsim.optimize.evaluation import Copies, Evaluation
from nsim.optimize.history import History
from nsim.optimize.problem import Problem

GENES = 4  # of a layer: cores, axis, even in work, with the layer before
SCALE = 31  # steps of the first, from the fewest cores that fit to the most there can be, in equal ratios
OFFSPRING = 50
PLACEMENTS = 100  # generations of the strategy inside
LAMBDA = 4
IDLE = 20  # generations without a new mapping within the limits after which it stops
Genome = tuple[int, ...]


def search(history: History, rng: np.random.Generator) -> None:
    """Evolve until the budget is used up: the objective, or the front of time, energy and cores.

    raises   OptimizationError without pymoo
    """
    problem, pareto = history.problem, history.pareto
    algorithm = _algorithm(problem, int(rng.integers(1 << 31)), pareto)
    known: dict[Genome, tuple[Candidate, Evaluation | None]] = {}
    idle = 0  # generations in which nothing was simulated
    while history.left and idle < IDLE:
        population = algorithm.ask()
        if population is None or not len(population):
            break
        genomes = [tuple(int(gene) for gene in row) for row in population.get("X")]
        new = [genome for genome in dict.fromkeys(genomes) if genome not in known][: history.left]
        for genome, found in zip(new, history.workers.map(express, new), strict=True):
            known[genome] = found
            history.add(*found)
        idle = 0 if any(known[genome][1] for genome in new) else idle + 1
        population.set("F", np.array([_merit(problem, known.get(genome), pareto) for genome in genomes]))
        algorithm.tell(infills=population)
        history.keep_best([known[genome][0] for genome in new])


def _algorithm(problem: Problem, seed: int, pareto: bool) -> Any:
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2  # type: ignore[import-untyped]
        from pymoo.algorithms.soo.nonconvex.ga import GA  # type: ignore[import-untyped]
        from pymoo.core.problem import Problem as Declared  # type: ignore[import-untyped]
        from pymoo.operators.crossover.sbx import SBX  # type: ignore[import-untyped]
        from pymoo.operators.mutation.pm import PM  # type: ignore[import-untyped]
        from pymoo.operators.repair.rounding import RoundingRepair  # type: ignore[import-untyped]
        from pymoo.operators.sampling.rnd import IntegerRandomSampling  # type: ignore[import-untyped]
    except ImportError:
        raise OptimizationError("search 'evolve' needs pymoo: pip install 'nsim-neuromorphic[optimize]'") from None
    layers = len(problem.layers)
    upper = np.array([SCALE, 2, 1, 1] * layers)
    declared = Declared(n_var=GENES * layers, n_obj=3 if pareto else 1, xl=np.zeros_like(upper), xu=upper, vtype=int)
    chosen = {
        "pop_size": OFFSPRING,
        "sampling": IntegerRandomSampling(),
        "crossover": SBX(vtype=float, repair=RoundingRepair()),
        "mutation": PM(vtype=float, repair=RoundingRepair()),
        "eliminate_duplicates": True,
    }
    algorithm = NSGA2(**chosen) if pareto else GA(**chosen)
    algorithm.setup(declared, termination=("n_gen", 1 << 30), seed=seed, verbose=False)
    return algorithm


def _merit(problem: Problem, found: tuple[Candidate, Evaluation | None] | None, pareto: bool) -> list[float]:
    """What pymoo minimises; far too much for a genome that breaks a limit, or that the budget did not reach."""
    evaluation = found[1] if found else None
    if evaluation is None:
        return [1e30] * (3 if pareto else 1)
    if pareto:
        return [float(evaluation.time_ps), evaluation.energy_fj, float(evaluation.cores)]
    first, second, _ = problem.key(evaluation)
    return [first + 1e-6 * second if problem.objective == "cores" else first]


def express(problem: Problem, genome: Genome) -> tuple[Candidate, Evaluation | None]:
    """The candidate of a genome, placed by the strategy inside, and its evaluation."""
    candidate = _outer(problem, genome)
    if not problem.allows(candidate):
        return candidate, None
    copies = Copies(problem.simulator, candidate)
    traffic = problem.simulator.traffic(candidate, copies)
    places = np.array(problem.near_host[: candidate.used])
    rng = np.random.default_rng([*genome])  # of the genome alone, so that it does not matter who asks, and when
    order = evolve_order(traffic + traffic.T, hops_between(problem, places), rng, PLACEMENTS, LAMBDA)
    placed = Candidate(candidate.slices, candidate.cores, tuple(places[order].tolist()), "by evolution")
    return placed, problem.simulated(placed, copies=copies.moved(candidate, placed))


def _outer(problem: Problem, genome: Genome) -> Candidate:
    """The partition of a genome. If it needs too many cores, all layers give some back in proportion."""
    genes = np.array(genome).reshape(-1, GENES)
    for scale in np.linspace(1, 0, 9):
        slices = tuple(_slices_of(problem, number, row, scale) for number, row in enumerate(genes.tolist()))
        least = sum(len(held) for held, row in zip(slices, genes, strict=True) if not row[3])
        if least > problem.most_cores and scale:
            continue
        candidate = problem.candidate(slices, _joined(problem, slices, genes[:, 3].tolist()))
        if candidate.used <= problem.most_cores:
            break
    return candidate


def _slices_of(problem: Problem, number: int, genes: list[int], scale: float) -> tuple[Slice, ...]:
    layer, cutter = problem.layers[number], problem.cutter
    axes = cutter.axes(layer)
    axis, even = axes[genes[1] % len(axes)], genes[2] == 0
    fewest = cutter.into(layer, axis, 1, even)
    if fewest is None:
        return problem.start.slices[number]
    low, high = len(fewest), min(problem.most_cores, cutter.granules(layer, axis))
    parts = round(low * (max(low, high) / low) ** (scale * genes[0] / SCALE))
    return cutter.into(layer, axis, parts, even) or fewest


def _joined(problem: Problem, slices: tuple[tuple[Slice, ...], ...], flags: list[int]) -> Any:
    """Cores of all slices: those of the layer before where the gene says so and they have room."""
    cores = [list(held) for held in own_cores(slices)]
    held = {
        core: [piece] for layer, own in zip(slices, cores, strict=True) for piece, core in zip(layer, own, strict=True)
    }
    for number in range(1, len(slices)):
        if not flags[number]:
            continue
        before = cores[number - 1]
        for part, piece in enumerate(slices[number][: len(before)]):
            core = before[part]
            if problem.fits_together([*held[core], piece]):
                cores[number][part] = core
                held[core].append(piece)
    return numbered(cores)


def hops_between(problem: Problem, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Hops between physical cores, the host last: int64[places + 1, places + 1]."""
    simulator = problem.simulator
    router = simulator.router_of[np.append(places, problem.rules.chip.cores)]
    x, y = router % simulator.columns, router // simulator.columns
    return np.abs(x[:, None] - x) + np.abs(y[:, None] - y)


@njit(cache=True, nogil=True)
def evolve_order(exchange, hops, rng, generations, offspring):
    """A (1 + lambda) evolution strategy over the order of cores: fewest links crossed by all messages.

    exchange  int64[cores + 1, cores + 1]  messages between logical cores both ways, symmetric, the host last
    hops      int64[cores + 1, cores + 1]  links between places, the host last
    returns   int64[cores]   place of every logical core

    An offspring takes one core to another place and moves those between on (reordering), or exchanges two cores.
    """
    cores = exchange.shape[0] - 1
    order = np.arange(cores + 1)
    if cores < 2:
        return order[:cores]
    cost = crossed_links(exchange, hops, order)
    for _ in range(generations):
        best_cost, best = cost, order
        for _ in range(offspring):
            child = order.copy()
            a, b = int(rng.random() * cores), int(rng.random() * cores)
            if rng.random() < 0.5:
                child[a], child[b] = child[b], child[a]
            else:
                moved = child[a]
                while a != b:
                    step = 1 if b > a else -1
                    child[a] = child[a + step]
                    a += step
                child[b] = moved
            child_cost = crossed_links(exchange, hops, child)
            if child_cost <= best_cost:
                best_cost, best = child_cost, child
        cost, order = best_cost, best
    return order[:cores]


@njit(cache=True, nogil=True)
def crossed_links(exchange, hops, order):
    """Links crossed by all messages; each pair of cores counts once."""
    total = 0
    for a in range(order.size):
        for b in range(a):
            total += exchange[a, b] * hops[order[a], order[b]]
    return total
