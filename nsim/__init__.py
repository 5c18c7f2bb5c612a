"""nsim: a cycle-approximate discrete-event simulator of neuromorphic accelerators.

The same three calls for every chip: load, map, simulate. What they take beyond that depends on the chip.

    from nsim import load_chip, load_network, map_network, simulate

    mapping = map_network(load_network("mlp"), load_chip("loihi2"), partition="even:4")
    result = simulate(mapping, timesteps=10)
    print(result, result.time_s, result.energy_j)

    mapping = map_network(load_network("cnn"), load_chip("akd1000"), mode="minimal")
    print(simulate(mapping, samples=8).summary()["latency_ps"])

    mapping = map_network(load_network("speck-gesture"), load_chip("speck"))
    print(simulate(mapping, "edges:rate=1e5,seconds=0.02").summary()["latency_median_ps"])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nsim.chip.file import load_chip
    from nsim.formats.network import load_network
    from nsim.formats.torch_modules import from_torch
    from nsim.mapping.frames.quantize import quantize
    from nsim.mapping.network import map_network
    from nsim.report.shown import Plot as Plot
    from nsim.report.shown import shown as shown
    from nsim.result.result import Result
    from nsim.result.run import simulate
    from nsim.result.saved import load_result

__all__ = ["Result", "from_torch", "load_chip", "load_network", "load_result", "map_network", "quantize", "simulate"]
_HOMES = {
    "load_chip": "nsim.chip.file",
    "load_network": "nsim.formats.network",
    "from_torch": "nsim.formats.torch_modules",
    "map_network": "nsim.mapping.network",
    "quantize": "nsim.mapping.frames.quantize",
    "Result": "nsim.result.result",
    "simulate": "nsim.result.run",
    "load_result": "nsim.result.saved",
    "shown": "nsim.report.shown",  # for results, whose words and figures lie in a room above them
}


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `nsim --help` does not wait for libraries it does not need."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
