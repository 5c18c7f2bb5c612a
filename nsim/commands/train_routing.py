"""`nsim train routing-aware` and `nsim train routing-sweep`: recurrent networks that fit the Mosaic fabric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsim.commands.completion import words
from nsim.errors import TrainingError

if TYPE_CHECKING:
    from nsim.training.routing_aware.settings import Settings

Data = Annotated[
    str, typer.Argument(help="spoken-digits (comes along), a file of nsim data spoken-digits, or the folder of SHD.")
]
Method = Annotated[
    str,
    typer.Option(
        help="dense, l1, hop-penalty, deepr, deepr-global, deepr-profile or memory-aware.",
        autocompletion=words("dense", "l1", "hop-penalty", "deepr", "deepr-global", "deepr-profile", "memory-aware"),
    ),
]
Grid = Annotated[str, typer.Option(help="Rows x columns of neuron tiles.")]
NeuronsPerTile = Annotated[int, typer.Option(help="Neurons of a tile.")]
Inputs = Annotated[int, typer.Option(help="Inputs, of whole tiles: the 700 channels are sub-sampled.")]
Epochs = Annotated[int, typer.Option(help="Epochs.")]
Seed = Annotated[int, typer.Option(help="Of everything that is drawn.")]
Batch = Annotated[int, typer.Option(help="Samples of a minibatch.")]
LearningRate = Annotated[float, typer.Option(help="Of Adam; it decays to a tenth.")]
Decay = Annotated[str, typer.Option(help="steps: over as many steps as there are epochs, as published; or epochs.")]
Clip = Annotated[float, typer.Option(help="Largest gradient of a weight.")]
Tau = Annotated[float, typer.Option(help="Of the neurons, in ms; a bin counts as 1 ms.")]
Threshold = Annotated[float, typer.Option(help="Of the neurons: v above it is a spike.")]
RateWeight = Annotated[float, typer.Option(help="Of the regulariser weight x (target - 10 x rate)^2.")]
RateTarget = Annotated[float, typer.Option(help="Ten times the spikes per neuron and step that it pulls to.")]
Bins = Annotated[int, typer.Option(help="Time bins of a sample, over 1.4 s.")]
Shifts = Annotated[str, typer.Option(help="Phases of the sub-sampling: all, each a sample; first; or random.")]
Speakers = Annotated[
    int | None, typer.Option(help="Training speakers held out to choose the epoch. [default: one in five]")
]
Connections = Annotated[
    int | None, typer.Option(help="To keep, for l1, deepr, deepr-global. [default: as many as the profile has]")
]
Granularity = Annotated[str, typer.Option(help="What is pruned and drawn: links to a tile, or to a neuron.")]
L1 = Annotated[float | None, typer.Option(help="Soft threshold of a step, in learning rates. [default: the method's]")]
Noise = Annotated[float | None, typer.Option(help="Of a step, in learning rates. [default: the method's]")]
HopWeight = Annotated[float, typer.Option(help="Strength of hop-penalty.")]
MemoryBudget = Annotated[int | None, typer.Option(help="Budget of memory-aware, in provisioned elements.")]

OF_SETTINGS = (  # options that are settings under the same name
    *("data", "neurons_per_tile", "inputs", "epochs", "seed", "batch", "learning_rate", "decay", "clip", "threshold"),
    *("rate_weight", "rate_target", "bins", "shifts", "validation_speakers"),
)


def routing_aware(
    context: typer.Context,
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and results.")],
    method: Method = "deepr-profile",
    profile: Annotated[str | None, typer.Option(help="Links present by hop distance: p1=0.95,p3=0.1.")] = None,
    grid: Grid = "5x5",
    neurons_per_tile: NeuronsPerTile = 32,
    inputs: Inputs = 128,
    epochs: Epochs = 30,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in OUT.")] = False,
    batch: Batch = 128,
    learning_rate: LearningRate = 5e-3,
    decay: Decay = "steps",
    clip: Clip = 1e3,
    tau: Tau = 45.0,
    threshold: Threshold = 1.0,
    rate_weight: RateWeight = 1.0,
    rate_target: RateTarget = 0.5,
    bins: Bins = 100,
    shifts: Shifts = "all",
    validation_speakers: Speakers = None,
    connections: Connections = None,
    granularity: Granularity = "tile",
    l1: L1 = None,
    noise: Noise = None,
    hop_weight: HopWeight = 0.1,
    memory: MemoryBudget = None,
) -> None:
    """Train a recurrent network of spiking neurons on the tiles of Mosaic, and state whether it can be routed.

    OUT/network.nir is for nsim run --chip mosaic (with --grid and --neurons-per-tile) or loihi2, and --input
    OUT/test_inputs.npy.
    """
    from nsim.training import require_extra

    require_extra()
    from nsim import screen
    from nsim.answer import answered, say
    from nsim.training.routing_aware.loop import Epoch, train
    from nsim.training.routing_aware.report import write_report
    from nsim.training.routing_aware.settings import load_samples, profile_of

    settings = _settings(context.params, method, profile_of(profile) if profile else ())
    samples = load_samples(settings)

    with screen.progress("epochs", "training") as progress:

        def ended(row: Epoch) -> None:
            if row["epoch"] == 1:
                sizes = f"{len(samples.train):,} samples to train, {len(samples.validation):,} to validate"
                say(f"{samples.name}: {sizes}")
            say(_epoch_line(row, epochs))
            progress(int(row["epoch"]), epochs)

        trained = train(settings, samples, out, resume, ended)
    summary = write_report(trained, samples, out)
    if not answered(lambda: summary):
        say(_verdict(summary, out))


def routing_sweep(
    context: typer.Context,
    data: Data,
    out: Annotated[Path, typer.Option(help="Table to write, .csv; the runs are kept beside it, in OUT.runs.")],
    profiles: Annotated[str, typer.Option(help="Profiles, with blanks between: 'p1=0.5 p1=0.5,p3=0.1'.")] = "",
    methods: Annotated[str, typer.Option(help="Methods, with blanks between.")] = "deepr-profile",
    seeds: Annotated[int, typer.Option(help="Runs of each, with seeds from --seed on.")] = 5,
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
    grid: Grid = "5x5",
    neurons_per_tile: NeuronsPerTile = 32,
    inputs: Inputs = 128,
    epochs: Epochs = 30,
    seed: Seed = 0,
    batch: Batch = 128,
    learning_rate: LearningRate = 5e-3,
    decay: Decay = "steps",
    clip: Clip = 1e3,
    tau: Tau = 45.0,
    threshold: Threshold = 1.0,
    rate_weight: RateWeight = 1.0,
    rate_target: RateTarget = 0.5,
    bins: Bins = 100,
    shifts: Shifts = "all",
    validation_speakers: Speakers = None,
    connections: Connections = None,
    granularity: Granularity = "tile",
    l1: L1 = None,
    noise: Noise = None,
    hop_weight: HopWeight = 0.1,
    memory: MemoryBudget = None,
) -> None:
    """Train profiles x methods x seeds in parallel, and write a table with a row for each.

    dense, hop-penalty and memory-aware know no profile: one run per seed. Ctrl-C keeps finished epochs; the same
    command goes on. A run that fails is a row with its error.
    """
    from nsim.training import require_extra

    require_extra()
    from nsim import screen
    from nsim.answer import answered, say
    from nsim.training.routing_aware.sweep import Run, plan, split_list, sweep

    base = _settings(context.params, "dense", ())  # method and profile are those of each run
    runs = plan(base, split_list(methods), split_list(profiles), seeds, out)

    rows: dict[Path, dict[str, Any]] = {}
    to_do = sum(not run.finished() for run in runs)
    with screen.progress("runs", "training") as progress:

        def ended(run: Run, row: dict[str, Any]) -> None:
            result = row["error"] or f"test accuracy {row['test_accuracy']:.1%}, mappable: {row['mappable']}"
            say(f"{run.folder.name}: {result}")
            rows[run.folder] = row
            progress(len(rows), to_do)

        failed = sweep(runs, out, workers, ended)
    facts = {"runs": len(runs), "done": len(runs) - failed, "failed": failed, "out": out}
    if not answered(lambda: {**facts, "rows": [rows.get(run.folder) or run.row("") for run in runs]}):
        say(f"{len(runs) - failed} runs done, {failed} failed: {out}")
    if failed:
        raise typer.Exit(1)


def _settings(given: dict[str, Any], method: str, profile: tuple[tuple[int, float], ...]) -> Settings:
    """From the options of either command, by name."""
    from nsim.mosaic.mapping import parse_grid
    from nsim.training.routing_aware.methods import Choice, check_name
    from nsim.training.routing_aware.settings import Settings

    check_name(method)
    for name in ("l1", "noise", "hop_weight"):
        if given[name] is not None and not 0 <= given[name] < float("inf"):
            raise TrainingError(f"--{name.replace('_', '-')} is {given[name]}: give 0 or more")
    of_choice = ("connections", "granularity", "l1", "noise", "hop_weight", "memory")
    choice = Choice(method, profile, **{name: given[name] for name in of_choice})
    rows, columns = parse_grid(given["grid"])
    return Settings(
        choice=choice, rows=rows, columns=columns, tau_ms=given["tau"], **{name: given[name] for name in OF_SETTINGS}
    )


def _epoch_line(row: dict[str, float], epochs: int) -> str:
    profile = " ".join(f"{key}={row[key]:.3f}" for key in row if key[0] == "p" and row[key])
    return (
        f"epoch {row['epoch']:>3} of {epochs}  loss {row['loss']:.3f}  accuracy {row['accuracy']:.1%}, "
        f"held-out speakers {row['validation_accuracy']:.1%}  rate {row['spikes_per_neuron_and_step']:.4f}  "
        f"{profile or 'no links'}"
    )


def _verdict(summary: dict[str, Any], out: Path) -> str:
    ports = summary["violated_ports"]
    fits = "mappable" if summary["mappable"] else f"not mappable: {ports} port{'s' * (ports > 1)} too narrow"
    simulator = summary["simulator"]
    return (
        f"Epoch {summary['epoch']}, chosen on held-out speakers: accuracy {summary['test_accuracy']:.1%} on "
        f"{summary['test_set']}\n{fits}; {summary['connections']:,} connections; "
        f"{summary['provisioned_elements']:,} elements provisioned, {summary['programmed_elements']:,} programmed\n"
        f"The simulator's kernels give the same spikes in all but {simulator['differing_samples']} of "
        f"{simulator['samples']} test samples\nResults: {out}"
    )
