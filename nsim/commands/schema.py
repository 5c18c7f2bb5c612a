"""`nsim schema`: JSON schemas of the files that users write, so that editors complete and check them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def schema(
    kind: Annotated[str, typer.Argument(help="chip or sweep.")],
    out: Annotated[Path | None, typer.Option(help="Where to write it. [default: the screen]")] = None,
) -> None:
    """Write the JSON schema (draft 2020-12) of chip or sweep files, for editors that know TOML."""
    from nsim.schema import text_of, write_schema

    if out:
        write_schema(kind, out)
        typer.echo(f"schema: {out}")
    else:
        typer.echo(text_of(kind), nl=False)
