"""Which processor works on which tile and filter group."""

from __future__ import annotations

from collections.abc import Sequence

from nsim.chip.frames import FrameChip
from nsim.mapping.frames.plan import StagePlan, is_internal


def place(chip: FrameChip, plans: Sequence[StagePlan]) -> list[list[int]]:
    """Core numbers for each layer: one for each tile and group, the groups of a tile side by side.

    Fully connected layers take the processors of their kind first. Convolutions fill the others in order of core
    number, layer after layer, so that neighbours in the network are neighbours on the chip; processors that could also
    be fully connected layers come last. Source: the order that the virtual device of akida 2.19.3 shows.
    """
    free = list(range(len(chip.processors)))

    def take(kind: str) -> int | None:
        chosen = next((core for core in free if kind in chip.processors[core].kinds), None)
        if chosen is not None:
            free.remove(chosen)
        return chosen

    placed: list[list[int]] = [[] for _ in plans]
    for number, plan in enumerate(plans):
        if plan.stage.kind == "fully_connected":
            core = take("fnp3") if is_internal(chip, plan) else None
            core = take("fnp2") if core is None else core
            assert core is not None  # the plan has counted them
            placed[number] = [core]
    free.sort(key=lambda core: (_reserve(chip, core), core))
    for number, plan in enumerate(plans):
        if plan.stage.kind == "input":
            placed[number] = [chip.input_core]
        elif plan.stage.kind != "fully_connected":
            placed[number] = [free.pop(0) for _ in range(plan.processors)]
    return placed


def _reserve(chip: FrameChip, core: int) -> int:
    """Rank by how much else the processor could do: nothing, another convolution, fully connected layers."""
    kinds = chip.processors[core].kinds
    return (len(kinds) > 1) + ("fnp3" in kinds) + 2 * ("fnp2" in kinds)
