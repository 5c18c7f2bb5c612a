"""The disciplines: the ways in which chips pass time, each one object in one dictionary, and the options of a run.

Whatever differs between disciplines is asked here: which chip model reads the file, what maps and what runs a network,
which options either takes, what a span of time is called. `map_network`, `simulate`, the command line, sweeps and
documents have no list of their own. A discipline names its parts in higher rooms by "module:name"; they are imported
when they are first asked for, which keeps the dataflow's direction and the start-up short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nsim.chip.chip import Chip
    from nsim.errors import NsimError

Part = str | Callable[..., Any]  # a function or class, or "module:name" of one


@dataclass(frozen=True)
class Option:
    """An option of `map_network` or `simulate`; left out it is None, and the chip's or the function's default holds.

    kind      type of its value on the command line
    help      its help text; which disciplines take it is put before
    choices   words that a shell completes
    axis      key of a sweep's block that lists values of it; none: sweeps do not vary it
    flags     on the command line, if they are not made of the name
    """

    name: str
    help: str
    kind: Any = str
    choices: tuple[str, ...] = ()
    axis: str | None = None
    flags: str | None = None


def _by_name(*options: Option) -> dict[str, Option]:
    return {option.name: option for option in options}


MAP_OPTIONS = _by_name(
    Option(
        "partition",
        "Partition: default, even:4, even:LAYER=4,..., or a .toml file.",
        choices=("default", "even:"),
        axis="partitions",
    ),
    Option(
        "placement",
        "Placement: row-major, greedy, random:SEED, or chips (little traffic between chips of a board). "
        "[default: the partition file's, or row-major]",
        choices=("row-major", "greedy", "random:", "chips"),
        axis="placements",
    ),
    Option(
        "weight_format",
        "Storage of fully connected layers: dense or sparse. [default: the chip's]",
        choices=("dense", "sparse"),
        axis="weight_formats",
    ),
    Option(
        "precision",
        "Arithmetic: fixed (integers) or float. [default: fixed for NIR graphs where the chip has nothing else]",
        choices=("fixed", "float"),
        axis="precisions",
    ),
    Option(
        "mode",
        "Mapping mode: minimal, all-nps or hw-pr; limits of a processor may follow, as in "
        "minimal:columns=7,rows=14,filters=8. [default: all-nps]",
        choices=("minimal", "all-nps", "hw-pr"),
        axis="modes",
    ),
    Option(
        "clock_mode",
        "Clock mode: performance, economy or low-power. [default: the chip's]",
        choices=("performance", "economy", "low-power"),
        axis="clock_modes",
    ),
    Option(
        "calibrate",
        "Samples that a network of real numbers is quantised on, or that scale its rates: .npy, .npz or events. "
        "[default: the input]",
    ),
    Option(
        "rate_steps",
        "Timesteps per frame for a network of real numbers, whose activations become rates of spikes. [default: 100]",
        int,
    ),
    Option("core_options", "Options of cores: decimate.LAYER=4,balance.LAYER=on,core.LAYER=0,...", axis="core_options"),
    Option("grid", "Rows x columns of neuron tiles, as in 5x5. [default: the chip's]", axis="grids"),
    Option("neurons_per_tile", "Neurons of a tile. [default: the chip's]", int, axis="neurons_per_tile"),
    Option(
        "place",
        "Tile of each neuron: index (neuron q in tile q // n) or annealed. [default: index]",
        choices=("index", "annealed"),
        axis="places",
    ),
    Option(
        "routes",
        "Routes: published, balanced (least memory) or fitting (least beyond capacity). [default: published]",
        choices=("published", "balanced", "fitting"),
        axis="routes",
    ),
)
RUN_OPTIONS = _by_name(
    Option("activity", "Message density instead of input: 0.1, LAYER=0.1,..., or a .toml file."),
    Option("timesteps", "Timesteps per sample.", int),
    Option(
        "drain",
        "Silence after each input until the pipeline of layers is empty. [default: yes, unless --timesteps is given]",
        bool,
    ),
    Option(
        "warm_up",
        "Timesteps of each sample that the means leave out. [default: until the pipeline is full]",
        int,
    ),
    Option(
        "record",
        "States to keep for OUT/record.npz: LAYER:v,u,s (voltage, current, spikes), several with several --record.",
        list[str],
    ),
    Option("labels", "Class of each sample, for the accuracy: .npy, .csv, or the .npz or SHD .h5 of the input."),
    Option("samples", "Number of samples, or of frames on chips that work on frames.", int),
    Option("seconds", "Seconds to watch the sensor. [default: until the last event]", float),
    Option("threads", "Threads to use. [default: all]", int),
    Option(
        "critical_path",
        "Find out what limits the time; some 20 % slower. [default: yes on chips with timesteps, no on others]",
        bool,
    ),
    Option(
        "ranges",
        "Say what the ranges of the chip's constants do to time and energy, by 64 draws of them. [default: yes]",
        bool,
        flags="--range/--no-range",
    ),
    Option(
        "runtime",
        "Runtime on the management processors: lava or bare. [default: the chip's]",
        choices=("lava", "bare"),
        axis="runtimes",
    ),
    Option(
        "embedded_us",
        "Microseconds of your own code on the management processors, each timestep. [default: 0]",
        float,
    ),
    Option("per_sample_us", "The same once per sample, for example to reset the network. [default: 0]", float),
    Option(
        "sync",
        "What a timestep ends with: barrier, or local to simulate it also without one, cores waiting for those they "
        "exchange messages with: says what the barrier costs. [default: barrier]",
        choices=("barrier", "local"),
    ),
    Option(
        "cluster",
        "Workers to spread the timesteps over: address of a Dask scheduler, tcp://host:8786, processes, local:4, or "
        "jobs of SLURM, slurm:4. [default: this process]",
    ),
    Option("shared_lines", "Lines of the chip file: spikes wait for them.", bool),
)


@dataclass(frozen=True, eq=False)
class Discipline:
    """A way of passing time. There is one object of each.

    name         in chip files
    chips        what chips of this discipline are called
    span, works_on   what one span of time is, and what the chip works on
    counted      what the progress of a run counts
    map_options, run_options   names in MAP_OPTIONS and RUN_OPTIONS that `map` and `run` take
    choice, usual   the mapping option whose values `nsim floorline` compares, and what stands for none given; None: it
                    says nothing of this discipline
    costs        key paths of the chip file's times, by the state that they make; what is left of a run has no cost
    traces       kinds of traces that a run can write
    path_by_default   `nsim run` finds the critical path unless it is told not to
    chip         model of the chip file
    load(name, dt_s)                     what `map` takes, from a name on the command line
    map(network, chip, **map_options)    the mapping; it has .chip and .network
    run(mapping, inputs, **options)      the result; options beyond RUN_OPTIONS: dt_s, seed, engine, progress,
                                         critical_path, ranges, trace
    show(result, folder, command, what_if)   prints the result
    columns              what its results tell: tables and keys of the summary (nsim.result.columns)
    limits(mapping, run)                 the three witnesses of a bottleneck; run(mapping, **other options)
    what_if(result, run)                 another mapping tried for the report
    spans(mapping, inputs, options)      what `nsim step` steps through
    """

    name: str
    chips: str
    span: str
    works_on: str
    counted: str
    map_options: frozenset[str]
    run_options: frozenset[str]
    choice: str | None
    usual: str
    costs: Mapping[str, tuple[str, ...]]
    traces: tuple[str, ...]
    chip: Part
    load: Part
    map: Part
    run: Part
    show: Part
    columns: Part
    limits: Part | None = None
    what_if: Part | None = None
    spans: Part | None = None
    path_by_default: bool = False

    def part(self, name: str) -> Any:
        """One of its functions or classes, imported if need be."""
        found = getattr(self, name)
        if not isinstance(found, str):
            return found
        module, _, own = found.partition(":")
        return getattr(import_module(module), own)

    @property
    def options(self) -> frozenset[str]:
        return self.map_options | self.run_options

    def mapping_options(self, options: Mapping[str, Any], inputs: Any = None) -> dict[str, Any]:
        """Of all options those of `map`; a network of real numbers is calibrated on the input unless told otherwise."""
        found = {name: options.get(name) for name in self.map_options}
        if "calibrate" in found and found["calibrate"] is None:
            found["calibrate"] = inputs
        return found

    def running_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Of all options those of `run`."""
        return {name: options.get(name) for name in self.run_options}


