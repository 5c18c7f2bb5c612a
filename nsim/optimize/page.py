"""What `nsim optimize` shows: what was gained, every move that was kept, how far limits are away; and its figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from nsim.mapping.frames.plan import MODES
from nsim.optimize.frames import Tried
from nsim.optimize.history import History
from nsim.optimize.search import Optimized, mapping_of
from nsim.optimize.streams import Placed
from nsim.report.answer import answered
from nsim.report.plots import draw_floorline
from nsim.report.screen import console, facts_grid, show_files
from nsim.report.units import amount, joules, plural, seconds
from nsim.report.words import frames_limit
from nsim.result.limits.bounds import Workload
from nsim.result.limits.timesteps_bottleneck import bottleneck_of
from nsim.result.run_timesteps import Sent, run_activity

FRONT_ROWS = 20
WAITS = 3  # of what the timesteps of the best floorline wait for


def show_optimized(found: Optimized, out: Path | None, plot: Path | None, command: str) -> None:
    """The result in ten seconds, then the moves, then the front if there is more than one point on it.

    command   what runs the best, if it is written to a partition file, or writes it
    """
    history, facts = found.history, found.summary()
    if answered(lambda: {**facts, "notes": _notes(found), "partition_file": out, "plot": plot, "command": command}):
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
        screen.print(_front(history, problem.activity.timesteps))
    for line in _notes(found):
        screen.print(Text(line, style="dim"))
    show_files(screen, {"figure": plot, "run it" if out else "keep it": command})


def _gains(facts: dict[str, Any]) -> Table:
    grid = facts_grid()
    speedup, less = facts["speedup"], facts["energy_ratio"]
    change = f"{speedup:.2f} times faster" if speedup >= 1 else f"{1 / speedup:.2f} times slower"
    before = seconds(facts["time_per_timestep_before_ps"])
    runs = f"full runs of {plural(facts['timesteps'], 'timestep')}"
    grid.add_row("Time", seconds(facts["time_per_timestep_ps"]), f"per timestep, {change} than {before} ({runs})")
    if less is not None:
        change = f"{less:.2f} times less" if less >= 1 else f"{1 / less:.2f} times more"
        before = joules(facts["known_energy_per_timestep_before_fj"])
        grid.add_row("Energy", joules(facts["known_energy_per_timestep_fj"]), f"per timestep, {change} than {before}")
    grid.add_row("Cores", str(facts["cores"]), f"of {facts['most_cores']} allowed; {facts['cores_before']} before")
    grid.add_row("Limit", facts["limit"], f"{facts['limit_share']:.0%} of the critical path now")
    if facts["reachable_time_ps"] is not None:
        most = sorted(facts["reachable_time_shares"].items(), key=lambda item: -item[1])[:WAITS]
        grid.add_row(
            "Reachable",
            seconds(facts["reachable_time_ps"]),
            f"per timestep if no message waited for another, the least of {plural(facts['bounds'], 'floorline')}: "
            f"{', '.join(f'{name} {share:.0%}' for name, share in most)}. This one takes "
            f"{facts['over_reachable_time']:.2f} times that",
        )
    grid.add_row(
        "Ideal",
        seconds(facts["least_time_ps"]),
        f"per timestep with all work spread perfectly, set by {facts['least_time_set_by']}: no partition can beat it",
    )
    grid.add_row(
        "Search",
        str(facts["evaluations"]),
        f"evaluated, {plural(facts['evaluated_timesteps'], 'timestep')} each; the best agrees exactly with a full "
        "mapping and simulation",
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


def _front(history: History, steps: int) -> Table:
    """Time and energy per timestep, or as they are for 1."""
    front = history.front
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
    said = f"{plural(points, 'candidate')} not beaten in time, energy and cores at once"
    return said if points <= FRONT_ROWS else f"{said}; some of them:"


def _notes(found: Optimized) -> list[str]:
    limits, network = found.limits, found.history.problem.rules.network
    lines = [
        f"Spread perfectly over all allowed cores, synapses would take {seconds(limits.memory_ps)} and sweeps "
        f"{seconds(limits.compute_ps)}; the host sends for {seconds(limits.host_ps)}, the barrier takes "
        f"{seconds(limits.barrier_ps)} and management {seconds(limits.management_ps)}."
    ]
    if limits.binding == "the host's input":
        lines.append("The host's input is what no partition can shorten: fewer or sparser input messages can.")
    unknown = found.after.energy.unknown
    if unknown:
        lines.append(f"No cost is known for, so the energy leaves out: {', '.join(unknown)}.")
    return lines + [f"Note: {note}." for note in network.notes]


SHOWN = 5  # of those that were tried


def show_limits(history: History, command: str) -> None:
    """Chips with frames: the best limits of a processor and the vendor's modes, and the command for the best."""
    best: Tried = history.best
    ranked: list[Tried] = sorted(history.tried.values(), key=history.problem.key)
    tried = [_of_mode(each) for each in ranked]
    if answered(lambda: {**_about(best), "objective": history.problem.objective, "tried": tried, "command": command}):
        return
    table = _tried_table("mode", "between frames", "latency", "energy", "processors")
    modes = [history.tried[mode] for mode in MODES if mode in history.tried]
    for each in [*ranked[:SHOWN], *(mode for mode in modes if mode not in ranked[:SHOWN])]:
        row = each.mapping.mode, seconds(each.time_ps), seconds(each.latency_ps), joules(each.energy_fj)
        table.add_row(*row, str(each.mapping.processors))
    _show_tried(history, table, [f"Limit now: {frames_limit(best.bottleneck)}."], command)


