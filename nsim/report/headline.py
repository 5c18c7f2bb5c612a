"""What a run says first, in the same few numbers for every discipline: to compare chips with each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from nsim.report.units import percent
from nsim.report.words import Numbers

Limit = Callable[[Numbers], str]


@dataclass(frozen=True)
class Headline:
    """Time and energy of a run by what the chip works on, with what the ranges of its constants allow.

    of          what they are of: a timestep, frame, event or tick
    time_ps     of a stream the median latency; None: not known
    energy_fj   known energy; of a stream that of all of it over its events
    complete    whether every action has a known energy
    limit       what limits the run, in a few words
    """

    of: str
    time_ps: float | None
    time_low_ps: float | None
    time_high_ps: float | None
    energy_fj: float | None
    energy_low_fj: float | None
    energy_high_fj: float | None
    complete: bool
    limit: str


def headline_of(discipline: str, facts: Numbers) -> Headline:
    """facts: a summary."""
    of, time, energy, limit = KINDS[discipline]
    parts = max(1, facts["input_events"]) if discipline == "stream" else 1
    energies = (energy(facts), facts["energy_low_fj"], facts["energy_high_fj"])
    energy_fj, low_fj, high_fj = (None if each is None else each / parts for each in energies)
    return Headline(
        of,
        time(facts),
        facts["time_low_ps"],
        facts["time_high_ps"],
        energy_fj,
        low_fj,
        high_fj,
        not [name for name in facts["actions_without_known_energy"] if name != "static"],
        limit(facts),
    )


def per_frame(head: Headline, facts: Numbers, frames: int, frame_ps: int) -> Headline:
    """The headline of a stream that is so many frames of this length: a frame, and the median latency behind it."""
    factor = max(1, facts["input_events"]) / frames

    def time(of_event: float | None) -> float | None:
        return None if of_event is None else frame_ps + of_event

    def energy(of_event: float | None) -> float | None:
        return None if of_event is None else of_event * factor

    return replace(
        head,
        of="frame",
        time_ps=time(head.time_ps),
        time_low_ps=time(head.time_low_ps),
        time_high_ps=time(head.time_high_ps),
        energy_fj=energy(head.energy_fj),
        energy_low_fj=energy(head.energy_low_fj),
        energy_high_fj=energy(head.energy_high_fj),
    )


def _frame_energy(facts: Numbers) -> float | None:
    return (facts["known_dynamic_energy_per_frame_fj"] + (facts["static_energy_per_frame_fj"] or 0)) or None


def _timesteps_limit(facts: Numbers) -> str:
    if facts["limit"] in ("memory", "compute"):
        return f"{facts['limit']} ({facts['busiest_core_layers']})"
    return str(facts["limit"] or "unknown")


def _frames_limit(facts: Numbers) -> str:
    found = facts["bottleneck"]
    if found["kind"] == "programming":
        return "programming"
    return " and ".join(core["layer"] for core in found["cores"])


def _stream_limit(facts: Numbers) -> str:
    worst = facts["bottleneck"]
    where = worst["layer"] if worst["core"] is not None else worst["station"]
    return f"{where}, load {percent(worst['load'])}"


def _ticks_limit(facts: Numbers) -> str:
    return "lines" if facts["waited_ps"] else "routes"


Kind = tuple[str, Callable[[Numbers], float | None], Callable[[Numbers], float | None], Limit]
KINDS: dict[str, Kind] = {
    "barrier": (
        "timestep",
        lambda facts: facts["time_per_timestep_ps"],
        lambda facts: facts["known_energy_per_timestep_fj"] or None,
        _timesteps_limit,
    ),
    "frame": ("frame", lambda facts: facts["latency_ps"], _frame_energy, _frames_limit),
    "stream": ("event", lambda facts: facts["latency_median_ps"], lambda facts: facts["energy_fj"], _stream_limit),
    "tick": (
        "tick",
        lambda facts: facts["time_per_timestep_ps"],
        lambda facts: facts["known_energy_per_timestep_fj"] or None,
        _ticks_limit,
    ),
}
