"""One network on several chips: the rows of the table, and the figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from nsim.errors import InputError
from nsim.report.advise import Advice
from nsim.report.headline import Headline
from nsim.report.plots import new_figure, plain_log, save_figure

COLOUR, RANGE = "#0072B2", "#999999"
MEASURES = {"time": ("time_ps", 1e6, "us"), "energy": ("energy_fj", 1e9, "uJ")}


def loss(advice: Advice, reference: float | None) -> float | None:
    """Of the accuracy, on this chip; None if it is not known."""
    return None if reference is None or advice.accuracy is None else reference - advice.accuracy


def comparison_rows(found: Sequence[Advice], reference: float | None) -> list[dict[str, Any]]:
    """A row per chip; what does not fit has empty numbers and says why."""
    heads = [field.name for field in fields(Headline)]
    rows = []
    for each in found:
        facts = each.facts()
        row = {key: value for key, value in facts.items() if key != "better"}
        rows.append(row | {name: facts.get(name) for name in heads} | {"accuracy_loss": loss(each, reference)})
    return rows


def draw_comparison(network: str, found: Sequence[Advice], path: Path) -> None:
    """Time and energy by chip on a logarithmic axis; grey: what the ranges of the constants allow.

    raises   InputError if there is nothing to draw
    """
    rows = [(each.chip, each.headline) for each in found if each.headline]
    if not rows:
        raise InputError(
            f"no chip of {', '.join(each.chip for each in found)} takes {network}: there is nothing to draw"
        )
    figure = new_figure(7.2, 1.4 + 0.42 * len(rows), layout="constrained")
    figure.suptitle(f"{network}, by chip (grey: within the ranges of the chip's constants)", fontsize=10)
    for axes, name in zip(figure.subplots(1, 2, sharey=True), MEASURES, strict=True):
        _draw(axes, name, rows)
    save_figure(figure, path)


def _draw(axes: Any, name: str, rows: Sequence[tuple[str, Headline]]) -> None:
    key, scale, unit = MEASURES[name]
    stem, end = key.rsplit("_", 1)
    labels = [f"{chip}, per {head.of}" for chip, head in rows]
    for place, (_, head) in enumerate(rows):
        value = getattr(head, key)
        low, high = (getattr(head, f"{stem}_{side}_{end}") for side in ("low", "high"))
        if low is not None and high is not None and low < high:
            axes.plot([low / scale, high / scale], [place, place], color=RANGE, lw=5, solid_capstyle="butt", alpha=0.6)
        if value:
            axes.plot(value / scale, place, "o", color=COLOUR, ms=7)
        else:
            axes.text(0.5, place, "unknown", transform=axes.get_yaxis_transform(), ha="center", va="center", fontsize=8)
    axes.set(xscale="log", xlabel=f"{name} ({unit})", yticks=range(len(rows)), ylim=(len(rows) - 0.5, -0.5))
    plain_log(axes.xaxis)
    axes.set_yticklabels(labels, fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
