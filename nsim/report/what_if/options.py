"""Other values of single options on a chip with timesteps: storage of weights, placement, runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nsim.errors import MappingError
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.network import map_network
from nsim.network.synapses import Dense, Sparse
from nsim.report.what_if.change import Change
from nsim.result.timesteps import TimestepResult


def other_options(result: TimestepResult, simulate: Callable[..., TimestepResult]) -> list[dict[str, Any]]:
    """Each of these options with another value, on the same activity: what-ifs, one for each.

    simulate   runs a mapping on the same activity as the run, with other options if they are given
    """
    told = []
    for change in _changes(result.mapping):
        extra = {"runtime": change.value} if change.option == "runtime" else {}
        after = simulate(change.mapping, **extra).time_ps
        what = {"option": change.option, "value": change.value, "layer": change.layer, "words": change.words}
        told.append({**what, "measure": "time", "before": result.time_ps, "after": after})
    return told


def _changes(mapping: Mapping) -> Iterator[Change]:
    network, chip = mapping.network, mapping.chip
    if any(isinstance(connection.synapses, Dense | Sparse) for connection in network.connections):
        for form in ("dense", "sparse"):
            if form != mapping.dense_layers:
                yield from _mapped(mapping, "weight-format", form, f"fully connected layers stored {form}")
    if chip.routers > 1:
        yield from _mapped(mapping, "placement", "greedy", "cores that talk much near each other")
    if chip.management is not None and mapping.runtime != "bare":
        yield Change(mapping, "", "no runtime on the management processors", "runtime", "bare")


def _mapped(mapping: Mapping, option: str, value: str, words: str) -> Iterator[Change]:
    given = {option.replace("-", "_"): value}
    try:
        yield Change(map_network(mapping.network, mapping.chip, **given), "", words, option, value)
    except MappingError:  # more memory than there is, for example
        return
