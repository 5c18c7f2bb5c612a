"""A message trace: who sends how many bits to whom, and when. Read from CSV, checked, and sorted by time."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, check_fits, open_regular

if TYPE_CHECKING:
    import pandas as pd

TIME_UNITS_PS = {"time_ps": 1, "time_ns": 10**3, "time_us": 10**6, "time_s": 10**12}
COLUMNS = ("source_core", "destination_core", "bits")
LATEST_PS = 1 << 53  # whole picoseconds that a double holds: two and a half hours
MOST_BITS = 1 << 40  # of one message; its packets are simulated one by one
MEMORY_PER_BYTE = 16  # of a CSV file while it is read: columns of 8 bytes, and the text of numbers that are short


@dataclass(frozen=True, eq=False)
class Traffic:
    """Messages in order of time; those of one picosecond in the order in which they were given.

    time_ps      int64[messages]   when the source core has the message ready, 0 or later
    source       int64[messages]   core
    destination  int64[messages]   core; may be the source, then the message turns round at its router
    bits         int64[messages]   at least 1
    raises       InputError for lengths that differ, negative numbers, or times from LATEST_PS on
    """

    time_ps: NDArray[np.int64]
    source: NDArray[np.int64]
    destination: NDArray[np.int64]
    bits: NDArray[np.int64]

    def __post_init__(self) -> None:
        columns = {name: np.asarray(getattr(self, name)) for name in ("time_ps", "source", "destination", "bits")}
        sizes = {name: column.size for name, column in columns.items()}
        if len(set(sizes.values())) > 1:
            raise InputError(f"columns of a message trace differ in length: {sizes}: give a value of each per message")
        for name, column in columns.items():
            least, most = (1, MOST_BITS) if name == "bits" else (0, LATEST_PS - 1)
            wrong = np.flatnonzero((column < least) | (column > most))
            if wrong.size:
                row = int(wrong[0])
                raise InputError(f"{name} of message {row + 1} is {column[row]}: give {least} to {most}")
        order = np.argsort(columns["time_ps"], kind="stable")
        for name, column in columns.items():
            object.__setattr__(self, name, column[order].astype(np.int64))

    def __len__(self) -> int:
        return self.time_ps.size

    def check_cores(self, cores: int, chip: str) -> None:
        """Refuse cores that a chip does not have."""
        for name in ("source", "destination"):
            column = getattr(self, name)
            if column.size and column.max() >= cores:
                raise InputError(
                    f"the {name} core of a message is {column.max()}, but chip {chip!r} has cores 0 to {cores - 1}: "
                    "give a core of the chip, or another chip"
                )


def read_traffic(path: str | Path) -> Traffic:
    """Messages from a CSV file with a header, in any order of rows and columns; further columns are left alone.

    time_ps, or time_ns, time_us, time_s   a time, rounded to whole picoseconds
    source_core, destination_core          whole numbers
    bits                                   a whole number, at least 1
    raises   InputError for a file that cannot be read, misses a column, or holds what is none of these
    """
    path = Path(path)
    table = _table(path)
    time = _time_column(table, path)
    if not len(table):
        raise InputError(f"message trace {path} holds no messages: give at least one row under the header")
    columns = {name: _whole(table, name, path) for name in COLUMNS}
    if columns["bits"].min() < 1:
        _refuse(path, table, "bits", int(np.argmin(columns["bits"])), "a whole number of bits, at least 1")
    return Traffic(_times_ps(table, time, path), columns["source_core"], columns["destination_core"], columns["bits"])


def _table(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        check_fits(path.stat().st_size * MEMORY_PER_BYTE, f"the messages of {path}", "split the trace", InputError)
        with open_regular(path) as file, warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows of other lengths than the header
            return pd.read_csv(file, skipinitialspace=True, encoding="utf-8", index_col=False, compression=None)
    except pd.errors.EmptyDataError:
        raise InputError(f"message trace {path} is empty: begin with a header, {_header()}") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise InputError(
            f"message trace {path} is no CSV ({str(error).strip().splitlines()[-1]}): mend that line"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"message trace {path} is no text: give CSV, with the header {_header()}") from None
    except OSError as error:
        raise InputError(f"cannot read message trace {path} ({error.strerror or error}): give a CSV file") from None


def _header() -> str:
    return ",".join(("time_ps", *COLUMNS))


def _time_column(table: pd.DataFrame, path: Path) -> str:
    """The one column that holds times; refuses tables that miss a column."""
    found = [name for name in TIME_UNITS_PS if name in table.columns]
    missing = [name for name in COLUMNS if name not in table.columns]
    if len(found) > 1:
        raise InputError(f"message trace {path} has times in {' and '.join(found)}: leave one of them")
    if not found or missing:
        lacking = ", ".join(([] if found else ["time_ps (or time_ns, time_us, time_s)"]) + missing)
        there = ", ".join(map(str, table.columns))
        raise InputError(f"message trace {path} has no column {lacking}, only {there[:200]}: write {_header()}")
    return found[0]


def _numbers(table: pd.DataFrame, name: str, path: Path, wanted: str) -> NDArray:
    """A column of numbers: int64, or float64 without NaN and infinity."""
    import pandas as pd

    numbers = pd.to_numeric(table[name], errors="coerce").to_numpy()
    if numbers.dtype.kind in "iu":
        if numbers.dtype != np.int64 and numbers.max() >= 1 << 63:
            _refuse(path, table, name, int(np.argmax(numbers)), wanted)
        return numbers.astype(np.int64)
    numbers = numbers.astype(np.float64)
    if not np.isfinite(numbers).all():
        _refuse(path, table, name, int(np.argmin(np.isfinite(numbers))), wanted)
    return numbers


def _whole(table: pd.DataFrame, name: str, path: Path) -> NDArray[np.int64]:
    wanted = f"a whole number from 0 to {MOST_BITS}"
    numbers = _numbers(table, name, path, wanted)
    fits = (numbers >= 0) & (numbers <= MOST_BITS) & (np.floor(numbers) == numbers)
    if not fits.all():
        _refuse(path, table, name, int(np.argmin(fits)), wanted)
    return numbers.astype(np.int64)


def _times_ps(table: pd.DataFrame, name: str, path: Path) -> NDArray[np.int64]:
    """Times as whole picoseconds; those given in picoseconds or nanoseconds as whole numbers are never rounded."""
    unit_ps = TIME_UNITS_PS[name]
    latest = LATEST_PS // unit_ps
    wanted = f"a time from 0 to below {latest} {name.removeprefix('time_')}"
    numbers = _numbers(table, name, path, wanted)
    fits = (numbers >= 0) & (numbers < latest)
    if not fits.all():
        _refuse(path, table, name, int(np.argmin(fits)), wanted)
    return numbers * unit_ps if numbers.dtype == np.int64 else np.rint(numbers * unit_ps).astype(np.int64)


def _refuse(path: Path, table: pd.DataFrame, name: str, row: int, wanted: str) -> NoReturn:
    value: Any = table[name].iloc[row]
    raise InputError(f"message trace {path}, message {row + 1}: {name} is {str(value)[:40]!r}: give {wanted}")
