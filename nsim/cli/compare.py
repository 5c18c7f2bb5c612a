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
        typer.Option(help="Also write the table (.csv, .parquet), a page (.html), or its figures (.png, .pdf, .svg)."),
    ] = None,
    force: Force = False,
) -> None:
    """Say what changed between runs: chip values, partition, time, energy, layers; the ratio is last over first."""
    from nsim.report.answer import answered
    from nsim.report.compare import check_comparison, facts, undecided, write_comparison
    from nsim.report.compare import compare as compared
    from nsim.report.screen.comparison import show_comparison
    from nsim.result.run_folder import read_run

    if out:
        check_comparison(out, force)
    read = [read_run(run) for run in runs]
    found = compared(read)
    if out:
        write_comparison(read, found, out)
    if answered(lambda: facts(found, read)):
        return
    show_comparison(found, undecided(read))
