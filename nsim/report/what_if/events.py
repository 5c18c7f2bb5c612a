"""What takes load off an overloaded core of a chip without timesteps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, log2
from typing import Any

from nsim.errors import MappingError, counted
from nsim.mapping.events.mapping import StreamMapping, map_stream
from nsim.report.what_if.change import Change, best
from nsim.result.events import StreamResult

LARGEST_DECIMATION = 512


def relieve_core(result: StreamResult, simulate: Callable[[StreamMapping], StreamResult]) -> dict[str, Any] | None:
    """What takes load off a core that is asked for more than it can do: a faster core, or a decimator before it.

    A decimator that passes one of N spikes is tried at every layer before the overloaded one, N the next power of two
    above the load; it changes what the network computes. None if all cores keep up, or nothing is before the layer.
    """
    worst = result.summary()["bottleneck"]
    if worst["load"] <= 1 or worst["core"] is None:
        return None
    changes = _reliefs(result.mapping, worst["core"], worst["load"])
    return best(changes, simulate, "load", worst["load"], lambda run: run.bottleneck.total)


def _reliefs(mapping: StreamMapping, core: int, load: float) -> Iterator[Change]:
    network, chip, layers = mapping.network, mapping.chip, mapping.layers
    own = mapping.by_core[core]
    decimate = {layer.name: layer.decimation for layer in layers if layer.decimation > 1}
    balance = tuple(layer.name for layer in layers if layer.balanced)
    usual = {layer.name: layer.core for layer in map_stream(network, chip).layers}
    moved = {layer.name: layer.core for layer in layers if usual[layer.name] != layer.core}

    def text(decimate: dict[str, int], cores: dict[str, int]) -> str:
        parts = [f"core.{name}={number}" for name, number in cores.items()]
        parts += [f"decimate.{name}={every}" for name, every in decimate.items()]
        return ",".join([*parts, *(f"balance.{name}=on" for name in balance)])

    faster = mapping.faster_core(core)
    if faster is not None:
        cores = {**{name: at for name, at in moved.items() if at != faster}, own.name: faster}
        try:
            swapped = map_stream(network, chip, cores).with_options(decimate, balance)
            words = f"{own.name} on the faster core {faster}"
            yield Change(swapped, own.name, words, "core-options", text(decimate, cores))
        except MappingError:  # another layer fits nowhere else
            pass
    factor = min(LARGEST_DECIMATION, 2 ** ceil(log2(load)))
    for layer in layers[: layers.index(own)]:
        every = min(LARGEST_DECIMATION, layer.decimation * factor)
        chosen = {**decimate, layer.name: every}
        words = f"a decimator passes 1 of {counted(every, 'spike')} of {layer.name}"
        yield Change(mapping.with_options(chosen, balance), layer.name, words, "core-options", text(chosen, moved))
