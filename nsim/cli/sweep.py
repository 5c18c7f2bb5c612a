"""`nsim sweep`: many runs, described by a file, on all processors of this machine or on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsim.errors import OutputError, counted
from nsim.report import units

SUFFIXES = (".parquet", ".csv")  # of tables
SHOWN_ERRORS = 10  # the most frequent ones


def sweep(
    spec: Annotated[Path, typer.Argument(help="Sweep file (.toml); `nsim schema sweep` says what it may hold.")],
    out: Annotated[
        Path | None, typer.Option(help="Results, .parquet or .csv; finished points are kept beside it, in OUT.store.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes on this machine. [default: all processors]")] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Dask scheduler to use instead: tcp://host:8786, local:4 or slurm:4.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Table of the best points so far above the progress line of a terminal.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, estimate the time, and write nothing.")] = False,
) -> None:
    """Run every point of a sweep that is not finished yet, and write a table with a row for each.

    Ctrl-C keeps what is finished; the same command goes on. A point that fails is a row with its error;
    exit code 1 tells that there are some.
    """
    import time
    from contextlib import closing

    from nsim.sweep.executors import check_workers, executor, telling, without_interrupts

    begin = time.perf_counter()
    processes = check_workers(workers, cluster)
    path = out or Path(f"{spec.stem}.parquet")
    if path.is_dir() or not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: give a file in a folder that exists")
    if path.suffix not in SUFFIXES:
        raise OutputError(f"cannot write results to {path}: end its name in {' or '.join(SUFFIXES)}")
    beside = path.with_name(f"{path.name}.store")
    with closing(executor(processes, cluster)) as where, telling(lambda line: screen.note(line)):
        if cluster is None and not beside.exists():
            where.start()  # processes load what they need while this one reads and checks

        with without_interrupts():  # within an import, packages turn Ctrl-C into other errors
            from nsim.report import screen
            from nsim.report.answer import answered, say
            from nsim.sweep.effects import read_sweep
            from nsim.sweep.live import Best
            from nsim.sweep.page import show_best, sweep_facts
            from nsim.sweep.run import compute, kept, prepare, survey, write_result
            from nsim.sweep.spec import load_spec
            from nsim.sweep.store import Store
            from nsim.sweep.table import require_pyarrow

            require_pyarrow()
        planned = prepare(load_spec(spec), str(spec))
        if dry_run:
            estimate = survey(planned, planned.missing(None), where, None)
            total = time.perf_counter() - begin + estimate.seconds
            facts = {"points": len(planned.points), "estimated_seconds": total, "workers": where.workers}
            if not answered(lambda: {**facts, "seconds_per_point": estimate.seconds_each}):
                say(_plan(len(planned.points), 0, total, estimate.seconds_each, where.workers, cluster))
            return
        with Store(beside) as store:
            missing = planned.missing(store)
            if missing:
                finished = len(planned.points) - len(missing)
                estimate = survey(planned, missing, where, store)
                about = estimate.seconds, estimate.seconds_each
                say(_plan(len(planned.points), finished, *about, where.workers, cluster))
                with kept(planned, store):
                    best = Best(planned, store) if live and screen.watched() else None
                    with screen.progress("points", above=best.table if best else None) as progress:
                        found = best.add if best else None
                        compute(planned, store, where, estimate.seconds_each, progress, found)
            errors = write_result(planned, store, path)
    points, failed = len(planned.points), errors.total()
    counts = {"points": points, "computed_now": len(missing), "done": points - failed, "failed": failed}
    told = {**counts, "out": path, "errors": dict(errors.most_common(SHOWN_ERRORS))}
    if not answered(lambda: {**told, "kinds": sweep_facts(read_sweep(path))}):
        say(f"{counted(points - failed, 'point')} done, {failed:,} failed: {path}")
        for error, count in errors.most_common(SHOWN_ERRORS):
            say(f"  {count:,} x {error}")
        show_best(path)
    if failed:
        raise typer.Exit(1)


def _plan(points: int, finished: int, seconds: float, each_s: float, workers: int, cluster: str | None) -> str:
    """How much there is to do, and how long it takes."""
    done = f", {finished:,} finished before or equal to others" if finished else ""
    where = f"{counted(workers, 'worker')} of {cluster}" if cluster else counted(workers, "process")
    each = units.seconds(each_s * 1e12)
    return f"{counted(points, 'point')}{done}; about {_duration(seconds)} on {where}, at {each} each"


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
