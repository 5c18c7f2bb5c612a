"""A front on the screen: a line per point, and what the chosen network costs and scores."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nsim.report.answer import answered, quiet
from nsim.report.screen import console, facts_grid, show_files
from nsim.training.sparsity.fitting import Epoch
from nsim.training.sparsity.front import Front, network_file, summary


def tell_epoch(name: str, epoch: Epoch) -> None:
    """A line on standard error after every epoch, unless the user wants quiet."""
    if not quiet():
        line = (
            f"{name:8} epoch {epoch.number:3} of {epoch.of}   loss {epoch.loss:8.4f}   validation {epoch.points:6.2f} %"
        )
        Console(stderr=True).print(Text(line))


def show_front(front: Front, out: Path) -> None:
    """The front, the choice, and the command that runs it."""
    screen, settings, facts = console(), front.settings, summary(front)
    if answered(lambda: {**facts, "front": [asdict(point) for point in front.points], "out": out}):
        return
    screen.print(f"{settings.network} on {settings.data}, {settings.regulariser}, partition {settings.partition}")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    confidence = f"lost, {100 * settings.confidence:g} % sure"
    for title in ("strength", "validation", confidence, "messages", "synops", "max synops", "weights kept", ""):
        table.add_column(title, justify="right")
    for point in front.points:
        cost = point.cost
        table.add_row(
            f"{point.strength:g}" if point.strength else "dense",
            f"{point.points:.2f} %",
            f"{point.lost_at_most:.2f}" if point.strength else "",
            *(f"{value:,.0f}" for value in (cost.events, cost.synops, cost.max_synops)),
            f"{100 * point.density:.0f} %",
            "chosen" if point is front.chosen else "",
        )
    screen.print(table)
    grid = facts_grid()
    dense, chosen = facts["dense"], facts["chosen"]
    grid.add_row(
        "Test", f"{chosen['simulated_points']:.2f} %", f"promised {chosen['promised_points']:.2f} %, as simulated"
    )
    grid.add_row("Dense", f"{dense['simulated_points']:.2f} %", f"{facts['test_samples']} test samples")
    screen.print(grid)
    network, inputs = f"{out}/{network_file(front)}", f"{out}/test_inputs.npy"
    form = ["--weight-format", front.weight_format] if front.weight_format else []
    run = ["nsim", "run", network, "--chip", settings.chip, "--input", inputs, *form]
    show_files(screen, {"run it": shlex.join(run)})
