"""What `nsim noc` shows: latencies by percentile, and the links that carry most."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from nsim.answer import answered
from nsim.noc.result import USED, NocResult
from nsim.screen import facts_grid, seconds, show_page, sources

LINKS_SHOWN = 10


def show_noc(result: NocResult, trace: str, out: Path | None) -> None:
    """The trace in ten seconds: how long messages took, how long they waited, and on which links."""
    chip, facts = result.replayed.machine.chip, result.summary()
    notes = sources(chip, USED)
    if answered(lambda: {**facts, "notes": notes}):
        return
    grid = facts_grid()
    for name, said in (
        ("latency", "from a message's time to its last bit"),
        ("waiting", "of that, beyond empty links"),
    ):
        times = facts[f"{name}_ps"]
        tail = ", ".join(f"{key} {seconds(times[key])}" for key in times if key != "p50")
        grid.add_row(name.capitalize(), seconds(times["p50"]), f"median {said}; {tail}")
    split = f" in {facts['packets']:,} packets of {facts['bits_per_packet']} bits"
    over = f"in {seconds(facts['span_ps'])}, {facts['bits']:,} bits{split}: {facts['delivered_gbps']:,.3g} Gbit/s"
    grid.add_row("Messages", f"{facts['messages']:,}", over)
    full = f"of the time {facts['fullest_link']} is busy, the fullest of {facts['links_used']:,} links that carry any"
    grid.add_row("Load", f"{facts['fullest_link_utilisation']:.0%}", f"{full}, of {facts['links_available']:,}")
    title = f"{trace} on the network on chip of {chip.title}"
    show_page(title, grid, _link_table(result), notes, out)


def _link_table(result: NocResult) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column("fullest links")
    for heading in ("packets", "busy", "utilisation", "held up", "longest queue"):
        table.add_column(heading, justify="right")
    rows = sorted(result.link_rows, key=lambda row: -row["utilisation"])
    for row in rows[:LINKS_SHOWN]:
        times = seconds(row["busy_ps"]), f"{row['utilisation']:.1%}", seconds(row["blocked_ps"])
        table.add_row(row["link"], f"{row['packets']:,}", *times, str(row["longest_queue"]))
    return table
