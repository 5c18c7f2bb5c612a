"""The file that describes a sweep: blocks of points, each a grid, a list or a Latin hypercube of values."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError
from pydantic import model_validator as checked

from nsim.chip.chip import nearest
from nsim.chip.discipline import MAP_OPTIONS, RUN_OPTIONS
from nsim.chip.file import dotted, printable, requirement, show
from nsim.errors import SweepError, counted, open_regular

MAX_FILE_BYTES = 10_000_000
MAX_POINTS = 1_000_000


def finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number


Real = Annotated[float, Field(strict=True), AfterValidator(finite)]
Number = StrictInt | Real
Name = Annotated[str, Field(strict=True, min_length=1)]
Names = Annotated[list[Name], Field(min_length=1)]
Seeds = Annotated[list[Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]], Field(min_length=1)]
Positive = Annotated[int, Field(strict=True, ge=1, le=10**9)]


class SpecTable(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(SpecTable):
    """Numbers from low to high; whole ones if both ends are written without a decimal point."""

    low: Number = Field(description="smallest value")
    high: Number = Field(description="largest value")
    scale: Literal["linear", "log"] = Field(default="linear", description="how values are spaced")
    count: Annotated[int, Field(strict=True, ge=2, le=MAX_POINTS)] | None = Field(
        default=None, description="values from low to high; in grids and lists only, and needed there"
    )

    @checked(mode="after")
    def _has_two_ends(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low} must be below high = {self.high}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"low = {self.low} must be above 0 where the scale is log")
        return self

    def at(self, place: float) -> float:
        """The value at a place from 0 (low) to 1 (high)."""
        if self.scale == "log":
            value = self.low * (self.high / self.low) ** place
        else:
            value = self.low + (self.high - self.low) * place
        value = min(max(value, self.low), self.high)
        return round(value) if isinstance(self.low, int) and isinstance(self.high, int) else float(value)

    def values(self) -> list[float]:
        """As many as `count` says, from end to end."""
        assert self.count is not None
        return [self.at(number / (self.count - 1)) for number in range(self.count)]


Numbers = Annotated[list[Number], Field(min_length=1)] | Range
Values = Annotated[list[StrictBool | StrictInt | Real | Name], Field(min_length=1)] | Range


def axis(option: str) -> Any:
    """The field of a block that gives an option of nsim/chip/discipline.py, one value or several."""
    return Field(default=None, description=ALL_OPTIONS[option].help)


ALL_OPTIONS = MAP_OPTIONS | RUN_OPTIONS
AXES = {option.axis: option.name for option in ALL_OPTIONS.values() if option.axis}  # keys of a block that vary


class Block(SpecTable):
    """Points that belong together. What is left out is as in `nsim run`."""

    kind: Literal["grid", "list", "latin-hypercube"] = Field(
        default="grid",
        description="grid: every combination; list: first values together, then the second ones, and so on (a single "
        "value stands for all); latin-hypercube: count points, spread evenly over every range and list",
    )
    count: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None, description="points of a Latin hypercube"
    )
    draw: Annotated[int, Field(strict=True, ge=0)] = Field(default=0, description="seed of a Latin hypercube")
    networks: Names = Field(
        description="built-in names (as in mlp:width=512), .net, .nir, .s5, .onnx, .pt2 files, model.py:net"
    )
    chips: Names = Field(description="names of chips, or paths of chip files")
    chip_parameters: dict[Name, Values] = Field(
        default={}, description='values by key path of the chip file, such as "links.east_west.bandwidth_gbps"'
    )
    weight_sparsity: Numbers | None = Field(
        default=None, description="share of weights that are zero, from 0 to below 1; of built-in networks"
    )
    activation_sparsity: Numbers | None = Field(
        default=None, description="share of neurons that send nothing in a timestep or frame, from 0 to 1"
    )
    schedules: Names | None = Field(
        default=None,
        description="how activity of this sparsity is spread over the layers: even, front-loaded, back-loaded, random "
        "(another one for each seed) or random:SEED",
    )
    partitions: Names | None = axis("partition")
    placements: Names | None = axis("placement")
    weight_formats: Names | None = axis("weight_format")
    precisions: Names | None = axis("precision")
    modes: Names | None = axis("mode")
    clock_modes: Names | None = axis("clock_mode")
    core_options: Names | None = axis("core_options")
    grids: Names | None = axis("grid")
    neurons_per_tile: Annotated[list[Positive], Field(min_length=1)] | None = axis("neurons_per_tile")
    places: Names | None = axis("place")
    routes: Names | None = axis("routes")
    runtimes: Names | None = axis("runtime")
    inputs: Names | None = Field(default=None, description="files of frames or events, or edges:rate=1e5,seconds=0.1")
    seeds: Seeds = Field(default=[0], description="seeds of drawn activity, or of events that are made up")
    timesteps: Positive | None = axis("timesteps")
    drain: StrictBool | None = axis("drain")
    warm_up: Annotated[int, Field(strict=True, ge=0, le=10**9)] | None = axis("warm_up")
    samples: Positive | None = axis("samples")
    seconds: Annotated[float, Field(strict=True, gt=0, le=1e6)] | None = axis("seconds")
    embedded_us: Annotated[float, Field(ge=0, le=1e6)] | None = axis("embedded_us")
    per_sample_us: Annotated[float, Field(ge=0, le=1e6)] | None = axis("per_sample_us")
    shared_lines: StrictBool | None = axis("shared_lines")
    critical_path: StrictBool | None = axis("critical_path")
    ranges: StrictBool | None = axis("ranges")
    dt_s: Annotated[float, Field(strict=True, gt=0, le=1e6)] | None = Field(
        default=None, description="seconds per timestep; without timesteps, per tick of the slow clock"
    )

    @checked(mode="after")
    def _shares_are_shares(self) -> Block:
        for name, below in (("weight_sparsity", 1.0), ("activation_sparsity", math.nextafter(1.0, 2.0))):
            values = getattr(self, name)
            for value in (values.low, values.high) if isinstance(values, Range) else values or ():
                if not 0 <= value < below:
                    limit = "below 1" if below == 1 else "1"
                    raise ValueError(f"{name} = {value}: must be from 0 to {limit}")
        return self

    @checked(mode="after")
    def _kind_has_what_it_needs(self) -> Block:
        if self.kind == "latin-hypercube":
            if self.count is None:
                raise ValueError("count: missing: a Latin hypercube needs the number of its points, as count = 100")
        elif self.count is not None:
            raise ValueError(f'count = {self.count} is for kind = "latin-hypercube": leave it out of a {self.kind}')
        for name, values in self.axes():
            if isinstance(values, Range) and (values.count is None) == (self.kind != "latin-hypercube"):
                raise ValueError(
                    f"{name}: a range in a Latin hypercube has no count, the block has: leave it out"
                    if self.kind == "latin-hypercube"
                    else f"{name}: a range in a {self.kind} needs the number of its values, as count = 5"
                )
        sizes = {name: size_of(values) for name, values in self.axes()}
        if self.kind == "list" and len(set(sizes.values()) - {1}) > 1:
            shown = ", ".join(f"{name} has {size}" for name, size in sizes.items() if size > 1)
            raise ValueError(f"a list takes values one by one, but {shown}: give as many for each, or one for all")
        return self

    def axes(self) -> list[tuple[str, list | Range]]:
        """What varies, in the order in which a grid is gone through: the last one changes first.

        What makes a mapping comes before what makes activity, so that neighbours share most of the work.
        """
        before: list[tuple[str, Any]] = [("networks", self.networks), ("weight_sparsity", self.weight_sparsity)]
        before += [("chips", self.chips)]
        before += [(f"chip_parameters.{key}", values) for key, values in self.chip_parameters.items()]
        after = ("inputs", "activation_sparsity", "schedules", "seeds")
        every = before + [(name, getattr(self, name)) for name in (*AXES, *after)]
        return [(name, values) for name, values in every if values is not None]


def size_of(values: list | Range) -> int:
    """How many values a grid or list takes of it."""
    return values.count or 0 if isinstance(values, Range) else len(values)


class Spec(SpecTable):
    """A sweep."""

    title: Name | None = Field(default=None, description="what the sweep is to find out")
    points: Annotated[list[Block], Field(min_length=1)] = Field(description="blocks of points, one after another")


def load_spec(path: str | Path) -> Spec:
    """Read a sweep's file.

    raises   SweepError, with a line for everything that is wrong in it
    """
    data = read_toml(Path(path))
    try:
        return Spec.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        typed = {each["loc"][:-1] for each in found if each["type"] == "extra_forbidden"}
        found = [each for each in found if each["type"] != "missing" or each["loc"][:-1] not in typed]  # it is misspelt
        lines = list(dict.fromkeys(filter(None, map(describe, found))))
        raise problems(str(path), lines) from None


def read_toml(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SweepError(printable(f"{path}: cannot be read ({reason}): give the path of a sweep file")) from None
    if len(content) > MAX_FILE_BYTES:
        raise SweepError(f"{path} has more than {MAX_FILE_BYTES:,} bytes: a sweep file is a short TOML text")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # of UTF-8 and of TOML
        raise SweepError(printable(f"{path}: not valid TOML: {error}: correct it there")) from None


def problems(where: str, lines: list[str], most: int = 20) -> SweepError:
    """An error with one line for each of these."""
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    shown = [printable(line) for line in lines[:most]] + more
    if len(shown) == 1:
        return SweepError(f"{printable(where)}: {shown[0]}")
    return SweepError("\n  ".join([f"{printable(where)}: {counted(len(lines), 'problem')}, nothing was run", *shown]))


KINDS_OF_VALUES = ("list[", "Range", "int", "float", "function-", "bool", "constrained-str")


def describe(problem: Any) -> str | None:
    """One line for one of pydantic's errors; None for what another one says better."""
    kind, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    path = tuple(part for part in problem["loc"] if isinstance(part, int) or not part.startswith(KINDS_OF_VALUES))
    in_range = any(str(part).endswith(("Range", "Range]")) for part in problem["loc"])
    if in_range and not isinstance(value, dict) and kind == "model_type":
        return None  # it is a list, whose own errors come too
    if any(str(part).startswith("list[") for part in problem["loc"]) and isinstance(value, dict):
        return None  # it is a range
    if problem["loc"][-1] == "int":
        return None  # no whole number, nor any other: that is said too
    if kind == "extra_forbidden":
        table: type[SpecTable] = Spec if len(path) == 1 else Range if in_range else Block
        known = list(table.model_fields)
        hint = nearest(str(path[-1]), known) or f", the keys here are {', '.join(known)}"
        return f"{dotted(path)} = {show(value)}: unknown key{hint}: rename or remove it"
    if kind == "missing":
        field = (Spec if len(path) == 1 else Range if in_range else Block).model_fields[str(path[-1])]
        return f"{dotted(path)}: missing: add it ({field.description})"
    if kind == "value_error":
        return f"{dotted(path)}{'' if isinstance(value, dict) else f' = {show(value)}'}: {context['error']}"
    return f"{dotted(path)} = {show(value)}: {requirement(kind, context, problem['msg'])}"
