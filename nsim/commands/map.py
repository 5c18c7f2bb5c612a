"""`nsim map`: a recurrent network on neuron tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsim.commands.options import (
    ChipName,
    Dt,
    Grid,
    NeuronsPerTile,
    Place,
    TileRoutes,
)


def map_(
    network: Annotated[
        str,
        typer.Argument(
            help="Matrix [source, target]: .npy, .npz (CSR); .nir with a recurrent layer; random:p1=0.9,p3=0.1"
        ),
    ],
    chip: ChipName,
    grid: Grid = None,
    neurons_per_tile: NeuronsPerTile = None,
    place: Place = "index",
    routes: TileRoutes = "published",
    seed: Annotated[int, typer.Option(help="Seed of a random network, and of annealing and balancing.")] = 0,
    dt: Dt = None,
    explain: Annotated[bool, typer.Option("--explain", help="Which tile and port decide the sizes.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the grid: .png, .pdf or .svg.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for summary.json and tables.")] = None,
) -> None:
    """Map a recurrent network on neuron tiles. Exit code 0: it fits; 1: some port is too narrow; 2: wrong input."""
    from contextlib import nullcontext

    import numpy as np

    from nsim.chip_file import load_chip
    from nsim.mosaic import page
    from nsim.mosaic.mapping import check_options, fabric_of, map_on_tiles, mosaic, parse_grid
    from nsim.mosaic.picture import draw_grid
    from nsim.mosaic.read import load_connectivity
    from nsim.plots import check_figure
    from nsim.result import OutputFolder

    check_options(place, routes, seed)
    if plot:
        check_figure(plot)
    with OutputFolder(out) if out else nullcontext() as folder:
        target = mosaic(load_chip(chip))
        fabric = fabric_of(target, parse_grid(grid) if grid else None, neurons_per_tile)
        loaded = load_connectivity(network, fabric, np.random.default_rng(seed), dt)
        mapping = map_on_tiles(loaded, target, fabric, place, routes, seed)
        if plot:
            draw_grid(mapping, plot)
        if folder:
            folder.write(page.MapFiles(mapping))
    page.show_map(mapping, explain, plot, out)
    if not mapping.mappable:
        raise typer.Exit(1)
