"""How many timesteps what comes in takes to a layer, and waits that let paths of different length meet.

A framework passes a value through all layers within one step; here every connection takes a timestep. In a chain that
is a shift. Where paths of different length meet, the short ones have to wait for what the framework adds up to be added
up here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from nsim.errors import NetworkError
from nsim.network.layers import MAX_DELAY, Connection


def longest_depths(connections: tuple[Connection, ...], starts: Iterable[str]) -> dict[str, int] | None:
    """Connections on the longest path from one of some layers to each layer, delays and loops of one layer left out.

    returns  None if there are loops of several layers, which have no longest path
    """
    sources: dict[str, set[str]] = {start: set() for start in starts}
    for connection in connections:
        if connection.source != connection.target:
            sources.setdefault(connection.target, set()).add(connection.source)
    try:
        order = list(TopologicalSorter(sources).static_order())
    except CycleError:
        return None
    depths: dict[str, int] = {}
    for name in order:
        depths[name] = max((depths[source] + 1 for source in sources.get(name, ())), default=0)
    return depths


def shortest_depths(connections: tuple[Connection, ...], starts: Iterable[str]) -> dict[str, int]:
    """Connections on the shortest path from one of some layers to each that they reach, delays left out."""
    depths = dict.fromkeys(starts, 0)
    waiting = deque(depths)
    while waiting:
        source = waiting.popleft()
        for connection in connections:
            if connection.source == source and connection.target not in depths:
                depths[connection.target] = depths[source] + 1
                waiting.append(connection.target)
    return depths


def aligned(connections: tuple[Connection, ...], depths: dict[str, int]) -> tuple[Connection, ...]:
    """The connections with waits, so that every layer hears of one timestep of the input at one time.

    depths  by `longest_depths`
    raises  NetworkError for a wait beyond what a delay can be
    """
    return tuple(_waiting(c, depths[c.target] - depths[c.source] - 1) for c in connections)


def _waiting(connection: Connection, wait: int) -> Connection:
    if connection.source == connection.target or not wait:
        return connection
    if connection.longest_delay + wait > MAX_DELAY:
        raise NetworkError(
            f"connection {connection.name} has to wait {wait} timesteps for a longer path, but delays of up to "
            f"{MAX_DELAY} are possible: give align=off"
        )
    return replace(connection, wait=wait)
