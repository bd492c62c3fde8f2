"""Labels written into the map of neurons, where they lie on no other and stick out nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from dnd_local.core.cards import Card
from dnd_local.core.sequences import distinct
from dnd_local.report.cards import CardView

NAMED: Final = 14
"""Labels written into the map."""

TRIED: Final = 6 * NAMED
"""Labels that are tried, for not all have room."""

NAMED_SMALL: Final = 5
"""Of those, the first ones: all that a phone shows, in larger type."""

LONGEST_NAME: Final = 28
"""Letters of a label in the map."""

MAP_HEIGHT: Final = 75
"""The map's height where its width is 100."""

MAP_MARGIN: Final = 4
"""Room above the highest neuron, for its name."""

TYPE: Final = 2.3
PHONE_TYPE: Final = 4.4
"""Heights of letters in the map, as the style has them, in hundredths of its width."""

Rectangle: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class Point(Card):
    """A neuron in the map, in hundredths of its side; `place` is its place in the list."""

    place: int
    card: CardView
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class MapName(Card):
    """A label written into the map; `phone` says whether a phone, with larger type, shows it."""

    text: str
    x: float
    y: float
    anchor: str
    phone: bool

    def box(self, size: float) -> Rectangle:
        """Return the room it takes with letters of a height: no sans serif's are wider."""
        width = 0.62 * size * len(self.text)
        left = self.x - {"start": 0.0, "middle": width / 2, "end": width}[self.anchor]
        return (left, self.y - 1.1 * size, left + width, self.y + 0.4 * size)


def names_in_map(points: Sequence[Point], labels: Sequence[str]) -> tuple[MapName, ...]:
    """Return where to write labels into the map, the most frequent first, none over another.

    The first `NAMED_SMALL` have room for a phone's larger type too.

    Args:
        points: the neurons in the map; none gives no names.
        labels: distinct first labels of neurons, in the order in which they get room.
    """
    unnamed = [_middle(points, text) for text in labels] if points else []
    taken: list[MapName] = []
    for most, size in ((NAMED_SMALL, PHONE_TYPE), (NAMED, TYPE)):
        for point in tuple(unnamed):
            free = (name for name in _at(point, size) if _fits(name.box(size), taken, size))
            if len(taken) < most and (name := next(free, None)):
                taken.append(name)
                unnamed.remove(point)
    return tuple(taken)


def _at(point: Point, size: float) -> Iterator[MapName]:
    """Yield a label as it may be written at its point, the best place first.

    Above is better than below, and towards the middle of the map better than away from it.
    """
    text = point.card.label
    shown = text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
    inwards = "start" if point.x < 33 else "end" if point.x > 67 else "middle"
    y = point.y * MAP_HEIGHT / 100
    for baseline in (y - 1.6, y + 1.6 + 0.8 * size):
        for anchor in distinct((inwards, "middle", "start", "end")):
            yield MapName(shown, point.x, round(baseline, 2), anchor, phone=size == PHONE_TYPE)


def _fits(box: Rectangle, taken: Sequence[MapName], size: float) -> bool:
    """Say whether a name's box lies inside the map and on no other name."""
    left, top, right, bottom = box
    inside = left >= 0 and right <= 100 and top >= -MAP_MARGIN and bottom <= MAP_HEIGHT
    return inside and not any(_overlap(box, name.box(size)) for name in taken)


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _middle(points: Sequence[Point], text: str) -> Point:
    """Return the point nearest to the middle of all that have a label."""
    alike = [p for p in points if p.card.label == text]
    x, y = float(np.median([p.x for p in alike])), float(np.median([p.y for p in alike]))
    return min(alike, key=lambda p: (p.x - x) ** 2 + (p.y - y) ** 2)
