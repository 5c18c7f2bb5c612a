"""`nsim floorline`: what limits a network on a chip, in three ways."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsim.commands.options import (
    Activity,
    ChipName,
    ClockMode,
    Dt,
    Engine,
    Input,
    NetworkName,
    Placement,
    Samples,
    Seed,
    Threads,
    Timesteps,
    WeightFormat,
    refuse_options,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nsim.bottleneck import Bottleneck
    from nsim.chip import Chip
    from nsim.frame.chip import FrameChip
    from nsim.network import Network
    from nsim.stream.chip import StreamChip


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
    placement: Placement = None,
    weight_format: WeightFormat = None,
    engine: Engine = "compiled",
    threads: Threads = None,
    seed: Seed = 0,
    dt: Dt = None,
    mode: Annotated[
        list[str] | None, typer.Option(help="On chips with frames, as in `nsim run`; several give several points.")
    ] = None,
    clock_mode: ClockMode = None,
    core_options: Annotated[
        list[str] | None,
        typer.Option(help="On chips without timesteps, as in `nsim run`; several give several points."),
    ] = None,
    plot: Annotated[Path, typer.Option(help="Where to draw it: .png, .pdf or .svg.")] = Path("floorline.png"),
) -> None:
    """Say what limits a network on a chip, in three ways; what to change; and draw the floorline plot."""
    from nsim import screen
    from nsim.chip_file import load_chip
    from nsim.formats import load_network
    from nsim.frame.chip import FrameChip
    from nsim.mosaic.chip import refuse_tiles
    from nsim.plots import check_figure, draw_floorline
    from nsim.simulation import check_run
    from nsim.stream.chip import StreamChip

    check_run(timesteps, samples, engine, dt, threads, seed)
    check_figure(plot)
    target = load_chip(chip)
    refuse_tiles(target)
    refuse_options(
        target,
        {
            **{"partition": (_listed(partition), None), "placement": (placement, None)},
            **{"weight-format": (weight_format, None), "timesteps": (timesteps, None), "threads": (threads, None)},
            **{"activity": (activity, None), "samples": (samples, None), "mode": (_listed(mode), None)},
            **{"clock-mode": (clock_mode, None), "core-options": (_listed(core_options), None)},
        },
    )
    loaded = load_network(network, dt_s=dt)
    same: dict[str, Any] = {"inputs": input, "seed": seed, "engine": engine}
    dt_s = dt or loaded.dt_s
    found: Mapping[str, Bottleneck]
    if isinstance(target, FrameChip):
        choice, drawn = "mode", {"activity": activity, "frames": samples, "dt_s": dt_s}
        found = _frame_bottlenecks(loaded, target, mode or ["all-nps"], clock_mode, **same, **drawn)
    elif isinstance(target, StreamChip):
        choice = "core options"
        found = _stream_bottlenecks(loaded, target, core_options or ["none"], **same, tick_s=dt)
    else:
        choice, length = "partition", {"timesteps": timesteps, "samples": samples, "dt_s": dt_s, "threads": threads}
        mapped = {"placement": placement, "dense_layers": weight_format}
        found = _timestep_bottlenecks(
            loaded, target, partition or ["default"], mapped, **same, **length, activity=activity
        )
    points = [each.workload(name) for name, each in found.items()]
    unit = next(iter(found.values())).unit
    draw_floorline(points, plot, f"{loaded.name} on {target.title}", target.power.static_mw, unit)
    screen.show_floorline(found, plot, choice)


def _listed(given: list[str] | None) -> str | None:
    """Several values of an option as one text."""
    return None if given is None else ", ".join(given)


def _timestep_bottlenecks(
    network: Network, chip: Chip, partitions: list[str], mapped: dict, **options: Any
) -> Mapping[str, Bottleneck]:
    """By partition, on chips with timesteps."""
    from nsim import screen
    from nsim.bottleneck import find_bottleneck
    from nsim.mapping import map_network
    from nsim.simulation import simulate

    found = {}
    for name in partitions:
        mapping = map_network(network, chip, name, **mapped)
        with screen.progress() as progress:
            found[name] = find_bottleneck(mapping, partial(simulate, **options, progress=progress, critical_path=True))
    return found


def _frame_bottlenecks(
    network: Network, chip: FrameChip, modes: list[str], clock_mode: str | None, **options: Any
) -> Mapping[str, Bottleneck]:
    """By mapping mode, on chips with frames."""
    from nsim import screen
    from nsim.frame.bottleneck import find_bottleneck
    from nsim.frame.run import calibrated, simulate_frames
    from nsim.mapping import map_network

    network, options["inputs"] = calibrated(network, options["inputs"], options["frames"], options["dt_s"])
    found = {}
    for name in modes:
        mapping = map_network(network, chip, mode=name, clock_mode=clock_mode)
        with screen.progress("frames") as progress:
            run = partial(simulate_frames, **options, progress=progress, critical_path=True)
            alone = partial(simulate_frames, **options | {"frames": 1})
            found[name] = find_bottleneck(mapping, run, alone)
    return found


def _stream_bottlenecks(
    network: Network, chip: StreamChip, chosen: list[str], inputs: Path | None, **options: Any
) -> Mapping[str, Bottleneck]:
    """By options of the cores, on chips without timesteps."""
    from nsim import screen
    from nsim.events import load_events
    from nsim.mapping import map_network
    from nsim.stream.bottleneck import find_bottleneck
    from nsim.stream.options import parse_core_options
    from nsim.stream.run import DEFAULT_EVENTS, simulate_stream

    events = inputs or DEFAULT_EVENTS.format(seed=options["seed"])
    stream = load_events(events, network.by_name[network.input].shape)
    found = {}
    for text in chosen:
        cores = parse_core_options(None if text == "none" else text)
        mapping = map_network(network, chip, placement=cores.core)
        mapping = mapping.with_options(cores.decimate, cores.balanced(network))
        with screen.progress("sensor events") as progress:
            run = partial(simulate_stream, **options, progress=progress, critical_path=True)
            found[text] = find_bottleneck(mapping, stream, run)
    return found
