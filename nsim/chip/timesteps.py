"""Chips whose timesteps end with a barrier: Loihi, Loihi 2, and others like them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from nsim.chip.chip import (
    MAX_PS,
    RANGE,
    Action,
    Amount,
    AmountRange,
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
    Power,
    Side,
    Table,
    Width,
    is_increasing,
    nearest,
    wrong,
)
from nsim.errors import InputError

Share = Annotated[float, Field(strict=True, ge=0, le=1)]
ShareRange = Annotated[tuple[Share, ...], Field(min_length=2, max_length=2)]
Latencies = Annotated[tuple[Picoseconds, ...], Field(min_length=1)]
LatenciesRange = Annotated[tuple[Latencies, ...], Field(min_length=2, max_length=2)]


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
    microcode_update: Action | None = Field(
        default=None, description="the same for a model that needs a program; as neuron_update if left out"
    )
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


class Zeros(Table):
    """What becomes of weights that are zero."""

    conv_skipped: bool = Field(strict=True, description="true if zeros of a convolution do not count as synops")
    sparse_stored: bool = Field(
        strict=True, description="true if fully connected layers store their zeros in the sparse format too"
    )
    time_share: Share = Field(description="time of a zero that is stored but no synop, over that of a synop")
    time_share_range: ShareRange | None = Field(default=None, description=RANGE)


class Arithmetic(Table):
    """What neurons and synapses compute with."""

    integers: bool = Field(strict=True, description="true if there are integers alone; networks are rounded to them")


class FormatDefault(Table):
    """Which format is used unless the user says otherwise."""

    dense_layers: Literal["dense", "sparse"] = Field(description="storage of fully connected layers")


class Partition(Table):
    """How layers are cut into cores unless the user says otherwise."""

    conv_slice_neurons: Count = Field(description="largest number of neurons in one slice of a convolution")
    conv_slice_neurons_range: CountRange | None = Field(default=None, description=RANGE)
    tiles: bool = Field(
        default=False, strict=True, description="true if searches may cut a layer along several axes at once"
    )


class CorePower(Power):
    """Power that a chip and its cores draw without doing anything, and its management processors with something."""

    core_mw: Amount | None = Field(default=None, description="milliwatts of each used core, beside static_mw")
    core_mw_range: AmountRange | None = Field(default=None, description=RANGE)
    embedded_mw: Amount | None = Field(
        default=None, description="milliwatts while management processors run a runtime or the user's code"
    )
    embedded_mw_range: AmountRange | None = Field(default=None, description=RANGE)


UNKNOWN_CORE_POWER = CorePower.model_construct(source="", basis="assumed", static_mw=None)


class Barrier(Table):
    """The time that ends a timestep, by the number of routers that take part."""

    routers: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(description="numbers of routers, increasing")
    latency_ps: Latencies = Field(description="picoseconds, one for each entry of routers")
    latency_ps_range: LatenciesRange | None = Field(
        default=None, description="[lowest, highest] plausible lists of them"
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
        ranges = dict.fromkeys(self.latency_ps_range or (), "latency_ps_range")
        for points, name in ({self.latency_ps: "latency_ps"} | ranges).items():
            if any(later < earlier for earlier, later in itertools.pairwise(points)):
                raise wrong(name, list(points), "must not decrease from one entry to the next")
        return self


class RuntimeDefault(Table):
    """Which runtime is used unless the user says otherwise."""

    runtime: Literal["lava", "bare"] = Field(description="runtime on the management processors")


class Runtimes(Group):
    """What the management processors, and the runtime above them, add to every timestep; of a runtime each."""

    default: RuntimeDefault = Field(description="runtime used unless told otherwise")
    lava: Action = Field(description="one timestep under the vendor's runtime")
    bare: Action = Field(description="one timestep with the barrier of the mesh alone")


@dataclass(frozen=True)
class Management:
    """Who manages a run: a runtime by name (None: the chip's default), and the user's own code beside it.

    embedded_ps   time of the user's code on the management processors in every timestep
    sample_ps     the same in the first timestep of every sample
    """

    runtime: str | None = None
    embedded_ps: int = 0
    sample_ps: int = 0

    @staticmethod
    def of(chip: BarrierChip, runtime: str | None, embedded_us: float, per_sample_us: float) -> Management:
        """The same from what a user gives, in microseconds.

        raises   InputError for a runtime that the chip does not know, or a time that is none
        """
        if runtime is not None and chip.management is None:
            raise InputError(
                f"runtime {runtime!r} is not for chip {chip.name!r}, whose file has no table [management]: leave it out"
            )
        known = list(Runtimes.model_fields)[1:]
        if runtime is not None and runtime not in known:
            raise InputError(f"no runtime {runtime!r}{nearest(runtime, known)}: choose {' or '.join(known)}")
        times = [("embedded", embedded_us), ("per-sample", per_sample_us)]
        for name, time_us in times:
            if not 0 <= time_us <= MAX_PS / 1e6:
                raise InputError(f"{name} time is {time_us} us: give 0 to {MAX_PS / 1e6:,.0f} microseconds")
        return Management(runtime, *(round(time_us * 1e6) for _, time_us in times))


class BarrierChip(MeshChip):
    """A chip with timesteps: one ends when every core has finished, then the barrier takes its time."""

    discipline: Literal["barrier"] = Field(description="what ends a timestep")
    mesh: CoreMesh = Field(description="the routers and cores")
    links: Links = Field(description="the network on chip")
    host: Host = Field(description="entry of messages from outside")
    core: Core = Field(description="limits of a core")
    actions: Actions = Field(description="cost of each action")
    formats: Formats = Field(description="storage of synapses")
    arithmetic: Arithmetic | None = Field(default=None, description="integers alone; real numbers if left out")
    zeros: Zeros | None = Field(default=None, description="what becomes of zero weights; all count if left out")
    format_default: FormatDefault = Field(description="format used unless told otherwise")
    partition: Partition = Field(description="default partition")
    barrier: Barrier = Field(description="end of a timestep")
    power: CorePower = Field(default=UNKNOWN_CORE_POWER, description="power without doing anything")
    management: Runtimes | None = Field(default=None, description="what the management processors add to a timestep")

    @property
    def cores(self) -> int:
        return self.routers * self.mesh.cores_per_router

    @property
    def chips(self) -> int:
        """Chips on the board; 1 for a chip alone."""
        return 1

    @property
    def cores_per_chip(self) -> int:
        return self.cores // self.chips

    def chips_for(self, cores: int) -> int:
        """The smallest number of chips with so many cores."""
        return -(-cores // self.cores_per_chip)

    def chip_of(self, core: int) -> int:
        """The chip that holds a core. Cores are numbered chip by chip."""
        return core // self.cores_per_chip

    def core_router(self, core: int) -> int:
        return core // self.mesh.cores_per_router

    @property
    def send_ps(self) -> int:
        return self.actions.message_out.latency_ps

    @property
    def host_message_ps(self) -> int:
        return self.host.message_ps

    @property
    def skips_conv_zeros(self) -> bool:
        return self.zeros is not None and self.zeros.conv_skipped

    def link_service_ps(self, kind: str) -> int:
        """Bits / bandwidth, at least 1 ps."""
        link: Link = getattr(self.links, kind)
        return max(1, round(self.messages.bits / link.bandwidth_gbps * 1000))

    def link_wire_ps(self, kind: str) -> int:
        link: Link = getattr(self.links, kind)
        return link.wire_ps

    def barrier_ps(self, routers_used: int, chips_used: int = 1) -> int:
        """The barrier over so many routers: on the line through the points of the file, level beyond its ends."""
        return round(float(np.interp(routers_used, self.barrier.routers, self.barrier.latency_ps)))

    def update_action(self, microcode: bool) -> str:
        """The action that updates a neuron; microcode: whether its model needs a program."""
        return "microcode_update" if microcode and self.actions.microcode_update is not None else "neuron_update"

    def update_ps(self, microcode: bool) -> int:
        """Time to update a neuron; microcode: whether its model needs a program."""
        return getattr(self.actions, self.update_action(microcode)).latency_ps

    def runtime(self, management: Management) -> Action | None:
        """What that runtime adds to every timestep; None if nothing is known of this chip's."""
        if self.management is None:
            return None
        return getattr(self.management, management.runtime or self.management.default.runtime)

    def management_ps(self, management: Management) -> int:
        """Time of the management processors in every timestep, beside what they add once per sample."""
        runtime = self.runtime(management)
        return management.embedded_ps + (runtime.latency_ps if runtime else 0)

    @model_validator(mode="after")
    def _slices_fit(self) -> BarrierChip:
        if self.partition.conv_slice_neurons > self.core.neurons:
            raise wrong(
                "partition.conv_slice_neurons",
                self.partition.conv_slice_neurons,
                f"must be <= core.neurons = {self.core.neurons}",
            )
        return self