def show_faster_cores(history: History, events: int, command: str) -> None:
    """Chips without timesteps: which layers are on the faster cores, the rate that is kept up with, and the command."""
    best: Placed = history.best
    ranked: list[Placed] = sorted(history.tried.values(), key=history.problem.key)
    tried = [_of_placement(each) for each in ranked]
    if answered(lambda: {**_about(best), "events": events, "tried": tried, "command": command}):
        return
    faster = best.mapping.chip.parallel.cores
    cores = f"core{'s' if len(faster) > 1 else ''} {' and '.join(map(str, faster))}"
    table = _tried_table(f"on {cores}", "events/s at most", "all over after", "energy")
    for each in ranked:
        held = [layer.name for layer in each.mapping.layers if layer.core in faster]
        words = f"{', '.join(held) or 'no layer'}{' (default)' if each is history.first.found else ''}"
        rate = amount(events / each.time_ps * 1e12) if each.time_ps else "any"
        table.add_row(words, rate, seconds(each.end_ps), joules(each.energy_fj))
    _show_tried(history, table, [], command)


def _show_tried(history: History, table: Table, lines: list[str], command: str) -> None:
    """All mappings were tried: the best of them, the front if it was asked for, notes, and the command for the best."""
    screen, mapping = console(), history.best.mapping
    title = f"{mapping.network.name} on {mapping.chip.title}: {plural(len(history.tried), 'mapping')} for "
    screen.print(Text(title + history.problem.objective, style="bold"))
    screen.print(table)
    if history.pareto:
        screen.print(Text(_front_title(history)))
        screen.print(_front(history, 1))
    for line in [*lines, *(f"Note: {note}." for note in mapping.network.notes)]:
        screen.print(Text(line, style="dim"))
    show_files(screen, {"best": command})


def _about(best: Tried | Placed) -> dict[str, Any]:
    network = best.mapping.network
    return {"network": network.name, "chip": best.mapping.chip.name, "notes": list(network.notes)}


def _of_mode(each: Tried) -> dict[str, Any]:
    times = {"interval_ps": each.time_ps, "latency_ps": each.latency_ps, "known_energy_per_frame_fj": each.energy_fj}
    return {"mode": each.mapping.mode, **times, "processors": each.mapping.processors}


def _of_placement(each: Placed) -> dict[str, Any]:
    times = {"busiest_station_ps": each.time_ps, "end_ps": each.end_ps, "known_energy_fj": each.energy_fj}
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
    draw_floorline(points, path, f"{problem.rules.network.name} on {chip.title}: {history.search}", chip.static_mw)


def _point(history: History, number: int, words: str) -> Workload:
    """A move on the evaluated timesteps; long words are cut for the legend."""
    problem = history.problem
    mapping = mapping_of(problem, history.moves[number])
    sent = Sent([[problem.activity]], [problem.activity.timesteps], None)
    found = bottleneck_of(run_activity(mapping, sent, critical_path=True))
    return found.workload(words if len(words) <= 110 else f"{words[:107]}...")
