"""`nsim noc`: a message trace on the network on chip alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsim.cli.options import ChipName, Engine, Force


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
    force: Force = False,
) -> None:
    """Replay a message trace on the network on chip alone: latency by percentile, waiting, and link loads."""
    from contextlib import nullcontext

    from nsim.chip.file import load_chip
    from nsim.machine.replay import mesh_chip, replay
    from nsim.machine.traffic import read_traffic
    from nsim.report.screen.replay import show_noc
    from nsim.result.folder import OutputFolder
    from nsim.result.replay import NocResult

    with OutputFolder(out, force) if out else nullcontext() as folder:
        target = mesh_chip(load_chip(chip))
        result = NocResult(replay(read_traffic(traffic), target, engine))
        if folder:
            folder.write(result)
    show_noc(result, traffic.name, out)
