"""What the shell may offer for a value. Where nothing fits, the shell offers file names by itself.

Only names are read here, never a network or a chip: an answer has to come while the user still looks at the prompt.
"""

from __future__ import annotations

import difflib
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from typer.completion import completion_init, get_completion_script, install

from nsim.errors import InputError, OutputError, version_of

PROGRAM, VARIABLE = "nsim", "_NSIM_COMPLETE"  # the variable by which a shell asks
SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
completion_init()  # of the shells above, as typer does for options of its own, which do not let a user name the shell


def words(*choices: str) -> Callable[[str], list[str]]:
    """Completion from a few words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in choices if word.startswith(incomplete)]

    return complete


def show(shell: str | None) -> None:
    """Print the script that makes a shell ask."""
    if shell is not None:
        typer.echo(get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=_known(shell)))
        raise typer.Exit


def set_up(shell: str | None) -> None:
    """Put that script where the shell reads it when it starts."""
    if shell is not None:
        try:
            _, path = install(_known(shell), PROGRAM, VARIABLE)
        except OSError as error:
            raise OutputError(
                f"cannot write {error.filename} ({error.strerror}): put the output of nsim --show-completion {shell} "
                "where your shell reads it"
            ) from None
        typer.echo(f"{path} is written: completion works in every {shell} that is started from now on")
        raise typer.Exit


def _known(shell: str) -> str:
    if shell not in SHELLS:
        near = difflib.get_close_matches(shell, SHELLS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"no completion for shell {shell!r}: {hint}choose from {', '.join(SHELLS)}")
    return shell


def version(wanted: bool) -> None:
    """Print which nsim this is: with the Python it runs on, what a report of a fault needs."""
    if wanted:
        typer.echo(f"nsim {version_of('nsim')} on Python {platform.python_version()}")
        raise typer.Exit


def completion_options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=version)] = False,
    install_completion: Annotated[
        str | None,
        typer.Option(
            metavar="SHELL",
            help=f"Complete commands, options, networks and chips in this shell: {', '.join(SHELLS)}.",
            callback=set_up,
            autocompletion=words(*SHELLS),
        ),
    ] = None,
    show_completion: Annotated[
        str | None,
        typer.Option(
            metavar="SHELL", help="Print the completion script.", callback=show, autocompletion=words(*SHELLS)
        ),
    ] = None,
) -> None:
    """Options of `nsim` itself."""


def network_names(incomplete: str) -> list[str]:
    """Built-in networks, and files of networks."""
    from nsim.network.builtin import BUILTIN

    return [
        *(name for name in BUILTIN if name.startswith(incomplete)),
        *_files(incomplete, (".net", ".nir", ".onnx", ".pt2", ".npz")),
    ]


def chip_names(incomplete: str) -> list[str]:
    """Chips that come along, and chip files."""
    from nsim.chip.file import available_chips

    return [*(name for name in available_chips() if name.startswith(incomplete)), *_files(incomplete, (".toml",))]


def experiment_names(incomplete: str) -> list[str]:
    """Experiments of the clone, if this is one."""
    from nsim.cli.experiments import names, repository
    from nsim.errors import ExperimentError

    try:
        return [name for name in names(repository()) if name.startswith(incomplete)]
    except ExperimentError:
        return []


def _files(incomplete: str, endings: tuple[str, ...]) -> list[str]:
    """Files with one of these endings, and folders on the way to them, that begin as the text does."""
    head, slash, tail = incomplete.rpartition("/")
    folder = head + slash
    try:
        entries = sorted(Path(folder or ".").expanduser().iterdir())
    except OSError:
        return []
    named = [entry for entry in entries if entry.name.startswith(tail) and (tail or entry.name[0] != ".")]
    found = [folder + entry.name for entry in named if entry.name.endswith(endings)]
    return found + [f"{folder}{entry.name}/" for entry in named if tail and entry.is_dir()]
