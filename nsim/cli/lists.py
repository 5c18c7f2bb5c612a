"""`nsim chips` and `nsim networks`: what there is to choose from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsim.cli.completion import chip_names
from nsim.cli.options import changing


def chips(
    name: Annotated[
        str | None,
        typer.Argument(help="Show every value of this chip, with its source.", autocompletion=chip_names),
    ] = None,
    key: Annotated[
        str | None, typer.Argument(help="Only this value, or those of this table: actions.synop_dense, or actions.")
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option(help="Write the file of the chip (loihi2 without a name), to be made one of your own: .toml."),
    ] = None,
) -> None:
    """List the chips, show one, or begin one of your own."""
    from nsim.chip.file import load_chip
    from nsim.chip.template import write_template
    from nsim.errors import InputError
    from nsim.report.screen.chips import list_chips, show_chip, show_template

    if template is not None:
        if key is not None:
            raise InputError(f"--template {template} writes a whole chip: leave out {key}")
        write_template(name or "loihi2", template)
        show_template(template)
    elif name is None:
        list_chips()
    else:
        show_chip(load_chip(name), key)


chips = changing(chips, "name")


def networks(
    fits: Annotated[
        bool, typer.Option("--fits", help="Also map each on every chip, and say on which it fits; some 10 s.")
    ] = False,
) -> None:
    """List the built-in networks and their options."""
    from nsim.report.fit import built_in_fits
    from nsim.report.screen import progress
    from nsim.report.screen.chips import list_networks, show_fits

    if not fits:
        list_networks()
        return
    with progress("mappings", "mapping") as report:
        found = built_in_fits(report)
    show_fits(found)
