"""What a notebook shows of a result: its verdict, its numbers and its layers, as HTML without scripts."""

from __future__ import annotations

from html import escape
from typing import Any

from nsim.report.page import headlines
from nsim.report.run_folder import run_of
from nsim.report.verdict import verdict


def html(result: Any) -> str:
    """The verdict, the table of layers (or of tiles), and the single values of the summary."""
    run = run_of(result)
    table = run.tables["layers" if "layers" in run.tables else "tiles"]
    rows = "".join(
        f"<tr><th scope='row'>{escape(key)}</th><td>{escape(text)}</td></tr>" for key, text in headlines(run)
    )
    return (
        f"<p><b>{escape(run.summary['network'])} on {escape(run.facts['title'])}</b><br>{escape(verdict(run))}</p>"
        f"{table.to_html(index=False, na_rep='')}<details><summary>All numbers</summary><table>{rows}</table></details>"
    )
