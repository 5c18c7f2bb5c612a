"""`nsim optimize`: a search for a better partition and placement."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
from nsim.errors import InterruptedRunError


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
        typer.Option(
            help="time, energy, energy-delay or cores.", autocompletion=words("time", "energy", "energy-delay", "cores")
        ),
    ] = "time",
    cores: Annotated[int | None, typer.Option(help="Cores to take at most. [default: all of the chip]")] = None,
    budget: Annotated[int | None, typer.Option(help="Evaluations at most. [default: 200, and 2000 for evolve]")] = None,
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
    """Search for a better partition and placement of a network, and say what every step of the way was good for."""
    from nsim import screen
    from nsim.chip_file import load_chip
    from nsim.formats import load_network
    from nsim.optimize import check_partition_output, check_search, optimize, write_result
    from nsim.optimize.page import draw_trajectory, show_optimized
    from nsim.optimize.problem import check_chip
    from nsim.plots import check_figure
    from nsim.simulation import check_run

    search = "evolve" if pareto and search == "floorline" else search
    check_run(timesteps, samples, "compiled", dt, None, seed)
    if out:
        check_partition_output(out)
    if plot:
        check_figure(plot)
    target = check_chip(load_chip(chip))
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
