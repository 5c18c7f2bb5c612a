"""What stations hold and why they wait, as rows and as a chain."""

from __future__ import annotations

from typing import Any, NamedTuple

from nsim.errors import InputError
from nsim.machine.ticks import NO_END
from nsim.report.stepping.breakpoints import is_called
from nsim.report.stepping.stepper import Stepper
from nsim.report.units import seconds


class State(NamedTuple):
    """One station: what it does, with which message, for how long; its queue; why it does not go on.

    slots   of the queue; 0 if it takes from none, None for a queue without end
    """

    station: str
    does: str
    message: str
    until_ps: int | None
    queued: int
    slots: int | None
    why: str


def states(stepper: Stepper, wanted: str = "") -> list[State]:
    """Of the stations that hold something; with a name, or the beginning of one, of all that are called so.

    raises   InputError if no station in use is called so
    """
    stations = stepper.simulation.stations
    named = [number for number in sorted(stations) if is_called(stepper.name(number), wanted)]
    if wanted and not named:
        raise InputError(
            f"no station {wanted!r} in use here: show lists those that hold something, such as core 0 send"
        )
    found = [state_of(stepper, number) for number in named]
    return [state for state in found if wanted or state.does != "idle" or state.queued]


def state_of(stepper: Stepper, number: int) -> State:
    station = stepper.simulation.stations[number]
    name, now = stepper.name(number), stepper.now_ps
    unqueued = stepper.span.kind(number) in stepper.span.unqueued
    slots = int(station.queue.capacity)
    room = (0, 0) if unqueued else (len(station.queue.items), None if slots == NO_END else slots)
    if number in stepper.held:
        held = stepper.held[number]
        return State(name, "blocked", stepper.span.source(number, held.message), None, *room, _blocked(stepper, number))
    if number in stepper.serving:
        serving = stepper.serving[number]
        what = stepper.span.source(number, serving.message)
        if serving.begins_ps > now:
            why = f"on the wire for {seconds(serving.begins_ps - now)} more"
            return State(name, "waits", what, serving.ends_ps, *room, why)
        return State(name, "serves", what, serving.ends_ps, *room, "")
    return State(name, "idle", "", None, *room, stepper.span.idle(number)[0])


def _blocked(stepper: Stepper, number: int) -> str:
    held = stepper.held[number]
    queue = stepper.simulation.stations[held.target].queue
    taken = f"{len(queue.items)} of {queue.capacity}"
    return f"{stepper.name(held.target)} full ({taken}) for {seconds(stepper.now_ps - held.since_ps)}"


def chain(stepper: Stepper, wanted: str) -> list[str]:
    """Why a station waits, and why that which it waits for does, until one that works."""
    numbers = [n for n in sorted(stepper.simulation.stations) if stepper.name(n) == wanted]
    if not numbers:
        raise InputError(f"no station {wanted!r} in use here: show lists those that hold something")
    number, told, seen = numbers[0], [], set()
    while number not in seen:
        seen.add(number)
        state = state_of(stepper, number)
        left = "" if state.until_ps is None else f", done in {seconds(state.until_ps - stepper.now_ps)}"
        said = f"{state.does} {state.message}".strip()
        told.append(f"{state.station} {said}{left}{f' ({state.why})' if state.why else ''}")
        other = _depends_on(stepper, number)
        if other is None:
            return told
        number = other
    return [*told, "and so on in a circle: a deadlock"]


def _depends_on(stepper: Stepper, number: int) -> int | None:
    """The station that one waits for, if it waits for one."""
    if number in stepper.held:
        return stepper.held[number].target
    return None if number in stepper.serving else stepper.span.idle(number)[1]


def facts(state: State) -> dict[str, Any]:
    return state._asdict()
