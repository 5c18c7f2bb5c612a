"""Routing-aware training on recorded digits, beyond `real_speech`: speakers that were never heard, and larger grids.

Speakers  each of the six in turn is the test, the other five train and validate; profiles, links anywhere and l1, a
          network each, paired by speaker
Grid      5x5 tiles, takes 0 to 4 as the test: the profiles at the two ends of figure 3a of Weber, Ballet, Payvand
          2024, arXiv:2412.01575, three seeds each. Expected: 12.5 points between them, as published on SHD
Learning rates are those that `real_speech` chose on its validation clips, all else as there. Runs are kept in --kept,
and a benchmark that was stopped goes on.

    python -m benchmarks.real_speech_more FILE --kept DIR [--quick] [--seeds 3] [--workers 2] [--out DIR]
"""

from __future__ import annotations

import argparse
import gzip
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.stats import t as student

from benchmarks.real_speech import ANYWHERE, PROFILES, SIZE, TINY, Case, told, trained
from nsim.cli.experiments import Outcome, Verdict, prepare, write
from nsim.errors import NsimError
from nsim.training.routing.options import Choice
from nsim.training.routing.settings import Settings, profile_of
from nsim.training.routing.sweep import Run

LEAST, ONE_HOP, MOST = PROFILES[0], PROFILES[1], PROFILES[3]  # (0.5, 0), (1, 0), (1, 0.3)
CONFIDENCE = 0.95
RATES = {"deepr-profile": 2.5e-3, "links anywhere": 5e-3, "l1": 2.5e-3}  # as real_speech chose them
PUBLISHED = 12.5  # points from (0.5, 0) to (1, 0.3), figure 3a
TAKES, WIDE = "takes", "5x5"


@dataclass(frozen=True)
class Row:
    """One network. tested_on: a speaker's number, or takes."""

    grid: str
    tested_on: str
    setting: str
    seed: int
    test_accuracy_percent: float
    validation_accuracy_percent: float
    epoch: int
    connections: int
    provisioned_elements: int
    programmed_elements: int
    differing_spikes: int


def case(method: str, name: str, profile: str) -> Case:
    return Case(method, Choice(name, profile_of(profile)), profile)


SPEAKER_CASES = (
    case("deepr-profile", "deepr-profile", LEAST),
    case("deepr-profile", "deepr-profile", ONE_HOP),
    case("deepr-profile", "deepr-profile", MOST),
    case("links anywhere", "deepr-profile", ANYWHERE[0]),
    case("l1", "l1", MOST),
)
SHOWN = ("p1 = 0.5", "p1 = 1", "p1 = 1\np3 = 0.3", "links\nanywhere\n10 %", "l1, as many\nas p1 = 1\np3 = 0.3")
GRID_CASES = (SPEAKER_CASES[0], SPEAKER_CASES[2])


def opened(path: Path) -> h5py.File:
    content = path.read_bytes()
    return h5py.File(io.BytesIO(gzip.decompress(content) if path.suffix == ".gz" else content), "r")


def split_by_speaker(path: Path, kept: Path) -> dict[str, Path]:
    """The set once for each speaker, who alone is its test; by the speaker's number."""
    with opened(path) as file:
        speakers = file["extra/speaker"][:]
        found = {}
        for speaker in np.unique(speakers).tolist():
            found[str(speaker)] = target = kept / f"speaker_{speaker}.h5"
            if target.is_file():
                continue
            partial = target.with_suffix(".partial")
            with h5py.File(partial, "w") as copy:
                for name in file:
                    file.copy(name, copy)
                copy.attrs.update(file.attrs)
                copy["extra/split"][:] = (speakers == speaker).astype(np.uint8)
            partial.replace(target)
    return found


def row_of(grid: str, tested_on: str, each: Case, run: Run) -> Row:
    summary = told(run)
    return Row(
        grid=grid,
        tested_on=tested_on,
        setting=each.label,
        seed=run.settings.seed,
        test_accuracy_percent=100 * summary["test_accuracy"],
        validation_accuracy_percent=100 * summary["validation_accuracy"],
        epoch=summary["epoch"],
        differing_spikes=summary["simulator"]["differing_spikes"],
        **{name: summary[name] for name in ("connections", "provisioned_elements", "programmed_elements")},
    )


def rows_of(base: Settings, found: Sequence[tuple[str, str, Case, Run]], workers: int, kept: Path) -> list[Row]:
    trained([run for *_, run in found], kept, workers)
    return [row_of(*each) for each in found]


def speakers(base: Settings, path: Path, kept: Path) -> list[tuple[str, str, Case, Run]]:
    return [
        (base.grid, speaker, each, each.run(replace(base, data=str(file)), RATES[each.method], 0, kept / speaker))
        for speaker, file in split_by_speaker(path, kept).items()
        for each in SPEAKER_CASES
    ]


