"""The other modes of the vendor's mapper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from nsim.errors import MappingError
from nsim.mapping.frames.mapping import map_frames
from nsim.mapping.frames.plan import modes_of
from nsim.report.what_if.change import Change, best
from nsim.result.frames import FrameResult


def other_modes(result: FrameResult, simulate: Callable[[Any], FrameResult]) -> dict[str, Any] | None:
    """The other ways of the vendor's mapper to divide layers among processors: the fastest for these frames."""
    mapping = result.mapping

    def changes() -> Iterator[Change]:
        for mode in modes_of(mapping.chip):
            if mode == mapping.mode:
                continue
            try:
                other = replace(map_frames(mapping.network, mapping.chip, mode), real=mapping.real)
            except MappingError:
                continue
            yield Change(other, "", f"mode {mode} instead of {mapping.mode}", "mode", mode)

    return best(changes(), simulate, "time", result.time_ps, lambda run: run.time_ps)
