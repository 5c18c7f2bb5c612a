"""`nsim chips` and `nsim networks`: what there is to choose from."""

from __future__ import annotations

from typing import Annotated

import typer

from nsim.cli.completion import chip_names


def chips(
    name: Annotated[
        str | None,
        typer.Argument(help="Show every value of this chip, with its source.", autocompletion=chip_names),
    ] = None,
) -> None:
    """List the chips, or show one."""
    from nsim.chip.file import load_chip
    from nsim.report.screen.chips import list_chips, show_chip

    if name is None:
        list_chips()
    else:
        show_chip(load_chip(name))


def networks() -> None:
    """List the built-in networks and their options."""
    from nsim.report.screen.chips import list_networks

    list_networks()
