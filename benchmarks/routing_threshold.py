"""Which threshold of the neurons, and which decay of the learning rate, do networks of `routing_aware` train with?

Decided before the runs of that benchmark, with another seed (1000), on held-out training speakers only; the test split
is not looked at. Methods begin with two kinds of weights: those that rewire with the published ones, none below 0.1 in
size and 0.3 in root mean square however many there are; the others with Gaussian ones of variance 1 / fan-in, 0.06
here. A network spikes by its weights over the threshold, so the same threshold is not the same to both; nor is the same
step of Adam, whose size does not depend on the gradient. Printed: spikes per neuron and step before any training, and
the best accuracy on validation.

    python -m benchmarks.routing_threshold [--workers N] [--kept DIR]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np

from benchmarks.routing_aware import BASE
from nsim.cli.experiments import prepare
from nsim.training.routing.loop import Evaluator
from nsim.training.routing.options import Choice
from nsim.training.routing.samples import Samples, load_samples
from nsim.training.routing.settings import Purpose, Settings, profile_of
from nsim.training.routing.sweep import Run, sweep

SEED = 1_000
SPARSE, FULL = "p1=0.5,p3=0.1", "p1=1,p3=0.3"  # the profiles looked at; l1 keeps as many connections as the first
MEMORY = 520_000  # about what random networks of p1 = 1, p3 = 0.2 take
TRIED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    *(("deepr-profile", SPARSE, {"threshold": threshold}) for threshold in (1.0, 2.0, 3.0, 4.0)),
    *(("deepr-profile", FULL, {"threshold": threshold}) for threshold in (2.0, 3.0, 4.0)),
    *(("memory-aware", "", {"threshold": threshold}) for threshold in (2.0, 3.0)),
    *(("l1", SPARSE, {"threshold": threshold}) for threshold in (1.0, 2.0, 3.0)),
    *(("hop-penalty", "", {"threshold": threshold}) for threshold in (1.0, 2.0)),
    ("deepr-profile", SPARSE, {"threshold": 3.0, "decay": "steps"}),
    ("l1", SPARSE, {"threshold": 1.0, "decay": "steps"}),
    *(("deepr-profile", profile, {"threshold": 3.0, "batch": 32}) for profile in (SPARSE, FULL)),
    *(
        ("deepr-profile", profile, {"threshold": 3.0, "learning_rate": 0.015, "epochs": 8})  # three times the step
        for profile in (SPARSE, FULL)
    ),
)


def runs(kept: Path) -> Iterator[Run]:
    for method, profile, changes in TRIED:
        budget = MEMORY if method == "memory-aware" else None
        choice = Choice(method, profile_of(profile) if profile else (), memory=budget, recipe="published")
        label = "-".join([method, profile.replace(",", "-"), *(f"{name}{value}" for name, value in changes.items())])
        yield Run(replace(BASE, seed=SEED, choice=choice, **changes), profile, kept / label)


def first_rate(settings: Settings, samples: Samples) -> float:
    """Spikes per neuron and step of the validation samples before any training."""
    layout = settings.layout(len(samples.words))
    weights = settings.method(layout).begin(settings.rng(Purpose.BEGIN)).weights
    return Evaluator(settings, layout)(weights, samples.validation).rate


def best(folder: Path) -> float:
    history = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))["history"]
    return float(np.max([row["validation_accuracy"] for row in history]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--kept", type=Path, default=Path(gettempdir()) / "nsim_routing_threshold")
    options = parser.parse_args()
    prepare(options.kept)
    planned = list(runs(options.kept))
    sweep(planned, options.kept / "runs.csv", options.workers, lambda run, _: print(run.folder.name, flush=True))
    samples = load_samples(planned[0].settings)
    columns = ("threshold", "decay", "learning_rate", "batch", "epochs")
    heads = ("method", "profile", *(name.replace("_", " ") for name in columns), "rate before training", "validation")
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for run in planned:
        settings = run.settings
        given = [settings.choice.name, run.profile, *(f"{getattr(settings, name)}" for name in columns)]
        print(f"| {' | '.join(given)} | {first_rate(settings, samples):.3f} | {best(run.folder):.1%} |")


if __name__ == "__main__":
    main()
