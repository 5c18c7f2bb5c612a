"""`nsim train sparsity-aware`: networks that do less at equal accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsim.commands.completion import chip_names, words
from nsim.errors import TrainingError


def sparsity_aware(
    data: Annotated[
        str,
        typer.Argument(
            help="fashion-mnist, digits, road-video, spoken-digits, spoken-pictures, or a folder of idx files."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the front, the networks and their checkpoints.")],
    network: Annotated[
        str,
        typer.Option(
            help="mlp, cnn, cnn-wide, pilotnet; lif; s5, s5-half.",
            autocompletion=words("mlp", "cnn", "cnn-wide", "pilotnet", "lif", "s5", "s5-half"),
        ),
    ] = "cnn",
    regulariser: Annotated[
        str,
        typer.Option(
            help="rate, synops or max-synops (of the busiest core).",
            autocompletion=words("rate", "synops", "max-synops"),
        ),
    ] = "max-synops",
    chip: Annotated[
        str, typer.Option(help="Chip with timesteps, or path of a chip file.", autocompletion=chip_names)
    ] = "loihi2",
    partition: Annotated[str, typer.Option(help="default, even:4, even:LAYER=4,..., or a .toml file.")] = "default",
    weight_format: Annotated[str | None, typer.Option(help="Fully connected layers: dense or sparse.")] = None,
    strengths: Annotated[str | None, typer.Option(help="Of the regulariser: 0.3,1,3. [default: four]")] = None,
    tolerance: Annotated[float, typer.Option(help="Points on validation data that may be lost.")] = 0.5,
    sparsity: Annotated[float, typer.Option(help="Share of weights to prune.")] = 0.0,
    structure: Annotated[
        str, typer.Option(help="Prune weights, or whole neurons of all cores alike: cores.")
    ] = "weights",
    threshold: Annotated[int, typer.Option(help="Of a message, in 1/64.")] = 6,
    weight_bits: Annotated[int, typer.Option(help="Of a stored weight, 2 to 8.")] = 8,
    epochs: Annotated[int, typer.Option(help="Of the plain training, and again of every point.")] = 5,
    samples: Annotated[int | None, typer.Option(help="Use so many of each split. [default: all]")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order of samples, validation split and roads.")] = 0,
) -> None:
    """Train a front of accuracy against cost, choose the cheapest network within the tolerance, and check it.

    OUT/network.net, or network.s5, is for nsim run with --input OUT/test_inputs.npy. A run that was stopped is taken
    up again.
    """
    from nsim.training import require_extra

    require_extra()
    import numpy as np

    from nsim import screen
    from nsim.chip_file import load_chip
    from nsim.optimize.problem import check_chip
    from nsim.training.pictures import load_data
    from nsim.training.sparsity.front import Settings, train_front
    from nsim.training.sparsity.page import show_front

    settings = Settings(
        data=data,
        network=network,
        regulariser=regulariser,
        chip=chip,
        partition=partition,
        weight_format=weight_format,
        strengths=_numbers(strengths),
        tolerance=tolerance,
        sparsity=sparsity,
        structure=structure,
        threshold=threshold,
        weight_bits=weight_bits,
        epochs=epochs,
        samples=samples,
        seed=seed,
    ).checked()
    target = check_chip(load_chip(chip))
    loaded = load_data(data, np.random.default_rng(seed))
    with screen.progress("steps or samples", "training") as report:
        found = train_front(settings, loaded, target, out, lambda _, done, total: report(done, total))
    show_front(found, out)


def _numbers(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise TrainingError(f"strengths are {text!r}: give numbers with commas, as in 0.3,1,3") from None
