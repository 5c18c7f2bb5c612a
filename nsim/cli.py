"""The command line: `nsim run`, `nsim floorline`, ... Libraries are imported where a command needs them."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from nsim.errors import InterruptedRunError, NsimError

app = typer.Typer(
    help="Simulate neural networks on neuromorphic chips: time, energy, and what limits them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


NetworkName = Annotated[
    str, typer.Argument(help="Built-in name (with options: mlp:width=512,depth=4), .net or .nir file.")
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
Samples = Annotated[int | None, typer.Option(help="Number of samples.")]
Placement = Annotated[str, typer.Option(help="row-major, greedy or random:SEED.")]
WeightFormat = Annotated[
    str | None, typer.Option(help="Storage of fully connected layers: dense or sparse. [default: the chip's]")
]
Engine = Annotated[str, typer.Option(help="compiled, or simpy: the same times from the readable reference.")]
Threads = Annotated[int | None, typer.Option(help="Threads to use. [default: all]")]
Seed = Annotated[int, typer.Option(help="Seed of drawn activity.")]
Dt = Annotated[float | None, typer.Option(help="Seconds per timestep, for NIR graphs and event input.")]


@app.command()
def run(
    network: NetworkName,
    chip: ChipName,
    input: Input = None,
    activity: Activity = None,
    timesteps: Timesteps = None,
    samples: Samples = None,
    partition: Annotated[str, typer.Option(help="default, even:4, even:LAYER=4,..., or a .toml file.")] = "default",
    placement: Placement = "row-major",
    weight_format: WeightFormat = None,
    engine: Engine = "compiled",
    threads: Threads = None,
    seed: Seed = 0,
    dt: Dt = None,
    out: Annotated[Path | None, typer.Option(help="Folder for summary.json and tables.")] = None,
    critical_path: Annotated[bool, typer.Option(help="Find out what limits every timestep; some 20 % slower.")] = True,
    trace: Annotated[
        str | None, typer.Option(help="messages: every service of every message, as OUT/messages.parquet.")
    ] = None,
) -> None:
    """Run a network on a chip and print what it takes."""
    from contextlib import nullcontext

    from nsim import screen
    from nsim.chip_file import load_chip
    from nsim.formats import load_network
    from nsim.mapping import map_network
    from nsim.result import OutputFolder
    from nsim.simulation import check_run, check_trace, simulate
    from nsim.trace import ServiceTrace

    check_run(timesteps, samples, engine, dt, threads, seed)
    check_trace(trace, out)
    with OutputFolder(out) if out else nullcontext() as folder:
        target = load_chip(chip)
        loaded = load_network(network, dt_s=dt)
        mapping = map_network(loaded, target, partition, placement, weight_format)
        tracer = ServiceTrace(folder.partial / "messages.parquet", mapping) if folder and trace else None
        with screen.progress() as progress:
            result = simulate(
                mapping,
                input,
                activity=activity,
                timesteps=timesteps,
                samples=samples,
                dt_s=dt or loaded.dt_s,
                seed=seed,
                engine=engine,
                threads=threads,
                progress=progress,
                trace=tracer,
                critical_path=critical_path and tracer is None,
            )
        if tracer:
            tracer.close()
        if folder:
            folder.write(result)
    screen.show_result(result, out)
    if result.steps < result.planned_timesteps:
        raise InterruptedRunError(
            f"interrupted after {result.steps} of {result.planned_timesteps} timesteps: the results cover these"
        )


@app.command()
def floorline(
    network: NetworkName,
    chip: ChipName,
    input: Input = None,
    activity: Activity = None,
    timesteps: Timesteps = None,
    samples: Samples = None,
    partition: Annotated[
        list[str] | None, typer.Option(help="As in `nsim run`; several give several points. [default: default]")
    ] = None,
    placement: Placement = "row-major",
    weight_format: WeightFormat = None,
    engine: Engine = "compiled",
    threads: Threads = None,
    seed: Seed = 0,
    dt: Dt = None,
    plot: Annotated[Path, typer.Option(help="Where to draw it: .png, .pdf or .svg.")] = Path("floorline.png"),
) -> None:
    """Say what limits a network on a chip, in three ways; what to change; and draw the floorline plot."""
    from nsim import screen
    from nsim.bottleneck import find_bottleneck
    from nsim.chip_file import load_chip
    from nsim.formats import load_network
    from nsim.mapping import map_network
    from nsim.plots import check_figure, draw_floorline
    from nsim.simulation import check_run, simulate

    check_run(timesteps, samples, engine, dt, threads, seed)
    check_figure(plot)
    target = load_chip(chip)
    loaded = load_network(network, dt_s=dt)
    found = {}
    for name in partition or ["default"]:
        mapping = map_network(loaded, target, name, placement, weight_format)
        with screen.progress() as progress:
            same_run = partial(
                simulate,
                inputs=input,
                activity=activity,
                timesteps=timesteps,
                samples=samples,
                dt_s=dt or loaded.dt_s,
                seed=seed,
                engine=engine,
                threads=threads,
                progress=progress,
                critical_path=True,
            )
            found[name] = find_bottleneck(mapping, same_run)
    points = [each.workload(name) for name, each in found.items()]
    draw_floorline(points, plot, f"{loaded.name} on {target.title}", target.power.static_mw)
    screen.show_floorline(found, plot)


@app.command()
def reproduce(
    names: Annotated[list[str] | None, typer.Argument(help="Names or numbers of experiments. [default: all]")] = None,
    quick: Annotated[bool, typer.Option(help="Fewer and smaller points; the page stays as it is.")] = False,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for tables and figures, instead of benchmarks/ and its page.")
    ] = None,
) -> None:
    """Run the experiments of a clone of the repository, and put figures and verdicts on benchmarks/README.md."""
    from nsim.reproduce import FOLDER, chosen, experiments, prepare, repository, rewrite_page, section, write
    from nsim.simulation import check_run

    check_run(None, None, "compiled", None, None, seed)
    root = repository()
    to_run = chosen(experiments(root), names or [])
    if out:
        prepare(out)
    sections = {}
    for experiment in to_run:
        typer.echo(f"{experiment.number}. {experiment.title} ({experiment.name})")
        outcome = experiment.run(quick, seed)
        for verdict in outcome.verdicts:
            typer.echo(f"   {verdict}")
        if out or not quick:
            write(experiment.name, outcome, out or root / FOLDER)
        sections[experiment.number] = section(experiment, outcome)
    if out or not quick:
        typer.echo(f"tables and figures: {out or root / FOLDER}")
    if not out and not quick:
        typer.echo(f"page: {rewrite_page(root, sections)}")


@app.command()
def chips(
    name: Annotated[str | None, typer.Argument(help="Show every value of this chip, with its source.")] = None,
) -> None:
    """List the chips, or show one."""
    from nsim import screen
    from nsim.chip_file import load_chip

    if name is None:
        screen.list_chips()
    else:
        screen.show_chip(load_chip(name))


@app.command()
def networks() -> None:
    """List the built-in networks and their options."""
    from nsim import screen

    screen.list_networks()


def main() -> None:
    """Entry point: errors that a user can cure are one line and exit code 2."""
    try:
        app()
    except NsimError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except MemoryError:
        print(
            "error: this machine has too little memory for the run: fewer timesteps or a smaller network",
            file=sys.stderr,
        )
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit) and stop.code != InterruptedRunError.exit_code:
            raise
        print("error: interrupted before the first timestep was done: no results", file=sys.stderr)
        sys.exit(InterruptedRunError.exit_code)
