"""The command line: `nsim run`, `nsim floorline`, ... Every command is a module of `nsim/commands`."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from nsim.cli.compare import compare
from nsim.cli.completion import PROGRAM, completion_options
from nsim.cli.data import DATA
from nsim.cli.floorline import floorline
from nsim.cli.help import WIDTH, Command, Group
from nsim.cli.import_ import IMPORT
from nsim.cli.lists import chips, networks
from nsim.cli.map import map_
from nsim.cli.noc import noc
from nsim.cli.optimize import optimize
from nsim.cli.options import for_people, for_scripts
from nsim.cli.report import report
from nsim.cli.reproduce import reproduce
from nsim.cli.run import run
from nsim.cli.schema import schema
from nsim.cli.sweep import sweep
from nsim.cli.train import TRAIN
from nsim.errors import InterruptedRunError, NsimError

UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # typer has it from click, or within itself since 0.26

COMMANDS: dict[str, dict[str, Callable[..., None]]] = {  # by section of the help
    "Simulate": {"run": run, "sweep": sweep, "noc": noc},
    "Understand": {"floorline": floorline, "report": report, "compare": compare, "reproduce": reproduce},
    "Improve": {"optimize": optimize, "map": map_},
    "Look up": {"chips": chips, "networks": networks, "schema": schema},
}
GROUPS: dict[str, dict[str, tuple[str, dict[str, Callable[..., None]]]]] = {  # commands of commands, by section
    "Prepare": {
        "train": ("Train networks for a chip (needs the extra: pip install 'nsim[train]').", TRAIN),
        "data": ("Make data to train on, offline.", DATA),
        "import": ("Bring work that was made for other simulators.", IMPORT),
    }
}
EPILOG = """\b
Exit codes:
  0    done
  1    done, and the answer is no: nsim map: it does not fit;
       nsim sweep and nsim train routing-sweep: some runs failed
  2    wrong input, or something is missing: a line on standard error says
       what, and what cures it
  130  interrupted by Ctrl-C; what was finished is kept and shown

\b
For scripts, every command takes --json (one line of JSON on standard output,
nothing else) and --quiet (nothing but errors)."""


def _application(words: str, epilog: str | None = None) -> typer.Typer:
    return typer.Typer(
        help=words,
        epilog=epilog,
        cls=Group,
        no_args_is_help=True,
        add_completion=False,  # see nsim/cli/completion.py
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"max_content_width": WIDTH},
    )


def _add(group: typer.Typer, name: str, command: Callable[..., None], section: str | None = None) -> None:
    settings = {"max_content_width": WIDTH}
    answering = for_people if command in ON_CONSTANTS else for_scripts
    group.command(name, cls=Command, rich_help_panel=section, context_settings=settings)(answering(command))


ON_CONSTANTS = (run, floorline, noc)  # these take -v
WORDS = "Simulate neural networks on neuromorphic chips: time, energy, and what limits them."
app = _application(WORDS, EPILOG)
app.callback(help=WORDS)(completion_options)
for _section, _commands in COMMANDS.items():
    for _name, _command in _commands.items():
        _add(app, _name, _command, _section)
for _section, _groups in GROUPS.items():
    for _name, (_words, _commands) in _groups.items():
        _group = _application(_words)
        _group.callback()(lambda: None)  # a group, even of a single command
        for _own, _command in _commands.items():
            _add(_group, _own, _command)
        app.add_typer(_group, name=_name, help=_words, rich_help_panel=_section)


def main() -> None:
    """Entry point: errors that a user can cure are one line on standard error and exit code 2."""
    try:
        code = app(prog_name=PROGRAM, standalone_mode=False)
    except UsageError as error:
        print(_usage(error), file=sys.stderr)
        sys.exit(2)
    except NsimError as error:
        print(f"error: {error}", file=sys.stderr)
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
