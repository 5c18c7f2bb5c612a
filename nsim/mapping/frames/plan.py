"""How many processors each layer gets, and which layers are on the chip together.

A convolution is cut into tiles, each tile's filters are shared by a group of processors, and every processor of the
group takes all of the tile's input. `minimal` uses as few processors as fit; `all-nps` finds the smallest limit of
filters per processor, one for all layers, with which the network needs no more sequences than that. `hw-pr`, for chips
that load in part what changes between sequences (the vendor's passes), takes more of them: the smallest limit with
which neighbours in the network are on the chip together.
Source: measured on the virtual device of akida 2.19.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from nsim.chip.frames import FrameChip
from nsim.errors import MappingError
from nsim.mapping.frames.stages import Stage
from nsim.mapping.frames.tiles import Tile, cut, tile_bytes, tiles
from nsim.mapping.frames.weights import convolution_bytes, fully_connected_bytes, separable_bytes

MODES = ("minimal", "all-nps", "hw-pr")


def modes_of(chip: FrameChip) -> tuple[str, ...]:
    """Those that a chip has: all, or those without partial reconfiguration."""
    return MODES if chip.program.partial else MODES[:2]


@dataclass(frozen=True)
class StagePlan:
    """The processors of a layer: one for each tile and filter group, the groups of a tile one after another.

    tiles          none for the input block and for fully connected layers, which are not cut
    groups         half-open ranges of filters
    weight_bytes   of the processor that needs most
    """

    stage: Stage
    tiles: tuple[Tile, ...]
    groups: tuple[tuple[int, int], ...]
    weight_bytes: int

    @property
    def processors(self) -> int:
        """How many it takes; the input block is none."""
        if self.stage.kind == "input":
            return 0
        return max(1, len(self.tiles)) * len(self.groups)

    @property
    def filters(self) -> int:
        """Most filters of a processor."""
        return self.groups[0][1] - self.groups[0][0]


@dataclass(frozen=True)
class Plan:
    """The layers in hardware sequences, and the limit of filters per processor that was used (None: none)."""

    sequences: tuple[tuple[StagePlan, ...], ...]
    filter_limit: int | None


class Planner:
    """Plans for one network: what does not depend on the limit of filters is found once."""

    def __init__(self, chip: FrameChip, stages: Sequence[Stage]) -> None:
        self.chip, self.stages = chip, stages
        self.cut_tiles = [_tiles(chip, stage) for stage in stages]
        for stage in stages:
            _check_one_filter_fits(chip, stage)

    @cached_property
    def minimal(self) -> Plan:
        """As few processors as fit."""
        return self.plan(None)

    def all_processors(self) -> Plan:
        """The smallest limit that needs no more sequences than the minimal plan."""
        fewest = len(self.minimal.sequences)
        return self._smallest(lambda plan: len(plan.sequences) <= fewest)

    def partial(self) -> Plan:
        """The smallest limit with which two convolutions that follow each other are on the chip together.

        The last two together with what is fully connected behind them.
        """
        return self._smallest(self._has_neighbours_together)

    def _smallest(self, accepts: Callable[[Plan], bool]) -> Plan:
        """Binary search of the smallest limit that is accepted; the minimal plan if none is."""
        low, high = 1, max(stage.filters for stage in self.stages)
        while low < high:
            middle = (low + high) // 2
            plan = self._try(middle)
            if plan is not None and accepts(plan):
                high = middle
            else:
                low = middle + 1
        plan = self._try(high)
        return plan if plan is not None and accepts(plan) else self.minimal

    def _has_neighbours_together(self, plan: Plan) -> bool:
        layers = [each for sequence in plan.sequences for each in sequence]
        convolving = [each for each in layers if each.stage.kind != "fully_connected"]
        connected = layers[len(convolving) :]
        together = [*(list(pair) for pair in pairwise(convolving)), convolving[-2:] + connected]
        return all(_fit_together(self.chip, group) for group in together)

    def plan(self, filter_limit: int | None = None) -> Plan:
        """All layers with at most so many filters per processor, in as few sequences as filling one by one makes.

        raises   MappingError if a layer alone needs more than the chip has
        """
        planned = [
            plan_stage(self.chip, stage, cut_into, filter_limit)
            for stage, cut_into in zip(self.stages, self.cut_tiles, strict=True)
        ]
        return Plan(_sequences(self.chip, planned), filter_limit)

    def _try(self, filter_limit: int) -> Plan | None:
        try:
            return self.plan(filter_limit)
        except MappingError:
            return None


def plan_stage(chip: FrameChip, stage: Stage, cut_into: tuple[Tile, ...], filter_limit: int | None) -> StagePlan:
    """One layer with at most so many filters per processor."""
    if stage.kind in ("input", "fully_connected"):
        return StagePlan(stage, (), ((0, stage.filters),), weight_bytes(chip, stage, stage.filters))
    most = min(filter_limit or stage.filters, chip.convolution.filters)
    for parts in range(-(-stage.filters // most), stage.filters + 1):
        groups = cut(stage.filters, parts)
        sizes = {last - first for first, last in groups}
        needed = max(
            weight_bytes(chip, stage, filters) for filters in sizes
        )  # fewer may need more: see separable_bytes
        if needed <= chip.processor.weight_bytes:
            return StagePlan(stage, cut_into, tuple(groups), needed)
    raise AssertionError("one filter fits: it was checked")


def weight_bytes(chip: FrameChip, stage: Stage, filters: int) -> int:
    """Weight memory of a processor with so many filters of the layer; more than all of it if the tables end below."""
    bits = stage.connection.weight_bits
    if stage.kind == "fully_connected":
        return fully_connected_bytes(chip, stage.connection.synapses.sources, filters, bits)
    if stage.kind == "separable":
        return separable_bytes(chip, stage.channels, filters, stage.kernel, bits)
    if stage.kind == "input":
        return -(-filters * stage.channels * stage.kernel**2 * bits // 8)
    known = convolution_bytes(chip, stage.channels, filters, stage.kernel, bits)
    return chip.processor.weight_bytes + 1 if known is None else known


def is_internal(chip: FrameChip, plan: StagePlan) -> bool:
    """Whether the weights of a fully connected layer fit a processor that keeps them inside."""
    return plan.weight_bytes <= chip.fully_connected.internal_bytes


def needs_external(chip: FrameChip, plans: Sequence[StagePlan]) -> tuple[int, int]:
    """Fully connected layers on processors with weights inside, and with weights in external memory."""
    connected = [plan for plan in plans if plan.stage.kind == "fully_connected"]
    internal = sum(is_internal(chip, plan) for plan in connected)
    inside = min(internal, sum("fnp3" in p.kinds for p in chip.processors))
    return inside, len(connected) - inside


def _tiles(chip: FrameChip, stage: Stage) -> tuple[Tile, ...]:
    if stage.kind in ("input", "fully_connected"):
        return ()
    shape, pool = stage.connection.synapses.source_shape, stage.layer.pool
    most, multiple = None, 1
    if pool is not None:
        overlaps = pool.size[0] > pool.stride[0]
        most = 1 if pool.is_global or overlaps else None
        multiple = 1 if most else stage.whole_windows
    found = tiles(chip, shape, stage.kernel, stage.input_bits, multiple, most)
    if found is not None:
        return tuple(found)
    whole = tile_bytes(shape, (0, shape[2]), (0, shape[1]), 0, stage.input_bits)
    have = f"{chip.processor.input_bytes} in tiles of up to {chip.convolution.tile_columns} columns"
    if most:
        raise MappingError(
            f"layer {stage.name!r} needs {whole} bytes of input memory for {shape[2]} columns, but chip {chip.name!r} "
            f"has {have}, and its pool cannot be cut: reduce the input before, or pool with windows that do not overlap"
        )
    raise MappingError(
        f"layer {stage.name!r} needs {whole} bytes of input memory, but chip {chip.name!r} has {have}, and no cut into "
        f"{len(chip.processors)} tiles fits: use a smaller input, or fewer channels"
    )


def _check_one_filter_fits(chip: FrameChip, stage: Stage) -> None:
    if stage.kind in ("input", "fully_connected"):
        return
    needed, have = weight_bytes(chip, stage, 1), chip.processor.weight_bytes
    if needed > have:
        raise MappingError(
            f"layer {stage.name!r} needs {needed} bytes of weight memory for one filter of {stage.channels} input "
            f"channels, but a processor of chip {chip.name!r} has {have}: use at most "
            f"{stage.channels * have // needed} input channels, or fewer weight bits"
        )


def _sequences(chip: FrameChip, planned: list[StagePlan]) -> tuple[tuple[StagePlan, ...], ...]:
    """Layer after layer until the chip is full; what follows max pooling stays with it."""
    sequences: list[list[StagePlan]] = [[]]
    for plan in planned:
        if not _fit_together(chip, [plan]):
            raise MappingError(
                f"layer {plan.stage.name!r} needs {plan.processors} processors ({len(plan.tiles)} tiles, "
                f"{len(plan.groups)} filter groups), but chip {chip.name!r} has {len(chip.processors)}: use a smaller "
                "input, or fewer filters"
            )
        if not _fit_together(chip, [*sequences[-1], plan]):
            moved: list[StagePlan] = []
            while sequences[-1] and sequences[-1][-1].stage.ends_with_max_pool:
                moved.insert(0, sequences[-1].pop())
            if not sequences[-1] or not _fit_together(chip, [*moved, plan]):
                raise MappingError(
                    f"layer {plan.stage.name!r} and those before it that end with max pooling need more processors "
                    f"than the {len(chip.processors)} of chip {chip.name!r}, and cannot be parted: use strides instead "
                    "of pools, or a smaller input"
                )
            sequences.append(moved)
        sequences[-1].append(plan)
    return tuple(tuple(sequence) for sequence in sequences)


def _fit_together(chip: FrameChip, plans: Sequence[StagePlan]) -> bool:
    _, external = needs_external(chip, plans)
    return sum(plan.processors for plan in plans) <= len(chip.processors) and external <= sum(
        "fnp2" in p.kinds for p in chip.processors
    )
