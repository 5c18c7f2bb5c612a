"""`nsim report`: a finished run, or a sweep, as one self-contained page; a run also as figures for papers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsim.cli.options import Force
from nsim.errors import InputError, counted


def report(
    run: Annotated[Path, typer.Argument(help="Folder that nsim run --out wrote, or the table of nsim sweep.")],
    out: Annotated[
        Path | None, typer.Option(help="The page: .html. [default: in that folder, or beside the table]")
    ] = None,
    figures: Annotated[
        str | None, typer.Option(help="Also its figures for papers, into RUN/figures: pdf, svg, png, or several.")
    ] = None,
    force: Force = False,
) -> None:
    """Make a page of a finished run: what limits it, figures, tables, and where every constant comes from.

    Of a sweep's table: the front of time and energy, what moved them, and the best points.
    """
    if run.suffix in (".parquet", ".csv"):
        _of_sweep(run, out, figures, force)
        return
    from nsim.report.answer import answered, say
    from nsim.report.figures import contents
    from nsim.report.page import check_report, write_report
    from nsim.report.told import told_of_folder
    from nsim.report.vector import FOLDER, parse_formats, write_figures
    from nsim.result.folder import write_manifest
    from nsim.result.run_folder import read_run

    formats = parse_formats(figures) if figures is not None else ()
    found = read_run(run)
    path = out or run / "report.html"
    check_report(path, force)
    write_report(found, path)
    written = write_figures(contents(found), run / FOLDER, formats) if formats else []
    write_manifest(run, [each.relative_to(run).as_posix() for each in (path, *written) if each.is_relative_to(run)])
    if answered(lambda: {"report": path, "verdict": told_of_folder(found).limit, "figures": written}):
        return
    say(f"The report is in {path}")
    if formats:
        say(f"{counted(len(written), 'figure')} in {run / FOLDER}")


def _of_sweep(table: Path, out: Path | None, figures: str | None, force: bool) -> None:
    from nsim.report.answer import answered, say
    from nsim.report.page import check_report
    from nsim.sweep.effects import read_sweep
    from nsim.sweep.page import sweep_facts, write_sweep_page

    if figures is not None:
        raise InputError(f"--figures {figures} are of a run, and {table} is the table of a sweep: leave it out")
    path = out or table.with_suffix(".html")
    check_report(path, force)
    found = read_sweep(table)
    write_sweep_page(found, path, table.name)
    if not answered(lambda: {"report": path, "kinds": sweep_facts(found)}):
        say(f"The report is in {path}")
