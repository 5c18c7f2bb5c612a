"""The command line: `nsim run`, `nsim floorline`, ... Every command is a module of `nsim/commands`."""

from __future__ import annotations

import sys

import typer

from nsim.commands.compare import compare
from nsim.commands.data import data
from nsim.commands.floorline import floorline
from nsim.commands.import_ import import_
from nsim.commands.lists import chips, networks
from nsim.commands.map import map_
from nsim.commands.noc import noc
from nsim.commands.optimize import optimize
from nsim.commands.report import report
from nsim.commands.reproduce import reproduce
from nsim.commands.run import run
from nsim.commands.schema import schema
from nsim.commands.sweep import sweep
from nsim.commands.train import train
from nsim.errors import InterruptedRunError, NsimError

app = typer.Typer(
    help="Simulate neural networks on neuromorphic chips: time, energy, and what limits them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(run)
app.command()(floorline)
app.command()(optimize)
app.command("map")(map_)
app.command()(report)
app.command()(compare)
app.command()(sweep)
app.command()(noc)
app.command()(reproduce)
app.add_typer(data, name="data")
app.add_typer(import_, name="import")
app.command()(chips)
app.command()(networks)
app.command()(schema)
app.add_typer(train, name="train")


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
