"""`nsim optimize`: a search for a better mapping: partitions and placements where a chip has them, else what it has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsim.commands.completion import words
from nsim.commands.options import (
    Activity,
    ChipName,
    Dt,
    Input,
    NetworkName,
    Samples,
    Seed,
    Timesteps,
    WeightFormat,
)
from nsim.errors import InputError, InterruptedRunError

if TYPE_CHECKING:
    from nsim.frame.chip import FrameChip
    from nsim.stream.chip import StreamChip

OBJECTIVES = "time, energy, energy-delay or cores; on chips with frames also latency."


def optimize(
    network: NetworkName,
    chip: ChipName,
    search: Annotated[
        str,
        typer.Option(
            help="floorline (greedy), balanced (closed form) or evolve.",
            autocompletion=words("floorline", "balanced", "evolve"),
        ),
    ] = "floorline",
    objective: Annotated[
        str,
        typer.Option(help=OBJECTIVES, autocompletion=words("time", "latency", "energy", "energy-delay", "cores")),
    ] = "time",
    cores: Annotated[int | None, typer.Option(help="Cores to take at most. [default: all of the chip]")] = None,
    budget: Annotated[int | None, typer.Option(help="Evaluations at most. [default: 200; 2000 for evolve]")] = None,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Evolve and show the front of time, energy and cores.")
    ] = False,
    input: Input = None,
    activity: Activity = None,
    timesteps: Timesteps = None,
    samples: Samples = None,
    evaluated: Annotated[int, typer.Option(help="Timesteps, of those, that every evaluation simulates.")] = 2,
    partition: Annotated[str, typer.Option(help="Where to begin, as in `nsim run`.")] = "default",
    weight_format: WeightFormat = None,
    processes: Annotated[int | None, typer.Option(help="Processes to use. [default: all]")] = None,
    seed: Seed = 0,
    dt: Dt = None,
    out: Annotated[
        Path | None, typer.Option(help="Partition file to write: .toml, for `nsim run --partition`.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the way over the floorline: .png, .pdf or .svg.")] = None,
) -> None:
    """Search for a better partition and placement of a network, and say what every step of the way was good for.

    On chips with frames all limits of a processor are tried, on chips without timesteps all choices of layers for the
    faster cores. There --input, --seed and --dt count, and on frames --objective, --budget, --activity and --samples.
    """
    from nsim import screen
    from nsim.chip_file import load_chip
    from nsim.formats import load_network
    from nsim.frame.chip import FrameChip
    from nsim.optimize import check_partition_output, check_search, optimize, write_result
    from nsim.optimize.page import draw_trajectory, show_optimized
    from nsim.optimize.problem import check_chip
    from nsim.plots import check_figure
    from nsim.simulation import check_run
    from nsim.stream.chip import StreamChip

    search = "evolve" if pareto and search == "floorline" else search
    check_run(timesteps, samples, "compiled", dt, None, seed)
    if out:
        check_partition_output(out)
    if plot:
        check_figure(plot)
    loaded_chip = load_chip(chip)
    if isinstance(loaded_chip, FrameChip | StreamChip):
        mine: dict[str, tuple[object, object]] = {
            **{"search": (search, "floorline"), "cores": (cores, None)},
            **{"timesteps": (timesteps, None), "evaluated": (evaluated, 2), "partition": (partition, "default")},
            **{"weight-format": (weight_format, None), "processes": (processes, None), "out": (out, None)},
            **{"plot": (plot, None)},
        }
        if isinstance(loaded_chip, FrameChip):
            _refuse(loaded_chip, mine)
            drawn: dict[str, Any] = {"inputs": input, "activity": activity, "frames": samples, "dt_s": dt}
            drawn |= {} if budget is None else {"budget": budget}
            _try_frames(network, loaded_chip, objective=objective, seed=seed, **drawn)
        else:
            mine |= {"objective": (objective, "time"), "activity": (activity, None), "samples": (samples, None)}
            mine |= {"budget": (budget, None)}
            _refuse(loaded_chip, mine)
            _try_stream(network, loaded_chip, input, dt, seed)
        return
    target = check_chip(loaded_chip)
    check_search(target, search, objective, cores, budget, processes, pareto)
    loaded = load_network(network, dt_s=dt)
    wanted: dict[str, Any] = {"search": search, "objective": objective, "cores": cores, "budget": budget}
    wanted |= {"pareto": pareto, "partition": partition, "dense_layers": weight_format, "processes": processes}
    measured: dict[str, Any] = {"inputs": input, "activity": activity, "timesteps": timesteps, "samples": samples}
    measured |= {"evaluated": evaluated, "dt_s": dt or loaded.dt_s, "seed": seed}
    with screen.progress("evaluations", "searching") as progress:
        found = optimize(loaded, target, progress=progress, **wanted, **measured)
    if out:
        write_result(found, out)
    if plot:
        draw_trajectory(found.history, plot)
    show_optimized(found, out, plot)
    if found.history.interrupted:
        done, most = found.history.evaluations, found.history.budget
        raise InterruptedRunError(
            f"interrupted after {done} of at most {most} evaluations: this is the best until then"
        )


def _refuse(chip: FrameChip | StreamChip, given: dict[str, tuple[object, object]]) -> None:
    for name, (value, default) in given.items():
        if value != default:
            raise InputError(
                f"--{name} {value} is not for chip {chip.name!r}, on which all mappings are tried: leave it out"
            )


def _try_frames(network: str, chip: FrameChip, **options: Any) -> None:
    """The part of `nsim optimize` that is for chips with frames."""
    from nsim import screen
    from nsim.formats import load_network
    from nsim.frame.run import calibrated
    from nsim.optimize.frames import optimize_frames
    from nsim.optimize.page import show_limits

    loaded, options["inputs"] = calibrated(
        load_network(network, dt_s=options["dt_s"]), options["inputs"], options["frames"], options["dt_s"]
    )
    with screen.progress("mappings", "searching") as progress:
        found = optimize_frames(loaded, chip, progress=progress, **options)
    show_limits(found)
    if found.interrupted:
        raise InterruptedRunError(f"interrupted after {len(found.tried)} mappings: this is the best until then")


def _try_stream(network: str, chip: StreamChip, inputs: Path | None, dt: float | None, seed: int) -> None:
    """The part of `nsim optimize` that is for chips without timesteps."""
    from nsim import screen
    from nsim.events import load_events
    from nsim.formats import load_network
    from nsim.optimize.page import show_faster_cores
    from nsim.optimize.streams import optimize_stream
    from nsim.stream.run import DEFAULT_EVENTS

    loaded = load_network(network, dt_s=dt)
    stream = load_events(inputs or DEFAULT_EVENTS.format(seed=seed), loaded.by_name[loaded.input].shape)
    with screen.progress("mappings", "searching") as progress:
        found = optimize_stream(loaded, chip, [stream], tick_s=dt, progress=progress)
    show_faster_cores(found, len(stream))
    if found.interrupted:
        raise InterruptedRunError(f"interrupted after {len(found.tried)} mappings: this is the best until then")
