"""The command line: `nsim run`, `nsim floorline`, ... Every command is a module of `nsim/cli`."""

from __future__ import annotations

import sys
import warnings

import typer

from nsim.cli.completion import PROGRAM, completion_options
from nsim.cli.lazy import Entry, LazyGroup, application
from nsim.errors import InterruptedRunError, NsimError, visible

UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # typer has it from click, or within itself since 0.26

COMMANDS = {  # by section of the help
    "Simulate": {
        "run": Entry("nsim.cli.run:run", "Run a network on a chip: time, energy, limit", True),
        "sweep": Entry("nsim.cli.sweep:sweep", "Run many points of a file, a row for each"),
        "noc": Entry("nsim.cli.noc:noc", "Replay a message trace on the network on chip alone", True),
    },
    "Understand": {
        "floorline": Entry(
            "nsim.cli.floorline:floorline", "Say in three ways what limits a network, and draw it", True
        ),
        "step": Entry("nsim.cli.step:step", "Step through a run: what stations hold, why they wait"),
        "report": Entry("nsim.cli.report:report", "Make a page, or figures, of a finished run"),
        "compare": Entry("nsim.cli.compare:compare", "Say what changed between finished runs"),
        "compare-chips": Entry("nsim.cli.compare_chips:compare_chips", "Compare a network on several chips"),
        "reproduce": Entry("nsim.cli.reproduce:reproduce", "Run the experiments of the repository again"),
    },
    "Improve": {
        "advise": Entry("nsim.cli.advise:advise", "Say which chips a network fits, and what to change there"),
        "optimize": Entry("nsim.cli.optimize:optimize", "Search for a better mapping"),
        "map": Entry("nsim.cli.map:map_", "Map a recurrent network on neuron tiles"),
    },
    "Prepare": {
        "train": Entry(
            "nsim.cli.train:TRAIN",
            "Train networks for a chip (needs the extra: pip install 'nsim-neuromorphic[train]')",
        ),
        "data": Entry("nsim.cli.data:DATA", "Make data to train on, offline"),
        "import": Entry("nsim.cli.import_:IMPORT", "Bring work that was made for other simulators"),
    },
    "Look up": {
        "chips": Entry("nsim.cli.lists:chips", "List the chips, show one, or begin one of your own"),
        "networks": Entry("nsim.cli.lists:networks", "List the built-in networks, their options, where they fit"),
        "schema": Entry("nsim.cli.schema:schema", "Write a JSON schema of files, for editors and scripts"),
    },
}
EPILOG = """\b
Exit codes:
  0    done
  1    done, and the answer is no: nsim map, advise and compare-chips: it does
       not fit; nsim reproduce: a verdict does not hold; nsim sweep and nsim
       train routing-sweep: some runs failed
  2    wrong input, or something is missing: a line on standard error says
       what, and what cures it
  130  interrupted by Ctrl-C; what was finished is kept and shown

\b
For scripts, every command takes --json (one line of JSON on standard output,
nothing else) and --quiet (nothing but errors)."""


WORDS = "Simulate neural networks on neuromorphic chips: time, energy, and what limits them."


class Nsim(LazyGroup):
    sections = COMMANDS


app = application(WORDS, Nsim, EPILOG)
app.callback(help=WORDS)(completion_options)


def main() -> None:
    """Entry point: errors that a user can cure are one line on standard error and exit code 2."""
    if not sys.warnoptions:  # what NumPy says of numbers in a file would stand beside what nsim says of them
        warnings.simplefilter("ignore", RuntimeWarning)
    try:
        code = app(prog_name=PROGRAM, standalone_mode=False)
    except UsageError as error:
        print(_usage(error), file=sys.stderr)
        sys.exit(2)
    except NsimError as error:
        print(f"error: {visible(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except MemoryError:
        print(
            "error: this machine has too little memory for the run: fewer timesteps or a smaller network",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        code = InterruptedRunError.exit_code
    if code == InterruptedRunError.exit_code:
        print("error: interrupted before the first timestep or frame was done: no results", file=sys.stderr)
    sys.exit(code or 0)


def _usage(error: Exception) -> str:
    """What is wrong with the words of a command, in one line; the help if there are none."""
    message = error.format_message()  # type: ignore[attr-defined]
    if message.startswith("Usage:"):
        return message
    context = error.ctx  # type: ignore[attr-defined]
    path = context.command_path if context else "nsim"
    return f"error: {' '.join(message.split()).rstrip('.')} ({path} --help says what there is)"
