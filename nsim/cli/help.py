"""Help in sections, as plain text: typer draws its own sections with rich, whose import takes longer than the help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer.core import TyperCommand, TyperGroup

from nsim.chip.discipline import DISCIPLINES

if TYPE_CHECKING:
    import typer

OF_COMMANDS = ("Simulate", "Understand", "Improve", "Prepare", "Look up")
OF_OPTIONS = {  # section: options, by the name of the parameter; the others are in the section "Options"
    "What to run": ("chip", "input", "activity", "timesteps", "samples", "dt", "seed"),
    "What to take of a recording": ("start", "stop", "crop", "downsample", "clip", "bin"),
    "How to simulate": ("engine", "threads", "critical_path", "ranges"),
    "What to write": ("out", "report", "figures", "trace", "plot", "force"),
    **{f"On {own.chips}": tuple(sorted(own.options)) for own in DISCIPLINES.values()},
    "What to print": ("verbose", "quiet", "json"),
}
OTHERS = "Options"
WIDTH = 100  # at most, also of a wider terminal


class Command(TyperCommand):
    """A command whose options come in sections."""

    def format_options(self, ctx: typer.Context, formatter) -> None:  # type: ignore[override]
        _write_parameters(self, ctx, formatter)


class Group(TyperGroup):
    """A group whose commands come in sections: those that they were registered with, as `rich_help_panel`."""

    def format_options(self, ctx: typer.Context, formatter) -> None:  # type: ignore[override]
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in OF_COMMANDS}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                section = getattr(command, "rich_help_panel", None)
                title = section if isinstance(section, str) else "Commands"
                sections.setdefault(title, []).append((name, _first_sentence(command.help or "")))
        widest = max(len(name) for rows in sections.values() for name, _ in rows)
        for title, rows in sections.items():
            _write_section(formatter, title, [(name.ljust(widest), words) for name, words in rows])
        _write_parameters(self, ctx, formatter)


def _write_parameters(command: TyperCommand | TyperGroup, ctx: typer.Context, formatter) -> None:
    """Arguments, then every section of options that the command has any of."""
    section_of = {name: title for title, names in reversed(OF_OPTIONS.items()) for name in names}
    titles = ("Arguments", *OF_OPTIONS, OTHERS)
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
