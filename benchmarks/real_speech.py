"""Routing-aware training on recorded digits: settings chosen on validation clips, then fixed, then tested.

The claims are those of figures 3a and 3b of Weber, Ballet, Payvand 2024, arXiv:2412.01575; its data are SHD, these are
the Free Spoken Digit Dataset through the project's own cochlea. `nsim data recordings --help` says where the
recordings are and how they become the file that this script reads.

Choice    every method gets the same learning rates, on seeds that the test never sees; the mean validation accuracy of
          the chosen epochs decides. Nothing else is chosen per method: gain, threshold, batch, l1, bins and window are
          the defaults of nsim train or the same for all
Test      takes 0 to 4 of every digit and speaker, 300 clips, read once, with the chosen learning rates and new seeds
Rivals    links anywhere (no distance is preferred), l1, hop-penalty, DeepR with a global count. Their settings span
          memory, so that accuracies can be compared at equal memory

Runs are kept in --kept, and a benchmark that was stopped goes on; seeds are trained one after another, so that a part
of it is a table of fewer seeds.

    python -m benchmarks.real_speech FILE --kept DIR [--quick] [--seeds 10] [--rivals 5] [--workers 2] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.routing_aware import links_moved
from benchmarks.routing_figure import draw
from benchmarks.routing_fits import PROBABILITY, fits_of
from benchmarks.routing_verdicts import COUNTS, Row, at_equal_accuracy, at_equal_memory, points_of, tables, verdicts_of
from nsim.cli.experiments import Outcome, Verdict, prepare, write
from nsim.errors import NsimError, TrainingError
from nsim.training.routing.options import Choice
from nsim.training.routing.settings import Settings, profile_of
from nsim.training.routing.sweep import Run, sweep

SIZE: dict[str, Any] = {"grid": "3x3", "bins": 50, "window_s": 0.7, "shifts": "first", "epochs": 25}
TINY: dict[str, Any] = SIZE | {"neurons_per_tile": 8, "inputs": 16, "bins": 20, "epochs": 2}
RATES = (1.25e-3, 2.5e-3, 5e-3)
CHOICE_SEEDS = (1_000, 1_001)
PROFILES = ("p1=0.5", "p1=1.0", "p1=0.5,p3=0.3", "p1=1.0,p3=0.3", "p1=0.5,p3=0.1", "p1=1.0,p3=0.1")
ANYWHERE = tuple(",".join(f"p{hops}={share}" for hops in (1, 3, 5, 7)) for share in (0.1, 0.05))
HOPS = (0.03, 0.1, 0.3)  # strengths of hop-penalty
FEW = 13_000  # connections of an l1 network as small as links anywhere, 5 %


@dataclass(frozen=True)
class Case:
    """A setting that several seeds are trained with; method: as the tables call it."""

    method: str
    choice: Choice
    profile: str = ""
    chosen_on: bool = False  # the learning rate of its method is chosen with it

    @property
    def label(self) -> str:
        parts = [self.method.replace(" ", "-"), self.profile.replace(",", "-")]
        if self.choice.connections:
            parts.append(f"{self.choice.connections}")
        if self.method == "hop-penalty":
            parts.append(f"{self.choice.hop_weight:g}")
        return "-".join(part for part in parts if part)

    def run(self, base: Settings, rate: float, seed: int, kept: Path) -> Run:
        folder = kept / f"{self.label}-rate{rate:g}-seed{seed}"
        return Run(replace(base, choice=self.choice, learning_rate=rate, seed=seed), self.profile, folder)


def cases(quick: bool) -> list[Case]:
    def under(method: str, name: str, profile: str) -> Case:
        return Case(method, Choice(name, profile_of(profile)), profile, profile in (PROFILES[2], ANYWHERE[0]))

    found = [under("deepr-profile", "deepr-profile", profile) for profile in PROFILES]
    found += [under("links anywhere", "deepr-profile", profile) for profile in ANYWHERE]
    l1 = [Case("l1", Choice("l1", profile_of(profile)), profile) for profile in PROFILES[:1]]
    l1 += [Case("l1", Choice("l1", profile_of(profile)), profile, True) for profile in PROFILES[3:4]]
    l1.append(Case("l1", Choice("l1", connections=FEW)))
    hops = [Case("hop-penalty", Choice("hop-penalty", hop_weight=weight), "", weight == HOPS[1]) for weight in HOPS]
    count = Case("deepr-global", Choice("deepr-global", profile_of(PROFILES[0])), PROFILES[0], True)
    every = found + l1 + hops + [count]
    return [case for case in every if case.chosen_on or case in found[:4]] if quick else every


def trained(runs: list[Run], kept: Path, workers: int) -> None:
    """Trains what is not there yet.

    raises   TrainingError if one fails
    """

    def ended(run: Run, row: dict[str, Any]) -> None:
        print(f"{run.folder.name}: {row['error'] or format(row['validation_accuracy'], '.1%')}", flush=True)

    if failed := sweep(runs, kept / "runs.csv", workers, ended):
        raise TrainingError(f"{failed} of {len(runs)} runs failed, see the errors in {kept / 'runs.csv'}")


def told(run: Run) -> dict[str, Any]:
    return json.loads((run.folder / "summary.json").read_text(encoding="utf-8"))


def chosen_rates(
    base: Settings, found: list[Case], rates: Sequence[float], seeds: Sequence[int], kept: Path, workers: int
) -> tuple[dict[str, float], list[str]]:
    """The learning rate of every method, by the mean validation accuracy over these seeds, and the table of these."""
    runs = {
        (case.method, rate, seed): case.run(base, rate, seed, kept)
        for case in found
        if case.chosen_on
        for seed in seeds
        for rate in rates
    }
    trained(list(runs.values()), kept, workers)
    methods = list(dict.fromkeys(method for method, _, _ in runs))
    means = {
        (method, rate): float(np.mean([told(runs[method, rate, seed])["validation_accuracy"] for seed in seeds]))
        for method in methods
        for rate in rates
    }
    best = {method: max(rates, key=lambda rate: means[method, rate]) for method in methods}
    lines = ["| method | " + " | ".join(f"{rate:g}" for rate in rates) + " | chosen |", "|---" * (len(rates) + 2) + "|"]
    for method in methods:
        values = " | ".join(f"{means[method, rate]:.1%}" for rate in rates)
        lines.append(f"| {method} | {values} | {best[method]:g} |")
    return best, lines


def tested(
    base: Settings, found: list[Case], rates: dict[str, float], seeds: tuple[int, int], kept: Path, workers: int
) -> list[tuple[Case, Run]]:
    """Seed by seed. seeds: of profiles, and of rivals."""
    pairs = [
        (case, case.run(base, rates[case.method], base.seed + number, kept))
        for number in range(max(seeds))
        for case in found
        if number < (seeds[0] if case.method == "deepr-profile" else seeds[1])
    ]
    trained([run for _, run in pairs], kept, workers)
    return pairs


def row_of(case: Case, run: Run) -> Row:
    summary = told(run)
    profile = dict(case.choice.profile) if case.method != "links anywhere" else {}
    return Row(
        method=case.method,
        setting=case.label,
        p1=profile.get(1),
        p3=profile.get(3, 0.0) if profile else None,
        seed=run.settings.seed,
        data="FSDD",
        test_accuracy_percent=round(100 * summary["test_accuracy"], 3),
        validation_accuracy_percent=round(100 * summary["validation_accuracy"], 3),
        epoch=summary["epoch"],
        **{name: summary[name] for name in (*(f"{count}_elements" for count in COUNTS), "connections", "links")},
        links_moved=links_moved(run, summary["words"]),
        **asdict(fits_of(run)),
    )


def rivals_of(rows: Sequence[Row], rng: np.random.Generator) -> list[Verdict]:
    """Against what verdicts_of does not know: links anywhere, and DeepR with a global count."""
    found = []
    for count in COUNTS:
        ours = points_of(rows, "deepr-profile", count)
        for theirs in ("links anywhere", "deepr-global"):
            if others := points_of(rows, theirs, count):
                found += [at_equal_memory("deepr-profile", theirs, count, ours, others, rng)]
                found += [at_equal_accuracy("deepr-profile", theirs, count, ours, others, rng)]
    return found


def simulated(pairs: Sequence[tuple[Case, Run]]) -> str:
    """How often the simulator's kernels gave the spikes of the trained network."""
    equal = [told(run)["simulator"]["differing_spikes"] == 0 for _, run in pairs]
    return f"spikes of the simulator equal on all compared clips in {sum(equal)} of {len(equal)} networks"


