"""Numbers as a person reads them: three significant digits and a unit, never a raw integer of picoseconds."""

from __future__ import annotations

from nsim.errors import plural_of

TIMES = (("s", 1e12), ("ms", 1e9), ("us", 1e6), ("ns", 1e3), ("ps", 1.0))
ENERGIES = (("J", 1e15), ("mJ", 1e12), ("uJ", 1e9), ("nJ", 1e6), ("pJ", 1e3), ("fJ", 1.0))
POWERS = (("kW", 1e6), ("W", 1e3), ("mW", 1.0), ("uW", 1e-3), ("nW", 1e-6))
CYCLES = (("G cycles", 1e9), ("M cycles", 1e6), ("k cycles", 1e3), ("cycles", 1.0))
LARGE = (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0))
SMALLEST = 0.001  # per cent that are told from none
ROUNDS_UP = 0.9995  # from here on three digits are those of the next unit: 999.6 us is 1.00 ms


def seconds(time_ps: float) -> str:
    return scaled(time_ps, TIMES)


def joules(energy_fj: float) -> str:
    return scaled(energy_fj, ENERGIES)


def watts(power_mw: float) -> str:
    return scaled(power_mw, POWERS)


def cycles(number: float) -> str:
    return scaled(number, CYCLES)


def rate(per_second: float) -> str:
    """A number of events in a second, without its unit: 83.1 M."""
    return scaled(per_second, LARGE).strip()


def scaled(value: float, units: tuple[tuple[str, float], ...]) -> str:
    """Three significant digits in the first unit that is not too large; units from the largest on."""
    unit, scale = next(((u, s) for u, s in units if abs(value) >= ROUNDS_UP * s), units[-1])
    return f"{three_digits(value / scale)} {unit}"


def three_digits(number: float) -> str:
    """1.20, 12.0, 120, 1,200: three digits, and all of those before the point; 0.0120 below one, and 0 for zero."""
    size = abs(number)
    if size < ROUNDS_UP:
        return f"{number:#.3g}" if number else "0"
    return f"{number:,.{2 if size < 9.995 else 1 if size < 99.95 else 0}f}"


def amount(number: float) -> str:
    """A count or a mean of counts: all digits up to a million, three of what is larger; below one never 0."""
    if number >= 1e6 * ROUNDS_UP:
        return rate(number)
    return f"{number:,}" if isinstance(number, int) else three_digits(number)


def tick(value: float) -> str:
    """A round number at an axis, with the digits that it has: 0.5, 200,000, 2 M."""
    unit, scale = next(((unit, scale) for unit, scale in LARGE[:2] if value >= scale), ("", 1.0))
    return f"{value / scale:,.10g} {unit}".rstrip()


def percent(part: float) -> str:
    """A part of 1 in per cent: whole from 10 % on, two digits below."""
    hundredths = 100 * part
    if 0 < abs(hundredths) < SMALLEST:
        return f"< {SMALLEST} %"
    return f"{hundredths:,.0f} %" if hundredths >= 9.95 or not hundredths else f"{hundredths:#.2g} %"


def times(ratio: float) -> str:
    """A ratio: 6.5 x."""
    return f"{ratio:,.0f} x" if ratio >= 99.5 else f"{ratio:.3g} x"


def plural(number: float, noun: str) -> str:
    """An amount with its noun: 1 frame, 2 frames, 1.20 M frames; 1.00 is a mean, and has the plural."""
    shown = amount(number)
    return f"{shown} {noun if shown == '1' else plural_of(noun)}"


def pace(per_second: float | None) -> str:
    """How many in a second, a minute or an hour, whichever is the first with at least one; not known: nothing."""
    if not per_second:
        return ""
    lengths = (("s", 1), ("min", 60), ("h", 3600))
    unit, length = next(((unit, length) for unit, length in lengths if per_second * length >= 1), lengths[-1])
    number = per_second * length
    return f"{number:,.0f}/{unit}" if number >= 100 else f"{number:.3g}/{unit}"
