"""A look at every image of a probe set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dnd_local.core.cards import Card
from dnd_local.core.protocols import ProbeSet
from dnd_local.core.records import SkippedImage
from dnd_local.store.probe_sets import read_ahead


@dataclass(frozen=True, slots=True)
class Survey(Card):
    """What a look at every image of a probe set found; sizes are (width, height) in pixels.

    `smallest` and `largest` go by area, and are None where no image could be used.
    """

    images: int
    smallest: tuple[int, int] | None
    largest: tuple[int, int] | None
    skipped: tuple[SkippedImage, ...]


def survey(probe: ProbeSet, workers: int, progress: Callable[[int], None]) -> Survey:
    """Return what a look at every image finds; `progress` hears how many are done."""
    skipped: list[SkippedImage] = []
    sizes: set[tuple[int, int]] = set()
    for index, image in read_ahead(probe, range(len(probe)), workers):
        if isinstance(image, SkippedImage):
            skipped.append(image)
        else:
            sizes.add((image.shape[1], image.shape[0]))
        progress(index + 1)
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    smallest, largest = (by_area[0], by_area[-1]) if by_area else (None, None)
    return Survey(len(probe), smallest, largest, tuple(skipped))
