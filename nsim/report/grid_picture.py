"""The grid as a picture: tiles coloured by their fullest port, ports as bars, those that are too narrow in red."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.mapping.tiles.fabric import KINDS, NT
from nsim.mapping.tiles.mapping import MosaicMapping
from nsim.report.plots import new_figure, save_figure
from nsim.report.units import plural

TILE, ROUTER, GAP = 1.6, 1.0, 0.08  # sides of a cell, and half of the space between two
BAR = 0.11  # width of the bar of a port
TOO_NARROW = "#CC0000"
LINES_IN, LINES_OUT = "#404040", "#E69F00"


def draw_grid(mapping: MosaicMapping, path: str | Path) -> None:
    """Write the picture; on grids of up to 8 tiles a side with the number of each tile.

    raises   OutputError if it cannot be written
    """
    fabric = mapping.fabric
    rows, columns = _edges(fabric.height), _edges(fabric.width)
    scale = min(1.0, 13 / max(rows[-1], columns[-1]))
    figure = new_figure(columns[-1] * scale * 0.8 + 2.2, rows[-1] * scale * 0.8 + 1.6, layout="constrained")
    axes = figure.subplots()
    _draw_cells(figure, axes, mapping, rows, columns)
    _draw_ports(axes, mapping, rows, columns)
    axes.set(xlim=(0, columns[-1]), ylim=(rows[-1], 0), aspect="equal")
    axes.axis("off")
    narrow = len(mapping.violations)
    verdict = "mappable" if mapping.mappable else f"not mappable: {plural(narrow, 'port')} too narrow (red)"
    figure.suptitle(f"{mapping.title}\n{verdict}", fontsize=12)
    figure.supxlabel(
        "Large: neuron tiles; oblong: R1; small: R0. Bars: lines used of a port's lines, from the middle of a side to "
        "the corner,\nclockwise and dark those that enter, anticlockwise and orange those that leave; red: too narrow.",
        fontsize=9,
    )
    save_figure(figure, path)


def _edges(cells: int) -> NDArray[np.float64]:
    """Where cells begin along one axis, and the last one ends: tiles are wider than routers."""
    sides = np.where(np.arange(cells) % 2, TILE, ROUTER)
    return np.concatenate(([0.0], np.cumsum(sides)))


def _boxes(mapping: MosaicMapping, rows: NDArray, columns: NDArray) -> NDArray[np.float64]:
    """Left, top, right, bottom of every cell, float64[cells, 4]."""
    row, column = np.divmod(np.arange(mapping.fabric.cells), mapping.fabric.width)
    return np.stack([columns[column] + GAP, rows[row] + GAP, columns[column + 1] - GAP, rows[row + 1] - GAP], axis=1)


def _shares(mapping: MosaicMapping) -> NDArray[np.float64]:
    """Lines used of those that a port has, float64[cells, 8]; 1 and more if a port has none and needs some."""
    ports = mapping.routing.ports
    return ports / np.maximum(mapping.capacities, np.where(ports > 0, 0.5, 1.0))


def _draw_cells(figure: Any, axes: Any, mapping: MosaicMapping, rows: NDArray, columns: NDArray) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    boxes = _boxes(mapping, rows, columns)
    narrow = {each.cell for each in mapping.violations}
    cells = PatchCollection(
        [Rectangle((x0, y0), x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes.tolist()],
        cmap="Blues",
        edgecolors=[TOO_NARROW if cell in narrow else "#808080" for cell in range(len(boxes))],
        linewidths=[1.2 if cell in narrow else 0.4 for cell in range(len(boxes))],
    )
    cells.set_array(np.minimum(_shares(mapping).max(axis=1), 1.0))
    cells.set_clim(0, 2.2)  # pale enough for the bars to be seen
    axes.add_collection(cells)
    bar = figure.colorbar(cells, ax=axes, shrink=0.6, boundaries=np.linspace(0, 1, 101), ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.set_label("fullest port of the cell: lines used of its lines", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    if max(mapping.fabric.rows, mapping.fabric.columns) <= 8:
        for tile, cell in enumerate(mapping.fabric.tile_cell.tolist()):
            x0, y0, x1, y1 = boxes[cell]
            axes.text((x0 + x1) / 2, (y0 + y1) / 2, f"{KINDS[NT]} {tile}", ha="center", va="center", fontsize=9)


def _draw_ports(axes: Any, mapping: MosaicMapping, rows: NDArray, columns: NDArray) -> None:
    """A bar for each port in use, along its side inside the cell, from the middle to the corner."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    boxes, shares = _boxes(mapping, rows, columns), _shares(mapping)
    over = mapping.routing.ports > mapping.capacities
    bars: dict[str, list[Rectangle]] = {}
    for cell, port in np.argwhere(shares > 0).tolist():
        corner, width, height = _bar(boxes[cell], port, min(float(shares[cell, port]), 1.0))
        colour = TOO_NARROW if over[cell, port] else LINES_IN if port < 4 else LINES_OUT
        bars.setdefault(colour, []).append(Rectangle(corner, width, height))
    for colour, rectangles in bars.items():
        axes.add_collection(PatchCollection(rectangles, facecolors=colour, edgecolors="none"))


def _bar(box: NDArray[np.float64], port: int, share: float) -> tuple[tuple[float, float], float, float]:
    """Corner, width and height of a port's bar. Clockwise around the cell: N runs right, E down, S left, W up."""
    x0, y0, x1, y1 = box.tolist()
    side, onwards = port % 4, port < 4
    along = (x1 - x0 if side % 2 == 0 else y1 - y0) / 2 * share
    forward = onwards == (side in (0, 1))  # towards larger x or y
    if side % 2 == 0:
        x, y = (x0 + x1) / 2, y0 if side == 0 else y1 - BAR
        return (x if forward else x - along, y), along, BAR
    x, y = x1 - BAR if side == 1 else x0, (y0 + y1) / 2
    return (x, y if forward else y - along), BAR, along
