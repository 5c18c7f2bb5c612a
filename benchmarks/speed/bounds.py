"""How many floorlines the search by the bound compares in a second, and how near they come to the simulation.

    python benchmarks/speed/bounds.py [--quick]

Expected: at least 100,000 bounds in a second of one core, on every built-in network for Loihi 2, on 32 timesteps. A
bound is that of one combination of cuts of all layers. Counted are those of the descents, with the tables of copies
that they make; the tables of the menus are timed by themselves. No bound may be above the simulation of its mapping.
"""

from __future__ import annotations

import argparse
import time

import machine
import numpy as np
from rich.console import Console
from rich.table import Table

from nsim.chip.file import load_chip
from nsim.formats.network import load_network
from nsim.mapping.cores.partition import Rules
from nsim.mapping.network import map_network
from nsim.optimize.candidate import of_mapping
from nsim.optimize.descent import KICKS, SIMULATED, descended
from nsim.optimize.history import History
from nsim.optimize.offers import bound_of
from nsim.optimize.problem import Problem, chosen_timesteps
from nsim.result.run_timesteps import sent_messages

REQUIRED = 100_000
NETWORKS = ("mlp:width=512,depth=4", "s5", "ndns-sdnn", "pilotnet:neuron=lif", "pilotnet")
TIMESTEPS = 32
console = Console(width=120)


def problem_of(name: str, timesteps: int, tiles: bool) -> Problem:
    network, chip = load_network(name), load_chip("loihi2")
    sent = sent_messages(network, chip, None, None, timesteps, None, None, 0)
    activity = chosen_timesteps([chunk for run in sent.runs for chunk in run], timesteps)
    first = of_mapping(map_network(network, chip))
    return Problem(Rules(network, chip), activity, "time", chip.cores, first, tiles)


def measured(name: str, timesteps: int, tiles: bool, kicks: int) -> tuple[str, ...]:
    """A row: cuts on offer, seconds for their tables, bounds, their rate, and simulated over bound of the best."""
    history = History(problem_of(name, timesteps, tiles), "bound", 10**6)
    history.begin()
    begun = time.process_time()
    bound = bound_of(history.problem)
    tables_s = time.process_time() - begun
    begun = time.process_time()
    descent = descended(history, bound, np.random.default_rng(0), kicks)
    rate = descent.bound.bounds / (time.process_time() - begun)
    ratios = []
    for state in descent.allowed()[:SIMULATED]:
        found = history.problem.evaluate(descent.bound.candidate(state))
        ratios += [] if found is None else [found.time_ps / descent.found[state].time_ps]
    assert min(ratios) >= 1
    cuts = sum(len(menu.cuts) for menu in descent.bound.menus)
    counted = f"{cuts:,}", f"{tables_s:.1f}", f"{descent.bound.bounds:,}", f"{rate:,.0f}"
    verdict = "[green]yes" if rate >= REQUIRED else "[red]no"
    return f"{name}{', boxes' if tiles else ''}", *counted, verdict, f"{min(ratios):.3f} to {max(ratios):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two timesteps, and two networks")
    options = parser.parse_args()
    console.print(machine.headline(machine.describe("numba", "numpy")))
    steps, names = (2, NETWORKS[:2]) if options.quick else (TIMESTEPS, NETWORKS)
    measured(names[0], 2, False, 0)  # compiles
    table = Table("network", title=f"Bounds of {steps} timesteps on one core")
    for column in ("cuts", "tables (s)", "bounds", "in a second", "enough", "simulated / bound"):
        table.add_column(column, justify="right")
    for name in names:
        for tiles in (False, True)[: 1 + name.startswith("pilotnet")]:
            table.add_row(*measured(name, steps, tiles, KICKS))
    console.print(table)


if __name__ == "__main__":
    main()
