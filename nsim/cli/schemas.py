"""JSON schemas (draft 2020-12) of chip files, sweep files and summaries of runs, made from what handles them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from nsim.chip.board import BoardChip
from nsim.chip.discipline import DISCIPLINES
from nsim.errors import OutputError
from nsim.result.columns import Column, all_declared
from nsim.sweep.spec import Spec

DRAFT = GenerateJsonSchema.schema_dialect
TYPES = {
    "int64": "integer",
    "float64": "number",
    "string": "string",
    "bool": "boolean",
    "map": "object",
    "list": "array",
}


def text_of(kind: str) -> str:
    """The schema of a kind of file.

    raises   OutputError for a kind that is not known
    """
    if kind not in SCHEMAS:
        near = difflib.get_close_matches(kind, SCHEMAS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise OutputError(f"no schema {kind!r}: {hint}choose from {', '.join(SCHEMAS)}")
    return json.dumps(SCHEMAS[kind](), indent=1) + "\n"


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
    """Of chip files: the value of `discipline` says which of the models holds; who names a `chip` is a board."""
    by_name = {name: own.part("chip") for name, own in DISCIPLINES.items()}
    models: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in (*by_name.values(), BoardChip)]
    references, shared = models_json_schema(models)
    defined = shared["$defs"]
    schema = _by("discipline", {name: references[model, "validation"] for name, model in by_name.items()}, defined)
    schema["properties"]["discipline"]["description"] = "what ends a timestep"
    # All that a board's file leaves out is in that of its chip
    defined["BoardChip"] |= {"required": ["name", "chip"]}
    defined["BoardLinks"] |= {"required": []}
    defined["Board"] |= {"required": ["columns", "rows"]}
    either = {"if": {"required": ["chip"]}, "then": references[BoardChip, "validation"], "else": schema}
    return {"$schema": DRAFT, "title": "Chip of nsim", "$defs": schema.pop("$defs"), **either}


def summary_schema() -> dict[str, Any]:
    """Of summary.json: the value of `span` says which keys there are."""
    spans = {declared.span: _object(declared.summary) for declared in all_declared().values()}
    return {"$schema": DRAFT, "title": "Summary of a run of nsim", **_by("span", spans, {})}


def _by(key: str, schemas: Mapping[str, Any], defined: Mapping[str, Any]) -> dict[str, Any]:
    """One schema of several: the value of `key` says which."""
    return {
        "type": "object",
        "required": [key],
        "properties": {key: {"enum": list(schemas)}},
        "allOf": [
            {"if": {"properties": {key: {"const": name}}, "required": [key]}, "then": schema}
            for name, schema in schemas.items()
        ],
        "$defs": defined,
    }


def _object(columns: Sequence[Column]) -> dict[str, Any]:
    properties = {column.name: _property(column) for column in columns}
    required = [column.name for column in columns if not column.absent]
    return {"properties": properties, "required": required, "additionalProperties": False}


def _property(column: Column) -> dict[str, Any]:
    kind = TYPES[column.dtype]
    unit = {"unit": column.unit} if column.unit else {}
    return {"type": [kind, "null"] if column.null else kind, "description": column.meaning, **unit}


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "chip": chip_schema,
    "sweep": sweep_schema,
    "summary": summary_schema,
}
