"""The geometry of plots: where bars, marks and ticks lie, for templates to draw as SVG.

Units are those of each plot's view box, x to the right and y down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dnd_local.core.cards import Card

WIDTH: Final = 640.0
HEIGHT: Final = 150.0
MARGIN: Final = 10.0
"""Room at both ends of an axis, so that no mark is cut in half."""


@dataclass(frozen=True, slots=True)
class Bar(Card):
    """A bar and what a pointer is told about it."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class Tick(Card):
    """A place on an axis and its number."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Bars(Card):
    """A histogram: bars standing on `HEIGHT`, marks on the axis, ticks below it."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    marks: tuple[float, ...] = ()


def histogram(counts: Sequence[int], low: float, high: float, marks: Sequence[float] = ()) -> Bars:
    """Return the bars of a histogram of [low, high], heights on a logarithmic scale.

    Args:
        counts: how many values fall into each of equal steps.
        marks: values to point out; the axis reaches as far as they do.
    """
    known = [mark for mark in marks if math.isfinite(mark)]
    left, right = min([low, *known]), max([high, *known])
    axis = _Axis(left, right)
    step = (high - low) / len(counts)
    tallest = math.log1p(max(counts, default=0)) or 1.0
    bars = []
    for i, count in enumerate(counts):
        if count:
            start, end = low + i * step, low + (i + 1) * step
            x, tall = axis.at(start), HEIGHT * math.log1p(count) / tallest
            wide = max(axis.at(end) - x - 0.8, 1.2)
            text = f"{number(start)} to {number(end)}: {count:,}"
            bars.append(Bar(round(x, 1), round(HEIGHT - tall, 1), round(wide, 1), round(tall, 1),
                            text))  # fmt: skip
    return Bars(tuple(bars), axis.ticks(), tuple(round(axis.at(mark), 1) for mark in known))


def value_histogram(
    values: Sequence[float], bins: int = 30, within: tuple[float, float] | None = None
) -> Bars:
    """Return the histogram of a few values, over `within` or else from the least to the largest."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return Bars((), ())
    low, high = within or (min(known), max(known))
    span = (high - low) or 1.0
    counts = [0] * bins
    for value in known:
        counts[min(int((value - low) / span * bins), bins - 1)] += 1
    return histogram(counts, low, high)


def strip(ranks: Sequence[float], total: int, width: float) -> tuple[float, ...]:
    """Return where each rank of `total` lies on a strip of `width`, rank 0 at the left."""
    last = max(total - 1, 1)
    return tuple(round(4 + (width - 8) * rank / last, 1) for rank in ranks)


def number(value: float) -> str:
    """Return a number as a reader wants it: three figures that count, no exponent in between."""
    if not math.isfinite(value):
        return "?"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
        text = f"{value:,.{min(digits, 5)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.2e}"


class _Axis:
    """A linear axis over [low, high] across the plot."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high if high > low else low + 1.0

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return MARGIN + (WIDTH - 2 * MARGIN) * share

    def ticks(self) -> tuple[Tick, ...]:
        """Return about five round numbers."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next((power * m for m in (1, 2, 5) if power * m >= rough), power * 10)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return tuple(
            Tick(round(self.at(i * step), 1), number(round(i * step, 12)))
            for i in range(first, last + 1)
        )
