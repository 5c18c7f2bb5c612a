"""The result of a sweep: a Parquet or CSV file with a row for every point, in the order of its file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsim.chip.discipline import DISCIPLINES, Discipline
from nsim.errors import OutputError
from nsim.result.columns.column import Columns
from nsim.sweep.spec import ALL_OPTIONS, AXES

if TYPE_CHECKING:
    import pyarrow

    from nsim.sweep.points import Point

ROWS_AT_A_TIME = 20_000
POINT = {
    **dict.fromkeys(("network", "chip"), "string"),
    **dict.fromkeys(("weight_sparsity", "activation_sparsity"), "float64"),
    **{"schedule": "string", "input": "string", "seed": "int64", "dt_s": "float64"},
}
OPTIONS = {name: "int64" if ALL_OPTIONS[name].kind is int else "string" for name in AXES.values()}


@cache
def measures_of(discipline: Discipline) -> Columns:
    """Single values of its summaries that are not of the point; their columns are empty on other chips."""
    return tuple(key for key in discipline.part("columns").measures if key.name not in {**POINT, **OPTIONS})


def require_pyarrow() -> None:
    """Say what is missing before anything is computed."""
    try:
        import pyarrow as pa

        pa.array([0])  # loads what pyarrow looks for in lists (pandas), while workers start
    except ImportError:
        raise OutputError(
            "results are Parquet files, which need pyarrow: pip install 'nsim-neuromorphic[sweep]'"
        ) from None


def schema_of(parameters: dict[str, set[type]]) -> pyarrow.Schema:
    """Number of the point, its key in the store, what it is, `status` (done or failed), `error`, and all measures.

    parameters   key paths of chip parameters, and the types of their values; columns "chip.KEY"
    """
    import pyarrow as pa

    measures = {key.name: key.dtype for own in DISCIPLINES.values() for key in measures_of(own)}
    columns = {"point": "int64", "key": "string", **POINT, **OPTIONS}
    columns |= {f"chip.{key}": column_type(types) for key, types in parameters.items()}
    columns |= {"status": "string", "error": "string", **measures, "energy_is_complete": "bool"}
    return pa.schema([pa.field(name, pa.type_for_alias(kind)) for name, kind in columns.items()])


def column_type(types: set[type]) -> str:
    """The Parquet type that holds values of all these types: texts if they have nothing else in common."""
    if types <= {int}:
        return "int64"
    if types <= {int, float}:
        return "float64"
    return "bool" if types == {bool} else "string"


def row_of(number: int, key: str, point: Point, measures: dict[str, Any], error: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"point": number, "key": key, **{name: getattr(point, name) for name in POINT}}
    row |= {name: point.option(name) for name in OPTIONS}
    row |= {f"chip.{name}": value for name, value in point.chip_parameters}
    return row | {"status": "done" if error is None else "failed", "error": error} | measures


def write_table(path: Path, schema: pyarrow.Schema, rows: Iterable[dict[str, Any]]) -> None:
    """Write all rows, or nothing.

    raises   OutputError if there is no room or no right to write
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file, _writer(file, schema, path.suffix) as writer:
            for table in tables(schema, rows):
                writer.write_table(table)
        partial.replace(path)
    except KeyboardInterrupt:
        partial.unlink(missing_ok=True)
        raise
    except OSError as error:
        partial.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise OutputError(
            f"cannot write {path} ({reason}): all points are kept in the store; free some space or give another "
            "--out, and run the same command again"
        ) from None


def _writer(file: Any, schema: pyarrow.Schema, suffix: str) -> Any:
    if suffix == ".csv":
        from pyarrow import csv

        return csv.CSVWriter(file, schema)
    import pyarrow.parquet as pq

    return pq.ParquetWriter(file, schema, compression="zstd")


def tables(schema: pyarrow.Schema, rows: Iterable[dict[str, Any]]) -> Iterator[pyarrow.Table]:
    import pyarrow as pa

    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    iterator = iter(rows)
    while part := list(islice(iterator, ROWS_AT_A_TIME)):
        for row in part:
            row.update({name: str(row[name]) for name in texts if row.get(name) is not None})
        yield pa.Table.from_pylist(part, schema=schema)
