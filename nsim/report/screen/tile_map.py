"""What `nsim map` shows and writes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nsim.mapping.tiles.explain import explain
from nsim.mapping.tiles.fabric import KINDS
from nsim.mapping.tiles.mapping import MosaicMapping
from nsim.mapping.tiles.memory import Memory
from nsim.mapping.tiles.predictor import Estimate
from nsim.mapping.tiles.routing import PORTS
from nsim.report.answer import answered
from nsim.report.screen import console
from nsim.report.units import joules, plural, seconds
from nsim.result.columns import maps
from nsim.result.columns.column import Declared
from nsim.result.result import Row, Tabular, provenance

SHOWN = 12  # violated ports that are listed on the screen
PLACE_NAMES = {"index": "neuron q in tile q // n", "annealed": "annealed"}


def show_map(mapping: MosaicMapping, explained: bool, plot: Path | None, out: Path | None) -> None:
    """Mappable or not and why, memory under both counts, profile and proxy, and where the files are."""
    if answered(lambda: {**MapFiles(mapping).summary(), "notes": _caveats(mapping)}):
        return
    screen = console()
    screen.print(Text(mapping.title, style="bold"))
    screen.print(_facts(mapping))
    _show_violations(screen, mapping)
    screen.print()
    screen.print(_memory_table(mapping))
    screen.print()
    screen.print(_profile_table(mapping))
    _show_proxy(screen, mapping)
    if explained and mapping.routing.links.tile.size:
        _show_deciders(screen, mapping)
    screen.print()
    for line in _caveats(mapping):
        screen.print(Text(line, style="dim"))
    for what, path in (("picture of the grid", plot), ("tables", out)):
        if path:
            screen.print(f"The {what}: {path}", highlight=False)


def draw_map(mapping: MosaicMapping, path: Path) -> None:
    """Write the picture of the lines between tiles, those that are too few in red.

    raises   OutputError if it cannot be written
    """
    from nsim.report.figures import ports_of  # start-up: a mapping that nobody draws
    from nsim.report.vector import write_figure
    from nsim.result.pictures import lines_of

    narrow = len(mapping.violations)
    verdict = "mappable" if mapping.mappable else f"not mappable: {plural(narrow, 'port')} too narrow (red)"
    drawn = ports_of(lines_of(mapping), mapping.fabric.rows, mapping.fabric.columns)
    write_figure([drawn], path, f"{mapping.title}\n{verdict}")


def _facts(mapping: MosaicMapping) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan")
    grid.add_column(style="bold", justify="right")
    grid.add_column()
    links, narrow = mapping.routing.links, len(mapping.violations)
    verdict = "every port has the lines it needs"
    if narrow:
        verdict = f"{plural(narrow, 'port')} too narrow, by {plural(mapping.excess_lines, 'line')} together"
    grid.add_row("Mappable", "yes" if mapping.mappable else "no", verdict)
    place = PLACE_NAMES["index" if mapping.kept_index else mapping.place]
    place += " (nothing better was found)" if mapping.kept_index else ""
    tiles = plural(mapping.fabric.tiles, "tile")
    room = f"of {mapping.fabric.capacity:,} on {tiles}; placed: {place}; routes: {mapping.routes}"
    grid.add_row("Neurons", f"{mapping.connectivity.neurons:,}", room)
    inside = mapping.programmed.nt_recurrent
    to_tiles = plural(links.tile.size, "link")
    between = f"connections, {inside:,} of them inside a tile; the others take {to_tiles} to tiles"
    grid.add_row("Connections", f"{mapping.connectivity.connections:,}", between)
    events, energy = mapping.events, mapping.energy_fj
    counted = ", ".join(f"{count:,} {name}" for name, count in events.items())
    cost = "energy unknown" if energy is None else joules(energy)
    grid.add_row("All fire", cost, f"if every neuron fires once: {counted}")
    longest = mapping.longest_route_ps
    grid.add_row(
        "Longest",
        plural(mapping.longest_route_hops, "hop"),
        "latency unknown" if longest is None else f"{seconds(longest)} from a spike to its row",
    )
    return grid


def _show_violations(screen: Console, mapping: MosaicMapping) -> None:
    if mapping.mappable:
        return
    table = _table("port too narrow", "side", "lines used", "lines", "over")
    worst = sorted(mapping.violations, key=lambda each: (each.capacity - each.used, each.cell, each.port))
    for each in worst[:SHOWN]:
        over = each.used - each.capacity
        name = mapping.fabric.cell_name(each.cell)
        table.add_row(name, PORTS[each.port], str(each.used), str(each.capacity), str(over))
    screen.print()
    screen.print(table)
    if len(worst) > SHOWN:
        screen.print(Text(f"and {len(worst) - SHOWN} more: --out DIR writes them all", style="dim"))


def _memory_table(mapping: MosaicMapping) -> Table:
    table = _table("memory elements", "tiles", "size of the worst", "provisioned", "programmed", "in use")
    sizes, n = mapping.sizes, mapping.fabric.neurons
    nts, r1s, r0s = mapping.fabric.counts
    rows = (
        ("NT input block", "nt_inputs", nts, f"{sizes.nt_lines} x {n}"),
        ("NT recurrent block", "nt_recurrent", nts, f"{n} x {n}"),
        ("R1", "r1", r1s, f"{sizes.r1_side} x {sizes.r1_side}"),
        ("R0", "r0", r0s, f"{sizes.r0_side} x {sizes.r0_side}"),
        ("total", "total", "", ""),
    )
    for name, key, tiles, size in rows:
        here, used = getattr(mapping.provisioned, key), getattr(mapping.programmed, key)
        table.add_row(name, str(tiles), size, f"{here:,}", f"{used:,}", f"{used / here:.1%}" if here else "-")
    return table


def _profile_table(mapping: MosaicMapping) -> Table:
    """Shares of the possible links and connections by hop distance."""
    table = _table("profile: hops", "links present", "connections present")
    for distance, share in mapping.connection_profile.items():
        links = mapping.link_profile.get(distance)
        if share or links or distance == 0:
            table.add_row(str(distance), "-" if links is None else f"{links:.4f}", f"{share:.4f}")
    return table


def _show_proxy(screen: Console, mapping: MosaicMapping) -> None:
    """What the profile alone predicts, beside what was found."""
    prediction, sizes = mapping.prediction, mapping.sizes
    table = _table("proxy, from the profile alone", "predicted", "+-", "found")
    found = {**asdict(sizes), "total": mapping.provisioned.total}
    names = {"nt_lines": "NT input lines", "r1_side": "R1 side", "r0_side": "R0 side", "total": "total elements"}
    for key, name in names.items():
        estimate: Estimate = getattr(prediction, key)
        digits = 0 if key == "total" else 1
        table.add_row(name, f"{estimate.value:,.{digits}f}", f"{estimate.std:,.{digits}f}", f"{found[key]:,}")
    screen.print()
    screen.print(table)
    if prediction.outside:
        outside = ", ".join(prediction.outside)
        screen.print(Text(f"Extrapolated, outside what it was fitted on: {outside}.", style="yellow"))


def _show_deciders(screen: Console, mapping: MosaicMapping) -> None:
    table = _table("what decides", "cell", "port", "lines", "as full", "one less saves", "lines come from")
    for each in explain(mapping):
        users = ", ".join(f"{neurons} of tile {tile}" for tile, neurons in each.users[:3])
        more = f", {len(each.users) - 3} more" if len(each.users) > 3 else ""
        as_full = f"{each.as_full} more" if each.as_full else "alone"
        cell = mapping.fabric.cell_name(each.cell)
        table.add_row(each.group, cell, PORTS[each.port], str(each.lines), as_full, f"{each.saved:,}", users + more)
    screen.print()
    screen.print(table)
    screen.print(Text("Saved: elements fewer if each port of that group had at most one line less.", style="dim"))


def _caveats(mapping: MosaicMapping) -> list[str]:
    lines = [
        "Provisioned: every tile as large as the worst of its kind. Programmed: devices that conduct.",
        "The proxy holds for random networks with published routes and neuron q in tile q // n, within one standard "
        "deviation.",
    ]
    if mapping.fabric.neurons != mapping.chip.grid.neurons_per_tile:
        made_for = plural(mapping.chip.grid.neurons_per_tile, "neuron")
        lines.append(f"Ports have the lines of the chip file, made for tiles of {made_for}.")
    unknown = [f"{name}.energy_fj" for name, action in mapping.chip.actions if action.energy_fj is None]
    unknown += [f"{name}.latency_ps" for name in mapping.chip.unknown_latencies()]
    if unknown:
        lines.append(f"Not in the chip file: actions.{', actions.'.join(unknown)}.")
    return lines


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right" if heading not in ("lines come from",) else "left")
    return table


@dataclass(frozen=True, eq=False, repr=False)
class MapFiles(Tabular):
    """What `--out` writes, as `nsim.result.files.OutputFolder` takes it."""

    declared: ClassVar[Declared] = maps.DECLARED

    mapping: MosaicMapping
    outputs = None

    def summary(self) -> dict[str, Any]:
        mapping, fabric = self.mapping, self.mapping.fabric
        return {
            "network": mapping.connectivity.name,
            "chip": mapping.chip.name,
            "rows": fabric.rows,
            "columns": fabric.columns,
            "neurons_per_tile": fabric.neurons,
            "neurons": mapping.connectivity.neurons,
            "connections": mapping.connectivity.connections,
            "links": int(mapping.routing.links.tile.size),
            "place": mapping.place,
            "kept_index": mapping.kept_index,
            "routes": mapping.routes,
            "mappable": mapping.mappable,
            "violated_ports": len(mapping.violations),
            "excess_lines": mapping.excess_lines,
            "sizes": asdict(mapping.sizes),
            "provisioned_elements": _elements(mapping.provisioned),
            "programmed_elements": _elements(mapping.programmed),
            "link_profile": mapping.link_profile,
            "connection_profile": mapping.connection_profile,
            "proxy": asdict(mapping.prediction),
            "events_if_all_fire": mapping.events,
            "energy_if_all_fire_fj": mapping.energy_fj,
            "longest_route_hops": mapping.longest_route_hops,
            "longest_route_ps": mapping.longest_route_ps,
        }

    def provenance(self) -> dict[str, Any]:
        return provenance(None, self.mapping.chip, self.mapping.seed)

    def _ports(self) -> dict[str, Any]:
        """Lines of every port of every cell."""
        fabric, lines = self.mapping.fabric, self.mapping.capacities.ravel()
        used = self.mapping.routing.ports.ravel()
        cell, port = np.divmod(np.arange(used.size), len(PORTS))
        return {
            "row": cell // fabric.width,
            "column": cell % fabric.width,
            "kind": np.array(KINDS)[fabric.kind[cell]],
            "port": np.array(PORTS)[port],
            "lines_used": used,
            "lines": lines,
            "violated": used > lines,
        }

    def _deciders(self) -> list[Row]:
        """The fullest port of each group."""
        cell_name = self.mapping.fabric.cell_name
        return [
            {
                "group": each.group,
                "cell": cell_name(each.cell),
                "port": PORTS[each.port],
                "lines_used": each.lines,
                "as_full": each.as_full,
                "saved_elements": each.saved,
            }
            for each in explain(self.mapping)
        ]

    def _placement(self) -> dict[str, Any]:
        """The tile of every neuron."""
        tile_of = self.mapping.routing.tile_of
        return {"neuron": np.arange(tile_of.size), "tile": tile_of}


def _elements(memory: Memory) -> dict[str, int]:
    return {**asdict(memory), "total": memory.total}
