"""How long Mosaic takes to route and check a network, to balance its routes, and to place it.

    python benchmarks/speed/mosaic.py [--json FILE]

Expected, profile (1, 0.3): 800 neurons on 5x5 tiles routed and checked in less than 50 ms, 2,048 on 8x8 in less than
0.5 s, 16,384 on 16x16 in less than 10 s. Routed means links found, trees grown and ports counted, checked against the
ports of the chip file; the routes of the grid are found anew each time ("first") or kept from before. Best of five
after a first run, which compiles.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np
from rich.console import Console
from rich.table import Table

from nsim.chip.file import load_chip
from nsim.mapping.tiles.balance import balance_routes
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.mapping import mosaic
from nsim.mapping.tiles.memory import tile_sizes, worst_ports
from nsim.mapping.tiles.place import anneal_placement
from nsim.mapping.tiles.predictor import predict
from nsim.mapping.tiles.profile import random_network
from nsim.mapping.tiles.routes import find_routes
from nsim.mapping.tiles.routing import route_network

PROFILE = {1: 1.0, 3: 0.3}
CASES = ((Fabric(5, 5, 32), 0.05), (Fabric(8, 8, 32), 0.5), (Fabric(16, 16, 64), 10.0))
console = Console(width=120)


def best_s(run: Callable[[], object], repeat: int = 5) -> float:
    run()
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)


def measure(fabric: Fabric) -> dict[str, float]:
    """Seconds of every step on one network of the profile."""
    rng = np.random.default_rng(0)
    network = random_network(fabric, PROFILE, rng)
    capacities = fabric.capacities(mosaic(load_chip("mosaic")))

    def route_and_check() -> None:
        routing = route_network(fabric, network)
        routing.violations(capacities)
        tile_sizes(worst_ports(routing))

    def first() -> None:
        find_routes.cache_clear()
        route_and_check()

    routing = route_network(fabric, network)
    steps = {
        "first": best_s(first),
        "kept": best_s(route_and_check),
        "balance": best_s(lambda: balance_routes(routing, np.random.default_rng(0)), 2),
        "proxy": best_s(lambda: predict(fabric, PROFILE), 2),
    }
    if fabric.capacity <= 2_048:
        steps["anneal"] = best_s(lambda: anneal_placement(fabric, network, np.random.default_rng(0)), 1)
    return steps | {"neurons": network.neurons, "links": routing.links.tile.size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    facts = machine.describe("numba", "numpy")
    console.print(machine.headline(facts))
    table = Table(
        "tiles", "neurons", "links", "routed, first", "routes kept", "required", "holds", title="milliseconds"
    )
    for heading in ("balanced", "proxy", "annealed"):
        table.add_column(heading)
    rows = []
    for fabric, limit in CASES:
        row = measure(fabric)
        rows.append({"rows": fabric.rows, "columns": fabric.columns, **row})
        times = {
            name: f"{1e3 * row[name]:,.1f}" if name in row else "-"
            for name in ("first", "kept", "balance", "proxy", "anneal")
        }
        holds = "[green]yes" if row["first"] < limit else "[red]no"
        sizes = f"{fabric.rows}x{fabric.columns}", f"{row['neurons']:,}", f"{row['links']:,}"
        others = times["balance"], times["proxy"], times["anneal"]
        table.add_row(*sizes, times["first"], times["kept"], f"{1e3 * limit:,.0f}", holds, *others)
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
