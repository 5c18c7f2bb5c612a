"""A chip: its sizes and what each action costs, read from a file in which every number has a source.

The format of the files is explained in `chips/README.md`.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import os
import reprlib
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from nsim.errors import ChipError

MAX_FILE_BYTES = 1_000_000  # a chip file has some ten thousand; this stops at a device or a wrong file
MAX_PS = 10**12  # a second: sums of so many picoseconds stay far within int64


def one_line(text: str) -> str:
    """Collapse line breaks and runs of blanks, so that long texts can be wrapped in the file."""
    return " ".join(text.split())


def whole_as_int(number: float) -> float:
    """Turn 3.0 into 3: sums of whole femtojoules are then exact."""
    return int(number) if number == int(number) else number


Text = Annotated[str, AfterValidator(one_line), Field(strict=True, min_length=1)]
Count = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
Side = Annotated[int, Field(strict=True, ge=1, le=1024)]
Bits = Annotated[int, Field(strict=True, ge=0, le=65_536)]
Width = Annotated[int, Field(strict=True, ge=1, le=64)]
Picoseconds = Annotated[int, Field(strict=True, ge=0, le=MAX_PS)]
Amount = Annotated[float, Field(strict=True, ge=0, le=1e15, allow_inf_nan=False), AfterValidator(whole_as_int)]
# The lower limit of a bandwidth keeps the time of one message within int64 picoseconds.
Bandwidth = Annotated[float, Field(strict=True, ge=1e-6, le=1e9, allow_inf_nan=False)]

PicosecondsRange = Annotated[tuple[Picoseconds, ...], Field(min_length=2, max_length=2)]
AmountRange = Annotated[tuple[Amount, ...], Field(min_length=2, max_length=2)]
BandwidthRange = Annotated[tuple[Bandwidth, ...], Field(min_length=2, max_length=2)]
CountRange = Annotated[tuple[Count, ...], Field(min_length=2, max_length=2)]

RANGE = "[lowest, highest] plausible value"


def wrong(key: str, value: Any, problem: str) -> PydanticCustomError:
    """Make the error of a check that looks at several values; `key` is seen from the table that is checked."""
    return PydanticCustomError("chip", "{problem}", {"key": key, "value": value, "problem": problem})


def is_increasing(values: Sequence[int]) -> bool:
    return all(low < high for low, high in itertools.pairwise(values))


class Origin(BaseModel):
    """Where a number comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Text = Field(description='a key of [sources] and the place in it, such as "author2020, table 2"')
    basis: Literal["measured", "published", "derived", "fitted", "assumed"] = Field(
        description="how the source came by the number"
    )
    note: Text | None = Field(default=None, description="the reasoning behind the number")

    @property
    def source_keys(self) -> list[str]:
        """The keys of [sources] that `source` names: each part up to a semicolon starts with one."""
        return [part.split(",")[0].strip() for part in self.source.split(";")]

    @model_validator(mode="after")
    def _has_reasoning(self) -> Origin:
        if self.note is None and self.basis in ("derived", "fitted", "assumed"):
            raise wrong("note", None, f'missing, but the basis is "{self.basis}": add the reasoning as note = "..."')
        return self


class Table(Origin):
    """A table of the file: numbers with one origin, and those that have another one listed in `origin`."""

    origin: dict[str, Origin] = Field(default={}, description="the origin of single numbers, by key")

    @model_validator(mode="after")
    def _ranges_hold_their_values(self) -> Table:
        for name in type(self).model_fields:
            limits = getattr(self, name)
            if not name.endswith("_range") or limits is None:
                continue
            key = name.removesuffix("_range")
            value = getattr(self, key)
            if value is None:
                raise wrong(name, list(limits), f"a range without a value: add {key} = ... or remove the range")
            if not limits[0] <= value <= limits[1]:
                raise wrong(
                    name,
                    list(limits),
                    f"must be [lowest, highest] around {key} = {value}: change one or remove the range",
                )
        return self

    @model_validator(mode="after")
    def _origins_belong_to_values(self) -> Table:
        numbers = [name for name in type(self).model_fields if name not in Table.model_fields]
        for name in self.origin:
            if name not in numbers:
                raise wrong(f"origin.{name}", None, f"unknown key{nearest(name, numbers)}: rename or remove it")
            if getattr(self, name) is None:
                raise wrong(f"origin.{name}", None, f"an origin without a value: add {name} = ... or remove the origin")
        return self


