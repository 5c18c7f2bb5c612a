"""nsim: a cycle-approximate discrete-event simulator of neuromorphic accelerators."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nsim.chip_file import load_chip
    from nsim.formats import load_network
    from nsim.frame.result import FrameResult
    from nsim.frame.run import simulate_frames
    from nsim.mapping import map_network
    from nsim.result import Result
    from nsim.simulation import simulate

__all__ = ["FrameResult", "Result", "load_chip", "load_network", "map_network", "simulate", "simulate_frames"]
_HOMES = {
    "load_chip": "nsim.chip_file",
    "load_network": "nsim.formats",
    "map_network": "nsim.mapping",
    "FrameResult": "nsim.frame.result",
    "Result": "nsim.result",
    "simulate": "nsim.simulation",
    "simulate_frames": "nsim.frame.run",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `nsim --help` does not wait for libraries it does not need."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
