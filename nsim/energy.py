"""Energy: counts times costs, plus static power times time. A cost that is not known is listed, never taken as zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsim.chip import Chip
from nsim.stations import Machine


@dataclass(frozen=True)
class Energy:
    """Energy of a run.

    by_action_fj  femtojoules by action; None where the action occurred but its cost is not known
    unknown       names of those actions
    """

    by_action_fj: dict[str, float | None]

    @property
    def unknown(self) -> list[str]:
        return [name for name, energy in self.by_action_fj.items() if energy is None]

    @property
    def known_fj(self) -> float:
        return float(sum(energy for energy in self.by_action_fj.values() if energy is not None))

    @property
    def dynamic_fj(self) -> float:
        return self.known_fj - (self.by_action_fj.get("static") or 0.0)


def energy_of(chip: Chip, actions: dict[str, int], crossings: dict[str, int], time_ps: int) -> Energy:
    """Energy of `actions` (by name of the chip's actions) and link `crossings` (by kind) in a run of `time_ps`.

    1 mW x 1 ps = 1 fJ, so static power needs no conversion.
    """
    by_action: dict[str, float | None] = {}
    counts = actions | crossings
    for name, cost in chip.costs():
        if counts.get(name):
            by_action[name] = None if cost.energy_fj is None else counts[name] * cost.energy_fj
    static = chip.power.static_mw
    by_action["static"] = None if static is None else static * time_ps
    return Energy(by_action)


def known_cost_fj(chip: Chip, action: str) -> float:
    """Cost of one action, 0 where it is not known: for sums whose unknown terms are listed elsewhere."""
    return dict(chip.costs())[action].energy_fj or 0.0


def crossings_by_kind(machine: Machine, link_messages: NDArray[np.int64]) -> dict[str, int]:
    """Link crossings by kind of link; link_messages: [links], in station order."""
    first = machine.first - machine.first[2]
    mesh = link_messages[first[3] : first[4]]
    horizontal = np.array([abs(b - a) == 1 and machine.chip.mesh.columns > 1 for a, b in machine.hops], bool)
    return {
        "core_to_router": int(link_messages[: first[3]].sum()),
        "router_to_core": int(link_messages[first[4] : first[5]].sum()),
        "east_west": int(mesh[horizontal].sum()),
        "north_south": int(mesh[~horizontal].sum()),
    }
