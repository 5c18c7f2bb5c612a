"""Profiles x methods x seeds: every run in a folder of its own, in parallel processes, and one CSV row for each.

A run whose folder holds summary.json is done; one that was stopped goes on from its checkpoint; one that failed is
tried again by the next call. The table is written anew from the folders whenever a run ends.
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from nsim.errors import InterruptedRunError, NsimError, OutputError, TrainingError
from nsim.training.routing.choice import check_name
from nsim.training.routing.settings import Settings, profile_of

COLUMNS = (
    *("method", "profile", "seed", "data", "test_accuracy", "validation_accuracy", "epoch", "epochs"),
    *("provisioned_elements", "programmed_elements", "mappable", "violated_ports", "excess_lines"),
    *("connections", "links", "test_spikes_per_neuron_and_step", "error"),
)
WITHOUT_PROFILE = ("dense", "hop-penalty", "memory-aware")  # one run per seed, whatever the profiles
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"  # processes share the processors, and any number gives the same sums


@dataclass(frozen=True)
class Run:
    settings: Settings
    profile: str
    folder: Path

    def row(self, error: str = "") -> dict[str, Any]:
        """What its folder says; without a summary only what was asked for."""
        facts: dict[str, Any] = {"method": self.settings.choice.name, "seed": self.settings.seed}
        facts |= {"epochs": self.settings.epochs}
        if (self.folder / "summary.json").is_file():
            facts |= json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))
        facts |= {"profile": self.profile, "error": error}
        return {column: facts.get(column, "") for column in COLUMNS}

    def finished(self) -> bool:
        """TrainingError if the folder holds the results of other settings."""
        path = self.folder / "summary.json"
        if not path.is_file():
            return False
        found = json.loads(path.read_text(encoding="utf-8"))["settings"]
        if found != json.loads(json.dumps(self.settings.as_json())):
            raise TrainingError(f"{self.folder} holds a run of other settings: give another --out, or the same options")
        return True


def plan(base: Settings, methods: list[str], profiles: list[str], seeds: int, table: Path) -> list[Run]:
    """The runs, by method, profile and seed; seeds count up from that of `base`.

    raises   TrainingError for an unknown method, a profile that cannot be read, or nothing to do
    """
    if seeds < 1 or not methods:
        raise TrainingError(f"{seeds} seeds and {len(methods)} methods: give at least one of each")
    folder, runs = table.with_name(f"{table.name}.runs"), []
    for method in dict.fromkeys(methods):
        check_name(method)
        names = [""] if method in WITHOUT_PROFILE else list(dict.fromkeys(profiles))
        for name in names:
            choice = replace(base.choice, name=method, profile=profile_of(name) if name else ())
            for seed in range(base.seed, base.seed + seeds):
                label = "-".join(part for part in (method, name.replace(",", "-"), f"seed{seed}") if part)
                runs.append(Run(replace(base, choice=choice, seed=seed), name, folder / label))
    if not runs:
        raise TrainingError(f"{', '.join(methods)} need profiles: add --profiles 'p1=0.5 p1=0.5,p3=0.1'")
    return runs


def split_list(text: str) -> list[str]:
    """Entries between blanks or semicolons."""
    return [entry for entry in re.split(r"[;\s]+", text) if entry]


def sweep(runs: list[Run], table: Path, workers: int, report: Callable[[Run, dict[str, Any]], None]) -> int:
    """Train what is not finished; returns the number of runs that failed.

    report   called with the row of every run as it ends
    raises   InterruptedRunError after Ctrl-C: running epochs are ended and kept
    """
    if workers < 1:
        raise TrainingError(f"workers are {workers}: give at least 1")
    if not table.parent.is_dir():
        raise OutputError(f"cannot write {table}: make the folder {table.parent} first")
    missing = [run for run in runs if not run.finished()]
    errors: dict[Path, str] = {}
    _write_table(runs, errors, table)
    context = multiprocessing.get_context("spawn")  # JAX has threads, which a fork would lose
    stop = context.Event()
    with _one_thread_each(), ProcessPoolExecutor(workers, context, _begin_worker, (stop,)) as pool:
        waiting = {pool.submit(_train_one, run): run for run in missing}
        try:
            for done in as_completed(waiting):
                run = waiting[done]
                errors[run.folder] = done.result()
                _write_table(runs, errors, table)
                report(run, run.row(errors[run.folder]))
        except KeyboardInterrupt:
            stop.set()
            pool.shutdown(cancel_futures=True)
            left = sum(not (run.folder / "summary.json").is_file() for run in runs)
            raise InterruptedRunError(
                f"interrupted with {left} of {len(runs)} runs left: the same command goes on with them"
            ) from None
        except BrokenProcessPool:
            raise TrainingError(
                "a worker process was killed, perhaps because memory ran out: what was done is kept; run the same "
                "command again, with fewer --workers"
            ) from None
    return sum(bool(error) for error in errors.values())


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that are spawned meanwhile inherit the flag; it must be set before they import JAX."""
    before = os.environ.get("XLA_FLAGS")
    os.environ["XLA_FLAGS"] = f"{before or ''} {ONE_THREAD}".strip()
    try:
        yield
    finally:
        if before is None:
            del os.environ["XLA_FLAGS"]
        else:
            os.environ["XLA_FLAGS"] = before


_stop: Event | None = None  # of a worker process: set when the user stops the sweep


def _begin_worker(stop: Event) -> None:
    import signal

    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that keeps the table


def _train_one(run: Run) -> str:
    """Train one network in this process; returns its error, or an empty text."""
    if _stop is not None and _stop.is_set():
        return "stopped"
    try:
        from nsim.training.routing.loop import Epoch, train
        from nsim.training.routing.report import write_report
        from nsim.training.routing.samples import load_samples

        def between_epochs(_: Epoch) -> None:
            if _stop is not None and _stop.is_set():
                raise InterruptedRunError("stopped")

        samples = load_samples(run.settings)
        trained = train(run.settings, samples, run.folder, resume=True, report=between_epochs)
        write_report(trained, samples, run.folder)
    except NsimError as error:
        return str(error)
    return ""


def _write_table(runs: list[Run], errors: dict[Path, str], table: Path) -> None:
    """One row per run that is finished or has failed, in the order of the plan; whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for run in runs:
        if errors.get(run.folder) or (run.folder / "summary.json").is_file():
            writer.writerow(run.row(errors.get(run.folder, "")))
    partial = table.with_name(f"{table.name}.partial")
    try:
        partial.write_text(text.getvalue(), encoding="utf-8")
        partial.replace(table)
    except OSError as error:
        raise OutputError(f"cannot write {table} ({error.strerror}): free space, or give another --out") from None
