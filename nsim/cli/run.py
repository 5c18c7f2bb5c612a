"""`nsim run`: a network on a chip, and what it takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsim.cli.options import (
    ALL_OPTIONS,
    ChipName,
    Dt,
    Engine,
    Force,
    Input,
    NetworkName,
    Seed,
    for_recordings,
    refuse_other_options,
    say_if_interrupted,
    taking,
)
from nsim.cli.output import Output, check_figures

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from nsim.chip.chip import Chip
    from nsim.machine.trace.view import TraceView


TRIED = 2_000_000  # messages of a run that is short enough to be repeated with other mappings


@for_recordings
@taking(*ALL_OPTIONS)
def run(
    network: NetworkName,
    chip: ChipName,
    input: Input = None,
    engine: Engine = "compiled",
    seed: Seed = 0,
    dt: Dt = None,
    out: Annotated[Path | None, typer.Option(help="Folder for summary.json and tables.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Page of the run: .html. Tries other mappings, as short runs always do: up to four more runs."
        ),
    ] = None,
    figures: Annotated[
        str | None, typer.Option(help="Figures for papers, into OUT/figures: pdf, svg, png, or several, as in pdf,svg.")
    ] = None,
    force: Force = False,
    trace: Annotated[
        str | None,
        typer.Option(
            help="Every service of every message: messages (OUT/messages.parquet), perfetto (OUT/trace.pftrace.gz, for "
            "ui.perfetto.dev), or both, as in messages,perfetto. Each takes 70 to 200 bytes a message."
        ),
    ] = None,
    trace_window: Annotated[
        str | None, typer.Option(help="Window of the Perfetto trace, as in 0:100us. [default: the whole run]")
    ] = None,
    trace_layers: Annotated[
        str | None, typer.Option(help="Layers whose messages the Perfetto trace has, as in conv1,fc. [default: all]")
    ] = None,
    trace_queues: Annotated[
        bool, typer.Option("--trace-queues", help="Counters in the Perfetto trace: messages that wait at each station.")
    ] = False,
    **options: Any,
) -> None:
    """Run a network on a chip and print what it takes. On chips with frames every sample is a frame.

    On chips of tiles NETWORK is what nsim map takes: a matrix, a .nir graph with a recurrent layer, or random:p1=0.9.
    """
    from contextlib import nullcontext

    from nsim.chip.file import load_chip
    from nsim.errors import InputError
    from nsim.machine.trace.table import parse_trace
    from nsim.machine.trace.view import TraceView, parse_view
    from nsim.result.folder import OutputFolder
    from nsim.result.run_timesteps import check_run

    check_run(options["timesteps"], options["samples"], engine, dt, options["threads"], seed)
    traces = parse_trace(trace, out)
    view = parse_view(Path(), trace_window, trace_layers, trace_queues)
    if isinstance(view, TraceView) and "perfetto" not in traces:
        named = {"window": trace_window, "layers": trace_layers, "queues": trace_queues}
        option = next(name for name, value in named.items() if value)
        raise InputError(f"--trace-{option} is of a trace for Perfetto: add --trace perfetto, or leave it out")
    if report:
        from nsim.report.page import check_report  # start-up: a run without a page loads none

        check_report(report, force)
    formats = check_figures(figures, out)
    with OutputFolder(out, force) if out else nullcontext() as folder:
        target = load_chip(chip)
        refuse_other_options(target, options, traces)
        given = {"dt_s": dt, "seed": seed, "engine": engine, **options}
        _run(network, target, Output(folder, report, formats), traces, view, input, given)


def _telling(cluster: str | None) -> AbstractContextManager[None]:
    """What is told of a cluster that starts meanwhile goes to standard error."""
    from contextlib import nullcontext

    if cluster is None:
        return nullcontext()
    from nsim.report import screen
    from nsim.sweep.executors import telling  # start-up: few runs need it

    return telling(screen.note)


def _run(
    name: str,
    chip: Chip,
    output: Output,
    traces: tuple[str, ...],
    view: Path | TraceView,
    inputs: Path | None,
    options: dict[str, Any],
) -> None:
    """Load, map, simulate, write and show; view: what a trace for Perfetto has."""
    from nsim.chip.discipline import discipline_of
    from nsim.machine.trace.table import FILES
    from nsim.machine.trace.view import TraceView
    from nsim.mapping.network import map_network
    from nsim.report import screen
    from nsim.result.run import simulate

    own = discipline_of(chip)
    if options["critical_path"] is None and own.path_by_default:
        options["critical_path"] = not traces
    if options["ranges"] is None:
        options["ranges"] = True
    network = own.part("load")(name, dt_s=options["dt_s"])
    mapping: Any = map_network(network, chip, **own.mapping_options(options, inputs))
    common = {key: options[key] for key in ("dt_s", "seed", "engine")}
    wanted = {"inputs": inputs, **common, **own.running_options(options)}
    with screen.progress(own.counted) as progress, _telling(options.get("cluster")):
        files: dict[str, Any] = {kind: output.folder.partial / FILES[kind] for kind in traces if output.folder}
        if isinstance(view, TraceView):
            files["perfetto"] = replace(view, path=files["perfetto"])
        result: Any = simulate(mapping, **wanted, progress=progress, trace=files)
    what_if = None
    if own.what_if and (output.report or result.actions["message_out"] <= TRIED):
        alone = {**wanted, "engine": "compiled", "critical_path": None, "ranges": None, "record": None}
        alone |= {name: None for name in ("sync", "cluster") if name in alone}
        what_if = own.part("what_if")(result, lambda other: simulate(other, **alone))
    output.write(result, what_if)
    own.part("show")(result, output.path, output.command, what_if)
    say_if_interrupted(result.spans, result.spans_planned, own.counted)
