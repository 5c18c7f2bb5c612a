"""Pages that are made from the code whenever the site is built: commands, Python, chips, errors.

They cannot fall behind, for nobody writes them. conf.py calls `make`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import typer

import nsim
from nsim import errors
from nsim.chip.chip import Chip
from nsim.chip.file import available_chips, load_chip
from nsim.cli.help import WIDTH
from nsim.cli.main import app
from nsim.network.builtin import BUILTIN, options, summary

MADE = Path(__file__).parent / "made"


def make() -> None:
    """Write the pages that changed: others keep their time, so that the site is not built anew."""
    MADE.mkdir(exist_ok=True)
    pages = {
        "commands": commands(),
        "python": python(),
        "chips": chips(),
        "networks": networks(),
        "errors": error_page(),
    }
    for name, text in pages.items():
        page = MADE / f"{name}.md"
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", *parts]) + "\n"


def _screen(text: str) -> str:
    return f"```text\n{inspect.cleandoc(text).rstrip()}\n```"


def _helps(command, path: str, parent=None) -> Iterator[tuple[str, str]]:
    """Every command with its help, groups before their members."""
    context = typer.Context(
        command, info_name=path.split()[-1], parent=parent, max_content_width=WIDTH, terminal_width=WIDTH
    )
    yield path, command.get_help(context)
    for name, member in getattr(command, "commands", {}).items():
        yield from _helps(member, f"{path} {name}", context)


def commands() -> str:
    found = _helps(typer.main.get_command(app), "nsim")
    return _page(
        "Commands and options",
        "What `--help` of each command prints.",
        *(f"## {path}\n\n{_screen(text)}" for path, text in found),
    )


def python() -> str:
    """What `from nsim import ...` has, with the docstrings as they stand, and the public methods of a result."""
    parts = []
    for name in sorted(nsim.__all__):
        thing = getattr(nsim, name)
        parts.append(f"## {name}\n\n{_described(name, thing)}")
        if inspect.isclass(thing):
            parts += [f"### {name}.{member}\n\n{_described(member, own)}" for member, own in _members(thing)]
    return _page("Python", "Everything that `from nsim import ...` has.", *parts)


def _members(thing: type) -> list[tuple[str, object]]:
    found = inspect.getmembers(thing, lambda each: inspect.isfunction(each) or isinstance(each, property))
    return [(name, own) for name, own in found if not name.startswith("_") and inspect.getdoc(own)]


def _described(name: str, thing: object) -> str:
    words = inspect.getdoc(thing) or ""
    signature = f"{name}{inspect.signature(thing)}\n\n" if callable(thing) else ""
    return f"```python\n{signature}{_quoted(words)}\n```"


def _quoted(words: str) -> str:
    return f'"""{words}"""'


def chips() -> str:
    return _page(
        "Chips",
        "Every constant of every shipped chip: its value, the range that its sources allow, what it rests on. The "
        "reasoning is in the chip file, and `nsim chips NAME` prints it.",
        *(_chip(load_chip(name)) for name in available_chips()),
    )


def _chip(chip: Chip) -> str:
    lines = ["| constant | value | range | basis | source |", "|---|---|---|---|---|"]
    for row in chip.provenance():
        limits = " to ".join(f"{end:g}" for end in row.range) if row.range else ""
        lines.append(f"| `{row.key}` | {_cell(row.value)} | {limits} | {row.basis} | {_cell(row.source)} |")
    sources = [f"- **{key}**: {' '.join(text.split())}" for key, text in chip.sources.items()]
    return "\n".join([f"## {chip.title} (`{chip.name}`)", "", *lines, "", "Sources:", "", *sources])


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def networks() -> str:
    """The built-in networks, their options and what these are if not given."""
    parts = [f"## {name}\n\n{summary(name)}\n\n{_screen(_options(name))}" for name in BUILTIN]
    return _page(
        "Built-in networks", "`nsim networks` lists them; options follow a colon: `mlp:width=512,depth=4`.", *parts
    )


def _options(name: str) -> str:
    return "\n".join(f"{option}={value}" for option, value in options(name).items()) or "no options"


def error_page() -> str:
    """Every error is one line on standard error; its class says where it came from."""
    found = [
        (name, kind)
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.NsimError) and kind.__module__ == errors.__name__
    ]
    rows = [f"| `{name}` | {kind.exit_code} | {inspect.getdoc(kind)} |" for name, kind in found]
    return _page(
        "Errors",
        "An error that you can cure is one line: the thing, both numbers, the cure. In Python it is one of these, "
        "all of them `nsim.errors.NsimError`; on the command line the exit code follows.",
        "\n".join(["| class | exit code | meaning |", "|---|---|---|", *rows]),
    )
