"""`nsim noc`: a message trace on the network on chip alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsim.commands.options import ChipName, Engine


def noc(
    traffic: Annotated[
        Path,
        typer.Argument(
            help="Message trace: CSV with columns time_ps (or _ns, _us, _s), source_core, destination_core, bits."
        ),
    ],
    chip: ChipName,
    engine: Engine = "compiled",
    out: Annotated[Path | None, typer.Option(help="Folder for summary.json, messages.csv and links.csv.")] = None,
) -> None:
    """Replay a message trace on the network on chip alone: latency by percentile, waiting, and link loads."""
    from contextlib import nullcontext

    from nsim.chip_file import load_chip
    from nsim.noc.replay import mesh_chip, replay
    from nsim.noc.result import NocResult
    from nsim.noc.screen import show_noc
    from nsim.noc.traffic import read_traffic
    from nsim.result import OutputFolder

    with OutputFolder(out) if out else nullcontext() as folder:
        target = mesh_chip(load_chip(chip))
        result = NocResult(replay(read_traffic(traffic), target, engine))
        if folder:
            folder.write(result)
    show_noc(result, traffic.name, out)
