"""JSON schemas (draft 2020-12) of chip files and sweep files, made from what reads them."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from nsim.chip_file import MODELS
from nsim.errors import OutputError
from nsim.sweep.spec import Spec

DRAFT = GenerateJsonSchema.schema_dialect
KINDS = ("chip", "sweep")


def text_of(kind: str) -> str:
    """The schema of a kind of file.

    raises   OutputError for a kind that is not known
    """
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise OutputError(f"no schema {kind!r}: {hint}choose from {', '.join(KINDS)}")
    return json.dumps(chip_schema() if kind == "chip" else sweep_schema(), indent=1) + "\n"


def write_schema(kind: str, path: Path) -> None:
    """The same into a file."""
    text = text_of(kind)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}): give a file in a folder that exists") from None


def sweep_schema() -> dict[str, Any]:
    """Of sweep files."""
    made = TypeAdapter(Spec).json_schema()
    return {"$schema": DRAFT, **made, "title": "Sweep of nsim"}


def chip_schema() -> dict[str, Any]:
    """Of chip files: the value of `discipline` says which of the models holds."""
    models: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in MODELS.values()]
    references, shared = models_json_schema(models)
    return {
        "$schema": DRAFT,
        "title": "Chip of nsim",
        "type": "object",
        "required": ["discipline"],
        "properties": {"discipline": {"enum": list(MODELS), "description": "what ends a timestep"}},
        "allOf": [
            {
                "if": {"properties": {"discipline": {"const": name}}, "required": ["discipline"]},
                "then": references[model, "validation"],
            }
            for name, model in MODELS.items()
        ],
        "$defs": shared["$defs"],
    }
