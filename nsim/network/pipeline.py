"""How long what comes in is under way: every connection takes a timestep, so a network is a pipeline of its layers."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import numpy as np

from nsim.network.layers import Connection, Network


def depth(network: Network) -> int | None:
    """Timesteps from the input to the layer that it reaches last, by the longest path, delays included.

    Loops of one layer are left out. Loops of several layers have no longest path, so then it is None.
    """
    incoming: dict[str, list[Connection]] = {layer.name: [] for layer in network.layers}
    for connection in network.connections:
        if connection.source != connection.target:
            incoming[connection.target].append(connection)
    try:
        order = list(
            TopologicalSorter({name: {c.source for c in own} for name, own in incoming.items()}).static_order()
        )
    except CycleError:
        return None
    depths: dict[str, int] = {}
    for name in order:
        reached = [depths[c.source] + _timesteps(c) for c in incoming[name] if c.source in depths]
        if name in network.inputs or reached:
            depths[name] = max(reached, default=0)
    return max(depths.values())


def _timesteps(connection: Connection) -> int:
    """Of its slowest message."""
    return 1 + int(np.max(connection.source_delay)) + int(np.max(connection.target_delay))
