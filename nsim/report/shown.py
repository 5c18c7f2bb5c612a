"""What a result shows of itself in Python: its words, a card for notebooks, figures, its page and its folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsim.errors import InputError
from nsim.report.told import head_of, told_of_folder
from nsim.report.words import Line, Told, brief
from nsim.result.result import Finished
from nsim.result.run_folder import Run, run_of
from nsim.result.saved import SavedResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEAD = ("time", "energy", "limit")
ROOM = 110  # letters of a line


def shown(result: Finished) -> Shown:
    return Shown(result)


@dataclass(frozen=True)
class Plot:
    """Figures of a run, with matplotlib; each draws into the axes that it is given, or into new ones.

    raises   InputError for a figure that such a run has not
    """

    run: Run

    def floorline(self, ax: Axes | None = None) -> Axes:
        """Maximum synops per core against time, with the bounds that the chip sets; returns the axes."""
        from nsim.report.content import Floorline

        return self._draw(self._content(Floorline, "floorline"), ax, "")

    def mesh(self, ax: Axes | None = None, metric: str = "busy") -> Axes:
        """Cores and links in their places, coloured by a metric; returns the axes.

        metric   layer, busy or blocked (time), synops (messages of links), queue, or energy if costs are known
        """
        from nsim.report.content import Mesh

        content = self._content(Mesh, "mesh")
        if metric not in content.metrics:
            raise InputError(f"no metric {metric!r} here: choose from {', '.join(content.metrics)}")
        return self._draw(content, ax, metric)

    def _content(self, kind: type, name: str) -> Any:
        from nsim.report.figures import contents

        found = next((each for each in contents(self.run) if isinstance(each, kind)), None)
        if found is None:
            cure = "simulate with critical_path=True" if name == "floorline" else "see result.tables"
            raise InputError(f"this run on {self.run.facts['title']} has no {name}: {cure}")
        return found

    def _draw(self, content: Any, ax: Axes | None, metric: str) -> Axes:
        from nsim.report.vector import draw, new_axes

        ax = new_axes() if ax is None else ax
        draw(content, ax, metric)
        return ax


@dataclass(frozen=True)
class Shown:
    """A result, and what is made of it when it is asked for."""

    result: Finished

    @cached_property
    def run(self) -> Run:
        return self.result.run if isinstance(self.result, SavedResult) else run_of(self.result)

    @cached_property
    def told(self) -> Told:
        return told_of_folder(self.run) if isinstance(self.result, SavedResult) else head_of(self.result)

    @property
    def head(self) -> list[Line]:
        """Time, energy and limit."""
        return [line for line in brief(self.told.lines, self.told.summary, ROOM) if line.name in HEAD]

    @property
    def title(self) -> str:
        return f"{self.told.summary['network']} on {self.told.title}"

    @property
    def text(self) -> str:
        """The title and the head, a line each."""
        lines = [f"  {line.name:<6}   {line.said}   {line.remarks}".rstrip() for line in self.head]
        return "\n".join([f"{self.title}   {self.told.size}", *lines])

    @property
    def card(self) -> str:
        """The head, the table of layers or tiles, and the single values of the summary: HTML, no scripts or files."""
        head = "".join(
            f"<tr><th scope='row'>{line.name}</th><td style='text-align:left'><b>{escape(line.said)}</b> "
            f"{escape(line.remarks)}</td></tr>"
            for line in self.head
        )
        rows = "".join(
            f"<tr><th scope='row'>{escape(key)}</th><td>{escape(str(value))}</td></tr>"
            for key, value in self.told.summary.items()
            if isinstance(value, str | int | float)
        )
        table = self.result.table("layers" if "layers" in self.result.tables else "tiles")
        more = f"<details><summary>All numbers</summary><table>{rows}</table></details>"
        return (
            f"<p><b>{escape(self.title)}</b>, {escape(self.told.size)}</p><table>{head}</table>"
            f"{table.to_html(index=False, na_rep='')}{more}"
        )

    @property
    def plot(self) -> Plot:
        return Plot(self.run)

    def write_page(self, path: Path, force: bool) -> Path:
        from nsim.report.page import check_report, write_report

        check_report(path, force)
        write_report(self.run, path)
        return path

    def save(self, folder: Path, force: bool) -> Path:
        from nsim.result.folder import OutputFolder, check_files, manifest_of

        with OutputFolder(folder, force) as out:
            if not isinstance(self.result, SavedResult):
                out.write(self.result)
                return folder
            saved = self.result.folder
            check_files(saved)

            def copy(into: Path) -> None:
                for name in manifest_of(saved):
                    (into / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(saved / name, into / name)

            out.publish(copy)
        return folder
