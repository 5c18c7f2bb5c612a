"""`nsim advise`: for one network, which chip, what it takes there, and what to change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nsim.cli.completion import chip_names
from nsim.cli.options import Dt, Force, Input, NetworkName, Seed, for_recordings, taking


@for_recordings
@taking("activity", "timesteps", "samples")
def advise(
    network: NetworkName,
    chips: Annotated[
        str | None,
        typer.Option(
            help="Chips to try, with commas: loihi2,speck,./mine.toml. [default: all]", autocompletion=chip_names
        ),
    ] = None,
    input: Input = None,
    seed: Seed = 0,
    dt: Dt = None,
    out: Annotated[Path | None, typer.Option(help="Also write the table, a row per chip: .csv or .parquet.")] = None,
    force: Force = False,
    **options: Any,
) -> None:
    """Say which chips a network fits, what it takes there, what limits it, and which changes were simulated to gain.

    Each option counts on the chips that take it. Exit code 1: it fits none of them.
    """
    from nsim.chip.file import available_chips
    from nsim.chip.name import split_names
    from nsim.report import screen
    from nsim.report.advise import advise as advice
    from nsim.report.advise import table_rows
    from nsim.report.screen.advice import show_advice
    from nsim.report.table_file import check_table, write_rows
    from nsim.result.run_timesteps import check_run

    check_run(options["timesteps"], options["samples"], "compiled", dt, None, seed)
    if out:
        check_table(out, force)
    names = split_names(chips) if chips is not None else list(available_chips())
    given = {"dt_s": dt, "seed": seed, **options}
    with screen.progress("chips", "trying") as progress:
        found = advice(network, names, input, given, progress)
    if out:
        write_rows(table_rows(found), out)
    show_advice(network, found, out)
    if not any(each.fits for each in found):
        raise typer.Exit(1)
