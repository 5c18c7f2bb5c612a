"""The command line: `nsim run`, `nsim chips`, `nsim networks`. Libraries are imported where a command needs them."""

from __future__ import annotations

import sys
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


@app.command()
def run(
    network: Annotated[
        str, typer.Argument(help="Built-in name (with options: mlp:width=512,depth=4), .net or .nir file.")
    ],
    chip: Annotated[str, typer.Option(help="Chip name, or path of a chip file.")],
    input: Annotated[Path | None, typer.Option(help="Frames or events: .npy, .npz, or SHD-format .h5.")] = None,
    activity: Annotated[
        str | None, typer.Option(help="Message density instead of input: 0.1, LAYER=0.1,..., or a .toml file.")
    ] = None,
    timesteps: Annotated[int | None, typer.Option(help="Timesteps per sample.")] = None,
    samples: Annotated[int | None, typer.Option(help="Number of samples.")] = None,
    partition: Annotated[str, typer.Option(help="default, even:4, even:LAYER=4,..., or a .toml file.")] = "default",
    placement: Annotated[str, typer.Option(help="row-major or greedy.")] = "row-major",
    weight_format: Annotated[
        str | None, typer.Option(help="Storage of fully connected layers: dense or sparse. [default: the chip's]")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="compiled, or simpy: the same times from the readable reference.")
    ] = "compiled",
    threads: Annotated[int | None, typer.Option(help="Threads to use. [default: all]")] = None,
    seed: Annotated[int, typer.Option(help="Seed of drawn activity.")] = 0,
    dt: Annotated[float | None, typer.Option(help="Seconds per timestep, for NIR graphs and event input.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for summary.json and tables.")] = None,
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
