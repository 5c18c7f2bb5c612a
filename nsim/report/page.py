"""The page: one self-contained HTML file of a run. The same run gives the same bytes."""

from __future__ import annotations

import json
from math import isfinite, isnan
from pathlib import Path
from typing import Any

from nsim.errors import OutputError
from nsim.report.figures import figures
from nsim.report.run_folder import Run
from nsim.report.verdict import verdict

TEMPLATE = Path(__file__).with_name("page.html.j2")


def render(run: Run) -> str:
    """The HTML of a run."""
    import jinja2
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    sections = figures(run)
    table = run.tables["layers"] if "layers" in run.tables else run.tables["tiles"]
    return template.render(
        run=run,
        verdict=verdict(run),
        sections=sections,
        layers={
            "columns": list(table.columns),
            "rows": [list(map(_table_cell, row)) for row in table.to_numpy(object)],
        },
        headlines=headlines(run.summary),
        data=_script({each["id"]: {k: each[k] for k in ("figure", "switch") if k in each} for each in sections}),
        summary=_script(run.summary),
        plotly=get_plotlyjs(),
    )


def _script(content: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(_finite(content), sort_keys=True, allow_nan=False).replace("<", "\\u003c")


def _finite(content: Any) -> Any:
    """The same without what JSON has no word for: null for infinite and missing numbers."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not isfinite(content) else content


def _table_cell(value: Any) -> tuple[Any, Any]:
    """The value, for sorting, and what is shown: empty where the table has nothing."""
    if isinstance(value, float):
        return ("", "") if isnan(value) else (value, f"{value:.6g}")
    return value, value


def headlines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The numbers of the summary that are single values, by their documented key."""
    return [(key, _cell(value)) for key, value in summary.items() if not isinstance(value, dict | list)]


def _cell(value: Any) -> str:
    if value is None:
        return "not known"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def check_report(path: Path) -> None:
    """Refuse a report that cannot be written, before anything is simulated."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"report {path} is a web page: end its name in .html")
    if not path.parent.is_dir():
        raise OutputError(f"report {path} is to go to a folder that does not exist: make {path.parent} first")


def write_report(run: Run, path: Path) -> None:
    """Write the page of a run."""
    text = render(run)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write report {path}: {error.strerror}") from None
