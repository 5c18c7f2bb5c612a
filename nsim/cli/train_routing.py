"""`nsim train routing-aware` and `nsim train routing-sweep`: recurrent networks that fit the Mosaic fabric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsim.cli.completion import words
from nsim.cli.train_options import fields_of, typed, with_options
from nsim.errors import counted
from nsim.training.routing.options import METHODS, PUBLISHED, Choice, Options

if TYPE_CHECKING:
    from nsim.training.routing.settings import Settings

Data = Annotated[
    str,
    typer.Argument(help="spoken-digits, a file of nsim data, or the folder of SHD (nsim data recordings --help)."),
]


@with_options(Choice, Options)
def routing_aware(
    context: typer.Context,
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and results.")],
    method: Annotated[
        str,
        typer.Option(
            help="dense, l1, hop-penalty, deepr, deepr-global, deepr-profile or memory-aware.",
            autocompletion=words(*METHODS),
        ),
    ] = "deepr-profile",
    profile: Annotated[
        str | None,
        typer.Option(help="Links present by hop distance: p1=0.95,p3=0.1; equal ones (p1=.1,...,p7=.1): anywhere."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in OUT.")] = False,
    **given: Any,
) -> None:
    """Train a recurrent network of spiking neurons on the tiles of Mosaic, and state whether it can be routed.

    OUT/network.nir is for nsim run --chip mosaic (with --grid and --neurons-per-tile) or loihi2, and --input
    OUT/test_inputs.npy.
    """
    from nsim.training import require_extra

    require_extra()
    from nsim.report import screen
    from nsim.report.answer import answered, say
    from nsim.training.routing.loop import Epoch, train
    from nsim.training.routing.report import write_report
    from nsim.training.routing.samples import load_samples
    from nsim.training.routing.settings import profile_of

    settings = _settings(context, data, method, profile_of(profile) if profile else (), given)
    samples = load_samples(settings)

    with screen.progress("epochs", "training") as progress:

        def ended(row: Epoch) -> None:
            if row["epoch"] == 1:
                sizes = f"{counted(len(samples.train), 'sample')} to train, {len(samples.validation):,} to validate"
                say(f"{samples.name}: {sizes}")
            say(_epoch_line(row, settings.epochs))
            progress(int(row["epoch"]), settings.epochs)

        trained = train(settings, samples, out, resume, ended)
    summary = write_report(trained, samples, out)
    if not answered(lambda: summary):
        say(_verdict(summary, out))


@with_options(Choice, Options)
def routing_sweep(
    context: typer.Context,
    data: Data,
    out: Annotated[Path, typer.Option(help="Table to write, .csv; the runs are kept beside it, in OUT.runs.")],
    profiles: Annotated[str, typer.Option(help="Profiles, with blanks between: 'p1=0.5 p1=0.5,p3=0.1'.")] = "",
    methods: Annotated[str, typer.Option(help="Methods, with blanks between.")] = "deepr-profile",
    seeds: Annotated[int, typer.Option(help="Runs of each, with seeds from --seed on.")] = 5,
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
    **given: Any,
) -> None:
    """Train profiles x methods x seeds in parallel, and write a table with a row for each.

    dense, hop-penalty and memory-aware know no profile: one run per seed. Ctrl-C keeps finished epochs; the same
    command goes on. A run that fails is a row with its error.
    """
    from nsim.training import require_extra

    require_extra()
    from nsim.report import screen
    from nsim.report.answer import answered, say
    from nsim.training.routing.sweep import Run, plan, split_list, sweep

    base = _settings(context, data, "dense", (), given)  # method and profile are those of each run
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
        say(f"{counted(len(runs) - failed, 'run')} done, {failed} failed: {out}")
    if failed:
        raise typer.Exit(1)


def _settings(
    context: typer.Context, data: str, method: str, profile: tuple[tuple[int, float], ...], given: dict[str, Any]
) -> Settings:
    """From the options of either command; what was not typed is as its recipe has it."""
    from nsim.training.routing.choice import check_name
    from nsim.training.routing.settings import Settings

    check_name(method)
    if given["recipe"] == "published":
        given = {**given, **{name: value for name, value in PUBLISHED.items() if name not in typed(context)}}
    choice = Choice(method, profile, **fields_of(Choice, given))
    return Settings(data, choice, **fields_of(Options, given))


def _epoch_line(row: dict[str, float], epochs: int) -> str:
    profile = " ".join(f"{key}={row[key]:.3f}" for key in row if key[0] == "p" and row[key])
    return (
        f"epoch {row['epoch']:>3} of {epochs}  loss {row['loss']:.3f}  accuracy {row['accuracy']:.1%}, "
        f"validation {row['validation_accuracy']:.1%}  rate {row['spikes_per_neuron_and_step']:.4f}  "
        f"{profile or 'no links'}"
    )


def _verdict(summary: dict[str, Any], out: Path) -> str:
    ports = summary["violated_ports"]
    fits = "mappable" if summary["mappable"] else f"not mappable: {counted(ports, 'port')} too narrow"
    simulator, elements = summary["simulator"], counted(summary["provisioned_elements"], "element")
    return (
        f"Epoch {summary['epoch']}, chosen on validation samples: accuracy {summary['test_accuracy']:.1%} on "
        f"{summary['test_set']}\n{fits}; {counted(summary['connections'], 'connection')}; "
        f"{elements} provisioned, {summary['programmed_elements']:,} programmed\n"
        f"The simulator's kernels give the same spikes in all but {simulator['differing_samples']} of "
        f"{counted(simulator['samples'], 'test sample')}\nResults: {out}"
    )
