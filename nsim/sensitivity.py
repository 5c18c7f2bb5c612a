"""Which cost limits a run: repeat it with each group of costs a tenth lower, and see which shortens it most.

An independent witness of the bottleneck state, beside the critical path and the floorline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nsim.barrier_chip import BarrierChip
from nsim.mapping import Mapping, with_costs_of

LOWER = 0.9
ACTIONS = {
    "memory": ("message_in", "synop_dense", "synop_sparse", "synop_conv", "word_read"),
    "compute": ("neuron_update", "spike"),
    "traffic": ("message_out",),
    "barrier": (),
}


def cheaper(chip: BarrierChip, state: str, factor: float = LOWER) -> BarrierChip:
    """The chip with the times that make this state multiplied by `factor`, rounded to picoseconds."""
    lowered = {}
    for name in ACTIONS[state]:
        action = getattr(chip.actions, name)
        lowered[name] = action.model_copy(update={"latency_ps": round(action.latency_ps * factor)})
    changes: dict[str, Any] = {"actions": chip.actions.model_copy(update=lowered)}
    if state == "traffic":
        links = {}
        for name, link in chip.links:
            times = {"bandwidth_gbps": link.bandwidth_gbps / factor, "wire_ps": round(link.wire_ps * factor)}
            links[name] = link.model_copy(update=times)
        changes["links"] = chip.links.model_copy(update=links)
        changes["host"] = chip.host.model_copy(update={"message_ps": round(chip.host.message_ps * factor)})
    if state == "barrier":
        times_ps = tuple(round(time * factor) for time in chip.barrier.latency_ps)
        changes["barrier"] = chip.barrier.model_copy(update={"latency_ps": times_ps})
    return chip.model_copy(update=changes)


def sensitivity(
    mapping: Mapping, now_ps: int, time_ps: Callable[[Mapping], int], factor: float = LOWER
) -> dict[str, float]:
    """Share of the run's time that is saved when the costs behind each state fall to `factor`.

    now_ps    time of the run as it is
    time_ps   simulates a mapping and returns the time of the run; called once per state
    """
    others = {state: with_costs_of(mapping, cheaper(mapping.chip, state, factor)) for state in ACTIONS}
    return {state: 1 - time_ps(other) / now_ps for state, other in others.items()}
