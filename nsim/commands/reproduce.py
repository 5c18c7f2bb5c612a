"""`nsim reproduce`: the experiments of a clone of the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsim.commands.options import (
    Seed,
)


def reproduce(
    names: Annotated[list[str] | None, typer.Argument(help="Names or numbers of experiments. [default: all]")] = None,
    quick: Annotated[bool, typer.Option(help="Fewer and smaller points; the page stays as it is.")] = False,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for tables and figures, instead of benchmarks/ and its page.")
    ] = None,
) -> None:
    """Run the experiments of a clone of the repository, and put figures and verdicts on benchmarks/README.md."""
    from nsim.reproduce import FOLDER, chosen, experiments, prepare, repository, rewrite_page, section, write
    from nsim.simulation import check_run

    check_run(None, None, "compiled", None, None, seed)
    root = repository()
    to_run = chosen(experiments(root), names or [])
    if out:
        prepare(out)
    sections = {}
    for experiment in to_run:
        typer.echo(f"{experiment.number}. {experiment.title} ({experiment.name})")
        outcome = experiment.run(quick, seed)
        for verdict in outcome.verdicts:
            typer.echo(f"   {verdict}")
        if out or not quick:
            write(experiment.name, outcome, out or root / FOLDER)
        sections[experiment.number] = section(experiment, outcome)
    if out or not quick:
        typer.echo(f"tables and figures: {out or root / FOLDER}")
    if not out and not quick:
        typer.echo(f"page: {rewrite_page(root, sections)}")
