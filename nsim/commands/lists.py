"""`nsim chips` and `nsim networks`: what there is to choose from."""

from __future__ import annotations

from typing import Annotated

import typer

from nsim.commands.completion import chip_names


def chips(
    name: Annotated[
        str | None,
        typer.Argument(help="Show every value of this chip, with its source.", autocompletion=chip_names),
    ] = None,
) -> None:
    """List the chips, or show one."""
    from nsim import screen
    from nsim.chip_file import load_chip

    if name is None:
        screen.list_chips()
    else:
        screen.show_chip(load_chip(name))


def networks() -> None:
    """List the built-in networks and their options."""
    from nsim import screen

    screen.list_networks()
