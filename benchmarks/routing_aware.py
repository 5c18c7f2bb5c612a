"""Routing-aware training on Mosaic: accuracy by profile, accuracy against memory, and what fits the fabric.

After figures 3a and 3b of Weber, Ballet, Payvand 2024, arXiv:2412.01575, on spoken digits; what the paper reached on
SHD stands beside it. Accuracies on synthetic digits are no SHD accuracies: the data are easier.
Expected
  3a  more links at 3 hops, more accuracy (p1 = 0.5: 61.4 to 72.7 %, p1 = 1: 68.0 to 73.9 %); small spread over seeds
      (published bands of 0.6 to 3.2 points)
  3b  +5 points over training without routing awareness at equal memory, and the same accuracy with a tenth of the
      memory, of which 2.7 to 3.5 times follow from the published counting
  and that networks trained under a profile fit the fabric, while others of as many connections do not
Two counts of memory elements, see nsim/mapping/tiles/memory.py: provisioned, homogeneous hardware as large as the
worst tile of its kind, which is the published count; and programmed, the devices that conduct.
Compared: l1 with several counts of connections, among them those of the smallest and the largest of the profiles that
are looked at (0.5, 0.1) and (1, 0.3), and the published baseline hop-penalty. Beyond the paper: memory-aware.

Every network is trained by nsim.training.routing.sweep, as by nsim train routing-sweep. Runs are kept in the
folder nsim_routing_aware of the system's folder for temporary files, or in --kept, and a benchmark that was stopped
goes on. How threshold and batch were chosen: benchmarks/routing_threshold.py.

    python -m benchmarks.routing_aware [--quick] [--seeds 30] [--epochs N] [--workers N] [--data FILE] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np

from benchmarks.routing_figure import draw
from benchmarks.routing_fits import PROBABILITY, Fits, budget_of, fits_of
from benchmarks.routing_verdicts import CHECKED, PROFILES, Row, tables, verdicts_of
from nsim.cli.experiments import Outcome, Verdict, prepare, write
from nsim.errors import InputError, NsimError, TrainingError
from nsim.training.routing.options import PUBLISHED, Choice
from nsim.training.routing.settings import Purpose, Settings, profile_of
from nsim.training.routing.sweep import Run, sweep

# Chosen by benchmarks/routing_threshold.py on validation speakers of another seed. The learning rate decays over all
# epochs: as published, over as many steps as there are epochs, it would be spent within the first one. The published
# weights and rivals train worse than what is now the default of nsim train
SHORT = {"batch": 64, "epochs": 10, "decay": "epochs", "rate_weight": 1.0, "rate_target": 0.5}
BASE = Settings("spoken-digits", Choice("dense", recipe="published"), grid="3x3", **{**PUBLISHED, **SHORT})
FROM_SMALL_WEIGHTS = ("dense", "l1", "hop-penalty")  # they begin with Gaussian weights of variance 1 / fan-in
SMALL_THRESHOLD, THRESHOLD = 1.0, 3.0  # of these, and of the others, which begin with the published weights
TINY = replace(BASE, neurons_per_tile=8, inputs=16, bins=20, shifts="first", epochs=2, tau_ms=10.0)
FEW = (500, 8_000)  # connections of further l1 networks
BUDGETS = ("p1=0.5,p3=0.1", "p1=1,p3=0.2")  # of memory-aware: what random networks of these profiles take


@dataclass(frozen=True)
class Case:
    """A setting of which several seeds are trained; kept_as: of its folder."""

    choice: Choice
    profile: str
    kept_as: str
    seeds: int

    def run(self, base: Settings, seed: int, kept: Path) -> Run:
        folder = kept / f"{self.kept_as}-seed{seed}"
        threshold = SMALL_THRESHOLD if self.choice.name in FROM_SMALL_WEIGHTS else THRESHOLD
        return Run(replace(base, choice=self.choice, seed=seed, threshold=threshold), self.profile, folder)


def of_method(method: str, profile: str, seeds: int, **options: Any) -> Case:
    named = [f"{name}{value}" for name, value in options.items()]
    choice = Choice(method, profile_of(profile) if profile else (), recipe="published", **options)
    return Case(choice, profile, "-".join([method, *filter(None, [profile.replace(",", "-")]), *named]), seeds)


def cases(base: Settings, seeds: int, quick: bool) -> list[Case]:
    """All settings; in a quick run only what every table needs.

    All seeds for the profiles, half of them (two at least) for what is compared, and one for what only shows the scale.
    """
    profiles = [f"p1={p1}" + (f",p3={p3}" if p3 else "") for p1, p3 in PROFILES]
    checked: tuple[str, ...] = CHECKED
    if quick:
        profiles, checked = [profiles[0], profiles[3], profiles[4], profiles[7]], CHECKED[-1:]
    found = [of_method("deepr-profile", profile, seeds) for profile in profiles]
    budgets = BUDGETS[-1:] if quick else BUDGETS
    few = max(min(seeds, 2), seeds // 2)
    found += [of_method("l1", profile, few) for profile in checked]
    found += [of_method("memory-aware", "", few, memory=budget_of(base.fabric, profile)) for profile in budgets]
    found.append(of_method("hop-penalty", "", few))
    if not quick:
        found += [of_method("l1", "", few, connections=count) for count in FEW]
        found += [of_method(name, CHECKED[0], 1) for name in ("deepr", "deepr-global")] + [of_method("dense", "", 1)]
    return found


def trained(base: Settings, found: Sequence[Case], kept: Path, workers: int) -> list[tuple[Case, Run]]:
    """All runs, seed by seed, so that a benchmark that was stopped has whole tables of fewer seeds; single ones last.

    raises  TrainingError if one fails
    """
    most = max(case.seeds for case in found)
    pairs = [
        (case, case.run(base, base.seed + number, kept))
        for number in range(most)
        for case in found
        if number < case.seeds
    ]
    pairs.sort(key=lambda pair: pair[0].seeds == 1)

    def ended(run: Run, row: dict[str, Any]) -> None:
        print(f"{run.folder.name}: {row['error'] or format(row['test_accuracy'], '.1%')}", flush=True)

    if failed := sweep([run for _, run in pairs], kept / "runs.csv", workers, ended):
        raise TrainingError(f"{failed} of {len(pairs)} runs failed, see the errors in {kept / 'runs.csv'}")
    return pairs


def rows_of(pairs: Sequence[tuple[Case, Run]]) -> list[Row]:
    return [row_of(case, run) for case, run in pairs]


def row_of(case: Case, run: Run) -> Row:
    summary = json.loads((run.folder / "summary.json").read_text(encoding="utf-8"))
    fits: Fits = fits_of(run)
    profile = dict(case.choice.profile)
    return Row(
        method=case.choice.name,
        setting=case.kept_as,
        p1=profile.get(1),
        p3=profile.get(3, 0.0) if profile else None,
        seed=run.settings.seed,
        data=summary["data"],
        test_accuracy_percent=round(100 * summary["test_accuracy"], 3),
        validation_accuracy_percent=round(100 * summary["validation_accuracy"], 3),
        epoch=summary["epoch"],
        provisioned_elements=summary["provisioned_elements"],
        programmed_elements=summary["programmed_elements"],
        connections=summary["connections"],
        links=summary["links"],
        links_moved=links_moved(run, summary["words"]),
        **asdict(fits),
    )


def links_moved(run: Run, words: int) -> int | None:
    """Links of the chosen epoch that were not drawn at the beginning, of methods that draw whole links."""
    settings = run.settings
    if settings.choice.name not in ("deepr-profile", "memory-aware"):
        return None
    layout = settings.layout(words)
    start = settings.method(layout).begin(settings.rng(Purpose.BEGIN)).mask
    with np.load(run.folder / "weights.npz") as stored:
        before, after = (layout.by_tile(mask).any(axis=2) & layout.possible_links for mask in (start, stored["mask"]))
    return int(np.count_nonzero(after & ~before))


def outcome(rows: list[Row], seed: int) -> Outcome:
    verdicts = verdicts_of(rows, np.random.default_rng([seed, 1]), PROBABILITY)
    return Outcome([asdict(row) for row in rows], verdicts, partial(draw, rows=rows), (15, 8.4))


def run(base: Settings, seeds: int, workers: int, kept: Path, quick: bool) -> Outcome:
    return outcome(rows_of(trained(base, cases(base, seeds, quick), kept, workers)), base.seed)


def kept_folder(base: Settings) -> Path:
    """By what all runs share: another size or number of epochs is another folder."""
    data = "".join(letter if letter.isalnum() else "_" for letter in Path(base.data).name)
    size = f"{base.grid}x{base.neurons_per_tile}"
    return Path(gettempdir()) / "nsim_routing_aware" / f"{data}-{size}-{base.epochs}epochs-{base.shifts}"


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a network of 72 neurons, two seeds, two epochs")
    parser.add_argument(
        "--data", default=BASE.data, help="spoken-digits, a file of nsim data spoken-digits, or the folder of SHD"
    )
    parser.add_argument("--seeds", type=int, default=5, help="networks of every setting (published: 30)")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--epochs", type=int, help="of every network")
    parser.add_argument("--shifts", default=None, help="phases of the sub-sampled channels: all, first or random")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--kept", type=Path, help="folder for the runs, to go on with")
    parser.add_argument("--out", type=Path, help="folder for table and figure; without it, beside the script")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> Sequence[Verdict]:
    """A quick run leaves nothing behind unless --out says where."""
    options = options_of(arguments)
    base = replace(TINY if options.quick else BASE, data=options.data, seed=options.seed)
    given = {name: getattr(options, name) for name in ("epochs", "shifts") if getattr(options, name) is not None}
    base = replace(base, **given)
    if options.data == "shd" and not Path("shd").is_dir():
        raise InputError("no folder shd here: give --data the folder that holds shd_train.h5 and shd_test.h5")
    if options.out:
        prepare(options.out)
    if options.quick:
        with TemporaryDirectory() as folder:
            found = run(base, min(options.seeds, 2), options.workers, Path(folder), True)
    else:
        kept = options.kept or kept_folder(base)
        prepare(kept)
        found = run(base, options.seeds, options.workers, kept, False)
    print(tables([Row(**row) for row in found.rows]), end="\n\n")  # type: ignore[arg-type]
    if options.out or not options.quick:
        write("routing_aware", found, options.out or Path(__file__).parent)
    return found.verdicts


if __name__ == "__main__":
    try:
        for verdict in main():
            print(verdict)
    except NsimError as error:
        raise SystemExit(f"error: {error}") from None
