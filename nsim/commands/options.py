"""Options that several commands take, and the refusal of those that make no sense on a chip."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsim.answer import Answer, answering
from nsim.commands.completion import chip_names, network_names, words
from nsim.errors import InputError, InterruptedRunError

if TYPE_CHECKING:
    from nsim.chip import Chip


NetworkName = Annotated[
    str,
    typer.Argument(
        help="Built-in name (with options: mlp:width=512,depth=4), .net, .nir or .s5 file.",
        autocompletion=network_names,
    ),
]
ChipName = Annotated[str, typer.Option(help="Chip name, or path of a chip file.", autocompletion=chip_names)]
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
    str | None,
    typer.Option(
        help="row-major, greedy or random:SEED. [default: the partition file's, or row-major]",
        autocompletion=words("row-major", "greedy", "random:"),
    ),
]
WeightFormat = Annotated[
    str | None,
    typer.Option(
        help="Storage of fully connected layers: dense or sparse. [default: the chip's]",
        autocompletion=words("dense", "sparse"),
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        help="compiled, or simpy: the same times from the readable reference.",
        autocompletion=words("compiled", "simpy"),
    ),
]
Threads = Annotated[int | None, typer.Option(help="Threads to use. [default: all]")]
Seed = Annotated[int, typer.Option(help="Seed of drawn activity, or of events that are made up.")]
ClockMode = Annotated[
    str | None,
    typer.Option(
        help="On chips with frames: performance, economy or low-power. [default: the chip's]",
        autocompletion=words("performance", "economy", "low-power"),
    ),
]
Dt = Annotated[
    float | None,
    typer.Option(help="Seconds per timestep, for NIR graphs and event input; without timesteps, per slow-clock tick."),
]
Grid = Annotated[
    str | None, typer.Option(help="On chips of tiles: rows x columns of neuron tiles, as in 5x5. [default: the chip's]")
]
NeuronsPerTile = Annotated[int | None, typer.Option(help="On chips of tiles: neurons of a tile. [default: the chip's]")]
Place = Annotated[
    str,
    typer.Option(
        help="On chips of tiles: index (neuron q in tile q // n) or annealed.",
        autocompletion=words("index", "annealed"),
    ),
]
TileRoutes = Annotated[
    str,
    typer.Option(
        help="On chips of tiles: published, balanced (least memory) or fitting (least beyond capacity).",
        autocompletion=words("published", "balanced", "fitting"),
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", help="Print nothing but errors: the files and the exit code tell the rest.")
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the results as one line of JSON, and nothing else on standard output.")
]


def for_scripts(command: Callable[..., None]) -> Callable[..., None]:
    """The command with --quiet and --json; what it shows goes through nsim/answer.py."""

    @functools.wraps(command)
    def scripted(*args: Any, quiet: bool = False, json: bool = False, **options: Any) -> None:
        if quiet and json:
            raise InputError("--quiet prints nothing and --json one line: give one of the two")
        with answering(Answer.QUIET if quiet else Answer.JSON if json else Answer.SCREEN):
            command(*args, **options)

    own = inspect.signature(command, eval_str=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter(name, kind, default=False, annotation=annotation)
        for name, annotation in (("quiet", Quiet), ("json", Json))
    ]
    scripted.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    scripted.__annotations__ = {**command.__annotations__, "quiet": Quiet, "json": Json}
    return scripted


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
        "critical-path",
    },
    "frame": {"activity", "samples", "mode", "clock-mode", "critical-path"},
    "stream": {"core-options", "critical-path"},
    "tick": {"activity", "timesteps", "samples", "grid", "neurons-per-tile", "place", "routes", "shared-lines"},
}


# Traces of a run that are written, by discipline
TRACES = {"barrier": ("messages", "perfetto"), "frame": ("perfetto",), "stream": ("perfetto",), "tick": ()}


def refuse_options(chip: Chip, given: dict[str, tuple[object, object]]) -> None:
    """Refuse options that make no sense on a chip: by name, what was given and what stands there if it is left out."""
    for name, (value, default) in given.items():
        if value != default and name not in OPTIONS[chip.discipline]:
            raise _refusal(chip, f"--{name}" if value is True else f"--{name} {value}")


def refuse_traces(chip: Chip, traces: Sequence[str]) -> None:
    """Refuse traces that cannot be written of a run on this chip, by name."""
    for trace in traces:
        if trace not in TRACES[chip.discipline]:
            raise _refusal(chip, f"--trace {trace}")


def _refusal(chip: Chip, words: str) -> InputError:
    works = WORKS_ON[chip.discipline]
    return InputError(f"{words} is not for chip {chip.name!r}, which works on {works}: leave it out")


def say_if_interrupted(done: int, planned: int, unit: str) -> None:
    if done < planned:
        raise InterruptedRunError(f"interrupted after {done} of {planned} {unit}: the results cover these")
