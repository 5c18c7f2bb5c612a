"""`nsim train sparsity-aware`: networks that do less at equal accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nsim.cli.train_options import with_options
from nsim.errors import TrainingError
from nsim.training.sparsity.options import Options


@with_options(Options)
def sparsity_aware(
    data: Annotated[
        str,
        typer.Argument(
            help="fashion-mnist, digits, road-video, spoken-digits, spoken-pictures, or a folder of idx files."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the front, the networks and their checkpoints.")],
    strengths: Annotated[
        str | None, typer.Option(help="Regulariser strengths: 0.3,1,3. [default: a ladder that ends by itself]")
    ] = None,
    **given: Any,
) -> None:
    """Train a front of accuracy against cost, choose the cheapest network within the tolerance, and check it.

    OUT/network.net, or network.s5, is for nsim run with --input OUT/test_inputs.npy. A run that was stopped is taken
    up again.
    """
    from nsim.training import require_extra

    require_extra()
    import numpy as np

    from nsim.chip.file import load_chip
    from nsim.optimize.problem import check_chip
    from nsim.report import screen
    from nsim.training.data.pictures import load_data
    from nsim.training.sparsity.front import Settings, train_front
    from nsim.training.sparsity.page import show_front, tell_epoch

    settings = Settings(data=data, strengths=_numbers(strengths), **given).checked()
    target = check_chip(load_chip(settings.chip))
    loaded = load_data(data, np.random.default_rng(settings.seed))
    with screen.progress("steps or samples", "training") as report:
        found = train_front(settings, loaded, target, out, lambda _, done, total: report(done, total), tell_epoch)
    show_front(found, out)


def _numbers(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise TrainingError(f"strengths are {text!r}: give numbers with commas, as in 0.3,1,3") from None
