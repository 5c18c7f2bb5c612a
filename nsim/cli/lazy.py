"""Commands that are imported when they are asked for: each takes longer to import than the help to print."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from typer.main import get_command

from nsim.cli.help import WIDTH, Command, Group

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Entry(NamedTuple):
    """A command, or a group of them.

    where     "module:name" of a function, or of a dictionary of functions
    words     its line in the help
    verbose   whether it takes -v: it rests on a chip's constants
    """

    where: str
    words: str
    verbose: bool = False


class LazyGroup(Group):
    """A group whose commands, by section and name, are made when they are asked for."""

    sections: Mapping[str, Mapping[str, Entry]]

    @property
    def commands(self) -> MutableMapping[str, Any]:
        """All of them, made: for completion and for what looks at every command."""
        return {name: made(*entry) for entries in self.sections.values() for name, entry in entries.items()}

    @commands.setter
    def commands(self, _: object) -> None:
        """Typer gives those that were registered with it: none."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for entries in self.sections.values() for name in entries]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = next((entries[cmd_name] for entries in self.sections.values() if cmd_name in entries), None)
        return None if found is None else made(*found)

    def lines(self, ctx: Any) -> dict[str, list[tuple[str, str]]]:
        return {title: [(n, entry.words) for n, entry in entries.items()] for title, entries in self.sections.items()}


@cache
def made(where: str, words: str, verbose: bool = False) -> Any:
    """The command, or the group of commands."""
    module, _, name = where.partition(":")
    found = getattr(import_module(module), name)
    if not isinstance(found, dict):
        return _command(found, verbose)
    group = application(words, Group)
    group.callback()(lambda: None)  # a group, even of a single command
    for own, command in found.items():
        add(group, own, command)
    return get_command(group)


def _command(function: Callable[..., None], verbose: bool) -> Any:
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    add(alone, None, function, verbose)
    return get_command(alone)


def application(words: str, group: type[Group], epilog: str | None = None) -> typer.Typer:
    return typer.Typer(
        help=words,
        epilog=epilog,
        cls=group,
        no_args_is_help=True,
        add_completion=False,  # see nsim/cli/completion.py
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"max_content_width": WIDTH},
    )


def add(group: typer.Typer, name: str | None, command: Callable[..., None], verbose: bool = False) -> None:
    """A command with the options that every command has, and --set if it takes a chip."""
    from nsim.cli.options import changing, for_people, for_scripts, takes_chip  # start-up: the help has no options

    answering = for_people if verbose else for_scripts
    added = group.command(name, cls=Command, context_settings={"max_content_width": WIDTH})
    added(answering(changing(command) if takes_chip(command) else command))
