"""`nsim optimize`: a search for a better mapping: partitions and placements where a chip has them, else what it has."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsim.cli.completion import words
from nsim.cli.options import ChipName, Dt, Input, NetworkName, Seed, for_recordings, taking
from nsim.errors import InputError, InterruptedRunError, counted

if TYPE_CHECKING:
    from nsim.chip.chip import Chip
    from nsim.chip.events import StreamChip
    from nsim.chip.frames import FrameChip
    from nsim.optimize.history import History

OBJECTIVES = "time, energy, energy-delay or cores; on chips with frames also latency, without timesteps not cores."
DEFAULTS = {"search": "bound", "partition": "default"}


@for_recordings
@taking("activity", "timesteps", "samples", "weight_format", "precision")
def optimize(
    network: NetworkName,
    chip: ChipName,
    search: Annotated[
        str,
        typer.Option(
            help="bound (floorline of all combinations of cuts), floorline (greedy), balanced or evolve.",
            autocompletion=words("bound", "floorline", "balanced", "evolve"),
        ),
    ] = "bound",
    objective: Annotated[
        str,
        typer.Option(help=OBJECTIVES, autocompletion=words("time", "latency", "energy", "energy-delay", "cores")),
    ] = "time",
    cores: Annotated[int | None, typer.Option(help="Cores to take at most. [default: all of the chip]")] = None,
    budget: Annotated[
        int | None,
        typer.Option(help="Evaluations at most. [default: 600; 200 for floorline and balanced, 2000 for evolve]"),
    ] = None,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Look for the front of time, energy and cores; bound and evolve.")
    ] = False,
    input: Input = None,
    evaluated: Annotated[
        int | None,
        typer.Option(help="Timesteps in every evaluation. [default: all, at most 256; 2 for floorline and evolve]"),
    ] = None,
    tiles: Annotated[
        bool | None,
        typer.Option(help="Cut layers in space along several axes at once. [default: the chip file's partition.tiles]"),
    ] = None,
    partition: Annotated[str, typer.Option(help="Where to begin, as in `nsim run`.")] = "default",
    processes: Annotated[int | None, typer.Option(help="Processes to use. [default: all]")] = None,
    seed: Seed = 0,
    dt: Dt = None,
    out: Annotated[
        Path | None, typer.Option(help="Partition file to write: .toml, for `nsim run --partition`.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the moves over the floorline: .png, .pdf or .svg.")] = None,
    **options: Any,
) -> None:
    """Search for a better partition and placement of a network, and say the gain of every move.

    On chips with frames all limits of a processor are tried, on chips without timesteps all choices of layers for the
    faster cores. There --input, --seed, --dt, --objective and --pareto count; on frames --budget, --activity and
    --samples.
    """
    given = {**locals()}
    _dispatch(**(given | given.pop("options")))


def _dispatch(
    network: str,
    chip: str,
    search: str,
    objective: str,
    cores: int | None,
    budget: int | None,
    pareto: bool,
    input: Path | None,
    evaluated: int | None,
    tiles: bool | None,
    partition: str,
    processes: int | None,
    seed: int,
    dt: float | None,
    out: Path | None,
    plot: Path | None,
    activity: str | None,
    timesteps: int | None,
    samples: int | None,
    weight_format: str | None,
    precision: str | None,
) -> None:
    """Check all options, and search on this kind of chip."""
    from nsim.chip.events import StreamChip
    from nsim.chip.file import load_chip
    from nsim.chip.frames import FrameChip
    from nsim.optimize.search import RECORDED, check_partition_output
    from nsim.report.plots import check_figure
    from nsim.result.run_timesteps import check_run

    check_run(timesteps, samples, "compiled", dt, None, seed)
    if out:
        check_partition_output(out)
    if plot:
        check_figure(plot)
    loaded_chip = load_chip(chip)
    mine: dict[str, Any] = {"search": search, "cores": cores, "timesteps": timesteps, "evaluated": evaluated}
    mine |= {"tiles": tiles, "partition": partition, "weight-format": weight_format, "processes": processes}
    mine |= {"precision": precision}
    mine |= {"out": out, "plot": plot}
    common = {"objective": objective, "pareto": pareto}
    if isinstance(loaded_chip, FrameChip):
        _refuse(loaded_chip, mine)
        again = _command(network, chip, input=input, activity=activity, samples=samples, dt=dt, seed=seed or None)
        common |= {} if budget is None else {"budget": budget}
        drawn = {"inputs": input, "activity": activity, "frames": samples, "dt_s": dt, "seed": seed}
        _try_frames(network, loaded_chip, again, **common, **drawn)
    elif isinstance(loaded_chip, StreamChip):
        _refuse(loaded_chip, mine | {"activity": activity, "samples": samples, "budget": budget})
        _try_stream(network, loaded_chip, chip, input, dt, seed, **common)
    else:
        wanted = common | {"search": search, "cores": cores, "budget": budget, "tiles": tiles, "partition": partition}
        wanted |= {"dense_layers": weight_format, "processes": processes, "evaluated": evaluated}
        wanted |= {"inputs": input, "activity": activity, "timesteps": timesteps, "samples": samples}
        steps = RECORDED if timesteps is None and input is None else timesteps
        run = {"input": input, "activity": activity, "timesteps": steps, "samples": samples, "seed": seed or None}
        again = _command(network, chip, **run, dt=dt, weight_format=weight_format, precision=precision, partition=out)
        _search(network, loaded_chip, again, dt, precision, seed, out, plot, **wanted)


def _command(network: str, chip: str, **options: Any) -> str:
    """The whole command that runs a network again with these options, as it is typed."""
    given = [(f"--{name.replace('_', '-')}", str(value)) for name, value in options.items() if value is not None]
    return shlex.join(["nsim", "run", network, "--chip", chip, *(word for pair in given for word in pair)])


def _search(
    network: str,
    chip: Chip,
    again: str,
    dt: float | None,
    precision: str | None,
    seed: int,
    out: Path | None,
    plot: Path | None,
    **wanted: Any,
) -> None:
    """The part of `nsim optimize` that is for chips with timesteps."""
    from nsim.formats.network import load_network
    from nsim.mapping.cores.precision import for_chip
    from nsim.optimize.page import draw_trajectory, show_optimized
    from nsim.optimize.problem import check_chip
    from nsim.optimize.search import check_search, optimize, write_result
    from nsim.report import screen
    from nsim.report.words import command_line

    target = check_chip(chip)
    names = ("search", "objective", "cores", "budget", "processes", "pareto")
    check_search(target, *(wanted[name] for name in names))
    loaded = for_chip(load_network(network, dt_s=dt), target, precision)
    if precision == "float":
        loaded = replace(loaded, exported=False)  # what is exported is rounded wherever nothing else is asked for
    with screen.progress("evaluations", "searching") as progress:
        found = optimize(loaded, target, progress=progress, dt_s=dt or loaded.dt_s, seed=seed, **wanted)
    if out:
        write_result(found, out)
    if plot:
        draw_trajectory(found.history, plot)
    show_optimized(found, out, plot, again if out else f"{command_line(sys.argv[1:])} --out found.toml")
    _say_if_interrupted(found.history)


def _say_if_interrupted(history: History) -> None:
    if history.interrupted:
        done, most = history.evaluations, history.budget
        raise InterruptedRunError(
            f"interrupted after {done:,} of at most {counted(most, 'evaluation')}: this is the best until then"
        )


def _refuse(chip: FrameChip | StreamChip, given: dict[str, object]) -> None:
    """Options of a search where all mappings are tried."""
    for name, value in given.items():
        if value is not None and value != DEFAULTS.get(name):
            raise InputError(
                f"--{name} {value} is not for chip {chip.name!r}, on which all mappings are tried: leave it out"
            )


def _try_frames(network: str, chip: FrameChip, again: str, **options: Any) -> None:
    """The part of `nsim optimize` that is for chips with frames."""
    from nsim.formats.network import load_network
    from nsim.mapping.frames.calibrate import calibrated
    from nsim.optimize.frames import optimize_frames
    from nsim.optimize.page import show_limits
    from nsim.report import screen

    loaded, options["inputs"] = calibrated(
        load_network(network, dt_s=options["dt_s"]), chip, options["inputs"], options["frames"], options["dt_s"]
    )
    with screen.progress("mappings", "searching") as progress:
        found = optimize_frames(loaded, chip, progress=progress, **options)
    show_limits(found, f"{again} --mode {found.best.mapping.mode}")
    _say_if_interrupted(found)


def _try_stream(
    network: str, chip: StreamChip, name: str, inputs: Path | None, dt: float | None, seed: int, **options: Any
) -> None:
    """The part of `nsim optimize` that is for chips without timesteps."""
    from nsim.formats.network import load_network
    from nsim.formats.streams import load_events
    from nsim.optimize.page import show_faster_cores
    from nsim.optimize.streams import optimize_stream
    from nsim.report import screen
    from nsim.result.run_events import DEFAULT_EVENTS

    loaded = load_network(network, dt_s=dt)
    given = inputs or Path(DEFAULT_EVENTS.format(seed=seed))
    stream = load_events(given, loaded.by_name[loaded.input].shape)
    with screen.progress("mappings", "searching") as progress:
        found = optimize_stream(loaded, chip, [stream], tick_s=dt, progress=progress, **options)
    again = _command(network, name, input=given, dt=dt, core_options=found.best.core_options)
    show_faster_cores(found, len(stream), again)
    _say_if_interrupted(found)
