"""Options that are written once, as annotated fields of a dataclass: `Annotated[type, help, words to complete]`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from typing import Annotated, Any, get_args, get_type_hints

import typer

from nsim.cli.completion import chip_names, words

Command = Callable[..., None]


def with_options(*owners: type) -> Callable[[Command], Command]:
    """Give a command the fields of these dataclasses as options, behind its own; it takes them as **keywords."""

    def decorated(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        kept = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        added = [option for owner in owners for option in _options(owner)]
        command.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in (*kept, *added)}
        return command

    return decorated


def _options(owner: type) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(owner, include_extras=True)
    for field in fields(owner):
        kind, *notes = get_args(hints[field.name]) if hasattr(hints[field.name], "__metadata__") else (None,)
        if not notes:
            continue
        complete: dict[str, Any] = {"autocompletion": words(*notes[1])} if len(notes) > 1 else {}
        if field.name == "chip":
            complete = {"autocompletion": chip_names}
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        annotation = Annotated[kind, typer.Option(help=notes[0], **complete)]  # type: ignore[valid-type]
        yield inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def fields_of(owner: type, given: dict[str, Any]) -> dict[str, Any]:
    """What was given of the fields of this dataclass."""
    return {field.name: given[field.name] for field in fields(owner) if field.name in given}


def typed(context: typer.Context) -> set[str]:
    """Options that the user gave, not their defaults."""
    return {name for name in context.params if getattr(context.get_parameter_source(name), "name", "") != "DEFAULT"}
