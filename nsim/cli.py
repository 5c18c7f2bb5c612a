"""The command line: `nsim run`, `nsim floorline`, ... Libraries are imported where a command needs them."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsim.errors import InputError, InterruptedRunError, NsimError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nsim.bottleneck import Bottleneck
    from nsim.chip import Chip
    from nsim.frame.chip import FrameChip
    from nsim.mosaic.chip import MosaicChip
    from nsim.network import Network
    from nsim.result import OutputFolder
    from nsim.stream.chip import StreamChip

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


@app.command()
def run(
    network: NetworkName,
    chip: ChipName,
    input: Input = None,
    activity: Activity = None,
    timesteps: Timesteps = None,
    samples: Samples = None,
    partition: Annotated[str, typer.Option(help="default, even:4, even:LAYER=4,..., or a .toml file.")] = "default",
    placement: Placement = None,
    weight_format: WeightFormat = None,
    engine: Engine = "compiled",
    threads: Threads = None,
    seed: Seed = 0,
    dt: Dt = None,
    out: Annotated[Path | None, typer.Option(help="Folder for summary.json and tables.")] = None,
    critical_path: Annotated[
        bool | None,
        typer.Option(help="Find out what limits every timestep; some 20 % slower. [default: yes, but not for frames]"),
    ] = None,
    trace: Annotated[
        str | None, typer.Option(help="messages: every service of every message, as OUT/messages.parquet.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="On chips with frames: minimal or all-nps. [default: all-nps]")
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
    from nsim.result import OutputFolder
    from nsim.simulation import check_run, check_trace
    from nsim.stream.chip import StreamChip

    check_run(timesteps, samples, engine, dt, threads, seed)
    check_trace(trace, out)
    mapped = {"partition": partition, "placement": placement, "dense_layers": weight_format}
    with OutputFolder(out) if out else nullcontext() as folder:
        target = load_chip(chip)
        _refuse_options(
            target,
            {
                **{"partition": (partition, "default"), "placement": (placement, None)},
                **{"weight-format": (weight_format, None), "timesteps": (timesteps, None), "trace": (trace, None)},
                **{"threads": (threads, None), "activity": (activity, None), "samples": (samples, None)},
                **{"mode": (mode, None), "clock-mode": (clock_mode, None), "core-options": (core_options, None)},
                **{"grid": (grid, None), "neurons-per-tile": (neurons_per_tile, None), "place": (place, "index")},
                **{"routes": (routes, "published"), "shared-lines": (shared_lines, False)},
            },
        )
        if isinstance(target, MosaicChip):
            tiles = {"grid": grid, "neurons_per_tile": neurons_per_tile, "place": place, "routes": routes}
            length = {"activity": activity, "timesteps": timesteps, "samples": samples, "dt_s": dt}
            line = {"inputs": input, "seed": seed, "engine": engine, "shared_lines": shared_lines}
            _run_tiles(network, target, folder, tiles, **length, **line)
            return
        loaded = load_network(network, dt_s=dt)
        same: dict[str, Any] = {"inputs": input, "seed": seed, "engine": engine}
        dt_s = dt or loaded.dt_s
        if isinstance(target, FrameChip):
            drawn = {"activity": activity, "frames": samples, "dt_s": dt_s, "critical_path": bool(critical_path)}
            _run_frames(loaded, target, folder, mode, clock_mode, **same, **drawn)
        elif isinstance(target, StreamChip):
            _run_stream(loaded, target, folder, core_options, **same, tick_s=dt)
        else:
            length = {"activity": activity, "timesteps": timesteps, "samples": samples, "dt_s": dt_s}
            path = critical_path is not False and trace is None
            _run_timesteps(loaded, target, folder, mapped, trace, **same, **length, threads=threads, critical_path=path)


def _run_timesteps(
    network: Network, chip: Chip, folder: OutputFolder | None, mapped: dict, trace: str | None, **options: Any
) -> None:
    """The part of `nsim run` that is for chips with timesteps."""
    from nsim import screen
    from nsim.mapping import map_network
    from nsim.simulation import simulate
    from nsim.trace import ServiceTrace

    mapping = map_network(network, chip, **mapped)
    tracer = ServiceTrace(folder.partial / "messages.parquet", mapping) if folder and trace else None
    with screen.progress() as progress:
        result = simulate(mapping, progress=progress, trace=tracer, **options)
    if tracer:
        tracer.close()
    if folder:
        folder.write(result)
    screen.show_result(result, folder.path if folder else None)
    _say_if_interrupted(result.steps, result.planned_timesteps, "timesteps")


def _run_frames(
    network: Network,
    chip: FrameChip,
    folder: OutputFolder | None,
    mode: str | None,
    clock_mode: str | None,
    **options: Any,
) -> None:
    """The part of `nsim run` that is for chips with frames."""
    from nsim import screen
    from nsim.frame.run import calibrated, simulate_frames
    from nsim.frame.screen import show_frames
    from nsim.mapping import map_network

    network, options["inputs"] = calibrated(network, options["inputs"], options["frames"], options["dt_s"])
    mapping = map_network(network, chip, mode=mode, clock_mode=clock_mode)
    with screen.progress("frames") as progress:
        result = simulate_frames(mapping, progress=progress, **options)
    if folder:
        folder.write(result)
    show_frames(result, folder.path if folder else None)
    _say_if_interrupted(result.done_frames, result.planned_frames, "frames")


def _run_stream(
    network: Network, chip: StreamChip, folder: OutputFolder | None, core_options: str | None, **options: Any
) -> None:
    """The part of `nsim run` that is for chips without timesteps."""
    from nsim import screen
    from nsim.mapping import map_network
    from nsim.stream.options import parse_core_options
    from nsim.stream.run import simulate_stream
    from nsim.stream.screen import show_stream

    chosen = parse_core_options(core_options)
    mapping = map_network(network, chip, placement=chosen.core)
    mapping = mapping.with_options(chosen.decimate, chosen.balanced(network))
    with screen.progress("sensor events") as progress:
        result = simulate_stream(mapping, progress=progress, **options)
    if folder:
        folder.write(result)
    show_stream(result, folder.path if folder else None)


def _run_tiles(
    network: str, chip: MosaicChip, folder: OutputFolder | None, tiles: dict[str, Any], **options: Any
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
    if folder:
        folder.write(result)
    show_tiles(result, folder.path if folder else None)
    _say_if_interrupted(result.steps, result.planned_timesteps, "ticks")


# What a chip works on, and the options of `nsim run` that only some chips know, by discipline
WORKS_ON = {
    "barrier": "timesteps",
    "frame": "frames",
    "stream": "events as they come (give them by --input)",
    "tick": "ticks of real time, on neuron tiles",
}
OPTIONS = {
    "barrier": {"partition", "placement", "weight-format", "activity", "timesteps", "samples", "threads", "trace"},
    "frame": {"activity", "samples", "mode", "clock-mode"},
    "stream": {"core-options"},
    "tick": {"activity", "timesteps", "samples", "grid", "neurons-per-tile", "place", "routes", "shared-lines"},
}


def _refuse_options(chip: Chip, given: dict[str, tuple[object, object]]) -> None:
    """Refuse options that make no sense on a chip: by name, what was given and what stands there if it is left out."""
    for name, (value, default) in given.items():
        if value != default and name not in OPTIONS[chip.discipline]:
            works = WORKS_ON[chip.discipline]
            raise InputError(f"--{name} {value} is not for chip {chip.name!r}, which works on {works}: leave it out")


def _say_if_interrupted(done: int, planned: int, unit: str) -> None:
    if done < planned:
        raise InterruptedRunError(f"interrupted after {done} of {planned} {unit}: the results cover these")


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
    _refuse_options(
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


@app.command()
def optimize(
    network: NetworkName,
    chip: ChipName,
    search: Annotated[str, typer.Option(help="floorline (greedy), balanced (closed form) or evolve.")] = "floorline",
    objective: Annotated[str, typer.Option(help="time, energy, energy-delay or cores.")] = "time",
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
    with screen.progress("evaluations") as progress:
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


@app.command("map")
def map_(
    network: Annotated[
        str,
        typer.Argument(
            help="Matrix [source, target]: .npy, .npz (CSR); .nir with a recurrent layer; random:p1=0.9,p3=0.1"
        ),
    ],
    chip: ChipName,
    grid: Grid = None,
    neurons_per_tile: NeuronsPerTile = None,
    place: Place = "index",
    routes: TileRoutes = "published",
    seed: Annotated[int, typer.Option(help="Seed of a random network, and of annealing and balancing.")] = 0,
    dt: Dt = None,
    explain: Annotated[bool, typer.Option("--explain", help="Which tile and port decide the sizes.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the grid: .png, .pdf or .svg.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for summary.json and tables.")] = None,
) -> None:
    """Map a recurrent network on neuron tiles. Exit code 0: it fits; 1: some port is too narrow; 2: wrong input."""
    from contextlib import nullcontext

    import numpy as np

    from nsim.chip_file import load_chip
    from nsim.mosaic import page
    from nsim.mosaic.mapping import check_options, fabric_of, map_on_tiles, mosaic, parse_grid
    from nsim.mosaic.picture import draw_grid
    from nsim.mosaic.read import load_connectivity
    from nsim.plots import check_figure
    from nsim.result import OutputFolder

    check_options(place, routes, seed)
    if plot:
        check_figure(plot)
    with OutputFolder(out) if out else nullcontext() as folder:
        target = mosaic(load_chip(chip))
        fabric = fabric_of(target, parse_grid(grid) if grid else None, neurons_per_tile)
        loaded = load_connectivity(network, fabric, np.random.default_rng(seed), dt)
        mapping = map_on_tiles(loaded, target, fabric, place, routes, seed)
        if plot:
            draw_grid(mapping, plot)
        if folder:
            folder.write(page.MapFiles(mapping))
    page.show_map(mapping, explain, plot, out)
    if not mapping.mappable:
        raise typer.Exit(1)


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
        print("error: interrupted before the first timestep or frame was done: no results", file=sys.stderr)
        sys.exit(InterruptedRunError.exit_code)
