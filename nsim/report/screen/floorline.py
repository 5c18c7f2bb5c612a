"""What `nsim floorline` shows: three opinions of what limits a run, and what to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

from rich.console import Console
from rich.text import Text

from nsim.report.answer import answered
from nsim.report.screen import Column, console, fitting, show_basis, show_files, show_lines
from nsim.report.told import basis_of
from nsim.report.units import percent, seconds, times
from nsim.report.words import Numbers, try_line
from nsim.result.limits.bottleneck import Bottleneck
from nsim.result.limits.targets import Target

WORTH = 1.005  # times faster, from which on a gain is told
ALONE = {"frame": " with nothing else on the chip", "stream": ", until all is drained"}


def show_floorline(
    found: Mapping[str, Bottleneck],
    plot: Path | None,
    choice: str = "partition",
    tried: Mapping[str, Numbers | None] = MappingProxyType({}),
    command: str = "",
    targets: Mapping[str, Target] = MappingProxyType({}),
) -> None:
    """By mapping: bounds, what was simulated, three opinions of the state, and what to change.

    choice   what the mappings differ in
    tried    what-ifs of the mappings, as in report.json
    command  line that asked
    targets  of the mappings, if a gain was asked for
    """
    one = next(iter(found.values()))
    network, chip = one.result.mapping.network, one.result.mapping.chip
    points = {name: {**each.summary(), "what_if": tried.get(name)} for name, each in found.items()}
    for name, target in targets.items():
        points[name]["target"] = asdict(target)
    basis, summary = basis_of(chip, network.notes), one.result.summary()
    facts = {"network": network.name, "chip": chip.name, "unit": one.unit, "choice": choice}
    if answered(lambda: {**facts, "points": points, "notes": basis.all(summary), "plot": plot}):
        return
    screen = console()
    screen.print(Text(f"{network.name} on {chip.title}, per {one.unit}{ALONE.get(one.unit, '')}", style="bold"))
    screen.print(fitting(_bounds(choice, points), screen.width))
    screen.print()
    screen.print(fitting(_states(choice, points), screen.width))
    for name, each in found.items():
        screen.print()
        screen.print(Text(f"{name}: {each.advice}."))
        if better := try_line(tried.get(name), command):
            show_lines(screen, [better])
        chain = [
            f"{s['station']} {percent(s['share'])}" for s in each.result.critical_stations[:4] if s["share"] >= 0.005
        ]
        screen.print(Text(f"Critical path: {', '.join(chain) or each.simulated}."))
        if line := each.run_line:
            screen.print(Text(f"{line}."))
        if name in targets:
            _show_target(screen, targets[name])
    show_basis(screen, basis, summary)
    show_files(screen, {"plot": plot})


def _bounds(choice: str, points: Numbers) -> list[Column]:
    """Bounds by state, the floorline, and what was simulated."""
    rows = points.values()
    states = next(iter(rows))["bounds_ps"]
    return [
        Column(choice, list(points), right=False),
        Column("cores", [str(row["cores"]) for row in rows], 3),
        *(Column(state, [seconds(row["bounds_ps"][state]) for row in rows], 1) for state in states),
        Column("floorline", [seconds(row["floorline_ps"]) for row in rows]),
        Column("simulated", [seconds(row["simulated_ps"]) for row in rows]),
        Column("over", [percent(row["over_floorline"] - 1) for row in rows], 2),
    ]


def _states(choice: str, points: Numbers) -> list[Column]:
    """The state by each of the three witnesses, and how sure it is."""
    rows = points.values()
    paths = [
        (state := row["state_by_critical_path"], row["critical_path_ps"][state] / max(1, row["time_ps"]))
        for row in rows
    ]
    saved = [(state := row["state_by_sensitivity"], row["time_saved_by_tenth_lower_costs"][state]) for row in rows]
    return [
        Column(choice, list(points), right=False),
        Column("by floorline", [f"{row['state_by_floorline']}, {times(row['margin'])}" for row in rows], 3, False),
        Column("by critical path", [f"{state}, {percent(part)}" for state, part in paths], 1, False),
        Column("by sensitivity", [f"{state}, {percent(part)} less" for state, part in saved], 2, False),
    ]


def _show_target(screen: Console, target: Target) -> None:
    """By layer where another bound takes over, then what all of them together need."""
    wanted = f"{seconds(target.now_ps)} to {seconds(target.now_ps / target.times)}"
    screen.print()
    screen.print(Text(f"{target.times:g} times faster, a timestep of mean densities from {wanted} by the floorline:"))
    rows = target.layers
    table = [
        Column("messages of", [row.layer for row in rows], right=False),
        Column("density", [percent(row.density) for row in rows]),
        Column("no gain below", [percent(row.until) if row.speedup >= WORTH else "any" for row in rows]),
        Column("then bound by", [row.state for row in rows], 1, False),
        Column("gain there", [times(row.speedup) for row in rows]),
    ]
    screen.print(fitting(table, screen.width))
    ways = {"messages": "of the messages of all layers", "weights": "of all weights", "both": "of messages and weights"}
    for way, said in ways.items():
        share, most = getattr(target, way), times(target.most[way])
        told = f"not reached; {most} at most" if share is None else f"keep {percent(share)} {said}"
        screen.print(Text(f"Fewer {way if way != 'both' else 'of both'}: {told}."))
    screen.print(Text(f"Without any it is bound by {target.state}."))
