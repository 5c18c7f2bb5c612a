"""`nsim reproduce`: the experiments of a clone of the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsim.cli.completion import experiment_names
from nsim.cli.options import Seed


def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names or numbers of experiments. [default: all]", autocompletion=experiment_names),
    ] = None,
    quick: Annotated[bool, typer.Option(help="Fewer and smaller points; the page stays as it is.")] = False,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for tables and figures, instead of benchmarks/ and its page.")
    ] = None,
) -> None:
    """Run the experiments of a clone of the repository, and put figures and verdicts on benchmarks/README.md.

    Exit code 1 tells that some verdict does not hold.
    """
    from nsim.cli.experiments import (
        FOLDER,
        chosen,
        experiments,
        facts,
        prepare,
        repository,
        rewrite_page,
        section,
        write,
    )
    from nsim.errors import OutputError, require
    from nsim.report import screen
    from nsim.report.answer import answered, say
    from nsim.result.run_timesteps import check_run

    check_run(None, None, "compiled", None, None, seed)
    root = repository()
    to_run = chosen(experiments(root), names or [])
    if out or not quick:
        require("matplotlib", "an experiment draws a figure, which", OutputError)
    if out:
        prepare(out)
    sections, outcomes = {}, {}
    with screen.progress("experiments", "running") as progress:
        for experiment in to_run:
            say(f"{experiment.number}. {experiment.title} ({experiment.name})")
            outcome = experiment.run(quick, seed)
            for verdict in outcome.verdicts:
                say(f"   {verdict}")
            if out or not quick:
                write(experiment.name, outcome, out or root / FOLDER)
            sections[experiment.number] = section(experiment, outcome)
            outcomes[experiment.name] = outcome
            progress(len(sections), len(to_run))
    files = out or (None if quick else root / FOLDER)
    page = None if out or quick else rewrite_page(root, sections)
    if not answered(lambda: facts(to_run, outcomes, files, page)):
        if files:
            say(f"tables and figures: {files}")
        if page:
            say(f"page: {page}")
    if not all(verdict.holds for outcome in outcomes.values() for verdict in outcome.verdicts):
        raise typer.Exit(1)
