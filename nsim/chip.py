"""A chip: its sizes and what each action costs, and where each of these numbers comes from.

Chips are read from files, by `nsim.chip_file`; their format is explained in `chips/README.md`.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    model_validator,
)
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

    def record_file(self, path: Path, sha256: str, value_keys: tuple[str, ...]) -> None:
        """Remember the file that it was just read from, and the key paths of the values in it, in their order."""
        self._path, self._sha256, self._value_keys = path, sha256, value_keys

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


def nearest(word: str, candidates: Sequence[str] | dict[str, Any]) -> str:
    """', did you mean "..."?' if there is something like it, else nothing."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.lower()[:100], by_lower, n=1, cutoff=0.6)
    return f', did you mean "{by_lower[found[0]]}"?' if found else ""
