"""What the command line shows: a console, a progress line, head lines, and tables that fit its width."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from nsim.errors import counted
from nsim.report.answer import quiet, verbose
from nsim.report.units import pace
from nsim.report.words import Basis, Line, Numbers
from nsim.result.run_timesteps import Progress as Report

PLAIN = (80, 24)  # when the output is not a terminal
GAP = 2  # between columns
NAMES = 9  # characters of the names of head lines, and of the space before them


class Column(NamedTuple):
    """A column of a table: its heading, its cells, and when it goes if the width is too small (0 never, 9 first)."""

    heading: str
    cells: Sequence[str | Text]
    goes: int = 0
    right: bool = True

    @property
    def width(self) -> int:
        return max(cell_len(str(text)) for text in (self.heading, *self.cells))


def console() -> Console:
    """Where screens go. Brackets are printed as they are: names and commands may hold them."""
    screen = Console(highlight=False, markup=False, emoji=False)
    if not screen.is_terminal:
        screen.width = shutil.get_terminal_size(PLAIN).columns
    return screen


def fitting(columns: Sequence[Column], width: int) -> Table:
    """A table of the columns that fit, in their order; what is wider still is folded."""
    kept, widest = list(columns), width // 3  # of the first column: longer names are folded
    while _width(kept, widest) > width and any(column.goes for column in kept):
        kept.remove(max(kept, key=lambda column: column.goes))
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="cyan")
    for column in kept:
        table.add_column(
            column.heading,
            justify="right" if column.right else "left",
            no_wrap=column is not kept[0],
            overflow="fold",
            max_width=widest if column is kept[0] and _width(kept, width) > width else None,
        )
    for cells in zip(*(column.cells for column in kept), strict=True):
        table.add_row(*cells)
    return table


def table_width(columns: Sequence[Column]) -> int:
    """Characters of a table whose names are not folded."""
    return _width(columns, columns[0].width)


def _width(columns: Sequence[Column], widest: int) -> int:
    """Characters of a table whose first column has at most so many."""
    first, *others = (column.width for column in columns)
    return min(first, widest) + sum(GAP + each for each in others)


def head_lines(lines: Sequence[Line], bold: bool = True) -> Table:
    """Lines of a name, what it says, and remarks; what is too long goes on below itself."""
    grid = Table.grid(padding=(0, GAP))
    grid.add_column(style="cyan", no_wrap=True, min_width=NAMES)
    grid.add_column(overflow="fold")
    for line in lines:
        said = Text(line.said, style="bold red" if line.alarm else "bold" if bold else "")
        grid.add_row(f"  {line.name}", said.append(f"   {line.remarks}", style="not bold") if line.more else said)
    return grid


def show_lines(screen: Console, lines: Sequence[Line]) -> None:
    """Head lines; a command that is too long for its line stands below it, broken as a shell allows."""
    waiting: list[Line] = []
    for line in lines:
        if not line.command or NAMES + GAP + cell_len(line.said) <= screen.width:
            waiting.append(line)
            continue
        gain = line.said.removeprefix(line.command).strip()
        screen.print(head_lines([*waiting, replace(line, said=gain)]))
        show_command(screen, line.command, NAMES + GAP)
        waiting = []
    if waiting:
        screen.print(head_lines(waiting))


def show_command(screen: Console, command: str, indent: int = 0) -> None:
    """A command in lines that a shell reads as one, so that it can be pasted; an option stays with its value."""
    parts: list[str] = []
    for word in map(shlex.quote, shlex.split(command)):
        if parts and parts[-1].startswith("--") and " " not in parts[-1] and not word.startswith("--"):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    lines = [" " * indent + parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + len(" ") + len(" \\") > screen.width:
            lines[-1] += " \\"
            lines.append(" " * (indent + GAP) + part)
        else:
            lines[-1] += f" {part}"
    for line in lines:
        screen.print(Text(line), soft_wrap=True)


def facts_grid() -> Table:
    """Rows of a name, a number and what it says."""
    grid = Table.grid(padding=(0, GAP))
    grid.add_column(style="cyan")
    grid.add_column(style="bold", justify="right")
    grid.add_column()
    return grid


def show_basis(screen: Console, basis: Basis, facts: Numbers) -> None:
    """What numbers rest on, in one line; with -v by name. facts: a summary."""
    caution = basis.caution("named below" if verbose() else "-v")
    lines = [caution, *(basis.names(facts) if verbose() else ())]
    screen.print()
    screen.print(head_lines([line for line in lines if line.said], bold=False))
    if verbose():
        show_files(screen, {"sources": basis.lookup})


def show_files(screen: Console, files: Mapping[str, object]) -> None:
    """Commands and files by what they are, unbroken, so that they can be pasted; None: there is none."""
    for name, file in files.items():
        if file:
            screen.print(Text.assemble((f"  {name:<7}  ", "cyan"), str(file)), soft_wrap=True)


class _Doing(ProgressColumn):
    """What is being done: compiling, or what the caller says."""

    def render(self, task: Task) -> Text:
        compiling = task.fields["compiling"]
        return Text(f"compiling, once ({task.elapsed or 0:.0f} s)" if compiling else task.description)


class _Done(ProgressColumn):
    """How much is done, as soon as that is known."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text()
        unit = task.fields["unit"]
        return Text(f"{task.completed:,.0f}/{counted(round(task.total), unit.removesuffix('s'))}")


class _Progress(Progress):
    """A progress line with something above it."""

    above: Callable[[int], RenderableType] | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        if self.above:
            yield self.above(self.console.width)
        yield from super().get_renderables()


def watched(error: Console | None = None) -> bool:
    """Whether a person sees what is refreshed on standard error."""
    error = error or Console(stderr=True)
    return (error.is_terminal or error.is_jupyter) and not quiet()


@contextmanager
def progress(
    unit: str = "timesteps", doing: str = "simulating", above: Callable[[int], RenderableType] | None = None
) -> Iterator[Report]:
    """A progress line with rate and remaining time on standard error; yields the function to report to.

    It appears on terminals and in notebooks only, and not if the user wants quiet. What is printed meanwhile comes
    above it, and directly above it, refreshed with it, what `above` gives for the width of the screen.
    """
    columns = (
        _Doing(),
        BarColumn(),
        _Done(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[left]}"),
    )
    error = Console(stderr=True)
    shown, printed = (
        watched(error),
        sys.stdout.isatty(),
    )  # else it is a file or a pipe, and gets what is printed as ever
    bar = _Progress(*columns, console=error, transient=True, redirect_stdout=printed, disable=not shown)
    bar.above = above
    with bar:
        task = bar.add_task(doing, total=None, rate="", left="", unit=unit, compiling=0)

        def report(done: int, total: int) -> None:
            rate = pace(bar.tasks[0].speed)
            bar.update(task, completed=done, total=total, rate=rate, left="left" if rate else "")

        with _compiling(lambda depth: bar.update(task, compiling=depth)) if shown else nullcontext():
            yield report


def note(line: str) -> None:
    """A line on standard error while something runs, unless the user wants quiet."""
    if not quiet():
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


@contextmanager
def _compiling(tell: Callable[[int], None]) -> Iterator[None]:
    """Tell how many functions Numba is compiling, one inside another, whenever that changes."""
    from numba.core import event  # start-up: only a terminal with a progress line asks for it

    class Listener(event.Listener):
        depth = 0

        def on_start(self, _: event.Event) -> None:
            self.depth += 1
            tell(self.depth)

        def on_end(self, _: event.Event) -> None:
            self.depth -= 1
            tell(self.depth)

    with event.install_listener("numba:compile", Listener()):
        yield
