"""`nsim schema`: JSON schemas of results, and of files that users write, so that editors complete and check them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsim.cli.completion import words


def schema(
    kind: Annotated[
        str, typer.Argument(help="chip, sweep or summary.", autocompletion=words("chip", "sweep", "summary"))
    ],
    out: Annotated[Path | None, typer.Option(help="Where to write it. [default: the screen]")] = None,
) -> None:
    """Write the JSON schema (draft 2020-12) of chip or sweep files, for editors that know TOML, or of summary.json."""
    import json

    from nsim.cli.schemas import text_of, write_schema
    from nsim.report.answer import answered, say

    if out:
        write_schema(kind, out)
    text = text_of(kind)
    if not answered(lambda: {"schema": out} if out else json.loads(text)):
        say(f"schema: {out}" if out else text.rstrip())