def outcome(rows: list[Row], seed: int) -> Outcome:
    rng = np.random.default_rng([seed, 1])
    verdicts = [*verdicts_of(rows, rng, PROBABILITY), *rivals_of(rows, rng)]
    return Outcome([asdict(row) for row in rows], verdicts, partial(draw, rows=rows), (15, 8.4))


def main(arguments: Sequence[str] | None = None) -> Sequence[Verdict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="file of nsim data recordings")
    parser.add_argument("--kept", type=Path, required=True, help="folder for the runs, to go on with")
    parser.add_argument("--quick", action="store_true", help="72 neurons, two epochs, two learning rates")
    parser.add_argument("--seeds", type=int, default=10, help="networks of every profile")
    parser.add_argument("--rivals", type=int, default=5, help="networks of every setting of a rival")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, help="folder for table, figure and page; without it, beside the script")
    options = parser.parse_args(arguments)
    base = Settings(options.data, Choice("dense"), **(TINY if options.quick else SIZE))
    found, kept = cases(options.quick), options.kept
    for folder in filter(None, (kept, options.out)):
        prepare(folder)
    tried, seeds = (RATES[:2], CHOICE_SEEDS[:1]) if options.quick else (RATES, CHOICE_SEEDS)
    rates, table = chosen_rates(base, found, tried, seeds, kept, options.workers)
    print("\n".join(["", "learning rates, by validation accuracy:", *table, ""]), flush=True)
    pairs = tested(base, found, rates, (options.seeds, options.rivals), kept, options.workers)
    rows = [row_of(*pair) for pair in pairs]
    print(tables(rows))
    print(simulated(pairs), flush=True)
    found_out = outcome(rows, base.seed)
    write("real_speech", found_out, options.out or Path(__file__).parent)
    return found_out.verdicts


if __name__ == "__main__":
    try:
        for verdict in main():
            print(verdict)
    except NsimError as error:
        raise SystemExit(f"error: {error}") from None
