"""A page to step through without the program: what stations hold after each of the next services, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nsim.report.page import check_report, fill, script, write_page
from nsim.report.stepping.session import SPAN_ENDED, Session
from nsim.report.stepping.words import State, facts, states

SERVICES, MOST_SERVICES = 200, 5_000  # of a page by default, and at most
Rows = dict[int, State]  # by number of the station


def moments(session: Session, services: int) -> list[dict[str, Any]]:
    """As it is, and after each of so many services, up to the end of the run.

    where, now_ps, said, stop   where the run is, the service that ended, and why a breakpoint stops there
    changed                     by number, the stations that hold something else than before; null: nothing any more
    """
    found: list[dict[str, Any]] = []
    before: Rows = {}
    stop = ""
    while True:
        rows = _rows(session)
        numbers = sorted(before.keys() | rows.keys())
        changed = {
            number: facts(rows[number]) if number in rows else None
            for number in numbers
            if rows.get(number) != before.get(number)
        }
        now = session.now
        found.append(
            {"where": session.where, "now_ps": now.now_ps, "said": now.last(), "stop": stop, "changed": changed}
        )
        before = rows
        if len(found) > services or session.ended:
            return found
        reason = session.advance()
        stop = "" if reason == SPAN_ENDED else reason


def _rows(session: Session) -> Rows:
    now = session.now
    numbers = {now.name(number): number for number in now.simulation.stations}
    return {numbers[state.station]: state for state in states(now)}


def write_steps(session: Session, path: Path, services: int = SERVICES) -> int:
    """Write the page; the run goes on to where it ends. Returns how many services it has.

    raises   OutputError if it cannot be written, or would replace a file that nsim did not make
    """
    check_report(path)
    heading = f"{session.mapping.network.name} on {session.mapping.chip.title}, step by step"
    found = moments(session, services)
    write_page(fill("step.html.j2", (), heading=heading, moments=script(found), last=len(found) - 1), path)
    return len(found) - 1
