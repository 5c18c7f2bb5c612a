"""Every service of every message, written to files while the run goes on: a table, or tracks for Perfetto."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nsim.errors import OutputError
from nsim.machine.services import SERVICE, Log
from nsim.machine.stations import KINDS, build_machine
from nsim.mapping.cores.mapping import Mapping

ROWS_PER_GROUP = 1_000_000
FILES = {"messages": "messages.parquet", "perfetto": "trace.pftrace.gz"}


class Trace(Protocol):
    """Takes the services of a run, timestep by timestep."""

    def write(self, sample: int, log: Log) -> None:
        """Add the services of the sample's next timestep."""

    def close(self) -> None:
        """Write what is left and complete the file."""


class Traces:
    """Several traces of the same run."""

    def __init__(self, traces: Sequence[Trace]) -> None:
        self.traces = traces

    def write(self, sample: int, log: Log) -> None:
        for trace in self.traces:
            trace.write(sample, log)

    def close(self) -> None:
        for trace in self.traces:
            trace.close()


def parse_trace(trace: str | None, out: Path | None) -> tuple[str, ...]:
    """The traces that are asked for, as in messages,perfetto.

    raises   OutputError for one that is not known, is named twice or has nowhere to go
    """
    if trace is None:
        return ()
    kinds = tuple(kind.strip() for kind in trace.split(","))
    for kind in kinds:
        if kind not in FILES:
            raise OutputError(f"no trace {kind!r}: there is {' and '.join(FILES)}")
        if kinds.count(kind) > 1:
            raise OutputError(f"trace {kind!r} is asked for twice: name it once")
    if out is None:
        raise OutputError(f"--trace {trace} needs a folder to go to: add --out FOLDER")
    return kinds


def open_traces(files: MappingABC[str, str | PathLike[str]], mapping: Mapping) -> Traces:
    """Begin these traces, by kind."""
    from nsim.machine.trace.mesh import PerfettoTrace

    traces: list[Trace] = []
    for kind, file in files.items():
        traces.append(
            ServiceTrace(file, mapping)
            if kind == "messages"
            else PerfettoTrace(file, mapping, build_machine(mapping.chip))
        )
    return Traces(traces)


class ServiceTrace:
    """Writes a row per completed service, in order of completion within each timestep.

    sample, timestep   of the run; timesteps count from 1 within a sample
    station, kind      by number and kind; `nsim.machine.stations.Machine.name` names them
    neuron, layer      that fires, and its layer; -1 and "" for the silent rest of a sweep
    target_core        destination of the copy; -1 in a sweep
    start_ps, end_ps, left_ps   of the service, from the start of the timestep; left_ps is later where it was blocked
    cause              row within the timestep of the completion that let it start; -1 at its beginning
    raises             OutputError if pyarrow is missing or the disk is full
    """

    def __init__(self, path: str | PathLike[str], mapping: Mapping) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise OutputError("a trace needs the package pyarrow: pip install 'nsim-neuromorphic[trace]'") from None
        self.arrow, self.path = pyarrow, Path(path)
        self.first = build_machine(mapping.chip).first
        self.offsets = np.cumsum([layer.neurons for layer in mapping.network.layers])
        self.layers = [*(layer.name for layer in mapping.network.layers), ""]
        self.sample, self.timestep = -1, 0
        self.waiting: list[Any] = []
        self.rows = 0
        self.writer: Any = None

    def write(self, sample: int, log: Log) -> None:
        """Add the services of the sample's next timestep."""
        self.timestep = self.timestep + 1 if sample == self.sample else 1
        self.sample = sample
        self.waiting.append(self._table(log))
        self.rows += log.size
        if self.rows >= ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left and complete the file."""
        self._flush()
        self._guarded(self.writer.close)

    def _table(self, log: Log) -> Any:
        rows = log.size
        kind = np.searchsorted(self.first, log["station"], side="right") - 1
        neuron = log["spike"]
        layer = np.where(neuron < 0, len(self.layers) - 1, np.searchsorted(self.offsets, neuron, side="right"))
        columns = {
            "sample": np.full(rows, self.sample, np.int32),
            "timestep": np.full(rows, self.timestep, np.int32),
            "station": log["station"].astype(np.int32),
            "kind": self._named(kind, list(KINDS)),
            "neuron": neuron.astype(np.int32),
            "layer": self._named(layer, self.layers),
            "target_core": log["target"].astype(np.int32),
            "start_ps": log["start_ps"],
            "end_ps": log["end_ps"],
            "left_ps": log["left_ps"],
            "cause": log["cause"].astype(np.int32),
        }
        return self.arrow.table(columns)

    def _named(self, numbers: np.ndarray, names: list[str]) -> Any:
        return self.arrow.DictionaryArray.from_arrays(
            numbers.astype(np.int32), self.arrow.array(names, self.arrow.string())
        )

    def _flush(self) -> None:
        if self.writer is None:
            schema = self._table(np.zeros(0, SERVICE)).schema
            self.writer = self._guarded(self.arrow.parquet.ParquetWriter, self.path, schema)
        if self.waiting:
            self._guarded(self.writer.write_table, self.arrow.concat_tables(self.waiting))
        self.waiting, self.rows = [], 0

    def _guarded(self, write: Any, *arguments: Any) -> Any:
        try:
            return write(*arguments)
        except OSError as error:
            raise OutputError(f"cannot write trace {self.path.name}: {error.strerror or error}") from None
