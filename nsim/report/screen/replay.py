"""What `nsim noc` shows: latencies by percentile, and the links that carry most."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from nsim.report.answer import answered
from nsim.report.screen import Column, console, fitting, head_lines, show_basis, show_files
from nsim.report.told import basis_of
from nsim.report.units import amount, percent, plural, seconds, three_digits
from nsim.report.words import Line, Numbers
from nsim.result.replay import USED, NocResult

LINKS_SHOWN = 10


def show_noc(result: NocResult, trace: str, out: Path | None) -> None:
    """The trace in ten seconds: how long messages took, how long they waited, and on which links."""
    chip, facts = result.replayed.machine.chip, result.summary()
    basis = basis_of(chip, (), USED)
    if answered(lambda: {**facts, "notes": basis.all(facts)}):
        return
    screen = console()
    title = f"{trace} on the network on chip of {chip.title}"
    screen.print(Text.assemble((title, "bold"), f"   {plural(facts['messages'], 'message')}"))
    screen.print(head_lines(_lines(facts)))
    screen.print()
    screen.print(fitting(_links(result), screen.width))
    show_basis(screen, basis, facts)
    show_files(screen, {"results": out})


def _lines(facts: Numbers) -> list[Line]:
    said = {"latency": "from a message's time to its last bit", "waiting": "beyond empty links"}
    times = [
        Line(name, f"{seconds(facts[f'{name}_ps']['p50'])} median {words}", _tail(facts[f"{name}_ps"]))
        for name, words in said.items()
    ]
    rate = f"{three_digits(facts['delivered_gbps'])} Gbit/s in {seconds(facts['span_ps'])}"
    size = f"{plural(facts['packets'], 'packet')} of {plural(facts['bits_per_packet'], 'bit')}"
    used = f"packets on {amount(facts['links_used'])} of {plural(facts['links_available'], 'link')}"
    load = f"{facts['fullest_link']} works {percent(facts['fullest_link_utilisation'])} of the time"
    return [*times, Line("traffic", rate, (size,)), Line("limit", load, (used,))]


def _tail(times_ps: Numbers) -> tuple[str, ...]:
    return tuple(f"{name} {seconds(time_ps)}" for name, time_ps in times_ps.items() if name != "p50")


def _links(result: NocResult) -> list[Column]:
    rows = sorted(result.rows("links"), key=lambda row: -row["utilisation"])[:LINKS_SHOWN]
    return [
        Column("fullest links", [row["link"] for row in rows], right=False),
        Column("packets", [amount(row["packets"]) for row in rows], 3),
        Column("works", [seconds(row["busy_ps"]) for row in rows], 4),
        Column("of the time", [percent(row["utilisation"]) for row in rows], 1),
        Column("held up", [seconds(row["blocked_ps"]) for row in rows], 2),
        Column("longest queue", [str(row["longest_queue"]) for row in rows], 5),
    ]