class Mesh(Table):
    """Routers in a rectangle, each with the same number of cores."""

    columns: Side = Field(description="routers from west to east")
    rows: Side = Field(description="routers from north to south")
    cores_per_router: Side = Field(description="cores attached to each router")


class Core(Table):
    """What one core holds; a limit that is not known is left out and not checked."""

    neurons: Count = Field(description="neurons per core")
    synapse_words: Count = Field(description="words of synaptic memory per core")
    word_bits: Count = Field(description="bits per word of synaptic memory")
    axons_in: Count | None = Field(default=None, description="input axons per core")
    axons_out: Count | None = Field(default=None, description="output axons per core")


class Buffers(Table):
    """Places for messages that wait."""

    message_in: Count = Field(description="places before the synapse stage of a core")
    message_out: Count = Field(description="places before the send stage of a core")
    link: Count = Field(description="places before each link")


class Messages(Table):
    """What travels from core to core."""

    bits: Annotated[int, Field(strict=True, ge=1, le=65_536)] = Field(description="bits of one message on a link")
    bits_range: CountRange | None = Field(default=None, description=RANGE)
    graded: bool = Field(strict=True, description="true if a message may carry a value")


class Action(Table):
    """The cost of doing one thing once; an energy of None is unknown, which is not 0."""

    latency_ps: Picoseconds = Field(description="time of one, in picoseconds")
    latency_ps_range: PicosecondsRange | None = Field(default=None, description=RANGE)
    energy_fj: Amount | None = Field(default=None, description="energy of one, in femtojoules; leave out if unknown")
    energy_fj_range: AmountRange | None = Field(default=None, description=RANGE)


