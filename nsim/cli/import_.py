"""`nsim import`: work that was made for other simulators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsim.cli.options import Force


def sanafe(
    architecture: Annotated[Path, typer.Argument(help="SANA-FE's architecture, YAML.")],
    network: Annotated[Path, typer.Argument(help="SANA-FE's network with its mappings, YAML.")],
    out: Annotated[Path, typer.Option(help="Folder for chip.toml, network.nir, partition.toml and carried.md.")],
    timesteps: Annotated[
        int | None, typer.Option(help="How long inputs fire. [default: the longest train, or 100]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of poisson inputs.")] = 0,
    force: Force = False,
) -> None:
    """Turn a SANA-FE architecture and network into a chip, a network and a partition that nsim run takes.

    carried.md lists every field of both files: carried over as what, approximated how, or left out and why.
    """
    from nsim.errors import InputError, require

    if seed < 0:
        raise InputError(f"seed is {seed}: give 0 or more")
    try:
        import yaml  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        raise InputError("reading YAML needs PyYAML: pip install 'nsim-neuromorphic[sanafe]'") from None
    require("nir", "a SANA-FE network becomes a NIR graph, which", InputError)
    from nsim.cli.sanafe import import_sanafe
    from nsim.report.screen.sanafe import show_account

    show_account(import_sanafe(architecture, network, out, timesteps=timesteps, seed=seed, force=force))


IMPORT = {"sanafe": sanafe}
