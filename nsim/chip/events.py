"""Chips without timesteps whose layers each take one core with a memory of its own: Speck, DYNAP-CNN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from nsim.chip.chip import (
    RANGE,
    Action,
    Buffers,
    Chip,
    Count,
    CountRange,
    Group,
    Link,
    Messages,
    Table,
    is_increasing,
    wrong,
)

Counts = Annotated[tuple[Count, ...], Field(min_length=1)]
CoreNumber = Annotated[int, Field(strict=True, ge=0, le=1023)]


class CoreMemories(Table):
    """What every core holds; the cores differ."""

    kernel_entries: Counts = Field(description="kernel weights, one number for each core")
    neuron_entries: Counts = Field(description="neuron states, one number for each core")
    bias_entries: Counts = Field(description="biases, one number for each core")

    @model_validator(mode="after")
    def _one_for_each_core(self) -> CoreMemories:
        cores = len(self.kernel_entries)
        for name in ("neuron_entries", "bias_entries"):
            entries = getattr(self, name)
            if len(entries) != cores:
                raise wrong(
                    name,
                    list(entries),
                    f"has {len(entries)} entries, but kernel_entries has {cores}: one for each core",
                )
        return self


class Limits(Table):
    """What a core can be configured to do."""

    input_side: Annotated[int, Field(strict=True, ge=1, le=256)] = Field(description="rows and columns of its input")
    output_side: Annotated[int, Field(strict=True, ge=1, le=256)] = Field(description="rows and columns of its neurons")
    channels: Annotated[int, Field(strict=True, ge=1, le=4096)] = Field(description="channels of input and neurons")
    kernel_side: Annotated[int, Field(strict=True, ge=1, le=256)] = Field(description="rows and columns of the kernel")
    strides: Counts = Field(description="strides there are, increasing")
    padding: Annotated[int, Field(strict=True, ge=0, le=256)] = Field(description="largest padding")
    pools: Counts = Field(description="pooling windows there are, increasing")
    destinations: Count = Field(description="cores that one core, or the sensor, can send to")
    weight_bits: Annotated[int, Field(strict=True, ge=2, le=16)] = Field(description="bits of a signed weight")
    state_bits: Literal[16] = Field(description="bits of a signed state")

    @model_validator(mode="after")
    def _lists_increase(self) -> Limits:
        for name in ("strides", "pools"):
            if not is_increasing(getattr(self, name)):
                raise wrong(name, list(getattr(self, name)), "must increase from each entry to the next")
        return self


class ParallelCores(Table):
    """Cores that work on several synaptic operations at a time."""

    cores: tuple[CoreNumber, ...] = Field(description="their numbers")


class Balancer(Table):
    """The input congestion balancer, an option of each core: it drops events that find no place before the core."""

    places: Count = Field(description="slots before a core whose balancer is on")
    places_range: CountRange | None = Field(default=None, description=RANGE)


class StreamActions(Group):
    """What a core does, and the cost of each."""

    event: Action = Field(description="receive one event and find its kernel")
    event_parallel: Action = Field(description="the same at a parallel core")
    synop: Action = Field(description="read one weight, add it to its neuron, compare")
    synop_parallel: Action = Field(description="the same at a parallel core")
    leak_update: Action = Field(description="add the bias to one neuron on a tick of the slow clock, compare")
    message_out: Action = Field(description="send one copy of a spike")


class StreamLinks(Group):
    """The ways of events."""

    sensor: Link = Field(description="out of the sensor, past its pre-processing")
    core: Link = Field(description="into a core")
    output: Link = Field(description="out of the chip")


class StreamChip(Chip):
    """A chip without timesteps: one layer on one core, events served as they come."""

    discipline: Literal["stream"] = Field(description="what ends a timestep: there are none")
    memories: CoreMemories = Field(description="memory of each core")
    limits: Limits = Field(description="limits of a core")
    parallel: ParallelCores = Field(description="faster cores")
    buffers: Buffers = Field(description="slots for waiting events")
    balancer: Balancer = Field(description="input congestion balancer")
    messages: Messages = Field(description="what an event carries")
    actions: StreamActions = Field(description="cost of each action")
    links: StreamLinks = Field(description="the ways of events")

    @property
    def cores(self) -> int:
        return len(self.memories.kernel_entries)

    def holds(self, core: int, entries: Mapping[str, int]) -> bool:
        """Whether a core has so many entries of every kind of memory ("kernel", "neuron", "bias")."""
        return all(needed <= getattr(self.memories, f"{name}_entries")[core] for name, needed in entries.items())

    def synop_action(self, core: int) -> str:
        """Name of the action that a synaptic operation at this core is."""
        return "synop_parallel" if core in self.parallel.cores else "synop"

    def event_action(self, core: int) -> str:
        return "event_parallel" if core in self.parallel.cores else "event"

    def link_service_ps(self, kind: str) -> int:
        """How long one event holds a link of this kind: bits / bandwidth, at least 1 ps."""
        link: Link = getattr(self.links, kind)
        return max(1, round(self.messages.bits / link.bandwidth_gbps * 1000))

    @model_validator(mode="after")
    def _parallel_cores_exist(self) -> StreamChip:
        if any(core >= self.cores for core in self.parallel.cores):
            raise wrong("parallel.cores", list(self.parallel.cores), f"must be below the number of cores, {self.cores}")
        return self
