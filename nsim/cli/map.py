"""`nsim map`: a recurrent network on neuron tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nsim.chip.discipline import TICK
from nsim.cli.options import MAP_OPTIONS, ChipName, Dt, Force, taking


@taking(*(name for name in MAP_OPTIONS if name in TICK.map_options))
def map_(
    network: Annotated[
        str,
        typer.Argument(
            help="Matrix [source, target]: .npy, .npz (CSR); .nir with a recurrent layer; random:p1=0.9,p3=0.1"
        ),
    ],
    chip: ChipName,
    seed: Annotated[int, typer.Option(help="Seed of a random network, and of annealing and balancing.")] = 0,
    dt: Dt = None,
    explain: Annotated[bool, typer.Option("--explain", help="Name the tile and port that decide the sizes.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the grid: .png, .pdf or .svg.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for summary.json and tables.")] = None,
    force: Force = False,
    **options: Any,
) -> None:
    """Map a recurrent network on neuron tiles. Exit code 0: it fits; 1: some port is too narrow; 2: wrong input."""
    from contextlib import nullcontext

    from nsim.chip.file import load_chip
    from nsim.mapping.network import map_network
    from nsim.mapping.tiles.mapping import mosaic
    from nsim.report.plots import check_figure
    from nsim.report.screen import tile_map as page
    from nsim.result.folder import OutputFolder

    if plot:
        check_figure(plot, force)
    with OutputFolder(out, force) if out else nullcontext() as folder:
        target = mosaic(load_chip(chip))
        loaded = TICK.part("load")(network, dt_s=dt)
        mapping = map_network(loaded, target, **options, seed=seed)
        if plot:
            page.draw_map(mapping, plot)
        if folder:
            folder.write(page.MapFiles(mapping))
    page.show_map(mapping, explain, plot, out)
    if not mapping.mappable:
        raise typer.Exit(1)
