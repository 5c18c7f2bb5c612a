"""`nsim run`: a network on a chip, and what it takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsim.commands.completion import words
from nsim.commands.options import (
    Activity,
    ChipName,
    ClockMode,
    Dt,
    Engine,
    Grid,
    Input,
    NetworkName,
    NeuronsPerTile,
    Place,
    Placement,
    Samples,
    Seed,
    Threads,
    TileRoutes,
    Timesteps,
    WeightFormat,
    refuse_options,
    refuse_traces,
    say_if_interrupted,
)
from nsim.commands.output import Output, check_figures

if TYPE_CHECKING:
    from nsim.chip import Chip
    from nsim.frame.chip import FrameChip
    from nsim.mosaic.chip import MosaicChip
    from nsim.network import Network
    from nsim.stream.chip import StreamChip


def run(
    network: NetworkName,
    chip: ChipName,
    input: Input = None,
    activity: Activity = None,
    timesteps: Timesteps = None,
    samples: Samples = None,
    partition: Annotated[
        str,
        typer.Option(
            help="default, even:4, even:LAYER=4,..., or a .toml file.", autocompletion=words("default", "even:")
        ),
    ] = "default",
    placement: Placement = None,
    weight_format: WeightFormat = None,
    engine: Engine = "compiled",
    threads: Threads = None,
    seed: Seed = 0,
    dt: Dt = None,
    out: Annotated[Path | None, typer.Option(help="Folder for summary.json and tables.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Page of the run: .html. Tries another partition for it, which takes up to three more runs."),
    ] = None,
    figures: Annotated[
        str | None, typer.Option(help="Figures for papers, into OUT/figures: pdf, svg, png, or several, as in pdf,svg.")
    ] = None,
    critical_path: Annotated[
        bool | None,
        typer.Option(
            help="Find out what limits the time; some 20 % slower. [default: yes on chips with timesteps, no on others]"
        ),
    ] = None,
    trace: Annotated[
        str | None,
        typer.Option(
            help="Every service of every message: messages (OUT/messages.parquet), perfetto (OUT/trace.json.gz, for "
            "ui.perfetto.dev), or both, as in messages,perfetto. Each takes 80 to 200 bytes a message."
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="On chips with frames: minimal or all-nps; limits of a processor may follow, as in "
            "minimal:columns=7,rows=14,filters=8. [default: all-nps]",
            autocompletion=words("minimal", "all-nps"),
        ),
    ] = None,
    clock_mode: ClockMode = None,
    core_options: Annotated[
        str | None,
        typer.Option(help="On chips without timesteps: decimate.LAYER=4,balance.LAYER=on,core.LAYER=0,..."),
    ] = None,
    grid: Grid = None,
    neurons_per_tile: NeuronsPerTile = None,
    place: Place = "index",
    routes: TileRoutes = "published",
    shared_lines: Annotated[
        bool, typer.Option("--shared-lines", help="On chips of tiles: spikes wait for the lines of the chip file.")
    ] = False,
) -> None:
    """Run a network on a chip and print what it takes. On chips with frames every sample is a frame.

    On chips of tiles NETWORK is what nsim map takes: a matrix, a .nir graph with a recurrent layer, or random:p1=0.9.
    """
    from contextlib import nullcontext

    from nsim.chip_file import load_chip
    from nsim.formats import load_network
    from nsim.frame.chip import FrameChip
    from nsim.mosaic.chip import MosaicChip
    from nsim.report.page import check_report
    from nsim.result import OutputFolder
    from nsim.simulation import check_run
    from nsim.stream.chip import StreamChip
    from nsim.trace import parse_trace

    check_run(timesteps, samples, engine, dt, threads, seed)
    traces = parse_trace(trace, out)
    if report:
        check_report(report)
    formats = check_figures(figures, out)
    mapped = {"partition": partition, "placement": placement, "dense_layers": weight_format}
    with OutputFolder(out) if out else nullcontext() as folder:
        output = Output(folder, report, formats)
        target = load_chip(chip)
        refuse_options(
            target,
            {
                **{"partition": (partition, "default"), "placement": (placement, None)},
                **{"weight-format": (weight_format, None), "timesteps": (timesteps, None)},
                **{"threads": (threads, None), "activity": (activity, None), "samples": (samples, None)},
                **{"mode": (mode, None), "clock-mode": (clock_mode, None), "core-options": (core_options, None)},
                **{"grid": (grid, None), "neurons-per-tile": (neurons_per_tile, None), "place": (place, "index")},
                **{"routes": (routes, "published"), "shared-lines": (shared_lines, False)},
                **{"critical-path": (critical_path or None, None)},
            },
        )
        refuse_traces(target, traces)
        if isinstance(target, MosaicChip):
            tiles = {"grid": grid, "neurons_per_tile": neurons_per_tile, "place": place, "routes": routes}
            length = {"activity": activity, "timesteps": timesteps, "samples": samples, "dt_s": dt}
            line = {"inputs": input, "seed": seed, "engine": engine, "shared_lines": shared_lines}
            _run_tiles(network, target, output, tiles, **length, **line)
            return
        loaded = load_network(network, dt_s=dt)
        same: dict[str, Any] = {"inputs": input, "seed": seed, "engine": engine}
        dt_s = dt or loaded.dt_s
        if isinstance(target, FrameChip):
            drawn = {"activity": activity, "frames": samples, "dt_s": dt_s, "critical_path": bool(critical_path)}
            _run_frames(loaded, target, output, traces, mode, clock_mode, **same, **drawn)
        elif isinstance(target, StreamChip):
            more = {"tick_s": dt, "critical_path": bool(critical_path)}
            _run_stream(loaded, target, output, traces, core_options, **same, **more)
        else:
            length = {"activity": activity, "timesteps": timesteps, "samples": samples, "dt_s": dt_s}
            path = critical_path is not False and trace is None
            _run_timesteps(
                loaded, target, output, mapped, traces, **same, **length, threads=threads, critical_path=path
            )


def _run_timesteps(
    network: Network,
    chip: Chip,
    output: Output,
    mapped: dict,
    traces: tuple[str, ...],
    **options: Any,
) -> None:
    """The part of `nsim run` that is for chips with timesteps."""
    from nsim import screen
    from nsim.mapping import map_network
    from nsim.simulation import simulate
    from nsim.trace import open_traces

    mapping = map_network(network, chip, **mapped)
    tracer = open_traces(traces, output.folder.partial, mapping) if output.folder and traces else None
    with screen.progress() as progress:
        result = simulate(mapping, progress=progress, trace=tracer, **options)
    if tracer:
        tracer.close()
    what_if = None
    if output.report:
        from nsim.report.what_if import split_limiting_layer

        what_if = split_limiting_layer(result, lambda other: simulate(other, **{**options, "critical_path": False}))
    output.write(result, what_if)
    screen.show_result(result, output.path)
    say_if_interrupted(result.steps, result.planned_timesteps, "timesteps")


def _run_frames(
    network: Network,
    chip: FrameChip,
    output: Output,
    traces: tuple[str, ...],
    mode: str | None,
    clock_mode: str | None,
    **options: Any,
) -> None:
    """The part of `nsim run` that is for chips with frames."""
    from nsim import screen
    from nsim.frame.run import calibrated, simulate_frames
    from nsim.frame.screen import show_frames
    from nsim.mapping import map_network
    from nsim.trace import FILES

    network, options["inputs"] = calibrated(network, options["inputs"], options["frames"], options["dt_s"])
    mapping = map_network(network, chip, mode=mode, clock_mode=clock_mode)
    path = output.folder.partial / FILES["perfetto"] if output.folder and traces else None
    with screen.progress("frames") as progress:
        result = simulate_frames(mapping, progress=progress, trace=path, **options)
    output.write(result)
    show_frames(result, output.path)
    say_if_interrupted(result.done_frames, result.planned_frames, "frames")


def _run_stream(
    network: Network,
    chip: StreamChip,
    output: Output,
    traces: tuple[str, ...],
    core_options: str | None,
    **options: Any,
) -> None:
    """The part of `nsim run` that is for chips without timesteps."""
    from nsim import screen
    from nsim.mapping import map_network
    from nsim.stream.options import parse_core_options
    from nsim.stream.run import simulate_stream
    from nsim.stream.screen import show_stream
    from nsim.trace import FILES

    chosen = parse_core_options(core_options)
    mapping = map_network(network, chip, placement=chosen.core)
    mapping = mapping.with_options(chosen.decimate, chosen.balanced(network))
    path = output.folder.partial / FILES["perfetto"] if output.folder and traces else None
    with screen.progress("sensor events") as progress:
        result = simulate_stream(mapping, progress=progress, trace=path, **options)
    output.write(result)
    show_stream(result, output.path)


def _run_tiles(
    network: str,
    chip: MosaicChip,
    output: Output,
    tiles: dict[str, Any],
    **options: Any,
) -> None:
    """The part of `nsim run` that is for chips of tiles."""
    import numpy as np

    from nsim import screen
    from nsim.mosaic.mapping import check_options, fabric_of, map_on_tiles, parse_grid
    from nsim.mosaic.read import load_tile_network
    from nsim.mosaic.run import simulate_tiles
    from nsim.mosaic.screen import show_tiles

    seed, grid = options["seed"], tiles["grid"]
    check_options(tiles["place"], tiles["routes"], seed)
    fabric = fabric_of(chip, parse_grid(grid) if grid else None, tiles["neurons_per_tile"])
    loaded = load_tile_network(network, fabric, np.random.default_rng(seed), options["dt_s"])
    mapping = map_on_tiles(loaded.connectivity, chip, fabric, tiles["place"], tiles["routes"], seed)
    with screen.progress("ticks") as progress:
        result = simulate_tiles(
            loaded, mapping, progress=progress, **{**options, "dt_s": options["dt_s"] or loaded.whole.dt_s}
        )
    output.write(result)
    show_tiles(result, output.path)
    say_if_interrupted(result.steps, result.planned_timesteps, "ticks")
