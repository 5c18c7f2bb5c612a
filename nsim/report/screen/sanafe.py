"""What `nsim import sanafe` shows: what was not carried over as it is, and the command to go on with."""

from __future__ import annotations

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nsim.formats.sanafe.account import Account
from nsim.formats.sanafe.tree import APPROXIMATED, CARRIED, LEFT
from nsim.report.answer import answered
from nsim.report.screen import console
from nsim.report.units import plural

SHOWN = 30


def show_account(account: Account) -> None:
    count, rows = account.count(), account.not_exact()
    keys = ("fields", "verdict", "explanation")
    facts = {"folder": account.folder, "fields": {verdict: count[verdict] for verdict in (CARRIED, APPROXIMATED, LEFT)}}
    told = {"not_exact": [dict(zip(keys, row, strict=True)) for row in rows], "spikes_may_differ": account.spikes}
    if answered(lambda: facts | told | {"command": account.command}):
        return
    screen = console()
    screen.print(Text(f"{account.architecture_file} and {account.network_file} of SANA-FE", style="bold"))
    carried = plural(count[CARRIED], "field")
    screen.print(
        f"{carried} carried over, {count[APPROXIMATED]} approximated, {count[LEFT]} not carried over",
        highlight=False,
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    for heading in ("fields", "", "as what, or why not"):
        table.add_column(heading, no_wrap=not heading)
    for fields, verdict, words in rows[:SHOWN]:
        table.add_row(Text(fields), verdict, Text(words))
    if rows:
        screen.print(Padding(table, (1, 0, 0, 0)))
    if len(rows) > SHOWN:
        screen.print(f"... and {len(rows) - SHOWN} more in carried.md", highlight=False)
    if account.spikes:
        screen.print(Text("\nSpikes may differ from SANA-FE's:", style="yellow"))
        for line in account.spikes:
            screen.print(Text(f"  {line}"))
    else:
        screen.print("\nSpikes: nothing is known that would make one differ from SANA-FE's", highlight=False)
    screen.print(Text(f"\nAll of it, and where the two models of time differ: {account.folder / 'carried.md'}"))
    screen.print("Go on with", highlight=False)
    screen.print(Text(f"  {account.command}"), soft_wrap=True)
