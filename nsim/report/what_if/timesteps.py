"""The layer that limits a run of timesteps, on more cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nsim.errors import MappingError, counted
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.cores.partition import Partition, even_slices, spatial
from nsim.mapping.network import map_network
from nsim.network.layers import Layer
from nsim.report.what_if.change import Change, best
from nsim.result.limits.timesteps_bottleneck import bottleneck_of
from nsim.result.timesteps import TimestepResult

FACTORS = (2, 4)  # times as many cores as the layer has


def split_limiting_layer(
    result: TimestepResult, simulate: Callable[[Mapping], TimestepResult]
) -> dict[str, Any] | None:
    """The layer of the core that binds, over twice and four times as many cores: the best of what fits.

    simulate   runs a mapping on the same activity as the run
    returns    a what-if; None if the limit is no core, or none fits. Both times are those of the default placement, so
               that the partition alone makes the difference
    """
    found, mapping = bottleneck_of(result), result.mapping
    state = found.simulated if found.path_ps else found.predicted
    if state not in ("memory", "compute"):
        return None
    layers = mapping.layers_of(int(found.bounds.cores[state][found.bounds.longest(state)]))
    if not layers:
        return None
    changes = list(_splits(mapping, mapping.network.by_name[layers[0]]))
    if not changes:
        return None
    plain = map_network(mapping.network, mapping.chip, mapping.partition, weight_format=mapping.dense_layers)
    return best(changes, simulate, "time", simulate(plain).time_ps, lambda run: run.time_ps)


def _splits(mapping: Mapping, layer: Layer) -> Iterator[Change]:
    now = sum(any(piece.layer == layer.name for piece in held) for held in mapping.partition)
    named = _is_default(mapping)
    for parts in (factor * now for factor in FACTORS):
        value = f"even:{layer.name}={parts}" if named else None
        try:
            partition = value or with_split(mapping.partition, layer, parts)
            split = map_network(mapping.network, mapping.chip, partition, weight_format=mapping.dense_layers)
        except MappingError:
            continue
        words = f"{layer.name} on {counted(parts, 'core')} instead of {now}"
        yield Change(split, layer.name, words, "partition" if named else None, value)


def _is_default(mapping: Mapping) -> bool:
    """Whether partition and placement are those of a run without options: then an option alone gives the split."""
    default: Any = map_network(mapping.network, mapping.chip, weight_format=mapping.dense_layers)
    return mapping.partition == default.partition and bool((mapping.placement == default.placement).all())


def with_split(partition: Partition, layer: Layer, parts: int) -> Partition:
    """The same partition with one layer evenly over so many cores of its own, behind the others.

    raises   MappingError if no axis has room for that many slices
    """
    axes = ("columns", "rows", "channels") if spatial(layer) else ("channels",)
    extents = dict(zip(("channels", "rows", "columns"), layer.shape, strict=True))
    axis = next((a for a in axes if parts <= extents[a] // layer.neuron.granule), None)
    if axis is None:
        raise MappingError(
            f"layer {layer.name!r} of shape {layer.shape} cannot be split evenly over {counted(parts, 'core')}"
        )
    rest = [tuple(piece for piece in held if piece.layer != layer.name) for held in partition]
    return (*(held for held in rest if held), *((piece,) for piece in even_slices(layer, parts, axis)))
