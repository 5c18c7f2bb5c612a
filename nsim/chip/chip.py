"""A chip: its sizes and what each action costs, and where each of these numbers comes from.

Chips are read from files, by `nsim.chip.file`; their format is explained in `chips/README.md`.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

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


def _between(low: Any, high: Any, value: Any) -> bool:
    """Whether a value lies between two others; of lists, each entry of one between those of the others."""
    if not isinstance(value, tuple):
        return bool(low <= value <= high)
    return len(low) == len(high) == len(value) and all(map(_between, low, high, value))


def _lists(value: Any) -> Any:
    """A value as its file has it, for an error."""
    return [_lists(part) for part in value] if isinstance(value, tuple) else value


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
                raise wrong(name, _lists(limits), f"a range without a value: add {key} = ... or remove the range")
            if not _between(limits[0], limits[1], value):
                raise wrong(
                    name,
                    _lists(limits),
                    f"must be [lowest, highest] around {key} = {_lists(value)}: change one or remove the range",
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


class Group(BaseModel):
    """A table that only holds other tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Power(Table):
    """Power that is drawn without doing anything."""

    static_mw: Amount | None = Field(description="milliwatts; leave out the table [power] if unknown")
    static_mw_range: AmountRange | None = Field(default=None, description=RANGE)


UNKNOWN_POWER = Power.model_construct(source="", basis="assumed", static_mw=None)


class Cost(Table):
    """What doing one thing once costs; an energy of None is unknown, which is not 0."""

    energy_fj: Amount | None = Field(default=None, description="energy of one, in femtojoules; leave out if unknown")
    energy_fj_range: AmountRange | None = Field(default=None, description=RANGE)


class Action(Cost):
    """Something a core does, in a fixed time."""

    latency_ps: Picoseconds = Field(description="time of one, in picoseconds")
    latency_ps_range: PicosecondsRange | None = Field(default=None, description=RANGE)


class Mesh(Table):
    """Routers in a rectangle."""

    columns: Side = Field(description="routers from west to east")
    rows: Side = Field(description="routers from north to south")


class Buffers(Table):
    """Slots for messages that wait."""

    message_in: Count = Field(description="slots before the synapse stage of a core")
    message_in_range: CountRange | None = Field(default=None, description=RANGE)
    message_out: Count = Field(description="slots before the send stage of a core")
    message_out_range: CountRange | None = Field(default=None, description=RANGE)
    link: Count = Field(description="slots before each link")
    link_range: CountRange | None = Field(default=None, description=RANGE)


class Messages(Table):
    """What travels from core to core."""

    bits: Annotated[int, Field(strict=True, ge=1, le=65_536)] = Field(description="bits of one message on a link")
    bits_range: CountRange | None = Field(default=None, description=RANGE)
    graded: bool = Field(strict=True, description="true if a message may carry a value")


class Link(Cost):
    """A directed link: the message holds it for bits / bandwidth, then travels on while the next one starts."""

    bandwidth_gbps: Bandwidth = Field(description="gigabits per second")
    bandwidth_gbps_range: BandwidthRange | None = Field(default=None, description=RANGE)
    wire_ps: Picoseconds = Field(description="wire and router latency after the link is free again, in picoseconds")
    wire_ps_range: PicosecondsRange | None = Field(default=None, description=RANGE)


class Links(Group):
    """The links of the network on chip."""

    core_to_router: Link = Field(description="from a core into its router")
    router_to_core: Link = Field(description="from a router into one of its cores")
    east_west: Link = Field(description="between neighbouring routers of a row")
    north_south: Link = Field(description="between neighbouring routers of a column")


class Entry(Table):
    """Where messages from outside enter."""

    router: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=0, le=1023)], ...], Field(min_length=2, max_length=2)
    ] = Field(description="[column, row] of the router they enter at")


class Host(Entry):
    """What sends messages in from outside."""

    message_ps: Picoseconds = Field(description="time to send in one message, in picoseconds")
    message_ps_range: PicosecondsRange | None = Field(default=None, description=RANGE)


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
    """A chip as its file describes it: what all disciplines of time share. Made by `load_chip`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text = Field(description="short name")
    title: Text = Field(description="full name")
    discipline: str = Field(description="what ends a timestep")
    power: Power = Field(default=UNKNOWN_POWER, description="static power")
    sources: dict[str, Text] = Field(description="the texts that numbers come from, by short key")

    _path: Path = PrivateAttr(default=Path())
    _sha256: str = PrivateAttr(default="")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.title!r})"

    _value_keys: tuple[str, ...] = PrivateAttr(default=())
    _changes: dict[str, Any] = PrivateAttr(default_factory=dict)

    def record_file(
        self, path: Path, sha256: str, value_keys: tuple[str, ...], changes: Mapping[str, Any] | None = None
    ) -> None:
        """Remember the file it was just read from, the key paths of its values in their order, and what was changed."""
        self._path, self._sha256, self._value_keys, self._changes = path, sha256, value_keys, dict(changes or {})

    @property
    def path(self) -> Path:
        """The file it was read from."""
        return self._path

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes of that file, and of the changes."""
        return self._sha256

    @property
    def changes(self) -> Mapping[str, Any]:
        """Values that were given beside the file, by key path."""
        return self._changes

    @property
    def cores(self) -> int:
        raise NotImplementedError

    def costs(self) -> Iterator[tuple[str, Cost]]:
        """Everything that may cost energy, by name: the chip's actions, and its links if it has any."""
        for group in ("actions", "links"):
            yield from ((name, cost) for name, cost in getattr(self, group, ()) if cost is not None)

    def cost(self, name: str) -> Cost:
        """That of one action or kind of link.

        raises   KeyError if the chip has none of this name
        """
        for group in ("actions", "links"):
            found: Cost | None = getattr(getattr(self, group, None), name, None)
            if found is not None:
                return found
        raise KeyError(name)

    def unknown_costs(self) -> list[str]:
        """Names of the actions and links whose energy is unknown, and "power.static" if the static power is."""
        names = [name for name, cost in self.costs() if cost.energy_fj is None]
        return names + (["power.static"] if self.power.static_mw is None else [])

    @property
    def static_mw(self) -> float | None:
        """Power that is drawn without doing anything, in milliwatts; None if unknown."""
        return self.power.static_mw

    def provenance(self) -> list[ProvenanceRow]:
        """One row for each value of the file, in the order of the file."""
        rows = []
        for key in self._value_keys:
            path, _, name = key.rpartition(".")
            table = attrgetter(path)(self)
            origin = table.origin.get(name, table)
            limits = getattr(table, f"{name}_range", None)
            rows.append(ProvenanceRow(key, getattr(table, name), limits, origin.basis, origin.source, origin.note))
        return rows

    @model_validator(mode="after")
    def _sources_exist(self) -> Chip:
        for key, origin in origins(self):
            for source in origin.source_keys:
                if source not in self.sources:
                    hint = nearest(source, self.sources)
                    problem = f"{source!r} is not a key of [sources]: add it there{hint}"
                    raise wrong(f"{key}.source", origin.source, problem)
        return self


