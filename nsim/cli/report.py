"""`nsim report`: a finished run as one self-contained page, and as figures for papers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsim.cli.options import Force
from nsim.errors import counted


def report(
    run: Annotated[Path, typer.Argument(help="Folder that nsim run --out wrote.")],
    out: Annotated[Path | None, typer.Option(help="The page: .html. [default: report.html in that folder]")] = None,
    figures: Annotated[
        str | None, typer.Option(help="Also its figures for papers, into RUN/figures: pdf, svg, png, or several.")
    ] = None,
    force: Force = False,
) -> None:
    """Make a page of a finished run: what limits it, figures, tables, and where every constant comes from."""
    from nsim.report.answer import answered, say
    from nsim.report.content import contents
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