def _each(first: str, names: tuple[str, ...], last: str) -> tuple[str, ...]:
    return tuple(f"{first}.{name}.{last}" for name in names)


MESH = ("core_to_router", "router_to_core", "east_west", "north_south")
BOARD = (*MESH, "chip_to_chip")
STAR = ("sensor", "core", "output")

BARRIER = Discipline(
    name="barrier",
    chips="chips with timesteps",
    span="timestep",
    works_on="timesteps",
    counted="timesteps",
    map_options=frozenset({"partition", "placement", "weight_format", "precision"}),
    run_options=frozenset(
        {
            "activity",
            "timesteps",
            "samples",
            "threads",
            "drain",
            "warm_up",
            "record",
            "labels",
            "critical_path",
            "ranges",
            "runtime",
            "embedded_us",
            "per_sample_us",
            "sync",
            "cluster",
        }
    ),
    choice="partition",
    usual="default",
    costs={
        "memory": _each(
            "actions", ("message_in", "synop_dense", "synop_sparse", "synop_conv", "word_read"), "latency_ps"
        ),
        "compute": _each("actions", ("neuron_update", "microcode_update", "spike"), "latency_ps"),
        "traffic": (
            *("actions.message_out.latency_ps", "host.message_ps"),
            *_each("links", BOARD, "bandwidth_gbps"),
            *_each("links", BOARD, "wire_ps"),
        ),
        "barrier": ("barrier.latency_ps", "board_barrier.hop_ps"),
        "management": ("management.lava.latency_ps", "management.bare.latency_ps"),
    },
    traces=("messages", "perfetto"),
    chip="nsim.chip.timesteps:BarrierChip",
    load="nsim.formats.network:load_network",
    map="nsim.mapping.cores.mapping:map_cores",
    run="nsim.result.run_timesteps:simulate_timesteps",
    show="nsim.report.screen.run:show_run",
    columns="nsim.result.columns.timesteps:DECLARED",
    limits="nsim.result.limits.timesteps_bottleneck:find_bottleneck",
    what_if="nsim.report.what_if.timesteps:split_limiting_layer",
    spans="nsim.report.stepping.timesteps:spans",
    path_by_default=True,
)
FRAME = Discipline(
    name="frame",
    chips="chips with frames",
    span="frame",
    works_on="frames",
    counted="frames",
    map_options=frozenset({"mode", "clock_mode", "calibrate", "samples", "dt_s"}),
    run_options=frozenset({"activity", "samples", "labels", "critical_path", "ranges"}),
    choice="mode",
    usual="all-nps",
    costs={
        "memory": _each(
            "actions",
            ("frame", "filter", "value", "value_filter", "step", "fully_connected_value", "external_byte"),
            "clocks",
        ),
        "compute": _each("actions", ("neuron_update", "output_input", "spike"), "clocks"),
        "traffic": (
            *_each("actions", ("message_out", "message_in"), "clocks"),
            "host.message_clocks",
            *_each("links", MESH, "bits_per_clock"),
            *_each("links", MESH, "wire_clocks"),
        ),
        "programming": ("program.clocks_per_byte", "program.clocks_per_processor"),
    },
    traces=("perfetto",),
    chip="nsim.chip.frames:FrameChip",
    load="nsim.formats.network:load_network",
    map="nsim.mapping.frames.calibrate:map_calibrated",
    run="nsim.result.run_frames:simulate_frames",
    show="nsim.report.screen.run:show_run",
    columns="nsim.result.columns.frames:DECLARED",
    what_if="nsim.report.what_if.frames:other_modes",
    limits="nsim.result.limits.frames_bottleneck:find_bottleneck",
    spans="nsim.report.stepping.frames:spans",
)
STREAM = Discipline(
    name="stream",
    chips="chips without timesteps",
    span="stream",
    works_on="events as they come (give them by --input)",
    counted="sensor events",
    map_options=frozenset({"core_options", "calibrate", "rate_steps", "dt_s"}),
    run_options=frozenset({"seconds", "critical_path", "ranges"}),
    choice="core_options",
    usual="none",
    costs={  # what is left is the input, which is no cost
        "memory": _each("actions", ("event", "event_parallel", "synop", "synop_parallel"), "latency_ps"),
        "compute": ("actions.leak_update.latency_ps",),
        "traffic": (
            "actions.message_out.latency_ps",
            *_each("links", STAR, "bandwidth_gbps"),
            *_each("links", STAR, "wire_ps"),
        ),
    },
    traces=("perfetto",),
    chip="nsim.chip.events:StreamChip",
    load="nsim.formats.network:load_network",
    map="nsim.mapping.events.rates:map_events",
    run="nsim.result.run_events:simulate_stream",
    show="nsim.report.screen.run:show_run",
    columns="nsim.result.columns.events:DECLARED",
    what_if="nsim.report.what_if.events:relieve_core",
    limits="nsim.result.limits.events_bottleneck:find_bottleneck",
    spans="nsim.report.stepping.events:spans",
)
TICK = Discipline(
    name="tick",
    chips="chips of tiles",
    span="tick",
    works_on="ticks of real time, on neuron tiles",
    counted="ticks",
    map_options=frozenset({"grid", "neurons_per_tile", "place", "routes", "seed"}),
    run_options=frozenset({"activity", "timesteps", "samples", "shared_lines", "ranges"}),
    choice=None,
    usual="",
    costs={},
    traces=(),
    chip="nsim.chip.tiles:MosaicChip",
    load="nsim.mapping.tiles.read:load_for_tiles",
    map="nsim.mapping.tiles.mapping:map_tiles",
    run="nsim.result.run_ticks:simulate_tiles",
    show="nsim.report.screen.run:show_run",
    columns="nsim.result.columns.ticks:DECLARED",
    spans="nsim.report.stepping.ticks:spans",
)
DISCIPLINES: dict[str, Discipline] = {own.name: own for own in (BARRIER, FRAME, STREAM, TICK)}


