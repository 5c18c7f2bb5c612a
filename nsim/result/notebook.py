"""What a notebook shows of a result: one sentence, a table and its numbers, as HTML without scripts or files."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SHARES = {
    "critical path": "of the critical path",
    "busy time": "of the time (no critical path recorded)",
    "waiting": "of all waiting",
}


def card(summary: dict[str, Any], title: str, table: pd.DataFrame) -> str:
    """The sentence, the table of layers or tiles, and the single values of the summary. title: of the chip"""
    rows = "".join(
        f"<tr><th scope='row'>{escape(key)}</th><td>{escape(str(value))}</td></tr>"
        for key, value in summary.items()
        if isinstance(value, str | int | float)
    )
    return (
        f"<p><b>{escape(summary['network'])} on {escape(title)}</b><br>{escape(limit_sentence(summary))}</p>"
        f"{table.to_html(index=False, na_rep='')}<details><summary>All numbers</summary><table>{rows}</table></details>"
    )


def limit_sentence(summary: dict[str, Any]) -> str:
    """What limits the run, and by what share."""
    if summary["limit"] is None:
        return "Limit: unknown."
    return f"Limit: {summary['limit']}, {summary['limit_share']:.0%} {SHARES[summary['limit_by']]}."
