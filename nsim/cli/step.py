"""`nsim step`: a run in the readable engine, one service after another, with breakpoints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nsim.cli.options import ChipName, Dt, Input, NetworkName, Seed, for_recordings, taking


@for_recordings
@taking(
    "activity",
    "timesteps",
    "samples",
    "seconds",
    "partition",
    "placement",
    "weight_format",
    "precision",
    "core_options",
    "grid",
    "neurons_per_tile",
    "place",
    "routes",
    "shared_lines",
)
def step(
    network: NetworkName,
    chip: ChipName,
    input: Input = None,
    seed: Seed = 0,
    dt: Dt = None,
    commands: Annotated[
        Path | None, typer.Option(help="File of commands, one a line; - for standard input. [default: a prompt]")
    ] = None,
    **options: Any,
) -> None:
    """Step through a run: what every station holds, why it waits, and where to stop.

    \\b
    At the prompt (help says it again):
      step [N]        go on by N services [1]
      next            to the end of the timestep or tick, or until a frame
                      has left
      continue        to a breakpoint, or the end
      break WHAT      stop there: neuron fc0:12, core 3 sends 20, queue full,
                      queue full core 4 synapses, queue over 3, time 2.5us,
                      outputs reference.npy; on tiles tile 3 sends 20,
                      port R0(2,2) E passes 20
      breaks, delete N    list the breakpoints, remove one
      show [STATION]  what stations hold, those that hold something
      why STATION     what it waits for, and what that waits for
      page FILE [N]   the next N services as a page to step through, offline
      where           timestep, tick or frames, time, and the last service
      quit
    Pipe or --commands for scripts: a line that cannot be done ends them
    with exit code 2.
    """
    from nsim.chip.file import load_chip
    from nsim.cli.options import refuse_other_options
    from nsim.cli.step_prompt import Prompt, lines_of
    from nsim.report.fit import mapped
    from nsim.report.stepping.session import Session
    from nsim.report.stepping.span import check_stepped, spans_of
    from nsim.result.run_timesteps import check_run

    check_run(options["timesteps"], options["samples"], "simpy", dt, None, seed)
    script = lines_of(commands) if commands or not sys.stdin.isatty() else None
    target = load_chip(chip)
    check_stepped(target)
    refuse_other_options(target, options)
    given = {"dt_s": dt, "seed": seed, **options}
    mapping = mapped(network, target, input, given)
    Prompt(Session(mapping, spans_of(mapping, input, given)), script).run()
