"""`nsim sweep`: many runs, described by a file, on all processors of this machine or on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sweep(
    spec: Annotated[Path, typer.Argument(help="Sweep file (.toml); `nsim schema sweep` says what it may hold.")],
    out: Annotated[
        Path | None, typer.Option(help="Results, a Parquet file; finished points are kept beside it, in OUT.store.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes on this machine. [default: all processors]")] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Dask scheduler to use instead: tcp://host:8786, or local:4.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, estimate the time, and write nothing.")] = False,
) -> None:
    """Run every point of a sweep that is not finished yet, and write a table with a row for each.

    Ctrl-C keeps what is finished; the same command goes on. A point that fails is a row with its error.
    """
    from contextlib import closing

    from nsim import screen
    from nsim.answer import answered, say
    from nsim.errors import OutputError
    from nsim.sweep.executors import check_workers, executor
    from nsim.sweep.run import compute, prepare, write_result
    from nsim.sweep.spec import load_spec
    from nsim.sweep.store import Store
    from nsim.sweep.table import require_pyarrow

    processes = check_workers(workers, cluster)
    require_pyarrow()
    path = out or Path(f"{spec.stem}.parquet")
    if path.is_dir() or not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: give a file in a folder that exists")
    planned = prepare(load_spec(spec), str(spec))
    if dry_run:
        seconds = planned.time_some(planned.missing(None))
        if not answered(lambda: {"points": len(planned.points), "seconds_per_point": seconds, "workers": processes}):
            say(_plan(len(planned.points), 0, seconds, processes, cluster))
        return
    with Store(path.with_name(f"{path.name}.store")) as store:
        missing = planned.missing(store)
        if missing:
            seconds = planned.time_some(missing)
            finished = len(planned.points) - len(missing)
            say(_plan(len(planned.points), finished, seconds, processes, cluster))
            with closing(executor(processes, cluster)) as where, screen.progress("points") as progress:
                compute(planned, store, where, seconds, progress)
        failed = write_result(planned, store, path)
    points = len(planned.points)
    facts = {"points": points, "computed_now": len(missing), "done": points - failed, "failed": failed, "out": path}
    if not answered(lambda: facts):
        say(f"{points - failed:,} points done, {failed:,} failed: {path}")


def _plan(points: int, finished: int, seconds: float, workers: int, cluster: str | None) -> str:
    """How much there is to do, and how long it takes."""
    done = f", {finished:,} finished before or equal to others" if finished else ""
    where = (
        f"on one processor; the cluster {cluster} divides it"
        if cluster
        else f"with {workers} process{'es' * (workers > 1)}"
    )
    total = seconds * (points - finished) / (1 if cluster else workers)
    return f"{points:,} points{done}; about {_duration(total)} {where}, at {seconds * 1e3:.3g} ms each"


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
