"""`nsim compare`: what changed between finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsim.cli.options import Force


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders that nsim run --out wrote, at least two.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Also write the table (.csv), a page with figures (.html), or these (.png, .pdf, .svg)."),
    ] = None,
    force: Force = False,
) -> None:
    """Say what changed between runs: chip values, partition, time, energy, layers; the ratio is last over first."""
    from rich.table import Table
    from rich.text import Text

    from nsim.report.answer import answered
    from nsim.report.compare import check_comparison, facts, undecided, write_comparison
    from nsim.report.compare import compare as compared
    from nsim.report.run_folder import read_run
    from nsim.report.screen import console

    if out:
        check_comparison(out, force)
    read = [read_run(run) for run in runs]
    found = compared(read)
    if out:
        write_comparison(read, found, out)
    if answered(lambda: facts(found, read)):
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    for name in found.columns:
        table.add_column(name)
    for row in found.itertuples(index=False):
        cells = ["" if cell is None or cell != cell else cell for cell in row]
        table.add_row(*(Text(f"{cell:,.6g}" if isinstance(cell, float) else str(cell)) for cell in cells))
    screen = console()
    screen.print(table if len(found) else "Nothing differs.")
    for sentence in undecided(read):
        screen.print(sentence)
