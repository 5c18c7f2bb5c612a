"""Which cost limits a run: repeat it with each group of costs a tenth lower, and see which shortens it most.

An independent witness of the bottleneck state, beside the critical path and the floorline.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import ceil
from typing import Any, TypeVar

from nsim.chip import Chip, changed

LOWER = 0.9
RATES = ("bandwidth_gbps", "bits_per_clock")  # these rise where times fall
AnyChip = TypeVar("AnyChip", bound=Chip)


def _each(first: str, names: tuple[str, ...], last: str) -> tuple[str, ...]:
    return tuple(f"{first}.{name}.{last}" for name in names)


MESH = ("core_to_router", "router_to_core", "east_west", "north_south")
WAYS = ("sensor", "core", "output")

# The times of a chip file that make each state, by discipline. Link services of frames are whole clocks: a tenth lower
# often changes none. What is left of a stream is the input, which is no cost.
COSTS: dict[str, dict[str, tuple[str, ...]]] = {
    "barrier": {
        "memory": _each(
            "actions", ("message_in", "synop_dense", "synop_sparse", "synop_conv", "word_read"), "latency_ps"
        ),
        "compute": _each("actions", ("neuron_update", "spike"), "latency_ps"),
        "traffic": (
            *("actions.message_out.latency_ps", "host.message_ps"),
            *_each("links", MESH, "bandwidth_gbps"),
            *_each("links", MESH, "wire_ps"),
        ),
        "barrier": ("barrier.latency_ps",),
    },
    "frame": {
        "memory": _each("actions", ("frame", "event", "step", "synop", "synop_input"), "clocks"),
        "compute": _each("actions", ("neuron_update", "spike"), "clocks"),
        "traffic": (
            *_each("actions", ("message_out", "message_in"), "clocks"),
            "host.message_clocks",
            *_each("links", MESH, "bits_per_clock"),
            *_each("links", MESH, "wire_clocks"),
        ),
        "programming": ("program.clocks_per_byte",),
    },
    "stream": {
        "memory": _each("actions", ("event", "event_parallel", "synop", "synop_parallel"), "latency_ps"),
        "compute": ("actions.leak_update.latency_ps",),
        "traffic": (
            "actions.message_out.latency_ps",
            *_each("links", WAYS, "bandwidth_gbps"),
            *_each("links", WAYS, "wire_ps"),
        ),
    },
}


def cheaper(chip: AnyChip, state: str, factor: float = LOWER) -> AnyChip:
    """The chip with the times that make this state multiplied by `factor`; whole numbers stay whole."""

    def scaled(key: str, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(scaled(key, each) for each in value)
        if key.endswith(RATES):
            return ceil(value / factor) if isinstance(value, int) else value / factor
        return round(value * factor) if isinstance(value, int) else value * factor

    keys = COSTS[chip.discipline][state]
    result: AnyChip = changed(chip, {key: scaled(key, reduce(getattr, key.split("."), chip)) for key in keys})
    return result


def sensitivity(
    chip: AnyChip, now_ps: int, time_ps: Callable[[AnyChip], int], factor: float = LOWER
) -> dict[str, float]:
    """Share of the run's time that is saved when the costs behind each state fall to `factor`.

    now_ps    time of the run as it is
    time_ps   simulates the same on a chip that differs in these costs and returns the time; called once per state
    """
    states = COSTS[chip.discipline]
    return {state: 1 - time_ps(cheaper(chip, state, factor)) / now_ps if now_ps else 0.0 for state in states}
