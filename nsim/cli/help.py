"""Help in sections, as plain text: typer draws its own sections with rich, whose import takes longer than the help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    import typer

OTHERS = "Options"
WIDTH = 100  # at most, also of a wider terminal


def of_options() -> dict[str, tuple[str, ...]]:
    """Section: its options, by the name of the parameter; the others are in the section OTHERS."""
    from nsim.chip.discipline import DISCIPLINES  # start-up: the help of nsim itself has no options of a chip

    return {
        "What to run": ("chip", "set", "input", "activity", "timesteps", "samples", "dt", "seed"),
        "What to take of a recording": ("start", "stop", "crop", "downsample", "clip", "bin"),
        "How to simulate": ("engine", "threads", "critical_path", "ranges"),
        "What to write": (
            "out",
            "report",
            "figures",
            "trace",
            "trace_window",
            "trace_layers",
            "trace_queues",
            "plot",
            "force",
        ),
        **{f"On {own.chips}": tuple(sorted(own.options)) for own in DISCIPLINES.values()},
        "What to print": ("verbose", "quiet", "json"),
    }


class Command(TyperCommand):
    """A command whose options come in sections."""

    def format_options(self, ctx: typer.Context, formatter) -> None:  # type: ignore[override]
        _write_parameters(self, ctx, formatter, of_options())


class Group(TyperGroup):
    """A group whose commands come in sections."""

    def format_options(self, ctx: typer.Context, formatter) -> None:  # type: ignore[override]
        sections = self.lines(ctx)
        widest = max(len(name) for rows in sections.values() for name, _ in rows)
        for title, rows in sections.items():
            _write_section(formatter, title, [(name.ljust(widest), words) for name, words in rows])
        _write_parameters(self, ctx, formatter, {})

    def lines(self, ctx: typer.Context) -> dict[str, list[tuple[str, str]]]:
        """By section its commands: name and what it does."""
        names = self.list_commands(ctx)
        return {"Commands": [(name, _first_sentence(self.commands[name].help or "")) for name in names]}


def _write_parameters(
    command: TyperCommand | TyperGroup, ctx: typer.Context, formatter, known: Mapping[str, Sequence[str]]
) -> None:
    """Arguments, then every section of options that the command has any of."""
    section_of = {name: title for title, names in reversed(list(known.items())) for name in names}
    titles = ("Arguments", *known, OTHERS)
    sections: dict[str, list[tuple[str, str]]] = {title: [] for title in titles}
    for param in command.get_params(ctx):
        if (record := param.get_help_record(ctx)) is not None:
            argument = param.param_type_name == "argument"
            title = "Arguments" if argument else section_of.get(param.name or "", OTHERS)
            sections[title].append((record[0], record[1].removeprefix(f"{title}: ")))
    for title, rows in sections.items():
        _write_section(formatter, title, rows)


def _write_section(formatter, title: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows)


def _first_sentence(text: str) -> str:
    """Of the help of a command; the first paragraph if it has no full stop."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return paragraph.split(". ")[0].rstrip(".")
