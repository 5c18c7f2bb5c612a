"""What `nsim advise` shows: a table of the chips that take a network, why the others do not, and what to do next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.text import Text

from nsim.report.advise import Advice, Better
from nsim.report.answer import answered
from nsim.report.chips_compared import comparison_rows, loss
from nsim.report.headline import Headline
from nsim.report.screen import Column, console, fitting, head_lines, show_files, show_lines
from nsim.report.units import joules, percent, plural, seconds
from nsim.report.words import Line, between

SHOWN = 5  # commands, the best first


def show_advice(network: str, found: Sequence[Advice], out: Path | None) -> None:
    """One table, then what does not fit, then what was simulated to be better."""
    if answered(lambda: {"network": network, "chips": [each.facts() for each in found], "out": out}):
        return
    screen = console()
    rows = [each for each in found if each.headline]
    fit = sum(each.fits for each in found)
    screen.print(Text.assemble((network, "bold"), f"   fits {fit} of {plural(len(found), 'chip')}"))
    if rows:
        screen.print()
        screen.print(fitting(advice_columns(rows), screen.width))
    screen.print()
    screen.print(head_lines([*_per(rows), *_same(found), *why_not_lines(found)], bold=False))
    better = sorted((each for row in found for each in row.better), key=lambda each: -each.gain)
    show_lines(screen, [_try_line(each) for each in better[:SHOWN]])
    if rows and not better:
        screen.print(head_lines([Line("try", "no change that was simulated gains: nsim optimize searches for more")]))
    notes = list(dict.fromkeys(note for row in rows for note in row.notes))
    if any(row.headline and row.headline.energy_fj and not row.headline.complete for row in rows):
        notes.append("> some actions have no known energy")
    if notes:
        screen.print()
        screen.print(head_lines([Line("caution", "; ".join(notes))], bold=False))
    show_files(screen, {"table": out})


def show_chips_compared(
    network: str, found: Sequence[Advice], reference: float | None, out: Path | None, plot: Path | None
) -> None:
    """One table of all chips that take the network; why the others do not."""
    rows = comparison_rows(found, reference)
    if answered(lambda: {"network": network, "reference_accuracy": reference, "chips": rows, "out": out, "plot": plot}):
        return
    screen = console()
    shown = [each for each in found if each.headline]
    screen.print(Text.assemble((network, "bold"), f"   on {plural(len(found), 'chip')}"))
    if shown:
        chip, _, *others = advice_columns(shown)
        made = Column("network", [each.how for each in shown], 6, right=False)
        columns = [chip, made, *others[:-1], *_accuracy_columns(shown, reference)]
        screen.print()
        screen.print(fitting(columns, screen.width))
    screen.print()
    lines = [*_per(shown), *_same(found), *why_not_lines(found)]
    if reference is not None:
        lines.append(Line("accuracy", f"{percent(reference)} in real numbers, with which losses are compared"))
    screen.print(head_lines(lines, bold=False))
    notes = list(dict.fromkeys(note for row in shown for note in row.notes))
    if notes:
        screen.print()
        screen.print(head_lines([Line("caution", "; ".join(notes))], bold=False))
    show_files(screen, {"table": out, "figure": plot})


def _accuracy_columns(rows: Sequence[Advice], reference: float | None) -> list[Column]:
    if all(row.accuracy is None for row in rows):
        return []
    losses = [loss(row, reference) for row in rows]
    return [
        Column("accuracy", ["" if row.accuracy is None else percent(row.accuracy) for row in rows], 1),
        Column("lost", ["" if each is None else f"{100 * each:.1f} points" for each in losses], 1),
    ]


def advice_columns(rows: Sequence[Advice]) -> list[Column]:
    lines: list[tuple[Advice, Headline]] = [(row, row.headline) for row in rows if row.headline]
    return [
        Column("chip", [row.chip for row, _ in lines], right=False),
        Column("cores", [f"{row.cores} of {row.available}" for row, _ in lines], 9),
        Column("time", ["unknown" if head.time_ps is None else seconds(head.time_ps) for _, head in lines]),
        Column("range", [_range(head.time_low_ps, head.time_high_ps, seconds) for _, head in lines], 2),
        Column("energy", [_energy(head) for _, head in lines]),
        Column("range", [_range(head.energy_low_fj, head.energy_high_fj, joules) for _, head in lines], 4),
        Column("limit", [head.limit for _, head in lines], 3, right=False),
    ]


def _energy(head: Headline) -> str:
    if head.energy_fj is None:
        return "unknown"
    return f"{'' if head.complete else '> '}{joules(head.energy_fj)}"


def _range(low: float | None, high: float | None, shown: Callable[[float], str]) -> str:
    if low is None or high is None or shown(low) == shown(high):
        return ""
    return between(shown(low), shown(high))


def _per(rows: Sequence[Advice]) -> list[Line]:
    """What time and energy are of, by chip."""
    by_span: dict[str, list[str]] = {}
    for row in rows:
        if row.headline:
            by_span.setdefault(row.headline.of, []).append(row.chip)
    said = "; ".join(f"of {of}s on {', '.join(chips)}" for of, chips in by_span.items())
    return [Line("numbers", f"time and energy {said}")] if rows else []


def _same(found: Sequence[Advice]) -> list[Line]:
    """Boards on which one chip is enough, by that chip."""
    by_chip: dict[str, list[str]] = {}
    for row in found:
        if row.as_chip:
            by_chip.setdefault(row.as_chip, []).append(row.chip)
    return [
        Line("same", f"{', '.join(names)}: as {chip}, one of their chips is enough") for chip, names in by_chip.items()
    ]


def why_not_lines(found: Sequence[Advice]) -> list[Line]:
    """Chips that a network does not fit, those with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for row in found:
        if row.why_not:
            reasons.setdefault(row.why_not.replace(repr(row.chip), "it").replace("chip it", "it"), []).append(row.chip)
    return [Line("no", f"{', '.join(names)}: {reason}") for reason, names in reasons.items()]


def _try_line(each: Better) -> Line:
    gain = f"{each.gain:.2f} x faster"
    if each.measure == "load":
        gain = f"load {percent(each.before)} -> {percent(each.after)}"
    return Line("try", f"{each.command}   {gain}", (f"{each.chip}: {each.words}",), command=each.command)