def grids(base: Settings, seeds: int, kept: Path) -> list[tuple[str, str, Case, Run]]:
    wide = replace(base, grid=WIDE)
    return [
        (wide.grid, TAKES, each, each.run(wide, RATES[each.method], seed, kept / wide.grid))
        for seed in range(seeds)
        for each in GRID_CASES
    ]


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and both ends of the interval by Student's t."""
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
    half = float(student.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error
    return mean, mean - half, mean + half


def differences(rows: Sequence[Row], grid: str, tested_on: set[str], ours: Case, theirs: Case) -> list[float]:
    """Points of test accuracy, paired by what was tested on and by seed."""
    own, other = (
        {
            (row.tested_on, row.seed): row.test_accuracy_percent
            for row in rows
            if row.setting == each.label and row.grid == grid and row.tested_on in tested_on
        }
        for each in (ours, theirs)
    )
    return [own[key] - other[key] for key in own]


def judged(claim: str, values: Sequence[float], of: str, least: float | None = None) -> Verdict:
    """Points of difference: whether their interval is above 0, or their mean reaches what was published."""
    mean, low, high = interval(values)
    holds = low > 0 if least is None else mean >= least
    return Verdict(claim, holds, f"{mean:.1f} points ({low:.1f} to {high:.1f}) over {len(values)} {of}")


def outcome(rows: list[Row], grid: str) -> Outcome:
    heard = {row.tested_on for row in rows if row.tested_on != TAKES}
    least, one, most, anywhere, l1 = SPEAKER_CASES
    pairs = (
        ("all links at 1 hop (p1 = 1) are more accurate than links anywhere, 10 %", one, anywhere),
        ("p1 = 1, p3 = 0.3 is more accurate than l1 of as many connections", most, l1),
        ("p1 = 1 is more accurate than p1 = 0.5", one, least),
    )
    verdicts = [
        judged(f"on speakers that were never heard, {claim}", differences(rows, grid, heard, *pair), "speakers")
        for claim, *pair in pairs
    ]
    gains = differences(rows, WIDE, {TAKES}, most, least)
    claim = f"on {WIDE} tiles (1, 0.3) is at least {PUBLISHED} points above (0.5, 0), as published on SHD"
    verdicts.append(judged(claim, gains, "seeds", PUBLISHED))
    right = sum(row.differing_spikes == 0 for row in rows)
    claim = "the simulator's kernels give the spikes of every trained network"
    verdicts.append(Verdict(claim, right == len(rows), f"{right} of {len(rows)} networks"))
    return Outcome([asdict(row) for row in rows], verdicts, lambda figure: draw(figure, rows), (9, 4))


def draw(figure: Any, rows: Sequence[Row]) -> None:
    """Accuracy by setting: a dot for each network, a line for the mean."""
    names = dict(zip((case.label for case in SPEAKER_CASES), SHOWN, strict=True))
    groups = [("3x3 tiles, each speaker in turn", [row for row in rows if row.tested_on != TAKES])]
    groups.append((f"{WIDE} tiles, takes 0 to 4", [row for row in rows if row.tested_on == TAKES]))
    for axis, (title, own) in zip(figure.subplots(1, 2, width_ratios=(5, 3), sharey=True), groups, strict=True):
        settings = list(dict.fromkeys(row.setting for row in own))
        for place, setting in enumerate(settings):
            values = [row.test_accuracy_percent for row in own if row.setting == setting]
            axis.plot([place] * len(values), values, "o", color="#0072b2", ms=4)
            axis.plot([place - 0.25, place + 0.25], [np.mean(values)] * 2, color="black", lw=2)
        axis.set_xticks(range(len(settings)), [names[setting] for setting in settings], fontsize=8)
        axis.set_xlim(-0.6, len(settings) - 0.4)
        axis.set_title(title, fontsize=9)
        axis.set_ylabel("test accuracy (%)")


def main(arguments: Sequence[str] | None = None) -> Sequence[Verdict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="file of nsim data recordings, with {speaker} in its names")
    parser.add_argument("--kept", type=Path, required=True, help="folder for the runs, to go on with")
    parser.add_argument("--quick", action="store_true", help="tiles of 8 neurons, two epochs")
    parser.add_argument("--seeds", type=int, default=3, help="networks of every profile on 5x5")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, help="folder for table and figure; without it, beside the script")
    options = parser.parse_args(arguments)
    for folder in filter(None, (options.kept, options.out)):
        prepare(folder)
    base = Settings(str(options.data), Choice("dense"), **(TINY if options.quick else SIZE))
    found = speakers(base, options.data, options.kept) + grids(base, options.seeds, options.kept)
    rows = rows_of(base, found, options.workers, options.kept)
    found_out = outcome(rows, base.grid)
    write("real_speech_more", found_out, options.out or Path(__file__).parent)
    return found_out.verdicts


if __name__ == "__main__":
    try:
        for verdict in main():
            print(verdict)
    except NsimError as error:
        raise SystemExit(f"error: {error}") from None