class Group(BaseModel):
    """A table that only holds other tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Actions(Group):
    """What a core does, and the cost of each."""

    neuron_update: Action = Field(description="update one allocated neuron in a timestep")
    spike: Action = Field(description="one neuron fires, on top of its update")
    message_out: Action = Field(description="send one copy of a message")
    message_in: Action = Field(description="receive one message and find its synapses")
    synop_dense: Action = Field(description="add one weight of a dense block to its target")
    synop_sparse: Action = Field(description="add one weight of a sparse block to its target")
    synop_conv: Action = Field(description="add one weight of a shared kernel to its target")
    word_read: Action = Field(description="read one word of synaptic memory")


class Link(Table):
    """A directed link: the message holds it for bits / bandwidth, then travels on while the next one starts."""

    bandwidth_gbps: Bandwidth = Field(description="gigabits per second")
    bandwidth_gbps_range: BandwidthRange | None = Field(default=None, description=RANGE)
    wire_ps: Picoseconds = Field(description="wire and router latency after the link is free again, in picoseconds")
    wire_ps_range: PicosecondsRange | None = Field(default=None, description=RANGE)
    energy_fj: Amount | None = Field(default=None, description="femtojoules per message; leave out if unknown")
    energy_fj_range: AmountRange | None = Field(default=None, description=RANGE)


class Links(Group):
    """The links of the network on chip."""

    core_to_router: Link = Field(description="from a core into its router")
    router_to_core: Link = Field(description="from a router into one of its cores")
    east_west: Link = Field(description="between neighbouring routers of a row")
    north_south: Link = Field(description="between neighbouring routers of a column")


class Format(Table):
    """How the synapses of one axon are stored in one core."""

    header_bits: Bits = Field(description="bits per axon beside the weights")
    index_bits: Annotated[tuple[Width, ...], Field(min_length=1)] | None = Field(
        default=None, description="widths to choose the target index from, increasing; for sparse only"
    )


class Formats(Group):
    """The three storage formats."""

    dense: Format = Field(description="every weight of a row, zeros too")
    sparse: Format = Field(description="the weights that are not zero, each with the index of its target")
    conv: Format = Field(description="one kernel, shared by all positions")

    @model_validator(mode="after")
    def _only_sparse_has_an_index(self) -> Formats:
        for name in ("dense", "conv"):
            if getattr(self, name).index_bits is not None:
                widths = list(getattr(self, name).index_bits)
                raise wrong(f"{name}.index_bits", widths, "must be left out: only the sparse format stores an index")
        widths_of_sparse = self.sparse.index_bits
        if widths_of_sparse is None:
            raise wrong("sparse.index_bits", None, "missing: add the widths to choose from, as index_bits = [6, 7, 8]")
        if not is_increasing(widths_of_sparse):
            raise wrong("sparse.index_bits", list(widths_of_sparse), "must increase from each width to the next")
        return self


class FormatDefault(Table):
    """Which format is used unless the user says otherwise."""

    dense_layers: Literal["dense", "sparse"] = Field(description="storage of fully connected layers")


class Partition(Table):
    """How layers are cut into cores unless the user says otherwise."""

    conv_slice_neurons: Count = Field(description="largest number of neurons in one slice of a convolution")
    conv_slice_neurons_range: CountRange | None = Field(default=None, description=RANGE)


class Barrier(Table):
    """The time that ends a timestep, by the number of routers that take part."""

    routers: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(description="numbers of routers, increasing")
    latency_ps: Annotated[tuple[Picoseconds, ...], Field(min_length=1)] = Field(
        description="picoseconds, one for each entry of routers"
    )

    @model_validator(mode="after")
    def _points_of_a_line(self) -> Barrier:
        if len(self.routers) != len(self.latency_ps):
            raise wrong(
                "latency_ps",
                list(self.latency_ps),
                f"has {len(self.latency_ps)} entries, but routers has {len(self.routers)}: give one for each",
            )
        if not is_increasing(self.routers):
            raise wrong("routers", list(self.routers), "must increase from each entry to the next")
        if any(later < earlier for earlier, later in itertools.pairwise(self.latency_ps)):
            raise wrong("latency_ps", list(self.latency_ps), "must not decrease from one entry to the next")
        return self


class Host(Table):
    """Where messages from outside enter."""

    router: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=0, le=1023)], ...], Field(min_length=2, max_length=2)
    ] = Field(description="[column, row] of the router they enter at")
    message_ps: Picoseconds = Field(description="time to send in one message, in picoseconds")


class Power(Table):
    """Power that is drawn without doing anything."""

    static_mw: Amount | None = Field(description="milliwatts; leave out the table [power] if unknown")
    static_mw_range: AmountRange | None = Field(default=None, description=RANGE)


UNKNOWN_POWER = Power.model_construct(source="", basis="assumed", static_mw=None)


@dataclass(frozen=True)
class ProvenanceRow:
    """One value of a chip file and where it comes from."""

    key: str  # such as "actions.synop_conv.latency_ps"
    value: Any
    range: tuple[float, ...] | None
    basis: str
    source: str
    note: str | None


class Chip(BaseModel):
    """A chip as its file describes it. Made by `load_chip`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text = Field(description="short name")
    title: Text = Field(description="full name")
    discipline: Literal["barrier"] = Field(description="what ends a timestep")
    mesh: Mesh = Field(description="the routers and cores")
    core: Core = Field(description="limits of a core")
    buffers: Buffers = Field(description="places for waiting messages")
    messages: Messages = Field(description="what a message carries")
    actions: Actions = Field(description="cost of each action")
    links: Links = Field(description="the network on chip")
    formats: Formats = Field(description="storage of synapses")
    format_default: FormatDefault = Field(description="format used unless told otherwise")
    partition: Partition = Field(description="default partition")
    barrier: Barrier = Field(description="end of a timestep")
    host: Host = Field(description="entry of messages from outside")
    power: Power = Field(default=UNKNOWN_POWER, description="static power")
    sources: dict[str, Text] = Field(description="the texts that numbers come from, by short key")

    _path: Path = PrivateAttr(default=Path())
    _sha256: str = PrivateAttr(default="")
    _value_keys: tuple[str, ...] = PrivateAttr(default=())

    @property
    def path(self) -> Path:
        """The file it was read from."""
        return self._path

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes of that file."""
        return self._sha256

    @property
    def routers(self) -> int:
        return self.mesh.columns * self.mesh.rows

    @property
    def cores(self) -> int:
        return self.routers * self.mesh.cores_per_router

    def link_service_ps(self, kind: str) -> int:
        """How long one message holds a link of this kind, such as "east_west": bits / bandwidth, at least 1 ps."""
        link: Link = getattr(self.links, kind)
        return max(1, round(self.messages.bits / link.bandwidth_gbps * 1000))

    def barrier_ps(self, routers_used: int) -> int:
        """The barrier over so many routers: on the line through the points of the file, level beyond its ends."""
        return round(float(np.interp(routers_used, self.barrier.routers, self.barrier.latency_ps)))

    def unknown_costs(self) -> list[str]:
        """Names of the actions and links whose energy is unknown, and "power.static" if the static power is."""
        names = [name for group in (self.actions, self.links) for name, cost in group if cost.energy_fj is None]
        return names + (["power.static"] if self.power.static_mw is None else [])

    def provenance(self) -> list[ProvenanceRow]:
        """One row for each value of the file, in the order of the file."""
        rows = []
        for key in self._value_keys:
            table, name = self._table_of(key)
            origin = table.origin.get(name, table)
            limits = getattr(table, f"{name}_range", None)
            rows.append(ProvenanceRow(key, getattr(table, name), limits, origin.basis, origin.source, origin.note))
        return rows

    def _table_of(self, key: str) -> tuple[Any, str]:
        *path, name = key.split(".")
        table: Any = self
        for part in path:
            table = getattr(table, part)
        return table, name

    @model_validator(mode="after")
    def _sources_exist(self) -> Chip:
        for key, origin in origins(self):
            for source in origin.source_keys:
                if source not in self.sources:
                    hint = nearest(source, self.sources)
                    problem = f"{source!r} is not a key of [sources]: add it there{hint}"
                    raise wrong(f"{key}.source", origin.source, problem)
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Chip:
        column, row = self.host.router
        if column >= self.mesh.columns or row >= self.mesh.rows:
            raise wrong(
                "host.router",
                [column, row],
                f"must be [column, row] on the mesh of {self.mesh.columns} x {self.mesh.rows} routers, "
                f"at most [{self.mesh.columns - 1}, {self.mesh.rows - 1}]",
            )
        if self.partition.conv_slice_neurons > self.core.neurons:
            raise wrong(
                "partition.conv_slice_neurons",
                self.partition.conv_slice_neurons,
                f"must be <= core.neurons = {self.core.neurons}",
            )
        return self


def origins(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Origin]]:
    """Key path and origin of every table and of every number that has its own."""
    for name, value in model:
        key = f"{prefix}{name}"
        if isinstance(value, Table) and value.source:  # UNKNOWN_POWER has none
            yield key, value
            yield from ((f"{key}.origin.{number}", origin) for number, origin in value.origin.items())
        elif isinstance(value, Group):
            yield from origins(value, f"{key}.")


def value_keys(table: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Key paths of the values in tables of the file, in its order; their ranges and origins are not values."""
    for name, value in table.items():
        if isinstance(value, dict):
            if name != "origin" and (prefix or name != "sources"):
                yield from value_keys(value, f"{prefix}{name}.")
        elif prefix and name not in Origin.model_fields and not name.endswith("_range"):
            yield f"{prefix}{name}"


