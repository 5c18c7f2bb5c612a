"""What another partition would give: the layer that limits a run on more cores, on the same activity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nsim.bottleneck import bottleneck_of
from nsim.errors import MappingError
from nsim.mapping import Mapping, map_network
from nsim.mapping.partition import Partition, even_shares, spatial
from nsim.network import Layer
from nsim.result import Result

FACTORS = (2, 4)  # times as many cores as the layer has


def split_limiting_layer(result: Result, simulate: Callable[[Mapping], Result]) -> dict[str, Any] | None:
    """The layer of the core that binds, over twice and four times as many cores: the best of what fits.

    simulate   runs a mapping on the same activity as the run
    returns    layer, cores (now), parts (then), state, before_ps, time_ps; None if the limit is no core, or none fits.
               Both times are those of the default placement, so that the partition alone makes the difference
    """
    found = bottleneck_of(result)
    state = result.state or found.predicted
    if state not in ("memory", "compute"):
        return None
    core = int(found.bounds.cores[state][found.bounds.longest(state)])
    mapping = result.mapping
    network, chip, dense = mapping.network, mapping.chip, mapping.dense_layers
    by_name = network.by_name
    layers = [by_name[name] for name in mapping.layers_of(core)]
    if not layers:
        return None
    layer = layers[0]
    now = sum(any(share.layer == layer.name for share in held) for held in mapping.partition)
    before_ps = simulate(map_network(network, chip, mapping.partition, dense_layers=dense)).total_ps
    tried: list[tuple[int, int]] = []
    for factor in FACTORS:
        try:
            partition = with_split(mapping.partition, layer, factor * now)
            split = map_network(network, chip, partition, dense_layers=dense)
        except MappingError:
            continue
        tried.append((simulate(split).total_ps, factor * now))
    if not tried:
        return None
    time_ps, parts = min(tried)
    return {
        "layer": layer.name,
        "cores": now,
        "parts": parts,
        "state": state,
        "before_ps": before_ps,
        "time_ps": time_ps,
    }


def with_split(partition: Partition, layer: Layer, parts: int) -> Partition:
    """The same partition with one layer evenly over so many cores of its own, behind the others.

    raises   MappingError if no axis has room for that many shares
    """
    axes = ("columns", "rows", "channels") if spatial(layer) else ("channels",)
    extents = dict(zip(("channels", "rows", "columns"), layer.shape, strict=True))
    axis = next((a for a in axes if parts <= extents[a] // layer.neuron.granule), None)
    if axis is None:
        raise MappingError(f"layer {layer.name!r} of shape {layer.shape} cannot be split evenly over {parts} cores")
    rest = [tuple(share for share in held if share.layer != layer.name) for held in partition]
    return (*(held for held in rest if held), *((share,) for share in even_shares(layer, parts, axis)))
