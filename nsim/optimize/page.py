"""What `nsim optimize` shows: what was gained, every move that was kept, what no partition can beat; and its figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from nsim.answer import answered
from nsim.bottleneck import bottleneck_of
from nsim.optimize import Optimized, mapping_of
from nsim.optimize.history import History
from nsim.plots import Workload, draw_floorline
from nsim.screen import console, facts_grid, joules, seconds
from nsim.simulation import Sent, run_activity

FRONT_ROWS = 20


def show_optimized(found: Optimized, out: Path | None, plot: Path | None) -> None:
    """The result in ten seconds, then the moves, then the front if there is more than one point on it."""
    history, facts = found.history, found.summary()
    if answered(lambda: {**facts, "notes": _notes(found), "partition_file": out, "plot": plot}):
        return
    screen = console()
    rules, problem = history.problem.rules, history.problem
    title = f"{rules.network.name} on {rules.chip.title}: search {history.search} for {problem.objective}"
    screen.print(Text(title, style="bold"))
    screen.print(_gains(facts))
    screen.print()
    screen.print(_moves(history))
    if len(history.front) > 1:
        screen.print()
        screen.print(Text(_front_title(history)))
        screen.print(_front(history))
    for line in _notes(found):
        screen.print(Text(line, style="dim"))
    for file, what in ((out, "Partition: nsim run --partition"), (plot, "Figure:")):
        if file:
            screen.print(f"{what} {file}")


def _gains(facts: dict[str, Any]) -> Table:
    grid = facts_grid()
    speedup, less = facts["speedup"], facts["energy_ratio"]
    change = f"{speedup:.2f} times faster" if speedup >= 1 else f"{1 / speedup:.2f} times slower"
    before, runs = seconds(facts["time_per_timestep_before_ps"]), f"full runs of {facts['timesteps']} timesteps"
    grid.add_row("Time", seconds(facts["time_per_timestep_ps"]), f"per timestep, {change} than {before} ({runs})")
    if less is not None:
        change = f"{less:.2f} times less" if less >= 1 else f"{1 / less:.2f} times more"
        before = joules(facts["known_energy_per_timestep_before_fj"])
        grid.add_row("Energy", joules(facts["known_energy_per_timestep_fj"]), f"per timestep, {change} than {before}")
    grid.add_row("Cores", str(facts["cores"]), f"of {facts['most_cores']} allowed; {facts['cores_before']} before")
    grid.add_row("Limit", facts["limit"], f"{facts['limit_share']:.0%} of the critical path now")
    grid.add_row(
        "Physical",
        seconds(facts["least_time_ps"]),
        f"per timestep can no partition beat, set by {facts['least_time_set_by']}; this one takes "
        f"{facts['over_least_time']:.2f} times that",
    )
    grid.add_row(
        "Search",
        str(facts["evaluations"]),
        f"evaluations of {facts['evaluated_timesteps']} timesteps; the best agrees exactly with a full mapping and "
        "simulation",
    )
    return grid


def _moves(history: History) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column("evaluations", justify="right")
    table.add_column("move", ratio=1)
    for heading in ("bound by", "time", "energy", "cores"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in history.rows:
        energy = joules(row["energy_uj"] * 1e9) if row["energy_uj"] else "unknown"
        time = seconds(row["time_us"] * 1e6)
        table.add_row(str(row["evaluations"]), row["move"], row["state"], time, energy, str(row["cores"]))
    return table


def _front(history: History) -> Table:
    steps, front = history.problem.activity.timesteps, history.front
    shown = front[:: -(-len(front) // FRONT_ROWS)]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    for heading in ("time", "energy", "cores"):
        table.add_column(heading, justify="right")
    for _, found in shown:
        energy = joules(found.energy_fj / steps) if found.energy_fj else "unknown"
        table.add_row(seconds(found.time_ps / steps), energy, str(found.cores))
    return table


def _front_title(history: History) -> str:
    points = len(history.front)
    said = f"{points} candidates are not beaten in time, energy and cores at once"
    return said if points <= FRONT_ROWS else f"{said}; some of them:"


def _notes(found: Optimized) -> list[str]:
    limits, network = found.limits, found.history.problem.rules.network
    lines = [
        f"Spread perfectly over all allowed cores, synapses would take {seconds(limits.memory_ps)} and sweeps "
        f"{seconds(limits.compute_ps)}; the host sends for {seconds(limits.host_ps)}, the barrier takes "
        f"{seconds(limits.barrier_ps)}."
    ]
    if limits.binding == "the host's input":
        lines.append("The host's input is what no partition can shorten: fewer or sparser input messages can.")
    unknown = found.after.energy.unknown
    if unknown:
        lines.append(f"No cost is known for, so the energy leaves out: {', '.join(unknown)}.")
    return lines + [f"Note: {note}." for note in network.notes]


def draw_trajectory(history: History, path: Path) -> None:
    """Every move that was kept as a point on the floorline plot, joined in order."""
    problem, points = history.problem, []
    for number, move in enumerate(history.moves):
        points.append(_point(history, number, move.words))
    chip = problem.rules.chip
    draw_floorline(
        points, path, f"{problem.rules.network.name} on {chip.title}: {history.search}", chip.power.static_mw
    )


def _point(history: History, number: int, words: str) -> Workload:
    """A move on the evaluated timesteps; long words are cut for the legend."""
    problem = history.problem
    mapping = mapping_of(problem, history.moves[number])
    sent = Sent([[problem.activity]], [problem.activity.timesteps], None)
    found = bottleneck_of(run_activity(mapping, sent, critical_path=True))
    return found.workload(words if len(words) <= 110 else f"{words[:107]}...")
