"""Energy: counts times costs, plus static power times time. A cost that is not known is listed, never taken as zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum  # sum rounds otherwise before Python 3.12

from nsim.chip.chip import Chip
from nsim.chip.timesteps import BarrierChip, Management


@dataclass(frozen=True)
class Energy:
    """Energy of a run.

    by_action_fj  femtojoules by action; None where the action occurred but its cost is not known
    known         energies that are known
    unknown       names of the other actions
    """

    by_action_fj: dict[str, float | None]

    @property
    def known(self) -> list[float]:
        return [energy for energy in self.by_action_fj.values() if energy is not None]

    @property
    def unknown(self) -> list[str]:
        return [name for name, energy in self.by_action_fj.items() if energy is None]

    @property
    def known_fj(self) -> float:
        return fsum(self.known)

    @property
    def dynamic_fj(self) -> float:
        return self.known_fj - (self.by_action_fj.get("static") or 0.0)


def energy_of(
    chip: Chip,
    actions: dict[str, int],
    time_ps: float | None,
    more: dict[str, float | None] | None = None,
    chips: int = 1,
) -> Energy:
    """Energy of actions and crossings of links, by their names in the chip file, in a run of `time_ps` (None: unknown).

    more    energy of what else happened, by name; None where it is not known
    chips   in use: each draws the static power of the file
    1 mW x 1 ps = 1 fJ, so static power needs no conversion.
    """
    by_action: dict[str, float | None] = {}
    for name, cost in chip.costs():
        if actions.get(name):
            by_action[name] = None if cost.energy_fj is None else actions[name] * cost.energy_fj
    by_action |= more or {}
    static = chip.static_mw
    by_action["static"] = None if static is None or time_ps is None else static * chips * time_ps
    return Energy(by_action)


def running_fj(
    chip: BarrierChip, management: Management, steps: int, samples: int, cores: int, time_ps: float, chips: int = 1
) -> dict[str, float | None]:
    """Energy, by name, of what goes on whatever is computed: management, the user's code, used cores.

    None where it is not known. cores, chips   in use, in a run of time_ps; every chip in use is managed
    """
    runtime, power = chip.runtime(management), chip.power
    found: dict[str, float | None] = {}
    if runtime is not None:
        found["management"] = None if runtime.energy_fj is None else runtime.energy_fj * steps * chips
    own_ps = management.embedded_ps * steps + management.sample_ps * samples
    if own_ps:
        found["embedded_code"] = None if power.embedded_mw is None else power.embedded_mw * own_ps
    if power.core_mw is not None:
        found["used_cores"] = power.core_mw * cores * time_ps
    return found


def known_fj(chip: Chip, counts: Iterable[tuple[str, float]]) -> float:
    """Energy of actions, by name, of those with a known cost: for sums whose unknown terms are listed elsewhere."""
    return fsum(count * known_cost_fj(chip, action) for action, count in counts)


def known_cost_fj(chip: Chip, action: str) -> float:
    """Cost of one action, 0 where it is not known."""
    return chip.cost(action).energy_fj or 0.0
