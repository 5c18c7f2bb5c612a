"""A column of a table or a key of summary.json, and the kinds of them that are used again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

DTYPES = ("int64", "float64", "string", "bool", "map", "list")


@dataclass(frozen=True)
class Column:
    """One column of a table, or one key of summary.json.

    unit      ps, fJ, MHz, ...; "1" of a share or ratio; empty of counts, numbers and texts
    dtype     int64, float64, string or bool; in a summary also map or list
    meaning   for the document and the schema
    null      whether a value may be missing
    absent    whether a table may lack the whole column, or a summary the key
    """

    name: str
    unit: str
    dtype: str
    meaning: str
    null: bool = False
    absent: bool = False


Columns = tuple[Column, ...]


@dataclass(frozen=True)
class Declared:
    """What the runs of a discipline tell.

    span       what its runs are made of
    summary    keys of summary.json, in their order
    tables     columns by table, in their order
    optional   tables that only some runs have
    """

    span: str
    summary: Columns
    tables: Mapping[str, Columns]
    optional: frozenset[str] = frozenset({"critical_path", "ranges"})

    @cached_property
    def measures(self) -> Columns:
        """Single values of the summary that simulation finds: the columns of a sweep."""
        return tuple(
            key for key in self.summary if key.dtype not in ("map", "list") and key not in HEAD and not key.absent
        )


def count(name: str, meaning: str, *, null: bool = False, absent: bool = False) -> Column:
    """A whole number without unit."""
    return Column(name, "", "int64", meaning, null, absent)


def text(name: str, meaning: str, *, null: bool = False) -> Column:
    return Column(name, "", "string", meaning, null)


def ratio(name: str, meaning: str, *, null: bool = False) -> Column:
    return Column(name, "1", "float64", meaning, null)


def ps(name: str, meaning: str, *, null: bool = False, absent: bool = False) -> Column:
    """A time of whole picoseconds."""
    return Column(name, "ps", "int64", meaning, null, absent)


def mean_ps(name: str, meaning: str, *, null: bool = False) -> Column:
    return Column(name, "ps", "float64", meaning, null)


def fj(name: str, meaning: str, *, null: bool = False, absent: bool = False) -> Column:
    return Column(name, "fJ", "float64", meaning, null, absent)


def real(name: str, unit: str, meaning: str, *, null: bool = False) -> Column:
    """A value with another unit."""
    return Column(name, unit, "float64", meaning, null)


def table(name: str, unit: str, meaning: str) -> Column:
    """A value of the summary that is a table of its own, by name."""
    return Column(name, unit, "map", meaning)


def listed(name: str, meaning: str) -> Column:
    return Column(name, "", "list", meaning)


HEAD = (
    text("network", "network, as it was loaded"),
    text("chip", "name in the chip file"),
    text("engine", "compiled or simpy; null if no time could be told", null=True),
    text("span", "what the run is made of: timestep, frame, stream or tick"),
)
COMMON = (
    *HEAD,
    count("spans", "spans that were simulated; a stream is one"),
    count("spans_planned", "spans that were asked for: more than were simulated if the run was interrupted"),
    ps(
        "time_ps",
        "whole run, to the end of all that its input caused; null if it is not known",
        null=True,
    ),
    fj("energy_fj", "whole run, of the terms with a known cost; null if no cost is known", null=True),
    fj("dynamic_energy_fj", "the same without static power", null=True),
    mean_ps(
        "time_low_ps",
        "least headline time (mean timestep or tick, latency of one frame, median latency of a stream) within the "
        "ranges of the chip's constants; null if not sought, or not known",
        null=True,
    ),
    mean_ps("time_high_ps", "likewise, greatest", null=True),
    fj("energy_low_fj", "least headline energy (of a timestep, frame, tick, or the whole stream) likewise", null=True),
    fj("energy_high_fj", "likewise, greatest", null=True),
    listed(
        "range_constants",
        "constants that move a headline furthest alone, at most three of each: of (time or energy), key, low, high",
    ),
    table("energy_by_action_fj", "fJ", "whole run, by action of the chip file; null where the cost is not known"),
    listed("actions_without_known_energy", "actions that occurred and are in no sum"),
    text("limit", "what limits the run: state or station; null if that is not known", null=True),
    text("limit_by", "what tells so: critical path, busy time, or waiting", null=True),
    ratio("limit_share", "part of that which falls to the limit, 0..1", null=True),
    table("critical_path_ps", "ps", "critical path by state; empty if it was not recorded"),
)
ACCURACY = (
    Column("accuracy", "1", "float64", "samples whose class was named right, of those that were done", absent=True),
    Column("accuracy_by", "", "string", "how the outputs were read; samples with several largest ones", absent=True),
)
RANGES = (
    count(
        "draw", "number of the draw of constants from their ranges; equal draws of one chip file have equal constants"
    ),
    mean_ps("time_ps", "headline time with these constants", null=True),
    fj("energy_fj", "headline energy with these constants", null=True),
)
REPRODUCIBILITY = table("reproducibility", "", "seed, versions, hash of the chip file, notes, basis of every constant")
CRITICAL_PATH = (
    text("station", "station, and the layers of its core"),
    text("kind", "kind of station"),
    ps("service_ps", "time on the critical path in services of the station"),
    ps("wire_ps", "time on the critical path on the wire behind it"),
    ratio("share", "both, of the time of the critical path"),
)
PLACE = (
    count("core", "number of the core"),
    count("router_x", "column of its router"),
    count("router_y", "row of its router"),
)
LINKS = (
    text("link", "link: between routers by columns and rows, or of a core"),
    text("kind", "core_to_router, mesh, router_to_core, or chip_to_chip on a board"),
    text("direction", "east, west, south or north; empty at a core"),
    count("messages", "messages that passed"),
    Column("bits", "bit", "int64", "bits that passed"),
    ps("busy_ps", "time with a message on the link"),
    ps("blocked_ps", "time in which a message waited for a slot behind the link"),
    count("longest_queue", "messages waiting at most"),
    ratio("utilisation", "busy time over that of the run"),
)
DYNAMIC = fj("known_dynamic_energy_fj", "dynamic energy of the terms with a known cost")
