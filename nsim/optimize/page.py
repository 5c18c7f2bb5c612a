"""What `nsim optimize` shows: what was gained, every move that was kept, what no partition can beat; and its figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from nsim.answer import answered
from nsim.bottleneck import bottleneck_of
from nsim.frame.plan import MODES
from nsim.optimize import Optimized, mapping_of
from nsim.optimize.frames import FrameSearch, Tried
from nsim.optimize.history import History
from nsim.optimize.streams import Placed, StreamSearch
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


# --- chips on which all mappings are tried

SHOWN = 5  # of those that were tried


def show_limits(found: FrameSearch) -> None:
    """Chips with frames: the best limits of a processor and the vendor's modes, and the command for the best."""
    best = found.best
    chip, network = best.mapping.chip, best.mapping.network
    ranked = sorted(found.tried, key=lambda each: each.key(found.objective))
    if answered(lambda: {**_about(best), "objective": found.objective, "tried": [_of_mode(each) for each in ranked]}):
        return
    screen = console()
    screen.print(
        Text(f"{network.name} on {chip.title}: {len(found.tried)} mappings for {found.objective}", style="bold")
    )
    table = _tried_table("mode", "between frames", "latency", "energy", "processors")
    modes = [found.of_mode(mode) for mode in MODES if any(each.mapping.mode == mode for each in found.tried)]
    for each in [*ranked[:SHOWN], *(mode for mode in modes if mode not in ranked[:SHOWN])]:
        row = each.mapping.mode, seconds(each.time_ps), seconds(each.latency_ps), joules(each.energy_fj)
        table.add_row(*row, str(each.mapping.processors))
    screen.print(table)
    screen.print(Text(f"Limit now: {best.bottleneck}.", style="dim"))
    for note in network.notes:
        screen.print(Text(f"Note: {note}.", style="dim"))
    screen.print(f"Best: nsim run --mode {best.mapping.mode}", soft_wrap=True)


def show_faster_cores(found: StreamSearch, events: int) -> None:
    """Chips without timesteps: which layers are on the faster cores, the rate that is kept up with, and the command."""
    best = found.best
    chip, network = best.mapping.chip, best.mapping.network
    ranked = sorted(found.tried, key=lambda each: (each.busiest_ps, each.end_ps))
    if answered(lambda: {**_about(best), "events": events, "tried": [_of_placement(each) for each in ranked]}):
        return
    screen = console()
    faster = " and ".join(map(str, chip.parallel.cores))
    screen.print(Text(f"{network.name} on {chip.title}: {len(found.tried)} mappings", style="bold"))
    table = _tried_table(f"on cores {faster}", "events/s at most", "all over after", "energy")
    for each in ranked:
        held = [layer.name for layer in each.mapping.layers if layer.core in chip.parallel.cores]
        words = f"{', '.join(held) or 'no layer'}{' (default)' if each is found.default else ''}"
        rate = f"{events / each.busiest_ps * 1e12:,.0f}" if each.busiest_ps else "any"
        table.add_row(words, rate, seconds(each.end_ps), joules(each.energy_fj))
    screen.print(table)
    for note in network.notes:
        screen.print(Text(f"Note: {note}.", style="dim"))
    screen.print(f"Best: nsim run --core-options {best.core_options}", soft_wrap=True)


def _about(best: Tried | Placed) -> dict[str, Any]:
    network = best.mapping.network
    return {"network": network.name, "chip": best.mapping.chip.name, "notes": list(network.notes)}


def _of_mode(each: Tried) -> dict[str, Any]:
    times = {"interval_ps": each.time_ps, "latency_ps": each.latency_ps, "known_energy_per_frame_fj": each.energy_fj}
    return {"mode": each.mapping.mode, **times, "processors": each.mapping.processors}


def _of_placement(each: Placed) -> dict[str, Any]:
    times = {"busiest_station_ps": each.busiest_ps, "end_ps": each.end_ps, "known_energy_fj": each.energy_fj}
    return {"core_options": each.core_options, **times}


def _tried_table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


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