def chips_folder() -> Path:
    """The folder of the shipped chip files: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "chips"
    return inside if inside.is_dir() else package.parent / "chips"


def available_chips() -> dict[str, Path]:
    """The shipped chips: name -> file."""
    return {file.stem: file for file in sorted(chips_folder().glob("*.toml"))}


def load_chip(name_or_path: str | Path) -> Chip:
    """Read a chip, by the name of a shipped one ("loihi2") or from a file of one's own ("./mine.toml").

    A name has no path separator and does not end in .toml; everything else is a path.

    raises  ChipError, one line with file, key, value and cure, if the file cannot be read or is not a valid chip
    """
    text = str(name_or_path)
    shipped = available_chips()
    if text.endswith(".toml") or "/" in text or os.sep in text:
        path, shown = Path(text), text
    elif text in shipped:
        path, shown = shipped[text], f"chips/{text}.toml"
    else:
        raise ChipError(
            printable(
                f"no chip {show(text)}{nearest(text, shipped)}: there are {', '.join(shipped) or 'none'}; "
                f"a file of your own is given by its path, such as ./{text or 'mine'}.toml"
            )
        )
    content = read_bytes(path, shown, shipped)
    data = parse_toml(content, shown)
    try:
        chip = Chip.model_validate(data)
    except ValidationError as error:
        fail(shown, describe(error))
    chip._path = path.resolve()
    chip._sha256 = hashlib.sha256(content).hexdigest()
    chip._value_keys = tuple(value_keys(data))
    return chip


def fail(shown: str, problem: str) -> NoReturn:
    raise ChipError(printable(f"{shown}: {problem}")) from None


def read_bytes(path: Path, shown: str, shipped: dict[str, Path]) -> bytes:
    try:
        with path.open("rb") as file:
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


def describe(error: ValidationError) -> str:
    """The first problem of a chip file in one line, and how many more there are."""
    problems = error.errors(include_url=False)
    # A misspelt key is also a missing key: the misspelling is what the user wants to hear of.
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    more = len(problems) - 1
    return describe_one(dict(problems[0])) + (f" (and {more} more problem{'s' * (more > 1)})" if more else "")


def describe_one(problem: dict[str, Any]) -> str:
    path, kind, context = problem["loc"], problem["type"], problem.get("ctx", {})
    key, value = dotted(path), problem["input"]
    if kind == "chip":
        key = ".".join(filter(None, (key, context["key"])))
        shown_value = "" if context["value"] is None else f" = {show(context['value'])}"
        return f"{key}{shown_value}: {context['problem']}"
    field = field_at(path)
    given = "" if isinstance(value, dict) else f" = {show(value)}"
    meaning = f" ({field.description})" if field is not None and field.description else ""
    if kind == "extra_forbidden":
        known = keys_at(path[:-1])
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


def model_of(field: FieldInfo | None) -> type[BaseModel] | None:
    annotation = field.annotation if field is not None else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def is_table(field: FieldInfo | None) -> bool:
    return model_of(field) is not None or (field is not None and field is Chip.model_fields["sources"])


def field_at(path: Sequence[int | str]) -> FieldInfo | None:
    """The field at a key path of the file, if there is one; an entry of a list gives the field of the list."""
    model: type[BaseModel] | None = Chip
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


def keys_at(path: Sequence[int | str]) -> list[str]:
    """The keys that a table of the file may have."""
    if len(path) > 1 and path[-2] == "origin":
        return list(Origin.model_fields)
    model = model_of(field_at(path)) if path else Chip
    return list(model.model_fields) if model is not None else []


def nearest(word: str, candidates: Sequence[str] | dict[str, Any]) -> str:
    """', did you mean "..."?' if there is something like it, else nothing."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.lower()[:100], by_lower, n=1, cutoff=0.6)
    return f', did you mean "{by_lower[found[0]]}"?' if found else ""


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
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in one_line(text))
