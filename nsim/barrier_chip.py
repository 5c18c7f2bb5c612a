"""Chips whose timesteps end with a barrier: Loihi, Loihi 2, and others like them."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from nsim.chip import (
    RANGE,
    Action,
    Bits,
    Count,
    CountRange,
    Group,
    Host,
    Link,
    Links,
    Mesh,
    MeshChip,
    Picoseconds,
    Side,
    Table,
    Width,
    is_increasing,
    wrong,
)


class CoreMesh(Mesh):
    """A mesh with the same number of cores at every router."""

    cores_per_router: Side = Field(description="cores attached to each router")


class Core(Table):
    """What one core holds; a limit that is not known is left out and not checked."""

    neurons: Count = Field(description="neurons per core")
    synapse_words: Count = Field(description="words of synaptic memory per core")
    word_bits: Count = Field(description="bits per word of synaptic memory")
    axons_in: Count | None = Field(default=None, description="input axons per core")
    axons_out: Count | None = Field(default=None, description="output axons per core")


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


class BarrierChip(MeshChip):
    """A chip with timesteps: one ends when every core has finished, then the barrier takes its time."""

    discipline: Literal["barrier"] = Field(description="what ends a timestep")
    mesh: CoreMesh = Field(description="the routers and cores")
    links: Links = Field(description="the network on chip")
    host: Host = Field(description="entry of messages from outside")
    core: Core = Field(description="limits of a core")
    actions: Actions = Field(description="cost of each action")
    formats: Formats = Field(description="storage of synapses")
    format_default: FormatDefault = Field(description="format used unless told otherwise")
    partition: Partition = Field(description="default partition")
    barrier: Barrier = Field(description="end of a timestep")

    @property
    def cores(self) -> int:
        return self.routers * self.mesh.cores_per_router

    def core_router(self, core: int) -> int:
        return core // self.mesh.cores_per_router

    @property
    def send_ps(self) -> int:
        return self.actions.message_out.latency_ps

    @property
    def host_message_ps(self) -> int:
        return self.host.message_ps

    def link_service_ps(self, kind: str) -> int:
        """Bits / bandwidth, at least 1 ps."""
        link: Link = getattr(self.links, kind)
        return max(1, round(self.messages.bits / link.bandwidth_gbps * 1000))

    def link_wire_ps(self, kind: str) -> int:
        link: Link = getattr(self.links, kind)
        return link.wire_ps

    def barrier_ps(self, routers_used: int) -> int:
        """The barrier over so many routers: on the line through the points of the file, level beyond its ends."""
        return round(float(np.interp(routers_used, self.barrier.routers, self.barrier.latency_ps)))

    @model_validator(mode="after")
    def _slices_fit(self) -> BarrierChip:
        if self.partition.conv_slice_neurons > self.core.neurons:
            raise wrong(
                "partition.conv_slice_neurons",
                self.partition.conv_slice_neurons,
                f"must be <= core.neurons = {self.core.neurons}",
            )
        return self
