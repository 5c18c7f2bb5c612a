"""What changed between runs: constants, partition, time, energy, layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nsim.errors import InputError
from nsim.report.run_folder import Run

if TYPE_CHECKING:
    import pandas as pd

SAME = ("reproducibility", "energy_by_action_fj", "neurobench_per_timestep", "violations", "sequences")


def compare(runs: Sequence[Run]) -> pd.DataFrame:
    """What differs, a row each: what (summary, chip value, layer), key, a column per run, and last over first.

    The ratio is empty where it makes no sense. Runs get numbers in front if folders have the same name.
    raises   InputError for fewer than two runs, or runs on chips that measure different things
    """
    import pandas as pd

    if len(runs) < 2:
        raise InputError(f"{len(runs)} run to compare: give at least 2 folders")
    kinds = {run.discipline for run in runs}
    if len(kinds) > 1:
        raise InputError(f"runs of different disciplines ({', '.join(sorted(kinds))}) have no numbers to compare")
    names = [f"{number} {run.name}" for number, run in enumerate(runs, 1)]
    found = [_values(run) for run in runs]
    rows = []
    for key in dict.fromkeys(key for values in found for key in values):
        own = [values.get(key) for values in found]
        if any(value != own[0] for value in own):
            what, name = key
            rows.append({"what": what, "key": name, **dict(zip(names, own, strict=True)), "ratio": _ratio(own)})
    return pd.DataFrame(rows, columns=["what", "key", *names, "ratio"])


def _values(run: Run) -> dict[tuple[str, str], Any]:
    """Everything that can differ, by what it is and its key."""
    values: dict[tuple[str, str], Any] = {}
    for key, value in run.summary.items():
        if key not in SAME and not isinstance(value, dict | list):
            values["summary", key] = value
    for action, energy in run.summary["energy_by_action_fj"].items():
        values["energy_fj", action] = energy
    values |= {("chip", row["key"]): row["value"] for row in run.facts["constants"]}
    for row in run.tables["layers"].to_dict("records") if "layers" in run.tables else ():
        values |= {(f"layer {row['layer']}", key): value for key, value in row.items() if key != "layer"}
    return values


def _ratio(values: Sequence[Any]) -> float | None:
    """The last over the first, of numbers."""
    first, last = values[0], values[-1]
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in (first, last)) or not first:
        return None
    return last / first
