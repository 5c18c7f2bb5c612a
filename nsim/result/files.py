"""The files of a result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


class Written(Protocol):
    """A result that can be written: it gives pandas tables by name."""

    @property
    def tables(self) -> tuple[str, ...]: ...

    @property
    def outputs(self) -> NDArray | None: ...

    @property
    def record(self) -> Mapping[str, NDArray]: ...

    def table(self, name: str) -> pd.DataFrame: ...

    def summary(self) -> dict[str, Any]: ...

    def provenance(self) -> dict[str, Any]: ...


def write_files(result: Written, folder: Path, what_if: dict[str, Any] | None = None, command: str = "") -> None:
    """Write a result's files into an existing folder; nsim/result/facts.py says what report.json has of the others."""
    # Start-up: these load the results of every discipline, and a run that writes nothing needs only its own
    from nsim.result.facts import report_facts
    from nsim.result.neurobench import FILE, export

    content = {**result.summary(), "reproducibility": result.provenance()}
    (folder / "summary.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if (facts := report_facts(result, what_if, command)) is not None:
        (folder / "report.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    if (metrics := export(result)) is not None:
        (folder / FILE).write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    for name in result.tables:
        result.table(name).to_csv(folder / f"{name}.csv", index=False)
    if result.outputs is not None:
        np.save(folder / "outputs.npy", result.outputs)
    if result.record:
        np.savez_compressed(folder / "record.npz", **result.record)  # type: ignore[arg-type]
