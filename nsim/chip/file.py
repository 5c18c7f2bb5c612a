"""Chip files: found, read and checked; what is wrong with one is told in one line.

Their format is explained in `chips/README.md`.
"""

from __future__ import annotations

import hashlib
import os
import reprlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from nsim.chip.board import BoardChip, merged
from nsim.chip.changes import apply_changes
from nsim.chip.chip import Chip, Origin, model_of, nearest, one_line
from nsim.chip.discipline import DISCIPLINES
from nsim.chip.name import parse_changes, split_name
from nsim.errors import ChipError, open_regular, visible

MAX_FILE_BYTES = 1_000_000  # a chip file has some ten thousand; this stops at a device or a wrong file


def chips_folder() -> Path:
    """The folder of the shipped chip files: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "files"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "chips"


def available_chips() -> dict[str, Path]:
    """The shipped chips: name -> file."""
    return {file.stem: file for file in sorted(chips_folder().glob("*.toml"))}


def load_chip(name_or_path: str | Path, changes: Mapping[str, Any] | None = None) -> Chip:
    """Read a chip, by the name of a shipped one ("loihi2") or from a file of one's own ("./mine.toml").

    A name has no path separator and does not end in .toml; everything else is a path.

    changes  other values by key path, {"actions.synop_dense.latency_ps": 500}, checked as the file is; the same behind
             the name, "loihi2:actions.synop_dense.latency_ps=500". The chip then calls itself "loihi2, changed"
    raises   ChipError, one line with file, key, value and cure, if the file cannot be read or is not a valid chip
    """
    text, behind = split_name(str(name_or_path))
    values = (parse_changes(behind) if behind else {}) | dict(changes or {})
    path, shown = find_chip(text)
    data, content = read_data(path, shown, ())
    if values:
        checked(data, shown)
        apply_changes(data, values, model_for(data, shown), f"chip {text}")
        shown = f"chip {text}, changed"
    chip = checked(data, shown)
    digest = hashlib.sha256(content + repr(sorted(values.items())).encode() if values else content)
    chip.record_file(path.resolve(), digest.hexdigest(), tuple(value_keys(data)), values)
    return chip


def find_chip(text: str) -> tuple[Path, str]:
    """The file of a shipped chip, by its name, or of one's own, by its path; and how errors call it."""
    shipped = available_chips()
    if text.endswith(".toml") or "/" in text or os.sep in text:
        return Path(text), text
    if text in shipped:
        return shipped[text], f"chips/{text}.toml"
    raise ChipError(
        printable(
            f"no chip {show(text)}{nearest(text, shipped)}: there are {', '.join(shipped) or 'none'}; "
            f"a file of your own is given by its path, such as ./{text or 'mine'}.toml"
        )
    )


def checked(data: dict[str, Any], shown: str) -> Chip:
    """The chip that a file describes."""
    model = model_for(data, shown)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        fail(shown, describe(error, model))


def read_data(path: Path, shown: str, above: tuple[Path, ...]) -> tuple[dict[str, Any], bytes]:
    """What a file says, and the bytes it is from. A board takes what it does not say from the file of its chip.

    above   boards that led here
    """
    content = read_bytes(path, shown, available_chips())
    data = parse_toml(content, shown)
    if "chip" not in data:
        return data, content
    named = data["chip"]
    if not isinstance(named, str) or not named:
        fail(shown, f"chip = {show(named)}: must be a text in quotes (the chip of the board)")
    below, shown_below = find_below(named, path, shown)
    if below.resolve() in (*above, path.resolve()):
        fail(shown, f"chip = {show(named)}: leads back to this file: name the file of the chip")
    chip, more = read_data(below, shown_below, (*above, path.resolve()))
    checked(chip, shown_below)
    if chip["discipline"] != "barrier":
        fail(
            shown, f"chip = {show(named)}: is no chip with timesteps, which boards consist of: name one, such as loihi2"
        )
    return merged(chip, data), content + more


