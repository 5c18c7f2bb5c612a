"""What a run is asked to leave behind: its folder, its page, and figures for papers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsim.errors import InputError

if TYPE_CHECKING:
    from nsim.result.folder import OutputFolder


def check_figures(figures: str | None, out: Path | None) -> tuple[str, ...]:
    """Formats of the figures that are asked for; refused before anything is simulated if they have no place to go."""
    if figures is None:
        return ()
    from nsim.report.vector import parse_formats  # start-up: a run without figures draws none

    formats = parse_formats(figures)
    if out is None:
        raise InputError(f"--figures {figures} go into the folder of the results: add --out FOLDER")
    return formats


@dataclass(frozen=True)
class Output:
    """Where results go: a folder that was entered, a page, formats of figures; each None or empty if not wanted."""

    folder: OutputFolder | None
    report: Path | None
    formats: tuple[str, ...] = ()

    @property
    def path(self) -> Path | None:
        return self.folder.path if self.folder else None

    @property
    def command(self) -> str:
        """The line that was given, without the names of files that it writes."""
        from nsim.report.words import command_line  # start-up: the help prints no run

        return command_line(sys.argv[1:])

    def write(self, result: Any, what_if: dict[str, Any] | None = None) -> None:
        """Write what was asked for; `what_if` as in nsim/result/facts.py."""
        if self.folder:
            self.folder.write(result, what_if, self.command)
        if not self.report and not self.formats:
            return
        from nsim.result.run_folder import read_run, run_of  # start-up: only a page or figures need it

        run = read_run(self.folder.path) if self.folder else run_of(result, what_if, self.command)
        if self.report:
            from nsim.report.page import write_report

            write_report(run, self.report)
        if self.folder and self.formats:
            from nsim.report.figures import contents
            from nsim.report.vector import FOLDER, write_figures
            from nsim.result.folder import write_manifest

            written = write_figures(contents(run), self.folder.path / FOLDER, self.formats)
            write_manifest(self.folder.path, [path.relative_to(self.folder.path).as_posix() for path in written])
