"""`nsim report`: a finished run as one self-contained page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Folder that nsim run --out wrote.")],
    out: Annotated[Path | None, typer.Option(help="The page: .html. [default: report.html in that folder]")] = None,
) -> None:
    """Make a page of a finished run: what limits it, figures, tables, and where every constant comes from."""
    from nsim.report.page import check_report, write_report
    from nsim.report.run_folder import read_run

    found = read_run(run)
    path = out or run / "report.html"
    check_report(path)
    write_report(found, path)
    typer.echo(f"The report is in {path}")