class MeshChip(Chip):
    """A chip whose cores hang on the routers of a mesh."""

    mesh: Mesh = Field(description="the routers")
    buffers: Buffers = Field(description="slots for waiting messages")
    messages: Messages = Field(description="what a message carries")
    links: Group = Field(description="the network on chip, by kind of link")
    host: Entry = Field(description="entry of messages from outside")

    @property
    def columns(self) -> int:
        """Routers from west to east; on a board, of all its chips."""
        return self.mesh.columns

    @property
    def rows(self) -> int:
        """Routers from north to south; on a board, of all its chips."""
        return self.mesh.rows

    @property
    def routers(self) -> int:
        return self.columns * self.rows

    def router_of(self, core: int) -> int:
        """The router a core hangs on, counted row by row; core number `cores` stands for the host."""
        if core == self.cores:
            x, y = self.host.router
            return y * self.columns + x
        return self.core_router(core)

    @property
    def ports(self) -> int | None:
        """On a board, links over each edge of a chip; None: one for every row or column."""
        return None

    @property
    def mesh_kinds(self) -> tuple[str, ...]:
        """Kinds of the links between routers, as in the table [links]."""
        return "east_west", "north_south"

    @property
    def core_routers(self) -> NDArray[np.int64]:
        """The router of every core, the host's last."""
        return np.array([self.router_of(core) for core in range(self.cores + 1)], np.int64)

    def core_router(self, core: int) -> int:
        raise NotImplementedError

    @property
    def send_ps(self) -> int:
        """How long a core's send stage takes for one copy of a message."""
        raise NotImplementedError

    @property
    def host_message_ps(self) -> int:
        """How long the host takes to send in one message."""
        raise NotImplementedError

    @property
    def skips_conv_zeros(self) -> bool:
        """Whether the zero weights of a convolution are no synops."""
        return False

    def link_service_ps(self, kind: str) -> int:
        """How long one message holds a link of this kind, such as "east_west", at least 1 ps."""
        raise NotImplementedError

    def link_wire_ps(self, kind: str) -> int:
        """How long a message travels behind a link of this kind."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _host_is_on_the_mesh(self) -> MeshChip:
        column, row = self.host.router
        if column >= self.columns or row >= self.rows:
            raise wrong(
                "host.router",
                [column, row],
                f"must be [column, row] on the mesh of {self.columns} x {self.rows} routers, "
                f"at most [{self.columns - 1}, {self.rows - 1}]",
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


def model_of(field: FieldInfo | None) -> type[BaseModel] | None:
    annotation = field.annotation if field is not None else None
    annotation = next(iter(get_args(annotation)), annotation)  # of a table that may be left out
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def nearest(word: str, candidates: Sequence[str] | dict[str, Any]) -> str:
    """', did you mean "..."?' if there is something like it, else nothing."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.lower()[:100], by_lower, n=1, cutoff=0.6)
    return f', did you mean "{by_lower[found[0]]}"?' if found else ""


def changed(table: Any, values: Mapping[str, Any]) -> Any:
    """A copy of a chip (or of one of its tables) with some values replaced, by key path: {"mesh.columns": 2}.

    For studies that vary a chip. Nothing is checked again; a replaced value loses its range, and keeps its origin.
    raises   KeyError for a key path that the chip does not have
    """
    own = {key: value for key, value in values.items() if "." not in key}
    for name in dict.fromkeys(key.split(".")[0] for key in values if "." in key):
        inner = {key.removeprefix(f"{name}."): v for key, v in values.items() if key.startswith(f"{name}.")}
        own[name] = changed(getattr(table, name), inner)
    if unknown := own.keys() - type(table).model_fields.keys():
        raise KeyError(f"{type(table).__name__} has no {', '.join(sorted(unknown))}")
    fixed = {f"{key}_range": None for key in own if f"{key}_range" in type(table).model_fields}
    return table.model_copy(update=fixed | own)