def find_below(named: str, board: Path, shown: str) -> tuple[Path, str]:
    """The file of a board's chip: a shipped one by its name, or a path from the folder of the board's file."""
    shipped = available_chips()
    if named.endswith(".toml") or "/" in named or os.sep in named:
        path = board.parent / named
        if not path.exists():
            fail(shown, f"chip = {show(named)}: no such file {path}: give a path from the board's folder, or a name")
        return path, str(path)
    if named not in shipped:
        fail(shown, f"chip = {show(named)}: no such chip{nearest(named, shipped)}: there are {', '.join(shipped)}")
    return shipped[named], f"chips/{named}.toml"


def own_files(chip: str) -> list[str]:
    """Files that are not shipped of which a chip consists: its own and, if it is a board, that of its chip."""
    found: list[str] = []
    shipped = available_chips()
    chip = split_name(chip)[0]
    while chip not in shipped and chip not in found:
        found.append(chip)
        try:
            below = parse_toml(read_bytes(Path(chip), chip, shipped), chip).get("chip")
        except ChipError:  # told by who loads it
            return found
        if not isinstance(below, str) or below in shipped:
            return found
        chip = str(Path(chip).parent / below)
    return found


def model_for(data: dict[str, Any], shown: str) -> type[Chip]:
    """What the file must look like, by its discipline."""
    discipline = data.get("discipline", "barrier")  # a missing one is reported with all else that is missing
    if "chip" in data:
        return BoardChip
    if isinstance(discipline, str) and discipline in DISCIPLINES:
        model: type[Chip] = DISCIPLINES[discipline].part("chip")
        return model
    known = ", ".join(f'"{name}"' for name in DISCIPLINES)
    return fail(shown, f"discipline = {show(discipline)}: must be one of {known} (what ends a timestep)")


def fail(shown: str, problem: str) -> NoReturn:
    raise ChipError(printable(f"{shown}: {problem}")) from None


def read_bytes(path: Path, shown: str, shipped: dict[str, Path]) -> bytes:
    try:
        with open_regular(path) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        fail(
            shown,
            f"no such file{nearest(path.stem, shipped)}: give the path of a chip file, "
            f"or a name: {', '.join(shipped) or 'none'}",
        )
    except IsADirectoryError:
        fail(shown, "is a directory: give the path of a chip file in it")
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        fail(shown, f"cannot be read ({reason}): give the path of a readable chip file")
    if len(content) > MAX_FILE_BYTES:
        fail(shown, f"has more than {MAX_FILE_BYTES:,} bytes: give the path of a chip file, which is a short TOML text")
    return content


def parse_toml(content: bytes, shown: str) -> dict[str, Any]:
    try:
        text = content.decode("utf-8-sig")  # editors on Windows may begin the file with a byte-order mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fail(shown, f"line {line}: byte 0x{content[error.start]:02x} is not UTF-8: save the chip file as UTF-8 text")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = str(error)
        if "at end of document" in problem:
            problem = problem.replace("at end of document", f"at line {text.count(chr(10)) + 1}, the end of the file")
        fail(shown, f"not valid TOML: {problem}: correct it there")
    except ValueError:
        fail(shown, "a number has thousands of digits: shorten it")
    except RecursionError:
        fail(shown, "brackets are nested too deep: no value of a chip file needs more than one pair")


