"""`nsim compare-chips`: one network on several chips, in one table and one figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nsim.cli.completion import chip_names
from nsim.cli.options import Dt, Force, Input, NetworkName, Seed, for_recordings, taking


@for_recordings
@taking("activity", "timesteps", "samples", "labels", "rate_steps")
def compare_chips(
    network: NetworkName,
    chips: Annotated[
        str, typer.Option(help="Chips, with commas: loihi2,akd1000,./mine.toml.", autocompletion=chip_names)
    ],
    input: Input = None,
    seed: Seed = 0,
    dt: Dt = None,
    out: Annotated[Path | None, typer.Option(help="Also write the table: .csv or .parquet.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw time and energy by chip: .png, .pdf or .svg.")] = None,
    force: Force = False,
    **options: Any,
) -> None:
    """Compare what one network takes on several chips, converted for each as its chip needs it.

    Real numbers become the integers of the chip: fixed point with timesteps, quantised on the --input with frames,
    rounded on Speck. There, spikes by timestep come as events, and rectifiers become spiking neurons whose rates stand
    for activations: a frame lasts --rate-steps timesteps of --dt seconds. With --labels the accuracy on every chip,
    and what is lost of that in real numbers. Where a chip cannot take the network the row says why. Exit code 1: none
    of them can.
    """
    from nsim.chip.name import split_names
    from nsim.mapping.events.rates import check_steps
    from nsim.report import screen
    from nsim.report.advise import advise, reference_accuracy
    from nsim.report.chips_compared import comparison_rows, draw_comparison
    from nsim.report.plots import check_figure
    from nsim.report.screen.advice import show_chips_compared
    from nsim.report.table_file import check_table, write_rows
    from nsim.result.run_timesteps import check_run

    check_steps(options["rate_steps"])
    check_run(options["timesteps"], options["samples"], "compiled", dt, None, seed)
    if out:
        check_table(out, force)
    if plot:
        check_figure(plot, force)
    names = split_names(chips)
    given = {"dt_s": dt, "seed": seed, **options}
    with screen.progress("chips", "running") as progress:
        found = advise(network, names, input, given, progress, changes=False)
    reference = reference_accuracy(network, input, given)
    if out:
        write_rows(comparison_rows(found, reference), out)
    if plot:
        draw_comparison(network, found, plot)
    show_chips_compared(network, found, reference, out, plot)
    if not any(each.fits for each in found):
        raise typer.Exit(1)
