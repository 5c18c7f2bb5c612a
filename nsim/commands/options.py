"""Options that several commands take, and the refusal of those that make no sense on a chip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsim.errors import InputError, InterruptedRunError

if TYPE_CHECKING:
    from nsim.chip import Chip


NetworkName = Annotated[
    str, typer.Argument(help="Built-in name (with options: mlp:width=512,depth=4), .net, .nir or .s5 file.")
]
ChipName = Annotated[str, typer.Option(help="Chip name, or path of a chip file.")]
Input = Annotated[
    Path | None,
    typer.Option(help="Frames or events: .npy, .npz, SHD .h5, N-MNIST .bin, .aedat4, .raw, .dat, or edges:rate=1e5."),
]
Activity = Annotated[
    str | None, typer.Option(help="Message density instead of input: 0.1, LAYER=0.1,..., or a .toml file.")
]
Timesteps = Annotated[int | None, typer.Option(help="Timesteps per sample.")]
Samples = Annotated[int | None, typer.Option(help="Number of samples, or of frames on chips that work on frames.")]
Placement = Annotated[
    str | None, typer.Option(help="row-major, greedy or random:SEED. [default: the partition file's, or row-major]")
]
WeightFormat = Annotated[
    str | None, typer.Option(help="Storage of fully connected layers: dense or sparse. [default: the chip's]")
]
Engine = Annotated[str, typer.Option(help="compiled, or simpy: the same times from the readable reference.")]
Threads = Annotated[int | None, typer.Option(help="Threads to use. [default: all]")]
Seed = Annotated[int, typer.Option(help="Seed of drawn activity, or of events that are made up.")]
ClockMode = Annotated[
    str | None, typer.Option(help="On chips with frames: performance, economy or low-power. [default: the chip's]")
]
Dt = Annotated[
    float | None,
    typer.Option(help="Seconds per timestep, for NIR graphs and event input; without timesteps, per slow-clock tick."),
]
Grid = Annotated[
    str | None, typer.Option(help="On chips of tiles: rows x columns of neuron tiles, as in 5x5. [default: the chip's]")
]
NeuronsPerTile = Annotated[int | None, typer.Option(help="On chips of tiles: neurons of a tile. [default: the chip's]")]
Place = Annotated[str, typer.Option(help="On chips of tiles: index (neuron q in tile q // n) or annealed.")]
TileRoutes = Annotated[
    str,
    typer.Option(help="On chips of tiles: published, balanced (least memory) or fitting (least beyond capacity)."),
]


# What a chip works on, and the options of `nsim run` that only some chips know, by discipline
WORKS_ON = {
    "barrier": "timesteps",
    "frame": "frames",
    "stream": "events as they come (give them by --input)",
    "tick": "ticks of real time, on neuron tiles",
}
OPTIONS = {
    "barrier": {
        "partition",
        "placement",
        "weight-format",
        "activity",
        "timesteps",
        "samples",
        "threads",
        "trace",
        "critical-path",
    },
    "frame": {"activity", "samples", "mode", "clock-mode", "critical-path"},
    "stream": {"core-options", "critical-path"},
    "tick": {"activity", "timesteps", "samples", "grid", "neurons-per-tile", "place", "routes", "shared-lines"},
}


def refuse_options(chip: Chip, given: dict[str, tuple[object, object]]) -> None:
    """Refuse options that make no sense on a chip: by name, what was given and what stands there if it is left out."""
    for name, (value, default) in given.items():
        if value != default and name not in OPTIONS[chip.discipline]:
            works = WORKS_ON[chip.discipline]
            words = f"--{name}" if value is True else f"--{name} {value}"
            raise InputError(f"{words} is not for chip {chip.name!r}, which works on {works}: leave it out")


def say_if_interrupted(done: int, planned: int, unit: str) -> None:
    if done < planned:
        raise InterruptedRunError(f"interrupted after {done} of {planned} {unit}: the results cover these")