def value_keys(table: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Key paths of the values in tables of the file, in its order; their ranges and origins are not values."""
    for name, value in table.items():
        if isinstance(value, dict):
            if name != "origin" and (prefix or name != "sources"):
                yield from value_keys(value, f"{prefix}{name}.")
        elif prefix and name not in Origin.model_fields and not name.endswith("_range"):
            yield f"{prefix}{name}"


def describe(error: ValidationError, model: type[Chip]) -> str:
    """The first problem of a chip file in one line, and how many more there are."""
    problems = error.errors(include_url=False)
    # A misspelt key is also a missing key: the misspelling is what the user wants to hear of.
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    more = len(problems) - 1
    return describe_one(dict(problems[0]), model) + (f" (and {more} more problem{'s' * (more > 1)})" if more else "")


def describe_one(problem: dict[str, Any], model: type[Chip]) -> str:
    path, kind, context = problem["loc"], problem["type"], problem.get("ctx", {})
    key, value = dotted(path), problem["input"]
    if kind == "chip":
        key = ".".join(filter(None, (key, context["key"])))
        shown_value = "" if context["value"] is None else f" = {show(context['value'])}"
        return f"{key}{shown_value}: {context['problem']}"
    field = field_at(path, model)
    given = "" if isinstance(value, dict) else f" = {show(value)}"
    meaning = f" ({field.description})" if field is not None and field.description else ""
    if kind == "extra_forbidden":
        known = keys_at(path[:-1], model)
        hint = nearest(str(path[-1]), known) or f", the keys here are {', '.join(known)}"
        return f"{key}{given}: unknown key{hint}: rename or remove it"
    if kind == "missing":
        table = f"[{dotted(path[:-1])}]" if len(path) > 1 else "the top of the file"
        cure = f"add the table [{key}]" if is_table(field) else f"add {path[-1]} = ... to {table}"
        return f"{key}: missing: {cure}{meaning}"
    return f"{key}{given}: {requirement(kind, context, problem['msg'])}{meaning}"


def requirement(kind: str, context: dict[str, Any], message: str) -> str:
    """What a value must be, in the words of a chip file."""
    if kind == "greater_than_equal":
        return f"must be >= {context['ge']:g}"
    if kind == "less_than_equal":
        return f"must be <= {context['le']:,}"
    if kind == "too_short" and context["min_length"] == 1:
        return "must not be empty"
    if kind in ("too_short", "too_long"):  # only pairs have limits other than 1
        return "must have exactly 2 entries"
    words = {
        "int_type": "must be a whole number, without quotes or decimal point",
        "int_from_float": "must be a whole number, without quotes or decimal point",
        "float_type": "must be a number, without quotes",
        "finite_number": "must be a finite number",
        "bool_type": "must be true or false, without quotes",
        "string_type": "must be a text in quotes",
        "tuple_type": "must be a list, in square brackets",
        "dict_type": "must be a table",
        "model_type": "must be a table",
    }
    return words.get(kind, message.replace("Input should be", "must be"))


def dotted(path: Sequence[int | str]) -> str:
    """("actions", "spike", "latency_ps_range", 0) -> "actions.spike.latency_ps_range[0]"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def is_table(field: FieldInfo | None) -> bool:
    return model_of(field) is not None or (field is not None and field is Chip.model_fields["sources"])


def field_at(path: Sequence[int | str], chip: type[Chip]) -> FieldInfo | None:
    """The field at a key path of the file, if there is one; an entry of a list gives the field of the list."""
    model: type[BaseModel] | None = chip
    field: FieldInfo | None = None
    parts = [part for part in path if isinstance(part, str)]
    while parts and model is not None:
        name = parts.pop(0)
        field = model.model_fields.get(name)
        if name == "origin" and parts:  # its keys are names of numbers
            parts.pop(0)
            model, field = Origin, None
        else:
            model = model_of(field)
    return None if parts else field


def keys_at(path: Sequence[int | str], chip: type[Chip]) -> list[str]:
    """The keys that a table of the file may have."""
    if len(path) > 1 and path[-2] == "origin":
        return list(Origin.model_fields)
    model = model_of(field_at(path, chip)) if path else chip
    return list(model.model_fields) if model is not None else []


def show(value: Any) -> str:
    """A value as an error quotes it: short, whatever it is."""
    if isinstance(value, bool):
        return str(value).lower()
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    short.maxlevel = 2
    try:
        return short.repr(value)
    except ValueError:  # a whole number of thousands of digits
        return "a very large number"


def printable(text: str) -> str:
    """On one line, whatever a file or its name contains."""
    return visible(one_line(text))