def discipline_of(chip: Chip) -> Discipline:
    return DISCIPLINES[chip.discipline]


def takers(name: str) -> list[Discipline]:
    """The disciplines that take an option."""
    return [own for own in DISCIPLINES.values() if name in own.options]


def refuse_traces(chip: Chip, traces: Iterable[str], error: type[NsimError]) -> None:
    """Refuse traces that cannot be written of a run on this chip."""
    own = discipline_of(chip)
    for trace in traces:
        if trace not in own.traces:
            raise error(f"trace {trace!r} is not for chip {chip.name!r}, which works on {own.works_on}: leave it out")


def refuse_options(
    chip: Chip, given: Mapping[str, object], error: type[NsimError], known: Iterable[str] | None = None
) -> dict[str, Any]:
    """The options that are given (not None), if all of them are for this chip; else an error that names one.

    known    names that are; by default all of the chip's discipline
    """
    own = discipline_of(chip)
    found = {name: value for name, value in given.items() if value is not None}
    for name, value in found.items():
        if name not in (own.options if known is None else known):
            shown = ", ".join(map(repr, value)) if isinstance(value, list) else repr(value)
            words = name.replace("_", " ")
            said = words if value is True or len(shown) > 60 else f"{words} {shown}"
            raise error(f"{said} is not for chip {chip.name!r}, which works on {own.works_on}: leave it out")
    return found
