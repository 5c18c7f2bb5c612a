"""Chips that work on frames, such as Akida 1.0: processors of several kinds at the nodes of a mesh, an input block.

Times are in clocks; the clock mode says how long one is. Chips are read from files, by `nsim.chip.file`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from nsim.chip.chip import (
    RANGE,
    Amount,
    AmountRange,
    Cost,
    Count,
    CountRange,
    Entry,
    Group,
    MeshChip,
    Power,
    Table,
    is_increasing,
    nearest,
    wrong,
)
from nsim.errors import ChipError

KINDS = ("cnp1", "cnp2", "fnp2", "fnp3")  # what a processor can work as; see chips/README.md
CLOCK_MODES = ("performance", "economy", "low-power")
DMA = "dma"  # a place that is taken by one of the chip's own input and output units

Clocks = Annotated[float, Field(strict=True, ge=0, le=1e9, allow_inf_nan=False)]
ClocksRange = Annotated[tuple[Clocks, ...], Field(min_length=2, max_length=2)]
Megahertz = Annotated[float, Field(strict=True, ge=1e-3, le=1e5, allow_inf_nan=False)]
Numbers = Annotated[tuple[Count, ...], Field(min_length=1)]
Filters = Annotated[tuple[Annotated[int, Field(strict=True, ge=0, le=65_536)], ...], Field(min_length=1)]
Address = Annotated[tuple[Count, ...], Field(min_length=2, max_length=2)]


class Clock(Table):
    """How fast it runs."""

    mode: Literal["performance", "economy", "low-power"] = Field(description="clock mode unless the user chooses one")
    performance_mhz: Megahertz | None = Field(
        default=None, description="megahertz in this mode; leave out if it has none"
    )
    economy_mhz: Megahertz | None = Field(default=None, description="megahertz in this mode; leave out if it has none")
    low_power_mhz: Megahertz | None = Field(
        default=None, description="megahertz in this mode; leave out if it has none"
    )

    @property
    def modes(self) -> dict[str, float]:
        """Megahertz of the modes that the chip has."""
        speeds = {name: getattr(self, f"{name.replace('-', '_')}_mhz") for name in CLOCK_MODES}
        return {name: mhz for name, mhz in speeds.items() if mhz is not None}

    @property
    def mhz(self) -> float:
        """Of the mode that is on."""
        mhz: float = getattr(self, f"{self.mode.replace('-', '_')}_mhz")
        return mhz

    @model_validator(mode="after")
    def _mode_is_there(self) -> Clock:
        if self.mode not in self.modes:
            name = f"{self.mode.replace('-', '_')}_mhz"
            raise wrong("mode", self.mode, f"the chip has no {name}: add it, or choose from {', '.join(self.modes)}")
        return self


class FramePower(Power):
    """Power that is drawn without doing anything, in a clock mode."""

    static_mw_per_mhz: Amount = Field(default=0, description="milliwatts more for each megahertz of the clock mode")
    static_mw_per_mhz_range: AmountRange | None = Field(default=None, description=RANGE)


UNKNOWN_FRAME_POWER = FramePower.model_construct(source="", basis="assumed", static_mw=None)


class NodeType(Table):
    """Nodes that are built alike."""

    nodes: Annotated[tuple[Address, ...], Field(min_length=1)] = Field(description="[column, row] of each, from 1")
    slots: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="for each place of such a node the kinds of its processor, joined by +, or dma"
    )

    @model_validator(mode="after")
    def _kinds_exist(self) -> NodeType:
        for slot in self.slots:
            for kind in slot.split("+"):
                if kind not in (*KINDS, DMA):
                    raise wrong("slots", slot, f"{kind!r} is no kind: choose from {', '.join((*KINDS, DMA))}")
        return self


class Nodes(Group):
    """The places for processors."""

    full: NodeType = Field(description="nodes with one processor for fully connected layers")
    external: NodeType = Field(description="nodes whose processors can take weights from external memory")
    entry: NodeType = Field(description="nodes that share their places with input and output units")


class InputBlock(Table):
    """The block that convolves images with 8-bit values, densely; each list of filters is by kernel."""

    router: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=0, le=1023)], ...], Field(min_length=2, max_length=2)
    ] = Field(description="[column, row] of the router that its messages enter at, from 0")
    columns: Annotated[tuple[Count, ...], Field(min_length=2, max_length=2)] = Field(
        description="[least, most] columns of an image"
    )
    rows_min: Count = Field(description="least rows of an image")
    channels: Numbers = Field(description="channels an image may have, increasing")
    kernels: Numbers = Field(description="kernel sizes, increasing")
    stride_max: Count = Field(description="largest stride")
    filters_one_channel: Numbers = Field(description="most filters for images with one channel")
    filters_more_channels: Numbers = Field(description="most filters for other images")
    filter_block: Count = Field(description="filters that are worked on together: fewer take as long")
    input_bits: Count = Field(description="bits of a value of the image")
    weight_bits: Numbers = Field(description="weight widths, increasing")

    @model_validator(mode="after")
    def _filters_by_kernel(self) -> InputBlock:
        for name in ("filters_one_channel", "filters_more_channels"):
            filters = getattr(self, name)
            if len(filters) != len(self.kernels):
                raise wrong(name, list(filters), f"has {len(filters)} entries for {len(self.kernels)} kernels")
        return self


class Processor(Table):
    """What one processor holds and does at a time."""

    input_bytes: Count = Field(description="memory for the activations of a tile")
    single_buffer_bytes: Count = Field(description="largest tile of which it holds two frames at a time")
    weight_bytes: Count = Field(description="memory for weights")


class ConvolutionLimits(Table):
    """Layers that convolve."""

    kernels: Numbers = Field(description="kernel sizes, increasing")
    strides: Numbers = Field(description="strides, increasing")
    strided_kernels: Numbers = Field(description="kernel sizes that may have a stride above 1, increasing")
    weight_bits: Numbers = Field(description="weight widths, increasing")
    activation_bits: Numbers = Field(description="widths of what arrives and leaves, increasing")
    tile_columns: Count = Field(description="most columns of a tile")
    tile_rows: Count = Field(description="most rows of a tile")
    filters: Count = Field(description="most filters of a processor")
    max_pool_size: Count = Field(description="side of a max pooling window")
    max_pool_strides: Numbers = Field(description="strides of max pooling, increasing")
    average_pool_columns: Count = Field(description="most columns of a global average pool")


class SeparableLimits(Table):
    """Layers of a depthwise and a pointwise convolution; otherwise as convolutions."""

    kernels: Numbers = Field(description="kernel sizes, increasing")
    weight_bits: Numbers = Field(description="weight widths, increasing")
    word_bytes: Amount = Field(description="bytes of a word of weight memory")
    word_bits: Count = Field(description="bits of a word that hold weights")
    filter_block: Count = Field(description="filters stored together")
    depthwise_granule_words: Count = Field(description="depthwise weights take whole granules of so many words")
    depthwise_words_2bit: Annotated[tuple[Amount, ...], Field(min_length=1)] = Field(
        description="words for each channel, by kernel, of 2-bit weights"
    )
    depthwise_words_4bit: Annotated[tuple[Amount, ...], Field(min_length=1)] = Field(
        description="words for each channel, by kernel, of 4-bit weights"
    )

    def depthwise_words(self, weight_bits: int, kernel: int) -> float:
        """For each channel, before rounding."""
        by_kernel: tuple[float, ...] = getattr(self, f"depthwise_words_{weight_bits}bit")
        return by_kernel[self.kernels.index(kernel)]

    @model_validator(mode="after")
    def _words_by_kernel(self) -> SeparableLimits:
        if self.weight_bits != (2, 4):
            raise wrong("weight_bits", list(self.weight_bits), "must be [2, 4]: there are depthwise words for these")
        for name in ("depthwise_words_2bit", "depthwise_words_4bit"):
            words = getattr(self, name)
            if len(words) != len(self.kernels):
                raise wrong(name, list(words), f"has {len(words)} entries, but kernels has {len(self.kernels)}")
        return self


class FullyConnectedLimits(Table):
    """Fully connected layers: each on one processor."""

    inputs: Count = Field(description="most inputs")
    weight_bits: Numbers = Field(description="weight widths, increasing")
    internal_bytes: Count = Field(description="weights that fit a processor which keeps them inside")
    unit_bytes: Count = Field(description="bytes of every unit beside its weights")
    block_inputs: Count = Field(description="inputs whose weights of one unit share a block")
    block_bytes: Numbers = Field(description="bytes of such a block, by width")


class Granule(Table):
    """Weight memory that a processor needs for each input channel, for one weight width and one kernel."""

    granule_bytes: Count = Field(description="bytes of one granule")
    filters: Filters = Field(description="most filters that 1, 2, 3, ... granules hold")

    @model_validator(mode="after")
    def _filters_grow(self) -> Granule:
        if list(self.filters) != sorted(self.filters):
            raise wrong("filters", list(self.filters), "must not decrease from one entry to the next")
        return self

    def bytes_for(self, filters: int) -> int | None:
        """For each input channel; None if no number of granules that was measured holds so many filters."""
        return next((n * self.granule_bytes for n, most in enumerate(self.filters, 1) if most >= filters), None)


class Granules(Group):
    """By weight width and kernel: w4k3 are 4-bit weights of 3 x 3 kernels."""

    w1k1: Granule
    w1k3: Granule
    w1k5: Granule
    w1k7: Granule
    w2k1: Granule
    w2k3: Granule
    w2k5: Granule
    w2k7: Granule
    w4k1: Granule
    w4k3: Granule
    w4k5: Granule
    w4k7: Granule


class FramePipeline(Table):
    """Frames that are under way at a time."""

    in_flight: Count = Field(description="if the whole network is on the chip")
    in_flight_reprogrammed: Count = Field(description="if the chip is programmed anew in the middle of a frame")


class Program(Table):
    """What has to be written before a sequence runs, by part of the chip: a constant, by filter, by weight byte."""

    bytes: Amount = Field(description="bytes of every program")
    input_bytes: Amount = Field(description="bytes for the input block")
    input_filter_bytes: Amount = Field(description="bytes for each filter of the input block")
    input_weight_factor: Amount = Field(description="bytes for each byte of weights of the input block")
    convolution_bytes: Amount = Field(description="bytes for each processor of a convolution")
    convolution_filter_bytes: Amount = Field(description="bytes for each filter of such a processor")
    convolution_weight_factor: Amount = Field(description="bytes for each byte of its weight memory")
    separable_bytes: Amount = Field(description="bytes for each processor of a separable convolution")
    separable_filter_bytes: Amount = Field(description="bytes for each filter of such a processor")
    separable_weight_factor: Amount = Field(description="bytes for each byte of its weight memory")
    fully_connected_bytes: Amount = Field(description="bytes for the processor of a fully connected layer")
    fully_connected_filter_bytes: Amount = Field(description="bytes for each of its units")
    fully_connected_weight_factor: Amount = Field(description="bytes for each byte of its weights")
    clocks_per_byte: Clocks = Field(description="time to write one")
    clocks_per_byte_range: ClocksRange | None = Field(default=None, description=RANGE)
    clocks_per_processor: Clocks = Field(description="time for each processor that convolves, on top of its bytes")
    clocks_per_processor_range: ClocksRange | None = Field(default=None, description=RANGE)
    partial: Annotated[bool, Field(strict=True)] = Field(
        description="true if processors that keep what they hold are not written again between sequences"
    )

    def part_bytes(self, kind: str, filters: int, weight_bytes: int) -> float:
        """Of one part: the input block, or a processor."""
        each, by_filter, by_weight = (
            getattr(self, f"{kind}_{name}") for name in ("bytes", "filter_bytes", "weight_factor")
        )
        return float(each + by_filter * filters + by_weight * weight_bytes)


class FrameAction(Cost):
    """The time of one is in clocks, which need not be whole."""

    clocks: Clocks = Field(description="time of one, in clocks")
    clocks_range: ClocksRange | None = Field(default=None, description=RANGE)


class FrameActions(Group):
    """What a core does, and the cost of each."""

    neuron_update: FrameAction = Field(description="finish one output of a frame")
    output_input: FrameAction = Field(description="one output of the input block, in whole blocks of filters")
    spike: FrameAction = Field(description="one output is not zero, on top of its update")
    message_out: FrameAction = Field(description="send one copy of a message")
    message_in: FrameAction = Field(description="take in one message")
    frame: FrameAction = Field(description="begin with a frame")
    filter: FrameAction = Field(description="set up one filter of a convolution for a frame")
    value: FrameAction = Field(description="pass one value of a convolution's tile with its halo, zero or not")
    value_filter: FrameAction = Field(description="the same, more for each filter")
    step: FrameAction = Field(
        description="apply one kernel position to one message for one filter; all positions, whatever the stride"
    )
    fully_connected_value: FrameAction = Field(description="pass one input of a fully connected layer, zero or not")
    external_byte: FrameAction = Field(description="fetch one byte of a fully connected layer from external memory")


class FrameLink(Cost):
    """A directed link: the message holds it for bits / bits per clock, then travels on while the next one starts."""

    bits_per_clock: Count = Field(description="width")
    bits_per_clock_range: CountRange | None = Field(default=None, description=RANGE)
    wire_clocks: Clocks = Field(description="wire and router latency after the link is free again, in clocks")
    wire_clocks_range: ClocksRange | None = Field(default=None, description=RANGE)


class FrameLinks(Group):
    """The links of the network on chip."""

    core_to_router: FrameLink = Field(description="from a core into its router")
    router_to_core: FrameLink = Field(description="from a router into one of its cores")
    east_west: FrameLink = Field(description="between neighbouring routers of a row")
    north_south: FrameLink = Field(description="between neighbouring routers of a column")


class FrameHost(Entry):
    """What sends messages in from outside, and takes results."""

    message_clocks: Clocks = Field(description="time to send in one message, in clocks")
    message_clocks_range: ClocksRange | None = Field(default=None, description=RANGE)


class NeuralProcessor(NamedTuple):
    """A place for work: node and slot, from 1 and from 0, and the kinds that it can be."""

    column: int
    row: int
    slot: int
    kinds: tuple[str, ...]


class FrameChip(MeshChip):
    """A chip on which layers work on whole frames, one after another, each as soon as its input is complete.

    Its cores are the processors, by column, row and slot of their node, and then the input block.
    """

    discipline: Literal["frame"] = Field(description="what ends a timestep")
    power: FramePower = Field(default=UNKNOWN_FRAME_POWER, description="static power")
    clock: Clock = Field(description="clock modes")
    nodes: Nodes = Field(description="where the processors are")
    input_block: InputBlock = Field(description="the block that convolves images")
    processor: Processor = Field(description="one processor")
    convolution: ConvolutionLimits = Field(description="limits of convolutions")
    separable: SeparableLimits = Field(description="limits of separable convolutions")
    fully_connected: FullyConnectedLimits = Field(description="limits of fully connected layers")
    granules: Granules = Field(description="weight memory of convolutions")
    frames: FramePipeline = Field(description="frames under way")
    program: Program = Field(description="what a sequence needs to be programmed")
    actions: FrameActions = Field(description="cost of each action")
    links: FrameLinks = Field(description="the network on chip")
    host: FrameHost = Field(description="entry of messages from outside")

    @cached_property
    def processors(self) -> tuple[NeuralProcessor, ...]:
        """In order of core number."""
        found = []
        for _, kind in self.nodes:
            for column, row in kind.nodes:
                for slot, kinds in enumerate(kind.slots):
                    if kinds != DMA:
                        found.append(NeuralProcessor(column, row, slot, tuple(kinds.split("+"))))
        return tuple(sorted(found))

    @property
    def cores(self) -> int:
        return len(self.processors) + 1

    @property
    def input_core(self) -> int:
        """Number of the input block."""
        return len(self.processors)

    def core_router(self, core: int) -> int:
        if core == self.input_core:
            column, row = self.input_block.router
        else:
            column, row = self.processors[core].column - 1, self.processors[core].row - 1
        return row * self.mesh.columns + column

    def with_clock_mode(self, mode: str) -> FrameChip:
        """The same chip in another clock mode."""
        modes = self.clock.modes
        if mode not in modes:
            raise ChipError(
                f"chip {self.name!r} has no clock mode {mode!r}{nearest(mode, modes)}: choose from {', '.join(modes)}"
            )
        return self.model_copy(update={"clock": self.clock.model_copy(update={"mode": mode})})

    @property
    def static_mw(self) -> float | None:
        static = self.power.static_mw
        return None if static is None else static + self.power.static_mw_per_mhz * self.clock.mhz

    @property
    def processor_limits(self) -> dict[str, int]:
        """Most columns and rows of a tile, and filters, that a processor takes of a convolution."""
        limits = self.convolution
        return {"columns": limits.tile_columns, "rows": limits.tile_rows, "filters": limits.filters}

    def with_processor_limits(self, limits: Mapping[str, int]) -> FrameChip:
        """The same chip with others, by the names of `processor_limits`: the vendor's mapper takes them, too."""
        fields = {"columns": "tile_columns", "rows": "tile_rows", "filters": "filters"}
        changed = self.convolution.model_copy(update={fields[name]: most for name, most in limits.items()})
        return self.model_copy(update={"convolution": changed})

    def ps(self, clocks: float) -> int:
        """So many clocks in picoseconds, in the clock mode that is on."""
        return round(clocks * 1e6 / self.clock.mhz)

    def clocks(self, time_ps: float) -> float:
        """A time in picoseconds in clocks."""
        return time_ps * self.clock.mhz / 1e6

    def action_ps(self, name: str) -> int:
        """How long one action takes, such as "neuron_update"."""
        action: FrameAction = getattr(self.actions, name)
        return self.ps(action.clocks)

    @property
    def send_ps(self) -> int:
        return self.action_ps("message_out")

    @property
    def host_message_ps(self) -> int:
        return self.ps(self.host.message_clocks)

    def link_service_ps(self, kind: str) -> int:
        """Bits / bits per clock: messages share packets, so this need not be whole clocks."""
        link: FrameLink = getattr(self.links, kind)
        return max(1, self.ps(self.messages.bits / link.bits_per_clock))

    def link_wire_ps(self, kind: str) -> int:
        link: FrameLink = getattr(self.links, kind)
        return self.ps(link.wire_clocks)

    @model_validator(mode="after")
    def _nodes_are_on_the_mesh(self) -> FrameChip:
        seen: set[tuple[int, ...]] = set()
        for name, kind in self.nodes:
            for node in kind.nodes:
                if node[0] > self.mesh.columns or node[1] > self.mesh.rows:
                    raise wrong(
                        f"nodes.{name}.nodes",
                        list(node),
                        f"must be on the mesh of {self.mesh.columns} x {self.mesh.rows} routers, counted from 1",
                    )
                if node in seen:
                    raise wrong(f"nodes.{name}.nodes", list(node), "is listed twice: remove one")
                seen.add(node)
        column, row = self.input_block.router
        if column >= self.mesh.columns or row >= self.mesh.rows:
            raise wrong(
                "input_block.router",
                [column, row],
                f"must be at most [{self.mesh.columns - 1}, {self.mesh.rows - 1}], on the mesh",
            )
        return self

    @model_validator(mode="after")
    def _lists_increase(self) -> FrameChip:
        for key, values in self._lists():
            if not is_increasing(values):
                raise wrong(key, list(values), "must increase from each entry to the next")
        limits = self.fully_connected
        if len(limits.block_bytes) != len(limits.weight_bits):
            raise wrong(
                "fully_connected.block_bytes",
                list(limits.block_bytes),
                f"has {len(limits.block_bytes)} entries, but weight_bits has {len(limits.weight_bits)}",
            )
        return self

    def _lists(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        for table, names in (
            ("input_block", ("channels", "kernels", "weight_bits")),
            (
                "convolution",
                ("kernels", "strides", "strided_kernels", "weight_bits", "activation_bits", "max_pool_strides"),
            ),
            ("separable", ("kernels", "weight_bits")),
            ("fully_connected", ("weight_bits",)),
        ):
            for name in names:
                yield f"{table}.{name}", getattr(getattr(self, table), name)
