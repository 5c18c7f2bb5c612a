"""A small table as a file: CSV or Parquet, by the ending of its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsim.errors import OutputError
from nsim.result.folder import check_replaceable

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")


def check_table(path: Path, force: bool = False) -> None:
    """Refuse a table that cannot be written, before anything is computed for it."""
    if path.suffix not in SUFFIXES:
        raise OutputError(f"table {path} has no format that can be written: end its name in {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise OutputError(f"table {path} is to go to a folder that does not exist: make {path.parent} first")
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise OutputError(
                "Parquet files need pyarrow: pip install 'nsim-neuromorphic[sweep]', or end the name in .csv"
            ) from None
    check_replaceable(path, force)


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Rows with the same keys."""
    import pandas as pd

    write_table(pd.DataFrame(list(rows)), path)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """A table; in Parquet, where a column has one type, a column of texts and numbers is one of texts."""
    try:
        if path.suffix == ".csv":
            table.to_csv(path, index=False)
        else:
            table.apply(_of_one_type).to_parquet(path, index=False)
    except OSError as error:
        raise OutputError(f"cannot write table {path} ({error.strerror}): give another file") from None


def _of_one_type(column: pd.Series) -> pd.Series:
    """The column, its values as texts if they are of several kinds; what is missing stays so."""
    kinds = {str if isinstance(value, str) else float for value in column.dropna()}
    return column.map(str, na_action="ignore") if len(kinds) > 1 else column
