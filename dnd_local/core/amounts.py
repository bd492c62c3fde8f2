"""Amounts as people write them: sizes, durations, and how many of a thing."""

from __future__ import annotations

from typing import Final

_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0


def size_text(size: float) -> str:
    """Return a number of bytes in decimal units: ``"999 B"``, ``"2.1 GB"``, ``"47 MB"``."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:,.0f} {unit}" if unit == "B" else f"{_two_digits(value)} {unit}"


def duration_text(seconds: float) -> str:
    """Return a duration in the unit that suits it: ``"0.12 s"``, ``"1.5 min"``, ``"2.0 h"``."""
    if seconds < 0.995:
        return f"{seconds:.2g} s"
    if seconds < _MINUTE_S - 0.5:
        return f"{_two_digits(seconds)} s"
    if seconds < _HOUR_S - _MINUTE_S / 2:
        return f"{_two_digits(seconds / _MINUTE_S)} min"
    return f"{_two_digits(seconds / _HOUR_S)} h"


def number_text(value: float) -> str:
    """Return a figure with three decimals; one too small for them keeps two digits: ``"4.1e-05"``.

    Zero is ``"0"``: nothing else is ever shown as 0.000.
    """
    if value == 0:
        return "0"
    return f"{value:.1e}" if abs(value) < 0.0005 else f"{value:.3f}"


def count_text(count: int, thing: str, things: str = "") -> str:
    """Return how many of a thing there are: ``"1 request"``, ``"1,200 requests"``."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def _two_digits(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"
