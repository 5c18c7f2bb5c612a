"""Experiments with a question, an expected shape and a computed verdict: find them, run them, put them on one page.

The scripts are in benchmarks/experiments, beside the package in a clone of the repository; each offers
`run(quick, seed) -> Outcome`, and its docstring begins with its number and question.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import importlib
import inspect
import io
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nsim
from nsim.errors import ExperimentError, OutputError
from nsim.report.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path("benchmarks", "experiments")
BEGIN, END = "<!-- figures of nsim reproduce: begin -->", "<!-- figures of nsim reproduce: end -->"
SHARED = ("__init__", "common", "other_disciplines")  # scripts beside the experiments that are none
COLOURS = 96  # of a figure: a third of the size, and no difference to see
Row = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds, and by how much: computed, never assumed."""

    claim: str
    holds: bool
    measured: str

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'DOES NOT HOLD'}: {self.claim}: {self.measured}"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an experiment found.

    rows    of its table, all with the same columns; units end their names
    draw    draws its figure
    inches  width and height of it
    """

    rows: Sequence[Row]
    verdicts: Sequence[Verdict]
    draw: Callable[[Figure], None]
    inches: tuple[float, float] = (10, 4.4)


@dataclass(frozen=True)
class Experiment:
    """A script: its name, its number in the list, its question, and what runs it with (quick, seed)."""

    name: str
    number: int
    title: str
    question: str
    run: Callable[[bool, int], Outcome]


def facts(
    run: Sequence[Experiment], outcomes: Mapping[str, Outcome], files: Path | None, page: Path | None
) -> dict[str, object]:
    """Verdicts and tables of the experiments that were run, for scripts.

    outcomes      by name of the experiment
    files, page   where they were written to, if they were
    """
    return {
        "experiments": [
            {
                "number": each.number,
                "name": each.name,
                "title": each.title,
                "verdicts": [asdict(verdict) for verdict in outcomes[each.name].verdicts],
                "rows": list(outcomes[each.name].rows),
            }
            for each in run
        ],
        "files": files,
        "page": page,
    }


def repository() -> Path:
    """The clone whose experiments are run: the one that the package is in, or else the present folder.

    raises   ExperimentError if neither holds experiments
    """
    for folder in (Path(nsim.__file__).resolve().parents[1], Path.cwd()):
        if (folder / FOLDER).is_dir():
            return folder
    raise ExperimentError(
        f"no folder {FOLDER} beside the package or in {Path.cwd()}: the experiments come with a clone of the "
        "repository, run this command there"
    )


def names(root: Path) -> list[str]:
    """Of all experiments of a clone, in alphabetic order."""
    return sorted(path.stem for path in (root / FOLDER).glob("*.py") if path.stem not in SHARED)


def experiments(root: Path) -> list[Experiment]:
    """All experiments of a clone, by number."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return sorted((_loaded(name) for name in names(root)), key=lambda each: each.number)


def _loaded(name: str) -> Experiment:
    module = importlib.import_module(f"benchmarks.experiments.{name}")
    head = inspect.cleandoc(module.__doc__ or "").split("\n\n")
    found = re.fullmatch(r"(\d+)\. (.+)", head[0].strip())
    if not found or len(head) < 2:
        raise ExperimentError(f"experiment {name} says no number and question: begin its docstring with '4. Title.'")
    return Experiment(name, int(found[1]), found[2].rstrip("."), " ".join(head[1].split()), module.run)


def chosen(all_of_them: Sequence[Experiment], names: Sequence[str]) -> list[Experiment]:
    """Those with these names or numbers; all if there are no names.

    raises   ExperimentError for an unknown one
    """
    if not names:
        return list(all_of_them)
    known = {each.name: each for each in all_of_them} | {str(each.number): each for each in all_of_them}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ExperimentError(
                f"no experiment {name!r}: {hint}there are {', '.join(e.name for e in all_of_them)}, or their numbers"
            )
    return list({known[name].name: known[name] for name in names}.values())


def prepare(folder: Path) -> None:
    """Make the folder for results, before anything is run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write results to {folder}: {error.strerror or error}: give another folder") from None


def write(name: str, outcome: Outcome, folder: Path) -> None:
    """The table as NAME.csv and the figure as NAME.png, in a folder that exists."""
    figure = new_figure(*outcome.inches, layout="constrained")
    from PIL import Image  # comes with matplotlib

    outcome.draw(figure)
    try:
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(outcome.rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows({key: _plain(value) for key, value in row.items()} for row in outcome.rows)
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=100)
        Image.open(drawn).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(
            folder / f"{name}.png", optimize=True
        )
    except OSError as error:
        raise OutputError(
            f"cannot write the results of {name} to {folder} ({error.strerror or error}): give another --out"
        ) from None


def _plain(value: object) -> object:
    """Six significant digits: more than any constant of a chip is known to."""
    return f"{value:.6g}" if isinstance(value, float) else value


def section(experiment: Experiment, outcome: Outcome) -> str:
    """An experiment on the page: question, figure, verdicts, command."""
    verdicts = "\n".join(
        f"- **{'holds' if verdict.holds else 'does not hold'}**: {verdict.claim}: {verdict.measured}"
        for verdict in outcome.verdicts
    )
    name = experiment.name
    return (
        f"### {experiment.number}. {experiment.title}\n\n{experiment.question}\n\n"
        f"![{experiment.title}](experiments/{name}.png)\n\n{verdicts}\n\n"
        f"`nsim reproduce {name}` · [table](experiments/{name}.csv)\n"
    )


def rewritten(page: str, sections: Mapping[int, str]) -> str:
    """The page with these sections in place of the old ones of the same number; others stay as they are.

    raises   ExperimentError if the page has lost its markers
    """
    before, begin, rest = page.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end:
        raise ExperimentError(f"benchmarks/README.md has lost its markers: put back the lines {BEGIN} and {END}")
    kept = {int(part.split(".")[0]): f"### {part.strip()}\n" for part in re.split(r"(?m)^### (?=\d+\.)", old)[1:]}
    blocks = [block for _, block in sorted((kept | dict(sections)).items())]
    return f"{before}{BEGIN}\n\n" + "\n".join(blocks) + f"\n{END}{after}"


def rewrite_page(root: Path, sections: Mapping[int, str]) -> Path:
    """Put the sections on benchmarks/README.md."""
    path = root / FOLDER.parent / "README.md"
    path.write_text(rewritten(path.read_text(encoding="utf-8"), sections), encoding="utf-8")
    return path


def script(run: Callable[[bool, int], Outcome], file: str, doc: str | None) -> Sequence[Verdict]:
    """Run one experiment as a script of its own: table and figure go beside it, or to --out.

    A quick run leaves nothing behind unless --out says where.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller points, a few seconds")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and activity")
    parser.add_argument("--out", type=Path, help="folder for table and figure; without it, beside the script")
    options = parser.parse_args()
    path = Path(file)
    if options.out:
        prepare(options.out)
    outcome = run(options.quick, options.seed)
    if options.out or not options.quick:
        write(path.stem, outcome, options.out or path.parent)
    return outcome.verdicts
